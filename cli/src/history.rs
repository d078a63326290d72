//! `history`: payments, page by page; and `prune`, which has old events deleted.

use std::io;

use jiff::Timestamp;
use serde::Serialize;
use thunder_api::{Direction, History, HistoryRequest, PaymentInfo, PaymentStatus};

use crate::args::ListPayments;
use crate::client::{CallEffect, Node};
use crate::output::{Failure, Output, human, safe};
use crate::run::{unwritten_effect, unwritten_query};

/// How many payments are asked for at once.
const PAGE: u32 = 1000;

/// Lists payments: the user's `--limit` may be more than an answer has room for.
pub(crate) async fn list(node: &Node, output: &Output, arguments: ListPayments) -> Result<(), Failure> {
    let ListPayments { limit, after, before, since, until, id, direction, csv, which } = arguments;
    let direction = direction.map(Into::into);
    let mut request =
        HistoryRequest { channel: which.into(), after, before, since, until, id, direction, limit: 0 };
    let mut left = limit;
    let mut all = History { payments: Vec::new(), next: None };
    if csv {
        output.text(HEADER).map_err(unwritten_query)?;
    }
    while left > 0 {
        request.limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let call = node.calls.history(node.context(), request.clone());
        let page = node.ask("asking thunderd", CallEffect::Nothing, call).await?;
        left = left.saturating_sub(page.payments.len() as u64);
        all.next = page.next;
        if csv {
            output.text(&rows(&page.payments).map_err(unwritten_query)?).map_err(unwritten_query)?;
        } else {
            all.payments.extend(page.payments);
        }
        let Some(next) = page.next else { break };
        request.before = Some(next);
    }
    if !csv {
        output.answer(&all, human::history).map_err(unwritten_query)?;
    }
    if let Some(next) = all.next {
        output.note(&format!("there are more: add --before {next}, or a higher --limit"));
    }
    Ok(())
}

/// Deletes the events before a time.
pub(crate) async fn prune(node: &Node, output: &Output, before: u64) -> Result<(), Failure> {
    let call = node.calls.prune(node.context(), before);
    let pruned = node.ask("deleting old events", CallEffect::State, call).await?;
    output.answer(&pruned, human::pruned).map_err(unwritten_effect)
}

/// The first line of the CSV.
const HEADER: &str = "seq,time,direction,amount,partner,channel,nonce,status,id,memo,invoice\n";

/// A payment as a row of CSV (RFC 4180).
#[derive(Serialize)]
struct Line<'a> {
    seq: Option<u64>,
    time: String,
    direction: Direction,
    amount: String,
    partner: String,
    channel: String,
    nonce: Option<u64>,
    status: PaymentStatus,
    id: &'a str,
    memo: String,
    invoice: Option<&'a str>,
}

fn rows(payments: &[PaymentInfo]) -> io::Result<String> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for payment in payments {
        writer.serialize(Line {
            seq: payment.seq,
            time: iso(payment.time),
            direction: payment.direction,
            amount: payment.amount.to_string(),
            partner: payment.partner.to_string(),
            channel: payment.channel.to_string(),
            nonce: payment.nonce,
            status: payment.status,
            id: payment.id.as_str(),
            memo: safe(&payment.memo),
            invoice: payment.invoice.as_deref(),
        })?;
    }
    let bytes = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// Milliseconds since 1970 as RFC 3339 has times.
fn iso(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map_or_else(String::new, |time| format!("{time:.3}"))
}
