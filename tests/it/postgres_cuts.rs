//! Connections to PostgreSQL that are cut, or fall silent, at any step of the protocol. Every call ends, once, and what its caller learns is
//! true: a success is in the database, once; after a refusal, or an answer that nothing was changed, nothing is; and of what is unknown
//! one or the other is true.
//!
//! SEATKEEPER_CUTS says how often connections are cut, SEATKEEPER_SEED repeats the choices of a run that failed. (Threads and the server take
//! their own time, so the same cuts meet other messages.)

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use seatkeeper::auth;
use seatkeeper::error::ErrorKind;
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, Holding, LicenseType, Refusal, SeatId, Transfer};
use seatkeeper::store::{
    self, Call, CallName, Credential, NameSource, NewTicket, Options, Store, StoreError, TicketProof,
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::cuts::{Act, Proxy, Strike, Way};
use crate::harness::wait_until;
use crate::kill::{Random, number_from};
use crate::licenses::{DISK, NOW, SQL, at, call, call_by_ticket, seed};
use crate::postgres::{Cluster, Database, OWNER, OWNER_PASSWORD};

/// With a database and a node of their own.
const CUTS_PER_ROUND: u64 = 200;
const CALLERS: u64 = 10;
const CONNECTIONS: usize = 6;
const USERS: u64 = 24;
/// Longer than any call takes: an attempt on a connection that has gone silent, and 30 s to find out about its commit, twice.
const BOUND: Duration = Duration::from_secs(90);

/// A node that reaches its database through a proxy.
struct Node {
    database: Database,
    proxy: Proxy,
    store: Arc<dyn Store>,
    runtime: Runtime,
}

fn options(connections: usize) -> Options {
    Options {
        server_connections_max: connections,
        busy_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(3),
        ..Options::default()
    }
}

impl Node {
    fn new(cluster: &Arc<Cluster>, connections: usize) -> Node {
        let database = cluster.database();
        let more = "UPDATE license_pool SET seats_total = 16 WHERE id = 1; UPDATE license_pool SET seats_total = 100000 WHERE id = 4;
             INSERT INTO account (username, entity_id) SELECT 'user' || n, 42 FROM generate_series(0, 22, 2) AS n";
        database.execute(&format!("{}; {more}", seed())).expect("seed");
        let proxy = Proxy::to(cluster.port());
        let place = format!(
            "postgres://{OWNER}:{OWNER_PASSWORD}@127.0.0.1:{}/{}?connect_timeout=5&sslmode=disable",
            proxy.port,
            database.name()
        );
        let store = store::open(&place.as_str().into(), &options(connections), Arc::new(Metrics::new()))
            .unwrap_or_else(|e| panic!("{e}"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        Node { database, proxy, store, runtime }
    }

    fn begin_assign(&self, username: &str) -> tokio::task::JoinHandle<Outcome> {
        let (store, request) = (Arc::clone(&self.store), request(username, DISK));
        self.runtime.spawn(async move { store.assign(call("agent"), request).await })
    }

    fn assign(&self, username: &str) -> Outcome {
        self.runtime.block_on(self.begin_assign(username)).expect("no panic")
    }

    fn query(&self, query: &str) -> i64 {
        self.database.query(query)
    }

    /// The user holds this seat, and got one once.
    #[track_caller]
    fn has_one_seat(&self, username: &str, seat: SeatId) {
        let held = "SELECT pool_id, seat_no FROM seat JOIN account ON account.id = account_id WHERE username";
        let held = self.database.session().rows(&format!("{held} = '{username}'")).expect("rows");
        assert_eq!(held, [[Value::Integer(seat.pool_id), Value::Integer(seat.seat_no)]], "{username}");
        let taken = format!("SELECT count(*) FROM audit_event WHERE action = 'assign' AND username = '{username}'");
        assert_eq!(self.query(&taken), 1, "{username}");
    }

    /// As many connections as there may be serve calls at once, and no more are there.
    fn pool_is_whole(&self) {
        let lock = self.database.session();
        lock.execute("BEGIN; LOCK TABLE seat IN EXCLUSIVE MODE").expect("lock");
        let begin = |n: usize| {
            let (store, username) = (Arc::clone(&self.store), format!("last{n}"));
            // The others may take their time to connect, and a call waits for a lock for some seconds only.
            self.runtime.spawn(async move {
                loop {
                    match store.assign(call("agent"), request(&username, DISK)).await {
                        Err(StoreError::Locked) => {}
                        outcome => return outcome,
                    }
                }
            })
        };
        let calls: Vec<_> = (0..CONNECTIONS).map(begin).collect();
        let waiting = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name = 'seatkeeper' AND wait_event_type = 'Lock'";
        wait_until("every connection is at work", || self.query(waiting) == CONNECTIONS as i64);
        lock.execute("COMMIT").expect("unlock");
        for call in calls {
            self.runtime.block_on(call).expect("no panic").expect("the database works").expect("a seat");
        }
    }

    /// What holds when all is quiet again.
    fn is_sound(&self) {
        wait_until("the node is ready", || self.runtime.block_on(self.store.ready()).is_ok());
        let ours = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'seatkeeper'";
        // The chain has transactions of its own now and then, and one of them may be seen.
        let open = format!("SELECT count(*) {ours} AND xact_start IS NOT NULL");
        wait_until("no transaction is open", || self.query(&open) == 0);
        self.pool_is_whole();
        // Beside those for calls there are two, and the chain's.
        let all = format!("SELECT count(*) {ours}");
        wait_until("no connection is left over", || self.query(&all) <= CONNECTIONS as i64 + 3);
        wait_until("every event is chained", || self.query("SELECT count(*) FROM audit_pending") == 0);
        let place: store::Database = self.database.url().into();
        assert_eq!(store::check(&place, auth::check_hash).expect("check"), []);
        assert_eq!(store::verify_history(&place, Vec::new()).expect("readable").broken, Vec::<String>::new());
        assert_eq!(
            self.query(
                "SELECT count(*) FROM (
                     SELECT action, account_id, lag(action) OVER seat AS before, lag(account_id) OVER seat AS holder
                       FROM audit_event WHERE action IN ('assign', 'release')
                     WINDOW seat AS (PARTITION BY pool_id, seat_no ORDER BY id)) AS change
                  WHERE action = coalesce(before, 'release') OR (action = 'release' AND account_id <> holder)"
            ),
            0,
            "a seat is taken when it is free, and released by its holder"
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.store.close();
        }
    }
}

type Outcome = Result<Result<SeatId, Refusal>, StoreError>;

fn request(username: &str, license_type: LicenseType) -> AssignRequest {
    AssignRequest { username: Some(username.into()), provider_entity_id: Some(42), license_type: Some(license_type) }
}

// Any step --------------------------------------------------------------------------------------------------------------------------

/// What a call is to do.
#[derive(Debug, Clone)]
enum What {
    Assign(String),
    Release(String),
    Transfer(String, String),
    AssignAll(Vec<String>),
    SignIn,
    Look,
}

/// What its caller learned.
#[derive(Debug)]
enum Told {
    /// The seats, in the order of the users.
    Done(Vec<Option<SeatId>>),
    Refused(&'static str),
    Nothing(StoreError),
    Unknown,
    /// The caller did not wait for it.
    Unheard,
}

#[derive(Debug)]
struct Record {
    id: Uuid,
    what: What,
    told: Told,
    /// The call of the same name whose outcome this is.
    original: Option<Uuid>,
    name: Option<String>,
    took: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    action: String,
    username: String,
    seat: Option<SeatId>,
}

/// One caller. Its calls, until it is told to stop.
struct Caller {
    number: u64,
    store: Arc<dyn Store>,
    random: Random,
    records: Vec<Record>,
}

impl Caller {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Vec<Record> {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            match self.random.below(16) {
                0..5 => {
                    let what = self.assignment(number);
                    self.make(what, None).await;
                }
                5..8 => {
                    let what = What::Release(self.user());
                    self.make(what, None).await;
                }
                8..10 => {
                    let what = What::Transfer(self.user(), self.user());
                    self.make(what, None).await;
                }
                10 => {
                    let users: HashSet<_> = (0..5).map(|_| self.user()).collect();
                    self.make(What::AssignAll(users.into_iter().collect()), None).await;
                }
                11..14 => {
                    let what = match self.random.below(3) {
                        0 => What::Release(self.user()),
                        _ => self.assignment(number),
                    };
                    let name = format!("call {number} of {}", self.number);
                    for _ in 0..4 {
                        let is_known = self.make(what.clone(), Some(&name)).await;
                        if is_known && self.random.below(3) > 0 {
                            break;
                        }
                    }
                }
                14 => _ = self.make(What::SignIn, None).await,
                _ => _ = self.make(What::Look, None).await,
            }
        }
        self.records
    }

    fn user(&mut self) -> String {
        format!("user{}", self.random.below(USERS))
    }

    fn assignment(&mut self, number: u64) -> What {
        // Some are enrolled by their call.
        let is_new = self.random.below(6) == 0;
        What::Assign(if is_new { format!("new{}-{number}", self.number) } else { self.user() })
    }

    /// Makes a call and takes note of it. Whether the caller knows what came of it.
    async fn make(&mut self, what: What, name: Option<&str>) -> bool {
        let who = if matches!(what, What::Assign(_) | What::AssignAll(_)) { "agent" } else { "admin" };
        let named = name.map(|name| {
            let hash = [1; 32];
            Arc::new(CallName::new(NameSource::IdempotencyKey, Ok(name.to_owned()), "AssignLicense", hash))
        });
        let call = Call { name: named.clone(), ..call(who) };
        let id = call.id;
        let patience = match self.random.below(12) {
            0 => Duration::from_millis(self.random.between(1, 300)),
            _ => BOUND * 2,
        };
        let begun = Instant::now();
        let outcome = tokio::time::timeout(patience, run(&*self.store, call, &what)).await;
        let told = outcome.map_or(Told::Unheard, |outcome| match outcome {
            Ok(Ok(seats)) => Told::Done(seats),
            Ok(Err(refusal)) => Told::Refused(ErrorKind::from(&refusal).code()),
            Err(StoreError::Unknown(_)) => Told::Unknown,
            Err(error) => Told::Nothing(error),
        });
        let is_known = !matches!(told, Told::Unknown | Told::Unheard | Told::Nothing(_));
        let original = named.and_then(|name| name.original()).map(|original| original.id);
        let name = name.map(str::to_owned);
        self.records.push(Record { id, what, told, original, name, took: begun.elapsed() });
        is_known
    }
}

async fn run(store: &dyn Store, call: Call, what: &What) -> Result<Result<Vec<Option<SeatId>>, Refusal>, StoreError> {
    let one = |outcome: Outcome| outcome.map(|outcome| outcome.map(|seat| vec![Some(seat)]));
    match what {
        What::Assign(user) => {
            // Those that are new stay, and must not fill the pool.
            let license_type = if user.starts_with("new") { DISK } else { SQL };
            one(store.assign(call, request(user, license_type)).await)
        }
        What::Release(user) => {
            one(store.release(call, Holding { username: Some(user.as_str().into()), license_type: Some(SQL) }).await)
        }
        What::Transfer(from, to) => {
            let (from, to) = (from.as_str().into(), to.as_str().into());
            one(store.transfer(call, Transfer { from: Some(from), to: Some(to), license_type: Some(SQL) }).await)
        }
        What::AssignAll(users) => {
            let requests = users.iter().map(|user| request(user, SQL)).collect();
            let outcomes = store.assign_all(call, requests, false).await?;
            Ok(outcomes.map(|outcomes| outcomes.into_iter().map(Result::ok).collect()))
        }
        What::SignIn => {
            let credential: Option<Credential> = store.credential("admin").await?;
            assert!(credential.is_some_and(|found| &*found.user_name == "admin"));
            // The ticket has the call's id, by which its row is found in the end.
            let proof = TicketProof { id: call.id, secret_hash: [7; 32] };
            let ticket = NewTicket { proof: proof.clone(), expires_at: at("2026-06-01T13:00:00Z") };
            if let Err(refusal) = store.issue_ticket(call, ticket).await? {
                return Ok(Err(refusal));
            }
            let principal = store.principal(call_by_ticket(&proof, NOW)).await;
            if let Ok(principal) = principal {
                assert_eq!(principal.expect("the ticket is good").user_name, "admin");
            }
            let renewed = store.renew_ticket(proof.id, at("2026-06-01T12:30:00Z"), at("2026-06-01T14:00:00Z"));
            // It lives a little less long otherwise.
            let _ = renewed.await;
            Ok(Ok(Vec::new()))
        }
        What::Look => {
            let pools = store.pools(call, Some(42)).await?;
            for pool in pools.iter().flatten() {
                assert!((0..=pool.seats_total).contains(&pool.seats_in_use), "{pool:?}");
                assert!((pool.seats_in_use..=pool.seats_total).contains(&pool.seats_in_use_max), "{pool:?}");
            }
            Ok(pools.map(|_| Vec::new()))
        }
    }
}

/// Whether these can be the events of a call that was made, and whole.
fn are_of(what: &What, events: &[Event]) -> bool {
    let changes: Vec<_> = events.iter().filter(|event| event.action != "account-create").collect();
    let is = |event: &Event, action: &str, user: &str| event.action == action && event.username == user;
    match (what, &changes[..]) {
        (What::Assign(user), [taken]) => is(taken, "assign", user),
        (What::Release(user), [given]) => is(given, "release", user),
        (What::Transfer(from, to), [given, taken]) => {
            is(given, "release", from) && is(taken, "assign", to) && given.seat == taken.seat
        }
        (What::AssignAll(users), changes) => {
            let different: HashSet<_> = changes.iter().map(|change| &change.username).collect();
            different.len() == changes.len()
                && changes.iter().all(|change| change.action == "assign" && users.contains(&change.username))
        }
        (What::SignIn | What::Look, changes) => changes.is_empty(),
        _ => false,
    }
}

/// Whether the events say that the users got, or gave back, these seats.
fn have_seats(what: &What, events: &[Event], seats: &[Option<SeatId>]) -> bool {
    let seat_of = |user: &String| {
        let change = events.iter().filter(|event| event.action != "account-create");
        change.filter(|event| event.username == *user).find_map(|event| event.seat)
    };
    match what {
        What::Assign(user) | What::Release(user) | What::Transfer(_, user) => seats == [seat_of(user)],
        What::AssignAll(users) => users.iter().map(seat_of).eq(seats.iter().copied()),
        What::SignIn | What::Look => true,
    }
}

/// All events of calls, by the ids of the calls.
fn events(database: &Database) -> HashMap<Uuid, Vec<Event>> {
    let query = "SELECT request_id, action, username, pool_id, seat_no FROM audit_event WHERE request_id IS NOT NULL ORDER BY id";
    let mut events: HashMap<Uuid, Vec<Event>> = HashMap::new();
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    for row in database.session().rows(query).expect("events") {
        let seat = match (&row[3], &row[4]) {
            (Value::Integer(pool_id), Value::Integer(seat_no)) => Some(SeatId { pool_id: *pool_id, seat_no: *seat_no }),
            _ => None,
        };
        let event = Event { action: text(&row[1]), username: text(&row[2]), seat };
        events.entry(text(&row[0]).parse().expect("an id")).or_default().push(event);
    }
    events
}

/// Holds what callers learned against the history.
fn judge(records: &[Record], database: &Database) -> Vec<String> {
    let events = events(database);
    let tickets = database.session().rows("SELECT id FROM ticket").expect("tickets");
    let tickets: HashSet<Uuid> = tickets
        .iter()
        .map(|row| match &row[0] {
            Value::Text(id) => id.parse().expect("an id"),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut wrong = Vec::new();
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        let none = Vec::new();
        let own = events.get(&record.id).unwrap_or(&none);
        let told = record.original.map_or(own, |original| events.get(&original).unwrap_or(&none));
        let is_true = match &record.told {
            Told::Done(_) if record.original.is_some() && !own.is_empty() => false,
            Told::Done(seats) => are_of(&record.what, told) && have_seats(&record.what, told, seats),
            Told::Refused(_) | Told::Nothing(_) => own.is_empty(),
            Told::Unknown | Told::Unheard => own.is_empty() || are_of(&record.what, own),
        };
        let is_there =
            !matches!((&record.what, &record.told), (What::SignIn, Told::Done(_))) || tickets.contains(&record.id);
        let is_expected = match &record.told {
            Told::Refused(code) => {
                ["AlreadyExists", "NoFreeSeat", "NotAssigned", "ObjectEntityMismatch"].contains(code)
            }
            Told::Nothing(StoreError::Unreachable(_) | StoreError::Locked | StoreError::QueueFull) => true,
            // A statement that took too long.
            Told::Nothing(StoreError::Failed(text)) => text.contains("57014"),
            Told::Nothing(_) => false,
            Told::Done(_) | Told::Unknown | Told::Unheard => true,
        };
        if !(is_true && is_there && is_expected && record.took < BOUND) {
            wrong.push(format!("{record:?}: {own:?}, {told:?}"));
        }
        if let Some(name) = &record.name {
            *by_name.entry(name).or_default() += own.iter().filter(|event| event.action != "account-create").count();
        }
    }
    wrong
        .extend(by_name.iter().filter(|(_, made)| **made > 1).map(|(name, made)| format!("{name}: made {made} times")));
    wrong
}

/// A step of the protocol, and what happens there.
fn any_strike(random: &mut Random) -> Strike {
    let ms = |random: &mut Random, usual: u64, most: u64| {
        let most = if random.below(10) == 0 { most } else { usual };
        Duration::from_millis(random.between(10, most))
    };
    let way = if random.below(2) == 0 { Way::ToServer } else { Way::ToClient };
    let act = match random.below(10) {
        0 => Act::Delay(ms(random, 300, 1_500)),
        1..4 => Act::Cut { by_reset: true },
        4..6 => Act::Cut { by_reset: false },
        6..8 => Act::Silence(ms(random, 400, 2_500)),
        _ => Act::LeaveServer(ms(random, 400, 6_000)),
    };
    let in_sign_in = random.below(5) == 0;
    let bytes = match random.below(6) {
        0 | 1 => 0,
        2 => random.between(1, 4),
        3 | 4 => random.between(5, 120),
        // At its end.
        _ => 1 << 20,
    };
    Strike {
        in_sign_in,
        messages: random.below(if in_sign_in { 9 } else { 60 }) as usize,
        bytes: bytes as usize,
        to_all: random.below(8) == 0,
        ..Strike::next(way, act)
    }
}

/// Cuts connections so often while calls are made. What callers learned, and how often.
fn round(cluster: &Arc<Cluster>, seed: u64, cuts: u64) -> BTreeMap<String, usize> {
    println!("SEATKEEPER_SEED={seed}");
    let mut random = Random::new(seed);
    let node = Node::new(cluster, CONNECTIONS);
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (store, random) = (Arc::clone(&node.store), Random::new(random.next()));
            node.runtime.spawn(Caller { number, store, random, records: Vec::new() }.run(Arc::clone(&stop)))
        })
        .collect();
    let begun = Instant::now();
    let mut done = 0;
    while done < cuts {
        let strike = any_strike(&mut random);
        let is_cut = !matches!(strike.act, Act::Delay(_));
        let to_all = strike.to_all;
        node.proxy.strike(strike.clone());
        if !node.proxy.wait(Duration::from_millis(400)) {
            // There are no sign-ins, or few messages.
            node.proxy.forget();
            node.proxy.strike(Strike { in_sign_in: false, messages: 0, ..strike });
            assert!(node.proxy.wait(BOUND), "nothing passes any more");
        }
        done += u64::from(is_cut);
        let pause = if to_all { 300 } else { 40 };
        std::thread::sleep(Duration::from_millis(random.below(pause)));
    }
    let cutting = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let records: Vec<Record> = node.runtime.block_on(async {
        let mut records = Vec::new();
        for caller in callers {
            records.extend(tokio::time::timeout(BOUND * 2, caller).await.expect("every call ends").expect("no panic"));
        }
        records
    });
    // A server that was left behind finishes what it was at.
    let has_ended = || node.proxy.open() <= CONNECTIONS + 3;
    wait_until("the server has seen the last cut", has_ended);
    let at_work = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'seatkeeper' AND wait_event_type = 'Lock'";
    wait_until("no call of before is at work", || node.query(at_work) == 0);
    let wrong = judge(&records, &node.database);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for record in &records {
        let told = match &record.told {
            _ if record.original.is_some() => "repeated".to_owned(),
            Told::Done(_) => "done".to_owned(),
            Told::Refused(code) => (*code).to_owned(),
            Told::Nothing(StoreError::Unreachable(_)) => "out of reach".to_owned(),
            Told::Nothing(error) => error.to_string(),
            Told::Unknown => "unknown".to_owned(),
            Told::Unheard => "not waited for".to_owned(),
        };
        *counts.entry(told).or_default() += 1;
    }
    let longest = records.iter().map(|record| record.took).max().unwrap_or_default();
    println!("{cuts} cuts in {cutting:?}, {} calls, the longest took {longest:?}: {counts:?}", records.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), records.len(), wrong.join("\n"));
    node.is_sound();
    counts
}

#[test]
fn a_cut_at_any_step_leaves_every_call_with_one_true_end() {
    let cuts = number_from("SEATKEEPER_CUTS").unwrap_or(CUTS_PER_ROUND);
    let mut seed = number_from("SEATKEEPER_SEED").unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
    // A commit takes as long as on a disk, or as a standby far away needs: many cuts fall into one.
    let cluster = Cluster::start_on_tcp(&["fsync=on", "commit_delay=10000", "commit_siblings=0"]);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut done = 0;
    while done < cuts {
        let cuts = CUTS_PER_ROUND.min(cuts - done);
        for (told, count) in round(&cluster, seed, cuts) {
            *counts.entry(told).or_default() += count;
        }
        done += cuts;
        println!("{done} cuts so far");
        seed = Random::new(seed).next();
    }
    println!("{done} cuts: {counts:?}");
    let of = |told: &str| counts.get(told).copied().unwrap_or_default() as u64;
    assert!(of("done") > cuts && of("repeated") > 0 && of("NoFreeSeat") + of("AlreadyExists") > 0, "{counts:?}");
}

// Chosen steps ----------------------------------------------------------------------------------------------------------------------

/// A server that has the statement of a change, and not the end of the message behind it, waits for its client and counts as active. It is
/// ended, and the change made.
#[test]
fn a_server_that_waits_for_the_rest_of_a_change_is_ended() {
    let cluster = Cluster::start_on_tcp(&[]);
    let node = Node::new(&cluster, 1);
    for (number, bytes) in [0, 1, 4].into_iter().enumerate() {
        // Its statements are prepared on the one connection there is.
        node.assign(&format!("first{number}")).expect("the database works").expect("a seat");
        let marker = ["anna0", "anna1", "anna2"][number];
        // The facts end with the first Sync, the change with the second.
        let act = Act::LeaveServer(Duration::from_secs(120));
        let strike =
            Strike { marker: Some(marker), kind: Some(b'S'), messages: 1, bytes, ..Strike::next(Way::ToServer, act) };
        node.proxy.strike(strike);
        let begun = Instant::now();
        let seat = node.assign(marker).expect("the database works").expect("a seat");
        assert!(node.proxy.wait(Duration::ZERO), "it was cut");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        node.has_one_seat(marker, seat);
    }
}

/// The answer to a change is lost, and the connection on which its event is looked for says nothing: another one is asked.
#[test]
fn a_silent_connection_is_not_asked_twice_what_became_of_a_change() {
    let cluster = Cluster::start_on_tcp(&[]);
    let node = Node::new(&cluster, 1);
    node.assign("first").expect("the database works").expect("a seat");
    let answer = Strike {
        marker: Some("anna"),
        // The change is done when the server is ready for the next statement.
        kind: Some(b'Z'),
        messages: 1,
        ..Strike::next(Way::ToClient, Act::Cut { by_reset: true })
    };
    let marker = Some("FROM audit_event WHERE id > $1 AND request_id = $2");
    node.proxy.strike(answer);
    node.proxy.strike(Strike { marker, ..Strike::next(Way::ToClient, Act::Silence(Duration::from_secs(120))) });
    let begun = Instant::now();
    let seat = node.assign("anna").expect("the true answer").expect("a seat");
    assert!(node.proxy.wait(Duration::ZERO), "both happened");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    node.has_one_seat("anna", seat);
}

/// As while a server starts again: a call that comes meanwhile is made as soon as it is there.
#[test]
fn a_call_outlives_connections_that_are_not_made() {
    let cluster = Cluster::start_on_tcp(&[]);
    let node = Node::new(&cluster, 2);
    for is_idle in [true, false] {
        node.proxy.refuse(true);
        node.proxy.act_on_all(Act::Cut { by_reset: true });
        if is_idle {
            // The pool has found out.
            wait_until("the node is not ready", || node.runtime.block_on(node.store.ready()).is_err());
        }
        let call = node.begin_assign(if is_idle { "anna" } else { "bert" });
        std::thread::sleep(Duration::from_millis(700));
        node.proxy.refuse(false);
        node.runtime.block_on(call).expect("no panic").expect("the database works").expect("a seat");
    }
}

/// A database that says nothing any more holds up neither calls nor a stop for long.
#[test]
fn a_store_whose_database_is_silent_can_be_closed() {
    let cluster = Cluster::start_on_tcp(&[]);
    let node = Node::new(&cluster, 2);
    node.assign("anna").expect("the database works").expect("a seat");
    node.proxy.act_on_all(Act::Silence(Duration::from_secs(300)));
    let begun = Instant::now();
    // It waits for the statement's time limit, and ten seconds more.
    assert!(matches!(node.assign("bert"), Err(StoreError::Unreachable(_) | StoreError::QueueFull)));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let begun = Instant::now();
    node.store.close();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// A server whose client is gone without a word finds that out in half a minute, not in two hours: it asks on a connection at rest.
#[test]
fn the_server_asks_for_clients_that_say_nothing() {
    let cluster = Cluster::start_on_tcp(&[]);
    let node = Node::new(&cluster, 2);
    node.assign("anna").expect("the database works").expect("a seat");
    let port = format!(":{:04X}", cluster.port());
    // Established connections of the server, and when the timer 2, for keeping them alive, fires next, in hundredths of a second.
    let timers = || -> Vec<u64> {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the table");
        let timer = |line: &str| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let is_server = columns[1].ends_with(&port) && columns[3] == "01";
            let (timer, when) = columns[5].split_once(':')?;
            (is_server && timer == "02").then(|| u64::from_str_radix(when, 16).expect("a number"))
        };
        table.lines().skip(1).filter_map(timer).collect()
    };
    // A connection that is being made, such as that of the chain, does not ask so soon yet.
    let ask_soon = |timers: &[u64]| timers.len() >= 2 && timers.iter().all(|hundredths| *hundredths <= 1_600);
    wait_until("connections are at rest, and the server asks soon", || ask_soon(&timers()));
}
