//! Channels by the thousand.
//!
//! Opening each through the API takes a block each (a permit's nonce), so these are opened on the chain straight
//! away, by their opener's account, and put into the database of the node as it would have them. The contracts, the
//! chain and all that nodes do are the real ones.

use std::path::Path;

use alloy_primitives::{U256, keccak256};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use thunder_chain::{ChainIdentity, Contracts, channel_address};
use thunder_deploy::{DevelopmentAccount, Testnet};
use thunder_engine::{ChannelWrite, NewChannel, Storage, Writes};
use thunder_node::keys;
use thunder_node::store::sqlite::SqliteStore;
use thunder_protocol::channel::{ChainInput, CommandId, Context, Terms};
use thunder_protocol::onchain::{ChainView, EventPosition, OnChain};
use thunder_protocol::{Address, Amount, B256, Balances, Channel, Input, Role, hex};

use crate::Result;

/// Transactions of a block.
const AT_ONCE: usize = 1000;
/// Requests to anvil under way.
const REQUESTS: usize = 16;

/// A channel that is ACTIVE on the chain; the opener has paid in all of it.
pub(crate) struct Opened {
    terms: Terms,
    position: EventPosition,
}

impl Opened {
    pub(crate) fn channel(&self) -> Address {
        self.terms.channel
    }
}

/// What all channels of a testnet have in common.
pub(crate) struct Seeder<'a> {
    testnet: &'a Testnet,
    identity: ChainIdentity,
    contracts: Contracts,
}

impl<'a> Seeder<'a> {
    pub(crate) async fn new(testnet: &'a Testnet) -> Result<Self> {
        let chain = testnet.chain();
        Ok(Self { testnet, identity: chain.chain_identity().await?, contracts: chain.contracts() })
    }

    /// Opens a channel with each of these.
    pub(crate) async fn open(
        &self,
        opener: &DevelopmentAccount,
        partners: &[Address],
        amount: Amount,
    ) -> Result<Vec<Opened>> {
        let from = opener.address;
        // anvil's own signer knows one chain id only.
        self.rpc("anvil_impersonateAccount", json!([from])).await?;
        let approve = call("approve(address,uint256)", &[word(self.contracts.factory), [0xff; 32]]);
        let tx = json!({ "from": from, "to": self.contracts.token, "data": approve });
        self.rpc("eth_sendTransaction", json!([tx])).await?;
        self.rpc("evm_setAutomine", json!([false])).await?;
        let mut opened = Vec::with_capacity(partners.len());
        for chunk in partners.chunks(AT_ONCE) {
            let count = self.rpc("eth_getTransactionCount", json!([from, "pending"])).await?;
            let first = U256::from_str_radix(count.as_str().unwrap_or("").trim_start_matches("0x"), 16)?;
            let first: u64 = first.to();
            let terms: Vec<_> = chunk.iter().map(|partner| self.terms(from, *partner, amount)).collect();
            let hashes = futures::stream::iter((first..).zip(&terms))
                .map(|(nonce, terms)| self.send(nonce, terms))
                .buffered(REQUESTS);
            let hashes: Vec<_> = hashes.try_collect().await?;
            self.rpc("evm_setBlockGasLimit", json!([format!("{:#x}", 10_u64.pow(10))])).await?;
            self.testnet.mine(1).await?;
            let block = self.testnet.chain().head().await?.number;
            let receipts = self.rpc("eth_getBlockReceipts", json!([format!("{block:#x}")])).await?;
            let receipts = receipts.as_array().cloned().unwrap_or_default();
            let done = receipts.iter().filter(|receipt| receipt["status"] == "0x1").count();
            if done != chunk.len() {
                return Err(format!("{done} of {} channels were opened", chunk.len()).into());
            }
            for (terms, tx) in terms.into_iter().zip(hashes) {
                opened.push(Opened { terms, position: EventPosition { block, tx: Some(tx) } });
            }
        }
        self.rpc("evm_setAutomine", json!([true])).await?;
        Ok(opened)
    }

    /// Puts channels into a node's database, and that the chain was read up to now.
    pub(crate) async fn store(
        &self,
        database: &Path,
        key: &keys::SecretKey,
        role: Role,
        channels: impl Iterator<Item = &Opened>,
        confirmations: u64,
    ) -> Result<()> {
        let signer = keys::signer(key)?;
        let head = self.testnet.chain().head().await?;
        let context = Context {
            crypto: &signer,
            now: 0,
            head: Some(head.number),
            chain_fresh: true,
            confirmations,
            auto_challenge: true,
        };
        let mut store = SqliteStore::open(database)?;
        let genesis = self.identity.genesis;
        store.set_identity(&self.identity)?;
        let mut writes = Writes { head: Some((genesis, head.number)), ..Writes::default() };
        let first = store.next_channel_row()?;
        for (row, Opened { terms, position }) in (first..).zip(channels) {
            let terms = Terms { role, ..terms.clone() };
            let paid_in = terms.shares;
            let status = OnChain::Active { paid_in };
            let view = ChainView { head: head.number, newest: Some(*position), status };
            let agreed = match role {
                Role::A => Channel::open(terms, paid_in.a, CommandId(0)),
                Role::B => Channel::accept(terms),
            };
            let seen = agreed.channel.apply(Input::Chain(ChainInput::View(view)), &context);
            if !matches!(seen.channel, Channel::Active(_)) {
                return Err("a channel is not ACTIVE".into());
            }
            let setup = seen.channel.setup();
            writes.opened.push(NewChannel {
                row,
                address: setup.terms().channel,
                genesis,
                wallet: setup.party(setup.role()),
                partner: setup.partner(),
                first_block: position.block,
                created: 0,
            });
            let state = seen.channel.encode()?;
            writes.states.push(ChannelWrite { row, state, is_over: false });
        }
        Ok(Storage::commit(&mut store, &writes)?)
    }

    fn terms(&self, part_a: Address, part_b: Address, amount: Amount) -> Terms {
        let Contracts { token, factory } = self.contracts;
        let salt = keccak256(part_b);
        Terms {
            channel: channel_address(&self.contracts, part_a, part_b, salt),
            chain_id: self.identity.chain_id,
            token,
            factory,
            salt,
            part_a,
            part_b,
            role: Role::A,
            amount,
            shares: Balances { a: amount, b: Amount::ZERO },
        }
    }

    async fn send(&self, nonce: u64, terms: &Terms) -> Result<B256> {
        let amount = U256::from(terms.amount.base_units()).to_be_bytes();
        let data = call(
            "open(uint256,address,uint256,bytes32)",
            &[amount, word(terms.part_b), amount, terms.salt.0],
        );
        let tx = json!({
            "from": terms.part_a,
            "to": terms.factory,
            "data": data,
            "nonce": format!("{nonce:#x}"),
            "gas": "0x493e0",
        });
        Ok(serde_json::from_value(self.rpc("eth_sendTransaction", json!([tx])).await?)?)
    }

    async fn rpc(&self, method: &str, params: Value) -> Result<Value> {
        Ok(self.testnet.rpc(method, params).await?)
    }
}

fn word(address: Address) -> [u8; 32] {
    address.into_word().0
}

fn call(signature: &str, words: &[[u8; 32]]) -> String {
    let selector = keccak256(signature);
    let data = selector.iter().take(4).chain(words.iter().flatten()).copied().collect::<Vec<_>>();
    hex::encode_prefixed(data)
}

/// An account of nobody's, one for each number.
pub(crate) fn nobody(number: usize) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}
