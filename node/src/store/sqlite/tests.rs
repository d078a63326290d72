//! The database: what is written is read again, and what must not be there is refused.

use thunder_protocol::channel::{CommandId, Direction, PaymentWrite, Terms};
use thunder_protocol::{Address, Amount, B256, Balances, Channel, Memo, Nonce, Payment, PaymentId, Role};

use thunder_engine::{
    ChannelWrite, NewChannel, PaymentWrites, Settlements, Storage, StorageError, StoredChannel, Writes,
};

use super::payments::OWN_PAYMENTS;
use super::*;

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

/// A channel that somebody wants to open; the first 8 bytes of its address are the number.
fn awaited(number: u64) -> Channel {
    let mut address = Address::ZERO;
    address[..8].copy_from_slice(&number.to_be_bytes());
    Channel::accept(Terms { channel: address, role: Role::B, ..channel(1).setup().terms().clone() }).channel
}

const GENESIS: B256 = B256::repeat_byte(9);

fn state(row: i64, channel: &Channel, is_over: bool) -> ChannelWrite {
    ChannelWrite { row, state: channel.encode().unwrap(), is_over }
}

/// Writes that add a channel in this row.
fn opening(row: i64, channel: &Channel, is_over: bool) -> Writes {
    let setup = channel.setup();
    let opened = NewChannel {
        row,
        address: setup.terms().channel,
        genesis: GENESIS,
        wallet: setup.party(setup.role()),
        partner: setup.partner(),
        first_block: 3,
        created: 4,
    };
    Writes { opened: vec![opened], states: vec![state(row, channel, is_over)], ..Writes::default() }
}

fn add(store: &SqliteStore, channel: &Channel, is_over: bool) -> i64 {
    let row = store.next_channel_row().unwrap();
    store.clone().commit(&opening(row, channel, is_over)).unwrap();
    row
}

pub(super) fn added(store: &SqliteStore, number: u8) -> i64 {
    add(store, &channel(number), false)
}

/// What changes with one input.
fn change(row: i64, channel: &Channel, is_over: bool, payments: Vec<PaymentWrite>) -> Writes {
    let settled = Settlements::default();
    let payments = vec![PaymentWrites { row, time: 7, writes: payments, settled }];
    Writes { payments, states: vec![state(row, channel, is_over)], ..Writes::default() }
}

fn write(
    store: &SqliteStore,
    row: i64,
    channel: &Channel,
    payments: Vec<PaymentWrite>,
) -> Result<(), StorageError> {
    store.clone().commit(&change(row, channel, false, payments))
}

#[test]
fn a_channel_comes_back_as_it_was() {
    let store = SqliteStore::in_memory();
    added(&store, 1);
    let stored = store.channels(GENESIS).unwrap();
    assert_eq!((stored[0].first_block, stored[0].created), (3, 4));
    assert_eq!(stored[0].channel.encode().unwrap(), channel(1).encode().unwrap());
    assert!(store.knows_address(&Address::repeat_byte(1)).unwrap());
    assert!(store.channels(B256::ZERO).unwrap().is_empty(), "another chain");
    assert_eq!(store.channels_elsewhere(B256::ZERO).unwrap(), 1);
}

#[test]
fn rule_4_a_batch_is_on_disk_whole_or_not_at_all() {
    let store = SqliteStore::in_memory();
    let id = added(&store, 1);
    let (first, again) = (vec![insert("a", 1)], vec![insert("a", 3)]);
    let mut writes = change(id, &channel(1), false, first);
    writes.payments.push(PaymentWrites { row: id, time: 7, writes: again, settled: Settlements::default() });
    assert!(store.clone().commit(&writes).is_err(), "a payment twice");
    assert!(store.own_payments(&PaymentId::new("a").unwrap()).unwrap().is_empty());
}

#[test]
fn rule_6_a_payment_is_applied_once() {
    let store = SqliteStore::in_memory();
    let id = added(&store, 1);
    write(&store, id, &channel(1), vec![insert("a", 1)]).unwrap();
    assert!(write(&store, id, &channel(1), vec![insert("a", 3)]).is_err());
}

#[test]
fn payments_move_with_their_proposal() {
    let store = SqliteStore::in_memory();
    let (id, other) = (added(&store, 1), added(&store, 2));
    write(&store, id, &channel(1), vec![insert("old", 1)]).unwrap();
    write(&store, id, &channel(1), vec![insert("a", 3), insert("b", 3)]).unwrap();
    write(&store, other, &channel(2), vec![insert("elsewhere", 3)]).unwrap();
    let (from, to) = (Nonce::new(3).unwrap(), Nonce::new(5).unwrap());
    write(&store, id, &channel(1), vec![PaymentWrite::Move { from, to }, insert("c", 5)]).unwrap();
    let connection = store.connection.borrow();
    let proposed = store.proposed_payments(&connection, id, to).unwrap();
    assert_eq!(proposed.iter().map(|payment| payment.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    drop(connection);
    assert_eq!(proposed[2].amount.base_units(), 258);
    let nonces = |id: &str| -> Vec<_> {
        store
            .own_payments(&PaymentId::new(id).unwrap())
            .unwrap()
            .iter()
            .map(|payment| payment.nonce)
            .collect()
    };
    assert_eq!(nonces("a"), [Some(to)]);
    write(&store, id, &channel(1), vec![PaymentWrite::Fail { nonce: to }]).unwrap();
    assert_eq!(nonces("a"), [None]);
}

#[test]
fn rule_6_an_own_payment_is_found_by_its_id_over_whatever_channel_it_went() {
    let store = SqliteStore::in_memory();
    let (first, second) = (added(&store, 1), added(&store, 2));
    let received = |id: &str| match insert(id, 2) {
        PaymentWrite::Insert { payment, nonce, time, .. } => {
            PaymentWrite::Insert { direction: Direction::In, payment, nonce, time }
        }
        other => other,
    };
    write(&store, first, &channel(1), vec![insert("rent", 1), received("tea")]).unwrap();
    write(&store, second, &channel(2), vec![insert("tea", 1), received("rent")]).unwrap();
    let channels = |id: &str| -> Vec<_> {
        store
            .own_payments(&PaymentId::new(id).unwrap())
            .unwrap()
            .iter()
            .map(|payment| payment.channel)
            .collect()
    };
    assert_eq!((channels("rent"), channels("tea"), channels("none")), (vec![first], vec![second], vec![]));
    // However long the history is.
    let connection = store.connection.borrow();
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {OWN_PAYMENTS}")).unwrap();
    let plan: Vec<String> = plan.query_map(["rent"], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
    assert_eq!(plan, ["SEARCH payments USING INDEX payments_by_id (payment_id=? AND outgoing=?)"]);
}

/// A database of the first format, but for the names of two columns, so that what is written now fits.
fn first_format() -> SqliteStore {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::create(&mut connection, 1).unwrap();
    let rename = "ALTER TABLE channels RENAME COLUMN since TO first_block;
        ALTER TABLE channels RENAME COLUMN over TO is_over;";
    connection.execute_batch(rename).unwrap();
    let connection = Rc::new(RefCell::new(connection));
    SqliteStore { connection, is_in_transaction: Rc::default(), newest_event: Rc::default() }
}

/// Gives them their old names, and opens it as the present release does.
fn from_first_format(store: SqliteStore) -> SqliteStore {
    let connection = Rc::into_inner(store.connection).unwrap().into_inner();
    let rename = "ALTER TABLE channels RENAME COLUMN first_block TO since;
        ALTER TABLE channels RENAME COLUMN is_over TO over;";
    connection.execute_batch(rename).unwrap();
    SqliteStore::prepare(connection).unwrap()
}

#[test]
fn payments_of_the_first_format_are_kept() {
    let store = first_format();
    let (id, other) = (added(&store, 1), added(&store, 2));
    write(&store, id, &channel(1), vec![insert("a", 1), insert("b", 1)]).unwrap();
    write(&store, other, &channel(2), vec![insert("a", 1)]).unwrap();
    let store = from_first_format(store);
    let ids = ["a", "b"].map(|id| store.own_payments(&PaymentId::new(id).unwrap()).unwrap().len());
    assert_eq!(ids, [2, 1]);
    assert!(write(&store, id, &channel(1), vec![insert("a", 3)]).is_err(), "it is applied once");
    check_whole(&store.connection.borrow()).unwrap();
}

#[test]
fn how_far_a_chain_was_read_is_kept_for_each_chain() {
    let store = SqliteStore::in_memory();
    assert_eq!(store.head(GENESIS).unwrap(), None);
    for head in [7, 9] {
        store.clone().commit(&Writes { head: Some((GENESIS, head)), ..Writes::default() }).unwrap();
    }
    assert_eq!((store.head(GENESIS).unwrap(), store.head(B256::ZERO).unwrap()), (Some(9), None));
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let connection = Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(SqliteStore::prepare(connection), Err(DatabaseError::TooNew { found: 99, .. })));
}

#[test]
fn rule_4_a_commit_waits_for_the_drive_on_macos_too() {
    let store = SqliteStore::in_memory();
    let connection = store.connection.borrow();
    for (name, value) in [("synchronous", 2), ("fullfsync", 1), ("checkpoint_fullfsync", 1)] {
        let found: i64 = connection.pragma_query_value(None, name, |row| row.get(0)).unwrap();
        assert_eq!(found, value, "{name}");
    }
}

/// Waves of as many as may wait at the same time (`MAX_INBOUND_PENDING_IN_ALL`), each given up before the next.
#[test]
fn a_flood_of_openings_that_never_come_leaves_the_database_as_small_as_it_was() {
    const WAVE: u64 = 512;
    let store = SqliteStore::in_memory();
    added(&store, 1);
    let mut sizes = Vec::new();
    for wave in 0..20 {
        let first = store.next_channel_row().unwrap();
        let mut writes = Writes::default();
        for (row, number) in (first..).zip(wave * WAVE..(wave + 1) * WAVE) {
            let Writes { opened, states, .. } = opening(row, &awaited(number), false);
            writes.opened.extend(opened);
            writes.states.extend(states);
            writes.forgotten.push(row);
        }
        let forgotten = std::mem::take(&mut writes.forgotten);
        store.clone().commit(&writes).unwrap();
        sizes.push(store.size().unwrap());
        store.clone().commit(&Writes { forgotten, ..Writes::default() }).unwrap();
    }
    assert!(sizes.iter().all(|size| size == &sizes[0]), "{sizes:?}");
    let rows =
        store.connection.borrow().query_row("SELECT count(*) FROM channels", [], |row| row.get::<_, u64>(0));
    assert_eq!(rows.unwrap(), 1, "what was no opening of theirs is still there");
    assert!(store.knows_address(&Address::repeat_byte(1)).unwrap());
}

#[test]
fn openings_that_the_first_format_gave_up_are_deleted_and_restored_ones_are_kept() {
    let store = first_format();
    let add = |channel: &Channel, is_over: bool| {
        add(&store, channel, is_over);
        channel.setup().terms().channel
    };
    let given_up = add(&awaited(1), true);
    let kept = [add(&awaited(2).mark_stale(), true), add(&awaited(3), false), add(&channel(1), false)];
    let store = from_first_format(store);
    assert!(!store.knows_address(&given_up).unwrap());
    assert!(kept.iter().all(|address| store.knows_address(address).unwrap()));
}

#[test]
fn rule_9_a_rebuilt_database_has_the_rows_that_count_and_no_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let from = directory.path().join("from");
    let identity = thunder_chain::ChainIdentity { chain_id: 31337, genesis: GENESIS };
    {
        let store = SqliteStore::open(&from).unwrap();
        store.set_identity(&identity).unwrap();
        let id = added(&store, 1);
        let writes = change(id, &channel(1), true, vec![insert("a", 1)]);
        store.clone().commit(&Writes { head: Some((GENESIS, 5)), ..writes }).unwrap();
        let connection = store.connection.borrow();
        connection.execute("INSERT INTO transactions VALUES (x'00', x'00', 'Close', '{}')", []).unwrap();
        connection.execute("CREATE INDEX more ON payments (memo)", []).unwrap();
        connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
    }
    for is_signed in [true, false] {
        let to = directory.path().join(format!("{is_signed}"));
        let store = SqliteStore::rebuild(&from, &to, is_signed).unwrap();
        assert_eq!(store.identity().unwrap(), Some(identity));
        assert_eq!(store.own_payments(&PaymentId::new("a").unwrap()).unwrap().len(), 1);
        assert_eq!(store.head(GENESIS).unwrap(), is_signed.then_some(5), "a head that nobody has signed");
        let count =
            |sql: &str| -> u64 { store.connection.borrow().query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(count("SELECT count(*) FROM transactions"), 0);
        assert_eq!(count("SELECT count(*) FROM sqlite_schema WHERE name = 'more'"), 0);
        let mark = |stored: StoredChannel| {
            assert!(stored.is_over, "as the column says");
            let channel = stored.channel.mark_stale();
            Ok::<_, DatabaseError>(StoredChannel { channel, is_over: false, ..stored })
        };
        store.mark_all_lost(mark).unwrap();
        let stored = store.channels(GENESIS).unwrap();
        assert_eq!((stored.len(), stored[0].is_over, stored[0].first_block), (1, false, 3));
        let lost = channel(1).mark_stale().encode().unwrap();
        assert_eq!(stored[0].channel.encode().unwrap(), lost);
    }
}
