//! Bytes that no honest node sends. Nothing panics, a claimed length is never believed, and memory
//! stays within a small multiple of the message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use thunder_protocol::codec::{self, MAX_LEN};
use thunder_protocol::wire::{
    Envelope, MAX_MESSAGES, MAX_PAYMENTS, Message, Packet, Propose, Refuse, RefuseReason, Request, Response,
    SessionId,
};
use thunder_protocol::{Address, Amount, Balances, Memo, Nonce, Payment, PaymentId, Signature, hex};

fn refused(bytes: &[u8]) {
    assert!(codec::decode::<Request>(bytes).is_err(), "{bytes:02x?}");
    assert!(codec::decode::<Response>(bytes).is_err(), "{bytes:02x?}");
    assert!(codec::decode::<Message>(bytes).is_err(), "{bytes:02x?}");
    assert!(codec::decode::<Vec<Payment>>(bytes).is_err(), "{bytes:02x?}");
}

fn refuse() -> Message {
    Message::Refuse(Refuse { nonce: Nonce::ZERO, reason: RefuseReason::Stale, agreed_nonce: Nonce::ZERO })
}

#[test]
fn deep_nesting_is_refused() {
    // Arrays, maps, tags, and the same without a length, as deep as a message can be.
    for opening in ["81", "a100", "c0", "9f", "bf00", "d9d9f7", "8180"] {
        let opening = hex::decode(opening).unwrap();
        refused(&opening.repeat(MAX_LEN / opening.len()));
    }
    // Also below a field that nobody knows, which is skipped and not read.
    let unknown = [hex::decode("a16378787a").unwrap(), vec![0x81; MAX_LEN / 2]].concat();
    refused(&unknown);
}

#[test]
fn a_claimed_length_is_not_believed() {
    // Byte strings, texts, arrays and maps of 2^31, 2^63 and 2^64 - 1 that end at once.
    for kind in [0x40u8, 0x60, 0x80, 0xa0] {
        for length in ["1a80000000", "1b8000000000000000", "1bffffffffffffffff", "1b7fffffffffffffff"] {
            let mut bytes = hex::decode(length).unwrap();
            bytes[0] |= kind;
            refused(&bytes);
            refused(&[&bytes[..], &[0; 64]].concat());
        }
    }
}

#[test]
fn strings_without_a_length_have_to_be_whole() {
    for text in ["5f", "7f", "5f41", "7f61", "5f5f", "7f7f", "5f6161ff", "7f4161ff", "ff", "5fffff"] {
        refused(&hex::decode(text).unwrap());
    }
    // In pieces it is the same amount, or none.
    let pieces = hex::decode("5f41014102ff").unwrap();
    assert!(codec::decode::<Amount>(&pieces).is_ok_and(|amount| amount.base_units() == 0x0102));
    assert!(codec::decode::<Amount>(&[&[0x5f][..], &[0x41, 1].repeat(12), &[0xff]].concat()).is_err());
}

#[test]
fn a_field_that_comes_twice_is_refused() {
    let once = codec::encode_record(&refuse()).unwrap();
    assert_eq!(codec::decode::<Message>(&once).unwrap(), refuse());
    // {"Refuse": {"nonce": 0, "reason": "Stale", "agreed_nonce": 0}}, with a nonce more.
    let inner = once.iter().position(|byte| *byte == 0xa3).unwrap();
    let nonce = hex::decode("656e6f6e636500").unwrap();
    let twice = [&once[..inner], &[0xa4], &nonce, &once[inner + 1..]].concat();
    assert!(codec::decode::<Message>(&twice).unwrap_err().to_string().contains("duplicate"));
}

#[test]
fn an_unknown_field_is_skipped() {
    let packed = codec::encode(&refuse()).unwrap();
    let inner = packed.iter().position(|byte| *byte == 0xa3).unwrap();
    // Field 9: a list of whatever.
    let field = hex::decode("0983f5617820").unwrap();
    let longer = [&packed[..inner], &[0xa4], &packed[inner + 1..], &field].concat();
    assert_eq!(codec::decode::<Message>(&longer).unwrap(), refuse());
}

#[test]
fn nothing_may_follow_and_nothing_be_missing() {
    let bytes = codec::encode(&refuse()).unwrap();
    assert!(codec::decode::<Message>(&bytes).is_ok());
    for end in 0..bytes.len() {
        assert!(codec::decode::<Message>(&bytes[..end]).is_err(), "cut at {end}");
    }
    for more in [vec![0], vec![0xff], vec![0xf6], bytes.clone()] {
        assert!(codec::decode::<Message>(&[&bytes[..], &more].concat()).is_err());
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let encode = |number: u64| codec::encode(&number).unwrap();
    assert_eq!(codec::decode::<Nonce>(&encode(Nonce::FINAL.get())).unwrap(), Nonce::FINAL);
    for number in [Nonce::FINAL.get() + 1, u64::MAX] {
        assert!(codec::decode::<Nonce>(&encode(number)).is_err());
    }
    for text in ["20", "3bffffffffffffffff", "f90000", "fb0000000000000000", "c2410a", "6130"] {
        assert!(codec::decode::<Nonce>(&hex::decode(text).unwrap()).is_err(), "{text}");
    }
}

/// The largest messages that decode, made of as many of the smallest items as fit.
#[test]
fn memory_stays_within_a_small_multiple_of_the_message() {
    let smallest = codec::encode(&smallest_payment()).unwrap();
    let count = (MAX_LEN - 16) / smallest.len();
    let mut bytes = vec![0x9a];
    bytes.extend_from_slice(&u32::try_from(count).unwrap().to_be_bytes());
    bytes.extend(smallest.repeat(count));
    let before = peak_kib();
    assert_eq!(codec::decode::<Vec<Payment>>(&bytes).unwrap().len(), count);
    // As many empty things as fit where messages are expected.
    for filler in [0x80u8, 0xa0, 0xf6, 0x00, 0x40] {
        let mut bytes = codec::encode(&packet()).unwrap();
        assert_eq!(bytes.pop(), Some(0x80), "the empty list is the last");
        bytes.extend([0x9a, 0, 0x0f, 0, 0]);
        bytes.extend(vec![filler; 0x0f_0000]);
        assert!(codec::decode::<Packet>(&bytes).is_err());
    }
    if let (Some(before), Some(after)) = (before, peak_kib()) {
        assert!(after - before < 64 << 10, "{} KiB for a message of 1 MiB", after - before);
    }
}

/// Lists of a packet and of a proposal, with a length (`0x9a…`) and without.
fn list(items: &[u8], count: usize, has_length: bool) -> Vec<u8> {
    let length = u32::try_from(count).unwrap().to_be_bytes();
    match has_length {
        true => [&[0x9a][..], &length, &items.repeat(count)].concat(),
        false => [&[0x9f][..], &items.repeat(count), &[0xff]].concat(),
    }
}

/// What is encoded with an empty list at its end or before its last field, with another list instead.
fn with_list(bytes: &[u8], list: &[u8]) -> Vec<u8> {
    let place = bytes.iter().rposition(|byte| *byte == 0x80).unwrap();
    [&bytes[..place], list, &bytes[place + 1..]].concat()
}

#[test]
fn a_list_has_no_more_items_than_a_message_may_have() {
    let payment = codec::encode(&smallest_payment()).unwrap();
    let unknown = codec::encode(&Envelope::UnknownChannel { channel: Address::ZERO }).unwrap();
    for has_length in [true, false] {
        for (count, is_taken) in [(MAX_PAYMENTS, true), (MAX_PAYMENTS + 1, false)] {
            let propose = with_list(&codec::encode(&propose()).unwrap(), &list(&payment, count, has_length));
            let decoded = codec::decode::<Propose>(&propose);
            assert_eq!(decoded.is_ok(), is_taken, "{count}: {decoded:?}");
        }
        for (count, is_taken) in [(MAX_MESSAGES, true), (MAX_MESSAGES + 1, false)] {
            let packet = with_list(&codec::encode(&packet()).unwrap(), &list(&unknown, count, has_length));
            assert_eq!(codec::decode::<Packet>(&packet).is_ok(), is_taken, "{count}");
        }
    }
}

/// The densest packets: as many as fit of the smallest payments, in proposals that are full, or just too long for the
/// room that a list without a length takes first, and of the smallest messages. While it is decoded, which happens to one
/// message at a time, it may take twice as much.
#[test]
fn a_decoded_message_takes_no_more_than_the_documented_multiple_of_its_size() {
    let payment = codec::encode(&smallest_payment()).unwrap();
    let mut dense = vec![codec::encode(&Envelope::UnknownChannel { channel: Address::ZERO }).unwrap()];
    for (count, has_length) in
        [(MAX_PAYMENTS, true), (MAX_PAYMENTS, false), (65, false), (5, false), (2049, false)]
    {
        let propose = with_list(&codec::encode(&propose()).unwrap(), &list(&payment, count, has_length));
        let envelope =
            Envelope::Channel { channel: Address::ZERO, message: Message::Propose(self::propose()) };
        let bytes = codec::encode(&envelope).unwrap();
        let inner = codec::encode(&self::propose()).unwrap();
        let place = bytes.windows(inner.len()).position(|window| window == inner).unwrap();
        dense.push([&bytes[..place], &propose, &bytes[place + inner.len()..]].concat());
    }
    for (number, envelope) in dense.iter().enumerate() {
        for size in [4 << 10, MAX_LEN] {
            let count = ((size - 64) / envelope.len()).clamp(1, MAX_MESSAGES);
            let bytes = with_list(&codec::encode(&packet()).unwrap(), &list(envelope, count, true));
            let mut decoded = None;
            let used = allocation_counter::measure(|| decoded = Some(codec::decode::<Packet>(&bytes)));
            assert_eq!(decoded.unwrap().unwrap().messages.len(), count);
            // A heap gives no block of less than 32 bytes.
            let kept = used.bytes_current + 31 * used.count_current;
            let taken = used.bytes_max + 31 * used.count_max;
            let allowed = i64::try_from(codec::EXPANSION * bytes.len()).unwrap();
            assert!(kept <= allowed, "{number}: {kept} for {}", bytes.len());
            assert!(taken <= 2 * allowed.unsigned_abs(), "{number}: {taken} for {}", bytes.len());
        }
    }
}

fn smallest_payment() -> Payment {
    Payment { id: PaymentId::new("x").unwrap(), amount: Amount::ZERO, memo: Memo::default() }
}

fn packet() -> Packet {
    Packet { session: SessionId::new(Default::default(), Default::default()), messages: Vec::new() }
}

fn propose() -> Propose {
    Propose {
        base_nonce: Nonce::ZERO,
        nonce: Nonce::ZERO,
        balances: Balances { a: Amount::ZERO, b: Amount::ZERO },
        payments: Vec::new(),
        signature: Signature::from_bytes([1; 65]),
    }
}

/// The most memory that this process has had, where the system tells.
fn peak_kib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
