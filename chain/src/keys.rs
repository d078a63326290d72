//! Secret keys: from a BIP-39 seed phrase (BIP-32 path), and in Web3 Secret Storage (V3) files.

mod keyfile;
mod phrase;

use std::fmt;
use std::str::FromStr;

use ethers::signers::{LocalWallet, Signer as _};
use thunder_protocol::{Address, hex};
use zeroize::Zeroizing;

use thunder_guard::from_ethers;

pub use keyfile::{KeyfileError, decrypt_keyfile, encrypt_keyfile, is_keyfile, stated_address};
pub use phrase::{PhraseError, from_phrase, from_phrase_with, new_phrase};

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
    /// Not 12 to 24 words of a BIP-39 list with the right checksum.
    #[error("not a valid seed phrase: {0}")]
    Phrase(#[from] PhraseError),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::TESTNET_OWNER;

    const PHRASE: &str = "test test test test test test test test test test test junk";

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
