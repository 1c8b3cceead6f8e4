//! The database as a file: how it is opened and made, whether it still is the one that the next start opens, and copies of it.

pub(super) mod backup;
pub(super) mod companions;
pub(super) mod guard;
pub(super) mod inspect;
mod losses;
pub(super) mod migrate;
pub(super) mod open;
pub(super) mod origin;
pub(super) mod restore;
pub(super) mod schema;
pub(super) mod temporary;
mod wal_index;
