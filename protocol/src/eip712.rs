//! EIP-712 digests: what is signed for a receipt, and what proves that a node speaks for a wallet.

use alloy_primitives::{Address, B256, U256, keccak256};

use crate::{Balances, Nonce, Receipt};

const DOMAIN_TYPE: &[u8] =
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const RECEIPT_TYPE: &[u8] = b"Receipt(uint256 nonce,uint256 balanceA,uint256 balanceB)";
const NODE_DOMAIN_TYPE: &[u8] = b"EIP712Domain(string name,string version,uint256 chainId)";
const BACKUP_DOMAIN_TYPE: &[u8] = b"EIP712Domain(string name,string version)";
const BACKUP_TYPE: &[u8] = b"Backup(bytes32 content)";
const NODE_TYPE: &[u8] = b"NodeBinding(bytes node,bytes peer,bytes32 challenge)";

/// The EIP-712 domain of one channel on one chain (`name "Thunder"`, `version "1"`). It is why a
/// signature for one channel is worth nothing in another contract or on another chain.
///
/// ```
/// use thunder_protocol::{Address, Amount, Balances, Crypto, Domain, Nonce, Receipt, Signer};
///
/// let channel = Address::repeat_byte(0xcc);
/// let receipt = Receipt {
///     nonce: Nonce::new(1).ok_or("too large")?,
///     balances: Balances { a: Amount::ONE_THD, b: Amount::ZERO },
/// };
/// // Not a key for anything but an example; the second argument should be random.
/// let signer = Signer::new(&[7; 32], &[1; 32]).map_err(|_| "no key")?;
/// let digest = Domain::new(31337, channel).digest(&receipt);
/// let signature = signer.sign(&digest);
/// assert!(signer.verify(&digest, &signature, &signer.address()));
///
/// let elsewhere = Domain::new(1, channel).digest(&receipt);
/// assert!(!signer.verify(&elsewhere, &signature, &signer.address()), "another chain");
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Domain {
    separator: B256,
}

impl Domain {
    /// The domain of the channel contract `channel` on chain `chain_id`.
    pub fn new(chain_id: u64, channel: Address) -> Self {
        let separator = hash_words(&[
            keccak256(DOMAIN_TYPE),
            keccak256(b"Thunder"),
            keccak256(b"1"),
            word(chain_id.into()),
            channel.into_word(),
        ]);
        Self { separator }
    }

    /// The domain separator.
    pub const fn separator(&self) -> B256 {
        self.separator
    }

    /// What is signed for a receipt: the contract's `digest`.
    pub fn digest(&self, receipt: &Receipt) -> B256 {
        typed_data_hash(self.separator, message(receipt))
    }

    /// What is signed for a FINAL receipt with these shares.
    pub fn final_digest(&self, balances: Balances) -> B256 {
        self.digest(&Receipt { nonce: Nonce::FINAL, balances })
    }
}

/// The contract's `message`: the EIP-712 struct hash of a receipt.
pub fn message(receipt: &Receipt) -> B256 {
    hash_words(&[
        keccak256(RECEIPT_TYPE),
        word(receipt.nonce.get().into()),
        word(receipt.balances.a.base_units()),
        word(receipt.balances.b.base_units()),
    ])
}

/// What a wallet signs to prove that the node `node` speaks for it towards `peer` (both libp2p peer
/// ids in bytes), on this chain, in answer to the peer's fresh `challenge`.
pub fn node_binding_digest(chain_id: u64, node: &[u8], peer: &[u8], challenge: B256) -> B256 {
    let separator = hash_words(&[
        keccak256(NODE_DOMAIN_TYPE),
        keccak256(b"Thunder node"),
        keccak256(b"1"),
        word(chain_id.into()),
    ]);
    let binding = hash_words(&[keccak256(NODE_TYPE), keccak256(node), keccak256(peer), challenge]);
    typed_data_hash(separator, binding)
}

/// What a wallet signs to prove that a backup is its node's and was not changed. `content` is the Keccak-256
/// hash of what is in the backup. No chain: a node's channels may be on several.
pub fn backup_digest(content: B256) -> B256 {
    let separator =
        hash_words(&[keccak256(BACKUP_DOMAIN_TYPE), keccak256(b"Thunder backup"), keccak256(b"1")]);
    typed_data_hash(separator, hash_words(&[keccak256(BACKUP_TYPE), content]))
}

fn typed_data_hash(separator: B256, message: B256) -> B256 {
    let mut bytes = Vec::with_capacity(66);
    bytes.extend_from_slice(&[0x19, 0x01]);
    bytes.extend_from_slice(separator.as_slice());
    bytes.extend_from_slice(message.as_slice());
    keccak256(bytes)
}

fn hash_words(words: &[B256]) -> B256 {
    keccak256(words.concat())
}

fn word(value: u128) -> B256 {
    U256::from(value).into()
}
