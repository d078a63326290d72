//! Medians, percentiles and what they are printed as.

/// The value that a fraction of the values is below; 0 if there are none.
pub(crate) fn percentile(values: &mut [f64], fraction: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((last as f64) * fraction).round() as usize;
    values.get(index).copied().unwrap_or_default()
}

/// The middle one of the rounds, and the least and the greatest.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    pub(crate) fn of(rounds: &[f64]) -> Self {
        let mut rounds = rounds.to_vec();
        let median = percentile(&mut rounds, 0.5);
        let least = rounds.first().copied().unwrap_or_default();
        let greatest = rounds.last().copied().unwrap_or_default();
        Self { median, least, greatest }
    }
}
