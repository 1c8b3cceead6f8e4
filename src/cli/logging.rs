//! Where log lines go, and what they look like. Every line of the service passes through here, so this is the one place that keeps
//! text of callers harmless: whatever a value holds, it stays one line, and one value of it.
//!
//! A line is an event of `tracing`; the service uses no spans.

mod journal;
mod line;

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber, span};

use crate::config::{LogFormat, LogLevel};
use crate::metrics::SparseLog;
use journal::Journal;
use line::{Line, Look};

/// The level that log lines need at least. It can be changed while the service runs.
#[derive(Debug, Clone)]
pub(crate) struct Level(Arc<AtomicU8>);

impl Level {
    fn new(level: LogLevel) -> Level {
        let new = Level(Arc::default());
        new.set(level);
        new
    }

    /// From now on only lines of this level, or more important ones, are logged.
    pub(crate) fn set(&self, level: LogLevel) {
        self.0.store(level as u8, Ordering::Relaxed);
        // Each place that logs remembers whether its lines are wanted.
        tracing_core::callsite::rebuild_interest_cache();
    }

    fn filter(&self) -> LevelFilter {
        const FILTERS: [LevelFilter; 5] =
            [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];
        FILTERS[usize::from(self.0.load(Ordering::Relaxed)).min(4)]
    }
}

/// Starts the log of the process.
pub(super) fn start_log(format: LogFormat, level: LogLevel) -> Level {
    let level = Level::new(level);
    let (sink, failed) = Sink::open(format);
    // Another log was started in the same process, by a test: it stays.
    let _ = tracing::subscriber::set_global_default(Log { level: level.clone(), sink });
    log_panics();
    if let Some(error) = failed {
        tracing::warn!(
            %error,
            "log_format is journald, but no journal takes lines at {}: they go to standard error as text",
            journal::SOCKET
        );
    }
    level
}

/// A panic is one line of the log like all others, instead of text on standard error; a caller that found one cannot fill the log
/// with it. With RUST_BACKTRACE set, the text and the backtrace appear as usual.
fn log_panics() {
    static PANICS: LazyLock<Mutex<SparseLog>> = LazyLock::new(Mutex::default);
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let line = PANICS.lock().unwrap_or_else(PoisonError::into_inner).count(Instant::now());
        if let Some(left_out) = line {
            let place = panic.location().map(ToString::to_string);
            let error = panic.payload_as_str();
            tracing::error!(
                place,
                error,
                left_out,
                "a part of the service panicked: this is a fault of the program; report it"
            );
        }
    }));
}

/// See the module.
struct Log {
    level: Level,
    sink: Sink,
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level.filter()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.filter())
    }

    fn event(&self, event: &Event<'_>) {
        self.sink.write(&Line::of(event));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Where lines go.
enum Sink {
    Stderr(Look),
    Journal(Journal),
}

impl Sink {
    /// Also the reason if there is no journal although it was asked for.
    fn open(format: LogFormat) -> (Sink, Option<std::io::Error>) {
        let text = || {
            let is_terminal = std::io::stderr().is_terminal();
            Sink::Stderr(if is_journal_stream() { Look::Unit } else { Look::Text { is_coloured: is_terminal } })
        };
        match format {
            LogFormat::Human => (text(), None),
            LogFormat::Json => (Sink::Stderr(Look::Json { is_prefixed: is_journal_stream() }), None),
            LogFormat::Journald => match Journal::open(journal::SOCKET) {
                Ok(journal) => (Sink::Journal(journal), None),
                Err(error) => (text(), Some(error)),
            },
        }
    }

    fn write(&self, line: &Line) {
        let text = match self {
            Sink::Stderr(look) => line.render(*look),
            Sink::Journal(journal) => match journal.send(line) {
                Ok(()) => return,
                // The journal restarts, most likely.
                Err(_) => line.render(Look::Unit),
            },
        };
        // There is no other place to complain at.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Whether standard error leads to the journal, as systemd says (systemd.exec(5), `JOURNAL_STREAM`).
fn is_journal_stream() -> bool {
    let Ok(file) = std::fs::metadata("/proc/self/fd/2") else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_level_changes_while_the_log_is_in_use() {
        let path = std::env::temp_dir().join(format!("seatkeeper-level-{}", std::process::id()));
        let listener = UnixDatagram::bind(&path).expect("a socket");
        let level = Level::new(LogLevel::Warn);
        let sink = Sink::Journal(Journal::open(&path).expect("it listens"));
        tracing::subscriber::with_default(Log { level: level.clone(), sink }, || {
            for set in [None, Some(LogLevel::Debug), Some(LogLevel::Error)] {
                if let Some(to) = set {
                    level.set(to);
                }
                tracing::error!(level = ?set, "an error");
                tracing::warn!("a warning");
                tracing::info!("a word");
                tracing::debug!("a detail");
                tracing::trace!("a trace");
            }
        });
        std::fs::remove_file(&path).expect("clean up");
        listener.set_nonblocking(true).expect("set");
        let mut entry = [0; 1024];
        let mut priorities = Vec::new();
        while let Ok(length) = listener.recv(&mut entry) {
            priorities.push(String::from_utf8_lossy(&entry[..length.min(10)]).into_owned());
        }
        let expected = ["3", "4", "3", "4", "6", "7", "3"].map(|priority| format!("PRIORITY={priority}"));
        assert_eq!(priorities, expected);
    }
}
