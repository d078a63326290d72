//! Values that tests are written in.

use thunder_protocol::channel::Terms;
use thunder_protocol::{Address, Amount, B256, Balances, Memo, Nonce, Payment, PaymentId, Role};

/// The id of the chain that tests are on.
pub const CHAIN_ID: u64 = 31337;

/// Whole THD.
pub fn thd(whole: u64) -> Amount {
    Amount::from_base_units(u128::from(whole) * Amount::ONE_THD.base_units()).unwrap()
}

/// Shares in whole THD.
pub fn balances(a: u64, b: u64) -> Balances {
    Balances { a: thd(a), b: thd(b) }
}

/// A nonce.
pub fn nonce(value: u64) -> Nonce {
    Nonce::new(value).unwrap()
}

/// A payment of whole THD without a memo.
pub fn payment(id: &str, whole: u64) -> Payment {
    Payment { id: PaymentId::new(id).unwrap(), amount: thd(whole), memo: Memo::default() }
}

/// What the parties A and B have agreed on, as `role` has it.
pub fn terms(role: Role, channel: Address, [part_a, part_b]: [Address; 2], shares: Balances) -> Terms {
    Terms {
        channel,
        chain_id: CHAIN_ID,
        token: Address::repeat_byte(1),
        factory: Address::repeat_byte(2),
        salt: B256::repeat_byte(3),
        part_a,
        part_b,
        role,
        amount: shares.sum().expect("the sum is an amount"),
        shares,
    }
}
