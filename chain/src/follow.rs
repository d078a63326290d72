//! Following the chain block by block, also when blocks are taken back or the chain is another one.

use std::collections::VecDeque;

use thunder_protocol::{Address, B256};

use crate::client::{Chain, Head, Identity, Touched};
use crate::contracts::LOCAL_CHAIN_IDS;
use crate::error::ChainError;

/// How many processed blocks are remembered to find out how deep a reorganisation went.
const REMEMBERED: usize = 256;
/// How many processed blocks are read again each time, because an endpoint made of many machines may
/// have shown a block before it had its events. A local testnet is one machine.
const OVERLAP: u64 = 6;
/// How far below the oldest remembered block is looked when none of them is left.
const DEEPER: u64 = 10_000;

/// A block that was fully processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// What has changed since the last processed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing.
    Nothing,
    /// New blocks, perhaps in place of others.
    Blocks(Blocks),
    /// It is another chain: another chain id, or a testnet that was started anew.
    OtherChain(Identity),
}

/// New blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    /// The newest.
    pub head: Head,
    /// Contracts that emitted events that name the account; only where to look, not to be believed.
    pub touched: Vec<Address>,
    /// Whether there can be no others. If not, somebody filled a block with events, and everything
    /// has to be looked at by itself.
    pub is_complete: bool,
    /// If blocks were taken back: the first that is no longer what it was. Whatever was seen from
    /// there on has to be looked at again.
    pub replaced_from: Option<u64>,
}

/// Remembers how far a chain was processed.
#[derive(Debug)]
pub struct Follower {
    identity: Identity,
    /// Where to begin if nothing is processed yet; with the newest block, if nothing is said.
    first: Option<u64>,
    /// Oldest first.
    processed: VecDeque<Processed>,
}

impl Follower {
    /// Goes on after the blocks that were processed in an earlier life (oldest first); if there are
    /// none, with the block `first`.
    pub fn new(
        identity: Identity,
        first: Option<u64>,
        processed: impl IntoIterator<Item = Processed>,
    ) -> Self {
        Self { identity, first, processed: processed.into_iter().collect() }
    }

    /// Which chain is followed.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The newest processed block.
    pub fn newest(&self) -> Option<Processed> {
        self.processed.back().copied()
    }

    /// Asks the chain what is new. The blocks count as processed only after [`Self::processed`].
    pub async fn next(&self, chain: &Chain, account: Option<Address>) -> Result<Progress, ChainError> {
        let head = chain.head().await?;
        let last = self.newest();
        if last.is_some_and(|last| last.hash == head.hash) {
            return Ok(Progress::Nothing);
        }
        let extends = last.is_some_and(|last| last.number + 1 == head.number && last.hash == head.parent);
        let mut replaced_from = None;
        let from = if extends {
            head.number
        } else {
            let identity = chain.identity().await?;
            if identity != self.identity {
                return Ok(Progress::OtherChain(identity));
            }
            match self.common_ancestor(chain).await? {
                // A new node starts with the newest block: it has no channels yet.
                Ancestor::NothingProcessed => self.first.unwrap_or(head.number).min(head.number),
                Ancestor::At(ancestor) => {
                    let is_newest = last.is_some_and(|last| last.number == ancestor);
                    replaced_from = (!is_newest).then_some(ancestor + 1);
                    ancestor + 1
                }
                Ancestor::Below(oldest) => {
                    let from = oldest.saturating_sub(DEEPER);
                    replaced_from = Some(from);
                    from
                }
            }
        };
        let touched = match account {
            Some(account) if from <= head.number => {
                chain.touched(account, from.saturating_sub(self.overlap()), head.number).await?
            }
            _ => Touched { contracts: Vec::new(), is_complete: true },
        };
        let still = chain.block(head.number).await?;
        if still.is_none_or(|still| still.hash != head.hash) {
            return Err(ChainError::Unreachable("the chain changed while it was read".into()));
        }
        Ok(Progress::Blocks(Blocks {
            head,
            touched: touched.contracts,
            is_complete: touched.is_complete,
            replaced_from,
        }))
    }

    /// Everything up to this block is processed and on disk.
    pub fn processed(&mut self, blocks: &Blocks) {
        if let Some(first) = blocks.replaced_from {
            self.processed.retain(|block| block.number < first);
        }
        self.processed.push_back(Processed { number: blocks.head.number, hash: blocks.head.hash });
        if self.processed.len() > REMEMBERED {
            self.processed.pop_front();
        }
    }

    fn overlap(&self) -> u64 {
        if LOCAL_CHAIN_IDS.contains(&self.identity.chain_id) { 0 } else { OVERLAP }
    }

    async fn common_ancestor(&self, chain: &Chain) -> Result<Ancestor, ChainError> {
        for block in self.processed.iter().rev() {
            if chain.block(block.number).await?.is_some_and(|now| now.hash == block.hash) {
                return Ok(Ancestor::At(block.number));
            }
        }
        Ok(self.processed.front().map_or(Ancestor::NothingProcessed, |oldest| Ancestor::Below(oldest.number)))
    }
}

enum Ancestor {
    NothingProcessed,
    At(u64),
    Below(u64),
}
