//! What `watch` prints for people: one line for each event.

use anstyle::AnsiColor;
use thunder_api::{ChannelInfo, ContractState, WatchEvent};

use super::super::text::{BOLD, now, safe, short, time};
use super::infos::rpc;
use super::{payment_line, state};

/// One line with the time. Only payments know when they were; the others happen now.
pub(crate) fn event(event: &WatchEvent) -> String {
    at(event, now())
}

pub(super) fn at(event: &WatchEvent, now: u64) -> String {
    let (when, what) = match event {
        WatchEvent::Payment(payment) => (payment.time, payment_line(payment)),
        WatchEvent::Channel(channel) => (now, channel_line(channel)),
        WatchEvent::Connected(peer) => (now, format!("connected to {BOLD}{}{BOLD:#}", safe(&peer.peer_id))),
        WatchEvent::Disconnected(peer) => (now, format!("{} is gone", safe(&peer.peer_id))),
        WatchEvent::Chain(chain) => {
            let block = chain.block.map(|block| format!(", block {block}")).unwrap_or_default();
            (now, format!("chain {}{block}", rpc(chain)))
        }
        WatchEvent::Warning { message, channel } => {
            let style = AnsiColor::Yellow.on_default().bold();
            let of = channel.map(|channel| format!("channel {}: ", short(channel))).unwrap_or_default();
            (now, format!("{style}warning:{style:#} {of}{}", safe(message)))
        }
    };
    format!("{}  {what}\n", time(when))
}

fn channel_line(channel: &ChannelInfo) -> String {
    let shares = match channel.state {
        ContractState::Empty => format!("will hold {} THD", channel.amount),
        _ => format!("yours {} THD, theirs {} THD", channel.mine, channel.theirs),
    };
    let next = if channel.next.is_empty() { String::new() } else { format!("; {}", safe(&channel.next)) };
    format!("channel {} {}: {shares}{next}", short(channel.channel), state(channel.state))
}
