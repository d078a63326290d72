//! `impl Daemon`: notices of the engine, turned into recorded events, lines of the log and counters.

use thunder_api::{Numbered, PeerChange, Warning, WatchEvent};
use thunder_engine::{NewEvent, Notice};
use thunder_protocol::channel::Direction;
use thunder_protocol::{Address, Amount};

use super::{Daemon, now_ms};

impl Daemon {
    /// The event that is recorded for a notice; `None` for a payment, which is one already.
    pub(super) fn event(&self, notice: &Notice) -> Option<NewEvent> {
        let time = now_ms();
        let (event, is_kept) = match notice {
            Notice::Payment { .. } => return None,
            Notice::State { channel } => {
                let entry = self.engine.channels().get(channel)?;
                (WatchEvent::Channel(numbered(time, self.channel_info(entry))), true)
            }
            Notice::Warning { channel, message } => {
                let warning = Warning { message: message.clone(), channel: channel.map(Into::into) };
                (WatchEvent::Warning(numbered(time, warning)), false)
            }
            Notice::Connected(peer) => {
                let change = PeerChange { connected: true, peer: peer.clone() };
                (WatchEvent::Peer(numbered(time, change)), false)
            }
            Notice::Disconnected(peer) => {
                let change = PeerChange { connected: false, peer: peer.clone() };
                (WatchEvent::Peer(numbered(time, change)), false)
            }
            Notice::Chain => (WatchEvent::Chain(numbered(time, self.chain_info())), false),
        };
        Some(NewEvent { time, is_kept, body: serde_json::to_string(&event).ok()? })
    }

    /// Logs and counts the payments among what has happened, now that it is on the disk.
    pub(super) fn count_payments(&self, notices: &[Notice]) {
        let mut batch: Option<BatchTotal> = None;
        for notice in notices {
            let Notice::Payment { channel, direction, payment, nonce } = notice else { continue };
            match direction {
                Direction::In => self.metrics.received.increment(1),
                Direction::Out => self.metrics.sent.increment(1),
            }
            tracing::debug!(%channel, ?direction, amount = %payment.amount, id = %payment.id, %nonce, "payment");
            match &mut batch {
                Some(total) if (total.channel, total.direction) == (*channel, *direction) => {
                    total.count += 1;
                    total.amount = total.amount.checked_add(payment.amount).unwrap_or(Amount::MAX);
                }
                _ => {
                    batch.iter().for_each(BatchTotal::log);
                    batch = Some(BatchTotal {
                        channel: *channel,
                        direction: *direction,
                        count: 1,
                        amount: payment.amount,
                    });
                }
            }
        }
        batch.iter().for_each(BatchTotal::log);
    }
}

const fn numbered<T>(time: u64, of: T) -> Numbered<T> {
    Numbered { seq: 0, time, of }
}

/// Payments of a batch over one channel, one way.
struct BatchTotal {
    channel: Address,
    direction: Direction,
    count: u64,
    amount: Amount,
}

impl BatchTotal {
    /// One line, however many payments a batch has.
    fn log(&self) {
        let Self { channel, direction, count, amount } = self;
        match direction {
            Direction::In => tracing::info!(%channel, count, %amount, "received"),
            Direction::Out => tracing::info!(%channel, count, %amount, "paid"),
        }
    }
}
