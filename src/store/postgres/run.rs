//! Runs a call from begin to end.
//!
//! * A call runs in a task of its own, so a caller that disconnects leaves no connection inside a transaction. If the caller
//!   disconnects before the call has a connection, the call is not run at all.
//! * A call with a conflict is run again as a whole: it decides again from new facts.
//! * A lost connection is replaced, and the call is run again if nothing can have been committed. Otherwise [`super::resolve`]
//!   finds out whether it was committed.
//! * No cancel request is ever sent: to the client, a cancelled wait for a synchronous standby looks like a success. A call that
//!   takes too long loses its connection instead.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, TryAcquireError, oneshot};
use uuid::Uuid;

use super::calls::stop::Stop;
use super::known::Known;
use super::meaning::{Meaning, cannot_save, meaning, store_error};
use super::pool::Connections;
use super::resolve::{Lost, Resolved, resolve};
use super::session::Session;
use crate::metrics::Metrics;
use crate::seats::{Refusal, SeatId};
use crate::store::health::Health;
use crate::store::{Reply, StoreError};

/// The future work of a call on a session.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, Stop>> + Send + 'a>>;

/// A call as a function of a session and its arguments: it may be run several times. Written as a closure that captures nothing:
///
/// ```text
/// self.runner.read((call, entity_id), |session, (call, entity_id)| Box::pin(look::pools(session, call, *entity_id)))
/// ```
pub(crate) type Run<A, T> = for<'a> fn(&'a Session, &'a A) -> Work<'a, T>;

/// The time that one attempt may take in addition to a statement: for further statements, and for the wait for a standby, which
/// the server's statement timeout does not include.
const BEYOND_STATEMENT: Duration = Duration::from_secs(10);

/// The time limit for reading a list.
const LONG: Duration = Duration::from_secs(30);

/// The time limit for a change of many rows, all its statements together.
const LONG_CHANGE: Duration = Duration::from_secs(300);

/// The way in which a call uses the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Statements that commit by themselves.
    Statements,
    /// Reads of one snapshot, in a transaction.
    Read,
    Write,
}

/// A call to run.
struct Job<A, T> {
    way: Way,
    /// For a change: the request id of its events.
    id: Option<Uuid>,
    /// Whether it reads a list.
    is_long: bool,
    arguments: A,
    run: Run<A, T>,
    /// Makes the answer from the seat in the call's event: for a change that commits before it has its answer.
    of_seat: Option<fn(SeatId) -> T>,
}

/// Runs calls. See the module.
pub(crate) struct Runner {
    pub(crate) connections: Arc<Connections>,
    pub(crate) known: Arc<Known>,
    pub(super) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) handle: Handle,
    /// A permit for each call that waits or runs. Closed when the store is.
    pub(super) queue: Arc<Semaphore>,
    /// How long a call is tried again after conflicts.
    pub(super) busy_timeout: Duration,
    /// How long a statement may take.
    pub(super) statement_timeout: Duration,
}

impl Runner {
    /// Runs a read of one statement, or of several that need not agree: each sees its own snapshot.
    pub(crate) fn look<A, T>(self: &Arc<Self>, arguments: A, query: Run<A, T>) -> Reply<'static, Result<T, Refusal>>
    where
        A: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.start(Job { way: Way::Statements, id: None, is_long: false, arguments, run: query, of_seat: None })
    }

    /// Runs a read of several statements on one snapshot, in a read-only transaction.
    pub(crate) fn read<A, T>(self: &Arc<Self>, arguments: A, query: Run<A, T>) -> Reply<'static, Result<T, Refusal>>
    where
        A: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.start(Job { way: Way::Read, id: None, is_long: false, arguments, run: query, of_seat: None })
    }

    /// The same for a list, which may take longer.
    pub(crate) fn read_long<A, T>(
        self: &Arc<Self>,
        arguments: A,
        query: Run<A, T>,
    ) -> Reply<'static, Result<T, Refusal>>
    where
        A: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.start(Job { way: Way::Read, id: None, is_long: true, arguments, run: query, of_seat: None })
    }

    /// Runs a change in a transaction at READ COMMITTED. A refusal rolls it back. `id`: that of the call, which identifies its
    /// events if the connection is lost during COMMIT. A change that writes no event (a ticket, a kept refusal) must be
    /// repeatable.
    pub(crate) fn write<A, T>(
        self: &Arc<Self>,
        id: Uuid,
        arguments: A,
        change: Run<A, T>,
    ) -> Reply<'static, Result<T, Refusal>>
    where
        A: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.start(Job { way: Way::Write, id: Some(id), is_long: false, arguments, run: change, of_seat: None })
    }

    /// The same for a change of many rows, which may take longer.
    pub(crate) fn write_long<A, T>(
        self: &Arc<Self>,
        id: Uuid,
        arguments: A,
        change: Run<A, T>,
    ) -> Reply<'static, Result<T, Refusal>>
    where
        A: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.start(Job { way: Way::Write, id: Some(id), is_long: true, arguments, run: change, of_seat: None })
    }

    /// Runs a change of one seat without a transaction around it: reads the facts in one statement, decides, and writes in one
    /// statement that commits by itself, [`Session::commit_row_opt`], at most once. If the connection is lost during that, the
    /// seat is read from the event of the call. A change that writes in several statements uses [`Runner::write`].
    pub(crate) fn quick<A>(
        self: &Arc<Self>,
        id: Uuid,
        arguments: A,
        change: Run<A, SeatId>,
    ) -> Reply<'static, Result<SeatId, Refusal>>
    where
        A: Send + Sync + 'static,
    {
        let of_seat: Option<fn(SeatId) -> SeatId> = Some(|seat| seat);
        self.start(Job { way: Way::Statements, id: Some(id), is_long: false, arguments, run: change, of_seat })
    }

    fn start<A, T>(self: &Arc<Self>, job: Job<A, T>) -> Reply<'static, Result<T, Refusal>>
    where
        A: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let runner = Arc::clone(self);
        Box::pin(async move {
            let permit = match Arc::clone(&runner.queue).try_acquire_owned() {
                Ok(permit) => permit,
                Err(TryAcquireError::Closed) => return Err(StoreError::Closed),
                Err(TryAcquireError::NoPermits) => {
                    runner.metrics.queue_refused.inc();
                    return Err(StoreError::QueueFull);
                }
            };
            let (mut reply, answer) = oneshot::channel();
            let handle = runner.handle.clone();
            handle.spawn(async move {
                // If the caller disconnected before the call has begun, it is not run; a caller that disconnects later finds out
                // by a retry.
                let session = tokio::select! {
                    biased;
                    () = reply.closed() => return,
                    session = runner.connections.session() => session,
                };
                let outcome = runner.run(session, &job, || reply.is_closed()).await;
                drop(permit);
                let _ = reply.send(outcome);
            });
            // The sender is dropped without an answer if the call panicked, or if the runtime ended.
            answer.await.unwrap_or_else(|_| Err(StoreError::Failed("the call ended early".to_owned())))
        })
    }

    async fn run<A: Sync, T: Send + Sync>(
        &self,
        first: Result<Session, StoreError>,
        job: &Job<A, T>,
        is_abandoned: impl Fn() -> bool + Sync,
    ) -> Result<Result<T, Refusal>, StoreError> {
        let mut tries = Tries::new(self.busy_timeout);
        let mut first = Some(first);
        loop {
            let session = match first.take() {
                Some(session) => session,
                None => self.connections.session().await,
            };
            let ended = match session {
                Ok(session) => self.attempt(session, job, tries.count).await,
                Err(error @ StoreError::Unreachable(_)) => Ended::Again(error),
                Err(error) => Ended::Answer(Err(error)),
            };
            let error = match ended {
                Ended::Answer(answer) => return answer,
                Ended::Again(error) => error,
                Ended::Unknown { lost, decided } => match resolve(&self.connections, &lost).await {
                    Resolved::Committed(seat) => {
                        let answer = decided.or_else(|| Some(job.of_seat?(seat?)));
                        return answer.map(Ok).ok_or_else(|| unknown("the event of the change names no seat"));
                    }
                    Resolved::NotCommitted => {
                        tries.begin_again();
                        StoreError::Unreachable("the connection was lost".to_owned())
                    }
                    Resolved::Unknown(why) => return Err(unknown(&why)),
                },
            };
            let Some(pause) = tries.next() else { return Err(error) };
            if is_abandoned() {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Runs the call once, from BEGIN to COMMIT, and returns the connection.
    async fn attempt<A: Sync, T: Send + Sync>(&self, session: Session, job: &Job<A, T>, count: u32) -> Ended<T> {
        session.set_attempt(count);
        let since = self.known.last_event();
        let begun = Instant::now();
        let mut decided = None;
        let statement_timeout = if job.is_long { self.statement_timeout.max(LONG) } else { self.statement_timeout };
        let limit = match job.way {
            Way::Write if job.is_long => LONG_CHANGE.max(statement_timeout + BEYOND_STATEMENT),
            _ => statement_timeout + BEYOND_STATEMENT,
        };
        let stop = match tokio::time::timeout(limit, once(&session, job, statement_timeout, &mut decided)).await {
            Ok(Ok(())) => {
                if job.id.is_some() {
                    self.health.saved();
                    self.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
                }
                return match decided {
                    Some(value) => Ended::Answer(Ok(Ok(value))),
                    None => Ended::Answer(Err(StoreError::Failed("a call ended without an answer".to_owned()))),
                };
            }
            Ok(Err(stop)) => Some(stop),
            Err(_) => None,
        };
        if stop.is_none() {
            self.connections.silent();
        }
        if session.may_have_committed()
            && let Some(id) = job.id
        {
            if stop.is_some() {
                self.connections.lost();
            }
            let lost = Lost { id, since, backend: session.backend(), is_pooled: session.is_pooled() };
            return Ended::Unknown { lost, decided };
        }
        match stop {
            Some(Stop::Refused(refusal)) => Ended::Answer(Ok(Err(refusal))),
            Some(Stop::Failed(error)) => Ended::Answer(Err(error)),
            Some(Stop::Again) => Ended::Again(StoreError::Locked),
            Some(Stop::Statement(error)) => {
                if job.id.is_some() && cannot_save(&error) {
                    self.health.save_failed();
                }
                match meaning(&error) {
                    Meaning::Conflict | Meaning::Locked | Meaning::Stale => Ended::Again(store_error(&error)),
                    Meaning::Lost => {
                        self.connections.lost();
                        Ended::Again(store_error(&error))
                    }
                    Meaning::Aborted => Ended::Again(store_error(&error)),
                    Meaning::Late | Meaning::Damaged | Meaning::Failed => Ended::Answer(Err(store_error(&error))),
                }
            }
            None => {
                let why = format!("the database did not answer within {} s", limit.as_secs());
                Ended::Answer(Err(StoreError::Unreachable(why)))
            }
        }
    }
}

/// One attempt, from BEGIN to COMMIT. `decided` is set before the commit.
async fn once<A: Sync, T: Send>(
    session: &Session,
    job: &Job<A, T>,
    statement_timeout: Duration,
    decided: &mut Option<T>,
) -> Result<(), Stop> {
    match job.way {
        Way::Statements => {}
        Way::Read => session.begin_read().await?,
        Way::Write => session.begin().await?,
    }
    if job.is_long {
        let limit = statement_timeout.as_millis();
        // A list reads most of its tables.
        session.batch(&format!("SET LOCAL statement_timeout = {limit}; SET LOCAL enable_seqscan = on")).await?;
    }
    match (job.run)(session, &job.arguments).await {
        Ok(value) => *decided = Some(value),
        Err(stop) => {
            // An error here only costs the connection.
            if session.is_in_transaction() && !session.is_broken() {
                let _ = session.roll_back().await;
            }
            return Err(stop);
        }
    }
    match job.way {
        Way::Statements => Ok(()),
        Way::Read => Ok(session.end_read().await?),
        Way::Write if session.commit().await? => Ok(()),
        // A statement failed, but the call went on.
        Way::Write => Err(Stop::Again),
    }
}

/// The outcome of an attempt.
enum Ended<T> {
    Answer(Result<Result<T, Refusal>, StoreError>),
    /// Nothing was changed, and another attempt may succeed; if there is none, this is the answer.
    Again(StoreError),
    /// The connection was lost during a commit.
    Unknown {
        lost: Lost,
        decided: Option<T>,
    },
}

fn unknown(why: &str) -> StoreError {
    StoreError::Unknown(why.to_owned())
}

/// Counts the tries of a call, and limits their time.
struct Tries {
    begun: Instant,
    limit: Duration,
    /// Tries that have ended.
    count: u32,
}

/// The time limit of the tries.
const TRIES_MAX: u32 = 200;

/// The longest pause between two tries; the actual pause is random and shorter, so that conflicting calls do not conflict again.
const PAUSE_MAX: Duration = Duration::from_millis(100);

impl Tries {
    fn new(limit: Duration) -> Tries {
        Tries { begun: Instant::now(), limit, count: 0 }
    }

    /// Restarts the time limit: the time so far was spent on resolving a commit.
    fn begin_again(&mut self) {
        self.begun = Instant::now();
    }

    /// The pause before the next try; `None`: there is none.
    fn next(&mut self) -> Option<Duration> {
        self.count += 1;
        let bound = PAUSE_MAX.min(Duration::from_millis(1 << self.count.min(10)));
        let pause = bound.mul_f64(random());
        (self.count < TRIES_MAX && self.begun.elapsed() + pause < self.limit).then_some(pause)
    }
}

/// A random number from 0 to 1.
fn random() -> f64 {
    // Without randomness pauses have their full length.
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_bounded_in_number_and_time() {
        let mut tries = Tries::new(Duration::from_secs(3600));
        let mut pauses = Vec::new();
        while let Some(pause) = tries.next() {
            pauses.push(pause);
        }
        assert_eq!(pauses.len(), TRIES_MAX as usize - 1);
        assert!(pauses[0] <= Duration::from_millis(2), "{:?}", pauses[0]);
        assert!(pauses.iter().all(|pause| *pause <= PAUSE_MAX));
        assert!(pauses.windows(2).any(|pair| pair[0] != pair[1]), "they differ");
        assert_eq!(Tries::new(Duration::ZERO).next(), None);
    }
}
