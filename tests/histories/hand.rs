//! Changes by hand: SQL as administrators write it while the service runs.
//!
//! On PostgreSQL a change that first looks and then writes is made at REPEATABLE READ: at READ COMMITTED a statement can pass over
//! a row that was changed meanwhile, and says that it found none, which was true at no moment. What others have changed meanwhile
//! is refused there, and left out of the history.

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::types::Value;
use seatkeeper::store::sqlite;

use super::model::{Call, Offer, POOLS, Reply, State, TYPES};
use super::world::{World, dates, window_of};
use crate::harness::*;
use crate::postgres;

/// A connection of an administrator.
pub enum Hand {
    /// Of a shell that knows nothing of us.
    Stock(Connection),
    /// Of `seatkeeper sql`.
    Ours(sqlite::AdminConnection),
    Server(postgres::Session),
}

/// Why a change was not made.
enum Stop {
    /// Others are in the way. Nothing was changed.
    Busy,
    /// There is such a row already.
    Exists,
    Refused,
    Failed(String),
}

impl Hand {
    /// The connection of the administrator of this number.
    pub fn of(number: usize, database: &TestDatabase) -> Hand {
        if let Some(server) = database.server() {
            return Hand::Server(server.session());
        }
        if number.is_multiple_of(2) {
            let stock = Connection::open(database.file()).expect("open");
            stock.busy_timeout(std::time::Duration::from_secs(10)).expect("timeout");
            return Hand::Stock(stock);
        }
        Hand::Ours(connection(&database.file()))
    }

    pub fn name(&self) -> &'static str {
        match self {
            Hand::Stock(_) => "stock shell",
            Hand::Ours(_) | Hand::Server(_) => "sql",
        }
    }

    fn file(&self) -> Result<&Connection, &postgres::Session> {
        match self {
            Hand::Stock(connection) => Ok(connection),
            Hand::Ours(connection) => Ok(connection),
            Hand::Server(session) => Err(session),
        }
    }

    /// One statement that commits by itself, unless a transaction was begun; how many rows it changed.
    fn change(&self, statement: &str) -> Result<usize, Stop> {
        match self.file() {
            Ok(connection) => Ok(connection.execute(statement, [])?),
            Err(session) => Ok(session.rows(&format!("{statement} RETURNING 1"))?.len()),
        }
    }

    /// A statement that looks before it writes, as a transaction.
    fn look_and_change(&self, statement: &str) -> Result<usize, Stop> {
        if self.file().is_ok() {
            return self.change(statement);
        }
        self.begin()?;
        let rows = self.change(statement)?;
        self.run("COMMIT")?;
        Ok(rows)
    }

    fn rows(&self, query: &str) -> Result<Vec<Vec<Value>>, Stop> {
        match self.file() {
            Ok(connection) => {
                let mut statement = connection.prepare_cached(query)?;
                let columns = statement.column_count();
                let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect())?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            }
            Err(session) => Ok(session.rows(query)?),
        }
    }

    fn run(&self, statement: &str) -> Result<(), Stop> {
        match self.file() {
            Ok(connection) => Ok(connection.execute_batch(statement)?),
            Err(session) => Ok(session.execute(statement)?),
        }
    }

    fn begin(&self) -> Result<(), Stop> {
        self.run(if self.file().is_ok() { "BEGIN IMMEDIATE" } else { "BEGIN ISOLATION LEVEL REPEATABLE READ" })
    }

    fn begin_read(&self) -> Result<(), Stop> {
        self.run(if self.file().is_ok() { "BEGIN" } else { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" })
    }

    fn roll_back(&self) {
        let is_open = self.file().map_or(true, |connection| !connection.is_autocommit());
        if is_open {
            let _ = self.run("ROLLBACK");
        }
    }

    /// Makes a change, or reads everything. `None`: others were in the way, and nothing was changed.
    pub fn make(&self, world: World, call: &Call, x: Timestamp) -> Result<Option<Reply>, String> {
        let stop = match self.try_make(world, call, x) {
            Ok(reply) => return Ok(reply),
            Err(stop) => stop,
        };
        self.roll_back();
        match stop {
            Stop::Busy => Ok(None),
            Stop::Refused => Ok(Some(Reply::Refused)),
            Stop::Exists if matches!(call, Call::HandAssign { .. }) => Ok(Some(Reply::Refused)),
            // It was not there at the moment that the transaction sees.
            Stop::Exists if self.file().is_err() => Ok(None),
            Stop::Exists => Ok(Some(Reply::Refused)),
            Stop::Failed(error) => Err(format!("{call:?} by hand: {error}")),
        }
    }

    fn try_make(&self, world: World, call: &Call, x: Timestamp) -> Result<Option<Reply>, Stop> {
        let changed = |rows: usize| Ok(Some(if rows == 0 { Reply::Nothing } else { Reply::Done }));
        let release = |user: &u8, of: &u8| {
            let (account, of) = (world.account(*user), TYPES[usize::from(*of)]);
            format!("UPDATE seat SET account_id = NULL WHERE account_id = {account} AND license_type = '{of}'")
        };
        let take = |user: &u8, pool: &u8| {
            format!(
                "UPDATE seat SET account_id = {}
                  WHERE (pool_id, seat_no) = (SELECT pool_id, seat_no FROM seat WHERE pool_id = {} AND account_id IS NULL LIMIT 1)",
                world.account(*user),
                world.pool(*pool)
            )
        };
        match call {
            Call::HandRelease { user, of } => changed(self.look_and_change(&release(user, of))?),
            Call::HandAssign { user, pool } => changed(self.look_and_change(&take(user, pool))?),
            Call::HandMove { user, of, pool } => {
                self.begin()?;
                let released = self.change(&release(user, of))?;
                let taken = self.change(&take(user, pool))?;
                if self.file().is_err() && (released > 0) != (taken > 0) {
                    // No seat was held, or none was free, at the moment that the transaction sees; at its commit there may be one.
                    return Err(Stop::Busy);
                }
                self.run("COMMIT")?;
                Ok(Some(Reply::Done))
            }
            Call::Resize { pool, seats } => changed(self.change(&resize(world, *pool, *seats))?),
            Call::SetWindow { pool, window } => {
                let [starts_at, expires_at] =
                    dates(*window, x).map(|date| date.map_or("NULL".to_owned(), |d| format!("'{d}'")));
                let id = world.pool(*pool);
                changed(self.change(&format!(
                    "UPDATE license_pool SET starts_at = {starts_at}, expires_at = {expires_at} WHERE id = {id}"
                ))?)
            }
            Call::SetOffer { owner, offer } => {
                let entity = world.owner(*owner);
                self.begin()?;
                self.run(&format!("DELETE FROM license_offer WHERE entity_id = {entity}"))?;
                if let Some(offer) = offer {
                    self.run(&format!("INSERT INTO license_offer (entity_id) VALUES ({entity})"))?;
                    for (of, seats) in TYPES.iter().zip(offer) {
                        if let Some(seats) = seats {
                            self.run(&format!(
                                "INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES ({entity}, '{of}', {seats})"
                            ))?;
                        }
                    }
                }
                self.run("COMMIT")?;
                Ok(Some(Reply::Done))
            }
            _ => {
                self.begin_read()?;
                let state = self.read_all(world)?;
                self.run("COMMIT")?;
                Ok(Some(Reply::All(Box::new(state))))
            }
        }
    }

    fn read_all(&self, world: World) -> Result<State, Stop> {
        let mut state = State::new([0; POOLS]);
        for (pool, at) in (0..).zip(&mut state.pools) {
            let rows = self.rows(&format!(
                "SELECT seats_total, seats_in_use_max, starts_at, expires_at,
                        seats_in_use = (SELECT count(*) FROM seat WHERE pool_id = license_pool.id AND account_id IS NOT NULL)
                        AND seats_total = (SELECT count(*) FROM seat WHERE pool_id = license_pool.id)
                   FROM license_pool WHERE id = {}",
                world.pool(pool)
            ))?;
            let [seats, most, starts_at, expires_at, are_counted] = &rows[0][..] else { unreachable!("five columns") };
            (at.seats, at.in_use_max) = (small(seats), small(most));
            at.window = window_of(text(starts_at), text(expires_at));
            if *are_counted != Value::Integer(1) {
                // No state of the model has that many.
                at.seats = u8::MAX;
            }
        }
        for (user, held) in (0..).zip(&mut state.held) {
            for (of, held) in TYPES.iter().zip(held) {
                let account = world.account(user);
                let rows = self.rows(&format!(
                    "SELECT pool_id FROM seat WHERE account_id = {account} AND license_type = '{of}'"
                ))?;
                *held = rows.first().map(|row| match row[0] {
                    Value::Integer(id) => world.pool_no(id).unwrap_or(u8::MAX),
                    _ => u8::MAX,
                });
            }
        }
        for (owner, offer) in (0..).zip(&mut state.offers) {
            let entity = world.owner(owner);
            if !self.rows(&format!("SELECT 1 FROM license_offer WHERE entity_id = {entity}"))?.is_empty() {
                let mut modules: Offer = [None; 3];
                for (of, module) in TYPES.iter().zip(&mut modules) {
                    let rows = self.rows(&format!(
                        "SELECT seats_total FROM license_offer_module WHERE entity_id = {entity} AND license_type = '{of}'"
                    ))?;
                    *module = rows.first().map(|row| small(&row[0]));
                }
                *offer = Some(modules);
            }
        }
        Ok(state)
    }
}

/// The statement that gives a pool this many seats.
pub fn resize(world: World, pool: u8, seats: u8) -> String {
    format!("UPDATE license_pool SET seats_total = {seats} WHERE id = {}", world.pool(pool))
}

/// No state of the model has 255 of anything.
fn small(value: &Value) -> u8 {
    match value {
        Value::Integer(number) => u8::try_from(*number).unwrap_or(u8::MAX),
        _ => u8::MAX,
    }
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => Stop::Busy,
            Some(rusqlite::ErrorCode::ConstraintViolation) => Stop::Refused,
            _ if error.to_string().contains("in use, release") => Stop::Refused,
            _ => Stop::Failed(error.to_string()),
        }
    }
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Stop {
        match error.code.as_str() {
            "40001" | "40P01" | "55P03" => Stop::Busy,
            "23505" => Stop::Exists,
            "23514" if error.message.contains("in use, release") => Stop::Refused,
            _ => Stop::Failed(error.to_string()),
        }
    }
}
