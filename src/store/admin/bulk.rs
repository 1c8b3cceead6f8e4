//! Imports: a table as text, each line a row that is made, changed or left as it is; all of it or nothing.
//!
//! [`Table::read`] reads the text, [`import`] does what it says. A dry run of the change is the preview. Everything that is wrong is told at
//! once, by line ([`AdminRefusal::Lines`]): each line is tried, and what a refused one did is undone before the next.
//!
//! The first line names the columns, as the database does. Lines are separated by any line break, cells by comma, semicolon or tab,
//! whichever the first line has. The text is UTF-8 or, with a byte order mark, UTF-16. A column that is left out stays as it is; an empty
//! cell is null, or the default.

mod assignments;
pub mod cells;
mod export;
mod rows;
mod text;

pub use export::{export, export_columns};
pub use text::{BYTES_MAX, LINES_MAX, Table, open_quote};

use super::edit::Work;
use super::{Admin, AdminRefusal, Sql, Stop};

/// What the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Found by `id`; without one each line is a new entity. A parent may stand behind those that are under it.
    Entities,
    /// Found by `id`, or else by `username`.
    Users,
    /// A seat for each line. A user that holds one of the type from that entity or pool is left as it is.
    Assignments,
    /// Found by `id`; without one each line is a new pool.
    Pools,
    /// Found by `user_name`. Passwords come as hashes.
    Credentials,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Entities, Kind::Users, Kind::Assignments, Kind::Pools, Kind::Credentials];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Entities => "entities",
            Kind::Users => "users",
            Kind::Assignments => "assignments",
            Kind::Pools => "pools",
            Kind::Credentials => "credentials",
        }
    }

    /// The columns that a text may have, in the order of a template.
    pub fn columns(self) -> Vec<&'static str> {
        match rows::table(self) {
            Some(table) => table.columns().iter().map(|column| column.name).collect(),
            None => assignments::COLUMNS.to_vec(),
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        let names = || Kind::ALL.map(Kind::name).join(", ");
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("'{name}' is none of {}", names()))
    }
}

/// A table that is to be imported.
#[derive(Debug, Clone)]
pub struct Import {
    pub kind: Kind,
    pub table: Table,
    /// Whether an assignment adds a user that is not known.
    pub enroll: bool,
    /// Says why a password hash cannot be verified.
    pub check_hash: crate::store::CheckHash,
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    pub made: usize,
    pub changed: usize,
    /// Lines that say what is there already.
    pub unchanged: usize,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Made,
    Changed,
    Unchanged,
}

/// Wrong lines reported, at most. The lines after the last of them are not tried.
pub const ERRORS_MAX: usize = 100;

/// Lines that are tried together. Only if one of them is refused each is tried by itself: what a savepoint costs is not paid for each line.
const TOGETHER: usize = 100;

/// Does what each line says.
///
/// # Errors
///
/// [`AdminRefusal::Lines`]; [`AdminRefusal::Nothing`] if every line says what is there already.
pub fn import(sql: &dyn Sql, admin: &Admin, import: &Import) -> Result<Imported, Stop> {
    let work = Work::new(sql, admin)?;
    let mut imported = Imported::default();
    let mut wrong = Vec::new();
    let lines: Vec<&text::Line> = match import.kind {
        Kind::Entities => rows::parents_first(import.table.lines()),
        _ => import.table.lines().iter().collect(),
    };
    for lines in lines.chunks(TOGETHER) {
        let mut outcomes = Vec::with_capacity(lines.len());
        let together = attempt(&work, &mut || {
            outcomes.clear();
            lines.iter().try_for_each(|line| {
                outcomes.push(line_of(&work, import, line)?);
                Ok(())
            })
        })?;
        if together.is_err() {
            outcomes.clear();
            for line in lines {
                let mut outcome = None;
                match attempt(&work, &mut || {
                    outcome = Some(line_of(&work, import, line)?);
                    Ok(())
                })? {
                    Ok(()) => outcomes.extend(outcome),
                    Err(refusal) => wrong.push((line.number, refusal.to_string())),
                }
                if wrong.len() == ERRORS_MAX {
                    break;
                }
            }
        }
        if wrong.len() == ERRORS_MAX {
            break;
        }
        for outcome in outcomes {
            match outcome {
                Outcome::Made => imported.made += 1,
                Outcome::Changed => imported.changed += 1,
                Outcome::Unchanged => imported.unchanged += 1,
            }
        }
    }
    if !wrong.is_empty() {
        wrong.sort_unstable_by_key(|(line, _)| *line);
        return Err(AdminRefusal::Lines(wrong).into());
    }
    if imported.made + imported.changed == 0 {
        return Err(AdminRefusal::Nothing.into());
    }
    Ok(imported)
}

/// Runs steps of which a refusal undoes only what they did.
fn attempt(work: &Work<'_>, steps: &mut dyn FnMut() -> Result<(), Stop>) -> Result<Result<(), AdminRefusal>, Stop> {
    let outcome = work.sql.attempt(steps)?;
    if outcome.is_err() {
        work.forget_entities();
    }
    Ok(outcome)
}

fn line_of(work: &Work<'_>, import: &Import, line: &text::Line) -> Result<Outcome, Stop> {
    match rows::table(import.kind) {
        Some(table) => rows::import(work, table, import, line),
        None => assignments::import(work, import, line),
    }
}
