//! What comes out of [`Channel::apply`]: what has to be done.

use crate::onchain::Call;
use crate::wire::{Message, RefuseReason};
use crate::{Nonce, Payment};

use super::command_outcome::{CommandError, CommandOutcome};
use super::input::{CommandId, Millis};
use super::{Channel, StateName};

/// The state after an input, and what has to be done.
#[derive(Debug)]
pub struct Transition {
    /// The state.
    pub channel: Channel,
    /// What to do.
    pub effects: Effects,
}

/// What has to be done, in this order: first to disk, then to the chain, then to the peer, then to
/// the user. If writing fails, nothing after it happens and the channel freezes.
#[derive(Debug, Default)]
pub struct Effects {
    /// If set, the new state is written, together with these payments, in one step, before
    /// anything else.
    pub persist: Option<Vec<PaymentWrite>>,
    /// Contract calls. Asking for one that is already under way changes nothing.
    pub submit: Vec<Call>,
    /// Messages to the partner's node.
    pub send: Vec<Message>,
    /// Replies to commands.
    pub reply: Vec<(CommandId, Result<CommandOutcome, CommandError>)>,
    /// What a person watching would want to know.
    pub notify: Vec<ChannelNotice>,
    /// The peer broke a rule that no honest node breaks: the connection ends.
    pub misbehaviour: Option<Misbehaviour>,
}

impl Effects {
    /// The new state has to be on disk.
    pub(super) fn persist(&mut self) {
        self.persist.get_or_insert_default();
    }

    /// The new state and this payment have to be on disk.
    pub(super) fn write(&mut self, write: PaymentWrite) {
        self.persist.get_or_insert_default().push(write);
    }

    /// These payments, if there are any, and the new state have to be on disk.
    pub(super) fn persist_all(&mut self, writes: impl IntoIterator<Item = PaymentWrite>) {
        for write in writes {
            self.write(write);
        }
    }

    pub(super) fn fail_commands(
        &mut self,
        command_ids: impl IntoIterator<Item = CommandId>,
        why: &CommandError,
    ) {
        self.reply.extend(command_ids.into_iter().map(|command_id| (command_id, Err(why.clone()))));
    }
}

/// A change to the payments on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentWrite {
    /// A new one.
    Insert {
        /// Who paid.
        direction: Direction,
        /// The payment.
        payment: Payment,
        /// The receipt it went into.
        nonce: Nonce,
        /// When.
        time: Millis,
    },
    /// The own payments of a proposal that does not stand go into the next one.
    Move {
        /// The old proposal's nonce.
        from: Nonce,
        /// The new proposal's nonce.
        to: Nonce,
    },
    /// The own payments of a proposal that does not stand go into none.
    Fail {
        /// The old proposal's nonce.
        nonce: Nonce,
    },
}

/// Which way money goes, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the partner.
    In,
    /// To the partner.
    Out,
}

/// What a person watching would want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelNotice {
    /// A payment is in a receipt that both have signed.
    Payment {
        /// Which way.
        direction: Direction,
        /// The payment.
        payment: Payment,
        /// The receipt.
        nonce: Nonce,
    },
    /// The channel's state changed.
    State(StateName),
    /// The contract is on the chain, and is not fully paid in.
    Deployed,
    /// The challenge period is over.
    Withdrawable,
    /// The partner refuses a proposal for good.
    Refused(RefuseReason),
    /// Money is at risk unless somebody acts.
    AtRisk(Risk),
}

/// What no honest node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// Rule 1.
    #[error("a proposal's nonce is not the next of the proposer's parity")]
    WrongParity,
    /// Rule 7.
    #[error("a proposal builds on a receipt that this side does not know")]
    UnknownBase,
    /// Rule 2.
    #[error("a proposal does not concede what its payments say")]
    NoConcession,
    /// Rule 7.
    #[error("a proposal's shares don't add up to the channel's amount")]
    BadSum,
    /// Rule 3.
    #[error("a proposal has no payments, too many, too long ones, or one of nothing")]
    BadPayments,
    /// Rule 6.
    #[error("a payment id was used again")]
    RepeatedId,
    /// Rule 7.
    #[error("a signature is wrong")]
    BadSignature,
    /// Rule 1.
    #[error("two different receipts with one nonce carry the peer's signature")]
    TwoReceiptsOneNonce,
    /// Rule 9.
    #[error("a newer receipt is claimed without this side's signature")]
    BareClaim,
    /// Not what the message's own rules allow.
    #[error("a message contradicts itself")]
    Malformed,
}

/// What puts money at risk unless somebody acts. The words for people are the node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// A channel out of a backup became ACTIVE.
    RestoredChannelOpened,
    /// Data was lost: the partner has a newer receipt with the own signature.
    PartnerHasNewerReceipt,
    /// Data was lost: the user gave a newer receipt with the own signature.
    NewerReceiptImported,
    /// The chain took back the opening of a channel with receipts.
    OpeningTakenBack,
    /// The partner closed on an old receipt, and this node was told not to challenge by itself.
    OldReceiptClosedOn,
    /// A challenge failed; it is tried again with the next block.
    ChallengeFailed,
    /// The partner closed on an old receipt, and the challenge period is over.
    ChallengePeriodMissed,
    /// Data was lost: the channel closes on a receipt that is not known here.
    UnknownReceiptClosedOn,
    /// Data was lost, and nothing known here is newer than what the partner closes on.
    NothingNewerToChallengeWith,
    /// Data was lost, and the partner shows nothing newer: nothing is signed until the user decides.
    NothingNewerShown,
    /// Data was lost, and the partner has not answered an own proposal: only the partner can close.
    ProposalUnanswered,
}
