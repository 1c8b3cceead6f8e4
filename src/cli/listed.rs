//! The options of lists: entities and format.

use clap::Args;

use super::opened::Opened;
use super::table::Format;
use super::{DatabaseArgs, Failure};
use crate::store::admin::{EntityFilter, Scope};

/// The options of every list.
#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) entities: EntityArgs,
    /// The format.
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: Format,
}

impl ListArgs {
    pub(super) fn open(&self) -> Result<Opened, Failure> {
        let opened = self.database.open()?;
        self.entities.require(&opened)?;
        Ok(opened)
    }
}

#[derive(Args)]
pub(super) struct EntityArgs {
    /// Only rows of this entity.
    #[arg(long, value_name = "ID")]
    entity: Option<i64>,
    /// Also rows of the entities below it.
    #[arg(long, requires = "entity")]
    below: bool,
}

impl EntityArgs {
    pub(super) fn filter(&self) -> Option<EntityFilter> {
        self.entity.map(|id| EntityFilter { id, below: self.below })
    }

    /// Refuses an entity that does not exist: an empty list would hide a mistyped id.
    pub(super) fn require(&self, opened: &Opened) -> Result<(), Failure> {
        match self.entity {
            Some(id) => opened.read(move |sql, admin| Scope::of(sql, admin).require(id)),
            None => Ok(()),
        }
    }
}
