//! Records that somebody else may have changed: those of a backup that nobody has signed.

use crate::crypto::recover;
use crate::{Receipt, Role, Signature};

use super::Channel;
use super::data_loss::DataLoss;
use super::receipts::{Proposal, Receipts};

impl Channel {
    /// Whether the agreed receipt carries the valid signatures of both parties, and the own proposal the
    /// own one. Without the own signature a receipt could be the partner's invention, and a FINAL one would
    /// be signed on it.
    pub fn has_valid_receipts(&self) -> bool {
        let Some(receipts) = self.receipts() else { return true };
        let setup = self.setup();
        let is_signed = |receipt: &Receipt, signature: &Signature, signer: Role| {
            recover(&setup.domain().digest(receipt), signature) == Some(setup.party(signer))
        };
        let agreed = &receipts.agreed;
        let is_agreed = agreed.signatures.is_none_or(|signatures| {
            setup.adds_up(agreed.balances())
                && [Role::A, Role::B]
                    .into_iter()
                    .all(|role| is_signed(&agreed.receipt, signatures.of(role), role))
        });
        let is_own = |own: &Proposal| {
            setup.adds_up(own.balances) && is_signed(&own.receipt(), &own.signature, setup.role())
        };
        agreed.is_well_formed() && is_agreed && receipts.proposal.as_ref().is_none_or(is_own)
    }

    /// Like [`Self::mark_stale`], for a record that somebody else may have changed: a closing that it tells of
    /// counts only if the chain shows it. Going on with one would be closing alone, perhaps on an old receipt.
    #[must_use]
    pub fn mark_stale_untrusted(self) -> Self {
        match self {
            Self::Closing(state) => Self::DataLoss(Box::new(DataLoss::new(state.common))),
            Self::Closed(state) if state.has_receipts => {
                Self::DataLoss(Box::new(DataLoss::new(state.common)))
            }
            other @ (Self::Opening(_)
            | Self::Active(_)
            | Self::CooperativeClosing(_)
            | Self::DataLoss(_)
            | Self::Closed(_)) => other.mark_stale(),
        }
    }

    /// Leaves of a closed channel what the history needs: nothing that would be signed, sent or closed on
    /// if a reorganisation took its end back. Other states stay as they are.
    #[must_use]
    pub fn for_history_only(mut self) -> Self {
        if let Self::Closed(state) = &mut self {
            (state.has_receipts, state.plan) = (false, None);
            (state.common.receipts, state.common.may_be_stale) = (Receipts::unused(), true);
        }
        self
    }
}
