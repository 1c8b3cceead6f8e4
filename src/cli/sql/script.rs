//! Splits a script into statements and commands, and finds out what a statement does, by its words alone.

use crate::store::sqlite::tokens::{starts_with, tokens};

/// A statement, or a command that begins with a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'s> {
    pub text: &'s str,
    /// Where it begins in the script: the line, from 1.
    pub line: usize,
    /// Its number in the script, from 1.
    pub number: usize,
    pub is_command: bool,
    /// Whether its end is there: a semicolon, or the end of the line for a command.
    pub is_ended: bool,
}

/// The statements of a script, each with its semicolon, split as SQLite's own shell does: not inside quotes or comments, and a
/// CREATE TRIGGER ends with its END. So a failed statement can be skipped as a whole.
pub(super) fn pieces(script: &str) -> impl Iterator<Item = Piece<'_>> {
    let (mut at, mut counted, mut line, mut number) = (0, 0, 1, 0);
    std::iter::from_fn(move || {
        loop {
            let (begin, token) = tokens(&script[at..]).next()?;
            at += begin;
            // An empty statement.
            if token == ";" {
                at += 1;
                continue;
            }
            line += lines(&script[counted..at]);
            counted = at;
            number += 1;
            let rest = &script[at..];
            let is_command = token == ".";
            let (length, is_ended) = if is_command {
                let end = rest.find('\n');
                (end.unwrap_or(rest.len()), true)
            } else {
                statement_end(rest)
            };
            at += length;
            return Some(Piece { text: rest[..length].trim_end(), line, number, is_command, is_ended });
        }
    })
}

/// Whether every statement has its end.
pub(super) fn is_complete(script: &str) -> bool {
    pieces(script).all(|piece| piece.is_ended)
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The line and column, from 1, of a position in a piece.
pub(super) fn place(piece: &Piece<'_>, offset: usize) -> (usize, Option<usize>) {
    let before = piece.text.get(..offset).unwrap_or(piece.text);
    match before.rsplit_once('\n') {
        Some((_, last)) => (piece.line + lines(before), Some(last.chars().count() + 1)),
        // Other statements may be in front of it in this line.
        None => (piece.line, None),
    }
}

fn statement_end(sql: &str) -> (usize, bool) {
    let trigger = starts_with(sql, &["CREATE", "TRIGGER"])
        || ["TEMP", "TEMPORARY"].iter().any(|temp| starts_with(sql, &["CREATE", temp, "TRIGGER"]));
    // In a trigger an END before the last one ends a CASE, and stands behind a value.
    let (mut before, mut last) = ("", "");
    for (at, token) in tokens(sql) {
        if token == ";" && (!trigger || (before == ";" && last.eq_ignore_ascii_case("END"))) {
            return (at + 1, true);
        }
        (before, last) = (last, token);
    }
    (sql.len(), false)
}

/// Tokens with the number of open parentheses around each.
fn nested(sql: &str) -> impl Iterator<Item = (usize, &str, usize)> {
    let mut depth = 0_usize;
    tokens(sql).map(move |(at, token)| {
        if token == ")" {
            depth = depth.saturating_sub(1);
        }
        let around = depth;
        if token == "(" {
            depth += 1;
        }
        (at, token, around)
    })
}

fn is_one_of(token: &str, words: &[&str]) -> bool {
    words.iter().any(|word| token.eq_ignore_ascii_case(word))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Insert,
    Update,
    Delete,
}

impl Verb {
    /// The verb of the sentence "3 rows …".
    pub(super) fn done(self) -> &'static str {
        match self {
            Verb::Insert => "added",
            Verb::Update => "changed",
            Verb::Delete => "deleted",
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Verb::Insert => "INSERT",
            Verb::Update => "UPDATE",
            Verb::Delete => "DELETE",
        }
    }
}

/// What a statement that changes rows does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub verb: Verb,
    /// The table, without the name of its database.
    pub table: String,
    pub has_where: bool,
}

impl Change {
    /// `None`: the statement changes no rows.
    pub(super) fn of(statement: &str) -> Option<Change> {
        const MAIN: [&str; 6] = ["SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"];
        let mut outside = nested(statement).filter(|(_, _, depth)| *depth == 0).map(|(_, token, _)| token);
        let first = outside.next()?;
        let main = match first.eq_ignore_ascii_case("WITH") {
            true => outside.by_ref().find(|token| is_one_of(token, &MAIN))?,
            false => first,
        };
        let verb = match main {
            main if is_one_of(main, &["INSERT", "REPLACE"]) => Verb::Insert,
            main if is_one_of(main, &["UPDATE"]) => Verb::Update,
            main if is_one_of(main, &["DELETE"]) => Verb::Delete,
            _ => return None,
        };
        let rest: Vec<&str> = outside.collect();
        let mut at = 0;
        // UPDATE OR IGNORE t, INSERT OR REPLACE INTO t, DELETE FROM t
        if rest.get(at).is_some_and(|token| is_one_of(token, &["OR"])) {
            at += 2;
        }
        if rest.get(at).is_some_and(|token| is_one_of(token, &["INTO", "FROM"])) {
            at += 1;
        }
        if rest.get(at + 1) == Some(&".") {
            at += 2;
        }
        let table = rest.get(at).copied().unwrap_or_default();
        let has_where = rest.iter().any(|token| is_one_of(token, &["WHERE"]));
        Some(Change { verb, table: table.trim_matches(['"', '`', '[', ']', '\'']).to_owned(), has_where })
    }
}

/// A row of `INSERT … VALUES (…), (…)`, as a statement of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ValuesRow {
    /// Where the row begins in the whole statement, in bytes.
    pub at: usize,
    pub statement: String,
}

/// The rows of an `INSERT … VALUES` with several of them; else nothing.
pub(super) fn values_rows(statement: &str) -> Vec<ValuesRow> {
    if Change::of(statement).is_none_or(|change| change.verb != Verb::Insert) {
        return Vec::new();
    }
    let mut outside = nested(statement).filter(|(_, _, depth)| *depth == 0);
    let Some((values, _, _)) = outside.by_ref().find(|(_, token, _)| is_one_of(token, &["VALUES"])) else {
        return Vec::new();
    };
    let begin = values + "VALUES".len();
    let (mut rows, mut end) = (Vec::new(), begin);
    while let Some((at, "(", _)) = outside.next() {
        let Some((closed, ")", _)) = outside.next() else { return Vec::new() };
        end = closed + 1;
        rows.push((at, end));
        match outside.next() {
            Some((_, ",", _)) => {}
            _ => break,
        }
    }
    if rows.len() < 2 {
        return Vec::new();
    }
    let alone = |(at, closed): (usize, usize)| ValuesRow {
        at,
        statement: format!("{} {}{}", &statement[..begin], &statement[at..closed], &statement[end..]),
    };
    rows.into_iter().map(alone).collect()
}

/// Whether a text may have a password or another secret in it. Then it is not kept, and errors do not repeat its words.
pub(super) fn may_have_secret(text: &str) -> bool {
    const WORDS: [&str; 8] = ["pass", "pwd", "secret", "hash", "argon2", "credential", "product_key", "license_data"];
    let small = text.to_ascii_lowercase();
    WORDS.iter().any(|word| small.contains(word))
}

/// Whether a text begins like SQL, as opposed to the name of a file.
pub(super) fn looks_like_sql(text: &str) -> bool {
    const FIRST: [&str; 24] = [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "REPLACE",
        "WITH",
        "VALUES",
        "PRAGMA",
        "EXPLAIN",
        "BEGIN",
        "CREATE",
        "DROP",
        "ALTER",
        "ATTACH",
        "DETACH",
        "VACUUM",
        "ANALYZE",
        "REINDEX",
        "SAVEPOINT",
        "COMMIT",
        "END",
        "ROLLBACK",
        "RELEASE",
        "(",
    ];
    let is_command = || {
        let word = text.strip_prefix('.').and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    tokens(text).next().is_some_and(|(_, token)| is_one_of(token, &FIRST)) || is_command()
}

/// What a statement means for the transaction around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Begins a transaction of the script's own.
    Begin,
    /// COMMIT or END.
    Commit,
    /// Cannot run inside a transaction.
    Alone,
    /// Settings and other databases: best before a transaction, possible inside one.
    Setting,
    /// Reads only.
    Read,
    Other,
}

pub(super) fn kind(statement: &str) -> Kind {
    let Some((_, first)) = tokens(statement).next() else { return Kind::Read };
    match () {
        () if is_one_of(first, &["BEGIN"]) => Kind::Begin,
        () if is_one_of(first, &["COMMIT", "END"]) => Kind::Commit,
        () if is_one_of(first, &["VACUUM", "DETACH"]) || is_checkpoint(statement) => Kind::Alone,
        () if is_one_of(first, &["PRAGMA", "ATTACH"]) => Kind::Setting,
        () if is_one_of(first, &["SELECT", "VALUES", "EXPLAIN"]) => Kind::Read,
        () if is_one_of(first, &["WITH"]) && Change::of(statement).is_none() => Kind::Read,
        () => Kind::Other,
    }
}

fn is_checkpoint(statement: &str) -> bool {
    starts_with(statement, &["PRAGMA"]) && tokens(statement).any(|(_, token)| is_one_of(token, &["wal_checkpoint"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_split_where_sqlite_splits_them() {
        let script = "-- a comment; not a statement
            INSERT INTO a VALUES ('it''s; one', \"b;c\", [d;e]); /* ; */ ;
            CREATE TEMP TRIGGER t AFTER UPDATE ON a BEGIN DELETE FROM b; SELECT 1; END;
.mode csv
            SELECT 1";
        let found: Vec<Piece<'_>> = pieces(script).collect();
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found[0].text.ends_with("[d;e]);"));
        assert!(found[1].text.ends_with("SELECT 1; END;"));
        assert_eq!((found[2].text, found[2].is_command), (".mode csv", true));
        assert_eq!((found[3].text, found[3].is_ended), ("SELECT 1", false));
        assert_eq!(
            found.iter().map(|piece| (piece.line, piece.number)).collect::<Vec<_>>(),
            [(2, 1), (3, 2), (4, 3), (5, 4)]
        );
        assert_eq!(pieces(" -- nothing\n").count(), 0);
        assert_eq!(pieces("SELECT 'unclosed; ").count(), 1);
        for (text, complete) in
            [("SELECT 1;", true), ("SELECT 'a;", false), ("", true), (".tables", true), ("SELECT 1", false)]
        {
            assert_eq!(is_complete(text), complete, "{text}");
        }
    }

    #[test]
    fn a_change_is_known_by_its_words() {
        let change = |verb, table: &str, has_where| Some(Change { verb, table: table.to_owned(), has_where });
        for (sql, expected) in [
            ("UPDATE seat SET account_id = NULL", change(Verb::Update, "seat", false)),
            ("update or ignore main.\"seat\" set x = (SELECT 1 FROM t WHERE y)", change(Verb::Update, "seat", false)),
            ("UPDATE seat SET note = 'WHERE' -- WHERE\n;", change(Verb::Update, "seat", false)),
            ("UPDATE seat SET x = 1 WHERE y", change(Verb::Update, "seat", true)),
            (
                "WITH a(x) AS (SELECT 1 WHERE 1), b AS (SELECT 2) DELETE FROM account",
                change(Verb::Delete, "account", false),
            ),
            ("DELETE FROM account WHERE id = 1", change(Verb::Delete, "account", true)),
            ("INSERT OR IGNORE INTO t (a) VALUES (1)", change(Verb::Insert, "t", false)),
            ("REPLACE INTO t VALUES (1)", change(Verb::Insert, "t", false)),
            ("WITH a AS (SELECT 1) SELECT * FROM a", None),
            ("EXPLAIN DELETE FROM t", None),
            ("SELECT 1", None),
        ] {
            assert_eq!(Change::of(sql), expected, "{sql}");
        }
    }

    #[test]
    fn rows_of_values_become_statements() {
        let sql = "INSERT INTO t (a, b) VALUES (1, ('x),(')), (2, f(3)) ON CONFLICT DO NOTHING;";
        let rows: Vec<String> = values_rows(sql).into_iter().map(|row| row.statement).collect();
        assert_eq!(
            rows,
            [
                "INSERT INTO t (a, b) VALUES (1, ('x),(')) ON CONFLICT DO NOTHING;",
                "INSERT INTO t (a, b) VALUES (2, f(3)) ON CONFLICT DO NOTHING;"
            ]
        );
        for none in
            ["INSERT INTO t VALUES (1)", "VALUES (1), (2)", "INSERT INTO t SELECT 1", "INSERT INTO t VALUES (1), (2"]
        {
            assert_eq!(values_rows(none), [], "{none}");
        }
    }

    #[test]
    fn sql_is_told_from_the_name_of_a_file() {
        for (text, sql) in [
            ("select 1", true),
            ("VACUUM", true),
            ("seed.sql", false),
            ("./update.sql", false),
            ("selections.sql", false),
            ("", false),
        ] {
            assert_eq!(looks_like_sql(text), sql, "{text}");
        }
    }
}
