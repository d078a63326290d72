//! One node against everything: its user, a hostile partner, a chain that goes back, and crashes.
//!
//! The partner signs whatever it likes with its own key; the newest blocks can be taken back; crashes come around
//! every write. The bytes are the script.

mod bench;
mod chain;
mod forge;
mod keys;

use arbitrary::Unstructured;
use thunder_protocol::channel::{ChainInput, ChannelCommand, CloseMode, ImportedReceipt, PeerInput};
use thunder_protocol::onchain::{Call, CallFailure, CallKind, ClosePlan, Evidence, OnChain};
use thunder_protocol::wire::Message;
use thunder_protocol::{Amount, Balances, Input, Memo, Nonce, Payment, PaymentId, Receipt, Role, codec};

use bench::{Bench, CONFIRMATIONS, Dies};
use keys::Keys;
pub use keys::Signing;

/// The most steps of one script.
const MAX_STEPS: usize = 160;

/// Runs the script that `bytes` are. Panics where something does not hold.
pub fn apply(bytes: &[u8], signing: Signing) {
    let mut bytes = Unstructured::new(bytes);
    // What runs out of bytes has come to its end.
    let _ = Script::start(&mut bytes, signing).and_then(|mut script| script.run());
}

type Step = arbitrary::Result<()>;

struct Script<'a, 'b> {
    bytes: &'a mut Unstructured<'b>,
    bench: Bench,
    /// What the partner has said.
    said: Vec<Message>,
    /// Base units in one of the script's units.
    unit: u128,
}

impl<'a, 'b> Script<'a, 'b> {
    fn start(bytes: &'a mut Unstructured<'b>, signing: Signing) -> arbitrary::Result<Self> {
        let flags = bytes.arbitrary::<u8>()?;
        let (a, b) = bytes.arbitrary::<(u8, u8)>()?;
        let role = if flags & 1 == 0 { Role::A } else { Role::B };
        let unit = if flags & 2 == 0 { 1 } else { Amount::MAX.base_units() / 510 };
        let shares =
            Balances { a: units(unit, a.into()), b: units(unit, u64::from(b) + u64::from(a == 0 && b == 0)) };
        let bench = Bench::new(Keys::new(signing), role, shares);
        let mut script = Self { bytes, bench, said: Vec::new(), unit };
        if flags & 4 == 0 {
            script.open(shares);
        }
        Ok(script)
    }

    /// Everything goes well until the channel is in use.
    fn open(&mut self, shares: Balances) {
        let partner = self.bench.partner();
        self.run_calls();
        if partner == Role::A {
            self.open_by_partner(shares.a);
        }
        let fund = Call::Fund { value: shares.b };
        let _ = self.bench.chain.call(Role::B, &fund, &self.bench.keys);
        self.bench.chain.contract.block += CONFIRMATIONS;
        self.view();
        self.bench.apply(Input::Peer(PeerInput::Connected { initiator: true }));
        if let Some(sync) = self.honest_sync() {
            self.say(sync);
        }
    }

    fn run(&mut self) -> Step {
        for _ in 0..MAX_STEPS {
            if self.bench.channel.is_none() {
                self.bench.restart();
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Step {
        match self.bytes.arbitrary::<u8>()? % 48 {
            0..=5 => self.pay()?,
            6..=11 => self.propose()?,
            12..=15 => self.answer()?,
            16 => self.refuse()?,
            17..=19 => self.sync()?,
            20 => self.finish()?,
            21 => self.repeat()?,
            22 => self.raw()?,
            23 | 24 => {
                let initiator = self.bytes.arbitrary()?;
                self.bench.apply(Input::Peer(PeerInput::Connected { initiator }));
                if let Some(sync) = self.honest_sync().filter(|_| initiator) {
                    self.say(sync);
                }
            }
            25 => self.bench.apply(Input::Peer(PeerInput::Disconnected)),
            26 => {
                self.bench.now += u64::from(self.bytes.arbitrary::<u8>()?) * 100;
                self.bench.apply(Input::Tick);
            }
            27 => self.bench.dies = Some(Dies::BeforeTheNextWrite),
            28 => self.bench.dies = Some(Dies::AfterTheNextWrite),
            29 => self.bench.restart(),
            30 | 31 => self.view(),
            32 => {
                let blocks = self.bytes.arbitrary::<u8>()? % 32;
                self.bench.chain.contract.block += u64::from(blocks);
                self.view();
            }
            33 => {
                self.bench.chain.contract.block += 1;
                self.bench.see_head();
                self.bench.apply(Input::Chain(ChainInput::Block));
            }
            34 => self.run_calls(),
            35 => self.bench.calls.clear(),
            36 => self.fail()?,
            37 | 38 => self.command()?,
            39 | 40 => self.close_by_partner()?,
            41 | 42 => self.call_by_partner()?,
            43 => {
                self.bench.chain.take_back(CONFIRMATIONS);
                self.view();
            }
            44 => (self.bench.fresh, self.bench.auto_challenge) = self.bytes.arbitrary()?,
            45 => self.bench.backup = Some(self.bench.disk.clone()),
            46 => self.bench.restore(),
            _ => self.wild_view()?,
        }
        Ok(())
    }

    // ---- the user -----------------------------------------------------------------------------

    fn amount(&mut self) -> arbitrary::Result<Amount> {
        Ok(units(self.unit, self.bytes.arbitrary::<u8>()?.into()))
    }

    fn payment(&mut self) -> arbitrary::Result<Payment> {
        let (id, amount) = (self.bytes.arbitrary::<u8>()?, self.amount()?);
        let id = PaymentId::new(format!("p{id}")).expect("an id");
        Ok(Payment { id, amount, memo: Memo::default() })
    }

    fn pay(&mut self) -> Step {
        let payment = self.payment()?;
        self.bench.pay(payment);
        Ok(())
    }

    fn command(&mut self) -> Step {
        let command = match self.bytes.arbitrary::<u8>()? % 8 {
            0 | 1 => ChannelCommand::Close(CloseMode::Alone),
            2 | 3 => ChannelCommand::Close(CloseMode::Cooperative),
            4 => ChannelCommand::Challenge,
            5 => ChannelCommand::Withdraw,
            6 => match self.bytes.arbitrary::<u8>()? {
                0..64 => ChannelCommand::Cancel,
                64..96 => {
                    self.bench.ordered = true;
                    ChannelCommand::SignFinal
                }
                96..128 => self.import()?,
                _ => ChannelCommand::Fund {
                    value: self.bytes.arbitrary::<Option<u8>>()?.map(|n| units(self.unit, n.into())),
                },
            },
            _ => {
                self.bench.reckless = true;
                let receipt = self.receipt()?;
                let signature = (receipt.nonce > Nonce::ZERO)
                    .then(|| self.bench.keys.sign(&receipt, self.bench.partner()));
                ChannelCommand::Close(CloseMode::Receipt(Evidence { receipt, signature }))
            }
        };
        self.bench.command(command);
        Ok(())
    }

    /// A receipt that the partner has signed, and this side too, if both ever agreed on it.
    fn import(&mut self) -> arbitrary::Result<ChannelCommand> {
        let (receipt, as_record) = (self.receipt()?, self.bytes.arbitrary::<bool>()?);
        let both = self.bench.agreed.iter().find(|agreed| agreed.receipt == receipt);
        let own = both.and_then(|agreed| agreed.signatures).map(|signatures| *signatures.of(self.bench.role));
        let theirs = self.bench.keys.sign(&receipt, self.bench.partner());
        let own = own.filter(|_| !as_record);
        Ok(ChannelCommand::ImportReceipt(ImportedReceipt { receipt, theirs, own }.into()))
    }

    // ---- the chain ----------------------------------------------------------------------------

    fn view(&mut self) {
        self.bench.see_head();
        let view = self.bench.chain.view();
        self.bench.apply(Input::Chain(ChainInput::View(view)));
    }

    /// Mines what the node has asked for.
    fn run_calls(&mut self) {
        while let Some(call) = self.bench.calls.pop_front() {
            let role = self.bench.role;
            match self.bench.chain.call(role, &call, &self.bench.keys) {
                Ok(()) => self.view(),
                // The node is not told so of a call that has had its effect.
                Err(_) if call.kind() == CallKind::Open => {}
                Err(reason) => self.call_failed(call.kind(), CallFailure::Refused(format!("{reason:?}"))),
            }
        }
    }

    fn call_failed(&mut self, kind: CallKind, reason: CallFailure) {
        self.bench.apply(Input::Chain(ChainInput::CallFailed { kind, reason }));
    }

    /// A call of the node's is not made.
    fn fail(&mut self) -> Step {
        let Some(call) = self.bench.calls.pop_front() else { return Ok(()) };
        let text = String::from("no");
        let reason = match self.bytes.arbitrary::<u8>()? % 3 {
            0 => CallFailure::Unreachable(text),
            1 => CallFailure::NoEther(text),
            _ => CallFailure::Refused(text),
        };
        self.call_failed(call.kind(), reason);
        Ok(())
    }

    fn open_by_partner(&mut self, deposit: Amount) {
        let terms = self.bench.keys.terms(Role::A, self.shares());
        let call = Call::Open { part_b: terms.part_b, amount: terms.amount, deposit, salt: terms.salt };
        let _ = self.bench.chain.call(Role::A, &call, &self.bench.keys);
    }

    fn call_by_partner(&mut self) -> Step {
        let partner = self.bench.partner();
        let call = match self.bytes.arbitrary::<u8>()? % 5 {
            0 if partner == Role::A => {
                let deposit = self.amount()?;
                self.open_by_partner(deposit);
                return Ok(());
            }
            0 | 1 => Call::Fund { value: self.amount()? },
            2 => Call::Cancel,
            3 => match self.signed_by_node()? {
                Some(evidence) => Call::Challenge(evidence),
                None => return Ok(()),
            },
            _ => Call::Withdraw,
        };
        let _ = self.bench.chain.call(partner, &call, &self.bench.keys);
        Ok(())
    }

    /// Anything that the partner was ever given a signature for, or receipt 0.
    fn signed_by_node(&mut self) -> arbitrary::Result<Option<Evidence>> {
        let choice = usize::from(self.bytes.arbitrary::<u8>()?);
        let known: Vec<_> = self.bench.signed.iter().collect();
        let Some((nonce, balances)) =
            known.len().checked_sub(1).and_then(|last| known.get(last - choice.min(last)))
        else {
            return Ok(None);
        };
        let receipt = Receipt { nonce: **nonce, balances: **balances };
        let signature = Some(self.bench.keys.sign(&receipt, self.bench.role));
        Ok(Some(Evidence { receipt, signature }))
    }

    fn close_by_partner(&mut self) -> Step {
        let mut base = self.signed_by_node()?;
        let (on_zero, by_proposal) = self.bytes.arbitrary::<(u8, bool)>()?;
        if let OnChain::Active { paid_in: balances } = self.bench.chain.status()
            && (base.is_none() || on_zero < 64)
        {
            base = Some(Evidence { receipt: Receipt { nonce: Nonce::ZERO, balances }, signature: None });
        }
        let Some(base) = base else { return Ok(()) };
        let partner = self.bench.partner();
        let Receipt { nonce, balances } = base.receipt;
        let plan = match (base.signature, by_proposal) {
            (Some(signature), _) if nonce == Nonce::FINAL => {
                ClosePlan::Final { base_nonce: Nonce::ZERO, balances, signature }
            }
            (_, true) => {
                let price = self.amount()?;
                let proposed = balances.pay(partner, price).unwrap_or(balances);
                ClosePlan::Proposal { base, nonce, proposed }
            }
            (_, false) => ClosePlan::Receipt(base),
        };
        let _ = self.bench.chain.call(partner, &Call::Close(plan), &self.bench.keys);
        if self.bytes.arbitrary()? {
            self.view();
        }
        Ok(())
    }

    /// What no chain can show. Nothing may panic, and nothing be signed twice.
    fn wild_view(&mut self) -> Step {
        if !self.bytes.arbitrary::<bool>()? {
            return Ok(());
        }
        self.bench.wild = true;
        let bytes = self.bytes.arbitrary::<&[u8]>()?;
        if let Ok(view) = codec::decode(bytes) {
            self.bench.apply(Input::Chain(ChainInput::View(view)));
            return Ok(());
        }
        let (a, b) = (self.amount()?, self.amount()?);
        let mut view = self.bench.chain.view();
        view.status = match self.bytes.arbitrary::<u8>()? % 4 {
            0 => OnChain::Missing,
            1 => OnChain::Empty { paid_in: Balances { a, b } },
            2 => OnChain::Active { paid_in: Balances { a, b } },
            _ => {
                self.bench.apply(Input::Chain(ChainInput::Invalid("not the channel".into())));
                return Ok(());
            }
        };
        self.bench.apply(Input::Chain(ChainInput::View(view)));
        Ok(())
    }
}

fn units(unit: u128, count: u64) -> Amount {
    Amount::from_base_units(unit * u128::from(count)).expect("at most 510 units")
}
