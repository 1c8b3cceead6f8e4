//! Names of users: how they compare, and which are valid.

use super::FieldFault;

/// Longest user name that is taken, in characters. The schema holds the same number.
pub const NAME_CHARS_MAX: usize = 128;

/// A user name as it is stored and looked up: [`normal_name`] of what a caller sent. Stores compare it without regard to
/// ASCII case. It need not be valid: the rules call [`UserName::checked`] when it is its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, if it is valid.
    pub fn checked(&self) -> Result<&str, FieldFault> {
        let name = self.as_str();
        if name.trim().is_empty() {
            Err(FieldFault::Empty)
        } else if name.chars().count() > NAME_CHARS_MAX {
            Err(FieldFault::TooLong)
        } else if is_undecoded(name) {
            Err(FieldFault::Undecoded)
        } else if name.chars().any(char::is_control) {
            Err(FieldFault::ControlCharacter)
        } else if name.contains(['\u{FFFE}', '\u{FFFF}']) {
            Err(FieldFault::Noncharacter)
        } else {
            Ok(name)
        }
    }
}

impl From<&str> for UserName {
    fn from(sent: &str) -> UserName {
        UserName(normal_name(sent).to_owned())
    }
}

impl From<String> for UserName {
    fn from(sent: String) -> UserName {
        if normal_name(&sent).len() == sent.len() { UserName(sent) } else { UserName::from(sent.as_str()) }
    }
}

/// The name without the blanks at its ends, which do not count: `u` and `u ` are one user. Blanks are the characters that
/// Unicode calls White_Space; the control characters among them (tab, line feed) stay, and no name can have them. The
/// schema has the same blanks in its view `blank`.
pub fn normal_name(name: &str) -> &str {
    name.trim_matches(|c: char| c.is_whitespace() && !c.is_control())
}

/// Whether a text holds U+FFFD, which stands for bytes that are not valid in the charset they were sent in. Two names may
/// differ in just those bytes, so such a value is refused.
pub fn is_undecoded(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}
