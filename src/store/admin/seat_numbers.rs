//! Numbers of seats for the metrics, from one pass over entities and pools.

use std::collections::HashMap;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::home::{EXPIRING_DAYS, NEARLY_FULL};
use super::pools::PoolState;
use super::scope::{Scope, entity_names};
use super::totals::{Numbers, Totals, percent};
use super::{Admin, Sql, Stop};
use crate::license::PerType;
use crate::metrics::gathered::{EntityNumbers, OTHERS, OTHERS_ID, SeatNumbers, Seats, TypeNumbers, shown_name};
use crate::seats::LicenseType;

/// Reads them. `entities_max`: entities with numbers of their own, those with most seats first; 0: none, and no others either.
pub fn read(sql: &dyn Sql, admin: &Admin, entities_max: usize) -> Result<Seats, Stop> {
    let begun = Instant::now();
    let totals = Totals::read(sql, admin.now)?;
    let mut seats = Seats {
        at_s: admin.now.as_millisecond() as f64 / 1000.0,
        entities: totals.entities.len() as i64,
        types: types(&totals),
        ..Seats::default()
    };
    if entities_max > 0 {
        seats.by_entity = by_entity(&Scope::of(sql, admin), &totals, entities_max)?;
    }
    seats.took_s = begun.elapsed().as_secs_f64();
    Ok(seats)
}

fn types(totals: &Totals) -> Vec<TypeNumbers> {
    let numbers = totals.by_type(None);
    let mut states: PerType<[i64; PoolState::ALL.len()]> = Default::default();
    let mut types: Vec<TypeNumbers> = LicenseType::ALL
        .into_iter()
        .map(|license_type| TypeNumbers {
            license_type: license_type.name(),
            numbers: seat_numbers(&numbers[license_type.index()]),
            expiring: EXPIRING_DAYS.map(|days| (days, 0)).into(),
            ..TypeNumbers::default()
        })
        .collect();
    let within = EXPIRING_DAYS
        .map(|days| totals.at.checked_add(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MAX));
    for pool in &totals.pools {
        let of = &mut types[pool.license_type.index()];
        let state = pool.state(totals.at);
        states[pool.license_type.index()][state as usize] += 1;
        match state {
            PoolState::Open => {
                let percent = percent(pool.seats_in_use, pool.seats_total);
                of.full += i64::from(percent.is_some_and(|percent| percent >= 100));
                of.nearly_full += i64::from(percent.is_some_and(|percent| percent >= NEARLY_FULL));
                for ((_, number), until) in of.expiring.iter_mut().zip(within) {
                    *number += i64::from(pool.expires_at.is_some_and(|at| at <= until));
                }
            }
            PoolState::Expired => of.expired_in_use += i64::from(pool.seats_in_use > 0),
            PoolState::NotBegun => {}
        }
    }
    for (of, states) in types.iter_mut().zip(states) {
        of.pools = PoolState::ALL.into_iter().map(|state| (state.name(), states[state as usize])).collect();
    }
    types
}

/// What each entity has in pools of its own: those with most seats, then what all others have.
fn by_entity(scope: &Scope<'_>, totals: &Totals, entities_max: usize) -> Result<Vec<EntityNumbers>, Stop> {
    let mut entities: HashMap<i64, PerType<Option<SeatNumbers>>> = HashMap::new();
    for pool in &totals.pools {
        let of = &mut entities.entry(pool.entity_id).or_default()[pool.license_type.index()];
        of.get_or_insert_default().add(&seat_numbers(&pool.numbers(totals.at)));
    }
    let mut entities: Vec<(i64, PerType<Option<SeatNumbers>>)> = entities.into_iter().collect();
    let size = |numbers: &PerType<Option<SeatNumbers>>| {
        let numbers = numbers.iter().flatten();
        numbers.fold((0, 0), |(seats, expired), of| (seats + of.seats, expired + of.in_use_expired))
    };
    // Of equals the older one, so that the series do not change from one scrape to the next.
    entities.sort_by_cached_key(|(id, numbers)| (std::cmp::Reverse(size(numbers)), *id));
    let others = entities.split_off(entities_max.min(entities.len()));

    let names = entity_names(scope, entities.iter().map(|(id, _)| *id))?;
    let mut rows = Vec::new();
    for (id, numbers) in entities {
        let entity = names.get(&id).map_or_else(String::new, |name| shown_name(name, id));
        rows.extend(of_types(&id.to_string(), &entity, numbers));
    }
    let mut rest: PerType<Option<SeatNumbers>> = Default::default();
    for (_, numbers) in others {
        for (rest, numbers) in rest.iter_mut().zip(numbers) {
            if let Some(numbers) = numbers {
                rest.get_or_insert_default().add(&numbers);
            }
        }
    }
    rows.extend(of_types(OTHERS_ID, OTHERS, rest));
    Ok(rows)
}

fn of_types(entity_id: &str, entity: &str, numbers: PerType<Option<SeatNumbers>>) -> Vec<EntityNumbers> {
    let of_type = |(license_type, numbers): (LicenseType, Option<SeatNumbers>)| {
        Some(EntityNumbers {
            entity_id: entity_id.to_owned(),
            entity: entity.to_owned(),
            license_type: license_type.name(),
            numbers: numbers?,
        })
    };
    LicenseType::ALL.into_iter().zip(numbers).filter_map(of_type).collect()
}

fn seat_numbers(numbers: &Numbers) -> SeatNumbers {
    SeatNumbers {
        seats: numbers.seats,
        in_use: numbers.in_use,
        in_use_expired: numbers.in_use_expired,
        expires_first_s: numbers.expires_first.map(Timestamp::as_second),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Seeded;
    use super::*;

    const SEED: &str = "
        INSERT INTO entity (id, name) VALUES (1, 'Small'), (2, 'Large'), (3, 'Late'), (4, 'None'), (5, '(others)'), (6, 'Early');
        INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at, expires_at) VALUES
            (1, 1, 'SqlBackup', 2, NULL, NULL),
            (2, 2, 'SqlBackup', 10, NULL, NULL),
            (3, 2, 'SqlBackup', 20, NULL, '2999-01-01T00:00:00Z'),
            (4, 2, 'ExchangeBackup', 5, NULL, '2998-01-01T00:00:00Z'),
            (5, 3, 'SqlBackup', 4, NULL, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+10 minutes')),
            (6, 5, 'SqlBackup', 3, NULL, NULL),
            (7, 6, 'SqlBackup', 1000, '2999-01-01T00:00:00Z', NULL);
        INSERT INTO account (id, username, entity_id) VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 3);
        UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1;
        UPDATE seat SET account_id = 2 WHERE pool_id = 1 AND seat_no = 2;
        UPDATE seat SET account_id = 3 WHERE pool_id = 5 AND seat_no = 1;";

    /// Id, name and type with seats, those in use, and those in use that have expired.
    type Found = (String, String, &'static str, (i64, i64, i64));

    fn numbers(seats: i64, in_use: i64, in_use_expired: i64) -> (i64, i64, i64) {
        (seats, in_use, in_use_expired)
    }

    #[test]
    fn the_largest_entities_have_numbers_of_their_own_and_the_others_together() {
        let database = Seeded::new(SEED);
        let read = |max, later: i64| {
            database.read(move |sql, admin| {
                let now = Timestamp::now() + SignedDuration::from_secs(later);
                read(sql, &Admin { now, ..admin.clone() }, max)
            })
        };
        let rows = |max, later| -> Vec<Found> {
            let seats = read(max, later).expect("read");
            let row = |of: EntityNumbers| {
                let SeatNumbers { seats, in_use, in_use_expired, .. } = of.numbers;
                (of.entity_id, of.entity, of.license_type, numbers(seats, in_use, in_use_expired))
            };
            seats.by_entity.into_iter().map(row).collect()
        };
        let row = |id: &str, name: &str, license_type, numbers| (id.to_owned(), name.to_owned(), license_type, numbers);
        let large =
            [row("2", "Large", "SqlBackup", numbers(30, 0, 0)), row("2", "Large", "ExchangeBackup", numbers(5, 0, 0))];
        let rest = [
            row("3", "Late", "SqlBackup", numbers(4, 1, 0)),
            row("5", "(others) 5", "SqlBackup", numbers(3, 0, 0)),
            row("1", "Small", "SqlBackup", numbers(2, 2, 0)),
            row("6", "Early", "SqlBackup", numbers(0, 0, 0)),
        ];
        assert_eq!(rows(100, 0), [&large[..], &rest[..]].concat());
        assert_eq!(rows(1, 0), [&large[..], &[row("others", "(others)", "SqlBackup", numbers(9, 3, 0))]].concat());
        assert_eq!(rows(0, 0), []);
        // Ten minutes later a pool has expired, and its seat is still taken.
        let late = rows(3, 700);
        assert_eq!(late[3], row("1", "Small", "SqlBackup", numbers(2, 2, 0)));
        assert_eq!(late[4], row("others", "(others)", "SqlBackup", numbers(0, 0, 1)));

        let seats = read(2, 700).expect("read");
        let sql = seats.types.iter().find(|of| of.license_type == "SqlBackup").expect("a type");
        assert_eq!(numbers(sql.numbers.seats, sql.numbers.in_use, sql.numbers.in_use_expired), (35, 2, 1));
        assert_eq!(sql.pools, [("open", 4), ("not-begun", 1), ("expired", 1)]);
        assert_eq!((sql.full, sql.nearly_full, sql.expired_in_use), (1, 1, 1));
        let soon = read(2, 0).expect("read");
        let sql = soon.types.iter().find(|of| of.license_type == "SqlBackup").expect("a type");
        assert_eq!(sql.expiring, [(7, 1), (30, 1), (60, 1)]);
        assert_eq!(soon.entities, 6);
        // By type it is the same without numbers of entities.
        assert_eq!(read(0, 0).expect("read").types, soon.types);
    }
}
