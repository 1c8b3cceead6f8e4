//! The pages a browser gets: the list of operations, and one page for each with sample messages, as .NET's help
//! generator words them.

use maud::{DOCTYPE, Markup, html};

use super::asmx::AUTH_HEADER;
use super::{ComplexType, Contract, Kind, Operation};
use crate::soap::xml::Writer;
use crate::soap::{Version, XSD, XSI};

/// The list of operations. `path`: where the service is, as the reader typed it.
pub fn overview(contract: &Contract, path: &str) -> String {
    let file = file_name(path);
    page(
        contract,
        path,
        contract.service,
        html! {
            p {
                "The following operations are supported. For a formal definition, please review the "
                a href={ (file) "?WSDL" } { "Service Description" } "."
            }
            ul.operations {
                @for operation in contract.operations {
                    li {
                        a href={ (file) "?op=" (operation.name) } { (operation.name) }
                        p { (operation.documentation) }
                    }
                }
            }
        },
    )
}

/// One operation with its sample messages. `host`: what clients send as Host.
pub fn operation(contract: &Contract, operation: &Operation, path: &str, host: &str) -> String {
    page(
        contract,
        path,
        operation.name,
        html! {
            (back_link(path))
            h2 { (operation.name) }
            p { (operation.documentation) }
            h3 { "Test" }
            p { "The test form is only available for requests from the local machine." }
            @for (name, version) in [("SOAP 1.1", Version::Soap11), ("SOAP 1.2", Version::Soap12)] {
                h3 { (name) }
                p {
                    "The following is a sample " (name) " request and response. "
                    "The " span.placeholder { "placeholders" } " shown need to be replaced with actual values."
                }
                pre { (sample_request(contract, operation, version, path, host)) }
                pre { (sample_response(contract, operation, version)) }
            }
        },
    )
}

/// The page for an `op` that is not there.
pub fn unknown_operation(contract: &Contract, name: &str, path: &str) -> String {
    page(
        contract,
        path,
        "Method Not Found",
        html! {
            (back_link(path))
            h2 { "Method Not Found" }
            p { "Method '" (name) "' was not found in service " (contract.service) "." }
        },
    )
}

/// A request as it goes over the wire, head included, with the types' names for values.
pub fn sample_request(contract: &Contract, operation: &Operation, version: Version, path: &str, host: &str) -> String {
    let mut w = Writer::indented();
    let e = Names::of(version);
    e.open_envelope(&mut w, version);
    w.open(e.header).open(AUTH_HEADER.name).attribute("xmlns", contract.namespace);
    sample_fields(&mut w, &AUTH_HEADER);
    w.close().close();
    w.open(e.body).open(operation.name).attribute("xmlns", contract.namespace).open("request");
    sample_fields(&mut w, operation.input);
    let action = match version {
        Version::Soap11 => format!("SOAPAction: \"{}\"\n", contract.soap_action(operation)),
        Version::Soap12 => String::new(),
    };
    format!(
        "POST {path} HTTP/1.1\nHost: {host}\nContent-Type: {}; charset=utf-8\nContent-Length: length\n{action}\n{}",
        version.media_type(),
        w.finish()
    )
}

/// The answer to [`sample_request`], head included.
pub fn sample_response(contract: &Contract, operation: &Operation, version: Version) -> String {
    let mut w = Writer::indented();
    let e = Names::of(version);
    e.open_envelope(&mut w, version);
    w.open(e.body).open(operation.response).attribute("xmlns", contract.namespace).open(operation.result);
    // .NET's sample writer does not go into the type of `Result`, and the vendor's page shows it empty.
    for field in operation.output.fields {
        match field.kind {
            Kind::Complex(_) => {
                w.leaf(field.name, "");
            }
            kind => sample_field(&mut w, field.name, kind),
        }
    }
    format!(
        "HTTP/1.1 200 OK\nContent-Type: {}; charset=utf-8\nContent-Length: length\n\n{}",
        version.media_type(),
        w.finish()
    )
}

fn sample_fields(w: &mut Writer, of: &ComplexType) {
    for field in of.fields {
        sample_field(w, field.name, field.kind);
    }
}

fn sample_field(w: &mut Writer, name: &'static str, kind: Kind) {
    match kind {
        Kind::Complex(inner) => {
            w.open(name);
            sample_fields(w, inner);
            w.close();
        }
        // Two, so that it is seen to be many.
        Kind::Array(of) => {
            w.open(name);
            for _ in 0..2 {
                w.open(of.item.name);
                sample_fields(w, of.item);
                w.close();
            }
            w.close();
        }
        Kind::String => _ = w.leaf(name, "string"),
        Kind::Int => _ = w.leaf(name, "int"),
        Kind::Boolean => _ = w.leaf(name, "boolean"),
        Kind::Base64 => _ = w.leaf(name, "base64Binary"),
        Kind::NullableDateTime => _ = w.leaf(name, "dateTime"),
        Kind::Enumeration(of) => _ = w.leaf(name, &of.values.join(" or ")),
    }
}

/// The samples' element names: each version has a prefix of its own, unlike in real answers.
struct Names {
    prefix: &'static str,
    envelope: &'static str,
    header: &'static str,
    body: &'static str,
}

impl Names {
    fn of(version: Version) -> Names {
        match version {
            Version::Soap11 => {
                Names { prefix: "xmlns:soap", envelope: "soap:Envelope", header: "soap:Header", body: "soap:Body" }
            }
            Version::Soap12 => Names {
                prefix: "xmlns:soap12",
                envelope: "soap12:Envelope",
                header: "soap12:Header",
                body: "soap12:Body",
            },
        }
    }

    fn open_envelope(&self, w: &mut Writer, version: Version) {
        w.open(self.envelope).attribute("xmlns:xsi", XSI).attribute("xmlns:xsd", XSD);
        w.attribute(self.prefix, version.namespace());
    }
}

fn back_link(path: &str) -> Markup {
    html! { p { "Click " a href=(file_name(path)) { "here" } " for a complete list of operations." } }
}

/// The last segment: links stay right behind any prefix a proxy adds.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The style sheet of every page. Served from its own address because the pages allow no inline style.
pub const STYLE: &str = include_str!("help.css");

fn page(contract: &Contract, path: &str, title: &str, content: Markup) -> String {
    let file = file_name(path);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " Web Service" }
                link rel="alternate" type="text/xml" href={ (file) "?disco" };
                link rel="stylesheet" href={ (file) "?style" };
            }
            body {
                header { h1 { (contract.service) } }
                main { (content) }
            }
        }
    }
    .into_string()
}
