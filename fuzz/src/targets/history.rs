//! The history: the canonical form of events, and the verifier of their chain.

use seatkeeper::chain::sign::{Key, PublicKey, verify_signatures};
use seatkeeper::chain::{Event, Head, Link, Verifier};

/// Every event has a form of its own: read back as `docs/history.md` describes it, it is the same event.
pub fn canonical(data: &[u8]) {
    let mut input = Input(data);
    let event = input.event(1);
    let form = event.canonical();
    assert_eq!(read(&form), Some(values(&event)), "{}", String::from_utf8_lossy(&form));
}

/// A chain that was built is verified, and one in which a single byte was changed is not. Files of heads and keys are read besides.
pub fn chain(data: &[u8]) {
    let mut input = Input(data);
    let (place, bit) = (input.byte(), input.byte() % 8);
    let events: Vec<Event<'_>> = (1..=8).map(|id| input.event(id)).collect();
    let mut links: Vec<Link> = Vec::new();
    for event in &events {
        links.push(Link::next(links.last(), event));
    }
    let verified = verify(&events, &links, &[]).expect("unbroken");
    assert_eq!(verified, links.last().copied());
    // A bit of a hash.
    let at = usize::from(place) % links.len();
    let mut broken = links.clone();
    broken[at].hash[usize::from(place) % 32] ^= 1 << bit;
    verify(&events, &broken, &[]).expect_err("another hash");
    // An event that is not there.
    let without = |at: usize| {
        let (mut events, mut links) = (events.clone(), links.clone());
        events.remove(at);
        links.remove(at);
        (events, links)
    };
    let head =
        Head { event: 8, hash: links[7].hash, at: "2027-01-31T00:00:00Z".to_owned(), key: None, signature: None };
    let (fewer, their_links) = without(at);
    verify(&fewer, &their_links, &[head]).expect_err("an event was removed");

    let text = String::from_utf8_lossy(data);
    if let Ok(heads) = Head::read_all(&text) {
        let written: String = heads.iter().map(|head| format!("{head}\n")).collect();
        assert_eq!(Head::read_all(&written).expect("written by us"), heads);
        let _ = verify_signatures(&heads, None);
    }
    if let Ok(key) = PublicKey::parse(&text) {
        assert_eq!(PublicKey::parse(&key.to_string()), Ok(key));
    }
    if let Ok(key) = Key::from_pem(&text) {
        let head = key.sign(&links[7], "2027-01-31T00:00:00Z".to_owned());
        assert_eq!(verify_signatures(&[head], Some(&key.public())), Ok(Some(key.public())));
    }
}

/// The newest event that was verified.
fn verify(events: &[Event<'_>], links: &[Link], heads: &[Head]) -> Result<Option<Link>, String> {
    let mut verifier = Verifier::new(None, heads.to_vec()).map_err(|broken| broken.to_string())?;
    for (event, link) in events.iter().zip(links) {
        verifier.check(event, Some(&link.hash)).map_err(|broken| broken.to_string())?;
    }
    Ok(verifier.finish().map_err(|broken| broken.to_string())?.head)
}

/// Takes values from the bytes one after the other.
struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn text(&mut self) -> &'d [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text
    }

    fn optional(&mut self) -> Option<&'d [u8]> {
        (!self.byte().is_multiple_of(3)).then(|| self.text())
    }

    fn number(&mut self) -> Option<i64> {
        let mut bytes = [0; 8];
        (!self.byte().is_multiple_of(3)).then(|| {
            bytes.fill_with(|| self.byte());
            i64::from_le_bytes(bytes)
        })
    }

    fn event(&mut self, id: i64) -> Event<'d> {
        Event {
            id,
            at: self.text(),
            action: self.text(),
            actor: self.text(),
            request_id: self.optional(),
            reason: self.optional(),
            entity_id: self.number(),
            license_type: self.optional(),
            pool_id: self.number(),
            seat_no: self.number(),
            account_id: self.number(),
            username: self.optional(),
            old_values: self.optional(),
            new_values: self.optional(),
            previous_id: self.number(),
            pool_events: self.number(),
        }
    }
}

/// The columns in the order of the table, as text; `None`: null.
fn values(event: &Event<'_>) -> Vec<Option<Vec<u8>>> {
    let text = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
    let number = |number: Option<i64>| number.map(|number| number.to_string().into_bytes());
    vec![
        number(Some(event.id)),
        text(Some(event.at)),
        text(Some(event.action)),
        text(Some(event.actor)),
        text(event.request_id),
        text(event.reason),
        number(event.entity_id),
        text(event.license_type),
        number(event.pool_id),
        number(event.seat_no),
        number(event.account_id),
        text(event.username),
        text(event.old_values),
        text(event.new_values),
        number(event.previous_id),
        number(event.pool_events),
    ]
}

/// Reads a form back; `None`: it is no form.
fn read(form: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut rest = form.strip_prefix(b"E1")?;
    let mut values = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b"-") {
            values.push(None);
            rest = after;
            continue;
        }
        let colon = rest.iter().position(|byte| *byte == b':')?;
        let length: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
        let value = rest.get(colon + 1..colon + 1 + length)?;
        rest = rest.get(colon + 1 + length..)?.strip_prefix(b",")?;
        values.push(Some(value.to_vec()));
    }
    Some(values)
}
