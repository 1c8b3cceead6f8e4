use crate::seats::Refusal;
use crate::store::{Call, NewTicket, Principal};
use jiff::Timestamp;
use rusqlite::Connection;
use uuid::Uuid;
pub(super) fn issue(_: &Connection, _: &Call, _: &NewTicket) -> rusqlite::Result<Result<Principal, Refusal>> {
    unimplemented!()
}
pub(super) fn principal(_: &Connection, _: &Call) -> rusqlite::Result<Result<Principal, Refusal>> {
    unimplemented!()
}
pub(super) fn renew(_: &Connection, _: Uuid, _: Timestamp, _: Timestamp) -> rusqlite::Result<()> {
    unimplemented!()
}
