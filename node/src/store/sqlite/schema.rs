//! The tables, and how older ones become newer ones.

use rusqlite::{Connection, TransactionBehavior, params};
use thunder_chain::SignedCall;
use thunder_protocol::codec::encode_record;
use thunder_protocol::onchain::CallKind;

use super::DatabaseError;

/// Takes the database from one format to the next.
type Step = fn(&Connection) -> Result<(), DatabaseError>;

/// Steps are never changed once released. Release 0.0.1 had format 2.
const STEPS: [Step; 4] = [
    |connection| Ok(connection.execute_batch(FORMAT_1)?),
    |connection| Ok(connection.execute_batch(FORMAT_2)?),
    to_format_3,
    super::events::to_format_4,
];
/// The newest format.
const NEWEST: i64 = STEPS.len() as i64;

const FORMAT_1: &str = "
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) WITHOUT ROWID;

    -- One row for each channel ever agreed on; never deleted, so that no address is used twice.
    CREATE TABLE channels (
        id INTEGER PRIMARY KEY,
        address BLOB NOT NULL UNIQUE,
        -- the hash of block 0 of its chain
        genesis BLOB NOT NULL,
        -- the own party
        wallet BLOB NOT NULL,
        partner BLOB NOT NULL,
        -- its events are not older than this block
        since INTEGER NOT NULL,
        created INTEGER NOT NULL,
        -- the payments of its unanswered proposal have at least this id
        pending_from INTEGER NOT NULL DEFAULT 0,
        -- it can't change any more
        over INTEGER NOT NULL DEFAULT 0,
        -- the channel core's state, in CBOR
        state BLOB NOT NULL
    );
    CREATE INDEX channels_by_chain ON channels (genesis, over);

    -- Payments in the order in which they came.
    CREATE TABLE payments (
        id INTEGER PRIMARY KEY,
        channel INTEGER NOT NULL REFERENCES channels (id),
        -- 0: from the partner, 1: to the partner
        outgoing INTEGER NOT NULL,
        payment_id TEXT NOT NULL,
        -- base units, big-endian
        amount BLOB NOT NULL,
        memo TEXT NOT NULL,
        -- the receipt that it went into; null if certainly none
        nonce INTEGER,
        time INTEGER NOT NULL,
        -- a payment is (channel, payer, id) and is applied once, for ever
        UNIQUE (channel, outgoing, payment_id)
    );

    -- Transactions that were signed and may be anywhere.
    CREATE TABLE transactions (
        genesis BLOB NOT NULL,
        channel BLOB NOT NULL,
        kind TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (genesis, channel, kind)
    ) WITHOUT ROWID;

    -- Nodes to be connected with.
    CREATE TABLE peers (
        peer_id TEXT PRIMARY KEY,
        address TEXT NOT NULL,
        wallet BLOB
    ) WITHOUT ROWID;

    -- The newest blocks of each chain that were fully processed.
    CREATE TABLE blocks (
        genesis BLOB NOT NULL,
        number INTEGER NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (genesis, number)
    ) WITHOUT ROWID;
";

const FORMAT_2: &str = "
    -- One index for both: an own payment is found by its id alone, over whatever channel it went, and a
    -- payment is (channel, payer, id) and is applied once, for ever. A second index would be as large as all
    -- payments, and to write it would take as long. Without a foreign key, because SQLite would look through
    -- all payments whenever the row of a channel is deleted.
    ALTER TABLE payments RENAME TO payments_1;
    CREATE TABLE payments (
        id INTEGER PRIMARY KEY,
        -- the channel's row
        channel INTEGER NOT NULL,
        -- 0: from the partner, 1: to the partner
        outgoing INTEGER NOT NULL,
        payment_id TEXT NOT NULL,
        -- base units, big-endian
        amount BLOB NOT NULL,
        memo TEXT NOT NULL,
        -- the receipt that it went into; null if certainly none
        nonce INTEGER,
        time INTEGER NOT NULL
    );
    INSERT INTO payments (id, channel, outgoing, payment_id, amount, memo, nonce, time)
        SELECT id, channel, outgoing, payment_id, amount, memo, nonce, time FROM payments_1 ORDER BY id;
    DROP TABLE payments_1;
    CREATE UNIQUE INDEX payments_by_id ON payments (payment_id, outgoing, channel);

    -- Channels that others wanted to open, that never came and that were given up: nothing was signed for
    -- them, unless they come out of a backup. In CBOR: {\"Opening\": ...}, and \"lost\": true.
    DELETE FROM channels
        WHERE over = 1 AND substr(state, 1, 9) = x'a1674f70656e696e67' AND instr(state, x'646c6f7374f5') = 0;

    -- No decision rests on which blocks were read any more: states are asked for, not followed.
    DROP TABLE blocks;
";

const FORMAT_3: &str = "
    ALTER TABLE channels RENAME COLUMN since TO first_block;
    ALTER TABLE channels RENAME COLUMN over TO is_over;

    ALTER TABLE transactions RENAME TO transactions_2;
    CREATE TABLE transactions (
        genesis BLOB NOT NULL,
        channel BLOB NOT NULL,
        -- the name of the call's kind
        kind TEXT NOT NULL,
        -- in CBOR, with the names of its fields
        record BLOB NOT NULL,
        PRIMARY KEY (genesis, channel, kind)
    ) WITHOUT ROWID;
";

/// The records of transactions were JSON. One that can't be read stops the migration: it may be a challenge.
fn to_format_3(connection: &Connection) -> Result<(), DatabaseError> {
    connection.execute_batch(FORMAT_3)?;
    let mut old = connection.prepare("SELECT genesis, channel, kind, record FROM transactions_2")?;
    let mut insert = connection.prepare("INSERT INTO transactions VALUES (?1, ?2, ?3, ?4)")?;
    let mut rows = old.query([])?;
    while let Some(row) = rows.next()? {
        let (genesis, channel): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let (kind, record): (String, String) = (row.get(2)?, row.get(3)?);
        let sent: SignedCall = serde_json::from_str(&record)?;
        if (channel.as_slice(), CallKind::parse(&kind)) != (sent.channel.as_slice(), Some(sent.kind)) {
            return Err(DatabaseError::Damaged(format!(
                "the transaction {kind} has the record of another one"
            )));
        }
        insert.execute(params![genesis, channel, sent.kind.as_str(), encode_record(&sent)?])?;
    }
    connection.execute_batch("DROP TABLE transactions_2")?;
    Ok(())
}

/// The database's format; 0 if it is empty. Refuses one that a later release has written.
pub(super) fn format_of(connection: &Connection) -> Result<i64, DatabaseError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > NEWEST { Err(DatabaseError::TooNew { found, known: NEWEST }) } else { Ok(found) }
}

/// Brings the database to the newest format, in one transaction: it is in the old one or in the new one.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), DatabaseError> {
    if format_of(connection)? == NEWEST {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have migrated it before this one had the lock.
    let found = format_of(&transaction)?;
    run_steps(&transaction, found, NEWEST)?;
    transaction.commit()?;
    if found > 0 {
        tracing::info!(from = found, to = NEWEST, "the database was brought to the format of this release");
    }
    Ok(())
}

/// Makes the tables of an empty database as they were in this format.
pub(super) fn create(connection: &mut Connection, format: i64) -> Result<(), DatabaseError> {
    if format < 1 {
        return Err(DatabaseError::Damaged("it does not say which format it has".into()));
    }
    let transaction = connection.transaction()?;
    run_steps(&transaction, 0, format)?;
    Ok(transaction.commit()?)
}

fn run_steps(connection: &Connection, from: i64, to: i64) -> Result<(), DatabaseError> {
    for (step, format) in STEPS.iter().zip(1..=to) {
        if format > from {
            step(connection)?;
        }
    }
    Ok(connection.pragma_update(None, "user_version", to)?)
}
