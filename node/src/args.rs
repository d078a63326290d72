//! The command line of thunderd.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use thunder_api::ChecksumAddress;
use thunder_chain::contracts::local_testnet_contracts;
use thunder_chain::{Contracts, RpcUrls};
use thunder_engine::{AcceptPolicy, confirmations_on};
use thunder_protocol::{Address, Amount, ParseAmountError};

/// How the version is shown.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const HELP_TEMPLATE: &str = "\
{before-help}Usage:  thunderd [options]                     Start Thunder

Options:

{options}{after-help}";

const AFTER_HELP: &str = "Every option has an environment variable: THUNDER_ and its name, with _ for - (THUNDER_RPC, THUNDER_PORT, ...).
thunder-cli talks to the node: try `thunder-cli --help`.";

/// What thunderd was started with.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "thunderd",
    about = "The node of a payment channel: keeps it, talks to the other side's node, and watches the chain",
    before_help = concat!("Thunder version v", env!("CARGO_PKG_VERSION")),
    help_template = HELP_TEMPLATE,
    after_help = AFTER_HELP,
    disable_help_flag = true,
    disable_version_flag = true,
    max_term_width = 100,
    next_line_help = true
)]
pub struct Config {
    /// Print this help message and exit
    #[arg(long, short = 'h', action = clap::ArgAction::Help)]
    help: Option<bool>,

    /// Specify the RPC endpoint at which a compatible blockchain is available. Otherwise, default is
    /// localhost:8545. http(s):// and ws(s):// URLs work too. Several, with commas between them, are all used
    #[arg(
        long = "RPC",
        alias = "rpc",
        value_name = "IP:Port",
        env = "THUNDER_RPC",
        default_value = "localhost:8545",
        hide_default_value = true,
        hide_env = true
    )]
    pub rpc: RpcUrls,

    /// Specify the port at which this node is available. Default is 2001. It also names the node for
    /// thunder-cli
    #[arg(
        long,
        value_name = "port",
        env = "THUNDER_PORT",
        default_value_t = 2001,
        hide_default_value = true,
        hide_env = true
    )]
    pub port: u16,

    /// Where the node keeps its keys and channels.
    #[arg(
        long,
        value_name = "directory",
        env = "THUNDER_DATA_DIR",
        hide_env = true,
        help = "Where the node keeps its keys and channels. Default: thunder/<port> in the platform's data directory"
    )]
    pub data_dir: Option<PathBuf>,

    /// The THD contract. Default: where thunder-deploy puts it on every local testnet
    #[arg(long, value_name = "address", env = "THUNDER_TOKEN", hide_env = true)]
    pub token: Option<Address>,

    /// The channel factory. Default: where thunder-deploy puts it on every local testnet
    #[arg(long, value_name = "address", env = "THUNDER_FACTORY", hide_env = true)]
    pub factory: Option<Address>,

    /// Listen for other nodes on this address only. Default: on all (TCP, and QUIC on the same UDP port)
    #[arg(long, value_name = "ip", env = "THUNDER_LISTEN", hide_env = true)]
    pub listen: Option<IpAddr>,

    /// Find other nodes of the local network (mDNS) and be found there; `thunder-cli infos` lists them
    #[arg(long, env = "THUNDER_MDNS", hide_env = true, value_parser = clap::builder::FalseyValueParser::new())]
    pub mdns: bool,

    /// How deep an opening must be in the chain, its own block counted. Default: 1 on local testnets, else 6
    #[arg(long, value_name = "blocks", env = "THUNDER_CONFIRMATIONS", hide_env = true, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub confirmations: Option<u64>,

    /// Whose channels to agree to: any node's, known ones only (that you have connected to, or have or had a channel
    /// with), or none. Default: any. It is about channels that others open, not about yours
    #[arg(
        long,
        value_name = "any|known|none",
        env = "THUNDER_ACCEPT",
        value_enum,
        default_value_t = AcceptFrom::Any,
        hide_default_value = true,
        hide_possible_values = true,
        hide_env = true
    )]
    pub accept: AcceptFrom,

    /// What a channel that another node opens has to hold at least. Default: 1 THD
    #[arg(
        long,
        value_name = "THD",
        env = "THUNDER_ACCEPT_MIN",
        value_parser = thd,
        default_value_t = AcceptPolicy::DEFAULT.min,
        hide_default_value = true,
        allow_negative_numbers = true,
        hide_env = true
    )]
    pub accept_min: Amount,

    /// A file with the password that encrypts the wallet. Default: a random one, kept beside it
    #[arg(long, value_name = "file", env = "THUNDER_PASSWORD_FILE", hide_env = true)]
    pub password_file: Option<PathBuf>,

    /// Don't answer a closing on an old receipt without being told to
    #[arg(long, env = "THUNDER_NO_AUTO_CHALLENGE", hide_env = true, value_parser = clap::builder::FalseyValueParser::new())]
    pub no_auto_challenge: bool,

    /// Serve metrics (Prometheus text), /health and /ready at this address
    #[arg(long, value_name = "ip:port", env = "THUNDER_METRICS", hide_env = true)]
    pub metrics: Option<SocketAddr>,

    /// What to log: error, warn, info, debug or trace, also by module. Default: info
    #[arg(
        long,
        value_name = "filter",
        env = "THUNDER_LOG",
        default_value = "info",
        hide_default_value = true,
        hide_env = true
    )]
    pub log: String,

    /// Print the version and exit
    #[arg(long, short = 'V')]
    pub version: bool,
}

/// Whose channels to agree to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AcceptFrom {
    /// Any node's.
    Any,
    /// Those of nodes that the user has connected to, and of wallets with which there is or was a channel.
    Known,
    /// None.
    None,
}

fn thd(text: &str) -> Result<Amount, String> {
    text.parse().map_err(|error: ParseAmountError| format!("{error}; write THD like 10 or 0.25"))
}

impl Config {
    /// Which channels of others are agreed to.
    pub const fn accept_policy(&self) -> AcceptPolicy {
        let from = match self.accept {
            AcceptFrom::Any => thunder_engine::AcceptFrom::Any,
            AcceptFrom::Known => thunder_engine::AcceptFrom::Known,
            AcceptFrom::None => thunder_engine::AcceptFrom::None,
        };
        AcceptPolicy { from, min: self.accept_min }
    }

    /// THD and the factory.
    pub fn contracts(&self) -> Contracts {
        let default = local_testnet_contracts();
        Contracts {
            token: self.token.unwrap_or(default.token),
            factory: self.factory.unwrap_or(default.factory),
        }
    }

    /// How deep an opening must be on this chain.
    pub fn confirmations_on(&self, chain_id: u64) -> u64 {
        confirmations_on(self.confirmations, chain_id)
    }

    /// The data directory, or `None` if the platform has none for this user.
    pub fn data_directory(&self) -> Option<PathBuf> {
        self.data_dir.clone().or_else(|| {
            let base = directories::BaseDirs::new()?;
            Some(base.data_dir().join("thunder").join(self.port.to_string()))
        })
    }
}

/// The first line that thunderd prints.
pub fn version_line() -> String {
    format!("Thunder version v{VERSION}")
}

/// For messages: an address with its checksum.
pub fn shown(address: Address) -> ChecksumAddress {
    ChecksumAddress(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Config {
        Config::try_parse_from([&["thunderd"], arguments].concat()).unwrap()
    }

    #[test]
    fn defaults_are_the_customers() {
        let config = parse(&[]);
        assert_eq!((config.rpc.to_string().as_str(), config.port), ("http://localhost:8545", 2001));
        assert_eq!((config.confirmations_on(31337), config.confirmations_on(1)), (1, 6));
        assert_eq!(config.contracts(), local_testnet_contracts());
        assert_eq!(config.accept_policy(), AcceptPolicy::DEFAULT);
        let config = parse(&["--accept", "known", "--accept-min", "0.5"]);
        assert_eq!(config.accept_policy().from, thunder_engine::AcceptFrom::Known);
        assert_eq!(config.accept_policy().min.to_string(), "0.5");
    }

    #[test]
    fn rpc_is_spelt_both_ways() {
        assert_eq!(parse(&["--RPC", "10.0.0.1:1"]).rpc, parse(&["--rpc", "10.0.0.1:1"]).rpc);
    }

    #[test]
    fn wrong_values_are_refused() {
        for bad in [
            ["--accept", "friends"],
            ["--accept-min", "-1"],
            ["--accept-min", "much"],
            ["--port", "70000"],
            ["--RPC", "ftp://x"],
            ["--token", "0x12"],
            ["--confirmations", "0"],
        ] {
            assert!(Config::try_parse_from([&["thunderd"][..], &bad].concat()).is_err(), "{bad:?}");
        }
    }
}
