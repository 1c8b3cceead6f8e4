//! License files, for the operations that read one.
//!
//! The vendor has published no format, so a file has the form of the carriers: XML with the root `LicenseInfo`, or
//! `ExtendedLicenseInfo`, of which only `New` is read; in any namespace, as text or base64. A file grants nothing by itself: it
//! is compared with the issuer's offer, like a license that a caller hands back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{
    Call, EXTENDED_LICENSE_INFO, EXTENDED_MODULE_LICENSE, LICENSE_INFO, Response, extended_license_info, is_answer,
    license_info, module_license, owners, presented,
};
use crate::contract::Kind;
use crate::contract::record::{self, Naming, Record, Value, ValueError};
use crate::error::Error;
use crate::license::{Owner, Presented};
use crate::netserver::dates::DateForm;
use crate::netserver::{int, string};
use crate::seats::{self, LicenseType, Refusal, Role, is_undecoded};
use crate::soap::envelope::{self, Element, position};
use crate::soap::{encoding, excerpt};
use crate::store::{FiledLicense, Owners};

/// The most modules of one file. An owner has three here; more would need a long answer and are refused anyway.
const MODULES_MAX: usize = 64;
/// The most characters of an error's text, because it may quote the file.
const REASON_CHARS_MAX: usize = 400;

pub(super) async fn get_license_from_file(mut call: Call) -> Result<Response, Error> {
    let content = call.required_string("FileContent").await?;
    // Unauthenticated callers must not learn whether a file is valid.
    call.service.principal(&call.context, &call.identity).await?;
    let file = match File::read(&call, &content) {
        Ok(file) => file,
        Err(reason) => return Ok(unreadable(&call, reason)),
    };
    let owner = file.owner(&call).await?;
    let outcome = match (&file.presented, &owner) {
        (Err(reason), _) => Err(Refusal::LicenseUnreadable { reason: reason.clone() }),
        (Ok(_), None) => Err(Refusal::OwnerUnknown { owner_name: file.owner_name.clone() }),
        (Ok(presented), Some(owner)) => owner.accept(presented, call.context.now),
    };
    Ok(file.answer(&call, owner.as_ref(), outcome.err().map(Error::from)))
}

pub(super) async fn add_license_from_file(mut call: Call) -> Result<Response, Error> {
    let content = call.required_string("FileContent").await?;
    let principal = call.service.principal(&call.context, &call.identity).await?;
    seats::check_role(Some(principal.role), Role::Admin)?;
    let file = match File::read(&call, &content) {
        Ok(file) => file,
        Err(reason) => {
            let refused = call.refuse(Refusal::LicenseUnreadable { reason: reason.clone() }).await;
            return if is_answer(&refused) { Ok(unreadable(&call, reason)) } else { Err(refused) };
        }
    };
    let added = call.service.add_license(&call.context, &call.identity, file.filed()).await?;
    Ok(match (added.refused.map(Error::from), added.owner) {
        (None, Some(owner)) => Some(Value::Record(extended_license_info(&call, &owner, true))).into(),
        (refused, owner) => file.answer(&call, owner.as_ref(), refused),
    })
}

/// A readable file.
struct File {
    owner_name: String,
    /// Its license, as [`LICENSE_INFO`].
    license: Record,
    /// The same, for comparison with the issuer's offer; or the member that no issuer grants.
    presented: Result<Presented, String>,
}

impl File {
    /// An error says what is wrong with the file and, if known, in which line.
    fn read(call: &Call, content: &str) -> Result<File, String> {
        let text = text_of(content)?;
        let at_line = |error: ValueError| format!("line {}: {}", position(&text, error.at).0, error.reason);

        let root = envelope::document(&text, &call.extra.xml_limits).map_err(|error| error.to_string())?;
        let element = license_of(&root)?;
        let license = record::read(element, &LICENSE_INFO, Naming::Local).map_err(at_line)?;
        let owner_name = match license.get("OwnerName") {
            Some(Value::String(name)) if !name.trim().is_empty() => name.clone(),
            _ => return Err("its license names no owner: OwnerName is missing or empty".to_owned()),
        };
        if let Some(Value::Array(modules)) = license.get("ModuleLicenses")
            && modules.len() > MODULES_MAX
        {
            return Err(format!("it has {} modules, and {MODULES_MAX} are accepted", modules.len()));
        }
        let extended = Record::new(&EXTENDED_LICENSE_INFO).with("New", Value::Record(license.clone()));
        Ok(File {
            owner_name,
            license: with_zeros(&dates_of_caller(call, element, license).map_err(at_line)?, call.dates()),
            presented: presented(call, extended),
        })
    }

    fn filed(&self) -> FiledLicense {
        let presented = self.presented.clone().map_err(|reason| Refusal::LicenseUnreadable { reason });
        FiledLicense { owner_name: self.owner_name.clone(), presented }
    }

    /// The owner that the license is for, if the caller may see it.
    async fn owner(&self, call: &Call) -> Result<Option<Owner>, Error> {
        Ok(owners(call, Owners::Named(self.owner_name.clone()), None).await?.pop())
    }

    /// The license of the file as `New`, beside the license in force; and why it cannot be activated.
    fn answer(self, call: &Call, owner: Option<&Owner>, refused: Option<Error>) -> Response {
        let modules = owner.map_or_else(Vec::new, |owner| {
            LicenseType::ALL.into_iter().map(|license_type| self.module(owner, license_type)).collect()
        });
        let next_check = owner.and_then(|owner| owner.current.dates.next_check);
        let record = Record::new(&EXTENDED_LICENSE_INFO)
            .with("Reason", string(refused.as_ref().map(Error::to_string).unwrap_or_default()))
            .with("CanBeActivated", Value::Boolean(refused.is_none()))
            .with_some("Current", owner.map(|owner| Value::Record(license_info(call, owner, &owner.current))))
            .with("ExtendedModuleLicenses", Value::Array(modules))
            .with("AccumulatedNextCheckDate", Value::DateTime(call.dates().text(next_check)))
            .with("New", Value::Record(self.license));
        Response { value: Some(Value::Record(record)), refused }
    }

    /// A module, with the numbers after an activation of the file's license.
    fn module(&self, owner: &Owner, license_type: LicenseType) -> Record {
        let modules = match self.license.get("ModuleLicenses") {
            Some(Value::Array(modules)) => &modules[..],
            _ => &[],
        };
        let is_it = |module: &&Record| match module.get("ModuleName") {
            Some(Value::String(name)) => LicenseType::of_module(name) == Some(license_type),
            _ => false,
        };
        let new = modules.iter().find(is_it);
        let new_total = match new.and_then(|module| module.get("NumberOfLicenses")) {
            Some(Value::Int(number)) => i64::from(*number),
            _ => 0,
        };
        let numbers = owner.numbers(license_type, false);
        Record::new(&EXTENDED_MODULE_LICENSE)
            .with_some("New", new.map(|module| Value::Record(module.clone())))
            .with("Current", Value::Record(module_license(&owner.name, &owner.current, license_type)))
            .with("NumberOfLicensesInUse", int(numbers.in_use))
            .with("NumberOfLicensesFree", int(numbers.free))
            .with("NumberOfLicensesAdded", int(new_total - numbers.total))
            .with("NumberOfLicensesNewTotal", int(new_total))
            .with("NumberOfLicensesNewFree", int(new_total - numbers.in_use))
            .with("NumberOfLicensesTotal", int(numbers.total))
    }
}

/// The answer to a file from which no license can be read.
fn unreadable(call: &Call, reason: String) -> Response {
    let reason = format!("The license file cannot be used: {}", reason.trim_end_matches('.'));
    let reason = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect::<String>() + ".";
    let record = Record::new(&EXTENDED_LICENSE_INFO)
        .with("Reason", string(&*reason))
        .with("CanBeActivated", Value::Boolean(false))
        .with("ExtendedModuleLicenses", Value::Array(Vec::new()))
        .with("AccumulatedNextCheckDate", Value::DateTime(call.dates().text(None)));
    Response { value: Some(Value::Record(record)), refused: Some(Refusal::LicenseUnreadable { reason }.into()) }
}

/// The XML, without a byte order mark.
fn text_of(content: &str) -> Result<String, String> {
    let content = content.trim_start_matches('\u{FEFF}');
    match content.trim_start().chars().next() {
        Some('<') => return Ok(without_late_declaration(content)),
        Some('{' | '"') => return Err("it looks like JSON, and must be XML".to_owned()),
        _ => {}
    }
    let digits: String = content.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(digits).map_err(|_| "it is neither XML nor base64 of XML")?;
    let text = encoding::decode(&bytes, None);
    if is_undecoded(&text) {
        // Many words are valid base64 by chance.
        return Err(
            "it is no XML, and as base64 it is not text in UTF-8, nor in the encoding that its XML declaration names"
                .to_owned(),
        );
    }
    Ok(text.into_owned())
}

/// Replaces an XML declaration after blank lines with blanks: such a file was pasted, and its lines keep their numbers.
fn without_late_declaration(text: &str) -> String {
    let begin = text.len() - text.trim_start().len();
    let end = text[begin..].find("?>").map(|at| begin + at + "?>".len());
    match end.filter(|_| begin > 0 && text[begin..].starts_with("<?xml")) {
        Some(end) => {
            let blanks: String = text[begin..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
            format!("{}{blanks}{}", &text[..begin], &text[end..])
        }
        None => text.to_owned(),
    }
}

fn license_of(root: &Element) -> Result<&Element, String> {
    let is = |element: &Element, name: &str| element.name.eq_ignore_ascii_case(name);
    if is(root, "LicenseInfo") {
        return Ok(root);
    }
    if !is(root, "ExtendedLicenseInfo") {
        let name = excerpt(&root.name);
        return Err(format!("its root element is '{name}', and LicenseInfo or ExtendedLicenseInfo is expected"));
    }
    let new = root.children.iter().find(|child| is(child, "New") && !child.is_nil());
    new.ok_or_else(|| "New of its ExtendedLicenseInfo is missing".to_owned())
}

/// The license with its dates in the caller's zone.
fn dates_of_caller(call: &Call, element: &Element, license: Record) -> Result<Record, ValueError> {
    LICENSE_INFO.fields.iter().filter(|field| matches!(field.kind, Kind::DateTime)).try_fold(
        license,
        |license, field| {
            let Some(Value::DateTime(text)) = license.get(field.name) else { return Ok(license) };
            let at = call.dates().parse(text).ok_or_else(|| {
                let at = element.children.iter().find(|child| child.name.eq_ignore_ascii_case(field.name));
                ValueError {
                    reason: format!("{} is not a date-time such as 2027-01-31T00:00:00Z", field.name),
                    at: at.map_or(0, |child| child.end),
                }
            })?;
            Ok(license.with(field.name, Value::DateTime(call.dates().text(at))))
        },
    )
}

/// The license with .NET's zero for each value that the file lacks and that cannot be null.
fn with_zeros(license: &Record, dates: DateForm) -> Record {
    license.fields().fold(Record::new(license.of()), |record, (field, value)| {
        let value = match (field.kind, value) {
            (_, Some(Value::Array(items))) => {
                Some(Value::Array(items.iter().map(|item| with_zeros(item, dates)).collect()))
            }
            (Kind::Int, None) => Some(int(0)),
            (Kind::Boolean, None) => Some(Value::Boolean(false)),
            (Kind::DateTime, None) => Some(Value::DateTime(dates.text(None))),
            (Kind::Enumeration(of), None) => of.values.first().map(|value| Value::Enumeration(value.name)),
            (_, value) => value.cloned(),
        };
        record.with_some(field.name, value)
    })
}
