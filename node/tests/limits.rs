//! `docs/limits.md` says what the code does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use thunder_node::daemon::limits as daemon;
use thunder_node::p2p::limits as p2p;
use thunder_protocol::{codec, wire};

#[test]
fn the_page_of_limits_has_those_of_the_code_and_no_others() {
    let seconds = |duration: std::time::Duration| format!("{} s", duration.as_secs());
    let from_millis = |millis: u64| format!("{} s", millis / 1000);
    let expected = [
        ("MAX_CONNECTIONS", p2p::MAX_CONNECTIONS.to_string()),
        ("MAX_PENDING_INCOMING", p2p::MAX_PENDING_INCOMING.to_string()),
        ("MAX_PER_PEER", p2p::MAX_PER_PEER.to_string()),
        ("MAX_STRANGERS", daemon::MAX_STRANGERS.to_string()),
        ("PROVE_WITHIN", from_millis(daemon::PROVE_WITHIN)),
        ("CONNECT_TIMEOUT", seconds(p2p::CONNECT_TIMEOUT)),
        ("PING_INTERVAL", seconds(p2p::PING_INTERVAL)),
        ("PING_TIMEOUT", seconds(p2p::PING_TIMEOUT)),
        ("FIRST_RETRY", from_millis(daemon::FIRST_RETRY)),
        ("LAST_RETRY", from_millis(daemon::LAST_RETRY)),
        ("MAX_LEN", codec::MAX_LEN.to_string()),
        ("MAX_MESSAGES", wire::MAX_MESSAGES.to_string()),
        ("MAX_PAYMENTS", wire::MAX_PAYMENTS.to_string()),
        ("MAX_STREAMS", p2p::MAX_STREAMS.to_string()),
        ("EXCHANGE_TIMEOUT", seconds(p2p::EXCHANGE_TIMEOUT)),
        ("SMALL_MESSAGE", p2p::SMALL_MESSAGE.to_string()),
        ("LARGE_PER_CONNECTION", p2p::LARGE_PER_CONNECTION.to_string()),
        ("LARGE_IN_ALL", p2p::LARGE_IN_ALL.to_string()),
        ("WAITING_PER_CONNECTION", p2p::WAITING_PER_CONNECTION.to_string()),
        ("WAITING_IN_ALL", p2p::WAITING_IN_ALL.to_string()),
        ("DECODED_IN_ALL", p2p::DECODED_IN_ALL.to_string()),
        ("EXPANSION", codec::EXPANSION.to_string()),
        ("BUDGET", daemon::BUDGET.to_string()),
        ("BUDGET_PER_SECOND", daemon::BUDGET_PER_SECOND.to_string()),
        ("HANDSHAKE_COST", daemon::HANDSHAKE_COST.to_string()),
        ("UNKNOWN_CHANNEL_COST", daemon::UNKNOWN_CHANNEL_COST.to_string()),
        ("STRANGER_LINES", daemon::STRANGER_LINES.to_string()),
        ("STRANGER_LINES_PER_SECOND", daemon::STRANGER_LINES_PER_SECOND.to_string()),
        ("MAX_INBOUND_PENDING", daemon::MAX_INBOUND_PENDING.to_string()),
        ("MAX_INBOUND_PENDING_IN_ALL", daemon::MAX_INBOUND_PENDING_IN_ALL.to_string()),
        ("INBOUND_PENDING_FOR", from_millis(daemon::INBOUND_PENDING_FOR)),
        ("OFFER_LASTS", from_millis(daemon::OFFER_LASTS)),
        ("MAX_DISCOVERED", daemon::MAX_DISCOVERED.to_string()),
        ("MAX_ADDRESSES", daemon::MAX_ADDRESSES.to_string()),
        ("MAX_SHOWN", daemon::MAX_SHOWN.to_string()),
        ("MAX_HISTORY", daemon::MAX_HISTORY.to_string()),
        ("MAX_PAYMENTS_IN_CALL", daemon::MAX_PAYMENTS_IN_CALL.to_string()),
    ];
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let listed: Vec<_> =
        rows.filter_map(|(name, rest)| Some((name, rest.split_once(" |")?.0.to_owned()))).collect();
    assert_eq!(listed, expected);
}
