//! What `--metrics` serves.

use std::fmt::Write;

use thunder_node::metrics::catalogue;

pub(super) fn page() -> String {
    let mut text = String::from(
        "# Metrics\n\nWhat `thunderd --metrics <ip:port>` serves under `/metrics`. Amounts are whole THD or ETH, as \
         floating-point numbers: for graphs, not for bookkeeping. How to use them: [Watch a node](../how-to/monitoring.md).\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in catalogue() {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            metric.name, metric.kind, metric.labels, metric.meaning
        );
    }
    text
}
