//! Heads of the history, signed with Ed25519 (RFC 8032): a forger without the key cannot make another history look like this one.
//!
//! The signature covers the bytes of four lines, each ended by a line feed: `seatkeeper audit head 1`, the event's id in decimal,
//! its hash in lower-case hexadecimal digits, and the text of `at`. Keys and signatures are in hexadecimal digits too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::{Head, Link, from_hex, to_hex};

/// The private key that signs heads.
pub struct Key(SigningKey);

/// The public key that verifies signatures. It is not secret, but its source must be trusted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text that is not a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error(
        "this is not an Ed25519 private key in PKCS#8 PEM, as `seatkeeper audit key` and `openssl genpkey -algorithm ed25519` make it"
    )]
    Private,
    #[error(
        "this is not an Ed25519 public key: 64 hexadecimal digits, or PEM that begins with -----BEGIN PUBLIC KEY-----"
    )]
    Public,
}

/// Why the signature of a head proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    #[error("the head of event {event} (of {at}) is not signed")]
    Unsigned { event: i64, at: String },
    #[error("the head of event {event} (of {at}) has a key or signature that is none")]
    Malformed { event: i64, at: String },
    #[error("the head of event {event} (of {at}) is signed by another key, {found}")]
    OtherKey { event: i64, at: String, found: String },
    #[error("the signature of the head of event {event} (of {at}) is not valid: the head was altered")]
    Invalid { event: i64, at: String },
}

/// DER before the 32 bytes of a private key (RFC 8410, section 7): version 0, Ed25519, an octet string in an octet string.
const PRIVATE_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// DER before the 32 bytes of a public key (RFC 8410, section 4).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

impl Key {
    /// The key that follows from 32 random bytes.
    pub fn from_random(bytes: &[u8; 32]) -> Key {
        Key(SigningKey::from_bytes(bytes))
    }

    /// Reads PKCS#8 PEM.
    pub fn from_pem(text: &str) -> Result<Key, KeyError> {
        let bytes = from_pem(text, "PRIVATE KEY", &PRIVATE_PREFIX).ok_or(KeyError::Private)?;
        Ok(Key(SigningKey::from_bytes(&bytes)))
    }

    pub fn to_pem(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(self.0.to_bytes());
        Zeroizing::new(to_pem("PRIVATE KEY", &PRIVATE_PREFIX, &bytes))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// A signed head. `at`: when it is taken.
    pub fn sign(&self, link: &Link, at: String) -> Head {
        let mut head = Head { event: link.event, hash: link.hash, at, key: None, signature: None };
        head.key = Some(self.public().to_string());
        head.signature = Some(to_hex(&self.0.sign(message(&head).as_bytes()).to_bytes()));
        head
    }
}

impl PublicKey {
    /// Reads 64 hexadecimal digits, or PEM.
    pub fn parse(text: &str) -> Result<PublicKey, KeyError> {
        let bytes = from_hex(text.trim()).or_else(|| from_pem(text, "PUBLIC KEY", &PUBLIC_PREFIX).map(|bytes| *bytes));
        let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        // Anyone can make signatures that are valid for a weak key.
        key.filter(|key| !key.is_weak()).map(PublicKey).ok_or(KeyError::Public)
    }

    pub fn to_pem(&self) -> String {
        to_pem("PUBLIC KEY", &PUBLIC_PREFIX, self.0.as_bytes())
    }
}

/// 64 hexadecimal digits.
impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&to_hex(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Verifies that one key signed every head: `trusted`, or else the key of the first head, which proves only that the heads belong
/// together. Returns the key; `None`: there are no heads.
///
/// [`super::Verifier`] checks whether a history has the events of these heads.
pub fn verify_signatures(heads: &[Head], trusted: Option<&PublicKey>) -> Result<Option<PublicKey>, SignatureFault> {
    let mut expected = trusted.copied();
    for head in heads {
        expected = Some(verify(head, expected.as_ref())?);
    }
    Ok(expected)
}

fn verify(head: &Head, expected: Option<&PublicKey>) -> Result<PublicKey, SignatureFault> {
    let (event, at) = (head.event, head.at.clone());
    let (Some(key), Some(signature)) = (&head.key, &head.signature) else {
        return Err(SignatureFault::Unsigned { event, at });
    };
    let (Ok(key), Some(signature)) = (PublicKey::parse(key), signature_from_hex(signature)) else {
        return Err(SignatureFault::Malformed { event, at });
    };
    if expected.is_some_and(|expected| *expected != key) {
        return Err(SignatureFault::OtherKey { event, at, found: key.to_string() });
    }
    match key.0.verify_strict(message(head).as_bytes(), &signature) {
        Ok(()) => Ok(key),
        Err(_) => Err(SignatureFault::Invalid { event, at }),
    }
}

fn message(head: &Head) -> String {
    format!("seatkeeper audit head 1\n{}\n{}\n{}\n", head.event, to_hex(&head.hash), head.at)
}

fn signature_from_hex(hex: &str) -> Option<Signature> {
    let (r, s) = hex.split_at_checked(64)?;
    Some(Signature::from_components(from_hex(r)?, from_hex(s)?))
}

fn to_pem(label: &str, prefix: &[u8], key: &[u8; 32]) -> String {
    let der = Zeroizing::new([prefix, key].concat());
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(&*der))
}

fn from_pem(text: &str, label: &str, prefix: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let body = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let body = body.strip_suffix(&format!("-----END {label}-----"))?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let der = Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?);
    let key = der.strip_prefix(prefix)?;
    <[u8; 32]>::try_from(key).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::from_random(&[byte; 32])
    }

    fn head() -> Head {
        key(1).sign(&Link { event: 7, hash: [9; 32] }, "2027-01-31T00:00:00.000Z".to_owned())
    }

    /// Made with `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`.
    #[test]
    fn keys_of_openssl_are_read_and_written_alike() {
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        // RFC 8032, section 7.1, test 1.
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = Key::from_pem(private).expect("a key");
        assert_eq!((key.public().to_string().as_str(), key.to_pem().as_str()), (public, private));
        assert_eq!(format!("{:?}", key.public()), public);
        let pem = key.public().to_pem();
        assert_eq!(
            pem,
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"
        );
        assert_eq!(PublicKey::parse(&pem), PublicKey::parse(public));
        assert!(Key::from_pem(&private.replace('\n', "\r\n")).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let pem = key(1).to_pem();
        for text in [
            "",
            "x",
            &pem[..60],
            &pem.replace("MC4", "MC5"),
            &pem.replace("PRIVATE", "PUBLIC"),
            &pem.replace("BEGIN", "BEGIM"),
        ] {
            assert_eq!(Key::from_pem(text).err(), Some(KeyError::Private), "{text}");
        }
        // The last: a point of small order.
        for text in ["", "00", &"zz".repeat(32), &pem, &("01".to_owned() + &"00".repeat(31))] {
            assert_eq!(PublicKey::parse(text).err(), Some(KeyError::Public), "{text}");
        }
    }

    #[test]
    fn a_signed_head_verifies_also_after_it_was_written_and_read() {
        let heads = Head::read_all(&format!("{}\n", head())).expect("a head");
        assert_eq!(verify_signatures(&heads, None), Ok(Some(key(1).public())));
        assert_eq!(verify_signatures(&heads, Some(&key(1).public())), Ok(Some(key(1).public())));
        assert_eq!(verify_signatures(&[], None), Ok(None));
    }

    #[test]
    fn any_alteration_of_a_signed_head_is_found() {
        let good = head();
        let (event, at) = (good.event, good.at.clone());
        let invalid = SignatureFault::Invalid { event, at: at.clone() };
        let malformed = SignatureFault::Malformed { event, at: at.clone() };
        let unsigned = SignatureFault::Unsigned { event, at: at.clone() };
        let other = SignatureFault::OtherKey { event, at: at.clone(), found: key(2).public().to_string() };
        let altered = |alter: fn(&mut Head)| {
            let mut head = good.clone();
            alter(&mut head);
            verify_signatures(&[good.clone(), head], None).expect_err("altered")
        };
        assert_eq!(altered(|head| head.hash[31] ^= 1), invalid);
        assert_eq!(altered(|head| head.event = 8), SignatureFault::Invalid { event: 8, at });
        assert!(matches!(altered(|head| head.at.push(' ')), SignatureFault::Invalid { .. }));
        assert_eq!(altered(|head| head.signature = head.signature.as_ref().map(|hex| hex.replace('a', "b"))), invalid);
        assert_eq!(altered(|head| head.signature = None), unsigned);
        assert_eq!(altered(|head| head.key = None), unsigned);
        assert_eq!(altered(|head| head.signature = Some("aé".repeat(50))), malformed);
        assert_eq!(altered(|head| head.signature.as_mut().expect("signed").push('0')), malformed);
        assert_eq!(altered(|head| head.key = Some("00".repeat(32))), malformed);
        // Signed again by another key: the first head or the trusted key reveals it.
        let signed_again = key(2).sign(&good.link(), good.at.clone());
        assert_eq!(verify_signatures(&[good, signed_again.clone()], None), Err(other.clone()));
        assert_eq!(verify_signatures(&[signed_again], Some(&key(1).public())), Err(other));
    }

    /// The signed bytes, as documented for other programs.
    #[test]
    fn the_signed_bytes_are_four_lines() {
        let hash = "09".repeat(32);
        assert_eq!(message(&head()), format!("seatkeeper audit head 1\n7\n{hash}\n2027-01-31T00:00:00.000Z\n"));
    }
}
