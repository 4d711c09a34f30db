//! Row arithmetic for operators that process a picture in bands.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::cpu::buffers;
use super::storage;
use crate::arch::{conv_size, pool_size};

/// The windows of an operator, the same both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowParams {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Virtual rows above and below the picture.
    pub(crate) padding: usize,
    /// Whether a last window that overlaps the edge counts.
    pub(crate) ceil_mode: bool,
}

impl WindowParams {
    /// Output rows for `height` input rows; `None` where they are too few.
    pub(crate) fn outputs(&self, height: usize) -> Option<usize> {
        if self.ceil_mode {
            pool_size(height, self.kernel, self.stride, true)
        } else {
            conv_size(height, self.kernel, self.stride, self.padding)
        }
    }

    /// The number of output rows, of `outputs` for `height` input rows, that depend on the first `given` input rows
    /// only.
    pub(crate) fn decided(&self, given: usize, height: usize, outputs: usize) -> usize {
        if given == height {
            return outputs;
        }
        (given + self.padding).checked_sub(self.kernel).map_or(0, |room| room / self.stride + 1).min(outputs)
    }

    /// The first input row of output row `output`.
    pub(crate) fn first(&self, output: usize) -> usize {
        (output * self.stride).saturating_sub(self.padding)
    }
}

/// The rows of a picture that an operator is given, and the rows of its output to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Rows of the whole picture.
    pub(crate) height: usize,
    /// The first row given, in the whole picture.
    pub(crate) first: usize,
    /// The first row to compute, in the whole output.
    pub(crate) from: usize,
    /// The number of rows to compute. Rows below those given count as outside of the picture.
    pub(crate) count: usize,
}

impl Rows {
    /// The whole picture.
    pub(crate) fn whole(height: usize, outputs: usize) -> Self {
        Self { height, first: 0, from: 0, count: outputs }
    }

    /// Whether `given` rows are the whole picture, and the rows to compute the whole output.
    pub(crate) fn is_whole(&self, given: usize, outputs: usize) -> bool {
        *self == Self::whole(given, outputs) && self.height == given
    }

    /// Virtual rows above those given, and rows given that lie above all that is needed; one of the two is 0.
    pub(crate) fn top_and_skip(&self, window: &WindowParams) -> (usize, usize) {
        let (given, needed) = (self.first + window.padding, self.from * window.stride);
        (given.saturating_sub(needed), needed.saturating_sub(given))
    }
}

/// Appends an operator's output, picture by picture, to the rows `above`: (N, above + rows, W, C).
///
/// It saves the copy of a concatenation.
pub(crate) struct AppendRows<'a, F> {
    pub(crate) name: &'static str,
    /// (N, above, W, C), or nothing.
    pub(crate) above: Option<&'a Tensor>,
    /// Rows, columns and channels of the output.
    pub(crate) size: (usize, usize, usize),
    /// Computes one picture's output.
    pub(crate) compute: F,
}

impl<F: Fn(&[f32], &mut [f32]) -> Result<()>> CustomOp1 for AppendRows<'_, F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let n = lx.shape().dims4()?.0;
        let (rows, width, channels) = self.size;
        let above = self.above.map(Tensor::contiguous).transpose()?;
        let lead = match &above {
            None => 0,
            Some(above) => {
                let (pictures, lead, w, c) = above.dims4()?;
                if (pictures, w, c) != (n, width, channels) {
                    bail!("{n} pictures of {width} columns and {channels} channels do not go below {:?}", above.shape())
                }
                lead
            }
        };
        let above = above.as_ref().map(Tensor::storage_and_layout);
        let above = above.as_ref().map(|(storage, layout)| storage::of(storage, layout)).transpose()?;
        let x_data = storage::read(x, lx)?;
        let (row, picture) = (width * channels, x_data.len() / n);
        let mut y = buffers::take(n * (lead + rows) * row);
        for (i, y) in y.chunks_exact_mut((lead + rows) * row).enumerate() {
            if let Some(above) = &above {
                y[..lead * row].copy_from_slice(&above[i * lead * row..][..lead * row]);
            }
            (self.compute)(&x_data[i * picture..][..picture], &mut y[lead * row..])?;
        }
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        Ok((storage::write(y, dtype)?, Shape::from((n, lead + rows, width, channels))))
    }
}

/// [`AppendRows`] composed of candle's operators.
pub(crate) fn append_rows(above: Option<&Tensor>, y: Tensor) -> Result<Tensor> {
    match above {
        None => Ok(y),
        Some(above) => Tensor::cat(&[above, &y], 1),
    }
}
