//! An RPC endpoint that lies, drops, delays and refuses, in front of a chain that does not.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::World;

/// What becomes of a request.
pub enum Fate {
    /// The chain answers.
    Pass,
    /// The chain answers, late.
    Late(Duration),
    /// The chain answers at once, and that comes late.
    HeldBack(Duration),
    /// The connection ends without an answer.
    Drop,
    /// This is the answer's `result`.
    Answer(Value),
    /// This is the answer's error message.
    Error(&'static str),
    /// The same with the code of EIP-1474 for "limit exceeded".
    Limit(&'static str),
    /// The chain answers, and this becomes of its `result`.
    Change(Box<dyn FnOnce(Value) -> Value>),
    /// The chain answers with logs, and those of this contract are missing.
    Without(String),
    /// HTTP with this status and this body.
    Http(u16, Vec<u8>),
    /// The connection stays, and nothing comes.
    Hang,
}

impl Fate {
    pub fn change(change: impl FnOnce(Value) -> Value + 'static) -> Self {
        Self::Change(Box::new(change))
    }

    /// A number as answers have it, one too high or one too low for instance.
    pub fn number(change: impl FnOnce(u64) -> u64 + 'static) -> Self {
        Self::change(|number| {
            let text = number.as_str().unwrap().trim_start_matches("0x");
            json!(format!("{:#x}", change(u64::from_str_radix(text, 16).unwrap())))
        })
    }
}

type Rule = Box<dyn Fn(&str, &Value) -> Fate + Send>;

/// A proxy for JSON-RPC over HTTP.
pub struct Endpoint {
    address: SocketAddr,
    rule: Arc<Mutex<Rule>>,
    /// Method and parameters of each request, oldest first.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Endpoint {
    /// In front of a world's chain; it passes everything on until it is told otherwise.
    pub fn of(world: &World) -> Self {
        let server = world.testnet.rpc_url().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_, _| Fate::Pass)));
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let (rules, log) = (Arc::clone(&rule), Arc::clone(&asked));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (server, rules, log) = (server.clone(), Arc::clone(&rules), Arc::clone(&log));
                std::thread::spawn(move || serve(&client, &server, &rules, &log));
            }
        });
        Self { address, rule, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this becomes of requests.
    pub fn set(&self, rule: impl Fn(&str, &Value) -> Fate + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    pub fn behave(&self) {
        self.set(|_, _| Fate::Pass);
    }

    /// Nobody is there.
    pub fn go_down(&self) {
        self.set(|_, _| Fate::Drop);
    }

    pub fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }

    pub fn count(&self, method: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(asked, _)| asked == method).count()
    }

    /// The signed transactions that were sent through it, in hex, oldest first.
    pub fn sent(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let sent = asked.iter().filter(|(method, _)| method == "eth_sendRawTransaction");
        sent.filter_map(|(_, params)| params[0].as_str().map(str::to_owned)).collect()
    }
}

fn serve(
    client: &TcpStream,
    server: &str,
    rule: &Mutex<Rule>,
    asked: &Mutex<Vec<(String, Value)>>,
) -> Option<()> {
    let mut reader = BufReader::new(client);
    loop {
        let request: Value = serde_json::from_slice(&read_body(&mut reader)?).ok()?;
        let method = request["method"].as_str()?.to_owned();
        let fate = rule.lock().unwrap()(&method, &request["params"]);
        asked.lock().unwrap().push((method, request["params"].clone()));
        let id = &request["id"];
        let answer = match fate {
            Fate::Drop => return None,
            Fate::Hang => loop {
                std::thread::park();
            },
            Fate::Http(status, body) => {
                respond(client, status, &body)?;
                continue;
            }
            Fate::Answer(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Fate::Error(message) => error(id, -32000, message),
            Fate::Limit(message) => error(id, -32005, message),
            Fate::Pass => ask(server, &request)?,
            Fate::Late(delay) => {
                std::thread::sleep(delay);
                ask(server, &request)?
            }
            Fate::HeldBack(delay) => {
                let answer = ask(server, &request)?;
                std::thread::sleep(delay);
                answer
            }
            Fate::Without(contract) => {
                let mut answer = ask(server, &request)?;
                if let Some(logs) = answer["result"].as_array_mut() {
                    logs.retain(|log| log["address"] != contract.as_str());
                }
                answer
            }
            Fate::Change(change) => {
                let mut answer = ask(server, &request)?;
                answer["result"] = change(answer["result"].take());
                answer
            }
        };
        respond(client, 200, answer.to_string().as_bytes())?;
    }
}

fn respond(mut to: &TcpStream, status: u16, body: &[u8]) -> Option<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    to.write_all(head.as_bytes()).ok()?;
    to.write_all(body).ok()
}

fn ask(server: &str, request: &Value) -> Option<Value> {
    let mut stream = TcpStream::connect(server).ok()?;
    let body = request.to_string();
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).ok()?;
    serde_json::from_slice(&read_body(&mut BufReader::new(&stream))?).ok()
}

/// The body of one HTTP message that says how long it is.
fn read_body(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}
