//! Key files in the format of the Web3 Secret Storage Definition, version 3.

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use ethers::utils::keccak256;
use scrypt::Params;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use thunder_protocol::{Address, hex};
use unicode_normalization::{UnicodeNormalization, is_nfkc};
use zeroize::Zeroizing;

use super::{KeyError, SecretKey};

/// The largest key file that is read, in bytes. Real ones have some 500.
const MAX_LEN: usize = 1 << 16;
/// The most that n, r and p of scrypt may come to together: four times what the most careful wallets
/// write. It takes at most 1 GiB (128 · n · r bytes) and some seconds. Each alone within its limit,
/// they could ask for 4 GiB and for hours.
const MAX_SCRYPT_COST: u64 = 1 << 23;
/// The largest n of scrypt.
const MAX_N: u64 = 1 << 20;
/// The largest r and p of scrypt.
const MAX_R: u32 = 32;
const MAX_P: u32 = 16;
/// The most rounds of PBKDF2: some seconds.
const MAX_ROUNDS: u32 = 10_000_000;
/// The longest salt, in bytes. Wallets write 32.
const MAX_SALT: usize = 128;
/// The parameters with which key files are written: 8 MiB, and some ten milliseconds.
const LOG_N: u8 = 13;
const R: u32 = 8;
const P: u32 = 1;

/// Why a key file is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyfileError {
    /// Larger than any key file.
    #[error("it has more than {MAX_LEN} bytes")]
    TooLong,
    /// Not JSON, or not an object.
    #[error("it is not a JSON object")]
    NotJson,
    /// Another version of the format, or none.
    #[error("it has version {0}, and version 3 is the only one that can be read")]
    Version(String),
    /// A field is missing, or is there twice, or has another type.
    #[error("{0}")]
    Fields(String),
    /// Another cipher than aes-128-ctr: what it would be decrypted to is another key.
    #[error("its cipher is {0}, and aes-128-ctr is the only one that can be read")]
    Cipher(String),
    /// Another key derivation than the two of the format.
    #[error("its key derivation is {0}; those that can be read are scrypt, and pbkdf2 with hmac-sha256")]
    Derivation(String),
    /// A field is not hexadecimal, or has another length than the format says.
    #[error("its {0} is not hexadecimal, or has the wrong length")]
    Bytes(&'static str),
    /// Parameters that are not valid, or ask for too much memory or time.
    #[error("its key derivation parameters are not valid, or would take too much memory or time: {0}")]
    Parameters(String),
    /// The address in the file is not an Ethereum address.
    #[error("its address is {0}, which is not an address of Ethereum")]
    NotAnAddress(String),
    /// The address in the file is not that of the key in it.
    #[error("it says that it is for {stated}, and the key in it is that of {found}")]
    Address {
        /// The address in the file.
        stated: Address,
        /// The address of the key.
        found: Address,
    },
}

impl KeyfileError {
    /// Returns what somebody who has the file can do.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::TooLong | Self::NotJson | Self::Fields(_) => {
                "name the JSON file that a wallet exported (Web3 Secret Storage, version 3)"
            }
            Self::Version(_) | Self::Cipher(_) | Self::Derivation(_) => {
                "open it with the wallet that wrote it, and export the key as version 3, or import the seed phrase"
            }
            Self::Parameters(_) => {
                "export the key again with usual parameters (scrypt with n = 262144, r = 8, p = 1), or import the \
                 seed phrase"
            }
            Self::Bytes(_) | Self::NotAnAddress(_) | Self::Address { .. } => {
                "the file is damaged or was changed: take another copy, or export the key again"
            }
        }
    }
}

/// The fields that count; others are passed over. Their names are compared in lower case: ethers.js 6 and MyEtherWallet
/// write `Crypto`.
#[derive(Deserialize)]
struct Keyfile {
    /// Some wallets leave it out, for privacy.
    address: Option<String>,
    crypto: Value,
}

#[derive(Deserialize)]
struct Encrypted {
    cipher: String,
    cipherparams: Value,
    ciphertext: String,
    kdf: String,
    kdfparams: Value,
    mac: String,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
struct ScryptParams {
    n: u64,
    r: u32,
    p: u32,
    dklen: u64,
    salt: String,
}

#[derive(Deserialize)]
struct Pbkdf2Params {
    c: u32,
    prf: String,
    dklen: u64,
    salt: String,
}

/// How the password becomes the 32 bytes that decrypt and authenticate.
enum Derivation {
    Scrypt(Params),
    Pbkdf2 { rounds: u32 },
}

/// A key file whose every field is checked. Nothing is derived yet.
struct Checked {
    address: Option<Address>,
    iv: [u8; 16],
    ciphertext: [u8; 32],
    mac: [u8; 32],
    salt: Vec<u8>,
    derivation: Derivation,
}

/// Returns the key in a version 3 file. Slow by design (scrypt or PBKDF2): that is what protects the
/// password. A password that does not fit is tried once more in the form NFKC, which ethers.js encrypts with, if that is
/// another one.
///
/// # Errors
/// [`KeyError::Password`] if the MAC does not match, [`KeyError::Keyfile`] if the file can't be read
/// safely, [`KeyError::OutOfRange`] if what is in it is not a secret key.
pub fn decrypt_keyfile(json: &[u8], password: &str) -> Result<SecretKey, KeyError> {
    let checked = check(json)?;
    let derived = match checked.unlock(password)? {
        Some(derived) => derived,
        None if is_nfkc(password) => return Err(KeyError::Password),
        None => checked.unlock(&nfkc(password))?.ok_or(KeyError::Password)?,
    };
    let Checked { address, iv, ciphertext, .. } = checked;
    let mut secret = Zeroizing::new(ciphertext);
    apply_cipher(&derived, &iv, &mut secret);
    let key = SecretKey::new(secret.as_slice())?;
    match address {
        Some(stated) if stated != key.address() => {
            Err(KeyfileError::Address { stated, found: key.address() }.into())
        }
        Some(_) | None => Ok(key),
    }
}

/// Whether [`decrypt_keyfile`] would read this file, if it were given the right password.
pub fn is_keyfile(json: &[u8]) -> bool {
    check(json).is_ok()
}

/// Returns the address that a file says it is for, if the file can be read and says so. Whether the key in it is that
/// address's only its password shows.
pub fn stated_address(json: &[u8]) -> Option<Address> {
    check(json).ok()?.address
}

/// Returns a version 3 file (scrypt) with the key. Slow by design.
pub fn encrypt_keyfile(key: &SecretKey, password: &str) -> Result<String, KeyError> {
    let (mut salt, mut iv, mut id) = ([0; 32], [0; 16], [0; 16]);
    for bytes in [&mut salt[..], &mut iv[..], &mut id[..]] {
        getrandom::fill(bytes)?;
    }
    let parameters = Params::new(LOG_N, R, P).map_err(|error| invalid(&error))?;
    let derived = Derivation::Scrypt(parameters).derive(password, &salt)?;
    let mut ciphertext = **key.expose();
    apply_cipher(&derived, &iv, &mut ciphertext);
    let file = json!({
        "version": 3,
        "id": uuid(id),
        "address": hex::encode(key.address()),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": hex::encode(iv) },
            "ciphertext": hex::encode(ciphertext),
            "kdf": "scrypt",
            "kdfparams": { "dklen": 32, "n": 1 << LOG_N, "r": R, "p": P, "salt": hex::encode(salt) },
            "mac": hex::encode(mac_of(&derived, &ciphertext)),
        },
    });
    Ok(file.to_string())
}

/// A random UUID (RFC 9562, version 4).
fn uuid(random: [u8; 16]) -> String {
    let bits = u128::from_be_bytes(random) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{bits:032x}");
    let mut parts = [8, 4, 4, 4, 12].into_iter().scan(digits.as_str(), |rest, length| {
        let (part, left) = rest.split_at_checked(length)?;
        *rest = left;
        Some(part)
    });
    parts.by_ref().collect::<Vec<_>>().join("-")
}

impl Checked {
    /// The bytes that decrypt, if the password is the right one.
    fn unlock(&self, password: &str) -> Result<Option<Zeroizing<[u8; 32]>>, KeyError> {
        let derived = self.derivation.derive(password, &self.salt)?;
        Ok((mac_of(&derived, &self.ciphertext) == self.mac).then_some(derived))
    }
}

/// The form NFKC of a text. Its length is counted first: a text that grows leaves copies behind.
fn nfkc(text: &str) -> Zeroizing<String> {
    let length = text.nfkc().map(char::len_utf8).sum();
    let mut normalised = Zeroizing::new(String::with_capacity(length));
    normalised.extend(text.nfkc());
    normalised
}

impl Derivation {
    fn derive(&self, password: &str, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let mut derived = Zeroizing::new([0; 32]);
        match self {
            Self::Scrypt(parameters) => {
                scrypt::scrypt(password.as_bytes(), salt, parameters, derived.as_mut_slice())
                    .map_err(|error| invalid(&error))?;
            }
            Self::Pbkdf2 { rounds } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, *rounds, derived.as_mut_slice());
            }
        }
        Ok(derived)
    }
}

fn mac_of(derived: &[u8; 32], ciphertext: &[u8; 32]) -> [u8; 32] {
    let (_, key) = derived.split_at(16);
    keccak256([key, ciphertext].concat())
}

/// AES-128 in counter mode: the same both ways.
fn apply_cipher(derived: &[u8; 32], iv: &[u8; 16], data: &mut [u8; 32]) {
    let mut key = Zeroizing::new([0; 16]);
    key.copy_from_slice(derived.split_at(16).0);
    Ctr128BE::<Aes128>::new((&*key).into(), iv.into()).apply_keystream(data);
}

fn check(json: &[u8]) -> Result<Checked, KeyfileError> {
    if json.len() > MAX_LEN {
        return Err(KeyfileError::TooLong);
    }
    let file: Value = serde_json::from_slice(json).map_err(|_| KeyfileError::NotJson)?;
    let Value::Object(file) = file else { return Err(KeyfileError::NotJson) };
    let file = in_lower_case(file)?;
    match &file["version"] {
        version if version == 3 => {}
        other => return Err(KeyfileError::Version(shown(&other.to_string()))),
    }
    let Keyfile { address, crypto } = fields(file)?;
    let crypto: Encrypted = fields(crypto)?;
    let CipherParams { iv } = fields(crypto.cipherparams)?;
    if crypto.cipher != "aes-128-ctr" {
        return Err(KeyfileError::Cipher(shown(&crypto.cipher)));
    }
    let (derivation, salt) = derivation(&crypto.kdf, crypto.kdfparams)?;
    Ok(Checked {
        address: address.filter(|text| !text.is_empty()).map(|text| parse_address(&text)).transpose()?,
        iv: bytes(&iv, "iv")?,
        ciphertext: bytes(&crypto.ciphertext, "ciphertext")?,
        mac: bytes(&crypto.mac, "mac")?,
        salt,
        derivation,
    })
}

fn derivation(name: &str, parameters: Value) -> Result<(Derivation, Vec<u8>), KeyfileError> {
    let (derivation, dklen, salt) = match name {
        "scrypt" => {
            let ScryptParams { n, r, p, dklen, salt } = fields(parameters)?;
            (Derivation::Scrypt(scrypt_parameters(n, r, p)?), dklen, salt)
        }
        "pbkdf2" => {
            let Pbkdf2Params { c, prf, dklen, salt } = fields(parameters)?;
            if prf != "hmac-sha256" {
                return Err(KeyfileError::Derivation(format!("pbkdf2 with {}", shown(&prf))));
            }
            if !(1..=MAX_ROUNDS).contains(&c) {
                return Err(KeyfileError::Parameters(format!("c = {c}")));
            }
            (Derivation::Pbkdf2 { rounds: c }, dklen, salt)
        }
        other => return Err(KeyfileError::Derivation(shown(other))),
    };
    if dklen != 32 {
        return Err(KeyfileError::Parameters(format!("dklen = {dklen}")));
    }
    let salt = hex::decode(salt).ok().filter(|salt| (1..=MAX_SALT).contains(&salt.len()));
    Ok((derivation, salt.ok_or(KeyfileError::Bytes("salt"))?))
}

fn scrypt_parameters(n: u64, r: u32, p: u32) -> Result<Params, KeyfileError> {
    let refused = || KeyfileError::Parameters(format!("n = {n}, r = {r}, p = {p}"));
    let cost = n.saturating_mul(r.into()).saturating_mul(p.into());
    let is_sane = n.is_power_of_two() && (2..=MAX_N).contains(&n) && r <= MAX_R && p <= MAX_P;
    let log_n = u8::try_from(n.trailing_zeros()).ok().filter(|_| is_sane && cost <= MAX_SCRYPT_COST);
    // Also refused: r or p of 0. Not refused: an n of 2^(16 r) and above, which old web3.py writes (r = 1). RFC 7914
    // forbids it by mistake (its erratum 5971): the limit of scrypt's inventor is 2^(128 r).
    Params::new(log_n.ok_or_else(refused)?, r, p).map_err(|_| refused())
}

/// Reads the fields of an object. An error names a field that is missing, and nothing of the content: somebody may
/// have named a file with a secret by mistake.
fn fields<T: DeserializeOwned>(value: Value) -> Result<T, KeyfileError> {
    let value = match value {
        Value::Object(fields) => in_lower_case(fields)?,
        other => other,
    };
    serde_json::from_value(value).map_err(|error| {
        let error = error.to_string();
        let is_safe = error.starts_with("missing field");
        KeyfileError::Fields(if is_safe { error } else { "a field has the wrong type".into() })
    })
}

/// An object with the names of its fields in lower case. One that is there in two spellings has two meanings.
fn in_lower_case(object: Map<String, Value>) -> Result<Value, KeyfileError> {
    let mut lower = Map::new();
    for (name, value) in object {
        if lower.insert(name.to_ascii_lowercase(), value).is_some() {
            return Err(KeyfileError::Fields("a field is there twice, in two spellings".into()));
        }
    }
    Ok(Value::Object(lower))
}

fn bytes<const N: usize>(text: &str, name: &'static str) -> Result<[u8; N], KeyfileError> {
    let decoded = hex::decode(text).ok().and_then(|decoded| decoded.try_into().ok());
    decoded.ok_or(KeyfileError::Bytes(name))
}

/// The address as wallets write it: 40 hexadecimal digits in any case, with or without 0x.
fn parse_address(text: &str) -> Result<Address, KeyfileError> {
    text.to_lowercase().parse().map_err(|_| KeyfileError::NotAnAddress(shown(text)))
}

/// A text of the file for an error: its beginning, if it is long.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn invalid(error: &dyn std::fmt::Display) -> KeyfileError {
    KeyfileError::Parameters(error.to_string())
}

#[cfg(test)]
mod tests;
