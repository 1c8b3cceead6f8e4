//! Which entities a caller may see: its own and everything below it, as the tree is now.
//!
//! Lists show, count and find nothing else. A row is tested by walking up from its entity, because a subtree may be large; what was found
//! out is remembered for the length of the transaction.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use super::page::{IDS, by_ids, count};
use super::{Admin, AdminRefusal, Row, Sql, Stop, Value, first};

/// The caller's entities.
pub struct Scope<'s> {
    sql: &'s dyn Sql,
    /// `None`: every entity.
    root: Option<i64>,
    /// Whether those are all there are.
    is_all: OnceCell<bool>,
    /// The result of earlier look-ups.
    known: RefCell<HashMap<i64, bool>>,
}

impl<'s> Scope<'s> {
    pub fn of(sql: &'s dyn Sql, admin: &Admin) -> Scope<'s> {
        Scope::below(sql, admin.entity_id)
    }

    /// An entity and everything below it; `None`: every entity.
    pub(super) fn below(sql: &'s dyn Sql, root: Option<i64>) -> Scope<'s> {
        Scope { sql, root, is_all: OnceCell::new(), known: RefCell::default() }
    }

    /// Whether the caller sees every entity: also one whose entity is the only one at the top.
    pub(super) fn is_all(&self) -> bool {
        let Some(root) = self.root else { return true };
        *self.is_all.get_or_init(|| first(self.sql, ONLY_ROOT, &[root.into()]).is_ok_and(|row| row.is_some()))
    }

    /// `None`: every entity.
    pub(super) fn root(&self) -> Option<i64> {
        self.root.filter(|_| !self.is_all())
    }

    /// Whether an entity is among them. One that does not exist is not, but for a caller that may see everything.
    pub fn has(&self, entity_id: i64) -> Result<bool, Stop> {
        if self.is_all() {
            return Ok(true);
        }
        self.learn([entity_id])?;
        Ok(self.known.borrow().get(&entity_id).copied().unwrap_or(false))
    }

    /// Finds out about many at a time.
    pub(super) fn learn(&self, entity_ids: impl IntoIterator<Item = i64>) -> Result<(), Stop> {
        let Some(root) = self.root() else { return Ok(()) };
        let mut known = self.known.borrow_mut();
        let mut unknown = Vec::new();
        for id in entity_ids {
            known.entry(id).or_insert_with(|| {
                unknown.push(id);
                false
            });
        }
        for row in by_ids(self.sql, BELOW, &[Value::Int(root)], &unknown)? {
            known.insert(row.int(0)?, true);
        }
        Ok(())
    }

    /// The rows that belong to the caller's entities.
    pub(super) fn retain<R>(&self, mut rows: Vec<R>, entity_id: impl Fn(&R) -> i64) -> Result<Vec<R>, Stop> {
        if !self.is_all() {
            self.learn(rows.iter().map(&entity_id))?;
            let known = self.known.borrow();
            rows.retain(|row| known.get(&entity_id(row)).copied().unwrap_or(false));
        }
        Ok(rows)
    }

    /// An id that the caller may know.
    pub(super) fn visible(&self, entity_id: Option<i64>) -> Result<Option<i64>, Stop> {
        match entity_id {
            Some(id) if self.has(id)? => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    /// Refuses an entity that is not among them as one that does not exist.
    pub fn require(&self, entity_id: i64) -> Result<(), Stop> {
        let exists =
            || Ok::<_, Stop>(!self.sql.rows("SELECT 1 FROM entity WHERE id = $1", &[entity_id.into()])?.is_empty());
        if self.has(entity_id)? && exists()? { Ok(()) } else { Err(not_found("entity", entity_id)) }
    }
}

const ONLY_ROOT: &str = "
    SELECT 1 FROM entity
     WHERE id = $1 AND parent_id IS NULL
       AND NOT EXISTS (SELECT 1 FROM entity AS other WHERE other.parent_id IS NULL AND other.id <> $1)";

/// There is no such row that the caller may see.
pub(super) fn not_found(what: &'static str, id: impl ToString) -> Stop {
    AdminRefusal::NotFound { what, id: id.to_string() }.into()
}

/// The ids among these that are the root or below it. Ends in a circle that got past the guards, because UNION finds each pair once.
const BELOW: &str = "
    WITH RECURSIVE above (start, id) AS (
        SELECT id, id FROM entity WHERE id IN ($ids)
        UNION SELECT above.start, entity.parent_id FROM above CROSS JOIN entity
               WHERE entity.id = above.id AND above.id <> $1 AND entity.parent_id IS NOT NULL)
    SELECT DISTINCT start FROM above WHERE id = $1";

/// The entities that a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntityFilter {
    pub id: i64,
    /// Also those below it.
    pub below: bool,
}

impl EntityFilter {
    /// Whether an entity is among those that are asked for.
    pub fn has(&self, sql: &dyn Sql, entity_id: i64) -> Result<bool, Stop> {
        if self.below { Scope::below(sql, Some(self.id)).has(entity_id) } else { Ok(entity_id == self.id) }
    }
}

/// The entities of a list: those of the filter that the caller may see.
pub(super) struct Among<'s> {
    pub scope: Scope<'s>,
    /// Only this one.
    pub only: Option<i64>,
}

impl<'s> Among<'s> {
    /// `None`: the caller may not see the entity of the filter; the list is empty.
    pub fn new(sql: &'s dyn Sql, admin: &Admin, filter: Option<EntityFilter>) -> Result<Option<Among<'s>>, Stop> {
        let scope = Scope::of(sql, admin);
        let Some(filter) = filter else { return Ok(Some(Among { scope, only: None })) };
        if !scope.has(filter.id)? {
            return Ok(None);
        }
        Ok(Some(match filter.below {
            true => Among { scope: Scope::below(sql, Some(filter.id)), only: None },
            false => Among { scope, only: Some(filter.id) },
        }))
    }

    pub fn retain<R>(&self, mut rows: Vec<R>, entity_id: impl Fn(&R) -> i64) -> Result<Vec<R>, Stop> {
        match self.only {
            Some(only) => {
                rows.retain(|row| entity_id(row) == only);
                Ok(rows)
            }
            None => self.scope.retain(rows, entity_id),
        }
    }

    /// How the rows of a table are found whose column `entity_id` is among these entities.
    pub fn way(&self, table: &str) -> Result<Way, Stop> {
        let (root, below) = match (self.only, self.scope.root()) {
            (Some(only), _) => (only, ONLY),
            (None, Some(root)) => (root, SUBTREE),
            (None, None) => return Ok(Way::Scan),
        };
        let sql = self.scope.sql;
        let number = |text: &str, max: usize| -> Result<usize, Stop> {
            let values = [Value::Int(root), count(max + 1)];
            let row = sql.rows(text, &values)?.first().map_or(Ok(0), |row| row.int(0))?;
            Ok(usize::try_from(row).unwrap_or(usize::MAX))
        };
        if number(&format!("{below} SELECT count(*) FROM (SELECT 1 FROM below LIMIT $2) AS found"), ENTITIES_MAX)?
            > ENTITIES_MAX
        {
            return Ok(Way::Scan);
        }
        let rows = format!(
            "{below} SELECT count(*) FROM (
                SELECT 1 FROM below CROSS JOIN {table} WHERE {table}.entity_id = below.id LIMIT $2) AS found"
        );
        Ok(if number(&rows, SORTED_MAX)? > SORTED_MAX { Way::Scan } else { Way::Sort { root, below } })
    }
}

/// Entities that are counted before a subtree is large.
const ENTITIES_MAX: usize = 1_000;

/// Rows that are sorted for a page at most.
const SORTED_MAX: usize = 20_000;

/// How the rows of some entities are found in an order that no index has for them.
pub(super) enum Way {
    /// There are few: they are found by their entities and sorted. `below` begins the statement: it makes a table `below` of the
    /// entities out of the root, which is `$1`.
    Sort { root: i64, below: &'static str },
    /// There are many: the whole list is read in its order, and rows of other entities are passed over.
    Scan,
}

const ONLY: &str = "WITH RECURSIVE below (id) AS (SELECT id FROM entity WHERE id = $1)";

const SUBTREE: &str = "
    WITH RECURSIVE below (id) AS (
        SELECT id FROM entity WHERE id = $1
        UNION SELECT entity.id FROM below CROSS JOIN entity WHERE entity.parent_id = below.id)";

/// The names of entities that the caller may see.
pub(super) fn entity_names(
    scope: &Scope<'_>,
    ids: impl IntoIterator<Item = i64>,
) -> Result<HashMap<i64, String>, Stop> {
    let ids: HashSet<i64> = ids.into_iter().collect();
    let ids = scope.retain(ids.into_iter().collect(), |id| *id)?;
    let name = |row: &Row| Ok((row.int(0)?, row.text(1)?));
    by_ids(scope.sql, "SELECT id, name FROM entity WHERE id IN ($ids)", &[], &ids)?.iter().map(name).collect()
}

const _: () = assert!(IDS <= 100, "SQLite and PostgreSQL take more parameters, but a statement is to stay short");
