//! The questions that are put to endpoints, and how their answers are read (guard rule G5).
//!
//! Every number has bounds, and no field is read that is not needed.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use thunder_protocol::{Address, B256, hex};

use crate::block::Head;
use crate::error::AskError;
use crate::json::{bytes, fixed, quantity, quantity64};
use crate::state::{LEDGER_SLOT, StorageState};

/// How many channels are read in one call: as many as fit into the longest code that a contract may
/// have (EIP-170), which is the answer, beside the block's number.
pub const STATES_AT_ONCE: usize = 24_576 / 32 - 1;

/// A question to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The chain id.
    ChainId,
    /// The newest block.
    Newest,
    /// The block at a height.
    Block(u64),
    /// The states of many channels at the newest block, in one call.
    States {
        /// The creation code of `ChannelStates`.
        code: Arc<[u8]>,
        /// The channels.
        channels: Arc<[Address]>,
    },
    /// The state of one channel, from its storage.
    Storage {
        /// The channel.
        channel: Address,
        /// At this block.
        block: u64,
    },
    /// Events.
    Logs(LogFilter),
    /// The code at an address.
    Code(Address),
    /// A contract's answer to a call at the newest block.
    Call {
        /// The contract.
        to: Address,
        /// The calldata.
        data: Vec<u8>,
    },
    /// The gas of a call at the newest block.
    Estimate(Box<Estimate>),
    /// An account's ether in wei.
    Balance(Address),
    /// How many of an account's transactions are mined.
    Nonce(Address),
    /// The same, with those that wait.
    PendingNonce(Address),
    /// The suggested tip (EIP-1559) in wei.
    Tip,
    /// The gas price of a chain without EIP-1559 in wei.
    GasPrice,
    /// Whether a transaction is mined, and where.
    Receipt(B256),
    /// The sender of a transaction.
    Sender(B256),
    /// A signed transaction, to be broadcast.
    Send(Arc<[u8]>),
}

/// A call whose gas is estimated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The caller.
    pub from: Address,
    /// The contract, or the receiver.
    pub to: Address,
    /// The calldata.
    pub data: Vec<u8>,
    /// What is sent with it, in wei.
    pub value: u128,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    /// Of this contract only.
    pub address: Option<Address>,
    /// With one of these in each place; any, where there is none.
    pub topics: Vec<Vec<B256>>,
    /// Not older than this block.
    pub from: u64,
    /// Not newer than this block.
    pub to: u64,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The contract.
    pub address: Address,
    /// The topics.
    pub topics: Vec<B256>,
    /// The data.
    pub data: Vec<u8>,
    /// The block.
    pub block: u64,
    /// The transaction.
    pub tx: B256,
}

/// A mined transaction, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionReceipt {
    /// The block.
    pub block: u64,
    /// Whether it did what it should.
    pub succeeded: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointAnswer {
    /// To the questions for a number.
    Number(u128),
    /// To [`Question::Newest`] and [`Question::Block`].
    Block(Option<Head>),
    /// To [`Question::States`] and [`Question::Storage`].
    States {
        /// The block that the states are those of.
        block: u64,
        /// One for each channel; `None` for a word that no channel has.
        states: Vec<Option<StorageState>>,
    },
    /// To [`Question::Logs`], in the chain's order.
    Logs(Vec<Log>),
    /// To [`Question::Code`] and [`Question::Call`].
    Bytes(Vec<u8>),
    /// To [`Question::Receipt`]; `None` if it is not mined.
    Receipt(Option<TransactionReceipt>),
    /// To [`Question::Sender`]; `None` if the transaction is not known.
    Sender(Option<Address>),
    /// To [`Question::Send`].
    Sent,
}

const KIB: usize = 1 << 10;

impl Question {
    /// The JSON-RPC method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::ChainId => "eth_chainId",
            Self::Newest | Self::Block(_) => "eth_getBlockByNumber",
            Self::States { .. } | Self::Call { .. } => "eth_call",
            Self::Storage { .. } => "eth_getStorageAt",
            Self::Logs(_) => "eth_getLogs",
            Self::Code(_) => "eth_getCode",
            Self::Estimate(_) => "eth_estimateGas",
            Self::Balance(_) => "eth_getBalance",
            Self::Nonce(_) | Self::PendingNonce(_) => "eth_getTransactionCount",
            Self::Tip => "eth_maxPriorityFeePerGas",
            Self::GasPrice => "eth_gasPrice",
            Self::Receipt(_) => "eth_getTransactionReceipt",
            Self::Sender(_) => "eth_getTransactionByHash",
            Self::Send(_) => "eth_sendRawTransaction",
        }
    }

    /// Its parameters.
    pub fn params(&self) -> Value {
        match self {
            Self::ChainId | Self::Tip | Self::GasPrice => json!([]),
            Self::Newest => json!(["latest", false]),
            Self::Block(number) => json!([hex_number(*number), false]),
            Self::States { code, channels } => {
                json!([{ "data": prefixed(&states_call(code, channels)) }, "latest"])
            }
            Self::Storage { channel, block } => {
                json!([channel, hex_number(LEDGER_SLOT), hex_number(*block)])
            }
            Self::Logs(filter) => filter.params(),
            Self::Code(address) | Self::Balance(address) | Self::Nonce(address) => json!([address, "latest"]),
            Self::PendingNonce(address) => json!([address, "pending"]),
            Self::Call { to, data } => json!([{ "to": to, "data": prefixed(data) }, "latest"]),
            Self::Estimate(call) => {
                let Estimate { from, to, data, value } = call.as_ref();
                let value = format!("{value:#x}");
                json!([{ "from": from, "to": to, "data": prefixed(data), "value": value }])
            }
            Self::Receipt(hash) | Self::Sender(hash) => json!([hash]),
            Self::Send(raw) => json!([prefixed(raw)]),
        }
    }

    /// The most bytes that the whole answer may have. What is longer is not read to its end.
    pub fn max_bytes(&self) -> usize {
        match self {
            // The hashes of all transactions in the block come with it.
            Self::Newest | Self::Block(_) => 2048 * KIB,
            Self::States { channels, .. } => 4 * KIB + 64 * (channels.len() + 1),
            Self::Logs(_) => 4096 * KIB,
            // EIP-170.
            Self::Code(_) => 64 * KIB,
            // Calldata of transactions, and logs of receipts.
            Self::Receipt(_) | Self::Sender(_) => 1024 * KIB,
            Self::ChainId
            | Self::Storage { .. }
            | Self::Call { .. }
            | Self::Estimate(_)
            | Self::Balance(_)
            | Self::Nonce(_)
            | Self::PendingNonce(_)
            | Self::Tip
            | Self::GasPrice
            | Self::Send(_) => 64 * KIB,
        }
    }

    /// Reads the `result` of the answer.
    ///
    /// # Errors
    ///
    /// [`AskError::Invalid`] for whatever is not an answer to this question.
    pub fn read(&self, json: &str) -> Result<EndpointAnswer, AskError> {
        match self {
            Self::ChainId | Self::Nonce(_) | Self::PendingNonce(_) => {
                Ok(EndpointAnswer::Number(u128::from(quantity64(&text(json)?)?)))
            }
            Self::Balance(_) | Self::Tip | Self::GasPrice | Self::Estimate(_) => {
                Ok(EndpointAnswer::Number(quantity(&text(json)?)?))
            }
            Self::Newest => match Head::read(json)? {
                None => Err(AskError::invalid("there is no newest block")),
                found => Ok(EndpointAnswer::Block(found)),
            },
            Self::Block(number) => match Head::read(json)? {
                Some(head) if head.number != *number => {
                    Err(AskError::invalid(format_args!("block {} instead of {number}", head.number)))
                }
                found => Ok(EndpointAnswer::Block(found)),
            },
            Self::States { channels, .. } => read_states(&bytes(&text(json)?)?, channels.len()),
            Self::Storage { block, .. } => {
                let state = StorageState::from_word(&fixed(&text(json)?)?);
                Ok(EndpointAnswer::States { block: *block, states: vec![state] })
            }
            Self::Logs(filter) => filter.read(json),
            Self::Code(_) | Self::Call { .. } => Ok(EndpointAnswer::Bytes(bytes(&text(json)?)?)),
            Self::Receipt(hash) => read_receipt(json, *hash),
            Self::Sender(hash) => read_sender(json, *hash),
            Self::Send(raw) => {
                let hash = B256::new(fixed(&text(json)?)?);
                let is_meant = hash == B256::new(ethers_core::utils::keccak256(raw));
                if is_meant {
                    Ok(EndpointAnswer::Sent)
                } else {
                    Err(AskError::invalid("another transaction"))
                }
            }
        }
    }
}

fn hex_number(number: u64) -> String {
    format!("{number:#x}")
}

fn prefixed(bytes: &[u8]) -> String {
    hex::encode_prefixed(bytes)
}

fn text(json: &str) -> Result<String, AskError> {
    serde_json::from_str(json).map_err(AskError::invalid)
}

/// The creation code of `ChannelStates` with its argument, ABI-encoded: the offset of the array, its
/// length, and a word for each address.
fn states_call(code: &[u8], channels: &[Address]) -> Vec<u8> {
    let mut data = Vec::with_capacity(code.len() + 32 * (channels.len() + 2));
    data.extend_from_slice(code);
    data.extend_from_slice(&B256::with_last_byte(32)[..]);
    data.extend_from_slice(&B256::left_padding_from(&channels.len().to_be_bytes())[..]);
    for channel in channels {
        data.extend_from_slice(&channel.into_word()[..]);
    }
    data
}

fn read_states(bytes: &[u8], channels: usize) -> Result<EndpointAnswer, AskError> {
    let (words, rest) = bytes.as_chunks::<32>();
    let Some((number, states)) = words.split_first().filter(|(_, states)| states.len() == channels) else {
        return Err(AskError::invalid(format_args!("{} bytes for {channels} channels", bytes.len())));
    };
    let (high, low) = number.split_at(24);
    match (<[u8; 8]>::try_from(low), rest) {
        (Ok(low), []) if high.iter().all(|byte| *byte == 0) => Ok(EndpointAnswer::States {
            block: u64::from_be_bytes(low),
            states: states.iter().map(StorageState::from_word).collect(),
        }),
        _ => Err(AskError::invalid("the states are those of no block")),
    }
}

impl LogFilter {
    fn params(&self) -> Value {
        let topics: Vec<_> =
            self.topics.iter().map(|any| if any.is_empty() { Value::Null } else { json!(any) }).collect();
        let mut filter = json!({
            "fromBlock": hex_number(self.from),
            "toBlock": hex_number(self.to),
            "topics": topics,
        });
        if let (Some(address), Some(fields)) = (self.address, filter.as_object_mut()) {
            fields.insert("address".into(), json!(address));
        }
        json!([filter])
    }

    fn read(&self, json: &str) -> Result<EndpointAnswer, AskError> {
        let raw: Vec<RawLog<'_>> = serde_json::from_str(json).map_err(AskError::invalid)?;
        let logs = raw.iter().filter(|log| log.removed != Some(true)).map(RawLog::read);
        let logs = logs.collect::<Result<Vec<_>, _>>()?;
        let fits = |log: &Log| {
            self.address.is_none_or(|address| address == log.address)
                && (self.from..=self.to).contains(&log.block)
        };
        if logs.iter().all(fits) {
            Ok(EndpointAnswer::Logs(logs))
        } else {
            Err(AskError::invalid("other events"))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLog<'a> {
    address: &'a str,
    topics: Vec<&'a str>,
    data: &'a str,
    block_number: &'a str,
    transaction_hash: &'a str,
    #[serde(default)]
    removed: Option<bool>,
}

impl RawLog<'_> {
    fn read(&self) -> Result<Log, AskError> {
        let topics = self.topics.iter().map(|topic| Ok(B256::new(fixed(topic)?)));
        Ok(Log {
            address: Address::new(fixed(self.address)?),
            topics: topics.collect::<Result<_, AskError>>()?,
            data: bytes(self.data)?,
            block: quantity64(self.block_number)?,
            tx: B256::new(fixed(self.transaction_hash)?),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReceipt<'a> {
    transaction_hash: &'a str,
    block_number: Option<&'a str>,
    status: &'a str,
}

fn read_receipt(json: &str, hash: B256) -> Result<EndpointAnswer, AskError> {
    let raw: Option<RawReceipt<'_>> = serde_json::from_str(json).map_err(AskError::invalid)?;
    let Some(raw) = raw else { return Ok(EndpointAnswer::Receipt(None)) };
    if B256::new(fixed(raw.transaction_hash)?) != hash {
        return Err(AskError::invalid("the receipt of another transaction"));
    }
    let succeeded = match quantity(raw.status)? {
        0 => false,
        1 => true,
        other => return Err(AskError::invalid(format_args!("a receipt with status {other}"))),
    };
    let block = raw.block_number.map(quantity64).transpose()?;
    Ok(EndpointAnswer::Receipt(block.map(|block| TransactionReceipt { block, succeeded })))
}

#[derive(Deserialize)]
struct RawTransaction<'a> {
    hash: &'a str,
    from: &'a str,
}

fn read_sender(json: &str, hash: B256) -> Result<EndpointAnswer, AskError> {
    let raw: Option<RawTransaction<'_>> = serde_json::from_str(json).map_err(AskError::invalid)?;
    let Some(raw) = raw else { return Ok(EndpointAnswer::Sender(None)) };
    if B256::new(fixed(raw.hash)?) != hash {
        return Err(AskError::invalid("another transaction"));
    }
    Ok(EndpointAnswer::Sender(Some(Address::new(fixed(raw.from)?))))
}
