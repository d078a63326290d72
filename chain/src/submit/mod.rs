//! Contract calls that are sent until they are mined.
//!
//! A call becomes a transaction once: calldata and account nonce are fixed, on disk, before it is
//! broadcast; after that only its fee changes. It is broadcast again while it is not mined, at a
//! fee that rises, and also when the chain takes the block with it back. Sending the same calldata
//! under another nonce (because another program used the account) can't have the effect twice: the
//! contract's states, the salt and the permit's nonce see to that.

mod account;
mod build;
mod fees;

use std::collections::VecDeque;

use ethers::signers::{LocalWallet, Signer as _};
use ethers::types::transaction::eip2718::TypedTransaction;
use ethers::types::{Eip1559TransactionRequest, TransactionRequest, U256};
use ethers::utils::keccak256;
use serde::{Deserialize, Serialize};
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{Call, CallKind};
use thunder_protocol::{Address, B256};
use zeroize::Zeroizing;

use crate::client::{Chain, Head, succeeded};
use crate::contracts::to_ethers;
use crate::error::ChainError;
pub use account::Account;
pub use build::challenge_calldata;
use fees::Fees;
pub use fees::GasFunds;

/// Blocks without being mined after which a transaction gets a higher fee.
const PATIENCE: u64 = 4;
/// The same for a challenge, and for everything that it has to wait for.
const URGENT_PATIENCE: u64 = 1;
/// Blocks for which an endpoint may not show yet that the own transaction has used a nonce.
const NONCE_PATIENCE: u64 = 2;
/// How deep a transaction is before it is forgotten, blocks beyond the confirmations.
const FORGET_AFTER: u64 = 32;

/// A call to be made.
#[derive(Debug, Clone)]
pub struct Request {
    /// The channel.
    pub terms: Terms,
    /// The call.
    pub call: Call,
}

/// A transaction that was signed and may be anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The channel.
    pub channel: Address,
    /// Which call.
    pub kind: CallKind,
    /// The contract called.
    pub to: Address,
    /// The calldata.
    #[serde(with = "bytes")]
    pub data: Vec<u8>,
    /// The gas limit.
    pub gas: u64,
    /// The account's nonce.
    pub nonce: u64,
    /// One for each fee that was tried, newest last.
    pub attempts: Vec<Attempt>,
    /// The newest block when the last one was made.
    pub sent_at: u64,
    /// The block that it was mined in, as far as is known.
    pub mined_at: Option<u64>,
    /// Since which block the account's nonce is used and none of the attempts is seen mined.
    #[serde(default)]
    pub nonce_used_at: Option<u64>,
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its hash.
    pub hash: B256,
    /// Its bytes.
    #[serde(with = "bytes")]
    pub raw: Vec<u8>,
    /// Its fee.
    pub fees: Fees,
}

mod bytes {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&ethers::utils::hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        ethers::utils::hex::decode(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// The disk, as far as transactions need it.
pub trait Journal {
    /// Writes a transaction, in place of an earlier state of it, durably, before it is broadcast.
    fn put(&mut self, sent: &Sent) -> Result<(), JournalError>;
    /// Forgets it.
    fn remove(&mut self, sent: &Sent) -> Result<(), JournalError>;
}

/// Writing failed; nothing was broadcast.
#[derive(Debug, Clone, thiserror::Error)]
#[error("can't write the transaction to disk: {0}")]
pub struct JournalError(pub String);

impl Chain {
    /// Whether an account can pay for a transaction of this much gas at today's fees.
    pub async fn require_ether(&self, account: Address, gas: u64) -> Result<(), ChainError> {
        let fees = Fees::suggest(self, &self.head().await?, false).await?;
        fees.require_ether(self, account, gas, U256::zero()).await
    }
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was not made, or the contract refused it.
    Failed {
        /// The channel.
        channel: Address,
        /// Which call.
        kind: CallKind,
        /// Why.
        error: ChainError,
    },
    /// It is in a block. What it brought about the channel's events tell.
    Mined {
        /// The channel.
        channel: Address,
        /// Which call.
        kind: CallKind,
        /// The transaction.
        tx: B256,
        /// The block.
        block: u64,
    },
}

/// Sends the calls of one account.
pub struct Submitter<J> {
    chain: Chain,
    wallet: LocalWallet,
    confirmations: u64,
    journal: J,
    /// By account nonce.
    sent: Vec<Sent>,
    /// Calls that must be made and could not be yet, because the chain was out of reach.
    waiting: VecDeque<Request>,
}

impl<J: Journal> Submitter<J> {
    /// Goes on with the transactions of an earlier life.
    pub fn new(
        chain: Chain,
        secret: &Zeroizing<[u8; 32]>,
        chain_id: u64,
        confirmations: u64,
        journal: J,
        sent: impl IntoIterator<Item = Sent>,
    ) -> Result<Self, ChainError> {
        let wallet = LocalWallet::from_bytes(secret.as_slice())
            .map_err(|error| ChainError::Nonsense(error.to_string()))?;
        let mut sent: Vec<_> = sent.into_iter().collect();
        sent.sort_by_key(|sent| sent.nonce);
        let wallet = wallet.with_chain_id(chain_id);
        Ok(Self { chain, wallet, confirmations, journal, sent, waiting: VecDeque::new() })
    }

    /// How many transactions are not mined.
    pub fn unmined(&self) -> usize {
        self.sent.iter().filter(|sent| sent.mined_at.is_none()).count() + self.waiting.len()
    }

    /// Makes a call, unless the same is under way.
    pub async fn submit(&mut self, request: Request) -> Option<Outcome> {
        let (channel, kind) = (request.terms.channel, request.call.kind());
        let under_way = self
            .sent
            .iter()
            .any(|sent| sent.channel == channel && sent.kind == kind && sent.mined_at.is_none());
        let queued =
            self.waiting.iter().any(|other| other.terms.channel == channel && other.call.kind() == kind);
        if under_way || queued {
            return None;
        }
        // A permit's nonce is right for one at a time.
        if uses_permit(kind) && self.sent.iter().any(|sent| uses_permit(sent.kind) && sent.mined_at.is_none())
        {
            self.waiting.push_back(request);
            return None;
        }
        match self.send(&request).await {
            Ok(()) => None,
            // What protects money is tried until it works; for the rest somebody waits.
            Err(error) if error.is_temporary() && matches!(kind, CallKind::Close | CallKind::Challenge) => {
                tracing::warn!(%channel, ?kind, %error, "can't send the transaction yet, will go on trying");
                match kind {
                    CallKind::Challenge => self.waiting.push_front(request),
                    _ => self.waiting.push_back(request),
                }
                None
            }
            Err(error) => Some(Outcome::Failed { channel, kind, error }),
        }
    }

    async fn send(&mut self, request: &Request) -> Result<(), ChainError> {
        let head = &self.chain.head().await?;
        let (to, data) = build::calldata(&self.chain, &self.wallet, request).await?;
        // A call to an address without code would be mined and do nothing.
        self.chain.require_code(to, "channel").await?;
        let kind = request.call.kind();
        let gas = self.estimate(to, &data, kind).await?;
        let mut fees = Fees::suggest(&self.chain, head, kind == CallKind::Challenge).await?;
        if kind == CallKind::Challenge {
            fees = fees.affordable(&self.chain, head, self.account(), gas).await?;
        } else {
            fees.require_ether(&self.chain, self.account(), gas, U256::zero()).await?;
        }
        let nonce = self.chain.nonce(self.account(), true).await?.max(next_nonce(&self.sent));
        let mut sent = Sent {
            channel: request.terms.channel,
            kind,
            to,
            data,
            gas,
            nonce,
            attempts: Vec::new(),
            sent_at: head.number,
            mined_at: None,
            nonce_used_at: None,
        };
        self.attempt(&mut sent, fees)?;
        // The same call may have been mined before and taken back since.
        self.sent.retain(|other| other.channel != sent.channel || other.kind != sent.kind);
        let refused = self.broadcast_newest(&sent).await.err().filter(|error| !error.is_temporary());
        if let Some(error) = refused {
            self.forget(&sent);
            return Err(error);
        }
        self.sent.push(sent);
        self.sent.sort_by_key(|sent| sent.nonce);
        Ok(())
    }

    fn account(&self) -> Address {
        crate::contracts::from_ethers(self.wallet.address())
    }

    async fn estimate(&self, to: Address, data: &[u8], kind: CallKind) -> Result<u64, ChainError> {
        let request =
            TransactionRequest::new().from(self.wallet.address()).to(to_ethers(to)).data(data.to_vec());
        let gas = self.chain.estimate(&request.into()).await?;
        // The state may be another by the time it is mined; what is not used is not paid.
        let margin = if kind == CallKind::Challenge { 2 } else { 4 };
        Ok(u64::try_from(gas + gas / margin).unwrap_or(u64::MAX))
    }

    /// Signs with these fees and writes it down. After this it may be broadcast. A challenge is, even
    /// if the disk takes nothing more: made a second time it has no second effect.
    fn attempt(&mut self, sent: &mut Sent, fees: Fees) -> Result<(), ChainError> {
        let tx = transaction(sent, &fees, self.wallet.chain_id());
        let signature = self
            .wallet
            .sign_transaction_sync(&tx)
            .map_err(|error| ChainError::Nonsense(error.to_string()))?;
        let raw = tx.rlp_signed(&signature).to_vec();
        sent.attempts.push(Attempt { hash: B256::new(keccak256(&raw)), raw, fees });
        match self.journal.put(sent) {
            Err(error) if sent.kind == CallKind::Challenge => {
                tracing::error!(channel = %sent.channel, %error, "sending the challenge all the same");
                Ok(())
            }
            written => written.map_err(|error| ChainError::Nonsense(error.to_string())),
        }
    }

    async fn broadcast_newest(&self, sent: &Sent) -> Result<(), ChainError> {
        match sent.attempts.last() {
            Some(attempt) => self.chain.broadcast(&attempt.raw).await,
            None => Ok(()),
        }
    }

    fn forget(&mut self, sent: &Sent) {
        if let Err(error) = self.journal.remove(sent) {
            // It is looked at again after a restart and found mined or useless; nothing is lost.
            tracing::warn!(%error, "can't forget a transaction");
        }
    }

    /// Looks after everything that is under way. To be called for every new block, and now and
    /// then while there is none.
    pub async fn advance(&mut self, head: &Head) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for request in std::mem::take(&mut self.waiting) {
            outcomes.extend(self.submit(request).await);
        }
        let urgent_up_to =
            self.sent.iter().filter(|sent| sent.kind == CallKind::Challenge && sent.mined_at.is_none());
        let urgent_up_to = urgent_up_to.map(|sent| sent.nonce).max();
        let mut free_nonce = next_nonce(&self.sent);
        let mut reachable = true;
        for mut sent in std::mem::take(&mut self.sent) {
            if !reachable {
                self.sent.push(sent);
                continue;
            }
            let urgent = urgent_up_to.is_some_and(|nonce| sent.nonce <= nonce);
            match self.look_after(&mut sent, head, urgent, &mut free_nonce).await {
                Ok(Next::Keep(outcome)) => {
                    outcomes.extend(outcome);
                    self.sent.push(sent);
                }
                Ok(Next::Forget(outcome)) => {
                    outcomes.extend(outcome);
                    self.forget(&sent);
                }
                Err(error @ ChainError::NoEther { .. }) => {
                    tracing::warn!(%error, channel = %sent.channel, kind = ?sent.kind, "can't raise a transaction's fee");
                    self.sent.push(sent);
                }
                Err(error) => {
                    // Each question may take as long as a timeout; the rest waits for the next time.
                    reachable = !error.is_temporary();
                    tracing::debug!(%error, channel = %sent.channel, kind = ?sent.kind, "can't look after a transaction");
                    self.sent.push(sent);
                }
            }
        }
        outcomes
    }

    async fn look_after(
        &mut self,
        sent: &mut Sent,
        head: &Head,
        urgent: bool,
        free_nonce: &mut u64,
    ) -> Result<Next, ChainError> {
        if let Some((tx, block, ok)) = self.find_mined(sent).await? {
            return Ok(self.mined(sent, tx, block, ok, head));
        }
        if sent.mined_at.take().is_some() {
            tracing::warn!(channel = %sent.channel, kind = ?sent.kind, "the chain took a transaction back, sending it again");
            self.journal.put(sent).map_err(|error| ChainError::Nonsense(error.to_string()))?;
        }
        let (channel, kind) = (sent.channel, sent.kind);
        if self.chain.nonce(self.account(), false).await? > sent.nonce {
            // Another program used the account's nonce. The same calldata goes out under a new one.
            // Or an own attempt was mined and the endpoint does not show its receipt yet.
            let since = *sent.nonce_used_at.get_or_insert(head.number);
            if head.number < since.saturating_add(NONCE_PATIENCE) {
                return Ok(Next::Keep(None));
            }
            sent.nonce_used_at = None;
            return match self.renumber(sent, head, free_nonce).await {
                Ok(()) => Ok(Next::Keep(None)),
                Err(error) if error.is_temporary() => Ok(Next::Keep(None)),
                Err(error) => Ok(Next::Forget(Some(Outcome::Failed { channel, kind, error }))),
            };
        }
        sent.nonce_used_at = None;
        let patience = if urgent { URGENT_PATIENCE } else { PATIENCE };
        if head.number >= sent.sent_at.saturating_add(patience) {
            if let Err(error) = self.raise(sent, head, urgent).await {
                // Whatever keeps the fee from rising, the transaction itself must not be forgotten.
                self.rebroadcast(sent).await?;
                return Err(error);
            }
        } else if !self.is_known(sent).await? {
            self.rebroadcast(sent).await?;
        }
        Ok(Next::Keep(None))
    }

    fn mined(&mut self, sent: &mut Sent, tx: B256, block: u64, ok: bool, head: &Head) -> Next {
        let (channel, kind) = (sent.channel, sent.kind);
        let is_new = sent.mined_at != Some(block);
        if is_new {
            sent.mined_at = Some(block);
            if let Err(error) = self.journal.put(sent) {
                tracing::warn!(%error, "can't note that a transaction was mined");
            }
        }
        let deep = head.number >= block.saturating_add(self.confirmations).saturating_add(FORGET_AFTER);
        if !ok {
            let error = ChainError::Reverted(format!("transaction {tx} was mined, and refused"));
            return Next::Forget(Some(Outcome::Failed { channel, kind, error }));
        }
        let outcome = is_new.then_some(Outcome::Mined { channel, kind, tx, block });
        if deep { Next::Forget(outcome) } else { Next::Keep(outcome) }
    }

    async fn find_mined(&self, sent: &Sent) -> Result<Option<(B256, u64, bool)>, ChainError> {
        for attempt in sent.attempts.iter().rev() {
            if let Some(receipt) = self.chain.receipt(attempt.hash).await?
                && let Some(block) = receipt.block_number
            {
                return Ok(Some((attempt.hash, block.as_u64(), succeeded(&receipt))));
            }
        }
        Ok(None)
    }

    async fn is_known(&self, sent: &Sent) -> Result<bool, ChainError> {
        match sent.attempts.last() {
            Some(attempt) => Ok(self.chain.transaction(attempt.hash).await?.is_some()),
            None => Ok(true),
        }
    }

    async fn rebroadcast(&self, sent: &Sent) -> Result<(), ChainError> {
        tracing::info!(channel = %sent.channel, kind = ?sent.kind, "sending a transaction again");
        self.broadcast_newest(sent).await
    }

    /// The same transaction at a higher fee.
    async fn raise(&mut self, sent: &mut Sent, head: &Head, urgent: bool) -> Result<(), ChainError> {
        let Some(last) = sent.attempts.last().map(|attempt| attempt.fees) else { return Ok(()) };
        let market = Fees::suggest(&self.chain, head, urgent).await?;
        let Some(mut fees) = last.raised(&market, urgent) else {
            tracing::warn!(channel = %sent.channel, kind = ?sent.kind, "a transaction waits at the highest fee that is allowed");
            return self.rebroadcast(sent).await;
        };
        if sent.kind == CallKind::Challenge {
            fees = fees.affordable(&self.chain, head, self.account(), sent.gas).await?;
        } else {
            fees.require_ether(&self.chain, self.account(), sent.gas, U256::zero()).await?;
        }
        tracing::info!(channel = %sent.channel, kind = ?sent.kind, max_fee = fees.max_fee, "raising a transaction's fee");
        sent.sent_at = head.number;
        self.attempt(sent, fees)?;
        self.broadcast_newest(sent).await
    }

    async fn renumber(
        &mut self,
        sent: &mut Sent,
        head: &Head,
        free_nonce: &mut u64,
    ) -> Result<(), ChainError> {
        tracing::warn!(channel = %sent.channel, kind = ?sent.kind, nonce = sent.nonce, "another program used the account's nonce");
        self.chain.require_code(sent.to, "channel").await?;
        self.estimate(sent.to, &sent.data, sent.kind).await?;
        let fees = Fees::suggest(&self.chain, head, sent.kind == CallKind::Challenge).await?;
        sent.nonce = self.chain.nonce(self.account(), true).await?.max(*free_nonce);
        *free_nonce = sent.nonce + 1;
        sent.sent_at = head.number;
        self.attempt(sent, fees)?;
        self.broadcast_newest(sent).await
    }
}

/// The account nonce after those of the own transactions that wait to be mined.
fn next_nonce(sent: &[Sent]) -> u64 {
    let unmined = sent.iter().filter(|sent| sent.mined_at.is_none());
    unmined.map(|sent| sent.nonce + 1).max().unwrap_or(0)
}

/// Whether the call carries an EIP-2612 permit.
const fn uses_permit(kind: CallKind) -> bool {
    matches!(kind, CallKind::Open | CallKind::Fund)
}

enum Next {
    Keep(Option<Outcome>),
    Forget(Option<Outcome>),
}

fn transaction(sent: &Sent, fees: &Fees, chain_id: u64) -> TypedTransaction {
    let request = TransactionRequest::new()
        .to(to_ethers(sent.to))
        .data(sent.data.clone())
        .nonce(sent.nonce)
        .gas(sent.gas);
    with_fees(request, fees, chain_id)
}

/// The transaction as EIP-1559 has it, or, on a chain without that, with a plain gas price.
fn with_fees(request: TransactionRequest, fees: &Fees, chain_id: u64) -> TypedTransaction {
    let Some(tip) = fees.tip else {
        return request.chain_id(chain_id).gas_price(fees.max_fee).into();
    };
    Eip1559TransactionRequest {
        from: request.from,
        to: request.to,
        gas: request.gas,
        value: request.value,
        data: request.data,
        nonce: request.nonce,
        ..Eip1559TransactionRequest::new()
    }
    .chain_id(chain_id)
    .max_fee_per_gas(fees.max_fee)
    .max_priority_fee_per_gas(tip)
    .into()
}
