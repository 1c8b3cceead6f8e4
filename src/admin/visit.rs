//! A request of a browser that is being answered: its language, its filters, its session; and what a handler may ask of the service.

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use maud::{Markup, html};

use super::export::Format;
use super::form::{self, Field};
use super::query::Query;
use super::session;
use super::words::Words;
use super::{frame, multipart, refused};
use crate::auth::SessionToken;
use crate::error::Error;
use crate::http::Limits;
use crate::http::body::{ContentType, read_body};
use crate::http::site::{Received, Site, WithBody};
use crate::seats::Role;
use crate::service::{CallContext, Identity, Service};
use crate::store::admin::totals::TotalsCache;
use crate::store::admin::{Admin, AdminRefusal, ChangeOptions, Changed, Sql, Stop};

/// See the module.
pub(super) struct Visit {
    request: Received,
    shared: Shared,
    pub(super) words: Words,
    pub(super) query: Query,
    /// The form of a POST; `None`: the request is a GET.
    pub(super) form: Option<Query>,
    /// From the page's address to that of the pages' root, so that links stay right behind any prefix that a proxy adds.
    pub(super) root: String,
    pub(super) session: Option<SessionToken>,
}

/// The caller, as its row stood when the page was made.
#[derive(Debug, Clone)]
pub(super) struct Me {
    pub(super) name: String,
    pub(super) role: Role,
}

impl Me {
    pub(super) fn of(admin: &Admin) -> Me {
        Me { name: admin.name.clone(), role: admin.role }
    }

    /// Whether the caller gets buttons. The store checks it again in every change.
    pub(super) fn may_change(&self) -> bool {
        self.role == Role::Admin
    }
}

/// Why a handler answers with another page than its own.
pub(super) enum Stopped {
    /// The browser has no session, or it has ended.
    SignIn,
    /// No such page.
    NotFound,
    /// The form is not from a page of this session.
    NotOwnForm,
    Unreadable,
    TooLong {
        bytes_max: usize,
    },
    Refused(AdminRefusal),
    Failed(Error),
    /// The body of the request did not come.
    Body(StatusCode, String),
}

impl From<AdminRefusal> for Stopped {
    fn from(refusal: AdminRefusal) -> Stopped {
        match refusal {
            AdminRefusal::CallerUnknown => Stopped::SignIn,
            other => Stopped::Refused(other),
        }
    }
}

pub(super) type Answer = Result<Response, Stopped>;

/// A page that is only looked at.
pub(super) fn view<F, A>(show: F) -> MethodRouter<Arc<Site>>
where
    F: Fn(Arc<Visit>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    get(move |request: Received| async move { finished(Arc::new(Visit::new(request)), show).await })
}

/// A form and what it leads to: a GET shows it, a POST sends it. The form's session is checked before the handler runs.
pub(super) fn form<F, A>(run: F) -> MethodRouter<Arc<Site>>
where
    F: Fn(Arc<Visit>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    view(run.clone()).merge(action(run))
}

/// A handler of POST only.
pub(super) fn action<F, A>(run: F) -> MethodRouter<Arc<Site>>
where
    F: Fn(Arc<Visit>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    sent(run, true, None)
}

/// The same, for a browser that is not signed in.
pub(super) fn outside_action<F, A>(run: F) -> MethodRouter<Arc<Site>>
where
    F: Fn(Arc<Visit>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    sent(run, false, None)
}

/// A form and what it leads to, for a browser that is not signed in.
pub(super) fn outside_form<F, A>(run: F) -> MethodRouter<Arc<Site>>
where
    F: Fn(Arc<Visit>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    view(run.clone()).merge(outside_action(run))
}

/// A form that may be longer than others: an import.
pub(super) fn long_form<F, A>(run: F, bytes_max: usize) -> MethodRouter<Arc<Site>>
where
    F: Fn(Arc<Visit>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    view(run.clone()).merge(sent(run, true, Some(bytes_max)))
}

fn sent<F, A>(run: F, signed_in: bool, bytes_max: Option<usize>) -> MethodRouter<Arc<Site>>
where
    F: Fn(Arc<Visit>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    post(move |WithBody(request, body)| async move {
        let mut visit = Visit::new(request);
        match visit.read_form(body, signed_in, bytes_max).await {
            Ok(form) => visit.form = Some(form),
            Err(stopped) => return refused::page(&visit, stopped).await,
        }
        finished(Arc::new(visit), run).await
    })
}

async fn finished<F, A>(visit: Arc<Visit>, run: F) -> Response
where
    F: Fn(Arc<Visit>) -> A,
    A: Future<Output = Answer>,
{
    match run(Arc::clone(&visit)).await {
        Ok(response) => response,
        Err(stopped) => refused::page(&visit, stopped).await,
    }
}

impl Visit {
    fn new(request: Received) -> Visit {
        request.context.trail.note(|facts| facts.surface = Some("pages"));
        let words = Words::of(&request.parts.headers);
        let query = Query::parse(request.parts.uri.query().unwrap_or_default().as_bytes());
        let depth = request.parts.uri.path().matches('/').count().saturating_sub(1);
        let prefix = request.address.prefix();
        let root = match depth {
            // The prefix alone may have been sent without a slash at its end, which takes its last segment from a relative address.
            0 if request.parts.uri.path() == "/" && !prefix.is_empty() => format!("{prefix}/"),
            0 => "./".to_owned(),
            depth => "../".repeat(depth),
        };
        let session = session::of(&request.parts.headers, request.origin().starts_with("https://"));
        let shared = request.parts.extensions.get::<Shared>().cloned().unwrap_or_default();
        Visit { request, shared, words, query, form: None, root, session }
    }

    async fn read_form(&self, body: Body, signed_in: bool, bytes_max: Option<usize>) -> Result<Query, Stopped> {
        if !session::is_own_form(self.headers(), &self.request.origin()) {
            return Err(Stopped::NotOwnForm);
        }
        if signed_in && self.session.is_none() {
            return Err(Stopped::SignIn);
        }
        let mut limits = Limits::clone(&self.request.limits);
        limits.body_bytes_max = bytes_max.unwrap_or(limits.body_bytes_max);
        let bytes = read_body(body, self.headers(), &limits).await.map_err(|unread| match unread.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Stopped::TooLong { bytes_max: limits.body_bytes_max },
            status => Stopped::Body(status, unread.to_string()),
        })?;
        let media_type = ContentType::of(self.headers()).unwrap_or_default().media_type;
        let form = if media_type == "application/x-www-form-urlencoded" {
            Query::parse(&bytes)
        } else {
            let content_type = self.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            multipart::parse(content_type.unwrap_or_default(), &bytes).ok_or(Stopped::Unreadable)?
        };
        if signed_in && !self.session.as_ref().is_some_and(|session| session::proves(session, form.text(TOKEN))) {
            return Err(Stopped::NotOwnForm);
        }
        Ok(form)
    }

    /// Whether the browser speaks TLS, to this service or to a proxy in front of it.
    pub(super) fn is_secure(&self) -> bool {
        self.request.origin().starts_with("https://")
    }

    pub(super) fn service(&self) -> &Service {
        &self.request.site.service
    }

    pub(super) fn context(&self) -> &CallContext {
        &self.request.context
    }

    fn headers(&self) -> &HeaderMap {
        &self.request.parts.headers
    }

    /// Below the root of the pages, in lower case.
    pub(super) fn path(&self) -> &str {
        self.request.parts.uri.path()
    }

    /// Path and query of the page. What takes a form shows it, empty, or the page that has its button.
    pub(super) fn target(&self) -> &str {
        self.request.parts.uri.path_and_query().map_or("", |target| target.as_str()).trim_start_matches('/')
    }

    pub(super) fn elsewhere(&self) -> &Elsewhere {
        &self.shared.elsewhere
    }

    /// The hidden field that proves a form to be of this session.
    pub(super) fn token(&self) -> Markup {
        html! { @if let Some(session) = &self.session { input type="hidden" name=(TOKEN) value=(session::form_token(session)); } }
    }

    /// A segment of the page's address, counted from 0.
    pub(super) fn segment(&self, index: usize) -> &str {
        self.path().split('/').nth(index + 1).unwrap_or_default()
    }

    /// A segment that is a number.
    pub(super) fn id(&self, index: usize) -> Result<i64, Stopped> {
        self.segment(index).parse().map_err(|_| Stopped::NotFound)
    }

    /// The form of the file that the address names by its end.
    pub(super) fn file_format(&self) -> Option<Format> {
        match self.path().rsplit_once('.')?.1 {
            "csv" => Some(Format::Csv),
            "json" => Some(Format::Json),
            _ => None,
        }
    }

    /// Numbers of all entities and pools, read at most every few seconds.
    pub(super) fn totals(&self) -> Arc<TotalsCache> {
        Arc::clone(&self.shared.totals)
    }

    pub(super) fn enrolls(&self) -> bool {
        self.shared.enroll
    }

    /// The text in the search field.
    pub(super) fn searched(&self) -> &str {
        if self.path() == "/search" { self.query.text("q") } else { "" }
    }

    /// Refuses an address, or a form, with an invalid value in one of these fields.
    pub(super) fn require_valid(&self, fields: &[Field]) -> Result<(), Stopped> {
        let sent = self.form.as_ref().and_then(|form| form::invalid(fields, form));
        let Some(field) = form::invalid(fields, &self.query).or(sent) else { return Ok(()) };
        let why = self.words.unreadable_filter().to_owned();
        Err(AdminRefusal::Invalid { field: field.name, why }.into())
    }

    /// An address below the root of the pages.
    pub(super) fn link(&self, address: &str) -> String {
        format!("{}{address}", self.root)
    }

    /// Leads the browser to an address below the root of the pages.
    pub(super) fn redirect(&self, address: &str) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        frame::secure(&mut response, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Ok(location) = HeaderValue::from_str(&self.link(address)) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }

    fn identity(&self) -> Result<Identity, Stopped> {
        self.session.as_ref().map(Identity::of_session).ok_or(Stopped::SignIn)
    }

    /// Reads of one moment, and the caller as it was then.
    pub(super) async fn look<T: Send + Sync + 'static>(
        &self,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<(Me, T), Stopped> {
        self.look_as(Role::Reader, work).await
    }

    /// The same, for callers of this role at least.
    pub(super) async fn look_as<T: Send + Sync + 'static>(
        &self,
        least: Role,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<(Me, T), Stopped> {
        let identity = self.identity()?;
        let with_me = move |sql: &dyn Sql, admin: &Admin| Ok((Me::of(admin), work(sql, admin)?));
        let looked = self.service().look(self.context(), &identity, least, with_me).await;
        looked.map_err(stopped)?.map_err(Stopped::from)
    }

    /// A change, all or nothing, or what would come of it.
    pub(super) async fn change<T: Send + Sync + 'static>(
        &self,
        options: ChangeOptions,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<Changed<(Me, T)>, Stopped> {
        let identity = self.identity()?;
        let with_me = move |sql: &dyn Sql, admin: &Admin| Ok((Me::of(admin), work(sql, admin)?));
        let changed = self.service().change(self.context(), &identity, options, with_me).await;
        let changed = changed.map_err(stopped)?.map_err(Stopped::from)?;
        if changed.kept {
            // The next page shows what this one changed.
            self.shared.totals.forget();
        }
        Ok(changed)
    }
}

/// The state that all pages share.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    pub(super) elsewhere: Arc<Elsewhere>,
    pub(super) totals: Arc<TotalsCache>,
    /// Whether an assignment enrolls a user name that is not known.
    pub(super) enroll: bool,
}

/// Addresses of the other surfaces, below the root.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    pub(crate) operations: String,
    pub(crate) license: String,
    pub(crate) open_api: String,
}

/// The name of the hidden field of every form.
pub(super) const TOKEN: &str = "token";

fn stopped(error: Error) -> Stopped {
    match error.kind {
        crate::error::ErrorKind::InvalidSoapCredentials => Stopped::SignIn,
        _ => Stopped::Failed(error),
    }
}
