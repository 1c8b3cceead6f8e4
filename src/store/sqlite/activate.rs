use crate::seats::Refusal;
use crate::store::{Activation, Call};
use rusqlite::Connection;
pub(super) fn activate(_: &Connection, _: &Call, _: &Activation, _: bool) -> rusqlite::Result<Result<(), Refusal>> {
    unimplemented!()
}
pub(super) fn remove(_: &Connection, _: &Call, _: &str) -> rusqlite::Result<Result<(), Refusal>> {
    unimplemented!()
}
