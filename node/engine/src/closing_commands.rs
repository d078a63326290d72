//! `impl Engine`: `closechannel`, `challenge`, `withdraw` and `cancel`.

use thunder_api::{ApiError, ApiResult, CloseRequest, Code, ExportedReceipt, Selector};
use thunder_protocol::channel::{ChannelCommand, CloseMode};
use thunder_protocol::onchain::{EndKind, Evidence, OnChain};
use thunder_protocol::{Address, Amount, Balances, Input, Nonce, Receipt, Role};

use crate::channels::{ChannelEntry, is_live};
use crate::engine::Engine;
use crate::event::{SettleCommand, UserRequestId};
use crate::replies::ReplyTarget;
use crate::selection::Purpose;

impl Engine {
    pub(crate) fn close(&mut self, request_id: UserRequestId, request: &CloseRequest, gas: ApiResult<()>) {
        match self.close_command(request, gas) {
            Ok((channel, command)) => {
                let id = self.register_command(channel, ReplyTarget::Closing(request_id));
                self.apply(channel, Input::Command(id, command));
            }
            Err(error) => self.reply(request_id, Err(error)),
        }
    }

    fn close_command(
        &mut self,
        request: &CloseRequest,
        gas: ApiResult<()>,
    ) -> ApiResult<(Address, ChannelCommand)> {
        self.require_wallet()?;
        let channel = self.find_channel(&request.channel, Purpose::Close)?;
        let has_lost_data = self.may_close(channel, request.confirmed)?;
        // The closing flag stops payments, so it is set only if the closing can be sent.
        self.require_chain()?;
        // Payments that came before in this batch are proposed first, so that the closing does not fail them.
        self.propose_payments();
        let is_closed = self.channels.get(&channel).is_some_and(|entry| !Purpose::Close.fits(&entry.channel));
        if !is_closed {
            gas?;
        }
        let command = match &request.mode {
            thunder_api::CloseMode::Alone | thunder_api::CloseMode::Cooperative if has_lost_data => {
                ChannelCommand::SignFinal
            }
            thunder_api::CloseMode::Alone => ChannelCommand::Close(CloseMode::Alone),
            thunder_api::CloseMode::Cooperative => ChannelCommand::Close(CloseMode::Cooperative),
            thunder_api::CloseMode::Receipt { receipt, even_if_old } => ChannelCommand::Close(
                CloseMode::Receipt(self.chosen_receipt(channel, receipt, *even_if_old)?),
            ),
        };
        Ok((channel, command))
    }

    fn chosen_receipt(
        &self,
        channel: Address,
        chosen: &ExportedReceipt,
        even_if_old: bool,
    ) -> ApiResult<Evidence> {
        let receipt = parse_receipt(chosen.nonce, &chosen.balance_a, &chosen.balance_b)?;
        let Some(entry) = self.channels.get(&channel) else {
            return Err(invalid_receipt("the channel is gone"));
        };
        if chosen.digest != entry.channel.setup().domain().digest(&receipt) {
            let message = format!("this is not a receipt of channel {channel}");
            let hint = format!(
                "write one of it to a file: thunder-cli receipts --channel {channel} --output <file>"
            );
            return Err(ApiError::new(Code::InvalidReceipt, message, hint));
        }
        let newest =
            entry.channel.receipts().map(|receipts| (receipts.agreed.nonce(), receipts.proposal.is_some()));
        let is_newest = newest == Some((receipt.nonce, false));
        if !is_newest && !even_if_old {
            let message = "this is not the newest receipt: the other side can answer with a newer one and take everything";
            return Err(ApiError::new(Code::InvalidReceipt, message, "to do it nevertheless, add --yes"));
        }
        let signature = match entry.channel.setup().role() {
            Role::A => chosen.signature_b,
            Role::B => chosen.signature_a,
        };
        Ok(Evidence { receipt, signature })
    }

    pub(crate) fn settle(
        &mut self,
        request_id: UserRequestId,
        command: SettleCommand,
        selector: &Selector,
        gas: ApiResult<()>,
    ) {
        let (purpose, command) = match command {
            SettleCommand::Challenge => (Purpose::Challenge, ChannelCommand::Challenge),
            SettleCommand::Withdraw => (Purpose::Withdraw, ChannelCommand::Withdraw),
            SettleCommand::Cancel => (Purpose::Cancel, ChannelCommand::Cancel),
        };
        match self.channel_to_settle(selector, purpose, gas) {
            Ok((channel, was_over)) => {
                let id =
                    self.register_command(channel, ReplyTarget::PaidOut { request: request_id, was_over });
                self.apply(channel, Input::Command(id, command));
            }
            Err(error) => self.reply(request_id, Err(error)),
        }
    }

    /// The channel, and whether it is paid out already.
    fn channel_to_settle(
        &self,
        selector: &Selector,
        purpose: Purpose,
        gas: ApiResult<()>,
    ) -> ApiResult<(Address, bool)> {
        self.require_wallet()?;
        let channel = match (self.find_channel(selector, purpose), purpose) {
            // A channel that is paid out already, perhaps by the other side, gets a reply and no error.
            (Err(error), Purpose::Withdraw | Purpose::Challenge | Purpose::Cancel) => {
                self.newest_paid_out(selector, purpose).ok_or(error)?
            }
            (found, _) => found?,
        };
        let entry = self.channels.get(&channel);
        if entry.is_some_and(|entry| purpose.fits(&entry.channel)) {
            self.require_chain()?;
            gas?;
        }
        Ok((channel, entry.is_some_and(|entry| !is_live(&entry.channel))))
    }

    /// The channel that was paid out last, and by `challenge` or `cancel` if that is the command, if the command can
    /// only mean it.
    fn newest_paid_out(&self, selector: &Selector, purpose: Purpose) -> Option<Address> {
        let all = self.find_all(selector);
        if all.iter().any(|(_, entry)| is_live(&entry.channel)) {
            return None;
        }
        let was_done = |(_, entry): &&(&Address, &ChannelEntry)| match entry.channel.view().status {
            OnChain::Closed { end, .. } => match purpose {
                Purpose::Challenge => end.kind == EndKind::Challenged,
                Purpose::Cancel => end.kind == EndKind::Cancelled,
                _ => true,
            },
            _ => false,
        };
        all.iter().find(was_done).map(|(address, _)| **address)
    }
}

fn invalid_receipt(what: impl Into<String>) -> ApiError {
    let hint = "export one with `thunder-cli receipts`; amounts are in base units";
    ApiError::new(Code::InvalidReceipt, what, hint)
}

/// A receipt of a file: the shares are decimal base units.
pub(crate) fn parse_receipt(nonce: u64, a: &str, b: &str) -> ApiResult<Receipt> {
    let units = |text: &str| {
        let units = text.parse().ok().and_then(Amount::from_base_units);
        units.ok_or_else(|| invalid_receipt("the receipt's balances are no amounts"))
    };
    let balances = Balances { a: units(a)?, b: units(b)? };
    let nonce = Nonce::new(nonce).ok_or_else(|| invalid_receipt("the receipt's nonce is out of range"))?;
    Ok(Receipt { nonce, balances })
}
