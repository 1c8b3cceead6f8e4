"""Calls the NetServer services as a program on suds does. README.md says what it is told and what it prints.

    netserver_suds.py LICENSE-WSDL PRINCIPAL-WSDL USER PASSWORD OWNER ASSOCIATE-ID
"""

import datetime
import json
import sys

import suds.client
from suds.sax.element import Element


def exception(client):
    """suds hands out the Body; the header of the answer is in the message that came."""
    info = client.last_received().getChild("Envelope").getChild("Header").getChild("ExceptionInfo")
    return info and info.getChild("ExceptionType").getText()


def main():
    license_wsdl, principal_wsdl, user, password, owner, associate = sys.argv[1:]
    principal = suds.client.Client(principal_wsdl, cache=None)
    license = suds.client.Client(license_wsdl, cache=None)
    namespace = ("so", "http://www.superoffice.net/ws/crm/NetServer/Services86")

    def sign_in(password):
        return principal.service.AuthenticateUsernamePassword(UserName=user, Password=password)

    def with_ticket(ticket):
        credentials = Element("Credentials", ns=namespace)
        credentials.append(Element("Ticket", ns=namespace).setText(ticket))
        license.set_options(soapheaders=credentials)
        return license.service

    login = sign_in(password)
    call = with_ticket(login.Credentials.Ticket)
    info = call.GetLicenseFromLicenseServer(OwnerName=owner)
    status = call.GetLicenseStatusFromLicenseServer(OwnerName=owner)
    # suds has no name for the type of a list in another namespace than the request.
    names = license.factory.create("{http://schemas.microsoft.com/2003/10/Serialization/Arrays}ArrayOfstring")
    names.string = ["SQLBACKUP", "EXCHANGEBACKUP"]
    assigned = call.AssignThirdPartyLicenses(AssociateId=int(associate), ModuleOwner=owner, ModuleLicenseNames=names)
    with_ticket("7T:garbage").GetLicenseStatusFromLicenseServer(OwnerName=owner)
    print(json.dumps({
        "signed_in": login.AuthenticationSucceeded,
        "ticket": login.Credentials.Ticket,
        "wrong_password": sign_in(password + "?").AuthenticationSucceeded,
        "company": info.Current.CompanyName,
        "expires": info.Current.ExpiryDate.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "modules": [module.ModuleName for module in info.Current.ModuleLicenses.ModuleLicense],
        "free": [module.NumberOfLicensesFree for module in info.ExtendedModuleLicenses.ExtendedModuleLicense],
        "status": status.LicenseStatus,
        "assigned": [link.Name for link in assigned.ModuleLicenseLink],
        "exception": exception(license),
    }))


main()
