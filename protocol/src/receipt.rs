//! Receipts: who would get what if the channel were closed now.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{Amount, Signature};

/// One of the two parties of a channel, as the contract names them: whoever opens it is A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// `partA` of the contract; proposes odd nonces.
    A,
    /// `partB` of the contract; proposes even nonces.
    B,
}

impl Role {
    /// The other party.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// The number of a receipt; the contract holds it in a `uint40`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Nonce(u64);

impl Nonce {
    /// Receipt 0: what the chain says was paid in. It is never signed.
    pub const ZERO: Self = Self(0);
    /// The contract's `FINAL`: nothing can outdate a receipt with this nonce, so it needs no
    /// challenge period.
    pub const FINAL: Self = Self((1 << 40) - 1);

    /// A nonce, or `None` above [`Nonce::FINAL`].
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::FINAL.0 { Some(Self(value)) } else { None }
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The nonce of a proposal that builds on this one (protocol rule 1): A proposes odd nonces,
    /// B even ones, always the smallest above the base. `None` where no ordinary nonce is left.
    ///
    /// ```
    /// use thunder_protocol::{Nonce, Role};
    ///
    /// let first = Nonce::ZERO.next_of(Role::A).map(Nonce::get);
    /// assert_eq!(first, Some(1));
    /// // B's answer with a payment of its own, and A's next one without: both build on 1.
    /// let base = Nonce::new(1).ok_or("too large")?;
    /// assert_eq!(base.next_of(Role::B).map(Nonce::get), Some(2));
    /// assert_eq!(base.next_of(Role::A).map(Nonce::get), Some(3));
    /// # Ok::<(), &str>(())
    /// ```
    pub const fn next_of(self, proposer: Role) -> Option<Self> {
        let wants_odd = matches!(proposer, Role::A);
        let next_is_odd = self.0.is_multiple_of(2);
        let next = if wants_odd == next_is_odd { self.0 + 1 } else { self.0 + 2 };
        if next < Self::FINAL.0 { Some(Self(next)) } else { None }
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::FINAL { f.write_str("FINAL") } else { self.0.fmt(f) }
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("nonce out of range"))
    }
}

/// The shares of both parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Balances {
    /// What A gets.
    pub a: Amount,
    /// What B gets.
    pub b: Amount,
}

impl Balances {
    /// The share of one party.
    pub const fn of(&self, role: Role) -> Amount {
        match role {
            Role::A => self.a,
            Role::B => self.b,
        }
    }

    /// Both shares together, or `None` beyond what a channel can hold.
    pub const fn sum(&self) -> Option<Amount> {
        self.a.checked_add(self.b)
    }

    /// The shares after `payer` has paid `amount`, or `None` if its share does not cover it.
    ///
    /// ```
    /// use thunder_protocol::{Amount, Balances, Role};
    ///
    /// let ten = Amount::from_base_units(10 * Amount::ONE_THD.base_units()).ok_or("too large")?;
    /// let opened = Balances { a: ten, b: Amount::ZERO };
    /// let paid = opened.pay(Role::A, Amount::ONE_THD).ok_or("too much")?;
    /// assert_eq!(paid.b, Amount::ONE_THD);
    /// assert_eq!(paid.sum(), opened.sum());
    /// assert_eq!(opened.pay(Role::B, Amount::ONE_THD), None);
    /// # Ok::<(), &str>(())
    /// ```
    pub fn pay(&self, payer: Role, amount: Amount) -> Option<Self> {
        let (a, b) = match payer {
            Role::A => (self.a.checked_sub(amount)?, self.b.checked_add(amount)?),
            Role::B => (self.a.checked_add(amount)?, self.b.checked_sub(amount)?),
        };
        Some(Self { a, b })
    }
}

/// What both parties sign: the shares under a number. Together with the channel's EIP-712 domain
/// it makes the digest ([`crate::Domain::digest`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Receipt {
    /// Higher nonces outdate lower ones.
    pub nonce: Nonce,
    /// The shares.
    pub balances: Balances,
}

/// The signatures of both parties on one receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signatures {
    /// A's.
    pub a: Signature,
    /// B's.
    pub b: Signature,
}

impl Signatures {
    /// Puts the signatures of `mine` and of the other party in their places.
    pub const fn from_roles(mine: Role, own: Signature, theirs: Signature) -> Self {
        match mine {
            Role::A => Self { a: own, b: theirs },
            Role::B => Self { a: theirs, b: own },
        }
    }

    /// The signature of one party.
    pub const fn of(&self, role: Role) -> &Signature {
        match role {
            Role::A => &self.a,
            Role::B => &self.b,
        }
    }
}

/// A receipt that both parties have signed; or receipt 0, which the chain itself knows and which
/// nobody signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// `None` for receipt 0 only.
    pub signatures: Option<Signatures>,
}

impl AgreedReceipt {
    /// Receipt 0 of a channel into which `paid_in` was paid.
    pub const fn zero(paid_in: Balances) -> Self {
        Self { receipt: Receipt { nonce: Nonce::ZERO, balances: paid_in }, signatures: None }
    }

    /// A receipt with both signatures.
    pub const fn signed(receipt: Receipt, signatures: Signatures) -> Self {
        Self { receipt, signatures: Some(signatures) }
    }

    /// The receipt's nonce.
    pub const fn nonce(&self) -> Nonce {
        self.receipt.nonce
    }

    /// The receipt's shares.
    pub const fn balances(&self) -> Balances {
        self.receipt.balances
    }

    /// Whether signatures are there exactly if the nonce asks for them.
    pub const fn is_well_formed(&self) -> bool {
        (self.receipt.nonce.get() == 0) == self.signatures.is_none()
            && self.receipt.nonce.get() < Nonce::FINAL.0
    }
}

/// A payment's identifier, chosen by the payer: 1 to 64 printable ASCII characters without
/// spaces. The payer's wallet uses it once, over whatever channel; the payee applies it once in a channel (rule 6).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PaymentId(String);

impl PaymentId {
    /// The longest identifier, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks a text.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidText> {
        let text = text.into();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > Self::MAX_LEN || !printable {
            return Err(InvalidText::PaymentId);
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A note that travels with a payment: at most 256 bytes of UTF-8 without control characters.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Memo(String);

impl Memo {
    /// The longest memo, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Checks a text.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidText> {
        let text = text.into();
        if text.len() > Self::MAX_LEN || text.chars().any(char::is_control) {
            return Err(InvalidText::Memo);
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text can't be an identifier or a memo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Not 1 to 64 printable ASCII characters.
    #[error("a payment id has 1 to 64 printable ASCII characters and no spaces")]
    PaymentId,
    /// Longer than 256 bytes, or with control characters.
    #[error("a memo has at most 256 bytes and no control characters")]
    Memo,
}

macro_rules! checked_text {
    ($type:ident) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}
checked_text!(PaymentId);
checked_text!(Memo);

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The payer's name for it.
    pub id: PaymentId,
    /// How much; never zero.
    pub amount: Amount,
    /// The payer's note.
    pub memo: Memo,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_1_parity_next_nonce_is_the_smallest_of_the_proposers_parity() {
        let next = |base: u64, role| Nonce::new(base).unwrap().next_of(role).unwrap().get();
        assert_eq!((next(0, Role::A), next(0, Role::B)), (1, 2));
        assert_eq!((next(1, Role::A), next(1, Role::B)), (3, 2));
        assert_eq!((next(2, Role::A), next(2, Role::B)), (3, 4));
    }

    #[test]
    fn ordinary_nonces_end_below_final() {
        let near = |below: u64| Nonce::new(Nonce::FINAL.get() - below).unwrap();
        assert_eq!(near(1).next_of(Role::A), None, "FINAL itself is odd and never proposed");
        assert_eq!(near(2).next_of(Role::A), None);
        assert_eq!(near(2).next_of(Role::B), Some(near(1)));
        assert_eq!(Nonce::new(Nonce::FINAL.get() + 1), None);
    }

    #[test]
    fn paying_moves_and_never_makes_money() {
        let balances = Balances { a: Amount::ONE_THD, b: Amount::ZERO };
        let paid = balances.pay(Role::A, Amount::ONE_THD).unwrap();
        assert_eq!(paid, Balances { a: Amount::ZERO, b: Amount::ONE_THD });
        assert_eq!(paid.pay(Role::A, Amount::ONE_THD), None);
        assert_eq!(paid.pay(Role::B, Amount::ONE_THD), Some(balances));
    }

    #[test]
    fn texts_are_bounded() {
        assert!(PaymentId::new("order-1").is_ok());
        for bad in ["", "a b", "ü", "tab\t", &"x".repeat(65)] {
            assert!(PaymentId::new(bad).is_err(), "{bad:?}");
        }
        assert!(Memo::new("für Kaffee ☕").is_ok());
        assert!(Memo::new("a\nb").is_err());
        assert!(Memo::new("é".repeat(129)).is_err());
    }
}
