//! The node's end of the local socket, following a script: it answers, stays silent, hangs up or refuses as told,
//! which a healthy thunderd can't be made to do, and remembers what it was asked. Every command against the real
//! thunderd is in deploy/tests/e2e.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::pending;
use interprocess::local_socket::tokio::prelude::*;
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use serde_json::{Value, json};
use tarpc::context::Context;
use tarpc::server::{BaseChannel, Channel};
use thunder_api::*;
use thunder_protocol::{Address, Amount, B256, Memo, PaymentId};
use tokio::sync::Notify;

use crate::common::{PORT, thunder_cli};

pub(crate) const CHANNEL: ChecksumAddress = ChecksumAddress(Address::repeat_byte(0xcc));
const PARTNER: ChecksumAddress = ChecksumAddress(Address::repeat_byte(0xdd));
const TX: B256 = B256::repeat_byte(0xee);

/// What it does when it is asked for something that changes something.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mood {
    /// Does it.
    Willing,
    /// Does it, and has something of everything to show.
    Full,
    /// Never answers.
    Silent,
    /// Ends the connection.
    Dying,
    /// Refuses everything.
    Refusing(Code),
    /// Refuses cooperative closing only.
    Alone(Code),
    /// Refuses cooperative closing with the first, and closing alone with the second.
    Stuck(Code, Code),
}

/// The scripted end and its directory.
pub(crate) struct Scripted {
    directory: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Scripted {
    /// Starts it; it ends with the test's process.
    pub(crate) fn start(mood: Mood) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (ready, is_ready) = mpsc::channel();
        let at = directory.path().join("thunder");
        std::fs::DirBuilder::new().mode(0o700).create(&at).unwrap();
        let handler = Handler { mood, asked: asked.clone(), end: Arc::new(Notify::new()) };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(&at.join(format!("{PORT}.sock")), handler, &ready));
        });
        is_ready.recv().unwrap();
        Self { directory, asked }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// thunder-cli, for it.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Command {
        thunder_cli(self.directory(), arguments)
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn serve(socket: &Path, handler: Handler, ready: &mpsc::Sender<()>) {
    let name = socket.to_fs_name::<GenericFilePath>().unwrap();
    let listener = ListenerOptions::new().name(name).create_tokio().unwrap();
    ready.send(()).unwrap();
    loop {
        let stream = listener.accept().await.unwrap();
        let handler = Handler { end: Arc::new(Notify::new()), ..handler.clone() };
        let end = handler.end.clone();
        let requests = BaseChannel::with_defaults(local::transport(stream)).execute(handler.serve());
        tokio::spawn(async move {
            let answering = requests.for_each_concurrent(None, |answer| answer);
            tokio::select! {
                () = answering => {}
                () = end.notified() => {}
            }
        });
    }
}

#[derive(Clone)]
struct Handler {
    mood: Mood,
    asked: Arc<Mutex<Vec<Value>>>,
    end: Arc<Notify>,
}

impl Handler {
    fn note(&self, call: &str, request: Value) {
        self.asked.lock().unwrap().push(json!([call, request]));
    }

    async fn change<T>(&self, call: &str, request: Value, answer: T) -> Result<T, ApiError> {
        self.note(call, request);
        match self.mood {
            Mood::Willing | Mood::Full | Mood::Alone(_) | Mood::Stuck(..) => Ok(answer),
            Mood::Silent => pending().await,
            Mood::Dying => {
                self.end.notify_one();
                pending().await
            }
            Mood::Refusing(code) => Err(ApiError::new(code, "no \u{1b}[31mway", "try harder")),
        }
    }
}

fn value(request: impl serde::Serialize) -> Value {
    serde_json::to_value(request).unwrap()
}

fn thd(text: &str) -> Amount {
    text.parse().unwrap()
}

fn out() -> PaidOut {
    PaidOut {
        channel: CHANNEL,
        tx: Some(TX),
        received: thd("8.75"),
        end: Ended::Withdrawn,
        by_other: true,
        already: true,
    }
}

fn opened(state: ContractState) -> PaidIn {
    PaidIn { channel: CHANNEL, amount: thd("10"), mine: thd("10"), state, tx: Some(TX) }
}

pub(crate) fn peer() -> Peer {
    Peer {
        peer_id: "12D3KooWPeer".into(),
        address: "/ip4/127.0.0.1/tcp/2002".into(),
        wallet: Some(CHANNEL),
        requested: true,
    }
}

pub(crate) fn payment() -> PaymentInfo {
    PaymentInfo {
        seq: Some(2),
        partner: CHANNEL,
        invoice: None,
        id: PaymentId::new("order-1").unwrap(),
        channel: CHANNEL,
        direction: Direction::In,
        amount: thd("1.25"),
        memo: Memo::new("coffee").unwrap(),
        nonce: Some(3),
        time: 1_795_371_903_000,
        status: PaymentStatus::Done,
    }
}

pub(crate) fn exported() -> ExportedReceipts {
    let agreed = ExportedReceipt {
        nonce: 3,
        balance_a: "8750000000000000000".into(),
        balance_b: "1250000000000000000".into(),
        digest: TX,
        signature_a: Some(thunder_protocol::Signature::from_bytes([1; 65])),
        signature_b: Some(thunder_protocol::Signature::from_bytes([2; 65])),
    };
    ExportedReceipts {
        channel: CHANNEL,
        chain_id: 31337,
        part_a: CHANNEL,
        part_b: CHANNEL,
        role: Role::A,
        agreed,
        proposal: None,
        watchtower: Some(watchtower()),
    }
}

fn watchtower() -> Watchtower {
    Watchtower {
        version: 1,
        chain_id: 31337,
        channel: CHANNEL,
        closer: CHANNEL,
        beneficiary: CHANNEL,
        nonce: 3,
        balance_a: "8750000000000000000".into(),
        balance_b: "1250000000000000000".into(),
        signature: thunder_protocol::Signature::from_bytes([2; 65]),
        data: "0x00".into(),
    }
}

/// What a node shows that has something of everything.
fn full() -> Infos {
    let peer = Peer { peer_id: "12D3KooWLAQDwH5im9bHKRGNPsn2p6pLKF7BXuPAtD12Vg7sJ5sL".into(), ..peer() };
    let discovered =
        Discovered { peer_id: "12D3KooWLocal".into(), address: "/ip4/192.168.1.7/tcp/2001".into() };
    let closing = ChannelInfo {
        channel: ChecksumAddress(Address::repeat_byte(0xdd)),
        peer: None,
        state: ContractState::Closing,
        role: Role::B,
        nonce: 4,
        closing_block: Some(99),
        withdrawable_at: Some(123),
        pending: thd("0"),
        next: vec![],
        next_text: "withdraw possible from block 123, in 9 blocks".into(),
        ..channel()
    };
    Infos {
        listen: vec!["/ip4/127.0.0.1/tcp/61999".into(), "/ip4/127.0.0.1/udp/61999/quic-v1".into()],
        wallet: Some(CHANNEL),
        chain: ChainInfo {
            block: Some(114),
            endpoints: vec![EndpointInfo { block: Some(114), ..endpoint() }],
            ..all().chain
        },
        peers: vec![peer],
        discovered: vec![discovered],
        channels: vec![channel(), closing],
        channels_hidden: 2,
        warnings: vec!["the wallet has 0.0001 ETH; the open channels may need 0.002 ETH".into()],
        ..all()
    }
}

fn channel() -> ChannelInfo {
    ChannelInfo {
        channel: CHANNEL,
        peer: Some("12D3KooWLAQDwH5im9bHKRGNPsn2p6pLKF7BXuPAtD12Vg7sJ5sL".into()),
        partner: ChecksumAddress(Address::repeat_byte(0xbb)),
        state: ContractState::Active,
        role: Role::A,
        amount: thd("10"),
        mine: thd("8.75"),
        theirs: thd("1.25"),
        nonce: 3,
        pending: thd("0.5"),
        closing_block: None,
        withdrawable_at: None,
        next: vec!["pay".into(), "closechannel".into()],
        next_text: "pay, closechannel".into(),
    }
}

fn events() -> Vec<WatchEvent> {
    vec![
        WatchEvent::Payment(payment()),
        WatchEvent::Channel(numbered(3, channel())),
        WatchEvent::Peer(numbered(4, PeerChange { connected: true, peer: peer() })),
        WatchEvent::Peer(numbered(5, PeerChange { connected: false, peer: peer() })),
        WatchEvent::Chain(numbered(
            6,
            ChainInfo {
                connected: false,
                endpoints: vec![EndpointInfo {
                    connected: false,
                    trouble: Some("can't be reached: connection refused".into()),
                    ..endpoint()
                }],
                ..all().chain
            },
        )),
        WatchEvent::Warning(numbered(
            7,
            Warning {
                message: "the other side closed on receipt 1; the newest is 3".into(),
                channel: Some(CHANNEL),
            },
        )),
    ]
}

fn numbered<T>(seq: u64, of: T) -> Numbered<T> {
    Numbered { seq, time: 1_795_371_903_000, of }
}

fn endpoint() -> EndpointInfo {
    EndpointInfo { rpc: "http://localhost:8545".into(), connected: true, block: Some(7), trouble: None }
}

pub(crate) fn all() -> Infos {
    Infos {
        version: "0.0.1".into(),
        port: 61999,
        peer_id: "12D3KooWOwn".into(),
        listen: vec![],
        wallet: None,
        chain: ChainInfo {
            rpc: "http://localhost:8545".into(),
            connected: true,
            chain_id: Some(31337),
            block: Some(7),
            endpoints: vec![endpoint()],
        },
        token: CHANNEL,
        factory: CHANNEL,
        peers: vec![peer()],
        discovered: vec![],
        channels: vec![],
        channels_hidden: 0,
        warnings: vec![],
    }
}

impl Thunder for Handler {
    async fn infos(self, context: Context, _all: bool) -> Result<Infos, ApiError> {
        // So long the client is willing to wait, in seconds.
        let left = context.deadline.saturating_duration_since(Instant::now());
        self.note("infos", value(left.as_secs()));
        Ok(if self.mood == Mood::Full { full() } else { all() })
    }

    async fn import_wallet(
        self,
        _: Context,
        source: WalletSource,
        replace: bool,
    ) -> Result<WalletImported, ApiError> {
        // With --yes there was one to replace.
        let replaced = (self.mood == Mood::Full && replace).then_some(PARTNER);
        self.change("import_wallet", value((source, replace)), WalletImported { address: CHANNEL, replaced })
            .await
    }

    async fn new_phrase(self, _: Context, words: u8, replace: bool) -> Result<Secret, ApiError> {
        let phrase = vec!["abandon"; usize::from(words)].join(" ");
        self.change("new_phrase", value((words, replace)), Secret::new(phrase)).await
    }

    async fn balance(self, _: Context) -> Result<Balance, ApiError> {
        let balance = Balance {
            total: Some("10".into()),
            wallet: Some("1.25".into()),
            channel: "8.75".into(),
            eth: Some("1".into()),
            warnings: Vec::new(),
        };
        self.change("balance", Value::Null, balance).await
    }

    async fn connect(self, _: Context, address: String) -> Result<Peer, ApiError> {
        self.change("connect", value(address), peer()).await
    }

    async fn open_channel(self, _: Context, request: OpenRequest) -> Result<PaidIn, ApiError> {
        let whole = opened(ContractState::Active);
        let answer = match request.deposit {
            Some(mine) => PaidIn { amount: request.amount, mine, state: ContractState::Empty, ..whole },
            None => whole,
        };
        self.change("open_channel", value(request), answer).await
    }

    async fn fund(self, _: Context, request: FundRequest) -> Result<PaidIn, ApiError> {
        self.change("fund", value(request), opened(ContractState::Active)).await
    }

    async fn pay(self, _: Context, request: PayRequest) -> Result<Paid, ApiError> {
        let paid = Paid {
            id: request.payment.id.clone().expect("thunder-cli chooses an id"),
            channel: CHANNEL,
            amount: request.payment.amount,
            nonce: 3,
            mine: thd("8.75"),
            theirs: thd("1.25"),
        };
        self.change("pay", value(request), paid).await
    }

    async fn pay_many(self, _: Context, _: PayManyRequest) -> Result<Vec<Result<Paid, ApiError>>, ApiError> {
        Ok(vec![])
    }

    async fn close_channel(self, _: Context, request: CloseRequest) -> Result<ClosingStarted, ApiError> {
        let cooperative = matches!(request.mode, CloseMode::Cooperative);
        let closing = ClosingStarted {
            channel: CHANNEL,
            tx: Some(TX),
            mode: if cooperative { ClosedBy::Cooperative } else { ClosedBy::Unilateral },
            nonce: 3,
            withdrawable_at: (!cooperative).then_some(123),
        };
        let closing = self.change("close_channel", value(&request), closing).await?;
        match self.mood {
            Mood::Alone(code) | Mood::Stuck(code, _) if cooperative => Err(ApiError::new(code, "no", "")),
            Mood::Stuck(_, code) => Err(ApiError::new(code, "not alone either", "wait")),
            _ => Ok(closing),
        }
    }

    async fn challenge(self, _: Context, channel: Selector) -> Result<PaidOut, ApiError> {
        let won =
            PaidOut { received: thd("10"), end: Ended::Challenged, by_other: false, already: false, ..out() };
        self.change("challenge", value(channel), won).await
    }

    async fn withdraw(self, _: Context, channel: Selector) -> Result<PaidOut, ApiError> {
        self.change("withdraw", value(channel), out()).await
    }

    async fn cancel(self, _: Context, channel: Selector) -> Result<PaidOut, ApiError> {
        let back =
            PaidOut { received: thd("1"), end: Ended::Cancelled, by_other: false, already: false, ..out() };
        self.change("cancel", value(channel), back).await
    }

    async fn history(self, _: Context, request: HistoryRequest) -> Result<History, ApiError> {
        self.change("history", value(request), History { payments: vec![payment()], next: None }).await
    }

    async fn receipts(self, _: Context, channel: Selector) -> Result<ExportedReceipts, ApiError> {
        self.change("receipts", value(channel), exported()).await
    }

    async fn import_receipt(
        self,
        _: Context,
        request: ImportReceiptRequest,
    ) -> Result<ReceiptImported, ApiError> {
        let answer = ReceiptImported {
            channel: CHANNEL,
            nonce: 3,
            mine: thd("8.75"),
            theirs: thd("1.25"),
            both_signed: matches!(request.file, ExportedFile::Receipts(_)),
            next: "closing together: waiting for the other side".into(),
        };
        self.change("import_receipt", value(&request), answer).await
    }

    async fn backup(self, _: Context, request: BackupRequest) -> Result<BackedUp, ApiError> {
        let answer = BackedUp { file: request.file.clone(), channels: 1 };
        self.change("backup", value(&request), answer).await
    }

    async fn restore(self, _: Context, request: RestoreRequest) -> Result<Restored, ApiError> {
        let signed = !request.unsigned;
        self.change("restore", value(request), Restored { channels: 1, wallet: Some(CHANNEL), signed }).await
    }

    async fn prune(self, _: Context, before: u64) -> Result<Pruned, ApiError> {
        self.change("prune", value(before), Pruned { events: 3 }).await
    }

    /// Two events after the first, then what the mood says.
    async fn events(self, _: Context, after: Option<u64>) -> Result<Events, ApiError> {
        let Some(after) = after else { return Ok(Events { next: 1, events: Vec::new() }) };
        if self.mood == Mood::Full {
            if after == 1 {
                return Ok(Events { next: 7, events: events() });
            }
            return Self { mood: Mood::Dying, ..self }
                .change("events", value(after), Events { next: 7, events: vec![] })
                .await;
        }
        if after == 1 {
            let peer = WatchEvent::Peer(numbered(3, PeerChange { connected: true, peer: peer() }));
            return Ok(Events { next: 3, events: vec![WatchEvent::Payment(payment()), peer] });
        }
        let silent =
            Handler { mood: if self.mood == Mood::Willing { Mood::Silent } else { self.mood }, ..self };
        silent.change("events", value(after), Events { next: after, events: vec![] }).await
    }
}

/// Far above tarpc's own ten seconds, far below every timeout that the tests set.
pub(crate) const LONG: Duration = Duration::from_secs(40);
