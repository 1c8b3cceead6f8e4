//! Reads the headers in which a proxy describes its client. Only trusted proxies count.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::HeaderMap;

use super::dispatch::is_host;

/// Addresses and networks of trusted proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// The values from the nearest trusted proxy; `None`: it sent none, or two that differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// The nearest address that is not a trusted proxy.
    pub(super) client: Option<IpAddr>,
    /// `http` or `https`.
    pub(super) scheme: Option<String>,
    pub(super) host: Option<String>,
}

impl TrustedProxies {
    /// Reads `Forwarded` (RFC 7239) and the `X-Forwarded-*` headers, if `peer` is a trusted proxy.
    ///
    /// Most proxies set one kind and pass the other kind on as the client sent it. It is not known which kind is the proxy's, so where
    /// the two differ neither counts: else a client could choose its address, and every limit per client with it.
    pub(super) fn read(&self, peer: IpAddr, headers: &HeaderMap) -> Forwarded {
        if !self.contains(peer) {
            return Forwarded::default();
        }
        let common = self.nearest([
            list(headers, "x-forwarded-for"),
            list(headers, "x-forwarded-proto"),
            list(headers, "x-forwarded-host"),
        ]);
        let hops = list(headers, "forwarded");
        if hops.is_empty() {
            return common;
        }
        let all = |name: &str| hops.iter().filter_map(|hop| parameter(hop, name)).collect();
        let standard = self.nearest([all("for"), all("proto"), all("host")]);
        Forwarded {
            client: agreed(standard.client, common.client),
            scheme: agreed(standard.scheme, common.scheme),
            host: agreed(standard.host, common.host),
        }
    }

    fn nearest(&self, [clients, schemes, hosts]: [Vec<String>; 3]) -> Forwarded {
        // The nearest proxy added the last entries; earlier entries came with the request.
        let client = clients.iter().rev().map_while(|c| address(c)).find(|c| !self.contains(*c));
        let scheme = schemes.last().map(|s| s.to_ascii_lowercase()).filter(|s| s == "http" || s == "https");
        let is_usable = |host: &&String| !host.is_empty() && is_host(host.as_bytes());
        let host = hosts.last().filter(is_usable).cloned();
        Forwarded { client, scheme, host }
    }

    /// Whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the address is that of a trusted proxy.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// What both say, or the one that says something.
fn agreed<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => (one == other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// Headers that proxies, load balancers and content delivery networks add to a forwarded request, besides `X-Forwarded-…`.
const SIGNS: [&str; 48] = [
    "akamai-origin-hop",
    "cdn-loop",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "cf-ray",
    "cf-visitor",
    "client-ip",
    "do-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "fly-forwarded-port",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "incap-client-ip",
    "proxy-client-ip",
    "true-client-ip",
    "via",
    "wl-proxy-client-ip",
    "x-amzn-trace-id",
    "x-appengine-user-ip",
    "x-arr-log-id",
    "x-arr-ssl",
    "x-azure-clientip",
    "x-azure-fdid",
    "x-azure-ref",
    "x-azure-socketip",
    "x-client-ip",
    "x-cloud-trace-context",
    "x-cluster-client-ip",
    "x-coming-from",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-forwarded",
    "x-host",
    "x-nf-client-connection-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-url",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-scheme",
    "x-sucuri-clientip",
    "x-varnish",
];

/// Whether any header shows that a proxy forwarded the request.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("x-forwarded-") || SIGNS.contains(&name.as_str()))
}

impl Network {
    fn contains(self, other: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| {
            let ignored = bits - u32::from(self.prefix_bits);
            a.checked_shr(ignored).unwrap_or(0) == b.checked_shr(ignored).unwrap_or(0)
        };
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// Comma-separated addresses and networks, such as `127.0.0.1, 10.0.0.0/8`.
impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = |entry: &str| {
            let (address, bits) = entry.split_once('/').map_or((entry, None), |(a, b)| (a, Some(b)));
            let address: IpAddr = address.parse().map_err(|_| format!("'{entry}' is not an address or network"))?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let prefix_bits = bits.map_or(Ok(most), str::parse).ok().filter(|bits| *bits <= most);
            let prefix_bits: u8 = prefix_bits.ok_or(format!("'{entry}' has a bad prefix"))?;
            Ok(match address.to_canonical() {
                // The peer is an IPv4 address then too.
                v4 @ IpAddr::V4(_) if address.is_ipv6() && prefix_bits >= 96 => {
                    Network { address: v4, prefix_bits: prefix_bits - 96 }
                }
                _ => Network { address, prefix_bits },
            })
        };
        text.split(',')
            .map(str::trim)
            .filter(|e| !e.is_empty())
            .map(network)
            .collect::<Result<_, _>>()
            .map(TrustedProxies)
    }
}

/// The entries of a header that may be sent as one list or as several headers.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let mut entries = Vec::new();
    for value in headers.get_all(name) {
        // A client may send any bytes. What the proxy appended to them counts all the same.
        let text = String::from_utf8_lossy(value.as_bytes());
        entries.extend(text.split(',').map(|entry| entry.trim().to_owned()));
    }
    entries
}

/// One parameter of an element of `Forwarded`.
fn parameter(hop: &str, name: &str) -> Option<String> {
    let pairs = hop.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.map(|(n, v)| (n.trim(), v.trim())).find(|(n, _)| n.eq_ignore_ascii_case(name))?;
    Some(value.trim_matches('"').to_owned())
}

/// An address with or without brackets and port. An IPv4 address may be written as an IPv6 one.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.split_once(']')).map(|(address, _)| address);
    let candidate = bare.unwrap_or(text);
    let parsed: Option<IpAddr> = candidate.parse().ok().or_else(|| candidate.split_once(':')?.0.parse().ok());
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(trusted: &str, peer: &str, lines: &[(&'static str, &str)]) -> (String, String, String) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header"));
        }
        let trusted: TrustedProxies = trusted.parse().expect("proxies");
        let said = trusted.read(peer.parse().expect("an address"), &headers);
        let text = |o: Option<String>| o.unwrap_or_else(|| "-".to_owned());
        (text(said.client.map(|c| c.to_string())), text(said.scheme), text(said.host))
    }

    fn said(client: &str, scheme: &str, host: &str) -> (String, String, String) {
        (client.to_owned(), scheme.to_owned(), host.to_owned())
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_in_their_own_words() {
        let x = [
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "licenses.example"),
        ];
        assert_eq!(read("", "10.0.0.1", &x), said("-", "-", "-"));
        assert_eq!(read("10.0.0.0/8", "11.0.0.1", &x), said("-", "-", "-"));
        assert_eq!(read("10.0.0.0/8", "10.0.0.1", &x), said("192.0.2.7", "https", "licenses.example"));
        assert_eq!(read("10.0.0.1, 192.0.2.0/24", "10.0.0.1", &x), said("6.6.6.6", "https", "licenses.example"));
        assert_eq!(read("::1", "::1", &[("x-forwarded-for", "evil, 2001:db8::1")]), said("2001:db8::1", "-", "-"));
        assert_eq!(read("::1", "::1", &[("x-forwarded-for", "1.2.3.4, evil")]), said("-", "-", "-"));
        assert_eq!(
            read("::1", "::1", &[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a/b")]),
            said("-", "-", "-")
        );
        let forwarded = [
            ("forwarded", "for=6.6.6.6"),
            ("forwarded", "for=\"[2001:db8::7]:4711\";proto=HTTPS;host=\"a.example:8443\""),
        ];
        assert_eq!(read("0.0.0.0/0", "127.0.0.1", &forwarded), said("2001:db8::7", "https", "a.example:8443"));
        assert_eq!(
            read("127.0.0.1", "127.0.0.1", &[("x-forwarded-for", "192.0.2.1:5000")]),
            said("192.0.2.1", "-", "-")
        );
    }

    /// Else a client could count as the proxy, and be limited and banned in its place.
    #[test]
    fn bytes_of_a_client_do_not_hide_what_the_proxy_appends() {
        for (name, value) in [
            ("x-forwarded-for", b"\xe9, 192.0.2.7".as_slice()),
            ("x-forwarded-for", b"\xff\xfe,\t192.0.2.7"),
            ("forwarded", b"for=\xff, for=192.0.2.7"),
        ] {
            let headers = HeaderMap::from_iter([(
                axum::http::HeaderName::from_static(name),
                HeaderValue::from_bytes(value).expect("a header"),
            )]);
            let trusted: TrustedProxies = "10.0.0.1".parse().expect("proxies");
            let client = trusted.read("10.0.0.1".parse().expect("an address"), &headers).client;
            assert_eq!(client, "192.0.2.7".parse().ok(), "{value:?}");
        }
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_the_form_of_ipv6() {
        let of = |trusted, text| read(trusted, "10.0.0.1", &[("x-forwarded-for", text)]).0;
        assert_eq!(of("10.0.0.1", "::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("10.0.0.1", "[::ffff:192.0.2.7]:4711"), "192.0.2.7");
        assert_eq!(of("10.0.0.0/8", "6.6.6.6, ::ffff:10.1.2.3"), "6.6.6.6");
        assert_eq!(of("::ffff:10.0.0.1", "192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:10.0.0.0/104", "6.6.6.6, 10.1.2.3"), "6.6.6.6");
    }

    /// As of the Host header: it is part of the addresses in a WSDL.
    #[test]
    fn a_host_that_is_none_does_not_count() {
        let of = |host: &str| read("10.0.0.1", "10.0.0.1", &[("x-forwarded-host", host)]).2;
        assert_eq!(of("a.example:8443"), "a.example:8443");
        assert_eq!(of("[2001:db8::7]:8443"), "[2001:db8::7]:8443");
        for bad in ["", "\"><script>", "a.example:99999", "a\tb", "a/b", "user@a.example", &"a".repeat(5000)] {
            assert_eq!(of(bad), "-", "{bad}");
        }
    }

    /// A proxy that sets `X-Forwarded-*` may pass on a `Forwarded` of the client, and the other way round.
    #[test]
    fn where_the_two_kinds_differ_neither_counts() {
        let common =
            |address| [("x-forwarded-for", address), ("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example")];
        let both = |forwarded, address| {
            let [client, scheme, host] = common(address);
            read("10.0.0.1", "10.0.0.1", &[client, scheme, host, ("forwarded", forwarded)])
        };
        assert_eq!(
            both("for=192.0.2.7;proto=https;host=a.example", "192.0.2.7"),
            said("192.0.2.7", "https", "a.example")
        );
        assert_eq!(both("for=6.6.6.6;proto=http;host=evil.example", "192.0.2.7"), said("-", "-", "-"));
        assert_eq!(both("for=192.0.2.7, for=6.6.6.6", "192.0.2.7"), said("-", "https", "a.example"));
        assert_eq!(both("by=_x", "192.0.2.7"), said("192.0.2.7", "https", "a.example"));
        assert_eq!(both("host=evil.example", "192.0.2.7"), said("192.0.2.7", "https", "-"));
    }

    #[test]
    fn bad_lists_are_named() {
        for bad in ["somewhere", "10.0.0.0/33", "10.0.0.0/x", "::/129"] {
            assert!(bad.parse::<TrustedProxies>().expect_err(bad).contains(bad));
        }
    }
}
