"""Calls the NetServer services as a program on zeep does. README.md says what it is told and what it prints.

    netserver_zeep.py LICENSE-WSDL PRINCIPAL-WSDL USER PASSWORD OWNER ASSOCIATE-ID [BASE-URL]
"""

import datetime
import json
import sys

import requests
import zeep


class Service:
    def __init__(self, wsdl, name, base):
        session = requests.Session()
        session.trust_env = False  # no proxy stands between a test and its server
        settings = zeep.Settings(strict=True, xsd_ignore_sequence_order=False)
        client = zeep.Client(wsdl, transport=zeep.Transport(session=session, timeout=60), settings=settings)
        ((service, port),) = [(s, p) for s in client.wsdl.services.values() for p in s.ports.values()]
        self.operations = port.binding.all()
        if base:
            self.proxy = client.create_service(port.binding.name, f"{base}/Remote/Services86/{name}.svc")
        else:
            self.proxy = client.bind(service.name, port.name)

    def call(self, operation, arguments, headers):
        answer = self.proxy[operation](**arguments, _soapheaders={"ApplicationToken": "1234567-1234-9876"} | headers)
        # Where the WSDL names header blocks for the answer too, zeep hands out both: header and body.
        answer = zeep.helpers.serialize_object(answer, dict)
        return {"header": plain(answer["header"]), "body": plain(answer["body"])}


def plain(value):
    """As JSON, without the members in which nothing is."""
    if isinstance(value, dict):
        members = {name: plain(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member not in (None, "", {}, [])}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


def main():
    license_wsdl, principal_wsdl, user, password, owner, associate, *base = sys.argv[1:]
    base = base[0] if base else None
    principal = Service(principal_wsdl, "SoPrincipal", base)
    license = Service(license_wsdl, "License", base)

    def sign_in(password):
        return principal.call("AuthenticateUsernamePassword", {"UserName": user, "Password": password}, {})

    login = sign_in(password)
    ticket = login["body"]["Credentials"]["Ticket"]

    def call(operation, arguments, ticket=ticket, **headers):
        return license.call(operation, arguments, {"Credentials": {"Ticket": ticket}} | headers)

    of_owner, of_nobody = {"OwnerName": owner}, {"OwnerName": "NOBODY"}
    of_associate = {"AssociateId": int(associate)}
    of_both = of_associate | {"ModuleOwner": owner}
    modules = of_both | {"ModuleLicenseNames": {"string": ["SQLBACKUP"]}}
    seen = {
        "login": login,
        "wrong_password": sign_in(password + "?"),
        "system_info": principal.call("GetSystemInfo", {}, {}),
        "license": call("GetLicenseFromLicenseServer", of_owner),
        "stored": call("GetLicenseFromDB", of_owner),
        "status": call("GetLicenseStatusFromLicenseServer", of_owner),
        "user": call("GetUserLicenses", of_associate),
        "assign": call("AssignThirdPartyLicenses", modules),
        "assigned": call("GetThirdPartyLicenseAssignments", of_both),
        "license_assigned": call("GetLicenseFromLicenseServer", of_owner),
        "unassign": call("UnassignThirdPartyLicenses", modules),
        "wrong_ticket": call("GetLicenseFromLicenseServer", of_owner, ticket="7T:garbage"),
        "unknown_owner": call("GetLicenseFromLicenseServer", of_nobody),
        "unknown_owner_status": call("GetLicenseStatusFromLicenseServer", of_nobody),
        "in_norway": call("GetLicenseFromLicenseServer", of_owner, TimeZone={"SoTimeZoneLocationCode": "NO"}),
    }
    if "GetUserAndInstallationLicenceStatus" in license.operations:
        seen["user_status"] = call("GetUserAndInstallationLicenceStatus", of_associate)
    print(json.dumps(seen))


main()
