//! Any text that a user may type into the parsers of THD, of Ethereum addresses and of peers' addresses.

use std::str::FromStr;

use thunder_protocol::{Address, Amount, codec, hex};

use super::PeerAddress;

/// Each parser gets every input.
pub fn user_text(bytes: &[u8]) {
    amount(bytes);
    address(bytes);
    peer_address(bytes);
}

/// The parser and a second one, which works on digits, agree; and what is parsed comes back from text and from bytes.
fn amount(bytes: &[u8]) {
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

/// Parsing, showing, the checksum (EIP-55, written out a second time) and the wire form agree.
fn address(bytes: &[u8]) {
    if let Ok(decoded) = codec::decode::<Address>(bytes) {
        let encoded = codec::encode(&decoded).expect("small");
        assert_eq!(codec::decode::<Address>(&encoded).expect("an own encoding"), decoded);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed = Address::from_str(text).ok();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let is_address = digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let expected = is_address.then(|| hex::decode(digits).expect("digits"));
    assert_eq!(parsed.map(|address| address.to_vec()), expected, "{text:?}");
    let checked = Address::parse_checksummed(text, None).ok();
    let Some(address) = parsed else {
        assert_eq!(checked, None, "{text:?}");
        return;
    };
    let shown = eip_55(&address);
    assert_eq!(address.to_checksum(None), shown);
    assert_eq!(address.to_string(), shown, "addresses are shown with their checksum");
    assert_eq!(checked.is_some(), text == shown, "{text:?}");
    assert_eq!(Address::from_str(&shown), Ok(address));
}

/// A hex digit is a capital if the digit of the hash of the lower-case text at its place is 8 or more.
fn eip_55(address: &Address) -> String {
    let lower = hex::encode(address);
    let hash = hex::encode(alloy_primitives::keccak256(lower.as_bytes()));
    let cased = lower
        .chars()
        .zip(hash.chars())
        .map(|(digit, hash)| if hash >= '8' { digit.to_ascii_uppercase() } else { digit });
    format!("0x{}", cased.collect::<String>())
}

/// Nothing panics, and what is parsed is parsed the same when it is shown.
fn peer_address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(parsed) = text.parse::<PeerAddress>() else { return };
    let shown = match &parsed {
        PeerAddress::Host { host, port } => {
            assert!(*port > 0 && !host.is_empty() && !host.starts_with('/'), "{text:?}");
            assert!(!host.chars().any(|c| c.is_whitespace() || c.is_control()), "{text:?}");
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        }
        PeerAddress::Multiaddr { address, peer } => {
            assert!(!address.is_empty(), "{text:?}");
            peer.iter().fold(address.to_string(), |shown, peer| format!("{shown}/p2p/{peer}"))
        }
    };
    assert_eq!(shown.parse(), Ok(parsed), "{text:?} shown as {shown:?}");
}
