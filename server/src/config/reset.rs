//! Where a group begins that has never fetched (`share.auto.offset.reset`).

use std::time::Duration;

/// What a duration begins with.
const BY_DURATION: &str = "by_duration:";

/// Where a group begins that has never fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// At the first record that there is.
    Earliest,
    /// Behind the last one.
    Latest,
    /// At the first record that is not older than this.
    ByDuration(Duration),
}

impl Reset {
    /// What [`Reset::parse`] takes.
    pub(super) const EXPECTED: &str = "earliest, latest, or by_duration: with a duration as ISO 8601 writes it, such as by_duration:P1DT12H";

    /// As Kafka writes it.
    pub fn parse(text: &str) -> Option<Reset> {
        match text {
            "earliest" => Some(Reset::Earliest),
            "latest" => Some(Reset::Latest),
            text => duration(text.strip_prefix(BY_DURATION)?).map(Reset::ByDuration),
        }
    }
}

/// A duration in days, hours, minutes and seconds, as Java's `Duration.parse` reads it: in capital or small
/// letters, nothing of it negative here.
fn duration(text: &str) -> Option<Duration> {
    let rest = text.strip_prefix(['P', 'p'])?;
    let (days, times) = match rest.split_once(['T', 't']) {
        Some((_, "")) => return None,
        Some((days, times)) => (days, times),
        None => (rest, ""),
    };
    if days.is_empty() && times.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    for (mut rest, units) in [(days, &[('D', 86_400)][..]), (times, &[('H', 3600), ('M', 60), ('S', 1)])] {
        let mut units = units.iter();
        while !rest.is_empty() {
            let end = rest.find(|letter: char| letter.is_ascii_alphabetic())?;
            let letter = rest[end..].chars().next()?.to_ascii_uppercase();
            // Each unit once, the longest first.
            let (_, seconds) = units.find(|(unit, _)| *unit == letter)?;
            total = total.checked_add(amount(&rest[..end], *seconds)?)?;
            rest = &rest[end + 1..];
        }
    }
    Some(total)
}

/// So many times so many seconds; of seconds there may be nanoseconds.
fn amount(number: &str, seconds: u64) -> Option<Duration> {
    let (whole, fraction) = match number.split_once(['.', ',']) {
        Some((whole, fraction)) if seconds == 1 && fraction.len() <= 9 => (whole, fraction),
        Some(_) => return None,
        None => (number, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(whole.parse::<u64>().ok()?.checked_mul(seconds)?, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_java_does() {
        for (text, milliseconds) in [
            ("PT0S", 0),
            ("P1D", 86_400_000),
            ("p1dt12h", 129_600_000),
            ("PT1H2M3.5S", 3_723_500),
            ("P0DT1M0,25S", 60_250),
            ("PT90M", 5_400_000),
        ] {
            let expected = Reset::ByDuration(Duration::from_millis(milliseconds));
            assert_eq!(Reset::parse(&format!("by_duration:{text}")), Some(expected), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "1D",
            "P1DT",
            "P1H",
            "PT1D",
            "PT1S1H",
            "PT1S1S",
            "P-1D",
            "PT-1S",
            "PT1.5H",
            "PTS",
            "PT1.0000000001S",
            "P1D ",
            "PT99999999999999999999S",
            "P999999999999999999D",
            "PT1\u{e9}S",
            "Pé",
        ] {
            assert_eq!(Reset::parse(&format!("by_duration:{text}")), None, "{text}");
        }
        assert_eq!(Reset::parse("earliest"), Some(Reset::Earliest));
        assert_eq!(["Latest", "none", "by_duration"].map(Reset::parse), [None; 3]);
    }
}
