//! The files of a history: archives, oldest events first, and then the database. Each is opened read-only, also without a running
//! service, and on read-only storage.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::archive::start;
use super::verify::open_to_read;
use crate::chain::Link;
use crate::store::OpenError;
use crate::store::history::past::{self, Lives};
use crate::store::history::{Archived, HistoryError, Newest};
use crate::store::sqlite::file::open::sqlite;
use crate::store::sqlite::file::schema::require_newest;

/// "SEAH": `PRAGMA application_id` of archives.
pub(crate) const ARCHIVE_APPLICATION_ID: i32 = 1_397_048_136;
/// The version of an archive's tables: that of the schema when they changed last, so that older archives stay readable.
pub(crate) const ARCHIVE_VERSION: i32 = 4;

/// One file of a history.
pub(crate) struct Source {
    pub path: PathBuf,
    pub connection: Connection,
    /// Events up to this one are in an older file. They may be in both, if a move to an archive was interrupted.
    pub after: i64,
}

impl Source {
    pub(crate) fn failed(&self, error: rusqlite::Error) -> HistoryError {
        sqlite(&self.path, error).into()
    }
}

/// All files of a history, and the missing archives.
pub(crate) struct Sources {
    /// Archives by age, then the database.
    pub all: Vec<Source>,
    /// The archives that were not named.
    pub missing: Vec<Archived>,
    /// All archives, according to the database.
    pub known: Vec<Archived>,
    /// The description of the first archive.
    pub range: Option<Archived>,
}

impl Sources {
    /// Opens the files; the archives must be of this database.
    pub(crate) fn open(database: &Path, archives: &[PathBuf]) -> Result<Sources, HistoryError> {
        let sources = Sources::open_unchecked(database, archives)?;
        for source in &sources.all[..sources.all.len() - 1] {
            let range = archived(&source.connection).map_err(|e| source.failed(e))?;
            let belongs = |range| belongs(&sources.database().connection, &sources.known, &source.connection, range);
            range
                .iter()
                .try_for_each(belongs)
                .map_err(|reason| HistoryError::Archive { path: source.path.clone(), reason })?;
        }
        Ok(sources)
    }

    /// Opens the files, even if they do not belong together.
    pub(crate) fn open_unchecked(path: &Path, files: &[PathBuf]) -> Result<Sources, HistoryError> {
        let database = open_database(path)?;
        let known = archived(&database).map_err(|e| sqlite(path, e))?;
        let mut archives = Vec::new();
        for path in files {
            let (connection, range) = open_archive(path)?;
            archives.push((range, path.clone(), connection));
        }
        archives.sort_by_key(|(range, ..)| (range.first_event, range.last_event));
        let covered = |known: &Archived| {
            archives
                .iter()
                .any(|(range, ..)| range.first_event <= known.first_event && known.last_event <= range.last_event)
        };
        let missing = known.iter().filter(|known| !covered(known)).cloned().collect();
        let range = archives.first().map(|(range, ..)| range.clone());
        let mut after = i64::MIN;
        let mut all = Vec::new();
        for (_, path, connection) in archives {
            // Its content, not its description: otherwise a false number could hide events of the database.
            let newest: Option<i64> = connection
                .query_row("SELECT max(id) FROM audit_event", [], |row| row.get(0))
                .map_err(|e| sqlite(&path, e))?;
            all.push(Source { path, connection, after });
            after = after.max(newest.unwrap_or(i64::MIN));
        }
        all.push(Source { path: path.to_owned(), connection: database, after });
        Ok(Sources { all, missing, known, range })
    }

    /// The event before the first one read.
    pub(crate) fn start(&self) -> rusqlite::Result<Option<Link>> {
        match &self.range {
            Some(range) => Ok(range.start()),
            None => start(&self.database().connection),
        }
    }

    /// The differences between the archives and the events that the database moved to them.
    pub(crate) fn other_than_moved(&self) -> rusqlite::Result<Vec<String>> {
        let mut found = Vec::new();
        for known in self.known.iter().filter(|known| !self.missing.contains(known)) {
            let (id, hash) = (known.last_event, "SELECT hash FROM audit_event WHERE id = ?1");
            let archives = &self.all[..self.all.len() - 1];
            let mut is_there = false;
            for archive in archives.iter().filter(|archive| archive.after < id) {
                let hash =
                    archive.connection.query_row(hash, [id], |row| row.get::<_, Option<Vec<u8>>>(0)).optional()?;
                is_there |= hash.flatten().as_ref() == Some(&known.hash);
            }
            if !is_there {
                found.push(format!(
                    "event {id} in the archives is not the one that was moved there, or has another hash"
                ));
            }
        }
        Ok(found)
    }

    pub(crate) fn database(&self) -> &Source {
        self.all.last().expect("the database is always there")
    }
}

/// The newest chained event.
pub(crate) fn head(connection: &Connection) -> rusqlite::Result<Option<Link>> {
    let newest = "SELECT id, hash FROM audit_event WHERE hash IS NOT NULL ORDER BY id DESC LIMIT 1";
    connection.query_row(newest, [], |row| Ok(Link { event: row.get(0)?, hash: row.get(1)? })).optional()
}

/// See [`crate::store::history::newest`].
pub fn newest(database: &Path) -> Result<Option<Newest>, OpenError> {
    let connection = open_database(database)?;
    let read = || -> rusqlite::Result<Option<Newest>> {
        // One transaction, so that all reads see one snapshot.
        connection.execute_batch("BEGIN")?;
        let Some(link) = head(&connection)? else { return Ok(None) };
        let counts =
            "SELECT count(*) + coalesce((SELECT sum(events) FROM audit_archive), 0), sum(id > ?1) FROM audit_event";
        let (events, unchained) =
            connection.query_row(counts, [link.event], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        Ok(Some(Newest { link, events: events - unchained, unchained }))
    };
    read().map_err(|e| sqlite(database, e))
}

/// Opens a database of this program's version for reading.
pub(crate) fn open_database(path: &Path) -> Result<Connection, OpenError> {
    let connection = open_to_read(path)?;
    if numbers(&connection).map_err(|e| sqlite(path, e))?.0 == ARCHIVE_APPLICATION_ID {
        return Err(OpenError::Setting(format!(
            "{}: this is an archive of events: name the database with --database and this file with --archive",
            path.display()
        )));
    }
    require_newest(&connection, path).map(|()| connection)
}

fn numbers(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((number("application_id")?, number("user_version")?))
}

/// Opens an archive for reading; returns its description too.
pub(crate) fn open_archive(path: &Path) -> Result<(Connection, Archived), HistoryError> {
    let connection = open_to_read(path).map_err(|error| match error {
        OpenError::Missing(path) => HistoryError::Archive { path, reason: "there is no such file".to_owned() },
        OpenError::Empty(path) => HistoryError::Archive { path, reason: "the file is empty".to_owned() },
        other => other.into(),
    })?;
    let numbers = numbers(&connection).map_err(|e| sqlite(path, e))?;
    if numbers != (ARCHIVE_APPLICATION_ID, ARCHIVE_VERSION) {
        let reason = "this is not an archive of events, or it is one of another version".to_owned();
        return Err(HistoryError::Archive { path: path.to_owned(), reason });
    }
    let range = archived(&connection).map_err(|e| sqlite(path, e))?;
    let [range] = <[Archived; 1]>::try_from(range).map_err(|_| HistoryError::Archive {
        path: path.to_owned(),
        reason: "its table audit_archive must have one row".to_owned(),
    })?;
    Ok((connection, range))
}

/// Checks that an archive belongs to this database: its events were moved out of the database, or are still in it too.
fn belongs(database: &Connection, known: &[Archived], archive: &Connection, range: &Archived) -> Result<(), String> {
    let hash = |connection: &Connection, id: i64| {
        let hash = "SELECT hash FROM audit_event WHERE id = ?1";
        connection.query_row(hash, [id], |row| row.get::<_, Option<Vec<u8>>>(0)).optional().map(Option::flatten)
    };
    let of_archive = |id| hash(archive, id).map_err(|e| e.to_string());
    if let Some(known) = known.iter().find(|known| known.first_event == range.first_event) {
        return match of_archive(known.last_event)? {
            Some(found) if found == known.hash => Ok(()),
            Some(_) => Err(format!("event {} has another hash than the database says", known.last_event)),
            None => Err(format!(
                "it should hold events {} to {}, but event {} is not in it",
                known.first_event, known.last_event, known.last_event
            )),
        };
    }
    match (hash(database, range.last_event).map_err(|e| e.to_string())?, of_archive(range.last_event)?) {
        (Some(here), Some(there)) if here == there => Ok(()),
        _ => Err("it is no archive of this database".to_owned()),
    }
}

/// The archives in the table of a database or an archive.
pub(crate) fn archived(connection: &Connection) -> rusqlite::Result<Vec<Archived>> {
    let rows = "SELECT file, first_event, last_event, events, until, hash, previous_hash FROM audit_archive ORDER BY first_event";
    connection.prepare(rows)?.query_map([], row_of_archive)?.collect()
}

fn row_of_archive(row: &Row<'_>) -> rusqlite::Result<Archived> {
    Ok(Archived {
        file: text(row, 0)?.unwrap_or_default(),
        first_event: row.get(1)?,
        last_event: row.get(2)?,
        events: row.get(3)?,
        until: text(row, 4)?.unwrap_or_default(),
        hash: row.get(5)?,
        previous_hash: row.get(6)?,
    })
}

/// A text that may be invalid: one bad name must not hide the rest.
pub(crate) fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    let value = row.get_ref(index)?;
    Ok(match value {
        rusqlite::types::ValueRef::Null => None,
        rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        rusqlite::types::ValueRef::Integer(number) => Some(number.to_string()),
        rusqlite::types::ValueRef::Real(number) => Some(number.to_string()),
    })
}

/// The entity and type of each pool over time.
pub(crate) fn lives(sources: &Sources) -> Result<Lives, HistoryError> {
    let mut lives = Lives::default();
    for source in &sources.all {
        read_events(&mut lives, source).map_err(|e| source.failed(e))?;
    }
    let database = sources.database();
    read_pools(&mut lives, &database.connection).map_err(|e| database.failed(e))?;
    Ok(lives)
}

fn read_events(lives: &mut Lives, source: &Source) -> rusqlite::Result<()> {
    let mut statement = source.connection.prepare(POOL_EVENTS)?;
    let mut rows = statement.query([source.after])?;
    while let Some(row) = rows.next()? {
        let action = text(row, 2)?.unwrap_or_default();
        lives.add_event(row.get(0)?, row.get(1)?, &action, row.get(3)?, text(row, 4)?);
    }
    Ok(())
}

fn read_pools(lives: &mut Lives, database: &Connection) -> rusqlite::Result<()> {
    let mut statement = database.prepare("SELECT id, entity_id, license_type FROM license_pool")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        lives.add_pool(row.get(0)?, row.get(1)?, text(row, 2)?);
    }
    Ok(())
}

const POOL_EVENTS: &str = "
    SELECT id, pool_id, action, entity_id, license_type FROM audit_event INDEXED BY audit_event_of_pool
     WHERE pool_id IS NOT NULL AND seat_no IS NULL AND id > ?1
     ORDER BY id";

/// The ids of an entity and of those below it: in the present tree, and deleted entities where they were.
pub(crate) fn below(sources: &Sources, entity_id: i64) -> Result<HashSet<i64>, HistoryError> {
    let mut children: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut add = |source: &Source, query: &str| -> rusqlite::Result<()> {
        let mut statement = source.connection.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            children.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
        Ok(())
    };
    let database = sources.database();
    add(database, "SELECT parent_id, id FROM entity WHERE parent_id IS NOT NULL").map_err(|e| database.failed(e))?;
    for source in &sources.all {
        add(source, DELETED_ENTITIES).map_err(|e| source.failed(e))?;
    }
    Ok(past::below(entity_id, children))
}

const DELETED_ENTITIES: &str = "
    SELECT json_extract(old_values, '$.parent_id'), entity_id FROM audit_event
     WHERE action = 'entity-delete' AND entity_id IS NOT NULL AND json_valid(old_values)
       AND json_extract(old_values, '$.parent_id') IS NOT NULL";

/// The account that has this name now.
pub(crate) fn account_named(database: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    database.query_row("SELECT id FROM account WHERE username = ?1", params![name], |row| row.get(0)).optional()
}
