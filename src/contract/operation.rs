//! One operation, one call of it, and the one place that counts and logs how calls end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinHandle};
use tracing::{debug, error, info};
use uuid::Uuid;

use super::edition::Edition;
use super::record::Record;
use super::{ComplexType, Field};
use crate::error::{Error, ErrorKind};
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
pub(crate) fn log_outcome(operation: &'static str, service: &Service, context: &CallContext, refused: Option<&Error>) {
    let metrics = &service.metrics;
    let code = refused.map_or("Success", |refused| refused.kind.outcome());
    if let Some(original) = context.original() {
        metrics.replays.inc();
        metrics.count_call(operation, code);
        info!(request_id = %context.id, error_id = %original.id, operation, code, "answered again: a replay of call {}", original.id);
        return;
    }
    let Some(refused) = refused else {
        metrics.count_call(operation, code);
        debug!(request_id = %context.id, operation, "done");
        return;
    };
    let id = context.id;
    match std::error::Error::source(refused) {
        Some(cause) if refused.kind == ErrorKind::UnexpectedError => {
            error!(error_id = %id, operation, code, %cause, "{refused}");
        }
        _ => info!(error_id = %id, operation, code, "{refused}"),
    }
    metrics.count_call(operation, code);
    service.note_refused(operation, context, refused);
}
