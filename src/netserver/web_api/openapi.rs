//! The OpenAPI 3.1 document of the Web API, rendered from the tables that also answer its calls: the operations of
//! [`LICENSE`], the [`ROUTES`] of the resource and the types of both.
//!
//! A carrier is described twice: for answers, which always have all members, and for requests, which may leave out any member.
//! `$select` makes members null, so even members of value types can be null. The `type` of a member that is text, a number or a
//! list includes null: client generators lose it if such a type has a name of its own.

mod errors;

use std::sync::LazyLock;

use serde_json::{Map, Value as Json, json};

use super::{
    AGENT, BASE, FORM_TYPE, MEDIA_TYPES, Method, OPENAPI, RESOURCE, ROUTES, Route, SWAGGER, Segment, TEXT_TYPE,
    parameter,
};
use crate::contract::edition::Edition;
use crate::contract::naming::{ABOUT, IDEMPOTENCY_KEY};
use crate::contract::{ComplexType, Declared, Enumeration, Field, Kind};
use crate::netserver::{LICENSE, Operation};
use crate::seats::LicenseType;
use errors::{BAD_REQUEST, ERROR_RESPONSES, ErrorResponse, INVALID_REQUEST, NOT_IMPLEMENTED};

const JSON_TYPE: [&str; 1] = ["application/json"];
/// Media types of bodies that are one value. All of [`MEDIA_TYPES`] are accepted, but if a list can be sent as JSON under several
/// names, the client generator openapi-python-client 0.29 writes a test that always fails at run time.
const VALUE_TYPES: [&str; 2] = ["application/json", "application/xml"];

/// Arguments that may be left out of a call.
const OPTIONAL: [&str; 1] = ["SatelliteId"];

const AGENT_TAG: &str = AGENT;
const RESOURCE_TAG: &str = RESOURCE;
const SERVICE_TAG: &str = "Service";

/// The document, for a service that is reached at `server_url`: scheme, host and port.
pub fn render(server_url: &str) -> String {
    // Everything but the address is constant, and any caller may request it.
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));
    DOCUMENT.replacen(&json!(SERVER_URL).to_string(), &json!(server_url).to_string(), 1)
}

pub(super) const SERVER_URL: &str = "{server}";

/// The document, with a stand-in for the address of the server.
pub(super) fn document() -> Json {
    let mut schemas = Schemas::default();
    let paths = paths(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Seatkeeper Web API",
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The licenses of module owners: what is in force, what the issuer grants, which seats are taken. \
                The operations of License.svc as agent calls, and most of them as a resource. Paths and the names of \
                members in requests are accepted in any case.",
        },
        "servers": [{ "url": SERVER_URL }],
        "security": [{ "Basic": [] }, { "SoTicket": [] }, { "Bearer": [] }],
        "tags": [
            { "name": AGENT_TAG, "description": "Agent calls. The answer is null if the owner or module is unknown." },
            { "name": RESOURCE_TAG, "description": "The resource. The response is 404 if the owner or module is unknown." },
            { "name": SERVICE_TAG, "description": "Versions, addresses and this document. Needs no sign-in." },
        ],
        "paths": paths,
        "components": {
            "securitySchemes": security_schemes(),
            "parameters": shared_parameters(),
            "responses": shared_responses(&mut schemas),
            "schemas": schemas.named,
        },
    })
}

fn security_schemes() -> Json {
    json!({
        "Basic": { "type": "http", "scheme": "basic", "description": "User name and password of a credential, in UTF-8." },
        "SoTicket": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`SOTicket 7T:...`: a ticket of SoPrincipal.svc. It ends 6 hours after its last use.",
        },
        "Bearer": { "type": "http", "scheme": "bearer", "description": "The same ticket as a bearer token." },
    })
}

// Paths -------------------------------------------------------------------------------------------------------------

fn paths(schemas: &mut Schemas) -> Map<String, Json> {
    let mut paths = Map::new();
    let texts = || json!({ "type": "object", "additionalProperties": { "type": "string" } });
    for (path, id, summary, answer) in [
        ("/api", "api_Versions", "Lists the versions of this API", texts()),
        (BASE, "v1_Operations", "Lists the addresses, their methods, and what they do", {
            json!({ "type": "object", "additionalProperties": texts() })
        }),
        (&format!("{BASE}/{OPENAPI}"), "v1_OpenApi", "Gets this document, as OpenAPI 3.1", json!({ "type": "object" })),
        (&format!("{BASE}/{SWAGGER}"), "v1_Swagger", "Gets this document, as Swagger 2.0", json!({ "type": "object" })),
    ] {
        paths.insert(path.to_owned(), json!({ "get": public(id, summary, &answer) }));
    }
    for operation in LICENSE.operations {
        let path = format!("{BASE}/{AGENT}/{}", operation.name);
        paths.insert(
            path,
            json!({ "post": agent_call(operation, schemas), "get": agent_description(operation, schemas) }),
        );
    }
    let mut places: Vec<(&Route, String)> = Vec::new();
    for route in ROUTES {
        // Templates that differ only in names are one path, with the names of the first.
        let place = places.iter().find(|(first, _)| route.is_at(first)).cloned();
        let (first, path) = place.unwrap_or_else(|| {
            let path = unlike(route.template(), &places);
            places.push((route, path.clone()));
            (route, path)
        });
        let item = paths.entry(path).or_insert_with(|| json!({ "parameters": path_parameters(first) }));
        item[route.method.name().to_ascii_lowercase()] = resource_call(route, schemas);
    }
    paths
}

/// To OpenAPI, templates that differ in names only are identical, even if one argument is an int and the other is not. The
/// service also accepts paths with a slash at the end, so the later one gets it.
fn unlike(template: String, places: &[(&Route, String)]) -> String {
    let is_taken = places.iter().any(|(_, path)| shape(path) == shape(&template));
    if is_taken { template + "/" } else { template }
}

/// A template without the names in it.
fn shape(template: &str) -> String {
    let segments = template.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

fn public(id: &str, summary: &str, answer: &Json) -> Json {
    json!({
        "tags": [SERVICE_TAG],
        "operationId": id,
        "summary": summary,
        "security": [],
        "responses": { "200": { "description": "Done.", "content": content(JSON_TYPE, answer) } },
    })
}

fn agent_call(operation: &Operation, schemas: &mut Schemas) -> Json {
    let answer = schemas.answer(operation, true);
    let mut call = head(operation, AGENT_TAG, &format!("v1LicenseAgent_{}", operation.name));
    call["parameters"] = shared_by(operation).into();
    call["requestBody"] = agent_body(operation, schemas);
    let refusals = ERROR_RESPONSES.iter().filter(|refusal| match refusal.status {
        "400" => refusal.name == INVALID_REQUEST,
        "404" | "409" => operation.changes_seats,
        "405" => false,
        "422" => operation.changes,
        _ => true,
    });
    call["responses"] = responses(operation, answer, refusals);
    call
}

/// The arguments as one object.
fn agent_body(operation: &Operation, schemas: &mut Schemas) -> Json {
    let fields = operation.input.fields;
    let is_required = fields.iter().any(is_required);
    let schema = schemas.arguments(operation);
    // If no argument is required, the body may be null.
    let mut content = content(MEDIA_TYPES, &if is_required { schema.clone() } else { or_null(schema.clone()) });
    // Only simple values can be in a form.
    if fields.iter().all(|f| matches!(f.kind, Kind::String | Kind::Int | Kind::Strings)) {
        content[FORM_TYPE] = json!({ "schema": schema });
    }
    json!({ "required": is_required, "content": content })
}

fn agent_description(operation: &Operation, schemas: &mut Schemas) -> Json {
    let schema = schemas.call_description();
    json!({
        "tags": [AGENT_TAG],
        "operationId": format!("v1LicenseAgent_{}_Describe", operation.name),
        "summary": format!("Describes {} without running it", operation.name),
        "responses": {
            "200": { "description": "The call.", "content": content(JSON_TYPE, &schema) },
            "401": shared("responses", "Unauthorized"),
            "429": shared("responses", "TooManyRequests"),
            "500": shared("responses", "InternalServerError"),
            "503": shared("responses", "ServiceUnavailable"),
        },
    })
}

fn resource_call(route: &Route, schemas: &mut Schemas) -> Json {
    let operation = route.operation();
    let answer = schemas.answer(operation, false);
    let mut call = head(operation, RESOURCE_TAG, &format!("v1License_{}", operation.name));
    let query = route.query.iter().map(|name| {
        let schema = argument(operation, name, route.kind(name));
        json!({ "name": parameter(name), "in": "query", "required": true, "schema": schema })
    });
    // Parameters of the path apply to all its methods, but a change may accept fewer values.
    let in_path = if operation.changes_seats { path_parameters(route) } else { Vec::new() };
    call["parameters"] = query.chain(in_path).chain(shared_by(operation)).collect();
    if let Some(name) = route.body {
        let schema = argument(operation, name, route.kind(name));
        let text = Some(TEXT_TYPE).filter(|_| matches!(route.kind(name), Kind::String));
        call["requestBody"] =
            json!({ "required": true, "content": content(VALUE_TYPES.into_iter().chain(text), &schema) });
    }
    let refusals = ERROR_RESPONSES.iter().filter(|refusal| match refusal.status {
        "400" => refusal.name == BAD_REQUEST,
        "405" => route.method != Method::Get && route.path.iter().any(|segment| is_int(route, segment)),
        "409" => operation.changes_seats,
        "408" | "413" | "415" => route.body.is_some(),
        "422" => operation.changes,
        _ => true,
    });
    call["responses"] = responses(operation, answer, refusals);
    call
}

fn head(operation: &Operation, tag: &str, id: &str) -> Json {
    let documentation = operation.documentation;
    let summary = documentation.split_once(". ").map_or(documentation, |(first, _)| first).trim_end_matches('.');
    json!({ "tags": [tag], "operationId": id, "summary": summary, "description": documentation })
}

fn path_parameters(route: &Route) -> Vec<Json> {
    let arguments = route.path.iter().enumerate().filter_map(|(at, segment)| match segment {
        Segment::Argument(name) => Some((at, *name)),
        Segment::Literal(_) => None,
    });
    let parameters = arguments.map(|(at, name)| {
        let mut schema = argument(route.operation(), name, route.kind(name));
        if matches!(route.kind(name), Kind::String) && ROUTES.iter().any(|other| takes_ints(other, route, at)) {
            schema["pattern"] = json!(NO_INT);
            schema["description"] = json!("Not a number: a number is the id of an associate.");
        }
        json!({ "name": parameter(name), "in": "path", "required": true, "schema": schema })
    });
    parameters.collect()
}

fn is_int(route: &Route, segment: &Segment) -> bool {
    matches!(segment, Segment::Argument(name) if matches!(route.kind(name), Kind::Int))
}

/// Whether the other route has the same path, but with an int in this place.
fn takes_ints(other: &Route, route: &Route, at: usize) -> bool {
    let int = other.path.get(at).is_some_and(|segment| is_int(other, segment));
    int && shape(&other.template()) == shape(&route.template())
}

// Requests and answers ----------------------------------------------------------------------------------------------

fn content<'t>(types: impl IntoIterator<Item = &'t str>, schema: &Json) -> Json {
    types
        .into_iter()
        .map(|media_type| (media_type.to_owned(), json!({ "schema": schema })))
        .collect::<Map<_, _>>()
        .into()
}

fn is_required(field: &Field) -> bool {
    !OPTIONAL.contains(&field.name)
}

/// A character that is not blank.
const NO_BLANKS: &str = r"\S";
/// A name of a call: any printable ASCII in quotes, or a word without quotes.
const NAME: &str = r#"^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-+\--:<-\[\]-~]{1,255})$"#;
/// A character that no int contains.
const NO_INT: &str = r"[^\s0-9+-]";

/// A simple argument of an operation, in any place of the request.
fn argument(operation: &Operation, name: &str, kind: Kind) -> Json {
    let mut schema = match kind {
        Kind::Int => {
            let minimum = match name {
                _ if OPTIONAL.contains(&name) => i32::MIN,
                // 0 means the caller, if the operation only reads.
                "AssociateId" if !operation.changes_seats => 0,
                _ => 1,
            };
            json!({ "type": "integer", "format": "int32", "minimum": minimum, "maximum": i32::MAX })
        }
        Kind::Strings => {
            let names = LicenseType::ALL.map(LicenseType::module_name);
            let items = named("string", json!({ "type": "string", "enum": names }));
            json!({ "type": "array", "minItems": 1, "items": items, "xml": { "wrapped": true } })
        }
        _ => json!({ "type": "string", "minLength": 1, "pattern": NO_BLANKS }),
    };
    let example = match name {
        "OwnerName" | "ModuleOwner" => json!("CONTOSO"),
        "AssociateId" => json!(7),
        "SatelliteId" => json!(0),
        "ModuleName" => json!(LicenseType::SqlBackup.module_name()),
        "ModuleLicenseNames" => json!([LicenseType::SqlBackup.module_name()]),
        "NewCompanyName" => json!("Contoso"),
        "NewSerialNumber" => json!("1010000014"),
        "FileContent" => json!("<LicenseInfo><OwnerName>CONTOSO</OwnerName></LicenseInfo>"),
        _ => return schema,
    };
    schema["examples"] = json!([example]);
    schema
}

fn responses<'r>(operation: &Operation, answer: Json, refusals: impl Iterator<Item = &'r ErrorResponse>) -> Json {
    let mut responses = Map::new();
    if operation.is_supported {
        let mut ok = json!({ "description": "Done.", "content": content(MEDIA_TYPES, &answer) });
        ok["headers"] = json!({
            "SO-TimeZone": { "description": "The zone of the date-times, if the request named one.", "schema": { "type": "string" } },
        });
        responses.insert("200".to_owned(), ok);
    }
    for refusal in refusals.filter(|refusal| refusal.status != NOT_IMPLEMENTED || !operation.is_supported) {
        responses.insert(refusal.status.to_owned(), shared("responses", refusal.name));
    }
    responses.into()
}

fn shared_responses(schemas: &mut Schemas) -> Json {
    let responses = ERROR_RESPONSES.iter().map(|refusal| {
        let is_invalid = refusal.name == INVALID_REQUEST;
        let schema = if is_invalid { schemas.invalid_request() } else { schemas.error() };
        let mut response = json!({ "description": refusal.says, "content": content(MEDIA_TYPES, &schema) });
        let header = match refusal.status {
            "401" => Some("WWW-Authenticate"),
            "405" => Some("Allow"),
            "429" | "503" => Some("Retry-After"),
            _ => None,
        };
        if let Some(name) = header {
            response["headers"] = json!({ name: { "required": true, "schema": { "type": "string" } } });
        }
        (refusal.name.to_owned(), response)
    });
    responses.collect::<Map<_, _>>().into()
}

fn shared_parameters() -> Json {
    json!({
        "Select": {
            "name": "$select",
            "in": "query",
            "description": "The members of the answer, as `a,b,c/d`, in any case; the others are null. Without it, all members.",
            "schema": { "type": "string", "examples": ["Current/OwnerName, ExtendedModuleLicenses"] },
        },
        "TimeZone": {
            "name": "SO-TimeZone",
            "in": "header",
            "description": "Zone of date-times, by code or id, as `NO` or `261`: they are local then, without a suffix. \
                With `, includeTZOffset` behind it they have their offset. Without this header, and with an unknown zone, \
                they are UTC.",
            "schema": { "type": "string", "examples": ["NO", "US-NY, includeTZOffset"] },
        },
        "IdempotencyKey": {
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "description": format!("{ABOUT} It has 1 to 255 characters, such as a new UUID for each call: a word, or a text in double quotes."),
            "schema": { "type": "string", "pattern": NAME },
        },
    })
}

/// The shared parameters of an operation.
fn shared_by(operation: &Operation) -> Vec<Json> {
    let names = ["Select", "TimeZone"].into_iter().chain(operation.changes.then_some("IdempotencyKey"));
    names.map(|name| shared("parameters", name)).collect()
}

fn shared(what: &str, name: &str) -> Json {
    json!({ "$ref": format!("#/components/{what}/{name}") })
}

// Schemas -----------------------------------------------------------------------------------------------------------

/// Whether the service or the caller sends a carrier. A caller may leave members out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Answer,
    Request,
}

/// Named schemas, each written where it is first needed.
#[derive(Default)]
struct Schemas {
    named: Map<String, Json>,
}

impl Schemas {
    /// Refers to a schema, and writes it if it is new. It may refer to itself.
    fn refer(&mut self, name: &str, write: impl FnOnce(&mut Schemas) -> Json) -> Json {
        if !self.named.contains_key(name) {
            self.named.insert(name.to_owned(), Json::Null);
            self.named[name] = write(self);
        }
        shared("schemas", name)
    }

    /// The answer of an operation. A single value may be null.
    fn answer(&mut self, operation: &Operation, can_be_null: bool) -> Json {
        // The output has one field, Response.
        let kind = operation.output.fields[0].kind;
        match kind {
            Kind::Array(of) => {
                let items = named(of.item.name, self.complex(of.item, View::Answer));
                json!({ "type": "array", "items": items, "xml": { "name": of.name, "wrapped": true } })
            }
            Kind::Complex(of) if !can_be_null => self.complex(of, View::Answer),
            Kind::String if !can_be_null => json!({ "type": "string" }),
            _ => self.member(kind, View::Answer),
        }
    }

    /// The arguments of an operation as one object.
    fn arguments(&mut self, operation: &Operation) -> Json {
        let input = operation.input;
        self.refer(&format!("{}Request", input.name), |schemas| {
            let mut properties = Map::new();
            for field in input.fields {
                let mut schema = match field.kind {
                    Kind::Complex(of) => schemas.complex(of, View::Request),
                    Kind::Array(of) => {
                        let items = named(of.item.name, schemas.complex(of.item, View::Request));
                        json!({ "type": "array", "items": items, "xml": { "wrapped": true } })
                    }
                    kind => argument(operation, field.name, kind),
                };
                if !is_required(field) {
                    schema["type"] = json!([schema["type"], "null"]);
                }
                properties.insert(field.name.to_owned(), schema);
            }
            let required: Vec<_> = input.fields.iter().filter(|f| is_required(f)).map(|f| f.name).collect();
            json!({ "type": "object", "properties": properties, "required": required })
        })
    }

    fn complex(&mut self, of: &'static ComplexType, view: View) -> Json {
        let name = match view {
            View::Answer => of.name.to_owned(),
            View::Request => format!("{}Input", of.name),
        };
        self.refer(&name, |schemas| {
            let members = of.fields.iter().map(|f| (f.name.to_owned(), schemas.member(f.kind, view)));
            let mut schema = json!({ "type": "object", "properties": members.collect::<Map<_, _>>() });
            if view == View::Answer {
                schema["required"] = of.fields.iter().map(|f| f.name).collect();
            }
            schema
        })
    }

    /// A member of a carrier, or null.
    fn member(&mut self, kind: Kind, view: View) -> Json {
        match kind {
            Kind::String => json!({ "type": ["string", "null"] }),
            Kind::Int => {
                json!({ "type": ["integer", "null"], "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX })
            }
            Kind::Boolean => json!({ "type": ["boolean", "null"] }),
            Kind::Base64 => json!({ "type": ["string", "null"], "contentEncoding": "base64" }),
            Kind::DateTime | Kind::NullableDateTime => date_time(view),
            Kind::Enumeration(of) => or_null(self.enumeration(of)),
            Kind::Complex(of) => or_null(self.complex(of, view)),
            Kind::Array(of) => {
                let item = self.complex(of.item, view);
                let item = if view == View::Request { or_null(item) } else { item };
                list(named(of.item.name, item))
            }
            Kind::Strings => list(named("string", json!({ "type": "string" }))),
            Kind::Ints => list(named("int", json!({ "type": "integer", "format": "int32" }))),
            Kind::Declared(_) if view == View::Request => json!({ "description": "Ignored." }),
            Kind::Declared(Declared::Dictionary { .. }) => {
                json!({ "type": ["object", "null"], "description": "Always empty.", "maxProperties": 0 })
            }
            Kind::Declared(Declared::Flags(of)) => {
                json!({ "type": ["string", "null"], "description": format!("Any of {}.", of.names(Edition::WebApi).join(", ")) })
            }
            Kind::Declared(Declared::DsaParameters) => json!({ "type": ["object", "null"] }),
        }
    }

    fn enumeration(&mut self, of: &Enumeration) -> Json {
        self.refer(of.name, |_| json!({ "type": "string", "enum": of.names(Edition::WebApi) }))
    }

    fn call_description(&mut self) -> Json {
        self.refer("CallDescription", |_| {
            let text = || json!({ "type": "string" });
            let argument = all_of([("Name", text()), ("Type", text())]);
            all_of([
                ("Operation", text()),
                ("Description", text()),
                ("Method", text()),
                ("Arguments", json!({ "type": "array", "items": argument })),
                ("Result", text()),
            ])
        })
    }

    fn invalid_request(&mut self) -> Json {
        let text = || json!({ "type": "string" });
        self.refer("HttpError", |_| all_of([("Message", text()), ("MessageDetail", text())]))
    }

    fn error(&mut self) -> Json {
        let text = || json!({ "type": "string" });
        self.refer("ErrorResponse", |_| {
            all_of([
                ("Error", json!({ "type": "boolean", "const": true })),
                ("ErrorType", json!({ "type": "string", "examples": ["SoNotFoundException"] })),
                ("ErrorMessage", text()),
                ("ErrorSource", text()),
            ])
        })
    }
}

/// A date-time or null. It has no format, because a date-time in a zone has no suffix and so is no date-time of RFC 3339. Of the
/// date-times that a caller hands back, only the relevant ones are read.
fn date_time(view: View) -> Json {
    match view {
        View::Request => json!({
            "type": ["string", "null"],
            "description": "A date-time. Without a suffix it is in the zone of SO-TimeZone.",
        }),
        View::Answer => json!({
            "type": ["string", "null"],
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)?$",
            "description": "A date-time. Without a suffix it is in the zone of SO-TimeZone. \
                `0001-01-01T00:00:00`: none, or for ever.",
        }),
    }
}

/// An object that has all of these members.
fn all_of<const N: usize>(members: [(&str, Json); N]) -> Json {
    let required = members.each_ref().map(|(name, _)| *name);
    let properties: Map<_, _> = members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({ "type": "object", "properties": properties, "required": required.as_slice() })
}

/// The name of a list's items in XML.
fn named(name: &str, mut schema: Json) -> Json {
    schema["xml"] = json!({ "name": name });
    schema
}

fn or_null(schema: Json) -> Json {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn list(item: Json) -> Json {
    json!({ "type": ["array", "null"], "items": item, "xml": { "wrapped": true } })
}
