//! `ChainError`: why a question to the chain has no answer, or a transaction failed; revert reasons decoded.

use ethers::contract::ContractRevert;
use ethers::types::Bytes;
use thunder_guard::transactions::CallError;
use thunder_guard::{AskError, Refusal};
use thunder_protocol::onchain::CallFailure;

use crate::contracts::{channel_factory::ChannelFactoryErrors, payment_channel::PaymentChannelErrors};

/// Why a question to the chain has no answer, or a call was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No RPC endpoint can be reached, or none answers. Asking again may help.
    #[error("the RPC endpoint {0}")]
    Unreachable(String),
    /// The contract refuses the call.
    #[error("the contract refuses: {0}")]
    Reverted(String),
    /// There is no such contract at the address.
    #[error("{0}")]
    Missing(String),
    /// The account has too little ether for gas.
    #[error("{needed} ETH are needed for gas and {available} ETH are there: {missing} ETH are missing")]
    NoEther {
        /// What the transaction may cost.
        needed: String,
        /// What the account has.
        available: String,
        /// The difference.
        missing: String,
    },
    /// The endpoint refuses a transaction, with this reason.
    #[error("the RPC endpoint refuses the transaction: {0}")]
    Refused(String),
    /// The answer makes no sense.
    #[error("the RPC endpoint {0}")]
    InvalidResponse(String),
    /// The secret is no valid key.
    #[error("the wallet can't sign transactions")]
    CantSign,
}

impl ChainError {
    /// Whether asking again later may help.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    pub(crate) fn no_ether([needed, available, missing]: [String; 3]) -> Self {
        Self::NoEther { needed, available, missing }
    }
}

impl From<AskError> for ChainError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(refusal) if AskError::Refused(refusal.clone()).is_revert() => {
                Self::Reverted(revert_reason(&refusal))
            }
            AskError::Invalid(_) => Self::InvalidResponse(error.to_string()),
            AskError::Unreachable(_)
            | AskError::Timeout
            | AskError::RateLimited(_)
            | AskError::Refused(_) => Self::Unreachable(error.to_string()),
        }
    }
}

impl From<CallError> for ChainError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Reverted(refusal) => Self::Reverted(revert_reason(&refusal)),
            CallError::MinedAndReverted(tx) => {
                Self::Reverted(format!("transaction {tx} was mined, and refused"))
            }
            CallError::NoEther(missing) => Self::no_ether(missing),
            CallError::Refused(reason) => Self::Refused(reason),
            CallError::CantSign => Self::CantSign,
        }
    }
}

impl From<ChainError> for CallFailure {
    fn from(error: ChainError) -> Self {
        let text = error.to_string();
        match error {
            ChainError::Unreachable(_) => Self::Unreachable(text),
            ChainError::NoEther { .. } => Self::NoEther(text),
            ChainError::Reverted(_)
            | ChainError::Missing(_)
            | ChainError::Refused(_)
            | ChainError::InvalidResponse(_)
            | ChainError::CantSign => Self::Refused(text),
        }
    }
}

/// The contract's own error with its data, where there is one.
fn revert_reason(refusal: &Refusal) -> String {
    if refusal.data.is_empty() {
        return refusal.message.clone();
    }
    let data = Bytes::from(refusal.data.clone());
    if let Some(error) = PaymentChannelErrors::decode_with_selector(&data) {
        return format!("{error:?}");
    }
    if let Some(error) = ChannelFactoryErrors::decode_with_selector(&data) {
        return format!("{error:?}");
    }
    refusal.message.clone()
}
