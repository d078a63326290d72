//! Reading the channels' states (guard rules G1 and G2).

use std::collections::HashSet;

use thunder_protocol::onchain::OnChain;
use thunder_protocol::{Address, Role};

use super::{Guard, Report};
use crate::endpoint::Millis;
use crate::error::AskError;
use crate::question::EndpointAnswer;
use crate::reconcile::Reading;
use crate::state::{ENDED, StorageState};
use crate::watch::WatchedChannel;
use thunder_protocol::{Stake, WatchRequest};

use super::chain::MAX_LAG;

/// How often a channel that can't be read is tried before that is said, and the round goes on without it.
const TRIES: u32 = 3;
/// The same if a limit of requests is the answer, which may have to do with other questions.
const LIMITED_TRIES: u32 = 12;

impl Guard {
    // ---- which channels -----------------------------------------------------------------------

    /// Watches these channels, and no others. Nothing is reported of channels before this was called.
    pub fn watch_all(&mut self, watches: &[WatchRequest]) {
        let endpoints = self.endpoints.len();
        let contracts = self.settings.contracts;
        let channels = watches
            .iter()
            .map(|watch| (watch.terms.channel, WatchedChannel::new(watch, &contracts, endpoints)));
        self.channels = Some(channels.collect());
        self.urgent = watches
            .iter()
            .filter(|watch| watch.stake == Stake::Urgent)
            .map(|watch| watch.terms.channel)
            .collect();
        for set in [&mut self.differing, &mut self.waiting] {
            set.clear();
        }
        self.searches.clear();
        self.verifying.clear();
        self.unreadable.clear();
        (self.read_head, self.is_released) = (None, watches.is_empty());
        for endpoint_index in 0..endpoints {
            if let Some(work) = self.work.get_mut(endpoint_index) {
                (work.epoch, work.read_head) = (work.epoch + 1, None);
            }
            self.restart_schedule(endpoint_index);
        }
    }

    /// Watches one more channel, or one that is watched already otherwise than before.
    pub fn watch(&mut self, watch: &WatchRequest) {
        let (contracts, endpoints) = (self.settings.contracts, self.endpoints.len());
        let Some(channels) = &mut self.channels else { return };
        let address = watch.terms.channel;
        let mut channel = WatchedChannel::new(watch, &contracts, endpoints);
        let Some(known) = channels.remove(&address) else {
            channels.insert(address, channel);
            return self.add_to_schedules(address, watch.stake, true);
        };
        (channel.stake, channel.round) = (known.stake, known.round);
        channels.insert(address, channel);
        self.set_stake(address, watch.stake);
        self.work.iter_mut().for_each(|work| work.schedule.again(&[address]));
    }

    /// Does not watch a channel any more.
    pub fn unwatch(&mut self, address: Address) {
        let Some(channel) = self.channels.as_mut().and_then(|channels| channels.remove(&address)) else {
            return;
        };
        for (work, round) in self.work.iter_mut().zip(&channel.round) {
            if *round != work.schedule.round {
                work.schedule.forget_unread();
            }
        }
        self.urgent.remove(&address);
        self.differing.remove(&address);
        self.waiting.remove(&address);
        self.searches.remove(&address);
        self.verifying.remove(&address);
        self.unreadable.remove(&address);
    }

    /// How much depends on a channel has changed.
    pub fn set_stake(&mut self, address: Address, stake: Stake) {
        let Some(channel) = self.channels.as_mut().and_then(|channels| channels.get_mut(&address)) else {
            return;
        };
        if channel.stake == stake {
            return;
        }
        channel.stake = stake;
        self.urgent.remove(&address);
        self.add_to_schedules(address, stake, false);
    }

    fn add_to_schedules(&mut self, address: Address, stake: Stake, is_new: bool) {
        if stake == Stake::Urgent {
            self.urgent.insert(address);
        }
        self.work.iter_mut().for_each(|work| work.schedule.add(address, stake, is_new));
    }

    // ---- when ---------------------------------------------------------------------------------

    /// Everything is read anew at this endpoint.
    pub(super) fn restart_schedule(&mut self, endpoint_index: usize) {
        let Some(channels) = &self.channels else { return };
        let of = |stake: Stake| {
            let mut all: Vec<_> = channels
                .iter()
                .filter(|(_, channel)| channel.stake == stake)
                .map(|(address, _)| *address)
                .collect();
            all.sort_unstable();
            all
        };
        if let Some(work) = self.work.get_mut(endpoint_index) {
            work.schedule.restart(of(Stake::AtRisk), of(Stake::Nothing), self.urgent.len());
        }
    }

    pub(super) fn fill_schedule(&mut self, endpoint_index: usize, head: u64, now: Millis) {
        if self.channels.is_none() || !self.is_usable(endpoint_index) {
            return;
        }
        let Some(batch) = self.endpoints.get_mut(endpoint_index).map(|endpoint| endpoint.batch) else {
            return;
        };
        let Some(mut schedule) =
            self.work.get_mut(endpoint_index).map(|work| std::mem::take(&mut work.schedule))
        else {
            return;
        };
        if let Some(work) = self.work.get_mut(endpoint_index) {
            schedule.again(&std::mem::take(&mut work.ends));
        }
        schedule.fill(head, now, batch, &self.urgent, |channel, stake| self.is_in_rotation(channel, stake));
        if let Some(work) = self.work.get_mut(endpoint_index) {
            work.schedule = schedule;
        }
        self.after_reading(endpoint_index, now);
    }

    /// The head is the same as before. If it stays so, what is left of the round is read.
    pub(super) fn confirm_round(
        &mut self,
        endpoint_index: usize,
        head: u64,
        stands_still: bool,
        now: Millis,
    ) {
        let Some(mut schedule) =
            self.work.get_mut(endpoint_index).map(|work| std::mem::take(&mut work.schedule))
        else {
            return;
        };
        schedule.confirm(head, now);
        if stands_still {
            schedule.fill_rest(head, |channel, stake| self.is_in_rotation(channel, stake));
        }
        if let Some(work) = self.work.get_mut(endpoint_index) {
            work.schedule = schedule;
        }
        self.after_reading(endpoint_index, now);
    }

    /// A round may be over, and everything that was due at the head may be read.
    fn after_reading(&mut self, endpoint_index: usize, now: Millis) {
        let Some(count) = self.channels.as_ref().map(std::collections::HashMap::len) else { return };
        let Some(head) =
            self.endpoints.get(endpoint_index).and_then(|endpoint| endpoint.head).map(|head| head.number)
        else {
            return;
        };
        let urgent_read = || {
            self.urgent.len() < 1_000
                && self.urgent.iter().all(|address| {
                    let channel = self.channels.as_ref().and_then(|channels| channels.get(address));
                    let reading =
                        channel.and_then(|channel| channel.readings.get(endpoint_index).copied().flatten());
                    reading.is_some_and(|reading| reading.block >= head)
                        || self
                            .unreadable
                            .get(address)
                            .is_some_and(|unreadable| unreadable.is_at(endpoint_index))
                })
        };
        let Some(work) = self.work.get(endpoint_index) else { return };
        let is_idle = !work.schedule.is_due() && work.schedule.in_flight() == 0;
        let is_filled = work.schedule.is_filled_for(head);
        let is_read = is_filled && (is_idle || (work.schedule.complete.is_some() && urgent_read()));
        let Some(work) = self.work.get_mut(endpoint_index) else { return };
        if work.schedule.is_over() && is_filled {
            work.schedule.next_round(count, head, now);
        }
        // The first time everything is read, and not only what is due.
        if is_read && work.schedule.complete.is_some() {
            work.read_head = Some(head);
        }
    }

    // ---- what came ----------------------------------------------------------------------------

    pub(super) fn on_states(
        &mut self,
        endpoint_index: usize,
        asked: &[Address],
        result: Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let (Some(work), Some(endpoint)) =
            (self.work.get_mut(endpoint_index), self.endpoints.get_mut(endpoint_index))
        else {
            return;
        };
        work.schedule.answered();
        match result {
            Ok(EndpointAnswer::States { block, states }) => {
                endpoint.has_read_batch();
                for (channel, state) in asked.iter().zip(states) {
                    match state {
                        Some(state) => self.on_state(endpoint_index, *channel, block, state, now),
                        None => self.on_unreadable(
                            endpoint_index,
                            *channel,
                            "its storage is that of no channel",
                            TRIES,
                        ),
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                endpoint.refuses_batch(asked.len(), &error, now);
                work.schedule.again(asked);
            }
        }
        self.after_reading(endpoint_index, now);
    }

    pub(super) fn on_storage(
        &mut self,
        endpoint_index: usize,
        channel: Address,
        result: Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let Some(work) = self.work.get_mut(endpoint_index) else { return };
        work.schedule.answered();
        match result {
            Ok(EndpointAnswer::States { block, states }) => match states.first().copied().flatten() {
                Some(state) => self.on_state(endpoint_index, channel, block, state, now),
                None => {
                    self.on_unreadable(endpoint_index, channel, "its storage is that of no channel", TRIES)
                }
            },
            Ok(_) => {}
            Err(error @ (AskError::Refused(_) | AskError::Invalid(_))) => {
                work.schedule.again(&[channel]);
                self.on_unreadable(endpoint_index, channel, &error.to_string(), TRIES);
            }
            Err(error @ AskError::RateLimited(_)) => {
                work.schedule.again(&[channel]);
                self.on_unreadable(endpoint_index, channel, &error.to_string(), LIMITED_TRIES);
            }
            Err(_) => work.schedule.again(&[channel]),
        }
        self.after_reading(endpoint_index, now);
    }

    /// A channel's state came from an endpoint.
    fn on_state(
        &mut self,
        endpoint_index: usize,
        address: Address,
        block: u64,
        state: StorageState,
        now: Millis,
    ) {
        let head = self
            .endpoints
            .get(endpoint_index)
            .and_then(|endpoint| endpoint.head)
            .map_or(0, |head| head.number);
        let is_local = self.chain.is_some_and(|chain| chain.is_local());
        // The block is the endpoint's own word: one of its machines may be ahead of the head, by a few blocks.
        let block = block.min(head.saturating_add(MAX_LAG));
        if matches!(state, StorageState::Closing { block: closed_at, .. } if closed_at > block) {
            return self.on_unreadable(
                endpoint_index,
                address,
                "it is closing in a block that is not there yet",
                TRIES,
            );
        }
        let Some(channel) = self.channels.as_mut().and_then(|channels| channels.get_mut(&address)) else {
            return;
        };
        let earlier = channel.readings.get(endpoint_index).copied().flatten();
        // One of several machines behind the endpoint may be late.
        let is_outdated = block.saturating_add(MAX_LAG) < head
            && channel.believed.is_some_and(|believed| state.stage() <= believed.stage());
        let is_older =
            is_outdated || earlier.is_some_and(|earlier| block < earlier.block && earlier.block <= head);
        let before = earlier
            .map(|earlier| earlier.state)
            .or(channel.believed)
            .map_or_else(|| channel.reported.as_ref().map_or(0, stage_of), |state| state.stage());
        let is_step_back = state.stage() < before;
        // One false end would stop a challenge that is under way.
        let is_end = state.stage() == ENDED && before < ENDED;
        let Some(work) = self.work.get_mut(endpoint_index) else { return };
        let Some(seen_once) = channel.seen_once.get_mut(endpoint_index) else { return };
        let shown_at = seen_once.filter(|(shown, _)| *shown == state).map(|(_, block)| block);
        let is_shown_again = shown_at.is_some_and(|at| is_step_back || is_local || block > at);
        let is_confirmed = is_shown_again && (is_end || work.ancestor.is_none());
        if is_older || ((is_step_back || is_end) && !is_confirmed) {
            let is_kept = (is_step_back || is_end) && !is_older;
            *seen_once = Some((state, shown_at.unwrap_or(block))).filter(|_| is_kept);
            if is_kept && is_end && !is_local {
                work.ends.push(address);
            } else {
                work.schedule.again(&[address]);
            }
            return;
        }
        *seen_once = None;
        let reading = Reading::next(earlier.as_ref(), block, state);
        if let Some(place) = channel.readings.get_mut(endpoint_index) {
            *place = Some(reading);
        }
        if let (Some(round), Some(work)) =
            (channel.round.get_mut(endpoint_index), self.work.get_mut(endpoint_index))
            && *round != work.schedule.round
        {
            *round = work.schedule.round;
            work.schedule.read();
        }
        channel.seen_again(endpoint_index, block);
        self.on_readable(endpoint_index, address);
        self.reconcile(address, now);
    }

    /// A channel can't be read at an endpoint. After some tries the others go on without it (rule G2), and if no
    /// endpoint can read it, that is said. An endpoint that can't has no say in what the channel's state is.
    fn on_unreadable(&mut self, endpoint_index: usize, address: Address, why: &str, most: u32) {
        let usable: Vec<_> =
            (0..self.endpoints.len()).map(|endpoint_index| self.is_usable(endpoint_index)).collect();
        let Some(channel) = self.channels.as_mut().and_then(|channels| channels.get_mut(&address)) else {
            return;
        };
        let unreadable = self.unreadable.entry(address).or_default();
        unreadable.tries.resize(usable.len(), 0);
        let Some(tries) = unreadable.tries.get_mut(endpoint_index) else { return };
        *tries = tries.saturating_add(1);
        if *tries < most {
            return;
        }
        if let (Some(round), Some(work)) =
            (channel.round.get_mut(endpoint_index), self.work.get_mut(endpoint_index))
            && *round != work.schedule.round
        {
            *round = work.schedule.round;
            work.schedule.read();
        }
        if let Some(reading) = channel.readings.get_mut(endpoint_index).filter(|_| usable.len() > 1) {
            *reading = None;
        }
        let mut tried = unreadable.tries.iter().zip(&usable);
        let is_everywhere = tried.all(|(tries, is_usable)| !is_usable || *tries >= TRIES);
        if is_everywhere && unreadable.reported.is_none() {
            unreadable.reported = Some(why.to_owned());
            let report = Report::Unreadable { channel: address, why: Some(why.to_owned()) };
            self.report(report);
        }
    }

    fn on_readable(&mut self, endpoint_index: usize, address: Address) {
        let Some(unreadable) = self.unreadable.get_mut(&address) else { return };
        if let Some(tries) = unreadable.tries.get_mut(endpoint_index) {
            *tries = 0;
        }
        let was_reported = unreadable.reported.take().is_some();
        if unreadable.tries.iter().all(|tries| *tries == 0) {
            self.unreadable.remove(&address);
        }
        if was_reported {
            let why = self.doubt(address);
            self.report(Report::Unreadable { channel: address, why });
        }
    }

    /// Why nothing is to be signed over a channel, if there is a reason.
    pub(super) fn doubt(&self, address: Address) -> Option<String> {
        let channel = self.channels.as_ref().and_then(|channels| channels.get(&address));
        let is_contradicted = channel.is_some_and(|channel| channel.contradicted.is_some());
        let unreadable = self.unreadable.get(&address).and_then(|unreadable| unreadable.reported.clone());
        unreadable.or_else(|| {
            is_contradicted.then(|| "the RPC endpoints contradict each other about it".to_owned())
        })
    }

    // ---- early knowledge ----------------------------------------------------------------------

    /// Contracts that emitted closings that name the account, whatever they are: those among them that
    /// are watched are read at once.
    pub(super) fn on_closing_events(
        &mut self,
        endpoint_index: usize,
        (role, to): (Role, u64),
        result: Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let Some(work) = self.work.get_mut(endpoint_index) else { return };
        let [as_a, as_b] = &mut work.closing_events;
        let closing_events = if role == Role::A { as_a } else { as_b };
        closing_events.timer.answered(now);
        // What is not answered is not asked for again: every channel is read anyway.
        closing_events.asked_to = Some(to);
        let Ok(EndpointAnswer::Logs(logs)) = result else { return };
        let watched =
            |address: &Address| self.channels.as_ref().is_some_and(|channels| channels.contains_key(address));
        let named: HashSet<_> =
            logs.iter().map(|log| log.address).filter(|address| watched(address)).collect();
        let named: Vec<_> = named.into_iter().collect();
        if let Some(work) = self.work.get_mut(endpoint_index) {
            work.schedule.again(&named);
        }
    }
}

/// The place of a view's state in a channel's life.
const fn stage_of(status: &OnChain) -> u8 {
    match status {
        OnChain::Missing => 0,
        OnChain::Empty { .. } => 1,
        OnChain::Active { .. } => 2,
        OnChain::Closing(_) => 3,
        OnChain::Closed { .. } => ENDED,
    }
}

#[cfg(test)]
mod tests;
