//! Wire messages on a stream: one bounded CBOR item, ended by the end of the stream.

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response;
use serde::{Serialize, de::DeserializeOwned};
use thunder_protocol::codec::{self, EXPANSION, MAX_LEN};
use thunder_protocol::wire::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

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
/// How much memory messages may take that are decoded and that the daemon has not taken yet, in bytes.
pub const DECODED_IN_ALL: usize = 32 << 20;

/// How much is read at once of a larger message, in bytes.
const CHUNK: usize = 16 << 10;
/// By how much the buffer of a larger message grows, in bytes.
const GROWTH: usize = 64 << 10;
/// The unit in which [`DECODED_IN_ALL`] is given out, in bytes.
const UNIT: usize = 1 << 10;

/// A message, and the memory that it takes until somebody takes it. One to be sent takes none.
#[derive(Debug)]
pub struct Held<T> {
    message: T,
    _room: Option<OwnedSemaphorePermit>,
}

impl<T> Held<T> {
    /// Takes the message, and gives its room to others.
    pub fn take(self) -> T {
        self.message
    }
}

impl<T> From<T> for Held<T> {
    fn from(message: T) -> Self {
        Self { message, _room: None }
    }
}

/// Reads and writes [`Request`]s and [`Response`]s.
///
/// A stranger may open many streams and send a large message on each, slowly: what is read of them
/// at the same time is bounded, and so is who may wait, slowed down by the window of the stream.
#[derive(Debug)]
pub struct WireCodec {
    in_all: Arc<Places>,
    /// For decoded messages, in units of [`UNIT`].
    room: Arc<Semaphore>,
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
        let room = Arc::new(Semaphore::new(DECODED_IN_ALL / UNIT));
        Self { in_all: Places::new(LARGE_IN_ALL, WAITING_IN_ALL), room, here: None }
    }
}

/// The behaviour copies its codec once for each connection, and that copy for each stream.
impl Clone for WireCodec {
    fn clone(&self) -> Self {
        let here = self.here.clone().unwrap_or_else(Places::here);
        Self { in_all: Arc::clone(&self.in_all), room: Arc::clone(&self.room), here: Some(here) }
    }
}

impl WireCodec {
    async fn read<T: DeserializeOwned>(
        &self,
        io: &mut (impl AsyncRead + Unpin + Send),
        is_response: bool,
    ) -> io::Result<Held<T>> {
        let mut bytes = Vec::new();
        // One byte more, so that what is longer is seen as such.
        let _ = (&mut *io).take(SMALL_MESSAGE as u64 + 1).read_to_end(&mut bytes).await?;
        if bytes.len() > SMALL_MESSAGE {
            // Responses need no place in the queue: there are only as many as own requests.
            let queued = if is_response { (None, None) } else { self.queue()? };
            let _places = self.places().await?;
            drop(queued);
            read_on(io, &mut bytes).await?;
            // Its bytes keep their place until it is decoded.
            return self.decode(&bytes).await;
        }
        self.decode(&bytes).await
    }

    /// Decodes a message once there is room for what it becomes.
    async fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> io::Result<Held<T>> {
        let needed = bytes.len().min(MAX_LEN).saturating_mul(EXPANSION).div_ceil(UNIT);
        let needed = u32::try_from(needed).map_err(io::Error::other)?;
        let room = Arc::clone(&self.room).acquire_many_owned(needed).await.map_err(io::Error::other)?;
        let message =
            codec::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Held { message, _room: Some(room) })
    }

    /// Takes a place in the queue for large messages. Fails if too many wait.
    fn queue(&self) -> io::Result<(Option<SemaphorePermit<'_>>, Option<SemaphorePermit<'_>>)> {
        let full = |_| io::Error::other("too many large messages wait to be read");
        let here = self.here.as_ref().map(|here| here.waiting.try_acquire().map_err(full)).transpose()?;
        Ok((here, Some(self.in_all.waiting.try_acquire().map_err(full)?)))
    }

    /// Takes the places for a large message: that of the connection first, so that none of the shared places is held
    /// while waiting.
    async fn places(&self) -> io::Result<(Option<SemaphorePermit<'_>>, SemaphorePermit<'_>)> {
        let here = match &self.here {
            Some(here) => Some(here.reading.acquire().await.map_err(io::Error::other)?),
            None => None,
        };
        Ok((here, self.in_all.reading.acquire().await.map_err(io::Error::other)?))
    }
}

/// Reads the rest of a larger message, or one byte more than a message may have. The buffer grows in small steps;
/// `read_to_end` would double it.
async fn read_on(io: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    while bytes.len() <= MAX_LEN {
        let most = CHUNK.min(MAX_LEN + 1 - bytes.len());
        let read = io.read(&mut chunk[..most]).await?;
        if read == 0 {
            break;
        }
        if bytes.capacity() - bytes.len() < read {
            bytes.reserve_exact(GROWTH);
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
    Ok(())
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
    type Request = Held<Request>;
    type Response = Held<Response>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Held<Request>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io, false).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Held<Response>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io, true).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Held<Request>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &request.message).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Held<Response>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &response.message).await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures::FutureExt;
    use futures::channel::mpsc;
    use futures::stream::{StreamExt, TryStreamExt};
    use thunder_protocol::wire::{Envelope, Hello, MAX_MESSAGES, Packet, SessionId};
    use thunder_protocol::{Address, B256};

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
            assert_eq!(read.expect("nothing to wait for").unwrap().take(), hello);
        }
    }

    #[test]
    fn messages_that_nobody_takes_are_no_more_than_there_is_room_for() {
        let messages = vec![Envelope::UnknownChannel { channel: Address::ZERO }; MAX_MESSAGES];
        let session = SessionId::new(B256::ZERO, B256::ZERO);
        let large = codec::encode(&Request::Packet(Packet { session, messages })).unwrap();
        let template = WireCodec::default();
        let fit = DECODED_IN_ALL / UNIT / (large.len() * EXPANSION).div_ceil(UNIT);
        let read = |codec: &WireCodec| codec.read::<Request>(&mut large.as_slice(), false).now_or_never();
        // Each over a connection of its own.
        let mut held: Vec<_> =
            (0..fit).map(|_| read(&template.clone()).expect("there is room").unwrap()).collect();
        assert!(read(&template.clone()).is_none(), "one more waits");
        let Some(Request::Packet(packet)) = held.pop().map(Held::take) else { panic!("a packet") };
        assert_eq!(packet.messages.len(), MAX_MESSAGES);
        assert!(read(&template.clone()).is_some(), "the room of one that was taken");
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
