//! What grows with use, and what must not: the log, the time of a change of a large pool, a store that is closed.

use std::time::Instant;

use seatkeeper::seats::AssignRequest;
use seatkeeper::store::StoreError;

use crate::licenses::*;

fn assignment(username: String) -> AssignRequest {
    AssignRequest { username: Some(username.into()), provider_entity_id: Some(43), license_type: Some(SQL) }
}

/// Under calls without a pause the log is folded back and begins again: it would have more than 100 MiB otherwise.
#[test]
fn the_log_of_a_busy_store_starts_over() {
    const CALLERS: usize = 4;
    const CALLS: usize = 1500;
    let licenses = Licenses::new();
    licenses.sql("INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (43, 'SqlBackup', 10000)");
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let licenses = &licenses;
            scope.spawn(move || {
                for number in 0..CALLS {
                    let request = assignment(format!("{caller}-{number}"));
                    wait(licenses.store.assign(call("agent"), request)).expect("a seat");
                }
            });
        }
    });
    let path = licenses.database().file();
    let log_mib = std::fs::metadata(format!("{}-wal", path.display())).expect("the log").len() / (1024 * 1024);
    // Work begins at 63 MiB; on a busy machine some more comes in before it is done. At 96 MiB its file would be cut back.
    assert!(log_mib < 96, "{log_mib} MiB");
    assert_eq!(
        licenses
            .query::<i64>("SELECT seats_in_use FROM license_pool WHERE entity_id = 43 AND license_type = 'SqlBackup'"),
        (CALLERS * CALLS) as i64
    );
    licenses.is_sound();
}

/// To make one seat more, or to renew, costs the same with ten seats or many.
#[test]
fn a_change_of_a_pool_costs_what_it_changes() {
    let licenses = Licenses::new();
    let timed = |script: &str| {
        let begun = Instant::now();
        licenses.sql(script);
        begun.elapsed()
    };
    let made = timed(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (90, 43, 'SqlBackup', 200000)",
    );
    for script in [
        "UPDATE license_pool SET seats_total = seats_total + 1 WHERE id = 90",
        "UPDATE license_pool SET seats_total = seats_total - 1 WHERE id = 90",
        "UPDATE license_pool SET expires_at = '2099-01-01T00:00:00Z' WHERE id = 90",
    ] {
        // One of many is quick, although other tests run beside this one and use the same disk.
        let quick = (0..30).map(|_| timed(script)).find(|took| *took < made / 10);
        assert!(quick.is_some(), "{script}: it takes long, and the pool was made in {made:?}");
    }
    licenses.is_sound();
}

#[test]
fn a_closed_store_leaves_one_file() {
    let licenses = Licenses::new();
    wait(licenses.store.assign(call("agent"), assignment("bob".to_owned()))).expect_err("no pool");
    licenses.store.close();
    let log = format!("{}-wal", licenses.database().file().display());
    assert!(!std::path::Path::new(&log).exists(), "the log is folded back");
}

#[test]
fn a_closed_store_refuses_calls() {
    let licenses = Licenses::new();
    wait(licenses.store.assign(call("agent"), assignment("bob".to_owned()))).expect_err("no pool");
    licenses.store.close();
    licenses.store.close();
    let refused = try_wait(licenses.store.assign(call("agent"), assignment("bob".to_owned())));
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    assert!(matches!(try_wait(licenses.store.principal(call("agent"))), Err(StoreError::Closed)));
    assert!(matches!(try_wait(licenses.store.ready()), Err(StoreError::Closed)));
}
