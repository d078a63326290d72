//! Channels and payments in the words of the API.

use thunder_api::{
    ChannelInfo, ChecksumAddress, ExportedReceipt, ExportedReceipts, PaymentInfo, PaymentStatus, Role,
    Watchtower,
};
use thunder_chain::challenge_calldata;
use thunder_protocol::channel::{DataLossStep, Direction, NextStep, PaymentStatus as CoreStatus, Setup};
use thunder_protocol::onchain::{ChainClosing, OnChain};
use thunder_protocol::{Amount, Channel, Nonce, Receipt, Signatures, hex};

use thunder_engine::{ChannelEntry, StoredPayment, contract_state, next_step};

use super::Daemon;
use crate::store::{ProposedPayments, SettledPayment};

const fn role(role: thunder_protocol::Role) -> Role {
    match role {
        thunder_protocol::Role::A => Role::A,
        thunder_protocol::Role::B => Role::B,
    }
}

/// The closing on the chain, if there is or was one.
fn closing(channel: &Channel) -> Option<ChainClosing> {
    match channel.view().status {
        OnChain::Closing(closing) => Some(closing),
        OnChain::Closed { closing, .. } => closing,
        OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } => None,
    }
}

impl Daemon {
    /// One channel for `infos` and `watch`.
    pub(super) fn channel_info(&self, entry: &ChannelEntry) -> ChannelInfo {
        let channel = &entry.channel;
        let setup = channel.setup();
        let (own, partner) = (setup.role(), setup.partner());
        let node = self.engine.peers().by_wallet(&partner).map(|node| node.to_string());
        let closing = closing(channel);
        let step = self.engine.next_step(entry);
        let (mut next, mut next_text) = match &step {
            Some(step) => (commands(step, channel), self.next_text(step, channel, own)),
            None => (Vec::new(), "waiting for its wallet".into()),
        };
        if entry.unreadable.is_some() || entry.frozen.is_some() {
            next.clear();
        }
        if let Some(why) = &entry.unreadable {
            next_text = format!("can't be read ({why}): nothing is signed; look after the RPC endpoint");
        }
        if let Some(reason) = &entry.frozen {
            next_text = format!(
                "frozen, because the disk refused a write ({reason}): repair it and restart thunderd"
            );
        }
        ChannelInfo {
            channel: setup.terms().channel.into(),
            peer: node,
            partner: partner.into(),
            state: contract_state(channel),
            role: role(own),
            amount: setup.terms().amount,
            mine: channel.balances().of(own),
            theirs: channel.balances().of(own.other()),
            nonce: channel.receipts().map_or(0, |receipts| receipts.agreed.nonce().get()),
            pending: channel.pending(),
            closing_block: closing.map(|closing| closing.block),
            withdrawable_at: closing.map(|closing| closing.withdrawable_at()),
            next: next.into_iter().map(str::to_owned).collect(),
            next_text,
        }
    }

    fn next_text(&self, step: &NextStep, channel: &Channel, own: thunder_protocol::Role) -> String {
        match step {
            NextStep::Challenge { blocks } if !self.config.no_auto_challenge => format!(
                "the other side closed on an old receipt: this node challenges by itself, within {blocks} blocks"
            ),
            NextStep::Pay if has_nothing_to_pay(channel) => {
                "closechannel; there is nothing of yours to pay with".into()
            }
            step => next_step(step, own),
        }
    }
}

fn has_nothing_to_pay(channel: &Channel) -> bool {
    matches!(channel, Channel::Active(active) if active.available().is_zero())
}

/// The commands that work on a channel now.
fn commands(step: &NextStep, channel: &Channel) -> Vec<&'static str> {
    match step {
        NextStep::AwaitOpening
        | NextStep::AwaitConfirmations { .. }
        | NextStep::AwaitOpeningAgain
        | NextStep::AwaitChain
        | NextStep::AwaitPartnersClosing
        | NextStep::Nothing(_) => vec![],
        NextStep::Fund { .. } => vec!["fund", "cancel"],
        NextStep::Cancel => vec!["cancel"],
        NextStep::Pay if has_nothing_to_pay(channel) => vec!["closechannel"],
        NextStep::Pay => vec!["pay", "closechannel"],
        NextStep::CloseWithoutPartner
        | NextStep::AwaitPartnerWithLoss
        | NextStep::AwaitSync
        | NextStep::AwaitPartner
        | NextStep::AwaitFinal
        | NextStep::AwaitClosing => vec!["closechannel"],
        NextStep::Recover { step, is_synced, .. } => match step {
            DataLossStep::User if *is_synced => vec!["receipts", "closechannel"],
            DataLossStep::User | DataLossStep::Answer => vec!["connect", "receipts"],
            DataLossStep::Sync => vec!["connect"],
            DataLossStep::Chain | DataLossStep::Partner => vec![],
        },
        NextStep::Challenge { .. } => vec!["challenge"],
        NextStep::Withdraw { blocks: 0 | 1, .. } => vec!["withdraw"],
        NextStep::Withdraw { import_above: Some(_), .. } => vec!["receipts"],
        NextStep::Withdraw { .. } => vec![],
    }
}

const fn direction(direction: Direction) -> thunder_api::Direction {
    match direction {
        Direction::In => thunder_api::Direction::In,
        Direction::Out => thunder_api::Direction::Out,
    }
}

/// A payment that the store has.
pub(crate) fn payment_info(settled: SettledPayment, status: PaymentStatus) -> PaymentInfo {
    let SettledPayment { seq, payment: stored, channel, partner } = settled;
    let StoredPayment { direction: way, payment, nonce, time, .. } = stored;
    PaymentInfo {
        seq,
        id: payment.id,
        channel: channel.into(),
        partner: partner.into(),
        direction: direction(way),
        amount: payment.amount,
        memo: payment.memo,
        nonce: nonce.map(Nonce::get),
        time,
        status,
        invoice: None,
    }
}

/// What became of a payment over this channel.
pub(super) fn status(channel: &Channel, payment: &StoredPayment) -> PaymentStatus {
    match payment.nonce.map(|nonce| channel.status_of(nonce)) {
        Some(CoreStatus::Done) => PaymentStatus::Done,
        Some(CoreStatus::Pending) => PaymentStatus::Pending,
        Some(CoreStatus::Failed) | None => PaymentStatus::Failed,
    }
}

/// The own proposal that is not answered, and for whose payments there is no event yet.
pub(super) fn proposed(entry: &ChannelEntry) -> Option<ProposedPayments> {
    let proposal = entry.channel.receipts()?.proposal.as_ref()?;
    let is_pending = entry.channel.status_of(proposal.nonce) == CoreStatus::Pending;
    let count = proposal.payments.len();
    is_pending.then_some(ProposedPayments { channel: entry.row, nonce: proposal.nonce, count })
}

/// The newest receipts, as the contract takes them.
pub(super) fn receipts(channel: &Channel) -> Option<ExportedReceipts> {
    let (setup, receipts) = (channel.setup(), channel.receipts()?);
    let terms = setup.terms();
    let agreed = export(setup, receipts.agreed.receipt, receipts.agreed.signatures);
    let proposal = receipts.proposal.as_ref().map(|proposal| {
        let mut exported = export(setup, proposal.receipt(), None);
        match setup.role() {
            thunder_protocol::Role::A => exported.signature_a = Some(proposal.signature),
            thunder_protocol::Role::B => exported.signature_b = Some(proposal.signature),
        }
        exported
    });
    Some(ExportedReceipts {
        channel: terms.channel.into(),
        chain_id: terms.chain_id,
        part_a: ChecksumAddress(terms.part_a),
        part_b: ChecksumAddress(terms.part_b),
        role: role(setup.role()),
        agreed,
        proposal,
        watchtower: watchtower(channel),
    })
}

/// What a third party needs to challenge. Derived: the newest receipt is on disk already, in the one
/// write that each batch of payments has.
fn watchtower(channel: &Channel) -> Option<Watchtower> {
    let (setup, receipts) = (channel.setup(), channel.receipts()?);
    let (terms, role) = (setup.terms(), setup.role());
    let evidence = receipts.newest_evidence(role);
    let (nonce, balances) = (evidence.receipt.nonce, evidence.receipt.balances);
    // The contract takes no FINAL in a challenge, and nothing is older than it.
    let signature = evidence.signature.filter(|_| nonce != Nonce::FINAL)?;
    Some(Watchtower {
        version: 1,
        chain_id: terms.chain_id,
        channel: ChecksumAddress(terms.channel),
        closer: ChecksumAddress(setup.partner()),
        beneficiary: ChecksumAddress(setup.party(role)),
        nonce: nonce.get(),
        balance_a: balances.a.base_units().to_string(),
        balance_b: balances.b.base_units().to_string(),
        signature,
        data: format!("0x{}", hex::encode(challenge_calldata(&evidence))),
    })
}

fn export(setup: &Setup, receipt: Receipt, signatures: Option<Signatures>) -> ExportedReceipt {
    let units = |amount: Amount| amount.base_units().to_string();
    ExportedReceipt {
        nonce: receipt.nonce.get(),
        balance_a: units(receipt.balances.a),
        balance_b: units(receipt.balances.b),
        digest: setup.domain().digest(&receipt),
        signature_a: signatures.map(|signatures| signatures.a),
        signature_b: signatures.map(|signatures| signatures.b),
    }
}
