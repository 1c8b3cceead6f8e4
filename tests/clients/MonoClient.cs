// Calls the service as a .NET Framework program with a web reference does: with the proxy that `wsdl` makes from the WSDL.

using System;
using System.Web.Services.Protocols;

// The proxy, and by hand an operation the WSDL does not have: a value it does not have is not sent.
class Proxy : Vendor.LicenseManagementService {
    public static Proxy For(string url, bool soap12) {
        return new Proxy {
            Url = url,
            SoapVersion = soap12 ? SoapProtocolVersion.Soap12 : SoapProtocolVersion.Soap11,
        };
    }

    public IDisposable With(string userName, string password) {
        AuthHeaderValue = new Vendor.AuthHeader { UserName = userName, Password = password };
        return null;
    }

    public static string FaultCode(Exception error) {
        var fault = error as SoapException;
        return fault == null ? null : fault.Code.Name;
    }

    [SoapHeader("AuthHeaderValue")]
    [SoapDocumentMethod("sosonlinebackup.com/NoSuchOperation", RequestNamespace = "sosonlinebackup.com")]
    public Vendor.AssignLicenseResult NoSuchOperation(Vendor.AssignLicenseRequest request) {
        return (Vendor.AssignLicenseResult)Invoke("NoSuchOperation", new object[] { request })[0];
    }
}
