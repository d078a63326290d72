//! thunderd as it is, with the feature `failpoints` on: it dies where a test says.

#[path = "../src/main.rs"]
mod thunderd;

fn main() -> std::process::ExitCode {
    thunderd::main()
}
