//! From the bytes of an HTTP body to text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Decodes an XML entity. A byte order mark decides, then the charset of the Content-Type, then the XML declaration
/// (RFC 7303 §3); UTF-8 without any of them. Bytes that are none of the encoding's become U+FFFD, as .NET reads them.
///
/// `None`: the charset is not one we know.
pub fn decode<'b>(body: &'b [u8], charset: Option<&str>) -> Option<Cow<'b, str>> {
    let encoding = match charset {
        Some(label) => Encoding::for_label(label.trim().as_bytes())?,
        None => declared(body)?,
    };
    // `decode` looks for a byte order mark first.
    Some(encoding.decode(body).0)
}

fn declared(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [0x3C, 0x00, ..] => return Some(UTF_16LE),
        [0x00, 0x3C, ..] => return Some(UTF_16BE),
        _ => {}
    }
    let label = body.strip_prefix(b"<?xml").and_then(declared_label);
    match label {
        None => Some(UTF_8),
        // The declaration could be read byte by byte, so it cannot be what it says.
        Some(label) => Encoding::for_label(label).map(Encoding::output_encoding),
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
            ("plain", b"<a/>".to_vec(), None, Some("<a/>")),
            ("mark", b"\xEF\xBB\xBF<a/>".to_vec(), None, Some("<a/>")),
            ("mark beats charset", b"\xEF\xBB\xBF<\xC3\xBC/>".to_vec(), Some("iso-8859-1"), Some("<ü/>")),
            ("charset", b"<\xFC/>".to_vec(), Some("ISO-8859-1"), Some("<ü/>")),
            (
                "charset beats declaration",
                b"<?xml encoding='iso-8859-1'?><\xC3\xBC/>".to_vec(),
                Some("utf-8"),
                Some("<?xml encoding='iso-8859-1'?><ü/>"),
            ),
            (
                "declaration",
                b"<?xml version=\"1.0\" encoding = \"iso-8859-1\"?><\xFC/>".to_vec(),
                None,
                Some("<?xml version=\"1.0\" encoding = \"iso-8859-1\"?><ü/>"),
            ),
            ("utf-16le, mark", utf16("\u{FEFF}<a/>", u16::to_le_bytes), Some("utf-16"), Some("<a/>")),
            ("utf-16be, mark", utf16("\u{FEFF}<a/>", u16::to_be_bytes), Some("utf-16"), Some("<a/>")),
            ("utf-16be, bare", utf16("<a/>", u16::to_be_bytes), None, Some("<a/>")),
            ("utf-16le, bare", utf16("<a/>", u16::to_le_bytes), None, Some("<a/>")),
            ("invalid utf-8", b"<\xFC/>".to_vec(), Some("utf-8"), Some("<\u{FFFD}/>")),
            (
                "declared utf-16 in bytes",
                b"<?xml encoding='utf-16'?><a/>".to_vec(),
                None,
                Some("<?xml encoding='utf-16'?><a/>"),
            ),
            ("unknown charset", b"<a/>".to_vec(), Some("klingon"), None),
            ("unknown declaration", b"<?xml encoding='klingon'?><a/>".to_vec(), None, None),
        ];
        for (case, body, charset, expected) in rows {
            assert_eq!(decode(&body, charset).as_deref(), expected, "{case}");
        }
    }
}
