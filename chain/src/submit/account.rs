//! Transactions that have nothing to do with a channel: deploying THD and the factory, minting,
//! sending ether. The deploy tool makes them; each is waited for until it is mined.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use ethers::abi::AbiEncode;
use ethers::signers::{LocalWallet, Signer as _};
use ethers::types::TransactionRequest;
use ethers::utils::keccak256;
use thunder_protocol::{Address, Amount, B256};
use zeroize::Zeroizing;

use super::fees::Fees;
use super::with_fees;
use crate::client::{Chain, succeeded};
use crate::contracts::thd::MintCall;
use crate::contracts::{CREATE2_DEPLOYER, amount_to_ethers, from_ethers, to_ethers};
use crate::error::ChainError;

/// How often other programs may be faster with the account's next nonce.
const TRIES: u32 = 20;
/// How long a transaction may take to be mined.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the chain is asked whether it is.
const POLL: Duration = Duration::from_millis(100);
/// How often in a row the chain must say that another transaction has this one's nonce. Endpoints
/// with several nodes behind them may know the nonce before they know the transaction.
const SURE: u32 = 10;

/// An account that is used by hand, perhaps by several programs at once.
pub struct Account {
    chain: Chain,
    wallet: LocalWallet,
}

/// What became of one attempt.
enum Attempt {
    Mined(B256),
    /// Another transaction has taken the nonce, so this one can never be mined.
    Overtaken,
}

impl Account {
    /// The account of a secret key; asks the chain for its id.
    pub async fn new(chain: Chain, secret: &Zeroizing<[u8; 32]>) -> Result<Self, ChainError> {
        let wallet = LocalWallet::from_bytes(secret.as_slice())
            .map_err(|error| ChainError::Nonsense(error.to_string()))?;
        let chain_id = chain.identity().await?.chain_id;
        Ok(Self { chain, wallet: wallet.with_chain_id(chain_id) })
    }

    /// Its address.
    pub fn address(&self) -> Address {
        from_ethers(self.wallet.address())
    }

    /// The chain that it is used on.
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Creates a contract through the CREATE2 deployer (salt 0); returns the transaction.
    pub async fn create(&self, init_code: &[u8]) -> Result<B256, ChainError> {
        self.execute(CREATE2_DEPLOYER, [&[0; 32][..], init_code].concat(), 0).await
    }

    /// Mints THD, which only their owner may; returns the transaction.
    pub async fn mint(&self, to: Address, amount: Amount) -> Result<B256, ChainError> {
        let call = MintCall { to: to_ethers(to), value: amount_to_ethers(amount) };
        self.execute(self.chain.contracts().token, call.encode(), 0).await
    }

    /// Sends ether; returns the transaction.
    pub async fn send_ether(&self, to: Address, wei: u128) -> Result<B256, ChainError> {
        self.execute(to, Vec::new(), wei).await
    }

    /// Makes a transaction and waits until it is mined, once, however many others use the account.
    async fn execute(&self, to: Address, data: Vec<u8>, value: u128) -> Result<B256, ChainError> {
        let request = TransactionRequest::new().to(to_ethers(to)).data(data).value(value);
        let gas = self.chain.estimate(&request.clone().from(self.wallet.address()).into()).await?;
        let request = request.gas(gas + gas / 4);
        for _ in 0..TRIES {
            if let Attempt::Mined(tx) = self.attempt(&request).await? {
                return Ok(tx);
            }
        }
        Err(ChainError::Unreachable(format!("other programs use up every nonce of {}", self.address())))
    }

    async fn attempt(&self, request: &TransactionRequest) -> Result<Attempt, ChainError> {
        let fees = Fees::suggest(&self.chain, &self.chain.head().await?, false).await?;
        let gas = u64::try_from(request.gas.unwrap_or_default()).unwrap_or(u64::MAX).saturating_add(mark());
        fees.require_ether(&self.chain, self.address(), gas, request.value.unwrap_or_default()).await?;
        let nonce = self.chain.nonce(self.address(), true).await?;
        let tx = with_fees(request.clone().nonce(nonce).gas(gas), &fees, self.wallet.chain_id());
        let signature = self
            .wallet
            .sign_transaction_sync(&tx)
            .map_err(|error| ChainError::Nonsense(error.to_string()))?;
        let raw = tx.rlp_signed(&signature).to_vec();
        let hash = B256::new(keccak256(&raw));
        if let Err(error) = self.chain.broadcast(&raw).await {
            // The answer may have been lost, not the transaction.
            if self.chain.transaction(hash).await?.is_none() {
                let overtaken = self.chain.nonce(self.address(), true).await? > nonce;
                return if overtaken { Ok(Attempt::Overtaken) } else { Err(error) };
            }
        }
        tokio::time::timeout(PATIENCE, self.mined(hash, nonce)).await.unwrap_or_else(|_| {
            let minutes = PATIENCE.as_secs() / 60;
            Err(ChainError::Unreachable(format!(
                "transaction {hash} was sent and is not mined after {minutes} minutes"
            )))
        })
    }

    async fn mined(&self, hash: B256, nonce: u64) -> Result<Attempt, ChainError> {
        let mut overtaken = 0;
        while overtaken < SURE {
            if let Some(receipt) = self.chain.receipt(hash).await? {
                return if succeeded(&receipt) {
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
