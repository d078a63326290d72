//! Faults that the checker must find.
//!
//! None of them is in the code that ships: each is put around the core from outside, in what goes into `apply`, what
//! comes out of it, the order in which it is carried out, what a start reads from disk, or in the contract's model.

use thunder_protocol::channel::{
    ChannelCommand, CommandId, DataLoss, Direction, PaymentWrite, PeerInput, Receipts,
};
use thunder_protocol::onchain::{Call, ClosePlan, Evidence};
use thunder_protocol::wire::{Answer, Final, Message, Propose};
use thunder_protocol::{
    AgreedReceipt, Channel, Crypto, Effects, Input, Nonce, Receipt, Signature, Signatures, Transition,
};

use crate::side::{Side, Step};
use thunder_testing::crypto::{Key, address};
use thunder_testing::{Disk, batch, contract};

/// What may be wrong with a node, or with the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Messages leave before the disk has what they say.
    SendBeforePersist,
    /// A start does not know the own unanswered proposal.
    ForgetProposal,
    /// The side with the higher of two crossing proposals answers the lower.
    AnswerLowerCrossing,
    /// A proposal built on the own one is not taken as its answer: its payments are made again.
    BuiltOnMineIsCrossing,
    /// A proposal that was refused makes room for another.
    ReplaceAfterRefusal,
    /// Closing on the agreed receipt although an own proposal is out.
    CloseOnAgreedWithProposalOut,
    /// A proposal of the wrong parity is signed.
    ParityIgnored,
    /// A proposal that takes instead of giving is signed.
    ConcessionUnchecked,
    /// The contract takes any balances as receipt 0.
    InventedBaseZero,
    /// The contract lets the caller of `closingProposal` choose the nonce.
    FreeNonce,
    /// Proposals are signed after FINAL was.
    SignAfterFinal,
    /// A FINAL that rests on neither the agreed receipt nor the own proposal is posted.
    PostStaleFinal,
    /// The channel's record and its payments are two writes.
    TwoWrites,
    /// The transaction goes out before the disk knows that the channel closes.
    FlagAfterBroadcast,
    /// A newer receipt is believed without the own signature on it.
    BareClaimBelieved,
    /// A lost channel that took over a newer receipt is used again.
    CarryOnAfterTakingOver,
    /// Payment ids of both sides are one space.
    OthersPaymentId,
    /// Messages of an earlier connection are handled.
    EarlierConnection,
    /// Closing on a receipt that was refused because another has its nonce.
    CloseOnBait,
    /// After the chain was reset the other side alone chooses the channel's address.
    OldAddressAgain,
    /// A lost channel signs FINAL on the backup's receipt as soon as the other side syncs.
    FinalOnMereSync,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::SendBeforePersist,
        Self::ForgetProposal,
        Self::AnswerLowerCrossing,
        Self::BuiltOnMineIsCrossing,
        Self::ReplaceAfterRefusal,
        Self::CloseOnAgreedWithProposalOut,
        Self::ParityIgnored,
        Self::ConcessionUnchecked,
        Self::InventedBaseZero,
        Self::FreeNonce,
        Self::SignAfterFinal,
        Self::PostStaleFinal,
        Self::TwoWrites,
        Self::FlagAfterBroadcast,
        Self::BareClaimBelieved,
        Self::CarryOnAfterTakingOver,
        Self::OthersPaymentId,
        Self::EarlierConnection,
        Self::CloseOnBait,
        Self::OldAddressAgain,
        Self::FinalOnMereSync,
    ];

    /// The contract's fault, where it is one.
    pub const fn of_contract(self) -> Option<contract::Fault> {
        match self {
            Self::InventedBaseZero => Some(contract::Fault::InventedBaseZero),
            Self::FreeNonce => Some(contract::Fault::FreeNonce),
            _ => None,
        }
    }
}

/// Applies an input to a node's channel, with its fault around it.
pub(crate) fn apply(side: &mut Side, input: Input) -> Transition {
    if let (Some(fault), Input::Peer(PeerInput::Message { message, .. })) = (side.fault, &input) {
        let message = message.clone();
        if let Some(transition) = instead(side, fault, &message) {
            return transition;
        }
        let before = side.channel.receipts().cloned();
        let transition = honest(side, side.channel.clone(), input);
        return afterwards(side, fault, &message, before, transition);
    }
    honest(side, side.channel.clone(), input)
}

fn honest(side: &Side, channel: Channel, input: Input) -> Transition {
    batch::apply(channel, input, &side.context(&Key(side.role)))
}

/// What a faulty node does instead of what the core does.
fn instead(side: &mut Side, fault: Fault, message: &Message) -> Option<Transition> {
    let receipts = side.channel.receipts()?.clone();
    match (fault, message) {
        (Fault::AnswerLowerCrossing, Message::Propose(propose)) => {
            let own = receipts
                .proposal
                .filter(|own| own.nonce > propose.nonce && own.base_nonce == propose.base_nonce)?;
            let mut channel = side.channel.clone();
            receipts_mut(&mut channel)?.proposal = None;
            let message = message.clone();
            let input = Input::Peer(PeerInput::Message { message, repeated: Vec::new() });
            let mut transition = honest(side, channel, input);
            receipts_mut(&mut transition.channel)?.proposal = Some(own);
            Some(transition)
        }
        (Fault::ReplaceAfterRefusal, Message::Refuse(refuse)) => {
            let own = receipts.proposal.filter(|own| own.nonce == refuse.nonce)?;
            let mut channel = side.channel.clone();
            receipts_mut(&mut channel)?.proposal = None;
            let persist = Some(vec![PaymentWrite::Fail { nonce: own.nonce }]);
            Some(Transition { channel, effects: Effects { persist, ..Effects::default() } })
        }
        (Fault::ParityIgnored, Message::Propose(propose)) => {
            let base = receipts.agreed.receipt;
            let wrong = propose.nonce.get() == base.nonce.get() + 1
                && base.nonce.next_of(side.role.other()) != Some(propose.nonce);
            (wrong && concedes(side, &base, propose)).then(|| sign_anyway(side, propose))?
        }
        (Fault::ConcessionUnchecked, Message::Propose(propose)) => {
            let base = receipts.agreed.receipt;
            let next = base.nonce.next_of(side.role.other()) == Some(propose.nonce);
            (next && !concedes(side, &base, propose)).then(|| sign_anyway(side, propose))?
        }
        (Fault::SignAfterFinal, Message::Propose(propose))
            if matches!(side.channel, Channel::CooperativeClosing(_)) =>
        {
            let base = receipts.agreed.receipt;
            let next = base.nonce.next_of(side.role.other()) == Some(propose.nonce);
            (next && concedes(side, &base, propose)).then(|| sign_anyway(side, propose))?
        }
        (Fault::BareClaimBelieved, Message::Sync(sync)) if sync.agreed.nonce() > receipts.agreed.nonce() => {
            let channel = side.channel.clone().mark_stale();
            Some(Transition { channel, effects: Effects { persist: Some(Vec::new()), ..Effects::default() } })
        }
        (Fault::CloseOnBait, Message::Propose(propose)) => {
            let receipt = Receipt { nonce: propose.nonce, balances: propose.balances };
            let better = |held: &Receipt| receipt.balances.of(side.role) > held.balances.of(side.role);
            let same_nonce = receipt.nonce == receipts.agreed.nonce() && better(&receipts.agreed.receipt);
            if same_nonce && valid(side, &receipt, &propose.signature) {
                side.bait = Some((receipt, propose.signature));
            }
            None
        }
        _ => None,
    }
}

/// What a faulty node does in addition.
fn afterwards(
    side: &Side,
    fault: Fault,
    message: &Message,
    before: Option<Receipts>,
    mut transition: Transition,
) -> Transition {
    match (fault, message) {
        (Fault::BuiltOnMineIsCrossing, Message::Propose(propose)) => {
            let own =
                before.and_then(|receipts| receipts.proposal).filter(|own| own.nonce == propose.base_nonce);
            let taken = transition
                .channel
                .receipts()
                .is_some_and(|receipts| receipts.agreed.nonce() == propose.nonce);
            for pending in own.filter(|_| taken).into_iter().flat_map(|own| own.payments) {
                let pay = ChannelCommand::Pay { payment: pending.payment, known: None };
                let again = honest(side, transition.channel, Input::Command(CommandId(9), pay));
                transition.channel = again.channel;
                batch::append(&mut transition.effects, again.effects);
            }
        }
        (Fault::FinalOnMereSync, Message::Sync(_)) if matches!(transition.channel, Channel::DataLoss(_)) => {
            let order = Input::Command(CommandId(9), ChannelCommand::SignFinal);
            let ordered = honest(side, transition.channel, order);
            transition.channel = ordered.channel;
            batch::append(&mut transition.effects, ordered.effects);
        }
        (Fault::PostStaleFinal, Message::Final(final_receipt)) => {
            post_anyway(side, final_receipt, &mut transition)
        }
        (Fault::CarryOnAfterTakingOver, _) => {
            let Channel::DataLoss(lost) = &transition.channel else { return transition };
            let newer =
                before.is_some_and(|receipts| lost.common.receipts.agreed.nonce() > receipts.agreed.nonce());
            if newer && let Some(active) = carry_on(side, lost) {
                transition.channel = active;
                transition.effects.send.retain(|message| matches!(message, Message::Sync(_)));
            }
        }
        _ => {}
    }
    transition
}

fn carry_on(side: &Side, lost: &DataLoss) -> Option<Channel> {
    let Channel::Active(mut active) = *side.young.clone()? else { return None };
    (active.common.receipts, active.common.view) = (lost.common.receipts.clone(), lost.common.view);
    Some(Channel::Active(active))
}

fn post_anyway(side: &Side, final_receipt: &Final, transition: &mut Transition) {
    let receipt = Receipt { nonce: Nonce::FINAL, balances: final_receipt.balances };
    if transition.effects.submit.is_empty() && valid(side, &receipt, &final_receipt.signature) {
        let Final { base_nonce, balances, signature } = *final_receipt;
        transition.effects.submit.push(Call::Close(ClosePlan::Final { base_nonce, balances, signature }));
    }
}

fn valid(side: &Side, receipt: &Receipt, signature: &Signature) -> bool {
    let setup = side.channel.setup();
    let adds_up = receipt.balances.sum() == Some(setup.terms().amount);
    adds_up && Key(side.role).verify(&setup.domain().digest(receipt), signature, &address(side.role.other()))
}

fn concedes(side: &Side, base: &Receipt, propose: &Propose) -> bool {
    let total = thunder_protocol::Amount::checked_sum(propose.payments.iter().map(|payment| payment.amount));
    let partner = side.role.other();
    total.and_then(|total| base.balances.pay(partner, total)) == Some(propose.balances)
}

/// Countersigns a proposal, whatever it says.
fn sign_anyway(side: &Side, propose: &Propose) -> Option<Transition> {
    let receipt = Receipt { nonce: propose.nonce, balances: propose.balances };
    if !valid(side, &receipt, &propose.signature) {
        return None;
    }
    let mut channel = side.channel.clone();
    let own_signature = Key(side.role).sign(&channel.setup().domain().digest(&receipt));
    let signatures = Signatures::from_roles(side.role, own_signature, propose.signature);
    let receipts = receipts_mut(&mut channel)?;
    receipts.agreed = AgreedReceipt::signed(receipt, signatures);
    let mut writes = Vec::new();
    writes.extend(receipts.proposal.take().map(|own| PaymentWrite::Fail { nonce: own.nonce }));
    writes.extend(propose.payments.iter().map(|payment| PaymentWrite::Insert {
        direction: Direction::In,
        payment: payment.clone(),
        nonce: propose.nonce,
        time: 0,
    }));
    let send = vec![Message::Answer(Answer { nonce: propose.nonce, signature: own_signature })];
    Some(Transition { channel, effects: Effects { persist: Some(writes), send, ..Effects::default() } })
}

fn receipts_mut(channel: &mut Channel) -> Option<&mut Receipts> {
    channel.receipts()?;
    Some(&mut channel.common_mut().receipts)
}

/// The steps in which effects are carried out: disk, chain, wire.
pub(crate) fn order(side: &Side, effects: &mut Effects) -> Vec<Step> {
    let mut write: Vec<_> = match (side.fault, effects.persist.take()) {
        (_, None) => Vec::new(),
        (Some(Fault::TwoWrites), Some(rows)) if !rows.is_empty() => vec![Step::Record, Step::Rows(rows)],
        (_, Some(rows)) => vec![Step::Write(rows)],
    };
    let calls = effects.submit.drain(..).map(|call| Step::Submit(altered(side, call)));
    let mut submit: Vec<_> = calls.collect();
    let mut send: Vec<_> = effects.send.drain(..).map(Step::Send).collect();
    let mut steps = Vec::new();
    match side.fault {
        Some(Fault::SendBeforePersist) => {
            [&mut send, &mut write, &mut submit].into_iter().for_each(|part| steps.append(part));
        }
        Some(Fault::FlagAfterBroadcast) => {
            [&mut submit, &mut write, &mut send].into_iter().for_each(|part| steps.append(part));
        }
        _ => [&mut write, &mut submit, &mut send].into_iter().for_each(|part| steps.append(part)),
    }
    steps
}

fn altered(side: &Side, call: Call) -> Call {
    match (side.fault, call) {
        (Some(Fault::CloseOnAgreedWithProposalOut), Call::Close(ClosePlan::Proposal { base, .. })) => {
            Call::Close(ClosePlan::Receipt(base))
        }
        (Some(Fault::CloseOnBait), Call::Close(ClosePlan::Receipt(evidence))) => {
            let better =
                |bait: &Receipt| bait.balances.of(side.role) > evidence.receipt.balances.of(side.role);
            let bait = side.bait.filter(|(receipt, _)| better(receipt));
            let evidence = bait
                .map_or(evidence, |(receipt, signature)| Evidence { receipt, signature: Some(signature) });
            Call::Close(ClosePlan::Receipt(evidence))
        }
        (_, call) => call,
    }
}

/// What a start reads from disk.
pub(crate) fn load(fault: Option<Fault>, disk: &Disk) -> Channel {
    let mut channel = disk.load();
    if fault == Some(Fault::ForgetProposal)
        && let Some(receipts) = receipts_mut(&mut channel)
    {
        receipts.proposal = None;
    }
    channel
}
