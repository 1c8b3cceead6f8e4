//! What is written down of a history that no order explains.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::checker::{Interval, Stuck};
use super::model::{History, State, would_answer};
use super::race::{Counts, Plan, Race, Recorded};
use crate::harness::on_postgres;

/// The history of one world, to be checked again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Written {
    pub seed: u64,
    pub world: u16,
    pub initial: State,
    /// In the order of their beginnings.
    pub calls: Vec<Recorded>,
}

/// The calls as the checker takes them.
pub fn history(calls: &[Recorded]) -> History {
    let interval = |call: &Recorded| Interval {
        call: call.made.clone(),
        begin: call.begin,
        end: call.end,
        is_answered: call.is_answered,
    };
    calls.iter().map(interval).collect()
}

impl Race {
    /// The calls of one world, in the order of their beginnings.
    pub fn of_world(&self, world: u16) -> Vec<Recorded> {
        let mut calls: Vec<Recorded> = self.calls.iter().filter(|call| call.world == world).cloned().collect();
        calls.sort_by_key(|call| call.begin);
        calls
    }
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.kills += other.kills;
        self.clock_steps += other.clock_steps;
        self.retries += other.retries;
        self.repeats += other.repeats;
        self.unavailable += other.unavailable;
        self.by_hand += other.by_hand;
        self.connections_ended += other.connections_ended;
    }
}

/// Calls shown before the one that cannot be explained.
const SHOWN_BEFORE: usize = 25;

/// Writes the history up to the answer that cannot be explained to a file, and says what was found.
pub fn write(plan: &Plan, race: &Race, world: u16, stuck: &Stuck<State>) -> String {
    let mut calls = race.of_world(world);
    let end = calls[stuck.call].end;
    // The calls that began later stand behind all that the explanation names by number.
    calls.retain(|call| Some(call.begin) <= end);
    let written = Written { seed: plan.seed, world, initial: race.initial[usize::from(world)].clone(), calls };
    let text = explain(&written, stuck);
    let name = format!(
        "failure-{}{}{}-world{world}",
        if on_postgres() { "postgres-" } else { "" },
        plan.bug.as_ref().map_or(String::new(), |bug| format!("{bug}-")),
        plan.seed
    );
    let path = super::place().join(name);
    let json = serde_json::to_vec(&written).expect("JSON");
    std::fs::write(path.with_extension("json"), json).expect("the file is written");
    std::fs::write(path.with_extension("txt"), &text).expect("the file is written");
    let path = path.display();
    let options = if on_postgres() { "--postgres " } else { "" };
    format!(
        "{text}\nIt is in {path}.txt. Check the same history again: tests/histories/run {options}--check {path}.json\n\
         Make such histories again: tests/histories/run {options}--seed {}",
        plan.seed
    )
}

/// The answer that cannot be explained, the states that were possible then, and the calls that matter.
pub fn explain(written: &Written, stuck: &Stuck<State>) -> String {
    let calls = &written.calls;
    let at = &calls[stuck.call];
    let mut lines = vec![
        match stuck.gave_up {
            true => "The checker gave up at this answer, which may be right: too many orders are possible.",
            false => "No order of the calls explains this answer:",
        }
        .to_owned(),
        line(stuck.call, at),
        String::new(),
        "Every answer before it is explained. Then the world was in one of these states:".to_owned(),
    ];
    for (state, taken) in &stuck.possible {
        lines.push(shown(state));
        let taken: Vec<String> = taken.iter().map(|call| format!("#{call}")).collect();
        if !taken.is_empty() {
            lines.push(format!("  when {} had taken effect", taken.join(", ")));
        }
        lines.push(format!("  the answer there: {:?}", would_answer(state, &at.made)));
    }
    lines.push("\nThese calls were under way, and may have taken effect before it:".to_owned());
    lines.extend(stuck.under_way.iter().filter(|call| **call != stuck.call).map(|call| line(*call, &calls[*call])));
    lines.push("\nThe calls before:".to_owned());
    let is_before = |call: &usize| calls[*call].end.is_some_and(|end| Some(end) < at.end);
    let before: Vec<usize> =
        (0..calls.len()).filter(is_before).filter(|call| !stuck.under_way.contains(call)).collect();
    lines.extend(before[before.len().saturating_sub(SHOWN_BEFORE)..].iter().map(|call| line(*call, &calls[*call])));
    format!("Seed {}, world {}. {}\n", written.seed, written.world, lines.join("\n"))
}

fn line(number: usize, call: &Recorded) -> String {
    let seconds = |at: u64| format!("{:.6}", at as f64 / 1e9);
    let end = call.end.map_or("the end".to_owned(), seconds);
    let reply = match &call.made.reply {
        Some(reply) => format!("{reply:?}"),
        None => "no answer".to_owned(),
    };
    let (begin, sides) = (seconds(call.begin), &call.made.sides);
    format!("  #{number} {begin}..{end} {}: {:?} -> {reply}, clock {sides:?}", call.by, call.made.call)
}

fn shown(state: &State) -> String {
    let mut text = String::new();
    for (number, pool) in (0..).zip(&state.pools) {
        let in_use = state.in_use(number);
        let _ = write!(text, "  pool {number} {in_use}/{} max {} {:?};", pool.seats, pool.in_use_max, pool.window);
    }
    for (user, held) in state.held.iter().enumerate() {
        let pools = held.map(|pool| pool.map_or("-".to_owned(), |pool| pool.to_string())).join(" ");
        let _ = write!(text, "  user {user} {pools};");
    }
    format!("{text}  offers {:?}", state.offers)
}
