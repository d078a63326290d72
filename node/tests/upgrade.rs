//! Data directories of earlier releases: everything in them is read as it was, and migrated once.
//!
//! `data/0.0.1.tar.gz` was written by the thunderd of release 0.0.1, which was killed in the midst of a payment. It had
//! every kind of transaction under way, and its `infos --json` and `history --json` are beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use thunder_chain::SignedCall;
use thunder_node::keys::{WalletFile, load_or_create_node_key, signer};
use thunder_node::store::sqlite::{DatabaseError, SqliteReader, SqliteStore};
use thunder_node::store::{EventReader, NodeStore, PaymentQuery, TransactionLog};
use thunder_protocol::channel::Direction;
use thunder_protocol::{Address, B256, PaymentId, hex};

/// The format of this release.
const NEWEST: i64 = 4;
const GENESIS: &str = "6aef182378b628d05c840e73c18fdcc48d5e913ccfd047a169f703e5566a2383";
/// The tables whose rows are the same in both formats.
const UNCHANGED: [&str; 4] = ["meta", "channels", "payments", "peers"];

/// A data directory as release 0.0.1 has left it.
struct Old(TempDir);

impl Old {
    fn unpack() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/0.0.1.tar.gz");
        let archive = GzDecoder::new(fs::File::open(archive).unwrap());
        tar::Archive::new(archive).unpack(directory.path()).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("0.0.1").join(name)
    }

    fn database(&self) -> PathBuf {
        self.path("thunder.db")
    }

    fn open(&self) -> Result<SqliteStore, DatabaseError> {
        SqliteStore::open(&self.database())
    }

    fn sql(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    /// All of the database in its one file, and as SQLite makes it for others to read.
    fn fold(&self) {
        self.sql().pragma_update(None, "journal_mode", "DELETE").unwrap();
    }

    fn json(&self, name: &str) -> Json {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }
}

fn rows(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

fn unchanged(connection: &Connection) -> Vec<Vec<Vec<Value>>> {
    UNCHANGED.iter().map(|table| rows(connection, &format!("SELECT * FROM {table}"))).collect()
}

fn format_of(connection: &Connection) -> i64 {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

fn genesis() -> B256 {
    GENESIS.parse().unwrap()
}

/// The transactions of a database in the newest format, all of them readable.
fn transactions(store: &SqliteStore) -> Vec<SignedCall> {
    store.transactions(genesis()).unwrap().into_iter().collect::<Result<_, _>>().unwrap()
}

/// The transactions of an old database, in the order of their keys.
fn old_transactions(connection: &Connection) -> Vec<Json> {
    let records = rows(connection, "SELECT record FROM transactions ORDER BY genesis, channel, kind");
    let json = |row: Vec<Value>| match &row[..] {
        [Value::Text(record)] => serde_json::from_str(record).unwrap(),
        other => unreachable!("{other:?}"),
    };
    records.into_iter().map(json).collect()
}

/// A transaction that was read, as release 0.0.1 has written it.
fn as_old_json(sent: &SignedCall) -> Json {
    let attempts: Vec<_> = sent
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "hash": attempt.hash, "raw": hex::encode(&attempt.raw), "nonce": attempt.nonce,
                "fees": {"max_fee": attempt.fees.max_fee, "tip": attempt.fees.tip},
            })
        })
        .collect();
    json!({
        "channel": sent.channel, "kind": sent.kind, "to": sent.to, "data": hex::encode(&sent.data), "gas": sent.gas,
        "nonce": sent.nonce, "attempts": attempts, "sent_at": sent.sent_at, "mined_at": sent.mined_at,
        "nonce_used_at": sent.nonce_used_at,
    })
}

/// What an old database has, however it is read.
struct Content {
    unchanged: Vec<Vec<Vec<Value>>>,
    transactions: Vec<Json>,
}

impl Content {
    fn of(old: &Old) -> Self {
        let connection = old.sql();
        assert_eq!(format_of(&connection), 2);
        Self { unchanged: unchanged(&connection), transactions: old_transactions(&connection) }
    }

    /// Opens the database, and makes sure that it has all of this in the newest format.
    fn check(&self, path: &Path) {
        let store = SqliteStore::open(path).unwrap();
        let connection = Connection::open(path).unwrap();
        assert_eq!(format_of(&connection), NEWEST);
        assert_eq!(unchanged(&connection), self.unchanged);
        let found: Vec<_> = transactions(&store).iter().map(as_old_json).collect();
        assert_eq!(found, self.transactions);
    }
}

#[test]
fn everything_that_release_0_0_1_has_written_is_read_as_it_was() {
    let old = Old::unpack();
    let content = Content::of(&old);
    assert_eq!(content.unchanged.iter().map(Vec::len).collect::<Vec<_>>(), [3, 8, 11, 2]);
    content.check(&old.database());

    let store = old.open().unwrap();
    let identity = store.identity().unwrap().unwrap();
    assert_eq!((identity.chain_id, identity.genesis), (31337, genesis()));
    assert_eq!(store.head(genesis()).unwrap(), Some(254));
    let peers = store.peers().unwrap();
    assert_eq!(peers.len(), 2);
    assert!(peers.iter().all(|peer| peer.wallet.is_some()));
}

#[test]
fn channels_and_payments_are_those_that_release_0_0_1_has_shown() {
    let old = Old::unpack();
    let store = old.open().unwrap();
    // `infos` lists the newest first.
    let mut channels = store.channels(genesis()).unwrap();
    channels.reverse();
    let shown = old.json("infos.json");
    let shown = shown["channels"].as_array().unwrap();
    assert_eq!(channels.len(), shown.len());
    for (stored, shown) in channels.iter().zip(shown) {
        let setup = stored.channel.setup();
        let mine = stored.channel.balances().of(setup.role());
        let receipt = stored.channel.receipts().map_or(0, |receipts| receipts.agreed.nonce().get());
        let address: Address = shown["channel"].as_str().unwrap().parse().unwrap();
        assert_eq!(setup.terms().channel, address);
        assert_eq!(json!(receipt), shown["nonce"], "{address}");
        assert_eq!(json!(stored.channel.pending()), shown["pending"], "{address}");
        if receipt > 0 {
            assert_eq!(json!(mine), shown["mine"], "{address}");
        }
    }
    let history = old.json("history.json");
    let reader = SqliteReader::open(&old.database()).unwrap();
    let settled = reader.payments(&PaymentQuery { limit: 100, ..PaymentQuery::default() }).unwrap();
    let is_settled = |shown: &&Json| shown["id"] != "rent-4";
    let shown: Vec<_> = history["payments"].as_array().unwrap().iter().filter(is_settled).collect();
    assert_eq!((settled.len(), store.newest_event()), (shown.len(), shown.len() as u64));
    for (seq, (settled, shown)) in settled.iter().rev().zip(shown.iter().rev()).enumerate() {
        let stored = &settled.payment;
        let way = if stored.direction == Direction::Out { "out" } else { "in" };
        let payment = &stored.payment;
        assert_eq!(settled.seq, Some(seq as u64 + 1));
        assert_eq!(
            json!([payment.id, payment.amount, payment.memo]),
            json!([shown["id"], shown["amount"], shown["memo"]])
        );
        assert_eq!(
            json!([way, stored.nonce, stored.time]),
            json!([shown["direction"], shown["nonce"], shown["time"]])
        );
    }
    let unanswered = store.own_payments(&PaymentId::new("rent-4").unwrap()).unwrap();
    assert_eq!(unanswered.len(), 1);
}

#[test]
fn transactions_under_way_are_found_under_their_stable_names_and_can_be_replaced_and_forgotten() {
    let old = Old::unpack();
    let mut store = old.open().unwrap();
    let names = rows(&old.sql(), "SELECT kind FROM transactions ORDER BY kind");
    let names: Vec<_> = names.into_iter().flatten().collect();
    let expected = ["Cancel", "Challenge", "Close", "Fund", "Open", "Open", "Withdraw"];
    assert_eq!(names, expected.map(|name| Value::Text(name.into())));
    let in_cbor = "SELECT count(*) FROM transactions WHERE typeof(record) = 'blob'";
    assert_eq!(rows(&old.sql(), in_cbor), [[Value::Integer(7)]]);

    for mut sent in transactions(&store) {
        sent.mined_at = Some(255);
        store.put_transaction(genesis(), &sent).unwrap();
    }
    let replaced = transactions(&store);
    assert_eq!(replaced.len(), 7, "each in its own row");
    assert!(replaced.iter().all(|sent| sent.mined_at == Some(255)));
    for sent in &replaced {
        store.remove_transaction(genesis(), sent).unwrap();
    }
    assert_eq!(transactions(&store), []);
}

#[test]
fn the_keys_of_release_0_0_1_are_read() {
    let old = Old::unpack();
    let key = WalletFile::new(old.database().parent().unwrap(), None).load().unwrap().unwrap();
    let shown = old.json("infos.json");
    let wallet: Address = shown["wallet"].as_str().unwrap().parse().unwrap();
    assert_eq!(signer(&key).unwrap().address(), wallet);
    let node = load_or_create_node_key(&old.path("node.key")).unwrap();
    assert_eq!(json!(node.public().to_peer_id().to_string()), shown["peer_id"]);
}

#[test]
fn a_database_is_migrated_once() {
    let (old, copy) = (Old::unpack(), Old::unpack());
    let content = Content::of(&old);
    content.check(&old.database());
    let migrated = fs::read(old.database()).unwrap();
    content.check(&old.database());
    assert!(fs::read(old.database()).unwrap() == migrated, "it was migrated again");
    // By whichever comes first.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| content.check(&copy.database()));
        }
    });
}

/// The log as it may stand when the process is killed: whole up to any frame, or with half of one.
#[test]
fn a_death_at_any_write_of_the_migration_loses_nothing() {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    let old = Old::unpack();
    let before = (fs::read(old.database()).unwrap(), fs::read(old.path("thunder.db-wal")).unwrap());
    let copy = Old::unpack();
    let content = Content::of(&copy);
    let store = old.open().unwrap();
    let log = fs::read(old.path("thunder.db-wal")).unwrap();
    assert!(fs::read(old.database()).unwrap() == before.0, "the log was folded in");
    assert!(
        log.starts_with(&before.1) && log.len() > before.1.len() + FRAME,
        "the migration is not in the log"
    );
    let deaths = (before.1.len()..=log.len()).filter(|length| (length - HEADER).is_multiple_of(FRAME / 2));
    for length in deaths {
        let died = tempfile::tempdir().unwrap();
        let database = died.path().join("thunder.db");
        fs::write(&database, &before.0).unwrap();
        fs::write(died.path().join("thunder.db-wal"), &log[..length]).unwrap();
        let format = if length == log.len() { NEWEST } else { 2 };
        let reader = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        assert_eq!(format_of(&reader), format);
        drop(reader);
        content.check(&database);
    }
    drop(store);
}

#[test]
fn a_record_that_can_not_be_read_stops_the_migration_and_changes_nothing() {
    for damage in [
        "UPDATE transactions SET record = '{' WHERE kind = 'Withdraw'",
        "UPDATE transactions SET kind = 'Later' WHERE kind = 'Withdraw'",
        "UPDATE transactions SET kind = 'Close' WHERE kind = 'Withdraw'",
        "UPDATE transactions SET channel = x'00' WHERE kind = 'Withdraw'",
    ] {
        let old = Old::unpack();
        let content = Content::of(&old);
        old.fold();
        let good = fs::read(old.database()).unwrap();
        old.sql().execute_batch(damage).unwrap();
        old.sql().pragma_update(None, "journal_mode", "WAL").unwrap();
        let bad = fs::read(old.database()).unwrap();
        assert!(old.open().is_err(), "{damage}");
        assert!(fs::read(old.database()).unwrap() == bad, "{damage}: it was written to");
        fs::write(old.database(), good).unwrap();
        content.check(&old.database());
    }
}

#[test]
fn a_database_of_a_later_release_is_refused_and_left_alone() {
    let old = Old::unpack();
    old.sql().pragma_update(None, "user_version", NEWEST + 1).unwrap();
    old.fold();
    let before = fs::read(old.database()).unwrap();
    let error = old.open().err().unwrap();
    assert!(matches!(error, DatabaseError::TooNew { found: 5, known: NEWEST }), "{error}");
    assert!(error.to_string().contains("use a newer thunderd"), "{error}");
    assert!(fs::read(old.database()).unwrap() == before, "it was written to");
    assert!(!old.path("thunder.db-wal").exists());
}

#[test]
fn a_backup_of_release_0_0_1_can_be_restored_more_than_once() {
    let old = Old::unpack();
    old.fold();
    let backup = fs::read(old.database()).unwrap();
    let expected = unchanged(&old.sql());
    for name in ["first", "second"] {
        let restored = old.path(name);
        let store = SqliteStore::rebuild(&old.database(), &restored, true).unwrap();
        let connection = Connection::open(&restored).unwrap();
        assert_eq!((format_of(&connection), unchanged(&connection)), (NEWEST, expected.clone()));
        assert_eq!(transactions(&store), [], "rule 9");
    }
    assert!(fs::read(old.database()).unwrap() == backup, "the backup was written to");
}
