"""Says of each text in a JSON list whether it is well-formed XML with namespaces: null, or what expat has against it."""
import json
import sys
from xml.parsers import expat


def verdict(text):
    try:
        expat.ParserCreate("utf-8", namespace_separator="\x1f").Parse(text.encode(), True)
        return None
    except expat.ExpatError as error:
        return str(error)


json.dump([verdict(text) for text in json.load(sys.stdin)], sys.stdout)
