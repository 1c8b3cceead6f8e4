//! A form with a file, `multipart/form-data` (RFC 7578), as browsers send it. The body was read whole, in bounds.

use super::query::Query;

/// The fields of the form. A file counts as the text of its field, unless none was chosen. `None`: it is not such a form.
pub(super) fn parse(content_type: &str, body: &[u8]) -> Option<Query> {
    let boundary = boundary(content_type)?;
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = &body[find(body, &delimiter)? + delimiter.len()..];
    loop {
        if rest.starts_with(b"--") {
            return Some(Query::from_pairs(pairs));
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&rest[..head_end]);
        let content = &rest[head_end + 4..];
        let end = find(content, &[b"\r\n", &delimiter[..]].concat())?;
        if let Some(name) = parameter(&head, "name") {
            let is_file = parameter(&head, "filename").is_some();
            if !is_file || end > 0 {
                pairs.push((name, text(&content[..end])));
            }
        }
        rest = &content[end + 2 + delimiter.len()..];
    }
}

/// UTF-8 with or without a byte order mark, or UTF-16 with one. Bytes that are not text become U+FFFD, which the database refuses in every
/// column.
fn text(bytes: &[u8]) -> String {
    encoding_rs::UTF_8.decode(bytes).0.into_owned()
}

fn boundary(content_type: &str) -> Option<String> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|p| {
        let (name, value) = p.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
    })?;
    // RFC 2046 §5.1.1.
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// A parameter of the header Content-Disposition. Browsers escape a quote in a name as `%22`.
fn parameter(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let at = line.find(&format!("; {name}=\""))? + name.len() + 4;
    let value = line[at..].split('"').next()?;
    Some(value.replace("%22", "\""))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    // Boundaries begin with bytes that are rare in text, so this seldom compares more than one byte.
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=----x";

    fn parsed(body: &str) -> Option<Vec<(String, String)>> {
        parse(TYPE, body.as_bytes()).map(|query| query.pairs().to_vec())
    }

    #[test]
    fn a_form_with_a_file_is_read() {
        let body = "------x\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\nusers\r\n\
                    ------x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n\u{FEFF}a,b\r\n1,2\r\n\r\n\
                    ------x\r\nContent-Disposition: form-data; name=\"none\"; filename=\"\"\r\n\r\n\r\n------x--\r\n";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(parsed(body), Some(vec![pair("kind", "users"), pair("file", "a,b\n1,2\n")]));
        assert_eq!(parsed("------x--"), Some(vec![]));
    }

    /// As spreadsheets save it.
    #[test]
    fn a_file_may_be_utf_16() {
        let head = "------x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n".as_bytes();
        let text = "username\tnote\r\nM\u{fc}ller\t\u{1F600}\r\n";
        for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            let file: Vec<u8> = "\u{FEFF}".encode_utf16().chain(text.encode_utf16()).flat_map(to_bytes).collect();
            let body = [head, &file, b"\r\n------x--"].concat();
            let read = parse(TYPE, &body).expect("a form");
            assert_eq!(read.pairs(), [("file".to_owned(), text.replace("\r\n", "\n"))]);
        }
    }

    #[test]
    fn broken_forms_are_refused() {
        for body in [
            "",
            "------x",
            "------x\r\n",
            "------x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nno end",
            "------xx",
        ] {
            assert_eq!(parsed(body), None, "{body:?}");
        }
        assert_eq!(parse("text/plain; boundary=x", b"--x--"), None);
        assert_eq!(parse("multipart/form-data", b"--x--"), None);
    }
}
