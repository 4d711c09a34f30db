//! The training loop over batches, steps and epochs, with validation and checkpoints.

mod feature_cache;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use lpips_core::Dropout;
use lpips_core::weights::Finder;
use lpips_data::augment::Augment;
use lpips_data::files;
use lpips_data::loader::{Batch, Batching};
use lpips_data::rng::{Rng, Stream};
use lpips_data::{CheckDepth, Dataset, Outcome, Split};
use lpips_eval::score::two_afc_score;
use lpips_models::ops::sum;

use self::feature_cache::Cache;
use crate::config::{Amp, Config};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::optimiser::{Adam, LossScaler, square_sum};
use crate::run_folder::checkpoint::{Checkpoint, Identity, Position};
use crate::run_folder::{self, RunFolder, SkipReason, SkipRecord, StepRecord, Validation, curves};

/// A training under way.
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
    cache: Option<Cache>,
}

/// Progress events of a training run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step was taken, with so many triplets.
    Step(&'a StepRecord, usize),
    /// A step was not taken.
    Skipped(&'a SkipRecord),
    /// An epoch was scored.
    Scored(&'a Validation),
    /// A checkpoint was written.
    Saved(&'a Path),
}

/// The triplets that a configuration names: to train on, and to score.
#[derive(Debug, Clone)]
pub struct Splits {
    /// To train on.
    pub train: Arc<Dataset>,
    /// To score after each epoch.
    pub val: Option<Arc<Dataset>>,
}

/// Samples of the built-in set to train on, and to score.
const SAMPLES: (usize, usize) = (400, 200);

/// The result of a step.
enum StepOutcome {
    /// The weights have moved.
    Taken(StepRecord),
    /// The weights are as before.
    Skipped(SkipReason),
    /// The loss or the gradient is not a finite number, for this reason; the weights are as before.
    Diverged(String),
}

impl Splits {
    /// Opens them, and looks at each picture; without any to train on, the built-in samples. `progress` is called as
    /// [`Dataset::open_for_training`] does it.
    ///
    /// # Errors
    /// Those of [`Dataset::open_for_training`].
    pub fn open(config: &Config, look: CheckDepth, progress: &(dyn Fn(Option<usize>) + Sync)) -> Result<Self> {
        let data = &config.data;
        if data.train.is_empty() {
            // Other seeds than those of the training, so that both sets stay what they are.
            let val = Dataset::samples(2, SAMPLES.1);
            return Ok(Self { train: Arc::new(Dataset::samples(1, SAMPLES.0)), val: Some(Arc::new(val)) });
        }
        let open = |roots: &[PathBuf], split| {
            Dataset::open_for_training(roots, split, data.skip_broken, look, progress)
                .map(Arc::new)
                .map_err(Error::from)
        };
        let train = open(&data.train, Split::Train)?;
        let val = if data.val.is_empty() { None } else { Some(open(&data.val, Split::Val)?) };
        Ok(Self { train, val })
    }
}

impl Trainer {
    /// A training at its start. `will_restore` says that [`Self::restore`] follows: what a checkpoint holds is not looked for then.
    ///
    /// # Errors
    /// Weights that are not found or do not fit.
    pub fn new(config: Config, splits: Splits, finder: &Finder, device: &Device, will_restore: bool) -> Result<Self> {
        let model = Model::new(&config, finder, device, will_restore)?;
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
        let Splits { train, val } = splits;
        let (scaler, position) = (LossScaler::new(config.run.amp.dtype()), Position::default());
        let identity = Self::identity(&config, &model, &train)?;
        Ok(Self { config, identity, model, adam, scaler, position, train, val, batching, cache: None })
    }

    /// The weights.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What it trains on.
    pub fn judgments(&self) -> &Dataset {
        &self.train
    }

    /// How far it has come.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Steps in all: those of each epoch times the epochs.
    pub fn total_steps(&self) -> u64 {
        let batches = self.batching.batches(self.train.items.len());
        (batches.div_ceil(self.config.optimizer.accumulate) * self.config.schedule().total_epochs()) as u64
    }

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

    /// Where the training stands.
    ///
    /// # Errors
    /// Those of candle.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            identity: self.identity.clone(),
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
        checkpoint.identity.check(&self.identity, path)?;
        let named = |error: &dyn std::fmt::Display| Error::checkpoint(path, format!("can't be resumed: {error}"));
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
        folder: &mut RunFolder,
        cached: &[u32],
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome> {
        folder.rewind(&self.position)?;
        folder.checkpoints.rewind(&self.position)?;
        folder.checkpoints.tidy(self.config.run.keep)?;
        if self.config.run.cache_features {
            self.cache = Some(self.open_cache(&folder.path().join("features.cache"), cached)?);
        }
        loop {
            if !self.position.scored && self.score(folder, stop, tell)? == Outcome::Stopped {
                break;
            }
            if self.position.epoch >= self.config.schedule().total_epochs() {
                return self.complete(folder).map(|()| Outcome::Complete);
            }
            if self.epoch(folder, stop, tell)? == Outcome::Stopped {
                break;
            }
        }
        let latest = folder.checkpoints.latest();
        self.save(folder, &[latest], tell)?;
        Ok(Outcome::Stopped)
    }

    /// What is left to do after the last epoch.
    fn complete(&mut self, folder: &mut RunFolder) -> Result<()> {
        self.write_model(folder)?;
        folder.sync()?;
        let lins = self.model.state()?;
        let lins = self.model.lpips()?.tap_names().into_iter().enumerate().filter_map(|(i, name)| {
            let weights = lins.get(&format!("lin{i}.weight"))?.flatten_all().ok()?.to_vec1().ok()?;
            Some((name.to_string(), weights))
        });
        curves::draw(folder.path(), &folder.steps()?, &folder.validations()?, &lins.collect::<Vec<_>>())?;
        if let Some(cache) = self.cache.take() {
            drop(std::fs::remove_file(cache.path()));
        }
        Ok(())
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
        Cache::open(path.to_path_buf(), self.train.items.len(), shapes.collect(), limit, cached)
    }

    /// The rest of the epoch that is under way.
    fn epoch(
        &mut self,
        folder: &mut RunFolder,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome> {
        let (epoch, total) = (self.position.epoch, self.batching.batches(self.train.items.len()));
        let mut loader = self.batching.load(&self.train, epoch, self.position.batch, self.model.device());
        while self.position.batch < total {
            if stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Stopped);
            }
            let count = self.config.optimizer.accumulate.min(total - self.position.batch);
            let within = self.position.batch as f64 / total as f64;
            let mut numbers = Vec::new();
            let step = self.step(&mut loader.by_ref().take(count), &mut numbers, epoch, within);
            let outcome = step?;
            if let StepOutcome::Diverged(reason) = outcome {
                return Err(self.diverged(folder, reason, &numbers));
            }
            self.position.batch += count;
            self.position.step += 1;
            match outcome {
                StepOutcome::Taken(record) => {
                    folder.step(&record)?;
                    tell(&Event::Step(&record, numbers.len()));
                }
                StepOutcome::Skipped(skipped) => {
                    self.position.skipped += 1;
                    let record = SkipRecord { epoch: epoch + 1, step: self.position.step, skipped };
                    folder.skip(&record)?;
                    tell(&Event::Skipped(&record));
                }
                StepOutcome::Diverged(_) => {}
            }
            let every = self.config.run.checkpoint_steps;
            if every > 0 && self.position.step.is_multiple_of(every) && self.position.batch < total {
                let latest = folder.checkpoints.latest();
                self.save(folder, &[latest], tell)?;
            }
        }
        (self.position.epoch, self.position.batch, self.position.scored) = (epoch + 1, 0, false);
        Ok(Outcome::Complete)
    }

    /// One step over some batches, as over one of all their triplets, whose `numbers` are noted; or why it was not taken.
    fn step(
        &mut self,
        batches: &mut dyn Iterator<Item = lpips_data::Result<Option<Batch>>>,
        numbers: &mut Vec<u32>,
        epoch: usize,
        within: f64,
    ) -> Result<StepOutcome> {
        let step = self.position.step;
        let lr = self.config.optimizer.lr * self.config.schedule().factor(step, epoch, within);
        let mut sums: HashMap<String, Tensor> = HashMap::new();
        let (mut loss, mut accuracy, mut count) = (0.0, 0.0, 0.0);
        let mut i = 0;
        for batch in batches {
            let Some(batch) = batch? else { continue };
            numbers.extend(&batch.numbers);
            let n = batch.numbers.len() as f64;
            let seed = Rng::new(self.config.run.seed, Stream::Dropout, (step, i)).bits();
            i += 1;
            let dropout = Dropout::new(self.config.model.dropout, seed)?;
            let taps = self.kept_taps(&batch)?;
            let outcome = self.model.learn(&batch, taps, dropout, n * self.scaler.scale)?;
            loss += n * outcome.loss;
            accuracy += n * outcome.accuracy;
            count += n;
            for (name, gradient) in outcome.gradients {
                let sum = match sums.remove(&name) {
                    Some(sum) => sum::add_in_place(sum, gradient)?,
                    None => gradient,
                };
                sums.insert(name, sum);
            }
        }
        if count == 0.0 {
            return Ok(StepOutcome::Skipped(SkipReason::Broken));
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
        if !loss.is_finite() {
            // No scale of the loss helps against that.
            let hint = match self.config.run.amp {
                Amp::F16 => " (numbers above 65504 do not fit into f16: bf16 or f32 may do)",
                _ => "",
            };
            return Ok(StepOutcome::Diverged(format!("the loss is no finite number{hint}")));
        }
        if !norm.is_finite() {
            if self.scaler.overflowed() {
                return Ok(StepOutcome::Skipped(SkipReason::Overflow));
            }
            return Ok(StepOutcome::Diverged("the gradient is no finite number".to_string()));
        }
        let limit = self.config.optimizer.clip_norm;
        let shorten = if limit > 0.0 && norm > limit { limit / norm } else { 1.0 };
        self.adam.set_learning_rate(lr);
        self.adam.step_with(|name, _| sums.get(name).cloned(), unscale * shorten)?;
        self.model.clamp()?;
        self.scaler.succeeded();
        Ok(StepOutcome::Taken(StepRecord { epoch: epoch + 1, step: step + 1, loss, accuracy, lr, grad_norm: norm }))
    }

    /// What the network sees in a batch: from the cache what is there, and the rest anew.
    fn kept_taps(&mut self, batch: &Batch) -> Result<Option<Vec<Tensor>>> {
        let Some(cache) = self.cache.as_mut().filter(|_| self.model.is_settled()) else { return Ok(None) };
        let numbers = &batch.numbers;
        let missing = cache.missing(numbers);
        if missing.len() == numbers.len() {
            let taps = self.model.taps_of(batch)?;
            cache.put(numbers, &taps)?;
            return Ok(Some(taps));
        }
        let fresh = if missing.is_empty() { Vec::new() } else { self.model.taps_of(&batch.select(&missing)?)? };
        let taps = cache.get(numbers, &missing, &fresh, self.model.device())?;
        if !missing.is_empty() {
            let numbers: Vec<u32> = missing.iter().map(|place| numbers[*place as usize]).collect();
            cache.put(&numbers, &fresh)?;
        }
        Ok(Some(taps))
    }

    /// Saves what there is, and says where it went wrong.
    fn diverged(&self, folder: &RunFolder, reason: String, numbers: &[u32]) -> Error {
        let path = folder.checkpoints.diverged();
        let saved = match self.checkpoint().and_then(|checkpoint| checkpoint.save(&path)) {
            Ok(()) => format!("the state before it is in {}", path.display()),
            Err(error) => format!("the state before it could not be saved: {error}"),
        };
        let triplets = numbers.iter().map(|at| self.train.items[*at as usize].source.name()).collect();
        let (step, epoch) = (self.position.step + 1, self.position.epoch + 1);
        Error::Diverged { step, epoch, reason, saved, triplets }
    }

    /// Writes where the training stands to each of these files, after the logs that lead there.
    fn save(&self, folder: &mut RunFolder, paths: &[PathBuf], tell: &mut dyn FnMut(&Event<'_>)) -> Result<()> {
        folder.sync()?;
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

    /// Scores the held-out triplets, and writes down where the training stands after an epoch.
    fn score(
        &mut self,
        folder: &mut RunFolder,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome> {
        let mut is_best = false;
        if let Some(val) = self.val.clone() {
            let Some(record) = self.validate(&val, stop)? else { return Ok(Outcome::Stopped) };
            folder.validation(&record)?;
            tell(&Event::Scored(&record));
            is_best = self.position.epoch > 0 && self.position.best.is_none_or(|best| record.score > best);
            if is_best {
                self.position.best = Some(record.score);
            }
        }
        self.position.scored = true;
        if self.position.epoch > 0 {
            // The latest last: what it promises is there.
            self.write_model(folder)?;
            let checkpoints = &folder.checkpoints;
            let mut paths: Vec<PathBuf> = is_best.then(|| checkpoints.best()).into_iter().collect();
            paths.extend([checkpoints.epoch(self.position.epoch), checkpoints.latest()]);
            self.save(folder, &paths, tell)?;
            folder.checkpoints.tidy(self.config.run.keep)?;
        }
        Ok(Outcome::Complete)
    }

    /// The 2AFC score of a dataset, over all and by folder: for each triplet the share of people who chose as the
    /// distances do, one half at equal distances. `None` where `stop` was set before the end.
    ///
    /// # Errors
    /// A picture that can't be read.
    pub fn validate(&self, dataset: &Arc<Dataset>, stop: &AtomicBool) -> Result<Option<Validation>> {
        let batching = Batching { shuffle: false, augment: Augment::default(), ..self.batching.clone() };
        let mut sums = vec![(0.0, 0usize); dataset.folders.len()];
        let mut most = 0.0;
        for batch in batching.load(dataset, 0, 0, self.model.device()) {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let Some(batch) = batch? else { continue };
            let (d0, d1) = self.model.distances(&batch)?;
            for ((number, d0), d1) in batch.numbers.iter().zip(d0).zip(d1) {
                let triplet = &dataset.items[*number as usize];
                let judge = f64::from(triplet.judge);
                let (sum, count) = &mut sums[triplet.folder];
                *sum += two_afc_score(d0.into(), d1.into(), judge);
                *count += 1;
                most += judge.max(1.0 - judge);
            }
        }
        let total: usize = sums.iter().map(|(_, count)| count).sum();
        let mean = |sum: f64| sum / total.max(1) as f64;
        let (score, ceiling) = (mean(sums.iter().map(|(sum, _)| sum).sum()), mean(most));
        let folders = dataset.folders.iter().cloned().zip(sums);
        let folders = folders.map(|(name, (sum, count))| (name, sum / count.max(1) as f64)).collect();
        let Position { epoch, step, .. } = self.position;
        Ok(Some(Validation { epoch, step, score, ceiling, folders }))
    }

    /// Writes `model.safetensors`, as the published package reads it.
    fn write_model(&self, folder: &RunFolder) -> Result<()> {
        let model = &self.config.model;
        let mut about = serde_json::json!({
            "net": model.net.to_string(),
            "version": model.version.to_string(),
            "phase": model.phase.to_string(),
            "taps": self.model.taps(),
            "epochs": self.position.epoch,
            "steps": self.position.step,
        });
        if let Some(last) = folder.validations()?.last() {
            about["2afc"] = last.score.into();
        }
        let path = folder.path().join(run_folder::MODEL);
        Ok(files::write_tensors(&path, &self.model.published()?, ("lpips", about.to_string()))?)
    }
}
