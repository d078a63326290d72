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
/// How many larger requests of one connection may wait for a place. What waits is in memory already,
/// up to the window of its stream (256 KiB); one more is dropped.
pub const WAITING_PER_CONNECTION: usize = 32;
/// How many larger requests may wait in all.
pub const WAITING_IN_ALL: usize = 256;

/// Reads and writes [`Request`]s and [`Response`]s.
///
/// A stranger may open many streams and send a large message on each, slowly: what is read of them
/// at the same time is bounded, and so is who may wait, slowed down by the window of the stream.
#[derive(Debug)]
pub struct WireCodec {
    in_all: Arc<Places>,
    /// Of the connection; `None` in the one from which those of the connections are copied.
    here: Option<Arc<Places>>,
}

/// Places for larger messages.
#[derive(Debug)]
struct Places {
    reading: Semaphore,
    waiting: Semaphore,
}

impl Places {
    fn new(reading: usize, waiting: usize) -> Arc<Self> {
        Arc::new(Self { reading: Semaphore::new(reading), waiting: Semaphore::new(waiting) })
    }

    fn here() -> Arc<Self> {
        Self::new(LARGE_PER_CONNECTION, WAITING_PER_CONNECTION)
    }
}

impl Default for WireCodec {
    fn default() -> Self {
        Self { in_all: Places::new(LARGE_IN_ALL, WAITING_IN_ALL), here: None }
    }
}

/// The behaviour copies its codec once for each connection, and that copy for each stream.
impl Clone for WireCodec {
    fn clone(&self) -> Self {
        let here = self.here.clone().unwrap_or_else(Places::here);
        Self { in_all: Arc::clone(&self.in_all), here: Some(here) }
    }
}

impl WireCodec {
    async fn read<T: DeserializeOwned>(
        &self,
        io: &mut (impl AsyncRead + Unpin + Send),
        is_asked_for: bool,
    ) -> io::Result<T> {
        let mut bytes = Vec::new();
        // One byte more, so that what is longer is seen as such.
        let _ = (&mut *io).take(SMALL_MESSAGE as u64 + 1).read_to_end(&mut bytes).await?;
        if bytes.len() > SMALL_MESSAGE {
            // Answers are as many as the own requests.
            let queued = if is_asked_for { (None, None) } else { self.queue()? };
            let _places = self.places().await?;
            drop(queued);
            let left = MAX_LEN + 1 - bytes.len();
            io.take(left as u64).read_to_end(&mut bytes).await?;
            return decode(&bytes);
        }
        decode(&bytes)
    }

    /// Whoever can't be read at once may wait, if not too many do.
    fn queue(&self) -> io::Result<(Option<SemaphorePermit<'_>>, Option<SemaphorePermit<'_>>)> {
        let full = |_| io::Error::other("too many large messages wait to be read");
        let here = self.here.as_ref().map(|here| here.waiting.try_acquire().map_err(full)).transpose()?;
        Ok((here, Some(self.in_all.waiting.try_acquire().map_err(full)?)))
    }

    /// A place for a large message: first here, so that nobody waits with places for all in hand.
    async fn places(&self) -> io::Result<(Option<SemaphorePermit<'_>>, SemaphorePermit<'_>)> {
        let here = match &self.here {
            Some(here) => Some(here.reading.acquire().await.map_err(io::Error::other)?),
            None => None,
        };
        Ok((here, self.in_all.reading.acquire().await.map_err(io::Error::other)?))
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
        self.read(io, false).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io, true).await
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
            .map(|(stream, codec)| Box::pin(codec.read::<Request>(stream, false)))
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
            let read = codec.read::<Request>(&mut small.as_slice(), false).now_or_never();
            assert_eq!(read.expect("nothing to wait for").unwrap(), hello);
        }
    }

    #[test]
    fn only_so_many_large_requests_of_a_connection_wait_and_one_that_goes_makes_room() {
        let hostile = WireCodec::default().clone();
        let all = LARGE_PER_CONNECTION + WAITING_PER_CONNECTION;
        let mut streams: Vec<_> = (0..=all).map(|_| Stalled(vec![0; SMALL_MESSAGE * 8])).collect();
        let mut reads: Vec<_> =
            streams.iter_mut().map(|stream| Box::pin(hostile.read::<Request>(stream, false))).collect();
        let mut answers = reads.iter_mut().map(|read| read.as_mut().now_or_never());
        assert!(answers.by_ref().take(all).all(|answer| answer.is_none()), "these are read, or wait");
        assert!(answers.next().unwrap().unwrap().is_err(), "one more is dropped");
        drop(answers);
        reads.truncate(all - 1);
        let mut one_more = Stalled(vec![0; SMALL_MESSAGE * 8]);
        assert!(hostile.read::<Request>(&mut one_more, false).now_or_never().is_none());
    }

    #[test]
    fn what_is_longer_than_allowed_is_refused_after_one_byte_more() {
        let (feed, bytes) = mpsc::unbounded::<io::Result<Vec<u8>>>();
        // The stream stays open: whoever reads on waits for ever.
        feed.unbounded_send(Ok(vec![0; MAX_LEN + 1])).unwrap();
        let mut io = bytes.boxed().into_async_read();
        let read = WireCodec::default().clone().read::<Request>(&mut io, false).now_or_never();
        let error = read.expect("nothing to wait for").unwrap_err();
        assert!(error.to_string().contains("above the limit"), "{error}");
    }
}
