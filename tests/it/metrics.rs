//! `/metrics` at the wire: what it says about seats and the service, in which format, and what it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use seatkeeper::metrics::Metrics;
use serde_json::Value;

use crate::harness::*;
use crate::program::run;
use crate::validator;

impl Server {
    /// GET /metrics with this header Accept.
    pub fn scrape(&self, accept: Option<&str>) -> Answer {
        let accept = accept.map(|accept| format!("Accept: {accept}\r\n")).unwrap_or_default();
        self.ask_metrics(&format!("GET /metrics HTTP/1.1\r\nHost: metrics\r\n{accept}\r\n"))
    }

    /// Its text once the numbers of seats are read: a scrape does not wait long for them, and a busy machine may take longer.
    fn scrape_with_seats(&self, accept: Option<&str>) -> String {
        let begun = Instant::now();
        loop {
            let text = self.scrape(accept).body;
            if text.lines().any(|line| line.starts_with("seatkeeper_seats_read_success 1")) {
                return text;
            }
            assert!(begun.elapsed() < LONG, "the numbers of seats are not read: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn with_metrics(entities_max: usize, seed: &str) -> Server {
    Server::with(Options { metrics_entities_max: Some(entities_max), seed: sample_data() + seed, ..Options::default() })
}

/// The series of a scrape as Prometheus' Python library reads them.
pub struct Series {
    /// Type of the family of each name.
    pub kinds: BTreeMap<String, String>,
    rows: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Series {
    pub fn read(format: &str, text: &str) -> Series {
        let mut series = Series { kinds: BTreeMap::new(), rows: Vec::new() };
        for line in validator::run("metrics.py", &format!("{format}\n{text}")).lines() {
            let (_, kind, name, labels, value): (String, String, String, BTreeMap<String, String>, Value) =
                serde_json::from_str(line).expect(line);
            series.kinds.insert(name.clone(), kind);
            series.rows.push((name, labels, value.as_f64().unwrap_or(f64::NAN)));
        }
        series
    }

    /// Name, type of the family, and labels of each series.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str, impl Iterator<Item = &String>)> {
        self.rows.iter().map(|(name, labels, _)| (name.as_str(), self.kinds[name].as_str(), labels.keys()))
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.rows.iter().map(|(name, _, _)| name.as_str()).collect()
    }

    /// The value of the one series that has these labels, whatever others it has.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.find(name, labels);
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found[0]
    }

    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let has = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| of.get(*label).is_some_and(|own| own == value))
        };
        self.rows.iter().filter(|(own, of, _)| own == name && has(of)).map(|(_, _, value)| *value).collect()
    }
}

#[test]
fn the_format_is_the_one_that_the_scraper_prefers() {
    let server = with_metrics(10, "");
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (accept, expected) in [
        (None, TEXT),
        (Some("*/*"), TEXT),
        (Some("text/*"), TEXT),
        (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), TEXT),
        (Some("application/json"), TEXT),
        (Some("application/openmetrics-text"), OPEN),
        (Some("application/*"), OPEN),
        (Some("APPLICATION/OpenMetrics-Text; Version=1.0.0"), OPEN),
        (Some("text/plain, application/openmetrics-text;q=0.9"), TEXT),
        (Some("text/plain;q=0.5, application/openmetrics-text"), OPEN),
        (Some("application/openmetrics-text;q=0, */*"), TEXT),
        (Some("*/*, text/plain;q=0"), OPEN),
        (Some(",;=,/ ,"), TEXT),
        // Prometheus 2 and 3, VictoriaMetrics and Telegraf.
        (
            Some(
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ),
            OPEN,
        ),
        (
            Some(
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            ),
            OPEN,
        ),
        (Some("text/plain;version=0.0.4;q=1,*/*;q=0.1"), TEXT),
        (
            Some(
                "application/openmetrics-text; version=1.0.0; charset=utf-8; q=0.5, text/plain; version=0.0.4; q=0.25",
            ),
            OPEN,
        ),
    ] {
        let answer = server.scrape(accept);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(expected)), "{accept:?}");
        assert_eq!(answer.body.ends_with("# EOF\n"), expected == OPEN, "{accept:?}");
        assert_eq!(answer.body.contains("# HELP seatkeeper_replays_total "), expected == TEXT, "{accept:?}");
    }
}

#[test]
fn the_listener_has_only_metrics() {
    let server = with_metrics(10, "");
    let ask = |line: &str| server.ask_metrics(&format!("{line} HTTP/1.1\r\nHost: metrics\r\n\r\n"));
    for (line, status) in [
        ("GET /metrics", 200),
        ("GET /METRICS", 200),
        ("GET /metrics?name=x", 200),
        ("POST /metrics", 405),
        ("PUT /metrics", 405),
        ("DELETE /metrics", 405),
        ("OPTIONS /metrics", 405),
        ("GET /", 404),
        ("GET /metrics/x", 404),
        ("GET /healthz", 404),
        ("GET /api/v1/License", 404),
        ("POST /x", 404),
    ] {
        let answer = ask(line);
        assert_eq!(answer.status, status, "{line}");
        match status {
            405 => assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{line}"),
            404 => assert_eq!(answer.body, "Only /metrics is here.\n", "{line}"),
            _ => {}
        }
    }
    let mut stream = std::net::TcpStream::connect(server.metrics_address.expect("a listener")).expect("connect");
    stream.write_all(b"HEAD /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n").expect("a request");
    let mut head = String::new();
    stream.read_to_string(&mut head).expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    // And the service has no metrics.
    assert_eq!(server.get("/metrics").status, 404);
}

/// Calls that have all kinds of outcomes.
pub fn call_around(server: &Server) {
    server.assign("anna", 42, "SqlBackup");
    server.assign("anna", 42, "SqlBackup");
    server.assign("bert", 43, "ExchangeBackup");
    server.post11(&assign_envelope("agent", "wrong", "anna", 42, "SqlBackup"));
    server.post11("no envelope");
    server.authenticate("reader", PASSWORD);
}

/// Names of entities that a careless exporter breaks its format with.
const NAMES: [(i64, &str); 7] = [
    (101, r#"double " and back \ slash"#),
    (102, "two\nlines"),
    (103, "Zoë Ångström バックアップ 🦀"),
    (104, r#"",x="1"} 5"#),
    (105, "\\"),
    (106, "Contoso"),
    (107, "(others)"),
];

#[test]
fn both_formats_are_clean_whatever_entities_are_called() {
    let mut seed = String::new();
    for (id, name) in NAMES {
        seed += &format!("INSERT INTO entity (id, parent_id, name) VALUES ({id}, 1, '{}');", name.replace('\'', "''"));
        seed += &format!(
            "INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES ({id}, 'SqlBackup', {id});"
        );
    }
    seed += &format!("INSERT INTO entity (id, parent_id, name) VALUES (108, 1, '{}');", "ü".repeat(255));
    seed += "INSERT INTO license_pool (entity_id, license_type, seats_total, expires_at) VALUES (108, 'SqlBackup', 108, '2999-12-31T00:00:00Z');";
    let server = with_metrics(20, &seed);
    call_around(&server);

    let text = server.scrape_with_seats(None);
    let done = run(Command::new("promtool").args(["check", "metrics"]), &text);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "", ""));
    let open = server.scrape_with_seats(Some("application/openmetrics-text"));
    for series in [Series::read("text", &text), Series::read("openmetrics", &open)] {
        for (id, name) in NAMES {
            let shown = match id {
                102 => "two lines",
                107 => "(others) 107",
                _ => name,
            };
            let labels = [("entity_id", &*id.to_string()), ("entity", shown), ("type", "SqlBackup")];
            assert_eq!(series.value("seatkeeper_entity_seats", &labels), id as f64, "{name}");
        }
        let long = format!("{}…", "ü".repeat(99));
        assert_eq!(series.value("seatkeeper_entity_seats", &[("entity_id", "108"), ("entity", &long)]), 108.0);
        let expiry = series.value("seatkeeper_entity_pool_expiry_timestamp_seconds", &[("entity_id", "108")]);
        assert_eq!(expiry, 32_503_593_600.0);
        assert_eq!(series.value("seatkeeper_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
        assert_eq!(series.value("seatkeeper_ready", &[]), 1.0);
        assert_eq!(series.value("seatkeeper_part_ready", &[("part", "database:available")]), 1.0);
        assert_eq!(series.value("seatkeeper_seats_read_success", &[]), 1.0);
        assert_eq!(series.value("seatkeeper_store_stopped", &[("fault", "file")]), 0.0);
        // On PostgreSQL it is looked up later.
        assert!(on_postgres() || series.value("seatkeeper_store_database_bytes", &[]) > 10_000.0);
        assert!(series.value("process_resident_memory_bytes", &[]) > 1e6);
        assert!(series.value("process_cpu_seconds_total", &[]) > 0.0);
        assert!(series.value("process_threads", &[]) > 2.0);
        let open_fds = series.value("process_open_fds", &[]);
        assert!(open_fds > 5.0 && open_fds < series.value("process_max_fds", &[]), "{open_fds}");
        let age = now_s() - series.value("process_start_time_seconds", &[]);
        // The process is that of all tests.
        assert!((-1.0..24.0 * 3600.0).contains(&age), "{age}");
    }
}

fn now_s() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1000.0
}

#[test]
fn seats_are_counted_by_entity_and_type() {
    // Beside the sample: 3 seats of Contoso, and 5 of Fabrikam in a pool that has expired.
    let seed = "
        INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at, expires_at) VALUES
            (11, 42, 'SqlBackup', 4, NULL, '2999-01-01T00:00:00Z'), (12, 9, 'SqlBackup', 1, NULL, '2998-01-01T00:00:00Z'),
            (13, 9, 'ExchangeBackup', 90, '2999-01-01T00:00:00Z', NULL);";
    let types = |series: &Series| {
        assert_eq!(series.value("seatkeeper_seats", &[("type", "SqlBackup")]), 8.0);
        assert_eq!(series.value("seatkeeper_seats_in_use", &[("type", "SqlBackup")]), 2.0);
        assert_eq!(series.value("seatkeeper_seats", &[("type", "ExchangeBackup")]), 0.0);
        assert_eq!(series.value("seatkeeper_seats", &[("type", "SkraftDiskImageV5")]), 0.0);
        assert_eq!(series.value("seatkeeper_pools", &[("type", "ExchangeBackup"), ("state", "expired")]), 1.0);
        assert_eq!(series.value("seatkeeper_pools", &[("type", "ExchangeBackup"), ("state", "not-begun")]), 1.0);
        assert_eq!(series.value("seatkeeper_pools", &[("type", "SqlBackup"), ("state", "open")]), 3.0);
        assert_eq!(series.value("seatkeeper_pools_full", &[("type", "SqlBackup")]), 1.0);
        assert_eq!(
            series.value("seatkeeper_pool_expiry_timestamp_seconds", &[("type", "SqlBackup")]),
            32_440_608_000.0
        );
        assert_eq!(series.find("seatkeeper_pool_expiry_timestamp_seconds", &[("type", "ExchangeBackup")]), [0.0; 0]);
    };
    for entities_max in [0, 1, 100] {
        let server = with_metrics(entities_max, seed);
        server.assign("anna", 42, "SqlBackup");
        server.sql(
            "INSERT INTO account (id, username, entity_id) VALUES (900, 'otto', 9);
             UPDATE seat SET account_id = 900 WHERE pool_id = 12 AND seat_no = 1;",
        );
        let series = Series::read("openmetrics", &server.scrape_with_seats(Some("application/openmetrics-text")));
        types(&series);
        let of = |id: &str| series.find("seatkeeper_entity_seats", &[("entity_id", id), ("type", "SqlBackup")]);
        let used =
            |id: &str| series.find("seatkeeper_entity_seats_in_use", &[("entity_id", id), ("type", "SqlBackup")]);
        match entities_max {
            0 => assert!(
                !series.names().iter().any(|name| name.starts_with("seatkeeper_entity_")),
                "{:?}",
                series.names()
            ),
            1 => {
                assert_eq!((of("42"), of("9"), of("others")), (vec![7.0], vec![], vec![1.0]));
                assert_eq!((used("42"), used("others")), (vec![1.0], vec![1.0]));
            }
            _ => {
                assert_eq!((of("42"), of("9"), of("others")), (vec![7.0], vec![1.0], vec![]));
                assert_eq!(series.value("seatkeeper_entity_seats", &[("entity", "Contoso")]), 7.0);
                // It has only a pool that has expired.
                assert_eq!(series.value("seatkeeper_entity_seats", &[("entity", "Fabrikam")]), 0.0);
            }
        }
    }
}

#[test]
fn many_scrapes_read_the_seats_once() {
    let server = with_metrics(10, "");
    let read_at = || {
        server
            .scrape(None)
            .body
            .lines()
            .find(|l| l.starts_with("seatkeeper_seats_read_timestamp_seconds "))
            .map(str::to_owned)
    };
    let begun = Instant::now();
    let mut seen: Vec<Option<String>> = std::thread::scope(|scope| {
        let scrapers: Vec<_> = (0..8).map(|_| scope.spawn(read_at)).collect();
        scrapers.into_iter().map(|scraper| scraper.join().expect("a scrape")).collect()
    });
    let assigned =
        server.connect().send_unchecked(&post11(&assign_envelope("agent", PASSWORD, "anna", 42, "SqlBackup")));
    assert_eq!(assigned.code(), "Success");
    seen.push(read_at());
    let first = seen[0].clone();
    // They are kept for five seconds, which is long for nine scrapes and a call; a machine that stood still meanwhile proves nothing.
    let is_once = seen.iter().all(|at| *at == first) || begun.elapsed() > Duration::from_secs(5);
    assert!(first.is_some() && is_once, "{seen:?}");
    // What is counted as it happens is of now.
    assert!(
        server.scrape(None).body.contains("seatkeeper_calls_total{operation=\"AssignLicense\",code=\"Success\"} 1")
    );
}

/// Holds something of the database so that nobody can read, until it is dropped.
struct Held(std::process::Child);

impl Held {
    /// Every place of the index of the log where a reader would note what it reads. Locks of files are of processes, so another holds them.
    fn readers_of(file: &std::path::Path) -> Held {
        const HOLD: &str = "
import fcntl, sys
index = open(sys.argv[1], 'r+b')
fcntl.lockf(index, fcntl.LOCK_EX, 5, 123)
print('held', flush=True)
sys.stdin.read()";
        let mut shm = file.as_os_str().to_owned();
        shm.push("-shm");
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", HOLD]).arg(shm).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python3");
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line, "held\n");
        Held(child)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_database_that_does_not_answer_does_not_hang_the_scrape() {
    let server = with_metrics(10, "");
    let scrape = || {
        let begun = Instant::now();
        let text = server.scrape(None).body;
        // Scrapers give up after ten seconds.
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        Series::read("text", &text)
    };
    assert_eq!(scrape().value("seatkeeper_seats_read_success", &[]), 1.0);
    let held = if on_postgres() { None } else { Some(Held::readers_of(&server.file())) };
    let session = on_postgres().then(|| server.database().session());
    if let Some(session) = &session {
        session.sql("BEGIN; LOCK TABLE entity, license_pool IN ACCESS EXCLUSIVE MODE").expect("a lock");
    }
    // The numbers are kept for five seconds; on a slow machine, where it takes long to read them, for a minute at most.
    let begun = Instant::now();
    let mut series = scrape();
    while series.value("seatkeeper_seats_read_success", &[]) == 1.0 {
        assert!(begun.elapsed() < Duration::from_secs(90), "the numbers are old and the scrape does not say so");
        std::thread::sleep(Duration::from_millis(500));
        series = scrape();
    }
    // What was known is still shown.
    assert_eq!(series.value("seatkeeper_seats", &[("type", "SqlBackup")]), 3.0);
    assert!(now_s() - series.value("seatkeeper_seats_read_timestamp_seconds", &[]) > 4.0);
    assert_eq!(series.value("seatkeeper_ready", &[]), f64::from(on_postgres()));
    scrape();

    drop(held);
    if let Some(session) = &session {
        session.sql("ROLLBACK").expect("the lock ends");
    }
    // The read that is waiting succeeds now; or it has given up after ten seconds, and the next one follows ten seconds later.
    let begun = Instant::now();
    while scrape().value("seatkeeper_seats_read_success", &[]) != 1.0 {
        assert!(begun.elapsed() < Duration::from_secs(50), "the numbers are not read again");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn names_follow_the_conventions() {
    let metrics = Metrics::new();
    let mut names = BTreeSet::new();
    for of in metrics.descriptions() {
        let name = of.name.as_str();
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("seatkeeper_") || name.starts_with("process_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
        assert_eq!(of.kind == "counter", name.ends_with("_total"), "{name} is a {}", of.kind);
        assert_eq!(of.kind == "info", name.ends_with("_info"), "{name} is a {}", of.kind);
        for unit in ["_ms", "_minutes", "_hours", "_days", "_milliseconds", "_kib", "_mib", "_percent"] {
            assert!(!name.contains(unit), "{name}: the units are seconds, bytes and ratios");
        }
        assert!(
            of.help.starts_with(|c: char| c.is_ascii_uppercase() || c == '1') && !of.help.ends_with('.'),
            "{name}: {}",
            of.help
        );
    }
}
