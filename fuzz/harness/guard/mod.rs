//! The guard against its endpoints: one or two of them, which answer truly, late, not at all, or anything.
//!
//! Beside them are a chain that goes on and goes back, a node that orders, and a disk that may be full. The bytes are
//! the script.

mod bench;
mod end;

use thunder_guard::state::StorageState;
use thunder_guard::{AskError, Question, Stake, Ticket};
use thunder_protocol::onchain::CallKind;
use thunder_protocol::{Address, B256, Nonce, Role, hex};

use crate::ether::{Transaction, shares, word};
use bench::Bench;

/// The most steps of one script.
const MAX_STEPS: usize = 160;

/// Runs the script that `bytes` are. Panics where something does not hold.
pub fn guard(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let Some(flags) = bytes.byte() else { return };
    let (endpoints, channels) = (1 + usize::from(flags & 1), 1 + usize::from(flags >> 1 & 3));
    let bench = Bench::new(endpoints, channels, flags & 8 != 0);
    let mut script = Script { bytes, bench };
    script.bench.act();
    for _ in 0..MAX_STEPS {
        if script.step().is_none() {
            break;
        }
        script.bench.act();
    }
    script.bench.check_memory();
    script.bench.check_recovery();
}

/// What is left of the script. `None` is its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        self.byte().map(u64::from)
    }

    /// Any number: a byte, shifted.
    fn wide(&mut self) -> Option<u128> {
        let (bits, shift) = (self.byte()?, self.byte()?);
        Some(u128::from(bits) << (shift % 128))
    }

    /// A number near another.
    fn near(&mut self, number: u64) -> Option<u64> {
        let offset = self.byte()?.cast_signed();
        Some(match offset {
            i8::MIN => u64::try_from(self.wide()?).unwrap_or(u64::MAX),
            offset => number.saturating_add_signed(offset.into()),
        })
    }

    /// Bytes, after their length.
    fn slice(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (slice, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(slice.to_vec())
    }

    fn hash(&mut self) -> Option<B256> {
        self.byte().map(B256::repeat_byte)
    }
}

struct Script<'a> {
    bytes: Bytes<'a>,
    bench: Bench,
}

impl Script<'_> {
    fn step(&mut self) -> Option<()> {
        match self.bytes.byte()? % 40 {
            0..=3 => self.bench.answer_all(1),
            4..=6 => self.bench.answer_all(8),
            7 | 8 => {
                let ticket = self.ticket()?;
                let truth = self.bench.truth(ticket);
                self.bench.answer(ticket, truth);
            }
            9..=11 => self.twist()?,
            12 => self.raw_result()?,
            13 => self.error_object()?,
            14 => {
                let (ticket, status) = (self.ticket()?, self.bytes.number()? * 3);
                let body = self.bytes.slice()?;
                self.bench.respond(ticket, u16::try_from(status).unwrap_or(200), &body);
            }
            15 => self.no_answer()?,
            16 | 17 => self.number()?,
            18 | 19 => self.states()?,
            20 => self.block()?,
            21 => self.logs()?,
            22 => self.receipt()?,
            23 | 24 => {
                let times = [10, 50, 100, 250, 1_000, 5_000, 60_000, 600_000, 1 << 40];
                let time = times[usize::from(self.bytes.byte()?) % times.len()];
                self.bench.pass(time);
            }
            25 | 26 => {
                let wake = self.bench.guard.wake_at(self.bench.now);
                self.bench.pass(wake - self.bench.now);
                self.bench.answer_all(2);
            }
            27 | 28 => self.mine(1)?,
            29 => {
                let blocks = self.bytes.byte()? % 32;
                self.mine(blocks)?;
            }
            30 | 31 => self.change()?,
            32 => {
                let depth = usize::from(self.bytes.byte()? % 16);
                self.bench.ether.take_back(depth, &mut crate::random::Random::new(0));
                self.mine(1)?;
            }
            33 | 34 => {
                let (channel, kind) = (self.channel()?, self.kind()?);
                self.bench.submit(channel, kind);
            }
            35 => self.order()?,
            36 => self.bench.restart(),
            37 => self.bench.disk_is_full ^= true,
            38 => self.fault()?,
            _ => self.spend()?,
        }
        Some(())
    }

    /// A question that is under way, or, now and then, one that is not.
    fn ticket(&mut self) -> Option<Ticket> {
        let index = self.bytes.byte()?;
        let tickets = &self.bench.asked;
        let count = tickets.len().max(1);
        Some(tickets.keys().nth(usize::from(index) % count).copied().unwrap_or(u64::from(index)))
    }

    fn channel(&mut self) -> Option<Address> {
        let index = usize::from(self.bytes.byte()?);
        Some(self.bench.channels[index % self.bench.channels.len()])
    }

    fn kind(&mut self) -> Option<CallKind> {
        Some(match self.bytes.byte()? % 8 {
            0 => CallKind::Open,
            1 => CallKind::Fund,
            2 => CallKind::Cancel,
            3 => CallKind::Close,
            4 => CallKind::Withdraw,
            _ => CallKind::Challenge,
        })
    }

    /// The truth, with one byte changed.
    fn twist(&mut self) -> Option<()> {
        let (ticket, place, byte) = (self.ticket()?, usize::from(self.bytes.byte()?), self.bytes.byte()?);
        let Ok(truth) = self.bench.truth(ticket) else { return Some(()) };
        let mut truth = truth.into_bytes();
        let place = place % truth.len().max(1);
        if let Some(changed) = truth.get_mut(place) {
            *changed = byte;
        }
        let body = [br#"{"id":"#, ticket.to_string().as_bytes(), br#","result":"#, &truth, b"}"].concat();
        self.bench.respond(ticket, 200, &body);
        Some(())
    }

    fn raw_result(&mut self) -> Option<()> {
        let (ticket, raw) = (self.ticket()?, self.bytes.slice()?);
        let body = [br#"{"id":"#, ticket.to_string().as_bytes(), br#","result":"#, &raw, b"}"].concat();
        self.bench.respond(ticket, 200, &body);
        Some(())
    }

    /// An error in the words of clients, or in any.
    fn error_object(&mut self) -> Option<()> {
        const WORDS: [&str; 12] = [
            "already known",
            "nonce too low",
            "replacement transaction underpriced",
            "insufficient funds for gas * price + value",
            "execution reverted",
            "too many requests",
            "query returned more than 10000 results",
            "limit exceeded",
            "no pending block",
            "contract creation is not supported",
            "intrinsic gas too low",
            "",
        ];
        const CODES: [i64; 6] = [-32000, 3, 429, -32005, -32601, 0];
        let (ticket, choice) = (self.ticket()?, usize::from(self.bytes.byte()?));
        let message = match WORDS.get(choice % (WORDS.len() + 1)) {
            Some(words) => (*words).to_owned(),
            None => String::from_utf8_lossy(&self.bytes.slice()?).into_owned(),
        };
        let data = if choice > 200 { hex::encode_prefixed(self.bytes.slice()?) } else { String::new() };
        let body = serde_json::json!({
            "id": ticket,
            "error": { "code": CODES[choice % CODES.len()], "message": message, "data": data },
        });
        self.bench.respond(ticket, 200, body.to_string().as_bytes());
        Some(())
    }

    fn no_answer(&mut self) -> Option<()> {
        let (ticket, choice) = (self.ticket()?, self.bytes.byte()?);
        let error = match choice % 3 {
            0 => AskError::Timeout,
            1 => AskError::Unreachable("connection reset".into()),
            _ => AskError::RateLimited("slow down".into()),
        };
        if choice < 128 {
            self.bench.answer(ticket, Err(error));
            return Some(());
        }
        // To all that this endpoint was asked.
        let endpoint = usize::from(choice & 1);
        let asked = self.bench.asked.iter().filter(|(_, asked)| asked.endpoint == endpoint);
        for ticket in asked.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            self.bench.answer(ticket, Err(error.clone()));
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let (ticket, number) = (self.ticket()?, self.bytes.wide()?);
        self.bench.answer(ticket, Ok(format!("\"{number:#x}\"")));
        Some(())
    }

    fn state(&mut self) -> Option<StorageState> {
        let number = self.bench.ether.number();
        let (shape, a) = (self.bytes.byte()?, self.bytes.number()? % 11);
        let balances = shares(a, 10 - a);
        let nonce = Nonce::new(u64::from(shape >> 3)).expect("small");
        Some(match shape % 8 {
            0 => StorageState::Missing,
            1 => StorageState::Empty { paid_in: balances },
            2 => StorageState::Active { paid_in: balances },
            3..=5 => {
                StorageState::Closing { closer: Role::A, nonce, balances, block: self.bytes.near(number)? }
            }
            6 => StorageState::Closing { closer: Role::B, nonce, balances, block: self.bytes.near(number)? },
            _ => StorageState::Closed { nonce, balances, block: self.bytes.near(number)? },
        })
    }

    /// Channels are shown as they are not.
    fn states(&mut self) -> Option<()> {
        let first = self.bytes.byte()?;
        let is_for_states =
            |question: &Question| matches!(question, Question::States { .. } | Question::Storage { .. });
        let fitting: Vec<_> =
            self.bench.asked.iter().filter(|(_, asked)| is_for_states(&asked.question)).collect();
        let Some((ticket, asked)) = fitting.get(usize::from(first) % fitting.len().max(1)) else {
            return Some(());
        };
        let (ticket, question) = (**ticket, asked.question.clone());
        let mut bytes = Vec::new();
        let count = match &question {
            Question::States { channels, .. } => {
                bytes.extend([0; 24]);
                bytes.extend(self.bytes.near(self.bench.ether.number())?.to_be_bytes());
                channels.len()
            }
            _ => 1,
        };
        for _ in 0..count {
            bytes.extend(word(&self.state()?));
        }
        self.bench.answer(ticket, Ok(format!("\"{}\"", hex::encode_prefixed(bytes))));
        Some(())
    }

    /// A block that there is not.
    fn block(&mut self) -> Option<()> {
        let ticket = self.ticket()?;
        let head = self.bench.ether.newest().head;
        let number = match self.bench.asked.get(&ticket).map(|asked| &asked.question) {
            Some(Question::Block(number)) => *number,
            _ => self.bytes.near(head.number)?,
        };
        let mut block = serde_json::json!({
            "number": format!("{number:#x}"),
            "hash": self.bytes.hash()?,
            "parentHash": self.bytes.hash()?,
            "timestamp": format!("{:#x}", self.bytes.near(head.timestamp)?),
        });
        if self.bytes.byte()? & 1 == 0 {
            block["baseFeePerGas"] = format!("{:#x}", self.bytes.wide()?).into();
        }
        self.bench.answer(ticket, Ok(block.to_string()));
        Some(())
    }

    /// Events that there are not.
    fn logs(&mut self) -> Option<()> {
        let ticket = self.ticket()?;
        let Some(Question::Logs(filter)) = self.bench.asked.get(&ticket).map(|asked| asked.question.clone())
        else {
            return Some(());
        };
        let mut logs = Vec::new();
        for _ in 0..self.bytes.byte()? % 4 {
            let topics = filter.topics.first().cloned().unwrap_or_default();
            let topic = topics.get(usize::from(self.bytes.byte()?) % topics.len().max(1)).copied();
            let words = self.bytes.slice()?;
            let data: Vec<_> = words.iter().flat_map(|byte| B256::with_last_byte(*byte).0).collect();
            let block = filter.from + self.bytes.number()? % (filter.to - filter.from + 1);
            logs.push(serde_json::json!({
                "address": filter.address.unwrap_or(self.channel()?),
                "topics": [topic],
                "data": hex::encode_prefixed(data),
                "blockNumber": format!("{block:#x}"),
                "transactionHash": self.bytes.hash()?,
            }));
        }
        self.bench.answer(ticket, Ok(serde_json::Value::from(logs).to_string()));
        Some(())
    }

    /// A receipt that there is not.
    fn receipt(&mut self) -> Option<()> {
        let first = self.bytes.byte()?;
        let asked = self.bench.asked.iter();
        let fitting: Vec<_> =
            asked.filter(|(_, asked)| matches!(asked.question, Question::Receipt(_))).collect();
        let Some((ticket, asked)) = fitting.get(usize::from(first) % fitting.len().max(1)) else {
            return Some(());
        };
        let Question::Receipt(hash) = asked.question else { return Some(()) };
        let ticket = **ticket;
        let block = self.bytes.near(self.bench.ether.number())?;
        let receipt = serde_json::json!({
            "transactionHash": hash,
            "blockNumber": format!("{block:#x}"),
            "status": format!("{:#x}", self.bytes.byte()? & 1),
        });
        self.bench.answer(ticket, Ok(receipt.to_string()));
        Some(())
    }

    fn mine(&mut self, blocks: u8) -> Option<()> {
        let fee = self.bytes.byte()?;
        // Most blocks cost what the one before did; some up to 16,000 gwei.
        let base_fee = if fee < 224 { 1_000_000_000 } else { 1_000_000_000 << ((fee - 224) % 15) };
        for _ in 0..blocks {
            self.bench.ether.mine(12, base_fee, &[]);
        }
        Some(())
    }

    /// A channel changes.
    fn change(&mut self) -> Option<()> {
        let (channel, state) = (self.channel()?, self.state()?);
        self.bench.ether.mine(12, 1_000_000_000, &[(channel, state)]);
        Some(())
    }

    fn order(&mut self) -> Option<()> {
        let channel = self.channel()?;
        match self.bytes.byte()? % 6 {
            0 => self.bench.unwatch(channel),
            1 => self.bench.watch(channel),
            2 => self.bench.watch_all(),
            3 => self.bench.guard.set_stake(channel, Stake::Urgent),
            4 => self.bench.guard.set_stake(channel, Stake::Nothing),
            _ => self.bench.guard.set_stake(channel, Stake::AtRisk),
        }
        Some(())
    }

    /// An endpoint changes its ways.
    fn fault(&mut self) -> Option<()> {
        let (number, fault) = (usize::from(self.bytes.byte()?), self.bytes.byte()?);
        let channel = self.bench.channels[0];
        let block = self.bench.ether.number();
        let index = number % self.bench.endpoints.len();
        let faults = &mut self.bench.endpoints[index].faults;
        match fault % 8 {
            0 => faults.lag = u64::from(fault >> 3),
            1 => faults.runs_no_code ^= true,
            2 => faults.log_range = u64::from(fault >> 3),
            3 => faults.refuses_pending ^= true,
            4 => {
                faults.hides_since = block;
                faults.hides.insert(channel);
            }
            5 => faults.count_off = u64::from(fault >> 3),
            6 => faults.refuses_sending ^= true,
            _ => faults.tip = self.bytes.wide()?,
        }
        Some(())
    }

    /// Another program uses the account's next nonce.
    fn spend(&mut self) -> Option<()> {
        let nonce = self.bench.ether.newest().count + self.bytes.number()? % 4;
        let fee = 1_000_000_000u128 << (self.bytes.byte()? % 16);
        let is_taken = |tx: &Transaction| tx.nonce == nonce;
        let ether = &mut self.bench.ether;
        if !ether.pool.iter().chain(&ether.foreign).any(is_taken) {
            let hash = B256::left_padding_from(&[&nonce.to_be_bytes()[..], &fee.to_be_bytes()].concat());
            let (to, data) = (Address::ZERO, Vec::new());
            ether.foreign.push(Transaction {
                hash,
                nonce,
                to,
                data,
                gas: 21_000,
                max_fee: 2 * fee,
                tip: fee,
            });
        }
        Some(())
    }
}
