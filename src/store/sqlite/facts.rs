//! See [`crate::store::facts`].

use std::path::Path;

use rusqlite::{Connection, ffi};

use super::file::inspect::look;
use super::file::schema::SCHEMA_VERSION;
use crate::store::facts::{COUNTED, Fact};

/// The beginnings of compile options that change how SQLite treats a file.
const OPTIONS: [&str; 9] = [
    "COMPILER",
    "DEFAULT_FOREIGN_KEYS",
    "DEFAULT_WAL",
    "DQS",
    "ENABLE_API_ARMOR",
    "ENABLE_MEMORY",
    "OMIT",
    "TEMP_STORE",
    "THREADSAFE",
];

/// See [`crate::store::facts`].
pub fn facts(path: &Path) -> Vec<Fact> {
    let mut facts = vec![Fact::new("SQLite", format!("{}, {}", rusqlite::version(), options()))];
    match look(path, |look| Ok(of_file(&look.connection()?))) {
        Ok(more) => facts.extend(more),
        Err(error) => facts.push(Fact::new("database", error.kind())),
    }
    facts
}

fn options() -> String {
    let read = || -> rusqlite::Result<Vec<String>> {
        let connection = Connection::open_in_memory()?;
        let mut statement = connection.prepare("PRAGMA compile_options")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    let matter = |option: &String| OPTIONS.iter().any(|beginning| option.starts_with(beginning));
    read().unwrap_or_default().into_iter().filter(matter).collect::<Vec<_>>().join(" ")
}

fn of_file(connection: &Connection) -> Vec<Fact> {
    let mut facts = vec![Fact::new(
        "schema version",
        format!("{}; this program has {SCHEMA_VERSION}", one(connection, "PRAGMA user_version")),
    )];
    for pragma in ["page_size", "page_count", "freelist_count", "auto_vacuum", "encoding"] {
        facts.push(Fact::new(pragma, one(connection, &format!("PRAGMA {pragma}"))));
    }
    for table in COUNTED {
        facts.push(Fact::new(format!("rows of {table}"), one(connection, &format!("SELECT count(*) FROM {table}"))));
    }
    facts.push(Fact::new("seats in use", one(connection, "SELECT count(*) FROM seat WHERE account_id IS NOT NULL")));
    facts.push(Fact::new("newest event", one(connection, "SELECT coalesce(max(id), 0) FROM audit_event")));
    for task in ["backup", "check"] {
        let query = format!("SELECT coalesce(max(at), 'none') FROM upkeep WHERE task = '{task}'");
        facts.push(Fact::new(format!("newest {task}"), one(connection, &query)));
    }
    facts
}

/// The one value of a query. An error is shown by its code, because its text may have names of rows and tables.
fn one(connection: &Connection, query: &str) -> String {
    let value = connection.query_row(query, [], |row| {
        Ok(match row.get_ref(0)? {
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => "of another type".to_owned(),
        })
    });
    value.unwrap_or_else(|error| match error.sqlite_extended_error_code() {
        Some(code) => format!("cannot be read: {} ({code})", ffi::code_to_str(code)),
        None => "cannot be read".to_owned(),
    })
}
