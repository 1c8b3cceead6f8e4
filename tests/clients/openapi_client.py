"""Makes a client of the Web API from its document, as openapi-generator makes clients for Python, and calls with it what reads
and what changes, with and without $select. README.md says what it prints.

    openapi_client.py DOCUMENT-URL BASE-URL USER PASSWORD OWNER ASSOCIATE-ID
"""

import json
import sys
import tempfile

import openapi_generator_cli

SELECTED = (None, "OwnerName", "Current/OwnerName, AccumulatedNextCheckDate", "LicenseStatus, UserLicenses", "Nothing")


def main():
    document, base, user, password, owner, associate = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        made = openapi_generator_cli.run(["generate", "-g", "python", "-i", document, "-o", directory])
        if made.returncode != 0:
            raise SystemExit(f"openapi-generator ends with {made.returncode}")
        sys.path.insert(0, directory)
        calls(base, user, password, owner, int(associate))


def calls(base, user, password, owner, associate):
    import openapi_client as made

    client = made.ApiClient(made.Configuration(host=base, username=user, password=password))
    agent, resource = made.AgentsLicenseApi(client), made.LicenseApi(client)

    def call(api, operation, *arguments, **options):
        """The same call twice: as the client reads the answer, and as it came."""
        answer = getattr(api, operation)(*arguments, **options)
        came = getattr(api, f"{operation}_without_preload_content")(*arguments, **options)
        options = {name: value for name, value in options.items() if value is not None}
        say({"call": operation, "options": options, "status": came.status, "read": plain(answer), "sent": came.json()})
        return answer

    of_owner = {"OwnerName": owner}
    of_associate = {"AssociateId": associate}
    of_both = of_associate | {"ModuleOwner": owner}
    for select in SELECTED:
        for name, request, arguments in (
            ("get_license_from_db", made.GetLicenseFromDBRequest, of_owner),
            ("get_license_from_license_server", made.GetLicenseFromLicenseServerRequest, of_owner),
            ("get_license_status_from_license_server", made.GetLicenseStatusFromLicenseServerRequest, of_owner),
            ("get_module_license_from_db", made.GetModuleLicenseFromDBRequest, of_owner | {"ModuleName": "SQLBACKUP"}),
            ("get_user_licenses", made.GetUserLicensesRequest, of_associate),
            ("get_user_and_installation_licence_status", made.GetUserAndInstallationLicenceStatusRequest, of_associate),
            ("get_third_party_license_assignments", made.GetThirdPartyLicenseAssignmentsRequest, of_both),
            ("get_shop_url", made.GetShopUrlRequest, of_owner),
        ):
            call(agent, f"v1_license_agent_{name}", request.from_dict(arguments), select=select)
        for name in ("get_user_licenses_mdo_list", "get_satellite_licenses", "get_central_license"):
            call(agent, f"v1_license_agent_{name}", select=select)
        call(resource, "v1_license_get_license_for_all_owners_from_db", select=select)
        call(resource, "v1_license_get_license_from_db", owner, select=select)
        call(resource, "v1_license_get_third_party_license_assignments", owner, associate, select=select)
    for zone in ("NO", "NO, includeTZOffset", "UTC"):
        call(resource, "v1_license_get_license_from_db", owner, so_time_zone=zone)
    nobody = made.GetLicenseFromDBRequest(OwnerName="NOBODY")
    call(agent, "v1_license_agent_get_license_from_db", nobody)
    granted = made.GetLicenseFromLicenseServerRequest(OwnerName=owner)
    granted = call(agent, "v1_license_agent_get_license_from_license_server", granted)
    handed_back = made.ValidateLicenseInfoRequest.from_dict({"LicenseInfo": granted.to_dict()})
    call(agent, "v1_license_agent_validate_license_info", handed_back)
    for change in ("assign", "unassign"):
        call(resource, f"v1_license_{change}_third_party_licenses", owner, associate, ["SQLBACKUP"])


def plain(value):
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


def say(value):
    print(json.dumps(value), flush=True)


main()
