//! The CHECK constraints of a schema, as queries.
//!
//! SQLite's own `PRAGMA integrity_check` tests them too, but not on a connection that only reads, which drops them. These queries
//! also name the row and the constraint.

use rusqlite::Connection;

use crate::store::sqlite::tokens::tokens;

/// A query for each table with constraints: it returns one line of text per row that breaks one. The line has the number of the
/// row, or, in tables without rowid, the text of its key.
pub(super) fn queries(schema: &str) -> rusqlite::Result<Vec<String>> {
    let made = Connection::open_in_memory()?;
    made.execute_batch(schema)?;
    let mut statement = made.prepare(
        "SELECT name, sql, (SELECT wr FROM pragma_table_list(t.name) WHERE schema = 'main'),
                (SELECT group_concat(format('quote(\"%w\")', name), ' || '', '' || ') FROM pragma_table_info(t.name) WHERE pk > 0)
           FROM sqlite_schema AS t WHERE type = 'table'",
    )?;
    let tables = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let mut queries = Vec::new();
    for table in tables {
        let (name, sql, is_without_rowid, key): (String, String, bool, Option<String>) = table?;
        let row = if is_without_rowid { key.unwrap_or_default() } else { "rowid".to_owned() };
        let constraints = constraints(&sql);
        if !constraints.is_empty() {
            let hold: Vec<&str> = constraints.iter().map(|constraint| constraint.condition).collect();
            let broken: String = constraints
                .iter()
                .map(|constraint| {
                    format!(" WHEN NOT {} THEN '{}'", constraint.condition, constraint.says.replace('\'', "''"))
                })
                .collect();
            queries.push(format!(
                "SELECT '{name}, row ' || {row} || ': ' || CASE{broken} ELSE 'a constraint' END FROM \"{name}\" WHERE NOT ({})",
                hold.join(" AND ")
            ));
        }
    }
    Ok(queries)
}

struct Constraint<'s> {
    /// Its name, which is a sentence.
    says: &'s str,
    /// In parentheses.
    condition: &'s str,
}

/// The CHECK constraints in the text of a CREATE TABLE.
fn constraints(sql: &str) -> Vec<Constraint<'_>> {
    let tokens: Vec<(usize, &str)> = tokens(sql).collect();
    let mut found = Vec::new();
    for (index, (_, token)) in tokens.iter().enumerate() {
        let Some((begin, "(")) = tokens.get(index + 1) else { continue };
        if !token.eq_ignore_ascii_case("CHECK") {
            continue;
        }
        let mut depth = 0_i32;
        let end = tokens[index + 1..].iter().find(|(_, token)| {
            depth += i32::from(*token == "(") - i32::from(*token == ")");
            depth == 0
        });
        let Some((end, _)) = end else { continue };
        let is_named = index >= 2 && tokens[index - 2].1.eq_ignore_ascii_case("CONSTRAINT");
        let says = if is_named { tokens[index - 1].1.trim_matches('"') } else { "a constraint without a name" };
        found.push(Constraint { says, condition: &sql[*begin..=*end] });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::SCHEMA;

    #[test]
    fn constraints_are_found_in_the_text_of_a_table() {
        let sql =
            "CREATE TABLE t (a INTEGER CONSTRAINT \"a is small (or so)\" CHECK (a < max(9, 7) AND ')' <> 'CHECK (x)'),
                   -- CHECK (no)
                   b TEXT check (b <> ''), CONSTRAINT both CHECK ((a) < (b)))";
        let found: Vec<_> = constraints(sql).into_iter().map(|c| (c.says, c.condition)).collect();
        assert_eq!(
            found,
            [
                ("a is small (or so)", "(a < max(9, 7) AND ')' <> 'CHECK (x)')"),
                ("a constraint without a name", "(b <> '')"),
                ("both", "((a) < (b))"),
            ]
        );
    }

    /// Each constraint of the schema is in a query, and the queries run.
    #[test]
    fn every_constraint_of_the_schema_is_asked() {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(SCHEMA).expect("schema");
        let queries = queries(SCHEMA).expect("queries");
        let words = SCHEMA.lines().filter(|line| !line.trim_start().starts_with("--"));
        let in_schema: usize = words.map(|line| line.matches("CHECK (").count()).sum();
        let asked: usize = queries.iter().map(|query| query.matches(" WHEN NOT (").count()).sum();
        assert_eq!(asked, in_schema);
        for query in queries {
            assert!(!connection.prepare(&query).expect(&query).exists([]).expect(&query));
        }
    }
}
