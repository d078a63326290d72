//! Answers as text for people.

mod infos;
#[cfg(test)]
mod tests;

pub(crate) use infos::infos;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use thunder_api::{
    ApiError, BackedUp, Balance, ChannelInfo, ChecksumAddress, ClosedBy, ClosingStarted, ContractState,
    Direction, Ended, ExitCode, ExportedReceipts, History, Numbered, Paid, PaidIn, PaidOut, PaymentInfo,
    PaymentStatus, Peer, PeerChange, Pruned, ReceiptImported, Restored, Secret, WalletImported, Warning,
    WatchEvent, Watchtower,
};
use thunder_protocol::{Amount, Nonce};

use crate::pay_file::FilePayment;

use super::text::{BOLD, DIM, Fields, align, safe, short, time};
use infos::rpc;

/// The width that lines keep to.
const LINE: usize = 80;

/// `importwallet`
pub(crate) fn imported(wallet: &WalletImported) -> String {
    format!("wallet {BOLD}{}{BOLD:#} is loaded, and kept encrypted\n", wallet.address)
}

/// The seed phrase that `newwallet` has made, in four columns.
pub(crate) fn phrase(phrase: &Secret) -> String {
    let mut text = String::from(
        "Write these words down, in this order. They are shown this once, and whoever\n\
         knows them has the wallet.\n\n",
    );
    let words: Vec<_> = phrase.expose().split(' ').collect();
    for (row, words) in words.chunks(4).enumerate() {
        for (column, word) in words.iter().enumerate() {
            // A gap after each column but the last. Writing to a string can't fail.
            let gap = if column + 1 < words.len() { 10_usize.saturating_sub(word.len()) } else { 0 };
            let number = row * 4 + column + 1;
            let _ = write!(text, "  {number:>2} {BOLD}{}{BOLD:#}{:gap$}", safe(word), "");
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

/// `backup`
pub(crate) fn backed_up(made: &BackedUp) -> String {
    let fields = Fields::new()
        .add("open channels", made.channels)
        .add("not in it", "the wallet's password; channels opened from now on");
    format!("backup written to {BOLD}{}{BOLD:#}\n{}", safe(&made.file), fields.lines(2))
}

/// `restore`
pub(crate) fn restored(restored: &Restored) -> String {
    let wallet = restored.wallet.map_or_else(|| "none".to_owned(), |wallet| wallet.to_string());
    let fields = Fields::new()
        .add("lost channels", restored.channels)
        .add(if restored.signed { "signed by" } else { "wallet" }, wallet)
        .add("next", "thunder-cli infos; then connect")
        .add("", "thunder-cli importwallet, if its password is gone");
    format!("restored, and thunderd starts anew\n{}", fields.lines(2))
}

/// `balance`
pub(crate) fn balance(balance: &Balance) -> String {
    let Balance { total: Some(total), wallet: Some(wallet), channel, eth: Some(eth), .. } = balance else {
        let fields = Fields::new()
            .add("total", "not known")
            .add("in the wallet", "not known")
            .add("in channels", format_args!("{BOLD}{} THD{BOLD:#}", safe(&balance.channel)))
            .add("for gas", "not known");
        return fields.lines(0) + &infos::warnings(&balance.warnings);
    };
    let eth = rounded_ether(eth);
    let [total, wallet, channel, eth] = &align(&[total, wallet, channel, &eth])[..] else {
        return String::new();
    };
    let fields = Fields::new()
        .add("total", format_args!("{BOLD}{} THD{BOLD:#}", safe(total)))
        .add("in the wallet", format_args!("{} THD", safe(wallet)))
        .add("in channels", format_args!("{} THD", safe(channel)))
        .add("for gas", format_args!("{} ETH", safe(eth)))
        .lines(0);
    fields + &infos::warnings(&balance.warnings)
}

/// Ether with six decimals at most, rounded down.
fn rounded_ether(exact: &str) -> String {
    let Some((whole, fraction)) = exact.split_once('.') else { return exact.to_owned() };
    let fraction: String = fraction.chars().take(6).collect();
    match (whole, fraction.trim_end_matches('0')) {
        ("0", "") => "<0.000001".to_owned(),
        (whole, "") => whole.to_owned(),
        (whole, fraction) => format!("{whole}.{fraction}"),
    }
}

/// `connect`
pub(crate) fn connected(peer: &Peer) -> String {
    format!("connected to {BOLD}{}{BOLD:#}\n{}", safe(&peer.peer_id), peer_fields(peer).lines(2))
}

fn peer_fields(peer: &Peer) -> Fields {
    let wallet = peer.wallet.map_or_else(|| "none yet".to_owned(), |wallet| wallet.to_string());
    Fields::new().add("address", safe(&peer.address)).add("wallet", wallet)
}

/// `openchannel`
pub(crate) fn opened(channel: &PaidIn) -> String {
    let next = match channel.state {
        ContractState::Active => "thunder-cli pay <amount>",
        _ => "the other side pays its share: thunder-cli fund",
    };
    let head = format!("channel {BOLD}{}{BOLD:#} is {}\n", channel.channel, state(channel.state));
    head + &paid_in(channel).add("next", next).lines(2)
}

/// `fund`
pub(crate) fn funded(channel: &PaidIn) -> String {
    let head =
        format!("paid into channel {BOLD}{}{BOLD:#}, which is {}\n", channel.channel, state(channel.state));
    head + &paid_in(channel).lines(2)
}

fn paid_in(channel: &PaidIn) -> Fields {
    let holds = if channel.state == ContractState::Empty { "will hold" } else { "holds" };
    Fields::new().add(holds, thd(channel.amount)).add("yours", thd(channel.mine)).maybe("tx", channel.tx)
}

/// `pay`
pub(crate) fn paid(paid: &Paid) -> String {
    let amounts = [paid.mine.to_string(), paid.theirs.to_string()];
    let [mine, theirs] = &align(&[&amounts[0], &amounts[1]])[..] else { return String::new() };
    let fields = Fields::new()
        .add("yours", format_args!("{mine} THD"))
        .add("theirs", format_args!("{theirs} THD"))
        .add("receipt", nonce(paid.nonce))
        .add("id", &paid.id)
        .add("channel", paid.channel);
    format!("paid {BOLD}{}{BOLD:#}\n{}", thd(paid.amount), fields.lines(2))
}

/// A payment of `pay --file`, on one line; numbers of lines take so many columns.
pub(crate) fn file_payment(payment: &FilePayment, result: &Result<Paid, ApiError>, columns: usize) -> String {
    let amount = payment.request.payment.amount;
    let (status, told) = match result {
        Ok(_) => ("paid", payment.id.to_string()),
        Err(error) if error.code.exit_code() == ExitCode::Unknown => ("UNKNOWN", error.message.clone()),
        Err(error) => ("not paid", error.message.clone()),
    };
    let start = format!("{:>columns$}  {status:<8}  {amount} THD  ", payment.line);
    let told = safe(told).replace('\n', " ");
    let room = LINE.saturating_sub(start.chars().count());
    let told: String = match told.chars().count() > room {
        true => told.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
        false => told,
    };
    format!("{start}{told}\n")
}

/// `closechannel`
pub(crate) fn closing(closing: &ClosingStarted) -> String {
    let on = match closing.mode {
        ClosedBy::Unilateral => format!("receipt {}", nonce(closing.nonce)),
        ClosedBy::Proposal => format!("receipt {}, your own unanswered proposal", nonce(closing.nonce)),
        ClosedBy::Cooperative => "a FINAL receipt, which both sides have signed".to_owned(),
    };
    let (head, next) = match closing.withdrawable_at {
        Some(block) => ("is CLOSING", format!("thunder-cli withdraw, from block {block}")),
        None => ("is CLOSED", "nothing; your share is in the wallet".to_owned()),
    };
    let fields = Fields::new().add("on", on).maybe("tx", closing.tx).add("next", next);
    format!("channel {BOLD}{}{BOLD:#} {head}\n{}", closing.channel, fields.lines(2))
}

/// `withdraw`
pub(crate) fn withdrawn(paid: &PaidOut) -> String {
    let head = match paid.end {
        Ended::Withdrawn if paid.already && !paid.by_other => "withdrawn before:",
        Ended::Withdrawn if paid.by_other => "the other side had already withdrawn for both; you received",
        Ended::Withdrawn => "withdrawn:",
        Ended::Cooperative => "nothing to withdraw, the channel was closed together; you received",
        Ended::Challenged => "nothing to withdraw, the channel ended with a challenge; you received",
        Ended::Cancelled => "nothing to withdraw, the channel was cancelled; you got back",
    };
    received(paid, head)
}

/// `challenge`
pub(crate) fn challenged(paid: &PaidOut) -> String {
    let head = match paid.already {
        true => "challenged before, with a newer receipt; you received the whole channel,",
        false => "challenged with a newer receipt; you received the whole channel,",
    };
    received(paid, head)
}

/// `cancel`
pub(crate) fn cancelled(paid: &PaidOut) -> String {
    received(paid, if paid.already { "cancelled before; you got back" } else { "cancelled; you got back" })
}

fn received(paid: &PaidOut, head: &str) -> String {
    let fields = Fields::new().add("channel", paid.channel).maybe("tx", paid.tx);
    format!("{head} {BOLD}{}{BOLD:#}\n{}", thd(paid.received), fields.lines(2))
}

/// `history`
pub(crate) fn history(history: &History) -> String {
    if history.payments.is_empty() {
        return "no payments yet\n".to_owned();
    }
    let amounts: Vec<_> = history.payments.iter().map(|payment| payment.amount.to_string()).collect();
    let amounts = align(&amounts.iter().map(String::as_str).collect::<Vec<_>>());
    let width = amounts.iter().map(String::len).max().unwrap_or_default();
    let channels: BTreeSet<_> = history.payments.iter().map(|payment| payment.channel).collect();
    let mut text = String::new();
    for (payment, amount) in history.payments.iter().zip(&amounts) {
        let line = format!(
            "{}  {}  {amount:width$} THD  {}  {}",
            time(payment.time),
            direction(payment.direction),
            status(payment.status, 7),
            safe(&payment.memo)
        );
        text.push_str(line.trim_end());
        let receipt = payment.nonce.map(|number| format!("  receipt {}", nonce(number))).unwrap_or_default();
        let of = if channels.len() > 1 { channel_suffix(payment.channel) } else { String::new() };
        text.push_str(&format!("\n  {DIM}id {}{receipt}{of}{DIM:#}\n", safe(&payment.id)));
    }
    text
}

fn channel_suffix(channel: ChecksumAddress) -> String {
    format!("  channel {}", short(channel))
}

fn payment_line(payment: &PaymentInfo) -> String {
    let (way, of) = match payment.direction {
        Direction::In => ("received", "from channel"),
        Direction::Out => ("paid", "into channel"),
    };
    let status = match payment.status {
        PaymentStatus::Done => String::new(),
        other => format!(" ({})", status(other, 0)),
    };
    let memo = payment.memo.as_str();
    let memo = if memo.is_empty() { String::new() } else { format!(": {}", safe(memo)) };
    format!("{way} {BOLD}{}{BOLD:#} {of} {}{status}{memo}", thd(payment.amount), short(payment.channel))
}

/// `receipts --output`
pub(crate) fn exported(receipts: &ExportedReceipts, path: &Path) -> String {
    let proposal = if receipts.proposal.is_some() { " and your own unanswered proposal" } else { "" };
    format!(
        "receipt {}{proposal} of channel {} written to {}\n",
        nonce(receipts.agreed.nonce),
        receipts.channel,
        safe(path.display())
    )
}

/// `receipts --watchtower --output`
pub(crate) fn watched(record: &Watchtower, path: &Path) -> String {
    format!(
        "what challenges with receipt {} of channel {} written to {}\n",
        nonce(record.nonce),
        record.channel,
        safe(path.display())
    )
}

/// `receipts --import`
pub(crate) fn receipt_imported(imported: &ReceiptImported) -> String {
    let signed =
        if imported.both_signed { "both sides" } else { "the other side alone, as a watchtower record is" };
    let amounts = [imported.mine.to_string(), imported.theirs.to_string()];
    let [mine, theirs] = &align(&[&amounts[0], &amounts[1]])[..] else { return String::new() };
    let fields = Fields::new()
        .add("yours", format_args!("{mine} THD"))
        .add("theirs", format_args!("{theirs} THD"))
        .add("signed by", signed)
        .add("channel", imported.channel)
        .add("next", safe(&imported.next));
    format!("receipt {BOLD}{}{BOLD:#} is taken into the channel\n{}", nonce(imported.nonce), fields.lines(2))
}

fn thd(amount: Amount) -> String {
    format!("{amount} THD")
}

fn nonce(number: u64) -> String {
    Nonce::new(number).map_or_else(|| number.to_string(), |nonce| nonce.to_string())
}

fn state(state: ContractState) -> String {
    let style = match state {
        ContractState::Active => AnsiColor::Green.on_default(),
        ContractState::Closing => AnsiColor::Yellow.on_default(),
        ContractState::Empty | ContractState::Closed => DIM,
    };
    format!("{style}{state}{style:#}")
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in ",
        Direction::Out => "out",
    }
}

fn status(status: PaymentStatus, width: usize) -> String {
    let (style, text) = match status {
        PaymentStatus::Done => (Style::new(), "done"),
        PaymentStatus::Pending => (AnsiColor::Yellow.on_default(), "pending"),
        PaymentStatus::Failed => (AnsiColor::Red.on_default(), "failed"),
    };
    format!("{style}{text:width$}{style:#}")
}

/// `prune`
pub(crate) fn pruned(pruned: &Pruned) -> String {
    let some = if pruned.events == 1 { "1 event" } else { &format!("{} events", pruned.events) };
    format!("{some} deleted; receipts and the ids of payments stay\n")
}

/// What `watch` prints: one line with the time.
pub(crate) fn event(event: &WatchEvent) -> String {
    let (when, what) = match event {
        WatchEvent::Payment(payment) => (payment.time, payment_line(payment)),
        WatchEvent::Channel(Numbered { time, of, .. }) => (*time, channel_line(of)),
        WatchEvent::Peer(Numbered { time, of: PeerChange { connected, peer }, .. }) => {
            let peer = safe(&peer.peer_id);
            let line = if *connected {
                format!("connected to {BOLD}{peer}{BOLD:#}")
            } else {
                format!("{peer} is gone")
            };
            (*time, line)
        }
        WatchEvent::Chain(Numbered { time, of, .. }) => {
            let block = of.block.map(|block| format!(", block {block}")).unwrap_or_default();
            (*time, format!("chain {}{block}", rpc(of)))
        }
        WatchEvent::Warning(Numbered { time, of: Warning { message, channel }, .. }) => {
            let style = AnsiColor::Yellow.on_default().bold();
            let of = channel.map(|channel| format!("channel {}: ", short(channel))).unwrap_or_default();
            (*time, format!("{style}warning:{style:#} {of}{}", safe(message)))
        }
    };
    format!("{}  {what}\n", time(when))
}

fn channel_line(channel: &ChannelInfo) -> String {
    let shares = match channel.state {
        ContractState::Empty => format!("will hold {} THD", channel.amount),
        _ => format!("yours {} THD, theirs {} THD", channel.mine, channel.theirs),
    };
    let next = match channel.next_text.as_str() {
        "" => String::new(),
        text => format!("; {}", safe(text)),
    };
    format!("channel {} {}: {shares}{next}", short(channel.channel), state(channel.state))
}
