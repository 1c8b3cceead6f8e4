//! A store on a database of its own, with module owners in it, called through its trait as the service calls it.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use seatkeeper::license::{Owner, Presented, Terms};
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{LicenseType, Refusal};
use seatkeeper::store;
use seatkeeper::store::{
    Activation, Actor, Call, Credential, ModulesRequest, NewTicket, Owners, OwnersRequest, Principal, Reply, Store,
    TicketProof,
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::harness::*;

/// When calls are made, unless a test says otherwise.
pub const NOW: &str = "2026-06-01T12:00:00Z";

pub const DISK: LicenseType = LicenseType::SkraftDiskImageV5;
pub const SQL: LicenseType = LicenseType::SqlBackup;
pub const EXCHANGE: LicenseType = LicenseType::ExchangeBackup;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime")
});

/// Entities 1 > 42 > 420, 42 > 45, 1 > 43, 1 > 44, and 9 beside them; all but 45 are owners, 44 is not active.
/// Credentials at 1: `reader`, `agent`, `admin`, `gone` (not active); at 42 `contoso`, at 420 `west`, at 9 `elsewhere`,
/// all three admins. Accounts 1 `bob`, 2 `amy`, 6 `closed` (not active) and 7 `Contoso` of 42, 3 `wes` of 420, 4 `fay` of
/// 43, 5 `eve` of 9. Open pools of 42: 1 (3 SqlBackup), 4 (10 SkraftDiskImageV5); 2 has expired, 3 not begun.
pub fn seed() -> String {
    let hash = &*PASSWORD_HASH;
    format!(
        "INSERT INTO entity (id, parent_id, name, owner_name, active) VALUES
             (1, NULL, 'Northwind', 'NORTHWIND', 1), (42, 1, 'Contoso', 'CONTOSO', 1), (43, 1, 'Fabrikam', 'FABRIKAM', 1),
             (420, 42, 'Contoso West', 'CONTOSOWEST', 1), (45, 42, 'Contoso East', NULL, 1), (44, 1, 'Closed', 'CLOSED', 0),
             (9, NULL, 'Somebody else', 'ELSEWHERE', 1);
         UPDATE entity SET serial_nr = '1010000014', owner_description = 'Backup of Contoso', shop_url = 'https://shop.example/',
                admin_warning_at = '2027-01-01T00:00:00Z', expires_at = '2027-02-01T00:00:00Z', grace_at = '9999-12-31T23:59:59Z'
          WHERE id = 42;
         INSERT INTO credential (user_name, password_hash, entity_id, role, active) VALUES
             ('reader', '{hash}', 1, 'reader', 1), ('agent', '{hash}', 1, 'agent', 1), ('admin', '{hash}', 1, 'admin', 1),
             ('gone', '{hash}', 1, 'admin', 0), ('contoso', '{hash}', 42, 'admin', 1), ('west', '{hash}', 420, 'admin', 1),
             ('elsewhere', '{hash}', 9, 'admin', 1);
         INSERT INTO account (id, username, entity_id, active) VALUES
             (1, 'bob', 42, 1), (2, 'amy', 42, 1), (3, 'wes', 420, 1), (4, 'fay', 43, 1), (5, 'eve', 9, 1),
             (6, 'closed', 42, 0), (7, 'Contoso', 42, 1);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at, expires_at, product_key) VALUES
             (1, 42, 'SqlBackup', 3, NULL, '2027-01-01T00:00:00Z', 'KEY-1'), (2, 42, 'SqlBackup', 4, NULL, '{NOW}', NULL),
             (3, 42, 'SqlBackup', 5, '2026-06-01T12:00:01Z', NULL, NULL), (4, 42, 'SkraftDiskImageV5', 10, '{NOW}', NULL, NULL),
             (5, 420, 'SqlBackup', 2, NULL, NULL, NULL), (6, 43, 'ExchangeBackup', 6, NULL, '2020-01-01T00:00:00Z', NULL),
             (7, 44, 'SqlBackup', 7, NULL, NULL, NULL), (8, 9, 'SqlBackup', 8, NULL, NULL, NULL);"
    )
}

pub struct Licenses {
    database: TestDatabase,
    pub store: Arc<dyn Store>,
}

impl Licenses {
    pub fn new() -> Licenses {
        Licenses::with(&seed())
    }

    pub fn with(seed: &str) -> Licenses {
        let database = TestDatabase::new(seed);
        let store = database.open(&store::Options::default(), Arc::new(Metrics::new()));
        Licenses { database, store }
    }

    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// Runs SQL as an administrator does while the service runs.
    #[track_caller]
    pub fn sql(&self, script: &str) {
        self.database.sql(script);
    }

    pub fn try_sql(&self, script: &str) -> Result<(), SqlError> {
        self.database.try_sql(script)
    }

    /// The first column of the first row.
    #[track_caller]
    pub fn query<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.database.query(query)
    }

    #[track_caller]
    pub fn is_sound(&self) {
        assert_eq!(self.database.violations(), []);
    }

    /// Every row of every table, but for what becomes of an event when it is chained.
    pub fn rows(&self) -> Vec<String> {
        self.database.session().all_rows()
    }

    pub fn owners(&self, who: &str, owners: Owners, associate_id: Option<i32>) -> Result<Vec<Owner>, Refusal> {
        wait(self.store.owners(call(who), OwnersRequest { owners, associate_id }))
    }

    /// The one owner of this name, seen by somebody who may see everything.
    pub fn owner(&self, name: &str) -> Owner {
        let mut owners = self.owners("cli", named(name), None).expect("allowed");
        assert_eq!(owners.len(), 1, "{name}");
        owners.remove(0)
    }

    pub fn assign(&self, who: &str, associate_id: i32, owner: &str, types: &[LicenseType]) -> Result<Owner, Refusal> {
        wait(self.store.assign_modules(call(who), modules(associate_id, owner, types)))
    }

    pub fn release(&self, who: &str, associate_id: i32, owner: &str, types: &[LicenseType]) -> Result<Owner, Refusal> {
        wait(self.store.release_modules(call(who), modules(associate_id, owner, types)))
    }

    pub fn activate(&self, who: &str, activation: Activation, dry_run: bool) -> Result<(), Refusal> {
        wait(self.store.activate(call(who), activation, dry_run))
    }

    pub fn remove(&self, who: &str, owner: &str) -> Result<(), Refusal> {
        wait(self.store.remove_license(call(who), owner.to_owned()))
    }

    pub fn issue(&self, by: Call, ticket: &TicketProof, expires_at: &str) -> Result<Principal, Refusal> {
        wait(self.store.issue_ticket(by, NewTicket { proof: ticket.clone(), expires_at: at(expires_at) }))
    }

    pub fn principal(&self, by: Call) -> Result<Principal, Refusal> {
        wait(self.store.principal(by))
    }
}

fn modules(associate_id: i32, owner: &str, types: &[LicenseType]) -> ModulesRequest {
    ModulesRequest { associate_id, owner_name: owner.to_owned(), license_types: types.to_vec() }
}

/// The answer of a store that did its work.
pub fn wait<T>(reply: Reply<'_, T>) -> T {
    try_wait(reply).expect("the store works")
}

pub fn try_wait<T>(reply: Reply<'_, T>) -> Result<T, store::StoreError> {
    RUNTIME.block_on(reply)
}

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A call of its own by the credential of this name, proved by the password of every sample; `cli`: at the command line.
pub fn call(who: &str) -> Call {
    let actor = match who {
        "cli" => Actor::command_line(),
        name => Actor::Credential(Credential { user_name: name.into(), password_hash: PASSWORD_HASH.as_str().into() }),
    };
    Call { id: Uuid::new_v4(), now: at(NOW), actor, name: None, trail: None }
}

pub fn call_by_ticket(proof: &TicketProof, now: &str) -> Call {
    Call { id: Uuid::new_v4(), now: at(now), actor: Actor::Ticket(proof.clone()), name: None, trail: None }
}

/// What the issuer grants an owner, as a caller would hand it back.
pub fn presented(owner: &Owner) -> Activation {
    Activation::Presented(Presented {
        owner_name: Some(owner.name.clone()),
        company_name: Some(owner.issued().company_name.clone()),
        modules: LicenseType::ALL
            .map(|t| (t.module_name().to_owned(), i32::try_from(owner.issued().seats[t.index()]).expect("a number")))
            .into(),
        ..Presented::default()
    })
}

pub fn named(name: &str) -> Owners {
    Owners::Named(name.to_owned())
}

pub fn names(owners: &[Owner]) -> String {
    owners.iter().map(|owner| owner.name.as_str()).collect::<Vec<_>>().join(" ")
}

/// Name, and of each type the seats in use, a star if one is held, and the seats; then what is offered.
pub fn line(owner: &Owner) -> String {
    let of = |t: LicenseType| {
        let at = t.index();
        let star = if owner.held[at] { "*" } else { "" };
        format!(" {}{star}/{}", owner.in_use[at], owner.current.seats[at])
    };
    let numbers = LicenseType::ALL.map(of).concat();
    let offered = owner.offered.as_ref().map_or(String::new(), |Terms { seats, .. }| format!(" offered {seats:?}"));
    format!("{}{numbers}{offered}", owner.name)
}

pub fn lines(owners: &[Owner]) -> Vec<String> {
    owners.iter().map(line).collect()
}
