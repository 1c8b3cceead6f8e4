//! Use over time as an inline SVG: seats in use as steps, and the seats there were as a line above. Everything is drawn by attributes and
//! classes, because the pages allow no inline style. The table beneath it says the same in numbers.

use std::fmt::Write as _;

use maud::{Markup, html};

/// The numbers of a pool from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) in_use: i64,
    pub(super) total: i64,
}

const WIDTH: i64 = 720;
const HEIGHT: i64 = 200;
/// Left of and below the picture, for its scales.
const LEFT: i64 = 60;
const BELOW: i64 = 26;
const TOP: i64 = 10;

/// The labels of the picture.
pub(super) struct Labels<'a> {
    /// A description for screen readers.
    pub(super) title: &'a str,
    pub(super) in_use: &'a str,
    pub(super) total: &'a str,
    /// The first and the last moment.
    pub(super) from: &'a str,
    pub(super) until: &'a str,
}

/// `points`: in the order of time. `until`: the right edge, in seconds since 1970.
pub(super) fn steps(points: &[Point], until: i64, labels: &Labels<'_>) -> Markup {
    let Some(first) = points.first() else { return html! {} };
    let (from, until) = (first.at, until.max(first.at + 1));
    let most = points.iter().map(|point| point.total.max(point.in_use)).max().unwrap_or_default().max(1);
    let x = |at: i64| LEFT + scaled(at.clamp(from, until) - from, until - from, WIDTH);
    let y = |seats: i64| TOP + HEIGHT - scaled(seats.clamp(0, most), most, HEIGHT);
    let path = |value: fn(&Point) -> i64| {
        let mut d = String::new();
        for point in points {
            let command = if d.is_empty() { "M" } else { "H" };
            let _ = match command {
                "M" => write!(d, "M{} {}", x(point.at), y(value(point))),
                _ => write!(d, "H{}V{}", x(point.at), y(value(point))),
            };
        }
        let _ = write!(d, "H{}", x(until));
        d
    };
    let in_use = path(|point| point.in_use);
    let (bottom, right) = (TOP + HEIGHT, LEFT + WIDTH);
    html! {
        svg.chart role="img" aria-label=(labels.title) viewBox={ "0 0 " (right + 10) " " (bottom + BELOW) } {
            title { (labels.title) }
            path.area d={ (in_use) "V" (bottom) "H" (LEFT) "Z" } {}
            path.used d=(in_use) {}
            path.total d=(path(|point| point.total)) {}
            path.axis d={ "M" (LEFT) " " (TOP) "V" (bottom) "H" (right) } {}
            text x=(LEFT - 6) y=(TOP + 8) text-anchor="end" { (most) }
            text x=(LEFT - 6) y=(bottom) text-anchor="end" { "0" }
            text x=(LEFT) y=(bottom + 18) { (labels.from) }
            text x=(right) y=(bottom + 18) text-anchor="end" { (labels.until) }
        }
        p.legend {
            span.used { (labels.in_use) } " " span.total { (labels.total) }
        }
    }
}

fn scaled(value: i64, of: i64, onto: i64) -> i64 {
    (i128::from(value) * i128::from(onto) / i128::from(of.max(1))) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(points: &[Point], until: i64) -> String {
        let labels = Labels { title: "t", in_use: "u", total: "n", from: "f", until: "l" };
        steps(points, until, &labels).into_string()
    }

    #[test]
    fn use_is_drawn_as_steps() {
        let point = |at, in_use, total| Point { at, in_use, total };
        let svg = drawn(&[point(0, 0, 10), point(50, 5, 10), point(100, 10, 10)], 100);
        assert!(svg.contains("class=\"used\" d=\"M60 210H420V110H780V10H780\""), "{svg}");
        assert!(svg.contains("class=\"total\" d=\"M60 10H420V10H780V10H780\""), "{svg}");
    }

    #[test]
    fn any_numbers_can_be_drawn() {
        let point = |at, in_use, total| Point { at, in_use, total };
        assert_eq!(drawn(&[], 0), "");
        for points in [
            vec![point(5, 0, 0)],
            vec![point(i64::MIN / 4, -5, 10_000_000), point(i64::MAX / 4, i64::MAX, 0)],
            vec![point(10, 1, 1), point(5, 1, 1)],
        ] {
            assert!(drawn(&points, 0).contains("</svg>"));
        }
    }
}
