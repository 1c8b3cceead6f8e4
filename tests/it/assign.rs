//! AssignLicense at the wire: what a backup agent sees, and what is then in the database.

use crate::harness::*;

#[test]
fn a_call_takes_a_seat_and_the_same_call_again_is_told_why_not() {
    let server = Server::start();
    let answer = server.assign("backup01", 42, "SqlBackup");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"><soap:Body>\
         <AssignLicenseResponse xmlns=\"sosonlinebackup.com\"><AssignLicenseResult><Result><Result>0</Result>\
         <Code>Success</Code><Message /></Result></AssignLicenseResult></AssignLicenseResponse></soap:Body></soap:Envelope>"
    );
    let again = server.assign("BACKUP01", 42, "SqlBackup");
    assert_eq!((again.element("Code").as_deref(), again.status), (Some("AlreadyExists"), 200));
    assert!(again.body.contains("<Result>52</Result>"), "{}", again.body);
    // Any of the pool's seats that is free.
    let taken = server
        .database()
        .lines("SELECT pool_id, seat_no, username FROM seat JOIN account ON account.id = account_id")
        .join(", ");
    let seat = taken.strip_prefix("1 ").and_then(|rest| rest.strip_suffix(" backup01")).expect(&taken);
    let held = format!("'BACKUP01' already holds a SqlBackup license (seat {seat} of pool 1)");
    assert!(again.message().contains(&held), "{}", again.message());
    let event: String = server.query(
        "SELECT group_concat(action || ' ' || actor || ' ' || username, ', ') FROM audit_event WHERE actor <> 'sql'",
    );
    assert_eq!(event, "account-create agent backup01, assign agent backup01");
    assert_eq!(server.violations(), []);
}
