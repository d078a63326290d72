//! Pending commands: which user gets the outcome of a channel's command, and what the outcome is in the API.

use thunder_api::{ApiError, ApiResult, ClosingStarted, Code, Ended, Paid, PaidIn, PaidOut, ReceiptImported};
use thunder_protocol::channel::{ClosedBy, CommandError, CommandId, CommandOutcome};
use thunder_protocol::onchain::{EndKind, OnChain};
use thunder_protocol::{Address, Channel};

use crate::engine::Engine;
use crate::errors::{explain, out_of_place};
use crate::event::UserRequestId;
use crate::outbox::Reply;

/// Where the outcome of a command goes that a channel was given: to which user's request, and as which reply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReplyTarget {
    /// `pay`.
    Paid(UserRequestId),
    /// One payment of many, and its place.
    OneOf(UserRequestId, usize),
    /// `openchannel`, `fund`.
    PaidIn(UserRequestId),
    /// `closechannel`.
    Closing(UserRequestId),
    /// `challenge`, `withdraw`, `cancel`.
    PaidOut {
        request: UserRequestId,
        /// Whether it was done already when it was asked for.
        was_over: bool,
    },
    /// `receipts --import`.
    ReceiptImported(UserRequestId),
}

impl ReplyTarget {
    pub(crate) const fn request(self) -> UserRequestId {
        match self {
            Self::Paid(request)
            | Self::OneOf(request, _)
            | Self::PaidIn(request)
            | Self::Closing(request)
            | Self::PaidOut { request, .. }
            | Self::ReceiptImported(request) => request,
        }
    }
}

/// A command that a channel was given, and whose user has no reply yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingCommand {
    pub(crate) channel: Address,
    pub(crate) target: ReplyTarget,
}

impl Engine {
    /// Replies to a user, with the batch and whatever becomes of it: for what does not depend on the disk.
    pub(crate) fn reply(&mut self, request: UserRequestId, reply: ApiResult<Reply>) {
        self.batch.effects.independent.replies.push((request, reply));
    }

    /// Registers a command that a channel is given in this batch, and where its outcome goes. Returns its number.
    pub(crate) fn register_command(&mut self, channel: Address, target: ReplyTarget) -> CommandId {
        self.next_command += 1;
        let id = CommandId(self.next_command);
        self.pending_commands.insert(id, PendingCommand { channel, target });
        self.batch.effects.commands.push(id);
        id
    }

    /// The commands of a channel that have no reply yet, oldest first.
    pub(crate) fn commands_of(&self, channel: &Address) -> Vec<CommandId> {
        let of_channel = self.pending_commands.iter().filter(|(_, pending)| pending.channel == *channel);
        let mut of_channel: Vec<_> = of_channel.map(|(id, _)| *id).collect();
        of_channel.sort_unstable();
        of_channel
    }

    /// Replies with the core's outcome of a command.
    pub(crate) fn reply_outcome(
        &mut self,
        channel: Address,
        id: CommandId,
        outcome: Result<CommandOutcome, CommandError>,
    ) {
        let Some(PendingCommand { target, .. }) = self.pending_commands.remove(&id) else { return };
        let reply = match outcome {
            Ok(outcome) => self.describe_outcome(channel, target, outcome),
            Err(error) => Err(self.describe_error(channel, target, &error)),
        };
        self.send_reply(target, reply);
    }

    /// Replies with an error that is not the core's.
    pub(crate) fn fail(&mut self, id: CommandId, error: ApiError) {
        self.payment_ids.remove(id);
        if let Some(pending) = self.pending_commands.remove(&id) {
            self.send_reply(pending.target, Err(error));
        }
    }

    fn send_reply(&mut self, target: ReplyTarget, reply: ApiResult<Reply>) {
        match target {
            ReplyTarget::OneOf(request, index) => {
                let paid = reply.and_then(|reply| match reply {
                    Reply::Paid(paid) => Ok(paid),
                    _ => Err(out_of_place()),
                });
                self.reply_one_of(request, index, paid);
            }
            other => self.reply(other.request(), reply),
        }
    }

    fn describe_error(&self, channel: Address, target: ReplyTarget, error: &CommandError) -> ApiError {
        match (target, error) {
            (ReplyTarget::Closing(_), CommandError::PeerOffline | CommandError::PeerStopped) => {
                let hint = if self.data_loss(&channel).is_some() {
                    "this node has lost data of the channel and can't close it without the other side: ask its owner"
                } else {
                    "without --cooperative, or with --fallback beside it, closechannel needs nobody"
                };
                ApiError { hint: hint.into(), ..explain(error) }
            }
            _ => explain(error),
        }
    }

    fn describe_outcome(
        &self,
        address: Address,
        target: ReplyTarget,
        outcome: CommandOutcome,
    ) -> ApiResult<Reply> {
        let Some(entry) = self.channels.get(&address) else { return Err(out_of_place()) };
        let channel = &entry.channel;
        match (target, outcome) {
            (ReplyTarget::Paid(_) | ReplyTarget::OneOf(..), outcome @ CommandOutcome::Paid { .. }) => {
                paid(channel, outcome).map(Reply::Paid)
            }
            (ReplyTarget::PaidIn(_), CommandOutcome::PaidIn { tx }) => {
                let mine = channel.balances().of(channel.setup().role());
                let amount = channel.setup().terms().amount;
                let state = contract_state(channel);
                Ok(Reply::PaidIn(PaidIn { channel: address.into(), amount, mine, state, tx }))
            }
            (ReplyTarget::Closing(_), outcome @ CommandOutcome::Closing { .. }) => {
                closing(address, &outcome).map(Reply::Closing)
            }
            (ReplyTarget::PaidOut { was_over, .. }, outcome @ CommandOutcome::PaidOut { .. }) => {
                paid_out(channel, &outcome, was_over).map(Reply::PaidOut)
            }
            (ReplyTarget::ReceiptImported(_), CommandOutcome::ReceiptImported { receipt, both_signed }) => {
                let own = channel.setup().role();
                let imported = ReceiptImported {
                    channel: address.into(),
                    nonce: receipt.nonce.get(),
                    mine: receipt.balances.of(own),
                    theirs: receipt.balances.of(own.other()),
                    both_signed,
                    next: String::new(),
                };
                Ok(Reply::ReceiptImported { imported, channel: address })
            }
            (
                ReplyTarget::Paid(_)
                | ReplyTarget::OneOf(..)
                | ReplyTarget::PaidIn(_)
                | ReplyTarget::Closing(_)
                | ReplyTarget::PaidOut { .. }
                | ReplyTarget::ReceiptImported(_),
                _,
            ) => Err(out_of_place()),
        }
    }
}

/// The contract's state, as far as the node knows it.
pub fn contract_state(channel: &Channel) -> thunder_api::ContractState {
    use thunder_api::ContractState;
    match channel.view().status {
        OnChain::Missing if matches!(channel, Channel::Closed(_)) => ContractState::Closed,
        OnChain::Missing | OnChain::Empty { .. } => ContractState::Empty,
        OnChain::Active { .. } => ContractState::Active,
        OnChain::Closing(_) => ContractState::Closing,
        OnChain::Closed { .. } => ContractState::Closed,
    }
}

fn paid(channel: &Channel, outcome: CommandOutcome) -> ApiResult<Paid> {
    let CommandOutcome::Paid { id, amount, nonce } = outcome else { return Err(out_of_place()) };
    let (balances, role) = (channel.balances(), channel.setup().role());
    let (mine, theirs) = (balances.of(role), balances.of(role.other()));
    let address = channel.setup().terms().channel;
    Ok(Paid { id, channel: address.into(), amount, nonce: nonce.get(), mine, theirs })
}

fn paid_out(channel: &Channel, outcome: &CommandOutcome, already: bool) -> ApiResult<PaidOut> {
    let CommandOutcome::PaidOut { tx, received } = outcome else { return Err(out_of_place()) };
    let OnChain::Closed { end, .. } = channel.view().status else { return Err(out_of_place()) };
    let end = match end.kind {
        EndKind::Withdrawn => Ended::Withdrawn,
        EndKind::Final => Ended::Cooperative,
        EndKind::Challenged => Ended::Challenged,
        EndKind::Cancelled => Ended::Cancelled,
    };
    let address = channel.setup().terms().channel;
    Ok(PaidOut { channel: address.into(), tx: *tx, received: *received, end, by_other: already, already })
}

fn closing(channel: Address, outcome: &CommandOutcome) -> ApiResult<ClosingStarted> {
    let CommandOutcome::Closing { tx, mode, nonce, withdrawable_at } = outcome else {
        return Err(out_of_place());
    };
    let mode = match mode {
        ClosedBy::Unilateral => thunder_api::ClosedBy::Unilateral,
        ClosedBy::Proposal => thunder_api::ClosedBy::Proposal,
        ClosedBy::Cooperative => thunder_api::ClosedBy::Cooperative,
    };
    let (nonce, withdrawable_at) = (nonce.get(), *withdrawable_at);
    Ok(ClosingStarted { channel: channel.into(), tx: *tx, mode, nonce, withdrawable_at })
}

/// The error for a command that was about a chain that is another one now.
pub(crate) fn chain_is_gone() -> ApiError {
    ApiError::new(
        Code::ChainUnreachable,
        "the chain is another one now",
        "infos shows what became of it when the chain is back",
    )
}

#[cfg(test)]
mod tests;
