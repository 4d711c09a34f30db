//! `lpips bench`

mod operators;
mod timing;

use candle_core::{Device, Tensor};
use clap::Args;
use lpips_core::device;
use lpips_core::weights::{Finder, Weights};
use lpips_core::{Lpips, Network, Size};
use lpips_models::Error;
use lpips_terminal::ComputeArgs;
use serde_json::json;

use self::timing::{Timing, rounded};
use crate::output::{self, Failure, Progress, Result};

const EXAMPLES: &str = "Examples:
  lpips bench
  lpips bench --net vgg --size 64x64,256x256 --batch 8
  lpips bench --net alex --operators
  lpips bench --net alex --size 256x256 --threads 2 --json";

const DETAILS: &str = "Measured is the distance of random pairs in f32: both pictures of every pair are computed every time and the result is \
    read back; weights are loaded before. Two calls warm up; then calls are timed until the seconds have passed and there are at \
    least three. No weights are downloaded: a network without weights on this machine gets random ones, since the time does not \
    depend on their values.

GFLOP/s effective (gflops_effective) counts every convolution by its definition, whatever algorithm computes it; gflops counts \
    the multiply-adds that are executed. Peak memory (peak_rss_mb, in 10^6 bytes) is that of the whole process so far, so that a \
    later case includes earlier ones; it is known on Linux only, and null elsewhere.

With --operators the seconds are divided among the layers. The row input checks, scales and stacks the pictures, the row head \
    computes the distance from the tapped layers, and total is the distance measured as a whole. A layer's share is relative to \
    this machine's rate for a matrix product of 1024x1024x1024, which is measured first: on the CPU with the kernel of the \
    direct convolutions, as a 1x1 convolution of 1024 channels at 1024 pixels.";

const EXIT: &str = "Exit codes: 0 success; 1 a weight or the device failed; 2 wrong usage.";

/// Cases without --net, --size and --json, in ascending order: the peak memory is that of all cases so far.
const NETS: [Network; 3] = [Network::AlexNet, Network::SqueezeNet1_1, Network::Vgg16];
const SIDES: [usize; 3] = [64, 256, 512];

/// Measure the speed of distances on this machine.
///
/// Without --net, --size, --operators and --json: a table of all networks at 64x64, 256x256 and 512x512 pixels.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{DETAILS}\n\n{}\n\n{EXIT}", super::ENVIRONMENT))]
pub(crate) struct Bench {
    /// Networks: alex, vgg, squeeze [default: alex].
    #[arg(long, value_name = "NET,...", value_delimiter = ',', value_parser = published)]
    net: Vec<Network>,

    /// Sizes of the pictures, width first [default: 256x256].
    #[arg(long, value_name = "WxH,...", value_delimiter = ',')]
    size: Vec<Size>,

    /// Pairs of pictures in a batch.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Measure each case for at least this long.
    #[arg(long, value_name = "S", default_value = "2", value_parser = super::positive, allow_negative_numbers = true)]
    seconds: f32,

    /// Measure each layer by itself, for one network and size.
    #[arg(long)]
    operators: bool,

    #[command(flatten)]
    compute: ComputeArgs,

    /// Print one JSON object a line: one a case, or with --operators one a layer.
    #[arg(long)]
    json: bool,
}

/// Parses a network with published lin heads.
fn published(given: &str) -> std::result::Result<Network, String> {
    let network = given.parse().ok().filter(|network| Network::PUBLISHED.contains(network));
    network.ok_or_else(|| format!("choose from {}", Network::PUBLISHED.map(Network::name).join(", ")))
}

/// Settings common to all cases.
struct Setting {
    device: Device,
    threads: usize,
}

impl Setting {
    /// Leading fields of each line of JSON.
    fn json_head(&self, net: Network, batch: usize, size: Size) -> serde_json::Value {
        json!({
            "engine": "lpips",
            "net": net.name(),
            "batch": batch,
            "height": size.height,
            "width": size.width,
            "threads": self.threads,
            "device": device::name(&self.device),
        })
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = if self.threads == 1 { "" } else { "s" };
        write!(f, "{}, {} thread{s}", device::name(&self.device), self.threads)
    }
}

impl Bench {
    pub(crate) fn run(&self) -> Result {
        let (nets, sizes) = self.cases();
        for net in &nets {
            for size in &sizes {
                fits(*net, *size)?;
            }
        }
        if self.operators && (nets.len() > 1 || sizes.len() > 1) {
            return Err(Failure::usage("--operators measures one network at one size: name one of each"));
        }
        let threads = self.compute.start_threads()?;
        let setting = Setting { device: self.compute.open_device()?, threads };
        if !self.json && !self.operators {
            output::line(&setting.to_string())?;
            output::line(&row(["net", "size", "batch", "median ms", "pairs/s", "GFLOP/s effective", "peak MB"]))?;
        }
        for net in nets {
            let lpips = metric(net, &setting.device, self.compute.memory)?;
            for &size in &sizes {
                if self.operators {
                    operators::run(self, &setting, &lpips, size)?;
                } else {
                    self.case(&setting, &lpips, size)?;
                }
            }
        }
        Ok(())
    }

    fn cases(&self) -> (Vec<Network>, Vec<Size>) {
        if self.net.is_empty() && self.size.is_empty() && !self.json && !self.operators {
            return (NETS.to_vec(), SIDES.map(|side| Size { height: side, width: side }).to_vec());
        }
        let given = |nets: &[Network]| if nets.is_empty() { vec![Network::AlexNet] } else { nets.to_vec() };
        let sizes = if self.size.is_empty() { vec![Size { height: 256, width: 256 }] } else { self.size.clone() };
        (given(&self.net), sizes)
    }

    fn batch(&self) -> usize {
        self.batch.into()
    }

    fn case(&self, setting: &Setting, lpips: &Lpips, size: Size) -> Result {
        let (net, batch) = (lpips.backbone().network(), self.batch());
        let progress = Progress::start(&format!("{net} {size}, batch {batch}"));
        let (a, b) = pair(batch, size, &setting.device)?;
        let time = Timing::of(self.seconds, || distance(lpips, &a, &b))?;
        drop(progress);

        let layers = lpips.backbone().layers(2 * batch, size.height, size.width)?;
        let flops = layers.iter().map(lpips_models::LayerProfile::flops).sum();
        let executed = layers.iter().map(lpips_models::LayerProfile::executed_flops).sum();
        let pairs_per_s = 1e3 * batch as f64 / time.median_ms;
        let peak = timing::peak_rss_mb();
        if self.json {
            let mut object = setting.json_head(net, batch, size);
            object["median_ms"] = rounded(time.median_ms);
            object["min_ms"] = rounded(time.min_ms);
            object["pairs_per_s"] = rounded(pairs_per_s);
            object["gflops"] = rounded(time.gflops(executed));
            object["gflops_effective"] = rounded(time.gflops(flops));
            object["peak_rss_mb"] = json!(peak.map(rounded));
            output::line(&object.to_string())
        } else {
            let cells = [
                net.name(),
                &size.to_string(),
                &batch.to_string(),
                &format!("{:.2}", time.median_ms),
                &format!("{pairs_per_s:.1}"),
                &format!("{:.1}", time.gflops(flops)),
                &peak.map_or("-".to_string(), |peak| format!("{peak:.0}")),
            ];
            output::line(&row(cells))
        }
    }
}

/// Formats a line of the table, in fixed widths, so that each case is printed when it is done.
fn row([net, size, batch, median, pairs, gflops, peak]: [&str; 7]) -> String {
    format!("{net:<7}  {size:>9}  {batch:>5}  {median:>9}  {pairs:>8}  {gflops:>17}  {peak:>7}")
}

/// Checks that the network accepts pictures of this size.
fn fits(net: Network, size: Size) -> Result {
    let arch = net.architecture();
    let last = arch.positions(arch.taps)?.into_iter().max().unwrap_or_default();
    let minimum = arch.minimum_size(last);
    if size.height < minimum || size.width < minimum {
        return Err(Failure::usage(format!(
            "--size {size} is too small for {net}: its pictures need at least {minimum}x{minimum} pixels"
        )));
    }
    Ok(())
}

/// Builds the metric from the weights on this machine, or from random ones.
fn metric(net: Network, device: &Device, memory: Option<usize>) -> Result<Lpips> {
    let weights = match Finder::default().offline().find(net) {
        Err(Error::NoWeights { unusable: false, .. } | Error::Unpublished { .. }) => {
            output::note(&format!(
                "{net} is measured with random weights, as its own are not on this machine: the time does not depend on them"
            ));
            Weights::random(net, 0)
        }
        found => found?,
    };
    let builder = Lpips::builder(net).device(device.clone()).network_weights(weights);
    Ok(memory.into_iter().fold(builder, lpips_core::Builder::memory).build()?)
}

/// Two batches of random pictures, (N, 3, H, W) in [-1, 1].
fn pair(batch: usize, size: Size, device: &Device) -> Result<(Tensor, Tensor)> {
    let pictures = || Tensor::rand(-1f32, 1f32, (batch, 3, size.height, size.width), device);
    let make = || Ok::<_, candle_core::Error>((pictures()?, pictures()?));
    make().map_err(|error| Error::from(error).into())
}

/// Computes the distance of each pair and copies it to the host, which waits for a GPU.
fn distance(lpips: &Lpips, a: &Tensor, b: &Tensor) -> Result<Vec<f32>> {
    let values = |distance: Tensor| distance.flatten_all()?.to_vec1::<f32>();
    values(lpips.forward(a, b)?).map_err(|error| Error::from(error).into())
}
