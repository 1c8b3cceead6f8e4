//! Histories of many callers, checked for linearizability; tests/histories/README.md says how to run more of them.

#[path = "../histories/bugs.rs"]
mod bugs;
#[path = "../histories/checker.rs"]
mod checker;
#[path = "../histories/hand.rs"]
mod hand;
#[path = "../histories/model.rs"]
mod model;
#[path = "../histories/race.rs"]
mod race;
#[path = "../histories/report.rs"]
mod report;
#[path = "../histories/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::on_postgres;
use crate::kill::number_from;
use race::{Counts, Plan, Race, WORLDS, mixed, race};

/// Calls in one race: then comes a new database.
const OPERATIONS: usize = 6_000;
/// The same on PostgreSQL, where calls take longer.
const OPERATIONS_ON_POSTGRES: usize = 2_000;

/// What a run came to.
#[derive(Default)]
struct Run {
    races: usize,
    calls: usize,
    counts: Counts,
    visited: usize,
    kept_max: usize,
    checking: Duration,
}

/// What was found.
#[derive(Debug)]
enum Found {
    /// No order of the calls explains an answer.
    Unexplained(String),
    /// Something that no call may answer, or a service that does not start.
    Failure(String),
}

/// Runs races until one cannot be explained or the calls or the time are used up.
fn run(plan: &Plan, operations: usize, time: Duration) -> (Run, Result<(), Found>) {
    let begun = Instant::now();
    let mut run = Run::default();
    while run.calls < operations && begun.elapsed() < time {
        // Each race has its own seed, which a failure names; their last bits alternate. A seed that was asked for is kept.
        let seed = match run.races as u64 {
            number if number > 0 && number_from("SEATKEEPER_SEED").is_none() => {
                mixed(plan.seed, 10_000 + number) & !1 | (plan.seed ^ number) & 1
            }
            _ => plan.seed,
        };
        let left = operations.saturating_sub(run.calls);
        let plan = Plan { seed, operations: plan.operations.min(left), ..plan.clone() };
        let raced = race(&plan);
        let found = examine(&plan, &raced, &mut run);
        if found.is_err() {
            return (run, found);
        }
    }
    (run, Ok(()))
}

/// Checks the history of every world.
fn examine(plan: &Plan, raced: &Race, run: &mut Run) -> Result<(), Found> {
    let begun = Instant::now();
    run.races += 1;
    run.calls += raced.calls.len();
    run.counts.add(&raced.counts);
    let check = |world: u16| {
        let initial = raced.initial[usize::from(world)].clone();
        (world, checker::check(&model::Rules, initial, &report::history(&raced.of_world(world))))
    };
    let checked: Vec<_> = std::thread::scope(|scope| {
        let check = &check;
        let worlds: Vec<_> = (0..WORLDS).map(|world| scope.spawn(move || check(world))).collect();
        worlds.into_iter().map(|world| world.join().expect("the checker ends")).collect()
    });
    for (world, checked) in checked {
        match checked {
            Ok(effort) => {
                run.visited += effort.visited;
                run.kept_max = run.kept_max.max(effort.kept_max);
            }
            Err(stuck) => return Err(Found::Unexplained(report::write(plan, raced, world, &stuck))),
        }
    }
    run.checking += begun.elapsed();
    match raced.failures.first() {
        Some(failure) => Err(Found::Failure(format!("SEATKEEPER_SEED={}: {failure}", plan.seed))),
        None => Ok(()),
    }
}

fn print(name: &str, plan: &Plan, run: &Run, time: Duration) {
    println!(
        "{name}: {} calls in {} races, {:.0} s of which {:.1} s to check; {:?}; {} configurations visited, at most {} at once; seed {}",
        run.calls,
        run.races,
        time.as_secs_f64(),
        run.checking.as_secs_f64(),
        run.counts,
        run.visited,
        run.kept_max,
        plan.seed
    );
}

fn plan(binary: &Path, seed: u64) -> Plan {
    let (binary, clock) = (binary.to_owned(), Some(clock()));
    let operations = if on_postgres() { OPERATIONS_ON_POSTGRES } else { OPERATIONS };
    Plan { seed, operations, binary, bug: None, clock, is_alone: false }
}

/// Where files of these tests are.
fn place() -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/histories");
    std::fs::create_dir_all(&place).expect("a directory in target");
    place
}

/// Builds the library that steps the clock.
pub fn clock() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories/clock.c");
    let (library, made) = (place().join("clock.so"), place().join(format!("clock-{}.so", uuid::Uuid::new_v4())));
    let mut cc = Command::new("cc");
    let cc = cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).arg(source);
    let status = cc.status().unwrap_or_else(|e| panic!("{cc:?}: {e}. Install a C compiler (gcc)."));
    assert!(status.success(), "{cc:?}: {status}");
    std::fs::rename(made, &library).expect("the library is in its place");
    library
}

fn seed() -> u64 {
    number_from("SEATKEEPER_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}

/// For a minute, or as long as SEATKEEPER_SECONDS or SEATKEEPER_OPERATIONS says.
#[test]
#[ignore = "takes a minute and all cores: tests/histories/run runs it"]
fn every_answer_is_explained_by_some_order_of_the_calls() {
    let seconds = number_from("SEATKEEPER_SECONDS").map(Duration::from_secs);
    let (operations, time) = match number_from("SEATKEEPER_OPERATIONS") {
        Some(operations) => (operations as usize, seconds.unwrap_or(Duration::MAX)),
        None => (usize::MAX, seconds.unwrap_or(Duration::from_secs(60))),
    };
    let plan = plan(Path::new(env!("CARGO_BIN_EXE_seatkeeper")), seed());
    let begun = Instant::now();
    let (run, found) = run(&plan, operations, time);
    print("the service", &plan, &run, begun.elapsed());
    if let Err(Found::Unexplained(found) | Found::Failure(found)) = found {
        panic!("{found}");
    }
    assert!(run.counts.unavailable * 20 < run.calls, "the service was too often busy: {:?}", run.counts);
}

/// Checks the file that SEATKEEPER_HISTORY names once more.
#[test]
#[ignore = "needs a history: tests/histories/run --check FILE"]
fn a_history_that_was_written_down_is_explained() {
    let path = std::env::var("SEATKEEPER_HISTORY").expect("SEATKEEPER_HISTORY names a file");
    let written: report::Written = serde_json::from_slice(&std::fs::read(&path).expect(&path)).expect("a history");
    if let Err(stuck) = checker::check(&model::Rules, written.initial.clone(), &report::history(&written.calls)) {
        panic!("{}", report::explain(&written, &stuck));
    }
    println!("{path}: every answer is explained");
}

/// Builds nothing, so that a change of the source that the table must follow is noticed at once.
#[test]
fn the_table_of_known_faults_fits_the_source() {
    let unfit = bugs::unfit(&bugs::table());
    assert_eq!(unfit, [""; 0], "tests/histories/bugs.toml: write the same fault for the source as it is now");
}

/// Each fault of the table is found, or SEATKEEPER_BUG alone.
#[test]
#[ignore = "takes minutes and all cores: tests/histories/run --bugs runs it"]
fn every_seeded_bug_is_found() {
    let table = bugs::table();
    let begun = Instant::now();
    let binary = bugs::build(&table, &place());
    println!("built in {:.0} s", begun.elapsed().as_secs_f64());
    let only = std::env::var("SEATKEEPER_BUG").ok();
    let mut missed = Vec::new();
    // With all faults switched off the same program is right: what is found is the fault.
    let none = Plan { operations: BUG_OPERATIONS, ..plan(&binary, seed()) };
    let (control, found) = run(&none, 2 * BUG_OPERATIONS, BUG_TIME);
    print("no fault", &none, &control, begun.elapsed());
    if let Err(Found::Unexplained(found) | Found::Failure(found)) = found {
        panic!("with no fault switched on: {found}");
    }
    for bug in table.bugs.iter().filter(|bug| only.as_ref().is_none_or(|only| *only == bug.name)) {
        let begun = Instant::now();
        let mut failures = Vec::new();
        loop {
            let plan = Plan {
                bug: Some(bug.name.clone()),
                is_alone: bug.is_alone,
                operations: BUG_OPERATIONS,
                ..plan(&binary, seed())
            };
            let (run, found) = run(&plan, usize::MAX, BUG_TIME.saturating_sub(begun.elapsed()));
            match found {
                Err(Found::Unexplained(_)) => {
                    print(&format!("{}: found", bug.name), &plan, &run, begun.elapsed());
                    break;
                }
                // A fault may also break something that ends the race before the checker can find it: it must find it in another.
                Err(Found::Failure(failure)) => failures.push(failure),
                Ok(()) => {
                    let (name, what, calls, seed) = (&bug.name, &bug.what, run.calls, plan.seed);
                    missed.push(format!("{name} ({what}): not found in {calls} calls, seed {seed}; {failures:?}"));
                    break;
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Calls in one race with a fault: short races show it sooner.
const BUG_OPERATIONS: usize = 1_500;
/// How long a fault is looked for: many times what it takes, because it is found by chance, and slowly on a slow machine.
const BUG_TIME: Duration = Duration::from_secs(600);
