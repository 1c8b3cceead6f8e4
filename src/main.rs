//! The `seatkeeper` program: see [`seatkeeper::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    seatkeeper::cli::run()
}
