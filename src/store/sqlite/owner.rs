use crate::license::Owner;
use crate::seats::Refusal;
use crate::store::{Call, OwnersRequest};
use rusqlite::Connection;
pub(super) fn owners(_: &Connection, _: &Call, _: &OwnersRequest) -> rusqlite::Result<Result<Vec<Owner>, Refusal>> {
    unimplemented!()
}
