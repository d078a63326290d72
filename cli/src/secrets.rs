//! The wallet to import: from the command line, standard input, a file, or asked for unseen.

use std::io::{self, IsTerminal, Write};

use thunder_api::files::is_open_to_others;
use thunder_api::{ApiError, Code, Secret, WalletSource};

use crate::args::ImportWallet;
use crate::files;
use crate::output::Output;

const PIPE: &str = "write it there, like: thunder-cli importwallet - < phrase.txt";

/// A wallet to import, as far as it is known before somebody is asked.
pub(crate) enum Wallet {
    /// Nothing is missing.
    Known(WalletSource),
    /// The seed phrase has to be asked for.
    AskPhrase {
        /// The derivation path.
        path: String,
    },
    /// The keyfile's password has to be asked for.
    AskPassword {
        /// The keyfile.
        json: Secret,
    },
}

/// Reads what the command line names, and finds out early if nobody is there to be asked.
pub(crate) fn read(arguments: ImportWallet, output: &Output) -> Result<Wallet, ApiError> {
    if let Some(keyfile) = &arguments.keyfile {
        let json = files::secret(keyfile)?;
        for path in arguments.password_file.iter().filter(|path| is_open_to_others(path)) {
            output.warning(&format!("{} can be read by other users; chmod 600 it", path.display()));
        }
        return match &arguments.password_file {
            Some(path) => Ok(Wallet::Known(WalletSource::Keyfile { json, password: files::secret(path)? })),
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
    match arguments.phrase.as_slice() {
        [] => {
            somebody_to_ask("the seed phrase", "use `importwallet -` to read it from standard input")?;
            Ok(Wallet::AskPhrase { path })
        }
        [dash] if dash.expose() == "-" => {
            let phrase = files::read_secret(io::stdin().lock()).map_err(|error| {
                usage(format!("can't read the seed phrase from standard input: {error}"), PIPE)
            })?;
            phrase_source(phrase, path, "there is no seed phrase on standard input", PIPE).map(Wallet::Known)
        }
        words => {
            output.warning(
                "a seed phrase on the command line stays in the shell's history;\n         leave it out next time, \
                 and thunder-cli asks for it unseen",
            );
            let words: Vec<_> = words.iter().map(Secret::expose).collect();
            Ok(Wallet::Known(WalletSource::Phrase { phrase: Secret::new(words.join(" ")), path }))
        }
    }
}

impl Wallet {
    /// The whole wallet; asks on the terminal for what is missing.
    pub(crate) fn complete(self) -> Result<WalletSource, ApiError> {
        match self {
            Self::Known(source) => Ok(source),
            Self::AskPhrase { path } => {
                let phrase = ask("Seed phrase (12 to 24 words, not shown): ")?;
                phrase_source(phrase, path, "no seed phrase was given", "type or paste it when asked")
            }
            Self::AskPassword { json } => {
                Ok(WalletSource::Keyfile { json, password: ask("Password of the keyfile (not shown): ")? })
            }
        }
    }
}

fn phrase_source(phrase: Secret, path: String, missing: &str, hint: &str) -> Result<WalletSource, ApiError> {
    if phrase.expose().trim().is_empty() {
        return Err(usage(missing, hint));
    }
    Ok(WalletSource::Phrase { phrase, path })
}

fn somebody_to_ask(what: &str, instead: &str) -> Result<(), ApiError> {
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

fn usage(message: impl Into<String>, hint: &str) -> ApiError {
    ApiError::new(Code::Usage, message, hint)
}
