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
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{JsonRpcRequest, RpcUrl};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How many requests may wait to be written.
const MAX_QUEUED: usize = 1024;
/// The largest message that is read: no answer to any question may be larger.
const MAX_MESSAGE: usize = 4 << 20;

/// The whole response message, undecoded.
type ResponseResult = Result<Vec<u8>, AskError>;

#[derive(Debug)]
pub(crate) struct WebSocket {
    url: RpcUrl,
    next_id: AtomicU64,
    /// The open connection; `None` or closed before the first request and after a failure.
    connection: Arc<Mutex<Option<Connection>>>,
}

/// A handle to the task that owns the socket.
#[derive(Debug, Clone)]
struct Connection {
    queue: mpsc::Sender<QueuedRequest>,
    /// How many requests were answered over it.
    answered: Arc<AtomicU64>,
}

#[derive(Debug)]
struct QueuedRequest {
    id: u64,
    text: String,
    reply: oneshot::Sender<ResponseResult>,
}

impl WebSocket {
    pub(super) fn new(url: RpcUrl) -> Self {
        Self { url, next_id: AtomicU64::new(1), connection: Arc::default() }
    }

    /// Returns the `result` of the answer, as JSON, or [`AskError::Timeout`] after `limit`.
    pub(super) async fn request(
        &self,
        method: &str,
        params: &Value,
        max_bytes: usize,
        limit: Duration,
    ) -> Result<String, AskError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let text = serde_json::to_string(&JsonRpcRequest::new(id, method, params))
            .map_err(|error| AskError::Invalid(error.to_string()))?;
        let deadline = Instant::now() + limit;
        let connection = timeout_at(deadline, self.connection()).await.unwrap_or(Err(AskError::Timeout))?;
        let answered_before = connection.answered.load(Ordering::Relaxed);
        let Ok(body) = timeout_at(deadline, connection.request(id, text)).await else {
            self.drop_silent(&connection, answered_before).await;
            return Err(AskError::Timeout);
        };
        let body = body?;
        if body.len() > max_bytes {
            return Err(AskError::Invalid("the answer is too large".into()));
        }
        read_response(200, &body, id).map(|result| result.get().to_owned())
    }

    /// A connection over which nothing was answered for so long may hang for ever: the next request makes another.
    /// One question that is not answered costs the others nothing.
    async fn drop_silent(&self, silent: &Connection, answered_before: u64) {
        if silent.answered.load(Ordering::Relaxed) == answered_before {
            let mut connection = self.connection.lock().await;
            connection.take_if(|open| open.queue.same_channel(&silent.queue));
        }
    }

    /// The connection, made if there is none. A handshake may take longer than an answer: it goes on in a task of its own
    /// if the question is given up meanwhile, and its end is the connection or `None`.
    async fn connection(&self) -> Result<Connection, AskError> {
        let mut connection = Arc::clone(&self.connection).lock_owned().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.queue.is_closed()) {
            return Ok(open.clone());
        }
        let url = self.url.clone();
        let connecting = tokio::spawn(async move {
            let made = connect(&url).await;
            *connection = made.clone().ok();
            made
        });
        connecting.await.unwrap_or_else(|error| Err(AskError::Unreachable(error.to_string())))
    }
}

async fn connect(url: &RpcUrl) -> Result<Connection, AskError> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let connecting = connect_async_with_config(url.url().as_str(), Some(config), true);
    let (stream, _) = timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| AskError::Timeout)?
        .map_err(|error| AskError::Unreachable(error.to_string()))?;
    let (queue, requests) = mpsc::channel(MAX_QUEUED);
    let answered = Arc::<AtomicU64>::default();
    tokio::spawn(serve(stream, requests, Arc::clone(&answered)));
    Ok(Connection { queue, answered })
}

impl Connection {
    async fn request(&self, id: u64, text: String) -> ResponseResult {
        let gone = || AskError::Unreachable("the connection was lost".into());
        let (reply, answer) = oneshot::channel();
        self.queue.send(QueuedRequest { id, text, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Writes requests and hands out answers until the connection or its last user is gone. What is
/// then unanswered learns so, because its `reply` is dropped.
async fn serve(
    mut stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mut queue: mpsc::Receiver<QueuedRequest>,
    answered: Arc<AtomicU64>,
) {
    let mut waiting: HashMap<u64, oneshot::Sender<ResponseResult>> = HashMap::new();
    loop {
        tokio::select! {
            pending = queue.recv() => {
                let Some(QueuedRequest { id, text, reply }) = pending else { return };
                waiting.retain(|_, reply| !reply.is_closed());
                // An endpoint that does not read is as good as gone.
                if !matches!(timeout(SEND_TIMEOUT, stream.send(Message::text(text))).await, Ok(Ok(()))) {
                    return;
                }
                waiting.insert(id, reply);
            }
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => deliver(text.as_bytes(), &mut waiting, &answered),
                Some(Ok(Message::Binary(bytes))) => deliver(&bytes, &mut waiting, &answered),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
}

/// Hands an answer to whoever waits for it. What answers nothing is dropped: the question that it may
/// have been meant for has a time limit.
fn deliver(bytes: &[u8], waiting: &mut HashMap<u64, oneshot::Sender<ResponseResult>>, answered: &AtomicU64) {
    if let Some(reply) = response_id(bytes).and_then(|id| waiting.remove(&id)) {
        answered.fetch_add(1, Ordering::Relaxed);
        let _ = reply.send(Ok(bytes.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;

    /// A server that answers every method but `silent`.
    struct Server {
        url: RpcUrl,
        /// How many connections there were.
        connections: Arc<AtomicU64>,
        /// Whether handshakes are completed.
        opens: watch::Sender<bool>,
        /// Grows when the connections of before begin to hang.
        hangs: watch::Sender<u64>,
    }

    impl Server {
        async fn start(opens: bool) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
            let ((opens, may_open), (hangs, hung)) = (watch::channel(opens), watch::channel(0));
            let connections = Arc::<AtomicU64>::default();
            let counted = Arc::clone(&connections);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(answer(stream, may_open.clone(), hung.clone()));
                }
            });
            Self { url, connections, opens, hangs }
        }

        fn connections(&self) -> u64 {
            self.connections.load(Ordering::Relaxed)
        }
    }

    async fn answer(stream: TcpStream, mut may_open: watch::Receiver<bool>, hung: watch::Receiver<u64>) {
        may_open.wait_for(|opens| *opens).await.unwrap();
        let hung_before = *hung.borrow();
        let mut stream = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(Message::Text(text))) = stream.next().await {
            let question: Value = serde_json::from_str(&text).unwrap();
            if question["method"] != "silent" && *hung.borrow() == hung_before {
                let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": "0x1" });
                stream.send(Message::text(answer.to_string())).await.unwrap();
            }
        }
    }

    async fn ask(ws: &WebSocket, method: &str) -> Result<String, AskError> {
        ws.request(method, &json!([]), 1_000, Duration::from_millis(300)).await
    }

    #[tokio::test]
    async fn g3_one_question_that_is_never_answered_costs_the_others_nothing() {
        let server = Server::start(true).await;
        let ws = WebSocket::new(server.url.clone());
        for _ in 0..4 {
            let silent = ask(&ws, "silent");
            tokio::pin!(silent);
            let result = loop {
                tokio::select! {
                    result = &mut silent => break result,
                    answer = ask(&ws, "eth_chainId") => drop(answer.unwrap()),
                }
            };
            assert!(matches!(result, Err(AskError::Timeout)), "{result:?}");
        }
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn g3_a_connection_that_takes_longer_than_an_answer_may_is_made_all_the_same() {
        let server = Server::start(false).await;
        let ws = WebSocket::new(server.url.clone());
        assert!(matches!(ask(&ws, "eth_chainId").await, Err(AskError::Timeout)));
        server.opens.send(true).unwrap();
        while ask(&ws, "eth_chainId").await.is_err() {}
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn g3_a_connection_that_hangs_is_made_anew() {
        let server = Server::start(true).await;
        let ws = WebSocket::new(server.url.clone());
        ask(&ws, "eth_chainId").await.unwrap();
        server.hangs.send(1).unwrap();
        assert!(matches!(ask(&ws, "eth_chainId").await, Err(AskError::Timeout)));
        ask(&ws, "eth_chainId").await.unwrap();
        assert_eq!(server.connections(), 2);
    }
}
