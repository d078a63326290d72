//! `UserRequest`: what handlers ask of the daemon, and where each goes: answered here, or a command of the engine.

use std::path::PathBuf;

use libp2p::Multiaddr;
use thunder_api::{
    ApiResult, CloseRequest, ClosingStarted, ExportedReceipts, FundRequest, ImportReceiptRequest, Infos,
    OpenRequest, Paid, PaidIn, PaidOut, PayManyRequest, PayRequest, PaymentInfo, Peer, ReceiptImported,
    Restored, Selector, WalletImported,
};
use thunder_engine::{SettleCommand, UserCommand, disk_error};
use thunder_protocol::{Address, Amount, B256, Signature};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Daemon;
use super::health::Health;
use super::network::engine_peer;
use super::pending_replies::PendingReply;
use super::queries::HistoryScope;
use crate::backup::Unpacked;
use crate::keys::SealedWallet;
use crate::p2p::PeerAddress;
use crate::store::SettledPayment;

/// Where a reply goes.
pub type ReplySender<T> = oneshot::Sender<ApiResult<T>>;

/// A question or a command of a user.
pub enum UserRequest {
    /// `infos`, with all CLOSED channels or not.
    Infos(bool, ReplySender<Infos>),
    /// The wallet, and what of it is in channels: the rest of `balance` is the chain's to say.
    Shares(ReplySender<(Address, Amount)>),
    /// Sign a backup whose content has this hash.
    SignBackup(B256, ReplySender<(Address, Signature)>),
    /// Measure what `--metrics` says, and say how the node is.
    Measure(ReplySender<Health>),
    /// Whether a backup could be restored into this data directory now.
    MayRestore(PathBuf, ReplySender<()>),
    /// Make this verified backup the node's state, in this data directory.
    Restore(Unpacked, PathBuf, ReplySender<Restored>),
    /// Put this wallet in the place of the present one, on disk and in memory; of another one only if that may be
    /// replaced.
    ImportWallet(SealedWallet, bool, ReplySender<WalletImported>),
    /// Whether a new wallet could be imported now, and whether another one may be replaced.
    MayImportNew(bool, ReplySender<()>),
    /// `connect`, with the name looked up.
    Connect(PeerAddress, Vec<Multiaddr>, ReplySender<Peer>),
    /// Who would open, with whom, and what other openings are still to take out of the wallet: the balances are looked
    /// at before the other side is asked.
    OpenWith(OpenRequest, ReplySender<(Address, Address, Amount)>),
    /// `openchannel`, with this partner.
    Open(OpenRequest, Address, ReplySender<PaidIn>),
    /// How much `fund` would pay, into which channel.
    FundHow(FundRequest, ReplySender<(Address, Address, Amount)>),
    /// `fund`.
    Fund(Address, Amount, ReplySender<PaidIn>),
    /// `pay`.
    Pay(PayRequest, ReplySender<Paid>),
    /// Whether the channel that a payment would go over has yet to open, as far as this node has read the chain.
    IsOpening(Selector, ReplySender<bool>),
    /// Many of them.
    PayMany(PayManyRequest, ReplySender<Vec<ApiResult<Paid>>>),
    /// `closechannel`, and whether there is ether for its gas.
    Close(CloseRequest, ApiResult<()>, ReplySender<ClosingStarted>),
    /// `challenge`, `withdraw` or `cancel`, and whether there is ether for its gas.
    Settle(SettleCommand, Selector, ApiResult<()>, ReplySender<PaidOut>),
    /// To be told when the chain is read up to this block.
    ReadUpTo(u64, ReplySender<()>),
    /// Which channels `history` is about, and their own proposals that are not answered.
    HistoryScope(Selector, ReplySender<HistoryScope>),
    /// The payments as `history` shows them.
    DescribePayments(Vec<SettledPayment>, ReplySender<Vec<PaymentInfo>>),
    /// Some of the oldest events before this time are to be deleted.
    PruneEvents(u64, ReplySender<u64>),
    /// `receipts`.
    Receipts(Selector, ReplySender<ExportedReceipts>),
    /// `receipts --import`.
    ImportReceipt(ImportReceiptRequest, ReplySender<ReceiptImported>),
    /// Whether there is too little ether for what the channels may need.
    GasWarning(ReplySender<Option<String>>),
}

impl Daemon {
    pub(super) fn on_request(&mut self, request: UserRequest) {
        // What is done now would be replaced. The user is told that the node is stopping.
        if self.is_restored {
            return;
        }
        match request {
            UserRequest::Infos(all, reply) => drop(reply.send(Ok(self.infos(all)))),
            UserRequest::Shares(reply) => drop(reply.send(self.shares())),
            UserRequest::SignBackup(content, reply) => drop(reply.send(self.sign_backup(content))),
            UserRequest::Measure(reply) => drop(reply.send(Ok(self.measure()))),
            UserRequest::GasWarning(reply) => drop(reply.send(Ok(self.gas_warning()))),
            UserRequest::MayRestore(directory, reply) => drop(reply.send(self.may_restore(&directory))),
            UserRequest::Restore(backup, directory, reply) => {
                drop(reply.send(self.restore(backup, &directory)))
            }
            UserRequest::ImportWallet(sealed, replace, reply) => {
                drop(reply.send(self.import_wallet(sealed, replace)))
            }
            UserRequest::MayImportNew(replace, reply) => drop(reply.send(self.may_import_new(replace))),
            UserRequest::OpenWith(request, reply) => drop(reply.send(self.open_with(&request))),
            UserRequest::FundHow(request, reply) => drop(reply.send(self.fund_how(&request))),
            UserRequest::IsOpening(selector, reply) => drop(reply.send(self.is_opening(&selector))),
            UserRequest::HistoryScope(selector, reply) => drop(reply.send(self.history_scope(&selector))),
            UserRequest::DescribePayments(payments, reply) => {
                drop(reply.send(Ok(self.describe_payments(payments))))
            }
            UserRequest::PruneEvents(before, reply) => {
                let pruned = self.store.prune_events(before).map_err(|error| disk_error(&error));
                drop(reply.send(pruned));
            }
            UserRequest::Receipts(selector, reply) => drop(reply.send(self.receipts(&selector))),
            UserRequest::Connect(address, found, reply) => {
                let peer = address.peer().as_ref().map(engine_peer);
                let addresses = found.iter().map(ToString::to_string).collect();
                self.command(PendingReply::Peer(reply), UserCommand::Connect { peer, addresses });
            }
            UserRequest::Open(request, partner, reply) => {
                self.command(PendingReply::PaidIn(reply), UserCommand::Open { request, partner });
            }
            UserRequest::Fund(channel, value, reply) => {
                self.command(PendingReply::PaidIn(reply), UserCommand::Fund { channel, value });
            }
            UserRequest::Pay(request, reply) => {
                self.command(PendingReply::Paid(reply, Instant::now()), UserCommand::Pay(request));
            }
            UserRequest::PayMany(request, reply) => {
                self.command(PendingReply::PaidMany(reply, Instant::now()), UserCommand::PayMany(request));
            }
            UserRequest::Close(request, gas, reply) => {
                self.command(PendingReply::Closing(reply), UserCommand::Close { request, gas });
            }
            UserRequest::Settle(command, selector, gas, reply) => {
                self.command(PendingReply::PaidOut(reply), UserCommand::Settle { command, selector, gas });
            }
            UserRequest::ImportReceipt(request, reply) => {
                self.command(
                    PendingReply::ReceiptImported(reply),
                    UserCommand::ImportReceipt(Box::new(request)),
                );
            }
            UserRequest::ReadUpTo(block, reply) => {
                self.command(PendingReply::Block(reply), UserCommand::AwaitBlock(block));
            }
        }
    }
}
