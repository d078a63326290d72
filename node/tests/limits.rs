//! `docs/limits.md` says what the code does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use thunder_node::limits;
use thunder_protocol::{codec, wire};

#[test]
fn the_page_of_limits_has_those_of_the_code_and_no_others() {
    let seconds = |duration: std::time::Duration| format!("{} s", duration.as_secs());
    let from_millis = |millis: u64| format!("{} s", millis / 1000);
    let expected = [
        ("MAX_CONNECTIONS", limits::MAX_CONNECTIONS.to_string()),
        ("MAX_PENDING_INCOMING", limits::MAX_PENDING_INCOMING.to_string()),
        ("MAX_PER_PEER", limits::MAX_PER_PEER.to_string()),
        ("MAX_STRANGERS", limits::MAX_STRANGERS.to_string()),
        ("PROVE_WITHIN", from_millis(limits::PROVE_WITHIN)),
        ("CONNECT_TIMEOUT", seconds(limits::CONNECT_TIMEOUT)),
        ("PING_INTERVAL", seconds(limits::PING_INTERVAL)),
        ("PING_TIMEOUT", seconds(limits::PING_TIMEOUT)),
        ("FIRST_RETRY", from_millis(limits::FIRST_RETRY)),
        ("LAST_RETRY", from_millis(limits::LAST_RETRY)),
        ("MAX_LEN", codec::MAX_LEN.to_string()),
        ("MAX_MESSAGES", wire::MAX_MESSAGES.to_string()),
        ("MAX_PAYMENTS", wire::MAX_PAYMENTS.to_string()),
        ("MAX_STREAMS", limits::MAX_STREAMS.to_string()),
        ("EXCHANGE_TIMEOUT", seconds(limits::EXCHANGE_TIMEOUT)),
        ("SMALL_MESSAGE", limits::SMALL_MESSAGE.to_string()),
        ("LARGE_PER_CONNECTION", limits::LARGE_PER_CONNECTION.to_string()),
        ("LARGE_IN_ALL", limits::LARGE_IN_ALL.to_string()),
        ("WAITING_PER_CONNECTION", limits::WAITING_PER_CONNECTION.to_string()),
        ("WAITING_IN_ALL", limits::WAITING_IN_ALL.to_string()),
        ("DECODED_IN_ALL", limits::DECODED_IN_ALL.to_string()),
        ("EXPANSION", codec::EXPANSION.to_string()),
        ("BUDGET", limits::BUDGET.to_string()),
        ("BUDGET_PER_SECOND", limits::BUDGET_PER_SECOND.to_string()),
        ("HANDSHAKE_COST", limits::HANDSHAKE_COST.to_string()),
        ("UNKNOWN_CHANNEL_COST", limits::UNKNOWN_CHANNEL_COST.to_string()),
        ("STRANGER_LINES", limits::STRANGER_LINES.to_string()),
        ("STRANGER_LINES_PER_SECOND", limits::STRANGER_LINES_PER_SECOND.to_string()),
        ("MAX_INBOUND_PENDING", limits::MAX_INBOUND_PENDING.to_string()),
        ("MAX_INBOUND_PENDING_IN_ALL", limits::MAX_INBOUND_PENDING_IN_ALL.to_string()),
        ("INBOUND_PENDING_FOR", from_millis(limits::INBOUND_PENDING_FOR)),
        ("OFFER_LASTS", from_millis(limits::OFFER_LASTS)),
        ("MAX_DISCOVERED", limits::MAX_DISCOVERED.to_string()),
        ("MAX_ADDRESSES", limits::MAX_ADDRESSES.to_string()),
        ("MAX_SHOWN", limits::MAX_SHOWN.to_string()),
        ("MAX_HISTORY", limits::MAX_HISTORY.to_string()),
        ("MAX_PAYMENTS_IN_CALL", limits::MAX_PAYMENTS_IN_CALL.to_string()),
    ];
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let listed: Vec<_> =
        rows.filter_map(|(name, rest)| Some((name, rest.split_once(" |")?.0.to_owned()))).collect();
    assert_eq!(listed, expected);
}
