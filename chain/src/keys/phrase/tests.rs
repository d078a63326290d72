//! The vectors of BIP-39, phrases in every language, and what is refused.

use thunder_protocol::{Address, hex};

use super::*;
use crate::contracts::TESTNET_OWNER;
use crate::keys::DEFAULT_PATH;

const PHRASE: &str = "test test test test test test test test test test test junk";

/// Two phrases of each language, and five vectors of BIP-39 itself, two of them Japanese; their keys by bip39 3.1.0
/// and ethers 6.17.0 (npm).
const VECTORS: &str = include_str!("vectors.json");

#[derive(serde::Deserialize)]
struct Vector {
    language: String,
    phrase: String,
    passphrase: String,
    master: String,
    address: Address,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(VECTORS).unwrap()
}

#[test]
fn phrases_of_all_languages_give_the_keys_that_other_wallets_give() {
    for Vector { language, phrase, passphrase, master, address } in vectors() {
        let decomposed: String = phrase.nfkd().collect();
        let composed: String = phrase.nfc().collect();
        let shouted = format!(" {}\n", phrase.to_uppercase().replace(' ', "\u{3000} "));
        for other in [&decomposed, &composed, &shouted] {
            assert_eq!(normalised(other), normalised(&phrase), "{language}");
        }
        let key = from_phrase_with(&phrase, &passphrase, "m").unwrap();
        assert_eq!(format!("0x{}", hex::encode(key.expose().as_slice())), master, "{language}");
        let key = from_phrase_with(&shouted, &passphrase, DEFAULT_PATH).unwrap();
        assert_eq!(key.address(), address, "{language}");
    }
}

#[test]
fn each_passphrase_is_another_wallet() {
    let [first, second, third] = ["", "TREZOR", "trezor"]
        .map(|passphrase| from_phrase_with(PHRASE, passphrase, DEFAULT_PATH).unwrap().address());
    assert!(first == TESTNET_OWNER && first != second && second != third);
}

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
    assert!(cause("test junk").contains("it has 2 words"));
    assert!(cause("").contains("12, 15, 18, 21 or 24 words"));
    assert!(matches!(from_phrase(PHRASE, "not/a/path"), Err(KeyError::Path)));
}

/// In whatever language; and the word itself is not told.
#[test]
fn a_mistyped_word_is_named_by_its_place() {
    let of_bip_39 = |name: &str| LANGUAGES.iter().find(|language| language.name == name).unwrap().name;
    for (language, name) in [
        ("english", "English"),
        ("chinese_simplified", "Chinese (simplified)"),
        ("czech", "Czech"),
        ("japanese", "Japanese"),
        ("spanish", "Spanish"),
    ] {
        let vector = vectors().into_iter().find(|vector| vector.language == language).unwrap();
        let mut words: Vec<_> = vector.phrase.split_whitespace().collect();
        words[6] = "jumk";
        match from_phrase(&words.join(" "), DEFAULT_PATH) {
            Err(KeyError::Phrase(error)) => {
                assert_eq!(
                    error,
                    PhraseError::Word { position: 7, count: words.len(), language: of_bip_39(name) }
                );
                assert!(!error.to_string().contains("jumk"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_new_phrase_is_one_and_is_another_each_time() {
    for words in [12, 15, 18, 21, 24] {
        let [first, second] = [new_phrase(words).unwrap(), new_phrase(words).unwrap()];
        assert_eq!(first.split(' ').count(), words);
        assert_ne!(first, second);
        let [first, second] = [first, second].map(|phrase| from_phrase(&phrase, DEFAULT_PATH).unwrap());
        assert_ne!(first, second);
    }
    for words in [0, 1, 3, 9, 13, 23, 27, usize::MAX] {
        let refused = new_phrase(words);
        assert!(matches!(refused, Err(KeyError::Phrase(PhraseError::WordCount(_)))), "{words}");
    }
}
