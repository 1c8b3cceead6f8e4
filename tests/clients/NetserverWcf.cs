// Calls the NetServer services as a WCF program does, over BasicHttpBinding: License.svc with the proxy that `svcutil` makes from
// the WSDL. README.md says what it is told and what it prints.

using System;
using System.Linq;
using System.Runtime.Serialization;
using System.ServiceModel;
using System.ServiceModel.Channels;
using System.ServiceModel.Description;
using System.ServiceModel.Dispatcher;

// svcutil of Mono leaves out header blocks, and what a sign-in returns besides Response.
[DataContract(Name = "Credentials", Namespace = NetserverWcf.Namespace)]
class SoCredentials {
    [DataMember] public string Ticket;
}

[DataContract(Name = "ExceptionInfo", Namespace = NetserverWcf.Namespace)]
class SoExceptionInfo {
    [DataMember] public string ExceptionType;
}

[MessageContract(WrapperName = "AuthenticateUsernamePassword", WrapperNamespace = NetserverWcf.Namespace)]
class SignInRequest {
    [MessageHeader(Namespace = NetserverWcf.Namespace)] public string ApplicationToken;
    [MessageBodyMember(Namespace = NetserverWcf.Namespace, Order = 0)] public string UserName;
    [MessageBodyMember(Namespace = NetserverWcf.Namespace, Order = 1)] public string Password;
}

[MessageContract(WrapperName = "AuthenticateResponse", WrapperNamespace = NetserverWcf.Namespace)]
class SignInResponse {
    [MessageHeader(Namespace = NetserverWcf.Namespace)] public bool Succeeded;
    [MessageBodyMember(Namespace = NetserverWcf.Namespace, Order = 0)] public SoCredentials Credentials;
    [MessageBodyMember(Namespace = NetserverWcf.Namespace, Order = 1)] public bool AuthenticationSucceeded;
}

[ServiceContract(Namespace = NetserverWcf.Namespace)]
interface ISignIn {
    [OperationContract(Action = NetserverWcf.Namespace + "/SoPrincipal/AuthenticateUsernamePassword", ReplyAction = "*")]
    SignInResponse AuthenticateUsernamePassword(SignInRequest request);
}

// Reads the headers of answers: Mono's OperationContext has none of them.
class Refusals : IEndpointBehavior, IClientMessageInspector {
    public string Last;

    public void AfterReceiveReply(ref Message reply, object state) {
        int at = reply.Headers.FindHeader("ExceptionInfo", NetserverWcf.Namespace);
        Last = at < 0 ? null : reply.Headers.GetHeader<SoExceptionInfo>(at).ExceptionType;
    }

    public object BeforeSendRequest(ref Message request, IClientChannel channel) { return null; }

    public void ApplyClientBehavior(ServiceEndpoint endpoint, ClientRuntime client) { client.MessageInspectors.Add(this); }

    public void AddBindingParameters(ServiceEndpoint endpoint, BindingParameterCollection parameters) {}

    public void ApplyDispatchBehavior(ServiceEndpoint endpoint, EndpointDispatcher dispatcher) {}

    public void Validate(ServiceEndpoint endpoint) {}
}

static class NetserverWcf {
    public const string Namespace = "http://www.superoffice.net/ws/crm/NetServer/Services86";

    static void Main(string[] given) {
        // A license is longer than what a binding receives by default.
        var binding = new BasicHttpBinding { MaxReceivedMessageSize = 1 << 20 };
        var principal = new ChannelFactory<ISignIn>(binding, new EndpointAddress(given[1].Split('?')[0])).CreateChannel();
        var license = new LicenseClient(binding, new EndpointAddress(given[0].Split('?')[0]));
        var refusals = new Refusals();
        license.Endpoint.Behaviors.Add(refusals);
        string user = given[2], password = given[3], owner = given[4];

        var login = principal.AuthenticateUsernamePassword(new SignInRequest { UserName = user, Password = password });
        var ticket = login.Credentials.Ticket;
        Vendor.ExtendedLicenseInfo info;
        Vendor.CheckLicenseStatusResult status;
        Vendor.ModuleLicenseLink[] assigned;
        using (new OperationContextScope(license.InnerChannel)) {
            Send(ticket);
            info = license.GetLicenseFromLicenseServer(owner);
            status = license.GetLicenseStatusFromLicenseServer(owner);
            assigned = license.AssignThirdPartyLicenses(int.Parse(given[5]), owner, new[] { "SQLBACKUP", "EXCHANGEBACKUP" });
        }
        using (new OperationContextScope(license.InnerChannel)) {
            Send("7T:garbage");
            license.GetLicenseStatusFromLicenseServer(owner);
        }
        var wrong = principal.AuthenticateUsernamePassword(new SignInRequest { UserName = user, Password = password + "?" });

        Console.WriteLine("{\"signed_in\":" + Boolean(login.AuthenticationSucceeded)
            + ",\"ticket\":\"" + ticket + "\",\"wrong_password\":" + Boolean(wrong.AuthenticationSucceeded)
            + ",\"company\":\"" + info.Current.CompanyName
            + "\",\"expires\":\"" + info.Current.ExpiryDate.ToUniversalTime().ToString("yyyy-MM-ddTHH:mm:ssZ")
            + "\",\"modules\":" + List(info.Current.ModuleLicenses.Select(module => module.ModuleName))
            + ",\"free\":[" + string.Join(",", info.ExtendedModuleLicenses.Select(module => module.NumberOfLicensesFree))
            + "],\"status\":\"" + status.LicenseStatus
            + "\",\"assigned\":" + List(assigned.Select(link => link.Name))
            + ",\"exception\":\"" + refusals.Last + "\"}");
    }

    // A header block of all calls in the scope.
    static void Send(string ticket) {
        OperationContext.Current.OutgoingMessageHeaders.Add(
            MessageHeader.CreateHeader("Credentials", Namespace, new SoCredentials { Ticket = ticket }));
    }

    static string Boolean(bool value) {
        return value ? "true" : "false";
    }

    static string List(System.Collections.Generic.IEnumerable<string> texts) {
        return "[" + string.Join(",", texts.Select(text => "\"" + text + "\"")) + "]";
    }
}
