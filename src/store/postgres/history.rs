//! Reads the history: in the order of the chain, followed by the events that are not chained yet.
//!
//! `audit show` reads page by page, each in a transaction of its own, so that a slow reader holds no snapshot: a snapshot would
//! keep dead rows in `audit_pending`, which every call that needs the numbers of a pool has to skip.

mod events;
mod holders;
mod pages;
mod verify;

pub(crate) use events::events;
pub(crate) use holders::holders_at;
pub(super) use verify::STRAYS;
pub(crate) use verify::verify_history;

use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::chain::batch::End;
use super::command::command;
use super::connect::{Purpose, TimeLimits, connect};
use super::schema::{check_version, failed};
use super::server::Server;
use super::session::{Session, Sql};
use crate::store::history::Newest;
use crate::store::history::past::Lives;
use crate::store::{Address, OpenError};

/// See [`crate::store::history::newest`].
pub(crate) fn newest(address: &Address) -> Result<Option<Newest>, OpenError> {
    command(address, Purpose::Read, async |session| {
        check_version(address, session).await?;
        let read = async {
            session.begin_read().await?;
            let end = End::read(session).await?;
            let unchained = session.row(&UNCHAINED, &[]).await?.try_get(0)?;
            session.roll_back().await?;
            Ok((end, unchained))
        };
        let (end, unchained) = read.await.map_err(|error| failed(address, &error))?;
        Ok(end.link.map(|link| Newest { link, events: end.next_place - 1, unchained }))
    })
}

const UNCHAINED: Sql = Sql { text: "SELECT count(*) FROM audit_pending", types: &[] };

/// A connection for a command that hands over rows while it reads: between two statements the receiver uses the thread.
struct Reader<'a> {
    address: &'a Address,
    session: Session,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Reader<'a> {
    fn open(address: &'a Address) -> Result<Reader<'a>, OpenError> {
        let failed = |reason| OpenError::Server { place: address.to_string(), reason };
        let server = Server::of(address)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let session = runtime.block_on(async {
            let (connection, _) = connect(&server, Purpose::Read, &TimeLimits::COMMAND).await.map_err(failed)?;
            let session = Session::alone(connection);
            check_version(address, &session).await?;
            Ok::<_, OpenError>(session)
        })?;
        Ok(Reader { address, session, runtime })
    }

    /// Waits for an answer.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, OpenError> {
        self.runtime.block_on(answer).map_err(|error| failed(self.address, &error))
    }

    /// The entity and type of each pool over time.
    fn lives(&self) -> Result<Lives, OpenError> {
        self.wait(async {
            let mut lives = Lives::default();
            self.session.begin_read().await?;
            let cursor = self.session.cursor(&POOL_EVENTS, &[], LIVES_AT_ONCE).await?;
            loop {
                let rows = cursor.next().await?;
                for row in &rows {
                    let entity_id: Option<i32> = row.try_get(3)?;
                    let action: &str = row.try_get(2)?;
                    lives.add_event(
                        row.try_get(0)?,
                        row.try_get(1)?,
                        action,
                        entity_id.map(i64::from),
                        row.try_get(4)?,
                    );
                }
                if rows.len() < LIVES_AT_ONCE {
                    break;
                }
            }
            for row in self.session.rows(&POOLS, &[]).await? {
                let entity_id: i32 = row.try_get(1)?;
                lives.add_pool(row.try_get(0)?, Some(entity_id.into()), row.try_get(2)?);
            }
            self.session.roll_back().await?;
            Ok(lives)
        })
    }

    /// The account that has this name now.
    fn account_named(&self, name: &str) -> Result<Option<i64>, OpenError> {
        self.wait(async {
            let row = self.session.row_opt(&ACCOUNT_NAMED, &[&name.to_ascii_lowercase()]).await?;
            row.map(|row| row.try_get(0)).transpose()
        })
    }
}

const LIVES_AT_ONCE: usize = 5_000;

/// The ids of one pool's events ascend, because each is written while the row is locked.
const POOL_EVENTS: Sql = Sql {
    text: "SELECT id, pool_id, action, entity_id, license_type FROM audit_event WHERE pool_id IS NOT NULL AND seat_no IS NULL ORDER BY id",
    types: &[],
};

const POOLS: Sql = Sql { text: "SELECT id, entity_id, license_type FROM license_pool", types: &[] };

const ACCOUNT_NAMED: Sql =
    Sql { text: "SELECT id FROM account WHERE lower(username COLLATE \"C\") = $1", types: &[Type::TEXT] };
