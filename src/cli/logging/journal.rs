//! Lines for the systemd journal, in its own protocol: a datagram for each line, with the message and every value as a field
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::line::Line;

/// Where the journal takes lines.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// See the module.
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Fails if no journal listens there.
    pub(super) fn open(path: impl Into<PathBuf>) -> io::Result<Journal> {
        let path = path.into();
        // Only to see whether it can be reached: a connected socket would not survive a restart of the journal.
        UnixDatagram::unbound()?.connect(&path)?;
        Ok(Journal { socket: UnixDatagram::unbound()?, path })
    }

    pub(super) fn send(&self, line: &Line) -> io::Result<()> {
        self.socket.send_to(entry(line).as_bytes(), &self.path).map(drop)
    }
}

/// A field and a value per line: no value holds a line break. `MESSAGE` has all values too, because `journalctl` shows it alone.
fn entry(line: &Line) -> String {
    let mut out = format!("PRIORITY={}\nSYSLOG_IDENTIFIER=seatkeeper\nMESSAGE={}: ", line.priority(), line.target());
    // Writing to a String does not fail.
    let _ = line.facts(&mut out);
    let _ = write!(out, "\nSEATKEEPER_TARGET={}", line.target());
    for (name, value) in &line.fields {
        let _ = write!(out, "\nSEATKEEPER_{}={}", name.to_ascii_uppercase(), value.plain());
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::logging::line::Value;

    #[test]
    fn every_value_is_a_field_of_the_entry() {
        let directory = std::env::temp_dir().join(format!("seatkeeper-journal-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("socket");
        assert!(Journal::open(&path).is_err(), "nothing listens there");
        let listener = UnixDatagram::bind(&path).expect("a socket");
        let journal = Journal::open(&path).expect("the journal");
        let texts = [("client", "192.0.2.1"), ("credential", "a\nPRIORITY=0\u{202e}"), ("database", "a b")];
        let line = Line::for_test(
            "a sign-in was refused",
            texts.map(|(name, text)| (name, Value::Text { text: text.to_owned(), is_name: true })).into(),
        );
        journal.send(&line).expect("sent");
        let mut entry = [0; 4096];
        let length = listener.recv(&mut entry).expect("received");
        assert_eq!(
            std::str::from_utf8(&entry[..length]),
            Ok("PRIORITY=4\nSYSLOG_IDENTIFIER=seatkeeper\n\
                MESSAGE=seatkeeper::test: a sign-in was refused client=\"192.0.2.1\" credential=\"a\\nPRIORITY=0\\u{202e}\" database=\"a b\"\n\
                SEATKEEPER_TARGET=seatkeeper::test\nSEATKEEPER_CLIENT=192.0.2.1\n\
                SEATKEEPER_CREDENTIAL=a\\nPRIORITY=0\\u{202e}\nSEATKEEPER_DATABASE=a b\n")
        );
        drop(listener);
        assert!(journal.send(&line).is_err(), "a journal that ended is noticed");
        std::fs::remove_dir_all(&directory).expect("clean up");
    }
}
