//! An endpoint that answers truly, late, not at all, or anything.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use thunder_guard::state::StorageState;
use thunder_guard::{AskError, LogFilter, Question, Refusal};
use thunder_protocol::{Address, hex};

use crate::ether::{CHAIN_ID, Ether, FIRST, word};
use crate::random::Random;

/// What is wrong with an endpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Of so many questions of one kind in a row one is answered truly, any of them; the others in a way
    /// that `lies` chooses. [`NEVER`] is none.
    pub(crate) one_in: u64,
    /// How the others are answered.
    pub(crate) lies: Lies,
    /// How long an answer takes, in milliseconds.
    pub(crate) delay: u64,
    /// How many blocks it is behind.
    pub(crate) lag: u64,
    /// How many requests a second it takes; 0 for any number.
    pub(crate) rate: u64,
    /// Whether it runs code that is nowhere deployed.
    pub(crate) runs_no_code: bool,
    /// How many blocks' events it gives at once; 0 for any number.
    pub(crate) log_range: u64,
    /// It gives no events.
    pub(crate) hides_events: bool,
    /// It has no pending block.
    pub(crate) refuses_pending: bool,
    /// Channels whose state it hides: it shows what they were before this block.
    pub(crate) hides: BTreeSet<Address>,
    pub(crate) hides_since: u64,
    /// Channels that it shows closing on an old receipt.
    pub(crate) invents: BTreeSet<Address>,
    /// What is added to the counts of transactions.
    pub(crate) count_off: u64,
    /// It gives a receipt for every transaction, with this block.
    pub(crate) false_receipt: Option<u64>,
    /// It takes no transactions.
    pub(crate) refuses_sending: bool,
    /// The tip that it suggests.
    pub(crate) tip: u128,
    /// The base fee that it shows.
    pub(crate) base_fee: Option<u128>,
    /// The balance that it shows in place of the true one.
    pub(crate) balance: Option<u128>,
    pub(crate) refuses_balance: bool,
    /// Its states are always those of this block.
    pub(crate) states_at: Option<u64>,
    /// What it adds to block numbers.
    pub(crate) head_off: u64,
    /// It shows this timestamp for every block.
    pub(crate) timestamp: Option<u64>,
    /// Channels that it shows ACTIVE.
    pub(crate) active: BTreeSet<Address>,
    /// Half of its answers come from a machine on a fork: 1: which is stuck, 2: which keeps up.
    pub(crate) fork: u8,
    pub(crate) stuck_at: u64,
    /// Calls with creation code end with HTTP status 413.
    pub(crate) drops_code: bool,
    /// It shows a new block whenever it is asked.
    pub(crate) fast: bool,
    /// The seconds that pass between two of these by their timestamps; 0 for one.
    pub(crate) fast_seconds: u64,
    /// Its receipts say that the contract refused.
    pub(crate) failed_receipts: bool,
    /// What it adds to the block number of states, which are true otherwise.
    pub(crate) states_off: u64,
    /// The count of transactions that it always says.
    pub(crate) count_at: Option<u64>,
    /// The id of the chain that it shows.
    pub(crate) chain_id: Option<u64>,
    /// Channels that it shows paid out.
    pub(crate) closed: BTreeSet<Address>,
    /// Channels that it shows closing on the newest receipt.
    pub(crate) masks: BTreeSet<Address>,
    /// The count of transactions at the newest block is refused.
    pub(crate) refuses_count: bool,
    /// Questions for a contract's code are refused.
    pub(crate) refuses_code: bool,
    /// How many blocks above the state's own block the closings are that it invents: a new one with each block.
    pub(crate) fresh_closing: Option<u64>,
    /// In which block all the closings are that it invents.
    pub(crate) invented_at: Option<u64>,
    /// How long it takes to say what the account's balance is, in milliseconds.
    pub(crate) balance_after: Option<u64>,
    /// Its receipts say that the contract refused, so many blocks above its newest.
    pub(crate) failed_ahead: Option<u64>,
    /// The block whose states are shown for every later block.
    pub(crate) stale_states: Option<u64>,
    /// Questions for storage are refused.
    pub(crate) refuses_storage: bool,
    /// One of the questions for states hangs at all times; others are answered as of two blocks ago.
    pub(crate) holds_back: bool,
    /// Block 0 is refused, as by a node without old blocks.
    pub(crate) lacks_genesis: bool,
    /// Half of its answers come from a machine that is so many blocks behind.
    pub(crate) behind: u64,
    /// It answers every transaction with this.
    pub(crate) says: Option<&'static str>,
    /// Transactions are taken, and their sending is never answered.
    pub(crate) hangs_sends: bool,
    /// Calls with creation code are never answered.
    pub(crate) hangs_code: bool,
}

/// What becomes of a question that is not answered truly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Lies {
    /// The connection ends.
    #[default]
    Drops,
    /// No answer comes.
    Hangs,
    /// Any JSON comes.
    Garbage,
    /// Any of these.
    Anything,
}

/// Nothing is answered truly.
pub(crate) const NEVER: u64 = u64::MAX;

pub(crate) struct Endpoint {
    pub(crate) faults: Faults,
    second: u64,
    heads: u64,
    requests: u64,
    hangs_until: u64,
    pub(crate) asked: u64,
    /// By method: the place in its row of questions, and the place of the one that is answered truly.
    rows: std::collections::BTreeMap<&'static str, (u64, u64)>,
    /// How often each method was asked for.
    pub(crate) methods: std::collections::BTreeMap<&'static str, u64>,
}

/// An answer, and when it comes; `None` for never.
pub(crate) type Answered = (Result<String, AskError>, Option<u64>);

impl Endpoint {
    pub(crate) fn new(faults: Faults) -> Self {
        Self {
            faults,
            second: 0,
            heads: 0,
            requests: 0,
            hangs_until: 0,
            asked: 0,
            rows: Default::default(),
            methods: Default::default(),
        }
    }

    pub(crate) fn answer(
        &mut self,
        question: &Question,
        ether: &mut Ether,
        random: &mut Random,
        now: u64,
    ) -> Answered {
        self.asked += 1;
        *self.methods.entry(question.method()).or_default() += 1;
        let mut at = Some(now + 1 + random.below(2 * self.faults.delay.max(1)));
        if let (Some(after), Question::Balance(_)) = (self.faults.balance_after, question) {
            at = Some(now + after);
        }
        if self.faults.rate > 0 {
            if self.second != now / 1000 {
                (self.second, self.requests) = (now / 1000, 0);
            }
            self.requests += 1;
            if self.requests > self.faults.rate {
                return (Err(AskError::RateLimited("slow down".into())), at);
            }
        }
        if !self.is_true(question.method(), random) {
            return self.lie(random, at);
        }
        let faults = self.faults.clone();
        if self.faults.holds_back && matches!(question, Question::States { .. }) {
            // The next one hangs before the last one is given up.
            if now + 9_000 > self.hangs_until {
                self.hangs_until = now + 10_000;
                return (Err(AskError::Timeout), None);
            }
            self.faults.states_at = Some(ether.number() - 2);
        }
        if self.faults.behind > 0 && random.one_in(2) {
            self.faults.lag = self.faults.behind;
        }
        let answer = self.answer_as_it_is(question, ether, random);
        self.faults = faults;
        if self.faults.hangs_code && matches!(question, Question::States { .. }) {
            return (Err(AskError::Timeout), None);
        }
        if self.faults.hangs_sends && matches!(question, Question::Send(_)) {
            return (Err(AskError::Timeout), None);
        }
        (answer, at)
    }

    fn answer_as_it_is(
        &mut self,
        question: &Question,
        ether: &mut Ether,
        random: &mut Random,
    ) -> Result<String, AskError> {
        let is_fork = self.faults.fork > 0 && random.one_in(2);
        let lag = self.faults.lag;
        if is_fork && self.faults.fork == 1 {
            self.faults.lag = ether.number() - self.faults.stuck_at;
        }
        let mut answer = self.truth(question, ether);
        if self.faults.fast && matches!(question, Question::Newest) {
            self.heads += 1;
            let hash = |number: u64| {
                thunder_protocol::B256::left_padding_from(&(0xabcd_0000_0000 + number).to_be_bytes())
            };
            answer = Ok(block_json(&thunder_guard::Head {
                number: FIRST + self.heads + self.faults.head_off,
                hash: hash(self.heads),
                parent: hash(self.heads - 1),
                timestamp: 1_000_000 + self.heads * self.faults.fast_seconds.max(1),
                base_fee: Some(1_000_000_000),
            })
            .to_string());
        }
        self.faults.lag = lag;
        if is_fork
            && matches!(question, Question::Newest | Question::Block(1_003..))
            && let Ok(json) = &mut answer
            && let Ok(mut block) = serde_json::from_str::<Value>(json)
            && block.is_object()
        {
            for name in ["hash", "parentHash"] {
                let text = block[name].as_str().unwrap().to_owned();
                block[name] = json!(format!("{}ff", &text[..text.len() - 2]));
            }
            *json = block.to_string();
        }
        answer
    }

    fn is_true(&mut self, method: &'static str, random: &mut Random) -> bool {
        let one_in = self.faults.one_in;
        if one_in < 2 || one_in == NEVER {
            return one_in != NEVER;
        }
        let (place, chosen) = self.rows.entry(method).or_insert((0, 0));
        if *place == 0 {
            *chosen = random.below(one_in);
        }
        let is_true = place == chosen;
        *place = (*place + 1) % one_in;
        is_true
    }

    fn lie(&self, random: &mut Random, at: Option<u64>) -> Answered {
        let lies = match self.faults.lies {
            Lies::Anything => *random.among(&[Lies::Drops, Lies::Hangs, Lies::Garbage]),
            other => other,
        };
        match lies {
            Lies::Drops => (Err(AskError::Unreachable("connection reset".into())), at),
            Lies::Hangs => (Err(AskError::Timeout), None),
            Lies::Garbage | Lies::Anything => (Ok(garbage(random)), at),
        }
    }

    fn truth(&self, question: &Question, ether: &mut Ether) -> Result<String, AskError> {
        let shown = ether.number().saturating_sub(self.faults.lag).max(crate::ether::FIRST);
        let block = ether.at(shown).unwrap().clone();
        let refuse = |message: &str| {
            Err(AskError::Refused(Refusal { code: -32000, message: message.into(), data: Vec::new() }))
        };
        let number = |value: u128| Ok(json!(format!("{value:#x}")));
        let state = |channel: &Address, number: u64| {
            if self.faults.active.contains(channel) {
                return StorageState::Active { paid_in: crate::ether::shares(10, 0) };
            }
            if self.faults.closed.contains(channel) {
                let nonce = thunder_protocol::Nonce::FINAL;
                return StorageState::Closed { nonce, balances: crate::ether::shares(9, 1), block: 1 };
            }
            if self.faults.masks.contains(channel) {
                let nonce = thunder_protocol::Nonce::new(crate::ether::NEWEST).unwrap();
                let (closer, block) = (
                    thunder_protocol::Role::A,
                    if self.faults.states_off > 0 { u64::from(u32::MAX) } else { number },
                );
                return StorageState::Closing { closer, nonce, balances: crate::ether::shares(1, 9), block };
            }
            if self.faults.invents.contains(channel) {
                let fresh = self.faults.fresh_closing.map(|ahead| number + ahead);
                return invented(fresh.or(self.faults.invented_at).unwrap_or(number - number % 20));
            }
            let hides = self.faults.hides.contains(channel) && number >= self.faults.hides_since;
            let number = self.faults.stale_states.map_or(number, |at| at.min(number));
            let at = if hides { self.faults.hides_since.saturating_sub(1) } else { number };
            let block = ether.at(at).or(ether.at(number));
            block.and_then(|block| block.states.get(channel)).copied().unwrap_or(StorageState::Missing)
        };
        let value: Result<Value, AskError> = match question {
            Question::ChainId => number(u128::from(self.faults.chain_id.unwrap_or(CHAIN_ID))),
            Question::Newest => {
                let mut head = block.head;
                head.base_fee = self.faults.base_fee.or(head.base_fee);
                head.number += self.faults.head_off;
                head.timestamp = self.faults.timestamp.unwrap_or(head.timestamp);
                Ok(block_json(&head))
            }
            Question::Block(0) if self.faults.lacks_genesis => refuse("pruned history unavailable"),
            Question::Block(0) => Ok(block_json(&thunder_guard::Head { number: 0, ..genesis() })),
            // Blocks of before the world began.
            Question::Block(number) if *number < FIRST + self.faults.head_off => {
                let block_time = ether.block_seconds;
                let timestamp =
                    self.faults.timestamp.unwrap_or(0).max(
                        1_000_000_u64.saturating_sub((FIRST + self.faults.head_off - number) * block_time),
                    );
                Ok(block_json(&thunder_guard::Head { number: *number, timestamp, ..genesis() }))
            }
            Question::Block(number) => Ok(ether
                .at(number.saturating_sub(self.faults.head_off))
                .filter(|_| number.saturating_sub(self.faults.head_off) <= shown)
                .map_or(Value::Null, |block| {
                    let mut head = block.head;
                    head.number += self.faults.head_off;
                    head.timestamp = self.faults.timestamp.unwrap_or(head.timestamp);
                    block_json(&head)
                })),
            Question::States { .. } if self.faults.drops_code => {
                Err(AskError::Unreachable("HTTP status 413".into()))
            }
            Question::States { .. } if self.faults.runs_no_code => {
                refuse("contract creation is not supported")
            }
            Question::States { channels, .. } => {
                let shown = self.faults.states_at.unwrap_or(shown);
                let mut bytes = vec![0; 24];
                bytes.extend_from_slice(&(shown + self.faults.states_off).to_be_bytes());
                for channel in channels.iter() {
                    bytes.extend_from_slice(&word(&state(channel, shown)));
                }
                Ok(json!(hex::encode_prefixed(bytes)))
            }
            Question::Storage { .. } if self.faults.refuses_storage => refuse("missing trie node"),
            Question::Storage { channel, block } => {
                Ok(json!(hex::encode_prefixed(word(&state(channel, *block)))))
            }
            Question::Logs(LogFilter { from, to, .. })
                if self.faults.log_range > 0 && to - from + 1 > self.faults.log_range =>
            {
                refuse("too many blocks")
            }
            // Which of the account's channels began to close, for the question that names no contract.
            Question::Logs(LogFilter { address: None, from, to, .. }) if !self.faults.hides_events => {
                Ok(json!(
                    ether
                        .closed_in(*from, (*to).min(shown))
                        .map(|(channel, number)| json!({
                            "address": channel,
                            "topics": [],
                            "data": "0x",
                            "blockNumber": format!("{number:#x}"),
                            "transactionHash": thunder_protocol::B256::ZERO,
                        }))
                        .collect::<Vec<_>>()
                ))
            }
            Question::Logs(_) => Ok(json!([])),
            Question::Code(_) if self.faults.refuses_code => refuse("method not found"),
            Question::Code(_) => Ok(json!("0x00")),
            // The factory's `token()`, and numbers.
            Question::Call { data, .. } if data.len() == 4 => Ok(json!(Address::repeat_byte(1).into_word())),
            Question::Call { .. } => Ok(json!(format!("{:#066x}", 0))),
            Question::Estimate(_) => number(60_000),
            Question::Balance(_) if self.faults.refuses_balance => refuse("method not found"),
            Question::Balance(_) => number(self.faults.balance.unwrap_or(ether.balance)),
            Question::Nonce(_) if self.faults.refuses_count => refuse("missing trie node"),
            Question::Nonce(_) => {
                number(u128::from(self.faults.count_at.unwrap_or(block.count + self.faults.count_off)))
            }
            Question::PendingNonce(_) if self.faults.refuses_pending => refuse("no pending block"),
            Question::PendingNonce(_) => {
                let mut count = block.count;
                while ether.pool.iter().chain(&ether.foreign).any(|tx| tx.nonce == count) {
                    count += 1;
                }
                number(u128::from(count))
            }
            Question::Tip | Question::GasPrice => number(self.faults.tip),
            Question::Receipt(hash) if let Some(ahead) = self.faults.failed_ahead => Ok(
                json!({ "transactionHash": hash, "blockNumber": format!("{:#x}", shown + ahead), "status": "0x0" }),
            ),
            Question::Receipt(hash) if self.faults.failed_receipts => Ok(
                json!({ "transactionHash": hash, "blockNumber": format!("{:#x}", shown), "status": "0x0" }),
            ),
            Question::Receipt(hash) if let Some(block) = self.faults.false_receipt => {
                Ok(json!({ "transactionHash": hash, "blockNumber": format!("{block:#x}"), "status": "0x1" }))
            }
            Question::Receipt(hash) => Ok(match ether.receipt(*hash).filter(|(block, _)| *block <= shown) {
                None => Value::Null,
                Some((block, succeeded)) => json!({
                    "transactionHash": hash,
                    "blockNumber": format!("{block:#x}"),
                    "status": if succeeded { "0x1" } else { "0x0" },
                }),
            }),
            Question::Sender(_) => Ok(Value::Null),
            Question::Send(_) if let Some(why) = self.faults.says => refuse(why),
            Question::Send(_) if self.faults.refuses_sending => refuse("not from you"),
            Question::Send(raw) => match ether.submit(raw) {
                Ok(hash) => Ok(json!(hash)),
                Err(why) => refuse(why),
            },
        };
        value.map(|value| value.to_string())
    }
}

pub(crate) fn genesis() -> thunder_guard::Head {
    thunder_guard::Head {
        number: 0,
        hash: thunder_protocol::B256::repeat_byte(9),
        parent: thunder_protocol::B256::ZERO,
        timestamp: 0,
        base_fee: None,
    }
}

fn block_json(head: &thunder_guard::Head) -> Value {
    let mut block = json!({
        "number": format!("{:#x}", head.number),
        "hash": head.hash,
        "parentHash": head.parent,
        "timestamp": format!("{:#x}", head.timestamp),
    });
    if let Some(base_fee) = head.base_fee {
        block["baseFeePerGas"] = json!(format!("{base_fee:#x}"));
    }
    block
}

/// Any JSON: of another type, huge, null, missing, of another question.
pub(crate) fn garbage(random: &mut Random) -> String {
    let number = random.next();
    match random.below(14) {
        0 => "null".into(),
        1 => "[]".into(),
        2 => "{}".into(),
        3 => "\"\"".into(),
        4 => "\"0x\"".into(),
        5 => format!("\"{number:#x}\""),
        6 => format!("\"0x{}\"", "f".repeat(64)),
        7 => format!("{number}"),
        8 => format!("\"0x{}\"", "00".repeat(random.below(200) as usize)),
        9 => json!({"number": format!("{number:#x}"), "hash": format!("{number:#066x}"),
            "parentHash": format!("{number:#066x}"), "timestamp": format!("{:#x}", random.next()),
            "baseFeePerGas": format!("0x{}", "f".repeat(1 + random.below(40) as usize))})
        .to_string(),
        10 => json!({"transactionHash": format!("{number:#066x}"), "blockNumber": "0x1", "status": "0x7"})
            .to_string(),
        11 => format!("[{}]", "1,".repeat(50) + "1"),
        12 => format!("\"0x{:064x}{}\"", number >> 40, "ff".repeat(32 * random.below(5) as usize)),
        _ => "tru".into(),
    }
}

/// A closing on an old receipt.
fn invented(block: u64) -> StorageState {
    let nonce = thunder_protocol::Nonce::new(1).unwrap();
    let (closer, balances) = (thunder_protocol::Role::A, crate::ether::shares(9, 1));
    StorageState::Closing { closer, nonce, balances, block }
}
