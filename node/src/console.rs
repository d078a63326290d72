//! Standard output and standard error of thunderd, each behind a bounded queue with a thread of its own (G7).
//!
//! A reader that is gone, slow or out of disk loses lines, which are counted, and neither blocks nor ends the node.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// The most lines that wait to be written; further ones are lost.
const MAX_LINES: usize = 4096;
/// The longest line, in bytes; the rest of a longer one is left out.
const MAX_LINE: usize = 8 << 10;
/// How long the end of the process waits for the lines that are not written yet.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Why lines are lost.
pub(crate) const WHY_LOST: &str = "standard error is closed, on a full disk, or not read fast enough";
/// How often the end of the process checks whether all lines are written.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The time of a line of the log, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Seconds;

impl FormatTime for Seconds {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        let mut exact = String::new();
        SystemTime.format_time(&mut Writer::new(&mut exact))?;
        match exact.split_once('.') {
            Some((seconds, _)) => write!(to, "{seconds}Z"),
            None => to.write_str(&exact),
        }
    }
}

/// Counts of one stream's lines.
#[derive(Debug, Default)]
struct Counts {
    queued: AtomicU64,
    written: AtomicU64,
    /// Lines that the system refused to write.
    refused: AtomicU64,
    /// Lines for which the queue had no room.
    overflow: OnceLock<ErrorCounter>,
}

impl Counts {
    fn lost(&self) -> u64 {
        let overflow = self.overflow.get().map_or(0, ErrorCounter::dropped_lines);
        self.refused.load(Ordering::SeqCst).saturating_add(overflow as u64)
    }

    /// How many lines wait, the one that is being written included.
    fn pending(&self) -> u64 {
        let done = self.written.load(Ordering::SeqCst).saturating_add(self.lost());
        self.queued.load(Ordering::SeqCst).saturating_sub(done)
    }
}

/// The number of lines of the log that were lost since the start of the process.
#[derive(Debug, Clone, Default)]
pub struct LostLines(Arc<Counts>);

impl LostLines {
    /// Returns the number.
    pub fn count(&self) -> u64 {
        self.0.lost()
    }
}

/// The queue of a stream. Writing to it never blocks and never fails.
#[derive(Debug, Clone)]
pub struct Queue {
    queue: NonBlocking,
    counts: Arc<Counts>,
    /// Lines that wait until the banner is written; `None` once it is.
    held: Arc<Mutex<Option<Vec<Vec<u8>>>>>,
}

impl Queue {
    /// Starts a thread that writes to `stream` what is queued.
    fn to(stream: impl Write + Send + 'static, name: &str) -> Self {
        let counts = Arc::new(Counts::default());
        let stream = Stream { to: stream, counts: Arc::clone(&counts), failed: false, reported: 0 };
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_LINES);
        let (queue, guard) = builder.thread_name(name).finish(stream);
        // Dropped with a full queue it would print to standard output, which panics or blocks where this one does.
        std::mem::forget(guard);
        let _ = counts.overflow.set(queue.error_counter());
        Self { queue, counts, held: Arc::default() }
    }

    /// Keeps lines back until [`Self::release`].
    fn hold(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    /// Writes the lines that were kept back, and keeps back no more.
    fn release(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for line in held.take().into_iter().flatten() {
            // The queue takes everything.
            let _ = self.queue.write_all(&line);
        }
    }

    /// Waits for the lines that are not written yet, for as long as `deadline` allows.
    fn flush(&self, deadline: Instant) {
        while self.counts.pending() > 0 && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.is_empty() {
            return Ok(0);
        }
        self.counts.queued.fetch_add(1, Ordering::SeqCst);
        let cut = if line.len() > MAX_LINE { Some([&line[..MAX_LINE], b" ...\n"].concat()) } else { None };
        let text = cut.as_deref().unwrap_or(line);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut().filter(|lines| lines.len() < MAX_LINES) {
            Some(lines) => lines.push(text.to_vec()),
            None => self.queue.write_all(text)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of a queue at which lines are written, one for each call.
struct Stream<W> {
    to: W,
    counts: Arc<Counts>,
    /// Whether the last line failed, and so may have been written in part.
    failed: bool,
    /// How many of the lost lines the reader was told of.
    reported: u64,
}

impl<W: Write> Stream<W> {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.failed {
            self.to.write_all(b"\n")?;
        }
        self.to.write_all(line)?;
        self.to.flush()
    }

    /// Writes how many lines were lost, once the queue is empty: in the log, that line is where they are missing.
    fn report_lost(&mut self) {
        let lost = self.counts.lost();
        if lost == self.reported || self.counts.pending() > 1 {
            return;
        }
        let mut line = String::new();
        // Writing to a string can't fail.
        let _ = Seconds.format_time(&mut Writer::new(&mut line));
        line += &format!("  WARN {} lines of the log were lost: {WHY_LOST}\n", lost - self.reported);
        if self.to.write_all(line.as_bytes()).is_ok() {
            self.reported = lost;
        }
    }
}

impl<W: Write> Write for Stream<W> {
    /// Never fails: the queue's thread would drop the error uncounted.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.failed = self.write_line(line).is_err();
        if !self.failed {
            self.report_lost();
        }
        let count = if self.failed { &self.counts.refused } else { &self.counts.written };
        count.fetch_add(1, Ordering::SeqCst);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both streams of the process. Dropped, it waits a moment for the last lines.
pub struct Console {
    out: Queue,
    err: Queue,
}

impl Console {
    /// Puts both streams behind queues, and has panics told to the one of standard error.
    pub fn start() -> Self {
        let console = Self { out: Queue::to(io::stdout(), "stdout"), err: Queue::to(io::stderr(), "stderr") };
        console.err.hold();
        let err = console.err.clone();
        panic::set_hook(Box::new(move |panic| report_panic(&mut err.clone(), panic)));
        console
    }

    /// The queue of standard error, where the log goes.
    pub fn err(&self) -> Queue {
        self.err.clone()
    }

    /// The queue of standard output.
    pub fn out(&self) -> Queue {
        self.out.clone()
    }

    /// Prints the banner, and after it the log of the start.
    pub fn print_banner(&self, banner: &str) {
        // The node runs on if standard output can't be written.
        let _ = self.out().write_all(banner.as_bytes());
        self.out.flush(Instant::now() + LAST_LINES);
        self.release_log();
    }

    /// Writes what was logged so far, where no banner comes.
    pub fn release_log(&self) {
        self.err().release();
    }

    /// Returns what counts the lines of the log that are lost.
    pub fn lost_lines(&self) -> LostLines {
        LostLines(Arc::clone(&self.err.counts))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.release_log();
        let deadline = Instant::now() + LAST_LINES;
        self.out.flush(deadline);
        self.err.flush(deadline);
    }
}

/// What the standard library's hook prints, which would block with a reader that does not read.
fn report_panic(err: &mut Queue, panic: &PanicHookInfo<'_>) {
    let mut text = format!("thread '{}' {panic}\n", thread::current().name().unwrap_or("without a name"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text += &format!("{backtrace}\n");
    }
    err.release();
    for line in text.split_inclusive('\n') {
        // The queue takes everything.
        let _ = err.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A stream that asks before each write whether it succeeds.
    struct Asking {
        asks: Sender<()>,
        answers: Receiver<bool>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Asking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.asks.send(());
            match self.answers.recv() {
                Ok(true) => {}
                Ok(false) => return Err(io::ErrorKind::StorageFull.into()),
                Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Test {
        queue: Queue,
        asked: Receiver<()>,
        answer: Sender<bool>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Test {
        fn new() -> Self {
            let ((asks, asked), (answer, answers)) = (channel(), channel());
            let written = Arc::new(Mutex::default());
            let queue = Queue::to(Asking { asks, answers, written: Arc::clone(&written) }, "test");
            Self { queue, asked, answer, written }
        }

        fn line(&mut self, line: &str) {
            self.queue.write_all(line.as_bytes()).unwrap();
        }

        /// Waits for the next write and lets it succeed, or not.
        fn writes(&self, succeeds: bool) {
            self.asked.recv().unwrap();
            self.answer.send(succeeds).unwrap();
        }

        fn written(&self) -> String {
            self.queue.flush(Instant::now() + Duration::from_secs(60));
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }

        fn lost(&self) -> u64 {
            LostLines(Arc::clone(&self.queue.counts)).count()
        }
    }

    #[test]
    fn what_is_logged_before_the_banner_comes_after_it_and_is_not_lost() {
        let mut test = Test::new();
        test.queue.hold();
        test.line("one\n");
        test.line("two\n");
        assert!(test.asked.try_recv().is_err(), "nothing is written yet");
        test.queue.release();
        test.line("three\n");
        (0..3).for_each(|_| test.writes(true));
        assert_eq!((test.written().as_str(), test.lost()), ("one\ntwo\nthree\n", 0));
    }

    #[test]
    fn g7_lines_that_the_disk_refuses_are_counted_and_those_after_them_written() {
        let mut test = Test::new();
        test.line("one\n");
        test.writes(true);
        for line in ["two\n", "three\n"] {
            test.line(line);
            test.writes(false);
        }
        test.line("four\n");
        // An end of the line that may be half written, the line, and the report.
        (0..3).for_each(|_| test.writes(true));
        test.line("five\n");
        test.writes(true);
        let written = test.written();
        let lines: Vec<_> = written.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!((test.lost(), lines.len()), (2, 4), "{written}");
        assert_eq!((lines[0], lines[1], lines[3]), ("one", "four", "five"));
        assert!(lines[2].contains("WARN 2 lines of the log were lost"), "{written}");
    }

    #[test]
    fn g7_lines_for_which_there_is_no_room_are_counted_and_the_reader_is_told_after_those_that_wait() {
        let mut test = Test::new();
        test.line("held\n");
        test.asked.recv().unwrap();
        // The first is being written; so many wait; the rest is lost.
        (0..MAX_LINES + 7).for_each(|_| test.line("waits\n"));
        assert_eq!(test.lost(), 7);
        test.answer.send(true).unwrap();
        (0..=MAX_LINES).for_each(|_| test.writes(true));
        let written = test.written();
        assert_eq!(written.matches("waits").count(), MAX_LINES);
        let (_, report) = written.rsplit_once("waits\n").unwrap();
        assert!(report.contains("WARN 7 lines of the log were lost"), "{report}");
    }

    #[test]
    fn g7_the_end_does_not_wait_for_ever_and_a_long_line_is_cut() {
        let mut test = Test::new();
        test.line(&"x".repeat(MAX_LINE * 3));
        test.asked.recv().unwrap();
        test.queue.flush(Instant::now());
        test.answer.send(true).unwrap();
        let written = test.written();
        assert!(written.len() < MAX_LINE + 10 && written.ends_with(" ...\n"), "{}", written.len());
    }
}
