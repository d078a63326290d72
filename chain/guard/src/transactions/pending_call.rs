//! One call on its way into a block.

use thunder_protocol::onchain::{Call, CallKind};
use thunder_protocol::{Address, B256};

use super::CallRequest;
use super::Conditions;
use super::fees::Fees;
use super::record::{Attempt, SignedCall};
use super::refusal::BroadcastAnswer;
use super::sign::{kind_uses_permit, uses_permit};
use crate::endpoint::Millis;
use crate::retry_timer::RetryTimer;

/// Names a call: a channel has one of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) channel: Address,
    /// [`rank`] of the kind, and the kind itself.
    rank: u8,
    pub(crate) kind: CallKindKey,
}

/// A [`CallKind`] with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallKindKey(pub(crate) CallKind);

impl PartialOrd for CallKindKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CallKindKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0 as u8).cmp(&(other.0 as u8))
    }
}

impl Key {
    pub(crate) const fn new(channel: Address, kind: CallKind) -> Self {
        Self { channel, rank: rank(kind), kind: CallKindKey(kind) }
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.kind.0 == CallKind::Challenge
    }
}

/// The order of importance: challenges before closings before the rest (rule G4).
pub(crate) const fn rank(kind: CallKind) -> u8 {
    match kind {
        CallKind::Challenge => 0,
        CallKind::Close => 1,
        CallKind::Withdraw | CallKind::Cancel | CallKind::Fund | CallKind::Open => 2,
    }
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not signed yet.
    Preparing,
    /// Signed, and perhaps anywhere.
    Out,
    /// In a block.
    Mined { block: u64 },
    /// Somebody else brought its effect about, or it can have none any more. It is not raised; its
    /// nonce may be taken by another.
    Obsolete,
}

/// What is asked before a call is signed that can wait for it.
#[derive(Debug, Default)]
pub(crate) struct Advice {
    pub(crate) permit_nonce: Option<u128>,
    pub(crate) permit: RetryTimer,
    pub(crate) estimate: Option<u128>,
    pub(crate) estimating: RetryTimer,
    /// Whether the estimate was answered, if with an error.
    pub(crate) is_estimated: bool,
    /// Without it the call is signed after this.
    pub(crate) until: Millis,
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct PendingCall {
    pub(crate) key: Key,
    /// The call itself; `None` for one of an earlier run that is signed already.
    pub(crate) request: Option<CallRequest>,
    /// Once it is signed.
    pub(crate) sent: Option<SignedCall>,
    pub(crate) stage: Stage,
    /// The order of calls of one rank.
    pub(crate) order: u64,
    pub(crate) advice: Advice,
    /// Whether the newest attempt is on disk, and may be sent.
    pub(crate) is_saved: bool,
    /// At which tick the disk last did not take an attempt: the next is made at a later one.
    pub(crate) unsaved_at_tick: Option<u64>,
    /// The broadcasts of the newest attempt, by endpoint.
    pub(crate) broadcasts: Vec<Broadcast>,
    /// At which tick it was ordered, and at which the newest attempt was made.
    pub(crate) ordered_at_tick: u64,
    pub(crate) signed_at_tick: u64,
    /// How often the fee was raised since the newest head, because an endpoint wanted more.
    pub(crate) raises: u8,
    pub(crate) wants_raise: bool,
    /// When its fees were raised last, or first offered.
    pub(crate) raised_at: Option<Millis>,
    /// What a contested closing's challenge offers, apart from what its nonce asks for because another was signed with it.
    pub(crate) offer: Option<Fees>,
    /// Whether an endpoint says that the account can't pay the newest attempt, and has taken none.
    pub(crate) wants_less: bool,
    /// Endpoints that took one of the attempts.
    pub(crate) takers: std::collections::BTreeSet<usize>,
    /// Whether an endpoint took one of the attempts, or may have.
    pub(crate) may_be_out: bool,
    /// Why an endpoint does not take it, for a reason that lasts.
    pub(crate) reason: Option<String>,
    /// What else endpoints answered in place of taking it, the newest, and since when.
    pub(crate) not_taken: Option<(Millis, String)>,
    /// Since which tick its nonce is used and none of its attempts is seen mined.
    pub(crate) nonce_used_at_tick: Option<u64>,
    /// The newest block at which its channel was read and it could still have its effect.
    pub(crate) needed_at: Option<u64>,
    /// Receipts that were asked for since the newest head.
    pub(crate) receipts_asked: Vec<(usize, B256)>,
    /// How often the contract refused it in a block, as one endpoint says at least.
    pub(crate) reverts: u8,
    /// Whether the closing that a challenge answers is believed, not only claimed by an endpoint.
    pub(crate) is_believed: bool,
    /// Whether the call lets others go first: it has no nonce now, whatever it was signed with before.
    pub(crate) is_waiting: bool,
    /// Since when the challenge of a contested closing has one of the places for these.
    pub(crate) turn_since: Option<Millis>,
    /// When the call last was mined without effect, or gave its place up.
    pub(crate) turn_ended_at: Option<Millis>,
    /// From which tick on it may be made again after it was mined without effect.
    pub(crate) retry_at_tick: u64,
    /// Whether the contract refused it in a block at least once, as at least one endpoint said.
    pub(crate) was_reverted: bool,
    /// The transactions that the contract has refused, as far as no endpoint denies that they are mined.
    pub(crate) refused: std::collections::BTreeSet<B256>,
    /// The transaction that the contract refused in a block, while it is not known yet whether somebody else
    /// has brought the effect about.
    pub(crate) in_vain: Option<B256>,
    /// The transaction that was seen in a block.
    pub(crate) mined_tx: Option<B256>,
    /// At how many ticks without being mined the next alarm is due.
    pub(crate) alarm_at: u64,
}

/// The newest attempt on its way to one endpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Broadcast {
    pub(crate) timer: RetryTimer,
    pub(crate) answer: Option<BroadcastAnswer>,
    /// At which tick it was sent last.
    pub(crate) sent_at_tick: u64,
}

/// The first alarm for a challenge that is not mined, in blocks (rule G7).
pub(crate) const ALARM_AFTER: u64 = 3;

impl PendingCall {
    /// Whether the call is the challenge of a closing that is not believed.
    pub(crate) fn is_contested(&self) -> bool {
        self.key.is_urgent() && !self.is_believed
    }

    /// Whether its fees may be raised because it was not mined: those of a contested closing's challenge not more than once
    /// with each block, however fast an endpoint says that these come, and however often the nonce changes.
    pub(crate) fn may_be_raised(&self, around: &Conditions) -> bool {
        let is_soon = self.raised_at.is_some_and(|at| around.now < at.saturating_add(around.turn_block_time));
        !self.is_contested() || !is_soon
    }

    pub(crate) fn new(request: CallRequest, order: u64, tick: u64, until: Millis) -> Self {
        let key = Key::new(request.terms.channel, request.call.kind());
        let advice = Advice { until, ..Advice::default() };
        Self { request: Some(request), advice, ordered_at_tick: tick, ..Self::blank(key, order) }
    }

    /// A call of an earlier run.
    pub(crate) fn resumed(sent: SignedCall, order: u64) -> Self {
        let key = Key::new(sent.channel, sent.kind);
        let stage = match sent.mined_at {
            Some(block) => Stage::Mined { block },
            None => Stage::Out,
        };
        Self { sent: Some(sent), stage, is_saved: true, may_be_out: true, ..Self::blank(key, order) }
    }

    fn blank(key: Key, order: u64) -> Self {
        Self {
            key,
            request: None,
            sent: None,
            stage: Stage::Preparing,
            order,
            advice: Advice::default(),
            is_saved: false,
            unsaved_at_tick: None,
            broadcasts: Vec::new(),
            ordered_at_tick: 0,
            signed_at_tick: 0,
            raises: 0,
            wants_raise: false,
            raised_at: None,
            offer: None,
            wants_less: false,
            takers: Default::default(),
            may_be_out: false,
            reason: None,
            not_taken: None,
            nonce_used_at_tick: None,
            needed_at: None,
            receipts_asked: Vec::new(),
            reverts: 0,
            is_believed: false,
            is_waiting: false,
            turn_since: None,
            turn_ended_at: None,
            retry_at_tick: 0,
            was_reverted: false,
            refused: Default::default(),
            in_vain: None,
            mined_tx: None,
            alarm_at: ALARM_AFTER,
        }
    }

    /// The channel's closing is in this block. A challenge that the contract has refused before has not refuted it.
    pub(crate) fn is_new_closing(&mut self, closing_block: Option<u64>) {
        if let (Stage::Mined { block }, Some(closing)) = (self.stage, closing_block)
            && self.key.is_urgent()
            && closing >= block
        {
            (self.reverts, self.retry_at_tick) = (0, 0);
        }
    }

    /// Whether it is to be mined.
    pub(crate) const fn is_alive(&self) -> bool {
        matches!(self.stage, Stage::Preparing | Stage::Out)
    }

    pub(crate) fn nonce(&self) -> Option<u64> {
        self.sent.as_ref().map(|sent| sent.nonce)
    }

    pub(crate) fn newest(&self) -> Option<&Attempt> {
        self.sent.as_ref()?.newest()
    }

    pub(crate) fn uses_permit(&self) -> bool {
        match &self.request {
            Some(request) => uses_permit(&request.call),
            None => kind_uses_permit(self.key.kind.0),
        }
    }

    /// Whether a call that is not signed yet lacks what it can't be signed without.
    pub(crate) fn lacks_permit_nonce(&self) -> bool {
        self.sent.is_none() && self.uses_permit() && self.advice.permit_nonce.is_none()
    }

    /// Whether its gas is estimated before it is signed: only where the answer does not depend on the
    /// block that it will be in, and never for what must not wait.
    pub(crate) fn wants_estimate(&self) -> bool {
        let is_suited = matches!(
            self.request.as_ref().map(|request| &request.call),
            Some(Call::Open { .. } | Call::Fund { .. })
        );
        is_suited && self.sent.is_none() && !self.advice.is_estimated && !self.lacks_permit_nonce()
    }

    /// Whether it can be signed now. `is_advised`: whether it is known how many of the account's
    /// transactions wait; a challenge does not ask.
    pub(crate) fn is_ready(&self, is_advised: bool, now: Millis) -> bool {
        match self.stage {
            Stage::Out => true,
            Stage::Preparing if self.lacks_permit_nonce() => false,
            Stage::Preparing => {
                let is_advised = is_advised || self.key.is_urgent();
                (is_advised && !self.wants_estimate()) || now >= self.advice.until
            }
            Stage::Mined { .. } | Stage::Obsolete => false,
        }
    }

    /// The highest fees that it was ever offered with at a nonce.
    pub(crate) fn fees_at(&self, nonce: u64) -> Option<Fees> {
        let sent = self.sent.as_ref()?;
        let at = sent.attempts.iter().filter(|attempt| sent.nonce_of(attempt) == nonce);
        at.map(|attempt| attempt.fees).max_by_key(|fees| fees.max_fee)
    }

    /// The attempts that may be mined, if all nonces below `base` are used; newest first.
    pub(crate) fn perhaps_mined(&self, base: u64) -> impl Iterator<Item = B256> + '_ {
        let attempts =
            self.sent.iter().flat_map(|sent| sent.attempts.iter().map(move |attempt| (sent, attempt)));
        let used = attempts.filter(move |(sent, attempt)| sent.nonce_of(attempt) < base);
        let hashes: Vec<_> = used.map(|(_, attempt)| attempt.hash).collect();
        hashes.into_iter().rev()
    }
}
