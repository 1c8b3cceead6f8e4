//! Passwords for a command: typed twice, read from standard input, or generated.

use std::io::{IsTerminal as _, Read as _, Write as _};

use clap::Args;
use zeroize::Zeroizing;

use super::{CannotRun, Failure};
use crate::auth;

/// The source of a new password.
#[derive(Args)]
pub(super) struct PasswordArgs {
    /// Generate a random password and show it once. Without this the password is read from standard input, or typed twice.
    #[arg(long)]
    generate: bool,
}

/// The hash of a new password.
pub(super) struct NewPassword {
    pub(super) hash: String,
    /// The generated password, which must be shown.
    pub(super) made: Option<Made>,
}

pub(super) struct Made(Zeroizing<String>);

impl PasswordArgs {
    pub(super) fn read(&self) -> Result<NewPassword, Failure> {
        let password = if self.generate { make()? } else { read()? };
        let hash = hash_new(&password)?;
        Ok(NewPassword { hash, made: self.generate.then_some(Made(password)) })
    }
}

impl Made {
    /// On standard error, if standard output has no reader.
    pub(super) fn show(&self) -> Result<(), Failure> {
        let shown = writeln!(std::io::stdout(), "password, shown only now: {}", *self.0);
        shown.or_else(|_| writeln!(std::io::stderr(), "password, shown only now: {}", *self.0))?;
        Ok(())
    }
}

/// The hash of a new password.
pub(super) fn hash_new(password: &str) -> Result<String, Failure> {
    Ok(auth::hash_new_password(password)?)
}

/// Reads a password: from a pipe, or typed twice.
pub(super) fn read() -> Result<Zeroizing<String>, Failure> {
    if std::io::stdin().is_terminal() {
        let password = Zeroizing::new(rpassword::prompt_password("Password: ")?);
        if *password != rpassword::prompt_password("Again: ")? {
            return Err("the two passwords differ".into());
        }
        // What the terminal sends for a character of another charset is read as this one: the password would be another than the typed one.
        if password.contains(char::REPLACEMENT_CHARACTER) {
            return Err(
                "the password has a character that is not UTF-8: set the terminal to UTF-8, or use a pipe".into()
            );
        }
        return Ok(password);
    }
    let mut password = Zeroizing::new(String::new());
    std::io::stdin().take(auth::PASSWORD_BYTES_MAX as u64 + 3).read_to_string(&mut password)?;
    // The line feed of `echo` is not part of the password.
    let typed = password.strip_suffix('\n').map(|p| p.strip_suffix('\r').unwrap_or(p)).unwrap_or(&password);
    Ok(Zeroizing::new(typed.to_owned()))
}

/// Length of a generated password, in characters: more than 119 bits.
const MADE_CHARS: usize = 20;

/// No character that looks like another one.
const ALPHABET: &[u8; 64] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789-_.+*%=";

/// A random password.
fn make() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new([0; MADE_CHARS]);
    getrandom::fill(&mut *bytes).map_err(|e| CannotRun(format!("there is no randomness: {e}")))?;
    let chars = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    Ok(Zeroizing::new(chars.collect()))
}
