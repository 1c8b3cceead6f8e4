//! TLS inside the service: what clients see, which files can be used, and how a certificate is replaced.

use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use seatkeeper::http::tls::{Files, Tls};
use seatkeeper::metrics::Metrics;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::certificates::{Authority, der};
use crate::harness::*;
use crate::program::{Serving, program, run};

pub fn server(files: &Files, options: Options) -> Server {
    Server::with(Options { tls: Some(files.clone()), ..options })
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

// What clients see ---------------------------------------------------------------------------------------------------

#[test]
fn calls_are_answered_over_tls_and_addresses_begin_with_https() {
    let authority = Authority::new();
    let server = server(&authority.issue("a", 30), Options::default());
    for (versions, version) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut client = authority.try_connect(server.address, &[versions]).expect("a handshake");
        assert_eq!((client.version(), client.protocol()), (version, Some(&b"http/1.1"[..])));
        let username = format!("user of {version:?}");
        let answer = client.send(&post11(&assign_envelope("agent", PASSWORD, &username, 42, "SqlBackup")));
        assert_eq!(answer.code(), "Success", "{answer:?}");
        for (target, address) in [
            (&*format!("{PATH}?WSDL"), format!("<soap:address location=\"https://localhost{PATH}\"")),
            (&*format!("{LICENSE_PATH}?wsdl"), format!("https://localhost{LICENSE_PATH}")),
            ("/api/v1/openapi.json", "\"url\": \"https://localhost\"".to_owned()),
        ] {
            let answer = client.get(target);
            assert!(answer.body.contains(&address), "{target}: no {address}");
            assert!(!answer.body.contains("http://localhost"), "{target}");
            // The service speaks no plain HTTP here, but its host may, on other ports, which the header would take away.
            assert_eq!(answer.header("strict-transport-security"), None);
        }
        // The cookie is Secure.
        let form = format!("user=admin&password={}", PASSWORD.replace('!', "%21"));
        let head = "Content-Type: application/x-www-form-urlencoded\r\nOrigin: https://localhost\r\n";
        let request = post_to("/sign-in", head, form.as_bytes());
        let request = String::from_utf8(request).expect("text").replace("Host: test.example", "Host: localhost");
        let signed_in = client.send(request.as_bytes());
        let cookie = signed_in.header("set-cookie").unwrap_or_else(|| panic!("{signed_in:?}"));
        assert!(cookie.starts_with("__Host-seatkeeper_session=") && cookie.ends_with("; Secure"), "{cookie}");
    }
    assert_eq!(server.metric("seatkeeper_tls_handshakes_total{outcome=\"done\"}"), 2);
    assert_eq!(server.violations(), []);
}

#[test]
fn a_trusted_proxy_in_front_may_speak_tls_to_the_service() {
    let authority = Authority::new();
    let options = Options { trusted_proxies: "127.0.0.1", ..Options::default() };
    let server = server(&authority.issue("a", 30), options);
    let mut client = authority.connect(server.address);
    for (headers, origin) in [
        ("", "https://localhost"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: licenses.example\r\n", "https://licenses.example"),
        ("X-Forwarded-Proto: http\r\nX-Forwarded-Host: intranet.example\r\n", "http://intranet.example"),
    ] {
        let request = format!("GET {PATH}?WSDL HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let answer = client.send(request.as_bytes());
        assert!(answer.body.contains(&format!("location=\"{origin}{PATH}\"")), "{headers}: {answer:?}");
    }
}

/// The test form keeps its rules: for browsers on this machine, from its own page.
#[test]
fn the_test_form_works_over_tls() {
    let authority = Authority::new();
    let server = server(&authority.issue("a", 30), Options::default());
    let mut client = authority.connect(server.address);
    assert!(client.get(&format!("{PATH}?op=UnassignLicense")).body.contains("<form "));
    let mut fill_in = |origin: &str| {
        let head = format!("Content-Type: application/x-www-form-urlencoded\r\nOrigin: {origin}\r\n");
        let request = post_to(&format!("{PATH}?op=AssignLicense"), &head, b"UserName=agent");
        let request = String::from_utf8(request).expect("text").replace("Host: test.example", "Host: localhost");
        client.send(request.as_bytes()).status
    };
    assert_eq!((fill_in("https://localhost"), fill_in("http://localhost")), (200, 415));
}

#[test]
fn plain_http_to_the_port_of_tls_is_answered_in_plain_text() {
    let authority = Authority::new();
    let server = server(&authority.issue("a", 30), Options::default());
    for (request, says) in [
        (&b"GET / HTTP/1.1\r\nHost: licenses.example:8443\r\n\r\n"[..], "use https://licenses.example:8443/\n"),
        (&post11(&assign_envelope("agent", PASSWORD, "x", 42, "SqlBackup")), "use https://test.example/\n"),
        (b"GET / HTTP/1.0\r\n\r\n", "use https:// instead of http://\n"),
        (b"get x", "use https:// instead of http://\n"),
        (&post_to(PATH, "", &[b' '; 40_000]), "use https://test.example/\n"),
    ] {
        let mut client = server.connect();
        let answer = client.send(request);
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("text/plain; charset=utf-8")));
        assert_eq!(
            (&answer.body, answer.header("connection")),
            (&format!("This port speaks TLS: {says}"), Some("close"))
        );
        assert!(matches!(client.0.read(&mut [0; 16]), Ok(0)), "closed");
    }
    assert_eq!(server.metric("seatkeeper_tls_handshakes_total{outcome=\"plain_http\"}"), 5);
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 0);
    wait_until("their places are free", || server.metrics.connections.get() == 0);
}

// Limits ------------------------------------------------------------------------------------------------------------

/// How the service ends a connection on which these bytes were sent, and after what time.
fn end_of(server: &Server, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let mut client = server.connect();
    let begun = Instant::now();
    client.0.write_all(bytes).expect("sent");
    let mut said = Vec::new();
    // A reset is an end too.
    let _ = client.0.read_to_end(&mut said);
    (said, begun.elapsed())
}

#[test]
fn slow_and_broken_handshakes_end_soon_and_count_as_connections() {
    const ALERT: u8 = 21;
    let authority = Authority::new();
    let mut options = Options::default();
    options.limits.head_timeout = Duration::from_secs(3);
    options.limits.connections_max = 3;
    let server = server(&authority.issue("a", 30), options);
    // What is no handshake.
    for bytes in [&b"\x00\x01\x02\x03garbage"[..], b"\x16\x03\x01\x00\x05hello", &[0x80; 300], &[0x16; 3000]] {
        let (said, took) = end_of(&server, bytes);
        assert!(said.is_empty() || said[0] == ALERT, "{said:?}");
        assert!(took < Duration::from_millis(2500), "{took:?}");
    }
    wait_until("the broken ones are gone", || server.metrics.connections.get() == 0);
    // One that begins and does not go on; one that says nothing: they hold places, and not for long.
    let half = [&b"\x16\x03\x01\x02\x00\x01"[..], b""];
    let held: Vec<Client> = half
        .iter()
        .chain(&half[..1])
        .map(|bytes| {
            let mut client = server.connect();
            client.0.write_all(bytes).expect("sent");
            client
        })
        .collect();
    wait_until("they count", || server.metrics.connections.get() == 3);
    let (said, _) = end_of(&server, b"");
    assert_eq!(said, [ALERT, 3, 3, 0, 2, 2, 80], "refused, before any work");
    let begun = Instant::now();
    for mut client in held {
        let _ = client.0.read_to_end(&mut Vec::new());
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    wait_until("places are free", || server.metrics.connections.get() == 0);
    assert_eq!(server.metric("seatkeeper_tls_handshakes_total{outcome=\"timeout\"}"), 3);
    assert_eq!(server.metric("seatkeeper_tls_handshakes_total{outcome=\"failed\"}"), 4);
    assert_eq!(authority.connect(server.address).send(HEALTH).status, 200);
    // Probes of load balancers connect and leave.
    drop(server.connect());
    wait_until("it left", || server.metrics.connections.get() == 0);
    assert_eq!(server.metric("seatkeeper_tls_handshakes_total{outcome=\"failed\"}"), 4);
}

#[test]
fn the_limits_of_requests_are_the_same_over_tls() {
    let authority = Authority::new();
    let mut options = Options::default();
    options.limits.head_timeout = Duration::from_secs(2);
    options.limits.body_timeout = Duration::from_secs(2);
    options.limits.body_bytes_max = 100_000;
    let server = server(&authority.issue("a", 30), options);
    let mut slow = authority.connect(server.address);
    slow.0.write_all(b"GET /healthz HT").expect("sent");
    assert_eq!(slow.receive().expect("an answer").status, 408);
    assert!(slow.ends_properly());
    let mut long = authority.connect(server.address);
    assert_eq!(long.send(&post("Content-Type: text/xml\r\n", &vec![b' '; 100_001])).status, 413);
    let mut fits = authority.connect(server.address);
    assert_eq!(fits.send(&post("Content-Type: text/xml\r\n", &vec![b' '; 99_999])).status, 400, "read, and no XML");
    let mut half = authority.connect(server.address);
    let request = post11(&assign_envelope("agent", PASSWORD, "x", 42, "SqlBackup"));
    half.0.write_all(&request[..request.len() - 9]).expect("sent");
    assert_eq!(half.receive().expect("an answer").status, 408);
}

/// A client that reads slowly is given up after the time that a response may take, although TLS has a buffer of its own.
#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let authority = Authority::new();
    let mut options = Options::default();
    options.limits.write_timeout = Duration::from_secs(1);
    let server = server(&authority.issue("a", 30), options);
    let mut client = authority.connect(server.address);
    // As many requests as fit, without reading a response.
    client.0.sock.set_write_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let request = format!("GET {PATH}?WSDL HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(100);
    for _ in 0..10_000 {
        if client.0.write_all(request.as_bytes()).is_err() {
            break;
        }
    }
    wait_until("it is gone", || server.metrics.connections.get() == 0);
}

#[test]
fn idle_connections_and_a_shutdown_end_with_close_notify() {
    let authority = Authority::new();
    let files = authority.issue("a", 30);
    let mut options = Options::default();
    options.limits.idle_timeout = Duration::from_secs(2);
    let server = server(&files, options);
    let mut unused = authority.connect(server.address);
    let mut used = authority.connect(server.address);
    assert_eq!(used.send(HEALTH).status, 200);
    assert!(unused.ends_properly() && used.ends_properly(), "idle");

    let mut options = Options::default();
    options.limits.head_timeout = Duration::from_secs(60);
    options.limits.shutdown_timeout = Duration::from_secs(60);
    let server = self::server(&files, options);
    let mut unused = authority.connect(server.address);
    let mut used = authority.connect(server.address);
    assert_eq!(used.send(HEALTH).status, 200);
    // In the middle of its handshake: it cannot keep the service from stopping.
    let mut half = server.connect();
    half.0.write_all(b"\x16\x03\x01").expect("sent");
    wait_until("they are open", || server.metrics.connections.get() == 3);
    let begun = Instant::now();
    let database = server.stop();
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    assert!(unused.ends_properly() && used.ends_properly(), "stopped");
    drop(database);
}

// Files -------------------------------------------------------------------------------------------------------------

#[test]
fn every_file_that_cannot_be_used_is_named_with_the_next_step() {
    let authority = Authority::new();
    let good = authority.issue("good", 30);
    let other = authority.issue("other", 30);
    let write = |name: &str, bytes: &[u8]| {
        let path = authority.join(name);
        fs::write(&path, bytes).expect("a file");
        path
    };
    let read = |path: &std::path::Path| fs::read(path).expect("a file");
    let (certificate, key, root) = (read(&good.certificate), read(&good.key), read(&authority.root()));

    authority.openssl(&["x509", "-in", "good.pem", "-outform", "DER", "-out", "good.der"]);
    authority.openssl(&["pkey", "-in", "good.key", "-outform", "DER", "-out", "good.key.der"]);
    authority.openssl(&["pkey", "-in", "good.key", "-aes256", "-passout", "pass:x", "-out", "encrypted.key"]);
    authority.openssl(&["genrsa", "-traditional", "-aes128", "-passout", "pass:x", "-out", "traditional.key", "2048"]);
    authority.openssl(&["ec", "-in", "good.key", "-out", "sec1.key"]);
    authority.openssl(&["genrsa", "-out", "short.key", "1024"]);
    let archive =
        ["pkcs12", "-export", "-in", "good.pem", "-inkey", "good.key", "-passout", "pass:x", "-out", "good.p12"];
    authority.openssl(&archive);
    authority.openssl(&["crl2pkcs7", "-nocrl", "-certfile", "good.pem", "-out", "good.p7b"]);
    let expired = authority.issue("expired", -1);
    fs::create_dir(authority.join("directory")).expect("a directory");

    let good_and = |key: std::path::PathBuf| Files { certificate: good.certificate.clone(), key };
    let with_key = |certificate: std::path::PathBuf| Files { certificate, key: good.key.clone() };
    let cases: Vec<(Files, &str)> = vec![
        (with_key(authority.join("missing.pem")), "tls_certificate %/missing.pem: there is no such file"),
        (with_key(authority.join("directory")), "tls_certificate %/directory: it is not a regular file"),
        (with_key(write("empty.pem", b" \n")), "tls_certificate %/empty.pem: it is empty"),
        (with_key(write("long.pem", &vec![b'a'; 2 << 20])), "it is longer than 1048576 bytes"),
        (with_key(write("text.pem", b"hello")), "a line -----BEGIN CERTIFICATE----- is missing"),
        (
            with_key(write("cut.pem", &certificate[..certificate.len() - 40])),
            "its last line is missing. Copy the file again",
        ),
        (
            with_key(write("damaged.pem", b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n")),
            "it is not PEM",
        ),
        (
            with_key(write("no.pem", b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n")),
            "cannot be read",
        ),
        (
            with_key(authority.join("good.der")),
            "it is in DER, not PEM. Convert it: openssl x509 -inform DER -in %/good.der",
        ),
        (
            with_key(authority.join("good.p12")),
            "it is a PKCS#12 archive, not PEM. Convert it: openssl pkcs12 -in %/good.p12",
        ),
        (with_key(authority.join("good.p7b")), "it is in PKCS#7. Convert it: openssl pkcs7 -print_certs"),
        (with_key(authority.join("good.csr")), "it holds a request for a certificate"),
        (with_key(good.key.clone()), "tls_certificate and tls_key may be exchanged"),
        (
            with_key(write("order.pem", &[&root[..], &certificate].concat())),
            "the key belongs to certificate 2 of 2. Put the certificate of the service first",
        ),
        (
            with_key(other.certificate.clone()),
            "tls_key %/good.key: it does not belong to the certificate in %/other.pem",
        ),
        (good_and(other.key.clone()), "tls_key %/other.key: it does not belong to the certificate in %/good.pem"),
        (good_and(good.certificate.clone()), "it holds a certificate and no private key"),
        (
            good_and(authority.join("encrypted.key")),
            "it is encrypted, and the service cannot ask for the passphrase. Decrypt it: openssl pkey -in %/encrypted.key",
        ),
        (good_and(authority.join("traditional.key")), "it is encrypted"),
        (
            good_and(authority.join("good.key.der")),
            "it is in DER or an archive, not PEM. Convert it: openssl pkey -inform DER",
        ),
        (good_and(authority.join("short.key")), "a kind that is not supported"),
        (good_and(write("empty.key", b"")), "tls_key %/empty.key: it is empty"),
        (good_and(write("text.key", b"secret hello")), "a line -----BEGIN PRIVATE KEY----- is missing"),
        (good_and(write("cut.key", &key[..key.len() - 40])), "its last line is missing"),
        (expired, "tls_certificate %/expired.pem: it expired at 20"),
    ];
    let directory = authority.join("");
    let directory = directory.to_str().expect("UTF-8").trim_end_matches('/');
    for (files, says) in &cases {
        let error = files.check().expect_err(says).to_string().replace(directory, "%");
        assert!(error.contains(says), "{error}\nnot: {says}");
        assert!(!error.contains("secret hello"), "{error}");
    }

    // These can be used.
    for (files, warns) in [
        (good.clone(), ""),
        (good_and(authority.join("sec1.key")), ""),
        (authority.issue_with("rsa", 30, &["-newkey", "rsa:2048"], "leaf"), ""),
        (authority.issue_with("p384", 30, &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "leaf"), ""),
        (authority.issue_with("ed25519", 30, &["-newkey", "ed25519"], "leaf"), ""),
        (with_key(write("chain.pem", &[&certificate[..], &root].concat())), ""),
        (with_key(write("mark.pem", &[b"\xef\xbb\xbf", &certificate[..]].concat())), ""),
        (with_key(write("windows.pem", String::from_utf8_lossy(&certificate).replace('\n', "\r\n").as_bytes())), ""),
        (
            with_key(write("foreign.pem", &[&certificate[..], &read(&other.certificate)].concat())),
            "has not issued the one before it",
        ),
        (authority.issue_with("nameless", 30, crate::certificates::P256, "nameless"), "no name in subjectAltName"),
    ] {
        let checked = files.check().unwrap_or_else(|e| panic!("{e}"));
        let warnings = checked.warnings.join("\n");
        assert!(warnings.is_empty() == warns.is_empty() && warnings.contains(warns), "{files:?}: {warnings}");
    }
    assert_eq!(good.check().expect("good").names, ["localhost", "licenses.example.com", "127.0.0.1"]);
    let combined = write("combined.pem", &[&certificate[..], &key].concat());
    Files { certificate: combined.clone(), key: combined }.check().expect("one file for both");
}

#[test]
fn the_program_says_what_is_wrong_before_it_touches_the_database() {
    let authority = Authority::new();
    let files = authority.issue("a", 30);
    let database = TempDir::new();
    let database = database.join("seats.db");
    let (certificate, key) = (files.certificate.to_str().expect("UTF-8"), files.key.to_str().expect("UTF-8"));
    let serve = |arguments: &[&str]| run(program("serve", &database).arg("--create").args(arguments), "");
    for (arguments, code, says) in [
        (&["--tls-certificate", certificate][..], 2, "tls_certificate is set and tls_key is not: set both, or neither"),
        (&["--tls-key", key], 2, "tls_key is set and tls_certificate is not: set both, or neither"),
        (&["--tls-certificate", key, "--tls-key", key], 3, "tls_certificate and tls_key may be exchanged"),
    ] {
        let done = serve(arguments);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.stderr.contains(says), "{done:?}");
        assert!(!database.exists());
    }
}

// Replacing a certificate -------------------------------------------------------------------------------------------

#[test]
fn reload_takes_a_good_certificate_and_keeps_the_old_one_otherwise() {
    let authority = Authority::new();
    let [first, second, expired] = [("a", 30), ("b", 40), ("c", -1)].map(|(name, days)| authority.issue(name, days));
    let server = server(&first, Options::default());
    let tls = server.tls.as_ref().expect("TLS");
    let shown = || authority.connect(server.address).certificate();
    let expiry = || server.metric("seatkeeper_tls_certificate_expiry_timestamp_seconds");
    let until = |files: &Files| files.check().expect("good").until.as_second() as u64;
    assert_eq!((shown(), expiry()), (der(&first.certificate), until(&first)));
    let mut open = authority.connect(server.address);
    assert!(!tls.reload(&first).expect("the same"));

    let mixed = Files { certificate: second.certificate.clone(), key: first.key.clone() };
    for (files, says) in [(&mixed, "does not belong"), (&expired, "it expired at")] {
        let error = tls.reload(files).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!((shown(), expiry()), (der(&first.certificate), until(&first)));
    }
    assert!(tls.reload(&second).expect("good"));
    assert_eq!((shown(), expiry()), (der(&second.certificate), until(&second)));
    assert_eq!(open.send(HEALTH).status, 200, "open connections go on");
}

#[test]
fn changed_files_are_noticed() {
    let authority = Authority::new();
    let [first, second] = ["a", "b"].map(|name| authority.issue(name, 30));
    let in_force = |tls: &Tls, port: u16| tls.base(([127, 0, 0, 1], port).into());
    let files = Files { certificate: authority.join("live.pem"), key: authority.join("live.key") };
    let copy = |from: &Files| {
        // As certbot does: a new file takes the place of the old one.
        for (from, to) in [(&from.certificate, &files.certificate), (&from.key, &files.key)] {
            let new = to.with_extension("new");
            fs::copy(from, &new).expect("copied");
            fs::rename(&new, to).expect("replaced");
        }
    };
    copy(&first);
    let server = server(&files, Options::default());
    let shown = || authority.connect(server.address).certificate();
    copy(&second);
    wait_until("the new one is in force", || shown() == der(&second.certificate));
    // Between the two files: neither fits the other.
    fs::write(&files.certificate, fs::read(&first.certificate).expect("a file")).expect("written");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(shown(), der(&second.certificate));
    copy(&first);
    wait_until("both are there", || shown() == der(&first.certificate));
    // As Kubernetes does: a link to a directory changes.
    let names = [authority.join("tls.pem"), authority.join("tls.key")];
    std::os::unix::fs::symlink("data/b.pem", &names[0]).expect("a link");
    std::os::unix::fs::symlink("data/b.key", &names[1]).expect("a link");
    for name in ["1", "2"] {
        fs::create_dir(authority.join(name)).expect("a directory");
    }
    for (from, to) in [(&first, "1"), (&second, "2")] {
        fs::copy(&from.certificate, authority.join(&format!("{to}/b.pem"))).expect("copied");
        fs::copy(&from.key, authority.join(&format!("{to}/b.key"))).expect("copied");
    }
    let point = |to: &str| {
        std::os::unix::fs::symlink(to, authority.join("data.new")).expect("a link");
        fs::rename(authority.join("data.new"), authority.join("data")).expect("renamed");
    };
    point("1");
    let [certificate, key] = names;
    let tls = server.tls.as_ref().expect("TLS");
    tls.reload(&Files { certificate, key }).expect("good");
    assert_eq!(shown(), der(&first.certificate));
    point("2");
    wait_until("the link is followed", || shown() == der(&second.certificate));
    assert_eq!(
        (in_force(tls, 443), in_force(tls, 8443)),
        ("https://licenses.example.com".into(), "https://licenses.example.com:8443".into())
    );
}

/// The lines of the log for operators: one for each certificate, one for one that expires soon, and not one for each bad handshake.
#[test]
fn the_log_speaks_of_certificates_and_not_of_every_bad_handshake() {
    let authority = Authority::new();
    let files = authority.issue("soon", 10);
    let database = TestDatabase::new("");
    let (certificate, key) = (files.certificate.to_str().expect("UTF-8"), files.key.to_str().expect("UTF-8"));
    let serving = Serving::start_with(&database, &["--tls-certificate", certificate, "--tls-key", key]);
    let lines = |message: &str| serving.log().lines().filter(|line| line.contains(message)).count();
    for part in [
        "\"names\":\"localhost licenses.example.com 127.0.0.1\"",
        "this certificate is in force",
        "the certificate expires soon: renew it",
        "\"days\":9",
        // The link has the name of the certificate.
        &format!("\"url\":\"https://licenses.example.com:{}/first-admin/", serving.address.port()),
    ] {
        wait_until(part, || serving.log().contains(part));
    }
    for _ in 0..50 {
        let mut client = Client::to(serving.address);
        client.0.write_all(b"\x16\x03\x01\x00\x05hello").expect("sent");
        let _ = client.0.read_to_end(&mut Vec::new());
        let mut client = Client::to(serving.address);
        assert_eq!(client.send(HEALTH).status, 400);
    }
    assert_eq!(authority.connect(serving.address).send(HEALTH).status, 200);
    assert_eq!((lines("a TLS handshake failed"), lines("a client speaks plain HTTP")), (1, 1), "{}", serving.log());
    let mut open = authority.connect(serving.address);
    assert_eq!(open.send(HEALTH).status, 200);
    serving.stop();
    assert!(open.ends_properly());

    // One that has expired is served, and the log says so.
    let files = authority.issue("expired", -1);
    let (certificate, key) = (files.certificate.to_str().expect("UTF-8"), files.key.to_str().expect("UTF-8"));
    let serving = Serving::start_with(&database, &["--tls-certificate", certificate, "--tls-key", key]);
    assert!(serving.log().contains("the certificate has expired, and clients refuse it"), "{}", serving.log());
}

#[test]
fn a_certificate_without_a_name_gives_links_with_the_address() {
    let authority = Authority::new();
    let files = authority.issue_with("nameless", 30, crate::certificates::P256, "nameless");
    let tls = Arc::new(Tls::open(&files, Arc::new(Metrics::new())).expect("good"));
    assert_eq!(tls.base(([127, 0, 0, 1], 8443).into()), "https://127.0.0.1:8443");
}
