//! Bands: how many rows a forward pass takes at a time, and the memory that this needs.

use super::model::Backbone;
use super::operator::{Block, Operator, TILE};
use crate::error::Result;

/// The number of rows that a [`Stream`](super::Stream) takes at a time, and the memory that this needs; see
/// [`Backbone::bands`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bands {
    /// Rows of the pictures to pass at a time.
    pub rows: usize,
    /// Bytes that a pass takes, about: the layers' inputs and outputs and the operators' scratch space.
    pub bytes: usize,
    /// For each step the fewest rows of its output that are computed at a time.
    min_rows: Vec<usize>,
}

/// Bytes of a layer's output in a band above which it is not faster.
const MOST: usize = 48 << 20;
/// Bytes of a layer's output below which bands have the rows of one tile, and can't be lower.
const LEAST: usize = 1 << 14;
/// Bytes of the operators' scratch space.
pub(super) const SCRATCH: usize = 96 << 20;

/// An operator with the rows, columns and channels of its input and its output.
struct Shapes<'a> {
    operator: &'a Operator,
    input: [usize; 3],
    output: [usize; 3],
}

impl Backbone {
    /// Bands for `pictures` pictures of `height` by `width` pixels, of which a pass takes at most `limit` bytes, or as
    /// few as possible: see [`Bands::bytes`]. Large bands are hardly faster, so they may take far less.
    ///
    /// # Errors
    /// Pictures smaller than [`Self::minimum_size`].
    pub fn bands(&self, pictures: usize, height: usize, width: usize, limit: usize) -> Result<Bands> {
        self.check_size(height, width)?;
        let mut bands = self.bands_of(pictures, height, width, MOST);
        let mut each = MOST;
        while bands.bytes > limit && each > LEAST {
            each -= each / 4;
            bands = self.bands_of(pictures, height, width, each);
        }
        Ok(bands)
    }

    /// Bands whose rows take about `each` bytes of each layer's output.
    fn bands_of(&self, pictures: usize, height: usize, width: usize, each: usize) -> Bands {
        let size = self.dtype.size_in_bytes();
        let (mut min_rows, mut bytes, mut widest) = (Vec::new(), SCRATCH, 0);
        let mut first = None;
        for Shapes { operator, output: [rows, columns, channels], .. } in self.operators(height, width) {
            let window = operator.window();
            let row = pictures * columns * channels * size;
            let band = (each / row.max(1)).max(TILE) / TILE * TILE;
            first.get_or_insert(band * window.stride);
            // More than half, as the first band is lower by the rows that the layers before hold back. Pooling never
            // waits.
            min_rows.push(if matches!(operator, Operator::Pool(_)) { 0 } else { band / 2 + 1 });
            let held = (band + band / 4 + window.kernel + TILE - 1).min(rows) * row;
            bytes += held;
            widest = widest.max(held);
        }
        let rows = first.unwrap_or(1).min(height);
        // The strip of the pictures itself, and the copy that some operators make of their input with its border.
        bytes += 3 * pictures * rows * width * 3 * size_of::<f32>() + widest;
        Bands { rows, bytes, min_rows }
    }

    /// Bytes that a forward pass over `pictures` whole pictures of `height` by `width` pixels takes at most, beside the
    /// pictures.
    ///
    /// # Errors
    /// Pictures smaller than [`Self::minimum_size`].
    pub fn whole_bytes(&self, pictures: usize, height: usize, width: usize) -> Result<usize> {
        self.check_size(height, width)?;
        let values: usize = self.operators(height, width).map(|at| at.output.iter().product::<usize>()).sum();
        Ok(SCRATCH + pictures * (height * width * 3 * size_of::<f32>() + values * self.dtype.size_in_bytes()))
    }

    /// Bytes of the weights, as stored and as packed by the kernels for such pictures.
    ///
    /// # Errors
    /// Pictures smaller than [`Self::minimum_size`].
    pub fn weight_bytes(&self, pictures: usize, height: usize, width: usize) -> Result<usize> {
        self.check_size(height, width)?;
        let mut bytes = 0;
        for Shapes { operator, input: [rows, columns, channels], .. } in self.operators(height, width) {
            for conv in operator.convolutions() {
                bytes += conv.weight_bytes((pictures, rows, columns, channels))?;
            }
        }
        Ok(bytes)
    }

    /// The operators in order, with the shapes of their inputs and outputs for pictures of this size, which is large
    /// enough.
    fn operators(&self, height: usize, width: usize) -> impl Iterator<Item = Shapes<'_>> {
        self.blocks.iter().flat_map(Block::operators).scan([height, width, 3], |shape, operator| {
            let input = *shape;
            let window = operator.window();
            let size = |side| window.outputs(side).unwrap_or(0);
            *shape = [size(input[0]), size(input[1]), operator.channels(input[2])];
            Some(Shapes { operator, input, output: *shape })
        })
    }
}

impl Bands {
    /// One band: all rows at once.
    pub fn whole() -> Self {
        Self { rows: usize::MAX, bytes: usize::MAX, min_rows: Vec::new() }
    }

    /// The fewest rows that the operator with this number computes at a time.
    pub(super) fn min_rows(&self, operator: usize) -> usize {
        self.min_rows.get(operator).copied().unwrap_or(0)
    }

    /// One band, but no operator computes fewer than `min_rows` rows at a time.
    #[cfg(test)]
    pub(super) fn with_min_rows(min_rows: usize) -> Self {
        Self { min_rows: vec![min_rows; 40], ..Self::whole() }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::Network;
    use crate::weights::Weights;

    fn backbone(network: Network) -> Backbone {
        let vb = Weights::random(network, 1).var_builder(DType::F32, &Device::Cpu).unwrap();
        Backbone::new(network, network.architecture().taps, &vb).unwrap()
    }

    #[test]
    fn memory_estimates_cover_activations_and_weights() {
        let backbone = backbone(Network::Vgg16);
        // conv1_1 and conv1_2 alone.
        assert!(backbone.whole_bytes(2, 1000, 1000).unwrap() > 2 * 2 * 64 * 4 * 1_000_000);
        // As stored, and in Winograd's order, four times as many.
        let weights = backbone.weight_bytes(2, 1000, 1000).unwrap();
        assert!((4 * 58_000_000..6 * 59_000_000).contains(&weights), "{weights}");
        assert!(backbone.bands(2, 15, 1000, 0).is_err());
    }
}
