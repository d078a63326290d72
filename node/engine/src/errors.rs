//! Errors for users: what happened and what to do.

use thunder_api::{ApiError, Code};
use thunder_protocol::channel::{CommandError, StateConflict};
use thunder_protocol::onchain::{CallFailure, CallKind};

use crate::storage::StorageError;
use crate::wording;

pub(crate) fn out_of_place() -> ApiError {
    ApiError::new(
        Code::Internal,
        "the node gave an answer to another question",
        "look at infos, and report this",
    )
}

pub(crate) fn other_wallet() -> ApiError {
    ApiError::new(
        Code::WalletInUse,
        "the channel belongs to another wallet",
        "import that one again: thunder-cli importwallet",
    )
}

pub(crate) fn frozen(reason: &str) -> ApiError {
    ApiError::new(
        Code::Internal,
        format!("the channel is frozen, because the disk refused a write: {reason}"),
        "make room on the disk or repair it, and restart thunderd",
    )
}

/// The error for a payment of before the disk refused a write of its channel: the other side may have answered it.
pub(crate) fn frozen_undecided(reason: &str) -> ApiError {
    ApiError {
        code: Code::PaymentUndecided,
        hint: "make room on the disk or repair it, restart thunderd, and repeat it with the same --id; history shows it"
            .into(),
        ..frozen(reason)
    }
}

/// The error for a command that the disk refused.
pub fn disk_error(error: &StorageError) -> ApiError {
    ApiError::new(
        Code::Internal,
        format!("nothing was done: {error}"),
        "make room on the disk or repair it, and restart thunderd",
    )
}

/// The error for a command that the core refuses.
pub(crate) fn explain(error: &CommandError) -> ApiError {
    let (code, hint) = match error {
        CommandError::WrongState(StateConflict::Active) => (
            Code::WrongState,
            "to get your share out: thunder-cli closechannel; to have more to pay with: thunder-cli openchannel",
        ),
        CommandError::WrongState(_) => (Code::WrongState, "see infos for what can be done with it next"),
        CommandError::NotConfirmed => (Code::NotConfirmed, "wait for a few blocks; infos says how many"),
        CommandError::ChainStale => (Code::ChainUnreachable, "check the RPC endpoint; see infos"),
        CommandError::ZeroAmount => (Code::ZeroAmount, "give an amount above zero"),
        CommandError::InsufficientBalance { .. } => {
            (Code::InsufficientBalance, "pay less, or open another channel")
        }
        CommandError::TooMuch { .. } => (Code::AmountOutOfRange, "pay in at most what is missing"),
        CommandError::IdInUse { .. } => (Code::IdInUse, "give a new payment a new id"),
        CommandError::PaymentFailed => (Code::PaymentFailed, "pay again with a new id"),
        CommandError::PeerOffline => (
            Code::PeerNotConnected,
            "nothing was paid; connect with the other node, or wait until it is back",
        ),
        CommandError::PeerStopped => {
            (Code::PeerStopped, "closechannel gets your money out without the other side")
        }
        CommandError::QueueFull => (Code::Busy, "wait until some of them are through"),
        CommandError::Undecided => {
            (Code::PaymentUndecided, "history shows whether the payment is in once the channel is CLOSED")
        }
        CommandError::Unanswered => (
            Code::PaymentUndecided,
            "connect with the other node, or wait until it is back, and repeat it with the same --id; history shows it",
        ),
        CommandError::Closing => (Code::ChannelClosing, "infos shows when withdraw is possible"),
        CommandError::DataLost => (
            Code::DataLost,
            "connect with the other node: with its help the channel is closed on the newest receipt; see infos",
        ),
        CommandError::NoDataLost => (Code::WrongState, "nothing was changed; see infos"),
        CommandError::NotNewer { .. } => {
            (Code::InvalidReceipt, "nothing was changed; import the newest export that there is")
        }
        CommandError::BadReceipt => {
            (Code::InvalidReceipt, "nothing was changed; export one with `thunder-cli receipts`")
        }
        CommandError::NothingToChallenge(_) => (Code::NothingToChallenge, "see infos"),
        CommandError::TooEarly { withdrawable_at, head } => {
            let blocks = withdrawable_at.saturating_sub(*head);
            let hint =
                format!("try again in {blocks} blocks (on a local testnet: thunder-deploy mine {blocks})");
            return ApiError::new(
                Code::TooEarly,
                format!("{}, and now is block {head}", wording::command_error(error)),
                hint,
            );
        }
        CommandError::CallFailed { kind, reason } => return call_failed(*kind, reason),
        CommandError::UnderWay => (Code::UnderWay, "see infos for how far it is"),
    };
    ApiError::new(code, wording::command_error(error), hint)
}

fn call_failed(kind: CallKind, reason: &CallFailure) -> ApiError {
    let (code, hint) = match reason {
        CallFailure::NoEther(_) => {
            (Code::InsufficientEth, "send some ether to the wallet's address (see infos) and try again")
        }
        CallFailure::Unreachable(_) => {
            (Code::ChainUnreachable, "nothing was sent; check the RPC endpoint and try again")
        }
        CallFailure::Refused(_) => match kind {
            CallKind::Open => (Code::TransactionFailed, "nothing was opened; see infos and the log"),
            CallKind::Close => (
                Code::TransactionFailed,
                "the other side may have closed it first: see infos; if not, closechannel again",
            ),
            CallKind::Fund | CallKind::Cancel | CallKind::Challenge | CallKind::Withdraw => {
                (Code::TransactionFailed, "see infos and the log")
            }
        },
    };
    ApiError::new(code, reason.to_string(), hint)
}

/// The error for a command about a channel that is not kept.
pub(crate) fn unknown_channel() -> ApiError {
    ApiError::new(Code::NoChannel, "the channel is gone", "see infos")
}
