//! `seatkeeper audit verify`: verifies the chain of the history, and compares every row of the tables with the replayed history.
//! Reads one snapshot and changes nothing; a standby is enough.

use std::collections::HashMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use super::failed;
use super::pages::From;
use crate::chain::{Event, Head, Verifier};
use crate::store::postgres::chain::event::{self, Micros, event_columns};
use crate::store::postgres::chain::rollup::{Changes, Counters};
use crate::store::postgres::check::{LARGE_QUERIES, schema_differences};
use crate::store::postgres::command::command;
use crate::store::postgres::connect::Purpose;
use crate::store::postgres::schema::check_version;
use crate::store::postgres::session::{Session, Sql};
use crate::store::sqlite::{Cell, Scratch, Tables};
use crate::store::{Address, HistoryReport, OpenError};

/// The number of rows of a table that are copied at a time.
const ROWS_AT_ONCE: usize = 5_000;
/// The number of events that are read at a time. Some are large.
const EVENTS_AT_ONCE: usize = 1_000;

/// See [`crate::store::verify_history`].
pub(crate) fn verify_history(address: &Address, heads: Vec<Head>) -> Result<HistoryReport, OpenError> {
    command(address, Purpose::Read, async |session| {
        check_version(address, session).await?;
        let mut report = HistoryReport::default();
        let differences = schema_differences(session).await.map_err(|error| failed(address, &error))?;
        report
            .broken
            .extend(differences.unwrap_or_default().iter().map(|what| format!("the schema was changed: {what}")));
        let tables = Tables::new()?;
        let mut reading = Reading { address, session, report, pool_events: HashMap::new() };
        reading.read(&tables, heads).await?;
        Ok(reading.report)
    })
}

/// A history that is being verified.
struct Reading<'a> {
    address: &'a Address,
    session: &'a Session,
    report: HistoryReport,
    /// The number of events of each pool so far.
    pool_events: HashMap<i64, i64>,
}

impl Reading<'_> {
    fn failed(&self, error: &Error) -> OpenError {
        failed(self.address, error)
    }

    async fn read(&mut self, tables: &Tables, heads: Vec<Head>) -> Result<(), OpenError> {
        self.session.begin_read().await.map_err(|e| self.failed(&e))?;
        let waiting = self.what_waits().await.map_err(|e| self.failed(&e))?;
        for (table, sql) in TABLES {
            self.copy(tables, table, sql, &waiting).await?;
        }
        self.session.batch(LARGE_QUERIES).await.map_err(|e| self.failed(&e))?;
        let strays = self.session.rows(&STRAYS, &[]).await.map_err(|e| self.failed(&e))?;
        self.session.batch("SET LOCAL enable_nestloop = on").await.map_err(|e| self.failed(&e))?;
        for row in strays {
            let line: String = row.try_get(0).map_err(|e| self.failed(&e))?;
            self.report.broken.push(line);
        }
        let mut scratch = tables.begin(Verifier::of_places(heads), &mut self.report)?;
        self.chained(&mut scratch).await?;
        self.waiting(&mut scratch).await?;
        scratch.finish(&mut self.report)?;
        self.session.roll_back().await.map_err(|e| self.failed(&e))
    }

    /// The effect of the unchained events on the numbers of pools.
    async fn what_waits(&self) -> Result<Changes, Error> {
        let mut changes = Changes::new();
        let cursor = self.session.cursor(&WAITING_CHANGES, &[], ROWS_AT_ONCE).await?;
        loop {
            let rows = cursor.next().await?;
            for row in &rows {
                let (event_id, action, delta): (i64, &str, i32) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
                changes.entry(row.try_get(0)?).or_default().add(event_id, action, delta.into());
            }
            if rows.len() < ROWS_AT_ONCE {
                break;
            }
        }
        cursor.close().await?;
        Ok(changes)
    }

    /// Copies a table. The numbers of pools are those after all events are chained.
    async fn copy(&self, tables: &Tables, table: &str, sql: &Sql, waiting: &Changes) -> Result<(), OpenError> {
        let cursor = self.session.cursor(sql, &[], ROWS_AT_ONCE).await.map_err(|e| self.failed(&e))?;
        loop {
            let rows = cursor.next().await.map_err(|e| self.failed(&e))?;
            for row in &rows {
                let names: Vec<&str> = row.columns().iter().map(|column| column.name()).collect();
                let mut cells = cells(row).map_err(|e| self.failed(&e))?;
                if table == "license_pool" {
                    settle(&names, &mut cells, waiting);
                }
                tables.insert(table, &names, cells)?;
            }
            if rows.len() < ROWS_AT_ONCE {
                break;
            }
        }
        cursor.close().await.map_err(|e| self.failed(&e))
    }

    async fn chained(&mut self, scratch: &mut Scratch<'_>) -> Result<(), OpenError> {
        let (mut from, mut next_place) = (From::After(i64::MIN), 1);
        loop {
            let page = from.page(self.session).await.map_err(|e| self.failed(&e))?;
            if page.is_empty() {
                return Ok(());
            }
            let mut events: Vec<(i64, Vec<u8>)> = Vec::new();
            for batch in page {
                if batch.first_place != next_place {
                    let fault = format!(
                        "the chain: place {} follows place {}: a part of it was removed or added",
                        batch.first_place,
                        next_place - 1
                    );
                    scratch.break_off(fault, &mut self.report);
                }
                next_place = batch.first_place.saturating_add(i64::try_from(batch.events.len()).unwrap_or(i64::MAX));
                events.extend(batch.events);
            }
            for events in events.chunks(EVENTS_AT_ONCE) {
                self.placed(scratch, events).await?;
            }
        }
    }

    /// Verifies events of the chain, in its order.
    async fn placed(&mut self, scratch: &mut Scratch<'_>, events: &[(i64, Vec<u8>)]) -> Result<(), OpenError> {
        let ids: Vec<i64> = events.iter().map(|(id, _)| *id).collect();
        let rows = self.session.rows(&EVENTS, &[&ids]).await.map_err(|e| self.failed(&e))?;
        for (row, (id, hash)) in rows.iter().zip(events) {
            if row.try_get::<_, Option<i64>>(0).map_err(|e| self.failed(&e))?.is_none() {
                scratch.break_off(format!("event {id}: it is in the chain, but was removed"), &mut self.report);
                continue;
            }
            self.event(scratch, row, 0, Some(hash))?;
        }
        Ok(())
    }

    /// Replays the unchained events, in the order in which they will be chained.
    async fn waiting(&mut self, scratch: &mut Scratch<'_>) -> Result<(), OpenError> {
        let cursor = self.session.cursor(&WAITING, &[], EVENTS_AT_ONCE).await.map_err(|e| self.failed(&e))?;
        loop {
            let rows = cursor.next().await.map_err(|e| self.failed(&e))?;
            for row in &rows {
                self.event(scratch, row, 0, None)?;
            }
            if rows.len() < EVENTS_AT_ONCE {
                break;
            }
        }
        cursor.close().await.map_err(|e| self.failed(&e))
    }

    fn event(
        &mut self,
        scratch: &mut Scratch<'_>,
        row: &Row,
        first: usize,
        hash: Option<&Vec<u8>>,
    ) -> Result<(), OpenError> {
        let mut at = String::new();
        let event = event::read(row, first, &mut at).map_err(|e| self.failed(&e))?;
        let pool_events = self.count(&event);
        scratch.event(&event, hash.map(Vec::as_slice), pool_events, &mut self.report)
    }

    /// The number of events of its pool, including this one. Events that were copied from SQLite have it.
    fn count(&mut self, event: &Event<'_>) -> Option<i64> {
        let events = self.pool_events.entry(event.pool_id?).or_default();
        *events = match event.pool_events {
            Some(events) => events,
            None if event.action == b"pool-create" => 1,
            None => *events + 1,
        };
        Some(*events)
    }
}

/// Updates the numbers of a pool, among the cells of its row, to those after chaining.
fn settle(names: &[&str], cells: &mut [Cell], waiting: &Changes) {
    let at = |name: &str| names.iter().position(|column| *column == name);
    let number = |cells: &[Cell], name: &str| match at(name).map(|at| &cells[at]) {
        Some(Cell::Number(number)) => Some(*number),
        _ => None,
    };
    let Some(change) = number(cells, "id").and_then(|id| waiting.get(&id)) else { return };
    let now = Counters {
        in_use: number(cells, "seats_in_use").unwrap_or_default(),
        most: number(cells, "seats_in_use_max").unwrap_or_default(),
        event_id: number(cells, "event_id"),
        events: number(cells, "events").unwrap_or_default(),
    };
    let then = change.applied_to(now);
    for (name, value) in [
        ("seats_in_use", Some(then.in_use)),
        ("seats_in_use_max", Some(then.most)),
        ("event_id", then.event_id),
        ("events", Some(then.events)),
    ] {
        if let Some(at) = at(name) {
            cells[at] = value.map_or(Cell::Null, Cell::Number);
        }
    }
}

/// A row in SQLite's form.
fn cells(row: &Row) -> Result<Vec<Cell>, Error> {
    let cell = |(index, column): (usize, &tokio_postgres::Column)| {
        Ok(match *column.type_() {
            Type::INT4 => row.try_get::<_, Option<i32>>(index)?.map(|number| Cell::Number(number.into())),
            Type::INT8 => row.try_get::<_, Option<i64>>(index)?.map(Cell::Number),
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(index)?.map(Cell::Bytes),
            Type::TIMESTAMPTZ => row.try_get::<_, Option<Micros>>(index)?.and_then(Micros::of_row).map(Cell::Text),
            _ => row.try_get::<_, Option<String>>(index)?.map(Cell::Text),
        }
        .unwrap_or(Cell::Null))
    };
    row.columns().iter().enumerate().map(cell).collect()
}

const TABLES: [(&str, &Sql); 7] = [
    ("entity", &ENTITY),
    ("credential", &CREDENTIAL),
    ("account", &ACCOUNT),
    ("license_pool", &LICENSE_POOL),
    ("seat", &SEAT),
    ("license_offer", &LICENSE_OFFER),
    ("license_offer_module", &LICENSE_OFFER_MODULE),
];

const ENTITY: Sql = Sql {
    text: "SELECT id, parent_id, name, active, owner_name, owner_description, serial_nr, shop_url, next_check_at, maintenance_at,
                  admin_warning_at, expires_at, grace_at, customer_nr, note FROM entity",
    types: &[],
};
const CREDENTIAL: Sql =
    Sql { text: "SELECT user_name, password_hash, entity_id, role, active, note FROM credential", types: &[] };
const ACCOUNT: Sql = Sql { text: "SELECT id, username, entity_id, active, note FROM account", types: &[] };
const LICENSE_POOL: Sql = Sql {
    text: "SELECT id, entity_id, license_type, seats_total, starts_at, expires_at, product_key, license_data, seats_in_use,
                  seats_in_use_max, event_id, events, note FROM license_pool",
    types: &[],
};
const SEAT: Sql =
    Sql { text: "SELECT pool_id, seat_no, license_type, account_id, product_key, license_data FROM seat", types: &[] };
const LICENSE_OFFER: Sql = Sql {
    text: "SELECT entity_id, company_name, serial_nr, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at
             FROM license_offer",
    types: &[],
};
const LICENSE_OFFER_MODULE: Sql =
    Sql { text: "SELECT entity_id, license_type, seats_total FROM license_offer_module", types: &[] };

const WAITING_CHANGES: Sql = Sql {
    text: "SELECT p.pool_id, p.event_id, coalesce(e.action, ''), p.delta FROM audit_pending AS p LEFT JOIN audit_event AS e ON e.id = p.event_id
            WHERE p.pool_id IS NOT NULL ORDER BY p.event_id",
    types: &[],
};

const EVENTS: Sql = Sql {
    text: concat!(
        "SELECT ",
        event_columns!(),
        " FROM unnest($1::bigint[]) WITH ORDINALITY AS place (event_id, number) LEFT JOIN audit_event AS e ON e.id = event_id ORDER BY number"
    ),
    types: &[Type::INT8_ARRAY],
};

const WAITING: Sql = Sql {
    text: concat!(
        "SELECT ",
        event_columns!(),
        " FROM audit_pending JOIN audit_event AS e ON e.id = event_id ORDER BY event_id"
    ),
    types: &[],
};

/// Every event has one place in the chain, or waits for one.
pub(in crate::store::postgres) const STRAYS: Sql = Sql {
    text: "SELECT CASE WHEN e.id IS NULL THEN 'event ' || place.id || ' is in the chain or waits for it, but is not in audit_event'
                       WHEN place.id IS NULL THEN 'event ' || e.id || ' is neither in the chain nor does it wait for that: it was added by hand'
                       ELSE 'event ' || e.id || ' has ' || places || ' places in the chain' END
             FROM audit_event AS e
             FULL JOIN (SELECT id, count(*) AS places
                          FROM (SELECT unnest(event_ids) AS id FROM audit_chain UNION ALL SELECT event_id FROM audit_pending) AS place
                         GROUP BY id) AS place ON place.id = e.id
            WHERE e.id IS NULL OR place.id IS NULL OR places > 1
            ORDER BY coalesce(e.id, place.id) LIMIT 20",
    types: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_with_a_history_is_copied() {
        assert!(Tables::names().eq(TABLES.iter().map(|(table, _)| *table)));
    }
}
