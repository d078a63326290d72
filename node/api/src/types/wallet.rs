//! Wallets: where one comes from, and what it has.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::ChecksumAddress;

/// A secret text: never shown, wiped when dropped.
#[derive(Clone, Serialize, Deserialize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret over, without the line end that files and terminals put after it.
    pub fn new(mut text: String) -> Self {
        let secret = Self(text.trim_end_matches(['\r', '\n']).to_owned());
        text.zeroize();
        secret
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where a wallet comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum WalletSource {
    /// A BIP-39 seed phrase and the BIP-32 path of the key.
    Phrase {
        /// 12 to 24 words, in one of the languages of BIP-39.
        phrase: Secret,
        /// The BIP-39 passphrase, if the phrase has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passphrase: Option<Secret>,
        /// Like `m/44'/60'/0'/0/0`.
        path: String,
    },
    /// The content of a Web3 Secret Storage V3 file.
    Keyfile {
        /// The file's JSON.
        json: Secret,
        /// Its password.
        password: Secret,
    },
}

/// `importwallet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletImported {
    /// The wallet.
    pub address: ChecksumAddress,
    /// The wallet that it replaced; only there if it replaced one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<ChecksumAddress>,
}

/// `newwallet`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewWallet {
    /// The wallet.
    pub address: ChecksumAddress,
    /// Its seed phrase, which is shown this once.
    pub phrase: Secret,
    /// The wallet that it replaced; only there if it replaced one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<ChecksumAddress>,
}

/// `balance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// THD, all together; `null` if the chain can't be asked.
    pub total: Option<String>,
    /// THD in the wallet; `null` if the chain can't be asked.
    pub wallet: Option<String>,
    /// THD in channels: the own shares.
    pub channel: String,
    /// Ether for gas; `null` if the chain can't be asked.
    pub eth: Option<String>,
    /// What a person should look at: too little ether, or a chain that can't be asked.
    #[serde(default)]
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests are logged and shown while debugging.
    #[test]
    fn no_secret_is_in_the_debug_output_of_a_request() {
        let secret = || Secret::new("legal winner".into());
        let path = "m/44'/60'/0'/0/0".to_owned();
        for source in [
            WalletSource::Phrase { phrase: secret(), passphrase: Some(secret()), path },
            WalletSource::Keyfile { json: secret(), password: secret() },
        ] {
            assert!(!format!("{source:?} {source:#?}").contains("winner"));
        }
    }
}
