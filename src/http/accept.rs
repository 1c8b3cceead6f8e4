//! The header Accept: which of the media types that there are a client prefers (RFC 9110 §12.5.1).

use axum::http::{HeaderMap, header};

/// The place, in `offered`, of the media type that the client prefers; `None`: it names none of them. Of equals the one that the client
/// names exactly comes first, then the one that it names earlier, then the one that is offered earlier.
pub fn preferred(headers: &HeaderMap, offered: &[&str]) -> Option<usize> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<Range> = values.flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    let mut best = None;
    for (index, media_type) in offered.iter().enumerate() {
        let Some(wish) = wish(&ranges, media_type) else { continue };
        if wish.quality > 0 && best.is_none_or(|(_, known): (usize, Wish)| wish > known) {
            best = Some((index, wish));
        }
    }
    best.map(|(index, _)| index)
}

/// The greater is preferred: by quality, then a named type over one that a star includes, then the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    /// In thousandths.
    quality: u16,
    precision: u8,
    before: std::cmp::Reverse<usize>,
}

/// The quality of a type. If several ranges include it, the most precise one counts.
fn wish(ranges: &[Range], media_type: &str) -> Option<Wish> {
    let fitting = ranges.iter().enumerate().filter_map(|(index, range)| {
        let precision = range.precision(media_type)?;
        Some(Wish { quality: range.quality, precision, before: std::cmp::Reverse(index) })
    });
    fitting.max_by_key(|wish| (wish.precision, wish.before))
}

struct Range {
    media_type: String,
    quality: u16,
}

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let mut parts = text.split(';');
        let media_type = parts.next()?.trim().to_ascii_lowercase();
        let mut quality = 1000;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            if name.trim().eq_ignore_ascii_case("q") {
                // A value that is not a number is ignored.
                let number = value.trim().parse::<f32>().ok().filter(|q| !q.is_nan());
                quality = number.map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16);
            }
        }
        media_type.contains('/').then_some(Range { media_type, quality })
    }

    fn precision(&self, media_type: &str) -> Option<u8> {
        let (kind, _) = media_type.split_once('/')?;
        match self.media_type.as_str() {
            "*/*" => Some(0),
            range if range.strip_suffix("/*") == Some(kind) => Some(1),
            range => (range == media_type).then_some(2),
        }
    }
}
