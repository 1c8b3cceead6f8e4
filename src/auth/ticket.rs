//! Tickets: after a sign-in, callers send one instead of a password.
//!
//! A ticket's text is `7T:` and base64 of `{GUID};number`, both random: it says nothing about its holder. The GUID identifies the
//! ticket in the store, which has only a hash of the number, so no ticket can be made from the database.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

/// How long a ticket is valid after its last use.
pub const TICKET_LIFE: Duration = Duration::from_secs(6 * 60 * 60);

const PREFIX: &str = "7T:";

/// A ticket in clear. It cannot be printed and is wiped from memory when dropped.
#[derive(Clone)]
pub struct Ticket {
    pub id: Uuid,
    /// Decimal digits of a random 128-bit number.
    number: Zeroizing<String>,
}

impl Ticket {
    /// A new ticket. Fails only if the machine has no randomness.
    pub fn generate() -> Result<Ticket, getrandom::Error> {
        let (mut id, mut number) = ([0; 16], Zeroizing::new([0; 16]));
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut *number)?;
        let number = Zeroizing::new(u128::from_le_bytes(*number).to_string());
        Ok(Ticket { id: uuid::Builder::from_random_bytes(id).into_uuid(), number })
    }

    /// Parses the text of a ticket; `None`: it is no ticket of this service.
    pub fn parse(text: &str) -> Option<Ticket> {
        let text = text.trim();
        // Ours have at most 112 characters.
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() <= 256)?;
        let inside = Zeroizing::new(String::from_utf8(BASE64.decode(digits).ok()?).ok()?);
        let (id, number) = inside.split_once(';')?;
        Some(Ticket { id: Uuid::try_parse(id).ok()?, number: Zeroizing::new(number.to_owned()) })
    }

    /// Whether a text, such as a user name, may hold a ticket, so that it must not be shown.
    pub fn is_like(text: &str) -> bool {
        text.contains(PREFIX)
    }

    pub fn text(&self) -> String {
        let inside = Zeroizing::new(format!("{};{}", self.id.braced(), self.number.as_str()));
        format!("{PREFIX}{}", BASE64.encode(inside.as_bytes()))
    }

    /// The stored hash of the number. The number has 128 random bits, so one round of SHA-256 is enough.
    pub fn secret_hash(&self) -> [u8; 32] {
        Sha256::digest(self.number.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_it_was_written() {
        let ticket = Ticket::generate().expect("randomness");
        let text = ticket.text();
        assert!(text.starts_with("7T:") && text.len() <= 112, "{text}");
        let read = Ticket::parse(&format!(" {text}\n")).expect("ours");
        assert_eq!((read.id, read.secret_hash()), (ticket.id, ticket.secret_hash()));
        let other = Ticket::generate().expect("randomness");
        assert_ne!((other.id, other.secret_hash()), (ticket.id, ticket.secret_hash()));
    }

    #[test]
    fn what_is_no_ticket_is_seen_without_asking_the_store() {
        let long = format!("7T:{}", "QUJD".repeat(100_000));
        let encoded = |inside: &[u8]| format!("7T:{}", BASE64.encode(inside));
        for text in [
            "",
            "7T:",
            "7T:1234abcxyzExample==",
            "8A:Cust12345.abcd",
            long.as_str(),
            &encoded(b"no guid;1"),
            &encoded(b"{3f2504e0-4f89-41d3-9a0c-0305e82c3301}"),
            &encoded(b"\xFF\xFE;1"),
            &Ticket::generate().expect("randomness").text()[3..],
        ] {
            assert!(Ticket::parse(text).is_none(), "{text}");
        }
    }
}
