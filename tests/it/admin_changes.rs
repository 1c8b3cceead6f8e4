//! What administrators change ([`seatkeeper::store::admin`]): rows and seats, on both databases. Each case says what the history has of
//! it, or why it is refused.

use std::sync::{Arc, LazyLock};

use seatkeeper::seats::{LicenseType, SeatId};
use seatkeeper::store::admin::edit::{Edit, Key, OfferRequest, Table, Values, apply, apply_all, set_offer};
use seatkeeper::store::admin::seats::{
    Assign, Leaver, LeaverSeats, Release, Resize, Source, Taken, Transfer, Why, assign, leave, proposals, release,
    resize, transfer,
};
use seatkeeper::store::admin::undo::{self, Undo, Undone};
use seatkeeper::store::admin::{self, Admin, AdminRefusal, ChangeOptions, Changed, Sql, Stop, Value};
use seatkeeper::store::history::Event;
use tokio::runtime::Runtime;

use crate::harness::{PASSWORD_HASH, on_postgres};
use crate::licenses::{DISK, EXCHANGE, Licenses, SQL, call};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime")
});

/// Of no password that anybody knows.
pub const OTHER_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

/// A piece of work, and what its answer comes to in a test.
pub type Task = Arc<dyn Fn(&dyn Sql, &Admin) -> Result<(), Stop> + Send + Sync>;

/// The store of [`crate::licenses`], as administrators use it.
pub struct Desk(pub Licenses);

impl Desk {
    pub fn new(more: &str) -> Desk {
        let licenses = Licenses::new();
        licenses.sql(more);
        Desk(licenses)
    }

    pub fn change<T: Send + Sync + 'static>(
        &self,
        who: &str,
        options: ChangeOptions,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<Changed<T>, AdminRefusal> {
        RUNTIME.block_on(admin::change(&*self.0.store, call(who), options, work)).expect("the store works")
    }

    /// Runs a task; what the history has of it.
    pub fn run(&self, who: &str, task: &Task) -> Result<Changed<()>, AdminRefusal> {
        let task = Arc::clone(task);
        self.change(who, ChangeOptions::default(), move |sql, admin| task(sql, admin))
    }

    pub fn undo(&self, who: &str, changed: &[Event]) -> Result<Changed<Undone>, AdminRefusal> {
        let request_id = changed[0].request_id.as_deref().expect("of a call").parse().expect("a UUID");
        let events = Some((changed[0].id, changed[changed.len() - 1].id));
        let options = ChangeOptions { reason: Some(undo::reason(request_id, None)), ..ChangeOptions::default() };
        self.change(who, options, move |sql, admin| undo::undo(sql, admin, &Undo { request_id, events }))
    }

    /// What the tables hold: not the history, not the counters, and of seats not their numbers, which are new where a pool has grown.
    pub fn tables(&self) -> Vec<String> {
        let session = self.0.database().session();
        let mut rows = Vec::new();
        for query in [
            "SELECT 'entity', id, parent_id, name, active, owner_name, owner_description, serial_nr, shop_url, next_check_at, maintenance_at,
                    admin_warning_at, expires_at, grace_at, customer_nr, note FROM entity ORDER BY id",
            "SELECT 'credential', user_name, password_hash, entity_id, role, active, note FROM credential ORDER BY user_name",
            "SELECT 'account', id, username, entity_id, active, note FROM account ORDER BY id",
            "SELECT 'pool', id, entity_id, license_type, seats_total, starts_at, expires_at, product_key, license_data, note
               FROM license_pool ORDER BY id",
            "SELECT 'seat', pool_id, license_type, account_id, product_key, license_data FROM seat
              ORDER BY pool_id, license_type, account_id, product_key",
            "SELECT 'offer', entity_id, company_name, serial_nr, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at
               FROM license_offer ORDER BY entity_id",
            "SELECT 'module', entity_id, license_type, seats_total FROM license_offer_module ORDER BY entity_id, license_type",
        ] {
            let mut lines = session.lines(query);
            // Nulls sort first on one database and last on the other.
            lines.sort_unstable();
            rows.extend(lines);
        }
        rows
    }
}

/// A test with many desks must not leave its connections to the server open.
impl Drop for Desk {
    fn drop(&mut self) {
        self.0.store.close();
    }
}

/// An event as one line: the action, what it is about, and what became of it.
pub fn line(event: &Event) -> String {
    let mut line = event.action.clone();
    let mut add = |text: String| line.push_str(&format!(" {text}"));
    if let (None, Some(id)) = (event.pool_id, event.entity_id) {
        add(format!("e{id}"));
    }
    if let Some(id) = event.pool_id {
        add(event.seat_no.map_or_else(|| format!("p{id}"), |number| format!("p{id}.{number}")));
    }
    if event.action.starts_with("offer-module") {
        add(event.license_type.clone().unwrap_or_default());
    }
    if let Some(name) = &event.username {
        add(name.clone());
    }
    match (&event.old_values, &event.new_values) {
        (None, None) => {}
        (old, new) => add(format!("{} > {}", old.as_deref().unwrap_or(""), new.as_deref().unwrap_or(""))),
    }
    line
}

pub fn lines(events: &[Event]) -> Vec<String> {
    events.iter().map(line).collect()
}

pub fn task<T>(work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static) -> Task {
    Arc::new(move |sql, admin| work(sql, admin).map(drop))
}

pub fn insert(table: Table, values: Values) -> Task {
    task(move |sql, admin| apply(sql, admin, &Edit::Insert { table, values: values.clone() }))
}

pub fn update(table: Table, key: Key, after: Values) -> Task {
    let edit = Edit::Update { table, key, before: Vec::new(), after };
    task(move |sql, admin| apply(sql, admin, &edit))
}

pub fn delete(table: Table, key: Key) -> Task {
    let edit = Edit::Delete { table, key, before: Vec::new() };
    task(move |sql, admin| apply(sql, admin, &edit))
}

pub fn text(text: &str) -> Value {
    Value::from(text)
}

pub fn name(name: &str) -> Key {
    Key::Name(name.to_owned())
}

pub fn assigned(username: &str, source: Source, license_type: Option<LicenseType>) -> Task {
    let request = Assign { username: username.to_owned(), source, license_type, enroll: true };
    task(move |sql, admin| assign(sql, admin, &request))
}

pub fn released(username: &str, license_type: Option<LicenseType>) -> Task {
    let request = Release::OfUser { username: username.to_owned(), license_type };
    task(move |sql, admin| release(sql, admin, &request))
}

pub fn transferred(from: &str, to: &str, license_type: Option<LicenseType>) -> Task {
    let request = Transfer { from: from.to_owned(), to: to.to_owned(), license_type, enroll: true };
    task(move |sql, admin| transfer(sql, admin, &request))
}

pub fn left(username: &str, seats: LeaverSeats, deactivate: bool) -> Task {
    let request = Leaver { username: username.to_owned(), seats, deactivate, enroll: true };
    task(move |sql, admin| leave(sql, admin, &request))
}

pub fn resized(pool_id: i64, seats_total: i64, taken: &[(i64, i64)]) -> Task {
    let release = taken.iter().map(|(seat_no, account_id)| seat(pool_id, *seat_no, *account_id)).collect();
    let request = Resize { pool_id, before: None, seats_total, release };
    task(move |sql, admin| resize(sql, admin, &request))
}

pub fn seat(pool_id: i64, seat_no: i64, account_id: i64) -> Taken {
    Taken { pool_id, seat_no, account_id }
}

/// bob and amy hold seats of pool 1, bob one of pool 4, and the user that is not active one of pool 2, which has expired.
pub const HOLDERS: &str = "UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1;
    UPDATE seat SET account_id = 2 WHERE pool_id = 1 AND seat_no = 2; UPDATE seat SET account_id = 1 WHERE pool_id = 4 AND seat_no = 5;
    UPDATE seat SET account_id = 6 WHERE pool_id = 2 AND seat_no = 1;";

/// Every use case on rows: what an administrator asks for, and what the history has of it.
#[test]
fn rows_are_made_changed_and_deleted() {
    let hash = PASSWORD_HASH.as_str();
    let offer = OfferRequest {
        entity_id: 45,
        values: vec![("company_name", text("East")), ("expires_at", text("2028-01-31"))],
        modules: [None, Some(5), Some(2)],
    };
    let other_offer =
        OfferRequest { values: vec![("serial_nr", text("7"))], modules: [Some(1), Some(6), None], ..offer.clone() };
    let several = [43, 44].map(|id| Edit::Update {
        table: Table::Entity,
        key: Key::Id(id),
        before: Vec::new(),
        after: vec![("active", true.into()), ("note", text("seen"))],
    });
    let cases: Vec<(Task, &[&str])> = vec![
        (
            insert(Table::Entity, vec![("id", 500.into()), ("parent_id", 42.into()), ("name", text("Müller & Söhne"))]),
            &[r#"entity-create e500  > {"parent_id":42,"name":"Müller & Söhne","active":1}"#],
        ),
        (
            update(
                Table::Entity,
                Key::Id(500),
                vec![("name", text("Müller")), ("parent_id", 43.into()), ("grace_at", text("9999-12-31"))],
            ),
            &[
                r#"entity-change e500 {"parent_id":42,"name":"Müller & Söhne","grace_at":null} > {"parent_id":43,"name":"Müller","grace_at":"9999-12-31T00:00:00Z"}"#,
            ],
        ),
        (
            update(Table::Entity, Key::Id(500), vec![("active", false.into()), ("owner_name", text("MUELLER"))]),
            &[r#"entity-change e500 {"active":1,"owner_name":null} > {"active":0,"owner_name":"MUELLER"}"#],
        ),
        (
            delete(Table::Entity, Key::Id(500)),
            &[
                r#"entity-delete e500 {"parent_id":43,"name":"Müller","active":0,"owner_name":"MUELLER","grace_at":"9999-12-31T00:00:00Z"} > "#,
            ],
        ),
        (
            task(move |sql, admin| apply_all(sql, admin, &several)),
            &[
                r#"entity-change e43 {"note":null} > {"note":"seen"}"#,
                r#"entity-change e44 {"active":0,"note":null} > {"active":1,"note":"seen"}"#,
            ],
        ),
        (
            insert(
                Table::Credential,
                vec![("user_name", text(" Otto ")), ("password_hash", text(hash)), ("entity_id", 42.into())],
            ),
            &[
                r#"credential-create e42 Otto  > {"user_name":"Otto","password_hash":"secret","entity_id":42,"role":"agent","active":1}"#,
            ],
        ),
        (
            update(Table::Credential, name("OTTO"), vec![("role", text("admin")), ("user_name", text("otto"))]),
            &[
                r#"credential-change e42 otto {"user_name":"Otto","role":"agent"} > {"user_name":"otto","role":"admin"}"#,
            ],
        ),
        (
            task(|sql, admin| {
                apply(sql, admin, &Edit::password("otto", &PASSWORD_HASH.replace("$v=19$m=", "$v=19$m=1")))
            }),
            &[r#"credential-change e42 otto {"password_hash":"secret"} > {"password_hash":"secret"}"#],
        ),
        (
            delete(Table::Credential, name("otto")),
            &[
                r#"credential-delete e42 otto {"user_name":"otto","password_hash":"secret","entity_id":42,"role":"admin","active":1} > "#,
            ],
        ),
        (
            insert(Table::Account, vec![("id", 70.into()), ("username", text("new user")), ("entity_id", 420.into())]),
            &[r#"account-create e420 new user  > {"username":"new user","entity_id":420,"active":1}"#],
        ),
        (
            update(
                Table::Account,
                name("NEW USER"),
                vec![("username", text("renamed")), ("entity_id", 43.into()), ("active", false.into())],
            ),
            &[
                r#"account-change e43 renamed {"username":"new user","entity_id":420,"active":1} > {"username":"renamed","entity_id":43,"active":0}"#,
            ],
        ),
        (
            insert(
                Table::Pool,
                vec![
                    ("id", 50.into()),
                    ("entity_id", 45.into()),
                    ("license_type", text("SqlBackup")),
                    ("seats_total", 3.into()),
                    ("expires_at", text("2027-01-31")),
                    ("license_data", text("00ff")),
                ],
            ),
            &[
                r#"pool-create p50  > {"entity_id":45,"license_type":"SqlBackup","seats_total":3,"expires_at":"2027-01-31T00:00:00Z","license_data":"00FF"}"#,
            ],
        ),
        (
            update(
                Table::Pool,
                Key::Id(50),
                vec![("seats_total", 5.into()), ("expires_at", Value::Null), ("license_data", Value::Bytes(vec![1]))],
            ),
            &[
                r#"pool-change p50 {"seats_total":3,"expires_at":"2027-01-31T00:00:00Z","license_data":"00FF"} > {"seats_total":5,"expires_at":null,"license_data":"01"}"#,
            ],
        ),
        (
            update(Table::Seat, Key::Seat(50, 5), vec![("product_key", text("K5"))]),
            &[r#"seat-change p50.5 {"product_key":null} > {"product_key":"K5"}"#],
        ),
        (
            delete(Table::Pool, Key::Id(50)),
            &[r#"pool-delete p50 {"entity_id":45,"license_type":"SqlBackup","seats_total":5,"license_data":"01"} > "#],
        ),
        (
            task(move |sql, admin| set_offer(sql, admin, &offer)),
            &[
                r#"offer-create e45  > {"company_name":"East","expires_at":"2028-01-31T00:00:00Z"}"#,
                r#"offer-module-create e45 SqlBackup  > {"seats_total":5}"#,
                r#"offer-module-create e45 ExchangeBackup  > {"seats_total":2}"#,
            ],
        ),
        (
            task(move |sql, admin| set_offer(sql, admin, &other_offer)),
            &[
                r#"offer-change e45 {"company_name":"East","serial_nr":null,"expires_at":"2028-01-31T00:00:00Z"} > {"company_name":null,"serial_nr":"7","expires_at":null}"#,
                r#"offer-module-create e45 SkraftDiskImageV5  > {"seats_total":1}"#,
                r#"offer-module-change e45 SqlBackup {"seats_total":5} > {"seats_total":6}"#,
                r#"offer-module-delete e45 ExchangeBackup {"seats_total":2} > "#,
            ],
        ),
        (
            delete(Table::Offer, Key::Id(45)),
            &[
                r#"offer-module-delete e45 SkraftDiskImageV5 {"seats_total":1} > "#,
                r#"offer-module-delete e45 SqlBackup {"seats_total":6} > "#,
                r#"offer-delete e45 {"serial_nr":"7"} > "#,
            ],
        ),
    ];
    let desk = Desk::new("");
    for (task, expected) in &cases {
        let changed = desk.run("admin", task).expect(expected[0]);
        let mut said = lines(&changed.events);
        // The modules of an offer go in any order.
        if said[0].starts_with("offer-module-delete") {
            said[..expected.len() - 1].sort_unstable();
        }
        assert_eq!(said, *expected);
        assert!(changed.kept && changed.events.iter().all(|event| event.actor == "admin"));
    }
    desk.0.is_sound();
}

/// Every use case on seats.
#[test]
fn seats_are_assigned_released_and_transferred() {
    let desk = Desk::new("");
    let of = |number| Source::Entity(number);
    let in_expired = "UPDATE seat SET account_id = 2 WHERE pool_id = 2 AND seat_no = 3";
    let some = |seats: Vec<Taken>| task(move |sql, admin| release(sql, admin, &Release::Seats(seats.clone())));
    for (seed, task, expected) in [
        ("", assigned("BOB", of(42), Some(SQL)), &["assign p1.3 bob"][..]),
        ("", assigned("bob", Source::Pool(4), None), &["assign p4.10 bob"]),
        ("", assigned("amy", Source::Seat(SeatId { pool_id: 4, seat_no: 2 }), Some(DISK)), &["assign p4.2 amy"]),
        (in_expired, assigned("amy", of(42), Some(SQL)), &["release p2.3 amy", "assign p1.2 amy"]),
        ("", released("bob", Some(SQL)), &["release p1.3 bob"]),
        ("", released("amy", None), &["release p1.2 amy", "release p4.2 amy"]),
        ("", transferred("bob", "amy", Some(DISK)), &["release p4.10 bob", "assign p4.10 amy"]),
        ("", assigned("amy", of(42), Some(SQL)), &["assign p1.3 amy"]),
        (
            "",
            transferred("amy", "wes", None),
            &["release p4.10 amy", "assign p4.10 wes", "release p1.3 amy", "assign p1.3 wes"],
        ),
        ("", left("wes", LeaverSeats::Release, false), &["release p4.10 wes", "release p1.3 wes"]),
        (HOLDERS, some(vec![seat(4, 5, 1), seat(1, 1, 1), seat(1, 1, 1)]), &["release p1.1 bob", "release p4.5 bob"]),
        (
            "UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1; UPDATE seat SET account_id = 1 WHERE pool_id = 4 AND seat_no = 1",
            left("bob", LeaverSeats::TransferTo("amy".to_owned()), true),
            &[
                "release p4.1 bob",
                "assign p4.1 amy",
                "release p1.1 bob",
                r#"account-change e42 bob {"active":1} > {"active":0}"#,
            ],
        ),
        ("", left("amy", LeaverSeats::Keep, true), &[r#"account-change e42 amy {"active":1} > {"active":0}"#]),
    ] {
        desk.0.sql(seed);
        let changed = desk.run("admin", &task).expect(expected[0]);
        assert_eq!(lines(&changed.events), expected);
    }
    // A user that is not known is added, under the entity of the pool.
    let changed = desk.run("admin", &assigned("new", of(42), Some(SQL))).expect("added");
    assert_eq!(
        lines(&changed.events),
        [r#"account-create e42 new  > {"username":"new","entity_id":42,"active":1}"#, "assign p1.3 new"]
    );
    desk.0.is_sound();
}

#[test]
fn a_pool_shrinks_below_its_use_when_holders_are_released() {
    let desk = Desk::new(
        "UPDATE seat SET account_id = 1 WHERE pool_id = 4 AND seat_no = 7; UPDATE seat SET account_id = 2 WHERE pool_id = 4 AND seat_no = 3;
         UPDATE seat SET account_id = 6 WHERE pool_id = 4 AND seat_no = 4; UPDATE seat SET account_id = 7 WHERE pool_id = 4 AND seat_no = 1;
         UPDATE seat SET product_key = 'OWN' WHERE pool_id = 4 AND seat_no = 10;",
    );
    let shrink = desk.change("admin", ChangeOptions { dry_run: true, ..Default::default() }, |sql, admin| {
        proposals(sql, admin, 4, 2)
    });
    let shrink = shrink.expect("proposed").value;
    assert_eq!((shrink.seats_in_use, shrink.excess, shrink.own_data_lost), (4, 2, 1));
    let who: Vec<(&str, i64, Why)> =
        shrink.candidates.iter().map(|c| (c.username.as_str(), c.taken.seat_no, c.why)).collect();
    // The one that is not active first, then by how long they have had their seats.
    assert_eq!(
        who,
        [
            ("closed", 4, Why::Inactive),
            ("bob", 7, Why::LongestHeld),
            ("amy", 3, Why::LongestHeld),
            ("Contoso", 1, Why::LongestHeld)
        ]
    );
    assert!(shrink.candidates.iter().all(|candidate| candidate.since.is_some()));
    let refused = desk.run("admin", &resized(4, 2, &[])).expect_err("too few");
    assert_eq!(refused.to_string(), "Pool 4 cannot have 2 seats: 4 are in use. Release 2 first.");
    let changed = desk.run("admin", &resized(4, 2, &[(4, 6), (7, 1)])).expect("shrunk");
    assert_eq!(
        lines(&changed.events),
        ["release p4.4 closed", "release p4.7 bob", r#"pool-change p4 {"seats_total":10} > {"seats_total":2}"#]
    );
    assert_eq!(desk.0.database().lines("SELECT seat_no FROM seat WHERE pool_id = 4 ORDER BY seat_no"), ["1", "3"]);
    // Undone, its holders are back, on new seats where theirs are gone.
    desk.undo("admin", &changed.events).expect("undone");
    let holders =
        "SELECT username FROM seat JOIN account ON account.id = account_id WHERE pool_id = 4 ORDER BY username";
    assert_eq!(desk.0.database().lines(holders).len(), 4);
    assert_eq!(desk.0.query::<i64>("SELECT seats_total FROM license_pool WHERE id = 4"), 10);
    // All of an expired pool are of no use.
    desk.0.sql("UPDATE license_pool SET expires_at = '2026-06-01T00:00:01Z', starts_at = NULL WHERE id = 4");
    let expired = desk.change("admin", ChangeOptions { dry_run: true, ..Default::default() }, |sql, admin| {
        proposals(sql, admin, 4, 0)
    });
    assert!(expired.expect("proposed").value.candidates.iter().all(|candidate| candidate.why == Why::PoolExpired));
    desk.0.is_sound();
}

/// Only a part of a large pool is read: the seats with the lowest numbers, and those that the newest events name.
#[test]
fn holders_in_a_large_pool_are_found_wherever_they_are() {
    let desk = Desk::new(
        "UPDATE license_pool SET seats_total = 200000 WHERE id = 4; UPDATE seat SET account_id = 1 WHERE pool_id = 4 AND seat_no = 150000;
         UPDATE seat SET account_id = 2 WHERE pool_id = 4 AND seat_no = 200000; UPDATE seat SET account_id = 7 WHERE pool_id = 4 AND seat_no = 9;
         UPDATE seat SET account_id = 3 WHERE pool_id = 4 AND seat_no = 199999; UPDATE seat SET account_id = NULL WHERE pool_id = 4 AND seat_no = 199999;",
    );
    let begun = std::time::Instant::now();
    let shrink = desk.change("admin", ChangeOptions { dry_run: true, ..Default::default() }, |sql, admin| {
        proposals(sql, admin, 4, 1)
    });
    println!("proposals for a pool of 200000 seats: {:?}", begun.elapsed());
    let shrink = shrink.expect("proposed").value;
    let who: Vec<(&str, i64)> = shrink.candidates.iter().map(|c| (c.username.as_str(), c.taken.seat_no)).collect();
    assert_eq!((shrink.excess, who), (2, vec![("bob", 150_000), ("amy", 200_000), ("Contoso", 9)]));
}

/// Why something is refused, in words; then nothing is changed.
#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let desk = Desk::new(&format!("{HOLDERS} UPDATE entity SET note = 'two\r\nlines' WHERE id = 42"));
    let tables = desk.tables();
    let hash = PASSWORD_HASH.as_str();
    let too_many = match on_postgres() {
        true => "seats_total: may change by 1000000 at a time: change it in steps",
        false => "seats_total: may change by 100000 at a time: change it in steps",
    };
    let before = |after: &str| {
        let edit = Edit::Update {
            table: Table::Entity,
            key: Key::Id(42),
            before: vec![("name", text("Contoso GmbH"))],
            after: vec![("name", text(after))],
        };
        task(move |sql, admin| apply(sql, admin, &edit))
    };
    let entity =
        |values: Values| insert(Table::Entity, [vec![("parent_id", 1.into()), ("name", text("x"))], values].concat());
    let change = |column: &'static str, value: Value| update(Table::Entity, Key::Id(42), vec![(column, value)]);
    for (task, expected) in [
        (entity(vec![("id", 42.into())]), "id: is in use already"),
        (entity(vec![("owner_name", text("CONTOSO"))]), "owner_name: belongs to another entity"),
        (insert(Table::Entity, vec![("parent_id", 1.into())]), "name: must not be empty"),
        (change("name", text("")), "name: must not be empty"),
        (change("name", text(&"ä".repeat(256))), "name: has 256 characters; 255 are the most"),
        (change("name", text("Contoso")), "There is nothing to change."),
        (change("note", text("two\nlines")), "There is nothing to change."),
        (
            insert(
                Table::Pool,
                vec![("entity_id", 42.into()), ("license_type", text("SqlBackup")), ("seats_total", 1_000_001.into())],
            ),
            too_many,
        ),
        (
            before("Contoso AG"),
            "Nothing was changed: name of entity 42 has changed meanwhile. Look again, then repeat the change.",
        ),
        (change("parent_id", 420.into()), "an entity cannot be above itself: parent_id would close a circle"),
        (change("parent_id", 99.into()), "There is no entity 99, or it is not among your entities."),
        (
            change("expires_at", text("31.12.2027")),
            "expires_at: must be a day such as 2027-01-31, or a time such as 2027-01-31T00:00:00Z, in the years 1 to 9999 and in whole seconds",
        ),
        (change("id", 43.into()), "id: cannot change: others refer to it"),
        (
            update(Table::Entity, Key::Id(99), vec![("name", text("x"))]),
            "There is no entity 99, or it is not among your entities.",
        ),
        (
            delete(Table::Entity, Key::Id(42)),
            "entity still has entities below it: move or delete them first, or set active = 0",
        ),
        (
            insert(
                Table::Credential,
                vec![("user_name", text("AGENT")), ("password_hash", text(hash)), ("entity_id", 1.into())],
            ),
            "user_name: 'AGENT' is in use already; names compare without regard to case",
        ),
        (
            insert(
                Table::Credential,
                vec![("user_name", text("a")), ("password_hash", text("x")), ("entity_id", 1.into())],
            ),
            "password_hash: must be an argon2id PHC string: make one with seatkeeper hash-password",
        ),
        (
            update(Table::Credential, name("agent"), vec![("user_name", text("reader"))]),
            "user_name: 'reader' is in use already; names compare without regard to case",
        ),
        (
            update(Table::Account, name("bob"), vec![("username", text("AMY"))]),
            "username: 'AMY' is in use already; names compare without regard to case",
        ),
        (
            delete(Table::Account, name("bob")),
            "Users are not deleted, because their ids stay in the history: make this one inactive.",
        ),
        (
            update(Table::Pool, Key::Id(1), vec![("seats_total", 1.into())]),
            "Pool 1 cannot have 1 seats: 2 are in use. Release 1 first.",
        ),
        (
            update(Table::Pool, Key::Id(1), vec![("starts_at", text("2027-01-01"))]),
            "expires_at: must be after starts_at",
        ),
        (
            update(Table::Pool, Key::Id(1), vec![("entity_id", 43.into())]),
            "entity_id: of a pool cannot change: set seats_total to 0 and make a new pool",
        ),
        (delete(Table::Pool, Key::Id(1)), "Pool 1 cannot be deleted: 2 of its seats are in use. Release them first."),
        (
            insert(
                Table::OfferModule,
                vec![("entity_id", 42.into()), ("license_type", text("SqlBackup")), ("seats_total", 1.into())],
            ),
            "The entity has no offer: make that first.",
        ),
        (
            assigned("bob", Source::Entity(42), Some(SQL)),
            "User 'bob' already holds a SqlBackup license (seat 1 of pool 1, valid until 2027-01-01T00:00:00Z). No second one is needed; release it to assign it again.",
        ),
        (
            assigned("wes", Source::Pool(2), None),
            "The SqlBackup licenses of provider entity 42 expired at 2026-06-01T12:00:00Z. Renew them, or use another provider entity.",
        ),
        (assigned("wes", Source::Pool(1), Some(DISK)), "license_type: pool 1 has seats of SqlBackup"),
        (
            assigned("wes", Source::Seat(SeatId { pool_id: 1, seat_no: 1 }), None),
            "Seat 1 of pool 1 is taken. Release it first, or choose another.",
        ),
        (
            assigned("wes", Source::Seat(SeatId { pool_id: 1, seat_no: 9 }), None),
            "There is no seat 9 of pool 1, or it is not among your entities.",
        ),
        (
            released("bob", Some(EXCHANGE)),
            "User 'bob' holds no ExchangeBackup license. Check the user name and the type, or assign one.",
        ),
        (released("wes", None), "There is nothing to change."),
        (
            task(|sql, admin| release(sql, admin, &Release::Seats(vec![seat(1, 1, 2)]))),
            "Nothing was changed: the holder of seat 1 of pool 1 has changed meanwhile. Look again, then repeat the change.",
        ),
        (
            transferred("bob", "amy", None),
            "User 'amy' already holds a SqlBackup license (seat 2 of pool 1, valid until 2027-01-01T00:00:00Z). No second one is needed; release it to assign it again.",
        ),
        (
            left("bob", LeaverSeats::TransferTo("BOB ".to_owned()), true),
            "to: must be another user than the one that leaves",
        ),
        (left("wes", LeaverSeats::Release, false), "There is nothing to change."),
        (
            resized(1, 2, &[(1, 2)]),
            "Nothing was changed: the holder of seat 1 of pool 1 has changed meanwhile. Look again, then repeat the change.",
        ),
        (resized(1, 3, &[]), "There is nothing to change."),
    ] {
        let refused = desk.run("admin", &task).map(|changed| lines(&changed.events));
        assert_eq!(refused.map_err(|refusal| refusal.to_string()), Err(expected.to_owned()));
        assert_eq!(desk.tables(), tables, "{expected}");
    }
    for who in ["agent", "reader"] {
        let refused = desk.run(who, &change("name", text("x"))).expect_err("a role too low");
        assert_eq!(refused.key(), "role-too-low");
    }
    desk.0.is_sound();
}

/// `contoso` is an administrator of 42 and what is below it: 420 and 45.
#[test]
fn nothing_outside_of_the_callers_entities_can_be_reached() {
    let desk = Desk::new(&format!(
        "{HOLDERS} UPDATE seat SET account_id = 4 WHERE pool_id = 6 AND seat_no = 1; INSERT INTO license_offer (entity_id) VALUES (43);
         UPDATE seat SET account_id = 4 WHERE pool_id = 4 AND seat_no = 1; UPDATE seat SET account_id = 7 WHERE pool_id = 8 AND seat_no = 1;"
    ));
    let tables = desk.tables();
    let hash = PASSWORD_HASH.as_str();
    let not = |what: &str| format!("There is no {what}, or it is not among your entities.");
    let pool = |id: i64| vec![("entity_id", id.into()), ("license_type", text("SqlBackup")), ("seats_total", 1.into())];
    for (task, expected) in [
        (insert(Table::Entity, vec![("parent_id", 43.into()), ("name", text("x"))]), not("entity 43")),
        (insert(Table::Entity, vec![("parent_id", 1.into()), ("name", text("x"))]), not("entity 1")),
        (insert(Table::Entity, vec![("name", text("x"))]), "parent_id: must name one of your entities: a new one lies under it".to_owned()),
        (update(Table::Entity, Key::Id(43), vec![("name", text("x"))]), not("entity 43")),
        (update(Table::Entity, Key::Id(1), vec![("name", text("x"))]), not("entity 1")),
        (update(Table::Entity, Key::Id(420), vec![("parent_id", 43.into())]), not("entity 43")),
        (update(Table::Entity, Key::Id(420), vec![("parent_id", Value::Null)]), "parent_id: must name one of your entities: a new one lies under it".to_owned()),
        (update(Table::Entity, Key::Id(42), vec![("parent_id", 9.into())]), "This reaches beyond your entities: your own rights begin at entity 42, so that another administrator must move it.".to_owned()),
        (delete(Table::Entity, Key::Id(43)), not("entity 43")),
        (insert(Table::Credential, vec![("user_name", text("x")), ("password_hash", text(hash)), ("entity_id", 1.into())]), not("entity 1")),
        (update(Table::Credential, name("admin"), vec![("role", text("reader"))]), not("credential admin")),
        (update(Table::Credential, name("west"), vec![("entity_id", 9.into())]), not("entity 9")),
        (task(|sql, admin| apply(sql, admin, &Edit::password("elsewhere", &PASSWORD_HASH))), not("credential elsewhere")),
        (delete(Table::Credential, name("admin")), not("credential admin")),
        (insert(Table::Account, vec![("username", text("x")), ("entity_id", 43.into())]), not("entity 43")),
        (update(Table::Account, name("fay"), vec![("active", false.into())]), not("user fay")),
        (update(Table::Account, Key::Id(5), vec![("note", text("x"))]), not("user 5")),
        (update(Table::Account, name("bob"), vec![("entity_id", 43.into())]), not("entity 43")),
        (insert(Table::Pool, pool(43)), not("entity 43")),
        (update(Table::Pool, Key::Id(6), vec![("seats_total", 100.into())]), not("pool 6")),
        (delete(Table::Pool, Key::Id(8)), not("pool 8")),
        (update(Table::Seat, Key::Seat(6, 2), vec![("product_key", text("x"))]), not("seat 2 of pool 6")),
        (insert(Table::Offer, vec![("entity_id", 9.into())]), not("entity 9")),
        (delete(Table::Offer, Key::Id(43)), not("offer for entity 43")),
        (task(|sql, admin| set_offer(sql, admin, &OfferRequest { entity_id: 43, values: Vec::new(), modules: [None; 3] })), not("entity 43")),
        (assigned("bob", Source::Entity(9), Some(SQL)), "Entity 9 does not exist or is not among the entities of this credential. Check LicenseProviderEntityId.".to_owned()),
        (assigned("bob", Source::Pool(8), None), not("pool 8")),
        (assigned("bob", Source::Seat(SeatId { pool_id: 8, seat_no: 2 }), None), not("pool 8")),
        (assigned("fay", Source::Entity(42), Some(SQL)), "User 'fay' is not active or does not belong to the entities of this credential. Use another user, or have an administrator activate this one.".to_owned()),
        (released("fay", None), not("user fay")),
        (task(|sql, admin| release(sql, admin, &Release::Seats(vec![seat(6, 1, 4)]))), not("seat 1 of pool 6")),
        // The account of the last one may be released by its owner, and the seat by that of the pool: a wrong pair is neither.
        (task(|sql, admin| release(sql, admin, &Release::Seats(vec![seat(8, 2, 5)]))), not("seat 2 of pool 8")),
        (transferred("fay", "bob", None), not("user fay")),
        (transferred("Contoso", "wes", Some(SQL)), "User 'Contoso' holds a SqlBackup license from another owner, which this credential may not transfer. Use a credential of that owner.".to_owned()),
        (left("eve", LeaverSeats::Release, true), not("user eve")),
        (resized(6, 1, &[]), not("pool 6")),
        (task(|sql, admin| proposals(sql, admin, 6, 0)), not("pool 6")),
        (resized(4, 1, &[(1, 1)]), "Nothing was changed: the holder of seat 1 of pool 4 has changed meanwhile. Look again, then repeat the change.".to_owned()),
    ] {
        let refused = desk.run("contoso", &task).map(|changed| lines(&changed.events));
        assert_eq!(refused.map_err(|refusal| refusal.to_string()), Err(expected.clone()));
        assert_eq!(desk.tables(), tables, "{expected}");
    }
    // Changes of others cannot be undone either.
    let others = desk.run("admin", &update(Table::Entity, Key::Id(43), vec![("note", text("x"))])).expect("changed");
    let refused = desk.undo("contoso", &others.events).expect_err("of others");
    assert_eq!(refused.key(), "not-found");
    // What is partly theirs is not undone by half.
    let both = [43, 420].map(|id| Edit::active(Table::Entity, Key::Id(id), false));
    let both = desk.run("admin", &task(move |sql, admin| apply_all(sql, admin, &both))).expect("changed");
    let refused = desk.undo("contoso", &both.events).expect_err("partly of others");
    assert_eq!(
        refused.to_string(),
        "This cannot be undone: entity 43 is no longer there, or is not among your entities."
    );
    // The seat of a pool of theirs can be taken back from a user of others.
    let changed = desk.run("contoso", &task(|sql, admin| release(sql, admin, &Release::Seats(vec![seat(4, 1, 4)]))));
    assert_eq!(lines(&changed.expect("released").events), ["release p4.1 fay"]);
    desk.0.is_sound();
}

#[test]
fn an_administrator_cannot_lock_itself_out() {
    let desk = Desk::new("");
    for task in [
        update(Table::Credential, name("ADMIN"), vec![("role", text("agent"))]),
        update(Table::Credential, name("admin"), vec![("active", false.into())]),
        update(Table::Credential, name("admin"), vec![("entity_id", 42.into())]),
        update(Table::Credential, name("admin"), vec![("user_name", text("root"))]),
        delete(Table::Credential, name("admin")),
    ] {
        assert_eq!(desk.run("admin", &task).map(drop), Err(AdminRefusal::Own));
        assert!(
            desk.change("cli", ChangeOptions { dry_run: true, ..Default::default() }, {
                let task = Arc::clone(&task);
                move |sql, admin| task(sql, admin)
            })
            .is_ok()
        );
    }
    let note = update(Table::Credential, name("admin"), vec![("note", text("me")), ("role", text("admin"))]);
    desk.run("admin", &note).expect("what locks out stays as it is");
}

#[test]
fn of_two_administrators_the_second_is_told_that_the_row_has_changed() {
    let desk = Desk::new("");
    let rename = |to: &str| {
        let edit = Edit::Update {
            table: Table::Entity,
            key: Key::Id(42),
            before: vec![("name", text("Contoso"))],
            after: vec![("name", text(to))],
        };
        move |sql: &dyn Sql, admin: &Admin| apply(sql, admin, &edit)
    };
    let preview = |to| {
        desk.change("admin", ChangeOptions { dry_run: true, ..Default::default() }, rename(to)).expect("a preview")
    };
    let (anna, bert) = (preview("Anna's"), preview("Bert's"));
    let confirm = |changed: &Changed<Key>| ChangeOptions { expected: Some(changed.digest), ..Default::default() };
    assert!(desk.change("admin", confirm(&anna), rename("Anna's")).expect("confirmed").kept);
    let refused = desk.change("contoso", confirm(&bert), rename("Bert's")).expect_err("moved");
    assert_eq!(refused, AdminRefusal::Moved { what: "name of entity 42".to_owned() });
    // Without what was seen, the digest of what was shown still holds it off.
    let blind = Edit::Update {
        table: Table::Entity,
        key: Key::Id(42),
        before: Vec::new(),
        after: vec![("name", text("Bert's"))],
    };
    let late = desk.change("contoso", confirm(&bert), move |sql, admin| apply(sql, admin, &blind)).expect("an answer");
    assert!(!late.kept);
    assert_eq!(desk.0.query::<String>("SELECT name FROM entity WHERE id = 42"), "Anna's");
}
