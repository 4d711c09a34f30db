//! Heat maps of many pairs.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use candle_core::Tensor;
use lpips_core::heatmap::{self, Style};

/// Heat maps of the first network among the metrics.
#[derive(Debug, Clone)]
pub struct Maps {
    /// The folder they go to, each under its candidate's name.
    pub folder: PathBuf,
    /// The difference that gets the brightest colour; of each map its largest, if that is not said.
    pub top: Option<f32>,
    /// What of the candidates' names is left out. Where that is not said, a map is called by its row's number and the candidate's
    /// file name.
    pub strip: Option<PathBuf>,
}

impl Maps {
    /// Where the map of a row's candidate goes.
    pub fn path(&self, index: u64, candidate: &Path) -> PathBuf {
        let own: PathBuf = if let Some(strip) = &self.strip {
            let own = candidate.strip_prefix(strip).unwrap_or(candidate);
            // Nothing leads out of the folder.
            own.components().filter(|part| matches!(part, Component::Normal(_))).collect()
        } else {
            let mut name = OsString::from(format!("{index:08}-"));
            name.push(candidate.file_name().unwrap_or_default());
            name.into()
        };
        let mut name = own.into_os_string();
        name.push(".map.png");
        self.folder.join(name)
    }

    /// Draws the map of a candidate, (1, 1, H, W).
    pub(crate) fn draw(&self, index: u64, candidate: &Path, map: &Tensor) -> Result<(), String> {
        let path = self.path(index, candidate);
        let failed = |error: &dyn std::fmt::Display| format!("the heat map {} can't be made: {error}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        let map = map.to_device(&candle_core::Device::Cpu).map_err(|error| failed(&error))?;
        let style = Style::default().top(self.top);
        heatmap::draw(&map, &style).and_then(|picture| picture.save_png(&path)).map_err(|error| error.to_string())
    }
}
