//! The partner's messages: honest ones, and forgeries with its valid signature.

use thunder_protocol::channel::PeerInput;
use thunder_protocol::wire::{Answer, Final, Message, Propose, Refuse, RefuseReason, Sync};
use thunder_protocol::{AgreedReceipt, Balances, Input, Nonce, Receipt, Signature, Signatures, codec};

use super::{Script, Step, units};

impl Script<'_, '_> {
    /// The partner says it, and may say it again later.
    pub(super) fn say(&mut self, message: Message) {
        self.said.push(message.clone());
        self.bench.receive(message);
    }

    pub(super) fn repeat(&mut self) -> Step {
        let choice = usize::from(self.bytes.arbitrary::<u8>()?);
        let Some(last) = self.said.len().checked_sub(1) else { return Ok(()) };
        if let Some(message) = self.said.get(last - choice.min(last)).cloned() {
            self.bench.receive(message);
        }
        Ok(())
    }

    /// A message of any bytes.
    pub(super) fn raw(&mut self) -> Step {
        let bytes = self.bytes.arbitrary::<&[u8]>()?;
        if let Ok(message) = codec::decode(bytes) {
            self.bench.apply(Input::Peer(PeerInput::Message { message, repeated: Vec::new() }));
        }
        Ok(())
    }

    /// A receipt that the node has, or one like it.
    pub(super) fn receipt(&mut self) -> arbitrary::Result<Receipt> {
        let choice = self.bytes.arbitrary::<u8>()?;
        let receipts = self.bench.channel.as_ref().and_then(|channel| channel.receipts());
        let agreed = receipts.map(|receipts| receipts.agreed.receipt);
        let own = receipts.and_then(|receipts| receipts.proposal.as_ref()).map(|own| own.receipt());
        let terms = self.bench.keys.terms(self.bench.role, self.shares());
        let zero = Receipt { nonce: Nonce::ZERO, balances: terms.shares };
        let agreed = agreed.unwrap_or(zero);
        let mut receipt = match choice % 8 {
            0..=3 => agreed,
            4..=6 => own.unwrap_or(agreed),
            _ => {
                let back = usize::from(choice / 8);
                let old = self.bench.agreed.iter().rev().nth(back);
                old.map_or(zero, |old| old.receipt)
            }
        };
        // Twisted now and then.
        match choice / 8 {
            28 => receipt.nonce = self.near(receipt.nonce)?,
            29 => receipt.balances = self.shifted(receipt.balances)?,
            30 => {
                receipt =
                    Receipt { nonce: self.near(receipt.nonce)?, balances: self.shifted(receipt.balances)? }
            }
            31 => receipt.balances.a = units(self.unit, self.bytes.arbitrary::<u8>()?.into()),
            _ => {}
        }
        Ok(receipt)
    }

    pub(super) fn shares(&self) -> Balances {
        let setup = self.bench.channel.as_ref().map(|channel| channel.setup().terms().shares);
        setup.unwrap_or(Balances { a: units(1, 1), b: units(1, 1) })
    }

    fn near(&mut self, nonce: Nonce) -> arbitrary::Result<Nonce> {
        let by = self.bytes.arbitrary::<i8>()?;
        if by == i8::MIN {
            return Ok(Nonce::FINAL);
        }
        Ok(Nonce::new(nonce.get().saturating_add_signed(by.into())).unwrap_or(Nonce::FINAL))
    }

    /// The same sum, otherwise shared.
    fn shifted(&mut self, balances: Balances) -> arbitrary::Result<Balances> {
        let (amount, up) = (self.amount()?, self.bytes.arbitrary::<bool>()?);
        let payer = if up { self.bench.role } else { self.bench.partner() };
        Ok(balances.pay(payer, amount).unwrap_or(balances))
    }

    /// The partner's signature; now and then somebody else's, or one on something else.
    fn signature(&mut self, receipt: Receipt) -> arbitrary::Result<Signature> {
        let partner = self.bench.partner();
        Ok(match self.bytes.arbitrary::<u8>()? {
            0..240 => self.bench.keys.sign(&receipt, partner),
            240..248 => Signature::from_bytes([self.bytes.arbitrary()?; 65]),
            248.. => {
                let other = self.receipt()?;
                self.bench.keys.sign(&other, partner)
            }
        })
    }

    fn proposal(&mut self) -> arbitrary::Result<Propose> {
        let base = self.receipt()?;
        let partner = self.bench.partner();
        let mut payments = Vec::new();
        for _ in 0..self.bytes.arbitrary::<u8>()? % 4 {
            payments.push(self.payment()?);
        }
        let total = thunder_protocol::Amount::checked_sum(payments.iter().map(|payment| payment.amount));
        let balances = total.and_then(|total| base.balances.pay(partner, total)).unwrap_or(base.balances);
        let nonce = base.nonce.next_of(partner).unwrap_or(Nonce::FINAL);
        let mut receipt = Receipt { nonce, balances };
        let twist = self.bytes.arbitrary::<u8>()?;
        if twist >= 248 {
            receipt.nonce = self.near(nonce)?;
        }
        if (240..248).contains(&twist) {
            receipt.balances = self.shifted(balances)?;
        }
        let signature = self.signature(receipt)?;
        let Receipt { nonce, balances } = receipt;
        Ok(Propose { base_nonce: base.nonce, nonce, balances, payments, signature })
    }

    pub(super) fn propose(&mut self) -> Step {
        let proposal = self.proposal()?;
        self.say(Message::Propose(proposal));
        Ok(())
    }

    pub(super) fn answer(&mut self) -> Step {
        let receipts = self.bench.channel.as_ref().and_then(|channel| channel.receipts());
        let own = receipts.and_then(|receipts| receipts.proposal.as_ref()).map(|own| own.receipt());
        let receipt = match own {
            Some(own) if self.bytes.arbitrary::<u8>()? < 224 => own,
            _ => self.receipt()?,
        };
        let signature = self.signature(receipt)?;
        self.say(Message::Answer(Answer { nonce: receipt.nonce, signature }));
        Ok(())
    }

    pub(super) fn refuse(&mut self) -> Step {
        let reason = match self.bytes.arbitrary::<u8>()? % 5 {
            0 => RefuseReason::NotNow,
            1 => RefuseReason::Stale,
            2 => RefuseReason::Crossed,
            3 => RefuseReason::Stopped,
            _ => RefuseReason::Lost,
        };
        let (nonce, agreed_nonce) = (self.receipt()?.nonce, self.receipt()?.nonce);
        self.say(Message::Refuse(Refuse { nonce, reason, agreed_nonce }));
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Step {
        let final_receipt = self.final_receipt()?;
        self.say(Message::Final(final_receipt));
        Ok(())
    }

    fn final_receipt(&mut self) -> arbitrary::Result<Final> {
        let Receipt { nonce, balances } = self.receipt()?;
        let signature = self.signature(Receipt { nonce: Nonce::FINAL, balances })?;
        Ok(Final { base_nonce: nonce, balances, signature })
    }

    pub(super) fn sync(&mut self) -> Step {
        let agreed = self.claim()?;
        let flags = self.bytes.arbitrary::<u8>()?;
        let proposal = if flags & 7 == 1 { Some(self.proposal()?) } else { None };
        let own_final = if flags & 0x38 == 8 { Some(self.final_receipt()?) } else { None };
        let (closing, lost) = (flags & 0xc0 == 0x40, flags & 0xc0 == 0x80);
        let wants_reply = self.bytes.arbitrary()?;
        self.say(Message::Sync(Sync { agreed, proposal, own_final, closing, lost, wants_reply }.into()));
        Ok(())
    }

    /// A receipt with signatures: the node's where the partner has it, else the partner's twice.
    fn claim(&mut self) -> arbitrary::Result<AgreedReceipt> {
        let receipt = self.receipt()?;
        if receipt.nonce == Nonce::ZERO && self.bytes.arbitrary::<u8>()? < 240 {
            return Ok(AgreedReceipt::zero(receipt.balances));
        }
        let theirs = self.signature(receipt)?;
        let is_signed = self.bench.signed.get(&receipt.nonce) == Some(&receipt.balances);
        let own = if is_signed { self.bench.keys.sign(&receipt, self.bench.role) } else { theirs };
        Ok(AgreedReceipt::signed(receipt, Signatures::from_roles(self.bench.role, own, theirs)))
    }

    /// What an honest partner shows that has the same receipt.
    pub(super) fn honest_sync(&self) -> Option<Message> {
        let agreed = self.bench.channel.as_ref()?.receipts()?.agreed;
        let sync =
            Sync { agreed, proposal: None, own_final: None, closing: false, lost: false, wants_reply: false };
        Some(Message::Sync(sync.into()))
    }
}
