//! The test vector of the definition, the spellings of other wallets, and what is refused.

use super::*;

/// The second test vector of the Web3 Secret Storage Definition.
const PBKDF2: &str = r#"{
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3
}"#;
const VECTOR_PASSWORD: &str = "testpassword";
const VECTOR_KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
const VECTOR_ADDRESS: &str = "008aeeda4d805471df9b2a5b0f38a0c3bcba786b";
const PASSWORD: &str = "correct horse";

fn key() -> SecretKey {
    VECTOR_KEY.parse().unwrap()
}

/// A key file with a field set to something else, or removed.
fn with(file: &str, pointer: &str, value: Value) -> String {
    let mut file: Value = serde_json::from_str(file).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = file.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.remove(name).unwrap()),
        value => drop(parent.insert(name.into(), value)),
    }
    file.to_string()
}

fn refused(file: &str) -> KeyfileError {
    match decrypt_keyfile(file.as_bytes(), PASSWORD) {
        Err(KeyError::Keyfile(error)) => {
            assert!(!is_keyfile(file.as_bytes()) || matches!(error, KeyfileError::Address { .. }));
            error
        }
        other => panic!("{other:?}: {file}"),
    }
}

#[test]
fn the_vector_of_the_definition_gives_its_key() {
    assert_eq!(decrypt_keyfile(PBKDF2.as_bytes(), VECTOR_PASSWORD).unwrap(), key());
    assert!(matches!(decrypt_keyfile(PBKDF2.as_bytes(), PASSWORD), Err(KeyError::Password)));
}

#[test]
fn the_spellings_of_other_wallets_are_read() {
    let mut file: Value = serde_json::from_str(PBKDF2).unwrap();
    let crypto = file["crypto"].take();
    let both = json!({ "version": 3, "Crypto": crypto, "crypto": crypto }).to_string();
    assert_eq!(refused(&both), KeyfileError::Fields("a field is there twice, in two spellings".into()));
    // As ethers.js 6 writes it; without an id; the address in capitals.
    for file in [
        json!({ "version": 3, "Crypto": crypto, "x-ethers": {}, "address": VECTOR_ADDRESS }),
        json!({ "version": 3, "crypto": crypto, "address": format!("0x{}", VECTOR_ADDRESS.to_uppercase()) }),
        json!({ "version": 3, "crypto": crypto, "address": "" }),
    ] {
        assert_eq!(decrypt_keyfile(file.to_string().as_bytes(), VECTOR_PASSWORD).unwrap(), key(), "{file}");
    }
}

/// The file of this name in `files.tsv`: a name and a keyfile in each line.
fn file(name: &str) -> &'static [u8] {
    let mut lines = include_str!("files.tsv").lines().filter_map(|line| line.split_once('\t'));
    lines.find(|(of, _)| *of == name).unwrap().1.as_bytes()
}

/// What ethers.js normalises (NFKC) before it encrypts, and others take as it is.
const UNUSUAL: &str = "caf\u{e9} m\u{b2} \u{2026}";

/// Files that other programs wrote, each with the key of the definition's vector. `ethers-5` is by ethers 5.7.2,
/// `ethers-6` by ethers 6.17.0, `ethereumjs-wallet` (MyEtherWallet, and exports for MetaMask) by version 1.0.2,
/// `keythereum` (Parity writes the same fields) by 2.0.0, all on npm; `eth-account` (web3.py, brownie) by 0.14.0 and
/// `eth-keyfile` by the version in its name, 0.10.0 or 0.5.1, on PyPI; `cast` by Foundry 1.7.1. eth-keyfile 0.10.0 has
/// geth's parameters, 0.5.1 those of RFC 7914's error.
const FILES: &[(&str, &str)] = &[
    ("ethers-5", PASSWORD),
    ("ethers-5-nfkc", UNUSUAL),
    ("ethers-6", PASSWORD),
    ("ethers-6-nfkc", UNUSUAL),
    ("ethereumjs-wallet-scrypt", PASSWORD),
    ("ethereumjs-wallet-pbkdf2", PASSWORD),
    ("ethereumjs-wallet-unicode", UNUSUAL),
    ("keythereum", PASSWORD),
    ("eth-account-scrypt", PASSWORD),
    ("eth-account-pbkdf2", PASSWORD),
    ("eth-keyfile-0.10-scrypt", PASSWORD),
    ("eth-keyfile-0.5-scrypt", PASSWORD),
    ("eth-keyfile-0.5-pbkdf2", PASSWORD),
    ("cast", PASSWORD),
];

#[test]
fn the_files_of_other_wallets_are_read() {
    for (name, password) in FILES {
        assert_eq!(decrypt_keyfile(file(name), password).unwrap(), key(), "{name}");
    }
    // It has the phrase too, encrypted; the key is that of the phrase's first account.
    let key = decrypt_keyfile(file("ethers-6-mnemonic"), PASSWORD).unwrap();
    assert_eq!(key.address(), crate::contracts::TESTNET_OWNER);
}

#[test]
fn a_password_counts_as_it_is_and_as_ethers_normalises_it() {
    let normalised = "caf\u{e9} m2 ...";
    let decomposed = "cafe\u{301} m\u{b2} \u{2026}";
    for name in ["ethers-5-nfkc", "ethers-6-nfkc"] {
        for password in [UNUSUAL, normalised, decomposed] {
            assert_eq!(decrypt_keyfile(file(name), password).unwrap(), key(), "{name} {password}");
        }
        assert!(matches!(decrypt_keyfile(file(name), "caf\u{e9} m3 \u{2026}"), Err(KeyError::Password)));
    }
    for password in [normalised, decomposed] {
        let refused = decrypt_keyfile(file("ethereumjs-wallet-unicode"), password);
        assert!(matches!(refused, Err(KeyError::Password)), "{password}");
    }
}

/// In whatever case the names of the fields are, as ethers.js reads them.
#[test]
fn names_of_fields_are_read_in_any_case() {
    fn shout(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.to_uppercase(), shout(value))).collect()
            }
            other => other.clone(),
        }
    }
    let file = shout(&serde_json::from_str(PBKDF2).unwrap()).to_string();
    assert!(file.contains("KDFPARAMS") && file.contains("VERSION"), "{file}");
    assert_eq!(decrypt_keyfile(file.as_bytes(), VECTOR_PASSWORD).unwrap(), key());
}

#[test]
fn a_key_file_that_is_written_reads_back_here_and_elsewhere_with_its_password_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let file = encrypt_keyfile(&key(), PASSWORD).unwrap();
    assert_eq!(decrypt_keyfile(file.as_bytes(), PASSWORD).unwrap(), key());
    assert!(matches!(decrypt_keyfile(file.as_bytes(), "wrong"), Err(KeyError::Password)));
    assert!(!file.contains(VECTOR_KEY) && file.contains(VECTOR_ADDRESS));
    std::fs::write(&path, &file).unwrap();
    assert_eq!(eth_keystore::decrypt_key(&path, PASSWORD).unwrap(), key().expose().as_slice());
    let mut random = rand_08::rngs::OsRng;
    eth_keystore::encrypt_key(&folder, &mut random, key().expose().as_slice(), PASSWORD, Some("other"))
        .unwrap();
    let other = std::fs::read(folder.path().join("other")).unwrap();
    assert_eq!(decrypt_keyfile(&other, PASSWORD).unwrap(), key());
    let again = encrypt_keyfile(&key(), PASSWORD).unwrap();
    assert_ne!(file, again, "salt, iv and id are new each time");
}

#[test]
fn a_uuid_is_of_version_4() {
    assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
    assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

/// A file that another key would be read from, or that would take all memory, is refused before
/// anything is derived.
#[test]
fn what_can_not_be_read_safely_is_refused_with_its_reason() {
    let file = encrypt_keyfile(&key(), PASSWORD).unwrap();
    let change = |pointer, value| refused(&with(&file, pointer, value));
    assert_eq!(change("/crypto/cipher", json!("aes-128-cbc")), KeyfileError::Cipher("aes-128-cbc".into()));
    assert_eq!(change("/crypto/kdf", json!("argon2id")), KeyfileError::Derivation("argon2id".into()));
    assert_eq!(
        refused(&with(PBKDF2, "/crypto/kdfparams/prf", json!("hmac-sha512"))),
        KeyfileError::Derivation("pbkdf2 with hmac-sha512".into())
    );
    assert_eq!(change("/version", json!(4)), KeyfileError::Version("4".into()));
    assert_eq!(change("/version", Value::Null), KeyfileError::Version("null".into()));
    for (pointer, name) in [
        ("/crypto/ciphertext", "ciphertext"),
        ("/crypto/cipherparams/iv", "iv"),
        ("/crypto/mac", "mac"),
        ("/crypto/kdfparams/salt", "salt"),
    ] {
        assert_eq!(change(pointer, json!("")), KeyfileError::Bytes(name));
        assert_eq!(change(pointer, json!("zz")), KeyfileError::Bytes(name));
        assert_eq!(change(pointer, json!("00".repeat(129))), KeyfileError::Bytes(name));
        assert!(matches!(change(pointer, Value::Null), KeyfileError::Fields(_)));
        assert!(matches!(change(pointer, json!(1)), KeyfileError::Fields(_)));
    }
    for [n, r, p] in [
        [1u64 << 32, 8, 1],
        [1 << 20, 32, 16],
        [1 << 18, 8, 5],
        [1 << 13, 8, 17],
        [8191, 8, 1],
        [1, 8, 1],
        [8192, 0, 1],
        [8192, 8, 0],
        [1 << 21, 1, 1],
        [1 << 20, 1, 16],
    ] {
        let parameters = json!({ "n": n, "r": r, "p": p, "dklen": 32, "salt": "00" });
        let says = change("/crypto/kdfparams", parameters).to_string();
        assert!(says.ends_with(&format!("n = {n}, r = {r}, p = {p}")), "{says}");
    }
    for rounds in [0, 10_000_001] {
        let error = refused(&with(PBKDF2, "/crypto/kdfparams/c", json!(rounds)));
        assert_eq!(error, KeyfileError::Parameters(format!("c = {rounds}")));
    }
    assert_eq!(change("/crypto/kdfparams/dklen", json!(16)), KeyfileError::Parameters("dklen = 16".into()));
}

#[test]
fn an_address_that_is_not_the_keys_is_refused() {
    let file = encrypt_keyfile(&key(), PASSWORD).unwrap();
    let other = Address::repeat_byte(9);
    assert_eq!(
        refused(&with(&file, "/address", json!(other.to_string()))),
        KeyfileError::Address { stated: other, found: key().address() }
    );
    for address in ["hx7e1a", "secret", "0x12"] {
        let error = refused(&with(&file, "/address", json!(address)));
        assert_eq!(error, KeyfileError::NotAnAddress(address.into()));
    }
}

#[test]
fn an_error_says_nothing_of_a_file_that_is_something_else() {
    for (content, expected) in [
        ("legal winner thank", KeyfileError::NotJson),
        ("\"legal winner thank\"", KeyfileError::NotJson),
        ("[]", KeyfileError::NotJson),
        ("", KeyfileError::NotJson),
        ("{}", KeyfileError::Version("null".into())),
        ("{\"version\":3}", KeyfileError::Fields("missing field `crypto`".into())),
        (
            "{\"version\":3,\"crypto\":\"legal winner thank\"}",
            KeyfileError::Fields("a field has the wrong type".into()),
        ),
    ] {
        assert_eq!(refused(content), expected, "{content}");
    }
    assert_eq!(refused(&" ".repeat(MAX_LEN + 1)), KeyfileError::TooLong);
}
