//! Receipts that the user gives to a channel that has lost data (rule 9).

use crate::onchain::Evidence;
use crate::{AgreedReceipt, Crypto, Nonce, Receipt, Signature, Signatures};

use super::closing::Closing;
use super::command_outcome::{CommandError, CommandOutcome};
use super::effects::{Effects, Risk};
use super::input::Context;
use super::receipts::Receipts;
use super::rules::{Claim, judge_claim};
use super::terms::Setup;

/// A receipt from a file that this side's node has exported: with both signatures, or, from a
/// watchtower record, with the partner's alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// The partner's signature.
    pub theirs: Signature,
    /// This side's signature. Without it the receipt proves nothing about this side.
    pub own: Option<Signature>,
}

impl ImportedReceipt {
    /// The receipt with both signatures, if both are known.
    pub(super) fn agreed(&self, setup: &Setup, receipts: &Receipts) -> Option<AgreedReceipt> {
        let given = |own| Signatures::from_roles(setup.role(), own, self.theirs);
        let both = self.own.map(|own| AgreedReceipt::signed(self.receipt, given(own)));
        both.or_else(|| {
            receipts.answered_by(self.theirs, setup.role()).filter(|own| own.receipt == self.receipt)
        })
    }

    /// Whether it carries an own signature that this side knows nothing of.
    pub(super) fn proves_loss(&self, setup: &Setup, receipts: &Receipts, crypto: &dyn Crypto) -> bool {
        let claim = self.own.and_then(|_| self.agreed(setup, receipts));
        claim.is_some_and(|claim| judge_claim(setup, receipts, &claim, crypto) == Ok(Claim::LostData))
    }

    fn is_valid(&self, setup: &Setup, crypto: &dyn Crypto) -> bool {
        let Receipt { nonce, balances } = self.receipt;
        let (own, partner) = (setup.role(), setup.partner_role());
        nonce > Nonce::ZERO
            && nonce < Nonce::FINAL
            && setup.adds_up(balances)
            && setup.verify(&self.receipt, &self.theirs, partner, crypto)
            && self.own.is_none_or(|signature| setup.verify(&self.receipt, &signature, own, crypto))
    }
}

impl Receipts {
    /// Takes a receipt that the user gives, if it is valid and newer than what is known. Reports
    /// whether both sides have signed it; if not, it is kept apart from what is agreed.
    pub(super) fn import(
        &mut self,
        given: &ImportedReceipt,
        setup: &Setup,
        crypto: &dyn Crypto,
    ) -> Result<bool, CommandError> {
        if !given.is_valid(setup, crypto) {
            return Err(CommandError::BadReceipt);
        }
        let agreed = given.agreed(setup, self);
        let newest = self.newest_evidence(setup.role()).receipt.nonce;
        let outdates = if agreed.is_some() { self.agreed.nonce() } else { newest };
        if given.receipt.nonce <= outdates {
            return Err(CommandError::NotNewer { newest });
        }
        match agreed {
            Some(agreed) => self.take_over(agreed),
            None => self.imported = Some(Evidence { receipt: given.receipt, signature: Some(given.theirs) }),
        }
        Ok(agreed.is_some())
    }
}

impl Closing {
    /// The user gives a receipt: a closing of the partner's that it outdates is challenged with it.
    pub(super) fn import(
        &mut self,
        given: &ImportedReceipt,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<CommandOutcome, CommandError> {
        let proves_loss = given.proves_loss(&self.common.setup, &self.common.receipts, context.crypto);
        if !self.common.may_be_stale && !proves_loss {
            return Err(CommandError::NoDataLost);
        }
        let both_signed = self.common.receipts.import(given, &self.common.setup, context.crypto)?;
        effects.persist();
        // What this side is closing on is older, and is not sent again.
        self.plan.take_if(|plan| plan.nonce() < given.receipt.nonce);
        if proves_loss {
            self.lose(Risk::NewerReceiptImported, effects);
        }
        self.challenge_if_due(context, effects);
        Ok(CommandOutcome::ReceiptImported { receipt: given.receipt, both_signed })
    }
}
