//! What watchers, the log and the metrics learn of what has happened.

use thunder_api::WatchEvent;
use thunder_engine::Notice;
use thunder_protocol::channel::Direction;

use super::{Daemon, channel_info, now_ms};

impl Daemon {
    pub(super) fn announce(&mut self, notice: Notice) {
        match notice {
            Notice::Payment { channel, direction, payment, nonce } => {
                tracing::debug!(%channel, ?direction, amount = %payment.amount, id = %payment.id, %nonce, "payment");
                match direction {
                    Direction::In => self.metrics.received.increment(1),
                    Direction::Out => self.metrics.sent.increment(1),
                }
                if self.events.is_watched() {
                    let info = channel_info::payment(channel, direction, payment, Some(nonce), now_ms());
                    self.events.push(WatchEvent::Payment(info));
                }
            }
            Notice::State { channel } => {
                if let Some(entry) = self.engine.channels().get(&channel) {
                    self.events.push(WatchEvent::Channel(self.channel_info(entry)));
                }
            }
            Notice::Warning { channel, message } => {
                self.events.push(WatchEvent::Warning { message, channel: channel.map(Into::into) });
            }
            Notice::Connected(peer) => self.events.push(WatchEvent::Connected(peer)),
            Notice::Disconnected(peer) => self.events.push(WatchEvent::Disconnected(peer)),
            Notice::Chain => self.events.push(WatchEvent::Chain(self.chain_info())),
        }
    }
}
