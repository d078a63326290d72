//! Any text into the parser of THD, beside a second one that works on digits.

use thunder_protocol::{Amount, codec};

/// Both parsers agree, and what is parsed comes back from text and from bytes.
pub fn amount(bytes: &[u8]) {
    if let Ok(decoded) = codec::decode::<Amount>(bytes) {
        let encoded = codec::encode(&decoded).expect("small");
        assert_eq!(codec::decode::<Amount>(&encoded).expect("an own encoding"), decoded);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed = text.parse::<Amount>().ok();
    assert_eq!(parsed.map(|amount| amount.base_units().to_string()), digits(text), "{text:?}");
    let Some(amount) = parsed else { return };
    let shown = amount.to_string();
    assert_eq!(shown.parse::<Amount>(), Ok(amount), "{text:?} shown as {shown:?}");
    assert!(!shown.contains('.') || !shown.ends_with('0'), "{shown:?} is not the shortest form");
    let encoded = codec::encode(&amount).expect("small");
    assert!(encoded.len() <= 12);
    assert_eq!(codec::decode::<Amount>(&encoded).expect("an own encoding"), amount);
}

/// Base units as decimal digits, worked out without any arithmetic.
fn digits(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 18 {
        return None;
    }
    let all = format!("{whole}{fraction:0<18}");
    let units = all.trim_start_matches('0');
    let units = if units.is_empty() { "0" } else { units };
    let most = Amount::MAX.base_units().to_string();
    // Of two numbers without leading zeros the longer is greater; of equal length, text order is it.
    ((units.len(), units) <= (most.len(), most.as_str())).then(|| units.to_owned())
}
