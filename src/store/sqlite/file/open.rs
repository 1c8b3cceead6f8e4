//! Opens a database file: creates, migrates or refuses it; the settings of every connection.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::Access;

use super::companions::{beside, in_file};
use super::origin;
use super::restore::{interrupted, second_names};
use super::schema::{self, SCHEMA, differences};
use super::temporary::directory_of;
use crate::store::OpenError;
use crate::store::sqlite::calls::record::set_triggers;

/// The first SQLite whose WAL is safe with concurrent writers.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// The one connection that writes.
pub(crate) fn writer(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    foresee(path)?;
    let connection = admin(path, busy_timeout, false)?;
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(|e| sqlite(path, e))? {
        return Err(read_only(path, "it can only be read"));
    }
    if let Some(what) = differences(&connection, SCHEMA).map_err(|e| sqlite(path, e))?.into_iter().next() {
        return Err(OpenError::Tampered { path: path.to_owned(), what });
    }
    // `record` does their work for calls.
    set_triggers(&connection, false).map_err(|e| sqlite(path, e))?;
    clear_leftovers(&connection).map_err(|e| sqlite(path, e))?;
    Ok(connection)
}

/// Checks that must pass before SQLite sees the file, because it would replay the log of another file into it.
///
/// # Errors
///
/// A missing file, an empty one, one that cannot be written, and one whose log belongs to another file.
pub(crate) fn foresee(path: &Path) -> Result<(), OpenError> {
    let absent = absent(path)?;
    match absent {
        None | Some(OpenError::Empty(_)) => {}
        Some(missing) => return Err(missing),
    }
    can_write(path)?;
    has_one_name(path)?;
    origin::forget_cached_log(path)?;
    // Also for an empty file, because the error is more precise.
    origin::check(path)?;
    absent.map_or(Ok(()), Err)
}

/// SQLite finds the log of a file by the file's name. Programs that open one file under two names have two logs, and overwrite each
/// other's changes.
///
/// # Errors
///
/// A file with a hard link, other than one that an interrupted restore has made.
pub(crate) fn has_one_name(path: &Path) -> Result<(), OpenError> {
    let names = std::fs::metadata(path).map_or(1, |file| file.nlink());
    if names <= 1 || names <= 1 + second_names(path) as u64 {
        return Ok(());
    }
    let reason = "the file has another name (a hard link); programs that use different names overwrite each other's changes. Remove the \
                  other name."
        .to_owned();
    Err(OpenError::Failed { path: path.to_owned(), reason })
}

/// SQLite opens a file that it cannot write for reading only, and keeps its log in the directory.
fn can_write(path: &Path) -> Result<(), OpenError> {
    let log = beside(path, "-wal");
    let directory = log.parent().unwrap_or(Path::new("/"));
    let can = |path: &Path, access| rustix::fs::access(path, access).map_err(|e| read_only(path, &e.to_string()));
    can(path, Access::READ_OK | Access::WRITE_OK)?;
    can(directory, Access::WRITE_OK | Access::EXEC_OK)?;
    for log in ["-wal", "-shm"].map(|suffix| beside(path, suffix)) {
        if log.exists() {
            can(&log, Access::READ_OK | Access::WRITE_OK)?;
        }
    }
    Ok(())
}

fn read_only(path: &Path, why: &str) -> OpenError {
    OpenError::Setting(format!(
        "{}: the service cannot write there ({why}). The database, its '-wal' and '-shm', and their directory must be writable by \
         the account that the service runs as.",
        path.display()
    ))
}

/// Deletes rows that are valid only inside the call or statement that wrote them: the row of a call in a copy or a dump, and
/// notes of changes that did not take place. The triggers are off.
pub(crate) fn clear_leftovers(connection: &Connection) -> rusqlite::Result<()> {
    let found = "SELECT EXISTS (SELECT 1 FROM call) OR EXISTS (SELECT 1 FROM change)";
    match connection.query_row(found, [], |row| row.get(0))? {
        true => connection.execute_batch("DELETE FROM call; DELETE FROM change"),
        false => Ok(()),
    }
}

/// A connection that only makes checkpoints.
pub(crate) fn checkpoints(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    connect(path, busy_timeout, false)
}

/// A connection that only reads.
pub(crate) fn reader(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| sqlite(path, e))?;
    configure(&connection, path, busy_timeout, 512)?;
    connection.pragma_update(None, "query_only", true).map_err(|e| sqlite(path, e))?;
    Ok(connection)
}

/// A connection that writes, with the triggers on. `create`: creates the database if it does not exist or is an empty file.
pub(crate) fn admin(path: &Path, busy_timeout: Duration, create: bool) -> Result<Connection, OpenError> {
    has_one_name(path)?;
    origin::check(path)?;
    // Last, because a service may fail to save and be killed until then: the first connection after that reads the log.
    origin::forget_cached_log(path)?;
    let connection = connect(path, busy_timeout, create)?;
    schema::prepare(&connection, path, create)?;
    use_wal(&connection, path)?;
    Ok(connection)
}

/// A connection to a file with any content. `create`: creates the file if it does not exist; without it an empty file is refused.
pub(crate) fn connect(path: &Path, busy_timeout: Duration, create: bool) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(OpenError::Setting(format!(
            "SQLite {} is linked; 3.51.3 or later is needed (earlier ones can lose writes in WAL mode)",
            rusqlite::version()
        )));
    }
    match absent(path)? {
        None => {}
        Some(OpenError::Empty(_) | OpenError::Missing(_)) if create => match log_alone(path) {
            Some(log_alone) => return Err(log_alone),
            None => create_private_file(path)?,
        },
        Some(absent) => return Err(absent),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| sqlite(path, e))?;
    configure(&connection, path, busy_timeout, 4096)?;
    Ok(connection)
}

/// Why a file cannot be opened as a database: it is empty or missing. For a missing file the error names the files that are left:
/// its log, or files that a restore has kept.
pub(crate) fn absent(path: &Path) -> std::io::Result<Option<OpenError>> {
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() && file.len() == 0 => Ok(Some(OpenError::Empty(path.to_owned()))),
        Ok(file) if file.is_dir() => {
            let reason = "this is a directory: name the database file".to_owned();
            Ok(Some(OpenError::Failed { path: path.to_owned(), reason }))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let left = interrupted(path).or_else(|| log_alone(path));
            Ok(Some(left.unwrap_or_else(|| OpenError::Missing(path.to_owned()))))
        }
        Err(error) => Err(in_file(path, error)),
    }
}

/// The log of a database that is missing or empty. SQLite would delete it silently, and it may be all that is left.
fn log_alone(path: &Path) -> Option<OpenError> {
    let log = beside(path, "-wal");
    let has_changes = std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    has_changes.then(|| OpenError::LogAlone { path: path.to_owned(), log })
}

/// After the schema was made: the first change of a WAL file should not be the switch to WAL itself.
pub(crate) fn use_wal(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|e| sqlite(path, e))?;
    if mode != "wal" {
        return Err(OpenError::Setting(format!(
            "{}: WAL mode is not possible here (journal_mode is '{mode}'). Put the file on a local file system.",
            path.display()
        )));
    }
    Ok(())
}

/// The file has password hashes, so only its owner may read it. The WAL files inherit this.
pub(crate) fn create_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map(drop).map_err(|e| in_file(path, e))
}

/// The settings of every connection, read back because SQLite ignores an unknown PRAGMA.
pub(crate) fn configure(
    connection: &Connection,
    path: &Path,
    busy_timeout: Duration,
    cache_kib: i64,
) -> Result<(), OpenError> {
    let failed = |e| sqlite(path, e);
    connection.busy_timeout(busy_timeout).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(failed)?;
    // Plans do not depend on bound values. Otherwise a statement with a bound LIMIT is prepared again at each use, which costs
    // more than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    // A word in double quotes is a name, never a text: a misspelled column must not become a condition that is always true.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false).map_err(failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false).map_err(failed)?;
    let settings: [(&str, i64); 5] =
        [("synchronous", 2), ("foreign_keys", 1), ("trusted_schema", 0), ("cache_size", -cache_kib), ("temp_store", 2)];
    for (name, value) in settings {
        connection.pragma_update(None, name, value).map_err(failed)?;
        let found: i64 = connection.pragma_query_value(None, name, |row| row.get(0)).map_err(failed)?;
        if found != value {
            return Err(OpenError::Setting(format!("{}: PRAGMA {name} stays {found}", path.display())));
        }
    }
    Ok(())
}

/// The system's error for a file that SQLite cannot open.
fn cannot_open(path: &Path) -> Option<String> {
    let unreadable = rustix::fs::access(path, Access::READ_OK).err().map(|error| error.to_string());
    unreadable.or_else(|| {
        let error = rustix::fs::access(directory_of(path), Access::WRITE_OK | Access::EXEC_OK).err()?;
        Some(format!("SQLite needs files beside it, and cannot make them there ({error}). Copy it, with its '-wal', to another place."))
    })
}

/// The text of an error as one readable line: SQLite quotes the rest of a statement, however long.
pub(crate) fn one_line(error: &rusqlite::Error) -> String {
    const CHARACTERS_MAX: usize = 200;
    let text = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Whether the disk has no room for programs of ordinary users.
fn is_full(directory: &Path) -> bool {
    rustix::fs::statvfs(directory).is_ok_and(|disk| disk.f_bavail == 0)
}

pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> OpenError {
    let (path, reason) = (path.to_owned(), one_line(&source));
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Unreadable { path, reason },
        // The system's error is more precise. Do not open the file to get it: closing it again would release SQLite's locks.
        Some(ErrorCode::CannotOpen) => {
            let reason = cannot_open(&path).unwrap_or_else(|| "unable to open the database file".to_owned());
            OpenError::Failed { path, reason }
        }
        // A full disk is often no more than this to SQLite, such as when it makes the index of the log.
        Some(ErrorCode::SystemIoFailure) if is_full(directory_of(&path)) => {
            OpenError::Failed { path, reason: format!("{reason} (the disk is full)") }
        }
        _ => OpenError::Failed { path, reason },
    }
}
