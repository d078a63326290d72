//! `EventFeed`: the events of the store, read at any reader's pace, for `watch`, and settled payments, for `history`.

use std::sync::Arc;
use std::time::Duration;

use thunder_api::{ApiError, ApiResult, Code, Events, PaymentInfo, PaymentStatus, WatchEvent};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::daemon::payment_info;
use crate::store::{EventReader, PaymentQuery, ProposedPayments, SettledPayment, StorageError, StoredEvent};

/// How many events one answer has at most.
pub const MAX_EVENTS: usize = 1000;
/// How long a reader waits for an event before it is told that there is none.
const LONG_POLL: Duration = Duration::from_secs(20);

/// The sequence of events. Clones share it.
#[derive(Clone)]
pub struct EventFeed {
    reader: Arc<dyn EventReader>,
    /// The number of the newest event that is on the disk.
    newest: watch::Receiver<u64>,
}

impl EventFeed {
    /// The events that `reader` reads, of which the newest has the number in `newest`.
    pub fn new(reader: impl EventReader + 'static, newest: watch::Receiver<u64>) -> Self {
        Self { reader: Arc::new(reader), newest }
    }

    /// The events after the number `after`; waits for up to 20 seconds if there are none. Without a number it says which
    /// one is the newest.
    pub async fn after(&self, after: Option<u64>) -> ApiResult<Events> {
        match after {
            None => Ok(Events { next: self.newest(), events: Vec::new() }),
            Some(after) => self.wait_after(after, LONG_POLL).await,
        }
    }

    async fn wait_after(&self, mut after: u64, limit: Duration) -> ApiResult<Events> {
        let deadline = Instant::now() + limit;
        let mut news = self.newest.clone();
        loop {
            let newest = *news.borrow_and_update();
            self.require_event(after, newest).await?;
            if newest > after {
                let stored = self.read(move |reader| reader.events(after, MAX_EVENTS)).await?;
                // Of some events only the newest are kept.
                after = stored.last().and_then(StoredEvent::seq).unwrap_or(newest);
                let events: Vec<_> = stored.into_iter().filter_map(event).collect();
                if !events.is_empty() {
                    return Ok(Events { next: after, events });
                }
            }
            // The daemon is gone when the node stops.
            if !matches!(timeout_at(deadline, news.changed()).await, Ok(Ok(()))) {
                return Ok(Events { next: after, events: Vec::new() });
            }
        }
    }

    /// Refuses a number after which events can't be told without a gap.
    async fn require_event(&self, after: u64, newest: u64) -> ApiResult<()> {
        if after > newest {
            let message = format!("there is no event {after} yet, the newest is {newest}");
            let hint =
                "the number is another node's, or of a database that is there no more; start with history";
            return Err(ApiError::new(Code::UnknownEvent, message, hint));
        }
        let pruned = self.read(|reader| reader.pruned()).await?;
        if after < pruned {
            let message = format!("the events up to {pruned} are pruned");
            let hint = format!("go on with --after {pruned}; what was paid before is in the receipts");
            return Err(ApiError::new(Code::UnknownEvent, message, hint));
        }
        Ok(())
    }

    /// The number of the newest event.
    pub fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Payments that are settled, newest first.
    pub async fn payments(&self, query: PaymentQuery) -> ApiResult<Vec<SettledPayment>> {
        self.read(move |reader| reader.payments(&query)).await
    }

    /// The payments of own proposals that are not answered, newest first.
    pub async fn proposed(&self, proposals: Vec<ProposedPayments>) -> ApiResult<Vec<SettledPayment>> {
        self.read(move |reader| reader.proposed(&proposals)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn EventReader) -> Result<T, StorageError> + Send + 'static,
    ) -> ApiResult<T> {
        let reader = Arc::clone(&self.reader);
        let result = tokio::task::spawn_blocking(move || read(&*reader)).await;
        result.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))
    }
}

/// An event for those who watch; `None` if the disk has something else.
fn event(stored: StoredEvent) -> Option<WatchEvent> {
    match stored {
        StoredEvent::Payment(settled) => Some(WatchEvent::Payment(settled_payment(settled))),
        StoredEvent::Other(seq, body) => match serde_json::from_str::<WatchEvent>(&body) {
            Ok(event) => Some(event.numbered(seq)),
            Err(error) => {
                tracing::warn!(seq, %error, "an event on the disk can't be read");
                None
            }
        },
    }
}

/// A payment as it was settled.
fn settled_payment(settled: SettledPayment) -> PaymentInfo {
    let status = match settled.payment.nonce {
        Some(_) => PaymentStatus::Done,
        None => PaymentStatus::Failed,
    };
    payment_info(settled, status)
}

fn unreadable(error: &dyn std::fmt::Display) -> ApiError {
    let message = format!("the events can't be read: {error}");
    ApiError::new(Code::Internal, message, "check the disk and restart thunderd")
}
