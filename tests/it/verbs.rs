//! The verbs of administrators, run as a program on a file and on PostgreSQL: a day's tasks, previews, receipts, undo, refusals and exit
//! codes, and hostile values in files.

use seatkeeper::auth;

use crate::harness::*;
use crate::program::{Done, Serving, seatkeeper};

fn seeded() -> TestDatabase {
    TestDatabase::new(&sample_data())
}

fn run(database: &TestDatabase, verb: &str, arguments: &[&str]) -> Done {
    seatkeeper(verb, database, arguments, "")
}

/// What a successful run prints.
#[track_caller]
fn ok(database: &TestDatabase, verb: &str, arguments: &[&str]) -> String {
    let done = run(database, verb, arguments);
    assert_eq!(done.code, Some(0), "{verb} {arguments:?}: {done:?}");
    done.stdout
}

/// What a run says that ends with this code, and prints nothing else.
#[track_caller]
fn fails(database: &TestDatabase, verb: &str, arguments: &[&str], code: i32) -> String {
    let done = run(database, verb, arguments);
    assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{verb} {arguments:?}: {done:?}");
    done.stderr
}

/// The request id on a receipt.
#[track_caller]
fn request_id(receipt: &str) -> String {
    let line = receipt.lines().find_map(|line| line.strip_prefix("request id: "));
    line.unwrap_or_else(|| panic!("no request id in {receipt}")).to_owned()
}

fn events(database: &TestDatabase) -> i64 {
    database.query("SELECT count(*) FROM audit_event")
}

/// `username pool_id` of every seat that is taken, by name.
fn holders(database: &TestDatabase) -> Vec<String> {
    database.lines(
        "SELECT username, pool_id FROM seat JOIN account ON account.id = seat.account_id ORDER BY username, pool_id",
    )
}

#[test]
fn a_days_work_is_done_by_verbs() {
    let database = seeded();
    // Onboard a customer.
    let made = ok(&database, "entity create", &["id=50", "parent_id=1", "name=Adatum", "customer_nr=10042"]);
    assert!(made.starts_with("entity 50 was made\n") && made.contains("name: Adatum"), "{made}");
    ok(&database, "pool create", &["id=7", "entity_id=50", "license_type=SqlBackup", "seats_total=2"]);
    let made = ok(
        &database,
        "credential create",
        &["user_name=adatum", "entity_id=50", "role=agent", "--generate", "--as", "anna", "--reason", "order 4711"],
    );
    let password = made.lines().find_map(|line| line.strip_prefix("password, shown only now: ")).expect("a password");
    assert!(password.chars().count() >= 12, "{made}");
    let hash: String = database.query("SELECT password_hash FROM credential WHERE user_name = 'adatum'");
    auth::check_hash(&hash).expect("usable");
    assert_eq!(
        database.lines("SELECT action, actor, reason FROM audit_event WHERE username = 'adatum'"),
        ["credential-create anna order 4711"]
    );
    // Seats.
    for user in ["b1", "b2"] {
        let arguments = ["--username", user, "--entity", "50", "--license-type", "SqlBackup", "--enroll"];
        assert!(ok(&database, "assign", &arguments).starts_with(&format!("assigned: '{user}' has seat ")));
    }
    assert_eq!(holders(&database), ["b1 7", "b2 7"]);
    // One more is refused, and explained by what helps; that is done.
    let third = ["--username", "b3", "--entity", "50", "--license-type", "SqlBackup", "--enroll"];
    assert!(fails(&database, "assign", &third, 1).contains("1003 NoFreeSeat"));
    ok(&database, "pool resize", &["--pool", "7", "--seats", "3", "--reason", "order 4712"]);
    ok(&database, "assign", &third);
    let report = ok(&database, "report", &["50", "--since", "1h"]);
    assert!(report.starts_with("Adatum (50), ") && report.contains("0 -> 3"), "{report}");
    // A mistake, undone.
    let id = request_id(&ok(&database, "leaver", &["--username", "b3", "--release", "--deactivate"]));
    assert_eq!(holders(&database), ["b1 7", "b2 7"]);
    ok(&database, "undo", &[&id]);
    assert_eq!(holders(&database), ["b1 7", "b2 7", "b3 7"]);
    assert_eq!(database.violations(), []);
}

#[test]
fn seats_are_given_transferred_and_released() {
    let database = seeded();
    database
        .sql("INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (3, 42, 'ExchangeBackup', 5)");
    for (user, pool) in [("b1", "1"), ("b2", "1"), ("b1", "3")] {
        ok(&database, "assign", &["--username", user, "--pool", pool, "--enroll"]);
    }
    assert_eq!(holders(&database), ["b1 1", "b1 3", "b2 1"]);
    let who = ok(&database, "who", &["--entity", "42", "--format", "csv"]);
    let who: Vec<Vec<&str>> = who.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(who[0][..4], ["username", "license_type", "pool_id", "seat_no"]);
    assert_eq!(who.len(), 4);
    let of = |arguments: &[&str]| -> Vec<String> {
        let json = ok(&database, "who", &[arguments, &["--format", "json"]].concat());
        let line = |line: &str| -> String {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert!(row["since"].is_string(), "{row}");
            format!("{} {}", row["username"].as_str().expect("a name"), row["pool_id"])
        };
        let mut rows: Vec<String> = json.lines().map(line).collect();
        rows.sort();
        rows
    };
    assert_eq!(of(&["--user", "B1"]), ["b1 1", "b1 3"]);
    assert_eq!(of(&["--user", "b1", "--type", "SqlBackup"]), ["b1 1"]);
    assert_eq!(of(&["--user", "b1", "--pool", "3"]), ["b1 3"]);
    assert_eq!(of(&["--user", "b1", "--entity", "420"]), [""; 0]);
    assert_eq!(of(&["--entity", "1", "--below", "--type", "ExchangeBackup"]), ["b1 3"]);
    assert_eq!(of(&["--entity", "1"]), [""; 0]);
    assert_eq!(of(&["--pool", "1"]), ["b1 1", "b2 1"]);
    assert_eq!(of(&["--pool", "1", "--entity", "43"]), [""; 0]);
    assert_eq!(of(&["--inactive"]), [""; 0]);

    let moved = ok(&database, "transfer", &["--from", "b1", "--to", "b3", "--all-types", "--enroll"]);
    assert!(moved.starts_with("transferred: 2 seats from 'b1' to 'b3'\n"), "{moved}");
    assert_eq!(holders(&database), ["b2 1", "b3 1", "b3 3"]);
    let left = ok(&database, "leaver", &["--username", "b3", "--transfer-to", "b2", "--deactivate"]);
    assert!(left.starts_with("'b3' leaves: 1 released, 1 transferred, and is not active any more\n"), "{left}");
    assert_eq!(holders(&database), ["b2 1", "b2 3"]);
    assert!(ok(&database, "leaver", &["--username", "b3", "--release"]).starts_with("nothing to change"));
    ok(&database, "assign", &["--username", "b1", "--pool", "1"]);
    let many = ["--username", "b1", "--username", "b2", "--license-type", "SqlBackup"];
    assert!(ok(&database, "release", &many).starts_with("released: 2 users gave back 2 seats\n"));
    // All or none: the first has none any more.
    assert!(fails(&database, "release", &many, 1).contains("1004 NotAssigned"));
    let all = ["--username", "b2", "--all-types", "--reason", "cleaned up"];
    assert!(ok(&database, "release", &all).starts_with("released: 'b2' gave back 1 seat\n"));
    assert!(fails(&database, "release", &all, 1).contains("User 'b2' holds no seat."));
    assert_eq!(holders(&database), [""; 0]);
    // Without a reason of its own a change has that of its verb.
    let reasons = database.lines("SELECT DISTINCT reason FROM audit_event WHERE actor = 'cli' AND reason IS NOT NULL");
    for reason in ["seatkeeper assign", "seatkeeper transfer", "seatkeeper leaver", "seatkeeper release", "cleaned up"]
    {
        assert!(reasons.iter().any(|found| found == reason), "{reason}: {reasons:?}");
    }
    assert_eq!(database.violations(), []);
}

#[test]
fn a_pool_shrinks_below_its_use_with_those_who_are_proposed() {
    let database = seeded();
    for user in ["b1", "b2", "b3"] {
        ok(&database, "assign", &["--username", user, "--pool", "1", "--enroll"]);
    }
    ok(&database, "account set", &["b2", "active=0"]);
    let fewer = ["--pool", "1", "--seats", "2"];
    let said = fails(&database, "pool resize", &fewer, 1);
    assert_eq!(said, "error: Pool 1 cannot have 2 seats: 3 are in use. Release 1 first. --propose shows whom.\n");
    let before = events(&database);
    let proposed = ok(&database, "pool resize", &[&fewer[..], &["--propose"]].concat());
    let first = proposed.lines().find(|line| line.starts_with("yes")).expect("a proposal");
    assert!(first.contains("b2") && first.contains("the user is not active"), "{proposed}");
    assert!(proposed.contains("1 has to be released"), "{proposed}");
    let preview = ok(&database, "pool resize", &[&fewer[..], &["--release", "proposed", "--dry-run"]].concat());
    assert!(preview.contains("release") && preview.contains("seats_total: 3 -> 2"), "{preview}");
    assert_eq!(events(&database), before);
    let done = ok(&database, "pool resize", &[&fewer[..], &["--release", "proposed"]].concat());
    assert!(done.starts_with("pool 1: 3 -> 2 seats, after the release of 1 seat\n"), "{done}");
    assert_eq!(holders(&database), ["b1 1", "b3 1"]);
    let done = ok(&database, "pool resize", &["--pool", "1", "--seats", "1", "--release-user", "b3"]);
    assert!(done.starts_with("pool 1: 2 -> 1 seats"), "{done}");
    assert_eq!(holders(&database), ["b1 1"]);
    assert!(
        fails(&database, "pool resize", &["--pool", "1", "--seats", "0", "--release-user", "b3"], 1)
            .contains("User 'b3' holds no seat of pool 1.")
    );
    // As asked for already.
    assert!(ok(&database, "pool resize", &["--pool", "1", "--seats", "1"]).starts_with("nothing to change"));
    assert!(ok(&database, "pool resize", &["--pool", "1", "--seats", "5", "--propose"]).starts_with("nothing has to"));
    assert_eq!(database.violations(), []);
}

#[test]
fn rows_are_made_changed_listed_and_deleted() {
    let database = seeded();
    let has = |verb: &str, arguments: &[&str], parts: &[&str]| {
        let listed = ok(&database, verb, arguments);
        for part in parts {
            assert!(listed.contains(part), "{verb} {arguments:?}: no {part} in {listed}");
        }
    };
    ok(&database, "entity create", &["id=50", "parent_id=42", "name=Adatum"]);
    ok(&database, "entity set", &["50", "name=Adatum & Co", "note=a=b", "active=0"]);
    has("entity list", &["--entity", "42", "--below"], &["Contoso West", "Adatum & Co"]);
    has("entity list", &["--inactive", "--format", "csv"], &["\r\n50,42,Adatum & Co,0,"]);
    assert_eq!(database.lines("SELECT note FROM entity WHERE id = 50"), ["a=b"]);
    ok(&database, "entity set", &["50", "note="]);
    assert_eq!(database.query::<i64>("SELECT count(*) FROM entity WHERE id = 50 AND note IS NULL"), 1);
    ok(&database, "entity delete", &["50"]);
    ok(&database, "pool set", &["1", "expires_at=2097-01-31", "note=order 4711"]);
    has("pool list", &["--order", "expiry", "--state", "open"], &["2097-01-31T00:00:00Z", "order 4711"]);
    has("pool list", &["--type", "ExchangeBackup", "--format", "json"], &["\"state\":\"expired\""]);
    ok(&database, "pool delete", &["2"]);
    ok(&database, "account create", &["username=anna", "entity_id=42"]);
    ok(&database, "account set", &["ANNA", "username=Anna", "entity_id=420"]);
    has("account list", &["--starts-with", "an"], &["Anna", "Contoso West"]);
    let set = seatkeeper("credential set-password", &database, &["agent"], "correct horse battery\n");
    assert!(set.code == Some(0) && set.stdout.contains("undo: not possible"), "{set:?}");
    assert!(!set.stdout.contains("correct horse"), "{set:?}");
    let short = seatkeeper("credential set-password", &database, &["agent"], "short\n");
    assert!(short.code == Some(1) && short.stderr.contains("12"), "{short:?}");
    ok(&database, "credential set", &["contoso", "role=reader"]);
    has("credential list", &["--role", "reader"], &["reader", "contoso"]);
    ok(&database, "credential delete", &["gone"]);
    assert_eq!(database.query::<i64>("SELECT count(*) FROM credential WHERE user_name = 'gone'"), 0);
    ok(&database, "offer set", &["42", "--seats", "SqlBackup=10", "expires_at=2098-01-31"]);
    has("offer list", &[], &["SqlBackup=10", "2098-01-31T00:00:00Z"]);
    assert!(
        ok(&database, "offer set", &["42", "--seats", "SqlBackup=10", "expires_at=2098-01-31"]).contains("nothing")
    );
    ok(&database, "offer withdraw", &["42"]);
    assert_eq!(database.query::<i64>("SELECT count(*) FROM license_offer_module"), 0);
    has("refusals", &["--since", "1d"], &["request_id"]);
    has("attention", &[], &["full pools ", "seatkeeper pool list --database ", "last backup", "never"]);
    database.ticket_until("agent", "2099-01-01T00:00:00Z".parse().expect("a time"));
    has("credential sign-out", &["AGENT"], &["signed out: 1 sign-in of 'AGENT'"]);
    has("credential sign-out", &["agent"], &["signed out: 0 sign-ins"]);
    assert!(fails(&database, "credential sign-out", &["nobody"], 1).contains("There is no credential nobody"));
    assert_eq!(database.violations(), []);
}

/// Every verb that changes something, and what it would say.
const CHANGES: &[(&str, &[&str])] = &[
    ("assign", &["--username", "new", "--entity", "42", "--license-type", "SqlBackup", "--enroll"]),
    ("release", &["--username", "b1", "--license-type", "SqlBackup"]),
    ("release", &["--username", "b1", "--all-types"]),
    ("transfer", &["--from", "b1", "--to", "new", "--all-types", "--enroll"]),
    ("leaver", &["--username", "b1", "--release", "--deactivate"]),
    ("pool create", &["entity_id=42", "license_type=SqlBackup", "seats_total=5"]),
    ("pool set", &["1", "note=x"]),
    ("pool resize", &["--pool", "1", "--seats", "9"]),
    ("pool delete", &["2"]),
    ("entity create", &["parent_id=1", "name=New"]),
    ("entity set", &["42", "name=New"]),
    ("entity delete", &["420"]),
    ("account create", &["username=new", "entity_id=42"]),
    ("account set", &["b1", "active=0"]),
    ("credential create", &["user_name=new", "entity_id=42", "--generate"]),
    ("credential set", &["agent", "role=reader"]),
    ("credential set-password", &["agent", "--generate"]),
    ("credential delete", &["agent"]),
    ("offer set", &["42", "--seats", "SqlBackup=10"]),
];

#[test]
fn a_dry_run_shows_the_change_and_changes_nothing() {
    let database = seeded();
    ok(&database, "assign", &["--username", "b1", "--pool", "1", "--enroll"]);
    let before = database.session().all_rows();
    for (verb, arguments) in CHANGES {
        let shown = ok(&database, verb, &[arguments, &["--dry-run", "--as", "anna"][..]].concat());
        assert!(shown.starts_with("change ") && shown.lines().count() >= 3, "{verb}: {shown}");
        assert!(shown.contains("dry run: nothing was changed.") && !shown.contains("request id"), "{verb}: {shown}");
        assert!(!shown.contains("password, shown"), "{verb}: {shown}");
    }
    assert_eq!(database.session().all_rows(), before);
}

#[test]
fn a_receipt_undoes_what_it_is_for() {
    for (verb, arguments) in CHANGES {
        let database = seeded();
        ok(&database, "assign", &["--username", "b1", "--pool", "1", "--enroll"]);
        let state = || {
            let mut all = holders(&database);
            for query in [
                "SELECT id, name, active FROM entity ORDER BY id",
                "SELECT id, entity_id, seats_total, note FROM license_pool ORDER BY id",
                "SELECT username, entity_id, active FROM account WHERE active = 1 ORDER BY username",
                "SELECT user_name, entity_id, role, active FROM credential ORDER BY user_name",
                "SELECT entity_id FROM license_offer",
            ] {
                all.extend(database.lines(query));
            }
            all
        };
        let before = state();
        let receipt = ok(&database, verb, &[arguments, &["--reason", "a try"][..]].concat());
        let id = request_id(&receipt);
        let undo = receipt.lines().find_map(|line| line.strip_prefix("undo: ")).expect("how to undo it");
        if undo.starts_with("not possible") {
            assert!(verb.starts_with("credential"), "{verb}");
            let said = fails(&database, "undo", &[&id], 1);
            assert!(said.starts_with("error: This cannot be undone: "), "{verb}: {said}");
            continue;
        }
        assert!(undo.starts_with("seatkeeper undo --database ") && undo.ends_with(&id), "{undo}");
        assert_ne!(state(), before, "{verb}");
        let preview = ok(&database, "undo", &[&id, "--dry-run"]);
        assert!(preview.contains("dry run: nothing was changed"), "{preview}");
        let undone = ok(&database, "undo", &[&id, "--as", "anna", "--reason", "a mistake"]);
        assert!(undone.starts_with("undone: "), "{undone}");
        assert_eq!(state(), before, "{verb}");
        let reason =
            format!("SELECT count(*) FROM audit_event WHERE actor = 'anna' AND reason = 'undo of {id}: a mistake'");
        assert!(database.query::<i64>(&reason) > 0, "{verb}");
        // Twice is too often.
        let said = fails(&database, "undo", &[&id], 1);
        assert!(said.starts_with("error: This cannot be undone: "), "{verb}: {said}");
        assert_eq!(database.violations(), [], "{verb}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_exit_code_and_changes_nothing() {
    let database = seeded();
    ok(&database, "assign", &["--username", "b1", "--pool", "1", "--enroll"]);
    let before = events(&database);
    for (verb, arguments, code, said) in [
        // Refused.
        ("assign", &["--username", "b1", "--pool", "1"][..], 1, "error: 52 AlreadyExists: "),
        ("assign", &["--username", "b9", "--pool", "1"], 1, "'b9' is not known"),
        ("assign", &["--username", "b1", "--entity", "43", "--license-type", "ExchangeBackup"], 1, "expired"),
        ("release", &["--username", "b9", "--all-types"], 1, "There is no user b9"),
        ("transfer", &["--from", "b9", "--to", "b1", "--all-types"], 1, "There is no user b9"),
        ("leaver", &["--username", "b1", "--transfer-to", "B1"], 1, "must be another user"),
        ("pool set", &["99", "note=x"], 1, "There is no pool 99"),
        ("pool delete", &["1"], 1, "1 of its seats are in use"),
        ("entity set", &["42", "parent_id=420"], 1, "error: "),
        ("entity delete", &["42"], 1, "error: "),
        ("account create", &["username=B1", "entity_id=42"], 1, "in use already"),
        ("offer withdraw", &["42"], 1, "There is no offer for entity 42"),
        ("undo", &["6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11"], 1, "There is no change 6f1c0a1e"),
        ("explain", &["Err-6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11"], 1, "There is no refusal"),
        ("who", &["--entity", "99"], 1, "There is no entity 99"),
        ("who", &["--user", "b9"], 1, "There is no user b9"),
        ("who", &["--pool", "99"], 1, "There is no pool 99"),
        ("report", &["99"], 1, "There is no entity 99"),
        ("report", &["42", "--since", "2999-01-01"], 1, "since: "),
        ("export", &["users", "--entity", "99"], 1, "There is no entity 99"),
        // Used wrongly.
        ("pool set", &["1", "seats_total=1.000"], 2, "write 1000, not 1.000"),
        ("pool set", &["1", "colour=red"], 2, "'colour' is no column here; there are seats_total, starts_at"),
        ("pool set", &["1", "license_type=SqlBackup"], 2, "cannot change"),
        ("pool set", &["1", "note=a", "note=b"], 2, "note is given twice"),
        ("pool set", &["1"], 2, "required"),
        ("credential set", &["agent", "password_hash=x"], 2, "'password_hash' is no column here"),
        ("pool resize", &["--pool", "1", "--seats", "0", "--propose", "--release", "proposed"], 2, "cannot be used"),
        ("pool resize", &["--pool", "1", "--seats", "0", "--release", "all"], 2, "invalid value"),
        ("assign", &["--username", "b2"], 2, "--entity"),
        ("assign", &["--username", "b2", "--entity", "42"], 2, "--license-type"),
        ("release", &["--username", "b1"], 2, "--license-type"),
        ("release", &["--username", "b1", "--license-type", "Word", "--dry-run"], 2, "is not a license type"),
        ("leaver", &["--username", "b1"], 2, "--release"),
        ("offer set", &["42", "--seats", "SqlBackup"], 2, "write TYPE=NUMBER"),
        ("undo", &["12345"], 2, "a request id looks like"),
        ("explain", &[], 2, "required"),
        ("explain", &["--user", "b1"], 2, "required"),
        ("export", &["passwords"], 2, "invalid value"),
        ("export", &["users", "--below"], 2, "--entity"),
        ("entity set", &["42", "note=x", "--as", "SQL"], 2, "--as must be a name"),
        // Cannot run.
        ("import", &["users", "nowhere.csv"], 3, "nowhere.csv: No such file"),
    ] {
        let found = fails(&database, verb, arguments, code);
        assert!(found.contains(said), "{verb} {arguments:?}: {found}");
    }
    assert_eq!(events(&database), before);
    for verb in ["who", "pool list", "entity list", "refusals", "export users", "report 42", "undo", "import users x"] {
        let arguments: &[&str] = if verb == "undo" { &["6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11"] } else { &[] };
        let nowhere = seatkeeper(verb, "/nowhere/seats.db", arguments, "");
        assert_eq!(nowhere.code, Some(3), "{verb}: {nowhere:?}");
    }
}

/// Texts that mean something to a spreadsheet, a shell, a terminal or a reader of CSV.
const HOSTILE: [&str; 12] = [
    "=cmd|' /C calc'!A0",
    "+49 30 1234",
    "-1",
    "@SUM(A1:A9)",
    "'=1+1",
    "a,b;c\td",
    "say \"x\"",
    "two\nlines\nthree",
    "<script>alert(1)</script>",
    "\u{202e}txt.exe",
    "$(touch x)`x`",
    " leading and trailing ",
];

#[test]
fn hostile_values_leave_and_come_back_as_they_are() {
    let database = seeded();
    for (at, text) in HOSTILE.iter().enumerate() {
        let (id, name, note) = (format!("id={}", 100 + at), format!("name=x{text}"), format!("note={text}"));
        ok(&database, "entity create", &[&id, "parent_id=1", &name, &note]);
    }
    let exported = ok(&database, "export", &["entities", "--entity", "1", "--below"]);
    // No cell begins like a formula.
    let mut cells = csv::ReaderBuilder::new().from_reader(exported.as_bytes());
    let mut notes = Vec::new();
    for record in cells.records().map(|record| record.expect("a record")) {
        assert!(record.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])), "{record:?}");
        notes.push(record.get(14).expect("the note").to_owned());
    }
    assert!(notes.contains(&"'=cmd|' /C calc'!A0".to_owned()) && notes.contains(&"'-1".to_owned()), "{notes:?}");
    // A terminal gets no control characters, and nothing that turns the direction of writing.
    let table = ok(&database, "entity list", &["--text", "x"]);
    assert!(table.contains("\\u{202e}txt.exe") && !table.contains(['\u{202e}', '\t', '\r']), "{table}");
    // Exported, all changed, imported again.
    let state = || database.lines("SELECT id, name, coalesce(note, '-') FROM entity ORDER BY id");
    let before = state();
    database.sql("UPDATE entity SET note = 'lost', name = 'lost' WHERE id BETWEEN 100 AND 199");
    let import = |arguments: &[&str], text: &str| {
        seatkeeper("import", &database, &[&["entities", "-"], arguments].concat(), text)
    };
    let preview = import(&["--dry-run"], &exported);
    assert!(preview.code == Some(0) && preview.stdout.contains("12 changed"), "{preview:?}");
    assert_ne!(state(), before);
    let done = import(&[], &exported);
    assert!(done.code == Some(0) && done.stdout.starts_with("imported entities: 0 made, 12 changed"), "{done:?}");
    assert_eq!(state(), before);
    let again = import(&[], &exported);
    assert!(again.code == Some(0) && again.stdout.starts_with("nothing to change"), "{again:?}");
    // JSON has the texts as they are.
    let json = ok(&database, "export", &["entities", "--format", "json"]);
    let rows: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for text in HOSTILE {
        assert!(rows.iter().any(|row| row["note"] == text), "{text:?}");
    }
    assert_eq!(database.violations(), []);
}

#[test]
fn an_import_is_all_or_nothing_and_names_every_wrong_line() {
    let database = seeded();
    let import = |what: &str, arguments: &[&str], text: &str| {
        seatkeeper("import", &database, &[&[what, "-"], arguments].concat(), text)
    };
    let wrong = import("users", &[], "username;entity_id\nb1;42\nb2;99\n;42\nb3;43\n");
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""), "{wrong:?}");
    for part in ["line 3: ", "line 4: ", "error: 2 lines cannot be imported; nothing was changed"] {
        assert!(wrong.stderr.contains(part), "{wrong:?}");
    }
    assert_eq!(database.query::<i64>("SELECT count(*) FROM account"), 0);
    let users = import("users", &["--reason", "moved in"], "username;entity_id\nb1;42\nb3;43\n");
    assert!(users.stdout.starts_with("imported users: 2 made, 0 changed, 0 as they were\n"), "{users:?}");
    let seats =
        import("assignments", &["--enroll"], "username,license_type,entity_id\nb1,SqlBackup,42\nb4,SqlBackup,42\n");
    assert!(seats.stdout.starts_with("imported assignments: 2 made"), "{seats:?}");
    assert_eq!(holders(&database), ["b1 1", "b4 1"]);
    // What leaves comes back elsewhere.
    let exported = ok(&database, "export", &["assignments"]);
    assert!(exported.starts_with("username,license_type,entity_id,pool_id,seat_no\r\n"), "{exported}");
    for what in ["entities", "users", "pools", "assignments"] {
        let text = ok(&database, "export", &[what]);
        let same = import(what, &[], &text);
        assert!(same.code == Some(0) && same.stdout.starts_with("nothing to change"), "{what}: {same:?}");
    }
    let credentials = ok(&database, "export", &["credentials"]);
    assert!(!credentials.contains("argon2") && credentials.contains("agent,"), "{credentials}");
    let undone = ok(&database, "undo", &[&request_id(&seats.stdout)]);
    assert!(undone.starts_with("undone: 3 changes of "), "{undone}");
    assert_eq!(holders(&database), [""; 0]);
    assert_eq!(database.violations(), []);
}

#[test]
fn a_long_list_comes_page_by_page_to_its_end() {
    let database = seeded();
    let values: Vec<String> = (1..=2500).map(|n| format!("({n}, 'u{n:04}', 42)")).collect();
    database.sql(&format!(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (5, 42, 'ExchangeBackup', 2500);
         INSERT INTO account (id, username, entity_id) VALUES {};
         UPDATE seat SET account_id = seat_no WHERE pool_id = 5",
        values.join(", ")
    ));
    for (verb, arguments) in [
        ("who", &["--pool", "5"][..]),
        ("who", &["--entity", "42", "--below"]),
        ("account list", &["--holds"]),
        ("export", &["users"]),
        ("export", &["assignments"]),
    ] {
        let listed = ok(&database, verb, &[arguments, &["--format", "csv"]].concat());
        assert_eq!(listed.lines().count(), 2501, "{verb} {arguments:?}");
        for n in [1, 1000, 1001, 2500] {
            assert_eq!(listed.matches(&format!("u{n:04}")).count(), 1, "{verb} {n}");
        }
    }
}

#[test]
fn a_refusal_is_explained_with_what_helps() {
    let server = Server::start();
    let database = server.database();
    for user in ["b1", "b2", "b3"] {
        assert_eq!(server.assign(user, 42, "SqlBackup").code(), "Success");
    }
    let text =
        ok(database, "explain", &["--user", "b4", "--entity", "42", "--type", "SqlBackup", "--credential", "agent"]);
    for part in [
        "refused: 1003 NoFreeSeat: ",
        "rule 12 of 12 decides: One of these pools has a free seat.",
        "Pool 1 has 3 seats, 3 in use",
        "Raise pool 1 to 4 seats.",
        "seatkeeper pool resize --database ",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    // What helps is what it says.
    let help = text.lines().find(|line| line.contains("pool resize")).expect("a command");
    assert!(help.ends_with(" --pool 1 --seats 4"), "{help}");
    ok(database, "pool resize", &["--pool", "1", "--seats", "4"]);
    let asked = ["--user", "b4", "--entity", "42", "--type", "SqlBackup", "--format", "json"];
    let json: serde_json::Value = serde_json::from_str(&ok(database, "explain", &asked)).expect("JSON");
    assert_eq!((&json["is_assigned"], &json["remedies"][0]["key"]), (&true.into(), &"assign".into()), "{json}");
    assert!(json["remedies"][0]["command"].as_str().is_some_and(|c| c.contains("assign --database ")), "{json}");
    let report = ok(database, "report", &["42", "--since", "1h", "--format", "csv"]);
    assert!(report.contains("\r\n1,42,Contoso,SqlBackup,"), "{report}");
    let report = ok(database, "report", &["1", "--below", "--since", "1h"]);
    assert!(report.starts_with("Northwind (1), ") && report.contains("0 -> 3"), "{report}");
}

#[test]
fn a_refused_call_is_listed_and_explained_by_its_id() {
    let database = seeded();
    let service = Serving::start(&database);
    let call = assign_envelope("agent", PASSWORD, "b1", 44, "SqlBackup");
    assert_eq!(Client::to(service.address).send(&post11(&call)).code(), "ObjectEntityMismatch");
    let listed = || ok(&database, "refusals", &["--since", "1h", "--user", "B1", "--format", "json"]);
    wait_until("the refusal is kept", || !listed().is_empty());
    let row: serde_json::Value = serde_json::from_str(&listed()).expect("one refusal");
    assert_eq!((&row["actor"], &row["entity_id"]), (&"agent".into(), &44.into()), "{row}");
    let id = format!("Err-{}", row["request_id"].as_str().expect("an id"));
    let text = ok(&database, "explain", &[&id]);
    for part in ["AssignLicense refused agent", "rule 7 of 12 decides", "entity set --database ", " 44 active=1"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn every_verb_shows_an_example_and_says_what_it_does() {
    let mut verbs: Vec<&str> = CHANGES.iter().map(|(verb, _)| *verb).collect();
    verbs.extend([
        "attention",
        "credential sign-out",
        "who",
        "pool list",
        "entity list",
        "account list",
        "credential list",
        "offer list",
        "offer withdraw",
        "import",
        "export",
        "refusals",
        "explain",
        "report",
        "undo",
    ]);
    for verb in verbs {
        let mut command = crate::program::command();
        let done = crate::program::run(command.args(verb.split(' ')).arg("--help"), "");
        assert_eq!(done.code, Some(0), "{verb}");
        assert!(done.stdout.contains(&format!("  seatkeeper {verb} --database seats.db")), "{verb}: {}", done.stdout);
        if CHANGES.iter().any(|(change, _)| *change == verb) {
            for option in ["--dry-run", "--as <NAME>", "--reason <TEXT>"] {
                assert!(done.stdout.contains(option), "{verb}: no {option}");
            }
        }
    }
}
