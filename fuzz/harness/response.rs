//! Any bytes as an endpoint's answer, to each kind of question.

use std::sync::Arc;

use thunder_guard::{
    AskError, EndpointAnswer, Estimate, LogFilter, Question, STATES_AT_ONCE, read_response, response_id,
};
use thunder_protocol::{Address, B256};

/// The first two bytes are the HTTP status, the third chooses the question, and the rest is the body: as
/// it is, or as the `result` or the `error` of JSON-RPC.
///
/// No panic; what is read is no larger than what came, and is what the question asks for.
pub fn response(bytes: &[u8]) {
    let [high, low, choice, rest @ ..] = bytes else { return };
    let status = u16::from_be_bytes([*high, *low]);
    let text = || String::from_utf8_lossy(rest);
    let body = match choice / 64 {
        0 => rest.to_vec(),
        1 => format!(r#"{{"jsonrpc":"2.0","id":7,"error":{}}}"#, text()).into_bytes(),
        _ => format!(r#"{{"jsonrpc":"2.0","id":7,"result":{}}}"#, text()).into_bytes(),
    };
    let _ = response_id(&body);
    match read_response(status, &body, 7) {
        Ok(result) => {
            assert!(result.get().len() <= body.len(), "more than came");
            let question = question(choice % 64);
            if let Ok(answer) = question.read(result.get()) {
                fits(&question, &answer, body.len());
            }
        }
        Err(AskError::Refused(refusal)) => {
            assert!(!refusal.message.is_empty() && is_line(&refusal.message), "{refusal:?}");
            assert!(refusal.data.len() <= 1024 && refusal.data.len() <= body.len(), "{refusal:?}");
        }
        Err(AskError::Unreachable(text) | AskError::RateLimited(text) | AskError::Invalid(text)) => {
            assert!(is_line(&text), "{text:?}");
        }
        Err(AskError::Timeout) => panic!("something came"),
    }
}

/// Whether a text may stand in a log.
fn is_line(text: &str) -> bool {
    text.chars().count() <= 301 && !text.chars().any(char::is_control)
}

/// One question of each kind, by its number.
fn question(number: u8) -> Question {
    let (address, hash) = (Address::repeat_byte(0xc), B256::repeat_byte(0x7));
    let states = |count: usize| Question::States {
        code: Arc::from([0; 4]),
        channels: (0..count).map(|_| address).collect(),
    };
    let logs = |address| Question::Logs(LogFilter { address, topics: vec![vec![hash]], from: 5, to: 300 });
    match number % 22 {
        0 => Question::ChainId,
        1 => Question::Newest,
        2 => Question::Block(0x10),
        3 => states(1),
        4 => states(2),
        5 => states(STATES_AT_ONCE),
        6 => Question::Storage { channel: address, block: 5 },
        7 => logs(None),
        8 => logs(Some(address)),
        9 => Question::Code(address),
        10 => Question::Call { to: address, data: vec![1, 2, 3, 4] },
        11 => {
            let estimate = Estimate { from: address, to: address, data: Vec::new(), value: 0 };
            Question::Estimate(Box::new(estimate))
        }
        12 => Question::Balance(address),
        13 => Question::Nonce(address),
        14 => Question::PendingNonce(address),
        15 => Question::Tip,
        16 => Question::GasPrice,
        17 => Question::Receipt(hash),
        18 => Question::Sender(hash),
        19 => Question::Send(Arc::from([])),
        20 => states(0),
        _ => Question::Block(0),
    }
}

/// What a question asks for, and no more than came.
fn fits(question: &Question, answer: &EndpointAnswer, came: usize) {
    match (question, answer) {
        (
            Question::ChainId | Question::Nonce(_) | Question::PendingNonce(_),
            EndpointAnswer::Number(number),
        ) => {
            assert!(u64::try_from(*number).is_ok(), "{number}");
        }
        (
            Question::Balance(_) | Question::Tip | Question::GasPrice | Question::Estimate(_),
            EndpointAnswer::Number(_),
        )
        | (Question::Receipt(_), EndpointAnswer::Receipt(_))
        | (Question::Sender(_), EndpointAnswer::Sender(_))
        | (Question::Send(_), EndpointAnswer::Sent)
        | (Question::Newest, EndpointAnswer::Block(Some(_)))
        | (Question::Block(_), EndpointAnswer::Block(None)) => {}
        (Question::Block(number), EndpointAnswer::Block(Some(head))) => assert_eq!(head.number, *number),
        (Question::States { channels, .. }, EndpointAnswer::States { states, .. }) => {
            assert_eq!(states.len(), channels.len());
        }
        (Question::Storage { block, .. }, EndpointAnswer::States { block: at, states }) => {
            assert_eq!((at, states.len()), (block, 1));
        }
        (Question::Logs(filter), EndpointAnswer::Logs(logs)) => {
            let size: usize = logs.iter().map(|log| log.data.len() + 32 * log.topics.len()).sum();
            assert!(size <= came, "more than came");
            for log in logs {
                assert!((filter.from..=filter.to).contains(&log.block), "{log:?}");
                assert!(filter.address.is_none_or(|address| address == log.address), "{log:?}");
            }
        }
        (Question::Code(_) | Question::Call { .. }, EndpointAnswer::Bytes(bytes)) => {
            assert!(bytes.len() <= came)
        }
        _ => panic!("{answer:?} to {question:?}"),
    }
}
