//! Where a training stands, in one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use lpips_data::files;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::optimiser::LossScaler;

/// The metadata's one key: JSON, as the order of several would be random.
const KEY: &str = "lpips-train";
/// Grows when older files can't be read any more.
const FORMAT: u32 = 1;

/// The file of the latest.
pub(crate) const LATEST: &str = "latest.safetensors";

const MODEL: &str = "model.";
const ADAM: &str = "adam.";

/// How far a training has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs that are complete.
    pub epoch: usize,
    /// Batches of the next one that are.
    pub batch: usize,
    /// Steps taken, over all epochs, those that were skipped counted in.
    pub step: u64,
    /// Steps that were skipped as a number did not fit into 16 bits.
    pub skipped: u64,
    /// Whether the epochs that are complete have been scored.
    pub scored: bool,
    /// The best 2AFC score so far, of those after each epoch.
    pub best: Option<f64>,
}

/// What must be the same for a training to go on, by what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity(pub Vec<(String, String)>);

/// Everything that a training needs to go on, bit for bit.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Whose it is.
    pub identity: Identity,
    /// How far it has come.
    pub position: Position,
    /// The scale of the loss.
    pub scaler: LossScaler,
    /// Triplets whose taps are in the cache, by number.
    pub cached: Vec<u32>,
    /// The weights that have moved.
    pub model: BTreeMap<String, Tensor>,
    /// The optimiser's state.
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
    /// Writes it, whole or not at all.
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

    /// Reads what [`Self::save`] wrote.
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
    /// Refuses to go on where another training left off.
    ///
    /// # Errors
    /// They differ; the message says in what.
    pub fn check(&self, wanted: &Self, path: &Path) -> Result<()> {
        for (name, wanted) in &wanted.0 {
            let is = self.0.iter().find(|(known, _)| known == name).map_or("unknown", |(_, is)| is);
            if is != wanted {
                let reason = format!(
                    "belongs to a training whose {name} is {is}, and here it is {wanted}: give what it was started with"
                );
                return Err(Error::checkpoint(path, reason));
            }
        }
        Ok(())
    }
}

/// The checkpoints of a run's folder.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// In `folder`, which is made where it is not there.
    ///
    /// # Errors
    /// A folder that can't be made.
    pub fn new(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, "made", &error))?;
        Ok(Self { folder })
    }

    /// The latest.
    pub fn latest(&self) -> PathBuf {
        self.folder.join(LATEST)
    }

    /// The one with the best score.
    pub fn best(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    /// The one after so many epochs.
    pub fn epoch(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("epoch-{epoch:04}.safetensors"))
    }

    /// The one before a step that diverged.
    pub fn diverged(&self) -> PathBuf {
        self.folder.join("diverged.safetensors")
    }

    /// Removes those of epochs after this position, as they are to be done again.
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

    /// Removes all epochs' but the last `keep`, and what a run that was killed has left unfinished here.
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

    /// Those of epochs that are there, in their order.
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
