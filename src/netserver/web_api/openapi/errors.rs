//! The statuses other than 200 in the OpenAPI document.

/// The response to a refused call.
pub(super) struct ErrorResponse {
    pub(super) status: &'static str,
    pub(super) name: &'static str,
    pub(super) says: &'static str,
}

const fn error(status: &'static str, name: &'static str, says: &'static str) -> ErrorResponse {
    ErrorResponse { status, name, says }
}

/// Of agent calls.
pub(super) const INVALID_REQUEST: &str = "InvalidRequest";
/// The same of the resource, which has one object for all errors.
pub(super) const BAD_REQUEST: &str = "BadRequest";
pub(super) const NOT_IMPLEMENTED: &str = "501";
pub(super) static ERROR_RESPONSES: [ErrorResponse; 15] = [
    error("400", INVALID_REQUEST, "The body cannot be read, or an argument is missing or not valid."),
    error("400", BAD_REQUEST, "The body cannot be read, or an argument is missing or not valid."),
    error(
        "401",
        "Unauthorized",
        "The caller is not signed in: the credentials are missing or invalid, or the ticket has ended.",
    ),
    error("403", "Forbidden", "The role of the credential may not do this."),
    error("404", "NotFound", "The owner, module or associate is unknown, or not among the entities of the credential."),
    error("405", "MethodNotAllowed", "The id in the path is not an integer of 32 bits, so this is another path."),
    error("408", "RequestTimeout", "The body did not arrive in time."),
    error("409", "Conflict", "The state of the licenses does not allow it."),
    error("413", "ContentTooLarge", "The body is too large."),
    error("415", "UnsupportedMediaType", "The media type of the body is not accepted, or the body is compressed."),
    error("422", "UnprocessableContent", "Idempotency-Key names another request. Nothing was changed."),
    error(
        "429",
        "TooManyRequests",
        "Too many wrong passwords for a user name from one address. Wait, then call again.",
    ),
    error("500", "InternalServerError", "The service failed."),
    error(NOT_IMPLEMENTED, "NotImplemented", "The operation is not supported here."),
    error(
        "503",
        "ServiceUnavailable",
        "There are too many calls or connections at once. Nothing was changed; call again.",
    ),
];
