//! `pay`.

use std::cell::RefCell;
use std::rc::Rc;

use thunder_api::{Answer, ApiError, Code, Paid, PayManyRequest, PayRequest, PaymentOrder, Selector};
use thunder_protocol::channel::{Command, CommandId, KnownPayment};
use thunder_protocol::{Address, Input, Payment, PaymentId, hex};
use tokio::time::Instant;

use super::Daemon;
use super::answers::{Caller, Many};
use super::asks::{Reply, or_refuse};
use super::channels::Purpose;
use super::execute::disk_error;
use super::payment_ids::EarlierPayment;
use crate::keys;

/// The most payments in one call.
const MAX_PAYMENTS: usize = 4096;

/// The channel and the id of a payment, and what the disk knows of an earlier payment with this id.
struct Target {
    channel: Address,
    id: PaymentId,
    known: Option<KnownPayment>,
    /// Whether the id was chosen by the user, and used for the first time.
    is_new: bool,
}

impl Daemon {
    pub(super) fn pay(&mut self, request: PayRequest, reply: Reply<Paid>) {
        let PayRequest { channel: selector, payment } = request;
        let new = || self.find_channel(&selector, Purpose::Pay);
        let target = or_refuse!(reply, self.payment_target(&selector, payment.id.as_ref(), new));
        let caller = self.new_caller(Caller::Paid(reply, Instant::now()));
        self.order_payment(target, payment, caller);
    }

    pub(super) fn is_opening(&self, selector: &Selector) -> Answer<bool> {
        let address = self.find_channel(selector, Purpose::Pay)?;
        let slot = self.channels.get(&address);
        Ok(slot.is_some_and(|slot| matches!(slot.channel, thunder_protocol::Channel::Opening(_))))
    }

    pub(super) fn pay_many(&mut self, request: PayManyRequest, reply: Reply<Vec<Answer<Paid>>>) {
        let PayManyRequest { channel: selector, payments } = request;
        or_refuse!(reply, self.require_wallet().map(|_| ()));
        let count = payments.len();
        if count == 0 || count > MAX_PAYMENTS {
            let message = format!("a call takes 1 to {MAX_PAYMENTS} payments");
            let _ = reply.send(Err(ApiError::new(Code::Busy, message, "make several calls")));
            return;
        }
        // For what is new; a payment that was made before needs no channel.
        let channel = self.find_channel(&selector, Purpose::Pay);
        let many =
            Many { answers: vec![None; count], missing: count, ordered: Instant::now(), reply: Some(reply) };
        let many = Rc::new(RefCell::new(many));
        for (index, payment) in payments.into_iter().enumerate() {
            let caller = self.new_caller(Caller::OneOf(index, Rc::clone(&many)));
            match self.payment_target(&selector, payment.id.as_ref(), || channel.clone()) {
                Ok(target) => self.order_payment(target, payment, caller),
                Err(error) => self.fail(caller, error),
            }
        }
    }

    /// Where a payment goes: with an id that the wallet has used before, to the channel that knows what became
    /// of it (rule 6); otherwise to the channel that `new` says.
    fn payment_target(
        &self,
        selector: &Selector,
        id: Option<&PaymentId>,
        new: impl FnOnce() -> Answer<Address>,
    ) -> Answer<Target> {
        let wallet = self.require_wallet()?.address;
        // An id that is made here is new.
        let Some(id) = id else {
            return Ok(Target { channel: new()?, id: fresh_id()?, known: None, is_new: false });
        };
        let earlier = self.payment_ids.find(id, &wallet, &self.channels, &self.store);
        match earlier.map_err(|error| disk_error(&error))? {
            Some(EarlierPayment { channel, known }) => {
                self.require_same_payee(selector, &channel)?;
                Ok(Target { channel, id: id.clone(), known, is_new: false })
            }
            None => Ok(Target { channel: new()?, id: id.clone(), known: None, is_new: true }),
        }
    }

    /// Refuses a selector that names somebody other than the payee of the earlier payment, which went over this
    /// channel. Any channel with the payee names the payee.
    fn require_same_payee(&self, selector: &Selector, channel: &Address) -> Answer<()> {
        let Some(payee) = self.channels.get(channel).map(|slot| slot.channel.setup().partner()) else {
            return Ok(());
        };
        let is_named = |other: &Address| {
            self.channels.get(other).is_some_and(|slot| self.is_meant(selector, other, slot))
        };
        if self.channels.of_partner(&payee).iter().any(is_named) {
            return Ok(());
        }
        let message = format!("the payment with this id went to {payee}, over channel {channel}");
        let hint =
            "give a new payment a new id; to learn what became of that one, leave out --peer and --channel";
        Err(ApiError::new(Code::IdInUse, message, hint))
    }

    fn order_payment(&mut self, target: Target, order: PaymentOrder, caller: CommandId) {
        let Target { channel, id, known, is_new } = target;
        let PaymentOrder { amount, memo, id: _ } = order;
        if is_new {
            self.payment_ids.insert(id.clone(), channel, caller);
        }
        let payment = Payment { id, amount, memo };
        self.ordered.insert(channel);
        self.apply(channel, Input::Command(caller, Command::Pay { payment, known, more: true }));
    }
}

/// A payment's id, where the user gives none: 16 random bytes.
fn fresh_id() -> Result<PaymentId, ApiError> {
    let random =
        keys::random_bytes().map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?;
    let half = random.get(..16).unwrap_or_default();
    PaymentId::new(hex::encode(half)).map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))
}
