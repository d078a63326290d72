//! Base units written as decimals: THD and ether both have 18.

use std::fmt::Display;

/// One ether in wei.
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;

const DECIMALS: usize = 18;

/// An integer number of base units, however large, as exact decimals without trailing zeros.
pub(crate) fn decimals(base_units: impl Display) -> String {
    let digits = format!("{:0>1$}", base_units.to_string(), DECIMALS + 1);
    let (whole, fraction) = digits.split_at(digits.len() - DECIMALS);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (units, text) in [
            ("0", "0"),
            ("1", "0.000000000000000001"),
            ("1500000000000000000", "1.5"),
            ("100000000000000000000", "100"),
            (
                "123456789012345678901234567890123456789012345",
                "123456789012345678901234567.890123456789012345",
            ),
        ] {
            assert_eq!(decimals(units), text);
        }
    }
}
