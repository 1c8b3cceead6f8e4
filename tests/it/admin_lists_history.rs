//! What administrators read of the history, of refusals, and of what needs attention. On both databases.

use jiff::{SignedDuration, Timestamp};
use seatkeeper::seats::Role;
use seatkeeper::store::Call;
use seatkeeper::store::admin::history::{self, EventRow, HistoryFilter};
use seatkeeper::store::admin::refusals::{self, RefusalFilter};
use seatkeeper::store::admin::report::{self, ReportRequest};
use seatkeeper::store::admin::totals::Totals;
use seatkeeper::store::admin::{
    Admin, AdminRefusal, ChangeOptions, EntityFilter, Sql, Start, home, search, typed, untyped,
};

use crate::admin_lists::{all_pages, lists, read, read_with_totals, try_read};
use crate::licenses::*;

fn line(event: &EventRow) -> String {
    let of = [
        event.entity_id.map(|id| format!("of {id}")),
        event.pool_id.map(|id| format!("pool {id}")),
        event.seat_no.map(|number| format!("seat {number}")),
        event.username.clone(),
    ];
    format!("{} {}", event.action, of.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn list(licenses: &Licenses, who: &str, filter: HistoryFilter) -> Vec<EventRow> {
    read(licenses, who, move |sql, admin| history::list(sql, admin, &filter, &Start::First, 100)).rows
}

/// Changes made since the seed.
fn changed() -> Licenses {
    let licenses = lists();
    licenses.sql(
        "UPDATE entity SET name = 'Contoso Ltd' WHERE id = 42;
         UPDATE account SET username = 'robert' WHERE id = 1;
         UPDATE account SET entity_id = 420 WHERE id = 2;
         UPDATE license_pool SET seats_total = 7 WHERE id = 3;
         UPDATE credential SET role = 'reader' WHERE user_name = 'west';
         UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 3;
         DELETE FROM license_offer WHERE entity_id = 9;",
    );
    licenses
}

#[test]
fn events_are_found_by_everything_that_they_say() {
    let licenses = changed();
    let all = || HistoryFilter::default();
    let lines = |who: &str, filter: HistoryFilter| list(&licenses, who, filter).iter().map(line).collect::<Vec<_>>();
    let actions =
        |actions: &[&str]| HistoryFilter { actions: actions.iter().map(|a| (*a).to_owned()).collect(), ..all() };
    let user = |user: &str| HistoryFilter { user: Some(user.to_owned()), ..all() };
    let of = |id, below| HistoryFilter { entity: Some(EntityFilter { id, below }), ..all() };
    for (who, filter, expected) in [
        ("cli", actions(&["release"]), vec!["release of 42 pool 1 seat 3 fay"]),
        ("contoso", actions(&["release"]), vec!["release of 42 pool 1 seat 3"]),
        ("elsewhere", actions(&["release"]), vec![]),
        (
            "cli",
            user("BOB"),
            vec![
                "account-change robert",
                "assign of 42 pool 4 seat 1 bob",
                "assign of 42 pool 1 seat 1 bob",
                "account-create bob",
            ],
        ),
        ("west", user("wes"), vec!["assign seat wes", "account-create of 420 wes"]),
        ("west", user("bob"), vec![]),
        ("contoso", user("fay"), vec![]),
        (
            "cli",
            HistoryFilter { pool_id: Some(1), ..all() },
            vec![
                "release of 42 pool 1 seat 3 fay",
                "assign of 42 pool 1 seat 3 fay",
                "assign of 42 pool 1 seat 2 amy",
                "assign of 42 pool 1 seat 1 bob",
                "pool-create of 42 pool 1",
            ],
        ),
        ("elsewhere", HistoryFilter { pool_id: Some(1), ..all() }, vec![]),
        (
            "contoso",
            HistoryFilter { actions: vec!["pool-change".into()], ..of(42, true) },
            vec!["pool-change of 42 pool 3"],
        ),
        ("contoso", of(9, true), vec![]),
        ("contoso", HistoryFilter { actor: Some("nobody".into()), ..all() }, vec![]),
    ] {
        // Of a user the events say the entity too; of a seat of others nothing but that it was one.
        let tidy = |line: &String| {
            let line = line
                .replace("account-change of 42 ", "account-change ")
                .replace("account-create of 42 ", "account-create ");
            if who == "west" && line.starts_with("assign ") { line.replace("assign ", "assign seat ") } else { line }
        };
        let found: Vec<String> = lines(who, filter.clone()).iter().map(tidy).collect();
        assert_eq!(found, expected, "{who}: {filter:?}");
    }
    // What was moved away from an entity is of its history too.
    let moved = list(&licenses, "contoso", actions(&["account-change"]));
    assert_eq!(moved.len(), 2);
    let west = list(&licenses, "west", actions(&["account-change"]));
    let changes = west[0].changes();
    assert_eq!(changes.len(), 1, "{west:?}");
    assert_eq!((changes[0].old.as_deref(), changes[0].new.as_deref()), (Some("…"), Some("420")), "42 is above west");
    let renamed = list(&licenses, "cli", HistoryFilter { actions: vec!["entity-change".into()], ..all() });
    let changes = &renamed[0].changes()[0];
    assert_eq!(
        (changes.name.as_str(), changes.old.as_deref(), changes.new.as_deref()),
        ("name", Some("Contoso"), Some("Contoso Ltd"))
    );
    assert_eq!(
        list(&licenses, "cli", HistoryFilter { actor: Some("SQL".into()), ..all() }).len(),
        list(&licenses, "cli", all()).len()
    );
}

#[test]
fn events_are_found_by_time() {
    let licenses = changed();
    let events = list(&licenses, "cli", HistoryFilter::default());
    let middle = events[events.len() / 2].at;
    let since = list(&licenses, "cli", HistoryFilter { since: Some(middle), ..Default::default() });
    let until = list(&licenses, "cli", HistoryFilter { until: Some(middle), ..Default::default() });
    assert!(since.iter().all(|event| event.at >= middle) && until.iter().all(|event| event.at < middle));
    assert_eq!(since.len() + until.len(), events.len());
    let year = SignedDuration::from_hours(24 * 365);
    let (before, after) = (middle - year, middle + year);
    for (since, until, number) in [
        (None, Some(before), 0),
        (Some(after), None, 0),
        (Some(before), Some(after), events.len()),
        (Some(after), Some(before), 0),
        (Some(Timestamp::MIN), Some(Timestamp::MAX), events.len()),
    ] {
        let filter = HistoryFilter { since, until, ..Default::default() };
        for size in [1000, 11] {
            let found = all_pages(size, |start, limit| {
                let (start, filter) = (start.clone(), filter.clone());
                read(&licenses, "cli", move |sql, admin| history::list(sql, admin, &filter, &start, limit))
            });
            assert_eq!(found.len(), number, "{filter:?}");
        }
    }
}

#[test]
fn the_events_of_a_change_are_found_by_its_request_id() {
    let licenses = changed();
    let by = call("admin");
    let id = by.id;
    let work = untyped(|sql: &dyn Sql, _: &Admin| {
        sql.change("UPDATE entity SET note = 'x' WHERE id = 42", &[])?;
        sql.change("UPDATE entity SET note = 'y' WHERE id = 43", &[])
    });
    let options = ChangeOptions { reason: Some("a reason".to_owned()), ..ChangeOptions::default() };
    wait(licenses.store.change_as_admin(by, options, work)).expect("changed");
    for (who, expected) in [("cli", 2), ("reader", 2), ("contoso", 1), ("elsewhere", 0)] {
        let events =
            read(&licenses, who, move |sql, admin| history::of_request(sql, admin, &format!("Err-{id}"), None));
        assert_eq!(events.rows.len(), expected, "{who}");
        let filter = HistoryFilter { request_id: Some(id.to_string()), ..HistoryFilter::default() };
        assert_eq!(list(&licenses, who, filter).len(), expected, "{who}");
        let found = read_with_totals(&licenses, who, move |sql, admin, totals| {
            search::find(sql, admin, totals, &id.to_string())
        });
        assert_eq!(found.events.len(), expected);
    }
    let events = list(&licenses, "contoso", HistoryFilter { request_id: Some(id.to_string()), ..Default::default() });
    assert_eq!((events[0].actor.as_deref(), events[0].reason.as_deref()), (None, Some("a reason")), "admin is above");
    // A call gives no reason: its events are looked for among the newest.
    let by = call("agent");
    let id = by.id;
    let request = seatkeeper::seats::AssignRequest {
        username: Some("new".into()),
        provider_entity_id: Some(420),
        license_type: Some(SQL),
    };
    wait(licenses.store.assign(by, request)).expect("assigned");
    let events = read(&licenses, "reader", move |sql, admin| history::of_request(sql, admin, &id.to_string(), None));
    let lines: Vec<String> = events.rows.iter().map(line).collect();
    // PostgreSQL takes any free seat.
    assert!(lines[0] == "account-create of 420 new" && lines[1].starts_with("assign of 420 pool 5 seat "), "{lines:?}");
}

/// The number of a deleted pool is used again: what became of the first is not of the second's entity.
#[test]
fn events_of_a_pool_are_of_the_entity_that_it_had_then() {
    let licenses = lists();
    licenses.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (77, 9, 'ExchangeBackup', 1);
         UPDATE seat SET account_id = 5 WHERE pool_id = 77;
         UPDATE seat SET account_id = NULL WHERE pool_id = 77;
         DELETE FROM license_pool WHERE id = 77;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (77, 42, 'ExchangeBackup', 1);
         UPDATE seat SET account_id = 1 WHERE pool_id = 77;",
    );
    let lines = |who: &str, pool_id| {
        let filter = HistoryFilter { pool_id: Some(pool_id), ..HistoryFilter::default() };
        list(&licenses, who, filter).iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(lines("contoso", 77), ["assign of 42 pool 77 seat 1 bob", "pool-create of 42 pool 77"]);
    let all = list(&licenses, "elsewhere", HistoryFilter::default());
    let of_77: Vec<String> = all.iter().filter(|event| event.pool_id == Some(77)).map(line).collect();
    let expected = [
        "pool-delete of 9 pool 77",
        "release of 9 pool 77 seat 1 eve",
        "assign of 9 pool 77 seat 1 eve",
        "pool-create of 9 pool 77",
    ];
    assert_eq!(of_77, expected);
}

#[test]
fn refusals_are_found_by_everything_that_they_say() {
    let licenses = lists();
    let ids = |who: &str, filter: RefusalFilter| -> Vec<i64> {
        let page = read(&licenses, who, move |sql, admin| refusals::list(sql, admin, &filter, &Start::First, 50));
        page.rows.iter().map(|row| row.id).collect()
    };
    let all = || RefusalFilter::default();
    let of = |id, below| RefusalFilter { entity: Some(EntityFilter { id, below }), ..all() };
    for (who, filter, expected) in [
        ("cli", all(), vec![7, 6, 5, 4, 3, 2, 1]),
        // 3 names a user of another entity; 5 is of a credential of others.
        ("contoso", all(), vec![7, 6, 2, 1]),
        ("west", all(), vec![7]),
        ("elsewhere", all(), vec![5]),
        ("reader", all(), vec![7, 6, 3, 2, 1]),
        ("cli", of(42, true), vec![7, 3, 2, 1]),
        ("cli", of(42, false), vec![3, 2, 1]),
        ("contoso", of(9, true), vec![]),
        ("cli", RefusalFilter { code: Some("nofreeseat".into()), ..all() }, vec![2, 1]),
        ("cli", RefusalFilter { actor: Some("AGENT".into()), ..all() }, vec![3, 2]),
        ("contoso", RefusalFilter { actor: Some("agent".into()), ..all() }, vec![]),
        ("cli", RefusalFilter { unproved: true, ..all() }, vec![4]),
        ("cli", RefusalFilter { user: Some("fay".into()), ..all() }, vec![3]),
        ("contoso", RefusalFilter { user: Some("fay".into()), ..all() }, vec![]),
        ("cli", RefusalFilter { address: Some("192.0.2.2".into()), ..all() }, vec![3, 2]),
        ("contoso", RefusalFilter { address: Some("192.0.2.2".into()), ..all() }, vec![]),
        ("cli", RefusalFilter { operation: Some("ReleaseLicense".into()), ..all() }, vec![7]),
        ("cli", RefusalFilter { text: Some("ALREADY".into()), ..all() }, vec![3]),
        ("cli", RefusalFilter { text: Some("%".into()), ..all() }, vec![]),
        ("cli", RefusalFilter { license_type: Some(EXCHANGE), ..all() }, vec![7]),
        (
            "cli",
            RefusalFilter { since: Some(at("2026-06-01T02:00:00Z")), until: Some(at("2026-06-01T04:00:00Z")), ..all() },
            vec![4, 3],
        ),
    ] {
        assert_eq!(ids(who, filter.clone()), expected, "{who}: {filter:?}");
    }
    for (who, number, found) in [("cli", 5, true), ("contoso", 5, false), ("contoso", 1, true), ("contoso", 3, false)] {
        let id = format!("Err-00000000-0000-4000-8000-00000000000{number}; some text");
        let one = try_read(&licenses, who, move |sql, admin| refusals::of_request(sql, admin, &id));
        assert_eq!(one.is_ok(), found, "{who} {number}");
    }
}

#[test]
fn home_says_what_needs_attention() {
    let licenses = lists();
    let home = |who: &str| read_with_totals(&licenses, who, home::read);
    let all = home("cli");
    assert_eq!((all.full, all.nearly_full, all.expired_in_use), (1, 1, (1, 1)));
    assert_eq!(all.expiring, [(7, 0), (30, 0), (60, 0)]);
    assert_eq!((all.refusals.total, all.refusals.is_partial), (6, false), "one is older than a day");
    let codes: Vec<String> = all.refusals.by_code.iter().map(|(code, number)| format!("{code} {number}")).collect();
    let expected =
        ["ObjectEntityMismatch 2", "AlreadyAssigned 1", "InvalidSoapCredentials 1", "NoFreeSeat 1", "NotAssigned 1"];
    assert_eq!(codes, expected);
    let entities: Vec<(i64, i64)> = all.refusals.by_entity.iter().map(|(id, _, number)| (*id, *number)).collect();
    assert_eq!(entities, [(42, 2), (9, 1), (420, 1)], "an entity that does not exist is not told");
    let failing: Vec<(&str, i64)> = all.failing.iter().map(|row| (row.user_name.as_str(), row.failures)).collect();
    assert_eq!(failing, [("elsewhere", 7), ("west", 3)]);
    assert_eq!(all.backup.as_ref().and_then(|backup| backup.detail.as_deref()), Some("to /backups/seats.db"));
    assert_eq!(all.check, None);
    let contoso = home("contoso");
    assert_eq!((contoso.full, contoso.refusals.total, contoso.failing.len()), (1, 3, 1));
    assert_eq!(contoso.backup.map(|backup| backup.detail), Some(None));
    let other = home("elsewhere");
    assert_eq!((other.full, other.numbers.seats, other.refusals.total), (0, 8, 1));
    licenses.sql("UPDATE license_pool SET expires_at = '2026-06-20T00:00:00Z' WHERE id IN (4, 5)");
    assert_eq!(home("contoso").expiring, [(7, 0), (30, 2), (60, 2)]);
}

/// A report as of the machine's clock, by which the database writes the history.
fn report(
    licenses: &Licenses,
    who: &str,
    id: i64,
    below: bool,
    since: Timestamp,
) -> Result<report::Report, AdminRefusal> {
    let now = Timestamp::now() + SignedDuration::from_secs(5);
    let work = untyped(move |sql: &dyn Sql, admin: &Admin| {
        let totals = Totals::read(sql, admin.now)?;
        let request = ReportRequest { entity: EntityFilter { id, below }, since, until: Timestamp::MAX };
        report::make(sql, admin, &totals, &request)
    });
    wait(licenses.store.read_as_admin(Call { now, ..call(who) }, Role::Reader, work)).map(typed)
}

#[test]
fn a_report_says_what_an_entity_had_and_used() {
    let licenses = lists();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let begin = Timestamp::now();
    std::thread::sleep(std::time::Duration::from_millis(20));
    licenses.sql(
        "UPDATE license_pool SET seats_total = 5 WHERE id = 1;
         UPDATE seat SET account_id = 6 WHERE pool_id = 1 AND seat_no = 4;
         UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no IN (2, 3, 4);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (88, 420, 'ExchangeBackup', 2);
         UPDATE seat SET account_id = 1 WHERE pool_id = 88 AND seat_no = 1;
         UPDATE seat SET account_id = NULL WHERE pool_id = 88;
         DELETE FROM license_pool WHERE id = 88;",
    );
    let made = report(&licenses, "contoso", 42, true, begin).expect("a report");
    let line = |pool: &report::PoolReport| {
        format!(
            "{} {}: {}->{} seats, {}->{} in use, peak {}, +{} -{}{}",
            pool.pool_id,
            pool.license_type,
            pool.seats_begin,
            pool.seats_end,
            pool.in_use_begin,
            pool.in_use_end,
            pool.peak,
            pool.assigned,
            pool.released,
            if pool.is_deleted { ", gone" } else { "" }
        )
    };
    let lines: Vec<String> = made.pools.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "4 SkraftDiskImageV5: 10->10 seats, 1->1 in use, peak 1, +0 -0",
            "1 SqlBackup: 3->5 seats, 3->1 in use, peak 4, +1 -3",
            "2 SqlBackup: 4->4 seats, 1->1 in use, peak 1, +0 -0",
            "3 SqlBackup: 5->5 seats, 0->0 in use, peak 0, +0 -0",
            "5 SqlBackup: 2->2 seats, 0->0 in use, peak 0, +0 -0",
            "88 ExchangeBackup: 0->0 seats, 0->0 in use, peak 1, +1 -1, gone",
        ]
    );
    assert!(made.is_complete);
    let sql = made.types[SQL.index()].expect("pools of the type");
    assert_eq!((sql.seats_begin, sql.seats_end, sql.in_use_begin, sql.in_use_end, sql.peak), (14, 16, 4, 2, 5));
    let own = report(&licenses, "contoso", 42, false, begin).expect("a report");
    assert_eq!(own.pools.iter().map(|pool| pool.pool_id).collect::<Vec<_>>(), [4, 1, 2, 3]);
    let all = report(&licenses, "cli", 42, true, at("2020-01-01T00:00:00Z")).expect("a report");
    let first = all.pools.iter().find(|pool| pool.pool_id == 1).expect("pool 1");
    assert_eq!((first.seats_begin, first.in_use_begin, first.peak, first.assigned), (0, 0, 4, 4), "from its creation");
    for (who, id, since) in [("contoso", 9, begin), ("contoso", 999, begin), ("contoso", 42, Timestamp::MAX)] {
        assert!(report(&licenses, who, id, true, since).is_err(), "{who} {id}");
    }
}
