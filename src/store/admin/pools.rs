//! Pools: how full each is, when it begins and ends, and how its use went.

use jiff::{SignedDuration, Timestamp};

use super::page::{Key, Page, Start, by_ids, scan};
use super::pool_events::{PoolEvents, not_yet_counted};
use super::scope::{EntityFilter, Scope, entity_names, not_found};
use super::totals::{PoolEntry, Totals, percent};
use super::{Admin, Row, Sql, Stop};
use crate::seats::LicenseType;

/// Whether seats of a pool are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolState {
    Open,
    /// `starts_at` is still to come.
    NotBegun,
    /// `expires_at` has passed.
    Expired,
}

impl PoolState {
    pub const ALL: [PoolState; 3] = [Self::Open, Self::NotBegun, Self::Expired];

    /// A pool is open from its beginning, included, to its end, excluded.
    pub fn at(starts_at: Option<Timestamp>, expires_at: Option<Timestamp>, now: Timestamp) -> PoolState {
        if expires_at.is_some_and(|at| at <= now) {
            PoolState::Expired
        } else if starts_at.is_some_and(|at| at > now) {
            PoolState::NotBegun
        } else {
            PoolState::Open
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::NotBegun => "not-begun",
            Self::Expired => "expired",
        }
    }
}

impl std::str::FromStr for PoolState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| format!("'{name}' is no state of a pool"))
    }
}

/// In which order pools are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PoolOrder {
    #[default]
    Id,
    /// First to expire first; pools without an end come last.
    Expiry,
    /// The fullest first; pools without seats come last.
    Use,
}

/// Which pools are asked for: those that fit all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolFilter {
    pub entity: Option<EntityFilter>,
    pub license_type: Option<LicenseType>,
    pub state: Option<PoolState>,
    /// At least so many percent of the seats are in use: 100 is full. A pool without seats is not meant.
    pub percent_min: Option<i64>,
    /// Open, and expires within so many days.
    pub expires_within_days: Option<u32>,
    /// At least one seat is in use.
    pub in_use: bool,
    pub order: PoolOrder,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRow {
    pub id: i64,
    pub entity_id: i64,
    pub entity_name: String,
    pub license_type: LicenseType,
    pub seats_total: i64,
    pub seats_in_use: i64,
    /// The most that were ever in use at once.
    pub seats_in_use_max: i64,
    pub starts_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub state: PoolState,
    /// Given to the holder of a seat that has none of its own.
    pub product_key: Option<String>,
    pub has_license_data: bool,
    pub note: Option<String>,
}

impl PoolRow {
    pub fn free(&self) -> i64 {
        self.seats_total - self.seats_in_use
    }

    /// How full it is, rounded down; `None`: it has no seats.
    pub fn percent(&self) -> Option<i64> {
        percent(self.seats_in_use, self.seats_total)
    }
}

impl PoolFilter {
    /// Without regard to the entity.
    fn fits(&self, pool: &PoolEntry, now: Timestamp) -> bool {
        let state = pool.state(now);
        let within = |days: u32| {
            let until = now.saturating_add(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MAX);
            state == PoolState::Open && pool.expires_at.is_some_and(|at| at <= until)
        };
        self.license_type.is_none_or(|license_type| license_type == pool.license_type)
            && self.state.is_none_or(|wanted| wanted == state)
            && self.percent_min.is_none_or(|min| percent(pool.seats_in_use, pool.seats_total).is_some_and(|p| p >= min))
            && self.expires_within_days.is_none_or(within)
            && (!self.in_use || pool.seats_in_use > 0)
    }

    fn key(&self, pool: &PoolEntry) -> Key {
        let number = match self.order {
            PoolOrder::Id => 0,
            PoolOrder::Expiry => pool.expires_at.map_or(i64::MAX, Timestamp::as_second),
            PoolOrder::Use => percent(pool.seats_in_use, pool.seats_total).map_or(1, |percent| -percent),
        };
        Key { text: String::new(), number, id: pool.id }
    }
}

/// The pools that fit a filter. Which there may be and in which order is what `totals` says; their numbers are of this moment.
pub fn list(
    sql: &dyn Sql,
    admin: &Admin,
    totals: &Totals,
    filter: &PoolFilter,
    start: &Start,
    limit: usize,
) -> Result<Page<PoolRow>, Stop> {
    let scope = Scope::of(sql, admin);
    if let Some(entity) = filter.entity
        && !scope.has(entity.id)?
    {
        return Ok(Page::default());
    }
    let mut found = candidates(admin, scope.root(), totals, filter);
    found.sort_unstable_by(|one, other| one.0.cmp(&other.0));

    let mut read = |from: Option<&Key>, back: bool, n: usize| {
        Ok(slice(&found, |found| &found.0, from, back, n).into_iter().map(|(key, id)| (key, id, None)).collect())
    };
    let mut keep = |chunk: Vec<(Key, i64, Option<PoolRow>)>| {
        let ids: Vec<i64> = chunk.iter().map(|(_, id, _)| *id).collect();
        let mut rows = read_rows(sql, &scope, &ids, admin.now)?;
        let kept = chunk.into_iter().filter_map(|(key, id, _)| {
            let row = rows.remove(&id).filter(|row| filter.fits(&entry(row), admin.now))?;
            Some((key, id, Some(row)))
        });
        Ok(kept.collect())
    };
    let page = scan(start, limit, &mut read, &|(key, _, _): &(Key, i64, Option<PoolRow>)| key.clone(), &mut keep)?;
    let Page { rows, next, previous, is_partial } = page;
    Ok(Page { rows: rows.into_iter().filter_map(|(_, _, row)| row).collect(), next, previous, is_partial })
}

/// Some of a sorted list, from a key on; backwards in that order.
pub(super) fn slice<T: Clone>(
    sorted: &[T],
    key: impl Fn(&T) -> &Key,
    from: Option<&Key>,
    back: bool,
    n: usize,
) -> Vec<T> {
    match (from, back) {
        (None, _) => sorted.iter().take(n).cloned().collect(),
        (Some(from), false) => {
            let first = sorted.partition_point(|item| key(item) <= from);
            sorted[first..].iter().take(n).cloned().collect()
        }
        (Some(from), true) => {
            let end = sorted.partition_point(|item| key(item) < from);
            sorted[..end].iter().rev().take(n).cloned().collect()
        }
    }
}

fn candidates(admin: &Admin, root: Option<i64>, totals: &Totals, filter: &PoolFilter) -> Vec<(Key, i64)> {
    let mut among = std::collections::HashMap::new();
    let mut is_among = |entity_id: i64| match filter.entity {
        Some(EntityFilter { id, below: false }) => entity_id == id,
        Some(EntityFilter { id, below: true }) => {
            *among.entry(entity_id).or_insert_with(|| totals.is_below(entity_id, id))
        }
        None => match root {
            Some(root) => *among.entry(entity_id).or_insert_with(|| totals.is_below(entity_id, root)),
            None => true,
        },
    };
    let fits = |pool: &&PoolEntry| filter.fits(pool, admin.now) && is_among(pool.entity_id);
    totals.pools.iter().filter(fits).map(|pool| (filter.key(pool), pool.id)).collect()
}

fn entry(row: &PoolRow) -> PoolEntry {
    PoolEntry {
        id: row.id,
        entity_id: row.entity_id,
        license_type: row.license_type,
        seats_total: row.seats_total,
        seats_in_use: row.seats_in_use,
        starts_at: row.starts_at,
        expires_at: row.expires_at,
    }
}

/// The pools with these ids that the caller may see.
pub(super) fn read_rows(
    sql: &dyn Sql,
    scope: &Scope<'_>,
    ids: &[i64],
    now: Timestamp,
) -> Result<std::collections::HashMap<i64, PoolRow>, Stop> {
    let rows = by_ids(sql, POOLS, &[], ids)?;
    let mut pools = rows.iter().map(|row| pool(row, now)).collect::<Result<Vec<_>, _>>()?;
    pools = scope.retain(pools, |pool| pool.entity_id)?;
    let ids: Vec<i64> = pools.iter().map(|pool| pool.id).collect();
    let since = not_yet_counted(sql, Some(&ids))?;
    let mut names = entity_names(scope, pools.iter().map(|pool| pool.entity_id))?;
    let complete = |mut pool: PoolRow| {
        pool.seats_in_use += since.get(&pool.id).copied().unwrap_or(0);
        pool.seats_in_use_max = pool.seats_in_use_max.max(pool.seats_in_use);
        pool.entity_name = names.entry(pool.entity_id).or_default().clone();
        (pool.id, pool)
    };
    Ok(pools.into_iter().map(complete).collect())
}

const POOLS: &str = "
    SELECT id, entity_id, license_type, seats_total, seats_in_use, seats_in_use_max, starts_at, expires_at, product_key,
           license_data IS NOT NULL AND length(license_data) > 0, note
      FROM license_pool WHERE id IN ($ids)";

fn pool(row: &Row, now: Timestamp) -> Result<PoolRow, Stop> {
    let (starts_at, expires_at) = (row.time(6)?, row.time(7)?);
    Ok(PoolRow {
        id: row.int(0)?,
        entity_id: row.int(1)?,
        entity_name: String::new(),
        license_type: license_type(row, 2)?,
        seats_total: row.int(3)?,
        seats_in_use: row.int(4)?,
        seats_in_use_max: row.int(5)?,
        starts_at,
        expires_at,
        state: PoolState::at(starts_at, expires_at, now),
        product_key: row.opt_text(8)?.filter(|key| !key.is_empty()),
        has_license_data: row.flag(9)?,
        note: row.opt_text(10)?,
    })
}

/// A column that the schema holds to the types there are.
pub(super) fn license_type(row: &Row, index: usize) -> Result<LicenseType, Stop> {
    row.text(index)?.parse().map_err(|e| Stop::Failed(crate::store::StoreError::Failed(e)))
}

/// A pool that the caller may see.
pub fn one(sql: &dyn Sql, admin: &Admin, id: i64) -> Result<PoolRow, Stop> {
    let scope = Scope::of(sql, admin);
    read_rows(sql, &scope, &[id], admin.now)?.remove(&id).ok_or_else(|| not_found("pool", id))
}

/// How the use of a pool went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UseOverTime {
    /// In the order of time; at most as many as were asked for.
    pub points: Vec<UsePoint>,
    /// The points go back to the creation of the pool. Else older events were not read, or were moved to an archive.
    pub is_complete: bool,
}

/// The use of a pool at a moment, and up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsePoint {
    pub at: Timestamp,
    pub seats_total: i64,
    pub seats_in_use: i64,
    /// The most that were in use since the point before.
    pub peak: i64,
}

/// Points of a chart at most.
pub const POINTS_MAX: usize = 200;

/// Events that are read for a chart at most.
pub(super) const CHART_EVENTS_MAX: usize = 10_000;

/// How the use of a pool went, as far as its newest `CHART_EVENTS_MAX` events say it: a point for each event, or, if there are more than
/// `points`, one for each of as many spans of time.
pub fn use_over_time(sql: &dyn Sql, admin: &Admin, id: i64, points: usize) -> Result<UseOverTime, Stop> {
    let pool = one(sql, admin, id)?;
    let course = Course::read(sql, &pool, CHART_EVENTS_MAX, None)?;
    let now = UsePoint {
        at: admin.now,
        seats_total: pool.seats_total,
        seats_in_use: pool.seats_in_use,
        peak: pool.seats_in_use,
    };
    let mut steps = course.steps;
    steps.push(now);
    Ok(UseOverTime { points: sample(&steps, points.clamp(2, POINTS_MAX)), is_complete: course.is_complete })
}

/// The use of a pool, event by event.
pub(super) struct Course {
    /// The oldest first: what was so after each event.
    pub steps: Vec<UsePoint>,
    /// Seats and seats in use before the first of the steps.
    pub before: (i64, i64),
    /// There are no older events, or none that were asked for.
    pub is_complete: bool,
}

impl Course {
    /// Reads the events of a pool backwards, `events_max` at most, and those at or after `since` if that is given.
    pub fn read(sql: &dyn Sql, pool: &PoolRow, events_max: usize, since: Option<Timestamp>) -> Result<Course, Stop> {
        let events = PoolEvents::of_pool(sql, pool.id, events_max)?;
        Course::of(events, (pool.seats_total, pool.seats_in_use), since)
    }

    /// `after`: seats and seats in use after the newest of the events.
    pub fn of(mut events: PoolEvents<'_>, after: (i64, i64), since: Option<Timestamp>) -> Result<Course, Stop> {
        let (mut seats_total, mut seats_in_use) = after;
        let mut steps = Vec::new();
        let (mut is_created, mut is_before) = (false, false);
        'read: loop {
            let chunk = events.chunk()?;
            if chunk.is_empty() {
                break;
            }
            for event in chunk {
                if since.is_some_and(|since| event.at < since) {
                    is_before = true;
                    break 'read;
                }
                steps.push(UsePoint { at: event.at, seats_total, seats_in_use, peak: seats_in_use });
                match event.action.as_str() {
                    "assign" => seats_in_use -= 1,
                    "release" => seats_in_use += 1,
                    "pool-create" => (seats_total, is_created) = (0, true),
                    _ => seats_total = event.seats_before.unwrap_or(seats_total),
                }
            }
        }
        steps.reverse();
        Ok(Course { steps, before: (seats_total, seats_in_use), is_complete: is_created || is_before })
    }
}

/// At most so many of the steps: the last one of each span of time, with the peak of the span.
fn sample(steps: &[UsePoint], points: usize) -> Vec<UsePoint> {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Vec::new() };
    if steps.len() <= points {
        return steps.to_vec();
    }
    let begin = first.at.as_millisecond();
    let span = (last.at.as_millisecond() - begin).max(1);
    let spans = i64::try_from(points - 1).unwrap_or(i64::MAX);
    let mut sampled: Vec<UsePoint> = vec![*first];
    let mut at_span = None;
    for step in &steps[1..] {
        // The last step alone would be in a span of its own.
        let number = ((step.at.as_millisecond() - begin).saturating_mul(spans) / span).clamp(0, spans - 1);
        match sampled.last_mut() {
            Some(point) if at_span == Some(number) => *point = UsePoint { peak: point.peak.max(step.peak), ..*step },
            _ => sampled.push(*step),
        }
        at_span = Some(number);
    }
    sampled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: i64, seats_in_use: i64) -> UsePoint {
        let at = Timestamp::from_second(second).expect("a time");
        UsePoint { at, seats_total: 100, seats_in_use, peak: seats_in_use }
    }

    #[test]
    fn a_sample_keeps_the_ends_and_the_peak() {
        for (steps, points) in [(1, 2), (2, 2), (199, 200), (200, 200), (201, 200), (10_000, 200), (10_000, 2), (50, 7)]
        {
            let mut all: Vec<UsePoint> = (0..steps).map(|at| point(at * 13, at % 10)).collect();
            let middle = all.len() / 2;
            all[middle] = point(all[middle].at.as_second(), 99);
            let sampled = sample(&all, points);
            assert!(sampled.len() <= points, "{steps}: {} of {points}", sampled.len());
            assert_eq!(sampled.iter().map(|point| point.peak).max(), Some(99));
            assert_eq!(sampled.last().map(|point| point.at), all.last().map(|point| point.at));
            assert!(sampled.windows(2).all(|two| two[0].at <= two[1].at));
        }
        // All at one moment.
        let sampled = sample(&vec![point(5, 3); 1000], 200);
        assert!(sampled.len() <= 200 && sampled.iter().all(|point| point.seats_in_use == 3));
    }
}
