//! In whose name a command makes changes by hand.

use clap::Args;

use super::Failure;
use crate::seats::UserName;
use crate::store::sqlite::Author;

#[derive(Args)]
pub(super) struct AuthorArgs {
    /// Name under which the history records the changes; without it they are those of 'sql'.
    #[arg(long = "as", value_name = "NAME")]
    author: Option<String>,
    /// Why the changes are made; the history keeps it. Needs --as.
    #[arg(long, value_name = "TEXT", requires = "author")]
    reason: Option<String>,
}

impl AuthorArgs {
    /// A name by the rules for user names, and not one that means a change without a name.
    pub(super) fn read(&self) -> Result<Option<Author>, Failure> {
        let Some(name) = self.author.as_deref().map(UserName::from) else { return Ok(None) };
        match name.checked() {
            Ok(name) if !["sql", "cli"].iter().any(|taken| name.eq_ignore_ascii_case(taken)) => {
                Ok(Some(Author { name: name.to_owned(), reason: self.reason.clone() }))
            }
            _ => {
                Err("--as must be a name of 1 to 128 characters other than sql and cli, without control characters"
                    .into())
            }
        }
    }
}
