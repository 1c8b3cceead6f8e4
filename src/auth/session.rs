//! Sessions of the pages for administrators: what the browser holds in its cookie.
//!
//! The text is an id and a secret, both random. The id finds the session in the store; of the secret only a hash is stored, so no cookie can
//! be made from the database. Tokens against forged requests are made of the secret, so that no request reveals it.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

const SECRET_BYTES: usize = 32;

/// A session in clear. Its secret cannot be printed and is wiped from memory when dropped.
#[derive(Clone)]
pub struct SessionToken {
    pub id: Uuid,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

impl std::fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "session {}", self.id)
    }
}

impl SessionToken {
    /// A new one. Fails only if the machine has no randomness to give.
    pub fn generate() -> Result<SessionToken, getrandom::Error> {
        let (mut id, mut secret) = ([0; 16], Zeroizing::new([0; SECRET_BYTES]));
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut *secret)?;
        Ok(SessionToken { id: uuid::Builder::from_random_bytes(id).into_uuid(), secret })
    }

    /// Parses the value of a cookie; `None`: it is no session of this service.
    pub fn parse(text: &str) -> Option<SessionToken> {
        let (id, digits) = text.split_once('.')?;
        let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex(id, 32) || !is_hex(digits, 2 * SECRET_BYTES) {
            return None;
        }
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        for (byte, at) in secret.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
        }
        Some(SessionToken { id: Uuid::try_parse(id).ok()?, secret })
    }

    /// The value of the cookie: lower-case hexadecimal digits and a point.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(self.id.simple().to_string());
        text.reserve(1 + 2 * SECRET_BYTES);
        text.push('.');
        write_hex(&mut text, &*self.secret);
        text
    }

    /// The hash that is stored instead of the secret. The secret has 256 random bits, so one round of SHA-256 is enough.
    pub fn secret_hash(&self) -> [u8; 32] {
        Sha256::digest(*self.secret).into()
    }

    /// A token for forms of this session: it proves that a request comes from a page that the session was shown. `purpose`: another one has
    /// another token.
    pub fn form_token(&self, purpose: &str) -> String {
        let mut sha = Sha256::new_with_prefix("seatkeeper form ");
        sha.update(purpose);
        sha.update([0]);
        sha.update(*self.secret);
        let mut text = String::with_capacity(64);
        write_hex(&mut text, &sha.finalize());
        text
    }

    /// Whether it is that token, in constant time.
    pub fn is_form_token(&self, purpose: &str, token: &str) -> bool {
        use ctutils::CtEq as _;
        self.form_token(purpose).as_bytes().ct_eq(token.as_bytes()).to_bool()
    }
}

fn write_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_as_it_was_written() {
        let session = SessionToken::generate().expect("randomness");
        let text = session.text();
        let read = SessionToken::parse(&text).expect("ours");
        assert_eq!((read.id, read.secret_hash()), (session.id, session.secret_hash()));
        assert_eq!(text.len(), 97);
        assert!(session.is_form_token("a", &read.form_token("a")));
        assert!(!session.is_form_token("b", &read.form_token("a")) && !session.is_form_token("a", ""));
        let other = SessionToken::generate().expect("randomness");
        assert!(!other.is_form_token("a", &session.form_token("a")) && other.secret_hash() != session.secret_hash());
    }

    #[test]
    fn what_is_no_session_is_seen_without_asking_the_store() {
        let good = SessionToken::generate().expect("randomness").text();
        for text in [
            "",
            ".",
            "7T:abc",
            &good[1..],
            &good.replace('.', "-"),
            &format!("{}é", &good[..95]),
            &format!("{}0", *good),
        ] {
            assert!(SessionToken::parse(text).is_none(), "{text}");
        }
    }
}
