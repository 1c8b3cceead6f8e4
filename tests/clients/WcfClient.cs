// Calls the service as a WCF program with a service reference does: with the proxy that `svcutil` makes from the WSDL, over
// BasicHttpBinding, or for SOAP 1.2 over a binding of text and HTTP.

using System;
using System.Runtime.Serialization;
using System.ServiceModel;
using System.ServiceModel.Channels;

// svcutil of Mono leaves out the header block.
[DataContract(Name = "AuthHeader", Namespace = Proxy.Namespace)]
class AuthHeader {
    [DataMember(Order = 0)] public string UserName;
    [DataMember(Order = 1)] public string Password;
}

// An operation the WSDL does not have: a value it does not have is not sent.
[ServiceContract(Namespace = Proxy.Namespace)]
interface IMisled {
    [OperationContract(Action = Proxy.Namespace + "/NoSuchOperation", ReplyAction = "*")]
    Vendor.AssignLicenseResult NoSuchOperation(Vendor.AssignLicenseRequest request);
}

class Proxy : LicenseManagementServiceSoapClient {
    public const string Namespace = "sosonlinebackup.com";
    readonly IMisled misled;

    Proxy(Binding binding, EndpointAddress address) : base(binding, address) {
        misled = new ChannelFactory<IMisled>(binding, address).CreateChannel();
    }

    public static Proxy For(string url, bool soap12) {
        var soap12Binding = new CustomBinding(
            new TextMessageEncodingBindingElement { MessageVersion = MessageVersion.Soap12 },
            new HttpTransportBindingElement());
        return new Proxy(soap12 ? soap12Binding : (Binding)new BasicHttpBinding(), new EndpointAddress(url));
    }

    public IDisposable With(string userName, string password) {
        var scope = new OperationContextScope(InnerChannel);
        OperationContext.Current.OutgoingMessageHeaders.Add(MessageHeader.CreateHeader(
            "AuthHeader", Namespace, new AuthHeader { UserName = userName, Password = password }));
        return scope;
    }

    public static string FaultCode(Exception error) {
        var fault = error as FaultException;
        return fault == null ? null : fault.Code.Name;
    }

    public Vendor.AssignLicenseResult NoSuchOperation(Vendor.AssignLicenseRequest request) {
        return misled.NoSuchOperation(request);
    }
}
