//! `Receipts`: the newest agreed receipt of a channel, and the own proposal on top of it.

use serde::{Deserialize, Serialize};

use crate::onchain::{ChainClosing, ClosePlan, Evidence};
use crate::wire::{Message, Propose, Refuse, RefuseReason};
use crate::{AgreedReceipt, Amount, Balances, Nonce, Payment, Receipt, Role, Signature, Signatures};

use super::input::CommandId;

/// The newest receipt that both have signed, and at most one own proposal on top of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipts {
    /// The newest agreed receipt.
    pub agreed: AgreedReceipt,
    /// The own proposal that is not answered. What is here was on disk before it was sent, and
    /// what is on disk counts as sent (rule 4): it is repeated as it is until it is answered or a
    /// higher one stands.
    pub proposal: Option<Proposal>,
    /// A receipt above the agreed one, with the partner's signature alone, that the user gave after
    /// data was lost (rule 9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Evidence>,
}

/// An own proposal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proposal {
    /// The receipt that it builds on.
    pub base_nonce: Nonce,
    /// Its nonce.
    pub nonce: Nonce,
    /// Its shares.
    pub balances: Balances,
    /// The own signature.
    pub signature: Signature,
    /// Its payments, in order. On disk they stand in the history of payments.
    #[serde(skip)]
    pub payments: Vec<PendingPayment>,
}

/// An own payment that is not agreed yet, and who waits for it.
#[derive(Debug, Clone)]
pub struct PendingPayment {
    /// The payment.
    pub payment: Payment,
    /// Who waits.
    pub command_ids: Vec<CommandId>,
}

impl From<Payment> for PendingPayment {
    fn from(payment: Payment) -> Self {
        Self { payment, command_ids: Vec::new() }
    }
}

impl Proposal {
    /// The proposed receipt.
    pub const fn receipt(&self) -> Receipt {
        Receipt { nonce: self.nonce, balances: self.balances }
    }

    /// What the payments come to.
    pub fn total(&self) -> Amount {
        Amount::checked_sum(self.payments.iter().map(|pending| pending.payment.amount)).unwrap_or(Amount::MAX)
    }

    /// The message that carries it.
    pub fn message(&self) -> Propose {
        Propose {
            base_nonce: self.base_nonce,
            nonce: self.nonce,
            balances: self.balances,
            payments: self.payments.iter().map(|pending| pending.payment.clone()).collect(),
            signature: self.signature,
        }
    }

    /// Takes out everybody who waits.
    pub(super) fn take_command_ids(&mut self) -> Vec<CommandId> {
        self.payments.iter_mut().flat_map(|pending| std::mem::take(&mut pending.command_ids)).collect()
    }
}

impl Receipts {
    /// At the start: receipt 0.
    pub const fn new(paid_in: Balances) -> Self {
        Self { agreed: AgreedReceipt::zero(paid_in), proposal: None, imported: None }
    }

    /// Before anything can be signed.
    pub(super) const fn unused() -> Self {
        Self::new(Balances { a: Amount::ZERO, b: Amount::ZERO })
    }

    /// As long as nothing is signed, receipt 0 is what the chain says was paid in. Reports whether
    /// it has changed.
    pub(super) fn take_paid_in(&mut self, paid_in: Balances) -> bool {
        let untouched = self.agreed.nonce() == Nonce::ZERO && self.proposal.is_none();
        let changed = untouched && self.agreed.balances() != paid_in;
        if changed {
            self.agreed = AgreedReceipt::zero(paid_in);
        }
        changed
    }

    /// The own proposal, answered by the partner's signature. Of the own signature only the own copy
    /// counts: what the partner shows beside its own is not checked.
    pub(super) fn answered_by(&self, theirs: Signature, role: Role) -> Option<AgreedReceipt> {
        let own = self.proposal.as_ref()?;
        Some(AgreedReceipt::signed(own.receipt(), Signatures::from_roles(role, own.signature, theirs)))
    }

    /// The message that refuses the proposal, or the FINAL receipt, with this nonce.
    pub(super) fn refuse(&self, nonce: Nonce, reason: RefuseReason) -> Message {
        Message::Refuse(Refuse { nonce, reason, agreed_nonce: self.agreed.nonce() })
    }

    /// The agreed receipt with the partner's signature, as the contract takes it.
    pub fn evidence(&self, role: Role) -> Evidence {
        Evidence {
            receipt: self.agreed.receipt,
            signature: self.agreed.signatures.map(|signatures| *signatures.of(role.other())),
        }
    }

    /// Returns the newest receipt known that carries the partner's signature: what a challenge is made of.
    /// It is the agreed one, unless the user has given a newer one.
    pub fn newest_evidence(&self, role: Role) -> Evidence {
        self.imported.unwrap_or_else(|| self.evidence(role))
    }

    /// Takes over a newer receipt that both have signed, and drops what it outdates.
    pub(super) fn take_over(&mut self, agreed: AgreedReceipt) {
        self.proposal.take_if(|own| own.nonce <= agreed.nonce());
        self.imported.take_if(|imported| imported.receipt.nonce <= agreed.nonce());
        self.agreed = agreed;
    }

    /// The receipt that punishes a closing of the partner's on an old receipt: one with its own signature
    /// and a higher nonce, or with the same nonce and other balances.
    pub(super) fn challenge_evidence(&self, role: Role, closing: &ChainClosing) -> Option<Evidence> {
        let evidence = self.newest_evidence(role);
        evidence.signature.filter(|_| closing.closer != role)?;
        let Receipt { nonce, balances } = evidence.receipt;
        let newer = nonce > closing.nonce;
        let contradicts = nonce == closing.nonce && balances != closing.balances;
        (newer || contradicts).then_some(evidence)
    }

    /// The one safe way to close alone: on the agreed receipt; or, with a proposal out, on that
    /// proposal. Never on a receipt of the other's that was not countersigned (the bait).
    pub fn close_plan(&self, role: Role) -> ClosePlan {
        let base = self.evidence(role);
        match &self.proposal {
            None => ClosePlan::Receipt(base),
            Some(proposal) => {
                ClosePlan::Proposal { base, nonce: proposal.nonce, proposed: proposal.balances }
            }
        }
    }
}
