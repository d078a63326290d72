//! The wallet to import: from the command line, standard input, a file, or asked for unseen.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use thunder_api::is_open_to_others;
use thunder_api::{ApiError, Code, Secret, WalletSource};

use crate::args::ImportWallet;
use crate::files;
use crate::output::Output;

const PIPE: &str = "write it there, like: thunder-cli importwallet - < phrase.txt";

/// A wallet to import, as far as it is known before somebody is asked.
pub(crate) enum Wallet {
    /// Nothing is missing.
    Known(WalletSource),
    /// The seed phrase, or its passphrase, has to be asked for.
    Phrase {
        /// The phrase, if it is known.
        phrase: Option<Secret>,
        /// The BIP-39 passphrase.
        passphrase: Passphrase,
        /// The derivation path.
        path: String,
    },
    /// The keyfile's password has to be asked for.
    AskPassword {
        /// The keyfile.
        json: Secret,
    },
}

/// A BIP-39 passphrase, as far as it is known.
pub(crate) enum Passphrase {
    /// The phrase has none.
    None,
    /// It was in a file.
    Known(Secret),
    /// It has to be asked for.
    Ask,
}

/// Reads what the command line names, and finds out early if nobody is there to be asked.
pub(crate) fn read(arguments: ImportWallet, output: &Output) -> Result<Wallet, ApiError> {
    if let Some(keyfile) = &arguments.keyfile {
        let json = files::secret(keyfile)?;
        return match &arguments.password_file {
            Some(path) => {
                let password = secret_file(path, output)?;
                Ok(Wallet::Known(WalletSource::Keyfile { json, password }))
            }
            None => {
                somebody_to_ask("the keyfile's password", "name a file that holds it with --password-file")?;
                Ok(Wallet::AskPassword { json })
            }
        };
    }
    let path = match arguments.path {
        Some(path) => path,
        None => format!("m/44'/60'/0'/0/{}", arguments.index.unwrap_or_default()),
    };
    let passphrase = match &arguments.passphrase_file {
        Some(path) => Passphrase::Known(secret_file(path, output)?),
        None if arguments.passphrase => {
            somebody_to_ask("the passphrase", "name a file that holds it with --passphrase-file")?;
            Passphrase::Ask
        }
        None => Passphrase::None,
    };
    let phrase = match arguments.phrase.as_slice() {
        [] => {
            somebody_to_ask("the seed phrase", "use `importwallet -` to read it from standard input")?;
            None
        }
        [dash] if dash.expose() == "-" => {
            let phrase = files::read_secret(io::stdin().lock()).map_err(|error| {
                usage(format!("can't read the seed phrase from standard input: {error}"), PIPE)
            })?;
            Some(not_empty(phrase, "there is no seed phrase on standard input", PIPE)?)
        }
        words => {
            output.warning(
                "a seed phrase on the command line stays in the shell's history;\n         leave it out next time, \
                 and thunder-cli asks for it unseen",
            );
            let words: Vec<_> = words.iter().map(Secret::expose).collect();
            Some(Secret::new(words.join(" ")))
        }
    };
    Ok(Wallet::Phrase { phrase, passphrase, path })
}

/// A secret from a file that only its owner should be able to read.
fn secret_file(path: &Path, output: &Output) -> Result<Secret, ApiError> {
    if is_open_to_others(path) {
        output.warning(&format!("{} can be read by other users; chmod 600 it", path.display()));
    }
    files::secret(path)
}

impl Wallet {
    /// The whole wallet; asks on the terminal for what is missing.
    pub(crate) fn complete(self) -> Result<WalletSource, ApiError> {
        match self {
            Self::Known(source) => Ok(source),
            Self::Phrase { phrase, passphrase, path } => {
                let ask_phrase = || {
                    let phrase = ask("Seed phrase (12 to 24 words, not shown): ")?;
                    not_empty(phrase, "no seed phrase was given", "type or paste it when asked")
                };
                let phrase = phrase.map_or_else(ask_phrase, Ok)?;
                let passphrase = match passphrase {
                    Passphrase::None => None,
                    Passphrase::Known(passphrase) => Some(passphrase),
                    Passphrase::Ask => Some(ask_passphrase()?),
                };
                Ok(WalletSource::Phrase { phrase, passphrase, path })
            }
            Self::AskPassword { json } => {
                Ok(WalletSource::Keyfile { json, password: ask("Password of the keyfile (not shown): ")? })
            }
        }
    }
}

fn not_empty(phrase: Secret, missing: &str, hint: &str) -> Result<Secret, ApiError> {
    if phrase.expose().trim().is_empty() {
        return Err(usage(missing, hint));
    }
    Ok(phrase)
}

/// Asks twice: a mistyped passphrase is no wrong one, but another wallet.
fn ask_passphrase() -> Result<Secret, ApiError> {
    let passphrase = ask("Passphrase of the seed phrase (not shown): ")?;
    if ask("The same again: ")?.expose() != passphrase.expose() {
        return Err(usage("the two passphrases are not the same", "type it again; nothing was changed"));
    }
    Ok(passphrase)
}

pub(crate) fn somebody_to_ask(what: &str, instead: &str) -> Result<(), ApiError> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    Err(usage(format!("{what} is missing, and there is no terminal to ask on"), instead))
}

fn ask(prompt: &str) -> Result<Secret, ApiError> {
    rpassword::prompt_password(prompt).map(Secret::new).map_err(|error| {
        // The prompt has no line end yet.
        let _ = writeln!(io::stderr());
        usage(format!("nothing was given: {error}"), "type or paste it when asked")
    })
}

pub(crate) fn usage(message: impl Into<String>, hint: &str) -> ApiError {
    ApiError::new(Code::Usage, message, hint)
}
