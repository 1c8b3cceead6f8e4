"""Holds SOAP answers to the schema that stands in the WSDL, and to the rules for envelopes and faults.

Standard input, one JSON value a line: first the WSDL as a string, then any number of answers,
{"status": number, "content_type": text, "body": text}. Standard output: for each answer a line with a list of what is
wrong with it; empty where nothing is. It ends with its input.
"""

import json
import sys

from lxml import etree

WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
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
              <element name="Subcode" type="anyType" minOccurs="0"/>
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


class Validator:
    def __init__(self, wsdl):
        schemas = etree.fromstring(wsdl.encode()).findall(f"{WSDL}types/{{{XSD}}}schema")
        if len(schemas) != 1:
            raise SystemExit(f"the WSDL has {len(schemas)} schemas; this program reads one")
        # Out of the WSDL by itself; the compiler refuses a schema that names what is not there.
        self.of_wsdl = etree.XMLSchema(etree.fromstring(etree.tostring(schemas[0])))
        self.of_fault = {namespace: schema(text) for namespace, text in FAULTS.items()}
        self.of_header_blocks = schema(HEADER_BLOCKS)

    def problems(self, answer):
        try:
            # A SOAP message has no DTD; without entities to resolve lxml cannot be made to fetch anything.
            parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
            root = etree.fromstring(answer["body"].encode(), parser)
        except etree.XMLSyntaxError as error:
            return [str(error)]
        document, soap = root.getroottree(), etree.QName(root).namespace
        if root.tag not in (f"{{{SOAP11}}}Envelope", f"{{{SOAP12}}}Envelope"):
            return [f"the root is {root.tag}"]
        found = []
        if document.docinfo.doctype:
            found.append("it has a document type declaration")
        if root.xpath("//processing-instruction()"):
            found.append("it has a processing instruction")
        if document.docinfo.encoding.lower() != "utf-8":
            found.append(f"it says that it is {document.docinfo.encoding}")
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
        for block in root[0] if len(root) > 1 else ():
            found += against(self.of_header_blocks, block)
            for named in block.iter(f"{{{SOAP12}}}NotUnderstood", f"{{{SOAP12}}}SupportedEnvelope"):
                if ":" in named.get("qname", "") and name(named, named.get("qname"))[0] is None:
                    found.append(f"{named.get('qname')} has an undeclared prefix")
        if len(body) != 1:
            return found + [f"the Body holds {len(body)} elements"]
        content = body[0]
        if content.tag == f"{{{soap}}}Fault":
            return found + against(self.of_fault[soap], content) + self.fault(soap, content, answer)
        if answer["status"] != 200:
            found.append(f"it is no fault and comes with status {answer['status']}")
        return found + against(self.of_wsdl, content)

    @staticmethod
    def fault(soap, fault, answer):
        found = []
        if answer["status"] < 400:
            found.append(f"a fault comes with status {answer['status']}")
        code = fault.find("faultcode" if soap == SOAP11 else f"{{{soap}}}Code/{{{soap}}}Value")
        namespace, local = name(code, code.text) if code is not None else (None, None)
        if namespace != soap or local not in CODES[soap]:
            found.append(f"the code is {local} of {namespace}")
        for text in fault.iterfind(f"{{{soap}}}Reason/{{{soap}}}Text"):
            if not text.get(f"{XML}lang"):
                found.append("the reason does not say its language")
        return found


def main():
    validator = Validator(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        print(json.dumps(validator.problems(json.loads(line))), flush=True)


main()
