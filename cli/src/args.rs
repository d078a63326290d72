//! The command line: its words, its flags, and what they may be.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
use thunder_api::{Direction, Secret, Selector};
use thunder_protocol::{Amount, Memo, PaymentId};

use crate::values;

const GLOBAL: &str = "Global options";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "thunder-cli",
    display_name = "Thunder cli",
    version = concat!("version v", env!("CARGO_PKG_VERSION")),
    about = "Interact with a thunder node and manage a channel",
    override_usage = "thunder-cli [options] <command>",
    disable_help_flag = true
)]
pub struct Cli {
    /// Flags that every command takes, before or after it.
    #[command(flatten)]
    pub global: Global,
    /// What to do; `infos` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that every command takes, before or after it.
#[derive(Debug, Args)]
pub struct Global {
    /// Print this help message and exit
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = GLOBAL)]
    pub help: Option<bool>,

    /// Specify the port at which a thunder node is available (if not default is used)
    #[arg(
        long,
        global = true,
        env = "THUNDER_PORT",
        hide_env_values = true,
        default_value_t = 2001,
        value_name = "port",
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = GLOBAL
    )]
    pub port: u16,

    /// Print one JSON object instead of text for people
    #[arg(
        long,
        global = true,
        env = "THUNDER_JSON",
        hide_env_values = true,
        value_parser = FalseyValueParser::new(),
        help_heading = GLOBAL
    )]
    pub json: bool,

    /// How many seconds to wait for an answer
    #[arg(
        long,
        global = true,
        env = "THUNDER_TIMEOUT",
        hide_env_values = true,
        default_value = "120",
        value_name = "s",
        value_parser = values::seconds,
        allow_negative_numbers = true,
        help_heading = GLOBAL
    )]
    pub timeout: Duration,
}

/// The commands. The `about` texts of the first eight are the customer's own words.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// `infos`
    #[command(
        about = "display information about the node (available port, connected node, and the state of the channel)"
    )]
    Infos {
        /// Show all closed channels, and not only the newest of the last 24 hours
        #[arg(long)]
        all: bool,
    },
    /// `importwallet`
    #[command(
        about = "Import a wallet using a seed phrase",
        after_help = "A seed phrase has 12 to 24 words of BIP-39, in any of its languages; a keyfile is Web3 Secret \
                      Storage V3. The wallet is kept, encrypted, and loaded again when thunderd starts. On a \
                      terminal, another wallet is replaced only if you say so; a program is told which one was."
    )]
    Importwallet(ImportWallet),
    /// `balance`
    #[command(about = "Shows the balance in your main wallet in THD and the amount available in the channel")]
    Balance,
    /// `connect`
    #[command(
        about = "connect to another thunder node.",
        after_help = "The node is remembered, and connected to again whenever it is gone. From then on a command \
                      without --peer and --channel means a node that you have connected to, and a channel with one."
    )]
    Connect {
        /// Where it listens: ip:port, host:port, or a multiaddr with or without `/p2p/…`
        #[arg(value_name = "ip:port")]
        address: String,
    },
    /// `openchannel`
    #[command(
        about = "create a channel to another connected node.",
        after_help = "Returns when the channel is ACTIVE, or, with --deposit, \
                      when it is on the chain and waits for the other side's `fund`."
    )]
    Openchannel(OpenChannel),
    /// `pay`
    #[command(
        about = "pay someone using the open channel",
        override_usage = "thunder-cli pay [OPTIONS] <amount>\n       thunder-cli pay --file <path>",
        after_help = "Returns when the receipt that both sides have signed is on disk. An --id names one payment of \
                      the wallet: with one that was used before nothing is paid, and the answer is what became of it. \
                      Without --channel it goes over a channel with the other side that can pay it, the one with the \
                      largest own share first.\n\n\
                      --file takes CSV with the header line to,amount,memo,id or one JSON object a line with these \
                      fields. Only amount is needed; `to` is what --peer or --channel take. All lines are checked \
                      before anything is paid, and each has a line of result. The same file again pays nothing twice: a \
                      payment without an id has one made of the file's content and its line, so in a changed file it \
                      is another payment."
    )]
    Pay(Pay),
    /// `closechannel`
    #[command(
        about = "Request the closing of the channel. It sends to the smart contract the last receipt",
        after_help = "The money comes with `withdraw`, 24 blocks later. With --cooperative it comes at once. A channel \
                      of which this node has lost data is closed with the other side only, and for good: without \
                      --yes the shares are shown."
    )]
    Closechannel(CloseChannel),
    /// `withdraw`
    #[command(about = "retrieve the THD locked in a closed channel after the challenge period")]
    Withdraw(Which),
    /// `newwallet`
    #[command(
        about = "make a wallet, and show its seed phrase once",
        after_help = "Asks for two of the words, so that they are written down before the wallet is used. With --yes or \
                      --json it asks nothing. The key is that of m/44'/60'/0'/0/0; `importwallet` brings it back."
    )]
    Newwallet(MakeWallet),
    /// `challenge`
    #[command(
        about = "take the whole channel if the other side closed it with an old receipt",
        after_help = "thunderd does so by itself unless it was started with --no-auto-challenge."
    )]
    Challenge(Which),
    /// `fund`
    #[command(about = "pay your own share into a channel that the other side opened")]
    Fund(Fund),
    /// `cancel`
    #[command(about = "take back what you paid into a channel that never became ACTIVE")]
    Cancel(Which),
    /// `history`
    #[command(about = "list payments, newest first")]
    History(ListPayments),
    /// `receipts`
    #[command(
        about = "export the newest receipts of a channel as JSON, for use with any Ethereum tool",
        after_help = "What it writes, with or without --watchtower, --import takes into the channel of a node that was \
                      restored from an older backup."
    )]
    Receipts(ExportReceipts),
    /// `backup`
    #[command(
        about = "write the node's channels and keys to one file, while it runs",
        after_help = "The wallet's key file is in it, encrypted, and its password is not: keep the seed phrase or \
                      the password apart. Channels opened later are not in it: make one after each opening."
    )]
    Backup {
        /// The file to write
        #[arg(value_name = "file")]
        file: PathBuf,
        /// Replace the file if it is there already
        #[arg(long)]
        force: bool,
    },
    /// `restore`
    #[command(
        about = "bring a backup back into a node that has no wallet and no channels",
        after_help = "The channels come back as lost: the other side helps to close them on the newest receipt. If you \
                      have a newer one than the backup, give it with `receipts --import` first; if the other side shows \
                      nothing newer, you decide. Never run the node that the backup was made of again."
    )]
    Restore {
        /// The file that `backup` wrote
        #[arg(value_name = "file")]
        file: PathBuf,
        /// Restore a file that an older thunderd wrote, without a signature: only if nobody else could write to it
        #[arg(long)]
        unsigned: bool,
    },
    /// `prune`
    #[command(
        about = "delete the events of before a time; receipts and the ids of payments stay",
        after_help = "The payments of before are not listed by history any more, but by --id; watch can't go on from before."
    )]
    Prune {
        /// Until when: 2026-11-30, 2026-11-30T08:00:00Z, or 8760h for a year ago
        #[arg(long, value_name = "time", value_parser = values::time)]
        before: u64,
    },
    /// `watch`
    #[command(about = "show payments, chain events and connections as they come, until Ctrl-C")]
    Watch {
        /// First show what has happened since the event with this number, however long ago
        #[arg(long, value_name = "seq")]
        after: Option<u64>,
    },
    /// `completions`
    #[command(about = "print a completion script for a shell")]
    Completions {
        /// For which shell
        #[arg(value_name = "shell")]
        shell: Shell,
    },
}

/// Which channel a command means.
#[derive(Debug, Default, Clone, Args)]
pub struct Which {
    /// Which channel: its address, or a unique beginning of it
    #[arg(long, value_name = "address")]
    pub channel: Option<String>,
    /// Which channel: the other side's peer id or wallet, or a unique beginning of either
    #[arg(long, value_name = "peer")]
    pub peer: Option<String>,
}

impl From<Which> for Selector {
    fn from(Which { channel, peer }: Which) -> Self {
        Self { channel, peer, to: None }
    }
}

/// `importwallet`
#[derive(Debug, Args)]
pub struct ImportWallet {
    /// The seed phrase, or - to read it from standard input; asked for, unseen, if left out
    // Several, because a phrase without its quotes is plain enough.
    #[arg(value_name = "seedphrase", value_parser = values::secret, conflicts_with = "keyfile")]
    pub phrase: Vec<Secret>,
    /// Which account of the phrase: the last number of m/44'/60'/0'/0/0
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(..=0x7fff_ffff),
        conflicts_with_all = ["path", "keyfile"]
    )]
    pub index: Option<u32>,
    /// The whole derivation path, instead of m/44'/60'/0'/0/0
    #[arg(long, value_name = "path", conflicts_with = "keyfile")]
    pub path: Option<String>,
    /// Use the phrase's BIP-39 passphrase, which is asked for, unseen; each one gives another wallet
    #[arg(long, conflicts_with_all = ["keyfile", "passphrase_file"])]
    pub passphrase: bool,
    /// Read the BIP-39 passphrase from a file
    #[arg(long, value_name = "path", conflicts_with = "keyfile")]
    pub passphrase_file: Option<PathBuf>,
    /// Import a keyfile (Web3 Secret Storage V3); its password is asked for, unseen
    #[arg(long, value_name = "path")]
    pub keyfile: Option<PathBuf>,
    /// Read the keyfile's password from a file
    #[arg(long, value_name = "path", requires = "keyfile", conflicts_with_all = ["phrase", "index", "path"])]
    pub password_file: Option<PathBuf>,
    /// Replace another wallet without being asked
    #[arg(long)]
    pub yes: bool,
}

/// `newwallet`
#[derive(Debug, Args)]
pub struct MakeWallet {
    /// How many words the phrase has: 12 or 24
    #[arg(long, value_name = "12|24", default_value = "12", value_parser = values::words)]
    pub words: u8,
    /// Ask nothing, and replace another wallet
    #[arg(long)]
    pub yes: bool,
}

/// `openchannel`
#[derive(Debug, Args)]
pub struct OpenChannel {
    /// What the channel will hold, in THD
    #[arg(
        value_name = "amount",
        value_parser = values::thd,
        default_value = "10",
        allow_negative_numbers = true
    )]
    pub amount: Amount,
    /// Pay only this part of it, and leave the rest for the other side's `fund`
    #[arg(long, value_name = "part", value_parser = values::thd, allow_negative_numbers = true)]
    pub deposit: Option<Amount>,
    /// With which connected node: its peer id or wallet, or a unique beginning of either
    #[arg(long, value_name = "peer")]
    pub peer: Option<String>,
    /// Open it although a challenge period of this chain lasts less than two minutes
    #[arg(long)]
    pub yes: bool,
}

/// `fund`
#[derive(Debug, Args)]
pub struct Fund {
    /// How much, in THD; what is missing of your share if left out
    #[arg(value_name = "amount", value_parser = values::thd, allow_negative_numbers = true)]
    pub amount: Option<Amount>,
    /// Which channel.
    #[command(flatten)]
    pub which: Which,
}

/// `pay`
#[derive(Debug, Args)]
pub struct Pay {
    /// How much, in THD, exact to 18 decimals
    #[arg(
        value_name = "amount",
        value_parser = values::thd,
        allow_negative_numbers = true,
        required_unless_present = "file"
    )]
    pub amount: Option<Amount>,
    /// Which channel.
    #[command(flatten)]
    pub which: Which,
    /// A note for the receiver, at most 256 bytes
    #[arg(long, value_name = "text", value_parser = values::memo, allow_hyphen_values = true)]
    pub memo: Option<Memo>,
    /// The payment's name; repeating a payment with the same one pays once
    #[arg(long, value_name = "id", value_parser = values::payment_id)]
    pub id: Option<PaymentId>,
    /// Make the payments of a file instead, CSV or JSON lines; - reads standard input
    #[arg(long, value_name = "path", conflicts_with_all = ["amount", "channel", "peer", "memo", "id"])]
    pub file: Option<PathBuf>,
}

/// `closechannel`
#[derive(Debug, Args)]
pub struct CloseChannel {
    /// Which channel.
    #[command(flatten)]
    pub which: Which,
    /// Ask the other side for a FINAL receipt, which pays out at once
    #[arg(long, conflicts_with = "receipt")]
    pub cooperative: bool,
    /// If the other side refuses or does not answer in time, close alone
    #[arg(long, requires = "cooperative", conflicts_with = "receipt")]
    pub fallback: bool,
    /// Close on this receipt, as `receipts` exported it
    #[arg(long, value_name = "file")]
    pub receipt: Option<PathBuf>,
    /// Close on the --receipt although it is not the newest, and the other side can then take everything; or
    /// accept the shares that closing shows without this, where this node has lost data
    #[arg(long)]
    pub yes: bool,
}

/// Which way a payment went.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Way {
    /// Received.
    In,
    /// Paid.
    Out,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Self {
        match way {
            Way::In => Self::In,
            Way::Out => Self::Out,
        }
    }
}

/// `history`
#[derive(Debug, Args)]
pub struct ListPayments {
    /// How many at most
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub limit: u64,
    /// Only with a higher number
    #[arg(long, value_name = "seq")]
    pub after: Option<u64>,
    /// Only with a lower number
    #[arg(long, value_name = "seq")]
    pub before: Option<u64>,
    /// Only from then on: 2026-11-30, 2026-11-30T08:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "time", value_parser = values::time)]
    pub since: Option<u64>,
    /// Only before then
    #[arg(long, value_name = "time", value_parser = values::time)]
    pub until: Option<u64>,
    /// Only with this id
    #[arg(long, value_name = "id", value_parser = values::payment_id)]
    pub id: Option<PaymentId>,
    /// Only those received, or only those paid
    #[arg(long, value_name = "in|out")]
    pub direction: Option<Way>,
    /// Print comma-separated values (RFC 4180), with a header line
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Which channels.
    #[command(flatten)]
    pub which: Which,
}

/// `receipts`
#[derive(Debug, Args)]
pub struct ExportReceipts {
    /// Which channel.
    #[command(flatten)]
    pub which: Which,
    /// Write them to a new file instead
    #[arg(long, value_name = "file")]
    pub output: Option<PathBuf>,
    /// Only what a third party needs to challenge in your place
    #[arg(long)]
    pub watchtower: bool,
    /// Take the receipt of such a file into a channel of which this node has lost data
    #[arg(long, value_name = "file", conflicts_with_all = ["output", "watchtower"])]
    pub import: Option<PathBuf>,
}
