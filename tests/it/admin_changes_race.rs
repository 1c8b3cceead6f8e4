//! Administrators and calls at once: no seat that a caller was told of is lost, except by a release that the history names.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use seatkeeper::seats::AssignRequest;
use seatkeeper::store::admin::ChangeOptions;
use seatkeeper::store::admin::seats::{Resize, proposals, resize};

use crate::admin_changes::Desk;
use crate::harness::wait_until;
use crate::licenses::{SQL, call, wait};

/// Four agents assign seats of a pool that an administrator shrinks below its use and grows again, time after time.
#[test]
fn a_pool_that_shrinks_while_seats_are_assigned_loses_none() {
    let desk = Desk::new("UPDATE license_pool SET seats_total = 40, expires_at = NULL WHERE id = 1");
    let is_done = AtomicBool::new(false);
    let (told, released, shrunk) = std::thread::scope(|scope| {
        let agents: Vec<_> = (0..4)
            .map(|agent| {
                let (desk, is_done) = (&desk, &is_done);
                scope.spawn(move || {
                    let mut told = Vec::new();
                    for number in 0..400 {
                        if is_done.load(Ordering::Relaxed) {
                            break;
                        }
                        let username = format!("user{agent}-{number}");
                        let request = AssignRequest {
                            username: Some(username.as_str().into()),
                            provider_entity_id: Some(42),
                            license_type: Some(SQL),
                        };
                        if wait(desk.0.store.assign(call("agent"), request)).is_ok() {
                            told.push(username);
                        } else {
                            std::thread::yield_now();
                        }
                    }
                    told
                })
            })
            .collect();
        // Before that there is nothing to release.
        let taken = "SELECT count(*) FROM seat WHERE pool_id = 1 AND account_id IS NOT NULL";
        wait_until("the agents take seats", || desk.0.query::<i64>(taken) > 5);
        let mut released = Vec::new();
        let mut shrunk = 0;
        for round in 0..30 {
            let shrink = desk.change("admin", ChangeOptions::default(), |sql, admin| {
                let shrink = proposals(sql, admin, 1, 5)?;
                let excess = usize::try_from(shrink.excess).expect("small");
                let release = shrink.candidates.iter().take(excess).map(|candidate| candidate.taken).collect();
                resize(sql, admin, &Resize { pool_id: 1, before: None, seats_total: 5, release })
            });
            // Calls took a seat between the proposal and the shrink: then nothing was done.
            if let Ok(changed) = shrink {
                shrunk += 1;
                let gone = changed.events.iter().filter(|event| event.action == "release");
                released.extend(gone.filter_map(|event| event.username.clone()));
            }
            let grow = Resize { pool_id: 1, before: None, seats_total: 40 + round, release: Vec::new() };
            let _ = desk.change("admin", ChangeOptions::default(), move |sql, admin| resize(sql, admin, &grow));
        }
        is_done.store(true, Ordering::Relaxed);
        let told: Vec<String> = agents.into_iter().flat_map(|agent| agent.join().expect("no panic")).collect();
        (told, released, shrunk)
    });
    assert!(shrunk > 0 && !released.is_empty(), "{shrunk} {}", released.len());
    let released: BTreeSet<String> = released.into_iter().collect();
    let expected: BTreeSet<String> = told.into_iter().filter(|name| !released.contains(name)).collect();
    let holders = "SELECT username FROM seat JOIN account ON account.id = account_id WHERE pool_id = 1";
    let holders: BTreeSet<String> = desk.0.database().lines(holders).into_iter().collect();
    assert_eq!(holders, expected);
    desk.0.is_sound();
}
