//! Faults, in the form of either version.

use super::Version;
use super::xml::Writer;

/// The code of a fault, by the names of SOAP 1.1 §4.4.1 and SOAP 1.2 part 1 §5.4.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// `Client`, `Sender`: the message will not succeed as it is.
    Sender,
    /// `Server`, `Receiver`: the same message may succeed later.
    Receiver,
    VersionMismatch,
    MustUnderstand,
    /// WCF's code for an unknown operation.
    ActionNotSupported,
}

/// Namespace of WCF's own fault codes.
const WCF: &str = "http://schemas.microsoft.com/ws/2005/05/addressing/none";

impl FaultCode {
    const fn name(self, version: Version) -> &'static str {
        match (self, version) {
            (FaultCode::Sender, Version::Soap11) => "soap:Client",
            (FaultCode::Sender, Version::Soap12) => "soap:Sender",
            (FaultCode::Receiver, Version::Soap11) => "soap:Server",
            (FaultCode::Receiver, Version::Soap12) => "soap:Receiver",
            (FaultCode::VersionMismatch, _) => "soap:VersionMismatch",
            (FaultCode::MustUnderstand, _) => "soap:MustUnderstand",
            // SOAP 1.2 allows only its own codes: others are subcodes.
            (FaultCode::ActionNotSupported, Version::Soap11) => "a:ActionNotSupported",
            (FaultCode::ActionNotSupported, Version::Soap12) => "soap:Sender",
        }
    }
}

/// A fault to be sent. `text` is .NET's text where .NET has such a fault, because clients match it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub code: FaultCode,
    pub text: String,
    /// The header block that was not understood: namespace and name.
    pub not_understood: Option<(String, String)>,
}

impl Fault {
    pub fn new(code: FaultCode, text: impl Into<String>) -> Fault {
        Fault { code, text: text.into(), not_understood: None }
    }

    pub fn sender(text: impl Into<String>) -> Fault {
        Fault::new(FaultCode::Sender, text)
    }

    /// The envelope that carries the fault.
    pub fn render(&self, version: Version) -> String {
        let mut w = Writer::compact();
        open_envelope(&mut w, version);
        self.header(&mut w, version);
        w.open("soap:Body").open("soap:Fault");
        let code = self.code.name(version);
        // SOAP 1.1 §4.4: a fault about a header block carries no detail. .NET writes an empty one otherwise.
        let has_detail = self.code != FaultCode::MustUnderstand;
        match version {
            Version::Soap11 => {
                w.open("faultcode");
                if self.code == FaultCode::ActionNotSupported {
                    w.attribute("xmlns:a", WCF);
                }
                w.text(code).close().leaf("faultstring", &self.text);
                if has_detail {
                    w.leaf("detail", "");
                }
            }
            Version::Soap12 => {
                w.open("soap:Code").leaf("soap:Value", code);
                if self.code == FaultCode::ActionNotSupported {
                    w.open("soap:Subcode").open("soap:Value").attribute("xmlns:a", WCF);
                    w.text("a:ActionNotSupported").close().close();
                }
                w.close();
                w.open("soap:Reason").open("soap:Text").attribute("xml:lang", "en").text(&self.text).close().close();
                if has_detail {
                    w.leaf("soap:Detail", "");
                }
            }
        }
        w.finish()
    }

    fn header(&self, w: &mut Writer, version: Version) {
        match (self.code, &self.not_understood) {
            // SOAP 1.2 part 1 §5.4.7: the supported envelopes. Sent with 1.1 envelopes too, as .NET does.
            (FaultCode::VersionMismatch, _) => {
                w.open("soap:Header").open("soap12:Upgrade").attribute("xmlns:soap12", Version::Soap12.namespace());
                for (prefix, qname, version) in [
                    ("xmlns:soap", "soap:Envelope", Version::Soap11),
                    ("xmlns:soap12", "soap12:Envelope", Version::Soap12),
                ] {
                    w.open("soap12:SupportedEnvelope").attribute("qname", qname);
                    w.attribute(prefix, version.namespace()).close();
                }
                w.close().close();
            }
            // SOAP 1.2 part 1 §5.4.8.
            (FaultCode::MustUnderstand, Some((namespace, name))) if version == Version::Soap12 => {
                w.open("soap:Header").open("soap:NotUnderstood");
                if namespace.is_empty() {
                    w.attribute("qname", name);
                } else {
                    w.attribute("qname", &format!("n:{name}")).attribute("xmlns:n", namespace);
                }
                w.close().close();
            }
            _ => {}
        }
    }
}

/// The start of every answer, with the prefixes in the order .NET declares them.
pub fn open_envelope(w: &mut Writer, version: Version) {
    w.open("soap:Envelope");
    w.attribute("xmlns:soap", version.namespace())
        .attribute("xmlns:xsi", super::XSI)
        .attribute("xmlns:xsd", super::XSD);
}
