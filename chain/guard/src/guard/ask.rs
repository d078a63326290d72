//! Which question is put to which endpoint next: what a challenge waits for first.

use std::sync::Arc;

use thunder_protocol::{Address, B256, Role};

use super::{Action, Ancestor, Guard, InFlightQuestion, QuestionPurpose};
use crate::contracts::closing_topic;
use crate::endpoint::{Millis, SMALLEST_BATCH};
use crate::error::AskError;
use crate::question::{EndpointAnswer, LogFilter, Question};
use crate::read_schedule::{MAX_BATCHES, MAX_SINGLE};
use crate::retry_timer::MAX_SAME;
use crate::transactions::TransactionQuestion;

/// With more channels than these calls read, closings are also looked for among the events.
const CALLS_WITHOUT_EVENTS: usize = 2;
/// The most blocks whose events are asked for to know of closings early.
const MAX_CLOSING_EVENTS: u64 = 8;

/// A question that is to be put to an endpoint.
struct Next {
    purpose: QuestionPurpose,
    question: Question,
    /// How often the same was asked because no answer came.
    copies: u8,
}

impl Next {
    fn new((purpose, question): (QuestionPurpose, Question)) -> Self {
        Self { purpose, question, copies: 0 }
    }
}

impl Guard {
    /// Puts as many questions as there is room for.
    pub(super) fn ask(&mut self, now: Millis) {
        let (first, count) = (self.first_asked, self.endpoints.len());
        for endpoint_index in (first..first + count).map(|endpoint_index| endpoint_index % count) {
            while let Some(next) = self.next_question(endpoint_index, now) {
                self.put(endpoint_index, next, now);
            }
        }
    }

    /// Some questions are put to one endpoint only. If it does not answer one of them, the next endpoint comes first.
    pub(super) fn rotate_first_asked(
        &mut self,
        endpoint_index: usize,
        purpose: &QuestionPurpose,
        result: &Result<EndpointAnswer, AskError>,
    ) {
        let is_put_to_one = match purpose {
            QuestionPurpose::Verify(..) | QuestionPurpose::Contracts(_) => true,
            QuestionPurpose::Transaction(why) => !matches!(
                why,
                TransactionQuestion::Count { .. }
                    | TransactionQuestion::Balance
                    | TransactionQuestion::Receipt(..)
            ),
            _ => false,
        };
        let has_nothing = match result {
            Ok(EndpointAnswer::Bytes(bytes)) => bytes.is_empty(),
            Ok(_) => false,
            Err(_) => true,
        };
        if is_put_to_one && has_nothing {
            self.first_asked = (endpoint_index + 1) % self.endpoints.len().max(1);
        }
    }

    fn put(&mut self, endpoint_index: usize, next: Next, now: Millis) {
        let Next { purpose, question, copies } = next;
        let (Some(endpoint), Some(work)) =
            (self.endpoints.get_mut(endpoint_index), self.work.get(endpoint_index))
        else {
            return;
        };
        endpoint.asked(matches!(purpose, QuestionPurpose::Send(..)));
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let timeout = endpoint.timeout();
        let asked = InFlightQuestion {
            endpoint: endpoint_index,
            purpose,
            question: question.clone(),
            at: now,
            epoch: work.epoch,
            copies,
            was_repeated: false,
        };
        self.tickets.insert(ticket, asked);
        self.actions.push_back(Action::Ask { endpoint: endpoint_index, ticket, question, timeout });
    }

    fn next_question(&mut self, endpoint_index: usize, now: Millis) -> Option<Next> {
        let endpoint = self.endpoints.get(endpoint_index)?;
        if !endpoint.has_room(now, false) {
            return None;
        }
        let (hedge, has_room) = (endpoint.hedge(), endpoint.has_room(now, true));
        let urgent = self.urgent_question(endpoint_index, now).map(Next::new);
        urgent.or_else(|| self.repeated_question(endpoint_index, now, hedge)).or_else(|| {
            if has_room { self.low_priority_question(endpoint_index, now).map(Next::new) } else { None }
        })
    }

    /// What a challenge may wait for.
    fn urgent_question(&mut self, endpoint_index: usize, now: Millis) -> Option<(QuestionPurpose, Question)> {
        let is_usable = self.is_usable(endpoint_index);
        let endpoint = self.endpoints.get(endpoint_index)?;
        let hedge = endpoint.hedge();
        if is_usable && let Some(transactions) = &mut self.transactions {
            let has_room = |is_urgent| endpoint.has_room_to_send(is_urgent);
            if let Some((key, hash, raw)) = transactions.next_send(endpoint_index, now, hedge, has_room) {
                return Some((QuestionPurpose::Send(key, hash), Question::Send(raw)));
            }
            if let Some((why, question)) = transactions.urgent_question(endpoint_index, now, hedge) {
                return Some((QuestionPurpose::Transaction(why), question));
            }
        }
        self.identity_question(endpoint_index, now, hedge)
            .or_else(|| self.block_question(endpoint_index, now, hedge))
            .or_else(|| self.pace_question(endpoint_index, now, hedge))
            .or_else(|| self.state_question(endpoint_index, now))
    }

    /// A question for states that is not answered as soon as others were: the same once more.
    fn repeated_question(&mut self, endpoint_index: usize, now: Millis, hedge: Millis) -> Option<Next> {
        let work = self.work.get_mut(endpoint_index)?;
        let asked = self.tickets.values_mut().find(|asked| {
            asked.endpoint == endpoint_index
                && asked.epoch == work.epoch
                && matches!(asked.purpose, QuestionPurpose::States(_) | QuestionPurpose::Storage(_))
                && !asked.was_repeated
                && asked.copies + 1 < MAX_SAME
                && now >= asked.at.saturating_add(hedge)
        })?;
        asked.was_repeated = true;
        work.schedule.asked_again();
        let (purpose, question) = (asked.purpose.clone(), asked.question.clone());
        Some(Next { purpose, question, copies: asked.copies + 1 })
    }

    /// What only comfort, history or an ordinary call waits for.
    fn low_priority_question(
        &mut self,
        endpoint_index: usize,
        now: Millis,
    ) -> Option<(QuestionPurpose, Question)> {
        if !self.is_usable(endpoint_index) {
            return None;
        }
        let hedge = self.endpoints.get(endpoint_index)?.hedge();
        let around = self.conditions(now);
        let token = self.settings.contracts.token;
        if let Some(transactions) = &mut self.transactions
            && let Some((why, question)) = transactions.question(endpoint_index, &around, hedge, token)
        {
            return Some((QuestionPurpose::Transaction(why), question));
        }
        self.contracts_question(now, hedge)
            .or_else(|| self.verify_question(endpoint_index, now, hedge))
            .or_else(|| self.search_question(endpoint_index, now))
            .or_else(|| self.closing_event_question(endpoint_index, now))
            .or_else(|| self.balance_question(endpoint_index, now, hedge))
    }

    fn identity_question(
        &mut self,
        endpoint_index: usize,
        now: Millis,
        hedge: Millis,
    ) -> Option<(QuestionPurpose, Question)> {
        let identity = &mut self.work.get_mut(endpoint_index)?.identity;
        if identity.chain_id.is_none() && identity.chain_id_timer.is_ready(now, hedge) {
            identity.chain_id_timer.asked(now);
            return Some((QuestionPurpose::ChainId, Question::ChainId));
        }
        if identity.genesis.is_none() && identity.genesis_timer.is_ready(now, hedge) {
            identity.genesis_timer.asked(now);
            return Some((QuestionPurpose::Genesis, Question::Block(0)));
        }
        None
    }

    fn block_question(
        &mut self,
        endpoint_index: usize,
        now: Millis,
        hedge: Millis,
    ) -> Option<(QuestionPurpose, Question)> {
        let (endpoint, work) = (self.endpoints.get_mut(endpoint_index)?, self.work.get_mut(endpoint_index)?);
        if !work.is_identified {
            return None;
        }
        if let Some(Ancestor { number, timer, .. }) = &mut work.ancestor
            && timer.is_ready(now, hedge)
        {
            timer.asked(now);
            return Some((QuestionPurpose::Ancestor(*number), Question::Block(*number)));
        }
        if !endpoint.polls.is_ready(now, hedge) {
            return None;
        }
        endpoint.polls.asked(now);
        Some((QuestionPurpose::Newest, Question::Newest))
    }

    fn state_question(&mut self, endpoint_index: usize, now: Millis) -> Option<(QuestionPurpose, Question)> {
        let is_ready = self.is_usable(endpoint_index);
        let endpoint = self.endpoints.get_mut(endpoint_index)?;
        let (head, reads_batches) = (endpoint.head?, endpoint.reads_batches(now));
        let batch = if reads_batches { endpoint.batch.max(SMALLEST_BATCH) } else { 1 };
        let most = if reads_batches { MAX_BATCHES } else { MAX_SINGLE };
        let channels = self.channels.as_ref().filter(|_| is_ready)?;
        let work = self.work.get_mut(endpoint_index)?;
        if work.schedule.in_flight() >= most {
            return None;
        }
        let taken: Arc<[Address]> =
            work.schedule.take(batch, |channel| channels.contains_key(channel)).into();
        match (&*taken, reads_batches) {
            ([], _) => None,
            ([channel], false) => {
                let question = Question::Storage { channel: *channel, block: head.number };
                Some((QuestionPurpose::Storage(*channel), question))
            }
            (_, _) => {
                let code = Arc::clone(&self.settings.states_code);
                let question = Question::States { code, channels: Arc::clone(&taken) };
                Some((QuestionPurpose::States(taken), question))
            }
        }
    }

    /// Closings that name the account, in the newest blocks, where not every channel is read with each.
    fn closing_event_question(
        &mut self,
        endpoint_index: usize,
        now: Millis,
    ) -> Option<(QuestionPurpose, Question)> {
        let endpoint = self.endpoints.get(endpoint_index)?;
        let (head, batch, hedge) = (endpoint.head?.number, endpoint.batch, endpoint.timeout());
        let account = self.transactions.as_ref()?.account();
        let is_wanted = self.channels.as_ref()?.len() > batch.saturating_mul(CALLS_WITHOUT_EVENTS);
        let work = self.work.get_mut(endpoint_index).filter(|_| is_wanted)?;
        let party = vec![B256::left_padding_from(account.as_slice())];
        for (role, closing_events) in [Role::A, Role::B].into_iter().zip(&mut work.closing_events) {
            if closing_events.asked_to == Some(head) || !closing_events.timer.is_ready(now, hedge) {
                continue;
            }
            closing_events.timer.asked(now);
            let next = closing_events.asked_to.map_or(head, |before| before.saturating_add(1));
            let from = next.min(head).max(head.saturating_sub(MAX_CLOSING_EVENTS));
            let parties = match role {
                Role::A => [party, Vec::new()],
                Role::B => [Vec::new(), party],
            };
            let topics = [vec![closing_topic()]].into_iter().chain(parties).collect();
            let filter = LogFilter { address: None, topics, from, to: head };
            return Some((QuestionPurpose::ClosingEvents { role, to: head }, Question::Logs(filter)));
        }
        None
    }

    fn balance_question(
        &mut self,
        endpoint_index: usize,
        now: Millis,
        hedge: Millis,
    ) -> Option<(QuestionPurpose, Question)> {
        let transactions = self.transactions.as_ref()?;
        let work = self.work.get_mut(endpoint_index)?;
        if !work.balance.is_ready(now, hedge) {
            return None;
        }
        work.balance.asked(now);
        let (why, question) = transactions.balance_question();
        Some((QuestionPurpose::Transaction(why), question))
    }

    /// An older block, to measure the time between blocks.
    fn pace_question(
        &mut self,
        endpoint_index: usize,
        now: Millis,
        hedge: Millis,
    ) -> Option<(QuestionPurpose, Question)> {
        let wanted = self.endpoints.get(endpoint_index)?.pace.wanted()?;
        let work = self.work.get_mut(endpoint_index)?;
        if !work.older.is_ready(now, hedge) {
            return None;
        }
        work.older.asked(now);
        Some((QuestionPurpose::OlderBlock, Question::Block(wanted)))
    }
}
