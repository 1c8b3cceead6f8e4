"""Calls the service as a program on pysimplesoap does, knowing only where the WSDL is. README.md says how to talk to it.

    pysimplesoap_client.py WSDL-URL 1.1
"""

import datetime
import json
import sys
import warnings

from pysimplesoap.client import SoapClient, SoapFault
from pysimplesoap.simplexml import SimpleXMLElement

NAMESPACE = "sosonlinebackup.com"


def header(user_name, password):
    """A header made from a dictionary is in no namespace: as XML it is in the one of the service."""
    header = SimpleXMLElement(f'<AuthHeader xmlns="{NAMESPACE}"/>')
    header.add_child("UserName", user_name, ns=False)
    header.add_child("Password", password, ns=False)
    return header


def call(client, given):
    client["AuthHeader"] = header(given["user_name"], given["password"])
    try:
        answer = getattr(client, given["operation"])(request=given["request"])
    except SoapFault as fault:
        return {"fault": fault.faultstring, "faultcode": fault.faultcode}
    except (TypeError, ValueError) as error:
        return {"error": str(error)}
    returned = plain(answer[given["operation"] + "Result"])
    result = returned.pop("Result")
    return {"result": result["Result"], "code": result["Code"], "message": result["Message"] or ""} | returned


def plain(value):
    """As JSON has it."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, datetime.datetime):
        # pysimplesoap drops the Z.
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


def main():
    url, version = sys.argv[1:]
    assert version == "1.1", "of pysimplesoap, SOAP 1.1 only"
    warnings.simplefilter("ignore")  # that it drops the Z
    client = SoapClient(wsdl=url, cache=None, timeout=60)
    for line in sys.stdin:
        print(json.dumps(call(client, json.loads(line))), flush=True)


main()
