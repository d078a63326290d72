//! Any text into the parsers of Ethereum addresses, beside EIP-55 written out a second time.

use std::str::FromStr;

use thunder_protocol::{Address, codec, hex};

/// Parsing, showing, the checksum and the wire form agree.
pub fn address(bytes: &[u8]) {
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
