//! Checkpoints: the state of a run in one safetensors file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use lpips_data::diff::{differences, sentence};
use lpips_data::files;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::optimiser::LossScaler;

/// The one key of the metadata, with JSON as its value: the order of several keys would be random.
const KEY: &str = "lpips-train";
/// The version of the format, which grows when older files can't be read any more.
const FORMAT: u32 = 1;

/// The file name of the latest checkpoint.
pub(crate) const LATEST: &str = "latest.safetensors";

const MODEL: &str = "model.";
const ADAM: &str = "adam.";

/// The position of a run: its epochs, batches and steps so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The number of epochs that are complete.
    pub epoch: usize,
    /// The number of batches of the present epoch that are complete.
    pub batch: usize,
    /// The number of steps over all epochs, including those that were skipped.
    pub step: u64,
    /// The number of steps that were skipped.
    pub skipped: u64,
    /// Whether the held-out triplets were scored after the last complete epoch.
    pub scored: bool,
    /// The best 2AFC score after an epoch so far.
    pub best: Option<f64>,
}

/// Everything that must be equal for a run to be resumed: names and values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity(pub Vec<(String, String)>);

/// The state of a run: everything that is needed to resume it, to equal bits.
///
/// ```
/// use candle_core::DType;
/// use lpips_train::run_folder::checkpoint::{Identity, Position};
/// use lpips_train::{Checkpoint, LossScaler};
///
/// let checkpoint = Checkpoint {
///     identity: Identity(vec![("network".to_string(), "alex".to_string())]),
///     position: Position { epoch: 1, step: 20, ..Position::default() },
///     scaler: LossScaler::new(DType::F32),
///     cached: Vec::new(),
///     model: Default::default(),
///     adam: Default::default(),
/// };
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("latest.safetensors");
/// checkpoint.save(&path)?;
/// assert_eq!(Checkpoint::load(&path)?.position.step, 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The training that it belongs to.
    pub identity: Identity,
    /// The position of the run.
    pub position: Position,
    /// The factor on the loss.
    pub scaler: LossScaler,
    /// The numbers of the triplets whose features are cached.
    pub cached: Vec<u32>,
    /// The parameters that differ from the weights that they started from, by name.
    pub model: BTreeMap<String, Tensor>,
    /// The optimiser's state: see [`Adam::state`](crate::Adam::state).
    pub adam: BTreeMap<String, Tensor>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    identity: Identity,
    position: Position,
    scaler: LossScaler,
    cached: Vec<u32>,
}

impl Checkpoint {
    /// Writes the checkpoint to a file, whole or not at all.
    ///
    /// # Errors
    /// A folder that can't be written to, or a full disk.
    pub fn save(&self, path: &Path) -> Result<()> {
        let header = Header {
            format: FORMAT,
            identity: self.identity.clone(),
            position: self.position.clone(),
            scaler: self.scaler,
            cached: self.cached.clone(),
        };
        let header =
            serde_json::to_string(&header).map_err(|error| Error::file(path, format!("can't be written: {error}")))?;
        let model = self.model.iter().map(|(name, tensor)| (format!("{MODEL}{name}"), tensor.clone()));
        let adam = self.adam.iter().map(|(name, tensor)| (format!("{ADAM}{name}"), tensor.clone()));
        Ok(files::write_tensors(path, &model.chain(adam).collect(), (KEY, header))?)
    }

    /// Reads a file of [`Self::save`].
    ///
    /// # Errors
    /// A file that can't be read, is cut short, or is none of these.
    pub fn load(path: &Path) -> Result<Self> {
        let (tensors, metadata) = files::read_tensors(path)?;
        let Some(header) = metadata.get(KEY) else {
            return Err(Error::checkpoint(path, "is no checkpoint of a training: weights alone go to --init"));
        };
        let header: Header = serde_json::from_str(header).map_err(|error| {
            Error::checkpoint(path, format!("is a checkpoint that this version can't read: {error}"))
        })?;
        if header.format != FORMAT {
            let reason = format!("is a checkpoint of format {}: this version reads {FORMAT}", header.format);
            return Err(Error::checkpoint(path, reason));
        }
        let (mut model, mut adam) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in tensors {
            if let Some(name) = name.strip_prefix(MODEL) {
                model.insert(name.to_string(), tensor);
            } else if let Some(name) = name.strip_prefix(ADAM) {
                adam.insert(name.to_string(), tensor);
            }
        }
        let Header { identity, position, scaler, cached, .. } = header;
        Ok(Self { identity, position, scaler, cached, model, adam })
    }
}

impl Identity {
    /// Checks that the checkpoint in `path` belongs to the training `wanted`.
    ///
    /// # Errors
    /// The parts in which they differ, with both values.
    pub fn check(&self, wanted: &Self, path: &Path) -> Result<()> {
        let found = differences(&self.settings(), &wanted.settings());
        if found.is_empty() {
            return Ok(());
        }
        let reason = format!(
            "belongs to a training with other settings ({}): give those that it was started with",
            sentence(&found)
        );
        Err(Error::checkpoint(path, reason))
    }

    fn settings(&self) -> Value {
        self.0.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect::<Map<_, _>>().into()
    }
}

/// The files of checkpoints in a run's folder.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Opens a folder, which is created where it is missing.
    ///
    /// # Errors
    /// A folder that can't be created.
    pub fn new(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, "made", &error))?;
        Ok(Self { folder })
    }

    /// The path of the latest checkpoint.
    pub fn latest(&self) -> PathBuf {
        self.folder.join(LATEST)
    }

    /// The path of the checkpoint with the best 2AFC score.
    pub fn best(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    /// The path of the checkpoint after so many epochs.
    pub fn epoch(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("epoch-{epoch:04}.safetensors"))
    }

    /// The path of the state before a step that diverged.
    pub fn diverged(&self) -> PathBuf {
        self.folder.join("diverged.safetensors")
    }

    /// Removes the checkpoints of epochs after this position, which are going to be repeated.
    ///
    /// # Errors
    /// A folder that can't be read or written to.
    pub fn rewind(&self, position: &Position) -> Result<()> {
        let remove = |path: &Path| std::fs::remove_file(path).map_err(|error| Error::io(path, "removed", &error));
        for (_, path) in self.epochs()?.into_iter().filter(|(epoch, _)| *epoch > position.epoch) {
            remove(&path)?;
        }
        let best = self.best();
        if best.exists() && Checkpoint::load(&best).is_ok_and(|best| best.position.epoch > position.epoch) {
            remove(&best)?;
        }
        Ok(())
    }

    /// Removes the checkpoints of all epochs but the last `keep`, and unfinished files of a run that was killed.
    ///
    /// # Errors
    /// A folder that can't be read or written to.
    pub fn tidy(&self, keep: usize) -> Result<()> {
        files::remove_unfinished(&self.folder)?;
        for (_, path) in self.epochs()?.iter().rev().skip(keep) {
            std::fs::remove_file(path).map_err(|error| Error::io(path, "removed", &error))?;
        }
        Ok(())
    }

    /// The checkpoints of epochs, in the order of the epochs.
    fn epochs(&self) -> Result<Vec<(usize, PathBuf)>> {
        let fail = |error: std::io::Error| Error::io(&self.folder, "read", &error);
        let mut epochs = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number = name.strip_prefix("epoch-").and_then(|rest| rest.strip_suffix(".safetensors"));
            if let Some(epoch) = number.and_then(|number| number.parse::<usize>().ok()) {
                epochs.push((epoch, path));
            }
        }
        epochs.sort();
        Ok(epochs)
    }
}
