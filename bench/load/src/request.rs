//! The request, rendered once.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::options::{Options, Work};

/// Digits of a number in the request: enough for any run and any entity. A fixed width keeps Content-Length the same for all
/// requests.
const DIGITS: usize = 10;

/// HTTP head and body: of an AssignLicense, for a new user name and an entity in each call, or of a request that never changes.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    /// `None`: the request never changes.
    changing: Option<Changing>,
    /// The text expected in the response to a request that never changes.
    expect: Option<String>,
}

/// The parts that change from call to call, and their positions.
#[derive(Clone, Copy)]
struct Changing {
    user_name_at: usize,
    entity_at: usize,
    first_entity: u64,
    entities: u64,
}

impl Request {
    /// A user name is the prefix, an id of this run and a number, so that a second run on the same database uses other
    /// names.
    pub fn new(options: &Options) -> Self {
        let (user, password, entity, entities, license_type, prefix) = match &options.work {
            Work::Assign { user, password, entity, entities, license_type, prefix } => {
                (user, password, entity, entities, license_type, prefix)
            }
            Work::Request { path, body, headers, expect } => {
                let head = head(path, &options.addr, headers, body.as_ref().map(String::len));
                let bytes = (head + body.as_deref().unwrap_or_default()).into_bytes();
                return Self { bytes, changing: None, expect: Some(expect.clone()) };
            }
        };
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let before = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <soap:Envelope xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
             xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Header>\
             <AuthHeader xmlns=\"sosonlinebackup.com\"><UserName>{user}</UserName><Password>{password}</Password>\
             </AuthHeader></soap:Header><soap:Body><AssignLicense xmlns=\"sosonlinebackup.com\"><request>\
             <Username>{prefix}{millis:x}-",
            user = escape(user),
            password = escape(password),
            prefix = escape(prefix),
        );
        let between = "</Username><LicenseProviderEntityId>";
        let after = format!(
            "</LicenseProviderEntityId><LicenseType>{license_type}</LicenseType></request></AssignLicense>\
             </soap:Body></soap:Envelope>",
            license_type = escape(license_type),
        );
        let head = head(
            "/WebApi/AccountManagementService/LicenseManagementService.asmx",
            &options.addr,
            &["SOAPAction: \"sosonlinebackup.com/AssignLicense\"".to_owned()],
            Some(before.len() + DIGITS + between.len() + DIGITS + after.len()),
        );
        let user_name_at = head.len() + before.len();
        let entity_at = user_name_at + DIGITS + between.len();
        let zeros = &[b'0'; DIGITS];
        let bytes = [head.as_bytes(), before.as_bytes(), zeros, between.as_bytes(), zeros, after.as_bytes()].concat();
        let changing =
            Changing { user_name_at, entity_at, first_entity: u64::from(*entity), entities: u64::from(*entities) };
        Self { bytes, changing: Some(changing), expect: None }
    }

    /// The text that marks a response as a success, if `Code` does not.
    pub fn expect(&self) -> Option<&str> {
        self.expect.as_deref()
    }

    /// Sets the number of the request: the user name ends in it, and it selects the entity.
    pub fn set_number(&mut self, number: u64) {
        let Some(Changing { user_name_at, entity_at, first_entity, entities }) = self.changing else { return };
        self.write(user_name_at, number);
        // Neighbours in number are far apart, as calls in the field are. The multiplier is Knuth's.
        let drawn = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.write(entity_at, first_entity + drawn % entities);
    }

    fn write(&mut self, at: usize, mut number: u64) {
        for digit in self.bytes[at..][..DIGITS].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }

    /// What goes on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// `length`: of the body, if there is one.
fn head(path: &str, host: &str, headers: &[String], length: Option<usize>) -> String {
    let is_typed = headers.iter().any(|header| header.to_ascii_lowercase().starts_with("content-type:"));
    let mut lines =
        vec![format!("{} {path} HTTP/1.1", if length.is_some() { "POST" } else { "GET" }), format!("Host: {host}")];
    lines.extend_from_slice(headers);
    if let Some(length) = length {
        lines.push(format!("Content-Length: {length}"));
        if !is_typed {
            lines.push("Content-Type: text/xml; charset=utf-8".to_owned());
        }
    }
    lines.join("\r\n") + "\r\n\r\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_changes_and_the_length_is_true() {
        let args = "--addr 127.0.0.1:1 --user bench --password a&b --entity 42".split(' ').map(str::to_owned);
        let options = Options::from_args(args).expect("valid").expect("no help");
        let mut request = Request::new(&options);
        request.set_number(90_210);
        let text = String::from_utf8(request.bytes().to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(body.contains("-0000090210</Username>"));
        assert!(body.contains("<LicenseProviderEntityId>0000000042<"));
        assert!(body.contains("<Password>a&amp;b</Password>"));
    }
}
