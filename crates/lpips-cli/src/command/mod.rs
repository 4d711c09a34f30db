//! One file per command.

pub(crate) mod bench;
pub(crate) mod bulk;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod data;
pub(crate) mod eval;
pub(crate) mod weights;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use indicatif::ProgressBar;
use lpips_core::weights::Finder;
use lpips_eval::metric::Metric;

use crate::output::{self, Failure, Result};

/// What the environment decides, for the long help of the commands that compute.
const ENVIRONMENT: &str = "Environment: LPIPS_SIMD (avx512, avx2, neon or portable) makes the CPU compute with these vector \
    instructions in place of the widest that it has.";

/// A number of the command line that must be above 0.
fn positive(given: &str) -> std::result::Result<f32, String> {
    given
        .parse()
        .ok()
        .filter(|value: &f32| value.is_finite() && *value > 0.0)
        .ok_or_else(|| "expected a number above 0".into())
}

/// A number of bytes of the command line: 600MB, 1.5GB, 2GiB or plain.
fn bytes(given: &str) -> std::result::Result<usize, String> {
    let text = given.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        _ => f64::NAN,
    };
    let bytes = number.parse::<f64>().map_or(f64::NAN, |number| number * factor);
    // Beyond that a double does not count single bytes, and no machine has so many.
    if (1.0..9e15).contains(&bytes) {
        Ok(bytes as usize)
    } else {
        Err("expected a size such as 600MB, 1.5GB, 2GiB or a number of bytes".into())
    }
}

/// Metrics by their names, each named once, and the memory that a network may take if that is said.
fn metrics(names: &[String], device: &Device, memory: Option<usize>) -> Result<Vec<Metric>> {
    if let Some((_, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(Failure::usage(format!("the metric {name} is named twice: name each once")));
    }
    let finder = finder();
    let open = |name: &String| Metric::open_within(name, &finder, device, memory);
    Ok(names.iter().map(open).collect::<lpips_train::Result<_>>()?)
}

/// Looks for weights in the usual places, with a progress bar on standard error while they are downloaded.
fn finder() -> Finder {
    let bar: Mutex<Option<(String, ProgressBar)>> = Mutex::new(None);
    Finder::default().on_progress(Arc::new(move |name, done, total| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        if bar.as_ref().is_none_or(|(drawn, _)| drawn != name) {
            *bar = Some((name.to_string(), output::bytes_bar(name)));
        }
        let Some((_, bar)) = &*bar else { return };
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
        if total == Some(done) {
            bar.finish_and_clear();
        }
    }))
}

/// A flag that Ctrl-C sets; once more ends the program at once.
fn stop_flag(what: &'static str) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let handler = move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        output::note(what);
    };
    ctrlc::set_handler(handler).map_err(|error| Failure::Work(Some(format!("signals can't be caught: {error}"))))?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, size) in [
            ("629145600", 629_145_600),
            ("600MB", 600_000_000),
            ("600 mb", 600_000_000),
            ("1.5g", 1_500_000_000),
            ("2GiB", 2 << 30),
            ("512KiB", 512 << 10),
            ("1B", 1),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "MB", "0", "-1", "0.2", "1e9", "12 parsecs", "1.2.3GB", "99999TB", "nan", "2GIBS"] {
            assert!(bytes(text).unwrap_err().contains("600MB"), "{text}");
        }
    }
}
