//! `lpips-train augment`

use std::path::PathBuf;

use clap::Args;
use lpips_core::canvas::Canvas;
use lpips_data::loader;
use lpips_data::{Dataset, Split};
use lpips_terminal::{Failure, Result, note};
use lpips_train::Config;
use lpips_train::config::Layer;

use super::OrFail;

/// Draw a few triplets before and after augmentation.
#[derive(Debug, Args)]
#[command(after_help = "Each row is a triplet: reference, p0 and p1 as they are, then augmented.

Example:
  lpips-train augment --preview sheet.png --augment safe")]
pub(crate) struct Preview {
    /// Picture to write.
    #[arg(long = "preview", value_name = "OUT.png", required = true)]
    sheet: PathBuf,

    /// BAPPS roots, folders of triplets, or lists [default: the built-in samples].
    #[arg(long, value_name = "ROOT", num_args = 1..)]
    data: Vec<PathBuf>,

    /// File of settings with a group [augment].
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,

    /// Preset: none, safe or aggressive.
    #[arg(long, value_name = "PRESET")]
    augment: Option<String>,

    /// Triplets to draw, spread over all that there are.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    rows: u32,

    /// Augmented versions of each.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    draws: u32,

    /// Seed of the draws.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Pixels between pictures.
const GAP: usize = 2;
/// Pixels between triplets.
const WIDE: usize = 10;

impl Preview {
    pub(crate) fn run(&self) -> Result {
        let mut layers = Vec::new();
        if let Some(file) = &self.config {
            layers.push(Layer::read(file).or_fail()?);
        }
        if let Some(preset) = &self.augment {
            let values = serde_json::json!({"augment": {"preset": preset}});
            layers.push(Layer::of("--augment", &values).or_fail()?);
        }
        let config = Config::merged(layers).or_fail()?;
        let augment = config.augment.values();
        if augment.is_off() {
            note("augmentation is off: try --augment safe or --augment aggressive");
        }
        let dataset = if self.data.is_empty() {
            Dataset::samples(1, self.rows as usize)
        } else {
            let (dataset, problems) = Dataset::open(&self.data, Split::Train)?;
            for problem in &problems {
                tracing::warn!("left out: {problem}");
            }
            dataset
        };
        if self.sheet.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
            let sheet = self.sheet.display();
            return Err(Failure::usage(format!(
                "--preview {sheet}: the sheet is a PNG: name a file that ends in .png"
            )));
        }
        let (size, rows) = (config.data.size, (self.rows as usize).min(dataset.items.len()));
        let groups = self.draws as usize + 1;
        let (wide, tall) = (3 * (size + GAP) + WIDE, size + GAP);
        let (width, height) = (groups * wide - WIDE - GAP, (rows * tall).max(tall) - GAP);
        let mut sheet = Canvas::new(width, height);
        for row in 0..rows {
            let triplet = &dataset.items[row * dataset.items.len() / rows];
            let pictures = loader::load(&triplet.source, size)?;
            for group in 0..groups {
                let mut changed = pictures.clone();
                if group > 0 {
                    augment.apply_seeded(&mut changed, self.seed, group as u64, row as u64);
                }
                for (i, picture) in changed.iter().enumerate() {
                    let left = group * wide + i * (size + GAP);
                    sheet.paste(left, row * tall, &picture.to_rgb8(), size, 1);
                }
            }
        }
        Ok(sheet.into_picture()?.save_png(&self.sheet)?)
    }
}
