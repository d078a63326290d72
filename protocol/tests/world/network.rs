//! The network between the two nodes: one session at a time. Within a session messages can come
//! late, twice, and in another order; a message may also be lost, which ends the session, because
//! the node that sent it notices. What was on the way when a session ends is gone.

use thunder_protocol::Role;
use thunder_protocol::wire::Message;

use crate::random::Random;

/// How far a message can be overtaken.
const WINDOW: usize = 3;

#[derive(Default)]
pub(crate) struct Network {
    to_a: Vec<Message>,
    to_b: Vec<Message>,
    is_open: bool,
}

impl Network {
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) fn open(&mut self) {
        self.close();
        self.is_open = true;
    }

    pub(crate) fn close(&mut self) {
        *self = Self::default();
    }

    fn queue(&mut self, to: Role) -> &mut Vec<Message> {
        match to {
            Role::A => &mut self.to_a,
            Role::B => &mut self.to_b,
        }
    }

    pub(crate) fn send(&mut self, to: Role, message: Message) {
        if self.is_open {
            self.queue(to).push(message);
        }
    }

    /// The next message for `to`: mostly the oldest, now and then one that overtakes it.
    pub(crate) fn next(&mut self, to: Role, random: &mut Random) -> Option<Message> {
        let queue = self.queue(to);
        let window = if random.one_in(4) { WINDOW.min(queue.len()) } else { 1 };
        let at = random.below(window.max(1) as u64) as usize;
        if at >= queue.len() {
            return None;
        }
        if random.one_in(10) { queue.get(at).cloned() } else { Some(queue.remove(at)) }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.to_a.is_empty() && self.to_b.is_empty()
    }
}
