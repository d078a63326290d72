//! `Active`: the channel in use, its session with the partner, and when its messages and proposals go out.

mod coalescing;
mod ending;
mod payments;
mod proposals;
mod session;

use crate::Amount;
use crate::onchain::OnChain;

use super::Channel;
use super::command_outcome::CommandError;
use super::common::Common;
use super::effects::Effects;
use super::input::{ChainInput, ChannelCommand, CommandId, Context, Input, Millis, PeerInput};
use super::queue::Queue;
use super::receipts::Proposal;
use super::refusal::{NoChallenge, StateConflict};
use coalescing::Coalescing;

/// An unanswered message is repeated after this long.
pub(super) const REPEAT_AFTER: Millis = 3_000;
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
    close_command: Option<CommandId>,
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

impl Active {
    /// Outside a session.
    pub(super) fn new(common: Common, deposit: Option<Amount>) -> Self {
        Self { common, deposit, link: PeerLink::default(), queue: Queue::default(), close_command: None }
    }

    /// The payments of the own proposal were read from disk.
    pub(super) fn proposal_read(&mut self) {
        self.queue = Queue::behind(self.common.receipts.proposal.as_ref());
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
            Input::Command(command_id, ChannelCommand::Pay { payment, known }) => {
                if let Err(why) = self.pay(command_id, payment, known, context, effects) {
                    effects.reply.push((command_id, Err(why)));
                }
                Channel::Active(self)
            }
            Input::Flush => {
                self.propose_when_coalesced(context, effects);
                Channel::Active(self)
            }
            Input::Command(command_id, ChannelCommand::Close(mode)) => {
                self.close(command_id, mode, context, effects)
            }
            Input::Command(command_id, ChannelCommand::Challenge) => {
                effects
                    .reply
                    .push((command_id, Err(CommandError::NothingToChallenge(NoChallenge::NotClosing))));
                Channel::Active(self)
            }
            Input::Command(command_id, ChannelCommand::Cancel)
                if matches!(self.common.view.status, OnChain::Empty { .. }) =>
            {
                self.cancel(command_id, effects)
            }
            Input::Command(command_id, ChannelCommand::ImportReceipt(given)) => {
                self.import(command_id, &given, context, effects)
            }
            Input::Command(command_id, ChannelCommand::SignFinal) => {
                effects.reply.push((command_id, Err(CommandError::NoDataLost)));
                Channel::Active(self)
            }
            Input::Command(
                command_id,
                ChannelCommand::Fund { .. } | ChannelCommand::Cancel | ChannelCommand::Withdraw,
            ) => {
                effects.reply.push((command_id, Err(CommandError::WrongState(StateConflict::Active))));
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
                self.sign_final_if_ready(context, effects)
            }
            Input::Tick => {
                self.tick(context, effects);
                Channel::Active(self)
            }
        }
    }
}
