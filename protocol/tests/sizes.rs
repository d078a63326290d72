//! How large messages get, measured; and that `docs/protocol.md` says the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use thunder_protocol::codec::{self, MAX_LEN};
use thunder_protocol::wire::{
    Answer, Envelope, Final, Hello, MAX_MESSAGES, MAX_PAYMENT_TEXT, MAX_PAYMENTS, Message, OpenAccept,
    OpenAsk, OpenMessage, OpenPolicy, OpenRefuse, OpenRefuseReason, Packet, PacketBuilder, Proof, Propose,
    Refuse, RefuseReason, Request, Response, SessionId, Sync, Welcome, WireError,
};
use thunder_protocol::{
    Address, AgreedReceipt, Amount, B256, Balances, Memo, Nonce, Payment, PaymentId, Receipt, Signature,
    Signatures,
};

const WORD: B256 = B256::repeat_byte(0xff);
const ADDRESS: Address = Address::repeat_byte(0xff);
const SIGNATURE: Signature = Signature::from_bytes([0xff; 65]);
const NONCE: Nonce = Nonce::FINAL;
const BALANCES: Balances = Balances { a: Amount::MAX, b: Amount::MAX };
const PROOF: Proof = Proof { wallet: ADDRESS, signature: SIGNATURE };

/// Payments that take as many bytes as `count` can: an id and a memo long enough for a longer head.
fn payments(count: usize) -> Vec<Payment> {
    let memo = Memo::new("m".repeat(24)).unwrap();
    let id = |number| PaymentId::new(format!("{number:040}")).unwrap();
    (0..count).map(|number| Payment { id: id(number), amount: Amount::MAX, memo: memo.clone() }).collect()
}

fn propose(payments: Vec<Payment>) -> Propose {
    Propose { base_nonce: NONCE, nonce: NONCE, balances: BALANCES, payments, signature: SIGNATURE }
}

fn finish() -> Final {
    Final { base_nonce: NONCE, balances: BALANCES, signature: SIGNATURE }
}

fn sync(proposal: Option<Propose>) -> Message {
    let receipt = Receipt { nonce: NONCE, balances: BALANCES };
    let agreed = AgreedReceipt::signed(receipt, Signatures { a: SIGNATURE, b: SIGNATURE });
    let own_final = Some(finish());
    Message::Sync(Sync { agreed, proposal, own_final, closing: true, lost: true, wants_reply: true }.into())
}

fn refuse() -> Message {
    Message::Refuse(Refuse { nonce: NONCE, reason: RefuseReason::Lost, agreed_nonce: NONCE })
}

fn ask() -> OpenMessage {
    let (amount, share_a, share_b) = (Amount::MAX, Amount::MAX, Amount::MAX);
    let (half_a, chain_id) = (WORD, u64::MAX);
    OpenMessage::Ask(OpenAsk {
        half_a,
        amount,
        share_a,
        share_b,
        chain_id,
        token: ADDRESS,
        factory: ADDRESS,
        part_a: ADDRESS,
    })
}

fn channel(message: Message) -> usize {
    codec::encode(&Envelope::Channel { channel: ADDRESS, message }).unwrap().len()
}

fn open(message: OpenMessage) -> usize {
    codec::encode(&Envelope::Open(message)).unwrap().len()
}

fn request(request: &Request) -> usize {
    codec::encode(request).unwrap().len()
}

fn response(response: &Response) -> usize {
    codec::encode(response).unwrap().len()
}

/// The largest encoding of each, an envelope's with the envelope.
fn measured() -> Vec<(&'static str, usize)> {
    let session = SessionId::new(WORD, WORD);
    let full = || propose(payments(MAX_PAYMENTS));
    let accept = OpenMessage::Accept(OpenAccept { half_a: WORD, half_b: WORD, part_b: ADDRESS });
    let no = OpenMessage::Refuse(OpenRefuse {
        half_a: WORD,
        reason: OpenRefuseReason::AddressUsed,
        policy: Some(OpenPolicy::AtLeast(Amount::MAX)),
    });
    vec![
        ("`Hello`", request(&Request::Hello(Hello { chain_id: u64::MAX, challenge: WORD }))),
        (
            "`Welcome`",
            response(&Response::Welcome(Welcome { chain_id: u64::MAX, challenge: WORD, proof: PROOF })),
        ),
        ("`Prove`", request(&Request::Prove(PROOF))),
        ("`Proved`", response(&Response::Proved)),
        ("`Error`", response(&Response::Error(WireError::OtherChain(u64::MAX)))),
        ("`Packet`, empty", request(&Request::Packet(Packet { session, messages: Vec::new() }))),
        ("`UnknownChannel`", codec::encode(&Envelope::UnknownChannel { channel: ADDRESS }).unwrap().len()),
        ("`Ask`", open(ask())),
        ("`Accept`", open(accept)),
        ("`Refuse` (opening)", open(no)),
        ("`Sync`, no proposal", channel(sync(None))),
        ("`Sync`, fullest proposal", channel(sync(Some(full())))),
        ("`Propose`, one payment", channel(Message::Propose(propose(payments(1))))),
        ("`Propose`, fullest", channel(Message::Propose(full()))),
        ("`Answer`", channel(Message::Answer(Answer { nonce: NONCE, signature: SIGNATURE }))),
        ("`Refuse`", channel(refuse())),
        ("`Final`", channel(Message::Final(finish()))),
    ]
}

#[test]
fn the_document_says_how_large_messages_get() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
    let document = std::fs::read_to_string(path).unwrap();
    for (name, size) in measured() {
        let row = format!("| {name} | {size} |");
        assert!(document.contains(&row), "docs/protocol.md lacks: {row}");
    }
}

#[test]
fn the_fullest_payments_are_as_long_as_payments_may_be() {
    let payments = payments(MAX_PAYMENTS);
    let text: usize =
        payments.iter().map(|payment| payment.id.as_str().len() + payment.memo.as_str().len()).sum();
    assert_eq!(text, MAX_PAYMENT_TEXT);
}

#[test]
fn every_single_message_is_below_the_limit() {
    for (name, size) in measured() {
        assert!(size < MAX_LEN / 2, "{name} has {size} bytes");
    }
}

#[test]
fn what_a_batch_takes_fits_into_a_packet() {
    let fullest =
        || Envelope::Channel { channel: ADDRESS, message: sync(Some(propose(payments(MAX_PAYMENTS)))) };
    let mut batch = PacketBuilder::default();
    let taken = (0..).take_while(|_| batch.push(fullest()).is_ok()).count();
    assert!(taken > 1);
    let packet = |messages| Request::Packet(Packet { session: SessionId::new(WORD, WORD), messages });
    let mut messages = batch.into_messages();
    assert_eq!(messages.len(), taken);
    assert!(codec::encode(&packet(messages.clone())).unwrap().len() <= MAX_LEN);
    messages.resize(4, fullest());
    assert!(codec::encode(&packet(messages)).is_err(), "four channels' fullest proposals don't fit");

    let mut batch = PacketBuilder::default();
    let small = || Envelope::Channel { channel: ADDRESS, message: sync(None) };
    assert_eq!((0..).take_while(|_| batch.push(small()).is_ok()).count(), MAX_MESSAGES);
    assert!(codec::encode(&packet(batch.into_messages())).unwrap().len() <= MAX_LEN);
}

#[test]
fn a_message_is_no_larger_than_its_bound() {
    for message in
        [sync(None), sync(Some(propose(payments(MAX_PAYMENTS)))), refuse(), Message::Final(finish())]
    {
        let envelope = Envelope::Channel { channel: ADDRESS, message };
        assert!(codec::encode(&envelope).unwrap().len() <= envelope.size_bound());
    }
    for length in [1, 23, 24, 255, 256] {
        let memo = Memo::new("m".repeat(length)).unwrap();
        let id = PaymentId::new("i".repeat(length.min(64))).unwrap();
        let payment = Payment { id, amount: Amount::MAX, memo };
        let message = Message::Propose(propose(vec![payment; 100]));
        let envelope = Envelope::Channel { channel: ADDRESS, message };
        assert!(codec::encode(&envelope).unwrap().len() <= envelope.size_bound());
    }
    let envelope = Envelope::Open(ask());
    assert!(codec::encode(&envelope).unwrap().len() <= envelope.size_bound());
}
