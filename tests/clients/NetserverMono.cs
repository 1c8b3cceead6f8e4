// Calls the NetServer services as a .NET Framework program with web references does: License.svc with the proxy that
// `wsdl` makes from the WSDL. README.md says what it is told and what it prints.

using System;
using System.Linq;
using System.Web.Services;
using System.Web.Services.Protocols;
using System.Xml.Serialization;
using Vendor;

// The proxy that `wsdl` makes for SoPrincipal.svc cannot be used: its four operations share one answer. A method by hand can.
[WebServiceBinding(Namespace = SignIn.Namespace)]
class SignIn : SoapHttpClientProtocol {
    public const string Namespace = "http://www.superoffice.net/ws/crm/NetServer/Services86";

    [SoapDocumentMethod(Namespace + "/SoPrincipal/AuthenticateUsernamePassword", RequestNamespace = Namespace,
        ResponseNamespace = Namespace, ResponseElementName = "AuthenticateResponse")]
    [return: XmlElement("AuthenticationSucceeded")]
    public bool AuthenticateUsernamePassword(string UserName, string Password, out SoCredentials Credentials) {
        var results = Invoke("AuthenticateUsernamePassword", new object[] { UserName, Password });
        Credentials = (SoCredentials)results[1];
        return (bool)results[0];
    }
}

static class NetserverMono {
    static void Main(string[] given) {
        var principal = new SignIn { Url = given[1].Split('?')[0] };
        var license = new WcfLicenseService { Url = given[0].Split('?')[0] };
        string user = given[2], password = given[3], owner = given[4];
        SoCredentials credentials, none;
        bool signedIn = principal.AuthenticateUsernamePassword(user, password, out credentials);
        license.CredentialsValue = credentials;

        var info = license.GetLicenseFromLicenseServer(owner);
        var status = license.GetLicenseStatusFromLicenseServer(owner);
        var assigned = license.AssignThirdPartyLicenses(
            int.Parse(given[5]), true, owner, new[] { "SQLBACKUP", "EXCHANGEBACKUP" });
        license.CredentialsValue = new SoCredentials { Ticket = "7T:garbage" };
        license.GetLicenseStatusFromLicenseServer(owner);
        var exception = license.ExceptionInfo.ExceptionType;
        bool wrong = principal.AuthenticateUsernamePassword(user, password + "?", out none);

        Console.WriteLine("{\"signed_in\":" + Boolean(signedIn)
            + ",\"ticket\":\"" + credentials.Ticket + "\",\"wrong_password\":" + Boolean(wrong)
            + ",\"company\":\"" + info.Current.CompanyName
            + "\",\"expires\":\"" + info.Current.ExpiryDate.ToUniversalTime().ToString("yyyy-MM-ddTHH:mm:ssZ")
            + "\",\"modules\":" + List(info.Current.ModuleLicenses.Select(module => module.ModuleName))
            + ",\"free\":[" + string.Join(",", info.ExtendedModuleLicenses.Select(module => module.NumberOfLicensesFree))
            + "],\"status\":\"" + status.LicenseStatus
            + "\",\"assigned\":" + List(assigned.Select(link => link.Name))
            + ",\"exception\":\"" + exception + "\"}");
    }

    static string Boolean(bool value) {
        return value ? "true" : "false";
    }

    static string List(System.Collections.Generic.IEnumerable<string> texts) {
        return "[" + string.Join(",", texts.Select(text => "\"" + text + "\"")) + "]";
    }
}
