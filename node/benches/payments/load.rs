//! Callers: each asks for a payment, waits for its answer, and asks for the next.

use std::time::Instant;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use thunder_api::{PayManyRequest, PayRequest, PaymentRequest, Selector};
use thunder_protocol::{Amount, Memo, PaymentId};

use crate::Result;
use crate::bound::receipts_per_second;
use crate::node::{Node, checked, long_call};

/// What one run of callers brought.
#[derive(Debug, Default)]
pub(crate) struct LoadResult {
    /// How long each call took, in microseconds.
    pub(crate) took: Vec<f64>,
    /// Payments a second.
    pub(crate) rate: f64,
    /// The payments that were acknowledged.
    pub(crate) ids: Vec<String>,
}

fn order(amount: Amount, id: &str) -> Result<PaymentRequest> {
    Ok(PaymentRequest { amount, memo: Memo::default(), id: Some(PaymentId::new(id)?) })
}

/// So many payments, `in_flight` calls at a time, over each of the channels in turn. Their ids begin
/// with `run`.
pub(crate) async fn pay(
    node: &Node,
    channels: &[Selector],
    amount: Amount,
    run: &str,
    count: usize,
    in_flight: usize,
) -> Result<LoadResult> {
    let call = |number: usize| async move {
        let id = format!("{run}-{number}");
        let channel = channels.get(number % channels.len().max(1)).cloned();
        let payment = order(amount, &id)?;
        let request = PayRequest { channel: channel.unwrap_or_default(), payment };
        let begun = Instant::now();
        checked(node.client.pay(long_call(), request).await)?;
        Ok::<_, Box<dyn std::error::Error>>((begun.elapsed().as_secs_f64() * 1e6, id))
    };
    let begun = Instant::now();
    let mut calls: FuturesUnordered<_> = (0..in_flight.min(count)).map(call).collect();
    let (mut next, mut done) = (calls.len(), LoadResult::default());
    while let Some(result) = calls.next().await {
        let (took, id) = result?;
        done.took.push(took);
        done.ids.push(id);
        if next < count {
            calls.push(call(next));
            next += 1;
        }
    }
    done.rate = receipts_per_second(count, begun);
    Ok(done)
}

/// So many calls one after the other, each with `batch` payments.
pub(crate) async fn pay_many(
    node: &Node,
    channel: &Selector,
    amount: Amount,
    run: &str,
    calls: usize,
    batch: usize,
) -> Result<LoadResult> {
    let (begun, mut done) = (Instant::now(), LoadResult::default());
    for call in 0..calls {
        let ids: Vec<_> = (0..batch).map(|number| format!("{run}-{call}-{number}")).collect();
        let payments = ids.iter().map(|id| order(amount, id)).collect::<Result<_>>()?;
        let request = PayManyRequest { channel: channel.clone(), payments };
        let begun = Instant::now();
        let paid = checked(node.client.pay_many(long_call(), request).await)?;
        done.took.push(begun.elapsed().as_secs_f64() * 1e6);
        for answer in paid {
            answer.map_err(|error| error.to_string())?;
        }
        done.ids.extend(ids);
    }
    done.rate = receipts_per_second(calls * batch, begun);
    Ok(done)
}
