//! Why something on the chain did not work.

use ethers::providers::{ProviderError, RpcError as _};
use ethers::types::Bytes;

use crate::contracts::{channel_factory::ChannelFactoryErrors, payment_channel::PaymentChannelErrors};
use crate::rpc::RpcError;
use ethers::contract::ContractRevert;
use thunder_protocol::onchain::CallFailure;

/// Why a question to the chain has no answer, or a call was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The RPC entry point can't be reached, or does not answer sensibly. Asking again may help.
    #[error("{0}")]
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
    /// The RPC entry point says two things that can't both be so. Asking again may help.
    #[error("the RPC entry point contradicts itself: {0}")]
    Contradictory(String),
    /// The answer makes no sense.
    #[error("the chain's answer makes no sense: {0}")]
    Nonsense(String),
}

impl ChainError {
    /// Whether asking again later may help.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Contradictory(_))
    }
}

impl From<ChainError> for CallFailure {
    fn from(error: ChainError) -> Self {
        let text = error.to_string();
        match error {
            ChainError::Unreachable(_) | ChainError::Contradictory(_) => Self::Unreachable(text),
            ChainError::NoEther { .. } => Self::NoEther(text),
            ChainError::Reverted(_) | ChainError::Missing(_) | ChainError::Nonsense(_) => Self::Refused(text),
        }
    }
}

impl From<ProviderError> for ChainError {
    fn from(error: ProviderError) -> Self {
        if let Some(response) = error.as_error_response() {
            let data = response.as_revert_data();
            if data.is_some() || response.message.contains("revert") {
                return Self::Reverted(revert_reason(data.as_ref(), &response.message));
            }
            return Self::Unreachable(format!("the RPC entry point answers: {}", response.message));
        }
        match error {
            ProviderError::JsonRpcClientError(inner) => Self::Unreachable(inner.to_string()),
            ProviderError::SerdeJson(inner) => Self::Nonsense(inner.to_string()),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

impl From<RpcError> for ChainError {
    fn from(error: RpcError) -> Self {
        ProviderError::from(error).into()
    }
}

/// The contract's own error with its data, where there is one.
pub(crate) fn revert_reason(data: Option<&Bytes>, message: &str) -> String {
    let Some(data) = data.filter(|data| !data.is_empty()) else { return message.to_owned() };
    if let Some(error) = PaymentChannelErrors::decode_with_selector(data) {
        return format!("{error:?}");
    }
    if let Some(error) = ChannelFactoryErrors::decode_with_selector(data) {
        return format!("{error:?}");
    }
    message.to_owned()
}
