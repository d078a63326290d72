//! JSON-RPC answers, read with bounds (guard rule G5).

use serde::Deserialize;
use serde_json::value::RawValue;
use thunder_protocol::hex;

use crate::error::{AskError, Refusal, bounded};

/// Reads the answer to the request `id` out of an HTTP body or a WebSocket message. `status` is the HTTP
/// status, 200 for a WebSocket.
///
/// # Errors
///
/// An error of the endpoint's, a wish for fewer requests in any of its usual forms, or anything that is
/// not the answer to this request.
pub fn read_response(status: u16, body: &[u8], id: u64) -> Result<Box<RawValue>, AskError> {
    let response = serde_json::from_slice::<Response>(body);
    if status == 429 {
        let text = response.ok().and_then(|response| response.error).map(|error| error.message);
        return Err(AskError::RateLimited(bounded(&text.unwrap_or_else(|| "HTTP status 429".into()))));
    }
    let response = match response {
        Ok(response) => response,
        // A gateway that does not let this request through, or not one as large.
        Err(_) if (400..500).contains(&status) && ![408, 425].contains(&status) => {
            let (code, message) = (i64::from(status), format!("HTTP status {status}"));
            return Err(AskError::Refused(Refusal { code, message, data: Vec::new() }));
        }
        Err(_) if !(200..300).contains(&status) => {
            return Err(AskError::Unreachable(format!("HTTP status {status}")));
        }
        Err(error) => return Err(AskError::invalid(format_args!("no JSON-RPC: {error}"))),
    };
    if let Some(error) = response.error {
        return Err(error.into_error());
    }
    if response.id != Some(id) {
        return Err(AskError::invalid("an answer to another question"));
    }
    response.result.ok_or_else(|| AskError::invalid("neither a result nor an error"))
}

/// The request that a JSON-RPC message answers, if it says so.
pub fn response_id(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Response>(body).ok()?.id
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    id: Option<u64>,
    /// `null` is a result; a missing one is none.
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<ErrorObject>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct ErrorObject {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<serde_json::Value>,
}

/// Codes that endpoints use when they want fewer requests: HTTP's, and that of EIP-1474 ("limit
/// exceeded"), which some also use for answers that are too large.
const LIMIT_CODES: [i64; 3] = [429, -32005, -32029];
const RATE_WORDS: [&str; 9] = [
    "too many requests",
    "rate limit",
    "rate-limit",
    "ratelimit",
    "request limit",
    "requests per",
    "compute units",
    "slow down",
    "quota",
];
const SIZE_WORDS: [&str; 5] = ["result", "range", "response size", "logs", "block"];

impl ErrorObject {
    fn into_error(self) -> AskError {
        let message = bounded(&self.message);
        let text = self.message.to_lowercase();
        let says_rate = RATE_WORDS.iter().any(|words| text.contains(words));
        let says_size = SIZE_WORDS.iter().any(|words| text.contains(words));
        if says_rate || (LIMIT_CODES.contains(&self.code) && !says_size) {
            return AskError::RateLimited(message);
        }
        AskError::Refused(Refusal {
            code: self.code,
            message: if message.is_empty() { format!("error {}", self.code) } else { message },
            data: self.data.as_ref().and_then(revert_data).unwrap_or_default(),
        })
    }
}

/// The longest revert data that is kept: more than any error of the contracts'.
const MAX_REVERT: usize = 1024;

/// The data of a revert, which endpoints put into `data` itself or one level below it.
fn revert_data(data: &serde_json::Value) -> Option<Vec<u8>> {
    let text = match data {
        serde_json::Value::String(text) => text.as_str(),
        serde_json::Value::Object(fields) => fields.get("data")?.as_str()?,
        _ => return None,
    };
    // Some write "Reverted 0x…".
    let digits = &text[text.find("0x")? + 2..];
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    hex::decode(digits.get(..end.min(2 * MAX_REVERT))?).ok()
}

/// Reads a quantity of EIP-1474 ("0x" and hexadecimal digits) that fits into 128 bits.
pub(crate) fn quantity(text: &str) -> Result<u128, AskError> {
    let odd = || AskError::invalid(format_args!("{text:?} is no number that fits"));
    let digits = text.strip_prefix("0x").filter(|digits| !digits.is_empty()).ok_or_else(odd)?;
    if digits.starts_with('+') {
        return Err(odd());
    }
    u128::from_str_radix(digits, 16).map_err(|_| odd())
}

/// The same for 64 bits.
pub(crate) fn quantity64(text: &str) -> Result<u64, AskError> {
    let number = quantity(text)?;
    u64::try_from(number).map_err(|_| AskError::invalid(format_args!("{text:?} is no number that fits")))
}

/// Reads bytes ("0x" and an even number of hexadecimal digits).
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, AskError> {
    let odd = || AskError::invalid("no hexadecimal bytes");
    hex::decode(text.strip_prefix("0x").ok_or_else(odd)?).map_err(|_| odd())
}

/// Reads exactly so many bytes.
pub(crate) fn fixed<const N: usize>(text: &str) -> Result<[u8; N], AskError> {
    let bytes = bytes(text)?;
    bytes.try_into().map_err(|_| AskError::invalid(format_args!("not {N} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<String, AskError> {
        read_response(status, body.as_bytes(), 7).map(|raw| raw.get().to_owned())
    }

    #[test]
    fn g5_null_is_a_result_and_a_missing_one_is_none() {
        assert_eq!(read(200, r#"{"id":7,"result":null}"#).unwrap(), "null");
        assert!(matches!(read(200, r#"{"id":7}"#), Err(AskError::Invalid(_))));
        assert!(matches!(read(200, r#"{"message":"hello"}"#), Err(AskError::Invalid(_))));
        assert!(matches!(read(200, r#"{"id":8,"result":1}"#), Err(AskError::Invalid(_))), "another's");
    }

    #[test]
    fn g3_a_wish_for_fewer_requests_is_understood_in_its_usual_forms() {
        for (status, body) in [
            (429, r#"{"message":"slow down"}"#),
            (429, r#"{"id":7,"result":null}"#),
            (429, "<html>"),
            (200, r#"{"id":7,"error":{"code":-32005,"message":"limit exceeded"}}"#),
            (200, r#"{"id":7,"error":{"code":429,"message":""}}"#),
            (200, r#"{"id":null,"error":{"code":-32000,"message":"Too Many Requests"}}"#),
            (200, r#"{"id":7,"error":{"code":-32603,"message":"daily request quota is used up"}}"#),
        ] {
            assert!(matches!(read(status, body), Err(AskError::RateLimited(_))), "{status} {body}");
        }
        let too_large =
            r#"{"id":7,"error":{"code":-32005,"message":"query returned more than 10000 results"}}"#;
        assert!(matches!(read(200, too_large), Err(AskError::Refused(_))));
    }

    #[test]
    fn g2_what_a_gateway_does_not_let_through_is_refused_and_one_that_fails_is_out_of_reach() {
        for status in [401, 403, 404, 405, 413, 431] {
            assert!(matches!(read(status, "<html>"), Err(AskError::Refused(_))), "{status}");
        }
        for status in [408, 500, 502, 503, 504, 301] {
            assert!(matches!(read(status, "<html>"), Err(AskError::Unreachable(_))), "{status}");
        }
    }

    #[test]
    fn a_revert_brings_its_data_where_endpoints_put_it() {
        for data in [r#""0x08c379a0""#, r#"{"data":"0x08c379a0"}"#, r#""Reverted 0x08c379a0""#] {
            let body =
                format!(r#"{{"id":7,"error":{{"code":3,"message":"execution reverted","data":{data}}}}}"#);
            let Err(AskError::Refused(refusal)) = read(200, &body) else { panic!("{body}") };
            assert_eq!(refusal.data, [0x08, 0xc3, 0x79, 0xa0]);
        }
    }

    #[test]
    fn g5_numbers_have_bounds() {
        assert_eq!(quantity("0x10").unwrap(), 16);
        assert_eq!(quantity64("0xffffffffffffffff").unwrap(), u64::MAX);
        for bad in ["", "0x", "10", "0x-1", "0x+1", "0x1g", "0x1 ", "1e3"] {
            assert!(quantity(bad).is_err(), "{bad:?}");
        }
        assert!(quantity64("0x10000000000000000").is_err());
        assert!(quantity(&format!("0x{}", "f".repeat(64))).is_err());
        assert!(fixed::<4>("0x0102030").is_err() && fixed::<4>("0x01020304").is_ok());
    }
}
