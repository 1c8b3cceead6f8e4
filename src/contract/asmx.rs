//! LicenseManagementService as the vendor's clients know it: the one description of each of its operations, and behind
//! the vendor's three, in the same form, those that are ours.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::credential::CredentialBlock;
use super::message::{self, Naming, Record, Value, ValueError};
use super::naming;
use super::{
    Answer, Array, ComplexType, Contract, EnumValue, Enumeration, Field, Invocation, Kind, Operation, Streamed,
    log_outcome,
};
use crate::auth::Password;
use crate::error::{Error, Kind as ErrorKind};
use crate::metrics::Metrics;
use crate::seats::{AssignRequest, Holding, LicenseType, Transfer, UserName};
use crate::service::{CallContext, Identity};
use crate::soap::envelope::{Element, Envelope};
use crate::store::{Holder, HoldersRequest, PoolUse};

/// The path of the service, as the vendor spells it.
pub const PATH: &str = "/WebApi/AccountManagementService/LicenseManagementService.asmx";

pub static CONTRACT: Contract =
    Contract { service: "LicenseManagementService", namespace: "sosonlinebackup.com", operations: OPERATIONS };

static OPERATIONS: &[Operation] = &[
    Operation {
        name: "AssignLicense",
        documentation: "Attaches license to user. User should not have already been assigned to the same type of license",
        input: &ComplexType { name: "AssignLicenseRequest", fields: ASSIGN_FIELDS },
        output: &ASSIGN_LICENSE_RESULT,
        response: "AssignLicenseResponse",
        result: "AssignLicenseResult",
        changes: true,
        run: |call| Box::pin(assign_license(call)),
    },
    Operation {
        name: "GetAssignedLicenseDetails",
        documentation: "Returns detailed info about specific license, assigned to user",
        input: &ComplexType { name: "GetAssignedLicenseDetailsRequest", fields: HOLDING_FIELDS },
        output: &GET_ASSIGNED_LICENSE_DETAILS_RESULT,
        response: "GetAssignedLicenseDetailsResponse",
        result: "GetAssignedLicenseDetailsResult",
        changes: false,
        run: |call| Box::pin(get_assigned_license_details(call)),
    },
    Operation {
        name: "GetAssignedLicensesSummary",
        documentation: "Returns info about licenses distribution among users, taking into account their relations to Company/Partner",
        input: &ComplexType {
            name: "GetAssignedLicensesSummaryRequest",
            fields: &[ENTITY_ID, Field::new("ChildAccountsOnly", Kind::Boolean)],
        },
        output: &GET_ASSIGNED_LICENSES_SUMMARY_RESULT,
        response: "GetAssignedLicensesSummaryResponse",
        result: "GetAssignedLicensesSummaryResult",
        changes: false,
        run: |call| Box::pin(get_assigned_licenses_summary(call)),
    },
    Operation {
        name: "UnassignLicense",
        documentation: "Takes a license back from user. Needs the role admin. (Seatkeeper)",
        input: &ComplexType { name: "UnassignLicenseRequest", fields: HOLDING_FIELDS },
        output: &UNASSIGN_LICENSE_RESULT,
        response: "UnassignLicenseResponse",
        result: "UnassignLicenseResult",
        changes: true,
        run: |call| Box::pin(unassign_license(call)),
    },
    Operation {
        name: "TransferLicense",
        documentation: "Gives the license of one user to another in one step: the seat is never free in between. Needs the role admin. (Seatkeeper)",
        input: &ComplexType {
            name: "TransferLicenseRequest",
            fields: &[
                Field::new("FromUsername", Kind::String),
                Field::new("ToUsername", Kind::String),
                LICENSE_TYPE_FIELD,
            ],
        },
        output: &TRANSFER_LICENSE_RESULT,
        response: "TransferLicenseResponse",
        result: "TransferLicenseResult",
        changes: true,
        run: |call| Box::pin(transfer_license(call)),
    },
    Operation {
        name: "GetLicensePools",
        documentation: "Returns the license pools of an entity: seats in total, in use, free, the most ever in use, and the dates between which they can be assigned. (Seatkeeper)",
        input: &ComplexType { name: "GetLicensePoolsRequest", fields: &[ENTITY_ID] },
        output: &GET_LICENSE_POOLS_RESULT,
        response: "GetLicensePoolsResponse",
        result: "GetLicensePoolsResult",
        changes: false,
        run: |call| Box::pin(get_license_pools(call)),
    },
    Operation {
        name: "AssignLicenses",
        documentation: "Attaches licenses to many users, one after the other, with a result for each; those that are refused do not undo the others. With DryRun nothing is changed, and the results are what the call would give. (Seatkeeper)",
        input: &ComplexType {
            name: "AssignLicensesRequest",
            fields: &[
                Field::new(
                    "Items",
                    Kind::Array(&Array {
                        name: "ArrayOfAssignLicensesItem",
                        item: &ComplexType { name: "AssignLicensesItem", fields: ASSIGN_FIELDS },
                    }),
                ),
                Field::new("DryRun", Kind::Boolean),
            ],
        },
        output: &ASSIGN_LICENSES_RESULT,
        response: "AssignLicensesResponse",
        result: "AssignLicensesResult",
        changes: true,
        run: |call| Box::pin(assign_licenses(call)),
    },
];

static ASSIGN_LICENSE_RESULT: ComplexType = ComplexType { name: "AssignLicenseResult", fields: &[RESULT_FIELD] };
static UNASSIGN_LICENSE_RESULT: ComplexType = ComplexType { name: "UnassignLicenseResult", fields: &[RESULT_FIELD] };
static TRANSFER_LICENSE_RESULT: ComplexType = ComplexType { name: "TransferLicenseResult", fields: &[RESULT_FIELD] };

static GET_ASSIGNED_LICENSE_DETAILS_RESULT: ComplexType = ComplexType {
    name: "GetAssignedLicenseDetailsResult",
    fields: &[Field::new("ProductKey", Kind::String), Field::new("LicenseData", Kind::Base64), RESULT_FIELD],
};

static GET_ASSIGNED_LICENSES_SUMMARY_RESULT: ComplexType = ComplexType {
    name: "GetAssignedLicensesSummaryResult",
    fields: &[
        Field::new(
            "UsersLicenses",
            Kind::Array(&Array { name: "ArrayOfUserLicenseSummary", item: &USER_LICENSE_SUMMARY }),
        ),
        RESULT_FIELD,
    ],
};

static USER_LICENSE_SUMMARY: ComplexType =
    ComplexType { name: "UserLicenseSummary", fields: &[USERNAME, LICENSE_TYPE_FIELD] };

static GET_LICENSE_POOLS_RESULT: ComplexType = ComplexType {
    name: "GetLicensePoolsResult",
    fields: &[
        Field::new("Pools", Kind::Array(&Array { name: "ArrayOfLicensePool", item: &LICENSE_POOL })),
        RESULT_FIELD,
    ],
};

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

static ASSIGN_LICENSES_RESULT: ComplexType = ComplexType {
    name: "AssignLicensesResult",
    fields: &[
        Field::new(
            "Results",
            Kind::Array(&Array { name: "ArrayOfAssignLicensesItemResult", item: &ASSIGN_LICENSES_ITEM_RESULT }),
        ),
        RESULT_FIELD,
    ],
};

static ASSIGN_LICENSES_ITEM_RESULT: ComplexType =
    ComplexType { name: "AssignLicensesItemResult", fields: &[USERNAME, RESULT_FIELD] };

const ASSIGN_FIELDS: &[Field] = &[USERNAME, Field::new("LicenseProviderEntityId", Kind::Int), LICENSE_TYPE_FIELD];

const HOLDING_FIELDS: &[Field] = &[USERNAME, LICENSE_TYPE_FIELD];

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

/// Not named by the vendor's pages; any name works on the wire.
static RESULT: ComplexType = ComplexType {
    name: "WebServiceResult",
    fields: &[Field::new("Result", Kind::Int), Field::new("Code", Kind::String), Field::new("Message", Kind::String)],
};

/// The header block every operation declares.
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
    let mut record = message::read(block, &AUTH_HEADER, Naming::Exact(CONTRACT.namespace))?;
    let (user_name, password) = (record.take_string("UserName"), record.take_string("Password"));
    Ok(match (user_name, password) {
        (None, _) => Identity::Missing(BLOCK.field_missing(block, "UserName")),
        (_, None) => Identity::Missing(BLOCK.field_missing(block, "Password")),
        (user_name, password) => Identity::of_password(user_name, password.map(Password::new), context),
    })
}

async fn assign_license(call: Invocation) -> Answer {
    let request =
        call.request.map_or_else(AssignRequest::default, |mut r| assign_request(r.take_string("Username"), r));
    let outcome = call.service.assign_license(&call.context, &call.identity, request).await;
    let result = result("AssignLicense", &call.service.metrics, &call.context, outcome.err());
    Answer::Whole(Record::new(&ASSIGN_LICENSE_RESULT).with("Result", result))
}

async fn get_assigned_license_details(call: Invocation) -> Answer {
    let outcome = call.service.license_details(&call.context, &call.identity, holding(call.request)).await;
    let (details, refused) = split(outcome);
    let (key, data) = details.map_or((None, None), |d| (d.product_key, d.license_data));
    let result = result("GetAssignedLicenseDetails", &call.service.metrics, &call.context, refused);
    let record = Record::new(&GET_ASSIGNED_LICENSE_DETAILS_RESULT)
        .with_some("ProductKey", key.map(Value::String))
        .with_some("LicenseData", data.map(Value::Base64));
    Answer::Whole(record.with("Result", result))
}

async fn get_assigned_licenses_summary(call: Invocation) -> Answer {
    let mut request = call.request;
    let request = HoldersRequest {
        entity_id: request.as_mut().and_then(|r| r.take_int("EntityId")),
        child_accounts_only: request.as_mut().and_then(|r| r.take_boolean("ChildAccountsOnly")).unwrap_or(false),
    };
    let (sender, mut pages) = mpsc::channel(2);
    let finished = tokio::spawn(async move {
        let outcome = call.service.license_holders(&call.context, &call.identity, request, sender).await;
        let refused = outcome.is_err();
        (refused, result("GetAssignedLicensesSummary", &call.service.metrics, &call.context, outcome.err()))
    });
    let to_record = |holder: Holder| {
        Record::new(&USER_LICENSE_SUMMARY)
            .with("Username", Value::String(holder.username))
            .with("LicenseType", Value::Enumeration(holder.license_type.name()))
    };
    let finished = async move { finished.await.expect("the use case does not panic and is not aborted") };
    let rest = |(_, result)| Record::new(&GET_ASSIGNED_LICENSES_SUMMARY_RESULT).with("Result", result);

    let mut first = pages.recv().await.unwrap_or_default();
    match pages.recv().await {
        Some(second) => {
            first.extend(second);
            Answer::Streamed(Streamed {
                array: "UsersLicenses",
                first,
                pages,
                to_record,
                rest: tokio::spawn(async move { rest(finished.await) }),
            })
        }
        None => {
            let (refused, result) = finished.await;
            let holders = (!refused).then(|| Value::Array(first.into_iter().map(to_record).collect()));
            Answer::Whole(rest((refused, result)).with_some("UsersLicenses", holders))
        }
    }
}

async fn unassign_license(call: Invocation) -> Answer {
    let outcome = call.service.unassign_license(&call.context, &call.identity, holding(call.request)).await;
    let result = result("UnassignLicense", &call.service.metrics, &call.context, outcome.err());
    Answer::Whole(Record::new(&UNASSIGN_LICENSE_RESULT).with("Result", result))
}

async fn transfer_license(call: Invocation) -> Answer {
    let transfer = call.request.map_or_else(Transfer::default, |mut r| Transfer {
        from: r.take_string("FromUsername").map(UserName::from),
        to: r.take_string("ToUsername").map(UserName::from),
        license_type: license_type(&mut r),
    });
    let outcome = call.service.transfer_license(&call.context, &call.identity, transfer).await;
    let result = result("TransferLicense", &call.service.metrics, &call.context, outcome.err());
    Answer::Whole(Record::new(&TRANSFER_LICENSE_RESULT).with("Result", result))
}

async fn get_license_pools(call: Invocation) -> Answer {
    let entity_id = call.request.and_then(|mut r| r.take_int("EntityId"));
    let (pools, refused) = split(call.service.license_pools(&call.context, &call.identity, entity_id).await);
    let pools = pools.map(|pools| Value::Array(pools.into_iter().map(pool).collect()));
    let result = result("GetLicensePools", &call.service.metrics, &call.context, refused);
    Answer::Whole(Record::new(&GET_LICENSE_POOLS_RESULT).with_some("Pools", pools).with("Result", result))
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

async fn assign_licenses(call: Invocation) -> Answer {
    let mut request = call.request;
    let items = request.as_mut().and_then(|r| r.take_array("Items")).unwrap_or_default();
    let dry_run = request.as_mut().and_then(|r| r.take_boolean("DryRun")).unwrap_or(false);
    // Each result names its user as the caller did.
    let named = items.into_iter().map(|mut item| (item.take_string("Username"), item));
    let (usernames, items): (Vec<Option<String>>, Vec<AssignRequest>) =
        named.map(|(username, item)| (username.clone(), assign_request(username, item))).unzip();
    let outcome = call.service.assign_licenses(&call.context, &call.identity, items, dry_run).await;

    let (results, mut refused) = split(outcome);
    let results = results.map(|results| {
        let total = results.len();
        let refusals = results.iter().filter(|r| r.is_err()).count();
        let mut items = Vec::with_capacity(total);
        for (index, (username, outcome)) in usernames.into_iter().zip(results).enumerate() {
            let item = match outcome {
                Ok(_) => result_record(0, "Success", String::new()),
                Err(refusal) => {
                    let error = Error::from(refusal);
                    let item = result_record(error.kind.result(), error.kind.code(), told(&call.context, &error));
                    // The whole call is no success unless every item is.
                    refused.get_or_insert_with(|| {
                        error.about(&format!("item {} of {total}, {refusals} refused", index + 1))
                    });
                    item
                }
            };
            items.push(
                Record::new(&ASSIGN_LICENSES_ITEM_RESULT)
                    .with_some("Username", username.map(Value::String))
                    .with("Result", item),
            );
        }
        Value::Array(items)
    });
    let result = result("AssignLicenses", &call.service.metrics, &call.context, refused);
    Answer::Whole(Record::new(&ASSIGN_LICENSES_RESULT).with_some("Results", results).with("Result", result))
}

fn assign_request(username: Option<String>, mut record: Record) -> AssignRequest {
    AssignRequest {
        username: username.map(UserName::from),
        provider_entity_id: record.take_int("LicenseProviderEntityId"),
        license_type: license_type(&mut record),
    }
}

fn holding(record: Option<Record>) -> Holding {
    record.map_or_else(Holding::default, |mut r| Holding {
        username: r.take_string("Username").map(UserName::from),
        license_type: license_type(&mut r),
    })
}

fn license_type(record: &mut Record) -> Option<LicenseType> {
    record.take_enumeration("LicenseType").and_then(|name| name.parse().ok())
}

fn split<T>(outcome: Result<T, Error>) -> (Option<T>, Option<Error>) {
    match outcome {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    }
}

/// The vendor's result object.
fn result(operation: &'static str, metrics: &Arc<Metrics>, context: &CallContext, refused: Option<Error>) -> Value {
    log_outcome(operation, metrics, context, refused.as_ref());
    match refused {
        None => result_record(0, "Success", String::new()),
        Some(refused) => result_record(refused.kind.result(), refused.kind.code(), told(context, &refused)),
    }
}

/// The text of `Message`: an id that finds the log line, and a sentence.
fn told(context: &CallContext, refused: &Error) -> String {
    const NOT_SIGNED_IN: &str =
        "The user name or password in AuthHeader is not valid. Send the UserName and Password of an active credential.";
    match refused.kind {
        ErrorKind::InvalidSoapCredentials => format!("Err-{}; {NOT_SIGNED_IN}", context.answer_id()),
        _ => format!("Err-{}; {refused}", context.answer_id()),
    }
}

fn result_record(number: i32, code: &str, message: String) -> Value {
    let record = Record::new(&RESULT)
        .with("Result", Value::Int(number))
        .with("Code", Value::String(code.to_owned()))
        .with("Message", Value::String(message));
    Value::Record(record)
}
