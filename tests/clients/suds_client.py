"""Calls the service as a program on suds does, knowing only where the WSDL is. README.md says how to talk to it.

    suds_client.py WSDL-URL 1.1
"""

import datetime
import json
import sys

import suds
import suds.client
from suds.sax.text import Raw


def escaped(value):
    """suds leaves text alone that looks escaped, as "&amp;" does. So that the user gets this name, escape it here."""
    if isinstance(value, dict):
        return {name: escaped(member) for name, member in value.items()}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, str):
        return Raw(value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    return value


def call(client, given):
    header = client.factory.create("AuthHeader")
    header.UserName, header.Password = escaped(given["user_name"]), escaped(given["password"])
    client.set_options(soapheaders=header)
    try:
        answer = getattr(client.service, given["operation"])(request=escaped(given["request"]))
    except suds.WebFault as fault:
        return {"fault": fault.fault.faultstring, "faultcode": fault.fault.faultcode}
    returned = plain(answer)
    result = returned.pop("Result")
    return {"result": result["Result"], "code": result["Code"], "message": result["Message"] or ""} | returned


def plain(value):
    """As JSON has it."""
    if isinstance(value, suds.sudsobject.Object):
        return {name: plain(member) for name, member in value}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


def main():
    url, version = sys.argv[1:]
    assert version == "1.1", "suds knows SOAP 1.1 only"
    client = suds.client.Client(url, cache=None, timeout=60)
    for line in sys.stdin:
        print(json.dumps(call(client, json.loads(line))), flush=True)


main()
