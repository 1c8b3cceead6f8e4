//! A connection in use, and the statements that run on it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use deadpool::managed::Object;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

use super::meaning::{Meaning, is_undone, meaning};
use super::pool::Connector;

/// A statement of the service: one constant for each.
///
/// ```text
/// const ENTITY: Sql = Sql { text: "SELECT active, parent_id FROM entity WHERE id = $1", types: &[Type::INT4] };
/// let row = session.row_opt(&ENTITY, &[&entity_id]).await?;
/// ```
///
/// Columns are named, never `*`: a prepared statement outlives an added column.
pub(crate) struct Sql {
    pub(crate) text: &'static str,
    /// The types of all parameters `$1`, `$2`, ….
    pub(crate) types: &'static [Type],
}

/// The value of a parameter. [`to_time`] makes times.
pub(crate) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// The server process of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) pid: i32,
    /// `pg_stat_activity.backend_start`: together with the pid it identifies a process for ever.
    pub(crate) started: Option<SystemTime>,
    /// `pg_postmaster_start_time()`: a different value means another server, or a restarted one.
    pub(crate) server_started: SystemTime,
}

/// A connection to the database, with its prepared statements.
pub(crate) struct Connection {
    client: Client,
    /// The task that transfers the bytes.
    driver: JoinHandle<()>,
    /// Prepared statements, by the address of their text: each [`Sql`] is a constant.
    statements: Mutex<HashMap<(usize, usize), Statement>>,
    backend: Backend,
    /// Whether there is a pooler such as PgBouncer in between: statements prepared or settings made in the session may be in
    /// another server process.
    is_pooled: bool,
}

impl Connection {
    pub(super) fn new(client: Client, driver: JoinHandle<()>, backend: Backend, is_pooled: bool) -> Connection {
        Connection { client, driver, statements: Mutex::default(), backend, is_pooled }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn statements(&self) -> MutexGuard<'_, HashMap<(usize, usize), Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: the statement is sent with its text each time.
    async fn prepared(&self, sql: &Sql) -> Result<Option<Statement>, Error> {
        if self.is_pooled {
            return Ok(None);
        }
        let key = (sql.text.as_ptr().addr(), sql.text.len());
        let known = self.statements().get(&key).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let statement = self.client.prepare_typed(sql.text, sql.types).await?;
        self.statements().insert(key, statement.clone());
        Ok(Some(statement))
    }
}

impl Drop for Connection {
    /// Closes the connection at once, even if its server does not answer.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

enum Held {
    /// `None`: it was taken to be closed.
    Pooled(Option<Object<Connector>>),
    /// The connection of a command.
    Alone(Connection),
}

/// A connection used by one call. When the session is dropped, the connection returns to the pool. If the call did not end
/// cleanly, but inside a transaction or with a running statement, the connection is closed instead.
pub(crate) struct Session {
    held: Held,
    /// The number of statements that were sent and not yet answered.
    under_way: AtomicUsize,
    in_transaction: AtomicBool,
    /// A statement of the transaction failed, and it was not rolled back to a savepoint: COMMIT would roll back.
    failed: AtomicBool,
    /// A commit was sent and its outcome is unknown.
    committing: AtomicBool,
    /// The connection must not be used again.
    broken: AtomicBool,
    attempt: AtomicU32,
}

impl Session {
    pub(super) fn pooled(connection: Object<Connector>) -> Session {
        Session::new(Held::Pooled(Some(connection)))
    }

    pub(super) fn alone(connection: Connection) -> Session {
        Session::new(Held::Alone(connection))
    }

    fn new(held: Held) -> Session {
        Session {
            held,
            under_way: AtomicUsize::new(0),
            in_transaction: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            committing: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            attempt: AtomicU32::new(0),
        }
    }

    fn connection(&self) -> &Connection {
        match &self.held {
            Held::Pooled(Some(pooled)) => &pooled.connection,
            Held::Pooled(None) => unreachable!("it is taken away only when the session is dropped"),
            Held::Alone(connection) => connection,
        }
    }

    /// For COPY and statements that are not constants. Only for sessions without a pool, because the session does not track them.
    pub(super) fn client(&self) -> &Client {
        &self.connection().client
    }

    /// The server process. Behind a pooler: the first one that this connection reached.
    pub(crate) fn backend(&self) -> Backend {
        self.connection().backend
    }

    /// Whether there is a pooler in between, so that the next transaction may run in another server process.
    pub(crate) fn is_pooled(&self) -> bool {
        self.connection().is_pooled
    }

    /// The number of earlier tries of the call: 0 at first. A call that found no unlocked seat a few times finally waits for one.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    pub(super) fn set_attempt(&self, attempt: u32) {
        self.attempt.store(attempt, Ordering::Relaxed);
    }

    /// All rows of a statement.
    pub(crate) async fn rows(&self, sql: &Sql, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        let connection = self.connection();
        self.answered(async {
            match connection.prepared(sql).await? {
                Some(statement) => connection.client.query(&statement, parameters).await,
                None => connection.client.query_typed(sql.text, &typed(sql, parameters)).await,
            }
        })
        .await
    }

    /// The row of a statement that always has one. Another number of rows is an error.
    pub(crate) async fn row(&self, sql: &Sql, parameters: &[Parameter<'_>]) -> Result<Row, Error> {
        let connection = self.connection();
        self.answered(async {
            match connection.prepared(sql).await? {
                Some(statement) => connection.client.query_one(&statement, parameters).await,
                None => connection.client.query_typed_one(sql.text, &typed(sql, parameters)).await,
            }
        })
        .await
    }

    /// The row of a statement that has one or none. More rows are an error.
    pub(crate) async fn row_opt(&self, sql: &Sql, parameters: &[Parameter<'_>]) -> Result<Option<Row>, Error> {
        let connection = self.connection();
        self.answered(async {
            match connection.prepared(sql).await? {
                Some(statement) => connection.client.query_opt(&statement, parameters).await,
                None => connection.client.query_typed_opt(sql.text, &typed(sql, parameters)).await,
            }
        })
        .await
    }

    /// The number of rows that a statement changed. Use it inside a transaction; outside of one use [`Session::commit_row_opt`]
    /// for changes.
    pub(crate) async fn execute(&self, sql: &Sql, parameters: &[Parameter<'_>]) -> Result<u64, Error> {
        let connection = self.connection();
        self.answered(async {
            match connection.prepared(sql).await? {
                Some(statement) => connection.client.execute(&statement, parameters).await,
                None => connection.client.execute_typed(sql.text, &typed(sql, parameters)).await,
            }
        })
        .await
    }

    /// All rows of a statement that is not a constant. It is planned for these values and not prepared, which is right behind a
    /// pooler too.
    pub(crate) async fn rows_of(&self, text: &str, parameters: &[(Parameter<'_>, Type)]) -> Result<Vec<Row>, Error> {
        self.answered(self.connection().client.query_typed(text, parameters)).await
    }

    /// The number of rows that such a statement changed, inside a transaction.
    pub(crate) async fn execute_text(&self, text: &str, parameters: &[(Parameter<'_>, Type)]) -> Result<u64, Error> {
        self.answered(self.connection().client.execute_typed(text, parameters)).await
    }

    /// The rows of a statement, page by page, inside a transaction: for answers too large for memory.
    pub(crate) async fn cursor(
        &self,
        sql: &Sql,
        parameters: &[Parameter<'_>],
        page: usize,
    ) -> Result<Cursor<'_>, Error> {
        let declare = format!("DECLARE seatkeeper_rows NO SCROLL CURSOR FOR {}", sql.text);
        let connection = self.connection();
        self.answered(connection.client.execute_typed(&declare, &typed(sql, parameters))).await?;
        Ok(Cursor { session: self, fetch: format!("FETCH FORWARD {page} FROM seatkeeper_rows") })
    }

    /// Runs a change that commits by itself, outside of a transaction: the write of an assignment or a release. Returns its row;
    /// `None`: it has none. The statement itself names the actor; see [`By`].
    ///
    /// If the connection is lost meanwhile, [`super::run`] finds out whether it was committed: leave with `?`.
    pub(crate) async fn commit_row_opt(&self, sql: &Sql, parameters: &[Parameter<'_>]) -> Result<Option<Row>, Error> {
        // Prepared first: if the connection is lost here, nothing was committed.
        self.answered(self.connection().prepared(sql)).await?;
        self.committing.store(true, Ordering::Release);
        // The answer arrives when the server is ready for the next statement, which is after the commit.
        let row = self.row_opt(sql, parameters).await;
        if row.as_ref().err().is_none_or(is_undone) {
            self.committing.store(false, Ordering::Release);
        }
        row
    }

    /// Runs a script of statements without parameters.
    pub(crate) async fn batch(&self, script: &str) -> Result<(), Error> {
        self.answered(self.connection().client.batch_execute(script)).await
    }

    /// Begins a savepoint, for items of a call that are undone one by one, and for dry runs. [`Session::keep`] or
    /// [`Session::undo`] end it; savepoints of other names may be inside.
    pub(crate) async fn savepoint(&self, name: &'static str) -> Result<(), Error> {
        self.batch(&format!("SAVEPOINT {name}")).await
    }

    /// Undoes the changes since the savepoint.
    pub(crate) async fn undo(&self, name: &'static str) -> Result<(), Error> {
        self.batch(&format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")).await?;
        self.failed.store(false, Ordering::Release);
        Ok(())
    }

    /// Keeps the changes since the savepoint.
    pub(crate) async fn keep(&self, name: &'static str) -> Result<(), Error> {
        self.batch(&format!("RELEASE SAVEPOINT {name}")).await
    }

    /// Begins a transaction for changes. Each statement sees the commits before its start, so rows that a decision depends on are
    /// locked (`FOR SHARE`, `FOR UPDATE`; accounts before seats, in the order of their keys). Only the runners call this.
    pub(crate) async fn begin(&self) -> Result<(), Error> {
        self.begin_by("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await
    }

    /// Begins a transaction of several reads on one snapshot. Only the runners call this.
    pub(crate) async fn begin_read(&self) -> Result<(), Error> {
        self.begin_by("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    async fn begin_by(&self, statement: &str) -> Result<(), Error> {
        self.in_transaction.store(true, Ordering::Release);
        self.failed.store(false, Ordering::Release);
        self.batch(statement).await
    }

    /// Commits. `Ok(false)`: a statement had failed, and nothing was changed.
    pub(crate) async fn commit(&self) -> Result<bool, Error> {
        // The server would report no error for such a COMMIT.
        if self.failed.load(Ordering::Acquire) {
            return self.roll_back().await.map(|()| false);
        }
        self.committing.store(true, Ordering::Release);
        let done = self.batch("COMMIT").await;
        if done.as_ref().err().is_none_or(is_undone) {
            self.committing.store(false, Ordering::Release);
            self.in_transaction.store(false, Ordering::Release);
        }
        done.map(|()| true)
    }

    /// Ends a transaction that only read.
    pub(crate) async fn end_read(&self) -> Result<(), Error> {
        self.batch("COMMIT").await?;
        self.in_transaction.store(false, Ordering::Release);
        self.failed.store(false, Ordering::Release);
        Ok(())
    }

    /// Rolls a transaction back.
    pub(crate) async fn roll_back(&self) -> Result<(), Error> {
        self.batch("ROLLBACK").await?;
        self.in_transaction.store(false, Ordering::Release);
        self.failed.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether a commit was sent whose outcome is unknown.
    pub(super) fn may_have_committed(&self) -> bool {
        self.committing.load(Ordering::Acquire)
    }

    /// Whether a transaction is open.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.in_transaction.load(Ordering::Acquire)
    }

    /// Whether the connection must not be used again.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Awaits the answer to a statement, and records its effect on the transaction and the connection. If this future is dropped
    /// before its end, the statement counts as running for ever.
    async fn answered<T>(&self, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let outcome = statement.await;
        self.under_way.fetch_sub(1, Ordering::AcqRel);
        if let Err(error) = &outcome {
            self.failed.store(true, Ordering::Release);
            match meaning(error) {
                Meaning::Lost | Meaning::Aborted => self.broken.store(true, Ordering::Release),
                Meaning::Stale => self.connection().statements().clear(),
                _ => {}
            }
        }
        outcome
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let is_clean = *self.under_way.get_mut() == 0
            && !*self.in_transaction.get_mut()
            && !*self.committing.get_mut()
            && !*self.broken.get_mut();
        if !is_clean && let Held::Pooled(connection) = &mut self.held {
            drop(connection.take().map(Object::take));
        }
    }
}

fn typed<'a>(sql: &Sql, parameters: &[Parameter<'a>]) -> Vec<(Parameter<'a>, Type)> {
    assert_eq!(parameters.len(), sql.types.len(), "{}", sql.text);
    parameters.iter().copied().zip(sql.types.iter().cloned()).collect()
}

/// See [`Session::cursor`]. It ends with the transaction, or with [`Cursor::close`].
pub(crate) struct Cursor<'s> {
    session: &'s Session,
    fetch: String,
}

impl Cursor<'_> {
    /// The next page of rows; an empty one: there are no more.
    pub(crate) async fn next(&self) -> Result<Vec<Row>, Error> {
        // Never prepared, because another cursor of the same name has other columns.
        self.session.answered(self.session.connection().client.query_typed(&self.fetch, &[])).await
    }

    /// Ends it, so that the transaction can have another one.
    pub(crate) async fn close(self) -> Result<(), Error> {
        self.session.batch("CLOSE seatkeeper_rows").await
    }
}

/// The actor of a change and its call, as events name them. Triggers read both from settings that are local to the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct By {
    /// `seatkeeper.request_id`: the id of the call.
    pub(crate) request_id: String,
    /// `seatkeeper.actor`: the caller's user name in the store's spelling, or `cli`.
    pub(crate) actor: String,
    /// `seatkeeper.reason`: why, if the caller said so.
    pub(crate) reason: Option<String>,
}

impl By {
    pub(crate) fn new(call_id: Uuid, actor: &str) -> By {
        By { request_id: call_id.to_string(), actor: actor.to_owned(), reason: None }
    }

    /// Sets it for the open transaction, before the first change of the call; once is enough, also with later savepoints. A
    /// statement that commits by itself ([`Session::commit_row_opt`]) sets it in a CTE of its own instead, with the same three
    /// calls of `set_config`. The change must read from that CTE, so that it runs first.
    pub(crate) async fn set(&self, session: &Session) -> Result<(), Error> {
        let reason = self.reason.as_deref().unwrap_or_default();
        session.row(&SET_BY, &[&self.request_id, &self.actor, &reason]).await.map(drop)
    }
}

const SET_BY: Sql = Sql {
    text: "SELECT set_config('seatkeeper.request_id', $1, true), set_config('seatkeeper.actor', $2, true),
                  set_config('seatkeeper.reason', $3, true)",
    types: &[Type::TEXT, Type::TEXT, Type::TEXT],
};

/// A time as a parameter of type `timestamptz`. The database keeps microseconds.
pub(crate) fn to_time(at: Timestamp) -> SystemTime {
    let since_epoch = at.duration_since(Timestamp::UNIX_EPOCH);
    let distance = since_epoch.unsigned_abs();
    let at = match since_epoch.is_negative() {
        false => SystemTime::UNIX_EPOCH.checked_add(distance),
        true => SystemTime::UNIX_EPOCH.checked_sub(distance),
    };
    at.unwrap_or_else(|| unreachable!("every timestamp is a system time"))
}

/// A value of type `timestamptz`. Times beyond [`Timestamp`], such as the last day of year 9999 and `infinity`, which some
/// systems write for "never", become the last possible one.
pub(crate) fn to_timestamp(at: SystemTime) -> Timestamp {
    let outside = if at < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::try_from(at).unwrap_or(outside)
}

/// The same for a column.
pub(crate) fn time(row: &Row, index: usize) -> Result<Option<Timestamp>, Error> {
    row.try_get::<_, Option<SystemTime>>(index).map(|at| at.map(to_timestamp))
}
