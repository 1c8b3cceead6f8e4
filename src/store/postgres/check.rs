//! Verifies a database on a server: the schema, by comparison with a fresh one, and every invariant of the rows, in one snapshot.
//!
//! On SQLite `seatkeeper check` also verifies pages and values. Here the server does: it verifies the constraints of every
//! written row, and checksums of pages if they are on (`initdb --data-checksums`).

mod invariants;
mod schema;

pub(super) use schema::{compare as schema_compared, differences as schema_differences};

use std::time::{Duration, Instant};

use tokio_postgres::Error;

use super::command::command;
use super::connect::{Purpose, READ_AS_WRITTEN_HERE};
use super::meaning::{Meaning, meaning, text};
use super::schema::{check_version, failed, open_functions, version};
use super::session::{Session, Sql};
use crate::store::{Address, CheckHash, Checked, OpenError, SCHEMA_VERSION, Violation};
use invariants::{INVARIANTS, TOLERATED};

/// The most rows named for one invariant: enough to see the cause.
const ROWS_MAX: usize = 20;

const SCHEMA_IS_OURS: &str = "the schema is the one this program made";
const FUNCTIONS_ARE_CLOSED: &str = "only the owner may call the functions of this program";
const HASHES: &str = "credentials have a password hash that can be verified";

/// The server assumes that only the first rows of a cursor are read, and that an array is short; both assumptions lead to plans
/// that look up each event by itself.
pub(super) const LARGE_QUERIES: &str =
    "SET LOCAL cursor_tuple_fraction = 1; SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '64MB'";

/// How long a start verifies one invariant, and all of them. If that is not enough, the database is served; `seatkeeper check`
/// has no time limit.
const AT_START: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(15)];

/// See [`crate::store::check`].
pub(crate) fn check(address: &Address, check_hash: CheckHash) -> Result<Checked, OpenError> {
    command(address, Purpose::Read, async |session| {
        let version = version(address, session).await?;
        let mut checker = Checker { address, session, found: Vec::new(), deadline: None, left_out: 0 };
        checker.schema(version).await?;
        if version == SCHEMA_VERSION {
            // Not at a start, which has just closed them, perhaps on another server than this one.
            checker.functions().await.map_err(|error| failed(address, &error))?;
            checker.rows(check_hash).await.map_err(|error| failed(address, &error))?;
        }
        Ok(Checked { version, violations: checker.found })
    })
}

/// See [`crate::store::verify`].
pub(crate) fn verify(address: &Address, check_hash: CheckHash) -> Result<Vec<Violation>, OpenError> {
    let violations = command(address, Purpose::Read, async |session| {
        check_version(address, session).await?;
        require_owner(address, session).await?;
        let deadline = Some(Instant::now() + AT_START[1]);
        let mut checker = Checker { address, session, found: Vec::new(), deadline, left_out: 0 };
        checker.schema(SCHEMA_VERSION).await?;
        checker.rows(check_hash).await.map_err(|error| failed(address, &error))?;
        if checker.left_out > 0 {
            tracing::warn!(
                invariants = checker.left_out,
                "the database is large: not all of it was verified at this start; 'seatkeeper check' verifies the rest"
            );
        }
        Ok(checker.found)
    })?;
    let (tolerated, broken): (Vec<_>, Vec<_>) =
        violations.into_iter().partition(|violation| TOLERATED.contains(&violation.invariant));
    match broken.is_empty() {
        true => Ok(tolerated),
        false => Err(OpenError::Server { place: address.to_string(), reason: told(&broken) }),
    }
}

/// The tables take changes by their owner's own session for changes by the service. Any other login, also one with more rights
/// or one that takes the owner's role, could not chain the history, and its changes would count as made by hand.
async fn require_owner(address: &Address, session: &Session) -> Result<(), OpenError> {
    let owned = async {
        let row = session.row(&OWNER, &[]).await?;
        Ok::<(bool, String), Error>((row.try_get(0)?, row.try_get(1)?))
    };
    let (is_owner, owner) = owned.await.map_err(|error| failed(address, &error))?;
    if is_owner {
        return Ok(());
    }
    let reason = format!(
        "its tables belong to {owner}: the service must sign in as {owner}, without a role set for the login, or its changes count \
         as made by hand."
    );
    Err(OpenError::Server { place: address.to_string(), reason })
}

const OWNER: Sql = Sql {
    text: "SELECT session_user = current_user AND session_user = pg_catalog.pg_get_userbyid(relowner), pg_catalog.pg_get_userbyid(relowner)::text
             FROM pg_catalog.pg_class WHERE oid = 'public.audit_event'::regclass",
    types: &[],
};

/// Verifies the invariants of the rows as the open transaction sees them.
pub(super) async fn check_within(
    address: &Address,
    session: &Session,
    check_hash: CheckHash,
) -> Result<Vec<Violation>, Error> {
    let mut checker = Checker { address, session, found: Vec::new(), deadline: None, left_out: 0 };
    checker.invariants(check_hash).await?;
    Ok(checker.found)
}

/// The text for broken invariants, with what to do.
fn told(broken: &[Violation]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = broken.iter().take(SHOWN).map(Violation::to_string).collect();
    let more = if broken.len() > SHOWN { "; …" } else { "" };
    format!(
        "the database is not sound: {}{more}. Run 'seatkeeper check' for all of it; undo the change or repair the rows, or restore a backup.",
        shown.join("; ")
    )
}

struct Checker<'a> {
    address: &'a Address,
    session: &'a Session,
    found: Vec<Violation>,
    /// When to stop. `None`: everything is verified, however long that takes.
    deadline: Option<Instant>,
    /// The number of invariants that were not verified, because time ran out.
    left_out: usize,
}

impl Checker<'_> {
    fn add(&mut self, invariant: &'static str, rows: impl IntoIterator<Item = String>) {
        // As one line.
        let line = |row: String| row.replace(|c: char| c.is_control(), " ");
        self.found.extend(rows.into_iter().take(ROWS_MAX).map(|row| Violation { invariant, row: line(row) }));
    }

    async fn schema(&mut self, version: i32) -> Result<(), OpenError> {
        // For an older version it is not known.
        if version != SCHEMA_VERSION {
            return Ok(());
        }
        match schema_differences(self.session).await {
            Ok(Some(differences)) => self.add(SCHEMA_IS_OURS, differences),
            Ok(None) => {
                tracing::info!("a standby has no room for a fresh schema: the schema was not compared with one")
            }
            Err(error) => return Err(failed(self.address, &error)),
        }
        Ok(())
    }

    async fn functions(&mut self) -> Result<(), Error> {
        let open = open_functions(self.session).await?;
        let line = |function| {
            format!(
                "every login may call {function}: REVOKE EXECUTE ON FUNCTION public.{function} FROM PUBLIC; the service does it when it starts"
            )
        };
        self.add(FUNCTIONS_ARE_CLOSED, open.into_iter().map(line));
        Ok(())
    }

    async fn rows(&mut self, check_hash: CheckHash) -> Result<(), Error> {
        self.session.begin_read().await?;
        self.session.batch(LARGE_QUERIES).await?;
        if self.deadline.is_some() {
            self.session.batch(&format!("SET LOCAL statement_timeout = {}", AT_START[0].as_millis())).await?;
        }
        self.invariants(check_hash).await?;
        self.session.roll_back().await
    }

    /// In the open transaction.
    async fn invariants(&mut self, check_hash: CheckHash) -> Result<(), Error> {
        self.session.batch(READ_AS_WRITTEN_HERE).await?;
        for (name, query) in INVARIANTS {
            let is_late = self.deadline.is_some_and(|deadline| Instant::now() > deadline);
            let rows = if is_late { None } else { self.invariant(&Sql { text: query, types: &[] }).await? };
            match rows {
                Some(rows) => self.add(name, rows),
                None => self.left_out += 1,
            }
        }
        let mut unusable = Vec::new();
        for row in self.session.rows(&CREDENTIALS, &[]).await? {
            let (user_name, hash): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            if let Err(reason) = check_hash(hash) {
                unusable.push(format!("credential '{user_name}': {reason}"));
            }
        }
        self.add(HASHES, unusable);
        Ok(())
    }

    /// The first rows that break an invariant; `None`: the query took too long.
    async fn invariant(&self, query: &Sql) -> Result<Option<Vec<String>>, Error> {
        self.session.savepoint("invariant").await?;
        let find = async {
            let cursor = self.session.cursor(query, &[], ROWS_MAX).await?;
            let rows = cursor.next().await?;
            cursor.close().await?;
            rows.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<Vec<_>, _>>()
        };
        let found = find.await;
        match found {
            Ok(rows) => {
                self.session.keep("invariant").await?;
                Ok(Some(rows))
            }
            Err(error) if meaning(&error) == Meaning::Late && self.deadline.is_some() => {
                self.session.undo("invariant").await?;
                Ok(None)
            }
            // Unreadable data, such as damaged pages, is a finding too.
            Err(error) if !matches!(meaning(&error), Meaning::Lost | Meaning::Conflict | Meaning::Aborted) => {
                self.session.undo("invariant").await?;
                Ok(Some(vec![format!("it cannot be verified: {}", text(&error))]))
            }
            Err(error) => Err(error),
        }
    }
}

const CREDENTIALS: Sql = Sql { text: "SELECT user_name, password_hash FROM credential ORDER BY user_name", types: &[] };
