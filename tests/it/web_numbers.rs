//! Whatever stands in the database, all surfaces tell the same of it: every number, date, flag, status and text; and the
//! numbers are those of the rows. Random pools, offers, texts and seats, set by SQL as administrators set them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::types::FromSql;
use seatkeeper::seats::LicenseType;
use seatkeeper::soap::envelope::Element;

use crate::harness::*;
use crate::kill::{Random, number_from};
use crate::netserver_soap::{at, numbers};
use crate::surfaces::{Caller, Form, Outcome, SURFACES, Surface, assert_alike, lines};

/// Owners of [`owners_data`], and one below CONTOSO that is added.
const NAMES: [&str; 3] = ["CONTOSO", "FABRIKAM", "WEST"];
const ENTITIES: [i32; 3] = [42, 43, 420];
const ASSOCIATES: [i32; 6] = [101, 102, 103, 104, 105, 999];
/// Far enough from now that none comes while the test runs.
const PAST: &str = "2020-02-29T12:34:56Z";
const FUTURE: &str = "2096-08-31T23:59:59Z";
/// Also around the hours that clocks skip and repeat, and the ends of what .NET has.
const DATES: [&str; 9] = [
    PAST,
    FUTURE,
    "2027-03-28T00:59:59Z",
    "2027-03-28T01:00:00Z",
    "2027-10-31T00:30:00Z",
    "2027-10-31T01:30:00Z",
    "1999-12-31T23:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-30T12:00:00Z",
];
const TEXTS: [&str; 7] = [
    "Contoso",
    "A & B <C> \"d\" 'e'",
    "größe 名 \u{1F512}",
    " ",
    "line\r\nand\ttab ",
    "]]>&amp;\\u0041\\",
    "http://x/?a=1&b=2",
];
/// Zones that a caller can name, by code or number, and where their rules are; without, it is the base zone.
const ZONES: [(Option<&str>, Option<&str>); 10] = [
    (None, None),
    (Some("XX"), None),
    (Some("UTC"), Some("UTC")),
    (Some("NO"), Some("Europe/Oslo")),
    (Some("261"), Some("Europe/Oslo")),
    (Some("US-NY"), Some("America/New_York")),
    (Some("433"), Some("Pacific/Honolulu")),
    (Some("CA-NL"), Some("America/St_Johns")),
    (Some("NP"), Some("Asia/Kathmandu")),
    (Some("AU-ACT"), Some("Australia/Sydney")),
];

/// What CONTOSO comes to first, each after the one before, and what is seen then: random ones alone could be too alike for
/// the test to fail. Associate 101 is asked about.
const FIRST: [(&str, &[&str]); 8] = [
    ("UPDATE entity SET next_check_at = '2027-10-31T00:30:00Z' WHERE id = 42", &["Ok", "a local time", "can be assigned"]),
    (
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (21, 42, 'SqlBackup', 2), (22, 42, 'SqlBackup', 2);
         UPDATE seat SET account_id = 101 WHERE pool_id = 2 AND seat_no = 1;
         UPDATE seat SET account_id = 102 WHERE pool_id = 22 AND seat_no = 1;
         UPDATE seat SET account_id = 103 WHERE pool_id = 3 AND seat_no = 1;
         UPDATE license_pool SET seats_total = 1 WHERE id = 3;
         UPDATE license_pool SET expires_at = '2020-02-29T12:34:56Z' WHERE id = 22",
        &["seats in use", "none left", "a seat of a pool that is not open", "several pools of a type", "held"],
    ),
    ("INSERT INTO license_offer (entity_id) VALUES (42)", &["an offer of what there is"]),
    ("INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 9), (42, 'SkraftDiskImageV5', 2)", &["more offered", "fewer offered", "NewLicenseAvailable"]),
    ("UPDATE license_offer SET serial_nr = '1010000022' WHERE entity_id = 42", &["NewSerialAvailable"]),
    ("UPDATE license_offer SET company_name = 'Contoso & Sons' WHERE entity_id = 42", &["NewCompanyNameAvailable"]),
    ("INSERT INTO license_offer_module VALUES (42, 'ExchangeBackup', 0)", &["offered below use", "ProblemWithLicense"]),
    (
        "DELETE FROM license_offer WHERE entity_id = 42;
         UPDATE entity SET admin_warning_at = '2020-02-29T12:34:56Z' WHERE id = 42",
        &["UseCustomMessageAndUrl"],
    ),
];

/// The callers: credential, entity, and whether the role may assign.
const USERS: [(&str, i32, bool); 3] = [("agent", 1, true), ("contoso", 42, true), ("reader", 1, false)];

/// `SEATKEEPER_SNAPSHOTS=1000` for a long run; `SEATKEEPER_SEED` to see one again.
#[test]
fn all_surfaces_tell_the_same_and_the_numbers_are_those_of_the_rows() {
    let snapshots = number_from("SEATKEEPER_SNAPSHOTS").unwrap_or(24);
    let mut random = Random::from_seed();
    let server = Server::with_owners();
    server.sql(
        "INSERT INTO entity (id, parent_id, name, owner_name) VALUES (420, 42, 'Contoso West', 'WEST');
         INSERT INTO account (id, username, entity_id) VALUES (104, 'wes', 420), (105, 'zoe', 42);",
    );
    let tickets = USERS.map(|(user, ..)| server.netserver_sign_in(user));
    let rows = server.database().session();
    let mut connection = server.connect();
    let mut look = |random: &mut Random, name: &str, user: usize, zone: usize, associate: i32, script: &str| {
        let (zone, rules) = ZONES[zone];
        let (who, root, may_assign) = USERS[user];
        let context = format!("{name} as told to {who} in zone {zone:?}, associate {associate}, after: {script}");
        let caller = Caller { ticket: &tickets[user], zone };
        let mut asked = Asked { connection: &mut connection, caller, associate, context };
        let rows = Rows { connection: &rows, root, may_assign, rules };
        compare(&mut asked, name, &rows, random)
    };
    for (script, expected) in FIRST {
        server.sql(script);
        let seen = look(&mut random, "CONTOSO", 0, 3, 101, script);
        assert!(expected.iter().all(|what| seen.contains(what)), "{seen:?} after: {script}");
    }
    for _ in 0..snapshots {
        let at = random.below(3) as usize;
        let (entity, name) = (ENTITIES[at], if random.below(16) == 0 { "NOBODY" } else { NAMES[at] });
        let script = change(&rows, &mut random, entity);
        let (user, zone) = (random.below(3) as usize, random.below(ZONES.len() as u64) as usize);
        let associate = *pick(&mut random, &ASSOCIATES);
        look(&mut random, name, user, zone, associate, &script);
    }
    assert_eq!(server.violations(), []);
}

fn pick<'a, T>(random: &mut Random, from: &'a [T]) -> &'a T {
    &from[random.below(from.len() as u64) as usize]
}

// Changes ------------------------------------------------------------------------------------------------------------

/// Some statements, most of them on one owner, each alone: what the schema refuses is left out.
fn change(rows: &Session, random: &mut Random, entity: i32) -> String {
    let mut script: Vec<String> = (0..random.between(4, 12)).map(|_| of_pools(random, entity)).collect();
    script.extend([of_entity(random, entity), of_entity(random, entity)]);
    script.push(format!(
        "UPDATE account SET active = {} WHERE id = {}",
        random.below(3).min(1),
        pick(random, &ASSOCIATES)
    ));
    script.push(format!("DELETE FROM license_offer WHERE entity_id = {entity}"));
    if random.below(4) > 0 {
        script.push(offer(random, entity));
        script.extend(LicenseType::ALL.iter().filter_map(|license_type| {
            let seats = random.below(12);
            (seats < 6).then(|| {
                format!("INSERT INTO license_offer_module VALUES ({entity}, '{}', {seats})", license_type.name())
            })
        }));
    }
    script.retain(|statement| rows.sql(statement).is_ok());
    script.join("; ")
}

fn of_pools(random: &mut Random, entity: i32) -> String {
    let license_type = pick(random, &LicenseType::ALL).name();
    let (pool, seats, associate) = (random.between(1, 12), random.below(6), pick(random, &ASSOCIATES));
    let of_type = format!("entity_id = {entity} AND license_type = '{license_type}'");
    let one_of_type = format!("(SELECT id FROM license_pool WHERE {of_type} ORDER BY id * {pool} % 7 LIMIT 1)");
    match random.below(16) {
        0..7 => format!(
            "UPDATE seat SET account_id = {associate} WHERE account_id IS NULL AND (pool_id, seat_no) IN
                 (SELECT pool_id, min(seat_no) FROM seat WHERE account_id IS NULL AND pool_id = {one_of_type})"
        ),
        7 => format!("UPDATE seat SET account_id = NULL WHERE account_id = {associate}"),
        8 => format!("UPDATE license_pool SET seats_total = {seats} WHERE id = {one_of_type}"),
        9 => format!(
            "UPDATE license_pool SET seats_total = (SELECT count(account_id) FROM seat WHERE pool_id = id) WHERE {of_type}"
        ),
        10..12 => format!(
            "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES ({pool}, {entity}, '{license_type}', {seats})"
        ),
        12 => format!("UPDATE license_pool SET starts_at = '{FUTURE}', expires_at = NULL WHERE id = {pool}"),
        13 => format!("UPDATE license_pool SET starts_at = NULL, expires_at = '{PAST}' WHERE id = {pool}"),
        _ => format!("UPDATE license_pool SET starts_at = '{PAST}', expires_at = '{FUTURE}' WHERE id = {one_of_type}"),
    }
}

fn of_entity(random: &mut Random, entity: i32) -> String {
    let value = match random.below(7) {
        0 => "admin_warning_at = NULL, expires_at = NULL, grace_at = NULL".to_owned(),
        1..3 => format!("admin_warning_at = '{PAST}', expires_at = '{FUTURE}', grace_at = NULL"),
        3 => format!("{} = {}", pick(random, &COLUMNS), quoted(random, &DATES, 2)),
        4 => "active = 1 - active".to_owned(),
        _ => {
            let column = pick(random, &["name", "owner_description", "serial_nr", "shop_url"]);
            format!("{column} = {}", quoted(random, &TEXTS, 6))
        }
    };
    format!("UPDATE entity SET {value} WHERE id = {entity}")
}

/// An offer in which most is as it is.
fn offer(random: &mut Random, entity: i32) -> String {
    let texts = [quoted(random, &TEXTS, 2), quoted(random, &TEXTS, 3)];
    let dates = COLUMNS.map(|_| quoted(random, &DATES, 1)).map(|date| if random.below(2) == 0 { date } else { null() });
    format!("INSERT INTO license_offer VALUES ({entity}, {}, {})", texts.join(", "), dates.join(", "))
}

/// One of them `often` times of eight, else null.
fn quoted(random: &mut Random, from: &[&str], often: u64) -> String {
    let text = pick(random, from);
    if random.below(8) < often { format!("'{}'", text.replace('\'', "''")) } else { null() }
}

fn null() -> String {
    "NULL".to_owned()
}

// What is told -------------------------------------------------------------------------------------------------------

/// A caller, on one connection.
struct Asked<'a> {
    connection: &'a mut Client,
    caller: Caller<'a>,
    associate: i32,
    context: String,
}

impl Asked<'_> {
    /// What all surfaces that have the operation tell alike.
    fn all(&mut self, operation: &str, arguments: &str) -> Outcome {
        let mut first: Option<Outcome> = None;
        for surface in SURFACES.into_iter().filter(|surface| surface.has(operation)) {
            let outcome = self.one(surface, self.caller, operation, arguments);
            match &first {
                Some(first) => {
                    assert_alike(&outcome, first, &format!("{surface:?} {operation} {arguments}, {}", self.context))
                }
                None => first = Some(outcome),
            }
        }
        first.expect("SOAP has every operation")
    }

    fn told(&mut self, operation: &str, arguments: &str) -> Element {
        self.all(operation, arguments).unwrap_or_else(|e| panic!("{operation} {arguments}, {}: {e:?}", self.context))
    }

    fn one(&mut self, surface: Surface, caller: Caller, operation: &str, arguments: &str) -> Outcome {
        let request = surface.request(caller, operation, arguments).expect("it can be written on all of them");
        surface.read(operation, &self.connection.send(&request))
    }
}

/// Asks everything, of this owner and of all, and holds what is told to the rows. Gives what is to be seen there.
fn compare(asked: &mut Asked, name: &str, rows: &Rows, random: &mut Random) -> BTreeSet<&'static str> {
    let (associate, context) = (asked.associate, asked.context.clone());
    let (stored, mut seen) = of_one(asked, name, rows, random);
    let owners: Vec<_> = NAMES.iter().filter_map(|name| Some((*name, rows.facts(name, associate)?))).collect();

    let all = asked.told("GetLicenseForAllOwnersFromDB", "");
    assert_eq!(names_of(&all, "Current/OwnerName"), names_of_all(&owners), "{context}");
    for (license, (of, facts)) in all.children.iter().zip(&owners) {
        let told = [0, 1, 2].map(|m| numbers(license, m));
        assert_eq!(told, [0, 1, 2].map(|m| facts.numbers(m, false)), "{of}, {context}");
        if *of == name {
            let alone = lines(&stored)
                .iter()
                .map(|line| line.replacen("Response", "ExtendedLicenseInfo", 1))
                .collect::<Vec<_>>();
            assert_eq!(lines(license), alone, "{context}");
        }
    }

    for (operation, arguments, of_site) in [
        ("GetSatelliteLicenses", "<SatelliteId>0</SatelliteId>".to_owned(), true),
        ("GetUserLicenses", format!("<AssociateId>{associate}</AssociateId>"), false),
    ] {
        let told = asked.told(operation, &arguments);
        let names = names_of(&told, "Name");
        let known = names_of_all(&owners);
        assert!(names.iter().all(|name| known.contains(name)) && (!of_site || names == known), "{names:?} {context}");
        for owner in &told.children {
            let (_, facts) = owners.iter().find(|(name, _)| *name == at(owner, "Name").text).expect("known");
            let links = &at(owner, "RestrictedModuleLicenses").children;
            assert_eq!(links.len(), 3);
            links.iter().for_each(|link| facts.assert_link(link, of_site, &context));
        }
    }

    let list = asked.told("GetUserLicensesMDOList", "");
    assert_eq!(names_of(&list, "Name"), names_of_all(&owners), "{context}");
    for (item, (_, facts)) in list.children.iter().zip(&owners) {
        assert_eq!(names_of(at(item, "ChildItems"), "ToolTip"), [0, 1, 2].map(|m| facts.tooltip(m)), "{context}");
    }
    if with_offsets(asked) {
        seen.insert("a local time");
    }
    seen
}

/// What is told of one owner: how it stands in the database.
fn of_one(asked: &mut Asked, name: &str, rows: &Rows, random: &mut Random) -> (Element, BTreeSet<&'static str>) {
    const ALL: [usize; 3] = [0, 1, 2];
    let (associate, context) = (asked.associate, asked.context.clone());
    let owner = format!("<OwnerName>{name}</OwnerName>");
    let granted = asked.told("GetLicenseFromLicenseServer", &owner);
    let stored = asked.told("GetLicenseFromDB", &owner);
    let status = asked.told("GetLicenseStatusFromLicenseServer", &owner);
    let shop = asked.told("GetShopUrl", &owner);
    let (number, module) = pick(random, &MODULES);
    let one = asked.told("GetModuleLicenseFromDB", &format!("{owner}<ModuleName>{module}</ModuleName>"));
    let held = format!("<AssociateId>{associate}</AssociateId><ModuleOwner>{name}</ModuleOwner>");
    let held = asked.told("GetThirdPartyLicenseAssignments", &held);

    let Some(facts) = rows.facts(name, associate) else {
        let nothing = [&granted, &stored, &shop, &one].map(lines);
        assert!(nothing.iter().all(|lines| lines == &["Response is null"]), "{context}: {nothing:?}");
        assert_eq!(at(&status, "LicenseStatus").text, "ProblemWithLicense", "{context}");
        assert_eq!(lines(&held), ["Response = "], "{context}");
        return (stored, BTreeSet::new());
    };
    assert_eq!(ALL.map(|m| numbers(&granted, m)), ALL.map(|m| facts.numbers(m, true)), "{context}");
    assert_eq!(ALL.map(|m| numbers(&stored, m)), ALL.map(|m| facts.numbers(m, false)), "{context}");
    assert_eq!(rows.terms_told(at(&granted, "New")), facts.new, "{context}");
    assert_eq!(rows.terms_told(at(&granted, "Current")), facts.current, "{context}");
    assert_eq!(rows.terms_told(at(&stored, "Current")), facts.current, "{context}");
    assert!(at(&stored, "New").is_nil(), "{context}");
    let can_be_activated = at(&granted, "CanBeActivated").text == "true";
    assert_eq!(can_be_activated, !facts.is_a_problem(), "{context}");
    assert_eq!(can_be_activated, at(&granted, "Reason").text.is_empty(), "{context}");
    assert_eq!(at(&status, "LicenseStatus").text, facts.status(), "{context}");
    assert_eq!(shop.text, facts.shop_url, "{context}");
    match number {
        Some(number) => assert_eq!(at(&one, "NumberOfLicenses").text, facts.current.seats[*number].to_string()),
        None => assert!(one.is_nil(), "{context}"),
    }
    let names = ALL.into_iter().filter(|m| facts.held[*m]).map(|m| MODULES[m].1.to_uppercase());
    assert_eq!(names_of(&held, "Name"), names.collect::<Vec<_>>(), "{context}");
    held.children.iter().for_each(|link| facts.assert_link(link, false, &context));
    (stored, facts.seen())
}

fn names_of<'e>(list: &'e Element, path: &str) -> Vec<&'e str> {
    list.children.iter().map(|item| at(item, path).text.as_str()).collect()
}

fn names_of_all(owners: &[(&'static str, Facts)]) -> Vec<&'static str> {
    owners.iter().map(|(name, _)| *name).collect()
}

/// What SOAP cannot ask for and the Web API can: local times with their offset. They are those without, and a suffix that
/// makes the instants of them that are told without a zone. Whether there was one.
fn with_offsets(asked: &mut Asked) -> bool {
    const OPERATION: &str = "GetLicenseFromLicenseServer";
    const OWNER: &str = "<OwnerName>CONTOSO</OwnerName>";
    let caller = asked.caller;
    let local = asked.told(OPERATION, OWNER);
    let zone = caller.zone.map_or("includeTZOffset".to_owned(), |zone| format!("{zone}, includeTZOffset"));
    let mut told = |surface, zone| asked.one(surface, Caller { zone, ..caller }, OPERATION, OWNER).expect("told");
    let instants = told(SURFACES[0], None);
    let mut differ = false;
    for form in [Form::Json, Form::Xml] {
        let suffixed = told(Surface::Agent(form), Some(&zone));
        assert_eq!((lines(&suffixed).len(), lines(&local).len()), (lines(&instants).len(), lines(&instants).len()));
        for ((suffixed, local), instant) in lines(&suffixed).iter().zip(lines(&local)).zip(lines(&instants)) {
            if local == instant {
                assert_eq!(*suffixed, instant);
                continue;
            }
            let time =
                |line: &str| -> Timestamp { line.rsplit(' ').next().and_then(|t| t.parse().ok()).expect("a time") };
            assert!(suffixed.starts_with(&local) && time(suffixed) == time(&instant), "{suffixed} {local} {instant}");
            differ = true;
        }
    }
    differ
}

// What there is ------------------------------------------------------------------------------------------------------

/// The modules, in their order, as they can be asked for, and one that does not exist.
const MODULES: [(Option<usize>, &str); 4] =
    [(Some(0), "SKRAFTDISKIMAGEV5"), (Some(1), "sqlbackup"), (Some(2), "ExchangeBackup"), (None, "SALES")];

/// The rows, read for one caller: plain counts of seats, and texts as they stand.
struct Rows<'a> {
    connection: &'a Session,
    /// The caller's entity.
    root: i32,
    /// Whether the caller's role may assign.
    may_assign: bool,
    /// The rules of the caller's zone; `None`: the base zone.
    rules: Option<&'a str>,
}

/// One owner.
struct Facts {
    /// Whether the associate would get a seat now.
    can_assign: [bool; 3],
    shop_url: String,
    current: Terms,
    new: Terms,
    in_use: [i32; 3],
    held: [bool; 3],
    /// By which warnings start, and which end has come.
    warned: bool,
    ended: bool,
    in_order: bool,
    has_offer: bool,
    closed_seats: i32,
    pools_of_a_type: i32,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Terms {
    company_name: String,
    serial_nr: String,
    dates: [String; 5],
    seats: [i32; 3],
}

/// Moments that are compared here by the hand of SQL, which knows their order.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')";
const COLUMNS: [&str; 5] = ["next_check_at", "maintenance_at", "admin_warning_at", "expires_at", "grace_at"];
const MEMBERS: [&str; 5] = ["NextCheckDate", "MaintenanceDate", "AdminWarningDate", "ExpiryDate", "GraceDate"];

impl Rows<'_> {
    fn value<T: FromSql>(&self, query: &str) -> T {
        self.connection.value(&format!("SELECT {query}"))
    }

    fn is_below_root(&self, entity: i32) -> bool {
        self.value(&format!(
            "{} IN (WITH RECURSIVE below (id) AS (SELECT {} UNION SELECT entity.id FROM entity JOIN below ON parent_id = below.id) SELECT id FROM below)",
            entity, self.root
        ))
    }

    /// `None`: the caller knows no such owner.
    fn facts(&self, name: &str, associate: i32) -> Option<Facts> {
        let entity: Option<i32> = self.value(&format!("(SELECT id FROM entity WHERE owner_name = '{name}')"));
        let entity = entity.filter(|entity| self.is_below_root(*entity))?;
        let home: Option<i32> = self.value(&format!("(SELECT entity_id FROM account WHERE id = {associate})"));
        let is_known = home.is_some_and(|home| self.is_below_root(home));

        let open =
            format!("((starts_at IS NULL OR starts_at <= {NOW}) AND (expires_at IS NULL OR expires_at > {NOW}))");
        let seats = format!("FROM seat JOIN license_pool ON id = pool_id WHERE entity_id = {entity}");
        let of_type =
            |m: usize| format!("{seats} AND license_pool.license_type = '{}' AND {open}", LicenseType::ALL[m].name());
        let each = |what: &str, condition: &str| -> [i32; 3] {
            [0, 1, 2].map(|m| self.value(&format!("count({what}) {} {condition}", of_type(m))))
        };
        let total = each("*", "");
        let offered: [Option<i32>; 3] = [0, 1, 2].map(|m| {
            let license_type = LicenseType::ALL[m].name();
            self.value(&format!(
                "(SELECT seats_total FROM license_offer_module WHERE entity_id = {entity} AND license_type = '{license_type}')"
            ))
        });
        // Of the entity, and of the offer or, where that says nothing, of the entity. No date is no date.
        let of_entity = |column: &str| format!("(SELECT {column} FROM entity WHERE id = {entity})");
        let of_offer = |column: &str, own: &str| {
            format!("coalesce((SELECT {column} FROM license_offer WHERE entity_id = {entity}), {})", of_entity(own))
        };
        let date_of_entity = |column: &str| format!("nullif({}, '0001-01-01T00:00:00Z')", of_entity(column));
        let date_of_offer = |column: &str| format!("nullif({}, '0001-01-01T00:00:00Z')", of_offer(column, column));
        let text = |query: String| self.value::<Option<String>>(&query).unwrap_or_default();
        let in_order = |a: &str, b: &str| format!("coalesce({} <= {}, true)", date_of_offer(a), date_of_offer(b));
        Some(Facts {
            can_assign: [0, 1, 2].map(|m| {
                let license_type = LicenseType::ALL[m].name();
                self.may_assign
                    && is_known
                    && self.value(&format!("{} = 1 AND (SELECT active FROM account WHERE id = {associate}) = 1", of_entity("active")))
                    && self.value(&format!("EXISTS (SELECT 1 {} AND account_id IS NULL)", of_type(m)))
                    && !self.value::<bool>(&format!(
                        "EXISTS (SELECT 1 FROM seat JOIN license_pool ON id = pool_id WHERE account_id = {associate}
                                    AND seat.license_type = '{license_type}' AND (expires_at IS NULL OR expires_at > {NOW}))"
                    ))
            }),
            shop_url: text(of_entity("shop_url")),
            current: Terms {
                company_name: text(of_entity("name")),
                serial_nr: text(of_entity("serial_nr")),
                dates: COLUMNS.map(|column| self.date(self.value(&date_of_entity(column)))),
                seats: total,
            },
            new: Terms {
                company_name: text(of_offer("company_name", "name")),
                serial_nr: text(of_offer("serial_nr", "serial_nr")),
                dates: COLUMNS.map(|column| self.date(self.value(&date_of_offer(column)))),
                seats: [0, 1, 2].map(|m| offered[m].unwrap_or(total[m])),
            },
            in_use: each("account_id", ""),
            held: each("*", &format!("AND account_id = {associate}")).map(|seats| is_known && seats > 0),
            warned: self.value(&format!("coalesce({} <= {NOW}, false)", date_of_entity("admin_warning_at"))),
            ended: self.value(&format!("coalesce({} <= {NOW}, false)", date_of_offer("grace_at"))),
            in_order: self.value(&format!(
                "{} AND {} AND {}",
                in_order("admin_warning_at", "expires_at"),
                in_order("expires_at", "grace_at"),
                in_order("admin_warning_at", "grace_at")
            )),
            has_offer: self.value(&format!("EXISTS (SELECT 1 FROM license_offer WHERE entity_id = {entity})")),
            closed_seats: self.value(&format!("count(account_id) {seats} AND NOT {open}")),
            pools_of_a_type: self.value(&format!(
                "coalesce((SELECT max(n) FROM (SELECT count(*) AS n FROM license_pool WHERE entity_id = {entity} AND {open} GROUP BY license_type) AS q), 0)"
            )),
        })
    }

    /// As the caller reads it.
    fn date(&self, at: Option<String>) -> String {
        match (at, self.rules) {
            (None, _) => "0001-01-01T00:00:00".to_owned(),
            (Some(at), None) => at,
            (Some(at), Some(rules)) => {
                at.parse::<Timestamp>().expect("a time").in_tz(rules).expect("a zone").datetime().to_string()
            }
        }
    }

    /// The members of a LicenseInfo that come from rows.
    fn terms_told(&self, license: &Element) -> Terms {
        let member = |name: &str| at(license, name).text.clone();
        let seats = |m: usize| at(license, &format!("ModuleLicenses/ModuleLicense#{m}/NumberOfLicenses")).text.parse();
        Terms {
            company_name: member("CompanyName"),
            serial_nr: member("SerialNr"),
            dates: MEMBERS.map(member),
            seats: [0, 1, 2].map(|m| seats(m).expect("a number")),
        }
    }
}

impl Facts {
    /// InUse, Free, Added, NewTotal, NewFree, Total; where nothing is told of what is new it is what there is.
    fn numbers(&self, module: usize, with_new: bool) -> [i32; 6] {
        let (total, in_use) = (self.current.seats[module], self.in_use[module]);
        let new = if with_new { self.new.seats[module] } else { total };
        [in_use, total - in_use, new - total, new, new - in_use, total]
    }

    fn is_a_problem(&self) -> bool {
        self.ended || !self.in_order || (0..3).any(|m| self.in_use[m] > self.new.seats[m])
    }

    fn status(&self) -> &'static str {
        match () {
            () if self.is_a_problem() => "ProblemWithLicense",
            () if self.new.company_name != self.current.company_name => "NewCompanyNameAvailable",
            () if self.new.serial_nr != self.current.serial_nr => "NewSerialAvailable",
            () if self.new != self.current => "NewLicenseAvailable",
            () if self.warned && self.shop_url.is_empty() => "UseCustomMessage",
            () if self.warned => "UseCustomMessageAndUrl",
            () => "Ok",
        }
    }

    fn tooltip(&self, module: usize) -> String {
        format!("{} of {} in use", self.in_use[module], self.current.seats[module])
    }

    /// `of_site`: told of the site itself, to which nothing can be assigned; else of the associate.
    fn assert_link(&self, link: &Element, of_site: bool, context: &str) {
        let member = |name: &str| at(link, name).text.clone();
        let is_this = |(_, name): &(_, &str)| name.eq_ignore_ascii_case(&member("Name"));
        let module = MODULES.iter().position(is_this).expect("a module");
        let [in_use, free, .., total] = self.numbers(module, false);
        let (assigned, can_assign) = match of_site {
            true => (total > 0, false),
            false => (self.held[module], self.can_assign[module]),
        };
        let told = ["InUse", "Free", "Total", "Assigned", "CanAssign", "Tooltip"].map(member);
        let counted = [in_use, free, total].map(|n| n.to_string());
        let [in_use, free, total] = counted;
        let tooltip = self.tooltip(module);
        assert_eq!(told, [in_use, free, total, assigned.to_string(), can_assign.to_string(), tooltip], "{context}");
    }

    /// What there is to be seen here.
    fn seen(&self) -> BTreeSet<&'static str> {
        let numbers = [0, 1, 2].map(|m| self.numbers(m, true));
        let all = [
            (self.status(), true),
            ("seats in use", self.in_use.iter().any(|n| *n > 0)),
            ("none left", numbers.iter().any(|[in_use, free, ..]| *in_use > 0 && *free == 0)),
            ("a seat of a pool that is not open", self.closed_seats > 0),
            ("several pools of a type", self.pools_of_a_type > 1),
            ("an offer of what there is", self.has_offer && self.new == self.current),
            ("more offered", numbers.iter().any(|[_, _, added, ..]| *added > 0)),
            ("fewer offered", numbers.iter().any(|[_, _, added, ..]| *added < 0)),
            ("offered below use", numbers.iter().any(|[.., new_free, _]| *new_free < 0)),
            ("held", self.held.contains(&true)),
            ("can be assigned", self.can_assign.contains(&true)),
        ];
        all.into_iter().filter(|(_, is_so)| *is_so).map(|(what, _)| what).collect()
    }
}
