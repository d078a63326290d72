//! `impl Engine`: channels that have lost data (protocol rule 9), what their user decides and gives back.

use thunder_api::{
    ApiError, ApiResult, ChecksumAddress, Code, ExportedFile, ExportedReceipts, ImportReceiptRequest,
    Selector, Watchtower,
};
use thunder_protocol::channel::{ChannelCommand, DataLoss, DataLossStep, ImportedReceipt};
use thunder_protocol::{Address, Channel, Input, Role, Signature};

use crate::closing_commands::parse_receipt;
use crate::engine::Engine;
use crate::event::UserRequestId;
use crate::replies::ReplyTarget;
use crate::selection::Purpose;
use crate::wording::shares;

/// The version of watchtower records that is read.
const RECORD_VERSION: u32 = 1;

impl Engine {
    /// The channel, if it has lost data and is not closing.
    pub(crate) fn data_loss(&self, channel: &Address) -> Option<&DataLoss> {
        match &self.channels.get(channel)?.channel {
            Channel::DataLoss(lost) => Some(lost),
            Channel::Opening(_)
            | Channel::Active(_)
            | Channel::CooperativeClosing(_)
            | Channel::Closing(_)
            | Channel::Closed(_) => None,
        }
    }

    /// Whether a channel has lost data; then its user has to have seen the shares (rule 9: a FINAL receipt can't
    /// be challenged).
    pub(crate) fn may_close(&self, channel: Address, confirmed: bool) -> ApiResult<bool> {
        let Some(lost) = self.data_loss(&channel) else { return Ok(false) };
        if confirmed {
            return Ok(true);
        }
        let newest = shares(lost.common.setup.role(), &lost.newest());
        let known =
            format!("this node has lost data of the channel, and the newest that it knows is {newest}");
        let (message, hint) = match lost.step() {
            DataLossStep::User | DataLossStep::Sync | DataLossStep::Chain if !lost.is_synced() => (
                format!("{known}; the other side is not connected, and may have a newer one"),
                "connect with the other node first; `thunder-cli receipts --import <file>` takes a newer receipt that \
                 you have",
            ),
            DataLossStep::User | DataLossStep::Sync | DataLossStep::Chain => (
                format!("{known}; once signed, that is the end"),
                "`thunder-cli receipts --import <file>` takes a newer receipt that you have; `thunder-cli closechannel \
                 --yes` accepts these shares for good",
            ),
            DataLossStep::Partner => {
                let signed =
                    shares(lost.common.setup.role(), &lost.signed().unwrap_or_else(|| lost.newest()));
                (
                    format!("this node has lost data of the channel, and has signed the end on {signed}"),
                    "connect with the other node, which has to agree; `thunder-cli closechannel --yes` asks it again",
                )
            }
            DataLossStep::Answer => (
                format!("{known}; a payment of yours was not answered, so that nothing can be signed"),
                "connect with the other node, which can answer it, or close; `thunder-cli receipts --import <file>` takes \
                 a newer receipt that you have",
            ),
        };
        Err(ApiError::new(Code::DataLost, message, hint))
    }

    /// `receipts --import`. Checks the file; the core checks the receipt in it.
    pub(crate) fn import_receipt(&mut self, request_id: UserRequestId, request: &ImportReceiptRequest) {
        match self.given_receipt(request) {
            Ok((channel, given)) => {
                let command = self.register_command(channel, ReplyTarget::ReceiptImported(request_id));
                self.apply(channel, Input::Command(command, ChannelCommand::ImportReceipt(given.into())));
            }
            Err(error) => self.reply(request_id, Err(error)),
        }
    }

    /// The channel and the receipt of a file.
    fn given_receipt(&self, request: &ImportReceiptRequest) -> ApiResult<(Address, ImportedReceipt)> {
        self.require_wallet()?;
        let (of, chain_id) = match &request.file {
            ExportedFile::Receipts(file) => (file.channel, file.chain_id),
            ExportedFile::Watchtower(file) => (file.channel, file.chain_id),
        };
        if let Some(here) = self.chain.identity.map(|identity| identity.chain_id)
            && here != chain_id
        {
            let what = format!("the file is of chain {chain_id}, and this node is on chain {here}");
            return Err(invalid(what));
        }
        let named = Selector { channel: Some(of.to_string()), ..Selector::default() };
        let meant = if request.channel == Selector::default() { &named } else { &request.channel };
        let address = self.find_channel(meant, Purpose::ImportReceipt)?;
        if ChecksumAddress(address) != of {
            return Err(invalid(format!("the file is of channel {of}, not of {}", ChecksumAddress(address))));
        }
        let Some(entry) = self.channels.get(&address) else { return Err(invalid("the channel is gone")) };
        let setup = entry.channel.setup();
        let (own, partner) = (setup.party(setup.role()), setup.partner());
        let given = match &request.file {
            ExportedFile::Receipts(file) => from_export(file, setup.role())?,
            ExportedFile::Watchtower(file) => from_record(file, own, partner)?,
        };
        Ok((address, given))
    }
}

fn from_export(file: &ExportedReceipts, role: Role) -> ApiResult<ImportedReceipt> {
    let agreed = &file.agreed;
    let receipt = parse_receipt(agreed.nonce, &agreed.balance_a, &agreed.balance_b)?;
    let of = |role: Role| -> Option<Signature> {
        match role {
            Role::A => agreed.signature_a,
            Role::B => agreed.signature_b,
        }
    };
    let theirs =
        of(role.other()).ok_or_else(|| invalid("the file has no receipt that the other side has signed"))?;
    Ok(ImportedReceipt { receipt, theirs, own: of(role) })
}

fn from_record(file: &Watchtower, own: Address, partner: Address) -> ApiResult<ImportedReceipt> {
    if file.version != RECORD_VERSION {
        let version = file.version;
        return Err(invalid(format!("the record has version {version}, which this thunderd does not know")));
    }
    if file.closer != ChecksumAddress(partner) || file.beneficiary != ChecksumAddress(own) {
        return Err(invalid(format!("the record is for {}, not for this node's wallet", file.beneficiary)));
    }
    let receipt = parse_receipt(file.nonce, &file.balance_a, &file.balance_b)?;
    Ok(ImportedReceipt { receipt, theirs: file.signature, own: None })
}

fn invalid(what: impl Into<String>) -> ApiError {
    let hint = "nothing was changed; give a file that `thunder-cli receipts --output <file>` wrote on this node, with or \
                without --watchtower";
    ApiError::new(Code::InvalidReceipt, what, hint)
}
