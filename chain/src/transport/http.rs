//! JSON-RPC over HTTP(S): one POST for each request.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use thunder_guard::{AskError, read_response};
use url::Url;

use super::{JsonRpcRequest, RpcUrl, TIMEOUT};

/// How often an idle connection is probed.
const KEEPALIVE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    url: Url,
    next_id: AtomicU64,
}

impl Http {
    pub(super) fn new(url: &RpcUrl) -> Result<Self, AskError> {
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
            .map_err(|error| AskError::Unreachable(innermost(&error)))?;
        Ok(Self { client, url: url.url().clone(), next_id: AtomicU64::new(1) })
    }

    pub(super) async fn request(
        &self,
        method: &str,
        params: &Value,
        max_bytes: usize,
    ) -> Result<String, AskError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = JsonRpcRequest::new(id, method, params);
        let sent = self.client.post(self.url.clone()).json(&request).send().await;
        let mut response = sent.map_err(|error| {
            if error.is_timeout() { AskError::Timeout } else { AskError::Unreachable(innermost(&error)) }
        })?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| AskError::Unreachable(innermost(&error)))?
        {
            if body.len() + chunk.len() > max_bytes {
                return Err(AskError::Invalid("the answer is too large".into()));
            }
            body.extend_from_slice(&chunk);
        }
        read_response(status.as_u16(), &body, id).map(|result| result.get().to_owned())
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
