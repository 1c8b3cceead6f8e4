//! Licenses on PostgreSQL while two nodes and administrators change the same rows at once: what a call decides is still so when it
//! commits, and what it refuses was so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seatkeeper::license::Owner;
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, LicenseType, Refusal};
use seatkeeper::store::{self, Activation, ModulesRequest, OwnersRequest, Store};

use crate::harness::*;
use crate::licenses::*;
use crate::postgres;

/// Two nodes on one database.
struct Nodes {
    nodes: [Arc<dyn Store>; 2],
    database: postgres::Database,
}

impl Nodes {
    fn with(more: &str) -> Nodes {
        let database = postgres::Cluster::shared().database();
        database.execute(&format!("{};{more}", seed())).expect("seed");
        // Whoever waits in a circle of locks waits for a second, and on a slow machine calls meet more often.
        let (busy_timeout, statement_timeout) = (Duration::from_secs(60), Duration::from_secs(60));
        let options = store::Options { busy_timeout, statement_timeout, ..store::Options::default() };
        let open = || store::open(&database.url().into(), &options, Arc::new(Metrics::new()));
        Nodes { nodes: [open().expect("a node"), open().expect("a node")], database }
    }

    fn sql(&self, script: &str) {
        self.database.execute(script).expect(script);
    }

    /// Runs the two at once, each on a node of its own, after the other threads have begun too.
    fn both<T: Send>(
        &self,
        first: impl FnOnce(&dyn Store) -> T + Send,
        second: impl FnOnce(&dyn Store) -> T + Send,
    ) -> [T; 2] {
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                start.wait();
                first(&*self.nodes[0])
            });
            start.wait();
            let second = second(&*self.nodes[1]);
            [first.join().expect("no panic"), second]
        })
    }

    /// What a call answers that has to wait for an administrator's transaction, which ends with `end` once it does.
    fn behind<T: Send + std::fmt::Debug>(
        &self,
        change: &str,
        end: &str,
        call: impl FnOnce(&dyn Store) -> T + Send,
    ) -> T {
        let administrator = self.database.session();
        administrator.execute(&format!("BEGIN; {change}")).expect(change);
        std::thread::scope(|scope| {
            let call = scope.spawn(|| call(&*self.nodes[0]));
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            wait_until("the call waits", || call.is_finished() || self.database.query::<i64>(waiting) > 0);
            let waited = !call.is_finished();
            administrator.execute(end).expect(end);
            let outcome = call.join().expect("no panic");
            assert!(waited, "it did not wait: {outcome:?}");
            outcome
        })
    }

    fn owner(&self, name: &str) -> Option<Owner> {
        let request = OwnersRequest { owners: named(name), associate_id: None };
        wait(self.nodes[1].owners(call("admin"), request)).expect("allowed").pop()
    }

    fn taken(&self) -> i64 {
        self.database.query("SELECT count(*) FROM seat WHERE account_id IS NOT NULL")
    }

    fn is_sound(&self) {
        let wrong = "SELECT count(*) FROM pool_use
                      WHERE seats_in_use <> (SELECT count(account_id) FROM seat WHERE pool_id = pool_use.id)
                         OR seats_total <> (SELECT count(*) FROM seat WHERE pool_id = pool_use.id)";
        assert_eq!(self.database.query::<i64>(wrong), 0, "numbers are not those of the rows");
        assert_eq!(store::check(&self.database.url().into(), seatkeeper::auth::check_hash).expect("check"), []);
    }
}

fn assign_modules(store: &dyn Store, id: i32, owner: &str, types: &[LicenseType]) -> Result<Owner, Refusal> {
    let request = ModulesRequest { associate_id: id, owner_name: owner.to_owned(), license_types: types.to_vec() };
    wait(store.assign_modules(call("agent"), request))
}

fn release_modules(store: &dyn Store, id: i32, owner: &str, types: &[LicenseType]) -> Result<Owner, Refusal> {
    let request = ModulesRequest { associate_id: id, owner_name: owner.to_owned(), license_types: types.to_vec() };
    wait(store.release_modules(call("admin"), request))
}

fn by_serial() -> Activation {
    Activation::Serial { company_name: "Contoso".to_owned(), serial_nr: "1010000014".to_owned() }
}

const TAKE: &str = "UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 2";

#[test]
fn a_license_is_removed_only_if_no_seat_is_taken_meanwhile() {
    let nodes = Nodes::with("");
    let remove = |store: &dyn Store| wait(store.remove_license(call("admin"), "contoso".to_owned()));
    let in_use = |in_use| Err(Refusal::LicenseInUse { owner_name: "CONTOSO".to_owned(), in_use });
    assert_eq!(nodes.behind(TAKE, "COMMIT", remove), in_use(1));
    assert_eq!(line(&nodes.owner("CONTOSO").expect("still there")), "CONTOSO 0/10 1/3 0/0");
    // A seat that is given back, but not for good, is in use.
    let give_back = "UPDATE seat SET account_id = NULL WHERE account_id = 1";
    let administrator = nodes.database.session();
    administrator.execute(&format!("BEGIN; {give_back}")).expect("given back");
    assert_eq!(remove(&*nodes.nodes[1]), in_use(1));
    administrator.execute("COMMIT").expect("for good");
    assert_eq!(nodes.behind(TAKE, "ROLLBACK", remove), Ok(()));
    assert_eq!(nodes.owner("CONTOSO"), None);
    assert_eq!(nodes.database.query::<i64>("SELECT count(*) FROM seat WHERE pool_id <= 4"), 0);
    nodes.is_sound();
}

#[test]
fn an_activation_takes_no_seat_away_that_is_taken_meanwhile() {
    let offer = "INSERT INTO license_offer (entity_id) VALUES (42);
                 INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', 0)";
    let nodes = Nodes::with(offer);
    let activate = |store: &dyn Store| wait(store.activate(call("admin"), by_serial(), false));
    let small = Refusal::LicenseTooSmall { owner_name: "CONTOSO".to_owned(), license_type: SQL, in_use: 1, seats: 0 };
    assert_eq!(nodes.behind(TAKE, "COMMIT", activate), Err(small.clone()));
    assert_eq!(wait(nodes.nodes[1].activate(call("reader"), by_serial(), true)), Err(small));
    nodes.sql("UPDATE seat SET account_id = NULL");
    assert_eq!(nodes.behind(TAKE, "ROLLBACK", activate), Ok(()));
    assert_eq!(line(&nodes.owner("CONTOSO").expect("there")), "CONTOSO 0/10 0/0 0/0");
    nodes.is_sound();
}

/// What is offered when the activation commits is what is activated, whoever changes the offer.
#[test]
fn an_activation_waits_for_the_offer_to_be_changed() {
    let offer = "INSERT INTO license_offer (entity_id) VALUES (42);
                 INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', 4)";
    for (change, outcome, line_after) in [
        ("UPDATE license_offer_module SET seats_total = 7", Ok(()), "CONTOSO 0/10 0/7 0/0"),
        ("INSERT INTO license_offer_module VALUES (42, 'ExchangeBackup', 6)", Ok(()), "CONTOSO 0/10 0/4 0/6"),
        ("UPDATE license_pool SET seats_total = 9 WHERE id = 1", Ok(()), "CONTOSO 0/10 0/4 0/0"),
        ("UPDATE entity SET owner_name = 'CONTOSO' || '2', note = 'x' WHERE id = 42", Ok(()), "CONTOSO2 0/10 0/4 0/0"),
        (
            "DELETE FROM license_offer",
            Err(Refusal::NothingOffered { company_name: "Contoso".to_owned(), serial_nr: "1010000014".to_owned() }),
            "CONTOSO 0/10 0/3 0/0",
        ),
    ] {
        let nodes = Nodes::with(offer);
        let activate = |store: &dyn Store| wait(store.activate(call("admin"), by_serial(), false));
        assert_eq!(nodes.behind(change, "COMMIT", activate), outcome, "{change}");
        let name = line_after.split_once(' ').expect("a name").0;
        assert_eq!(line(&nodes.owner(name).expect(change)), line_after, "{change}");
        nodes.is_sound();
    }
}

#[test]
fn what_two_nodes_activate_at_once_is_activated_once() {
    let nodes = Nodes::with("");
    for round in 0..12 {
        let seats = [5, 2][round % 2];
        nodes.sql(&format!(
            "INSERT INTO license_offer (entity_id) VALUES (42);
             INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', {seats})"
        ));
        let activate = |store: &dyn Store| wait(store.activate(call("admin"), by_serial(), false));
        let outcomes = nodes.both(activate, activate);
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(Refusal::NothingOffered { .. }))).count();
        assert!(refused == 1 && outcomes.contains(&Ok(())), "{outcomes:?}");
        assert_eq!(nodes.owner("CONTOSO").expect("there").current.seats[SQL.index()], seats);
    }
    let withdrawn: i64 = nodes.database.query("SELECT count(*) FROM audit_event WHERE action = 'offer-delete'");
    assert_eq!(withdrawn, 12);
    nodes.is_sound();
}

/// What an associate holds is what it holds until the commit: a seat that is given back, or exchanged for one that has expired, by
/// another session is waited for.
#[test]
fn modules_are_decided_by_the_seats_that_an_associate_keeps() {
    let give_back = "UPDATE seat SET account_id = NULL WHERE account_id = 1";
    let exchange = format!("{give_back}; UPDATE seat SET account_id = 1 WHERE pool_id = 2 AND seat_no = 1");
    for (change, end) in [(give_back, "COMMIT"), (give_back, "ROLLBACK"), (&*exchange, "COMMIT")] {
        let nodes = Nodes::with("UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1");
        let assign = |store: &dyn Store| assign_modules(store, 1, "CONTOSO", &[SQL]);
        let owner = nodes.behind(change, end, assign).expect(change);
        assert_eq!(line(&owner), "CONTOSO 0/10 1*/3 0/0", "{change}, {end}");
        let held: i64 = nodes.database.query("SELECT pool_id FROM seat WHERE account_id = 1");
        assert_eq!(held, 1, "{change}, {end}");
        nodes.is_sound();
    }
}

/// The one seat is free or the associate's at every moment: "no free seat" would be true at none.
#[test]
fn an_associate_that_gets_the_last_seat_by_hand_is_not_refused() {
    let nodes = Nodes::with("UPDATE license_pool SET seats_total = 1 WHERE id = 1");
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let by_hand = scope.spawn(|| {
            let administrator = nodes.database.session();
            let mut changes = 0;
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                for change in [
                    "UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND account_id IS NULL",
                    "UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND account_id = 1",
                ] {
                    administrator.execute(change).expect(change);
                    changes += 1;
                }
            }
            changes
        });
        let begun = std::time::Instant::now();
        let mut refused = Vec::new();
        while refused.is_empty() && begun.elapsed() < std::time::Duration::from_secs(4) {
            refused.extend(assign_modules(&*nodes.nodes[0], 1, "CONTOSO", &[SQL]).err());
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(by_hand.join().expect("no error") > 10);
        assert_eq!(refused, []);
    });
    nodes.is_sound();
}

#[test]
fn two_nodes_give_one_associate_one_seat_of_a_type() {
    let nodes = Nodes::with("");
    let mut of_west = 0;
    for _ in 0..20 {
        let outcomes = nodes.both(
            |store| assign_modules(store, 1, "CONTOSO", &[SQL]),
            |store| assign_modules(store, 1, "CONTOSOWEST", &[SQL]),
        );
        let refused: Vec<&Refusal> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(matches!(refused[..], [Refusal::AlreadyAssigned { .. }]), "{outcomes:?}");
        of_west += usize::from(outcomes[1].is_ok());
        assert_eq!(nodes.taken(), 1);
        for owner in ["CONTOSO", "CONTOSOWEST"] {
            release_modules(&*nodes.nodes[0], 1, owner, &[SQL]).expect("released");
        }
        // The same owner's: what one of them has got is enough for both, in whatever order they ask for types.
        let outcomes = nodes.both(
            |store| assign_modules(store, 1, "CONTOSO", &[SQL, DISK]),
            |store| assign_modules(store, 1, "CONTOSO", &[DISK, SQL]),
        );
        for outcome in outcomes {
            assert_eq!(line(&outcome.expect("assigned")), "CONTOSO 1*/10 1*/3 0/0");
        }
        let outcomes = nodes.both(
            |store| release_modules(store, 1, "CONTOSO", &[SQL, DISK]),
            |store| release_modules(store, 1, "CONTOSO", &[DISK, SQL]),
        );
        for outcome in outcomes {
            assert_eq!(line(&outcome.expect("released")), "CONTOSO 0/10 0/3 0/0");
        }
    }
    println!("{of_west} of 20 went to the second node");
    let events: i64 = nodes.database.query("SELECT count(*) FROM audit_event WHERE action IN ('assign', 'release')");
    assert_eq!(events, 20 * 6);
    nodes.is_sound();
}

/// The last seats of a pool, and all types or none: who is refused has none, and the seats are all taken.
#[test]
fn two_nodes_give_away_the_last_seats() {
    let accounts: String = (100..116).map(|id| format!(", ({id}, 'user{id}', 42)")).collect();
    let nodes =
        Nodes::with(&format!("INSERT INTO account (id, username, entity_id) VALUES (99, 'first', 42){accounts}"));
    let (assigned, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for id in 100..116 {
            let (nodes, assigned, refused) = (&nodes, &assigned, &refused);
            let types = [[DISK, SQL], [SQL, DISK]][id as usize % 2];
            scope.spawn(move || match assign_modules(&*nodes.nodes[id as usize % 2], id, "CONTOSO", &types) {
                Ok(_) => assigned.fetch_add(1, Ordering::Relaxed),
                Err(Refusal::NoFreeSeat { license_type: SQL, seats_total: 3, .. }) => {
                    refused.fetch_add(1, Ordering::Relaxed)
                }
                Err(other) => panic!("{other}"),
            });
        }
    });
    assert_eq!((assigned.into_inner(), refused.into_inner()), (3, 13));
    assert_eq!(line(&nodes.owner("CONTOSO").expect("there")), "CONTOSO 3/10 3/3 0/0");
    nodes.is_sound();
}

/// Either the license is gone and nobody got a seat, or somebody got one and the license stays.
#[test]
fn a_license_that_is_removed_while_seats_are_assigned() {
    const USERS: usize = 4;
    let accounts: String = (100..100 + USERS).map(|id| format!(", ({id}, 'user{id}', 42)")).collect();
    let nodes =
        Nodes::with(&format!("INSERT INTO account (id, username, entity_id) VALUES (99, 'first', 42){accounts}"));
    let (mut removed, mut kept) = (0, 0);
    // How much later than the removal the assignments begin, in microseconds; below 0: how much earlier. After a removal they begin earlier,
    // else later: so they meet, however long either takes on this machine.
    let mut later = 0_i64;
    for round in 0..40 {
        let (assign_after, remove_after) = (later.max(0).unsigned_abs(), later.min(0).unsigned_abs());
        let (outcome, assigned) = std::thread::scope(|scope| {
            let assign = |user: usize| {
                let request = AssignRequest {
                    username: Some(format!("user{}", 100 + user).into()),
                    provider_entity_id: Some(42),
                    license_type: Some(SQL),
                };
                std::thread::sleep(Duration::from_micros(300 * user as u64 + assign_after));
                match wait(nodes.nodes[user % 2].assign(call("agent"), request)) {
                    Ok(_) => 1,
                    Err(Refusal::NoFreeSeat { .. }) => 0,
                    Err(other) => panic!("{other}"),
                }
            };
            let assigning: Vec<_> = (0..USERS).map(|user| scope.spawn(move || assign(user))).collect();
            std::thread::sleep(Duration::from_micros(remove_after));
            let outcome = wait(nodes.nodes[0].remove_license(call("admin"), "CONTOSO".to_owned()));
            (outcome, assigning.into_iter().map(|user| user.join().expect("no panic")).sum::<i64>())
        });
        assert_eq!(nodes.taken(), assigned, "round {round}");
        let step = 1500 + later.abs() / 4;
        later += if outcome.is_ok() { -step } else { step };
        match outcome {
            Ok(()) => {
                assert_eq!(assigned, 0, "round {round}");
                removed += 1;
                nodes.sql(
                    "UPDATE entity SET owner_name = 'CONTOSO' WHERE id = 42; UPDATE license_pool SET seats_total = 3 WHERE id = 1",
                );
            }
            Err(Refusal::LicenseInUse { in_use, .. }) => {
                assert!(in_use >= 1 && in_use <= assigned, "round {round}: {in_use} of {assigned}");
                kept += 1;
            }
            Err(other) => panic!("{other}"),
        }
        nodes.sql("UPDATE seat SET account_id = NULL WHERE account_id IS NOT NULL");
    }
    println!("removed {removed}, kept {kept}");
    assert!(removed > 0 && kept > 0, "too few to show anything: {removed} removed, {kept} kept");
    nodes.is_sound();
}
