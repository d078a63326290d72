//! The command line of thunder-deploy: commands, flags, and the parsing of their values.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use alloy_primitives::Address;
use clap::error::{Error as ClapError, ErrorKind};
use clap::{Args, Parser, Subcommand};
use thunder_chain::{Amount, RpcUrl};

use crate::keys::{SecretKey, from_hex};
use crate::output;

/// The most blocks that are mined at once; it takes some seconds.
const MAX_BLOCKS: u64 = 100_000;
/// The longest time between two blocks: a day.
const MAX_SECONDS: f64 = 86_400.0;

const AFTER_HELP: &str = "\
To try Thunder out, in one go:   thunder-deploy demo
Or by hand, in three terminals:  thunder-deploy testnet
                                 thunderd
                                 thunder-deploy thd --to <address>

anvil, the testnet's node, is the one that THUNDER_ANVIL names, one on the PATH, or installed with npm.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 4 chain not reachable or transaction failed.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "thunder-deploy",
    version = concat!("version v", env!("CARGO_PKG_VERSION")),
    about = "A local Ethereum testnet, THD and the channel factory on it, and THD for everybody",
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Print one JSON object instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a local Ethereum testnet with THD and the factory on it, until Ctrl-C
    #[command(
        long_about = "Run a local Ethereum testnet (anvil, chain id 31337) with THD and the channel factory on it, \
                      until Ctrl-C. Its accounts and their seed phrase are known to everybody."
    )]
    Testnet(TestnetArgs),
    /// Give an address THD (and, on a local testnet, ETH for gas)
    #[command(
        long_about = "Give an address THD. Deploys THD and the channel factory first if they are not there. On a \
                      local testnet (chain id 31337 or 1337) it needs no key, and the address gets 10 ETH for gas \
                      if it has none."
    )]
    Thd(ThdArgs),
    /// Mine empty blocks on a local testnet (the challenge period is 24)
    Mine(MineArgs),
    /// Show everything: testnet, two nodes, a channel, payments, closing
    #[command(
        long_about = "Show everything, as a user would do it: a testnet, two nodes with wallets, a channel between \
                      them, payments both ways, closing, withdrawing, and the balances. Each command is shown with \
                      what it prints. Nothing is left behind."
    )]
    Demo(DemoArgs),
}

/// Where the chain is.
#[derive(Debug, Args)]
pub(crate) struct EndpointArgs {
    /// The RPC endpoint: IP:Port, or an http(s):// or ws(s):// URL
    #[arg(
        long = "RPC",
        alias = "rpc",
        env = "THUNDER_RPC",
        hide_env_values = true,
        value_name = "IP:Port",
        default_value = "localhost:8545"
    )]
    pub(crate) rpc: RpcUrl,
}

#[derive(Debug, Args)]
pub(crate) struct TestnetArgs {
    /// The port of the RPC endpoint; 0 takes any that is free
    #[arg(long, value_name = "port", default_value_t = 8545)]
    pub(crate) port: u16,
    /// Listen on this address; 0.0.0.0 for all, which lets everybody in
    #[arg(long, value_name = "ip", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) listen: IpAddr,
    /// Seconds between two blocks, besides one for each transaction; 0 for those only
    #[arg(long, value_name = "s", default_value = "1", value_parser = block_time, allow_negative_numbers = true)]
    pub(crate) block_time: BlockTime,
    /// Keep the chain in this file, and go on from it next time
    #[arg(long, value_name = "file")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ThdArgs {
    /// Who gets them
    #[arg(long, value_name = "address", value_parser = address)]
    pub(crate) to: Address,
    /// How many THD, exact to 18 decimals
    #[arg(long, value_name = "THD", default_value = "100", value_parser = amount, allow_negative_numbers = true)]
    pub(crate) amount: Amount,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
    /// The owner's secret key, for other chains. Whoever can list processes can read it: better use
    /// --keyfile, or the environment variable THUNDER_DEPLOY_KEY
    #[arg(long, value_name = "hex", value_parser = key, conflicts_with = "keyfile")]
    pub(crate) key: Option<SecretKey>,
    /// The owner's key file (Web3 Secret Storage V3); its password is asked for, unseen
    #[arg(long, value_name = "file")]
    pub(crate) keyfile: Option<PathBuf>,
    /// Read the key file's password from a file
    #[arg(long, value_name = "file", requires = "keyfile")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MineArgs {
    /// How many
    #[arg(value_name = "n", value_parser = clap::value_parser!(u64).range(1..=MAX_BLOCKS), allow_negative_numbers = true)]
    pub(crate) blocks: u64,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave it running to play with, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The time between two empty blocks; `None`: there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockTime(pub(crate) Option<Duration>);

/// Why a text is not what it should be; the name is for programs.
#[derive(Debug)]
struct BadValue {
    code: &'static str,
    reason: String,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for BadValue {}

fn address(text: &str) -> Result<Address, BadValue> {
    let bad = |reason: &str| BadValue { code: "invalid_address", reason: reason.into() };
    let address: Address =
        text.parse().map_err(|_| bad("not an address; one has 0x and 40 hexadecimal digits"))?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_mixed = digits.contains(|c: char| c.is_ascii_uppercase())
        && digits.contains(|c: char| c.is_ascii_lowercase());
    if is_mixed && address.to_checksum(None).strip_prefix("0x") != Some(digits) {
        return Err(bad("its checksum is wrong; look for a mistyped digit"));
    }
    if address.is_zero() {
        return Err(bad("the zero address is nobody's"));
    }
    Ok(address)
}

fn amount(text: &str) -> Result<Amount, BadValue> {
    let bad = |reason: String| BadValue { code: "invalid_amount", reason };
    let amount: Amount = text.parse().map_err(|error| bad(format!("{error}; write THD like 10 or 0.25")))?;
    if amount.is_zero() { Err(bad("nothing at all; write THD like 10 or 0.25".into())) } else { Ok(amount) }
}

fn key(text: &str) -> Result<SecretKey, BadValue> {
    from_hex(text).map_err(|error| BadValue { code: "invalid_key", reason: error.to_string() })
}

fn block_time(text: &str) -> Result<BlockTime, BadValue> {
    match text.parse::<f64>() {
        Ok(0.0) => Ok(BlockTime(None)),
        Ok(seconds) if (0.01..=MAX_SECONDS).contains(&seconds) => {
            Ok(BlockTime(Some(Duration::from_secs_f64(seconds))))
        }
        _ => Err(BadValue { code: "usage", reason: "write seconds, from 0.01 to 86400, or 0".into() }),
    }
}

/// Reads the command line.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, ClapError> {
    Cli::try_parse_from(arguments)
}

/// Prints the parser's own text (which may be the help page), and with `--json` an error as an
/// object, too. It never repeats a key.
pub(crate) fn refuse(error: &ClapError, arguments: &[OsString]) -> ExitCode {
    let code = std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<BadValue>())
        .map_or("usage", |bad| bad.code);
    if code == "invalid_key" {
        return output::usage(
            code,
            "--key is no secret key: one has 64 hexadecimal digits",
            wants_json(arguments),
        );
    }
    // A closed pipe is no reason to say anything more.
    let _ = error.print();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return ExitCode::SUCCESS;
    }
    if wants_json(arguments) {
        let text = error.render().to_string();
        let message = text.split("\n\n").next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(message).split_whitespace();
        output::json_error(code, &message.collect::<Vec<_>>().join(" "), "see `thunder-deploy help`");
    }
    ExitCode::from(crate::Exit::Usage as u8)
}

fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).take_while(|argument| *argument != "--").any(|argument| argument == "--json")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse_words(words: &[&str]) -> Result<Cli, ClapError> {
        let mut all = vec![OsString::from("thunder-deploy")];
        all.extend(words.iter().map(OsString::from));
        parse(&all)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let Command::Testnet(testnet) = parse_words(&["testnet"]).unwrap().command else { panic!() };
        assert_eq!((testnet.port, testnet.block_time.0), (8545, Some(Duration::from_secs(1))));
        let to = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        let Command::Thd(thd) = parse_words(&["thd", "--to", to]).unwrap().command else { panic!() };
        assert_eq!(
            (thd.amount.to_string().as_str(), thd.endpoint.rpc.to_string().as_str()),
            ("100", "http://localhost:8545")
        );
        let Command::Mine(mine) = parse_words(&["mine", "24", "--rpc", "10.0.0.1:1"]).unwrap().command else {
            panic!()
        };
        assert_eq!((mine.blocks, mine.endpoint.rpc.to_string().as_str()), (24, "http://10.0.0.1:1"));
    }

    /// Secrets never reach a log.
    #[test]
    fn a_key_is_not_in_the_debug_output_of_the_command_line() {
        let key = "1".repeat(64);
        let to = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        let cli = parse_words(&["thd", "--to", to, "--key", &key]).unwrap();
        let shown = format!("{cli:?}{cli:#?}").replace([' ', '\n'], "");
        assert!(!shown.contains(&key) && !shown.contains("17,17,17"), "{shown}");
    }

    #[test]
    fn addresses_are_checked() {
        let good = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        for text in [good, &good.to_lowercase(), &good[2..]] {
            assert_eq!(address(text).unwrap().to_string(), good);
        }
        let mistyped = good.replace("dc79C8", "Dc79C8");
        for text in [
            "",
            "0x",
            "0x12",
            &mistyped,
            "0x0000000000000000000000000000000000000000",
            "alice.eth",
            &good[..41],
        ] {
            assert_eq!(address(text).unwrap_err().code, "invalid_address", "{text}");
        }
    }

    #[test]
    fn amounts_are_exact_and_more_than_nothing() {
        assert_eq!(amount("0.000000000000000001").unwrap().base_units(), 1);
        for text in ["0", "0.0", "-1", "1e3", "1,5", "", "0.0000000000000000001", "999999999999"] {
            assert_eq!(amount(text).unwrap_err().code, "invalid_amount", "{text}");
        }
    }

    #[test]
    fn block_times_are_seconds() {
        assert_eq!(block_time("0").unwrap(), BlockTime(None));
        assert_eq!(block_time("0.5").unwrap(), BlockTime(Some(Duration::from_millis(500))));
        for text in ["-1", "nan", "inf", "soon", "", "0.001"] {
            assert!(block_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let to = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        for words in [
            &["mine", "0"][..],
            &["mine", "-1"],
            &["mine"],
            &["thd"],
            &["thd", "--to", to, "--RPC", "ftp://x"],
            &["thd", "--to", to, "--key", "1", "--keyfile", "x"],
            &["thd", "--to", to, "--password-file", "x"],
            &["testnet", "--port", "70000"],
            &[],
            &["frobnicate"],
        ] {
            assert!(parse_words(words).is_err(), "{words:?}");
        }
    }
}
