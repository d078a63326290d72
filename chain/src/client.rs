//! `ChainClient`: single questions to a chain, beside the guard's: balances for users, and what `thunder-deploy` asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::de::DeserializeOwned;
use serde_json::Value;
use thunder_guard::transactions::fees::shortage;
use thunder_guard::transactions::{Fees, gas_limit};
use thunder_guard::{
    AskError, ChainIdentity, Contracts, EndpointAnswer, Head, Question, TransactionReceipt, balance_calldata,
    read_address, read_number, token_calldata,
};
use thunder_protocol::onchain::CallKind;
use thunder_protocol::{Address, B256};

use crate::error::ChainError;
use crate::transport::{RpcUrls, TIMEOUT, Transport};

/// Asks a chain through one or several RPC endpoints. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ChainClient {
    transports: Arc<[Transport]>,
    /// The index of the endpoint that answered last, which is asked first.
    preferred: Arc<AtomicUsize>,
    contracts: Contracts,
}

impl ChainClient {
    /// A client for the endpoints. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// If no client can be made, for want of certificates for instance.
    pub fn new(urls: &RpcUrls, contracts: Contracts) -> Result<Self, ChainError> {
        let transports = urls.iter().map(Transport::new).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { transports: transports.into(), preferred: Arc::default(), contracts })
    }

    /// Where THD and the factory are.
    pub const fn contracts(&self) -> Contracts {
        self.contracts
    }

    pub(crate) fn transports(&self) -> Arc<[Transport]> {
        Arc::clone(&self.transports)
    }

    /// Asks one endpoint after the other until one answers; a revert is an answer.
    async fn ask(&self, question: &Question) -> Result<EndpointAnswer, ChainError> {
        let count = self.transports.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failed = None;
        for place in 0..count {
            let index = (first + place) % count;
            let Some(transport) = self.transports.get(index) else { continue };
            let answer =
                Box::pin(transport.ask(question, TIMEOUT)).await.and_then(|json| question.read(&json));
            match answer {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if error.is_revert() => return Err(error.into()),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or(AskError::Timeout).into())
    }

    async fn number(&self, question: Question) -> Result<u128, ChainError> {
        match self.ask(&question).await? {
            EndpointAnswer::Number(number) => Ok(number),
            _ => Err(unexpected()),
        }
    }

    async fn bytes(&self, question: Question) -> Result<Vec<u8>, ChainError> {
        match self.ask(&question).await? {
            EndpointAnswer::Bytes(bytes) => Ok(bytes),
            _ => Err(unexpected()),
        }
    }

    /// Calls any method of the first endpoint.
    ///
    /// # Errors
    ///
    /// If it is not answered, or with something else.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: &Value) -> Result<T, ChainError> {
        let Some(transport) = self.transports.first() else { return Err(unexpected()) };
        let json = transport.call(method, params).await?;
        serde_json::from_str(&json).map_err(|error| {
            ChainError::InvalidResponse(format!("gives an answer that makes no sense: {error}"))
        })
    }

    /// The chain's id and genesis block.
    ///
    /// # Errors
    ///
    /// If it is not answered.
    pub async fn chain_identity(&self) -> Result<ChainIdentity, ChainError> {
        let chain_id = self.number(Question::ChainId).await?;
        let chain_id = u64::try_from(chain_id).map_err(|_| unexpected())?;
        let genesis =
            self.block(0).await?.ok_or_else(|| ChainError::InvalidResponse("shows no block 0".into()))?;
        Ok(ChainIdentity { chain_id, genesis: genesis.hash })
    }

    /// The newest block.
    ///
    /// # Errors
    ///
    /// If it is not answered.
    pub async fn head(&self) -> Result<Head, ChainError> {
        match self.ask(&Question::Newest).await? {
            EndpointAnswer::Block(Some(head)) => Ok(head),
            _ => Err(unexpected()),
        }
    }

    /// The block with this number, if there is one.
    ///
    /// # Errors
    ///
    /// If it is not answered.
    pub async fn block(&self, number: u64) -> Result<Option<Head>, ChainError> {
        match self.ask(&Question::Block(number)).await? {
            EndpointAnswer::Block(block) => Ok(block),
            _ => Err(unexpected()),
        }
    }

    /// An account's THD in base units.
    ///
    /// # Errors
    ///
    /// If it is not answered, or there is no THD.
    pub async fn thd_balance(&self, account: Address) -> Result<u128, ChainError> {
        let token = self.contracts.token;
        let answer = self.bytes(Question::Call { to: token, data: balance_calldata(account) }).await;
        match answer.map(|bytes| read_number(&bytes)) {
            Ok(Some(balance)) => Ok(balance),
            Err(error) if error.is_temporary() => Err(error),
            Ok(None) | Err(_) => {
                self.require_code(token, "THD").await?;
                Err(unexpected())
            }
        }
    }

    /// An account's ether in wei.
    ///
    /// # Errors
    ///
    /// If it is not answered.
    pub async fn eth_balance(&self, account: Address) -> Result<u128, ChainError> {
        self.number(Question::Balance(account)).await
    }

    /// Makes sure that an account can pay for the gas of a call at today's price.
    ///
    /// # Errors
    ///
    /// If it can't, or it is not answered.
    pub async fn require_ether(&self, account: Address, call: CallKind) -> Result<(), ChainError> {
        let head = self.head().await?;
        let fees = Fees::suggest(head.base_fee, self.suggested_price(&head).await);
        let available = self.eth_balance(account).await?;
        match shortage(fees.cost(gas_limit(call)), available) {
            Some(missing) => Err(ChainError::no_ether(missing)),
            None => Ok(()),
        }
    }

    /// Makes sure that THD and the factory are there and belong together.
    ///
    /// # Errors
    ///
    /// If they are not, or it is not answered.
    pub async fn require_contracts(&self) -> Result<(), ChainError> {
        let Contracts { token, factory } = self.contracts;
        self.require_code(token, "THD").await?;
        self.require_code(factory, "channel factory").await?;
        let answer = self.bytes(Question::Call { to: factory, data: token_calldata() }).await?;
        match read_address(&answer) {
            Some(actual) if actual == token => Ok(()),
            Some(actual) => Err(ChainError::Missing(format!(
                "the factory at {factory} is for the token {actual}, not {token}"
            ))),
            None => Err(ChainError::Missing(format!("the contract at {factory} is no channel factory"))),
        }
    }

    async fn require_code(&self, at: Address, what: &str) -> Result<(), ChainError> {
        if self.code(at).await?.is_empty() {
            return Err(ChainError::Missing(format!("there is no {what} contract at {at}")));
        }
        Ok(())
    }

    /// The code at an address.
    ///
    /// # Errors
    ///
    /// If it is not answered.
    pub async fn code(&self, at: Address) -> Result<Vec<u8>, ChainError> {
        self.bytes(Question::Code(at)).await
    }

    /// The sender of a transaction, if the chain knows it.
    ///
    /// # Errors
    ///
    /// If it is not answered.
    pub async fn sender(&self, tx: B256) -> Result<Option<Address>, ChainError> {
        match self.ask(&Question::Sender(tx)).await? {
            EndpointAnswer::Sender(sender) => Ok(sender),
            _ => Err(unexpected()),
        }
    }

    pub(crate) async fn receipt(&self, tx: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        match self.ask(&Question::Receipt(tx)).await? {
            EndpointAnswer::Receipt(receipt) => Ok(receipt),
            _ => Err(unexpected()),
        }
    }

    /// How many transactions an account has sent, mined only or with those that wait.
    pub(crate) async fn nonce(&self, account: Address, pending: bool) -> Result<u64, ChainError> {
        let question = if pending { Question::PendingNonce(account) } else { Question::Nonce(account) };
        u64::try_from(self.number(question).await?).map_err(|_| unexpected())
    }

    pub(crate) async fn estimate(&self, estimate: thunder_guard::Estimate) -> Result<u64, ChainError> {
        let gas = self.number(Question::Estimate(Box::new(estimate))).await?;
        u64::try_from(gas).map_err(|_| unexpected())
    }

    /// The suggested tip, or the gas price of a chain without EIP-1559; `None` if the endpoint does not
    /// say.
    pub(crate) async fn suggested_price(&self, head: &Head) -> Option<u128> {
        let question = if head.base_fee.is_some() { Question::Tip } else { Question::GasPrice };
        self.number(question).await.ok()
    }

    /// Broadcasts a signed transaction.
    pub(crate) async fn broadcast(&self, raw: &[u8]) -> Result<(), ChainError> {
        let question = Question::Send(Arc::from(raw));
        match self.ask(&question).await? {
            EndpointAnswer::Sent => Ok(()),
            _ => Err(unexpected()),
        }
    }
}

fn unexpected() -> ChainError {
    ChainError::InvalidResponse("gives an answer that makes no sense".into())
}
