//! Pages of a list: found by the key of a row, never by counting rows, and read in bounded time.
//!
//! A filter that no index answers is tried on rows as they come. Of a list of millions that may match nothing for long, so a page ends
//! after [`SCANNED_MAX`] rows: it then has fewer rows than asked for, says so ([`Page::is_partial`]), and the next page goes on where it
//! ended.

use std::fmt;
use std::str::FromStr;

use super::{Dialect, Row, Sql, Stop, Value};

/// Rows of a page at most.
pub const ROWS_MAX: usize = 1_000;

/// Rows that are looked at for one page.
pub(super) const SCANNED_MAX: usize = 15_000;

/// Rows that are read together at most.
const CHUNK_MAX: usize = 2_000;

/// Ids that are looked up by one statement: its text has so many parameters.
pub(super) const IDS: usize = 64;

/// Where a row stands in its list. The text form goes into addresses; it means something only to the list that made it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Key {
    /// By what the list sorts first, as far as that is a text.
    pub text: String,
    /// By what the list sorts first, as far as that is a number.
    pub number: i64,
    /// The id of the row.
    pub id: i64,
}

impl Key {
    pub(super) fn of_id(id: i64) -> Key {
        Key { id, ..Key::default() }
    }

    pub(super) fn of_text(text: impl Into<String>) -> Key {
        Key { text: text.into(), ..Key::default() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.number, self.id, self.text)
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Key, String> {
        let mut parts = text.splitn(3, '.');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or("this is not the place of a row");
        let (number, id) = (number()?, number()?);
        Ok(Key { number, id, text: parts.next().unwrap_or_default().to_owned() })
    }
}

/// From where a page is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    #[default]
    First,
    /// The rows that follow this one.
    After(Key),
    /// The rows that come before this one, up to it.
    Before(Key),
}

impl Start {
    pub(super) fn is_back(&self) -> bool {
        matches!(self, Start::Before(_))
    }

    pub(super) fn key(&self) -> Option<&Key> {
        match self {
            Start::First => None,
            Start::After(key) | Start::Before(key) => Some(key),
        }
    }
}

/// The page that follows a key; without one the first.
impl From<Option<Key>> for Start {
    fn from(after: Option<Key>) -> Start {
        after.map_or(Start::First, Start::After)
    }
}

/// Some rows of a list, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<R> {
    pub rows: Vec<R>,
    /// The next page starts after this; `None`: there is none.
    pub next: Option<Key>,
    /// The previous page ends before this; `None`: there is none.
    pub previous: Option<Key>,
    /// There are fewer rows than were asked for because only so many were looked at: go on from `next` to look further.
    pub is_partial: bool,
}

impl<R> Default for Page<R> {
    fn default() -> Page<R> {
        Page { rows: Vec::new(), next: None, previous: None, is_partial: false }
    }
}

impl<R> Page<R> {
    pub(super) fn map<T>(self, to: impl FnMut(R) -> T) -> Page<T> {
        let Page { rows, next, previous, is_partial } = self;
        Page { rows: rows.into_iter().map(to).collect(), next, previous, is_partial }
    }
}

/// Some rows in the order of a list.
pub(super) struct Chunk<R> {
    pub rows: Vec<R>,
    /// Rows that were looked at for it.
    pub looked_at: usize,
    /// The last row that was looked at; `None`: there was none.
    pub last: Option<Key>,
}

/// Reads so many rows from a key on, backwards or not.
pub(super) type Reading<'r, T> = dyn FnMut(Option<&Key>, bool, usize) -> Result<T, Stop> + 'r;

/// Reads a page of a list that the database sorts.
///
/// `read`: so many rows from a key on, backwards or not, in that order. `keep`: those of them that belong on the page.
pub(super) fn scan<R>(
    start: &Start,
    limit: usize,
    read: &mut Reading<'_, Vec<R>>,
    key: &dyn Fn(&R) -> Key,
    keep: &mut dyn FnMut(Vec<R>) -> Result<Vec<R>, Stop>,
) -> Result<Page<R>, Stop> {
    let mut read = |from: Option<&Key>, back: bool, n: usize| {
        let rows = read(from, back, n)?;
        Ok(Chunk { looked_at: rows.len(), last: rows.last().map(key), rows })
    };
    scan_chunks(start, limit, (CHUNK_MAX, SCANNED_MAX), &mut read, key, keep)
}

/// The same for a list of which `read` itself leaves out rows. `most`: rows that are looked at together, and in all.
pub(super) fn scan_chunks<R>(
    start: &Start,
    limit: usize,
    most: (usize, usize),
    read: &mut Reading<'_, Chunk<R>>,
    key: &dyn Fn(&R) -> Key,
    keep: &mut dyn FnMut(Vec<R>) -> Result<Vec<R>, Stop>,
) -> Result<Page<R>, Stop> {
    let limit = limit.clamp(1, ROWS_MAX);
    let (chunk_max, scanned_max) = most;
    let back = start.is_back();
    let mut at = start.key().cloned();
    let mut rows: Vec<R> = Vec::new();
    let (mut looked_at, mut wanted, mut is_end) = (0, limit + 1, false);
    while rows.len() <= limit && looked_at < scanned_max && !is_end {
        let chunk = read(at.as_ref(), back, wanted)?;
        is_end = chunk.looked_at < wanted;
        looked_at += chunk.looked_at;
        at = chunk.last.or(at);
        rows.extend(keep(chunk.rows)?);
        wanted = (wanted * 2).min(chunk_max.max(limit + 1));
    }
    let is_cut = rows.len() > limit;
    rows.truncate(limit);
    // Where the next page goes on: after the last row that is shown, or where looking ended.
    let onwards = match (is_cut, is_end) {
        (true, _) => rows.last().map(key),
        (false, false) => at,
        (false, true) => None,
    };
    let is_partial = !is_cut && !is_end;
    if !back {
        let previous = start.key().map(|from| rows.first().map_or_else(|| from.clone(), key));
        return Ok(Page { rows, next: onwards, previous, is_partial });
    }
    rows.reverse();
    let next = rows.last().map(key).or_else(|| start.key().cloned());
    Ok(Page { rows, next, previous: onwards, is_partial })
}

/// Looks up rows by their ids, [`IDS`] at a time. In the text `$ids` stands for the list of parameters, which are numbered from
/// `values.len() + 1` on.
pub(super) fn by_ids(sql: &dyn Sql, text: &str, values: &[Value], ids: &[i64]) -> Result<Vec<Row>, Stop> {
    let values_of = |ids: &[i64]| ids.iter().map(|id| Value::Int(*id)).collect::<Vec<_>>();
    by_keys(sql, text, values, &values_of(ids))
}

/// The same with keys of any type.
pub(super) fn by_keys(sql: &dyn Sql, text: &str, values: &[Value], keys: &[Value]) -> Result<Vec<Row>, Stop> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let first = values.len() + 1;
    let places: Vec<String> = (first..first + IDS).map(|at| format!("${at}")).collect();
    let text = text.replace("$ids", &places.join(", "));
    let mut rows = Vec::new();
    for chunk in keys.chunks(IDS) {
        let mut all = values.to_vec();
        all.extend_from_slice(chunk);
        // One text for any number: the last id is repeated.
        let last = chunk[chunk.len() - 1].clone();
        all.resize(values.len() + IDS, last);
        rows.extend(sql.rows(&text, &all)?);
    }
    Ok(rows)
}

/// Names the index that SQLite is to use: without statistics its planner may choose another one. PostgreSQL chooses by itself.
pub(super) fn indexed_by(dialect: Dialect, index: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!(" INDEXED BY {index}"),
        Dialect::Postgres => String::new(),
    }
}

/// A number of rows as a parameter.
pub(super) fn count(rows: usize) -> Value {
    Value::Int(i64::try_from(rows).unwrap_or(i64::MAX))
}

/// A text of a filter without blanks around it; `None`: it is empty.
pub(super) fn wanted(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// A text as filters compare it: without regard to case.
pub(super) fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// Whether any of the texts has the part, without regard to case. `part` is [`folded`].
pub(super) fn has_part<'t>(part: &str, texts: impl IntoIterator<Item = Option<&'t str>>) -> bool {
    texts.into_iter().flatten().any(|text| folded(text).contains(part))
}

/// The range of names that begin with a text: from the first value on, and before the second. A name with NUL stands in no row, and
/// PostgreSQL would refuse the statement; nor does one with U+FFFD.
pub(super) fn names_from(start: &str) -> (String, String) {
    let start = start.to_ascii_lowercase().replace('\0', "\u{FFFD}");
    let end = format!("{start}\u{10FFFF}");
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows 1 to 30; those that the third number divides are kept.
    fn page(start: &Start, limit: usize, divisor: i64) -> Page<i64> {
        let mut read = |from: Option<&Key>, back: bool, n: usize| {
            let from = from.map(|key| key.id);
            let all: Vec<i64> = (1..=30).collect();
            let mut rows: Vec<i64> = match (from, back) {
                (None, _) => all,
                (Some(from), false) => all.into_iter().filter(|id| *id > from).collect(),
                (Some(from), true) => all.into_iter().filter(|id| *id < from).rev().collect(),
            };
            rows.truncate(n);
            Ok(rows)
        };
        let mut keep = |rows: Vec<i64>| Ok(rows.into_iter().filter(|id| id % divisor == 0).collect());
        scan(start, limit, &mut read, &|id| Key::of_id(*id), &mut keep).expect("a page")
    }

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        for divisor in [1, 3, 7, 31] {
            let all: Vec<i64> = (1..=30).filter(|id| id % divisor == 0).collect();
            for limit in 1..=11 {
                let (mut start, mut seen) = (Start::First, Vec::new());
                let mut starts = Vec::new();
                loop {
                    let page = page(&start, limit, divisor);
                    assert!(page.rows.len() <= limit);
                    assert_eq!(page.previous.is_some(), start != Start::First);
                    seen.extend(page.rows.clone());
                    starts.push(page.rows);
                    match page.next {
                        Some(key) => start = Start::After(key),
                        None => break,
                    }
                }
                assert_eq!(seen, all, "{divisor}, {limit}");
                // And back.
                let (mut start, mut seen) = (Start::Before(Key::of_id(31)), Vec::<i64>::new());
                loop {
                    let page = page(&start, limit, divisor);
                    seen.extend(page.rows.iter().rev());
                    match page.previous {
                        Some(key) => start = Start::Before(key),
                        None => break,
                    }
                }
                seen.reverse();
                assert_eq!(seen, all, "back, {divisor}, {limit}");
            }
        }
    }

    #[test]
    fn a_page_that_finds_nothing_for_long_ends_and_goes_on() {
        let mut read = |from: Option<&Key>, _: bool, n: usize| {
            let from = from.map_or(0, |key| key.id);
            Ok((from + 1..=from + i64::try_from(n).expect("few")).collect())
        };
        let page = scan(&Start::First, 50, &mut read, &|id| Key::of_id(*id), &mut |_| Ok(Vec::<i64>::new()));
        let page = page.expect("a page");
        assert!(page.is_partial && page.rows.is_empty());
        let looked_at = usize::try_from(page.next.expect("more").id).expect("positive");
        assert!((SCANNED_MAX..SCANNED_MAX + CHUNK_MAX).contains(&looked_at), "{looked_at}");
    }

    #[test]
    fn keys_go_through_text() {
        for key in
            [Key::of_id(7), Key::of_text("a.b % \u{202e}"), Key { text: String::new(), number: -3, id: i64::MAX }]
        {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for wrong in ["", "1", "1.x", "a.b.c", "99999999999999999999.1.a"] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }
}
