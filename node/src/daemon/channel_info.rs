//! Channels and payments in the words of the API.

use thunder_api::{
    Account, ChannelInfo, ChannelState, ExportedReceipt, PaymentInfo, PaymentStatus, Receipts, Role,
    Watchtower,
};
use thunder_chain::challenge_calldata;
use thunder_protocol::channel::{Direction, Outcome, PaymentStatus as CoreStatus, Setup};
use thunder_protocol::onchain::{Closing, EndKind, OnChain};
use thunder_protocol::{Address, Amount, Channel, Nonce, Payment, Receipt, Signatures, hex};

use super::Daemon;
use super::channels::Slot;
use crate::store::StoredPayment;

/// The contract's state, as far as the node knows it.
pub(super) fn state(channel: &Channel) -> ChannelState {
    match channel.view().status {
        OnChain::Missing if matches!(channel, Channel::Closed(_)) => ChannelState::Closed,
        OnChain::Missing | OnChain::Empty { .. } => ChannelState::Empty,
        OnChain::Active { .. } => ChannelState::Active,
        OnChain::Closing(_) => ChannelState::Closing,
        OnChain::Closed { .. } => ChannelState::Closed,
    }
}

const fn role(role: thunder_protocol::Role) -> Role {
    match role {
        thunder_protocol::Role::A => Role::A,
        thunder_protocol::Role::B => Role::B,
    }
}

/// The closing on the chain, if there is or was one.
fn closing(channel: &Channel) -> Option<Closing> {
    match channel.view().status {
        OnChain::Closing(closing) => Some(closing),
        OnChain::Closed { closing, .. } => closing,
        OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } => None,
    }
}

impl Daemon {
    /// One channel for `infos` and `watch`.
    pub(super) fn channel_info(&self, slot: &Slot) -> ChannelInfo {
        let channel = &slot.channel;
        let setup = channel.setup();
        let (own, partner) = (setup.role(), setup.partner());
        let node = self.peers.node_of(&partner).map(|node| node.to_string());
        let closing = closing(channel);
        let mut next = self.next_step(channel, node.is_some());
        if let Some(why) = &slot.unreadable {
            next = format!("can't be read ({why}): nothing is signed; look after the RPC endpoint");
        }
        if let Some(reason) = &slot.frozen {
            next = format!(
                "frozen, because the disk refused a write ({reason}): repair it and restart thunderd"
            );
        }
        ChannelInfo {
            channel: setup.terms().channel.into(),
            peer: node,
            partner: partner.into(),
            state: state(channel),
            role: role(own),
            amount: setup.terms().amount,
            mine: channel.balances().of(own),
            theirs: channel.balances().of(own.other()),
            nonce: channel.books().map_or(0, |books| books.agreed.nonce().get()),
            pending: channel.pending(),
            closing_block: closing.map(|closing| closing.block),
            withdrawable_at: closing.map(|closing| closing.withdrawable_at()),
            next,
        }
    }

    /// What can be done with a channel next.
    fn next_step(&self, channel: &Channel, is_connected: bool) -> String {
        match channel {
            Channel::Opening(opening) => match opening.common.view.status {
                OnChain::Missing => "waiting for the opening transaction".into(),
                OnChain::Active { .. } => match opening.common.view.newest {
                    Some(event) => {
                        let confirmations = self.confirmations();
                        let deep = event.block.saturating_add(confirmations).saturating_sub(1);
                        format!("waiting for {confirmations} confirmations, until block {deep}")
                    }
                    None => "waiting for confirmations".into(),
                },
                OnChain::Empty { .. } | OnChain::Closing(_) | OnChain::Closed { .. } => {
                    format!("{} THD are missing: fund pays in, cancel takes back", opening.missing())
                }
            },
            Channel::Active(_) | Channel::Finishing(_) | Channel::Lost(_) | Channel::Closing(_)
                if matches!(channel.view().status, OnChain::Empty { .. }) =>
            {
                "the chain took back what was paid in: cancel takes back what is still there".into()
            }
            Channel::Active(active) if !matches!(active.common.view.status, OnChain::Active { .. }) => {
                "the chain took the opening back; waiting until it is there again".into()
            }
            Channel::Active(active) if active.is_peer_stopped() => {
                "the other side signs nothing more: closechannel gets your money out".into()
            }
            Channel::Active(active) if active.is_peer_lost() => {
                "the other side has lost data and may ask to close; closechannel works too".into()
            }
            Channel::Active(_) if !self.is_chain_fresh() => {
                "waiting for the chain; see its RPC endpoint".into()
            }
            Channel::Active(active) if active.is_synced() => "pay, closechannel".into(),
            Channel::Active(_) if is_connected => {
                "comparing with the other side; closechannel is possible".into()
            }
            Channel::Active(_) => {
                "the other side is not connected; closechannel is possible without it".into()
            }
            Channel::Finishing(_) => {
                "closing together: waiting for the other side; closechannel closes alone".into()
            }
            Channel::Lost(lost) => super::lost::next_step(lost),
            Channel::Closing(closing) => match closing.seen() {
                None if closing.common.lost && closing.plan.is_none() => {
                    "this node has lost data and can't close alone: the other side has to".into()
                }
                None => "waiting for the closing transaction; closechannel sends it again".into(),
                Some(seen)
                    if closing.challenge_evidence().is_some()
                        && self.blocks_until(seen.withdrawable_at()) > 1 =>
                {
                    let left = self.blocks_until(seen.withdrawable_at()).saturating_sub(1);
                    format!("the other side closed on an old receipt: challenge within {left} blocks")
                }
                Some(seen)
                    if super::lost::may_be_outdated(closing)
                        && self.blocks_until(seen.withdrawable_at()) > 1 =>
                {
                    let left = self.blocks_until(seen.withdrawable_at()).saturating_sub(1);
                    let nonce = seen.nonce;
                    format!(
                        "{}; if you have a receipt above {nonce}: receipts --import <file> within {left} blocks",
                        self.withdraw_step(seen)
                    )
                }
                Some(seen) => self.withdraw_step(seen),
            },
            Channel::Closed(closed) => match closed.outcome() {
                Outcome::Abandoned => "never opened; nothing was paid in".into(),
                Outcome::Ended { end, .. } => {
                    let received = end.received(closed.common.setup.role());
                    let how = match end.kind {
                        EndKind::Cancelled => "cancelled",
                        EndKind::Final => "closed together",
                        EndKind::Withdrawn => "withdrawn",
                        EndKind::Challenged => "challenged",
                    };
                    format!("nothing: {how}, {received} THD received")
                }
            },
        }
    }

    fn withdraw_step(&self, seen: &Closing) -> String {
        let (at, left) = (seen.withdrawable_at(), self.blocks_until(seen.withdrawable_at()));
        match left {
            0 | 1 => "withdraw possible now".into(),
            left => format!("withdraw possible from block {at}, in {left} blocks"),
        }
    }

    pub(super) fn blocks_until(&self, block: u64) -> u64 {
        block.saturating_sub(self.chain.head.unwrap_or(0))
    }

    pub(super) fn confirmations(&self) -> u64 {
        self.config.confirmations_on(self.chain.identity.map_or(0, |identity| identity.chain_id))
    }
}

const fn direction(direction: Direction) -> thunder_api::Direction {
    match direction {
        Direction::In => thunder_api::Direction::In,
        Direction::Out => thunder_api::Direction::Out,
    }
}

/// A payment that has just been agreed on.
pub(super) fn payment(
    channel: Address,
    way: Direction,
    payment: Payment,
    nonce: Option<Nonce>,
    time: u64,
) -> PaymentInfo {
    PaymentInfo {
        id: payment.id,
        channel: channel.into(),
        direction: direction(way),
        amount: payment.amount,
        memo: payment.memo,
        nonce: nonce.map(Nonce::get),
        time,
        status: PaymentStatus::Done,
    }
}

/// A payment of the history.
pub(super) fn stored_payment(channel: &Channel, stored: StoredPayment) -> PaymentInfo {
    let StoredPayment { direction, payment: paid, nonce, time, .. } = stored;
    let status = match nonce.map(|nonce| channel.status_of(nonce)) {
        Some(CoreStatus::Done) => PaymentStatus::Done,
        Some(CoreStatus::Pending) => PaymentStatus::Pending,
        Some(CoreStatus::Failed) | None => PaymentStatus::Failed,
    };
    let address = channel.setup().terms().channel;
    PaymentInfo { status, ..payment(address, direction, paid, nonce, time) }
}

/// The newest receipts, as the contract takes them.
pub(super) fn receipts(channel: &Channel) -> Option<Receipts> {
    let (setup, books) = (channel.setup(), channel.books()?);
    let terms = setup.terms();
    let agreed = export(setup, books.agreed.receipt, books.agreed.signatures);
    let proposal = books.proposal.as_ref().map(|proposal| {
        let mut exported = export(setup, proposal.receipt(), None);
        match setup.role() {
            thunder_protocol::Role::A => exported.signature_a = Some(proposal.signature),
            thunder_protocol::Role::B => exported.signature_b = Some(proposal.signature),
        }
        exported
    });
    Some(Receipts {
        channel: terms.channel.into(),
        chain_id: terms.chain_id,
        part_a: Account(terms.part_a),
        part_b: Account(terms.part_b),
        role: role(setup.role()),
        agreed,
        proposal,
        watchtower: watchtower(channel),
    })
}

/// What a third party needs to challenge. Derived: the newest receipt is on disk already, in the one
/// write that each batch of payments has.
fn watchtower(channel: &Channel) -> Option<Watchtower> {
    let (setup, books) = (channel.setup(), channel.books()?);
    let (terms, role) = (setup.terms(), setup.role());
    let evidence = books.newest_evidence(role);
    let (nonce, balances) = (evidence.receipt.nonce, evidence.receipt.balances);
    // The contract takes no FINAL in a challenge, and nothing is older than it.
    let signature = evidence.signature.filter(|_| nonce != Nonce::FINAL)?;
    Some(Watchtower {
        version: 1,
        chain_id: terms.chain_id,
        channel: Account(terms.channel),
        closer: Account(setup.partner()),
        beneficiary: Account(setup.party(role)),
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
