//! The pages a browser gets: the list of operations, and one page for each with sample messages, as .NET's help
//! generator words them.

use maud::{DOCTYPE, Markup, html};

use super::asmx::AUTH_HEADER;
use super::edition::Edition;
use super::naming::ABOUT_SOAP;
use super::{Contract, Field, Kind, Operation, sample};
use crate::soap::Version;

/// The list of operations. `path`: where the service is, as the reader typed it.
pub fn overview(contract: &Contract, path: &str) -> String {
    let file = file_name(path);
    page(
        contract,
        file,
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

pub fn operation(contract: &Contract, operation: &Operation, path: &str, host: &str, test: Option<Test>) -> String {
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
                (message(&sample::request(contract, operation, version, path, host)))
                (message(&sample::response(contract, operation, version)))
            }
        },
    )
}

/// The test form: what was filled in, and what came of it.
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

/// Whether a form can ask for all of the operation's fields.
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
            pre #request { (request) }
            h4 { "Response" }
            pre #response { (answer) }
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

/// A sample message, its placeholders marked.
fn message(text: &str) -> Markup {
    html! {
        pre {
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

/// What is before, in and after the placeholder of a line.
fn placeholder(line: &str) -> Option<(&str, &str, &str)> {
    let (begin, end) = match line.strip_prefix("Content-Length: ") {
        Some(_) => ("Content-Length: ".len(), line.len()),
        None => (line.find('>')? + 1, line.rfind("</")?),
    };
    (begin < end).then(|| (&line[..begin], &line[begin..end], &line[end..]))
}

/// The page for an `op` that is not there.
pub fn unknown_operation(contract: &Contract, name: &str, path: &str) -> String {
    let file = file_name(path);
    page(
        contract,
        file,
        "Method Not Found",
        html! {
            (back_link(file))
            h2 { "Method Not Found" }
            p { "Method '" (name) "' was not found in service " (contract.service) "." }
        },
    )
}

/// The page for an address below the service's: `rest` is what follows it, `shown` the same for people to read.
pub fn unrecognized_path(contract: &Contract, path: &str, rest: &str, shown: &str) -> String {
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

/// The last segment: links stay right behind any prefix a proxy adds.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The style sheet of every page. Served from its own address because the pages allow no inline style.
pub const STYLE: &str = include_str!("help.css");

/// `file`: where the service is, from the page's address.
fn page(contract: &Contract, file: &str, title: &str, content: Markup) -> String {
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
