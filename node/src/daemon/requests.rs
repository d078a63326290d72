//! What users ask of the daemon, through the local socket.

use std::path::PathBuf;

use libp2p::Multiaddr;
use thunder_api::{
    ApiResult, CloseRequest, ClosingStarted, FundRequest, History, HistoryRequest, ImportRequest, Infos,
    OpenRequest, Paid, PaidIn, PaidOut, PayManyRequest, PayRequest, Peer, ReceiptImported, Receipts,
    Restored, Selector,
};
use thunder_engine::{Command, SettleCommand};
use thunder_protocol::{Address, Amount, B256, Signature};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Daemon;
use super::health::Health;
use super::network::engine_peer;
use super::pending_replies::PendingReply;
use crate::backup::Unpacked;
use crate::keys::SealedWallet;
use crate::p2p::PeerAddress;

/// Where a reply goes.
pub type Reply<T> = oneshot::Sender<ApiResult<T>>;

/// A question or a command of a user.
pub enum Request {
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
    PayMany(PayManyRequest, Reply<Vec<ApiResult<Paid>>>),
    /// `closechannel`, and whether there is ether for its gas.
    Close(CloseRequest, ApiResult<()>, Reply<ClosingStarted>),
    /// `challenge`, `withdraw` or `cancel`, and whether there is ether for its gas.
    Settle(SettleCommand, Selector, ApiResult<()>, Reply<PaidOut>),
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

impl Daemon {
    pub(super) fn on_request(&mut self, request: Request) {
        // What is done now would be replaced. The user is told that the node is stopping.
        if self.is_restored {
            return;
        }
        match request {
            Request::Infos(reply) => drop(reply.send(Ok(self.infos()))),
            Request::Shares(reply) => drop(reply.send(self.shares())),
            Request::SignBackup(content, reply) => drop(reply.send(self.sign_backup(content))),
            Request::Measure(reply) => drop(reply.send(Ok(self.measure()))),
            Request::GasWarning(reply) => drop(reply.send(Ok(self.gas_warning()))),
            Request::MayRestore(directory, reply) => drop(reply.send(self.may_restore(&directory))),
            Request::Restore(backup, directory, reply) => drop(reply.send(self.restore(backup, &directory))),
            Request::Import(sealed, reply) => drop(reply.send(self.import(sealed))),
            Request::OpenWith(request, reply) => drop(reply.send(self.open_with(&request))),
            Request::FundHow(request, reply) => drop(reply.send(self.fund_how(&request))),
            Request::IsOpening(selector, reply) => drop(reply.send(self.is_opening(&selector))),
            Request::History(request, reply) => drop(reply.send(self.history(&request))),
            Request::Receipts(selector, reply) => drop(reply.send(self.receipts(&selector))),
            Request::Connect(address, found, reply) => {
                let peer = address.peer().as_ref().map(engine_peer);
                let addresses = found.iter().map(ToString::to_string).collect();
                self.command(PendingReply::Peer(reply), Command::Connect { peer, addresses });
            }
            Request::Open(request, partner, reply) => {
                self.command(PendingReply::PaidIn(reply), Command::Open { request, partner });
            }
            Request::Fund(channel, value, reply) => {
                self.command(PendingReply::PaidIn(reply), Command::Fund { channel, value });
            }
            Request::Pay(request, reply) => {
                self.command(PendingReply::Paid(reply, Instant::now()), Command::Pay(request));
            }
            Request::PayMany(request, reply) => {
                self.command(PendingReply::PaidMany(reply, Instant::now()), Command::PayMany(request));
            }
            Request::Close(request, gas, reply) => {
                self.command(PendingReply::Closing(reply), Command::Close { request, gas });
            }
            Request::Settle(command, selector, gas, reply) => {
                self.command(PendingReply::PaidOut(reply), Command::Settle { command, selector, gas });
            }
            Request::ImportReceipt(request, reply) => {
                self.command(PendingReply::Imported(reply), Command::ImportReceipt(Box::new(request)));
            }
            Request::ReadUpTo(block, reply) => {
                self.command(PendingReply::Block(reply), Command::AwaitBlock(block));
            }
        }
    }
}
