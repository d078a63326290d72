//! Any bytes into the reader of Web3 Secret Storage (V3) files.

use std::fs;

use serde_json::Value;
use thunder_chain::keys::{KeyError, address_of, decrypt_keyfile};

/// What derivation may cost here, in units of n·r·p for scrypt: files that cost more, and are still
/// allowed, are left out, because they would only take time.
const BUDGET: u64 = 1 << 9;

/// What nobody needs: four times the cost of the most expensive files that wallets write.
const TOO_MUCH: u64 = 1 << 23;

/// Nothing panics, hangs or takes all memory; what is read is a key.
pub fn keyfile(bytes: &[u8]) {
    let cost = cost(bytes);
    if cost.is_some_and(|cost| (BUDGET..=TOO_MUCH).contains(&cost)) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key.json");
    fs::write(&path, bytes).expect("a file");
    match decrypt_keyfile(&path, "correct horse") {
        Ok(key) => {
            assert!(cost.is_some_and(|cost| cost <= TOO_MUCH), "read at any cost");
            assert!(address_of(&key).is_ok(), "a key without an address");
        }
        Err(KeyError::Keyfile(_)) => {}
        Err(KeyError::Password | KeyError::OutOfRange) => {
            assert!(cost.is_some_and(|cost| cost <= TOO_MUCH), "derived at any cost");
        }
        Err(KeyError::Phrase(_) | KeyError::Path | KeyError::File { .. }) => panic!("not that error"),
    }
}

/// What the derivation costs: PBKDF2's 64 iterations are taken for one unit of scrypt's.
fn cost(bytes: &[u8]) -> Option<u64> {
    let file: Value = serde_json::from_slice(bytes).ok()?;
    let parameters = &file["crypto"]["kdfparams"];
    let number = |name: &str| parameters[name].as_u64();
    let scrypt = number("n").zip(number("r")).zip(number("p"));
    let scrypt = scrypt.map(|((n, r), p)| n.saturating_mul(r).saturating_mul(p));
    let pbkdf2 = number("c").map(|count| count / 64);
    scrypt.into_iter().chain(pbkdf2).max()
}
