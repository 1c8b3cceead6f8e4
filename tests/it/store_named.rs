//! Named calls, at the store: a retry gets the outcome of the first try, and nothing else gets it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use seatkeeper::error::{Error, ErrorKind};
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, Holding, NameFault, Refusal, Role, SeatId, Transfer};
use seatkeeper::store::{
    self, Activation, Call, CallName, FiledLicense, ModulesRequest, NameSource, NewTicket, Original, Store,
};
use uuid::Uuid;

use crate::harness::*;
use crate::licenses::*;

/// A call by this credential under a name of this source. `request`: what tells its request from others.
fn named_from(source: NameSource, who: &str, name: &str, request: u8) -> Call {
    let name = CallName::new(source, Ok(name.to_owned()), "AssignLicense", [request; 32]);
    Call { name: Some(Arc::new(name)), ..call(who) }
}

fn named(who: &str, name: &str, request: u8) -> Call {
    named_from(NameSource::IdempotencyKey, who, name, request)
}

fn assignment(username: &str) -> AssignRequest {
    AssignRequest { username: Some(username.into()), provider_entity_id: Some(42), license_type: Some(SQL) }
}

/// What came of it, and of which call that is: `None`, of this one.
fn assign(licenses: &Licenses, call: Call, username: &str) -> (Result<SeatId, Refusal>, Option<Original>) {
    let name = call.name.clone().expect("a name");
    let outcome = wait(licenses.store.assign(call, assignment(username)));
    (outcome, name.original())
}

fn code<T>(outcome: &Result<T, Refusal>) -> &'static str {
    outcome.as_ref().map_or_else(|refusal| ErrorKind::from(refusal).code(), |_| "Success")
}

fn events(licenses: &Licenses) -> i64 {
    licenses.query("SELECT count(*) FROM audit_event")
}

fn kept(licenses: &Licenses) -> Vec<String> {
    licenses.database().lines("SELECT user_name || ' ' || name FROM named_call ORDER BY id")
}

#[test]
fn a_retry_gets_the_outcome_of_the_first_try() {
    let licenses = Licenses::new();
    let first = named("agent", "a", 1);
    let original = Some(Original { id: first.id, now: first.now });
    let (outcome, of) = assign(&licenses, first, "bob");
    assert_eq!((code(&outcome), of), ("Success", None));
    let after = (events(&licenses), licenses.query::<i64>("SELECT count(*) FROM seat WHERE account_id = 1"));
    for _ in 0..3 {
        assert_eq!(assign(&licenses, named("agent", "a", 1), "bob"), (outcome.clone(), original));
    }
    // As it was, whatever has become of the seat since.
    licenses.sql("UPDATE seat SET account_id = NULL WHERE account_id = 1");
    assert_eq!(assign(&licenses, named("agent", "a", 1), "bob"), (outcome, original));
    assert_eq!((events(&licenses) - 1, 1), after, "a retry leaves no event");
    licenses.is_sound();
}

#[test]
fn refusals_are_outcomes_too() {
    let licenses = Licenses::new();
    for username in ["bob", "amy", "Contoso"] {
        assert_eq!(code(&wait(licenses.store.assign(call("agent"), assignment(username)))), "Success");
    }
    for (name, username, expected) in [
        ("held", "bob", "AlreadyExists"),
        ("full", "new", "NoFreeSeat"),
        ("closed", "closed", "ObjectEntityMismatch"),
        ("invalid", " ", "InvalidInputParameters"),
    ] {
        let first = named("agent", name, 1);
        let id = first.id;
        let (outcome, of) = assign(&licenses, first, username);
        assert_eq!((code(&outcome), of), (expected, None));
        // Now the rules would say something else.
        licenses
            .sql("UPDATE seat SET account_id = NULL WHERE account_id = 1; UPDATE account SET active = 1 WHERE id = 6");
        let (again, of) = assign(&licenses, named("agent", name, 1), username);
        assert_eq!((code(&again), of.map(|of| of.id)), (expected, Some(id)));
        assert_eq!(again.map_err(|r| r.to_string()), outcome.map_err(|r| r.to_string()));
        licenses.sql("UPDATE account SET active = 0 WHERE id = 6");
        assert_eq!(code(&wait(licenses.store.assign(call("agent"), assignment("bob")))), "Success");
    }
    licenses.is_sound();
}

/// A name belongs to a credential, however its holder signs in.
#[test]
fn a_name_is_that_of_its_credential() {
    let licenses = Licenses::new();
    let first = named("agent", "a", 1);
    let id = first.id;
    let (outcome, _) = assign(&licenses, first, "bob");
    let of = |call: Call| assign(&licenses, call, "bob");

    let ticket = store::TicketProof { id: Uuid::new_v4(), secret_hash: [7; 32] };
    licenses.issue(call("AGENT"), &ticket, "2026-06-01T18:00:00Z").expect("a ticket");
    let by_ticket = Call { name: named("agent", "a", 1).name, ..call_by_ticket(&ticket, NOW) };
    let (again, original) = of(by_ticket);
    assert_eq!((again, original.map(|of| of.id)), (outcome, Some(id)), "by ticket");
    assert_eq!(of(named("AGENT", "a", 1)).1.map(|of| of.id), Some(id), "in any case");

    // Others may use the same name, and names compare letter by letter.
    assert_eq!(code(&of(named("admin", "a", 1)).0), "AlreadyExists");
    assert_eq!(code(&of(named("contoso", "a", 2)).0), "AlreadyExists");
    assert_eq!(code(&of(named("agent", "A", 1)).0), "AlreadyExists");
    assert_eq!(kept(&licenses), ["agent a", "admin a", "contoso a", "agent A"]);
}

/// The credential is proved first, and has the role that the call needs.
#[test]
fn a_credential_that_may_not_do_it_any_more_gets_no_old_answer() {
    for (change, expected) in [
        ("UPDATE credential SET active = 0", "InvalidSoapCredentials"),
        (
            "UPDATE credential SET password_hash = '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$AAAA'",
            "InvalidSoapCredentials",
        ),
        ("DELETE FROM credential", "InvalidSoapCredentials"),
        ("UPDATE credential SET role = 'reader'", "AccessDenied"),
    ] {
        let licenses = Licenses::new();
        assign(&licenses, named("agent", "a", 1), "bob").0.expect("assigned");
        licenses.sql(&format!("{change} WHERE user_name = 'agent'"));
        assert_eq!(code(&assign(&licenses, named("agent", "a", 1), "bob").0), expected, "{change}");
        // It is not known whether the first try of this one would have been refused.
        assert_eq!(code(&assign(&licenses, named("agent", "b", 1), "amy").0), expected, "{change}");
        assert!(!kept(&licenses).contains(&"agent b".to_owned()), "refusals of the credential are not kept");
    }
    // The role of each method; `release` needs more than `assign`.
    let licenses = Licenses::new();
    let holding = Holding { username: Some("bob".into()), license_type: Some(SQL) };
    assign(&licenses, named("admin", "a", 1), "bob").0.expect("assigned");
    wait(licenses.store.release(named("admin", "r", 2), holding.clone())).expect("released");
    licenses.sql("UPDATE credential SET role = 'agent' WHERE user_name = 'admin'");
    assert_eq!(code(&assign(&licenses, named("admin", "a", 1), "bob").0), "Success");
    assert_eq!(code(&wait(licenses.store.release(named("admin", "r", 2), holding))), "AccessDenied");
}

#[test]
fn a_name_goes_with_one_request() {
    let licenses = Licenses::new();
    for source in [NameSource::IdempotencyKey, NameSource::RequestId] {
        let name = source.header();
        assign(&licenses, named_from(source, "agent", name, 1), "bob").0.ok();
        let before = licenses.rows();
        let (refused, of) = assign(&licenses, named_from(source, "agent", name, 2), "amy");
        let text = refused.as_ref().expect_err("another request").to_string();
        assert_eq!((code(&refused), of), ("InvalidInputParameters", None));
        let begin = format!(
            "{name} names another request: AssignLicense with other arguments, or another operation, at {NOW}. "
        );
        assert!(text.starts_with(&begin), "{text}");
        assert_eq!(licenses.rows(), before, "nothing was changed");
        assert!(assign(&licenses, named_from(source, "agent", name, 1), "bob").1.is_some(), "the first still counts");
    }
}

/// The client of a message template is refused, and asks again when there is a seat. Much later it asks for another seat.
#[test]
fn a_message_id_keeps_no_refusal_and_its_success_only_for_a_while() {
    let licenses = Licenses::new();
    let at = |minutes: i64, username: &str| {
        let mut call = named_from(NameSource::MessageId, "agent", "urn:template", 1);
        call.now += jiff::SignedDuration::from_mins(minutes);
        let (outcome, original) = assign(&licenses, call, username);
        (code(&outcome), original.is_some())
    };
    licenses.sql("UPDATE license_pool SET seats_total = 0 WHERE id = 1");
    assert_eq!(at(0, "bob"), ("NoFreeSeat", false));
    assert_eq!(kept(&licenses), [""; 0]);
    licenses.sql("UPDATE license_pool SET seats_total = 1 WHERE id = 1");
    assert_eq!(at(1, "bob"), ("Success", false));
    assert_eq!(at(10, "bob"), ("Success", true));
    licenses.sql("UPDATE seat SET account_id = NULL");
    assert_eq!(at(12, "bob"), ("Success", false), "a seat again");
    licenses.is_sound();
}

/// Message templates repeat one MessageID: it must not keep its users from making different calls.
#[test]
fn a_message_id_with_another_request_is_a_new_call() {
    let licenses = Licenses::new();
    let of = |request, username| {
        let (outcome, original) =
            assign(&licenses, named_from(NameSource::MessageId, "agent", "urn:x", request), username);
        (code(&outcome), original.is_some())
    };
    assert_eq!(of(1, "bob"), ("Success", false));
    assert_eq!(of(1, "bob"), ("Success", true));
    assert_eq!(of(2, "amy"), ("Success", false));
    assert_eq!(of(2, "amy"), ("Success", true), "the newest is kept");
    assert_eq!(of(1, "bob"), ("AlreadyExists", false));
    assert_eq!(kept(&licenses), [""; 0], "a refusal is not kept");
}

#[test]
fn names_that_are_invalid_are_refused_to_callers_that_are_known() {
    let licenses = Licenses::new();
    let before = licenses.rows();
    for fault in
        [NameFault::Empty, NameFault::TooLong, NameFault::NotPrintable, NameFault::NotAString, NameFault::Several]
    {
        let by = |who| {
            let name = CallName::new(NameSource::RequestId, Err(fault), "AssignLicense", [0; 32]);
            wait(licenses.store.assign(Call { name: Some(Arc::new(name)), ..call(who) }, assignment("bob")))
        };
        let refused = by("agent").expect_err("an invalid name");
        assert_eq!((ErrorKind::from(&refused), ErrorKind::from(&refused).result()), (ErrorKind::NameInvalid, 2));
        assert!(refused.to_string().starts_with("RequestId "), "{refused}");
        assert_eq!(by("gone"), Err(Refusal::CallerUnknown));
        assert!(matches!(by("reader"), Err(Refusal::RoleTooLow { role: Role::Reader, .. })));
    }
    assert_eq!(licenses.rows(), before);
}

/// The other methods that change something.
#[test]
fn every_change_can_be_named() {
    let licenses = Licenses::new();
    licenses.sql("INSERT INTO license_offer (entity_id, serial_nr) VALUES (42, '2')");
    let again = |run: &dyn Fn(Call) -> String| {
        let first = run(named("admin", "n", 1));
        let before = licenses.rows();
        let name = named("admin", "n", 1);
        let original = name.name.clone().expect("a name");
        assert_eq!(run(name), first);
        assert!(original.original().is_some());
        assert_eq!(licenses.rows(), before);
        licenses.sql("DELETE FROM named_call");
        first
    };
    let store = &licenses.store;
    let all = vec![assignment("bob"), assignment("bob"), assignment("amy")];
    let shown = again(&|call| {
        let outcomes = wait(store.assign_all(call, all.clone(), false)).expect("some");
        outcomes.into_iter().map(|outcome| outcome.map_or_else(|r| r.to_string(), |seat| format!("{seat:?}"))).collect()
    });
    assert!(shown.contains("already holds"), "{shown}");
    let transfer = Transfer { from: Some("bob".into()), to: Some("Contoso".into()), license_type: Some(SQL) };
    again(&|call| format!("{:?}", wait(store.transfer(call, transfer.clone())).expect("moved")));
    let holding = Holding { username: Some("Contoso".into()), license_type: Some(SQL) };
    again(&|call| format!("{:?}", wait(store.release(call, holding.clone())).expect("released")));
    let modules = ModulesRequest { associate_id: 1, owner_name: "CONTOSO".to_owned(), license_types: vec![DISK, SQL] };
    again(&|call| format!("{:?}", wait(store.assign_modules(call, modules.clone())).expect("assigned")));
    again(&|call| format!("{:?}", wait(store.release_modules(call, modules.clone())).expect("released")));
    let Activation::Presented(granted) = presented(&licenses.owner("CONTOSO")) else { unreachable!("as it is made") };
    let filed = FiledLicense { owner_name: "CONTOSO".to_owned(), presented: Ok(granted.clone()) };
    let shown = again(&|call| format!("{:?}", wait(store.add_license(call, filed.clone())).expect("added")));
    assert!(shown.contains("refused: None"), "{shown}");
    licenses.sql("INSERT INTO license_offer (entity_id, serial_nr) VALUES (42, '3')");
    let serial = Activation::Serial { company_name: "Contoso".to_owned(), serial_nr: "3".to_owned() };
    again(&|call| format!("{:?}", wait(store.activate(call, serial.clone(), false))));
    let refused = again(&|call| wait(store.activate(call, serial.clone(), false)).expect_err("done").to_string());
    assert!(refused.contains("No license is offered"), "{refused}");
    let refusal = Refusal::ModuleUnknown { name: "X".to_owned() };
    again(&|call| wait(store.refuse(call, refusal.clone())).expect_err("refused").to_string());
    wait(store.release(call("admin"), Holding { username: Some("amy".into()), license_type: Some(SQL) }))
        .expect("released");
    again(&|call| format!("{:?}", wait(store.remove_license(call, "contoso".to_owned())).expect("removed")));
    licenses.is_sound();
}

/// A named call needs the same role as one without a name.
#[test]
fn a_name_changes_no_right() {
    let licenses = Licenses::new();
    let store = &licenses.store;
    let holding = || Holding { username: Some("nobody".into()), license_type: Some(SQL) };
    let transfer = || Transfer { from: Some("nobody".into()), to: Some("bob".into()), license_type: Some(SQL) };
    let modules = || ModulesRequest { associate_id: 99, owner_name: "NONE".to_owned(), license_types: vec![SQL] };
    let serial = || Activation::Serial { company_name: "none".to_owned(), serial_nr: "0".to_owned() };
    let filed = || FiledLicense { owner_name: "NONE".to_owned(), presented: Err(Refusal::NotSupported) };
    // None of them changes anything.
    let methods: [&dyn Fn(Call) -> &'static str; 9] = [
        &|call| code(&wait(store.assign(call, assignment("")))),
        &|call| code(&wait(store.assign_all(call, Vec::new(), false))),
        &|call| code(&wait(store.release(call, holding()))),
        &|call| code(&wait(store.transfer(call, transfer()))),
        &|call| code(&wait(store.assign_modules(call, modules()))),
        &|call| code(&wait(store.release_modules(call, modules()))),
        &|call| code(&wait(store.activate(call, serial(), false))),
        &|call| code(&wait(store.add_license(call, filed()))),
        &|call| code(&wait(store.remove_license(call, "NONE".to_owned()))),
    ];
    for who in ["reader", "agent", "admin", "gone"] {
        for (number, method) in methods.iter().enumerate() {
            let name = format!("{who} {number}");
            let expected = method(call(who));
            assert_eq!(method(named(who, &name, 1)), expected, "{name}");
            // A refusal that is kept, and one that is not.
            assert_eq!(method(named(who, &name, 1)), expected, "{name} again");
            let is_kept = !["AccessDenied", "InvalidSoapCredentials"].contains(&expected);
            assert_eq!(kept(&licenses).contains(&format!("{who} {name}")), is_kept, "{name}");
        }
    }
}

/// Dry runs, reads and sign-ins: nothing is kept of them, and what is kept does not answer them.
#[test]
fn what_changes_nothing_ignores_names() {
    let licenses = Licenses::new();
    let store = &licenses.store;
    assign(&licenses, named("admin", "a", 1), "bob").0.expect("assigned");
    let before = licenses.rows();
    let all = vec![assignment("amy")];
    assert!(matches!(wait(store.assign_all(named("admin", "a", 1), all.clone(), true)).as_deref(), Ok([Ok(_)])));
    assert!(wait(store.assign_all(named("admin", "b", 1), all, true)).is_ok());
    let Activation::Presented(granted) = presented(&licenses.owner("CONTOSO")) else { unreachable!("as it is made") };
    assert_eq!(wait(store.activate(named("admin", "a", 2), Activation::Presented(granted), true)), Ok(()));
    assert!(wait(store.principal(named("admin", "a", 2))).is_ok());
    assert!(wait(store.pools(named("admin", "a", 2), Some(42))).is_ok());
    assert_eq!(licenses.rows(), before);
    let ticket = NewTicket {
        proof: store::TicketProof { id: Uuid::new_v4(), secret_hash: [7; 32] },
        expires_at: at("2026-06-01T18:00:00Z"),
    };
    assert!(wait(store.issue_ticket(named("admin", "a", 2), ticket)).is_ok());
    assert_eq!(kept(&licenses), ["admin a"]);
}

fn store_of(options: store::Options) -> (TestDatabase, Arc<dyn Store>) {
    let database = TestDatabase::new(&seed());
    let store = database.open(&options, Arc::new(Metrics::new()));
    (database, store)
}

fn names(database: &TestDatabase) -> Vec<String> {
    database.lines("SELECT name FROM named_call ORDER BY id")
}

#[test]
fn names_end() {
    let options = || store::Options { named_calls_life: Duration::from_secs(60), ..store::Options::default() };
    let (database, store) = store_of(options());
    let begin = at(NOW);
    let after = |seconds: i64| begin + jiff::SignedDuration::from_secs(seconds);
    let assign = |name: &str, username: &str, now: Timestamp| {
        let call = Call { now, ..named("agent", name, 1) };
        let is_replay = call.name.clone().expect("a name");
        let outcome = wait(store.assign(call, assignment(username)));
        (code(&outcome), is_replay.original().is_some())
    };
    assert_eq!(assign("a", "bob", after(0)), ("Success", false));
    assert_eq!(assign("a", "bob", after(59)), ("Success", true));
    assert_eq!(assign("a", "bob", after(-1000)), ("Success", true), "the clock was set back");
    assert_eq!(assign("a", "bob", after(60)), ("AlreadyExists", false));
    assert_eq!(assign("a", "bob", after(61)), ("AlreadyExists", true), "kept again");
    // Each new row ends two of those that have expired.
    for number in 0..10 {
        assign(&format!("b{number}"), "bob", after(100));
    }
    for number in 0..3 {
        assign(&format!("c{number}"), "bob", after(200));
    }
    assert_eq!(names(&database), ["b5", "b6", "b7", "b8", "b9", "c0", "c1", "c2"]);
    for number in 3..10 {
        assign(&format!("c{number}"), "bob", after(200));
    }
    assert_eq!(names(&database).len(), 10, "the others are gone");
    store.close();

    // 0: none are kept, not even looked at.
    let (database, store) = store_of(store::Options { named_calls_life: Duration::ZERO, ..options() });
    let invalid = CallName::new(NameSource::RequestId, Err(NameFault::Empty), "AssignLicense", [0; 32]);
    for expected in ["Success", "AlreadyExists"] {
        let call = Call { name: Some(Arc::new(invalid_again(&invalid))), ..call("agent") };
        assert_eq!(code(&wait(store.assign(call, assignment("bob")))), expected);
    }
    assert_eq!(names(&database), [""; 0]);
    store.close();
}

fn invalid_again(name: &CallName) -> CallName {
    CallName::new(name.source, name.text.clone(), name.operation, name.request_hash)
}

#[test]
fn the_table_is_bounded_and_refuses_no_call() {
    let (database, store) = store_of(store::Options { named_calls_max: 5, ..store::Options::default() });
    let assign = |name: &str, username: &str| code(&wait(store.assign(named("agent", name, 1), assignment(username))));
    for number in 0..20 {
        let expected = if number == 0 { "Success" } else { "AlreadyExists" };
        assert_eq!(assign(&format!("n{number:02}"), "bob"), expected);
    }
    assert_eq!(names(&database), ["n15", "n16", "n17", "n18", "n19"]);
    assert_eq!(assign("n00", "bob"), "AlreadyExists", "a new call, as it would be without a name");
    // A long outcome counts as several.
    let items = vec![assignment("bob"); 4];
    assert_eq!(code(&wait(store.assign_all(named("agent", "bulk", 1), items, false))), "Success");
    assert_eq!(names(&database), ["n00", "bulk"]);
    // One that counts for more than there is room is still kept, alone.
    let items = vec![assignment("bob"); 100];
    assert_eq!(code(&wait(store.assign_all(named("agent", "huge", 1), items, false))), "Success");
    assert_eq!(names(&database), ["huge"]);
    assert_eq!(assign("after", "bob"), "AlreadyExists");
    assert_eq!(names(&database), ["huge", "after"]);
    store.close();
}

/// SQL by hand may delete named calls, and nothing else.
#[test]
fn by_hand_named_calls_are_only_deleted() {
    let licenses = Licenses::new();
    for (who, name) in [("agent", "a"), ("agent", "b"), ("admin", "a"), ("west", "w"), ("contoso", "c")] {
        assign(&licenses, named(who, name, 1), "bob").0.ok();
    }
    const ROW: &str = "(id, user_name, name, operation, request_hash, request_id, at, outcome)
        SELECT id + 100, user_name, name || 'x', operation, request_hash, request_id, at, outcome FROM named_call";
    let by_hand = [
        format!("INSERT INTO named_call {ROW}"),
        format!("INSERT OR REPLACE INTO named_call {ROW}"),
        format!("INSERT OR IGNORE INTO named_call {ROW}"),
        "UPDATE named_call SET outcome = '{\"done\":null}'".to_owned(),
        "UPDATE OR REPLACE named_call SET name = 'a'".to_owned(),
        "REPLACE INTO named_call SELECT * FROM named_call".to_owned(),
    ];
    let before = licenses.rows();
    for sql in &by_hand {
        let refused = licenses.try_sql(sql).expect_err(sql).to_string();
        assert!(refused.contains("not authorized") || refused.contains("kept by the service"), "{sql}: {refused}");
        if let Some(shell) = licenses.database().stock_shell() {
            let refused = shell.execute_batch(sql).expect_err(sql).to_string();
            assert!(refused.contains("named calls are kept by the service"), "{sql}: {refused}");
        }
    }
    assert_eq!(licenses.rows(), before);

    licenses.sql("DELETE FROM named_call WHERE user_name = 'agent' AND name = 'b'");
    licenses.sql("UPDATE credential SET note = 'x', active = 0 WHERE user_name = 'contoso'");
    licenses.sql("UPDATE credential SET user_name = 'ADMIN' WHERE user_name = 'admin'");
    assert_eq!(kept(&licenses), ["agent a", "admin a", "west w", "contoso c"].map(str::to_owned).to_vec());
    // What a credential called must not answer another one that gets its name.
    licenses.sql("UPDATE credential SET user_name = 'other' WHERE user_name = 'agent'; DELETE FROM credential WHERE user_name = 'west'");
    assert_eq!(kept(&licenses), ["admin a", "contoso c"]);
    licenses.is_sound();
}

/// A row that is damaged, or that another version has written: running the call once more could make its change twice.
#[test]
fn an_outcome_that_cannot_be_read_is_refused() {
    let licenses = Licenses::new();
    assign(&licenses, named("agent", "a", 1), "bob").0.expect("assigned");
    for damage in [
        "outcome = 'x'",
        "outcome = '{\"done\":{\"seat\":\"1/1\"}}'",
        "outcome = '{\"refused\":{\"code\":\"Unheard\",\"text\":\"of\"}}'",
        "outcome = CAST(x'FF' AS TEXT)",
        "request_id = 'x'",
        "at = '3000'",
        "at = CAST(x'FF' AS TEXT)",
    ] {
        let saved: String = licenses.query("SELECT outcome FROM named_call");
        let (id, at): (String, String) =
            (licenses.query("SELECT request_id FROM named_call"), licenses.query("SELECT at FROM named_call"));
        licenses.database().unguarded(&format!("UPDATE named_call SET {damage}"));
        let before = events(&licenses);
        let (refused, of) = assign(&licenses, named("agent", "a", 1), "bob");
        let refused = refused.expect_err(damage);
        assert_eq!(
            (ErrorKind::from(&refused), of, events(&licenses)),
            (ErrorKind::UnexpectedError, None, before),
            "{damage}"
        );
        assert!(Error::from(refused).to_string().contains("call under a new name"), "{damage}");
        let mended = format!("UPDATE named_call SET outcome = '{saved}', request_id = '{id}', at = '{at}'");
        licenses.database().unguarded(&mended);
        assert!(assign(&licenses, named("agent", "a", 1), "bob").1.is_some());
    }
}
