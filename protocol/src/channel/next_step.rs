//! What can be done with a channel next, or what it waits for.

use crate::onchain::{ChannelEnd, OnChain};
use crate::{Amount, Nonce, Receipt};

use super::Channel;
use super::active::Active;
use super::closed::ClosedOutcome;
use super::closing::Closing;
use super::data_loss::{DataLoss, DataLossStep};
use super::input::Context;
use super::opening::Opening;

/// What a channel's user can do next, or what the channel waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// The chain does not show the opening transaction.
    AwaitOpening,
    /// The opening is not deep enough in the chain.
    AwaitConfirmations {
        /// How deep it has to be.
        confirmations: u64,
        /// The block with which it is; `None` while the block of the opening is unknown.
        deep: Option<u64>,
    },
    /// Money is missing.
    Fund {
        /// How much.
        missing: Amount,
    },
    /// The chain took back what was paid in: what is still there can be cancelled.
    Cancel,
    /// The chain took the opening back.
    AwaitOpeningAgain,
    /// The partner signs nothing more: only closing is left.
    CloseWithoutPartner,
    /// The partner has lost data, and may ask to close.
    AwaitPartnerWithLoss,
    /// The chain was not heard of for too long.
    AwaitChain,
    /// Payments can be made.
    Pay,
    /// The partner's node is there and has not shown where it stands.
    AwaitSync,
    /// The partner's node is not there.
    AwaitPartner,
    /// The partner's FINAL is not here.
    AwaitFinal,
    /// Data was lost.
    Recover {
        /// What the channel waits for.
        step: DataLossStep,
        /// Whether the partner has shown in this session where it stands.
        is_synced: bool,
        /// The receipt that the own FINAL was signed on, or is going to be.
        receipt: Receipt,
    },
    /// Data was lost, and only the partner can close.
    AwaitPartnersClosing,
    /// The chain does not show the own closing.
    AwaitClosing,
    /// The partner closed on an old receipt.
    Challenge {
        /// In how many blocks the challenge has to be mined at the latest.
        blocks: u64,
    },
    /// The channel is closing.
    Withdraw {
        /// The first block for `withdraw`.
        at: u64,
        /// How many blocks are missing to it.
        blocks: u64,
        /// Data was lost: the partner closes on the receipt with this nonce, and a newer one that the user
        /// has can be given within one block less than that.
        import_above: Option<Nonce>,
    },
    /// Nothing: how the channel ended, or `None` if it was never opened.
    Nothing(Option<ChannelEnd>),
}

impl Channel {
    /// What can be done with it next.
    pub fn next_step(&self, context: &Context<'_>) -> NextStep {
        let is_open = !matches!(self, Self::Opening(_) | Self::Closed(_));
        if is_open && matches!(self.view().status, OnChain::Empty { .. }) {
            return NextStep::Cancel;
        }
        match self {
            Self::Opening(state) => state.next_step(context),
            Self::Active(state) => state.next_step(context),
            Self::CooperativeClosing(_) => NextStep::AwaitFinal,
            Self::DataLoss(state) => state.next_step(),
            Self::Closing(state) => state.next_step(context),
            Self::Closed(state) => NextStep::Nothing(match state.outcome() {
                ClosedOutcome::Abandoned => None,
                ClosedOutcome::Ended { end, .. } => Some(end),
            }),
        }
    }
}

impl Opening {
    fn next_step(&self, context: &Context<'_>) -> NextStep {
        match self.common.view.status {
            OnChain::Missing => NextStep::AwaitOpening,
            OnChain::Active { .. } => {
                let confirmations = context.confirmations;
                NextStep::AwaitConfirmations { confirmations, deep: self.common.confirmed_at(confirmations) }
            }
            OnChain::Empty { .. } | OnChain::Closing(_) | OnChain::Closed { .. } => {
                NextStep::Fund { missing: self.missing() }
            }
        }
    }
}

impl Active {
    fn next_step(&self, context: &Context<'_>) -> NextStep {
        if !matches!(self.common.view.status, OnChain::Active { .. }) {
            NextStep::AwaitOpeningAgain
        } else if self.is_peer_stopped() {
            NextStep::CloseWithoutPartner
        } else if self.is_peer_stale() {
            NextStep::AwaitPartnerWithLoss
        } else if !context.chain_fresh {
            NextStep::AwaitChain
        } else if self.is_synced() {
            NextStep::Pay
        } else if self.is_online() {
            NextStep::AwaitSync
        } else {
            NextStep::AwaitPartner
        }
    }
}

impl DataLoss {
    fn next_step(&self) -> NextStep {
        let step = self.step();
        let signed = self.signed().filter(|_| step == DataLossStep::Partner);
        let receipt = signed.unwrap_or_else(|| self.newest());
        NextStep::Recover { step, is_synced: self.is_synced(), receipt }
    }
}

impl Closing {
    fn next_step(&self, context: &Context<'_>) -> NextStep {
        let Some(seen) = self.seen() else {
            let is_stuck = self.common.may_be_stale && self.plan.is_none();
            return if is_stuck { NextStep::AwaitPartnersClosing } else { NextStep::AwaitClosing };
        };
        let at = seen.withdrawable_at();
        let blocks = at.saturating_sub(self.common.head(context));
        let in_time = blocks > 1;
        if in_time && self.challenge_evidence().is_some() {
            return NextStep::Challenge { blocks: blocks.saturating_sub(1) };
        }
        let import_above = (in_time && self.may_be_outdated()).then_some(seen.nonce);
        NextStep::Withdraw { at, blocks, import_above }
    }

    /// Whether the partner closes on what this side, having lost data, can't know to be the newest.
    pub fn may_be_outdated(&self) -> bool {
        let is_by_partner = self.seen().is_some_and(|seen| seen.closer != self.common.role());
        self.common.may_be_stale && is_by_partner && self.challenge_evidence().is_none()
    }
}
