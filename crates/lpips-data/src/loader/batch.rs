//! Batches, decoded and augmented ahead of the step.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::prefetch::Prefetch;
use crate::augment::Augment;
use crate::error::Result;
use crate::rng::{Rng, Stream};
use crate::{Dataset, float_image};

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
    pub fn select(&self, places: &[u32]) -> Result<Self> {
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

/// An epoch's batches in their order, which depends on the seed alone; so does the augmentation. Nothing stands in the place of a
/// batch of which every picture is broken.
pub type Loader = Prefetch<Option<Batch>>;

impl Batching {
    /// The numbers of an epoch's triplets in the order they are trained in.
    pub fn order(&self, count: usize, epoch: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count as u32).collect();
        if self.shuffle {
            Rng::new(self.seed, Stream::Order, (epoch as u64, 0)).shuffle(&mut order);
        }
        order
    }

    /// How many batches an epoch has.
    pub fn batches(&self, count: usize) -> usize {
        count.div_ceil(self.batch)
    }

    /// Starts to load an epoch from batch `first` on, for a trainer on `device`.
    pub fn load(&self, dataset: &Arc<Dataset>, epoch: usize, first: usize, device: &Device) -> Loader {
        let order: Arc<[u32]> = self.order(dataset.items.len(), epoch).into();
        let end = self.batches(order.len()).max(first);
        let (own, dataset, device) = (self.clone(), dataset.clone(), device.clone());
        Prefetch::start(first..end, self.workers, move |at| {
            let numbers = &order[at * own.batch..order.len().min((at + 1) * own.batch)];
            own.make(&dataset, epoch, numbers, &device)
        })
    }

    /// One batch; none where every picture of it is broken.
    fn make(&self, dataset: &Dataset, epoch: usize, numbers: &[u32], device: &Device) -> Result<Option<Batch>> {
        let side = self.size;
        let mut columns = [(); 3].map(|()| Vec::with_capacity(numbers.len() * 3 * side * side));
        let (mut judges, mut kept) = (Vec::new(), Vec::new());
        for &number in numbers {
            let triplet = &dataset.items[number as usize];
            let mut pictures = match float_image::load(&triplet.source, side) {
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
