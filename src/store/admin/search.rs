//! One field that finds everything: entities, users, pools, credentials and requests.

use super::credentials::{self, CredentialFilter};
use super::entities::{self, EntitiesFilter, EntityRow};
use super::history::{self, EventRow};
use super::page::{Start, wanted};
use super::pools::{self, PoolRow};
use super::refusals::{self, RefusalRow, request_id_of};
use super::totals::Totals;
use super::users::{self, UserFilter, UserRow};
use super::{Admin, AdminRefusal, Sql, Stop};

/// The hits of each kind, the best first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// By id, owner name, customer number, or a part of the name.
    pub entities: Vec<EntityRow>,
    /// By the beginning of the user name.
    pub users: Vec<UserRow>,
    /// By id.
    pub pools: Vec<PoolRow>,
    /// By the beginning of the user name.
    pub credentials: Vec<credentials::CredentialRow>,
    /// Of a request id, with `Err-` or without: what it changed, the oldest first.
    pub events: Vec<EventRow>,
    /// Of a request id: why it was refused.
    pub refusal: Option<RefusalRow>,
    /// There are more than shown; the lists have them.
    pub more: bool,
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
            && self.users.is_empty()
            && self.pools.is_empty()
            && self.credentials.is_empty()
            && self.events.is_empty()
            && self.refusal.is_none()
    }
}

/// Rows shown of each kind, at most.
pub const HITS_MAX: usize = 10;

/// Longest text that is looked for, in characters; what follows is cut off.
const TEXT_MAX: usize = 300;

/// Looks for a text, as far as the caller may see what has it.
pub fn find(sql: &dyn Sql, admin: &Admin, totals: &Totals, text: &str) -> Result<Found, Stop> {
    let text: String = text.chars().filter(|c| *c != '\0').take(TEXT_MAX).collect();
    let Some(text) = wanted(Some(&text)) else { return Ok(Found::default()) };
    let mut found = Found::default();
    let request_id = request_id_of(text);
    if request_id.len() == 36 {
        found.refusal = refusals::find(sql, admin, &request_id)?;
        let near = found.refusal.as_ref().map(|refusal| refusal.at);
        let page = history::of_request(sql, admin, &request_id, near)?;
        found.more = page.next.is_some();
        found.events = page.rows;
        return Ok(found);
    }
    let number: Option<i64> = text.trim_start_matches('#').parse().ok();
    if let Some(id) = number {
        found.pools.extend(if_found(pools::one(sql, admin, id))?);
    }
    let filter = EntitiesFilter { text: Some(text.to_owned()), ..EntitiesFilter::default() };
    let page = entities::list(sql, admin, totals, &filter, &Start::First, HITS_MAX)?;
    found.more |= page.next.is_some();
    found.entities = page.rows;
    // An exact match comes first, even if many rows contain the text.
    let exact = |row: &EntityRow| {
        Some(row.id) == number || row.owner_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(text))
    };
    if let Some(id) = number
        && !found.entities.iter().any(|row| row.id == id)
    {
        found.entities.extend(if_found(entities::one(sql, admin, totals, id))?.map(|entity| entity.row));
    }
    found.entities.sort_by_key(|row| !exact(row));
    found.entities.truncate(HITS_MAX);
    let filter = UserFilter { starts_with: Some(text.to_owned()), ..UserFilter::default() };
    let page = users::list(sql, admin, &filter, &Start::First, HITS_MAX)?;
    found.more |= page.next.is_some();
    found.users = page.rows;
    let filter = CredentialFilter { starts_with: Some(text.to_owned()), ..CredentialFilter::default() };
    let page = credentials::list(sql, admin, &filter, &Start::First, HITS_MAX)?;
    found.more |= page.next.is_some();
    found.credentials = page.rows;
    Ok(found)
}

/// A row that does not exist, or that the caller may not see, gives no hit.
pub(super) fn if_found<T>(one: Result<T, Stop>) -> Result<Option<T>, Stop> {
    match one {
        Ok(one) => Ok(Some(one)),
        Err(Stop::Refused(AdminRefusal::NotFound { .. })) => Ok(None),
        Err(stop) => Err(stop),
    }
}
