"""Holds SOAP answers to the schema that stands in the WSDL.

Standard input: {"wsdl": text, "responses": [text, ...]}. Standard output: a list with, for each response, a list of
what is wrong with it; empty where nothing is. What a Body holds is valid against wsdl:types, or a Fault of its version.
"""

import json
import sys

from lxml import etree

WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
XSD = "http://www.w3.org/2001/XMLSchema"

# SOAP 1.1 §4.4 and SOAP 1.2 part 1 §5.4, as far as one fault goes.
FAULTS = {
    "http://schemas.xmlsoap.org/soap/envelope/": f"""
        <schema xmlns="{XSD}" targetNamespace="http://schemas.xmlsoap.org/soap/envelope/">
          <element name="Fault"><complexType><sequence>
            <element name="faultcode" type="QName"/>
            <element name="faultstring" type="string"/>
            <element name="faultactor" type="anyURI" minOccurs="0"/>
            <element name="detail" type="anyType" minOccurs="0"/>
          </sequence></complexType></element>
        </schema>""",
    "http://www.w3.org/2003/05/soap-envelope": f"""
        <schema xmlns="{XSD}" targetNamespace="http://www.w3.org/2003/05/soap-envelope" elementFormDefault="qualified">
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


def problems(response, of_wsdl, of_fault):
    try:
        # A SOAP message has no DTD; without entities to resolve lxml cannot be made to fetch anything.
        root = etree.fromstring(response.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        return [str(error)]
    envelope = etree.QName(root)
    if envelope.localname != "Envelope" or envelope.namespace not in of_fault:
        return [f"the root is {root.tag}"]
    names = [etree.QName(child) for child in root]
    if any(name.namespace != envelope.namespace for name in names):
        return [f"the envelope holds {[name.text for name in names]}"]
    if [name.localname for name in names] not in (["Body"], ["Header", "Body"]):
        return [f"the envelope holds {[name.localname for name in names]}"]
    body = root[-1]
    if len(body) != 1:
        return [f"the Body holds {len(body)} elements"]
    content = body[0]
    schema = of_fault[envelope.namespace] if etree.QName(content).namespace == envelope.namespace else of_wsdl
    # On its own, as the schema describes it, with the namespaces that are declared above it.
    schema.validate(etree.ElementTree(etree.fromstring(etree.tostring(content))))
    return [f"line {error.line}: {error.message}" for error in schema.error_log]


def main():
    given = json.load(sys.stdin)
    schemas = etree.fromstring(given["wsdl"].encode()).findall(f"{WSDL}types/{{{XSD}}}schema")
    if len(schemas) != 1:
        raise SystemExit(f"the WSDL has {len(schemas)} schemas; this program reads one")
    # Out of the WSDL by itself; the compiler refuses a schema that names what is not there.
    of_wsdl = etree.XMLSchema(etree.fromstring(etree.tostring(schemas[0])))
    of_fault = {namespace: etree.XMLSchema(etree.fromstring(text)) for namespace, text in FAULTS.items()}
    print(json.dumps([problems(response, of_wsdl, of_fault) for response in given["responses"]]))


main()
