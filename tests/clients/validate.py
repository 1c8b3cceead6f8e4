"""Holds SOAP answers to the schemas that stand in the WSDLs, and to the rules for envelopes and faults.

Standard input, one JSON value a line: first a list of WSDLs, then any number of answers,
{"is_soap": boolean, "status": number, "content_type": text, "body": text}. Standard output: for each answer a line with a
list of what is wrong with it; empty where nothing is. What is no SOAP is held to being XML alone. It ends with its input.
"""

import json
import sys

from lxml import etree

WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
WSDL_SOAP = ("{http://schemas.xmlsoap.org/wsdl/soap/}", "{http://schemas.xmlsoap.org/wsdl/soap12/}")
WSAW = "{http://www.w3.org/2006/05/addressing/wsdl}"
XSD = "http://www.w3.org/2001/XMLSchema"
XML = "{http://www.w3.org/XML/1998/namespace}"
SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"

MEDIA_TYPES = {SOAP11: "text/xml; charset=utf-8", SOAP12: "application/soap+xml; charset=utf-8"}

# SOAP 1.1 §4.4.1 and SOAP 1.2 part 1 §5.4.6, as far as faults of this service go.
CODES = {
    SOAP11: ("VersionMismatch", "MustUnderstand", "Client", "Server"),
    SOAP12: ("VersionMismatch", "MustUnderstand", "Sender", "Receiver"),
}

# What WCF says of an operation it does not have: in SOAP 1.1 the code, in 1.2 the subcode of Sender.
ACTION_NOT_SUPPORTED = ("http://schemas.microsoft.com/ws/2005/05/addressing/none", "ActionNotSupported")

# SOAP 1.1 §4.4 and SOAP 1.2 part 1 §5.4, as far as one fault goes.
FAULTS = {
    SOAP11: f"""
        <schema xmlns="{XSD}" targetNamespace="{SOAP11}">
          <element name="Fault"><complexType><sequence>
            <element name="faultcode" type="QName"/>
            <element name="faultstring" type="string"/>
            <element name="faultactor" type="anyURI" minOccurs="0"/>
            <element name="detail" type="anyType" minOccurs="0"/>
          </sequence></complexType></element>
        </schema>""",
    SOAP12: f"""
        <schema xmlns="{XSD}" targetNamespace="{SOAP12}" elementFormDefault="qualified">
          <element name="Fault"><complexType><sequence>
            <element name="Code"><complexType><sequence>
              <element name="Value" type="QName"/>
              <element name="Subcode" minOccurs="0"><complexType><sequence>
                <element name="Value" type="QName"/>
              </sequence></complexType></element>
            </sequence></complexType></element>
            <element name="Reason"><complexType><sequence>
              <element name="Text" maxOccurs="unbounded"><complexType><simpleContent><extension base="string">
                <anyAttribute namespace="http://www.w3.org/XML/1998/namespace" processContents="skip"/>
              </extension></simpleContent></complexType></element>
            </sequence></complexType></element>
            <element name="Node" type="anyURI" minOccurs="0"/>
            <element name="Role" type="anyURI" minOccurs="0"/>
            <element name="Detail" type="anyType" minOccurs="0"/>
          </sequence></complexType></element>
        </schema>""",
}

# SOAP 1.2 part 1 §5.4.7 and §5.4.8: the header blocks this service sends.
HEADER_BLOCKS = f"""
    <schema xmlns="{XSD}" xmlns:env="{SOAP12}" targetNamespace="{SOAP12}" elementFormDefault="qualified">
      <complexType name="QNamed"><attribute name="qname" type="QName" use="required"/></complexType>
      <element name="NotUnderstood" type="env:QNamed"/>
      <element name="Upgrade"><complexType><sequence>
        <element name="SupportedEnvelope" type="env:QNamed" maxOccurs="unbounded"/>
      </sequence></complexType></element>
    </schema>"""


def schema(text):
    return etree.XMLSchema(etree.fromstring(text))


def against(of, element):
    """What is wrong with an element on its own, with the namespaces that are declared above it."""
    of.validate(etree.ElementTree(etree.fromstring(etree.tostring(element, with_tail=False))))
    return [f"line {error.line}: {error.message}" for error in of.error_log]


def name(element, value):
    """A QName in content, as namespace and local name."""
    prefix, _, local = value.strip().rpartition(":")
    return element.nsmap.get(prefix or None), local


class Contract:
    """What one WSDL says of answers."""

    def __init__(self, wsdl):
        self.root = etree.fromstring(wsdl.encode())
        self.of_schemas = self.compile(self.root.findall(f"{WSDL}types/{{{XSD}}}schema"))
        self.messages = {message.get("name"): message for message in self.root.iterfind(f"{WSDL}message")}
        # The elements that answers have in the Body, each with those of its header blocks, in their order.
        self.answers = {}
        for output in self.root.iterfind(f"{WSDL}portType/{WSDL}operation/{WSDL}output"):
            port_type, operation = output.getparent().getparent().get("name"), output.getparent().get("name")
            self.answers[self.element(output)] = list(dict.fromkeys(self.headers(port_type, operation)))
        # WCF names the actions of messages in the port type; ASP.NET before it did not.
        self.is_wcf = any(f"{WSAW}Action" in element.attrib for element in self.root.iter(f"{WSDL}output"))

    @staticmethod
    def compile(schemas):
        """The schemas as one. They import each other by namespace alone; the entry says where they are: in the WSDL."""
        texts = {schema.get("targetNamespace"): etree.tostring(schema, with_tail=False) for schema in schemas}
        if len(texts) != len(schemas):
            raise SystemExit("the WSDL has two schemas of one namespace; this program reads the first alone")
        entry = etree.Element(f"{{{XSD}}}schema")
        for namespace in texts:
            etree.SubElement(entry, f"{{{XSD}}}import", namespace=namespace, schemaLocation=f"wsdl:{namespace}")

        class InTheWsdl(etree.Resolver):
            def resolve(self, url, public_id, context):
                return self.resolve_string(texts[url.removeprefix("wsdl:")], context)

        parser = etree.XMLParser(no_network=True)
        parser.resolvers.add(InTheWsdl())
        # The compiler refuses a schema that names what is not there.
        return etree.XMLSchema(etree.fromstring(etree.tostring(entry), parser))

    def element(self, given, named=None):
        """What the one part, or the part of that name, of the message is that an output or header gives."""
        parts = self.messages[name(given, given.get("message"))[1]].findall(f"{WSDL}part")
        (part,) = [part for part in parts if named in (None, part.get("name"))]
        return "{%s}%s" % name(part, part.get("element"))

    def headers(self, port_type, operation):
        """What header blocks the answer of an operation has, if bindings name some."""
        for binding in self.root.iterfind(f"{WSDL}binding"):
            if name(binding, binding.get("type"))[1] == port_type:
                for header in binding.iterfind(f"{WSDL}operation[@name='{operation}']/{WSDL}output/*"):
                    if header.tag in [f"{soap}header" for soap in WSDL_SOAP]:
                        yield self.element(header, header.get("part"))

    def problems(self, content, blocks):
        found = []
        expected = iter(self.answers[content.tag])
        for block in blocks:
            if block.tag not in expected:  # which takes what it passes
                found.append(f"{block.tag} is no header block of this answer, or not in its place")
            found += against(self.of_schemas, block)
        return found + against(self.of_schemas, content)


class Validator:
    def __init__(self, wsdls):
        self.contracts = [Contract(wsdl) for wsdl in wsdls]
        self.of_fault = {namespace: schema(text) for namespace, text in FAULTS.items()}
        self.of_header_blocks = schema(HEADER_BLOCKS)

    def contract(self, content):
        """That whose answer this is. License.svc and SoPrincipal.svc share a namespace."""
        return next((contract for contract in self.contracts if content.tag in contract.answers), None)

    def problems(self, answer):
        try:
            # A SOAP message has no DTD; without entities to resolve lxml cannot be made to fetch anything.
            parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
            root = etree.fromstring(answer["body"].encode(), parser)
        except etree.XMLSyntaxError as error:
            return [str(error)]
        document, found = root.getroottree(), []
        if document.docinfo.doctype:
            found.append("it has a document type declaration")
        if root.xpath("//processing-instruction()"):
            found.append("it has a processing instruction")
        if document.docinfo.encoding.lower() != "utf-8":
            found.append(f"it says that it is {document.docinfo.encoding}")
        if answer["is_soap"]:
            return found + self.soap(root, answer)
        if not answer["content_type"].endswith("; charset=utf-8"):
            found.append(f"it is typed {answer['content_type']}")
        return found

    def soap(self, root, answer):
        found, soap = [], etree.QName(root).namespace
        if root.tag not in (f"{{{SOAP11}}}Envelope", f"{{{SOAP12}}}Envelope"):
            return [f"the root is {root.tag}"]
        if answer["content_type"] != MEDIA_TYPES[soap]:
            found.append(f"it is typed {answer['content_type']}")
        children = [child.tag for child in root]
        if children not in ([f"{{{soap}}}Body"], [f"{{{soap}}}Header", f"{{{soap}}}Body"]):
            return found + [f"the envelope holds {children}"]
        body = root[-1]
        for element in (root, *root):
            if element.attrib:
                found.append(f"{element.tag} has the attributes {dict(element.attrib)}")
            if (element.text or "").strip() or (element.tail or "").strip():
                found.append(f"there is text in or behind {element.tag}")
        if len(body) != 1:
            return found + [f"the Body holds {len(body)} elements"]
        content, blocks = body[0], list(root[0]) if len(root) > 1 else []
        if content.tag == f"{{{soap}}}Fault":
            return found + self.fault(soap, content, blocks, answer)
        if answer["status"] != 200:
            found.append(f"it is no fault and comes with status {answer['status']}")
        contract = self.contract(content)
        if contract is None:
            return found + [f"{content.tag} is the answer of no operation"]
        return found + contract.problems(content, blocks)

    def fault(self, soap, fault, blocks, answer):
        found = against(self.of_fault[soap], fault)
        for block in blocks:
            found += against(self.of_header_blocks, block)
            for named in block.iter(f"{{{SOAP12}}}NotUnderstood", f"{{{SOAP12}}}SupportedEnvelope"):
                if ":" in named.get("qname", "") and name(named, named.get("qname"))[0] is None:
                    found.append(f"{named.get('qname')} has an undeclared prefix")
        # SOAP 1.1 §6.2 and R1126 of the Basic Profile; SOAP 1.2 part 2 §7.5.2.2.
        if answer["status"] not in ((500,) if soap == SOAP11 else (400, 500)):
            found.append(f"a fault comes with status {answer['status']}")
        code, subcode = self.code(soap, fault)
        of_wcf = any(contract.is_wcf for contract in self.contracts)
        known = [(soap, local) for local in CODES[soap]]
        if of_wcf and soap == SOAP11:
            known.append(ACTION_NOT_SUPPORTED)
        if code not in known:
            found.append(f"the code is {code}")
        if subcode is not None and (not of_wcf or (code[1], subcode) != ("Sender", ACTION_NOT_SUPPORTED)):
            found.append(f"the subcode of {code} is {subcode}")
        for text in fault.iterfind(f"{{{soap}}}Reason/{{{soap}}}Text"):
            if not text.get(f"{XML}lang"):
                found.append("the reason does not say its language")
        return found

    @staticmethod
    def code(soap, fault):
        path = "faultcode" if soap == SOAP11 else f"{{{soap}}}Code/{{{soap}}}Value"
        codes = [fault.find(path), fault.find(f"{{{soap}}}Code/{{{soap}}}Subcode/{{{soap}}}Value")]
        code, subcode = [name(given, given.text or "") if given is not None else None for given in codes]
        return code or (None, None), subcode


def main():
    validator = Validator(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        print(json.dumps(validator.problems(json.loads(line))), flush=True)


main()
