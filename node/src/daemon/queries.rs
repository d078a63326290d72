//! `impl Daemon`: questions of users, which change nothing.

use thunder_api::{
    ApiError, ApiResult, Code, ExportedReceipts, FundRequest, OpenRequest, PaymentInfo, Selector,
};
use thunder_engine::{Purpose, deposit_of, is_live};
use thunder_protocol::{Address, Amount, B256, Channel, Crypto, Signature, backup_digest};

use super::{Daemon, channel_info, payment_info};
use crate::store::{ProposedPayments, SettledPayment};

/// Which payments a user means.
pub struct HistoryScope {
    /// Of these channels' rows; `None` for all channels.
    pub channels: Option<Vec<i64>>,
    /// The own proposals of these channels that are not answered.
    pub proposals: Vec<ProposedPayments>,
}

impl Daemon {
    /// The wallet, and what of it is in channels.
    pub(super) fn shares(&self) -> ApiResult<(Address, Amount)> {
        let live = self.engine.channels().newest_first().filter(|(_, entry)| is_live(&entry.channel));
        let shares = live.map(|(_, entry)| entry.channel.balances().of(entry.channel.setup().role()));
        let total = Amount::checked_sum(shares).unwrap_or(Amount::MAX);
        Ok((self.engine.require_wallet()?, total))
    }

    pub(super) fn sign_backup(&self, content: B256) -> ApiResult<(Address, Signature)> {
        let address = self.engine.require_wallet()?;
        let signature = self.engine.wallet().map(|wallet| wallet.sign(&backup_digest(content)));
        let gone = || ApiError::new(Code::Internal, "the wallet is gone", "import it again");
        Ok((address, signature.ok_or_else(gone)?))
    }

    /// Who would open a channel, with whom, and what other openings are still to take out of the wallet.
    pub(super) fn open_with(&self, request: &OpenRequest) -> ApiResult<(Address, Address, Amount)> {
        let (_, own) = self.engine.require_ready()?;
        if request.amount.is_zero() {
            let message = "a channel has to hold something";
            return Err(ApiError::new(Code::ZeroAmount, message, "give an amount above zero"));
        }
        if deposit_of(request) > request.amount {
            let message = "the deposit is more than the channel is to hold";
            let hint = "give a --deposit of at most the amount";
            return Err(ApiError::new(Code::AmountOutOfRange, message, hint));
        }
        let short = self.engine.chain().short_period().filter(|_| !request.accept_short_period);
        if let Some(period) = short {
            let seconds = period / 1000;
            let message = format!(
                "the challenge period of this chain lasts {seconds} seconds: a node that is away for that long can't answer a closing on an old receipt"
            );
            return Err(ApiError::new(
                Code::ShortChallengePeriod,
                message,
                "open it all the same with --yes, if this node and its RPC endpoint are never away for so long",
            ));
        }
        let partner = self.engine.find_partner(request.peer.as_deref())?;
        Ok((own, partner, self.engine.deposits_under_way()))
    }

    /// How much `fund` would pay, into which channel.
    pub(super) fn fund_how(&self, request: &FundRequest) -> ApiResult<(Address, Address, Amount)> {
        let (_, own) = self.engine.require_ready()?;
        let address = self.engine.find_channel(&request.channel, Purpose::Fund)?;
        let missing = self.engine.channels().get(&address).and_then(|entry| match &entry.channel {
            Channel::Opening(opening) => Some(opening.own_missing()),
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

    /// Whether the channel that a payment would go over has yet to open.
    pub(super) fn is_opening(&self, selector: &Selector) -> ApiResult<bool> {
        let address = self.engine.find_channel(selector, Purpose::Pay)?;
        let entry = self.engine.channels().get(&address);
        Ok(entry.is_some_and(|entry| matches!(entry.channel, Channel::Opening(_))))
    }

    pub(super) fn history_scope(&self, selector: &Selector) -> ApiResult<HistoryScope> {
        let is_for_all = selector.names_nothing();
        let entries: Vec<_> = match is_for_all {
            true => self.engine.channels().newest_first().collect(),
            false => self.engine.find_all(selector),
        };
        if entries.is_empty() && !is_for_all {
            // It says why.
            self.engine.find_channel(selector, Purpose::Look)?;
        }
        let entries = || entries.iter().map(|(_, entry)| *entry);
        Ok(HistoryScope {
            channels: (!is_for_all).then(|| entries().map(|entry| entry.row).collect()),
            proposals: entries().filter_map(channel_info::proposed).collect(),
        })
    }

    /// The payments as `history` shows them, without those of another chain.
    pub(super) fn describe_payments(&self, payments: Vec<SettledPayment>) -> Vec<PaymentInfo> {
        let channels = self.engine.channels();
        let described = payments.into_iter().filter_map(|payment| {
            let entry = channels.by_row(payment.payment.channel)?;
            let status = channel_info::status(&entry.channel, &payment.payment);
            Some(payment_info(payment, status))
        });
        described.collect()
    }

    pub(super) fn receipts(&self, selector: &Selector) -> ApiResult<ExportedReceipts> {
        let address = self.engine.find_channel(selector, Purpose::Export)?;
        let entry = self.engine.channels().get(&address);
        entry.and_then(|entry| channel_info::receipts(&entry.channel)).ok_or_else(|| {
            let hint = "receipts start when the channel is ACTIVE; see infos";
            ApiError::new(Code::WrongState, "the channel has no receipts", hint)
        })
    }
}
