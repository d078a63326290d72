//! ECDSA over secp256k1 with public-key recovery, as `ecrecover` checks it.
//!
//! A signature has 65 bytes r, s, v, with s in the lower half of the order (EIP-2) and v 27 or 28.

use std::fmt;

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey, Verification};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// A signature: r, s, v. Whether it is valid, and whose, only [`Crypto`] tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 65]);

impl Signature {
    /// Takes the bytes as they are.
    pub const fn from_bytes(bytes: [u8; 65]) -> Self {
        Self(bytes)
    }

    /// r, s, v.
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }

    /// v, r, s as EIP-2612's `permit` takes them.
    pub fn to_vrs(&self) -> (u8, B256, B256) {
        let (r, rest) = self.0.split_at(32);
        let (s, v) = rest.split_at(32);
        (v.first().copied().unwrap_or_default(), B256::from_slice(r), B256::from_slice(s))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", alloy_primitives::hex::encode(self.0))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Human-readable formats carry `0x` and 130 hex digits, binary ones 65 bytes.
impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Signature;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a signature of 65 bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Signature, E> {
                bytes.try_into().map(Signature).map_err(|_| E::invalid_length(bytes.len(), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Signature, E> {
                let bytes = alloy_primitives::hex::decode(text).map_err(E::custom)?;
                self.visit_bytes(&bytes)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Bytes)
        } else {
            deserializer.deserialize_bytes(Bytes)
        }
    }
}

/// What the channel core needs of cryptography. The node gives it [`Signer`]; a model checker may
/// give it something cheaper with the same laws: deterministic signatures, and `verify` true for
/// exactly what the holder of the address's key has signed.
pub trait Crypto {
    /// Signs with the own key. The same digest always gives the same signature (RFC 6979), so
    /// that a repeated answer is the same byte for byte.
    fn sign(&self, digest: &B256) -> Signature;

    /// Whether `signature` is `signer`'s on `digest`, in exactly the form that the contract
    /// accepts.
    fn verify(&self, digest: &B256, signature: &Signature, signer: &Address) -> bool;
}

/// A secret key is 32 bytes between 1 and the group order; these are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a secp256k1 secret key")]
pub struct InvalidSecretKey;

/// A wallet's key, with libsecp256k1's context for it. Wiped when dropped; never shown.
pub struct Signer {
    context: Secp256k1<All>,
    secret: SecretKey,
    address: Address,
}

impl Signer {
    /// From the 32 bytes of a secret key and 32 random bytes that blind the computation against
    /// side channels.
    pub fn new(secret: &[u8; 32], blinding: &[u8; 32]) -> Result<Self, InvalidSecretKey> {
        let mut context = Secp256k1::new();
        context.seeded_randomize(blinding);
        let secret = SecretKey::from_secret_bytes(*secret).map_err(|_| InvalidSecretKey)?;
        let address = address_of(&PublicKey::from_secret_key(&secret));
        Ok(Self { context, secret, address })
    }

    /// The address that belongs to the key.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The secret itself, for what must sign elsewhere (transactions, the encrypted key file).
    pub fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_secret_bytes())
    }

    /// Blinds the computation anew. To be called now and then, off the way of a payment: it costs
    /// as much as a signature.
    pub fn reblind(&mut self, blinding: &[u8; 32]) {
        self.context.seeded_randomize(blinding);
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.address)
    }
}

impl Crypto for Signer {
    #[expect(
        deprecated,
        reason = "the newer call blinds its global context anew after every signature, on the payment's way; `reblind` does it beside"
    )]
    fn sign(&self, digest: &B256) -> Signature {
        let signature = self.context.sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.secret);
        let (recovery, compact) = signature.serialize_compact();
        let mut bytes = [0; 65];
        if let Some(rs) = bytes.get_mut(..64) {
            rs.copy_from_slice(&compact);
        }
        if let Some(v) = bytes.get_mut(64) {
            // libsecp256k1 normalises s, and an overflowed r (recovery 2, 3) needs a hash
            // preimage nobody has.
            *v = 27 + u8::from(recovery) % 2;
        }
        Signature(bytes)
    }

    fn verify(&self, digest: &B256, signature: &Signature, signer: &Address) -> bool {
        recover_with(&self.context, digest, signature).as_ref() == Some(signer)
    }
}

/// Returns the address whose key made this signature on this digest, in exactly the form that the contract
/// accepts; `None` if it is no signature. For what is checked now and then: it makes a context for each call.
pub fn recover(digest: &B256, signature: &Signature) -> Option<Address> {
    recover_with(&Secp256k1::verification_only(), digest, signature)
}

#[expect(deprecated, reason = "the newer call takes a lock on a global context")]
fn recover_with<C: Verification>(
    context: &Secp256k1<C>,
    digest: &B256,
    signature: &Signature,
) -> Option<Address> {
    let (rs, v) = signature.0.split_at(64);
    let recovery = match v {
        [27] => RecoveryId::Zero,
        [28] => RecoveryId::One,
        _ => return None,
    };
    let recoverable = RecoverableSignature::from_compact(rs, recovery).ok()?;
    let mut normalised = recoverable.to_standard();
    normalised.normalize_s();
    if normalised != recoverable.to_standard() {
        return None;
    }
    let key = context.recover_ecdsa(Message::from_digest(digest.0), &recoverable).ok()?;
    Some(address_of(&key))
}

fn address_of(key: &PublicKey) -> Address {
    let uncompressed = key.serialize_uncompressed();
    let hash = keccak256(uncompressed.get(1..).unwrap_or_default());
    Address::from_word(hash)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, b256};

    use super::*;

    const BLINDING: [u8; 32] = [7; 32];

    fn signer() -> Signer {
        // The first account of the well-known development mnemonic.
        let secret = b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
        Signer::new(&secret, &BLINDING).unwrap()
    }

    #[test]
    fn the_address_is_ethereums() {
        assert_eq!(signer().address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
    }

    #[test]
    fn signatures_are_deterministic_and_verify() {
        let (signer, digest) = (signer(), B256::repeat_byte(9));
        let signature = signer.sign(&digest);
        let mut blinded = self::signer();
        blinded.reblind(&[1; 32]);
        assert_eq!(signature, blinded.sign(&digest));
        assert!(signer.verify(&digest, &signature, &signer.address()));
        assert_eq!(recover(&digest, &signature), Some(signer.address()));
        assert_eq!(recover(&digest, &Signature([0; 65])), None);
        assert!(!signer.verify(&B256::repeat_byte(8), &signature, &signer.address()));
        assert!(!signer.verify(&digest, &signature, &Address::ZERO));
    }

    #[test]
    fn only_the_form_that_the_contract_accepts_verifies() {
        let (signer, digest) = (signer(), B256::repeat_byte(9));
        let good = *signer.sign(&digest).as_bytes();
        for v in [0, 1, 26, 29, 255] {
            let mut bytes = good;
            bytes[64] = v;
            assert!(!signer.verify(&digest, &Signature(bytes), &signer.address()), "v = {v}");
        }
        // The high-s twin recovers to the same key, but the contract refuses it.
        let order = alloy_primitives::U256::from_be_bytes(secp256k1::constants::CURVE_ORDER);
        let s = alloy_primitives::U256::from_be_slice(&good[32..64]);
        let mut twin = good;
        twin[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
        twin[64] = 55 - twin[64];
        assert!(!signer.verify(&digest, &Signature(twin), &signer.address()));
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        assert_eq!(format!("{:?}", signer()), "Signer(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266)");
        assert_eq!(Signer::new(&[0; 32], &BLINDING).unwrap_err(), InvalidSecretKey);
    }
}
