//! What was measured: a table for people, and a file for programs.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Result;

/// All figures, in the order in which they came first.
#[derive(Default)]
pub(crate) struct Report {
    order: Vec<(String, &'static str)>,
    rounds: BTreeMap<String, Vec<f64>>,
    rates: Vec<f64>,
}

impl Report {
    /// One round's value of a figure.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        if !self.rounds.contains_key(name) {
            self.order.push((name.to_owned(), unit));
        }
        self.rounds.entry(name.to_owned()).or_default().push(value);
    }

    /// The rate without delay, which the same round's rate with delay is compared with.
    pub(crate) fn keep_rate(&mut self, round: usize, rate: f64) {
        debug_assert_eq!(self.rates.len(), round);
        self.rates.push(rate);
    }

    pub(crate) fn rate(&self, round: usize) -> Option<f64> {
        self.rates.get(round).copied()
    }

    /// Medians of the rounds, and the least and the greatest.
    pub(crate) fn print(&self) {
        println!("\n{:<48} {:>12} {:>12} {:>12}  unit", "figure", "median", "least", "greatest");
        for (name, unit) in &self.order {
            let Spread { median, least, greatest } = self.spread(name);
            let places = if *unit == "ratio" { 3 } else { 0 };
            println!("{name:<48} {median:>12.places$} {least:>12.places$} {greatest:>12.places$}  {unit}");
        }
    }

    /// The same as JSON, with every round.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let figures: Vec<_> = self
            .order
            .iter()
            .map(|(name, unit)| {
                serde_json::json!({
                    "figure": name,
                    "unit": unit,
                    "spread": self.spread(name),
                    "rounds": self.rounds.get(name),
                })
            })
            .collect();
        std::fs::write(path, serde_json::to_vec_pretty(&figures)?)?;
        println!("\nall rounds: {}", path.display());
        Ok(())
    }

    fn spread(&self, name: &str) -> Spread {
        Spread::of(self.rounds.get(name).map_or(&[], Vec::as_slice))
    }
}

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
