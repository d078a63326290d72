//! Why a channel refuses a command in its state, as types. The words for people are the node's.

/// Which state of a channel rules a command out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateConflict {
    /// The channel can't be used yet.
    NotOpen,
    /// The channel can't be used yet; what was paid in can be taken back.
    NotOpenButCancellable,
    /// The channel takes no money.
    NotFundable,
    /// The channel is not on the chain, so that there is nothing to take back.
    NothingPaidIn,
    /// Too much has happened for the channel to be cancelled.
    PastCancelling,
    /// A closing was seen before the channel could be used.
    ClosedBeforeUse,
    /// The channel became ACTIVE while the command waited.
    BecameActive,
    /// The channel is ACTIVE, and has to be closed first.
    Active,
    /// The chain took the opening back.
    OpeningTakenBack,
    /// The partner has not answered an own proposal.
    ProposalUnanswered,
    /// A closing was begun or seen.
    Closing,
    /// A closing was begun, and the chain does not show it.
    ClosingNotMined,
    /// The chain shows a closing.
    ClosingMined,
    /// The partner closed alone while the command waited.
    PartnerClosedAlone,
    /// The partner's closing came before the own one.
    PartnerClosedFirst,
    /// The channel is at its end.
    Closed,
    /// The channel is at its end, so that it can't be closed.
    ClosedAlready,
    /// The channel never came onto the chain.
    NeverOpened,
    /// The channel ended otherwise than by `cancel`.
    NotCancelled,
    /// The channel is at its end, which no receipt changes.
    ImportTooLate,
}

/// Why nothing can be challenged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoChallenge {
    /// The channel is not closing.
    NotClosing,
    /// The chain shows no closing.
    NoClosingMined,
    /// This side closed.
    OwnClosing,
    /// The partner closed on the newest receipt.
    NewestReceipt,
    /// The challenge period is over.
    PeriodOver,
    /// The channel is paid out.
    PaidOut,
    /// The partner has challenged, and the channel is paid out.
    PartnerChallenged,
}
