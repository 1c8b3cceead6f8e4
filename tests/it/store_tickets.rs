//! Tickets: whoever holds one is the credential it was issued to, as that stands now.

use seatkeeper::seats::{Refusal, Role};
use seatkeeper::store::{Call, ModulesRequest, Owners, OwnersRequest, Principal, TicketProof};
use uuid::Uuid;

use crate::licenses::*;

const END: &str = "2026-06-01T18:00:00Z";

fn proof(secret: u8) -> TicketProof {
    TicketProof { id: Uuid::new_v4(), secret_hash: [secret; 32] }
}

/// A ticket of this credential, valid until [`END`].
fn ticket_of(licenses: &Licenses, who: &str) -> TicketProof {
    let ticket = proof(7);
    licenses.issue(call(who), &ticket, END).expect(who);
    ticket
}

/// Who the holder is, or nobody: role, entity, associate.
fn holder(licenses: &Licenses, ticket: &TicketProof, now: &str) -> Result<(String, Role, i32, Option<i32>), Refusal> {
    let principal = licenses.principal(call_by_ticket(ticket, now))?;
    let Principal { user_name, role, entity_id, associate_id, .. } = principal;
    Ok((user_name, role, entity_id, associate_id))
}

fn is_valid(licenses: &Licenses, ticket: &TicketProof, now: &str) -> bool {
    holder(licenses, ticket, now).is_ok()
}

#[test]
fn a_ticket_stands_for_the_credential_it_was_issued_to() {
    let licenses = Licenses::new();
    licenses.sql("UPDATE seat SET account_id = 7 WHERE pool_id = 1 AND seat_no = 1");
    let ticket = proof(7);
    let told = licenses.issue(call("CONTOSO"), &ticket, END).expect("issued");
    assert_eq!((told.user_name.as_str(), told.role, told.associate_id), ("contoso", Role::Admin, Some(7)));
    assert_eq!((told.entity_id, told.entity_name.as_str()), (42, "Contoso"));
    assert_eq!(told.owner.as_ref().map(line).as_deref(), Some("CONTOSO 0/10 1*/3 0/0"));
    assert_eq!(licenses.principal(call_by_ticket(&ticket, NOW)), Ok(told.clone()));
    assert_eq!(licenses.principal(call("contoso")), Ok(told), "with a password likewise");

    let owners = |now| {
        let request = OwnersRequest { owners: Owners::All, associate_id: None };
        wait(licenses.store.owners(call_by_ticket(&ticket, now), request))
    };
    assert_eq!(owners(NOW).map(|owners| names(&owners)), Ok("CONTOSO CONTOSOWEST".to_owned()));
    assert_eq!(owners(END), Err(Refusal::CallerUnknown));
}

#[test]
fn a_change_by_ticket_is_its_credentials_in_the_audit() {
    let licenses = Licenses::new();
    let by = call_by_ticket(&ticket_of(&licenses, "agent"), NOW);
    let request = ModulesRequest { associate_id: 1, owner_name: "CONTOSO".to_owned(), license_types: vec![SQL] };
    wait(licenses.store.assign_modules(by.clone(), request)).expect("assigned");
    let event: String = licenses.query("SELECT actor || ' ' || request_id FROM audit_event ORDER BY id DESC LIMIT 1");
    assert_eq!(event, format!("agent {}", by.id));
    licenses.is_sound();
}

#[test]
fn who_a_principal_is() {
    let licenses = Licenses::new();
    licenses.sql("INSERT INTO credential (user_name, password_hash, entity_id) SELECT 'EVE', password_hash, 42 FROM credential WHERE user_name = 'west'");
    licenses.sql("INSERT INTO credential (user_name, password_hash, entity_id, role) SELECT 'Fay', password_hash, 1, 'reader' FROM credential WHERE user_name = 'west'");
    licenses.sql("INSERT INTO credential (user_name, password_hash, entity_id) SELECT 'east', password_hash, 45 FROM credential WHERE user_name = 'west'");
    for (who, role, entity, associate, owner) in [
        ("reader", Role::Reader, 1, None, Some("NORTHWIND 0/0 0/0 0/0")),
        ("agent", Role::Agent, 1, None, Some("NORTHWIND 0/0 0/0 0/0")),
        ("west", Role::Admin, 420, None, Some("CONTOSOWEST 0/0 0/2 0/0")),
        ("Fay", Role::Reader, 1, Some(4), Some("NORTHWIND 0/0 0/0 0/0")),
        // The account of that name is of others.
        ("EVE", Role::Agent, 42, None, Some("CONTOSO 0/10 0/3 0/0")),
        // No tool knows that entity.
        ("east", Role::Agent, 45, None, None),
    ] {
        let told = licenses.principal(call(who)).expect(who);
        let shown = told.owner.as_ref().map(line);
        assert_eq!(
            (told.role, told.entity_id, told.associate_id, shown.as_deref()),
            (role, entity, associate, owner),
            "{who}"
        );
    }
    for who in ["gone", "nobody", "cli"] {
        assert_eq!(licenses.principal(call(who)), Err(Refusal::CallerUnknown), "{who}");
        assert_eq!(licenses.issue(call(who), &proof(1), END), Err(Refusal::CallerUnknown), "{who}");
    }
    assert_eq!(licenses.query::<i64>("SELECT count(*) FROM ticket"), 0);
}

#[test]
fn what_is_no_ticket_is_nobodys() {
    let licenses = Licenses::new();
    let ticket = ticket_of(&licenses, "agent");
    assert!(is_valid(&licenses, &ticket, NOW));
    let mut wrong: Vec<TicketProof> = [0, 15, 31]
        .map(|at| {
            let mut wrong = ticket.clone();
            wrong.secret_hash[at] ^= 1;
            wrong
        })
        .into();
    wrong.push(TicketProof { id: Uuid::new_v4(), ..ticket.clone() });
    wrong.push(TicketProof { id: Uuid::nil(), ..ticket.clone() });
    wrong.push(TicketProof { id: Uuid::max(), secret_hash: [0; 32] });
    for wrong in wrong {
        assert_eq!(holder(&licenses, &wrong, NOW), Err(Refusal::CallerUnknown), "{wrong:?}");
        assert_eq!(licenses.issue(call_by_ticket(&wrong, NOW), &proof(9), END), Err(Refusal::CallerUnknown));
    }
    let kept: String = licenses.query("SELECT hex(secret_hash) || ' ' || user_name || ' ' || id FROM ticket");
    assert_eq!(kept, format!("{} agent {}", "07".repeat(32), ticket.id));
}

#[test]
fn a_ticket_ends() {
    let licenses = Licenses::new();
    let ticket = ticket_of(&licenses, "agent");
    for (now, valid) in [
        ("2020-01-01T00:00:00Z", true),
        ("2026-06-01T17:59:59.999Z", true),
        (END, false),
        ("2026-06-01T18:00:00.5Z", false),
        ("2030-01-01T00:00:00Z", false),
    ] {
        assert_eq!(is_valid(&licenses, &ticket, now), valid, "{now}");
    }
}

#[test]
fn a_use_renews_a_ticket_that_is_still_valid_and_no_other() {
    let licenses = Licenses::new();
    let (ticket, other) = (ticket_of(&licenses, "agent"), ticket_of(&licenses, "agent"));
    let renew = |ticket: &TicketProof, now: &str, until: &str| {
        wait(licenses.store.renew_ticket(ticket.id, at(now), at(until)));
        let end = format!("SELECT expires_at FROM ticket WHERE id = '{}'", ticket.id);
        licenses.query::<String>(&end)
    };
    assert_eq!(renew(&ticket, "2026-06-01T13:00:00Z", "2026-06-01T19:00:00Z"), "2026-06-01T19:00:00Z");
    assert_eq!(renew(&ticket, "2026-06-01T12:30:00Z", "2026-06-01T18:30:00Z"), "2026-06-01T19:00:00Z", "never shorter");
    // SQLite keeps whole seconds.
    let renewed = renew(&ticket, "2026-06-01T18:59:59.9Z", "2026-06-02T00:59:59.9Z");
    assert!(["2026-06-02T00:59:59Z", "2026-06-02T00:59:59.900Z"].contains(&renewed.as_str()), "{renewed}");
    assert_eq!(renew(&other, END, "2026-06-02T00:00:00Z"), END, "too late");
    wait(licenses.store.renew_ticket(Uuid::new_v4(), at(NOW), at(END)));
    assert_eq!(licenses.query::<i64>("SELECT count(*) FROM ticket"), 2);
}

#[test]
fn a_change_of_the_credential_counts_at_once() {
    let licenses = Licenses::new();
    let ticket = ticket_of(&licenses, "agent");
    let expect = |change: &str, expected| {
        licenses.sql(change);
        assert_eq!(holder(&licenses, &ticket, NOW), expected, "{change}");
    };
    let is = |name: &str, role, entity, associate| Ok((name.to_owned(), role, entity, associate));
    expect("UPDATE credential SET role = 'reader' WHERE user_name = 'agent'", is("agent", Role::Reader, 1, None));
    assert_eq!(
        licenses.issue(call_by_ticket(&ticket, NOW), &proof(8), END).map(|principal| principal.role),
        Ok(Role::Reader),
        "and a ticket gets another"
    );
    expect("UPDATE credential SET entity_id = 42 WHERE user_name = 'agent'", is("agent", Role::Reader, 42, None));
    expect(
        "INSERT INTO account (id, username, entity_id) VALUES (50, 'AGENT', 420)",
        is("agent", Role::Reader, 42, Some(50)),
    );
    expect("UPDATE entity SET parent_id = 43 WHERE id = 420", is("agent", Role::Reader, 42, None));
    // Another spelling is no other name; the hash as it was is no other password.
    expect(
        "UPDATE credential SET user_name = 'Agent', password_hash = password_hash WHERE user_name = 'agent'",
        is("Agent", Role::Reader, 42, None),
    );
}

#[test]
fn a_ticket_ends_with_its_password_name_or_activity() {
    let licenses = Licenses::new();
    for (change, back) in [
        (
            "UPDATE credential SET active = 0 WHERE user_name = 'agent'",
            "UPDATE credential SET active = 1 WHERE user_name = 'agent'",
        ),
        (
            "UPDATE credential SET password_hash = hash_password('new') WHERE user_name = 'agent'",
            "UPDATE credential SET password_hash = (SELECT password_hash FROM credential WHERE user_name = 'west') WHERE user_name = 'agent'",
        ),
        (
            "UPDATE credential SET user_name = 'agent2' WHERE user_name = 'agent'",
            "UPDATE credential SET user_name = 'agent' WHERE user_name = 'agent2'",
        ),
        ("DELETE FROM ticket WHERE user_name = 'agent'", ""),
        (
            "DELETE FROM credential WHERE user_name = 'agent'",
            "INSERT INTO credential (user_name, password_hash, entity_id) SELECT 'agent', password_hash, 1 FROM credential WHERE user_name = 'west'",
        ),
    ] {
        let (ticket, other) = (ticket_of(&licenses, "agent"), ticket_of(&licenses, "reader"));
        licenses.sql(change);
        assert_eq!(holder(&licenses, &ticket, NOW), Err(Refusal::CallerUnknown), "{change}");
        licenses.sql(back);
        assert_eq!(holder(&licenses, &ticket, NOW), Err(Refusal::CallerUnknown), "{back}");
        assert!(is_valid(&licenses, &other, NOW), "another's stays: {change}");
        assert!(licenses.principal(call("agent")).is_ok(), "the credential is as before: {change}");
    }
    licenses.is_sound();
}

#[test]
fn a_credential_that_is_inactive_has_no_valid_ticket_even_past_the_guards() {
    let licenses = Licenses::new();
    let ticket = ticket_of(&licenses, "agent");
    licenses.database().unguarded("UPDATE credential SET active = 0 WHERE user_name = 'agent'");
    assert_eq!(licenses.query::<i64>("SELECT count(*) FROM ticket"), 1);
    assert_eq!(holder(&licenses, &ticket, NOW), Err(Refusal::CallerUnknown));
}

/// A sign-in ends up to 100 that have expired, so the table does not grow for ever.
#[test]
fn tickets_that_have_expired_go() {
    let licenses = Licenses::new();
    for _ in 0..120 {
        ticket_of(&licenses, "agent");
    }
    let count = || licenses.query::<i64>("SELECT count(*) FROM ticket");
    let kept = proof(1);
    licenses.issue(call("reader"), &kept, "2026-06-01T18:00:01Z").expect("issued");
    assert_eq!(count(), 121);
    for expected in [22, 3, 4] {
        let by = Call { now: at(END), ..call("reader") };
        licenses.issue(by, &proof(2), "2026-06-02T00:00:00Z").expect("issued");
        assert_eq!(count(), expected);
    }
    assert!(is_valid(&licenses, &kept, END));
}
