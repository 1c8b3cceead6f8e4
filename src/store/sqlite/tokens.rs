//! Splits SQL into tokens, for the shell and the comparison of schemas.

/// Words, quoted tokens and single characters, each with its position; without white space and comments.
pub fn tokens(sql: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &sql[at..];
            let first = rest.chars().next()?;
            let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |i| from + i + end.len());
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let (length, is_token) = match first {
                c if c.is_whitespace() => (c.len_utf8(), false),
                '-' if rest.starts_with("--") => (until("\n", 2), false),
                '/' if rest.starts_with("/*") => (until("*/", 2), false),
                '\'' => (until("'", 1), true),
                '"' => (until("\"", 1), true),
                '`' => (until("`", 1), true),
                '[' => (until("]", 1), true),
                c if is_word(c) => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), true),
                c => (c.len_utf8(), true),
            };
            let begin = at;
            at += length;
            if is_token {
                return Some((begin, &sql[begin..at]));
            }
        }
    })
}

/// Whether SQL begins with these words, in any case.
pub fn starts_with(sql: &str, expected: &[&str]) -> bool {
    let mut words = words(sql);
    expected.iter().all(|e| words.next().is_some_and(|w| w.eq_ignore_ascii_case(e)))
}

/// The tokens without their positions.
pub fn words(sql: &str) -> impl Iterator<Item = &str> {
    tokens(sql).map(|(_, token)| token)
}
