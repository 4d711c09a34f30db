//! The numbers of some pairs of pictures of one size.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;
use lpips_core::{Comparison, Features, Lpips, Picture, Size};
use rayon::prelude::*;

use crate::pipeline::Work;
use crate::pipeline::image_cache::Slot;
use crate::{Error, Result};
use lpips_eval::metric::Metric;
use lpips_eval::metric::Pixels;

/// Two pictures of one size.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) reference: Arc<Slot>,
    pub(super) candidate: Arc<Slot>,
    /// Whether its map is wanted.
    pub(super) mapped: bool,
}

/// By metric the value, and the layers' parts where they are wanted.
pub(super) type Values = Vec<(f64, Vec<f64>)>;

/// What is measured of a part: its values, and of the first network its map, (1, 1, H, W), where that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Measurement {
    pub(super) values: Values,
    pub(super) map: Option<Tensor>,
}

/// Metrics that see the same in a picture: one look is enough for all of them.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// Their places among all metrics.
    metrics: Vec<usize>,
}

impl Look {
    /// The looks that metrics take.
    pub(super) fn all(metrics: &[Metric]) -> Vec<Self> {
        let mut looks: Vec<Self> = Vec::new();
        for (at, metric) in metrics.iter().enumerate().filter(|(_, metric)| metric.lpips().is_some()) {
            match looks.iter_mut().find(|look| metrics[look.metrics[0]].shares_backbone(metric)) {
                Some(look) => look.metrics.push(at),
                None => looks.push(Self { metrics: vec![at] }),
            }
        }
        looks
    }

    /// The metric that looks.
    pub(super) fn lpips<'a>(&self, metrics: &'a [Metric]) -> Option<&'a Lpips> {
        metrics[self.metrics[0]].lpips()
    }
}

/// Measures all parts; each by itself, as far as an error of one lets the others be measured.
pub(super) fn measure_each(work: &Work, parts: &[Part], into: &mut Vec<Result<Measurement, String>>) {
    match measure(work, parts) {
        Ok(measured) => into.extend(measured.into_iter().map(finite)),
        Err(error) if parts.len() == 1 => into.push(Err(error.to_string())),
        // One of them is to blame, or the device has no memory for so many.
        Err(error) => {
            if error.is_out_of_memory() {
                tracing::warn!(
                    "the device is out of memory ({error}): going on with {} pairs at once",
                    parts.len() / 2
                );
            }
            let (first, second) = parts.split_at(parts.len() / 2);
            measure_each(work, first, into);
            measure_each(work, second, into);
        }
    }
}

fn finite(measurement: Measurement) -> Result<Measurement, String> {
    match measurement.values.iter().find(|(value, _)| !value.is_finite()) {
        Some((value, _)) => Err(format!("the distance came out as {value}: the weights are too large, or damaged")),
        None => Ok(measurement),
    }
}

fn measure(work: &Work, parts: &[Part]) -> Result<Vec<Measurement>> {
    let mut all = vec![Measurement { values: vec![(0.0, Vec::new()); work.metrics.len()], map: None }; parts.len()];
    by_pixels(work, parts, &mut all)?;
    let mapped = work.looks.first().map(|look| look.metrics[0]);
    for (look, of) in work.looks.iter().enumerate() {
        for (metric, places, comparison) in look_at(work, (look, of), parts)? {
            let layers = comparison.layers()?;
            let mut columns = Vec::with_capacity(layers.len());
            for layer in &layers {
                columns.push(layer.distance.flatten_all()?.to_vec1::<f32>()?);
            }
            let map = if mapped == Some(metric) && places.iter().any(|at| parts[*at].mapped) {
                Some(comparison.map()?)
            } else {
                None
            };
            for (row, &at) in places.iter().enumerate() {
                // In f32 and in this order, as the sum over layers is everywhere.
                let distance: f32 = columns.iter().map(|column| column[row]).sum();
                let layers =
                    columns.iter().filter(|_| work.options.layers).map(|column| f64::from(column[row])).collect();
                all[at].values[metric] = (f64::from(distance), layers);
                if let Some(map) = map.as_ref().filter(|_| parts[at].mapped) {
                    all[at].map = Some(map.narrow(0, row, 1)?);
                }
            }
        }
    }
    Ok(all)
}

fn by_pixels(work: &Work, parts: &[Part], all: &mut [Measurement]) -> Result<()> {
    if work.metrics.iter().all(|metric| metric.lpips().is_some()) {
        return Ok(());
    }
    let of = |slot: &Slot| {
        let picture = pixels_of(slot)?;
        Ok::<_, Error>(Pixels::from_rgb8(picture.width(), picture.height(), &picture.to_rgb8())?)
    };
    parts.par_iter().zip(all).try_for_each(|(part, measurement)| {
        let (a, b) = (of(&part.reference)?, of(&part.candidate)?);
        for (metric, value) in work.metrics.iter().zip(&mut measurement.values) {
            if let Some(found) = metric.by_pixels(&a, &b) {
                value.0 = found?;
            }
        }
        Ok(())
    })
}

fn pixels_of(slot: &Slot) -> Result<Arc<Picture>> {
    slot.picture().ok_or_else(|| Error::invalid("a picture's pixels were given up too early".to_string()))
}

/// A metric, the places of the parts that it compared, and the comparison in their order.
type Compared = (usize, Vec<usize>, Comparison);

/// One look of a network at all pictures, and the comparisons of all its heads.
fn look_at(work: &Work, (number, look): (usize, &Look), parts: &[Part]) -> Result<Vec<Compared>> {
    let Some(lpips) = look.lpips(&work.metrics) else { return Ok(Vec::new()) };
    let mut pictures: Vec<&Arc<Slot>> = Vec::new();
    let mut places: HashMap<*const Slot, usize> = HashMap::new();
    let mut place = |slot| {
        *places.entry(Arc::as_ptr(slot)).or_insert_with(|| {
            pictures.push(slot);
            pictures.len() - 1
        })
    };
    let pairs: Vec<(usize, usize)> =
        parts.iter().map(|part| (place(&part.reference), place(&part.candidate))).collect();

    let seen: Vec<Option<Arc<Features>>> = pictures.iter().map(|slot| slot.seen(number)).collect();
    let fresh: Vec<&Arc<Slot>> =
        pictures.iter().zip(&seen).filter(|(_, seen)| seen.is_none()).map(|(slot, _)| *slot).collect();
    let keeps = |slot: &Slot| work.options.keep.wants(slot);
    let has_use = look.metrics.len() > 1
        || work.stored.is_some()
        || fresh.len() < pictures.len()
        || fresh.iter().any(|slot| keeps(slot));
    let (height, width) = first_size(&pictures)?;
    if !has_use || (fresh.len() == pictures.len() && !lpips.fits_in_memory(Size { width, height })?) {
        let held = pictures.iter().map(|slot| pixels_of(slot)).collect::<Result<Vec<_>>>()?;
        let held: Vec<&Picture> = held.iter().map(Arc::as_ref).collect();
        let everything: Vec<usize> = (0..parts.len()).collect();
        let of = |metric: &usize| {
            let comparison = of(work, *metric)?.compare_pictures(&held, &pairs)?;
            Ok((*metric, everything.clone(), comparison))
        };
        return look.metrics.iter().map(of).collect();
    }

    let mut features: Vec<Option<(Arc<Features>, usize)>> = seen.into_iter().map(|seen| Some((seen?, 0))).collect();
    if !fresh.is_empty() {
        let held = fresh.iter().map(|slot| pixels_of(slot)).collect::<Result<Vec<_>>>()?;
        let held: Vec<&Picture> = held.iter().map(Arc::as_ref).collect();
        let made = Arc::new(lpips.features_of_pictures(&held)?);
        let mut places = 0..;
        for (slot, features) in pictures.iter().zip(&mut features).filter(|(_, features)| features.is_none()) {
            let at = places.next().unwrap_or_default();
            let alone = match &work.stored {
                Some(stored) => Some(stored.keep(number, &*pixels_of(slot)?, &made.picture(at)?)?),
                None if keeps(slot) => Some(made.picture(at)?),
                None => None,
            };
            *features = Some(match alone.map(Arc::new) {
                Some(alone) => {
                    slot.remember(number, alone.clone());
                    (alone, 0)
                }
                None => (made.clone(), at),
            });
        }
    }
    let features: Vec<(Arc<Features>, usize)> = features.into_iter().flatten().collect();
    // Pairs of the same two batches in one go.
    let mut groups: Vec<Meeting<'_>> = Vec::new();
    let mut known: HashMap<[*const Features; 2], usize> = HashMap::new();
    for (part, (a, b)) in pairs.iter().enumerate() {
        let ((a, i), (b, j)) = (&features[*a], &features[*b]);
        let group = *known.entry([Arc::as_ptr(a), Arc::as_ptr(b)]).or_insert_with(|| {
            groups.push(Meeting { a, b, parts: Vec::new(), pairs: Vec::new() });
            groups.len() - 1
        });
        groups[group].parts.push(part);
        groups[group].pairs.push((*i, *j));
    }
    let compare = |group: &Meeting<'_>| {
        let by = |metric: &usize| {
            let comparison = of(work, *metric)?.compare_feature_pairs(group.a, group.b, &group.pairs)?;
            Ok((*metric, group.parts.clone(), comparison))
        };
        look.metrics.iter().map(by).collect::<Result<Vec<_>>>()
    };
    Ok(groups.par_iter().map(compare).collect::<Result<Vec<_>>>()?.concat())
}

/// Pairs of pictures of the same two batches of features.
struct Meeting<'a> {
    a: &'a Features,
    b: &'a Features,
    /// The places of the parts that they are.
    parts: Vec<usize>,
    /// The places in both batches.
    pairs: Vec<(usize, usize)>,
}

fn of(work: &Work, metric: usize) -> Result<&Lpips> {
    work.metrics[metric]
        .lpips()
        .ok_or_else(|| Error::invalid("a metric without a network was asked to look".to_string()))
}

fn first_size(pictures: &[&Arc<Slot>]) -> Result<(usize, usize)> {
    let known = pictures.first().and_then(|slot| slot.size());
    known.ok_or_else(|| Error::invalid("a picture was measured before it was decoded".to_string()))
}
