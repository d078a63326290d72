//! Carries the guard's questions to the endpoints, and their answers back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use thunder_guard::transactions::{CantSign, Request, Sent};
use thunder_guard::{Action, AskError, ChainId, Guard, Millis, Report, Settings, Stake, Ticket, Watch};
use thunder_protocol::Address;
use zeroize::Zeroizing;

use crate::client::Chain;
use crate::clock::now_ms;
use crate::contracts::states_code;
use crate::transport::{RpcUrls, Transport};

type Answered = Pin<Box<dyn Future<Output = (Ticket, Result<String, AskError>)>>>;

/// The guard and its endpoints.
pub struct Driver {
    guard: Guard,
    transports: Arc<[Transport]>,
    asked: FuturesUnordered<Answered>,
    began: Millis,
}

/// What its owner has to do.
#[derive(Debug)]
pub enum Step {
    /// Write this to disk, and say so with [`Driver::saved`].
    Save(Sent),
    /// The disk need not keep this any more.
    Forget(Sent),
    /// Something to know.
    Report(Report),
}

impl Driver {
    /// A guard for the endpoints of `chain`. `known` is the chain that was used last.
    pub fn new(chain: &Chain, urls: &RpcUrls, known: Option<ChainId>) -> Self {
        let settings = Settings {
            endpoints: urls.labels(),
            contracts: chain.contracts(),
            states_code: states_code(),
            chain: known,
        };
        Self {
            guard: Guard::new(settings),
            transports: chain.transports(),
            asked: FuturesUnordered::new(),
            began: now_ms(),
        }
    }

    fn now(&self) -> Millis {
        now_ms().saturating_sub(self.began)
    }

    /// The next thing for the owner to do. May be dropped while it waits.
    pub async fn next(&mut self) -> Step {
        loop {
            match self.guard.next_action(self.now()) {
                Some(Action::Ask { endpoint, ticket, question, patience }) => {
                    let transports = Arc::clone(&self.transports);
                    self.asked.push(Box::pin(async move {
                        let Some(transport) = transports.get(endpoint) else {
                            return (ticket, Err(AskError::Unreachable("there is no such endpoint".into())));
                        };
                        (ticket, transport.ask(&question, Duration::from_millis(patience)).await)
                    }));
                }
                Some(Action::Save(sent)) => return Step::Save(sent),
                Some(Action::Forget(sent)) => return Step::Forget(sent),
                Some(Action::Report(report)) => return Step::Report(report),
                None => self.wait().await,
            }
        }
    }

    /// Waits for an answer, or for the time at which there is something to do.
    async fn wait(&mut self) {
        let now = self.now();
        let pause = self.guard.wake_at(now).saturating_sub(now);
        tokio::select! {
            Some((ticket, result)) = self.asked.next(), if !self.asked.is_empty() => {
                let now = self.now();
                self.guard.answered(ticket, result.as_deref().map_err(Clone::clone), now);
            }
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
        }
    }

    /// The chain in use.
    pub const fn chain(&self) -> Option<ChainId> {
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
        sent: Vec<Sent>,
    ) -> Result<(), CantSign> {
        self.guard.set_account(secret, confirmations, sent)
    }

    /// See [`Guard::watch_all`].
    pub fn watch_all(&mut self, watches: &[Watch]) {
        self.guard.watch_all(watches);
    }

    /// See [`Guard::watch`].
    pub fn watch(&mut self, watch: &Watch) {
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
    pub fn submit(&mut self, request: Request) {
        self.guard.submit(request, self.now());
    }

    /// See [`Guard::release`].
    pub const fn release(&mut self) {
        self.guard.release();
    }

    /// See [`Guard::saved`].
    pub fn saved(&mut self, sent: &Sent, result: Result<(), String>) {
        self.guard.saved(sent, result);
    }
}
