//! The ways to call one operation of License: over SOAP in both versions, and over the Web API as an agent call and as a
//! resource, each as JSON and as XML. Arguments are written once, as the elements that SOAP has; what comes back is read
//! into one form, whatever it came in, so that surfaces can be compared.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use seatkeeper::contract::{Kind, SERIALIZATION_ARRAYS};
use seatkeeper::netserver::LICENSE;
use seatkeeper::soap::envelope::{self, Attribute, Element};
use seatkeeper::soap::xml::is_xml_char;
use seatkeeper::soap::{Version, XSI};
use serde_json::{Map, Value as Json, json};

use crate::harness::*;
use crate::netserver_soap::{at, shape};
use crate::web::parsed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    Soap(Version),
    Agent(Form),
    Resource(Form),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    Xml,
}

pub const SURFACES: [Surface; 6] = [
    Surface::Soap(Version::Soap11),
    Surface::Soap(Version::Soap12),
    Surface::Agent(Form::Json),
    Surface::Agent(Form::Xml),
    Surface::Resource(Form::Json),
    Surface::Resource(Form::Xml),
];

/// Where the resource has an operation: method and path, arguments in braces, and the argument that is the body.
const ROUTES: [(&str, &str, &str, &str); 13] = [
    ("GetLicenseForAllOwnersFromDB", "GET", "", ""),
    ("GetLicenseFromDB", "GET", "/{OwnerName}", ""),
    ("GetModuleLicenseFromDB", "GET", "/{OwnerName}/{ModuleName}", ""),
    ("GetShopUrl", "GET", "/{OwnerName}/ShopUrl", ""),
    ("GetUserLicenses", "GET", "/User/{AssociateId}", ""),
    ("GetUserLicensesMDOList", "GET", "/User/MdoList", ""),
    ("GetSatelliteLicenses", "GET", "/Site/{SatelliteId}", ""),
    ("GetThirdPartyLicenseAssignments", "GET", "/{ModuleOwner}/{AssociateId}", ""),
    ("AssignThirdPartyLicenses", "PUT", "/{ModuleOwner}/{AssociateId}", "ModuleLicenseNames"),
    ("UnassignThirdPartyLicenses", "DELETE", "/{ModuleOwner}/{AssociateId}", "ModuleLicenseNames"),
    ("AddLicenseFromFile", "POST", "", "FileContent"),
    ("RemoveLicenseFromDB", "DELETE", "/{ModuleOwner}", ""),
    (
        "ChangeSerialNumber",
        "POST",
        "/ChangeSerialNumber?newCompanyName={NewCompanyName}&newSerialNumber={NewSerialNumber}",
        "",
    ),
];

#[test]
fn every_route_of_the_resource_is_asked() {
    use seatkeeper::netserver::web_api;
    let mut ours: Vec<String> =
        ROUTES.iter().map(|(operation, method, path, body)| format!("{operation} {method} {path} {body}")).collect();
    let mut theirs: Vec<String> = web_api::ROUTES
        .iter()
        .map(|route| {
            let path: String = route
                .path
                .iter()
                .map(|segment| match segment {
                    web_api::Segment::Literal(name) => format!("/{name}"),
                    web_api::Segment::Argument(name) => format!("/{{{name}}}"),
                })
                .collect();
            let query: Vec<String> =
                route.query.iter().map(|name| format!("{}={{{name}}}", web_api::parameter(name))).collect();
            let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
            let body = route.body.unwrap_or_default();
            format!("{} {} {path}{query} {body}", route.operation, route.method.name())
        })
        .collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
}

/// What the resource takes for something else where an int follows: no owner has these names.
const RESERVED: [&str; 2] = ["USER", "SITE"];
/// Bytes of an address that can be sent.
const ADDRESS_MAX: usize = 8_000;

/// Members that the Web API has and Services86 has not: each behind which and before which, and what it always is.
const WEB_API_ONLY: [(&str, &str, &str, &str); 3] = [
    ("InUse", "IsHidden", "Assigned", "false"),
    ("SortOrder", "ExtraFlags", "", "0"),
    ("ExtraFlags", "ExtraInfo", "LicenseUrl", ""),
];

/// The statuses by which HTTP tells of exceptions.
const STATUSES: [(&str, u16); 6] = [
    ("SoInvalidArgumentException", 400),
    ("SoSessionException", 401),
    ("SoSentryException", 403),
    ("SoNotFoundException", 404),
    ("SoLicenseException", 409),
    ("SoNotSupportedException", 501),
];

/// Who calls. Without a ticket: nobody who is signed in.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    pub ticket: &'a str,
    /// Code or number of a time zone; over the Web API anything that SO-TimeZone takes.
    pub zone: Option<&'a str>,
}

/// The Response of a call, or its exception and why.
pub type Outcome = Result<Element, (String, String)>;

impl Surface {
    pub fn has(self, operation: &str) -> bool {
        !matches!(self, Surface::Resource(_)) || ROUTES.iter().any(|(name, ..)| *name == operation)
    }

    /// A call with these children of its element; `None`: here it cannot be written. What only a namespace tells from an
    /// argument can be so for SOAP alone, and an address cannot leave an argument out.
    pub fn request(self, caller: Caller, operation: &str, arguments: &str) -> Option<Vec<u8>> {
        let element = format!("<{operation} xmlns=\"{NAMESPACE}\" xmlns:xsi=\"{XSI}\">{arguments}</{operation}>");
        let given = document(&element);
        match self {
            Surface::Soap(version) => {
                let blocks =
                    format!("{}{}", caller.zone.map_or_else(String::new, zone_block), credentials(caller.ticket));
                let envelope = envelope11(&blocks, &element);
                let envelope = if version == Version::Soap12 { to_soap12(&envelope) } else { envelope };
                let head = format!("Content-Type: {}; charset=utf-8\r\n", version.media_type());
                let edition = LICENSE.operation(operation).map_or(EDITION, |operation| operation.since.max(EDITION));
                let envelope = envelope.replace(NAMESPACE, edition.namespace());
                Some(post_to(&LICENSE.edition(edition).path(), &head, envelope.as_bytes()))
            }
            _ if !given.children.iter().all(is_an_argument) => None,
            Surface::Agent(form) => {
                let body = match form {
                    Form::Json => json_of(&given, input(operation)).to_string(),
                    Form::Xml => element,
                };
                Some(web_request(caller, "POST", &format!("/api/v1/Agents/License/{operation}"), form, &body))
            }
            Surface::Resource(form) => {
                let (_, method, path, body) = ROUTES.iter().find(|(name, ..)| *name == operation)?;
                let address = format!("/api/v1/License{}", filled(path, &given)?);
                let body = match *body {
                    "" => String::new(),
                    name => body_of(given.children.iter().find(|child| child.name == name)?, operation, form),
                };
                (address.len() <= ADDRESS_MAX).then(|| web_request(caller, method, &address, form, &body))
            }
        }
    }

    /// What an answer says, as SOAP would say it.
    pub fn read(self, operation: &str, answer: &Answer) -> Outcome {
        let (Surface::Agent(form) | Surface::Resource(form)) = self else { return read_soap(self, answer) };
        assert_eq!(
            answer.header("content-type"),
            Some(&*format!("{}; charset=utf-8", form.media_type())),
            "{answer:?}"
        );
        if answer.status == 200 {
            let mut response = form.response(operation, answer);
            as_soap(&mut response);
            return Ok(response);
        }
        let (exception, text) = self.read_error(&form.error(answer));
        let status = STATUSES.iter().find(|(name, _)| *name == exception).map(|(_, status)| *status);
        assert_eq!(status, Some(answer.status), "{answer:?}");
        match self {
            Surface::Resource(_) if text == "There is no such owner, or no such module of it." => Ok(null("Response")),
            _ => Err(refusal(exception, text, "The caller is not signed in. Send Authorization with ")),
        }
    }

    fn read_error(self, error: &Element) -> (String, String) {
        let member = |name: &str| at(error, name).text.clone();
        match shape(error).as_str() {
            "HttpError(Message MessageDetail)" => {
                assert!(matches!(self, Surface::Agent(_)), "the resource does not say it so");
                assert_eq!(member("Message"), "The request is invalid.");
                ("SoInvalidArgumentException".to_owned(), member("MessageDetail"))
            }
            "ErrorResponse(Error ErrorType ErrorMessage ErrorSource)" => {
                assert_eq!((&*member("Error"), &*member("ErrorSource")), ("true", "Seatkeeper"));
                (member("ErrorType"), member("ErrorMessage"))
            }
            other => panic!("{other} is no error"),
        }
    }
}

impl Form {
    pub fn media_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Xml => "application/xml",
        }
    }

    /// The body of an answer, as an element `Response` like that of SOAP.
    fn response(self, operation: &str, answer: &Answer) -> Element {
        let kind = output(operation);
        match self {
            Form::Json => element_of("Response", &parsed(answer), kind),
            Form::Xml => {
                let root = document(&answer.body);
                assert_eq!(root.name, root_name(kind), "{operation}");
                Element { name: "Response".to_owned(), ..root }
            }
        }
    }

    /// The body of an answer that tells of an error. Its type has a name in XML alone.
    fn error(self, answer: &Answer) -> Element {
        if self == Form::Xml {
            return document(&answer.body);
        }
        let json = parsed(answer);
        let members = json.as_object().unwrap_or_else(|| panic!("{answer:?}"));
        let name = if members.contains_key("Error") { "ErrorResponse" } else { "HttpError" };
        let children = members.iter().map(|(name, value)| text_of(name, value)).collect();
        Element { name: name.to_owned(), children, ..Element::default() }
    }
}

// Requests -----------------------------------------------------------------------------------------------------------

fn document(text: &str) -> Element {
    envelope::document(text, &envelope::Limits::default()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn input(operation: &str) -> Kind {
    Kind::Complex(LICENSE.operation(operation).expect(operation).input)
}

fn output(operation: &str) -> Kind {
    LICENSE.operation(operation).expect(operation).output.fields[0].kind
}

fn zone_block(zone: &str) -> String {
    let name = if zone.parse::<i32>().is_ok() { "SoTimeZoneId" } else { "SoTimeZoneLocationCode" };
    format!("<TimeZone xmlns=\"{NAMESPACE}\"><{name}>{zone}</{name}></TimeZone>")
}

fn is_an_argument(element: &Element) -> bool {
    let items = &element.children;
    let in_arrays = |item: &Element| item.namespace.as_ref() == SERIALIZATION_ARRAYS;
    element.namespace.as_ref() == NAMESPACE
        && items.iter().all(|i| in_arrays(i) || is_an_argument(i) && i.name != "string")
}

fn web_request(caller: Caller, method: &str, address: &str, form: Form, body: &str) -> Vec<u8> {
    let media_type = form.media_type();
    let mut head = format!("{method} {address} HTTP/1.1\r\nHost: test.example\r\nAccept: {media_type}\r\n");
    if !caller.ticket.is_empty() {
        let _ = write!(head, "Authorization: SOTicket {}\r\n", caller.ticket);
    }
    if let Some(zone) = caller.zone {
        let _ = write!(head, "SO-TimeZone: {zone}\r\n");
    }
    if !body.is_empty() {
        let _ = write!(head, "Content-Type: {media_type}\r\nContent-Length: {}\r\n", body.len());
    }
    format!("{head}\r\n{body}").into_bytes()
}

/// A path with its arguments filled in.
fn filled(path: &str, given: &Element) -> Option<String> {
    let mut filled = String::new();
    let mut parts = path.split(['{', '}']);
    let mut owner_is_reserved = false;
    while let Some(literal) = parts.next() {
        filled.push_str(literal);
        let Some(name) = parts.next() else { break };
        let text = &given.children.iter().find(|child| child.name == name).filter(|child| !child.text.is_empty())?.text;
        if owner_is_reserved && text.parse::<i32>().is_ok() {
            return None;
        }
        owner_is_reserved = RESERVED.contains(&text.as_str());
        text.bytes().for_each(|byte| match byte.is_ascii_alphanumeric() {
            true => filled.push(char::from(byte)),
            false => _ = write!(filled, "%{byte:02X}"),
        });
    }
    Some(filled)
}

fn body_of(argument: &Element, operation: &str, form: Form) -> String {
    let Kind::Complex(of) = input(operation) else { unreachable!("arguments are a record") };
    let kind = of.fields.iter().find(|field| field.name == argument.name).expect("an argument").kind;
    if form == Form::Json {
        return json_of(argument, kind).to_string();
    }
    let strings: String = argument.children.iter().map(|s| format!("<string>{}</string>", escape(&s.text))).collect();
    let nil = if argument.is_nil() { " xsi:nil=\"true\"" } else { "" };
    let name = root_name(kind);
    format!("<{name} xmlns:xsi=\"{XSI}\"{nil}>{strings}{}</{name}>", escape(&argument.text))
}

fn json_of(element: &Element, kind: Kind) -> Json {
    let text = element.text.trim();
    match kind {
        _ if element.is_nil() => Json::Null,
        Kind::Declared(_) => Json::Null,
        Kind::Complex(of) => {
            let mut members = Map::new();
            for child in &element.children {
                let kind = of.fields.iter().find(|field| field.name == child.name).map_or(Kind::String, |f| f.kind);
                // Of several the first counts, as in SOAP.
                members.entry(child.name.clone()).or_insert_with(|| json_of(child, kind));
            }
            members.into()
        }
        Kind::Array(of) => element.children.iter().map(|item| json_of(item, Kind::Complex(of.item))).collect(),
        Kind::Strings | Kind::Ints => element.children.iter().map(|item| json!(item.text)).collect(),
        Kind::Int => text.parse::<i64>().map_or_else(|_| json!(element.text), |number| json!(number)),
        Kind::Boolean => text.parse::<bool>().map_or_else(|_| json!(element.text), |value| json!(value)),
        _ => json!(element.text),
    }
}

// Answers ------------------------------------------------------------------------------------------------------------

fn read_soap(surface: Surface, answer: &Answer) -> Outcome {
    let envelope = envelope::read(&answer.body, &envelope::Limits::default()).expect("an envelope");
    assert_eq!(surface, Surface::Soap(envelope.version), "answered in the version it was asked in");
    match answer.exception() {
        Some(exception) => {
            let text = answer.element("FriendlyText").expect("a text");
            Err(refusal(exception, text, "A valid session is missing. Sign in, and send the ticket "))
        }
        None => {
            let mut response = envelope.body.and_then(|body| body.children.into_iter().next()).expect("a Response");
            without_newer_members(&mut response);
            Ok(response)
        }
    }
}

/// How to sign in is told by each surface in its own way, which begins like this.
fn refusal(exception: String, text: String, sign_in: &str) -> (String, String) {
    if exception != "SoSessionException" {
        return (exception, text);
    }
    assert!(text.starts_with(sign_in), "{text}");
    (exception, String::new())
}

fn root_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Complex(of) => of.name,
        Kind::Array(of) => of.name,
        Kind::Strings => "ArrayOfstring",
        _ => "string",
    }
}

fn null(name: &str) -> Element {
    let nil = Attribute { namespace: XSI.into(), name: "nil".to_owned(), value: "true".to_owned() };
    Element { name: name.to_owned(), attributes: vec![nil], ..Element::default() }
}

/// A value of JSON, which must be of the type that its kind has there.
fn element_of(name: &str, value: &Json, kind: Kind) -> Element {
    let children = match (kind, value) {
        (_, Json::Null) if kind.is_reference() => return null(name),
        (Kind::Complex(of), Json::Object(members)) => {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            assert_eq!(
                names,
                of.fields.iter().map(|f| f.name).collect::<Vec<_>>(),
                "{name}: all members, in their order"
            );
            of.fields.iter().zip(members.values()).map(|(f, value)| element_of(f.name, value, f.kind)).collect()
        }
        (Kind::Declared(_), Json::Object(members)) if members.is_empty() => Vec::new(),
        (Kind::Array(of), Json::Array(items)) => {
            items.iter().map(|item| element_of(of.item.name, item, Kind::Complex(of.item))).collect()
        }
        (Kind::Strings, Json::Array(items)) => items.iter().map(|item| text_of("string", item)).collect(),
        (Kind::Int, Json::Number(_))
        | (Kind::Boolean, Json::Bool(_))
        | (Kind::String | Kind::DateTime | Kind::Enumeration(_), Json::String(_)) => return text_of(name, value),
        _ => panic!("{name} is {value}"),
    };
    Element { name: name.to_owned(), children, ..Element::default() }
}

fn text_of(name: &str, value: &Json) -> Element {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // JSON has characters that XML has not.
    let text = text.chars().map(|c| if is_xml_char(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    Element { name: name.to_owned(), text, ..Element::default() }
}

/// The one and only way in which the Web API tells more than SOAP: [`WEB_API_ONLY`], and a dictionary that has nothing in
/// it is there, where SOAP has null.
fn as_soap(element: &mut Element) {
    without_newer_members(element);
    with_null_dictionaries(element);
}

fn without_newer_members(element: &mut Element) {
    for (before, name, after, value) in WEB_API_ONLY {
        let is_name = |at: usize, name: &str| element.children.get(at).map_or("", |child| &child.name) == name;
        let is_there = |at: &usize| is_name(*at, before) && is_name(*at + 1, name) && is_name(*at + 2, after);
        if let Some(at) = (0..element.children.len()).find(is_there) {
            assert_eq!(element.children.remove(at + 1).text, value, "{name}");
        }
    }
    element.children.iter_mut().for_each(without_newer_members);
}

fn with_null_dictionaries(element: &mut Element) {
    if element.name == "FieldProperties" {
        assert_eq!(lines(element), ["FieldProperties = "]);
        *element = null("FieldProperties");
    }
    element.children.iter_mut().for_each(with_null_dictionaries);
}

/// Every value with its path, in their order.
pub fn lines(element: &Element) -> Vec<String> {
    fn add(lines: &mut Vec<String>, path: &str, element: &Element) {
        match element.is_nil() {
            true => lines.push(format!("{path} is null")),
            false if element.children.is_empty() => lines.push(format!("{path} = {}", element.text)),
            false => {}
        }
        for (n, child) in element.children.iter().enumerate() {
            let before = element.children[..n].iter().filter(|sibling| sibling.name == child.name).count();
            let number = if before == 0 { String::new() } else { format!("#{before}") };
            add(lines, &format!("{path}/{}{number}", child.name), child);
        }
    }
    let mut all = Vec::new();
    add(&mut all, &element.name, element);
    all
}

// License tools ------------------------------------------------------------------------------------------------------

/// Operations that change something.
const CHANGING: [&str; 6] = [
    "AddLicenseFromFile",
    "AssignThirdPartyLicenses",
    "UnassignThirdPartyLicenses",
    "ActivateLicenseInfo",
    "ChangeSerialNumber",
    "RemoveLicenseFromDB",
];

/// A service with [`owners_data`], and a surface. Whatever is told is told alike on all surfaces; what changes something
/// is called on this one.
pub struct Tools {
    pub server: Server,
    pub surface: Surface,
    /// Of those users that have called.
    tickets: RefCell<BTreeMap<String, String>>,
}

impl Tools {
    pub fn start() -> Tools {
        Tools::of(SURFACES[0])
    }

    /// One for each surface that has this operation.
    pub fn calling(operation: &'static str) -> impl Iterator<Item = Tools> {
        SURFACES.into_iter().filter(move |surface| surface.has(operation)).map(Tools::of)
    }

    pub fn of(surface: Surface) -> Tools {
        Tools { server: Server::with_owners(), surface, tickets: RefCell::default() }
    }

    /// `nobody` has none.
    pub fn ticket(&self, user: &str) -> String {
        if user == "nobody" {
            return String::new();
        }
        let mut tickets = self.tickets.borrow_mut();
        tickets.entry(user.to_owned()).or_insert_with(|| self.server.netserver_sign_in(user)).clone()
    }

    /// The answer on the surface of these tools.
    pub fn call(&self, user: &str, operation: &str, arguments: &str) -> Answer {
        let ticket = self.ticket(user);
        let request = self.surface.request(Caller { ticket: &ticket, zone: None }, operation, arguments);
        self.server.send(&request.unwrap_or_else(|| panic!("{:?} has no {operation} {arguments}", self.surface)))
    }

    /// What is in the Response of a call that succeeds.
    pub fn response(&self, user: &str, operation: &str, arguments: &str) -> Element {
        let surfaces = if CHANGING.contains(&operation) { &[self.surface][..] } else { &SURFACES };
        self.told_alike(surfaces, user, operation, arguments)
            .unwrap_or_else(|e| panic!("{operation} {arguments}: {e:?}"))
    }

    /// The exception of a call, and why.
    pub fn refused(&self, user: &str, operation: &str, arguments: &str) -> (String, String) {
        match self.told_alike(&SURFACES, user, operation, arguments) {
            Ok(response) => panic!("{operation} {arguments}: {:?}", lines(&response)),
            Err(refused) => refused,
        }
    }

    /// What these surfaces tell, which must be the same, wherever the call can be written.
    fn told_alike(&self, surfaces: &[Surface], user: &str, operation: &str, arguments: &str) -> Outcome {
        let ticket = self.ticket(user);
        let mut first: Option<Outcome> = None;
        for surface in surfaces {
            let request = surface.request(Caller { ticket: &ticket, zone: None }, operation, arguments);
            let Some(request) = request else { continue };
            let outcome = surface.read(operation, &self.server.send(&request));
            match &first {
                Some(first) => assert_alike(&outcome, first, &format!("{surface:?} {operation} {arguments}")),
                None => first = Some(outcome),
            }
        }
        first.unwrap_or_else(|| panic!("no surface has {operation} {arguments}"))
    }

    /// Takes this many seats of CONTOSO's.
    pub fn take(&self, license_type: &str, seats: usize) {
        for n in 0..seats {
            assert_eq!(self.server.assign(&format!("{license_type}-{n}"), 42, license_type).code(), "Success");
        }
    }

    /// All that an activation could change.
    pub fn state(&self) -> String {
        self.server.query(
            "SELECT (SELECT group_concat(id || ' ' || seats_total, ', ' ORDER BY id) FROM license_pool) || '; '
                 || (SELECT group_concat(concat_ws(' ', id, name, owner_name, serial_nr, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at), ', ' ORDER BY id) FROM entity) || '; '
                 || (SELECT count(*) FROM license_offer) || (SELECT count(*) FROM license_offer_module) || '; '
                 || (SELECT max(id) FROM audit_event)",
        )
    }
}

/// Shows the first value that differs.
#[track_caller]
pub fn assert_alike(outcome: &Outcome, first: &Outcome, context: &str) {
    let plain = |outcome: &Outcome| match outcome {
        Ok(response) => lines(response),
        Err((exception, text)) => vec![format!("{exception}: {text}")],
    };
    let (found, expected) = (plain(outcome), plain(first));
    let at = found.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
    assert_eq!(found.get(at), expected.get(at), "{context}");
}
