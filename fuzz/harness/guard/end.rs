//! What must hold in the end, whatever came before.

use thunder_guard::ChainIdentity;
use thunder_guard::state::StorageState;
use thunder_protocol::onchain::CallKind;
use thunder_protocol::{Address, Nonce, Role};

use super::bench::Bench;
use crate::endpoint::{Endpoint, Faults, genesis};
use crate::ether::{CHAIN_ID, shares};

/// What the guard's memory may take when it is printed: without channels and calls, and for each.
const MAX_MEMORY: (usize, usize) = (64 << 10, 512 << 10);
/// Within how many blocks everything is seen again as it is.
const RECOVERS_WITHIN: usize = 64;
/// Within how many blocks of a closing its challenge is mined.
const CHALLENGED_WITHIN: usize = 8;
/// Within how many blocks of its order a closing is mined.
const CLOSED_WITHIN: usize = 16;

impl Bench {
    /// What the guard keeps has bounds.
    pub(super) fn check_memory(&self) {
        let bytes = format!("{:?}", self.guard).len();
        assert!(bytes <= MAX_MEMORY.0 + MAX_MEMORY.1 * self.size(), "{bytes} bytes are kept");
    }

    /// From now on the endpoints answer truly: the guard sees every channel as it is (rule G5: not
    /// blind). One that has said twice that it shows another chain is believed until blocks are taken
    /// back; that is left out.
    pub(super) fn check_recovery(&mut self) {
        for endpoint in &mut self.endpoints {
            *endpoint = Endpoint::new(Faults { tip: 1_000_000_000, ..Faults::default() });
        }
        self.disk_is_full = false;
        if self.recover() {
            self.check_calls();
        }
    }

    /// Goes on until everything is seen as it is; returns whether it is the right chain.
    fn recover(&mut self) -> bool {
        let right = ChainIdentity { chain_id: CHAIN_ID, genesis: genesis().hash };
        for _ in 0..RECOVERS_WITHIN {
            self.block(&[]);
            if self.is_right() {
                return self.chain == Some(right);
            }
        }
        if self.chain.is_some_and(|chain| chain != right) {
            return false;
        }
        let chain: Vec<_> = self.watched.iter().map(|channel| self.ether.state(channel)).collect();
        panic!("it stays blind: fresh: {}, views: {:?}, chain: {chain:?}", self.is_fresh, self.views);
    }

    /// After all that, a channel is closed to order, and a cheat in another is challenged in time.
    fn check_calls(&mut self) {
        // One that was closed, and is open again, is in no chain.
        let was_called = |channel: &Address| {
            self.ether.own_mined().any(|mined| mined.succeeded && mined.transaction.to == *channel)
        };
        let is_open = |channel: &&Address| self.ether.state(channel).stage() <= 2 && !was_called(channel);
        let open = self.watched.iter().filter(is_open);
        let mut open = open.copied().collect::<Vec<_>>().into_iter();
        let active = StorageState::Active { paid_in: shares(10, 0) };
        self.block(&open.clone().map(|channel| (channel, active)).collect::<Vec<_>>());
        self.recover();
        if let Some(channel) = open.next_back() {
            self.submit(channel, CallKind::Close);
            self.ends(channel, 3, CLOSED_WITHIN);
        }
        let (nonce, balances) = (Nonce::new(1).expect("small"), shares(9, 1));
        let cheat = StorageState::Closing { closer: Role::A, nonce, balances, block: 0 };
        if let Some(channel) = open.next() {
            self.block(&[(channel, cheat)]);
            self.ends(channel, 4, CHALLENGED_WITHIN);
            assert!(matches!(
                self.ether.state(&channel),
                StorageState::Closed { balances, .. } if balances == shares(0, 10)
            ));
        }
    }

    /// A channel gets to this stage within so many blocks.
    fn ends(&mut self, channel: Address, stage: u8, blocks: usize) {
        for _ in 0..blocks {
            self.block(&[]);
            if self.ether.state(&channel).stage() >= stage {
                return;
            }
        }
        panic!("it is not at stage {stage}: {:?}", self.ether.state(&channel));
    }

    /// A block is mined, and what follows from it is done until the next.
    fn block(&mut self, changes: &[(Address, StorageState)]) {
        self.ether.mine(12, 1_000_000_000, changes);
        for _ in 0..24 {
            self.answer_all(3);
            self.pass(500);
        }
    }

    fn is_right(&self) -> bool {
        self.is_fresh
            && self.watched.iter().all(|channel| {
                let view = self.views.get(channel);
                view.is_some_and(|view| self.ether.state(channel).is_shown_by(view))
            })
    }
}
