//! Batches of triplets as tensors, in the seeded order of an epoch.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::picture::load;
use super::prefetch::Prefetch;
use crate::augment::Augment;
use crate::error::Result;
use crate::rng::{Rng, Stream};
use crate::sets::Dataset;

/// Options of batching: size, order, augmentation and workers.
///
/// # Examples
/// ```
/// use std::sync::Arc;
///
/// use candle_core::Device;
/// use lpips_data::Dataset;
/// use lpips_data::augment::Augment;
/// use lpips_data::loader::Batching;
///
/// let batching = Batching {
///     batch: 4,
///     size: 16,
///     shuffle: true,
///     seed: 1,
///     augment: Augment { flip: 0.5, ..Augment::default() },
///     skip_broken: false,
///     workers: 2,
/// };
/// let set = Arc::new(Dataset::samples(7, 10));
/// for batch in batching.load(&set, 0, 0, &Device::Cpu) {
///     let batch = batch?.expect("no picture is broken");
///     assert_eq!(batch.reference.dims4()?, (batch.numbers.len(), 3, 16, 16));
///     assert_eq!(batch.judge.dims1()?, batch.numbers.len());
/// }
/// # Ok::<(), lpips_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batching {
    /// Triplets in a batch.
    pub batch: usize,
    /// Pixels along a side.
    pub size: usize,
    /// Whether each epoch has a random order of its own.
    pub shuffle: bool,
    /// Seed of the orders and the augmentation.
    pub seed: u64,
    /// Random changes of the pictures.
    pub augment: Augment,
    /// Whether a triplet with an unreadable picture is left out, with a warning in the log.
    pub skip_broken: bool,
    /// Number of decoding threads.
    pub workers: usize,
}

/// Batch of triplets, ready for a training step.
#[derive(Debug)]
pub struct Batch {
    /// Numbers of the triplets in the dataset.
    pub numbers: Vec<u32>,
    /// References, (N, 3, H, W), black at -1 and white at 1.
    pub reference: Tensor,
    /// p0, as the references.
    pub p0: Tensor,
    /// p1, as the references.
    pub p1: Tensor,
    /// Judgments, (N): the fraction of votes for p1.
    pub judge: Tensor,
}

impl Batch {
    /// Selects triplets of the batch by their places.
    ///
    /// # Errors
    /// A place beyond the batch.
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

/// Iterator over an epoch's batches, in an order that depends on the seed alone, as the augmentation does. `None`
/// stands for a batch of which every triplet is broken.
pub type Loader = Prefetch<Option<Batch>>;

impl Batching {
    /// Numbers of an epoch's triplets in training order.
    pub fn order(&self, count: usize, epoch: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count as u32).collect();
        if self.shuffle {
            Rng::new(self.seed, Stream::Order, (epoch as u64, 0)).shuffle(&mut order);
        }
        order
    }

    /// Number of batches in an epoch.
    pub fn batches(&self, count: usize) -> usize {
        count.div_ceil(self.batch)
    }

    /// Starts to load an epoch onto `device`, from batch `first` on.
    pub fn load(&self, dataset: &Arc<Dataset>, epoch: usize, first: usize, device: &Device) -> Loader {
        let order: Arc<[u32]> = self.order(dataset.items.len(), epoch).into();
        let end = self.batches(order.len()).max(first);
        let (own, dataset, device) = (self.clone(), dataset.clone(), device.clone());
        Prefetch::start(first..end, self.workers, move |at| {
            let numbers = &order[at * own.batch..order.len().min((at + 1) * own.batch)];
            own.make(&dataset, epoch, numbers, &device)
        })
    }

    /// Makes one batch; `None` where every triplet of it is broken.
    fn make(&self, dataset: &Dataset, epoch: usize, numbers: &[u32], device: &Device) -> Result<Option<Batch>> {
        let side = self.size;
        let mut columns = [(); 3].map(|()| Vec::with_capacity(numbers.len() * 3 * side * side));
        let (mut judges, mut used) = (Vec::new(), Vec::new());
        for &number in numbers {
            let triplet = &dataset.items[number as usize];
            let mut pictures = match load(&triplet.source, side) {
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
            used.push(number);
        }
        let n = used.len();
        if n == 0 {
            return Ok(None);
        }
        let [reference, p0, p1] = columns.map(|column| Tensor::from_vec(column, (n, 3, side, side), device));
        let judge = Tensor::from_vec(judges, n, device)?;
        Ok(Some(Batch { numbers: used, reference: reference?, p0: p0?, p1: p1?, judge }))
    }
}
