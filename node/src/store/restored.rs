//! A copy of the database that may be older than what was signed.

use rusqlite::params;

use super::{Store, StoreError};

impl Store {
    /// Whether any channel was ever agreed on.
    pub fn has_channels(&self) -> Result<bool, StoreError> {
        Ok(self.connection.borrow().prepare_cached("SELECT 1 FROM channels")?.exists([])?)
    }

    /// Looks at every page and every index, however large the database is.
    pub fn check_whole(&self) -> Result<(), StoreError> {
        let connection = self.connection.borrow();
        let result: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if result == "ok" { Ok(()) } else { Err(StoreError::Damaged(result)) }
    }

    /// Reads every channel, and marks those that are not over as lost (rule 9). Returns how many.
    pub fn mark_all_lost(&self) -> Result<u64, StoreError> {
        let channels = self.read_channels("length(?1) = 0", &[])?;
        self.atomically(|connection| {
            let mut marked = 0;
            for stored in channels {
                if stored.over {
                    continue;
                }
                let state = stored.channel.mark_lost().encode()?;
                connection
                    .execute("UPDATE channels SET state = ?2 WHERE id = ?1", params![stored.id, state])?;
                marked += 1;
            }
            // A closing that was signed then may be on an old receipt now, what is paid in now would be
            // paid into a lost channel, and what has a number after those would wait for ever. None is
            // sent again; a challenge that is due is made anew.
            connection.execute("DELETE FROM transactions", [])?;
            Ok(marked)
        })
    }
}
