//! The name under which a command makes changes.

use clap::Args;

use super::Unsuitable;
use crate::seats::UserName;
use crate::store::sqlite::Author;

#[derive(Args)]
pub(super) struct AuthorArgs {
    /// Name under which the history records the changes; default 'sql'.
    #[arg(long = "as", value_name = "NAME")]
    author: Option<String>,
    /// The reason for the changes, recorded in the history. Needs --as.
    #[arg(long, value_name = "TEXT", requires = "author")]
    reason: Option<String>,
}

impl AuthorArgs {
    pub(super) fn read(&self) -> Result<Option<Author>, Unsuitable> {
        let Some(name) = &self.author else { return Ok(None) };
        Ok(Some(Author { name: author_name(name)?, reason: self.reason.clone() }))
    }
}

/// Checks a name by the rules for user names. It must not be one that means a change without a name.
pub(super) fn author_name(name: &str) -> Result<String, Unsuitable> {
    match UserName::from(name).checked() {
        Ok(name) if !["sql", "cli"].iter().any(|taken| name.eq_ignore_ascii_case(taken)) => Ok(name.to_owned()),
        _ => Err(Unsuitable(
            "--as must be a name of 1 to 128 characters other than sql and cli, without control characters".to_owned(),
        )),
    }
}
