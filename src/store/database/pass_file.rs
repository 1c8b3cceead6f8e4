//! libpq's password files: <https://www.postgresql.org/docs/current/libpq-pgpass.html>.

use std::fs::File;
use std::io::{Error, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

/// The most bytes of a password file.
const BYTES_MAX: u64 = 1024 * 1024;

/// Reads a file that other users cannot read. Its group may, because systemd passes credentials to a service in that way.
pub(super) fn read(file: &Path) -> Result<Zeroizing<String>, Error> {
    let file = File::open(file)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Error::other("not a file"));
    }
    if meta.mode() & 0o007 != 0 {
        return Err(Error::other(format!(
            "every user of this machine can read it (mode {:04o}): chmod 600",
            meta.mode() & 0o7777
        )));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The password of the first line whose host, port, database and user match: each is equal or `*`.
pub(super) fn find(text: &str, wanted: [&str; 4]) -> Option<Zeroizing<String>> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = fields(line).into_iter();
        let fits = wanted.iter().all(|wanted| fields.next().is_some_and(|field| field == "*" || field == *wanted));
        fields.next().filter(|_| fits).map(Zeroizing::new)
    })
}

/// The fields between colons. After a backslash a colon or backslash stands for itself.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            ':' => fields.push(String::new()),
            '\\' => fields.last_mut().expect("one at least").extend(characters.next()),
            c => fields.last_mut().expect("one at least").push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# host:port:database:user:password\n\
                    db1:5432:seats:seatkeeper:first\n\
                    db1:*:*:seatkeeper:sec\\:ond\\\\\n\
                    incomplete:5432\n\
                    *:*:*:other:\n";
        let find = |host, port, user| find(text, [host, port, "seats", user]).map(|password| password.to_string());
        assert_eq!(find("db1", "5432", "seatkeeper").as_deref(), Some("first"));
        assert_eq!(find("db1", "5433", "seatkeeper").as_deref(), Some("sec:ond\\"));
        assert_eq!(find("db2", "5432", "seatkeeper"), None);
        assert_eq!(find("incomplete", "5432", "seatkeeper"), None);
        assert_eq!(find("db2", "5432", "other").as_deref(), Some(""));
    }
}
