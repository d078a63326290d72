//! `Handlers`: the local socket, with a handler for every call of the API (what `history` does is in `history.rs`).
//!
//! Handlers ask the chain and the event reader, and leave what changes the node's state to the daemon, with one
//! message as the last thing that they do; so nothing is left half done when a handler is dropped, because its caller
//! has waited long enough. What takes several steps is carried out all the same (`carried_out`): an import, a
//! closing, a restore; and a backup, whose file the handler itself writes. `prune` sends a message for each part that
//! is deleted, and may be dropped between any two.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use interprocess::local_socket::tokio::prelude::*;
use tarpc::ServerError;
use tarpc::context::Context;
use tarpc::server::{BaseChannel, Channel as _, Serve};
use thunder_api::{
    ApiError, ApiResult, BackedUp, BackupRequest, Balance, CloseRequest, ClosingStarted, Code, Events,
    ExportedReceipts, FundRequest, History, HistoryRequest, ImportReceiptRequest, Infos, OpenRequest, Paid,
    PaidIn, PaidOut, PayManyRequest, PayRequest, Peer, Pruned, ReceiptImported, RestoreRequest, Restored,
    Secret, Selector, Thunder, WalletImported, WalletSource, local,
};
use thunder_chain::keys::{decrypt_keyfile, from_phrase_with, new_phrase};
use thunder_chain::{ChainClient, ChainError};
use thunder_protocol::onchain::CallKind;
use thunder_protocol::{Address, Amount};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::backup::{self, BackupError};
use crate::daemon::{UserRequest, backup_error, wallet_error};
use crate::decimal::decimal;
use crate::event_feed::EventFeed;
use crate::keys::{SecretKey, WalletError, WalletFile};
use crate::p2p::PeerAddress;
use crate::supervise::caught;
use thunder_engine::{SettleCommand, deposit_of};

/// How many calls may be under way for one client.
const MAX_IN_FLIGHT: usize = 1 << 16;

/// How long reading the newest blocks is waited for.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// The handlers of the API's calls, with what they need.
#[derive(Clone)]
pub struct Handlers {
    requests: mpsc::Sender<UserRequest>,
    chain: ChainClient,
    pub(crate) events: EventFeed,
    wallet_file: Arc<WalletFile>,
    directory: PathBuf,
    /// One backup or restore at a time: each takes as much room as the database.
    copying: Arc<Semaphore>,
    /// Dropped with the last client.
    _serving: mpsc::Sender<()>,
}

impl Handlers {
    /// Handlers that send what users ask for to `requests`. `serving` is closed when they and their clients are gone.
    pub fn new(
        requests: mpsc::Sender<UserRequest>,
        chain: ChainClient,
        events: EventFeed,
        wallet_file: WalletFile,
        directory: PathBuf,
        serving: mpsc::Sender<()>,
    ) -> Self {
        let wallet_file = Arc::new(wallet_file);
        let copying = Arc::new(Semaphore::new(1));
        Self { requests, chain, events, wallet_file, directory, copying, _serving: serving }
    }

    /// Serves whoever connects, until dropped.
    pub async fn serve(self, listener: interprocess::local_socket::tokio::Listener) {
        loop {
            match listener.accept().await {
                Ok(stream) if !local::is_permitted(&stream) => {
                    tracing::warn!("another user of this machine has tried to use the local socket");
                    drop(stream);
                }
                Ok(stream) => {
                    let config = tarpc::server::Config { pending_response_buffer: MAX_IN_FLIGHT };
                    let channel = BaseChannel::new(config, local::transport(stream));
                    let requests = channel.execute(CatchPanic(self.clone().serve_calls()));
                    tokio::task::spawn_local(requests.for_each(|handler| async {
                        tokio::task::spawn_local(handler);
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "a client could not connect");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// The right to copy, for one at a time.
    fn may_copy(&self) -> ApiResult<OwnedSemaphorePermit> {
        Arc::clone(&self.copying).try_acquire_owned().map_err(|_| {
            let message = "a backup or a restore is under way";
            ApiError::new(Code::UnderWay, message, "try again when it is done")
        })
    }

    fn serve_calls(self) -> thunder_api::ServeThunder<Self> {
        Thunder::serve(self)
    }

    /// Sends a request to the daemon and waits for the reply.
    pub(crate) async fn ask<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<ApiResult<T>>) -> UserRequest,
    ) -> ApiResult<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// THD in a wallet, in base units.
    async fn thd_of(&self, wallet: Address) -> ApiResult<u128> {
        self.chain.thd_balance(wallet).await.map_err(|error| chain_error(&error))
    }

    async fn eth_of(&self, wallet: Address) -> ApiResult<u128> {
        self.chain.eth_balance(wallet).await.map_err(|error| chain_error(&error))
    }

    /// Makes sure that the wallet can pay in, before anybody is asked for anything.
    async fn require_money(&self, wallet: Address, amount: Amount, call: CallKind) -> ApiResult<()> {
        let thd = self.thd_of(wallet).await?;
        if thd < amount.base_units() {
            let message = format!("{amount} THD are needed and the wallet {wallet} has {}", decimal(thd));
            let missing = decimal(amount.base_units().saturating_sub(thd));
            let hint = format!("on a local testnet: thunder-deploy thd --to {wallet} --amount {missing}");
            return Err(ApiError::new(Code::InsufficientThd, message, hint));
        }
        self.require_gas(wallet, call).await
    }

    /// Makes sure that the wallet can pay in beside the openings that are under way.
    async fn require_free_thd(&self, wallet: Address, request: &OpenRequest) -> ApiResult<()> {
        // An opening that is mined has left the wallet already.
        self.read_chain().await;
        let (_, _, under_way) = self.ask(|reply| UserRequest::OpenWith(request.clone(), reply)).await?;
        let (thd, deposit) = (self.thd_of(wallet).await?, deposit_of(request));
        let free = thd.saturating_sub(under_way.base_units());
        if under_way.is_zero() || deposit.base_units() <= free {
            return Ok(());
        }
        let message = format!(
            "{deposit} THD are needed, and the wallet has {}, of which {under_way} are on their way into another channel",
            decimal(thd)
        );
        Err(ApiError::new(Code::UnderWay, message, "wait until that channel is open: thunder-cli infos"))
    }

    /// Makes sure that the wallet can pay for a transaction, before anything is done that needs one.
    async fn require_gas(&self, wallet: Address, call: CallKind) -> ApiResult<()> {
        match self.chain.require_ether(wallet, call).await {
            Ok(()) => Ok(()),
            Err(error @ ChainError::NoEther { .. }) => {
                let hint = format!(
                    "send some ether to {wallet} (on a local testnet: thunder-deploy thd --to {wallet})"
                );
                Err(ApiError::new(Code::InsufficientEth, error.to_string(), hint))
            }
            Err(error) => Err(chain_error(&error)),
        }
    }

    async fn settle(&self, command: SettleCommand, channel: Selector) -> ApiResult<PaidOut> {
        let (gas, ()) = tokio::join!(self.gas_for(command), self.read_chain());
        let mut done = self.ask(|reply| UserRequest::Settle(command, channel, gas, reply)).await?;
        if done.by_other {
            // It was done before; by whom the transaction says.
            let own = self.ask(UserRequest::Shares).await?.0;
            let sender = match done.tx {
                Some(tx) => self.chain.sender(tx).await.ok().flatten(),
                None => None,
            };
            done.by_other = sender != Some(own);
        }
        Ok(done)
    }

    /// Waits until the daemon has read the chain's newest block, so that a command is not refused because of blocks that
    /// its user knows of already. If that takes too long, the command is handled with what was read.
    async fn read_chain(&self) {
        let read = async {
            let head = self.chain.head().await.ok()?;
            self.ask(|reply| UserRequest::ReadUpTo(head.number, reply)).await.ok()
        };
        let _ = tokio::time::timeout(READ_WITHIN, read).await;
    }

    /// Whether the channel has yet to open. For any other channel a payment asks the endpoint nothing, so that payments
    /// in a loop do not use up its rate limit.
    async fn is_opening(&self, channel: &Selector) -> bool {
        self.ask(|reply| UserRequest::IsOpening(channel.clone(), reply)).await == Ok(true)
    }

    /// Whether the wallet has ether for a command's gas. For a challenge no endpoint is asked, so that it loses no time.
    async fn gas_for(&self, command: SettleCommand) -> ApiResult<()> {
        match command {
            SettleCommand::Challenge => Ok(()),
            SettleCommand::Withdraw => self.own_gas(CallKind::Withdraw).await,
            SettleCommand::Cancel => self.own_gas(CallKind::Cancel).await,
        }
    }

    /// Whether the wallet has ether for a call that takes money out of a channel. If the endpoint does not answer in time,
    /// the call is made.
    async fn own_gas(&self, call: CallKind) -> ApiResult<()> {
        let (wallet, _) = self.ask(UserRequest::Shares).await?;
        match tokio::time::timeout(READ_WITHIN, self.require_gas(wallet, call)).await {
            Ok(Err(error)) if matches!(error.code, Code::InsufficientEth | Code::ChainUnreachable) => {
                Err(error)
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Answers a call whose handler panics, and keeps the panic from everybody else.
#[derive(Clone)]
struct CatchPanic<S>(S);

impl<S: Serve> Serve for CatchPanic<S> {
    type Req = S::Req;
    type Resp = S::Resp;

    async fn serve(self, context: Context, request: S::Req) -> Result<S::Resp, ServerError> {
        let call = async {
            failpoint!("client-call");
            self.0.serve(context, request).await
        };
        let failed = |panic| ServerError::new(io::ErrorKind::Other, format!("a panic ({panic})"));
        caught(call).await.unwrap_or_else(|panic| Err(failed(panic)))
    }
}

impl Thunder for Handlers {
    async fn infos(self, _: Context, all: bool) -> ApiResult<Infos> {
        self.ask(|reply| UserRequest::Infos(all, reply)).await
    }

    async fn import_wallet(
        self,
        _: Context,
        source: WalletSource,
        replace: bool,
    ) -> ApiResult<WalletImported> {
        carried_out(async move {
            let file = Arc::clone(&self.wallet_file);
            // Key derivation is slow by design and runs on a thread of its own.
            let sealed = tokio::task::spawn_blocking(move || file.seal(key_of(&source)?)).await;
            let broken =
                || ApiError::new(Code::Internal, "the wallet can't be encrypted", "nothing was changed");
            let sealed = sealed.map_err(|_| broken())?.map_err(|error| wallet_error(&error))?;
            self.ask(|reply| UserRequest::ImportWallet(sealed, replace, reply)).await
        })
        .await
    }

    async fn new_phrase(self, _: Context, words: u8, replace: bool) -> ApiResult<Secret> {
        self.ask(|reply| UserRequest::MayImportNew(replace, reply)).await?;
        let phrase = new_phrase(words.into()).map_err(|error| wallet_error(&error.into()))?;
        Ok(Secret::new(phrase.as_str().to_owned()))
    }

    async fn balance(self, _: Context) -> ApiResult<Balance> {
        let (wallet, shares) = self.ask(UserRequest::Shares).await?;
        let on_chain = match self.thd_of(wallet).await {
            Ok(thd) => self.eth_of(wallet).await.map(|eth| (thd, eth)),
            Err(error) => Err(error),
        };
        let mut warnings: Vec<_> = self.ask(UserRequest::GasWarning).await?.into_iter().collect();
        let channel = shares.to_string();
        match on_chain {
            Ok((thd, eth)) => Ok(Balance {
                total: Some(decimal(thd.saturating_add(shares.base_units()))),
                wallet: Some(decimal(thd)),
                channel,
                eth: Some(decimal(eth)),
                warnings,
            }),
            // The shares in channels are known to this node.
            Err(error) if error.code == Code::ChainUnreachable && !shares.is_zero() => {
                warnings.push(format!("what the wallet has is not known: {}; {}", error.message, error.hint));
                Ok(Balance { total: None, wallet: None, channel, eth: None, warnings })
            }
            Err(error) => Err(error),
        }
    }

    async fn connect(self, _: Context, address: String) -> ApiResult<Peer> {
        let parsed: PeerAddress = address.parse().map_err(|error: crate::p2p::InvalidPeerAddress| {
            ApiError::new(Code::InvalidAddress, error.to_string(), crate::p2p::how_to_write(&address))
        })?;
        let found = parsed.resolve().await.map_err(|error| {
            let message = format!("can't find {address}: {error}");
            ApiError::new(Code::PeerUnreachable, message, "check the name of the other node's machine")
        })?;
        self.ask(|reply| UserRequest::Connect(parsed, found, reply)).await
    }

    async fn open_channel(self, _: Context, request: OpenRequest) -> ApiResult<PaidIn> {
        let (wallet, partner, under_way) =
            self.ask(|reply| UserRequest::OpenWith(request.clone(), reply)).await?;
        if !under_way.is_zero() {
            self.require_free_thd(wallet, &request).await?;
        }
        self.require_money(wallet, deposit_of(&request), CallKind::Open).await?;
        self.ask(|reply| UserRequest::Open(request, partner, reply)).await
    }

    async fn fund(self, _: Context, request: FundRequest) -> ApiResult<PaidIn> {
        self.read_chain().await;
        let (wallet, channel, value) = self.ask(|reply| UserRequest::FundHow(request, reply)).await?;
        self.require_money(wallet, value, CallKind::Fund).await?;
        self.ask(|reply| UserRequest::Fund(channel, value, reply)).await
    }

    async fn pay(self, _: Context, request: PayRequest) -> ApiResult<Paid> {
        let again = request.clone();
        let answer = self.ask(|reply| UserRequest::Pay(request, reply)).await;
        // Nothing was paid, and the chain may have the channel open by now.
        let refused = |error: &ApiError| matches!(error.code, Code::WrongState | Code::NotConfirmed);
        if !answer.as_ref().is_err_and(refused) || !self.is_opening(&again.channel).await {
            return answer;
        }
        self.read_chain().await;
        self.ask(|reply| UserRequest::Pay(again, reply)).await
    }

    async fn pay_many(self, _: Context, request: PayManyRequest) -> ApiResult<Vec<ApiResult<Paid>>> {
        self.ask(|reply| UserRequest::PayMany(request, reply)).await
    }

    async fn close_channel(self, _: Context, request: CloseRequest) -> ApiResult<ClosingStarted> {
        carried_out(async move {
            let (gas, ()) = tokio::join!(self.own_gas(CallKind::Close), self.read_chain());
            self.ask(|reply| UserRequest::Close(request, gas, reply)).await
        })
        .await
    }

    async fn challenge(self, _: Context, channel: Selector) -> ApiResult<PaidOut> {
        carried_out(async move { self.settle(SettleCommand::Challenge, channel).await }).await
    }

    async fn withdraw(self, _: Context, channel: Selector) -> ApiResult<PaidOut> {
        carried_out(async move { self.settle(SettleCommand::Withdraw, channel).await }).await
    }

    async fn cancel(self, _: Context, channel: Selector) -> ApiResult<PaidOut> {
        carried_out(async move { self.settle(SettleCommand::Cancel, channel).await }).await
    }

    async fn history(self, _: Context, request: HistoryRequest) -> ApiResult<History> {
        self.list_payments(request).await
    }

    async fn receipts(self, _: Context, channel: Selector) -> ApiResult<ExportedReceipts> {
        self.ask(|reply| UserRequest::Receipts(channel, reply)).await
    }

    async fn import_receipt(self, _: Context, request: ImportReceiptRequest) -> ApiResult<ReceiptImported> {
        self.read_chain().await;
        self.ask(|reply| UserRequest::ImportReceipt(request, reply)).await
    }

    async fn backup(self, _: Context, request: BackupRequest) -> ApiResult<BackedUp> {
        let BackupRequest { file, force } = request;
        let path = absolute(&file)?;
        carried_out(async move {
            let _permit = self.may_copy()?;
            let directory = self.directory.clone();
            let copied = on_blocking_thread(move || backup::copy(&directory, &path, force)).await?;
            let copied = copied.map_err(|error| no_backup(&error))?;
            let content = copied.content;
            let (wallet, signature) = self.ask(|reply| UserRequest::SignBackup(content, reply)).await?;
            let channels = on_blocking_thread(move || copied.seal(wallet, &signature)).await?;
            Ok(BackedUp { file, channels: channels.map_err(|error| no_backup(&error))? })
        })
        .await
    }

    async fn restore(self, _: Context, request: RestoreRequest) -> ApiResult<Restored> {
        let RestoreRequest { file, unsigned } = request;
        let path = absolute(&file)?;
        carried_out(async move {
            let directory = self.directory.clone();
            // Before anything is unpacked beside a node that has something.
            self.ask(|reply| UserRequest::MayRestore(directory.clone(), reply)).await?;
            let _permit = self.may_copy()?;
            let unpacked = on_blocking_thread(move || backup::unpack(&directory, &path, unsigned)).await?;
            let unpacked = unpacked.map_err(|error| backup_error(&error))?;
            self.ask(|reply| UserRequest::Restore(unpacked, self.directory.clone(), reply)).await
        })
        .await
    }

    async fn prune(self, _: Context, before: u64) -> ApiResult<Pruned> {
        carried_out(async move {
            let mut events = 0;
            loop {
                match self.ask(|reply| UserRequest::PruneEvents(before, reply)).await? {
                    0 => return Ok(Pruned { events }),
                    some => events += some,
                }
            }
        })
        .await
    }

    async fn events(self, _: Context, after: Option<u64>) -> ApiResult<Events> {
        self.events.after(after).await
    }
}

/// Carries a call out to its end, whatever becomes of its caller: tarpc drops a handler when the deadline has
/// passed, or when the caller takes the request back.
async fn carried_out<T: 'static>(call: impl Future<Output = ApiResult<T>> + 'static) -> ApiResult<T> {
    tokio::task::spawn_local(call).await.map_err(|_| stopping())?
}

fn stopping() -> ApiError {
    ApiError::new(Code::Internal, "thunderd is stopping", "start it again")
}

/// The key that a wallet's source says.
fn key_of(source: &WalletSource) -> Result<SecretKey, WalletError> {
    match source {
        WalletSource::Phrase { phrase, passphrase, path } => {
            let passphrase = passphrase.as_ref().map_or("", Secret::expose);
            Ok(from_phrase_with(phrase.expose(), passphrase, path)?)
        }
        WalletSource::Keyfile { json, password } => {
            Ok(decrypt_keyfile(json.expose().as_bytes(), password.expose())?)
        }
    }
}

/// thunderd runs in another directory than its caller.
fn absolute(file: &str) -> ApiResult<PathBuf> {
    let path = PathBuf::from(file);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(ApiError::new(Code::File, format!("{file} is not an absolute path"), "name the whole path"))
}

/// Does what takes long on a thread of its own.
async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| broken())
}

fn no_backup(error: &BackupError) -> ApiError {
    match error {
        BackupError::Database(error) => {
            let hint = "see that there is room in the data directory, and where the file is to go";
            ApiError::new(Code::File, error.to_string(), hint)
        }
        error => backup_error(error),
    }
}

fn broken() -> ApiError {
    ApiError::new(
        Code::Internal,
        "the backup could not be handled",
        "nothing was changed; see thunderd's log",
    )
}

/// Why a question to the chain has no answer.
fn chain_error(error: &ChainError) -> ApiError {
    let (code, hint) = match error {
        ChainError::Unreachable(_) => {
            (Code::ChainUnreachable, "check that the chain runs, and --RPC; thunderd keeps trying")
        }
        ChainError::Missing(_) => (
            Code::ContractsMissing,
            "deploy THD and the factory with `thunder-deploy thd --to <address>`, or see --token and --factory",
        ),
        ChainError::NoEther { .. } => (Code::InsufficientEth, "send some ether to the wallet's address"),
        ChainError::Reverted(_)
        | ChainError::Refused(_)
        | ChainError::InvalidResponse(_)
        | ChainError::CantSign => (Code::TransactionFailed, "see the log of thunderd"),
    };
    ApiError::new(code, error.to_string(), hint)
}
