//! See [`crate::store::facts`].

use super::command::command;
use super::connect::Purpose;
use super::session::{Session, Sql};
use crate::store::facts::{COUNTED, Fact};
use crate::store::{Address, SCHEMA_VERSION};

/// What is asked of the server, each with a text as its answer. None asks for a name that an operator chose.
const QUESTIONS: [(&str, Sql); 12] = [
    ("PostgreSQL", sql("SELECT current_setting('server_version')")),
    ("schema version", sql("SELECT version::text FROM public.schema_version WHERE id = 1")),
    ("standby", sql("SELECT pg_is_in_recovery()::text")),
    ("TLS", sql("SELECT coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), 'no')")),
    ("database size", sql("SELECT pg_database_size(current_database()) || ' bytes'")),
    (
        "server settings",
        sql("SELECT string_agg(name || ' ' || setting, ', ' ORDER BY name) FROM pg_settings
              WHERE name IN ('data_checksums', 'default_transaction_isolation', 'fsync', 'full_page_writes', 'max_connections',
                             'server_encoding', 'synchronous_commit', 'wal_level')"),
    ),
    (
        "synchronous standbys",
        sql("SELECT CASE current_setting('synchronous_standby_names') WHEN '' THEN 'none' ELSE 'set' END"),
    ),
    ("encoding", sql("SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()")),
    ("seats in use", sql("SELECT count(*)::text FROM public.seat WHERE account_id IS NOT NULL")),
    ("newest event", sql("SELECT coalesce(max(id), 0)::text FROM public.audit_event")),
    ("newest backup", sql("SELECT coalesce(max(at)::text, 'none') FROM public.upkeep WHERE task = 'backup'")),
    ("newest check", sql("SELECT coalesce(max(at)::text, 'none') FROM public.upkeep WHERE task = 'check'")),
];

/// All in one query, because a statement is a constant. A table of files only counts as absent.
const COUNTS: Sql = sql("SELECT c.relname::text, (xpath('/row/n/text()', query_to_xml(
            format('SELECT count(*) AS n FROM %I.%I', 'public', c.relname), false, true, '')))[1]::text
       FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        AND has_table_privilege(c.oid, 'SELECT')");

const fn sql(text: &'static str) -> Sql {
    Sql { text, types: &[] }
}

/// See [`crate::store::facts`].
pub(crate) fn facts(address: &Address) -> Vec<Fact> {
    let found = command(address, Purpose::Read, async |session| {
        let mut facts = Vec::new();
        for (name, question) in &QUESTIONS {
            facts.push(Fact::new(*name, answer(session, question).await));
        }
        facts.extend(counts(session).await);
        Ok(facts)
    });
    let mut facts = found.unwrap_or_else(|error| vec![Fact::new("database", error.kind())]);
    if let Some(version) = facts.iter_mut().find(|fact| fact.name == "schema version") {
        version.value += &format!("; this program has {SCHEMA_VERSION}");
    }
    facts
}

/// An error is shown by its code, because its text may have names.
async fn answer(session: &Session, question: &Sql) -> String {
    let row = session.row_opt(question, &[]).await;
    match row.and_then(|row| row.map(|row| row.try_get::<_, String>(0)).transpose()) {
        Ok(answer) => answer.unwrap_or_else(|| "none".to_owned()),
        Err(error) => unknown(&error),
    }
}

async fn counts(session: &Session) -> Vec<Fact> {
    let rows = match session.rows(&COUNTS, &[]).await {
        Ok(rows) => rows,
        Err(error) => return vec![Fact::new("rows", unknown(&error))],
    };
    let counted: Vec<(String, String)> =
        rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?))).collect();
    let of = |table: &str| counted.iter().find(|(name, _)| name == table).map(|(_, count)| count);
    COUNTED.into_iter().filter_map(|table| Some(Fact::new(format!("rows of {table}"), of(table)?))).collect()
}

fn unknown(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| "cannot be read".to_owned(), |code| format!("cannot be read: {}", code.code()))
}
