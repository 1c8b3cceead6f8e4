//! The WSDL that is served against the WS-I Basic Profile 1.1 and WSDL 1.1. Python and lxml hold it to each rule, with
//! schemas of their own, in `tests/clients/description.py`; a document that is spoilt for a rule must be seen to be.

use std::collections::BTreeMap;

use crate::harness::*;
use crate::validator;

pub struct Rule {
    pub id: &'static str,
    says: &'static str,
    /// What spoils the document: something, and what takes its place.
    spoilt: (&'static str, &'static str),
}

const fn rule(id: &'static str, says: &'static str, from: &'static str, to: &'static str) -> Rule {
    Rule { id, says, spoilt: (from, to) }
}

const BODY: &str = "<soap:body use=\"literal\" />";
const PART: &str = "<wsdl:part name=\"parameters\" element=\"tns:AssignLicense\" />";
const ACTION: &str = "soapAction=\"sosonlinebackup.com/AssignLicense\"";
const BINDING: &str = "<soap:binding transport=\"http://schemas.xmlsoap.org/soap/http\" />";
const HEADER: &str = "<soap:header message=\"tns:AssignLicenseAuthHeader\" part=\"AuthHeader\" use=\"literal\" />";

/// The profile on descriptions.
pub const RULES: &[Rule] = &[
    rule(
        "R1034",
        "xmlns:xml is not declared",
        "<wsdl:definitions ",
        "<wsdl:definitions xmlns:xml=\"http://www.w3.org/XML/1998/namespace\" ",
    ),
    rule(
        "R2001",
        "wsdl:import is for WSDL",
        "<wsdl:types>",
        "<wsdl:import namespace=\"urn:x\" location=\"x.xsd\"/><wsdl:types>",
    ),
    rule(
        "R2002",
        "and not for schemas",
        "<wsdl:types>",
        "<wsdl:import namespace=\"sosonlinebackup.com\" location=\"x.wsdl\"/><wsdl:types>",
    ),
    rule(
        "R2003",
        "xsd:import is in a schema of wsdl:types",
        "<wsdl:types>",
        "<wsdl:types><s:import namespace=\"urn:x\"/>",
    ),
    rule("R2023", "types come first", "<wsdl:types>", "<wsdl:message name=\"Early\"/><wsdl:types>"),
    rule("R2025", "no extensions but those of SOAP", "</wsdl:service>", "<http:address/></wsdl:service>"),
    rule("R2026", "none that is required", "<soap:binding ", "<soap:binding wsdl:required=\"true\" "),
    rule("R2028", "valid against the schema of WSDL", "<wsdl:service name=", "<wsdl:service title="),
    rule("R2029", "valid against the schema of its SOAP binding", "style=\"document\"", "style=\"letter\""),
    rule(
        "R2030",
        "documentation comes first in what it is about",
        "</wsdl:types>",
        "</wsdl:types><wsdl:documentation/>",
    ),
    rule(
        "R2101",
        "names are of namespaces that are defined",
        "element=\"tns:AssignLicense\"",
        "element=\"http:AssignLicense\"",
    ),
    rule("R2102", "and of what is defined there", "message=\"tns:AssignLicenseSoapIn\"", "message=\"tns:Nothing\""),
    rule(
        "R2105",
        "schemas have a target namespace",
        "elementFormDefault=\"qualified\" targetNamespace=\"sosonlinebackup.com\"",
        "",
    ),
    rule("R2110", "no soapenc:Array", "type=\"s:int\"", "type=\"soapenc:Array\""),
    rule("R2111", "no wsdl:arrayType", " type=\"s:int\"", " type=\"s:int\" wsdl:arrayType=\"s:int[]\""),
    rule("R2201", "one part in a body", BODY, "<soap:body parts=\"a b\" use=\"literal\" />"),
    rule(
        "R2204",
        "a part of a body is an element",
        PART,
        "<wsdl:part name=\"parameters\" type=\"tns:AssignLicenseRequest\" />",
    ),
    rule("R2205", "a part of a header is an element", "part=\"AuthHeader\" use", "part=\"Other\" use"),
    rule("R2206", "a global one", PART, "<wsdl:part name=\"parameters\" element=\"tns:AssignLicenseRequest\" />"),
    rule(
        "R2210",
        "no second part where none is chosen",
        PART,
        "<wsdl:part name=\"a\" element=\"tns:AssignLicense\"/><wsdl:part name=\"b\" element=\"tns:AuthHeader\"/>",
    ),
    rule("R2303", "no notification", "<wsdl:input message=\"tns:AssignLicenseSoapIn\" />", ""),
    rule(
        "R2304",
        "operations have names of their own",
        "operation name=\"UnassignLicense\"",
        "operation name=\"AssignLicense\"",
    ),
    rule(
        "R2306",
        "a part has no type besides an element",
        PART,
        "<wsdl:part name=\"parameters\" element=\"tns:AssignLicense\" type=\"s:int\"/>",
    ),
    rule("R2401", "a binding is to SOAP", BINDING, ""),
    rule("R2701", "it names a transport", BINDING, "<soap:binding />"),
    rule("R2702", "which is HTTP", BINDING, "<soap:binding transport=\"http://schemas.xmlsoap.org/soap/smtp\" />"),
    rule("R2705", "it is document-literal", "style=\"document\"", "style=\"rpc\""),
    rule("R2706", "literal", BODY, "<soap:body use=\"encoded\" />"),
    rule(
        "R2707",
        "also where it is not said",
        HEADER,
        "<soap:header message=\"tns:AssignLicenseAuthHeader\" part=\"AuthHeader\" use=\"encoded\" />",
    ),
    rule(
        "R2710",
        "operations look different on the wire",
        "element=\"tns:UnassignLicense\"",
        "element=\"tns:AssignLicense\"",
    ),
    rule("R2716", "no namespace on what is literal", BODY, "<soap:body use=\"literal\" namespace=\"urn:x\" />"),
    rule(
        "R2718",
        "a binding has the operations of its port type",
        "<wsdl:operation name=\"AssignLicense\">\n      <soap:",
        "<wsdl:operation name=\"Other\">\n      <soap:",
    ),
    rule("R2720", "a header has a part", "part=\"AuthHeader\" use", "part=\"a b\" use"),
    rule("R2749", "and not parts", "<soap:header ", "<soap:header parts=\"x\" "),
    rule("R2801", "the schema is one", "type=\"s:int\"", "type=\"s:integr\""),
    rule("R4003", "UTF-8 or UTF-16", "encoding=\"utf-8\"", "encoding=\"iso-8859-1\""),
    rule("R4004", "XML 1.0", "<?xml version=\"1.0\"", "<?xml version=\"1.1\""),
];

/// What WSDL 1.1 says besides, and more ways to spoil the rules above.
const MORE: &[Rule] = &[
    rule("actions", "an action is that of its operation", ACTION, "soapAction=\"sosonlinebackup.com/Other\""),
    rule(
        "ports",
        "every binding has its port",
        "binding=\"tns:LicenseManagementServiceSoap12\"",
        "binding=\"tns:LicenseManagementServiceSoap\"",
    ),
    rule("ports", "with an address of its version", "<soap12:address ", "<soap:address "),
    rule("headers", "every operation takes AuthHeader", HEADER, ""),
    rule("unused", "nothing is there for nothing", "<wsdl:portType ", "<wsdl:message name=\"Unused\"/><wsdl:portType "),
    rule(
        "R2028",
        "messages have names of their own",
        "<wsdl:message name=\"AssignLicenseSoapOut\"",
        "<wsdl:message name=\"AssignLicenseSoapIn\"",
    ),
    rule(
        "R2028",
        "bindings too",
        "<wsdl:binding name=\"LicenseManagementServiceSoap12\"",
        "<wsdl:binding name=\"LicenseManagementServiceSoap\"",
    ),
    rule(
        "R2028",
        "ports too",
        "<wsdl:port name=\"LicenseManagementServiceSoap12\"",
        "<wsdl:port name=\"LicenseManagementServiceSoap\"",
    ),
    rule("R2029", "of SOAP 1.2 as well", "<soap12:body use=\"literal\" />", "<soap12:body using=\"literal\" />"),
    rule("R2102", "types", "type=\"tns:LicenseType\"", "type=\"tns:License\""),
    rule("R2102", "elements", PART, "<wsdl:part name=\"parameters\" element=\"tns:Nothing\" />"),
    rule(
        "R2102",
        "messages of headers",
        "message=\"tns:AssignLicenseAuthHeader\" part",
        "message=\"tns:Nothing\" part",
    ),
    rule("R2102", "port types", "type=\"tns:LicenseManagementServiceSoap\"", "type=\"tns:Nothing\""),
    rule("R2102", "bindings", "binding=\"tns:LicenseManagementServiceSoap\"", "binding=\"tns:Nothing\""),
];

#[test]
fn the_wsdl_holds_to_the_basic_profile() {
    let server = Server::start();
    let served = server.get(&format!("{PATH}?WSDL")).body;
    let rules = || RULES.iter().chain(MORE);
    let spoilt = rules().map(|Rule { id, spoilt: (from, to), .. }| {
        assert!(served.contains(from), "{id}: no {from}");
        served.replacen(from, to, 1)
    });
    let documents: Vec<String> = std::iter::once(served.clone()).chain(spoilt).collect();
    let found = problems(&documents);
    assert_eq!(found.len(), documents.len());
    for Rule { id, says, .. } in rules() {
        assert_eq!(found[0][*id], [""; 0], "{id}: {says}");
    }
    // And no rule is held that is not listed.
    for id in found[0].keys() {
        assert!(rules().any(|rule| rule.id == id), "{id}");
    }
    for (Rule { id, says, spoilt }, found) in rules().zip(&found[1..]) {
        assert_ne!(found[*id], [""; 0], "{id}, {says}: not seen when spoilt by {spoilt:?}");
    }
}

/// For each document, what is wrong with it by each rule.
fn problems(documents: &[String]) -> Vec<BTreeMap<String, Vec<String>>> {
    let input = serde_json::to_string(documents).expect("JSON");
    serde_json::from_str(&validator::run("description.py", &input)).expect("JSON")
}
