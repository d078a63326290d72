//! The task that talks to the chain: it runs the guard, so that the daemon never waits for an RPC
//! endpoint, and writes transactions to disk before they are sent.

use thunder_chain::{ChainClient, ChainId, DriverAction, GuardDriver, Report, Request, Sent};
use thunder_engine::ChainCommand;
use thunder_protocol::B256;
use tokio::sync::mpsc;

use crate::args::Config;
use crate::keys::SecretKey;
use crate::store::{StorageError, TransactionLog};

/// What the daemon asks of the task.
#[derive(Debug)]
pub(crate) enum ChainRequest {
    /// Use this wallet from now on.
    Wallet(SecretKey),
    /// What the engine orders.
    Command(ChainCommand),
}

/// The task's state.
pub(crate) struct ChainTask {
    driver: GuardDriver,
    config: Config,
    /// Where transactions are written.
    log: Box<dyn TransactionLog>,
    requests: mpsc::UnboundedReceiver<ChainRequest>,
    reports: mpsc::Sender<Report>,
    wallet: Option<SecretKey>,
    /// Block 0 of the chain in use.
    genesis: Option<B256>,
}

/// The daemon is gone.
struct Stopped;

impl ChainTask {
    /// A task for this chain.
    pub(crate) fn new(
        chain: &ChainClient,
        config: Config,
        log: Box<dyn TransactionLog>,
        requests: mpsc::UnboundedReceiver<ChainRequest>,
        reports: mpsc::Sender<Report>,
    ) -> Result<Self, StorageError> {
        let driver = GuardDriver::new(chain, &config.rpc, log.identity()?);
        Ok(Self { driver, config, log, requests, reports, wallet: None, genesis: None })
    }

    /// Runs until the daemon is gone.
    pub(crate) async fn run(mut self) {
        while self.step().await.is_ok() {}
    }

    async fn step(&mut self) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            request = self.requests.recv() => self.handle(request.ok_or(Stopped)?),
            step = self.driver.next() => match step {
                DriverAction::Save(sent) => self.save(&sent),
                DriverAction::Forget(sent) => self.forget(&sent),
                DriverAction::Report(report) => {
                    if let Report::Chain(chain) = &report {
                        self.start_chain(chain);
                    }
                    #[cfg(feature = "failpoints")]
                    let was_sent = matches!(report, Report::Taken { .. });
                    failpoint!("broadcast-after", was_sent);
                    self.reports.send(report).await.map_err(|_| Stopped)?;
                }
            },
        }
        Ok(())
    }

    fn handle(&mut self, request: ChainRequest) {
        match request {
            ChainRequest::Wallet(key) => {
                self.wallet = Some(key);
                self.use_wallet();
            }
            ChainRequest::Command(command) => self.carry_out(command),
        }
    }

    fn carry_out(&mut self, command: ChainCommand) {
        match command {
            ChainCommand::WatchAll(watches) => self.driver.watch_all(&watches),
            ChainCommand::Watch(watch) => self.driver.watch(&watch),
            ChainCommand::SetStake(channel, stake) => self.driver.set_stake(channel, stake),
            ChainCommand::Unwatch(channel) => self.driver.unwatch(channel),
            ChainCommand::CaughtUp => self.driver.release(),
            ChainCommand::Submit(submission) => {
                failpoint!("submit-before");
                let (terms, call) = *submission;
                self.driver.submit(Request { terms, call });
            }
        }
    }

    /// Makes the database one for this chain; what belongs to another stays in it, out of use.
    fn start_chain(&mut self, chain: &ChainId) {
        let mut write = || -> Result<(), StorageError> {
            if self.log.identity()? != Some(*chain) {
                self.log.set_identity(chain)?;
            }
            Ok(())
        };
        if let Err(error) = write() {
            tracing::error!(%error, "can't note which chain is used");
        }
        self.genesis = Some(chain.genesis);
        self.use_wallet();
    }

    fn use_wallet(&mut self) {
        let (Some(key), Some(chain)) = (&self.wallet, self.driver.chain()) else { return };
        let sent = self.log.transactions(chain.genesis).unwrap_or_else(|error| {
            tracing::error!(%error, "can't read the transactions that are under way");
            Vec::new()
        });
        let confirmations = self.config.confirmations_on(chain.chain_id);
        if let Err(error) = self.driver.set_account(key.expose(), confirmations, sent) {
            tracing::error!(%error, "no transaction can be made");
        }
    }

    fn save(&mut self, sent: &Sent) {
        let result = match self.genesis {
            Some(genesis) => self.log.put_transaction(genesis, sent).map_err(|error| error.to_string()),
            None => Err("no chain is in use".to_owned()),
        };
        if let Err(error) = &result {
            tracing::error!(channel = %sent.channel, kind = ?sent.kind, error, "can't write a transaction to disk");
        }
        self.driver.saved(sent, result);
    }

    fn forget(&mut self, sent: &Sent) {
        let Some(genesis) = self.genesis else { return };
        if let Err(error) = self.log.remove_transaction(genesis, sent) {
            // It is looked at again after a restart and found mined or useless; nothing is lost.
            tracing::warn!(%error, "can't forget a transaction");
        }
    }
}
