//! A network with a delay: whatever comes in on a port goes on to another, so much later.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::Result;

/// The delayed way to a port, on a thread of its own; gone when dropped.
pub(crate) struct Delayed {
    pub(crate) port: u16,
    _stop: oneshot::Sender<()>,
}

impl Delayed {
    pub(crate) fn start(to: u16, delay: Duration) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || -> std::io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let _ = tell.send(listener.local_addr()?.port());
                tokio::select! {
                    result = accept(listener, to, delay) => result,
                    _ = stopped => Ok(()),
                }
            })
        });
        Ok(Self { port: told.recv()?, _stop: stop })
    }
}

async fn accept(listener: TcpListener, to: u16, delay: Duration) -> std::io::Result<()> {
    loop {
        let (near, _) = listener.accept().await?;
        // While nobody is there, nobody is reached.
        let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else { continue };
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::spawn(carry(near_in, far_out, delay));
        tokio::spawn(carry(far_in, near_out, delay));
    }
}

/// One direction. What is under way does not wait for what is before it to arrive.
async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Duration,
) {
    let (send, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(4096);
    tokio::spawn(async move {
        while let Some((due, bytes)) = under_way.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap_or_default().to_vec();
        if send.send((Instant::now() + delay, bytes)).await.is_err() {
            return;
        }
    }
}
