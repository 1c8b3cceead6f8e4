//! The chain, page by page.

use tokio_postgres::Error;
use tokio_postgres::types::Type;

use crate::store::postgres::session::{Session, Sql};

/// The smallest page, if there are enough events, so that many small batches do not need many round trips.
const PAGE_EVENTS: usize = 1_000;

/// A batch of the chain.
pub(super) struct Batch {
    pub first_place: i64,
    /// Its events in the order of the chain, each with its hash.
    pub events: Vec<(i64, Vec<u8>)>,
}

/// A place in the chain, and the direction from there.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    /// Batches that begin after this place, the oldest first.
    After(i64),
    /// Batches that begin before this place, the newest first.
    Before(i64),
}

impl From {
    /// The next page; an empty page is the end. The next call continues after it.
    pub(super) async fn page(&mut self, session: &Session) -> Result<Vec<Batch>, Error> {
        let (mut page, mut events) = (Vec::new(), 0);
        while events < PAGE_EVENTS {
            let (sql, place) = match self {
                From::After(place) => (&NEXT, place),
                From::Before(place) => (&PREVIOUS, place),
            };
            let rows = session.rows(sql, &[place]).await?;
            for row in &rows {
                let (ids, hashes): (Vec<i64>, &[u8]) = (row.try_get(1)?, row.try_get(2)?);
                // If bytes are missing, an event gets a hash that is too short, which matches none.
                let mut hashes = hashes.chunks(32);
                let hash = |id| (id, hashes.next().map(<[u8]>::to_vec).unwrap_or_default());
                let batch = Batch { first_place: row.try_get(0)?, events: ids.into_iter().map(hash).collect() };
                events += batch.events.len();
                *place = batch.first_place;
                page.push(batch);
            }
            if rows.is_empty() {
                break;
            }
        }
        Ok(page)
    }
}

/// A few batches: the largest have 200 KB.
const NEXT: Sql = Sql {
    text: "SELECT first_place, event_ids, hashes FROM audit_chain WHERE first_place > $1 ORDER BY first_place LIMIT 20",
    types: &[Type::INT8],
};

const PREVIOUS: Sql = Sql {
    text: "SELECT first_place, event_ids, hashes FROM audit_chain WHERE first_place < $1 ORDER BY first_place DESC LIMIT 20",
    types: &[Type::INT8],
};
