//! `GuardDriver`: puts the guard's questions to the endpoints, and gives it their answers and the time.
//!
//! It leaves its owner what is not I/O with endpoints: writing transactions to disk, and reports.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use thunder_guard::transactions::{CallRequest, CantSign, SignedCall};
use thunder_guard::{
    Action, AskError, ChainIdentity, Guard, GuardConfig, Millis, Report, Stake, Ticket, WatchRequest,
};
use thunder_protocol::Address;
use zeroize::Zeroizing;

use crate::client::ChainClient;
use crate::contracts::states_code;
use crate::transport::{RpcUrls, Transport};

type PendingAnswer = Pin<Box<dyn Future<Output = (Ticket, Result<String, AskError>)>>>;

/// The guard together with its endpoints.
pub struct GuardDriver {
    guard: Guard,
    transports: Arc<[Transport]>,
    in_flight: FuturesUnordered<PendingAnswer>,
    started: Millis,
}

/// What the driver's owner has to do.
#[derive(Debug)]
pub enum DriverAction {
    /// Write this transaction to disk, and report the result with [`GuardDriver::saved`].
    Save(SignedCall),
    /// Delete this transaction from disk: it is not needed any more.
    Forget(SignedCall),
    /// What the guard tells the node.
    Report(Report),
}

impl GuardDriver {
    /// A guard for the endpoints of `chain`. `known` is the chain that the node used before, if it has used one.
    pub fn new(chain: &ChainClient, urls: &RpcUrls, known: Option<ChainIdentity>) -> Self {
        let settings = GuardConfig {
            endpoints: urls.labels(),
            contracts: chain.contracts(),
            states_code: states_code(),
            chain: known,
        };
        Self {
            guard: Guard::new(settings),
            transports: chain.transports(),
            in_flight: FuturesUnordered::new(),
            started: now_ms(),
        }
    }

    fn now(&self) -> Millis {
        now_ms().saturating_sub(self.started)
    }

    /// Returns the next action for the owner. Cancel-safe.
    pub async fn next(&mut self) -> DriverAction {
        loop {
            match self.guard.next_action(self.now()) {
                Some(Action::Ask { endpoint, ticket, question, timeout }) => {
                    let transports = Arc::clone(&self.transports);
                    self.in_flight.push(Box::pin(async move {
                        let Some(transport) = transports.get(endpoint) else {
                            return (ticket, Err(AskError::Unreachable("there is no such endpoint".into())));
                        };
                        (ticket, transport.ask(&question, Duration::from_millis(timeout)).await)
                    }));
                }
                Some(Action::Save(sent)) => return DriverAction::Save(sent),
                Some(Action::Forget(sent)) => return DriverAction::Forget(sent),
                Some(Action::Report(report)) => return DriverAction::Report(report),
                None => self.wait().await,
            }
        }
    }

    /// Waits for an answer, or for the time at which there is something to do.
    async fn wait(&mut self) {
        let now = self.now();
        let pause = self.guard.wake_at(now).saturating_sub(now);
        tokio::select! {
            Some((ticket, result)) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                let now = self.now();
                self.guard.answered(ticket, result.as_deref().map_err(Clone::clone), now);
            }
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
        }
    }

    /// The chain in use; `None` until the guard has agreed on one.
    pub const fn chain(&self) -> Option<ChainIdentity> {
        self.guard.chain()
    }

    /// See [`Guard::set_account`].
    ///
    /// # Errors
    ///
    /// If the key can't sign.
    pub fn set_account(
        &mut self,
        secret: &Zeroizing<[u8; 32]>,
        confirmations: u64,
        sent: Vec<SignedCall>,
    ) -> Result<(), CantSign> {
        self.guard.set_account(secret, confirmations, sent)
    }

    /// See [`Guard::watch_all`].
    pub fn watch_all(&mut self, watches: &[WatchRequest]) {
        self.guard.watch_all(watches);
    }

    /// See [`Guard::watch`].
    pub fn watch(&mut self, watch: &WatchRequest) {
        self.guard.watch(watch);
    }

    /// See [`Guard::unwatch`].
    pub fn unwatch(&mut self, channel: Address) {
        self.guard.unwatch(channel);
    }

    /// See [`Guard::set_stake`].
    pub fn set_stake(&mut self, channel: Address, stake: Stake) {
        self.guard.set_stake(channel, stake);
    }

    /// See [`Guard::submit`].
    pub fn submit(&mut self, request: CallRequest) {
        self.guard.submit(request, self.now());
    }

    /// See [`Guard::release`].
    pub const fn release(&mut self) {
        self.guard.release();
    }

    /// See [`Guard::saved`].
    pub fn saved(&mut self, sent: &SignedCall, result: Result<(), String>) {
        self.guard.saved(sent, result);
    }
}

/// Returns the milliseconds since 1970 by a clock that never goes back. When the system's clock is set back, this one
/// goes on, so that no timer stalls; and unlike [`Instant`] it counts the time for which the machine was suspended, so
/// that what was read before is not taken for fresh (guard rule G8).
pub fn now_ms() -> Millis {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    /// The largest difference so far between the system's clock and the time since the start.
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    let millis = |elapsed: Duration| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let running = millis(BEGUN.get_or_init(Instant::now).elapsed());
    let clock = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    let ahead = clock.saturating_sub(running);
    running.saturating_add(AHEAD.fetch_max(ahead, Ordering::Relaxed).max(ahead))
}
