//! What users ask of the daemon, through the local socket.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use libp2p::Multiaddr;
use thunder_api::{
    Account, Answer, ApiError, CloseRequest, ClosingStarted, Code, ExportedReceipt, FundRequest, History,
    HistoryRequest, ImportRequest, Infos, OpenRequest, Paid, PaidIn, PaidOut, PayManyRequest, PayRequest,
    PaymentOrder, Peer, ReceiptImported, Receipts, Restored, Selector,
};
use thunder_chain::Identity;
use thunder_chain::contracts::LOCAL_CHAIN_IDS;
use thunder_protocol::channel::{CloseMode, Command, PaymentStatus};
use thunder_protocol::onchain::Evidence;
use thunder_protocol::{Address, Amount, Balances, Input, Nonce, Payment, PaymentId, Receipt, Role, hex};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answers::{Caller, Many};
use super::channels::Purpose;
use super::execute::{disk_error, is_live};
use super::opening::is_awaited;
use super::{Daemon, Wallet};
use crate::backup::Unpacked;
use crate::keys::{self, Key};
use crate::p2p::PeerAddress;
use crate::store::StoredChannel;

/// How long writing a wallet to disk may take.
const IMPORT_WITHIN: Duration = Duration::from_secs(60);
/// The most payments in one call.
const MAX_PAYMENTS: usize = 4096;
/// The most payments that `history` lists.
pub const MAX_HISTORY: u32 = 10_000;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Answer<T>>;

/// A question or an order of a user.
pub enum Ask {
    /// `infos`.
    Infos(Reply<Infos>),
    /// The wallet, and what of it is in channels: the rest of `balance` is the chain's to say.
    Shares(Reply<(Address, Amount)>),
    /// Whether another wallet could be used now.
    MayImport(Address, Reply<()>),
    /// Measure what `--metrics` says, and say what keeps the node from being ready.
    Measure(Reply<Vec<&'static str>>),
    /// Whether a backup could be restored into this data directory now.
    MayRestore(PathBuf, Reply<()>),
    /// Make this verified backup the node's state, in this data directory.
    Restore(Unpacked, PathBuf, Reply<Restored>),
    /// Use this wallet, which is on disk already.
    Import(Key, Reply<Address>),
    /// `connect`, with the name looked up.
    Connect(PeerAddress, Vec<Multiaddr>, Reply<Peer>),
    /// Who would open, and with whom: the balances are looked at before the other side is asked.
    OpenWith(OpenRequest, Reply<(Address, Address)>),
    /// `openchannel`, with this partner.
    Open(OpenRequest, Address, Reply<PaidIn>),
    /// How much `fund` would pay, into which channel.
    FundHow(FundRequest, Reply<(Address, Address, Amount)>),
    /// `fund`.
    Fund(Address, Amount, Reply<PaidIn>),
    /// `pay`.
    Pay(PayRequest, Reply<Paid>),
    /// Whether the channel that a payment would go over has yet to open, as far as this node has read the chain.
    IsOpening(Selector, Reply<bool>),
    /// Many of them.
    PayMany(PayManyRequest, Reply<Vec<Answer<Paid>>>),
    /// `closechannel`, and whether there is ether for its gas.
    Close(CloseRequest, Answer<()>, Reply<ClosingStarted>),
    /// `challenge`, `withdraw` or `cancel`, and whether there is ether for its gas.
    Order(Order, Selector, Answer<()>, Reply<PaidOut>),
    /// To be told when the chain is read up to this block.
    ReadUpTo(u64, Reply<()>),
    /// `history`.
    History(HistoryRequest, Reply<History>),
    /// `receipts`.
    Receipts(Selector, Reply<Receipts>),
    /// `receipts --import`.
    ImportReceipt(ImportRequest, Reply<ReceiptImported>),
    /// Whether there is too little ether for what the channels may need.
    GasWarning(Reply<Option<String>>),
}

/// Answers with an error, if it is one; else goes on with the value.
macro_rules! or_refuse {
    ($reply:ident, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => {
                let _ = $reply.send(Err(error));
                return;
            }
        }
    };
}

/// The orders that end in a payment to the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `challenge`.
    Challenge,
    /// `withdraw`.
    Withdraw,
    /// `cancel`.
    Cancel,
}

impl Daemon {
    pub(super) fn on_ask(&mut self, ask: Ask) {
        // What is done now would be replaced. Who asks is told that the node is stopping.
        if self.restored {
            return;
        }
        match ask {
            Ask::Infos(reply) => drop(reply.send(Ok(self.infos()))),
            Ask::Shares(reply) => {
                drop(reply.send(self.require_wallet().map(|wallet| (wallet.address, self.own_shares()))))
            }
            Ask::MayImport(address, reply) => drop(reply.send(self.before_import(address))),
            Ask::Measure(reply) => drop(reply.send(Ok(self.measure()))),
            Ask::MayRestore(directory, reply) => drop(reply.send(self.may_restore(&directory))),
            Ask::Restore(backup, directory, reply) => drop(reply.send(self.restore(backup, &directory))),
            Ask::Import(key, reply) => self.import(key, reply),
            Ask::Connect(address, found, reply) => self.connect(&address, found, reply),
            Ask::OpenWith(request, reply) => drop(reply.send(self.open_with(&request))),
            Ask::Open(request, partner, reply) => self.ask_to_open(&request, partner, reply),
            Ask::FundHow(request, reply) => drop(reply.send(self.fund_how(&request))),
            Ask::Fund(channel, value, reply) => {
                let _ = or_refuse!(reply, self.require_chain());
                let caller = self.new_caller(Caller::PaidIn(reply));
                self.apply(channel, Input::Command(caller, Command::Fund { value: Some(value) }));
            }
            Ask::Pay(request, reply) => self.pay(request, reply),
            Ask::IsOpening(selector, reply) => drop(reply.send(self.is_opening(&selector))),
            Ask::PayMany(request, reply) => self.pay_many(request, reply),
            Ask::Close(request, gas, reply) => self.close(request, gas, reply),
            Ask::Order(order, selector, gas, reply) => self.order(order, &selector, gas, reply),
            Ask::ReadUpTo(block, reply) => {
                self.awaiting_block.push((block, reply));
                self.tell_of_block();
            }
            Ask::History(request, reply) => drop(reply.send(self.history(&request))),
            Ask::GasWarning(reply) => drop(reply.send(Ok(self.gas_warning()))),
            Ask::Receipts(selector, reply) => drop(reply.send(self.receipts(&selector))),
            Ask::ImportReceipt(request, reply) => self.import_receipt(&request, reply),
        }
    }

    pub(super) fn require_wallet(&self) -> Result<&Wallet, ApiError> {
        self.wallet.as_ref().ok_or_else(|| {
            if let Some(why) = &self.locked {
                return ApiError::new(Code::WrongPassword, why.clone(), "put it right and restart thunderd");
            }
            let hint = "import one: thunder-cli importwallet \"<seedphrase>\"";
            ApiError::new(Code::NoWallet, "no wallet is loaded", hint)
        })
    }

    /// The chain answers now.
    fn require_chain(&self) -> Result<Identity, ApiError> {
        let unreachable = || {
            let message = format!("the chain at {} can't be reached", self.config.rpc);
            ApiError::new(
                Code::ChainUnreachable,
                message,
                "check that it runs, and --RPC; thunderd keeps trying",
            )
        };
        if !self.chain.connected {
            return Err(unreachable());
        }
        self.chain.identity.ok_or_else(unreachable)
    }

    /// Wallet, chain and contracts are there.
    pub(super) fn require_ready(&self) -> Result<(Identity, Address), ApiError> {
        let address = self.require_wallet()?.address;
        let identity = self.require_chain()?;
        match &self.chain.template {
            Ok(_) => Ok((identity, address)),
            Err(error) => {
                let hint = "deploy THD and the factory with `thunder-deploy thd --to <address>`, or see --token and --factory";
                Err(ApiError::new(Code::ContractsMissing, error.to_string(), hint))
            }
        }
    }

    // ---- wallet -------------------------------------------------------------------------------

    /// Whether this wallet may be used: another one than the open channels are for may not.
    pub(super) fn may_import(&self, address: Address) -> Answer<()> {
        let others = self.store.channels_of_other_wallets(&address).map_err(|error| disk_error(&error))?;
        let genesis = self.chain.identity.map(|identity| identity.genesis);
        // A local testnet that was started anew is gone for good, and its channels with it.
        let counts = |stored: &&StoredChannel| {
            let terms = stored.channel.setup().terms();
            let is_here = self.channels.get(&terms.channel).is_some() && genesis.is_some();
            let is_real = !LOCAL_CHAIN_IDS.contains(&terms.chain_id);
            is_live(&stored.channel) && !is_awaited(&stored.channel) && (is_here || is_real)
        };
        let open = others.iter().filter(counts).count();
        if open > 0 {
            let message = format!("{open} open channels belong to another wallet, which can't be replaced");
            return Err(ApiError::new(
                Code::WalletInUse,
                message,
                "close them and withdraw first; see infos",
            ));
        }
        Ok(())
    }

    fn import(&mut self, key: Key, reply: Reply<Address>) {
        let signer = or_refuse!(reply, keys::signer(&key).map_err(|error| wallet_error(&error)));
        let address = signer.address();
        self.importing = None;
        or_refuse!(reply, self.may_import(address));
        self.wallet = Some(Wallet { address, signer, key });
        self.locked = None;
        self.end_all_sessions("another wallet is used");
        // Before anything is asked of the chain; also if the disk refuses the rest of the batch.
        self.tell_chain_of_wallet();
        if self.chain.caught_up {
            self.resume_channels();
        }
        let _ = reply.send(Ok(address));
    }

    /// Whether this wallet may be used; if so nothing is agreed on with the present one any more.
    fn before_import(&mut self, address: Address) -> Answer<()> {
        self.may_import(address)?;
        self.importing = Some(Instant::now() + IMPORT_WITHIN);
        Ok(())
    }

    /// What of the own money is in channels.
    fn own_shares(&self) -> Amount {
        let live = self.channels.newest_first().filter(|(_, slot)| is_live(&slot.channel));
        let shares = live.map(|(_, slot)| slot.channel.balances().of(slot.channel.setup().role()));
        Amount::checked_sum(shares).unwrap_or(Amount::MAX)
    }

    // ---- opening ------------------------------------------------------------------------------

    fn open_with(&self, request: &OpenRequest) -> Answer<(Address, Address)> {
        let (_, own) = self.require_ready()?;
        if request.amount.is_zero() {
            let message = "a channel has to hold something";
            return Err(ApiError::new(Code::ZeroAmount, message, "give an amount above zero"));
        }
        if super::opening::deposit_of(request) > request.amount {
            let message = "the deposit is more than the channel is to hold";
            return Err(ApiError::new(
                Code::AmountOutOfRange,
                message,
                "give a --deposit of at most the amount",
            ));
        }
        Ok((own, self.find_partner(request.peer.as_deref())?))
    }

    /// The wallet of the connected node that somebody means.
    fn find_partner(&self, name: Option<&str>) -> Result<Address, ApiError> {
        let hint = "connect to one first: thunder-cli connect <ip:port>";
        let peers: Vec<_> =
            self.peers.all().into_iter().filter_map(|peer| Some((peer.wallet?, peer))).collect();
        let matches = |wallet: &Account, peer: &Peer| {
            name.is_none_or(|name| {
                let (lower, wallet) = (name.to_lowercase(), wallet.to_string().to_lowercase());
                peer.peer_id.starts_with(name) || wallet.starts_with(&lower)
            })
        };
        let found: Vec<_> = peers.iter().filter(|(wallet, peer)| matches(wallet, peer)).collect();
        match (found.as_slice(), name) {
            ([(wallet, _)], _) => Ok(wallet.0),
            ([], Some(name)) => Err(ApiError::new(
                Code::PeerNotConnected,
                format!("no connected node is called {name}"),
                hint,
            )),
            ([], None) => Err(ApiError::new(Code::PeerNotConnected, "no other node is connected", hint)),
            (several, _) => {
                let list: Vec<_> = several.iter().map(|(wallet, _)| wallet.to_string()).collect();
                let message = format!("{} nodes are connected: {}", several.len(), list.join(", "));
                Err(ApiError::new(
                    Code::AmbiguousPeer,
                    message,
                    "name one with --peer (peer id, wallet, or a beginning)",
                ))
            }
        }
    }

    fn fund_how(&self, request: &FundRequest) -> Answer<(Address, Address, Amount)> {
        let (_, own) = self.require_ready()?;
        let address = self.find_channel(&request.channel, Purpose::Fund)?;
        let missing = self.channels.get(&address).and_then(|slot| match &slot.channel {
            thunder_protocol::Channel::Opening(opening) => Some(opening.own_missing()),
            _ => None,
        });
        if request.amount.is_none() && missing == Some(Amount::ZERO) {
            let message = "your own share is paid in; what is missing is the other side's";
            let hint = "the other side runs `thunder-cli fund`; to pay for it, name an amount";
            return Err(ApiError::new(Code::AmountOutOfRange, message, hint));
        }
        // For a channel that does not take money the core says why.
        Ok((own, address, request.amount.or(missing).unwrap_or(Amount::ZERO)))
    }

    // ---- paying -------------------------------------------------------------------------------

    fn pay(&mut self, request: PayRequest, reply: Reply<Paid>) {
        or_refuse!(reply, self.require_wallet().map(|_| ()));
        let channel = or_refuse!(reply, self.find_channel(&request.channel, Purpose::Pay));
        let caller = self.new_caller(Caller::Paid(reply, Instant::now()));
        self.order_payment(channel, request.payment, caller);
    }

    fn is_opening(&self, selector: &Selector) -> Answer<bool> {
        let address = self.find_channel(selector, Purpose::Pay)?;
        let slot = self.channels.get(&address);
        Ok(slot.is_some_and(|slot| matches!(slot.channel, thunder_protocol::Channel::Opening(_))))
    }

    fn pay_many(&mut self, request: PayManyRequest, reply: Reply<Vec<Answer<Paid>>>) {
        or_refuse!(reply, self.require_wallet().map(|_| ()));
        let channel = or_refuse!(reply, self.find_channel(&request.channel, Purpose::Pay));
        let count = request.payments.len();
        if count == 0 || count > MAX_PAYMENTS {
            let message = format!("a call takes 1 to {MAX_PAYMENTS} payments");
            let _ = reply.send(Err(ApiError::new(Code::Busy, message, "make several calls")));
            return;
        }
        let many =
            Many { answers: vec![None; count], missing: count, ordered: Instant::now(), reply: Some(reply) };
        let many = Rc::new(RefCell::new(many));
        for (index, payment) in request.payments.into_iter().enumerate() {
            let caller = self.new_caller(Caller::OneOf(index, Rc::clone(&many)));
            self.order_payment(channel, payment, caller);
        }
    }

    fn order_payment(
        &mut self,
        channel: Address,
        order: PaymentOrder,
        caller: thunder_protocol::channel::CommandId,
    ) {
        let PaymentOrder { amount, memo, id } = order;
        // An id that is made here is new; one of the user's may be a repetition.
        let (id, known) = match id {
            None => match fresh_id() {
                Ok(id) => (id, None),
                Err(error) => return self.fail(caller, error),
            },
            Some(id) => match self.known_payment(channel, &id) {
                Ok(known) => (id, known),
                Err(error) => return self.fail(caller, disk_error(&error)),
            },
        };
        let payment = Payment { id, amount, memo };
        self.ordered.insert(channel);
        self.apply(channel, Input::Command(caller, Command::Pay { payment, known, more: true }));
    }

    fn known_payment(
        &self,
        channel: Address,
        id: &PaymentId,
    ) -> Result<Option<thunder_protocol::channel::KnownPayment>, crate::store::StoreError> {
        let Some(slot) = self.channels.get(&channel) else { return Ok(None) };
        self.store.expect_writes();
        let known = self.store.own_payment(slot.id, id)?;
        Ok(known.map(|mut known| {
            known.nonce = known.nonce.filter(|nonce| slot.channel.status_of(*nonce) != PaymentStatus::Failed);
            known
        }))
    }

    // ---- closing ------------------------------------------------------------------------------

    fn close(&mut self, request: CloseRequest, gas: Answer<()>, reply: Reply<ClosingStarted>) {
        or_refuse!(reply, self.require_wallet().map(|_| ()));
        let channel = or_refuse!(reply, self.find_channel(&request.channel, Purpose::Close));
        let is_lost = or_refuse!(reply, self.may_close(channel, request.confirmed));
        // The flag that stops the channel is set only if the chain can be told.
        let _ = or_refuse!(reply, self.require_chain());
        // What was ordered before is not to be failed by it.
        self.propose_ordered();
        let is_closed = self.channels.get(&channel).is_some_and(|slot| !Purpose::Close.fits(&slot.channel));
        if !is_closed {
            or_refuse!(reply, gas);
        }
        let command = match request.mode {
            thunder_api::CloseMode::Alone | thunder_api::CloseMode::Cooperative if is_lost => {
                Command::SignFinal
            }
            thunder_api::CloseMode::Alone => Command::Close(CloseMode::Alone),
            thunder_api::CloseMode::Cooperative => Command::Close(CloseMode::Cooperative),
            thunder_api::CloseMode::Receipt { receipt, even_if_old } => Command::Close(CloseMode::On(
                or_refuse!(reply, self.chosen_receipt(channel, &receipt, even_if_old)),
            )),
        };
        let caller = self.new_caller(Caller::Closing(reply));
        self.apply(channel, Input::Command(caller, command));
    }

    fn chosen_receipt(
        &self,
        channel: Address,
        chosen: &ExportedReceipt,
        even_if_old: bool,
    ) -> Result<Evidence, ApiError> {
        let receipt = parse_receipt(chosen.nonce, &chosen.balance_a, &chosen.balance_b)?;
        let Some(slot) = self.channels.get(&channel) else {
            return Err(invalid_receipt("the channel is gone"));
        };
        let newest = slot.channel.books().map(|books| (books.agreed.nonce(), books.proposal.is_some()));
        let is_newest = newest == Some((receipt.nonce, false));
        if !is_newest && !even_if_old {
            let message = "this is not the newest receipt: the other side can answer with a newer one and take everything";
            return Err(ApiError::new(Code::InvalidReceipt, message, "to do it nevertheless, add --yes"));
        }
        let signature = match slot.channel.setup().role() {
            Role::A => chosen.signature_b,
            Role::B => chosen.signature_a,
        };
        Ok(Evidence { receipt, signature })
    }

    fn order(&mut self, order: Order, selector: &Selector, gas: Answer<()>, reply: Reply<PaidOut>) {
        let (purpose, command) = match order {
            Order::Challenge => (Purpose::Challenge, Command::Challenge),
            Order::Withdraw => (Purpose::Withdraw, Command::Withdraw),
            Order::Cancel => (Purpose::Cancel, Command::Cancel),
        };
        or_refuse!(reply, self.require_wallet().map(|_| ()));
        let channel = match (self.find_channel(selector, purpose), purpose) {
            // What is paid out already is worth an answer: by the other side, perhaps.
            (Err(error), Purpose::Withdraw) => or_refuse!(reply, self.newest_paid_out(selector).ok_or(error)),
            (found, _) => or_refuse!(reply, found),
        };
        let slot = self.channels.get(&channel);
        let is_over = slot.is_some_and(|slot| !super::execute::is_live(&slot.channel));
        if slot.is_some_and(|slot| purpose.fits(&slot.channel)) {
            let _ = or_refuse!(reply, self.require_chain());
            or_refuse!(reply, gas);
        }
        let caller = self.new_caller(Caller::PaidOut(reply, is_over));
        self.apply(channel, Input::Command(caller, command));
    }

    /// The channel that was closed last, if a user who says `withdraw` can only mean it.
    fn newest_paid_out(&self, selector: &Selector) -> Option<Address> {
        let is_live = |address: &Address| {
            self.channels.get(address).is_some_and(|slot| super::execute::is_live(&slot.channel))
        };
        if self.find_all(selector).iter().any(is_live) {
            return None;
        }
        let closed = self.find_all(selector).into_iter();
        closed.rev().find(|address| {
            self.channels.get(address).is_some_and(|slot| !super::execute::is_live(&slot.channel))
        })
    }

    // ---- looking ------------------------------------------------------------------------------

    fn history(&self, request: &HistoryRequest) -> Answer<History> {
        let HistoryRequest { channel: selector, limit } = request;
        let all = selector.channel.is_none() && selector.peer.is_none();
        let channel = if all { None } else { Some(self.find_channel(selector, Purpose::Look)?) };
        let row = channel.and_then(|address| self.channels.get(&address)).map(|slot| slot.id);
        let query = crate::store::PaymentQuery { channel: row, limit: (*limit).min(MAX_HISTORY) };
        let stored = self.store.payments(&query).map_err(|error| {
            ApiError::new(Code::Internal, error.to_string(), "check the disk and restart thunderd")
        })?;
        let payments = stored.into_iter().filter_map(|payment| {
            let slot = self.channels.by_id(payment.channel)?;
            Some(super::channel_info::stored_payment(&slot.channel, payment))
        });
        Ok(History { payments: payments.collect() })
    }

    fn receipts(&self, selector: &Selector) -> Answer<Receipts> {
        let address = self.find_channel(selector, Purpose::Export)?;
        let slot = self.channels.get(&address);
        slot.and_then(|slot| super::channel_info::receipts(&slot.channel)).ok_or_else(|| {
            let hint = "receipts start when the channel is ACTIVE; see infos";
            ApiError::new(Code::WrongState, "the channel has no receipts", hint)
        })
    }
}

fn invalid_receipt(what: impl Into<String>) -> ApiError {
    let hint = "export one with `thunder-cli receipts`; amounts are in base units";
    ApiError::new(Code::InvalidReceipt, what, hint)
}

/// A receipt of a file: the shares are decimal base units.
pub(super) fn parse_receipt(nonce: u64, a: &str, b: &str) -> Result<Receipt, ApiError> {
    let units = |text: &str| {
        let units = text.parse().ok().and_then(Amount::from_base_units);
        units.ok_or_else(|| invalid_receipt("the receipt's balances are no amounts"))
    };
    let balances = Balances { a: units(a)?, b: units(b)? };
    let nonce = Nonce::new(nonce).ok_or_else(|| invalid_receipt("the receipt's nonce is out of range"))?;
    Ok(Receipt { nonce, balances })
}

/// A payment's id, where the user gives none: 16 random bytes.
fn fresh_id() -> Result<PaymentId, ApiError> {
    let random =
        keys::random_bytes().map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?;
    let half = random.get(..16).unwrap_or_default();
    PaymentId::new(hex::encode(half)).map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))
}

/// Why a wallet was not imported.
pub(crate) fn wallet_error(error: &keys::WalletError) -> ApiError {
    use keys::WalletError;
    use thunder_chain::keys::KeyError;
    let (code, hint) = match error {
        WalletError::Key(KeyError::Phrase(_)) => {
            (Code::InvalidPhrase, "check the words and their order; nothing was changed")
        }
        WalletError::Key(KeyError::Path) => (Code::InvalidPath, "leave --path away for the usual one"),
        WalletError::Key(KeyError::Password) => (Code::WrongPassword, "nothing was changed; try again"),
        WalletError::Key(KeyError::Keyfile(_) | KeyError::OutOfRange) => {
            (Code::InvalidKeyfile, "give the JSON file that another wallet exported")
        }
        WalletError::Key(KeyError::File { .. })
        | WalletError::Random(_)
        | WalletError::File(_)
        | WalletError::NotKept => (Code::File, "check the data directory; nothing was changed"),
    };
    ApiError::new(code, error.to_string(), hint)
}
