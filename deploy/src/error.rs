//! What can go wrong, what to do about it, and the exit code for it.

use thunder_chain::ChainError;

use crate::demo::DemoError;
use crate::deployment::DeployError;
use crate::keys::KeyError;
use crate::programs::BinariesError;
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

/// What to tell besides what happened.
pub(crate) struct Advice {
    /// A stable name, for programs.
    pub(crate) code: &'static str,
    /// The exit code.
    pub(crate) exit: Exit,
    /// What to do.
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
    Key(#[from] KeyError),
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
    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.advice().exit
    }

    pub(crate) fn advice(&self) -> Advice {
        match self {
            Self::Tool(error) => error.advice(),
            Self::Testnet(error) => error.advice(),
            Self::Key(error) => error.advice(),
            Self::Deploy(error) => error.advice(),
            Self::Binaries(error) => error.advice(),
            Self::Demo(error) => error.advice(),
            Self::Output(_) => Advice {
                code: "output",
                exit: Exit::Refused,
                hint: "look at where standard output goes".into(),
            },
        }
    }
}

/// What to do about the chain.
pub(crate) fn chain_advice(error: &ChainError) -> Advice {
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
    Advice { code, exit, hint: hint.into() }
}
