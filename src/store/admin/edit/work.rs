//! The context of a change: the transaction, the caller, and the entities that the caller reaches.

use std::cell::RefCell;
use std::collections::HashMap;

use super::super::{Admin, AdminRefusal, Dialect, Row, Sql, Stop, Value, first};
use crate::seats::{Role, check_role};

/// See the module. Lives as long as one run of a change.
pub(crate) struct Work<'w> {
    pub(crate) sql: &'w dyn Sql,
    pub(crate) admin: &'w Admin,
    /// By entity: whether the caller reaches it. Imports ask for the same few again and again.
    reached: RefCell<HashMap<i64, bool>>,
    /// By pool: the number of the free seat that was picked last. The next one is looked for below it: on PostgreSQL what this transaction has
    /// taken is passed over one by one, and that would be all of it for each seat of an import.
    pub(crate) picked: RefCell<HashMap<i64, i64>>,
}

impl<'w> Work<'w> {
    /// # Errors
    ///
    /// [`AdminRefusal::RoleTooLow`]: only administrators change something here.
    pub(crate) fn new(sql: &'w dyn Sql, admin: &'w Admin) -> Result<Work<'w>, Stop> {
        check_role(Some(admin.role), Role::Admin)?;
        Ok(Work { sql, admin, reached: RefCell::default(), picked: RefCell::default() })
    }

    pub(crate) fn first(&self, text: &str, values: &[Value]) -> Result<Option<Row>, Stop> {
        first(self.sql, text, values)
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.sql.dialect() == Dialect::Postgres
    }

    /// The end of a query that locks its rows until the end of the transaction. SQLite has one writer.
    pub(crate) fn for_update(&self) -> &'static str {
        if self.is_postgres() { " FOR NO KEY UPDATE" } else { "" }
    }

    /// The end of an INSERT whose key another call may have used since it was looked for: then no row is inserted. SQLite has one writer.
    pub(crate) fn or_nothing(&self) -> &'static str {
        if self.is_postgres() { " ON CONFLICT DO NOTHING" } else { "" }
    }

    /// The pools with the seats in use of this moment. On PostgreSQL the column of the table follows a little later.
    pub(crate) fn pool_use(&self) -> &'static str {
        if self.is_postgres() { "pool_use" } else { "license_pool" }
    }

    /// Whether an entity is there and in the caller's subtree.
    pub(crate) fn reaches(&self, entity_id: i64) -> Result<bool, Stop> {
        if let Some(known) = self.reached.borrow().get(&entity_id) {
            return Ok(*known);
        }
        let found = match self.admin.entity_id {
            None => self.first("SELECT id FROM entity WHERE id = $1", &[entity_id.into()])?,
            Some(root) => self.first(IS_BELOW, &[entity_id.into(), root.into()])?,
        };
        self.reached.borrow_mut().insert(entity_id, found.is_some());
        Ok(found.is_some())
    }

    /// The tree of entities has changed.
    pub(crate) fn forget_entities(&self) {
        self.reached.borrow_mut().clear();
    }

    /// # Errors
    ///
    /// One answer for an entity that is not there and one of others, so that callers do not learn which entities others have.
    pub(crate) fn require_entity(&self, entity_id: i64) -> Result<(), Stop> {
        if self.reaches(entity_id)? { Ok(()) } else { Err(not_found("entity", entity_id)) }
    }

    /// Whether this is the name of the caller's own credential.
    pub(crate) fn is_own(&self, user_name: &str) -> bool {
        // The name that the command line gives need not be a credential's.
        self.admin.entity_id.is_some() && self.admin.name.eq_ignore_ascii_case(user_name)
    }

    /// Changes one row that was read, and locked, in this transaction.
    pub(crate) fn change_one(&self, what: impl FnOnce() -> String, text: &str, values: &[Value]) -> Result<(), Stop> {
        match self.sql.change(text, values)? {
            1 => Ok(()),
            _ => Err(AdminRefusal::Moved { what: what() }.into()),
        }
    }
}

/// Walks from the entity to the root. UNION ends even in a circle.
const IS_BELOW: &str = "
    WITH RECURSIVE above (id, parent_id) AS (
        SELECT id, parent_id FROM entity WHERE id = $1
        UNION
        SELECT entity.id, entity.parent_id FROM above JOIN entity ON entity.id = above.parent_id)
    SELECT id FROM above WHERE id = $2";

pub(crate) fn not_found(what: &'static str, id: impl ToString) -> Stop {
    AdminRefusal::NotFound { what, id: id.to_string() }.into()
}
