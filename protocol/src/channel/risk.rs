//! What puts money at risk, as a type. The words for people are the node's.

/// What puts money at risk unless somebody acts.
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
