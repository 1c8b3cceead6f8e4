//! The worlds of the model in a database: their rows, how calls on them are written on each surface, and what answers say of them.

use jiff::Timestamp;
use seatkeeper::soap::Version;
use seatkeeper::soap::envelope::{self, Element};

use super::model::{
    Call, LAYOUT, Numbers, Owner, POOLS, PoolLine, PoolNo, Reply, State, Status, TYPES, Type, USERS, User, Window,
};
use crate::harness::*;
use crate::kill::Random;
use crate::netserver_soap::{at, numbers};
use crate::surfaces::{Caller, Form, Surface};

/// One world of a database. Its ids follow from its number.
#[derive(Debug, Clone, Copy)]
pub struct World(pub u16);

/// How a call is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Asmx(Version),
    NetServer(Surface),
}

/// The surfaces of NetServer that the model's calls are made on.
const NETSERVER: [Surface; 5] = [
    Surface::Soap(Version::Soap11),
    Surface::Soap(Version::Soap12),
    Surface::Agent(Form::Json),
    Surface::Agent(Form::Xml),
    Surface::Resource(Form::Json),
];

/// What an answer means for the history.
#[derive(Debug)]
pub enum Meaning {
    Reply(Reply),
    /// Nothing was changed, and the answer says so: the call is left out of the history.
    Unavailable,
    /// The answer says that it is not known whether the call took effect.
    Unknown,
}

/// The credential that makes all calls.
pub const CALLER: &str = "admin";

/// The rows that all worlds share.
pub fn shared_rows() -> String {
    format!(
        "INSERT INTO entity (id, name) VALUES (1, 'Northwind');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('{CALLER}', '{}', 1, 'admin');",
        *PASSWORD_HASH
    )
}

impl World {
    fn entity(self) -> i32 {
        10 * (i32::from(self.0) + 1)
    }

    pub fn owner(self, owner: Owner) -> i32 {
        self.entity() + 1 + i32::from(owner)
    }

    fn owner_name(self, owner: Owner) -> String {
        format!("OWNER{}{}", self.0, ["A", "B"][usize::from(owner)])
    }

    pub fn account(self, user: User) -> i32 {
        100 * (i32::from(self.0) + 1) + i32::from(user) + 1
    }

    fn user_name(self, user: User) -> String {
        format!("world{}.user{user}", self.0)
    }

    /// The name in any spelling that means the same user.
    fn spelled(self, user: User, random: &mut Random) -> String {
        let name = self.user_name(user);
        match random.below(4) {
            0 => name.to_uppercase(),
            1 => format!(" {name} "),
            _ => name,
        }
    }

    fn user(self, name: &str) -> Result<User, String> {
        let found = (0..USERS as u8).find(|user| self.user_name(*user).eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("user '{name}' is not of this world"))
    }

    pub fn pool(self, pool: PoolNo) -> i64 {
        100 * (i64::from(self.0) + 1) + i64::from(pool) + 1
    }

    pub fn pool_no(self, id: i64) -> Result<PoolNo, String> {
        let found = (0..POOLS as u8).find(|pool| self.pool(*pool) == id);
        found.ok_or_else(|| format!("pool {id} is not of this world"))
    }

    /// The rows of this world.
    pub fn rows(self, state: &State, x: Timestamp) -> String {
        let (root, a, b) = (self.entity(), self.owner(0), self.owner(1));
        let mut rows = format!(
            "INSERT INTO entity (id, parent_id, name) VALUES ({root}, 1, 'World {0}');
             INSERT INTO entity (id, parent_id, name, owner_name, serial_nr) VALUES
                 ({a}, {root}, 'A{0}', '{1}', '1'), ({b}, {root}, 'B{0}', '{2}', '1');",
            self.0,
            self.owner_name(0),
            self.owner_name(1)
        );
        for user in 0..USERS as u8 {
            let entity = self.owner(user % 2);
            rows += &format!(
                "INSERT INTO account (id, username, entity_id) VALUES ({}, '{}', {entity});",
                self.account(user),
                self.user_name(user)
            );
        }
        for (pool, (owner, of, window)) in (0..).zip(LAYOUT) {
            let [starts_at, expires_at] =
                dates(window, x).map(|date| date.map_or("NULL".to_owned(), |d| format!("'{d}'")));
            rows += &format!(
                "INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at, expires_at, product_key)
                 VALUES ({}, {}, '{}', {}, {starts_at}, {expires_at}, 'P{pool}');",
                self.pool(pool),
                self.owner(owner),
                TYPES[usize::from(of)],
                state.pools[usize::from(pool)].seats
            );
        }
        rows
    }

    // Requests --------------------------------------------------------------------------------------------------------

    /// A surface that has this call, and the call as it is written there.
    pub fn request(self, call: &Call, ticket: &str, random: &mut Random) -> (Way, Vec<u8>) {
        if let Some((operation, fields)) = self.asmx(call, random) {
            let body = format!("<{operation} xmlns=\"sosonlinebackup.com\"><request>{fields}</request></{operation}>");
            let envelope = envelope11(&auth_header(CALLER, PASSWORD), &body);
            return match random.below(2) {
                0 => (Way::Asmx(Version::Soap12), post12(&to_soap12(&envelope))),
                _ => {
                    let head = format!(
                        "Content-Type: text/xml; charset=utf-8\r\nSOAPAction: \"sosonlinebackup.com/{operation}\"\r\n"
                    );
                    (Way::Asmx(Version::Soap11), post(&head, envelope.as_bytes()))
                }
            };
        }
        let (operation, arguments) = self.netserver(call);
        loop {
            let surface = NETSERVER[random.below(NETSERVER.len() as u64) as usize];
            // What the resource shows of a license is what is in force, without the offer.
            if !surface.has(operation) {
                continue;
            }
            if let Some(request) = surface.request(Caller { ticket, zone: None }, operation, &arguments) {
                return (Way::NetServer(surface), request);
            }
        }
    }

    fn asmx(self, call: &Call, random: &mut Random) -> Option<(&'static str, String)> {
        let of = |of: &Type| TYPES[usize::from(*of)];
        let mut assign = |(user, owner, license_type): &(User, Owner, Type)| {
            format!(
                "<Username>{}</Username><LicenseProviderEntityId>{}</LicenseProviderEntityId><LicenseType>{}</LicenseType>",
                self.spelled(*user, random),
                self.owner(*owner),
                of(license_type)
            )
        };
        Some(match call {
            Call::Assign { user, owner, of } => ("AssignLicense", assign(&(*user, *owner, *of))),
            Call::Bulk { items, dry_run } => {
                let items: String = items
                    .iter()
                    .map(|item| format!("<AssignLicensesItem>{}</AssignLicensesItem>", assign(item)))
                    .collect();
                ("AssignLicenses", format!("<Items>{items}</Items><DryRun>{dry_run}</DryRun>"))
            }
            Call::Release { user, of: license_type } => {
                let user = self.spelled(*user, random);
                (
                    "UnassignLicense",
                    format!("<Username>{user}</Username><LicenseType>{}</LicenseType>", of(license_type)),
                )
            }
            Call::Details { user, of: license_type } => {
                let (user, of) = (self.spelled(*user, random), of(license_type));
                ("GetAssignedLicenseDetails", format!("<Username>{user}</Username><LicenseType>{of}</LicenseType>"))
            }
            Call::Transfer { from, to, of: license_type } => (
                "TransferLicense",
                format!(
                    "<FromUsername>{}</FromUsername><ToUsername>{}</ToUsername><LicenseType>{}</LicenseType>",
                    self.spelled(*from, random),
                    self.spelled(*to, random),
                    of(license_type)
                ),
            ),
            Call::Pools { owner } => ("GetLicensePools", format!("<EntityId>{}</EntityId>", self.owner(*owner))),
            Call::Holders => {
                let children_only = random.below(2) == 0;
                let root = self.entity();
                (
                    "GetAssignedLicensesSummary",
                    format!("<EntityId>{root}</EntityId><ChildAccountsOnly>{children_only}</ChildAccountsOnly>"),
                )
            }
            _ => return None,
        })
    }

    fn netserver(self, call: &Call) -> (&'static str, String) {
        let named = |owner: &Owner| format!("<OwnerName>{}</OwnerName>", self.owner_name(*owner));
        let of_user = |user: &User, owner: &Owner| {
            let (id, owner) = (self.account(*user), self.owner_name(*owner));
            format!("<AssociateId>{id}</AssociateId><ModuleOwner>{owner}</ModuleOwner>")
        };
        let modules = |of: &[Type]| {
            let names: String = of
                .iter()
                .map(|of| format!("<a:string>{}</a:string>", TYPES[usize::from(*of)].to_uppercase()))
                .collect();
            format!(
                "<ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\">{names}</ModuleLicenseNames>"
            )
        };
        match call {
            Call::AssignModules { user, owner, of } => {
                ("AssignThirdPartyLicenses", of_user(user, owner) + &modules(of))
            }
            Call::ReleaseModules { user, owner, of } => {
                ("UnassignThirdPartyLicenses", of_user(user, owner) + &modules(of))
            }
            Call::Modules { user, owner } => ("GetThirdPartyLicenseAssignments", of_user(user, owner)),
            Call::Activate { owner, presented: None } => {
                let company = format!("{}{}", ["A", "B"][usize::from(*owner)], self.0);
                let arguments =
                    format!("<NewCompanyName>{company}</NewCompanyName><NewSerialNumber>1</NewSerialNumber>");
                ("ChangeSerialNumber", arguments)
            }
            Call::Activate { owner, presented: Some(seats) } => {
                let module = |(of, seats): (&str, &u8)| {
                    let name = of.to_uppercase();
                    format!(
                        "<ModuleLicense><ModuleName>{name}</ModuleName><NumberOfLicenses>{seats}</NumberOfLicenses></ModuleLicense>"
                    )
                };
                let modules: String = TYPES.into_iter().zip(seats).map(module).collect();
                let new = format!("{}<ModuleLicenses>{modules}</ModuleLicenses>", named(owner));
                ("ActivateLicenseInfo", format!("<NewLicense><New>{new}</New></NewLicense>"))
            }
            Call::License { owner } => ("GetLicenseFromLicenseServer", named(owner)),
            Call::Status { owner } => ("GetLicenseStatusFromLicenseServer", named(owner)),
            _ => unreachable!("{call:?} is made on the other surfaces"),
        }
    }

    // Answers ---------------------------------------------------------------------------------------------------------

    /// What an answer says. `Err`: it is none that this call can have.
    pub fn read(self, call: &Call, way: Way, answer: &Answer) -> Result<Meaning, String> {
        if answer.body.contains("Nothing was changed") {
            return Ok(Meaning::Unavailable);
        }
        if answer.body.contains("database failed while saving") || answer.body.contains("outcome is unknown") {
            return Ok(Meaning::Unknown);
        }
        let reply = match way {
            Way::Asmx(_) => self.read_asmx(call, answer),
            Way::NetServer(surface) => self.read_netserver(call, surface, answer),
        };
        reply.map(Meaning::Reply).map_err(|reason| format!("{reason} in {answer:?}"))
    }

    fn read_asmx(self, call: &Call, answer: &Answer) -> Result<Reply, String> {
        let document = envelope::document(&answer.body, &envelope::Limits::default()).map_err(|e| e.to_string())?;
        let body = document.children.iter().find(|child| child.name == "Body").ok_or("no Body")?;
        let result = body.children.first().and_then(|response| response.children.first()).ok_or("no result")?;
        if let Call::Bulk { .. } = call
            && let Some(results) = result.children.iter().find(|child| child.name == "Results")
        {
            let items = results.children.iter().map(|item| self.outcome(child(item, "Result")?));
            return Ok(Reply::Items(items.collect::<Result<_, _>>()?));
        }
        let outcome = self.outcome(child(result, "Result")?)?;
        if outcome != Reply::Done {
            return Ok(outcome);
        }
        match call {
            Call::Pools { .. } => {
                let lines = child(result, "Pools")?.children.iter().map(|pool| {
                    let number = |name| text(pool, name)?.parse::<u8>().map_err(|e| e.to_string());
                    let id = text(pool, "PoolId")?.parse().map_err(|_| "PoolId")?;
                    let (seats, in_use, free) = (number("SeatsTotal")?, number("SeatsInUse")?, number("SeatsFree")?);
                    if seats.checked_sub(in_use) != Some(free) {
                        return Err(format!("{free} free"));
                    }
                    let window = window_of(&text(pool, "StartsAt")?, &text(pool, "ExpiresAt")?);
                    Ok(PoolLine {
                        pool: self.pool_no(id)?,
                        seats,
                        in_use,
                        in_use_max: number("SeatsInUseMax")?,
                        window,
                    })
                });
                Ok(Reply::Pools(lines.collect::<Result<_, String>>()?))
            }
            Call::Holders => {
                let holders = child(result, "UsersLicenses")?.children.iter().map(|holder| {
                    Ok((self.user(&text(holder, "Username")?)?, type_of(&text(holder, "LicenseType")?)?))
                });
                let mut holders = holders.collect::<Result<Vec<_>, String>>()?;
                holders.sort_unstable();
                Ok(Reply::Holders(holders))
            }
            Call::Details { .. } => {
                let key = text(result, "ProductKey")?;
                let pool = key.strip_prefix('P').and_then(|pool| pool.parse().ok()).ok_or("no key of a pool")?;
                Ok(Reply::Details { pool })
            }
            _ => Ok(Reply::Done),
        }
    }

    /// The reply that a result object tells of.
    fn outcome(self, result: &Element) -> Result<Reply, String> {
        let (code, message) = (text(result, "Code")?, text(result, "Message")?);
        if code == "Success" {
            return Ok(Reply::Done);
        }
        let refused = self.refusal(&message)?;
        let expected = match refused {
            Reply::AlreadyHeld { .. } => "AlreadyExists",
            Reply::NoFreeSeat { .. } => "NoFreeSeat",
            Reply::NoPool => "NoLicensePool",
            Reply::Expired => "LicenseExpired",
            _ => "NotAssigned",
        };
        if code == expected { Ok(refused) } else { Err(format!("{code} with the sentence of {expected}")) }
    }

    fn read_netserver(self, call: &Call, surface: Surface, answer: &Answer) -> Result<Reply, String> {
        let (operation, _) = self.netserver(call);
        let response = match surface.read(operation, answer) {
            Ok(response) => response,
            Err((_, text)) => return self.refusal(&text),
        };
        match call {
            Call::Activate { .. } => match text(&response, "Succeeded")?.as_str() {
                "true" => Ok(Reply::Done),
                _ => self.refusal(&text(&response, "Reason")?),
            },
            Call::License { .. } => {
                let can_be_activated = text(&response, "CanBeActivated")? == "true";
                let numbers: [Numbers; 3] = [0, 1, 2].map(|of| numbers(&response, of));
                Ok(Reply::License { numbers, can_be_activated })
            }
            Call::Status { .. } => Ok(Reply::Status(match text(&response, "LicenseStatus")?.as_str() {
                "Ok" => Status::Ok,
                "NewLicenseAvailable" => Status::NewLicenseAvailable,
                _ => match self.refusal(&text(&response, "Message")?)? {
                    Reply::TooSmall { of, in_use, seats } => Status::TooSmall { of, in_use, seats },
                    other => return Err(format!("a status of {other:?}")),
                },
            })),
            _ => {
                let links = response.children.iter().map(|link| {
                    let number = |name| text(link, name)?.parse::<u8>().map_err(|e| e.to_string());
                    let (total, in_use, free) = (number("Total")?, number("InUse")?, number("Free")?);
                    if total.checked_sub(in_use) != Some(free) || text(link, "Assigned")? != "true" {
                        return Err("a link that does not fit".to_owned());
                    }
                    Ok((type_of(&text(link, "Description")?)?, total, in_use))
                });
                Ok(Reply::Links(links.collect::<Result<_, _>>()?))
            }
        }
    }

    /// Reads the sentence of a refusal.
    fn refusal(self, sentence: &str) -> Result<Reply, String> {
        let number_behind = |words: &str| -> Result<i64, String> {
            let (_, rest) = sentence.split_once(words).ok_or_else(|| format!("no '{words}' in '{sentence}'"))?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().map_err(|_| format!("no number behind '{words}' in '{sentence}'"))
        };
        let small = |number: i64| u8::try_from(number).map_err(|e| e.to_string());
        if sentence.contains(" already holds a") {
            return Ok(Reply::AlreadyHeld { pool: self.pool_no(number_behind(" of pool ")?)? });
        }
        if sentence.contains(" license pool") {
            return Ok(Reply::NoPool);
        }
        if sentence.contains(" expired at ") {
            return Ok(Reply::Expired);
        }
        if sentence.contains(" holds no ") {
            return Ok(Reply::NotAssigned);
        }
        if sentence.contains("ModuleLicenses differs") {
            return Ok(Reply::NotGranted);
        }
        if sentence.contains("No license is offered ") {
            return Ok(Reply::NothingOffered);
        }
        if sentence.contains(" in use and the new license has ") {
            let of = (0..3).find(|of| sentence.contains(TYPES[usize::from(*of)])).ok_or("no type")?;
            let words: Vec<&str> = sentence.split(' ').collect();
            // "Err-<uuid>; " may stand in front.
            let in_use = words.iter().find_map(|word| word.parse().ok()).ok_or("no number")?;
            let seats = small(number_behind(" the new license has ")?)?;
            return Ok(Reply::TooSmall { of, in_use, seats });
        }
        let seats = if sentence.contains("The only ") {
            1
        } else if sentence.contains("All ") {
            small(number_behind("All ")?)?
        } else if sentence.contains(" seats (") {
            0
        } else {
            return Err(format!("an unexpected refusal '{sentence}'"));
        };
        let (_, rest) = sentence.rsplit_once('(').ok_or("no pools")?;
        let pools = rest.split(' ').next().and_then(|pools| pools.parse().ok()).ok_or("no number of pools")?;
        Ok(Reply::NoFreeSeat { seats, pools })
    }
}

const PAST: &str = "2020-01-01T00:00:00Z";

/// When a pool of this window starts and expires, as the database has it.
pub fn dates(window: Window, x: Timestamp) -> [Option<String>; 2] {
    let x = || Some(format!("{x:.0}"));
    match window {
        Window::Always => [None, None],
        Window::Past => [None, Some(PAST.to_owned())],
        Window::UntilX => [None, x()],
        Window::FromX => [x(), None],
    }
}

pub fn window_of(starts_at: &str, expires_at: &str) -> Window {
    match (starts_at, expires_at) {
        ("", "") => Window::Always,
        ("", end) if end.starts_with("2020-01-01T00:00:00") => Window::Past,
        ("", _) => Window::UntilX,
        _ => Window::FromX,
    }
}

fn child<'e>(element: &'e Element, name: &str) -> Result<&'e Element, String> {
    element.children.iter().find(|child| child.name == name).ok_or_else(|| format!("no {name} in {}", element.name))
}

fn text(element: &Element, name: &str) -> Result<String, String> {
    match name.contains('/') {
        true => Ok(at(element, name).text.clone()),
        false => Ok(child(element, name)?.text.clone()),
    }
}

fn type_of(name: &str) -> Result<Type, String> {
    (0..3).find(|of| TYPES[usize::from(*of)] == name).ok_or_else(|| format!("no type '{name}'"))
}
