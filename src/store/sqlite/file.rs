//! The database as a file: opening and creating it, checking that the next start will open the same file, and copies of it.

pub(super) mod backup;
pub(super) mod companions;
pub(super) mod guard;
pub(super) mod inspect;
pub(super) mod locks;
mod losses;
pub(super) mod migrate;
pub(super) mod open;
pub(super) mod origin;
pub(super) mod restore;
pub(super) mod schema;
pub(super) mod temporary;
mod wal_index;
