"""Calls the service as a program on zeep does, knowing only where the WSDL is.

    zeep_client.py WSDL-URL 1.1|1.2      calls: a JSON object a line on standard input, a JSON object a line in answer
    zeep_client.py WSDL-URL describe     what zeep makes of the WSDL, as one JSON object

A call has user_name, password, operation and request (a member that is not there is not sent). An answer has result,
code and message, and what else the operation returns; or fault and faultcode where zeep raised one, or error where it
refused to send.
"""

import base64
import datetime
import json
import os
import sys

import requests
import zeep
from zeep.wsdl.bindings import Soap11Binding, Soap12Binding

BINDINGS = {"1.1": Soap11Binding, "1.2": Soap12Binding}


def load(url):
    session = requests.Session()
    session.trust_env = False  # no proxy stands between a test and its server
    session.verify = os.environ.get("SSL_CERT_FILE", True)
    settings = zeep.Settings(strict=True, xsd_ignore_sequence_order=False)
    return zeep.Client(url, transport=zeep.Transport(session=session, timeout=60), settings=settings)


def ports(client):
    for service in client.wsdl.services.values():
        for port in service.ports.values():
            yield service, port


def bind(client, version):
    for service, port in ports(client):
        if type(port.binding) is BINDINGS[version]:
            return client.bind(service.name, port.name)
    raise SystemExit(f"the WSDL has no port for SOAP {version}")


def call(service, given):
    header = {"UserName": given["user_name"], "Password": given["password"]}
    try:
        answer = service[given["operation"]](request=given["request"], _soapheaders={"AuthHeader": header})
    except zeep.exceptions.Fault as fault:
        return {"fault": fault.message, "faultcode": fault.code}
    except zeep.exceptions.ValidationError as error:
        return {"error": str(error)}
    returned = zeep.helpers.serialize_object(answer, dict)
    # zeep hands out what is inside an element that can hold one thing only: there the outer Result is gone.
    result = returned.pop("Result") if isinstance(returned["Result"], dict) else returned
    answer = {"result": result.pop("Result"), "code": result.pop("Code"), "message": result.pop("Message") or ""}
    return answer | returned


def plain(value):
    """What JSON has no type for."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    raise TypeError(value)


def describe(client):
    """Every port, operation, element and type. A signature resolves what it names, or raises."""
    types = client.wsdl.types
    namespace = next(port.binding.name.namespace for _, port in ports(client))

    def signatures(declared):
        ours = [item for item in declared if item.qname is not None and item.qname.namespace == namespace]
        return {item.qname.localname: item.signature(types) for item in ours}

    return {
        "ports": {port.name: port.binding_options["address"] for _, port in ports(client)},
        "operations": {
            f"{port.name}.{name}": [operation.soapaction, operation.input.signature(), operation.output.signature()]
            for _, port in ports(client)
            for name, operation in port.binding._operations.items()
        },
        "elements": signatures(types.elements),
        "types": signatures(types.types),
    }


def main():
    url, mode = sys.argv[1:]
    client = load(url)
    if mode == "describe":
        print(json.dumps(describe(client)))
        return
    service = bind(client, mode)
    for line in sys.stdin:
        print(json.dumps(call(service, json.loads(line)), default=plain), flush=True)


main()
