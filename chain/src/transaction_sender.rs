//! `TransactionSender`: signs, sends and awaits transactions of one account, for `thunder-deploy` alone.
//!
//! They have nothing to do with a channel (deploying THD and the factory, minting, sending ether); a channel's
//! transactions are the guard's.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use ethers::abi::AbiEncode;
use thunder_guard::transactions::fees::shortage;
use thunder_guard::transactions::{Fees, PlainSigner, PlainTransaction};
use thunder_guard::{Estimate, to_ethers};
use thunder_protocol::{Address, Amount, B256};
use zeroize::Zeroizing;

use crate::client::ChainClient;
use crate::contracts::CREATE2_DEPLOYER;
use crate::contracts::thd::MintCall;
use crate::error::ChainError;

/// How many nonces in a row other programs may take before this one gives up.
const TRIES: u32 = 20;
/// How long a transaction is waited for.
const MINED_WITHIN: Duration = Duration::from_secs(300);
/// The pause between two questions whether a transaction is mined.
const POLL: Duration = Duration::from_millis(100);
/// After how many answers in a row that the nonce is used, without a receipt, another transaction is taken to have used
/// it. An endpoint with several nodes behind it may know the nonce before it knows the receipt.
const OVERTAKEN_POLLS: u32 = 10;

/// Sends transactions from one account, which other programs may use at the same time.
#[derive(Debug)]
pub struct TransactionSender {
    chain: ChainClient,
    signer: PlainSigner,
}

/// What became of one signed transaction.
enum SendResult {
    Mined(B256),
    /// Another transaction has taken the nonce, so this one can never be mined.
    Overtaken,
}

impl TransactionSender {
    /// A sender for the account of a secret key. Asks the chain for its id, which is signed with each transaction.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or the secret is no key.
    pub async fn new(chain: ChainClient, secret: &Zeroizing<[u8; 32]>) -> Result<Self, ChainError> {
        let chain_id = chain.chain_identity().await?.chain_id;
        let signer = PlainSigner::new(secret, chain_id).map_err(|_| ChainError::CantSign)?;
        Ok(Self { chain, signer })
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// The chain that the transactions are sent to.
    pub const fn chain(&self) -> &ChainClient {
        &self.chain
    }

    /// Creates a contract through the CREATE2 deployer (salt 0). Returns the transaction's hash.
    ///
    /// # Errors
    ///
    /// If it is not mined, or refused.
    pub async fn create(&self, init_code: &[u8]) -> Result<B256, ChainError> {
        self.execute(CREATE2_DEPLOYER, [&[0; 32][..], init_code].concat(), 0).await
    }

    /// Mints THD, which only THD's owner may. Returns the transaction's hash.
    ///
    /// # Errors
    ///
    /// If it is not mined, or refused.
    pub async fn mint(&self, to: Address, amount: Amount) -> Result<B256, ChainError> {
        let call = MintCall { to: to_ethers(to), value: amount.base_units().into() };
        self.execute(self.chain.contracts().token, call.encode(), 0).await
    }

    /// Sends ether. Returns the transaction's hash.
    ///
    /// # Errors
    ///
    /// If it is not mined.
    pub async fn send_ether(&self, to: Address, wei: u128) -> Result<B256, ChainError> {
        self.execute(to, Vec::new(), wei).await
    }

    /// Sends a transaction and waits until it is mined: with another nonce whenever another program has used the last
    /// one, so exactly once.
    async fn execute(&self, to: Address, data: Vec<u8>, value: u128) -> Result<B256, ChainError> {
        let estimate = Estimate { from: self.address(), to, data: data.clone(), value };
        let gas = self.chain.estimate(estimate).await?;
        let gas = gas.saturating_add(gas / 4);
        for _ in 0..TRIES {
            let gas = gas.saturating_add(extra_gas());
            let plain = PlainTransaction { to, data: data.clone(), gas, value };
            if let SendResult::Mined(tx) = self.attempt(&plain).await? {
                return Ok(tx);
            }
        }
        Err(ChainError::Refused(format!("other programs use up every nonce of {}", self.address())))
    }

    async fn attempt(&self, plain: &PlainTransaction) -> Result<SendResult, ChainError> {
        let head = self.chain.head().await?;
        let fees = Fees::suggest(head.base_fee, self.chain.suggested_price(&head).await);
        let available = self.chain.eth_balance(self.address()).await?;
        let needed = fees.cost(plain.gas).saturating_add(plain.value);
        if let Some(missing) = shortage(needed, available) {
            return Err(ChainError::no_ether(missing));
        }
        let nonce = self.chain.nonce(self.address(), true).await?;
        let (raw, hash) = self.signer.sign(plain, nonce, fees).map_err(|_| ChainError::CantSign)?;
        if let Err(error) = self.chain.broadcast(&raw).await {
            // The answer may have been lost, not the transaction.
            if self.chain.sender(hash).await?.is_none() {
                let overtaken = self.chain.nonce(self.address(), true).await? > nonce;
                return if overtaken { Ok(SendResult::Overtaken) } else { Err(error) };
            }
        }
        tokio::time::timeout(MINED_WITHIN, self.mined(hash, nonce)).await.unwrap_or_else(|_| {
            let minutes = MINED_WITHIN.as_secs() / 60;
            Err(ChainError::Unreachable(format!(
                "has taken transaction {hash}, which is not mined after {minutes} minutes"
            )))
        })
    }

    async fn mined(&self, hash: B256, nonce: u64) -> Result<SendResult, ChainError> {
        let mut overtaken = 0;
        while overtaken < OVERTAKEN_POLLS {
            if let Some(receipt) = self.chain.receipt(hash).await? {
                return if receipt.succeeded {
                    Ok(SendResult::Mined(hash))
                } else {
                    Err(ChainError::Reverted(format!("transaction {hash} was mined, and refused")))
                };
            }
            let is_used = self.chain.nonce(self.address(), false).await? > nonce;
            overtaken = if is_used { overtaken + 1 } else { 0 };
            tokio::time::sleep(POLL).await;
        }
        Ok(SendResult::Overtaken)
    }
}

/// A random amount of gas on top of the limit, which is not used and so not paid. Two programs that send the same call
/// with the same nonce would otherwise sign the same transaction: mined once, and taken by both for theirs.
fn extra_gas() -> u64 {
    // Seeded at random by the standard library, and another one each time.
    RandomState::new().build_hasher().finish() % 65_536
}
