//! The WSDL 1.1 documents of the NetServer services, with everything in them that WCF writes: client generators and the
//! class names in existing clients depend on it.

use super::types::CARRIER;
use super::{ANSWER_BLOCKS, Contract, NAMESPACE, Operation};
use crate::contract::{ComplexType, Declared, Enumeration, Field, Kind, SERIALIZATION_ARRAYS};
use crate::soap::XSD;
use crate::soap::xml::Writer;

const SERIALIZATION: &str = "http://schemas.microsoft.com/2003/10/Serialization/";
const CRYPTOGRAPHY: &str = "http://schemas.datacontract.org/2004/07/System.Security.Cryptography";

/// The WSDL, with `address` as the location of the port. It holds all its schemas, so it is the single WSDL too.
pub fn render(contract: &Contract, address: &str) -> String {
    let mut w = Writer::indented();
    w.open("wsdl:definitions").attribute("name", &service_name(contract)).attribute("targetNamespace", NAMESPACE);
    for (prefix, namespace) in [
        ("xmlns:wsdl", "http://schemas.xmlsoap.org/wsdl/"),
        ("xmlns:xs", XSD),
        ("xmlns:soap", "http://schemas.xmlsoap.org/wsdl/soap/"),
        ("xmlns:tns", NAMESPACE),
        ("xmlns:wsaw", "http://www.w3.org/2006/05/addressing/wsdl"),
    ] {
        w.attribute(prefix, namespace);
    }
    w.open("wsdl:types");
    Schema::default().write(&mut w, contract);
    serialization(&mut w);
    cryptography(&mut w);
    arrays(&mut w, contract);
    w.close();
    messages(&mut w, contract);
    port_type(&mut w, contract);
    binding(&mut w, contract);
    w.open("wsdl:service").attribute("name", &service_name(contract));
    let binding = binding_name(contract);
    w.open("wsdl:port").attribute("name", &binding).attribute("binding", &format!("tns:{binding}"));
    w.open("soap:address").attribute("location", address);
    w.finish()
}

fn service_name(contract: &Contract) -> String {
    format!("Wcf{}Service", contract.name)
}

fn binding_name(contract: &Contract) -> String {
    format!("BasicHttpBinding_{}", contract.name)
}

/// The action of a request; that of its answer has `Response` behind it, whatever the answer's element is.
pub fn action(contract: &Contract, operation: &Operation) -> String {
    format!("{NAMESPACE}/{}/{}", contract.name, operation.name())
}

// Messages, port type, binding --------------------------------------------------------------------------------------

/// The messages of an operation by name, each with its header blocks. Several operations may share an answer.
fn message_names(operation: &Operation) -> (String, &'static str) {
    (format!("{}Request", operation.name()), operation.output.name)
}

fn messages(w: &mut Writer, contract: &Contract) {
    let mut written = Vec::new();
    for operation in contract.operations {
        let (request, answer) = message_names(operation);
        let both = [
            (request, operation.name(), contract.header_blocks),
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

fn port_type(w: &mut Writer, contract: &Contract) {
    w.open("wsdl:portType").attribute("name", contract.name);
    for operation in contract.operations {
        let (request, answer) = message_names(operation);
        let action = action(contract, operation);
        w.open("wsdl:operation").attribute("name", operation.name());
        w.open("wsdl:documentation").text(operation.documentation).close();
        w.open("wsdl:input").attribute("wsaw:Action", &action);
        w.attribute("name", &request).attribute("message", &format!("tns:{request}")).close();
        w.open("wsdl:output").attribute("wsaw:Action", &format!("{action}Response"));
        w.attribute("name", answer).attribute("message", &format!("tns:{answer}")).close();
        w.close();
    }
    w.close();
}

fn binding(w: &mut Writer, contract: &Contract) {
    w.open("wsdl:binding").attribute("name", &binding_name(contract));
    w.attribute("type", &format!("tns:{}", contract.name));
    w.open("soap:binding").attribute("transport", "http://schemas.xmlsoap.org/soap/http").close();
    for operation in contract.operations {
        let (request, answer) = message_names(operation);
        w.open("wsdl:operation").attribute("name", operation.name());
        w.open("soap:operation").attribute("soapAction", &action(contract, operation));
        w.attribute("style", "document").close();
        for (element, name, blocks) in
            [("wsdl:input", request.as_str(), contract.header_blocks), ("wsdl:output", answer, &ANSWER_BLOCKS[..])]
        {
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
#[derive(Default)]
struct Schema {
    written: Vec<&'static str>,
    /// Types that were named and are still to be written.
    needed: Vec<Kind>,
}

impl Schema {
    fn write(mut self, w: &mut Writer, contract: &Contract) {
        open_schema(w, NAMESPACE);
        for namespace in [CRYPTOGRAPHY, SERIALIZATION_ARRAYS, SERIALIZATION] {
            w.open("xs:import").attribute("namespace", namespace).close();
        }
        for operation in contract.operations {
            self.message_element(w, operation.input);
            self.message_element(w, operation.output);
            for block in contract.header_blocks.iter().chain(&ANSWER_BLOCKS) {
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
        for field in fields.iter().filter(|f| !matches!(f.kind, Kind::WebApi(_))) {
            w.open("xs:element").attribute("minOccurs", "0").attribute("name", field.name);
            self.typed(w, field.kind);
        }
        w.close();
    }

    /// Ends the open element declaration with nillability and type.
    fn typed(&mut self, w: &mut Writer, kind: Kind) {
        if kind.is_reference() {
            w.attribute("nillable", "true");
        }
        let (namespace, name) = type_name(kind);
        match namespace {
            NAMESPACE => {
                w.attribute("type", &format!("tns:{name}"));
                self.needed.push(kind);
            }
            XSD => _ = w.attribute("type", &format!("xs:{name}")),
            // Each a prefix of its own: node's toolkit keeps one map of prefixes for the whole document.
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
                restriction(w, of);
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
                restriction(w, of);
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

/// What a type has besides what it has from Carrier; `None`: it does not extend it.
fn own_fields(of: &'static ComplexType) -> Option<&'static [Field]> {
    let (first, own) = of.fields.split_at_checked(CARRIER.fields.len())?;
    let inherits = first.iter().map(|f| f.name).eq(CARRIER.fields.iter().map(|f| f.name));
    (inherits && of.name != CARRIER.name).then_some(own)
}

/// Namespace and local name of a type.
fn type_name(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::String => (XSD, "string"),
        Kind::Int => (XSD, "int"),
        Kind::Boolean => (XSD, "boolean"),
        Kind::Base64 => (XSD, "base64Binary"),
        Kind::DateTime | Kind::NullableDateTime => (XSD, "dateTime"),
        Kind::Enumeration(of) => (NAMESPACE, of.name),
        Kind::Complex(of) => (NAMESPACE, of.name),
        Kind::Array(of) => (NAMESPACE, of.name),
        Kind::Strings => (SERIALIZATION_ARRAYS, "ArrayOfstring"),
        Kind::Ints => (SERIALIZATION_ARRAYS, "ArrayOfint"),
        Kind::Declared(Declared::Dictionary { name, .. }) => (NAMESPACE, name),
        Kind::Declared(Declared::Flags(of)) => (NAMESPACE, of.name),
        Kind::Declared(Declared::DsaParameters) => (CRYPTOGRAPHY, "DSAParameters"),
        Kind::WebApi(kind) => type_name(*kind),
    }
}

/// Enumerations that .NET keeps in 16 bits.
const SHORTS: [&str; 2] = ["LicenseType", "RoleType"];
/// Values whose number is not their place.
const NUMBERS: [(&str, &str); 3] = [("ProblemWithLicense", "100"), ("UnknownError", "5000"), ("StatusSystem", "127")];

fn restriction(w: &mut Writer, of: &Enumeration) {
    w.open("xs:restriction").attribute("base", "xs:string");
    for value in of.values {
        w.open("xs:enumeration").attribute("value", value);
        if let Some((_, number)) = NUMBERS.iter().find(|(name, _)| name == value) {
            appinfo(w, "EnumerationValue", number);
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

/// Declares an element of a namespace's type of the same name.
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
fn arrays(w: &mut Writer, contract: &Contract) {
    open_schema(w, SERIALIZATION_ARRAYS);
    w.attribute("xmlns:arr", SERIALIZATION_ARRAYS);
    for (kind, item) in [(Kind::Strings, "string"), (Kind::Ints, "int")] {
        if !contract.operations.iter().any(|o| uses(o.input, kind) || uses(o.output, kind)) {
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

/// Whether a type has a field of this kind, in itself or one level below: no array of these is deeper.
fn uses(of: &ComplexType, kind: Kind) -> bool {
    of.fields.iter().any(|field| match field.kind {
        Kind::Complex(inner) => inner.fields.iter().any(|f| type_name(f.kind) == type_name(kind)),
        other => type_name(other) == type_name(kind),
    })
}
