//! The WSDL 1.1 and discovery documents of a contract, in the layout of .NET's reflector: client generators and the class names
//! in existing clients depend on names and order.

use super::operations::{AUTH_HEADER, Contract, Operation};
use crate::contract::{Array, ComplexType, Enumeration, Field, Kind};
use crate::soap::xml::Writer;

const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";
const SOAP_HTTP: &str = "http://schemas.xmlsoap.org/soap/http";

/// The WSDL, with `address` as the location of both ports.
pub fn render(contract: &Contract, address: &str) -> String {
    let mut w = Writer::indented();
    w.open("wsdl:definitions");
    for (name, value) in [
        ("xmlns:soapenc", "http://schemas.xmlsoap.org/soap/encoding/"),
        ("xmlns:soap12", "http://schemas.xmlsoap.org/wsdl/soap12/"),
        ("xmlns:http", "http://schemas.xmlsoap.org/wsdl/http/"),
        ("xmlns:tns", contract.namespace),
        ("xmlns:mime", "http://schemas.xmlsoap.org/wsdl/mime/"),
        ("xmlns:tm", "http://microsoft.com/wsdl/mime/textMatching/"),
        ("xmlns:s", crate::soap::XSD),
        ("xmlns:soap", "http://schemas.xmlsoap.org/wsdl/soap/"),
        ("targetNamespace", contract.namespace),
        ("xmlns:wsdl", WSDL),
    ] {
        w.attribute(name, value);
    }
    types(&mut w, contract);
    for operation in contract.operations {
        messages(&mut w, operation);
    }
    port_type(&mut w, contract);
    for binding in &BINDINGS {
        binding.write(&mut w, contract);
    }
    w.open("wsdl:service").attribute("name", contract.name);
    for binding in &BINDINGS {
        let name = binding.name(contract);
        w.open("wsdl:port").attribute("name", &name).attribute("binding", &format!("tns:{name}"));
        w.open(binding.address).attribute("location", address).close().close();
    }
    w.finish()
}

/// The discovery document, with `address` as the location of both ports.
pub fn render_disco(contract: &Contract, address: &str) -> String {
    let mut w = Writer::indented();
    w.open("discovery").attribute("xmlns:xsd", crate::soap::XSD).attribute("xmlns:xsi", crate::soap::XSI);
    w.attribute("xmlns", "http://schemas.xmlsoap.org/disco/");
    w.open("contractRef").attribute("ref", &format!("{address}?wsdl")).attribute("docRef", address);
    w.attribute("xmlns", "http://schemas.xmlsoap.org/disco/scl/").close();
    for (number, binding) in (1..).zip(&BINDINGS) {
        w.open("soap").attribute("address", address);
        w.attribute(&format!("xmlns:q{number}"), contract.namespace);
        w.attribute("binding", &format!("q{number}:{}", binding.name(contract)));
        w.attribute("xmlns", "http://schemas.xmlsoap.org/disco/soap/").close();
    }
    w.finish()
}

/// The differences between the bindings of the two SOAP versions. The 1.1 binding comes first: many toolkits take the first.
struct Binding {
    suffix: &'static str,
    binding: &'static str,
    operation: &'static str,
    body: &'static str,
    header: &'static str,
    address: &'static str,
}

static BINDINGS: [Binding; 2] = [
    Binding {
        suffix: "Soap",
        binding: "soap:binding",
        operation: "soap:operation",
        body: "soap:body",
        header: "soap:header",
        address: "soap:address",
    },
    Binding {
        suffix: "Soap12",
        binding: "soap12:binding",
        operation: "soap12:operation",
        body: "soap12:body",
        header: "soap12:header",
        address: "soap12:address",
    },
];

impl Binding {
    fn name(&self, contract: &Contract) -> String {
        format!("{}{}", contract.name, self.suffix)
    }

    fn write(&self, w: &mut Writer, contract: &Contract) {
        w.open("wsdl:binding").attribute("name", &self.name(contract));
        w.attribute("type", &format!("tns:{}", port_type_name(contract)));
        w.open(self.binding).attribute("transport", SOAP_HTTP).close();
        for operation in contract.operations {
            w.open("wsdl:operation").attribute("name", operation.name);
            w.open(self.operation).attribute("soapAction", &contract.soap_action(operation));
            w.attribute("style", "document").close();
            w.open("wsdl:input");
            w.open(self.body).attribute("use", "literal").close();
            w.open(self.header).attribute("message", &format!("tns:{}{}", operation.name, AUTH_HEADER.name));
            w.attribute("part", AUTH_HEADER.name).attribute("use", "literal").close();
            w.close();
            w.open("wsdl:output").open(self.body).attribute("use", "literal").close().close();
            w.close();
        }
        w.close();
    }
}

/// One port type serves both bindings, and shares its name with the first.
fn port_type_name(contract: &Contract) -> String {
    BINDINGS[0].name(contract)
}

fn port_type(w: &mut Writer, contract: &Contract) {
    w.open("wsdl:portType").attribute("name", &port_type_name(contract));
    for operation in contract.operations {
        w.open("wsdl:operation").attribute("name", operation.name);
        w.open("wsdl:documentation").attribute("xmlns:wsdl", WSDL).text(operation.documentation).close();
        w.open("wsdl:input").attribute("message", &format!("tns:{}SoapIn", operation.name)).close();
        w.open("wsdl:output").attribute("message", &format!("tns:{}SoapOut", operation.name)).close();
        w.close();
    }
    w.close();
}

fn messages(w: &mut Writer, operation: &Operation) {
    for (suffix, part, element) in [
        ("SoapIn", "parameters", operation.name),
        ("SoapOut", "parameters", operation.response),
        (AUTH_HEADER.name, AUTH_HEADER.name, AUTH_HEADER.name),
    ] {
        w.open("wsdl:message").attribute("name", &format!("{}{suffix}", operation.name));
        w.open("wsdl:part").attribute("name", part).attribute("element", &format!("tns:{element}")).close();
        w.close();
    }
}

/// The schema: for each operation its request and its response, each followed by the types that it uses first; the header block
/// after the first operation.
fn types(w: &mut Writer, contract: &Contract) {
    w.open("wsdl:types").open("s:schema");
    w.attribute("elementFormDefault", "qualified").attribute("targetNamespace", contract.namespace);
    let mut written = Vec::new();
    for (index, operation) in contract.operations.iter().enumerate() {
        wrapper(w, operation.name, "request", operation.input);
        complex_type(w, operation.input, &mut written);
        wrapper(w, operation.response, operation.output.name, operation.output);
        complex_type(w, operation.output, &mut written);
        if index == 0 {
            w.open("s:element").attribute("name", AUTH_HEADER.name);
            w.attribute("type", &format!("tns:{}", AUTH_HEADER.name)).close();
            w.open("s:complexType").attribute("name", AUTH_HEADER.name);
            sequence(w, AUTH_HEADER.fields);
            // For mustUnderstand, actor and role.
            w.open("s:anyAttribute").close().close();
        }
    }
    w.close().close();
}

fn wrapper(w: &mut Writer, name: &str, child: &str, of: &'static ComplexType) {
    w.open("s:element").attribute("name", name).open("s:complexType").open("s:sequence");
    field(w, child, Kind::Complex(of));
    w.close().close().close();
}

fn complex_type(w: &mut Writer, of: &'static ComplexType, written: &mut Vec<&'static str>) {
    if written.contains(&of.name) {
        return;
    }
    written.push(of.name);
    w.open("s:complexType").attribute("name", of.name);
    sequence(w, of.fields);
    w.close();
    for field in of.fields {
        match field.kind {
            Kind::Complex(inner) => complex_type(w, inner, written),
            Kind::Enumeration(inner) => enumeration(w, inner, written),
            Kind::Array(inner) => array(w, inner, written),
            _ => {}
        }
    }
}

fn array(w: &mut Writer, of: &'static Array, written: &mut Vec<&'static str>) {
    if written.contains(&of.name) {
        return;
    }
    written.push(of.name);
    w.open("s:complexType").attribute("name", of.name).open("s:sequence");
    w.open("s:element").attribute("minOccurs", "0").attribute("maxOccurs", "unbounded");
    w.attribute("name", of.item.name).attribute("nillable", "true");
    w.attribute("type", &format!("tns:{}", of.item.name)).close();
    w.close().close();
    complex_type(w, of.item, written);
}

fn enumeration(w: &mut Writer, of: &'static Enumeration, written: &mut Vec<&'static str>) {
    if written.contains(&of.name) {
        return;
    }
    written.push(of.name);
    w.open("s:simpleType").attribute("name", of.name).open("s:restriction").attribute("base", "s:string");
    for value in of.values {
        w.open("s:enumeration").attribute("value", value.name).close();
    }
    w.close().close();
}

fn sequence(w: &mut Writer, fields: &[Field]) {
    w.open("s:sequence");
    for f in fields {
        field(w, f.name, f.kind);
    }
    w.close();
}

fn field(w: &mut Writer, name: &str, kind: Kind) {
    let own = |name: &str| format!("tns:{name}");
    let of = match kind {
        Kind::String => "s:string".to_owned(),
        Kind::Int => "s:int".to_owned(),
        Kind::Boolean => "s:boolean".to_owned(),
        Kind::Base64 => "s:base64Binary".to_owned(),
        Kind::NullableDateTime | Kind::DateTime => "s:dateTime".to_owned(),
        Kind::Enumeration(inner) => own(inner.name),
        Kind::Complex(inner) => own(inner.name),
        Kind::Array(inner) => own(inner.name),
        Kind::Strings | Kind::Ints | Kind::Declared(_) => {
            unreachable!("only the NetServer contracts have these")
        }
    };
    w.open("s:element").attribute("minOccurs", kind.min_occurs()).attribute("maxOccurs", "1").attribute("name", name);
    if matches!(kind, Kind::NullableDateTime) {
        w.attribute("nillable", "true");
    }
    w.attribute("type", &of).close();
}
