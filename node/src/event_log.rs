//! What has happened, for `watch`: a bounded log that readers follow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thunder_api::{Events, WatchEvent};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How many events are kept for a reader that is slow.
const KEPT: usize = 4096;
/// How long a reader that has asked counts as watching.
const WATCHED_FOR: Duration = Duration::from_secs(60);
/// How long a reader waits for an event before it is told that there is none.
const LONG_POLL: Duration = Duration::from_secs(20);

/// The log. Clones share it.
#[derive(Clone, Default)]
pub struct EventLog {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    news: Notify,
}

#[derive(Default)]
struct Log {
    events: VecDeque<WatchEvent>,
    /// The number of the first event that is kept; they count from 1.
    first: u64,
    watched_until: Option<Instant>,
}

impl EventLog {
    /// Adds an event.
    pub fn push(&self, event: WatchEvent) {
        let mut log = self.lock();
        log.events.push_back(event);
        if log.events.len() > KEPT {
            log.events.pop_front();
            log.first += 1;
        }
        drop(log);
        self.shared.news.notify_waiters();
    }

    /// Whether a reader has asked lately. Without one, events that come by the thousand are not made.
    pub fn is_watched(&self) -> bool {
        self.lock().watched_until.is_some_and(|until| until > Instant::now())
    }

    /// Returns the events after the number `after`; with 0 those from now on. Waits for up to 20 seconds if there are none.
    pub async fn after(&self, after: u64) -> Events {
        self.wait_after(after, LONG_POLL).await
    }

    async fn wait_after(&self, after: u64, limit: Duration) -> Events {
        let deadline = Instant::now() + limit;
        let mut after = if after == 0 { self.lock().newest() } else { after };
        loop {
            // Registered before looking, so that no news is missed in between.
            let news = self.shared.news.notified();
            let found = self.lock().read(&mut after);
            if !found.is_empty() || timeout_at(deadline, news).await.is_err() {
                return Events { next: after, events: found };
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Log> {
        // Nothing that holds the lock can leave the log half changed.
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn newest(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn read(&mut self, after: &mut u64) -> Vec<WatchEvent> {
        self.watched_until = Some(Instant::now() + WATCHED_FOR);
        let newest = self.newest();
        let missing = newest.saturating_sub((*after).max(self.first));
        // A number from an earlier life of the node is ahead of everything: start anew.
        *after = newest;
        let skip = self.events.len().saturating_sub(usize::try_from(missing).unwrap_or(0));
        self.events.iter().skip(skip).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(message: &str) -> WatchEvent {
        WatchEvent::Warning { message: message.into(), channel: None }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_reader_gets_what_came_since() {
        let log = EventLog::default();
        log.push(warning("before"));
        let nothing = log.wait_after(0, Duration::ZERO).await;
        assert!(nothing.events.is_empty());
        log.push(warning("one"));
        log.push(warning("two"));
        let both = log.wait_after(nothing.next, Duration::ZERO).await;
        assert_eq!(both.events, [warning("one"), warning("two")]);
        assert!(log.wait_after(both.next, Duration::ZERO).await.events.is_empty());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_waiting_reader_is_woken() {
        let log = EventLog::default();
        let (events, ()) = tokio::join!(log.after(0), async {
            tokio::task::yield_now().await;
            log.push(warning("now"));
        });
        assert_eq!(events.events, [warning("now")]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_log_is_bounded() {
        let log = EventLog::default();
        let start = log.wait_after(0, Duration::ZERO).await.next;
        for i in 0..KEPT + 10 {
            log.push(warning(&i.to_string()));
        }
        let kept = log.wait_after(start.max(1), Duration::ZERO).await;
        assert_eq!(kept.events.len(), KEPT);
        assert_eq!(kept.events[0], warning("10"));
    }
}
