//! Events of the history, selected.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use super::Reader;
use super::pages::{Batch, From};
use crate::store::history::past::{Lives, below, entity_before};
use crate::store::history::{Archived, EntitySelection, Event, HistoryError, Selection};
use crate::store::postgres::chain::event::Micros;
use crate::store::postgres::session::{Parameter, Session, Sql, to_time};
use crate::store::{Address, OpenError};

/// The number of unchained events read at a time.
const WAITING_AT_ONCE: usize = 1_000;

/// See [`crate::store::history::events`].
pub(crate) fn events(
    address: &Address,
    selection: &Selection,
    show: &mut dyn FnMut(&Event) -> std::io::Result<()>,
) -> Result<Vec<Archived>, HistoryError> {
    let reader = Reader::open(address)?;
    let query = Query::new(&reader, selection)?;
    let mut shown = Shown {
        lives: reader.lives()?,
        entities: selection.entity.as_ref().map(|entity| reader.entity_ids(entity)).transpose()?,
        accounts: HashMap::new(),
        left: selection.events_max.unwrap_or(u64::MAX),
        user: selection.user.as_deref(),
        account_id: query.account_id,
        reader: &reader,
        show,
    };
    if selection.newest_first {
        let next_place = reader.wait(async {
            reader.session.begin_read().await?;
            reader.session.row(&NEXT_PLACE, &[]).await?.try_get(0)
        })?;
        // In the same snapshot, so that no event is left out.
        shown.waiting(&query, &WAITING_NEWEST_FIRST)?;
        let mut from = From::Before(next_place);
        while shown.left > 0 {
            let page = reader.wait(from.page(&reader.session))?;
            if page.is_empty() {
                break;
            }
            shown.page(&query, page, true)?;
        }
    } else {
        let mut from = From::After(i64::MIN);
        while shown.left > 0 {
            let page = reader.wait(async {
                reader.session.begin_read().await?;
                let page = from.page(&reader.session).await?;
                // After the end of the chain follow the events that wait at that moment.
                if !page.is_empty() {
                    reader.session.roll_back().await?;
                }
                Ok(page)
            })?;
            if page.is_empty() {
                shown.waiting(&query, &WAITING)?;
                break;
            }
            shown.page(&query, page, false)?;
        }
    }
    Ok(Vec::new())
}

/// A selection as parameters of the statements.
struct Query {
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    /// In lower case, in which names are compared.
    actor: Option<String>,
    request_id: Option<String>,
    pool_id: Option<i64>,
    user: Option<String>,
    account_id: Option<i64>,
    /// `None`: all.
    actions: Option<Vec<String>>,
}

impl Query {
    fn new(reader: &Reader<'_>, selection: &Selection) -> Result<Query, OpenError> {
        let small = |text: &Option<String>| text.as_deref().map(str::to_ascii_lowercase);
        let account_id = selection.user.as_deref().map(|user| reader.account_named(user)).transpose()?;
        Ok(Query {
            since: selection.since.map(to_time),
            until: selection.until.map(to_time),
            actor: small(&selection.actor),
            request_id: small(&selection.request_id),
            pool_id: selection.pool_id,
            user: small(&selection.user),
            account_id: account_id.flatten(),
            actions: (!selection.actions.is_empty()).then(|| selection.actions.clone()),
        })
    }

    fn parameters(&self) -> [Parameter<'_>; 8] {
        let Query { since, until, actor, request_id, pool_id, user, account_id, actions } = self;
        [since, until, actor, request_id, pool_id, user, account_id, actions]
    }

    /// The matching ones among these events, in this order.
    async fn of(&self, session: &Session, ids: &[i64]) -> Result<Vec<Event>, Error> {
        let mut parameters = self.parameters().to_vec();
        parameters.push(&ids);
        session.rows(&EVENTS, &parameters).await?.iter().map(event).collect()
    }
}

/// The receiver of the events, and the state of the output.
struct Shown<'s> {
    reader: &'s Reader<'s>,
    lives: Lives,
    /// The entities of the selection; `None`: all.
    entities: Option<HashSet<i64>>,
    /// The entities of accounts that hold seats in other entities' pools.
    accounts: HashMap<i64, i64>,
    user: Option<&'s str>,
    /// The account that has the selected name now.
    account_id: Option<i64>,
    left: u64,
    show: &'s mut dyn FnMut(&Event) -> std::io::Result<()>,
}

impl Shown<'_> {
    fn page(&mut self, query: &Query, page: Vec<Batch>, is_newest_first: bool) -> Result<(), HistoryError> {
        for batch in page {
            let mut placed = batch.events;
            if is_newest_first {
                placed.reverse();
            }
            for placed in placed.chunks(WAITING_AT_ONCE) {
                let ids: Vec<i64> = placed.iter().map(|(id, _)| *id).collect();
                let events = self.reader.wait(query.of(&self.reader.session, &ids))?;
                let mut hashes = placed.iter();
                let with_hash = |mut event: Event| {
                    let hash = hashes.find(|(id, _)| *id == event.id).map(|(_, hash)| hash.clone());
                    event.hash = hash;
                    event
                };
                let events = events.into_iter().map(with_hash).collect();
                self.all(events)?;
            }
        }
        Ok(())
    }

    /// Hands over the unchained events, and ends the open transaction.
    fn waiting(&mut self, query: &Query, sql: &Sql) -> Result<(), HistoryError> {
        let session = &self.reader.session;
        let cursor = self.reader.wait(session.cursor(sql, &query.parameters(), WAITING_AT_ONCE))?;
        loop {
            let rows = self.reader.wait(cursor.next())?;
            let events = rows.iter().map(event).collect::<Result<_, _>>();
            let events = self.reader.wait(std::future::ready(events))?;
            self.all(events)?;
            if rows.len() < WAITING_AT_ONCE || self.left == 0 {
                break;
            }
        }
        Ok(self.reader.wait(session.roll_back())?)
    }

    fn all(&mut self, mut events: Vec<Event>) -> Result<(), HistoryError> {
        if let Some(user) = self.user {
            let is_account = |event: &Event| self.account_id.is_some() && event.account_id == self.account_id;
            events.retain(|event| is_account(event) || is_about(event, user));
        }
        events.iter_mut().for_each(|event| self.lives.complete(event));
        self.find_accounts(&events)?;
        for event in events {
            if self.left > 0 && self.is_of_entity(&event) {
                (self.show)(&event)?;
                self.left -= 1;
            }
        }
        Ok(())
    }

    fn is_of_entity(&self, event: &Event) -> bool {
        let Some(entities) = &self.entities else { return true };
        let has = |id: Option<i64>| id.is_some_and(|id| entities.contains(&id));
        let holder = event.account_id.filter(|_| event.seat_no.is_some());
        has(event.entity_id) || has(entity_before(event)) || has(holder.and_then(|id| self.accounts.get(&id).copied()))
    }

    /// Finds the entities of the holders of seats.
    fn find_accounts(&mut self, events: &[Event]) -> Result<(), OpenError> {
        if self.entities.is_none() {
            return Ok(());
        }
        let holders = events.iter().filter(|event| event.seat_no.is_some()).filter_map(|event| event.account_id);
        let unknown: Vec<i64> = holders.filter(|id| !self.accounts.contains_key(id)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let found: Vec<(i64, i64)> = self.reader.wait(async {
            let rows = self.reader.session.rows(&ACCOUNTS, &[&unknown]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<_, i32>(1)?.into()))).collect()
        })?;
        self.accounts.extend(found);
        Ok(())
    }
}

/// Whether the account or credential of an event has the name, or had it before the change.
fn is_about(event: &Event, user: &str) -> bool {
    let is_user = |name: &str| name.eq_ignore_ascii_case(user);
    if event.username.as_deref().is_some_and(is_user) {
        return true;
    }
    let old =
        event.old_values.as_deref().filter(|_| matches!(event.action.as_str(), "account-change" | "credential-change"));
    let old: Option<serde_json::Value> = old.and_then(|old| serde_json::from_str(old).ok());
    old.is_some_and(|old| {
        ["username", "user_name"].iter().any(|name| old.get(name).and_then(|name| name.as_str()).is_some_and(is_user))
    })
}

impl Reader<'_> {
    /// The ids of the selected entities: in the present tree, and deleted entities where they were.
    pub(super) fn entity_ids(&self, selection: &EntitySelection) -> Result<HashSet<i64>, OpenError> {
        if !selection.below {
            return Ok(HashSet::from([selection.id]));
        }
        let mut children: HashMap<i64, Vec<i64>> = HashMap::new();
        self.wait(async {
            for row in self.session.rows(&CHILDREN, &[]).await? {
                let (parent, id): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
                children.entry(parent.into()).or_default().push(id.into());
            }
            for row in self.session.rows(&DELETED_ENTITIES, &[]).await? {
                let old: Option<serde_json::Value> = serde_json::from_str(row.try_get(1)?).ok();
                if let Some(parent) = old.and_then(|old| old.get("parent_id")?.as_i64()) {
                    children.entry(parent).or_default().push(row.try_get::<_, i32>(0)?.into());
                }
            }
            Ok(())
        })?;
        Ok(below(selection.id, children))
    }
}

fn event(row: &Row) -> Result<Event, Error> {
    let small = |index| row.try_get::<_, Option<i32>>(index).map(|number| number.map(i64::from));
    Ok(Event {
        id: row.try_get(0)?,
        at: row.try_get::<_, Micros>(1)?.of_event(),
        action: row.try_get(2)?,
        actor: row.try_get(3)?,
        request_id: row.try_get(4)?,
        reason: row.try_get(5)?,
        entity_id: small(6)?,
        license_type: row.try_get(7)?,
        pool_id: row.try_get(8)?,
        seat_no: small(9)?,
        account_id: row.try_get(10)?,
        username: row.try_get(11)?,
        old_values: row.try_get(12)?,
        new_values: row.try_get(13)?,
        hash: None,
    })
}

/// The columns of an event for the output.
macro_rules! shown {
    () => {
        "SELECT e.id, e.at, e.action, e.actor, e.request_id, e.reason, e.entity_id, e.license_type, e.pool_id, e.seat_no, e.account_id,
                e.username, e.old_values, e.new_values "
    };
}

/// The condition of a selection on an event. The old names of changed accounts and credentials are compared later.
macro_rules! selected {
    () => {
        " WHERE ($1::timestamptz IS NULL OR e.at >= $1) AND ($2::timestamptz IS NULL OR e.at < $2)
            AND ($3::text IS NULL OR lower(e.actor COLLATE \"C\") = $3)
            AND ($4::text IS NULL OR lower(e.request_id COLLATE \"C\") = $4)
            AND ($5::bigint IS NULL OR e.pool_id = $5)
            AND ($6::text IS NULL OR e.account_id = $7 OR lower(e.username COLLATE \"C\") = $6
                 OR e.action IN ('account-change', 'credential-change'))
            AND ($8::text[] IS NULL OR e.action = ANY ($8)) "
    };
}

const SELECTION: &[Type] = &[
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::TEXT,
    Type::INT8,
    Type::TEXT_ARRAY,
];

const EVENTS: Sql = Sql {
    text: concat!(
        shown!(),
        "FROM unnest($9::bigint[]) WITH ORDINALITY AS place (event_id, number) JOIN audit_event AS e ON e.id = event_id",
        selected!(),
        "ORDER BY number"
    ),
    types: &[
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::TEXT,
        Type::INT8,
        Type::TEXT_ARRAY,
        Type::INT8_ARRAY,
    ],
};

const WAITING: Sql = Sql {
    text: concat!(
        shown!(),
        "FROM audit_pending AS waiting JOIN audit_event AS e ON e.id = waiting.event_id",
        selected!(),
        "ORDER BY e.id"
    ),
    types: SELECTION,
};

const WAITING_NEWEST_FIRST: Sql = Sql {
    text: concat!(
        shown!(),
        "FROM audit_pending AS waiting JOIN audit_event AS e ON e.id = waiting.event_id",
        selected!(),
        "ORDER BY e.id DESC"
    ),
    types: SELECTION,
};

const NEXT_PLACE: Sql = Sql { text: "SELECT coalesce(max(first_place), 0) + 1 FROM audit_chain", types: &[] };

const ACCOUNTS: Sql = Sql { text: "SELECT id, entity_id FROM account WHERE id = ANY ($1)", types: &[Type::INT8_ARRAY] };

const CHILDREN: Sql = Sql { text: "SELECT parent_id, id FROM entity WHERE parent_id IS NOT NULL", types: &[] };

const DELETED_ENTITIES: Sql = Sql {
    text: "SELECT entity_id, old_values FROM audit_event WHERE action = 'entity-delete' AND entity_id IS NOT NULL AND old_values IS NOT NULL",
    types: &[],
};
