//! Settings at the process: which source counts, how errors name it, `seatkeeper config`, `seatkeeper check --config`, and one file for all
//! commands.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::certificates::Authority;
use crate::harness::*;
use crate::program::{Done, Serving, command, run, unprivileged};

/// Runs a command with these variables, and fails if it takes long.
fn seatkeeper(arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    run(command().args(arguments).envs(variables.iter().copied()).current_dir(std::env::temp_dir()), "SELECT 1;")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("write");
    path
}

/// `seatkeeper config --format json ARGUMENTS`: a line for each setting.
fn settings(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<serde_json::Value> {
    let done = seatkeeper(&[&["config", "--format", "json"], arguments].concat(), variables);
    assert_eq!(done.code, Some(0), "{done:?}");
    done.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Value and source of one setting.
fn setting(settings: &[serde_json::Value], name: &str) -> (serde_json::Value, String) {
    let found = settings.iter().find(|setting| setting["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    (found["value"].clone(), found["source"].as_str().expect("a source").to_owned())
}

// Sources -----------------------------------------------------------------------------------------------------------

#[test]
fn the_nearest_source_counts_and_is_named() {
    let directory = TempDir::new();
    let file = write(&directory, "a.toml", "# mine\nlisten = localhost:1\nidle_timeout_s = 60\nenroll = no\n");
    let of_file = |place: &str| format!("{}:{place}", file.display());
    let variable = ("SEATKEEPER_CONFIG", text(&file));
    let found = settings(
        &["--listen", ":3"],
        &[variable, ("SEATKEEPER_LISTEN", "127.0.0.1:2"), ("SEATKEEPER_IDLE_TIMEOUT_S", "1e2")],
    );
    assert_eq!(setting(&found, "listen"), ("[::]:3".into(), "--listen".to_owned()));
    assert_eq!(setting(&found, "idle_timeout_s"), (100.into(), "SEATKEEPER_IDLE_TIMEOUT_S".to_owned()));
    assert_eq!(setting(&found, "enroll"), (false.into(), of_file("4:1")));
    assert_eq!(setting(&found, "xml_depth_max"), (32.into(), "default".to_owned()));
    assert_eq!(setting(&found, "audit_key"), (serde_json::Value::Null, "default".to_owned()));

    // Empty variables count as unset, also that of the file.
    let empty = [("SEATKEEPER_LISTEN", ""), ("SEATKEEPER_ENROLL", " "), ("SEATKEEPER_METRICS_LISTEN", "")];
    let found = settings(&["--config", text(&file)], &empty);
    assert_eq!(setting(&found, "listen"), ("127.0.0.1:1".into(), of_file("2:1")));
    assert_eq!(setting(&found, "enroll"), (false.into(), of_file("4:1")));
    assert_eq!(setting(&found, "metrics_listen").1, "default");
    // A flag beats the variable that names the file.
    let found = settings(&["--config", "/dev/null"], &[variable]);
    assert_eq!(setting(&found, "enroll"), (true.into(), "default".to_owned()));
}

#[test]
fn every_setting_is_printed_with_its_unit() {
    let found = settings(&[], &[]);
    assert_eq!(found.len(), seatkeeper::config::SETTINGS.len());
    let table = seatkeeper(&["config"], &[]).stdout;
    assert!(table.starts_with("name ") && table.lines().count() == found.len() + 1, "{table}");
    for (found, described) in found.iter().zip(seatkeeper::config::SETTINGS) {
        assert_eq!(found["name"], described.name);
        assert_eq!(found["unit"], serde_json::json!(described.unit()));
        assert_eq!(found["source"], "default");
        assert_eq!(found["change"], if described.is_live { "reload" } else { "restart" });
        let shown = match &found["value"] {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(shown, described.default, "{}", described.name);
    }
    // The help of the flags has the same.
    let help = seatkeeper(&["serve", "--help"], &[]).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "--idle-timeout-s <SECONDS>",
        "[default: 120]",
        "[env: SEATKEEPER_IDLE_TIMEOUT_S]",
        "--disk-free-min-mib <MiB>",
    ] {
        assert!(help.contains(part), "no {part} in {help}");
    }
}

#[test]
fn passwords_are_masked_wherever_settings_are_shown() {
    let directory = TempDir::new();
    for secret in [
        "postgres://seatkeeper:geheim@db1,db2/seats?sslmode=require",
        "postgresql://db1/seats?user=u&password=geheim",
        "host=db1 user=u password=geheim",
    ] {
        let file = write(&directory, "a.toml", &format!("database = \"{secret}\"\n"));
        for (arguments, variables) in [
            (vec!["--config", text(&file)], vec![]),
            (vec!["--database", secret], vec![]),
            (vec![], vec![("SEATKEEPER_DATABASE", secret)]),
        ] {
            for format in ["table", "json", "csv"] {
                let done = seatkeeper(&[&["config", "--format", format], &arguments[..]].concat(), &variables);
                assert_eq!(done.code, Some(0), "{done:?}");
                assert!(!done.stdout.contains("geheim") && done.stdout.contains("***"), "{}", done.stdout);
            }
        }
    }
    // Nor in an error.
    for (name, value) in [
        ("SEATKEEPER_DATABASE", "postgres://u:geheim@db1:x/seats"),
        ("SEATKEEPER_PUBLIC_URL", "https://u:geheim@licenses.example.com"),
    ] {
        let done = seatkeeper(&["config"], &[(name, value)]);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.stderr.starts_with(&format!("error: {name}: ")) && !done.stderr.contains("geheim"), "{done:?}");
    }
    for (name, value) in [
        ("SEATKEEPER_CORS_ORIGINS", "https://u:geheim@tools.example.com"),
        ("SEATKEEPER_TRUSTED_PROXIES", "http://u:geheim@10.0.0.1"),
        ("SEATKEEPER_PATH_PREFIX", "http://u:geheim@h/x"),
    ] {
        let done = seatkeeper(&["config"], &[(name, value)]);
        assert!(done.code == Some(2) && !done.stderr.contains("geheim"), "{done:?}");
    }
    let file = write(&directory, "b.toml", "\"postgres://u:geheim@h/x\" = 1\n");
    let done = seatkeeper(&["config", "--config", text(&file)], &[]);
    assert!(done.code == Some(2) && !done.stderr.contains("geheim"), "{done:?}");
    for mistyped in ["postgress://u:geheim@h/d", "host=h password=geheim"] {
        for verb in ["who", "serve", "check"] {
            let done = seatkeeper(&[verb, "--database", mistyped], &[]);
            assert!(done.code != Some(0) && !done.stderr.contains("geheim"), "{done:?}");
        }
    }
}

/// All commands find the same database.
#[test]
fn blanks_around_the_name_of_a_database_do_not_count() {
    let directory = TempDir::new();
    let database = directory.join("a.db");
    sql(&database, &sample_data()).expect("seed");
    let place = format!("  {} ", database.display());
    let file = write(&directory, "a.toml", &format!("database = \"{place}\"\n"));
    for (arguments, variables) in [
        (vec!["--config", text(&file)], vec![]),
        (vec!["--database", &place], vec![]),
        (vec![], vec![("SEATKEEPER_DATABASE", place.as_str())]),
    ] {
        let done = seatkeeper(&[&["who"], &arguments[..]].concat(), &variables);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
}

#[test]
fn a_value_without_quotes_hides_no_other_error() {
    let directory = TempDir::new();
    let file = write(
        &directory,
        "a.toml",
        "databse = /x\nlog_levl = hello world\nenroll = maybe\t# mine\nlisten = localhost:8086\t# mine\n",
    );
    let done = seatkeeper(&["config", "--config", text(&file)], &[]);
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{done:?}");
    for (line, part) in
        lines.iter().zip(["did you mean database?", "did you mean log_level?", "'maybe' is not true or false"])
    {
        assert!(line.contains(part), "{done:?}");
    }
}

#[test]
fn an_error_names_its_true_source() {
    let directory = TempDir::new();
    let file = directory.join("a.toml");
    for (name, value, complaint) in [
        ("listen", "nowhere", "listen: 'nowhere' is not an address and port, such as 127.0.0.1:8086"),
        ("log_level", "loud", "log_level: 'loud' is not error, warn, info, debug or trace"),
        ("enroll", "maybe", "enroll: 'maybe' is not true or false (also yes, no, on, off, 1, 0)"),
        ("idle_timeout_s", "0", "idle_timeout_s must be from 1 to 31536000"),
        ("body_bytes_max", "64k", "body_bytes_max: '64k' is not a whole number"),
        ("trusted_proxies", "10.0.0.0/99", "trusted_proxies: '10.0.0.0/99' has a bad prefix"),
        // Invalid only together with another one, which is not there.
        ("audit_heads", "heads.jsonl", "audit_heads is where signed heads go: set audit_key too"),
        ("tls_key", "a.key", "tls_key is set and tls_certificate is not"),
    ] {
        std::fs::write(&file, format!("\n  {name} = '{value}'\n")).expect("write");
        let flag = format!("--{}", name.replace('_', "-"));
        let variable = format!("SEATKEEPER_{}", name.to_uppercase());
        let place = format!("{}:2:3", file.display());
        for verb in ["serve", "config"] {
            for (arguments, variables, source) in [
                (vec![verb, &flag, value], vec![], &flag),
                (vec![verb], vec![(variable.as_str(), value)], &variable),
                (vec![verb, "--config", text(&file)], vec![], &place),
            ] {
                let done = seatkeeper(&arguments, &variables);
                assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{arguments:?}: {done:?}");
                let start = format!("error: {source}: {complaint}");
                assert!(done.stderr.starts_with(&start), "{arguments:?}: {}", done.stderr);
                assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
            }
        }
    }
    // Each error on a line of its own.
    std::fs::write(&file, "lisen = 1\nenroll = maybe\nidle_timeout_s = 0\n").expect("write");
    let done = seatkeeper(&["serve", "--config", text(&file)], &[]);
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{done:?}");
    assert!(lines.iter().all(|line| line.starts_with(&format!("error: {}:", file.display()))), "{done:?}");
    assert!(done.stderr.contains(":1:1: there is no setting 'lisen'; did you mean listen?"), "{done:?}");
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_setting() {
    let unknown = [("SEATKEEPER_LISEN", "localhost:1")];
    let warning = "the variable SEATKEEPER_LISEN is no setting and has no effect; did you mean SEATKEEPER_LISTEN?";
    let directory = TempDir::new();
    let nowhere = directory.join("nowhere.db");
    for arguments in [
        vec!["config"],
        vec!["check", "--config", "/dev/null"],
        vec!["serve", "--database", text(&nowhere), "--listen", "localhost:0"],
    ] {
        let done = seatkeeper(&arguments, &unknown);
        assert_eq!(done.stderr.matches(warning).count(), 1, "{arguments:?}: {done:?}");
    }
    // Where it does not help, and for variables that others set, no warning.
    for (arguments, variables) in [
        (vec!["hash-password"], unknown.to_vec()),
        (vec!["config"], vec![("SEATKEEPER_SERVICE_HOST", "10.0.0.1"), ("SEATKEEPER_PORT", "tcp://10.0.0.1:8086")]),
        (vec!["config"], vec![("SEATKEEPER_PORT_8086_TCP_ADDR", "10.0.0.1"), ("SEATKEEPER_LISEN", "")]),
    ] {
        let done = seatkeeper(&arguments, &variables);
        assert!(!done.stderr.contains("is no setting"), "{arguments:?}: {done:?}");
    }
}

// One file for all commands -----------------------------------------------------------------------------------------

#[test]
fn every_command_finds_the_database_of_the_settings_file() {
    let database = TestDatabase::new(&sample_data());
    let directory = TempDir::new();
    let place = database.argument();
    // A command needs one line only: the others may be invalid.
    let file = write(&directory, "a.toml", &format!("database = \"{place}\"\nidle_timeout_s = 0\n"));
    let copy = directory.join("copy.db");
    let mut commands = vec![
        vec!["check"],
        vec!["attention"],
        vec!["who"],
        vec!["pool", "list"],
        vec!["entity", "list"],
        vec!["account", "list"],
        vec!["credential", "list"],
        vec!["offer", "list"],
        vec!["refusals"],
        vec!["report", "42"],
        vec!["export", "users"],
        vec!["migrate", "--dry-run"],
        vec!["audit", "show", "--limit", "1"],
        vec!["entity", "set", "42", "name=Contoso", "--dry-run"],
        vec!["assign", "--username", "a", "--entity", "42", "--license-type", "SqlBackup", "--enroll", "--dry-run"],
        vec!["explain", "--user", "a", "--entity", "42", "--type", "SqlBackup"],
    ];
    if !on_postgres() {
        commands.push(vec!["sql"]);
        commands.push(vec!["backup", text(&copy)]);
        commands.push(vec!["restore", "--dry-run", text(&copy)]);
        commands.push(vec!["audit", "verify"]);
    }
    let named = [("SEATKEEPER_CONFIG", text(&file))];
    for arguments in commands {
        let done = seatkeeper(&arguments, &named);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        if arguments[0] != "check" && arguments[0] != "backup" {
            let done = seatkeeper(&[&arguments[..], &["--config", text(&file)]].concat(), &[]);
            assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        }
    }
    // A variable beats the file, and a flag both.
    let nowhere = [named[0], ("SEATKEEPER_DATABASE", "nowhere.db")];
    let done = seatkeeper(&["who"], &nowhere);
    assert!(done.code == Some(3) && done.stderr.contains("nowhere.db: there is no such database"), "{done:?}");
    assert_eq!(seatkeeper(&["who", "--database", &place], &nowhere).code, Some(0));
    let empty = [named[0], ("SEATKEEPER_DATABASE", "")];
    assert_eq!(seatkeeper(&["who"], &empty).code, Some(0), "an empty variable is none");
    // A misspelled name must not lead to another database.
    let misspelled = write(&directory, "b.toml", &format!("databse = \"{place}\"\n"));
    let done = seatkeeper(&["who", "--config", text(&misspelled)], &[]);
    assert!(
        done.code == Some(2) && done.stderr.contains(":1:1: there is no setting 'databse'; did you mean database?"),
        "{done:?}"
    );
    // The service takes the same file.
    let file = write(&directory, "c.toml", &format!("database = \"{place}\"\nenroll = off\n"));
    let mut serve = command();
    serve.args(["serve", "--config", text(&file)]);
    let service = Serving::try_start_as(serve).unwrap_or_else(|done| panic!("{done:?}"));
    assert!(Client::to(service.address).send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200);
}

/// Permissions do not hold back root.
#[test]
fn an_unreadable_settings_file_is_in_the_way_only_if_it_is_needed() {
    let directory = TempDir::new();
    let database = TestDatabase::new(&sample_data());
    let file = write(&directory, "a.toml", "database = \"nowhere.db\"\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).expect("mode");
    let as_other = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = unprivileged(&directory.join(""));
        command.env_clear().envs(variables.iter().copied()).current_dir("/");
        run(command.args(arguments), "")
    };
    let named = [("SEATKEEPER_CONFIG", text(&file))];
    let start = |source: &str| format!("error: {source}: settings file {}: Permission denied", file.display());
    for arguments in [vec!["who"], vec!["check"], vec!["backup", "/nowhere"], vec!["sql"]] {
        let done = as_other(&arguments, &named);
        assert_eq!((done.code, done.stdout.as_str()), (Some(3), ""), "{arguments:?}: {done:?}");
        assert!(
            done.stderr.starts_with(&start("SEATKEEPER_CONFIG")) && done.stderr.contains("or give --database"),
            "{arguments:?}: {done:?}"
        );
    }
    for arguments in [vec!["serve"], vec!["config"], vec!["check", "--config", text(&file)]] {
        let done = as_other(&arguments, &named);
        assert_eq!(done.code, Some(3), "{arguments:?}: {done:?}");
        let source = if arguments.contains(&"--config") { "--config" } else { "SEATKEEPER_CONFIG" };
        assert!(
            done.stderr.starts_with(&start(source)) && !done.stderr.contains("--database"),
            "{arguments:?}: {done:?}"
        );
    }
    let place = match database.place() {
        seatkeeper::store::Database::File(file) => {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("mode");
            text(&file).to_owned()
        }
        seatkeeper::store::Database::Server(address) => address.url().to_owned(),
    };
    for (arguments, variables) in [
        (vec!["check", "--database", &place], named.to_vec()),
        (vec!["check"], vec![named[0], ("SEATKEEPER_DATABASE", &place)]),
    ] {
        let done = as_other(&arguments, &variables);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    }
}

/// The file of a package, in a mount namespace in which it does not matter whether the machine has one.
#[test]
fn without_a_name_the_file_of_the_package_is_read() {
    let etc = TempDir::new();
    let isolated = |script: &str| {
        let script = format!("mount --bind {} /etc && unset SEATKEEPER_CONFIG && {script}", etc.join("").display());
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--map-root-user", "sh", "-c", &script, env!("CARGO_BIN_EXE_seatkeeper")]);
        run(&mut unshare, "")
    };
    let allowed = isolated("true");
    assert_eq!(
        allowed.code,
        Some(0),
        "this test needs a mount namespace (unshare of util-linux, as root): {allowed:?}"
    );
    std::fs::create_dir(etc.join("seatkeeper")).expect("a directory");
    let config = || isolated("\"$0\" config --format json");
    let of_service = |done: &Done| done.stdout.lines().next().expect("the database").to_owned();
    let without = config();
    assert!(of_service(&without).contains("\"source\":\"default\""), "{without:?}");
    std::fs::write(etc.join("seatkeeper/seatkeeper.toml"), "database = \"/nowhere/seats.db\"\n").expect("write");
    let with = config();
    assert!(of_service(&with).contains("\"source\":\"/etc/seatkeeper/seatkeeper.toml:1:1\""), "{with:?}");
    let who = isolated("\"$0\" who");
    assert!(who.code == Some(3) && who.stderr.contains("/nowhere/seats.db: there is no such database"), "{who:?}");
    // The demo has its own.
    let demo = isolated("\"$0\" demo --listen 127.0.0.1:x");
    assert_eq!(demo.code, Some(2), "{demo:?}");
}

// The test of a file ------------------------------------------------------------------------------------------------

#[test]
fn check_tests_a_settings_file_without_a_database() {
    let directory = TempDir::new();
    let authority = Authority::new();
    let [good, expired] = [("a", 30), ("b", -1)].map(|(name, days)| authority.issue(name, days));
    let key = directory.join("audit.key");
    assert_eq!(seatkeeper(&["audit", "key", text(&key)], &[]).code, Some(0));
    let tls = |certificate: &Path, key: &Path| {
        format!("tls_certificate = \"{}\"\ntls_key = \"{}\"\n", certificate.display(), key.display())
    };
    let nowhere = directory.join("nowhere");
    let database = format!("database = \"{}\"\n", directory.join("seats.db").display());
    for (content, code, says) in [
        (database.clone(), 0, "ok: FILE: every setting can be used\n"),
        (String::new(), 0, "ok: FILE"),
        (tls(&good.certificate, &good.key), 0, "ok: FILE"),
        (
            format!("audit_key = \"{}\"\naudit_heads = \"{}\"\n", key.display(), directory.join("h").display()),
            0,
            "ok: FILE",
        ),
        (
            "database = \"seats.db\"\n".to_owned(),
            0,
            "warning: FILE:1:1: database 'seats.db' is below the working directory of each command",
        ),
        (
            "database = \"postgres://u:geheim@db1/seats\"\n".to_owned(),
            0,
            "warning: FILE: it has a password, and every user can read it",
        ),
        (format!("\n{}", tls(&expired.certificate, &expired.key)), 2, "error: FILE:2:1: tls_certificate"),
        (tls(&good.certificate, &expired.key), 2, "error: FILE:2:1: tls_key"),
        (tls(&nowhere, &good.key), 2, "error: FILE:1:1: tls_certificate"),
        (format!("audit_key = \"{}\"\n", nowhere.display()), 2, "error: FILE:1:1: audit_key: "),
        (format!("audit_key = \"{}\"\n", good.certificate.display()), 2, "error: FILE:1:1: audit_key: "),
        (
            format!("audit_key = \"{}\"\naudit_heads = \"{}/h\"\n", key.display(), nowhere.display()),
            2,
            "error: FILE:2:1: audit_heads: ",
        ),
        (format!("database = \"{}/seats.db\"\n", nowhere.display()), 2, "error: FILE:1:1: database: "),
        ("listen = 1\nenroll = 2\n".to_owned(), 2, "error: FILE:2:1: enroll: '2' is not"),
        ("listen = \n".to_owned(), 2, "error: FILE:1:10: "),
    ] {
        let file = write(&directory, "a.toml", &content);
        let done = seatkeeper(&["check", "--config", text(&file)], &[("SEATKEEPER_LISTEN", "nonsense")]);
        let all = done.stdout.clone() + &done.stderr;
        assert_eq!(done.code, Some(code), "{content}: {all}");
        assert!(all.contains(&says.replace("FILE", text(&file))), "{content}: {all}");
        assert!(!all.contains("geheim"), "{all}");
    }
    // With a database it verifies both.
    let of_test = TestDatabase::new(&sample_data());
    let place = of_test.argument();
    let file = write(&directory, "a.toml", &database);
    let done = seatkeeper(&["check", "--config", text(&file), "--database", &place], &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.starts_with("ok: ") && done.stdout.ends_with("ok: every invariant holds\n"), "{done:?}");
    // Without --config it verifies the database of the file in force.
    let file = write(&directory, "a.toml", &format!("database = \"{place}\"\n"));
    let done = seatkeeper(&["check"], &[("SEATKEEPER_CONFIG", text(&file))]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "ok: every invariant holds\n"), "{done:?}");
}

// Listeners ---------------------------------------------------------------------------------------------------------

/// Each of these ends before it listens, because there is no database.
#[test]
fn a_listener_that_other_machines_reach_is_warned_of_once() {
    let directory = TempDir::new();
    let nowhere = directory.join("nowhere.db");
    let authority = Authority::new();
    let files = authority.issue("a", 30);
    let (certificate, key) = (text(&files.certificate), text(&files.key));
    const SERVICE: &str = "other machines reach the service without TLS";
    const METRICS: &str = "other machines reach /metrics";
    for (arguments, expected) in [
        (vec!["--listen", "localhost:0"], vec![]),
        (vec!["--listen", "[::1]:0"], vec![]),
        (vec!["--listen", ":0"], vec![SERVICE]),
        (vec!["--listen", "192.0.2.1:8086"], vec![SERVICE]),
        (vec!["--listen", ":0", "--trusted-proxies", "10.0.0.5"], vec![]),
        (vec!["--listen", ":0", "--tls-certificate", certificate, "--tls-key", key], vec![]),
        (vec!["--metrics-listen", "127.0.0.1:0"], vec![]),
        (vec!["--metrics-listen", "0.0.0.0:0"], vec![METRICS]),
        (vec!["--listen", ":0", "--metrics-listen", "[::]:0", "--trusted-proxies", "10.0.0.5"], vec![METRICS]),
        (vec!["--listen", ":0", "--metrics-listen", ":0"], vec![SERVICE, METRICS]),
    ] {
        let done = seatkeeper(&[&["serve", "--database", text(&nowhere)], &arguments[..]].concat(), &[]);
        assert_eq!(done.code, Some(3), "{arguments:?}: {done:?}");
        for warning in [SERVICE, METRICS] {
            let times = usize::from(expected.contains(&warning));
            assert_eq!(done.stderr.matches(warning).count(), times, "{arguments:?}: {done:?}");
        }
    }
}

#[test]
fn a_taken_port_is_named_by_its_setting_and_source() {
    let database = TestDatabase::new(&sample_data());
    let directory = TempDir::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let taken = taken.local_addr().expect("address").to_string();
    let of = |name: &str| {
        let file = write(&directory, &format!("{name}.toml"), &format!("{name} = \"{taken}\"\n"));
        (text(&file).to_owned(), format!("{name} in {}:1:1", file.display()))
    };
    let (of_listen, of_metrics) = (of("listen"), of("metrics_listen"));
    let free = ("SEATKEEPER_LISTEN", "127.0.0.1:0");
    for (arguments, variables, place) in [
        (vec!["--listen", &taken], vec![], "--listen"),
        (vec![], vec![("SEATKEEPER_LISTEN", taken.as_str())], "SEATKEEPER_LISTEN"),
        (vec!["--config", &of_listen.0], vec![], of_listen.1.as_str()),
        (vec!["--metrics-listen", &taken], vec![free], "--metrics-listen"),
        (vec![], vec![free, ("SEATKEEPER_METRICS_LISTEN", taken.as_str())], "SEATKEEPER_METRICS_LISTEN"),
        (vec!["--config", &of_metrics.0], vec![free], of_metrics.1.as_str()),
    ] {
        let mut serve = crate::program::program("serve", &database);
        let done = run(serve.args(&arguments).envs(variables), "");
        assert_eq!(done.code, Some(3), "{arguments:?}: {done:?}");
        let says = format!(
            "error: cannot listen on {taken}: Address already in use (os error 98). Another program listens there: stop it, or choose another port with {place}."
        );
        assert!(done.stderr.contains(&says), "{says}: {}", done.stderr);
    }
    // A clash of the two is known before the database is opened.
    let done = seatkeeper(&["serve", "--listen", "localhost:18086"], &[("SEATKEEPER_METRICS_LISTEN", ":18086")]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(
        done.stderr.starts_with(
            "error: SEATKEEPER_METRICS_LISTEN: metrics_listen [::]:18086 is the address of the service too"
        ),
        "{done:?}"
    );
}
