//! `Active`: the channel in use, its session with the partner, and when its messages and proposals go out.

mod ending;
mod partner;
mod payments;

use crate::Amount;
use crate::onchain::OnChain;

use super::Channel;
use super::common::Common;
use super::effects::Effects;
use super::input::{ChainInput, Command, CommandId, Context, Input, Millis, PeerInput};
use super::outcome::CommandError;
use super::queue::Queue;
use super::reason::{NoChallenge, StateConflict};
use super::receipts::Proposal;

/// An unanswered message is repeated after this long.
pub(super) const REPEAT_AFTER: Millis = 3_000;
/// After an answer the next proposal waits for those who were just answered and pay again: over a slow
/// network one receipt then serves all of them, and not half of them each time. It goes out once no payment
/// has come for the time that the answer took, divided by this. Over a fast network that is no time at all.
const COALESCE_GAP_DIVISOR: u64 = 8;
/// The next proposal waits no longer than the time that the answer took, divided by this.
const COALESCE_TOTAL_DIVISOR: u64 = 2;
/// The next proposal never waits longer than this.
const COALESCE_AT_MOST: Millis = 50;
/// A proposal that the partner was not ready for is repeated after this long.
const NOT_NOW_DELAY: Millis = 100;

/// A channel in which payments are made.
#[derive(Debug, Clone)]
pub struct Active {
    /// What all states have in common.
    pub common: Common,
    /// What this side paid in when it opened; `None` if the partner opened.
    pub(super) deposit: Option<Amount>,
    link: PeerLink,
    queue: Queue,
    /// Who waits for a cooperative close. No payment is taken any more.
    finish: Option<CommandId>,
}

/// The session with the partner's node.
#[derive(Debug, Clone, Copy, Default)]
struct PeerLink {
    online: bool,
    /// Both sides have shown where they stand; before that nothing else is said (rule 9).
    synced: bool,
    peer_stopped: bool,
    peer_may_be_stale: bool,
    repeat_at: Option<Millis>,
    /// Whether the partner was asked where it stands and has not said so yet.
    asked: bool,
    /// When the own proposal that is out went out.
    proposed_at: Option<Millis>,
    coalescing: Option<Coalescing>,
}

/// The next proposal waits for more payments.
#[derive(Debug, Clone, Copy)]
struct Coalescing {
    /// When the proposal goes out if no other payment comes.
    until: Millis,
    /// By how much each payment that comes moves `until`, at most to `end`.
    pause: Millis,
    /// When the proposal goes out at the latest.
    end: Millis,
    /// With how many payments the proposal goes out at once.
    payments: usize,
}

impl Active {
    /// Outside a session.
    pub(super) fn new(common: Common, deposit: Option<Amount>) -> Self {
        Self { common, deposit, link: PeerLink::default(), queue: Queue::default(), finish: None }
    }

    /// The payments of the own proposal were read from disk.
    pub(super) fn proposal_read(&mut self) {
        self.queue = Queue::behind(self.common.receipts.proposal.as_ref());
    }

    /// A session is open; its initiator syncs first.
    pub(super) fn connected(&mut self, initiator: bool, context: &Context<'_>, effects: &mut Effects) {
        self.link = PeerLink { online: true, ..PeerLink::default() };
        if initiator {
            self.send_sync(context, effects);
        }
    }

    pub(super) fn pending(&self) -> Amount {
        let proposed = self.common.receipts.proposal.as_ref().map_or(Amount::ZERO, Proposal::total);
        proposed.checked_add(self.queue.total()).unwrap_or(Amount::MAX)
    }

    /// Whether the partner's node is there.
    pub(super) const fn is_online(&self) -> bool {
        self.link.online
    }

    /// Whether the partner's node is there and has shown where it stands.
    pub const fn is_synced(&self) -> bool {
        self.link.synced
    }

    /// Whether the partner signs nothing more.
    pub const fn is_peer_stopped(&self) -> bool {
        self.link.peer_stopped
    }

    /// Whether the partner has lost data.
    pub const fn is_peer_stale(&self) -> bool {
        self.link.peer_may_be_stale
    }

    pub(super) fn next_tick(&self) -> Option<Millis> {
        let coalesced_at = self.link.coalescing.map(|coalescing| coalescing.until);
        [self.link.repeat_at, coalesced_at].into_iter().flatten().min()
    }

    pub(super) fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        self.common.next_sound_block(context)
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(caller, Command::Pay { payment, known, more }) => {
                if let Err(why) = self.pay(caller, payment, known, context, effects) {
                    effects.reply.push((caller, Err(why)));
                }
                if !more {
                    self.propose_when_coalesced(context, effects);
                }
                Channel::Active(self)
            }
            Input::Flush => {
                self.propose_when_coalesced(context, effects);
                Channel::Active(self)
            }
            Input::Command(caller, Command::Close(mode)) => self.close(caller, mode, context, effects),
            Input::Command(caller, Command::Challenge) => {
                effects.reply.push((caller, Err(CommandError::NothingToChallenge(NoChallenge::NotClosing))));
                Channel::Active(self)
            }
            Input::Command(caller, Command::Cancel)
                if matches!(self.common.view.status, OnChain::Empty { .. }) =>
            {
                self.cancel(caller, effects)
            }
            Input::Command(caller, Command::Import(given)) => self.import(caller, &given, context, effects),
            Input::Command(caller, Command::SignFinal) => {
                effects.reply.push((caller, Err(CommandError::NotLost)));
                Channel::Active(self)
            }
            Input::Command(caller, Command::Fund { .. } | Command::Cancel | Command::Withdraw) => {
                effects.reply.push((caller, Err(CommandError::WrongState(StateConflict::Active))));
                Channel::Active(self)
            }
            Input::Peer(PeerInput::Connected { initiator }) => {
                self.connected(initiator, context, effects);
                Channel::Active(self)
            }
            Input::Peer(PeerInput::Disconnected) => {
                self.disconnected(effects);
                Channel::Active(self)
            }
            Input::Peer(PeerInput::Message { message, repeated }) => {
                self.message(message, &repeated, context, effects)
            }
            Input::Chain(ChainInput::View(view)) => self.chain_view(view, context, effects),
            Input::Chain(ChainInput::Claimed(closing)) => {
                self.common.challenge_claimed(&closing, context, effects);
                Channel::Active(self)
            }
            Input::Chain(ChainInput::Block | ChainInput::CallFailed { .. } | ChainInput::Invalid(_))
            | Input::Resume => {
                self.propose(context, effects);
                self.finish_if_ready(context, effects)
            }
            Input::Tick => {
                self.tick(context, effects);
                Channel::Active(self)
            }
        }
    }
}
