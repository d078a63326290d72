//! The table `payments`, as the engine asks for it: those of a proposal, and whether an id is used.
//!
//! `reader.rs` lists them for users.

use rusqlite::{Connection, OptionalExtension, Row, params};
use thunder_engine::StoredPayment;
use thunder_protocol::channel::Direction;
use thunder_protocol::{Amount, Memo, Nonce, Payment, PaymentId};

use super::{DatabaseError, SqliteStore};

/// The columns of a payment, as [`read`] takes them.
pub(super) const COLUMNS: &str = "channel, outgoing, payment_id, amount, memo, nonce, time";

pub(super) const OWN_PAYMENTS: &str =
    "SELECT channel, outgoing, payment_id, amount, memo, nonce, time FROM payments
     WHERE payment_id = ?1 AND outgoing = 1";

impl SqliteStore {
    /// The payments of the own unanswered proposal, in its order.
    pub(super) fn proposed_payments(
        &self,
        connection: &Connection,
        channel: i64,
        nonce: Nonce,
    ) -> Result<Vec<Payment>, DatabaseError> {
        let mut statement = connection.prepare_cached(
            "SELECT channel, outgoing, payment_id, amount, memo, nonce, time FROM payments
             WHERE id >= (SELECT pending_from FROM channels WHERE id = ?1)
             AND channel = ?1 AND outgoing = 1 AND nonce = ?2 ORDER BY id",
        )?;
        let mut rows = statement.query(params![channel, nonce.get()])?;
        let mut payments = Vec::new();
        while let Some(row) = rows.next()? {
            payments.push(read(row)?.payment);
        }
        Ok(payments)
    }

    /// The own payments with this id, over whatever channels: one for each wallet and chain, or more in a
    /// database that an earlier version has written.
    pub fn own_payments(&self, id: &PaymentId) -> Result<Vec<StoredPayment>, DatabaseError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached(OWN_PAYMENTS)?;
        let mut rows = statement.query(params![id.as_str()])?;
        let mut payments = Vec::new();
        while let Some(row) = rows.next()? {
            payments.push(read(row)?);
        }
        Ok(payments)
    }

    /// Whether a payment of the partner's with this id was applied.
    pub fn knows_payment_of_partner(&self, channel: i64, id: &PaymentId) -> Result<bool, DatabaseError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached(
            "SELECT 1 FROM payments WHERE channel = ?1 AND outgoing = 0 AND payment_id = ?2",
        )?;
        let found = statement.query_row(params![channel, id.as_str()], |_| Ok(())).optional()?;
        Ok(found.is_some())
    }
}

pub(super) fn read(row: &Row<'_>) -> Result<StoredPayment, DatabaseError> {
    let damaged = |what: &str| DatabaseError::Damaged(format!("a payment has an impossible {what}"));
    let amount: Vec<u8> = row.get(3)?;
    let nonce: Option<u64> = row.get(5)?;
    let payment = Payment {
        id: PaymentId::new(row.get::<_, String>(2)?).map_err(|_| damaged("id"))?,
        amount: amount_from_bytes(&amount).ok_or_else(|| damaged("amount"))?,
        memo: Memo::new(row.get::<_, String>(4)?).map_err(|_| damaged("memo"))?,
    };
    let nonce = nonce.map(|nonce| Nonce::new(nonce).ok_or_else(|| damaged("nonce"))).transpose()?;
    let direction = if row.get(1)? { Direction::Out } else { Direction::In };
    Ok(StoredPayment { channel: row.get(0)?, direction, payment, nonce, time: row.get(6)? })
}

/// Base units, big-endian, without leading zeros: SQLite's integers are too small.
pub(super) fn amount_to_bytes(amount: Amount) -> Vec<u8> {
    let bytes = amount.base_units().to_be_bytes();
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

fn amount_from_bytes(bytes: &[u8]) -> Option<Amount> {
    if bytes.len() > 16 {
        return None;
    }
    Amount::from_base_units(bytes.iter().fold(0u128, |units, byte| units << 8 | u128::from(*byte)))
}
