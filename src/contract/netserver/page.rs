//! The page a browser gets from the address of a NetServer service.

use maud::{DOCTYPE, html};

use super::Endpoint;
use crate::contract::naming::ABOUT_SOAP;

/// What the service does, and where its description is. `path`: where it is, as the reader typed it.
pub fn overview(endpoint: Endpoint, path: &str) -> String {
    // The last segment: links stay right behind any prefix a proxy adds. Behind a slash the browser is one level deeper.
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    let file = if path.ends_with('/') { format!("../{name}") } else { name.to_owned() };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (endpoint.contract.name) " Service" }
                link rel="stylesheet" href={ (file) "?style" };
            }
            body {
                header { h1 { (endpoint.contract.name) } }
                main {
                    p {
                        "This is a service of SOAP 1.1 and 1.2, in the edition " (endpoint.edition.name())
                        ". Make a client for it from its description: "
                        a href={ (file) "?wsdl" } { (name) "?wsdl" } " or " a href={ (file) "?singleWsdl" } { (name) "?singleWsdl" } "."
                    }
                    @if endpoint.operations().any(|operation| operation.changes) { p { (ABOUT_SOAP) } }
                    ul.operations {
                        @for operation in endpoint.operations() {
                            li { strong { (operation.name()) } p { (operation.documentation) } }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}
