//! Who waits for the engine's replies.

use std::collections::{HashMap, HashSet};

use thunder_api::{ApiError, ApiResult, ClosingStarted, Paid, PaidIn, PaidOut, Peer, ReceiptImported};
use thunder_engine::UserRequestId;
use tokio::time::Instant;

use super::requests::ReplySender;

/// A user who waits.
pub(super) enum PendingReply {
    /// `connect`.
    Peer(ReplySender<Peer>),
    /// `openchannel`, `fund`.
    PaidIn(ReplySender<PaidIn>),
    /// `pay`, and since when.
    Paid(ReplySender<Paid>, Instant),
    /// Many payments, and since when.
    PaidMany(ReplySender<Vec<ApiResult<Paid>>>, Instant),
    /// `closechannel`.
    Closing(ReplySender<ClosingStarted>),
    /// `challenge`, `withdraw`, `cancel`.
    PaidOut(ReplySender<PaidOut>),
    /// `receipts --import`.
    ReceiptImported(ReplySender<ReceiptImported>),
    /// For a block to be read.
    Block(ReplySender<()>),
}

impl PendingReply {
    /// Whether the user has given up.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Peer(reply) => reply.is_closed(),
            Self::PaidIn(reply) => reply.is_closed(),
            Self::Paid(reply, _) => reply.is_closed(),
            Self::PaidMany(reply, _) => reply.is_closed(),
            Self::Closing(reply) => reply.is_closed(),
            Self::PaidOut(reply) => reply.is_closed(),
            Self::ReceiptImported(reply) => reply.is_closed(),
            Self::Block(reply) => reply.is_closed(),
        }
    }

    /// Replies with an error. Users who have given up are passed over.
    pub(super) fn refuse(self, error: ApiError) {
        match self {
            Self::Peer(reply) => drop(reply.send(Err(error))),
            Self::PaidIn(reply) => drop(reply.send(Err(error))),
            Self::Paid(reply, _) => drop(reply.send(Err(error))),
            Self::PaidMany(reply, _) => drop(reply.send(Err(error))),
            Self::Closing(reply) => drop(reply.send(Err(error))),
            Self::PaidOut(reply) => drop(reply.send(Err(error))),
            Self::ReceiptImported(reply) => drop(reply.send(Err(error))),
            Self::Block(reply) => drop(reply.send(Err(error))),
        }
    }
}

/// All users who wait.
#[derive(Default)]
pub(super) struct PendingReplies {
    pending: HashMap<UserRequestId, PendingReply>,
    last: u64,
}

impl PendingReplies {
    pub(super) fn insert(&mut self, reply: PendingReply) -> UserRequestId {
        self.last += 1;
        let request = UserRequestId(self.last);
        self.pending.insert(request, reply);
        request
    }

    pub(super) fn take(&mut self, request: UserRequestId) -> Option<PendingReply> {
        self.pending.remove(&request)
    }

    /// Takes out the users who have given up, of those that are meant.
    pub(super) fn take_abandoned(
        &mut self,
        is_meant: impl Fn(&UserRequestId) -> bool,
    ) -> HashSet<UserRequestId> {
        self.pending
            .extract_if(|request, reply| is_meant(request) && reply.is_abandoned())
            .map(|(request, _)| request)
            .collect()
    }
}
