//! How long a page for administrators takes over 10 million seats, 100,000 entities and 6 million events, on SQLite. Makes a file of 3 GB in
//! the temporary directory, prints a table, and removes it.
//!
//! ```text
//! cargo bench --bench pages
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use seatkeeper::auth;
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{LicenseType, Role};
use seatkeeper::store::admin::credentials::{self, CredentialFilter};
use seatkeeper::store::admin::entities::{self, EntitiesFilter};
use seatkeeper::store::admin::explain::{self, ExplainRequest};
use seatkeeper::store::admin::history::{self, HistoryFilter};
use seatkeeper::store::admin::holders::{self, HolderFilter};
use seatkeeper::store::admin::pools::{self, PoolFilter, PoolOrder};
use seatkeeper::store::admin::refusals::{self, RefusalFilter};
use seatkeeper::store::admin::report::{self, ReportRequest};
use seatkeeper::store::admin::totals::{Totals, TotalsCache};
use seatkeeper::store::admin::users::{self, UserFilter};
use seatkeeper::store::admin::{Admin, EntityFilter, Key, Sql, Start, Stop, home, search, typed, untyped};
use seatkeeper::store::{self, Actor, Call, Database, Options};

/// 100,000 entities below one root: 100 partners, and companies below those. Pool 1 of company 102 has 5 million seats, 4.9 million of them
/// taken by its users; 100,000 pools of other companies have 50 seats, 10 of them taken. An event for each, a credential for each company.
/// The events have hashes, though not those of a chain: else the store would first make them.
fn seed(hash: &str) -> String {
    format!(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; PRAGMA temp_store = MEMORY; BEGIN;
         INSERT INTO entity (id, parent_id, name)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
             SELECT i, CASE WHEN i = 1 THEN NULL WHEN i < 102 THEN 1 ELSE 2 + i % 100 END, printf('Company %06d', i) FROM n;
         INSERT INTO credential (user_name, password_hash, entity_id, role)
             SELECT printf('agent-%06d', id), '{hash}', id, 'admin' FROM entity;
         INSERT INTO credential_use (user_name, last_used_at, failures) SELECT user_name, '2026-06-01T00:00:00Z', entity_id % 1000 = 7 FROM credential;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, seats_in_use, seats_in_use_max, event_id, events, expires_at)
             VALUES (1, 102, 'SqlBackup', 5000000, 4900000, 4900000, 5100000, 4900001, NULL);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, seats_in_use, seats_in_use_max, event_id, events, expires_at)
             WITH RECURSIVE n (k) AS (SELECT 2 UNION ALL SELECT k + 1 FROM n WHERE k < 100001)
             SELECT k, 103 + (k - 2) % 99898, 'ExchangeBackup', 50, 10, 10, 5200000 + (k - 2) * 10 + 10, 11,
                    strftime('%Y-%m-%dT%H:%M:%SZ', 1790000000 + k * 600, 'unixepoch') FROM n;
         INSERT INTO account (id, username, entity_id)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4900000)
             SELECT i, printf('user-%08d', i), 102 FROM n;
         INSERT INTO account (id, username, entity_id)
             SELECT 4900000 + (id - 2) * 10 + j, printf('user-%08d', 4900000 + (id - 2) * 10 + j), entity_id
               FROM license_pool, (SELECT 1 AS j UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5
                                   UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9 UNION ALL SELECT 10)
              WHERE id > 1 ORDER BY 1;
         INSERT INTO seat (pool_id, seat_no, license_type, account_id)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000000)
             SELECT 1, i, 'SqlBackup', CASE WHEN i <= 4900000 THEN i END FROM n;
         INSERT INTO seat (pool_id, seat_no, license_type, account_id)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
             SELECT id, i, 'ExchangeBackup', CASE WHEN i <= 10 THEN 4900000 + (id - 2) * 10 + i END FROM license_pool, n WHERE id > 1;
         INSERT INTO audit_event (id, at, action, actor, entity_id, license_type, pool_id, new_values, pool_events, hash)
             SELECT id, strftime('%Y-%m-%dT%H:%M:%fZ', 1767225600 + id / 4, 'unixepoch'), 'pool-create', 'sql', entity_id, license_type, id,
                    json_object('seats_total', seats_total), 1, zeroblob(32) FROM license_pool;
         INSERT INTO audit_event (id, at, action, actor, request_id, pool_id, seat_no, account_id, username, previous_id, pool_events, hash)
             SELECT 200000 + i, strftime('%Y-%m-%dT%H:%M:%fZ', 1767225600 + (200000 + i) / 4, 'unixepoch'), 'assign', 'agent-000001',
                    printf('00000000-0000-4000-8000-%012d', i), 1, i, i, printf('user-%08d', i), CASE WHEN i = 1 THEN 1 ELSE 199999 + i END, i + 1, zeroblob(32)
               FROM (SELECT id AS i FROM account WHERE id <= 4900000);
         INSERT INTO audit_event (id, at, action, actor, request_id, pool_id, seat_no, account_id, username, previous_id, pool_events, hash)
             SELECT 5200000 + account_id - 4900000, strftime('%Y-%m-%dT%H:%M:%fZ', 1767225600 + (5200000 + account_id - 4900000) / 4, 'unixepoch'),
                    'assign', 'agent-000001', printf('00000000-0000-4000-8001-%012d', account_id), pool_id, seat_no, account_id,
                    printf('user-%08d', account_id), CASE WHEN seat_no = 1 THEN pool_id ELSE 5200000 + account_id - 4900000 - 1 END, seat_no + 1, zeroblob(32)
               FROM seat WHERE pool_id > 1 AND account_id IS NOT NULL;
         INSERT INTO refusal (id, at, request_id, actor, operation, code, message, entity_id, username, license_type)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
             SELECT i, strftime('%Y-%m-%dT%H:%M:%SZ', 1780000000 + i, 'unixepoch'), printf('00000000-0000-4000-8002-%012d', i), 'agent-000102',
                    'AssignLicense', 'NoFreeSeat', 'All seats are in use', 102 + i % 500, printf('user-%08d', i), 'SqlBackup' FROM n;
         COMMIT;
         PRAGMA journal_mode = WAL;"
    )
}

/// Readings of each page. Other programs on the machine make some of them longer, so the least and the median are told.
const READINGS: usize = 15;
const PAGE: usize = 50;

type Work = Box<dyn Fn(&dyn Sql, &Admin, &Totals) -> Result<usize, Stop> + Send + Sync>;

fn main() {
    let directory = std::env::temp_dir().join(format!("seatkeeper-pages-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&directory).expect("a temporary directory");
    let file = directory.join("seats.db");
    let measured = std::panic::catch_unwind(|| measure(&file));
    let _ = std::fs::remove_dir_all(&directory);
    if measured.is_err() {
        std::process::exit(1);
    }
}

fn measure(file: &std::path::Path) {
    let hash = auth::hash_password("a password for this benchmark").expect("a hash");
    store::create(&Database::File(file.to_owned())).expect("a file");
    let begun = Instant::now();
    let connection = rusqlite::Connection::open(file).expect("open");
    // Nothing guards the rows here: they are made as the guards would have them.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("triggers off");
    connection.execute_batch(&seed(&hash)).expect("seeded");
    drop(connection);
    println!("made in {:?}, {} MB", begun.elapsed(), file.metadata().expect("file").len() / 1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let store =
        store::open(&Database::File(file.to_owned()), &Options::default(), Arc::new(Metrics::new())).expect("open");
    let call = |entity_id: i64| {
        let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("a time");
        let actor = match entity_id {
            0 => Actor::command_line(),
            id => Actor::Credential(seatkeeper::store::Credential {
                user_name: format!("agent-{id:06}").into(),
                password_hash: hash.as_str().into(),
            }),
        };
        Call { id: uuid::Uuid::new_v4(), now, actor, name: None, trail: None }
    };
    let cache = Arc::new(TotalsCache::default());
    let run = |who: i64, work: &Arc<Work>| {
        let (work, cache) = (Arc::clone(work), Arc::clone(&cache));
        let work = untyped(move |sql, admin| {
            let totals = cache.get(sql, admin.now)?;
            let begun = Instant::now();
            let rows = work(sql, admin, &totals)?;
            Ok((rows, begun.elapsed()))
        });
        let read = runtime.block_on(store.read_as_admin(call(who), Role::Reader, work)).expect("the store works");
        typed::<(usize, Duration)>(read.expect("read"))
    };
    let begun = Instant::now();
    let nothing: Arc<Work> = Arc::new(Box::new(|_, _, _| Ok(0)));
    run(0, &nothing);
    println!("totals of all entities and pools, once in a while: {} ms", begun.elapsed().as_millis());

    println!("| page | caller | rows | least ms | median ms |\n|---|---|--:|--:|--:|");
    let (mut slowest, mut name_of_slowest) = (Duration::ZERO, "");
    for (name, work) in pages() {
        let work = Arc::new(work);
        for (who, caller) in
            [(0, "all"), (1, "root"), (2, "partner"), (102, "company with 4.9 M users"), (5000, "small company")]
        {
            let mut times = Vec::new();
            let mut rows = 0;
            for _ in 0..READINGS {
                let (found, took) = run(who, &work);
                rows = found;
                times.push(took);
            }
            times.sort_unstable();
            let (least, median) = (times[0], times[READINGS / 2]);
            let ms = |took: Duration| took.as_micros() as f64 / 1000.0;
            println!("| {name} | {caller} | {rows} | {:.1} | {:.1} |", ms(least), ms(median));
            // A report is no page: it reads up to 200,000 events.
            if least > slowest && !name.starts_with("report") {
                (slowest, name_of_slowest) = (least, name);
            }
        }
    }
    println!("slowest: {name_of_slowest}, {slowest:?}");
    store.close();
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn after_name(name: &str) -> Start {
    Start::After(Key { text: name.to_owned(), ..Key::default() })
}

fn after_id(id: i64) -> Start {
    Start::After(Key { id, ..Key::default() })
}

fn pages() -> Vec<(&'static str, Work)> {
    let mut pages: Vec<(&'static str, Work)> = vec![
        ("home", Box::new(|sql, admin, totals| home::read(sql, admin, totals).map(|_| 1))),
        (
            "search for a user",
            Box::new(|sql, admin, totals| Ok(search::find(sql, admin, totals, "user-04")?.users.len())),
        ),
        (
            "search for a name",
            Box::new(|sql, admin, totals| Ok(search::find(sql, admin, totals, "y 0999")?.entities.len())),
        ),
        (
            "search for a request",
            Box::new(|sql, admin, totals| {
                Ok(search::find(sql, admin, totals, "00000000-0000-4000-8001-000004900123")?.events.len())
            }),
        ),
        (
            "explain",
            Box::new(|sql, admin, totals| {
                let entity_id = admin.entity_id.unwrap_or(102);
                let username = "user-00000042".to_owned();
                let request =
                    ExplainRequest { username, entity_id, license_type: LicenseType::SqlBackup, credential: None };
                Ok(explain::explain(sql, admin, totals, &request, true)?.facts.len())
            }),
        ),
        (
            "report of a month",
            Box::new(|sql, admin, totals| {
                let entity = EntityFilter { id: admin.entity_id.unwrap_or(102), below: true };
                let since = "2026-01-10T00:00:00Z".parse().expect("a time");
                let request = ReportRequest { entity, since, until: Timestamp::MAX };
                Ok(report::make(sql, admin, totals, &request)?.pools.len())
            }),
        ),
    ];
    let mut entities = |name, filter: EntitiesFilter| {
        let work: Work = Box::new(move |sql, admin, totals| {
            Ok(entities::list(sql, admin, totals, &filter, &Start::First, PAGE)?.rows.len())
        });
        pages.push((name, work));
    };
    entities("entities", EntitiesFilter::default());
    entities("entities, top", EntitiesFilter { top: true, ..Default::default() });
    entities("entities below 2", EntitiesFilter { parent: Some(2), ..Default::default() });
    entities("entities with text", EntitiesFilter { text: text("77"), ..Default::default() });
    let mut list = |name, filter: PoolFilter| {
        let work: Work = Box::new(move |sql, admin, totals| {
            Ok(pools::list(sql, admin, totals, &filter, &Start::First, PAGE)?.rows.len())
        });
        pages.push((name, work));
    };
    list("pools", PoolFilter::default());
    list("pools, fullest", PoolFilter { order: PoolOrder::Use, ..Default::default() });
    list("pools, nearly full", PoolFilter { percent_min: Some(90), ..Default::default() });
    list(
        "pools, expiring",
        PoolFilter { expires_within_days: Some(200), order: PoolOrder::Expiry, ..Default::default() },
    );
    let pool = |admin: &Admin| match admin.entity_id {
        None | Some(1 | 102) => 1,
        Some(id) => id - 101,
    };
    pages.push((
        "pool, use over time",
        Box::new(move |sql, admin, _| {
            Ok(pools::use_over_time(sql, admin, pool(admin), 200).map_or(0, |use_| use_.points.len()))
        }),
    ));
    for (name, start) in [
        ("holders", Start::First),
        ("holders, middle", after_id(2_500_000)),
        ("holders, end", Start::Before(Key { id: i64::MAX, ..Key::default() })),
    ] {
        pages.push((
            name,
            Box::new(move |sql, admin, _| {
                let page = holders::list(sql, admin, pool(admin), &HolderFilter::default(), &start, PAGE);
                Ok(page.map_or(0, |page| page.rows.len()))
            }),
        ));
    }
    pages.push((
        "holders with a text that none has",
        Box::new(move |sql, admin, _| {
            let filter = HolderFilter { text: text("nothing"), active: None };
            Ok(holders::list(sql, admin, pool(admin), &filter, &Start::First, PAGE).map_or(0, |page| page.rows.len()))
        }),
    ));
    for (name, filter, start) in [
        ("users", UserFilter::default(), Start::First),
        ("users, middle", UserFilter::default(), after_name("user-03000000")),
        ("users, end", UserFilter::default(), Start::Before(Key { text: "zzz".to_owned(), ..Key::default() })),
        ("users by the beginning", UserFilter { starts_with: text("user-0490"), ..Default::default() }, Start::First),
        ("users with a text that none has", UserFilter { text: text("nothing"), ..Default::default() }, Start::First),
        ("users without a seat", UserFilter { holds: Some(false), ..Default::default() }, Start::First),
        (
            "users of 5000",
            UserFilter { entity: Some(EntityFilter { id: 5000, below: true }), ..Default::default() },
            Start::First,
        ),
        (
            "users below 2",
            UserFilter { entity: Some(EntityFilter { id: 2, below: true }), ..Default::default() },
            Start::First,
        ),
    ] {
        pages.push((
            name,
            Box::new(move |sql, admin, _| Ok(users::list(sql, admin, &filter, &start, PAGE)?.rows.len())),
        ));
    }
    pages.push((
        "user",
        Box::new(|sql, admin, _| Ok(users::named(sql, admin, "user-00000042").map_or(0, |user| user.held.len()))),
    ));
    for (name, filter) in [
        ("credentials", CredentialFilter::default()),
        ("credentials that fail", CredentialFilter { failing: true, ..Default::default() }),
    ] {
        let work: Work =
            Box::new(move |sql, admin, _| Ok(credentials::list(sql, admin, &filter, &Start::First, PAGE)?.rows.len()));
        pages.push((name, work));
    }
    for (name, filter) in [
        ("refusals", RefusalFilter::default()),
        ("refusals of a user", RefusalFilter { user: text("user-00000042"), ..Default::default() }),
    ] {
        let work: Work =
            Box::new(move |sql, admin, _| Ok(refusals::list(sql, admin, &filter, &Start::First, PAGE)?.rows.len()));
        pages.push((name, work));
    }
    let at = |text: &str| text.parse::<Timestamp>().ok();
    for (name, filter, start) in [
        ("history", HistoryFilter::default(), Start::First),
        ("history, middle", HistoryFilter::default(), after_id(2_000_000)),
        (
            "history until a day",
            HistoryFilter { until: at("2026-01-05T00:00:00Z"), ..Default::default() },
            Start::First,
        ),
        ("history of a user", HistoryFilter { user: text("user-00000042"), ..Default::default() }, Start::First),
        ("history of pool 1", HistoryFilter { pool_id: Some(1), ..Default::default() }, Start::First),
        (
            "history of 5000",
            HistoryFilter { entity: Some(EntityFilter { id: 5000, below: true }), ..Default::default() },
            Start::First,
        ),
        (
            "history of a request",
            HistoryFilter { request_id: text("00000000-0000-4000-8000-000000000042"), ..Default::default() },
            Start::First,
        ),
    ] {
        pages.push((
            name,
            Box::new(move |sql, admin, _| Ok(history::list(sql, admin, &filter, &start, PAGE)?.rows.len())),
        ));
    }
    pages
}
