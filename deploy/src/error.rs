//! Errors of thunder-deploy, each with an error code, an exit code and a hint.

use thunder_chain::ChainError;

use crate::binaries::BinariesError;
use crate::demo::DemoError;
use crate::deployment::DeployError;
use crate::keys::OperatorKeyError;
use crate::testnet::TestnetError;
use crate::tools::ToolError;

/// Exit codes, the same as thunder-cli's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Refused or failed.
    Refused = 1,
    /// Wrong usage.
    Usage = 2,
    /// The chain can't be reached, or a transaction failed.
    Chain = 4,
}

/// What an error is shown with, besides its message.
pub(crate) struct ErrorInfo {
    /// A stable name of the error, for programs.
    pub(crate) code: &'static str,
    /// The exit code.
    pub(crate) exit: Exit,
    /// What the user can do about it.
    pub(crate) hint: String,
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// anvil, forge or node is missing.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The testnet does not run.
    #[error(transparent)]
    Testnet(#[from] TestnetError),
    /// There is no usable key.
    #[error(transparent)]
    Key(#[from] OperatorKeyError),
    /// Something on the chain did not work.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// thunderd or thunder-cli is missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// The demonstration stopped.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The answer can't be written.
    #[error("can't write the answer: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// Returns the exit code for this error.
    pub fn exit(&self) -> Exit {
        self.info().exit
    }

    pub(crate) fn info(&self) -> ErrorInfo {
        match self {
            Self::Tool(error) => error.info(),
            Self::Testnet(error) => error.info(),
            Self::Key(error) => error.info(),
            Self::Deploy(error) => error.info(),
            Self::Binaries(error) => error.info(),
            Self::Demo(error) => error.info(),
            Self::Output(_) => ErrorInfo {
                code: "output",
                exit: Exit::Refused,
                hint: "look at where standard output goes".into(),
            },
        }
    }
}

/// The codes and the hint for an error of the chain.
pub(crate) fn chain_error_info(error: &ChainError) -> ErrorInfo {
    let (code, exit, hint) = match error {
        ChainError::Unreachable(_) => (
            "chain_unreachable",
            Exit::Chain,
            "start a testnet with `thunder-deploy testnet`, or name another RPC endpoint with --RPC",
        ),
        ChainError::Reverted(_) => {
            ("transaction_failed", Exit::Chain, "only the owner of THD may mint; see --key and --keyfile")
        }
        ChainError::Missing(_) => {
            ("contracts_missing", Exit::Chain, "repeat; if that does not help, use another chain")
        }
        ChainError::NoEther { .. } => {
            ("insufficient_eth", Exit::Refused, "send ETH to the account of the key, or use another key")
        }
        ChainError::Refused(_) | ChainError::CantSign => {
            ("transaction_failed", Exit::Chain, "repeat; if that does not help, name another RPC endpoint")
        }
        ChainError::InvalidResponse(_) => {
            ("chain_unreachable", Exit::Chain, "make sure that --RPC names an Ethereum JSON-RPC endpoint")
        }
    };
    ErrorInfo { code, exit, hint: hint.into() }
}
