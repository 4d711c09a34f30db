//! The way of many pairs: decoded ahead on all cores, put together by size into batches, measured, and told in their order.
//!
//! What is in flight is bounded in bytes, so that memory does not grow with the number of pairs.

mod backpressure;
mod batcher;
mod feature_store;
pub mod heat_maps;
mod image_cache;
mod measure;
pub mod preprocess;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;
use lpips_core::cache::FeatureCache;
use lpips_core::image::Decoder;
use lpips_core::{Picture, Size};
use rayon::prelude::*;

use crate::pipeline::backpressure::Gate;
use crate::pipeline::batcher::{Desk, Job, Message};
use crate::pipeline::feature_store::Stored;
use crate::pipeline::heat_maps::Maps;
use crate::pipeline::image_cache::{Slot, Slots};
use crate::pipeline::measure::{Look, Measurement, Part};
use crate::pipeline::preprocess::Prepare;
use crate::results::schema::{Columns, MetricResult, Row};
use crate::source::pair::{Input, Pair};
use crate::{Error, Result};
use lpips_eval::metric::Metric;

/// Pixels of both sides together that are measured at once for each thread: two pairs of 256x256. Of more, less stays in the caches.
const OF_A_THREAD: usize = 1 << 18;
/// The same of a GPU.
const OF_A_GPU: usize = 1 << 22;
/// Pairs of a batch at most.
const PAIRS: usize = 64;

/// What is kept of pictures for the pairs to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What networks see in each picture: every picture will meet many.
    All(usize),
    /// In those that more than one of the pairs in flight asks for. Both as far as so many bytes go.
    Repeated(usize),
}

impl Keep {
    pub(in crate::pipeline) fn wants(self, slot: &Slot) -> bool {
        match self {
            Self::All(limit) => limit > 0,
            Self::Repeated(limit) => limit > 0 && slot.is_shared(),
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::All(limit) | Self::Repeated(limit) => limit,
        }
    }
}

/// How pairs are measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// How files are read.
    pub decoder: Decoder,
    /// What is done with pictures first.
    pub prepare: Prepare,
    /// Whether the distances' parts by layer are wanted.
    pub layers: bool,
    /// Whether heat maps are wanted, and where.
    pub maps: Option<Maps>,
    /// What is kept of pictures for the pairs to come.
    pub keep: Keep,
    /// Where what networks see is kept for other runs; of tiles nothing is.
    pub cache: Option<Arc<FeatureCache>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            decoder: Decoder::default(),
            prepare: Prepare::default(),
            layers: false,
            maps: None,
            keep: Keep::Repeated(256 << 20),
            cache: None,
        }
    }
}

impl Options {
    /// Reference and candidate as they are measured before they are cut into tiles.
    ///
    /// # Errors
    /// A picture that can't be read, or two that can't be measured together; in a sentence.
    pub fn pictures(&self, reference: &Input, candidate: &Input) -> Result<[Picture; 2], String> {
        let pair = self.prepare.pair(self.open(reference)?, self.open(candidate)?);
        pair.map_err(|reason| format!("{}: {reason}", candidate.name().display()))
    }

    fn open(&self, input: &Input) -> Result<Picture, String> {
        match input {
            Input::File(path) => self.decoder.open(path).map_err(|error| error.to_string()),
            Input::Frame(_, frame) => frame.as_ref().map(|frame| (**frame).clone()).map_err(String::clone),
        }
    }
}

/// What is measured, and how.
#[derive(Debug)]
pub struct Work {
    pub(in crate::pipeline) metrics: Vec<Metric>,
    pub(in crate::pipeline) looks: Vec<Look>,
    pub(in crate::pipeline) options: Options,
    pub(in crate::pipeline) stored: Option<Stored>,
    /// Heat maps that could not be written, and why the first.
    unwritten: Mutex<(u64, Option<String>)>,
}

impl Work {
    /// The distances by these metrics.
    ///
    /// # Errors
    /// Those of candle, where weights have to be read for the cache: a device that can't be read from.
    pub fn new(metrics: Vec<Metric>, options: Options) -> Result<Self> {
        let looks = Look::all(&metrics);
        let cache = options.cache.clone().filter(|_| options.prepare.tile.is_none());
        let stored = cache.map(|cache| Stored::new(cache, &looks, &metrics)).transpose()?;
        Ok(Self { metrics, looks, options, stored, unwritten: Mutex::default() })
    }

    /// What its rows have in common.
    pub fn columns(&self, triplets: bool) -> Columns {
        let layers = |metric: &Metric| match metric.lpips().filter(|_| self.options.layers) {
            Some(lpips) => lpips.tap_names().into_iter().map(String::from).collect(),
            None => Vec::new(),
        };
        Columns {
            metrics: self.metrics.iter().map(|metric| metric.name().to_string()).collect(),
            layers: self.metrics.iter().map(layers).collect(),
            triplets,
        }
    }

    /// How many heat maps could not be written so far, and why the first: that costs no distance.
    pub fn unwritten_maps(&self) -> (u64, Option<String>) {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn draw(&self, maps: &Maps, index: u64, candidate: &Path, map: &Tensor) {
        if let Err(error) = maps.draw(index, candidate, map) {
            let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
            unwritten.0 += 1;
            unwritten.1.get_or_insert(error);
        }
    }

    /// How it is measured.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What is measured.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// How many pairs of this size go through the networks at once.
    pub(in crate::pipeline) fn batch(&self, (height, width): (usize, usize)) -> usize {
        let wanted = (self.pixels() / (2 * height * width)).clamp(1, PAIRS);
        let at_once = self.at_once();
        let fit = |look: &Look| {
            let pairs = look.lpips(&self.metrics)?.max_batch(at_once * wanted, Size { width, height }).ok()?;
            Some(pairs.div_ceil(at_once))
        };
        self.looks.iter().filter_map(fit).min().unwrap_or(wanted)
    }

    /// Batches that are measured at once. One is for all threads of the CPU, so that they share what is in the caches; where a GPU is at
    /// work, the next is made ready meanwhile.
    pub(in crate::pipeline) fn at_once(&self) -> usize {
        if self.is_on_cpu() { 1 } else { 2 }
    }

    /// Pixels of a batch, of both sides together.
    fn pixels(&self) -> usize {
        if self.is_on_cpu() { OF_A_THREAD * rayon::current_num_threads() } else { OF_A_GPU }
    }

    fn is_on_cpu(&self) -> bool {
        self.looks.iter().filter_map(|look| look.lpips(&self.metrics)).all(|lpips| lpips.device().is_cpu())
    }

    pub(in crate::pipeline) fn needs_pixels(&self) -> bool {
        self.metrics.iter().any(|metric| metric.lpips().is_none())
    }

    pub(in crate::pipeline) fn outcome(
        &self,
        job: &Job,
        measured: Result<&Vec<Measurement>, &String>,
    ) -> Result<Vec<MetricResult>, String> {
        let named = |reason: &String| format!("{}: {reason}", job.pair.candidate.name().display());
        let measured = measured.map_err(named)?;
        if let Some(maps) = &self.options.maps {
            for (input, measurement) in candidates(&job.pair).zip(measured) {
                if let Some(map) = &measurement.map {
                    self.draw(maps, job.pair.index, input.name(), map);
                }
            }
        }
        let sides = 1 + usize::from(job.pair.second.is_some());
        let each = measured.len() / sides;
        let tiles = |metric: usize, side: usize| -> Vec<f64> {
            let of = |measurement: &Measurement| measurement.values[metric].0;
            measured[side * each..(side + 1) * each].iter().map(of).collect()
        };
        let of = |metric: usize| {
            let own = tiles(metric, 0);
            let layers = (0..measured[0].values[metric].1.len())
                .map(|layer| mean(&measured[..each].iter().map(|m| m.values[metric].1[layer]).collect::<Vec<_>>()))
                .collect();
            MetricResult {
                distance: mean(&own),
                second: (sides > 1).then(|| mean(&tiles(metric, 1))),
                layers,
                tiles: if self.options.prepare.tile.is_some() { own } else { Vec::new() },
            }
        };
        Ok((0..self.metrics.len()).map(of).collect())
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All pairs are measured.
    Done,
    /// It was asked to stop before.
    Stopped,
}

/// Measures pairs and tells the rows in the order of the pairs, until `tell` says that it is enough or `stop` is set. A picture that can't be
/// read or measured costs its own row; an error among the pairs ends it, after the rows before are told.
///
/// # Errors
/// Those of the pairs, and those of `tell`.
pub fn run(
    pairs: impl Iterator<Item = Result<Pair>> + Send + 'static,
    work: &Arc<Work>,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Row) -> Result<ControlFlow<()>>,
) -> Result<Ended> {
    let shared = Arc::new(Shared {
        work: work.clone(),
        // The batches that are measured, and as much again for those to come.
        gate: Gate::new(2 * work.at_once() * work.pixels() * size_of::<[u8; 3]>()),
        slots: Mutex::new(Slots::new(work.options.keep.limit())),
    });
    let (sender, jobs) = channel();
    let (feeding, feeder) = (shared.clone(), sender.clone());
    // Not waited for: where it ends early, a source may have nothing to give for long.
    drop(std::thread::spawn(move || {
        let ended = Err(Error::invalid("the thread that gives the pairs has stopped unexpectedly".to_string()));
        feed(pairs, &feeding, &mut Ending { sender: &feeder, gate: &feeding.gate, sequence: 0, ended });
    }));
    let closing = Closing(&shared.gate);
    let done = Desk::new(&shared, jobs, sender).work(stop, tell);
    drop(closing);
    Ok(if done? { Ended::Done } else { Ended::Stopped })
}

/// Lets the feeder go when nobody works any more.
struct Closing<'a>(&'a Gate);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.change(|flow| flow.closed = true);
    }
}

/// Tells the desk where the pairs have ended, however they have.
struct Ending<'a> {
    sender: &'a Sender<Message>,
    gate: &'a Gate,
    /// The place of the next pair.
    sequence: u64,
    ended: Result<()>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.gate.change(|flow| flow.still = true);
        let ended = std::mem::replace(&mut self.ended, Ok(()));
        // Nobody listens where it has ended early.
        drop(self.sender.send(Message::End(self.sequence, ended)));
    }
}

/// What the feeder, the decoders and the desk have in common.
pub(in crate::pipeline) struct Shared {
    pub(in crate::pipeline) work: Arc<Work>,
    pub(in crate::pipeline) gate: Gate,
    slots: Mutex<Slots>,
}

impl Shared {
    pub(in crate::pipeline) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn feed(pairs: impl Iterator<Item = Result<Pair>>, shared: &Arc<Shared>, ending: &mut Ending<'_>) {
    for pair in pairs {
        let pair = match pair {
            Ok(pair) => pair,
            Err(error) => {
                ending.ended = Err(error);
                return;
            }
        };
        if !shared.gate.enter() {
            return;
        }
        let slot = |input: &Input| match input {
            Input::File(name) => shared.slots().get(name),
            Input::Frame(..) => Arc::default(),
        };
        let reference = slot(&pair.reference);
        // What becomes of a candidate that is brought to its reference's size is of no use for others.
        let candidates: Vec<Option<Arc<Slot>>> = candidates(&pair)
            .map(|input| (!shared.work.options.prepare.depends_on_reference()).then(|| slot(input)))
            .collect();
        let (shared, sender, sequence) = (shared.clone(), ending.sender.clone(), ending.sequence);
        ending.sequence += 1;
        rayon::spawn(move || {
            let parts = decode(&shared.work, &pair, &reference, &candidates);
            // A slot may stand in several parts.
            let bytes =
                std::iter::once(&reference).chain(candidates.iter().flatten()).map(|slot| slot.bytes()).sum::<usize>();
            shared.gate.change(|flow| {
                flow.undecoded -= 1;
                flow.bytes += bytes;
                flow.typical = bytes.max(flow.typical - flow.typical / 8);
            });
            // Nobody listens where it has ended early.
            drop(sender.send(Message::Job(Box::new(Job { sequence, pair, parts, bytes }))));
        });
    }
    ending.ended = Ok(());
}

pub(in crate::pipeline) fn candidates(pair: &Pair) -> impl Iterator<Item = &Input> {
    std::iter::once(&pair.candidate).chain(&pair.second)
}

fn decode(
    work: &Work,
    pair: &Pair,
    reference: &Arc<Slot>,
    candidates_slots: &[Option<Arc<Slot>>],
) -> Result<Vec<Part>, String> {
    let named = |input: &Input, reason: String| format!("{}: {reason}", input.name().display());
    let prepare = &work.options.prepare;
    let recall = |slot: &Slot, picture: &Picture| {
        if let Some(stored) = &work.stored {
            stored.recall(slot, picture, work);
        }
    };
    let load = |slot: &Slot, input: &Input| {
        slot.load(|| {
            let picture = prepare.alone(work.options.open(input)?).map_err(|reason| named(input, reason))?;
            recall(slot, &picture);
            Ok(picture)
        })
    };
    let known = candidates(pair).zip(candidates_slots).filter_map(|(input, slot)| Some((input, slot.as_ref()?)));
    let all: Vec<_> = std::iter::once((&pair.reference, reference)).chain(known).collect();
    // What comes of it waits in the slots.
    all.par_iter().for_each(|(input, slot)| drop(load(slot, input)));

    let mut parts = Vec::new();
    let size = load(reference, &pair.reference)?;
    for (input, slot) in candidates(pair).zip(candidates_slots) {
        let candidate = if let Some(slot) = slot {
            slot.clone()
        } else {
            let candidate = work.options.open(input)?;
            let brought = match prepare.crop {
                None => prepare.brought(candidate, size),
                // The reference's own size is no longer known.
                Some(_) => prepare.pair(work.options.open(&pair.reference)?, candidate).map(|[_, candidate]| candidate),
            };
            let candidate = brought.map_err(|reason| named(input, reason))?;
            let slot = Slot::default();
            recall(&slot, &candidate);
            slot.load(|| Ok(candidate))?;
            Arc::new(slot)
        };
        let (height, width) = load(&candidate, input)?;
        if (height, width) != size {
            let reason = format!(
                "is {width}x{height} pixels, but the reference {} is {}x{}: give pictures of one size, or --resize reference",
                pair.reference.name().display(),
                size.1,
                size.0
            );
            return Err(named(input, reason));
        }
        if prepare.tile.is_none() {
            parts.push(Part { reference: reference.clone(), candidate, mapped: work.options.maps.is_some() });
            continue;
        }
        let tiles = |slot: &Slot, input: &Input| {
            let picture = slot.picture().ok_or("its pixels were given up too early")?;
            prepare.tiles(&picture).map_err(|reason| named(input, reason))
        };
        let both = tiles(reference, &pair.reference)?.into_iter().zip(tiles(&candidate, input)?);
        parts.extend(both.map(|(a, b)| Part { reference: Slot::of(a), candidate: Slot::of(b), mapped: false }));
    }
    Ok(parts)
}

fn mean(values: &[f64]) -> f64 {
    match values {
        [one] => *one,
        _ => values.iter().sum::<f64>() / values.len() as f64,
    }
}
