//! How the honest go on by themselves: the chain mines what they ask for, and messages arrive in order.

use std::collections::VecDeque;

use thunder_protocol::channel::{ChainInput, ChannelCommand, CloseMode, PeerInput};
use thunder_protocol::onchain::{CHALLENGE_PERIOD, Call, CallFailure};
use thunder_protocol::wire::Message;
use thunder_protocol::{Channel, Input, Role};

use crate::side::{Outcome, Side};
use crate::verdict::Broken;
use crate::world::World;
use thunder_testing::contract::{Caller, Contract, Function, Phase};
use thunder_testing::crypto::Key;

/// More messages than any conversation has that comes to an end.
const MESSAGES: usize = 200;

/// The continuation of a world.
#[derive(Debug, Clone)]
pub(crate) struct Play {
    pub(crate) sides: Vec<Side>,
    pub(crate) contract: Contract,
    pub(crate) mempool: VecDeque<(Role, Call)>,
    pub(crate) wire: VecDeque<(Role, Message)>,
    pub(crate) accused: bool,
}

impl Play {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            sides: world.honest().map(|side| (**side).clone()).collect(),
            contract: world.contract.clone(),
            mempool: world.mempool.iter().map(|pending| (pending.from, pending.call.clone())).collect(),
            wire: VecDeque::new(),
            accused: false,
        }
    }

    pub(crate) fn side(&self, role: Role) -> &Side {
        self.sides.iter().find(|side| side.role == role).expect("an honest side")
    }

    fn each(&mut self, mut act: impl FnMut(&mut Side) -> Option<Outcome>) {
        for at in 0..self.sides.len() {
            let Some(side) = self.sides.get_mut(at) else { continue };
            let role = side.role;
            let Some(outcome) = act(side) else { continue };
            self.accused |= outcome.misbehaviour.is_some();
            for call in outcome.submit {
                if !self.mempool.iter().any(|other| *other == (role, call.clone())) {
                    self.mempool.push_back((role, call));
                }
            }
            self.wire.extend(outcome.send.into_iter().map(|message| (role.other(), message)));
        }
    }

    fn only(&mut self, role: Role, act: impl Fn(&mut Side) -> Option<Outcome>) {
        self.each(|side| if side.role == role { act(side) } else { None });
    }

    /// All follow the chain to its newest block.
    pub(crate) fn see(&mut self) {
        let view = self.contract.view();
        self.each(|side| Some(side.see(view)));
    }

    /// What was asked for is mined, in turn, and seen.
    pub(crate) fn mine_all(&mut self) {
        self.see();
        for _ in 0..8 {
            let Some((from, call)) = self.mempool.pop_front() else { return };
            let Some(function) = Function::of(&call) else { continue };
            if self.contract.mine(Caller::Party(from), &function, &Key(from)).is_err() {
                let reason = CallFailure::Refused("reverted".into());
                let failed = ChainInput::CallFailed { kind: call.kind(), reason };
                self.only(from, |side| side.step(Input::Chain(failed.clone()), None));
            }
            self.see();
        }
    }

    /// The user closes alone, or takes back what was paid into a channel that never was ACTIVE.
    pub(crate) fn close(&mut self, role: Role) {
        let command = match self.side(role).channel {
            Channel::Opening(_) => ChannelCommand::Cancel,
            Channel::Active(_)
            | Channel::CooperativeClosing(_)
            | Channel::DataLoss(_)
            | Channel::Closing(_)
            | Channel::Closed(_) => ChannelCommand::Close(CloseMode::Alone),
        };
        self.only(role, |side| side.command(command.clone(), None));
    }

    /// The user of a restored node gives it the newest watchtower record.
    pub(crate) fn import(&mut self, role: Role) {
        self.only(role, |side| side.import(false, None));
    }

    /// The user of a restored node orders FINAL, and everything arrives.
    pub(crate) fn order_final(&mut self, role: Role) -> Result<(), Broken> {
        self.only(role, |side| side.order_final(None));
        self.deliver_all()?;
        self.mine_all();
        self.wait_for_posting()
    }

    /// The challenge period passes, and the user asks for the money.
    pub(crate) fn withdraw(&mut self, role: Role) {
        if matches!(self.contract.phase, Phase::Closing(_)) {
            self.contract.block = self.contract.block.max(self.contract.closing_block + CHALLENGE_PERIOD - 1);
            self.see();
            self.only(role, |side| side.command(ChannelCommand::Withdraw, None));
            self.mine_all();
        }
    }

    /// A new session, in which everything arrives, and time enough for every repetition.
    pub(crate) fn heal(&mut self) -> Result<(), Broken> {
        self.mine_all();
        self.wire.clear();
        self.each(|side| side.online.then(|| side.session(PeerInput::Disconnected)));
        for role in [Role::B, Role::A] {
            let initiator = role == Role::A;
            self.only(role, |side| Some(side.session(PeerInput::Connected { initiator })));
        }
        for _ in 0..3 {
            self.deliver_all()?;
            self.mine_all();
            self.each(|side| side.step(Input::Tick, None));
        }
        self.wait_for_posting()?;
        if self.accused { Err(Broken::HonestAccused) } else { Ok(()) }
    }

    /// Whoever waits for the other to post a FINAL first waits no longer.
    fn wait_for_posting(&mut self) -> Result<(), Broken> {
        if self.contract.phase == Phase::Active {
            self.contract.block += 8;
            self.mine_all();
            self.deliver_all()?;
        }
        Ok(())
    }

    fn deliver_all(&mut self) -> Result<(), Broken> {
        for _ in 0..MESSAGES {
            let Some((to, message)) = self.wire.pop_front() else { return Ok(()) };
            self.only(to, |side| if side.online { side.receive(message.clone(), None) } else { None });
        }
        Err(Broken::Stuck)
    }
}
