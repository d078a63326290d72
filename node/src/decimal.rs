//! Base units as people read them.

/// 10^18 base units are one THD or one ether; exact, without trailing zeros.
pub(crate) fn decimal(units: u128) -> String {
    const ONE: u128 = 10u128.pow(thunder_protocol::DECIMALS);
    let (whole, fraction) = (units / ONE, units % ONE);
    if fraction == 0 {
        return whole.to_string();
    }
    let digits = format!("{fraction:018}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn exact_and_short() {
        assert_eq!(super::decimal(0), "0");
        assert_eq!(super::decimal(1), "0.000000000000000001");
        assert_eq!(super::decimal(100 * 10u128.pow(18)), "100");
        assert_eq!(super::decimal(1_500_000_000_000_000_000), "1.5");
    }
}
