//! Who may call, and what callers with wrong credentials learn: nothing.

use std::time::Duration;

use seatkeeper::auth;

use crate::harness::*;

fn call(user: &str, password: &str, username: &str) -> Vec<u8> {
    post11(&assign_envelope(user, password, username, 42, "SqlBackup"))
}

#[test]
fn wrong_credentials_look_all_alike() {
    let server = Server::start();
    let without_id = |answer: Answer| {
        assert!(answer.message().starts_with("Err-"), "{}", answer.message());
        let id = answer.message()[..40].to_owned();
        (answer.status, answer.body.replace(&id, ""))
    };
    let wrong = without_id(server.send(&call("agent", "wrong", "bob")));
    assert!(wrong.1.contains("<Result>3</Result><Code>InvalidSoapCredentials</Code>"));
    for (case, user, password) in [
        ("unknown user", "nobody", PASSWORD),
        ("inactive", "gone", PASSWORD),
        ("empty password", "agent", ""),
        ("empty user", "", PASSWORD),
        ("a long password", "agent", &"x".repeat(5000)),
        ("an SQL joke", "' OR 1=1 --", PASSWORD),
    ] {
        assert_eq!(without_id(server.send(&call(user, password, "bob"))), wrong, "{case}");
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 0);
}

#[test]
fn rights_reach_down_the_subtree_and_no_further() {
    let server = Server::start();
    server.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (10, 1, 'SqlBackup', 5), (11, 43, 'SqlBackup', 5),
            (12, 420, 'SqlBackup', 5), (13, 9, 'SqlBackup', 5), (14, 44, 'SqlBackup', 5);
         INSERT INTO account (username, entity_id, active) VALUES ('theirs', 43, 1), ('elsewhere', 9, 1), ('closed', 42, 0);",
    );
    for (user, username, entity, code) in [
        ("contoso", "a1", 42, "Success"),
        ("CONTOSO", "a2", 420, "Success"),
        ("contoso", "a3", 43, "ObjectEntityMismatch"),
        ("contoso", "a3", 1, "ObjectEntityMismatch"),
        ("contoso", "a3", 9, "ObjectEntityMismatch"),
        ("contoso", "a3", 77, "ObjectEntityMismatch"),
        ("agent", "a4", 1, "Success"),
        ("agent", "a5", 43, "Success"),
        ("agent", "a6", 9, "ObjectEntityMismatch"),
        ("agent", "a6", 44, "ObjectEntityMismatch"),
        ("contoso", "theirs", 42, "ObjectEntityMismatch"),
        ("agent", "theirs", 42, "Success"),
        ("agent", "elsewhere", 42, "ObjectEntityMismatch"),
        ("agent", "closed", 42, "ObjectEntityMismatch"),
        ("reader", "a7", 42, "AccessDenied"),
        ("admin", "a8", 42, "Success"),
    ] {
        let answer = server.post11(&assign_envelope(user, PASSWORD, username, entity, "SqlBackup"));
        assert_eq!(answer.code(), code, "{user} for {username} at {entity}: {}", answer.message());
    }
    let actors: String = server.query("SELECT group_concat(actor) FROM (SELECT DISTINCT actor FROM audit_event WHERE action = 'assign' ORDER BY 1) AS a");
    assert_eq!(actors, "admin,agent,contoso", "as the store spells them");
}

#[test]
fn an_existing_user_of_another_entity_is_not_told_apart_from_an_unknown_entity() {
    let server = Server::start();
    let outside = server.post11(&assign_envelope("contoso", PASSWORD, "a", 43, "SqlBackup"));
    let unknown = server.post11(&assign_envelope("contoso", PASSWORD, "a", 77, "SqlBackup"));
    assert_eq!(outside.message()[40..].replace("43", "77"), unknown.message()[40..]);
}

#[test]
fn a_change_of_a_credential_by_sql_counts_at_once() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.send(&call("agent", PASSWORD, "a1")).code(), "Success");
    // The proof is remembered now. The same password with another salt: still right.
    server.sql(&format!("UPDATE credential SET password_hash = hash_password('{PASSWORD}') WHERE user_name = 'agent'"));
    assert_eq!(client.send(&call("agent", PASSWORD, "a2")).code(), "Success");
    server.sql("UPDATE credential SET password_hash = hash_password('another') WHERE user_name = 'agent'");
    assert_eq!(client.send(&call("agent", PASSWORD, "a3")).code(), "InvalidSoapCredentials");
    assert_eq!(client.send(&call("agent", "another", "a3")).code(), "Success");
    server.sql("UPDATE credential SET role = 'reader' WHERE user_name = 'agent'");
    assert_eq!(client.send(&call("agent", "another", "a4")).code(), "AccessDenied");
    server.sql("UPDATE credential SET role = 'agent', active = 0 WHERE user_name = 'agent'");
    assert_eq!(client.send(&call("agent", "another", "a4")).code(), "InvalidSoapCredentials");
    server.sql("UPDATE credential SET active = 1, entity_id = 43 WHERE user_name = 'agent'");
    assert_eq!(client.send(&call("agent", "another", "a4")).code(), "ObjectEntityMismatch");
    server.sql("DELETE FROM credential WHERE user_name = 'agent'");
    assert_eq!(client.send(&call("agent", "another", "a4")).code(), "InvalidSoapCredentials");
}

#[test]
fn nothing_is_remembered_when_told_so() {
    let auth = auth::Options { remember: Duration::ZERO, ..auth::Options::default() };
    let server = Server::with(Options { auth, ..Options::default() });
    for username in ["a1", "a2"] {
        assert_eq!(server.assign(username, 42, "SqlBackup").code(), "Success");
    }
    let metrics = server.metrics.render();
    assert!(metrics.contains("seatkeeper_sign_ins_total{outcome=\"verified\"} 2"), "{metrics}");
    assert!(!metrics.contains("remembered"), "{metrics}");
}

#[test]
fn guesses_are_slowed_while_a_signed_in_agent_goes_on() {
    let auth =
        auth::Options { failures_max: 2, failure_interval: Duration::from_secs(600), ..auth::Options::default() };
    let server = Server::with(Options { auth, ..Options::default() });
    assert_eq!(server.assign("a1", 42, "SqlBackup").code(), "Success");
    let codes: Vec<String> = (0..4).map(|_| server.send(&call("agent", "guess", "x")).code()).collect();
    assert_eq!(codes, ["InvalidSoapCredentials", "InvalidSoapCredentials", "UnexpectedError", "UnexpectedError"]);
    let told = server.send(&call("agent", "guess", "x")).message();
    assert!(told.contains("Too many wrong passwords for this user name from this address. Wait "), "{told}");
    assert_eq!(server.assign("a2", 42, "SqlBackup").code(), "Success", "the proof is remembered");
    assert_eq!(server.send(&call("contoso", PASSWORD, "a3")).code(), "Success", "another user is not slowed");
}

#[test]
fn a_credential_with_an_unusable_hash_cannot_sign_in() {
    let server = Server::start();
    server.sql("UPDATE credential SET password_hash = '$argon2id$v=19$m=19456,t=2,p=1$…' WHERE user_name = 'agent'");
    assert_eq!(server.assign("a1", 42, "SqlBackup").code(), "InvalidSoapCredentials");
}
