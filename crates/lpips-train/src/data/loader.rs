//! Batches, decoded and augmented ahead of the step.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use candle_core::{Device, Tensor};

use super::augment::Augment;
use super::{Dataset, picture};
use crate::error::{Error, Result};
use crate::rng::{Rng, Use};

/// Batches that each worker has ready at most.
const AHEAD: usize = 2;

/// How triplets become batches.
#[derive(Debug, Clone)]
pub struct Batching {
    /// Triplets in a batch.
    pub batch: usize,
    /// Pixels along a side.
    pub size: usize,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Decides orders and augmentation.
    pub seed: u64,
    /// How pictures are changed.
    pub augment: Augment,
    /// Whether a picture that can't be read is left out, with a line in the log.
    pub skip_broken: bool,
    /// Threads that decode.
    pub workers: usize,
}

/// Some triplets, ready to be trained on.
#[derive(Debug)]
pub struct Batch {
    /// Their numbers in the dataset.
    pub numbers: Vec<u32>,
    /// (N, 3, H, W), black at -1 and white at 1.
    pub reference: Tensor,
    /// As the reference.
    pub p0: Tensor,
    /// As the reference.
    pub p1: Tensor,
    /// (N), the fraction that preferred p1.
    pub judge: Tensor,
}

impl Batch {
    /// Those of its triplets at these places.
    pub(crate) fn select(&self, places: &[u32]) -> Result<Self> {
        let at = Tensor::new(places, self.judge.device())?;
        Ok(Self {
            numbers: places.iter().map(|place| self.numbers[*place as usize]).collect(),
            reference: self.reference.index_select(&at, 0)?,
            p0: self.p0.index_select(&at, 0)?,
            p1: self.p1.index_select(&at, 0)?,
            judge: self.judge.index_select(&at, 0)?,
        })
    }
}

/// An epoch's batches in their order, which depends on the seed alone; so does the augmentation.
#[derive(Debug)]
pub struct Loader {
    /// One for each worker: of the batches from `first` on each takes its turn.
    queues: Vec<Receiver<Result<Option<Batch>>>>,
    workers: Vec<JoinHandle<()>>,
    first: usize,
    next: usize,
    end: usize,
}

impl Batching {
    /// The numbers of an epoch's triplets in the order they are trained in.
    pub fn order(&self, count: usize, epoch: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count as u32).collect();
        if self.shuffle {
            Rng::new(self.seed, Use::Order, (epoch as u64, 0)).shuffle(&mut order);
        }
        order
    }

    /// How many batches an epoch has.
    pub fn batches(&self, count: usize) -> usize {
        count.div_ceil(self.batch)
    }

    /// Starts to load an epoch from batch `first` on, for a trainer on `device`.
    pub fn load(&self, dataset: &Arc<Dataset>, epoch: usize, first: usize, device: &Device) -> Loader {
        let order: Arc<[u32]> = self.order(dataset.triplets.len(), epoch).into();
        let end = self.batches(order.len());
        let count = self.workers.clamp(1, end.saturating_sub(first).max(1));
        let (mut queues, mut workers) = (Vec::new(), Vec::new());
        for worker in 0..count {
            let (sender, queue) = sync_channel(AHEAD);
            let (own, dataset, order, device) = (self.clone(), dataset.clone(), order.clone(), device.clone());
            workers.push(std::thread::spawn(move || {
                for at in (first + worker..end).step_by(count) {
                    let numbers = &order[at * own.batch..order.len().min((at + 1) * own.batch)];
                    let batch = own.make(&dataset, epoch, numbers, &device);
                    // Nobody waits for more where the training has stopped.
                    let failed = batch.is_err();
                    if sender.send(batch).is_err() || failed {
                        return;
                    }
                }
            }));
            queues.push(queue);
        }
        Loader { queues, workers, first, next: first, end: end.max(first) }
    }

    /// One batch; none where every picture of it is broken.
    fn make(&self, dataset: &Dataset, epoch: usize, numbers: &[u32], device: &Device) -> Result<Option<Batch>> {
        let side = self.size;
        let mut columns = [(); 3].map(|()| Vec::with_capacity(numbers.len() * 3 * side * side));
        let (mut judges, mut kept) = (Vec::new(), Vec::new());
        for &number in numbers {
            let triplet = &dataset.triplets[number as usize];
            let mut pictures = match picture::load(&triplet.source, side) {
                Ok(pictures) => pictures,
                Err(error) if self.skip_broken => {
                    tracing::warn!("left out: {error}");
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.augment.apply_seeded(&mut pictures, self.seed, epoch as u64, u64::from(number));
            for (column, picture) in columns.iter_mut().zip(&pictures) {
                picture.planes(column);
            }
            judges.push(triplet.judge);
            kept.push(number);
        }
        let n = kept.len();
        if n == 0 {
            return Ok(None);
        }
        let [reference, p0, p1] = columns.map(|column| Tensor::from_vec(column, (n, 3, side, side), device));
        let judge = Tensor::from_vec(judges, n, device)?;
        Ok(Some(Batch { numbers: kept, reference: reference?, p0: p0?, p1: p1?, judge }))
    }
}

impl Iterator for Loader {
    /// A batch, or nothing in its place where every picture of it is broken.
    type Item = Result<Option<Batch>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let queue = &self.queues[(self.next - self.first) % self.queues.len()];
        self.next += 1;
        let gone = || Error::Data("a thread that decodes pictures has stopped unexpectedly".to_string());
        Some(queue.recv().unwrap_or_else(|_| Err(gone())))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // A worker that waits to hand over a batch learns that nobody takes it.
        self.queues.clear();
        for worker in self.workers.drain(..) {
            drop(worker.join());
        }
    }
}
