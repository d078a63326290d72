//! What the users of a simulation do, and how they get their money out in the end.

use thunder_api::{CloseMode, CloseRequest, OpenRequest, PayRequest, PaymentRequest, Selector};
use thunder_engine::{Event, SettleCommand, UserCommand, UserRequestId};
use thunder_protocol::onchain::{Call, ClosePlan, OnChain};
use thunder_protocol::{Address, Amount, Channel, Memo, PaymentId};
use thunder_testing::values::thd;

use crate::node::CallWaiter;
use crate::world::{RequestedPayment, World};

/// So many of the last ids of a user may be ordered again.
const REPEATED: u64 = 6;

fn named(channel: &Address) -> Selector {
    Selector { channel: Some(channel.to_string()), ..Selector::default() }
}

impl World {
    fn command(&mut self, node: usize, waiting: CallWaiter, command: UserCommand) {
        if !self.nodes[node].is_alive() {
            return;
        }
        let request = UserRequestId(self.nodes[node].next_number());
        self.nodes[node].waiting.insert(request, waiting);
        let now = self.now;
        self.nodes[node].handle(Event::Command(request, command), now);
    }

    pub(crate) fn open_channel(&mut self, node: usize) {
        let partners: Vec<_> = self.nodes[node].partners().into_iter().collect();
        if partners.is_empty() || self.nodes[node].channels().len() > 8 {
            return;
        }
        let partner = partners[self.random.index(partners.len())];
        let amount = 5 + self.random.below(20);
        let deposit = if self.random.one_in(3) { Some(thd(self.random.below(amount))) } else { None };
        let request = OpenRequest { amount: thd(amount), deposit, peer: None, accept_short_period: false };
        self.command(node, CallWaiter::Other, UserCommand::Open { request, partner });
    }

    /// Pays in what is missing.
    pub(crate) fn fund_channels(&mut self, node: usize) {
        for (channel, state, _) in self.nodes[node].channels() {
            if let Channel::Opening(opening) = &state {
                let value = opening.own_missing();
                self.command(node, CallWaiter::Other, UserCommand::Fund { channel, value });
            }
        }
    }

    /// Orders a payment over any of the node's channels: a new one, or again one of the last.
    pub(crate) fn pay(&mut self, node: usize) {
        let channels = self.nodes[node].channels();
        if channels.is_empty() {
            return;
        }
        let (channel, ..) = channels[self.random.index(channels.len())];
        let made = self.orders.keys().filter(|(payer, _)| *payer == node).count() as u64;
        let is_repeated = made > 0 && self.random.one_in(4);
        let number = if is_repeated { made - self.random.below(made.min(REPEATED)) } else { made + 1 };
        let id = PaymentId::new(format!("{node}-{number}")).unwrap();
        // With 18 decimals, so that no two orders are the same.
        let amount = Amount::from_base_units(u128::from(number) * 10_000_000_000_000_000).unwrap();
        let payment = PaymentRequest { amount, memo: Memo::default(), id: Some(id.clone()) };
        let selector = if is_repeated { Selector::default() } else { named(&channel) };
        let command = UserCommand::Pay(PayRequest { channel: selector, payment });
        self.command(node, CallWaiter::Pay(id.clone()), command);
        let last = UserRequestId(self.nodes[node].last_number);
        let new = RequestedPayment { amount, paid_over: None, is_refused: false, is_unpaid: false, last };
        let order = self.orders.entry((node, id)).or_insert(new);
        (order.is_unpaid, order.last) = (false, last);
    }

    pub(crate) fn close_channel(&mut self, node: usize, channel: &Address, mode: CloseMode) {
        let request = CloseRequest { channel: named(channel), mode, confirmed: true };
        self.command(node, CallWaiter::Other, UserCommand::Close { request, gas: Ok(()) });
    }

    fn settle(&mut self, node: usize, channel: &Address, command: SettleCommand) {
        let command = UserCommand::Settle { command, selector: named(channel), gas: Ok(()) };
        self.command(node, CallWaiter::Other, command);
    }

    /// The user of a node begins to cheat; from then on its node may be mute.
    pub(crate) fn begin_to_cheat(&mut self, node: usize) {
        self.nodes[node].is_cheat = true;
        if self.random.one_in(3) {
            self.nodes[node].is_mute = true;
            (0..self.nodes.len()).for_each(|other| self.disconnect(node, other));
        }
    }

    /// A cheat posts anything that it can with what the other side has ever signed.
    pub(crate) fn cheat(&mut self, node: usize) {
        let channels = self.nodes[node].channels();
        if channels.is_empty() {
            return;
        }
        let (channel, _, terms) = channels[self.random.index(channels.len())].clone();
        let known = self.nodes[node].evidence.get(&channel).cloned().unwrap_or_default();
        if known.is_empty() {
            return;
        }
        let base = known[self.random.index(known.len())];
        let call = match self.random.below(6) {
            0..=2 => Call::Close(ClosePlan::Receipt(base)),
            3 => {
                let gift = Amount::from_base_units(u128::from(self.random.below(5)) * 10_000_000_000_000_000)
                    .unwrap();
                let balances = base.receipt.balances;
                let proposed = balances.pay(terms.role, gift).unwrap_or(balances);
                let nonce = base.receipt.nonce.next_of(terms.role).unwrap_or(base.receipt.nonce);
                Call::Close(ClosePlan::Proposal { base, nonce, proposed })
            }
            4 => Call::Challenge(base),
            _ => Call::Withdraw,
        };
        let from = self.nodes[node].wallet;
        self.chain.submit(from, terms, call, &mut self.random);
    }

    /// What a user does who wants the money out: closes, waits, withdraws.
    pub(crate) fn wind_up(&mut self, node: usize) {
        for (address, channel, _) in self.nodes[node].channels() {
            match (&channel, channel.view().status) {
                (_, OnChain::Missing | OnChain::Closed { .. }) => {}
                (_, OnChain::Empty { .. }) => self.settle(node, &address, SettleCommand::Cancel),
                (Channel::DataLoss(_), _) => self.close_channel(node, &address, CloseMode::Cooperative),
                (_, OnChain::Active { .. }) => {
                    let mode = if self.random.one_in(3) { CloseMode::Cooperative } else { CloseMode::Alone };
                    self.close_channel(node, &address, mode);
                }
                (_, OnChain::Closing(_)) => self.settle(node, &address, SettleCommand::Withdraw),
            }
        }
    }

    /// One of the many things that users do.
    pub(crate) fn user(&mut self, node: usize) {
        if self.nodes[node].is_mute {
            return;
        }
        let channels = self.nodes[node].channels();
        match self.random.below(40) {
            0..=2 => self.open_channel(node),
            3 => self.fund_channels(node),
            4 if !channels.is_empty() && self.random.one_in(4) => {
                let (address, ..) = channels[self.random.index(channels.len())];
                let mode = if self.random.one_in(2) { CloseMode::Alone } else { CloseMode::Cooperative };
                self.close_channel(node, &address, mode);
            }
            5 if !channels.is_empty() => {
                let (address, ..) = channels[self.random.index(channels.len())];
                let command = match self.random.below(8) {
                    0 => SettleCommand::Cancel,
                    1 | 2 => SettleCommand::Challenge,
                    _ => SettleCommand::Withdraw,
                };
                self.settle(node, &address, command);
            }
            _ => self.pay(node),
        }
    }
}
