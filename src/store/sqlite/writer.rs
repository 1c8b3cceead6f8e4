//! The writer thread: group commit.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{OpenError, Options, store_error};
use crate::metrics::Metrics;
use crate::store::{Reply, StoreError};

/// The handle on the writer thread.
pub(super) struct Writer {
    /// Taken away to close: the thread ends when the queue is empty and nobody can add to it.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: JoinHandle<()>,
    metrics: Arc<Metrics>,
}

impl Writer {
    pub(super) fn start(connection: Connection, options: &Options, metrics: Arc<Metrics>) -> Result<Writer, OpenError> {
        let (sender, receiver) = mpsc::channel(options.queue_calls_max);
        let group_calls_max = options.group_calls_max;
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn({
            let metrics = Arc::clone(&metrics);
            move || write_groups(&connection, receiver, group_calls_max, &metrics)
        })?;
        Ok(Writer { queue: Mutex::new(Some(sender)), thread, metrics })
    }

    /// Queues `work` and answers when it is durable. If the caller goes away before its turn, it is not run at all.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Reply<'static, T> {
        let (reply, answer) = oneshot::channel();
        let queued = match self.sender() {
            None => Err(StoreError::Closed),
            Some(queue) => {
                queue.try_send(Box::new(Pending { work: Some(work), value: None, reply })).map_err(|e| match e {
                    mpsc::error::TrySendError::Full(_) => {
                        self.metrics.queue_refused.inc();
                        StoreError::QueueFull
                    }
                    mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
                })
            }
        };
        Box::pin(async move {
            queued?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.thread.is_finished() || self.sender().is_none()
    }

    /// Answers what was queued, then ends the thread and with it the connection.
    pub(super) fn close(self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.thread.join().is_err() {
            tracing::error!("the store's writer thread panicked");
        }
    }

    fn sender(&self) -> Option<mpsc::Sender<Box<dyn Job>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One call waiting for the writer.
trait Job: Send {
    fn is_cancelled(&self) -> bool;
    /// Does the work and keeps the value until the commit.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    /// Tells the caller: the value it made, if all went well.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Pending<F, T> {
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Job for Pending<F, T> {
    fn is_cancelled(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(connection)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Pending { value, reply, .. } = *self;
        // A caller that hung up meanwhile finds out by repeating the call.
        let _ = reply.send(outcome.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}

fn write_groups(
    connection: &Connection,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    group_calls_max: usize,
    metrics: &Metrics,
) {
    let mut group = Vec::with_capacity(group_calls_max);
    while queue.blocking_recv_many(&mut group, group_calls_max) > 0 {
        group.retain(|job| !job.is_cancelled());
        if group.is_empty() {
            continue;
        }
        let begun = Instant::now();
        metrics.group_calls.observe(group.len() as f64);
        write_group(connection, &mut group, metrics);
        metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
    }
}

/// Runs the calls of one group in one transaction and answers them after the commit.
fn write_group(connection: &Connection, group: &mut Vec<Box<dyn Job>>, metrics: &Metrics) {
    let failure = match run_all(connection, group) {
        Ok(done) => match execute(connection, "COMMIT") {
            Ok(()) => {
                for (job, outcome) in group.drain(..).zip(done) {
                    job.answer(outcome);
                }
                return;
            }
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => StoreError::Locked,
            Err(error) => StoreError::CommitFailed(error.to_string()),
        },
        Err(error) => store_error(error),
    };
    if !connection.is_autocommit()
        && let Err(error) = execute(connection, "ROLLBACK")
    {
        tracing::error!(%error, "rollback failed");
    }
    metrics.groups_failed.inc();
    tracing::error!(error = %failure, calls = group.len(), "a group of calls failed; nothing was changed");
    for job in group.drain(..) {
        job.answer(Err(failure.clone()));
    }
}

/// Runs each call in its own savepoint. An error of the transaction itself ends the group; an error of one call undoes
/// that call only.
fn run_all(connection: &Connection, group: &mut [Box<dyn Job>]) -> rusqlite::Result<Vec<Result<(), StoreError>>> {
    execute(connection, "BEGIN IMMEDIATE")?;
    let mut done = Vec::with_capacity(group.len());
    for job in group {
        execute(connection, "SAVEPOINT call")?;
        match job.run(connection) {
            Ok(()) => done.push(Ok(())),
            // A full disk and the like roll the whole transaction back, the earlier calls of the group with it.
            Err(error) if connection.is_autocommit() => return Err(error),
            Err(error) => {
                tracing::error!(%error, "a call failed in the store; it was undone");
                execute(connection, "ROLLBACK TO call")?;
                done.push(Err(store_error(error)));
            }
        }
        execute(connection, "RELEASE call")?;
    }
    Ok(done)
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
