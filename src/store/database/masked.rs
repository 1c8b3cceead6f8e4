//! Texts without their passwords.

/// Stands for a secret.
const MASK: &str = "***";

/// The text with its passwords replaced: in the address of a server (`scheme://user:password@host/?password=…`), and in the words of
/// libpq (`host=db1 password=…`). It hides rather too much than too little.
pub fn masked(text: &str) -> String {
    without_parameters(&without_user_info(text))
}

/// Hides what stands between the first `:` and the last `@`, behind the scheme; and what stands in the place of a port and is none: in
/// an address without a host that is the password.
fn without_user_info(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let rest = &text[start..];
    let colon_and_end = match rest.rfind('@') {
        Some(at) => rest[..at].find(':').map(|colon| (colon, at)).or_else(|| no_port(rest, at + 1)),
        None if start > 0 => no_port(rest, 0),
        None => None,
    };
    match colon_and_end {
        Some((colon, end)) => format!("{}{}:{MASK}{}", &text[..start], &rest[..colon], &rest[end..]),
        None => text.to_owned(),
    }
}

/// Where in an address, from `start`, hosts are followed by something that is no port: its colon, and the end of the text or of the
/// quotes around the address.
fn no_port(text: &str, start: usize) -> Option<(usize, usize)> {
    let authority = &text[start..];
    let authority =
        &authority[..authority.find(|c: char| "/?#'\"".contains(c) || c.is_whitespace()).unwrap_or(authority.len())];
    let mut at = start;
    for host in authority.split(',') {
        if !has_sound_port(host) {
            let colon = at + host.rfind(']').map_or(0, |bracket| bracket + 1);
            let colon = text[colon..].find(':').map_or(colon, |found| colon + found);
            let end = text[colon..].find("' ").or_else(|| text[colon..].strip_suffix('\'').map(str::len));
            return Some((colon, end.map_or(text.len(), |end| colon + end)));
        }
        at += host.len() + 1;
    }
    None
}

/// Whether a host has no port, or one that may be the port of a host; or one that is hidden already.
pub(super) fn has_sound_port(host: &str) -> bool {
    let behind = if host.starts_with('[') { host.split_once(']').map_or("", |(_, behind)| behind) } else { host };
    match behind.split_once(':') {
        Some((_, port)) => port.is_empty() || port == MASK || port.parse::<u16>().is_ok(),
        None => behind.is_empty() || !host.starts_with('['),
    }
}

/// Hides the values of parameters whose names may stand for a password.
fn without_parameters(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let before = rest[..equals].trim_end();
        let name = before.rsplit(['?', '&', ' ', ';']).next().unwrap_or_default().to_ascii_lowercase();
        let (before, value) = rest.split_at(equals + 1);
        out += before;
        // A name with an escaped letter may be any name.
        let is_secret = ["password", "secret", "token", "%"].iter().any(|part| name.contains(part));
        let end = end_of(value);
        out += if is_secret && end > 0 { MASK } else { &value[..end] };
        rest = &value[end..];
    }
    out + rest
}

/// Where a value ends. It may be in quotes, in which a backslash escapes the next character.
fn end_of(value: &str) -> usize {
    let blanks = value.len() - value.trim_start().len();
    let word = &value[blanks..];
    let Some(quoted) = word.strip_prefix('\'') else {
        return blanks + word.find(['&', ' ', ';']).unwrap_or(word.len());
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => return blanks + 1 + at + 1,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown_and_the_rest_is() {
        for (text, shown) in [
            ("seatkeeper.db", "seatkeeper.db"),
            ("/var/lib/a=b/seats.db", "/var/lib/a=b/seats.db"),
            ("postgres://db1,db2:5433/seats", "postgres://db1,db2:5433/seats"),
            ("postgres://seatkeeper@db1/seats", "postgres://seatkeeper@db1/seats"),
            ("postgres://seatkeeper:geheim@db1/seats", "postgres://seatkeeper:***@db1/seats"),
            ("postgres://seatkeeper:ge@h/e?i#m@db1/seats", "postgres://seatkeeper:***@db1/seats"),
            ("postgres://:geheim@db1", "postgres://:***@db1"),
            ("seatkeeper:geheim@db1/seats", "seatkeeper:***@db1/seats"),
            (
                "postgres://db1/seats?sslmode=require&password=geheim&target_session_attrs=any",
                "postgres://db1/seats?sslmode=require&password=***&target_session_attrs=any",
            ),
            ("postgres://db1/seats?p%61ssword=geheim", "postgres://db1/seats?p%61ssword=***"),
            ("postgres://db1/seats?PASSWORD=geheim", "postgres://db1/seats?PASSWORD=***"),
            ("postgres://db1/seats?sslpassword=geheim", "postgres://db1/seats?sslpassword=***"),
            ("postgres://db1/seats?passfile=/etc/pgpass", "postgres://db1/seats?passfile=/etc/pgpass"),
            ("host=db1 user=u password=geheim dbname=seats", "host=db1 user=u password=*** dbname=seats"),
            ("host=db1 password = geheim dbname=seats", "host=db1 password =*** dbname=seats"),
            (r"password='ge\'he im' host=db1", "password=*** host=db1"),
            ("password='geheim", "password=***"),
            ("postgres://seatkeeper:geheim/seats", "postgres://seatkeeper:***"),
            ("postgres://seatkeeper:ge/he?im", "postgres://seatkeeper:***"),
            ("postgres://seatkeeper:ge he,im", "postgres://seatkeeper:***"),
            ("postgres://db1:5432,seatkeeper:geheim/seats", "postgres://db1:5432,seatkeeper:***"),
            ("postgres://seatkeeper@db1:geheim/seats", "postgres://seatkeeper@db1:***"),
            ("'postgres://seatkeeper:geheim/seats' is unknown", "'postgres://seatkeeper:***' is unknown"),
            ("'postgres://seatkeeper:geheim/seats'", "'postgres://seatkeeper:***'"),
            ("postgres://[::1]:5433,db1:5433/seats", "postgres://[::1]:5433,db1:5433/seats"),
            ("http://127.0.0.1:8086/readyz: no answer", "http://127.0.0.1:8086/readyz: no answer"),
            ("http://10.0.0.1: no address", "http://10.0.0.1: no address"),
            ("https://a.example, https://b.example:8443", "https://a.example, https://b.example:8443"),
            ("https://admin:geheim@licenses.example.com", "https://admin:***@licenses.example.com"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}
