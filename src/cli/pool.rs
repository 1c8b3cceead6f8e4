//! `seatkeeper pool`: lists, creates, changes, resizes and deletes pools.

use std::io::Write as _;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Failure;
use super::change::ChangeArgs;
use super::columns::{self, CreateArgs, IdArgs, SetArgs, help};
use super::listed::ListArgs;
use super::table::{Format, Rows};
use crate::seats::{LicenseType, counted};
use crate::store::admin::edit::{Key, Table};
use crate::store::admin::file::FileRow;
use crate::store::admin::pools::{self, PoolFilter, PoolOrder, PoolRow, PoolState};
use crate::store::admin::seats::{self, Candidate, Resize, Resized, Shrink, Taken, Why};
use crate::store::admin::{Admin, AdminRefusal, Sql, Stop, users};

#[derive(Subcommand)]
pub(super) enum PoolCommand {
    /// List pools: seats in use, start and expiry.
    #[command(
        after_help = "Examples:\n  seatkeeper pool list --database seats.db --entity 42 --below\n  seatkeeper pool list --database seats.db --full 90 --order use\n  seatkeeper pool list --database seats.db --expires-within 30 --order expiry"
    )]
    List(PoolListArgs),
    /// Create a pool.
    #[command(after_help = help(Table::Pool, true, "Example:\n  seatkeeper pool create --database seats.db entity_id=42 license_type=SqlBackup seats_total=100 expires_at=2027-01-31"))]
    Create(CreateArgs),
    /// Change columns of a pool, such as its expiry.
    #[command(after_help = help(Table::Pool, false, "Example:\n  seatkeeper pool set --database seats.db 1 expires_at=2028-01-31 'note=order 4711'"))]
    Set(SetArgs),
    /// Change the number of seats of a pool. If fewer remain than are in use, release holders in the same step.
    #[command(after_help = RESIZE_EXAMPLES)]
    Resize(ResizeArgs),
    /// Delete a pool that has no seat in use.
    #[command(after_help = "Example:\n  seatkeeper pool delete --database seats.db 3 --reason 'bought by mistake'")]
    Delete(IdArgs),
}

const RESIZE_EXAMPLES: &str = "\
Examples:
  seatkeeper pool resize --database seats.db --pool 1 --seats 120 --reason 'order 4711'
  seatkeeper pool resize --database seats.db --pool 1 --seats 2 --propose
  seatkeeper pool resize --database seats.db --pool 1 --seats 2 --release proposed
  seatkeeper pool resize --database seats.db --pool 1 --seats 2 --release-user anna --release-user bert
One change adds or removes at most 100000 seats, on PostgreSQL 1000000; for files 'seatkeeper resize' makes larger changes in steps.";

#[derive(Args)]
pub(super) struct PoolListArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only pools of this type: SkraftDiskImageV5, SqlBackup or ExchangeBackup.
    #[arg(long = "type", value_name = "TYPE")]
    license_type: Option<LicenseType>,
    /// Only pools in this state: open, not-begun or expired.
    #[arg(long)]
    state: Option<PoolState>,
    /// Only pools that have at least this percentage of their seats in use.
    #[arg(long, value_name = "PERCENT")]
    full: Option<i64>,
    /// Only open pools that expire within this number of days.
    #[arg(long, value_name = "DAYS")]
    expires_within: Option<u32>,
    /// Only pools that have a seat in use.
    #[arg(long)]
    in_use: bool,
    /// The order: by id, first to expire first, or fullest first.
    #[arg(long, value_enum, default_value = "id")]
    order: Order,
}

#[derive(Clone, Copy, ValueEnum)]
enum Order {
    Id,
    Expiry,
    Use,
}

#[derive(Args)]
pub(super) struct ResizeArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The pool's id.
    #[arg(long, value_name = "ID")]
    pool: i64,
    /// The new number of seats (seats_total).
    #[arg(long, value_name = "NUMBER")]
    seats: i64,
    /// Propose holders to release, so that the pool can have this number of seats, and change nothing: inactive holders first, then
    /// those that have held their seats for longest.
    #[arg(long, conflicts_with_all = ["release", "release_user"])]
    propose: bool,
    /// Release the first holders that --propose shows, as many as necessary.
    #[arg(long, value_enum, value_name = "proposed", conflicts_with = "release_user")]
    release: Option<Whom>,
    /// Release this holder. May be repeated.
    #[arg(long, value_name = "NAME")]
    release_user: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Whom {
    Proposed,
}

pub(super) fn pool(command: &PoolCommand) -> Result<(), Failure> {
    match command {
        PoolCommand::List(args) => list(args),
        PoolCommand::Create(args) => {
            let values = columns::values(Table::Pool, true, &args.cells)?;
            columns::create(&args.change, "pool create", Table::Pool, values).map(drop)
        }
        PoolCommand::Set(args) => columns::set(&args.change, "pool set", Table::Pool, Key::Id(args.id), &args.cells),
        PoolCommand::Resize(args) if args.propose => propose(args),
        PoolCommand::Resize(args) => resize(args),
        PoolCommand::Delete(args) => columns::delete(&args.change, "pool delete", Table::Pool, Key::Id(args.id)),
    }
}

fn list(args: &PoolListArgs) -> Result<(), Failure> {
    let opened = args.list.open()?;
    let filter = PoolFilter {
        entity: args.list.entities.filter(),
        license_type: args.license_type,
        state: args.state,
        percent_min: args.full,
        expires_within_days: args.expires_within,
        in_use: args.in_use,
        order: match args.order {
            Order::Id => PoolOrder::Id,
            Order::Expiry => PoolOrder::Expiry,
            Order::Use => PoolOrder::Use,
        },
    };
    let totals = opened.totals()?;
    let mut rows = Rows::to_stdout(args.list.format, PoolRow::COLUMNS);
    opened.list(
        move |sql, admin, start, limit| pools::list(sql, admin, &totals, &filter, start, limit),
        |row: PoolRow| Ok(rows.file_row(&row)?),
    )?;
    Ok(rows.end()?)
}

fn propose(args: &ResizeArgs) -> Result<(), Failure> {
    let opened = args.change.database.open()?;
    let (pool, seats) = (args.pool, args.seats);
    let shrink = opened.read(move |sql, admin| seats::proposals(sql, admin, pool, seats))?;
    let mut out = std::io::stdout();
    if shrink.excess == 0 {
        let in_use = counted(shrink.seats_in_use, "seat");
        return Ok(writeln!(out, "nothing has to be released: {in_use} of pool {pool} are in use")?);
    }
    let mut rows = Rows::to_stdout(Format::Table, ["proposed", "seat", "user", "since", "why"]);
    for (at, candidate) in (0..).zip(&shrink.candidates) {
        rows.row(vec![
            json!(if at < shrink.excess { "yes" } else { "" }),
            json!(candidate.taken.seat_no),
            json!(candidate.username),
            json!(candidate.since),
            json!(why(candidate.why)),
        ])?;
    }
    rows.end()?;
    let (in_use, excess) = (counted(shrink.seats_in_use, "seat"), shrink.excess);
    let have = if excess == 1 { "has" } else { "have" };
    writeln!(
        out,
        "{in_use} of pool {pool} are in use; {excess} {have} to be released: with --release proposed, or --release-user NAME"
    )?;
    Ok(())
}

const fn why(why: Why) -> &'static str {
    match why {
        Why::PoolExpired => "the pool has expired",
        Why::Inactive => "the user is not active",
        Why::LongestHeld => "held for longest",
    }
}

fn resize(args: &ResizeArgs) -> Result<(), Failure> {
    let (pool_id, seats_total, names, whom) = (args.pool, args.seats, args.release_user.clone(), args.release);
    let said = |resized: &Resized| {
        let released = match resized.released.len() {
            0 => String::new(),
            n => format!(", after the release of {}", counted(i64::try_from(n).unwrap_or(i64::MAX), "seat")),
        };
        let lost = match resized.own_data_lost {
            0 => String::new(),
            n => format!(
                ". {} with a product key or license data of its own went; an undo does not bring that back",
                counted(n, "free seat")
            ),
        };
        format!("pool {pool_id}: {} -> {} seats{released}{lost}", resized.before, resized.seats_total)
    };
    let work = move |sql: &dyn Sql, admin: &Admin| {
        let release = match whom {
            Some(Whom::Proposed) => proposed(seats::proposals(sql, admin, pool_id, seats_total)?),
            None => names.iter().map(|name| held_of(sql, admin, name, pool_id)).collect::<Result<_, _>>()?,
        };
        seats::resize(sql, admin, &Resize { pool_id, before: None, seats_total, release }).map_err(|stop| match stop {
            Stop::Refused(AdminRefusal::Guard(why)) => {
                AdminRefusal::Guard(format!("{why} --propose shows whom.")).into()
            }
            other => other,
        })
    };
    args.change.make("pool resize", work, said).map(drop)
}

/// The holders that must be released.
fn proposed(shrink: Shrink) -> Vec<Taken> {
    let excess = usize::try_from(shrink.excess).unwrap_or(usize::MAX);
    shrink.candidates.iter().take(excess).map(|Candidate { taken, .. }| *taken).collect()
}

/// The seat that a user holds in a pool.
fn held_of(sql: &dyn Sql, admin: &Admin, name: &str, pool_id: i64) -> Result<Taken, Stop> {
    let user = users::named(sql, admin, name)?;
    let held = user.held.iter().filter_map(|held| held.seat.as_ref()).find(|held| held.pool_id == pool_id);
    let none = || AdminRefusal::Guard(format!("User '{}' holds no seat of pool {pool_id}.", user.username));
    let held = held.ok_or_else(none)?;
    Ok(Taken { pool_id, seat_no: held.seat_no, account_id: user.id })
}
