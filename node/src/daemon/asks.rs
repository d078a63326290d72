//! What users ask of the daemon, through the local socket.

use std::path::PathBuf;

use libp2p::Multiaddr;
use thunder_api::{
    Answer, ApiError, CloseRequest, ClosingStarted, Code, ExportedReceipt, FundRequest, History,
    HistoryRequest, ImportRequest, Infos, OpenRequest, Paid, PaidIn, PaidOut, PayManyRequest, PayRequest,
    Peer, ReceiptImported, Receipts, Restored, Selector,
};
use thunder_chain::ChainId;
use thunder_protocol::channel::{CloseMode, Command};
use thunder_protocol::onchain::Evidence;
use thunder_protocol::{
    Address, Amount, B256, Balances, Crypto, Input, Nonce, Receipt, Role, Signature, backup_digest,
};
use tokio::sync::oneshot;

use super::answers::Caller;
use super::channels::Purpose;
use super::execute::is_live;
use super::measure::Health;
use super::{Daemon, Wallet};
use crate::backup::Unpacked;
use crate::keys::SealedWallet;
use crate::p2p::PeerAddress;

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
    /// Sign a backup whose content has this hash.
    SignBackup(B256, Reply<(Address, Signature)>),
    /// Measure what `--metrics` says, and say how the node is.
    Measure(Reply<Health>),
    /// Whether a backup could be restored into this data directory now.
    MayRestore(PathBuf, Reply<()>),
    /// Make this verified backup the node's state, in this data directory.
    Restore(Unpacked, PathBuf, Reply<Restored>),
    /// Put this wallet in the place of the present one, on disk and in memory.
    Import(SealedWallet, Reply<Address>),
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
pub(super) use or_refuse;

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
            Ask::SignBackup(content, reply) => drop(reply.send(self.sign_backup(content))),
            Ask::Measure(reply) => drop(reply.send(Ok(self.measure()))),
            Ask::MayRestore(directory, reply) => drop(reply.send(self.may_restore(&directory))),
            Ask::Restore(backup, directory, reply) => drop(reply.send(self.restore(backup, &directory))),
            Ask::Import(sealed, reply) => drop(reply.send(self.import(sealed))),
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

    fn sign_backup(&self, content: B256) -> Answer<(Address, Signature)> {
        let wallet = self.require_wallet()?;
        Ok((wallet.address, wallet.signer.sign(&backup_digest(content))))
    }

    /// The chain answers now.
    fn require_chain(&self) -> Result<ChainId, ApiError> {
        let unreachable = || {
            let message = format!("the chain at {} can't be reached", self.config.rpc);
            ApiError::new(
                Code::ChainUnreachable,
                message,
                "check that it runs, and --RPC; thunderd keeps trying",
            )
        };
        if !self.chain.is_connected() {
            return Err(unreachable());
        }
        self.chain.identity.ok_or_else(unreachable)
    }

    /// Wallet, chain and contracts are there.
    pub(super) fn require_ready(&self) -> Result<(ChainId, Address), ApiError> {
        let address = self.require_wallet()?.address;
        let identity = self.require_chain()?;
        match &self.chain.contracts_found {
            Some(Ok(())) => Ok((identity, address)),
            None => Err(ApiError::new(
                Code::ChainUnreachable,
                "THD and the channel factory were not looked for yet",
                "try again in a moment",
            )),
            Some(Err(error)) => {
                let hint = "deploy THD and the factory with `thunder-deploy thd --to <address>`, or see --token and --factory";
                Err(ApiError::new(Code::ContractsMissing, error.clone(), hint))
            }
        }
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
        if let Some(period) = self.chain.short_period().filter(|_| !request.accept_short_period) {
            let seconds = period.as_secs();
            let message = format!(
                "the challenge period of this chain lasts {seconds} seconds: a node that is away for that long can't answer a closing on an old receipt"
            );
            return Err(ApiError::new(
                Code::ShortChallengePeriod,
                message,
                "open it all the same with --yes, if this node and its RPC endpoint are never away for so long",
            ));
        }
        Ok((own, self.find_partner(request.peer.as_deref())?))
    }

    /// The wallet of the connected node that somebody means.
    fn find_partner(&self, name: Option<&str>) -> Result<Address, ApiError> {
        let connected =
            self.peers.all().into_iter().filter_map(|peer| Some((peer.wallet?.0, peer.requested)));
        let connected: Vec<_> = connected.collect();
        let wallets = self.peers.requested_wallets();
        let is_meant = |(wallet, is_requested): &&(Address, bool)| match (name, &wallets) {
            (Some(name), _) => self.peers.is_called(wallet, name),
            // Anybody can connect.
            (None, Some(requested)) => *is_requested || requested.contains(wallet),
            (None, None) => true,
        };
        let found: Vec<_> = connected.iter().filter(is_meant).map(|(wallet, _)| *wallet).collect();
        let connect = "connect to one first: thunder-cli connect <ip:port>";
        let absent = |message: String, hint| Err(ApiError::new(Code::PeerNotConnected, message, hint));
        match (found.as_slice(), name) {
            ([wallet], _) => Ok(*wallet),
            ([], Some(name)) => absent(format!("no connected node is called {name:?}"), connect),
            ([], None) if connected.is_empty() => absent("no other node is connected".into(), connect),
            ([], None) => absent(
                "no node that you asked for is connected, only others that connected by themselves".into(),
                "connect to one first: thunder-cli connect <ip:port>; or name one of the others with --peer, see infos",
            ),
            (several, _) => {
                let list: Vec<_> = several.iter().map(ToString::to_string).collect();
                let message = format!("{} nodes are connected: {}", several.len(), list.join(", "));
                let hint = "name one with --peer (peer id, wallet, or a beginning)";
                Err(ApiError::new(Code::AmbiguousPeer, message, hint))
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
        let newest =
            slot.channel.receipts().map(|receipts| (receipts.agreed.nonce(), receipts.proposal.is_some()));
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
        let all = self.find_all(selector);
        let is_any_live = all.iter().any(|(_, slot)| super::execute::is_live(&slot.channel));
        all.first().filter(|_| !is_any_live).map(|(address, _)| **address)
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
