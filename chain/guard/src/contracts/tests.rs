//! What is written out by hand, held against the compiled contracts of `contracts/artifacts`.

use std::sync::Arc;

use ethers_core::abi::{Abi, Event, Token, encode};
use ethers_core::types::U256;
use serde_json::Value;
use thunder_protocol::onchain::{ClosePlan, EndKind, Evidence};
use thunder_protocol::{Receipt, Signature, hex};

use super::calls::{self, Permit};
use super::*;
use crate::question::Question;

const CHANNELS: [&str; 2] = [
    include_str!("../../../../contracts/artifacts/ChannelTemplate.json"),
    include_str!("../../../../contracts/artifacts/PaymentChannel.json"),
];
const FACTORY: &str = include_str!("../../../../contracts/artifacts/ChannelFactory.json");
const THD: &str = include_str!("../../../../contracts/artifacts/THD.json");
const STATES: &str = include_str!("../../../../contracts/artifacts/ChannelStates.json");

fn artifact(text: &str) -> (Abi, Value) {
    let mut artifact: Value = serde_json::from_str(text).unwrap();
    (serde_json::from_value(artifact["abi"].take()).unwrap(), artifact)
}

fn abi(text: &str) -> Abi {
    artifact(text).0
}

/// The calldata of a function with these arguments, in the order of its parameters' names.
fn encoded(abi: &Abi, function: &str, arguments: &[(&str, Token)]) -> Vec<u8> {
    let function = abi.function(function).unwrap();
    let parameters: Vec<_> = function.inputs.iter().map(|input| input.name.as_str()).collect();
    let names: Vec<_> = arguments.iter().map(|(name, _)| *name).collect();
    assert_eq!(parameters, names, "{}", function.name);
    let tokens: Vec<_> = arguments.iter().map(|(_, token)| token.clone()).collect();
    function.encode_input(&tokens).unwrap()
}

fn thd(base_units: u128) -> Amount {
    Amount::from_base_units(base_units).unwrap()
}

fn uint(number: u128) -> Token {
    Token::Uint(number.into())
}

const PART_B: Address = Address::repeat_byte(0xb);
const SALT: B256 = B256::repeat_byte(0x5a);
const PERMIT: Permit = Permit { v: 28, r: B256::repeat_byte(0x72), s: B256::repeat_byte(0x73) };

/// The arguments that a permit is.
fn permit(deadline: &str) -> [(&str, Token); 4] {
    [
        (deadline, Token::Uint(U256::MAX)),
        ("v", uint(28)),
        ("r", Token::FixedBytes(vec![0x72; 32])),
        ("s", Token::FixedBytes(vec![0x73; 32])),
    ]
}

fn signature() -> Signature {
    let mut bytes = [9; 65];
    bytes[64] = 27;
    Signature::from_bytes(bytes)
}

fn balances() -> Balances {
    Balances { a: thd(3), b: thd(1 << 80) }
}

fn evidence(is_signed: bool) -> Evidence {
    Evidence {
        receipt: Receipt { nonce: Nonce::new(1 << 39).unwrap(), balances: balances() },
        signature: is_signed.then(signature),
    }
}

/// The arguments that a receipt is.
fn receipt(nonce: u64, signature: Option<Signature>) -> [(&'static str, Token); 4] {
    [
        ("_nonce", uint(nonce.into())),
        ("_balanceA", uint(3)),
        ("_balanceB", uint(1 << 80)),
        ("_signature", Token::Bytes(signature.map(|it| it.as_bytes().to_vec()).unwrap_or_default())),
    ]
}

#[test]
fn the_factorys_calldata_is_that_of_its_abi() {
    let abi = abi(FACTORY);
    let opening = [
        ("amount", uint(10)),
        ("partB", Token::Address(to_ethers(PART_B))),
        ("deposit", uint(0)),
        ("salt", Token::FixedBytes(SALT.to_vec())),
    ];
    assert_eq!(calls::open(thd(10), PART_B, thd(0), SALT, None), encoded(&abi, "open", &opening));
    let [amount, part_b, _, salt] = opening;
    let deposit = ("deposit", uint(1 << 87));
    let with_permit = [&[amount, part_b, deposit, salt][..], &permit("deadline")].concat();
    assert_eq!(
        calls::open(thd(10), PART_B, thd(1 << 87), SALT, Some(PERMIT)),
        encoded(&abi, "openWithPermit", &with_permit)
    );
    assert_eq!(calls::token(), encoded(&abi, "token", &[]));
}

#[test]
fn a_channels_calldata_is_that_of_its_abi() {
    for abi in CHANNELS.map(abi) {
        let fund = [&[("_value", uint(7))][..], &permit("_deadline")].concat();
        assert_eq!(calls::fund(thd(7), PERMIT), encoded(&abi, "fundWithPermit", &fund));
        assert_eq!(calls::cancel(), encoded(&abi, "cancel", &[]));
        assert_eq!(calls::withdraw(), encoded(&abi, "withdraw", &[]));
        assert_eq!(calls::total(), encoded(&abi, "amount", &[]));
        for signature in [None, Some(signature())] {
            let (given, named) = (evidence(signature.is_some()), receipt(1 << 39, signature));
            assert_eq!(calls::challenge(&given), encoded(&abi, "challenge", &named));
            let plan = ClosePlan::Receipt(given);
            assert_eq!(calls::close(&plan), encoded(&abi, "closing", &named));
        }
    }
}

#[test]
fn the_calldata_of_the_other_closings_is_that_of_the_abi() {
    for abi in CHANNELS.map(abi) {
        let proposed = Balances { a: thd(5), b: thd(6) };
        let plan = ClosePlan::Proposal { base: evidence(true), proposed, nonce: Nonce::new(9).unwrap() };
        let proposal = [("_proposedA", uint(5)), ("_proposedB", uint(6))];
        let named = [&receipt(1 << 39, Some(signature()))[..], &proposal].concat();
        assert_eq!(calls::close(&plan), encoded(&abi, "closingProposal", &named));
        let plan = ClosePlan::Final { base_nonce: Nonce::ZERO, balances: balances(), signature: signature() };
        // FINAL is the highest nonce of 40 bits.
        let named = receipt((1 << 40) - 1, Some(signature()));
        assert_eq!(calls::close(&plan), encoded(&abi, "closing", &named));
    }
}

#[test]
fn thds_calldata_is_that_of_its_abi() {
    let abi = abi(THD);
    let of = |name| [(name, Token::Address(to_ethers(PART_B)))];
    assert_eq!(calls::permit_nonce(PART_B), encoded(&abi, "nonces", &of("owner")));
    assert_eq!(calls::balance_of(PART_B), encoded(&abi, "balanceOf", &of("account")));
}

#[test]
fn what_is_asked_of_contracts_is_answered_with_one_word() {
    let answers = |abi: &Abi, function: &str| {
        let outputs = &abi.function(function).unwrap().outputs;
        outputs.iter().map(|output| output.kind.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(answers(&abi(FACTORY), "token"), ["address"]);
    assert_eq!(answers(&abi(THD), "nonces"), ["uint256"]);
    assert_eq!(answers(&abi(THD), "balanceOf"), ["uint256"]);
    for abi in CHANNELS.map(abi) {
        assert_eq!(answers(&abi, "amount"), ["uint256"]);
    }
}

#[test]
fn the_question_for_states_is_the_creation_code_with_its_argument() {
    let (abi, artifact) = artifact(STATES);
    let code = hex::decode(artifact["bytecode"].as_str().unwrap()).unwrap();
    for count in [0, 1, 3] {
        let channels: Vec<_> = (0..count).map(Address::repeat_byte).collect();
        let tokens = channels.iter().map(|channel| Token::Address(to_ethers(*channel))).collect();
        let constructor = abi.constructor.as_ref().unwrap();
        let expected = constructor.encode_input(code.clone(), &[Token::Array(tokens)]).unwrap();
        let question = Question::States { code: code.as_slice().into(), channels: Arc::from(channels) };
        assert_eq!(question.params()[0]["data"], hex::encode_prefixed(expected), "{count} channels");
    }
}

/// An event as a contract emits it; its parameters that are not indexed have these values, by name.
fn emitted(event: &Event, values: &[(&str, Token)]) -> Log {
    let indexed = event.inputs.iter().filter(|input| input.indexed).map(|input| input.name.as_str());
    assert_eq!(indexed.collect::<Vec<_>>(), ["partA", "partB"], "as the hints look for them");
    let data = event.inputs.iter().filter(|input| !input.indexed);
    let names: Vec<_> = data.map(|input| input.name.as_str()).collect();
    assert_eq!(names, values.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let tokens: Vec<_> = values.iter().map(|(_, token)| token.clone()).collect();
    Log {
        address: Address::repeat_byte(0xc),
        topics: vec![B256::new(event.signature().0), PART_B.into_word(), PART_B.into_word()],
        data: encode(&tokens),
        block: 8,
        tx: B256::repeat_byte(4),
    }
}

#[test]
fn the_event_of_a_closing_is_read_as_the_abi_has_it() {
    for abi in CHANNELS.map(abi) {
        let event = abi.event("Closing").unwrap();
        assert_eq!(closing_topic().0, event.signature().0);
        for by_proposal in [false, true] {
            let values = [
                ("closer", Token::Address(to_ethers(PART_B))),
                ("nonce", uint(12)),
                ("balanceA", uint(3)),
                ("balanceB", uint(1 << 80)),
                ("baseNonce", uint(11)),
                ("byProposal", Token::Bool(by_proposal)),
            ];
            let base_nonce = Nonce::new(11).unwrap();
            let expected = ChannelEvent::Closing {
                closer: PART_B,
                nonce: Nonce::new(12).unwrap(),
                balances: balances(),
                event: ClosingEvent { base_nonce, by_proposal, tx: B256::repeat_byte(4) },
            };
            assert_eq!(read_event(&emitted(event, &values)), Some(expected));
        }
    }
}

#[test]
fn the_events_of_endings_are_those_of_the_abi() {
    let kinds = [
        ("Cancelled", EndKind::Cancelled),
        ("Withdrawn", EndKind::Withdrawn),
        ("Challenged", EndKind::Challenged),
        ("Finalised", EndKind::Final),
    ];
    for abi in CHANNELS.map(abi) {
        let mut topics = vec![B256::new(abi.event("Closing").unwrap().signature().0)];
        for (name, kind) in kinds {
            let topic = B256::new(abi.event(name).unwrap().signature().0);
            topics.push(topic);
            let log = Log {
                address: PART_B,
                topics: vec![topic],
                data: Vec::new(),
                block: 8,
                tx: B256::repeat_byte(4),
            };
            assert_eq!(read_event(&log), Some(ChannelEvent::End(kind)));
        }
        assert_eq!(ending_topics(), topics);
        // Every event of a channel's life but the payments into it.
        let others = ["Funded", "EIP712DomainChanged"];
        let named = abi.events().filter(|event| !others.contains(&event.name.as_str()));
        assert_eq!(named.count(), topics.len());
    }
}
