//! Memory limits and the band-by-band forward pass of large pictures.
//!
//! Bands go through the network from top to bottom, and each layer holds the rows that the next band needs, so that
//! nothing is computed twice and the results are those of the whole picture.

use std::sync::Once;

use candle_core::Tensor;
use lpips_models::{Backbone, Bands, ops};

use crate::error::Result;
use crate::head::Head;
use crate::memory;
use crate::size::Size;

/// Limit on the memory of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Memory {
    /// Half of what is free on the machine at each comparison; on a GPU, all of it.
    #[default]
    Automatic,
    /// This many bytes.
    Bytes(usize),
}

/// Bytes that are taken without reading how much memory is free.
const ALWAYS: usize = 256 << 20;
/// Bytes of the program.
const PROGRAM: usize = 32 << 20;
/// Limit where the system does not report how much memory is free.
const UNKNOWN: usize = 4 << 30;

impl Memory {
    /// Whether this many bytes may be taken.
    pub(crate) fn allows(self, bytes: usize, backbone: &Backbone) -> bool {
        bytes <= self.limit(bytes, backbone)
    }

    /// Bytes that may be taken, given that `wanted` would be best.
    fn limit(self, wanted: usize, backbone: &Backbone) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Automatic if wanted <= ALWAYS || !backbone.device().is_cpu() => wanted,
            Self::Automatic => memory::available().map_or(UNKNOWN, |bytes| bytes / 2),
        }
    }
}

/// Memory of a comparison, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// The part that bands do not reduce: the program, its weights, the pictures and the layers' maps.
    pub(crate) fixed: usize,
    /// The activations of all pictures at once.
    pub(crate) whole: usize,
}

impl Need {
    /// Memory for `pictures` pictures of this size in `pairs` pairs, held in `held` bytes.
    pub(crate) fn of(
        backbone: &Backbone,
        pictures: usize,
        pairs: usize,
        Size { width, height }: Size,
        held: usize,
    ) -> Result<Self> {
        let layers = backbone.layers(pictures, height, width)?;
        let pixels: usize =
            layers.iter().filter(|layer| layer.tapped).map(|layer| layer.output[1] * layer.output[2]).sum();
        let maps = pairs * pixels * size_of::<f32>();
        Ok(Self {
            fixed: PROGRAM + held + maps + backbone.weight_bytes(pictures, height, width)?,
            whole: backbone.whole_bytes(pictures, height, width)?,
        })
    }

    pub(crate) fn all(self) -> usize {
        self.fixed + self.whole
    }

    /// Bytes left for activations.
    pub(crate) fn room(self, memory: Memory, backbone: &Backbone) -> usize {
        memory.limit(self.all(), backbone).saturating_sub(self.fixed)
    }

    /// Bands in which pictures go through the network where activations may take `room` bytes.
    pub(crate) fn bands(
        self,
        backbone: &Backbone,
        pictures: usize,
        Size { width, height }: Size,
        room: usize,
    ) -> Result<Bands> {
        static ONCE: Once = Once::new();
        if self.whole <= room {
            return Ok(Bands::whole());
        }
        let bands = backbone.bands(pictures, height, width, room)?;
        if bands.bytes > room {
            ONCE.call_once(|| {
                tracing::warn!(
                    "{pictures} pictures of {width}x{height} pixels need about {} MB, more than memory allows: continuing \
                     with the lowest bands",
                    (self.fixed + bands.bytes) / 1_000_000
                );
            });
        }
        Ok(bands)
    }
}

/// Bytes below which less room makes no lower bands.
const LEAST: usize = 64 << 20;

/// Whether `pictures` pictures of this size, one of which is compared with the others, fit in memory as a whole.
pub(crate) fn fits(memory: Memory, backbone: &Backbone, pictures: usize, size: Size) -> Result<bool> {
    let held = pictures * 3 * size.height * size.width * size_of::<f32>();
    let need = Need::of(backbone, pictures, pictures - 1, size, held)?;
    Ok(memory.allows(need.all(), backbone))
}

/// Calls `attempt` with `room` bytes, and again with half as many each time that the device runs out of memory.
pub(crate) fn with_less<T>(room: usize, mut attempt: impl FnMut(usize) -> Result<T>) -> Result<T> {
    let mut room = room;
    loop {
        match attempt(room) {
            Err(error) if room > LEAST && error.is_out_of_memory() => {
                ops::release_memory();
                room /= 2;
                tracing::warn!("{error}: trying again with {} MB for activations", room / 1_000_000);
            }
            result => return result,
        }
    }
}

/// Turns an error of a device out of memory into `None`, with a line in the log.
pub(crate) fn unless_out_of_memory<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if error.is_out_of_memory() => {
            ops::release_memory();
            tracing::warn!("{error}: continuing in bands");
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Distances at each pixel of each tapped layer, (P, h, w), of pairs of pictures that come in bands: `rows(from,
/// count)` returns rows of all pictures, (N, count, W, 3).
pub(crate) fn maps(
    (backbone, head): (&Backbone, &Head),
    pairs: &[(usize, usize)],
    Size { width, height }: Size,
    bands: &Bands,
    rows: impl Fn(usize, usize) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let layers = backbone.layers(1, height, width)?;
    let heights: Vec<_> = layers.iter().filter(|layer| layer.tapped).map(|layer| layer.output[1]).collect();
    let mut stream = backbone.stream(height, bands)?;
    let mut maps: Vec<Option<(Tensor, usize)>> = vec![None; backbone.taps().len()];
    let mut from = 0;
    while from < height {
        let count = bands.rows.min(height - from);
        let x = rows(from, count)?;
        let mut last = None;
        stream.push(&x, |tap, rows| {
            let map = distance(head, tap, rows, pairs)?;
            let is_free = !map.track_op();
            last = Some(map.clone());
            if bands.rows >= height {
                maps[tap] = Some((map, 0));
                return Ok(is_free);
            }
            // Copied into place at once: concatenated at the end, the bands would take their memory twice.
            let (pairs, count, width) = map.dims3()?;
            let (whole, filled) = match maps[tap].take() {
                Some(begun) => begun,
                None => (Tensor::zeros((pairs, heights[tap], width), map.dtype(), map.device())?, 0),
            };
            whole.slice_set(&map.contiguous()?, 1, filled)?;
            maps[tap] = Some((whole, filled + count));
            Ok(is_free)
        })?;
        // The input, unless the network still holds it.
        if bands.rows >= height
            && let Some(map) = last
        {
            ops::recycle(x, Some(&map))?;
        }
        from += count;
    }
    Ok(maps.into_iter().flatten().map(|(map, _)| map).collect())
}

/// Applies the head to some rows of a tap, (N, rows, W, C), which are not contiguous where they belong to a band.
fn distance(head: &Head, tap: usize, rows: &Tensor, pairs: &[(usize, usize)]) -> candle_core::Result<Tensor> {
    if rows.is_contiguous() || !rows.device().is_cpu() {
        return head.distance(tap, rows, rows, pairs, None);
    }
    // Without the copy that would make them contiguous.
    let maps = pairs.iter().map(|&(i, j)| {
        let (a, b) = (rows.narrow(0, i, 1)?, rows.narrow(0, j, 1)?);
        head.distance(tap, &a, &b, &[(0, 0)], None)
    });
    Tensor::cat(&maps.collect::<candle_core::Result<Vec<_>>>()?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn out_of_memory_is_retried_with_half_the_room() {
        let mut tried = Vec::new();
        let done = with_less(1 << 30, |room| {
            tried.push(room);
            if room > 200 << 20 {
                return Err(candle_core::Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY)".to_string()).into());
            }
            Ok(room)
        });
        assert_eq!(done.unwrap(), 128 << 20);
        assert_eq!(tried, [1 << 30, 512 << 20, 256 << 20, 128 << 20]);
        // The retries end, and other errors cause none.
        let mut count = 0;
        let never = with_less(usize::MAX, |_| -> Result<()> {
            count += 1;
            Err(candle_core::Error::Msg("out of memory".to_string()).into())
        });
        assert!(never.is_err() && count < 64);
        assert!(with_less(1 << 40, |room| if room == 1 << 40 { Err(Error::NoPairs) } else { Ok(()) }).is_err());
    }

    #[test]
    fn unless_out_of_memory_passes_other_errors_on() {
        let lack = candle_core::Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY)".to_string());
        assert_eq!(unless_out_of_memory(Err::<(), _>(lack.into())).unwrap(), None);
        assert_eq!(unless_out_of_memory(Ok(1)).unwrap(), Some(1));
        assert!(unless_out_of_memory(Err::<(), _>(Error::NoPairs)).is_err());
    }
}
