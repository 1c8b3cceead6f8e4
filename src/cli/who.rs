//! `seatkeeper who`: lists the holders of seats.

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::listed::ListArgs;
use super::table::Rows;
use crate::seats::LicenseType;
use crate::store::admin::holders::{self, HolderFilter, HolderRow};
use crate::store::admin::pools::{self, PoolFilter, PoolRow};
use crate::store::admin::users::{self, HeldWhere, UserRow};
use crate::store::admin::{EntityFilter, Since, Sql, Stop};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper who --database seats.db --entity 42 --below
  seatkeeper who --database seats.db --user backup01
  seatkeeper who --database seats.db --type SqlBackup --format csv > holders.csv";

#[derive(Args)]
pub(super) struct WhoArgs {
    /// `--entity`: the owner of the seats' pools.
    #[command(flatten)]
    list: ListArgs,
    /// Only seats of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only seats of this type: SkraftDiskImageV5, SqlBackup or ExchangeBackup.
    #[arg(long = "type", value_name = "TYPE")]
    license_type: Option<LicenseType>,
    /// Only seats of this pool.
    #[arg(long, value_name = "ID")]
    pool: Option<i64>,
    /// Only inactive holders.
    #[arg(long)]
    inactive: bool,
}

const COLUMNS: &[&str] = &[
    "username",
    "license_type",
    "pool_id",
    "seat_no",
    "since",
    "expires_at",
    "entity_id",
    "entity_name",
    "account_id",
    "active",
    "user_entity_id",
];

pub(super) fn who(args: &WhoArgs) -> Result<(), Failure> {
    let opened = args.list.open()?;
    let mut rows = Rows::to_stdout(args.list.format, COLUMNS);
    match &args.user {
        Some(name) => {
            let (name, entity) = (name.clone(), args.list.entities.filter());
            let user = opened.read(move |sql, admin| held(sql, users::named(sql, admin, &name)?, entity))?;
            for (license_type, held) in
                user.held.iter().filter_map(|held| Some((held.license_type, held.seat.as_ref()?)))
            {
                let is_type = args.license_type.is_none_or(|asked| asked == license_type);
                if is_type && args.pool.is_none_or(|id| id == held.pool_id) && !(args.inactive && user.active) {
                    rows.row(of_user(&user, license_type, held))?;
                }
            }
        }
        None => {
            let filter = HolderFilter { text: None, active: args.inactive.then_some(false) };
            let mut show = |pool: PoolRow| {
                let (filter, id) = (filter.clone(), pool.id);
                opened.list(
                    move |sql, admin, start, limit| holders::list(sql, admin, id, &filter, start, limit),
                    |holder| Ok(rows.row(of_holder(&pool, &holder))?),
                )
            };
            match args.pool {
                Some(id) => {
                    let (entity, license_type) = (args.list.entities.filter(), args.license_type);
                    let pool = opened.read(move |sql, admin| {
                        let pool = pools::one(sql, admin, id)?;
                        let is_of = entity.map_or(Ok(true), |entity| entity.has(sql, pool.entity_id))?;
                        Ok(Some(pool)
                            .filter(|pool| is_of && license_type.is_none_or(|asked| asked == pool.license_type)))
                    })?;
                    pool.map_or(Ok(()), &mut show)?;
                }
                None => {
                    let (entity, license_type) = (args.list.entities.filter(), args.license_type);
                    let filter = PoolFilter { entity, license_type, in_use: true, ..PoolFilter::default() };
                    let totals = opened.totals()?;
                    opened.list(
                        move |sql, admin, start, limit| pools::list(sql, admin, &totals, &filter, start, limit),
                        show,
                    )?;
                }
            }
        }
    }
    Ok(rows.end()?)
}

/// A user, with its seats in pools of these entities.
fn held(sql: &dyn Sql, mut user: UserRow, entity: Option<EntityFilter>) -> Result<UserRow, Stop> {
    let Some(entity) = entity else { return Ok(user) };
    for held in &mut user.held {
        if let Some(seat) = &held.seat
            && !entity.has(sql, seat.entity_id)?
        {
            held.seat = None;
        }
    }
    Ok(user)
}

fn of_user(user: &UserRow, license_type: LicenseType, held: &HeldWhere) -> Vec<Value> {
    vec![
        json!(user.username),
        json!(license_type.name()),
        json!(held.pool_id),
        json!(held.seat_no),
        since(held.since),
        json!(held.expires_at.map(|at| at.to_string())),
        json!(held.entity_id),
        json!(held.entity_name),
        json!(user.id),
        json!(u8::from(user.active)),
        json!(user.entity_id),
    ]
}

fn of_holder(pool: &PoolRow, holder: &HolderRow) -> Vec<Value> {
    let account = holder.account.as_ref();
    vec![
        json!(account.map(|account| &account.username)),
        json!(pool.license_type.name()),
        json!(pool.id),
        json!(holder.seat_no),
        since(Some(holder.since)),
        json!(pool.expires_at.map(|at| at.to_string())),
        json!(pool.entity_id),
        json!(pool.entity_name),
        json!(account.map(|account| account.id)),
        json!(account.map(|account| u8::from(account.active))),
        json!(account.map(|account| account.entity_id)),
    ]
}

/// Null: the history that was read does not contain it.
fn since(since: Option<Since>) -> Value {
    match since {
        Some(Since::At(at)) => json!(format!("{at:.3}")),
        _ => Value::Null,
    }
}
