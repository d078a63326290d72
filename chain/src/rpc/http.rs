//! JSON-RPC over HTTP(S).

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use url::Url;

use super::{Answer, Call, MAX_ANSWER, RpcError, TIMEOUT};

/// How often an idle connection is probed.
const KEEPALIVE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    url: Url,
    next_id: AtomicU64,
}

impl Http {
    pub(super) fn new(url: Url) -> Result<Self, RpcError> {
        let mut client = reqwest::Client::builder();
        // Without TLS nobody's certificate is looked at, and a system that has no list of authorities will do.
        if url.scheme() == "http" {
            client = client.tls_certs_only([]);
        }
        let client = client
            .connect_timeout(Duration::from_secs(5))
            .timeout(TIMEOUT)
            // A connection whose other end is gone without a word is found out and made anew.
            .tcp_keepalive(KEEPALIVE)
            .no_proxy()
            .build()
            .map_err(|error| RpcError::Unreachable(innermost(&error)))?;
        Ok(Self { client, url, next_id: AtomicU64::new(1) })
    }

    pub(super) async fn request(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        let call = Call::new(self.next_id.fetch_add(1, Ordering::Relaxed), method, params);
        let sent = self.client.post(self.url.clone()).json(&call).send().await;
        let mut response = sent.map_err(|error| {
            if error.is_timeout() { RpcError::Timeout } else { RpcError::Unreachable(innermost(&error)) }
        })?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| RpcError::Unreachable(innermost(&error)))?
        {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(RpcError::Malformed("the answer is too large".into()));
            }
            body.extend_from_slice(&chunk);
        }
        match serde_json::from_slice::<Answer>(&body) {
            Ok(answer) => answer.into_result(),
            Err(_) if !status.is_success() => Err(RpcError::Unreachable(format!("HTTP status {status}"))),
            Err(error) => Err(RpcError::Malformed(error.to_string())),
        }
    }
}

/// The cause at the bottom ("connection refused"), which says more than the chain above it, and
/// without the URL, which may hold a key.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
