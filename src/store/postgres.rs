//! The store on PostgreSQL: any number of equal nodes on one database, which share nothing else.
//!
//! The rules are those of [`crate::seats`] and [`crate::license`]; here is only SQL. [`run`] runs a call from begin to end, on a
//! [`session`] of the [`pool`]; [`connect`] makes its connections to the [`server`]; [`resolve`] finds out the outcome of a
//! commit whose answer was lost. The schema, `schema.postgres.sql`, guards itself and writes the events; [`chain`] chains them
//! behind the calls.

mod admin;
mod calls;
mod chain;
mod check;
mod command;
mod connect;
mod facts;
mod history;
mod known;
mod meaning;
pub(crate) mod moving;
mod pool;
mod resolve;
mod run;
mod schema;
mod server;
mod session;
mod tls;
mod watch;

pub(crate) use check::{check, verify};
pub(crate) use facts::facts;
pub(crate) use history::{events, holders_at, newest, verify_history};
pub(crate) use schema::{create, migrate, try_migration};

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, mpsc as thread_channel};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, watch as channel};
use uuid::Uuid;

use super::admin::{AdminRefusal, AdminWork, Answer, ChangeOptions, Changed, ServiceWork};
use super::health::Health;
use super::named::{CallName, Outcome};
use super::spool::Spools;
use super::{
    Activation, Added, Address, Administration, Administrators, Call, ConditionReply, Credential, Details, Fault,
    FiledLicense, HistoryRequest, Holder, HoldersRequest, Licenses, ModuleHistory, ModulesRequest, NewTicket,
    OpenError, Options, Owners, OwnersRequest, PoolUse, Principal, Reply, Seats, StoreError, Tickets,
};
use crate::chain::Link;
use crate::license::Owner;
use crate::metrics::Metrics;
use crate::seats::{AssignRequest, Holding, Refusal, Role, SeatId, Transfer};
use calls::named::Told;
use calls::stop::caller_of_role;
use calls::{activate, look, module_history, modules, named, owner, seats, ticket};
use chain::Chainer;
use chain::batch::End;
use connect::TimeLimits;
use known::Known;
use pool::Connections;
use run::{Run, Runner};
use server::Server;
use watch::Watch;

/// See the module.
pub(crate) struct PostgresStore {
    runner: Arc<Runner>,
    watch: Watch,
    chainer: Chainer,
    health: Arc<Health>,
    /// The runtime of all connections for calls, whatever thread a call comes from. `None`: the store is closed.
    runtime: Mutex<Option<Runtime>>,
    is_closed: channel::Sender<bool>,
    /// See [`Runner::queue`].
    calls_max: u32,
    lists: Semaphore,
    spools: Spools,
    enroll: bool,
    /// `None`: names of calls are ignored.
    named_calls: Option<named::Limits>,
}

/// The most lists of holders at a time, most of which are only being sent; further ones are refused.
const LISTS_MAX: usize = 256;

/// How long a transaction of the service may be idle before the server ends it. The service never leaves one idle that long.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

/// How long closing waits for accepted calls: longer than the longest call, which resolves a lost commit.
const CLOSE: Duration = Duration::from_secs(60);

/// See [`super::check_address`].
pub(crate) fn check_address(address: &Address) -> Result<(), OpenError> {
    Server::of(address).map(drop)
}

/// See [`super::open`].
pub(crate) fn open(
    address: &Address,
    options: &Options,
    metrics: Arc<Metrics>,
) -> Result<Arc<PostgresStore>, OpenError> {
    PostgresStore::open(address, options, metrics).map(Arc::new)
}

impl PostgresStore {
    fn open(address: &Address, options: &Options, metrics: Arc<Metrics>) -> Result<PostgresStore, OpenError> {
        let failed = |reason: String| OpenError::Server { place: address.to_string(), reason };
        let server = Server::of(address)?;
        schema::check(address)?;
        let limits = TimeLimits {
            statement: options.statement_timeout,
            // Shorter than the tries of a call, so that a call that waited in vain can try again.
            lock: (options.busy_timeout / 2).max(Duration::from_millis(1)),
            idle_in_transaction: IDLE_IN_TRANSACTION,
        };
        let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("store")
            .enable_all()
            .build()?;
        let (known, health) = (Arc::new(Known::default()), Arc::new(Health::default()));
        let connections = Arc::new(Connections::new(
            server.clone(),
            limits,
            options.server_connections_max,
            options.busy_timeout,
            Arc::clone(&known),
            Arc::clone(&health),
        )?);
        let watch = Watch {
            connections: Arc::clone(&connections),
            known: Arc::clone(&known),
            health: Arc::clone(&health),
            seen: Arc::default(),
        };
        // So that every call knows an earlier event.
        wait_for(&runtime, watch.clone().first()).map_err(|error| failed(error.to_string()))?;
        let (is_closed, closed) = channel::channel(false);
        runtime.spawn(watch.clone().run(closed));
        let calls_max = options.queue_calls_max.saturating_add(options.server_connections_max);
        let calls_max = u32::try_from(calls_max.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let runner = Arc::new(Runner {
            connections,
            known: Arc::clone(&known),
            health: Arc::clone(&health),
            metrics: Arc::clone(&metrics),
            handle: runtime.handle().clone(),
            queue: Arc::new(Semaphore::new(calls_max as usize)),
            busy_timeout: options.busy_timeout,
            statement_timeout: options.statement_timeout,
        });
        Ok(PostgresStore {
            runner,
            watch,
            chainer: Chainer::start(server, known, metrics)?,
            health,
            runtime: Mutex::new(Some(runtime)),
            is_closed,
            calls_max,
            lists: Semaphore::new(LISTS_MAX),
            spools: Spools::new(std::env::temp_dir().join("seatkeeper-list-")),
            enroll: options.enroll,
            named_calls: named_calls(options),
        })
    }

    /// Runs a change in a transaction, for a caller of at least this role. A retry of a named call gets the outcome of the first try.
    fn write<A, T>(
        &self,
        call: Call,
        least: Role,
        arguments: A,
        change: Run<(Call, A), T>,
    ) -> Reply<'_, Result<T, Refusal>>
    where
        A: Send + Sync + 'static,
        T: Outcome + Sync,
    {
        match (self.named_calls, call.name.clone()) {
            (Some(limits), Some(name)) => {
                let id = call.id;
                let named = Named { name, limits, least, arguments: (call, arguments), change };
                self.run_named(id, named)
            }
            _ => self.runner.write(call.id, (call, arguments), change),
        }
    }

    fn run_named<A, T>(&self, id: Uuid, call: Named<A, T>) -> Reply<'_, Result<T, Refusal>>
    where
        A: Send + Sync + 'static,
        T: Outcome + Sync,
    {
        let name = Arc::clone(&call.name);
        let told: Reply<'_, Result<Told<T>, Refusal>> = self.runner.write(id, call, |session, named| {
            let Named { name, limits, least, arguments, change } = named;
            let run = move || change(session, arguments);
            Box::pin(named::run(session, &arguments.0, name, *limits, *least, run))
        });
        Box::pin(async move {
            Ok(match told.await? {
                Ok((outcome, original)) => {
                    if let Some(original) = original {
                        name.repeats(original);
                    }
                    outcome
                }
                Err(refusal) => Err(refusal),
            })
        })
    }

    /// Whether the outcome of this call is kept for a retry.
    fn is_named(&self, call: &Call) -> bool {
        self.named_calls.is_some() && call.name.is_some()
    }
}

/// A named call.
struct Named<A, T> {
    name: Arc<CallName>,
    limits: named::Limits,
    least: Role,
    arguments: (Call, A),
    change: Run<(Call, A), T>,
}

impl Seats for PostgresStore {
    fn assign(&self, call: Call, request: AssignRequest) -> Reply<'_, Result<SeatId, Refusal>> {
        let arguments = (request, self.enroll);
        let change: Run<(Call, (AssignRequest, bool)), SeatId> =
            |session, (call, (request, enroll))| Box::pin(seats::assign(session, call, request, *enroll));
        if self.is_named(&call) {
            return self.write(call, Role::Agent, arguments, change);
        }
        self.runner.quick(call.id, (call, arguments), change)
    }

    fn assign_all(
        &self,
        call: Call,
        requests: Vec<AssignRequest>,
        dry_run: bool,
    ) -> Reply<'_, Result<Vec<Result<SeatId, Refusal>>, Refusal>> {
        let call = if dry_run { call.unnamed() } else { call };
        self.write(
            call,
            Role::Agent,
            (requests, self.enroll, dry_run),
            |session, (call, (requests, enroll, dry_run))| {
                Box::pin(seats::assign_all(session, call, requests, *enroll, *dry_run))
            },
        )
    }

    fn release(&self, call: Call, holding: Holding) -> Reply<'_, Result<SeatId, Refusal>> {
        let change: Run<(Call, Holding), SeatId> =
            |session, (call, holding)| Box::pin(seats::release(session, call, holding));
        if self.is_named(&call) {
            return self.write(call, Role::Admin, holding, change);
        }
        self.runner.quick(call.id, (call, holding), change)
    }

    fn transfer(&self, call: Call, transfer: Transfer) -> Reply<'_, Result<SeatId, Refusal>> {
        self.write(call, Role::Admin, (transfer, self.enroll), |session, (call, (transfer, enroll))| {
            Box::pin(seats::transfer(session, call, transfer, *enroll))
        })
    }

    fn details(&self, call: Call, holding: Holding) -> Reply<'_, Result<Details, Refusal>> {
        let arguments = (call, holding);
        self.runner.look(arguments, |session, (call, holding)| Box::pin(seats::details(session, call, holding)))
    }

    fn pools(&self, call: Call, entity_id: Option<i32>) -> Reply<'_, Result<Vec<PoolUse>, Refusal>> {
        let arguments = (call, entity_id);
        self.runner.look(arguments, |session, (call, entity_id)| Box::pin(look::pools(session, call, *entity_id)))
    }

    fn holders(
        &self,
        call: Call,
        request: HoldersRequest,
        pages: mpsc::Sender<Vec<Holder>>,
    ) -> Reply<'_, Result<(), Refusal>> {
        let arguments = (call, request, self.spools.clone());
        Box::pin(async move {
            let _list = self.lists.try_acquire().map_err(|_| StoreError::QueueFull)?;
            let read = self.runner.read_long(arguments, |session, (call, request, spools)| {
                Box::pin(look::holders(session, call, request, spools.list()))
            });
            match read.await? {
                Ok(spool) => spool.send(pages).await.map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            }
        })
    }
}

impl Licenses for PostgresStore {
    fn owners(&self, call: Call, request: OwnersRequest) -> Reply<'_, Result<Vec<Owner>, Refusal>> {
        let is_one = matches!(request.owners, Owners::Named(_));
        let arguments = (call, request);
        let query: Run<(Call, OwnersRequest), Vec<Owner>> =
            |session, (call, request)| Box::pin(owner::owners(session, call, request));
        // One owner is read in one statement.
        if is_one { self.runner.look(arguments, query) } else { self.runner.read(arguments, query) }
    }

    fn assign_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>> {
        self.write(call, Role::Agent, request, |session, (call, request)| {
            Box::pin(modules::assign(session, call, request))
        })
    }

    fn release_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>> {
        self.write(call, Role::Admin, request, |session, (call, request)| {
            Box::pin(modules::release(session, call, request))
        })
    }

    fn activate(&self, call: Call, activation: Activation, dry_run: bool) -> Reply<'_, Result<(), Refusal>> {
        if dry_run {
            let arguments = (call, activation);
            return self
                .runner
                .read(arguments, |session, (call, activation)| Box::pin(activate::try_out(session, call, activation)));
        }
        self.write(call, Role::Admin, activation, |session, (call, activation)| {
            Box::pin(activate::activate(session, call, activation))
        })
    }

    fn remove_license(&self, call: Call, owner_name: String) -> Reply<'_, Result<(), Refusal>> {
        self.write(call, Role::Admin, owner_name, |session, (call, owner_name)| {
            Box::pin(activate::remove(session, call, owner_name))
        })
    }

    fn add_license(&self, call: Call, license: FiledLicense) -> Reply<'_, Result<Added, Refusal>> {
        self.write(call, Role::Admin, license, |session, (call, license)| {
            Box::pin(activate::add(session, call, license))
        })
    }

    fn module_history(&self, call: Call, request: HistoryRequest) -> Reply<'_, Result<Option<ModuleHistory>, Refusal>> {
        let arguments = (call, request);
        self.runner
            .read(arguments, |session, (call, request)| Box::pin(module_history::history(session, call, request)))
    }
}

impl Tickets for PostgresStore {
    fn credential(&self, user_name: &str) -> Reply<'_, Option<Credential>> {
        let found = self
            .runner
            .look(user_name.to_owned(), |session, user_name| Box::pin(ticket::credential(session, user_name)));
        // The rules have no say in this.
        Box::pin(async move { Ok(found.await?.unwrap_or(None)) })
    }

    fn hash_kinds(&self) -> Reply<'_, Vec<(Arc<str>, u64)>> {
        let found = self.runner.look((), |session, ()| Box::pin(ticket::hash_kinds(session)));
        Box::pin(async move { Ok(found.await?.unwrap_or_default()) })
    }

    fn issue_ticket(&self, call: Call, ticket: NewTicket) -> Reply<'_, Result<Principal, Refusal>> {
        // Never kept for a retry, because a ticket's secret is stored nowhere.
        self.runner
            .write(call.id, (call, ticket), |session, (call, ticket)| Box::pin(ticket::issue(session, call, ticket)))
    }

    fn refuse(&self, call: Call, refusal: Refusal) -> Reply<'_, Result<(), Refusal>> {
        self.write(call, Role::Reader, refusal, |session, (call, refusal)| {
            Box::pin(async move {
                caller_of_role(session, call, Role::Reader).await?;
                Err(refusal.clone().into())
            })
        })
    }

    fn principal(&self, call: Call) -> Reply<'_, Result<Principal, Refusal>> {
        self.runner.read(call, |session, call| Box::pin(ticket::principal(session, call)))
    }

    fn renew_ticket(&self, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Reply<'_, ()> {
        let done = self.runner.write(id, (id, now, expires_at), |session, (id, now, expires_at)| {
            Box::pin(ticket::renew(session, *id, *now, *expires_at))
        });
        Box::pin(async move { done.await.map(|_| ()) })
    }
}

impl Administration for PostgresStore {
    fn ready(&self) -> Reply<'_, ()> {
        Box::pin(async move {
            self.health.check()?;
            if *self.is_closed.borrow() {
                return Err(StoreError::Closed);
            }
            let watch = self.watch.clone();
            let ready = self.runner.handle.spawn(async move { watch.ready().await });
            ready.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    fn condition(&self) -> ConditionReply<'_> {
        Box::pin(std::future::ready(self.watch.condition()))
    }

    fn stopped(&self) -> Pin<Box<dyn Future<Output = Fault> + Send + '_>> {
        Box::pin(self.health.stopped())
    }

    fn corrected(&self, at: Timestamp) -> Timestamp {
        self.runner.known.corrected(at)
    }

    fn head(&self) -> Reply<'_, Option<Link>> {
        let read = self.runner.look((), |session, ()| Box::pin(async move { Ok(End::read(session).await?.link) }));
        Box::pin(async move { Ok(read.await?.unwrap_or(None)) })
    }

    fn close(&self) {
        let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        self.is_closed.send_replace(true);
        let (queue, calls_max) = (Arc::clone(&self.runner.queue), self.calls_max);
        let all = async move {
            // With all permits no call is in progress.
            let all = tokio::time::timeout(CLOSE, queue.acquire_many(calls_max)).await;
            if all.is_err() {
                tracing::error!("some calls did not end in time; their outcome is unknown");
            }
            queue.close();
        };
        wait_for(&runtime, all);
        self.chainer.close();
        self.runner.connections.close();
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

impl Administrators for PostgresStore {
    fn read_as_admin(&self, call: Call, least: Role, work: AdminWork) -> Reply<'_, Result<Answer, AdminRefusal>> {
        let read = self.runner.read_long((call, least, work), |session, (call, least, work)| {
            Box::pin(admin::read(session, call, *least, work))
        });
        Box::pin(async move { Ok(read.await?.unwrap_or_else(|refusal| Err(refusal.into()))) })
    }

    fn change_as_admin(
        &self,
        call: Call,
        options: ChangeOptions,
        work: AdminWork,
    ) -> Reply<'_, Result<Changed<Answer>, AdminRefusal>> {
        let change = self.runner.write_long(call.id, (call, options, work), |session, (call, options, work)| {
            Box::pin(admin::change(session, call, options, work))
        });
        Box::pin(async move { Ok(change.await?.unwrap_or_else(|refusal| Err(refusal.into()))) })
    }

    fn keep(&self, work: ServiceWork) -> Reply<'_, Result<Answer, AdminRefusal>> {
        // It leaves no event that could be found: it can be repeated.
        let kept = self.runner.write(Uuid::new_v4(), work, |session, work| Box::pin(admin::keep(session, work)));
        Box::pin(async move { Ok(kept.await?.unwrap_or_else(|refusal| Err(refusal.into()))) })
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            // Dropping a runtime on a thread of another runtime would wait, which is not allowed there.
            runtime.shutdown_background();
        }
    }
}

/// Runs work in the runtime and waits for it. Blocks this thread, which may belong to another runtime.
fn wait_for<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = thread_channel::channel();
    runtime.spawn(async move {
        // The receiver waits below.
        let _ = sender.send(work.await);
    });
    receiver.recv().unwrap_or_else(|_| unreachable!("the task sends before it ends, unless it panicked"))
}

fn named_calls(options: &Options) -> Option<named::Limits> {
    let life = SignedDuration::try_from(options.named_calls_life).unwrap_or(SignedDuration::MAX);
    let max = i64::try_from(options.named_calls_max).unwrap_or(i64::MAX);
    (!life.is_zero()).then_some(named::Limits { life, max })
}
