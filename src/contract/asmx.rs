//! LicenseManagementService as the vendor's clients know it: the one description of each of its operations.

use tracing::{error, info};

use super::message::{Record, Value};
use super::{Answer, ComplexType, Contract, Enumeration, Field, Kind, Operation};
use crate::auth::Password;
use crate::error::{Error, Kind as ErrorKind};
use crate::seats::{AssignRequest, LicenseType};
use crate::service::{AuthHeader, CallContext, Service};

/// The path of the service, as the vendor spells it.
pub const PATH: &str = "/WebApi/AccountManagementService/LicenseManagementService.asmx";

pub static CONTRACT: Contract =
    Contract { service: "LicenseManagementService", namespace: "sosonlinebackup.com", operations: OPERATIONS };

static OPERATIONS: &[Operation] = &[Operation {
    name: "AssignLicense",
    documentation: "Attaches license to user. User should not have already been assigned to the same type of license",
    input: &ComplexType {
        name: "AssignLicenseRequest",
        fields: &[
            Field { name: "Username", kind: Kind::String },
            Field { name: "LicenseProviderEntityId", kind: Kind::Int },
            Field { name: "LicenseType", kind: Kind::Enumeration(&LICENSE_TYPE) },
        ],
    },
    output: &ASSIGN_LICENSE_RESULT,
    response: "AssignLicenseResponse",
    result: "AssignLicenseResult",
    run: assign_license,
}];

static ASSIGN_LICENSE_RESULT: ComplexType = ComplexType { name: "AssignLicenseResult", fields: &[RESULT_FIELD] };

const RESULT_FIELD: Field = Field { name: "Result", kind: Kind::Complex(&RESULT) };

/// Not named by the vendor's pages; any name works on the wire.
static RESULT: ComplexType = ComplexType {
    name: "WebServiceResult",
    fields: &[
        Field { name: "Result", kind: Kind::Int },
        Field { name: "Code", kind: Kind::String },
        Field { name: "Message", kind: Kind::String },
    ],
};

static LICENSE_TYPE: Enumeration = Enumeration {
    name: "LicenseType",
    values: &[LicenseType::ALL[0].name(), LicenseType::ALL[1].name(), LicenseType::ALL[2].name()],
};

/// The header block every operation declares.
pub static AUTH_HEADER: ComplexType = ComplexType {
    name: "AuthHeader",
    fields: &[Field { name: "UserName", kind: Kind::String }, Field { name: "Password", kind: Kind::String }],
};

/// The credentials in an AuthHeader block.
pub fn auth_header(mut block: Record) -> AuthHeader {
    AuthHeader { user_name: block.take_string("UserName"), password: block.take_string("Password").map(Password::new) }
}

fn assign_license<'a>(
    service: &'a Service,
    context: &'a CallContext,
    auth_header: Option<AuthHeader>,
    request: Option<Record>,
) -> Answer<'a> {
    Box::pin(async move {
        let request = request.map_or_else(AssignRequest::default, |mut r| AssignRequest {
            username: r.take_string("Username"),
            provider_entity_id: r.take_int("LicenseProviderEntityId"),
            license_type: r.take_enumeration("LicenseType").and_then(|name| name.parse().ok()),
        });
        let outcome = service.assign_license(context, auth_header, request).await;
        let result = result("AssignLicense", service, context, outcome.map(drop));
        Record::new(&ASSIGN_LICENSE_RESULT).with("Result", Value::Record(result))
    })
}

/// The vendor's result object. A refusal is logged here, under the id the caller is told.
fn result(operation: &'static str, service: &Service, context: &CallContext, outcome: Result<(), Error>) -> Record {
    let (number, code, message) = match outcome {
        Ok(()) => (0, "Success", String::new()),
        Err(refused) => {
            let (id, code) = (context.id, refused.kind.code());
            match std::error::Error::source(&refused) {
                Some(cause) if refused.kind == ErrorKind::UnexpectedError => {
                    error!(error_id = %id, operation, code, %cause, "{refused}");
                }
                _ => info!(error_id = %id, operation, code, "{refused}"),
            }
            (refused.kind.result(), code, format!("Err-{id}; {refused}"))
        }
    };
    service.metrics.count_call(operation, code);
    Record::new(&RESULT)
        .with("Result", Value::Int(number))
        .with("Code", Value::String(code.to_owned()))
        .with("Message", Value::String(message))
}
