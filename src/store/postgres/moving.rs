//! `seatkeeper copy` on the side of a PostgreSQL server.
//!
//! The target is written in one transaction. In it the triggers of the tables are off, which only their owner can do; keys and
//! constraints stay on. Rows are written with COPY and read with cursors, so that tables need not fit into memory.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use tokio::runtime::Runtime;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Error, Row};

use super::chain::event::{EPOCH, Micros};
use super::check::check_within;
use super::connect::{Purpose, TimeLimits, connect};
use super::schema::{self, Contents};
use super::server::Server;
use super::session;
use crate::chain::Hash;
use crate::store::moving::{EVENTS, MoveError, TABLES, Table, Value};
use crate::store::{Address, CheckHash, OpenError};

/// Rows and events that a cursor reads at a time.
const PAGE_ROWS: usize = 5_000;
/// Events that one COPY writes; another COPY then writes their rows of `audit_chain`.
const COPY_EVENTS: usize = 50_000;
/// Events per row of `audit_chain`.
const BATCH_EVENTS: usize = 1_000;
/// Tables of the history. The others are [`TABLES`].
const OF_HISTORY: [&str; 3] = [EVENTS.name, "audit_pending", "audit_chain"];
/// Tables whose ids the database generates.
const WITH_SEQUENCE: [&str; 6] = ["entity", "account", "license_pool", EVENTS.name, "named_call", "refusal"];

/// Connections of nodes, and of other commands.
const NODES: &str = "
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'seatkeeper' AND pid <> pg_backend_pid()";
/// How long a copy waits for them to end.
const REST_WAIT: Duration = Duration::from_secs(3);

/// A connection with its own runtime.
struct Session {
    address: Address,
    session: session::Session,
    runtime: Runtime,
}

impl Session {
    fn open(address: &Address, purpose: Purpose) -> Result<Session, OpenError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = Server::of(address)?;
        let connected = runtime.block_on(connect(&server, purpose, &TimeLimits::COMMAND));
        let (connection, _) = connected.map_err(|reason| OpenError::Server { place: address.to_string(), reason })?;
        Ok(Session { address: address.clone(), session: session::Session::alone(connection), runtime })
    }

    fn client(&self) -> &Client {
        self.session.client()
    }

    fn failed(&self, error: &Error) -> MoveError {
        MoveError::refused(&self.address, format!("{}. Nothing was copied.", said(error)))
    }

    fn run(&self, script: &str) -> Result<(), MoveError> {
        self.runtime.block_on(self.client().batch_execute(script)).map_err(|error| self.failed(&error))
    }

    fn rows(&self, sql: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, MoveError> {
        self.runtime.block_on(self.client().query_typed(sql, parameters)).map_err(|error| self.failed(&error))
    }

    fn value<T: for<'r> FromSql<'r>>(&self, sql: &str) -> Result<T, MoveError> {
        let row = self.runtime.block_on(self.client().query_typed_one(sql, &[]));
        row.and_then(|row| row.try_get(0)).map_err(|error| self.failed(&error))
    }

    /// Refuses a database that is not ours, or has another version.
    fn require_version(&self) -> Result<(), OpenError> {
        self.runtime.block_on(schema::check_version(&self.address, &self.session))
    }

    /// Waits, before the transaction, until the connections of a node that was just stopped have ended: the server notices a moment later.
    fn wait_for_rest(&self) -> Result<(), MoveError> {
        let begun = Instant::now();
        while self.value::<i64>(NODES)? > 0 && begun.elapsed() < REST_WAIT {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Refuses a database that a node uses. The lease of a killed node lasts for some more seconds.
    fn require_rest(&self) -> Result<(), MoveError> {
        let (nodes, is_leased): (i64, bool) = (
            self.value(NODES)?,
            self.value("SELECT EXISTS (SELECT 1 FROM chain_lease WHERE held_until > clock_timestamp())")?,
        );
        if nodes > 0 || is_leased {
            return Err(MoveError::refused(
                &self.address,
                "the service runs on it, or a pooler keeps its connections open. Stop the service on every node, and RECONNECT or stop the \
                 pooler, then copy; after a node was killed wait for half a minute. Nothing was copied.",
            ));
        }
        Ok(())
    }
}

/// The server's error in a line or two, with its context, which for COPY is the row.
fn said(error: &Error) -> String {
    let Some(db) = error.as_db_error() else {
        return StdError::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    };
    let place = db.where_().and_then(|place| place.lines().next()).map(|place| format!(" ({place})"));
    format!("{}{}", db.message(), place.unwrap_or_default())
}

/// A source database, read in one snapshot.
pub(crate) struct Source {
    server: Session,
    newest: Option<i64>,
}

const NEWEST: &str = "SELECT max(id) FROM audit_event";

impl Source {
    /// Begins the snapshot of a database that no node uses.
    pub(crate) fn open(address: &Address) -> Result<Source, MoveError> {
        let server = Session::open(address, Purpose::Read)?;
        server.wait_for_rest()?;
        server.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        server.require_version()?;
        server.require_rest()?;
        let newest = server.value(NEWEST)?;
        Ok(Source { server, newest })
    }

    /// Hands over every row of a table.
    pub(crate) fn rows(
        &self,
        table: &Table,
        take: impl FnMut(&[Value]) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        let columns = table.all_columns();
        self.read(table, &format!("SELECT {columns} FROM {}", table.name), take)
    }

    /// Reads a query page by page.
    fn read(
        &self,
        table: &Table,
        sql: &str,
        mut take: impl FnMut(&[Value]) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        self.server.run(&format!("DECLARE copied NO SCROLL CURSOR FOR {sql}"))?;
        loop {
            let page = self.server.rows(&format!("FETCH FORWARD {PAGE_ROWS} FROM copied"), &[])?;
            if page.is_empty() {
                return self.server.run("CLOSE copied");
            }
            page.iter().try_for_each(|row| take(&self.values(table, row)?))?;
        }
    }

    fn values(&self, table: &Table, row: &Row) -> Result<Vec<Value>, MoveError> {
        let mut values = Vec::with_capacity(row.len());
        for (at, column) in row.columns().iter().enumerate() {
            let value = row.try_get::<_, Option<Read>>(at).map_err(|error| self.server.failed(&error))?;
            values.push(match value {
                None => Value::Null,
                Some(Read::Value(value)) => value,
                Some(Read::Time(at)) => Value::Text(text_of(at, table.name == EVENTS.name).ok_or_else(|| {
                    let reason = format!(
                        "the {} of the row of {} that begins with {:?} cannot be written in SQLite, which has whole seconds of \
                         the years 0 to 9999. Correct it first. Nothing was copied.",
                        column.name(),
                        table.name,
                        values.first()
                    );
                    MoveError::refused(&self.server.address, reason)
                })?),
            });
        }
        Ok(values)
    }

    /// Hands over every event: the chained ones in the order of the chain with their hashes, then the others by id.
    pub(crate) fn events(
        &self,
        mut take: impl FnMut(&[Value], Option<&[u8]>) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        self.server
            .run("DECLARE chain NO SCROLL CURSOR FOR SELECT event_ids, hashes FROM audit_chain ORDER BY first_place")?;
        let mut chained = 0;
        loop {
            let batches = self.server.rows("FETCH FORWARD 100 FROM chain", &[])?;
            if batches.is_empty() {
                break;
            }
            let mut links = Vec::new();
            for batch in &batches {
                let failed = |error: Error| self.server.failed(&error);
                let ids: Vec<i64> = batch.try_get(0).map_err(failed)?;
                let hashes: &[u8] = batch.try_get(1).map_err(failed)?;
                links.extend(ids.into_iter().zip(hashes.chunks(size_of::<Hash>()).map(<[u8]>::to_vec)));
            }
            for links in links.chunks(PAGE_ROWS) {
                self.chained(links, &mut take)?;
                chained += links.len();
            }
        }
        let mut unchained = 0;
        let waiting = format!(
            "SELECT {} FROM audit_event WHERE id IN (SELECT event_id FROM audit_pending) ORDER BY id",
            EVENTS.columns
        );
        self.read(&EVENTS, &waiting, |row| {
            unchained += 1;
            take(row, None)
        })?;
        let all: i64 = self.server.value("SELECT count(*) FROM audit_event")?;
        if usize::try_from(all) != Ok(chained + unchained) {
            let reason = format!(
                "it has {all} events, of which {chained} are chained and {unchained} wait for it: the history does not verify. \
                 Nothing was copied: see 'seatkeeper audit verify'."
            );
            return Err(MoveError::refused(&self.server.address, reason));
        }
        Ok(())
    }

    fn chained(
        &self,
        links: &[(i64, Vec<u8>)],
        take: &mut impl FnMut(&[Value], Option<&[u8]>) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        let ids: Vec<i64> = links.iter().map(|(id, _)| *id).collect();
        let sql = format!("SELECT {} FROM audit_event WHERE id = ANY ($1)", EVENTS.columns);
        let mut events = HashMap::with_capacity(ids.len());
        for row in self.server.rows(&sql, &[(&ids, Type::INT8_ARRAY)])? {
            events.insert(row.try_get::<_, i64>(0).map_err(|error| self.server.failed(&error))?, row);
        }
        for (id, hash) in links {
            let Some(row) = events.remove(id) else {
                let reason = format!("event {id} is chained, and is not there or chained twice. Nothing was copied.");
                return Err(MoveError::refused(&self.server.address, reason));
            };
            take(&self.values(&EVENTS, &row)?, Some(hash))?;
        }
        Ok(())
    }

    /// Ends the snapshot; returns whether the history has grown since it began.
    pub(crate) fn has_changed(&self) -> Result<bool, MoveError> {
        self.server.run("COMMIT")?;
        Ok(self.server.value::<Option<i64>>(NEWEST)? != self.newest)
    }
}

/// A new database. Nothing of it is visible before [`Target::commit`].
pub(crate) struct Target {
    server: Session,
    writer: Option<Pin<Box<BinaryCopyInWriter>>>,
    /// Statements that switch on again the triggers that [`Target::begin`] switched off.
    triggers: Vec<String>,
    /// The events of this COPY.
    links: Vec<(i64, Hash)>,
    /// The place of the first of them in the history.
    place: i64,
}

impl Target {
    /// Begins the transaction. Creates the tables if they do not exist.
    pub(crate) fn begin(address: &Address) -> Result<Target, MoveError> {
        let server = Session::open(address, Purpose::Write)?;
        server.wait_for_rest()?;
        server.run(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s';
             SET LOCAL idle_in_transaction_session_timeout = 0",
        )?;
        let made = server.runtime.block_on(async {
            match schema::contents(&server.session).await? {
                Contents::Nothing => schema::make_within(&server.session).await,
                _ => Ok(()),
            }
        });
        made.map_err(|error| server.failed(&error))?;
        server.require_version()?;
        server.require_rest()?;
        let tables: Vec<&str> = TABLES.iter().map(|table| table.name).chain(OF_HISTORY).collect();
        // Keeps other sessions from writing until the end.
        server.run(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", tables.join(", ")))?;
        // A service that ran on the empty database noted its checks there. The copy brings the source's.
        server.run("DELETE FROM upkeep")?;
        for table in &tables {
            if server.value(&format!("SELECT EXISTS (SELECT 1 FROM {table})"))? {
                let reason = format!("there are rows in {table}: copy to an empty database. Nothing was copied.");
                return Err(MoveError::refused(address, reason));
            }
        }
        let mut target = Target { server, writer: None, triggers: Vec::new(), links: Vec::new(), place: 1 };
        target.switch_triggers_off(&tables)?;
        Ok(target)
    }

    fn switch_triggers_off(&mut self, tables: &[&str]) -> Result<(), MoveError> {
        let found = "
            SELECT c.relname::text, quote_ident(t.tgname), t.tgenabled::text FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
             WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
             ORDER BY 1, 2";
        for row in self.server.rows(found, &[(&tables, Type::TEXT_ARRAY)])? {
            let column = |at| row.try_get::<_, String>(at).map_err(|error| self.server.failed(&error));
            let (table, name) = (column(0)?, column(1)?);
            let always = match column(2)?.as_str() {
                "A" => "ALWAYS ",
                "R" => "REPLICA ",
                _ => "",
            };
            self.server.run(&format!("ALTER TABLE {table} DISABLE TRIGGER {name}"))?;
            self.triggers.push(format!("ALTER TABLE {table} ENABLE {always}TRIGGER {name}"));
        }
        Ok(())
    }

    /// The database's clock.
    pub(crate) fn now(&self) -> Result<String, MoveError> {
        let now = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
        self.server.value(now)
    }

    pub(crate) fn begin_table(&mut self, table: &Table) -> Result<(), MoveError> {
        self.begin_copy(table.name, &table.all_columns())
    }

    fn begin_copy(&mut self, table: &str, columns: &str) -> Result<(), MoveError> {
        let client = self.server.client();
        let begun = async {
            let types = client.prepare(&format!("SELECT {columns} FROM {table}")).await?;
            let types: Vec<Type> = types.columns().iter().map(|column| column.type_().clone()).collect();
            let sink = client.copy_in(&format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)")).await?;
            Ok(Box::pin(BinaryCopyInWriter::new(sink, &types)))
        };
        self.writer = Some(self.server.runtime.block_on(begun).map_err(|error: Error| self.server.failed(&error))?);
        Ok(())
    }

    pub(crate) fn row(&mut self, row: &[Value]) -> Result<(), MoveError> {
        let writer = self.writer.as_mut().expect("a table was begun");
        let written = self.server.runtime.block_on(writer.as_mut().write_raw(row.iter().map(Write)));
        written.map_err(|error| match (error.as_db_error(), StdError::source(&error)) {
            // The row cannot be written for this reason; the server has not seen it.
            (None, Some(reason)) => MoveError::refused(
                &self.server.address,
                format!("the row that begins with {:?} cannot be written: {reason}. Nothing was copied.", row.first()),
            ),
            _ => self.server.failed(&error),
        })
    }

    /// The number of written rows.
    pub(crate) fn end_table(&mut self) -> Result<u64, MoveError> {
        let Some(mut writer) = self.writer.take() else { return Ok(0) };
        self.server.runtime.block_on(writer.as_mut().finish()).map_err(|error| self.server.failed(&error))
    }

    pub(crate) fn begin_events(&mut self) -> Result<(), MoveError> {
        self.begin_table(&EVENTS)
    }

    /// The next event in the order of the chain.
    pub(crate) fn event(&mut self, row: &[Value], hash: &Hash) -> Result<(), MoveError> {
        if self.links.len() == COPY_EVENTS {
            self.end_events()?;
            self.begin_events()?;
        }
        self.row(row)?;
        let Value::Number(id) = row[0] else { return Ok(()) };
        self.links.push((id, *hash));
        Ok(())
    }

    /// Ends the COPY of events, and chains them.
    pub(crate) fn end_events(&mut self) -> Result<(), MoveError> {
        self.end_table()?;
        self.begin_copy("audit_chain", "first_place, event_ids, hashes")?;
        for batch in std::mem::take(&mut self.links).chunks(BATCH_EVENTS) {
            let ids: Vec<i64> = batch.iter().map(|(id, _)| *id).collect();
            let hashes: Vec<u8> = batch.iter().flat_map(|(_, hash)| *hash).collect();
            let writer = self.writer.as_mut().expect("it was begun");
            let written = self.server.runtime.block_on(writer.as_mut().write(&[&self.place, &ids, &hashes]));
            written.map_err(|error| self.server.failed(&error))?;
            self.place += i64::try_from(batch.len()).unwrap_or(0);
        }
        self.end_table().map(drop)
    }

    /// Switches the triggers on again, and verifies the written rows: their number, and every invariant.
    pub(crate) fn verify(&mut self, rows: &[(&'static str, u64)], check_hash: CheckHash) -> Result<(), MoveError> {
        let server = &self.server;
        for trigger in &self.triggers {
            server.run(trigger)?;
        }
        for table in WITH_SEQUENCE {
            // The sequence of an empty table begins with 1.
            server.rows(
                &format!("SELECT setval(pg_get_serial_sequence('public.{table}', 'id'), max(id)) FROM {table} HAVING count(*) > 0"),
                &[],
            )?;
        }
        for table in TABLES.iter().map(|table| table.name).chain(OF_HISTORY) {
            // Otherwise the planner would assume that the tables are empty.
            server.run(&format!("ANALYZE {table}"))?;
        }
        for (table, read) in rows {
            let written: i64 = server.value(&format!("SELECT count(*) FROM {table}"))?;
            // The event of the copy itself.
            let expected = read + u64::from(*table == EVENTS.name);
            if u64::try_from(written) != Ok(expected) {
                let reason = format!("{written} rows of {table} were written, not {expected}. Nothing was copied.");
                return Err(MoveError::refused(&server.address, reason));
            }
        }
        let found = check_within(&server.address, &server.session, check_hash);
        let violations = server.runtime.block_on(found).map_err(|error| server.failed(&error))?;
        if violations.is_empty() {
            return Ok(());
        }
        Err(MoveError::Broken { place: server.address.to_string(), violations })
    }

    pub(crate) fn commit(self) -> Result<(), MoveError> {
        let committed = self.server.runtime.block_on(self.server.client().batch_execute("COMMIT"));
        committed.map_err(|error| match error.as_db_error() {
            Some(_) => self.server.failed(&error),
            None => MoveError::refused(
                &self.server.address,
                format!(
                    "{}. It is unknown whether everything or nothing was copied: look whether there are rows.",
                    said(&error)
                ),
            ),
        })
    }
}

/// In SQLite's form: an event's time with milliseconds, any other in whole seconds. `None`: SQLite has no such time.
fn text_of(at: Micros, is_of_event: bool) -> Option<String> {
    let (unit, length) =
        if is_of_event { (1_000, "2000-01-01T00:00:00.000Z".len()) } else { (1_000_000, "2000-01-01T00:00:00Z".len()) };
    let text = if is_of_event { at.of_event() } else { at.of_row()? };
    (at.0 % unit == 0 && text.len() == length && text.starts_with(|c: char| c.is_ascii_digit())).then_some(text)
}

/// The reverse. `None`: reading it back would give another text.
fn micros_of(text: &str) -> Option<i64> {
    let time: DateTime = text.strip_suffix('Z')?.parse().ok()?;
    let micros = i64::try_from(time.duration_since(EPOCH).as_micros()).ok()?;
    (text_of(Micros(micros), text.contains('.')).as_deref() == Some(text)).then_some(micros)
}

/// A value to write, in the type of its column.
struct Write<'v>(&'v Value);

impl fmt::Debug for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ToSql for Write<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Number(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Value::Number(number) if *ty == Type::INT8 => number.to_sql(ty, out),
            Value::Text(text) if *ty == Type::TIMESTAMPTZ => micros_of(text)
                .ok_or_else(|| format!("'{text}' is not a time as the schema wants it"))?
                .to_sql(&Type::INT8, out),
            Value::Text(text) if *ty == Type::TEXT => text.to_sql(ty, out),
            Value::Bytes(bytes) if *ty == Type::BYTEA => bytes.to_sql(ty, out),
            _ => Err(format!("{:?} is not of the type {ty}", self.0).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value from a column.
enum Read {
    Value(Value),
    Time(Micros),
}

impl<'r> FromSql<'r> for Read {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Read, Box<dyn StdError + Sync + Send>> {
        Ok(match *ty {
            Type::INT4 => Read::Value(Value::Number(i32::from_sql(ty, raw)?.into())),
            Type::INT8 => Read::Value(Value::Number(i64::from_sql(ty, raw)?)),
            Type::BYTEA => Read::Value(Value::Bytes(raw.to_vec())),
            Type::TIMESTAMPTZ => Read::Time(Micros::from_sql(ty, raw)?),
            _ => Read::Value(Value::Text(String::from_sql(ty, raw)?)),
        })
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT4, Type::INT8, Type::TEXT, Type::BYTEA, Type::TIMESTAMPTZ].contains(ty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_same_on_both_sides() {
        for text in [
            "2027-01-31T00:00:00Z",
            "1999-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2026-11-25T19:40:03.123Z",
            "1969-07-20T20:17:40.001Z",
        ] {
            let micros = micros_of(text).expect(text);
            assert_eq!(text_of(Micros(micros), text.contains('.')).as_deref(), Some(text));
        }
        assert_eq!(micros_of("2000-01-01T00:00:01Z"), Some(1_000_000));
        for text in [
            "2027-01-31",
            "2027-01-31T00:00:00",
            "2027-02-30T00:00:00Z",
            "2027-01-31T00:00:00.1Z",
            "2027-1-31T00:00:00Z",
        ] {
            assert_eq!(micros_of(text), None, "{text}");
        }
        for micros in [i64::MAX, i64::MIN, 1, 1500, 1_000_001] {
            assert_eq!(text_of(Micros(micros), false), None);
        }
        assert_eq!(text_of(Micros(1000), true).as_deref(), Some("2000-01-01T00:00:00.001Z"));
    }
}
