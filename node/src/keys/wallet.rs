//! The wallet: from a BIP-39 seed phrase or a Web3 Secret Storage V3 file, kept in such a file.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use thunder_api::Secret;
use thunder_chain::keys::{self, KeyError, SecretKey};
use thunder_protocol::{Address, Signer, hex};

use super::files::{
    FileError, create_private, directory_of, prepare, read_if_there, sync_directory, write_private,
};
use super::random_bytes;

/// Why there is no wallet. None of these says anything of the secret.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The key can't be read or derived.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The system's random number generator fails.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key file that was written does not decrypt to the key.
    #[error("the key file that was made does not read back")]
    NotKept,
    /// The file with the wallet's password has something else in it.
    #[error("the password file {0} is not a text")]
    PasswordFile(PathBuf),
    /// The wallet is in place, and it is not certain that it is on the disk.
    #[error("the wallet is in use, and it is not certain that it is on the disk: {0}")]
    Unsure(FileError),
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
    pub fn load(&self) -> Result<Option<SecretKey>, LoadError> {
        let Some(content) = read_if_there(&self.keyfile).map_err(WalletError::from)? else { return Ok(None) };
        let password = match &self.user_password {
            Some(password) => password.clone(),
            None => self.own_password()?.ok_or(LoadError::Locked {
                reason: "its password is not here; start thunderd with --password-file, or import the wallet again",
            })?,
        };
        match keys::decrypt_keyfile(&content, password.expose()) {
            Ok(key) => Ok(Some(key)),
            Err(KeyError::Password) => {
                // It may have been imported before there was a password of the user's.
                if let (Some(_), Some(own)) = (&self.user_password, self.own_password()?)
                    && let Ok(key) = keys::decrypt_keyfile(&content, own.expose())
                {
                    return Ok(Some(key));
                }
                Err(LoadError::Locked { reason: "its password is another one; check --password-file" })
            }
            Err(other) => Err(WalletError::from(other).into()),
        }
    }

    /// The address of the wallet that is there, as its file says, whether or not it can be unlocked.
    pub fn stated_address(&self) -> Option<Address> {
        keys::stated_address(&read_if_there(&self.keyfile).ok()??)
    }

    fn own_password(&self) -> Result<Option<Secret>, WalletError> {
        let Some(content) = read_if_there(&self.password_file)? else { return Ok(None) };
        let text =
            String::from_utf8(content).map_err(|_| WalletError::PasswordFile(self.password_file.clone()))?;
        Ok(Some(Secret::new(text)))
    }

    /// The password that new wallets are encrypted with; makes a random one if there is none.
    fn password(&self) -> Result<Secret, WalletError> {
        if let Some(password) = &self.user_password {
            return Ok(password.clone());
        }
        loop {
            if let Some(password) = self.own_password()? {
                return Ok(password);
            }
            let random = Secret::new(hex::encode(random_bytes()?.as_slice()));
            // One that somebody else made meanwhile may be in use.
            create_private(&self.password_file, random.expose().as_bytes())?;
        }
    }

    /// Encrypts a key. Slow by design: not for the daemon's own thread. The wallet in use stays the one
    /// that it is.
    pub fn seal(&self, key: SecretKey) -> Result<SealedWallet, WalletError> {
        let password = self.password()?;
        failpoint!("wallet-encrypt");
        let content = keys::encrypt_keyfile(&key, password.expose())?;
        // What was written is read back before it replaces anything.
        if keys::decrypt_keyfile(content.as_bytes(), password.expose())? != key {
            return Err(WalletError::NotKept);
        }
        Ok(SealedWallet { key, content })
    }

    /// Puts a wallet in place of an earlier one. Quick: the daemon does it in the same step in which it
    /// begins to use the wallet, so that disk and memory are never apart.
    ///
    /// # Errors
    /// After [`WalletError::Unsure`] the new wallet is in place, after any other error the earlier one.
    pub fn put(&self, wallet: &SealedWallet, is_another: bool) -> Result<(), WalletError> {
        if is_another {
            self.put_aside()?;
        }
        let failed = |source| FileError::new(&self.keyfile, source);
        let file = prepare(&self.keyfile, wallet.content.as_bytes())?;
        failpoint!("wallet-before");
        file.persist(&self.keyfile).map_err(|error| failed(error.error))?;
        failpoint!("wallet-after");
        sync_directory(directory_of(&self.keyfile)).map_err(|error| WalletError::Unsure(failed(error)))
    }

    /// An earlier wallet is kept beside the new one, under the time: a channel on another chain may
    /// still need it.
    fn put_aside(&self) -> Result<(), WalletError> {
        let Some(earlier) = read_if_there(&self.keyfile)? else { return Ok(()) };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(write_private(&self.keyfile.with_file_name(format!("wallet-until-{since}.json")), &earlier)?)
    }
}

/// A wallet that is encrypted and ready to be put in place.
pub struct SealedWallet {
    /// Its key.
    pub key: SecretKey,
    content: String,
}

/// A signer for a key, blinded with fresh random numbers.
pub fn signer(key: &SecretKey) -> Result<Signer, WalletError> {
    Signer::new(key.expose(), &*random_bytes()?).map_err(|_| KeyError::OutOfRange.into())
}

#[cfg(test)]
mod tests {
    use thunder_chain::keys::{DEFAULT_PATH, from_phrase};

    use super::*;
    use crate::chain_task::ChainRequest;

    fn key() -> SecretKey {
        from_phrase("test test test test test test test test test test test junk", DEFAULT_PATH).unwrap()
    }

    fn save(file: &WalletFile, key: SecretKey, is_another: bool) {
        file.put(&file.seal(key).unwrap(), is_another).unwrap();
    }

    #[test]
    fn a_wallet_is_kept_encrypted_and_loaded_again() {
        let directory = tempfile::tempdir().unwrap();
        for user_password in [None, Some(Secret::new("correct horse".into()))] {
            let directory = directory.path().join(format!("{}", user_password.is_some()));
            std::fs::create_dir(&directory).unwrap();
            let file = WalletFile::new(&directory, user_password);
            assert!(file.load().unwrap().is_none());
            save(&file, key(), true);
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
        save(&file, key(), true);
        save(&file, key(), false);
        let kept = || std::fs::read_dir(directory.path()).unwrap().count();
        let before = kept();
        let phrase = "test test test test test test test test test test test junk";
        let other = from_phrase(phrase, "m/44'/60'/0'/0/1").unwrap();
        let sealed = file.seal(other.clone()).unwrap();
        assert_eq!(
            (kept(), file.load().unwrap().unwrap()),
            (before, key()),
            "nothing happens before it is put"
        );
        file.put(&sealed, true).unwrap();
        assert_eq!(kept(), before + 1, "the same wallet is not put aside, another one is");
        assert_eq!(file.load().unwrap().unwrap(), other);
    }

    #[test]
    fn whose_the_wallet_is_is_known_without_its_password() {
        let directory = tempfile::tempdir().unwrap();
        let file = WalletFile::new(directory.path(), Some(Secret::new("correct horse".into())));
        assert_eq!(file.stated_address(), None);
        save(&file, key(), true);
        let other = WalletFile::new(directory.path(), Some(Secret::new("another".into())));
        assert_eq!(other.stated_address(), Some(key().address()));
    }

    #[test]
    fn the_random_password_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = WalletFile::new(directory.path(), None);
        let [first, second] = [file.seal(key()).unwrap(), file.seal(key()).unwrap()];
        for sealed in [first, second] {
            file.put(&sealed, true).unwrap();
            assert_eq!(file.load().unwrap().unwrap(), key(), "encrypted with the password that is kept");
        }
    }

    /// Whatever is printed while debugging, the key is not in it.
    #[test]
    fn no_secret_is_in_any_debug_output() {
        let directory = tempfile::tempdir().unwrap();
        let keypair = super::super::load_or_create_node_key(&directory.path().join("node.key")).unwrap();
        let node_key = keypair.clone().try_into_ed25519().unwrap().secret().as_ref().to_vec();
        let request = ChainRequest::Wallet(key());
        let file = WalletFile::new(directory.path(), Some(Secret::new("correct horse".into())));
        let signer = signer(&key()).unwrap();
        let shown = format!("{:?}{:#?}{request:?}{request:#?}{file:?}{signer:?}{keypair:?}", key(), key());
        for secret in [key().expose().to_vec(), b"correct horse".to_vec(), node_key] {
            let in_decimal = format!("{secret:?}");
            let in_decimal = in_decimal.trim_matches(['[', ']']);
            let lines = shown.replace([' ', '\n'], "");
            assert!(!lines.contains(&in_decimal.replace(' ', "")), "{shown}");
            assert!(!shown.to_lowercase().contains(&hex::encode(&secret)), "{shown}");
            assert!(!shown.contains("correct horse"), "{shown}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn key_files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        save(&WalletFile::new(directory.path(), None), key(), true);
        super::super::load_or_create_node_key(&directory.path().join("node.key")).unwrap();
        for name in ["wallet.json", "wallet.password", "node.key"] {
            let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
