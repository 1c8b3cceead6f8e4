//! Compares the schema with a fresh one, which is made beside it in a transaction that is rolled back. So the same server
//! describes both in its own words, whatever its version.

use std::collections::BTreeMap;

use tokio_postgres::Error;
use tokio_postgres::types::Type;

use crate::store::postgres::connect::READ_AS_WRITTEN_HERE;
use crate::store::postgres::schema::SCHEMA;
use crate::store::postgres::session::{Session, Sql};

/// The differences, as text. `None`: the server is read-only, so no schema can be made beside it.
pub(in crate::store::postgres) async fn differences(session: &Session) -> Result<Option<Vec<String>>, Error> {
    if session.row(&IS_READ_ONLY, &[]).await?.try_get(0)? {
        return Ok(None);
    }
    session.begin().await?;
    let compared = compare(session, SCHEMA).await;
    session.roll_back().await?;
    compared.map(Some)
}

/// The differences from the schema of a script, as text; in a transaction, or after a savepoint, that is then undone.
pub(in crate::store::postgres) async fn compare(session: &Session, script: &str) -> Result<Vec<String>, Error> {
    session.batch(READ_AS_WRITTEN_HERE).await?;
    let process: i32 = session.row(&PROCESS, &[]).await?.try_get(0)?;
    // Several nodes may start at once.
    let beside = format!("seatkeeper_fresh_{process}");
    let now = describe(session, "public").await?;
    session.batch(&format!("CREATE SCHEMA {beside}; {}", in_schema(script, &beside))).await?;
    let fresh = describe(session, &beside).await?;
    let mut found = Vec::new();
    for (name, (definition, ..)) in &fresh {
        match now.get(name) {
            None => found.push(format!("{name} is missing")),
            Some((other, ..)) if other.replace("public", &beside) != definition.replace("public", &beside) => {
                found.push(format!("{name} is not as this program made it"));
            }
            Some(_) => {}
        }
    }
    let tables: Vec<&String> =
        fresh.values().filter(|(_, table, _)| !table.is_empty()).map(|(_, table, _)| table).collect();
    for (name, (_, table, is_change)) in &now {
        // An administrator's own tables, views, functions and plain indexes are allowed.
        if *is_change && !fresh.contains_key(name) && tables.contains(&table) {
            found.push(format!("{name} is not of this program"));
        }
    }
    Ok(found)
}

/// The script for the schema under another name: it uses the word `public` only as the name of the schema.
fn in_schema(script: &str, name: &str) -> String {
    let script = script.replacen("SET search_path", "SET LOCAL search_path", 1);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut made = String::with_capacity(script.len());
    let mut rest = script.as_str();
    while let Some(at) = rest.find("public") {
        let (before, found) = rest.split_at(at);
        let after = &found["public".len()..];
        made.push_str(before);
        made.push_str(if before.ends_with(is_word) || after.starts_with(is_word) { "public" } else { name });
        rest = after;
    }
    made + rest
}

/// By name: the definition, its table, and whether a foreign object of this kind would affect our table.
type Description = BTreeMap<String, (String, String, bool)>;

async fn describe(session: &Session, schema: &str) -> Result<Description, Error> {
    // Then the server names objects of this schema without the schema's name.
    session.batch(&format!("SET LOCAL search_path = {schema}, pg_temp")).await?;
    let rows = session.rows(&OBJECTS, &[&schema]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))).collect()
}

const IS_READ_ONLY: Sql = Sql { text: "SELECT current_setting('transaction_read_only') = 'on'", types: &[] };

const PROCESS: Sql = Sql { text: "SELECT pg_backend_pid()", types: &[] };

/// All parts of a schema. The storage of tables (fillfactor, autovacuum) is up to the administrator.
const OBJECTS: Sql = Sql {
    text: "
WITH relation AS (
    SELECT oid, relname, relkind, relpersistence, relrowsecurity FROM pg_catalog.pg_class WHERE relnamespace = $1::text::regnamespace)
SELECT 'table ' || relname AS name, format('%s %s %s', relkind, relpersistence, relrowsecurity) AS definition, relname::text AS of_table, false AS is_change
  FROM relation WHERE relkind IN ('r', 'p')
UNION ALL
SELECT format('column %s.%s', relname, attname),
       concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attcollation::regcollation,
                 pg_get_expr(adbin, adrelid)), relname, true
  FROM relation JOIN pg_catalog.pg_attribute ON attrelid = relation.oid
  LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT format('constraint \"%s\" of %s', conname, relname), pg_get_constraintdef(c.oid, true), relname, true
  FROM relation JOIN pg_catalog.pg_constraint AS c ON conrelid = relation.oid
 WHERE relkind IN ('r', 'p') AND contype NOT IN ('n', 't')
UNION ALL
SELECT 'index ' || indexrelid::regclass, concat_ws(' ', pg_get_indexdef(indexrelid, 0, true), indisvalid, indisready), relname, indisunique
  FROM relation JOIN pg_catalog.pg_index ON indrelid = relation.oid
 WHERE relkind IN ('r', 'p')
UNION ALL
SELECT format('trigger %s on %s', tgname, relname), concat_ws(' ', pg_get_triggerdef(t.oid, true), 'enabled:', tgenabled), relname, true
  FROM relation JOIN pg_catalog.pg_trigger AS t ON tgrelid = relation.oid
 WHERE NOT tgisinternal
UNION ALL
SELECT format('the foreign keys of %s', relname), concat_ws(' ', count(*), 'triggers, enabled:', string_agg(DISTINCT tgenabled::text, ',')), relname, true
  FROM relation JOIN pg_catalog.pg_trigger AS t ON tgrelid = relation.oid
  JOIN pg_catalog.pg_constraint AS c ON c.oid = tgconstraint AND contype = 'f' AND connamespace = $1::text::regnamespace
 WHERE tgisinternal AND relkind IN ('r', 'p') AND conrelid = relation.oid
 GROUP BY relname
UNION ALL
SELECT format('rule %s on %s', rulename, relname), pg_get_ruledef(r.oid, true), relname, true
  FROM relation JOIN pg_catalog.pg_rewrite AS r ON ev_class = relation.oid
 WHERE relkind IN ('r', 'p')
UNION ALL
SELECT 'view ' || relname, pg_get_viewdef(oid, true), '', false FROM relation WHERE relkind = 'v'
UNION ALL
SELECT format('function %s(%s)', proname, pg_get_function_identity_arguments(p.oid)),
       concat_ws(' ', format_type(prorettype, NULL), lanname, prosecdef, provolatile, proisstrict, proconfig, prosrc,
                 CASE WHEN proowner = (SELECT relowner FROM pg_catalog.pg_class WHERE oid = format('%I.audit_event', $1::text)::regclass) THEN 'ours' END), '', false
  FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l ON l.oid = prolang
 WHERE pronamespace = $1::text::regnamespace",
    types: &[Type::TEXT],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_moved_to_another_schema() {
        let script = in_schema(SCHEMA, "beside");
        assert!(script.contains("SET LOCAL search_path = beside, pg_temp") && script.contains("beside.audit_event"));
        assert!(!script.contains("public.") && script.contains("FROM PUBLIC"));
    }
}
