//! The loop: batches, steps, epochs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use lpips_core::Dropout;
use lpips_core::weights::Finder;

use crate::amp::Scaler;
use crate::cache::Cache;
use crate::checkpoint::{Checkpoint, Identity, Position};
use crate::config::Config;
use crate::curves;
use crate::data::augment::Augment;
use crate::data::loader::{Batch, Batching};
use crate::data::{Dataset, Split};
use crate::error::{Error, Result};
use crate::files;
use crate::folder::{Folder, StepRecord, Validation};
use crate::model::Model;
use crate::optim::{Adam, square_sum};
use crate::rng::{Rng, Use};

/// A training under way.
#[derive(Debug)]
pub struct Trainer {
    config: Config,
    model: Model,
    adam: Adam,
    scaler: Scaler,
    position: Position,
    train: Arc<Dataset>,
    val: Option<Arc<Dataset>>,
    batching: Batching,
    cache: Option<Cache>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All epochs are done.
    Complete,
    /// It was asked to stop, and can go on from its latest checkpoint.
    Stopped,
}

/// What happens meanwhile.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step was taken, with so many triplets.
    Step(&'a StepRecord, usize),
    /// A step was skipped, as a gradient did not fit into 16 bits.
    Skipped(f64),
    /// An epoch was scored.
    Scored(&'a Validation),
    /// A checkpoint was written.
    Saved(&'a Path),
}

/// The triplets that a configuration names: to train on, and to score.
#[derive(Debug, Clone)]
pub struct Judgments {
    /// To train on.
    pub train: Arc<Dataset>,
    /// To score after each epoch.
    pub val: Option<Arc<Dataset>>,
}

/// Samples of the built-in set to train on, and to score.
const SAMPLES: (usize, usize) = (400, 200);

impl Judgments {
    /// Opens them; without any to train on, the built-in samples.
    ///
    /// # Errors
    /// Those of [`Dataset::open_for_training`].
    pub fn open(config: &Config) -> Result<Self> {
        let data = &config.data;
        if data.train.is_empty() {
            // Other seeds than those of the training, so that both sets stay what they are.
            let val = Dataset::samples(2, SAMPLES.1);
            return Ok(Self { train: Arc::new(Dataset::samples(1, SAMPLES.0)), val: Some(Arc::new(val)) });
        }
        let train = Dataset::open_for_training(&data.train, Split::Train, data.skip_broken)?;
        let val = if data.val.is_empty() {
            None
        } else {
            Some(Arc::new(Dataset::open_for_training(&data.val, Split::Val, data.skip_broken)?))
        };
        Ok(Self { train: Arc::new(train), val })
    }
}

impl Trainer {
    /// A training at its start.
    ///
    /// # Errors
    /// Weights that are not found or do not fit.
    pub fn new(config: Config, judgments: Judgments, finder: &Finder, device: &Device) -> Result<Self> {
        let model = Model::new(&config, finder, device)?;
        let factor = |name: &str| if name.starts_with("features.") { config.optimizer.trunk_lr_factor } else { 1.0 };
        let variables = model.variables().map(|(name, var)| (name.to_string(), var.clone(), factor(name)));
        let adam = Adam::with_factors(variables, config.adam())?;
        let batching = Batching {
            batch: config.run.batch,
            size: config.data.size,
            shuffle: config.data.shuffle,
            seed: config.run.seed,
            augment: config.augment.values,
            skip_broken: config.data.skip_broken,
            workers: config.data.workers,
        };
        let lpips = model.lpips()?;
        lpips.backbone().check_size(config.data.size, config.data.size).map_err(lpips_core::Error::from)?;
        let Judgments { train, val } = judgments;
        let (scaler, position) = (Scaler::new(config.run.amp), Position::default());
        Ok(Self { config, model, adam, scaler, position, train, val, batching, cache: None })
    }

    /// The weights.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How far it has come.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Steps in all: those of each epoch times the epochs.
    pub fn total_steps(&self) -> u64 {
        let batches = self.batching.batches(self.train.triplets.len());
        (batches.div_ceil(self.config.optimizer.accumulate) * self.config.schedule().total_epochs()) as u64
    }

    fn identity(&self) -> Identity {
        let model = &self.config.model;
        Identity {
            net: model.net.to_string(),
            taps: self.model.taps().to_vec(),
            phase: format!("{:?}", model.phase).to_lowercase(),
            loss: model.loss.to_string(),
            data: (self.train.triplets.len(), self.config.run.batch),
            seed: self.config.run.seed,
        }
    }

    /// Where the training stands.
    ///
    /// # Errors
    /// Those of candle.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            identity: self.identity(),
            position: self.position.clone(),
            scaler: self.scaler,
            cached: self.cache.as_ref().map(Cache::held).unwrap_or_default(),
            model: self.model.state()?,
            adam: self.adam.state()?.into_iter().collect(),
        })
    }

    /// Goes on where a checkpoint was written.
    ///
    /// # Errors
    /// A checkpoint of another training.
    pub fn restore(&mut self, checkpoint: Checkpoint, path: &Path) -> Result<()> {
        checkpoint.identity.check(&self.identity(), path)?;
        let named = |error: &dyn std::fmt::Display| Error::file(path, format!("can't be gone on from: {error}"));
        let Checkpoint { position, scaler, model, adam, .. } = checkpoint;
        self.model.set_state(&model.into_iter().collect()).map_err(|error| named(&error))?;
        self.adam.set_state(&adam.into_iter().collect()).map_err(|error| named(&error))?;
        (self.position, self.scaler) = (position, scaler);
        Ok(())
    }

    /// Trains to the end, or until `stop` is set, with everything written to `folder`. `cached` are the triplets whose features
    /// an earlier run has left there.
    ///
    /// # Errors
    /// A picture that can't be read, a full disk, or a loss that is not a number; what can be saved has been.
    pub fn run(
        &mut self,
        folder: &mut Folder,
        cached: &[u32],
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Ended> {
        let begun = self.position != Position::default();
        folder.rewind(begun.then_some(self.position.step))?;
        folder.checkpoints.tidy(self.config.run.keep)?;
        if self.config.run.cache_features {
            self.cache = Some(self.open_cache(&folder.path().join("features.cache"), cached)?);
        }
        if !begun {
            self.score(folder, tell)?;
        }
        while self.position.epoch < self.config.schedule().total_epochs() {
            if self.epoch(folder, stop, tell)? == Ended::Stopped {
                self.save(&[folder.checkpoints.latest()], tell)?;
                folder.flush()?;
                return Ok(Ended::Stopped);
            }
            let is_best = self.score(folder, tell)?;
            let checkpoints = &folder.checkpoints;
            let mut paths = vec![checkpoints.epoch(self.position.epoch), checkpoints.latest()];
            paths.extend(is_best.then(|| checkpoints.best()));
            self.save(&paths, tell)?;
            folder.checkpoints.tidy(self.config.run.keep)?;
            self.write_model(folder)?;
        }
        folder.flush()?;
        let lins = self.model.state()?;
        let lins = self.model.lpips()?.taps_names().into_iter().enumerate().filter_map(|(i, name)| {
            let weights = lins.get(&format!("lin{i}.weight"))?.flatten_all().ok()?.to_vec1().ok()?;
            Some((name.to_string(), weights))
        });
        curves::draw(folder.path(), &folder.steps()?, &folder.validations()?, &lins.collect::<Vec<_>>())?;
        if let Some(cache) = self.cache.take() {
            drop(std::fs::remove_file(cache.path()));
        }
        Ok(Ended::Complete)
    }

    fn open_cache(&self, path: &Path, cached: &[u32]) -> Result<Cache> {
        let size = self.config.data.size;
        let lpips = self.model.lpips()?;
        let layers = lpips.backbone().layers(1, size, size).map_err(lpips_core::Error::from)?;
        let shapes = layers.iter().filter(|layer| layer.tapped).map(|layer| {
            let [_, h, w, c] = layer.output;
            [h, w, c]
        });
        let limit = (self.config.run.cache_limit * 1e9) as u64;
        Cache::open(path.to_path_buf(), self.train.triplets.len(), shapes.collect(), limit, cached)
    }

    /// The rest of the epoch that is under way.
    fn epoch(&mut self, folder: &mut Folder, stop: &AtomicBool, tell: &mut dyn FnMut(&Event<'_>)) -> Result<Ended> {
        let (epoch, total) = (self.position.epoch, self.batching.batches(self.train.triplets.len()));
        let mut loader = self.batching.load(&self.train, epoch, self.position.batch, self.model.device());
        while self.position.batch < total {
            if stop.load(Ordering::Relaxed) {
                return Ok(Ended::Stopped);
            }
            let most = self.config.optimizer.accumulate.min(total - self.position.batch);
            let window = loader.by_ref().take(most).collect::<Result<Vec<_>>>()?;
            let count = window.len();
            let batches: Vec<Batch> = window.into_iter().flatten().collect();
            let within = self.position.batch as f64 / total as f64;
            let step = self.step(&batches, epoch, within);
            if let Err(Error::Astray(reason)) = step {
                return Err(self.astray(folder, &reason, &batches));
            }
            let record = step?;
            self.position.batch += count;
            self.position.step += 1;
            match record {
                Some(record) => {
                    folder.step(&record)?;
                    tell(&Event::Step(&record, batches.iter().map(|batch| batch.numbers.len()).sum()));
                }
                None => tell(&Event::Skipped(self.scaler.scale)),
            }
            let every = self.config.run.checkpoint_steps;
            if every > 0 && self.position.step.is_multiple_of(every) && self.position.batch < total {
                self.save(&[folder.checkpoints.latest()], tell)?;
            }
        }
        self.position.epoch += 1;
        self.position.batch = 0;
        Ok(Ended::Complete)
    }

    /// One step over some batches, as over one of all their triplets. `None` where it was skipped.
    fn step(&mut self, batches: &[Batch], epoch: usize, within: f64) -> Result<Option<StepRecord>> {
        let step = self.position.step;
        let lr = self.config.optimizer.lr * self.config.schedule().factor(step, epoch, within);
        let mut sums: HashMap<String, Tensor> = HashMap::new();
        let (mut loss, mut accuracy, mut count) = (0.0, 0.0, 0.0);
        for (i, batch) in batches.iter().enumerate() {
            let n = batch.numbers.len() as f64;
            let seed = Rng::new(self.config.run.seed, Use::Dropout, (step, i as u64)).bits();
            let dropout = Dropout::new(self.config.model.dropout, seed)?;
            let taps = self.kept_taps(batch)?;
            let outcome = self.model.learn(batch, taps, dropout, n * self.scaler.scale)?;
            loss += n * outcome.loss;
            accuracy += n * outcome.accuracy;
            count += n;
            for (name, gradient) in outcome.gradients {
                let sum = match sums.remove(&name) {
                    Some(sum) => (sum + gradient)?,
                    None => gradient,
                };
                sums.insert(name, sum);
            }
        }
        if count == 0.0 {
            return Ok(None);
        }
        (loss, accuracy) = (loss / count, accuracy / count);
        let unscale = 1.0 / (count * self.scaler.scale);
        // In the order of the names, so that the sum is the same in each run.
        let mut square = 0.0;
        for (name, _) in self.model.variables() {
            if let Some(gradient) = sums.get(name) {
                square += square_sum(gradient)?;
            }
        }
        let norm = square.sqrt() * unscale;
        if !loss.is_finite() || !norm.is_finite() {
            if self.scaler.overflowed() {
                self.position.skipped += 1;
                return Ok(None);
            }
            let what = if loss.is_finite() { "the gradient" } else { "the loss" };
            return Err(Error::Astray(format!("{what} is no finite number")));
        }
        let limit = self.config.optimizer.clip_norm;
        let shorten = if limit > 0.0 && norm > limit { limit / norm } else { 1.0 };
        self.adam.set_learning_rate(lr);
        self.adam.step_with(|name, _| sums.get(name).cloned(), unscale * shorten)?;
        self.model.clamp()?;
        self.scaler.succeeded();
        Ok(Some(StepRecord { epoch: epoch + 1, step: step + 1, loss, accuracy, lr, grad_norm: norm }))
    }

    /// What the network sees in a batch, from the cache or for it.
    fn kept_taps(&mut self, batch: &Batch) -> Result<Option<Vec<Tensor>>> {
        // The first step of a training may change a frozen network once.
        let Some(cache) = self.cache.as_mut().filter(|_| self.position.step > 0) else { return Ok(None) };
        if let Some(taps) = cache.get(&batch.numbers, self.model.device())? {
            return Ok(Some(taps));
        }
        let taps = self.model.taps_of(batch)?;
        cache.put(&batch.numbers, &taps)?;
        Ok(Some(taps))
    }

    /// Saves what there is, and says where it went wrong.
    fn astray(&self, folder: &Folder, reason: &str, batches: &[Batch]) -> Error {
        let path = folder.checkpoints.astray();
        let saved = match self.checkpoint().and_then(|checkpoint| checkpoint.save(&path)) {
            Ok(()) => format!("the state before it is in {}", path.display()),
            Err(error) => format!("the state before it could not be saved: {error}"),
        };
        let names: Vec<_> = batches
            .iter()
            .flat_map(|batch| &batch.numbers)
            .map(|number| self.train.triplets[*number as usize].source.name())
            .collect();
        Error::Astray(format!(
            "step {} of epoch {}: {reason}; {saved}. Lower the learning rate, or look at these triplets: {}",
            self.position.step + 1,
            self.position.epoch + 1,
            names.join(", ")
        ))
    }

    /// Writes where the training stands to each of these files.
    fn save(&self, paths: &[PathBuf], tell: &mut dyn FnMut(&Event<'_>)) -> Result<()> {
        if let Some(cache) = &self.cache {
            cache.sync()?;
        }
        let checkpoint = self.checkpoint()?;
        for path in paths {
            checkpoint.save(path)?;
            tell(&Event::Saved(path));
        }
        Ok(())
    }

    /// Scores the held-out triplets; whether that is the best so far.
    fn score(&mut self, folder: &mut Folder, tell: &mut dyn FnMut(&Event<'_>)) -> Result<bool> {
        let Some(val) = self.val.clone() else { return Ok(false) };
        let record = self.validate(&val)?;
        folder.validation(&record)?;
        tell(&Event::Scored(&record));
        let is_best = self.position.best.is_none_or(|best| record.score > best);
        if is_best {
            self.position.best = Some(record.score);
        }
        Ok(is_best)
    }

    /// The 2AFC score of a dataset, over all and by folder: for each triplet the share of people who chose as the
    /// distances do, one half at equal distances.
    ///
    /// # Errors
    /// A picture that can't be read.
    pub fn validate(&self, dataset: &Arc<Dataset>) -> Result<Validation> {
        let batching = Batching { shuffle: false, augment: Augment::default(), ..self.batching.clone() };
        let mut sums = vec![(0.0, 0usize); dataset.folders.len()];
        let mut most = 0.0;
        for batch in batching.load(dataset, 0, 0, self.model.device()) {
            let Some(batch) = batch? else { continue };
            let (d0, d1) = self.model.distances(&batch)?;
            for ((number, d0), d1) in batch.numbers.iter().zip(d0).zip(d1) {
                let triplet = &dataset.triplets[*number as usize];
                let judge = f64::from(triplet.judge);
                let credit = match d0.partial_cmp(&d1) {
                    Some(std::cmp::Ordering::Less) => 1.0 - judge,
                    Some(std::cmp::Ordering::Greater) => judge,
                    _ => 0.5,
                };
                let (sum, count) = &mut sums[triplet.folder];
                *sum += credit;
                *count += 1;
                most += judge.max(1.0 - judge);
            }
        }
        let total: usize = sums.iter().map(|(_, count)| count).sum();
        let mean = |sum: f64| sum / total.max(1) as f64;
        let (score, ceiling) = (mean(sums.iter().map(|(sum, _)| sum).sum()), mean(most));
        let folders = dataset.folders.iter().cloned().zip(sums);
        let folders = folders.map(|(name, (sum, count))| (name, sum / count.max(1) as f64)).collect();
        Ok(Validation { epoch: self.position.epoch, step: self.position.step, score, ceiling, folders })
    }

    /// Writes `model.safetensors`, as the published package reads it.
    fn write_model(&self, folder: &Folder) -> Result<()> {
        let model = &self.config.model;
        let mut about = serde_json::json!({
            "net": model.net.to_string(),
            "version": model.version.to_string(),
            "phase": format!("{:?}", model.phase).to_lowercase(),
            "taps": self.model.taps(),
            "epochs": self.position.epoch,
            "steps": self.position.step,
        });
        if let Some(last) = folder.validations()?.last() {
            about["2afc"] = last.score.into();
        }
        let metadata = HashMap::from([("lpips".to_string(), about.to_string())]);
        files::write_tensors(&folder.path().join("model.safetensors"), &self.model.published()?, &metadata)
    }
}
