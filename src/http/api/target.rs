//! What there is at an address of the Web API.

use crate::contract::netserver::web::{self, AGENT, BASE, OPENAPI, RESOURCE, Route, SWAGGER};
use crate::contract::netserver::{LICENSE, Operation};

pub(super) enum Target {
    /// The list of versions.
    Versions,
    /// The list of addresses.
    Operations,
    OpenApi,
    Swagger,
    Agent(&'static Operation),
    /// The routes of one path, one for each method.
    Resource(Vec<&'static Route>),
    Nothing,
}

impl Target {
    /// By the segments of the path below `/api`, decoded; without regard to case.
    pub(super) fn of(segments: &[String]) -> Target {
        let is = |at: usize, name: &str| segments.get(at).is_some_and(|segment| segment.eq_ignore_ascii_case(name));
        let version = BASE.rsplit('/').next().unwrap_or_default();
        match segments.len() {
            0 => return Target::Versions,
            _ if !is(0, version) => return Target::Nothing,
            1 => return Target::Operations,
            2 if is(1, OPENAPI) => return Target::OpenApi,
            2 if is(1, SWAGGER) => return Target::Swagger,
            _ => {}
        }
        if is(1, RESOURCE) {
            let routes: Vec<_> = web::routes_at(&segments[2..]).collect();
            return if routes.is_empty() { Target::Nothing } else { Target::Resource(routes) };
        }
        let (agents, license) = AGENT.split_once('/').unwrap_or_default();
        if segments.len() == 4 && is(1, agents) && is(2, license) {
            let named = |operation: &&Operation| is(3, operation.name());
            return LICENSE.operations.iter().find(named).map_or(Target::Nothing, Target::Agent);
        }
        Target::Nothing
    }

    /// The methods here, as the Allow header lists them; `None` where there is nothing.
    pub(super) fn allowed(&self) -> Option<String> {
        let mut methods: Vec<&str> = match self {
            Target::Versions | Target::Operations | Target::OpenApi | Target::Swagger => vec!["GET"],
            Target::Agent(_) => vec!["GET", "POST"],
            Target::Resource(routes) => routes.iter().map(|route| route.method.name()).collect(),
            Target::Nothing => return None,
        };
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        Some(methods.join(", "))
    }
}
