use proptest::prelude::*;

use super::*;

/// The columns in the order of the form: a number or a text, or null.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Null,
    Number(i64),
    Text(Vec<u8>),
}

/// An event that owns its text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row(Vec<Value>);

const IS_NUMBER: [bool; 16] =
    [true, false, false, false, false, false, true, false, true, true, true, false, false, false, true, true];
/// Columns that are never null.
const REQUIRED: [usize; 4] = [0, 1, 2, 3];

impl Row {
    fn event(&self) -> Event<'_> {
        let text = |at: usize| match &self.0[at] {
            Value::Text(text) => Some(text.as_slice()),
            _ => None,
        };
        let number = |at: usize| match self.0[at] {
            Value::Number(number) => Some(number),
            _ => None,
        };
        Event {
            id: number(0).expect("an id"),
            at: text(1).expect("a time"),
            action: text(2).expect("an action"),
            actor: text(3).expect("an actor"),
            request_id: text(4),
            reason: text(5),
            entity_id: number(6),
            license_type: text(7),
            pool_id: number(8),
            seat_no: number(9),
            account_id: number(10),
            username: text(11),
            old_values: text(12),
            new_values: text(13),
            previous_id: number(14),
            pool_events: number(15),
        }
    }

    /// Reads the canonical form, as `docs/history.md` describes it.
    fn parse(form: &[u8]) -> Row {
        let mut rest = form.strip_prefix(b"E1").expect("an event");
        let mut values = Vec::new();
        for is_number in IS_NUMBER {
            if let Some(after) = rest.strip_prefix(b"-") {
                (rest, values) = (after, {
                    values.push(Value::Null);
                    values
                });
                continue;
            }
            let colon = rest.iter().position(|byte| *byte == b':').expect("a length");
            let length: usize = std::str::from_utf8(&rest[..colon]).expect("digits").parse().expect("a length");
            let (value, after) = rest[colon + 1..].split_at(length);
            rest = after.strip_prefix(b",").expect("the end of a value");
            values.push(match is_number {
                true => Value::Number(std::str::from_utf8(value).expect("digits").parse().expect("a number")),
                false => Value::Text(value.to_vec()),
            });
        }
        assert_eq!(rest, b"", "nothing follows");
        Row(values)
    }
}

fn row() -> impl Strategy<Value = Row> {
    // Includes text that looks like parts of the form.
    let text =
        || prop_oneof![proptest::collection::vec(any::<u8>(), 0..12), "[0-9:,E-]{0,12}".prop_map(String::into_bytes),];
    let value = move |at: usize, is_number: bool| -> BoxedStrategy<Value> {
        let value = match is_number {
            true => prop_oneof![any::<i64>(), -3..30_i64].prop_map(Value::Number).boxed(),
            false => text().prop_map(Value::Text).boxed(),
        };
        if REQUIRED.contains(&at) { value } else { prop_oneof![1 => Just(Value::Null), 2 => value].boxed() }
    };
    IS_NUMBER.into_iter().enumerate().map(|(at, is_number)| value(at, is_number)).collect::<Vec<_>>().prop_map(Row)
}

/// A history: rows with ascending ids and gaps, each with its hash.
fn history() -> impl Strategy<Value = Vec<(Row, Option<Vec<u8>>)>> {
    proptest::collection::vec((row(), 1..3_i64), 1..8).prop_map(|rows| {
        let (mut id, mut link) = (0, None);
        let chained = |(mut row, gap): (Row, i64)| {
            id += gap;
            row.0[0] = Value::Number(id);
            let next = Link::next(link.as_ref(), &row.event());
            link = Some(next);
            (row, Some(next.hash.to_vec()))
        };
        rows.into_iter().map(chained).collect()
    })
}

fn verify(history: &[(Row, Option<Vec<u8>>)], heads: &[Head]) -> Result<Verified, Break> {
    let mut verifier = Verifier::new(None, heads.to_vec())?;
    for (row, hash) in history {
        verifier.check(&row.event(), hash.as_deref())?;
    }
    verifier.finish()
}

fn id(row: &Row) -> i64 {
    row.event().id
}

fn head(history: &[(Row, Option<Vec<u8>>)], at: usize) -> Head {
    let (row, hash) = &history[at];
    let hash = hash.as_deref().and_then(|hash| hash.try_into().ok()).expect("chained");
    Head { event: id(row), hash, at: "2027-01-31T00:00:00Z".to_owned(), key: None, signature: None }
}

/// The same rows in another order, which a number determines.
fn shuffle<T>(rows: &mut [T], mut order: u64) {
    for last in (1..rows.len()).rev() {
        rows.swap(last, (order % (last as u64 + 1)) as usize);
        order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 1;
    }
}

/// Recomputes all hashes from this event on, like a forger who can write the whole file.
fn chain_again(history: &mut [(Row, Option<Vec<u8>>)]) {
    let mut link = None;
    for (row, hash) in history {
        let next = Link::next(link.as_ref(), &row.event());
        *hash = Some(next.hash.to_vec());
        link = Some(next);
    }
}

#[test]
fn the_form_is_what_the_page_says() {
    let event = Event {
        id: 7,
        at: b"2027-01-31T00:00:00.000Z",
        action: b"assign",
        actor: "Müller".as_bytes(),
        pool_id: Some(-1),
        username: Some(b""),
        ..Event::default()
    };
    let form = "E11:7,24:2027-01-31T00:00:00.000Z,6:assign,7:Müller,----2:-1,--0:,----";
    assert_eq!(String::from_utf8_lossy(&event.canonical()), form);
}

#[test]
fn numbers_are_written_in_decimal() {
    for (value, written) in [
        (0, "1:0,"),
        (-1, "2:-1,"),
        (9, "1:9,"),
        (10, "2:10,"),
        (-10, "3:-10,"),
        (1_000_000_000, "10:1000000000,"),
        (i64::MAX, "19:9223372036854775807,"),
        (i64::MIN, "20:-9223372036854775808,"),
    ] {
        let event = Event { pool_events: Some(value), ..Event::default() };
        let form = format!("E11:0,0:,0:,0:,{}{written}", "-".repeat(11));
        assert_eq!(String::from_utf8_lossy(&event.canonical()), form);
    }
}

/// The test vectors of `docs/history.md`.
#[test]
fn the_test_vectors_hold() {
    let page = include_str!("../../docs/history.md");
    let vectors = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the vectors");
    let mut link = None;
    let mut count = 0;
    for line in vectors.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).expect(line);
        let text = |name: &str| vector[name].as_str().map(str::as_bytes);
        let number = |name: &str| vector[name].as_i64();
        let event = Event {
            id: number("id").expect("an id"),
            at: text("at").expect("a time"),
            action: text("action").expect("an action"),
            actor: text("actor").expect("an actor"),
            request_id: text("request_id"),
            reason: text("reason"),
            entity_id: number("entity_id"),
            license_type: text("license_type"),
            pool_id: number("pool_id"),
            seat_no: number("seat_no"),
            account_id: number("account_id"),
            username: text("username"),
            old_values: text("old_values"),
            new_values: text("new_values"),
            previous_id: number("previous_id"),
            pool_events: number("pool_events"),
        };
        let form = String::from_utf8(event.canonical()).expect("UTF-8");
        assert!(event.id != 4 || page.contains(&form), "{form}");
        let next = Link::next(link.as_ref(), &event);
        assert_eq!(vector["hash"], to_hex(&next.hash), "{line}");
        (link, count) = (Some(next), count + 1);
    }
    assert_eq!(count, 5);
}

#[test]
fn hexadecimal_is_read_as_it_is_written() {
    let hash: Hash = std::array::from_fn(|at| (at * 37) as u8);
    assert_eq!(from_hex(&to_hex(&hash)), Some(hash));
    for bad in ["", "00", &"+1".repeat(32), &"é".repeat(32), &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
        assert_eq!(from_hex(bad), None, "{bad}");
    }
}

#[test]
fn heads_are_lines_of_json() {
    let hash = "ab".repeat(32);
    let line = format!(r#"{{"event":7,"hash":"{hash}","at":"2027-01-31T00:00:00Z"}}"#);
    let signed = line.replace('}', r#","key":"k","signature":"s"}"#);
    let heads = Head::read_all(&format!("{line}\n\n{signed}\r\n")).expect("two heads");
    assert_eq!(heads.iter().map(Head::to_string).collect::<Vec<_>>(), [line.clone(), signed]);
    for (bad, number) in [("x", 1), ("\n{}", 2), (&line.replace("ab", "xy") as &str, 1), (&format!("{line}\n[]"), 2)] {
        assert_eq!(Head::read_all(bad).expect_err(bad).line, number, "{bad}");
    }
}

#[test]
fn a_break_says_what_is_known() {
    let (at, expected) = (|| "2027-01-31T00:00:00Z".to_owned(), || "ab".repeat(32));
    for (fault, says) in [
        (Fault::HashDiffers { previous: Some(6) }, "event 7: its hash does not follow from event 6 and its own values"),
        (Fault::HashDiffers { previous: None }, "event 7: its hash does not follow from its own values"),
        (Fault::Rewritten { at: at(), expected: expected(), agreed: Some(5) }, "was rewritten after event 5"),
        (Fault::Rewritten { at: at(), expected: expected(), agreed: None }, "was rewritten at it or before it"),
        (Fault::Removed { at: at(), agreed: Some(5) }, "it was removed after event 5"),
        (Fault::CutOff { at: at(), last: Some(6) }, "the history ends at event 6"),
        (Fault::CutOff { at: at(), last: None }, "the history ends before the first event"),
    ] {
        let said = Break { event: 7, fault }.to_string();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_history_may_begin_after_an_event_in_another_file() {
    let link = |event: i64| Link { event, hash: [event as u8; 32] };
    let event = Event { id: 9, at: b"t", action: b"assign", actor: b"a", ..Event::default() };
    let hash = event.hash(&[7; 32]);
    let heads = |heads: &[Link]| -> Vec<Head> {
        let head =
            |link: &Link| Head { event: link.event, hash: link.hash, at: "t".into(), key: None, signature: None };
        heads.iter().map(head).collect()
    };
    let verify = |start, kept: &[Link]| {
        let mut verifier = Verifier::new(Some(start), heads(kept))?;
        verifier.check(&event, Some(&hash))?;
        verifier.finish().map(|verified| verified.heads)
    };
    assert_eq!(
        verify(link(7), &[link(9), link(3)].map(|l| if l.event == 9 { Link { event: 9, hash } } else { l })),
        Ok(1)
    );
    assert_eq!(verify(link(7), &[link(7)]), Ok(1));
    assert_eq!(verify(link(6), &[]).expect_err("another start").event, 9);
    let other = Link { event: 7, hash: [0; 32] };
    assert!(matches!(verify(link(7), &[other]), Err(Break { event: 7, fault: Fault::Rewritten { .. } })));
    assert!(matches!(verify(link(7), &[link(8)]), Err(Break { event: 8, fault: Fault::Removed { agreed: None, .. } })));
    assert!(matches!(verify(link(9), &[]), Err(Break { event: 9, fault: Fault::OutOfOrder { after: 9 } })));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// So no two events have the same form.
    #[test]
    fn the_form_says_everything(row in row()) {
        prop_assert_eq!(Row::parse(&row.event().canonical()), row);
    }

    #[test]
    fn what_is_chained_is_verified(history in history(), unchained in 0..3_usize) {
        let mut history = history;
        let chained = history.len().saturating_sub(unchained);
        history[chained..].iter_mut().for_each(|(_, hash)| *hash = None);
        let heads: Vec<Head> = (0..chained).map(|at| head(&history, at)).collect();
        let verified = verify(&history, &heads);
        let head = heads.last().map(Head::link);
        let (events, unchained_events) = (history.len() as u64, (history.len() - chained) as u64);
        prop_assert_eq!(verified, Ok(Verified { events, head, unchained_events, heads: chained as u64 }));
    }

    /// Any one byte of any column, and the hash itself.
    #[test]
    fn every_change_of_an_event_is_found(history in history(), which in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let changed = which.index(history.len());
        let (row, hash) = &history[changed];
        let mut others: Vec<(Row, Option<Vec<u8>>)> = Vec::new();
        for (column, value) in row.0.iter().enumerate() {
            match value {
                Value::Null => {
                    for value in [Value::Number(0), Value::Text(Vec::new())] {
                        let fits = matches!(value, Value::Number(_)) == IS_NUMBER[column];
                        others.extend(fits.then(|| { let mut row = row.clone(); row.0[column] = value; (row, hash.clone()) }));
                    }
                }
                Value::Number(number) => (0..8).for_each(|byte| {
                    let mut row = row.clone();
                    row.0[column] = Value::Number(number ^ (1 << (8 * byte + u32::from(bit))));
                    others.push((row, hash.clone()));
                }),
                Value::Text(text) => (0..=text.len()).for_each(|at| {
                    let mut text = text.clone();
                    match text.get_mut(at) {
                        Some(byte) => *byte ^= 1 << bit,
                        None => text.push(b'x'),
                    }
                    let mut row = row.clone();
                    row.0[column] = Value::Text(text);
                    others.push((row, hash.clone()));
                }),
            }
            if *value != Value::Null && !REQUIRED.contains(&column) {
                let mut row = row.clone();
                row.0[column] = Value::Null;
                others.push((row, hash.clone()));
            }
        }
        let hash = hash.as_deref().expect("chained");
        for at in 0..hash.len() {
            let mut hash = hash.to_vec();
            hash[at] ^= 1 << bit;
            others.push((row.clone(), Some(hash)));
        }
        others.push((row.clone(), Some(hash[1..].to_vec())));
        for other in others {
            let mut forged = history.clone();
            forged[changed] = other;
            let broken = verify(&forged, &[]).expect_err("a change");
            // An id out of order is found there.
            let is_of_id = id(&forged[changed].0) != id(row);
            let named = broken.event == id(&forged[changed].0);
            prop_assert!(named || is_of_id && forged.get(changed + 1).is_some_and(|(next, _)| broken.event == id(next)), "{broken}");
        }
    }

    /// If places give the order, ids may be in any order. Such a verifier finds everything that a verifier of ids finds by the
    /// hashes.
    #[test]
    fn a_history_in_the_order_of_places_is_held_to_that_order(
        rows in history(), order in any::<u64>(), unchained in 0..3_usize, which in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let mut history = rows;
        shuffle(&mut history, order);
        chain_again(&mut history);
        let chained = history.len().saturating_sub(unchained);
        let heads: Vec<Head> = (0..chained).map(|at| head(&history, at)).collect();
        history[chained..].iter_mut().for_each(|(_, hash)| *hash = None);
        let verify = |history: &[(Row, Option<Vec<u8>>)], heads: &[Head]| {
            let mut verifier = Verifier::of_places(heads.to_vec());
            for (row, hash) in history {
                verifier.check(&row.event(), hash.as_deref())?;
            }
            verifier.finish()
        };
        let verified = verify(&history, &heads);
        let (events, unchained_events) = (history.len() as u64, (history.len() - chained) as u64);
        let newest = heads.last().map(Head::link);
        prop_assert_eq!(verified, Ok(Verified { events, head: newest, unchained_events, heads: chained as u64 }));
        if chained == 0 {
            return Ok(());
        }

        let at = which.index(chained);
        let mut changed = history.clone();
        changed[at].1.as_mut().expect("chained")[usize::from(bit)] ^= 1 << bit;
        prop_assert_eq!(verify(&changed, &[]).expect_err("changed").event, id(&changed[at].0));

        let mut removed = history[..chained].to_vec();
        let (gone, _) = removed.remove(at);
        let broken = verify(&removed, &heads).expect_err("removed");
        match removed.get(at) {
            Some((next, _)) => prop_assert_eq!(broken.event, id(next)),
            None => prop_assert_eq!(broken.event, id(&gone)),
        }
        // Chained again: the head of the removed event is not found, or the hashes after it differ.
        chain_again(&mut removed);
        prop_assert!(verify(&removed, &[]).is_ok());
        prop_assert!(verify(&removed, &heads).is_err());
        prop_assert_eq!(verify(&removed, &heads[at..=at]).expect_err("removed").event, id(&gone));

        if at + 1 < chained {
            let mut swapped = history.clone();
            swapped.swap(at, at + 1);
            prop_assert_eq!(verify(&swapped, &[]).expect_err("swapped").event, id(&swapped[at].0));
            let mut not_chained = history.clone();
            not_chained[at].1 = None;
            let fault = Fault::NotChained { next: id(&history[at + 1].0) };
            prop_assert_eq!(verify(&not_chained, &[]).expect_err("not chained"), Break { event: id(&history[at].0), fault });
        }
    }

    #[test]
    fn what_is_removed_added_swapped_or_not_chained_is_found(
        history in history(), which in any::<prop::sample::Index>(), other in row(), keep_hash in any::<bool>(),
    ) {
        let at = which.index(history.len());
        let mut removed = history.clone();
        let (gone, _) = removed.remove(at);
        match removed.get(at) {
            Some((next, _)) => prop_assert_eq!(verify(&removed, &[]).expect_err("a gap").event, id(next)),
            None => {
                // The end is missing: only a head reveals it, not the chain alone.
                prop_assert!(verify(&removed, &[]).is_ok());
                let broken = verify(&removed, &[head(&history, at)]).expect_err("cut off");
                prop_assert!(matches!(&broken.fault, Fault::CutOff { .. }) && broken.event == id(&gone), "{}", broken);
            }
        }

        let mut added = history.clone();
        let mut row = other;
        row.0[0] = Value::Number(id(&history[at].0));
        added[at..].iter_mut().for_each(|(row, _)| row.0[0] = Value::Number(id(row) + 1));
        let hash = Link::next(at.checked_sub(1).map(|at| head(&history, at).link()).as_ref(), &row.event()).hash;
        added.insert(at, (row, keep_hash.then(|| hash.to_vec())));
        prop_assert!(verify(&added, &[]).is_err());

        if at + 1 < history.len() {
            let mut swapped = history.clone();
            let (first, second) = (id(&swapped[at].0), id(&swapped[at + 1].0));
            swapped.swap(at, at + 1);
            let broken = verify(&swapped, &[]).expect_err("out of order");
            prop_assert!([first, second].contains(&broken.event));
            // Including their ids.
            swapped[at].0.0[0] = Value::Number(first);
            swapped[at + 1].0.0[0] = Value::Number(second);
            if swapped[at].0 != history[at].0 {
                prop_assert_eq!(verify(&swapped, &[]).expect_err("swapped").event, first);
            }
            let mut unchained = history.clone();
            unchained[at].1 = None;
            let broken = verify(&unchained, &[]).expect_err("not chained");
            prop_assert_eq!(broken, Break { event: first, fault: Fault::NotChained { next: second } });
        }
    }

    /// A forger recomputes all hashes: then only a head that is kept elsewhere reveals it.
    #[test]
    fn a_history_chained_again_differs_from_a_head(history in history(), which in any::<prop::sample::Index>()) {
        let at = which.index(history.len());
        let heads: Vec<Head> = (0..history.len()).map(|at| head(&history, at)).collect();
        let mut forged = history.clone();
        forged[at].0.0[2] = Value::Text(b"another action".to_vec());
        chain_again(&mut forged);
        prop_assert!(verify(&forged, &[]).is_ok());
        let broken = verify(&forged, &heads).expect_err("rewritten");
        let agreed = at.checked_sub(1).map(|at| id(&history[at].0));
        prop_assert_eq!(broken.event, id(&history[at].0));
        let is_found = matches!(broken.fault, Fault::Rewritten { agreed: found, .. } if found == agreed);
        prop_assert!(is_found, "{}", broken);

        let mut removed = history.clone();
        removed.remove(at);
        chain_again(&mut removed);
        let broken = verify(&removed, &heads).expect_err("removed");
        prop_assert_eq!(broken.event, id(&history[at].0));
    }
}
