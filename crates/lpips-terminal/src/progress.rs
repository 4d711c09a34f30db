//! Progress on standard error: drawn on a terminal only, and not with `--quiet`.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use lpips_core::weights::Finder;

use crate::logging::is_quiet;

/// Progress bar of a count: position, length and remaining time. Set its length before use.
pub fn bar(what: &str) -> ProgressBar {
    styled(what, "{msg} {bar:24} {pos}/{len}, {eta} left")
}

/// Progress bar of pairs, with the rate per second; a spinner where `total` is unknown.
pub fn pairs_bar(what: &str, total: Option<u64>) -> ProgressBar {
    if let Some(total) = total {
        let bar = styled(what, "{msg} {bar:24} {pos}/{len}, {per_sec:.1}, {eta} left");
        bar.set_length(total);
        return bar;
    }
    let bar = styled(what, "{spinner} {msg} {pos}, {per_sec:.1}, {elapsed}");
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Progress bar of a download or of unpacking, in bytes. Its length may be set later.
pub fn bytes_bar(what: &str) -> ProgressBar {
    styled(what, "{msg} [{wide_bar}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} ({eta})")
}

/// Progress bar in indicatif's template language.
pub fn styled(what: &str, template: &str) -> ProgressBar {
    let bar = if is_shown() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_message(what.to_string())
}

/// Finder of weights in the usual places that draws a progress bar while it downloads.
pub fn finder() -> Finder {
    let current: Mutex<Option<(String, ProgressBar)>> = Mutex::new(None);
    Finder::default().on_progress(Arc::new(move |name, done, total| {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|(drawn, _)| drawn != name) {
            *current = Some((name.to_string(), bytes_bar(name)));
        }
        let Some((_, bar)) = &*current else { return };
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
        if total == Some(done) {
            bar.finish_and_clear();
        }
    }))
}

fn is_shown() -> bool {
    io::stderr().is_terminal() && !is_quiet()
}

/// A line on standard error that names the work in progress, and is erased when this is dropped.
#[derive(Debug)]
pub struct Progress(bool);

impl Progress {
    /// Draws the line.
    pub fn start(what: &str) -> Self {
        let shown = is_shown();
        if shown {
            let _ = write!(io::stderr(), "\r\x1b[2K{what} ...");
        }
        Self(shown)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0 {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}
