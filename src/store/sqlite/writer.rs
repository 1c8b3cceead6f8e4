//! The writer thread: group commit.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, ffi};
use tokio::sync::{mpsc, oneshot};

use super::file::guard::{Guard, Trouble};
use super::file::schema::SCHEMA_VERSION;
use super::{checkpoint, execute, store_error};
use crate::metrics::Metrics;
use crate::store::health::Health;
use crate::store::{OpenError, Options, Reply, StoreError, Trail};

/// The handle on the connection that writes, and on its thread.
pub(super) struct Writer {
    /// Taken away to close.
    connection: Arc<Mutex<Option<Connection>>>,
    /// Taken away to close: the thread ends when the queue is empty and nothing can be added to it.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Calls that wait or run.
    calls: AtomicUsize,
    groups: Groups,
}

impl Writer {
    /// `checkpoints`: run between two groups.
    pub(super) fn start(
        mut connection: Connection,
        checkpoints: Arc<checkpoint::State>,
        options: &Options,
        metrics: Arc<Metrics>,
        guard: Arc<Guard>,
    ) -> Result<Writer, OpenError> {
        let (sender, receiver) = mpsc::channel(options.queue_calls_max);
        let group_calls_max = options.group_calls_max;
        // The writer waits in its own way; see `begin`.
        connection.busy_timeout(Duration::ZERO).map_err(|e| OpenError::Setting(e.to_string()))?;
        // A change of millions of rows takes a minute and more, and is not stuck.
        let health = Arc::clone(&guard.health);
        let made_step = move || {
            health.progress.step();
            false
        };
        let watched = connection.progress_handler(STEP_OPERATIONS, Some(made_step));
        watched.map_err(|e| OpenError::Setting(e.to_string()))?;
        let connection = Arc::new(Mutex::new(Some(connection)));
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn({
            let groups = Groups {
                metrics: Arc::clone(&metrics),
                checkpoints: Arc::clone(&checkpoints),
                guard: Arc::clone(&guard),
                busy_timeout: options.busy_timeout,
            };
            let connection = Arc::clone(&connection);
            move || groups.write(&connection, receiver, group_calls_max)
        })?;
        Ok(Writer {
            connection,
            queue: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            calls: AtomicUsize::new(0),
            groups: Groups { metrics, checkpoints, guard, busy_timeout: options.busy_timeout },
        })
    }

    /// Runs `work` and returns when it is durable. If the caller disconnects before its turn, it is not run at all. If another
    /// call of its group fails, its changes are undone and it is run again.
    ///
    /// A single call is run on its own thread, which saves two changes of thread; several calls meet in the queue and share
    /// commits.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'_, T> {
        self.run_noted(None, work)
    }

    /// The same; notes in `trail` how long the call waited for its transaction.
    pub(super) fn run_noted<T: Send + 'static>(
        &self,
        trail: Option<Arc<Trail>>,
        work: impl Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'_, T> {
        Box::pin(async move {
            let _counted = Counted(&self.calls);
            let (reply, mut answer) = oneshot::channel();
            let job = Box::new(Pending { work, value: None, reply, since: Instant::now(), trail });
            let alone = self.calls.fetch_add(1, Ordering::Relaxed) == 0;
            let job = if alone { self.run_here(job)? } else { Some(job as Box<dyn Job>) };
            match job {
                None => answer.try_recv().unwrap_or(Err(StoreError::Closed)),
                Some(job) => {
                    self.enqueue(job)?;
                    answer.await.unwrap_or(Err(StoreError::Closed))
                }
            }
        })
    }

    /// The same for work that may take long: always on the writer's thread, never on an async thread.
    pub(super) fn run_queued<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'_, T> {
        Box::pin(async move {
            let _counted = Counted(&self.calls);
            self.calls.fetch_add(1, Ordering::Relaxed);
            let (reply, answer) = oneshot::channel();
            self.enqueue(Box::new(Pending { work, value: None, reply, since: Instant::now(), trail: None }))?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    /// Runs a call on the calling thread if the connection is free; otherwise returns the call.
    ///
    /// It blocks an async thread during a commit, for a few hundred microseconds. Only the writer thread waits for other
    /// programs.
    fn run_here(&self, job: Box<dyn Job>) -> Result<Option<Box<dyn Job>>, StoreError> {
        self.groups.guard.health.check()?;
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        let Ok(guard) = self.connection.try_lock() else { return Ok(Some(job)) };
        let connection = guard.as_ref().ok_or(StoreError::Closed)?;
        match execute(connection, BEGIN) {
            Ok(()) => {
                self.groups.write_group(connection, &mut vec![job]);
                Ok(None)
            }
            Err(error) if is_busy(&error) => Ok(Some(job)),
            Err(error) => Err(store_error(error)),
        }
    }

    /// Runs `work` on the writer's thread in its turn, and waits for it. Not for async threads.
    pub(super) fn run_blocking<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Box::new(Pending { work, value: None, reply, since: Instant::now(), trail: None }))?;
        answer.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    fn enqueue(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let queue = self.sender().ok_or(StoreError::Closed)?;
        queue.try_send(job).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                self.groups.metrics.queue_refused.inc();
                StoreError::QueueFull
            }
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })
    }

    /// Saves a page that stays as it is: to find out whether changes can be saved, or to let the log start over. `None`: the queue
    /// is full, or the store is closed.
    pub(super) fn save_page(&self) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
        let (reply, answer) = oneshot::channel();
        let work = |connection: &Connection| {
            connection.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(store_error)
        };
        let job = Pending { work, value: None, reply, since: Instant::now(), trail: None };
        self.sender()?.try_send(Box::new(job)).ok().map(|()| answer)
    }

    pub(super) fn is_closed(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_none_or(JoinHandle::is_finished) || self.sender().is_none()
    }

    /// Whether the thread has ended by itself, which only a panic outside of a call can cause.
    pub(super) fn has_died(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Answers the queued calls, then ends the thread and closes the connection.
    pub(super) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer thread panicked");
        }
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        connection.iter().for_each(|connection| self.groups.guard.before_close(connection));
    }

    fn sender(&self) -> Option<mpsc::Sender<Box<dyn Job>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One call waiting for the writer.
trait Job: Send {
    fn is_cancelled(&self) -> bool;
    /// When the call arrived.
    fn since(&self) -> Instant;
    /// Its transaction began.
    fn begin(&self, at: Instant);
    /// Does the work and keeps the value until the commit. May be repeated after its changes were undone.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    /// Answers the caller: with the value, if the commit succeeded.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Pending<F, T> {
    work: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    since: Instant,
    trail: Option<Arc<Trail>>,
}

impl<T: Send, F: Fn(&Connection) -> Result<T, StoreError> + Send> Job for Pending<F, T> {
    fn is_cancelled(&self) -> bool {
        self.reply.is_closed()
    }

    fn since(&self) -> Instant {
        self.since
    }

    fn begin(&self, at: Instant) {
        if let Some(trail) = &self.trail {
            trail.waited(at.saturating_duration_since(self.since));
        }
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.value = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Pending { value, reply, .. } = *self;
        // A caller that disconnected meanwhile finds out by a retry.
        let _ = reply.send(outcome.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}

type Group = Vec<Box<dyn Job>>;

/// Writes groups of calls.
struct Groups {
    metrics: Arc<Metrics>,
    checkpoints: Arc<checkpoint::State>,
    guard: Arc<Guard>,
    busy_timeout: Duration,
}

/// Operations of SQLite's virtual machine that count as a step: some milliseconds.
const STEP_OPERATIONS: std::ffi::c_int = 100_000;

const BEGIN: &str = "BEGIN IMMEDIATE";

/// The pause between two tries to get the lock. Programs that write much release it for less than a millisecond at a time;
/// SQLite's own busy handler, with up to 100 ms between two tries, hardly ever hits that moment.
const LOCK_PAUSE: Duration = Duration::from_millis(1);

impl Groups {
    fn write(&self, connection: &Mutex<Option<Connection>>, mut queue: mpsc::Receiver<Box<dyn Job>>, calls_max: usize) {
        let mut group = Group::with_capacity(calls_max);
        while queue.blocking_recv_many(&mut group, calls_max) > 0 {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(connection) = connection.as_ref() else { break };
            match self.begin(connection, &mut group) {
                Ok(()) if group.is_empty() => {}
                Ok(()) => self.write_group(connection, &mut group),
                Err(error) => self.fail(connection, &mut group, &error),
            }
        }
    }

    /// Begins a transaction for the group, or for those of its calls that may still wait for another program's lock: a call is
    /// answered when its own time is up, however many groups are in front of it. If no call is left, no transaction was begun.
    fn begin(&self, connection: &Connection, group: &mut Group) -> Result<(), StoreError> {
        loop {
            group.retain(|job| !job.is_cancelled());
            if group.is_empty() {
                return Ok(());
            }
            self.guard.health.check()?;
            match execute(connection, BEGIN) {
                Ok(()) => return Ok(()),
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(store_error(error)),
            }
            let now = Instant::now();
            let is_late = |job: &mut Box<dyn Job>| now.duration_since(job.since()) >= self.busy_timeout;
            let mut late: Group = group.extract_if(.., is_late).collect();
            match late.is_empty() {
                true => std::thread::sleep(LOCK_PAUSE),
                false => self.fail(connection, &mut late, &StoreError::Locked),
            }
        }
    }

    /// Runs the calls of one group in the open transaction, commits, and only then answers them.
    fn write_group(&self, connection: &Connection, group: &mut Group) {
        // Callers may have disconnected while we waited for the lock.
        group.retain(|job| !job.is_cancelled());
        let begun = Instant::now();
        group.iter().for_each(|job| job.begin(begun));
        self.guard.health.progress.begin(begun);
        self.metrics.group_calls.observe(group.len() as f64);
        let committed = self.commit(connection, group);
        self.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
        match committed {
            Ok(outcomes) => group.drain(..).zip(outcomes).for_each(|(job, outcome)| job.answer(outcome)),
            Err(failure) => self.fail(connection, group, &failure),
        }
        if self.guard.health.check().is_ok() {
            self.checkpoints.finish(connection, &self.guard);
        }
        self.guard.health.progress.end();
    }

    fn commit(&self, connection: &Connection, group: &mut Group) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.look(connection)?;
        let outcomes = self.run_all(connection, group)?;
        execute(connection, "COMMIT").map_err(|error| self.commit_failed(error))?;
        // The change is saved, but in files that the next start may not see.
        self.guard
            .after_write()
            .map_err(|problem| StoreError::Unknown(self.guard.stop(problem, Some(connection)).to_string()))?;
        Ok(outcomes)
    }

    /// Checks the files, in the transaction; rolls it back if they are not as they should be.
    fn look(&self, connection: &Connection) -> Result<(), StoreError> {
        self.guard.before_write(connection).map_err(|trouble| {
            self.roll_back(connection);
            match trouble {
                Trouble::Stop(problem) => self.guard.stop(problem, Some(connection)),
                Trouble::Fail(error) => error,
            }
        })
    }

    /// The store's error for an error of COMMIT.
    ///
    /// The commit is in the log when its last frame is written, and safe when the log is synced. SQLite writes the head of a
    /// frame first, and after the end of the log there may be bytes of an older log. So the change is certainly absent only if
    /// SQLite did not begin to write. After a failed write the log is unchanged for SQLite, and the next commit overwrites the
    /// bytes. After a failed sync it is unknown what the disk has: that connection must not write again, and neither must another
    /// one until a start has read the log from the disk.
    fn commit_failed(&self, error: rusqlite::Error) -> StoreError {
        match (error.sqlite_error_code(), error.sqlite_extended_error_code()) {
            (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::ConstraintViolation), _) => {
                return store_error(error);
            }
            (Some(ErrorCode::DiskFull), _) | (_, Some(ffi::SQLITE_IOERR_WRITE)) => {}
            _ => self.guard.stop_unsynced(&error),
        }
        StoreError::Unknown(error.to_string())
    }

    /// Undoes the whole group and answers its callers.
    fn fail(&self, connection: &Connection, group: &mut Group, failure: &StoreError) {
        self.roll_back(connection);
        self.metrics.groups_failed.inc();
        let failure = match failure {
            StoreError::Damaged(_) => self.guard.stop_damaged(failure),
            failure => failure.clone(),
        };
        if let StoreError::Disk(_) | StoreError::Unknown(_) = failure {
            self.guard.health.save_failed();
        }
        // That the store stopped is logged once, when it does.
        if !matches!(failure, StoreError::Stopped(_))
            && let Some(before) = self.guard.health.failures.count(failure.reason())
        {
            let calls = group.len();
            match failure {
                StoreError::Unknown(_) => {
                    tracing::error!(error = %failure, calls, left_out = before, "a group of calls failed")
                }
                _ => {
                    tracing::error!(error = %failure, calls, left_out = before, "a group of calls failed; nothing was changed")
                }
            }
        }
        group.drain(..).for_each(|job| job.answer(Err(failure.clone())));
    }

    /// Runs the calls one after the other. An error of one call undoes that call only; an error of the transaction itself ends
    /// the group.
    ///
    /// Such errors are rare, and a savepoint for each call costs a copy of every page that the call changes. So the calls first
    /// run without savepoints. If one fails, all of them are undone and run again, each in a savepoint.
    fn run_all(
        &self,
        connection: &Connection,
        group: &mut [Box<dyn Job>],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        match group.iter_mut().try_for_each(|job| run_caught(job.as_mut(), connection)) {
            Ok(()) => return Ok(vec![Ok(()); group.len()]),
            // A full disk and the like roll the transaction back themselves.
            Err(error) if group.len() == 1 || connection.is_autocommit() => return Err(error),
            Err(error @ StoreError::Damaged(_)) => return Err(error),
            Err(_) => {}
        }
        execute(connection, "ROLLBACK").map_err(store_error)?;
        self.begin_again(connection)?;
        self.look(connection)?;
        run_each(connection, group, &self.guard.health)
    }

    fn roll_back(&self, connection: &Connection) {
        if !connection.is_autocommit()
            && let Err(error) = execute(connection, "ROLLBACK")
            && let Some(before) = self.guard.health.failures.count("rollback")
        {
            tracing::error!(%error, left_out = before, "rollback failed");
        }
    }

    /// Another program may have taken the lock meanwhile.
    fn begin_again(&self, connection: &Connection) -> Result<(), StoreError> {
        let since = Instant::now();
        loop {
            match execute(connection, BEGIN) {
                Err(error) if is_busy(&error) && since.elapsed() < self.busy_timeout => std::thread::sleep(LOCK_PAUSE),
                begun => return begun.map_err(store_error),
            }
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Runs each call in its own savepoint.
fn run_each(
    connection: &Connection,
    group: &mut [Box<dyn Job>],
    health: &Health,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut outcomes = Vec::with_capacity(group.len());
    for job in group {
        execute(connection, "SAVEPOINT call").map_err(store_error)?;
        match run_caught(job.as_mut(), connection) {
            Ok(()) => outcomes.push(Ok(())),
            // The whole transaction was rolled back, with the earlier calls of the group.
            Err(error) if connection.is_autocommit() => return Err(error),
            Err(error @ StoreError::Damaged(_)) => return Err(error),
            Err(error) => {
                if let Some(before) = health.failures.count("call") {
                    tracing::error!(%error, left_out = before, "a call failed in the store; it was undone");
                }
                execute(connection, "ROLLBACK TO call").map_err(store_error)?;
                outcomes.push(Err(error));
            }
        }
        execute(connection, "RELEASE call").map_err(store_error)?;
    }
    Ok(outcomes)
}

/// A call that panics fails like one with an error: its caller gets an answer, its changes are undone, and the writer goes on.
fn run_caught(job: &mut dyn Job, connection: &Connection) -> Result<(), StoreError> {
    std::panic::catch_unwind(AssertUnwindSafe(|| job.run(connection)))
        .unwrap_or_else(|_| Err(StoreError::Failed("a call panicked".to_owned())))
}

#[cfg(test)]
mod tests;
