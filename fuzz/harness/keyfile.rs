//! Any bytes into the reader of Web3 Secret Storage (V3) files.

use serde_json::Value;
use thunder_chain::keys::{KeyError, decrypt_keyfile, is_keyfile};
use thunder_protocol::Address;

/// What derivation may cost here, in units of n·r·p for scrypt: files that cost more, and are still
/// allowed, are left out, because they would only take time.
const BUDGET: u64 = 1 << 9;

/// What nobody needs: four times the cost of the most expensive files that wallets write.
const TOO_MUCH: u64 = 1 << 23;

/// Nothing panics, hangs or takes all memory; what is read is a key, for the address that the file says.
pub fn keyfile(bytes: &[u8]) {
    let cost = cost(bytes);
    if cost.is_some_and(|cost| (BUDGET..=TOO_MUCH).contains(&cost)) {
        return;
    }
    let is_cheap = || cost.is_some_and(|cost| cost <= TOO_MUCH);
    match decrypt_keyfile(bytes, "correct horse") {
        Ok(key) => {
            assert!(is_cheap(), "read at any cost");
            assert!(is_keyfile(bytes), "read, and not a key file");
            let file: Value = serde_json::from_slice(bytes).expect("JSON");
            let stated = field(&file, "address").and_then(Value::as_str).filter(|text| !text.is_empty());
            let stated: Option<Address> = stated.map(|text| text.to_lowercase().parse().expect("an address"));
            assert!(stated.is_none_or(|stated| key.address() == stated), "a key of somebody else");
        }
        Err(KeyError::Keyfile(_)) => {}
        Err(KeyError::Password | KeyError::OutOfRange) => assert!(is_cheap(), "derived at any cost"),
        Err(KeyError::Phrase(_) | KeyError::Path | KeyError::Random(_)) => panic!("not that error"),
    }
}

/// What the derivation costs: PBKDF2's 64 iterations are taken for one unit of scrypt's.
fn cost(bytes: &[u8]) -> Option<u64> {
    let file: Value = serde_json::from_slice(bytes).ok()?;
    let parameters = field(field(&file, "crypto")?, "kdfparams")?;
    let number = |name: &str| field(parameters, name)?.as_u64();
    let scrypt = number("n").zip(number("r")).zip(number("p"));
    let scrypt = scrypt.map(|((n, r), p)| n.saturating_mul(r).saturating_mul(p));
    let pbkdf2 = number("c").map(|count| count / 64);
    scrypt.into_iter().chain(pbkdf2).max()
}

/// A field, whatever the case of its name.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let mut fields = object.as_object()?.iter();
    fields.find_map(|(of, value)| of.eq_ignore_ascii_case(name).then_some(value))
}
