//! Where consuming starts, as it is written on the command line.

use std::str::FromStr;
use strandline_client::Moment;
use strandline_engine::types::Timestamp;

/// `beginning`, `end`, an offset, or a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The oldest record there is.
    Beginning,
    /// Only what comes from now on.
    End,
    /// This offset.
    Offset(i64),
    /// The first record at or after this time, in milliseconds since 1970.
    Time(Timestamp),
}

impl Start {
    /// What it is without regard to a partition, unless it is an offset.
    pub(super) fn moment(self) -> Option<Moment> {
        match self {
            Start::Beginning => Some(Moment::Earliest),
            Start::End => Some(Moment::Latest),
            Start::Time(timestamp) => Some(Moment::At(timestamp)),
            Start::Offset(_) => None,
        }
    }
}

/// Why a text is no start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected beginning, end, an offset (12), a time (2026-03-01T12:00:00Z), or milliseconds since 1970 (@1772366400000)"
)]
pub(super) struct StartError;

impl FromStr for Start {
    type Err = StartError;

    fn from_str(text: &str) -> Result<Start, StartError> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        match text {
            "beginning" => Ok(Start::Beginning),
            "end" => Ok(Start::End),
            _ => match text.strip_prefix('@') {
                Some(milliseconds) if digits(milliseconds) => {
                    let milliseconds = milliseconds.parse().map_err(|_| StartError)?;
                    Ok(Start::Time(Timestamp(milliseconds)))
                }
                Some(_) => Err(StartError),
                None if digits(text) => text.parse().map(Start::Offset).map_err(|_| StartError),
                None => rfc3339(text).map(Start::Time).ok_or(StartError),
            },
        }
    }
}

/// Milliseconds since 1970 of `2026-03-01T12:00:00.25+01:00`; RFC 3339, section 5.6. Years before 1970 have
/// none here, since Kafka gives negative timestamps other meanings. A fraction is cut to milliseconds.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = bytes.get(range)?;
        digits
            .iter()
            .try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| 10 * sum + i64::from(digit - b'0')))
    };
    let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|byte| any.contains(byte));
    let shape = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);

    let mut at = 19;
    let mut milliseconds = 0;
    if is(at, b".") {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        for place in 0..3 {
            let digit = if place < digits { i64::from(bytes[at + 1 + place] - b'0') } else { 0 };
            milliseconds = 10 * milliseconds + digit;
        }
        at += 1 + digits;
        if digits == 0 {
            return None;
        }
    }
    let offset_minutes = match bytes.get(at)? {
        b'Z' | b'z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && is(at + 3, b":") => {
            let (hours, minutes) = (number(at + 1..at + 3)?, number(at + 4..at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (60 * hours + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    // A leap second is the first second of the next minute, as it is everywhere in Unix time.
    let valid =
        shape && (1..=days_in(year, month)?).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    let time = (minutes * 60 + second) * 1000 + milliseconds;
    (valid && time >= 0).then_some(Timestamp(time))
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days in the proleptic Gregorian calendar, counted in years that start in March, so that leap days come
/// last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 3 { year - 1 } else { year };
    let month = (month + 9) % 12;
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_an_offset_or_a_time() {
        for (text, start) in [
            ("beginning", Start::Beginning),
            ("end", Start::End),
            ("0", Start::Offset(0)),
            ("9223372036854775807", Start::Offset(i64::MAX)),
            ("@0", Start::Time(Timestamp(0))),
            ("@1772366400000", Start::Time(Timestamp(1_772_366_400_000))),
            ("1970-01-01T00:00:00Z", Start::Time(Timestamp(0))),
            ("2026-03-01T12:00:00Z", Start::Time(Timestamp(1_772_366_400_000))),
            ("2026-03-01 13:30:00.2567+01:30", Start::Time(Timestamp(1_772_366_400_256))),
            ("2026-03-01t04:00:00.5-08:00", Start::Time(Timestamp(1_772_366_400_500))),
            ("2000-02-29T23:59:60z", Start::Time(Timestamp(951_868_800_000))),
            ("2024-12-31T23:59:59Z", Start::Time(Timestamp(1_735_689_599_000))),
        ] {
            assert_eq!(text.parse(), Ok(start), "{text}");
        }
    }

    #[test]
    fn what_is_no_start_is_refused() {
        for text in [
            "",
            "-1",
            "+1",
            "@",
            "@-1",
            "1.5",
            "9223372036854775808",
            "start",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00:00Zx",
            "2026-03-01T12:00:00+0100",
            "2026-03-01T24:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-04-31T12:00:00Z",
            "2026-00-01T12:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-03-01T12:00:00+24:00",
            "2026-03-0\u{661}T12:00:00Z",
        ] {
            assert_eq!(text.parse::<Start>(), Err(StartError), "{text}");
        }
    }
}
