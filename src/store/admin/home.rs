//! What needs attention: the numbers of the first page. Each of them has a list that shows its rows.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::credentials::visible_names;
use super::page::{Start, count};
use super::pools::PoolState;
use super::refusals::{self, RefusalFilter};
use super::scope::{Scope, entity_names};
use super::totals::{Numbers, PoolEntry, Totals, percent};
use super::{Admin, Sql, Stop, Value, first};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// When the numbers of pools were read.
    pub pools_at: Timestamp,
    /// Of all pools of the caller's entities.
    pub numbers: Numbers,
    /// Open pools without a free seat.
    pub full: i64,
    /// Open pools with at least 90 % of their seats in use, the full ones too.
    pub nearly_full: i64,
    /// Open pools that expire within 7, 30 and 60 days; each number has those before it.
    pub expiring: [(u32, i64); 3],
    /// Expired pools with seats in use, and those seats.
    pub expired_in_use: (i64, i64),
    pub refusals: Refusals,
    /// Credentials that have failed to sign in since they last succeeded.
    pub failing: Vec<Failing>,
    /// There are more of those than shown.
    pub failing_more: bool,
    pub backup: Option<Upkeep>,
    pub check: Option<Upkeep>,
}

/// Refusals of the last 24 hours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusals {
    pub since: Timestamp,
    pub total: i64,
    /// Code and number, the most frequent first.
    pub by_code: Vec<(String, i64)>,
    /// Entity, its name and number, the most frequent first; at most [`ENTITIES_MAX`].
    pub by_entity: Vec<(i64, String, i64)>,
    /// There are more than were read.
    pub is_partial: bool,
}

/// A credential that fails to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    pub user_name: String,
    pub failures: i64,
    pub last_failure_at: Option<Timestamp>,
    pub last_failure_address: Option<String>,
}

/// When something was done last that an operator has to see to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upkeep {
    pub at: Timestamp,
    /// How it went; `None`: nothing is known, or the caller sees only a part of the entities.
    pub detail: Option<String>,
}

/// Entities with refusals shown, at most.
pub const ENTITIES_MAX: usize = 10;

/// Failing credentials shown, at most.
pub const FAILING_MAX: usize = 20;

/// From how many percent on a pool is nearly full.
pub const NEARLY_FULL: i64 = 90;

/// Spans that [`Home::expiring`] is counted for, in days.
pub const EXPIRING_DAYS: [u32; 3] = [7, 30, 60];

/// Reads it.
pub fn read(sql: &dyn Sql, admin: &Admin, totals: &Totals) -> Result<Home, Stop> {
    let scope = Scope::of(sql, admin);
    let mut home = pools(admin, scope.root(), totals);
    home.refusals = refusals_of_day(sql, admin, &scope)?;
    (home.failing, home.failing_more) = failing(sql, &scope)?;
    home.backup = upkeep(sql, &scope, "backup")?;
    home.check = upkeep(sql, &scope, "check")?;
    Ok(home)
}

fn pools(admin: &Admin, root: Option<i64>, totals: &Totals) -> Home {
    let mut below: HashMap<i64, bool> = HashMap::new();
    let mut is_own = |pool: &&PoolEntry| match root {
        None => true,
        Some(root) => *below.entry(pool.entity_id).or_insert_with(|| totals.is_below(pool.entity_id, root)),
    };
    let (mut full, mut nearly_full, mut expired_in_use) = (0, 0, (0, 0));
    let mut expiring = EXPIRING_DAYS.map(|days| (days, 0));
    let mut numbers = Numbers::default();
    for pool in totals.pools.iter().filter(|pool| is_own(pool)) {
        numbers.add(&pool.numbers(admin.now));
        match pool.state(admin.now) {
            PoolState::Open => {
                let percent = percent(pool.seats_in_use, pool.seats_total);
                full += i64::from(percent.is_some_and(|percent| percent >= 100));
                nearly_full += i64::from(percent.is_some_and(|percent| percent >= NEARLY_FULL));
                for (days, number) in &mut expiring {
                    let until = admin.now.checked_add(SignedDuration::from_hours(24 * i64::from(*days)));
                    let until = until.unwrap_or(Timestamp::MAX);
                    *number += i64::from(pool.expires_at.is_some_and(|at| at <= until));
                }
            }
            PoolState::Expired if pool.seats_in_use > 0 => {
                expired_in_use = (expired_in_use.0 + 1, expired_in_use.1 + pool.seats_in_use);
            }
            _ => {}
        }
    }
    Home {
        pools_at: totals.at,
        numbers,
        full,
        nearly_full,
        expiring,
        expired_in_use,
        refusals: Refusals::default(),
        failing: Vec::new(),
        failing_more: false,
        backup: None,
        check: None,
    }
}

/// Pages of refusals that are counted at most.
const REFUSAL_PAGES: usize = 10;

fn refusals_of_day(sql: &dyn Sql, admin: &Admin, scope: &Scope<'_>) -> Result<Refusals, Stop> {
    let since = admin.now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    let filter = RefusalFilter { since: Some(since), ..RefusalFilter::default() };
    let (mut by_code, mut by_entity) = (HashMap::<String, i64>::new(), HashMap::<i64, i64>::new());
    let (mut total, mut start) = (0, Start::First);
    let mut is_partial = true;
    for _ in 0..REFUSAL_PAGES {
        let page = refusals::list(sql, admin, &filter, &start, super::page::ROWS_MAX)?;
        for row in page.rows {
            total += 1;
            *by_code.entry(row.code).or_default() += 1;
            if let Some(entity_id) = row.entity_id {
                *by_entity.entry(entity_id).or_default() += 1;
            }
        }
        match page.next {
            Some(key) => start = Start::After(key),
            None => {
                is_partial = false;
                break;
            }
        }
    }
    let mut by_code: Vec<_> = by_code.into_iter().collect();
    by_code.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    // Ids that callers made up are not told.
    let names = entity_names(scope, by_entity.keys().copied())?;
    let named = |(id, number): (i64, i64)| names.get(&id).map(|name| (id, name.clone(), number));
    let mut by_entity: Vec<_> = by_entity.into_iter().filter_map(named).collect();
    by_entity.sort_by(|one, other| other.2.cmp(&one.2).then_with(|| one.0.cmp(&other.0)));
    by_entity.truncate(ENTITIES_MAX);
    Ok(Refusals { since, total, by_code, by_entity, is_partial })
}

/// Failing credentials that are looked at.
const FAILING_SCANNED: usize = 1_000;

fn failing(sql: &dyn Sql, scope: &Scope<'_>) -> Result<(Vec<Failing>, bool), Stop> {
    let text = "SELECT user_name, failures, last_failure_at, last_failure_address FROM credential_use
                 WHERE failures > 0 ORDER BY last_failure_at DESC LIMIT $1";
    let rows = sql.rows(text, &[count(FAILING_SCANNED)])?;
    let row = |row: &super::Row| {
        Ok(Failing {
            user_name: row.text(0)?,
            failures: row.int(1)?,
            last_failure_at: row.time(2)?,
            last_failure_address: row.opt_text(3)?,
        })
    };
    let mut found = rows.iter().map(row).collect::<Result<Vec<_>, Stop>>()?;
    let is_cut = found.len() == FAILING_SCANNED;
    // Also of a caller that may see everything: the name of a credential that is gone needs no attention.
    let visible = visible_names(sql, scope, found.iter().map(|row| row.user_name.clone()))?;
    found.retain(|row| visible.contains(&row.user_name.to_ascii_lowercase()));
    let more = is_cut || found.len() > FAILING_MAX;
    found.truncate(FAILING_MAX);
    Ok((found, more))
}

fn upkeep(sql: &dyn Sql, scope: &Scope<'_>, task: &str) -> Result<Option<Upkeep>, Stop> {
    // The detail is of the whole database, such as where its backups are.
    let row = first(sql, "SELECT at, detail FROM upkeep WHERE task = $1", &[Value::from(task)])?;
    let upkeep = row.map(|row| Ok::<_, Stop>((row.time(0)?, row.opt_text(1)?))).transpose()?;
    Ok(upkeep.and_then(|(at, detail)| Some(Upkeep { at: at?, detail: detail.filter(|_| scope.is_all()) })))
}
