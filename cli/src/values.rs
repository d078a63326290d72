//! The texts of the command line, parsed. Each error says what is wrong and what to write.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use thunder_api::Secret;
use thunder_protocol::{Amount, InvalidText, Memo, ParseAmountError, PaymentId};

/// The longest time that a command may be told to wait, in seconds: a day.
const MAX_SECONDS: f64 = 86_400.0;

/// A text that is not an amount of THD.
#[derive(Debug)]
pub(crate) struct BadAmount(ParseAmountError);

impl fmt::Display for BadAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            cause @ (ParseAmountError::Empty | ParseAmountError::Negative) => {
                write!(f, "{cause}; write THD like 10 or 0.25")
            }
            cause => cause.fmt(f),
        }
    }
}

impl std::error::Error for BadAmount {}

pub(crate) fn thd(text: &str) -> Result<Amount, BadAmount> {
    let amount = match text.starts_with('.') {
        true => format!("0{text}").parse(),
        false => text.parse(),
    };
    amount.map_err(BadAmount)
}

pub(crate) fn memo(text: &str) -> Result<Memo, InvalidText> {
    Memo::new(text)
}

pub(crate) fn payment_id(text: &str) -> Result<PaymentId, InvalidText> {
    PaymentId::new(text)
}

pub(crate) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

pub(crate) fn words(text: &str) -> Result<u8, &'static str> {
    match text {
        "12" => Ok(12),
        "24" => Ok(24),
        _ => Err("write 12 or 24"),
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<f64>() {
        // A millisecond is the finest step of the timer behind it.
        Ok(seconds) if (0.001..=MAX_SECONDS).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write seconds above 0, at most 86400 (a day)"),
    }
}

/// A point in time, in milliseconds since 1970: a date (UTC), a date and time (RFC 3339), a time span before now, or the
/// milliseconds themselves.
pub(crate) fn time(text: &str) -> Result<u64, &'static str> {
    let millis = if let Ok(millis) = text.parse::<i64>() {
        Some(millis)
    } else if let Ok(time) = text.parse::<Timestamp>() {
        Some(time.as_millisecond())
    } else if let Ok(date) = text.parse::<Date>() {
        date.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp().as_millisecond())
    } else {
        let ago = text.parse::<SignedDuration>().ok().filter(|span| !span.is_negative());
        ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok()).map(Timestamp::as_millisecond)
    };
    let written = "write a date like 2026-11-30, a time like 2026-11-30T08:00:00Z, or 36h for 36 hours ago";
    millis.and_then(|millis| u64::try_from(millis).ok()).ok_or(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_amount_says_what_to_write() {
        for text in ["", "-1", "abc", "1,5"] {
            let message = thd(text).unwrap_err().to_string();
            assert!(message.ends_with("write THD like 10 or 0.25"), "{text}: {message}");
        }
        assert!(thd("-1").unwrap_err().to_string().contains("the amount is negative"));
        assert!(thd("0.0000000000000000001").unwrap_err().to_string().contains("18 decimals"));
        assert_eq!(thd(".5").unwrap(), thd("0.5").unwrap());
        assert!(thd(".").is_err());
        assert_eq!(thd("0").unwrap(), Amount::ZERO, "refusing zero is thunderd's part");
    }

    #[test]
    fn times_are_dates_spans_or_milliseconds() {
        assert_eq!(time("2026-11-22").unwrap(), 1_795_305_600_000);
        assert_eq!(time("2026-11-22T18:25:03Z").unwrap(), 1_795_371_903_000);
        assert_eq!(time("1795371903000").unwrap(), 1_795_371_903_000);
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
        assert!((now - 7_300_000..=now - 7_200_000).contains(&time("2h").unwrap()));
        for text in ["", "yesterday", "-2h", "2026-13-01", "-5"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_are_positive_and_bounded() {
        assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
        for text in ["0", "-1", "nan", "inf", "1e300", "", "ten", "86401"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
