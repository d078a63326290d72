//! The compiled contracts: ABI bindings, creation code, and their CREATE2 addresses on local testnets.
//!
//! ABI and bytecode are those committed under `contracts/artifacts`; a test proves that they are
//! what the sources compile to.

use std::sync::Arc;

use ethers::contract::abigen;
use thunder_guard::{Contracts, create2};
use thunder_protocol::onchain::CHALLENGE_PERIOD;
use thunder_protocol::{Address, B256};

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

pub use bindings::{channel_factory, payment_channel, thd};

/// The deterministic CREATE2 deployer (Arachnid's proxy): it deploys what it is sent, at an address
/// that depends on nothing but salt and code.
pub const CREATE2_DEPLOYER: Address = thunder_protocol::address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// The owner of THD on local testnets: the first account of the well-known development mnemonic.
/// Anybody can mint there.
pub const TESTNET_OWNER: Address = thunder_protocol::address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

/// Returns the addresses of THD and the factory on a local testnet, which are the same on each (CREATE2).
pub fn local_testnet_contracts() -> Contracts {
    let token = create2_address(&thd_init_code(TESTNET_OWNER));
    Contracts { token, factory: create2_address(&factory_init_code(token)) }
}

/// The creation code of `ChannelStates`, which is sent to `eth_call` and deployed nowhere.
pub fn states_code() -> Arc<[u8]> {
    Arc::from(bindings::CHANNELSTATES_BYTECODE.as_ref())
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

/// The address at which the CREATE2 deployer puts this creation code (salt 0).
pub fn create2_address(init_code: &[u8]) -> Address {
    create2(CREATE2_DEPLOYER, B256::ZERO, init_code)
}

const _: () = assert!(CHALLENGE_PERIOD == 24, "the contract's constant");
