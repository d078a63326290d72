//! Answers to those who wait: what the core says, in the words of the API.

use std::cell::RefCell;
use std::rc::Rc;

use thunder_api::{Answer, ApiError, ClosingStarted, Code, Ended, Paid, PaidIn, PaidOut, ReceiptImported};
use thunder_protocol::Address;
use thunder_protocol::channel::{ClosedBy, CommandError, CommandId, CommandOutcome};
use thunder_protocol::onchain::{CallFailure, CallKind, EndKind, OnChain};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Daemon, texts};

/// Somebody waits for what a command brings about.
pub(super) enum Caller {
    /// A payment, and when it was ordered.
    Paid(oneshot::Sender<Answer<Paid>>, Instant),
    /// One payment of many.
    OneOf(usize, Rc<RefCell<Many>>),
    /// `openchannel`, `fund`.
    PaidIn(oneshot::Sender<Answer<PaidIn>>),
    /// `closechannel`.
    Closing(oneshot::Sender<Answer<ClosingStarted>>),
    /// `challenge`, `withdraw`, `cancel`; and whether it was done already when it was asked for.
    PaidOut(oneshot::Sender<Answer<PaidOut>>, bool),
    /// `receipts --import`.
    Imported(oneshot::Sender<Answer<ReceiptImported>>),
}

impl Caller {
    /// Whether anybody still waits.
    pub(super) fn is_waiting(&self) -> bool {
        match self {
            Self::Paid(reply, _) => !reply.is_closed(),
            Self::OneOf(_, many) => many.borrow().reply.as_ref().is_some_and(|reply| !reply.is_closed()),
            Self::PaidIn(reply) => !reply.is_closed(),
            Self::Closing(reply) => !reply.is_closed(),
            Self::PaidOut(reply, _) => !reply.is_closed(),
            Self::Imported(reply) => !reply.is_closed(),
        }
    }
}

/// The answers to a call with many payments, as they come in.
pub(super) struct Many {
    pub(super) answers: Vec<Option<Answer<Paid>>>,
    pub(super) missing: usize,
    pub(super) ordered: Instant,
    pub(super) reply: Option<oneshot::Sender<Answer<Vec<Answer<Paid>>>>>,
}

impl Many {
    fn put(&mut self, index: usize, answer: Answer<Paid>) {
        if let Some(place @ None) = self.answers.get_mut(index) {
            *place = Some(answer);
            self.missing -= 1;
        }
        if self.missing == 0
            && let Some(reply) = self.reply.take()
        {
            let answers = std::mem::take(&mut self.answers);
            let _ = reply.send(Ok(answers.into_iter().flatten().collect()));
        }
    }
}

impl Daemon {
    /// A number for somebody who waits.
    pub(super) fn new_caller(&mut self, caller: Caller) -> CommandId {
        self.next_command += 1;
        let id = CommandId(self.next_command);
        self.callers.insert(id, caller);
        id
    }

    /// Answers a caller with what the core says. Whoever has stopped waiting is passed over.
    pub(super) fn answer(
        &mut self,
        channel: Address,
        id: CommandId,
        result: Result<CommandOutcome, CommandError>,
    ) {
        let Some(caller) = self.callers.remove(&id) else { return };
        match (caller, result) {
            (
                caller @ Caller::Closing(_),
                Err(denied @ (CommandError::PeerOffline | CommandError::PeerStopped)),
            ) => {
                let hint = if self.lost(&channel).is_some() {
                    "this node has lost data of the channel and can't close it without the other side: ask its owner"
                } else {
                    "without --cooperative, or with --fallback beside it, closechannel needs nobody"
                };
                self.refuse(caller, ApiError { hint: hint.into(), ..explain(&denied) });
            }
            (caller, Err(denied)) => self.refuse(caller, explain(&denied)),
            (Caller::Paid(reply, ordered), Ok(done)) => {
                self.metrics.paid(ordered);
                let _ = reply.send(self.paid(channel, done));
            }
            (Caller::OneOf(index, many), Ok(done)) => {
                self.metrics.paid(many.borrow().ordered);
                many.borrow_mut().put(index, self.paid(channel, done));
            }
            (Caller::PaidIn(reply), Ok(done)) => {
                let _ = reply.send(self.paid_in(channel, &done));
            }
            (Caller::Closing(reply), Ok(done)) => {
                let _ = reply.send(closing(channel, &done));
            }
            (Caller::PaidOut(reply, by_other), Ok(done)) => {
                let _ = reply.send(self.paid_out(channel, &done, by_other));
            }
            (Caller::Imported(reply), Ok(done)) => {
                let _ = reply.send(self.receipt_imported(channel, &done));
            }
        }
    }

    /// Answers a caller with an error that is not the core's.
    pub(super) fn fail(&mut self, id: CommandId, error: ApiError) {
        self.payment_ids.remove(id);
        if let Some(caller) = self.callers.remove(&id) {
            self.refuse(caller, error);
        }
    }

    fn refuse(&self, caller: Caller, error: ApiError) {
        if matches!(caller, Caller::Paid(..) | Caller::OneOf(..)) {
            self.metrics.failed.increment(1);
        }
        refuse(caller, error);
    }

    fn paid(&self, channel: Address, done: CommandOutcome) -> Answer<Paid> {
        let (CommandOutcome::Paid { id, amount, nonce }, Some(slot)) = (done, self.channels.get(&channel))
        else {
            return Err(out_of_place());
        };
        let (balances, role) = (slot.channel.balances(), slot.channel.setup().role());
        let (mine, theirs) = (balances.of(role), balances.of(role.other()));
        Ok(Paid { id, channel: channel.into(), amount, nonce: nonce.get(), mine, theirs })
    }

    fn paid_out(&self, channel: Address, done: &CommandOutcome, by_other: bool) -> Answer<PaidOut> {
        let CommandOutcome::PaidOut { tx, received } = done else { return Err(out_of_place()) };
        let status = self.channels.get(&channel).map(|slot| slot.channel.view().status);
        let Some(OnChain::Closed { end, .. }) = status else { return Err(out_of_place()) };
        let end = match end.kind {
            EndKind::Withdrawn => Ended::Withdrawn,
            EndKind::Final => Ended::Cooperative,
            EndKind::Challenged => Ended::Challenged,
            EndKind::Cancelled => Ended::Cancelled,
        };
        Ok(PaidOut { channel: channel.into(), tx: *tx, received: *received, end, by_other })
    }

    fn paid_in(&self, channel: Address, done: &CommandOutcome) -> Answer<PaidIn> {
        let (CommandOutcome::PaidIn { tx }, Some(slot)) = (done, self.channels.get(&channel)) else {
            return Err(out_of_place());
        };
        let mine = slot.channel.balances().of(slot.channel.setup().role());
        let state = super::channel_info::state(&slot.channel);
        Ok(PaidIn {
            channel: channel.into(),
            amount: slot.channel.setup().terms().amount,
            mine,
            state,
            tx: *tx,
        })
    }
}

fn closing(channel: Address, done: &CommandOutcome) -> Answer<ClosingStarted> {
    let CommandOutcome::Closing { tx, mode, nonce, withdrawable_at } = done else {
        return Err(out_of_place());
    };
    let mode = match mode {
        ClosedBy::Receipt => thunder_api::ClosedBy::Unilateral,
        ClosedBy::Proposal => thunder_api::ClosedBy::Proposal,
        ClosedBy::Final => thunder_api::ClosedBy::Cooperative,
    };
    let (nonce, withdrawable_at) = (nonce.get(), *withdrawable_at);
    Ok(ClosingStarted { channel: channel.into(), tx: *tx, mode, nonce, withdrawable_at })
}

pub(super) fn refuse(caller: Caller, error: ApiError) {
    match caller {
        Caller::Paid(reply, _) => drop(reply.send(Err(error))),
        Caller::OneOf(index, many) => many.borrow_mut().put(index, Err(error)),
        Caller::PaidIn(reply) => drop(reply.send(Err(error))),
        Caller::Closing(reply) => drop(reply.send(Err(error))),
        Caller::PaidOut(reply, _) => drop(reply.send(Err(error))),
        Caller::Imported(reply) => drop(reply.send(Err(error))),
    }
}

pub(super) fn out_of_place() -> ApiError {
    ApiError::new(
        Code::Internal,
        "the node gave an answer to another question",
        "look at infos, and report this",
    )
}

/// What went wrong, for a person, and what to do.
fn explain(denied: &CommandError) -> ApiError {
    let (code, hint) = match denied {
        CommandError::WrongState(_) => (Code::WrongState, "see infos for what can be done with it next"),
        CommandError::NotConfirmed => (Code::NotConfirmed, "wait for a few blocks; infos says how many"),
        CommandError::ChainStale => (Code::ChainUnreachable, "check the RPC endpoint; see infos"),
        CommandError::ZeroAmount => (Code::ZeroAmount, "give an amount above zero"),
        CommandError::InsufficientBalance { .. } => {
            (Code::InsufficientBalance, "pay less, or open another channel")
        }
        CommandError::TooMuch { .. } => (Code::AmountOutOfRange, "pay in at most what is missing"),
        CommandError::IdInUse { .. } => (Code::IdInUse, "give a new payment a new id"),
        CommandError::PaymentFailed => (Code::PaymentFailed, "pay again with a new id"),
        CommandError::PeerOffline => (
            Code::PeerNotConnected,
            "nothing was paid; connect with the other node, or wait until it is back",
        ),
        CommandError::PeerStopped => {
            (Code::PeerStopped, "closechannel gets your money out without the other side")
        }
        CommandError::QueueFull => (Code::Busy, "wait until some of them are through"),
        CommandError::Undecided => {
            (Code::PaymentUndecided, "history shows whether the payment is in once the channel is CLOSED")
        }
        CommandError::Unanswered => (
            Code::PaymentUndecided,
            "connect with the other node, or wait until it is back, and repeat it with the same --id; history shows it",
        ),
        CommandError::Closing => (Code::ChannelClosing, "nothing was paid; see infos"),
        CommandError::Lost => (
            Code::DataLost,
            "connect with the other node: with its help the channel is closed on the newest receipt; see infos",
        ),
        CommandError::NotLost => (Code::WrongState, "nothing was changed; see infos"),
        CommandError::NotNewer { .. } => {
            (Code::InvalidReceipt, "nothing was changed; import the newest export that there is")
        }
        CommandError::BadReceipt => {
            (Code::InvalidReceipt, "nothing was changed; export one with `thunder-cli receipts`")
        }
        CommandError::NothingToChallenge(_) => (Code::NothingToChallenge, "see infos"),
        CommandError::TooEarly { withdrawable_at, head } => {
            let blocks = withdrawable_at.saturating_sub(*head);
            let hint =
                format!("try again in {blocks} blocks (on a local testnet: thunder-deploy mine {blocks})");
            return ApiError::new(
                Code::TooEarly,
                format!("{}, and now is block {head}", texts::denied(denied)),
                hint,
            );
        }
        CommandError::CallFailed { kind, reason } => return call_failed(*kind, reason),
        CommandError::UnderWay => (Code::UnderWay, "see infos for how far it is"),
    };
    ApiError::new(code, texts::denied(denied), hint)
}

fn call_failed(kind: CallKind, reason: &CallFailure) -> ApiError {
    let (code, hint) = match reason {
        CallFailure::NoEther(_) => {
            (Code::InsufficientEth, "send some ether to the wallet's address (see infos) and try again")
        }
        CallFailure::Unreachable(_) => {
            (Code::ChainUnreachable, "nothing was sent; check the RPC endpoint and try again")
        }
        CallFailure::Refused(_) => match kind {
            CallKind::Open => (Code::TransactionFailed, "nothing was opened; see infos and the log"),
            CallKind::Close => (
                Code::TransactionFailed,
                "the other side may have closed it first: see infos; if not, closechannel again",
            ),
            CallKind::Fund | CallKind::Cancel | CallKind::Challenge | CallKind::Withdraw => {
                (Code::TransactionFailed, "see infos and the log")
            }
        },
    };
    ApiError::new(code, reason.to_string(), hint)
}
