//! `seatkeeper check`: finds errors in a database.

use std::io::Write as _;

use super::{DatabaseArgs, Failure};
use crate::auth;
use crate::store::{self, SCHEMA_VERSION};

pub(super) fn check(args: &DatabaseArgs) -> Result<(), Failure> {
    let checked = store::examine(&args.database, auth::check_hash)?;
    let mut out = std::io::stdout().lock();
    for violation in &checked.violations {
        writeln!(out, "broken: {violation}")?;
    }
    let is_older = checked.version < SCHEMA_VERSION;
    if is_older {
        writeln!(
            out,
            "version {}: its file and schema were checked, its rows were not. Run 'seatkeeper migrate', which brings it to \
             version {SCHEMA_VERSION}, and check again.",
            checked.version
        )?;
    }
    match checked.violations.len() {
        0 if is_older => Ok(()),
        0 => Ok(writeln!(out, "ok: every invariant holds")?),
        1 => Err(format!("{}: 1 row breaks an invariant", args.database).into()),
        n => Err(format!("{}: {n} rows break an invariant", args.database).into()),
    }
}
