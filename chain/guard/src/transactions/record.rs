//! A call that became a transaction, as it is kept on disk.

use serde::{Deserialize, Serialize};
use thunder_protocol::onchain::CallKind;
use thunder_protocol::{Address, B256};

use super::fees::Fees;

/// A call that was signed and may be anywhere. The disk has it before it is broadcast (rule 4 of the
/// protocol, guard rule G4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCall {
    /// The channel.
    pub channel: Address,
    /// Which call.
    pub kind: CallKind,
    /// The contract called.
    pub to: Address,
    /// The calldata.
    #[serde(with = "bytes")]
    pub data: Vec<u8>,
    /// The gas limit.
    pub gas: u64,
    /// The account nonce of the newest attempt.
    pub nonce: u64,
    /// The signed transactions, newest last.
    pub attempts: Vec<Attempt>,
    /// The newest block when the last one was made.
    pub sent_at: u64,
    /// The block that one of them was mined in, as far as is known.
    pub mined_at: Option<u64>,
    /// The block since which the account nonce is used and none of them is seen mined.
    #[serde(default)]
    pub nonce_used_at: Option<u64>,
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its hash.
    pub hash: B256,
    /// Its bytes.
    #[serde(with = "bytes")]
    pub raw: Vec<u8>,
    /// Its fees.
    pub fees: Fees,
    /// Its account nonce; in records of the first release that of the whole record.
    #[serde(default)]
    pub nonce: Option<u64>,
}

impl SignedCall {
    /// The account nonce of one of its attempts.
    pub fn nonce_of(&self, attempt: &Attempt) -> u64 {
        attempt.nonce.unwrap_or(self.nonce)
    }

    /// The account nonce of the attempt with this hash.
    pub fn nonce_with(&self, hash: &B256) -> Option<u64> {
        let attempt = self.attempts.iter().find(|attempt| attempt.hash == *hash)?;
        Some(self.nonce_of(attempt))
    }

    /// The newest attempt.
    pub fn newest(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The highest account nonce that it was ever signed with.
    pub fn highest_nonce(&self) -> u64 {
        self.attempts.iter().map(|attempt| self.nonce_of(attempt)).max().unwrap_or(self.nonce).max(self.nonce)
    }
}

/// Bytes as such; in the JSON of earlier releases as hex digits.
mod bytes {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};
    use thunder_protocol::hex;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
                hex::decode(text).map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Bytes)
        } else {
            deserializer.deserialize_bytes(Bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use thunder_protocol::codec::{decode, encode_record};

    use super::super::fees::URGENT_CAP;
    use super::*;

    fn of_the_first_release() -> SignedCall {
        let json = format!(
            r#"{{"channel":"0x{a}","kind":"Challenge","to":"0x{a}","data":"0102","gas":7,"nonce":5,
                "attempts":[{{"hash":"0x{h}","raw":"03","fees":{{"max_fee":9,"tip":1}}}}],
                "sent_at":3,"mined_at":null}}"#,
            a = "11".repeat(20),
            h = "22".repeat(32)
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_record_of_the_first_release_is_read() {
        let sent = of_the_first_release();
        assert_eq!((sent.data.as_slice(), sent.attempts[0].raw.as_slice()), (&[1, 2][..], &[3][..]));
        assert_eq!(sent.nonce_of(&sent.attempts[0]), 5);
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let first = of_the_first_release();
        for kind in CallKind::ALL {
            let fees = Fees { max_fee: URGENT_CAP, tip: None };
            let newest =
                Attempt { hash: B256::repeat_byte(3), raw: (0..=255).collect(), fees, nonce: Some(u64::MAX) };
            let attempts = vec![first.attempts[0].clone(), newest];
            let (mined_at, nonce_used_at) = (Some(u64::MAX), Some(0));
            let sent = SignedCall { kind, attempts, mined_at, nonce_used_at, ..first.clone() };
            let record = encode_record(&sent).unwrap();
            assert_eq!(decode::<SignedCall>(&record).unwrap(), sent);
            let field = [b"\x64kind".as_slice(), &encode_record(&kind.as_str()).unwrap()].concat();
            let is_there = record.windows(field.len()).any(|part| part == field);
            assert!(is_there, "the record has another name than the key: {kind:?}");
            assert_eq!(CallKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(CallKind::parse("open"), None);
    }
}
