//! A channel's state as the contract's storage has it (guard rule G1).

use thunder_protocol::onchain::{ChainClosing, OnChain};
use thunder_protocol::{Amount, Balances, Nonce, Role};

/// The slot of a channel's storage that has all that changes in its life (`ChannelCore._ledger`).
pub const LEDGER_SLOT: u64 = 2;

/// [`StorageState::stage`] of a channel that is paid out.
pub(crate) const ENDED: u8 = 4;

/// A channel's state at one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageState {
    /// There is no channel at the address.
    Missing,
    /// `EMPTY`.
    Empty {
        /// What was paid in so far.
        paid_in: Balances,
    },
    /// `ACTIVE`.
    Active {
        /// What was paid in.
        paid_in: Balances,
    },
    /// `CLOSING`.
    Closing {
        /// Who closed.
        closer: Role,
        /// The receipt closed on.
        nonce: Nonce,
        /// Its shares.
        balances: Balances,
        /// The block of the closing.
        block: u64,
    },
    /// `CLOSED`.
    Closed {
        /// The nonce of the receipt closed on; 0 for a channel that was cancelled.
        nonce: Nonce,
        /// What each party was paid.
        balances: Balances,
        /// The block of the closing; 0 for a channel that was cancelled.
        block: u64,
    },
}

impl StorageState {
    /// Reads the contract's storage word, which `ChannelStates` answers with too. From its most
    /// significant byte: phase (1), closing block (4), nonce (5), share of B (11), share of A (11).
    /// `None` for a word that no channel has.
    pub fn from_word(word: &[u8; 32]) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| {
            word.get(range).unwrap_or_default().iter().fold(0u128, |sum, byte| sum << 8 | u128::from(*byte))
        };
        let amount = |range| Amount::from_base_units(number(range));
        let block = u64::try_from(number(1..5)).ok()?;
        let nonce = Nonce::new(u64::try_from(number(5..10)).ok()?)?;
        let balances = Balances { a: amount(21..32)?, b: amount(10..21)? };
        balances.sum()?;
        let is_unused = block == 0 && nonce == Nonce::ZERO;
        let closing = |closer| Self::Closing { closer, nonce, balances, block };
        match word[0] {
            0 => Some(Self::Missing),
            1 if is_unused => Some(Self::Empty { paid_in: balances }),
            2 if is_unused => Some(Self::Active { paid_in: balances }),
            3 if block > 0 && nonce < Nonce::FINAL => Some(closing(Role::A)),
            4 if block > 0 && nonce < Nonce::FINAL => Some(closing(Role::B)),
            5 => Some(Self::Closed { nonce, balances, block }),
            _ => None,
        }
    }

    /// Whether a view of the channel stands for this state.
    pub fn is_shown_by(&self, status: &OnChain) -> bool {
        match (self, status) {
            (Self::Missing, OnChain::Missing) => true,
            (Self::Empty { paid_in }, OnChain::Empty { paid_in: shown })
            | (Self::Active { paid_in }, OnChain::Active { paid_in: shown }) => paid_in == shown,
            (Self::Closing { closer, nonce, balances, block }, OnChain::Closing(shown)) => {
                let ChainClosing { closer: by, nonce: on, balances: shares, block: at, .. } = shown;
                (closer, nonce, balances, block) == (by, on, shares, at)
            }
            (Self::Closed { balances, .. }, OnChain::Closed { end, .. }) => *balances == end.paid_out,
            _ => false,
        }
    }

    /// The place of the state in a channel's life, from 0 for a channel that is not there.
    pub const fn stage(&self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Empty { .. } => 1,
            Self::Active { .. } => 2,
            Self::Closing { .. } => 3,
            Self::Closed { .. } => ENDED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(phase: u8, block: u32, nonce: u64, a: u128, b: u128) -> [u8; 32] {
        let mut word = [0; 32];
        word[0] = phase;
        word[1..5].copy_from_slice(&block.to_be_bytes());
        word[5..10].copy_from_slice(&nonce.to_be_bytes()[3..]);
        word[10..21].copy_from_slice(&b.to_be_bytes()[5..]);
        word[21..32].copy_from_slice(&a.to_be_bytes()[5..]);
        word
    }

    fn balances(a: u128, b: u128) -> Balances {
        let amount = |units| Amount::from_base_units(units).unwrap();
        Balances { a: amount(a), b: amount(b) }
    }

    #[test]
    fn g1_a_word_says_closer_nonce_shares_and_block() {
        let state = StorageState::from_word(&word(4, 77, 1 << 39, 5, 1 << 80)).unwrap();
        let nonce = Nonce::new(1 << 39).unwrap();
        assert_eq!(
            state,
            StorageState::Closing { closer: Role::B, nonce, balances: balances(5, 1 << 80), block: 77 }
        );
        let active = StorageState::from_word(&word(2, 0, 0, 5, 6)).unwrap();
        assert_eq!(active, StorageState::Active { paid_in: balances(5, 6) });
        assert_eq!(StorageState::from_word(&[0; 32]), Some(StorageState::Missing));
    }

    #[test]
    fn g5_a_word_that_no_channel_has_is_none() {
        let most = (1 << 88) - 1;
        for odd in [
            word(6, 0, 0, 1, 1),
            word(255, 0, 0, 0, 0),
            word(2, 1, 0, 1, 1),
            word(2, 0, 1, 1, 1),
            word(3, 0, 1, 1, 1),
            word(3, 5, (1 << 40) - 1, 1, 1),
            word(2, 0, 0, most, most),
        ] {
            assert_eq!(StorageState::from_word(&odd), None, "{odd:?}");
        }
    }
}
