//! Events are numbered without a gap, whatever they are, and read from any number on.

use thunder_engine::{PaymentWrites, Settlements, Storage, Writes};
use thunder_protocol::channel::{Direction, PaymentWrite};
use thunder_protocol::{Amount, Memo, Payment, PaymentId};

use super::super::SqliteReader;
use super::super::tests::added;
use super::*;
use crate::store::{EventReader, PaymentQuery, ProposedPayments, StoredEvent};

/// A database in a file, which a reader can open.
struct Database {
    directory: tempfile::TempDir,
    store: SqliteStore,
    rows: [i64; 2],
}

fn nonce(number: u64) -> Nonce {
    Nonce::new(number).unwrap()
}

fn insert(direction: Direction, id: &str, number: u64) -> PaymentWrite {
    let amount = Amount::ONE_THD;
    let payment = Payment { id: PaymentId::new(id).unwrap(), amount, memo: Memo::default() };
    PaymentWrite::Insert { direction, payment, nonce: nonce(number), time: 7 }
}

fn own(number: u64, count: u64, is_paid: bool) -> Settlements {
    Settlements { own: Some(OwnSettlement { nonce: nonce(number), count, is_paid }), partner: None }
}

fn partner(number: u64) -> Settlements {
    Settlements { own: None, partner: Some(nonce(number)) }
}

impl Database {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("thunder.db")).unwrap();
        let rows = [added(&store, 1), added(&store, 2)];
        Self { directory, store, rows }
    }

    fn reader(&self) -> SqliteReader {
        SqliteReader::open(&self.directory.path().join("thunder.db")).unwrap()
    }

    fn write(&self, row: i64, time: u64, writes: Vec<PaymentWrite>, settled: Settlements) {
        let payments = vec![PaymentWrites { row, time, writes, settled }];
        self.store.clone().commit(&Writes { payments, ..Writes::default() }).unwrap();
    }

    fn happen(&self, time: u64, is_kept: bool, body: &str) {
        let events = vec![NewEvent { time, is_kept, body: body.into() }];
        self.store.clone().commit(&Writes { events, ..Writes::default() }).unwrap();
    }

    /// Payments both ways over two channels, one of them put off, one failed, and two other events: 9 numbers.
    fn filled() -> Self {
        let database = Self::new();
        let [first, second] = database.rows;
        let none = Settlements::default();
        database.happen(10, true, "opened");
        let two = vec![insert(Direction::In, "a", 2), insert(Direction::In, "b", 2)];
        database.write(first, 20, two, partner(2));
        database.write(first, 30, vec![insert(Direction::Out, "c", 3)], none);
        database.write(second, 30, vec![insert(Direction::Out, "d", 1)], none);
        // Another proposal stands: the payment goes into the next one, with one more.
        let moved = PaymentWrite::Move { from: nonce(3), to: nonce(5) };
        let mixed = vec![insert(Direction::In, "e", 4), moved, insert(Direction::Out, "f", 5)];
        database.write(first, 40, mixed, partner(4));
        database.write(second, 50, vec![PaymentWrite::Fail { nonce: nonce(1) }], own(1, 1, false));
        database.write(first, 60, vec![insert(Direction::Out, "g", 7)], own(5, 2, true));
        database.happen(70, false, "gone");
        database.write(first, 80, Vec::new(), own(7, 1, true));
        database
    }
}

/// The events after a number, in short.
fn told(reader: &SqliteReader, after: u64, limit: usize) -> Vec<(u64, String)> {
    let short = |event: StoredEvent| match event {
        StoredEvent::Other(seq, body) => (seq, body),
        StoredEvent::Payment(it) => (it.seq.unwrap(), it.payment.payment.id.to_string()),
    };
    reader.events(after, limit).unwrap().into_iter().map(short).collect()
}

const ALL: [&str; 9] = ["opened", "a", "b", "e", "d", "c", "f", "gone", "g"];

#[test]
fn every_event_has_the_next_number_and_is_read_from_any_number_on_at_any_pace() {
    let database = Database::filled();
    let reader = database.reader();
    let all: Vec<_> = (1..).zip(ALL.map(str::to_owned)).collect();
    for after in 0..=9 {
        for limit in 1..=10 {
            let expected: Vec<_> = all[after..].iter().take(limit).cloned().collect();
            assert_eq!(told(&reader, after as u64, limit), expected, "{limit} after {after}");
        }
    }
    assert_eq!(database.store.newest_event.get(), 9);
}

#[test]
fn numbers_go_on_after_a_restart_and_a_refused_write_takes_none() {
    let database = Database::filled();
    let [first, _] = database.rows;
    let again = vec![insert(Direction::In, "a", 6)];
    let payments = vec![PaymentWrites { row: first, time: 90, writes: again, settled: partner(6) }];
    assert!(database.store.clone().commit(&Writes { payments, ..Writes::default() }).is_err());
    let path = database.directory.path().join("thunder.db");
    drop(database.store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.newest_event.get(), 9);
    let events = vec![NewEvent { time: 91, is_kept: true, body: "next".into() }];
    store.clone().commit(&Writes { events, ..Writes::default() }).unwrap();
    assert_eq!(told(&SqliteReader::open(&path).unwrap(), 9, 9), [(10, "next".to_owned())]);
}

#[test]
fn payments_come_newest_first_page_by_page_and_by_any_filter() {
    let database = Database::filled();
    let [first, second] = database.rows;
    let reader = database.reader();
    let list = |query: PaymentQuery| -> String {
        let found = reader.payments(&query).unwrap();
        found.iter().map(|it| it.payment.payment.id.to_string()).collect::<Vec<_>>().concat()
    };
    let all = PaymentQuery { limit: 99, ..PaymentQuery::default() };
    assert_eq!(list(all.clone()), "gfcdeba");
    for page in 1..=7 {
        let (mut before, mut pages) = (None, String::new());
        loop {
            let found = reader.payments(&PaymentQuery { limit: page, before, ..all.clone() }).unwrap();
            let Some(last) = found.last() else { break };
            before = last.seq;
            pages += &found.iter().map(|it| it.payment.payment.id.to_string()).collect::<String>();
        }
        assert_eq!(pages, "gfcdeba", "{page} a page");
    }
    assert_eq!(list(PaymentQuery { after: Some(2), before: Some(7), ..all.clone() }), "cdeb");
    assert_eq!(list(PaymentQuery { channels: Some(vec![second]), ..all.clone() }), "d");
    assert_eq!(list(PaymentQuery { channels: Some(vec![first]), limit: 2, ..all.clone() }), "gf");
    assert_eq!(list(PaymentQuery { direction: Some(Direction::In), ..all.clone() }), "eba");
    assert_eq!(list(PaymentQuery { direction: Some(Direction::Out), ..all.clone() }), "gfcd");
    assert_eq!(list(PaymentQuery { since: Some(40), until: Some(60), ..all.clone() }), "de");
    let by_id = |id: &str| PaymentQuery { id: Some(PaymentId::new(id).unwrap()), ..all.clone() };
    for (place, id) in (1..).zip(ALL).filter(|(_, id)| id.len() == 1) {
        let found = reader.payments(&by_id(id)).unwrap();
        assert_eq!((found.len(), found[0].seq), (1, Some(place)), "{id}");
    }
    assert!(list(by_id("nobody")).is_empty());
}

#[test]
fn what_is_not_settled_is_found_and_has_no_number() {
    let database = Database::filled();
    let [first, _] = database.rows;
    let two = vec![insert(Direction::Out, "h", 9), insert(Direction::Out, "i", 9)];
    database.write(first, 90, two, Settlements::default());
    let reader = database.reader();
    let proposed =
        reader.proposed(&[ProposedPayments { channel: first, nonce: nonce(9), count: 2 }]).unwrap();
    let ids: Vec<_> = proposed.iter().map(|it| (it.seq, it.payment.payment.id.to_string())).collect();
    assert_eq!(ids, [(None, "i".to_owned()), (None, "h".to_owned())]);
    let query = PaymentQuery { id: Some(PaymentId::new("h").unwrap()), limit: 9, ..PaymentQuery::default() };
    assert_eq!(reader.payments(&query).unwrap()[0].seq, None);
    assert!(told(&reader, 9, 9).is_empty());
}

#[test]
fn rule_12_a_proposal_that_the_chain_leaves_out_is_told_as_failed() {
    let database = Database::filled();
    let [first, _] = database.rows;
    database.write(first, 90, vec![insert(Direction::Out, "h", 9)], Settlements::default());
    // The row still names the proposal, which a reorganisation may bring back.
    database.write(first, 95, Vec::new(), own(9, 1, false));
    let reader = database.reader();
    assert_eq!(told(&reader, 9, 9), [(10, "h".to_owned())]);
    let newest = PaymentQuery { limit: 1, ..PaymentQuery::default() };
    let by_id = PaymentQuery { id: Some(PaymentId::new("h").unwrap()), ..newest.clone() };
    for query in [newest, by_id] {
        let found = reader.payments(&query).unwrap();
        assert_eq!((found[0].seq, found[0].payment.payment.id.as_str()), (Some(10), "h"));
    }
}

#[test]
fn a_receipt_is_told_once() {
    let database = Database::filled();
    let [first, _] = database.rows;
    database.write(first, 90, Vec::new(), own(7, 1, true));
    database.write(first, 90, Vec::new(), partner(4));
    assert!(told(&database.reader(), 9, 9).is_empty());
}

#[test]
fn of_passing_events_only_the_newest_are_kept_and_no_payment_is_lost_with_them() {
    let database = Database::filled();
    for number in 0..MAX_PASSING_EVENTS + 5 {
        let event = NewEvent { time: 90, is_kept: false, body: number.to_string() };
        database
            .store
            .atomically(|connection| {
                let mut numbers = EventNumbers::new(database.store.newest_event.get());
                insert_event(connection, &mut numbers, &event)?;
                database.store.newest_event.set(numbers.newest());
                Ok(())
            })
            .unwrap();
    }
    let reader = database.reader();
    let told = told(&reader, 0, usize::MAX);
    let kept: Vec<_> = told.iter().map(|(_, body)| body.as_str()).take(9).collect();
    assert_eq!(kept, ["opened", "a", "b", "e", "d", "c", "f", "g", "5"]);
    assert_eq!(told.len() as u64, 8 + MAX_PASSING_EVENTS);
}

#[test]
fn pruning_takes_the_oldest_events_and_says_so_and_keeps_the_payments() {
    let database = Database::filled();
    assert_eq!(database.store.prune_events(40).unwrap(), 3);
    assert_eq!(database.store.prune_events(40).unwrap(), 0);
    let reader = database.reader();
    assert_eq!(reader.pruned().unwrap(), 3);
    assert_eq!(told(&reader, 3, 1), [(4, "e".to_owned())]);
    let query = PaymentQuery { id: Some(PaymentId::new("a").unwrap()), limit: 9, ..PaymentQuery::default() };
    let found = reader.payments(&query).unwrap();
    assert_eq!((found.len(), found[0].seq), (1, None), "the payment itself is there");
    assert_eq!(database.store.prune_events(u64::MAX >> 1).unwrap(), 5);
    assert_eq!(told(&reader, 8, 9), [(9, "g".to_owned())], "the newest stays, so that no number comes twice");
}
