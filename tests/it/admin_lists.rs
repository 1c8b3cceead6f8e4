//! What administrators read: entities, pools and holders; what a caller of a subtree sees; rows of hostile data; pages by key. On both
//! databases. The other lists are in `admin_lists_people` and `admin_lists_history`, explanations in `admin_lists_explain`.

use std::fmt::Debug;

use seatkeeper::seats::{LicenseType, Role};
use seatkeeper::store::admin::credentials::{self, CredentialFilter};
use seatkeeper::store::admin::entities::{self, EntitiesFilter, EntityRow};
use seatkeeper::store::admin::explain::{self, ExplainRequest};
use seatkeeper::store::admin::history::{self, HistoryFilter};
use seatkeeper::store::admin::holders::{self, HolderFilter};
use seatkeeper::store::admin::offers::{self, OfferFilter};
use seatkeeper::store::admin::pools::{self, PoolFilter, PoolOrder, PoolRow, PoolState};
use seatkeeper::store::admin::refusals::{self, RefusalFilter};
use seatkeeper::store::admin::report::{self, ReportRequest};
use seatkeeper::store::admin::totals::Totals;
use seatkeeper::store::admin::users::{self, UserFilter};
use seatkeeper::store::admin::{
    Admin, AdminRefusal, EntityFilter, Page, ROWS_MAX, Since, Sql, Start, Stop, home, search, typed, untyped,
};

use crate::licenses::*;

/// The owners of [`seed`], with seats taken across the borders of entities: in pool 1 of 42 `bob`, `amy` and `fay` of 43; in pool 4 `bob`;
/// in pool 8 of 9 `eve` and `wes` of 420; in pool 2, which has expired, `Contoso`. Offers to 42 and 9, and some refusals.
pub fn lists() -> Licenses {
    let licenses = Licenses::new();
    licenses.sql(
        "UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1;
         UPDATE seat SET account_id = 2 WHERE pool_id = 1 AND seat_no = 2;
         UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 3;
         UPDATE seat SET account_id = 1 WHERE pool_id = 4 AND seat_no = 1;
         UPDATE seat SET account_id = 5 WHERE pool_id = 8 AND seat_no = 2;
         UPDATE seat SET account_id = 3 WHERE pool_id = 8 AND seat_no = 1;
         UPDATE seat SET account_id = 7 WHERE pool_id = 2 AND seat_no = 1;
         INSERT INTO license_offer (entity_id, company_name, serial_nr, grace_at) VALUES
             (42, 'Contoso Holding', '77', '2028-01-01T00:00:00Z'), (9, NULL, '99', NULL);
         INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES
             (42, 'SqlBackup', 20), (42, 'SkraftDiskImageV5', 10), (9, 'SqlBackup', 1);",
    );
    licenses.database().unguarded(REFUSALS);
    licenses
}

/// Ids ascend with their times, the newest a minute ago.
const REFUSALS: &str = "
    INSERT INTO refusal (id, at, request_id, actor, operation, code, message, entity_id, username, license_type, address) VALUES
        (1, '2026-05-01T00:00:00Z', '00000000-0000-4000-8000-000000000001', 'contoso', 'AssignLicense', 'NoFreeSeat', 'All 3 seats are in use', 42, 'max', 'SqlBackup', '192.0.2.1'),
        (2, '2026-06-01T01:00:00Z', '00000000-0000-4000-8000-000000000002', 'agent', 'AssignLicense', 'NoFreeSeat', 'All 3 seats are in use', 42, 'max', 'SqlBackup', '192.0.2.2'),
        (3, '2026-06-01T02:00:00Z', '00000000-0000-4000-8000-000000000003', 'agent', 'AssignLicense', 'AlreadyAssigned', 'User ''fay'' already holds one', 42, 'fay', 'SqlBackup', '192.0.2.2'),
        (4, '2026-06-01T03:00:00Z', '00000000-0000-4000-8000-000000000004', NULL, 'AssignLicense', 'InvalidSoapCredentials', 'The caller is not signed in', NULL, NULL, NULL, '192.0.2.66'),
        (5, '2026-06-01T04:00:00Z', '00000000-0000-4000-8000-000000000005', 'elsewhere', 'AssignLicense', 'ObjectEntityMismatch', 'Entity 42 does not exist', 9, 'eve', 'SqlBackup', '192.0.2.9'),
        (6, '2026-06-01T05:00:00Z', '00000000-0000-4000-8000-000000000006', 'contoso', 'AssignLicense', 'ObjectEntityMismatch', 'Entity 4711 does not exist', 4711, 'bob', 'SqlBackup', '192.0.2.1'),
        (7, '2026-06-01T11:59:00Z', '00000000-0000-4000-8000-000000000007', 'west', 'ReleaseLicense', 'NotAssigned', 'User ''wes'' holds none', 420, 'wes', 'ExchangeBackup', '192.0.2.4');
    INSERT INTO credential_use (user_name, last_used_at, last_address, failures, last_failure_at, last_failure_address) VALUES
        ('contoso', '2026-06-01T11:00:00Z', '192.0.2.1', 0, NULL, NULL), ('west', '2026-05-01T00:00:00Z', '192.0.2.4', 3, '2026-06-01T10:00:00Z', '192.0.2.40'),
        ('elsewhere', NULL, NULL, 7, '2026-06-01T11:00:00Z', '192.0.2.90');
    INSERT INTO upkeep (task, at, detail) VALUES ('backup', '2026-05-31T00:00:00Z', 'to /backups/seats.db');";

/// Runs reads as this caller.
pub fn try_read<T: Send + Sync + 'static>(
    licenses: &Licenses,
    who: &str,
    work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
) -> Result<T, AdminRefusal> {
    wait(licenses.store.read_as_admin(call(who), Role::Reader, untyped(work))).map(typed)
}

#[track_caller]
pub fn read<T: Send + Sync + 'static>(
    licenses: &Licenses,
    who: &str,
    work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
) -> T {
    try_read(licenses, who, work).unwrap_or_else(|e| panic!("{who}: {e}"))
}

/// Runs reads with the totals of this moment.
#[track_caller]
pub fn read_with_totals<T: Send + Sync + 'static>(
    licenses: &Licenses,
    who: &str,
    work: impl Fn(&dyn Sql, &Admin, &Totals) -> Result<T, Stop> + Send + Sync + 'static,
) -> T {
    read(licenses, who, move |sql, admin| work(sql, admin, &Totals::read(sql, admin.now)?))
}

/// All rows of a list, read in pages of this size from the first to the last, and the same from the last to the first.
#[track_caller]
pub fn all_pages<R: Debug + PartialEq>(size: usize, page: impl Fn(&Start, usize) -> Page<R>) -> Vec<R> {
    let (mut start, mut rows, mut pages) = (Start::First, Vec::new(), 0);
    let mut last_start = Start::First;
    loop {
        let found = page(&start, size);
        assert!(found.rows.len() <= size && (found.rows.len() == size || found.next.is_none() || found.is_partial));
        pages += 1;
        assert!(pages < 1000, "a list without an end");
        rows.extend(found.rows);
        match found.next {
            // The key goes through an address.
            Some(key) => start = Start::After(key.to_string().parse().expect("a key")),
            None => break,
        }
        last_start = start.clone();
    }
    // Back from the last page.
    let last = page(&last_start, size);
    let mut back: Vec<R> = last.rows.into_iter().rev().collect();
    let mut previous = last.previous;
    while let Some(key) = previous {
        let found = page(&Start::Before(key), size);
        back.extend(found.rows.into_iter().rev());
        previous = found.previous;
    }
    back.reverse();
    assert_eq!(back, rows, "backwards, in pages of {size}");
    rows
}

fn entity_line(row: &EntityRow) -> String {
    let numbers = |numbers: &seatkeeper::store::admin::totals::Numbers| {
        format!("{}/{} in {} pools, {} expired", numbers.in_use, numbers.seats, numbers.pools, numbers.in_use_expired)
    };
    let parent = row.parent_id.map_or("-".to_owned(), |id| id.to_string());
    format!("{} {} below {parent}: {}; all {}", row.id, row.name, numbers(&row.own), numbers(&row.all))
}

#[test]
fn entities_are_a_tree_with_totals() {
    let licenses = lists();
    let list = |who: &str, filter: EntitiesFilter| -> Vec<String> {
        let page = read_with_totals(&licenses, who, move |sql, admin, totals| {
            entities::list(sql, admin, totals, &filter, &Start::First, 50)
        });
        page.rows.iter().map(entity_line).collect()
    };
    let ids = |who: &str, filter: EntitiesFilter| -> Vec<String> {
        list(who, filter).iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    let all = || EntitiesFilter::default();
    assert_eq!(
        list("cli", all()),
        [
            "44 Closed below 1: 0/7 in 1 pools, 0 expired; all 0/7 in 1 pools, 0 expired",
            "42 Contoso below 1: 4/13 in 4 pools, 1 expired; all 4/15 in 5 pools, 1 expired",
            "45 Contoso East below 42: 0/0 in 0 pools, 0 expired; all 0/0 in 0 pools, 0 expired",
            "420 Contoso West below 42: 0/2 in 1 pools, 0 expired; all 0/2 in 1 pools, 0 expired",
            "43 Fabrikam below 1: 0/0 in 1 pools, 0 expired; all 0/0 in 1 pools, 0 expired",
            "1 Northwind below -: 0/0 in 0 pools, 0 expired; all 4/22 in 7 pools, 1 expired",
            "9 Somebody else below -: 2/8 in 1 pools, 0 expired; all 2/8 in 1 pools, 0 expired",
        ]
    );
    let text = |text: &str| EntitiesFilter { text: Some(text.to_owned()), ..all() };
    let of = |id, below| EntitiesFilter { entity: Some(EntityFilter { id, below }), ..all() };
    for (who, filter, expected) in [
        ("cli", EntitiesFilter { top: true, ..all() }, vec!["1", "9"]),
        ("contoso", EntitiesFilter { top: true, ..all() }, vec!["42"]),
        ("contoso", all(), vec!["42", "45", "420"]),
        ("contoso", EntitiesFilter { parent: Some(42), ..all() }, vec!["45", "420"]),
        ("contoso", EntitiesFilter { parent: Some(1), ..all() }, vec![]),
        ("contoso", of(43, true), vec![]),
        ("reader", of(42, true), vec!["42", "45", "420"]),
        ("reader", of(42, false), vec!["42"]),
        ("cli", text("  cOnToSo "), vec!["42", "45", "420"]),
        ("cli", text("420"), vec!["420"]),
        ("cli", text("elsewhere"), vec!["9"]),
        ("contoso", text("elsewhere"), vec![]),
        ("cli", text("%"), vec![]),
        ("cli", text("_"), vec![]),
        ("cli", EntitiesFilter { active: Some(false), ..all() }, vec!["44"]),
        ("cli", EntitiesFilter { owner: Some(false), ..all() }, vec!["45"]),
    ] {
        assert_eq!(ids(who, filter.clone()), expected, "{who}: {filter:?}");
    }
    let one = read_with_totals(&licenses, "contoso", |sql, admin, totals| entities::one(sql, admin, totals, 420));
    let path: Vec<i64> = one.path.iter().map(|(id, _)| *id).collect();
    assert_eq!((path, one.row.parent_id), (vec![42], Some(42)), "the path ends at the caller's entity");
    let own = read_with_totals(&licenses, "contoso", |sql, admin, totals| entities::one(sql, admin, totals, 42));
    assert_eq!((own.row.parent_id, own.row.parent_name.clone(), own.path.len()), (None, None, 0));
    assert!(own.has_offer && own.serial_nr.as_deref() == Some("1010000014"));
    assert_eq!(own.by_type[SQL.index()].seats, 5, "pools 1 and 5");
}

fn pool_line(row: &PoolRow) -> String {
    let percent = row.percent().map_or("-".to_owned(), |percent| percent.to_string());
    format!(
        "{} of {}: {}/{} {percent}% {}",
        row.id,
        row.entity_name,
        row.seats_in_use,
        row.seats_total,
        row.state.name()
    )
}

#[test]
fn pools_are_listed_with_their_state_and_use() {
    let licenses = lists();
    let list = |who: &str, filter: PoolFilter| -> Vec<PoolRow> {
        read_with_totals(&licenses, who, move |sql, admin, totals| {
            pools::list(sql, admin, totals, &filter, &Start::First, 50)
        })
        .rows
    };
    let ids = |who: &str, filter: PoolFilter| list(who, filter).iter().map(|row| row.id).collect::<Vec<_>>();
    let all = || PoolFilter::default();
    let lines: Vec<String> = list("cli", all()).iter().map(pool_line).collect();
    assert_eq!(
        lines,
        [
            "1 of Contoso: 3/3 100% open",
            "2 of Contoso: 1/4 25% expired",
            "3 of Contoso: 0/5 0% not-begun",
            "4 of Contoso: 1/10 10% open",
            "5 of Contoso West: 0/2 0% open",
            "6 of Fabrikam: 0/6 0% expired",
            "7 of Closed: 0/7 0% open",
            "8 of Somebody else: 2/8 25% open",
        ]
    );
    let of = |id, below| PoolFilter { entity: Some(EntityFilter { id, below }), ..all() };
    let state = |state| PoolFilter { state: Some(state), ..all() };
    for (who, filter, expected) in [
        ("contoso", all(), vec![1, 2, 3, 4, 5]),
        ("west", all(), vec![5]),
        ("contoso", of(42, false), vec![1, 2, 3, 4]),
        ("contoso", of(9, true), vec![]),
        ("cli", of(1, true), vec![1, 2, 3, 4, 5, 6, 7]),
        ("cli", state(PoolState::Expired), vec![2, 6]),
        ("cli", PoolFilter { in_use: true, ..state(PoolState::Expired) }, vec![2]),
        ("cli", state(PoolState::NotBegun), vec![3]),
        ("cli", PoolFilter { percent_min: Some(90), ..all() }, vec![1]),
        ("cli", PoolFilter { percent_min: Some(25), ..state(PoolState::Open) }, vec![1, 8]),
        ("cli", PoolFilter { license_type: Some(DISK), ..all() }, vec![4]),
        ("cli", PoolFilter { expires_within_days: Some(213), ..all() }, vec![]),
        ("cli", PoolFilter { expires_within_days: Some(214), ..all() }, vec![1]),
        ("cli", PoolFilter { order: PoolOrder::Use, ..all() }, vec![1, 2, 8, 4, 3, 5, 6, 7]),
        ("cli", PoolFilter { order: PoolOrder::Expiry, ..all() }, vec![6, 2, 1, 3, 4, 5, 7, 8]),
    ] {
        assert_eq!(ids(who, filter.clone()), expected, "{who}: {filter:?}");
    }
    for (who, id) in [("contoso", 8), ("contoso", 999), ("elsewhere", 1)] {
        let refused = try_read(&licenses, who, move |sql, admin| pools::one(sql, admin, id));
        assert_eq!(refused, Err(AdminRefusal::NotFound { what: "pool", id: id.to_string() }), "{who}");
    }
}

#[test]
fn the_use_of_a_pool_is_told_over_time() {
    let licenses = lists();
    licenses.sql(
        "UPDATE license_pool SET seats_total = 6 WHERE id = 1;
         UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no < 3;
         UPDATE license_pool SET seats_total = 4 WHERE id = 1;",
    );
    let over_time = read(&licenses, "contoso", |sql, admin| pools::use_over_time(sql, admin, 1, 200));
    let points: Vec<(i64, i64)> = over_time.points.iter().map(|p| (p.seats_in_use, p.seats_total)).collect();
    let expected = [(0, 3), (1, 3), (2, 3), (3, 3), (3, 6), (2, 6), (1, 6), (1, 4), (1, 4)];
    assert!(over_time.is_complete);
    assert_eq!(points, expected);
    let few = read(&licenses, "contoso", |sql, admin| pools::use_over_time(sql, admin, 1, 3));
    assert!(few.points.len() <= 3 && few.points.iter().any(|p| p.peak == 3), "{few:?}");
    let refused = try_read(&licenses, "elsewhere", |sql, admin| pools::use_over_time(sql, admin, 1, 200));
    assert!(matches!(refused, Err(AdminRefusal::NotFound { .. })));
}

#[test]
fn holders_of_a_pool_are_told_as_far_as_the_caller_may_see_them() {
    let licenses = lists();
    let list = |who: &str, pool_id: i64, filter: HolderFilter| -> Vec<String> {
        let page =
            read(&licenses, who, move |sql, admin| holders::list(sql, admin, pool_id, &filter, &Start::First, 50));
        let line = |row: &holders::HolderRow| {
            assert!(matches!(row.since, Since::At(_)), "{row:?}");
            let name = row.account.as_ref().map_or("-", |account| &account.username);
            format!("{} {name}", row.seat_no)
        };
        page.rows.iter().map(line).collect()
    };
    let text = |text: &str| HolderFilter { text: Some(text.to_owned()), active: None };
    assert_eq!(list("reader", 1, HolderFilter::default()), ["1 bob", "2 amy", "3 fay"]);
    assert_eq!(list("contoso", 1, HolderFilter::default()), ["1 bob", "2 amy", "3 -"], "fay is of another entity");
    assert_eq!(list("contoso", 1, text("A")), ["2 amy"], "and is not found");
    assert_eq!(list("reader", 1, text("A")), ["2 amy", "3 fay"]);
    assert_eq!(list("reader", 1, HolderFilter { text: None, active: Some(false) }), [""; 0]);
    assert_eq!(list("elsewhere", 8, HolderFilter::default()), ["1 -", "2 eve"]);
    let refused = try_read(&licenses, "elsewhere", |sql, admin| {
        holders::list(sql, admin, 1, &HolderFilter::default(), &Start::First, 50)
    });
    assert!(matches!(refused, Err(AdminRefusal::NotFound { .. })));
}

/// Of a large pool with few holders the events say where they are: seats that lie far apart are on one page.
#[test]
fn holders_of_a_sparse_pool_are_on_one_page() {
    let licenses = lists();
    licenses.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (50, 43, 'SqlBackup', 60000);
         UPDATE seat SET account_id = 6 WHERE pool_id = 50 AND seat_no = 59999;
         UPDATE seat SET account_id = NULL WHERE pool_id = 50 AND seat_no = 59999;
         INSERT INTO account (id, username, entity_id) VALUES (50, 'far', 43), (51, 'near', 43), (52, 'out', 43);
         UPDATE seat SET account_id = 51 WHERE pool_id = 50 AND seat_no = 2;
         UPDATE seat SET account_id = 50 WHERE pool_id = 50 AND seat_no = 59999;
         UPDATE seat SET account_id = 52 WHERE pool_id = 50 AND seat_no = 30000;",
    );
    for size in [1, 2, 50] {
        let rows = all_pages(size, |start, limit| {
            let start = start.clone();
            read(&licenses, "reader", move |sql, admin| {
                let page = holders::list(sql, admin, 50, &HolderFilter::default(), &start, limit)?;
                assert!(!page.is_partial);
                Ok(page)
            })
        });
        let lines: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {}", row.seat_no, row.account.as_ref().map_or("-", |account| &account.username)))
            .collect();
        assert_eq!(lines, ["2 near", "30000 out", "59999 far"], "{size}");
    }
}

/// Everything that a caller can get out of the lists, as text.
fn everything(licenses: &Licenses, who: &str) -> String {
    const WORDS: &[&str] = &[
        "1",
        "42",
        "43",
        "9",
        "6",
        "8",
        "Fabrikam",
        "Somebody",
        "NORTHWIND",
        "fay",
        "eve",
        "bob",
        "elsewhere",
        "agent",
        "Err-00000000-0000-4000-8000-000000000005",
        "00000000-0000-4000-8000-000000000003",
    ];
    let mut told = String::new();
    let mut tell = |what: &dyn Debug| told.push_str(&format!("{what:?}\n"));
    tell(&read_with_totals(licenses, who, |sql, admin, totals| {
        let first = &Start::First;
        let mut told = vec![
            format!("{:?}", entities::list(sql, admin, totals, &EntitiesFilter::default(), first, 50)?),
            format!("{:?}", pools::list(sql, admin, totals, &PoolFilter::default(), first, 50)?),
            format!("{:?}", users::list(sql, admin, &UserFilter::default(), first, 50)?),
            format!("{:?}", credentials::list(sql, admin, &CredentialFilter::default(), first, 50)?),
            format!("{:?}", offers::list(sql, admin, &OfferFilter::default(), first, 50)?),
            format!("{:?}", refusals::list(sql, admin, &RefusalFilter::default(), first, 50)?),
            format!("{:?}", history::list(sql, admin, &HistoryFilter::default(), first, 50)?),
            format!("{:?}", home::read(sql, admin, totals)?),
        ];
        for id in [1, 2, 8, 6] {
            told.push(format!("{:?}", holders::list(sql, admin, id, &HolderFilter::default(), first, 50).ok()));
            told.push(format!("{:?}", pools::use_over_time(sql, admin, id, 200).ok()));
            let filter = HistoryFilter { pool_id: Some(id), ..HistoryFilter::default() };
            told.push(format!("{:?}", history::list(sql, admin, &filter, first, 50)?));
        }
        for id in [1, 9, 42, 43, 420] {
            told.push(format!("{:?}", entities::one(sql, admin, totals, id).ok()));
            let entity = EntityFilter { id, below: true };
            let (since, until) = (at("2020-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
            let request = ReportRequest { entity, since, until };
            told.push(format!("{:?}", report::make(sql, admin, totals, &request).ok()));
            told.push(format!("{:?}", offers::one(sql, admin, id).ok()));
        }
        for word in WORDS {
            told.push(format!("{:?}", search::find(sql, admin, totals, word)?));
            let word = (*word).to_owned();
            let by = [
                HistoryFilter { user: Some(word.clone()), ..HistoryFilter::default() },
                HistoryFilter { actor: Some(word.clone()), ..HistoryFilter::default() },
            ];
            for filter in by {
                told.push(format!("{:?}", history::list(sql, admin, &filter, first, 50)?));
            }
            told.push(format!("{:?}", users::named(sql, admin, &word).ok()));
            told.push(format!("{:?}", credentials::one(sql, admin, &word).ok()));
        }
        Ok(told.join("\n"))
    }));
    told
}

#[test]
fn a_caller_of_a_subtree_sees_nothing_outside_of_it() {
    let licenses = lists();
    licenses.sql(
        "UPDATE account SET entity_id = 43 WHERE id = 2;
         UPDATE account SET entity_id = 42 WHERE id = 2;
         UPDATE entity SET note = 'of Fabrikam' WHERE id = 43;",
    );
    let by_call = seatkeeper::store::admin::ChangeOptions { reason: Some("a reason".to_owned()), ..Default::default() };
    let work = untyped(|sql: &dyn Sql, _: &Admin| sql.change("UPDATE entity SET note = 'x' WHERE id = 42", &[]));
    wait(licenses.store.change_as_admin(call("admin"), by_call, work)).expect("changed");
    let quoted = |names: &[&str]| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
    let ids = |name: &str, ids: &[i64]| {
        ids.iter()
            .flat_map(|id| [format!("{name}: {id},"), format!("{name}: {id} "), format!("{name}: Some({id})")])
            .collect::<Vec<_>>()
    };
    let of_9 = ["Somebody else", "ELSEWHERE", "eve", "elsewhere", "99", "192.0.2.9", "192.0.2.90"];
    let of_43 = ["Fabrikam", "FABRIKAM", "fay", "of Fabrikam"];
    let of_1 = ["Northwind", "NORTHWIND", "agent", "reader", "admin", "gone", "192.0.2.2", "to /backups/seats.db"];
    let of_42 = ["Contoso", "CONTOSO", "bob", "amy", "contoso", "Contoso Holding", "KEY-1", "max"];
    let of_420 = ["Contoso West", "wes", "west", "CONTOSOWEST"];
    for (who, names, entities, pools) in [
        ("contoso", [&of_9[..], &of_43, &of_1].concat(), vec![1, 9, 43, 44], vec![6, 7, 8]),
        ("west", [&of_9[..], &of_43, &of_1, &of_42].concat(), vec![1, 9, 42, 43, 44, 45], vec![1, 2, 3, 4, 6, 7, 8]),
        (
            "elsewhere",
            [&of_43[..], &of_1, &of_42, &of_420].concat(),
            vec![1, 42, 43, 44, 45, 420],
            vec![1, 2, 4, 5, 6, 7],
        ),
        ("reader", of_9.to_vec(), vec![9], vec![8]),
    ] {
        let told = everything(&licenses, who).replace("\\\"", "\"");
        let hidden = [quoted(&names), ids("entity_id", &entities), ids("parent_id", &entities), ids("pool_id", &pools)];
        for hidden in hidden.concat() {
            let place = told.find(&hidden);
            // The caller's own call may have named anything.
            let around = place.map(|at| &told[at.saturating_sub(600)..(at + 200).min(told.len())]);
            assert_eq!(around, None, "{who} is told {hidden}");
        }
    }
    // Those who may see everything do.
    let told = everything(&licenses, "cli").replace("\\\"", "\"");
    for name in [&of_9[..], &of_43, &of_1, &of_42, &of_420].concat() {
        assert!(told.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn an_explanation_tells_nothing_of_other_entities() {
    let licenses = lists();
    let explained = |entity_id: i64, username: &str| {
        let request = ExplainRequest { username: username.to_owned(), entity_id, license_type: SQL, credential: None };
        let told = read_with_totals(&licenses, "contoso", move |sql, admin, totals| {
            explain::explain(sql, admin, totals, &request, true)
        });
        let facts: Vec<String> = told.facts.iter().map(ToString::to_string).collect();
        format!("{:?} {:?} {facts:?} {:?} {:?}", told.decision, told.rule, told.facts, told.remedies)
    };
    let unknown = explained(999, "bob");
    for id in [1, 9, 43] {
        let other = explained(id, "bob");
        let renamed = other.replace(&format!("Entity {id} "), "Entity 999 ").replace(&format!("id: {id} "), "id: 999 ");
        assert_eq!(renamed, unknown, "{id}");
    }
    let others = explained(42, "fay");
    assert!(!others.contains("43") && others.contains("does not belong to your entities"), "{others}");
    let refused = try_read(&licenses, "contoso", |sql, admin| {
        let totals = Totals::read(sql, admin.now)?;
        let request = ExplainRequest {
            username: "bob".to_owned(),
            entity_id: 42,
            license_type: SQL,
            credential: Some("agent".to_owned()),
        };
        explain::explain(sql, admin, &totals, &request, true)
    });
    assert!(matches!(refused, Err(AdminRefusal::NotFound { what: "credential", .. })));
}

/// Names that break pages, exports and patterns.
pub fn hostile_names() -> Vec<String> {
    let wide: String = "\u{1F9D1}".repeat(128);
    let mut names: Vec<String> = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "&amp;&lt;",
        "'; DROP TABLE seat; --",
        "=HYPERLINK(\"http://x\";\"y\")",
        "+1+1",
        "-1",
        "@SUM(A1)",
        "100%",
        "a_b",
        "a%b",
        "[a-z]*",
        "\\",
        "$1",
        "{0}",
        "\u{202E}txt.exe",
        "\u{5E9}\u{5DC}\u{5D5}\u{5DD}",
        "Ä",
        "ä",
        "a\u{308}",
        "ß",
        "İ",
        "\u{10FFFF}",
        "~",
        "zz",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(wide);
    names
}

#[test]
fn hostile_rows_are_read_as_they_are_and_found_by_what_they_hold() {
    let licenses = lists();
    let quoted = |name: &str| name.replace('\'', "''");
    let hash = &*crate::harness::PASSWORD_HASH;
    for (number, name) in (5000..).zip(hostile_names()) {
        let name = quoted(&name);
        licenses.sql(&format!(
            "INSERT INTO entity (id, parent_id, name, customer_nr, note) VALUES ({number}, 420, '{name}', '{name}', '{name}');
             INSERT INTO account (id, username, entity_id, note) VALUES ({number}, '{name}', {number}, '{name}');
             INSERT INTO credential (user_name, password_hash, entity_id, note) VALUES ('{name}', '{hash}', {number}, '{name}');
             INSERT INTO license_offer (entity_id, serial_nr) VALUES ({number}, '{name}');
             INSERT INTO license_pool (id, entity_id, license_type, seats_total, note) VALUES ({number}, {number}, 'SqlBackup', 1, '{name}');
             UPDATE seat SET account_id = {number} WHERE pool_id = {number};"
        ));
    }
    for (number, name) in (5000_i64..).zip(hostile_names()) {
        for who in ["cli", "west"] {
            let text = Some(name.clone());
            let found = read_with_totals(&licenses, who, move |sql, admin, totals| {
                let first = &Start::First;
                let filter = EntitiesFilter { text: text.clone(), ..EntitiesFilter::default() };
                let entities = entities::list(sql, admin, totals, &filter, first, 50)?.rows;
                let filter = UserFilter { text: text.clone(), ..UserFilter::default() };
                let users = users::list(sql, admin, &filter, first, 50)?.rows;
                let filter = UserFilter { starts_with: text.clone(), holds: Some(true), ..UserFilter::default() };
                let started = users::list(sql, admin, &filter, first, 50)?.rows;
                let filter = CredentialFilter { starts_with: text.clone(), ..CredentialFilter::default() };
                let credentials = credentials::list(sql, admin, &filter, first, 50)?.rows;
                let filter = OfferFilter { text: text.clone(), ..OfferFilter::default() };
                let offers = offers::list(sql, admin, &filter, first, 50)?.rows;
                let holders =
                    holders::list(sql, admin, number, &HolderFilter { text: text.clone(), active: None }, first, 50)?;
                let filter =
                    HistoryFilter { user: text.clone(), actions: vec!["account-create".into()], ..Default::default() };
                let events = history::list(sql, admin, &filter, first, 50)?.rows;
                let hits = search::find(sql, admin, totals, text.as_deref().unwrap_or_default())?;
                Ok(vec![
                    entities.iter().map(|row| (row.id, row.name.clone())).collect::<Vec<_>>(),
                    users.iter().map(|row| (row.id, row.username.clone())).collect(),
                    started.iter().map(|row| (row.id, row.username.clone())).collect(),
                    credentials.iter().map(|row| (row.entity_id, row.user_name.clone())).collect(),
                    offers.iter().map(|row| (row.entity_id, row.serial_nr.clone().unwrap_or_default())).collect(),
                    holders.rows.iter().filter_map(|row| row.account.clone()).map(|a| (a.id, a.username)).collect(),
                    events
                        .iter()
                        .map(|row| (row.account_id.unwrap_or(0), row.username.clone().unwrap_or_default()))
                        .collect(),
                    hits.users.iter().map(|row| (row.id, row.username.clone())).collect(),
                ])
            });
            for (at, found) in found.iter().enumerate() {
                assert!(found.contains(&(number, name.clone())), "{who}, list {at}: {name:?} is not in {found:?}");
                let has_it = |other: &String| other.to_lowercase().contains(&name.to_lowercase());
                assert!(found.iter().all(|(_, other)| has_it(other)), "{who}, list {at}: {name:?} finds {found:?}");
            }
        }
    }
    // What can stand in no row finds nothing and breaks nothing.
    for text in ["\0", "a\0b", "\u{FFFD}", " \t ", ""] {
        let found = read_with_totals(&licenses, "west", move |sql, admin, totals| {
            let filter = HistoryFilter {
                user: Some(text.to_owned()),
                actor: Some(text.to_owned()),
                request_id: Some(text.to_owned()),
                ..HistoryFilter::default()
            };
            history::list(sql, admin, &filter, &Start::First, 50)?;
            let filter =
                UserFilter { starts_with: Some(text.to_owned()), text: Some(text.to_owned()), ..Default::default() };
            users::list(sql, admin, &filter, &Start::First, 50)?;
            let filter = CredentialFilter { starts_with: Some(text.to_owned()), ..Default::default() };
            credentials::list(sql, admin, &filter, &Start::First, 50)?;
            search::find(sql, admin, totals, text)
        });
        assert!(text.trim().is_empty() || found.is_empty() || text.contains('\0'), "{text:?}: {found:?}");
    }
}

#[test]
fn pages_by_key_have_every_row_once_also_with_equal_names() {
    let licenses = lists();
    let mut script = String::new();
    for number in 6000..6040 {
        script.push_str(&format!(
            "INSERT INTO entity (id, parent_id, name) VALUES ({number}, 45, 'Same name');
             INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES ({number}, {number}, 'SqlBackup', 2);
             INSERT INTO account (id, username, entity_id) VALUES ({number}, 'user {number}', {number});"
        ));
    }
    script.push_str("UPDATE seat SET account_id = pool_id WHERE pool_id >= 6000 AND seat_no = 1;");
    script.push_str(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (7000, 45, 'SqlBackup', 90);",
    );
    licenses.sql(&script);
    for size in [1, 7, 40, ROWS_MAX] {
        for who in ["cli", "contoso"] {
            let licenses = &licenses;
            let entities = all_pages(size, |start, limit| {
                let start = start.clone();
                read_with_totals(licenses, who, move |sql, admin, totals| {
                    entities::list(sql, admin, totals, &EntitiesFilter::default(), &start, limit)
                })
            });
            assert_eq!(entities.iter().filter(|row| row.name == "Same name").count(), 40, "{who}");
            for order in [PoolOrder::Id, PoolOrder::Use, PoolOrder::Expiry] {
                let pools = all_pages(size, |start, limit| {
                    let start = start.clone();
                    read_with_totals(licenses, who, move |sql, admin, totals| {
                        let filter = PoolFilter { order, ..PoolFilter::default() };
                        pools::list(sql, admin, totals, &filter, &start, limit)
                    })
                });
                assert_eq!(pools.iter().filter(|row| row.id >= 6000).count(), 41, "{who} {order:?}");
            }
            let users = all_pages(size, |start, limit| {
                let start = start.clone();
                read(licenses, who, move |sql, admin| users::list(sql, admin, &UserFilter::default(), &start, limit))
            });
            assert_eq!(users.iter().filter(|row| row.id >= 6000).count(), 40, "{who}");
            let history = all_pages(size, |start, limit| {
                let start = start.clone();
                let filter = HistoryFilter { actions: vec!["assign".to_owned()], ..HistoryFilter::default() };
                read(licenses, who, move |sql, admin| history::list(sql, admin, &filter, &start, limit))
            });
            assert!(history.len() >= 40 && history.windows(2).all(|two| two[0].id > two[1].id), "{who}");
            let refusals = all_pages(size, |start, limit| {
                let start = start.clone();
                read(licenses, who, move |sql, admin| {
                    refusals::list(sql, admin, &RefusalFilter::default(), &start, limit)
                })
            });
            assert_eq!(refusals.len(), if who == "cli" { 7 } else { 4 });
            let of_pool = all_pages(size, |start, limit| {
                let start = start.clone();
                let filter = HistoryFilter { pool_id: Some(1), ..HistoryFilter::default() };
                read(licenses, who, move |sql, admin| history::list(sql, admin, &filter, &start, limit))
            });
            assert_eq!(of_pool.len(), 4, "{who}: the creation and three assignments");
        }
    }
    let _: LicenseType = SQL;
}
