//! Questions to the chain.

use std::sync::Arc;

use ethers::contract::ContractError;
use ethers::providers::{JsonRpcClient as _, Middleware, Provider, ProviderError, RpcError as _};
use ethers::types::transaction::eip2718::TypedTransaction;
use ethers::types::{
    Block, BlockId, BlockNumber, Bytes, Filter, H256, Log, Transaction, TransactionReceipt,
    TransactionRequest, U64, U256,
};
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::ChainView;
use thunder_protocol::{Address, B256};

use crate::contracts::{
    ChannelFactory, Contracts, PaymentChannel, Thd, amount_from_ethers, clone_code, from_ethers,
    hash_from_ethers, hash_to_ethers, states_code, to_ethers,
};
use crate::error::ChainError;
use crate::events;
use crate::rpc::{Rpc, RpcError, RpcUrl};

/// How many channels are asked for their states at once: well below the gas that entry points give to a
/// call (some 6,000 for each, and never more than 50,000), and the length that the creation code may have
/// (32 bytes for each).
pub const STATES_AT_ONCE: usize = 500;
/// What [`states_code`] answers for what is no channel.
const NO_STATE: u8 = 255;

/// A chain, asked through one RPC endpoint. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Chain {
    provider: Provider<Arc<Rpc>>,
    contracts: Contracts,
}

/// What tells one chain from another, also from a testnet that was started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// EIP-155.
    pub chain_id: u64,
    /// The hash of block 0.
    pub genesis: B256,
}

/// A block, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its parent's hash.
    pub parent: B256,
    /// EIP-1559, in wei; `None` on a chain without it.
    pub base_fee: Option<u128>,
}

/// Why a contract is not the channel that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTheChannel {
    /// The factory would have put it elsewhere.
    #[error("the factory puts this channel at {0}")]
    OtherAddress(Address),
    /// The code is not a clone of the factory's template with both parties.
    #[error("its code is not a clone of the factory's template for these two parties")]
    OtherCode,
    /// The amount differs.
    #[error("it is to hold {0} base units")]
    OtherAmount(U256),
    /// It holds less THD than is said to be paid in.
    #[error("it holds less THD than is said to be paid in")]
    NotCovered,
}

/// Where to look.
pub(crate) struct Touched {
    /// Contracts that emitted events that name the account.
    pub(crate) contracts: Vec<Address>,
    /// Whether there can be no others.
    pub(crate) is_complete: bool,
}

impl Chain {
    /// A client for the endpoint. Nothing is asked yet.
    pub fn new(url: &RpcUrl, contracts: Contracts) -> Result<Self, ChainError> {
        Ok(Self { provider: Provider::new(Arc::new(Rpc::new(url)?)), contracts })
    }

    /// Where THD and the factory are.
    pub const fn contracts(&self) -> Contracts {
        self.contracts
    }

    /// The ethers provider, for what this type has no words for.
    pub const fn provider(&self) -> &Provider<Arc<Rpc>> {
        &self.provider
    }

    /// Which chain it is.
    pub async fn identity(&self) -> Result<Identity, ChainError> {
        let chain_id = self.provider.get_chainid().await?.as_u64();
        let genesis =
            self.block(0).await?.ok_or_else(|| ChainError::Nonsense("there is no block 0".into()))?;
        Ok(Identity { chain_id, genesis: genesis.hash })
    }

    /// The newest block.
    pub async fn head(&self) -> Result<Head, ChainError> {
        let head = self.block_at(BlockNumber::Latest.into()).await?;
        head.ok_or_else(|| ChainError::Nonsense("there is no newest block".into()))
    }

    /// The block with this number, if there is one.
    pub async fn block(&self, number: u64) -> Result<Option<Head>, ChainError> {
        self.block_at(BlockNumber::Number(number.into()).into()).await
    }

    async fn block_at(&self, id: BlockId) -> Result<Option<Head>, ChainError> {
        let block: Option<Block<H256>> = self.provider.get_block(id).await?;
        Ok(block.and_then(|block| {
            Some(Head {
                number: block.number?.as_u64(),
                hash: hash_from_ethers(block.hash?),
                parent: hash_from_ethers(block.parent_hash),
                base_fee: block.base_fee_per_gas.map(|fee| u128::try_from(fee).unwrap_or(u128::MAX)),
            })
        }))
    }

    /// An account's THD in base units.
    pub async fn thd_balance(&self, account: Address) -> Result<U256, ChainError> {
        self.require_code(self.contracts.token, "THD").await?;
        let token = Thd::new(to_ethers(self.contracts.token), self.provider.clone().into());
        token.balance_of(to_ethers(account)).call().await.map_err(contract_error)
    }

    /// An account's ether in wei.
    pub async fn eth_balance(&self, account: Address) -> Result<U256, ChainError> {
        Ok(self.provider.get_balance(to_ethers(account), None).await?)
    }

    /// The EIP-2612 nonce of an account.
    pub(crate) async fn permit_nonce(&self, account: Address) -> Result<U256, ChainError> {
        let token = Thd::new(to_ethers(self.contracts.token), self.provider.clone().into());
        token.nonces(to_ethers(account)).call().await.map_err(contract_error)
    }

    /// THD's EIP-712 domain separator.
    pub(crate) async fn permit_domain(&self) -> Result<B256, ChainError> {
        let token = Thd::new(to_ethers(self.contracts.token), self.provider.clone().into());
        Ok(B256::new(token.domain_separator().call().await.map_err(contract_error)?))
    }

    /// Makes sure that THD and the factory are there and belong together. Returns the template.
    pub async fn template(&self) -> Result<Address, ChainError> {
        let Contracts { token, factory } = self.contracts;
        self.require_code(token, "THD").await?;
        self.require_code(factory, "channel factory").await?;
        let contract = ChannelFactory::new(to_ethers(factory), self.provider.clone().into());
        let actual = from_ethers(contract.token().call().await.map_err(contract_error)?);
        if actual != token {
            return Err(ChainError::Missing(format!(
                "the factory at {factory} is for the token {actual}, not {token}"
            )));
        }
        Ok(from_ethers(contract.template().call().await.map_err(contract_error)?))
    }

    pub(crate) async fn require_code(&self, at: Address, what: &str) -> Result<(), ChainError> {
        let code = self.code(at).await?;
        if code.is_empty() {
            Err(ChainError::Missing(format!("there is no {what} contract at {at}")))
        } else {
            Ok(())
        }
    }

    /// The code at an address.
    pub async fn code(&self, at: Address) -> Result<Bytes, ChainError> {
        Ok(self.provider.get_code(to_ethers(at), None).await?)
    }

    /// Checks a channel by itself, on chain, trusting nothing that the other side says: the own
    /// factory's address for it, its code, its amount, and that it holds what is said to be paid in.
    /// Everything is read at one block: an endpoint that does not have it yet fails, and says
    /// nothing of the channel.
    pub async fn verify(&self, terms: &Terms, head: &Head) -> Result<Result<(), NotTheChannel>, ChainError> {
        let at = BlockId::from(head.number);
        let client = Arc::new(self.provider.clone());
        let factory = ChannelFactory::new(to_ethers(terms.factory), Arc::clone(&client));
        let template = from_ethers(factory.template().block(at).call().await.map_err(contract_error)?);
        let (a, b) = (to_ethers(terms.part_a), to_ethers(terms.part_b));
        let expected =
            factory.channel_address(a, b, terms.salt.0).block(at).call().await.map_err(contract_error)?;
        if from_ethers(expected) != terms.channel {
            return Ok(Err(NotTheChannel::OtherAddress(from_ethers(expected))));
        }
        let code = self.provider.get_code(to_ethers(terms.channel), Some(at)).await?;
        if code.as_ref() != clone_code(template, terms.part_a, terms.part_b) {
            return Ok(Err(NotTheChannel::OtherCode));
        }
        let channel = PaymentChannel::new(to_ethers(terms.channel), Arc::clone(&client));
        let amount = channel.amount().block(at).call().await.map_err(contract_error)?;
        if amount_from_ethers(amount) != Some(terms.amount) {
            return Ok(Err(NotTheChannel::OtherAmount(amount)));
        }
        let state = channel.state().block(at).call().await.map_err(contract_error)?;
        let paid_a = channel.balance_a().block(at).call().await.map_err(contract_error)?;
        let paid_b = channel.balance_b().block(at).call().await.map_err(contract_error)?;
        let token = Thd::new(to_ethers(self.contracts.token), client);
        let held =
            token.balance_of(to_ethers(terms.channel)).block(at).call().await.map_err(contract_error)?;
        let is_open = state < 3; // a CLOSED channel has paid everything out
        Ok(if is_open && held < paid_a.saturating_add(paid_b) {
            Err(NotTheChannel::NotCovered)
        } else {
            Ok(())
        })
    }

    /// What the chain says of a channel at `head`, from its events since block `since`.
    pub async fn view(&self, terms: &Terms, since: u64, head: &Head) -> Result<ChainView, ChainError> {
        let filter = Filter::new()
            .address(vec![to_ethers(terms.channel), to_ethers(terms.factory)])
            .topic1(H256::from(to_ethers(terms.part_a)))
            .topic2(H256::from(to_ethers(terms.part_b)));
        let logs = match self.logs(filter.clone(), since, head.number).await {
            // Other channels between the same two fill a block of the factory's. What is paid into
            // this one it says itself.
            Err(error) if error.may_be_too_much() => {
                self.logs(filter.address(to_ethers(terms.channel)), since, head.number).await
            }
            other => other,
        }?;
        events::view(terms, &logs, head.number)
    }

    /// The contracts that emitted a channel's or the factory's events with `account` as a party, in
    /// these blocks: two questions, however many channels there are. Anybody can emit such events;
    /// what they say is not believed, only where to look. Anybody can also emit more of them in one
    /// block than the endpoint gives at once: then the list is not complete.
    pub(crate) async fn touched(&self, account: Address, from: u64, to: u64) -> Result<Touched, ChainError> {
        let party = H256::from(to_ethers(account));
        let base = Filter::new().topic0(events::topics());
        let mut touched = Touched { contracts: Vec::new(), is_complete: true };
        for filter in [base.clone().topic1(party), base.topic2(party)] {
            match self.logs(filter, from, to).await {
                Ok(logs) => touched
                    .contracts
                    .extend(logs.iter().filter_map(|log| events::channel_of(log, &self.contracts))),
                Err(error) if error.may_be_too_much() => {
                    tracing::debug!(%error, from, to, "the endpoint does not give all events of one block");
                    touched.is_complete = false;
                }
                Err(error) => return Err(error.into()),
            }
        }
        touched.contracts.sort_unstable();
        touched.contracts.dedup();
        Ok(touched)
    }

    /// What a channel's contract itself says of its state at `head`, as the contract numbers them.
    pub async fn state(&self, channel: Address, head: &Head) -> Result<u8, ChainError> {
        let contract = PaymentChannel::new(to_ethers(channel), Arc::new(self.provider.clone()));
        contract.state().block(BlockId::from(head.number)).call().await.map_err(contract_error)
    }

    /// The same for many channels, in one call; `None` for what says nothing that could be a state. At
    /// most [`STATES_AT_ONCE`] of them.
    pub async fn states(&self, channels: &[Address], head: &Head) -> Result<Vec<Option<u8>>, ChainError> {
        let tx: TypedTransaction = TransactionRequest::new().data(states_code(channels)).into();
        let answer = Middleware::call(&self.provider, &tx, Some(BlockId::from(head.number))).await?;
        if answer.len() != channels.len() {
            return Err(ChainError::Nonsense(format!(
                "{} states of {} channels",
                answer.len(),
                channels.len()
            )));
        }
        Ok(answer.iter().map(|state| Some(*state).filter(|state| *state != NO_STATE)).collect())
    }

    /// Logs in a range of blocks; in ever smaller pieces where the endpoint does not give them at
    /// once (many cap the range, or how much they answer). An error that may be too much was one
    /// for a single block.
    async fn logs(&self, filter: Filter, from: u64, to: u64) -> Result<Vec<Log>, RpcError> {
        let rpc: &Arc<Rpc> = self.provider.as_ref();
        let mut logs = Vec::new();
        let (mut start, mut blocks) = (from, to.saturating_sub(from).saturating_add(1));
        while start <= to {
            let end = to.min(start.saturating_add(blocks - 1));
            let piece = filter.clone().from_block(start).to_block(end);
            match rpc.request::<_, Vec<Log>>("eth_getLogs", [piece]).await {
                Ok(found) => {
                    logs.extend(found);
                    start = end.saturating_add(1);
                }
                Err(error) if blocks > 1 && error.may_be_too_much() => blocks /= 2,
                Err(error) => return Err(error),
            }
        }
        Ok(logs)
    }

    /// How many transactions an account has sent, mined only or with those that wait.
    pub(crate) async fn nonce(&self, account: Address, pending: bool) -> Result<u64, ChainError> {
        let at = if pending { BlockNumber::Pending } else { BlockNumber::Latest };
        Ok(self.provider.get_transaction_count(to_ethers(account), Some(at.into())).await?.as_u64())
    }

    /// The gas that a call takes if it is made next.
    pub(crate) async fn estimate(&self, tx: &TypedTransaction) -> Result<U256, ChainError> {
        Ok(self.provider.estimate_gas(tx, Some(BlockNumber::Pending.into())).await?)
    }

    /// The tip that the endpoint suggests, in wei.
    pub(crate) async fn suggested_tip(&self) -> Option<u128> {
        let tip: Result<U256, _> = self.provider.request("eth_maxPriorityFeePerGas", ()).await;
        tip.ok().and_then(|tip| u128::try_from(tip).ok())
    }

    /// The gas price of a chain without EIP-1559, in wei.
    pub(crate) async fn gas_price(&self) -> Result<u128, ChainError> {
        Ok(u128::try_from(self.provider.get_gas_price().await?).unwrap_or(u128::MAX))
    }

    pub(crate) async fn receipt(&self, tx: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        Ok(self.provider.get_transaction_receipt(hash_to_ethers(tx)).await?)
    }

    /// Who sent a transaction, if the chain knows it.
    pub async fn sender(&self, tx: B256) -> Result<Option<Address>, ChainError> {
        Ok(self.transaction(tx).await?.map(|transaction| from_ethers(transaction.from)))
    }

    pub(crate) async fn transaction(&self, tx: B256) -> Result<Option<Transaction>, ChainError> {
        Ok(self.provider.get_transaction(hash_to_ethers(tx)).await?)
    }

    /// Broadcasts a signed transaction. One that the endpoint has already is as good as sent.
    pub(crate) async fn broadcast(&self, raw: &[u8]) -> Result<(), ChainError> {
        match self.provider.send_raw_transaction(raw.to_vec().into()).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = error
                    .as_error_response()
                    .map(|response| response.message.to_lowercase())
                    .unwrap_or_default();
                let known = ["already known", "already imported", "known transaction"];
                if known.iter().any(|phrase| text.contains(phrase)) { Ok(()) } else { Err(error.into()) }
            }
        }
    }
}

/// The status of a mined transaction: whether it did what it should.
pub(crate) fn succeeded(receipt: &TransactionReceipt) -> bool {
    receipt.status != Some(U64::zero())
}

fn contract_error<M: Middleware<Error = ProviderError>>(error: ContractError<M>) -> ChainError {
    match error {
        ContractError::MiddlewareError { e } => e.into(),
        ContractError::ProviderError { e } => e.into(),
        ContractError::Revert(data) => {
            ChainError::Reverted(crate::error::revert_reason(Some(&data), "without a reason"))
        }
        other => ChainError::Nonsense(other.to_string()),
    }
}
