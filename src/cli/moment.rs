//! Times as people write them.

use jiff::{SignedDuration, Timestamp};

/// RFC 3339 such as `2027-01-31T12:00:00Z`; a date, at midnight in UTC; `now`; or a time ago, such as `7d`, in weeks, days,
/// hours, minutes or seconds.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    moment_at(text.trim(), Timestamp::now())
}

fn moment_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(now);
    }
    if let Some(ago) = duration(text) {
        return ago.and_then(|ago| now.checked_sub(ago).ok()).ok_or_else(|| format!("'{text}' is too long ago"));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    format!("{text}T00:00:00Z").parse().map_err(|_| {
        format!(
            "'{text}' is not a time: write 2027-01-31, 2027-01-31T12:00:00Z, or how long ago, such as 7d, 12h or 30m"
        )
    })
}

/// The inner value: `None` if it is too long for a number.
fn duration(text: &str) -> Option<Option<SignedDuration>> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        'w' => 7 * 24 * 3600,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(number.parse::<i64>().ok().and_then(|n| n.checked_mul(seconds)).map(SignedDuration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_date_or_how_long_ago() {
        let now: Timestamp = "2027-03-10T12:00:00Z".parse().expect("a time");
        for (text, expected) in [
            ("now", "2027-03-10T12:00:00Z"),
            ("7d", "2027-03-03T12:00:00Z"),
            ("2w", "2027-02-24T12:00:00Z"),
            ("36h", "2027-03-09T00:00:00Z"),
            ("90m", "2027-03-10T10:30:00Z"),
            ("1s", "2027-03-10T11:59:59Z"),
            ("0d", "2027-03-10T12:00:00Z"),
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("2027-01-31T01:02:03Z", "2027-01-31T01:02:03Z"),
            ("2027-01-31T01:02:03.004+02:00", "2027-01-30T23:02:03.004Z"),
        ] {
            let expected: Timestamp = expected.parse().expect("a time");
            assert_eq!(moment_at(text, now), Ok(expected), "{text}");
        }
        for text in [
            "",
            "d",
            "-7d",
            "7",
            "7y",
            "yesterday",
            "2027-02-30",
            "2027-01-31T01:02:03",
            "31.1.2027",
            "99999999999999999d",
            "é",
        ] {
            moment_at(text, now).expect_err(text);
        }
    }
}
