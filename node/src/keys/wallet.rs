//! The wallet: from a BIP-39 seed phrase or a Web3 Secret Storage V3 file, kept in such a file.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

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
                reason: "its password is not here; start thunderd with --password-file, or import the wallet again",
            })?,
        };
        match keys::decrypt_keyfile(&self.keyfile, password.expose()) {
            Ok(key) => Ok(Some(key)),
            Err(KeyError::Password) => {
                // It may have been imported before there was a password of the user's.
                if let (Some(_), Some(own)) = (&self.user_password, self.own_password()?)
                    && let Ok(key) = keys::decrypt_keyfile(&self.keyfile, own.expose())
                {
                    return Ok(Some(key));
                }
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
        self.put_aside(key)?;
        Ok(write_private(&self.keyfile, &content)?)
    }

    /// An earlier wallet is kept beside the new one, under the time: a channel on another chain may
    /// still need it.
    fn put_aside(&self, new: &Key) -> Result<(), WalletError> {
        let is_same = self.load().is_ok_and(|earlier| earlier.is_none_or(|earlier| earlier == *new));
        let Some(earlier) = read_if_there(&self.keyfile)?.filter(|_| !is_same) else { return Ok(()) };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(write_private(&self.keyfile.with_file_name(format!("wallet-until-{since}.json")), &earlier)?)
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
            let other = WalletFile::new(&directory, Some(Secret::new("another".into())));
            match file.user_password {
                Some(_) => assert!(matches!(other.load(), Err(LoadError::Locked { .. }))),
                None => assert_eq!(other.load().unwrap().unwrap(), key(), "kept before there was a password"),
            }
        }
    }

    #[test]
    fn an_earlier_wallet_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let file = WalletFile::new(directory.path(), None);
        file.save(&key()).unwrap();
        file.save(&key()).unwrap();
        let kept = || std::fs::read_dir(directory.path()).unwrap().count();
        let before = kept();
        let phrase = "test test test test test test test test test test test junk";
        file.save(&from_phrase(phrase, "m/44'/60'/0'/0/1").unwrap()).unwrap();
        assert_eq!(kept(), before + 1, "the same wallet is not put aside, another one is");
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
