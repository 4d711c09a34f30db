//! Measure stage: the distances of image pairs of one size, by all metrics.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;
use lpips_core::{Comparison, Features, Lpips, Picture, Size};
use lpips_eval::metric::{Measured, Metric, MetricGroup, Pixels, group_by_backbone};
use rayon::prelude::*;

use super::feature_store::FeatureStore;
use super::image_cache::{CachePolicy, CachedImage, ImagePair};
use crate::{Error, Result};

/// Pixels of both sides together that are measured at once by each thread: two pairs of 256x256. More fit in no cache.
const PIXELS_PER_THREAD: usize = 1 << 18;
/// Pixels of both sides together that are measured at once on a GPU.
const PIXELS_ON_GPU: usize = 1 << 22;
/// Largest number of image pairs in a batch.
const MAX_PAIRS: usize = 64;

/// Output of the stage for an image pair.
#[derive(Debug, Clone)]
pub(super) struct Measurement {
    /// By metric.
    pub(super) values: Vec<Value>,
    /// The map of the first network, (1, 1, H, W), if it is wanted.
    pub(super) map: Option<Tensor>,
}

/// A distance, and its parts by layer if they are wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Value {
    pub(super) distance: f64,
    pub(super) layers: Vec<f64>,
}

/// Metrics in groups that share a backbone, and the use of their features.
#[derive(Debug)]
pub(super) struct MeasureStage {
    metrics: Vec<Metric>,
    groups: Vec<MetricGroup>,
    /// Whether the parts by layer are wanted.
    layers: bool,
    cache_policy: CachePolicy,
    store: Option<Arc<FeatureStore>>,
}

/// The places of image pairs among all, and their comparisons by every metric of a group.
type Compared = (Vec<usize>, Vec<Measured>);

/// Features of an image, and its place in their batch.
type Place = (Arc<Features>, usize);

/// Image pairs between two batches of features.
struct FeaturePairs<'a> {
    a: &'a Features,
    b: &'a Features,
    /// Places of the image pairs among all.
    images: Vec<usize>,
    /// Places in both batches.
    pairs: Vec<(usize, usize)>,
}

impl MeasureStage {
    pub(super) fn new(metrics: Vec<Metric>, layers: bool, cache_policy: CachePolicy) -> Self {
        let groups = group_by_backbone(&metrics);
        Self { metrics, groups, layers, cache_policy, store: None }
    }

    /// The stage with features stored on disk.
    pub(super) fn with_store(self, store: Option<Arc<FeatureStore>>) -> Self {
        Self { store, ..self }
    }

    pub(super) fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The networks, each with the head of the first metric on it.
    pub(super) fn backbones(&self) -> impl Iterator<Item = &Lpips> {
        self.groups.iter().map(MetricGroup::backbone)
    }

    /// Whether the features of all backbones are known, and no metric needs pixels.
    pub(super) fn needs_no_pixels(&self, image: &CachedImage) -> bool {
        !self.has_pixel_metrics() && (0..self.groups.len()).all(|at| image.features(at).is_some())
    }

    /// Number of image pairs of a size that go through the networks at once.
    pub(super) fn capacity(&self, size: Size) -> usize {
        let wanted = (self.pixels() / (2 * size.height * size.width).max(1)).clamp(1, MAX_PAIRS);
        let concurrent = self.concurrent_batches();
        let fit = |lpips: &Lpips| Some(lpips.max_batch(concurrent * wanted, size).ok()?.div_ceil(concurrent));
        self.backbones().filter_map(fit).min().unwrap_or(wanted)
    }

    /// Number of batches that are measured at once: on a CPU one for all threads, which so share their caches; on a GPU
    /// the next one is made ready meanwhile.
    pub(super) fn concurrent_batches(&self) -> usize {
        if self.is_on_cpu() { 1 } else { 2 }
    }

    /// Bytes of the pictures of all batches that are measured at once.
    pub(super) fn bytes_at_once(&self) -> usize {
        self.concurrent_batches() * self.pixels() * size_of::<[u8; 3]>()
    }

    /// Pixels of a batch, of both sides together.
    fn pixels(&self) -> usize {
        if self.is_on_cpu() { PIXELS_PER_THREAD * rayon::current_num_threads() } else { PIXELS_ON_GPU }
    }

    fn is_on_cpu(&self) -> bool {
        self.backbones().all(|lpips| lpips.device().is_cpu())
    }

    fn has_pixel_metrics(&self) -> bool {
        self.metrics.iter().any(|metric| metric.lpips().is_none())
    }

    /// Measures image pairs of one size, at most `capacity` at once. An error concerns only the image pairs that cause
    /// it.
    pub(super) fn measure(&self, images: &[ImagePair], capacity: usize) -> Vec<Result<Measurement, String>> {
        let mut measured = Vec::with_capacity(images.len());
        for images in images.chunks(capacity) {
            self.measure_or_halve(images, &mut measured);
        }
        measured
    }

    fn measure_or_halve(&self, images: &[ImagePair], into: &mut Vec<Result<Measurement, String>>) {
        match self.measure_batch(images) {
            Ok(measured) => into.extend(measured.into_iter().map(Ok)),
            Err(error) if images.len() == 1 => into.push(Err(error.to_string())),
            // One of them causes it, or the device has no memory for so many.
            Err(error) => {
                let (first, second) = images.split_at(images.len() / 2);
                if error.is_out_of_memory() {
                    tracing::warn!(
                        "the device is out of memory ({error}): trying again with {} pairs at once",
                        first.len()
                    );
                }
                self.measure_or_halve(first, into);
                self.measure_or_halve(second, into);
            }
        }
    }

    fn measure_batch(&self, images: &[ImagePair]) -> Result<Vec<Measurement>> {
        let none = Measurement { values: vec![Value::default(); self.metrics.len()], map: None };
        let mut all = vec![none; images.len()];
        self.measure_pixels(images, &mut all)?;
        let mapped = self.groups.first().and_then(|group| group.metrics().next());
        for (at, group) in self.groups.iter().enumerate() {
            for (places, measured) in self.forward(at, group, images)? {
                for (metric, comparison) in measured {
                    let wants_map = |at: &usize| mapped == Some(metric) && images[*at].wants_map;
                    let map = if places.iter().any(wants_map) { Some(comparison.map()?) } else { None };
                    for (row, (at, value)) in places.iter().zip(self.values(&comparison)?).enumerate() {
                        all[*at].values[metric] = value;
                        if let Some(map) = map.as_ref().filter(|_| wants_map(at)) {
                            all[*at].map = Some(map.narrow(0, row, 1)?);
                        }
                    }
                }
            }
        }
        Ok(all)
    }

    /// The distances of a comparison, in the order of its pairs; all are finite.
    fn values(&self, comparison: &Comparison) -> Result<Vec<Value>> {
        let columns: Vec<Vec<f32>> = comparison.layer_values()?.into_iter().map(|(_, column)| column).collect();
        let pairs = columns.first().map_or(0, Vec::len);
        let of = |row: usize| Value {
            // In f32 and in this order, as is the sum over layers everywhere.
            distance: f64::from(columns.iter().map(|column| column[row]).sum::<f32>()),
            layers: columns.iter().filter(|_| self.layers).map(|column| f64::from(column[row])).collect(),
        };
        Ok((0..pairs).map(of).collect())
    }

    fn measure_pixels(&self, images: &[ImagePair], all: &mut [Measurement]) -> Result<()> {
        if !self.has_pixel_metrics() {
            return Ok(());
        }
        let of = |image: &CachedImage| {
            let picture = pixels_of(image)?;
            Ok::<_, Error>(Pixels::from_rgb8(picture.width(), picture.height(), &picture.to_rgb8())?)
        };
        images.par_iter().zip(all).try_for_each(|(images, measurement)| {
            let (a, b) = (of(&images.reference)?, of(&images.candidate)?);
            for (metric, value) in self.metrics.iter().zip(&mut measurement.values) {
                if let Some(distance) = metric.by_pixels(&a, &b) {
                    value.distance = distance?;
                }
            }
            Ok(())
        })
    }

    /// One forward pass of a group's backbone over all images, and the comparisons by all its heads.
    fn forward(&self, backbone: usize, group: &MetricGroup, images: &[ImagePair]) -> Result<Vec<Compared>> {
        let (distinct, pairs) = distinct(images);
        let known: Vec<Option<Arc<Features>>> = distinct.iter().map(|image| image.features(backbone)).collect();
        let unknown = known.iter().filter(|features| features.is_none()).count();
        let are_reused = self.store.is_some()
            || unknown < distinct.len()
            || distinct.iter().any(|image| self.cache_policy.includes(image));
        let size = distinct.first().and_then(|image| image.size());
        let size = size.ok_or_else(|| Error::invalid("a picture was measured before it was decoded"))?;
        if !are_reused || (unknown == distinct.len() && !group.backbone().fits_in_memory(size)?) {
            let pictures = distinct.iter().map(|image| pixels_of(image)).collect::<Result<Vec<_>>>()?;
            let pictures: Vec<&Picture> = pictures.iter().map(Arc::as_ref).collect();
            return Ok(vec![((0..pairs.len()).collect(), group.measure(&pictures, &pairs)?)]);
        }
        let places = self.features(backbone, group, &distinct, known)?;
        compare_features(group, &places, &pairs)
    }

    /// The features of all images: the known ones, and those of one forward pass over the others, which are cached and
    /// stored.
    fn features(
        &self,
        backbone: usize,
        group: &MetricGroup,
        images: &[&CachedImage],
        known: Vec<Option<Arc<Features>>>,
    ) -> Result<Vec<Place>> {
        let unknown = images.iter().zip(&known).filter(|(_, known)| known.is_none());
        let unknown: Vec<&CachedImage> = unknown.map(|(image, _)| *image).collect();
        let mut computed = self.compute_features(backbone, group, &unknown)?.into_iter();
        let place = |known: Option<Arc<Features>>| known.map(|known| (known, 0)).or_else(|| computed.next());
        Ok(known.into_iter().filter_map(place).collect())
    }

    fn compute_features(&self, backbone: usize, group: &MetricGroup, images: &[&CachedImage]) -> Result<Vec<Place>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let pictures = images.iter().map(|image| pixels_of(image)).collect::<Result<Vec<_>>>()?;
        let borrowed: Vec<&Picture> = pictures.iter().map(Arc::as_ref).collect();
        let batch = Arc::new(group.features(&borrowed)?);
        let of = |(at, (image, picture)): (usize, (&&CachedImage, &Arc<Picture>))| {
            let alone = match &self.store {
                Some(store) => store.insert(backbone, picture, &batch.picture(at)?)?,
                None if self.cache_policy.includes(image) => batch.picture(at)?,
                None => return Ok((batch.clone(), at)),
            };
            let alone = Arc::new(alone);
            image.insert(backbone, alone.clone());
            Ok((alone, 0))
        };
        images.iter().zip(&pictures).enumerate().map(of).collect()
    }
}

/// Compares features by all heads of a group, those between the same two batches together.
fn compare_features(group: &MetricGroup, places: &[Place], pairs: &[(usize, usize)]) -> Result<Vec<Compared>> {
    let mut all: Vec<FeaturePairs<'_>> = Vec::new();
    let mut known: HashMap<[*const Features; 2], usize> = HashMap::new();
    for (at, (a, b)) in pairs.iter().enumerate() {
        let ((a, i), (b, j)) = (&places[*a], &places[*b]);
        let own = *known.entry([Arc::as_ptr(a), Arc::as_ptr(b)]).or_insert_with(|| {
            all.push(FeaturePairs { a, b, images: Vec::new(), pairs: Vec::new() });
            all.len() - 1
        });
        all[own].images.push(at);
        all[own].pairs.push((*i, *j));
    }
    let compare = |own: FeaturePairs<'_>| Ok((own.images, group.compare_features(own.a, own.b, &own.pairs)?));
    all.into_par_iter().map(compare).collect()
}

/// The images of all pairs, each once, and the pairs by places among them.
fn distinct<'a>(images: &'a [ImagePair]) -> (Vec<&'a CachedImage>, Vec<(usize, usize)>) {
    let mut distinct: Vec<&CachedImage> = Vec::new();
    let mut places: HashMap<*const CachedImage, usize> = HashMap::new();
    let mut place = |image: &'a Arc<CachedImage>| {
        *places.entry(Arc::as_ptr(image)).or_insert_with(|| {
            distinct.push(image);
            distinct.len() - 1
        })
    };
    let pairs = images.iter().map(|images| (place(&images.reference), place(&images.candidate))).collect();
    (distinct, pairs)
}

fn pixels_of(image: &CachedImage) -> Result<Arc<Picture>> {
    image.picture().ok_or_else(|| Error::invalid("a picture's pixels were dropped too early"))
}
