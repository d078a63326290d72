//! `importwallet` and `newwallet`: what is asked before a wallet takes the place of another one.

use std::io::{self, BufRead, IsTerminal, Write};

use thunder_api::{ApiError, Code, NewWallet, Secret, WalletImported, WalletSource};

use crate::args::MakeWallet;
use crate::client::{CallEffect, Node};
use crate::output::{Failure, Output, human, safe};
use crate::run::{unwritten_effect, unwritten_query};
use crate::secrets::{Wallet, somebody_to_ask, usage};

/// How often a word is asked for.
const TRIES: usize = 3;

/// Imports a wallet. Who sits at a terminal is asked before another wallet is replaced; without one it is replaced, as
/// programs rely on, and the answer tells which.
pub(crate) async fn import(node: &Node, output: &Output, wallet: Wallet, yes: bool) -> Result<(), Failure> {
    let source = wallet.complete()?;
    let may_ask = !yes && !output.is_json() && is_terminal();
    let imported = match import_as(node, source.clone(), !may_ask).await {
        Err(error) if may_ask && error.code == Code::WalletExists => {
            confirm_replacing(error).await?;
            import_as(node, source, true).await
        }
        done => done,
    }?;
    output.answer(&imported, human::imported).map_err(unwritten_effect)?;
    tell_replaced(output, &imported);
    Ok(())
}

async fn import_as(node: &Node, source: WalletSource, replace: bool) -> Result<WalletImported, ApiError> {
    let call = node.calls.import_wallet(node.context(), source, replace);
    node.ask("encrypting the wallet", CallEffect::State, call).await
}

fn tell_replaced(output: &Output, imported: &WalletImported) {
    if let Some(replaced) = imported.replaced {
        output.note(&format!(
            "it replaced {replaced},\n      whose key stays, encrypted, in the data directory"
        ));
    }
}

/// A wallet to be made.
pub(crate) struct Making {
    words: u8,
    yes: bool,
    /// Whether somebody is asked for two of the words.
    asks: bool,
}

impl Making {
    /// Finds out early if nobody is there to be asked.
    pub(crate) fn new(arguments: MakeWallet, output: &Output) -> Result<Self, ApiError> {
        let MakeWallet { words, yes } = arguments;
        let asks = !yes && !output.is_json();
        if asks {
            somebody_to_ask("who repeats two of the words", "with --yes nothing is asked")?;
        }
        Ok(Self { words, yes, asks })
    }

    /// Makes the wallet. Nothing is changed before its words are shown, and repeated.
    pub(crate) async fn make(self, node: &Node, output: &Output) -> Result<(), Failure> {
        let (phrase, replace) = match self.phrase(node, self.yes).await {
            Err(error) if self.asks && error.code == Code::WalletExists => {
                confirm_replacing(error).await?;
                (self.phrase(node, true).await?, true)
            }
            made => (made?, self.yes),
        };
        if !output.is_json() {
            output.text(&human::phrase(&phrase)).map_err(unwritten_query)?;
        }
        if self.asks {
            repeat_words(&phrase).await?;
        }
        let path = "m/44'/60'/0'/0/0".to_owned();
        let source = WalletSource::Phrase { phrase: phrase.clone(), passphrase: None, path };
        let imported = import_as(node, source, replace).await?;
        let made = NewWallet { address: imported.address, phrase, replaced: imported.replaced };
        output.answer(&made, |_| human::imported(&imported)).map_err(unwritten_effect)?;
        tell_replaced(output, &imported);
        Ok(())
    }

    async fn phrase(&self, node: &Node, replace: bool) -> Result<Secret, ApiError> {
        let call = node.calls.new_phrase(node.context(), self.words, replace);
        node.ask("making a seed phrase", CallEffect::Nothing, call).await
    }
}

/// Asks for two of the words, each up to three times.
async fn repeat_words(phrase: &Secret) -> Result<(), ApiError> {
    let words: Vec<_> = phrase.expose().split(' ').collect();
    for place in two_places(words.len())? {
        let asked = format!("Word {} of {}: ", place + 1, words.len());
        let is_it = |answer: &str| words.get(place).is_some_and(|word| word.eq_ignore_ascii_case(answer));
        let mut is_right = false;
        for _ in 0..TRIES {
            is_right = is_it(line(asked.clone()).await?.trim());
            if is_right {
                break;
            }
            let _ = writeln!(io::stderr(), "That is not word {}. Look at what you wrote down.", place + 1);
        }
        if !is_right {
            let message = "the words were not repeated, and no wallet was made";
            return Err(ApiError::new(Code::InvalidPhrase, message, "repeat it, and write the words down"));
        }
    }
    Ok(())
}

/// Two different places among so many, in order.
fn two_places(count: usize) -> Result<[usize; 2], ApiError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        ApiError::new(Code::Internal, format!("no random numbers: {error}"), "nothing was changed")
    })?;
    let (random, count) = (u64::from_be_bytes(bytes) as usize, count.max(2));
    let first = random % count;
    let second = (first + 1 + (random / count) % (count - 1)) % count;
    Ok([first.min(second), first.max(second)])
}

/// Asks whether the wallet that an error tells of may be replaced; anything but yes is a no.
async fn confirm_replacing(error: ApiError) -> Result<(), ApiError> {
    let question = "Replace it? Its key stays, encrypted, in the data directory. [y/N] ";
    let answer = line(format!("{}\n{question}", safe(&error.message))).await?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(error) }
}

fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on the terminal, and reads what is typed, which is shown. Ctrl-C ends it: after a call of thunderd it no longer
/// ends the process.
async fn line(prompt: String) -> Result<String, ApiError> {
    let unread = |error: io::Error| usage(format!("nothing was given: {error}"), "type it when asked");
    let read = move || -> io::Result<String> {
        let mut text = String::new();
        io::stderr().write_all(prompt.as_bytes())?;
        match io::stdin().lock().read_line(&mut text)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(text),
        }
    };
    let typed = tokio::select! {
        // Ctrl-C is listened for before anything is asked.
        biased;
        Ok(()) = tokio::signal::ctrl_c() => Err(io::ErrorKind::Interrupted.into()),
        typed = async { tokio::task::spawn_blocking(read).await } => {
            typed.unwrap_or_else(|error| Err(error.into()))
        }
    };
    typed.map_err(|error| {
        // The prompt has no line end yet.
        let _ = writeln!(io::stderr());
        unread(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_different_words_are_asked_for_in_order() {
        for count in [2, 12, 24] {
            for _ in 0..100 {
                let [first, second] = two_places(count).unwrap();
                assert!(first < second && second < count, "{first} {second} of {count}");
            }
        }
    }
}
