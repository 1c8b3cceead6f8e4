//! The Web API: the operations of License over plain HTTP. As agent calls, `POST Agents/License/{Operation}` with the arguments
//! as one object; and as a resource, whose [`ROUTES`] map methods and paths to operations.

mod arguments;
mod authorization;
mod cors;
pub(crate) mod endpoint;
mod negotiation;
pub mod openapi;
pub mod read;
mod request;
pub mod select;
pub mod swagger;
mod target;
mod write;

use super::{LICENSE, Operation};
use crate::contract::{Field, Kind};

/// The path of the Web API.
pub const BASE: &str = "/api/v1";
/// Below [`BASE`]: the OpenAPI document.
pub const OPENAPI: &str = "openapi.json";
/// Below [`BASE`]: the same as Swagger 2.0.
pub const SWAGGER: &str = "swagger.json";
/// Below [`BASE`]: the agent calls.
pub const AGENT: &str = "Agents/License";
/// Below [`BASE`]: the resource.
pub const RESOURCE: &str = "License";

/// Media types of bodies, in requests and answers. The first is the default for answers.
pub const MEDIA_TYPES: [&str; 6] = [
    "application/json",
    "text/json",
    "application/xml",
    "text/xml",
    "application/json-patch+json",
    "application/merge-patch+json",
];
/// A form: for the arguments of an agent call, and for a body that is one value.
pub const FORM_TYPE: &str = "application/x-www-form-urlencoded";
/// For a body that is one string.
pub const TEXT_TYPE: &str = "text/plain";

/// Whether a body of one of [`MEDIA_TYPES`] is XML; the others are JSON.
pub fn is_xml(media_type: &str) -> bool {
    media_type.ends_with("/xml")
}

/// One method on one path of the resource.
pub struct Route {
    /// GET includes HEAD.
    pub method: Method,
    /// Below [`RESOURCE`].
    pub path: &'static [Segment],
    /// Arguments in the query, each under its name with a lower-case first letter.
    pub query: &'static [&'static str],
    /// The argument that is the body.
    pub body: Option<&'static str>,
    /// Name of its operation.
    pub operation: &'static str,
}

/// A method of HTTP that the resource has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// Its name in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// A segment of a path; paths are matched without regard to case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    Literal(&'static str),
    /// An argument, in the path's template with a lower-case first letter. If it is an int, the segment must be one.
    Argument(&'static str),
}

pub use cors::CorsOrigins;

use Method::{Delete, Get, Post, Put};
use Segment::{Argument, Literal};

/// The first matching path counts, so literal segments come before arguments, and ints before strings.
pub static ROUTES: &[Route] = &[
    route(Get, &[], "GetLicenseForAllOwnersFromDB"),
    route(Post, &[], "AddLicenseFromFile").body("FileContent"),
    route(Get, &[Literal("User"), Literal("MdoList")], "GetUserLicensesMDOList"),
    route(Get, &[Literal("User"), Argument("AssociateId")], "GetUserLicenses"),
    route(Get, &[Literal("Site"), Argument("SatelliteId")], "GetSatelliteLicenses"),
    route(Post, &[Literal("ChangeSerialNumber")], "ChangeSerialNumber").query(&["NewCompanyName", "NewSerialNumber"]),
    route(Get, &[Argument("OwnerName"), Literal("ShopUrl")], "GetShopUrl"),
    route(Get, &[Argument("ModuleOwner"), Argument("AssociateId")], "GetThirdPartyLicenseAssignments"),
    route(Put, &[Argument("ModuleOwner"), Argument("AssociateId")], "AssignThirdPartyLicenses")
        .body("ModuleLicenseNames"),
    route(Delete, &[Argument("ModuleOwner"), Argument("AssociateId")], "UnassignThirdPartyLicenses")
        .body("ModuleLicenseNames"),
    route(Get, &[Argument("OwnerName"), Argument("ModuleName")], "GetModuleLicenseFromDB"),
    route(Get, &[Argument("OwnerName")], "GetLicenseFromDB"),
    route(Delete, &[Argument("ModuleOwner")], "RemoveLicenseFromDB"),
];

const fn route(method: Method, path: &'static [Segment], operation: &'static str) -> Route {
    Route { method, path, query: &[], body: None, operation }
}

impl Route {
    const fn query(mut self, query: &'static [&'static str]) -> Route {
        self.query = query;
        self
    }

    const fn body(mut self, body: &'static str) -> Route {
        self.body = Some(body);
        self
    }

    /// Its operation.
    pub fn operation(&self) -> &'static Operation {
        let found = LICENSE.operation(self.operation);
        found.unwrap_or_else(|| panic!("there is no operation {}: a mistake in ROUTES", self.operation))
    }

    /// An argument of the route's operation.
    pub fn argument(&self, name: &str) -> &'static Field {
        let field = self.operation().input.fields.iter().find(|f| f.name == name);
        field.unwrap_or_else(|| panic!("{} has no argument {name}: a mistake in ROUTES", self.operation))
    }

    /// The kind of an argument of the route's operation.
    pub fn kind(&self, argument: &str) -> Kind {
        self.argument(argument).kind
    }

    /// Whether segments, decoded, are this route's path.
    pub fn matches(&self, segments: &[String]) -> bool {
        let fits = |(own, typed): (&Segment, &String)| match own {
            Literal(name) => name.eq_ignore_ascii_case(typed),
            Argument(name) if matches!(self.kind(name), Kind::Int) => typed.parse::<i32>().is_ok(),
            Argument(_) => !typed.is_empty(),
        };
        self.path.len() == segments.len() && self.path.iter().zip(segments).all(fits)
    }

    /// Whether the other route has the same path, apart from the names of arguments.
    pub fn is_at(&self, other: &Route) -> bool {
        let same = |(own, theirs): (&Segment, &Segment)| match (own, theirs) {
            (Argument(a), Argument(b)) => matches!(self.kind(a), Kind::Int) == matches!(other.kind(b), Kind::Int),
            _ => own == theirs,
        };
        self.path.len() == other.path.len() && self.path.iter().zip(other.path).all(same)
    }

    /// The path in documents, from [`BASE`] on.
    pub fn template(&self) -> String {
        let segments = self.path.iter().map(|segment| match segment {
            Literal(name) => format!("/{name}"),
            Argument(name) => format!("/{{{}}}", parameter(name)),
        });
        format!("{BASE}/{RESOURCE}{}", segments.collect::<String>())
    }
}

/// The name of a type in a description for people.
pub fn type_name(kind: Kind) -> String {
    match kind {
        Kind::String | Kind::Base64 => "string".to_owned(),
        Kind::Int => "int".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::DateTime | Kind::NullableDateTime => "date-time".to_owned(),
        Kind::Enumeration(of) => of.name.to_owned(),
        Kind::Complex(of) => of.name.to_owned(),
        Kind::Array(of) => format!("{}[]", of.item.name),
        Kind::Strings => "string[]".to_owned(),
        Kind::Ints => "int[]".to_owned(),
        Kind::Declared(_) => "object".to_owned(),
    }
}

/// The routes of the first path that matches the decoded segments: one for each of its methods.
pub fn routes_at(segments: &[String]) -> impl Iterator<Item = &'static Route> {
    let first = ROUTES.iter().find(|route| route.matches(segments));
    ROUTES.iter().filter(move |route| first.is_some_and(|first| route.is_at(first)))
}

/// An argument's name in paths and queries: with a lower-case first letter.
pub fn parameter(argument: &str) -> String {
    let mut chars = argument.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The operation of a path, by the first matching route.
    fn operation(method: Method, path: &str) -> Option<&'static str> {
        let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        routes_at(&segments).find(|route| route.method == method).map(|route| route.operation)
    }

    #[test]
    fn the_first_path_that_matches_counts() {
        for (method, path, expected) in [
            (Get, "", Some("GetLicenseForAllOwnersFromDB")),
            (Post, "", Some("AddLicenseFromFile")),
            (Get, "CONTOSO", Some("GetLicenseFromDB")),
            (Delete, "contoso", Some("RemoveLicenseFromDB")),
            (Get, "user/mdolist", Some("GetUserLicensesMDOList")),
            (Get, "User/7", Some("GetUserLicenses")),
            (Get, "User/seven", Some("GetModuleLicenseFromDB")),
            (Get, "Site/0", Some("GetSatelliteLicenses")),
            (Post, "CHANGESERIALNUMBER", Some("ChangeSerialNumber")),
            (Get, "CONTOSO/shopurl", Some("GetShopUrl")),
            (Get, "CONTOSO/7", Some("GetThirdPartyLicenseAssignments")),
            (Put, "CONTOSO/7", Some("AssignThirdPartyLicenses")),
            (Delete, "CONTOSO/7", Some("UnassignThirdPartyLicenses")),
            (Get, "CONTOSO/SQLBACKUP", Some("GetModuleLicenseFromDB")),
            (Put, "CONTOSO/SQLBACKUP", None),
            (Get, "CONTOSO/2147483648", Some("GetModuleLicenseFromDB")),
            (Get, "a/b/c", None),
        ] {
            assert_eq!(operation(method, path), expected, "{} {path}", method.name());
        }
    }

    /// Every argument of an operation has exactly one place in the request.
    #[test]
    fn routes_give_operations_all_of_their_arguments() {
        for route in ROUTES {
            let in_path = route.path.iter().filter_map(|segment| match segment {
                Argument(name) => Some(*name),
                Literal(_) => None,
            });
            let mut given: Vec<&str> = in_path.chain(route.query.iter().copied()).chain(route.body).collect();
            let mut needed: Vec<&str> = route.operation().input.fields.iter().map(|f| f.name).collect();
            given.sort_unstable();
            needed.sort_unstable();
            assert_eq!(given, needed, "{}", route.template());
        }
    }
}
