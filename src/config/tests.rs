use std::path::{Path, PathBuf};

use super::*;

fn flags() -> Flags {
    Flags::default()
}

/// A file with this text, removed on drop.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, text: &str) -> TestFile {
        let path = std::env::temp_dir().join(format!("seatkeeper-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).expect("write");
        TestFile(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("clean up");
    }
}

fn errors_of(path: &Path, text: &str) -> Vec<String> {
    std::fs::write(path, text).expect("write");
    Sources::of_file(path).load().expect_err(text).errors().to_vec()
}

#[test]
fn defaults_of_the_file_and_of_the_parts_are_the_same() {
    let config = Sources::of_flags(flags()).load().expect("defaults").config;
    assert_eq!(format!("{:?}", config.limits), format!("{:?}", http::Limits::default()));
    assert_eq!(format!("{:?}", config.auth), format!("{:?}", auth::Options::default()));
    assert_eq!(format!("{:?}", config.store), format!("{:?}", store::Options::default()));
    assert_eq!(format!("{:?}", config.pages), format!("{:?}", service::admin::Options::default()));
}

#[test]
fn every_setting_is_described_in_one_way() {
    for setting in SETTINGS {
        assert_eq!(setting.env, format!("SEATKEEPER_{}", setting.name.to_ascii_uppercase()));
        assert!(!setting.doc.ends_with('.') && setting.doc.starts_with(char::is_uppercase), "{}", setting.name);
        // A name that ends with a unit has that unit, and times have names that do.
        for (end, unit) in [
            ("_s", "seconds"),
            ("_ms", "milliseconds"),
            ("_min", "minutes"),
            ("_h", "hours"),
            ("_mib", "MiB"),
            ("bytes_max", "bytes"),
        ] {
            let has_unit = setting.unit().as_deref() == Some(unit);
            assert_eq!(setting.name.ends_with(end), has_unit, "{}: {:?}", setting.name, setting.unit());
        }
    }
}

/// Else a reload after the file went away would put the defaults in force, without a word.
#[test]
fn a_default_file_may_be_missing_at_the_start_and_not_later() {
    let path = std::env::temp_dir().join(format!("seatkeeper-{}-default.toml", std::process::id()));
    let without = Sources::of_default_file(&path).keeping_file();
    assert_eq!(without.load().expect("defaults").config.limits.body_bytes_max, 262_144);
    let file = TestFile::new("default", "body_bytes_max = 7\n");
    assert_eq!(without.load().expect("a new file").config.limits.body_bytes_max, 7);
    let with = Sources::of_default_file(&path).keeping_file();
    drop(file);
    assert!(without.load().is_ok());
    let missing = with.load().expect_err("it was there");
    assert!(missing.to_string().contains("default.toml: No such file"), "{missing}");
}

#[test]
fn flags_beat_the_file_and_the_file_beats_the_defaults() {
    let file = TestFile::new("order", "listen = \"127.0.0.1:1\"\nbody_bytes_max = 7\n");
    let mut sources = Sources::of_file(&file.0);
    let settings = sources.load().expect("load");
    assert_eq!(settings.config.listen.port(), 1);
    sources = sources.with_flags(Flags { listen: Some("127.0.0.1:2".to_owned()), ..flags() });
    let settings = sources.load().expect("load");
    assert_eq!(settings.config.listen.port(), 2);
    assert_eq!(settings.config.limits.body_bytes_max, 7);
    assert_eq!(settings.config.limits.xml.depth_max, 32);
    let source = |name| settings.entry(name).map(|entry| entry.source.to_string());
    assert_eq!(source("listen").as_deref(), Some("--listen"));
    assert_eq!(source("body_bytes_max"), Some(format!("{}:2:1", file.0.display())));
    assert_eq!(source("xml_depth_max").as_deref(), Some("default"));
}

#[test]
fn an_invalid_setting_is_named_with_its_place_and_what_is_expected() {
    let file = TestFile::new("invalid", "");
    for (text, complaint) in [
        ("lisen = \"127.0.0.1:1\"", "there is no setting 'lisen'; did you mean listen?"),
        ("listen = \"nowhere\"", "listen: 'nowhere' is not an address and port, such as 127.0.0.1:8086"),
        ("listen = \"\"", "listen: '' is not an address and port"),
        ("enroll = maybe", "enroll: 'maybe' is not true or false (also yes, no, on, off, 1, 0)"),
        ("log_level = loud", "log_level: 'loud' is not error, warn, info, debug or trace"),
        ("body_bytes_max = 64k", "body_bytes_max: '64k' is not a whole number from 0 to"),
        ("body_bytes_max = -1", "body_bytes_max: '-1' is not a whole number from 0 to"),
        ("idle_timeout_s = 1.5", "idle_timeout_s: '1.5' is not a whole number"),
        ("queue_calls_max = 0", "queue_calls_max must be from 1 to 1000000"),
        ("wrong_passwords_max = 0", "wrong_passwords_max must be 1 or more: with 0 no caller could sign in"),
        ("sign_ins_waiting_max = 0", "sign_ins_waiting_max must be 1 or more: with 0 no caller could sign in"),
        ("queue_calls_max = 9223372036854775807", "queue_calls_max must be from 1 to 1000000"),
        ("group_calls_max = 4294967295", "group_calls_max must be from 1 to 1000000"),
        ("idle_timeout_s = 0", "idle_timeout_s must be from 1 to 31536000"),
        ("idle_timeout_s = 9223372036854775807", "idle_timeout_s must be from 1 to 31536000"),
        ("head_timeout_s = 0", "head_timeout_s must be from 1 to 31536000"),
        ("head_bytes_max = 100", "head_bytes_max must be 8192 or more"),
        ("remember_sign_ins_s = 31536001", "remember_sign_ins_s must be from 0 to 31536000"),
        ("audit_heads = \"heads.jsonl\"", "audit_heads is where signed heads go: set audit_key too"),
        ("audit_head_interval_s = 0", "audit_head_interval_s must be from 1 to 31536000"),
        ("busy_timeout_ms = 9223372036854775807", "busy_timeout_ms must be from 0 to 86400000"),
        ("postgres_connections_max = 0", "postgres_connections_max must be from 1 to 262143"),
        ("postgres_statement_timeout_ms = 0", "postgres_statement_timeout_ms must be from 100 to 86400000"),
        ("tls_certificate = \"a.pem\"", "tls_certificate is set and tls_key is not: set both, or neither"),
        ("tls_key = \"a.key\"", "tls_key is set and tls_certificate is not: set both, or neither"),
        ("public_url = \"licenses.example.com\"", "public_url 'licenses.example.com' must be scheme, host and port"),
        ("public_url = \"https://a.example/path\"", "public_url"),
        ("public_url = \"https://a.example:99999\"", "public_url"),
        ("public_url = \"https://a.example?b\"", "public_url"),
        ("public_url = \"https://a.exam ple\"", "public_url"),
        ("public_url = 'https://a.example\"><b>'", "public_url"),
        ("public_url = \"https://u:geheim@a.example\"", "public_url 'https://u:***@a.example' must be"),
        ("cors_origins = \"tools.example.com\"", "cors_origins: 'tools.example.com' is not an origin"),
        ("path_prefix = \"SuperOffice/\"", "path_prefix: 'SuperOffice/' must be a path"),
        ("trusted_proxies = \"10.0.0.0/99\"", "trusted_proxies: '10.0.0.0/99' has a bad prefix"),
        ("database = \"postgres://u:geheim@db1:x/seats\"", "database postgres://u@db1:x/seats: "),
        (
            "metrics_listen = localhost:8086",
            "metrics_listen 127.0.0.1:8086 is the address of the service too (listen 127.0.0.1:8086): choose another port",
        ),
    ] {
        let errors = errors_of(&file.0, &format!("\n{text}"));
        let start = format!("{}:2:1: {complaint}", file.0.display());
        assert!(errors.len() == 1 && errors[0].starts_with(&start), "{errors:?}, not {start}");
        assert!(!errors[0].contains("geheim"), "{errors:?}");
    }
}

#[test]
fn all_errors_are_named_at_once() {
    let file = TestFile::new("several", "");
    let errors = errors_of(
        &file.0,
        "lisen = 1\nidle_timeout_s = 0\nenroll = maybe\ncors_origins = 'x'\ntrusted_proxies = 'y'\naudit_heads = 'h'\n",
    );
    let mut lines: Vec<&str> = errors.iter().map(|error| &error[file.0.display().to_string().len()..][..3]).collect();
    lines.sort_unstable();
    assert_eq!(lines, [":1:", ":2:", ":3:", ":4:", ":5:", ":6:"], "{errors:?}");
}

#[test]
fn a_setting_without_a_default_can_be_unset() {
    let file = TestFile::new("unset", "metrics_listen = '127.0.0.1:1'\npublic_url = ''\n");
    let sources = Sources::of_file(&file.0);
    assert!(sources.load().expect("load").config.public_url.is_none());
    let sources = sources.with_flags(Flags { metrics_listen: Some(String::new()), ..flags() });
    assert!(sources.load().expect("load").config.metrics_listen.is_none());
}
