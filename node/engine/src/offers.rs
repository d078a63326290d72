//! `impl Engine`: agreeing on a channel with another node, before there is one.
//!
//! A asks with its half of the salt; B answers with its own, having put the channel on disk; A puts it on disk and
//! sends the transaction. B finds it on the chain by itself.

use std::collections::{BTreeSet, HashMap};

use thunder_api::{ApiError, ApiResult, Code, OpenRequest};
use thunder_protocol::channel::{Millis, Terms};
use thunder_protocol::wire::{
    Envelope, OpenAccept, OpenAsk, OpenMessage, OpenPolicy, OpenRefuse, OpenRefuseReason, salt,
};
use thunder_protocol::{Address, Amount, B256, Balances, Channel, Role, channel_address};

use crate::channels::is_inbound_pending;
use crate::engine::Engine;
use crate::errors::disk_error;
use crate::event::UserRequestId;
use crate::outbox::ChainCommand;
use crate::replies::ReplyTarget;
use crate::storage::StorageError;
use crate::token_bucket::UNKNOWN_CHANNEL_COST;

/// How many channels that a partner wants to open may wait for their transaction.
pub const MAX_INBOUND_PENDING: usize = 16;
/// How many such channels there may be with all partners together.
pub const MAX_INBOUND_PENDING_IN_ALL: usize = 512;
/// After this long, in milliseconds, a channel whose transaction never came no longer counts.
pub const INBOUND_PENDING_FOR: Millis = 60 * 60 * 1000;
/// How long the other side has to say yes or no, in milliseconds.
pub const OFFER_LASTS: Millis = 20_000;

/// Offers to open a channel that the other side has not answered, by the own half of the salt.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    by_half: HashMap<B256, Offer>,
}

#[derive(Debug)]
struct Offer {
    until: Millis,
    ask: OpenAsk,
    partner: Address,
    request: UserRequestId,
}

impl Offers {
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.by_half.values().map(|offer| offer.until).min()
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = UserRequestId> {
        self.by_half.values().map(|offer| offer.request)
    }

    /// Forgets the offers whose users wait no more, so that no channel is opened for them.
    pub(crate) fn abandon(&mut self, is_abandoned: impl Fn(&UserRequestId) -> bool) {
        self.by_half.retain(|_, offer| !is_abandoned(&offer.request));
    }

    fn take(&mut self, partner: &Address, half: &B256) -> Option<Offer> {
        self.by_half.get(half).filter(|offer| offer.partner == *partner)?;
        self.by_half.remove(half)
    }

    fn take_if(&mut self, is_meant: impl Fn(&Offer) -> bool) -> Vec<Offer> {
        self.by_half.extract_if(|_, offer| is_meant(offer)).map(|(_, offer)| offer).collect()
    }
}

/// Why an offer is not accepted.
struct Refusal {
    reason: OpenRefuseReason,
    policy: Option<OpenPolicy>,
}

impl From<OpenRefuseReason> for Refusal {
    fn from(reason: OpenRefuseReason) -> Self {
        Self { reason, policy: None }
    }
}

impl From<OpenPolicy> for Refusal {
    fn from(policy: OpenPolicy) -> Self {
        // Older nodes know no reason that fits better.
        Self { reason: OpenRefuseReason::BadTerms, policy: Some(policy) }
    }
}

/// What the user whose offer was refused can do.
fn what_to_do(policy: Option<OpenPolicy>) -> String {
    match policy {
        None => "compare the infos of both nodes: chain, THD and factory".into(),
        Some(OpenPolicy::Nobody) => {
            "let the other side open the channel; you pay your share in with `thunder-cli fund`".into()
        }
        Some(OpenPolicy::KnownOnly) => {
            "ask the other side to connect to this node first, or to open the channel itself".into()
        }
        Some(OpenPolicy::AtLeast(min)) => format!("open one that holds more: thunder-cli openchannel {min}"),
    }
}

impl Engine {
    /// `openchannel`, once the balances are known to suffice: asks the other side.
    pub(crate) fn offer_channel(&mut self, request: UserRequestId, terms: &OpenRequest, partner: Address) {
        match self.make_ask(terms) {
            Ok(ask) => {
                let message = Envelope::Open(OpenMessage::Ask(ask.clone()));
                let until = self.now.saturating_add(OFFER_LASTS);
                self.offers.by_half.insert(ask.half_a, Offer { until, ask, partner, request });
                self.batch.effects.messages.push((partner, message));
            }
            Err(error) => self.reply(request, Err(error)),
        }
    }

    fn make_ask(&mut self, request: &OpenRequest) -> ApiResult<OpenAsk> {
        let (identity, part_a) = self.require_ready()?;
        let deposit = deposit_of(request);
        let share_b = request.amount.checked_sub(deposit).ok_or_else(|| {
            let message = "the deposit is more than the channel is to hold";
            ApiError::new(Code::AmountOutOfRange, message, "give a --deposit of at most the amount")
        })?;
        Ok(OpenAsk {
            half_a: self.random_bytes(),
            amount: request.amount,
            share_a: deposit,
            share_b,
            chain_id: identity.chain_id,
            token: self.chain.contracts.token,
            factory: self.chain.contracts.factory,
            part_a,
        })
    }

    /// What the openings of this node that users wait for are still to take out of the wallet.
    pub fn deposits_under_way(&self) -> Amount {
        let waited_for: BTreeSet<_> = self.pending_commands.values().map(|pending| pending.channel).collect();
        let deposits = waited_for.iter().filter_map(|address| match &self.channels.get(address)?.channel {
            Channel::Opening(opening) => Some(opening.own_missing()),
            _ => None,
        });
        Amount::checked_sum(deposits).unwrap_or(Amount::MAX)
    }

    pub(crate) fn on_open_message(&mut self, partner: Address, message: OpenMessage) {
        match message {
            OpenMessage::Ask(ask) => {
                let answer = self.answer_ask(partner, &ask);
                self.batch.effects.messages.push((partner, Envelope::Open(answer)));
            }
            OpenMessage::Accept(accept) => self.on_accept(partner, &accept),
            OpenMessage::Refuse(refuse) => {
                if let Some(offer) = self.offers.take(&partner, &refuse.half_a) {
                    let error = ApiError::new(Code::PeerRefused, refuse.why(), what_to_do(refuse.policy));
                    self.reply(offer.request, Err(error));
                }
            }
        }
    }

    fn answer_ask(&mut self, partner: Address, ask: &OpenAsk) -> OpenMessage {
        match self.accept(partner, ask) {
            Ok(accept) => OpenMessage::Accept(accept),
            Err(Refusal { reason, policy }) => {
                let refuse = OpenRefuse { half_a: ask.half_a, reason, policy };
                if self.may_log(Some(&partner)) {
                    tracing::info!(%partner, reason = refuse.why(), "refused to open a channel");
                }
                // An honest node does not repeat an offer that was refused.
                if let Some(peer) = self.peers.by_wallet(&partner).cloned() {
                    self.take_budget(&peer, UNKNOWN_CHANNEL_COST);
                }
                OpenMessage::Refuse(refuse)
            }
        }
    }

    /// Accepts the partner's offer if its terms are in order. The channel is on disk before the answer is sent. Accepting
    /// costs this side nothing.
    fn accept(&mut self, partner: Address, ask: &OpenAsk) -> Result<OpenAccept, Refusal> {
        let Ok((identity, part_b)) = self.require_ready() else {
            return Err(OpenRefuseReason::ChainUnreachable.into());
        };
        if ask.chain_id != identity.chain_id {
            return Err(OpenRefuseReason::OtherChain.into());
        }
        if ask.token != self.chain.contracts.token {
            return Err(OpenRefuseReason::OtherToken.into());
        }
        if ask.factory != self.chain.contracts.factory {
            return Err(OpenRefuseReason::OtherFactory.into());
        }
        let adds_up = ask.share_a.checked_add(ask.share_b) == Some(ask.amount);
        if ask.part_a != partner || !adds_up || ask.amount.is_zero() {
            return Err(OpenRefuseReason::BadTerms.into());
        }
        if let Some(policy) = self.violated_policy(&partner, ask.amount) {
            return Err(policy.into());
        }
        let is_too_much = self.inbound_pending_from(&partner) >= MAX_INBOUND_PENDING
            || self.channels.inbound_pending_count() >= MAX_INBOUND_PENDING_IN_ALL;
        if is_too_much {
            return Err(OpenRefuseReason::TooMany.into());
        }
        let accept = OpenAccept { half_a: ask.half_a, half_b: self.random_bytes(), part_b };
        let terms = self.terms_of(ask, &accept, Role::B);
        if self.is_address_used(&terms.channel) {
            return Err(OpenRefuseReason::AddressUsed.into());
        }
        tracing::info!(channel = %terms.channel, %partner, amount = %ask.amount, "the other side opens a channel");
        self.add_channel(identity, Channel::accept(terms));
        Ok(accept)
    }

    fn inbound_pending_from(&self, partner: &Address) -> usize {
        let entries = self.channels.of_partner(partner).iter();
        entries
            .filter_map(|address| self.channels.get(address))
            .filter(|entry| self.now.saturating_sub(entry.created) < INBOUND_PENDING_FOR)
            .filter(|entry| is_inbound_pending(&entry.channel))
            .count()
    }

    /// Whether a channel ever had this address. Returns true, too, if the disk does not answer.
    fn is_address_used(&self, address: &Address) -> bool {
        self.channels.get(address).is_some() || self.disk.knows_address(address).unwrap_or(true)
    }

    /// Forgets channels that the other side wanted to open long ago, and whose transaction never came.
    ///
    /// Nothing was paid in and nothing was signed for such a channel, and half of its salt was random and made here: no
    /// receipt can exist for its address, and no other channel can get the address. So the row is deleted; otherwise a
    /// peer could fill the disk with offers. If the transaction comes later, this node does not know the channel: the
    /// money in it belongs to the opener, who takes it back with `cancel` or closes on receipt 0. For a channel out of a
    /// backup something may have been signed after the backup; its address stays known.
    pub(crate) fn give_up_inbound_pending(&mut self) {
        if !self.is_chain_fresh() {
            return; // the transaction may be there, and not read yet
        }
        let late = self
            .channels
            .inbound_pending()
            .filter(|(_, entry)| self.now.saturating_sub(entry.created) >= INBOUND_PENDING_FOR);
        let late: Vec<_> =
            late.map(|(address, entry)| (*address, entry.row, is_restored(&entry.channel))).collect();
        for (address, row, is_restored) in late {
            match is_restored {
                true => self.batch.writes.given_up.push(row),
                false => self.batch.writes.forgotten.push(row),
            }
            self.channels.remove(&address);
            self.batch.effects.independent.chain.push(ChainCommand::Unwatch(address));
        }
    }

    /// The terms of the channel that both halves of the salt give. The address is computed from the own factory's
    /// address, and not taken from the other side.
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
        let Some(Offer { ask, request, .. }) = self.offers.take(&partner, &accept.half_a) else { return };
        let refused =
            |message: &str| ApiError::new(Code::PeerRefused, message, "see the log of the other node");
        if accept.part_b != partner {
            let error = refused("the other side answered for a wallet that it has not proved");
            return self.reply(request, Err(error));
        }
        let terms = self.terms_of(&ask, accept, Role::A);
        if self.is_address_used(&terms.channel) {
            return self.reply(request, Err(refused("the channel's address was used before")));
        }
        let Some(identity) = self.chain.identity.filter(|_| self.wallet_address() == Some(ask.part_a)) else {
            let message = "another wallet was imported meanwhile";
            let error = ApiError::new(Code::Busy, message, "open the channel with that one");
            return self.reply(request, Err(error));
        };
        tracing::info!(channel = %terms.channel, %partner, amount = %ask.amount, "opening a channel");
        let command = self.register_command(terms.channel, ReplyTarget::PaidIn(request));
        self.add_channel(identity, Channel::open(terms, ask.share_a, command));
    }

    /// Replies to the users whose offers were not answered in time.
    pub(crate) fn expire_offers(&mut self) {
        let now = self.now;
        let error = ApiError::new(
            Code::PeerNotConnected,
            "the other side did not say whether it agrees; nothing was opened",
            "see the log of the other node",
        );
        for offer in self.offers.take_if(|offer| offer.until <= now) {
            self.reply(offer.request, Err(error.clone()));
        }
    }

    /// Replies to the users whose offers are among these messages, which are not sent.
    pub(crate) fn fail_unsent_offers(&mut self, messages: &[(Address, Envelope)], why: &StorageError) {
        for (partner, envelope) in messages {
            if let Envelope::Open(OpenMessage::Ask(ask)) = envelope
                && let Some(offer) = self.offers.take(partner, &ask.half_a)
            {
                self.reply(offer.request, Err(disk_error(why)));
            }
        }
    }

    /// Replies to the users whose offers were made in a session that is over.
    pub(crate) fn fail_offers(&mut self, partner: &Address) {
        let error = ApiError::new(
            Code::PeerNotConnected,
            "the other side went away before it agreed; nothing was opened",
            "connect again",
        );
        for offer in self.offers.take_if(|offer| offer.partner == *partner) {
            self.reply(offer.request, Err(error.clone()));
        }
    }
}

/// Whether the channel comes out of a backup.
fn is_restored(channel: &Channel) -> bool {
    matches!(channel, Channel::Opening(state) if state.common.may_be_stale)
}

/// What the opener pays in at once.
pub fn deposit_of(request: &OpenRequest) -> Amount {
    request.deposit.unwrap_or(request.amount)
}

#[cfg(test)]
mod tests;
