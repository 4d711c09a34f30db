//! Groups of metrics that share one forward pass of their backbone.

use std::sync::Arc;

use lpips_core::training::StackedBatch;
use lpips_core::{Comparison, Features, Lpips, Picture};
use lpips_models::ops;

use super::{Kind, Metric};
use crate::Result;

/// Metrics with the same backbone, weights, version and taps: one forward pass serves the heads of all.
///
/// ```
/// use candle_core::Device;
/// use lpips_core::Picture;
/// use lpips_core::weights::Finder;
/// use lpips_eval::metric::{Metric, group_by_backbone};
///
/// let open = |name| Metric::open(name, &Finder::default(), &Device::Cpu);
/// let metrics = [open("alex")?, open("l2")?, open("alex-baseline")?];
/// let groups = group_by_backbone(&metrics);
/// assert_eq!(groups.len(), 1, "l2 has no backbone");
/// assert_eq!(groups[0].metrics().collect::<Vec<_>>(), [0, 2]);
///
/// let [a, b] = [40, 90].map(|value| Picture::from_rgb8(64, 64, vec![value; 3 * 64 * 64]).unwrap());
/// for (metric, comparison) in groups[0].measure(&[&a, &b], &[(0, 1)])? {
///     println!("{}: {}", metrics[metric].name(), comparison.distance()?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct MetricGroup {
    backbone: Arc<Lpips>,
    /// The metrics' places, each with its head.
    heads: Vec<(usize, Arc<Lpips>)>,
}

/// A metric's place among all, and the comparison by its head.
pub type Measured = (usize, Comparison);

/// Groups metrics by backbone, in the order of their first ones. Pixel metrics, which have none, are in no group.
pub fn group_by_backbone(metrics: &[Metric]) -> Vec<MetricGroup> {
    let mut groups: Vec<MetricGroup> = Vec::new();
    for (at, metric) in metrics.iter().enumerate() {
        let Kind::Lpips(lpips, _) = &metric.kind else { continue };
        let head = (at, lpips.clone());
        match groups.iter_mut().find(|group| metrics[group.heads[0].0].shares_backbone(metric)) {
            Some(group) => group.heads.push(head),
            None => groups.push(MetricGroup { backbone: lpips.clone(), heads: vec![head] }),
        }
    }
    groups
}

impl MetricGroup {
    /// The network that goes over the pictures, with the head of the first metric.
    pub fn backbone(&self) -> &Lpips {
        &self.backbone
    }

    /// The metrics' places among those that were grouped.
    pub fn metrics(&self) -> impl Iterator<Item = usize> {
        self.heads.iter().map(|(at, _)| *at)
    }

    /// Compares pictures of one size by their places in `pictures`, by every head of the group. The first axis of a
    /// comparison is that of `pairs`. One forward pass serves all heads where its features fit in memory, otherwise
    /// each head compares by itself, in bands.
    ///
    /// # Errors
    /// Pictures of different sizes or too small for the network, a place that no picture has, or a device that runs out
    /// of memory.
    pub fn measure(&self, pictures: &[&Picture], pairs: &[(usize, usize)]) -> Result<Vec<Measured>> {
        let fits = match pictures.first() {
            Some(first) if self.heads.len() > 1 => self.backbone.fits_in_memory(first.size())?,
            _ => false,
        };
        if fits {
            let features = self.features(pictures)?;
            return self.compare_features(&features, &features, pairs);
        }
        self.by_head(|head| head.compare_pictures(pictures, pairs))
    }

    /// The features of pictures of one size, for [`Self::compare_features`].
    ///
    /// # Errors
    /// Those of [`Self::measure`].
    pub fn features(&self, pictures: &[&Picture]) -> Result<Features> {
        Ok(self.backbone.features_of_pictures(pictures)?)
    }

    /// Compares features by their places in `a` and in `b`, by every head of the group.
    ///
    /// # Errors
    /// Features of different sizes or of another backbone, or a place that is not in its batch.
    pub fn compare_features(&self, a: &Features, b: &Features, pairs: &[(usize, usize)]) -> Result<Vec<Measured>> {
        self.by_head(|head| head.compare_feature_pairs(a, b, pairs))
    }

    /// Compares a stacked batch of pairs or triplets, by every head of the group.
    ///
    /// # Errors
    /// A device that runs out of memory.
    pub fn compare_stack(&self, stack: StackedBatch) -> Result<Vec<Measured>> {
        ops::in_pool(|| {
            let taps =
                self.backbone.backbone().features_channels_last(&stack.pictures).map_err(lpips_core::Error::from)?;
            ops::recycle(stack.pictures, Some(&taps[0])).map_err(lpips_core::Error::from)?;
            self.by_head(|head| head.compare_taps(&stack.pairing, &taps, None))
        })
    }

    fn by_head(&self, compare: impl Fn(&Lpips) -> lpips_core::Result<Comparison>) -> Result<Vec<Measured>> {
        self.heads.iter().map(|(at, head)| Ok((*at, compare(head)?))).collect()
    }
}
