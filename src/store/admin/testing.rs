//! Pieces of administrators' work, run on a seeded SQLite database, for unit tests:
//!
//! ```text
//! let database = Seeded::new("INSERT INTO entity (id, name) VALUES (1, 'Northwind')");
//! let rows = database.read(|sql, admin| pools::list(sql, admin, &PoolFilter::default(), None, 50)).expect("rows");
//! let changed = database.change(|sql, admin| edit::apply(sql, admin, &edit)).expect("changed");
//! ```
//!
//! In `tests/it` the same is `TestDatabase::read_as_admin` and `TestDatabase::change_as_admin`, on both databases.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Admin, AdminRefusal, ChangeOptions, Changed, Sql, Stop};
use crate::metrics::Metrics;
use crate::seats::Role;
use crate::store::{Actor, Call, Database, Options, Store, open, run_sql};

/// The time of every call.
pub(crate) const NOW: &str = "2026-11-25T12:00:00Z";

/// See the module.
pub(crate) struct Seeded {
    pub(crate) store: Arc<dyn Store>,
    directory: PathBuf,
}

#[allow(dead_code, reason = "which of these are used depends on the tests there are")]
impl Seeded {
    pub(crate) fn new(seed: &str) -> Seeded {
        let directory = std::env::temp_dir().join(format!("seatkeeper-unit-{}", Uuid::new_v4()));
        std::fs::create_dir(&directory).expect("temporary directory");
        let file = directory.join("seats.db");
        run_sql(&file, seed, |password| Ok(password.to_owned())).expect(seed);
        let store = open(&Database::File(file), &Options::default(), Arc::new(Metrics::new())).expect("open");
        Seeded { store, directory }
    }

    /// Reads as the command line, which reaches everything.
    pub(crate) fn read<T: Send + Sync + 'static>(
        &self,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<T, AdminRefusal> {
        wait(super::read(&*self.store, call(), Role::Reader, work)).expect("the database works")
    }

    /// The same as a credential at this entity; it need not exist.
    pub(crate) fn read_at<T: Send + Sync + 'static>(
        &self,
        entity_id: i64,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<T, AdminRefusal> {
        self.read(move |sql, admin| work(sql, &Admin { entity_id: Some(entity_id), ..admin.clone() }))
    }

    /// Changes as the command line.
    pub(crate) fn change<T: Send + Sync + 'static>(
        &self,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<Changed<T>, AdminRefusal> {
        self.change_with(ChangeOptions::default(), work)
    }

    /// The same with a reason, as a dry run, or with the digest of a preview.
    pub(crate) fn change_with<T: Send + Sync + 'static>(
        &self,
        options: ChangeOptions,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<Changed<T>, AdminRefusal> {
        wait(super::change(&*self.store, call(), options, work)).expect("the database works")
    }

    /// The same as a credential at this entity.
    pub(crate) fn change_at<T: Send + Sync + 'static>(
        &self,
        entity_id: i64,
        options: ChangeOptions,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<Changed<T>, AdminRefusal> {
        self.change_with(options, move |sql, admin| work(sql, &Admin { entity_id: Some(entity_id), ..admin.clone() }))
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        self.store.close();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn call() -> Call {
    let now: Timestamp = NOW.parse().expect("a time");
    Call { id: Uuid::new_v4(), now, actor: Actor::command_line(), name: None, trail: None }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(work)
}
