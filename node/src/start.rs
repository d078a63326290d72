//! Putting the node together, running it, and taking it down.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thunder_api::is_open_to_others;
use thunder_api::{Secret, local};
use thunder_chain::{ChainClient, ChainError};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::args::{Config, shown, version_line};
use crate::backup::{self, BackupError};
use crate::chain_task::ChainTask;
use crate::console::Console;
use crate::daemon::{Daemon, DaemonError, Deps, UserRequest};
use crate::data_dir::{DataDirectory, DataDirectoryError};
use crate::event_feed::EventFeed;
use crate::keys::{self, FileError, WalletFile};
use crate::metrics;
use crate::metrics_server;
use crate::p2p::{self, NetworkError};
use crate::rpc::Handlers;
use crate::store::StorageError;
use crate::store::sqlite::{DatabaseError, SqliteReader, SqliteStore};
use crate::supervise::{PartEnded, Tasks, caught};

/// How many orders of users may wait for the daemon.
const MAX_REQUESTS: usize = 1 << 16;
/// How many messages of the chain task may wait for the daemon.
const MAX_CHAIN_QUEUE: usize = 1024;
/// How long the start waits for the chain and the network, to have something to say about them.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// How long a restart waits for clients to take their answers.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// Why thunderd does not start, or ended by itself. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no place for the node's files.
    #[error("this user has no data directory; give one with --data-dir")]
    NoDataDirectory,
    /// The data directory can't be used.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// Something else listens on the port.
    #[error("port {port} can't be used: {reason}; stop what is there, or give this node another --port")]
    Port {
        /// Which.
        port: u16,
        /// Why.
        reason: String,
    },
    /// The local socket can't be opened.
    #[error(transparent)]
    LocalSocket(#[from] local::ListenError),
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The password file can't be read.
    #[error("can't read the password file {path}: {reason}")]
    PasswordFile {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The database can't be opened.
    #[error("{0}{advice}", advice = advice(.0))]
    Database(#[from] DatabaseError),
    /// The store does not say what it has.
    #[error("{0}{repair}", repair = REPAIR)]
    Store(#[from] StorageError),
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(getrandom::Error),
    /// A restored backup can't be put in place.
    #[error(
        "a restored backup can't be put in place: {0}; it waits for the next start, in the directory `restored`"
    )]
    Backup(#[from] BackupError),
    /// The network can't be started.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The RPC client can't be made.
    #[error("can't use the RPC endpoints: {0}")]
    Chain(#[from] ChainError),
    /// The address to listen on is another machine's.
    #[error(
        "--listen {0} is not an address of this machine: name one that it has, or leave --listen out to listen on all"
    )]
    Listen(IpAddr),
    /// The metrics can't be served.
    #[error("can't serve metrics at {address}: {reason}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A part of the node ended while it ran.
    #[error(transparent)]
    PartEnded(#[from] PartEnded),
}

impl From<DaemonError> for StartError {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Store(error) => Self::Store(error),
            DaemonError::Random(error) => Self::Random(error),
        }
    }
}

/// What to do about a store that can't be used.
const REPAIR: &str = "; nothing was changed: make room or repair the disk, or else restore the newest backup into another --data-dir (docs/keys.md)";

/// What to do about a database, if the error does not say it itself.
const fn advice(error: &DatabaseError) -> &'static str {
    match error {
        DatabaseError::TooNew { .. } => {
            "; nothing was changed, and no old copy of the database may be put in its place (docs/operations.md)"
        }
        _ => REPAIR,
    }
}

/// Why a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeEnd {
    /// It was told to.
    Stopped,
    /// A backup was restored, which takes a new start.
    Restored,
}

/// Runs a node until `stop` is there, it has to start anew, or a part of it ends by itself (G7). The port is decided
/// here, for the next start, too.
pub async fn run(
    config: &mut Config,
    console: &Console,
    stop: impl Future<Output = ()>,
) -> Result<NodeEnd, StartError> {
    config.port = free_port(config)?;
    let config = &*config;
    let directory = DataDirectory::open(config.data_directory().ok_or(StartError::NoDataDirectory)?)?;
    let socket = local::listen(config.port).await?;
    for error in &socket.passed_over {
        tracing::warn!(%error, socket = socket.place, "the local socket is not where it is looked for first");
    }
    let password = config.password_file.as_deref().map(read_password).transpose()?;
    backup::install(directory.path())?;
    // The only place that says which store the node uses.
    let database = directory.file("thunder.db");
    let store = SqliteStore::open(&database)?;
    let keypair = keys::load_or_create_node_key(&directory.file("node.key"))?;
    let mut swarm = p2p::build(keypair, config.mdns)?;
    listen(&mut swarm, config)?;
    let (requests, received) = mpsc::channel(MAX_REQUESTS);
    let mut tasks = Tasks::default();
    if let Some(address) = config.metrics {
        serve_metrics(address, requests.clone(), &mut tasks)?;
    }
    let chain = ChainClient::new(&config.rpc, config.contracts())?;
    let wallet_file = WalletFile::new(directory.path(), password);
    let (newest_event, newest) = watch::channel(0);
    let events = EventFeed::new(SqliteReader::open(&database)?, newest);
    // No longer than the channels are many: each asks for a call once.
    let (to_chain, chain_requests) = mpsc::unbounded_channel();
    let (chain_reports, from_chain) = mpsc::channel(MAX_CHAIN_QUEUE);
    let deps = Deps {
        config: config.clone(),
        swarm,
        to_chain,
        from_chain,
        requests: received,
        contracts: config.contracts(),
        wallet_file: wallet_file.clone(),
        newest_event,
        lost_lines: console.lost_lines(),
    };
    let mut daemon = Daemon::new(deps, store.clone())?;
    daemon.load_wallet();
    let task = ChainTask::new(&chain, config.clone(), Box::new(store), chain_requests, chain_reports)?;
    tasks.spawn("the chain task", task.run());
    let first_look = daemon.run_until(Instant::now() + FIRST_LOOK, |daemon| {
        daemon.knows_chain() && !daemon.listeners().is_empty()
    });
    caught(first_look).await.map_err(loop_ended)?;
    announce(&daemon, config, directory.path(), &socket.place, console);
    let (serving, mut served) = mpsc::channel(1);
    let handlers =
        Handlers::new(requests, chain, events, wallet_file, directory.path().to_path_buf(), serving);
    tasks.spawn("the server of the local socket", handlers.serve(socket.listener));
    let has_to_restart = tokio::select! {
        biased;
        has_to_restart = caught(daemon.run(stop)) => has_to_restart.map_err(loop_ended)?,
        ended = tasks.ended() => return Err(ended.into()),
    };
    if !has_to_restart {
        return Ok(NodeEnd::Stopped);
    }
    // No new call is taken. Clients that wait for an answer get it before the restart.
    drop(daemon);
    drop(tasks);
    let _ = tokio::time::timeout(LAST_ANSWERS, served.recv()).await;
    Ok(NodeEnd::Restored)
}

/// The error for a panic in the daemon's loop.
fn loop_ended(panic: String) -> PartEnded {
    PartEnded { part: "the node's loop", panic: Some(panic) }
}

/// The port to use: the one that was asked for, if it is free, or, for 0, one that is.
fn free_port(config: &Config) -> Result<u16, StartError> {
    let ip = config.listen.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let failed = |error: std::io::Error| match config.listen {
        Some(ip) if error.kind() == std::io::ErrorKind::AddrNotAvailable => StartError::Listen(ip),
        _ => StartError::Port { port: config.port, reason: error.to_string() },
    };
    // libp2p shares ports between its own sockets, and so would not notice another node.
    let probe = TcpListener::bind((ip, config.port)).map_err(failed)?;
    Ok(probe.local_addr().map_err(failed)?.port())
}

fn listen(swarm: &mut libp2p::Swarm<p2p::Behaviour>, config: &Config) -> Result<(), StartError> {
    let mut refused = None;
    let mut listening = false;
    for address in p2p::listen_addresses(config.listen, config.port) {
        match swarm.listen_on(address.clone()) {
            Ok(_) => listening = true,
            Err(error) => {
                tracing::debug!(%address, %error, "can't listen");
                refused.get_or_insert(error.to_string());
            }
        }
    }
    match refused {
        Some(reason) if !listening => Err(StartError::Port { port: config.port, reason }),
        _ => Ok(()),
    }
}

fn read_password(path: &Path) -> Result<Secret, StartError> {
    let failed = |reason: String| StartError::PasswordFile { path: path.into(), reason };
    if is_open_to_others(path) {
        tracing::warn!(path = %path.display(), "the password file can be read by other users; chmod 600 it");
    }
    let password = Secret::new(fs::read_to_string(path).map_err(|error| failed(error.to_string()))?);
    if password.expose().is_empty() { Err(failed("it is empty".into())) } else { Ok(password) }
}

/// Opens the metrics socket, so that an error ends the start, and starts the task that serves it.
fn serve_metrics(
    address: SocketAddr,
    requests: mpsc::Sender<UserRequest>,
    tasks: &mut Tasks,
) -> Result<(), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Metrics { address, reason: error.to_string() };
    let listener = TcpListener::bind(address).map_err(|error| failed(&error))?;
    listener.set_nonblocking(true).map_err(|error| failed(&error))?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| failed(&error))?;
    let handle = metrics::install().map_err(|error| failed(&error))?;
    tasks.spawn("the upkeep of the metrics", metrics_server::upkeep(handle.clone()));
    tasks.spawn("the server of the metrics", metrics_server::serve(listener, handle, requests));
    Ok(())
}

/// Prints the node's addresses, chain, wallet and channels after the start.
fn announce(daemon: &Daemon, config: &Config, directory: &Path, socket: &str, console: &Console) {
    let wallet = match daemon.wallet_address() {
        Some(address) => shown(address).to_string(),
        None => "none yet: thunder-cli importwallet \"<seedphrase>\"".into(),
    };
    let contracts = config.contracts();
    let mut lines = vec![
        version_line(),
        format!("  port        {} ({socket})", config.port),
        format!("  data        {}", directory.display()),
        format!("  peer id     {}", daemon.peer_id()),
    ];
    for (index, address) in daemon.listeners().iter().enumerate() {
        lines.push(format!("  {:<11} {address}", if index == 0 { "listening" } else { "" }));
    }
    lines.extend([
        format!("  chain       {}", daemon.chain_summary()),
        format!("  THD         {}", shown(contracts.token)),
        format!("  factory     {}", shown(contracts.factory)),
        format!("  wallet      {wallet}"),
        format!("  channels    {} open", daemon.open_channels()),
        "Ready. Ctrl-C stops the node.".into(),
    ]);
    console.print_banner(&(lines.join("\n") + "\n"));
}
