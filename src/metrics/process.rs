//! What the system says about this process, with the names that Prometheus client libraries share. From /proc by hand: it is six
//! numbers of four files.

use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::registrar::Description;

/// Reads /proc at each scrape: that takes less than a millisecond, and little more with thousands of open connections.
#[derive(Debug)]
pub(super) struct Process {
    /// In seconds since 1970; `None`: the system does not say it.
    started_s: Option<f64>,
}

const NAMES: [(&str, &str, Option<Unit>, MetricType); 7] = [
    (
        "process_cpu",
        "Time that the process has spent on processors, in the system too",
        Some(Unit::Seconds),
        MetricType::Counter,
    ),
    ("process_open_fds", "Open file descriptors", None, MetricType::Gauge),
    ("process_max_fds", "The most file descriptors that the process may have open", None, MetricType::Gauge),
    ("process_resident_memory", "Memory of the process that is in RAM", Some(Unit::Bytes), MetricType::Gauge),
    ("process_virtual_memory", "Address space of the process", Some(Unit::Bytes), MetricType::Gauge),
    ("process_threads", "Threads of the process", None, MetricType::Gauge),
    ("process_start_time", "When the process started, in seconds since 1970", Some(Unit::Seconds), MetricType::Gauge),
];

impl Process {
    /// Call it early: the start is read once, because the clock of the system may be set later.
    pub fn new() -> Process {
        Process { started_s: Stat::read().and_then(|stat| stat.started_s()) }
    }

    pub fn descriptions() -> impl Iterator<Item = Description> {
        NAMES.into_iter().map(|(name, help, unit, kind)| Description::new(name, help, unit.as_ref(), kind))
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let stat = Stat::read();
        let values = [
            stat.as_ref().map(|stat| stat.cpu_ticks as f64 / clock_ticks_per_second() as f64),
            // Without the one that reads the list.
            std::fs::read_dir("/proc/self/fd").ok().map(|list| list.count().saturating_sub(1) as f64),
            getrlimit(Resource::Nofile).current.map(|most| most as f64),
            stat.as_ref().map(|stat| (stat.resident_pages * page_size() as u64) as f64),
            stat.as_ref().map(|stat| stat.virtual_bytes as f64),
            stat.as_ref().map(|stat| stat.threads as f64),
            self.started_s,
        ];
        for ((name, help, unit, kind), value) in NAMES.iter().zip(values) {
            // A value that the system does not give is left out.
            let Some(value) = value else { continue };
            let help = format!("{help}.");
            let metric = encoder.encode_descriptor(name, &help, unit.as_ref(), *kind)?;
            match kind {
                MetricType::Counter => ConstCounter::new(value).encode(metric)?,
                _ if value.fract() == 0.0 => ConstGauge::new(value as i64).encode(metric)?,
                _ => ConstGauge::new(value).encode(metric)?,
            }
        }
        Ok(())
    }
}

/// Of /proc/self/stat (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// After the system's start.
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Stat> {
        // The second field is the program's name, in brackets, and may contain blanks and brackets. The third is next.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }

    /// When the process started, in seconds since 1970.
    fn started_s(&self) -> Option<f64> {
        let after_boot = self.started_ticks as f64 / clock_ticks_per_second() as f64;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        // To the hundredth, as exact as /proc is.
        Some(((now.as_secs_f64() - uptime + after_boot) * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_may_be_anything() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 700 42 13 14 20 0 9 0 99 123456 789 18446744073709551615 1";
        let expected =
            Stat { cpu_ticks: 742, threads: 9, started_ticks: 99, virtual_bytes: 123_456, resident_pages: 789 };
        for name in ["seatkeeper", "a b", "a) S 1 2 (", "", ")"] {
            assert_eq!(Stat::parse(&format!("4711 ({name}) {rest}")).as_ref(), Some(&expected), "{name}");
        }
        for bad in ["", "4711", "4711 (x)", "4711 (x) S 1 2", "4711 (x) S a b c d e f g h i j k l m n o p q r s t u v"]
        {
            assert_eq!(Stat::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_process_started_before_now_and_after_the_system() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let started = Process::new().started_s.expect("/proc");
        assert!(started < now + 1.0 && started > now - 24.0 * 3600.0, "{started} {now}");
    }
}
