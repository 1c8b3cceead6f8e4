//! The statuses other than 200 in the OpenAPI document.

/// How a call can end that does not do what it was asked to.
pub(super) struct Refusal {
    pub(super) status: &'static str,
    pub(super) name: &'static str,
    pub(super) says: &'static str,
}

const fn refusal(status: &'static str, name: &'static str, says: &'static str) -> Refusal {
    Refusal { status, name, says }
}

/// Of agent calls.
pub(super) const INVALID_REQUEST: &str = "InvalidRequest";
/// The same of the resource, which has one object for all errors.
pub(super) const BAD_REQUEST: &str = "BadRequest";
pub(super) const NOT_IMPLEMENTED: &str = "501";
pub(super) static REFUSALS: [Refusal; 15] = [
    refusal("400", INVALID_REQUEST, "The body cannot be read, or an argument is missing or not valid."),
    refusal("400", BAD_REQUEST, "The body cannot be read, or an argument is missing or not valid."),
    refusal(
        "401",
        "Unauthorized",
        "The caller is not signed in: no credentials, wrong ones, or a ticket that has ended.",
    ),
    refusal("403", "Forbidden", "The role of the credential may not do this."),
    refusal("404", "NotFound", "Unknown, or not among the entities of the credential."),
    refusal("405", "MethodNotAllowed", "The id in the path is not an integer of 32 bits, so this is another path."),
    refusal("408", "RequestTimeout", "The body did not arrive in time."),
    refusal("409", "Conflict", "The state of the licenses does not allow it."),
    refusal("413", "ContentTooLarge", "The body is too large."),
    refusal("415", "UnsupportedMediaType", "The body is of a media type that is not taken, or it is compressed."),
    refusal("422", "UnprocessableContent", "Idempotency-Key names another request. Nothing was changed."),
    refusal(
        "429",
        "TooManyRequests",
        "Too many wrong passwords for a user name from one address. Wait, then call again.",
    ),
    refusal("500", "InternalServerError", "The service failed."),
    refusal(NOT_IMPLEMENTED, "NotImplemented", "The operation is not supported here."),
    refusal(
        "503",
        "ServiceUnavailable",
        "There are too many calls or connections at once. Nothing was changed; call again.",
    ),
];
