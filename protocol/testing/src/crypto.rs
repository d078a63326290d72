//! Signatures that cost nothing and have the laws of the real ones.

use thunder_protocol::{Address, B256, Crypto, Role, Signature};

/// The wallet of a party.
pub fn address(role: Role) -> Address {
    match role {
        Role::A => Address::repeat_byte(0xa1),
        Role::B => Address::repeat_byte(0xb2),
    }
}

/// The key of one party: deterministic, and whoever does not hold it can't make its signatures. A
/// signature is the digest and the signer's address, written out.
#[derive(Debug, Clone, Copy)]
pub struct Key(pub Role);

/// The signature that only the key of `signer` makes.
pub fn signature(digest: &B256, signer: &Address) -> Signature {
    let mut bytes = [0; 65];
    bytes[..32].copy_from_slice(digest.as_slice());
    bytes[32..52].copy_from_slice(signer.as_slice());
    bytes[64] = 27;
    Signature::from_bytes(bytes)
}

impl Crypto for Key {
    fn sign(&self, digest: &B256) -> Signature {
        signature(digest, &address(self.0))
    }

    fn verify(&self, digest: &B256, candidate: &Signature, signer: &Address) -> bool {
        *candidate == signature(digest, signer)
    }
}
