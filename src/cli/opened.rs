//! The open database of a command: reads, lists page by page, and changes, through [`crate::store::admin`].

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::{CannotRun, DatabaseArgs, Failure};
use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::seats::Role;
use crate::store::admin::totals::Totals;
use crate::store::admin::{self, Admin, AdminRefusal, ChangeOptions, Changed, Page, ROWS_MAX, Sql, Start, Stop};
use crate::store::{self, Actor, Call, Store, StoreError};

/// Closes the store on drop.
pub(super) struct Opened {
    store: Arc<dyn Store>,
    runtime: Runtime,
}

impl DatabaseArgs {
    pub(super) fn open(&self) -> Result<Opened, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        // No io::Error: that would mean a receipt that could not be written, and a change that was made.
        let runtime = runtime.map_err(|e| CannotRun(format!("the command cannot start: {e}")))?;
        let store = store::open(self.place()?, &store::Options::default(), Arc::new(Metrics::new()))?;
        Ok(Opened { store, runtime })
    }
}

impl Opened {
    /// Runs reads in one snapshot.
    pub(super) fn read<T: Send + Sync + 'static>(
        &self,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<T, Failure> {
        let call = self.call(Uuid::new_v4(), None);
        let read = self.runtime.block_on(admin::read(&*self.store, call, Role::Reader, work));
        read.map_err(not_done)?.map_err(refused)
    }

    /// The tree of entities with its numbers. Some lists need it for their selection.
    pub(super) fn totals(&self) -> Result<Arc<Totals>, Failure> {
        self.read(|sql, admin| Totals::read(sql, admin.now)).map(Arc::new)
    }

    /// Reads a whole list and passes on each row. Each page is a transaction of its own, so that a slow reader delays no other call.
    pub(super) fn list<R: Send + Sync + 'static>(
        &self,
        page: impl Fn(&dyn Sql, &Admin, &Start, usize) -> Result<Page<R>, Stop> + Send + Sync + 'static,
        mut row: impl FnMut(R) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let page = Arc::new(page);
        let mut start = Start::First;
        loop {
            let found = {
                let (page, start) = (Arc::clone(&page), start.clone());
                self.read(move |sql, admin| page(sql, admin, &start, ROWS_MAX))?
            };
            found.rows.into_iter().try_for_each(&mut row)?;
            match found.next {
                Some(key) => start = Start::After(key),
                None => return Ok(()),
            }
        }
    }

    /// Changes what is not part of the history.
    pub(super) fn change_unrecorded<T: Send + Sync + 'static>(
        &self,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<T, Failure> {
        let call = self.call(Uuid::new_v4(), None);
        let changed = self.runtime.block_on(admin::change(&*self.store, call, ChangeOptions::default(), work));
        Ok(changed.map_err(not_done)?.map_err(refused)?.value)
    }

    /// Makes a change, all or nothing. `author`: the name in the history; `None`: `cli`.
    pub(super) fn change<T: Send + Sync + 'static>(
        &self,
        request_id: Uuid,
        author: Option<&str>,
        options: ChangeOptions,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<Result<Changed<T>, AdminRefusal>, Failure> {
        let call = self.call(request_id, author);
        let work = move |sql: &dyn Sql, admin: &Admin| {
            let value = work(sql, admin)?;
            is_recorded(sql, admin)?;
            Ok(value)
        };
        self.runtime.block_on(admin::change(&*self.store, call, options, work)).map_err(not_done)
    }

    fn call(&self, id: Uuid, author: Option<&str>) -> Call {
        let now = self.store.corrected(jiff::Timestamp::now());
        Call { id, now, actor: Actor::CommandLine { name: author.map(Arc::from) }, name: None, trail: None }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.store.close();
    }
}

/// On PostgreSQL the history records what a person's own login changes as a change by hand: in the name of the login, without a request id,
/// so that it would not be found or undone by its receipt.
fn is_recorded(sql: &dyn Sql, admin: &Admin) -> Result<(), Stop> {
    let found = sql.rows(RECORDED, &[admin.request_id.to_string().into()])?;
    match found.is_empty() {
        false => Ok(()),
        true => Err(AdminRefusal::Guard(
            "Commands change something only with the service's login: changes by another login are recorded as made by hand, without a \
             request id. Nothing was changed; use psql, or the service's login."
                .to_owned(),
        )
        .into()),
    }
}

/// Every change of a command has a reason; an index finds such events.
const RECORDED: &str = "SELECT id FROM audit_event WHERE request_id = $1 AND reason IS NOT NULL LIMIT 1";

fn not_done(error: StoreError) -> Failure {
    CannotRun(error.to_string()).into()
}

/// A refusal as a message. A refusal by the rules for seats names the code that clients get.
pub(super) fn refused(refusal: AdminRefusal) -> Failure {
    match refusal {
        AdminRefusal::Rule(refusal) => {
            let kind = ErrorKind::from(&refusal);
            format!("{} {}: {}", kind.result(), kind.code(), Error::from(refusal)).into()
        }
        AdminRefusal::Lines(lines) => {
            for (line, why) in &lines {
                eprintln!("line {line}: {}", super::table::printable(why));
            }
            match lines.len() {
                1 => "1 line cannot be imported; nothing was changed".into(),
                n => format!("{n} lines cannot be imported; nothing was changed").into(),
            }
        }
        other => other.to_string().into(),
    }
}
