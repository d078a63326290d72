//! Agreeing on a channel with another node, before there is one.
//!
//! A asks with its half of the salt; B answers with its own, having put the channel on disk; A puts
//! it on disk and sends the transaction. B finds it on the chain by itself.

use std::collections::HashMap;
use std::time::Duration;

use thunder_api::{Answer, ApiError, Code, OpenRequest, PaidIn};
use thunder_chain::channel_address;
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::OnChain;
use thunder_protocol::wire::{
    Envelope, OpenAccept, OpenAsk, OpenMessage, OpenRefuse, OpenRefuseReason, salt,
};
use thunder_protocol::{Address, Amount, B256, Balances, Channel, Role};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answers::Caller;
use super::patience::PER_UNKNOWN;
use super::{Daemon, now_ms};
use crate::chain_task::ChainRequest;
use crate::keys;

/// How many channels that another node has asked for may be waiting for its transaction.
pub const MAX_AWAITED: usize = 16;
/// After this long a channel whose transaction never came no longer counts, in milliseconds.
const AWAITED_FOR: u64 = 60 * 60 * 1000;
/// How many such channels there may be in all.
pub const MAX_AWAITED_IN_ALL: usize = 512;
/// How long the other side has to say yes or no.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Questions that the other side has not answered yet, by the own half of the salt.
#[derive(Default)]
pub(super) struct Openings {
    asked: HashMap<B256, Asked>,
}

struct Asked {
    until: Instant,
    ask: OpenAsk,
    partner: Address,
    reply: oneshot::Sender<Answer<PaidIn>>,
}

impl Openings {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.asked.values().map(|asked| asked.until).min()
    }

    /// Whoever has waited too long for a yes or no learns that there is none.
    pub(super) fn give_up(&mut self, now: Instant) {
        let late: Vec<_> =
            self.asked.iter().filter(|(_, asked)| asked.until <= now).map(|(half, _)| *half).collect();
        for asked in late.iter().filter_map(|half| self.asked.remove(half)) {
            let message = "the other side did not say whether it agrees; nothing was opened";
            let _ = asked.reply.send(Err(ApiError::new(
                Code::PeerNotConnected,
                message,
                "see the log of the other node",
            )));
        }
    }
}

impl Daemon {
    /// `openchannel`, once the balances are known to suffice: asks the other side.
    pub(super) fn ask_to_open(
        &mut self,
        request: &OpenRequest,
        partner: Address,
        reply: oneshot::Sender<Answer<PaidIn>>,
    ) {
        self.openings.asked.retain(|_, asked| !asked.reply.is_closed());
        match self.make_ask(request) {
            Ok(ask) => {
                let message = OpenMessage::Ask(ask.clone());
                self.openings
                    .asked
                    .insert(ask.half_a, Asked { until: Instant::now() + ANSWER_WITHIN, ask, partner, reply });
                self.after.send.push((partner, Envelope::Open(message)));
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    fn make_ask(&self, request: &OpenRequest) -> Result<OpenAsk, ApiError> {
        let (identity, part_a) = self.require_ready()?;
        let deposit = request.deposit.unwrap_or(request.amount);
        let share_b = request.amount.checked_sub(deposit).ok_or_else(|| {
            let message = "the deposit is more than the channel is to hold";
            ApiError::new(Code::AmountOutOfRange, message, "give a --deposit of at most the amount")
        })?;
        let half_a =
            keys::random_bytes().map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?;
        Ok(OpenAsk {
            half_a: B256::new(*half_a),
            amount: request.amount,
            share_a: deposit,
            share_b,
            chain_id: identity.chain_id,
            token: self.chain.contracts.token,
            factory: self.chain.contracts.factory,
            part_a,
        })
    }

    pub(super) fn on_open_message(&mut self, partner: Address, message: OpenMessage) {
        match message {
            OpenMessage::Ask(ask) => {
                let half_a = ask.half_a;
                let answer = match self.accept(partner, &ask) {
                    Ok(accept) => OpenMessage::Accept(accept),
                    Err(reason) => {
                        if self.may_say(Some(&partner)) {
                            tracing::info!(%partner, %reason, "refused to open a channel");
                        }
                        // An honest node asks once, and tells its user why not.
                        if let Some(peer) = self.peers.node_of(&partner) {
                            self.spend_patience(&peer, PER_UNKNOWN);
                        }
                        OpenMessage::Refuse(OpenRefuse { half_a, reason })
                    }
                };
                self.after.send.push((partner, Envelope::Open(answer)));
            }
            OpenMessage::Accept(accept) => self.on_accept(partner, &accept),
            OpenMessage::Refuse(OpenRefuse { half_a, reason }) => {
                if self.openings.asked.get(&half_a).is_some_and(|asked| asked.partner == partner)
                    && let Some(asked) = self.openings.asked.remove(&half_a)
                {
                    let hint = "compare the infos of both nodes: chain, THD and factory";
                    let _ = asked.reply.send(Err(ApiError::new(Code::PeerRefused, reason.to_string(), hint)));
                }
            }
        }
    }

    /// The other side wants to open a channel. It costs this side nothing; if the terms are in
    /// order it is on disk before the answer goes out.
    fn accept(&mut self, partner: Address, ask: &OpenAsk) -> Result<OpenAccept, OpenRefuseReason> {
        let Ok((identity, part_b)) = self.require_ready() else {
            return Err(OpenRefuseReason::ChainUnreachable);
        };
        if ask.chain_id != identity.chain_id {
            return Err(OpenRefuseReason::OtherChain);
        }
        if ask.token != self.chain.contracts.token {
            return Err(OpenRefuseReason::OtherToken);
        }
        if ask.factory != self.chain.contracts.factory {
            return Err(OpenRefuseReason::OtherFactory);
        }
        let adds_up = ask.share_a.checked_add(ask.share_b) == Some(ask.amount);
        if ask.part_a != partner || !adds_up || ask.amount.is_zero() {
            return Err(OpenRefuseReason::BadTerms);
        }
        let is_too_much =
            self.awaited_from(&partner) >= MAX_AWAITED || self.channels.awaited() >= MAX_AWAITED_IN_ALL;
        if is_too_much {
            return Err(OpenRefuseReason::TooMany);
        }
        let half_b = keys::random_bytes().map_err(|_| OpenRefuseReason::ChainUnreachable)?;
        let accept = OpenAccept { half_a: ask.half_a, half_b: B256::new(*half_b), part_b };
        let terms = self.terms_of(ask, &accept, Role::B);
        if self.store.knows_address(&terms.channel).unwrap_or(true) {
            return Err(OpenRefuseReason::AddressUsed);
        }
        tracing::info!(channel = %terms.channel, %partner, amount = %ask.amount, "the other side opens a channel");
        self.add_channel(Channel::accept(terms)).map_err(|error| {
            tracing::error!(%error, "can't write a channel to disk");
            OpenRefuseReason::ChainUnreachable
        })?;
        Ok(accept)
    }

    fn awaited_from(&self, partner: &Address) -> usize {
        let now = now_ms();
        let slots = self.channels.of_partner(partner).iter().filter_map(|address| self.channels.get(address));
        slots
            .filter(|slot| now.saturating_sub(slot.created) < AWAITED_FOR)
            .filter(|slot| is_awaited(&slot.channel))
            .count()
    }

    /// Forgets channels that the other side wanted to open long ago, and whose transaction never came.
    ///
    /// Nothing was paid in and nothing was signed for such a channel, and half of its salt was made here, fresh:
    /// no receipt can exist for its address, and no other channel can get it. So the row is deleted, or whoever
    /// asks without end would fill the disk. If the transaction comes later, this node knows of no such
    /// channel: what is in it is the opener's, who takes it back with `cancel` or closes on receipt 0. What
    /// comes out of a backup may have been signed for since; its address stays known.
    pub(super) fn give_up_awaited(&mut self) {
        if !self.is_chain_fresh() {
            return; // the transaction may be there, and not read yet
        }
        let now = now_ms();
        let late: Vec<_> = self
            .channels
            .all_awaited()
            .filter_map(|address| Some((*address, self.channels.get(address)?)))
            .filter(|(_, slot)| now.saturating_sub(slot.created) >= AWAITED_FOR)
            .map(|(address, slot)| (address, slot.id, is_restored(&slot.channel)))
            .collect();
        for (address, id, is_restored) in late {
            let given_up = self.store.begin().and_then(|()| match is_restored {
                true => self.store.give_up_channel(id),
                false => self.store.forget_channel(id),
            });
            match given_up {
                Ok(()) => {
                    self.channels.remove(&address);
                    self.tell_chain(ChainRequest::Unwatch(address));
                }
                Err(error) => tracing::warn!(%error, "can't forget a channel that was never opened"),
            }
        }
    }

    /// The channel that both halves come to. Its address is computed from the own factory's, and never
    /// asked for.
    fn terms_of(&self, ask: &OpenAsk, accept: &OpenAccept, role: Role) -> Terms {
        let salt = salt(ask.half_a, accept.half_b);
        let (part_a, part_b) = (ask.part_a, accept.part_b);
        let contracts = self.chain.contracts;
        Terms {
            channel: channel_address(&contracts, part_a, part_b, salt),
            chain_id: ask.chain_id,
            token: contracts.token,
            factory: contracts.factory,
            salt,
            part_a,
            part_b,
            role,
            amount: ask.amount,
            shares: Balances { a: ask.share_a, b: ask.share_b },
        }
    }

    /// The other side agrees: the channel is on disk before its transaction is sent.
    fn on_accept(&mut self, partner: Address, accept: &OpenAccept) {
        if self.openings.asked.get(&accept.half_a).is_none_or(|asked| asked.partner != partner) {
            return;
        }
        let Some(Asked { ask, reply, .. }) = self.openings.asked.remove(&accept.half_a) else { return };
        let refuse =
            |message: &str| Err(ApiError::new(Code::PeerRefused, message, "see the log of the other node"));
        if accept.part_b != partner {
            let _ = reply.send(refuse("the other side answered for a wallet that it has not proved"));
            return;
        }
        let known = |terms: &Terms| self.store.knows_address(&terms.channel).unwrap_or(true);
        let terms = self.terms_of(&ask, accept, Role::A);
        if known(&terms) {
            let _ = reply.send(refuse("the channel's address was used before"));
            return;
        }
        if self.wallet_address() != Some(ask.part_a) {
            let message = "another wallet was imported meanwhile";
            let _ = reply.send(Err(ApiError::new(Code::Busy, message, "open the channel with that one")));
            return;
        }
        if reply.is_closed() {
            // Whoever asked gave up before anything was signed: nothing is opened behind their back.
            return;
        }
        let address = terms.channel;
        let caller = self.new_caller(Caller::PaidIn(reply));
        tracing::info!(channel = %address, %partner, amount = %ask.amount, "opening a channel");
        if let Err(error) = self.add_channel(Channel::open(terms, ask.share_a, caller)) {
            self.fail(caller, super::execute::disk_error(&error));
        }
    }

    /// The session with this partner is over; what was asked in it has no answer.
    pub(super) fn fail_openings(&mut self, partner: &Address) {
        let lost: Vec<_> = self
            .openings
            .asked
            .iter()
            .filter(|(_, asked)| asked.partner == *partner)
            .map(|(half, _)| *half)
            .collect();
        for half in lost {
            if let Some(asked) = self.openings.asked.remove(&half) {
                let message = "the other side went away before it agreed; nothing was opened";
                let _ =
                    asked.reply.send(Err(ApiError::new(Code::PeerNotConnected, message, "connect again")));
            }
        }
    }
}

/// Whether the other side wanted to open this channel and the chain does not show it: nothing that
/// anybody would call a channel yet.
pub(crate) fn is_awaited(channel: &Channel) -> bool {
    matches!(channel, Channel::Opening(state)
        if state.common.view.status == OnChain::Missing && state.common.setup.role() == Role::B)
}

/// Whether the channel comes out of a backup.
fn is_restored(channel: &Channel) -> bool {
    matches!(channel, Channel::Opening(state) if state.common.may_be_stale)
}

/// What the opener pays in at once.
pub(super) fn deposit_of(request: &OpenRequest) -> Amount {
    request.deposit.unwrap_or(request.amount)
}
