//! Heat maps of measured pairs: where their files go, and how they are drawn.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use candle_core::Tensor;
use lpips_core::Picture;
use lpips_core::heatmap::{self, Style};

/// Heat maps of the first network among the metrics, one a candidate.
#[derive(Debug, Clone)]
pub struct HeatMaps {
    /// Their files.
    pub files: MapFiles,
    /// The difference that gets the brightest colour; by default each map's largest.
    pub top: Option<f32>,
    /// Whether they are drawn over the reference, in place of a plain ground.
    pub over_reference: bool,
}

/// The files of heat maps.
///
/// ```
/// use std::path::Path;
/// use lpips_bulk::pipeline::heat_maps::MapFiles;
///
/// let files = MapFiles::Named { folder: "maps".into(), prefix: "renders".into() };
/// assert_eq!(files.path(7, Path::new("renders/a/x.png")), Some("maps/a/x.png.map.png".into()));
/// let files = MapFiles::Numbered { folder: "maps".into() };
/// assert_eq!(files.path(7, Path::new("renders/a/x.png")), Some("maps/00000007-x.png.map.png".into()));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MapFiles {
    /// In a folder, under the candidates' names without a prefix. For names that are unique.
    Named {
        /// The folder, which is made if it does not exist.
        folder: PathBuf,
        /// The folder that is left out of the candidates' names.
        prefix: PathBuf,
    },
    /// In a folder, under the row's number and the candidate's file name.
    Numbered {
        /// The folder, which is made if it does not exist.
        folder: PathBuf,
    },
    /// One file a row, by the row's index; in folders that exist.
    Listed(Vec<PathBuf>),
}

impl MapFiles {
    /// The file of a row's map; `None` for a row that has none.
    pub fn path(&self, index: u64, candidate: &Path) -> Option<PathBuf> {
        let (folder, name): (_, PathBuf) = match self {
            Self::Listed(paths) => return paths.get(usize::try_from(index).ok()?).cloned(),
            Self::Named { folder, prefix } => {
                let own = candidate.strip_prefix(prefix).unwrap_or(candidate);
                // No name leads out of the folder.
                (folder, own.components().filter(|part| matches!(part, Component::Normal(_))).collect())
            }
            Self::Numbered { folder } => {
                let mut name = OsString::from(format!("{index:08}-"));
                name.push(candidate.file_name().unwrap_or_default());
                (folder, name.into())
            }
        };
        let mut name = name.into_os_string();
        name.push(".map.png");
        Some(folder.join(name))
    }

    fn makes_folders(&self) -> bool {
        !matches!(self, Self::Listed(_))
    }
}

impl HeatMaps {
    /// Draws the map of a candidate, (1, 1, H, W), into its file.
    pub(super) fn draw(
        &self,
        index: u64,
        candidate: &Path,
        map: &Tensor,
        reference: Option<&Picture>,
    ) -> Result<(), String> {
        let Some(path) = self.files.path(index, candidate) else { return Ok(()) };
        let failed = |error: &dyn Display| format!("the heat map {} can't be made: {error}", path.display());
        if let Some(folder) = path.parent().filter(|_| self.files.makes_folders()) {
            std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        let map = map.to_device(&candle_core::Device::Cpu).map_err(|error| failed(&error))?;
        let style = Style::default().top(self.top).over(reference);
        heatmap::draw(&map, &style).and_then(|picture| picture.save_png(&path)).map_err(|error| error.to_string())
    }
}

/// Heat maps that could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapFailures {
    /// Number of maps.
    pub count: u64,
    /// The reasons of the first ten.
    pub reasons: Vec<String>,
}

impl MapFailures {
    /// Most reasons that are stored.
    const REASONS: usize = 10;

    pub(super) fn add(&mut self, reason: String) {
        self.count += 1;
        if self.reasons.len() < Self::REASONS {
            self.reasons.push(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_path_stays_within_its_folder() {
        let files = MapFiles::Named { folder: "maps".into(), prefix: "b".into() };
        assert_eq!(files.path(0, Path::new("../x.png")), Some("maps/x.png.map.png".into()));
        assert_eq!(files.path(0, Path::new("/etc/x.png")), Some("maps/etc/x.png.map.png".into()));
        let files = MapFiles::Listed(vec!["one.png".into()]);
        assert_eq!((files.path(0, Path::new("x")), files.path(1, Path::new("x"))), (Some("one.png".into()), None));
    }
}
