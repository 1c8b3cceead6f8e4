//! Errors of SQL written by hand, as text for people: the rule that refused the statement, and nothing of the rest of the script.

use std::collections::HashSet;
use std::sync::OnceLock;

use super::file::schema::SCHEMA;

/// The message of a guard or of SQLite, without SQLite's additions. It repeats at most one short word of the statement.
pub fn explain(error: &rusqlite::Error) -> String {
    let message = message(error);
    // A number in a message of the schema; see license_pool_update.
    match message.strip_prefix("bad JSON path: '").and_then(|m| m.strip_suffix('\'')) {
        Some(said) => said.to_owned(),
        None => brief(message.strip_prefix("CHECK constraint failed: ").unwrap_or(&message)),
    }
}

/// The same for SQL that may contain a password: without every word that is not one of the schema or of SQLite itself.
///
/// A quote in the wrong place makes code of what was meant as text, so any word that SQLite repeats can be the password.
pub fn explain_discreetly(error: &rusqlite::Error) -> String {
    let message = explain(error);
    let Some((head, tail)) = message.split_once(": ") else { return discreet(&message) };
    match (is_known(head), is_known(tail)) {
        (true, true) => message,
        (true, false) => head.to_owned(),
        // `near "…": syntax error`
        (false, true) => tail.to_owned(),
        (false, false) => discreet(&message),
    }
}

/// The position of the error in the statement, in bytes, if SQLite knows it.
pub fn offset(error: &rusqlite::Error) -> Option<usize> {
    match error {
        rusqlite::Error::SqlInputError { offset, .. } => usize::try_from(*offset).ok(),
        _ => None,
    }
}

fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// SQLite repeats a token of the statement, which without its closing quote is the whole rest of the script.
fn brief(message: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    let is_short = |token: &str| {
        !token.starts_with(['\'', '"', '`', '[']) && token.chars().take(CHARACTERS_MAX + 1).count() <= CHARACTERS_MAX
    };
    if let Some(token) = message.strip_prefix("unrecognized token: \"") {
        let token = token.strip_suffix('"').unwrap_or(token);
        return match token.chars().next() {
            Some('\'' | '"' | '`' | '[') => "a quote is not closed".to_owned(),
            _ if is_short(token) => message.to_owned(),
            _ => "unrecognized token".to_owned(),
        };
    }
    let near = message.strip_prefix("near \"").and_then(|rest| rest.rsplit_once("\": "));
    match near {
        Some((token, why)) if !is_short(token) => why.to_owned(),
        _ => message.to_owned(),
    }
}

/// The message with `…` in place of each unknown word, and of all between two of them.
fn discreet(message: &str) -> String {
    let unknown: Vec<(usize, &str)> = words(message).filter(|(_, word)| !is_word_known(word)).collect();
    let (Some((first, _)), Some((last, word))) = (unknown.first(), unknown.last()) else { return message.to_owned() };
    let known = format!("{}…{}", &message[..*first], &message[last + word.len()..]);
    if known.contains(char::is_alphabetic) { known } else { "a value is not what a function takes".to_owned() }
}

fn is_known(text: &str) -> bool {
    words(text).all(|(_, word)| is_word_known(word))
}

/// The words of a text with their positions.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_' || !c.is_ascii();
    let parts = text.split(move |c| !is_of_word(c)).filter(|word| !word.is_empty());
    parts.map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// Short numbers are those of pools and seats.
fn is_word_known(word: &str) -> bool {
    static KNOWN: OnceLock<HashSet<String>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| [SCHEMA, OF_SQLITE].into_iter().flat_map(words).map(|(_, w)| lower(w)).collect());
    (word.len() <= 9 && word.bytes().all(|byte| byte.is_ascii_digit())) || known.contains(&lower(word))
}

fn lower(word: &str) -> String {
    word.to_lowercase()
}

/// Words of SQLite's messages, and of those about new passwords.
const OF_SQLITE: &str = "
    access active aggregate all already ambiguous and argument arguments array attempt big blob by cannot characters closed collation
    column columns commit conflict constraint corrupt count database datatype default disk does duplicate empty error exist exists
    expression failed file for foreign full function generated hash has have image in incomplete index input integer interrupted into
    invalid is key larger least locked long longer malformed match memory mismatch misuse module more most must name named near no not
    null number of on only open or out parameters parser password prohibited query quote range read readonly real recursive reference
    rollback row rows same savepoint schema sequence set single skipped stack started statement store string such supplied syntax table
    term terms text than that there this to token too transaction trigger type unable unique unknown unrecognized unsupported use used
    value values version view when where with within write wrong authorized bytes are it from primary rowid subquery select should be
    literal quotes";

#[cfg(test)]
mod tests {
    use rusqlite::config::DbConfig;
    use rusqlite::{Connection, ffi};

    use super::*;

    fn error(sql: &str) -> rusqlite::Error {
        let connection = Connection::open_in_memory().expect("open");
        // "…" is a name, and never a text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false).expect("set");
        connection.execute_batch(SCHEMA).expect("schema");
        connection.execute_batch(sql).expect_err(sql)
    }

    #[test]
    fn a_message_names_the_rule_and_repeats_little() {
        for (sql, open, discreet) in [
            ("SELEC 1", "near \"SELEC\": syntax error", "syntax error"),
            ("SELECT 1 FROM entitty", "no such table: entitty", "no such table"),
            ("SELECT 'a", "a quote is not closed", "a quote is not closed"),
            ("SELECT \"rest; of the script", "a quote is not closed", "a quote is not closed"),
            ("INSERT INTO entity (id, name) VALUES (1, 'x', 2)", "2 values for 2 columns", ""),
            (
                "INSERT INTO entity (id, nam) VALUES (1, 'x')",
                "table entity has no column named nam",
                "table entity has no column named …",
            ),
            ("SELECT nonsense(1)", "no such function: nonsense", "no such function"),
            ("INSERT INTO account (username, entity_id, active) VALUES ('a', NULL, 2)", "", ""),
        ] {
            let error = error(sql);
            if !open.is_empty() && !open.contains("values for") {
                assert_eq!(explain(&error), open, "{sql}");
                assert_eq!(explain_discreetly(&error), discreet, "{sql}");
            } else {
                assert_eq!(explain_discreetly(&error), explain(&error), "{sql}: the words of a guard stay");
            }
        }
    }

    #[test]
    fn no_password_is_repeated() {
        const SECRET: &str = "Tr0ub4dor&3xy";
        for sql in [
            format!("UPDATE credential SET password_hash = {SECRET}"),
            format!("UPDATE credential SET password_hash = \"{SECRET}\""),
            format!("UPDATE credential SET password_hash = hash_password('it's{SECRET}')"),
            format!("UPDATE credential SET password_hash = hash_password({SECRET}"),
            format!("UPDATE credential SET password_hash = 'x' '{SECRET}'"),
            format!("UPDATE credential SET {SECRET} = 1"),
            format!("UPDATE {SECRET} SET password_hash = 1"),
            format!("SELECT json_extract('{{}}', '{SECRET}')"),
            format!("SELECT 1 AS 'a' {SECRET}"),
            format!("SELECT `{SECRET}`"),
            format!("SELECT {SECRET}(1)"),
            format!("SELECT '{SECRET}"),
            format!("INSERT INTO credential (user_name, {SECRET}) VALUES (1, 2)"),
            "SELECT 1 = 2 COLLATE Tr0ub4dor".to_owned(),
            "ROLLBACK TO Tr0ub4dor".to_owned(),
        ] {
            let said = explain_discreetly(&error(&sql));
            for part in ["Tr0ub4dor", "3xy"] {
                assert!(!said.contains(part), "{sql}: {said}");
            }
            assert!(said.len() > 5, "{sql}: {said}");
        }
        let other = rusqlite::Error::SqliteFailure(ffi::Error::new(1), Some(format!("{SECRET}: {SECRET} fails")));
        assert!(!explain_discreetly(&other).contains("Tr0"));
    }
}
