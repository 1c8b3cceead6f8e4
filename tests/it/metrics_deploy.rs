//! What operators take from `deploy/` for monitoring, and the page that explains it: the dashboard, the alert rules and the table of
//! metrics know the metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seatkeeper::metrics::Metrics;
use serde_json::Value;

use crate::harness::*;
use crate::metrics::{Series, call_around};
use crate::program::{Done, run};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Runs promtool in the folder of the rules.
fn promtool(arguments: &[&str]) -> Done {
    let mut command = Command::new("promtool");
    run(command.args(arguments).current_dir(root("deploy/prometheus")), "")
}

/// Each word of PromQL that is one of our metrics. A metric of a histogram is there without its suffix.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("seatkeeper_") || word.starts_with("process_"))
        .map(|word| {
            let suffix = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| word.strip_suffix(suffix));
            suffix.unwrap_or(word).to_owned()
        })
        .collect()
}

/// Metrics that exist only after something went wrong, or with TLS: no ordinary scrape has them.
const RARE: [&str; 3] = [
    "seatkeeper_connections_refused_total",
    "seatkeeper_tls_handshakes_total",
    "seatkeeper_tls_certificate_expiry_timestamp_seconds",
];

/// Names and labels of a service that did something of everything.
fn served() -> (BTreeSet<String>, BTreeMap<String, BTreeSet<String>>) {
    let server = Server::with(Options {
        metrics_entities_max: Some(10),
        seed: sample_data() + "UPDATE license_pool SET expires_at = '2999-01-01T00:00:00Z' WHERE id = 1;",
        ..Options::default()
    });
    call_around(&server);
    let now = jiff::Timestamp::now();
    for task in [seatkeeper::store::admin::kept::Task::Backup, seatkeeper::store::admin::kept::Task::Check] {
        seatkeeper::store::note_upkeep(&server.file(), task, now, "").expect("noted");
    }
    let name = "seatkeeper_last_backup_timestamp_seconds ";
    let is_shown = || {
        let text = server.scrape(None).body;
        ["seatkeeper_seats_read_success 1", name].iter().all(|start| text.lines().any(|line| line.starts_with(start)))
    };
    wait_until("the store has looked, and the numbers are read", is_shown);
    let series = Series::read("text", &server.scrape(None).body);
    let families = |name: &str, kind: &str| match kind {
        "histogram" => metrics_in(name).into_iter().next().unwrap_or_default(),
        _ => name.to_owned(),
    };
    let mut names = BTreeSet::new();
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, kind, of) in series.labels() {
        let name = families(name, kind);
        labels.entry(name.clone()).or_default().extend(of.cloned());
        names.insert(name);
    }
    (names, labels)
}

/// Every text under this key, at any depth.
fn texts<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, found)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == key => found.push(text),
                    _ => texts(member, key, found),
                }
            }
        }
        _ => {}
    }
}

/// The labels that a query groups or selects by, of the first form that PromQL has for each.
fn labels_in(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let lists = expression.split("by (").skip(1).filter_map(|rest| rest.split_once(')'));
    found.extend(lists.flat_map(|(list, _)| list.split(',')).map(|label| label.trim().to_owned()));
    let matchers = expression.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let names = matchers.flat_map(|(list, _)| list.split(", ")).filter_map(|one| one.split(['=', '!']).next());
    found.extend(names.map(|label| label.trim().to_owned()));
    found
}

#[test]
fn every_query_of_the_dashboard_finds_something() {
    let text = read("deploy/grafana/seatkeeper.json");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut expressions = Vec::new();
    texts(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() > 50, "{}", expressions.len());
    let mut variables = Vec::new();
    texts(&dashboard["templating"], "definition", &mut variables);
    assert_eq!(variables.len(), 4);

    // As Grafana would send them.
    let sent = |expression: &str| {
        let sent = expression.replace("$__rate_interval", "1m");
        ["$job", "$instance", "$entity", "$type"].iter().fold(sent, |sent, variable| sent.replace(variable, ".*"))
    };
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, expression) in expressions.iter().enumerate() {
        let expression = serde_json::to_string(&sent(expression)).expect("JSON is YAML");
        assert!(!expression.contains('$'), "{expression}");
        rules += &format!("      - record: query:{number}\n        expr: {expression}\n");
    }
    let directory = TempDir::new();
    let file = directory.join("rules.yml");
    fs::write(&file, rules).expect("write");
    let done = promtool(&["check", "rules", file.to_str().expect("UTF-8")]);
    assert_eq!(done.code, Some(0), "{done:?}");

    let (names, labels) = served();
    let everywhere = ["job", "instance", "le", "revision"].map(str::to_owned);
    for expression in expressions.iter().chain(&variables) {
        let metrics = metrics_in(expression);
        assert!(!metrics.is_empty(), "{expression}");
        for metric in &metrics {
            let is_rare = RARE.contains(&metric.as_str());
            assert!(names.contains(metric) || is_rare, "{metric} is not served: {expression}");
        }
        if metrics.iter().any(|metric| !labels.contains_key(metric)) {
            continue;
        }
        let own: BTreeSet<&String> = metrics.iter().filter_map(|metric| labels.get(metric)).flatten().collect();
        for label in labels_in(expression) {
            assert!(own.contains(&label) || everywhere.contains(&label), "{label} is no label: {expression}");
        }
    }
}

#[test]
fn the_dashboard_is_of_no_particular_grafana() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/seatkeeper.json")).expect("JSON");
    assert_eq!(dashboard["id"], Value::Null);
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| (36..=39).contains(&version)), "for Grafana 10");
    let mut sources = Vec::new();
    texts(&dashboard, "uid", &mut sources);
    let ours = ["${datasource}", "-- Grafana --", "seatkeeper"];
    assert!(sources.iter().all(|uid| ours.contains(uid)), "{sources:?}");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let mut taken = BTreeMap::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        let place = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24, "{title}");
        for cell in (place("x")..place("x") + place("w")).flat_map(|x| (0..place("h")).map(move |y| (x, y))) {
            let other = taken.insert((cell.0, cell.1 + place("y")), title);
            assert_eq!(other, None, "{title} lies on another panel");
        }
        let is_row = panel["type"] == "row";
        assert!(is_row || panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
    }
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    for arguments in [
        &["check", "config", "scrape.yml"][..],
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts.test.yml", "alerts.days.test.yml"],
    ] {
        let done = promtool(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {}{}", done.stdout, done.stderr);
    }
    let rules = read("deploy/prometheus/alerts.yml");
    let tests = read("deploy/prometheus/alerts.test.yml") + &read("deploy/prometheus/alerts.days.test.yml");
    let page = read("docs/monitoring.md");
    let metrics = Metrics::new();
    let known: BTreeSet<&str> = metrics.descriptions().iter().map(|of| of.name.as_str()).collect();
    let alerts: Vec<(&str, &str)> = rules.split("- alert: ").skip(1).filter_map(|rule| rule.split_once('\n')).collect();
    assert!(alerts.len() > 20, "{}", alerts.len());
    for (alert, rule) in &alerts {
        let fires = format!("- labels: '{{alertname=\"{alert}\"}}'");
        assert!(tests.contains(&fires), "{alert} has no test in which it fires");
        let is_of_up = rule.contains("up{job=\"seatkeeper\"}");
        let is_sibling = alert.starts_with("SeatkeeperSeatsFull");
        let stays = format!("- name: {alert} stays quiet\n");
        assert!(tests.contains(&stays) || is_of_up || is_sibling, "{alert} has no test in which it does not fire");
        for field in ["severity: ", "summary: ", "description: ", "action: "] {
            assert_eq!(rule.matches(field).count(), 1, "{alert}: {field}");
        }
        let anchor = alert.to_lowercase();
        assert!(rule.contains(&format!("runbook: monitoring.md#{anchor}\n")), "{alert}");
        assert!(page.contains(&format!("\n### {alert}\n")), "docs/monitoring.md says nothing about {alert}");
        let expression = rule.split("annotations:").next().unwrap_or_default();
        for metric in metrics_in(expression) {
            assert!(known.contains(metric.as_str()), "{alert}: there is no {metric}");
        }
    }
    for heading in page.lines().filter_map(|line| line.strip_prefix("### Seatkeeper")) {
        assert!(
            alerts.iter().any(|(alert, _)| *alert == format!("Seatkeeper{heading}")),
            "no alert Seatkeeper{heading}"
        );
    }
}

#[test]
fn the_scrape_configuration_of_the_page_is_the_one_that_is_checked() {
    let (page, file) = (read("docs/monitoring.md"), read("deploy/prometheus/scrape.yml"));
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    assert!(file.ends_with(block), "{block}");
}

/// The page has every metric in a table, with its labels, and no other.
#[test]
fn the_page_explains_the_metrics_that_there_are() {
    let page = read("docs/monitoring.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows = rows.filter(|(name, _)| name.starts_with("seatkeeper_") || name.starts_with("process_"));
    let mut explained: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, meaning) in rows {
        let (name, labels) =
            name.split_once('{').map_or((name, ""), |(name, labels)| (name, labels.trim_end_matches('}')));
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned);
        assert!(explained.insert(name, labels.collect()).is_none(), "{name} is explained twice");
        assert_eq!(meaning.matches(" |").count(), 2, "{name}: a row has meaning and what to watch");
    }
    let metrics = Metrics::new();
    let described: BTreeSet<&str> = metrics.descriptions().iter().map(|of| of.name.as_str()).collect();
    assert_eq!(explained.keys().copied().collect::<BTreeSet<_>>(), described);

    let (names, labels) = served();
    let unknown: Vec<&String> = names.iter().filter(|name| !described.contains(name.as_str())).collect();
    assert_eq!(unknown, [""; 0], "served and not described");
    for (name, of) in &labels {
        let of: BTreeSet<String> = of.iter().filter(|label| *label != "le").cloned().collect();
        let page = &explained[name.as_str()];
        let missing: Vec<&String> = of.difference(page).collect();
        assert_eq!(missing, [""; 0], "labels of {name} that the page does not have");
    }
}
