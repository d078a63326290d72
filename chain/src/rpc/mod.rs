//! JSON-RPC over HTTP(S) and WebSocket, for ethers' `Provider`.
//!
//! ethers' own transports bring an outdated TLS stack, so the requests go over current `reqwest` and
//! `tokio-tungstenite` instead. Every request has a time limit; an endpoint that is gone is an
//! ordinary error, and the next request tries again.

mod http;
mod ws;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use ethers::providers::{JsonRpcClient, JsonRpcError, ProviderError, RpcError as EthersRpcError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use url::Url;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The largest answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The endpoint can't be reached.
    #[error("can't reach the RPC entry point: {0}")]
    Unreachable(String),
    /// The answer took too long.
    #[error("the RPC entry point did not answer in {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The endpoint answers with an error.
    #[error("the RPC entry point answers: {0}")]
    Refused(JsonRpcError),
    /// The answer is not JSON-RPC.
    #[error("the RPC entry point does not speak JSON-RPC: {0}")]
    Malformed(String),
    /// The request or the answer is not what its type says.
    #[error("unexpected JSON-RPC answer: {0}")]
    Json(#[from] serde_json::Error),
}

impl RpcError {
    /// Whether the endpoint may give a smaller answer.
    pub(crate) const fn may_be_too_much(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Malformed(_) | Self::Timeout)
    }
}

impl EthersRpcError for RpcError {
    fn as_error_response(&self) -> Option<&JsonRpcError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Unreachable(_) | Self::Timeout | Self::Malformed(_) | Self::Json(_) => None,
        }
    }

    fn as_serde_error(&self) -> Option<&serde_json::Error> {
        match self {
            Self::Json(error) => Some(error),
            Self::Unreachable(_) | Self::Timeout | Self::Refused(_) | Self::Malformed(_) => None,
        }
    }
}

impl From<RpcError> for ProviderError {
    fn from(error: RpcError) -> Self {
        Self::JsonRpcClientError(Box::new(error))
    }
}

/// Where a chain is available: `IP:port`, `host:port`, or an `http(s)://` or `ws(s)://` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUrl(Url);

/// Why a text is no RPC entry point.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no RPC entry point: {reason}; write IP:port or an http(s):// or ws(s):// URL")]
pub struct InvalidRpcUrl {
    text: String,
    reason: String,
}

impl FromStr for RpcUrl {
    type Err = InvalidRpcUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason: String| InvalidRpcUrl { text: text.into(), reason };
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&full).map_err(|error| invalid(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
            return Err(invalid(format!("unknown scheme {}", url.scheme())));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("no host".into()));
        }
        Ok(Self(url))
    }
}

/// Without credentials and without the path and query, where providers put their keys.
impl fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.0.scheme())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        let hidden = self.0.path().len() > 1 || self.0.query().is_some();
        if hidden { f.write_str("/…") } else { Ok(()) }
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A connection to a chain's JSON-RPC endpoint; made on first use and made again when it breaks.
#[derive(Debug)]
pub struct Rpc {
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Http(http::Http),
    WebSocket(ws::WebSocket),
}

impl Rpc {
    /// A client for an endpoint. Nothing is connected yet.
    pub fn new(url: &RpcUrl) -> Result<Self, RpcError> {
        let transport = match url.0.scheme() {
            "ws" | "wss" => Transport::WebSocket(ws::WebSocket::new(url.0.clone())),
            _ => Transport::Http(http::Http::new(url.0.clone())?),
        };
        Ok(Self { transport })
    }
}

#[async_trait]
impl JsonRpcClient for Rpc {
    type Error = RpcError;

    async fn request<T, R>(&self, method: &str, params: T) -> Result<R, RpcError>
    where
        T: fmt::Debug + Serialize + Send + Sync,
        R: DeserializeOwned + Send,
    {
        // ethers passes `()` for "no parameters", which would be `null`; JSON-RPC wants a list.
        let mut params = serde_json::value::to_raw_value(&params)?;
        if params.get() == "null" {
            params = RawValue::from_string("[]".into())?;
        }
        let answer = match &self.transport {
            Transport::Http(http) => tokio::time::timeout(TIMEOUT, http.request(method, &params)).await,
            Transport::WebSocket(ws) => {
                let answer = tokio::time::timeout(TIMEOUT, ws.request(method, &params)).await;
                if answer.is_err() {
                    // It may hang for ever; the next request makes another.
                    ws.drop_connection().await;
                }
                answer
            }
        };
        let answer = answer.map_err(|_| RpcError::Timeout)??;
        Ok(serde_json::from_str(answer.get())?)
    }
}

/// A JSON-RPC 2.0 request.
#[derive(Serialize)]
struct Call<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a RawValue,
}

impl<'a> Call<'a> {
    const fn new(id: u64, method: &'a str, params: &'a RawValue) -> Self {
        Self { jsonrpc: "2.0", id, method, params }
    }
}

/// A JSON-RPC 2.0 answer.
#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<JsonRpcError>,
}

impl Answer {
    fn into_result(self) -> Result<Box<RawValue>, RpcError> {
        match (self.result, self.error) {
            (_, Some(error)) => Err(RpcError::Refused(error)),
            (Some(result), None) => Ok(result),
            // `"result": null` is an answer too, and reads as no result.
            (None, None) => Ok(RawValue::from_string("null".into())?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_points_are_read_as_people_write_them() {
        let shown = |text: &str| text.parse::<RpcUrl>().unwrap().to_string();
        assert_eq!(shown("localhost:8545"), "http://localhost:8545");
        assert_eq!(shown("127.0.0.1:8545"), "http://127.0.0.1:8545");
        assert_eq!(shown("[::1]:8545"), "http://[::1]:8545");
        assert_eq!(shown("ws://localhost:8545"), "ws://localhost:8545");
        assert_eq!(
            shown("https://user:pass@node.example/v3/key?x=1"),
            "https://node.example/…",
            "no secrets"
        );
        for bad in ["", "ftp://x", "http://", "localhost:99999", "a b"] {
            assert!(bad.parse::<RpcUrl>().is_err(), "{bad:?}");
        }
    }
}
