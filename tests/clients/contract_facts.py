"""Lists the facts of the contract that a WSDL 1.1 document states, so that two documents can be compared.

    contract_facts.py [FILE]      the document is read from the file, or from standard input

A fact is a line. Lines below another, and deeper, belong to it. What stands in the order of the document has an order
that counts: the children of a type, the values of an enumeration, the parts of a message, the header blocks of a
binding. All else is sorted, by kind and name. Left out is what two documents may differ in and say the same: addresses,
prefixes, imports, texts for people, white space. What it does not know it does not pass over: it stops there.
"""

import sys

from lxml import etree

WSDL = "http://schemas.xmlsoap.org/wsdl/"
XSD = "http://www.w3.org/2001/XMLSchema"
SERIALIZATION = "http://schemas.microsoft.com/2003/10/Serialization/"
WSAW = "{http://www.w3.org/2006/05/addressing/wsdl}"
SOAP = {
    "http://schemas.xmlsoap.org/wsdl/soap/": "1.1",
    "http://schemas.xmlsoap.org/wsdl/soap12/": "1.2",
}
SHORT = {
    **{f"http://www.superoffice.net/ws/crm/NetServer/Services{edition}": "so" for edition in range(84, 89)},
    "http://schemas.datacontract.org/2004/07/System.Security.Cryptography": "cr",
    f"{SERIALIZATION}Arrays": "arr",
    SERIALIZATION: "ser",
    XSD: "xs",
}
FACETS = ("enumeration", "pattern", "length", "minLength", "maxLength", "minInclusive", "maxInclusive",
          "minExclusive", "maxExclusive", "totalDigits", "fractionDigits", "whiteSpace")
# What DataContractSerializer notes in xs:appinfo.
APPINFO = ("IsDictionary", "IsValueType", "EnumerationValue", "ActualType")


def unknown(element, what):
    raise SystemExit(f"contract_facts: line {element.sourceline}: {what} is not known here")


def local(element):
    return etree.QName(element).localname


def short(namespace, name):
    if namespace in SHORT:
        return f"{SHORT[namespace]}:{name}"
    return f"{{{namespace}}}{name}" if namespace else name


def qname(element, value):
    """A QName in an attribute."""
    if value is None:
        unknown(element, f"a nameless type, element or message in {local(element)}")
    prefix, _, name = value.strip().rpartition(":")
    if prefix and prefix not in element.nsmap:
        unknown(element, f"the prefix of {value}")
    return short(element.nsmap.get(prefix or None), name)


def attributes(element, *known):
    """The values of these attributes, None where there is none. There must be no others."""
    for name in element.attrib:
        if name not in known:
            unknown(element, f"the attribute {name} of {local(element)}")
    return [element.get(name) for name in known]


def children(element, *known):
    """The elements in an element, each with what it is. There must be no others; texts for people are skipped."""
    for child in element.iterchildren("{*}*"):
        of = etree.QName(child)
        kind = f"soap:{of.localname}" if of.namespace in SOAP else of.localname
        if of.namespace == WSDL and kind == "documentation":
            continue
        if of.namespace == XSD and kind == "annotation":
            continue  # `appinfo` reads it
        if kind not in known or of.namespace not in (etree.QName(element).namespace, XSD, *SOAP):
            unknown(child, f"{child.tag} in {local(element)}")
        yield kind, child


def only(element, *known):
    """The one element in an element, with what it is; or nothing."""
    found = list(children(element, *known))
    if len(found) > 1:
        unknown(found[1][1], f"a second element in {local(element)}")
    return found[0] if found else (None, None)


def appinfo(element):
    """What is said for programs about a declaration."""
    for info in element.iterfind(f"{{{XSD}}}annotation/{{{XSD}}}appinfo/{{*}}*"):
        of = etree.QName(info)
        if of.namespace != SERIALIZATION or of.localname not in APPINFO:
            unknown(info, f"{info.tag} in appinfo")
        if of.localname == "ActualType":
            name, namespace = attributes(info, "Name", "Namespace")
            yield f"{of.localname}={short(namespace, name)}"
        else:
            yield f"{of.localname}={info.text.strip()}"


def fact(depth, *words):
    return ["  " * depth + " ".join(word for word in words if word)]


# Schemas.


def schema(element):
    target, elements, of_attributes = attributes(
        element, "targetNamespace", "elementFormDefault", "attributeFormDefault"
    )
    yield from fact(
        0, "schema", SHORT.get(target), target,
        f"elementFormDefault={elements or 'unqualified'}",
        f"attributeFormDefault={of_attributes or 'unqualified'}",
    )
    reads = {"element": global_element, "complexType": complex_type, "simpleType": simple_type, "attribute": attribute}
    declared = []
    for kind, child in children(element, "import", *reads):
        if kind == "import":
            namespace, location = attributes(child, "namespace", "schemaLocation")
            if location is not None:
                unknown(child, f"a schema elsewhere ({location})")
            continue
        declared.append((kind, child.get("name", ""), list(reads[kind](child))))
    for _, _, facts in sorted(declared):
        yield from facts


def global_element(element):
    name, of_type, nillable = attributes(element, "name", "type", "nillable")
    yield from typed(1, element, ["element", name], of_type, [flag("nillable", nillable)])


def attribute(element):
    name, of_type = attributes(element, "name", "type")
    yield from fact(1, "attribute", name, qname(element, of_type))


def complex_type(element):
    (name,) = attributes(element, "name")
    yield from content(1, element, ["complexType", name], list(appinfo(element)))


def flag(name, value):
    return name if value in ("true", "1") else None


def typed(depth, element, first, of_type, rest):
    """An element whose type has a name, or stands in it."""
    rest += appinfo(element)
    kind, anonymous = only(element, "complexType", "simpleType")
    if of_type is not None and kind is None:
        yield from fact(depth, *first, qname(element, of_type), *rest)
    elif of_type is None and kind == "complexType":
        attributes(anonymous)
        yield from content(depth, anonymous, [*first, "complex"], rest + list(appinfo(anonymous)))
    elif of_type is None and kind == "simpleType":
        attributes(anonymous)
        yield from values(depth, anonymous, first, rest + list(appinfo(anonymous)))
    else:
        unknown(element, "an element without a type, or with two")


def content(depth, of, first, rest):
    """What is in a complex type: children one after the other, perhaps after those of a base."""
    kind, child = only(of, "sequence", "complexContent")
    base = None
    if kind == "complexContent":
        (mixed,) = attributes(child, "mixed")
        if mixed not in (None, "false", "0"):
            unknown(child, "mixed content")
        kind, extension = only(child, "extension")
        if kind is None:
            unknown(child, "complex content without a base")
        (named,) = attributes(extension, "base")
        base = f"extends {qname(extension, named)}"
        _, child = only(extension, "sequence")
    yield from fact(depth, *first, base, *rest)
    if child is not None:
        attributes(child)
        for _, item in children(child, "element"):
            name, of_type, low, high, nillable = attributes(
                item, "name", "type", "minOccurs", "maxOccurs", "nillable"
            )
            occurs = f"{low or '1'}..{'*' if high == 'unbounded' else high or '1'}"
            yield from typed(depth + 1, item, [name], of_type, [occurs, flag("nillable", nillable)])


def simple_type(element):
    (name,) = attributes(element, "name")
    yield from values(1, element, ["simpleType", name], list(appinfo(element)))


def values(depth, of, first, rest):
    """What values a simple type has."""
    kind, child = only(of, "restriction", "list")
    if kind is None:
        unknown(of, "a simple type without values")
    if kind == "list":
        (items,) = attributes(child, "itemType")
        _, anonymous = only(child, "simpleType")
        if anonymous is None:
            yield from fact(depth, *first, "list of", qname(child, items), *rest)
        else:
            yield from values(depth, anonymous, [*first, "list of"], rest + list(appinfo(anonymous)))
        return
    (base,) = attributes(child, "base")
    yield from fact(depth, *first, "restriction of", qname(child, base), *rest)
    for facet, given in children(child, *FACETS):
        (value,) = attributes(given, "value")
        yield from fact(depth + 1, facet, value, *appinfo(given))


# What is sent, and how.


def message(element):
    (name,) = attributes(element, "name")
    yield from fact(0, "message", name)
    for _, part in children(element, "part"):
        part_name, of_element, of_type = attributes(part, "name", "element", "type")
        what = f"element {qname(part, of_element)}" if of_element else f"type {qname(part, of_type)}"
        yield from fact(1, "part", part_name, what)


def operations(element, read):
    """What is read of the operations of a port type or binding, by name."""
    found = []
    for kind, child in children(element, "operation", "soap:binding"):
        if kind == "operation":
            found.append((child.get("name", ""), list(read(child))))
    for _, facts in sorted(found):
        yield from facts


def port_type(element):
    (name,) = attributes(element, "name")
    yield from fact(0, "portType", name)
    yield from operations(element, port_type_operation)


def port_type_operation(element):
    (name,) = attributes(element, "name")
    yield from fact(1, "operation", name)
    # Their order tells whether the operation is a request with a response.
    for kind, child in children(element, "input", "output", "fault"):
        own_name, named, action = attributes(child, "name", "message", f"{WSAW}Action")
        yield from fact(2, kind, own_name, "message", qname(child, named), "action", action)


def binding(element):
    name, of_type = attributes(element, "name", "type")
    of_soap = [child for kind, child in children(element, "operation", "soap:binding") if kind == "soap:binding"]
    if len(of_soap) != 1:
        unknown(element, f"a binding with {len(of_soap)} soap:binding")
    transport, style = attributes(of_soap[0], "transport", "style")
    version = SOAP[etree.QName(of_soap[0]).namespace]
    yield from fact(0, "binding", name, "type", qname(element, of_type), "SOAP", version, "transport", transport)
    yield from operations(element, lambda operation: binding_operation(operation, style or "document"))


def binding_operation(element, style):
    (name,) = attributes(element, "name")
    directions = []
    action = None
    for kind, child in children(element, "soap:operation", "input", "output", "fault"):
        if kind == "soap:operation":
            action, own_style, required = attributes(child, "soapAction", "style", "soapActionRequired")
            style = own_style or style
            if required is not None:
                action = f"{action} soapActionRequired={required}"
        else:
            directions.append((kind, child))
    yield from fact(1, "operation", name, "style", style, "soapAction", action)
    for kind, child in directions:
        (own_name,) = attributes(child, "name")
        yield from fact(2, kind, own_name)
        bodies = []
        for part_kind, part in children(child, "soap:header", "soap:body"):
            if part_kind == "soap:header":
                named, of_part, use = attributes(part, "message", "part", "use")
                yield from fact(3, "header", qname(part, named), "part", of_part, "use", use)
            else:
                parts, use = attributes(part, "parts", "use")
                bodies += fact(3, "body", f"parts {parts}" if parts else None, "use", use)
        yield from bodies


def service(element):
    (name,) = attributes(element, "name")
    yield from fact(0, "service", name)
    found = []
    for _, port in children(element, "port"):
        port_name, named = attributes(port, "name", "binding")
        if only(port, "soap:address")[0] is None:
            unknown(port, "a port without an address")
        found += fact(1, "port", port_name, "binding", qname(port, named))
    yield from sorted(found)


def definitions(root):
    if root.tag != f"{{{WSDL}}}definitions":
        unknown(root, root.tag)
    name, target = attributes(root, "name", "targetNamespace")
    yield from fact(0, "definitions", name, SHORT.get(target), target)
    reads = {"message": message, "portType": port_type, "binding": binding, "service": service}
    order = list(reads)
    found = []
    for kind, child in children(root, "types", *reads):
        if kind == "types":
            schemas = [(s.get("targetNamespace", ""), list(schema(s))) for _, s in children(child, "schema")]
            for _, facts in sorted(schemas):
                yield from facts
        else:
            found.append((order.index(kind), child.get("name", ""), list(reads[kind](child))))
    for _, _, facts in sorted(found):
        yield from facts


def main():
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    source = sys.argv[1] if len(sys.argv) > 1 else sys.stdin.buffer
    for line in definitions(etree.parse(source, parser).getroot()):
        print(line)


main()
