//! `history`: payments that are settled, from the store, and above them those that are not.

use thunder_api::{ApiResult, History, HistoryRequest};
use thunder_engine::StoredPayment;
use thunder_protocol::channel::Direction;

use crate::daemon::{HistoryScope, UserRequest};
use crate::rpc::Handlers;
use crate::store::{PaymentQuery, SettledPayment};

/// The most payments in one answer.
pub const MAX_HISTORY: u32 = 1000;

impl Handlers {
    /// A page of the history.
    pub(crate) async fn list_payments(&self, request: HistoryRequest) -> ApiResult<History> {
        let HistoryRequest { channel, after, before, since, until, id, direction, limit } = request;
        let limit = limit.min(MAX_HISTORY) as usize;
        let direction = direction.map(direction_of);
        let HistoryScope { channels, proposals } =
            self.ask(|reply| UserRequest::HistoryScope(channel, reply)).await?;
        // What is not settled stands above the newest page. An id finds it, too.
        let is_newest = after.is_none() && before.is_none() && id.is_none();
        let newest = self.events.newest();
        let mut query = PaymentQuery { channels, after, before, since, until, id, direction, limit };
        let settled = self.events.payments(query.clone()).await?;
        let mut payments = if is_newest { self.events.proposed(proposals).await? } else { Vec::new() };
        // Some may have been settled between the two looks.
        payments.retain(|payment| {
            is_meant(payment, &query) && !settled.iter().any(|other| is_same(payment, other))
        });
        payments.truncate(limit);
        query.limit = limit.saturating_sub(payments.len());
        let has_more = settled.len() >= query.limit && query.id.is_none();
        payments.extend(settled.into_iter().take(query.limit));
        let last = payments.last().and_then(|payment| payment.seq).or_else(|| newest.checked_add(1));
        let next = last.filter(|_| has_more);
        let payments = self.ask(|reply| UserRequest::DescribePayments(payments, reply)).await?;
        Ok(History { payments, next })
    }
}

const fn direction_of(direction: thunder_api::Direction) -> Direction {
    match direction {
        thunder_api::Direction::In => Direction::In,
        thunder_api::Direction::Out => Direction::Out,
    }
}

/// Whether the query leaves a payment in that is not settled.
fn is_meant(payment: &SettledPayment, query: &PaymentQuery) -> bool {
    let StoredPayment { direction, time, .. } = &payment.payment;
    query.direction.is_none_or(|of| of == *direction)
        && query.since.is_none_or(|since| *time >= since)
        && query.until.is_none_or(|until| *time < until)
}

fn is_same(one: &SettledPayment, other: &SettledPayment) -> bool {
    let key = |payment: &SettledPayment| (payment.payment.channel, payment.payment.direction);
    key(one) == key(other) && one.payment.payment.id == other.payment.payment.id
}
