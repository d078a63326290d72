//! The task that talks to the chain: it runs the guard, and writes transactions to disk before they are sent.
//!
//! So the daemon never waits for an RPC endpoint.

use thunder_chain::{CallRequest, ChainClient, ChainIdentity, DriverAction, GuardDriver, Report, SignedCall};
use thunder_engine::ChainCommand;
use thunder_protocol::B256;
use tokio::sync::mpsc;

use crate::args::Config;
use crate::keys::SecretKey;
use crate::store::{StorageError, TransactionLog, UnreadableTransaction};

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
                    match &report {
                        Report::Chain(chain) => self.start_chain(chain),
                        Report::ChainConfirmed(chain) => self.note_chain(chain),
                        _ => {}
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
                self.driver.submit(CallRequest { terms, call });
            }
        }
    }

    fn start_chain(&mut self, chain: &ChainIdentity) {
        self.genesis = Some(chain.genesis);
        self.use_wallet();
    }

    /// Makes the database one for this chain; what belongs to another stays in it, out of use.
    fn note_chain(&mut self, chain: &ChainIdentity) {
        let mut write = || -> Result<(), StorageError> {
            if self.log.identity()? != Some(*chain) {
                self.log.set_identity(chain)?;
            }
            Ok(())
        };
        if let Err(error) = write() {
            tracing::error!(%error, "can't note which chain is used");
        }
    }

    fn use_wallet(&mut self) {
        let (Some(key), Some(chain)) = (&self.wallet, self.driver.chain()) else { return };
        let sent = under_way(&*self.log, chain.genesis);
        let confirmations = self.config.confirmations_on(chain.chain_id);
        if let Err(error) = self.driver.set_account(key.expose(), confirmations, sent) {
            tracing::error!(%error, "no transaction can be made");
        }
    }

    fn save(&mut self, sent: &SignedCall) {
        let result = match self.genesis {
            Some(genesis) => self.log.put_transaction(genesis, sent).map_err(|error| error.to_string()),
            None => Err("no chain is in use".to_owned()),
        };
        if let Err(error) = &result {
            tracing::error!(channel = %sent.channel, kind = ?sent.kind, error, "can't write a transaction to disk");
        }
        self.driver.saved(sent, result);
    }

    fn forget(&mut self, sent: &SignedCall) {
        let Some(genesis) = self.genesis else { return };
        if let Err(error) = self.log.remove_transaction(genesis, sent) {
            // It is looked at again after a restart and found mined or useless; nothing is lost.
            tracing::warn!(%error, "can't forget a transaction");
        }
    }
}

/// The transactions of a chain that can be read. The guard makes a challenge that is due anew; what else is lost with a
/// record, the user has to look after.
fn under_way(log: &dyn TransactionLog, genesis: B256) -> Vec<SignedCall> {
    let records = log.transactions(genesis).unwrap_or_else(|error| {
        tracing::error!(%error, "can't read the transactions that are under way");
        Vec::new()
    });
    let readable = |record: Result<SignedCall, UnreadableTransaction>| match record {
        Ok(sent) => Some(sent),
        Err(UnreadableTransaction { channel, kind, error }) => {
            tracing::error!(
                channel,
                kind,
                error,
                "the record of a transaction that is under way can't be read: check the disk, and see infos; if the \
                 transaction did not come onto the chain, give its command again"
            );
            None
        }
    };
    records.into_iter().filter_map(readable).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use thunder_protocol::Address;
    use thunder_protocol::onchain::CallKind;

    use super::*;
    use crate::store::sqlite::SqliteStore;

    const GENESIS: B256 = B256::repeat_byte(9);

    fn sent(channel: u8, kind: CallKind) -> SignedCall {
        let channel = Address::repeat_byte(channel);
        let (data, attempts) = (vec![1], Vec::new());
        let (mined_at, nonce_used_at) = (None, None);
        SignedCall {
            channel,
            kind,
            to: channel,
            data,
            gas: 1,
            nonce: 2,
            attempts,
            sent_at: 3,
            mined_at,
            nonce_used_at,
        }
    }

    /// What the log has been told.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The transactions that are taken up, and the log of that.
    fn taken_up(store: &SqliteStore) -> (Vec<SignedCall>, String) {
        let written = Written::default();
        let writer = written.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let sent = tracing::subscriber::with_default(log, || under_way(store, GENESIS));
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        (sent, text)
    }

    #[test]
    fn g4_a_damaged_record_of_a_transaction_hides_no_other() {
        for damage in [
            "UPDATE transactions SET record = x'a1ff' WHERE kind = 'Close'",
            "UPDATE transactions SET record = 'text' WHERE kind = 'Close'",
            "UPDATE transactions SET record = (SELECT record FROM transactions WHERE kind = 'Fund') WHERE kind = 'Close'",
        ] {
            let mut store = SqliteStore::in_memory();
            let kept = [sent(1, CallKind::Challenge), sent(3, CallKind::Fund)];
            for sent in [&kept[0], &sent(2, CallKind::Close), &kept[1]] {
                store.put_transaction(GENESIS, sent).unwrap();
            }
            store.execute(damage);
            let (found, log) = taken_up(&store);
            assert_eq!(found, kept, "{damage}");
            let lines: Vec<_> = log.lines().collect();
            let [line] = lines[..] else { panic!("{damage}: {log}") };
            let channel = Address::repeat_byte(2).to_string();
            assert!(line.contains("ERROR") && line.contains(&channel) && line.contains("Close"), "{line}");
        }
    }

    #[test]
    fn a_channel_that_is_damaged_itself_is_named_as_it_is() {
        let mut store = SqliteStore::in_memory();
        store.put_transaction(GENESIS, &sent(1, CallKind::Close)).unwrap();
        store.execute("UPDATE transactions SET channel = x'0102', kind = x'ff'");
        let (found, log) = taken_up(&store);
        assert_eq!((found, log.lines().count()), (vec![], 1), "{log}");
        assert!(log.contains("0x0102"), "{log}");
    }
}
