//! JSON-RPC over WebSocket: one connection, many requests in flight.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use thunder_guard::{AskError, read_response, response_id};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{Request, RpcUrl};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many requests may wait to be written.
const MAX_QUEUED: usize = 1024;
/// The largest message that is read: no answer to any question may be larger.
const MAX_MESSAGE: usize = 4 << 20;

type Reply = Result<Vec<u8>, AskError>;

#[derive(Debug)]
pub(crate) struct WebSocket {
    url: RpcUrl,
    next_id: AtomicU64,
    /// The way to the task that holds the connection; `None` or closed when there is none.
    connection: Arc<Mutex<Option<mpsc::Sender<Pending>>>>,
}

#[derive(Debug)]
struct Pending {
    id: u64,
    text: String,
    reply: oneshot::Sender<Reply>,
}

impl WebSocket {
    pub(super) fn new(url: RpcUrl) -> Self {
        Self { url, next_id: AtomicU64::new(1), connection: Arc::default() }
    }

    pub(super) async fn request(
        &self,
        method: &str,
        params: &Value,
        max_bytes: usize,
    ) -> Result<String, AskError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let text = serde_json::to_string(&Request::new(id, method, params))
            .map_err(|error| AskError::Invalid(error.to_string()))?;
        let (reply, answer) = oneshot::channel();
        let gone = || AskError::Unreachable("the connection was lost".into());
        self.connection().await?.send(Pending { id, text, reply }).await.map_err(|_| gone())?;
        let body = answer.await.map_err(|_| gone())??;
        if body.len() > max_bytes {
            return Err(AskError::Invalid("the answer is too large".into()));
        }
        read_response(200, &body, id).map(|result| result.get().to_owned())
    }

    /// The connection is not used any more.
    pub(super) async fn drop_connection(&self) {
        self.connection.lock().await.take();
    }

    /// The connection, made if there is none.
    async fn connection(&self) -> Result<mpsc::Sender<Pending>, AskError> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let connecting = connect_async_with_config(self.url.url().as_str(), Some(config), true);
        let (stream, _) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| AskError::Timeout)?
            .map_err(|error| AskError::Unreachable(error.to_string()))?;
        let (sender, queue) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(serve(stream, queue));
        Ok(connection.insert(sender).clone())
    }
}

/// Writes requests and hands out answers until the connection or its last user is gone. What is
/// then unanswered learns so, because its `reply` is dropped.
async fn serve(mut stream: WebSocketStream<MaybeTlsStream<TcpStream>>, mut queue: mpsc::Receiver<Pending>) {
    let mut waiting: HashMap<u64, oneshot::Sender<Reply>> = HashMap::new();
    loop {
        tokio::select! {
            pending = queue.recv() => {
                let Some(Pending { id, text, reply }) = pending else { return };
                waiting.retain(|_, reply| !reply.is_closed());
                if stream.send(Message::text(text)).await.is_err() {
                    return;
                }
                waiting.insert(id, reply);
            }
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => deliver(text.as_bytes(), &mut waiting),
                Some(Ok(Message::Binary(bytes))) => deliver(&bytes, &mut waiting),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
}

/// Hands an answer to whoever waits for it. What answers nothing is dropped: the question that it may
/// have been meant for has a time limit.
fn deliver(bytes: &[u8], waiting: &mut HashMap<u64, oneshot::Sender<Reply>>) {
    if let Some(reply) = response_id(bytes).and_then(|id| waiting.remove(&id)) {
        let _ = reply.send(Ok(bytes.to_vec()));
    }
}
