//! Why a seat is refused or given: the facts that decide, the rule that fires, and what would make the call succeed.
//!
//! The decision is that of [`crate::seats::assign`], made of the facts of this moment. Nothing is changed, and the facts are only those that
//! the administrator may see.

mod facts;

pub use facts::Fact;

use jiff::Timestamp;

use super::credentials::{self, CredentialRow};
use super::pools::PoolRow;
use super::refusals::{self, RefusalRow};
use super::scope::{Scope, entity_names};
use super::search::if_found;
use super::totals::Totals;
use super::{Admin, Sql, Stop, first};
use crate::license::POOL_SEATS_MAX;
use crate::seats::{self, AssignRequest, LicenseType, Refusal, Role, UserName};

/// The assignment to explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainRequest {
    pub username: String,
    pub entity_id: i64,
    pub license_type: LicenseType,
    /// The credential that asks; `None`: the administrator itself.
    pub credential: Option<String>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The refusal that is explained; `None`: an assignment was asked about.
    pub refusal: Option<RefusalRow>,
    /// The assignment that was decided again; `None`: the refused call was no assignment, or did not say all that one needs.
    pub request: Option<ExplainRequest>,
    /// The outcome that an assignment would have now; `None`: as above.
    pub decision: Option<Decision>,
    /// Of [`RULES`], counted from 1: the one that refuses, or of a seat that would be given the last one.
    pub rule: Option<usize>,
    pub facts: Vec<Fact>,
    /// The remedies, the simplest first.
    pub remedies: Vec<Remedy>,
}

/// The outcome of an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A seat of this pool. `enrolls`: the user is added to the accounts first. `gives_up`: the pool of an expired seat that it loses.
    Assigned {
        pool_id: i64,
        enrolls: bool,
        gives_up: Option<i64>,
    },
    Refused(Refusal),
}

/// The rules, in the order in which they are asked. The first that is not met refuses.
pub const RULES: [&str; 12] = [
    "The caller is signed in with an active credential.",
    "The credential has the role agent or admin.",
    "The user name is given and valid.",
    "The provider entity is given and positive.",
    "The license type is given.",
    "The provider entity exists and is among the entities of the credential.",
    "The provider entity is active.",
    "The user is known, or the service enrolls users.",
    "The user is active and belongs to the entities of the credential.",
    "The user holds no seat of this type in a pool that has not expired.",
    "The provider entity has a pool of this type that has begun and not expired.",
    "One of these pools has a free seat.",
];

/// Something that would make the call succeed. Pages offer a button for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// The call would succeed now.
    Assign {
        username: String,
        entity_id: i64,
        license_type: LicenseType,
    },
    /// Nothing needs to be done: the user has what was asked for.
    NothingNeeded,
    /// Give a pool this number of seats.
    RaisePool {
        pool_id: i64,
        seats_total: i64,
    },
    /// Release a seat of another holder in the pool.
    ReleaseOther {
        pool_id: i64,
    },
    /// Release the seat that the user holds.
    ReleaseHeld {
        account_id: i64,
        license_type: LicenseType,
    },
    /// Move the end of a pool.
    RenewPool {
        pool_id: i64,
        expired_at: Timestamp,
    },
    /// Let a pool begin now.
    StartPool {
        pool_id: i64,
        starts_at: Timestamp,
    },
    AddPool {
        entity_id: i64,
        license_type: LicenseType,
    },
    ActivateEntity {
        entity_id: i64,
    },
    ActivateAccount {
        account_id: i64,
    },
    /// Move the account to an entity that the credential reaches.
    MoveAccount {
        account_id: i64,
    },
    CreateAccount {
        username: String,
        entity_id: i64,
    },
    /// Another user name: this one belongs to others.
    ChooseUser,
    /// Another provider entity: this one has an open pool with free seats.
    ChooseEntity {
        entity_id: i64,
        name: String,
        free: i64,
    },
    /// A provider entity that the credential reaches: none was found that has free seats.
    ChooseAnyEntity,
    /// A credential that reaches the entity.
    UseCredentialOf {
        entity_id: i64,
    },
    ActivateCredential {
        user_name: String,
    },
    ChangeRole {
        user_name: String,
        role: Role,
    },
    /// The password is wrong, or it was changed.
    CheckPassword {
        user_name: Option<String>,
    },
    /// The field of the request that is wrong.
    CorrectRequest {
        field: String,
    },
}

impl Remedy {
    /// The name of the kind, for catalogues and JSON.
    pub const fn key(&self) -> &'static str {
        match self {
            Remedy::Assign { .. } => "assign",
            Remedy::NothingNeeded => "nothing-needed",
            Remedy::RaisePool { .. } => "raise-pool",
            Remedy::ReleaseOther { .. } => "release-other",
            Remedy::ReleaseHeld { .. } => "release-held",
            Remedy::RenewPool { .. } => "renew-pool",
            Remedy::StartPool { .. } => "start-pool",
            Remedy::AddPool { .. } => "add-pool",
            Remedy::ActivateEntity { .. } => "activate-entity",
            Remedy::ActivateAccount { .. } => "activate-account",
            Remedy::MoveAccount { .. } => "move-account",
            Remedy::CreateAccount { .. } => "create-account",
            Remedy::ChooseUser => "choose-user",
            Remedy::ChooseEntity { .. } => "choose-entity",
            Remedy::ChooseAnyEntity => "choose-any-entity",
            Remedy::UseCredentialOf { .. } => "use-credential-of",
            Remedy::ActivateCredential { .. } => "activate-credential",
            Remedy::ChangeRole { .. } => "change-role",
            Remedy::CheckPassword { .. } => "check-password",
            Remedy::CorrectRequest { .. } => "correct-request",
        }
    }
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Remedy::Assign { username, entity_id, license_type } => {
                write!(
                    f,
                    "Assign a {license_type} seat of entity {entity_id} to '{username}': the call would succeed now."
                )
            }
            Remedy::NothingNeeded => f.write_str("Nothing needs to be done: the user holds such a seat already."),
            Remedy::RaisePool { pool_id, seats_total } => write!(f, "Raise pool {pool_id} to {seats_total} seats."),
            Remedy::ReleaseOther { pool_id } => write!(f, "Release a seat of pool {pool_id} that is no longer needed."),
            Remedy::ReleaseHeld { license_type, .. } => {
                write!(f, "Release the {license_type} seat that the user holds.")
            }
            Remedy::RenewPool { pool_id, expired_at } => {
                write!(f, "Renew pool {pool_id}, which expired at {expired_at}.")
            }
            Remedy::StartPool { pool_id, starts_at } => {
                write!(f, "Let pool {pool_id} begin now; it is to begin at {starts_at}.")
            }
            Remedy::AddPool { entity_id, license_type } => {
                write!(f, "Add a {license_type} pool to entity {entity_id}.")
            }
            Remedy::ActivateEntity { entity_id } => write!(f, "Activate entity {entity_id}."),
            Remedy::ActivateAccount { .. } => f.write_str("Activate the user."),
            Remedy::MoveAccount { .. } => f.write_str("Move the user to an entity that the credential reaches."),
            Remedy::CreateAccount { username, entity_id } => {
                write!(f, "Add the user '{username}' to entity {entity_id}.")
            }
            Remedy::ChooseUser => f.write_str("Use another user name: this one belongs to others."),
            Remedy::ChooseEntity { entity_id, name, free } => {
                write!(f, "Use provider entity {entity_id} ({name}), which has {}.", seats::counted(*free, "free seat"))
            }
            Remedy::ChooseAnyEntity => f.write_str("Use a provider entity that the credential reaches."),
            Remedy::UseCredentialOf { entity_id } => {
                write!(f, "Use a credential that reaches entity {entity_id}.")
            }
            Remedy::ActivateCredential { user_name } => write!(f, "Activate the credential '{user_name}'."),
            Remedy::ChangeRole { user_name, role } => {
                write!(f, "Give the credential '{user_name}' the role {}.", role.name())
            }
            Remedy::CheckPassword { user_name: Some(name) } => {
                write!(f, "Check the password of '{name}' at the client, or set a new one.")
            }
            Remedy::CheckPassword { user_name: None } => {
                f.write_str("Check the user name and the password at the client.")
            }
            Remedy::CorrectRequest { field } => write!(f, "Correct {field} in the request."),
        }
    }
}

/// Explains the refusal of a request; its id may begin with `Err-`. `enroll`: whether the service enrolls users.
pub fn of_refusal(
    sql: &dyn Sql,
    admin: &Admin,
    totals: &Totals,
    request_id: &str,
    enroll: bool,
) -> Result<Explanation, Stop> {
    let refusal = refusals::of_request(sql, admin, request_id)?;
    // A credential that is gone, or that the administrator may not see, is no reason to explain nothing: the administrator stands in.
    let credential = match &refusal.actor {
        Some(actor) => if_found(credentials::one(sql, admin, actor))?.map(|row| row.user_name),
        None => None,
    };
    let asked = || {
        Some(ExplainRequest {
            username: refusal.username.clone()?,
            entity_id: refusal.entity_id?,
            license_type: refusal.license_type.as_ref()?.parse().ok()?,
            credential,
        })
    };
    let mut explanation = match asked().filter(|_| refusal.is_proved && is_assignment(&refusal.operation)) {
        Some(request) => explain(sql, admin, totals, &request, enroll)?,
        None => without_decision(&refusal),
    };
    explanation.refusal = Some(refusal);
    Ok(explanation)
}

/// Whether an operation assigns seats, by its name on any surface.
fn is_assignment(operation: &str) -> bool {
    let operation = operation.to_ascii_lowercase();
    operation.contains("assign") && !operation.contains("unassign")
}

fn without_decision(refusal: &RefusalRow) -> Explanation {
    let (rule, remedies) = match refusal.is_proved {
        false => (Some(1), vec![Remedy::CheckPassword { user_name: None }]),
        true => (None, Vec::new()),
    };
    Explanation { refusal: None, request: None, decision: None, rule, facts: Vec::new(), remedies }
}

/// Explains what an assignment would come to now. `enroll`: whether the service enrolls users.
pub fn explain(
    sql: &dyn Sql,
    admin: &Admin,
    totals: &Totals,
    request: &ExplainRequest,
    enroll: bool,
) -> Result<Explanation, Stop> {
    let caller = Caller::of(sql, admin, request.credential.as_deref())?;
    let read = facts::read(sql, admin, &caller, request, enroll)?;
    let asked = AssignRequest {
        username: Some(UserName::from(request.username.as_str())),
        provider_entity_id: i32::try_from(request.entity_id).ok(),
        license_type: Some(request.license_type),
    };
    let decided = seats::assign(&asked, &read.rules, enroll, admin.now);
    let (decision, rule, remedies) = match decided {
        Ok(assignment) => {
            let decision = Decision::Assigned {
                pool_id: assignment.seat.pool_id,
                enrolls: assignment.account_id.is_none(),
                gives_up: assignment.give_up.map(|seat| seat.pool_id),
            };
            let ExplainRequest { username, entity_id, license_type, .. } = request.clone();
            (decision, RULES.len(), vec![Remedy::Assign { username, entity_id, license_type }])
        }
        Err(refusal) => {
            let remedies = remedies(sql, admin, totals, &caller, request, &read, &refusal)?;
            let rule = rule(&refusal, read.account.is_some());
            (Decision::Refused(refusal), rule, remedies)
        }
    };
    Ok(Explanation {
        refusal: None,
        request: Some(request.clone()),
        decision: Some(decision),
        rule: Some(rule),
        facts: read.facts,
        remedies,
    })
}

/// Which rule gives a refusal.
fn rule(refusal: &Refusal, is_known: bool) -> usize {
    match refusal {
        Refusal::CallerUnknown => 1,
        Refusal::RoleTooLow { .. } => 2,
        Refusal::Field { field: "Username", .. } => 3,
        Refusal::Field { field: "LicenseType", .. } => 5,
        Refusal::Field { .. } => 4,
        Refusal::EntityUnknown { .. } => 6,
        Refusal::ProviderInactive { .. } => 7,
        Refusal::AccountNotEnrolled { .. } if !is_known => 8,
        Refusal::AccountNotEnrolled { .. } | Refusal::AccountUnavailable { .. } => 9,
        Refusal::AlreadyAssigned { .. } => 10,
        Refusal::NoPool { .. } | Refusal::PoolExpired { .. } => 11,
        _ => 12,
    }
}

/// The caller of the explained assignment.
struct Caller {
    /// `None`: the administrator itself.
    credential: Option<CredentialRow>,
    /// `None`: it may not call.
    role: Option<Role>,
    /// `None`: it reaches every entity.
    root: Option<i64>,
}

impl Caller {
    fn of(sql: &dyn Sql, admin: &Admin, credential: Option<&str>) -> Result<Caller, Stop> {
        let Some(name) = credential else {
            return Ok(Caller { credential: None, role: Some(admin.role), root: admin.entity_id });
        };
        let row = credentials::one(sql, admin, name)?;
        let role = row.active.then_some(row.role);
        Ok(Caller { role, root: Some(row.entity_id), credential: Some(row) })
    }

    fn name(&self) -> Option<String> {
        self.credential.as_ref().map(|row| row.user_name.clone())
    }
}

/// Other entities that are proposed.
const CHOICES_MAX: usize = 5;

fn remedies(
    sql: &dyn Sql,
    admin: &Admin,
    totals: &Totals,
    caller: &Caller,
    request: &ExplainRequest,
    read: &facts::Read,
    refusal: &Refusal,
) -> Result<Vec<Remedy>, Stop> {
    let (entity_id, license_type) = (request.entity_id, request.license_type);
    let add_pool = Remedy::AddPool { entity_id, license_type };
    let others = || choices(sql, admin, totals, caller, request);
    Ok(match refusal {
        Refusal::CallerUnknown => match &caller.credential {
            Some(row) if !row.active => vec![Remedy::ActivateCredential { user_name: row.user_name.clone() }],
            _ => vec![Remedy::CheckPassword { user_name: caller.name() }],
        },
        Refusal::RoleTooLow { least, .. } => match caller.name() {
            Some(user_name) => vec![Remedy::ChangeRole { user_name, role: *least }],
            None => vec![Remedy::ChangeRole { user_name: admin.name.clone(), role: *least }],
        },
        Refusal::Field { field, .. } => vec![Remedy::CorrectRequest { field: (*field).to_owned() }],
        Refusal::EntityUnknown { .. } => {
            let exists = first(sql, "SELECT 1 FROM entity WHERE id = $1", &[entity_id.into()])?.is_some();
            let mut remedies = others()?;
            if exists && Scope::of(sql, admin).has(entity_id)? {
                remedies.insert(0, Remedy::UseCredentialOf { entity_id });
            }
            if remedies.is_empty() {
                remedies.push(Remedy::ChooseAnyEntity);
            }
            remedies
        }
        Refusal::ProviderInactive { .. } => {
            let mut remedies = vec![Remedy::ActivateEntity { entity_id }];
            remedies.extend(others()?);
            remedies
        }
        Refusal::AccountNotEnrolled { .. } if read.account.is_none() => match read.is_of_others {
            true => vec![Remedy::ChooseUser],
            false => vec![Remedy::CreateAccount { username: request.username.trim().to_owned(), entity_id }],
        },
        Refusal::AccountNotEnrolled { .. } | Refusal::AccountUnavailable { .. } => match &read.account {
            Some((id, active)) if !active => vec![Remedy::ActivateAccount { account_id: *id }],
            Some((id, _)) => vec![Remedy::MoveAccount { account_id: *id }, Remedy::UseCredentialOf { entity_id }],
            None => vec![Remedy::ChooseUser],
        },
        Refusal::AlreadyAssigned { .. } => {
            let held = read.account.map(|(account_id, _)| Remedy::ReleaseHeld { account_id, license_type });
            [Remedy::NothingNeeded].into_iter().chain(held.filter(|_| read.is_held_visible)).collect()
        }
        Refusal::NoPool { .. } => {
            let next = read.pools.iter().filter_map(|pool| Some((pool.starts_at?, pool.id))).min();
            let start = next.map(|(starts_at, pool_id)| Remedy::StartPool { pool_id, starts_at });
            start.into_iter().chain([add_pool]).chain(others()?).collect()
        }
        Refusal::PoolExpired { .. } => {
            let is_over = |pool: &&PoolRow| pool.expires_at.is_some_and(|at| at <= admin.now);
            let last = read.pools.iter().filter(is_over).filter_map(|pool| Some((pool.expires_at?, pool.id))).max();
            let renew = last.map(|(expired_at, pool_id)| Remedy::RenewPool { pool_id, expired_at });
            renew.into_iter().chain([add_pool]).chain(others()?).collect()
        }
        Refusal::NoFreeSeat { .. } => {
            let is_open = |pool: &&PoolRow| pool.state == super::pools::PoolState::Open;
            // Like an activation: seats are added to the pool that lasts longest.
            let longest = read.pools.iter().filter(is_open).filter(|pool| pool.seats_total < POOL_SEATS_MAX);
            let longest = longest.max_by_key(|pool| (pool.expires_at.unwrap_or(Timestamp::MAX), pool.id));
            let mut remedies: Vec<Remedy> = longest
                .map(|pool| Remedy::RaisePool { pool_id: pool.id, seats_total: pool.seats_total + 1 })
                .into_iter()
                .collect();
            let fullest = read.pools.iter().filter(is_open).max_by_key(|pool| (pool.seats_in_use, pool.id));
            remedies.extend(
                fullest.filter(|pool| pool.seats_in_use > 0).map(|pool| Remedy::ReleaseOther { pool_id: pool.id }),
            );
            remedies.push(add_pool);
            remedies.extend(others()?);
            remedies
        }
        _ => Vec::new(),
    })
}

/// Other entities that the caller reaches and that have free seats of the type, those with the most first.
fn choices(
    sql: &dyn Sql,
    admin: &Admin,
    totals: &Totals,
    caller: &Caller,
    request: &ExplainRequest,
) -> Result<Vec<Remedy>, Stop> {
    let mut free: std::collections::HashMap<i64, i64> = std::collections::HashMap::new();
    for pool in &totals.pools {
        let is_open = pool.state(admin.now) == super::pools::PoolState::Open;
        let is_choice = pool.license_type == request.license_type && pool.entity_id != request.entity_id;
        if is_open && is_choice && pool.seats_in_use < pool.seats_total {
            *free.entry(pool.entity_id).or_default() += pool.seats_total - pool.seats_in_use;
        }
    }
    let is_usable = |entity_id: i64| {
        totals.entity(entity_id).is_some_and(|entity| entity.active)
            && caller.root.is_none_or(|root| totals.is_below(entity_id, root))
    };
    let mut free: Vec<(i64, i64)> = free.into_iter().filter(|(entity_id, _)| is_usable(*entity_id)).collect();
    free.sort_unstable_by_key(|(entity_id, free)| (std::cmp::Reverse(*free), *entity_id));
    free.truncate(CHOICES_MAX);
    // By the tree as it is now, and only the part that the administrator may see.
    let names = entity_names(&Scope::of(sql, admin), free.iter().map(|(entity_id, _)| *entity_id))?;
    let choice = |(entity_id, free): (i64, i64)| {
        let name = names.get(&entity_id)?.clone();
        Some(Remedy::ChooseEntity { entity_id, name, free })
    };
    Ok(free.into_iter().filter_map(choice).collect())
}
