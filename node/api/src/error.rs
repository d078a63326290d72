//! Errors that reach a user: what happened, what to do, and the exit code.

use std::fmt;

use serde::{Deserialize, Serialize};
use thunder_protocol::Address;

use crate::ChecksumAddress;

macro_rules! exit_codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $number:literal,)*) => {
        /// The exit codes of `thunder-cli`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum ExitCode {
            $($(#[doc = $doc])* $variant = $number,)*
        }

        impl ExitCode {
            /// All of them, for the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What it says.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),*).trim_ascii(),)*
                }
            }
        }
    };
}

exit_codes! {
    /// Done.
    Done = 0,
    /// Refused or failed; nothing is half done.
    Refused = 1,
    /// Wrong usage.
    Usage = 2,
    /// No thunderd was reached on that port.
    NoDaemon = 3,
    /// The chain is not reachable, or a transaction failed.
    Chain = 4,
    /// The peer is not connected.
    Peer = 5,
    /// No answer in time: the outcome is unknown.
    Unknown = 6,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal => $exit:ident,)*) => {
        /// Stable names of everything that can go wrong; they never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            /// All of them, for the documentation and its test.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, as `--json` shows it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// What it says.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),*).trim_ascii(),)*
                }
            }

            /// The exit code that goes with it.
            pub const fn exit_code(self) -> ExitCode {
                match self {
                    $(Self::$variant => ExitCode::$exit,)*
                }
            }
        }
    };
}

codes! {
    /// The command line does not make sense.
    Usage = "usage" => Usage,
    /// A text is not an amount of THD.
    InvalidAmount = "invalid_amount" => Usage,
    /// A text is not an address of a node.
    InvalidAddress = "invalid_address" => Usage,
    /// No thunderd answers on the port.
    NoDaemon = "no_daemon" => NoDaemon,
    /// No wallet is loaded.
    NoWallet = "no_wallet" => Refused,
    /// The wallet can't be replaced while it has open channels, or closed ones that are not deep in the chain.
    WalletInUse = "wallet_in_use" => Refused,
    /// There is another wallet, and nobody has said that it may be replaced.
    WalletExists = "wallet_exists" => Refused,
    /// The seed phrase is not one (words, number of words, or checksum).
    InvalidPhrase = "invalid_phrase" => Refused,
    /// The derivation path is not one.
    InvalidPath = "invalid_path" => Refused,
    /// The key file is not a Web3 Secret Storage V3 file, or can't be read.
    InvalidKeyfile = "invalid_keyfile" => Refused,
    /// The key file's password is wrong.
    WrongPassword = "wrong_password" => Refused,
    /// There is no channel that the command could mean.
    NoChannel = "no_channel" => Refused,
    /// There are several channels that the command could mean.
    AmbiguousChannel = "ambiguous_channel" => Refused,
    /// There are several connected nodes that the command could mean.
    AmbiguousPeer = "ambiguous_peer" => Refused,
    /// After that number events can't be told without a gap.
    UnknownEvent = "unknown_event" => Refused,
    /// The amount is zero.
    ZeroAmount = "zero_amount" => Refused,
    /// The amount does not fit what the channel holds or is to hold.
    AmountOutOfRange = "amount_out_of_range" => Refused,
    /// The wallet has too little THD.
    InsufficientThd = "insufficient_thd" => Refused,
    /// The wallet has too little ether for gas.
    InsufficientEth = "insufficient_eth" => Refused,
    /// The own share of the channel does not cover the payment.
    InsufficientBalance = "insufficient_balance" => Refused,
    /// The channel is in a state in which this can't be done.
    WrongState = "wrong_state" => Refused,
    /// The opening is not deep enough in the chain yet.
    NotConfirmed = "not_confirmed" => Refused,
    /// Another payment has this id.
    IdInUse = "id_in_use" => Refused,
    /// The payment with this id has failed for good.
    PaymentFailed = "payment_failed" => Refused,
    /// The other side signs nothing more in this channel.
    PeerStopped = "peer_stopped" => Refused,
    /// The other node refused.
    PeerRefused = "peer_refused" => Refused,
    /// Too much is waiting already.
    Busy = "busy" => Refused,
    /// The chain's challenge period lasts less than two minutes.
    ShortChallengePeriod = "short_challenge_period" => Refused,
    /// The channel is closing.
    ChannelClosing = "channel_closing" => Refused,
    /// This node has lost data of the channel.
    DataLost = "data_lost" => Refused,
    /// The receipt is not valid for the channel.
    InvalidReceipt = "invalid_receipt" => Refused,
    /// Nothing on the chain can be challenged.
    NothingToChallenge = "nothing_to_challenge" => Refused,
    /// The challenge period is not over.
    TooEarly = "too_early" => Refused,
    /// The same is already under way.
    UnderWay = "under_way" => Refused,
    /// An identifier or a memo is too long or has forbidden characters.
    InvalidText = "invalid_text" => Refused,
    /// A file can't be read or written.
    File = "file" => Refused,
    /// A file of payments has lines that can't be read; nothing was paid.
    InvalidFile = "invalid_file" => Usage,
    /// A file is not a backup, is damaged or changed, is not signed, or is of a newer version.
    InvalidBackup = "invalid_backup" => Refused,
    /// The node has a wallet or channels, which a restored backup would replace.
    NotEmpty = "not_empty" => Refused,
    /// Something in the node failed that should not; nothing was done.
    Internal = "internal" => Refused,
    /// The chain can't be reached.
    ChainUnreachable = "chain_unreachable" => Chain,
    /// There is no THD or no factory at the configured addresses.
    ContractsMissing = "contracts_missing" => Chain,
    /// A transaction failed.
    TransactionFailed = "transaction_failed" => Chain,
    /// The other node can't be reached.
    PeerUnreachable = "peer_unreachable" => Peer,
    /// The other node is not connected.
    PeerNotConnected = "peer_not_connected" => Peer,
    /// No answer in time.
    Timeout = "timeout" => Unknown,
    /// The payment is proposed and not answered; the chain may have to decide.
    PaymentUndecided = "payment_undecided" => Unknown,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error with what happened and what to do about it.
///
/// ```
/// use thunder_api::{ApiError, Code, ExitCode};
///
/// let error = ApiError::new(Code::TooEarly, "now is block 65", "try again in 24 blocks");
/// assert_eq!(error.code.exit_code(), ExitCode::Refused);
/// assert_eq!(error.code.as_str(), "too_early");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The stable name.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
    /// The channels that the command could mean, if it names none of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChecksumAddress>,
}

impl ApiError {
    /// An error with a hint.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), channels: Vec::new() }
    }

    /// The same with the channels that the command could mean.
    #[must_use]
    pub fn with_channels(self, channels: impl IntoIterator<Item = Address>) -> Self {
        Self { channels: channels.into_iter().map(ChecksumAddress).collect(), ..self }
    }
}

/// The answer to a call.
pub type ApiResult<T> = Result<T, ApiError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_case_and_serialise_as_shown() {
        for code in Code::ALL {
            let name = code.as_str();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{name}\""));
        }
    }
}
