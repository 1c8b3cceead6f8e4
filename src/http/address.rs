//! One address, however it is spelled. RFC 3986 §6.2.2 calls most of the spellings equivalent, and clients send them all:
//! doubled slashes, dot segments, escaped letters, letters in either case.
//!
//! Decoded once: an escaped slash stays data of its segment, an escaped percent sign stays escaped. Nothing climbs above
//! the root.

use std::str::FromStr;
use std::sync::Arc;

use axum::http::{Method, Uri};

use super::percent_decode;
use crate::contract::netserver::web::{BASE, RESOURCE};

/// A path below which every surface is served too, such as `/SuperOffice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPrefix(String);

/// First segments of the surfaces' own paths.
const SURFACES: [&str; 5] = ["webapi", "remote", "api", "healthz", "readyz"];

impl FromStr for PathPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_segment = |segment: &str| {
            !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte))
        };
        let segments = text.strip_prefix('/').filter(|rest| rest.split('/').all(is_segment));
        let first = segments.and_then(|rest| rest.split('/').next()).ok_or_else(|| {
            format!(
                "'{text}' must be a path such as /SuperOffice: a slash and a name, once or more, without a slash at its end; \
                 in names letters, digits, '-', '_' and '~'"
            )
        })?;
        if SURFACES.iter().any(|surface| first.eq_ignore_ascii_case(surface)) {
            return Err(format!("'{text}' begins as addresses of the service do: choose another name than '{first}'"));
        }
        Ok(PathPrefix(text.to_owned()))
    }
}

/// The path of a request in normal form, except that letters keep their case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The configured prefix, if the address is below it.
    prefix: Option<Arc<str>>,
    /// Below the prefix.
    path: Arc<str>,
    /// The same with the empty segments that the client sent.
    with_empty: Arc<str>,
    /// Whether dot segments were resolved.
    had_dots: bool,
}

impl Address {
    pub(super) fn of(uri: &Uri, prefix: Option<&PathPrefix>) -> Address {
        let typed = uri.path();
        // `*` and the target of CONNECT are no paths.
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
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The prefix as the client spelled it; empty if the address is not below it.
    pub(super) fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// All of it.
    pub(super) fn whole(&self) -> String {
        format!("{}{}", self.prefix(), self.path)
    }

    /// The URI that routes are matched against; `None`: the client's own.
    pub(super) fn routed(&self, uri: &Uri) -> Option<Uri> {
        let typed = uri.path();
        if *typed == *self.path && !typed.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        format!("{}{query}", self.path.to_ascii_lowercase()).parse().ok()
    }

    /// The segments of the path below `/api`, decoded. A slash at the end adds none.
    ///
    /// Among the arguments of the resource an empty segment stays: without it the path would name another resource, and a
    /// call with a forgotten argument would do more than was meant. For the same reason a `DELETE` with dot segments finds
    /// nothing.
    pub(super) fn segments(&self, method: &Method) -> Vec<String> {
        if self.had_dots && *method == Method::DELETE {
            return vec![".".to_owned()];
        }
        let path = self.with_empty.strip_suffix('/').unwrap_or(&self.with_empty);
        let resource = BASE.split('/').filter(|segment| !segment.is_empty()).count();
        let mut segments: Vec<String> = Vec::new();
        // In a path a plus sign is no space.
        for segment in path.split('/').skip(1).map(|segment| percent_decode(&segment.replace('+', "%2B"))) {
            let is_argument = segments.get(resource).is_some_and(|name| name.eq_ignore_ascii_case(RESOURCE));
            if is_argument || !segment.is_empty() {
                segments.push(segment);
            }
        }
        segments.split_off(segments.len().min(1))
    }
}

/// What follows the prefix, matched segment by segment, without regard to case and to empty segments.
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

/// Whether the path is in normal form already, as that of almost every request is.
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
            // Programs differ on `/x//../`: some drop the empty segment, others `x`. Such a path is not served.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::asmx::PATH as ASMX_PATH;
    use crate::contract::netserver::Endpoint;

    fn address(typed: &str, prefix: &str) -> Address {
        let prefix = (!prefix.is_empty()).then(|| prefix.parse().expect("a prefix"));
        Address::of(&typed.parse().expect("a URI"), prefix.as_ref())
    }

    #[test]
    fn a_prefix_cannot_begin_as_the_addresses_of_a_surface_do() {
        let services = Endpoint::all().map(Endpoint::path);
        for path in [ASMX_PATH, BASE, "/healthz", "/readyz"].map(str::to_owned).into_iter().chain(services) {
            let first = path.split('/').nth(1).expect("a segment");
            format!("/{first}/x").parse::<PathPrefix>().expect_err(&path);
        }
        assert_eq!("/SuperOffice/x".parse::<PathPrefix>(), Ok(PathPrefix("/SuperOffice/x".to_owned())));
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
            // Not equivalent: what these hide is data.
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
        for bad in ["/api", "/Remote/x", "/WEBAPI", "/healthz"] {
            assert!(bad.parse::<PathPrefix>().expect_err(bad).contains("choose another name"), "{bad}");
        }
    }

    #[test]
    fn segments_of_the_web_api_keep_their_meaning() {
        for (typed, segments) in [
            ("/api", &[][..]),
            ("//api//", &[]),
            ("/api//v1/", &["v1"]),
            ("/api/v1//License", &["v1", "License"]),
            ("/api/v1/License/", &["v1", "License"]),
            ("/api/v1/License//", &["v1", "License", ""]),
            ("/api/v1/License//7", &["v1", "License", "", "7"]),
            ("/api/v1/%4cicense/A//7", &["v1", "License", "A", "", "7"]),
            ("//SuperOffice//api//v1/license//7", &["v1", "license", "", "7"]),
            ("/api/v1/Agents//License//GetShopUrl", &["v1", "Agents", "License", "GetShopUrl"]),
            ("/api/v1/License/a%2Fb/c%2541+d", &["v1", "License", "a/b", "c%41+d"]),
            ("/api/v1/License/%2e%2e/x", &["v1", "x"]),
            ("/api/v1/License/a/./7", &["v1", "License", "a", "7"]),
        ] {
            assert_eq!(address(typed, "/SuperOffice").segments(&Method::GET), segments, "{typed}");
        }
        let climbing = address("/api/v1/License/CONTOSO/7/..", "");
        assert_eq!(climbing.segments(&Method::GET), ["v1", "License", "CONTOSO"]);
        assert_eq!(climbing.segments(&Method::DELETE), ["."]);
    }
}
