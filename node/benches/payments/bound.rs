//! The bound program: what two processes need at the least to exchange a receipt.
//!
//! A signs and sends; B verifies, signs, puts one record on the disk and answers; A verifies and puts one on the
//! disk. Blocking sockets, one thread on each side, libsecp256k1 with one fixed context, a preallocated log. No
//! channels, no encryption, no API: nothing that a node is for.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use secp256k1::ecdsa::Signature;
use secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};

/// What says of one payment: id, amount, and what a memo takes.
const PAYMENT: usize = 48;
const SIGNATURE: usize = 64;
/// The log is as long as this from the start, so that a commit changes data only.
const LOG: u64 = 64 << 20;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// One side's key, and the other side's public one.
struct Keys {
    context: Secp256k1<All>,
    own: SecretKey,
    theirs: PublicKey,
}

impl Keys {
    fn new(own: u8, theirs: u8) -> Result<Self> {
        let theirs = PublicKey::from_secret_key(&SecretKey::from_secret_bytes([theirs; 32])?);
        Ok(Self { context: Secp256k1::new(), own: SecretKey::from_secret_bytes([own; 32])?, theirs })
    }

    #[expect(deprecated, reason = "the newer call blinds its context anew after every signature")]
    fn sign(&self, body: &[u8]) -> [u8; SIGNATURE] {
        self.context.sign_ecdsa(digest(body), &self.own).serialize_compact()
    }

    #[expect(deprecated, reason = "the newer call takes a lock on a global context")]
    fn check(&self, body: &[u8], signature: &[u8; SIGNATURE]) -> Result<()> {
        let signature = Signature::from_compact(signature)?;
        Ok(self.context.verify_ecdsa(digest(body), &signature, &self.theirs)?)
    }
}

/// The append-only file of one side.
struct Log {
    file: File,
    at: u64,
}

impl Log {
    fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..LOG >> 20 {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    /// On the disk when it returns.
    fn commit(&mut self, record: &[u8]) -> io::Result<()> {
        write_at(&mut self.file, record, self.at % (LOG - record.len() as u64))?;
        self.at += record.len() as u64;
        self.file.sync_data()
    }
}

fn write_at(file: &mut File, record: &[u8], at: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(at))?;
    file.write_all(record)
}

fn digest(body: &[u8]) -> Message {
    Message::from_digest(alloy_primitives::keccak256(body).0)
}

/// B: answers until the connection ends. `receipts` at a time are answered with one commit.
pub(crate) fn serve(directory: &Path) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut log = Log::create(&directory.join("b.log"))?;
    let keys = Keys::new(2, 1)?;
    let mut reader = BufReader::with_capacity(1 << 20, stream.try_clone()?);
    let mut head = [0; 4];
    // Ready when the log is.
    stream.write_all(&[1])?;
    loop {
        let (mut answers, mut record) = (Vec::new(), Vec::new());
        // Whatever has come in meanwhile shares a commit.
        loop {
            if reader.read_exact(&mut head).is_err() {
                return Ok(());
            }
            let mut body = vec![0; u32::from_be_bytes(head) as usize];
            reader.read_exact(&mut body)?;
            let signature = read_signature(&mut reader)?;
            keys.check(&body, &signature)?;
            let answer = keys.sign(&body);
            record.extend_from_slice(&body);
            record.extend_from_slice(&answer);
            answers.extend_from_slice(&answer);
            if reader.buffer().len() < head.len() {
                break;
            }
        }
        log.commit(&record)?;
        stream.write_all(&answers)?;
    }
}

fn read_signature(reader: &mut impl Read) -> io::Result<[u8; SIGNATURE]> {
    let mut bytes = [0; SIGNATURE];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A, and B in a process of its own.
pub(crate) struct Bound {
    child: Child,
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    log: Log,
    keys: Keys,
    nonce: u64,
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bound {
    /// Starts both.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--bound-peer")
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut port = String::new();
        let mut stdout = child.stdout.take().ok_or("no output")?;
        let mut byte = [0];
        while stdout.read(&mut byte)? == 1 && byte != *b"\n" {
            port.push(char::from(byte[0]));
        }
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse()?))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::with_capacity(1 << 20, stream.try_clone()?);
        let log = Log::create(&directory.join("a.log"))?;
        reader.read_exact(&mut byte)?;
        Ok(Self { child, stream, reader, log, keys: Keys::new(1, 2)?, nonce: 0 })
    }

    fn receipt(&mut self, payments: usize) -> Vec<u8> {
        self.nonce += 1;
        let mut body = vec![0; 64 + payments * PAYMENT];
        body.iter_mut().zip(self.nonce.to_be_bytes()).for_each(|(to, from)| *to = from);
        body
    }

    /// One receipt after the other, each with so many payments: how long each took, in microseconds.
    pub(crate) fn serial(&mut self, receipts: usize, payments: usize) -> Result<Vec<f64>> {
        let mut took = Vec::with_capacity(receipts);
        for _ in 0..receipts {
            let begun = Instant::now();
            let body = self.receipt(payments);
            self.send(&body)?;
            self.settle(&[body])?;
            took.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        Ok(took)
    }

    /// Receipts with one payment each, so many of them under way: receipts a second.
    pub(crate) fn pipelined(&mut self, receipts: usize, depth: usize) -> Result<f64> {
        let begun = Instant::now();
        let mut under_way = std::collections::VecDeque::new();
        let (mut sent, mut settled) = (0, 0);
        while settled < receipts {
            while sent < receipts && under_way.len() < depth {
                let body = self.receipt(1);
                self.send(&body)?;
                under_way.push_back(body);
                sent += 1;
            }
            // One commit for whatever is answered.
            let mut answered: Vec<_> = under_way.pop_front().into_iter().collect();
            self.wait_for_answer()?;
            while self.reader.buffer().len() >= (answered.len() + 1) * SIGNATURE
                && let Some(body) = under_way.pop_front()
            {
                answered.push(body);
            }
            settled += answered.len();
            self.settle(&answered)?;
        }
        Ok(receipts_per_second(receipts, begun))
    }

    fn send(&mut self, body: &[u8]) -> Result<()> {
        let signature = self.keys.sign(body);
        let mut frame = Vec::with_capacity(4 + body.len() + SIGNATURE);
        frame.extend_from_slice(&u32::try_from(body.len())?.to_be_bytes());
        frame.extend_from_slice(body);
        frame.extend_from_slice(&signature);
        Ok(self.stream.write_all(&frame)?)
    }

    fn wait_for_answer(&mut self) -> io::Result<()> {
        use std::io::BufRead;
        self.reader.fill_buf().map(|_| ())
    }

    /// Verifies the answers to these receipts, and puts them on the disk in one commit.
    fn settle(&mut self, bodies: &[Vec<u8>]) -> Result<()> {
        let mut record = Vec::new();
        for body in bodies {
            let answer = read_signature(&mut self.reader)?;
            self.keys.check(body, &answer)?;
            record.extend_from_slice(body);
            record.extend_from_slice(&answer);
        }
        Ok(self.log.commit(&record)?)
    }
}

/// How many a second since then.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn receipts_per_second(count: usize, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}
