//! Pipeline of many pairs: decode, batch by size, measure, emit in input order.
//!
//! Each stage is a module with a typed input and output; this module alone connects them.
//!
//! | stage | module | input | output |
//! | --- | --- | --- | --- |
//! | admit | `backpressure`, `image_cache` | [`Pair`] | `Undecoded` |
//! | decode | `decode`, with [`preprocess`] and `feature_store` | `Undecoded` | `Decoded` |
//! | batch | `batcher` | `Decoded` | `Batch` |
//! | measure | `measure` | image pairs of a `Batch` | `Measurement`s |
//! | emit | `emit`, with [`heat_maps`] | `Measurement`s | [`Row`]s in order |
//!
//! The pictures in flight are bounded in bytes, so that memory does not grow with the number of pairs. A picture is
//! decoded once for all metrics and for all pairs in flight that refer to it. On the CPU a pair's numbers are the same
//! to the last bit in any batch, order and number of threads.

mod backpressure;
mod batcher;
mod decode;
mod emit;
mod feature_store;
pub mod heat_maps;
mod image_cache;
mod measure;
pub mod preprocess;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lpips_core::Picture;
use lpips_core::cache::FeatureCache;
use lpips_core::image::Decoder;
use lpips_data::Outcome;
use lpips_eval::metric::Metric;
use rayon::prelude::*;

pub use image_cache::CachePolicy;

use self::backpressure::InFlightLimit;
use self::batcher::{Batch, Batcher, Progress};
use self::decode::{DecodeStage, Decoded, Undecoded, candidates};
use self::emit::{InOrder, RowStage};
use self::feature_store::FeatureStore;
use self::heat_maps::{HeatMaps, MapFailures};
use self::image_cache::{CachedImage, ImageCache, ImagePair};
use self::measure::{MeasureStage, Measurement};
use self::preprocess::Preprocess;
use crate::results::schema::{Columns, Row};
use crate::source::pair::{Input, Pair};
use crate::{Error, Result};

/// Time that decoded pairs wait for more of their size when none is being decoded.
const PATIENCE: Duration = Duration::from_millis(20);

/// Options of a pipeline: decoding, preprocessing, layers, heat maps, caches.
///
/// ```
/// use lpips_bulk::pipeline::{CachePolicy, Options};
///
/// let options = Options { layers: true, cache_policy: CachePolicy::All(1 << 30), ..Options::default() };
/// assert!(options.preprocess.resize.is_none());
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// Settings of the decoder: background, largest picture.
    pub decoder: Decoder,
    /// Steps that pictures go through before they are measured.
    pub preprocess: Preprocess,
    /// Whether rows have the distances' parts by layer.
    pub layers: bool,
    /// Whether and how heat maps are written.
    pub heat_maps: Option<HeatMaps>,
    /// Policy of the cache in memory, for later pairs.
    pub cache_policy: CachePolicy,
    /// Features on disk for other runs; not used for tiles.
    pub feature_cache: Option<Arc<FeatureCache>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            decoder: Decoder::default(),
            preprocess: Preprocess::default(),
            layers: false,
            heat_maps: None,
            cache_policy: CachePolicy::Repeated(256 << 20),
            feature_cache: None,
        }
    }
}

impl Options {
    /// Opens reference and candidate as they are measured, before they are cut into tiles.
    ///
    /// # Errors
    /// A picture that can't be read, or two that can't be measured together; in a sentence.
    pub fn pictures(&self, reference: &Input, candidate: &Input) -> Result<[Picture; 2], String> {
        let open = |input: &Input| decode::open(&self.decoder, input);
        let pair = self.preprocess.pair(open(reference)?, open(candidate)?);
        pair.map_err(|reason| format!("{}: {reason}", candidate.name().display()))
    }
}

/// Metrics and options, ready to measure pairs.
///
/// ```
/// # #[cfg(feature = "bundled")] {
/// use std::sync::Arc;
///
/// use candle_core::Device;
/// use lpips_bulk::pipeline::{Options, Pipeline};
/// use lpips_bulk::source::pair::Pair;
/// use lpips_core::{Picture, weights::Finder};
/// use lpips_eval::metric::Metric;
///
/// let folder = tempfile::tempdir()?;
/// let files = ["a.png", "b.png"].map(|name| folder.path().join(name));
/// for (level, file) in [90, 120].into_iter().zip(&files) {
///     Picture::from_rgb8(64, 64, vec![level; 64 * 64 * 3])?.save_png(file)?;
/// }
///
/// let metrics = vec![Metric::open("alex", &Finder::default(), &Device::Cpu)?];
/// let pipeline = Arc::new(Pipeline::new(metrics, Options::default())?);
/// let pair = |index, candidate| Pair::of_files(index, &files[0], candidate);
/// let rows = pipeline.measure(vec![pair(0, &files[1]), pair(1, &files[0])])?;
/// let distances: Vec<f64> = rows.into_iter().map(|row| row.outcome.unwrap()[0].distance).collect();
/// assert!(distances[0] > 0.0 && distances[1] == 0.0);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline {
    options: Options,
    decode: DecodeStage,
    measure: MeasureStage,
    rows: RowStage,
}

impl Pipeline {
    /// The distances by these metrics.
    ///
    /// # Errors
    /// Weights that can't be read from their device, which the keys of a feature cache need.
    pub fn new(metrics: Vec<Metric>, options: Options) -> Result<Self> {
        let is_tiled = options.preprocess.tile.is_some();
        let measure = MeasureStage::new(metrics, options.layers, options.cache_policy);
        let cache = options.feature_cache.clone().filter(|_| !is_tiled);
        let store = cache.map(|cache| FeatureStore::new(cache, measure.backbones())).transpose()?.map(Arc::new);
        Ok(Self {
            decode: DecodeStage {
                decoder: options.decoder,
                preprocess: options.preprocess,
                wants_maps: options.heat_maps.is_some(),
                store: store.clone(),
                decoded_files: AtomicU64::new(0),
            },
            measure: measure.with_store(store),
            rows: RowStage { is_tiled, heat_maps: options.heat_maps.clone(), map_failures: Mutex::default() },
            options,
        })
    }

    /// The options that it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The metrics that it was made with.
    pub fn metrics(&self) -> &[Metric] {
        self.measure.metrics()
    }

    /// The columns that all its rows share.
    pub fn columns(&self, triplets: bool) -> Columns {
        let layers = |metric: &Metric| match metric.lpips().filter(|_| self.options.layers) {
            Some(lpips) => lpips.tap_names().into_iter().map(String::from).collect(),
            None => Vec::new(),
        };
        Columns {
            metrics: self.metrics().iter().map(|metric| metric.name().to_string()).collect(),
            layers: self.metrics().iter().map(layers).collect(),
            triplets,
        }
    }

    /// The heat maps that could not be written so far; their rows have their distances all the same.
    pub fn map_failures(&self) -> MapFailures {
        self.rows.map_failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of picture files decoded so far. A file that several pairs in flight refer to is decoded once.
    pub fn decoded_files(&self) -> u64 {
        self.decode.decoded_files.load(Ordering::Relaxed)
    }

    /// Measures pairs and emits their rows in the order of the pairs, until `emit` breaks or `stop` is set. A picture
    /// that can't be read or measured fails its own row only.
    ///
    /// The pairs are produced on a thread of their own, which may wait for them: the rows of those before are emitted
    /// meanwhile.
    ///
    /// # Errors
    /// The first error of the pairs, after the rows before it are emitted; and those of `emit`.
    pub fn run(
        self: &Arc<Self>,
        pairs: impl Iterator<Item = Result<Pair>> + Send + 'static,
        stop: &AtomicBool,
        emit: &mut dyn FnMut(Row) -> Result<ControlFlow<()>>,
    ) -> Result<Outcome> {
        let (mut run, admission) = Run::new(self);
        // Not joined: after an early end, the source may still wait for its next pair.
        drop(std::thread::spawn(move || admission.admit_all(pairs)));
        run.execute(None, stop, emit)
    }

    /// [`Self::run`] of pairs that are at hand: without a thread for them.
    ///
    /// # Errors
    /// Those of `emit`.
    pub fn run_listed(
        self: &Arc<Self>,
        pairs: Vec<Pair>,
        stop: &AtomicBool,
        emit: &mut dyn FnMut(Row) -> Result<ControlFlow<()>>,
    ) -> Result<Outcome> {
        let (mut run, admission) = Run::new(self);
        run.execute(Some(Listed { pairs: pairs.into_iter(), admission }), stop, emit)
    }

    /// The rows of pairs that are at hand.
    ///
    /// # Errors
    /// None today: what fails, fails in its row.
    pub fn measure(self: &Arc<Self>, pairs: Vec<Pair>) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(pairs.len());
        self.run_listed(pairs, &AtomicBool::new(false), &mut |row| {
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// Decodes, in a task of the thread pool.
    fn decode(&self, undecoded: Undecoded, limit: &InFlightLimit) -> Decoded {
        let decoded = self.decode.decode(undecoded);
        limit.decoded(decoded.bytes);
        decoded
    }

    /// Measures a batch and makes its rows, in a task of the thread pool.
    fn measure_batch(&self, batch: Batch) -> Vec<(Decoded, Row)> {
        let images: Vec<ImagePair> =
            batch.pairs.iter().flat_map(|decoded| decoded.images.iter().flatten()).cloned().collect();
        let mut measured = self.measure.measure(&images, batch.capacity).into_iter();
        drop(images);
        // All of a pair's are taken, also after a failed one.
        let mut of_pair = |decoded: &Decoded| {
            let own: Vec<_> = measured.by_ref().take(decoded.count()).collect();
            own.into_iter().collect()
        };
        let measured: Vec<Result<Vec<Measurement>, String>> = batch.pairs.iter().map(&mut of_pair).collect();
        let row = |(decoded, measured): (Decoded, Result<Vec<Measurement>, String>)| {
            let candidate = decoded.pair.candidate.name().display();
            let measured = measured.map_err(|reason| format!("{candidate}: {reason}"));
            let row = self.rows.row(&decoded, measured.as_deref().map_err(String::as_str));
            (decoded, row)
        };
        batch.pairs.into_par_iter().zip(measured).map(row).collect()
    }
}

/// Messages to the thread that runs the pipeline.
enum Message {
    Decoded(Box<Decoded>),
    Measured(Vec<(Decoded, Row)>),
    /// The source has ended after so many pairs.
    SourceEnd {
        pairs: u64,
        result: Result<()>,
    },
}

/// State that the source, the tasks and the running thread share.
struct Shared {
    pipeline: Arc<Pipeline>,
    limit: InFlightLimit,
    images: Mutex<ImageCache>,
}

/// The admit stage: gives pairs their images and starts to decode them.
struct Admission {
    shared: Arc<Shared>,
    sender: Sender<Message>,
    /// The sequence number of the next pair.
    sequence: u64,
    /// The last pair's reference, which the next pair often has too: it is not decoded again for it.
    reference: Arc<CachedImage>,
    /// Why the source ended.
    result: Result<()>,
}

impl Admission {
    /// Admits pairs as there is room for them.
    fn admit_all(mut self, pairs: impl Iterator<Item = Result<Pair>>) {
        // Reported if the source panics.
        self.result = Err(Error::invalid("the source of the pairs has stopped unexpectedly"));
        for pair in pairs {
            match pair {
                Ok(pair) if self.shared.limit.admit() => self.admit(pair),
                Ok(_) => return,
                Err(error) => {
                    self.result = Err(error);
                    return;
                }
            }
        }
        self.result = Ok(());
    }

    fn admit(&mut self, pair: Pair) {
        let image = |input: &Input| match input {
            Input::File(name) => lock(&self.shared.images).get(name),
            Input::Frame(..) => Arc::default(),
        };
        let reference = image(&pair.reference);
        // A candidate that is resized to its reference is of no use for other pairs.
        let is_alone = self.shared.pipeline.options.preprocess.depends_on_reference();
        let candidates = candidates(&pair).map(|input| if is_alone { Arc::default() } else { image(input) }).collect();
        self.reference = reference.clone();
        let undecoded = Undecoded { sequence: self.sequence, pair, reference, candidates };
        self.sequence += 1;
        let (shared, sender) = (self.shared.clone(), self.sender.clone());
        rayon::spawn(move || {
            let decoded = shared.pipeline.decode(undecoded, &shared.limit);
            // The receiver is gone if the run ended early.
            drop(sender.send(Message::Decoded(Box::new(decoded))));
        });
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.limit.source_ended();
        let result = std::mem::replace(&mut self.result, Ok(()));
        // The receiver is gone if the run ended early.
        drop(self.sender.send(Message::SourceEnd { pairs: self.sequence, result }));
    }
}

/// Pairs at hand, admitted by the running thread itself.
struct Listed {
    pairs: std::vec::IntoIter<Pair>,
    admission: Admission,
}

impl Listed {
    /// Admits as many pairs as there is room for; itself, if there are more.
    fn admit(mut self) -> Option<Self> {
        while !self.pairs.as_slice().is_empty() {
            if !self.admission.shared.limit.try_admit() {
                return Some(self);
            }
            let pair = self.pairs.next()?;
            self.admission.admit(pair);
        }
        None
    }
}

/// A run of the pipeline: connects the stages on the calling thread.
struct Run {
    shared: Arc<Shared>,
    messages: Receiver<Message>,
    sender: Sender<Message>,
    batcher: Batcher,
    rows: InOrder,
    source_end: Option<(u64, Result<()>)>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.limit.close();
    }
}

impl Run {
    fn new(pipeline: &Arc<Pipeline>) -> (Self, Admission) {
        let shared = Arc::new(Shared {
            pipeline: pipeline.clone(),
            // Those that are measured, and as many for the next batches.
            limit: InFlightLimit::new(2 * pipeline.measure.bytes_at_once()),
            images: Mutex::new(ImageCache::new(pipeline.options.cache_policy.limit())),
        });
        let (sender, messages) = channel();
        let admission = Admission {
            shared: shared.clone(),
            sender: sender.clone(),
            sequence: 0,
            reference: Arc::default(),
            result: Ok(()),
        };
        let batcher = Batcher::new(pipeline.measure.concurrent_batches());
        (Self { shared, messages, sender, batcher, rows: InOrder::default(), source_end: None }, admission)
    }

    fn execute(
        &mut self,
        mut listed: Option<Listed>,
        stop: &AtomicBool,
        emit: &mut dyn FnMut(Row) -> Result<ControlFlow<()>>,
    ) -> Result<Outcome> {
        loop {
            while let Ok(message) = self.messages.try_recv() {
                self.accept(message);
            }
            // Before a batch is chosen, which would be an incomplete one if no pair were on its way.
            listed = listed.and_then(Listed::admit);
            let is_stopped = stop.load(Ordering::Relaxed);
            // Before rows are emitted, so that no thread waits for the disk.
            if !is_stopped && let Some(batch) = self.next_batch() {
                self.measure(batch);
                continue;
            }
            while let Some(row) = self.rows.pop() {
                if emit(row)?.is_break() {
                    return Ok(Outcome::Stopped);
                }
            }
            if is_stopped {
                return Ok(Outcome::Stopped);
            }
            if self.source_end.as_ref().is_some_and(|(pairs, _)| *pairs == self.rows.next()) {
                let result = self.source_end.take().map_or(Ok(()), |(_, result)| result);
                return result.map(|()| Outcome::Complete);
            }
            if let Ok(message) = self.messages.recv_timeout(PATIENCE) {
                self.accept(message);
            } else if !self.batcher.is_busy() && self.shared.limit.is_decoded()
                // No more pairs come for now.
                && let Some(batch) = self.batcher.flush()
            {
                self.measure(batch);
            }
        }
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let is_stalled = || self.shared.limit.is_stalled();
        let source_ended = self.source_end.is_some();
        self.batcher.next(&Progress { next: self.rows.next(), source_ended, is_stalled: &is_stalled })
    }

    fn accept(&mut self, message: Message) {
        match message {
            Message::SourceEnd { pairs, result } => self.source_end = Some((pairs, result)),
            Message::Measured(rows) => {
                self.batcher.finished();
                for (decoded, row) in rows {
                    self.cache_images(&decoded);
                    self.finish(&decoded, row);
                }
            }
            Message::Decoded(decoded) => match &decoded.images {
                Err(reason) => {
                    let row = self.shared.pipeline.rows.row(&decoded, Err(reason));
                    self.finish(&decoded, row);
                }
                Ok(_) => self.batcher.push(*decoded, |size| self.shared.pipeline.measure.capacity(size)),
            },
        }
    }

    /// Starts to measure a batch.
    fn measure(&self, batch: Batch) {
        let (pipeline, sender) = (self.shared.pipeline.clone(), self.sender.clone());
        rayon::spawn(move || {
            // The receiver is gone if the run ended early.
            drop(sender.send(Message::Measured(pipeline.measure_batch(batch))));
        });
    }

    fn finish(&mut self, decoded: &Decoded, row: Row) {
        self.rows.push(decoded.sequence, row);
        self.shared.limit.finished(decoded.bytes);
    }

    /// Caches the images of a measured pair that later pairs may refer to.
    fn cache_images(&self, decoded: &Decoded) {
        let options = &self.shared.pipeline.options;
        let Ok(images) = &decoded.images else { return };
        let Some(first) = images.first().filter(|_| options.preprocess.tile.is_none()) else { return };
        self.cache_image(&decoded.pair.reference, &first.reference);
        if !options.preprocess.depends_on_reference() {
            for (input, images) in candidates(&decoded.pair).zip(images) {
                self.cache_image(input, &images.candidate);
            }
        }
    }

    fn cache_image(&self, input: &Input, image: &Arc<CachedImage>) {
        let Input::File(name) = input else { return };
        let pipeline = &self.shared.pipeline;
        if !pipeline.options.cache_policy.includes(image) {
            return;
        }
        let is_drawn = pipeline.options.heat_maps.as_ref().is_some_and(|maps| maps.over_reference);
        if !is_drawn && pipeline.measure.needs_no_pixels(image) {
            image.drop_pixels();
        }
        lock(&self.shared.images).insert(name, image);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Pipeline>();
    is_send_and_sync::<Options>();
};
