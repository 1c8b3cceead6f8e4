//! The query of a page: its filters and where its list goes on. Everything that a page shows is in its URL, so that it can be kept and
//! sent on.

use form_urlencoded::Serializer;

/// Names and values, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

/// Of one query or form; more are cut off.
const PAIRS_MAX: usize = 20_000;

impl Query {
    pub(super) fn parse(text: &[u8]) -> Query {
        Query(
            form_urlencoded::parse(text)
                .into_owned()
                .take(PAIRS_MAX)
                .map(|(name, value)| (name, lines(&value)))
                .collect(),
        )
    }

    pub(super) fn from_pairs(pairs: Vec<(String, String)>) -> Query {
        Query(pairs.into_iter().take(PAIRS_MAX).map(|(name, value)| (name, lines(&value))).collect())
    }

    /// The first value of this name, without blanks at its ends; `None`: there is none, or it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.trim())?;
        (!value.is_empty()).then_some(value)
    }

    /// The same; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The value as it was sent.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A number; `None`: there is none, or it is no number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// Whether a box of this name is ticked.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// With one value of this name; an empty value: with none.
    pub(super) fn with(&self, name: &str, value: impl ToString) -> Query {
        let mut pairs = self.without(&[name]).0;
        let value = value.to_string();
        if !value.is_empty() {
            pairs.push((name.to_owned(), value));
        }
        Query(pairs)
    }

    pub(super) fn without(&self, names: &[&str]) -> Query {
        Query(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
    }

    /// Without empty values, which a form sends for each of its fields.
    pub(super) fn filled(&self) -> Query {
        Query(self.0.iter().filter(|(_, value)| !value.trim().is_empty()).cloned().collect())
    }

    /// Behind an address: with a question mark, or empty.
    pub(super) fn url(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        format!("?{}", Serializer::new(String::new()).extend_pairs(&self.0).finish())
    }
}

/// Browsers send a line break as CR LF, whatever the text had.
fn lines(value: &str) -> String {
    if value.contains('\r') { value.replace("\r\n", "\n").replace('\r', "\n") } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_survive_the_way_through_a_url() {
        let query = Query::parse(b"name=%3Cb%3E%26+x&empty=&type=SqlBackup&n=7&n=8&line=a%0D%0Ab");
        assert_eq!(query.get("name"), Some("<b>& x"));
        assert_eq!(query.get("empty"), None);
        assert_eq!(query.number::<i64>("n"), Some(7));
        assert_eq!(query.all("n").collect::<Vec<_>>(), ["7", "8"]);
        assert_eq!(query.get("line"), Some("a\nb"));
        let url = query.filled().with("after", "5,x").url();
        assert_eq!(Query::parse(&url.as_bytes()[1..]), query.filled().with("after", "5,x"));
        assert_eq!(Query::default().url(), "");
        assert_eq!(query.with("name", "").get("name"), None);
    }
}
