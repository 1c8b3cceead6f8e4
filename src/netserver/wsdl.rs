//! The WSDL 1.1 documents of the NetServer services, with everything that WCF writes: client generators and the class names in
//! existing clients depend on it.

use super::types::CARRIER;
use super::{ANSWER_BLOCKS, Endpoint, Operation};
use crate::contract::edition::Edition;
use crate::contract::{ComplexType, Declared, Enumeration, Field, Kind, SERIALIZATION_ARRAYS};
use crate::soap::XSD;
use crate::soap::xml::Writer;

const SERIALIZATION: &str = "http://schemas.microsoft.com/2003/10/Serialization/";
const CRYPTOGRAPHY: &str = "http://schemas.datacontract.org/2004/07/System.Security.Cryptography";

/// The WSDL, with `address` as the location of the port. It contains all its schemas, so it is also the single WSDL.
pub fn render(endpoint: Endpoint, address: &str) -> String {
    let mut w = Writer::indented();
    let namespace = endpoint.namespace();
    w.open("wsdl:definitions").attribute("name", &service_name(endpoint)).attribute("targetNamespace", namespace);
    for (prefix, namespace) in [
        ("xmlns:wsdl", "http://schemas.xmlsoap.org/wsdl/"),
        ("xmlns:xs", XSD),
        ("xmlns:soap", "http://schemas.xmlsoap.org/wsdl/soap/"),
        ("xmlns:tns", namespace),
        ("xmlns:wsaw", "http://www.w3.org/2006/05/addressing/wsdl"),
    ] {
        w.attribute(prefix, namespace);
    }
    w.open("wsdl:types");
    Schema::of(endpoint.edition).write(&mut w, endpoint);
    serialization(&mut w);
    cryptography(&mut w);
    arrays(&mut w, endpoint);
    w.close();
    messages(&mut w, endpoint);
    port_type(&mut w, endpoint);
    binding(&mut w, endpoint);
    w.open("wsdl:service").attribute("name", &service_name(endpoint));
    let binding = binding_name(endpoint);
    w.open("wsdl:port").attribute("name", &binding).attribute("binding", &format!("tns:{binding}"));
    w.open("soap:address").attribute("location", address);
    w.finish()
}

fn service_name(endpoint: Endpoint) -> String {
    format!("Wcf{}Service", endpoint.contract.name)
}

fn binding_name(endpoint: Endpoint) -> String {
    format!("BasicHttpBinding_{}", endpoint.contract.name)
}

/// The action of a request. The action of its answer has `Response` appended, whatever the answer's element is.
pub fn action(endpoint: Endpoint, operation: &Operation) -> String {
    format!("{}/{}/{}", endpoint.namespace(), endpoint.contract.name, operation.name)
}

// Messages, port type, binding --------------------------------------------------------------------------------------

/// The messages of an operation by name, each with its header blocks. Several operations may share an answer.
fn message_names(operation: &Operation) -> (String, &'static str) {
    (format!("{}Request", operation.name), operation.output.name)
}

fn messages(w: &mut Writer, endpoint: Endpoint) {
    let mut written = Vec::new();
    for operation in endpoint.operations() {
        let (request, answer) = message_names(operation);
        let both = [
            (request, operation.name, endpoint.contract.header_blocks),
            (answer.to_owned(), operation.output.name, &ANSWER_BLOCKS[..]),
        ];
        for (name, element, blocks) in both {
            if written.contains(&name) {
                continue;
            }
            w.open("wsdl:message").attribute("name", &name);
            part(w, "parameters", element);
            w.close();
            w.open("wsdl:message").attribute("name", &format!("{name}_Headers"));
            blocks.iter().for_each(|block| part(w, block.name, block.name));
            w.close();
            written.push(name);
        }
    }
}

fn part(w: &mut Writer, name: &str, element: &str) {
    w.open("wsdl:part").attribute("name", name).attribute("element", &format!("tns:{element}")).close();
}

fn port_type(w: &mut Writer, endpoint: Endpoint) {
    w.open("wsdl:portType").attribute("name", endpoint.contract.name);
    for operation in endpoint.operations() {
        let (request, answer) = message_names(operation);
        let action = action(endpoint, operation);
        w.open("wsdl:operation").attribute("name", operation.name);
        w.open("wsdl:documentation").text(operation.documentation).close();
        w.open("wsdl:input").attribute("wsaw:Action", &action);
        w.attribute("name", &request).attribute("message", &format!("tns:{request}")).close();
        w.open("wsdl:output").attribute("wsaw:Action", &format!("{action}Response"));
        w.attribute("name", answer).attribute("message", &format!("tns:{answer}")).close();
        w.close();
    }
    w.close();
}

fn binding(w: &mut Writer, endpoint: Endpoint) {
    w.open("wsdl:binding").attribute("name", &binding_name(endpoint));
    w.attribute("type", &format!("tns:{}", endpoint.contract.name));
    w.open("soap:binding").attribute("transport", "http://schemas.xmlsoap.org/soap/http").close();
    for operation in endpoint.operations() {
        let (request, answer) = message_names(operation);
        w.open("wsdl:operation").attribute("name", operation.name);
        w.open("soap:operation").attribute("soapAction", &action(endpoint, operation));
        w.attribute("style", "document").close();
        for (element, name, blocks) in [
            ("wsdl:input", request.as_str(), endpoint.contract.header_blocks),
            ("wsdl:output", answer, &ANSWER_BLOCKS[..]),
        ] {
            w.open(element).attribute("name", name);
            for block in blocks {
                w.open("soap:header").attribute("message", &format!("tns:{name}_Headers"));
                w.attribute("part", block.name).attribute("use", "literal").close();
            }
            w.open("soap:body").attribute("use", "literal").close();
            w.close();
        }
        w.close();
    }
    w.close();
}

// The schema of the contract ----------------------------------------------------------------------------------------

/// Writes each element and type once, where it is first needed.
struct Schema {
    edition: Edition,
    written: Vec<&'static str>,
    /// Types that were referred to and are not written yet.
    needed: Vec<Kind>,
}

impl Schema {
    const fn of(edition: Edition) -> Schema {
        Schema { edition, written: Vec::new(), needed: Vec::new() }
    }

    fn write(mut self, w: &mut Writer, endpoint: Endpoint) {
        open_schema(w, self.edition.namespace());
        for namespace in [CRYPTOGRAPHY, SERIALIZATION_ARRAYS, SERIALIZATION] {
            w.open("xs:import").attribute("namespace", namespace).close();
        }
        for operation in endpoint.operations() {
            self.message_element(w, operation.input);
            self.message_element(w, operation.output);
            for block in endpoint.contract.header_blocks.iter().chain(&ANSWER_BLOCKS) {
                self.header_block(w, block);
            }
            while let Some(kind) = self.needed.pop() {
                self.named_type(w, kind);
            }
        }
        w.close();
    }

    fn is_new(&mut self, name: &'static str) -> bool {
        let is_new = !self.written.contains(&name);
        if is_new {
            self.written.push(name);
        }
        is_new
    }

    fn message_element(&mut self, w: &mut Writer, of: &'static ComplexType) {
        if self.is_new(of.name) {
            w.open("xs:element").attribute("name", of.name).open("xs:complexType");
            self.sequence(w, of.fields);
            w.close().close();
        }
    }

    fn header_block(&mut self, w: &mut Writer, block: &Field) {
        if self.is_new(block.name) {
            w.open("xs:element").attribute("name", block.name);
            self.typed(w, block.kind);
        }
    }

    fn sequence(&mut self, w: &mut Writer, fields: &'static [Field]) {
        w.open("xs:sequence");
        let edition = self.edition;
        for field in fields.iter().filter(|field| field.since <= edition) {
            w.open("xs:element").attribute("minOccurs", "0").attribute("name", field.name);
            self.typed(w, field.kind);
        }
        w.close();
    }

    /// Ends the open element declaration with `nillable` and `type`.
    fn typed(&mut self, w: &mut Writer, kind: Kind) {
        if kind.is_reference() {
            w.attribute("nillable", "true");
        }
        let (namespace, name) = type_name(kind);
        match namespace {
            OWN => {
                w.attribute("type", &format!("tns:{name}"));
                self.needed.push(kind);
            }
            XSD => _ = w.attribute("type", &format!("xs:{name}")),
            // Each has a prefix of its own, because Node's toolkit keeps one map of prefixes for the whole document.
            CRYPTOGRAPHY => _ = w.attribute("type", &format!("cr:{name}")).attribute("xmlns:cr", namespace),
            _ => _ = w.attribute("type", &format!("arr:{name}")).attribute("xmlns:arr", namespace),
        }
        w.close();
    }

    /// A type, and the element of its name that WCF declares beside it.
    fn named_type(&mut self, w: &mut Writer, kind: Kind) {
        let (_, name) = type_name(kind);
        if !self.is_new(name) {
            return;
        }
        match kind {
            Kind::Complex(of) => self.complex_type(w, of),
            Kind::Array(of) => {
                w.open("xs:complexType").attribute("name", name).open("xs:sequence");
                w.open("xs:element").attribute("minOccurs", "0").attribute("maxOccurs", "unbounded");
                w.attribute("name", of.item.name);
                self.typed(w, Kind::Complex(of.item));
                w.close().close();
            }
            Kind::Enumeration(of) => {
                w.open("xs:simpleType").attribute("name", name);
                if SHORTS.contains(&name) {
                    w.open("xs:annotation").open("xs:appinfo").open("ActualType");
                    w.attribute("Name", "short").attribute("Namespace", XSD).attribute("xmlns", SERIALIZATION);
                    w.close().close().close();
                }
                restriction(w, of, self.edition);
                w.close();
            }
            Kind::Declared(Declared::Dictionary { pair, value, .. }) => {
                w.open("xs:complexType").attribute("name", name);
                appinfo(w, "IsDictionary", "true");
                w.open("xs:sequence");
                w.open("xs:element").attribute("minOccurs", "0").attribute("maxOccurs", "unbounded");
                w.attribute("name", pair).open("xs:complexType").open("xs:sequence");
                for (name, kind) in [("Key", Kind::String), ("Value", *value)] {
                    w.open("xs:element").attribute("name", name);
                    self.typed(w, kind);
                }
                w.close().close().close().close().close();
            }
            Kind::Declared(Declared::Flags(of)) => {
                w.open("xs:simpleType").attribute("name", name).open("xs:list").open("xs:simpleType");
                restriction(w, of, self.edition);
                w.close().close().close();
            }
            _ => {}
        }
        w.open("xs:element").attribute("name", name).attribute("nillable", "true");
        w.attribute("type", &format!("tns:{name}")).close();
    }

    fn complex_type(&mut self, w: &mut Writer, of: &'static ComplexType) {
        w.open("xs:complexType").attribute("name", of.name);
        match own_fields(of) {
            Some(own) => {
                self.needed.push(Kind::Complex(&CARRIER));
                w.open("xs:complexContent").attribute("mixed", "false");
                w.open("xs:extension").attribute("base", &format!("tns:{}", CARRIER.name));
                self.sequence(w, own);
                w.close().close();
            }
            None => self.sequence(w, of.fields),
        }
        w.close();
    }
}

/// The fields of a type besides those of Carrier; `None`: it does not extend Carrier.
fn own_fields(of: &'static ComplexType) -> Option<&'static [Field]> {
    let (first, own) = of.fields.split_at_checked(CARRIER.fields.len())?;
    let inherits = first.iter().map(|f| f.name).eq(CARRIER.fields.iter().map(|f| f.name));
    (inherits && of.name != CARRIER.name).then_some(own)
}

/// A placeholder for the namespace of the edition.
const OWN: &str = "";

/// Namespace and local name of a type.
fn type_name(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::String => (XSD, "string"),
        Kind::Int => (XSD, "int"),
        Kind::Boolean => (XSD, "boolean"),
        Kind::Base64 => (XSD, "base64Binary"),
        Kind::DateTime | Kind::NullableDateTime => (XSD, "dateTime"),
        Kind::Enumeration(of) => (OWN, of.name),
        Kind::Complex(of) => (OWN, of.name),
        Kind::Array(of) => (OWN, of.name),
        Kind::Strings => (SERIALIZATION_ARRAYS, "ArrayOfstring"),
        Kind::Ints => (SERIALIZATION_ARRAYS, "ArrayOfint"),
        Kind::Declared(Declared::Dictionary { name, .. }) => (OWN, name),
        Kind::Declared(Declared::Flags(of)) => (OWN, of.name),
        Kind::Declared(Declared::DsaParameters) => (CRYPTOGRAPHY, "DSAParameters"),
    }
}

/// Enumerations with 16-bit values in .NET.
const SHORTS: [&str; 2] = ["LicenseType", "RoleType"];

fn restriction(w: &mut Writer, of: &Enumeration, edition: Edition) {
    w.open("xs:restriction").attribute("base", "xs:string");
    for value in of.values(edition) {
        w.open("xs:enumeration").attribute("value", value.name);
        if let Some(number) = value.number {
            appinfo(w, "EnumerationValue", &number.to_string());
        }
        w.close();
    }
    w.close();
}

fn appinfo(w: &mut Writer, name: &'static str, value: &str) {
    w.open("xs:annotation").open("xs:appinfo").open(name).attribute("xmlns", SERIALIZATION).text(value);
    w.close().close().close();
}

// The schemas that are .NET's own -----------------------------------------------------------------------------------

fn open_schema(w: &mut Writer, namespace: &str) {
    w.open("xs:schema").attribute("elementFormDefault", "qualified").attribute("targetNamespace", namespace);
}

/// Declares an element of the type with the same name.
fn element_of_type(w: &mut Writer, name: &str, of: &str) {
    w.open("xs:element").attribute("name", name).attribute("nillable", "true").attribute("type", of).close();
}

fn serialization(w: &mut Writer) {
    open_schema(w, SERIALIZATION);
    w.attribute("attributeFormDefault", "qualified").attribute("xmlns:ser", SERIALIZATION);
    for name in [
        "anyType",
        "anyURI",
        "base64Binary",
        "boolean",
        "byte",
        "dateTime",
        "decimal",
        "double",
        "float",
        "int",
        "long",
        "QName",
        "short",
        "string",
        "unsignedByte",
        "unsignedInt",
        "unsignedLong",
        "unsignedShort",
    ] {
        element_of_type(w, name, &format!("xs:{name}"));
    }
    const DURATION: &[(&str, &str)] = &[
        ("xs:pattern", r"\-?P(\d*D)?(T(\d*H)?(\d*M)?(\d*(\.\d*)?S)?)?"),
        ("xs:minInclusive", "-P10675199DT2H48M5.4775808S"),
        ("xs:maxInclusive", "P10675199DT2H48M5.4775807S"),
    ];
    const GUID: &[(&str, &str)] =
        &[("xs:pattern", r"[\da-fA-F]{8}-[\da-fA-F]{4}-[\da-fA-F]{4}-[\da-fA-F]{4}-[\da-fA-F]{12}")];
    for (name, base, facets) in
        [("char", "xs:int", &[][..]), ("duration", "xs:duration", DURATION), ("guid", "xs:string", GUID)]
    {
        element_of_type(w, name, &format!("ser:{name}"));
        w.open("xs:simpleType").attribute("name", name).open("xs:restriction").attribute("base", base);
        for (facet, value) in facets {
            w.open(facet).attribute("value", value).close();
        }
        w.close().close();
    }
    for (name, of) in [("FactoryType", "xs:QName"), ("Id", "xs:ID"), ("Ref", "xs:IDREF")] {
        w.open("xs:attribute").attribute("name", name).attribute("type", of).close();
    }
    w.close();
}

fn cryptography(w: &mut Writer) {
    open_schema(w, CRYPTOGRAPHY);
    w.attribute("xmlns:cr", CRYPTOGRAPHY);
    w.open("xs:import").attribute("namespace", SERIALIZATION).close();
    w.open("xs:complexType").attribute("name", "DSAParameters");
    appinfo(w, "IsValueType", "true");
    w.open("xs:sequence");
    w.open("xs:element").attribute("name", "Counter").attribute("type", "xs:int").close();
    for name in ["G", "J", "P", "Q", "Seed", "Y"] {
        element_of_type(w, name, "xs:base64Binary");
    }
    w.close().close();
    element_of_type(w, "DSAParameters", "cr:DSAParameters");
    w.close();
}

/// The arrays that the contract uses.
fn arrays(w: &mut Writer, endpoint: Endpoint) {
    open_schema(w, SERIALIZATION_ARRAYS);
    w.attribute("xmlns:arr", SERIALIZATION_ARRAYS);
    for (kind, item) in [(Kind::Strings, "string"), (Kind::Ints, "int")] {
        if !endpoint.operations().any(|o| uses(o.input, kind) || uses(o.output, kind)) {
            continue;
        }
        let (_, name) = type_name(kind);
        w.open("xs:complexType").attribute("name", name).open("xs:sequence");
        w.open("xs:element").attribute("minOccurs", "0").attribute("maxOccurs", "unbounded").attribute("name", item);
        if item == "string" {
            w.attribute("nillable", "true");
        }
        w.attribute("type", &format!("xs:{item}")).close();
        w.close().close();
        element_of_type(w, name, &format!("arr:{name}"));
    }
    w.close();
}

/// Whether a type has a field of this kind, directly or one level below: no such array is deeper.
fn uses(of: &ComplexType, kind: Kind) -> bool {
    of.fields.iter().any(|field| match field.kind {
        Kind::Complex(inner) => inner.fields.iter().any(|f| type_name(f.kind) == type_name(kind)),
        other => type_name(other) == type_name(kind),
    })
}
