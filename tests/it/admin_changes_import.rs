//! Tables that administrators import: made, changed and unchanged lines, everything that is wrong by line, all or nothing.

use std::time::{Duration, Instant};

use seatkeeper::auth;
use seatkeeper::store::admin::bulk::{Import, Imported, Kind, Table, import};
use seatkeeper::store::admin::{AdminRefusal, ChangeOptions, Changed};

use crate::admin_changes::{Desk, lines};
use crate::harness::PASSWORD_HASH;

fn run(
    desk: &Desk,
    who: &str,
    kind: Kind,
    bytes: &[u8],
    options: ChangeOptions,
) -> Result<Changed<Imported>, AdminRefusal> {
    let request = Import { kind, table: Table::read(kind, bytes)?, enroll: true, check_hash: auth::check_hash };
    desk.change(who, options, move |sql, admin| import(sql, admin, &request))
}

/// Made, changed, unchanged; or what is wrong, by line.
fn imported(desk: &Desk, who: &str, kind: Kind, text: &str) -> Result<(usize, usize, usize), Vec<String>> {
    match run(desk, who, kind, text.as_bytes(), ChangeOptions::default()) {
        Ok(Changed { value: Imported { made, changed, unchanged }, .. }) => Ok((made, changed, unchanged)),
        Err(AdminRefusal::Lines(lines)) => Err(lines.iter().map(|(line, why)| format!("{line}: {why}")).collect()),
        Err(other) => Err(vec![other.to_string()]),
    }
}

#[test]
fn each_kind_makes_changes_and_leaves() {
    let desk = Desk::new("UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 3");
    let hash = PASSWORD_HASH.as_str();
    for (kind, text, expected) in [
        (
            Kind::Entities,
            "id;parent_id;name;active;expires_at;customer_nr\r\n700;42;Müller & Söhne;;2027-01-31;K-1\r\n701;700;\"a;\"\"b\"\"\";0;;\r\n45;42;Contoso East;1;;\r\n420;42;West;;;\r\n".to_owned(),
            (2, 1, 1),
        ),
        (Kind::Entities, "id,parent_id,name\n711,710,below\n710,42,above\n712,711,lowest\n".to_owned(), (3, 0, 0)),
        (Kind::Entities, "parent_id,name\n700,without an id\n".to_owned(), (1, 0, 0)),
        (Kind::Users, "username\tentity_id\tnote\njörg\t42\t=1+1\nBOB\t42\tx\namy\t42\t\n".to_owned(), (1, 1, 1)),
        // A name keeps its spelling.
        (Kind::Users, "username,note\nBOB,x\n".to_owned(), (0, 0, 0)),
        (Kind::Users, "id,username\n2,amelie\n".to_owned(), (0, 1, 0)),
        (
            Kind::Assignments,
            "username,license_type,entity_id,pool_id,seat_no\nbob,SqlBackup,42,,\nnew2,SqlBackup,42,,\nwes,,,4,\njörg,SkraftDiskImageV5,42,4,7\n".to_owned(),
            (3, 0, 1),
        ),
        (
            Kind::Pools,
            "id,entity_id,license_type,seats_total,expires_at,product_key\n1,42,SqlBackup,9,2028-01-01,KEY-1\n4,42,SkraftDiskImageV5,10,,\n,45,ExchangeBackup,5,,\n80,45,SqlBackup,0,,\n".to_owned(),
            (2, 1, 1),
        ),
        (
            Kind::Credentials,
            format!("user_name,password_hash,entity_id,role\nnew,\"{hash}\",42,\nWEST,\"{hash}\",420,reader\ncontoso,\"{hash}\",42,admin\n"),
            (1, 1, 1),
        ),
    ] {
        match expected {
            (0, 0, 0) => assert_eq!(imported(&desk, "admin", kind, &text), Err(vec!["There is nothing to change.".to_owned()])),
            expected => assert_eq!(imported(&desk, "admin", kind, &text), Ok(expected), "{text}"),
        }
        // Again, each line with a key says what is there.
        if kind != Kind::Pools && !text.starts_with("parent_id") {
            let again = imported(&desk, "admin", kind, &text);
            assert_eq!(again, Err(vec!["There is nothing to change.".to_owned()]), "{text}");
        }
    }
    let names = desk.0.database().lines("SELECT name FROM entity WHERE id IN (700, 701) ORDER BY id");
    assert_eq!(names, ["Müller & Söhne", "a;\"b\""]);
    assert_eq!(desk.0.database().lines("SELECT note FROM account WHERE username = 'jörg'"), ["=1+1"]);
    assert_eq!(desk.0.query::<String>("SELECT expires_at FROM license_pool WHERE id = 1"), "2028-01-01T00:00:00Z");
    desk.0.is_sound();
}

#[test]
fn everything_that_is_wrong_is_told_by_line_and_nothing_is_kept() {
    let desk = Desk::new("");
    let tables = desk.tables();
    let weak = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
    let no_such = |id: &str| format!("There is no {id}, or it is not among your entities.");
    for (who, kind, text, expected) in [
        (
            "admin",
            Kind::Users,
            "username,entity_id,active\nfine,42,1\n,42,1\na\tb,42,1\nelse,99,1\nFINE,43,maybe\nlater,42,1\nlater,44,0\n".to_owned(),
            vec![
                "3: username: must not be empty".to_owned(),
                "4: username: must not contain a control character".to_owned(),
                format!("5: {}", no_such("entity 99")),
                "6: active: must be 1 or 0".to_owned(),
            ],
        ),
        (
            "contoso",
            Kind::Entities,
            "id,parent_id,name\n805,804,child of the next\n804,42,parent\n800,42,mine\n801,43,of others\n43,42,stolen\n42,43,moved\n802,803,too early\n803,42,\n".to_owned(),
            vec![
                format!("5: {}", no_such("entity 43")),
                format!("6: {}", no_such("entity 43")),
                "7: This reaches beyond your entities: your own rights begin at entity 42, so that another administrator must move it.".to_owned(),
                format!("8: {}", no_such("entity 803")),
                "9: name: must not be empty".to_owned(),
            ],
        ),
        (
            "contoso",
            Kind::Pools,
            "id,entity_id,license_type,seats_total\n1,42,SqlBackup,1.000\n6,43,ExchangeBackup,100\n,42,SqlServer,5\n1,42,ExchangeBackup,3\n,,SqlBackup,5\n".to_owned(),
            vec![
                "2: seats_total: must be a whole number in digits only: write 1000, not 1.000".to_owned(),
                format!("3: {}", no_such("pool 6")),
                "4: license_type: 'SqlServer' is not a license type; there are SkraftDiskImageV5, SqlBackup, ExchangeBackup".to_owned(),
                "5: license_type: of a pool cannot change: set seats_total to 0 and make a new pool".to_owned(),
                "6: entity_id: must not be empty".to_owned(),
            ],
        ),
        (
            "contoso",
            Kind::Credentials,
            format!("user_name,password_hash,entity_id,role\ncontoso,,42,\nadmin,\"{weak}\",42,reader\nweak,\"{weak}\",42,\nnone,,42,\n"),
            vec![
                "2: password_hash: must not be empty".to_owned(),
                "3: password_hash: weak".to_owned(),
                "4: password_hash: weak".to_owned(),
                "5: password_hash: must not be empty".to_owned(),
            ],
        ),
        (
            "contoso",
            Kind::Credentials,
            "user_name,role,active\ncontoso,reader,1\ncontoso,,0\nadmin,reader,\n".to_owned(),
            vec![
                "2: You cannot change the role of your own credential, make it inactive or delete it. Ask another administrator.".to_owned(),
                "3: You cannot change the role of your own credential, make it inactive or delete it. Ask another administrator.".to_owned(),
                format!("4: {}", no_such("credential admin")),
            ],
        ),
        (
            "admin",
            Kind::Assignments,
            "username,license_type,entity_id,pool_id\nbob,SqlBackup,,\nbob,Sql,42,\nbob,,42,\nbob,SqlBackup,43,1\na,SqlBackup,42,\nb,SqlBackup,42,\nc,SqlBackup,42,\nd,SqlBackup,42,\neve,SqlBackup,42,\n".to_owned(),
            vec![
                "2: entity_id: must not be empty, or give pool_id".to_owned(),
                "3: license_type: 'Sql' is not a license type; there are SkraftDiskImageV5, SqlBackup, ExchangeBackup".to_owned(),
                "4: license_type: must not be empty".to_owned(),
                "5: entity_id: is not the owner of pool 1".to_owned(),
                "9: All 3 SqlBackup seats of provider entity 42 are in use (1 pool). Release a seat or add seats to a pool.".to_owned(),
                "10: User 'eve' is not active or does not belong to the entities of this credential. Use another user, or have an administrator activate this one.".to_owned(),
            ],
        ),
        ("admin", Kind::Users, "username,city\na,b\n".to_owned(), vec!["1: 'city' is no column of users; there are id, username, entity_id, active, note".to_owned()]),
        ("agent", Kind::Users, "username,entity_id\na,42\n".to_owned(), vec!["This needs the role admin; yours is agent.".to_owned()]),
    ] {
        let wrong = imported(&desk, who, kind, &text).expect_err(&text);
        assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
        for (said, expected) in wrong.iter().zip(&expected) {
            let is_so = match expected.strip_suffix("weak") {
                Some(start) => said.starts_with(start) && said.contains("m=8"),
                None => said == expected,
            };
            assert!(is_so, "{said}\n{expected}");
        }
        assert_eq!(desk.tables(), tables, "{text}");
    }
    // Not more than one can read.
    let many = "username,entity_id\n".to_owned() + &"x,99\n".repeat(500);
    assert_eq!(imported(&desk, "admin", Kind::Users, &many).expect_err("wrong").len(), 100);
    desk.0.is_sound();
}

#[test]
fn an_import_is_previewed_confirmed_and_undone() {
    let desk = Desk::new("");
    let text = b"username;license_type;entity_id\nbob;SqlBackup;42\nnew;SqlBackup;42\n";
    let tables = desk.tables();
    let preview = ChangeOptions { dry_run: true, ..Default::default() };
    let preview = run(&desk, "admin", Kind::Assignments, text, preview).expect("a preview");
    assert_eq!(desk.tables(), tables);
    assert_eq!(
        lines(&preview.events),
        [
            "assign p1.3 bob".to_owned(),
            r#"account-create e42 new  > {"username":"new","entity_id":42,"active":1}"#.to_owned(),
            "assign p1.2 new".to_owned()
        ]
    );
    // Calls take other seats meanwhile.
    desk.0.sql("UPDATE seat SET account_id = 3 WHERE pool_id = 1 AND seat_no = 1");
    let confirm = ChangeOptions { expected: Some(preview.digest), ..Default::default() };
    let done = run(&desk, "admin", Kind::Assignments, text, confirm).expect("confirmed");
    assert!(done.kept, "{:?}", lines(&done.events));
    desk.undo("admin", &done.events).expect("undone");
    assert_eq!(desk.0.query::<i64>("SELECT count(*) FROM seat WHERE account_id IS NOT NULL"), 1);
    desk.0.is_sound();
}

#[test]
fn ten_thousand_lines_are_imported_in_time() {
    let desk = Desk::new("UPDATE license_pool SET seats_total = 10000 WHERE id = 1");
    let users: String = (0..10_000).map(|n| format!("user{n},{}\n", [42, 420, 45][n % 3])).collect();
    let seats: String = (0..10_000).map(|n| format!("user{n},SqlBackup,42\n")).collect();
    let mut took = Vec::new();
    let mut timed = |kind, text: String| {
        let begun = Instant::now();
        let done = run(&desk, "admin", kind, text.as_bytes(), ChangeOptions::default()).expect("imported");
        took.push(begun.elapsed());
        assert_eq!(done.value.made, 10_000);
        done.events
    };
    timed(Kind::Users, format!("username,entity_id\n{users}"));
    let events = timed(Kind::Assignments, format!("username,license_type,entity_id\n{seats}"));
    let begun = Instant::now();
    desk.undo("admin", &events).expect("undone");
    took.push(begun.elapsed());
    println!("users, assignments, undo: {took:?}");
    assert!(took.iter().all(|took| *took < Duration::from_secs(120)), "{took:?}");
    desk.0.is_sound();
}
