//! A session for a command: a connection of its own, on a thread that waits for it.

use super::connect::{Purpose, TimeLimits, connect};
use super::server::Server;
use super::session::Session;
use crate::store::{Address, OpenError};

/// Connects, does the work, and closes the connection. Blocks the thread; may also be called from async code, because it uses a
/// thread of its own.
///
/// # Errors
///
/// A server that is out of reach, and the errors of the work.
pub(crate) fn command<T: Send>(
    address: &Address,
    purpose: Purpose,
    work: impl AsyncFnOnce(&Session) -> Result<T, OpenError> + Send,
) -> Result<T, OpenError> {
    let failed = |reason| OpenError::Server { place: address.to_string(), reason };
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let server = Server::of(address)?;
            let (connection, _) = connect(&server, purpose, &TimeLimits::COMMAND).await.map_err(failed)?;
            work(&Session::alone(connection)).await
        })
    };
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
