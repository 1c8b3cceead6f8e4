//! The history of a module, as text for people: entries by day, the newest first. It counts seats, and names neither the users of
//! the seats nor the callers, because the reader may see only some of them.

use std::fmt::Write as _;

use super::{Call, string};
use crate::contract::record::{Record, Value};
use crate::error::Error;
use crate::license::Owner;
use crate::netserver::dates::DateForm;
use crate::seats::{FieldFault, LicenseType, Refusal, counted};
use crate::store::{HistoryRequest, ModuleHistory, PoolEvent, PoolEventKind, PoolUse};

/// The most entries of one text.
const ENTRIES_MAX: usize = 300;

pub(super) async fn get_module_license_history(mut call: Call) -> Result<Option<Value>, Error> {
    let mut named = |argument: &str, names: &[&str]| {
        let license = call.arguments.take_record(argument);
        let parts = license.map(|mut license| ["New", "Current"].map(|part| license.take_record(part)));
        let mut parts: Vec<Record> = parts.into_iter().flatten().flatten().collect();
        names.iter().map(|name| parts.iter_mut().find_map(|part| filled(part.take_string(name)))).collect::<Vec<_>>()
    };
    let owner_name = named("LicenseInfo", &["OwnerName"]).remove(0);
    let mut of_module = named("ModuleLicense", &["ModuleName", "OwnerName"]);
    let (owner_of_module, module_name) = (of_module.remove(1), of_module.remove(0));

    let missing = if owner_name.is_none() && owner_of_module.is_none() { "LicenseInfo" } else { "ModuleLicense" };
    let (Some(owner_name), Some(module_name)) = (owner_name.or(owner_of_module), module_name) else {
        return Err(call.refuse(Refusal::field(missing, FieldFault::Unnamed)).await);
    };
    let Some(license_type) = LicenseType::of_module(&module_name) else {
        // Unauthenticated callers must not learn that the module does not exist.
        return call.service.principal(&call.context, &call.identity).await.map(|_| None);
    };
    let request = HistoryRequest { owner_name, license_type };
    let history = call.service.module_history(&call.context, &call.identity, request).await?;
    Ok(history.map(|history| string(text(&call, &history, license_type))))
}

fn filled(name: Option<String>) -> Option<String> {
    name.filter(|name| !name.trim().is_empty())
}

fn text(call: &Call, history: &ModuleHistory, license_type: LicenseType) -> String {
    let mut text = heading(&history.owner, license_type);
    for pool in &history.pools {
        let _ = write!(text, "\n{}", of_pool(call, pool));
    }
    let _ = write!(text, "\n\nThe newest entry comes first. Times are in time zone {}.", call.dates().zone().code);
    let (entries, omitted) = entries(call.dates(), &history.events);
    for entry in entries {
        let _ = write!(text, "\n{entry}");
    }
    let left_out = history.left_out + i64::try_from(omitted).unwrap_or(i64::MAX);
    if left_out > 0 || !history.is_complete {
        let more = if history.is_complete { "" } else { " or more" };
        let _ = write!(text, "\nLeft out: {}{more}.", counted(left_out, "earlier event"));
    }
    text
}

fn heading(owner: &Owner, license_type: LicenseType) -> String {
    let numbers = owner.numbers(license_type, false);
    let seats = counted(numbers.total, "seat");
    format!("Module {} of {}: {seats}, {} in use.", license_type.module_name(), owner.name, numbers.in_use)
}

/// A pool as it is now. The numbers of the heading are those of open pools only.
fn of_pool(call: &Call, pool: &PoolUse) -> String {
    let now = call.context.now;
    let date = |at| call.dates().text(Some(at));
    let state = match (pool.starts_at, pool.expires_at) {
        (_, Some(at)) if at <= now => format!("expired at {}", date(at)),
        (Some(at), _) if at > now => format!("starts at {}", date(at)),
        (_, Some(at)) => format!("expires at {}", date(at)),
        _ => "does not expire".to_owned(),
    };
    let (seats, max) = (counted(pool.seats_total.into(), "seat"), pool.seats_in_use_max);
    format!("Pool {} {state}: {seats}, {} in use, {max} at most so far.", pool.id, pool.seats_in_use)
}

/// The entries, and the number of events that they leave out.
fn entries(dates: DateForm, events: &[PoolEvent]) -> (Vec<String>, usize) {
    let mut entries = Vec::new();
    let mut told = 0;
    let day = |event: &PoolEvent| dates.text(Some(event.at)).chars().take("0000-00-00".len()).collect::<String>();
    for of_day in events.chunk_by(|a, b| day(a) == day(b)) {
        let (of_seats, of_pools): (Vec<&PoolEvent>, Vec<&PoolEvent>) =
            of_day.iter().partition(|event| is_of_seat(event));
        if let Some(counts) = counts(&of_seats).filter(|_| entries.len() < ENTRIES_MAX) {
            entries.push(format!("{}: {counts}.", day(&of_day[0])));
            told += of_seats.len();
        }
        for event in of_pools.into_iter().take(ENTRIES_MAX - entries.len()) {
            entries.push(format!("{}: {}.", dates.text(Some(event.at)), change(event)));
            told += 1;
        }
    }
    (entries, events.len() - told)
}

fn is_of_seat(event: &PoolEvent) -> bool {
    matches!(event.kind, PoolEventKind::Assigned | PoolEventKind::Released | PoolEventKind::SeatChanged)
}

/// Assignments and releases of one day; `None`: there were none.
fn counts(events: &[&PoolEvent]) -> Option<String> {
    let of_kind = |kind| i64::try_from(events.iter().filter(|event| event.kind == kind).count()).unwrap_or(i64::MAX);
    let counts = [
        (of_kind(PoolEventKind::Assigned), "assigned"),
        (of_kind(PoolEventKind::Released), "released"),
        (of_kind(PoolEventKind::SeatChanged), "changed by hand"),
    ];
    let counts: Vec<String> =
        counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", counted(n, "seat"))).collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

fn change(event: &PoolEvent) -> String {
    let pool = event.pool_id;
    let by = if event.by_call { "by a call" } else { "by hand" };
    match event.kind {
        PoolEventKind::Created { seats } => format!("pool {pool} created with {} {by}", counted(seats, "seat")),
        PoolEventKind::Changed { from, to } if from == to => {
            format!("pool {pool} changed {by}; its number of seats stayed {to}")
        }
        PoolEventKind::Changed { from, to } => {
            format!("pool {pool} changed from {from} to {} {by}", counted(to, "seat"))
        }
        PoolEventKind::Deleted => format!("pool {pool} deleted {by}"),
        PoolEventKind::Assigned | PoolEventKind::Released | PoolEventKind::SeatChanged => String::new(),
    }
}
