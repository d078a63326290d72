//! A TCP line to a node that can be slow, go dead with its connections open, be cut, and heal. The
//! nodes encrypt what they say, so a line sees bytes and nothing else.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Well,
    /// Connections stay and are accepted, and not a byte gets through.
    Frozen,
    /// Connections are ended, also new ones.
    Cut,
}

struct State {
    mode: Mode,
    latency: Duration,
    streams: Vec<TcpStream>,
    /// How many connections were made since the line was last cut or frozen.
    made: usize,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The line. It ends with the test.
pub struct Line {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Line {
    /// To a port of this machine.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { mode: Mode::Well, latency: Duration::ZERO, streams: Vec::new(), made: 0 };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let line = Self { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                shared.join(client, port);
            }
        });
        line
    }

    /// As `connect` takes it.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Every piece of data is late by this, in each direction.
    pub fn delay(&self, latency: Duration) {
        self.shared.state.lock().unwrap().latency = latency;
    }

    pub fn freeze(&self) {
        self.switch(Mode::Frozen);
    }

    pub fn cut(&self) {
        self.switch(Mode::Cut);
    }

    pub fn heal(&self) {
        self.switch(Mode::Well);
    }

    /// How many connections were tried since the line was switched.
    pub fn tried(&self) -> usize {
        self.shared.state.lock().unwrap().made
    }

    fn switch(&self, mode: Mode) {
        let mut state = self.shared.state.lock().unwrap();
        (state.mode, state.made) = (mode, 0);
        if mode == Mode::Cut {
            state.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn join(self: &Arc<Self>, client: TcpStream, port: u16) {
        let mut state = self.state.lock().unwrap();
        state.made += 1;
        if state.mode == Mode::Cut {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.carry(from, to));
        }
        state.streams.extend([client, server]);
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16_384];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let state = self.state.lock().unwrap();
            let state = self.changed.wait_while(state, |state| state.mode == Mode::Frozen).unwrap();
            let latency = state.latency;
            drop(state);
            std::thread::sleep(latency);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}
