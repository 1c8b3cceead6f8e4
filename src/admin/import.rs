//! Many rows at once: pasted or uploaded as CSV, tried line by line, all of them or none.

use std::sync::Arc;

use maud::html;

use super::change::{self, Plan};
use super::form::{Control, Errors, Field};
use super::frame::Section;
use super::list;
use super::query::Query;
use super::visit::{Answer, Stopped, Visit};
use super::words::Words;
use crate::auth;
use crate::seats::Role;
use crate::store::admin::bulk::{self, Import, Kind, Table};
use crate::store::admin::file::Cell;
use crate::store::admin::totals::TotalsCache;
use crate::store::admin::{Admin, AdminRefusal, Page, Sql, Start, Stop, Value};

/// Bytes of an import at most.
pub(super) const BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) async fn page(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let kinds = Kind::ALL.map(|kind| (kind.name().to_owned(), kind_name(words, kind).to_owned()));
    let fields = vec![
        Field::new("kind", words.what_rows(), Control::Choice(kinds.to_vec())),
        Field::new("csv", words.paste(), Control::Csv),
        Field::new("file", words.or_file(), Control::File),
        Field::new("enroll", words.enroll(), Control::Check),
    ];
    let mut plan = Plan::new(Section::Import, words.import(), fields).intro(html! {
        p { (words.import_intro()) }
        details {
            summary { (words.import_columns()) }
            dl.facts { @for kind in Kind::ALL { dt { (kind_name(words, kind)) } dd { code { (kind.columns().join(",")) } } } }
        }
        p {
            (words.rows_to_import()) " "
            @for kind in Kind::ALL { a href=(visit.link(&format!("import/{}.csv", kind.name()))) { (kind_name(words, kind)) } " " }
        }
    });
    plan.has_file = true;
    if visit.form.is_none() {
        let (me, ()) = visit.look_as(Role::Admin, |_, _| Ok(())).await?;
        return Ok(plan.form(&visit, &me, &visit.query, &Errors::default()));
    }
    // A browser sends no file back to a form: what was in it comes back as text.
    if let Some(sent) = visit.form.as_ref().filter(|sent| sent.text("step") == "form" && sent.get("file").is_some()) {
        let (me, ()) = visit.look_as(Role::Admin, |_, _| Ok(())).await?;
        let values = sent.with("csv", sent.text("file")).without(&["file"]);
        return Ok(plan.form(&visit, &me, &values, &Errors::default()));
    }
    let read = |sent: &Query| {
        let mut errors = Errors::default();
        let kind = sent.text("kind").parse::<Kind>().unwrap_or(Kind::Users);
        let text = sent.get("file").or(sent.get("csv")).unwrap_or_default();
        match Table::read(kind, text.as_bytes()) {
            Ok(table) => return Ok(Import { kind, table, enroll: sent.flag("enroll"), check_hash: auth::check_hash }),
            Err(AdminRefusal::Nothing) => errors.add("csv", words.import_empty()),
            Err(AdminRefusal::Lines(lines)) => {
                errors.whole.extend(lines.iter().map(|(line, why)| words.line(*line, why)));
            }
            Err(other) => errors.whole.push(words.refusal(&other)),
        }
        Err(errors)
    };
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, bulk::import).await?))
}

/// The rows that there are, with the columns that an import reads: to be changed and imported again.
pub(super) async fn rows(visit: Arc<Visit>) -> Answer {
    let format = visit.file_format().ok_or(Stopped::NotFound)?;
    list::export::<Importable>(visit, format).await
}

struct Importable;

impl list::Export for Importable {
    type Filter = Kind;
    type Row = Vec<Value>;

    fn name(kind: &Kind) -> &'static str {
        kind.name()
    }

    fn columns(kind: &Kind) -> Vec<&'static str> {
        bulk::export_columns(*kind)
    }

    fn filter(visit: &Visit) -> Result<Kind, Stopped> {
        let name = visit.segment(1).split('.').next().unwrap_or_default();
        name.parse().map_err(|_| Stopped::NotFound)
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        _: &TotalsCache,
        kind: &Kind,
        start: Start,
        rows: usize,
    ) -> Result<Page<Vec<Value>>, Stop> {
        bulk::export(sql, admin, *kind, None, &start, rows)
    }

    fn cells(row: &Vec<Value>) -> Vec<Cell> {
        let cell = |value: &Value| match value {
            Value::Int(number) => Cell::Number(*number),
            Value::Text(text) => text.as_str().into(),
            _ => Cell::Empty,
        };
        row.iter().map(cell).collect()
    }
}

fn kind_name(words: Words, kind: Kind) -> &'static str {
    match kind {
        Kind::Entities => words.entities(),
        Kind::Users => words.users(),
        Kind::Assignments => words.assignments(),
        Kind::Pools => words.pools(),
        Kind::Credentials => words.credentials(),
    }
}
