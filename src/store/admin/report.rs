//! A report for a customer: the seats that an entity had and used in a period.

use jiff::Timestamp;

use super::page::by_ids;
use super::pool_events::PoolEvents;
use super::pools::{Course, PoolRow, UsePoint, license_type, read_rows};
use super::scope::{Among, EntityFilter, Scope, not_found};
use super::totals::Totals;
use super::{Admin, AdminRefusal, Sql, Stop, Value, first};
use crate::license::PerType;
use crate::seats::LicenseType;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRequest {
    pub entity: EntityFilter,
    /// Included.
    pub since: Timestamp,
    /// Excluded; what is later than now is now.
    pub until: Timestamp,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub entity_id: i64,
    pub entity_name: String,
    pub since: Timestamp,
    pub until: Timestamp,
    /// By type, then by id; pools that are gone too.
    pub pools: Vec<PoolReport>,
    /// All pools of a type together. The peak is that of all of them at one moment, as far as [`Report::is_complete`].
    pub types: PerType<Option<TypeReport>>,
    /// Events of all pools were read as far back as the span goes.
    pub is_complete: bool,
    /// There are more pools than were read.
    pub has_more_pools: bool,
}

/// A pool in a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolReport {
    pub pool_id: i64,
    pub entity_id: i64,
    pub entity_name: String,
    pub license_type: LicenseType,
    pub starts_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// It is gone by now: what is known is what its events say.
    pub is_deleted: bool,
    pub seats_begin: i64,
    pub seats_end: i64,
    pub in_use_begin: i64,
    pub in_use_end: i64,
    /// The most that were in use at once.
    pub peak: i64,
    /// When that was first so; `None`: at the beginning.
    pub peak_at: Option<Timestamp>,
    pub assigned: i64,
    pub released: i64,
    /// Each change of the number of seats: when, and the number then.
    pub resized: Vec<(Timestamp, i64)>,
    /// Events were read as far back as the span goes. Else the numbers of the beginning are those of the oldest event that was read.
    pub is_complete: bool,
}

/// All pools of one type in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeReport {
    pub seats_begin: i64,
    pub seats_end: i64,
    pub in_use_begin: i64,
    pub in_use_end: i64,
    pub peak: i64,
    pub assigned: i64,
    pub released: i64,
}

/// Pools of a report at most.
pub const POOLS_MAX: usize = 500;

/// Events that are read for a report at most, of all pools together.
const EVENTS_MAX: usize = 200_000;

/// Changes of the number of seats listed for one pool, at most: the newest.
const RESIZED_MAX: usize = 100;

/// Makes a report.
pub fn make(sql: &dyn Sql, admin: &Admin, totals: &Totals, request: &ReportRequest) -> Result<Report, Stop> {
    let (since, until) = (request.since, request.until.min(admin.now));
    if since >= until {
        let why = "it must be before the end, and in the past".to_owned();
        return Err(AdminRefusal::Invalid { field: "since", why }.into());
    }
    let scope = Scope::of(sql, admin);
    let id = request.entity.id;
    let name = first(sql, "SELECT name FROM entity WHERE id = $1", &[id.into()])?;
    let entity_name = match name {
        Some(row) if scope.has(id)? => row.text(0)?,
        _ => return Err(not_found("entity", id)),
    };
    let among = Among::new(sql, admin, Some(request.entity))?.ok_or_else(|| not_found("entity", id))?;
    let ids: Vec<i64> = totals
        .pools
        .iter()
        .filter(|pool| match request.entity.below {
            true => totals.is_below(pool.entity_id, id),
            false => pool.entity_id == id,
        })
        .map(|pool| pool.id)
        .take(POOLS_MAX + 1)
        .collect();
    let mut has_more_pools = ids.len() > POOLS_MAX;
    let rows = read_rows(sql, &scope, &ids[..ids.len().min(POOLS_MAX)], admin.now)?;
    let rows = among.retain(rows.into_values().collect(), |pool| pool.entity_id)?;

    let gone = gone(sql, &among, request, since)?;
    has_more_pools |= gone.len() > POOLS_MAX;
    let mut left = EVENTS_MAX;
    let mut courses = Vec::new();
    for pool in rows {
        let course = Course::read(sql, &pool, left, Some(since))?;
        left -= course.steps.len().min(left);
        courses.push((known(&pool), course));
    }
    for (mut pool, event_id) in gone.into_iter().take(POOLS_MAX) {
        let events = PoolEvents::from_event(sql, pool.pool_id, event_id, left);
        let course = Course::of(events, (0, 0), Some(since))?;
        left -= course.steps.len().min(left);
        pool.is_deleted = true;
        courses.push((pool, course));
    }
    courses.retain(|(pool, course)| is_of_span(pool, course, until));
    courses.sort_by_key(|(pool, _)| (pool.license_type.index(), pool.pool_id));
    let types = LicenseType::ALL.map(|license_type| {
        let of_type: Vec<&Course> =
            courses.iter().filter(|(pool, _)| pool.license_type == license_type).map(|(_, course)| course).collect();
        (!of_type.is_empty()).then(|| together(&of_type, until))
    });
    let pools: Vec<PoolReport> = courses.into_iter().map(|(pool, course)| fill(pool, course, until)).collect();
    let is_complete = pools.iter().all(|pool| pool.is_complete) && !has_more_pools;
    Ok(Report { entity_id: id, entity_name, since, until, pools, types, is_complete, has_more_pools })
}

fn known(pool: &PoolRow) -> PoolReport {
    PoolReport {
        pool_id: pool.id,
        entity_id: pool.entity_id,
        entity_name: pool.entity_name.clone(),
        license_type: pool.license_type,
        starts_at: pool.starts_at,
        expires_at: pool.expires_at,
        is_deleted: false,
        seats_begin: 0,
        seats_end: 0,
        in_use_begin: 0,
        in_use_end: 0,
        peak: 0,
        peak_at: None,
        assigned: 0,
        released: 0,
        resized: Vec::new(),
        is_complete: true,
    }
}

/// A pool that was made only after the span is not of it; one that was deleted before it has no events in it.
fn is_of_span(pool: &PoolReport, course: &Course, until: Timestamp) -> bool {
    let made_after =
        course.is_complete && course.before == (0, 0) && course.steps.first().is_some_and(|step| step.at >= until);
    !(made_after || pool.is_deleted && course.steps.is_empty())
}

fn fill(mut pool: PoolReport, course: Course, until: Timestamp) -> PoolReport {
    (pool.seats_begin, pool.in_use_begin) = course.before;
    (pool.seats_end, pool.in_use_end) = course.before;
    pool.peak = pool.in_use_begin;
    for step in course.steps.iter().take_while(|step| step.at < until) {
        if step.seats_total != pool.seats_end {
            pool.resized.push((step.at, step.seats_total));
        }
        pool.assigned += i64::from(step.seats_in_use > pool.in_use_end);
        pool.released += i64::from(step.seats_in_use < pool.in_use_end);
        (pool.seats_end, pool.in_use_end) = (step.seats_total, step.seats_in_use);
        if step.seats_in_use > pool.peak {
            (pool.peak, pool.peak_at) = (step.seats_in_use, Some(step.at));
        }
    }
    let newest = pool.resized.len().saturating_sub(RESIZED_MAX);
    pool.resized.drain(..newest);
    pool.is_complete = course.is_complete;
    pool
}

/// The courses of several pools as one: what they had and used together at each moment.
fn together(courses: &[&Course], until: Timestamp) -> TypeReport {
    let mut sum = TypeReport::default();
    let mut steps: Vec<(usize, &UsePoint)> = Vec::new();
    let mut now: Vec<(i64, i64)> = Vec::new();
    for (at, course) in courses.iter().enumerate() {
        sum.seats_begin += course.before.0;
        sum.in_use_begin += course.before.1;
        now.push(course.before);
        steps.extend(course.steps.iter().take_while(|step| step.at < until).map(|step| (at, step)));
    }
    steps.sort_by_key(|(_, step)| step.at);
    (sum.seats_end, sum.in_use_end, sum.peak) = (sum.seats_begin, sum.in_use_begin, sum.in_use_begin);
    for (at, step) in steps {
        let (seats, in_use) = now[at];
        sum.seats_end += step.seats_total - seats;
        sum.in_use_end += step.seats_in_use - in_use;
        sum.assigned += i64::from(step.seats_in_use > in_use);
        sum.released += i64::from(step.seats_in_use < in_use);
        sum.peak = sum.peak.max(sum.in_use_end);
        now[at] = (step.seats_total, step.seats_in_use);
    }
    sum
}

/// Pools of these entities that were deleted during the span or after it, each with the event of that.
fn gone(
    sql: &dyn Sql,
    among: &Among<'_>,
    request: &ReportRequest,
    since: Timestamp,
) -> Result<Vec<(PoolReport, i64)>, Stop> {
    // Of an entity an index finds them; below it those of each entity are looked for.
    let entities: Vec<i64> = match request.entity.below {
        false => vec![request.entity.id],
        true => {
            let rows = sql.rows(SUBTREE, &[request.entity.id.into(), Value::Int(GONE_ENTITIES_MAX)])?;
            rows.iter().map(|row| row.int(0)).collect::<Result<_, _>>()?
        }
    };
    let rows = by_ids(sql, GONE, &[Value::EventTime(since)], &entities)?;
    let mut gone = Vec::new();
    for row in rows {
        let values = row.opt_text(4)?.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        let time = |name: &str| values.as_ref().and_then(|values| values.get(name)?.as_str()?.parse().ok());
        let pool = PoolReport {
            pool_id: row.int(1)?,
            entity_id: row.int(2)?,
            entity_name: row.text(5)?,
            license_type: license_type(&row, 3)?,
            starts_at: time("starts_at"),
            expires_at: time("expires_at"),
            is_deleted: true,
            seats_begin: 0,
            seats_end: 0,
            in_use_begin: 0,
            in_use_end: 0,
            peak: 0,
            peak_at: None,
            assigned: 0,
            released: 0,
            resized: Vec::new(),
            is_complete: true,
        };
        gone.push((pool, row.int(0)?));
    }
    among.retain(gone, |(pool, _)| pool.entity_id)
}

/// Entities of a subtree in which deleted pools are looked for.
const GONE_ENTITIES_MAX: i64 = 2_000;

const SUBTREE: &str = "
    WITH RECURSIVE below (id) AS (
        SELECT id FROM entity WHERE id = $1
        UNION SELECT entity.id FROM below CROSS JOIN entity WHERE entity.parent_id = below.id)
    SELECT id FROM below LIMIT $2";

const GONE: &str = "
    SELECT DISTINCT e.id, e.pool_id, e.entity_id, e.license_type, e.old_values, entity.name
      FROM entity CROSS JOIN audit_event AS e
     WHERE entity.id IN ($ids) AND e.entity_id = entity.id AND e.license_type IN ('SkraftDiskImageV5', 'SqlBackup', 'ExchangeBackup')
       AND e.pool_id IS NOT NULL AND e.seat_no IS NULL AND e.action = 'pool-delete' AND e.at >= $1";
