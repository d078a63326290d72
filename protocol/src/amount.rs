//! Amounts of THD.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Decimals of THD: one THD is 10^18 base units, as with ether (ERC-20 `decimals`).
pub const DECIMALS: u32 = 18;

const ONE_THD: u128 = 10u128.pow(DECIMALS);

/// An amount of THD in base units (10^-18 THD), at most what a channel can hold (2^88 - 1,
/// about 309 million THD). Arithmetic is checked: there is no way to wrap or to go below zero.
///
/// ```
/// use thunder_protocol::Amount;
///
/// let paid: Amount = "1.5".parse()?;
/// assert_eq!(paid.base_units(), 1_500_000_000_000_000_000);
/// assert_eq!(Amount::ONE_THD.checked_sub(paid), None);
/// assert!("0.0000000000000000001".parse::<Amount>().is_err(), "THD has 18 decimals");
/// # Ok::<(), thunder_protocol::ParseAmountError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount that the contract's storage word holds (uint88).
    pub const MAX: Self = Self((1 << 88) - 1);
    /// One THD.
    pub const ONE_THD: Self = Self(ONE_THD);

    /// An amount from base units, or `None` above [`Amount::MAX`].
    pub const fn from_base_units(units: u128) -> Option<Self> {
        if units <= Self::MAX.0 { Some(Self(units)) } else { None }
    }

    /// The amount in base units.
    pub const fn base_units(self) -> u128 {
        self.0
    }

    /// Whether the amount is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` above [`Amount::MAX`].
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        // Both are below 2^88, so the plain sum cannot overflow 128 bits.
        Self::from_base_units(self.0 + other.0)
    }

    /// The difference, or `None` below zero.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The sum of many, or `None` above [`Amount::MAX`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

/// Shows THD, exactly, without trailing zeros: `1.5`, `10`, `0.000000000000000001`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / ONE_THD, self.0 % ONE_THD);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{fraction:018}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} THD")
    }
}

/// Why a text is not an amount of THD.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAmountError {
    /// The text is empty.
    #[error("the amount is empty")]
    Empty,
    /// The text starts with a minus sign.
    #[error("the amount is negative")]
    Negative,
    /// The text is not a decimal number.
    #[error("not a decimal number; write THD like 10 or 0.25")]
    NotDecimal,
    /// The text has more than 18 digits after the point.
    #[error("more than 18 digits after the point; THD has 18 decimals")]
    TooPrecise,
    /// The amount does not fit into a channel.
    #[error("more than a channel can hold ({} THD)", Amount::MAX)]
    TooLarge,
}

/// Parses THD exactly, never through a float: digits, optionally a point and up to 18 digits.
impl FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseAmountError::Empty);
        }
        if text.starts_with('-') {
            return Err(ParseAmountError::Negative);
        }
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(ParseAmountError::NotDecimal),
            Some((whole, fraction)) => (whole, fraction),
            None => (text, ""),
        };
        let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits_only(whole) || !digits_only(fraction) {
            return Err(ParseAmountError::NotDecimal);
        }
        if fraction.len() > DECIMALS as usize {
            return Err(ParseAmountError::TooPrecise);
        }
        let whole: u128 = whole.parse().map_err(|_| ParseAmountError::TooLarge)?;
        // At most 18 digits, padded on the right: it fits by construction.
        let fraction: u128 = format!("{fraction:0<18}").parse().map_err(|_| ParseAmountError::NotDecimal)?;
        whole
            .checked_mul(ONE_THD)
            .and_then(|units| units.checked_add(fraction))
            .and_then(Self::from_base_units)
            .ok_or(ParseAmountError::TooLarge)
    }
}

/// Human-readable formats carry THD as decimal text; binary ones carry the base units as a
/// big-endian byte string without leading zeros (at most 11 bytes).
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        let bytes = self.0.to_be_bytes();
        let leading = (self.0.leading_zeros() / 8) as usize;
        serializer.serialize_bytes(bytes.get(leading..).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            return text.parse().map_err(de::Error::custom);
        }
        deserializer.deserialize_bytes(BaseUnits)
    }
}

struct BaseUnits;

impl de::Visitor<'_> for BaseUnits {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("at most 11 big-endian bytes without leading zeros")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Amount, E> {
        if bytes.len() > 11 || bytes.first() == Some(&0) {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        let units = bytes.iter().fold(0u128, |units, byte| units << 8 | u128::from(*byte));
        Amount::from_base_units(units).ok_or_else(|| E::custom("amount out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thd(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn text_is_exact_to_eighteen_places() {
        assert_eq!(thd("1").base_units(), ONE_THD);
        assert_eq!(thd("0.000000000000000001").base_units(), 1);
        assert_eq!(thd("10.50").to_string(), "10.5");
        assert_eq!(thd("0").to_string(), "0");
        assert_eq!(thd("309485009.821345068724781055"), Amount::MAX);
    }

    #[test]
    fn bad_text_is_refused_with_its_cause() {
        let cause = |text: &str| text.parse::<Amount>().unwrap_err();
        assert_eq!(cause(""), ParseAmountError::Empty);
        assert_eq!(cause("-1"), ParseAmountError::Negative);
        for text in ["abc", "1.", ".5", "1e3", "1,5", "+1", " 1", "1 ", "0x10", "1.2.3", "١"] {
            assert_eq!(cause(text), ParseAmountError::NotDecimal, "{text}");
        }
        assert_eq!(cause("0.0000000000000000001"), ParseAmountError::TooPrecise);
        assert_eq!(cause("309485009.821345068724781056"), ParseAmountError::TooLarge);
        assert_eq!(cause(&"9".repeat(60)), ParseAmountError::TooLarge);
    }

    #[test]
    fn arithmetic_never_wraps() {
        assert_eq!(Amount::MAX.checked_add(Amount(1)), None);
        assert_eq!(Amount(1).checked_sub(Amount(2)), None);
        assert_eq!(Amount::checked_sum([Amount::MAX, Amount(1)]), None);
    }

    #[test]
    fn bytes_have_one_form_only() {
        for units in [0, 1, 255, 256, Amount::MAX.0] {
            let bytes = serde_cbor::to_vec(&Amount(units)).unwrap();
            assert_eq!(serde_cbor::from_slice::<Amount>(&bytes).unwrap(), Amount(units));
        }
        assert!(serde_cbor::from_slice::<Amount>(&[0x42, 0, 1]).is_err(), "leading zero");
        assert!(
            serde_cbor::from_slice::<Amount>(&[0x4c, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err(),
            "12 bytes"
        );
    }

    proptest::proptest! {
        #[test]
        fn text_and_back(units in 0..=Amount::MAX.0) {
            let amount = Amount(units);
            proptest::prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            let json = serde_json::to_string(&amount).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
        }
    }
}
