//! `lpips bench --operators`: time of each layer.

use candle_core::{Device, Tensor};
use lpips_core::Lpips;
use lpips_models::ops::conv::{ConvParams, ConvRelu};
use lpips_models::ops::{self, plan::Plan};
use lpips_models::{Error, LayerProfile};
use serde_json::json;

use super::timing::{Timing, rounded};
use super::{Bench, Setting, Size};
use crate::output::{self, Progress, Result};

/// Rows, columns and depth of the matrix product that layers are compared with.
const SIDE: usize = 1024;

/// A row of the table.
struct Row {
    name: &'static str,
    /// Output height, width and channels.
    output: Option<[usize; 3]>,
    algorithm: Option<String>,
    time: Timing,
    /// Operations by definition, and as executed; 0 without a convolution.
    flops: f64,
    executed: f64,
}

impl Row {
    fn plain(name: &'static str, time: Timing) -> Self {
        Self { name, output: None, algorithm: None, time, flops: 0.0, executed: 0.0 }
    }

    fn of(layer: &LayerProfile<'_>, time: Timing) -> Self {
        let [_, height, width, channels] = layer.output;
        let name = |plan: &Plan| plan.algorithm.map_or("candle".to_string(), |algorithm| algorithm.to_string());
        let mut algorithms: Vec<String> = layer.convolutions.iter().map(name).collect();
        algorithms.dedup();
        Self {
            name: layer.name,
            output: Some([height, width, channels]),
            algorithm: (!algorithms.is_empty()).then(|| algorithms.join("+")),
            time,
            flops: layer.flops(),
            executed: layer.executed_flops(),
        }
    }

    /// Effective and executed GFLOP/s, and the effective rate's share of `peak`.
    fn rates(&self, peak: f64) -> Option<(f64, f64, f64)> {
        let effective = self.time.gflops(self.flops);
        (self.flops > 0.0).then(|| (effective, self.time.gflops(self.executed), effective / peak))
    }
}

pub(super) fn run(bench: &Bench, setting: &Setting, lpips: &Lpips, size: Size) -> Result {
    let (net, batch) = (lpips.backbone().network(), bench.batch());
    let peak = sgemm_peak(bench.seconds, &setting.device)?;
    let rows = measure(bench, setting, lpips, size)?;
    if bench.json {
        for row in &rows {
            let mut object = setting.json_head(net, batch, size);
            let [height, width, channels] = row.output.map_or([None; 3], |output| output.map(Some));
            let rates = row.rates(peak);
            object["layer"] = json!(row.name);
            object["output_height"] = json!(height);
            object["output_width"] = json!(width);
            object["output_channels"] = json!(channels);
            object["algorithm"] = json!(row.algorithm);
            object["median_ms"] = rounded(row.time.median_ms);
            object["min_ms"] = rounded(row.time.min_ms);
            object["gflops"] = json!(rates.map(|(_, executed, _)| rounded(executed)));
            object["gflops_effective"] = json!(rates.map(|(effective, ..)| rounded(effective)));
            object["sgemm_gflops"] = rounded(peak);
            object["share_of_sgemm"] = json!(rates.map(|(.., share)| rounded(share)));
            output::line(&object.to_string())?;
        }
        return Ok(());
    }
    output::line(&format!("{net} {size}, batch {batch}, {setting}; sgemm of {SIDE}x{SIDE}x{SIDE}: {peak:.1} GFLOP/s"))?;
    let header = ["layer", "output", "algorithm", "ms", "GFLOP/s effective", "of sgemm"];
    let mut lines = vec![header.map(String::from).to_vec()];
    for row in &rows {
        let dash = || "-".to_string();
        let rates = row.rates(peak);
        lines.push(vec![
            row.name.to_string(),
            row.output.map_or_else(dash, |[height, width, channels]| format!("{height}x{width}x{channels}")),
            row.algorithm.clone().unwrap_or_else(dash),
            format!("{:.3}", row.time.median_ms),
            rates.map_or_else(dash, |(effective, ..)| format!("{effective:.1}")),
            rates.map_or_else(dash, |(.., share)| format!("{:.0}%", 100.0 * share)),
        ]);
    }
    let widest = lines.iter().map(|line| line[0].len()).max().unwrap_or_default();
    for line in &mut lines {
        line[0] = format!("{:<widest$}", line[0]);
        if let Some(last) = line.last_mut() {
            *last = format!("{last:>8}");
        }
    }
    output::table(&lines).iter().try_for_each(|line| output::line(line))
}

/// Measures the input stage, every layer on the output of the layer before it, the head, and the whole distance.
fn measure(bench: &Bench, setting: &Setting, lpips: &Lpips, size: Size) -> Result<Vec<Row>> {
    let batch = bench.batch();
    let (a, b) = super::pair(batch, size, &setting.device)?;
    let layers = lpips.backbone().layers(2 * batch, size.height, size.width)?;
    let seconds = bench.seconds / (layers.len() + 3) as f32;
    let time = |name: &str, f: &mut dyn FnMut() -> Result<()>| {
        let _progress = Progress::start(&format!("{} {size}: {name}", lpips.backbone().network()));
        Timing::of(seconds, || {
            f()?;
            // A GPU works on after the call has returned.
            setting.device.synchronize().map_err(|error| Error::from(error).into())
        })
    };

    let stack = lpips.stack(&a, &b)?;
    let mut rows = vec![Row::plain("input", time("input", &mut || Ok(lpips.stack(&a, &b).map(drop)?))?)];
    let mut x = stack.pictures.clone();
    let mut taps = Vec::new();
    for layer in &layers {
        rows.push(Row::of(layer, time(layer.name, &mut || Ok(layer.forward(&x).map(drop)?))?));
        x = layer.forward(&x)?;
        if layer.tapped {
            taps.push(x.clone());
        }
    }
    let mut head = || Ok(lpips.compare_taps(&stack.pairing, &taps, None)?.distance().map(drop)?);
    rows.push(Row::plain("head", time("head", &mut head)?));
    let total = time("total", &mut || super::distance(lpips, &a, &b).map(drop))?;
    let sum = |flops: fn(&Row) -> f64| rows.iter().map(flops).sum();
    let (flops, executed) = (sum(|row| row.flops), sum(|row| row.executed));
    rows.push(Row { flops, executed, ..Row::plain("total", total) });
    Ok(rows)
}

/// Measures the machine's best rate for a product of square matrices, in GFLOP/s: on the CPU our kernel's, as a 1x1 convolution.
fn sgemm_peak(seconds: f32, device: &Device) -> Result<f64> {
    let _progress = Progress::start("sgemm");
    let mut product = product(device).map_err(Error::from)?;
    let time = Timing::of(seconds.min(0.5), || product().map_err(|error| Error::from(error).into()))?;
    Ok(2.0 * (SIDE * SIDE * SIDE) as f64 / time.min_ms / 1e6)
}

/// Returns a closure that computes one such product at each call.
fn product(device: &Device) -> candle_core::Result<Box<dyn FnMut() -> candle_core::Result<()>>> {
    let random = |shape: &[usize]| Tensor::rand(-1f32, 1f32, shape, device);
    if !device.is_cpu() {
        let (a, b) = (random(&[SIDE, SIDE])?, random(&[SIDE, SIDE])?);
        return Ok(Box::new(move || a.matmul(&b)?.device().synchronize()));
    }
    let conv = ConvRelu::new(&random(&[SIDE, SIDE, 1, 1])?, &random(&[SIDE])?, ConvParams::default())?;
    let x = random(&[1, 32, SIDE / 32, SIDE])?;
    Ok(Box::new(move || {
        let y = ops::in_pool(|| conv.forward(&x))?;
        ops::recycle(y, None)
    }))
}
