//! Rows of `audit_event` in the form of the chain.

use jiff::SignedDuration;
use jiff::civil::{DateTime, datetime};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Error, Row};

use crate::chain::Event;

/// A `timestamptz`, in microseconds since 2000. Any value can be read, even one that is no date: the chain must go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store::postgres) struct Micros(pub(in crate::store::postgres) i64);

/// PostgreSQL's epoch.
pub(in crate::store::postgres) const EPOCH: DateTime = datetime(2000, 1, 1, 0, 0, 0, 0);

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Micros, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Micros(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

impl Micros {
    /// In UTC. Not a `Timestamp`, which ends before the last day of the year 9999, a date that some rows have for "never".
    fn date(self) -> Option<DateTime> {
        EPOCH.checked_add(SignedDuration::from_micros(self.0)).ok()
    }

    /// The time of an event in SQLite's form: `2026-11-25T12:00:00.123Z`. Microseconds, which the triggers never write, are kept:
    /// otherwise two times could have the same hash.
    pub(in crate::store::postgres) fn of_event(self) -> String {
        match self.date() {
            Some(at) if self.0 % 1_000 == 0 => format!("{at:.3}Z"),
            Some(at) => format!("{at:.6}Z"),
            None => self.without_a_date(),
        }
    }

    /// The time of a row in the triggers' form, in whole seconds: `2026-11-25T12:00:00Z`; `None` for `infinity`.
    pub(in crate::store::postgres) fn of_row(self) -> Option<String> {
        match self.0 {
            i64::MAX | i64::MIN => None,
            _ => Some(
                Micros(self.0 - self.0.rem_euclid(1_000_000))
                    .date()
                    .map_or_else(|| self.without_a_date(), |at| format!("{at}Z")),
            ),
        }
    }

    /// `infinity`, and years after 9999.
    fn without_a_date(self) -> String {
        match self.0 {
            i64::MAX => "infinity".to_owned(),
            i64::MIN => "-infinity".to_owned(),
            micros => format!("{micros} microseconds after 2000"),
        }
    }
}

/// The columns of an event, in the order of [`read`], after the given ones; `e` is `audit_event`.
macro_rules! event_columns {
    () => {
        "e.id, e.at, e.action, e.actor, e.request_id, e.reason, e.entity_id, e.license_type, e.pool_id, e.seat_no, e.account_id,
         e.username, e.old_values, e.new_values, e.previous_id, e.pool_events"
    };
}
pub(in crate::store::postgres) use event_columns;

/// The event of a row whose columns from `first` on are `event_columns!`. `at`: a buffer for the text of its time.
pub(in crate::store::postgres) fn read<'r>(row: &'r Row, first: usize, at: &'r mut String) -> Result<Event<'r>, Error> {
    *at = row.try_get::<_, Micros>(first + 1)?.of_event();
    let text = |column: usize| row.try_get::<_, Option<&str>>(first + column).map(|text| text.map(str::as_bytes));
    let number = |column: usize| row.try_get::<_, Option<i64>>(first + column);
    let small = |column: usize| row.try_get::<_, Option<i32>>(first + column).map(|number| number.map(i64::from));
    Ok(Event {
        id: row.try_get(first)?,
        at: at.as_bytes(),
        action: text(2)?.unwrap_or_default(),
        actor: text(3)?.unwrap_or_default(),
        request_id: text(4)?,
        reason: text(5)?,
        entity_id: small(6)?,
        license_type: text(7)?,
        pool_id: number(8)?,
        seat_no: small(9)?,
        account_id: number(10)?,
        username: text(11)?,
        old_values: text(12)?,
        new_values: text(13)?,
        previous_id: number(14)?,
        pool_events: number(15)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_sqlite_writes_them() {
        for (micros, written) in [
            (0, "2000-01-01T00:00:00.000Z"),
            (848_923_200_123_000, "2026-11-25T12:00:00.123Z"),
            (848_923_200_120_000, "2026-11-25T12:00:00.120Z"),
            (848_923_200_000_001, "2026-11-25T12:00:00.000001Z"),
            (-1_000, "1999-12-31T23:59:59.999Z"),
            (252_455_615_999_000_000, "9999-12-31T23:59:59.000Z"),
            (i64::MAX, "infinity"),
            (i64::MIN, "-infinity"),
            (i64::MAX - 1, "9223372036854775806 microseconds after 2000"),
        ] {
            assert_eq!(Micros(micros).of_event(), written);
        }
        assert_eq!(Micros(252_455_615_999_999_999).of_row().as_deref(), Some("9999-12-31T23:59:59Z"));
    }
}
