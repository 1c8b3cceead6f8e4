//! Several nodes on one PostgreSQL database at once: stores of their own stand for nodes. No seat is given twice, every refusal is true, no
//! error of the database reaches a caller, and what administrators do by hand meanwhile keeps its order with what calls do.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use seatkeeper::error::ErrorKind;
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, Holding, LicenseType, Refusal, SeatId, Transfer};
use seatkeeper::store::admin::seats::{
    Leaver, LeaverSeats, Release, Transfer as TransferAll, leave, release as release_seats, transfer,
};
use seatkeeper::store::admin::{Admin, ChangeOptions, Sql, Stop};
use seatkeeper::store::{self, Call, CallName, ModulesRequest, NameSource, Store};
use tokio::runtime::Runtime;

use crate::harness::{LONG, wait_until};
use crate::licenses::{SQL, at, call, call_by_ticket, seed, wait};
use crate::postgres::{Cluster, Database};

/// A database with [`seed`] in it, and nodes on it.
struct Nodes {
    database: Database,
    stores: Vec<Arc<dyn Store>>,
    runtime: Runtime,
    turn: AtomicI64,
}

impl Nodes {
    fn new(number: usize, more: &str) -> Nodes {
        let database = Cluster::shared().database();
        database.execute(&format!("{}; {more}", seed())).expect("seed");
        let place: store::Database = database.url().parse().expect("a place");
        // What is tested is who comes first, not how long the others wait on a slow machine. The server alone needs a second to see a
        // circle of locks.
        let options = store::Options {
            busy_timeout: Duration::from_secs(60),
            statement_timeout: Duration::from_secs(60),
            ..store::Options::default()
        };
        let open = |_| store::open(&place, &options, Arc::new(Metrics::new())).expect("a node");
        let stores = (0..number).map(open).collect();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        Nodes { database, stores, runtime, turn: AtomicI64::new(0) }
    }

    /// The next node, one after the other.
    fn node(&self) -> Arc<dyn Store> {
        let turn = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).expect("a few");
        Arc::clone(&self.stores[turn % self.stores.len()])
    }

    /// Runs calls at once, each on the next node; their outcomes in the order of the calls.
    fn all<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        calls: impl IntoIterator<Item = impl FnOnce(Arc<dyn Store>) -> F>,
    ) -> Vec<Timed<T>> {
        let tasks: Vec<_> = calls
            .into_iter()
            .map(|call| {
                let call = call(self.node());
                self.runtime.spawn(async move {
                    let begun = Instant::now();
                    let outcome = call.await;
                    Timed { begun, ended: Instant::now(), outcome }
                })
            })
            .collect();
        self.runtime.block_on(async {
            let mut outcomes = Vec::new();
            for task in tasks {
                outcomes.push(task.await.expect("no panic"));
            }
            outcomes
        })
    }

    fn query(&self, query: &str) -> i64 {
        self.database.query(query)
    }

    /// What holds in any order of calls.
    #[track_caller]
    fn is_sound(&self) {
        assert_eq!(
            self.query(
                "SELECT count(*) FROM license_pool p
                  WHERE seats_total <> (SELECT count(*) FROM seat WHERE pool_id = p.id)
                     OR (SELECT seats_in_use FROM pool_use WHERE pool_use.id = p.id)
                        <> (SELECT count(*) FROM seat WHERE pool_id = p.id AND account_id IS NOT NULL)"
            ),
            0,
            "the pools' numbers are those of their seats"
        );
        // Ids are drawn where the seat's row is locked: those of one seat are in its order.
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
        assert_eq!(self.query("SELECT count(*) FROM audit_event WHERE actor <> 'sql' AND request_id IS NULL"), 0);
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.stores.iter().for_each(|store| store.close());
    }
}

struct Timed<T> {
    begun: Instant,
    ended: Instant,
    outcome: T,
}

type Outcome = Result<Result<SeatId, Refusal>, store::StoreError>;

fn request(username: &str) -> AssignRequest {
    AssignRequest { username: Some(username.into()), provider_entity_id: Some(42), license_type: Some(SQL) }
}

fn holding(username: &str) -> Holding {
    Holding { username: Some(username.into()), license_type: Some(SQL) }
}

async fn assign(node: Arc<dyn Store>, username: String) -> Outcome {
    node.assign(call("agent"), request(&username)).await
}

async fn release(node: Arc<dyn Store>, username: String) -> Outcome {
    node.release(call("admin"), holding(&username)).await
}

/// Outcomes by their code, each with how often it came.
#[track_caller]
fn counted<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> Vec<(&'static str, usize)> {
    let mut codes: Vec<(&'static str, usize)> = Vec::new();
    for outcome in outcomes {
        let code = match outcome.as_ref().expect("no error of the database reaches a caller") {
            Ok(_) => "Success",
            Err(refusal) => ErrorKind::from(refusal).code(),
        };
        match codes.iter_mut().find(|(known, _)| *known == code) {
            Some((_, times)) => *times += 1,
            None => codes.push((code, 1)),
        }
    }
    codes.sort_unstable();
    codes
}

fn seats_of<'o>(outcomes: impl IntoIterator<Item = &'o Timed<Outcome>>) -> Vec<SeatId> {
    outcomes.into_iter().filter_map(|timed| timed.outcome.as_ref().ok()?.as_ref().ok().copied()).collect()
}

/// As many seats as the pool has are given, to one user each, and only then is a user refused.
#[test]
fn the_last_seats_are_given_once_and_all_of_them() {
    for (nodes, seats, users) in [(2, 1, 24), (2, 37, 60), (4, 3, 48), (4, 40, 64)] {
        let nodes = Nodes::new(nodes, &format!("UPDATE license_pool SET seats_total = {seats} WHERE id = 1"));
        // Half of them are enrolled by their call.
        nodes
            .database
            .execute(
                "INSERT INTO account (username, entity_id) SELECT 'user' || n, 42 FROM generate_series(0, 98, 2) AS n",
            )
            .expect("accounts");
        let outcomes = nodes.all((0..users).map(|user| move |node| assign(node, format!("user{user}"))));
        assert_eq!(
            counted(outcomes.iter().map(|timed| &timed.outcome)),
            [("NoFreeSeat", users - seats), ("Success", seats)]
        );
        let taken = seats_of(&outcomes);
        assert_eq!(taken.iter().collect::<HashSet<_>>().len(), seats, "no seat is given twice");
        // A refusal that ended before as many calls had begun as there are seats could not be true.
        for refused in outcomes.iter().filter(|timed| matches!(timed.outcome, Ok(Err(_)))) {
            let begun =
                outcomes.iter().filter(|timed| matches!(timed.outcome, Ok(Ok(_))) && timed.begun < refused.ended);
            assert!(begun.count() >= seats);
        }
        assert_eq!(
            nodes.query("SELECT count(*) FROM seat WHERE pool_id = 1 AND account_id IS NULL"),
            0,
            "none is left over"
        );
        assert_eq!(
            nodes.query("SELECT count(*) FROM audit_event WHERE action = 'account-create' AND request_id IS NOT NULL"),
            nodes.query("SELECT count(*) FROM seat JOIN account ON account.id = account_id WHERE account.id > 7 AND substr(username, 5)::int % 2 = 1"),
            "nobody is enrolled without a seat"
        );
        nodes.is_sound();
    }
}

/// One user, known or not: one seat, and every other call learns which. Released: once.
#[test]
fn one_user_gets_one_seat() {
    for nodes in [2, 4] {
        let nodes = Nodes::new(nodes, "UPDATE license_pool SET seats_total = 50 WHERE id = 1");
        for user in ["bob", "new", "Another"] {
            let outcomes = nodes.all((0..32).map(|n| {
                // Names compare without regard to case.
                let name = if n % 2 == 0 { user.to_owned() } else { user.to_ascii_uppercase() };
                move |node| assign(node, name)
            }));
            assert_eq!(counted(outcomes.iter().map(|timed| &timed.outcome)), [("AlreadyExists", 31), ("Success", 1)]);
            let seat = seats_of(&outcomes)[0];
            for timed in &outcomes {
                if let Ok(Err(Refusal::AlreadyAssigned { held, .. })) = &timed.outcome {
                    assert_eq!(held.map(|held| held.seat), Some(seat));
                }
            }
            assert_eq!(
                nodes.query(&format!("SELECT count(*) FROM account WHERE lower(username) = lower('{user}')")),
                1
            );
            let outcomes = nodes.all((0..16).map(|_| move |node| release(node, user.to_owned())));
            assert_eq!(counted(outcomes.iter().map(|timed| &timed.outcome)), [("NotAssigned", 15), ("Success", 1)]);
            assert_eq!(seats_of(&outcomes), [seat]);
        }
        nodes.is_sound();
    }
}

/// Users come and go in a small pool. A refusal needs a moment during the call at which all seats can have been taken.
#[test]
fn a_refusal_is_true_at_a_moment_of_its_call() {
    const SEATS: usize = 4;
    for number in [2, 4] {
        let nodes = Nodes::new(number, &format!("UPDATE license_pool SET seats_total = {SEATS} WHERE id = 1"));
        let end = Instant::now() + Duration::from_secs(3);
        let steps: Vec<Vec<(bool, Timed<Outcome>)>> = nodes
            .all((0..12).map(|user| {
                move |node: Arc<dyn Store>| async move {
                    let mut steps = Vec::new();
                    while Instant::now() < end {
                        for is_assign in [true, false] {
                            let (node, name) = (Arc::clone(&node), format!("user{user}"));
                            let begun = Instant::now();
                            let outcome = if is_assign { assign(node, name).await } else { release(node, name).await };
                            steps.push((is_assign, Timed { begun, ended: Instant::now(), outcome }));
                        }
                    }
                    steps
                }
            }))
            .into_iter()
            .map(|timed| timed.outcome)
            .collect();
        let steps: Vec<_> = steps.iter().flatten().collect();
        let assigned: Vec<_> =
            steps.iter().filter(|(is_assign, timed)| *is_assign && matches!(timed.outcome, Ok(Ok(_)))).collect();
        let released: Vec<_> =
            steps.iter().filter(|(is_assign, timed)| !is_assign && matches!(timed.outcome, Ok(Ok(_)))).collect();
        let refused: Vec<_> =
            steps.iter().filter(|(is_assign, timed)| *is_assign && matches!(timed.outcome, Ok(Err(_)))).collect();
        // The most that can have been taken at a moment: calls that had begun to take, less those that had given back.
        let most = |at: Instant| {
            assigned.iter().filter(|(_, timed)| timed.begun <= at).count()
                - released.iter().filter(|(_, timed)| timed.ended < at).count()
        };
        let codes = counted(steps.iter().map(|(_, timed)| &timed.outcome));
        assert!(!refused.is_empty() && assigned.len() > SEATS, "{codes:?}");
        for (_, refused) in &refused {
            let (from, to) = (refused.begun, refused.ended);
            let moments = assigned.iter().map(|(_, timed)| timed.begun).filter(|at| (from..to).contains(at));
            assert!(moments.chain([from, to]).any(|at| most(at) >= SEATS), "refused while a seat was free");
        }
        assert_eq!(
            nodes.query("SELECT count(*) FROM audit_event WHERE action = 'assign'"),
            i64::try_from(assigned.len()).expect("few")
        );
        nodes.is_sound();
    }
}

/// Administrators deactivate accounts, move them, shrink and grow the pool and let it expire while calls are made. Whatever the order, the
/// history has it: no account that is not active gets a seat, and the pool never holds more than it has.
#[test]
fn what_is_done_by_hand_meanwhile_keeps_its_order() {
    let nodes = Nodes::new(
        2,
        "UPDATE license_pool SET seats_total = 20 WHERE id = 1;
         INSERT INTO account (id, username, entity_id) SELECT 100 + n, 'user' || n, 42 FROM generate_series(0, 15) AS n",
    );
    let is_done = Arc::new(AtomicBool::new(false));
    let by_hand = |statements: &'static [&'static str]| {
        let (session, is_done) = (nodes.database.session(), Arc::clone(&is_done));
        let changes = Arc::new(AtomicI64::new(0));
        let made = Arc::clone(&changes);
        let thread = std::thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                for statement in statements {
                    match session.execute(statement) {
                        Ok(()) => _ = made.fetch_add(1, Ordering::Relaxed),
                        // The pool cannot shrink below what is taken; and calls that it waits for may wait for it.
                        Err(error) => assert!(["23514", "40P01"].contains(&error.code.as_str()), "{error}"),
                    }
                }
            }
        });
        (thread, changes)
    };
    let administrators = [
        by_hand(&[
            "UPDATE account SET active = 0 WHERE id BETWEEN 100 AND 107",
            "UPDATE account SET active = 1 WHERE id BETWEEN 100 AND 107",
        ]),
        by_hand(&[
            "UPDATE account SET entity_id = 9 WHERE id = 110",
            "UPDATE account SET entity_id = 42 WHERE id = 110",
        ]),
        by_hand(&[
            "UPDATE license_pool SET seats_total = 4 WHERE id = 1",
            "UPDATE license_pool SET seats_total = 9 WHERE id = 1",
        ]),
        by_hand(&[
            "UPDATE license_pool SET expires_at = '2020-01-01T00:00:00Z' WHERE id = 1",
            "UPDATE license_pool SET expires_at = NULL WHERE id = 1",
        ]),
    ];
    // Whoever waits in a circle of locks waits for a second, so an administrator may need more time for some changes.
    let (end, latest) = (Instant::now() + Duration::from_secs(4), Instant::now() + 3 * LONG);
    let changes = administrators.each_ref().map(|(_, changes)| Arc::clone(changes));
    let outcomes = nodes.all((0..16).map(|user| {
        let changes = changes.clone();
        move |node: Arc<dyn Store>| async move {
            let mut outcomes = Vec::new();
            let are_few = || changes.iter().any(|changes| changes.load(Ordering::Relaxed) <= 10);
            while Instant::now() < end || are_few() && Instant::now() < latest {
                outcomes.push(assign(Arc::clone(&node), format!("user{user}")).await);
                outcomes.push(release(Arc::clone(&node), format!("user{user}")).await);
            }
            outcomes
        }
    }));
    is_done.store(true, Ordering::Relaxed);
    for (administrator, changes) in administrators {
        administrator.join().expect("no error");
        assert!(changes.load(Ordering::Relaxed) > 10);
    }
    let codes = counted(outcomes.iter().flat_map(|timed| &timed.outcome));
    assert!(codes.iter().any(|(code, times)| *code == "Success" && *times > 20), "{codes:?}");
    // Ids are drawn where the account's row is locked, or its lock shared.
    assert_eq!(
        nodes.query(
            "SELECT count(*) FROM audit_event AS taken
              WHERE action = 'assign'
                AND (SELECT new_values FROM audit_event AS change
                      WHERE change.account_id = taken.account_id AND change.action IN ('account-change', 'account-create') AND change.id < taken.id
                      ORDER BY change.id DESC LIMIT 1) ~ '\"active\":0|\"entity_id\":9'"
        ),
        0,
        "no seat for an account that is not active or belongs to others"
    );
    nodes.is_sound();
}

/// An administrator gives an associate a seat by hand, and before that is committed a call releases all that the associate holds of the owner. The
/// call waits, and releases that seat too: a reader in between would else see both seats, and after the call one.
#[test]
fn a_release_of_modules_waits_for_a_seat_that_is_given_by_hand() {
    let nodes = Nodes::new(1, "UPDATE seat SET account_id = 1 WHERE pool_id = 4 AND seat_no = 1");
    let by_hand = nodes.database.session();
    by_hand.execute("BEGIN; UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 2").expect("a free seat");
    let license_types = vec![LicenseType::SkraftDiskImageV5, SQL];
    let request = ModulesRequest { associate_id: 1, owner_name: "CONTOSO".to_owned(), license_types };
    let node = nodes.node();
    let released = nodes.runtime.spawn(async move { node.release_modules(call("admin"), request).await });
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("the call waits, or has ended", || nodes.query(waiting) == 1 || released.is_finished());
    by_hand.execute("COMMIT").expect("nothing is in the way");
    nodes.runtime.block_on(released).expect("no panic").expect("the store works").expect("released");
    assert_eq!(nodes.query("SELECT count(*) FROM seat WHERE account_id = 1"), 0);
    nodes.is_sound();
}

/// The same for administrators, who change all that a user holds: it is released, transferred, or the user leaves.
#[test]
fn a_change_of_all_that_a_user_holds_waits_for_a_seat_that_is_given_by_hand() {
    type Everything = fn(&dyn Sql, &Admin) -> Result<usize, Stop>;
    let changes: [(&str, Everything); 3] = [
        ("release", |sql, admin| {
            let everything = Release::OfUser { username: "bob".to_owned(), license_type: None };
            Ok(release_seats(sql, admin, &everything)?.len())
        }),
        ("transfer", |sql, admin| {
            let (from, to) = ("bob".to_owned(), "amy".to_owned());
            Ok(transfer(sql, admin, &TransferAll { from, to, license_type: None, enroll: false })?.len())
        }),
        ("leave", |sql, admin| {
            let (username, seats) = ("bob".to_owned(), LeaverSeats::Release);
            Ok(leave(sql, admin, &Leaver { username, seats, deactivate: true, enroll: false })?.released.len())
        }),
    ];
    for (name, everything) in changes {
        let nodes = Nodes::new(1, "UPDATE seat SET account_id = 1 WHERE pool_id = 4 AND seat_no = 1");
        let by_hand = nodes.database.session();
        by_hand
            .execute("BEGIN; UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 2")
            .expect("a free seat");
        let node = nodes.node();
        let changing = nodes.runtime.spawn(async move {
            store::admin::change(&*node, call("admin"), ChangeOptions::default(), everything).await
        });
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait_until("the change waits, or has ended", || nodes.query(waiting) == 1 || changing.is_finished());
        by_hand.execute("COMMIT").expect("nothing is in the way");
        let changed = nodes.runtime.block_on(changing).expect("no panic").expect("the store works").expect(name);
        assert_eq!((changed.value, nodes.query("SELECT count(*) FROM seat WHERE account_id = 1")), (2, 0), "{name}");
        nodes.is_sound();
    }
}

/// The last free seat is taken while the pool is to shrink by one, and another seat is given back meanwhile: one was free all along.
#[test]
fn a_pool_shrinks_if_a_seat_was_free_at_every_moment() {
    for shrink in
        ["UPDATE license_pool SET seats_total = 2 WHERE id = 1", "UPDATE license_pool SET seats_total = 1 WHERE id = 1"]
    {
        let nodes = Nodes::new(0, "UPDATE license_pool SET seats_total = 3 WHERE id = 1");
        nodes
            .database
            .execute("UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 2")
            .expect("two are taken");
        let taker = nodes.database.session();
        taker.execute("BEGIN; UPDATE seat SET account_id = 3 WHERE pool_id = 1 AND seat_no = 3").expect("the last one");
        let administrator = nodes.database.session();
        let shrinking = std::thread::spawn(move || administrator.execute(shrink));
        wait_until("the administrator waits for the seat, or is refused", || {
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            nodes.query(waiting) == 1 || shrinking.is_finished()
        });
        nodes
            .database
            .execute("UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 1")
            .expect("one is given back");
        taker.execute("COMMIT").expect("the last one");
        let outcome = shrinking.join().expect("no panic").map_err(|error| error.message);
        match shrink.contains("= 2") {
            true => assert_eq!(outcome, Ok(())),
            false => assert_eq!(
                outcome.expect_err("two are in use"),
                "seats_total of pool 1 cannot be 1: 2 seats are in use, release 1 first"
            ),
        }
        nodes.is_sound();
    }
}

/// The seat of an expired pool is given up for one new seat, in one step.
#[test]
fn an_expired_seat_is_given_up_once() {
    let nodes = Nodes::new(2, "UPDATE seat SET account_id = 1 WHERE pool_id = 2 AND seat_no = 1");
    let outcomes = nodes.all((0..24).map(|_| move |node| assign(node, "bob".to_owned())));
    assert_eq!(counted(outcomes.iter().map(|timed| &timed.outcome)), [("AlreadyExists", 23), ("Success", 1)]);
    assert_eq!(nodes.query("SELECT count(*) FROM seat WHERE account_id = 1"), 1);
    assert_eq!(
        nodes.query("SELECT count(*) FROM audit_event WHERE request_id IS NOT NULL"),
        2,
        "a release and an assign"
    );
    nodes.is_sound();
    // Nothing is given up if there is no seat to be had.
    let nodes = Nodes::new(
        2,
        "UPDATE license_pool SET seats_total = 1 WHERE id = 1; UPDATE seat SET account_id = 2 WHERE pool_id = 1;
         UPDATE seat SET account_id = 1 WHERE pool_id = 2 AND seat_no = 1",
    );
    let outcomes = nodes.all((0..8).map(|_| move |node| assign(node, "bob".to_owned())));
    assert_eq!(counted(outcomes.iter().map(|timed| &timed.outcome)), [("NoFreeSeat", 8)]);
    assert_eq!(nodes.query("SELECT count(*) FROM seat WHERE account_id = 1 AND pool_id = 2"), 1);
}

/// Transfers in a circle and lists of assignments in opposite order, all at once.
#[test]
fn calls_that_lock_several_accounts_do_not_stop_each_other() {
    let nodes = Nodes::new(
        4,
        "UPDATE license_pool SET seats_total = 8 WHERE id = 1;
         INSERT INTO account (id, username, entity_id) SELECT 100 + n, 'user' || n, 42 FROM generate_series(0, 7) AS n",
    );
    let end = Instant::now() + Duration::from_secs(4);
    let outcomes = nodes.all((0..12).map(|n| {
        move |node: Arc<dyn Store>| async move {
            let mut outcomes: Vec<Outcome> = Vec::new();
            let user = |n: usize| format!("user{}", n % 8);
            while Instant::now() < end {
                match n % 3 {
                    0 => {
                        let names: Vec<String> = (0..8).map(|k| user(if n % 2 == 0 { k } else { 15 - k })).collect();
                        let requests = names.iter().map(|name| request(name)).collect();
                        match node.assign_all(call("agent"), requests, n % 4 == 0).await {
                            Ok(items) => outcomes.extend(items.expect("allowed").into_iter().map(Ok)),
                            Err(error) => outcomes.push(Err(error)),
                        }
                    }
                    1 => {
                        let (from, to) = (user(n).as_str().into(), user(n + 3).as_str().into());
                        let transfer = Transfer { from: Some(from), to: Some(to), license_type: Some(SQL) };
                        outcomes.push(node.transfer(call("admin"), transfer).await);
                    }
                    _ => outcomes.push(release(Arc::clone(&node), user(n)).await),
                }
            }
            outcomes
        }
    }));
    let codes = counted(outcomes.iter().flat_map(|timed| &timed.outcome));
    assert!(codes.iter().any(|(code, times)| *code == "Success" && *times > 20), "{codes:?}");
    nodes.is_sound();
}

/// Calls of one name on several nodes at once: one of them is made, all of them get its outcome.
#[test]
fn a_named_call_is_made_once() {
    let nodes = Nodes::new(4, "UPDATE license_pool SET seats_total = 50 WHERE id = 1");
    for round in 0..5 {
        let outcomes = nodes.all((0..16).map(|_| {
            move |node: Arc<dyn Store>| async move {
                let text = Ok(format!("name {round}"));
                let name = Arc::new(CallName::new(NameSource::IdempotencyKey, text, "AssignLicense", [1; 32]));
                let call = Call { name: Some(Arc::clone(&name)), ..call("agent") };
                let outcome = node.assign(call, request(&format!("user{round}"))).await;
                (outcome, name.original().is_some())
            }
        }));
        let (made, told): (Vec<_>, Vec<_>) =
            outcomes.iter().map(|timed| &timed.outcome).partition(|(_, is_told)| !is_told);
        assert_eq!((made.len(), told.len()), (1, 15));
        assert_eq!(counted(outcomes.iter().map(|timed| &timed.outcome.0)), [("Success", 16)]);
        let seats: HashSet<SeatId> =
            outcomes.iter().map(|timed| *timed.outcome.0.as_ref().expect("works").as_ref().expect("a seat")).collect();
        assert_eq!(seats.len(), 1);
    }
    assert_eq!(nodes.query("SELECT count(*) FROM audit_event WHERE action = 'assign'"), 5);
    assert_eq!(nodes.query("SELECT count(*) FROM named_call"), 5);
    nodes.is_sound();
}

/// However large the tables are, a call finds its rows by indexes: also if its statements were prepared while the tables were empty, and
/// nobody has counted their rows since.
#[test]
fn no_call_reads_a_whole_table() {
    let nodes = Nodes::new(0, "ALTER TABLE seat SET (autovacuum_enabled = off)");
    let place: store::Database = nodes.database.url().parse().expect("a place");
    // One connection for all calls.
    let options = store::Options { server_connections_max: 1, ..store::Options::default() };
    let node = store::open(&place, &options, Arc::new(Metrics::new())).expect("a node");
    // Counted while they are nearly empty, an index from end to end seems to cost no more than one row of it.
    nodes.database.execute("ANALYZE").expect("analyzed");
    call_each(node.as_ref(), "few");
    nodes
        .database
        .execute(
            "INSERT INTO entity (parent_id, name) SELECT 1, 'entity ' || n FROM generate_series(1, 1000) AS n;
             INSERT INTO credential (user_name, password_hash, entity_id)
                 SELECT 'caller ' || n, (SELECT password_hash FROM credential LIMIT 1), 1 FROM generate_series(1, 1000) AS n;
             INSERT INTO account (username, entity_id) SELECT 'user' || n, 42 FROM generate_series(1, 5000) AS n;
             INSERT INTO license_pool (entity_id, license_type, seats_total) SELECT id, 'SqlBackup', 2 FROM entity WHERE id > 420;
             UPDATE license_pool SET seats_total = 20000 WHERE id = 1",
        )
        .expect("many rows");
    // Without license_pool, which the chain reads to bring many pools up to date. The numbers of a connection come when it has done nothing for a second or ends.
    let settled = || {
        let reads = || {
            let lines = nodes.database.query::<String>(
                "SELECT string_agg(what, E'\\n') FROM (
                    SELECT 'whole table ' || relname || '=' || seq_scan AS what FROM pg_stat_user_tables
                     WHERE relname IN ('seat', 'account', 'entity', 'credential', 'ticket', 'named_call')
                     UNION ALL
                    SELECT 'rows of ' || indexrelname || '=' || idx_tup_read FROM pg_stat_user_indexes
                     WHERE relname IN ('seat', 'account', 'entity', 'credential', 'ticket', 'named_call')) AS read",
            );
            let read = lines.lines().map(|line| line.split_once('=').expect("a number"));
            read.map(|(what, number)| (what.to_owned(), number.parse().expect("a number")))
                .collect::<BTreeMap<String, i64>>()
        };
        let mut before = reads();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(1500));
            let now = reads();
            if now == before {
                return now;
            }
            before = now;
        }
        panic!("something reads all the time: {before:?}");
    };
    // Of 5,000 rows in the smallest of these tables that grew, a call finds a few. An index that is read from end to end is no better than the table.
    let are_few = |before: &BTreeMap<String, i64>, now: &BTreeMap<String, i64>| {
        let read = now.iter().map(|(what, number)| (what, number - before[what]));
        let many: Vec<_> = read.filter(|(what, n)| *n > if what.starts_with("rows of") { 900 } else { 0 }).collect();
        assert!(many.is_empty(), "{many:?}");
    };
    let before = settled();
    for n in 0..3 {
        call_each(node.as_ref(), &format!("many {n}"));
    }
    are_few(&before, &settled());
    // Statements of another node are prepared now.
    let other = store::open(&place, &options, Arc::new(Metrics::new())).expect("a node");
    let before = settled();
    call_each(other.as_ref(), "other");
    node.close();
    other.close();
    are_few(&before, &settled());
}

/// A call of each kind, for users of its own.
fn call_each(node: &dyn Store, users: &str) {
    let user = |number: u32| format!("{users} {number}");
    let name = CallName::new(NameSource::IdempotencyKey, Ok(users.to_owned()), "AssignLicense", [1; 32]);
    let name = Arc::new(name);
    let named = || Call { name: Some(Arc::clone(&name)), ..call("agent") };
    assert!(wait(node.assign(call("agent"), request(&user(1)))).is_ok());
    let details = wait(node.details(call("reader"), holding(&user(1)))).expect("they are there");
    assert_eq!(details.product_key.as_deref(), Some("KEY-1"));
    let transfer = Transfer { from: Some(user(1).into()), to: Some(user(2).into()), license_type: Some(SQL) };
    assert!(wait(node.transfer(call("admin"), transfer)).is_ok());
    assert!(wait(node.release(call("admin"), holding(&user(2)))).is_ok());
    for _ in 0..2 {
        assert!(wait(node.assign(named(), request(&user(2)))).is_ok());
    }
    let requests = (2..5).map(|number| request(&user(number))).collect();
    assert!(wait(node.assign_all(call("cli"), requests, true)).is_ok());
    let ticket = store::TicketProof { id: uuid::Uuid::new_v4(), secret_hash: [7; 32] };
    let new = store::NewTicket { proof: ticket.clone(), expires_at: at("2026-06-01T13:00:00Z") };
    assert!(wait(node.issue_ticket(call("admin"), new)).is_ok());
    let by_ticket = || call_by_ticket(&ticket, crate::licenses::NOW);
    assert!(wait(node.principal(by_ticket())).is_ok());
    assert!(wait(node.release(by_ticket(), holding(&user(2)))).is_ok());
    wait(node.renew_ticket(ticket.id, at("2026-06-01T12:30:00Z"), at("2026-06-01T14:00:00Z")));
    assert!(wait(node.credential("Agent")).is_some());
    // As license tools do, for an associate of the owner.
    let associate_id = Some(1);
    let owner = || "CONTOSO".to_owned();
    assert!(wait(node.pools(call("reader"), Some(42))).is_ok());
    let request = store::OwnersRequest { owners: store::Owners::Named(owner()), associate_id };
    assert!(wait(node.owners(call("reader"), request)).is_ok());
    let modules = || store::ModulesRequest { associate_id: 1, owner_name: owner(), license_types: vec![SQL] };
    let _ = wait(node.assign_modules(call("agent"), modules()));
    let _ = wait(node.release_modules(call("admin"), modules()));
    let request = store::HistoryRequest { owner_name: owner(), license_type: SQL };
    assert!(wait(node.module_history(call("reader"), request)).is_ok());
}

/// Administrators' changes go through the runner of calls: one that another transaction made impossible is run again as a whole, and what
/// its connection lost during COMMIT is found out.
#[test]
fn administrators_that_meet_change_one_after_the_other() {
    use seatkeeper::store::admin::{self, ChangeOptions, Value};
    let database = crate::postgres::Cluster::shared().database();
    database.execute(&crate::harness::sample_data()).expect("seed");
    database.execute("UPDATE entity SET note = '0' WHERE id IN (42, 43)").expect("seed");
    let open = || {
        seatkeeper::store::open(
            &database.url().as_str().into(),
            // The server needs a second to see a circle of locks.
            &seatkeeper::store::Options {
                busy_timeout: Duration::from_secs(60),
                statement_timeout: Duration::from_secs(60),
                ..Default::default()
            },
            std::sync::Arc::new(seatkeeper::metrics::Metrics::new()),
        )
        .expect("store")
    };
    let nodes = [open(), open()];
    // Each counts up two rows, in opposite orders: some of them close a circle of locks.
    std::thread::scope(|scope| {
        for (number, node) in nodes.iter().enumerate() {
            for _ in 0..2 {
                scope.spawn(move || {
                    let runtime = tokio::runtime::Runtime::new().expect("runtime");
                    for _ in 0..10 {
                        let options = ChangeOptions { reason: Some("count".to_owned()), ..ChangeOptions::default() };
                        let changed =
                            admin::change(&**node, crate::harness::of_command_line(), options, move |sql, _| {
                                let order = if number == 0 { [42, 43] } else { [43, 42] };
                                for id in order {
                                    let text =
                                        "UPDATE entity SET note = CAST(CAST(note AS BIGINT) + 1 AS TEXT) WHERE id = $1";
                                    assert_eq!(sql.change(text, &[Value::Int(id)])?, 1);
                                }
                                Ok(())
                            });
                        let changed = runtime.block_on(changed).expect("the database works").expect("allowed");
                        assert!(changed.kept && changed.events.len() == 2, "{changed:?}");
                    }
                });
            }
        }
    });
    nodes.iter().for_each(|node| node.close());
    for id in [42, 43] {
        assert_eq!(database.query::<String>(&format!("SELECT note FROM entity WHERE id = {id}")), "40");
    }
    assert_eq!(database.query::<i64>("SELECT count(*) FROM audit_event WHERE reason = 'count'"), 80);
    let place = database.url().as_str().into();
    assert_eq!(seatkeeper::store::check(&place, seatkeeper::auth::check_hash).expect("check"), []);
}
