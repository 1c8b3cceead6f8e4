"""Says of each text in a JSON list what libxml2 finds in it: [namespace, name, attributes, text, children], or what is wrong."""
import json
import sys

from lxml import etree


def tree(element):
    # "{namespace}name"; a namespace may hold a brace of its own.
    def named(name):
        namespace, _, local = name.rpartition("}")
        return namespace[1:], local

    attributes = sorted([*named(name), value] for name, value in element.attrib.items())
    text, children = element.text or "", []
    for child in element:
        if isinstance(child.tag, str):
            children.append(tree(child))
        text += child.tail or ""
    return [*named(element.tag), attributes, text, children]


def found(text):
    parser = etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return tree(etree.fromstring(text.encode(), parser))
    except (etree.XMLSyntaxError, ValueError) as error:
        return str(error)


json.dump([found(text) for text in json.load(sys.stdin)], sys.stdout)
