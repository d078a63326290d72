//! The HTTP server of `--metrics`: `/metrics`, `/health` and `/ready`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::daemon::{self, Health};

/// How many connections are served at a time; others wait.
const MAX_CONNECTIONS: usize = 16;
/// How long the header of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long all of a connection may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the daemon's loop may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often samples that nobody has read are summed up.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How long the server waits when the system has no more sockets.
const PAUSE: Duration = Duration::from_millis(100);

/// Sums up samples, so that they take no room while nobody scrapes.
pub(crate) async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        handle.run_upkeep();
    }
}

/// Serves until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    handle: PrometheusHandle,
    requests: mpsc::Sender<daemon::UserRequest>,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (handle, requests) = (handle.clone(), requests.clone());
                tokio::task::spawn_local(async move {
                    let _ =
                        tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream, handle, requests)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "can't take a connection for metrics");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    handle: PrometheusHandle,
    requests: mpsc::Sender<daemon::UserRequest>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (handle, requests) = (handle.clone(), requests.clone());
        async move { Ok::<_, Infallible>(answer(&request, &handle, &requests).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection for metrics ended early");
    }
}

/// Whether the request names this server by an IP address or as `localhost`. By any other name it may come from a web
/// page whose own name leads here (DNS rebinding), and would let that page read the answer.
fn is_meant_for_us<T>(request: &Request<T>) -> bool {
    let is_ours = |authority: &Authority| {
        let host = authority.host();
        let ip = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.eq_ignore_ascii_case("localhost") || ip.parse::<IpAddr>().is_ok()
    };
    let mut named = request.headers().get_all(HOST).iter();
    request.uri().authority().is_none_or(is_ours)
        && named.all(|host| Authority::try_from(host.as_bytes()).is_ok_and(|host| is_ours(&host)))
}

async fn answer(
    request: &Request<Incoming>,
    handle: &PrometheusHandle,
    requests: &mpsc::Sender<daemon::UserRequest>,
) -> Response<Full<Bytes>> {
    let (method, path) = (request.method(), request.uri().path());
    if !is_meant_for_us(request) {
        let line = "ask by an IP address or as localhost: any other name is refused, so that no web page can read this\n";
        return text(StatusCode::MISDIRECTED_REQUEST, line.into());
    }
    if ![Method::GET, Method::HEAD].contains(method) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
    }
    if !["/metrics", "/health", "/ready"].contains(&path) {
        return text(StatusCode::NOT_FOUND, "there are /metrics, /health and /ready\n".into());
    }
    let Some(Health { illness, missing }) = measure(requests).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the node does not answer\n".into());
    };
    match (path, illness) {
        ("/metrics", _) => text(StatusCode::OK, handle.render()),
        ("/health", Some(illness)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{illness}\n")),
        ("/ready", _) if !missing.is_empty() => {
            text(StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
        }
        _ => text(StatusCode::OK, "ok\n".into()),
    }
}

/// Has the daemon set the gauges, and returns the node's health; `None` if the daemon does not answer in time.
async fn measure(requests: &mpsc::Sender<daemon::UserRequest>) -> Option<Health> {
    let (reply, health) = oneshot::channel();
    let answer = async {
        requests.send(daemon::UserRequest::Measure(reply)).await.ok()?;
        health.await.ok()?.ok()
    };
    tokio::time::timeout(ANSWER_WITHIN, answer).await.ok()?
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ip_addresses_and_localhost_are_names_of_this_server() {
        let is_taken = |hosts: &[&str]| {
            let request =
                hosts.iter().fold(Request::get("/metrics"), |request, host| request.header(HOST, *host));
            is_meant_for_us(&request.body(()).unwrap())
        };
        for host in ["127.0.0.1", "127.0.0.1:9100", "[::1]:9100", "10.1.2.3", "localhost", "LocalHost:9100"] {
            assert!(is_taken(&[host]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9100",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "::1x",
        ] {
            assert!(!is_taken(&[host]), "{host:?}");
        }
        // HTTP/1.0 has none, and no browser speaks it.
        assert!(is_taken(&[]));
        assert!(!is_taken(&["127.0.0.1", "evil.example"]));
        let whole = Request::get("http://evil.example/metrics").header(HOST, "127.0.0.1").body(()).unwrap();
        assert!(!is_meant_for_us(&whole));
    }
}
