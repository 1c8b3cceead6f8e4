//! `seatkeeper sql` with scripts: what it says, what it keeps, and what it never says.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rusqlite::Connection;

use crate::harness::*;
use crate::program::{Done, program, run, seatkeeper};

/// A database with the sample data, copied for each case.
struct Sample {
    directory: TempDir,
    original: PathBuf,
}

impl Sample {
    fn new() -> Sample {
        let directory = TempDir::new();
        let original = directory.join("original.db");
        sql(&original, &sample_data()).expect("seed");
        Connection::open(&original)
            .expect("open")
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .expect("checkpoint");
        Sample { directory, original }
    }

    fn copy(&self) -> PathBuf {
        let database = self.directory.join("seats.db");
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(self.directory.join(&format!("seats.db{suffix}")));
        }
        std::fs::copy(&self.original, &database).expect("copy");
        database
    }
}

fn notes(database: &Path) -> String {
    texts(database, "SELECT id || coalesce('=' || note, '') FROM entity ORDER BY id").join(" ")
}

/// Entities of the sample data without a note.
const NO_NOTES: &str = "1 9 42 43 44 420";

/// A script, what it says on standard error, and its exit code. Nothing is kept if it fails.
const SCRIPTS: &[(&str, &[&str], &str, i32)] = &[
    ("UPDATE entity SET note = 'x' WHERE id = 1", &[], "line 1: 1 row changed\n", 0),
    ("UPDATE entity SET note = 'x' WHERE id = 77", &[], "line 1: no row matches\n", 0),
    ("DELETE FROM entity WHERE id = 77;\n\nSELECT 1;", &[], "line 1: no row matches\n", 0),
    ("INSERT OR IGNORE INTO entity (id, name) VALUES (1, 'x')", &[], "line 1: no row added\n", 0),
    // The seats that triggers add do not count.
    ("-- more\nUPDATE license_pool SET seats_total = 9 WHERE id = 1;", &[], "line 2: 1 row changed\n", 0),
    ("UPDATE entity SET note = 'x' WHERE id = 1", &["--quiet"], "", 0),
    ("SELECT 1", &[], "", 0),
    // Where it failed.
    (
        "SELECT 1;\nSELECT id,\n  nope FROM entity;",
        &[],
        "error: line 2, statement 2: no such column: nope (line 3, column 3). Nothing of the script was kept.\n",
        1,
    ),
    (
        "INSERT INTO entity (id, parent_id, name) VALUES\n (100, 1, 'a'),\n (101, 99, 'b'),\n (102, 1, 'c');",
        &[],
        "error: line 1, statement 1, row 2 of the VALUES (line 3): parent entity does not exist: insert it first. Nothing of the script \
         was kept.\n",
        1,
    ),
    (
        "INSERT INTO entity (id, name) VALUES (100, 'a'), (1, 'b')",
        &["--as", "Ann"],
        "error: line 1, statement 1, row 2 of the VALUES: entity exists already: change it with UPDATE; INSERT OR IGNORE passes over it. \
         Nothing of the script was kept.\n",
        1,
    ),
    (
        "INSERT INTO entity (id, name) VALUES (100, 'a'), (101, 'b', 3)",
        &[],
        "error: line 1, statement 1, row 2 of the VALUES: all VALUES must have the same number of terms. Nothing of the script was kept.\n",
        1,
    ),
    (
        "\n\nSELEC 1",
        &[],
        "error: line 3, statement 1: near \"SELEC\": syntax error. Nothing of the script was kept.\n",
        1,
    ),
    // Wide changes.
    (
        "UPDATE entity SET note = 'x'",
        &[],
        "error: line 1, statement 1: this UPDATE has no WHERE and would change 6 rows of entity; if that is meant, give --yes. Nothing of \
         the script was kept.\n",
        1,
    ),
    (
        "WITH w AS (SELECT 1 WHERE 1) DELETE FROM main.credential",
        &["--as", "Ann"],
        "error: line 1, statement 1: this DELETE has no WHERE and would delete 5 rows of credential; if that is meant, give --yes. Nothing \
         of the script was kept.\n",
        1,
    ),
    ("UPDATE entity SET note = 'x'", &["--yes"], "line 1: 6 rows changed\n", 0),
    ("UPDATE entity SET note = 'x' WHERE id > 0", &[], "line 1: 6 rows changed\n", 0),
    ("CREATE TABLE mine AS SELECT 1 AS x UNION SELECT 2; DELETE FROM mine", &[], "line 1: 2 rows deleted\n", 0),
    // Transactions of the script's own.
    (
        "BEGIN;\nUPDATE entity SET note = 'x' WHERE id = 1;",
        &[],
        "error: line 1: the transaction that begins here has no COMMIT: it was rolled back.\n",
        1,
    ),
    (
        "COMMIT",
        &[],
        "error: line 1, statement 1: cannot commit - no transaction is active. Nothing of the script was kept.\n",
        1,
    ),
];

#[test]
fn a_script_says_what_it_changed_and_where_it_failed() {
    let sample = Sample::new();
    for (script, arguments, said, code) in SCRIPTS {
        let database = sample.copy();
        let done = seatkeeper("sql", &database, arguments, script);
        assert_eq!((done.stderr.as_str(), done.code), (*said, Some(*code)), "{script}");
        if *code != 0 {
            assert_eq!(notes(&database), NO_NOTES, "{script}");
            assert_eq!(texts(&database, "SELECT user_name FROM credential").len(), 5, "{script}");
        }
    }
}

#[test]
fn many_changes_are_told_in_few_lines() {
    let sample = Sample::new();
    let script: String = (1..=200)
        .map(|n| format!("UPDATE entity SET note = '{n}' WHERE id = {};\n", if n == 77 { 77 } else { 1 }))
        .collect();
    let done = seatkeeper("sql", sample.copy(), &[], &script);
    assert_eq!(done.stderr, "line 77: no row matches\n199 rows changed by 200 statements\n");
}

/// A script, what it says is kept, and the notes that are.
const TRANSACTIONS: &[(&str, &str, &str)] = &[
    (
        "PRAGMA foreign_keys; UPDATE entity SET note = 'x' WHERE id = 1; nonsense",
        "Nothing of the script was kept.",
        NO_NOTES,
    ),
    (
        "ATTACH ':memory:' AS other; UPDATE entity SET note = 'x' WHERE id = 1; nonsense",
        "Nothing of the script was kept.",
        NO_NOTES,
    ),
    (
        "UPDATE entity SET note = 'x' WHERE id = 1; PRAGMA user_version; nonsense",
        "Nothing of the script was kept.",
        NO_NOTES,
    ),
    (
        "UPDATE entity SET note = 'x' WHERE id = 1; ATTACH ':memory:' AS other; nonsense",
        "Nothing of the script was kept.",
        NO_NOTES,
    ),
    (
        "SAVEPOINT a; UPDATE entity SET note = 'x' WHERE id = 1; RELEASE a; nonsense",
        "Nothing of the script was kept.",
        NO_NOTES,
    ),
    ("BEGIN; UPDATE entity SET note = 'x' WHERE id = 1; nonsense", "Nothing of the script was kept.", NO_NOTES),
    (
        "BEGIN;\nUPDATE entity SET note = 'x' WHERE id = 1;\nCOMMIT;\nUPDATE entity SET note = 'y' WHERE id = 9;\nnonsense",
        "What comes before COMMIT in line 3 was kept, because COMMIT ends a transaction; nothing after it was kept.",
        "1=x 9 42 43 44 420",
    ),
    (
        "UPDATE entity SET note = 'x' WHERE id = 1;\nVACUUM;\nUPDATE entity SET note = 'y' WHERE id = 9;\nnonsense",
        "What comes before VACUUM in line 2 was kept, because VACUUM ends a transaction; nothing after it was kept.",
        "1=x 9 42 43 44 420",
    ),
    (
        "UPDATE entity SET note = 'x' WHERE id = 1;\nPRAGMA main.wal_checkpoint(TRUNCATE);\nnonsense",
        "What comes before PRAGMA in line 2 was kept, because PRAGMA ends a transaction; nothing after it was kept.",
        "1=x 9 42 43 44 420",
    ),
    (
        "UPDATE entity SET note = 'x' WHERE id = 1;\nBEGIN;\nUPDATE entity SET note = 'y' WHERE id = 9;\nnonsense",
        "What comes before BEGIN in line 2 was kept, because BEGIN ends a transaction; nothing after it was kept.",
        "1=x 9 42 43 44 420",
    ),
    ("UPDATE entity SET note = 'x' WHERE id = 1;\n.read more.sql", "Nothing of the script was kept.", NO_NOTES),
    (
        "UPDATE OR ROLLBACK entity SET note = 'x', parent_id = 77 WHERE id = 42; nonsense",
        "Nothing of the script was kept.",
        NO_NOTES,
    ),
];

#[test]
fn a_failed_script_keeps_nothing_or_says_what() {
    let sample = Sample::new();
    std::fs::write(sample.directory.join("more.sql"), "UPDATE entity SET note = 'y' WHERE id = 9;\nnonsense")
        .expect("write");
    for (script, said, kept) in TRANSACTIONS {
        let database = sample.copy();
        let done = seatkeeper("sql", &database, &[], script);
        assert!(done.stderr.ends_with(&format!("{said}\n")), "{script}: {}", done.stderr);
        assert_eq!((notes(&database).as_str(), done.code), (*kept, Some(1)), "{script}");
    }
    // The same without the error: all of it is kept.
    for (script, _, _) in TRANSACTIONS.iter().filter(|(script, ..)| {
        script.contains("; nonsense") && !script.starts_with("BEGIN") && !script.contains("ROLLBACK")
    }) {
        let database = sample.copy();
        let done = seatkeeper("sql", &database, &[], script.strip_suffix("; nonsense").expect("the error"));
        assert_eq!(
            (notes(&database).as_str(), done.code),
            ("1=x 9 42 43 44 420", Some(0)),
            "{script}: {}",
            done.stderr
        );
    }
}

/// Scripts with a password that fail in some way, with and without --keep-going. No word of the password is in what they say.
#[test]
fn no_error_repeats_a_password() {
    const PARTS: [&str; 4] = ["Kumquat", "tangelo", "Rambutan", "pomelo"];
    let scripts = [
        "UPDATE credential SET password_hash = hash_password('Kumquat's tangelo; Rambutan pomelo') WHERE user_name = 'agent'; SELECT 1;",
        "UPDATE credential SET password_hash = hash_password(\"Kumquat tangelo Rambutan\") WHERE user_name = 'agent';",
        "UPDATE credential SET password_hash = hash_password(Kumquat) WHERE user_name = 'agent';",
        "UPDATE credential SET password_hash = hash_password('Kumquat tangelo",
        "UPDATE credential SET password_hash = hash_password('Kumquat tangelo') WHER user_name = 'agent';",
        "UPDATE credential SET password_hash = hash_password('Kumquat', 'tangelo');",
        "UPDATE credential SET password_hash = hash_pasword('Kumquat tangelo') WHERE user_name = 'agent';",
        "UPDATE credential SET password_hash = 'Kumquat' 'tangelo';",
        "UPDATE credential SET password_hash = hash_password('Kum');",
        "UPDATE credential SET password_hash = 'Kumquat' WHERE user_name = 'agent' AND json_extract('{}', 'Kumquat');",
        "SELECT 'a; UPDATE credential SET password_hash = hash_password('Kumquat') ; SELECT tangelo; Rambutan;",
        "INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('a', hash_password('Kumquat tangelo'), 1),
         ('b', hash_password('Rambutan pomelo'), 99);",
        "INSERT INTO credential VALUES ('agent', '$argon2id$Kumquat', 1, Rambutan);",
        "INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('a', 'Kumquat', Rambutan-pomelo);",
        "SELECT \"x; hash_password('Kumquat'); Rambutan(tangelo); \"pomelo\";",
        "CREATE TABLE Kumquat (a); -- hash_password('tangelo')\nCREATE TABLE Kumquat (a);",
        ".import Kumquat-password tangelo",
        "/* hash_password('Kumquat tangelo') */ nonsense;",
        "SELECT hash_password(NULL); SELECT hash_password(x'00'); SELECT Kumquat;",
        "SELECT hash_password('Kumquat tangelo' || char(0)) ; tangelo",
        "PRAGMA ignore_check_constraints = Kumquat; -- password",
        "ATTACH 'seats.db' AS password; SELECT Kumquat",
        "SAVEPOINT a; ROLLBACK TO Kumquat; -- password",
        "SELECT 'a' = 'b' COLLATE Kumquat; -- password",
    ];
    let sample = Sample::new();
    for script in scripts {
        for arguments in [&[][..], &["--keep-going"], &["--as", "Ann"]] {
            let done = seatkeeper("sql", sample.copy(), arguments, script);
            assert_eq!(done.code, Some(1), "{script}: {done:?}");
            let is_name_of_file = script.starts_with(".import");
            for part in PARTS.iter().filter(|_| !is_name_of_file) {
                assert!(!done.stderr.contains(part) && !done.stdout.contains(part), "{script}: {done:?}");
            }
            assert!(done.stderr.contains("line 1") || done.stderr.contains("line 2"), "{script}: {}", done.stderr);
        }
    }
    // In other encodings, in a file that is read, and in a dump.
    let database = sample.copy();
    let latin1 =
        b"UPDATE credential SET password_hash = hash_password('Kumquat tangel\xf6') WHERE user_name = 'agent';"
            .to_vec();
    let utf16: Vec<u8> =
        "\u{feff}SELECT hash_password('Kumquat tangelo')".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let dump = "CREATE TABLE entity (id); INSERT INTO credential VALUES ('Kumquat', tangelo);".as_bytes().to_vec();
    for (name, bytes, arguments, code) in
        [("latin1.sql", latin1, &[][..], 1), ("utf16.sql", utf16, &[][..], 1), ("dump.sql", dump, &["--create"][..], 3)]
    {
        std::fs::write(sample.directory.join(name), bytes).expect("write");
        let new = sample.directory.join("new.db");
        let database = if arguments.is_empty() { &database } else { &new };
        for (arguments, input) in
            [([arguments, &[name]].concat(), ""), (arguments.to_vec(), &format!(".read {name}\n"))]
        {
            let done = seatkeeper("sql", database, &arguments, input);
            assert!(PARTS.iter().all(|part| !done.stderr.contains(part)), "{name}: {done:?}");
            assert!(input.starts_with(".read") || done.code == Some(code), "{name}: {done:?}");
        }
    }
    // As an argument with a typing error, and in an address with one.
    let typed =
        seatkeeper("sql", &database, &["UPDAT credential SET password_hash = hash_password('Kumquat tangelo')"], "");
    assert!(typed.code == Some(3) && PARTS.iter().all(|part| !typed.stderr.contains(part)), "{typed:?}");
    let address = Path::new("postgress://kumquat:Kumquat-tangelo@localhost/seats");
    let mistyped = seatkeeper("sql", address, &["SELECT 1"], "");
    assert!(mistyped.code != Some(0) && PARTS.iter().all(|part| !mistyped.stderr.contains(part)), "{mistyped:?}");
    let utf16 = seatkeeper("sql", &database, &["utf16.sql"], "").stderr;
    assert!(
        utf16.ends_with("utf16.sql, line 1: this is UTF-16; write the text in UTF-8. Nothing was run.\n"),
        "{utf16}"
    );
}

/// SQLite would run what stands before the NUL.
#[test]
fn a_text_that_sqlite_would_cut_off_is_refused() {
    let sample = Sample::new();
    let database = sample.copy();
    let script = sample.directory.join("nul.sql");
    std::fs::write(&script, "SELECT 1;\nUPDATE entity SET note = 'x' \0 WHERE id = 1;\n").expect("write");
    let done = seatkeeper("sql", &database, &[script.to_str().expect("a name")], "");
    assert!(done.code == Some(1) && done.stderr.contains("nul.sql, line 2: there is a NUL"), "{done:?}");
    assert_eq!(notes(&database), NO_NOTES);
    let done = seatkeeper("sql", &database, &[database.to_str().expect("a name")], "");
    assert!(done.stderr.contains("this is a database, and no SQL: name it with --database"), "{done:?}");
}

#[test]
fn a_trigger_ends_with_its_own_end() {
    let sample = Sample::new();
    let database = sample.copy();
    let script = "CREATE TABLE mine (a, b);
        CREATE TRIGGER own AFTER INSERT ON mine BEGIN
            SELECT CASE WHEN new.a = 1 THEN 2 END;
            UPDATE mine SET b = CASE a WHEN 1 THEN 'one' ELSE 'many' END;
        END;
        INSERT INTO mine (a) VALUES (1);
        SELECT b FROM mine;";
    let done = seatkeeper("sql", &database, &["--quiet"], script);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str(), done.code), ("one\n", "", Some(0)));
}

/// A script that only reads ends without a word when its reader has seen enough.
#[test]
fn a_script_whose_rows_are_not_read_says_that_nothing_was_kept() {
    let sample = Sample::new();
    let database = sample.copy();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    for (change, code, said) in
        [("", 0, ""), ("UPDATE entity SET note = 'x' WHERE id = 1;", 3, "Nothing of the script was kept.")]
    {
        let mut child = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
        child.args(["sql", "--database"]).arg(&database).arg(format!("{change} {endless}"));
        let mut child = child
            .envs(crate::program::NO_SETTINGS)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut rows = BufReader::new(child.stdout.take().expect("is piped"));
        rows.read_line(&mut String::new()).expect("a row");
        drop(rows);
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && stderr.trim_end().ends_with(said), "{change}: {output:?}");
        assert!(!said.is_empty() || stderr.is_empty(), "{stderr}");
    }
    assert_eq!(notes(&database), NO_NOTES);
}

#[test]
fn no_message_is_long_or_reaches_a_terminal_raw() {
    let sample = Sample::new();
    let rest = "x".repeat(5000);
    for script in [
        format!("SELECT 'a' b'c; {rest}"),
        format!("SELECT \"{rest}"),
        format!("{rest} 1"),
        "SELECT \u{1b}[31m;".to_owned(),
        "SELECT \"\u{1b}[31m\u{202e}\";".to_owned(),
        ".mode \u{1b}[31m".to_owned(),
        ".\u{1b}[31m".to_owned(),
        ".read \u{1b}[31m".to_owned(),
    ] {
        let done = seatkeeper("sql", sample.copy(), &[], &script);
        let end = script.len().min(20);
        assert!(
            done.stderr.len() < 300 && !done.stderr.contains(['\u{1b}', '\u{202e}']),
            "{}: {}",
            &script[..end],
            done.stderr
        );
    }
}

#[test]
fn rows_are_written_for_machines() {
    let sample = Sample::new();
    let database = sample.copy();
    let query = "SELECT 9007199254740993 AS n, NULL AS none, '' AS empty, 'a|b \"c\", d' || char(10) || 'e' AS text, x'00ff' AS data, 1.5 AS real";
    let written = |format: &str| seatkeeper("sql", &database, &["--format", format, "-c", query], "").stdout;
    assert_eq!(
        written("csv"),
        "n,none,empty,text,data,real\r\n9007199254740993,,\"\",\"a|b \"\"c\"\", d\ne\",x'00ff',1.5\r\n"
    );
    let json: serde_json::Value = serde_json::from_str(&written("json")).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({"n": 9007199254740993_i64, "none": null, "empty": "", "text": "a|b \"c\", d\ne", "data": "x'00ff'", "real": 1.5})
    );
    assert_eq!(written("list"), "9007199254740993|||\"a|b \"\"c\"\", d\ne\"|x'00ff'|1.5\n");
    assert!(written("table").starts_with("n                 none  empty  text"), "{}", written("table"));
    // A pipe has lists without headers, as scripts expect them.
    assert_eq!(seatkeeper("sql", &database, &[], query).stdout, written("list"));
    let with = ["--headers", "on"];
    assert!(seatkeeper("sql", &database, &with, query).stdout.starts_with("n|none|empty|text|data|real\n"));
    let none = "SELECT id, name FROM entity WHERE 0";
    assert_eq!(seatkeeper("sql", &database, &["--format", "csv"], none).stdout, "id,name\r\n");
    assert_eq!(seatkeeper("sql", &database, &["--format", "json"], none).stdout, "");
    // The rows of RETURNING only if the change is kept.
    let returning = "UPDATE entity SET note = 'x' RETURNING id";
    assert_eq!(seatkeeper("sql", &database, &[], returning).stdout, "");
    assert_eq!(seatkeeper("sql", &database, &["--yes"], returning).stdout.lines().count(), 6);
}

#[test]
fn sql_and_files_are_told_apart() {
    let sample = Sample::new();
    let database = sample.copy();
    std::fs::write(sample.directory.join("seed.sql"), "\u{feff}SELECT 'from the file';").expect("write");
    std::fs::write(sample.directory.join("SELECT 1"), "SELECT 'from the oddly named file';").expect("write");
    for (arguments, input, code, said) in [
        (vec!["seed.sql"], "", 0, "from the file\n"),
        (vec!["SELECT 1"], "", 0, "from the oddly named file\n"),
        (vec!["-c", "SELECT 1"], "", 0, "1\n"),
        (vec!["--command", "SELECT 1; SELECT 2"], "", 0, "1\n2\n"),
        (vec!["SELECT 2"], "", 0, "2\n"),
        (vec!["/* a comment */ select 3"], "", 0, "3\n"),
        (vec!["-"], "SELECT 4", 0, "4\n"),
        (vec![], "SELECT 5", 0, "5\n"),
        (
            vec!["nowhere.sql"],
            "",
            3,
            "nowhere.sql: No such file or directory (os error 2). It does not begin like SQL either\n",
        ),
        (
            vec!["SELET 1"],
            "",
            3,
            "SELET 1: No such file or directory (os error 2). It does not begin like SQL either\n",
        ),
        (vec!["seed.sql", "-c", "SELECT 1"], "", 2, "cannot be used with"),
        (vec!["--format", "xml", "-c", "SELECT 1"], "", 2, "[possible values: table, list, csv, json]"),
    ] {
        let done = seatkeeper("sql", &database, &arguments, input);
        let text = if code == 0 { done.stdout } else { done.stderr };
        assert!(text.ends_with(said) || (code == 2 && text.contains(said)), "{arguments:?}: {text}");
        assert_eq!(done.code, Some(code), "{arguments:?}");
    }
    let secret = "UPDATE credential SET password_hash = hash_password('twelve characters') WHERE user_name = 'agent'";
    let done = seatkeeper("sql", &database, &["-c", secret], "");
    assert!(done.stderr.starts_with("warning: other users can see a password among the arguments"), "{}", done.stderr);
    assert_eq!(done.code, Some(0));
}

#[test]
fn the_commands_of_sqlites_shell_work_or_are_explained() {
    let sample = Sample::new();
    let database = sample.copy();
    let shell = |script: &str| seatkeeper("sql", &database, &["--quiet"], script);
    for (script, written) in [
        (".mode csv\nSELECT 1 AS a, 'b,c' AS b;", "a,b\r\n1,\"b,c\"\r\n"),
        (".mode json;\nSELECT 1 AS a;\n", "{\"a\":1}\n"),
        (".headers on\nSELECT 1 AS a;\n.headers off\nSELECT 2 AS a;", "a\n1\n2\n"),
        ("SELECT 1;\n.quit\nSELECT 2;", "1\n"),
        ("  .exit\nnonsense", ""),
        (".schema entity_by_parent", ""),
    ] {
        let done = shell(script);
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{script}");
        if !written.is_empty() {
            assert_eq!(done.stdout, written, "{script}");
        }
    }
    let tables = shell(".tables").stdout;
    assert!(tables.starts_with("account\naudit_archive\n") && tables.contains("\nupkeep\n"), "{tables}");
    let schema = shell(".schema license_offer").stdout;
    assert!(schema.starts_with("CREATE TABLE license_offer (\n") && schema.contains("CREATE TRIGGER"), "{schema}");
    assert!(shell(".help").stderr.contains(".import FILE TABLE"), "it goes to standard error");
    for (command, instead) in [
        (".dump", "`seatkeeper backup FILE`"),
        (".backup x.db", "`seatkeeper backup FILE`"),
        (".restore x.db", "`seatkeeper restore FILE`"),
        (".open x.db", "start again with --database FILE"),
        (".output x.csv", "--format csv"),
        (".once x.csv", "--format csv"),
        (".separator ;", ".mode csv"),
        (".shell ls", "use another terminal"),
        (".timeout 100", "a statement waits 5 seconds for the lock"),
        (".bail on", "--keep-going"),
        (".databases", "PRAGMA database_list;"),
        (".indexes", "sqlite_schema"),
        (".mode markdown", "the formats are table, list, csv and json"),
        (".headers", ".headers on|off"),
        (".read", ".read FILE"),
        (".import x.csv", ".import FILE TABLE"),
        (".nonsense", ".help lists them"),
        (".", ".help lists them"),
    ] {
        let done = shell(command);
        assert!(
            done.stderr.starts_with("error: line 1: ") && done.stderr.contains(instead),
            "{command}: {}",
            done.stderr
        );
        assert_eq!((done.code, done.stderr.lines().count()), (Some(1), 1), "{command}: {}", done.stderr);
    }
}

#[test]
fn a_file_is_read_and_imported_whole_or_not_at_all() {
    let sample = Sample::new();
    let file = |name: &str, text: &str| std::fs::write(sample.directory.join(name), text).expect("write");
    file("one.sql", "UPDATE entity SET note = 'x' WHERE id = 1;\n.read two.sql\n");
    file("two.sql", "UPDATE entity SET note = 'y' WHERE id = 9;\n");
    file("broken.sql", "UPDATE entity SET note = 'z' WHERE id = 1;\n\nUPDATE entity SET nonsense = 1;\n");
    file("ends.sql", "UPDATE entity SET note = 'z' WHERE id = 1;\nCOMMIT;\n");
    file("itself.sql", "UPDATE entity SET note = 'z' WHERE id = 1;\n.read itself.sql\n");
    let database = sample.copy();
    let done = seatkeeper("sql", &database, &[], ".read one.sql");
    assert_eq!(
        (done.code, done.stderr.as_str()),
        (Some(0), "one.sql, line 1: 1 row changed\ntwo.sql, line 1: 1 row changed\n")
    );
    assert_eq!(notes(&database), "1=x 9=y 42 43 44 420");
    for (script, said) in [
        (
            ".read broken.sql",
            "broken.sql, line 3, statement 2: no such column: nonsense. Nothing of the script was kept.\n",
        ),
        (
            "UPDATE entity SET note = 'z' WHERE id = 9;\n.read ends.sql",
            "ends.sql, line 2: a script inside a transaction cannot end it. Nothing of the script was kept.\n",
        ),
        (
            ".read itself.sql",
            "itself.sql, line 2: .read: more than 8 files read each other. Nothing of the script was kept.\n",
        ),
        (
            ".read nowhere.sql",
            "nowhere.sql: No such file or directory (os error 2). It does not begin like SQL either. Nothing of the script was kept.\n",
        ),
    ] {
        let done = seatkeeper("sql", &database, &[], script);
        assert!(done.stderr.ends_with(said), "{script}: {}", done.stderr);
        assert_eq!(notes(&database), "1=x 9=y 42 43 44 420", "{script}");
    }
    // What the shell writes as CSV, it reads again.
    file("users.csv", "\u{feff}username,entity_id,note\r\nann,42,\"a, \"\"b\"\"\"\r\nbob,42,\r\n");
    let done = seatkeeper("sql", &database, &["--as", "Ann"], ".import users.csv account");
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), "line 1: 2 rows added\n"));
    let query = "SELECT username, entity_id, note FROM account ORDER BY username";
    let csv = seatkeeper("sql", &database, &["--format", "csv"], query).stdout;
    assert_eq!(csv, "username,entity_id,note\r\nann,42,\"a, \"\"b\"\"\"\r\nbob,42,\r\n");
    assert_eq!(texts(&database, "SELECT DISTINCT actor FROM audit_event WHERE action = 'account-create'"), ["Ann"]);
    for (text, said) in [
        (
            "username,entity_id\ncid,42\ndee,99\n",
            "users.csv, line 3: account.entity_id names no entity: insert the entity first. No row was added.",
        ),
        ("username,entity_id\ncid,42\ndee\n", "users.csv, line 3: 1 cells for 2 columns. No row was added."),
        ("username,nonsense\ncid,42\n", "users.csv, line 1: table account has no column named …. No row was added."),
        (
            "username,entity_id\ncid,forty\n",
            "users.csv, line 2: cannot store TEXT value in INTEGER column account.entity_id. No row was added.",
        ),
    ] {
        file("users.csv", text);
        let done = seatkeeper("sql", &database, &[], ".import users.csv account");
        assert!(done.stderr.contains(said), "{text}: {}", done.stderr);
        assert_eq!((done.code, texts(&database, "SELECT username FROM account").len()), (Some(1), 2), "{text}");
    }
    file("seats.csv", "x,d\n1,x'00ff'\n");
    let done = seatkeeper(
        "sql",
        &database,
        &[],
        "CREATE TABLE mine (x, d BLOB); .import seats.csv mine\nSELECT hex(d) FROM mine;",
    );
    assert_eq!((done.stdout.as_str(), done.code), ("00FF\n", Some(0)), "{}", done.stderr);
}

/// By which program, and for how long it waited.
#[test]
fn a_locked_database_names_the_program_that_locks_it() {
    let sample = Sample::new();
    let database = sample.copy();
    let other = Connection::open(&database).expect("open");
    other.execute_batch("BEGIN IMMEDIATE; UPDATE entity SET note = 'other' WHERE id = 1").expect("the lock");
    let begun = Instant::now();
    let done = seatkeeper("sql", &database, &[], "UPDATE entity SET note = 'x' WHERE id = 1");
    let id = std::process::id();
    let name = std::fs::read_to_string(format!("/proc/{id}/comm")).expect("its name");
    let by = format!(
        " s for process {id} ({}). Try again when it is done. Nothing of the script was kept.\n",
        name.trim_end()
    );
    let waited = done.stderr.strip_prefix("error: database is locked: waited ").and_then(|rest| rest.strip_suffix(&by));
    let waited: f64 = waited.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(|| panic!("{}", done.stderr));
    assert!((5.0..20.0).contains(&waited) && done.code == Some(3), "{done:?}");
    assert!(begun.elapsed().as_secs() >= 5, "{done:?}");
    // A query does not wait.
    assert_eq!(seatkeeper("sql", &database, &[], "SELECT count(*) FROM entity").stdout, "6\n");
    other.execute_batch("ROLLBACK").expect("rollback");
}

#[test]
fn on_postgresql_the_command_for_psql_is_shown() {
    let url = "postgres://seatkeeper:secret@db1/seats";
    let done: Done = run(program("sql", url).arg("SELECT 1"), "");
    assert!(done.stderr.ends_with(" Here: psql 'postgres://seatkeeper@db1/seats'\n"), "{}", done.stderr);
    assert!(done.code == Some(2) && !done.stderr.contains("secret"), "{done:?}");
}

/// A closed pipe is no failure, and undoes nothing that is not read.
#[test]
fn a_reader_may_stop_early() {
    let sample = Sample::new();
    let database = sample.copy();
    let script = format!(
        "'{}' sql --database '{}' \"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 100000) SELECT x FROM c\" | head -n 1",
        env!("CARGO_BIN_EXE_seatkeeper"),
        database.display()
    );
    let done = run(Command::new("bash").args(["-o", "pipefail", "-c", &script]), "");
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "1\n", ""));
}
