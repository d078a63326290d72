//! What is known of one endpoint: its chain, its head, what it can do, and when to ask it again.

use crate::block::{BlockTimeEstimate, Continuity, DEFAULT_BLOCK_TIME, Head, RecentBlocks};
use crate::error::{AskError, bounded};
use crate::question::STATES_AT_ONCE;
use crate::retry_timer::RetryTimer;
use thunder_protocol::ChainIdentity;

/// Milliseconds of a clock that never goes back.
pub type Millis = u64;

/// How many questions one endpoint is asked at the same time.
pub(crate) const MAX_IN_FLIGHT: usize = 24;
/// How many of them may be questions that nothing urgent waits for.
pub(crate) const MAX_LOW_PRIORITY: usize = 12;
/// How many of them may be transactions, and how many of these ones that are no challenges: an endpoint that does not
/// answer these is asked for everything else as before.
pub(crate) const MAX_SENDS: usize = 12;
pub(crate) const MAX_LOW_PRIORITY_SENDS: usize = 6;
/// How often a local testnet is asked for its newest block.
const LOCAL_POLL: Millis = 100;
/// The shortest and the longest time between two such questions on another chain.
const POLL: (Millis, Millis) = (250, 2_000);
/// The wait after a wish for fewer requests, doubled with the next one.
const FIRST_BACKOFF: Millis = 250;
/// After so many questions in a row without an answer an endpoint is asked less often.
const FAILURES: u32 = 8;
/// The wait after that, doubled with each further one.
const RETRY: (Millis, Millis) = (100, 1_000);
/// An endpoint that fails and has answered nothing for this long is said to be silent.
const SILENT_AFTER: Millis = 2_000;
/// Without such a wish for this long, the endpoint is asked more often again.
const RELAX_AFTER: Millis = 30_000;
/// A head that is so many blocks from the last one has to be shown twice.
const FAR: u64 = 64;
/// After so many answers in a row that make no sense fewer channels are read at once.
const ODD_BATCHES: u32 = 24;
/// After so many such calls in a row without an answer, while others are answered: what is large may be lost on its way.
const UNANSWERED_BATCHES: u32 = 8;
/// After so many such calls in a row that a limit was the answer to, channels are read one by one.
const LIMITED_BATCHES: u32 = 3;
/// After so many answers in a row that make no sense that is said.
const ODD_ANSWERS: u32 = 5;
/// An older head is taken for the end of the chain if it is shown this many times in a row.
const STALE_HEADS: u32 = 6;
/// A chain that had base fees has none any more if this many answers in a row show none.
const WITHOUT_BASE_FEE: u32 = 6;

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Its name for people.
    pub(crate) label: String,
    /// Which chain it shows.
    pub(crate) chain: Option<ChainIdentity>,
    /// Its newest block.
    pub(crate) head: Option<Head>,
    /// The blocks it has shown.
    pub(crate) shown: RecentBlocks,
    /// The time between its blocks.
    pub(crate) pace: BlockTimeEstimate,
    /// When its head last advanced.
    pub(crate) advanced_at: Millis,
    /// When it last answered anything, if only that it wants fewer requests.
    pub(crate) answered_at: Option<Millis>,
    /// When it last answered a question.
    well_at: Option<Millis>,
    /// Its answers to the questions for the newest block.
    pub(crate) polls: RetryTimer,
    /// The id of the chain that it shows, if it is not the one in use.
    pub(crate) other_chain: Option<u64>,
    /// Whether it is behind the other endpoints.
    pub(crate) is_late: bool,
    /// How many channels it shows otherwise than the other endpoints.
    pub(crate) contradicts: usize,
    /// How many questions in a row for its chain and its newest block it answered otherwise than with
    /// these, and with what.
    odd: (u32, String),
    /// Why it did not answer the last question that it did not answer.
    last_error: Option<String>,
    /// How many channels it reads in one call; below [`SMALLEST_BATCH`] it can't at all.
    pub(crate) batch: usize,
    /// When larger calls are tried again.
    batch_again: Millis,
    /// How many blocks it gives events of at once.
    pub(crate) log_range: u64,
    in_flight: usize,
    sends_in_flight: usize,
    latency: Millis,
    not_before: Millis,
    /// How often it asked for fewer requests of late.
    limited: u32,
    limited_at: Millis,
    /// How many questions in a row got no answer.
    failures: u32,
    stale_heads: u32,
    /// How many answers in a row showed a block without a base fee.
    without_base_fee: u32,
    /// A head far from the last one, shown once.
    far_head: Option<u64>,
    /// How many calls for many channels in a row were answered with something that makes no sense.
    odd_batches: u32,
    /// How many of them in a row it did not answer, or because it limits requests, while it answered other
    /// questions; and when the last time was.
    limited_batches: (u32, Millis),
}

/// Below this many channels in a call it is not worth trying.
pub(crate) const SMALLEST_BATCH: usize = 8;
/// After how long a limit that was learned is tried anew.
const TRY_AGAIN: Millis = 10 * 60 * 1000;
/// The most blocks whose events are asked for at once.
const MOST_LOG_RANGE: u64 = 10_000;

impl Endpoint {
    pub(crate) fn new(label: String) -> Self {
        Self {
            label,
            chain: None,
            head: None,
            shown: RecentBlocks::default(),
            pace: BlockTimeEstimate::default(),
            advanced_at: 0,
            answered_at: None,
            well_at: None,
            polls: RetryTimer::default(),
            other_chain: None,
            is_late: false,
            contradicts: 0,
            odd: (0, String::new()),
            last_error: None,
            batch: STATES_AT_ONCE,
            batch_again: 0,
            log_range: MOST_LOG_RANGE,
            in_flight: 0,
            sends_in_flight: 0,
            latency: 50,
            not_before: 0,
            limited: 0,
            limited_at: 0,
            failures: 0,
            stale_heads: 0,
            without_base_fee: 0,
            far_head: None,
            odd_batches: 0,
            limited_batches: (0, 0),
        }
    }

    /// The time between two blocks, in milliseconds.
    pub(crate) fn block_time(&self) -> Millis {
        self.pace.measured().unwrap_or(DEFAULT_BLOCK_TIME)
    }

    /// How long to wait between two questions for the newest block.
    pub(crate) fn poll_every(&self) -> Millis {
        let is_local = self.chain.is_some_and(|chain| chain.is_local());
        // Before it is measured, a chain may be fast.
        let block_time = self.pace.measured().unwrap_or(2 * POLL.1);
        let every = if is_local { LOCAL_POLL } else { (block_time / 4).clamp(POLL.0, POLL.1) };
        let slower = every.saturating_mul(1 << self.limited.min(5));
        slower.min(block_time / 2).max(every)
    }

    /// How long an answer may take.
    pub(crate) fn timeout(&self) -> Millis {
        self.pace.measured().unwrap_or(2_000).clamp(1_000, 10_000)
    }

    /// After how long without an answer the same question is asked a second time.
    pub(crate) fn hedge(&self) -> Millis {
        self.latency.saturating_mul(4).clamp(100, (self.block_time() / 2).max(100))
    }

    /// Whether one more question may be asked now. A low-priority one leaves room for others.
    pub(crate) fn has_room(&self, now: Millis, is_low_priority: bool) -> bool {
        now >= self.not_before
            && self.in_flight < if is_low_priority { MAX_LOW_PRIORITY } else { MAX_IN_FLIGHT }
    }

    /// When it may be asked again, if it may not now for another reason than what is under way.
    pub(crate) fn wakes_at(&self) -> Millis {
        self.not_before
    }

    /// Whether one of the questions may be a transaction.
    pub(crate) const fn has_room_to_send(&self, is_urgent: bool) -> bool {
        self.sends_in_flight < if is_urgent { MAX_SENDS } else { MAX_LOW_PRIORITY_SENDS }
    }

    pub(crate) fn asked(&mut self, is_send: bool) {
        self.in_flight += 1;
        self.sends_in_flight += usize::from(is_send);
    }

    /// An answer came, or none.
    pub(crate) fn answered<T>(
        &mut self,
        result: &Result<T, AskError>,
        is_send: bool,
        took: Millis,
        now: Millis,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.sends_in_flight = self.sends_in_flight.saturating_sub(usize::from(is_send));
        if let Err(error @ (AskError::RateLimited(_) | AskError::Unreachable(_) | AskError::Timeout)) = result
        {
            self.last_error = Some(bounded(&error.to_string()));
        }
        match result {
            Err(AskError::RateLimited(_)) => {
                self.answered_at = Some(now);
                self.limited = self.limited.saturating_add(1);
                self.limited_at = now;
                let most = (self.block_time() / 2).clamp(FIRST_BACKOFF, 8_000);
                let wait = FIRST_BACKOFF.saturating_mul(1 << (self.limited - 1).min(5)).min(most);
                self.not_before = now.saturating_add(wait);
            }
            Err(AskError::Unreachable(_) | AskError::Timeout) => {
                self.failures = self.failures.saturating_add(1);
                if let Some(more) = self.failures.checked_sub(FAILURES) {
                    let most = (self.block_time() / 8).clamp(RETRY.0, RETRY.1);
                    let wait = RETRY.0.saturating_mul(1 << more.min(4)).min(most);
                    self.not_before = now.saturating_add(wait);
                }
            }
            Ok(_) | Err(AskError::Refused(_) | AskError::Invalid(_)) => {
                (self.answered_at, self.well_at) = (Some(now), Some(now));
                self.failures = 0;
                self.latency = (self.latency * 7 + took) / 8;
                if self.limited > 0 && now.saturating_sub(self.limited_at) > RELAX_AFTER {
                    self.limited -= 1;
                    self.limited_at = now;
                }
            }
        }
    }

    /// Whether it has answered nothing of late.
    pub(crate) fn is_silent(&self, now: Millis) -> bool {
        let silent_after = self.hedge().saturating_mul(3).max(SILENT_AFTER);
        let since = self.answered_at.map(|at| now.saturating_sub(at));
        self.last_error.is_some() && since.is_none_or(|since| since > silent_after)
    }

    /// Whether what it answered of late is of use.
    pub(crate) fn is_of_use(&self, now: Millis) -> bool {
        !self.is_silent(now) && self.odd.0 < ODD_ANSWERS
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn trouble(&self, now: Millis) -> Option<String> {
        if self.is_silent(now) {
            return self.last_error.clone();
        }
        if let Some(chain_id) = self.other_chain {
            return Some(format!("shows another chain, with id {chain_id}"));
        }
        if self.is_late {
            return Some("is behind the others".into());
        }
        if self.contradicts > 0 {
            return Some(format!("contradicts the others about {} channels", self.contradicts));
        }
        if self.limited > 0 {
            return self.last_error.clone();
        }
        (self.odd.0 >= ODD_ANSWERS).then(|| self.odd.1.clone())
    }

    /// Counts the answers in a row that were neither the chain nor the newest block that was asked for.
    pub(crate) fn count_odd_answer<T>(&mut self, result: &Result<T, AskError>) {
        match result {
            Ok(_) => self.odd.0 = 0,
            Err(error @ (AskError::Refused(_) | AskError::Invalid(_))) => {
                self.odd = (self.odd.0.saturating_add(1), bounded(&error.to_string()));
            }
            Err(AskError::Unreachable(_) | AskError::Timeout | AskError::RateLimited(_)) => {}
        }
    }

    /// Whether a head is so far from the last one that it has to be shown twice (rule G5).
    pub(crate) fn is_far(&mut self, head: &Head, now: Millis) -> bool {
        let Some(last) = self.head else { return false };
        let passed = now.saturating_sub(self.advanced_at) / self.block_time().max(1);
        let near = |number: u64| head.number.abs_diff(number) <= FAR.saturating_add(passed.saturating_mul(4));
        let is_far = !near(last.number) && !self.far_head.is_some_and(near);
        self.far_head = is_far.then_some(head.number);
        is_far
    }

    /// Takes a new head, and says how it goes on from those before.
    pub(crate) fn take_head(&mut self, mut head: Head, now: Millis) -> Continuity {
        let lacks_base_fee = head.base_fee.is_none();
        if let Some(last) = self.head {
            match &mut head.base_fee {
                Some(base_fee) => *base_fee = (*base_fee).min(highest_base_fee(&last, head.number)),
                // No chain gives up EIP-1559 with one block.
                lacking if self.without_base_fee < WITHOUT_BASE_FEE => *lacking = last.base_fee,
                None => {}
            }
        }
        self.without_base_fee = if lacks_base_fee { self.without_base_fee.saturating_add(1) } else { 0 };
        let before = self.head.map(|head| head.hash);
        let mut continuity = self.shown.push(&head);
        if continuity == Continuity::Stale {
            self.stale_heads += 1;
            if self.stale_heads < STALE_HEADS {
                return continuity;
            }
            continuity = Continuity::Replaced { first: self.shown.cut(head.number) };
        }
        self.stale_heads = 0;
        if let Continuity::Replaced { first } = continuity {
            self.pace.forget(first);
        }
        if before != Some(head.hash) {
            self.advanced_at = now;
            self.pace.observe(head.number, head.timestamp);
        }
        self.head = Some(head);
        continuity
    }

    /// It shows another chain from now on.
    pub(crate) fn set_chain(&mut self, chain: ChainIdentity) {
        if self.chain != Some(chain) {
            self.chain = Some(chain);
            self.shown.clear();
            self.pace = BlockTimeEstimate::default();
            self.head = None;
        }
    }

    /// It does not read so many channels at once, limits such calls, or says something that makes no sense.
    pub(crate) fn refuses_batch(&mut self, mut count: usize, error: &AskError, now: Millis) {
        match error {
            AskError::Refused(_) => {}
            AskError::Invalid(_) => {
                self.odd_batches += 1;
                if self.odd_batches < ODD_BATCHES {
                    return;
                }
            }
            AskError::RateLimited(_) | AskError::Unreachable(_) | AskError::Timeout => {
                let (times, last) = self.limited_batches;
                let answers_others = self.well_at.is_some_and(|at| at > last);
                self.limited_batches = (if answers_others || times == 0 { times + 1 } else { times }, now);
                let is_limit = matches!(error, AskError::RateLimited(_));
                if self.limited_batches.0 < if is_limit { LIMITED_BATCHES } else { UNANSWERED_BATCHES } {
                    return;
                }
                count = if is_limit { 0 } else { count / 4 };
            }
        }
        (self.odd_batches, self.limited_batches) = (0, (0, 0));
        self.batch = self.batch.min(count / 2);
        self.batch_again = now.saturating_add(TRY_AGAIN);
    }

    /// It has read many channels at once.
    pub(crate) fn has_read_batch(&mut self) {
        (self.odd_batches, self.limited_batches) = (0, (0, 0));
    }

    /// Whether it reads many channels at once, perhaps more than it did.
    pub(crate) fn reads_batches(&mut self, now: Millis) -> bool {
        if self.batch < STATES_AT_ONCE && now >= self.batch_again {
            self.batch = (self.batch * 2).clamp(SMALLEST_BATCH, STATES_AT_ONCE);
            self.batch_again = now.saturating_add(TRY_AGAIN);
        }
        self.batch >= SMALLEST_BATCH
    }

    /// It does not give the events of so many blocks at once.
    pub(crate) fn refuses_range(&mut self, blocks: u64) {
        self.log_range = (blocks / 2).max(1).min(self.log_range);
    }
}

/// The highest base fee that is believed of a block, some blocks after the last one that was seen: an eighth
/// more with each full block (EIP-1559), and 32 times that, for chains with other rules.
fn highest_base_fee(last: &Head, number: u64) -> u128 {
    const MOST_BLOCKS: u64 = 16;
    const RESERVE: u128 = 32;
    let blocks = number.saturating_sub(last.number).min(MOST_BLOCKS);
    let Some(base_fee) = last.base_fee else { return u128::MAX };
    (0..blocks).fold(base_fee.max(1).saturating_mul(RESERVE), |fee, _| fee.saturating_add((fee / 8).max(1)))
}

#[cfg(test)]
mod tests {
    use thunder_protocol::B256;

    use super::*;

    fn limited() -> Result<(), AskError> {
        Err(AskError::RateLimited("slow down".into()))
    }

    #[test]
    fn g3_who_wishes_fewer_requests_is_asked_later_and_less_often() {
        let mut endpoint = Endpoint::new("a".into());
        let every = endpoint.poll_every();
        assert!(endpoint.has_room(0, false));
        endpoint.asked(false);
        endpoint.answered(&limited(), false, 1, 0);
        assert!(!endpoint.has_room(FIRST_BACKOFF - 1, false) && endpoint.has_room(FIRST_BACKOFF, false));
        assert!(endpoint.poll_every() > every);
        for _ in 0..100 {
            endpoint.asked(false);
            endpoint.answered(&limited(), false, 1, 1000);
        }
        assert!(endpoint.has_room(1000 + endpoint.block_time() / 2, false), "never longer than half a block");
        let mut now = 10_000;
        for _ in 0..101 {
            now += RELAX_AFTER + 1;
            endpoint.asked(false);
            endpoint.answered(&Ok(()), false, 1, now);
        }
        assert_eq!(endpoint.poll_every(), every);
    }

    #[test]
    fn g5_one_block_without_a_base_fee_makes_no_chain_without_eip_1559() {
        let mut endpoint = Endpoint::new("a".into());
        let head = |number: u64, base_fee| Head {
            number,
            hash: B256::left_padding_from(&number.to_be_bytes()),
            parent: B256::left_padding_from(&(number - 1).to_be_bytes()),
            timestamp: number,
            base_fee,
        };
        endpoint.take_head(head(1, Some(70)), 0);
        for number in 2..=7 {
            endpoint.take_head(head(number, None), 0);
            assert_eq!(endpoint.head.unwrap().base_fee, Some(70));
        }
        endpoint.take_head(head(8, None), 0);
        assert_eq!(endpoint.head.unwrap().base_fee, None, "a chain that never had one, after a false one");
    }

    #[test]
    fn low_priority_questions_leave_room_for_urgent_ones() {
        let mut endpoint = Endpoint::new("a".into());
        (0..MAX_LOW_PRIORITY).for_each(|_| endpoint.asked(false));
        assert!(!endpoint.has_room(0, true) && endpoint.has_room(0, false));
        (0..MAX_IN_FLIGHT).for_each(|_| endpoint.asked(false));
        assert!(!endpoint.has_room(0, false));
    }

    #[test]
    fn a_limit_that_was_learned_is_kept_and_tried_anew_later() {
        let mut endpoint = Endpoint::new("a".into());
        let too_much =
            AskError::Refused(crate::error::Refusal { code: 0, message: String::new(), data: vec![] });
        endpoint.refuses_batch(STATES_AT_ONCE, &AskError::invalid("odd"), 0);
        assert_eq!(endpoint.batch, STATES_AT_ONCE, "one odd answer changes nothing");
        endpoint.refuses_batch(STATES_AT_ONCE, &too_much, 0);
        assert!(endpoint.reads_batches(1) && endpoint.batch == STATES_AT_ONCE / 2);
        (0..10).for_each(|_| endpoint.refuses_batch(endpoint.batch, &too_much, 0));
        assert!(!endpoint.reads_batches(1));
        assert!(endpoint.reads_batches(TRY_AGAIN) && endpoint.batch == SMALLEST_BATCH);
        endpoint.refuses_range(1000);
        endpoint.refuses_range(6);
        assert_eq!(endpoint.log_range, 3);
    }
}
