//! `impl Engine`: `pay`, and many payments in one call.

use thunder_api::{ApiError, ApiResult, Code, Paid, PayManyRequest, PayRequest, PaymentRequest, Selector};
use thunder_protocol::channel::{ChannelCommand, CommandId, KnownPayment};
use thunder_protocol::{Address, Input, Payment, PaymentId, hex};

use crate::engine::Engine;
use crate::errors::disk_error;
use crate::event::UserRequestId;
use crate::outbox::Reply;
use crate::payment_ids::EarlierPayment;
use crate::replies::ReplyTarget;

/// The most payments in one call.
pub const MAX_PAYMENTS_IN_CALL: usize = 4096;

/// The channel and the id of a payment, and what the disk knows of an earlier payment with this id.
struct Target {
    channel: Address,
    id: PaymentId,
    known: Option<KnownPayment>,
    /// Whether the id was chosen by the user, and used for the first time.
    is_new: bool,
}

/// The replies to a call with many payments, as they come in.
#[derive(Debug)]
pub(crate) struct PaidMany {
    replies: Vec<Option<ApiResult<Paid>>>,
    missing: usize,
}

impl PaidMany {
    /// Notes what became of a payment. Returns all of them once none is missing.
    pub(crate) fn put(&mut self, index: usize, reply: ApiResult<Paid>) -> Option<Vec<ApiResult<Paid>>> {
        if let Some(place @ None) = self.replies.get_mut(index) {
            *place = Some(reply);
            self.missing -= 1;
        }
        (self.missing == 0).then(|| std::mem::take(&mut self.replies).into_iter().flatten().collect())
    }
}

impl Engine {
    pub(crate) fn pay(&mut self, request_id: UserRequestId, request: PayRequest) {
        let PayRequest { channel: selector, payment } = request;
        let amount = payment.amount;
        let new = |engine: &Self| {
            engine.channels_to_pay_over(&selector).and_then(|channels| engine.payable(&channels, amount))
        };
        match self.payment_target(&selector, payment.id.as_ref(), new) {
            Ok(target) => {
                let command = self.register_command(target.channel, ReplyTarget::Paid(request_id));
                self.apply_payment(target, payment, command);
            }
            Err(error) => self.reply(request_id, Err(error)),
        }
    }

    pub(crate) fn pay_many(&mut self, request_id: UserRequestId, request: PayManyRequest) {
        let PayManyRequest { channel: selector, payments } = request;
        let count = payments.len();
        if let Err(error) = self.require_wallet() {
            return self.reply(request_id, Err(error));
        }
        if count == 0 || count > MAX_PAYMENTS_IN_CALL {
            let message = format!("a call takes 1 to {MAX_PAYMENTS_IN_CALL} payments");
            return self.reply(request_id, Err(ApiError::new(Code::Busy, message, "make several calls")));
        }
        // For what is new; a payment that was made before needs no channel.
        let channels = self.channels_to_pay_over(&selector);
        self.paid_many.insert(request_id, PaidMany { replies: vec![None; count], missing: count });
        for (index, payment) in payments.into_iter().enumerate() {
            let new = |engine: &Self| {
                channels.as_ref().map_err(Clone::clone).and_then(|all| engine.payable(all, payment.amount))
            };
            match self.payment_target(&selector, payment.id.as_ref(), new) {
                Ok(target) => {
                    let command =
                        self.register_command(target.channel, ReplyTarget::OneOf(request_id, index));
                    self.apply_payment(target, payment, command);
                }
                Err(error) => self.reply_one_of(request_id, index, Err(error)),
            }
        }
    }

    /// Where a payment goes: with an id that the wallet has used before, to the channel that knows what became
    /// of it (rule 6); otherwise to the channel that `new` finds.
    fn payment_target(
        &mut self,
        selector: &Selector,
        id: Option<&PaymentId>,
        new: impl FnOnce(&Self) -> ApiResult<Address>,
    ) -> ApiResult<Target> {
        let wallet = self.require_wallet()?;
        // An id that is made here is new.
        let Some(id) = id else {
            return Ok(Target { channel: new(self)?, id: self.fresh_id()?, known: None, is_new: false });
        };
        let earlier = self.payment_ids.find(id, &wallet, &self.channels, &self.batch_payments, &*self.disk);
        match earlier.map_err(|error| disk_error(&error))? {
            Some(EarlierPayment { channel, known }) => {
                self.require_same_payee(selector, &channel)?;
                Ok(Target { channel, id: id.clone(), known, is_new: false })
            }
            None => Ok(Target { channel: new(self)?, id: id.clone(), known: None, is_new: true }),
        }
    }

    /// Refuses a selector that names somebody other than the payee of the earlier payment, which went over this
    /// channel. Any channel with the payee names the payee.
    fn require_same_payee(&self, selector: &Selector, channel: &Address) -> ApiResult<()> {
        let Some(payee) = self.channels.get(channel).map(|entry| entry.channel.setup().partner()) else {
            return Ok(());
        };
        let is_named = |other: &Address| {
            self.channels.get(other).is_some_and(|entry| self.is_meant(selector, other, entry))
        };
        if self.channels.of_partner(&payee).iter().any(is_named) {
            return Ok(());
        }
        let message = format!("the payment with this id went to {payee}, over channel {channel}");
        let hint =
            "give a new payment a new id; to learn what became of that one, leave out --peer and --channel";
        Err(ApiError::new(Code::IdInUse, message, hint))
    }

    fn apply_payment(&mut self, target: Target, request: PaymentRequest, command: CommandId) {
        let Target { channel, id, known, is_new } = target;
        let PaymentRequest { amount, memo, id: _ } = request;
        if is_new {
            self.payment_ids.insert(id.clone(), channel, command);
        }
        let payment = Payment { id, amount, memo };
        self.dirty_channels.insert(channel);
        self.apply(channel, Input::Command(command, ChannelCommand::Pay { payment, known }));
    }

    /// One of many payments has a reply.
    pub(crate) fn reply_one_of(&mut self, request_id: UserRequestId, index: usize, reply: ApiResult<Paid>) {
        let all = self.paid_many.get_mut(&request_id).and_then(|many| many.put(index, reply));
        if let Some(all) = all {
            self.paid_many.remove(&request_id);
            self.reply(request_id, Ok(Reply::PaidMany(all)));
        }
    }

    /// A payment's id, where the user gives none: 16 random bytes.
    fn fresh_id(&mut self) -> ApiResult<PaymentId> {
        let random = self.random_bytes();
        let half = random.get(..16).unwrap_or_default();
        PaymentId::new(hex::encode(half))
            .map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))
    }
}
