//! Sessions of the pages for administrators, one-time links, and what is noted of refusals and credentials, on both databases.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use seatkeeper::auth::{self, Authenticator, Password, SessionToken};
use seatkeeper::error::ErrorKind as Kind;
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, Holding, LicenseType, Role};
use seatkeeper::service::admin::{FirstAdministrator, Options, PageSession};
use seatkeeper::service::{CallContext, Identity, LinkPurpose, Service};
use seatkeeper::store::admin::{AdminRefusal, ChangeOptions};
use seatkeeper::store::{self, Store};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::harness::{PASSWORD, TestDatabase, sample_data};

/// A service without a listener, whose clock the test sets.
struct Pages {
    service: Arc<Service>,
    store: Arc<dyn Store>,
    runtime: tokio::runtime::Runtime,
    now: Timestamp,
}

impl Pages {
    fn on(database: &TestDatabase) -> Pages {
        Pages::with(database, Options::default())
    }

    fn with(database: &TestDatabase, options: Options) -> Pages {
        let metrics = Arc::new(Metrics::new());
        let store = database.open(&store::Options::default(), Arc::clone(&metrics));
        let authenticator = Authenticator::new(auth::Options::default(), Arc::clone(&metrics)).expect("randomness");
        let service = Arc::new(Service::with_pages(Arc::clone(&store), authenticator, metrics, options));
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let now = "2026-11-25T12:00:00Z".parse().expect("a time");
        Pages { service, store, runtime, now }
    }

    fn context(&self) -> CallContext {
        let peer: IpAddr = "192.0.2.7".parse().expect("an address");
        CallContext {
            id: Uuid::new_v4(),
            now: self.now,
            instant: Instant::now(),
            peer,
            name: None,
            trail: Arc::default(),
        }
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn try_sign_in(&self, user_name: &str, password: &str) -> Option<PageSession> {
        let password = Password::new(password.to_owned());
        self.run(self.service.sign_in_to_pages(&self.context(), user_name, password)).expect("the database works")
    }

    fn sign_in(&self, user_name: &str) -> SessionToken {
        self.try_sign_in(user_name, PASSWORD).expect("signed in").token
    }

    /// The name, role and entity that the session stands for; `None`: it is not valid.
    fn who(&self, token: &SessionToken) -> Option<(String, Role, Option<i64>)> {
        let (context, identity) = (self.context(), Identity::of_session(token));
        let looked = self
            .service
            .look(&context, &identity, Role::Reader, |_, admin| Ok((admin.name.clone(), admin.role, admin.entity_id)));
        match self.run(looked) {
            Ok(answer) => Some(answer.expect("a reader may look")),
            Err(error) => {
                assert_eq!(error.kind, Kind::InvalidSoapCredentials, "{error}");
                None
            }
        }
    }

    fn rename(&self, token: &SessionToken) -> Result<bool, AdminRefusal> {
        let options = ChangeOptions { reason: Some("a test".to_owned()), ..ChangeOptions::default() };
        let (context, identity) = (self.context(), Identity::of_session(token));
        let changed = self.service.change(&context, &identity, options, |sql, _| {
            sql.change("UPDATE entity SET name = 'renamed' WHERE id = 42", &[])
        });
        self.run(changed).expect("signed in").map(|changed| changed.kept)
    }

    fn later(&mut self, minutes: i64) {
        self.now = self.now.checked_add(SignedDuration::from_mins(minutes)).expect("a time");
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.store.close();
    }
}

#[test]
fn a_session_stands_for_its_credential_until_it_ends() {
    let database = TestDatabase::new(&sample_data());
    let mut pages = Pages::on(&database);
    assert!(pages.try_sign_in("admin", "wrong").is_none() && pages.try_sign_in("nobody", PASSWORD).is_none());
    assert!(pages.try_sign_in("gone", PASSWORD).is_none(), "it is inactive");
    let admin = pages.sign_in("ADMIN");
    assert_eq!(pages.who(&admin), Some(("admin".to_owned(), Role::Admin, Some(1))));
    let forged = SessionToken::generate().expect("randomness");
    assert_eq!(pages.who(&forged), None);
    let mut other_secret = forged.text().to_string();
    other_secret.replace_range(..32, &admin.text()[..32]);
    assert_eq!(pages.who(&SessionToken::parse(&other_secret).expect("a session")), None);

    // Idle: each use gives it half an hour again, up to 12 hours after the sign-in.
    for _ in 0..24 {
        pages.later(29);
        assert!(pages.who(&admin).is_some(), "{}", pages.now);
    }
    pages.later(25);
    assert_eq!(pages.who(&admin), None, "12 hours have passed");
    let admin = pages.sign_in("admin");
    pages.later(32);
    assert_eq!(pages.who(&admin), None, "it was not used");

    // As its credential is now.
    let admin = pages.sign_in("admin");
    database.sql("UPDATE credential SET role = 'reader', entity_id = 42 WHERE user_name = 'admin'");
    assert_eq!(pages.who(&admin), Some(("admin".to_owned(), Role::Reader, Some(42))));
    assert!(matches!(pages.rename(&admin), Err(AdminRefusal::RoleTooLow { role: Role::Reader, least: Role::Admin })));
    database.sql("UPDATE credential SET active = 0 WHERE user_name = 'admin'");
    assert_eq!(pages.who(&admin), None);
    assert_eq!(database.query::<i64>("SELECT count(*) FROM session WHERE user_name = 'admin'"), 0);
    assert_eq!(database.violations(), []);
}

#[test]
fn whoever_changes_something_stands_in_the_history_with_the_reason() {
    let database = TestDatabase::new(&sample_data());
    let pages = Pages::on(&database);
    let (admin, agent) = (pages.sign_in("admin"), pages.sign_in("agent"));
    assert!(matches!(pages.rename(&agent), Err(AdminRefusal::RoleTooLow { .. })));
    assert_eq!(pages.rename(&admin), Ok(true));
    let written = database.lines("SELECT action, actor, reason FROM audit_event WHERE reason IS NOT NULL");
    assert_eq!(written, ["entity-change admin a test"]);
}

#[test]
fn a_sign_out_ends_one_session_and_everywhere_all_of_the_user() {
    let database = TestDatabase::new(&sample_data());
    let pages = Pages::on(&database);
    let (one, two, other) = (pages.sign_in("admin"), pages.sign_in("admin"), pages.sign_in("agent"));
    assert_ne!(*one.text(), *two.text());
    pages.run(pages.service.sign_out(&pages.context(), &one)).expect("the database works");
    assert!(pages.who(&one).is_none() && pages.who(&two).is_some());
    database.unguarded(
        "INSERT INTO ticket (id, secret_hash, user_name, expires_at) SELECT id, secret_hash, user_name, expires_at FROM session WHERE user_name = 'admin'",
    );
    let ended = pages.run(pages.service.sign_out_everywhere(&pages.context(), &two)).expect("the database works");
    assert_eq!(ended, Some(2), "the session and the ticket");
    assert!(pages.who(&two).is_none() && pages.who(&other).is_some());
    let again = pages.run(pages.service.sign_out_everywhere(&pages.context(), &two)).expect("the database works");
    assert_eq!(again, None);
}

#[test]
fn the_first_administrator_is_made_by_a_link_once_and_only_in_an_empty_database() {
    let database = TestDatabase::new("");
    let pages = Pages::on(&database);
    assert!(pages.run(pages.service.is_unclaimed()).expect("the database works"));
    let link = pages.service.make_link(LinkPurpose::FirstAdministrator).expect("randomness");
    let make = |link: &str, password: &str| {
        let first = FirstAdministrator {
            user_name: " ann ".to_owned(),
            password: Zeroizing::new(password.to_owned()),
            entity_name: "Northwind".to_owned(),
        };
        let context = pages.context();
        let made = pages.service.create_first_administrator(&context, link, first);
        pages.run(made).expect("the database works")
    };
    assert!(matches!(make("guessed", "long enough to be good"), Err(AdminRefusal::CallerUnknown)));
    let short = make(&link, "eleven char").expect_err("refused");
    assert!(short.to_string().contains("12 are the least"), "{short}");
    let session = make(&link, "long enough to be good").expect("made");
    assert_eq!(pages.who(&session.token), Some(("ann".to_owned(), Role::Admin, Some(1))));
    assert!(matches!(make(&link, "long enough to be good"), Err(AdminRefusal::CallerUnknown)), "the link is used up");
    let second = pages.service.make_link(LinkPurpose::FirstAdministrator).expect("randomness");
    assert!(matches!(make(&second, "long enough to be good"), Err(AdminRefusal::NotEmpty)));
    assert!(!pages.run(pages.service.is_unclaimed()).expect("the database works"));
    assert!(pages.try_sign_in("ann", "long enough to be good").is_some());
    let written = database.lines("SELECT action, actor FROM audit_event ORDER BY id");
    assert_eq!(written, ["entity-create first-administrator", "credential-create first-administrator"]);
    assert_eq!(database.violations(), []);
}

#[test]
fn a_link_signs_in_once() {
    let database = TestDatabase::new(&sample_data());
    let pages = Pages::on(&database);
    let link = pages.service.make_link(LinkPurpose::SignIn("admin".to_owned())).expect("randomness");
    let by = |link: &str| pages.run(pages.service.sign_in_by_link(&pages.context(), link)).expect("the database works");
    assert!(by("guessed").is_none());
    let session = by(&link).expect("signed in");
    assert_eq!(pages.who(&session.token), Some(("admin".to_owned(), Role::Admin, Some(1))));
    assert!(by(&link).is_none());
    let of_nobody = pages.service.make_link(LinkPurpose::SignIn("gone".to_owned())).expect("randomness");
    assert!(by(&of_nobody).is_none());
}

#[test]
fn refusals_and_uses_of_credentials_are_noted_behind_the_calls() {
    let database = TestDatabase::new(&sample_data());
    let mut pages = Pages::with(&database, Options { refusals_kept_max: 3, ..Options::default() });
    let password = || Some(Password::new(PASSWORD.to_owned()));
    let identity =
        |pages: &Pages, user: &str, password| Identity::of_password(Some(user.to_owned()), password, &pages.context());
    let assign = |pages: &Pages, username: &str, entity_id: i32| {
        let context = pages.context();
        let request = AssignRequest {
            username: Some(username.into()),
            provider_entity_id: Some(entity_id),
            license_type: Some(LicenseType::SqlBackup),
        };
        let identity = identity(pages, "Agent", password());
        let refused = pages.run(pages.service.assign_license(&context, &identity, request)).expect_err("refused");
        pages.service.note_refused("AssignLicense", &context, &refused);
        context.id
    };
    let id = assign(&pages, "anna\0", 999);
    // A wrong password, and a name that there is not.
    for user in ["agent", "AGENT", "nobody"] {
        let wrong = identity(&pages, user, Some(Password::new("wrong".to_owned())));
        let context = pages.context();
        let refused =
            pages.run(pages.service.unassign_license(&context, &wrong, Holding::default())).expect_err("wrong");
        pages.service.note_refused("UnassignLicense", &context, &refused);
    }
    assert_eq!(database.query::<i64>("SELECT count(*) FROM refusal"), 0, "not yet");
    pages.run(pages.service.write_notes());
    pages.run(pages.service.write_notes());
    assert_eq!(
        database.lines(
            "SELECT coalesce(actor, '-'), operation, code, entity_id, license_type, address FROM refusal ORDER BY id"
        ),
        ["- UnassignLicense InvalidSoapCredentials   192.0.2.7"; 3],
        "the newest stay"
    );
    let uses = "SELECT user_name, last_address, failures, last_failure_address FROM credential_use";
    assert_eq!(database.lines(uses), ["agent 192.0.2.7 2 192.0.2.7"], "not of a name that there is not");

    pages.later(1);
    let id_again = assign(&pages, "anna", 42 + 957);
    assert_ne!(id, id_again);
    pages.run(pages.service.write_notes());
    let newest =
        format!("SELECT actor, operation, code, entity_id, username FROM refusal WHERE request_id = '{id_again}'");
    let lines = database.lines(&newest);
    assert!(lines[0].to_lowercase().starts_with("agent assignlicense objectentitymismatch 999 anna"), "{lines:?}");
    assert_eq!(database.lines(uses), ["agent 192.0.2.7 0 192.0.2.7"], "a use ends the count");
    // With the credential goes what is known of its use.
    database.sql("UPDATE credential SET user_name = 'renamed' WHERE user_name = 'agent'");
    assert_eq!(database.query::<i64>("SELECT count(*) FROM credential_use"), 0);
    assert_eq!(database.violations(), []);
}

/// However soon after them: both may be written at once.
#[test]
fn a_sign_in_ends_the_count_of_the_failures_before_it() {
    let database = TestDatabase::new(&sample_data());
    let mut pages = Pages::on(&database);
    let failures = || database.query::<i64>("SELECT failures FROM credential_use WHERE user_name = 'admin'");
    assert!(pages.try_sign_in("admin", "wrong").is_none());
    pages.later(1);
    pages.sign_in("admin");
    pages.run(pages.service.write_notes());
    assert_eq!(failures(), 0, "the last password was right");
    pages.later(2);
    pages.sign_in("admin");
    pages.later(1);
    assert!(pages.try_sign_in("admin", "wrong").is_none());
    pages.run(pages.service.write_notes());
    assert_eq!(failures(), 1, "the last password was wrong");
}

#[test]
fn a_flood_of_strangers_does_not_push_out_what_is_known() {
    let database = TestDatabase::new(&sample_data());
    let pages = Pages::on(&database);
    let missing = Identity::Missing("Send a user name.".to_owned());
    for _ in 0..50 {
        let context = pages.context();
        let refused =
            pages.run(pages.service.unassign_license(&context, &missing, Holding::default())).expect_err("no");
        pages.service.note_refused("UnassignLicense", &context, &refused);
    }
    pages.run(pages.service.write_notes());
    assert_eq!(database.query::<i64>("SELECT count(*) FROM refusal"), 10);
    assert_eq!(pages.service.metrics.notes_left_out.get(), 40);
}

#[test]
fn nothing_is_kept_where_nothing_is_to_be_kept() {
    let database = TestDatabase::new(&sample_data());
    let pages = Pages::with(&database, Options { refusals_kept_max: 0, ..Options::default() });
    let context = pages.context();
    let refused = pages.run(pages.service.principal(&context, &Identity::Nobody)).expect_err("nobody");
    pages.service.note_refused("none", &context, &refused);
    pages.run(pages.service.write_notes());
    assert_eq!(database.query::<i64>("SELECT count(*) FROM refusal"), 0);
}

#[test]
fn a_verification_is_noted() {
    let database = TestDatabase::new(&sample_data());
    let pages = Pages::on(&database);
    pages.service.metrics.verified(std::time::Duration::from_millis(1500));
    pages.run(pages.service.write_notes());
    pages.run(pages.service.write_notes());
    assert_eq!(database.lines("SELECT task, detail FROM upkeep"), ["check nothing wrong; took 1.50 s"]);
}
