//! From the bytes of an HTTP body to text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, X_USER_DEFINED};

/// Decodes a body. The encoding is, first to last, that of a byte order mark, of the `<` of an XML document in UTF-16, of
/// the charset of the Content-Type, of the XML declaration (RFC 7303 §3); otherwise UTF-8.
///
/// An unknown name, or one that the bytes contradict, counts as absent, as in .NET. Bytes that are invalid in the encoding become
/// U+FFFD. In markup that makes the message malformed; the rules refuse a value with U+FFFD.
///
/// A NUL at the end, which C programs send with their strings, is removed with the white space around it.
pub fn decode<'b>(body: &'b [u8], charset: Option<&str>) -> Cow<'b, str> {
    let named = charset.and_then(|label| known(label.as_bytes())).filter(|encoding| fits(encoding, body));
    let encoding = bare_utf16(body).or(named).or_else(|| declared(body)).unwrap_or(UTF_8);
    // `decode` looks for a byte order mark first.
    without_terminator(encoding.decode(body).0)
}

/// The encoding of this name in the WHATWG standard; quotes and white space around the name are ignored.
///
/// Three kinds count as unknown: encodings that the standard lists but does not decode; `x-user-defined`, whose characters have a
/// meaning for one sender only; and UTF-7, which can hide markup from filters that inspect the bytes.
fn known(label: &[u8]) -> Option<&'static Encoding> {
    let quote = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'');
    let start = label.iter().position(|byte| !quote(byte))?;
    let end = label.iter().rposition(|byte| !quote(byte))?;
    let label = &label[start..=end];
    // The standard reads ASCII as Windows-1252. Here a byte above 127 must not become a letter, and so another name.
    if [&b"us-ascii"[..], b"ascii", b"ansi_x3.4-1968"].iter().any(|ascii| ascii.eq_ignore_ascii_case(label)) {
        return Some(UTF_8);
    }
    Encoding::for_label_no_replacement(label).filter(|encoding| *encoding != X_USER_DEFINED)
}

/// Every message begins with an ASCII character. In UTF-16 one of its two bytes is NUL.
fn fits(encoding: &'static Encoding, body: &[u8]) -> bool {
    let is_utf16 = encoding == UTF_16LE || encoding == UTF_16BE;
    !is_utf16 || body.iter().take(2).any(|byte| *byte == 0)
}

/// XML in UTF-16 without a byte order mark (XML 1.0, appendix F).
fn bare_utf16(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [b'<', 0, _, 0, ..] => Some(UTF_16LE),
        [0, b'<', 0, ..] => Some(UTF_16BE),
        _ => None,
    }
}

fn declared(body: &[u8]) -> Option<&'static Encoding> {
    let label = body.strip_prefix(b"<?xml").and_then(declared_label)?;
    known(label).filter(|encoding| fits(encoding, body))
}

fn without_terminator(text: Cow<'_, str>) -> Cow<'_, str> {
    let kept = text.trim_end_matches(['\0', ' ', '\t', '\r', '\n']).len();
    if !text[kept..].contains('\0') {
        return text;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..kept]),
        Cow::Owned(mut text) => {
            text.truncate(kept);
            Cow::Owned(text)
        }
    }
}

/// The value of `encoding` in the rest of an XML declaration.
fn declared_label(declaration: &[u8]) -> Option<&[u8]> {
    let end = declaration.iter().take(256).position(|b| *b == b'>')?;
    let declaration = &declaration[..end];
    let at = declaration.windows(8).position(|w| w == b"encoding")?;
    let value = declaration[at + 8..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let quote = *value.first().filter(|q| matches!(q, b'"' | b'\''))?;
    value[1..].split(|b| *b == quote).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn mark_then_charset_then_declaration() {
        let rows = [
            ("plain", b"<a/>".to_vec(), None, "<a/>"),
            ("mark", b"\xEF\xBB\xBF<a/>".to_vec(), None, "<a/>"),
            ("mark beats charset", b"\xEF\xBB\xBF<\xC3\xBC/>".to_vec(), Some("iso-8859-1"), "<ü/>"),
            ("charset", b"<\xFC/>".to_vec(), Some("ISO-8859-1"), "<ü/>"),
            (
                "charset beats declaration",
                b"<?xml encoding='iso-8859-1'?><\xC3\xBC/>".to_vec(),
                Some("utf-8"),
                "<?xml encoding='iso-8859-1'?><ü/>",
            ),
            (
                "declaration",
                b"<?xml version=\"1.0\" encoding = \"iso-8859-1\"?><\xFC/>".to_vec(),
                None,
                "<?xml version=\"1.0\" encoding = \"iso-8859-1\"?><ü/>",
            ),
            ("utf-16le, mark", utf16("\u{FEFF}<a/>", u16::to_le_bytes), Some("utf-16"), "<a/>"),
            ("utf-16be, mark", utf16("\u{FEFF}<a/>", u16::to_be_bytes), Some("utf-16"), "<a/>"),
            ("utf-16be, bare", utf16("<a/>", u16::to_be_bytes), None, "<a/>"),
            ("utf-16le, bare", utf16("<a/>", u16::to_le_bytes), None, "<a/>"),
            ("utf-16be, called utf-16", utf16("<a/>", u16::to_be_bytes), Some("utf-16"), "<a/>"),
            ("utf-16le, called utf-8", utf16("<ü/>", u16::to_le_bytes), Some("utf-8"), "<ü/>"),
            ("utf-16be, a space first", utf16(" <ü/>", u16::to_be_bytes), Some("utf-16be"), " <ü/>"),
            ("JSON in utf-16", utf16("{\"ü\":1}", u16::to_le_bytes), Some("utf-16"), "{\"ü\":1}"),
            ("utf-8, called utf-16", b"<\xC3\xBC/>".to_vec(), Some("utf-16"), "<ü/>"),
            ("invalid utf-8", b"<\xFC/>".to_vec(), Some("utf-8"), "<\u{FFFD}/>"),
            (
                "utf-8, declared as utf-16",
                b"<?xml encoding='utf-16'?><\xC3\xBC/>".to_vec(),
                None,
                "<?xml encoding='utf-16'?><ü/>",
            ),
            (
                "an unknown charset: the declaration",
                b"<?xml encoding='latin1'?><\xFC/>".to_vec(),
                Some("klingon"),
                "<?xml encoding='latin1'?><ü/>",
            ),
            (
                "an unknown declaration: UTF-8",
                b"<?xml encoding='klingon'?><\xC3\xBC/>".to_vec(),
                None,
                "<?xml encoding='klingon'?><ü/>",
            ),
            ("ASCII is a part of UTF-8", b"<\xC3\xBC/>".to_vec(), Some("us-ascii"), "<ü/>"),
            ("and of nothing else", b"<\xFC/>".to_vec(), Some("US-ASCII"), "<\u{FFFD}/>"),
            ("nothing", Vec::new(), Some("utf-16"), ""),
        ];
        for (case, body, charset, expected) in rows {
            assert_eq!(decode(&body, charset), expected, "{case}");
        }
    }

    #[test]
    fn names_of_charsets() {
        // The same character in UTF-8 and in the named encoding, if that is accepted.
        let is_read_as = |name: &str| match (&*decode(b"\xC3\xBC", Some(name)), &*decode(b"\xFC", Some(name))) {
            ("ü", _) => "UTF-8",
            (_, "ü") => "Windows-1252",
            other => panic!("{name}: {other:?}"),
        };
        for (name, expected) in [
            ("utf-8", "UTF-8"),
            ("UTF8", "UTF-8"),
            ("'utf-8'", "UTF-8"),
            ("\"UTF-8\"", "UTF-8"),
            ("\"'utf-8", "UTF-8"),
            ("utf-8'", "UTF-8"),
            (" \t'utf-8' ", "UTF-8"),
            ("latin1", "Windows-1252"),
            ("'iso-8859-1'", "Windows-1252"),
            ("\"Windows-1252", "Windows-1252"),
            // Unknown encodings.
            ("", "UTF-8"),
            ("''", "UTF-8"),
            ("klingon", "UTF-8"),
            ("utf-8, text/xml", "UTF-8"),
            ("latin1 or so", "UTF-8"),
            ("größe", "UTF-8"),
            ("utf-7", "UTF-8"),
            ("utf-32", "UTF-8"),
            ("x-user-defined", "UTF-8"),
            ("replacement", "UTF-8"),
            ("iso-2022-kr", "UTF-8"),
            ("hz-gb-2312", "UTF-8"),
        ] {
            assert_eq!(is_read_as(name), expected, "{name}");
        }
        assert_eq!(decode(b"+ADw-a/+AD4-", Some("utf-7")), "+ADw-a/+AD4-");
        assert_eq!(decode(b"<?xml encoding='utf-7'?>+ADw-a/+AD4-", None), "<?xml encoding='utf-7'?>+ADw-a/+AD4-");
        assert_eq!(decode(b"\x90\x31\x81\x30", Some("GB18030")), decode(b"\x90\x31\x81\x30", Some("'gb18030'")));
        assert_eq!(decode(b"\x82\xA0", Some("shift_jis")), "あ");
    }

    #[test]
    fn a_nul_at_the_end_is_left_out() {
        for (body, expected) in [
            (&b"<a/>\0"[..], "<a/>"),
            (b"<a/>\0\0\0", "<a/>"),
            (b"<a/>\r\n\0", "<a/>"),
            (b"<a/>\0 \n\0\t", "<a/>"),
            (b"<a/> \n", "<a/> \n"),
            (b"<a/>\0x", "<a/>\0x"),
            (b"\0<a/>", "\0<a/>"),
            (b"<a>\0</a>", "<a>\0</a>"),
            (b"<\xFC/>\0", "<\u{FFFD}/>"),
            (b"\0", ""),
            (b"", ""),
        ] {
            assert_eq!(decode(body, Some("utf-8")), expected, "{body:?}");
        }
        assert_eq!(decode(&utf16("<a/>\0", u16::to_le_bytes), None), "<a/>");
    }
}
