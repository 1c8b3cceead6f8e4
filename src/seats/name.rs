//! Names of users: how they compare, and which ones are valid.

use super::FieldFault;

/// Longest valid user name, in characters. The schema has the same number.
pub const NAME_CHARS_MAX: usize = 128;

/// A user name as it is stored and looked up: the [`normal_name`] of a caller's text. Stores compare it without regard to ASCII
/// case. It may be invalid: the rules call [`UserName::checked`] when its turn comes.
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

/// The name without blanks at its ends: `u` and `u ` are one user. Blanks are the characters that Unicode calls White_Space; the
/// control characters among them (tab, line feed) stay, and make a name invalid. The schema has the same blanks in its view
/// `blank`.
pub fn normal_name(name: &str) -> &str {
    name.trim_matches(|c: char| c.is_whitespace() && !c.is_control())
}

/// Whether a text contains U+FFFD, which replaces bytes that are invalid in the message's charset. Two names may differ in just
/// those bytes, so such a value is refused.
pub fn is_undecoded(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}
