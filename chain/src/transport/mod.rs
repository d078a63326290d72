//! JSON-RPC over HTTP(S) and WebSocket.
//!
//! ethers' own transports bring an outdated TLS stack, so the requests go over current `reqwest` and
//! `tokio-tungstenite` instead. Every request has a time limit and every answer a size limit; an endpoint
//! that is gone is an ordinary error, and the next request tries again.

mod http;
mod url;
mod ws;

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use thunder_guard::{AskError, Question};

pub use url::{InvalidRpcUrl, RpcUrl, RpcUrls};

/// How long an answer may take where the caller sets no limit.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);
/// The largest answer that is read where the question sets no limit.
const MAX_ANSWER: usize = 16 << 20;

/// A connection to a chain's JSON-RPC endpoint; made on first use and made again when it breaks.
#[derive(Debug)]
pub(crate) enum Transport {
    Http(http::Http),
    WebSocket(ws::WebSocket),
}

impl Transport {
    /// A client for an endpoint. Nothing is connected yet.
    pub(crate) fn new(url: &RpcUrl) -> Result<Self, AskError> {
        Ok(match url.scheme() {
            "ws" | "wss" => Self::WebSocket(ws::WebSocket::new(url.clone())),
            _ => Self::Http(http::Http::new(url)?),
        })
    }

    /// Asks one of the guard's questions. Returns the `result` of the answer, as JSON.
    pub(crate) async fn ask(&self, question: &Question, limit: Duration) -> Result<String, AskError> {
        self.request(question.method(), &question.params(), question.max_bytes(), limit).await
    }

    /// Calls a method by name. Returns the `result` of the answer, as JSON.
    pub(crate) async fn call(&self, method: &str, params: &Value) -> Result<String, AskError> {
        self.request(method, params, MAX_ANSWER, TIMEOUT).await
    }

    async fn request(
        &self,
        method: &str,
        params: &Value,
        max_bytes: usize,
        limit: Duration,
    ) -> Result<String, AskError> {
        match self {
            Self::Http(http) => tokio::time::timeout(limit, http.request(method, params, max_bytes))
                .await
                .unwrap_or(Err(AskError::Timeout)),
            Self::WebSocket(ws) => ws.request(method, params, max_bytes, limit).await,
        }
    }
}

/// A JSON-RPC 2.0 request.
#[derive(Serialize)]
struct JsonRpcRequest<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a Value,
}

impl<'a> JsonRpcRequest<'a> {
    const fn new(id: u64, method: &'a str, params: &'a Value) -> Self {
        Self { jsonrpc: "2.0", id, method, params }
    }
}
