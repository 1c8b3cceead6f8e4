//! The license of a module owner: its numbers, its status, the issuer's offer, and the changes of pools when that is activated.
//!
//! Pure, like the seat rules: a store reads an [`Owner`] in one transaction, asks these functions, and writes their decision.

mod facts;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use facts::{Assignee, Grant, OwnerFacts, sort_owners};

use crate::seats::{Assignment, FieldFault, LicenseType, Refusal};

/// One value for each license type, in the order of [`LicenseType::ALL`].
pub type PerType<T> = [T; LicenseType::ALL.len()];

/// An entity that license tools know as a module owner. Its serialized form is stored in rows, so it must stay readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub entity_id: i32,
    /// Whether its seats can be assigned.
    pub active: bool,
    /// A-Z and 0-9 only.
    pub name: String,
    pub description: Option<String>,
    pub shop_url: Option<String>,
    /// The license in force.
    pub current: Terms,
    /// The issuer's offer, as the license after activation; `None`: no offer.
    pub offered: Option<Terms>,
    /// Seats taken now, of the pools that `current` counts.
    pub in_use: PerType<i64>,
    /// Whether the associate of the request holds a seat of those pools.
    pub held: PerType<bool>,
    /// Whether the caller would get a seat of the type for that associate now, by the seat rules.
    pub can_assign: PerType<bool>,
}

/// The terms of a license.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub company_name: String,
    pub serial_nr: Option<String>,
    pub dates: Dates,
    /// Seats of each type, over all pools that have started and not expired.
    pub seats: PerType<i64>,
}

/// The dates shown to license tools; `None`: no date, or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dates {
    /// When to ask the issuer again.
    pub next_check: Option<Timestamp>,
    /// End of maintenance.
    pub maintenance: Option<Timestamp>,
    /// From when administrators are warned.
    pub admin_warning: Option<Timestamp>,
    /// The formal end.
    pub expires: Option<Timestamp>,
    /// The real end.
    pub grace: Option<Timestamp>,
}

/// The numbers of one module. A negative `new_free`: the offer cannot be activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    pub in_use: i64,
    pub free: i64,
    pub added: i64,
    pub new_total: i64,
    pub new_free: i64,
    pub total: i64,
}

/// License status according to the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    NewLicenseAvailable,
    NewCompanyNameAvailable,
    NewSerialAvailable,
    UseCustomMessage,
    UseCustomMessageAndUrl,
    ProblemWithLicense,
}

impl Owner {
    /// The terms that the issuer grants: its offer, or else the license in force.
    pub fn issued(&self) -> &Terms {
        self.offered.as_ref().unwrap_or(&self.current)
    }

    /// The numbers of a type, with the granted license or without.
    pub fn numbers(&self, license_type: LicenseType, with_new: bool) -> Numbers {
        let at = license_type.index();
        let (total, in_use) = (self.current.seats[at], self.in_use[at]);
        let new_total = if with_new { self.issued().seats[at] } else { total };
        Numbers {
            in_use,
            free: total - in_use,
            added: new_total - total,
            new_total,
            new_free: new_total - in_use,
            total,
        }
    }

    /// The status, with a sentence that gives the reason; empty if the status is enough.
    pub fn status(&self, now: Timestamp) -> (Status, String) {
        let new = self.issued();
        if let Some(obstacle) = self.obstacle(now) {
            return (Status::ProblemWithLicense, obstacle.to_string());
        }
        let status = if new.company_name != self.current.company_name {
            Status::NewCompanyNameAvailable
        } else if new.serial_nr != self.current.serial_nr {
            Status::NewSerialAvailable
        } else if *new != self.current {
            Status::NewLicenseAvailable
        } else if let Some(at) = self.current.dates.admin_warning.filter(|at| *at <= now) {
            return self.warning(at, now);
        } else {
            Status::Ok
        };
        (status, String::new())
    }

    /// The real end has not come yet: that would be an obstacle.
    fn warning(&self, since: Timestamp, now: Timestamp) -> (Status, String) {
        let end = match (self.current.dates.expires, self.current.dates.grace) {
            (Some(at), Some(end)) if at <= now => format!("expired at {at}, and ends at {end}"),
            (Some(at), None) if at <= now => format!("expired at {at}"),
            (Some(at), _) => format!("expires at {at}"),
            (None, Some(at)) => format!("ends at {at}"),
            (None, None) => format!("needs attention since {since}"),
        };
        let text = format!("The license of {} {end}.", self.name);
        match self.shop_url() {
            Some(_) => (Status::UseCustomMessageAndUrl, format!("{text} Renew it in the shop.")),
            None => (Status::UseCustomMessage, format!("{text} Renew it with your supplier.")),
        }
    }

    /// The description for people.
    pub fn description(&self) -> &str {
        self.description.as_deref().unwrap_or(&self.current.company_name)
    }

    pub fn shop_url(&self) -> Option<&str> {
        self.shop_url.as_deref().filter(|url| !url.is_empty())
    }

    /// Why the granted license cannot be activated; `None`: it can.
    pub fn obstacle(&self, now: Timestamp) -> Option<Refusal> {
        let owner_name = || self.name.clone();
        let new = self.issued();
        if let Some(ended_at) = new.dates.grace.filter(|at| *at <= now) {
            return Some(Refusal::LicenseEnded { owner_name: owner_name(), ended_at });
        }
        let over = LicenseType::ALL.into_iter().find(|t| self.numbers(*t, true).new_free < 0);
        if let Some(license_type) = over {
            return Some(self.too_small(license_type));
        }
        (!new.dates.are_ordered()).then(|| Refusal::LicenseDates { owner_name: owner_name() })
    }

    fn too_small(&self, license_type: LicenseType) -> Refusal {
        let Numbers { in_use, new_total: seats, .. } = self.numbers(license_type, true);
        Refusal::LicenseTooSmall { owner_name: self.name.clone(), license_type, in_use, seats }
    }

    /// Compares the license that a caller wants to activate with the granted one: callers cannot grant themselves more.
    pub fn accept(&self, presented: &Presented, now: Timestamp) -> Result<(), Refusal> {
        if let Some(differs) = presented.differs_from(self) {
            return Err(Refusal::LicenseNotGranted { owner_name: self.name.clone(), differs });
        }
        self.obstacle(now).map_or(Ok(()), Err)
    }

    /// The changes of this owner's open pools by an activation; `None`: there is no offer.
    pub fn plan(&self, pools: &[OpenPool]) -> Result<Option<Vec<PoolChange>>, Refusal> {
        let Some(offered) = &self.offered else { return Ok(None) };
        let mut changes = Vec::new();
        for license_type in LicenseType::ALL {
            let of_type: Vec<OpenPool> =
                pools.iter().filter(|pool| pool.license_type == license_type).copied().collect();
            let of_type = resize(license_type, &of_type, offered.seats[license_type.index()]);
            changes.extend(of_type.ok_or_else(|| self.too_small(license_type))?);
        }
        Ok(Some(changes))
    }
}

/// The owners with an offer under a company's name and serial number. Refuses if there is none, or if one of the offers cannot be
/// activated.
pub fn offered_to(owners: &[Owner], company_name: &str, serial_nr: &str, now: Timestamp) -> Result<(), Refusal> {
    if owners.is_empty() {
        return Err(Refusal::NothingOffered { company_name: company_name.to_owned(), serial_nr: serial_nr.to_owned() });
    }
    owners.iter().find_map(|owner| owner.obstacle(now)).map_or(Ok(()), Err)
}

/// Whether a license can be removed: no seat of its pools may be in use, open or not.
pub fn remove(owner_name: &str, in_use: i64) -> Result<(), Refusal> {
    let owner_name = || owner_name.trim().to_ascii_uppercase();
    if in_use > 0 { Err(Refusal::LicenseInUse { owner_name: owner_name(), in_use }) } else { Ok(()) }
}

/// A field without surrounding blanks; it must not be empty.
pub fn filled<'t>(field: &'static str, text: &'t str) -> Result<&'t str, Refusal> {
    match text.trim() {
        "" => Err(Refusal::field(field, FieldFault::Empty)),
        text => Ok(text),
    }
}

/// The most owners in one answer: each takes several KiB of a message.
pub const OWNERS_MAX: usize = 2000;

/// Whether one answer may have this many owners.
pub fn check_owners(found: usize) -> Result<(), Refusal> {
    if found > OWNERS_MAX { Err(Refusal::TooManyOwners { max: OWNERS_MAX }) } else { Ok(()) }
}

/// The assignment of a module to an associate, given the decision of the seat rules; `None`: nothing to do, because the associate
/// already holds a seat of this owner.
pub fn take_module(decided: Result<Assignment, Refusal>, holds_one: bool) -> Result<Option<Assignment>, Refusal> {
    match decided {
        Err(Refusal::AlreadyAssigned { .. }) if holds_one => Ok(None),
        decided => decided.map(Some),
    }
}

/// Each type once, in the order of the request, for a list of any length.
pub fn each_once(types: &[LicenseType]) -> impl Iterator<Item = LicenseType> {
    types.iter().enumerate().filter(|(at, license_type)| !types[..*at].contains(license_type)).map(|(_, t)| *t)
}

impl Dates {
    /// The same with each date changed.
    fn map(self, change: impl Fn(Option<Timestamp>) -> Option<Timestamp>) -> Dates {
        Dates {
            next_check: change(self.next_check),
            maintenance: change(self.maintenance),
            admin_warning: change(self.admin_warning),
            expires: change(self.expires),
            grace: change(self.grace),
        }
    }

    fn are_ordered(&self) -> bool {
        let in_order = |a: Option<Timestamp>, b: Option<Timestamp>| match (a, b) {
            (Some(a), Some(b)) => a <= b,
            _ => true,
        };
        in_order(self.admin_warning, self.expires)
            && in_order(self.expires, self.grace)
            && in_order(self.admin_warning, self.grace)
    }
}

/// A license that a caller hands back for activation. A field that is `None` was not sent and is not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presented {
    pub owner_name: Option<String>,
    pub company_name: Option<String>,
    pub serial_nr: Option<String>,
    pub owner_description: Option<String>,
    pub license_url: Option<String>,
    /// The dates that were sent.
    pub dates: PresentedDates,
    /// Name of the module, in upper case, and number.
    pub modules: Vec<(String, i32)>,
}

/// See [`Dates`]; the outer `None`: not sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PresentedDates {
    pub next_check: Option<Option<Timestamp>>,
    pub maintenance: Option<Option<Timestamp>>,
    pub admin_warning: Option<Option<Timestamp>>,
    pub expires: Option<Option<Timestamp>>,
    pub grace: Option<Option<Timestamp>>,
}

impl Presented {
    /// The first member that differs from the granted license.
    fn differs_from(&self, owner: &Owner) -> Option<&'static str> {
        let terms = owner.issued();
        let text = |sent: &Option<String>, granted: &str| sent.as_ref().is_none_or(|sent| sent == granted);
        // Midnight of 1 January 1970 in any zone means no date, because some clients count from there.
        let is_zero = |at: Timestamp| at.as_second().abs() <= 14 * 60 * 60;
        let date = |sent: Option<Option<Timestamp>>, granted: Option<Timestamp>| {
            sent.is_none_or(|sent| sent == granted || sent.is_none() && granted.is_some_and(is_zero))
        };
        let dates = &terms.dates;
        let same = [
            ("CompanyName", text(&self.company_name, &terms.company_name)),
            ("SerialNr", text(&self.serial_nr, terms.serial_nr.as_deref().unwrap_or_default())),
            ("OwnerDescription", text(&self.owner_description, owner.description())),
            ("LicenseUrl", text(&self.license_url, owner.shop_url.as_deref().unwrap_or_default())),
            ("NextCheckDate", date(self.dates.next_check, dates.next_check)),
            ("MaintenanceDate", date(self.dates.maintenance, dates.maintenance)),
            ("AdminWarningDate", date(self.dates.admin_warning, dates.admin_warning)),
            ("ExpiryDate", date(self.dates.expires, dates.expires)),
            ("GraceDate", date(self.dates.grace, dates.grace)),
            ("ModuleLicenses", self.modules_are_those_of(terms)),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
    }

    /// Every module once, with its number; a module without seats may be left out.
    fn modules_are_those_of(&self, terms: &Terms) -> bool {
        let mut left = terms.seats.map(Some);
        for (name, number) in &self.modules {
            let Some(license_type) = LicenseType::of_module(name) else { return false };
            if left[license_type.index()].take() != Some(i64::from(*number)) {
                return false;
            }
        }
        left.into_iter().flatten().all(|seats| seats == 0)
    }
}

/// A pool of an owner that has started and not expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPool {
    pub id: i64,
    pub license_type: LicenseType,
    pub seats_total: i64,
    pub seats_in_use: i64,
    pub expires_at: Option<Timestamp>,
}

/// The change of a pool by an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolChange {
    Resize { pool_id: i64, seats_total: i64 },
    Create { license_type: LicenseType, seats_total: i64 },
}

/// The most seats of one pool, as in the schema.
pub const POOL_SEATS_MAX: i64 = 10_000_000;

/// Gives the pools of one type `seats` in total. Adds seats to the pool that lasts longest, and removes free seats from the pools
/// that expire first. `None`: more seats are in use.
fn resize(license_type: LicenseType, pools: &[OpenPool], seats: i64) -> Option<Vec<PoolChange>> {
    let mut pools = pools.to_vec();
    pools.sort_by_key(|p| (p.expires_at.unwrap_or(Timestamp::MAX), std::cmp::Reverse(p.id)));
    let more = seats - pools.iter().map(|p| p.seats_total).sum::<i64>();
    if more > 0 {
        return Some(vec![match pools.last() {
            Some(last) if last.seats_total + more <= POOL_SEATS_MAX => {
                PoolChange::Resize { pool_id: last.id, seats_total: last.seats_total + more }
            }
            _ => PoolChange::Create { license_type, seats_total: more },
        }]);
    }
    let mut less = -more;
    let mut changes = Vec::new();
    for pool in pools {
        let taken_off = less.min(pool.seats_total - pool.seats_in_use);
        if taken_off > 0 {
            changes.push(PoolChange::Resize { pool_id: pool.id, seats_total: pool.seats_total - taken_off });
            less -= taken_off;
        }
    }
    (less == 0).then_some(changes)
}

#[cfg(test)]
mod tests;
