//! `seatkeeper audit show --at`: the holders of a past moment follow from the history alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::Value;
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, Holding, LicenseType, Transfer};
use seatkeeper::store::history::{self, EntitySelection, History, MomentSelection};
use seatkeeper::store::{self, Actor, Call, Database, Store};

use crate::audit_show::audit_ok;
use crate::harness::*;
use crate::kill::{Random, number_from};
use crate::licenses::wait;

/// Pools and holders as lines, by pool and seat.
pub type Holdings = Vec<String>;

/// As the tables are now.
fn of_tables(database: &TestDatabase) -> Holdings {
    let pools = "SELECT 'pool ' || id || ' of ' || entity_id || ', ' || license_type || ': ' || seats_in_use || ' of ' || seats_total,
                        id, 0 FROM license_pool";
    let seats =
        "SELECT 'pool ' || pool_id || ', seat ' || seat_no || ': ' || account_id || ' ' || username, pool_id, seat_no
                   FROM seat JOIN account ON account.id = account_id";
    let rows = database.session().rows(&format!("{pools} UNION ALL {seats} ORDER BY 2, 3"));
    let line = |row: &Vec<Value>| match &row[0] {
        Value::Text(line) => line.clone(),
        other => panic!("{other:?}"),
    };
    rows.iter().map(line).collect()
}

/// As the history says that they were.
pub fn of_history(database: impl Into<Database>, archives: &[PathBuf], at: Timestamp) -> Holdings {
    let history = History { database: database.into(), archives: archives.to_vec() };
    let mut lines = Vec::new();
    let selection = MomentSelection { at, entity: None, pool_id: None, user: None };
    history::holders_at(&history, &selection, &mut |pool, holder| {
        let id = pool.id;
        lines.push(match holder {
            None => {
                let (entity, license_type) = (pool.entity_id.unwrap_or(0), pool.license_type.as_deref().unwrap_or("?"));
                format!("pool {id} of {entity}, {license_type}: {} of {}", pool.seats_in_use, pool.seats_total)
            }
            Some(holder) => {
                let account = holder.account_id.unwrap_or(0);
                format!("pool {id}, seat {}: {account} {}", holder.seat_no, holder.username)
            }
        });
        Ok(())
    })
    .expect("the history can be read");
    lines
}

/// Entities 1 > 42 and 43; five users, of whom two have an account.
pub const SEED: &str = "
    INSERT INTO entity (id, parent_id, name) VALUES (1, NULL, 'a'), (42, 1, 'b'), (43, 1, 'c');
    INSERT INTO account (username, entity_id) VALUES ('User0', 42), ('user1', 43);
    INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 3), (2, 43, 'ExchangeBackup', 2);";

/// By hand. In braces stand words of which one is taken. What breaks a promise is refused, and no matter.
const BY_HAND: &[&str] = &[
    "UPDATE seat SET account_id = {1|2|3|4} WHERE pool_id = {1|2|3} AND seat_no = {1|2|3|4} AND account_id IS NULL",
    "UPDATE seat SET account_id = NULL WHERE pool_id = {1|2|3} AND seat_no = {1|2|3}",
    "UPDATE seat SET account_id = NULL WHERE account_id = {1|2|3|4}",
    "UPDATE seat SET product_key = '{a|b}' WHERE pool_id = {1|2} AND seat_no = 1",
    "UPDATE license_pool SET seats_total = {0|1|2|3|5|8} WHERE id = {1|2|3}",
    "UPDATE license_pool SET expires_at = {NULL|'2020-01-01T00:00:00Z'|'2099-01-01T00:00:00Z'} WHERE id = {1|2|3}",
    "DELETE FROM license_pool WHERE id = {1|2|3} AND seats_in_use = 0",
    "INSERT OR IGNORE INTO license_pool (id, entity_id, license_type, seats_total) VALUES ({1|2|3|4}, {42|43}, '{SqlBackup|ExchangeBackup}', {0|2|4})",
    "UPDATE account SET username = '{nina|otto|paul|user1|User0}' WHERE id = {1|2|3}",
    "UPDATE account SET username = '{nina|Nina|NINA}' WHERE username = 'nina'",
    "UPDATE account SET entity_id = {42|43} WHERE id = {1|2|3}",
    "INSERT OR IGNORE INTO account (username, entity_id) VALUES ('{user2|user3|quin}', {42|43})",
];

pub fn by_hand(random: &mut Random) -> String {
    let mut rest = BY_HAND[random.below(BY_HAND.len() as u64) as usize].to_owned();
    let mut made = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        let (words, after) = after.split_once('}').expect("a closing brace");
        let words: Vec<&str> = words.split('|').collect();
        made += before;
        made += words[random.below(words.len() as u64) as usize];
        rest = after.to_owned();
    }
    made + &rest
}

pub fn open(database: &Path) -> Arc<dyn Store> {
    store::open(&database.into(), &store::Options::default(), Arc::new(Metrics::new())).expect("open")
}

/// A call of any kind; it may be refused.
pub fn make_call(store: &dyn Store, random: &mut Random) {
    let call =
        Call { id: uuid::Uuid::new_v4(), now: Timestamp::now(), actor: Actor::command_line(), name: None, trail: None };
    let mut user = || Some(format!("user{}", random.below(5)).as_str().into());
    let (username, to) = (user(), user());
    let license_type = Some(if random.below(3) > 0 { LicenseType::SqlBackup } else { LicenseType::ExchangeBackup });
    let provider_entity_id = Some(if random.below(2) > 0 { 42 } else { 43 });
    match random.below(6) {
        0..=2 => drop(wait(store.assign(call, AssignRequest { username, provider_entity_id, license_type }))),
        3 | 4 => drop(wait(store.release(call, Holding { username, license_type }))),
        _ => drop(wait(store.transfer(call, Transfer { from: username, to, license_type }))),
    }
}

/// A history of random calls and SQL by hand, and what the tables were at some moments of it.
pub fn made(random: &mut Random, steps: u64) -> (TestDatabase, Vec<(Timestamp, Holdings)>) {
    let database = TestDatabase::new(SEED);
    let store = database.open(&store::Options::default(), Arc::new(Metrics::new()));
    let mut moments = Vec::new();
    for step in 0..steps {
        if random.below(2) == 0 {
            make_call(&*store, random);
        } else {
            let _ = database.try_sql(&by_hand(random));
        }
        if step % 10 == 9 {
            // Events of one millisecond are of one moment.
            std::thread::sleep(Duration::from_millis(3));
            moments.push((Timestamp::now(), of_tables(&database)));
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    store.close();
    (database, moments)
}

#[test]
fn the_history_says_what_the_tables_are_and_were_row_by_row() {
    let mut random = Random::from_seed();
    for _ in 0..number_from("SEATKEEPER_SEQUENCES").unwrap_or(6) {
        let (database, moments) = made(&mut random, 150);
        for (at, holdings) in &moments {
            assert_eq!(of_history(database.place(), &[], *at), *holdings, "at {at}");
        }
        assert_eq!(of_history(database.place(), &[], Timestamp::now()), of_tables(&database));
        assert_eq!(database.violations(), []);
    }
}

#[test]
fn a_moment_before_the_history_has_no_pools() {
    let database = TestDatabase::new(SEED);
    let text = audit_ok("show", &database, &["--at", "2020-01-01", "--format", "csv"]);
    assert_eq!(
        text,
        "pool_id,entity_id,license_type,seats_total,seats_in_use,seat_no,account_id,username,since,event\r\n"
    );
}

/// A clock that stepped back for one event, as it does in a machine that wakes up: the events before it happened all the same.
#[test]
fn a_clock_that_steps_does_not_tear_the_history() {
    let database = TestDatabase::new(SEED);
    database.sql("UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1");
    database.sql("UPDATE seat SET account_id = NULL WHERE pool_id = 1");
    database.unguarded("UPDATE audit_event SET at = '2099-01-01T00:00:00.000Z' WHERE action = 'assign'");
    assert_eq!(of_history(database.place(), &[], Timestamp::now()), of_tables(&database));
}

/// Whose pool it was is found also for a seat of a pool whose id is another's now; and the tree may be asked for.
#[test]
fn holders_are_selected_by_entity_pool_and_user() {
    let database = TestDatabase::new(SEED);
    database.sql(
        "UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no < 3;
         UPDATE seat SET account_id = 1 WHERE pool_id = 2 AND seat_no = 2;
         UPDATE account SET username = 'nina' WHERE id = 1;",
    );
    let shown = |args: &[&str]| -> Vec<String> {
        let text = audit_ok("show", &database, &[&["--at", "now", "--format", "csv"], args].concat());
        let cells = |line: &str| line.split(',').take(8).map(str::to_owned).collect::<Vec<_>>().join(",");
        text.lines().skip(1).map(cells).collect()
    };
    let (first, second, third) = (
        "1,42,SqlBackup,3,2,1,1,nina".to_owned(),
        "1,42,SqlBackup,3,2,2,2,user1".to_owned(),
        "2,43,ExchangeBackup,2,1,2,1,nina".to_owned(),
    );
    assert_eq!(shown(&[]), [first.clone(), second.clone(), third.clone()]);
    assert_eq!(shown(&["--entity", "42"]), [first.clone(), second.clone()]);
    assert_eq!(shown(&["--entity", "1"]), [""; 0]);
    assert_eq!(shown(&["--entity", "1", "--below"]).len(), 3);
    assert_eq!(shown(&["--pool", "2"]), std::slice::from_ref(&third));
    assert_eq!(shown(&["--user", "NINA"]), [first.clone(), third.clone()]);
    // Under its old name too: it is the name of no other account.
    let history = History { database: database.place(), archives: Vec::new() };
    let entity = Some(EntitySelection { id: 43, below: false });
    let selection = MomentSelection { at: Timestamp::now(), entity, pool_id: None, user: Some("user1".to_owned()) };
    history::holders_at(&history, &selection, &mut |pool, _| panic!("{pool:?}")).expect("read");
    let table = audit_ok("show", &database, &["--at", "now"]);
    assert_eq!(table.lines().count(), 4, "{table}");
}
