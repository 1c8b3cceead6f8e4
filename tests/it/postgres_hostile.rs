//! What SQL written by hand can do to the database on PostgreSQL, by the owner of the tables and by a member of `seatkeeper_admin`:
//! everything an administrator needs, and nothing that breaks a promise. The attempts are in `tests/hostile.postgres.sql`.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::harness::*;
use crate::hostile_sql::CORRECTIONS;
use crate::postgres::{Cluster, Database, OWNER, Session};
use crate::program::{run, seatkeeper};

/// Members of `seatkeeper_admin` and `seatkeeper_reader`.
const ANN: &str = "ann";
const RITA: &str = "rita";

/// As in `hostile_sql`: entities 1 > 42 > 420 > 4200, 42 > 421 and 1 > 43, 44, and 4201 with nothing. Pools of 42: 1 SqlBackup, 5 seats with a
/// key each, held by the accounts 1 to 3; 2 ExchangeBackup, 3 seats, one of them taken by a call of the service; 4 SqlBackup, free. Pool 3
/// of 43 is free. Offers for 42, with two modules, and for 44, with none. Each credential is signed in, but `gone`, which is not active.
fn data() -> String {
    let hash = &*PASSWORD_HASH;
    format!(
        "INSERT INTO entity (id, parent_id, name, owner_name) VALUES
             (1, NULL, 'Northwind Distribution', 'NORTHWIND'), (42, 1, 'Contoso Backup', 'CONTOSO'),
             (43, 1, 'Fabrikam Hosting', NULL), (420, 42, 'Contoso West', NULL), (421, 42, 'Contoso East', NULL),
             (44, 1, 'Tailspin Hosting', NULL), (4200, 420, 'Contoso Far West', NULL), (4201, 1, 'Nothing', NULL);
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES
             ('agent', '{hash}', 1, 'agent'), ('Operator', '{hash}', 421, 'reader');
         INSERT INTO credential (user_name, password_hash, entity_id, active) VALUES ('gone', '{hash}', 1, 0);
         INSERT INTO account (id, username, entity_id, active) VALUES
             (1, 'Backup01', 42, 1), (2, 'backup02', 42, 1), (3, 'BACKUP03', 4200, 1), (4, 'backup04', 43, 1),
             (5, 'backup05', 42, 0);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, expires_at) VALUES
             (1, 42, 'SqlBackup', 5, NULL), (2, 42, 'ExchangeBackup', 2, '2099-01-01T00:00:00Z'),
             (3, 43, 'SkraftDiskImageV5', 2, NULL);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (4, 42, 'SqlBackup', 2);
         UPDATE seat SET product_key = 'KEY-' || seat_no WHERE pool_id = 1;
         UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 4;
         UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 4;
         INSERT INTO license_offer (entity_id, company_name) VALUES (42, NULL), (44, 'Tailspin Ltd');
         INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 50), (42, 'ExchangeBackup', 0);
         BEGIN;
         SELECT set_config('seatkeeper.service', 'on', true);
         INSERT INTO ticket (id, secret_hash, user_name, expires_at) VALUES
             ('0d6f6f0f-0000-4000-8000-00000000000a', decode(repeat('00', 32), 'hex'), 'agent', '2099-01-01T00:00:00Z'),
             ('0d6f6f0f-0000-4000-8000-00000000000b', decode(repeat('00', 32), 'hex'), 'OPERATOR', '2099-01-01T00:00:00Z');
         INSERT INTO named_call (user_name, name, operation, request_hash, request_id, at, outcome) VALUES
             ('agent', 'a', 'AssignLicense', decode(repeat('00', 32), 'hex'), 'r', '2026-06-01T12:00:00.000000000Z', 'x'),
             ('operator', 'a', 'AssignLicense', decode(repeat('00', 32), 'hex'), 'r', '2026-06-01T12:00:00.000000000Z', 'x');
         COMMIT;
         BEGIN;
         SELECT set_config('seatkeeper.actor', 'agent', true), set_config('seatkeeper.request_id', '6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01', true);
         UPDATE license_pool SET seats_total = 3 WHERE id = 2;
         UPDATE seat SET account_id = 1 WHERE pool_id = 2 AND seat_no = 1;
         COMMIT;"
    )
}

/// A database with this data, and logins for people.
fn seeded(cluster: &Arc<Cluster>) -> Database {
    let database = cluster.database();
    people(&database);
    database.execute(&data()).expect("seed");
    database
}

/// Runs roles.sql as a superuser.
fn people(database: &Database) {
    // Roles belong to the server, which other tests use at the same time.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut script = format!("\\set ON_ERROR_STOP on\n{}", include_str!("../../deploy/postgres/roles.sql"));
    for (login, role) in [(ANN, "seatkeeper_admin"), (RITA, "seatkeeper_reader")] {
        script +=
            &format!("SELECT 'CREATE ROLE {login} LOGIN IN ROLE {role}' WHERE to_regrole('{login}') IS NULL \\gexec\n");
    }
    assert_eq!(psql(database, "postgres", &script), "");
}

/// What psql writes to its standard error. It goes on after an error.
fn psql(database: &Database, user: &str, script: &str) -> String {
    let mut command = database.cluster().program("psql");
    command.env("PGUSER", user).env("PGOPTIONS", "-c client_min_messages=warning");
    run(command.args(["-X", "-q", "-d", database.name()]), script).stderr
}

fn as_person(database: &Database, login: &str) -> Session {
    Session::open(&database.cluster().url(login, database.name())).expect(login)
}

const TABLES: [&str; 19] = [
    "schema_version",
    "entity",
    "credential",
    "account",
    "license_pool",
    "seat",
    "license_offer",
    "license_offer_module",
    "ticket",
    "audit_event",
    "audit_pending",
    "audit_chain",
    "chain_lease",
    "audit_archive",
    "named_call",
    "session",
    "refusal",
    "credential_use",
    "upkeep",
];

/// Every row of every table, and what the catalog says of the tables, triggers and functions, a line each.
fn dump(session: &Session) -> Vec<String> {
    let tables =
        TABLES.iter().map(|table| format!("SELECT '{table} ' || row::text AS line FROM public.{table} AS row"));
    let catalog = [
        "SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
          WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)",
        "SELECT concat_ws(' ', 'relation', relname, relowner, relacl, relrowsecurity, relhasrules) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        "SELECT concat_ws(' ', 'function', proname, proowner, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    ];
    let query = tables.chain(catalog.map(str::to_owned)).collect::<Vec<_>>().join(" UNION ALL ");
    texts(session, &format!("{query} ORDER BY 1"))
}

/// The first column.
fn texts(session: &Session, query: &str) -> Vec<String> {
    let rows = session.rows(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    rows.into_iter()
        .map(|row| match row.into_iter().next() {
            Some(rusqlite::types::Value::Text(text)) => text,
            other => format!("{other:?}"),
        })
        .collect()
}

fn differences(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before.iter().filter(|row| !after.contains(row)).map(|row| format!("- {row}"));
    let new = after.iter().filter(|row| !before.contains(row)).map(|row| format!("+ {row}"));
    gone.chain(new).collect()
}

/// What must be so whatever was done: the seats are those that were bought, the history tells who holds them, the numbers of the pools agree,
/// and each event waits once to be chained.
const TRUTHS: [(&str, &str); 6] = [
    (
        "pools with more or fewer seats than seats_total",
        "SELECT id FROM license_pool WHERE seats_total <> (SELECT count(*) FROM seat WHERE pool_id = license_pool.id)",
    ),
    ("seats of no pool, or of another type than it", "SELECT pool_id FROM seat LEFT JOIN license_pool USING (license_type) WHERE license_pool.id IS NULL"),
    (
        "seats whose holder the history does not tell",
        "SELECT seat.pool_id FROM seat
           LEFT JOIN LATERAL (SELECT action, event.account_id FROM audit_event AS event
                               WHERE event.pool_id = seat.pool_id AND event.seat_no = seat.seat_no AND action IN ('assign', 'release')
                                 AND event.id > (SELECT max(id) FROM audit_event WHERE pool_id = seat.pool_id AND action = 'pool-create')
                               ORDER BY id DESC LIMIT 1) AS newest ON true
          WHERE seat.account_id IS DISTINCT FROM CASE action WHEN 'assign' THEN newest.account_id END",
    ),
    (
        "pools whose use is another",
        "SELECT id FROM pool_use WHERE seats_in_use <> (SELECT count(account_id) FROM seat WHERE pool_id = pool_use.id)",
    ),
    (
        "events that do not wait to be chained",
        "SELECT id FROM audit_event WHERE 1 <> (SELECT count(*) FROM audit_pending WHERE event_id = audit_event.id)",
    ),
    (
        "entities that no root is above",
        "WITH RECURSIVE below (id) AS (
             SELECT id FROM entity WHERE parent_id IS NULL UNION ALL SELECT entity.id FROM entity JOIN below ON entity.parent_id = below.id)
         SELECT id FROM entity WHERE id NOT IN (SELECT id FROM below)",
    ),
];

fn is_true(database: &Database, after: &str) {
    let session = database.session();
    for (what, query) in TRUTHS {
        assert_eq!(session.rows(query), Ok(Vec::new()), "{what}, after {after}");
    }
}

/// One paragraph of the file.
struct Attempt {
    sql: &'static str,
    expect: &'static str,
    admin: Option<&'static str>,
    only: Option<&'static str>,
}

/// What an attempt says of itself when it should be passed over silently.
const NOTHING: &str = "nothing";

fn attempts() -> Vec<Attempt> {
    let attempts: Vec<_> = include_str!("../hostile.postgres.sql").split("\n\n").filter_map(attempt).collect();
    assert!(attempts.len() >= 200, "only {} attempts", attempts.len());
    attempts
}

/// `None`: a comment of the file itself.
fn attempt(paragraph: &'static str) -> Option<Attempt> {
    let sql = paragraph.lines().find(|l| !l.is_empty() && !l.starts_with("--"))?;
    let said = |key: &str| paragraph.lines().find_map(|l| l.strip_prefix("-- ")?.strip_prefix(key)?.strip_prefix(": "));
    let expect = said("expect").unwrap_or_else(|| panic!("no 'expect' above: {sql}"));
    Some(Attempt { sql: paragraph, expect, admin: said("admin"), only: said("only") })
}

/// Tries each; what got through is told all at once.
fn refuses(login: &str, attempts: impl Iterator<Item = (&'static str, &'static str)>) {
    let cluster = Cluster::shared();
    let mut database = seeded(&cluster);
    let mut superuser = cluster.superuser(database.name());
    let mut before = dump(&superuser);
    let mut got_through = String::new();
    for (sql, expect) in attempts {
        let stderr = psql(&database, login, sql);
        let told = if expect == NOTHING { stderr.is_empty() } else { stderr.contains(expect) };
        let changes = differences(&before, &dump(&superuser));
        if !told || !changes.is_empty() {
            got_through += &format!("{sql}\n{stderr}{}\n\n", changes.join("\n"));
        }
        if !changes.is_empty() {
            database = seeded(&cluster);
            superuser = cluster.superuser(database.name());
            before = dump(&superuser);
        }
    }
    assert!(got_through.is_empty(), "{got_through}");
    is_true(&database, "every attempt");
    database.execute("UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 5").expect("a free seat");
}

#[test]
fn the_owner_is_refused_every_hostile_statement() {
    let attempts = attempts();
    refuses(OWNER, attempts.iter().filter(|a| a.only != Some("admin")).map(|a| (a.sql, a.expect)));
}

#[test]
fn an_administrator_is_refused_every_hostile_statement() {
    let attempts = attempts();
    refuses(ANN, attempts.iter().filter(|a| a.only != Some("owner")).map(|a| (a.sql, a.admin.unwrap_or(a.expect))));
}

/// The events by hand, as `hostile_sql` has them.
fn events(session: &Session, actor: &str) -> Vec<String> {
    let query = format!(
        "SELECT concat_ws(' ', action, 'pool ' || pool_id, 'seat ' || seat_no, 'entity ' || entity_id, license_type, username,
                          old_values || ' >', new_values)
           FROM audit_event WHERE actor = '{actor}' AND request_id IS NULL ORDER BY id"
    );
    texts(session, &query)
}

/// What administrators do by hand leaves the same events as on SQLite.
#[test]
fn every_correction_leaves_the_events_that_it_leaves_on_sqlite() {
    for (login, actor) in [(OWNER, "sql"), (ANN, "sql:ann")] {
        let database = seeded(&Cluster::shared());
        let session = as_person(&database, login);
        // The last names a row by SQLite's rowid.
        let (_, corrections) = CORRECTIONS.split_last().expect("corrections");
        for (sql, expected) in corrections {
            let before = events(&session, actor).len();
            session.execute(&in_any_case(sql)).unwrap_or_else(|e| panic!("{login}: {sql}: {e}"));
            assert_eq!(events(&session, actor)[before..], **expected, "{login}: {sql}");
            is_true(&database, sql);
        }
    }
}

/// SQLite compares names without regard to case wherever they stand; here a query has to say so.
fn in_any_case(sql: &str) -> String {
    let mut sql = sql.to_owned();
    for column in ["username", "user_name"] {
        let (with_case, without) = (format!("WHERE {column} = '"), format!("WHERE lower({column}) = lower('"));
        while let Some(at) = sql.find(&with_case) {
            let name = at + with_case.len();
            let end = name + sql[name..].find('\'').expect("the end of a name");
            sql = format!("{}{without}{}'){}", &sql[..at], &sql[name..end], &sql[end + 1..]);
        }
    }
    sql
}

/// What only PostgreSQL has, allowed as far as the rules allow it, and the events it leaves.
const CHANGES: &[(&str, &[&str])] = &[
    (
        "INSERT INTO entity (id, name) VALUES (43, 'Fabrikam') ON CONFLICT (id) DO UPDATE SET name = excluded.name;",
        &[r#"entity-change entity 43 {"name":"Fabrikam Hosting"} > {"name":"Fabrikam"}"#],
    ),
    ("INSERT INTO entity (id, name) VALUES (43, 'Fabrikam') ON CONFLICT (id) DO UPDATE SET name = excluded.name;", &[]),
    (
        "MERGE INTO seat USING (VALUES (1, 1), (1, 5)) AS row (pool_id, seat_no) ON seat.pool_id = row.pool_id AND seat.seat_no = row.seat_no
          WHEN MATCHED AND account_id IS NOT NULL THEN UPDATE SET account_id = NULL
          WHEN MATCHED THEN UPDATE SET account_id = 4;",
        &["release pool 1 seat 1 Backup01", "assign pool 1 seat 5 backup04"],
    ),
    // One change of a row in a statement: PostgreSQL drops the second one silently.
    (
        "WITH freed AS (UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 5 RETURNING pool_id, seat_no)
         UPDATE seat SET account_id = 1 FROM freed WHERE seat.pool_id = freed.pool_id AND seat.seat_no = freed.seat_no;",
        &["release pool 1 seat 5 backup04"],
    ),
    (
        "WITH taken AS (UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 5 RETURNING 1)
         UPDATE license_pool SET seats_total = 4 WHERE id = 1 AND (SELECT count(*) FROM taken) = 1;",
        &["assign pool 1 seat 5 backup04", r#"pool-change pool 1 entity 42 SqlBackup {"seats_total":5} > {"seats_total":4}"#],
    ),
    (
        "COPY account (username, entity_id, note) FROM STDIN;\ncopied\t42\t\\N\nBacked \"Up\"\t43\tnew\n\\.\n",
        &[
            r#"account-create entity 42 copied {"username":"copied","entity_id":42,"active":1}"#,
            r#"account-create entity 43 Backed "Up" {"username":"Backed \"Up\"","entity_id":43,"active":1,"note":"new"}"#,
        ],
    ),
    ("BEGIN; UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1; ROLLBACK;", &[]),
    ("BEGIN; SAVEPOINT s; UPDATE entity SET name = 'x' WHERE id = 43; ROLLBACK TO s; UPDATE entity SET shop_url = 'y' WHERE id = 43; COMMIT;",
     &[r#"entity-change entity 43 {"shop_url":null} > {"shop_url":"y"}"#]),
    ("UPDATE license_pool SET expires_at = '2027-01-31 02:00:00.4+02' WHERE id = 3;",
     &[r#"pool-change pool 3 entity 43 SkraftDiskImageV5 {"expires_at":null} > {"expires_at":"2027-01-31T00:00:00Z"}"#]),
    ("UPDATE license_pool SET expires_at = '2027-01-31T00:00:00Z' WHERE id = 3;", &[]),
    // One high id does not use up the rest.
    ("INSERT INTO account (id, username, entity_id) VALUES (9223372036854775807, 'last', 42); INSERT INTO account (username, entity_id) VALUES ('next', 42);",
     &[r#"account-create entity 42 last {"username":"last","entity_id":42,"active":1}"#, r#"account-create entity 42 next {"username":"next","entity_id":42,"active":1}"#]),
    ("DELETE FROM ticket WHERE user_name = 'agent'; DELETE FROM named_call;", &[]),
];

#[test]
fn what_only_postgresql_has_leaves_true_events() {
    for (login, actor) in [(OWNER, "sql"), (ANN, "sql:ann")] {
        let database = seeded(&Cluster::shared());
        let session = database.session();
        for (sql, expected) in CHANGES {
            let before = events(&session, actor).len();
            assert_eq!(psql(&database, login, sql), "", "{login}: {sql}");
            assert_eq!(events(&session, actor)[before..], **expected, "{login}: {sql}");
            is_true(&database, sql);
        }
    }
}

/// A name that an administrator sets is not believed; one that the owner's login sets is.
#[test]
fn who_acts_follows_from_the_login() {
    let database = seeded(&Cluster::shared());
    let change = |note: &str| {
        format!(
            "SET seatkeeper.actor = 'agent'; SET seatkeeper.request_id = 'forged'; SET seatkeeper.reason = 'why'; SET seatkeeper.service = 'on';
             UPDATE account SET note = '{note}' WHERE id = 5;"
        )
    };
    let newest = "SELECT concat_ws(' ', actor, request_id, reason) FROM audit_event ORDER BY id DESC LIMIT 1";
    for (login, expected) in [(ANN, "sql:ann"), ("postgres", "sql:postgres"), (OWNER, "agent forged why")] {
        assert_eq!(psql(&database, login, &change(login)), "");
        assert_eq!(database.query::<String>(newest), expected);
        let seen =
            format!("{}SELECT actor AS who FROM call WHERE actor = 'agent' \\gset\n\\warn :who\n", change("again"));
        assert_eq!(psql(&database, login, &seen).contains("agent"), login == OWNER, "the view shows what counts");
    }
    // A superuser in the place of the owner is the owner.
    assert_eq!(
        psql(&database, "postgres", &format!("SET ROLE {OWNER}; UPDATE account SET note = 'role' WHERE id = 5;")),
        ""
    );
    assert_eq!(database.query::<String>(newest), "sql:postgres");
}

/// What ends a ticket, and the outcomes of named calls.
#[test]
fn tickets_and_named_calls_end_with_their_credential() {
    for (sql, tickets, named_calls) in [
        ("SELECT 1", "agent OPERATOR", "agent operator"),
        ("DELETE FROM ticket WHERE user_name = 'agent'", "OPERATOR", "agent operator"),
        (
            "UPDATE credential SET password_hash = password_hash || 'x' WHERE user_name = 'Operator'",
            "agent",
            "agent operator",
        ),
        ("UPDATE credential SET user_name = 'operator2' WHERE user_name = 'Operator'", "agent", "agent"),
        ("UPDATE credential SET active = 0", "", "agent operator"),
        ("DELETE FROM credential WHERE user_name = 'Operator'", "agent", "agent"),
        (
            "UPDATE credential SET active = 1, user_name = 'Agent', role = 'reader', password_hash = password_hash WHERE user_name = 'agent'",
            "agent OPERATOR",
            "agent operator",
        ),
    ] {
        let database = seeded(&Cluster::shared());
        assert_eq!(psql(&database, ANN, &format!("{sql} \\g /dev/null\n")), "", "{sql}");
        let names = |table: &str| {
            texts(&database.session(), &format!("SELECT user_name FROM {table} ORDER BY lower(user_name)")).join(" ")
        };
        assert_eq!((&*names("ticket"), &*names("named_call")), (tickets, named_calls), "{sql}");
    }
}

/// A reader sees what is there, but nothing to sign in with.
#[test]
fn a_reader_sees_no_secret_and_changes_nothing() {
    let database = seeded(&Cluster::shared());
    for (sql, expect) in [
        ("SELECT count(*) FROM entity, account, license_pool, seat, audit_event, pool_use \\g /dev/null", ""),
        ("SELECT user_name, entity_id, role, active, note FROM credential \\g /dev/null", ""),
        ("SELECT password_hash FROM credential", "permission denied for table credential"),
        ("SELECT * FROM ticket", "permission denied for table ticket"),
        ("SELECT * FROM named_call", "permission denied for table named_call"),
        ("UPDATE seat SET account_id = NULL", "permission denied for table seat"),
        ("INSERT INTO entity (name) VALUES ('x')", "permission denied for table entity"),
        ("DELETE FROM ticket", "permission denied for table ticket"),
    ] {
        let told = psql(&database, RITA, &format!("{sql};\n"));
        assert!(if expect.is_empty() { told.is_empty() } else { told.contains(expect) }, "{sql}: {told}");
    }
}

/// The example as an administrator copies it.
#[test]
fn the_seeding_example_is_taken_as_it_stands_by_psql() {
    let database = Cluster::shared().database();
    // It may be run again.
    people(&database);
    people(&database);
    let example = "
        INSERT INTO entity (id, parent_id, name) VALUES (1, NULL, 'Northwind Distribution'), (42, 1, 'Contoso Backup');
        INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('agent', '$argon2id$v=19$m=19456,t=2,p=1$…', 1);
        INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 100);
        UPDATE entity SET owner_name = 'CONTOSO', serial_nr = '1010000014' WHERE id = 42;";
    assert_eq!(psql(&database, ANN, example), "");
    assert_eq!(events(&database.session(), "sql:ann").len(), 5);
    is_true(&database, example);
    // The next ids are above those of the example.
    let next = "INSERT INTO entity (name) VALUES ('next'); INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (43, 'SqlBackup', 1);";
    assert_eq!(psql(&database, ANN, next), "");
    assert_eq!(
        texts(&database.session(), "SELECT concat_ws(' ', id, entity_id) FROM license_pool ORDER BY id"),
        ["1 42", "2 43"]
    );
}

/// As before PostgreSQL 15, where the schema public is a superuser's and everybody may make things in it: a plain owner of a database makes
/// everything but the roles, and roles.sql does the rest.
#[test]
fn a_plain_owner_makes_the_schema() {
    let database = Cluster::shared().empty_database();
    let as_before = "ALTER SCHEMA public OWNER TO postgres; GRANT ALL ON SCHEMA public TO PUBLIC";
    assert_eq!(psql(&database, "postgres", as_before), "");
    assert_eq!(
        psql(&database, OWNER, concat!("\\set ON_ERROR_STOP on\n", include_str!("../../schema.postgres.sql"))),
        ""
    );
    people(&database);
    database.execute(&data()).expect("seed");
    assert!(
        psql(&database, ANN, "CREATE TABLE public.mine (n integer);").contains("permission denied for schema public")
    );
    assert_eq!(psql(&database, OWNER, "CREATE TABLE public.mine (n integer);"), "");
    is_true(&database, "a seed");
}

/// A function with the owner's rights looks nothing up where others write, others call none of them, and no table is forgotten.
#[test]
fn functions_and_tables_are_guarded_without_exception() {
    let database = seeded(&Cluster::shared());
    for (what, query) in [
        (
            "functions that look up names elsewhere",
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
                AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{-}'))",
        ),
        (
            "functions that others may call",
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND has_function_privilege('ann', oid, 'EXECUTE')",
        ),
        (
            "tables that can be truncated",
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgname = 'truncate_refused')",
        ),
        (
            "tables that an administrator has more rights on than needed",
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
                AND (has_table_privilege('ann', oid, 'TRUNCATE, TRIGGER, REFERENCES') OR relkind = 'S' AND has_table_privilege('ann', oid, 'UPDATE'))",
        ),
    ] {
        assert_eq!(texts(&database.session(), query), [""; 0], "{what}");
    }
}

/// PostgreSQL keeps 63 bytes of a name.
#[test]
fn every_message_of_a_constraint_is_kept_whole() {
    let database = Cluster::shared().database();
    let file = include_str!("../../schema.postgres.sql");
    let names = file.split("CONSTRAINT \"").skip(1).filter_map(|rest| rest.split('"').next());
    let kept = texts(&database.session(), "SELECT conname::text FROM pg_constraint");
    for name in names {
        assert!(kept.iter().any(|kept| kept == name), "{name}");
    }
}

// Two sessions, step by step ---------------------------------------------------------------------------------------------------------

/// `A` is the service or its like, `B` an administrator. A step that waits for the other session goes on in the background.
struct Race {
    name: &'static str,
    steps: &'static [(char, &'static str)],
    /// What the last waiting step, or the only one that fails, says at READ COMMITTED and at SERIALIZABLE. Empty: nothing fails.
    ends: [&'static str; 2],
    /// What is so afterwards, for both.
    after: [(&'static str, &'static str); 2],
}

const TAKE: &str = "UPDATE seat SET account_id = 4 WHERE pool_id = 4 AND seat_no = 2";
const USE: &str = "SELECT concat_ws(' of ', seats_in_use, seats_total) FROM pool_use WHERE id = 4";
const AGAIN: &str = "40001";
const ISSUE: &str = "SELECT set_config('seatkeeper.service', 'on', true);
    INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000d', decode(repeat('00', 32), 'hex'), 'AGENT', '2099-01-01T00:00:00Z')";

const RACES: &[Race] = &[
    Race {
        name: "a pool is emptied while its seat is taken",
        steps: &[
            ('A', "BEGIN"),
            ('A', TAKE),
            ('B', "UPDATE license_pool SET seats_total = 0 WHERE id = 4"),
            ('A', "COMMIT"),
        ],
        ends: ["seats_total of pool 4 cannot be 0: 1 seats are in use, release 1 first", AGAIN],
        after: [(USE, "1 of 2"); 2],
    },
    Race {
        name: "a pool is emptied while its seat is taken, which is rolled back",
        steps: &[
            ('A', "BEGIN"),
            ('A', TAKE),
            ('B', "UPDATE license_pool SET seats_total = 0 WHERE id = 4"),
            ('A', "ROLLBACK"),
        ],
        ends: ["", ""],
        after: [(USE, "0 of 0"); 2],
    },
    Race {
        name: "a pool shrinks to what is taken meanwhile",
        steps: &[
            ('A', "BEGIN"),
            ('A', TAKE),
            ('B', "UPDATE license_pool SET seats_total = 1 WHERE id = 4"),
            ('A', "COMMIT"),
        ],
        ends: ["", AGAIN],
        after: [(USE, "1 of 1"), (USE, "1 of 2")],
    },
    Race {
        name: "a seat is taken that goes with its pool's change",
        steps: &[
            ('B', "BEGIN"),
            ('B', "UPDATE license_pool SET seats_total = 1 WHERE id = 4"),
            ('A', TAKE),
            ('B', "COMMIT"),
        ],
        ends: ["", AGAIN],
        after: [(USE, "0 of 1"); 2],
    },
    Race {
        name: "a pool grows and shrinks",
        steps: &[
            ('A', "BEGIN"),
            ('A', "UPDATE license_pool SET seats_total = 5 WHERE id = 4"),
            ('B', "UPDATE license_pool SET seats_total = 1 WHERE id = 4"),
            ('A', "COMMIT"),
        ],
        ends: ["", AGAIN],
        after: [(USE, "0 of 1"), (USE, "0 of 5")],
    },
    Race {
        name: "a pool is deleted while its seat is taken",
        steps: &[('A', "BEGIN"), ('A', TAKE), ('B', "DELETE FROM license_pool WHERE id = 4"), ('A', "COMMIT")],
        ends: ["pool 4 cannot be deleted: 1 seats are in use, release them first", AGAIN],
        after: [(USE, "1 of 2"); 2],
    },
    Race {
        name: "a seat of a pool is taken that is deleted",
        steps: &[('B', "BEGIN"), ('B', "DELETE FROM license_pool WHERE id = 4"), ('A', TAKE), ('B', "COMMIT")],
        ends: ["", AGAIN],
        after: [("SELECT count(*) || '' FROM license_pool WHERE id = 4", "0"); 2],
    },
    Race {
        name: "one user takes two seats",
        steps: &[
            ('A', "BEGIN"),
            ('A', TAKE),
            ('B', "UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 5"),
            ('A', "COMMIT"),
        ],
        ends: ["seat_by_holder", "seat_by_holder"],
        after: [("SELECT count(*) || '' FROM seat WHERE account_id = 4", "1"); 2],
    },
    Race {
        name: "one user takes two seats, the first is rolled back",
        steps: &[
            ('A', "BEGIN"),
            ('A', TAKE),
            ('B', "UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 5"),
            ('A', "ROLLBACK"),
        ],
        ends: ["", ""],
        after: [("SELECT count(*) || '' FROM seat WHERE account_id = 4", "1"); 2],
    },
    Race {
        name: "two take one seat",
        steps: &[
            ('A', "BEGIN"),
            ('A', TAKE),
            ('B', "UPDATE seat SET account_id = 3 WHERE pool_id = 4 AND seat_no = 2"),
            ('A', "COMMIT"),
        ],
        ends: ["seat is taken by another account: release it first", AGAIN],
        after: [("SELECT account_id || '' FROM seat WHERE pool_id = 4 AND seat_no = 2", "4"); 2],
    },
    Race {
        name: "an account is made inactive during its assignment, which has locked it",
        steps: &[
            ('A', "BEGIN"),
            ('A', "SELECT FROM account WHERE id = 4 AND active = 1 FOR SHARE"),
            ('B', "UPDATE account SET active = 0 WHERE id = 4"),
            ('A', TAKE),
            ('A', "COMMIT"),
        ],
        ends: ["", ""],
        after: [(
            "SELECT string_agg(action, ' ' ORDER BY id) FROM (SELECT * FROM audit_event ORDER BY id DESC LIMIT 2) AS newest",
            "assign account-change",
        ); 2],
    },
    Race {
        name: "an account is locked for an assignment while it is made inactive",
        steps: &[
            ('B', "BEGIN"),
            ('B', "UPDATE account SET active = 0 WHERE id = 4"),
            (
                'A',
                "UPDATE seat SET account_id = 4 WHERE pool_id = 4 AND seat_no = 2 AND 4 = (SELECT id FROM account WHERE id = 4 AND active = 1 FOR SHARE)",
            ),
            ('B', "COMMIT"),
        ],
        ends: ["", AGAIN],
        after: [(USE, "0 of 2"); 2],
    },
    Race {
        name: "two entities move below each other",
        steps: &[
            ('A', "BEGIN"),
            ('A', "UPDATE entity SET parent_id = 44 WHERE id = 43"),
            ('B', "UPDATE entity SET parent_id = 43 WHERE id = 44"),
            ('A', "COMMIT"),
        ],
        ends: ["an entity cannot be above itself", AGAIN],
        after: [("SELECT concat_ws(' ', id, parent_id) FROM entity WHERE parent_id IN (43, 44)", "43 44"); 2],
    },
    Race {
        name: "three entities move in a ring",
        steps: &[
            ('A', "BEGIN"),
            ('A', "UPDATE entity SET parent_id = 420 WHERE id = 43"),
            ('B', "UPDATE entity SET parent_id = 43 WHERE id = 42"),
            ('A', "COMMIT"),
        ],
        ends: ["an entity cannot be above itself", AGAIN],
        after: [("SELECT concat_ws(' ', id, parent_id) FROM entity WHERE parent_id = 420 AND id = 43", "43 420"); 2],
    },
    Race {
        name: "a credential is renamed while a ticket is made for it",
        steps: &[
            ('A', "BEGIN"),
            ('A', ISSUE),
            ('B', "UPDATE credential SET user_name = 'renamed' WHERE user_name = 'agent'"),
            ('A', "COMMIT"),
        ],
        ends: ["", "must be made at READ COMMITTED"],
        after: [
            ("SELECT count(*) || '' FROM ticket WHERE lower(user_name) = 'agent'", "0"),
            ("SELECT count(*) || '' FROM ticket WHERE lower(user_name) = 'agent'", "2"),
        ],
    },
    Race {
        name: "a ticket is made for a credential that is being renamed",
        steps: &[
            ('B', "BEGIN ISOLATION LEVEL READ COMMITTED"),
            ('B', "UPDATE credential SET user_name = 'renamed' WHERE user_name = 'agent'"),
            ('A', "BEGIN"),
            ('A', ISSUE),
            ('B', "COMMIT"),
        ],
        ends: ["ticket.user_name names no active credential", AGAIN],
        after: [("SELECT count(*) || '' FROM ticket WHERE lower(user_name) = 'agent'", "0"); 2],
    },
    Race {
        name: "a ticket is made for a credential that is being made inactive",
        steps: &[
            ('B', "BEGIN ISOLATION LEVEL READ COMMITTED"),
            ('B', "UPDATE credential SET active = 0 WHERE user_name = 'agent'"),
            ('A', "BEGIN"),
            ('A', ISSUE),
            ('B', "COMMIT"),
        ],
        ends: ["ticket.user_name names no active credential", AGAIN],
        after: [("SELECT count(*) || '' FROM ticket WHERE lower(user_name) = 'agent'", "0"); 2],
    },
    Race {
        name: "an entity is deleted while it gets a pool",
        steps: &[
            ('A', "BEGIN"),
            (
                'A',
                "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (9, 4201, 'SqlBackup', 1)",
            ),
            ('B', "DELETE FROM entity WHERE id = 4201"),
            ('A', "COMMIT"),
        ],
        ends: ["entity still owns license pools", AGAIN],
        after: [("SELECT entity_id || '' FROM license_pool WHERE id = 9", "4201"); 2],
    },
    Race {
        name: "an offer is withdrawn while it gets a module",
        steps: &[
            ('A', "BEGIN"),
            ('A', "INSERT INTO license_offer_module VALUES (44, 'SqlBackup', 1)"),
            ('B', "DELETE FROM license_offer WHERE entity_id = 44"),
            ('A', "COMMIT"),
        ],
        ends: ["", AGAIN],
        after: [
            ("SELECT count(*) || '' FROM license_offer_module WHERE entity_id = 44", "0"),
            ("SELECT count(*) || '' FROM license_offer_module WHERE entity_id = 44", "1"),
        ],
    },
];

/// A session in a thread of its own, one statement at a time.
struct Player {
    process: i64,
    statements: Sender<&'static str>,
    answers: Receiver<Option<String>>,
    waits: bool,
}

impl Player {
    fn new(session: Session) -> Player {
        let process = session.query("SELECT pg_backend_pid()").expect("a process");
        let (statements, to_do) = channel::<&'static str>();
        let (done, answers) = channel();
        std::thread::spawn(move || {
            while let Ok(sql) = to_do.recv() {
                if done.send(session.execute(sql).err().map(|e| e.to_string())).is_err() {
                    break;
                }
            }
        });
        Player { process, statements, answers, waits: false }
    }

    /// Goes on until the statement is answered or waits for a lock.
    fn step(&mut self, sql: &'static str, watcher: &Session) -> Option<String> {
        let before = self.finish();
        self.statements.send(sql).expect("the thread runs");
        self.waits = true;
        let blocked =
            format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND wait_event_type = 'Lock'", self.process);
        loop {
            match self.answers.recv_timeout(Duration::from_millis(20)) {
                Ok(answer) => {
                    self.waits = false;
                    return before.or(answer);
                }
                Err(RecvTimeoutError::Timeout) if watcher.query::<i64>(&blocked) == Ok(1) => return before,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the session is gone"),
            }
        }
    }

    /// The answer that is still missing.
    fn finish(&mut self) -> Option<String> {
        std::mem::take(&mut self.waits)
            .then(|| self.answers.recv_timeout(Duration::from_secs(20)).expect("an answer in time"))
            .flatten()
    }
}

#[test]
fn two_sessions_cannot_do_together_what_neither_may() {
    for race in RACES {
        for (level, (expected, (query, so))) in
            ["READ COMMITTED", "SERIALIZABLE"].into_iter().zip(race.ends.into_iter().zip(race.after))
        {
            let name = format!("{}, {level}", race.name);
            let database = seeded(&Cluster::shared());
            let watcher = database.cluster().superuser("postgres");
            let mut players = [OWNER, ANN].map(|login| {
                let session = as_person(&database, login);
                session.execute(&format!("SET default_transaction_isolation = '{level}'")).expect("a level");
                Player::new(session)
            });
            let mut errors: Vec<String> = Vec::new();
            for (player, sql) in race.steps {
                errors.extend(players[usize::from(*player == 'B')].step(sql, &watcher));
            }
            for player in &mut players {
                errors.extend(player.finish());
            }
            // Whoever is left inside a transaction that failed ends it.
            drop(players);
            match (expected, &errors[..]) {
                ("", []) => {}
                (part, [error]) if !part.is_empty() && error.contains(part) => {}
                _ => panic!("{name}: expected {expected:?}, not {errors:?}"),
            }
            assert_eq!(database.query::<String>(query), so, "{name}");
            is_true(&database, &name);
        }
    }
}

/// The history would have such a change without the request id of its receipt.
#[test]
fn commands_change_something_only_with_the_login_of_the_service() {
    let cluster = Cluster::shared();
    let database = seeded(&cluster);
    for (login, sentence) in [(ANN, "only with the service's login"), (RITA, "permission denied")] {
        let url = cluster.url(login, database.name());
        for arguments in [&["42", "note=x"][..], &["42", "note=x", "--dry-run"]] {
            let done = seatkeeper("entity set", &url, arguments, "");
            assert!(matches!(done.code, Some(1 | 3)) && done.stderr.contains(sentence), "{done:?}");
        }
        let listed = seatkeeper("entity list", &url, &["--text", "fabrikam"], "");
        assert!(listed.code == Some(0) && listed.stdout.contains("Fabrikam Hosting"), "{listed:?}");
    }
    assert_eq!(database.query::<i64>("SELECT count(*) FROM entity WHERE note IS NOT NULL"), 0);
    let url = cluster.url(OWNER, database.name());
    let done = seatkeeper("entity set", &url, &["42", "note=x"], "");
    assert!(done.code == Some(0) && done.stdout.contains("request id: "), "{done:?}");
}
