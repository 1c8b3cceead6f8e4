//! `seatkeeper resize`: adds seats to a pool or removes them, in steps between which the service answers calls.

use std::io::Write as _;

use clap::Args;

use super::author::AuthorArgs;
use super::{Failure, FileArgs};
use crate::auth;
use crate::store::sqlite;

#[derive(Args)]
pub(super) struct ResizeArgs {
    #[command(flatten)]
    database: FileArgs,
    /// The pool's id.
    #[arg(long, value_name = "ID")]
    pool: i64,
    /// The new number of seats (seats_total).
    #[arg(long, value_name = "NUMBER")]
    seats: i64,
    #[command(flatten)]
    author: AuthorArgs,
}

pub(super) fn resize(args: &ResizeArgs) -> Result<(), Failure> {
    let database = args
        .database
        .file("use `seatkeeper pool resize`, or UPDATE license_pool SET seats_total = ... in psql; the service answers calls meanwhile")?;
    let author = args.author.read()?;
    let connection = sqlite::admin_connection(database, false, auth::hash_new_password)?;
    let mut now = None;
    let resized = sqlite::resize_pool(&connection, author.as_ref(), args.pool, args.seats, |seats| now = Some(seats));
    let done = now.map_or("nothing was changed".to_owned(), |seats| format!("it has {seats} seats now"));
    match resized {
        Ok(()) => Ok(writeln!(std::io::stdout(), "pool {}: {} seats", args.pool, args.seats)?),
        Err(error) => Err(format!("pool {}: {error}; {done}", args.pool).into()),
    }
}
