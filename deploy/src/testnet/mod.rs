//! `Testnet`: a local Ethereum testnet (anvil) that ends with its owner.

mod anvil;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::Address;
use serde::Serialize;
use serde_json::Value;
use thunder_chain::contracts::local_testnet_contracts;
use thunder_chain::{Amount, ChainClient, ChainError, InvalidRpcUrl, RpcUrl};

use crate::deployment::{DeployError, Deployed, Operator, local};
use crate::error::{Error, ErrorInfo, Exit, chain_error_info};
use crate::keys::{DevelopmentAccount, OperatorKeyError};
use crate::process::Process;
use crate::tools;

/// The chain id of local testnets.
pub(crate) const CHAIN_ID: u64 = 31337;
/// How many accounts anvil makes rich.
const ACCOUNTS: u32 = 10;

/// The pause between two questions whether anvil is ready.
const PAUSE: Duration = Duration::from_millis(50);

/// How a testnet is started.
#[derive(Debug, Clone)]
pub struct TestnetOptions {
    /// The address to listen on.
    pub listen: IpAddr,
    /// The port; 0 takes any that is free.
    pub port: u16,
    /// The time between two empty blocks, besides one block for each transaction; `None`: no empty blocks.
    pub block_time: Option<Duration>,
    /// The file in which the chain is kept from one run to the next.
    pub state: Option<PathBuf>,
}

/// For tests: on any port of this machine alone, with a block for each transaction and no other.
impl Default for TestnetOptions {
    fn default() -> Self {
        Self { listen: Ipv4Addr::LOCALHOST.into(), port: 0, block_time: None, state: None }
    }
}

impl TestnetOptions {
    /// The time of block 0 of the chain in the state file, if there is one.
    fn genesis_time(&self) -> Option<u64> {
        self.state.as_deref().and_then(anvil::genesis_time)
    }
}

/// Why a testnet does not run.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// Somebody listens on the port.
    #[error("port {port} is in use")]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The state can't be kept where it should be.
    #[error("there is no directory for the state file {0}")]
    NoPlaceForState(PathBuf),
    /// The port can't be had.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address and port.
        address: SocketAddr,
        /// The I/O error.
        source: io::Error,
    },
    /// anvil can't be started.
    #[error("can't start {program}: {source}")]
    Spawn {
        /// The path of anvil.
        program: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// anvil ended although nobody told it to.
    #[error("anvil ended:\n{output}")]
    Ended {
        /// The end of anvil's output.
        output: String,
    },
    /// anvil does not listen.
    #[error("anvil does not listen after {seconds} s")]
    Silent {
        /// How long anvil was waited for.
        seconds: u64,
    },
    /// anvil can't be ended.
    #[error("can't end anvil: {0}")]
    Stop(io::Error),
    /// anvil does not answer.
    #[error("the testnet does not answer: {0}")]
    Chain(#[from] ChainError),
    /// anvil's address makes no RPC URL.
    #[error(transparent)]
    Url(#[from] InvalidRpcUrl),
}

impl TestnetError {
    pub(crate) fn info(&self) -> ErrorInfo {
        let (code, hint) = match self {
            Self::PortInUse { .. } => {
                ("port_in_use", "end what listens there (another testnet?), or name another with --port")
            }
            Self::NoPlaceForState(_) => {
                ("no_such_directory", "make it first, or name another file with --state")
            }
            Self::Listen { .. } => ("port_refused", "name another port with --port"),
            Self::Spawn { .. } => ("tool_missing", "name another anvil in the variable THUNDER_ANVIL"),
            Self::Ended { .. } => {
                ("testnet_ended", "start it again; with --state, make sure that the file is one of anvil's")
            }
            Self::Silent { .. } | Self::Stop(_) | Self::Url(_) => ("testnet_ended", "start it again"),
            Self::Chain(error) => return chain_error_info(error),
        };
        ErrorInfo { code, exit: Exit::Refused, hint: hint.into() }
    }
}

/// A running anvil, which ends when this is dropped.
///
/// ```
/// use thunder_deploy::{Testnet, TestnetOptions};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let testnet = Testnet::start(TestnetOptions::default()).await?;
/// testnet.deploy().await?;
/// testnet.mine(24).await?;
/// assert!(testnet.chain().head().await?.number >= 24);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Testnet {
    options: TestnetOptions,
    program: PathBuf,
    port: u16,
    chain: ChainClient,
    /// `None` while anvil is stopped.
    process: Option<Process>,
    /// A time, by the system's clock, at which this chain already existed.
    last_alive: SystemTime,
}

impl Testnet {
    /// Starts a testnet and waits until it answers. Nothing is deployed on it yet. anvil is
    /// installed if it is not there.
    pub async fn start(options: TestnetOptions) -> Result<Self, Error> {
        // anvil itself would keep nothing and not say so.
        let place = options.state.as_ref().and_then(|file| Some((file, file.parent()?)));
        if let Some((file, _)) =
            place.filter(|(_, directory)| !directory.as_os_str().is_empty() && !directory.is_dir())
        {
            return Err(TestnetError::NoPlaceForState(file.clone()).into());
        }
        let program = tools::anvil().await?;
        let genesis_time = options.genesis_time();
        let (process, port) = launch(&program, &options, genesis_time, options.port).await?;
        let chain = connect(&options, port)?;
        let last_alive = SystemTime::now();
        let mut testnet = Self { options, program, port, chain, process: Some(process), last_alive };
        testnet.wait_until_it_answers(genesis_time.is_some()).await?;
        Ok(testnet)
    }

    /// Ends anvil. With a state file, the chain can go on later from where it was.
    pub async fn stop(&mut self) -> Result<(), Error> {
        if let Some(mut process) = self.process.take() {
            process.stop().await.map_err(TestnetError::Stop)?;
        }
        Ok(())
    }

    /// Starts anvil again, on the same port: with another chain, unless there is a state file.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await?;
        let genesis_time = self.options.genesis_time();
        // Block 0 differs by its time alone, in whole seconds.
        while genesis_time.is_none() && seconds(SystemTime::now()) == seconds(self.last_alive) {
            tokio::time::sleep(PAUSE).await;
        }
        let (process, _) = launch(&self.program, &self.options, genesis_time, self.port).await?;
        self.process = Some(process);
        Ok(self.wait_until_it_answers(genesis_time.is_some()).await?)
    }

    /// Waits until anvil ends by itself, which is an error.
    pub(crate) async fn ended(&mut self) -> TestnetError {
        match self.process.as_mut() {
            Some(process) => match process.wait().await {
                Ok(status) => TestnetError::Ended { output: status.to_string() },
                Err(error) => TestnetError::Stop(error),
            },
            None => TestnetError::Ended { output: String::new() },
        }
    }

    /// The options that it was started with.
    pub const fn options(&self) -> &TestnetOptions {
        &self.options
    }

    /// The port that it listens on, also while it is stopped.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What `--RPC` takes.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", reachable(self.options.listen, self.port))
    }

    /// The process id of anvil, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// A client for this testnet.
    pub fn chain(&self) -> ChainClient {
        self.chain.clone()
    }

    /// The accounts that have ether from the start. The first owns THD.
    pub fn accounts(&self) -> Result<Vec<DevelopmentAccount>, OperatorKeyError> {
        (0..ACCOUNTS).map(DevelopmentAccount::new).collect()
    }

    /// Mines empty blocks.
    pub async fn mine(&self, blocks: u64) -> Result<(), ChainError> {
        local::mine(&self.chain, blocks).await
    }

    /// Calls any JSON-RPC method, `anvil_…` and `evm_…` among them.
    pub async fn rpc(&self, method: &str, params: impl Serialize) -> Result<Value, ChainError> {
        let params =
            serde_json::to_value(params).map_err(|error| ChainError::InvalidResponse(error.to_string()))?;
        self.chain.call(method, &params).await
    }

    /// Deploys THD and the factory, if they are not there.
    pub async fn deploy(&self) -> Result<Deployed, DeployError> {
        self.operator().await?.deploy().await
    }

    /// Gives an account THD, which are deployed if they are not there.
    pub async fn give_thd(&self, to: Address, amount: Amount) -> Result<(), DeployError> {
        let operator = self.operator().await?;
        operator.deploy().await?;
        operator.give_thd(to, amount).await?;
        Ok(())
    }

    /// Sets an account's ether, in wei.
    pub async fn set_eth(&self, of: Address, wei: u128) -> Result<(), ChainError> {
        local::set_balance(&self.chain, of, wei).await
    }

    /// The owner of THD on this testnet.
    pub async fn operator(&self) -> Result<Operator, DeployError> {
        Operator::local(&self.chain).await
    }

    /// Waits until anvil answers, which is later than it listens. A chain that goes on from a state file (`goes_on`) gets
    /// the present time: its clock stood still while anvil was down.
    async fn wait_until_it_answers(&mut self, goes_on: bool) -> Result<(), TestnetError> {
        const TRIES: u32 = 100;
        let mut last = self.chain.head().await;
        for _ in 0..TRIES {
            if last.is_ok() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            last = self.chain.head().await;
        }
        last?;
        self.last_alive = SystemTime::now();
        if goes_on {
            let params = serde_json::json!([seconds(self.last_alive)]);
            self.chain.call::<Value>("evm_setTime", &params).await?;
        }
        Ok(())
    }
}

async fn launch(
    program: &std::path::Path,
    options: &TestnetOptions,
    genesis_time: Option<u64>,
    port: u16,
) -> Result<(Process, u16), TestnetError> {
    let address = SocketAddr::new(options.listen, port);
    if port != 0 {
        // Reported here, because anvil's own message for it is not telling.
        TcpListener::bind(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => TestnetError::PortInUse { port },
            _ => TestnetError::Listen { address, source },
        })?;
    }
    let (process, address) = anvil::start(program, options, genesis_time, port).await?;
    Ok((process, address.port()))
}

/// Returns the seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn connect(options: &TestnetOptions, port: u16) -> Result<ChainClient, TestnetError> {
    let url: RpcUrl = reachable(options.listen, port).to_string().parse()?;
    Ok(ChainClient::new(&url.into(), local_testnet_contracts())?)
}

/// The address at which a program on this machine reaches a server that listens on `listen`.
fn reachable(listen: IpAddr, port: u16) -> SocketAddr {
    let address = match listen {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, port)
}
