//! The holders of seats at a past moment, from events alone.

use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use super::Reader;
use super::pages::From;
use crate::store::history::past::{State, Step};
use crate::store::history::{HistoryError, HolderThen, MomentSelection, PoolThen};
use crate::store::postgres::chain::event::Micros;
use crate::store::postgres::session::{Sql, to_time};
use crate::store::{Address, OpenError};

/// The number of unchained events read at a time.
const WAITING_AT_ONCE: usize = 5_000;

/// See [`crate::store::history::holders_at`].
///
/// Uses the events that happened at that time or before. Their times are all from the database's clock, and ascend for one seat.
/// An event of a long transaction gets its place in the chain when that commits, but counts from its own time on.
pub(crate) fn holders_at(
    address: &Address,
    selection: &MomentSelection,
    show: &mut dyn FnMut(&PoolThen, Option<&HolderThen>) -> std::io::Result<()>,
) -> Result<Option<i64>, HistoryError> {
    let reader = Reader::open(address)?;
    let lives = reader.lives()?;
    let entities = selection.entity.as_ref().map(|entity| reader.entity_ids(entity)).transpose()?;
    let account = match &selection.user {
        Some(name) => reader.account_named(name)?,
        None => None,
    };
    let mut folded = Folded { state: State::default(), newest: None };
    folded.fold(&reader, selection)?;
    if folded.newest.is_some() {
        let mut holders = |seats: &[(i64, i64)]| Ok(holders(&reader, seats)?);
        folded.state.show(&lives, selection, entities.as_ref(), account, &mut holders, show)?;
    }
    Ok(folded.newest)
}

struct Folded {
    state: State,
    /// The newest event that is used.
    newest: Option<i64>,
}

impl Folded {
    fn fold(&mut self, reader: &Reader<'_>, selection: &MomentSelection) -> Result<(), OpenError> {
        let (session, at) = (&reader.session, to_time(selection.at));
        reader.wait(async {
            let mut from = From::After(i64::MIN);
            loop {
                // The end of the chain and the waiting events are from one snapshot.
                session.begin_read().await?;
                let page = from.page(session).await?;
                if page.is_empty() {
                    break;
                }
                session.roll_back().await?;
                for batch in page {
                    let ids: Vec<i64> = batch.events.into_iter().map(|(id, _)| id).collect();
                    session.rows(&STEPS, &[&at, &ids]).await?.iter().try_for_each(|row| self.step(row))?;
                }
            }
            let cursor = session.cursor(&WAITING_STEPS, &[&at], WAITING_AT_ONCE).await?;
            loop {
                let rows = cursor.next().await?;
                rows.iter().try_for_each(|row| self.step(row))?;
                if rows.len() < WAITING_AT_ONCE {
                    break;
                }
            }
            session.roll_back().await
        })
    }

    fn step(&mut self, row: &Row) -> Result<(), Error> {
        let small = |index| row.try_get::<_, Option<i32>>(index).map(|number| number.map(i64::from));
        let values: Option<&str> = row.try_get(7)?;
        let values: Option<serde_json::Value> = values.and_then(|values| serde_json::from_str(values).ok());
        let value = |name: &str| values.as_ref().and_then(|values| values.get(name));
        let step = Step {
            id: row.try_get(0)?,
            action: row.try_get::<_, &str>(1)?.as_bytes(),
            pool_id: row.try_get(2)?,
            seat_no: small(3)?,
            account_id: row.try_get(4)?,
            entity_id: small(5)?,
            license_type: row.try_get(6)?,
            seats_total: value("seats_total").and_then(serde_json::Value::as_i64),
            username: value("username").and_then(serde_json::Value::as_str).map(str::to_owned),
        };
        self.newest = Some(step.id);
        self.state.apply(step);
        Ok(())
    }
}

/// The holders named by events.
fn holders(reader: &Reader<'_>, seats: &[(i64, i64)]) -> Result<Vec<HolderThen>, OpenError> {
    let ids: Vec<i64> = seats.iter().map(|(_, event)| *event).collect();
    reader.wait(async {
        let rows = reader.session.rows(&HOLDERS, &[&ids]).await?;
        let holder = |(row, (seat_no, event)): (&Row, &(i64, i64))| {
            let username: Option<String> = row.try_get(1)?;
            Ok(HolderThen {
                seat_no: *seat_no,
                account_id: row.try_get(0)?,
                username: username.unwrap_or_default(),
                since: row.try_get::<_, Micros>(2)?.of_event(),
                event: *event,
            })
        };
        rows.iter().zip(seats).map(holder).collect()
    })
}

/// Values are read only for pools and accounts.
macro_rules! step {
    () => {
        "SELECT e.id, e.action, e.pool_id, e.seat_no, e.account_id, e.entity_id, e.license_type,
                CASE WHEN e.action IN ('pool-create', 'pool-change', 'account-change') THEN e.new_values END "
    };
}

const STEPS: Sql = Sql {
    text: concat!(
        step!(),
        "FROM unnest($2::bigint[]) WITH ORDINALITY AS place (event_id, number) JOIN audit_event AS e ON e.id = event_id
         WHERE e.at <= $1 ORDER BY number"
    ),
    types: &[Type::TIMESTAMPTZ, Type::INT8_ARRAY],
};

const WAITING_STEPS: Sql = Sql {
    text: concat!(
        step!(),
        "FROM audit_pending AS waiting JOIN audit_event AS e ON e.id = waiting.event_id WHERE e.at <= $1 ORDER BY e.id"
    ),
    types: &[Type::TIMESTAMPTZ],
};

const HOLDERS: Sql = Sql {
    text: "SELECT e.account_id, e.username, e.at FROM unnest($1::bigint[]) WITH ORDINALITY AS place (event_id, number)
             JOIN audit_event AS e ON e.id = event_id ORDER BY number",
    types: &[Type::INT8_ARRAY],
};
