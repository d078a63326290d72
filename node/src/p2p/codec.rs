//! Wire messages on a stream: one bounded CBOR item, ended by the end of the stream.

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response;
use serde::{Serialize, de::DeserializeOwned};
use thunder_protocol::codec::{self, MAX_LEN};
use thunder_protocol::wire::{Request, Response};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Messages up to this many bytes are read at once; larger ones wait for one of the places below.
pub const SMALL_MESSAGE: usize = 4 << 10;
/// How many larger messages are read at the same time from one connection.
pub const LARGE_PER_CONNECTION: usize = 2;
/// How many larger messages are read at the same time in all.
pub const LARGE_IN_ALL: usize = 64;

/// Reads and writes [`Request`]s and [`Response`]s.
///
/// A stranger may open many streams and send a large message on each, slowly: what is read of them
/// at the same time is bounded, and who has to wait is slowed down by the window of the stream.
#[derive(Debug)]
pub struct WireCodec {
    in_all: Arc<Semaphore>,
    /// Of the connection; `None` in the one from which those of the connections are copied.
    here: Option<Arc<Semaphore>>,
}

impl Default for WireCodec {
    fn default() -> Self {
        Self { in_all: Arc::new(Semaphore::new(LARGE_IN_ALL)), here: None }
    }
}

/// The behaviour copies its codec once for each connection, and that copy for each stream.
impl Clone for WireCodec {
    fn clone(&self) -> Self {
        let here = self.here.clone().unwrap_or_else(|| Arc::new(Semaphore::new(LARGE_PER_CONNECTION)));
        Self { in_all: Arc::clone(&self.in_all), here: Some(here) }
    }
}

impl WireCodec {
    async fn read<T: DeserializeOwned>(&self, io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<T> {
        let mut bytes = Vec::new();
        // One byte more, so that what is longer is seen as such.
        let _ = (&mut *io).take(SMALL_MESSAGE as u64 + 1).read_to_end(&mut bytes).await?;
        if bytes.len() > SMALL_MESSAGE {
            let _places = self.places().await?;
            let left = MAX_LEN + 1 - bytes.len();
            io.take(left as u64).read_to_end(&mut bytes).await?;
            return decode(&bytes);
        }
        decode(&bytes)
    }

    /// A place for a large message: first here, so that nobody waits with places for all in hand.
    async fn places(&self) -> io::Result<(Option<SemaphorePermit<'_>>, SemaphorePermit<'_>)> {
        let here = match &self.here {
            Some(here) => Some(here.acquire().await.map_err(io::Error::other)?),
            None => None,
        };
        Ok((here, self.in_all.acquire().await.map_err(io::Error::other)?))
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    codec::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

async fn write(
    io: &mut (impl AsyncWrite + Unpin + Send),
    message: &(impl Serialize + Sync),
) -> io::Result<()> {
    let bytes = codec::encode(message).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    io.write_all(&bytes).await
}

impl request_response::Codec for WireCodec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Response;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &request).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Response,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &response).await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures::FutureExt;
    use futures::channel::mpsc;
    use futures::stream::{StreamExt, TryStreamExt};
    use thunder_protocol::B256;
    use thunder_protocol::wire::Hello;

    use super::*;

    /// A stream from which a first piece can be read, and then nothing comes.
    struct Stalled(Vec<u8>);

    impl AsyncRead for Stalled {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.0.is_empty() {
                return Poll::Pending;
            }
            let read = buffer.len().min(self.0.len());
            buffer[..read].copy_from_slice(&self.0[..read]);
            self.0.drain(..read);
            Poll::Ready(Ok(read))
        }
    }

    #[test]
    fn slow_large_messages_of_one_connection_hold_up_neither_its_small_ones_nor_other_connections() {
        let template = WireCodec::default();
        let (hostile, honest) = (template.clone(), template.clone());
        let mut streams: Vec<_> = (0..20).map(|_| Stalled(vec![0; SMALL_MESSAGE * 8])).collect();
        let codecs: Vec<_> = (0..20).map(|_| hostile.clone()).collect();
        let mut reads: Vec<_> = streams
            .iter_mut()
            .zip(&codecs)
            .map(|(stream, codec)| Box::pin(codec.read::<Request>(stream)))
            .collect();
        for read in &mut reads {
            assert!(read.as_mut().now_or_never().is_none());
        }
        drop(reads);
        let read_on = streams.iter().filter(|stream| stream.0.is_empty()).count();
        assert_eq!(read_on, LARGE_PER_CONNECTION, "the others were not read beyond what is small");

        let hello = Request::Hello(Hello { chain_id: 1, challenge: B256::ZERO });
        let small = codec::encode(&hello).unwrap();
        for codec in [&hostile, &honest] {
            let read = codec.read::<Request>(&mut small.as_slice()).now_or_never();
            assert_eq!(read.expect("nothing to wait for").unwrap(), hello);
        }
    }

    #[test]
    fn what_is_longer_than_allowed_is_refused_after_one_byte_more() {
        let (feed, bytes) = mpsc::unbounded::<io::Result<Vec<u8>>>();
        // The stream stays open: whoever reads on waits for ever.
        feed.unbounded_send(Ok(vec![0; MAX_LEN + 1])).unwrap();
        let mut io = bytes.boxed().into_async_read();
        let read = WireCodec::default().clone().read::<Request>(&mut io).now_or_never();
        let error = read.expect("nothing to wait for").unwrap_err();
        assert!(error.to_string().contains("above the limit"), "{error}");
    }
}
