//! Random values of everything that goes over the wire.
#![allow(unreachable_pub, reason = "a module of tests")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use thunder_protocol::wire::{
    Answer, Envelope, Final, Hello, Message, OpenAccept, OpenAsk, OpenMessage, OpenPolicy, OpenRefuse,
    OpenRefuseReason, Packet, Proof, Propose, Refuse, RefuseReason, Request, Response, SessionId, Sync,
    Welcome, WireError,
};
use thunder_protocol::{
    Address, AgreedReceipt, Amount, B256, Balances, Memo, Nonce, Payment, PaymentId, Receipt, Role,
    Signature, Signatures,
};

pub fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::A), Just(Role::B)]
}

pub fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::new)
}

fn word() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::new)
}

/// Small ones, large ones, and those at the edges of the encoding.
pub fn amount() -> impl Strategy<Value = Amount> {
    let most = Amount::MAX.base_units();
    let edges = (0u32..=88, 0u128..=1).prop_map(|(bits, less)| (1u128 << bits).saturating_sub(less));
    let units = prop_oneof![0..=1000u128, edges, 0..=most];
    units.prop_map(move |units| Amount::from_base_units(units.min(most)).expect("in range"))
}

pub fn balances() -> impl Strategy<Value = Balances> {
    (amount(), amount()).prop_map(|(a, b)| Balances { a, b })
}

pub fn nonce() -> impl Strategy<Value = Nonce> {
    let last = Nonce::FINAL.get();
    prop_oneof![0..=1000u64, last - 5..=last, 0..=last].prop_map(|value| Nonce::new(value).expect("in range"))
}

fn signature() -> impl Strategy<Value = Signature> {
    vec(any::<u8>(), 65).prop_map(|bytes| Signature::from_bytes(bytes.try_into().expect("65 bytes")))
}

fn payment() -> impl Strategy<Value = Payment> {
    ("[!-~]{1,64}", amount(), "[ -~é☕]{0,64}").prop_map(|(id, amount, memo)| Payment {
        id: PaymentId::new(id).expect("an id"),
        amount,
        memo: Memo::new(memo).expect("a memo"),
    })
}

fn agreed() -> impl Strategy<Value = AgreedReceipt> {
    let signatures = option::of((signature(), signature()).prop_map(|(a, b)| Signatures { a, b }));
    (nonce(), balances(), signatures).prop_map(|(nonce, balances, signatures)| AgreedReceipt {
        receipt: Receipt { nonce, balances },
        signatures,
    })
}

fn propose() -> impl Strategy<Value = Propose> {
    (nonce(), nonce(), balances(), vec(payment(), 0..5), signature()).prop_map(
        |(base_nonce, nonce, balances, payments, signature)| Propose {
            base_nonce,
            nonce,
            balances,
            payments,
            signature,
        },
    )
}

fn finish() -> impl Strategy<Value = Final> {
    (nonce(), balances(), signature()).prop_map(|(base_nonce, balances, signature)| Final {
        base_nonce,
        balances,
        signature,
    })
}

fn refuse() -> impl Strategy<Value = Refuse> {
    let reason = prop_oneof![
        Just(RefuseReason::NotNow),
        Just(RefuseReason::Stale),
        Just(RefuseReason::Crossed),
        Just(RefuseReason::Stopped),
        Just(RefuseReason::Lost),
    ];
    (nonce(), reason, nonce()).prop_map(|(nonce, reason, agreed_nonce)| Refuse {
        nonce,
        reason,
        agreed_nonce,
    })
}

fn sync() -> impl Strategy<Value = Sync> {
    let flags = any::<(bool, bool, bool)>();
    (agreed(), option::of(propose()), option::of(finish()), flags).prop_map(
        |(agreed, proposal, own_final, (closing, lost, wants_reply))| Sync {
            agreed,
            proposal,
            own_final,
            closing,
            lost,
            wants_reply,
        },
    )
}

pub fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        sync().prop_map(|sync| Message::Sync(sync.into())),
        propose().prop_map(Message::Propose),
        (nonce(), signature()).prop_map(|(nonce, signature)| Message::Answer(Answer { nonce, signature })),
        refuse().prop_map(Message::Refuse),
        finish().prop_map(Message::Final),
    ]
}

fn ask() -> impl Strategy<Value = OpenAsk> {
    (word(), amount(), amount(), amount(), any::<u64>(), address(), address(), address()).prop_map(
        |(half_a, amount, share_a, share_b, chain_id, token, factory, part_a)| OpenAsk {
            half_a,
            amount,
            share_a,
            share_b,
            chain_id,
            token,
            factory,
            part_a,
        },
    )
}

fn open_message() -> impl Strategy<Value = OpenMessage> {
    let reason = prop_oneof![
        Just(OpenRefuseReason::OtherChain),
        Just(OpenRefuseReason::OtherToken),
        Just(OpenRefuseReason::OtherFactory),
        Just(OpenRefuseReason::BadTerms),
        Just(OpenRefuseReason::TooMany),
        Just(OpenRefuseReason::ChainUnreachable),
        Just(OpenRefuseReason::AddressUsed),
    ];
    let policy = prop_oneof![
        Just(OpenPolicy::Nobody),
        Just(OpenPolicy::KnownOnly),
        amount().prop_map(OpenPolicy::AtLeast),
    ];
    prop_oneof![
        ask().prop_map(OpenMessage::Ask),
        (word(), word(), address()).prop_map(|(half_a, half_b, part_b)| OpenMessage::Accept(OpenAccept {
            half_a,
            half_b,
            part_b
        })),
        (word(), reason, option::of(policy)).prop_map(|(half_a, reason, policy)| {
            OpenMessage::Refuse(OpenRefuse { half_a, reason, policy })
        }),
    ]
}

pub fn envelope() -> impl Strategy<Value = Envelope> {
    prop_oneof![
        (address(), message()).prop_map(|(channel, message)| Envelope::Channel { channel, message }),
        open_message().prop_map(Envelope::Open),
        address().prop_map(|channel| Envelope::UnknownChannel { channel }),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    (word(), word(), vec(envelope(), 0..4))
        .prop_map(|(first, second, messages)| Packet { session: SessionId::new(first, second), messages })
}

fn proof() -> impl Strategy<Value = Proof> {
    (address(), signature()).prop_map(|(wallet, signature)| Proof { wallet, signature })
}

pub fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (any::<u64>(), word())
            .prop_map(|(chain_id, challenge)| Request::Hello(Hello { chain_id, challenge })),
        proof().prop_map(Request::Prove),
        packet().prop_map(Request::Packet),
    ]
}

pub fn response() -> impl Strategy<Value = Response> {
    let error = prop_oneof![
        Just(WireError::NoWallet),
        any::<u64>().prop_map(WireError::OtherChain),
        Just(WireError::NoChain),
        Just(WireError::NoSession),
        Just(WireError::BadProof),
        Just(WireError::NotReady),
        Just(WireError::TooLarge),
    ];
    prop_oneof![
        (any::<u64>(), word(), proof()).prop_map(|(chain_id, challenge, proof)| Response::Welcome(Welcome {
            chain_id,
            challenge,
            proof
        })),
        Just(Response::Proved),
        packet().prop_map(Response::Packet),
        error.prop_map(Response::Error),
    ]
}
