//! Secret keys: from a BIP-39 seed phrase (BIP-32 path), and in Web3 Secret Storage (V3) files.

mod keyfile;

use std::fmt;
use std::str::FromStr;

use coins_bip32::ecdsa::SigningKey;
use coins_bip32::path::DerivationPath;
use coins_bip39::{English, Mnemonic, MnemonicError};
use ethers::signers::{LocalWallet, Signer as _};
use thunder_protocol::{Address, hex};
use zeroize::{Zeroize, Zeroizing};

use thunder_guard::from_ethers;

pub use keyfile::{KeyfileError, decrypt_keyfile, encrypt_keyfile, is_keyfile};

/// A secret key and its address. The key is never shown, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey {
    secret: Zeroizing<[u8; 32]>,
    address: Address,
}

impl SecretKey {
    /// A key of these 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`] for another number of bytes, and if they are not between 1 and the order of
    /// the curve.
    pub fn new(secret: &[u8]) -> Result<Self, KeyError> {
        let secret = <[u8; 32]>::try_from(secret).map(Zeroizing::new).map_err(|_| KeyError::OutOfRange)?;
        let wallet = LocalWallet::from_bytes(secret.as_slice()).map_err(|_| KeyError::OutOfRange)?;
        Ok(Self { secret, address: from_ethers(wallet.address()) })
    }

    /// The bytes of the key.
    pub const fn expose(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret
    }

    /// The address that belongs to the key.
    pub const fn address(&self) -> Address {
        self.address
    }
}

/// Hexadecimal, with or without 0x.
impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = hex::decode(text.trim()).map_err(|_| KeyError::OutOfRange)?;
        Self::new(&Zeroizing::new(bytes))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.address)
    }
}

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
    /// A file that can't be read safely.
    #[error("not a Web3 Secret Storage (V3) file that can be read: {0}")]
    Keyfile(#[from] KeyfileError),
    /// The file's MAC does not match.
    #[error("the password does not fit the key file")]
    Password,
    /// The system's random number generator fails.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// The key at `path` of a seed phrase. Case and spacing of the words don't matter.
pub fn from_phrase(phrase: &str, path: &str) -> Result<SecretKey, KeyError> {
    let words = Zeroizing::new(phrase.split_whitespace().collect::<Vec<_>>().join(" "));
    let words = Zeroizing::new(words.to_lowercase());
    let mnemonic =
        Mnemonic::<English>::new_from_phrase(&words).map_err(|error| KeyError::Phrase(explain(&error)))?;
    let path: DerivationPath = path.parse().map_err(|_| KeyError::Path)?;
    let key = mnemonic.derive_key(path, None).map_err(|_| KeyError::Path)?;
    let signing: &SigningKey = key.as_ref();
    let mut bytes = signing.to_bytes();
    let key = SecretKey::new(bytes.as_slice());
    bytes.as_mut_slice().zeroize();
    key
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::TESTNET_OWNER;

    const PHRASE: &str = "test test test test test test test test test test test junk";

    #[test]
    fn a_phrase_gives_the_key_that_every_wallet_gives() {
        let key = from_phrase(PHRASE, DEFAULT_PATH).unwrap();
        assert_eq!(key.address(), TESTNET_OWNER);
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

    /// Secrets never reach a log.
    #[test]
    fn a_key_is_read_from_hexadecimal_digits_and_not_shown() {
        let key = from_phrase(PHRASE, DEFAULT_PATH).unwrap();
        let digits = hex::encode(key.expose().as_slice());
        assert_eq!(format!("0x{digits}").parse::<SecretKey>().unwrap(), key);
        assert_eq!(format!("{key:?}"), format!("SecretKey(of {TESTNET_OWNER})"));
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        for bad in ["", "0x", "12", &"0".repeat(64), order, &"1".repeat(66), "secret"] {
            assert!(matches!(bad.parse::<SecretKey>(), Err(KeyError::OutOfRange)), "{bad}");
        }
    }
}
