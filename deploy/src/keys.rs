//! Secret keys: those of the development accounts, which everybody knows, and the one that the user gives.

use std::fs;
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use thunder_chain::keys;

use crate::error::{ErrorInfo, Exit};

pub use thunder_chain::keys::SecretKey;

/// The seed phrase of local testnets, as anvil and hardhat have it. Everybody knows it.
pub const DEVELOPMENT_PHRASE: &str = "test test test test test test test test test test test junk";

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum OperatorKeyError {
    /// Not 32 bytes in hexadecimal, or not between 1 and the order of the curve.
    #[error("not a secret key: it has 64 hexadecimal digits")]
    NotAKey,
    /// The chain is no local testnet, and no key was given.
    #[error("chain {chain_id} is no local testnet, so somebody has to pay for the transactions")]
    Needed {
        /// The chain's id.
        chain_id: u64,
    },
    /// A file can't be read.
    #[error("can't read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// Not a key file.
    #[error("{path} is no Web3 Secret Storage (V3) file that can be read: {reason}")]
    NotAKeyfile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The password is not the file's.
    #[error("the password does not fit {path}")]
    WrongPassword {
        /// The key file.
        path: PathBuf,
    },
    /// The password was not given, and there is no terminal to ask for it on.
    #[error("the password of {path} is missing, and there is no terminal to ask on")]
    NoTerminal {
        /// The key file.
        path: PathBuf,
    },
}

impl OperatorKeyError {
    pub(crate) fn info(&self) -> ErrorInfo {
        let (code, exit, hint) = match self {
            Self::NotAKey => {
                ("invalid_key", Exit::Usage, "write it like 0x followed by 64 hexadecimal digits")
            }
            Self::Needed { .. } => {
                ("key_needed", Exit::Usage, "give one with --keyfile, or in the variable THUNDER_DEPLOY_KEY")
            }
            Self::Unreadable { .. } => ("file", Exit::Refused, "name a file that you may read"),
            Self::NotAKeyfile { advice, .. } => ("invalid_keyfile", Exit::Refused, *advice),
            Self::WrongPassword { .. } => ("wrong_password", Exit::Refused, "repeat with the right one"),
            Self::NoTerminal { .. } => {
                ("usage", Exit::Usage, "name a file that holds the password with --password-file")
            }
        };
        ErrorInfo { code, exit, hint: hint.into() }
    }
}

/// Reads a Web3 Secret Storage file. Takes a second or so: that is what protects the password.
pub(crate) fn from_keyfile(path: &Path, password: &str) -> Result<SecretKey, OperatorKeyError> {
    let unreadable = |source| OperatorKeyError::Unreadable { path: path.into(), source };
    let json = fs::read(path).map_err(unreadable)?;
    keys::decrypt_keyfile(&json, password).map_err(|error| match error {
        keys::KeyError::Password => OperatorKeyError::WrongPassword { path: path.into() },
        keys::KeyError::Keyfile(reason) => {
            let advice = reason.advice();
            OperatorKeyError::NotAKeyfile { path: path.into(), reason: reason.to_string(), advice }
        }
        other => {
            let advice = "name a file that a wallet has exported";
            OperatorKeyError::NotAKeyfile { path: path.into(), reason: other.to_string(), advice }
        }
    })
}

/// Reads a secret key as people write it.
pub(crate) fn from_hex(text: &str) -> Result<SecretKey, OperatorKeyError> {
    text.parse().map_err(|_| OperatorKeyError::NotAKey)
}

/// One of the accounts of the well-known seed phrase, which local testnets make rich.
#[derive(Debug, Clone)]
pub struct DevelopmentAccount {
    /// Its index: the last number of m/44'/60'/0'/0/0, and what `importwallet --index` takes.
    pub index: u32,
    /// Its address.
    pub address: Address,
    /// Its key.
    pub key: SecretKey,
}

impl DevelopmentAccount {
    /// The account with this index.
    pub fn new(index: u32) -> Result<Self, OperatorKeyError> {
        let path = format!("m/44'/60'/0'/0/{index}");
        let key = keys::from_phrase(DEVELOPMENT_PHRASE, &path).map_err(|_| OperatorKeyError::NotAKey)?;
        Ok(Self { index, address: key.address(), key })
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;
    use thunder_chain::contracts::TESTNET_OWNER;

    use super::*;

    #[test]
    fn the_first_development_account_owns_thd_on_local_testnets() {
        let account = DevelopmentAccount::new(0).unwrap();
        assert_eq!(account.address, TESTNET_OWNER);
        let text = hex::encode_prefixed(account.key.expose().as_slice());
        assert_eq!(from_hex(&text).unwrap().address(), TESTNET_OWNER);
        assert!(!format!("{account:?}").contains(&text[2..]), "secrets are not shown");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(matches!(from_hex("secret"), Err(OperatorKeyError::NotAKey)));
    }

    #[test]
    fn a_keyfile_gives_its_key_to_whoever_knows_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        // PBKDF2 with few rounds, encrypted by hand: scrypt as wallets use it would take long.
        let file = include_str!("../tests/data/keyfile.json");
        fs::write(&path, file).unwrap();
        let account = DevelopmentAccount::new(3).unwrap();
        assert_eq!(from_keyfile(&path, "correct horse").unwrap().address(), account.address);
        assert!(matches!(from_keyfile(&path, "wrong"), Err(OperatorKeyError::WrongPassword { .. })));
        for (from, to) in [
            ("\"version\": 3", "\"version\": 1"),
            ("\"dklen\": 32", "\"dklen\": 16"),
            ("90f79bf6", "90f79bf7"),
            ("{", "["),
        ] {
            fs::write(&path, file.replacen(from, to, 1)).unwrap();
            let refused = from_keyfile(&path, "correct horse");
            assert!(matches!(refused, Err(OperatorKeyError::NotAKeyfile { .. })), "{to}");
        }
        assert!(matches!(from_keyfile(folder.path(), "x"), Err(OperatorKeyError::Unreadable { .. })));
    }

    /// Another cipher than AES-128-CTR would give another key.
    #[test]
    fn a_keyfile_with_another_cipher_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        fs::write(&path, include_str!("../tests/data/keyfile-cbc.json")).unwrap();
        let refused = from_keyfile(&path, "correct horse").unwrap_err().to_string();
        assert!(refused.contains("aes-128-cbc"), "{refused}");
    }
}
