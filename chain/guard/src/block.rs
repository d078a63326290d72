//! Block heads: reading them, noticing reorganisations, and measuring the time between two blocks.

use std::collections::VecDeque;

use serde::Deserialize;
use thunder_protocol::B256;

use crate::error::AskError;
use crate::json::{fixed, quantity, quantity64};

/// A block, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its parent's hash.
    pub parent: B256,
    /// Its timestamp, in seconds.
    pub timestamp: u64,
    /// The base fee (EIP-1559) in wei; `None` on a chain without it.
    pub base_fee: Option<u128>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBlock<'a> {
    number: &'a str,
    hash: &'a str,
    parent_hash: &'a str,
    timestamp: &'a str,
    #[serde(default)]
    base_fee_per_gas: Option<&'a str>,
}

impl Head {
    /// Reads the answer to `eth_getBlockByNumber`; `None` if there is no such block.
    pub(crate) fn read(json: &str) -> Result<Option<Self>, AskError> {
        let Some(raw) = serde_json::from_str::<Option<RawBlock<'_>>>(json).map_err(AskError::invalid)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            number: quantity64(raw.number)?,
            hash: B256::new(fixed(raw.hash)?),
            parent: B256::new(fixed(raw.parent_hash)?),
            timestamp: quantity64(raw.timestamp)?,
            base_fee: raw.base_fee_per_gas.map(quantity).transpose()?,
        }))
    }
}

/// How many blocks an endpoint has shown are remembered, to notice a reorganisation.
const REMEMBERED: usize = 64;

/// The newest blocks that an endpoint has shown, one for each height, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RecentBlocks(VecDeque<(u64, B256)>);

/// How a new head goes on from the blocks before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// It follows the newest block that was shown, or none was shown yet.
    Follows,
    /// Blocks were skipped: whether the newest one that was shown is still part of the chain is not
    /// known.
    Unknown {
        /// That block's number.
        newest: u64,
    },
    /// An older block that was shown before: perhaps one of several machines behind the endpoint is late.
    Stale,
    /// Blocks were taken back, from this height on at the latest.
    Replaced {
        /// The lowest height that is known to have changed.
        first: u64,
    },
}

impl RecentBlocks {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The hash that was shown at a height.
    pub(crate) fn at(&self, number: u64) -> Option<B256> {
        self.0.iter().rev().find(|(height, _)| *height == number).map(|(_, hash)| *hash)
    }

    /// Takes a new head, and says how it goes on.
    pub(crate) fn push(&mut self, head: &Head) -> Continuity {
        let newest = self.0.back().copied();
        let continuity = match newest {
            None => Continuity::Follows,
            Some((_, hash)) if hash == head.hash => Continuity::Follows,
            Some((number, _)) if head.number < number && self.at(head.number) == Some(head.hash) => {
                return Continuity::Stale;
            }
            Some((number, _)) if head.number <= number => Continuity::Replaced { first: head.number },
            Some((number, hash)) if head.number == number + 1 && head.parent == hash => Continuity::Follows,
            Some((number, _)) if head.number == number + 1 => Continuity::Replaced { first: number },
            Some((number, _)) => Continuity::Unknown { newest: number },
        };
        self.0.retain(|(number, _)| *number < head.number);
        self.0.push_back((head.number, head.hash));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
        continuity
    }

    /// The chain ends at this height after all. Returns the lowest height that was taken back.
    pub(crate) fn cut(&mut self, number: u64) -> u64 {
        self.0.retain(|(height, _)| *height <= number);
        number.saturating_add(1)
    }

    /// The endpoint shows another hash at a height than before. Returns the next height to compare: the
    /// one below it that was shown, if there is one.
    pub(crate) fn replace(&mut self, number: u64) -> Option<u64> {
        self.0.retain(|(height, _)| *height != number);
        self.0.iter().rev().map(|(height, _)| *height).find(|height| *height < number)
    }
}

/// The time between two blocks, measured by their timestamps (guard rule G8).
#[derive(Debug, Default)]
pub(crate) struct BlockTimeEstimate {
    /// Number and timestamp of blocks that were seen, oldest first.
    seen: VecDeque<(u64, u64)>,
}

/// The time between two blocks while it is not measured, in milliseconds.
pub(crate) const DEFAULT_BLOCK_TIME: u64 = 12_000;
/// The least and the largest time between two blocks that is believed, in milliseconds.
const BELIEVED: std::ops::RangeInclusive<u64> = 100..=60_000;
/// How many blocks the measure reaches back.
const WINDOW: u64 = 64;

impl BlockTimeEstimate {
    /// Takes a block's number and timestamp, in any order. A block that contradicts those before it
    /// begins the measure anew.
    pub(crate) fn observe(&mut self, number: u64, timestamp: u64) {
        if let Some((newest, time)) = self.seen.back().copied() {
            if number == newest {
                return;
            }
            if number < newest {
                let oldest = self.seen.front().copied().unwrap_or((newest, time));
                if number < oldest.0 && timestamp <= oldest.1 && newest - number <= 2 * WINDOW {
                    self.seen.push_front((number, timestamp));
                }
                return;
            }
            if timestamp < time || number - newest > WINDOW {
                self.seen.clear();
            }
        }
        self.seen.push_back((number, timestamp));
        while self.seen.len() > 2
            && self.seen.front().is_some_and(|(oldest, _)| number.saturating_sub(*oldest) > WINDOW)
        {
            self.seen.pop_front();
        }
    }

    /// Blocks from this height on were taken back, or were never there: they measure nothing.
    pub(crate) fn forget(&mut self, first: u64) {
        self.seen.retain(|(number, _)| *number < first);
    }

    /// An older block whose timestamp would make the measure better, if there is one.
    pub(crate) fn wanted(&self) -> Option<u64> {
        let (newest, _) = *self.seen.back()?;
        let (oldest, _) = *self.seen.front()?;
        let wanted = newest.saturating_sub(WINDOW / 2);
        (newest - oldest < WINDOW / 4 && wanted < oldest).then_some(wanted)
    }

    /// The time between two blocks in milliseconds, once it is measured.
    pub(crate) fn measured(&self) -> Option<u64> {
        let ((first, begin), (last, end)) = (*self.seen.front()?, *self.seen.back()?);
        let blocks = last.checked_sub(first).filter(|blocks| *blocks > 0)?;
        let millis = end.checked_sub(begin)?.checked_mul(1000)? / blocks;
        Some(millis.clamp(*BELIEVED.start(), *BELIEVED.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u64, fork: u8, parent: u8) -> Head {
        let hash = |fork: u8, number: u64| B256::with_last_byte(fork.wrapping_add(number as u8));
        Head {
            number,
            hash: hash(fork, number),
            parent: hash(parent, number.saturating_sub(1)),
            timestamp: 0,
            base_fee: None,
        }
    }

    #[test]
    fn a_reorganisation_is_noticed_by_numbers_and_parents() {
        let mut shown = RecentBlocks::default();
        assert_eq!(shown.push(&head(5, 0, 0)), Continuity::Follows);
        assert_eq!(shown.push(&head(5, 0, 0)), Continuity::Follows, "the same again");
        assert_eq!(shown.push(&head(6, 0, 0)), Continuity::Follows);
        assert_eq!(shown.push(&head(5, 0, 0)), Continuity::Stale);
        assert_eq!(shown.push(&head(9, 0, 0)), Continuity::Unknown { newest: 6 });
        assert_eq!(shown.push(&head(10, 100, 100)), Continuity::Replaced { first: 9 });
        assert_eq!(shown.push(&head(8, 200, 200)), Continuity::Replaced { first: 8 });
        assert_eq!(shown.at(6), Some(head(6, 0, 0).hash));
        assert_eq!(shown.at(9), None, "what was above is forgotten");
        assert_eq!(shown.replace(6), Some(5));
    }

    #[test]
    fn g5_a_block_needs_only_the_fields_that_are_read() {
        let hash = format!("0x{:064x}", 7);
        let block = |number: &str| {
            format!(
                r#"{{"number":{number},"hash":"{hash}","parentHash":"{hash}","timestamp":"0x5","size":[]}}"#
            )
        };
        assert_eq!(Head::read(&block(r#""0x10""#)).unwrap().unwrap().number, 16);
        assert_eq!(Head::read("null").unwrap(), None);
        for odd in ["null", "16", r#""0x10000000000000000""#, r#""16""#] {
            assert!(Head::read(&block(odd)).is_err(), "{odd}");
        }
    }

    #[test]
    fn g8_the_time_between_blocks_is_measured_and_bounded() {
        let mut pace = BlockTimeEstimate::default();
        assert_eq!(pace.measured(), None);
        pace.observe(1000, 20_000);
        assert_eq!(pace.wanted(), Some(968));
        pace.observe(968, 20_000 - 32 * 2);
        assert_eq!((pace.measured(), pace.wanted()), (Some(2000), None));
        pace.observe(1001, 20_012);
        assert!(pace.measured().unwrap() > 2000);
        pace.observe(1002, 19_000);
        assert_eq!(pace.measured(), None, "time that goes back begins anew");
        pace.observe(1003, u64::MAX);
        assert_eq!(pace.measured(), None, "more than is believed overflows nothing");
        let mut lied_to = BlockTimeEstimate::default();
        lied_to.observe(1000, 20_000);
        lied_to.observe(1060, 20_006);
        lied_to.forget(1001);
        lied_to.observe(1001, 20_012);
        assert_eq!(lied_to.measured(), Some(12_000), "what was taken back measures nothing");
        let mut fast = BlockTimeEstimate::default();
        (0..200).for_each(|number| fast.observe(number, 7));
        assert_eq!(fast.measured(), Some(100));
    }
}
