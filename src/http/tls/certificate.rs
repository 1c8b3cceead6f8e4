//! Facts about a certificate (RFC 5280 §4.1): names, validity, public key. Nothing is verified here: that is for clients.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Facts about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Its DNS names and IP addresses; other kinds of names are left out.
    pub(super) names: Vec<String>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// SubjectPublicKeyInfo, in DER.
    pub(super) public_key: Vec<u8>,
    /// Issuer and subject, in DER.
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// id-ce-subjectAltName, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

impl Certificate {
    /// `None`: this is not the DER of a certificate.
    pub(super) fn read(der: &[u8]) -> Option<Certificate> {
        let mut certificate = Reader(Reader(der).take(SEQUENCE)?);
        let mut fields = Reader(certificate.take(SEQUENCE)?);
        fields.optional(VERSION);
        fields.take(INTEGER)?;
        fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?.to_vec();
        let mut validity = Reader(fields.take(SEQUENCE)?);
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = fields.take(SEQUENCE)?.to_vec();
        let public_key = fields.take_whole(SEQUENCE)?.to_vec();
        let mut names = Vec::new();
        // Between them may be two identifiers that are no longer used.
        while let Some((tag, content)) = fields.next() {
            if tag == EXTENSIONS {
                names = alternative_names(content)?;
            }
        }
        Some(Certificate { names, not_before, not_after, public_key, issuer, subject })
    }
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut extensions = Reader(Reader(extensions).take(SEQUENCE)?);
    while let Some((_, extension)) = extensions.next() {
        let mut extension = Reader(extension);
        let is_names = extension.take(OBJECT_IDENTIFIER)? == SUBJECT_ALT_NAME;
        extension.optional(BOOLEAN);
        let value = extension.take(OCTET_STRING)?;
        if !is_names {
            continue;
        }
        let mut alternatives = Reader(Reader(value).take(SEQUENCE)?);
        while let Some((tag, name)) = alternatives.next() {
            match tag {
                // It goes into the log and into addresses.
                DNS_NAME if name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.*".contains(byte)) => {
                    names.push(String::from_utf8_lossy(name).into_owned());
                }
                IP_ADDRESS => names.extend(address(name)),
                _ => {}
            }
        }
    }
    Some(names)
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}

/// In UTC, with seconds and without fractions (RFC 5280 §4.1.2.5).
fn time(validity: &mut Reader<'_>) -> Option<Timestamp> {
    let (tag, text) = validity.next()?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = match (tag, text.len()) {
        (UTC_TIME, 12) => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        (GENERALIZED_TIME, 14) => text.to_owned(),
        _ => return None,
    };
    let two = |at: usize| digits[at..at + 2].parse::<i8>().ok();
    let year = digits[..4].parse().ok()?;
    let time = DateTime::new(year, two(4)?, two(6)?, two(8)?, two(10)?, two(12)?, 0).ok()?;
    // "Never" is the end of the year 9999, which is beyond what the type can hold.
    Some(TimeZone::UTC.to_timestamp(time).unwrap_or(Timestamp::MAX))
}

/// The rest of some DER.
struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    /// The next element: its tag and its content.
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let (tag, whole, content) = self.element()?;
        self.0 = &self.0[whole..];
        Some((tag, content))
    }

    /// The content of the next element, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// The same with its tag and length.
    fn take_whole(&mut self, tag: u8) -> Option<&'d [u8]> {
        let before = self.0;
        self.take(tag)?;
        before.get(..before.len() - self.0.len())
    }

    /// Skips the next element if it has this tag.
    fn optional(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }

    /// Tag, length of the whole element, and content.
    fn element(&self) -> Option<(u8, usize, &'d [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        // The length is in one byte, or in as many as the first one says.
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let content = rest.get(..length)?;
        Some((tag, self.0.len() - rest.len() + length, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&[tag, 0x82], &length[..], &content].concat()
    }

    fn certificate(from: (u8, &str), until: (u8, &str)) -> Vec<u8> {
        let validity =
            element(SEQUENCE, &[&element(from.0, &[from.1.as_bytes()]), &element(until.0, &[until.1.as_bytes()])]);
        let names = element(
            SEQUENCE,
            &[
                &element(DNS_NAME, &[b"licenses.example.com"]),
                &element(DNS_NAME, &[b"a\nb"]),
                &element(IP_ADDRESS, &[&[192, 0, 2, 1]]),
                &element(0x81, &[b"a@example.com"]),
            ],
        );
        let names =
            element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[SUBJECT_ALT_NAME]), &element(OCTET_STRING, &[&names])]);
        let other = element(
            SEQUENCE,
            &[&element(OBJECT_IDENTIFIER, &[&[0x55, 0x1d, 0x13]]), &[BOOLEAN, 1, 0xff], &element(OCTET_STRING, &[])],
        );
        let fields = element(
            SEQUENCE,
            &[
                &element(VERSION, &[&[INTEGER, 1, 2]]),
                &[INTEGER, 1, 7],
                &element(SEQUENCE, &[]),
                &element(SEQUENCE, &[b"issuer"]),
                &validity,
                &element(SEQUENCE, &[b"subject"]),
                &element(SEQUENCE, &[b"key"]),
                &element(EXTENSIONS, &[&element(SEQUENCE, &[&other, &names])]),
            ],
        );
        element(SEQUENCE, &[&fields, &element(SEQUENCE, &[]), &element(0x03, &[])])
    }

    #[test]
    fn names_and_times_are_read() {
        let read = Certificate::read(&certificate((UTC_TIME, "260102030405Z"), (GENERALIZED_TIME, "20510102030405Z")));
        let read = read.expect("a certificate");
        assert_eq!(read.names, ["licenses.example.com", "192.0.2.1"]);
        assert_eq!(
            (read.not_before.to_string(), read.not_after.to_string()),
            ("2026-01-02T03:04:05Z".into(), "2051-01-02T03:04:05Z".into())
        );
        assert_eq!((&read.issuer[..], &read.subject[..]), (&b"issuer"[..], &b"subject"[..]));
        assert!(read.public_key.ends_with(b"key") && read.public_key.starts_with(&[SEQUENCE]));
        let until = |tag, text| {
            Certificate::read(&certificate((UTC_TIME, "700101000000Z"), (tag, text))).map(|read| read.not_after)
        };
        assert_eq!(until(GENERALIZED_TIME, "99991231235959Z"), Some(Timestamp::MAX));
        for bad in ["", "Z", "261301000000Z", "2601010000Z", "+60101000000Z", "260101000000+0000"] {
            assert_eq!(until(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_is_refused_without_a_panic() {
        let whole = certificate((UTC_TIME, "260102030405Z"), (UTC_TIME, "270102030405Z"));
        for length in 0..whole.len() {
            assert_eq!(Certificate::read(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                Certificate::read(&changed);
            }
        }
    }
}
