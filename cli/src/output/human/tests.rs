//! The texts for people, answer by answer.

use thunder_api::{
    ChainInfo, ChannelInfo, ChecksumAddress, Discovered, ExportedReceipt, Infos, Numbered, PeerChange, Role,
    Warning, WatchEvent,
};
use thunder_protocol::{Address, B256, Memo, PaymentId};

use super::*;

const TX: B256 = B256::repeat_byte(0xee);
const ID: &str = "0123456789abcdef0123456789abcdef";
const EVENING: u64 = 1_795_371_903_000;

fn account(byte: u8) -> ChecksumAddress {
    ChecksumAddress(Address::repeat_byte(byte))
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Without colours, which are for terminals.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn peer() -> Peer {
    Peer {
        peer_id: "12D3KooWPeer".into(),
        address: "/ip4/127.0.0.1/tcp/2002".into(),
        wallet: Some(account(0x22)),
        requested: true,
    }
}

fn numbered<T>(of: T) -> Numbered<T> {
    Numbered { seq: 7, time: EVENING, of }
}

fn channel() -> ChannelInfo {
    ChannelInfo {
        channel: account(0xcc),
        peer: Some("12D3KooWPeer".into()),
        partner: account(0x22),
        state: ContractState::Active,
        role: Role::A,
        amount: amount("10"),
        mine: amount("8.75"),
        theirs: amount("1.25"),
        nonce: 3,
        pending: Amount::ZERO,
        closing_block: None,
        withdrawable_at: None,
        next: vec!["pay".into(), "closechannel".into()],
        next_text: "pay, or closechannel".into(),
    }
}

fn fresh_infos() -> Infos {
    Infos {
        version: "0.0.1".into(),
        port: 2001,
        peer_id: "12D3KooWOwn".into(),
        listen: vec!["/ip4/10.0.0.1/tcp/2001".into(), "/ip4/10.0.0.1/udp/2001/quic-v1".into()],
        wallet: None,
        chain: ChainInfo {
            rpc: "http://localhost:8545".into(),
            connected: false,
            chain_id: None,
            block: None,
            endpoints: vec![],
        },
        token: account(0x70),
        factory: account(0xfa),
        peers: vec![],
        discovered: vec![],
        channels: vec![],
        channels_hidden: 0,
        warnings: vec![],
    }
}

fn payment(direction: Direction, text: &str, status: PaymentStatus) -> PaymentInfo {
    PaymentInfo {
        seq: None,
        partner: account(0x22),
        invoice: None,
        id: PaymentId::new(ID).unwrap(),
        channel: account(0xcc),
        direction,
        amount: amount(text),
        memo: Memo::new("coffee").unwrap(),
        nonce: Some(3),
        time: EVENING,
        status,
    }
}

#[test]
fn infos_of_a_fresh_node_say_what_to_do_next() {
    assert_eq!(
        plain(&infos(&fresh_infos())),
        "\
Node
  version     0.0.1
  port        2001
  peer id     12D3KooWOwn
  listens on  /ip4/10.0.0.1/tcp/2001
              /ip4/10.0.0.1/udp/2001/quic-v1
Wallet
  none; next: thunder-cli importwallet
Chain
  RPC       http://localhost:8545 (not reachable)
  chain id  not known yet
  block     not known yet
  THD       0x7070707070707070707070707070707070707070
  factory   0xFafafAfafAFaFAFaFafafafAfaFaFAfAfAfAFaFA
Connected nodes
  none; next: thunder-cli connect <ip:port>
Channels
  none; next: thunder-cli openchannel
"
    );
}

#[test]
fn infos_show_wallet_chain_peers_channels_and_warnings() {
    let mut all = fresh_infos();
    all.wallet = Some(account(0x11));
    all.chain.connected = true;
    all.chain.chain_id = Some(31337);
    all.chain.block = Some(114);
    all.peers = vec![peer()];
    all.discovered = vec![Discovered {
        peer_id: "12D3KooWOther".into(),
        address: "/ip4/10.0.0.2/tcp/2001/p2p/12D3KooWOther".into(),
    }];
    all.channels = vec![ChannelInfo {
        state: ContractState::Closing,
        pending: amount("0.5"),
        closing_block: Some(99),
        withdrawable_at: Some(123),
        next_text: "withdraw possible from block 123, in 9 blocks".into(),
        ..channel()
    }];
    all.warnings = vec!["the disk is nearly full".into()];
    all.channels_hidden = 3;
    let text = plain(&infos(&all));
    let end = text.split_once("Wallet\n").unwrap().1;
    assert_eq!(
        end,
        "  address  0x1111111111111111111111111111111111111111
Chain
  RPC       http://localhost:8545 (connected)
  chain id  31337
  block     114
  THD       0x7070707070707070707070707070707070707070
  factory   0xFafafAfafAFaFAFaFafafafAfaFaFAfAfAfAFaFA
Connected nodes
  12D3KooWPeer
    address  /ip4/127.0.0.1/tcp/2002
    wallet   0x2222222222222222222222222222222222222222
Found in the local network
  12D3KooWOther
    address  /ip4/10.0.0.2/tcp/2001
Channels
  0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC  CLOSING
    with     0x2222222222222222222222222222222222222222 (connected)
    holds    10 THD
    yours     8.75 THD
    theirs    1.25 THD
    pending  0.5 THD, of yours, paid and not answered yet
    receipt  3; you are A, who opened it
    closed   in block 99
    next     withdraw possible from block 123, in 9 blocks
  3 closed channels more: thunder-cli infos --all
Warnings
  ! the disk is nearly full
"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn balances_are_aligned_at_the_point() {
    let shown = Balance {
        total: Some("100".into()),
        wallet: Some("91.25".into()),
        channel: "8.75".into(),
        eth: Some("9999.999000099999999999".into()),
        warnings: vec!["too little ETH".into()],
    };
    assert_eq!(
        plain(&balance(&shown)),
        "\
total           100 THD
in the wallet    91.25 THD
in channels       8.75 THD
for gas        9999.999 ETH
Warnings
  ! too little ETH
"
    );
}

#[test]
fn ether_has_six_decimals_at_most() {
    for (exact, shown) in [
        ("0", "0"),
        ("1.5", "1.5"),
        ("2.0000009", "2"),
        ("0.0000009", "<0.000001"),
        ("0.1234567", "0.123456"),
    ] {
        assert_eq!(rounded_ether(exact), shown);
    }
}

#[test]
fn a_balance_without_the_chain_is_the_shares() {
    let shown = Balance {
        total: None,
        wallet: None,
        channel: "8.75".into(),
        eth: None,
        warnings: vec!["why".into()],
    };
    assert_eq!(
        plain(&balance(&shown)),
        "\
total          not known
in the wallet  not known
in channels    8.75 THD
for gas        not known
Warnings
  ! why
"
    );
}

#[test]
fn opening_tells_what_comes_next() {
    let mut open = PaidIn {
        channel: account(0xcc),
        amount: amount("10"),
        mine: amount("10"),
        state: ContractState::Active,
        tx: Some(TX),
    };
    assert_eq!(
        plain(&opened(&open)),
        format!(
            "\
channel 0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC is ACTIVE
  holds  10 THD
  yours  10 THD
  tx     {TX}
  next   thunder-cli pay <amount>
"
        )
    );
    open.state = ContractState::Empty;
    open.mine = amount("4");
    let text = plain(&opened(&open));
    assert!(text.contains("will hold  10 THD\n  yours      4 THD\n"), "{text}");
    assert!(text.contains("the other side pays its share: thunder-cli fund\n"), "{text}");
    assert!(plain(&funded(&open)).starts_with("paid into channel 0xCcCC"));
}

#[test]
fn a_payment_shows_both_shares_and_its_id() {
    let done = Paid {
        id: PaymentId::new(ID).unwrap(),
        channel: account(0xcc),
        amount: amount("1.25"),
        nonce: 3,
        mine: amount("8.75"),
        theirs: amount("11.25"),
    };
    assert_eq!(
        plain(&paid(&done)),
        "\
paid 1.25 THD
  yours     8.75 THD
  theirs   11.25 THD
  receipt  3
  id       0123456789abcdef0123456789abcdef
  channel  0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC
"
    );
}

#[test]
fn closing_tells_when_the_money_comes() {
    let mut closed = ClosingStarted {
        channel: account(0xcc),
        tx: Some(TX),
        mode: ClosedBy::Unilateral,
        nonce: 3,
        withdrawable_at: Some(123),
    };
    assert_eq!(
        plain(&closing(&closed)),
        format!(
            "\
channel 0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC is CLOSING
  on    receipt 3
  tx    {TX}
  next  thunder-cli withdraw, from block 123
"
        )
    );
    closed.mode = ClosedBy::Proposal;
    assert!(plain(&closing(&closed)).contains("receipt 3, your own unanswered proposal\n"));
    closed = ClosingStarted {
        mode: ClosedBy::Cooperative,
        nonce: Nonce::FINAL.get(),
        withdrawable_at: None,
        ..closed
    };
    let text = plain(&closing(&closed));
    assert!(text.contains("is CLOSED\n  on    a FINAL receipt"), "{text}");
    assert!(text.contains("nothing; your share is in the wallet\n"), "{text}");
}

#[test]
fn what_was_received_is_said_even_if_the_other_side_was_first() {
    let mut out = PaidOut {
        channel: account(0xcc),
        tx: Some(TX),
        received: amount("8.75"),
        end: Ended::Withdrawn,
        by_other: false,
        already: false,
    };
    assert!(plain(&withdrawn(&out)).starts_with("withdrawn: 8.75 THD\n  channel  0xCcCC"));
    assert!(plain(&challenged(&out)).contains("you received the whole channel, 8.75 THD\n"));
    assert!(plain(&cancelled(&out)).starts_with("cancelled; you got back 8.75 THD\n"));
    out.already = true;
    assert!(plain(&withdrawn(&out)).starts_with("withdrawn before: 8.75 THD\n"));
    assert!(plain(&challenged(&out)).starts_with("challenged before, with a newer receipt;"));
    assert!(plain(&cancelled(&out)).starts_with("cancelled before; you got back 8.75 THD\n"));
    out.by_other = true;
    let text = plain(&withdrawn(&out));
    assert!(text.starts_with("the other side had already withdrawn for both; you received 8.75 THD\n"));
}

#[test]
fn history_names_the_channel_only_where_there_are_several() {
    let mut list = History {
        payments: vec![
            payment(Direction::Out, "1.25", PaymentStatus::Done),
            payment(Direction::In, "10", PaymentStatus::Pending),
        ],
        next: None,
    };
    list.payments[1].nonce = None;
    list.payments[1].memo = Memo::default();
    assert_eq!(
        plain(&history(&list)),
        "\
2026-11-22 18:25:03  out   1.25 THD  done     coffee
  id 0123456789abcdef0123456789abcdef  receipt 3
2026-11-22 18:25:03  in   10    THD  pending
  id 0123456789abcdef0123456789abcdef
"
    );
    list.payments[1].channel = account(0xdd);
    assert!(plain(&history(&list)).contains("receipt 3  channel 0xCcCCcccc…\n"));
    assert_eq!(history(&History { payments: vec![], next: None }), "no payments yet\n");
}

#[test]
fn every_event_is_one_line() {
    let line = |of: &WatchEvent| plain(&event(of));
    assert_eq!(
        line(&WatchEvent::Payment(payment(Direction::In, "2", PaymentStatus::Done))),
        "2026-11-22 18:25:03  received 2 THD from channel 0xCcCCcccc…: coffee\n"
    );
    assert_eq!(
        line(&WatchEvent::Payment(payment(Direction::Out, "2", PaymentStatus::Failed))),
        "2026-11-22 18:25:03  paid 2 THD into channel 0xCcCCcccc… (failed): coffee\n"
    );
    assert_eq!(
        line(&WatchEvent::Channel(numbered(channel()))),
        "2026-11-22 18:25:03  channel 0xCcCCcccc… ACTIVE: yours 8.75 THD, theirs 1.25 THD; pay, or \
         closechannel\n"
    );
    let change = |connected| WatchEvent::Peer(numbered(PeerChange { connected, peer: peer() }));
    assert_eq!(line(&change(true)), "2026-11-22 18:25:03  connected to 12D3KooWPeer\n");
    assert_eq!(line(&change(false)), "2026-11-22 18:25:03  12D3KooWPeer is gone\n");
    assert_eq!(
        line(&WatchEvent::Chain(numbered(ChainInfo { block: Some(7), ..fresh_infos().chain }))),
        "2026-11-22 18:25:03  chain http://localhost:8545 (not reachable), block 7\n"
    );
    let warning = Warning { message: "too late?".into(), channel: Some(account(0xcc)) };
    assert_eq!(
        line(&WatchEvent::Warning(numbered(warning))),
        "2026-11-22 18:25:03  warning: channel 0xCcCCcccc…: too late?\n"
    );
}

#[test]
fn an_export_names_its_file_and_what_is_in_it() {
    let agreed = ExportedReceipt {
        nonce: 3,
        balance_a: "1".into(),
        balance_b: "2".into(),
        digest: TX,
        signature_a: None,
        signature_b: None,
    };
    let receipts = ExportedReceipts {
        channel: account(0xcc),
        chain_id: 31337,
        part_a: account(0x11),
        part_b: account(0x22),
        role: Role::A,
        agreed: agreed.clone(),
        proposal: Some(agreed),
        watchtower: None,
    };
    assert_eq!(
        plain(&exported(&receipts, Path::new("r.json"))),
        "receipt 3 and your own unanswered proposal of channel \
         0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC written to r.json\n"
    );
}

#[test]
fn a_foreign_address_can_not_steer_the_terminal() {
    let evil = Peer { address: "\u{1b}]0;owned\u{7}".into(), ..peer() };
    let text = plain(&connected(&evil));
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
}
