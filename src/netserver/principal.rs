//! SoPrincipal.svc: signing in. A refused sign-in is an ordinary answer, not an exception, and gives no reason: an unknown user
//! and a wrong password look alike.

use super::license::{empty_license_info, sort_order};
use super::types::{
    AUTHENTICATION_GENERIC_DATA, GRANTED_MODULE_LICENSE, SO_CREDENTIALS, SO_PRINCIPAL_CARRIER, SO_SYSTEM_INFO_CARRIER,
};
use super::{APPLICATION_TOKEN, Call, Contract, Done, Operation, int, string};
use crate::auth::Password;
use crate::contract::edition::Edition;
use crate::contract::record::{Record, Value};
use crate::contract::{ComplexType, End, Field, Kind};
use crate::error::Error;
use crate::license::Owner;
use crate::seats::{LicenseType, Refusal};
use crate::service::SignIn;
use crate::store::Principal;

pub static SO_PRINCIPAL: Contract =
    Contract { name: "SoPrincipal", namespace: "", header_blocks: &[APPLICATION_TOKEN], operations: OPERATIONS };

/// In the order of the published document.
static OPERATIONS: &[Operation] = &[
    Operation::new(
        "GetSystemInfo",
        "Gets the name and version of this service. Needs no sign-in.",
        &ComplexType { name: "GetSystemInfo", fields: &[] },
        &GET_SYSTEM_INFO_RESPONSE,
        GET_SYSTEM_INFO_RESPONSE.name,
        |call| Box::pin(get_system_info(call)),
    ),
    Operation::new(
        "AuthenticateImplicit",
        "Signs in with credentials of the environment. It never succeeds here.",
        &ComplexType { name: "AuthenticateImplicit", fields: &[] },
        &AUTHENTICATE_RESPONSE,
        AUTHENTICATE_RESPONSE.name,
        |_| Box::pin(async { Ok(refused()) }),
    ),
    Operation::new(
        "AuthenticateUsernamePassword",
        "Signs in with a user name and password, or with a ticket as user name and a blank password.",
        &ComplexType {
            name: "AuthenticateUsernamePassword",
            fields: &[Field::new("UserName", Kind::String), Field::new("Password", Kind::String)],
        },
        &AUTHENTICATE_RESPONSE,
        AUTHENTICATE_RESPONSE.name,
        |call| Box::pin(authenticate_username_password(call)),
    ),
    Operation::new(
        "AuthenticateGeneric",
        "Signs in with data of any kind. It never succeeds here.",
        &ComplexType {
            name: "AuthenticateGeneric",
            fields: &[Field::new("AuthenticationData", Kind::Declared(&AUTHENTICATION_GENERIC_DATA))],
        },
        &AUTHENTICATE_RESPONSE,
        AUTHENTICATE_RESPONSE.name,
        |_| Box::pin(async { Ok(refused()) }),
    ),
    Operation::new(
        "AuthenticateWithAccessToken",
        "Signs in with a token: a ticket of this service.",
        &ComplexType { name: "AuthenticateWithAccessToken", fields: &[Field::new("AccessToken", Kind::String)] },
        &AUTHENTICATE_RESPONSE,
        AUTHENTICATE_RESPONSE.name,
        |call| Box::pin(authenticate_with_access_token(call)),
    )
    .since(Edition::Services86),
];

/// The answer of all four sign-ins.
static AUTHENTICATE_RESPONSE: ComplexType = ComplexType {
    name: "AuthenticateResponse",
    fields: &[
        Field::new("Response", Kind::Complex(&SO_PRINCIPAL_CARRIER)),
        Field::new("Credentials", Kind::Complex(&SO_CREDENTIALS)),
        Field::new("AuthenticationSucceeded", Kind::Boolean),
    ],
};

static GET_SYSTEM_INFO_RESPONSE: ComplexType = ComplexType {
    name: "GetSystemInfoResponse",
    fields: &[Field::new("SystemInfo", Kind::Complex(&SO_SYSTEM_INFO_CARRIER))],
};

async fn authenticate_username_password(mut call: Call) -> Result<Done, Error> {
    let user_name = call.arguments.take_string("UserName").unwrap_or_default();
    let password = Password::new(call.arguments.take_string("Password").unwrap_or_default());
    let signed_in = call.service.sign_in(&call.context, user_name, password).await?;
    Ok(signed_in.map_or_else(refused, |signed_in| accepted(&call, signed_in)))
}

async fn authenticate_with_access_token(mut call: Call) -> Result<Done, Error> {
    let token = call.arguments.take_string("AccessToken").unwrap_or_default();
    let signed_in = call.service.sign_in_with_ticket(&call.context, &token).await?;
    Ok(signed_in.map_or_else(refused, |signed_in| accepted(&call, signed_in)))
}

fn refused() -> Done {
    let answer = Record::new(&AUTHENTICATE_RESPONSE).with("AuthenticationSucceeded", Value::Boolean(false));
    Done { answer, end: End::Reached(Some(Refusal::CallerUnknown.into())) }
}

fn accepted(call: &Call, signed_in: SignIn) -> Done {
    let credentials = Record::new(&SO_CREDENTIALS).with("Ticket", string(signed_in.ticket));
    Record::new(&AUTHENTICATE_RESPONSE)
        .with("Response", Value::Record(principal_carrier(call, &signed_in.principal)))
        .with("Credentials", Value::Record(credentials))
        .with("AuthenticationSucceeded", Value::Boolean(true))
        .into()
}

/// The company of the user is their entity. The other members of the vendor's carrier have no counterpart here.
fn principal_carrier(call: &Call, principal: &Principal) -> Record {
    let none = || int(0);
    let licenses = principal.owner.as_ref().map_or_else(Vec::new, |owner| granted(call, owner));
    Record::new(&SO_PRINCIPAL_CARRIER)
        .with("UserType", Value::Enumeration("InternalAssociate"))
        .with("Associate", string(&principal.user_name))
        .with("AssociateId", Value::Int(principal.associate_id.unwrap_or(0)))
        .with("IsPerson", Value::Boolean(true))
        .with("PersonId", none())
        .with("CountryId", none())
        .with("HomeCountryId", none())
        .with("ContactId", Value::Int(principal.entity_id))
        .with("GroupId", none())
        .with("BusinessId", none())
        .with("CategoryId", none())
        .with("ContactOwner", none())
        .with("RoleId", Value::Int(principal.role as i32 + 1))
        .with("RoleName", string(principal.role.name()))
        .with("RoleDescription", string(""))
        .with("RoleType", Value::Enumeration("Employee"))
        .with("Licenses", Value::Array(licenses))
        .with("FullName", string(&principal.user_name))
        .with("EMailAddress", string(""))
        .with("FunctionRights", Value::Strings(Vec::new()))
        .with("EjUserId", none())
        .with("EjAccessLevel", none())
        .with("EjUserStatus", Value::Enumeration("StatusNone"))
        .with("ProvidedCredentials", Value::Array(Vec::new()))
        .with("SecondaryGroups", Value::Ints(Vec::new()))
        .with("DatabaseContextIdentifier", string(""))
}

fn granted(call: &Call, owner: &Owner) -> Vec<Record> {
    let module = |license_type: LicenseType| {
        Record::new(&GRANTED_MODULE_LICENSE)
            .with("OwnerId", Value::Int(owner.entity_id))
            .with("OwnerName", string(&owner.name))
            .with("OwnerDescription", string(owner.description()))
            .with("ModuleId", Value::Int(sort_order(license_type)))
            .with("Name", string(license_type.module_name()))
            .with("Description", string(license_type.name()))
            .with("Version", string(""))
            .with("LicenseType", Value::Enumeration("UserLicense"))
            .with("ExtraFlags", int(0))
            .with("SortOrder", Value::Int(sort_order(license_type)))
            .with("LicenseNumber", int(owner.current.seats[license_type.index()]))
            .with("IsHidden", Value::Boolean(false))
            .with("IsUnrestricted", Value::Boolean(false))
            .with("ExpiryDate", Value::DateTime(call.dates().text(owner.current.dates.expires)))
    };
    // Modules without a seat are not granted.
    LicenseType::ALL.into_iter().filter(|t| owner.current.seats[t.index()] > 0).map(module).collect()
}

/// Needs no sign-in, so its license is empty.
async fn get_system_info(call: Call) -> Result<Done, Error> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let info = Record::new(&SO_SYSTEM_INFO_CARRIER)
        .with("License", Value::Record(empty_license_info(call.dates())))
        .with("WarningEnglish", string(""))
        .with("WarningResource", string(""))
        .with("BranchName", string(""))
        .with("BuildLabel", string(VERSION))
        .with("AssemblyVersion", string(VERSION))
        .with("AccumulatedNextCheckDate", Value::DateTime(call.dates().text(None)))
        .with("FileVersion", string(VERSION))
        .with("Description", string("Seatkeeper"))
        .with("DaysUntilNetServerExpiry", int(i64::from(i32::MAX)))
        .with("BuildType", Value::Enumeration("Release"))
        .with("DatabaseVersion", int(0))
        .with("IsUnicode", Value::Boolean(true))
        .with("CompanyName", string(""))
        .with("CompanyId", int(0))
        .with("DatabaseType", string(""))
        .with("DatabaseMinor", string(""))
        .with("DatabaseName", string(""))
        .with("IsOnTravel", Value::Boolean(false))
        .with("IsSatellite", Value::Boolean(false));
    Ok(Record::new(&GET_SYSTEM_INFO_RESPONSE).with("SystemInfo", Value::Record(info)).into())
}
