//! The history: chained, verified, read, and moved to archives.

pub(super) mod archive;
pub(super) mod chain;
pub(super) mod events;
pub(super) mod holders;
mod replay;
pub(super) mod scratch;
pub(super) mod sources;
pub(super) mod verify;
