//! Rows that are numbered in the order of time, such as events: where a moment is among them.

use jiff::{SignedDuration, Timestamp};

use super::{Sql, Stop, Value, first};

/// Times of neighbouring rows may be out of order by so much: transactions overlap, and a clock may be set back a little.
pub(super) const DISORDER: SignedDuration = SignedDuration::from_mins(10);

/// A number that no row from this moment on is below, as far as the times of the rows ascend with their numbers. Found in a few steps, each
/// of which reads one row.
pub(super) fn first_id_at(sql: &dyn Sql, table: &'static str, moment: Timestamp) -> Result<i64, Stop> {
    let ends = first(sql, &ends(table), &[])?;
    let Some((Some(mut low), Some(newest))) =
        ends.map(|row| Ok::<_, Stop>((row.opt_int(0)?, row.opt_int(1)?))).transpose()?
    else {
        return Ok(0);
    };
    let row_at = format!("SELECT id, at FROM {table} WHERE id >= $1 ORDER BY id LIMIT 1");
    let mut high = newest.saturating_add(1);
    // The first row at or after the moment is in low..=high.
    while low < high {
        let middle = low + (high - low) / 2;
        match first(sql, &row_at, &[Value::Int(middle)])? {
            Some(row) if row.time(1)?.is_some_and(|at| at < moment) => low = row.int(0)? + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first and the last number. Two queries in one, because SQLite reads the whole table for both ends of one query.
fn ends(table: &str) -> String {
    format!("SELECT (SELECT min(id) FROM {table}), (SELECT max(id) FROM {table})")
}

/// Numbers of rows that may be of a span of time: from the first value on, and before the second.
pub(super) fn ids_between(
    sql: &dyn Sql,
    table: &'static str,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<(i64, i64), Stop> {
    let begin = |at: Timestamp| at.checked_sub(DISORDER).unwrap_or(at);
    let end = |at: Timestamp| at.checked_add(DISORDER).unwrap_or(at);
    let low = since.map_or(Ok(i64::MIN), |since| first_id_at(sql, table, begin(since)))?;
    let high = until.map_or(Ok(i64::MAX), |until| first_id_at(sql, table, end(until)))?;
    Ok((low, high))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Seeded;
    use super::super::{Admin, Sql, Stop};
    use super::ends;

    #[test]
    fn the_ends_of_a_table_are_found_without_reading_it() {
        let plan = |sql: &dyn Sql, _: &Admin| {
            let rows = sql.rows(&format!("EXPLAIN QUERY PLAN {}", ends("audit_event")), &[])?;
            rows.iter().map(|row| row.text(3)).collect::<Result<Vec<String>, Stop>>()
        };
        let steps = Seeded::new("").read(plan).expect("a plan");
        assert!(steps.iter().all(|step| !step.starts_with("SCAN audit_event")), "{steps:?}");
    }
}
