//! Measurement of time and memory.

use std::hint::black_box;
use std::time::Instant;

use serde_json::{Value, json};

use crate::output::Result;

/// Untimed calls: the first calls pack weights, start threads and touch memory.
const WARM_UP: usize = 2;
/// Minimum number of timed calls.
const LEAST: usize = 3;

/// Duration of a call, over many calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) median_ms: f64,
    pub(super) min_ms: f64,
}

impl Timing {
    /// Times `f` for at least `seconds` and [`LEAST`] calls, after [`WARM_UP`] calls.
    pub(super) fn of<T>(seconds: f32, mut f: impl FnMut() -> Result<T>) -> Result<Self> {
        for _ in 0..WARM_UP {
            black_box(f()?);
        }
        let mut times = Vec::new();
        let start = Instant::now();
        while times.len() < LEAST || start.elapsed().as_secs_f32() < seconds {
            let call = Instant::now();
            black_box(f()?);
            times.push(1e3 * call.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let middle = times.len() / 2;
        let median_ms =
            if times.len() % 2 == 0 { f64::midpoint(times[middle - 1], times[middle]) } else { times[middle] };
        // A clock that did not move between two readings would make rates infinite.
        let at_least_a_tick = |ms: f64| ms.max(1e-6);
        Ok(Self { median_ms: at_least_a_tick(median_ms), min_ms: at_least_a_tick(times[0]) })
    }

    /// Rate of `flops` operations at the median, in 10^9 a second.
    pub(super) fn gflops(&self, flops: f64) -> f64 {
        flops / self.median_ms / 1e6
    }
}

/// A number for JSON, rounded to four decimals.
pub(super) fn rounded(value: f64) -> Value {
    json!((value * 1e4).round() / 1e4)
}

/// Peak resident memory of this process so far, in 10^6 bytes; known on Linux only.
pub(super) fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}
