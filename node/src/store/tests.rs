use thunder_protocol::channel::{CommandId, Direction, PaymentWrite, Terms};
use thunder_protocol::{Address, Amount, B256, Balances, Channel, Memo, Nonce, Payment, PaymentId, Role};

use super::*;

fn store() -> Store {
    Store::prepare(Connection::open_in_memory().unwrap()).unwrap()
}

fn channel(number: u8) -> Channel {
    let shares = Balances { a: Amount::ONE_THD, b: Amount::ZERO };
    let terms = Terms {
        channel: Address::repeat_byte(number),
        chain_id: 31337,
        token: Address::repeat_byte(1),
        factory: Address::repeat_byte(2),
        salt: B256::repeat_byte(number),
        part_a: Address::repeat_byte(0xa),
        part_b: Address::repeat_byte(0xb),
        role: Role::A,
        amount: Amount::ONE_THD,
        shares,
    };
    Channel::open(terms, Amount::ONE_THD, CommandId(1)).channel
}

fn insert(id: &str, nonce: u64) -> PaymentWrite {
    let payment = Payment {
        id: PaymentId::new(id).unwrap(),
        amount: Amount::from_base_units(258).unwrap(),
        memo: Memo::new("for tea").unwrap(),
    };
    PaymentWrite::Insert { direction: Direction::Out, payment, nonce: Nonce::new(nonce).unwrap(), time: 7 }
}

const GENESIS: B256 = B256::repeat_byte(9);

fn added(store: &Store, number: u8) -> i64 {
    store.begin().unwrap();
    let id = store.add_channel(&channel(number), GENESIS, 3, 4).unwrap();
    store.commit().unwrap();
    id
}

#[test]
fn a_channel_comes_back_as_it_was() {
    let store = store();
    added(&store, 1);
    let stored = store.channels(GENESIS).unwrap();
    assert_eq!((stored[0].since, stored[0].created), (3, 4));
    assert_eq!(stored[0].channel.encode().unwrap(), channel(1).encode().unwrap());
    assert!(store.knows_address(&Address::repeat_byte(1)).unwrap());
    assert!(store.channels(B256::ZERO).unwrap().is_empty(), "another chain");
    assert_eq!(store.channels_elsewhere(B256::ZERO).unwrap(), 1);
}

#[test]
fn rule_4_a_batch_is_on_disk_whole_or_not_at_all() {
    let store = store();
    let id = added(&store, 1);
    store.begin().unwrap();
    store.write_channel(id, &channel(1), false, &[insert("a", 1)]).unwrap();
    store.roll_back();
    assert!(store.payments(&PaymentQuery { limit: 10, channel: None }).unwrap().is_empty());
}

#[test]
fn rule_6_a_payment_is_applied_once() {
    let store = store();
    let id = added(&store, 1);
    store.begin().unwrap();
    store.write_channel(id, &channel(1), false, &[insert("a", 1)]).unwrap();
    assert!(store.write_channel(id, &channel(1), false, &[insert("a", 3)]).is_err());
    store.roll_back();
}

#[test]
fn payments_move_with_their_proposal_and_come_back_newest_first() {
    let store = store();
    let (id, other) = (added(&store, 1), added(&store, 2));
    store.begin().unwrap();
    store.write_channel(id, &channel(1), false, &[insert("old", 1)]).unwrap();
    store.write_channel(id, &channel(1), false, &[insert("a", 3), insert("b", 3)]).unwrap();
    store.write_channel(other, &channel(2), false, &[insert("elsewhere", 3)]).unwrap();
    let (from, to) = (Nonce::new(3).unwrap(), Nonce::new(5).unwrap());
    store.write_channel(id, &channel(1), false, &[PaymentWrite::Move { from, to }, insert("c", 5)]).unwrap();
    store.commit().unwrap();
    let connection = store.connection.borrow();
    let proposed = store.proposed_payments(&connection, id, to).unwrap();
    assert_eq!(proposed.iter().map(|payment| payment.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    drop(connection);
    let history = store.payments(&PaymentQuery { channel: Some(id), limit: 2 }).unwrap();
    assert_eq!(history.iter().map(|stored| stored.payment.id.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    assert_eq!(history[0].payment.amount.base_units(), 258);
    let known = store.own_payment(id, &PaymentId::new("a").unwrap()).unwrap().unwrap();
    assert_eq!(known.nonce, Some(to));
    store.begin().unwrap();
    store.write_channel(id, &channel(1), false, &[PaymentWrite::Fail { nonce: to }]).unwrap();
    store.commit().unwrap();
    assert_eq!(store.own_payment(id, &PaymentId::new("a").unwrap()).unwrap().unwrap().nonce, None);
}

#[test]
fn how_far_a_chain_was_read_is_kept_for_each_chain() {
    let store = store();
    assert_eq!(store.head(GENESIS).unwrap(), None);
    store.begin().unwrap();
    store.set_head(GENESIS, 7).unwrap();
    store.set_head(GENESIS, 9).unwrap();
    store.commit().unwrap();
    assert_eq!((store.head(GENESIS).unwrap(), store.head(B256::ZERO).unwrap()), (Some(9), None));
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let connection = Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::prepare(connection), Err(StoreError::TooNew { found: 99, .. })));
}

#[test]
fn rule_4_a_commit_waits_for_the_drive_on_macos_too() {
    let store = store();
    let connection = store.connection.borrow();
    for (name, value) in [("synchronous", 2), ("fullfsync", 1), ("checkpoint_fullfsync", 1)] {
        let found: i64 = connection.pragma_query_value(None, name, |row| row.get(0)).unwrap();
        assert_eq!(found, value, "{name}");
    }
}
