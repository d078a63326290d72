//! Both parties' keys. Cheap signatures let the fuzzer run many times as often.

use std::cell::RefCell;

use thunder_protocol::channel::Terms;
use thunder_protocol::{Address, B256, Balances, Crypto, Domain, Receipt, Role, Signature, Signer};
use thunder_testing::crypto;
use thunder_testing::values::{self, CHAIN_ID};

/// Which signatures a run uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// The digest and the signer's address.
    Cheap,
    /// ECDSA over secp256k1.
    Real,
}

/// One party's key, which remembers what it was asked to sign.
pub struct Key {
    real: Option<Signer>,
    address: Address,
    signed: RefCell<Vec<B256>>,
}

impl Key {
    fn new(role: Role, signing: Signing) -> Self {
        let secret = match role {
            Role::A => [0xa1; 32],
            Role::B => [0xb2; 32],
        };
        let real = (signing == Signing::Real).then(|| Signer::new(&secret, &[1; 32]).expect("a key"));
        let address = real.as_ref().map_or(crypto::address(role), Signer::address);
        Self { real, address, signed: RefCell::default() }
    }

    /// What was signed since the last call.
    pub fn take_signed(&self) -> Vec<B256> {
        self.signed.take()
    }
}

impl Crypto for Key {
    fn sign(&self, digest: &B256) -> Signature {
        self.signed.borrow_mut().push(*digest);
        match &self.real {
            Some(signer) => signer.sign(digest),
            None => crypto::signature(digest, &self.address),
        }
    }

    fn verify(&self, digest: &B256, signature: &Signature, signer: &Address) -> bool {
        match &self.real {
            Some(real) => real.verify(digest, signature, signer),
            None => crypto::signature(digest, signer) == *signature,
        }
    }
}

/// Both keys, and the domain of the one channel.
pub struct Keys {
    a: Key,
    b: Key,
    pub domain: Domain,
}

pub const CHANNEL: Address = Address::repeat_byte(0xc4);

impl Keys {
    pub fn new(signing: Signing) -> Self {
        let (a, b) = (Key::new(Role::A, signing), Key::new(Role::B, signing));
        Self { a, b, domain: Domain::new(CHAIN_ID, CHANNEL) }
    }

    pub const fn of(&self, role: Role) -> &Key {
        match role {
            Role::A => &self.a,
            Role::B => &self.b,
        }
    }

    pub fn sign(&self, receipt: &Receipt, by: Role) -> Signature {
        let key = self.of(by);
        let signature = key.sign(&self.domain.digest(receipt));
        key.signed.borrow_mut().pop();
        signature
    }

    pub fn verify(&self, receipt: &Receipt, signature: &Signature, by: Role) -> bool {
        let key = self.of(by);
        key.verify(&self.domain.digest(receipt), signature, &key.address)
    }

    pub const fn addresses(&self) -> [Address; 2] {
        [self.a.address, self.b.address]
    }

    pub fn terms(&self, role: Role, shares: Balances) -> Terms {
        values::terms(role, CHANNEL, self.addresses(), shares)
    }
}
