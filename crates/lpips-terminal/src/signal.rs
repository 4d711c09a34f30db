//! Stopping on Ctrl-C, SIGTERM and SIGHUP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, Result};

/// Exit code of a command that a signal stopped.
pub const STOPPED: i32 = 130;

/// A flag that the first signal sets, printing `note`; the second signal exits at once with code 130.
///
/// # Errors
/// The handler can't be installed, or was before.
pub fn stop_flag(note: &'static str) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    on_signal(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(STOPPED);
        }
        crate::note(note);
    })?;
    Ok(stop)
}

/// Calls `handler` on each signal that asks the process to end.
///
/// # Errors
/// The handler can't be installed, or was before.
pub fn on_signal(handler: impl FnMut() + Send + 'static) -> Result {
    ctrlc::set_handler(handler).map_err(|error| Failure::work(format!("signals can't be caught: {error}")))
}
