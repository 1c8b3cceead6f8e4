//! The operations of LicenseManagementService, each described once: first the vendor's three, then in the same form those that
//! are ours.

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::auth::Password;
use crate::contract::credential::CredentialBlock;
use crate::contract::record::{self, Naming, Record, Value, ValueError};
use crate::contract::{self, Array, ComplexType, End, EnumValue, Enumeration, Field, Kind, Surface, naming};
use crate::error::{Error, ErrorKind};
use crate::seats::{AssignRequest, Holding, LicenseType, Transfer, UserName};
use crate::service::{CallContext, Identity};
use crate::soap::envelope::{Element, Envelope};
use crate::store::{Holder, HoldersRequest, PoolUse};

/// The path of the service, as the vendor spells it.
pub const PATH: &str = "/WebApi/AccountManagementService/LicenseManagementService.asmx";

/// The ASMX service.
pub struct Asmx;

impl Surface for Asmx {
    type Extra = ();
    type Answer = Answer;
}

pub type Contract = contract::Contract<Asmx>;
pub type Operation = contract::Operation<Asmx>;
pub type Call = contract::Call<Asmx>;
type Done = contract::Done<Answer>;

/// The fields of `<name>Result` before the last, which is the vendor's result object.
pub enum Answer {
    Whole(Record),
    /// Too many rows to hold at once: the first field is an array that is written as its rows come, and the only one.
    Streamed(Holders),
}

/// The holders of licenses, in pages from the store.
pub struct Holders {
    /// The first two pages; a shorter answer is not streamed.
    pub first: Vec<Holder>,
    pub pages: mpsc::Receiver<Vec<Holder>>,
}

impl From<Record> for Done {
    fn from(record: Record) -> Done {
        Done { answer: Answer::Whole(record), end: End::Reached(None) }
    }
}

pub static CONTRACT: Contract = Contract {
    name: "LicenseManagementService",
    namespace: "sosonlinebackup.com",
    header_blocks: &[Field::new(AUTH_HEADER.name, Kind::Complex(&AUTH_HEADER))],
    operations: OPERATIONS,
};

/// An operation: the fields of its request, those of its answer before the vendor's result object, and the function that gives
/// the answer, which gets an empty one.
macro_rules! operation {
    ($name:literal, [$($argument:expr),*] -> [$($answer:expr),*], $run:path, $documentation:literal) => {{
        static OUTPUT: ComplexType =
            ComplexType { name: concat!($name, "Result"), fields: &[$($answer,)* RESULT_FIELD] };
        Operation::new(
            $name,
            $documentation,
            &ComplexType { name: concat!($name, "Request"), fields: &[$($argument),*] },
            &OUTPUT,
            concat!($name, "Response"),
            |call| Box::pin($run(call, Record::new(&OUTPUT))),
        )
    }};
}

/// The vendor's three, then those that are ours.
static OPERATIONS: &[Operation] = &[
    operation!("AssignLicense", [USERNAME, PROVIDER_ENTITY_ID, LICENSE_TYPE_FIELD] -> [],
        assign_license, "Attaches license to user. User should not have already been assigned to the same type of license")
        .changes_seats(),
    operation!("GetAssignedLicenseDetails", [USERNAME, LICENSE_TYPE_FIELD] ->
        [Field::new("ProductKey", Kind::String), Field::new("LicenseData", Kind::Base64)],
        get_assigned_license_details, "Returns detailed info about specific license, assigned to user"),
    operation!("GetAssignedLicensesSummary", [ENTITY_ID, Field::new("ChildAccountsOnly", Kind::Boolean)] ->
        [Field::new(HOLDERS, Kind::Array(&Array { name: "ArrayOfUserLicenseSummary", item: &USER_LICENSE_SUMMARY }))],
        get_assigned_licenses_summary, "Returns info about licenses distribution among users, taking into account their relations to Company/Partner"),
    operation!("UnassignLicense", [USERNAME, LICENSE_TYPE_FIELD] -> [],
        unassign_license, "Releases the license of a user. Needs the role admin. (Seatkeeper)").changes_seats(),
    operation!("TransferLicense",
        [Field::new("FromUsername", Kind::String), Field::new("ToUsername", Kind::String), LICENSE_TYPE_FIELD] -> [],
        transfer_license, "Transfers the license of one user to another in one step: the seat is never free in between. Needs the role admin. (Seatkeeper)")
        .changes_seats(),
    operation!("GetLicensePools", [ENTITY_ID] ->
        [Field::new("Pools", Kind::Array(&Array { name: "ArrayOfLicensePool", item: &LICENSE_POOL }))],
        get_license_pools, "Returns the license pools of an entity: seats in total, in use and free, the most ever in use, and the dates between which seats can be assigned. (Seatkeeper)"),
    operation!("AssignLicenses",
        [
            Field::new("Items", Kind::Array(&Array { name: "ArrayOfAssignLicensesItem", item: &ASSIGN_LICENSES_ITEM })),
            Field::new("DryRun", Kind::Boolean)
        ] ->
        [Field::new("Results", Kind::Array(&Array { name: "ArrayOfAssignLicensesItemResult", item: &ASSIGN_LICENSES_ITEM_RESULT }))],
        assign_licenses, "Attaches licenses to many users, one after the other, with a result for each; a refused item does not undo the others. With DryRun nothing is changed, and the results are those that the call would give. (Seatkeeper)")
        .changes_seats(),
];

/// The field that the answer of GetAssignedLicensesSummary has the holders in.
pub const HOLDERS: &str = "UsersLicenses";

static USER_LICENSE_SUMMARY: ComplexType =
    ComplexType { name: "UserLicenseSummary", fields: &[USERNAME, LICENSE_TYPE_FIELD] };

static LICENSE_POOL: ComplexType = ComplexType {
    name: "LicensePool",
    fields: &[
        Field::new("PoolId", Kind::String),
        LICENSE_TYPE_FIELD,
        Field::new("SeatsTotal", Kind::Int),
        Field::new("SeatsInUse", Kind::Int),
        Field::new("SeatsFree", Kind::Int),
        Field::new("SeatsInUseMax", Kind::Int),
        Field::new("StartsAt", Kind::NullableDateTime),
        Field::new("ExpiresAt", Kind::NullableDateTime),
    ],
};

static ASSIGN_LICENSES_ITEM_RESULT: ComplexType =
    ComplexType { name: "AssignLicensesItemResult", fields: &[USERNAME, RESULT_FIELD] };

static ASSIGN_LICENSES_ITEM: ComplexType =
    ComplexType { name: "AssignLicensesItem", fields: &[USERNAME, PROVIDER_ENTITY_ID, LICENSE_TYPE_FIELD] };

const PROVIDER_ENTITY_ID: Field = Field::new("LicenseProviderEntityId", Kind::Int);

const USERNAME: Field = Field::new("Username", Kind::String);

const ENTITY_ID: Field = Field::new("EntityId", Kind::Int);

const LICENSE_TYPE_FIELD: Field = Field::new("LicenseType", Kind::Enumeration(&LICENSE_TYPE));

static LICENSE_TYPE: Enumeration = Enumeration {
    name: "LicenseType",
    values: &[
        EnumValue::new(LicenseType::ALL[0].name()),
        EnumValue::new(LicenseType::ALL[1].name()),
        EnumValue::new(LicenseType::ALL[2].name()),
    ],
};

const RESULT_FIELD: Field = Field::new("Result", Kind::Complex(&RESULT));

/// The vendor's pages do not show its name; it is not visible on the wire.
static RESULT: ComplexType = ComplexType {
    name: "WebServiceResult",
    fields: &[Field::new("Result", Kind::Int), Field::new("Code", Kind::String), Field::new("Message", Kind::String)],
};

/// The header block of every operation.
pub static AUTH_HEADER: ComplexType = ComplexType {
    name: "AuthHeader",
    fields: &[Field::new("UserName", Kind::String), Field::new("Password", Kind::String)],
};

/// Whether a request may have this header block.
pub fn is_block(block: &Element) -> bool {
    block.is(CONTRACT.namespace, AUTH_HEADER.name) || naming::is_block(block, is_own)
}

/// Whether a namespace is that of the service.
pub fn is_own(namespace: &str) -> bool {
    namespace == CONTRACT.namespace
}

/// The credentials in the AuthHeader block of a message. Of several blocks the first counts: a user name of one is never
/// combined with a password of another.
pub fn identity(envelope: &Envelope, context: &CallContext) -> Result<Identity, ValueError> {
    const BLOCK: CredentialBlock =
        CredentialBlock { namespace: CONTRACT.namespace, name: AUTH_HEADER.name, may_stand_beside: false };
    let Some(block) = envelope.header_blocks.iter().find(|block| block.is(BLOCK.namespace, BLOCK.name)) else {
        return Ok(Identity::Missing(BLOCK.missing(envelope)));
    };
    let mut record = record::read(block, &AUTH_HEADER, Naming::Exact(CONTRACT.namespace))?;
    let (user_name, password) = (record.take_string("UserName"), record.take_string("Password"));
    Ok(match (user_name, password) {
        (None, _) => Identity::Missing(BLOCK.field_missing(block, "UserName")),
        (_, None) => Identity::Missing(BLOCK.field_missing(block, "Password")),
        (user_name, password) => Identity::of_password(user_name, password.map(Password::new), context),
    })
}

async fn assign_license(mut call: Call, answer: Record) -> Result<Done, Error> {
    let username = call.arguments.take_string("Username");
    let request = assign_request(username, call.arguments);
    call.service.assign_license(&call.context, &call.identity, request).await?;
    Ok(answer.into())
}

async fn get_assigned_license_details(call: Call, answer: Record) -> Result<Done, Error> {
    let details = call.service.license_details(&call.context, &call.identity, holding(call.arguments)).await?;
    let answer = answer
        .with_some("ProductKey", details.product_key.map(Value::String))
        .with_some("LicenseData", details.license_data.map(Value::Base64));
    Ok(answer.into())
}

async fn get_assigned_licenses_summary(mut call: Call, answer: Record) -> Result<Done, Error> {
    let request = HoldersRequest {
        entity_id: call.arguments.take_int("EntityId"),
        child_accounts_only: call.arguments.take_boolean("ChildAccountsOnly").unwrap_or(false),
    };
    let (sender, mut pages) = mpsc::channel(2);
    let end = tokio::spawn(async move {
        call.service.license_holders(&call.context, &call.identity, request, sender).await.err()
    });
    let mut first = pages.recv().await.unwrap_or_default();
    if let Some(second) = pages.recv().await {
        first.extend(second);
        return Ok(Done { answer: Answer::Streamed(Holders { first, pages }), end: End::Ahead(end) });
    }
    match end.await.expect("the use case does not panic and is not aborted") {
        Some(refused) => Err(refused),
        None => Ok(answer.with(HOLDERS, Value::Array(first.into_iter().map(holder).collect())).into()),
    }
}

/// One row of GetAssignedLicensesSummary.
pub fn holder(holder: Holder) -> Record {
    Record::new(&USER_LICENSE_SUMMARY)
        .with("Username", Value::String(holder.username))
        .with("LicenseType", Value::Enumeration(holder.license_type.name()))
}

async fn unassign_license(call: Call, answer: Record) -> Result<Done, Error> {
    call.service.unassign_license(&call.context, &call.identity, holding(call.arguments)).await?;
    Ok(answer.into())
}

async fn transfer_license(mut call: Call, answer: Record) -> Result<Done, Error> {
    let transfer = Transfer {
        from: call.arguments.take_string("FromUsername").map(UserName::from),
        to: call.arguments.take_string("ToUsername").map(UserName::from),
        license_type: license_type(&mut call.arguments),
    };
    call.service.transfer_license(&call.context, &call.identity, transfer).await?;
    Ok(answer.into())
}

async fn get_license_pools(mut call: Call, answer: Record) -> Result<Done, Error> {
    let entity_id = call.arguments.take_int("EntityId");
    let pools = call.service.license_pools(&call.context, &call.identity, entity_id).await?;
    Ok(answer.with("Pools", Value::Array(pools.into_iter().map(pool).collect())).into())
}

fn pool(pool: PoolUse) -> Record {
    Record::new(&LICENSE_POOL)
        .with("PoolId", Value::String(pool.id.to_string()))
        .with("LicenseType", Value::Enumeration(pool.license_type.name()))
        .with("SeatsTotal", Value::Int(pool.seats_total))
        .with("SeatsInUse", Value::Int(pool.seats_in_use))
        .with("SeatsFree", Value::Int(pool.seats_total - pool.seats_in_use))
        .with("SeatsInUseMax", Value::Int(pool.seats_in_use_max))
        .with("StartsAt", Value::NullableDateTime(pool.starts_at))
        .with("ExpiresAt", Value::NullableDateTime(pool.expires_at))
}

async fn assign_licenses(mut call: Call, answer: Record) -> Result<Done, Error> {
    let items = call.arguments.take_array("Items").unwrap_or_default();
    let dry_run = call.arguments.take_boolean("DryRun").unwrap_or(false);
    // Each result has the user name as the caller sent it.
    let named = items.into_iter().map(|mut item| (item.take_string("Username"), item));
    let (usernames, items): (Vec<Option<String>>, Vec<AssignRequest>) =
        named.map(|(username, item)| (username.clone(), assign_request(username, item))).unzip();
    let about: Vec<_> = items.iter().map(|item| (item.provider_entity_id, item.license_type)).collect();
    let outcomes = call.service.assign_licenses(&call.context, &call.identity, items, dry_run).await?;

    let (id, total) = (call.context.answer_id(), outcomes.len());
    let refusals = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    call.context.trail.note(|facts| facts.items = Some((total, refusals)));
    let mut refused = None;
    let mut results = Vec::with_capacity(total);
    for (index, ((username, outcome), (entity_id, license_type))) in
        usernames.into_iter().zip(outcomes).zip(about).enumerate()
    {
        let error = outcome.err().map(|refusal| {
            let error = Error::from(refusal).of(entity_id, username.as_deref(), license_type);
            match call.identity.proved() {
                Some(who) => error.by(who),
                None => error,
            }
        });
        results.push(
            Record::new(&ASSIGN_LICENSES_ITEM_RESULT)
                .with_some("Username", username.map(Value::String))
                .with(RESULT_FIELD.name, result(error.as_ref(), id)),
        );
        // The whole call is no success unless every item is.
        if let Some(error) = error {
            if refused.is_some() && !dry_run && call.context.original().is_none() {
                // The first one is noted and counted with the call.
                call.service.metrics.count_refusal(error.kind.outcome(), error.reason);
                call.service.note_refused("AssignLicenses", &call.context, &error);
            }
            refused.get_or_insert_with(|| error.about(&format!("item {} of {total}, {refusals} refused", index + 1)));
        }
    }
    let answer = answer.with("Results", Value::Array(results));
    Ok(Done { answer: Answer::Whole(answer), end: End::Reached(refused) })
}

fn assign_request(username: Option<String>, mut record: Record) -> AssignRequest {
    AssignRequest {
        username: username.map(UserName::from),
        provider_entity_id: record.take_int("LicenseProviderEntityId"),
        license_type: license_type(&mut record),
    }
}

fn holding(mut record: Record) -> Holding {
    Holding { username: record.take_string("Username").map(UserName::from), license_type: license_type(&mut record) }
}

fn license_type(record: &mut Record) -> Option<LicenseType> {
    record.take_enumeration("LicenseType").and_then(|name| name.parse().ok())
}

/// The vendor's result object, the last field of every answer: a success, or the reason of a refusal and the id of the call,
/// which identifies the log line.
pub fn with_result(answer: Record, refused: Option<&Error>, id: Uuid) -> Record {
    answer.with(RESULT_FIELD.name, result(refused, id))
}

fn result(refused: Option<&Error>, id: Uuid) -> Value {
    const NOT_SIGNED_IN: &str =
        "The user name or password in AuthHeader is not valid. Send the UserName and Password of an active credential.";
    let (number, code, message) = match refused {
        None => (0, "Success", String::new()),
        Some(error) if error.kind == ErrorKind::InvalidSoapCredentials => {
            (error.kind.result(), error.kind.code(), format!("Err-{id}; {NOT_SIGNED_IN}"))
        }
        Some(error) => (error.kind.result(), error.kind.code(), format!("Err-{id}; {error}")),
    };
    let record = Record::new(&RESULT)
        .with("Result", Value::Int(number))
        .with("Code", Value::String(code.to_owned()))
        .with("Message", Value::String(message));
    Value::Record(record)
}
