//! The head of a history: its newest chained event. A head that is kept elsewhere shows whether the history was cut off or
//! rewritten.

use serde::{Deserialize, Serialize};

use super::{Hash, Link, from_hex, to_hex};

/// One line of JSON: `{"event":7,"hash":"…","at":"2027-01-31T00:00:00Z"}`, with `key` and `signature` if it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The id of the event.
    pub event: i64,
    /// Its hash.
    #[serde(with = "hex")]
    pub hash: Hash,
    /// When the head was taken.
    pub at: String,
    /// The public key that it was signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// A line that is not a head.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is no head of a history: {reason}")]
pub struct HeadError {
    /// From 1.
    pub line: usize,
    pub reason: String,
}

impl Head {
    pub fn link(&self) -> Link {
        Link { event: self.event, hash: self.hash }
    }

    /// Reads a file of heads, one per line. Ignores empty lines.
    pub fn read_all(text: &str) -> Result<Vec<Head>, HeadError> {
        (1..)
            .zip(text.lines())
            .filter(|(_, text)| !text.trim().is_empty())
            .map(|(line, text)| {
                serde_json::from_str(text).map_err(|error| HeadError { line, reason: error.to_string() })
            })
            .collect()
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{Hash, from_hex, to_hex};

    pub(super) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(hash))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Hash, D::Error> {
        let hex = std::borrow::Cow::<'d, str>::deserialize(deserializer)?;
        from_hex(&hex).ok_or_else(|| D::Error::custom("a hash has 64 hexadecimal digits"))
    }
}
