//! What administrators read and change, beyond the calls that clients make.
//!
//! SQLite and PostgreSQL have the same tables, columns and guards. So lists and changes are written once, as plain functions over
//! [`Sql`], a transaction on either database:
//!
//! ```text
//! fn rename(sql: &dyn Sql, admin: &Admin, id: i64, name: &str) -> Result<u64, Stop> {
//!     sql.change("UPDATE entity SET name = $2 WHERE id = $1", &[Value::Int(id), Value::from(name)])
//! }
//! let looked = store::admin::read(store, call, Role::Reader, |sql, admin| list(sql, admin)).await?;
//! let changed = store::admin::change(store, call, options, |sql, admin| rename(sql, admin, 42, "Contoso")).await?;
//! ```
//!
//! * The caller is proved in the same transaction, as for every call: [`Admin`] says who it is.
//! * A change runs with the triggers on. They guard the tables and write the events, in the caller's name and with its reason.
//! * A preview is the same change as a dry run ([`ChangeOptions::dry_run`]): it shows the events that would be written. A confirmation
//!   sends the digest of the events that were shown ([`ChangeOptions::expected`]); if the change would write others now, nothing is
//!   changed. So two administrators never overwrite each other.
//! * The work may run several times; only what the last run did counts. It keeps nothing outside of the database.

pub mod as_of;
pub mod bulk;
pub mod credentials;
mod digest;
pub mod edit;
pub mod entities;
pub mod explain;
pub mod file;
pub mod held_at;
pub mod history;
pub mod holders;
pub mod home;
pub mod kept;
mod moment;
pub mod offers;
mod page;
mod pool_events;
pub mod pools;
mod refusal;
pub mod refusals;
pub mod report;
mod scope;
pub mod search;
pub mod seat_numbers;
pub mod seats;
mod sql;
#[cfg(test)]
pub(crate) mod testing;
pub mod totals;
pub mod undo;
pub mod users;

pub use digest::Digest;
pub use page::{Key, Page, ROWS_MAX, Start};
pub use pool_events::Since;
pub use refusal::AdminRefusal;
pub use scope::{EntityFilter, Scope};
pub use sql::{Dialect, Row, Sql, Stop, Value, first};

use std::any::Any;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::history::Event;
use super::{Call, Reply, Store, StoreError};
use crate::seats::Role;

/// The caller of a piece of work, as its row stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// As the store spells it; of the command line the name it gave, or `cli`.
    pub name: String,
    pub role: Role,
    /// The root of the caller's subtree; `None` for the command line, which reaches everything.
    pub entity_id: Option<i64>,
    /// The time of the call, by the clock that decides.
    pub now: Timestamp,
    /// The id of the call, under which its events are found.
    pub request_id: Uuid,
}

/// How a change is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeOptions {
    /// Why, for the history.
    pub reason: Option<String>,
    /// Nothing is changed; the answer tells what would be.
    pub dry_run: bool,
    /// The digest of the events that the caller was shown; if the change would write others, nothing is changed.
    pub expected: Option<Digest>,
}

/// What a change came to.
#[derive(Debug)]
pub struct Changed<T> {
    /// What the work answered.
    pub value: T,
    /// What it wrote into the history, or would have written. Of seats the entity and the type of the pool are filled in.
    pub events: Vec<Event>,
    /// Of those events.
    pub digest: Digest,
    /// Whether it was changed: not on a dry run, nor if the digest is another than the expected one.
    pub kept: bool,
}

impl<T> Changed<T> {
    /// The same with another value.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Changed<U> {
        let Changed { value, events, digest, kept } = self;
        Changed { value: to(value), events, digest, kept }
    }
}

/// An answer of any type, between the typed functions below and a store.
pub type Answer = Box<dyn Any + Send + Sync>;

/// A piece of work, between the typed functions below and a store. It may be run several times.
pub type AdminWork = Arc<dyn Fn(&dyn Sql, &Admin) -> Result<Answer, Stop> + Send + Sync>;

/// What administrators read and change. The typed functions over these are [`read`] and [`change`].
pub trait Administrators: Send + Sync {
    /// Runs reads of one moment for a caller of at least this role.
    fn read_as_admin(&self, call: Call, least: Role, work: AdminWork) -> Reply<'_, Result<Answer, AdminRefusal>>;

    /// Makes a change, all or nothing, for a caller of the role admin.
    fn change_as_admin(
        &self,
        call: Call,
        options: ChangeOptions,
        work: AdminWork,
    ) -> Reply<'_, Result<Changed<Answer>, AdminRefusal>>;

    /// Writes what only the service writes: [`keep`].
    fn keep(&self, work: ServiceWork) -> Reply<'_, Result<Answer, AdminRefusal>>;
}

/// Runs reads of one moment for a caller of at least this role.
///
/// # Errors
///
/// As every method of the store.
pub async fn read<T: Send + Sync + 'static>(
    store: &dyn Store,
    call: Call,
    least: Role,
    work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
) -> Result<Result<T, AdminRefusal>, StoreError> {
    let answer = store.read_as_admin(call, least, untyped(work)).await?;
    Ok(answer.map(typed))
}

/// Makes a change, all or nothing, for a caller of the role admin.
///
/// # Errors
///
/// As every method of the store.
pub async fn change<T: Send + Sync + 'static>(
    store: &dyn Store,
    call: Call,
    options: ChangeOptions,
    work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
) -> Result<Result<Changed<T>, AdminRefusal>, StoreError> {
    let answer = store.change_as_admin(call, options, untyped(work)).await?;
    Ok(answer.map(|changed| changed.map(typed)))
}

/// What only the service does, between [`keep`] and a store. It may be run several times, also after a commit whose answer was lost.
pub type ServiceWork = Arc<dyn Fn(&dyn Sql) -> Result<Answer, Stop> + Send + Sync>;

/// Writes what only the service writes, all or nothing; no caller is proved and no event is written. See [`kept`].
///
/// # Errors
///
/// As every method of the store.
pub async fn keep<T: Send + Sync + 'static>(
    store: &dyn Store,
    work: impl Fn(&dyn Sql) -> Result<T, Stop> + Send + Sync + 'static,
) -> Result<Result<T, AdminRefusal>, StoreError> {
    let work: ServiceWork = Arc::new(move |sql| work(sql).map(|value| Box::new(value) as Answer));
    Ok(store.keep(work).await?.map(typed))
}

/// For callers that pass work on: see [`read`] and [`change`].
pub fn untyped<T: Send + Sync + 'static>(
    work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
) -> AdminWork {
    Arc::new(move |sql, admin| work(sql, admin).map(|value| Box::new(value) as Answer))
}

/// The value in an answer of [`untyped`] work of the same type.
pub fn typed<T: 'static>(answer: Answer) -> T {
    match answer.downcast() {
        Ok(value) => *value,
        Err(_) => unreachable!("a store answers with what the work answered"),
    }
}

/// For stores, inside a transaction that keeps or undoes what this does, as the answer says: runs a change and reads its events.
pub(crate) fn run(
    sql: &dyn Sql,
    admin: &Admin,
    options: &ChangeOptions,
    work: &AdminWork,
) -> Result<Changed<Answer>, Stop> {
    let before =
        sql.rows("SELECT coalesce(max(id), 0) FROM audit_event", &[])?.first().map_or(Ok(0), |row| row.int(0))?;
    let value = work(sql, admin)?;
    let events = events(sql, before, admin.request_id)?;
    let digest = Digest::of(&events);
    let is_expected = options.expected.is_none_or(|expected| expected == digest);
    Ok(Changed { value, events, digest, kept: !options.dry_run && is_expected })
}

/// The events of a call that have a higher id.
fn events(sql: &dyn Sql, before: i64, request_id: Uuid) -> Result<Vec<Event>, Stop> {
    let values = [Value::Int(before), Value::from(request_id.to_string())];
    sql.rows(EVENTS, &values)?.iter().map(event).collect()
}

const EVENTS: &str = "
    SELECT e.id, e.at, e.action, e.actor, e.request_id, e.reason, coalesce(e.entity_id, p.entity_id),
           coalesce(e.license_type, p.license_type), e.pool_id, e.seat_no, e.account_id, e.username, e.old_values, e.new_values
      FROM audit_event AS e LEFT JOIN license_pool AS p ON p.id = e.pool_id
     WHERE e.id > $1 AND e.request_id = $2
     ORDER BY e.id";

fn event(row: &Row) -> Result<Event, Stop> {
    Ok(Event {
        id: row.int(0)?,
        at: row.moment(1)?,
        action: row.text(2)?,
        actor: row.text(3)?,
        request_id: row.opt_text(4)?,
        reason: row.opt_text(5)?,
        entity_id: row.opt_int(6)?,
        license_type: row.opt_text(7)?,
        pool_id: row.opt_int(8)?,
        seat_no: row.opt_int(9)?,
        account_id: row.opt_int(10)?,
        username: row.opt_text(11)?,
        old_values: row.opt_text(12)?,
        new_values: row.opt_text(13)?,
        hash: None,
    })
}

#[cfg(test)]
mod tests {
    use super::testing::Seeded;
    use super::*;

    const SEED: &str = "
        INSERT INTO entity (id, parent_id, name) VALUES (1, NULL, 'Northwind'), (42, 1, 'Contoso');
        INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (7, 42, 'SqlBackup', 3);
        INSERT INTO account (id, username, entity_id) VALUES (5, 'anna', 42);";

    fn take(sql: &dyn Sql, _: &Admin) -> Result<u64, Stop> {
        sql.change(
            "UPDATE seat SET account_id = $2 WHERE pool_id = $1 AND seat_no = 1",
            &[Value::Int(7), Value::Int(5)],
        )
    }

    fn in_use(database: &Seeded) -> i64 {
        database.read(|sql, _| sql.rows("SELECT seats_in_use FROM license_pool", &[])?[0].int(0)).expect("read")
    }

    #[test]
    fn a_change_is_previewed_confirmed_and_refused_when_the_world_has_moved_on() {
        let database = Seeded::new(SEED);
        let with =
            |dry_run, expected| ChangeOptions { reason: Some("as the test wants it".to_owned()), dry_run, expected };
        let preview = database.change_with(with(true, None), take).expect("a preview");
        assert!(!preview.kept && preview.value == 1 && in_use(&database) == 0);
        let [event] = &preview.events[..] else { panic!("{:?}", preview.events) };
        assert_eq!(
            (event.action.as_str(), event.entity_id, event.license_type.as_deref()),
            ("assign", Some(42), Some("SqlBackup"))
        );
        assert_eq!(event.reason.as_deref(), Some("as the test wants it"));

        let done = database.change_with(with(false, Some(preview.digest)), take).expect("done");
        assert!(done.kept && done.digest == preview.digest && in_use(&database) == 1);
        // Again: the seat is taken now, so nothing would be written.
        let again = database.change_with(with(false, Some(preview.digest)), take).expect("an answer");
        assert!(!again.kept && again.events.is_empty() && in_use(&database) == 1);
    }

    #[test]
    fn what_a_guard_refuses_is_an_answer_and_undoes_everything() {
        let database = Seeded::new(SEED);
        database.change(take).expect("taken");
        let refused = database.change(|sql, _| {
            sql.change("UPDATE entity SET name = 'other' WHERE id = 42", &[])?;
            sql.change("UPDATE license_pool SET seats_total = $1", &[Value::Int(0)])
        });
        let sentence = "seats_total of pool 7 cannot be 0: 1 seats are in use, release 1 first";
        assert_eq!(refused.expect_err("refused"), AdminRefusal::Guard(sentence.to_owned()));
        // In an attempt only what was tried is undone.
        let tried = database.change(|sql, _| {
            sql.change("UPDATE entity SET name = 'kept' WHERE id = 42", &[])?;
            sql.attempt(&mut || sql.change("UPDATE entity SET parent_id = 42 WHERE id = 42", &[]).map(drop))
        });
        let tried = tried.expect("an answer");
        assert!(tried.value.is_err() && tried.kept && tried.events.len() == 1, "{tried:?}");
        let name =
            database.read(|sql, _| sql.rows("SELECT name FROM entity WHERE id = $1", &[Value::Int(42)])?[0].text(0));
        assert_eq!(name.expect("a name"), "kept");
    }
}
