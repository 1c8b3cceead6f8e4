//! `seatkeeper audit head` and `audit key`: the head of the history, and the key that signs it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::chain::Head;
use crate::chain::sign::Key;
use crate::cli::{CannotRun, DatabaseArgs, Failure};
use crate::store::history;

pub(super) const HEAD_EXAMPLES: &str = "\
Examples:
  seatkeeper audit head --database seats.db
  seatkeeper audit head --database seats.db --key /etc/seatkeeper/audit.key >> heads.jsonl
Keep the lines on another machine: seatkeeper audit verify --head heads.jsonl finds a history that was cut off or rewritten since.";

pub(super) const KEY_EXAMPLES: &str = "\
Examples:
  seatkeeper audit key /etc/seatkeeper/audit.key
  seatkeeper audit key --public /etc/seatkeeper/audit.key
Note the public key that it prints on another machine: it shows whether a head was signed with this key.";

#[derive(Args)]
pub(super) struct HeadArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Sign the head with the key in this file, made by `seatkeeper audit key`.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct KeyArgs {
    /// The key file to create, readable by its owner only.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the public key of an existing key file.
    #[arg(long)]
    public: bool,
    /// Print the public key as PEM, for openssl.
    #[arg(long)]
    pem: bool,
}

pub(super) fn head(args: &HeadArgs) -> Result<(), Failure> {
    let database = args.database.place()?;
    let key = args.key.as_deref().map(read_key).transpose()?;
    let newest = history::newest(database).map_err(|e| CannotRun(e.to_string()))?;
    let Some(newest) = newest else {
        return Err(CannotRun(format!("{database}: no event is chained; the service chains them")).into());
    };
    let at = format!("{:.3}", Timestamp::now());
    let head = match key {
        Some(key) => key.sign(&newest.link, at),
        None => Head { event: newest.link.event, hash: newest.link.hash, at, key: None, signature: None },
    };
    writeln!(std::io::stdout(), "{head}")?;
    let unchained = match newest.unchained {
        0 => String::new(),
        n => format!("; {n} after it are not yet chained"),
    };
    eprintln!("note: {} events up to it{unchained}", newest.events);
    Ok(())
}

pub(super) fn key(args: &KeyArgs) -> Result<(), Failure> {
    let key = if args.public { read_key(&args.file)? } else { make_key(&args.file)? };
    let public = key.public();
    let text = if args.pem { public.to_pem() } else { format!("{public}\n") };
    write!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn make_key(file: &Path) -> Result<Key, Failure> {
    let failed = |e: &dyn std::fmt::Display| CannotRun(format!("{}: {e}", file.display()));
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random).map_err(|e| failed(&e))?;
    let key = Key::from_random(&random);
    // An existing key is never replaced.
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut made = made.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            failed(&"it exists already. --public prints its public key; for another key name another file")
        }
        _ => failed(&e),
    })?;
    made.write_all(key.to_pem().as_bytes()).and_then(|()| made.sync_all()).map_err(|e| {
        // The rest of a key would be in the way of the next try.
        let _ = std::fs::remove_file(file);
        failed(&e)
    })?;
    Ok(key)
}

/// The most bytes of a key file. A key file has 119.
const KEY_BYTES_MAX: u64 = 4096;

/// Reads a key file that only its owner can read.
pub(in crate::cli) fn read_key(file: &Path) -> Result<Key, CannotRun> {
    let failed = |e: &dyn std::fmt::Display| CannotRun(format!("{}: {e}", file.display()));
    let opened = std::fs::File::open(file).map_err(|e| failed(&e))?;
    let mode = opened.metadata().map_err(|e| failed(&e))?.mode();
    if mode & 0o077 != 0 {
        return Err(CannotRun(format!(
            "{}: others than its owner can read or write this key (mode {:04o}). If it is certain that none of them did, chmod 600; else make a new key.",
            file.display(),
            mode & 0o7777
        )));
    }
    let mut text = Zeroizing::new(String::new());
    opened.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(|e| failed(&e))?;
    Key::from_pem(&text).map_err(|e| failed(&e))
}
