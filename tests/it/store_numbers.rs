//! The numbers of owners are those of the rows, whatever is done, by calls or by hand; and nothing an activation does
//! takes a seat away from anybody, or gives out one that is not there.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use seatkeeper::license::Owner;
use seatkeeper::seats::{AssignRequest, Holding, LicenseType, Refusal};
use seatkeeper::store::{Activation, Owners};

use crate::harness::Session;
use crate::kill::{Random, number_from};
use crate::licenses::*;

/// Twice as many as the seats of most pools, so that all outcomes occur.
const ACCOUNTS: u64 = 8;
const NAMES: [&str; 3] = ["CONTOSO", "CONTOSOWEST", "FABRIKAM"];
const ENTITIES: [u64; 3] = [42, 420, 43];
/// One before, at, and after the moment of every call, and none.
const TIMES: [&str; 4] = ["'2026-06-01T11:59:59Z'", "'2026-06-01T12:00:00Z'", "'2026-06-01T12:00:01Z'", "NULL"];

/// How operations can end; each must be seen.
const OUTCOMES: [&str; 10] = [
    "assign ok",
    "assign refused",
    "release ok",
    "agent assign ok",
    "agent release ok",
    "activate ok",
    "activate refused",
    "remove ok",
    "sql ok",
    "sql refused",
];

/// `SEATKEEPER_OPERATIONS=100000` for a long run; `SEATKEEPER_SEED` to see one again.
#[test]
fn the_numbers_of_owners_are_those_of_the_rows() {
    let operations = number_from("SEATKEEPER_OPERATIONS").unwrap_or(600);
    let mut random = Random::from_seed();
    let licenses = Licenses::new();
    licenses.sql("INSERT INTO account (id, username, entity_id) VALUES (8, 'joe', 42); UPDATE account SET active = 1");
    let connection = licenses.database().session();
    let mut missing = BTreeSet::from(OUTCOMES);
    let mut number = 0;
    // What is drawn seldom may take longer than asked for.
    while number < operations || !missing.is_empty() {
        assert!(number < 20 * operations.max(600), "{missing:?} never happened");
        let done = operate(&licenses, &connection, &mut random);
        missing.remove(done.split(':').next().unwrap_or_default());
        let associate = 1 + random.below(ACCOUNTS) as i32;
        let told = licenses.owners("cli", Owners::All, Some(associate)).expect("allowed");
        let mut told: Vec<String> = told.iter().map(line).collect();
        told.sort();
        assert_eq!(told, counted(&connection, associate), "operation {number}: {done}");
        number += 1;
    }
    licenses.is_sound();
}

/// The lines of the owners, from plain counts of the seats' rows.
fn counted(connection: &Session, associate: i32) -> Vec<String> {
    let open = format!("(starts_at IS NULL OR starts_at <= '{NOW}') AND (expires_at IS NULL OR expires_at > '{NOW}')");
    let seats = format!(
        "FROM seat JOIN license_pool ON id = pool_id WHERE license_pool.entity_id = entity.id AND license_pool.license_type = type.name AND {open}"
    );
    let query = format!(
        "SELECT min(owner_name) || group_concat(in_use || CASE held WHEN 0 THEN '' ELSE '*' END || '/' || total, '')
                || CASE max(offered) WHEN 1 THEN ' offered [' || group_concat(coalesce(new, total), ', ') || ']' ELSE '' END
           FROM (SELECT owner_name, entity.id,
                        (SELECT ' ' || count(account_id) {seats}) AS in_use, (SELECT count(*) {seats}) AS total,
                        (SELECT count(*) {seats} AND account_id = {associate}) AS held,
                        (SELECT count(*) FROM license_offer WHERE entity_id = entity.id) AS offered,
                        (SELECT seats_total FROM license_offer_module WHERE entity_id = entity.id AND license_type = type.name) AS new
                   FROM entity, (SELECT 1 AS n, 'SkraftDiskImageV5' AS name UNION SELECT 2, 'SqlBackup' UNION SELECT 3, 'ExchangeBackup') AS type
                  WHERE owner_name IS NOT NULL ORDER BY entity.id, n) AS q
          GROUP BY id ORDER BY min(owner_name)"
    );
    connection.lines(&query)
}

/// Who holds what.
fn holders(connection: &Session) -> Vec<String> {
    let query = "SELECT pool_id || ' ' || seat_no || ' ' || account_id FROM seat WHERE account_id IS NOT NULL ORDER BY pool_id, seat_no";
    connection.lines(query)
}

/// Does something, and says what came of it. What is refused must have changed nothing.
fn operate(licenses: &Licenses, connection: &Session, random: &mut Random) -> String {
    let license_type = LicenseType::ALL[random.below(3) as usize];
    let associate = 1 + random.below(ACCOUNTS);
    let name = NAMES[random.below(3) as usize];
    let what = random.below(20);
    if what >= 10 {
        return by_hand(connection, random);
    }
    let before = licenses.rows();
    let (kind, outcome) = match what {
        0..3 => {
            let types: Vec<LicenseType> = LicenseType::ALL.into_iter().filter(|_| random.below(2) == 0).collect();
            ("assign", said(licenses.assign("cli", associate as i32, name, &types)))
        }
        3..5 => ("release", said(licenses.release("cli", associate as i32, name, &[license_type]))),
        5 => ("agent assign", {
            let request = AssignRequest {
                username: Some(username(connection, associate).into()),
                provider_entity_id: Some(ENTITIES[random.below(3) as usize] as i32),
                license_type: Some(license_type),
            };
            said(wait(licenses.store.assign(call("agent"), request)))
        }),
        6 => ("agent release", {
            let holding =
                Holding { username: Some(username(connection, associate).into()), license_type: Some(license_type) };
            said(wait(licenses.store.release(call("admin"), holding)))
        }),
        7..9 => ("activate", activate(licenses, connection, name)),
        _ => ("remove", said(licenses.remove("admin", name))),
    };
    match outcome {
        Ok(done) => format!("{kind} ok: {done}"),
        Err(refusal) => {
            assert_eq!(licenses.rows(), before, "{kind} {refusal:?}");
            format!("{kind} refused: {refusal:?}")
        }
    }
}

fn said<T: Debug>(outcome: Result<T, Refusal>) -> Result<String, Refusal> {
    outcome.map(|value| format!("{value:?}"))
}

fn username(connection: &Session, associate: u64) -> String {
    connection.lines(&format!("SELECT username FROM account WHERE id = {associate}")).remove(0)
}

/// What is offered is then what there is, and everybody holds what they held.
fn activate(licenses: &Licenses, connection: &Session, name: &str) -> Result<String, Refusal> {
    let found = licenses.owners("cli", named(name), None).expect("allowed");
    let activation = found
        .first()
        .map_or(Activation::Serial { company_name: "Nobody".to_owned(), serial_nr: "1".to_owned() }, presented);
    let before = holders(connection);
    licenses.activate("admin", activation, false)?;
    assert_eq!(holders(connection), before);
    let now = licenses.owner(name);
    assert_eq!((&now.current, &now.offered), (found[0].issued(), &None));
    Ok(line(&now))
}

/// What an administrator types, wise or not, alone or with others that may be taken back.
fn by_hand(connection: &Session, random: &mut Random) -> String {
    let mut script: String = (0..=random.below(2)).map(|_| statement(random) + ";").collect();
    match random.below(6) {
        0 => script = format!("BEGIN; {script} ROLLBACK;"),
        1 => script = format!("BEGIN; {script} SAVEPOINT s; {}; ROLLBACK TO s; COMMIT;", statement(random)),
        _ => {}
    }
    match connection.sql(&script) {
        Ok(()) => format!("sql ok: {script}"),
        Err(error) => {
            connection.roll_back();
            format!("sql refused: {script} {error}")
        }
    }
}

fn statement(random: &mut Random) -> String {
    let pool = 1 + random.below(9);
    let (seat, account) = (1 + random.below(4), 1 + random.below(ACCOUNTS));
    let at = random.below(3) as usize;
    let (entity, name, license_type) = (ENTITIES[at], NAMES[at], LicenseType::ALL[random.below(3) as usize].name());
    let time = TIMES[random.below(4) as usize];
    let seats = random.below(6);
    match random.below(18) {
        0..2 => format!("UPDATE license_pool SET seats_total = {seats} WHERE id = {pool}"),
        2..5 => format!("UPDATE seat SET account_id = {account} WHERE pool_id = {pool} AND seat_no = {seat}"),
        5 => format!("UPDATE OR REPLACE seat SET account_id = {account} WHERE pool_id = {pool}"),
        6 => format!("UPDATE seat SET account_id = NULL WHERE pool_id = {pool} AND seat_no = {seat}"),
        7 => format!("UPDATE seat SET account_id = NULL WHERE account_id = {account}"),
        8 => format!("UPDATE OR IGNORE license_pool SET expires_at = {time} WHERE id = {pool}"),
        9 => format!("UPDATE license_pool SET starts_at = {time}, expires_at = NULL WHERE id = {pool}"),
        10 => format!("DELETE FROM license_pool WHERE id = {pool}"),
        11 => format!(
            "INSERT OR REPLACE INTO license_pool (id, entity_id, license_type, seats_total, expires_at) VALUES ({pool}, {entity}, '{license_type}', {seats}, {time})"
        ),
        12..14 => format!("INSERT OR IGNORE INTO license_offer (entity_id, serial_nr) VALUES ({entity}, '{seat}')"),
        14..16 => format!(
            "REPLACE INTO license_offer_module (entity_id, license_type, seats_total) VALUES ({entity}, '{license_type}', {seats})"
        ),
        16 => format!("DELETE FROM license_offer WHERE entity_id = {entity}"),
        _ => format!("UPDATE entity SET owner_name = '{name}' WHERE id = {entity}"),
    }
}

/// While others assign and release, the license grows and shrinks by activation: who got a seat keeps it until they give
/// it back themselves.
#[test]
fn activation_races_with_assignments_and_takes_no_seat_away() {
    const WORKERS: usize = 4;
    const ACCOUNTS_EACH: usize = 3;
    let accounts: String = (0..WORKERS * ACCOUNTS_EACH).map(|n| format!(", ({}, 'user{n}', 42)", 100 + n)).collect();
    let licenses = Licenses::with(&format!(
        "{} INSERT INTO account (id, username, entity_id) VALUES (99, 'first', 42){accounts};",
        seed()
    ));
    let (stop, refused, activated) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let held: usize = std::thread::scope(|scope| {
        // Also if something below fails: the scope waits for the workers.
        let stop_workers = StopOnDrop(&stop);
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (licenses, stop, refused) = (&licenses, &stop, &refused);
                let accounts: Vec<i32> =
                    (0..ACCOUNTS_EACH).map(|n| (100 + worker * ACCOUNTS_EACH + n) as i32).collect();
                scope.spawn(move || assign_and_release(licenses, &accounts, stop, refused))
            })
            .collect();
        for round in 0..24_u64 {
            let seats = [2, 9, 4, 30][round as usize % 4];
            licenses.sql(&format!(
                "INSERT INTO license_offer (entity_id) VALUES (42);
                 INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', {seats})"
            ));
            match licenses.activate("admin", presented(&licenses.owner("CONTOSO")), false) {
                Ok(()) => drop(activated.fetch_add(1, Ordering::Relaxed)),
                Err(Refusal::LicenseTooSmall { .. }) => licenses.sql("DELETE FROM license_offer"),
                Err(other) => panic!("{other}"),
            }
        }
        drop(stop_workers);
        workers.into_iter().map(|worker| worker.join().expect("worker")).sum()
    });
    let owner: Owner = licenses.owner("CONTOSO");
    assert_eq!(owner.in_use[SQL.index()], held as i64, "{}", line(&owner));
    let by_others: i64 =
        licenses.query("SELECT count(*) FROM audit_event WHERE action = 'release' AND actor <> 'contoso'");
    assert_eq!(by_others, 0);
    // Whatever the moment: the events count what was in use, and never more than there was.
    let total = "sum(coalesce(json_extract(new_values, '$.seats_total'), 0) - coalesce(json_extract(old_values, '$.seats_total'), 0))";
    let in_use = "sum(CASE action WHEN 'assign' THEN 1 WHEN 'release' THEN -1 ELSE 0 END)";
    let of_pool = "OVER (PARTITION BY pool_id ORDER BY id)";
    let over = format!(
        "SELECT count(*) FROM (SELECT {total} {of_pool} AS total, {in_use} {of_pool} AS in_use FROM audit_event WHERE pool_id IS NOT NULL) AS q
          WHERE in_use > total"
    );
    assert_eq!(licenses.query::<i64>(&over), 0);
    let (refused, activated) = (refused.into_inner(), activated.into_inner());
    println!("{activated} activations of 24, {refused} assignments refused, {held} seats held");
    assert!(activated >= 6 && refused > 0, "too few to show anything: {activated} {refused}");
    licenses.is_sound();
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Turn by turn each account takes a seat, sees that it holds it, and gives it back. How many it holds in the end.
fn assign_and_release(licenses: &Licenses, accounts: &[i32], stop: &AtomicBool, refused: &AtomicUsize) -> usize {
    let mut held = BTreeSet::new();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let account = accounts[turn % accounts.len()];
        for account in &held {
            let owners = licenses.owners("contoso", named("CONTOSO"), Some(*account)).expect("allowed");
            assert!(owners[0].held[SQL.index()], "{account} lost a seat");
            assert!(owners[0].in_use[SQL.index()] <= owners[0].current.seats[SQL.index()]);
        }
        if held.remove(&account) {
            licenses.release("contoso", account, "CONTOSO", &[SQL]).expect("released");
        } else {
            match licenses.assign("agent", account, "CONTOSO", &[SQL]) {
                Ok(_) => drop(held.insert(account)),
                Err(Refusal::NoFreeSeat { .. }) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                Err(other) => panic!("{other}"),
            }
        }
    }
    held.len()
}
