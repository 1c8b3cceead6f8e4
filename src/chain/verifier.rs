//! Verifying a chain, one event at a time in the order of the history: memory does not grow with the history.

use std::collections::BTreeMap;

use super::{Event, Head, Link, to_hex};

/// The order of the events of a history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Ascending ids.
    #[default]
    Ids,
    /// The places that are recorded beside the events; an id only identifies its event. The caller must verify that no event has
    /// two places, because that needs a database, or memory that grows with the history.
    Places,
}

/// Verifies the events of a history in turn. It cannot be used after the first fault.
#[derive(Debug, Default)]
pub struct Verifier {
    order: Order,
    /// The newest chained event.
    last: Option<Link>,
    /// The newest event.
    last_id: Option<i64>,
    /// The largest id.
    largest_id: Option<i64>,
    events: u64,
    /// The first unchained event: allowed only at the end.
    unchained: Option<i64>,
    unchained_events: u64,
    /// Heads that are not yet compared, by their events.
    heads: BTreeMap<i64, Vec<Head>>,
    heads_found: u64,
    /// The newest event that matches a head.
    agreed: Option<i64>,
}

/// The first bad event of a history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event}: {fault}")]
pub struct Break {
    pub event: i64,
    pub fault: Fault,
}

/// A fault of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{}", hash_differs(*previous))]
    HashDiffers { previous: Option<i64> },
    #[error("it is not chained, but event {next} after it is")]
    NotChained { next: i64 },
    #[error("its hash does not have 32 bytes")]
    NoHash,
    #[error("it comes after event {after}, so the events are not in the order of their ids")]
    OutOfOrder { after: i64 },
    #[error("its {0} is not what the schema allows there")]
    Malformed(&'static str),
    #[error(
        "the head kept elsewhere (of {at}) has the hash {expected} for it: the history was rewritten {}",
        since(*agreed)
    )]
    Rewritten { at: String, expected: String, agreed: Option<i64> },
    #[error("the head kept elsewhere (of {at}) names it, but it is not in the history: it was removed {}", since(*agreed))]
    Removed { at: String, agreed: Option<i64> },
    #[error(
        "the head kept elsewhere (of {at}) names it, but the history ends {}: it was cut off, or an older file took its place",
        last.map_or("before the first event".to_owned(), |id| format!("at event {id}"))
    )]
    CutOff { at: String, last: Option<i64> },
}

fn hash_differs(previous: Option<i64>) -> String {
    match previous {
        Some(id) => format!(
            "its hash does not follow from event {id} and its own values: it was changed, or an event between the two was removed or added"
        ),
        None => {
            "its hash does not follow from its own values: it was changed, or an event before it was removed or added"
                .to_owned()
        }
    }
}

fn since(agreed: Option<i64>) -> String {
    agreed.map_or("at it or before it".to_owned(), |id| format!("after event {id}"))
}

/// The result for a history without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub events: u64,
    /// The newest chained event.
    pub head: Option<Link>,
    /// Events at the end that are not yet chained.
    pub unchained_events: u64,
    /// The number of heads that are in this history.
    pub heads: u64,
}

impl Verifier {
    /// `start`: the event before the first one, if another file has older events. `heads`: in any order; those of events before
    /// `start` are not compared.
    pub fn new(start: Option<Link>, heads: Vec<Head>) -> Result<Verifier, Break> {
        let mut verifier = Verifier { last: start, last_id: start.map(|link| link.event), ..Verifier::default() };
        verifier.add_heads(heads);
        if let Some(start) = start {
            verifier.heads = verifier.heads.split_off(&start.event);
            verifier.compare_with_heads(start.event, Some(&start.hash))?;
        }
        Ok(verifier)
    }

    /// For a history in the order of places, from the first event on.
    pub fn of_places(heads: Vec<Head>) -> Verifier {
        let mut verifier = Verifier { order: Order::Places, ..Verifier::default() };
        verifier.add_heads(heads);
        verifier
    }

    fn add_heads(&mut self, heads: Vec<Head>) {
        for head in heads {
            self.heads.entry(head.event).or_default().push(head);
        }
    }

    /// Verifies the next event and its stored hash.
    pub fn check(&mut self, event: &Event<'_>, hash: Option<&[u8]>) -> Result<(), Break> {
        let id = event.id;
        let broken = |event, fault| Err(Break { event, fault });
        if let Some(after) = self.last_id.filter(|last| self.order == Order::Ids && *last >= id) {
            return broken(id, Fault::OutOfOrder { after });
        }
        match (hash, self.unchained) {
            (None, _) => {
                self.unchained.get_or_insert(id);
                self.unchained_events += 1;
            }
            (Some(_), Some(unchained)) => return broken(unchained, Fault::NotChained { next: id }),
            (Some(hash), None) => {
                let link = Link::next(self.last.as_ref(), event);
                if hash.len() != link.hash.len() {
                    return broken(id, Fault::NoHash);
                }
                if hash != link.hash {
                    return broken(id, Fault::HashDiffers { previous: self.last.map(|link| link.event) });
                }
                self.last = Some(link);
            }
        }
        self.compare_with_heads(id, hash)?;
        self.last_id = Some(id);
        self.largest_id = self.largest_id.max(Some(id));
        self.events += 1;
        Ok(())
    }

    /// Compares the heads of this event. If ids ascend, heads of earlier events can no longer be found.
    fn compare_with_heads(&mut self, id: i64, hash: Option<&[u8]>) -> Result<(), Break> {
        let agreed = self.agreed;
        if self.order == Order::Ids
            && let Some((event, heads)) = self.heads.range(..id).next()
        {
            return Err(removed(*event, heads, agreed));
        }
        for Head { event, hash: expected, at, .. } in self.heads.remove(&id).unwrap_or_default() {
            if hash != Some(&expected) {
                return Err(Break { event, fault: Fault::Rewritten { at, expected: to_hex(&expected), agreed } });
            }
            self.agreed = Some(event);
            self.heads_found += 1;
        }
        Ok(())
    }

    /// After the last event.
    pub fn finish(self) -> Result<Verified, Break> {
        match self.heads.first_key_value() {
            // If ids do not ascend, an id below the largest means that its event was removed, not the end of the history.
            Some((event, heads)) if self.order == Order::Places && self.largest_id > Some(*event) => {
                Err(removed(*event, heads, self.agreed))
            }
            Some((event, heads)) => {
                let at = when_taken(heads);
                Err(Break { event: *event, fault: Fault::CutOff { at, last: self.last_id } })
            }
            None => Ok(Verified {
                events: self.events,
                head: self.last,
                unchained_events: self.unchained_events,
                heads: self.heads_found,
            }),
        }
    }
}

fn removed(event: i64, heads: &[Head], agreed: Option<i64>) -> Break {
    Break { event, fault: Fault::Removed { at: when_taken(heads), agreed } }
}

fn when_taken(heads: &[Head]) -> String {
    heads.first().map(|head| head.at.clone()).unwrap_or_default()
}
