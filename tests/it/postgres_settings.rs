//! Servers, logins and databases that are set up in another way than the service needs: settings of a login or database that break a
//! promise, owners, and rights that a restore lost.

use std::sync::Arc;

use seatkeeper::auth;
use seatkeeper::metrics::Metrics;
use seatkeeper::store::{self, OpenError, Options};

use crate::postgres::{Cluster, Database, OWNER, OWNER_PASSWORD};
use crate::postgres_connections::{Node, PgBouncer, database};

/// Sets it for all sessions of this database that begin later.
fn set(database: &Database, setting: &str) {
    let set = format!("ALTER DATABASE {} SET {setting}", database.name());
    database.cluster().superuser("postgres").execute(&set).unwrap_or_else(|e| panic!("{setting}: {e}"));
}

fn through(pooler: &PgBouncer, database: &Database) -> String {
    format!("postgres://{OWNER}:{OWNER_PASSWORD}@127.0.0.1:{}/{}", pooler.port, database.name())
}

/// Why it is not served; `None`: it is.
fn refusal(url: &str) -> Option<String> {
    match store::open(&url.into(), &Options::default(), Arc::new(Metrics::new())) {
        Ok(store) => {
            store.close();
            None
        }
        Err(error) => Some(error.to_string()),
    }
}

fn violations(url: &str) -> Vec<String> {
    let checked = store::check(&url.into(), auth::check_hash).unwrap_or_else(|e| panic!("{e}"));
    checked.iter().map(ToString::to_string).collect()
}

#[test]
fn settings_that_break_a_promise_are_set_or_refused() {
    const COPY: &str = "CREATE SCHEMA seatkeeper; CREATE TABLE seatkeeper.seat (LIKE public.seat INCLUDING ALL)";
    const GUARD: &str = "CREATE FUNCTION durable() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('synchronous_commit') = 'off' THEN RAISE 'not durable'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER durable BEFORE UPDATE ON seat FOR EACH ROW EXECUTE FUNCTION durable()";
    let cluster = Cluster::start_on_tcp(&[]);
    let pooler = PgBouncer::to(&cluster);
    for (setting, script, direct, pooled) in [
        ("DateStyle = 'ISO'", "", None, None),
        ("synchronous_commit = off", GUARD, None, Some("synchronous_commit is off")),
        ("search_path = odd", "", None, Some("search_path of the login")),
        ("search_path = '$user', public", COPY, None, Some("search_path of the login")),
        (
            "session_replication_role = replica",
            "",
            Some("session_replication_role is replica"),
            Some("session_replication_role is replica"),
        ),
    ] {
        let database = database(&cluster);
        database.execute(script).unwrap_or_else(|e| panic!("{script}: {e}"));
        set(&database, setting);
        for (url, expected) in [(database.url(), direct), (through(&pooler, &database), pooled)] {
            match expected {
                None => {
                    let node = Node::on(&url, &Options::default());
                    let username = if url == database.url() { "anna" } else { "berta" };
                    node.assign(username).unwrap_or_else(|e| panic!("{setting}: {e}")).expect("a seat");
                }
                Some(why) => {
                    let refused = refusal(&url).unwrap_or_else(|| panic!("{setting} is served: {url}"));
                    assert!(refused.contains(why) && !refused.contains(OWNER_PASSWORD), "{setting}: {refused}");
                }
            }
        }
        // Nothing is written by a check.
        if direct.is_some() {
            assert_eq!(violations(&database.url()), [""; 0], "{setting}");
        }
    }
}

#[test]
fn scripts_are_read_as_they_are_written() {
    let cluster = Cluster::start_on_tcp(&[]);
    let pooler = PgBouncer::to(&cluster);
    for setting in ["standard_conforming_strings = off", "quote_all_identifiers = on"] {
        for is_pooled in [false, true] {
            let database = cluster.empty_database();
            set(&database, setting);
            let url = if is_pooled { through(&pooler, &database) } else { database.url() };
            let place: store::Database = url.as_str().into();
            assert!(store::create(&place).unwrap_or_else(|e| panic!("{setting}: {e}")), "{setting}");
            assert_eq!(violations(&url), [""; 0], "{setting} {is_pooled}");
            store::verify(&place, auth::check_hash).unwrap_or_else(|e| panic!("{setting}: {e}"));
        }
    }
}

#[test]
fn only_the_owner_of_the_tables_is_served() {
    let cluster = Cluster::start(&[]);
    let database = database(&cluster);
    let superuser = cluster.superuser("postgres");
    superuser
        .execute(
            "CREATE ROLE member LOGIN IN ROLE seatkeeper; CREATE ROLE assumed LOGIN IN ROLE seatkeeper; ALTER ROLE assumed SET role = 'seatkeeper'",
        )
        .expect("roles");
    for (login, is_served) in [(OWNER, true), ("postgres", false), ("member", false), ("assumed", false)] {
        let verified = store::verify(&cluster.url(login, database.name()).as_str().into(), auth::check_hash);
        match verified {
            Ok(_) => assert!(is_served, "{login}"),
            Err(error) => {
                assert!(!is_served && error.to_string().contains("must sign in as seatkeeper"), "{login}: {error}");
            }
        }
    }
}

#[test]
fn tables_of_another_role_are_not_taken_for_nothing() {
    let cluster = Cluster::start(&[]);
    let theirs = cluster.empty_database();
    let owned = store::create(&cluster.url("postgres", theirs.name()).as_str().into());
    assert!(owned.expect("made"));
    for refused in [store::create(&theirs.url().into()), store::migrate(&theirs.url().into()).map(|_| false)] {
        let error = refused.expect_err("the tables are not its own").to_string();
        assert!(error.contains("permission denied for table schema_version"), "{error}");
        assert!(error.contains("own the database and its tables"), "{error}");
    }
    let foreign = cluster.empty_database();
    foreign.execute("CREATE TABLE schema_version (id int, version text)").expect("a table");
    let error = store::create(&foreign.url().into()).expect_err("another program's").to_string();
    assert!(error.contains("tables that are not Seatkeeper's"), "{error}");
    let extended = cluster.empty_database();
    let extension = "CREATE EXTENSION pg_stat_statements SCHEMA public";
    cluster.superuser(extended.name()).execute(extension).expect("an extension");
    assert!(store::create(&extended.url().into()).expect("made"));
    assert_eq!(violations(&extended.url()), [""; 0]);
}

#[test]
fn an_owner_may_have_any_name() {
    let cluster = Cluster::start(&[]);
    let superuser = cluster.superuser("postgres");
    superuser.execute("CREATE ROLE zeta LOGIN").expect("a role whose name differs in case");
    for (number, (role, login)) in
        [("Zeta", "Zeta"), ("svc.seat", "svc.seat"), ("seat keeper", "seat%20keeper")].into_iter().enumerate()
    {
        superuser.execute(&format!("CREATE ROLE \"{role}\" LOGIN")).expect("a role");
        superuser.execute(&format!("CREATE DATABASE named_{number} OWNER \"{role}\"")).expect("a database");
        let url = cluster.url(login, &format!("named_{number}"));
        let place: store::Database = url.as_str().into();
        assert!(store::create(&place).unwrap_or_else(|e| panic!("{role}: {e}")));
        // Also that only the owner may call the functions.
        assert_eq!(violations(&url), [""; 0], "{role}");
        store::verify(&place, auth::check_hash).unwrap_or_else(|e| panic!("{role}: {e}"));
    }
}

#[test]
fn functions_that_every_login_may_call_are_closed_by_a_start() {
    let database = Cluster::shared().empty_database();
    let place: store::Database = database.url().into();
    assert!(store::create(&place).expect("made"));
    // As after pg_restore --no-acl, with a function of an administrator's own beside.
    database
        .execute(
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
             CREATE FUNCTION their_function() RETURNS integer LANGUAGE sql AS 'SELECT 1';",
        )
        .expect("granted");
    let found = violations(&database.url());
    assert!(found.iter().any(|line| line.contains("every login may call")), "{found:?}");
    // What a start does first, here by several nodes at the same time.
    std::thread::scope(|scope| {
        let nodes: Vec<_> = (0..4).map(|_| scope.spawn(|| store::migrate(&place))).collect();
        for node in nodes {
            let migrated: Result<_, OpenError> = node.join().expect("no panic");
            assert!(migrated.expect("closed").is_none());
        }
    });
    assert_eq!(violations(&database.url()), [""; 0]);
    let is_open = "SELECT has_function_privilege('public', 'public.their_function()', 'EXECUTE')";
    assert_eq!(database.query::<i64>(is_open), 1, "theirs is their own matter");
    // A forgery from a table of one's own is refused.
    let forger = database.cluster().superuser(database.name());
    forger.execute("SET ROLE pg_monitor; CREATE TEMP TABLE seat (id int)").expect("a table");
    let forged = forger.execute(
        "CREATE TRIGGER forged AFTER UPDATE ON pg_temp.seat FOR EACH ROW EXECUTE FUNCTION public.seat_changed()",
    );
    assert_eq!(forged.expect_err("refused").code, "42501");
}
