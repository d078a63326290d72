//! JSON-RPC over WebSocket: one connection, many requests in flight.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use url::Url;

use super::{Answer, Call, MAX_ANSWER, RpcError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many requests may wait to be written.
const MAX_QUEUED: usize = 1024;

type Reply = Result<Box<RawValue>, RpcError>;

#[derive(Debug)]
pub(super) struct WebSocket {
    url: Url,
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
    pub(super) fn new(url: Url) -> Self {
        Self { url, next_id: AtomicU64::new(1), connection: Arc::default() }
    }

    pub(super) async fn request(&self, method: &str, params: &RawValue) -> Reply {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let text = serde_json::to_string(&Call::new(id, method, params))?;
        let (reply, answer) = oneshot::channel();
        let gone = || RpcError::Unreachable("the connection was lost".into());
        self.connection().await?.send(Pending { id, text, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// The connection is not used any more.
    pub(super) async fn drop_connection(&self) {
        self.connection.lock().await.take();
    }

    /// The connection, made if there is none.
    async fn connection(&self) -> Result<mpsc::Sender<Pending>, RpcError> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_ANSWER)).max_frame_size(Some(MAX_ANSWER));
        let connecting = connect_async_with_config(self.url.as_str(), Some(config), true);
        let (stream, _) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| RpcError::Timeout)?
            .map_err(|error| RpcError::Unreachable(error.to_string()))?;
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
                Some(Ok(Message::Text(text))) => answer(text.as_bytes(), &mut waiting),
                Some(Ok(Message::Binary(bytes))) => answer(&bytes, &mut waiting),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
}

fn answer(bytes: &[u8], waiting: &mut HashMap<u64, oneshot::Sender<Reply>>) {
    let Ok(answer) = serde_json::from_slice::<Answer>(bytes) else {
        tracing::warn!("the RPC entry point sent something that is not JSON-RPC");
        return;
    };
    if let Some(reply) = answer.id.and_then(|id| waiting.remove(&id)) {
        // Whoever asked may have given up; then nobody wants the answer.
        let _ = reply.send(answer.into_result());
    }
}
