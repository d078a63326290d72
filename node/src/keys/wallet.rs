//! The wallet: from a BIP-39 seed phrase or a Web3 Secret Storage V3 file, kept in such a file.

use std::path::{Path, PathBuf};

use thunder_api::Secret;
use thunder_chain::keys::{self, Key, KeyError};
use thunder_protocol::Signer;

use super::files::{FileError, read_if_there, write_private};
use super::random_bytes;

/// Why there is no wallet. None of these says anything of the secret.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The key is not to be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The system's random number generator fails.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was written is not what it should be.
    #[error("the key file that was written does not read back")]
    NotKept,
}

/// The key in the content of a V3 file. Slow by design: not for the daemon's own thread.
pub fn key_from_keyfile(json: &Secret, password: &Secret) -> Result<Key, WalletError> {
    let directory =
        tempfile::tempdir().map_err(|error| FileError::new(Path::new("a temporary directory"), error))?;
    let path = directory.path().join("key.json");
    write_private(&path, json.expose().as_bytes())?;
    Ok(keys::decrypt_keyfile(&path, password.expose())?)
}

/// Where the wallet is kept, and what encrypts it: a password of the user's, or, without one, a
/// random password beside it. The latter protects a copy of the key file alone, not a copy of the
/// whole directory.
#[derive(Debug, Clone)]
pub struct WalletFile {
    keyfile: PathBuf,
    password_file: PathBuf,
    user_password: Option<Secret>,
}

/// Why a wallet that is there can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is encrypted with another password.
    #[error("the wallet can't be unlocked: {reason}")]
    Locked {
        /// Why, and what to do.
        reason: &'static str,
    },
    /// It can't be read.
    #[error("the wallet can't be read: {0}")]
    Unreadable(#[from] WalletError),
}

impl WalletFile {
    /// The wallet of a data directory.
    pub fn new(directory: &Path, user_password: Option<Secret>) -> Self {
        Self {
            keyfile: directory.join("wallet.json"),
            password_file: directory.join("wallet.password"),
            user_password,
        }
    }

    /// The wallet's key, if there is a wallet.
    pub fn load(&self) -> Result<Option<Key>, LoadError> {
        if !self.keyfile.exists() {
            return Ok(None);
        }
        let password = match &self.user_password {
            Some(password) => password.clone(),
            None => self.own_password()?.ok_or(LoadError::Locked {
                reason: "it was imported with a password; start thunderd with --password-file",
            })?,
        };
        match keys::decrypt_keyfile(&self.keyfile, password.expose()) {
            Ok(key) => Ok(Some(key)),
            Err(KeyError::Password) => {
                Err(LoadError::Locked { reason: "its password is another one; check --password-file" })
            }
            Err(other) => Err(WalletError::from(other).into()),
        }
    }

    fn own_password(&self) -> Result<Option<Secret>, WalletError> {
        let Some(content) = read_if_there(&self.password_file)? else { return Ok(None) };
        let text =
            String::from_utf8(content).map_err(|_| KeyError::Keyfile("its password is unreadable".into()))?;
        Ok(Some(Secret::new(text)))
    }

    /// Keeps a key, in place of an earlier one. Slow by design.
    pub fn save(&self, key: &Key) -> Result<(), WalletError> {
        let password = match self
            .user_password
            .clone()
            .map_or_else(|| self.own_password(), |password| Ok(Some(password)))?
        {
            Some(password) => password,
            None => {
                let password = Secret::new(thunder_protocol::hex::encode(random_bytes()?.as_slice()));
                write_private(&self.password_file, password.expose().as_bytes())?;
                password
            }
        };
        let place = self.keyfile.parent().unwrap_or_else(|| Path::new("."));
        let scratch = tempfile::tempdir_in(place).map_err(|error| FileError::new(place, error))?;
        let written = scratch.path().join("wallet.json");
        keys::encrypt_keyfile(&written, key, password.expose())?;
        // What was written is read back before it replaces anything.
        if keys::decrypt_keyfile(&written, password.expose())? != *key {
            return Err(WalletError::NotKept);
        }
        let content = read_if_there(&written)?.unwrap_or_default();
        Ok(write_private(&self.keyfile, &content)?)
    }
}

/// A signer for a key, blinded with fresh random numbers.
pub fn signer(key: &Key) -> Result<Signer, WalletError> {
    Signer::new(key, &*random_bytes()?).map_err(|_| KeyError::OutOfRange.into())
}

#[cfg(test)]
mod tests {
    use thunder_chain::keys::{DEFAULT_PATH, from_phrase};

    use super::*;

    fn key() -> Key {
        from_phrase("test test test test test test test test test test test junk", DEFAULT_PATH).unwrap()
    }

    #[test]
    fn a_wallet_is_kept_encrypted_and_loaded_again() {
        let directory = tempfile::tempdir().unwrap();
        for user_password in [None, Some(Secret::new("correct horse".into()))] {
            let directory = directory.path().join(format!("{}", user_password.is_some()));
            std::fs::create_dir(&directory).unwrap();
            let file = WalletFile::new(&directory, user_password);
            assert!(file.load().unwrap().is_none());
            file.save(&key()).unwrap();
            assert_eq!(file.load().unwrap().unwrap(), key());
            let other = WalletFile::new(&directory, Some(Secret::new("wrong".into())));
            assert!(matches!(other.load(), Err(LoadError::Locked { .. })));
        }
    }

    #[cfg(unix)]
    #[test]
    fn key_files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        WalletFile::new(directory.path(), None).save(&key()).unwrap();
        super::super::load_or_create_identity(&directory.path().join("node.key")).unwrap();
        for name in ["wallet.json", "wallet.password", "node.key"] {
            let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
