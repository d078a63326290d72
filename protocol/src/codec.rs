//! CBOR (RFC 8949) with a hard size limit: the only place that encodes and decodes with `serde_cbor`.
//!
//! Wire messages are packed (fields by number), records on disk keep their field names. Every
//! encoding is one item; trailing bytes are refused.
//!
//! ```
//! use thunder_protocol::codec::{MAX_LEN, decode, encode};
//! use thunder_protocol::wire::{Request, Response};
//!
//! let bytes = encode(&Response::Proved)?;
//! assert_eq!(decode::<Response>(&bytes)?, Response::Proved);
//! assert!(decode::<Request>(&bytes).is_err(), "that is something else");
//! assert!(decode::<Response>(&vec![0; MAX_LEN + 1]).is_err(), "too long, whatever it is");
//! # Ok::<(), thunder_protocol::codec::CodecError>(())
//! ```

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The largest wire message and the largest record, in bytes.
pub const MAX_LEN: usize = 1 << 20;

/// How much memory a decoded message takes at most, as a multiple of its bytes. The densest one has payments of 8 bytes
/// each, which take 64, and 32 for the heap block of the id.
pub const EXPANSION: usize = 12;

/// Why bytes are not a message, or a value can't be one.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Larger than [`MAX_LEN`].
    #[error("message of {0} bytes, above the limit of {MAX_LEN}")]
    TooLong(usize),
    /// Not CBOR, or not of this type, or with bytes left over.
    #[error("malformed CBOR: {0}")]
    Malformed(#[from] serde_cbor::Error),
}

/// Encodes a wire message.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    within_limit(serde_cbor::ser::to_vec_packed(value)?)
}

/// Encodes a record for the disk, with field names, so that a later version can read it.
pub fn encode_record(value: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    within_limit(serde_cbor::to_vec(value)?)
}

/// Decodes either form.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_LEN {
        return Err(CodecError::TooLong(bytes.len()));
    }
    Ok(serde_cbor::from_slice(bytes)?)
}

/// For `deserialize_with`: reads a list of at most `MOST` items, whatever length it claims, into no more memory than it
/// needs.
pub(crate) fn at_most<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct AtMost<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for AtMost<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST} items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = list.next_element()? {
                if items.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                if items.len() == items.capacity() {
                    // A quarter more: a list that ends soon after wastes little.
                    items.reserve_exact((items.len() / 4).max(4));
                }
                items.push(item);
            }
            items.shrink_to_fit();
            Ok(items)
        }
    }

    deserializer.deserialize_seq(AtMost::<T, MOST>(PhantomData))
}

fn within_limit(bytes: Vec<u8>) -> Result<Vec<u8>, CodecError> {
    if bytes.len() > MAX_LEN { Err(CodecError::TooLong(bytes.len())) } else { Ok(bytes) }
}
