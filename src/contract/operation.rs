//! One operation, one call of it, and the one place that counts and logs how calls end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

use super::edition::Edition;
use super::record::Record;
use super::{ComplexType, Field};
use crate::error::{Error, ErrorKind};
use crate::metrics::Phase;
use crate::seats::LicenseType;
use crate::service::{CallContext, Identity, Service};

/// The types that differ between the surfaces' operations.
pub trait Surface: 'static {
    /// Data of a call besides its arguments.
    type Extra: Send + 'static;
    /// The result of an operation.
    type Answer: Send + 'static;
}

/// One service: operations of document/literal messages.
pub struct Contract<S: Surface> {
    /// Of the service; part of its addresses and of the names in its description.
    pub name: &'static str,
    /// Of its messages; empty if each edition has a namespace of its own.
    pub namespace: &'static str,
    /// Header blocks that a request may have.
    pub header_blocks: &'static [Field],
    /// Of all editions.
    pub operations: &'static [Operation<S>],
}

impl<S: Surface> Contract<S> {
    /// The operation of this name, whatever its edition.
    pub fn operation(&self, name: &str) -> Option<&'static Operation<S>> {
        self.operations.iter().find(|o| o.name == name)
    }

    /// The SOAPAction of an operation (WSDL 1.1 §3.4): namespace, slash, name.
    pub fn soap_action(&self, operation: &Operation<S>) -> String {
        format!("{}/{}", self.namespace, operation.name)
    }
}

/// One operation: its messages, and the work.
pub struct Operation<S: Surface> {
    /// Its name on every surface, and of the element in the Body of a request.
    pub name: &'static str,
    /// For people, in descriptions and on pages.
    pub documentation: &'static str,
    /// Of the arguments.
    pub input: &'static ComplexType,
    /// Of the answer.
    pub output: &'static ComplexType,
    /// The element in the Body of a response.
    pub response: &'static str,
    /// `false`: every call is refused.
    pub is_supported: bool,
    /// Whether it assigns or releases seats, so that it may be refused for the state of pools and seats.
    pub changes_seats: bool,
    /// Whether it makes a change, so that its caller may want to name the call.
    pub changes: bool,
    /// The edition that added it.
    pub since: Edition,
    run: Run<S>,
}

impl<S: Surface> Operation<S> {
    /// An operation of all editions that changes nothing.
    pub const fn new(
        name: &'static str,
        documentation: &'static str,
        input: &'static ComplexType,
        output: &'static ComplexType,
        response: &'static str,
        run: Run<S>,
    ) -> Operation<S> {
        Operation {
            name,
            documentation,
            input,
            output,
            response,
            is_supported: true,
            changes_seats: false,
            changes: false,
            since: Edition::First,
            run,
        }
    }

    /// The same operation, of which every call is refused.
    pub const fn not_supported(self) -> Operation<S> {
        Operation { is_supported: false, ..self }
    }

    /// The same operation, which assigns or releases seats.
    pub const fn changes_seats(self) -> Operation<S> {
        Operation { changes_seats: true, changes: true, ..self }
    }

    /// The same operation, which changes something.
    pub const fn changes(self) -> Operation<S> {
        Operation { changes: true, ..self }
    }

    /// The same operation, which older editions do not have.
    pub const fn since(self, edition: Edition) -> Operation<S> {
        Operation { since: edition, ..self }
    }
}

/// Does an operation's work.
pub type Run<S> = fn(Call<S>) -> Pin<Box<dyn Future<Output = Result<Done<<S as Surface>::Answer>, Error>> + Send>>;

/// A call of an operation.
pub struct Call<S: Surface> {
    pub operation: &'static Operation<S>,
    pub service: Arc<Service>,
    /// Has the name that the caller gave the call, if it did.
    pub context: CallContext,
    pub identity: Identity,
    /// Of the operation's `input`.
    pub arguments: Record,
    pub extra: S::Extra,
}

impl<S: Surface> Call<S> {
    /// Runs the call; counts it, and logs how it ended.
    pub async fn run(self) -> Ended<S::Answer> {
        let (operation, service, context) = (self.operation.name, Arc::clone(&self.service), self.context.clone());
        let id = || context.answer_id();
        context.trail.note(|facts| facts.request = Some(context.instant.elapsed()));
        let done = match (self.operation.run)(self).await {
            Ok(done) => done,
            Err(error) => {
                log_outcome(operation, &service, &context, Some(&error));
                return Ended { id: id(), outcome: Err(error) };
            }
        };
        let end = match done.end {
            End::Reached(refused) => {
                log_outcome(operation, &service, &context, refused.as_ref());
                End::Reached(refused)
            }
            End::Ahead(end) => {
                let context = context.clone();
                End::Ahead(tokio::spawn(async move {
                    let refused = end.await.expect("the use case does not panic and is not aborted");
                    log_outcome(operation, &service, &context, refused.as_ref());
                    refused
                }))
            }
        };
        Ended { id: id(), outcome: Ok(Done { answer: done.answer, end }) }
    }
}

/// The result of a call that is answered.
pub struct Done<A> {
    pub answer: A,
    pub end: End,
}

impl From<Record> for Done<Record> {
    fn from(answer: Record) -> Done<Record> {
        Done { answer, end: End::Reached(None) }
    }
}

/// The end of an answered call. As a future it gives the refusal that the answer carries; it fails if the use case panicked.
pub enum End {
    Reached(Option<Error>),
    /// Known once the last part of the answer exists.
    Ahead(JoinHandle<Option<Error>>),
}

impl Future for End {
    type Output = Result<Option<Error>, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            End::Reached(refused) => Poll::Ready(Ok(refused.take())),
            End::Ahead(end) => Pin::new(end).poll(cx),
        }
    }
}

/// How a call ended.
pub struct Ended<A> {
    pub outcome: Result<Done<A>, Error>,
    /// The id that stands in the answer.
    pub id: Uuid,
}

/// Counts a call, and logs it under the id that the answer and the audit have. Notes a refusal for administrators.
///
/// The line of a success is for `log_calls`; the line of a refusal is always there, unless a caller that proved nothing, or a store
/// that fails, would fill the log.
pub(crate) fn log_outcome(operation: &'static str, service: &Service, context: &CallContext, refused: Option<&Error>) {
    let code = refused.map_or("Success", |refused| refused.kind.outcome());
    service.metrics.count_call(operation, code);
    observe(operation, service, context);
    let line = Line { operation, code, ..Line::default() };
    let by_choice = if service.logs_calls() { Level::INFO } else { Level::DEBUG };
    if let Some(original) = context.original() {
        service.metrics.replays.inc();
        line.write(Level::INFO, context, &format_args!("answered again: a replay of call {}", original.id));
        return;
    }
    let Some(refused) = refused else {
        line.write(by_choice, context, &"done");
        return;
    };
    let sign_in_refused = context.trail.note(|facts| facts.sign_in_refused);
    let reason = sign_in_refused.unwrap_or(refused.reason);
    service.metrics.count_refusal(code, reason);
    let line = Line { reason: Some(reason), error: std::error::Error::source(refused), ..line };
    let is_failure = refused.kind == ErrorKind::UnexpectedError && line.error.is_some();
    let (level, left_out) = if is_failure {
        let level = level_of_failure(reason);
        service.line_of_failure(reason).map_or((by_choice, 0), |left_out| (level, left_out))
    } else if refused.kind.is_of_a_proved_caller() || refused.kind == ErrorKind::UnexpectedError {
        (Level::INFO, 0)
    } else {
        service.line_of_unproved(context).map_or((Level::DEBUG, 0), |left_out| (Level::INFO, left_out))
    };
    let line = Line { left_out: Some(left_out).filter(|left_out| *left_out > 0), ..line };
    match sign_in_refused {
        Some(_) => line.write_refused_sign_in(level, context),
        None => line.write(level, context, refused),
    }
    service.note_refused(operation, context, refused);
}

/// How urgent it is for an operator that calls fail for this reason.
fn level_of_failure(reason: &str) -> Level {
    match reason {
        // It ends by itself when the service has stopped.
        "stopping" => Level::INFO,
        // It ends by itself if the load or the other program does.
        "queue_full" | "database_locked" => Level::WARN,
        _ => Level::ERROR,
    }
}

/// Records how long a call took, if one began.
fn observe(operation: &'static str, service: &Service, context: &CallContext) {
    let (request, sign_in, store, wait) = context.trail.note(|facts| {
        facts.is_logged = true;
        (facts.request, facts.sign_in, facts.store, facts.wait)
    });
    if request.is_none() {
        return;
    }
    let transaction = store.map(|store| store.saturating_sub(wait.unwrap_or_default()));
    service.metrics.call_times.observe(
        operation,
        [
            (Phase::Request, request),
            (Phase::SignIn, sign_in),
            (Phase::Wait, wait),
            (Phase::Transaction, transaction),
            (Phase::Total, Some(context.instant.elapsed())),
        ],
    );
}

/// The line of a call, besides what the call's trail has.
#[derive(Default, Clone, Copy)]
struct Line<'a> {
    operation: &'static str,
    code: &'static str,
    reason: Option<&'static str>,
    /// Lines of the same kind that were left out before this one.
    left_out: Option<u64>,
    /// For operators only.
    error: Option<&'a (dyn std::error::Error + 'static)>,
}

/// An event with every value that the line of a call may have. The address comes first: a filter can rely on nothing before it
/// being sent by a caller.
macro_rules! line {
    ($target:literal, $level:ident, $line:expr, $context:expr, $facts:expr, $text:expr) => {{
        let (line, context, facts) = ($line, $context, $facts);
        let (trace, subject) = (facts.trace.as_ref(), &facts.subject);
        tracing::event!(
            target: $target,
            Level::$level,
            client = %context.peer,
            reason = line.reason,
            code = line.code,
            operation = line.operation,
            surface = facts.surface,
            request_id = %context.id,
            original_id = context.original().map(|original| tracing::field::display(original.id)),
            trace_id = trace.map(|trace| trace.trace_id.as_str()),
            parent_id = trace.map(|trace| trace.parent_id.as_str()),
            duration_ms = milliseconds(context.instant.elapsed()),
            entity = subject.entity_id,
            license_type = types(&subject.license_types).as_deref(),
            associate = subject.associate_id,
            items = facts.items.map(|(items, _)| items),
            items_refused = facts.items.map(|(_, refused)| refused),
            left_out = line.left_out,
            credential = facts.credential.as_deref(),
            user = subject.user.as_deref(),
            from_user = subject.from_user.as_deref(),
            owner = subject.owner.as_deref(),
            error = line.error.map(tracing::field::display),
            "{}",
            $text
        )
    }};
}

impl Line<'_> {
    fn write(self, level: Level, context: &CallContext, text: &dyn std::fmt::Display) {
        if level > LevelFilter::current() {
            return;
        }
        let facts = context.trail.facts();
        match level {
            Level::ERROR => line!("seatkeeper::calls", ERROR, self, context, facts, text),
            Level::WARN => line!("seatkeeper::calls", WARN, self, context, facts, text),
            Level::INFO => line!("seatkeeper::calls", INFO, self, context, facts, text),
            _ => line!("seatkeeper::calls", DEBUG, self, context, facts, text),
        }
    }

    /// The line that filters look for: its text never changes. The page about monitoring promises its form.
    fn write_refused_sign_in(self, level: Level, context: &CallContext) {
        const TEXT: &str = "a sign-in was refused";
        if level > LevelFilter::current() {
            return;
        }
        let facts = context.trail.facts();
        match level {
            Level::INFO => line!("seatkeeper::sign_in", INFO, self, context, facts, TEXT),
            _ => line!("seatkeeper::sign_in", DEBUG, self, context, facts, TEXT),
        }
    }
}

/// To a thousandth.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

fn types(license_types: &[LicenseType]) -> Option<String> {
    (!license_types.is_empty()).then(|| license_types.iter().map(|t| t.name()).collect::<Vec<_>>().join(","))
}
