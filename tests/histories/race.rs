//! Makes a history: many callers on a service of one or two processes that are killed again and again, changes by hand in the same
//! database, and a clock that steps.
//!
//! On PostgreSQL ([`on_postgres`]) there are always two processes, each a node. The clock of one is two hours ahead all the time, where
//! pools have ended and started: the database's clock decides. And connections of nodes are ended while they work.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::hand::{Hand, resize};
use super::model::{Call, LAYOUT, Made, Offer, POOLS, Reply, Side, State, USERS, Window};
use super::world::{CALLER, Meaning, Way, World, shared_rows};
use crate::harness::*;
use crate::kill::Random;
use crate::program::{Serving, program_at, run};

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All choices follow from it; when what happens is up to the machine.
    pub seed: u64,
    /// Calls in one race.
    pub operations: usize,
    pub binary: PathBuf,
    /// A fault built into the program that is to be switched on.
    pub bug: Option<String>,
    /// The library that steps the clock; `None`: it does not step.
    pub clock: Option<PathBuf>,
    /// Whether the service runs as one process and its database is not written to by hand. Else every other race has two processes.
    pub is_alone: bool,
}

/// Callers of the service.
const CALLERS: usize = 64;
/// Threads that write SQL by hand.
const HANDS: usize = 4;
/// Worlds in one database: each is as busy as the callers are many for it.
pub const WORLDS: u16 = 12;
/// Processes that serve the same database.
const PROCESSES_MAX: usize = 2;

/// Calls refused as busy in one race at most.
const UNAVAILABLE_MAX: usize = 2_000;

/// A call that was made: what is kept of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recorded {
    pub world: u16,
    /// The caller and the surface, for the report.
    pub by: String,
    pub made: Made,
    pub begin: u64,
    /// When the answer came; without an answer, when the process that had the call was gone.
    pub end: Option<u64>,
    pub is_answered: bool,
}

/// What came of a race.
pub struct Race {
    /// The state that each world began in.
    pub initial: Vec<State>,
    pub calls: Vec<Recorded>,
    pub counts: Counts,
    /// Answers that no call may have, and what is broken in the database at the end.
    pub failures: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub kills: usize,
    pub clock_steps: usize,
    pub retries: usize,
    /// Calls that were sent again under their name although they had been answered.
    pub repeats: usize,
    /// Calls that the service refused because it was busy: they changed nothing, and are left out.
    pub unavailable: usize,
    pub by_hand: usize,
    /// Of nodes on PostgreSQL, while they worked.
    pub connections_ended: usize,
}

/// Runs one race on a database of its own.
pub fn race(plan: &Plan) -> Race {
    let directory = TempDir::new();
    let mut random = Random::new(mixed(plan.seed, 0));
    let x = Timestamp::now().saturating_add(SignedDuration::from_hours(1)).expect("a time");
    let mut initial: Vec<State> =
        (0..WORLDS).map(|_| State::new(std::array::from_fn(|_| random.between(1, 3) as u8))).collect();
    let worlds = (0..).zip(&initial).map(|(world, state)| World(world).rows(state, x)).collect::<String>();
    let database = TestDatabase::new(&(shared_rows() + &worlds));
    if on_postgres() {
        let pools = initial.iter_mut().flat_map(|state| &mut state.pools);
        pools.for_each(|pool| pool.in_use_max = UNWATCHED);
    }
    for process in 0..PROCESSES_MAX {
        let ahead = if on_postgres() && process == 1 { AHEAD } else { 0 };
        std::fs::write(clock_of(&directory, process), ahead.to_ne_bytes()).expect("the clock's file");
    }
    let shared = Shared {
        plan,
        database: &database,
        directory: &directory,
        x,
        begun: Instant::now(),
        left: AtomicUsize::new(plan.operations),
        stop: AtomicBool::new(false),
        kill_at_answer: AtomicBool::new(false),
        processes: std::array::from_fn(|_| Mutex::new(None)),
        deaths: Mutex::new(Vec::new()),
        steps: Mutex::new(Vec::new()),
        counts: Mutex::new(Counts::default()),
        failures: Mutex::new(Vec::new()),
        differences: Mutex::new(Vec::new()),
        // The clock steps two hours ahead.
        ticket: database.ticket_until(CALLER, x.saturating_add(SignedDuration::from_hours(24)).expect("a time")),
    };
    for process in 0..shared.processes() {
        shared.start(process);
    }
    let mut attempts = std::thread::scope(|scope| {
        let shared = &shared;
        let callers = (0..CALLERS).map(|n| scope.spawn(move || shared.call(n)));
        let hands = (0..if plan.is_alone { 0 } else { HANDS }).map(|n| scope.spawn(move || shared.change_by_hand(n)));
        let (callers, hands): (Vec<_>, Vec<_>) = (callers.collect(), hands.collect());
        let killer = scope.spawn(|| shared.kill_now_and_then());
        let stepper = scope.spawn(|| shared.step_now_and_then());
        let mut attempts: Vec<Attempt> = callers.into_iter().flat_map(|c| c.join().expect("a caller")).collect();
        shared.stop.store(true, Ordering::Relaxed);
        attempts.extend(hands.into_iter().flat_map(|hand| hand.join().expect("a hand")));
        killer.join().expect("the killer");
        stepper.join().expect("the stepper");
        attempts
    });
    for process in 0..PROCESSES_MAX {
        shared.kill(process);
    }
    // What is there in the end must be explained too.
    let hand = Hand::of(0, &database);
    for world in 0..WORLDS {
        attempts.extend(shared.by_hand(world, "at the end".to_owned(), Call::ReadAll, &hand));
    }
    let mut failures = shared.failures.into_inner().expect("not poisoned");
    failures.extend(shared.differences.into_inner().expect("not poisoned"));
    drop(hand);
    failures.extend(database.violations().iter().map(|broken| format!("in the end, {broken:?}")));
    let (deaths, steps) = (shared.deaths.into_inner().expect("deaths"), shared.steps.into_inner().expect("steps"));
    let calls = attempts.into_iter().flat_map(Attempt::by_item);
    let calls = calls.filter_map(|attempt| attempt.recorded(&deaths, &steps)).collect();
    let mut counts = shared.counts.into_inner().expect("counts");
    counts.clock_steps = steps.len();
    Race { initial, calls, counts, failures }
}

/// How far ahead a clock is, or steps: beyond X.
const AHEAD: i64 = 2 * 60 * 60;

/// The file that steps the clock of a process. On PostgreSQL each has its own.
fn clock_of(directory: &TempDir, process: usize) -> PathBuf {
    directory.join(&if on_postgres() { format!("clock{process}") } else { "clock".to_owned() })
}

/// The most seats that were ever in use, where that is not looked at: PostgreSQL counts it when the events are chained, some
/// hundredths of a second later. The most of it and any number is itself.
const UNWATCHED: u8 = u8::MAX;

/// What the checker looks at of an answer. On PostgreSQL a change of modules tells numbers that are read before it commits, and those of others
/// may commit in between.
fn watched(call: &Call, mut reply: Reply) -> Reply {
    if on_postgres() {
        match &mut reply {
            Reply::Links(_) if matches!(call, Call::AssignModules { .. } | Call::ReleaseModules { .. }) => {
                return Reply::Done;
            }
            Reply::Pools(lines) => lines.iter_mut().for_each(|line| line.in_use_max = UNWATCHED),
            Reply::All(state) => state.pools.iter_mut().for_each(|pool| pool.in_use_max = UNWATCHED),
            _ => {}
        }
    }
    reply
}

/// The name that the connections of a process have on PostgreSQL.
fn node(number: usize) -> String {
    format!("node-{number}")
}

/// A choice that follows from the seed and what it is for.
pub fn mixed(seed: u64, what: u64) -> u64 {
    let mixed = (seed ^ what.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 31)).max(1)
}

/// One process that serves; each start has a number.
struct Process {
    serving: Serving,
    number: usize,
}

/// A step of the clock: between when it was made, and to which side of X.
type Step = (u64, u64, Side);

/// One sending of a call.
struct Attempt {
    world: u16,
    by: String,
    call: Call,
    begin: u64,
    outcome: Outcome,
}

enum Outcome {
    Answered(u64, Reply),
    /// No answer came from the process of this number.
    Lost(usize),
}

impl Attempt {
    /// On PostgreSQL each item of a list is decided at a moment of its own, and is a call by itself. What is only tried out is not looked
    /// at: each item depends on those before it. Nor is a refusal of an item because those before it have taken seats of that owner and
    /// type: others see those seats taken only when the list commits, and by then a seat may have been given back.
    fn by_item(self) -> Vec<Attempt> {
        let Call::Bulk { items, dry_run } = &self.call else { return vec![self] };
        if !on_postgres() {
            return vec![self];
        }
        let replies = match &self.outcome {
            Outcome::Answered(_, Reply::Items(replies)) => replies.iter().map(|reply| Some(reply.clone())).collect(),
            Outcome::Answered(_, refused) => vec![Some(refused.clone()); items.len()],
            Outcome::Lost(_) => vec![None; items.len()],
        };
        let item = |((user, owner, of), reply): (&(u8, u8, u8), Option<Reply>)| Attempt {
            world: self.world,
            by: format!("{}, of a list", self.by),
            call: Call::Assign { user: *user, owner: *owner, of: *of },
            begin: self.begin,
            outcome: match (&self.outcome, reply) {
                (Outcome::Answered(end, _), Some(reply)) => Outcome::Answered(*end, reply),
                (Outcome::Answered(..), None) => unreachable!("each item has a reply"),
                (Outcome::Lost(process), _) => Outcome::Lost(*process),
            },
        };
        if *dry_run {
            return Vec::new();
        }
        let mut taken: Vec<(u8, u8)> = Vec::new();
        let seen = items.iter().zip(replies).filter(|((_, owner, of), reply)| {
            let is_refused = matches!(reply, Some(Reply::NoFreeSeat { .. })) && taken.contains(&(*owner, *of));
            if *reply == Some(Reply::Done) {
                taken.push((*owner, *of));
            }
            !is_refused
        });
        seen.map(item).collect()
    }

    /// `None`: it was sent to a process that was gone already, and came to nothing.
    fn recorded(self, deaths: &[Option<u64>], steps: &[Step]) -> Option<Recorded> {
        let (end, reply) = match self.outcome {
            Outcome::Answered(end, reply) => (Some(end), Some(reply)),
            Outcome::Lost(process) => (deaths[process], None),
        };
        if end.is_some_and(|end| end < self.begin) {
            return None;
        }
        let sides = sides(steps, self.begin, end.unwrap_or(u64::MAX));
        let is_answered = reply.is_some();
        let made = Made { call: self.call, reply, sides, is_decided_before: on_postgres() };
        Some(Recorded { world: self.world, by: self.by, made, begin: self.begin, end, is_answered })
    }
}

/// The sides of X on which the clock was at some moment of this time.
fn sides(steps: &[Step], begin: u64, end: u64) -> Vec<Side> {
    let mut side = Side::Before;
    let mut sides = Vec::new();
    for (from, until, to) in steps.iter().take_while(|(from, ..)| *from <= end) {
        if *until >= begin && !sides.contains(&side) {
            sides.push(side);
        }
        debug_assert!(from <= until);
        side = *to;
    }
    if !sides.contains(&side) {
        sides.push(side);
    }
    sides
}

struct Shared<'p> {
    plan: &'p Plan,
    database: &'p TestDatabase,
    directory: &'p TempDir,
    x: Timestamp,
    begun: Instant,
    /// Calls that are still to be made.
    left: AtomicUsize,
    stop: AtomicBool,
    /// The next answer is the end of the process that gave it.
    kill_at_answer: AtomicBool,
    processes: [Mutex<Option<Process>>; PROCESSES_MAX],
    /// Of each process that was started, when it was gone.
    deaths: Mutex<Vec<Option<u64>>>,
    steps: Mutex<Vec<Step>>,
    counts: Mutex<Counts>,
    /// They end the race.
    failures: Mutex<Vec<String>>,
    /// Calls that were answered differently under the same name.
    differences: Mutex<Vec<String>>,
    /// Of the credential that makes all calls.
    ticket: String,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared<'_> {
    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || !locked(&self.failures).is_empty()
    }

    fn fail(&self, failure: String) {
        locked(&self.failures).push(failure);
    }

    // Processes ---------------------------------------------------------------------------------------------------------

    /// `process`: whose clock it has. `number`: under which its connections are found.
    fn command(&self, subcommand: &str, process: usize, number: usize) -> std::process::Command {
        let place = match self.database.server() {
            // All cores are busy when a node starts.
            Some(server) => format!("{}&application_name={}&connect_timeout=20", server.url(), node(number)).into(),
            None => self.database.file().into_os_string(),
        };
        let mut command = program_at(&self.plan.binary, subcommand, place);
        if let Some(clock) = &self.plan.clock {
            command.env("LD_PRELOAD", clock).env("SEATKEEPER_CLOCK", clock_of(self.directory, process));
        }
        if let Some(bug) = &self.plan.bug {
            command.env("SEATKEEPER_SEEDED_BUG", bug);
        }
        command
    }

    fn processes(&self) -> usize {
        if self.plan.is_alone || self.plan.seed.is_multiple_of(2) && !on_postgres() { 1 } else { PROCESSES_MAX }
    }

    fn start(&self, process: usize) {
        // One thread starts them.
        let number = locked(&self.deaths).len();
        match Serving::try_start_as(self.command("serve", process, number)) {
            Ok(serving) => {
                locked(&self.deaths).push(None);
                *locked(&self.processes[process]) = Some(Process { serving, number });
            }
            Err(done) => self.fail(format!("process {process} does not start: {done:?}")),
        }
    }

    /// Kills a process, if it runs.
    fn kill(&self, process: usize) {
        let mut running = locked(&self.processes[process]);
        if let Some(Process { serving, number }) = running.take() {
            serving.kill();
            self.wait_for_connections_of(number);
            locked(&self.deaths)[number] = Some(self.now());
            locked(&self.counts).kills += 1;
        }
    }

    /// Waits until PostgreSQL has done what a process that is gone had sent to it.
    fn wait_for_connections_of(&self, number: usize) {
        if let Some(server) = self.database.server() {
            let session = server.session();
            let left = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{}'",
                node(number)
            );
            wait_until("the connections of a node that was killed are gone", || session.query(&left) == Ok(0));
        }
    }

    /// Ends a connection of a node, on PostgreSQL; one that is at work, if there is one.
    fn end_a_connection(&self) {
        if let Some(server) = self.database.server() {
            let ended = server.query::<i64>(
                "SELECT count(pg_terminate_backend(pid)) FROM (
                     SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'node-%'
                      ORDER BY state = 'active' DESC, random() LIMIT 1) AS one",
            );
            locked(&self.counts).connections_ended += ended as usize;
        }
    }

    /// Where a process is, and its number.
    fn address(&self, process: usize) -> Option<(SocketAddr, usize)> {
        locked(&self.processes[process]).as_ref().map(|running| (running.serving.address, running.number))
    }

    /// Every other time the process dies at the moment when it has answered, which is when a change must be safe and barely is.
    fn kill_now_and_then(&self) {
        let mut random = Random::new(mixed(self.plan.seed, 1));
        while !self.stopped() {
            // By calls and not by time, so that a short race has a kill on a fast machine too. On PostgreSQL calls take longer, a node takes
            // seconds to start on a busy machine, and each has to prove the password again.
            for _ in 0..if on_postgres() { 8 } else { 3 } {
                self.pause_for_calls(random.between(50, 250) as usize);
                if !self.stopped() {
                    self.end_a_connection();
                }
            }
            if random.below(2) == 0 {
                self.kill_at_answer.store(true, Ordering::Relaxed);
                self.pause(100);
            } else {
                self.kill(random.below(self.processes() as u64) as usize);
            }
            for process in 0..self.processes() {
                if self.address(process).is_none() && !self.stopped() {
                    self.start(process);
                }
            }
        }
    }

    fn step_now_and_then(&self) {
        let mut random = Random::new(mixed(self.plan.seed, 2));
        let mut side = Side::Before;
        while self.plan.clock.is_some() && !on_postgres() && !self.stopped() {
            self.pause(random.between(200, 1_500));
            side = if side == Side::Before { Side::After } else { Side::Before };
            let seconds: i64 = if side == Side::After { AHEAD } else { 0 };
            let from = self.now();
            // In place: the processes have mapped the file.
            let mut file =
                std::fs::OpenOptions::new().write(true).open(clock_of(self.directory, 0)).expect("the clock's file");
            file.write_all(&seconds.to_ne_bytes()).expect("a step");
            locked(&self.steps).push((from, self.now(), side));
        }
    }

    /// Waits until so many more calls have begun, the race ends, or a process is gone.
    fn pause_for_calls(&self, calls: usize) {
        let end = self.left.load(Ordering::Relaxed).checked_sub(calls);
        let all_run = || (0..self.processes()).all(|process| self.address(process).is_some());
        while end.is_none_or(|end| self.left.load(Ordering::Relaxed) > end) && all_run() && !self.stopped() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn pause(&self, ms: u64) {
        let end = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < end && !self.stopped() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    // Callers -----------------------------------------------------------------------------------------------------------

    /// One caller, until all calls are made.
    fn call(&self, caller: usize) -> Vec<Attempt> {
        let mut random = Random::new(mixed(self.plan.seed, 100 + caller as u64));
        let mut attempts = Vec::new();
        let mut connection: Option<(Client, usize, usize)> = None;
        // The licenses that this caller has fetched, to be activated: the seats of each type.
        let mut seen = HashMap::new();
        let one_less = |left: usize| left.checked_sub(1);
        while self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() && !self.stopped() {
            let world = World(random.below(u64::from(WORLDS)) as u16);
            let mut call = chosen(&mut random);
            if let Call::Activate { owner, presented } = &mut call
                && let Some(seats) = seen.get(&(world.0, *owner)).filter(|_| random.below(2) == 0)
            {
                *presented = Some(*seats);
            }
            let (mut way, mut request) = world.request(&call, &self.ticket, &mut random);
            // Some calls have a name: then all sendings are one operation, from the first sending to the last answer.
            let name = (is_named(&call) && random.below(3) == 0).then(|| format!("{caller}-{}", attempts.len()));
            let mut repeats = if name.is_some() { random.below(2) } else { 0 };
            let mut first: Option<(u64, Option<(u64, Reply)>)> = None;
            // Now and then the caller hangs up before the answer comes, once. On PostgreSQL not on a list: it would be several calls without
            // an answer to the checker, until the process ends, and each of them multiplies the states that are possible.
            let is_list = matches!(call, Call::Bulk { .. });
            let mut hangs_up = random.below(300) == 0 && !(is_list && on_postgres());
            loop {
                if self.stopped() {
                    return attempts;
                }
                if connection.is_none() || random.below(50) == 0 {
                    connection = self.connect(&mut random);
                }
                let Some((client, process, number)) = &mut connection else { continue };
                let (process, number) = (*process, *number);
                let begin = self.now();
                let (first_begin, answered) = first.get_or_insert((begin, None));
                let sent = client.0.write_all(&with_name(&request, name.as_deref())).is_ok();
                let answer = if sent && !hangs_up { client.receive_unchecked() } else { None };
                let end = self.now();
                let attempt = |begin, outcome| Attempt {
                    world: world.0,
                    by: match &name {
                        Some(name) => format!("caller {caller} {way:?} process {number} name {name}"),
                        None => format!("caller {caller} {way:?} process {number}"),
                    },
                    call: call.clone(),
                    begin,
                    outcome,
                };
                let Some(answer) = answer else {
                    hangs_up = false;
                    connection = None;
                    locked(&self.counts).retries += 1;
                    if name.is_none() {
                        attempts.push(attempt(begin, Outcome::Lost(number)));
                    } else if let Way::NetServer(_) = way {
                        // The surface does not count.
                        (way, request) = world.request(&call, &self.ticket, &mut random);
                    }
                    continue;
                };
                if self.kill_at_answer.swap(false, Ordering::Relaxed) {
                    self.kill(process);
                }
                let reply = match world.read(&call, way, &answer) {
                    Ok(Meaning::Reply(reply)) => watched(&call, reply),
                    Ok(Meaning::Unavailable) => {
                        locked(&self.counts).unavailable += 1;
                        if locked(&self.counts).unavailable > UNAVAILABLE_MAX {
                            self.fail(format!("too many calls are refused as busy, the last with {answer:?}"));
                        }
                        // Of a call with a name an earlier sending may have taken effect.
                        if name.is_some() {
                            continue;
                        }
                        break;
                    }
                    Ok(Meaning::Unknown) if name.is_some() => continue,
                    Ok(Meaning::Unknown) => {
                        attempts.push(attempt(begin, Outcome::Lost(number)));
                        break;
                    }
                    Err(failure) => {
                        self.fail(format!("{call:?} {way:?}: {failure}"));
                        return attempts;
                    }
                };
                if let (Call::License { owner }, Reply::License { numbers, .. }) = (&call, &reply) {
                    seen.insert((world.0, *owner), numbers.map(|of| of[3] as u8));
                }
                if let Some((_, before)) = answered.as_ref().filter(|(_, before)| *before != reply) {
                    let differs = format!("{call:?} under the name {name:?} was answered {before:?}, then {reply:?}");
                    locked(&self.differences).push(differs);
                }
                *answered = Some((end, reply));
                if repeats > 0 {
                    repeats -= 1;
                    locked(&self.counts).repeats += 1;
                    continue;
                }
                let begin = *first_begin;
                if let Some((end, reply)) = answered.take() {
                    attempts.push(attempt(begin, Outcome::Answered(end, reply)));
                }
                break;
            }
        }
        attempts
    }

    /// A connection to one of the processes, if it can be had now.
    fn connect(&self, random: &mut Random) -> Option<(Client, usize, usize)> {
        let process = random.below(self.processes() as u64) as usize;
        let connected = self.address(process).and_then(|(address, number)| {
            let stream = std::net::TcpStream::connect(address).ok()?;
            stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(30)))).ok()?;
            Some((Client(stream), process, number))
        });
        if connected.is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        connected
    }

    // By hand -----------------------------------------------------------------------------------------------------------

    /// Writes SQL until the race ends: as a stock shell does, with our own connection, or with the program.
    fn change_by_hand(&self, hand: usize) -> Vec<Attempt> {
        let mut random = Random::new(mixed(self.plan.seed, 1_000 + hand as u64));
        let connection = Hand::of(hand, self.database);
        let mut attempts = Vec::new();
        while !self.stopped() {
            let world = random.below(u64::from(WORLDS)) as u16;
            let call = chosen_by_hand(&mut random);
            if random.below(40) == 0 {
                attempts.extend(self.by_program(world, hand, &mut random));
            }
            attempts.extend(self.by_hand(world, format!("hand {hand} {}", connection.name()), call, &connection));
            self.pause(random.between(1, 15));
        }
        attempts
    }

    fn by_hand(&self, world: u16, by: String, call: Call, hand: &Hand) -> Option<Attempt> {
        let begin = self.now();
        match hand.make(World(world), &call, self.x) {
            Ok(Some(reply)) => {
                locked(&self.counts).by_hand += 1;
                let outcome = Outcome::Answered(self.now(), watched(&call, reply));
                Some(Attempt { world, by, call, begin, outcome })
            }
            Ok(None) => {
                // At REPEATABLE READ it meets others all the time, which says nothing of the service.
                locked(&self.counts).unavailable += usize::from(!on_postgres());
                None
            }
            Err(failure) => {
                self.fail(failure);
                None
            }
        }
    }

    /// A change of a pool's seats with `seatkeeper sql`, or `psql`.
    fn by_program(&self, world: u16, hand: usize, random: &mut Random) -> Option<Attempt> {
        let (pool, seats) = (random.below(POOLS as u64) as u8, random.between(0, 4) as u8);
        let call = Call::Resize { pool, seats };
        let script = resize(World(world), pool, seats) + ";";
        let (name, mut command) = match self.database.server() {
            Some(server) => {
                let mut psql = server.cluster().program("psql");
                psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", server.name()]);
                ("psql", psql)
            }
            None => ("seatkeeper sql", self.command("sql", 0, 0)),
        };
        let begin = self.now();
        let done = run(&mut command, &script);
        let reply = match done.code {
            Some(0) => Reply::Done,
            _ if done.stderr.contains("seats are in use") => Reply::Refused,
            _ if done.stderr.contains("lock") => return None,
            _ => {
                self.fail(format!("{script}: {done:?}"));
                return None;
            }
        };
        let outcome = Outcome::Answered(self.now(), reply);
        Some(Attempt { world, by: format!("hand {hand} {name}"), call, begin, outcome })
    }
}

// Choices ---------------------------------------------------------------------------------------------------------------

/// Whether a name means something for a call: it changes something.
fn is_named(call: &Call) -> bool {
    match call {
        Call::Assign { .. } | Call::Release { .. } | Call::Transfer { .. } | Call::Activate { .. } => true,
        Call::AssignModules { .. } | Call::ReleaseModules { .. } => true,
        Call::Bulk { dry_run, .. } => !dry_run,
        _ => false,
    }
}

fn user(random: &mut Random) -> u8 {
    random.below(USERS as u64) as u8
}

fn some_types(random: &mut Random) -> Vec<u8> {
    let first = random.below(3) as u8;
    (0..random.between(1, 3) as u8).map(|n| (first + n) % 3).collect()
}

fn chosen(random: &mut Random) -> Call {
    let (owner, of) = (random.below(2) as u8, random.below(3) as u8);
    let items = |random: &mut Random| {
        (0..random.between(1, 4)).map(|_| (user(random), random.below(2) as u8, random.below(3) as u8)).collect()
    };
    match random.below(100) {
        0..30 => Call::Assign { user: user(random), owner, of },
        30..45 => Call::Release { user: user(random), of },
        45..53 => Call::Transfer { from: user(random), to: user(random), of },
        53..58 => Call::Bulk { items: items(random), dry_run: random.below(4) == 0 },
        58..66 => Call::AssignModules { user: user(random), owner, of: some_types(random) },
        66..72 => Call::ReleaseModules { user: user(random), owner, of: some_types(random) },
        72..76 => Call::Activate { owner, presented: None },
        76..81 => Call::Pools { owner },
        81..84 => Call::Holders,
        84..88 => Call::Details { user: user(random), of },
        88..93 => Call::License { owner },
        93..95 => Call::Status { owner },
        _ => Call::Modules { user: user(random), owner },
    }
}

fn chosen_by_hand(random: &mut Random) -> Call {
    let pool = random.below(POOLS as u64) as u8;
    let of = LAYOUT[usize::from(pool)].1;
    match random.below(100) {
        0..15 => Call::HandRelease { user: user(random), of },
        15..30 => Call::HandAssign { user: user(random), pool },
        30..40 => Call::HandMove { user: user(random), of, pool },
        40..60 => Call::Resize { pool, seats: random.between(1, 4) as u8 },
        60..70 => {
            // The pools that are always open stay so: an activation makes a pool where none is open.
            let dated = [3, 6, 7][random.below(3) as usize];
            let window = [Window::UntilX, Window::FromX, Window::Past][random.below(3) as usize];
            Call::SetWindow { pool: dated, window }
        }
        70..80 => {
            let owner = random.below(2) as u8;
            let mut offer: Offer = [None; 3];
            // Of the third type the second owner has no pool that is always open.
            for seats in offer.iter_mut().take(if owner == 0 { 3 } else { 2 }) {
                *seats = (random.below(2) == 0).then(|| random.below(5) as u8);
            }
            Call::SetOffer { owner, offer: (random.below(5) > 0).then_some(offer) }
        }
        _ => Call::ReadAll,
    }
}
