//! Puts addresses into normal form. RFC 3986 §6.2.2 calls most of the spellings equivalent, and clients send them all: doubled
//! slashes, dot segments, escaped letters, letters in either case.
//!
//! An address is decoded once: an escaped slash stays part of its segment, an escaped percent sign stays escaped. No address
//! leads above the root.

use std::str::FromStr;
use std::sync::Arc;

use axum::http::Uri;

/// A path below which every surface is served too, such as `/SuperOffice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPrefix(String);

impl FromStr for PathPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_segment = |segment: &str| {
            !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte))
        };
        let segments = text.strip_prefix('/').filter(|rest| rest.split('/').all(is_segment));
        match segments {
            Some(_) => Ok(PathPrefix(text.to_owned())),
            None => Err(format!(
                "'{text}' must be a path such as /SuperOffice: a slash and a name, once or more, without a slash at its end; \
                 in names letters, digits, '-', '_' and '~'"
            )),
        }
    }
}

impl PathPrefix {
    /// Its first segment.
    pub fn first_segment(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }
}

/// The path of a request in normal form, except that letters keep their case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The configured prefix, if the address has it.
    prefix: Option<Arc<str>>,
    /// Below the prefix.
    path: Arc<str>,
    /// The same with the empty segments that the client sent.
    with_empty: Arc<str>,
    /// Whether dot segments were resolved.
    had_dots: bool,
}

impl Address {
    pub(crate) fn of(uri: &Uri, prefix: Option<&PathPrefix>) -> Address {
        let typed = uri.path();
        // `*` and the target of CONNECT are not paths.
        let mut address = if is_plain(typed) || !typed.starts_with('/') {
            let path = Arc::from(typed);
            Address { prefix: None, with_empty: Arc::clone(&path), path, had_dots: false }
        } else {
            normalized(typed)
        };
        if let Some(PathPrefix(prefix)) = prefix
            && let Some(below) = below(&address.path, prefix)
        {
            address.prefix = Some(Arc::from(&address.path[..address.path.len() - below.len()]));
            let with_empty = self::below(&address.with_empty, prefix).map(or_root);
            address.with_empty = with_empty.map_or_else(|| Arc::clone(&address.with_empty), Arc::from);
            address.path = Arc::from(or_root(below));
        }
        address
    }

    /// Below the prefix.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The prefix as the client spelled it; empty if the address is not below it.
    pub(crate) fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// All of it.
    pub(crate) fn whole(&self) -> String {
        format!("{}{}", self.prefix(), self.path)
    }

    /// The URI that routes are matched against; `None`: the client's own.
    pub(crate) fn routed(&self, uri: &Uri) -> Option<Uri> {
        let typed = uri.path();
        if *typed == *self.path && !typed.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        format!("{}{query}", self.path.to_ascii_lowercase()).parse().ok()
    }

    /// As [`Address::path`], with the empty segments that the client sent.
    pub(crate) fn path_with_empty(&self) -> &str {
        &self.with_empty
    }

    /// Whether the client sent dot segments, which were resolved.
    pub(crate) fn had_dots(&self) -> bool {
        self.had_dots
    }
}

/// The path after the prefix. The prefix is matched by segment, without regard to case and to empty segments.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let mut rest = path;
    for name in prefix.split('/').skip(1) {
        let segments = rest.trim_start_matches('/');
        let (segment, _) = segments.split_once('/').unwrap_or((segments, ""));
        if !segment.eq_ignore_ascii_case(name) {
            return None;
        }
        rest = &segments[segment.len()..];
    }
    Some(rest)
}

fn or_root(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// Whether the path is in normal form already, as it is in almost every request.
fn is_plain(path: &str) -> bool {
    let mut previous = 0;
    path.bytes().all(|byte| {
        let may_change = byte == b'%' || (previous == b'/' && matches!(byte, b'/' | b'.'));
        previous = byte;
        !may_change
    })
}

/// A path that may not be in normal form.
fn normalized(typed: &str) -> Address {
    let path = unescaped(typed);
    let mut segments: Vec<&str> = Vec::new();
    let mut had_dots = false;
    let mut typed = path.split('/').skip(1).peekable();
    while let Some(segment) = typed.next() {
        match segment {
            "." => {}
            // Programs disagree on `/x//../`: some drop the empty segment, others `x`. So such a path is not found.
            ".." if segments.last() == Some(&"") => {
                let path: Arc<str> = Arc::from(path);
                return Address { prefix: None, with_empty: Arc::clone(&path), path, had_dots: true };
            }
            ".." => drop(segments.pop()),
            name => {
                segments.push(name);
                continue;
            }
        }
        had_dots = true;
        if typed.peek().is_none() {
            segments.push("");
        }
    }
    let with_empty: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
    let mut path: String = segments.iter().filter(|name| !name.is_empty()).flat_map(|name| ["/", name]).collect();
    if path.is_empty() || with_empty.ends_with('/') {
        path.push('/');
    }
    Address { prefix: None, path: path.into(), with_empty: or_root(&with_empty).into(), had_dots }
}

/// Decodes escapes of unreserved characters, and writes the other escapes in upper case (RFC 3986 §6.2.2). An invalid
/// escape stays as it is.
fn unescaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out += before;
        let escape = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(digits) = escape else {
            out.push('%');
            rest = after;
            continue;
        };
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
            _ => out.extend(['%'].into_iter().chain(digits.chars().map(|digit| digit.to_ascii_uppercase()))),
        }
        rest = &after[2..];
    }
    out + rest
}

/// Decodes percent escapes as .NET does in URLs: `+` is a space, and an invalid escape stays as it is.
pub(crate) fn percent_decode(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
        let mut ahead = bytes.clone();
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(typed: &str, prefix: &str) -> Address {
        let prefix = (!prefix.is_empty()).then(|| prefix.parse().expect("a prefix"));
        Address::of(&typed.parse().expect("a URI"), prefix.as_ref())
    }

    #[test]
    fn equivalent_spellings_are_one_address() {
        for (typed, path) in [
            ("/", "/"),
            ("//", "/"),
            ("/WebApi/A.asmx", "/WebApi/A.asmx"),
            ("//WebApi///A.asmx", "/WebApi/A.asmx"),
            ("/%57eb%41pi/A%2Easmx", "/WebApi/A.asmx"),
            ("/a%2db%5Fc%7e", "/a-b_c~"),
            ("/./WebApi/./A.asmx", "/WebApi/A.asmx"),
            ("/%2e/WebApi/x/%2E%2e/A.asmx", "/WebApi/A.asmx"),
            ("/x/../WebApi/A.asmx", "/WebApi/A.asmx"),
            ("/../../WebApi/A.asmx", "/WebApi/A.asmx"),
            ("/WebApi/A.asmx/x/..", "/WebApi/A.asmx/"),
            ("/WebApi/A.asmx/.", "/WebApi/A.asmx/"),
            ("/WebApi/A.asmx//", "/WebApi/A.asmx/"),
            ("/..", "/"),
            ("/a/..", "/"),
            ("http://a.example//WebApi/./A.asmx", "/WebApi/A.asmx"),
            ("http://a.example", "/"),
            // Not equivalent: the escaped characters are data.
            ("/a%2fb", "/a%2Fb"),
            ("/a%2F..%2fb", "/a%2F..%2Fb"),
            ("/a%5c..%5cb", "/a%5C..%5Cb"),
            ("/%2541", "/%2541"),
            ("/%252e%252e/b", "/%252e%252e/b"),
            ("/%c0%ae%c0%ae/b", "/%C0%AE%C0%AE/b"),
            ("/a%00", "/a%00"),
            ("/%zz%4", "/%zz%4"),
            ("/.../.a/a.", "/.../.a/a."),
            ("/a//../b", "/a//../b"),
            ("//../b", "//../b"),
            ("*", "*"),
        ] {
            assert_eq!(address(typed, "").path(), path, "{typed}");
        }
    }

    #[test]
    fn a_path_in_normal_form_stays_as_it_is() {
        for typed in ["//a/./b/../%41%2f//c/", "/a%2F/b/", "/%zz/%25%32%46", "/..//x/./"] {
            let once = address(typed, "").whole();
            assert_eq!(address(&once, "").whole(), once, "{typed}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_at_the_end_of_a_segment() {
        for (typed, prefix, path) in [
            ("/SuperOffice/api/v1", "/SuperOffice", "/api/v1"),
            ("/superoffice/api/v1", "/superoffice", "/api/v1"),
            ("//Super%4Fffice//api/v1", "/SuperOffice", "/api/v1"),
            ("/x/../SuperOffice/api/v1", "/SuperOffice", "/api/v1"),
            ("/SuperOffice", "/SuperOffice", "/"),
            ("/SuperOffice/", "/SuperOffice", "/"),
            ("/SuperOffice2/api", "", "/SuperOffice2/api"),
            ("/SuperOffice/../api", "", "/api"),
            ("/api/SuperOffice", "", "/api/SuperOffice"),
            ("/api/v1", "", "/api/v1"),
        ] {
            let address = address(typed, "/SuperOffice");
            assert_eq!((address.prefix(), address.path()), (prefix, path), "{typed}");
        }
        assert_eq!(address("/A/b/c/healthz", "/a/B/c").path(), "/healthz");
        assert_eq!(address("/a/healthz", "/a/b").path(), "/a/healthz");
    }

    #[test]
    fn only_plain_paths_are_prefixes() {
        for good in ["/SuperOffice", "/a/b-c_d~1", "/apis", "/x/api"] {
            good.parse::<PathPrefix>().expect(good);
        }
        for bad in [
            "", "/", "a", "/a/", "//a", "/a//b", "/a?b", "/a#b", "/a.b", "/..", "/a/./b", "/a b", "/ä", "/%41", "/a\\b",
        ] {
            assert!(bad.parse::<PathPrefix>().expect_err(bad).contains("must be a path such as"), "{bad}");
        }
    }

    #[test]
    fn urls_are_decoded() {
        for (value, expected) in [
            ("a%2Fb", "a/b"),
            ("a%2fb", "a/b"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("a+b", "a b"),
            ("%", "%"),
            ("%2", "%2"),
        ] {
            assert_eq!(percent_decode(value), expected);
        }
    }
}
