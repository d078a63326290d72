//! `infos` as text for people.

use std::fmt::Display;

use anstyle::AnsiColor;
use thunder_api::{ChainInfo, ChannelInfo, ContractState, EndpointInfo, Infos};

use super::super::text::{BOLD, DIM, Fields, align, safe};
use super::{nonce, peer_fields, state, thd};

/// `infos`
pub(crate) fn infos(infos: &Infos) -> String {
    let mut text = section("Node");
    let mut node = Fields::new()
        .add("version", safe(&infos.version))
        .add("port", infos.port)
        .add("peer id", safe(&infos.peer_id));
    for (at, address) in infos.listen.iter().enumerate() {
        node = node.add(if at == 0 { "listens on" } else { "" }, safe(address));
    }
    text.push_str(&node.lines(2));

    text.push_str(&section("Wallet"));
    match infos.wallet {
        Some(wallet) => text.push_str(&Fields::new().add("address", wallet).lines(2)),
        None => text.push_str(&nothing("none", "thunder-cli importwallet")),
    }

    text.push_str(&section("Chain"));
    text.push_str(&chain(infos).lines(2));

    text.push_str(&section("Connected nodes"));
    if infos.peers.is_empty() {
        text.push_str(&nothing("none", "thunder-cli connect <ip:port>"));
    }
    for peer in &infos.peers {
        text.push_str(&format!("  {BOLD}{}{BOLD:#}\n{}", safe(&peer.peer_id), peer_fields(peer).lines(4)));
    }

    if !infos.discovered.is_empty() {
        text.push_str(&section("Found in the local network"));
        for node in &infos.discovered {
            let address = node.address.split("/p2p/").next().unwrap_or_default();
            let fields = Fields::new().add("address", safe(address));
            text.push_str(&format!("  {BOLD}{}{BOLD:#}\n{}", safe(&node.peer_id), fields.lines(4)));
        }
    }

    text.push_str(&section("Channels"));
    if infos.channels.is_empty() && infos.channels_hidden == 0 {
        text.push_str(&nothing("none", "thunder-cli openchannel"));
    }
    for channel in &infos.channels {
        text.push_str(&channel_block(channel));
    }
    if let hidden @ 1.. = infos.channels_hidden {
        let channels = if hidden == 1 { "1 closed channel" } else { &*format!("{hidden} closed channels") };
        text.push_str(&format!("  {DIM}{channels} more: thunder-cli infos --all{DIM:#}\n"));
    }

    text.push_str(&warnings(&infos.warnings));
    text
}

/// What a person should look at.
pub(super) fn warnings(warnings: &[String]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let style = AnsiColor::Yellow.on_default().bold();
    let lines = warnings.iter().map(|warning| format!("  {style}!{style:#} {}\n", safe(warning)));
    section("Warnings") + &lines.collect::<String>()
}

fn section(title: &str) -> String {
    format!("{BOLD}{title}{BOLD:#}\n")
}

fn nothing(what: &str, command: &str) -> String {
    format!("  {DIM}{what}; next: {command}{DIM:#}\n")
}

fn chain(infos: &Infos) -> Fields {
    let endpoints = &infos.chain.endpoints;
    let mut fields = Fields::new();
    if endpoints.len() < 2 {
        fields = fields.add("RPC", rpc(&infos.chain));
    }
    for (index, endpoint) in endpoints.iter().enumerate().filter(|_| endpoints.len() > 1) {
        fields = fields.add(if index == 0 { "RPC" } else { "" }, one_of_several(endpoint));
    }
    fields
        .add("chain id", or_unknown(infos.chain.chain_id))
        .add("block", or_unknown(infos.chain.block))
        .add("THD", infos.token)
        .add("factory", infos.factory)
}

/// The chain's endpoint and whether it answers.
pub(super) fn rpc(chain: &ChainInfo) -> String {
    format!("{} ({})", safe(&chain.rpc), is_connected(chain.connected))
}

/// One of several endpoints. What is wrong with it is among the warnings.
fn one_of_several(endpoint: &EndpointInfo) -> String {
    let block = endpoint.block.map(|block| format!(", block {block}")).unwrap_or_default();
    format!("{} ({}{block})", safe(&endpoint.rpc), is_connected(endpoint.connected))
}

fn is_connected(connected: bool) -> String {
    let (style, state) = if connected {
        (AnsiColor::Green.on_default(), "connected")
    } else {
        (AnsiColor::Red.on_default(), "not reachable")
    };
    format!("{style}{state}{style:#}")
}

fn or_unknown(value: Option<impl Display>) -> String {
    value.map_or_else(|| "not known yet".to_owned(), |value| value.to_string())
}

fn channel_block(channel: &ChannelInfo) -> String {
    let connected = if channel.peer.is_some() { "connected" } else { "not connected" };
    let amounts = [channel.amount, channel.mine, channel.theirs].map(|amount| amount.to_string());
    let aligned = align(&amounts.each_ref().map(String::as_str));
    let [amount, mine, theirs] = &aligned[..] else { return String::new() };
    let holds = if channel.state == ContractState::Empty { "will hold" } else { "holds" };
    let pending = (!channel.pending.is_zero())
        .then(|| format!("{}, of yours, paid and not answered yet", thd(channel.pending)));
    let fields = Fields::new()
        .add("with", format_args!("{} ({connected})", channel.partner))
        .add(holds, format_args!("{amount} THD"))
        .add("yours", format_args!("{mine} THD"))
        .add("theirs", format_args!("{theirs} THD"))
        .maybe("pending", pending)
        .add("receipt", format_args!("{}; you are {}", nonce(channel.nonce), role(channel)))
        .maybe("closed", channel.closing_block.map(|block| format!("in block {block}")))
        .maybe("next", (!channel.next_text.is_empty()).then(|| safe(&channel.next_text)));
    format!("  {BOLD}{}{BOLD:#}  {}\n{}", channel.channel, state(channel.state), fields.lines(4))
}

fn role(channel: &ChannelInfo) -> &'static str {
    match channel.role {
        thunder_api::Role::A => "A, who opened it",
        thunder_api::Role::B => "B",
    }
}
