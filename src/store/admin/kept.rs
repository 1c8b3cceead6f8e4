//! Rows that only the service writes, for administrators: sessions of the pages, refusals, uses of credentials, upkeep. No events, and no
//! triggers in the way. Each function runs inside a transaction of [`crate::store::Administrators::keep`].

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use super::{AdminRefusal, Dialect, Sql, Stop, Value, first};
use crate::error::Who;
use crate::seats::Role;
use crate::store::{Credential, TicketProof};

/// A session that is to be kept: never its secret.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub proof: TicketProof,
    pub created_at: Timestamp,
    /// When it ends if it is not used.
    pub expires_at: Timestamp,
    /// When it ends in any case.
    pub ends_at: Timestamp,
    pub address: Option<IpAddr>,
}

/// The owner of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// As the store spells it.
    pub user_name: String,
    pub role: Role,
    pub entity_id: i64,
}

/// Keeps a session of a credential that was proved against exactly this hash, and ends some that have expired.
pub fn begin_session(sql: &dyn Sql, proved: &Credential, session: &NewSession) -> Result<SignedIn, Stop> {
    let dialect = sql.dialect();
    let key = dialect.name_key("user_name");
    // So that a change of the credential that ends its sessions comes before this one or ends it too.
    let lock = if dialect == Dialect::Postgres { " FOR SHARE" } else { "" };
    let text = format!(
        "SELECT user_name, role, entity_id FROM credential WHERE {key} = $1 AND password_hash = $2 AND active = 1{lock}"
    );
    let row = first(sql, &text, &[Value::name(&proved.user_name), Value::from(&*proved.password_hash)])?
        .ok_or(AdminRefusal::CallerUnknown)?;
    let signed_in = SignedIn { user_name: row.text(0)?, role: role(&row.text(1)?)?, entity_id: row.int(2)? };
    sql.change(
        "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at <= $1 ORDER BY expires_at LIMIT 100)",
        &[Value::Time(session.created_at)],
    )?;
    // It may be there already: then its commit was not answered.
    sql.change(
        "INSERT INTO session (id, secret_hash, user_name, created_at, expires_at, ends_at, address)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
        &[
            Value::from(session.proof.id.to_string()),
            Value::from(session.proof.secret_hash.to_vec()),
            Value::from(signed_in.user_name.as_str()),
            Value::Time(session.created_at),
            Value::Time(session.expires_at),
            Value::Time(session.ends_at),
            Value::from(session.address.map(|address| address.to_string())),
        ],
    )?;
    Ok(signed_in)
}

fn role(name: &str) -> Result<Role, Stop> {
    name.parse().map_err(|_| Stop::Failed(crate::store::StoreError::Failed(format!("'{name}' is no role"))))
}

/// Lets a session that is still valid live until then, or until it ends in any case.
pub fn renew_session(sql: &dyn Sql, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Result<(), Stop> {
    sql.change(
        "UPDATE session SET expires_at = CASE WHEN $3 < ends_at THEN $3 ELSE ends_at END
          WHERE id = $1 AND expires_at > $2 AND ends_at > $2 AND expires_at < $3",
        &[Value::from(id.to_string()), Value::Time(now), Value::Time(expires_at)],
    )
    .map(drop)
}

/// Ends the session with this proof; whether there was one.
pub fn end_session(sql: &dyn Sql, proof: &TicketProof) -> Result<bool, Stop> {
    let values = [Value::from(proof.id.to_string()), Value::from(proof.secret_hash.to_vec())];
    Ok(sql.change("DELETE FROM session WHERE id = $1 AND secret_hash = $2", &values)? > 0)
}

/// Ends all sessions and tickets of the user whose session this is; how many.
pub fn end_all_sessions(sql: &dyn Sql, proof: &TicketProof, now: Timestamp) -> Result<u64, Stop> {
    let text = "SELECT user_name FROM session WHERE id = $1 AND secret_hash = $2 AND expires_at > $3 AND ends_at > $3";
    let values = [Value::from(proof.id.to_string()), Value::from(proof.secret_hash.to_vec()), Value::Time(now)];
    let user_name = first(sql, text, &values)?.ok_or(AdminRefusal::CallerUnknown)?.text(0)?;
    let key = sql.dialect().name_key("user_name");
    let of_user = [Value::name(&user_name)];
    let sessions = sql.change(&format!("DELETE FROM session WHERE {key} = $1"), &of_user)?;
    let tickets = sql.change(&format!("DELETE FROM ticket WHERE {key} = $1"), &of_user)?;
    Ok(sessions + tickets)
}

/// Whether there is no credential, so that no caller can sign in yet.
pub fn is_unclaimed(sql: &dyn Sql) -> Result<bool, Stop> {
    Ok(first(sql, "SELECT 1 FROM credential LIMIT 1", &[])?.is_none())
}

/// A call that was refused.
#[derive(Debug, Clone)]
pub struct RefusedCall {
    pub at: Timestamp,
    pub request_id: Uuid,
    /// `None`: not proved.
    pub who: Option<Who>,
    pub operation: &'static str,
    pub code: &'static str,
    pub message: String,
    pub entity_id: Option<i32>,
    pub username: Option<String>,
    pub license_type: Option<&'static str>,
    pub address: IpAddr,
}

/// The last use of a credential.
#[derive(Debug, Clone)]
pub struct CredentialUse {
    pub who: Who,
    pub at: Timestamp,
    pub address: IpAddr,
}

/// Wrong passwords for a user name.
#[derive(Debug, Clone)]
pub struct SignInFailures {
    pub user_name: String,
    pub count: u32,
    /// Of the last.
    pub at: Timestamp,
    pub address: IpAddr,
}

/// A task of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Backup,
    Check,
}

impl Task {
    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Task::Backup => "backup",
            Task::Check => "check",
        }
    }
}

/// Notes of the service since it last wrote some; written behind the calls.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// In the order of the calls.
    pub refusals: Vec<RefusedCall>,
    pub uses: Vec<CredentialUse>,
    pub failures: Vec<SignInFailures>,
    /// When the database was verified, and how that went.
    pub check: Option<(Timestamp, String)>,
}

impl Notes {
    pub fn is_empty(&self) -> bool {
        self.refusals.is_empty() && self.uses.is_empty() && self.failures.is_empty() && self.check.is_none()
    }
}

/// Longest text of a note that is stored, in characters.
const TEXT_MAX: usize = 512;

/// Writes notes; of refusals the newest `refusals_max` stay.
pub fn write(sql: &dyn Sql, notes: &Notes, refusals_max: u64) -> Result<(), Stop> {
    for refused in &notes.refusals {
        let actor = refused.who.as_ref().map(|who| user_name(sql, who)).transpose()?.flatten();
        sql.change(
            "INSERT INTO refusal (at, request_id, actor, operation, code, message, entity_id, username, license_type, address)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                Value::Time(refused.at),
                Value::from(refused.request_id.to_string()),
                text(actor.as_deref()),
                Value::from(refused.operation),
                Value::from(refused.code),
                text(Some(&refused.message)),
                Value::from(refused.entity_id),
                text(refused.username.as_deref()),
                Value::from(refused.license_type),
                Value::from(refused.address.to_string()),
            ],
        )?;
    }
    if !notes.refusals.is_empty() {
        let max = i64::try_from(refusals_max).unwrap_or(i64::MAX);
        sql.change("DELETE FROM refusal WHERE id <= (SELECT max(id) FROM refusal) - $1", &[Value::Int(max)])?;
    }
    write_uses(sql, notes)?;
    if let Some((at, detail)) = &notes.check {
        note_upkeep(sql, Task::Check, *at, detail)?;
    }
    Ok(())
}

/// A use of a credential, or failures before or after it.
enum Noted<'n> {
    Used(&'n CredentialUse),
    Failed(&'n SignInFailures),
}

fn write_uses(sql: &dyn Sql, notes: &Notes) -> Result<(), Stop> {
    let dialect = sql.dialect();
    let (name, key) = (dialect.name_key("user_name"), dialect.name_unique("user_name"));
    let of_use = format!(
        "INSERT INTO credential_use (user_name, last_used_at, last_address)
         SELECT user_name, $2, $3 FROM credential WHERE {name} = $1
             ON CONFLICT ({key}) DO UPDATE
            SET last_used_at = excluded.last_used_at, last_address = excluded.last_address, failures = 0
          WHERE credential_use.last_used_at IS NULL OR credential_use.last_used_at <= excluded.last_used_at"
    );
    let of_failure = format!(
        "INSERT INTO credential_use (user_name, failures, last_failure_at, last_failure_address)
         SELECT user_name, CAST($2 AS INTEGER), $3, $4 FROM credential WHERE {name} = $1
             ON CONFLICT ({key}) DO UPDATE
            SET failures = CASE WHEN credential_use.failures > 1000000000 THEN credential_use.failures ELSE credential_use.failures + excluded.failures END,
                last_failure_at = excluded.last_failure_at, last_failure_address = excluded.last_failure_address"
    );
    let mut noted = Vec::with_capacity(notes.uses.len() + notes.failures.len());
    for used in &notes.uses {
        if let Some(name) = user_name(sql, &used.who)? {
            noted.push((name.to_ascii_lowercase(), used.at, Noted::Used(used)));
        }
    }
    for failed in &notes.failures {
        noted.push((failed.user_name.to_ascii_lowercase(), failed.at, Noted::Failed(failed)));
    }
    // Names in one order on all nodes, so that none waits for another that waits for it; of one name as it happened, because a use ends the
    // count of the failures before it.
    noted.sort_by(|(one, a, _), (other, b, _)| one.cmp(other).then(a.cmp(b)));
    for (name, at, what) in noted {
        match what {
            Noted::Used(used) => {
                let values = [Value::Text(name), Value::Time(at), Value::from(used.address.to_string())];
                sql.change(&of_use, &values)?;
            }
            Noted::Failed(failed) => {
                let values = [
                    text(Some(&name)),
                    Value::Int(failed.count.into()),
                    Value::Time(at),
                    Value::from(failed.address.to_string()),
                ];
                sql.change(&of_failure, &values)?;
            }
        }
    }
    Ok(())
}

/// Says when a task was done last.
pub fn note_upkeep(sql: &dyn Sql, task: Task, at: Timestamp, detail: &str) -> Result<(), Stop> {
    sql.change(
        "INSERT INTO upkeep (task, at, detail) VALUES ($1, $2, $3)
             ON CONFLICT (task) DO UPDATE SET at = excluded.at, detail = excluded.detail WHERE upkeep.at <= excluded.at",
        &[Value::from(task.name()), Value::Time(at), text(Some(detail))],
    )
    .map(drop)
}

/// The user name behind a ticket or session; `None`: it has ended meanwhile.
fn user_name(sql: &dyn Sql, who: &Who) -> Result<Option<String>, Stop> {
    let (table, id) = match who {
        Who::Name(name) => return Ok(Some(name.clone())),
        Who::Ticket(id) => ("ticket", id),
        Who::Session(id) => ("session", id),
    };
    let text = format!("SELECT user_name FROM {table} WHERE id = $1");
    first(sql, &text, &[Value::from(id.to_string())])?.map(|row| row.text(0)).transpose()
}

/// Text from outside: of bounded length, and without the NUL that PostgreSQL cannot hold.
fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| {
        Value::Text(text.chars().take(TEXT_MAX).map(|c| if c == '\0' { '\u{FFFD}' } else { c }).collect())
    })
}
