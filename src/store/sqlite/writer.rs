//! The writer thread: group commit.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, ffi};
use tokio::sync::{mpsc, oneshot};

use super::file::guard::{Guard, Trouble};
use super::{checkpoint, execute, store_error};
use crate::metrics::Metrics;
use crate::store::{OpenError, Options, Reply, StoreError};

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
        connection: Connection,
        checkpoints: Arc<checkpoint::State>,
        options: &Options,
        metrics: Arc<Metrics>,
        guard: Arc<Guard>,
    ) -> Result<Writer, OpenError> {
        let (sender, receiver) = mpsc::channel(options.queue_calls_max);
        let group_calls_max = options.group_calls_max;
        // The writer waits in its own way; see `begin`.
        connection.busy_timeout(Duration::ZERO).map_err(|e| OpenError::Setting(e.to_string()))?;
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
        Box::pin(async move {
            let _counted = Counted(&self.calls);
            let (reply, mut answer) = oneshot::channel();
            let job = Box::new(Pending { work, value: None, reply, since: Instant::now() });
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
            self.enqueue(Box::new(Pending { work, value: None, reply, since: Instant::now() }))?;
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
        self.enqueue(Box::new(Pending { work, value: None, reply, since: Instant::now() }))?;
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

    pub(super) fn is_closed(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_none_or(JoinHandle::is_finished) || self.sender().is_none()
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
}

impl<T: Send, F: Fn(&Connection) -> Result<T, StoreError> + Send> Job for Pending<F, T> {
    fn is_cancelled(&self) -> bool {
        self.reply.is_closed()
    }

    fn since(&self) -> Instant {
        self.since
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
            roll_back(connection);
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
            (Some(ErrorCode::DiskFull), _) | (_, Some(ffi::SQLITE_IOERR_WRITE)) => self.guard.health.save_failed(),
            _ => self.guard.stop_unsynced(&error),
        }
        StoreError::Unknown(error.to_string())
    }

    /// Undoes the whole group and answers its callers.
    fn fail(&self, connection: &Connection, group: &mut Group, failure: &StoreError) {
        roll_back(connection);
        self.metrics.groups_failed.inc();
        let failure = match failure {
            StoreError::Damaged(_) => self.guard.stop_damaged(failure),
            failure => failure.clone(),
        };
        match failure {
            // Logged once, when the store stopped.
            StoreError::Stopped(_) => {}
            StoreError::Unknown(_) => tracing::error!(error = %failure, calls = group.len(), "a group of calls failed"),
            _ => tracing::error!(error = %failure, calls = group.len(), "a group of calls failed; nothing was changed"),
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
        run_each(connection, group)
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

fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = execute(connection, "ROLLBACK")
    {
        tracing::error!(%error, "rollback failed");
    }
}

/// Runs each call in its own savepoint.
fn run_each(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut outcomes = Vec::with_capacity(group.len());
    for job in group {
        execute(connection, "SAVEPOINT call").map_err(store_error)?;
        match run_caught(job.as_mut(), connection) {
            Ok(()) => outcomes.push(Ok(())),
            // The whole transaction was rolled back, with the earlier calls of the group.
            Err(error) if connection.is_autocommit() => return Err(error),
            Err(error @ StoreError::Damaged(_)) => return Err(error),
            Err(error) => {
                tracing::error!(%error, "a call failed in the store; it was undone");
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
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn writer(options: &Options) -> Writer {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch("CREATE TABLE t (x INTEGER UNIQUE)").expect("table");
        Writer::start(connection, Arc::default(), options, Arc::new(Metrics::new()), Arc::new(Guard::of_memory()))
            .expect("start")
    }

    fn insert(x: i64) -> impl Fn(&Connection) -> Result<usize, StoreError> + Send + 'static {
        move |connection| connection.execute("INSERT INTO t VALUES (?1)", [x]).map_err(store_error)
    }

    fn values(writer: &Writer) -> Vec<i64> {
        let connection = writer.connection.lock().expect("lock");
        let mut statement = connection.as_ref().expect("open").prepare("SELECT x FROM t ORDER BY x").expect("prepare");
        statement.query_map([], |row| row.get(0)).expect("query").collect::<Result<_, _>>().expect("rows")
    }

    fn poll<T>(call: &mut Reply<'_, T>) -> Poll<Result<T, StoreError>> {
        call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Puts the calls into the queue, while the connection is held by the test.
    fn queue<T>(calls: &mut [Reply<'_, T>]) {
        for call in calls {
            assert!(poll(call).is_pending(), "the call waits");
        }
    }

    #[tokio::test]
    async fn a_call_that_fails_is_undone_alone_and_the_rest_of_its_group_is_kept() {
        let writer = writer(&Options::default());
        let held = writer.connection.lock().expect("lock");
        let twice = |connection: &Connection| {
            connection.execute("INSERT INTO t VALUES (50)", []).map_err(store_error)?;
            connection.execute("INSERT INTO t VALUES (1)", []).map_err(store_error)
        };
        let mut calls = vec![writer.run(insert(1)), writer.run(twice), writer.run(insert(2))];
        queue(&mut calls);
        drop(held);
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await);
        }
        assert!(matches!(answers[..], [Ok(1), Err(StoreError::Failed(_)), Ok(1)]), "{answers:?}");
        assert_eq!(values(&writer), [1, 2]);
        writer.close();
    }

    #[tokio::test]
    async fn a_call_that_panics_is_undone_and_the_writer_goes_on() {
        let writer = writer(&Options::default());
        let panics = |x: i64| {
            move |connection: &Connection| -> Result<usize, StoreError> {
                connection.execute("INSERT INTO t VALUES (?1)", [x]).map_err(store_error)?;
                panic!("as the test wants it")
            }
        };
        // Alone on the caller's thread, then in a group on the writer's.
        let answer = writer.run(panics(10)).await;
        assert!(matches!(answer, Err(StoreError::Failed(_))), "{answer:?}");
        let held = writer.connection.lock().expect("not poisoned");
        let mut calls: Vec<Reply<'_, usize>> =
            vec![writer.run(insert(1)), writer.run(panics(11)), writer.run(insert(2))];
        queue(&mut calls);
        drop(held);
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await);
        }
        assert!(matches!(answers[..], [Ok(1), Err(StoreError::Failed(_)), Ok(1)]), "{answers:?}");
        assert!(matches!(writer.run(insert(3)).await, Ok(1)));
        assert_eq!(values(&writer), [1, 2, 3]);
        writer.close();
    }

    #[tokio::test]
    async fn what_does_not_fit_into_the_queue_is_refused_and_the_rest_is_served() {
        let writer = writer(&Options { queue_calls_max: 2, group_calls_max: 1, ..Options::default() });
        let held = writer.connection.lock().expect("lock");
        let mut calls = vec![writer.run(insert(1))];
        queue(&mut calls);
        // The thread has taken the first call from the queue or is about to; fill the queue until a call is refused.
        let mut refused = 0;
        for x in 2..=4 {
            let mut call = writer.run(insert(x));
            match poll(&mut call) {
                Poll::Ready(answer) => {
                    assert!(matches!(answer, Err(StoreError::QueueFull)), "{answer:?}");
                    refused += 1;
                }
                Poll::Pending => calls.push(call),
            }
        }
        assert!(refused >= 1);
        drop(held);
        for call in calls {
            assert!(matches!(call.await, Ok(1)));
        }
        assert_eq!(values(&writer).len(), 4 - refused);
        writer.close();
    }

    #[tokio::test]
    async fn a_call_whose_caller_went_away_before_its_turn_is_not_run() {
        let writer = writer(&Options { group_calls_max: 1, ..Options::default() });
        let held = writer.connection.lock().expect("lock");
        let mut calls = vec![writer.run(insert(1)), writer.run(insert(2)), writer.run(insert(3))];
        queue(&mut calls);
        // The last call: the thread may have taken the first already.
        drop(calls.pop());
        drop(held);
        for call in calls {
            call.await.expect("served");
        }
        let connection = writer.connection.lock().expect("lock");
        drop(connection);
        assert_eq!(values(&writer), [1, 2]);
        writer.close();
    }

    #[tokio::test]
    async fn closing_answers_what_was_queued() {
        let writer = writer(&Options::default());
        let held = writer.connection.lock().expect("lock");
        let (reply, answer) = oneshot::channel();
        let job = Pending { work: insert(7), value: None, reply, since: Instant::now() };
        writer.enqueue(Box::new(job)).expect("queued");
        drop(held);
        writer.close();
        assert!(matches!(answer.await, Ok(Ok(1))));
    }
}
