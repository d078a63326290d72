//! What the user of a [`Node`] types: thunder-cli's commands, their answers, and waiting for what `infos` shows.

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use thunder_protocol::{Address, Amount};

use super::{Node, address, text, thd, wait_for};

impl Node {
    /// thunder-cli, told nothing but the port.
    pub fn cli(&self) -> Command {
        let mut command = self.program("thunder-cli");
        command.args(["--port", &self.port.to_string()]).stdin(Stdio::null());
        command
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.cli().args(arguments).output().unwrap()
    }

    /// What a person sees on the screen; the command must succeed.
    pub fn screen(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", text(&output.stderr), self.log());
        text(&output.stdout)
    }

    /// The JSON object of a command that must succeed.
    pub fn ok(&self, arguments: &[&str]) -> Value {
        let output = self.output(&[&["--json"], arguments].concat());
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?} failed:\n{stdout}{stderr}\nlog:\n{}", self.log());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"))
    }

    /// The error of a command that must fail with this exit code and this error code.
    pub fn refused(&self, arguments: &[&str], exit: i32, code: &str) -> Value {
        let output = self.output(&[&["--json"], arguments].concat());
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(exit),
            "{arguments:?}:\n{stdout}{stderr}\nlog:\n{}",
            self.log()
        );
        let error = &serde_json::from_str::<Value>(&stdout).unwrap()["error"];
        assert_eq!(error["code"], code, "{arguments:?}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.is_empty() && stderr.contains(message), "{arguments:?}: the person sees {stderr:?}");
        error.clone()
    }

    pub fn infos(&self) -> Value {
        self.ok(&["infos"])
    }

    pub fn wallet(&self) -> Address {
        address(&self.infos()["wallet"])
    }

    pub fn peer_id(&self) -> String {
        self.infos()["peer_id"].as_str().unwrap().to_owned()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn connect(&self, other: &Self) {
        let peer = self.ok(&["connect", &other.address()]);
        assert_eq!(address(&peer["wallet"]), other.wallet());
    }

    pub fn is_connected_with(&self, other: &Self) -> bool {
        let wallet = serde_json::to_value(other.wallet().to_string()).unwrap();
        self.infos()["peers"].as_array().unwrap().iter().any(|peer| peer["wallet"] == wallet)
    }

    pub fn wait_connected(&self, other: &Self) {
        wait_for("the nodes are connected", || {
            self.is_connected_with(other) && other.is_connected_with(self)
        });
    }

    /// What `infos` says of a channel.
    pub fn channel(&self, channel: Address) -> Value {
        let infos = self.infos();
        let channels = infos["channels"].as_array().unwrap();
        let named = channels.iter().find(|info| info["channel"] == channel.to_string());
        named.cloned().unwrap_or(Value::Null)
    }

    pub fn wait_state(&self, channel: Address, state: &str) {
        wait_for(&format!("the channel is {state}"), || self.channel(channel)["state"] == state);
    }

    /// Waits until a channel is ACTIVE and in sync with the other side.
    pub fn wait_usable(&self, channel: Address) {
        wait_for("the channel can be used", || {
            let next = self.channel(channel)["next_text"].clone();
            next == "pay, closechannel" || next == "closechannel; there is nothing of yours to pay with"
        });
    }

    pub fn pay(&self, amount: &str) -> Value {
        self.ok(&["pay", amount])
    }

    /// The own share of a channel.
    pub fn mine(&self, channel: Address) -> Amount {
        thd(self.channel(channel)["mine"].as_str().unwrap())
    }

    /// All payments, newest first.
    pub fn history(&self) -> Vec<Value> {
        self.ok(&["history", "--limit", "10000"])["payments"].as_array().unwrap().clone()
    }

    /// THD in the wallet.
    pub fn purse(&self) -> Amount {
        thd(self.ok(&["balance"])["wallet"].as_str().unwrap())
    }
}
