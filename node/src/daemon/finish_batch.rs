//! `impl Daemon`: a batch is put on the disk, and what it asks for is carried out in the one order that is safe.
//!
//! First the disk, then the chain, then the peers, then the users.

use thunder_api::{ApiError, ApiResult, Code};
use thunder_engine::{ChainCommand, Outbox, Reply, UserRequestId};
use thunder_protocol::onchain::Call;
use thunder_protocol::wire;
use tokio::time::Instant;

use super::Daemon;
use super::pending_replies::PendingReply;
use crate::chain_task::ChainRequest;

impl Daemon {
    /// Puts the batch on disk, whole or not at all, and only then does what it asks for.
    pub(super) fn finish_batch(&mut self, inputs: usize) {
        let mut batch = self.engine.finish_batch();
        let notices = batch.take_notices();
        notices.iter().filter_map(|notice| self.event(notice)).for_each(|event| batch.record(event));
        let since = batch.has_writes().then(Instant::now);
        let outbox = match batch.commit(&mut *self.store) {
            Ok(committed) => {
                if let Some(since) = since {
                    self.metrics.committed(since, inputs);
                }
                self.count_payments(&notices);
                self.newest_event.send_if_modified(|newest| {
                    std::mem::replace(newest, self.store.newest_event()) != self.store.newest_event()
                });
                self.engine.committed(committed)
            }
            Err(refused) => self.engine.refused(refused),
        };
        self.carry_out(outbox);
    }

    fn carry_out(&mut self, outbox: Outbox) {
        let Outbox { chain, responses, requests, replies, disconnects, dials } = outbox;
        chain.into_iter().for_each(|command| self.tell_chain(command));
        #[cfg(feature = "failpoints")]
        let (sends, outcomes) = (
            responses.iter().any(|(_, response)| has_messages(response))
                || requests.iter().any(|(.., request)| matches!(request, wire::Request::Packet(_))),
            replies.iter().any(|(_, reply)| is_outcome(reply)),
        );
        failpoint!("send-before", sends);
        for (id, response) in responses {
            self.respond(id, response);
        }
        self.network.drop_unanswered();
        for (id, peer, request) in requests {
            self.network.send(id, &peer, request);
        }
        failpoint!("send-after", sends);
        failpoint!("reply-before", outcomes);
        for (request, reply) in replies {
            self.reply(request, reply);
        }
        for (peer, _) in disconnects {
            self.network.disconnect(&peer);
        }
        for dial in dials {
            self.dial(dial);
        }
    }

    fn tell_chain(&mut self, command: ChainCommand) {
        if let ChainCommand::Submit(submission) = &command
            && matches!(submission.1, Call::Challenge(_))
        {
            self.metrics.challenges.increment(1);
        }
        self.ask_chain(ChainRequest::Command(command));
    }

    pub(super) fn ask_chain(&self, request: ChainRequest) {
        // The task ends only with the process.
        if self.to_chain.send(request).is_err() {
            tracing::error!("the chain task is gone; restart thunderd");
        }
    }

    /// Responds to a peer. Messages that the response can't carry any more go out by themselves.
    fn respond(&mut self, id: thunder_engine::InboundRequestId, response: wire::Response) {
        if let Some((peer, wire::Response::Packet(packet))) = self.network.respond(id, response)
            && !packet.messages.is_empty()
        {
            let id = self.engine.next_outbound_id();
            self.network.send(id, &peer, wire::Request::Packet(packet));
        }
    }

    /// Replies to a user, if the user still waits.
    pub(super) fn reply(&mut self, request: UserRequestId, reply: ApiResult<Reply>) {
        let Some(pending) = self.replies.take(request) else { return };
        match (pending, reply) {
            (PendingReply::Paid(to, since), Ok(Reply::Paid(paid))) => {
                self.metrics.paid(since);
                let _ = to.send(Ok(paid));
            }
            (PendingReply::PaidMany(to, since), Ok(Reply::PaidMany(all))) => {
                for paid in &all {
                    match paid {
                        Ok(_) => self.metrics.paid(since),
                        Err(_) => self.metrics.failed.increment(1),
                    }
                }
                let _ = to.send(Ok(all));
            }
            (PendingReply::Peer(to), Ok(Reply::Peer(peer))) => drop(to.send(Ok(peer))),
            (PendingReply::PaidIn(to), Ok(Reply::PaidIn(paid_in))) => drop(to.send(Ok(paid_in))),
            (PendingReply::Closing(to), Ok(Reply::Closing(closing))) => drop(to.send(Ok(closing))),
            (PendingReply::PaidOut(to), Ok(Reply::PaidOut(paid_out))) => drop(to.send(Ok(paid_out))),
            (PendingReply::Block(to), Ok(Reply::BlockRead)) => drop(to.send(Ok(()))),
            (PendingReply::ReceiptImported(to), Ok(Reply::ReceiptImported { mut imported, channel })) => {
                if let Some(entry) = self.engine.channels().get(&channel) {
                    imported.next = self.channel_info(entry).next_text;
                }
                let _ = to.send(Ok(imported));
            }
            (pending, reply) => {
                if matches!(pending, PendingReply::Paid(..)) {
                    self.metrics.failed.increment(1);
                }
                pending.refuse(reply.err().unwrap_or_else(out_of_place));
            }
        }
    }
}

fn out_of_place() -> ApiError {
    ApiError::new(
        Code::Internal,
        "the node gave an answer to another question",
        "look at infos, and report this",
    )
}

#[cfg(feature = "failpoints")]
fn has_messages(response: &wire::Response) -> bool {
    matches!(response, wire::Response::Packet(packet) if !packet.messages.is_empty())
}

/// Whether the reply has the outcome of a command that a channel was given.
#[cfg(feature = "failpoints")]
const fn is_outcome(reply: &ApiResult<Reply>) -> bool {
    !matches!(reply, Err(_) | Ok(Reply::Peer(_) | Reply::BlockRead))
}
