//! Credentials made and changed, and their passwords: typed with the confirmation, or made here and shown once. No password goes through a
//! preview, an address or the history.

use std::sync::Arc;

use axum::response::Response;
use maud::html;
use sha2::{Digest as _, Sha256};

use super::change::{self, Outcome, Plan, is_confirmed};
use super::credentials::named;
use super::edits;
use super::events::credential_address;
use super::form::{Control, Errors, Field};
use super::frame::{self, Page, Section};
use super::parts::note;
use super::query::Query;
use super::rows;
use super::visit::{Answer, Me, Stopped, Visit};
use crate::auth::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, hash_new_password};
use crate::error::Error;
use crate::seats::Role;
use crate::store::admin::credentials::{self, CredentialRow};
use crate::store::admin::edit::{self, Edit, Key, Table};
use crate::store::admin::{Admin, AdminRefusal, Dialect, Sql, Stop, Value, first};

const NEW: &[&str] = &["user_name", "entity_id", "role", "note"];
const CHANGED: &[&str] = &["user_name", "entity_id", "role", "active", "note"];

/// Stands for the password's hash in a preview. The history does not have hashes, so the preview is that of any password.
const PLACEHOLDER: &str = "$argon2id$v=19$m=19456,t=2,p=1$cHJldmlld3ByZXZpZXc$cHJldmlld3ByZXZpZXdwcmV2aWV3cHJldmlldw";

/// Characters of a password that is made here: more than 119 bits.
const MADE_CHARACTERS: usize = 20;
/// None that looks like another one.
const ALPHABET: &[u8; 64] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789-_.+*%!";

/// The password of a confirmation.
struct NewPassword {
    hash: String,
    /// The generated password, shown once; `None`: the caller typed one.
    made: Option<String>,
    errors: Errors,
}

async fn new_password(visit: &Visit, sent: &Query) -> Result<NewPassword, Stopped> {
    let unhashed = |errors| NewPassword { hash: PLACEHOLDER.to_owned(), made: None, errors };
    let mut errors = Errors::default();
    if !is_confirmed(sent) {
        return Ok(unhashed(errors));
    }
    let typed = sent.raw("password").unwrap_or_default();
    if !typed.is_empty() && typed.chars().count() < PASSWORD_CHARS_MIN {
        errors.add("password", visit.words.password_length(PASSWORD_CHARS_MIN));
        return Ok(unhashed(errors));
    }
    if typed.len() > PASSWORD_BYTES_MAX {
        errors.add("password", visit.words.password_long(PASSWORD_BYTES_MAX));
        return Ok(unhashed(errors));
    }
    let made = if typed.is_empty() { Some(make().map_err(Stopped::Failed)?) } else { None };
    let password = made.clone().unwrap_or_else(|| typed.to_owned());
    let hashed = tokio::task::spawn_blocking(move || hash_new_password(&password)).await;
    let failed = |why: String| {
        Stopped::Failed(Error::unexpected("The password could not be hashed.", std::io::Error::other(why)))
    };
    let hash = hashed.map_err(|e| failed(e.to_string()))?.map_err(failed)?;
    Ok(NewPassword { hash, made, errors })
}

fn make() -> Result<String, Error> {
    let mut bytes = [0; MADE_CHARACTERS];
    getrandom::fill(&mut bytes).map_err(|e| Error::unexpected("There is no randomness.", e))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect())
}

fn password_field(visit: &Visit) -> Field {
    Field::new("password", visit.words.password_or_none(), Control::Password)
        .hint(visit.words.password_length(PASSWORD_CHARS_MIN))
}

/// The page after the change: the password, if it was made here.
fn done(visit: &Visit, me: &Me, title: String, name: &str, made: Option<&str>) -> Response {
    let words = visit.words;
    let receipt = format!("history/{}", visit.context().id);
    let Some(made) = made else { return visit.redirect(&receipt) };
    let content = html! {
        (note("good", html! { p { (words.password_set()) } }))
        p { (words.user_name()) ": " bdi { (name) } }
        p { (words.password_once()) }
        p { code.secret translate="no" { (made) } }
        p { a.button href=(visit.link(&receipt)) { (words.to_receipt()) } }
    };
    let page = Page::new(Section::Credentials, title, content)
        .below("credentials", words.credentials())
        .below(credential_address(name), name);
    frame::page(visit, me, &page)
}

/// A new credential.
pub(super) async fn new_credential(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let mut plan = Plan::new(Section::Credentials, words.new_credential(), rows::fields(words, Table::Credential, NEW))
        .below("credentials", words.credentials());
    let Some(sent) = visit.form.clone() else {
        let (me, ()) = visit.look_as(Role::Admin, |_, _| Ok(())).await?;
        let values = visit.query.with("role", "agent");
        return Ok(plan.form(&visit, &me, &values, &Errors::default()));
    };
    // Only administrators make this service compute hashes.
    visit.look_as(Role::Admin, |_, _| Ok(())).await?;
    let password = new_password(&visit, &sent).await?;
    plan.at_the_end.push(password_field(&visit));
    plan.wrong_at_the_end = password.errors;
    let hash = password.hash;
    let read = |sent: &Query| {
        let mut values = rows::values(words, Table::Credential, NEW, sent)?;
        values.push(("password_hash", hash.into()));
        Ok(Edit::Insert { table: Table::Credential, values })
    };
    match change::step(&visit, &plan, read, edit::apply).await? {
        Outcome::Shown(response) => Ok(response),
        Outcome::Done(me, key) => {
            Ok(done(&visit, &me, words.new_credential().to_owned(), &key.to_string(), password.made.as_deref()))
        }
    }
}

async fn credential_of(visit: &Visit) -> Result<(Me, CredentialRow), Stopped> {
    let name = named(visit)?;
    visit.look_as(Role::Admin, move |sql, admin| credentials::one(sql, admin, &name)).await
}

fn plan_for(visit: &Visit, row: &CredentialRow, title: String, fields: Vec<Field>) -> Plan {
    Plan::new(Section::Credentials, title, fields)
        .below("credentials", visit.words.credentials())
        .below(credential_address(&row.user_name), row.user_name.clone())
}

pub(super) async fn credential(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let (me, row) = credential_of(&visit).await?;
    let plan = plan_for(&visit, &row, words.edit_of(&row.user_name), rows::fields(words, Table::Credential, CHANGED));
    if visit.form.is_some() {
        return edits::change_row(&visit, plan, Table::Credential, Key::Name(row.user_name), CHANGED).await;
    }
    let values = rows::shown(vec![
        ("user_name", Some(row.user_name.clone())),
        ("entity_id", Some(row.entity_id.to_string())),
        ("role", Some(row.role.name().to_owned())),
        ("active", Some(u8::from(row.active).to_string())),
        ("note", row.note.clone()),
    ]);
    Ok(plan.form(&visit, &me, &values, &Errors::default()))
}

pub(super) async fn delete(visit: Arc<Visit>) -> Answer {
    let (_, row) = credential_of(&visit).await?;
    let plan = plan_for(&visit, &row, visit.words.delete_of(&row.user_name), Vec::new());
    edits::delete(&visit, plan, Table::Credential, Key::Name(row.user_name)).await
}

/// Another password. It counts at once, and ends what was open with the old one.
pub(super) async fn rotate(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let (me, row) = credential_of(&visit).await?;
    let mut plan = plan_for(&visit, &row, words.rotate_of(&row.user_name), Vec::new())
        .intro(html! { p { (words.rotate_intro()) } });
    let name = row.user_name.clone();
    let Some(sent) = visit.form.clone() else {
        let (_, mark) = visit.look_as(Role::Admin, move |sql, _| mark_of(sql, &name, "")).await?;
        return Ok(plan.form(&visit, &me, &Query::default().with(SEEN, mark), &Errors::default()));
    };
    let password = new_password(&visit, &sent).await?;
    plan.at_the_end.push(password_field(&visit));
    plan.wrong_at_the_end = password.errors;
    let rotation = Rotation { seen: sent.get(SEEN).map(str::to_owned), hash: password.hash, user_name: name };
    match change::step(&visit, &plan, |_| Ok(rotation), replace).await? {
        Outcome::Shown(response) => Ok(response),
        Outcome::Done(me, ..) => {
            Ok(done(&visit, &me, words.rotate_of(&row.user_name), &row.user_name, password.made.as_deref()))
        }
    }
}

/// The hidden field that says which password the form is to replace.
const SEEN: &str = "was-password";

struct Rotation {
    user_name: String,
    hash: String,
    seen: Option<String>,
}

/// The digest of a preview has no hashes, so it is that of any new password. The mark shows that another administrator, or the same form
/// sent twice, has set another one meanwhile: then the password on the page of the first would be wrong.
fn replace(sql: &dyn Sql, admin: &Admin, rotation: &Rotation) -> Result<edit::Key, Stop> {
    let edit = Edit::password(&rotation.user_name, &rotation.hash);
    // Many writers: the row is locked until the end of the change.
    let lock = if sql.dialect() == Dialect::Postgres { " FOR UPDATE" } else { "" };
    if let Some(seen) = &rotation.seen
        && *seen != mark_of(sql, &rotation.user_name, lock)?
    {
        return Err(AdminRefusal::Moved { what: format!("the password of credential {}", rotation.user_name) }.into());
    }
    edit::apply(sql, admin, &edit)
}

/// Tells a password of a credential from the next one, and nothing else about it.
fn mark_of(sql: &dyn Sql, user_name: &str, lock: &str) -> Result<String, Stop> {
    let key = sql.dialect().name_key("user_name");
    let text = format!("SELECT password_hash FROM credential WHERE {key} = $1{lock}");
    let Some(row) = first(sql, &text, &[Value::name(user_name)])? else { return Ok(String::new()) };
    Ok(Sha256::digest(row.text(0)?).iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Ends the tickets and sessions of a credential. They are no rows of the history, so there is nothing to preview or undo.
pub(super) async fn end(visit: Arc<Visit>) -> Answer {
    let (_, row) = credential_of(&visit).await?;
    if visit.form.is_none() {
        return Ok(visit.redirect(&credential_address(&row.user_name)));
    }
    let name = row.user_name.clone();
    let options = crate::store::admin::ChangeOptions::default();
    visit.change(options, move |sql, admin| credentials::sign_out(sql, admin, &name)).await?;
    Ok(visit.redirect(&credential_address(&row.user_name)))
}
