//! Counts, and the report of the result.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::response::Answer;

/// The counts of one connection. They are added up at the end, so that connections share nothing during the run.
#[derive(Default)]
pub struct Tally {
    /// Microseconds from the write of a request to its complete response.
    latencies: Vec<u32>,
    success: u64,
    /// By `Code`, or by HTTP status if there is no code.
    other: BTreeMap<String, u64>,
    /// Calls without an answer, by reason.
    errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a response. `Code` says whether it is a success: a refusal has HTTP 200 too.
    pub fn answer(&mut self, answer: &Answer<'_>, latency: Duration) {
        self.latencies.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        match answer.code {
            Some("Success") if answer.status == 200 => self.success += 1,
            Some(code) => *self.other.entry(code.to_owned()).or_default() += 1,
            None => *self.other.entry(format!("HTTP {}", answer.status)).or_default() += 1,
        }
    }

    /// Counts a call without a response.
    pub fn fail(&mut self, reason: String) {
        *self.errors.entry(reason).or_default() += 1;
    }

    /// Adds another connection's counts.
    pub fn add(&mut self, from: Self) {
        self.latencies.extend(from.latencies);
        self.success += from.success;
        for (sum, part) in [(&mut self.other, from.other), (&mut self.errors, from.errors)] {
            for (name, count) in part {
                *sum.entry(name).or_default() += count;
            }
        }
    }
}

/// Memory of the server process, in KiB.
pub struct ServerMemory {
    /// Now.
    pub rss: u64,
    /// The maximum so far.
    pub hwm: u64,
}

impl ServerMemory {
    /// Reads it from /proc. `None`: there is no such process, or no /proc.
    pub fn of(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        };
        Some(Self { rss: field("VmRSS:")?, hwm: field("VmHWM:")? })
    }
}

/// The result of a run.
pub struct Summary {
    connections: usize,
    /// Until the last response, so that a stall at the end counts.
    seconds: f64,
    answered: usize,
    success: u64,
    other: BTreeMap<String, u64>,
    error_reasons: BTreeMap<String, u64>,
    /// Calls without an answer.
    pub errors: u64,
    per_second: f64,
    p50: u32,
    p90: u32,
    p99: u32,
    max: u32,
    memory: Option<ServerMemory>,
}

impl Summary {
    /// Calculates the rate and the percentiles.
    pub fn new(connections: usize, elapsed: Duration, tally: Tally, memory: Option<ServerMemory>) -> Self {
        let mut latencies = tally.latencies;
        latencies.sort_unstable();
        // Nearest rank: the smallest latency that so many percent of all do not exceed.
        let percentile = |percent: usize| match (latencies.len() * percent).div_ceil(100) {
            0 => 0,
            rank => latencies[rank - 1],
        };
        let seconds = elapsed.as_secs_f64();
        Self {
            connections,
            seconds,
            answered: latencies.len(),
            success: tally.success,
            other: tally.other,
            errors: tally.errors.values().sum(),
            error_reasons: tally.errors,
            per_second: latencies.len() as f64 / seconds,
            p50: percentile(50),
            p90: percentile(90),
            p99: percentile(99),
            max: percentile(100),
            memory,
        }
    }

    /// Whether there were responses, and all were Success.
    pub fn is_all_success(&self) -> bool {
        self.success > 0 && self.other.is_empty() && self.errors == 0
    }

    /// One line of JSON.
    pub fn to_json(&self) -> String {
        let other: Vec<String> =
            self.other.iter().map(|(code, count)| format!("{}:{count}", json_string(code))).collect();
        let (rss, hwm) = match &self.memory {
            Some(memory) => (memory.rss.to_string(), memory.hwm.to_string()),
            None => ("null".to_owned(), "null".to_owned()),
        };
        format!(
            "{{\"connections\":{},\"seconds\":{:.3},\"answered\":{},\"success\":{},\"other\":{{{}}},\"errors\":{},\
             \"per_second\":{:.1},\"p50_us\":{},\"p90_us\":{},\"p99_us\":{},\"max_us\":{},\"rss_kib\":{rss},\"hwm_kib\":{hwm}}}",
            self.connections,
            self.seconds,
            self.answered,
            self.success,
            other.join(","),
            self.errors,
            self.per_second,
            self.p50,
            self.p90,
            self.p99,
            self.max,
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections, {:.2} s: {} answered, {} success, {:.0}/s; latency us p50 {} p90 {} p99 {} max {}",
            self.connections,
            self.seconds,
            self.answered,
            self.success,
            self.per_second,
            self.p50,
            self.p90,
            self.p99,
            self.max
        )?;
        for (code, count) in &self.other {
            write!(f, "; {code} {count}")?;
        }
        for (reason, count) in &self.error_reasons {
            write!(f, "; error ({reason}) {count}")?;
        }
        if let Some(memory) = &self.memory {
            write!(f, "; server rss {} KiB, peak {} KiB", memory.rss, memory.hwm)?;
        }
        Ok(())
    }
}

/// Quotes a code. The server chooses it, so it may contain any character.
fn json_string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_counts() {
        let mut tally = Tally::default();
        for micros in (1..=99).rev() {
            let answer = Answer { status: 200, code: Some("Success"), closes: false };
            tally.answer(&answer, Duration::from_micros(micros));
        }
        let mut second = Tally::default();
        second.answer(&Answer { status: 500, code: None, closes: false }, Duration::from_micros(100));
        tally.add(second);
        let summary = Summary::new(2, Duration::from_secs(1), tally, None);
        assert_eq!((summary.p50, summary.p90, summary.p99, summary.max), (50, 90, 99, 100));
        assert!(!summary.is_all_success());
        let json = summary.to_json();
        assert!(json.contains("\"success\":99,\"other\":{\"HTTP 500\":1},\"errors\":0,\"per_second\":100.0"), "{json}");
    }
}
