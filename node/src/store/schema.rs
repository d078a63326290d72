//! The tables, and how older ones become newer ones.

use rusqlite::Connection;

use super::StoreError;

/// Each step takes the database from one format to the next. Steps are never changed once released.
const STEPS: [&str; 2] = [
    "
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
",
    "
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
",
];

/// Brings the database to the newest format, each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    run_steps(connection, found.max(0), newest())
}

/// Makes the tables of an empty database as they were in this format.
pub(super) fn create(connection: &mut Connection, format: i64) -> Result<(), StoreError> {
    if format < 1 {
        return Err(StoreError::Damaged("it does not say which format it has".into()));
    }
    run_steps(connection, 0, format)
}

fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

fn run_steps(connection: &mut Connection, from: i64, to: i64) -> Result<(), StoreError> {
    let known = newest();
    if let Some(found) = [from, to].into_iter().find(|format| *format > known) {
        return Err(StoreError::TooNew { found, known });
    }
    let steps = STEPS.iter().zip(1..=to);
    for (step, format) in steps.skip(usize::try_from(from).unwrap_or(0)) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", format)?;
        transaction.commit()?;
    }
    Ok(())
}
