"""Calls the Web API as a program on the PyPI package superoffice-python-sdk does. README.md says what it is told and what
it prints.

    superoffice_sdk.py BASE-URL TICKET
"""

import json
import sys

import requests
from superofficesdk.rest import API_VERSION, SOType

# The package knows tenants of the vendor's only.
TENANT, ENVIRONMENT = "Cust12345", "online"


class OnSite(requests.adapters.HTTPAdapter):
    """Takes requests for the tenant to a site of one's own."""

    tenant = f"https://{ENVIRONMENT}.superoffice.com/{TENANT}"

    def __init__(self, base):
        super().__init__()
        self.base = base

    def send(self, request, **kwargs):
        request.url = self.base + request.url.removeprefix(self.tenant)
        return super().send(request, **kwargs)


def answer(session, ticket, entity, call, arguments, headers):
    # Its class SuperOffice signs in at the vendor's before anything else; a ticket of one's own goes where that one would.
    resource = SOType(entity, TENANT, ENVIRONMENT, API_VERSION, session, ticket, "1234567-1234-9876")
    result = getattr(resource, call)(*arguments, headers=headers)
    if isinstance(result, requests.Response):
        return {"status": result.status_code, "body": result.json()}
    return {"result": result}


def main():
    base, ticket = sys.argv[1:]
    session = requests.Session()
    session.trust_env = False  # no proxy stands between a test and its server
    session.mount(OnSite.tenant, OnSite(base))
    for line in sys.stdin:
        print(json.dumps(answer(session, ticket, **json.loads(line))), flush=True)


main()
