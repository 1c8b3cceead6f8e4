//! Offers: what the issuer offers entities next.

use std::collections::HashMap;

use super::page::{Key, Page, Start, by_ids, count, folded, has_part, scan, wanted};
use super::pools::license_type;
use super::scope::{Among, EntityFilter, Way, not_found};
use super::{Admin, Row, Sql, Stop, Value};
use crate::license::Dates;
use crate::seats::LicenseType;

/// Which offers are asked for: those that fit all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferFilter {
    pub entity: Option<EntityFilter>,
    /// A part of the entity's name or owner name, of the company name or the serial number, in any case.
    pub text: Option<String>,
}

/// An offer. What is `None` stays as it is when the offer is activated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferRow {
    pub entity_id: i64,
    pub entity_name: String,
    pub owner_name: Option<String>,
    pub company_name: Option<String>,
    pub serial_nr: Option<String>,
    pub dates: Dates,
    /// The seats of each type that the offer names, as they are after the activation.
    pub modules: Vec<(LicenseType, i64)>,
}

/// The offers that fit a filter, by the ids of their entities.
pub fn list(
    sql: &dyn Sql,
    admin: &Admin,
    filter: &OfferFilter,
    start: &Start,
    limit: usize,
) -> Result<Page<OfferRow>, Stop> {
    let Some(among) = Among::new(sql, admin, filter.entity)? else { return Ok(Page::default()) };
    let way = among.way("license_offer")?;
    let text = wanted(filter.text.as_deref()).map(folded);
    let mut read = |from: Option<&Key>, back: bool, n: usize| {
        let (condition, direction, first) = if back { ("<", "DESC", i64::MAX) } else { (">", "ASC", 0) };
        let mut values = vec![Value::Int(from.map_or(first, |key| key.id)), count(n)];
        let (below, among) = match &way {
            Way::Sort { root, below } => {
                values.push(Value::Int(*root));
                // The root is the third parameter here.
                (below.replace("$1", "$3"), "JOIN below ON below.id = license_offer.entity_id")
            }
            Way::Scan => (String::new(), ""),
        };
        let text = format!(
            "{below} SELECT {COLUMNS} FROM license_offer JOIN entity ON entity.id = license_offer.entity_id {among}
              WHERE license_offer.entity_id {condition} $1 ORDER BY license_offer.entity_id {direction} LIMIT $2"
        );
        sql.rows(&text, &values)?.iter().map(offer).collect::<Result<Vec<_>, _>>()
    };
    let mut keep = |mut found: Vec<OfferRow>| {
        found.retain(|row| {
            let texts = [
                Some(row.entity_name.as_str()),
                row.owner_name.as_deref(),
                row.company_name.as_deref(),
                row.serial_nr.as_deref(),
            ];
            text.as_ref().is_none_or(|text| has_part(text, texts))
        });
        among.retain(found, |row| row.entity_id)
    };
    let mut page = scan(start, limit, &mut read, &|row: &OfferRow| Key::of_id(row.entity_id), &mut keep)?;
    complete(sql, &mut page.rows)?;
    Ok(page)
}

const COLUMNS: &str =
    "license_offer.entity_id, entity.name, entity.owner_name, license_offer.company_name, license_offer.serial_nr,
    license_offer.next_check_at, license_offer.maintenance_at, license_offer.admin_warning_at, license_offer.expires_at,
    license_offer.grace_at";

fn offer(row: &Row) -> Result<OfferRow, Stop> {
    Ok(OfferRow {
        entity_id: row.int(0)?,
        entity_name: row.text(1)?,
        owner_name: row.opt_text(2)?,
        company_name: row.opt_text(3)?,
        serial_nr: row.opt_text(4)?,
        dates: Dates {
            next_check: row.time(5)?,
            maintenance: row.time(6)?,
            admin_warning: row.time(7)?,
            expires: row.time(8)?,
            grace: row.time(9)?,
        },
        modules: Vec::new(),
    })
}

/// The offer to an entity that the caller may see.
pub fn one(sql: &dyn Sql, admin: &Admin, entity_id: i64) -> Result<OfferRow, Stop> {
    let filter = OfferFilter { entity: Some(EntityFilter { id: entity_id, below: false }), text: None };
    let page = list(sql, admin, &filter, &Start::First, 1)?;
    page.rows.into_iter().next().ok_or_else(|| not_found("offer", entity_id))
}

fn complete(sql: &dyn Sql, rows: &mut [OfferRow]) -> Result<(), Stop> {
    let ids: Vec<i64> = rows.iter().map(|row| row.entity_id).collect();
    let text = "SELECT entity_id, license_type, seats_total FROM license_offer_module WHERE entity_id IN ($ids)";
    let mut modules: HashMap<i64, Vec<(LicenseType, i64)>> = HashMap::new();
    for row in by_ids(sql, text, &[], &ids)? {
        modules.entry(row.int(0)?).or_default().push((license_type(&row, 1)?, row.int(2)?));
    }
    for row in rows {
        row.modules = modules.remove(&row.entity_id).unwrap_or_default();
        row.modules.sort_by_key(|(license_type, _)| license_type.index());
    }
    Ok(())
}
