"""Holds WSDL 1.1 documents to the WS-I Basic Profile 1.1, rule by rule.

Standard input: a JSON list of documents. Standard output: a list with, for each document, an object that has for each
rule a list of what is wrong; empty where nothing is. What the profile says of bindings to SOAP 1.1 is held for 1.2 too.
"""

import json
import pathlib
import re
import sys

from lxml import etree

NS = {
    "wsdl": "http://schemas.xmlsoap.org/wsdl/",
    "soap": "http://schemas.xmlsoap.org/wsdl/soap/",
    "soap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
    "xsd": "http://www.w3.org/2001/XMLSchema",
    "soapenc": "http://schemas.xmlsoap.org/soap/encoding/",
}
SOAP = (NS["soap"], NS["soap12"])
HTTP = "http://schemas.xmlsoap.org/soap/http"
# Attributes that hold QNames, and what these name.
REFERENCES = {
    "wsdl": {("part", "element"): "element", ("part", "type"): "type", ("binding", "type"): "portType",
             ("input", "message"): "message", ("output", "message"): "message", ("fault", "message"): "message",
             ("port", "binding"): "binding"},
    "soap": {("header", "message"): "message", ("headerfault", "message"): "message"},
    "xsd": {("element", "type"): "type", ("element", "ref"): "element", ("attribute", "type"): "type",
            ("restriction", "base"): "type", ("extension", "base"): "type"},
}
SCHEMAS = pathlib.Path(__file__).parent / "schemas"


def show(element):
    name = etree.QName(element)
    return f"{name.localname} {element.get('name') or element.get('message') or ''} in line {element.sourceline}".strip()


class Description:
    def __init__(self, text, of_wsdl):
        self.text, self.of_wsdl = text, of_wsdl
        self.root = etree.fromstring(text.encode())
        self.target = self.root.get("targetNamespace")
        self.references = list(self.find_references())
        self.defined = {
            kind: {(self.target, element.get("name")) for element in self.all(f"/wsdl:definitions/wsdl:{kind}")}
            for kind in ("message", "portType", "binding")
        }
        for kind, kinds in (("element", ("element",)), ("type", ("complexType", "simpleType"))):
            self.defined[kind] = {
                (schema.get("targetNamespace"), child.get("name"))
                for schema in self.all("//xsd:schema")
                for child in schema
                if etree.QName(child).localname in kinds
            }

    def all(self, path, of=None):
        return (self.root if of is None else of).xpath(path, namespaces=NS)

    def soap(self, path, of=None):
        """The same path for both versions of SOAP."""
        return self.all(path, of) + self.all(path.replace("soap:", "soap12:"), of)

    @staticmethod
    def name(element, value):
        prefix, _, local = (value or "").rpartition(":")
        return element.nsmap.get(prefix or None), local

    def find_references(self):
        """Element, what its attribute names, and the name."""
        for element in self.root.iter("{*}*"):
            tag = etree.QName(element)
            kind = "soap" if tag.namespace in SOAP else next((k for k, n in NS.items() if n == tag.namespace), None)
            for (local, attribute), named in REFERENCES.get(kind, {}).items():
                if tag.localname == local and element.get(attribute) is not None:
                    yield element, named, self.name(element, element.get(attribute))

    def message(self, element):
        """The message that an element names."""
        _, local = self.name(element, element.get("message"))
        return self.all(f"/wsdl:definitions/wsdl:message[@name='{local}']")

    def port_type(self, binding):
        _, local = self.name(binding, binding.get("type"))
        return self.all(f"/wsdl:definitions/wsdl:portType[@name='{local}']")

    def bodies(self):
        """Each soap:body with the parts of its message."""
        for body in self.soap("//wsdl:binding/wsdl:operation/*/soap:body"):
            direction, operation = body.getparent(), body.getparent().getparent()
            for port_type in self.port_type(operation.getparent()):
                path = f"wsdl:operation[@name='{operation.get('name')}']/wsdl:{etree.QName(direction).localname}"
                for param in self.all(path, port_type):
                    for message in self.message(param):
                        yield body, self.all("wsdl:part", message)

    # Every rule: R and its number. Yields what is wrong.

    def R1034(self):
        if "xmlns:xml=" in self.text:
            yield "xmlns:xml is declared"

    def R4003(self):
        if self.root.getroottree().docinfo.encoding.lower() not in ("utf-8", "utf-16"):
            yield "it is neither UTF-8 nor UTF-16"

    def R4004(self):
        if self.root.getroottree().docinfo.xml_version != "1.0":
            yield "it is not XML 1.0"

    def R2001(self):
        yield from (show(e) for e in self.all("//wsdl:import[not(contains(@location, 'wsdl'))]"))

    def R2002(self):
        schemas = self.all("//xsd:schema")
        targets = {schema.get("targetNamespace") for schema in schemas}
        yield from (show(e) for e in self.all("//wsdl:import") if e.get("namespace") in targets)

    def R2003(self):
        yield from (show(e) for e in self.all("//xsd:import[not(parent::xsd:schema/parent::wsdl:types)]"))

    def R2030(self):
        yield from (show(e) for e in self.all("//wsdl:documentation[preceding-sibling::wsdl:*]"))

    def R2023(self):
        yield from (show(e) for e in self.all("//wsdl:types[preceding-sibling::wsdl:*[not(self::wsdl:documentation)][not(self::wsdl:import)]]"))

    def R2025(self):
        known = (NS["wsdl"], NS["xsd"], *SOAP)
        yield from (show(e) for e in self.root.iter("{*}*") if etree.QName(e).namespace not in known)

    def R2026(self):
        yield from (show(e) for e in self.all("//*[@wsdl:required='true' or @wsdl:required='1']"))

    def R2028(self):
        yield from self.invalid("wsdl")

    def R2029(self):
        yield from self.invalid("soap")

    def invalid(self, of):
        self.of_wsdl.validate(self.root)
        for error in self.of_wsdl.error_log:
            about_soap = any(f"{{{namespace}}}" in error.message for namespace in SOAP)
            if about_soap == (of == "soap"):
                yield f"line {error.line}: {error.message}"

    def R2101(self):
        known = {self.target, NS["xsd"]} | {s.get("targetNamespace") for s in self.all("//xsd:schema")}
        yield from (show(element) for element, _, (namespace, _) in self.references if namespace not in known)

    def R2102(self):
        for element, named, name in self.references:
            if name[0] != NS["xsd"] and name not in self.defined[named]:
                yield f"{show(element)} names {name}"

    def R2105(self):
        yield from (show(e) for e in self.all("/wsdl:definitions/wsdl:types/xsd:schema[not(normalize-space(@targetNamespace))]"))

    def R2110(self):
        yield from (show(e) for e, _, (namespace, _) in self.references if namespace == NS["soapenc"])

    def R2111(self):
        yield from (show(e) for e in self.all("//*[@wsdl:arrayType]"))

    def R2201(self):
        yield from (show(e) for e in self.soap("//soap:body[@parts]") if len(e.get("parts").split()) > 1)

    def R2204(self):
        yield from (show(body) for body, parts in self.bodies() for part in parts if not part.get("element"))

    def R2205(self):
        for header in self.soap("//soap:header"):
            parts = [p for m in self.message(header) for p in self.all(f"wsdl:part[@name='{header.get('part')}']", m)]
            if len(parts) != 1 or not parts[0].get("element"):
                yield show(header)

    def R2206(self):
        for part in self.all("//wsdl:part[@element]"):
            if self.name(part, part.get("element")) not in self.defined["element"]:
                yield show(part)

    def R2210(self):
        yield from (show(body) for body, parts in self.bodies() if body.get("parts") is None and len(parts) > 1)

    def R2303(self):
        yield from (show(e) for e in self.all("//wsdl:portType/wsdl:operation[*[self::wsdl:input or self::wsdl:output][1][self::wsdl:output]]"))

    def R2304(self):
        yield from (show(e) for e in self.all("//wsdl:portType/wsdl:operation[@name=preceding-sibling::wsdl:operation/@name]"))

    def R2306(self):
        yield from (show(e) for e in self.all("//wsdl:part[@element and @type]"))

    def R2401(self):
        for binding in self.all("//wsdl:binding"):
            if len(self.soap("soap:binding", binding)) != 1:
                yield show(binding)

    def R2701(self):
        yield from (show(e) for e in self.soap("//soap:binding[not(@transport)]"))

    def R2702(self):
        yield from (show(e) for e in self.soap("//soap:binding") if e.get("transport") != HTTP)

    def R2705(self):
        for binding in self.soap("//wsdl:binding/soap:binding"):
            default = binding.get("style", "document")
            styles = {o.get("style", default) for o in self.soap("wsdl:operation/soap:operation", binding.getparent())}
            if styles != {"document"}:
                yield f"{show(binding.getparent())}: {sorted(styles)}"

    def R2706(self):
        for kind in ("body", "header", "headerfault", "fault"):
            yield from (show(e) for e in self.soap(f"//soap:{kind}") if e.get("use", "literal") != "literal")

    # Left out it would mean the same.
    R2707 = R2706

    def R2710(self):
        for binding in self.all("//wsdl:binding"):
            signatures = set()
            for body, parts in self.bodies():
                operation = body.getparent()
                if operation.getparent().getparent() is not binding or operation.tag != f"{{{NS['wsdl']}}}input":
                    continue
                signature = tuple(self.name(part, part.get("element")) for part in parts)
                if signature in signatures:
                    yield f"{show(operation.getparent())}: {signature}"
                signatures.add(signature)

    def R2716(self):
        for kind in ("body", "header", "headerfault", "fault"):
            yield from (show(e) for e in self.soap(f"//soap:{kind}[@namespace]"))

    def R2718(self):
        for binding in self.all("//wsdl:binding"):
            bound = sorted(self.all("wsdl:operation/@name", binding))
            for port_type in self.port_type(binding):
                if bound != sorted(self.all("wsdl:operation/@name", port_type)):
                    yield show(binding)

    def R2720(self):
        for kind in ("header", "headerfault"):
            for element in self.soap(f"//soap:{kind}"):
                if not re.fullmatch(r"[\w.:-]+", element.get("part", "")):
                    yield show(element)

    def R2749(self):
        yield from (show(e) for kind in ("header", "headerfault") for e in self.soap(f"//soap:{kind}[@parts]"))

    def R2801(self):
        for schema in self.all("//wsdl:types/xsd:schema"):
            try:
                etree.XMLSchema(etree.fromstring(etree.tostring(schema)))
            except etree.XMLSchemaParseError as error:
                yield str(error)

    # What WSDL 1.1 itself says.

    def actions(self):
        """The action of an operation is its namespace and name, no other's (§3.4)."""
        for operation in self.soap("//wsdl:binding/wsdl:operation/soap:operation"):
            if operation.get("soapAction") != f"{self.target}/{operation.getparent().get('name')}":
                yield f"{show(operation.getparent())}: {operation.get('soapAction')}"

    def ports(self):
        """Every binding has a port with one address of its version of SOAP (§2.7, §3.8)."""
        bound = [self.name(port, port.get("binding")) for port in self.all("//wsdl:service/wsdl:port")]
        if sorted(bound) != sorted(self.defined["binding"]):
            yield f"ports of {bound}"
        for port in self.all("//wsdl:service/wsdl:port"):
            binding = self.all(f"//wsdl:binding[@name='{self.name(port, port.get('binding'))[1]}']")
            versions = {etree.QName(e).namespace for b in binding for e in self.soap("soap:binding", b)}
            addresses = self.soap("soap:address[@location]", port)
            if [etree.QName(a).namespace for a in addresses] != list(versions):
                yield show(port)

    def headers(self):
        """Every operation takes the one header block of the service (§3.7)."""
        for given in self.all("//wsdl:binding/wsdl:operation/wsdl:input"):
            elements = [self.all(f"wsdl:part[@name='{h.get('part')}']/@element", m)
                        for h in self.soap("soap:header", given) for m in self.message(h)]
            if elements != [["tns:AuthHeader"]]:
                yield f"{show(given.getparent())}: {elements}"

    def unused(self):
        """Every message and every element of the schema is used."""
        for kind in ("message", "element"):
            used = {name for _, named, name in self.references if named == kind}
            yield from (f"{kind} {name}" for _, name in self.defined[kind] - used)


def main():
    of_wsdl = etree.XMLSchema(etree.parse(str(SCHEMAS / "wsdl.xsd")))
    rules = [r for r in vars(Description) if re.fullmatch(r"R\d{4}", r)] + ["actions", "ports", "headers", "unused"]
    found = []
    for text in json.load(sys.stdin):
        description = Description(text, of_wsdl)
        found.append({rule: list(getattr(description, rule)()) for rule in rules})
    print(json.dumps(found))


main()
