//! The types of the NetServer contracts: names, order, kinds and the editions that added them are the vendor's, from the
//! published documents of Services84 to Services88, and of the Web API.
//!
//! Every member may be left out; a member of a reference type may be null. A type whose first fields are those of [`CARRIER`]
//! extends it.

use crate::contract::edition::Edition;
use crate::contract::{Array, ComplexType, Declared, EnumValue, Enumeration, Field, Kind};

const fn field(name: &'static str, kind: Kind) -> Field {
    Field::new(name, kind)
}

const fn string(name: &'static str) -> Field {
    field(name, Kind::String)
}

const fn int(name: &'static str) -> Field {
    field(name, Kind::Int)
}

const fn boolean(name: &'static str) -> Field {
    field(name, Kind::Boolean)
}

const fn date_time(name: &'static str) -> Field {
    field(name, Kind::DateTime)
}

const fn value(name: &'static str) -> EnumValue {
    EnumValue::new(name)
}

// Licenses ----------------------------------------------------------------------------------------------------------

/// The license in force, the license that the issuer grants, and usage.
pub static EXTENDED_LICENSE_INFO: ComplexType = ComplexType {
    name: "ExtendedLicenseInfo",
    fields: &[
        string("Reason"),
        boolean("CanBeActivated"),
        field("New", Kind::Complex(&LICENSE_INFO)),
        field("Current", Kind::Complex(&LICENSE_INFO)),
        field("ExtendedModuleLicenses", Kind::Array(&ARRAY_OF_EXTENDED_MODULE_LICENSE)),
        date_time("AccumulatedNextCheckDate"),
    ],
};

pub static ARRAY_OF_EXTENDED_LICENSE_INFO: Array =
    Array { name: "ArrayOfExtendedLicenseInfo", item: &EXTENDED_LICENSE_INFO };

/// The license of one owner.
pub static LICENSE_INFO: ComplexType = ComplexType {
    name: "LicenseInfo",
    fields: &[
        string("CompanyName"),
        string("SerialNr"),
        string("OwnerName"),
        string("OwnerDescription"),
        date_time("NextCheckDate"),
        date_time("MaintenanceDate"),
        date_time("AdminWarningDate"),
        date_time("ExpiryDate"),
        date_time("GraceDate"),
        int("ExtraFlags"),
        string("ExtraInfo").since(Edition::WebApi),
        string("LicenseUrl"),
        string("LicenseVersion"),
        int("DeploymentType"),
        string("ProductType"),
        string("ProductDescription"),
        field("ModuleLicenses", Kind::Array(&ARRAY_OF_MODULE_LICENSE)),
        field("PublicKey", Kind::Complex(&SIGNED_PUBLIC_KEY)),
        string("Signature"),
    ],
};

static ARRAY_OF_MODULE_LICENSE: Array = Array { name: "ArrayOfModuleLicense", item: &MODULE_LICENSE };

/// One module of a license.
pub static MODULE_LICENSE: ComplexType = ComplexType {
    name: "ModuleLicense",
    fields: &[
        string("OwnerName"),
        string("ModuleName"),
        string("ModuleDescription"),
        string("ModuleTooltip"),
        string("ModuleVersion"),
        field("LicenseType", Kind::Enumeration(&LICENSE_TYPE)),
        boolean("Unrestricted"),
        field("AllowedUserType", Kind::Enumeration(&USER_TYPE)),
        int("NumberOfLicenses"),
        int("ExtraFlags"),
        string("ExtraInfo"),
        int("SortOrder"),
        boolean("IsHidden"),
        string("PrerequisiteModuleName"),
        string("Signature"),
    ],
};

/// Never sent, because this service signs nothing.
static SIGNED_PUBLIC_KEY: ComplexType = ComplexType {
    name: "SignedPublicKey",
    fields: &[
        string("OwnerName"),
        date_time("SignDate"),
        date_time("ExpiryDate"),
        field("Key", Kind::Declared(&Declared::DsaParameters)),
        string("Signature"),
    ],
};

static ARRAY_OF_EXTENDED_MODULE_LICENSE: Array =
    Array { name: "ArrayOfExtendedModuleLicense", item: &EXTENDED_MODULE_LICENSE };

/// One module: in the license in force and in the granted one, with the numbers of both.
pub static EXTENDED_MODULE_LICENSE: ComplexType = ComplexType {
    name: "ExtendedModuleLicense",
    fields: &[
        field("New", Kind::Complex(&MODULE_LICENSE)),
        field("Current", Kind::Complex(&MODULE_LICENSE)),
        int("NumberOfLicensesInUse"),
        int("NumberOfLicensesFree"),
        int("NumberOfLicensesAdded"),
        int("NumberOfLicensesNewTotal"),
        int("NumberOfLicensesNewFree"),
        int("NumberOfLicensesTotal"),
    ],
};

pub static CHECK_LICENSE_STATUS_RESULT: ComplexType = ComplexType {
    name: "CheckLicenseStatusResult",
    fields: &[field("LicenseStatus", Kind::Enumeration(&LICENSE_STATUS)), string("Message"), string("Url")],
};

/// Whether an operation on a license succeeded, and if not, why.
pub static LICENSE_RESULT: ComplexType = ComplexType {
    name: "LicenseResult",
    fields: &[TABLE_RIGHT, FIELD_PROPERTIES, boolean("Succeeded"), string("Reason")],
};

/// The dates of the license that covers a user, and the names of the modules that the user holds.
pub static USER_AND_INSTALLATION_LICENCE_STATUS: ComplexType = ComplexType {
    name: "UserAndInstallationLicenceStatus",
    fields: &[
        date_time("AdminWarningDate"),
        date_time("ExpiryDate"),
        date_time("GraceDate"),
        string("CompanyName"),
        string("SerialNr"),
        field("UserLicenses", Kind::Strings),
    ],
};

/// Modules of one owner that can be assigned.
pub static LICENSE_OWNER: ComplexType = ComplexType {
    name: "LicenseOwner",
    fields: &[
        TABLE_RIGHT,
        FIELD_PROPERTIES,
        string("Name"),
        string("Description"),
        field("RestrictedModuleLicenses", Kind::Array(&ARRAY_OF_MODULE_LICENSE_LINK)),
        field("UnrestrictedModuleLicenses", Kind::Array(&ARRAY_OF_MODULE_LICENSE_LINK)),
    ],
};

pub static ARRAY_OF_LICENSE_OWNER: Array = Array { name: "ArrayOfLicenseOwner", item: &LICENSE_OWNER };

pub static ARRAY_OF_MODULE_LICENSE_LINK: Array = Array { name: "ArrayOfModuleLicenseLink", item: &MODULE_LICENSE_LINK };

/// A module and a user: whether the user holds it, and how many are free.
pub static MODULE_LICENSE_LINK: ComplexType = ComplexType {
    name: "ModuleLicenseLink",
    fields: &[
        TABLE_RIGHT,
        FIELD_PROPERTIES,
        boolean("Unrestricted"),
        int("Total"),
        string("Tooltip"),
        boolean("CanAssign"),
        int("Free"),
        int("InUse"),
        boolean("IsHidden").since(Edition::Services87),
        boolean("Assigned"),
        int("ModuleLicenseId"),
        string("Name"),
        string("Description"),
        string("PrerequisiteModuleName"),
        int("SortOrder"),
        int("ExtraFlags").since(Edition::Services88),
    ],
};

pub static ARRAY_OF_SELECTABLE_MDO_LIST_ITEM: Array =
    Array { name: "ArrayOfSelectableMDOListItem", item: &SELECTABLE_MDO_LIST_ITEM };

/// A line of a list in a user interface, with lines below it.
pub static SELECTABLE_MDO_LIST_ITEM: ComplexType = ComplexType {
    name: "SelectableMDOListItem",
    fields: &[
        TABLE_RIGHT,
        FIELD_PROPERTIES,
        int("Id"),
        string("Name"),
        string("ToolTip"),
        boolean("Deleted"),
        int("Rank"),
        string("Type"),
        int("ColorBlock"),
        string("IconHint"),
        boolean("Selected"),
        date_time("LastChanged"),
        field("ChildItems", Kind::Array(&ARRAY_OF_SELECTABLE_MDO_LIST_ITEM)),
        string("ExtraInfo"),
        string("StyleHint"),
        boolean("Hidden"),
        string("FullName"),
    ],
};

pub static LICENSE_STATUS: Enumeration = Enumeration {
    name: "LicenseStatus",
    values: &[
        value("Ok"),
        value("NewLicenseAvailable"),
        value("NewCompanyNameAvailable"),
        value("NewSerialAvailable"),
        value("UseCustomMessage"),
        value("UseCustomMessageAndUrl"),
        value("NewLicenseActivated").since(Edition::WebApi),
        value("ProblemWithLicense").number(100),
        value("UnknownError").number(5000),
    ],
};

pub static LICENSE_TYPE: Enumeration = Enumeration {
    name: "LicenseType",
    values: &[value("Unknown"), value("SiteLicense"), value("SatelliteLicense"), value("UserLicense")],
};

pub static USER_TYPE: Enumeration = Enumeration {
    name: "UserType",
    values: &[
        value("Unknown"),
        value("InternalAssociate"),
        value("ResourceAssociate"),
        value("ExternalAssociate"),
        value("AnonymousAssociate"),
        value("SystemAssociate"),
    ],
};

// Signing in --------------------------------------------------------------------------------------------------------

/// The signed-in caller.
pub static SO_PRINCIPAL_CARRIER: ComplexType = ComplexType {
    name: "SoPrincipalCarrier",
    fields: &[
        field("UserType", Kind::Enumeration(&USER_TYPE)),
        string("Associate"),
        int("AssociateId"),
        boolean("IsPerson"),
        int("PersonId"),
        int("CountryId"),
        int("HomeCountryId"),
        int("ContactId"),
        int("GroupId"),
        int("BusinessId"),
        int("CategoryId"),
        int("ContactOwner"),
        int("RoleId"),
        string("RoleName"),
        string("RoleDescription"),
        field("RoleType", Kind::Enumeration(&ROLE_TYPE)),
        field("Licenses", Kind::Array(&ARRAY_OF_GRANTED_MODULE_LICENSE)),
        string("FullName"),
        string("EMailAddress"),
        field("FunctionRights", Kind::Strings),
        int("EjUserId"),
        int("EjAccessLevel"),
        field("EjUserStatus", Kind::Enumeration(&EJ_USER_STATUS)),
        field("ProvidedCredentials", Kind::Array(&ARRAY_OF_PROVIDED_CREDENTIAL)),
        field("SecondaryGroups", Kind::Ints),
        string("DatabaseContextIdentifier"),
    ],
};

static ARRAY_OF_GRANTED_MODULE_LICENSE: Array =
    Array { name: "ArrayOfGrantedModuleLicense", item: &GRANTED_MODULE_LICENSE };

/// A module that the signed-in caller may use.
pub static GRANTED_MODULE_LICENSE: ComplexType = ComplexType {
    name: "GrantedModuleLicense",
    fields: &[
        TABLE_RIGHT,
        FIELD_PROPERTIES,
        int("OwnerId"),
        string("OwnerName"),
        string("OwnerDescription"),
        int("ModuleId"),
        string("Name"),
        string("Description"),
        string("Version"),
        field("LicenseType", Kind::Enumeration(&LICENSE_TYPE)),
        int("ExtraFlags"),
        int("SortOrder"),
        int("LicenseNumber"),
        boolean("IsHidden"),
        boolean("IsUnrestricted"),
        date_time("ExpiryDate"),
    ],
};

static ARRAY_OF_PROVIDED_CREDENTIAL: Array = Array { name: "ArrayOfProvidedCredential", item: &PROVIDED_CREDENTIAL };

static PROVIDED_CREDENTIAL: ComplexType = ComplexType {
    name: "ProvidedCredential",
    fields: &[string("Type"), string("SearchName"), string("DisplayName"), int("CredentialId")],
};

/// Version and name of the service; needs no sign-in.
pub static SO_SYSTEM_INFO_CARRIER: ComplexType = ComplexType {
    name: "SoSystemInfoCarrier",
    fields: &[
        TABLE_RIGHT,
        FIELD_PROPERTIES,
        field("License", Kind::Complex(&LICENSE_INFO)),
        string("WarningEnglish"),
        string("WarningResource"),
        string("BranchName"),
        string("BuildLabel"),
        string("AssemblyVersion"),
        date_time("AccumulatedNextCheckDate"),
        string("FileVersion"),
        string("Description"),
        int("DaysUntilNetServerExpiry"),
        field("BuildType", Kind::Enumeration(&NET_SERVER_BUILD_TYPE)),
        int("DatabaseVersion"),
        boolean("IsUnicode"),
        string("CompanyName"),
        int("CompanyId"),
        string("DatabaseType"),
        string("DatabaseMinor"),
        string("DatabaseName"),
        boolean("IsOnTravel"),
        boolean("IsSatellite"),
    ],
};

pub static ROLE_TYPE: Enumeration = Enumeration {
    name: "RoleType",
    values: &[value("Employee"), value("ExternalUser"), value("Anonymous"), value("System")],
};

pub static EJ_USER_STATUS: Enumeration = Enumeration {
    name: "EjUserStatus",
    values: &[
        value("StatusNone"),
        value("StatusNormal"),
        value("StatusNotAvailable"),
        value("StatusDeleted"),
        value("StatusReadOnly"),
        value("StatusSpm"),
        value("StatusSystem").number(127),
    ],
};

pub static NET_SERVER_BUILD_TYPE: Enumeration = Enumeration {
    name: "NetServerBuildType",
    values: &[
        value("Feature"),
        value("Stable"),
        value("Alpha"),
        value("Beta"),
        value("ReleaseCandidate"),
        value("Release"),
    ],
};

/// Its keys are not documented.
pub static AUTHENTICATION_GENERIC_DATA: Declared = Declared::Dictionary {
    name: "AuthenticationGenericData",
    pair: "AuthenticationGenericDataKeyValuePair",
    value: Kind::String,
};

// Rights on tables and fields: there are none here, so every carrier has them null ----------------------------------

/// The first fields of many types.
pub static CARRIER: ComplexType = ComplexType { name: "Carrier", fields: &[TABLE_RIGHT, FIELD_PROPERTIES] };

const TABLE_RIGHT: Field = field("TableRight", Kind::Complex(&TABLE_RIGHT_TYPE));

static TABLE_RIGHT_TYPE: ComplexType =
    ComplexType { name: "TableRight", fields: &[field("Mask", Kind::Declared(&E_TABLE_RIGHT)), string("Reason")] };

static E_TABLE_RIGHT: Declared = Declared::Flags(Enumeration {
    name: "ETableRight",
    values: &[
        value("Select"),
        value("Update"),
        value("Insert"),
        value("Delete"),
        value("Filtering"),
        value("RestrictedUpdate"),
        value("Unused1").since(Edition::Services88),
        value("Uninitialized").since(Edition::Services88),
        value("R").number(1).since(Edition::Services88),
        value("F").number(16).since(Edition::Services88),
    ],
});

const FIELD_PROPERTIES: Field = field("FieldProperties", Kind::Declared(&FIELD_PROPERTY_DICTIONARY));

static FIELD_PROPERTY_DICTIONARY: Declared = Declared::Dictionary {
    name: "FieldPropertyDictionary",
    pair: "FieldPropertyDictionaryKeyValuePair",
    value: Kind::Complex(&FIELD_PROPERTY),
};

static FIELD_PROPERTY: ComplexType = ComplexType {
    name: "FieldProperty",
    fields: &[field("FieldRight", Kind::Complex(&FIELD_RIGHT)), string("FieldType"), int("FieldLength")],
};

static FIELD_RIGHT: ComplexType =
    ComplexType { name: "FieldRight", fields: &[field("Mask", Kind::Declared(&E_FIELD_RIGHT)), string("Reason")] };

static E_FIELD_RIGHT: Declared = Declared::Flags(Enumeration {
    name: "EFieldRight",
    values: &[
        value("Read"),
        value("Write"),
        value("Unused1"),
        value("Unused2"),
        value("Unused3"),
        value("Unused4"),
        value("UIHintMandatory"),
        value("UIHintReadOnly"),
        value("UndefinedValue256"),
        value("Nullable").number(32).since(Edition::Services88),
    ],
});

// Header blocks -----------------------------------------------------------------------------------------------------

pub static SO_CREDENTIALS: ComplexType = ComplexType { name: "SoCredentials", fields: &[string("Ticket")] };

pub static SO_TIME_ZONE: ComplexType =
    ComplexType { name: "SoTimeZone", fields: &[int("SoTimeZoneId"), string("SoTimeZoneLocationCode")] };

pub static SO_EXCEPTION_INFO: ComplexType = ComplexType {
    name: "SoExceptionInfo",
    fields: &[
        string("Message"),
        string("StackTrace"),
        string("FriendlyText"),
        string("ExceptionType"),
        string("Source"),
        field("InnerException", Kind::Complex(&SO_EXCEPTION_INFO)),
        field("Parameters", Kind::Declared(&SO_EXCEPTION_INFO_PARAMETERS)),
    ],
};

static SO_EXCEPTION_INFO_PARAMETERS: Declared = Declared::Dictionary {
    name: "SoExceptionInfoParameters",
    pair: "SoExceptionInfoParametersKeyValuePair",
    value: Kind::String,
};

pub static SO_EXTRA_INFO: Declared =
    Declared::Dictionary { name: "SoExtraInfo", pair: "ExtraInfoNameValuePair", value: Kind::String };
