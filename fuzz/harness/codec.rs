//! Any bytes into every decoder that takes bytes from a peer or from the disk.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thunder_protocol::channel::{Channel, Terms};
use thunder_protocol::codec::{self, CodecError, MAX_LEN};
use thunder_protocol::onchain::{Call, ChainView};
use thunder_protocol::wire::{Envelope, Message, OpenMessage, Request, Response};
use thunder_protocol::{AgreedReceipt, Payment};

/// What decodes, encodes again, in both forms; and that decodes to the same.
pub fn codec(bytes: &[u8]) {
    round_trip::<Request>(bytes);
    round_trip::<Response>(bytes);
    round_trip::<Envelope>(bytes);
    round_trip::<Message>(bytes);
    round_trip::<OpenMessage>(bytes);
    round_trip::<AgreedReceipt>(bytes);
    round_trip::<Payment>(bytes);
    round_trip::<Terms>(bytes);
    round_trip::<ChainView>(bytes);
    round_trip::<Call>(bytes);
    record(bytes);
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = codec::decode::<T>(bytes) else { return };
    for encoded in [codec::encode(&value), codec::encode_record(&value)] {
        let Ok(mut encoded) = encoded else {
            // Packed becomes longer with its names; nothing small does that.
            assert!(bytes.len() > MAX_LEN / 16, "what was decoded can't be encoded");
            continue;
        };
        assert_eq!(codec::decode::<T>(&encoded).expect("an own encoding"), value);
        let cut = encoded.split_last().map_or(&[][..], |(_, cut)| cut);
        assert!(codec::decode::<T>(cut).is_err(), "the last byte counts");
        encoded.push(0);
        assert!(codec::decode::<T>(&encoded).is_err(), "nothing may follow");
    }
}

fn record(bytes: &[u8]) {
    let decode = |bytes: &[u8]| Channel::decode::<CodecError>(bytes, |_| Ok(Vec::new()));
    let Ok(channel) = decode(bytes) else { return };
    let Ok(encoded) = channel.encode() else { panic!("a record that was read can't be written") };
    let again = decode(&encoded).and_then(|channel| channel.encode()).expect("an own record");
    assert_eq!(again, encoded, "a record changes by being read");
}
