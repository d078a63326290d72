//! The node under test: the core, its disk, what it has said and signed, and what holds after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thunder_protocol::channel::{
    ChannelCommand, CloseMode, CommandId, CommandOutcome, Direction, PaymentStatus, Receipts,
};
use thunder_protocol::codec;
use thunder_protocol::onchain::{Call, ChainView, OnChain};
use thunder_protocol::wire::{Message, Propose};
use thunder_protocol::{
    AgreedReceipt, Amount, B256, Balances, Channel, Context, Effects, Input, Nonce, Payment, Receipt, Role,
    Transition,
};
use thunder_testing::{Disk, Row, batch};

use super::chain::Chain;
use super::keys::Keys;

pub const CONFIRMATIONS: u64 = 3;

/// When the process dies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dies {
    BeforeTheNextWrite,
    AfterTheNextWrite,
}

pub struct Bench {
    pub keys: Keys,
    pub role: Role,
    pub chain: Chain,
    pub channel: Option<Channel>,
    pub disk: Disk,
    pub backup: Option<Disk>,
    pub calls: VecDeque<Call>,
    /// Receipts with both signatures, as the partner has them too.
    pub agreed: Vec<AgreedReceipt>,
    /// What carries a signature of the node under test, by nonce. The partner has it all.
    pub signed: BTreeMap<Nonce, Balances>,
    pub now: u64,
    pub fresh: bool,
    pub auto_challenge: bool,
    pub dies: Option<Dies>,
    /// The node was shown a chain that the contract can't have brought about.
    pub wild: bool,
    /// The disk is that of an earlier day.
    pub restored: bool,
    /// The highest nonce that this earlier day knew.
    known: Nonce,
    /// The user has ordered FINAL.
    pub ordered: bool,
    /// The user chose a receipt to close on.
    pub reckless: bool,
    head: u64,
    paid_in: Option<Balances>,
    commands: u64,
    waiting: BTreeSet<CommandId>,
    /// What was found to be well, so that it is not looked at again.
    checked: Option<(Written, Vec<u8>, ChainView, u64)>,
}

impl Bench {
    pub fn new(keys: Keys, role: Role, shares: Balances) -> Self {
        let mut bench = Self {
            chain: Chain::new(&keys),
            keys,
            role,
            channel: None,
            disk: Disk::default(),
            backup: None,
            calls: VecDeque::new(),
            agreed: Vec::new(),
            signed: BTreeMap::new(),
            now: 1_000,
            fresh: true,
            auto_challenge: true,
            dies: None,
            wild: false,
            restored: false,
            known: Nonce::ZERO,
            ordered: false,
            reckless: false,
            head: 10,
            paid_in: None,
            commands: 0,
            waiting: BTreeSet::new(),
            checked: None,
        };
        let terms = bench.keys.terms(role, shares);
        let start = match role {
            Role::A => {
                let caller = bench.caller();
                Channel::open(terms, shares.a, caller)
            }
            Role::B => Channel::accept(terms),
        };
        bench.carry_out(start);
        bench
    }

    pub fn partner(&self) -> Role {
        self.role.other()
    }

    fn caller(&mut self) -> CommandId {
        self.commands += 1;
        self.waiting.insert(CommandId(self.commands));
        CommandId(self.commands)
    }

    fn context(&self) -> Context<'_> {
        Context {
            crypto: self.keys.of(self.role),
            now: self.now,
            head: Some(self.head),
            chain_fresh: self.fresh,
            confirmations: CONFIRMATIONS,
            auto_challenge: self.auto_challenge,
        }
    }

    // ---- inputs -------------------------------------------------------------------------------

    pub fn apply(&mut self, input: Input) {
        let Some(channel) = self.channel.take() else { return };
        let transition = batch::apply(channel, input, &self.context());
        self.carry_out(transition);
        self.check();
    }

    pub fn command(&mut self, command: ChannelCommand) {
        if self.channel.is_some() {
            let caller = self.caller();
            self.apply(Input::Command(caller, command));
        }
    }

    pub fn pay(&mut self, payment: Payment) {
        let Some(channel) = &self.channel else { return };
        self.command(self.disk.order(channel, payment));
    }

    pub fn receive(&mut self, message: Message) {
        self.apply(self.disk.message(message));
    }

    pub fn see_head(&mut self) {
        self.head = self.chain.contract.block;
    }

    /// A kill -9, and a start from what is on disk.
    pub fn restart(&mut self) {
        self.channel = Some(self.disk.load());
        self.dies = None;
        self.waiting.clear();
        self.calls.clear();
        self.apply(Input::Resume);
    }

    pub fn restore(&mut self) {
        let Some(backup) = self.backup.clone() else { return };
        self.restored = true;
        self.disk = backup;
        self.disk.mark_stale();
        let lost = self.disk.load();
        let proposed = |receipts: &Receipts| receipts.proposal.as_ref().map_or(Nonce::ZERO, |own| own.nonce);
        self.known =
            lost.receipts().map_or(Nonce::ZERO, |receipts| proposed(receipts).max(receipts.agreed.nonce()));
        self.ordered = false;
        self.restart();
    }

    // ---- effects ------------------------------------------------------------------------------

    fn carry_out(&mut self, Transition { channel, effects }: Transition) {
        let fresh = self.keys.of(self.role).take_signed();
        assert!(fresh.is_empty() || effects.persist.is_some(), "signed, and nothing is written");
        if let Some(writes) = &effects.persist {
            if self.dies == Some(Dies::BeforeTheNextWrite) {
                return;
            }
            self.disk.write(&channel, writes);
            assert!(!self.disk.has_twice, "a payment applied twice");
            self.note_signatures(&fresh, &channel, &effects);
            if self.dies == Some(Dies::AfterTheNextWrite) {
                return;
            }
        }
        if !effects.send.is_empty() {
            let on_disk = self.disk.load();
            effects.send.iter().for_each(|message| self.check_sent(message, &on_disk));
        }
        for (caller, outcome) in &effects.reply {
            assert!(self.waiting.remove(caller), "answered twice");
            if let Ok(CommandOutcome::Paid { id, nonce, .. }) = outcome
                && !self.wild
            {
                let status = channel.status_of(*nonce);
                assert_eq!(
                    status,
                    PaymentStatus::Done,
                    "paid, says {}: {:?}",
                    channel.name(),
                    channel.view()
                );
                assert!(self.disk.find(Direction::Out, id).is_some(), "paid, and not on disk");
            }
        }
        self.calls.extend(effects.submit);
        self.channel = Some(channel);
    }

    /// No nonce is ever signed with two balances. What is on disk counts as sent.
    fn note_signatures(&mut self, fresh: &[B256], channel: &Channel, effects: &Effects) {
        let final_of = |balances| Receipt { nonce: Nonce::FINAL, balances };
        let mut shown: Vec<Receipt> = Vec::new();
        if let Some(receipts) = channel.receipts() {
            shown.push(receipts.agreed.receipt);
            shown.extend(receipts.proposal.as_ref().map(|proposal| proposal.receipt()));
        }
        shown.extend(effects.send.iter().filter_map(|message| match message {
            Message::Final(final_receipt) => Some(final_of(final_receipt.balances)),
            Message::Sync(sync) => {
                sync.own_final.as_ref().map(|final_receipt| final_of(final_receipt.balances))
            }
            Message::Propose(_) | Message::Answer(_) | Message::Refuse(_) => None,
        }));
        for digest in fresh {
            let receipt = shown.iter().find(|receipt| self.keys.domain.digest(receipt) == *digest);
            let receipt = receipt.expect("a signature on something that is not kept");
            if receipt.nonce == Nonce::FINAL && self.restored {
                let newest = channel.receipts().map(|receipts| receipts.agreed.receipt);
                let is_newer = newest
                    .is_some_and(|newest| newest.nonce > self.known && newest.balances == receipt.balances);
                assert!(is_newer || self.ordered, "FINAL on what the backup knew (rule 9)");
            }
            let earlier = self.signed.insert(receipt.nonce, receipt.balances);
            let is_same = earlier.is_none_or(|earlier| earlier == receipt.balances);
            // A restored side may have signed FINAL before, which nobody can be punished for.
            let is_excused = self.restored && receipt.nonce == Nonce::FINAL;
            assert!(is_same || is_excused, "two receipts signed with nonce {}", receipt.nonce);
        }
    }

    fn check_sent(&self, message: &Message, on_disk: &Channel) {
        let bytes = codec::encode(message).expect("every message can be sent");
        assert_eq!(&codec::decode::<Message>(&bytes).expect("an own message"), message);
        let receipts = on_disk.receipts();
        let is_proposed = |propose: &Propose| {
            let own =
                receipts.and_then(|receipts| receipts.proposal.as_ref()).expect("on disk before it is sent");
            assert_eq!(own.message(), *propose, "a proposal is repeated as it is");
        };
        match message {
            Message::Propose(propose) => is_proposed(propose),
            Message::Sync(sync) => {
                assert_eq!(receipts.map(|receipts| receipts.agreed), Some(sync.agreed));
                sync.proposal.iter().for_each(is_proposed);
            }
            Message::Answer(answer) => {
                let agreed = receipts.expect("on disk before it is sent").agreed;
                let own = agreed.signatures.map(|signatures| *signatures.of(self.role));
                assert_eq!((agreed.nonce(), own), (answer.nonce, Some(answer.signature)));
            }
            Message::Final(final_receipt) => {
                let receipt = Receipt { nonce: Nonce::FINAL, balances: final_receipt.balances };
                assert!(self.keys.verify(&receipt, &final_receipt.signature, self.role));
                assert!(self.restored || self.signed.get(&Nonce::FINAL) == Some(&final_receipt.balances));
            }
            Message::Refuse(refuse) => {
                let agreed = receipts.map_or(Nonce::ZERO, |receipts| receipts.agreed.nonce());
                assert_eq!(refuse.agreed_nonce, agreed);
            }
        }
    }

    // ---- what must hold -----------------------------------------------------------------------

    fn check(&mut self) {
        self.note_agreed();
        let Some(channel) = &self.channel else { return };
        let written = written(channel);
        let now = (written, self.disk.record.clone(), self.chain.view(), self.head);
        if self.checked.as_ref() == Some(&now) {
            return;
        }
        assert_eq!(now.0, self::written(&self.disk.load()), "the disk has another state");
        if let Some(receipts) = channel.receipts()
            && let Some(own) = &receipts.proposal
            && !self.restored
        {
            assert_eq!(own.base_nonce, receipts.agreed.nonce());
            assert_eq!(Some(own.nonce), receipts.agreed.nonce().next_of(self.role), "rule 1");
            let conceded = receipts.agreed.balances().pay(self.role, own.total());
            assert_eq!(conceded, Some(own.balances), "rule 2");
        }
        if !self.wild && !self.restored {
            assert!(!is_lost(channel), "taken for one that has lost data");
            self.check_history(channel);
            self.check_exit(channel);
        }
        self.checked = Some(now);
    }

    fn note_agreed(&mut self) {
        let Some(channel) = &self.channel else { return };
        let Some(agreed) = channel.receipts().map(|receipts| receipts.agreed) else { return };
        let sum = agreed.balances().sum();
        assert!(self.wild || sum == Some(channel.setup().terms().amount), "money was made or lost");
        if agreed.nonce() == Nonce::ZERO {
            self.paid_in = Some(agreed.balances());
        } else if self.agreed.last() != Some(&agreed) {
            let signatures = agreed.signatures.expect("agreed receipts are signed");
            for role in [Role::A, Role::B] {
                assert!(self.keys.verify(&agreed.receipt, signatures.of(role), role), "not agreed");
            }
            self.agreed.push(agreed);
        }
    }

    /// No minting: the shares are what was paid in, moved by exactly the payments that stand.
    fn check_history(&self, channel: &Channel) {
        let (Some(receipts), Some(paid_in)) = (channel.receipts(), self.paid_in) else { return };
        let agreed = receipts.agreed.nonce();
        // Over a channel's life more may be paid to and fro than it holds.
        let sum = |direction| {
            let stands = |row: &&Row| row.direction == direction && row.nonce.is_some_and(|n| n <= agreed);
            let units = |row: &Row| row.payment.amount.base_units();
            self.disk.rows.iter().filter(stands).map(units).sum::<u128>()
        };
        let expected = paid_in.of(self.role).base_units() + sum(Direction::In) - sum(Direction::Out);
        assert_eq!(
            receipts.agreed.balances().of(self.role).base_units(),
            expected,
            "not what the payments say"
        );
        let proposed = receipts.proposal.as_ref().map(|own| own.nonce);
        for row in self.disk.rows.iter().filter(|row| row.direction == Direction::Out) {
            let is_known = row.nonce.is_none_or(|nonce| nonce <= agreed || Some(nonce) == proposed);
            assert!(is_known, "{} stands under a nonce that is nothing's", row.payment.id);
        }
    }

    /// No loss and Progress: with what the chain shows now, the way out is there, the contract takes
    /// it, nothing that was ever signed punishes it, and it pays what is owed.
    fn check_exit(&self, channel: &Channel) {
        let is_current = *channel.view() == self.chain.view() && self.head == self.chain.contract.block;
        let Some(receipts) = channel.receipts().filter(|_| is_current && !self.reckless) else { return };
        let agreed = receipts.agreed.balances().of(self.role);
        let owed = receipts.proposal.as_ref().map_or(agreed, |own| own.balances.of(self.role).min(agreed));
        match self.chain.status() {
            OnChain::Active { .. } => {
                let mut contract = self.chain.contract.clone();
                let call = self.call_for(channel, ChannelCommand::Close(CloseMode::Alone));
                contract
                    .call(self.role, &call, self.keys.of(self.role))
                    .expect("the contract takes the closing");
                self.check_outcome(&contract.view().status, owed);
            }
            OnChain::Closing(closing) if closing.closer == self.role => {
                self.check_outcome(&self.chain.status(), owed)
            }
            OnChain::Closing(closing) => {
                let is_short = closing.balances.of(self.role) < owed;
                if is_short && self.head + 1 < closing.withdrawable_at() {
                    let mut contract = self.chain.contract.clone();
                    let call = self.call_for(channel, ChannelCommand::Challenge);
                    contract
                        .call(self.role, &call, self.keys.of(self.role))
                        .expect("the contract takes the challenge");
                }
            }
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Closed { .. } => {}
        }
    }

    fn check_outcome(&self, status: &OnChain, owed: Amount) {
        match status {
            OnChain::Closing(closing) => {
                for (nonce, balances) in self.signed.range(..Nonce::FINAL) {
                    let is_harmless =
                        *nonce < closing.nonce || (*nonce == closing.nonce && *balances == closing.balances);
                    assert!(is_harmless, "closing on {} is punished with {nonce}", closing.nonce);
                }
                assert!(closing.balances.of(self.role) >= owed, "less than what is owed");
            }
            OnChain::Closed { end, .. } => assert!(end.received(self.role) >= owed, "less than owed"),
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } => panic!("not closed"),
        }
    }

    /// The contract call that a command leads to, without carrying it out.
    fn call_for(&self, channel: &Channel, command: ChannelCommand) -> Call {
        let input = Input::Command(CommandId(u64::MAX), command);
        let Transition { effects, .. } = channel.clone().apply(input, &self.context());
        assert!(self.keys.of(self.role).take_signed().is_empty(), "a way out that signs");
        let refused = format!("no way out of {}: {:?}", channel.name(), effects.reply);
        effects.submit.into_iter().next_back().expect(&refused)
    }
}

fn is_lost(channel: &Channel) -> bool {
    match channel {
        Channel::DataLoss(_) => true,
        Channel::Closing(state) => state.common.may_be_stale,
        Channel::Opening(_) | Channel::Active(_) | Channel::CooperativeClosing(_) | Channel::Closed(_) => {
            false
        }
    }
}

type Written = (Vec<u8>, Vec<Payment>);

/// The state as it is written, bar the newest block, which alone is no reason to write.
fn written(channel: &Channel) -> Written {
    let mut channel = channel.clone();
    channel.common_mut().view.head = 0;
    let proposal = channel.receipts().and_then(|receipts| receipts.proposal.as_ref());
    let payments = proposal.map(|own| own.message().payments).unwrap_or_default();
    (channel.encode().expect("every state can be written"), payments)
}
