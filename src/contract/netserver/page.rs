//! The page a browser gets from the address of a NetServer service.

use maud::{DOCTYPE, html};

use super::Contract;

/// What the service does, and where its description is. `path`: where it is, as the reader typed it.
pub fn overview(contract: &Contract, path: &str) -> String {
    // The last segment: links stay right behind any prefix a proxy adds.
    let file = path.rsplit('/').next().unwrap_or(path);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (contract.name) " Service" }
                link rel="stylesheet" href={ (file) "?style" };
            }
            body {
                header { h1 { (contract.name) } }
                main {
                    p {
                        "You have found a service of SOAP 1.1 and 1.2. Make a client for it from its description: "
                        a href={ (file) "?wsdl" } { (file) "?wsdl" } " or " a href={ (file) "?singleWsdl" } { (file) "?singleWsdl" } "."
                    }
                    ul.operations {
                        @for operation in contract.operations {
                            li { strong { (operation.name()) } p { (operation.documentation) } }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}
