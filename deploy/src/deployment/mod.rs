//! THD and the channel factory deployed, at addresses that every local testnet shares; and minting THD.
//!
//! The addresses come from the deterministic CREATE2 deployer.
//!
//! Everything may be repeated, and done by several programs at once: what is there is not deployed
//! again.

pub(crate) mod local;

use alloy_primitives::{Address, B256, address, hex};
use serde_json::{Value, json};
use thunder_chain::contracts::{
    CREATE2_DEPLOYER, create2_address, factory_init_code, local_testnet_contracts, thd_init_code,
};
use thunder_chain::{Amount, ChainClient, ChainError, Contracts, RpcUrl, RpcUrls, TransactionSender};

use crate::error::{ErrorInfo, Exit, chain_error_info};
use crate::keys::{DevelopmentAccount, OperatorKeyError, SecretKey};
use crate::units::ETHER;

/// The account that the CREATE2 deployer's transaction comes from. Nobody has its key: the
/// signature was made up, and the account computed from it.
const DEPLOYER_SENDER: Address = address!("3fAB184622Dc19b6109349B94811493BF2a45362");
/// The most that the CREATE2 deployer's transaction costs: 100,000 gas at 100 gwei.
const DEPLOYER_COST: u128 = ETHER / 100;
/// The CREATE2 deployer's code.
const DEPLOYER_CODE: [u8; 69] = hex!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);
/// The ether that the owner of THD gets on a local testnet when less than one ETH is left.
const OWNER_ETHER: u128 = 1_000 * ETHER;
/// The ether that an account without any gets for gas.
const ETHER_FOR_GAS: u128 = 10 * ETHER;

/// The opcodes of the contracts that not every chain has: creation code that uses one and returns nothing, and its name.
const REQUIRED_OPCODES: [(&str, &str); 2] = [
    ("0x5f5ff3", "PUSH0 (EIP-3855), which Shanghai brought"),
    ("0x6000600060005e60006000f3", "MCOPY (EIP-5656), which Cancun brought"),
];
/// Creation code that every chain runs: it returns an empty contract.
const EMPTY_INIT_CODE: &str = "0x60006000f3";

/// Why something on the chain was not done.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The chain does not answer, or a transaction failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// There is no usable key.
    #[error(transparent)]
    Key(#[from] OperatorKeyError),
    /// The command is for local testnets only.
    #[error("chain {chain_id} is no local testnet: {what}")]
    NotLocal {
        /// The chain's id.
        chain_id: u64,
        /// What is not done on it.
        what: &'static str,
    },
    /// The chain does not have an opcode that the contracts use.
    #[error("chain {chain_id} does not know the opcode {opcode}; THD and the channel contracts need it")]
    TooOld {
        /// The chain's id.
        chain_id: u64,
        /// The opcode, and since when Ethereum has it.
        opcode: &'static str,
    },
    /// The chain has no CREATE2 deployer and does not let it be deployed.
    #[error("the chain has no CREATE2 deployer at {CREATE2_DEPLOYER}, and refuses its transaction: {0}")]
    NoDeployer(ChainError),
}

impl DeployError {
    pub(crate) fn info(&self) -> ErrorInfo {
        match self {
            Self::Chain(error) => chain_error_info(error),
            Self::Key(error) => error.info(),
            Self::NotLocal { .. } => ErrorInfo {
                code: "not_local",
                exit: Exit::Refused,
                hint: "name a local testnet with --RPC (chain id 31337 or 1337)".into(),
            },
            Self::TooOld { .. } => ErrorInfo {
                code: "chain_too_old",
                exit: Exit::Chain,
                hint: "use a chain with the Cancun upgrade (anvil: without --hardfork, or with --hardfork cancun)".into(),
            },
            Self::NoDeployer(_) => ErrorInfo {
                code: "transaction_failed",
                exit: Exit::Chain,
                hint: "use a chain that takes transactions without a chain id (before EIP-155), or has the deployer".into(),
            },
        }
    }
}

/// The deployed contracts, and which of them are new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployed {
    /// The addresses of THD and the factory.
    pub contracts: Contracts,
    /// Whether this call has deployed THD.
    pub new_token: bool,
    /// Whether this call has deployed the factory.
    pub new_factory: bool,
}

/// Acts as the owner of THD: deploys, mints, and gives ether for gas.
pub struct Operator {
    sender: TransactionSender,
    chain_id: u64,
}

impl Operator {
    /// The owner on a local testnet is whoever `key` belongs to, or the first of the well-known
    /// accounts; on other chains there has to be a key.
    pub async fn connect(url: &RpcUrl, key: Option<SecretKey>) -> Result<Self, DeployError> {
        let urls = RpcUrls::from(url.clone());
        let chain = ChainClient::new(&urls, local_testnet_contracts())?;
        let chain_id = chain.chain_identity().await?.chain_id;
        match key {
            Some(key) => {
                let token = create2_address(&thd_init_code(key.address()));
                let contracts = Contracts { token, factory: create2_address(&factory_init_code(token)) };
                Self::new(ChainClient::new(&urls, contracts)?, chain_id, &key).await
            }
            None if local::is_local(chain_id) => Self::local(&chain).await,
            None => Err(OperatorKeyError::Needed { chain_id }.into()),
        }
    }

    /// The owner on a local testnet.
    pub async fn local(chain: &ChainClient) -> Result<Self, DeployError> {
        let chain_id = chain.chain_identity().await?.chain_id;
        Self::new(chain.clone(), chain_id, &DevelopmentAccount::new(0)?.key).await
    }

    async fn new(chain: ChainClient, chain_id: u64, key: &SecretKey) -> Result<Self, DeployError> {
        let sender = TransactionSender::new(chain, key.expose()).await?;
        Ok(Self { sender, chain_id })
    }

    /// The chain's id.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The chain, with the addresses that THD and the factory of this owner have.
    pub const fn chain(&self) -> &ChainClient {
        self.sender.chain()
    }

    /// Whether the chain is a local testnet.
    pub fn is_local(&self) -> bool {
        local::is_local(self.chain_id)
    }

    /// Deploys THD and the factory if they are not there, and makes sure that they belong together.
    pub async fn deploy(&self) -> Result<Deployed, DeployError> {
        self.require_opcodes().await?;
        let contracts = self.chain().contracts();
        let has_token = self.is_there(contracts.token).await?;
        let has_factory = self.is_there(contracts.factory).await?;
        if !has_token || !has_factory {
            self.ensure_owner_ether().await?;
            self.ensure_deployer().await?;
        }
        let new_token =
            !has_token && self.create(contracts.token, &thd_init_code(self.sender.address())).await?;
        let new_factory =
            !has_factory && self.create(contracts.factory, &factory_init_code(contracts.token)).await?;
        self.chain().require_contracts().await?;
        Ok(Deployed { contracts, new_token, new_factory })
    }

    /// Mints THD; returns the transaction.
    pub async fn give_thd(&self, to: Address, amount: Amount) -> Result<B256, DeployError> {
        self.ensure_owner_ether().await?;
        Ok(self.sender.mint(to, amount).await?)
    }

    /// On a local testnet, gives an account ether for gas if it has none at all. Returns how much,
    /// in wei.
    pub async fn give_gas(&self, to: Address) -> Result<Option<u128>, DeployError> {
        if !self.is_local() || self.chain().eth_balance(to).await? != 0 {
            return Ok(None);
        }
        if local::set_balance(self.chain(), to, ETHER_FOR_GAS).await.is_err() {
            // A testnet without a method that sets an account's ether.
            self.sender.send_ether(to, ETHER_FOR_GAS).await?;
        }
        Ok(Some(ETHER_FOR_GAS))
    }

    /// Creates a contract. Returns whether it was not there before: another program may have been
    /// faster, and then the deployer refuses.
    async fn create(&self, at: Address, init_code: &[u8]) -> Result<bool, DeployError> {
        match self.sender.create(init_code).await {
            Ok(_) if self.is_there(at).await? => Ok(true),
            Ok(_) => {
                Err(ChainError::Missing(format!("the deployment did not put a contract at {at}")).into())
            }
            Err(error) => {
                if self.is_there(at).await? {
                    Ok(false)
                } else {
                    Err(error.into())
                }
            }
        }
    }

    async fn is_there(&self, at: Address) -> Result<bool, DeployError> {
        Ok(!self.chain().code(at).await?.is_empty())
    }

    /// On a local testnet, refills the owner's ether when it runs low. Elsewhere nothing is done: the account has what it has.
    async fn ensure_owner_ether(&self) -> Result<(), DeployError> {
        let owner = self.sender.address();
        if self.is_local() && self.chain().eth_balance(owner).await? < ETHER {
            local::set_balance(self.chain(), owner, OWNER_ETHER).await?;
        }
        Ok(())
    }

    /// Makes sure that the chain knows the opcodes. Without one, a deployment is refused without a reason, or the contract
    /// fails when it is used.
    async fn require_opcodes(&self) -> Result<(), DeployError> {
        for (code, opcode) in REQUIRED_OPCODES {
            // An endpoint that runs no creation code at all says nothing about opcodes.
            if !self.runs_init_code(code).await && self.runs_init_code(EMPTY_INIT_CODE).await {
                return Err(DeployError::TooOld { chain_id: self.chain_id, opcode });
            }
        }
        Ok(())
    }

    /// Whether the chain runs this creation code.
    async fn runs_init_code(&self, code: &str) -> bool {
        let call = json!([{ "data": code }, "latest"]);
        self.chain().call::<Value>("eth_call", &call).await.is_ok()
    }

    /// Deploys the CREATE2 deployer on a chain that does not have it; most do.
    async fn ensure_deployer(&self) -> Result<(), DeployError> {
        if self.is_there(CREATE2_DEPLOYER).await? {
            return Ok(());
        }
        let balance = self.chain().eth_balance(DEPLOYER_SENDER).await?;
        if balance < DEPLOYER_COST {
            self.sender.send_ether(DEPLOYER_SENDER, DEPLOYER_COST).await?;
        }
        let raw = hex::encode_prefixed(deployer_transaction());
        let sent = self.chain().call::<Value>("eth_sendRawTransaction", &json!([raw])).await;
        self.wait_for_deployer(sent.err()).await
    }

    async fn wait_for_deployer(&self, refused: Option<ChainError>) -> Result<(), DeployError> {
        const TRIES: u32 = 600;
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
        // Refused, it may still be there: two programs may have sent it at once.
        let tries = if refused.is_some() { 10 } else { TRIES };
        for _ in 0..tries {
            if self.is_there(CREATE2_DEPLOYER).await? {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        let error = refused.unwrap_or_else(|| ChainError::Unreachable("it is not mined".into()));
        Err(DeployError::NoDeployer(error))
    }
}

/// The transaction that puts the CREATE2 deployer at the same address on every chain: signed by
/// nobody, for any chain (before EIP-155), in RLP.
fn deployer_transaction() -> Vec<u8> {
    // A list: nonce 0, gas price, gas limit, no recipient, no value, 83 bytes of creation code
    // (14 that return the 69 after them), and v = 27, r, s.
    let head = hex!("f8a5 80 85174876e800 830186a0 80 80 b853 604580600e600039806000f350fe");
    let signature = [&[0x1b, 0xa0][..], &[0x22; 32], &[0xa0], &[0x22; 32]].concat();
    [&head[..], &DEPLOYER_CODE, &signature].concat()
}
