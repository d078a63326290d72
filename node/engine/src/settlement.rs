//! When payments that are on disk are settled: with a receipt that both have signed, or by the chain (rule 12).

use thunder_protocol::channel::{Direction, PaymentStatus, PaymentWrite};
use thunder_protocol::{Channel, Nonce};

use crate::storage::{OwnSettlement, Settlements};

/// The payments of a channel that are on disk and not settled.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    /// Those of the own proposal that is not answered.
    own: Option<Proposed>,
    /// Those of the partner's proposal that the chain shows a closing on.
    partner: Option<Nonce>,
}

#[derive(Debug, Clone, Copy)]
struct Proposed {
    nonce: Nonce,
    count: u64,
}

impl Unsettled {
    /// What is not settled in a channel that the disk has.
    pub(crate) fn of(channel: &Channel) -> Self {
        let proposal = channel.receipts().and_then(|receipts| receipts.proposal.as_ref());
        let own = proposal
            .map(|own| Proposed { nonce: own.nonce, count: own.payments.len().try_into().unwrap_or(0) });
        Self { own, partner: channel.late_proposal() }
    }

    /// Takes in what the channel writes with an input that has led to this state, and returns what is settled by it.
    pub(crate) fn settle(
        &mut self,
        channel: &Channel,
        is_over: bool,
        writes: &[PaymentWrite],
    ) -> Settlements {
        let own = self.settle_own(channel, is_over, writes);
        self.propose(writes);
        let is_received =
            |write: &&PaymentWrite| matches!(write, PaymentWrite::Insert { direction: Direction::In, .. });
        if let Some(PaymentWrite::Insert { nonce, .. }) = writes.iter().find(is_received) {
            self.partner = Some(*nonce);
        }
        let is_settled = |nonce: &mut Nonce| is_over || is_agreed(channel, *nonce);
        let partner = self.partner.take_if(is_settled).filter(|nonce| is_done(channel, *nonce));
        Settlements { own, partner }
    }

    fn settle_own(
        &mut self,
        channel: &Channel,
        is_over: bool,
        writes: &[PaymentWrite],
    ) -> Option<OwnSettlement> {
        let Proposed { nonce, count } = self.own?;
        let stands = writes.iter().find_map(|write| match write {
            PaymentWrite::Move { from, .. } => (*from == nonce).then_some(true),
            PaymentWrite::Fail { nonce: failed } => (*failed == nonce).then_some(false),
            PaymentWrite::Insert { .. } => None,
        });
        let is_paid = match stands {
            Some(true) => return None,
            Some(false) => false,
            None if is_agreed(channel, nonce) => true,
            None if is_over => is_done(channel, nonce),
            None => return None,
        };
        self.own = None;
        Some(OwnSettlement { nonce, count, is_paid })
    }

    /// The payments of a new own proposal, those of one that did not stand among them.
    fn propose(&mut self, writes: &[PaymentWrite]) {
        for write in writes {
            match write {
                PaymentWrite::Insert { direction: Direction::Out, nonce, .. } => {
                    self.own.get_or_insert(Proposed { nonce: *nonce, count: 0 }).count += 1;
                }
                PaymentWrite::Move { from, to } => {
                    if let Some(own) = self.own.as_mut().filter(|own| own.nonce == *from) {
                        own.nonce = *to;
                    }
                }
                PaymentWrite::Insert { direction: Direction::In, .. } | PaymentWrite::Fail { .. } => {}
            }
        }
    }
}

fn is_agreed(channel: &Channel, nonce: Nonce) -> bool {
    channel.receipts().is_some_and(|receipts| nonce <= receipts.agreed.nonce())
}

fn is_done(channel: &Channel, nonce: Nonce) -> bool {
    channel.status_of(nonce) == PaymentStatus::Done
}
