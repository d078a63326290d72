//! Which chain and which contracts a node uses, and the addresses that follow: computed, and never asked for.

use alloy_primitives::{Address, B256, keccak256};

/// The chain ids of local testnets (anvil and hardhat; ganache).
pub const LOCAL_CHAIN_IDS: [u64; 2] = [31337, 1337];

/// The identity of a chain. It tells a testnet that was started anew from its earlier life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainIdentity {
    /// The chain id of EIP-155.
    pub chain_id: u64,
    /// The hash of block 0.
    pub genesis: B256,
}

impl ChainIdentity {
    /// Whether this is a local testnet, whose blocks come when its user wants them.
    pub const fn is_local(&self) -> bool {
        self.chain_id == LOCAL_CHAIN_IDS[0] || self.chain_id == LOCAL_CHAIN_IDS[1]
    }
}

/// Where THD and the factory are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contracts {
    /// THD.
    pub token: Address,
    /// The channel factory.
    pub factory: Address,
}

impl Contracts {
    /// The factory's template: the contract that the factory's constructor creates, its first (EIP-161:
    /// nonce 1).
    pub fn template(&self) -> Address {
        // RLP of [address, 1]: a list of 22 bytes, a string of 20 bytes, the byte 1.
        let encoded = [&[0xd6, 0x94][..], self.factory.as_slice(), &[0x01]].concat();
        Address::from_word(keccak256(encoded))
    }
}

/// The address that CREATE2 gives (EIP-1014).
pub fn create2(deployer: Address, salt: B256, init_code: &[u8]) -> Address {
    deployer.create2(salt, keccak256(init_code))
}

/// The code of a channel: an ERC-1167 proxy to the template, followed by both parties
/// (OpenZeppelin `Clones` with immutable arguments).
pub fn clone_code(template: Address, part_a: Address, part_b: Address) -> Vec<u8> {
    const PROXY_HEAD: [u8; 10] = [0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73];
    const PROXY_TAIL: [u8; 15] =
        [0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3];
    [&PROXY_HEAD[..], template.as_slice(), &PROXY_TAIL, part_a.as_slice(), part_b.as_slice()].concat()
}

/// The address of the factory's `channelAddress`.
pub fn channel_address(contracts: &Contracts, part_a: Address, part_b: Address, salt: B256) -> Address {
    let code = clone_code(contracts.template(), part_a, part_b);
    // PUSH2 length, RETURNDATASIZE, DUP2, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURN
    let length = u16::try_from(code.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = [0x61, length[0], length[1], 0x3d, 0x81, 0x60, 0x0a, 0x3d, 0x39, 0xf3];
    create2(contracts.factory, salt, &[&head[..], &code].concat())
}
