//! Transactions that have nothing to do with a channel: deploying THD and the factory, minting,
//! sending ether. The deploy tool makes them; each is waited for until it is mined.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use ethers::abi::AbiEncode;
use thunder_guard::transactions::fees::shortage;
use thunder_guard::transactions::{Fees, PlainAccount, PlainTransaction};
use thunder_guard::{Estimate, to_ethers};
use thunder_protocol::{Address, Amount, B256};
use zeroize::Zeroizing;

use crate::client::Chain;
use crate::contracts::CREATE2_DEPLOYER;
use crate::contracts::thd::MintCall;
use crate::error::ChainError;

/// How often other programs may be faster with the account's next nonce.
const TRIES: u32 = 20;
/// How long a transaction may take to be mined.
const MINED_WITHIN: Duration = Duration::from_secs(300);
/// How often the chain is asked whether it is.
const POLL: Duration = Duration::from_millis(100);
/// How often in a row the chain must say that another transaction has this one's nonce. Endpoints
/// with several nodes behind them may know the nonce before they know the transaction.
const SURE: u32 = 10;

/// An account that is used by hand, perhaps by several programs at once.
#[derive(Debug)]
pub struct Account {
    chain: Chain,
    signer: PlainAccount,
}

/// What became of one attempt.
enum Attempt {
    Mined(B256),
    /// Another transaction has taken the nonce, so this one can never be mined.
    Overtaken,
}

impl Account {
    /// The account of a secret key; asks the chain for its id.
    ///
    /// # Errors
    ///
    /// If that is not answered, or it is no key.
    pub async fn new(chain: Chain, secret: &Zeroizing<[u8; 32]>) -> Result<Self, ChainError> {
        let chain_id = chain.chain_id().await?.chain_id;
        let signer = PlainAccount::new(secret, chain_id).map_err(|_| ChainError::CantSign)?;
        Ok(Self { chain, signer })
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// The chain that it is used on.
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Creates a contract through the CREATE2 deployer (salt 0); returns the transaction.
    ///
    /// # Errors
    ///
    /// If it is not mined, or refused.
    pub async fn create(&self, init_code: &[u8]) -> Result<B256, ChainError> {
        self.execute(CREATE2_DEPLOYER, [&[0; 32][..], init_code].concat(), 0).await
    }

    /// Mints THD, which only their owner may; returns the transaction.
    ///
    /// # Errors
    ///
    /// If it is not mined, or refused.
    pub async fn mint(&self, to: Address, amount: Amount) -> Result<B256, ChainError> {
        let call = MintCall { to: to_ethers(to), value: amount.base_units().into() };
        self.execute(self.chain.contracts().token, call.encode(), 0).await
    }

    /// Sends ether; returns the transaction.
    ///
    /// # Errors
    ///
    /// If it is not mined.
    pub async fn send_ether(&self, to: Address, wei: u128) -> Result<B256, ChainError> {
        self.execute(to, Vec::new(), wei).await
    }

    /// Makes a transaction and waits until it is mined, once, however many others use the account.
    async fn execute(&self, to: Address, data: Vec<u8>, value: u128) -> Result<B256, ChainError> {
        let estimate = Estimate { from: self.address(), to, data: data.clone(), value };
        let gas = self.chain.estimate(estimate).await?;
        let gas = gas.saturating_add(gas / 4);
        for _ in 0..TRIES {
            let gas = gas.saturating_add(mark());
            let plain = PlainTransaction { to, data: data.clone(), gas, value };
            if let Attempt::Mined(tx) = self.attempt(&plain).await? {
                return Ok(tx);
            }
        }
        Err(ChainError::Refused(format!("other programs use up every nonce of {}", self.address())))
    }

    async fn attempt(&self, plain: &PlainTransaction) -> Result<Attempt, ChainError> {
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
                return if overtaken { Ok(Attempt::Overtaken) } else { Err(error) };
            }
        }
        tokio::time::timeout(MINED_WITHIN, self.mined(hash, nonce)).await.unwrap_or_else(|_| {
            let minutes = MINED_WITHIN.as_secs() / 60;
            Err(ChainError::Unreachable(format!(
                "has taken transaction {hash}, which is not mined after {minutes} minutes"
            )))
        })
    }

    async fn mined(&self, hash: B256, nonce: u64) -> Result<Attempt, ChainError> {
        let mut overtaken = 0;
        while overtaken < SURE {
            if let Some(receipt) = self.chain.receipt(hash).await? {
                return if receipt.succeeded {
                    Ok(Attempt::Mined(hash))
                } else {
                    Err(ChainError::Reverted(format!("transaction {hash} was mined, and refused")))
                };
            }
            let is_used = self.chain.nonce(self.address(), false).await? > nonce;
            overtaken = if is_used { overtaken + 1 } else { 0 };
            tokio::time::sleep(POLL).await;
        }
        Ok(Attempt::Overtaken)
    }
}

/// Some gas more, which is not used and so not paid: it makes this transaction another one than the
/// same by somebody else at the same time. Were they one, with one hash and one effect, both would
/// take it for theirs.
fn mark() -> u64 {
    // Seeded at random by the standard library, and another one each time.
    RandomState::new().build_hasher().finish() % 65_536
}
