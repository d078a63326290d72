//! What the guard works out by itself, held against the contracts on a real chain.

use std::sync::Arc;

use crate::common::{testnet, until};
use alloy_primitives::{Address, B256, U256, hex, keccak256};
use serde_json::{Value, json};
use thunder_chain::contracts::{local_testnet_contracts, states_code};
use thunder_chain::{LOCAL_CHAIN_IDS, channel_address};
use thunder_deploy::{DevelopmentAccount, Testnet};
use thunder_guard::state::{LEDGER_SLOT, StorageState};
use thunder_guard::{EndpointAnswer, Question, clone_code, permit_domain};
use thunder_protocol::{Amount, Balances, Crypto, Domain, Nonce, Receipt, Role, Signer};

/// A word of calldata.
fn word(value: impl TryInto<U256, Error: std::fmt::Debug>) -> B256 {
    value.try_into().unwrap().into()
}

fn thd(whole: u64) -> B256 {
    word(u128::from(whole) * Amount::ONE_THD.base_units())
}

fn shares(a: u64, b: u64) -> Balances {
    let amount = |whole: u64| whole.to_string().parse().unwrap();
    Balances { a: amount(a), b: amount(b) }
}

fn calldata(signature: &str, words: &[B256]) -> Value {
    let selector = &keccak256(signature)[..4];
    hex::encode_prefixed([selector, words.concat().as_slice()].concat()).into()
}

/// A testnet with THD and the factory, and two parties with 1000 THD each, who let the factory take
/// theirs.
struct World {
    testnet: Testnet,
    parties: [DevelopmentAccount; 2],
}

impl World {
    async fn new() -> Self {
        let world = Self {
            testnet: testnet().await,
            parties: [1, 2].map(|index| DevelopmentAccount::new(index).unwrap()),
        };
        let factory = local_testnet_contracts().factory;
        for party in &world.parties {
            world.testnet.give_thd(party.address, "1000".parse().unwrap()).await.unwrap();
            world.approve(party, factory).await;
        }
        world
    }

    fn addresses(&self) -> (Address, Address) {
        (self.parties[0].address, self.parties[1].address)
    }

    async fn call(&self, to: Address, data: Value) -> B256 {
        let call = json!([{ "to": to, "data": data }, "latest"]);
        let answer = self.testnet.rpc("eth_call", call).await.unwrap();
        answer.as_str().unwrap().parse().unwrap()
    }

    /// A transaction that has to succeed.
    async fn send(&self, from: &DevelopmentAccount, to: Address, data: Value) {
        let transaction = json!([{ "from": from.address, "to": to, "data": data, "gas": "0x7a120" }]);
        let hash = self.testnet.rpc("eth_sendTransaction", transaction).await.unwrap();
        let mut receipt = Value::Null;
        until("it is mined", async || {
            receipt = self.testnet.rpc("eth_getTransactionReceipt", json!([hash])).await.unwrap();
            !receipt.is_null()
        })
        .await;
        assert_eq!(receipt["status"], "0x1", "{data}: {receipt}");
    }

    async fn approve(&self, owner: &DevelopmentAccount, spender: Address) {
        let all = [spender.into_word(), B256::repeat_byte(0xff)];
        self.send(owner, local_testnet_contracts().token, calldata("approve(address,uint256)", &all)).await;
    }

    /// A opens a channel of 10 THD and pays in `deposit` of them.
    async fn open(&self, salt: u8, deposit: u64) -> Address {
        let (contracts, (part_a, part_b)) = (local_testnet_contracts(), self.addresses());
        let salt = B256::repeat_byte(salt);
        let words = [thd(10), part_b.into_word(), thd(deposit), salt];
        let data = calldata("open(uint256,address,uint256,bytes32)", &words);
        self.send(&self.parties[0], contracts.factory, data).await;
        channel_address(&contracts, part_a, part_b, salt)
    }

    /// A receipt over 3 and 7 THD, as `challenge` and `closing` take it, signed by the other party.
    fn evidence(&self, channel: Address, nonce: u64, by: usize) -> Vec<B256> {
        let receipt = Receipt { nonce: Nonce::new(nonce).unwrap(), balances: shares(3, 7) };
        let secret = self.parties[1 - by].key.expose().as_slice().try_into().unwrap();
        let signer = Signer::new(&secret, &[1; 32]).unwrap();
        let signature = signer.sign(&Domain::new(LOCAL_CHAIN_IDS[0], channel).digest(&receipt));
        let mut bytes = signature.as_bytes().to_vec();
        bytes.resize(96, 0);
        let bytes = bytes.chunks(32).map(B256::from_slice);
        [word(nonce), thd(3), thd(7), word(128_u64), word(65_u64)].into_iter().chain(bytes).collect()
    }

    async fn close(&self, channel: Address, nonce: u64, by: usize) {
        let data = calldata("closing(uint256,uint256,uint256,bytes)", &self.evidence(channel, nonce, by));
        self.send(&self.parties[by], channel, data).await;
    }

    /// What the guard reads of channels in one call: the block, and a word for each.
    async fn states(&self, channels: &[Address]) -> (Vec<[u8; 32]>, EndpointAnswer) {
        let question = Question::States { code: states_code(), channels: Arc::from(channels) };
        let answer = self.testnet.rpc(question.method(), question.params()).await.unwrap();
        let bytes = hex::decode(answer.as_str().unwrap()).unwrap();
        let words = bytes.chunks(32).skip(1).map(|word| word.try_into().unwrap()).collect();
        (words, question.read(&answer.to_string()).unwrap())
    }
}

#[tokio::test]
async fn the_template_is_where_the_guard_works_out_that_it_is() {
    let world = World::new().await;
    let contracts = local_testnet_contracts();
    let template = world.call(contracts.factory, calldata("template()", &[])).await;
    assert_eq!(template, contracts.template().into_word());
    assert!(!world.testnet.chain().code(contracts.template()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_channel_is_where_the_guard_works_out_that_it_is() {
    let world = World::new().await;
    let (contracts, (part_a, part_b)) = (local_testnet_contracts(), world.addresses());
    for salt in [B256::ZERO, B256::repeat_byte(0xa5), word(1_u64)] {
        let arguments = [part_a.into_word(), part_b.into_word(), salt];
        let asked =
            world.call(contracts.factory, calldata("channelAddress(address,address,bytes32)", &arguments));
        assert_eq!(asked.await, channel_address(&contracts, part_a, part_b, salt).into_word());
    }
    let channel = world.open(7, 10).await;
    assert!(!world.testnet.chain().code(channel).await.unwrap().is_empty(), "it was opened there");
}

#[tokio::test]
async fn a_channel_has_the_code_that_the_guard_works_out() {
    let world = World::new().await;
    let (part_a, part_b) = world.addresses();
    let channel = world.open(7, 10).await;
    let code = world.testnet.chain().code(channel).await.unwrap();
    let template = local_testnet_contracts().template();
    assert_eq!(hex::encode(code), hex::encode(clone_code(template, part_a, part_b)));
    let word_of = async |function| world.call(channel, calldata(function, &[])).await;
    assert_eq!(word_of("partA()").await, part_a.into_word());
    assert_eq!(word_of("partB()").await, part_b.into_word());
}

#[tokio::test]
async fn permits_are_signed_for_thds_domain() {
    let world = World::new().await;
    let token = local_testnet_contracts().token;
    let domain = world.call(token, calldata("DOMAIN_SEPARATOR()", &[])).await;
    assert_eq!(domain, permit_domain(token, LOCAL_CHAIN_IDS[0]));
}

#[tokio::test]
async fn g1_channel_states_answers_with_the_word_that_is_in_the_channels_storage() {
    let world = World::new().await;
    let nowhere = Address::repeat_byte(0xee);
    let mut channels = vec![(nowhere, StorageState::Missing)];

    let empty = world.open(1, 4).await;
    channels.push((empty, StorageState::Empty { paid_in: shares(4, 0) }));

    let active = world.open(2, 4).await;
    world.approve(&world.parties[1], active).await;
    world.send(&world.parties[1], active, calldata("fund(uint256)", &[thd(6)])).await;
    channels.push((active, StorageState::Active { paid_in: shares(4, 6) }));

    for (salt, by, closer) in [(3, 0, Role::A), (4, 1, Role::B)] {
        let channel = world.open(salt, 10).await;
        world.close(channel, 5, by).await;
        let block = world.testnet.chain().head().await.unwrap().number;
        let nonce = Nonce::new(5).unwrap();
        channels.push((channel, StorageState::Closing { closer, nonce, balances: shares(3, 7), block }));
    }

    let cancelled = world.open(5, 4).await;
    world.send(&world.parties[0], cancelled, calldata("cancel()", &[])).await;
    let (nonce, balances) = (Nonce::ZERO, shares(4, 0));
    channels.push((cancelled, StorageState::Closed { nonce, balances, block: 0 }));

    let challenged = world.open(6, 10).await;
    world.close(challenged, 5, 0).await;
    let block = world.testnet.chain().head().await.unwrap().number;
    let newer = world.evidence(challenged, 1 << 33, 1);
    let challenge = calldata("challenge(uint256,uint256,uint256,bytes)", &newer);
    world.send(&world.parties[1], challenged, challenge).await;
    let (nonce, balances) = (Nonce::new(5).unwrap(), shares(0, 10));
    channels.push((challenged, StorageState::Closed { nonce, balances, block }));

    let finalised = world.open(7, 10).await;
    world.close(finalised, Nonce::FINAL.get(), 0).await;
    let (nonce, balances) = (Nonce::FINAL, shares(3, 7));
    let block = world.testnet.chain().head().await.unwrap().number;
    channels.push((finalised, StorageState::Closed { nonce, balances, block }));

    let withdrawn = world.open(8, 10).await;
    world.close(withdrawn, 5, 1).await;
    let block = world.testnet.chain().head().await.unwrap().number;
    world.testnet.mine(24).await.unwrap();
    world.send(&world.parties[1], withdrawn, calldata("withdraw()", &[])).await;
    let (nonce, balances) = (Nonce::new(5).unwrap(), shares(3, 7));
    channels.push((withdrawn, StorageState::Closed { nonce, balances, block }));

    let (addresses, expected): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
    let (words, answer) = world.states(&addresses).await;
    let head = world.testnet.chain().head().await.unwrap().number;
    let states = expected.iter().copied().map(Some).collect();
    assert_eq!(answer, EndpointAnswer::States { block: head, states });
    for ((channel, state), word) in addresses.iter().zip(&expected).zip(words) {
        let slot = json!([channel, format!("{LEDGER_SLOT:#x}"), "latest"]);
        let stored = world.testnet.rpc("eth_getStorageAt", slot).await.unwrap();
        assert_eq!(hex::encode_prefixed(word), stored.as_str().unwrap(), "{state:?}");
        let question = Question::Storage { channel: *channel, block: head };
        let stored = world.testnet.rpc(question.method(), question.params()).await.unwrap();
        let read = question.read(&stored.to_string()).unwrap();
        assert_eq!(read, EndpointAnswer::States { block: head, states: vec![Some(*state)] });
    }
}
