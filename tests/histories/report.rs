//! What is written down of a history that no order explains.

use std::fmt::Write as _;

use super::checker::Stuck;
use super::model::{History, State, would_answer};
use super::race::{Counts, Plan, Race, Recorded};
use crate::histories::checker::Interval;

impl Race {
    /// The calls of one world.
    pub fn of_world(&self, world: u16) -> Vec<&Recorded> {
        let mut calls: Vec<&Recorded> = self.calls.iter().filter(|call| call.world == world).collect();
        calls.sort_by_key(|call| call.begin);
        calls
    }

    /// The same, for the checker.
    pub fn history(&self, world: u16) -> History {
        let interval = |call: &Recorded| Interval {
            call: call.made.clone(),
            begin: call.begin,
            end: call.end,
            is_answered: call.is_answered,
        };
        self.of_world(world).into_iter().map(interval).collect()
    }
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.kills += other.kills;
        self.clock_steps += other.clock_steps;
        self.retries += other.retries;
        self.unavailable += other.unavailable;
        self.by_hand += other.by_hand;
    }
}

/// Calls shown before the one that cannot be explained.
const SHOWN_BEFORE: usize = 25;

/// Writes the history up to the answer that cannot be explained to a file, and says what was found.
pub fn write(plan: &Plan, race: &Race, world: u16, stuck: &Stuck<State>) -> String {
    let calls = race.of_world(world);
    let at = calls[stuck.call];
    let mut text = String::new();
    let why = if stuck.gave_up {
        "The checker gave up at this answer: too many orders are possible. It may be right."
    } else {
        "No order of the calls explains this answer:"
    };
    let _ = writeln!(text, "SEATKEEPER_SEED={}, world {world}. {why}\n\n  {}\n", plan.seed, line(stuck.call, at));
    let _ = writeln!(
        text,
        "Every earlier answer is explained. By then the world was in {} of these states:",
        match stuck.possible.len() {
            1 => "the one",
            _ => "one",
        }
    );
    for (state, taken) in &stuck.possible {
        let answers = would_answer(state, &at.made);
        let _ = writeln!(
            text,
            "  {}\n    calls under way that had taken effect: {taken:?}\n    the answer here: {answers:?}",
            shown(state)
        );
    }
    let _ = writeln!(text, "\nCalls under way then; any of them may take effect before it, in any order:");
    for call in &stuck.under_way {
        let _ = writeln!(text, "  {}", line(*call, calls[*call]));
    }
    let _ = writeln!(text, "\nThe calls before:");
    let before = (0..calls.len()).filter(|call| calls[*call].end.is_some_and(|end| Some(end) < at.end));
    let before: Vec<usize> = before.filter(|call| !stuck.under_way.contains(call)).collect();
    for call in &before[before.len().saturating_sub(SHOWN_BEFORE)..] {
        let _ = writeln!(text, "  {}", line(*call, calls[*call]));
    }
    let mut file = text.clone();
    let _ =
        writeln!(file, "\nThe whole history of this world up to there, from {:?}:", race.initial[usize::from(world)]);
    for (number, call) in calls.iter().enumerate().filter(|(_, call)| Some(call.begin) <= at.end) {
        let _ = writeln!(file, "  {}", line(number, call));
    }
    let name = format!("failure-{}-world{world}.txt", plan.seed);
    let path = super::place().join(name);
    std::fs::write(&path, file).expect("the file is written");
    format!("{text}\nAll of it is in {}", path.display())
}

fn line(number: usize, call: &Recorded) -> String {
    let seconds = |at: u64| format!("{:.6}", at as f64 / 1e9);
    let end = call.end.map_or("the end".to_owned(), seconds);
    let reply = match &call.made.reply {
        Some(reply) => format!("{reply:?}"),
        None => "no answer".to_owned(),
    };
    format!(
        "#{number} {}..{end} {}: {:?} -> {reply} (clock {:?})",
        seconds(call.begin),
        call.by,
        call.made.call,
        call.made.sides
    )
}

fn shown(state: &State) -> String {
    let pools: Vec<String> = (0..)
        .zip(&state.pools)
        .map(|(number, pool)| {
            format!(
                "pool {number}: {} of {} used (at most {}) {:?}",
                state.in_use(number),
                pool.seats,
                pool.in_use_max,
                pool.window
            )
        })
        .collect();
    let held: Vec<String> =
        state.held.iter().enumerate().map(|(user, held)| format!("user {user}: {held:?}")).collect();
    format!("{}; {}; offers {:?}", pools.join(", "), held.join(", "), state.offers)
}
