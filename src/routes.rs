//! Every route of the service, and the parts that they need.
//!
//! | path | methods | answered by |
//! |---|---|---|
//! | `/` | GET | `start` |
//! | `/healthz`, `/readyz` | GET | `http::health` |
//! | `/WebApi/AccountManagementService/LicenseManagementService.asmx` | GET, POST | `asmx::pages`; messages: `asmx::endpoint` |
//! | the same with more behind it | GET, POST | `asmx::pages` |
//! | `/Remote/{edition}/SoPrincipal.svc`, `/Remote/{edition}/License.svc` | GET, POST | `netserver::endpoint` |
//! | `/api`, `/api/v1`, `/api/v1/openapi.json`, `/api/v1/swagger.json` | GET | `web_api::endpoint` |
//! | `/api/v1/Agents/License/{operation}` | GET, POST | `web_api::endpoint` |
//! | `/api/v1/License` | GET, POST | `web_api::endpoint`, as all below |
//! | `/api/v1/License/User/MdoList` | GET | |
//! | `/api/v1/License/User/{associateId}` | GET | |
//! | `/api/v1/License/Site/{satelliteId}` | GET | |
//! | `/api/v1/License/ChangeSerialNumber` | POST | |
//! | `/api/v1/License/{ownerName}/ShopUrl` | GET | |
//! | `/api/v1/License/{moduleOwner}/{associateId}` | GET, PUT, DELETE | |
//! | `/api/v1/License/{ownerName}/{moduleName}` | GET | |
//! | `/api/v1/License/{ownerName}` | GET, DELETE | |
//!
//! Letters count in either case, and every path is served below the prefix too. GET stands for HEAD. The Web API answers OPTIONS
//! everywhere. `metrics_router` has the one route of the metrics listener.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{any, get};

use crate::admin;
use crate::asmx::{self, PATH as ASMX_PATH};
use crate::http::site::Site;
use crate::http::{LiveLimits, PathPrefix, Routes};
use crate::http::{accept, health};
use crate::metrics::Format;
use crate::netserver::web_api::{self, CorsOrigins};
use crate::netserver::{self, Endpoint};
use crate::service::{Gauges, Service};

/// The parts of the service.
pub struct App {
    pub service: Arc<Service>,
    pub limits: LiveLimits,
    /// Scheme, host and port at which clients reach the service, if it differs from the Host that they send; no trailing slash.
    pub public_url: Option<String>,
    /// The origins whose pages may call the Web API.
    pub cors_origins: CorsOrigins,
    /// Every path is served below it too.
    pub path_prefix: Option<PathPrefix>,
    /// Whether browsers on the service's own machine get the test form.
    pub test_form: bool,
    /// Whether an assignment enrolls a user name that is not known: the pages explain refusals by it.
    pub enroll: bool,
}

/// First segments of the paths below. A prefix that begins with one would hide them.
const FIRST_SEGMENTS: [&str; 5] = ["webapi", "remote", "api", "healthz", "readyz"];

/// The routes of the service.
pub fn router(app: App) -> Routes {
    let App { service, limits, public_url, cors_origins, path_prefix, test_form, enroll } = app;
    let site = Arc::new(Site { service: Arc::clone(&service), limits, public_url });

    let asmx = get(move |request| asmx::pages::service(request, test_form))
        .post(move |request| asmx::pages::post(request, test_form));
    let below_asmx = get(asmx::pages::below_asmx).post(asmx::pages::below_asmx);
    let cors_origins = Arc::new(cors_origins);
    let web_api = any(move |request| async move { web_api::endpoint::answer(request, &cors_origins).await });

    // Paths are in lower case, as the router gets them.
    let asmx_path = ASMX_PATH.to_ascii_lowercase();
    let mut router = Router::new()
        .route("/healthz", get(health::healthy))
        .route("/readyz", get(health::ready))
        .route(&asmx_path, asmx)
        .route(&format!("{asmx_path}/{{*rest}}"), below_asmx)
        .route("/api", web_api.clone())
        .route("/api/", web_api.clone())
        // Below it: `web_api::ROUTES`, agent calls and documents.
        .route("/api/{*rest}", web_api)
        .merge(admin::routes::router(elsewhere(), enroll))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing at this address.\n") });
    for endpoint in Endpoint::all() {
        let path = endpoint.path().to_ascii_lowercase();
        let netserver = get(move |request| netserver::endpoint::page(endpoint, request))
            .post(move |request| netserver::endpoint::call(endpoint, request));
        router = router.route(&format!("{path}/"), netserver.clone()).route(&path, netserver);
    }
    Routes::new(router.with_state(site), path_prefix, Some(service))
}

/// The routes of the metrics listener. `entities_max`: entities with numbers of their own.
pub fn metrics_router(service: Arc<Service>, entities_max: usize) -> Routes {
    let gauges = Gauges::new(service, entities_max);
    let metrics = move |headers: HeaderMap| async move {
        gauges.refresh().await;
        let preferred = accept::preferred(&headers, &Format::ALL.map(Format::media_type));
        let format = preferred.map_or(Format::Text, |index| Format::ALL[index]);
        ([(header::CONTENT_TYPE, format.content_type())], gauges.metrics().render_as(format))
    };
    let elsewhere = || async { (StatusCode::NOT_FOUND, "Only /metrics is here.\n") };
    Routes::new(Router::new().route("/metrics", get(metrics)).fallback(elsewhere), None, None)
}

/// A prefix that hides none of the service's own paths.
///
/// # Errors
///
/// The reason, for the operator.
pub fn path_prefix(text: &str) -> Result<PathPrefix, String> {
    let prefix: PathPrefix = text.parse()?;
    let first = prefix.first_segment();
    let own = FIRST_SEGMENTS.iter().chain(&admin::routes::FIRST_SEGMENTS);
    if own.into_iter().any(|own| first.eq_ignore_ascii_case(own)) {
        return Err(format!("'{text}' begins as addresses of the service do: choose another name than '{first}'"));
    }
    Ok(prefix)
}

/// Other addresses that the pages for administrators link to.
fn elsewhere() -> admin::routes::Elsewhere {
    let below_root = |path: &str| path.trim_start_matches('/').to_owned();
    let newest = Endpoint::all().last().map(Endpoint::path);
    admin::routes::Elsewhere {
        operations: below_root(ASMX_PATH),
        license: newest.as_deref().map(below_root).unwrap_or_default(),
        open_api: format!("{}/{}", below_root(web_api::BASE), web_api::OPENAPI),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_cannot_begin_as_the_addresses_of_a_surface_do() {
        let services = Endpoint::all().map(Endpoint::path);
        let own = [ASMX_PATH, web_api::BASE, "/healthz", "/readyz", "/pools/7", "/sign-in"].map(str::to_owned);
        for path in own.into_iter().chain(services) {
            let first = path.split('/').nth(1).expect("a segment");
            path_prefix(&format!("/{first}/x")).expect_err(&path);
        }
        assert_eq!(path_prefix("/SuperOffice/x"), "/SuperOffice/x".parse());
        for bad in ["/api", "/Remote/x", "/WEBAPI", "/healthz"] {
            assert!(path_prefix(bad).expect_err(bad).contains("choose another name"), "{bad}");
        }
    }

    /// The table above has the paths of the services, and the resource with its methods, in the order in which they match.
    #[test]
    fn the_table_shows_every_route() {
        let rows = include_str!("routes.rs").lines().map_while(|line| line.strip_prefix("//!")).filter_map(|line| {
            let (paths, rest) = line.trim().strip_prefix("| `/")?.split_once(" | ")?;
            Some((format!("`/{paths}"), rest.split_once(" | ")?.0.to_owned()))
        });
        let rows: Vec<(String, String)> = rows.collect();
        let shows = |path: &str| rows.iter().any(|(paths, _)| paths.split(", ").any(|own| own == format!("`{path}`")));

        let services = Endpoint::all().map(|endpoint| endpoint.path().replace(endpoint.edition.name(), "{edition}"));
        let agent = format!("{}/{}/{{operation}}", web_api::BASE, web_api::AGENT);
        let documents = [web_api::OPENAPI, web_api::SWAGGER].map(|name| format!("{}/{name}", web_api::BASE));
        let own = [ASMX_PATH, web_api::BASE, "/", "/healthz", "/readyz", "/api", &agent].map(str::to_owned);
        for path in own.into_iter().chain(services).chain(documents) {
            assert!(shows(&path), "{path}");
        }

        let mut resource: Vec<(String, Vec<&str>)> = Vec::new();
        for route in web_api::ROUTES {
            let path = format!("`{}`", route.template());
            // A path with other names for its arguments is the same path.
            let first = web_api::ROUTES.iter().find(|first| first.is_at(route)).map(web_api::Route::template);
            let shown = first.map_or(path, |first| format!("`{first}`"));
            match resource.iter_mut().find(|(path, _)| *path == shown) {
                Some((_, methods)) => methods.push(route.method.name()),
                None => resource.push((shown, vec![route.method.name()])),
            }
        }
        let expected: Vec<(String, String)> =
            resource.into_iter().map(|(path, methods)| (path, methods.join(", "))).collect();
        let base = format!("`{}/{}", web_api::BASE, web_api::RESOURCE);
        let found: Vec<(String, String)> = rows.into_iter().filter(|(path, _)| path.starts_with(&base)).collect();
        assert_eq!(found, expected);
    }
}
