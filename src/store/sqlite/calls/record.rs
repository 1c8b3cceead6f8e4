//! The changes of the service, and their events.
//!
//! The triggers of `schema.sql` count and record changes by hand. The writer's connection has them switched off: this module does
//! their work for the changes of calls. A test makes random calls both ways and compares every row. Constraints and foreign keys
//! hold in both. Rare changes use the triggers: [`by_triggers`].

use std::cell::Cell;

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use super::facts::Caller;
use crate::chain::Event;
use crate::metrics::SparseLogs;
use crate::seats::SeatId;
use crate::store::Call;
use crate::store::sqlite::history::chain::{self, End};

/// The actor of a change, for its events. Lives as long as the change, or shorter.
pub(crate) struct By {
    request_id: String,
    actor: String,
    at: String,
    /// The end of the history after the newest event of this change; `None`: no event was written yet.
    end: Cell<Option<End>>,
}

impl By {
    pub(crate) fn new(call: &Call, caller: &Caller) -> By {
        // The same as the column's default, which takes longer.
        let at = format!("{:.3}", Timestamp::now());
        By { request_id: call.id.to_string(), actor: caller.name.clone(), at, end: Cell::new(None) }
    }

    /// An event of this call, without a subject yet.
    fn event<'b>(&'b self, action: &'b str) -> Event<'b> {
        Event {
            at: self.at.as_bytes(),
            action: action.as_bytes(),
            actor: self.actor.as_bytes(),
            request_id: Some(self.request_id.as_bytes()),
            ..Event::default()
        }
    }

    /// Writes an event; returns its id.
    fn write(&self, connection: &Connection, event: &Event<'_>) -> rusqlite::Result<i64> {
        let mut end = match self.end.get() {
            Some(end) => end,
            None => End::reached(connection)?,
        };
        end.append(connection, event)?;
        self.end.set(Some(end));
        Ok(end.id())
    }
}

/// Gives a free seat to an account. The condition alone ensures that the row was free.
pub(crate) fn take(connection: &Connection, by: &By, seat: SeatId, account_id: i64) -> rusqlite::Result<()> {
    change_one(connection, TAKE, params![seat.pool_id, seat.seat_no, account_id])?;
    let event_id = record(connection, by, "assign", seat, account_id)?;
    change_one(connection, COUNT_TAKEN, params![seat.pool_id, event_id])
}

pub(crate) const TAKE: &str = "
    UPDATE seat SET account_id = ?3
     WHERE rowid = (SELECT rowid FROM seat INDEXED BY seat_free WHERE pool_id = ?1 AND seat_no = ?2 AND account_id IS NULL)";

const COUNT_TAKEN: &str = "
    UPDATE license_pool
       SET seats_in_use = seats_in_use + 1, seats_in_use_max = max(seats_in_use_max, seats_in_use + 1), event_id = ?2,
           events = events + 1
     WHERE id = ?1";

/// Frees the seat that an account holds.
pub(crate) fn release(connection: &Connection, by: &By, seat: SeatId, account_id: i64) -> rusqlite::Result<()> {
    change_one(connection, RELEASE, params![seat.pool_id, seat.seat_no, account_id])?;
    let event_id = record(connection, by, "release", seat, account_id)?;
    change_one(connection, COUNT_RELEASED, params![seat.pool_id, event_id])
}

pub(crate) const RELEASE: &str = "
    UPDATE seat SET account_id = NULL WHERE pool_id = ?1 AND seat_no = ?2 AND account_id = ?3";

const COUNT_RELEASED: &str =
    "UPDATE license_pool SET seats_in_use = seats_in_use - 1, event_id = ?2, events = events + 1 WHERE id = ?1";

/// Writes the event of a seat; returns its id.
fn record(connection: &Connection, by: &By, action: &str, seat: SeatId, account_id: i64) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(OF_SEAT)?;
    let mut rows = statement.query(params![seat.pool_id, account_id])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let event = Event {
        pool_id: Some(seat.pool_id),
        seat_no: Some(seat.seat_no),
        account_id: Some(account_id),
        username: Some(row.get_ref(2)?.as_bytes()?),
        previous_id: row.get(0)?,
        pool_events: row.get(1)?,
        ..by.event(action)
    };
    by.write(connection, &event)
}

pub(crate) const OF_SEAT: &str = "
    SELECT event_id, events + 1, username FROM license_pool CROSS JOIN account WHERE license_pool.id = ?1 AND account.id = ?2";

/// Enrolls a user name under an entity; returns the id of its account.
pub(crate) fn enroll(connection: &Connection, by: &By, username: &str, entity_id: i32) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO account (username, entity_id) VALUES (?1, ?2)")?
        .execute(params![username, entity_id])?;
    let id = connection.last_insert_rowid();
    // As json_object writes it.
    let new_values =
        format!(r#"{{"username":{},"entity_id":{entity_id},"active":1}}"#, serde_json::Value::from(username));
    let event = Event {
        entity_id: Some(entity_id.into()),
        account_id: Some(id),
        username: Some(username.as_bytes()),
        new_values: Some(new_values.as_bytes()),
        ..by.event("account-create")
    };
    by.write(connection, &event)?;
    Ok(id)
}

fn change_one(connection: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
    match connection.prepare_cached(sql)?.execute(values)? {
        1 => Ok(()),
        changed => Err(rusqlite::Error::StatementChangedRows(changed)),
    }
}

/// Runs changes with the triggers on, in the name of a call: the triggers count and record. Only for rare changes, because
/// switching makes SQLite prepare its statements again, which takes about a millisecond.
pub(crate) fn by_triggers<T>(
    connection: &Connection,
    by: &By,
    change: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    with_triggers(connection, by, None, change)
}

/// The same, with the reason that the caller gave. On an error the caller rolls back what was done, the row of `call` with it.
pub(crate) fn with_triggers<T, E: From<rusqlite::Error>>(
    connection: &Connection,
    by: &By,
    reason: Option<&str>,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    // REPLACE: an existing row belongs to no running call, because a call's row is never committed.
    connection.execute(
        "INSERT OR REPLACE INTO call (id, request_id, actor, reason) VALUES (1, ?1, ?2, ?3)",
        params![by.request_id, by.actor, reason],
    )?;
    let triggers = TriggersOn::new(connection)?;
    let changed = change()?;
    triggers.end()?;
    connection.execute("DELETE FROM call", [])?;
    // The events that they wrote.
    chain::chain(connection, chain::BEFORE_MAX)?;
    Ok(changed)
}

/// The triggers are on as long as this lives: an error or a panic also switches them off again.
struct TriggersOn<'c>(&'c Connection);

impl TriggersOn<'_> {
    fn new(connection: &Connection) -> rusqlite::Result<TriggersOn<'_>> {
        set_triggers(connection, true).map(|()| TriggersOn(connection))
    }

    fn end(self) -> rusqlite::Result<()> {
        set_triggers(self.0, false)
    }
}

impl Drop for TriggersOn<'_> {
    fn drop(&mut self) {
        if let Err(error) = set_triggers(self.0, false) {
            static LOG: SparseLogs = SparseLogs::new();
            if let Some(left_out) = LOG.count("triggers") {
                tracing::error!(%error, left_out, "the triggers of the writer's connection stay on");
            }
        }
    }
}

/// Switches the triggers of a connection on or off.
pub(crate) fn set_triggers(connection: &Connection, on: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on).map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{activate, modules, seats};
    use super::*;
    use crate::seats::{AssignRequest, Holding, LicenseType, Transfer};
    use crate::store::sqlite::calls::stop::settle;
    use crate::store::sqlite::check::INVARIANTS;
    use crate::store::sqlite::file::schema::SCHEMA;
    use crate::store::{Activation, Actor, ModulesRequest};

    /// Entities 1 > 42 and 1 > 43; pools of both types for both, one of them expired; users 0 and 1 are known.
    const SEED: &str = "
        INSERT INTO entity (id, parent_id, name, owner_name, serial_nr) VALUES
            (1, NULL, 'a', NULL, NULL), (42, 1, 'b', 'B', NULL), (43, 1, 'c', 'C', '7');
        INSERT INTO account (username, entity_id) VALUES ('User0', 42), ('user1', 43);
        INSERT INTO license_pool (entity_id, license_type, seats_total, expires_at) VALUES
            (42, 'SqlBackup', 2, NULL), (42, 'ExchangeBackup', 1, '2030-01-01T00:00:00Z'), (43, 'SqlBackup', 3, NULL),
            (43, 'SqlBackup', 1, '2027-01-01T00:00:00Z');";

    #[derive(Debug, Clone)]
    enum Step {
        Assign {
            user: u8,
            entity_id: i32,
            license_type: LicenseType,
        },
        AssignAll {
            users: Vec<u8>,
            dry_run: bool,
        },
        Release {
            user: u8,
            license_type: LicenseType,
        },
        Transfer {
            from: u8,
            to: u8,
            license_type: LicenseType,
        },
        /// Assigns modules of an owner to an associate, or releases them.
        Modules {
            assign: bool,
            request: ModulesRequest,
        },
        /// Whether the second pool of 43, in which seats are given up, expires.
        Expire {
            expired: bool,
        },
        /// Offers 43 this many seats of SqlBackup, and activates the offer if possible.
        Activate {
            seats: i64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        let user = || 0..6_u8;
        let license_type = || prop_oneof![Just(LicenseType::SqlBackup), Just(LicenseType::ExchangeBackup)];
        let entity_id = || prop_oneof![Just(42), Just(43)];
        prop_oneof![
            4 => (user(), entity_id(), license_type())
                .prop_map(|(user, entity_id, license_type)| Step::Assign { user, entity_id, license_type }),
            1 => (proptest::collection::vec(user(), 1..4), any::<bool>())
                .prop_map(|(users, dry_run)| Step::AssignAll { users, dry_run }),
            2 => (user(), license_type()).prop_map(|(user, license_type)| Step::Release { user, license_type }),
            2 => (user(), user(), license_type())
                .prop_map(|(from, to, license_type)| Step::Transfer { from, to, license_type }),
            2 => (any::<bool>(), 1..5, any::<bool>(), proptest::collection::vec(license_type(), 1..3)).prop_map(
                |(assign, associate_id, of_b, license_types)| {
                    let owner_name = if of_b { "B" } else { "C" }.to_owned();
                    Step::Modules { assign, request: ModulesRequest { associate_id, owner_name, license_types } }
                }),
            1 => any::<bool>().prop_map(|expired| Step::Expire { expired }),
            1 => (0..6_i64).prop_map(|seats| Step::Activate { seats }),
        ]
    }

    fn made() -> Connection {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(SCHEMA).expect("schema");
        connection.execute_batch(SEED).expect("seed");
        connection
    }

    fn username(user: u8) -> Option<crate::seats::UserName> {
        Some(format!("user{user}").into())
    }

    fn assignment(user: u8, entity_id: i32, license_type: LicenseType) -> AssignRequest {
        let (username, provider_entity_id) = (username(user), Some(entity_id));
        AssignRequest { username, provider_entity_id, license_type: Some(license_type) }
    }

    /// Makes a call as the writer does, with the triggers off. Refusals do not matter here.
    fn call(connection: &Connection, call: &Call, step: &Step) {
        let done = match step {
            Step::Assign { user, entity_id, license_type } => {
                settle(seats::assign(connection, call, &assignment(*user, *entity_id, *license_type), true)).map(drop)
            }
            Step::AssignAll { users, dry_run } => {
                let requests: Vec<_> = users.iter().map(|user| assignment(*user, 43, LicenseType::SqlBackup)).collect();
                settle(seats::assign_all(connection, call, &requests, true, *dry_run)).map(drop)
            }
            Step::Release { user, license_type } => {
                let holding = Holding { username: username(*user), license_type: Some(*license_type) };
                settle(seats::release(connection, call, &holding)).map(drop)
            }
            Step::Transfer { from, to, license_type } => {
                let (from, to) = (username(*from), username(*to));
                let transfer = Transfer { from, to, license_type: Some(*license_type) };
                settle(seats::transfer(connection, call, &transfer, true)).map(drop)
            }
            Step::Modules { assign: true, request } => settle(modules::assign(connection, call, request)).map(drop),
            Step::Modules { assign: false, request } => settle(modules::release(connection, call, request)).map(drop),
            Step::Expire { .. } => Ok(()),
            Step::Activate { seats } => {
                set_triggers(connection, true).expect("on");
                let offer = format!(
                    "DELETE FROM license_offer; INSERT INTO license_offer (entity_id) VALUES (43);
                     INSERT INTO license_offer_module VALUES (43, 'SqlBackup', {seats});"
                );
                connection.execute_batch(&offer).expect("an offer");
                set_triggers(connection, false).expect("off");
                let all = Activation::Serial { company_name: "c".to_owned(), serial_nr: "7".to_owned() };
                settle(activate::activate(connection, call, &all, false)).map(drop)
            }
        };
        done.expect("the database works");
    }

    /// Action, pool, seat, account, its name, its entity.
    type Event = (String, Option<i64>, Option<i64>, i64, String, Option<i32>);

    /// Makes the changes of these events as SQL by hand does, with the triggers on and in the name of the call.
    fn follow(connection: &Connection, by: &By, events: &[Event]) {
        by_triggers(connection, by, || {
            for (action, pool_id, seat_no, account_id, username, entity_id) in events {
                match action.as_str() {
                    "account-create" => connection.execute(
                        "INSERT INTO account (username, entity_id) VALUES (?1, ?2)",
                        params![username, entity_id],
                    )?,
                    "assign" => connection.execute(
                        "UPDATE seat SET account_id = ?3 WHERE pool_id = ?1 AND seat_no = ?2",
                        params![pool_id, seat_no, account_id],
                    )?,
                    _ => connection.execute(
                        "UPDATE seat SET account_id = NULL WHERE pool_id = ?1 AND seat_no = ?2",
                        params![pool_id, seat_no],
                    )?,
                };
            }
            Ok(())
        })
        .expect("the triggers allow it");
    }

    /// Every row of every table, without the times of events, and without the hashes, which depend on them.
    fn rows(connection: &Connection) -> Vec<String> {
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut statement = connection.prepare(names).expect("tables");
        let names: Vec<String> =
            statement.query_map([], |row| row.get(0)).expect("tables").map(Result::unwrap).collect();
        let mut rows = Vec::new();
        for name in names {
            let mut statement = connection.prepare(&format!("SELECT * FROM {name}")).expect("table");
            let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let line = |row: &rusqlite::Row<'_>| {
                let of_column = |(at, column): (usize, &String)| Ok(format!("{column}: {:?}", row.get_ref(at)?));
                let compared =
                    columns.iter().enumerate().filter(|(_, column)| !["at", "hash"].contains(&column.as_str()));
                Ok(format!("{name}: {}", compared.map(of_column).collect::<rusqlite::Result<Vec<_>>>()?.join(", ")))
            };
            rows.extend(statement.query_map([], line).expect("rows").map(|row| row.expect("a row")));
        }
        rows
    }

    fn triggers_are_on(connection: &Connection) -> bool {
        connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER).expect("the setting")
    }

    fn cli() -> By {
        By {
            at: "2026-01-01T00:00:00.000Z".to_owned(),
            request_id: "r".to_owned(),
            actor: "cli".to_owned(),
            end: Cell::new(None),
        }
    }

    #[test]
    fn the_triggers_are_off_again_after_an_error_and_after_a_panic() {
        let connection = made();
        set_triggers(&connection, false).expect("off");
        let undone = |change: fn(&Connection) -> rusqlite::Result<usize>| {
            connection.execute_batch("SAVEPOINT call").expect("savepoint");
            let change = std::panic::AssertUnwindSafe(|| by_triggers(&connection, &cli(), || change(&connection)));
            let failed = !matches!(std::panic::catch_unwind(change), Ok(Ok(_)));
            connection.execute_batch("ROLLBACK TO call; RELEASE call").expect("undo");
            assert!(failed && !triggers_are_on(&connection));
        };
        undone(|connection| connection.execute("UPDATE license_pool SET seats_total = -1", []));
        undone(|_| panic!("as the test wants it"));
        // A row that no call can have left does not stop later calls.
        connection.execute("INSERT INTO call (id, actor) VALUES (1, 'left behind')", []).expect("a row");
        let changed =
            by_triggers(&connection, &cli(), || connection.execute("UPDATE entity SET note = 'x' WHERE id = 1", []));
        assert_eq!((changed.expect("changed"), triggers_are_on(&connection)), (1, false));
        let newest = "SELECT actor FROM audit_event ORDER BY id DESC LIMIT 1";
        assert_eq!(connection.query_row(newest, [], |row| row.get::<_, String>(0)).expect("an event"), "cli");
    }

    /// A note left by SQL by hand must not look like a change in progress once a call has changed its row.
    #[test]
    fn calls_leave_no_note_that_differs_from_its_row() {
        let connection = made();
        let by_hand = "INSERT OR IGNORE INTO account (username, entity_id) VALUES ('', 42);
                       INSERT INTO row_change (subject, key, part) VALUES ('seat', 1, 1), ('seat', 3, 1), ('account', 1, '');";
        let calls = [
            Step::Assign { user: 5, entity_id: 43, license_type: LicenseType::SqlBackup },
            Step::Assign { user: 0, entity_id: 42, license_type: LicenseType::SqlBackup },
            Step::Release { user: 0, license_type: LicenseType::SqlBackup },
        ];
        for (number, step) in (0_u128..).zip(&calls) {
            connection.execute_batch(by_hand).expect("notes");
            set_triggers(&connection, false).expect("off");
            let now: Timestamp = "2026-06-01T00:00:00Z".parse().expect("a time");
            call(
                &connection,
                &Call { id: uuid::Uuid::from_u128(number), now, actor: Actor::command_line(), name: None, trail: None },
                step,
            );
            set_triggers(&connection, true).expect("on");
            connection
                .execute("INSERT INTO audit_event (action, actor) VALUES ('assign', 'forged')", [])
                .expect_err("no change is under way");
            connection.execute("UPDATE license_pool SET seats_in_use = 0, event_id = 1", []).expect_err("nor here");
        }
        let events =
            "SELECT group_concat(action) FROM (SELECT action FROM audit_event WHERE actor = 'cli' ORDER BY id)";
        let events = connection.query_row(events, [], |row| row.get::<_, String>(0)).expect("events");
        assert_eq!(events, "account-create,assign,assign,release");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        /// The writer's way and the triggers' way lead to the same rows, events included.
        #[test]
        fn calls_record_what_the_triggers_record(steps in proptest::collection::vec(step(), 1..40)) {
            let (calls, by_hand) = (made(), made());
            set_triggers(&calls, false).expect("off");
            set_triggers(&by_hand, false).expect("off");
            let now: Timestamp = "2026-06-01T00:00:00Z".parse().expect("a time");
            for (number, step) in (0_u128..).zip(&steps) {
                let of_call = Call { id: uuid::Uuid::from_u128(number), now, actor: Actor::command_line(), name: None, trail: None };
                if let Step::Expire { expired } = step {
                    let at = if *expired { "2020-01-01T00:00:00Z" } else { "2027-01-01T00:00:00Z" };
                    for connection in [&calls, &by_hand] {
                        connection.execute("UPDATE license_pool SET expires_at = ?1 WHERE id = 4", [at]).expect("expire");
                    }
                    continue;
                }
                // By triggers in both cases.
                if let Step::Activate { .. } = step {
                    call(&calls, &of_call, step);
                    call(&by_hand, &of_call, step);
                    prop_assert_eq!(rows(&calls), rows(&by_hand), "{:?}", step);
                    continue;
                }
                let before: i64 = calls.query_row("SELECT max(id) FROM audit_event", [], |row| row.get(0)).expect("events");
                call(&calls, &of_call, step);
                let events = "SELECT action, pool_id, seat_no, account_id, username, entity_id FROM audit_event
                               WHERE id > ?1 ORDER BY id";
                let mut statement = calls.prepare(events).expect("events");
                let events: Vec<_> = statement
                    .query_map([before], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
                    })
                    .expect("events")
                    .map(|event| event.expect("an event"))
                    .collect();
                let cli = Caller { name: "cli".to_owned(), role: crate::seats::Role::Admin, entity_id: None };
                follow(&by_hand, &By::new(&of_call, &cli), &events);
                prop_assert_eq!(rows(&calls), rows(&by_hand), "{:?}", step);
                prop_assert!(!triggers_are_on(&calls));
            }
            crate::store::sqlite::check::add_functions(&calls).expect("functions");
            for connection in [&calls, &by_hand] {
                chain::chain(connection, usize::MAX).expect("chained");
                let mut verifier = crate::chain::Verifier::new(None, Vec::new()).expect("no head");
                let mut statement = connection.prepare("SELECT * FROM audit_event ORDER BY id").expect("events");
                let mut rows = statement.query([]).expect("events");
                while let Some(row) = rows.next().expect("an event") {
                    let event = chain::event(row).expect("an event");
                    verifier.check(&event, row.get_ref(16).expect("a hash").as_blob_or_null().expect("a hash")).expect("chained");
                }
                let verified = verifier.finish().expect("a chain");
                prop_assert!(verified.events > 0 && verified.unchained_events == 0);
            }
            for (invariant, query) in INVARIANTS {
                let broken = calls.prepare(query).and_then(|mut query| query.exists([])).expect("an answer");
                prop_assert!(!broken, "{}", invariant);
            }
        }
    }
}
