//! Properties of what is parsed, encoded and counted, on random values.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod values;

use proptest::prelude::*;
use thunder_protocol::codec::{self, MAX_LEN};
use thunder_protocol::wire::{Envelope, Message, Request, Response};
use thunder_protocol::{Amount, Balances, Domain, Nonce, Receipt, Role};

use values::{address, amount, balances, envelope, message, nonce, request, response, role};

/// Both forms decode to what was encoded, whatever comes after it or is missing is noticed.
fn survives<T>(value: &T) -> Result<(), TestCaseError>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let packed = codec::encode(value).unwrap();
    let named = codec::encode_record(value).unwrap();
    for bytes in [&packed, &named] {
        prop_assert_eq!(&codec::decode::<T>(bytes).unwrap(), value);
        prop_assert!(codec::decode::<T>(&[bytes, &[0][..]].concat()).is_err(), "trailing byte");
        prop_assert!(codec::decode::<T>(&bytes[..bytes.len() - 1]).is_err(), "truncated");
    }
    prop_assert_eq!(codec::encode(&codec::decode::<T>(&named).unwrap()).unwrap(), packed, "one form only");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_survives(request in request()) {
        survives::<Request>(&request)?;
    }

    #[test]
    fn every_response_survives(response in response()) {
        survives::<Response>(&response)?;
    }

    #[test]
    fn every_envelope_survives(envelope in envelope()) {
        survives::<Envelope>(&envelope)?;
    }

    #[test]
    fn every_message_survives(message in message()) {
        survives::<Message>(&message)?;
    }

    #[test]
    fn a_changed_byte_never_panics_and_what_is_read_is_written_again(
        message in message(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut bytes = codec::encode(&message).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(other) = codec::decode::<Message>(&bytes) {
            survives(&other)?;
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = codec::decode::<Request>(&bytes);
        let _ = codec::decode::<Response>(&bytes);
    }

    #[test]
    fn nothing_above_the_limit_is_read(extra in 1usize..64) {
        let bytes = vec![0; MAX_LEN + extra];
        prop_assert!(matches!(codec::decode::<u8>(&bytes), Err(codec::CodecError::TooLong(_))));
    }

    #[test]
    fn thd_is_exact_as_text(units in 0..=Amount::MAX.base_units(), zeros in 0usize..30) {
        let amount = Amount::from_base_units(units).unwrap();
        let shown = amount.to_string();
        prop_assert_eq!(shown.parse::<Amount>().unwrap(), amount);
        prop_assert_eq!(format!("{}{shown}", "0".repeat(zeros)).parse::<Amount>().unwrap(), amount);
        // The digits alone are the base units: nothing is rounded anywhere.
        let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
        let digits = format!("{whole}{fraction:0<18}");
        prop_assert_eq!(digits.parse::<u128>().unwrap(), units);
    }

    #[test]
    fn sums_are_exact_or_refused(a in amount(), b in amount()) {
        let sum = a.base_units() + b.base_units();
        prop_assert_eq!(a.checked_add(b), Amount::from_base_units(sum));
        prop_assert_eq!(a.checked_add(b).is_some(), sum <= Amount::MAX.base_units());
        prop_assert_eq!(a.checked_sub(b).is_some(), a >= b);
        if let Some(sum) = a.checked_add(b) {
            prop_assert_eq!(sum.checked_sub(b), Some(a));
        }
    }

    #[test]
    fn paying_keeps_the_sum_and_can_be_paid_back(shares in balances(), payer in role(), price in amount()) {
        match shares.pay(payer, price) {
            Some(paid) => {
                prop_assert!(shares.sum().is_none() || paid.sum() == shares.sum());
                prop_assert_eq!(paid.pay(payer.other(), price), Some(shares));
                prop_assert!(paid.of(payer) <= shares.of(payer), "a proposal concedes");
            }
            None => prop_assert!(
                shares.of(payer) < price || shares.of(payer.other()).checked_add(price).is_none()
            ),
        }
    }

    #[test]
    fn rule_1_the_next_nonce(base in nonce(), proposer in role()) {
        let odd = u64::from(proposer == Role::A);
        let smallest = (base.get() + 1..).find(|next| next % 2 == odd).unwrap();
        let expected = Nonce::new(smallest).filter(|next| *next < Nonce::FINAL);
        prop_assert_eq!(base.next_of(proposer), expected);
        if let (Some(own), Some(theirs)) = (base.next_of(proposer), base.next_of(proposer.other())) {
            prop_assert!(own != theirs, "two receipts with one nonce can't both be honest");
            prop_assert!(theirs.next_of(proposer).is_none_or(|next| next > theirs && next > base));
        }
    }

    #[test]
    fn a_digest_belongs_to_one_receipt_of_one_channel_on_one_chain(
        first in (any::<u64>(), address(), nonce(), balances()),
        second in (any::<u64>(), address(), nonce(), balances()),
    ) {
        let digest = |(chain, channel, nonce, balances): (u64, _, _, Balances)| {
            Domain::new(chain, channel).digest(&Receipt { nonce, balances })
        };
        prop_assert_eq!(digest(first) == digest(second), first == second);
        for changed in [
            (first.0 ^ 1, first.1, first.2, first.3),
            (first.0, second.1, first.2, first.3),
            (first.0, first.1, second.2, first.3),
            (first.0, first.1, first.2, second.3),
        ] {
            prop_assert_eq!(digest(first) == digest(changed), first == changed);
        }
    }
}
