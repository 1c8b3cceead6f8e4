//! The place of a store: a file, or a PostgreSQL server.

mod masked;
mod pass_file;

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

pub use masked::masked;

/// The place of a store. Parsing it never fails: an invalid address is reported when it is used, because an error here would show
/// the text with its password.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "String")]
pub enum Database {
    /// An SQLite file.
    File(PathBuf),
    /// A PostgreSQL server, or several of one cluster.
    Server(Address),
}

impl FromStr for Database {
    type Err = Infallible;

    /// A text that begins with `postgres://` or `postgresql://`, in any case, is a server; everything else is a file.
    fn from_str(text: &str) -> Result<Database, Infallible> {
        Ok(match Address::from_url(text) {
            Some(address) => Database::Server(address),
            None => Database::File(text.into()),
        })
    }
}

impl From<&str> for Database {
    fn from(text: &str) -> Database {
        let Ok(database) = text.parse();
        database
    }
}

impl From<String> for Database {
    fn from(text: String) -> Database {
        Database::from(text.as_str())
    }
}

/// For path arguments, which may also be addresses.
impl From<&Path> for Database {
    fn from(path: &Path) -> Database {
        path.to_str().map_or_else(|| Database::File(path.to_owned()), Database::from)
    }
}

impl From<PathBuf> for Database {
    fn from(path: PathBuf) -> Database {
        Database::from(path.as_path())
    }
}

impl From<&PathBuf> for Database {
    fn from(path: &PathBuf) -> Database {
        Database::from(path.as_path())
    }
}

/// Without a password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::File(file) => file.display().fmt(f),
            Database::Server(address) => address.fmt(f),
        }
    }
}

/// A PostgreSQL server: an address as libpq reads it (<https://www.postgresql.org/docs/current/libpq-connect.html>, "Connection
/// URIs"), such as `postgres://seatkeeper@db1,db2/seatkeeper?target_session_attrs=read-write`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: Zeroizing<String>,
}

impl Address {
    fn from_url(text: &str) -> Option<Address> {
        let (scheme, _) = text.split_once("://")?;
        let is_ours = ["postgres", "postgresql"].iter().any(|ours| scheme.eq_ignore_ascii_case(ours));
        // Drivers accept only lower-case schemes.
        is_ours.then(|| Address { url: (scheme.to_ascii_lowercase() + &text[scheme.len()..]).into() })
    }

    /// The whole address, with its password: never show it.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn parts(&self) -> Parts<'_> {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let (credentials, rest) = rest.split_once('@').unwrap_or(("", rest));
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        let (before, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = before.split_once('/').unwrap_or((before, ""));
        Parts { user, password, hosts, database, parameters }
    }

    /// Refuses an address whose parts cannot be told apart: a part of the password would be taken for a host, and be shown.
    ///
    /// # Errors
    ///
    /// The reason, without any part of the address.
    pub fn require_clear(&self) -> Result<(), String> {
        if self.parts().are_doubtful() {
            return Err("there is an '@' too many: a '@', ':', '/' or '?' in the user name or password must be \
                        percent-encoded (%40, %3A, %2F, %3F), and so must an '@' elsewhere"
                .to_owned());
        }
        Ok(())
    }

    /// The address without the parameters of these names, for a driver that does not know them; and their decoded values in the
    /// order of the names. The last of a repeated parameter counts.
    pub fn without<const N: usize>(&self, names: [&str; N]) -> (Zeroizing<String>, [Option<String>; N]) {
        let parameters = self.parts().parameters;
        let before = self.url[..self.url.len() - parameters.len()].trim_end_matches('?');
        let mut values = [const { None }; N];
        let mut others = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match names.iter().position(|known| *known == name) {
                Some(at) => values[at] = Some(percent_decoded(value)),
                None => others.push(parameter),
            }
        }
        let sign = if others.is_empty() { "" } else { "?" };
        (Zeroizing::new(format!("{before}{sign}{}", others.join("&"))), values)
    }

    /// The password for one host, if the address has none, found as libpq does: in the environment (`PGPASSWORD`), or else in the
    /// first matching line of the password file: the file named in the address (`passfile=`), or `PGPASSFILE`, or `~/.pgpass`.
    /// `host` is the directory of a socket, or `localhost` for the default directory.
    ///
    /// # Errors
    ///
    /// A named password file that cannot be read, or that other users can read; as text.
    pub fn password(
        &self,
        host: &str,
        port: u16,
        database: &str,
        user: &str,
    ) -> Result<Option<Zeroizing<String>>, String> {
        if let Some(password) = std::env::var("PGPASSWORD").ok().filter(|password| !password.is_empty()) {
            return Ok(Some(password.into()));
        }
        let (_, [named]) = self.without(["passfile"]);
        let named = named.or_else(|| std::env::var("PGPASSFILE").ok()).filter(|file| !file.is_empty());
        let file = match &named {
            Some(file) => PathBuf::from(file),
            None => match std::env::home_dir() {
                Some(home) => home.join(".pgpass"),
                None => return Ok(None),
            },
        };
        match pass_file::read(&file) {
            Ok(text) => Ok(pass_file::find(&text, [host, &port.to_string(), database, user])),
            Err(_) if named.is_none() => Ok(None),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }
}

/// Without a password. An address in which the password may be elsewhere too is not shown at all.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, _)) = self.url.split_once("://") else { return Ok(()) };
        let parts = self.parts();
        // If the password is missing, the host may be, and what looks like a port may be the password.
        let may_be_cut = parts.password.is_none() && !parts.hosts.split(',').all(masked::has_sound_port);
        let is_unusual = parts.password.is_some_and(|password| password.contains(['/', '?']));
        if may_be_cut || is_unusual || parts.are_doubtful() || parts.parameters.contains('@') {
            return write!(f, "{scheme}://…");
        }
        let Parts { user, hosts, database, parameters, .. } = parts;
        write!(f, "{scheme}://{user}{}{hosts}", if user.is_empty() { "" } else { "@" })?;
        if !database.is_empty() {
            write!(f, "/{database}")?;
        }
        let is_plain =
            |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !name.contains("password");
        let shown: Vec<&str> =
            parameters.split('&').filter(|p| !p.is_empty() && p.split('=').next().is_some_and(is_plain)).collect();
        let sign = if shown.is_empty() { "" } else { "?" };
        write!(f, "{sign}{}", shown.join("&"))
    }
}

/// An address as the driver divides it: up to the first `@`, the user and the password, which may have a `/` or `?`.
struct Parts<'a> {
    user: &'a str,
    password: Option<&'a str>,
    hosts: &'a str,
    database: &'a str,
    parameters: &'a str,
}

impl Parts<'_> {
    /// Whether the password may reach into other parts, because it has a character that must be encoded.
    fn are_doubtful(&self) -> bool {
        let names = self.parameters.split('&').filter_map(|parameter| parameter.split('=').next());
        let has_at = [self.hosts, self.database].into_iter().chain(names).any(|part| part.contains('@'));
        // The first '@' is in a parameter, perhaps in the password.
        let begins_late =
            self.password.and_then(|it| it.split_once('?')).is_some_and(|(_, it)| it.contains("password="));
        has_at || begins_late || self.user.contains(['/', '?'])
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A `%` without two hexadecimal digits after it stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte =
            text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_files_and_shown_without_a_password() {
        for (text, shown) in [
            ("postgres://db/seats", "postgres://db/seats"),
            ("PostgreSQL://u@db:5433/seats", "postgresql://u@db:5433/seats"),
            ("postgres://u:secret@db1,db2:5433/seats", "postgres://u@db1,db2:5433/seats"),
            ("postgres://u:sec:ret@[::1]:5433/seats", "postgres://u@[::1]:5433/seats"),
            ("postgres://:secret@db/seats", "postgres://db/seats"),
            (
                "postgres:///seats?host=%2Frun%2Fpostgresql&password=secret&sslmode=require",
                "postgres:///seats?host=%2Frun%2Fpostgresql&sslmode=require",
            ),
            ("postgres://db/seats?p%61ssword=secret&user=u", "postgres://db/seats?user=u"),
            ("postgres://db/seats?sslpassword=secret", "postgres://db/seats"),
            ("postgres://u:secret@db:x/seats", "postgres://u@db:x/seats"),
            // The host is missing.
            ("postgres://u:secret/seats", "postgres://…"),
            ("postgres://u:secret", "postgres://…"),
            ("postgres://u:secret?sslmode=require", "postgres://…"),
            ("postgres://u:123456789/seats", "postgres://…"),
            ("postgres://db1:5432,u:secret/seats", "postgres://…"),
            ("postgres://u@db1:secret/seats", "postgres://…"),
            ("postgres://[::1]secret/seats", "postgres://…"),
            // The first '@' is in a parameter.
            ("postgres://db/seats?user=u&password=sec@ret", "postgres://…"),
            ("postgres://db:5432/seats?user=u&password=sec@ret", "postgres://…"),
            // The password has a character that must be encoded.
            ("postgres://u:sec@ret@db/seats", "postgres://…"),
            ("postgres://u:sec/ret@db/seats", "postgres://…"),
            ("postgres://u:sec?ret@db/seats", "postgres://…"),
        ] {
            let database = Database::from(text);
            assert!(matches!(database, Database::Server(_)), "{text}");
            assert_eq!(database.to_string(), shown);
            assert!(!format!("{database:?}").contains("secret"), "{database:?}");
        }
        for file in ["seats.db", "/var/lib/seatkeeper/seats.db", "postgres.db", "postgres:/x", "mysql://db/seats"] {
            assert_eq!(Database::from(file), Database::File(file.into()));
        }
    }

    #[test]
    fn parameters_of_our_own_are_kept_from_the_driver() {
        let Database::Server(address) =
            Database::from("postgres://u@db/s?sslmode=verify-full&passfile=%2Fetc%2Fp%20w&x=1")
        else {
            panic!("a server")
        };
        let (url, [pass_file, none]) = address.without(["passfile", "sslrootcert"]);
        assert_eq!(*url, "postgres://u@db/s?sslmode=verify-full&x=1");
        assert_eq!((pass_file.as_deref(), none), (Some("/etc/p w"), None));
        assert_eq!(*address.without(["passfile", "sslmode", "x"]).0, "postgres://u@db/s");
        assert_eq!(percent_decoded("100%&%4"), "100%&%4");
        let Database::Server(unusual) = Database::from("postgres://u:a?b&&c/d@db/s?passfile=f&x=1") else {
            panic!("a server")
        };
        let (url, [pass_file]) = unusual.without(["passfile"]);
        assert_eq!((url.as_str(), pass_file.as_deref()), ("postgres://u:a?b&&c/d@db/s?x=1", Some("f")));
    }
}
