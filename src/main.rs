//! The `seatkeeper` program: see [`seatkeeper::cli`].

use std::process::ExitCode;

/// The static binary's: musl's own takes one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    seatkeeper::cli::run()
}
