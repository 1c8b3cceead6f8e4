//! Pieces of administrators' work on a session: see [`crate::store::admin`].
//!
//! The work is plain synchronous code that is shared with SQLite. It runs in the task of its call, which tells the runtime that it blocks
//! its thread, and waits for each statement.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::calls::facts::Caller;
use super::calls::stop::{Stop as Ended, caller_of_role};
use super::meaning::{Meaning, meaning, text};
use super::session::{By, Parameter, Session, time, to_time};
use crate::seats::Role;
use crate::store::admin::{
    Admin, AdminRefusal, AdminWork, Answer, ChangeOptions, Changed, Dialect, Row, ServiceWork, Sql, Stop, Value, run,
};
use crate::store::{Call, StoreError};

/// Longer than the server lets a statement run: after that the connection is taken to be dead.
const STATEMENT_MAX: Duration = Duration::from_secs(60);

/// Reads of one moment, in a transaction.
pub(super) async fn read(
    session: &Session,
    call: &Call,
    least: Role,
    work: &AdminWork,
) -> Result<Result<Answer, AdminRefusal>, Ended> {
    let admin = admin(call, caller_of_role(session, call, least).await?);
    settle(blocking(session, |sql| work(sql, &admin)))
}

/// A change in a transaction at READ COMMITTED.
pub(super) async fn change(
    session: &Session,
    call: &Call,
    options: &ChangeOptions,
    work: &AdminWork,
) -> Result<Result<Changed<Answer>, AdminRefusal>, Ended> {
    let admin = admin(call, caller_of_role(session, call, Role::Admin).await?);
    let by = By { reason: options.reason.clone(), ..By::new(call.id, &admin.name) };
    by.set(session).await?;
    session.savepoint("admin").await?;
    let outcome = settle(blocking(session, |sql| run(sql, &admin, options, work)))?;
    match &outcome {
        Ok(changed) if changed.kept => session.keep("admin").await?,
        _ => session.undo("admin").await?,
    }
    Ok(outcome)
}

/// Writes what only the service writes, in a transaction at READ COMMITTED.
pub(super) async fn keep(session: &Session, work: &ServiceWork) -> Result<Result<Answer, AdminRefusal>, Ended> {
    session.batch("SET LOCAL seatkeeper.service = 'on'").await?;
    session.savepoint("kept").await?;
    let outcome = settle(blocking(session, |sql| work(sql)))?;
    if outcome.is_ok() {
        session.keep("kept").await?
    } else {
        session.undo("kept").await?
    }
    Ok(outcome)
}

fn admin(call: &Call, caller: Caller) -> Admin {
    let Caller { name, role, entity_id } = caller;
    Admin { name, role, entity_id: entity_id.map(i64::from), now: call.now, request_id: call.id }
}

/// The refusal apart from what ends the call.
fn settle<T>(outcome: Result<T, Stop>) -> Result<Result<T, AdminRefusal>, Ended> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Failed(error)) => Err(Ended::Failed(error)),
        Err(Stop::Database(error)) => Err(match error.downcast::<Error>() {
            Ok(error) => Ended::Statement(*error),
            Err(error) => Ended::Failed(StoreError::Failed(error.to_string())),
        }),
    }
}

/// Runs work that waits for its statements on the thread of this task.
fn blocking<T>(session: &Session, work: impl FnOnce(&OnPostgres<'_>) -> T) -> T {
    tokio::task::block_in_place(|| work(&OnPostgres { session, handle: Handle::current() }))
}

/// A session inside a transaction.
struct OnPostgres<'s> {
    session: &'s Session,
    handle: Handle,
}

impl OnPostgres<'_> {
    fn wait<T>(&self, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Stop> {
        match self.handle.block_on(tokio::time::timeout(STATEMENT_MAX, statement)) {
            Ok(answer) => answer.map_err(stop),
            Err(_) => {
                let why = format!("the database did not answer within {} s", STATEMENT_MAX.as_secs());
                Err(Stop::Failed(StoreError::Unreachable(why)))
            }
        }
    }
}

impl Sql for OnPostgres<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn rows(&self, text: &str, values: &[Value]) -> Result<Vec<Row>, Stop> {
        let values: Vec<Bound> = values.iter().map(bound).collect();
        let rows = self.wait(self.session.rows_of(text, &parameters(&values)))?;
        rows.iter()
            .map(|row| (0..row.len()).map(|index| value(row, index)).collect::<Result<_, _>>().map(Row::new))
            .collect()
    }

    fn change(&self, text: &str, values: &[Value]) -> Result<u64, Stop> {
        let values: Vec<Bound> = values.iter().map(bound).collect();
        self.wait(self.session.execute_text(text, &parameters(&values)))
    }

    fn attempt(&self, steps: &mut dyn FnMut() -> Result<(), Stop>) -> Result<Result<(), AdminRefusal>, Stop> {
        self.wait(self.session.savepoint("attempt"))?;
        match steps() {
            Ok(()) => self.wait(self.session.keep("attempt")).map(Ok),
            Err(Stop::Refused(refusal)) => {
                self.wait(self.session.undo("attempt"))?;
                Ok(Err(refusal))
            }
            // The whole transaction is rolled back.
            Err(stop) => Err(stop),
        }
    }
}

/// A guard's refusal is an answer, and so is a value that its column cannot hold. Every other error goes to the runner of calls.
fn stop(error: Error) -> Stop {
    let Some(refused) = error.as_db_error() else { return Stop::Database(Box::new(error)) };
    let code = refused.code().code();
    // A name of ours is a sentence.
    let constraint = refused.constraint().filter(|name| name.contains(' '));
    let guard = match code {
        _ if meaning(&error) == Meaning::Lost => None,
        "23514" | "23503" | "P0001" => Some(constraint.unwrap_or(refused.message()).to_owned()),
        "23505" => Some(constraint.map_or_else(|| text(&error), str::to_owned)),
        "23502" => Some(refused.message().to_owned()),
        code if code.starts_with("22") => Some(refused.message().to_owned()),
        _ => None,
    };
    match guard {
        Some(sentence) => Stop::Refused(AdminRefusal::Guard(sentence)),
        None => Stop::Database(Box::new(error)),
    }
}

type Bound = (Box<dyn ToSql + Sync + Send>, Type);

fn bound(value: &Value) -> Bound {
    match value {
        // The server finds out what it is.
        Value::Null => (Box::new(None::<String>), Type::UNKNOWN),
        Value::Int(number) => (Box::new(*number), Type::INT8),
        Value::Text(text) => (Box::new(text.clone()), Type::TEXT),
        Value::Bytes(bytes) => (Box::new(bytes.clone()), Type::BYTEA),
        Value::Time(at) => {
            (Box::new(to_time(jiff::Timestamp::from_second(at.as_second()).unwrap_or(*at))), Type::TIMESTAMPTZ)
        }
        Value::EventTime(at) => (Box::new(to_time(*at)), Type::TIMESTAMPTZ),
    }
}

fn parameters(values: &[Bound]) -> Vec<(Parameter<'_>, Type)> {
    values.iter().map(|(value, kind)| (&**value as Parameter<'_>, kind.clone())).collect()
}

fn value(row: &tokio_postgres::Row, index: usize) -> Result<Value, Stop> {
    let kind = row.columns()[index].type_().clone();
    let failed = |error: Error| Stop::Database(Box::new(error));
    Ok(match kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(index).map_err(failed)?.into(),
        Type::INT4 => row.try_get::<_, Option<i32>>(index).map_err(failed)?.into(),
        Type::INT2 => row.try_get::<_, Option<i16>>(index).map_err(failed)?.map(i32::from).into(),
        Type::BOOL => row.try_get::<_, Option<bool>>(index).map_err(failed)?.into(),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => {
            row.try_get::<_, Option<String>>(index).map_err(failed)?.into()
        }
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(index).map_err(failed)?.into(),
        Type::TIMESTAMPTZ => time(row, index).map_err(failed)?.map_or(Value::Null, Value::EventTime),
        kind => return Err(Stop::Failed(StoreError::Failed(format!("column {index} of a query is {kind}: CAST it")))),
    })
}
