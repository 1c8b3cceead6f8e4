//! The history as a chain: the bytes of an event, how each hash follows from the previous one, and the forms of a broken chain.
//! No I/O, no clock, no SQL. `docs/history.md` describes the same for other programs.
//!
//! `hash = SHA-256(hash of the previous event || canonical form of the event)`; the first event follows 32 zero bytes. The order
//! is that of the ids, which ascend and may have gaps, or of places that are recorded beside the events; see [`Order`].

mod head;
pub mod sign;
mod verifier;

pub use head::{Head, HeadError};
pub use verifier::{Break, Fault, Order, Verified, Verifier};

use sha2::{Digest as _, Sha256};

/// The hash of an event and of all events before it.
pub type Hash = [u8; 32];

/// The hash before the first event.
pub const BEGINNING: Hash = [0; 32];

/// The record of one change: a row of `audit_event` without its hash. Text has its stored bytes, because a file may contain text
/// that is not valid UTF-8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Event<'e> {
    pub id: i64,
    pub at: &'e [u8],
    pub action: &'e [u8],
    pub actor: &'e [u8],
    pub request_id: Option<&'e [u8]>,
    pub reason: Option<&'e [u8]>,
    pub entity_id: Option<i64>,
    pub license_type: Option<&'e [u8]>,
    pub pool_id: Option<i64>,
    pub seat_no: Option<i64>,
    pub account_id: Option<i64>,
    pub username: Option<&'e [u8]>,
    pub old_values: Option<&'e [u8]>,
    pub new_values: Option<&'e [u8]>,
    pub previous_id: Option<i64>,
    pub pool_events: Option<i64>,
}

/// The beginning of the form: `E` for event, and the form's number. A form with more columns has another number.
const FORM: &[u8] = b"E1";

impl Event<'_> {
    /// The bytes of the event that are hashed: `E1`, then each column in the order of the table. Null is `-`; any other value is
    /// its length in bytes, `:`, the value (a number in decimal), `,`. No two events have the same form.
    pub fn canonical(&self) -> Vec<u8> {
        let mut form = Vec::with_capacity(512);
        form.extend_from_slice(FORM);
        number(&mut form, Some(self.id));
        [Some(self.at), Some(self.action), Some(self.actor), self.request_id, self.reason]
            .into_iter()
            .for_each(|value| text(&mut form, value));
        number(&mut form, self.entity_id);
        text(&mut form, self.license_type);
        [self.pool_id, self.seat_no, self.account_id].into_iter().for_each(|value| number(&mut form, value));
        [self.username, self.old_values, self.new_values].into_iter().for_each(|value| text(&mut form, value));
        [self.previous_id, self.pool_events].into_iter().for_each(|value| number(&mut form, value));
        form
    }

    /// The hash of this event. `previous`: the hash of the event before it.
    pub fn hash(&self, previous: &Hash) -> Hash {
        Sha256::new().chain_update(previous).chain_update(self.canonical()).finalize().into()
    }
}

fn text(form: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => form.push(b'-'),
        Some(value) => {
            Digits::of(value.len() as u64).append_to(form);
            form.push(b':');
            form.extend_from_slice(value);
            form.push(b',');
        }
    }
}

fn number(form: &mut Vec<u8>, value: Option<i64>) {
    let Some(value) = value else { return form.push(b'-') };
    let digits = Digits::of(value.unsigned_abs());
    let sign: &[u8] = if value < 0 { b"-" } else { b"" };
    Digits::of((sign.len() + digits.as_bytes().len()) as u64).append_to(form);
    form.push(b':');
    form.extend_from_slice(sign);
    digits.append_to(form);
    form.push(b',');
}

/// A number in decimal, off the heap because each event has a dozen.
struct Digits {
    digits: [u8; 20],
    first: usize,
}

impl Digits {
    fn of(mut value: u64) -> Digits {
        let (mut digits, mut first) = ([0; 20], 19);
        while value >= 10 {
            digits[first] = b'0' + (value % 10) as u8;
            value /= 10;
            first -= 1;
        }
        digits[first] = b'0' + value as u8;
        Digits { digits, first }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[self.first..]
    }

    fn append_to(&self, form: &mut Vec<u8>) {
        match self.as_bytes() {
            [digit] => form.push(*digit),
            digits => form.extend_from_slice(digits),
        }
    }
}

/// A place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The id of the event.
    pub event: i64,
    pub hash: Hash,
}

impl Link {
    /// The link of an event that follows `previous`; `None`: it is the first.
    pub fn next(previous: Option<&Link>, event: &Event<'_>) -> Link {
        Link { event: event.id, hash: event.hash(previous.map_or(&BEGINNING, |link| &link.hash)) }
    }
}

/// A hash as 64 lower-case hexadecimal digits.
pub fn to_hex(hash: &[u8]) -> String {
    hash.iter().fold(String::with_capacity(2 * hash.len()), |mut hex, byte| {
        hex.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        hex
    })
}

/// A hash from 64 hexadecimal digits.
pub fn from_hex(hex: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if hex.len() != 2 * hash.len() || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests;
