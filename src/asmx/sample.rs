//! Sample messages as on the vendor's page, for developers to copy and for the test form to send.

use super::operations::{AUTH_HEADER, Contract, Operation};
use crate::contract::edition::Edition;
use crate::contract::{ComplexType, Field, Kind};
use crate::soap::xml::Writer;
use crate::soap::{Version, XSD, XSI};

/// A request as sent over the wire, with its head, and with the names of types for values.
pub fn request(contract: &Contract, operation: &Operation, version: Version, path: &str, host: &str) -> String {
    let envelope = request_envelope(contract, operation, version, &placeholder);
    let action = match version {
        Version::Soap11 => format!("SOAPAction: \"{}\"\n", contract.soap_action(operation)),
        Version::Soap12 => String::new(),
    };
    format!(
        "POST {path} HTTP/1.1\nHost: {host}\nContent-Type: {}; charset=utf-8\nContent-Length: length\n{action}\n{envelope}",
        version.media_type()
    )
}

/// The content of a field; `None`: the field is left out.
pub type Fill<'f> = &'f dyn Fn(&Field) -> Option<String>;

/// The envelope of a request with its simple fields filled in.
pub fn request_envelope(contract: &Contract, operation: &Operation, version: Version, fill: Fill<'_>) -> String {
    let mut w = Writer::indented();
    let e = Names::of(version);
    e.open_envelope(&mut w, version);
    w.open(e.header).open(AUTH_HEADER.name).attribute("xmlns", contract.namespace);
    fields(&mut w, &AUTH_HEADER, fill);
    w.close().close();
    w.open(e.body).open(operation.name).attribute("xmlns", contract.namespace).open("request");
    fields(&mut w, operation.input, fill);
    w.finish()
}

/// The response to [`request`], with its head.
pub fn response(contract: &Contract, operation: &Operation, version: Version) -> String {
    let mut w = Writer::indented();
    let e = Names::of(version);
    e.open_envelope(&mut w, version);
    w.open(e.body).open(operation.response).attribute("xmlns", contract.namespace).open(operation.output.name);
    // .NET's sample writer does not expand the type of `Result`, so the vendor's page shows it empty.
    for f in operation.output.fields {
        match f.kind {
            Kind::Complex(_) => _ = w.leaf(f.name, ""),
            _ => field(&mut w, f, &placeholder),
        }
    }
    format!(
        "HTTP/1.1 200 OK\nContent-Type: {}; charset=utf-8\nContent-Length: length\n\n{}",
        version.media_type(),
        w.finish()
    )
}

fn fields(w: &mut Writer, of: &ComplexType, fill: Fill<'_>) {
    of.fields.iter().for_each(|f| field(w, f, fill));
}

fn field(w: &mut Writer, field: &Field, fill: Fill<'_>) {
    match field.kind {
        Kind::Complex(inner) => {
            w.open(field.name);
            fields(w, inner, fill);
            w.close();
        }
        // Two items, to show that there may be many.
        Kind::Array(of) => {
            w.open(field.name);
            for _ in 0..2 {
                w.open(of.item.name);
                fields(w, of.item, fill);
                w.close();
            }
            w.close();
        }
        _ => {
            if let Some(text) = fill(field) {
                w.leaf(field.name, &text);
            }
        }
    }
}

fn placeholder(field: &Field) -> Option<String> {
    Some(match field.kind {
        Kind::Int => "int".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Base64 => "base64Binary".to_owned(),
        Kind::NullableDateTime | Kind::DateTime => "dateTime".to_owned(),
        Kind::Enumeration(of) => of.names(Edition::First).join(" or "),
        _ => "string".to_owned(),
    })
}

/// The samples' element names: each version has a prefix of its own, unlike in real responses.
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
