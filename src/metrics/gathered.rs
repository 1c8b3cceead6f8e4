//! What is read from the database at a scrape: numbers of seats, and the condition of the store. The service reads them
//! ([`crate::service`]) and sets them here as a whole, so that a scrape never shows a mixture of old and new.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::registrar::{Description, PREFIX};

/// Numbers of pools: of one type, or of one entity and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeatNumbers {
    /// Of the pools that are open: begun and not expired.
    pub seats: i64,
    /// Of those, taken.
    pub in_use: i64,
    /// Taken in pools that have expired.
    pub in_use_expired: i64,
    /// When the first of the open pools expires, in seconds since 1970; `None`: none does.
    pub expires_first_s: Option<i64>,
}

impl SeatNumbers {
    pub fn add(&mut self, other: &SeatNumbers) {
        self.seats += other.seats;
        self.in_use += other.in_use;
        self.in_use_expired += other.in_use_expired;
        self.expires_first_s = match (self.expires_first_s, other.expires_first_s) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

/// All pools of a license type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeNumbers {
    pub license_type: &'static str,
    pub numbers: SeatNumbers,
    /// Number of pools by state.
    pub pools: Vec<(&'static str, i64)>,
    /// Open pools without a free seat.
    pub full: i64,
    /// Open pools with at least 90 % of their seats taken, the full ones too.
    pub nearly_full: i64,
    /// Open pools that expire within so many days; each number has those before it.
    pub expiring: Vec<(u32, i64)>,
    /// Expired pools of which seats are taken.
    pub expired_in_use: i64,
}

/// The pools that an entity itself has of a license type; or what the entities without numbers of their own have together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityNumbers {
    /// The entity's id, or [`OTHERS_ID`].
    pub entity_id: String,
    /// The entity's name as it is shown, or [`OTHERS`].
    pub entity: String,
    pub license_type: &'static str,
    pub numbers: SeatNumbers,
}

/// The labels of what the entities without numbers of their own have together. No entity has this id, and [`shown_name`] gives none this
/// name.
pub const OTHERS_ID: &str = "others";
pub const OTHERS: &str = "(others)";

/// The most characters of an entity's name in a label.
const NAME_CHARS_MAX: usize = 100;

/// An entity's name as a label has it: not too long for a legend, in one line, and never [`OTHERS`]. Two entities may have the same: the id
/// is what tells them apart, and what stays when an entity is renamed.
pub fn shown_name(name: &str, id: i64) -> String {
    let mut shown: String = name.chars().take(NAME_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if name.chars().nth(NAME_CHARS_MAX).is_some() {
        shown.pop();
        shown.push('…');
    }
    if shown == OTHERS {
        shown = format!("{OTHERS} {id}");
    }
    shown
}

/// All numbers of seats at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seats {
    /// The moment, in seconds since 1970.
    pub at_s: f64,
    /// How long it took to read them.
    pub took_s: f64,
    /// Entities, whether or not they have pools.
    pub entities: i64,
    pub types: Vec<TypeNumbers>,
    /// The entities with most seats first, the others at the end.
    pub by_entity: Vec<EntityNumbers>,
}

/// The condition of the store. `None`: unknown, or not of this kind of database.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreCondition {
    /// Whether calls can be served, as `/readyz` says it.
    pub is_ready: bool,
    /// The same of each part that `/readyz` looks at.
    pub parts: Vec<(&'static str, bool)>,
    pub database_bytes: Option<u64>,
    pub wal_bytes: Option<u64>,
    pub disk_free_bytes: Option<u64>,
    pub oldest_transaction_s: Option<f64>,
    pub lock_held_s: Option<f64>,
    /// Whether the last verification by the running service did not end.
    pub has_verification_failed: bool,
    /// How long ago a change could not be saved for the first time, if none has been saved since.
    pub commit_failing_s: Option<f64>,
    /// Why the store has stopped, of [`FAULTS`].
    pub fault: Option<&'static str>,
    /// In seconds since 1970.
    pub last_backup_s: Option<f64>,
    pub last_check_s: Option<f64>,
}

/// Why a store stops.
pub const FAULTS: [&str; 5] = ["file", "log", "schema", "sync", "damaged"];

/// See the module. Cheap to clone: the clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Gathered(Arc<Mutex<Inner>>);

#[derive(Debug, Clone, Default)]
struct Inner {
    /// `None`: they were never read.
    seats: Option<Arc<Seats>>,
    /// Whether the last attempt to read them succeeded in time; `None`: there was none.
    is_read: Option<bool>,
    condition: Option<Arc<StoreCondition>>,
}

impl Gathered {
    /// Sets the numbers of seats.
    pub fn set_seats(&self, seats: Seats) {
        let mut inner = self.lock();
        inner.seats = Some(Arc::new(seats));
        inner.is_read = Some(true);
    }

    /// Notes that the numbers of seats cannot be read at the moment; those that are known stay.
    pub fn seats_failed(&self) {
        self.lock().is_read = Some(false);
    }

    pub fn set_condition(&self, condition: StoreCondition) {
        self.lock().condition = Some(Arc::new(condition));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn descriptions() -> impl Iterator<Item = Description> {
        let families = SEATS.iter().map(|family| &family.about);
        let families = families.chain(READS.iter().map(|family| &family.about));
        families.chain(CONDITION.iter().map(|family| &family.about)).map(|about| {
            let name = format!("{PREFIX}_{}", about.name);
            Description::new(&name, about.help, about.unit.as_ref(), MetricType::Gauge)
        })
    }
}

/// A gauge: name without prefix and unit, help, unit.
struct About {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
}

impl About {
    const fn new(name: &'static str, help: &'static str) -> About {
        About { name, help, unit: None }
    }

    const fn in_seconds(name: &'static str, help: &'static str) -> About {
        About { name, help, unit: Some(Unit::Seconds) }
    }

    const fn in_bytes(name: &'static str, help: &'static str) -> About {
        About { name, help, unit: Some(Unit::Bytes) }
    }
}

/// A family of gauges, and how its series follow from what was read.
struct Family<T> {
    about: About,
    series: fn(&T, &mut Series<'_>) -> std::fmt::Result,
}

/// Writes the series of a family.
struct Series<'e> {
    encoder: prometheus_client::encoding::MetricEncoder<'e>,
}

impl Series<'_> {
    fn add<const N: usize>(&mut self, labels: [(&str, &str); N], value: impl EncodeGaugeValue) -> std::fmt::Result {
        if N == 0 {
            return self.encoder.encode_gauge(&value);
        }
        self.encoder.encode_family(&labels)?.encode_gauge(&value)
    }

    fn of_types(&mut self, seats: &Seats, value: fn(&TypeNumbers) -> Option<i64>) -> std::fmt::Result {
        for numbers in &seats.types {
            if let Some(value) = value(numbers) {
                self.add([("type", numbers.license_type)], value)?;
            }
        }
        Ok(())
    }

    fn of_entities(&mut self, seats: &Seats, value: fn(&SeatNumbers) -> Option<i64>) -> std::fmt::Result {
        for entity in &seats.by_entity {
            if let Some(value) = value(&entity.numbers) {
                let labels = [
                    ("entity_id", entity.entity_id.as_str()),
                    ("entity", entity.entity.as_str()),
                    ("type", entity.license_type),
                ];
                self.add(labels, value)?;
            }
        }
        Ok(())
    }
}

static SEATS: [Family<Seats>; 16] = [
    Family {
        about: About::new("seats", "Seats of open pools (begun and not expired), by type"),
        series: |seats, series| series.of_types(seats, |of| Some(of.numbers.seats)),
    },
    Family {
        about: About::new("seats_in_use", "Seats of open pools that are in use, by type"),
        series: |seats, series| series.of_types(seats, |of| Some(of.numbers.in_use)),
    },
    Family {
        about: About::new("seats_in_use_expired", "Seats of expired pools that are still in use, by type"),
        series: |seats, series| series.of_types(seats, |of| Some(of.numbers.in_use_expired)),
    },
    Family {
        about: About::in_seconds("pool_expiry_timestamp", "When the first of the open pools expires, by type"),
        series: |seats, series| series.of_types(seats, |of| of.numbers.expires_first_s),
    },
    Family {
        about: About::new("pools", "Pools, by type and state"),
        series: |seats, series| {
            for of in &seats.types {
                for (state, number) in &of.pools {
                    series.add([("type", of.license_type), ("state", state)], *number)?;
                }
            }
            Ok(())
        },
    },
    Family {
        about: About::new("pools_full", "Open pools without a free seat, by type"),
        series: |seats, series| series.of_types(seats, |of| Some(of.full)),
    },
    Family {
        about: About::new("pools_nearly_full", "Open pools with 90 % or more of their seats in use, by type"),
        series: |seats, series| series.of_types(seats, |of| Some(of.nearly_full)),
    },
    Family {
        about: About::new(
            "pools_expiring",
            "Open pools that expire within so many days, by type; 30 days include the 7, and 60 the 30",
        ),
        series: |seats, series| {
            for of in &seats.types {
                for (days, number) in &of.expiring {
                    series.add([("type", of.license_type), ("within_days", &days.to_string())], *number)?;
                }
            }
            Ok(())
        },
    },
    Family {
        about: About::new("pools_expired_in_use", "Expired pools of which seats are still in use, by type"),
        series: |seats, series| series.of_types(seats, |of| Some(of.expired_in_use)),
    },
    Family {
        about: About::new("entities", "Entities, with and without pools"),
        series: |seats, series| series.add([], seats.entities),
    },
    Family {
        about: About::new("entity_seats", "Seats of an entity's own open pools, by entity and type"),
        series: |seats, series| series.of_entities(seats, |numbers| Some(numbers.seats)),
    },
    Family {
        about: About::new("entity_seats_in_use", "Seats of an entity's own open pools that are in use"),
        series: |seats, series| series.of_entities(seats, |numbers| Some(numbers.in_use)),
    },
    Family {
        about: About::new("entity_seats_in_use_expired", "Seats of an entity's expired pools that are still in use"),
        series: |seats, series| series.of_entities(seats, |numbers| Some(numbers.in_use_expired)),
    },
    Family {
        about: About::in_seconds("entity_pool_expiry_timestamp", "When the first of an entity's open pools expires"),
        series: |seats, series| series.of_entities(seats, |numbers| numbers.expires_first_s),
    },
    Family {
        about: About::in_seconds("seats_read_timestamp", "When the numbers of seats were read"),
        series: |seats, series| series.add([], seats.at_s),
    },
    Family {
        about: About::in_seconds("seats_read_duration", "How long it took to read the numbers of seats"),
        series: |seats, series| series.add([], seats.took_s),
    },
];

static READS: [Family<bool>; 1] = [Family {
    about: About::new(
        "seats_read_success",
        "Whether the last attempt to read the numbers of seats succeeded in time; 0: those shown are older",
    ),
    series: |is_read, series| series.add([], i64::from(*is_read)),
}];

static CONDITION: [Family<StoreCondition>; 12] = [
    Family {
        about: About::new("ready", "Whether calls can be served, as /readyz says it"),
        series: |of, series| series.add([], i64::from(of.is_ready)),
    },
    Family {
        about: About::new("part_ready", "Whether this part is as it must be, of those that /readyz looks at"),
        series: |of, series| {
            of.parts.iter().try_for_each(|(part, is_ready)| series.add([("part", part)], i64::from(*is_ready)))
        },
    },
    Family {
        about: About::new("store_verification_failed", "1 if the last verification by the running service did not end"),
        series: |of, series| series.add([], i64::from(of.has_verification_failed)),
    },
    Family {
        about: About::new("store_stopped", "1 for the fault that made the store stop taking calls until a restart"),
        series: |of, series| {
            FAULTS.iter().try_for_each(|fault| series.add([("fault", fault)], i64::from(of.fault == Some(fault))))
        },
    },
    Family {
        about: About::in_seconds("store_commit_failing", "How long no change could be saved; 0: the last one was"),
        series: |of, series| series.add([], of.commit_failing_s.unwrap_or(0.0)),
    },
    Family {
        about: About::in_bytes("store_database", "Size of the database"),
        series: |of, series| of.database_bytes.map_or(Ok(()), |bytes| series.add([], bytes)),
    },
    Family {
        about: About::in_bytes("store_wal", "Size of the write-ahead log (SQLite)"),
        series: |of, series| of.wal_bytes.map_or(Ok(()), |bytes| series.add([], bytes)),
    },
    Family {
        about: About::in_bytes("store_disk_free", "What the service may still write on the disk of the file (SQLite)"),
        series: |of, series| of.disk_free_bytes.map_or(Ok(()), |bytes| series.add([], bytes)),
    },
    Family {
        about: About::in_seconds(
            "store_oldest_transaction",
            "Age of the oldest transaction in the database; 0: there is none",
        ),
        series: |of, series| series.add([], of.oldest_transaction_s.unwrap_or(0.0)),
    },
    Family {
        about: About::in_seconds("store_lock_held", "How long another program has kept changes waiting; 0: none does"),
        series: |of, series| series.add([], of.lock_held_s.unwrap_or(0.0)),
    },
    Family {
        about: About::in_seconds("last_backup_timestamp", "When the last backup that succeeded was made"),
        series: |of, series| of.last_backup_s.map_or(Ok(()), |at| series.add([], at)),
    },
    Family {
        about: About::in_seconds("last_check_timestamp", "When the last check that found no error ended"),
        series: |of, series| of.last_check_s.map_or(Ok(()), |at| series.add([], at)),
    },
];

impl Collector for Gathered {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Inner { seats, is_read, condition } = self.lock().clone();
        if let Some(condition) = condition {
            families(&mut encoder, &CONDITION, &condition)?;
        }
        if let Some(is_read) = is_read {
            families(&mut encoder, &READS, &is_read)?;
        }
        if let Some(seats) = seats {
            families(&mut encoder, &SEATS, &seats)?;
        }
        Ok(())
    }
}

fn families<T>(encoder: &mut DescriptorEncoder<'_>, families: &[Family<T>], of: &T) -> std::fmt::Result {
    for Family { about, series } in families {
        let help = format!("{}.", about.help);
        let encoder = encoder.encode_descriptor(about.name, &help, about.unit.as_ref(), MetricType::Gauge)?;
        series(of, &mut Series { encoder })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_a_label() {
        let long = "ß".repeat(255);
        let cut = format!("{}…", "ß".repeat(99));
        let hundred = "x".repeat(100);
        for (name, expected) in [
            ("Contoso", "Contoso"),
            ("Zoë \"Ångström\" \\ バックアップ 🦀", "Zoë \"Ångström\" \\ バックアップ 🦀"),
            ("two\nlines\tand\u{0}\u{85}", "two lines and  "),
            (long.as_str(), cut.as_str()),
            (hundred.as_str(), hundred.as_str()),
            ("(others)", "(others) 42"),
            ("(other\ts)", "(other s)"),
        ] {
            assert_eq!(shown_name(name, 42), expected, "{name}");
        }
    }
}
