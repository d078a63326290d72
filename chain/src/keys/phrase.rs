//! Seed phrases of BIP-39, in all of its languages: read, checked, derived from, and made.

use coins_bip32::ecdsa::SigningKey;
use coins_bip32::path::DerivationPath;
use coins_bip39::{
    ChineseSimplified, ChineseTraditional, Czech, English, Entropy, French, Italian, Japanese, Korean,
    Mnemonic, MnemonicError, Portuguese, Spanish, Wordlist,
};
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

use super::{KeyError, SecretKey};

/// A language of BIP-39, with what needs its word list.
struct Language {
    name: &'static str,
    has: fn(&str) -> bool,
    derive: fn(&str, &str, DerivationPath) -> Result<SecretKey, MnemonicError>,
}

/// English first: it is meant if a phrase fits several languages equally well.
const LANGUAGES: [Language; 10] = [
    language::<English>("English"),
    language::<ChineseSimplified>("Chinese (simplified)"),
    language::<ChineseTraditional>("Chinese (traditional)"),
    language::<Czech>("Czech"),
    language::<French>("French"),
    language::<Italian>("Italian"),
    language::<Japanese>("Japanese"),
    language::<Korean>("Korean"),
    language::<Portuguese>("Portuguese"),
    language::<Spanish>("Spanish"),
];

const fn language<W: Wordlist>(name: &'static str) -> Language {
    Language { name, has: |word| W::get_all().contains(&word), derive: derive::<W> }
}

/// Why a text is no seed phrase. Positions of words are no secret, the words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Another number of words than the five of BIP-39.
    #[error("it has {0} words, and it has to have 12, 15, 18, 21 or 24 words")]
    WordCount(usize),
    /// A word is not in the list of the language that most of the others are in.
    #[error("word {position} of {count} is not in the BIP-39 list ({language}); look for a mistyped word")]
    Word {
        /// Which word; the first is 1.
        position: usize,
        /// How many there are.
        count: usize,
        /// The language.
        language: &'static str,
    },
    /// Every word is in the list, and together they are no phrase.
    #[error("the checksum is wrong; look for a mistyped or misplaced word")]
    Checksum,
}

/// Returns the key at `path` of a seed phrase with no passphrase. Case and spacing of the words don't matter, nor
/// whether their accents are characters of their own.
pub fn from_phrase(phrase: &str, path: &str) -> Result<SecretKey, KeyError> {
    from_phrase_with(phrase, "", path)
}

/// Returns the key at `path` of a seed phrase with a BIP-39 passphrase. Each passphrase gives another key: there is no
/// wrong one.
pub fn from_phrase_with(phrase: &str, passphrase: &str, path: &str) -> Result<SecretKey, KeyError> {
    let path: DerivationPath = path.parse().map_err(|_| KeyError::Path)?;
    let phrase = normalised(phrase);
    let words = || phrase.split(' ').filter(|word| !word.is_empty());
    let count = words().count();
    if !matches!(count, 12 | 15 | 18 | 21 | 24) {
        return Err(PhraseError::WordCount(count).into());
    }
    let known = |language: &Language| words().filter(|word| (language.has)(word)).count();
    // The two Chinese lists have words in common, and so have English and French: a phrase of such words only is
    // one if it is one in either. Its key depends on the words and not on the language.
    let mut best = (0, &LANGUAGES[0]);
    for language in &LANGUAGES {
        let known = known(language);
        if known == count {
            match (language.derive)(&phrase, passphrase, path.clone()) {
                Ok(key) => return Ok(key),
                Err(MnemonicError::Bip32Error(_)) => return Err(KeyError::Path),
                Err(_) => {}
            }
        }
        if known > best.0 {
            best = (known, language);
        }
    }
    let (_, best) = best;
    Err(match words().position(|word| !(best.has)(word)) {
        Some(index) => PhraseError::Word { position: index + 1, count, language: best.name },
        None => PhraseError::Checksum,
    }
    .into())
}

/// Makes a phrase of English words, which every wallet reads, from new random numbers.
///
/// # Errors
/// [`PhraseError::WordCount`] for another number of words than 12, 15, 18, 21 and 24.
pub fn new_phrase(words: usize) -> Result<Zeroizing<String>, KeyError> {
    let refused = |_| KeyError::from(PhraseError::WordCount(words));
    let mut entropy = Zeroizing::new([0; 32]);
    // Every 3 words hold 32 bits.
    let entropy = entropy
        .get_mut(..(words / 3).saturating_mul(4))
        .filter(|_| words.is_multiple_of(3))
        .unwrap_or_default();
    getrandom::fill(entropy)?;
    Ok(Mnemonic::<English>::new_from_entropy(Entropy::from_slice(entropy).map_err(refused)?).to_phrase())
}

/// The words as the lists have them, with one space between them: NFKD, in which the ideographic space of Japanese
/// phrases is a usual one, and in lower case.
fn normalised(phrase: &str) -> Zeroizing<String> {
    // Room for all of it at once: a text that grows leaves copies behind. A character in lower case takes at most half
    // as much again.
    let most = phrase.nfkd().map(char::len_utf8).sum::<usize>().saturating_mul(3) / 2 + 1;
    let mut all = Zeroizing::new(String::with_capacity(most));
    all.extend(phrase.nfkd().flat_map(char::to_lowercase));
    let mut words = Zeroizing::new(String::with_capacity(all.len()));
    for word in all.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    words
}

fn derive<W: Wordlist>(
    phrase: &str,
    passphrase: &str,
    path: DerivationPath,
) -> Result<SecretKey, MnemonicError> {
    let mnemonic = Mnemonic::<W>::new_from_phrase(phrase)?;
    let key = mnemonic.derive_key(path, Some(passphrase))?;
    let signing: &SigningKey = key.as_ref();
    let mut bytes = signing.to_bytes();
    let key = SecretKey::new(bytes.as_slice());
    bytes.as_mut_slice().zeroize();
    // A signing key is never out of range.
    key.map_err(|_| MnemonicError::InvalidChecksum)
}

#[cfg(test)]
mod tests;
