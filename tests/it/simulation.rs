//! A seeded simulation of the store: random calls, SQL by hand, crashes and a clock that jumps, step by step beside a reference
//! model. Every answer, every refusal with its numbers, and every row must be what the model says.
//!
//! `SEATKEEPER_SEED=N cargo test --test it simulation` repeats a run that failed, exactly; `SEATKEEPER_SIMULATIONS=N` makes N runs.

mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, Holding, LicenseType, Refusal, SeatId, Transfer};
use seatkeeper::store::{Actor, Call, Options, Store};

use crate::harness::*;
use crate::kill::{Random, number_from};
use model::{Model, Pool, Taken};

const RUNS: u64 = 25;
const STEPS: u64 = 250;
const TYPES: [LicenseType; 2] = [LicenseType::SqlBackup, LicenseType::ExchangeBackup];
/// Entities that callers name: 1 > 42 and 43, 9 beside them, 77 is none.
const ENTITIES: [i32; 5] = [42, 43, 1, 9, 77];
const USERS: [&str; 7] = ["ann", "Bob", "cy", "dee", "eve", "flo", "otto"];
/// Credentials and where they stand. All have the same password; `agent` may not release.
const CALLERS: [(&str, i32, bool); 3] = [("agent", 1, false), ("admin", 1, true), ("contoso", 42, true)];

#[test]
fn the_store_does_what_the_model_says() {
    match number_from("SEATKEEPER_SEED") {
        Some(seed) => simulate(seed),
        None => {
            let runs = number_from("SEATKEEPER_SIMULATIONS").unwrap_or(RUNS);
            let mut seeds = Random::from_seed();
            (0..runs).for_each(|_| simulate(seeds.next()));
        }
    }
}

fn simulate(seed: u64) {
    // The test runner shows what was printed when the test fails.
    println!("SEATKEEPER_SEED={seed} cargo test --test it simulation");
    let mut simulation = Simulation::new(seed);
    for step in 1..=STEPS {
        simulation.step(step);
    }
    simulation.compare();
    assert_eq!(simulation.database.violations(), []);
}

struct Simulation {
    random: Random,
    model: Model,
    database: TestDatabase,
    store: Arc<dyn Store>,
    runtime: tokio::runtime::Runtime,
    now: Timestamp,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let hash = &*PASSWORD_HASH;
        let seed_sql = format!(
            "INSERT INTO entity (id, parent_id, name) VALUES (1, NULL, 'Northwind'), (42, 1, 'Contoso'), (43, 1, 'Fabrikam'), (9, NULL, 'Other');
             INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES
                 ('agent', '{hash}', 1, 'agent'), ('admin', '{hash}', 1, 'admin'), ('contoso', '{hash}', 42, 'admin');
             INSERT INTO account (username, entity_id) VALUES ('otto', 9), ('flo', 43);"
        );
        let database = TestDatabase::new(&seed_sql);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let mut simulation = Simulation {
            random: Random::new(seed),
            model: Model::new(&[(1, None), (42, Some(1)), (43, Some(1)), (9, None)], &[("otto", 9), ("flo", 43)]),
            store: open(&database),
            database,
            runtime,
            now: "2027-01-01T00:00:00Z".parse().expect("a time"),
        };
        for _ in 0..3 {
            simulation.insert_pool();
        }
        simulation
    }

    fn step(&mut self, number: u64) {
        match self.random.below(100) {
            0..=34 => self.assign(),
            35..=49 => self.release(),
            50..=61 => self.transfer(),
            62..=67 => self.assign_all(),
            68..=89 => self.by_hand(),
            90..=95 => self.move_clock(),
            96..=97 => self.insert_pool(),
            _ => self.crash(),
        }
        if number.is_multiple_of(25) {
            self.compare();
        }
    }

    fn call(&mut self) -> (Call, model::Caller) {
        let (user_name, entity_id, is_admin) = CALLERS[self.random.below(3) as usize];
        let found = self.runtime.block_on(self.store.credential(user_name)).expect("the store works");
        let actor = Actor::Credential(found.expect("the credential is there"));
        let call = Call { id: uuid::Uuid::new_v4(), now: self.now, actor, name: None, trail: None };
        (call, model::Caller { entity_id, is_admin })
    }

    fn user(&mut self) -> &'static str {
        USERS[self.random.below(USERS.len() as u64) as usize]
    }

    fn license_type(&mut self) -> LicenseType {
        TYPES[self.random.below(2) as usize]
    }

    fn assignment(&mut self) -> (AssignRequest, model::Assign) {
        let username = self.user();
        // Names compare without regard to case.
        let spelled = if self.random.below(4) == 0 { username.to_uppercase() } else { username.to_owned() };
        let among = if self.random.below(4) == 0 { 5 } else { 2 };
        let entity_id = ENTITIES[self.random.below(among) as usize];
        let license_type = self.license_type();
        let request = AssignRequest {
            username: Some(spelled.as_str().into()),
            provider_entity_id: Some(entity_id),
            license_type: Some(license_type),
        };
        (request, model::Assign { username: spelled, entity_id, license_type })
    }

    fn assign(&mut self) {
        let ((call, caller), (request, assign)) = (self.call(), self.assignment());
        let expected = self.model.assign(caller, &assign, self.now);
        let answered = self.runtime.block_on(self.store.assign(call, request)).expect("the store works");
        self.hold(&format!("{assign:?} by {caller:?}"), expected, answered);
    }

    fn assign_all(&mut self) {
        let (call, caller) = self.call();
        let dry_run = self.random.below(3) == 0;
        let items: Vec<_> = (0..=self.random.below(4)).map(|_| self.assignment()).collect();
        let requests = items.iter().map(|(request, _)| request.clone()).collect();
        let outcomes = self.runtime.block_on(self.store.assign_all(call, requests, dry_run)).expect("the store works");
        let before = self.model.clone();
        for ((_, assign), answered) in items.iter().zip(outcomes.expect("an agent may do this")) {
            let expected = self.model.assign(caller, assign, self.now);
            self.hold(&format!("{assign:?} by {caller:?} of many, dry run {dry_run}"), expected, answered);
        }
        if dry_run {
            self.model = before;
        }
    }

    fn release(&mut self) {
        let (call, caller) = self.call();
        let (username, license_type) = (self.user(), self.license_type());
        let expected = self.model.release(caller, username, license_type);
        let holding = Holding { username: Some(username.into()), license_type: Some(license_type) };
        let answered = self.runtime.block_on(self.store.release(call, holding)).expect("the store works");
        self.hold(&format!("release of {username}'s {license_type} by {caller:?}"), expected, answered);
    }

    fn transfer(&mut self) {
        let (call, caller) = self.call();
        let (from, to, license_type) = (self.user(), self.user(), self.license_type());
        let expected = self.model.transfer(caller, from, to, license_type, self.now);
        let transfer = Transfer { from: Some(from.into()), to: Some(to.into()), license_type: Some(license_type) };
        let answered = self.runtime.block_on(self.store.transfer(call, transfer)).expect("the store works");
        self.hold(&format!("transfer of {license_type} from {from} to {to} by {caller:?}"), expected, answered);
    }

    /// What was answered is what the model says. Which free seat of the pool is taken is the store's choice; the model takes the same.
    #[track_caller]
    fn hold(&mut self, what: &str, expected: Result<Taken, String>, answered: Result<SeatId, Refusal>) {
        let now = self.now;
        match (expected, answered) {
            (Ok(Taken::Free { pool_id, account_id }), Ok(seat)) => {
                assert_eq!(seat.pool_id, pool_id, "{now}: {what}: a seat of another pool");
                assert!(self.model.is_free(seat), "{now}: {what}: {seat:?} is not free");
                self.model.take(seat.pool_id, seat.seat_no, account_id);
            }
            (Ok(Taken::This(seat)), Ok(answered)) => assert_eq!(seat, answered, "{now}: {what}"),
            (Err(refusal), Err(answered)) => assert_eq!(refusal, model::said(&answered), "{now}: {what}"),
            (expected, answered) => panic!("{now}: {what}: {answered:?}, expected {expected:?}"),
        }
    }

    /// SQL of an administrator: allowed or refused, as the model says.
    fn by_hand(&mut self) {
        let (entity_id, user) = (ENTITIES[self.random.below(2) as usize], self.user());
        let pool_id = self.any_pool();
        let active = self.random.below(3) != 0;
        let n = self.random.below(6) as i64;
        let (script, allowed) = match self.random.below(11) {
            0..=2 => (
                format!("UPDATE license_pool SET seats_total = {n} WHERE id = {pool_id}"),
                Some(self.model.resize(pool_id, n)),
            ),
            3 => {
                let expires_at =
                    (self.random.below(3) != 0).then(|| self.now + SignedDuration::from_hours(24 * (n - 2)));
                let value = expires_at.map_or("NULL".to_owned(), |at| format!("'{at:.0}'"));
                let allowed = self.model.expire(pool_id, expires_at);
                (format!("UPDATE license_pool SET expires_at = {value} WHERE id = {pool_id}"), Some(allowed))
            }
            4 => {
                self.model.set_entity_active(entity_id, active);
                (format!("UPDATE entity SET active = {} WHERE id = {entity_id}", i32::from(active)), Some(true))
            }
            5 => {
                self.model.set_account_active(user, active);
                (
                    format!(
                        "UPDATE account SET active = {} WHERE lower(username) = '{}'",
                        i32::from(active),
                        user.to_lowercase()
                    ),
                    Some(true),
                )
            }
            6 => {
                let seat_no = n + 1;
                self.model.free(pool_id, seat_no);
                let sql =
                    format!("UPDATE seat SET account_id = NULL WHERE pool_id = {pool_id} AND seat_no = {seat_no}");
                (sql, Some(true))
            }
            7..=8 => {
                let seat_no = n + 1;
                let allowed = self.model.give(pool_id, seat_no, user);
                let who = format!("(SELECT id FROM account WHERE lower(username) = '{}')", user.to_lowercase());
                let sql = format!(
                    "UPDATE seat SET account_id = {who} WHERE pool_id = {pool_id} AND seat_no = {seat_no} AND {who} IS NOT NULL"
                );
                (sql, Some(allowed))
            }
            9 => (format!("DELETE FROM license_pool WHERE id = {pool_id}"), Some(self.model.delete_pool(pool_id))),
            _ => {
                let illegal = [
                    format!("INSERT INTO seat (pool_id, seat_no, license_type) VALUES ({pool_id}, 999, 'SqlBackup')"),
                    format!("UPDATE license_pool SET seats_in_use = seats_in_use - 1 WHERE id = {pool_id}"),
                    format!("DELETE FROM seat WHERE pool_id = {pool_id}"),
                    "DELETE FROM audit_event".to_owned(),
                    "DELETE FROM account".to_owned(),
                ];
                let has_rows = self.model.pools.get(&pool_id).is_some_and(|pool| !pool.seats.is_empty());
                let which = self.random.below(5) as usize;
                // A statement that finds no row changes nothing, whether it is refused or not.
                let finds_rows = match which {
                    1 => self.model.pools.contains_key(&pool_id),
                    2 => has_rows,
                    _ => true,
                };
                (illegal[which].clone(), finds_rows.then_some(false))
            }
        };
        let done = self.database.try_sql(&script);
        let Some(allowed) = allowed else { return };
        assert_eq!(done.is_ok(), allowed, "{}: {script}: {done:?}", self.now);
    }

    /// The id of a pool, or one that is none.
    fn any_pool(&mut self) -> i64 {
        let ids: Vec<i64> = self.model.pools.keys().copied().collect();
        let at = self.random.below(ids.len() as u64 + 1) as usize;
        ids.get(at).copied().unwrap_or(500)
    }

    fn insert_pool(&mut self) {
        let (entity_id, license_type) = (ENTITIES[self.random.below(2) as usize], self.license_type());
        let (id, total) = (self.model.pools.keys().next_back().unwrap_or(&0) + 1, self.random.below(4) as i64);
        let hours = |n: u64| SignedDuration::from_hours(24 * n as i64);
        let starts_at = (self.random.below(4) == 0).then(|| self.now + hours(self.random.below(3)));
        let expires_at = (self.random.below(2) == 0).then(|| self.now + hours(3 + self.random.below(5)));
        let text = |at: Option<Timestamp>| at.map_or("NULL".to_owned(), |at| format!("'{at:.0}'"));
        let script = format!(
            "INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at, expires_at)
             VALUES ({id}, {entity_id}, '{license_type}', {total}, {}, {})",
            text(starts_at),
            text(expires_at)
        );
        self.database.sql(&script);
        let seats = (1..=total).map(|seat_no| (seat_no, None)).collect();
        let pool = Pool { entity_id, license_type, starts_at, expires_at, seats };
        self.model.pools.insert(id, pool);
    }

    /// Hours on, or back.
    fn move_clock(&mut self) {
        let hours = self.random.below(60) as i64 - 15;
        self.now += SignedDuration::from_hours(hours);
    }

    /// What is there when the process ends without a word is what the next one finds.
    fn crash(&mut self) {
        let open_files = self.database.crash();
        self.store.close();
        drop(open_files);
        self.store = open(&self.database);
        self.compare();
    }

    /// Every seat is held by whom the model says, and the counters agree.
    fn compare(&self) {
        let rows = "SELECT pool_id || ' ' || seat_no || ' ' || coalesce(lower(username), '-')
                      FROM seat LEFT JOIN account ON account.id = account_id ORDER BY pool_id, seat_no";
        assert_eq!(self.database.lines(rows), self.model.seats(), "{}: the seats", self.now);
        let pools = "SELECT id || ' ' || seats_in_use || '/' || seats_total FROM license_pool ORDER BY id";
        assert_eq!(self.database.lines(pools), self.model.counters(), "{}: the pools", self.now);
    }
}

fn open(database: &TestDatabase) -> Arc<dyn Store> {
    database.open(&Options::default(), Arc::new(Metrics::new()))
}
