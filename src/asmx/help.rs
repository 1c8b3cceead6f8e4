//! The pages for browsers: the list of operations, and for each operation a page with sample messages, in the words of .NET's
//! help generator.

use axum::response::Response;
use maud::{Markup, html};

use super::operations::{AUTH_HEADER, Contract, Operation};
use super::sample;
use crate::contract::edition::Edition;
use crate::contract::naming::ABOUT_SOAP;
use crate::contract::{Field, Kind};
use crate::http::html::Page;
use crate::soap::Version;

/// The list of operations. `path`: that of the service, as the browser sent it.
pub fn overview(contract: &Contract, path: &str) -> Response {
    let file = file_name(path);
    page(
        contract,
        file,
        contract.name,
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

pub fn operation(contract: &Contract, operation: &Operation, path: &str, host: &str, test: Option<Test>) -> Response {
    let file = file_name(path);
    page(
        contract,
        file,
        operation.name,
        html! {
            (back_link(file))
            h2 { (operation.name) }
            p { (operation.documentation) }
            @if operation.changes { p { (ABOUT_SOAP) } }
            h3 { "Test" }
            @match test {
                None => p { "The test form is only available for requests from the local machine." },
                Some(_) if !is_simple(operation) => {
                    p { "The test form is only available for methods with primitive types as parameters." }
                }
                Some(test) => (form(operation, file, &test)),
            }
            @for (name, version) in [("SOAP 1.1", Version::Soap11), ("SOAP 1.2", Version::Soap12)] {
                h3 { (name) }
                p {
                    "The following is a sample " (name) " request and response. "
                    "The " span.placeholder { "placeholders" } " shown need to be replaced with actual values."
                }
                (message(&format!("{name} request"), &sample::request(contract, operation, version, path, host)))
                (message(&format!("{name} response"), &sample::response(contract, operation, version)))
            }
        },
    )
}

/// The test form: its input, and the exchange that followed.
#[derive(Default)]
pub struct Test {
    /// Values by field name. The password is not repeated.
    pub values: Vec<(String, String)>,
    /// The request that was sent and the answer to it.
    pub exchange: Option<(String, String)>,
}

impl Test {
    fn value(&self, name: &str) -> &str {
        self.values.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

/// The name of the form's field for the SOAP version.
pub const VERSION_FIELD: &str = "SOAP";

/// Whether a form can have all of the operation's fields.
pub fn is_simple(operation: &Operation) -> bool {
    operation.input.fields.iter().all(|f| !matches!(f.kind, Kind::Complex(_) | Kind::Array(_)))
}

fn form(operation: &Operation, file: &str, test: &Test) -> Markup {
    html! {
        p { "Fill in and click 'Invoke': the message is sent to this service as if a client had sent it. Fields left empty are left out." }
        form method="post" action={ (file) "?op=" (operation.name) } {
            @for field in AUTH_HEADER.fields.iter().chain(operation.input.fields) {
                label for=(field.name) { (field.name) }
                (input(field, test.value(field.name)))
            }
            label for=(VERSION_FIELD) { "Version" }
            (select(VERSION_FIELD, &["1.1", "1.2"], test.value(VERSION_FIELD)))
            button type="submit" { "Invoke" }
        }
        @if let Some((request, answer)) = &test.exchange {
            h4 { "Request" }
            pre #request tabindex="0" role="region" aria-label="Request" { (request) }
            h4 { "Response" }
            pre #response tabindex="0" role="region" aria-label="Response" { (answer) }
        }
    }
}

fn input(field: &Field, value: &str) -> Markup {
    let name = field.name;
    match field.kind {
        Kind::Enumeration(of) => select(name, &of.names(Edition::First), value),
        Kind::Boolean => select(name, &["false", "true"], value),
        Kind::Int => html! { input #(name) name=(name) value=(value) inputmode="numeric" autocomplete="off"; },
        _ if name == "Password" => html! { input #(name) name=(name) type="password" autocomplete="off"; },
        _ => html! { input #(name) name=(name) value=(value) autocomplete="off"; },
    }
}

fn select(name: &str, options: &[&str], chosen: &str) -> Markup {
    html! {
        select #(name) name=(name) {
            @for option in options { option selected[*option == chosen] { (option) } }
        }
    }
}

/// A sample message with marked placeholders. It can have the keyboard's focus, so that it can be scrolled sideways.
fn message(label: &str, text: &str) -> Markup {
    html! {
        pre tabindex="0" role="region" aria-label=(label) {
            @for line in text.lines() {
                @match placeholder(line) {
                    Some((before, value, after)) => { (before) span.placeholder { (value) } (after) },
                    None => (line),
                }
                "\n"
            }
        }
    }
}

/// The text before, in and after the placeholder of a line.
fn placeholder(line: &str) -> Option<(&str, &str, &str)> {
    let (begin, end) = match line.strip_prefix("Content-Length: ") {
        Some(_) => ("Content-Length: ".len(), line.len()),
        None => (line.find('>')? + 1, line.rfind("</")?),
    };
    (begin < end).then(|| (&line[..begin], &line[begin..end], &line[end..]))
}

/// The page for an unknown `op`.
pub fn unknown_operation(contract: &Contract, name: &str, path: &str) -> Response {
    let file = file_name(path);
    page(
        contract,
        file,
        "Method Not Found",
        html! {
            (back_link(file))
            h2 { "Method Not Found" }
            p { "Method '" (name) "' was not found in service " (contract.name) "." }
        },
    )
}

/// The page for an address below the service's. `rest`: the path after it; `shown`: the same, readable for people.
pub fn unrecognized_path(contract: &Contract, path: &str, rest: &str, shown: &str) -> Response {
    let file = "../".repeat(rest.matches('/').count()) + file_name(path);
    page(
        contract,
        &file,
        "Request Format Is Unrecognized",
        html! {
            (back_link(&file))
            h2 { "Request Format Is Unrecognized" }
            p { "Request format is unrecognized for URL unexpectedly ending in '" (shown) "'." }
        },
    )
}

fn back_link(file: &str) -> Markup {
    html! { p { "Click " a href=(file) { "here" } " for a complete list of operations." } }
}

/// The last segment: such links also work if a proxy adds a prefix.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A page of the service. `file`: the service's address, relative to the page's.
fn page(contract: &Contract, file: &str, title: &str, content: Markup) -> Response {
    Page {
        language: "en",
        title: &format!("{title} Web Service"),
        styles: &[&format!("{file}?style")],
        scripts: &[],
        head: html! { link rel="alternate" type="text/xml" href={ (file) "?disco" }; },
        body: html! {
            header { h1 { (contract.name) } }
            main { (content) }
        },
    }
    .response()
}
