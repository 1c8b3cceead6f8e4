//! A digest of what a change does, so that a confirmation can say which change it means.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::chain::{from_hex, to_hex};
use crate::store::history::Event;

/// SHA-256 over the events of a change: what each is about, with old and new values. When they happen, in which call, and the ids of
/// events do not count. Ids that the database chose for new rows count as "the first new account" and so on, since the next try may get
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(events: &[Event]) -> Digest {
        let mut hasher = Hasher { sha: Sha256::new(), new: HashMap::new() };
        for event in events {
            hasher.add(event);
        }
        Digest(hasher.sha.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

/// As [`fmt::Display`] writes it.
impl FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Digest, &'static str> {
        from_hex(text).map(Digest).ok_or("a digest has 64 hexadecimal digits")
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Entity,
    Account,
    Pool,
}

struct Hasher {
    sha: Sha256,
    /// Rows that the change made, and the how manyth of their kind each is.
    new: HashMap<(Kind, i64), usize>,
}

impl Hasher {
    fn add(&mut self, event: &Event) {
        let made = match event.action.as_str() {
            "entity-create" => event.entity_id.map(|id| (Kind::Entity, id)),
            "account-create" => event.account_id.map(|id| (Kind::Account, id)),
            "pool-create" => event.pool_id.map(|id| (Kind::Pool, id)),
            _ => None,
        };
        if let Some(made) = made {
            let number = self.new.keys().filter(|(kind, _)| *kind == made.0).count() + 1;
            self.new.entry(made).or_insert(number);
        }
        self.part(Some(&event.action));
        self.id(Kind::Entity, event.entity_id);
        self.part(event.license_type.as_deref());
        self.id(Kind::Pool, event.pool_id);
        self.part(event.seat_no.map(|number| number.to_string()).as_deref());
        self.id(Kind::Account, event.account_id);
        self.part(event.username.as_deref());
        self.values(event.old_values.as_deref());
        self.values(event.new_values.as_deref());
    }

    fn part(&mut self, text: Option<&str>) {
        match text {
            None => self.sha.update([0]),
            Some(text) => {
                self.sha.update([1]);
                self.sha.update(text.len().to_be_bytes());
                self.sha.update(text);
            }
        }
    }

    fn id(&mut self, kind: Kind, id: Option<i64>) {
        let text = id.map(|id| self.named(kind, id));
        self.part(text.as_deref());
    }

    fn named(&self, kind: Kind, id: i64) -> String {
        self.new.get(&(kind, id)).map_or_else(|| id.to_string(), |number| format!("new {number}"))
    }

    /// A JSON object; ids in it count as they do outside.
    fn values(&mut self, json: Option<&str>) {
        let read = json.map(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>);
        let Some(Ok(members)) = read else { return self.part(json) };
        for (name, value) in &members {
            let kind = match name.as_str() {
                "entity_id" | "parent_id" => Some(Kind::Entity),
                "account_id" => Some(Kind::Account),
                _ => None,
            };
            let id = kind.zip(value.as_i64());
            let text = id.map_or_else(|| value.to_string(), |(kind, id)| self.named(kind, id));
            self.part(Some(name));
            self.part(Some(&text));
        }
        self.part(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(account_id: i64, username: &str) -> Event {
        Event {
            action: "account-create".to_owned(),
            account_id: Some(account_id),
            entity_id: Some(42),
            username: Some(username.to_owned()),
            new_values: Some(format!(r#"{{"username":"{username}","entity_id":42,"active":1}}"#)),
            ..Event::default()
        }
    }

    fn assign(account_id: i64, seat_no: i64) -> Event {
        let (pool_id, account_id, seat_no) = (Some(1), Some(account_id), Some(seat_no));
        Event { action: "assign".to_owned(), pool_id, seat_no, account_id, ..Event::default() }
    }

    #[test]
    fn only_what_is_changed_counts() {
        let one = Digest::of(&[create(7, "anna"), assign(7, 1)]);
        let later = Event { id: 99, at: "later".to_owned(), request_id: Some("other".to_owned()), ..create(8, "anna") };
        assert_eq!(Digest::of(&[later, assign(8, 1)]), one, "a new row with another id");
        for other in [
            vec![create(7, "anna")],
            vec![create(7, "bert"), assign(7, 1)],
            vec![create(7, "anna"), assign(8, 1)],
            vec![create(7, "anna"), assign(7, 2)],
            vec![assign(7, 1), create(7, "anna")],
        ] {
            assert_ne!(Digest::of(&other), one, "{other:?}");
        }
        assert_eq!(one.to_string().parse(), Ok(one));
        assert!("12".parse::<Digest>().is_err());
    }
}
