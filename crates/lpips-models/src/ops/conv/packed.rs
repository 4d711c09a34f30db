//! The cache of weights in the kernels' orders.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor};

use crate::ops::Level;
use crate::ops::cpu::buffers::Scratch;
use crate::ops::cpu::conv::pack;
use crate::ops::cpu::geometry::{Geometry, Weight};
use crate::ops::plan::Algorithm;
use crate::ops::storage::View;

/// The weights in the kernels' orders, cached where they are constants: a variable's value may change under its id.
#[derive(Debug, Clone)]
pub(super) struct Packed(Option<Arc<Mutex<Cached>>>);

type Cached = Vec<(Order, Arc<Scratch>)>;

/// The order of packed weights: for which kernels, and whether for the gradient of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) level: Level,
    pub(super) algorithm: Algorithm,
    pub(super) flipped: bool,
}

impl Packed {
    /// An empty cache for `weight`.
    pub(super) fn new(weight: &Tensor) -> Self {
        Self((!weight.track_op()).then(Arc::default))
    }

    /// The weights in an order, from the cache where they are constants.
    pub(super) fn get(&self, weight: View<'_>, g: &Geometry, order: Order) -> Result<Arc<Scratch>> {
        let cached = || self.0.as_ref().map(|cached| cached.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(cached) = cached()
            && let Some((_, packed)) = cached.iter().find(|(known, _)| *known == order)
        {
            return Ok(packed.clone());
        }
        // Not under the lock: a thread that waits for its share of the packing may take up another forward pass, which
        // would wait for the lock.
        let data = weight.read()?;
        let weight = if order.flipped { Weight::flipped(&data, g) } else { Weight::forward(&data, g) };
        let packed = Arc::new(pack(&weight, order.level, order.algorithm));
        if let Some(mut cached) = cached()
            && cached.iter().all(|(known, _)| *known != order)
        {
            cached.push((order, packed.clone()));
        }
        Ok(packed)
    }
}
