//! License.svc: the operations on licenses, and the one place that makes the vendor's carriers from the store's rows.

mod file;
mod history;

use super::dates::DateForm;
use super::types::{
    ARRAY_OF_EXTENDED_LICENSE_INFO, ARRAY_OF_LICENSE_OWNER, ARRAY_OF_MODULE_LICENSE_LINK,
    ARRAY_OF_SELECTABLE_MDO_LIST_ITEM, CHECK_LICENSE_STATUS_RESULT, EXTENDED_LICENSE_INFO, EXTENDED_MODULE_LICENSE,
    LICENSE_INFO, LICENSE_OWNER, LICENSE_RESULT, MODULE_LICENSE, MODULE_LICENSE_LINK, SELECTABLE_MDO_LIST_ITEM,
    USER_AND_INSTALLATION_LICENCE_STATUS,
};
use super::{APPLICATION_TOKEN, CREDENTIALS, Call, Contract, Done, Operation, TIME_ZONE, int, string};
use crate::contract::edition::Edition;
use crate::contract::record::{Record, Value};
use crate::contract::{ComplexType, End, Field, Kind};
use crate::error::{Error, ErrorKind};
use crate::license::{Owner, Presented, PresentedDates, Status, Terms};
use crate::seats::{LicenseType, Refusal};
use crate::soap::excerpt;
use crate::store::{Activation, ModulesRequest, Owners, OwnersRequest};

pub static LICENSE: Contract = Contract {
    name: "License",
    namespace: "",
    header_blocks: &[APPLICATION_TOKEN, CREDENTIALS, TIME_ZONE],
    operations: OPERATIONS,
};

/// An operation whose answer has one `Response`.
macro_rules! operation {
    ($name:literal, [$($argument:expr),*] -> $response:expr, $run:path, $documentation:literal) => {{
        static OUTPUT: ComplexType = ComplexType {
            name: concat!($name, "Response"),
            fields: &[Field::new("Response", $response)],
        };
        Operation::new($name, $documentation, &ComplexType { name: $name, fields: &[$($argument),*] }, &OUTPUT, OUTPUT.name, |call| {
            Box::pin(async {
                call.require_decoded().await?;
                let Response { value, refused } = $run(call).await?.into();
                Ok(Done { answer: Record::new(&OUTPUT).with_some("Response", value), end: End::Reached(refused) })
            })
        })
    }};
}

/// The content of the one `Response`, and the refusal that it reports, if any.
struct Response {
    value: Option<Value>,
    refused: Option<Error>,
}

impl From<Option<Value>> for Response {
    fn from(value: Option<Value>) -> Response {
        Response { value, refused: None }
    }
}

/// In the order of the published document.
static OPERATIONS: &[Operation] = &[
    operation!("GetLicenseForAllOwnersFromDB", [] -> Kind::Array(&ARRAY_OF_EXTENDED_LICENSE_INFO),
        get_license_for_all_owners_from_db, "Gets the licenses in force of all owners, with usage."),
    operation!("GetLicenseFromLicenseServer", [OWNER_NAME] -> Kind::Complex(&EXTENDED_LICENSE_INFO),
        get_license_from_license_server, "Gets the license of an owner: the one in force, the one that its issuer grants now, and usage."),
    operation!("GetModuleLicenseHistoryFromLicenseServer", [LICENSE_INFO_ARGUMENT, MODULE_LICENSE_ARGUMENT] -> Kind::String,
        history::get_module_license_history, "Gets the history of a module as text: its pools, and how many seats were assigned and released."),
    operation!("ValidateLicenseInfo", [LICENSE_INFO_ARGUMENT] -> Kind::Complex(&LICENSE_RESULT),
        validate_license_info, "Checks whether a license can be activated as it is."),
    operation!("ActivateLicenseInfo", [NEW_LICENSE] -> Kind::Complex(&LICENSE_RESULT),
        activate_license_info, "Activates the license that the issuer grants: the pools are changed to match it. Needs the role admin.").changes(),
    operation!("GetLicenseStatusFromLicenseServer", [OWNER_NAME] -> Kind::Complex(&CHECK_LICENSE_STATUS_RESULT),
        get_license_status_from_license_server, "Gets the status of an owner's license, according to its issuer."),
    operation!("GetLicenseFromDB", [OWNER_NAME] -> Kind::Complex(&EXTENDED_LICENSE_INFO),
        get_license_from_db, "Gets the license in force of an owner, with usage."),
    operation!("GetUserAndInstallationLicenceStatus", [ASSOCIATE_ID] -> Kind::Complex(&USER_AND_INSTALLATION_LICENCE_STATUS),
        get_user_and_installation_licence_status, "Gets the dates of the license that covers a user, and the modules that the user holds; 0 is the caller.")
        .since(Edition::Services88),
    operation!("ChangeSerialNumber", [NEW_COMPANY_NAME, NEW_SERIAL_NUMBER] -> Kind::Complex(&LICENSE_RESULT),
        change_serial_number, "Activates every license that the issuer offers to this company under this serial number. Needs the role admin.").changes(),
    operation!("GetUserLicenses", [ASSOCIATE_ID] -> Kind::Array(&ARRAY_OF_LICENSE_OWNER),
        get_user_licenses, "Gets the modules that a user holds or can be assigned, by owner; 0 is the caller."),
    operation!("GetSatelliteLicenses", [SATELLITE_ID] -> Kind::Array(&ARRAY_OF_LICENSE_OWNER),
        get_satellite_licenses, "Gets the modules of a site, by owner; 0 is the central database, and there are no others."),
    operation!("RemoveLicenseFromDB", [MODULE_OWNER] -> Kind::Complex(&LICENSE_RESULT),
        remove_license_from_db, "Removes an owner and its license, if none of its seats is in use. Needs the role admin.").changes(),
    operation!("GetLicenseFromFile", [FILE_CONTENT] -> Kind::Complex(&EXTENDED_LICENSE_INFO),
        file::get_license_from_file, "Reads a license file: the license in it, the license in force, and whether it can be activated."),
    operation!("GetShopUrl", [OWNER_NAME] -> Kind::String,
        get_shop_url, "Gets the address of an owner's shop."),
    operation!("GetUserLicensesMDOList", [] -> Kind::Array(&ARRAY_OF_SELECTABLE_MDO_LIST_ITEM),
        get_user_licenses_mdo_list, "Gets all user licenses as a tree: the owners, and below each owner its modules."),
    operation!("GetModuleLicenseFromDB", [OWNER_NAME, MODULE_NAME] -> Kind::Complex(&MODULE_LICENSE),
        get_module_license_from_db, "Gets one module of an owner."),
    operation!("AddLicenseFromFile", [FILE_CONTENT] -> Kind::Complex(&EXTENDED_LICENSE_INFO),
        file::add_license_from_file, "Reads a license file and activates its license, if the issuer grants it. Needs the role admin.").changes(),
    operation!("GetThirdPartyLicenseAssignments", [ASSOCIATE_ID, MODULE_OWNER] -> Kind::Array(&ARRAY_OF_MODULE_LICENSE_LINK),
        get_third_party_license_assignments, "Gets the modules of an owner that a user holds; 0 is the caller."),
    operation!("AssignThirdPartyLicenses", [ASSOCIATE_ID, MODULE_OWNER, MODULE_LICENSE_NAMES] -> Kind::Array(&ARRAY_OF_MODULE_LICENSE_LINK),
        assign_third_party_licenses, "Assigns modules of an owner to a user, all or none, and gets those that the user then holds. Needs the role agent.").changes_seats(),
    operation!("UnassignThirdPartyLicenses", [ASSOCIATE_ID, MODULE_OWNER, MODULE_LICENSE_NAMES] -> Kind::Array(&ARRAY_OF_MODULE_LICENSE_LINK),
        unassign_third_party_licenses, "Releases modules of an owner that a user holds, and gets those that the user still holds. Needs the role admin.").changes_seats(),
    operation!("GetCentralLicense", [] -> Kind::Array(&ARRAY_OF_LICENSE_OWNER),
        get_central_license, "Gets the modules of the central database, by owner, as GetSatelliteLicenses does of site 0.")
        .since(Edition::Services88),
    operation!("SaveCentralLicense", [LICENSE_ARGUMENT] -> Kind::Array(&ARRAY_OF_LICENSE_OWNER),
        not_supported, "Assigns modules to the central database. Not supported.").not_supported().since(Edition::Services88),
];

const OWNER_NAME: Field = Field::new("OwnerName", Kind::String);
const MODULE_OWNER: Field = Field::new("ModuleOwner", Kind::String);
const MODULE_NAME: Field = Field::new("ModuleName", Kind::String);
const MODULE_LICENSE_NAMES: Field = Field::new("ModuleLicenseNames", Kind::Strings);
const ASSOCIATE_ID: Field = Field::new("AssociateId", Kind::Int);
const SATELLITE_ID: Field = Field::new("SatelliteId", Kind::Int);
const NEW_COMPANY_NAME: Field = Field::new("NewCompanyName", Kind::String);
const NEW_SERIAL_NUMBER: Field = Field::new("NewSerialNumber", Kind::String);
const FILE_CONTENT: Field = Field::new("FileContent", Kind::String);
const LICENSE_INFO_ARGUMENT: Field = Field::new("LicenseInfo", Kind::Complex(&EXTENDED_LICENSE_INFO));
const MODULE_LICENSE_ARGUMENT: Field = Field::new("ModuleLicense", Kind::Complex(&EXTENDED_MODULE_LICENSE));
const LICENSE_ARGUMENT: Field = Field::new("License", Kind::Array(&ARRAY_OF_LICENSE_OWNER));
const NEW_LICENSE: Field = Field::new("NewLicense", Kind::Complex(&EXTENDED_LICENSE_INFO));

// Reading -----------------------------------------------------------------------------------------------------------

async fn get_license_from_license_server(mut call: Call) -> Result<Option<Value>, Error> {
    let owner = owner(&mut call, "OwnerName", None).await?;
    Ok(owner.map(|owner| Value::Record(extended_license_info(&call, &owner, true))))
}

async fn get_license_from_db(mut call: Call) -> Result<Option<Value>, Error> {
    let owner = owner(&mut call, "OwnerName", None).await?;
    Ok(owner.map(|owner| Value::Record(extended_license_info(&call, &owner, false))))
}

async fn get_license_for_all_owners_from_db(call: Call) -> Result<Option<Value>, Error> {
    let owners = owners(&call, Owners::All, None).await?;
    Ok(Some(Value::Array(owners.iter().map(|owner| extended_license_info(&call, owner, false)).collect())))
}

async fn get_module_license_from_db(mut call: Call) -> Result<Option<Value>, Error> {
    let module_name = call.required_string("ModuleName").await?;
    let owner = owner(&mut call, "OwnerName", None).await?;
    Ok(owner
        .zip(LicenseType::of_module(&module_name))
        .map(|(owner, license_type)| Value::Record(module_license(&owner.name, &owner.current, license_type))))
}

async fn get_license_status_from_license_server(mut call: Call) -> Result<Option<Value>, Error> {
    let owner_name = call.required_string("OwnerName").await?;
    let owner = owners(&call, Owners::Named(owner_name.clone()), None).await?.pop();
    let (status, message, url) = match &owner {
        Some(owner) => {
            let (status, message) = owner.status(call.context.now);
            (status, message, owner.shop_url().filter(|_| status == Status::UseCustomMessageAndUrl))
        }
        None => (Status::ProblemWithLicense, Refusal::OwnerUnknown { owner_name }.to_string(), None),
    };
    let record = Record::new(&CHECK_LICENSE_STATUS_RESULT)
        .with("LicenseStatus", Value::Enumeration(status_name(status)))
        .with("Message", string(message))
        .with("Url", string(url.unwrap_or_default()));
    Ok(Some(Value::Record(record)))
}

async fn get_shop_url(mut call: Call) -> Result<Option<Value>, Error> {
    let owner = owner(&mut call, "OwnerName", None).await?;
    Ok(owner.map(|owner| string(owner.shop_url.unwrap_or_default())))
}

async fn get_user_licenses(mut call: Call) -> Result<Option<Value>, Error> {
    let mut owners = owners_of_associate(&mut call).await?;
    owners.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(license_owners(&owners, |owner| links(owner, |_| true))))
}

/// The license of the nearest owner covers a user.
async fn get_user_and_installation_licence_status(mut call: Call) -> Result<Option<Value>, Error> {
    let owners = owners_of_associate(&mut call).await?;
    let held = LicenseType::ALL.into_iter().filter(|t| owners.iter().any(|owner| owner.held[t.index()]));
    let names = held.map(|license_type| license_type.module_name().to_owned()).collect();
    let date = |at| Value::DateTime(call.dates().text(at));
    Ok(owners.first().map(|Owner { current, .. }| {
        Value::Record(
            Record::new(&USER_AND_INSTALLATION_LICENCE_STATUS)
                .with("AdminWarningDate", date(current.dates.admin_warning))
                .with("ExpiryDate", date(current.dates.expires))
                .with("GraceDate", date(current.dates.grace))
                .with("CompanyName", string(&current.company_name))
                .with("SerialNr", string(current.serial_nr.as_deref().unwrap_or_default()))
                .with("UserLicenses", Value::Strings(names)),
        )
    }))
}

/// The nearest first.
async fn owners_of_associate(call: &mut Call) -> Result<Vec<Owner>, Error> {
    match call.associate("AssociateId").await? {
        Some(associate_id) => owners(call, Owners::OfAssociate, Some(associate_id)).await,
        None => Ok(Vec::new()),
    }
}

async fn get_satellite_licenses(mut call: Call) -> Result<Option<Value>, Error> {
    let site = call.arguments.take_int("SatelliteId").unwrap_or(CENTRAL);
    licenses_of_site(call, site).await
}

async fn get_central_license(call: Call) -> Result<Option<Value>, Error> {
    licenses_of_site(call, CENTRAL).await
}

/// The site that is the central database.
const CENTRAL: i32 = 0;

/// The modules of the site; seats are assigned only to users.
async fn licenses_of_site(call: Call, site: i32) -> Result<Option<Value>, Error> {
    let owners = owners(&call, Owners::All, None).await?;
    let of_site = if site == CENTRAL { &owners[..] } else { &[] };
    Ok(Some(license_owners(of_site, |owner| {
        let has_seats = |link: Record, t: LicenseType| {
            let assigned = owner.current.seats[t.index()] > 0;
            link.with("CanAssign", Value::Boolean(false)).with("Assigned", Value::Boolean(assigned))
        };
        Value::Array(LicenseType::ALL.into_iter().map(|t| has_seats(link(owner, t), t)).collect())
    })))
}

async fn get_user_licenses_mdo_list(call: Call) -> Result<Option<Value>, Error> {
    let owners = owners(&call, Owners::All, None).await?;
    let items = (1..).zip(&owners).map(|(rank, owner)| {
        let modules = LicenseType::ALL.into_iter().map(|license_type| {
            let tooltip = tooltip(owner, license_type);
            let id = sort_order(license_type);
            list_item(&call, id, id, license_type.module_name(), "module", &tooltip, license_type.name())
        });
        let description = owner.description();
        list_item(&call, owner.entity_id, rank, &owner.name, "owner", description, description)
            .with("ChildItems", Value::Array(modules.collect()))
    });
    Ok(Some(Value::Array(items.collect())))
}

async fn get_third_party_license_assignments(mut call: Call) -> Result<Option<Value>, Error> {
    let associate_id = call.associate("AssociateId").await?;
    let owner = owner(&mut call, "ModuleOwner", associate_id).await?;
    Ok(Some(owner.map_or(Value::Array(Vec::new()), |owner| held_links(&owner))))
}

/// The owner that an argument names, if the caller may know it.
async fn owner(call: &mut Call, argument: &'static str, associate_id: Option<i32>) -> Result<Option<Owner>, Error> {
    let owner_name = call.required_string(argument).await?;
    Ok(owners(call, Owners::Named(owner_name), associate_id).await?.pop())
}

async fn owners(call: &Call, owners: Owners, associate_id: Option<i32>) -> Result<Vec<Owner>, Error> {
    call.service.license_owners(&call.context, &call.identity, OwnersRequest { owners, associate_id }).await
}

// Changing ----------------------------------------------------------------------------------------------------------

async fn assign_third_party_licenses(mut call: Call) -> Result<Option<Value>, Error> {
    let request = modules_request(&mut call).await?;
    let owner = call.service.assign_modules(&call.context, &call.identity, request).await?;
    Ok(Some(held_links(&owner)))
}

async fn unassign_third_party_licenses(mut call: Call) -> Result<Option<Value>, Error> {
    let request = modules_request(&mut call).await?;
    let owner = call.service.release_modules(&call.context, &call.identity, request).await?;
    Ok(Some(held_links(&owner)))
}

async fn modules_request(call: &mut Call) -> Result<ModulesRequest, Error> {
    let associate_id = call.required_id("AssociateId").await?;
    let owner_name = call.required_string("ModuleOwner").await?;
    let names = call.arguments.take_strings("ModuleLicenseNames").filter(|names| !names.is_empty());
    let mut license_types = Vec::new();
    for name in call.required("ModuleLicenseNames", names).await? {
        match LicenseType::of_module(&name) {
            Some(license_type) => license_types.push(license_type),
            None => return Err(call.refuse(Refusal::ModuleUnknown { name }).await),
        }
    }
    Ok(ModulesRequest { associate_id, owner_name, license_types })
}

async fn validate_license_info(mut call: Call) -> Result<Response, Error> {
    activate_presented(&mut call, "LicenseInfo", true).await
}

async fn activate_license_info(mut call: Call) -> Result<Response, Error> {
    activate_presented(&mut call, "NewLicense", false).await
}

async fn activate_presented(call: &mut Call, argument: &'static str, dry_run: bool) -> Result<Response, Error> {
    let license = call.arguments.take_record(argument);
    let license = call.required(argument, license).await?;
    let outcome = match presented(call, license) {
        Ok(presented) => activate(call, Activation::Presented(presented), dry_run).await,
        Err(reason) => Err(call.refuse(Refusal::LicenseUnreadable { reason }).await),
    };
    license_result(outcome)
}

async fn change_serial_number(mut call: Call) -> Result<Response, Error> {
    let company_name = call.required_string("NewCompanyName").await?;
    let serial_nr = call.required_string("NewSerialNumber").await?;
    license_result(activate(&call, Activation::Serial { company_name, serial_nr }, false).await)
}

async fn activate(call: &Call, activation: Activation, dry_run: bool) -> Result<(), Error> {
    call.service.activate_license(&call.context, &call.identity, activation, dry_run).await
}

async fn remove_license_from_db(mut call: Call) -> Result<Response, Error> {
    let owner_name = call.required_string("ModuleOwner").await?;
    license_result(call.service.remove_license(&call.context, &call.identity, owner_name).await)
}

pub async fn not_supported(mut call: Call) -> Result<Option<Value>, Error> {
    // The arguments are not needed, and checking the caller takes a while.
    call.arguments = Record::new(call.arguments.of());
    Err(call.refuse(Refusal::NotSupported).await)
}

/// Whether the answer of an operation on a license reports the error, instead of an exception.
fn is_answer(error: &Error) -> bool {
    use ErrorKind::{InvalidInputParameters, LicenseNotAccepted, ObjectEntityMismatch};
    matches!(error.kind, LicenseNotAccepted | ObjectEntityMismatch | InvalidInputParameters)
}

/// A license that is not accepted is an answer, not an exception.
fn license_result(outcome: Result<(), Error>) -> Result<Response, Error> {
    let refused = match outcome {
        Ok(()) => None,
        Err(error) if is_answer(&error) => Some(error),
        Err(error) => return Err(error),
    };
    let record = Record::new(&LICENSE_RESULT)
        .with("Succeeded", Value::Boolean(refused.is_none()))
        .with("Reason", string(refused.as_ref().map(Error::to_string).unwrap_or_default()));
    Ok(Response { value: Some(Value::Record(record)), refused })
}

/// The new license that a caller hands back, for comparison with the granted one.
fn presented(call: &Call, mut license: Record) -> Result<Presented, String> {
    let mut new = license
        .take_record("New")
        .ok_or("New is missing. Fetch the license with GetLicenseFromLicenseServer, then hand it back as it is.")?;
    let differs = |what: &str| {
        format!("No issuer grants this license: {what} differs. Fetch it again, then hand it back as it is.")
    };
    if let Some(what) = new.differs_from(&said_of_any_license()) {
        return Err(differs(what));
    }
    let owner_name = new.take_string("OwnerName");
    let mut date = |name: &'static str| match new.take_date_time(name) {
        None => Ok(None),
        Some(text) => call.dates().parse(&text).map(Some).ok_or_else(|| format!("{name} of New is not a date-time.")),
    };
    let dates = PresentedDates {
        next_check: date("NextCheckDate")?,
        maintenance: date("MaintenanceDate")?,
        admin_warning: date("AdminWarningDate")?,
        expires: date("ExpiryDate")?,
        grace: date("GraceDate")?,
    };
    let mut modules = Vec::new();
    for mut module in new.take_array("ModuleLicenses").unwrap_or_default() {
        let name = module.take_string("ModuleName").unwrap_or_default();
        let of_any = LicenseType::of_module(&name).map(said_of_any_module);
        if let Some(what) = of_any.and_then(|of_any| module.differs_from(&of_any)) {
            return Err(differs(&format!("{what} of module {}", excerpt(&name))));
        }
        if module.take_string("OwnerName").is_some_and(|of_module| Some(of_module) != owner_name) {
            return Err(differs(&format!("OwnerName of module {}", excerpt(&name))));
        }
        modules.push((name, module.take_int("NumberOfLicenses").unwrap_or(0)));
    }
    Ok(Presented {
        owner_name,
        company_name: new.take_string("CompanyName"),
        serial_nr: new.take_string("SerialNr"),
        owner_description: new.take_string("OwnerDescription"),
        license_url: new.take_string("LicenseUrl"),
        dates,
        modules,
    })
}

// Carriers ----------------------------------------------------------------------------------------------------------

/// `with_new`: also the license that the issuer grants.
fn extended_license_info(call: &Call, owner: &Owner, with_new: bool) -> Record {
    let new = with_new.then(|| owner.issued());
    let obstacle = if with_new { owner.obstacle(call.context.answer_now()) } else { None };
    let modules = LicenseType::ALL.into_iter().map(|license_type| {
        let numbers = owner.numbers(license_type, with_new);
        Record::new(&EXTENDED_MODULE_LICENSE)
            .with_some("New", new.map(|terms| Value::Record(module_license(&owner.name, terms, license_type))))
            .with("Current", Value::Record(module_license(&owner.name, &owner.current, license_type)))
            .with("NumberOfLicensesInUse", int(numbers.in_use))
            .with("NumberOfLicensesFree", int(numbers.free))
            .with("NumberOfLicensesAdded", int(numbers.added))
            .with("NumberOfLicensesNewTotal", int(numbers.new_total))
            .with("NumberOfLicensesNewFree", int(numbers.new_free))
            .with("NumberOfLicensesTotal", int(numbers.total))
    });
    Record::new(&EXTENDED_LICENSE_INFO)
        .with("CanBeActivated", Value::Boolean(with_new && obstacle.is_none()))
        .with("Reason", string(obstacle.map(|obstacle| obstacle.to_string()).unwrap_or_default()))
        .with_some("New", new.map(|terms| Value::Record(license_info(call, owner, terms))))
        .with("Current", Value::Record(license_info(call, owner, &owner.current)))
        .with("ExtendedModuleLicenses", Value::Array(modules.collect()))
        .with("AccumulatedNextCheckDate", Value::DateTime(call.dates().text(owner.current.dates.next_check)))
}

fn license_info(call: &Call, owner: &Owner, terms: &Terms) -> Record {
    let date = |at| Value::DateTime(call.dates().text(at));
    let modules = LicenseType::ALL.into_iter().map(|license_type| module_license(&owner.name, terms, license_type));
    said_of_any_license()
        .with("CompanyName", string(&terms.company_name))
        .with("SerialNr", string(terms.serial_nr.as_deref().unwrap_or_default()))
        .with("OwnerName", string(&owner.name))
        .with("OwnerDescription", string(owner.description()))
        .with("NextCheckDate", date(terms.dates.next_check))
        .with("MaintenanceDate", date(terms.dates.maintenance))
        .with("AdminWarningDate", date(terms.dates.admin_warning))
        .with("ExpiryDate", date(terms.dates.expires))
        .with("GraceDate", date(terms.dates.grace))
        .with("LicenseUrl", string(owner.shop_url.as_deref().unwrap_or_default()))
        .with("ModuleLicenses", Value::Array(modules.collect()))
}

/// An empty license, for callers that may not see one.
pub(super) fn empty_license_info(dates: DateForm) -> Record {
    LICENSE_INFO.fields.iter().fold(Record::new(&LICENSE_INFO), |record, field| {
        let value = match field.kind {
            Kind::String => Some(string("")),
            Kind::Int => Some(int(0)),
            Kind::DateTime => Some(Value::DateTime(dates.text(None))),
            Kind::Array(_) => Some(Value::Array(Vec::new())),
            _ => None,
        };
        record.with_some(field.name, value)
    })
}

/// The members that are the same in all licenses.
fn said_of_any_license() -> Record {
    Record::new(&LICENSE_INFO)
        .with("ExtraFlags", int(0))
        .with("ExtraInfo", string(""))
        .with("LicenseVersion", string("1"))
        .with("DeploymentType", int(0))
        .with("ProductType", string(""))
        .with("ProductDescription", string(""))
        .with("Signature", string(""))
}

fn module_license(owner_name: &str, terms: &Terms, license_type: LicenseType) -> Record {
    said_of_any_module(license_type)
        .with("OwnerName", string(owner_name))
        .with("ModuleName", string(license_type.module_name()))
        .with("NumberOfLicenses", int(terms.seats[license_type.index()]))
}

/// The members that are the same in all modules of this type.
fn said_of_any_module(license_type: LicenseType) -> Record {
    Record::new(&MODULE_LICENSE)
        .with("ModuleDescription", string(license_type.name()))
        .with("ModuleTooltip", string(""))
        .with("ModuleVersion", string(""))
        .with("LicenseType", Value::Enumeration("UserLicense"))
        .with("Unrestricted", Value::Boolean(false))
        .with("AllowedUserType", Value::Enumeration("InternalAssociate"))
        .with("ExtraFlags", int(0))
        .with("ExtraInfo", string(""))
        .with("SortOrder", Value::Int(sort_order(license_type)))
        .with("IsHidden", Value::Boolean(false))
        .with("PrerequisiteModuleName", string(""))
        .with("Signature", string(""))
}

/// `restricted`: the modules of an owner. None is unrestricted here.
fn license_owners(owners: &[Owner], restricted: impl Fn(&Owner) -> Value) -> Value {
    let carrier = |owner: &Owner| {
        Record::new(&LICENSE_OWNER)
            .with("Name", string(&owner.name))
            .with("Description", string(owner.description()))
            .with("RestrictedModuleLicenses", restricted(owner))
            .with("UnrestrictedModuleLicenses", Value::Array(Vec::new()))
    };
    Value::Array(owners.iter().map(carrier).collect())
}

fn held_links(owner: &Owner) -> Value {
    links(owner, |license_type| owner.held[license_type.index()])
}

fn links(owner: &Owner, which: impl Fn(LicenseType) -> bool) -> Value {
    Value::Array(LicenseType::ALL.into_iter().filter(|t| which(*t)).map(|t| link(owner, t)).collect())
}

fn link(owner: &Owner, license_type: LicenseType) -> Record {
    let numbers = owner.numbers(license_type, false);
    let held = owner.held[license_type.index()];
    Record::new(&MODULE_LICENSE_LINK)
        .with("Unrestricted", Value::Boolean(false))
        .with("Total", int(numbers.total))
        .with("Tooltip", string(tooltip(owner, license_type)))
        .with("CanAssign", Value::Boolean(owner.can_assign[license_type.index()]))
        .with("Free", int(numbers.free))
        .with("InUse", int(numbers.in_use))
        .with("IsHidden", Value::Boolean(false))
        .with("Assigned", Value::Boolean(held))
        .with("ModuleLicenseId", Value::Int(sort_order(license_type)))
        .with("Name", string(license_type.module_name()))
        .with("Description", string(license_type.name()))
        .with("PrerequisiteModuleName", string(""))
        .with("SortOrder", Value::Int(sort_order(license_type)))
        .with("ExtraFlags", int(0))
}

fn list_item(call: &Call, id: i32, rank: i32, name: &str, kind: &str, tooltip: &str, full_name: &str) -> Record {
    Record::new(&SELECTABLE_MDO_LIST_ITEM)
        .with("Id", Value::Int(id))
        .with("Name", string(name))
        .with("ToolTip", string(tooltip))
        .with("Deleted", Value::Boolean(false))
        .with("Rank", Value::Int(rank))
        .with("Type", string(kind))
        .with("ColorBlock", int(0))
        .with("IconHint", string(""))
        .with("Selected", Value::Boolean(false))
        .with("LastChanged", Value::DateTime(call.dates().text(None)))
        .with("ChildItems", Value::Array(Vec::new()))
        .with("ExtraInfo", string(""))
        .with("StyleHint", string(""))
        .with("Hidden", Value::Boolean(false))
        .with("FullName", string(full_name))
}

fn tooltip(owner: &Owner, license_type: LicenseType) -> String {
    let numbers = owner.numbers(license_type, false);
    format!("{} of {} in use", numbers.in_use, numbers.total)
}

/// 1, 2, 3; also a module's id among those of its owner.
pub(super) fn sort_order(license_type: LicenseType) -> i32 {
    license_type.index() as i32 + 1
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Ok => "Ok",
        Status::NewLicenseAvailable => "NewLicenseAvailable",
        Status::NewCompanyNameAvailable => "NewCompanyNameAvailable",
        Status::NewSerialAvailable => "NewSerialAvailable",
        Status::UseCustomMessage => "UseCustomMessage",
        Status::UseCustomMessageAndUrl => "UseCustomMessageAndUrl",
        Status::ProblemWithLicense => "ProblemWithLicense",
    }
}
