//! What the node is and sees: its peers, its chain, what happens to it; and its backups.

use serde::{Deserialize, Serialize};

use crate::{ChannelInfo, ChecksumAddress};

/// `infos`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Infos {
    /// thunderd's version.
    pub version: String,
    /// The port that names the node.
    pub port: u16,
    /// The node's libp2p peer id.
    pub peer_id: String,
    /// The multiaddrs that it listens on.
    pub listen: Vec<String>,
    /// The wallet's address.
    pub wallet: Option<ChecksumAddress>,
    /// The chain.
    pub chain: ChainInfo,
    /// The THD contract.
    pub token: ChecksumAddress,
    /// The channel factory.
    pub factory: ChecksumAddress,
    /// Connected nodes.
    pub peers: Vec<Peer>,
    /// Nodes of the local network that answered (`thunderd --mdns`), connected or not.
    pub discovered: Vec<Discovered>,
    /// Channels, newest first; of the CLOSED ones those of the last 24 hours, five at most, or with `--all` all.
    pub channels: Vec<ChannelInfo>,
    /// How many CLOSED channels are left out.
    #[serde(default)]
    pub channels_hidden: usize,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// `connect`, and the connected nodes in `infos`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The libp2p peer id.
    pub peer_id: String,
    /// The multiaddr it is connected under.
    pub address: String,
    /// The wallet that it has proved to speak for.
    pub wallet: Option<ChecksumAddress>,
    /// Whether the user has asked for it with `connect`: once there is such a node, a command that names
    /// neither node nor channel means one of these.
    #[serde(default)]
    pub requested: bool,
}

/// A node of the local network that says that it is there. Nothing of this is proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// Its libp2p peer id.
    pub peer_id: String,
    /// Where it says that it is, as `connect` takes it.
    pub address: String,
}

/// The chain, as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainInfo {
    /// The RPC endpoints, as `--RPC` names them, without credentials and paths.
    pub rpc: String,
    /// Whether one of them answers.
    pub connected: bool,
    /// Its chain id, once known.
    pub chain_id: Option<u64>,
    /// The newest block at which every channel was read that was due.
    pub block: Option<u64>,
    /// How each endpoint is, in the order of `--RPC`.
    #[serde(default)]
    pub endpoints: Vec<EndpointInfo>,
}

/// One RPC endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointInfo {
    /// Where it is, without credentials and path.
    pub rpc: String,
    /// Whether it answers.
    pub connected: bool,
    /// The newest block that it has shown.
    pub block: Option<u64>,
    /// What is wrong with it, if anything is: "can't be reached: connection refused", for instance.
    pub trouble: Option<String>,
}

/// A backup to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// The file, as an absolute path.
    pub file: String,
    /// Whether a file that is there is replaced.
    pub force: bool,
}

/// `backup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// The file.
    pub file: String,
    /// How many channels in it are not over.
    pub channels: u64,
}

/// A backup to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// The file, as an absolute path.
    pub file: String,
    /// Whether one that nobody has signed is restored, too.
    pub unsigned: bool,
}

/// `restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// How many channels came back, as lost.
    pub channels: u64,
    /// The wallet that the node had; its key file opens with its own password only.
    pub wallet: Option<ChecksumAddress>,
    /// Whether this wallet has signed the backup.
    pub signed: bool,
}
