//! Secret keys: from a BIP-39 seed phrase (BIP-32 path), and in Web3 Secret Storage (V3) files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coins_bip32::ecdsa::SigningKey;
use coins_bip32::path::DerivationPath;
use coins_bip39::{English, Mnemonic, MnemonicError};
use ethers::signers::{LocalWallet, Signer as _};
use serde_json::Value;
use thunder_protocol::Address;
use zeroize::{Zeroize, Zeroizing};

use thunder_guard::from_ethers;

/// A secret key, wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// Where wallets keep the first key of a seed phrase (BIP-44, coin type 60).
pub const DEFAULT_PATH: &str = "m/44'/60'/0'/0/0";

/// Why there is no key. None of these says anything of the secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not 12 to 24 words of the BIP-39 list with the right checksum.
    #[error("not a valid seed phrase: {0}")]
    Phrase(&'static str),
    /// Not a BIP-32 path.
    #[error("not a derivation path; one looks like {DEFAULT_PATH}")]
    Path,
    /// Not between 1 and the order of the curve.
    #[error("not a secret key")]
    OutOfRange,
    /// Not a V3 file.
    #[error("not a Web3 Secret Storage (V3) file: {0}")]
    Keyfile(String),
    /// The file's MAC does not match.
    #[error("the password does not fit the key file")]
    Password,
    /// The file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The most that n, r and p of scrypt may come to together: four times what the most careful wallets
/// write. It takes at most 1 GiB (128 · n · r bytes) and some seconds. Each alone within its limit,
/// they could ask for 4 GiB and for hours.
const MAX_SCRYPT_COST: u64 = 1 << 23;

/// The key at `path` of a seed phrase. Case and spacing of the words don't matter.
pub fn from_phrase(phrase: &str, path: &str) -> Result<Key, KeyError> {
    let words = Zeroizing::new(phrase.split_whitespace().collect::<Vec<_>>().join(" "));
    let words = Zeroizing::new(words.to_lowercase());
    let mnemonic =
        Mnemonic::<English>::new_from_phrase(&words).map_err(|error| KeyError::Phrase(explain(&error)))?;
    let path: DerivationPath = path.parse().map_err(|_| KeyError::Path)?;
    let key = mnemonic.derive_key(path, None).map_err(|_| KeyError::Path)?;
    let signing: &SigningKey = key.as_ref();
    let mut bytes = signing.to_bytes();
    let key = Zeroizing::new(bytes.into());
    bytes.as_mut_slice().zeroize();
    Ok(key)
}

fn explain(error: &MnemonicError) -> &'static str {
    match error {
        MnemonicError::InvalidChecksum => "the checksum is wrong; look for a mistyped or misplaced word",
        MnemonicError::InvalidWord(_) => "a word is not in the BIP-39 list; look for a mistyped word",
        MnemonicError::InvalidWordCount(_) => "it has to have 12, 15, 18, 21 or 24 words",
        MnemonicError::InvalidEntropyLength(_) | MnemonicError::Bip32Error(_) => {
            "look for a mistyped or misplaced word"
        }
    }
}

/// The address that belongs to a key.
pub fn address_of(key: &Key) -> Result<Address, KeyError> {
    let wallet = LocalWallet::from_bytes(key.as_slice()).map_err(|_| KeyError::OutOfRange)?;
    Ok(from_ethers(wallet.address()))
}

/// The key in a V3 file. Slow by design (scrypt or PBKDF2): that is what protects the password.
pub fn decrypt_keyfile(path: &Path, password: &str) -> Result<Key, KeyError> {
    let json = fs::read(path).map_err(|source| KeyError::File { path: path.into(), source })?;
    check_keyfile(&json).map_err(|reason| KeyError::Keyfile(reason.into()))?;
    let secret = eth_keystore::decrypt_key(path, password).map_err(|error| match error {
        eth_keystore::KeystoreError::MacMismatch => KeyError::Password,
        other => KeyError::Keyfile(other.to_string()),
    })?;
    let secret = Zeroizing::new(secret);
    let bytes = <[u8; 32]>::try_from(secret.as_slice());
    let key =
        bytes.map(Zeroizing::new).map_err(|_| KeyError::Keyfile("the key does not have 32 bytes".into()))?;
    address_of(&key).map(|_| key)
}

/// Writes a V3 file (scrypt). Slow by design.
pub fn encrypt_keyfile(path: &Path, key: &Key, password: &str) -> Result<(), KeyError> {
    let (folder, name) =
        (path.parent().unwrap_or(Path::new(".")), path.file_name().and_then(|name| name.to_str()));
    let mut random = rand_08::rngs::OsRng;
    eth_keystore::encrypt_key(folder, &mut random, key.as_slice(), password, name)
        .map(|_| ())
        .map_err(|error| KeyError::File { path: path.into(), source: io::Error::other(error) })
}

/// Whether this is a V3 file that [`decrypt_keyfile`] takes, whatever its password is.
pub fn is_keyfile(json: &[u8]) -> bool {
    check_keyfile(json).is_ok()
}

/// Refuses what the decryption can't cope with: fields of other lengths, and parameters that would
/// take for ever or all memory.
fn check_keyfile(json: &[u8]) -> Result<(), &'static str> {
    let file: Value = serde_json::from_slice(json).map_err(|_| "it is not JSON")?;
    if file["version"] != 3 {
        return Err("it does not say version 3");
    }
    let crypto = &file["crypto"];
    let has_bytes = |value: &Value, bytes: usize| value.as_str().is_some_and(|text| text.len() == 2 * bytes);
    if !has_bytes(&crypto["ciphertext"], 32) || !has_bytes(&crypto["cipherparams"]["iv"], 16) {
        return Err("its ciphertext or iv has the wrong length");
    }
    let parameters = &crypto["kdfparams"];
    let limits = [("n", 1 << 20), ("r", 32), ("p", 16), ("c", 10_000_000)];
    let is_sane = |(name, most): (&str, u64)| {
        parameters[name].is_null()
            || parameters[name].as_u64().is_some_and(|value| (1..=most).contains(&value))
    };
    let cost = ["n", "r", "p"]
        .into_iter()
        .fold(1, |cost: u64, name| cost.saturating_mul(parameters[name].as_u64().unwrap_or(1)));
    if parameters["dklen"] != 32 || !limits.into_iter().all(is_sane) || cost > MAX_SCRYPT_COST {
        return Err("its key derivation parameters are out of range");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::TESTNET_OWNER;

    const PHRASE: &str = "test test test test test test test test test test test junk";

    #[test]
    fn a_phrase_gives_the_key_that_every_wallet_gives() {
        let key = from_phrase(PHRASE, DEFAULT_PATH).unwrap();
        assert_eq!(address_of(&key).unwrap(), TESTNET_OWNER);
        let spaced = format!("  {}\n", PHRASE.to_uppercase().replace(' ', "  "));
        assert_eq!(from_phrase(&spaced, DEFAULT_PATH).unwrap(), key);
        assert_ne!(from_phrase(PHRASE, "m/44'/60'/0'/0/1").unwrap(), key);
    }

    #[test]
    fn a_bad_phrase_is_refused_with_its_cause() {
        let cause = |text: &str| from_phrase(text, DEFAULT_PATH).unwrap_err().to_string();
        assert!(cause(&PHRASE.replace("junk", "test")).contains("checksum"));
        assert!(cause(&PHRASE.replace("junk", "jumk")).contains("not in the BIP-39 list"));
        assert!(cause("test junk").contains("12, 15, 18, 21 or 24 words"));
        assert!(cause("").contains("words"));
        assert!(matches!(from_phrase(PHRASE, "not/a/path"), Err(KeyError::Path)));
    }

    #[test]
    fn a_key_file_reads_back_with_its_password_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        let key = from_phrase(PHRASE, DEFAULT_PATH).unwrap();
        encrypt_keyfile(&path, &key, "correct horse").unwrap();
        assert_eq!(decrypt_keyfile(&path, "correct horse").unwrap(), key);
        assert!(matches!(decrypt_keyfile(&path, "wrong"), Err(KeyError::Password)));
        let content = fs::read_to_string(&path).unwrap();
        assert!(!content.contains(&thunder_protocol::hex::encode(key.as_slice())));
        // What would take all memory, or panic, is refused before it is tried.
        for (from, to) in [
            ("\"n\":8192", "\"n\":4294967295"),
            ("\"n\":8192,\"p\":1,\"r\":8", "\"n\":1048576,\"p\":16,\"r\":32"),
            ("\"n\":8192,\"p\":1,\"r\":8", "\"n\":262144,\"p\":5,\"r\":8"),
            ("\"dklen\":32", "\"dklen\":8"),
            ("\"version\":3", "\"version\":4"),
        ] {
            assert!(content.contains(from), "{from} in {content}");
            fs::write(&path, content.replace(from, to)).unwrap();
            assert!(matches!(decrypt_keyfile(&path, "correct horse"), Err(KeyError::Keyfile(_))), "{to}");
        }
        for garbage in ["", "{}", "[]", "{\"version\":3}"] {
            fs::write(&path, garbage).unwrap();
            assert!(matches!(decrypt_keyfile(&path, "x"), Err(KeyError::Keyfile(_))), "{garbage:?}");
        }
    }
}
