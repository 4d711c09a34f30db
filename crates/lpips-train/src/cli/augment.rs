//! `lpips-train augment`

use std::path::PathBuf;

use clap::Args;
use lpips_core::canvas::Canvas;
use lpips_data::loader;
use lpips_data::{Dataset, Split};
use lpips_train::Config;

use super::{Failure, Result, note};

/// Draw what augmentation does to a few triplets.
#[derive(Debug, Args)]
#[command(after_help = "Each row is a triplet: reference, p0 and p1 as they are, then in other guises.")]
pub(crate) struct Preview {
    /// The picture to draw.
    #[arg(long = "preview", value_name = "OUT.png", required = true)]
    sheet: PathBuf,

    /// BAPPS roots, folders of triplets, or lists [default: the built-in samples].
    #[arg(long, value_name = "ROOT", num_args = 1..)]
    data: Vec<PathBuf>,

    /// A settings file with an [augment] section.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,

    /// none, safe or aggressive.
    #[arg(long, value_name = "PRESET")]
    augment: Option<String>,

    /// Triplets to draw.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    rows: u32,

    /// Guises of each.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    draws: u32,

    /// Decides what is drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Pixels between pictures.
const GAP: usize = 2;
/// Pixels between triplets.
const WIDE: usize = 10;

impl Preview {
    pub(crate) fn run(&self) -> Result<()> {
        let file = self.config.as_deref().map(lpips_train::config::read).transpose()?;
        let preset = self.augment.as_ref().map(|preset| format!("[augment]\npreset = {preset:?}"));
        let layers = file.iter().map(|text| ("the settings", text.as_str()));
        let config = Config::merged(layers.chain(preset.iter().map(|text| ("--augment", text.as_str()))))?;
        let augment = config.augment.values;
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
            return Err(Failure::Error(format!(
                "--preview {sheet}: the sheet is a PNG: name a file that ends in .png"
            )));
        }
        let (size, rows) = (config.data.size, (self.rows as usize).min(dataset.items.len()));
        let groups = self.draws as usize + 1;
        let (wide, tall) = (3 * (size + GAP) + WIDE, size + GAP);
        let (width, height) = (groups * wide - WIDE - GAP, (rows * tall).max(tall) - GAP);
        let mut sheet = Canvas::new(width, height);
        // Spread over all that there are.
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
