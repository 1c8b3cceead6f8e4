use crate::license::Owner;
use crate::seats::Refusal;
use crate::store::{Call, ModulesRequest};
use rusqlite::Connection;
pub(super) fn assign(_: &Connection, _: &Call, _: &ModulesRequest) -> rusqlite::Result<Result<Owner, Refusal>> {
    unimplemented!()
}
pub(super) fn release(_: &Connection, _: &Call, _: &ModulesRequest) -> rusqlite::Result<Result<Owner, Refusal>> {
    unimplemented!()
}
