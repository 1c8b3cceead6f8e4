//! Nodes, processes of PostgreSQL, and the whole server are killed while many callers work on two nodes. A caller whose node is gone
//! sends its call to the other node again. Nothing that was acknowledged is lost, nothing is done twice, and every refusal is true.
//!
//! SEATKEEPER_KILLS says how often something is killed; SEATKEEPER_SEED repeats the choices of a run that failed, though not the turns that
//! the callers took. `tests/kill-postgres` runs this longer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::harness::*;
use crate::kill::{Random, number_from};
use crate::postgres::{Cluster, Database};
use crate::program::{Serving, seatkeeper};

const CALLERS: usize = 24;
const NODES: usize = 2;
const ENTITY: i32 = 42;
const TYPES: [&str; 3] = ["SkraftDiskImageV5", "SqlBackup", "ExchangeBackup"];
/// Of the last type there are too few.
const SEATS: [usize; 3] = [1_000, 1_000, 12];
const SCARCE: usize = 2;
/// Users of its own that a caller has at a time.
const OWN: usize = 6;
/// Callers that ask for the same user.
const CALLERS_PER_SHARED: usize = 8;
/// After so many the callers rest, and all answers are compared with what the database has.
const KILLS_PER_ROUND: u64 = 5;
/// A call that gets no answer for as long fails the test: a node looks for half a minute what became of a commit.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn nothing_is_lost_or_doubled_when_nodes_and_servers_are_killed() {
    let kills = number_from("SEATKEEPER_KILLS").unwrap_or(50);
    let mut random = Random::from_seed();
    // What is committed is on the disk: PostgreSQL does all that it does for that.
    let cluster = Cluster::start(&["fsync=on", "full_page_writes=on", "max_connections=120"]);
    let database = cluster.database();
    database.execute(&seed()).expect("seed");
    let bed = Bed::on(database);
    for first in (1..=kills).step_by(KILLS_PER_ROUND as usize) {
        let round = first..=kills.min(first + KILLS_PER_ROUND - 1);
        let calls = bed.race(round, &mut random);
        bed.verify(&calls);
    }
    let lease = bed.kill_the_node_that_chains();
    let times = bed.times.lock().expect("not poisoned");
    for kind in KINDS {
        let mut of_kind: Vec<Duration> = times.iter().filter(|(of, _)| *of == kind).map(|(_, time)| *time).collect();
        of_kind.sort_unstable();
        if let Some(longest) = of_kind.last() {
            let median = of_kind[of_kind.len() / 2];
            println!(
                "{kind:?} killed {} times; both nodes ready after {median:.1?}, at most {longest:.1?}",
                of_kind.len()
            );
        }
    }
    println!("the other node took the lease {lease:.1?} after its holder was killed; {}", bed.counts());
    assert!(
        bed.acknowledged.load(Ordering::Relaxed) > 10 * kills as usize,
        "too few to show anything: {}",
        bed.counts()
    );
}

/// What is killed, in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Node,
    /// A process that works for a node: PostgreSQL then ends all others and starts again by itself.
    Backend,
    /// With all its processes.
    Postmaster,
}

const KINDS: [Kind; 3] = [Kind::Node, Kind::Backend, Kind::Postmaster];

fn seed() -> String {
    let pool = |(license_type, seats)| format!("({ENTITY}, '{license_type}', {seats})");
    format!(
        "INSERT INTO entity (id, name) VALUES ({ENTITY}, 'Contoso');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('admin', '{}', {ENTITY}, 'admin');
         INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES {};",
        *PASSWORD_HASH,
        TYPES.into_iter().zip(SEATS).map(pool).collect::<Vec<_>>().join(", ")
    )
}

/// Two nodes on a server of their own.
struct Bed {
    database: Database,
    begun: Instant,
    nodes: [Mutex<Option<Serving>>; NODES],
    /// Where they listen, also when they are gone.
    addresses: Mutex<[SocketAddr; NODES]>,
    /// Complete answers to calls.
    answers: AtomicU64,
    /// Callers finish their calls and end.
    is_over: AtomicBool,
    /// Callers end at once.
    has_failed: AtomicBool,
    shared: AtomicUsize,
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
    /// Sendings without an answer, or with one that does not know the outcome.
    lost: AtomicUsize,
    /// Sendings that were answered "Nothing was changed".
    unavailable: AtomicUsize,
    times: Mutex<Vec<(Kind, Duration)>>,
}

/// A call, with all its sendings.
#[derive(Debug, Clone)]
struct Made {
    user: String,
    of: usize,
    is_assign: bool,
    /// All its sendings are one.
    is_named: bool,
    is_shared: bool,
    /// Of the first sending, and of the one that was answered.
    begun: Duration,
    sent: Duration,
    ended: Duration,
    /// Sendings before the one that was answered, of which it is not known whether they took effect.
    lost: usize,
    code: String,
}

impl Made {
    /// An earlier sending may still be under way when the answer to a later one is there.
    fn may_have_more(&self) -> bool {
        self.lost > 0 && !self.is_named
    }

    fn is_done(&self) -> bool {
        self.code == "Success"
    }
}

/// A node. It may start while all cores are busy.
fn serve(database: &Database) -> Serving {
    Serving::start(format!("{}&connect_timeout=20", database.url()))
}

/// A user that only one caller calls for.
struct Own {
    name: String,
    of: usize,
    has_seat: bool,
}

impl Bed {
    fn on(database: Database) -> Bed {
        let nodes: [Serving; NODES] = std::array::from_fn(|_| serve(&database));
        Bed {
            begun: Instant::now(),
            addresses: Mutex::new(std::array::from_fn(|node| nodes[node].address)),
            nodes: nodes.map(|node| Mutex::new(Some(node))),
            database,
            answers: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            shared: AtomicUsize::new(0),
            acknowledged: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            unavailable: AtomicUsize::new(0),
            times: Mutex::new(Vec::new()),
        }
    }

    fn counts(&self) -> String {
        let [acknowledged, refused, lost, unavailable] =
            [&self.acknowledged, &self.refused, &self.lost, &self.unavailable]
                .map(|count| count.load(Ordering::Relaxed));
        format!(
            "{acknowledged} changes acknowledged, {refused} refused, {lost} sendings lost, {unavailable} answered that nothing was changed"
        )
    }

    fn cluster(&self) -> &Arc<Cluster> {
        self.database.cluster()
    }

    // Kills -------------------------------------------------------------------------------------------------------------

    /// Kills amid the calls of all callers; gives the calls.
    fn race(&self, kills: RangeInclusive<u64>, random: &mut Random) -> Vec<Made> {
        self.is_over.store(false, Ordering::Relaxed);
        let round = *kills.start();
        let choices: Vec<Random> = (0..CALLERS).map(|_| Random::new(random.next())).collect();
        std::thread::scope(|scope| {
            let callers = choices.into_iter().enumerate();
            let callers: Vec<_> = callers.map(|(n, random)| scope.spawn(move || self.call(round, n, random))).collect();
            let guard = EndCallers(self);
            for kill in kills {
                self.wait_for_answers(50);
                std::thread::sleep(Duration::from_millis(random.between(50, 500)));
                // Every other time at the moment when the next answer has come, which is when a change must be safe and barely is.
                if random.below(2) == 0 {
                    self.wait_for_answers(1);
                }
                let kind = KINDS[(kill % 3) as usize];
                let begun = Instant::now();
                self.kill(kind, random);
                self.wait_until_ready();
                println!("kill {kill}: {kind:?}, ready after {:.1?}", begun.elapsed());
                self.times.lock().expect("not poisoned").push((kind, begun.elapsed()));
            }
            self.wait_for_answers(50);
            drop(guard);
            callers.into_iter().flat_map(|caller| caller.join().expect("a caller")).collect()
        })
    }

    fn kill(&self, kind: Kind, random: &mut Random) {
        match kind {
            Kind::Node => {
                // Mostly the one that chains.
                let node = self.node_that_chains().filter(|_| random.below(3) > 0);
                let node = node.unwrap_or(random.below(NODES as u64) as usize);
                self.kill_node(node);
                std::thread::sleep(Duration::from_millis(random.between(0, 300)));
                self.start_node(node);
            }
            Kind::Backend => {
                let query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'seatkeeper'
                              ORDER BY state = 'active' DESC, random() LIMIT 1";
                let pid: i64 = self.database.query(query);
                let pid = Pid::from_raw(i32::try_from(pid).expect("a process")).expect("a process");
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
                // Its number is free when the server has taken note, and ends all others: a node that was ready before says nothing.
                wait_until("the server notices", || test_kill_process(pid).is_err());
            }
            Kind::Postmaster => {
                self.cluster().crash();
                for node in 0..NODES {
                    wait_until("a node without database says that it is not ready", || {
                        self.readiness(node) == Some(503)
                    });
                }
                std::thread::sleep(Duration::from_millis(random.between(0, 500)));
                self.cluster().start_again();
            }
        }
    }

    fn kill_node(&self, node: usize) {
        let serving = self.nodes[node].lock().expect("not poisoned").take();
        serving.expect("it runs").kill();
    }

    fn start_node(&self, node: usize) {
        let serving = serve(&self.database);
        self.addresses.lock().expect("not poisoned")[node] = serving.address;
        *self.nodes[node].lock().expect("not poisoned") = Some(serving);
    }

    fn node_that_chains(&self) -> Option<usize> {
        let holder: String = self.database.query("SELECT holder FROM chain_lease");
        (0..NODES).find(|node| {
            let serving = self.nodes[*node].lock().expect("not poisoned");
            serving.as_ref().is_some_and(|serving| holder.starts_with(&format!("process {},", serving.id())))
        })
    }

    /// Waits for so many answers, as far as they come.
    fn wait_for_answers(&self, number: u64) {
        let (before, begun) = (self.answers.load(Ordering::Relaxed), Instant::now());
        while self.answers.load(Ordering::Relaxed) < before + number && begun.elapsed() < LONG {
            match number {
                // At once, whatever it costs.
                1 => std::thread::yield_now(),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Nodes that lost the database recover by themselves.
    fn wait_until_ready(&self) {
        for node in 0..NODES {
            wait_until("a node is ready again", || self.readiness(node) == Some(200));
        }
    }

    /// The status of /readyz.
    fn readiness(&self, node: usize) -> Option<u16> {
        let mut client = connect(self.addresses.lock().expect("not poisoned")[node])?;
        client.0.write_all(b"GET /readyz HTTP/1.1\r\nHost: test.example\r\n\r\n").ok()?;
        Some(client.receive_unchecked()?.status)
    }

    /// The other node goes on with the chain; how long after the kill.
    fn kill_the_node_that_chains(&self) -> Duration {
        wait_until("a node has the lease", || self.node_that_chains().is_some());
        let node = self.node_that_chains().expect("it has the lease");
        self.kill_node(node);
        let begun = Instant::now();
        self.database.execute("UPDATE entity SET name = 'after the kill'").expect("an event");
        wait_until("the other node chains", || self.is_chained());
        assert_eq!(self.node_that_chains(), Some(1 - node));
        let time = begun.elapsed();
        self.start_node(node);
        time
    }

    fn is_chained(&self) -> bool {
        self.database.query::<i64>("SELECT count(*) FROM audit_pending") == 0
    }

    // Callers -----------------------------------------------------------------------------------------------------------

    /// One caller, until the round is over.
    fn call(&self, round: u64, caller: usize, mut random: Random) -> Vec<Made> {
        let guard = FailCallers(self);
        let mut made: Vec<Made> = Vec::new();
        let mut link = Link { node: caller % NODES, client: None };
        let own = |n: usize, of| Own { name: format!("own-{round}-{caller}-{n}"), of, has_seat: false };
        let mut users: Vec<Own> = (0..OWN).map(|n| own(n, n % TYPES.len())).collect();
        while !self.is_over.load(Ordering::Relaxed) && !self.has_failed.load(Ordering::Relaxed) {
            let name = (random.below(2) == 0).then(|| format!("{round}-{caller}-{}", made.len()));
            let call = if random.below(6) == 0 {
                let number = self.shared.fetch_add(1, Ordering::Relaxed) / CALLERS_PER_SHARED;
                self.make(&mut link, &format!("shared-{round}-{number}"), number % SCARCE, true, name.as_deref())
            } else {
                let at = random.below(OWN as u64) as usize;
                let Own { name: user, of, has_seat } = &users[at];
                self.make(&mut link, user, *of, !has_seat, name.as_deref())
            };
            let Some(mut call) = call else { break };
            call.is_shared = call.user.starts_with("shared");
            if !call.is_shared {
                let at = users.iter().position(|own| own.name == call.user).expect("one of them");
                users[at].has_seat = call.is_assign && call.code != "NoFreeSeat";
                if call.may_have_more() {
                    // What is under way must not meet a later call.
                    users[at] = own(OWN + made.len(), users[at].of);
                }
            }
            made.push(call);
        }
        std::mem::forget(guard);
        made
    }

    /// Sends a call until it is answered, on one node and the other. `None`: the test has failed elsewhere.
    fn make(&self, link: &mut Link, user: &str, of: usize, is_assign: bool, name: Option<&str>) -> Option<Made> {
        let operation = if is_assign { "AssignLicense" } else { "UnassignLicense" };
        let provider = if is_assign {
            format!("<LicenseProviderEntityId>{ENTITY}</LicenseProviderEntityId>")
        } else {
            String::new()
        };
        let fields = format!("<Username>{user}</Username>{provider}<LicenseType>{}</LicenseType>", TYPES[of]);
        let request = with_name(&call11(operation, "admin", &fields), name);
        let begun = self.begun.elapsed();
        let mut lost = 0;
        while !self.has_failed.load(Ordering::Relaxed) {
            let sent = self.begun.elapsed();
            assert!(sent - begun < PATIENCE, "{user}: no answer for {PATIENCE:?}");
            if link.client.is_none() {
                link.client = connect(self.addresses.lock().expect("not poisoned")[link.node]);
            }
            let Some(client) = &mut link.client else {
                link.turn();
                continue;
            };
            let answer = client.0.write_all(&request).ok().and_then(|()| client.receive_unchecked());
            let Some(answer) = answer else {
                lost += 1;
                self.lost.fetch_add(1, Ordering::Relaxed);
                link.turn();
                continue;
            };
            self.answers.fetch_add(1, Ordering::Relaxed);
            if answer.body.contains("Nothing was changed") {
                self.unavailable.fetch_add(1, Ordering::Relaxed);
                link.turn();
                continue;
            }
            if answer.body.contains("It is unknown whether the change was made") {
                lost += 1;
                self.lost.fetch_add(1, Ordering::Relaxed);
                link.turn();
                continue;
            }
            let code = answer.code();
            self.count(&code);
            let ended = self.begun.elapsed();
            let (user, is_named) = (user.to_owned(), name.is_some());
            return Some(Made { user, of, is_assign, is_named, is_shared: false, begun, sent, ended, lost, code });
        }
        None
    }

    fn count(&self, code: &str) {
        let count = if code == "Success" { &self.acknowledged } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }

    // What is there -----------------------------------------------------------------------------------------------------

    /// Compares the answers with what the database has, then makes room for the next round.
    fn verify(&self, calls: &[Made]) {
        // What killed nodes had sent has ended by then.
        wait_until("the history is chained", || self.is_chained());
        let holders =
            self.pairs("SELECT username, license_type FROM seat JOIN account ON account.id = account_id ORDER BY 1, 2");
        let held: BTreeSet<&(String, String)> = holders.iter().collect();
        let mut broken: Vec<String> = Vec::new();
        let mut by_user: BTreeMap<&str, Vec<&Made>> = BTreeMap::new();
        calls.iter().for_each(|call| by_user.entry(&call.user).or_default().push(call));
        let taken = self.pairs(
            "SELECT account.username, count(*) FROM audit_event JOIN account ON account.id = account_id
              WHERE action = 'assign' GROUP BY 1",
        );
        let taken: BTreeMap<&str, usize> =
            taken.iter().map(|(user, times)| (user.as_str(), times.parse().expect("a number"))).collect();
        for (user, calls) in &by_user {
            let last = calls.last().expect("one call at least");
            let has_seat = held.contains(&((*user).to_owned(), TYPES[last.of].to_owned()));
            let done = calls.iter().filter(|call| call.is_assign && call.is_done()).count();
            let events = taken.get(user).copied().unwrap_or(0);
            if last.is_shared {
                let was_told = calls.iter().any(|call| call.is_done() || call.code == "AlreadyExists");
                let is_open = calls.iter().any(|call| call.lost > 0);
                if !was_told || !has_seat || events != 1 || done > 1 || done == 0 && !is_open {
                    broken.push(format!("{user} has a seat: {has_seat}, taken {events} times: {calls:?}"));
                }
                continue;
            }
            for call in calls {
                let is_explained = match call.code.as_str() {
                    "Success" => true,
                    // An earlier sending has done it.
                    "AlreadyExists" => call.is_assign && call.may_have_more(),
                    "NotAssigned" => !call.is_assign && call.may_have_more(),
                    "NoFreeSeat" => call.is_assign && call.of == SCARCE,
                    _ => false,
                };
                if !is_explained {
                    broken.push(format!("not explained: {call:?}, of {calls:?}"));
                }
            }
            let expected = last.is_assign && last.code != "NoFreeSeat";
            let may_be = last.may_have_more() && last.is_assign && !expected;
            if has_seat != expected && !may_be {
                broken.push(format!("{user} has a seat: {has_seat}, after {calls:?}"));
            }
            if events != done && !last.may_have_more() {
                broken.push(format!("{user} took a seat {events} times: {calls:?}"));
            }
        }
        let twice = self.pairs(
            "SELECT request_id, action FROM audit_event WHERE request_id IS NOT NULL AND action IN ('assign', 'release')
              GROUP BY 1, 2 HAVING count(*) > 1",
        );
        broken.extend(twice.iter().map(|(call, action)| format!("call {call} has more than one event '{action}'")));
        broken.extend(refused_in_vain(calls).iter().map(|call| format!("a seat was free all along: {call:?}")));
        assert!(broken.is_empty(), "{} broken, such as {:#?}", broken.len(), &broken[..broken.len().min(5)]);
        for command in ["check", "audit verify"] {
            let found = seatkeeper(command, self.database.url(), &[], "");
            assert_eq!(found.code, Some(0), "{command}: {found:?}");
        }
        self.database.execute("UPDATE seat SET account_id = NULL WHERE account_id IS NOT NULL").expect("room");
    }

    fn pairs(&self, query: &str) -> Vec<(String, String)> {
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        let rows = self.database.session().rows(query).unwrap_or_else(|e| panic!("{query}: {e}"));
        rows.iter().map(|row| (text(&row[0]), text(&row[1]))).collect()
    }
}

/// Calls that were refused although at no moment of theirs all scarce seats can have been taken.
fn refused_in_vain(calls: &[Made]) -> Vec<&Made> {
    // From when to when a user can have had a seat at most.
    let mut spans: Vec<(Duration, Duration)> = Vec::new();
    let mut open: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut scarce: Vec<&Made> = calls.iter().filter(|call| call.of == SCARCE).collect();
    scarce.sort_by_key(|call| call.begun);
    for call in &scarce {
        if call.is_assign && (call.code != "NoFreeSeat" || call.may_have_more()) {
            open.insert(&call.user, call.begun);
        } else if !call.is_assign
            && let Some(begun) = open.remove(call.user.as_str())
        {
            spans.push((begun, call.ended));
        }
    }
    spans.extend(open.into_values().map(|begun| (begun, Duration::MAX)));
    let can_be_full =
        |at: Duration| spans.iter().filter(|(begun, ended)| *begun <= at && at <= *ended).count() >= SEATS[SCARCE];
    scarce.retain(|call| {
        // The refusal of a call with a name may be that of an earlier sending.
        let from = if call.is_named { call.begun } else { call.sent };
        let moments = spans.iter().map(|(begun, _)| *begun).filter(|begun| (from..=call.ended).contains(begun));
        call.code == "NoFreeSeat" && !moments.chain([from]).any(can_be_full)
    });
    scarce
}

/// The connection of a caller.
struct Link {
    node: usize,
    client: Option<Client>,
}

impl Link {
    /// To the other node, in a moment.
    fn turn(&mut self) {
        self.node = (self.node + 1) % NODES;
        self.client = None;
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lets callers finish; at once, if the thread that kills has failed.
struct EndCallers<'b>(&'b Bed);

impl Drop for EndCallers<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        if std::thread::panicking() {
            self.0.has_failed.store(true, Ordering::Relaxed);
        }
    }
}

/// Ends all callers if one has failed.
struct FailCallers<'b>(&'b Bed);

impl Drop for FailCallers<'_> {
    fn drop(&mut self) {
        self.0.has_failed.store(true, Ordering::Relaxed);
    }
}

fn connect(address: SocketAddr) -> Option<Client> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE / 2))).ok()?;
    Some(Client(stream))
}
