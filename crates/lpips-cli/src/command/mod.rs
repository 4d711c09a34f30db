//! One file per command.

pub(crate) mod bench;
pub(crate) mod bulk;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod data;
pub(crate) mod eval;
pub(crate) mod weights;

use candle_core::Device;
use lpips_eval::metric::Metric;
use lpips_terminal::args::{ENVIRONMENT, byte_size as bytes, positive};
use lpips_terminal::progress::finder;
use lpips_terminal::signal::stop_flag;

use crate::output::{Failure, Result};

/// Opens metrics by name within `memory` bytes, refusing a name given twice.
fn metrics(names: &[String], device: &Device, memory: Option<usize>) -> Result<Vec<Metric>> {
    if let Some((_, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(Failure::usage(format!("the metric {name} is named twice: name each once")));
    }
    let finder = finder();
    let open = |name: &String| Metric::open_within(name, &finder, device, memory);
    Ok(names.iter().map(open).collect::<lpips_eval::Result<_>>()?)
}
