//! `seatkeeper explain`: why a call was refused, or the outcome of an assignment, and what would make it succeed.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::change::quoted;
use super::table::printable;
use super::{DatabaseArgs, Failure};
use crate::error::{Error, ErrorKind};
use crate::seats::LicenseType;
use crate::store::admin::explain::{self, Decision, ExplainRequest, Explanation, RULES, Remedy};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper explain --database seats.db Err-6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11
  seatkeeper explain --database seats.db --user backup01 --entity 42 --type SqlBackup --credential agent";

#[derive(Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The request id, from the message of the refusal or the log.
    #[arg(value_name = "ERR-ID", required_unless_present = "user", conflicts_with_all = ["user", "entity", "license_type", "credential"])]
    id: Option<String>,
    /// The user that would get the seat.
    #[arg(long, value_name = "NAME", requires_all = ["entity", "license_type"])]
    user: Option<String>,
    /// The provider entity.
    #[arg(long, value_name = "ID", requires = "user")]
    entity: Option<i64>,
    /// SkraftDiskImageV5, SqlBackup or ExchangeBackup.
    #[arg(long = "type", id = "license_type", value_name = "TYPE", requires = "user")]
    license_type: Option<LicenseType>,
    /// The credential that makes the call [default: one that may do everything].
    #[arg(long, value_name = "NAME", requires = "user")]
    credential: Option<String>,
    /// Assume that the service does not enroll users.
    #[arg(long)]
    no_enroll: bool,
    /// The format.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let opened = args.database.open()?;
    let (totals, enroll) = (opened.totals()?, !args.no_enroll);
    let explanation = match (&args.id, &args.user, args.entity, args.license_type) {
        (Some(id), ..) => {
            let id = id.clone();
            opened.read(move |sql, admin| explain::of_refusal(sql, admin, &totals, &id, enroll))?
        }
        (None, Some(user), Some(entity_id), Some(license_type)) => {
            let credential = args.credential.clone();
            let request = ExplainRequest { username: user.clone(), entity_id, license_type, credential };
            opened.read(move |sql, admin| explain::explain(sql, admin, &totals, &request, enroll))?
        }
        // The parser requires one of the two.
        _ => return Ok(()),
    };
    let database = quoted(&args.database.place()?.to_string());
    let text = match args.format {
        Format::Text => lines(&explanation, &database).iter().map(|line| printable(line) + "\n").collect(),
        Format::Json => object(&explanation, &database).to_string() + "\n",
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn lines(explanation: &Explanation, database: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(refusal) = &explanation.refusal {
        let actor = refusal.actor.as_deref().unwrap_or("a caller that was not signed in");
        let address = refusal.address.as_deref().map(|address| format!(" from {address}")).unwrap_or_default();
        lines.push(format!("{}: {} refused {actor}{address}: {}", refusal.at, refusal.operation, refusal.code));
        lines.push(format!("  {}", refusal.message));
    }
    if let Some(request) = &explanation.request {
        let ExplainRequest { username, entity_id, license_type, credential } = request;
        let credential = credential.as_deref().map(|name| format!(", asked by '{name}'")).unwrap_or_default();
        lines.push(format!("now: a {license_type} seat of entity {entity_id} for '{username}'{credential}"));
    }
    if let Some(decision) = &explanation.decision {
        lines.push(format!("  {}", sentence(decision)));
    }
    if let Some((rule, text)) = rule(explanation) {
        lines.push(format!("rule {rule} of {} decides: {text}", RULES.len()));
    }
    if !explanation.facts.is_empty() {
        lines.push("facts:".to_owned());
        lines.extend(explanation.facts.iter().map(|fact| format!("  {fact}")));
    }
    if !explanation.remedies.is_empty() {
        lines.push("what helps:".to_owned());
    }
    let asked = explanation.request.as_ref();
    for remedy in &explanation.remedies {
        lines.push(format!("  {remedy}"));
        lines.extend(command(remedy, asked, database).map(|command| format!("    {command}")));
    }
    lines
}

fn object(explanation: &Explanation, database: &str) -> Value {
    let asked = explanation.request.as_ref();
    json!({
        "refusal": explanation.refusal.as_ref().map(|refusal| json!({
            "at": refusal.at.to_string(),
            "request_id": refusal.request_id,
            "actor": refusal.actor,
            "operation": refusal.operation,
            "code": refusal.code,
            "message": refusal.message,
            "address": refusal.address,
        })),
        "request": explanation.request.as_ref().map(|request| json!({
            "username": request.username,
            "entity_id": request.entity_id,
            "license_type": request.license_type.name(),
            "credential": request.credential,
        })),
        "is_assigned": explanation.decision.as_ref().map(|decision| matches!(decision, Decision::Assigned { .. })),
        "decision": explanation.decision.as_ref().map(sentence),
        "rule": rule(explanation).map(|(number, _)| number),
        "rule_text": rule(explanation).map(|(_, text)| text),
        "facts": explanation.facts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "remedies": explanation.remedies.iter().map(|remedy| json!({
            "key": remedy.key(),
            "text": remedy.to_string(),
            "command": command(remedy, asked, database),
        })).collect::<Vec<_>>(),
    })
}

fn sentence(decision: &Decision) -> String {
    match decision {
        Decision::Assigned { pool_id, enrolls, gives_up } => {
            let enrolls = if *enrolls { "; the user is added" } else { "" };
            let gives_up =
                gives_up.map(|id| format!("; the expired seat of pool {id} is given up")).unwrap_or_default();
            format!("assigned: a seat of pool {pool_id}{enrolls}{gives_up}")
        }
        Decision::Refused(refusal) => {
            let kind = ErrorKind::from(refusal);
            format!("refused: {} {}: {}", kind.result(), kind.code(), Error::from(refusal.clone()))
        }
    }
}

/// The rule that decides, counted from 1, and its text.
fn rule(explanation: &Explanation) -> Option<(usize, &'static str)> {
    let number = explanation.rule?;
    Some((number, *RULES.get(number.checked_sub(1)?)?))
}

/// The command that would help; `None`: it needs a choice, or no command does it.
fn command(remedy: &Remedy, asked: Option<&ExplainRequest>, database: &str) -> Option<String> {
    let user = asked.map(|asked| quoted(&asked.username));
    let arguments = match remedy {
        Remedy::Assign { username, entity_id, license_type } => {
            format!(
                "assign --username {} --entity {entity_id} --license-type {license_type} --enroll",
                quoted(username)
            )
        }
        Remedy::RaisePool { pool_id, seats_total } => format!("pool resize --pool {pool_id} --seats {seats_total}"),
        Remedy::ReleaseOther { pool_id } => format!("who --pool {pool_id}"),
        Remedy::RenewPool { pool_id, .. } => format!("pool set {pool_id} expires_at=DAY"),
        Remedy::StartPool { pool_id, .. } => format!("pool set {pool_id} starts_at="),
        Remedy::AddPool { entity_id, license_type } => {
            format!("pool create entity_id={entity_id} license_type={license_type} seats_total=NUMBER")
        }
        Remedy::ActivateEntity { entity_id } => format!("entity set {entity_id} active=1"),
        Remedy::CreateAccount { username, entity_id } => {
            format!("account create {} entity_id={entity_id}", quoted(&format!("username={username}")))
        }
        Remedy::ActivateCredential { user_name } => format!("credential set {} active=1", quoted(user_name)),
        Remedy::ChangeRole { user_name, role } => format!("credential set {} role={}", quoted(user_name), role.name()),
        Remedy::CheckPassword { user_name: Some(name) } => {
            format!("credential set-password {} --generate", quoted(name))
        }
        Remedy::ReleaseHeld { license_type, .. } => {
            format!("release --username {} --license-type {license_type}", user?)
        }
        Remedy::ActivateAccount { .. } => format!("account set {} active=1", user?),
        Remedy::MoveAccount { .. } => format!("account set {} entity_id=ID", user?),
        Remedy::ChooseEntity { entity_id, .. } => {
            format!("assign --username {} --entity {entity_id} --license-type {}", user?, asked?.license_type)
        }
        Remedy::NothingNeeded
        | Remedy::ChooseUser
        | Remedy::ChooseAnyEntity
        | Remedy::UseCredentialOf { .. }
        | Remedy::CheckPassword { user_name: None }
        | Remedy::CorrectRequest { .. } => return None,
    };
    let (noun, rest) = arguments.split_once(' ').unwrap_or((&arguments, ""));
    // A command with a subcommand takes the database after the subcommand.
    match rest.split_once(' ') {
        Some((verb, rest)) if !verb.starts_with("--") => {
            Some(format!("seatkeeper {noun} {verb} --database {database} {rest}"))
        }
        _ => Some(format!("seatkeeper {noun} --database {database} {rest}")),
    }
}
