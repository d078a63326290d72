//! Bindings of the compiled contracts, and where they are.
//!
//! ABI and bytecode are those committed under `contracts/artifacts`; a test proves that they are
//! what the sources compile to.

use ethers::abi::Token;
use ethers::contract::abigen;
use ethers::types::{H160, H256, U256};
use ethers::utils::{get_create2_address_from_hash, keccak256};
use thunder_protocol::onchain::CHALLENGE_PERIOD;
use thunder_protocol::{Address, Amount, B256};

mod bindings {
    #![expect(missing_docs, reason = "generated from the ABI, where the documentation is")]
    use super::abigen;

    abigen!(
        PaymentChannel, "../contracts/artifacts/PaymentChannel.json";
        ChannelFactory, "../contracts/artifacts/ChannelFactory.json";
        Thd, "../contracts/artifacts/THD.json";
        ChannelStates, "../contracts/artifacts/ChannelStates.json";
    );
}

pub use bindings::{ChannelFactory, PaymentChannel, Thd};
pub use bindings::{channel_factory, payment_channel, thd};

/// The deterministic CREATE2 deployer (Arachnid's proxy): it deploys what it is sent, at an address
/// that depends on nothing but salt and code.
pub const CREATE2_DEPLOYER: Address = thunder_protocol::address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// The owner of THD on local testnets: the first account of the well-known development mnemonic.
/// Anybody can mint there.
pub const TESTNET_OWNER: Address = thunder_protocol::address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

/// The chain ids of local testnets (anvil and hardhat; ganache).
pub const LOCAL_CHAIN_IDS: [u64; 2] = [31337, 1337];

/// Where THD and the factory are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contracts {
    /// THD.
    pub token: Address,
    /// The channel factory.
    pub factory: Address,
}

impl Contracts {
    /// The addresses that are the same on every local testnet.
    pub fn deterministic() -> Self {
        let token = create2_address(&thd_init_code(TESTNET_OWNER));
        Self { token, factory: create2_address(&factory_init_code(token)) }
    }
}

/// What answers, sent to `eth_call` without a recipient, with one byte for each of these channels: its
/// state, or 255 for what is no channel.
pub(crate) fn states_code(channels: &[Address]) -> Vec<u8> {
    let channels = channels.iter().map(|channel| Token::Address(to_ethers(*channel))).collect();
    let arguments = ethers::abi::encode(&[Token::Array(channels)]);
    [bindings::CHANNELSTATES_BYTECODE.as_ref(), &arguments].concat()
}

/// THD's creation code for this owner.
pub fn thd_init_code(owner: Address) -> Vec<u8> {
    with_address_argument(&thd::THD_BYTECODE, owner)
}

/// The factory's creation code for this token.
pub fn factory_init_code(token: Address) -> Vec<u8> {
    with_address_argument(&channel_factory::CHANNELFACTORY_BYTECODE, token)
}

fn with_address_argument(code: &[u8], argument: Address) -> Vec<u8> {
    [code, argument.into_word().as_slice()].concat()
}

/// Where the CREATE2 deployer puts this creation code (salt 0).
pub fn create2_address(init_code: &[u8]) -> Address {
    create2(CREATE2_DEPLOYER, B256::ZERO, init_code)
}

fn create2(deployer: Address, salt: B256, init_code: &[u8]) -> Address {
    from_ethers(get_create2_address_from_hash(to_ethers(deployer), salt.0, keccak256(init_code)))
}

/// The code of a channel: an ERC-1167 proxy to the template, followed by both parties
/// (OpenZeppelin `Clones` with immutable arguments).
pub fn clone_code(template: Address, part_a: Address, part_b: Address) -> Vec<u8> {
    const PROXY_HEAD: [u8; 10] = [0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73];
    const PROXY_TAIL: [u8; 15] =
        [0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3];
    [&PROXY_HEAD[..], template.as_slice(), &PROXY_TAIL, part_a.as_slice(), part_b.as_slice()].concat()
}

/// Where the factory's `channelAddress` puts a channel.
pub fn channel_address(
    factory: Address,
    template: Address,
    part_a: Address,
    part_b: Address,
    salt: B256,
) -> Address {
    let code = clone_code(template, part_a, part_b);
    // PUSH2 length, RETURNDATASIZE, DUP2, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURN
    let length = u16::try_from(code.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = [0x61, length[0], length[1], 0x3d, 0x81, 0x60, 0x0a, 0x3d, 0x39, 0xf3];
    create2(factory, salt, &[&head[..], &code].concat())
}

/// As ethers has it.
pub(crate) const fn to_ethers(address: Address) -> H160 {
    H160(address.0.0)
}

/// As the rest of Thunder has it.
pub(crate) const fn from_ethers(address: H160) -> Address {
    Address::new(address.0)
}

pub(crate) const fn hash_from_ethers(hash: H256) -> B256 {
    B256::new(hash.0)
}

pub(crate) const fn hash_to_ethers(hash: B256) -> H256 {
    H256(hash.0)
}

pub(crate) fn amount_to_ethers(amount: Amount) -> U256 {
    U256::from(amount.base_units())
}

/// `None` above what a channel can hold.
pub(crate) fn amount_from_ethers(value: U256) -> Option<Amount> {
    u128::try_from(value).ok().and_then(Amount::from_base_units)
}

const _: () = assert!(CHALLENGE_PERIOD == 24, "the contract's constant");
