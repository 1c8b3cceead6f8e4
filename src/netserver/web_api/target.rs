//! The content of an address of the Web API.

use axum::http::Method;

use super::{AGENT, BASE, OPENAPI, RESOURCE, Route, SWAGGER, routes_at};
use crate::http::address::{Address, percent_decode};
use crate::netserver::{LICENSE, Operation};

/// The decoded segments of the path below `/api`. A slash at the end adds none.
///
/// Among the arguments of the resource an empty segment stays: without it the path would name another resource, and a call with a
/// missing argument would do more than intended. For the same reason a `DELETE` with dot segments finds nothing.
pub(super) fn segments(address: &Address, method: &Method) -> Vec<String> {
    if address.had_dots() && *method == Method::DELETE {
        return vec![".".to_owned()];
    }
    let path = address.path_with_empty();
    let path = path.strip_suffix('/').unwrap_or(path);
    let resource = BASE.split('/').filter(|segment| !segment.is_empty()).count();
    let mut segments: Vec<String> = Vec::new();
    // In a path a plus sign is no space.
    for segment in path.split('/').skip(1).map(|segment| percent_decode(&segment.replace('+', "%2B"))) {
        let is_argument = segments.get(resource).is_some_and(|name| name.eq_ignore_ascii_case(RESOURCE));
        if is_argument || !segment.is_empty() {
            segments.push(segment);
        }
    }
    segments.split_off(segments.len().min(1))
}

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
            let routes: Vec<_> = routes_at(&segments[2..]).collect();
            return if routes.is_empty() { Target::Nothing } else { Target::Resource(routes) };
        }
        let (agents, license) = AGENT.split_once('/').unwrap_or_default();
        if segments.len() == 4 && is(1, agents) && is(2, license) {
            let named = |operation: &&Operation| is(3, operation.name);
            return LICENSE.operations.iter().find(named).map_or(Target::Nothing, Target::Agent);
        }
        Target::Nothing
    }

    /// The methods of this address, as the Allow header lists them; `None`: the address is unknown.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(typed: &str) -> Address {
        let prefix = "/SuperOffice".parse().expect("a prefix");
        Address::of(&typed.parse().expect("a URI"), Some(&prefix))
    }

    #[test]
    fn segments_of_the_web_api_keep_their_meaning() {
        for (typed, expected) in [
            ("/api", &[][..]),
            ("//api//", &[]),
            ("/api//v1/", &["v1"]),
            ("/api/v1//License", &["v1", "License"]),
            ("/api/v1/License/", &["v1", "License"]),
            ("/api/v1/License//", &["v1", "License", ""]),
            ("/api/v1/License//7", &["v1", "License", "", "7"]),
            ("/api/v1/%4cicense/A//7", &["v1", "License", "A", "", "7"]),
            ("//SuperOffice//api//v1/license//7", &["v1", "license", "", "7"]),
            ("/api/v1/Agents//License//GetShopUrl", &["v1", "Agents", "License", "GetShopUrl"]),
            ("/api/v1/License/a%2Fb/c%2541+d", &["v1", "License", "a/b", "c%41+d"]),
            ("/api/v1/License/%2e%2e/x", &["v1", "x"]),
            ("/api/v1/License/a/./7", &["v1", "License", "a", "7"]),
        ] {
            assert_eq!(segments(&address(typed), &Method::GET), expected, "{typed}");
        }
        let climbing = address("/api/v1/License/CONTOSO/7/..");
        assert_eq!(segments(&climbing, &Method::GET), ["v1", "License", "CONTOSO"]);
        assert_eq!(segments(&climbing, &Method::DELETE), ["."]);
    }
}
