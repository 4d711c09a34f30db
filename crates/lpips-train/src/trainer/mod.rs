//! The training loop over batches, steps and epochs, with validation and checkpoints.

mod feature_source;
mod splits;
mod step;
mod triplet_cache;
mod validation;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use lpips_core::weights::Finder;
use lpips_data::loader::Batching;
use lpips_data::{Dataset, Outcome, files};

use self::feature_source::FeatureSource;
use self::step::{Step, StepOutcome};
use self::triplet_cache::TripletCache;
use self::validation::validate;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::{Model, ParamGroup};
use crate::optimiser::{Adam, LossScaler};
use crate::run_folder::checkpoint::{Checkpoint, Identity, Position};
use crate::run_folder::{self, RunFolder, SkipRecord, StepRecord, Validation, curves};

pub use splits::Splits;

/// A training run: the model, the optimiser and the position in the data.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use candle_core::Device;
/// use lpips_core::weights::Finder;
/// use lpips_data::{CheckDepth, Dataset, Outcome};
/// use lpips_train::{Config, Event, RunFolder, Splits, Trainer};
///
/// let mut config = Config::default();
/// (config.optimizer.epochs, config.optimizer.decay_epochs) = (1, 0);
/// let splits = Splits { train: Dataset::samples(1, 50).into(), val: None };
/// let mut trainer = Trainer::new(config.clone(), splits, &Finder::default(), &Device::Cpu, false)?;
///
/// let folder = tempfile::tempdir()?;
/// let mut folder = RunFolder::open(&folder.path().join("run"), &config)?;
/// let stop = AtomicBool::new(false);
/// let outcome = trainer.run(&mut folder, &[], &stop, &mut |event| {
///     if let Event::Step(step, _) = event {
///         println!("step {}: loss {:.4}", step.step, step.loss);
///     }
/// })?;
/// assert_eq!((outcome, trainer.position().step), (Outcome::Complete, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    config: Config,
    identity: Identity,
    model: Model,
    adam: Adam,
    scaler: LossScaler,
    position: Position,
    train: Arc<Dataset>,
    val: Option<Arc<Dataset>>,
    batching: Batching,
    features: FeatureSource,
}

/// Progress events of a training run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step was taken, over so many triplets.
    Step(&'a StepRecord, usize),
    /// A step was skipped.
    Skipped(&'a SkipRecord),
    /// The held-out triplets were scored after an epoch.
    Scored(&'a Validation),
    /// A checkpoint was written to this file.
    Saved(&'a Path),
}

impl Trainer {
    /// A training before its first step. Where [`Self::restore`] `will_restore` a checkpoint, no official weights are
    /// looked for that the checkpoint holds.
    ///
    /// # Errors
    /// Weights that are not found or do not fit.
    pub fn new(config: Config, splits: Splits, finder: &Finder, device: &Device, will_restore: bool) -> Result<Self> {
        let model = Model::new(&config, finder, device, will_restore)?;
        let factor = |group| match group {
            ParamGroup::Backbone => config.optimizer.backbone_lr_factor,
            ParamGroup::Lin | ParamGroup::Ranker => 1.0,
        };
        let variables = model.variables().map(|(name, group, var)| (name.to_string(), var.clone(), factor(group)));
        let adam = Adam::with_factors(variables, config.adam())?;
        let batching = Batching {
            batch: config.run.batch,
            size: config.data.size,
            shuffle: config.data.shuffle,
            seed: config.run.seed,
            augment: config.augment.values(),
            skip_broken: config.data.skip_broken,
            workers: config.data.workers,
        };
        let lpips = model.lpips()?;
        lpips.backbone().check_size(config.data.size, config.data.size).map_err(lpips_core::Error::from)?;
        let Splits { train, val } = splits;
        let (scaler, position) = (LossScaler::new(config.run.amp.dtype()), Position::default());
        let identity = identity(&config, &model, &train)?;
        let features = FeatureSource::Computed;
        Ok(Self { config, identity, model, adam, scaler, position, train, val, batching, features })
    }

    /// The model under training.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The triplets that are trained on.
    pub fn train_set(&self) -> &Dataset {
        &self.train
    }

    /// The position of the run: epochs, batches and steps so far.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The number of steps of the whole run, over all epochs.
    pub fn total_steps(&self) -> u64 {
        let batches = self.batching.batches(self.train.items.len());
        (batches.div_ceil(self.config.optimizer.accumulate) * self.config.schedule().total_epochs()) as u64
    }

    /// The state of the run, to be resumed by [`Self::restore`].
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            identity: self.identity.clone(),
            position: self.position.clone(),
            scaler: self.scaler,
            cached: self.features.cache().map(TripletCache::held).unwrap_or_default(),
            model: self.model.state()?,
            adam: self.adam.state()?.into_iter().collect(),
        })
    }

    /// Resumes the run of a checkpoint, which was read from `path`. The steps that follow are those of a run that was
    /// never stopped, bit for bit.
    ///
    /// # Errors
    /// A checkpoint of another training.
    pub fn restore(&mut self, checkpoint: Checkpoint, path: &Path) -> Result<()> {
        checkpoint.identity.check(&self.identity, path)?;
        let named = |error: &dyn std::fmt::Display| Error::checkpoint(path, format!("can't be resumed: {error}"));
        let Checkpoint { position, scaler, model, adam, .. } = checkpoint;
        self.model.set_state(&model.into_iter().collect()).map_err(|error| named(&error))?;
        self.adam.set_state(&adam.into_iter().collect()).map_err(|error| named(&error))?;
        (self.position, self.scaler) = (position, scaler);
        Ok(())
    }

    /// Trains to the last epoch, or until `stop` is set, and writes everything to `folder`. `cached` are the numbers of
    /// the triplets whose features an earlier run has left there ([`Checkpoint::cached`]). `report` is called for each
    /// event.
    ///
    /// # Errors
    /// A picture that can't be read, a full disk, or [`Error::Diverged`]. What can be saved has been.
    pub fn run(
        &mut self,
        folder: &mut RunFolder,
        cached: &[u32],
        stop: &AtomicBool,
        report: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome> {
        folder.rewind(&self.position)?;
        folder.checkpoints.rewind(&self.position)?;
        folder.checkpoints.tidy(self.config.run.keep)?;
        let path = folder.path().join("features.cache");
        self.features = FeatureSource::open(&self.config, &self.model, &path, self.train.items.len(), cached)?;
        loop {
            if !self.position.scored && self.end_epoch(folder, stop, report)? == Outcome::Stopped {
                break;
            }
            if self.position.epoch >= self.config.schedule().total_epochs() {
                return self.complete(folder).map(|()| Outcome::Complete);
            }
            if self.epoch(folder, stop, report)? == Outcome::Stopped {
                break;
            }
        }
        let latest = folder.checkpoints.latest();
        self.save(folder, &[latest], report)?;
        Ok(Outcome::Stopped)
    }

    /// Takes the steps that are left of the present epoch.
    fn epoch(
        &mut self,
        folder: &mut RunFolder,
        stop: &AtomicBool,
        report: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome> {
        let (epoch, total) = (self.position.epoch, self.batching.batches(self.train.items.len()));
        let mut loader = self.batching.load(&self.train, epoch, self.position.batch, self.model.device());
        while self.position.batch < total {
            if stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Stopped);
            }
            let count = self.config.optimizer.accumulate.min(total - self.position.batch);
            let within = self.position.batch as f64 / total as f64;
            let step = Step {
                config: &self.config,
                model: &mut self.model,
                adam: &mut self.adam,
                scaler: &mut self.scaler,
                features: &mut self.features,
                number: self.position.step,
                epoch,
                within,
            };
            let outcome = step.take(&mut loader.by_ref().take(count))?;
            if let StepOutcome::Diverged { reason, triplets } = outcome {
                return Err(self.diverged(folder, reason, &triplets));
            }
            self.position.batch += count;
            self.position.step += 1;
            match outcome {
                StepOutcome::Taken(record, triplets) => {
                    folder.step(&record)?;
                    report(&Event::Step(&record, triplets));
                }
                StepOutcome::Skipped(skipped) => {
                    self.position.skipped += 1;
                    let record = SkipRecord { epoch: epoch + 1, step: self.position.step, skipped };
                    folder.skip(&record)?;
                    report(&Event::Skipped(&record));
                }
                StepOutcome::Diverged { .. } => {}
            }
            let every = self.config.run.checkpoint_steps;
            if every > 0 && self.position.step.is_multiple_of(every) && self.position.batch < total {
                let latest = folder.checkpoints.latest();
                self.save(folder, &[latest], report)?;
            }
        }
        (self.position.epoch, self.position.batch, self.position.scored) = (epoch + 1, 0, false);
        Ok(Outcome::Complete)
    }

    /// Saves the state before a step that diverged, for the error of the run.
    fn diverged(&self, folder: &RunFolder, reason: String, triplets: &[u32]) -> Error {
        let path = folder.checkpoints.diverged();
        let saved = match self.checkpoint().and_then(|checkpoint| checkpoint.save(&path)) {
            Ok(()) => format!("the state before it is in {}", path.display()),
            Err(error) => format!("the state before it could not be saved: {error}"),
        };
        let triplets = triplets.iter().map(|at| self.train.items[*at as usize].source.name()).collect();
        let (step, epoch) = (self.position.step + 1, self.position.epoch + 1);
        Error::Diverged { step, epoch, reason, saved, triplets }
    }

    /// Scores the held-out triplets after an epoch, or before the first one, and saves the state after an epoch.
    fn end_epoch(
        &mut self,
        folder: &mut RunFolder,
        stop: &AtomicBool,
        report: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome> {
        let mut is_best = false;
        if let Some(val) = self.val.clone() {
            let Some(record) = self.score(&val, stop)? else { return Ok(Outcome::Stopped) };
            folder.validation(&record)?;
            report(&Event::Scored(&record));
            is_best = self.position.epoch > 0 && self.position.best.is_none_or(|best| record.score > best);
            if is_best {
                self.position.best = Some(record.score);
            }
        }
        self.position.scored = true;
        if self.position.epoch > 0 {
            self.write_model(folder)?;
            let checkpoints = &folder.checkpoints;
            let mut paths: Vec<PathBuf> = is_best.then(|| checkpoints.best()).into_iter().collect();
            // The latest comes last: a run that is resumed from it finds all other files.
            paths.extend([checkpoints.epoch(self.position.epoch), checkpoints.latest()]);
            self.save(folder, &paths, report)?;
            folder.checkpoints.tidy(self.config.run.keep)?;
        }
        Ok(Outcome::Complete)
    }

    /// The 2AFC score of a dataset with the present parameters, over all triplets and by folder. `None` where `stop` was
    /// set before the end.
    ///
    /// # Errors
    /// A picture that can't be read.
    pub fn score(&self, dataset: &Arc<Dataset>, stop: &AtomicBool) -> Result<Option<Validation>> {
        validate(&self.model, &self.batching, dataset, &self.position, stop)
    }

    /// Writes the state to each of these files, after the logs that lead to it.
    fn save(&self, folder: &mut RunFolder, paths: &[PathBuf], report: &mut dyn FnMut(&Event<'_>)) -> Result<()> {
        folder.sync()?;
        if let Some(cache) = self.features.cache() {
            cache.sync()?;
        }
        let checkpoint = self.checkpoint()?;
        for path in paths {
            checkpoint.save(path)?;
            report(&Event::Saved(path));
        }
        Ok(())
    }

    /// Writes the model and the curves after the last epoch, and removes the feature cache.
    fn complete(&mut self, folder: &mut RunFolder) -> Result<()> {
        self.write_model(folder)?;
        folder.sync()?;
        let state = self.model.state()?;
        let lins = self.model.lpips()?.tap_names().into_iter().enumerate().filter_map(|(i, name)| {
            let weights = state.get(&format!("lin{i}.weight"))?.flatten_all().ok()?.to_vec1().ok()?;
            Some((name.to_string(), weights))
        });
        curves::draw(folder.path(), &folder.steps()?, &folder.validations()?, &lins.collect::<Vec<_>>())?;
        if let FeatureSource::Cached(cache) = std::mem::replace(&mut self.features, FeatureSource::Computed) {
            drop(std::fs::remove_file(cache.path()));
        }
        Ok(())
    }

    /// Writes `model.safetensors`, which the published package can load.
    fn write_model(&self, folder: &RunFolder) -> Result<()> {
        let model = &self.config.model;
        let mut metadata = serde_json::json!({
            "net": model.net.to_string(),
            "version": model.version.to_string(),
            "phase": model.phase.to_string(),
            "taps": self.model.taps(),
            "epochs": self.position.epoch,
            "steps": self.position.step,
        });
        if let Some(last) = folder.validations()?.last() {
            metadata["2afc"] = last.score.into();
        }
        let path = folder.path().join(run_folder::MODEL);
        Ok(files::write_tensors(&path, &self.model.published()?, ("lpips", metadata.to_string()))?)
    }
}

/// Everything that must be equal for a run to be resumed.
fn identity(config: &Config, weights: &Model, train: &Dataset) -> Result<Identity> {
    let Config { model, run, data, .. } = config;
    let lowercase = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let parts = [
        ("network", model.net.to_string()),
        ("version", model.version.to_string()),
        ("list of taps", weights.taps().join(",")),
        ("phase", model.phase.to_string()),
        ("loss", model.loss.to_string()),
        ("clamp", lowercase(&model.clamp)),
        ("size of pictures", data.size.to_string()),
        ("number of triplets", train.items.len().to_string()),
        ("set of triplets (a hash of names and judgments)", train.digest()),
        ("batch size", run.batch.to_string()),
        ("16-bit type", lowercase(&run.amp)),
        ("seed", run.seed.to_string()),
        ("frozen network (a hash of its weights)", weights.frozen_digest()?),
    ];
    Ok(Identity(parts.into_iter().map(|(name, value)| (name.to_string(), value)).collect()))
}
