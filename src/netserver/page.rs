//! The page for browsers at the address of a NetServer service.

use axum::response::Response;
use maud::html;

use super::Endpoint;
use crate::contract::naming::ABOUT_SOAP;
use crate::http::html::Page;

/// A short description of the service, with a link to its WSDL. `path`: that of the service, as the browser sent it.
pub(super) fn overview(endpoint: Endpoint, path: &str) -> Response {
    // The last segment: such links also work if a proxy adds a prefix. After a final slash the browser is one level deeper.
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    let file = if path.ends_with('/') { format!("../{name}") } else { name.to_owned() };
    Page {
        language: "en",
        title: &format!("{} Service", endpoint.contract.name),
        styles: &[&format!("{file}?style")],
        scripts: &[],
        head: html! {},
        body: html! {
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
                        li { strong { (operation.name) } p { (operation.documentation) } }
                    }
                }
            }
        },
    }
    .response()
}
