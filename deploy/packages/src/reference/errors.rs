//! Exit codes, and the names of errors.

use std::fmt::Write;

use thunder_api::{Code, ExitCode};

pub(super) fn page() -> String {
    let mut text = String::from(
        "# Errors and exit codes\n\nA command that fails says on standard error what happened and what to do. With \
         `--json` it prints, on standard output, `{\"error\":{\"code\":\"…\",\"message\":\"…\",\"hint\":\"…\"}}`. \
         `code` is one of the names below and never changes its meaning; texts may.\n\n## Exit codes\n\n\
         | exit code | meaning |\n|---|---|\n",
    );
    for code in ExitCode::ALL {
        let _ = writeln!(text, "| {} | {} |", *code as u8, code.meaning());
    }
    text.push_str("\n## Names of thunder-cli's errors\n\n| `code` | exit code | meaning |\n|---|---|---|\n");
    for code in Code::ALL {
        let _ = writeln!(text, "| `{code}` | {} | {} |", code.exit_code() as u8, code.meaning());
    }
    text
}
