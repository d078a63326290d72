//! What the core reports as types, in words for people: outcomes of commands, risks, states, next steps.
//!
//! Errors that have texts of their own (of amounts, messages, openings) are defined with them.

use thunder_protocol::channel::{
    ChannelNotice, CommandError, DataLossStep, NextStep, NoChallenge, Risk, StateConflict,
};
use thunder_protocol::onchain::EndKind;
use thunder_protocol::{Memo, Receipt, Role};

/// Why a command is refused, or what became of it.
pub(crate) fn command_error(error: &CommandError) -> String {
    match error {
        CommandError::WrongState(conflict) => format!("the channel is {}", state_conflict(*conflict)),
        CommandError::NotConfirmed => "the channel's opening is not confirmed yet".into(),
        CommandError::ChainStale => "the channel was not read from the chain for too long to pay safely".into(),
        CommandError::ZeroAmount => "the amount is zero".into(),
        CommandError::InsufficientBalance { available } => format!("the channel has only {available} THD left to pay with"),
        CommandError::TooMuch { missing } => format!("only {missing} THD are missing in the channel"),
        CommandError::IdInUse { amount, memo } => {
            format!("another payment already has this id: {amount} THD, {}", with_memo(memo))
        }
        CommandError::PaymentFailed => "the payment with this id has failed; nothing was paid".into(),
        CommandError::PeerOffline => "the other side is not connected".into(),
        CommandError::PeerStopped => "the other side signs nothing more in this channel".into(),
        CommandError::QueueFull => "too many payments are waiting".into(),
        CommandError::Undecided => "the channel is closing, and the payment had not been answered; the chain decides whether it is in".into(),
        CommandError::Unanswered => "the payment was sent and the other side, which has not answered it, is not connected".into(),
        CommandError::Closing => "the channel is closing; nothing was paid".into(),
        CommandError::DataLost => "this node has lost data of the channel and must not act alone".into(),
        CommandError::NoDataLost => "this node has lost no data of the channel".into(),
        CommandError::NotNewer { newest } => format!("the receipt is not newer than receipt {newest}, which this node has already"),
        CommandError::BadReceipt => "this receipt is not valid for the channel".into(),
        CommandError::NothingToChallenge(why) => no_challenge(*why).into(),
        CommandError::TooEarly { withdrawable_at, .. } => format!("the challenge period ends with block {withdrawable_at}"),
        CommandError::CallFailed { reason, .. } => reason.to_string(),
        CommandError::UnderWay => "this is already under way".into(),
    }
}

fn with_memo(memo: &Memo) -> String {
    if memo.as_str().is_empty() {
        "without a memo".into()
    } else {
        format!("with the memo {:?}", memo.as_str())
    }
}

/// What the channel is, that rules a command out.
const fn state_conflict(of: StateConflict) -> &'static str {
    match of {
        StateConflict::NotOpen => "not open yet",
        StateConflict::NotOpenButCancellable => "not open yet; cancel takes back what was paid in",
        StateConflict::NotFundable => "not waiting for money",
        StateConflict::NothingPaidIn => "not on the chain; nothing was paid in",
        StateConflict::PastCancelling => "past the point where cancel works; use closechannel",
        StateConflict::ClosedBeforeUse => "closing already",
        StateConflict::BecameActive => "ACTIVE; use closechannel",
        StateConflict::Active => "ACTIVE: every share is paid in, and only closechannel leads out of it",
        StateConflict::OpeningTakenBack => {
            "not on the chain: blocks were taken back; it can be closed once it is there again"
        }
        StateConflict::ProposalUnanswered => "waiting for the other side to answer an own payment",
        StateConflict::Closing => "closing",
        StateConflict::ClosingNotMined => "closing, and the closing is not on the chain yet",
        StateConflict::ClosingMined => "CLOSING already",
        StateConflict::PartnerClosedAlone => "CLOSING: the other side closed alone",
        StateConflict::PartnerClosedFirst => "CLOSING: the other side closed first",
        StateConflict::Closed => "CLOSED",
        StateConflict::ClosedAlready => "CLOSED already",
        StateConflict::NeverOpened => "CLOSED: it was never opened, and nothing was paid in",
        StateConflict::NotCancelled => "CLOSED, and was not cancelled",
        StateConflict::ImportTooLate => "CLOSED; a receipt changes nothing any more",
    }
}

/// Why nothing can be challenged.
const fn no_challenge(of: NoChallenge) -> &'static str {
    match of {
        NoChallenge::NotClosing => "the channel is not closing",
        NoChallenge::NoClosingMined => "no closing of the other side is on the chain",
        NoChallenge::OwnClosing => "this side closed the channel itself",
        NoChallenge::NewestReceipt => "the other side closed on the newest receipt",
        NoChallenge::PeriodOver => "the challenge period is over",
        NoChallenge::PaidOut => "the channel is CLOSED and paid out",
        NoChallenge::PartnerChallenged => "the channel is CLOSED: the other side has challenged",
    }
}

/// What puts money at risk.
pub(crate) const fn risk(of: Risk) -> &'static str {
    match of {
        Risk::RestoredChannelOpened => "the channel comes out of a backup: it must not act alone",
        Risk::PartnerHasNewerReceipt => {
            "data was lost: the other side has a newer receipt with our signature"
        }
        Risk::NewerReceiptImported => "data was lost: a newer receipt with our signature was imported",
        Risk::OpeningTakenBack => "the chain took back the opening of a channel with receipts",
        Risk::OldReceiptClosedOn => "the other side closed on an old receipt: run challenge",
        Risk::ChallengeFailed => {
            "the challenge of the other side's closing failed; it is tried again with the next block"
        }
        Risk::ChallengePeriodMissed => {
            "the other side closed on an old receipt and the time to challenge is over"
        }
        Risk::UnknownReceiptClosedOn => {
            "data was lost: the channel closes on a receipt that this node does not know"
        }
        Risk::NothingNewerToChallengeWith => {
            "data was lost, and the other side closes on a receipt that this node has nothing newer \
             than; if its user has, it has to be imported within the challenge period"
        }
        Risk::NothingNewerShown => {
            "data was lost, and the other side shows nothing newer than what this node has: nothing is \
             signed until its user decides; see infos"
        }
        Risk::ProposalUnanswered => {
            "data was lost, and the other side has not answered an own payment: only it can close the \
             channel"
        }
    }
}

/// A channel's state in a log line; `None` for what is no change of state.
pub(crate) const fn state(notice: &ChannelNotice) -> Option<&'static str> {
    match notice {
        ChannelNotice::State(state) => Some(state.as_str()),
        ChannelNotice::Deployed => Some("EMPTY"),
        ChannelNotice::Withdrawable => Some("withdrawable"),
        ChannelNotice::Payment { .. } | ChannelNotice::Refused(_) | ChannelNotice::AtRisk(_) => None,
    }
}

/// A receipt, as a user has to see it before it is the end.
pub(crate) fn shares(own: Role, receipt: &Receipt) -> String {
    let Receipt { nonce, balances } = receipt;
    format!("receipt {nonce}: {} THD yours, {} THD theirs", balances.of(own), balances.of(own.other()))
}

/// What can be done with a channel next, in which this side has the role `own`.
pub fn next_step(next: &NextStep, own: Role) -> String {
    match next {
        NextStep::AwaitOpening => "waiting for the opening transaction".into(),
        NextStep::AwaitConfirmations { confirmations, deep: Some(deep) } => {
            format!("waiting for {confirmations} confirmations, until block {deep}")
        }
        NextStep::AwaitConfirmations { deep: None, .. } => "waiting for confirmations".into(),
        NextStep::Fund { missing } => format!("{missing} THD are missing: fund pays in, cancel takes back"),
        NextStep::Cancel => {
            "the chain took back what was paid in: cancel takes back what is still there".into()
        }
        NextStep::AwaitOpeningAgain => {
            "the chain took the opening back; waiting until it is there again".into()
        }
        NextStep::CloseWithoutPartner => {
            "the other side signs nothing more: closechannel gets your money out".into()
        }
        NextStep::AwaitPartnerWithLoss => {
            "the other side has lost data and may ask to close; closechannel works too".into()
        }
        NextStep::AwaitChain => "waiting for the chain; see its RPC endpoint".into(),
        NextStep::Pay => "pay, closechannel".into(),
        NextStep::AwaitSync => "comparing with the other side; closechannel is possible".into(),
        NextStep::AwaitPartner => {
            "the other side is not connected; closechannel is possible without it".into()
        }
        NextStep::AwaitFinal => {
            "closing together: waiting for the other side; closechannel closes alone".into()
        }
        NextStep::Recover { step, is_synced, receipt } => recover(*step, *is_synced, &shares(own, receipt)),
        NextStep::AwaitPartnersClosing => {
            "this node has lost data and can't close alone: the other side has to".into()
        }
        NextStep::AwaitClosing => "waiting for the closing transaction; closechannel sends it again".into(),
        NextStep::Challenge { blocks } => {
            format!("the other side closed on an old receipt: challenge within {blocks} blocks")
        }
        NextStep::Withdraw { at, blocks, import_above: None } => withdraw(*at, *blocks),
        NextStep::Withdraw { at, blocks, import_above: Some(nonce) } => format!(
            "{}; if you have a receipt above {nonce}: receipts --import <file> within {} blocks",
            withdraw(*at, *blocks),
            blocks.saturating_sub(1)
        ),
        NextStep::Nothing(None) => "never opened; nothing was paid in".into(),
        NextStep::Nothing(Some(end)) => {
            let how = match end.kind {
                EndKind::Cancelled => "cancelled",
                EndKind::Final => "closed together",
                EndKind::Withdrawn => "withdrawn",
                EndKind::Challenged => "challenged",
            };
            format!("nothing: {how}, {} THD received", end.received(own))
        }
    }
}

fn withdraw(at: u64, blocks: u64) -> String {
    match blocks {
        0 | 1 => "withdraw possible now".into(),
        blocks => format!("withdraw possible from block {at}, in {blocks} blocks"),
    }
}

/// What can be done next with a channel that has lost data; `receipt` is the one that FINAL is about.
fn recover(step: DataLossStep, is_synced: bool, receipt: &str) -> String {
    match step {
        DataLossStep::User if is_synced => format!(
            "data was lost, and the other side shows nothing newer than {receipt}; receipts --import <file> takes \
             a newer one, closechannel --yes accepts these shares for good"
        ),
        DataLossStep::User => format!(
            "data was lost, and the newest known is {receipt}: connect with the other side, which helps to close \
             on the newest; receipts --import <file> takes one that you have"
        ),
        DataLossStep::Sync => {
            format!("data was lost: connect with the other side, to close together on {receipt}")
        }
        DataLossStep::Chain => format!("waiting for the chain, to close together on {receipt}"),
        DataLossStep::Partner => format!("closing together on {receipt}; waiting for the other side"),
        DataLossStep::Answer => {
            "data was lost, and a payment of yours was not answered: connect with the other side, \
             which can answer or close; receipts --import <file> takes a newer receipt"
                .into()
        }
    }
}
