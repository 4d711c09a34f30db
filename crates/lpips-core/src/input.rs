//! Batches of pictures as tensors, with their range of values stated.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

/// Which numbers stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Range {
    /// Black is -1, white is 1: the published package's default.
    #[default]
    Signed,
    /// Black is 0, white is 1: the published package's `normalize=True`.
    Unit,
    /// Black is 0, white is 255, as a u8 tensor or as floats.
    Bytes,
}

impl Range {
    /// What takes a value v into [-1, 1]: the factor and the summand of v * factor + summand.
    pub(crate) fn to_signed(self) -> (f64, f64) {
        match self {
            Self::Signed => (1.0, 0.0),
            Self::Unit => (2.0, -1.0),
            Self::Bytes => (1.0 / 127.5, -1.0),
        }
    }
}

/// A batch of RGB pictures, (N, 3, H, W), and the range of their values.
///
/// A plain `&Tensor` is taken as [`Range::Signed`]. The range is never guessed from the values.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use lpips_core::Images;
///
/// let decoded = Tensor::zeros((1, 3, 64, 64), DType::U8, &Device::Cpu)?;
/// let images = Images::bytes(&decoded);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    tensor: &'a Tensor,
    range: Range,
}

impl<'a> From<&'a Tensor> for Images<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self::signed(tensor)
    }
}

impl<'a> Images<'a> {
    /// Values in this range.
    pub fn new(tensor: &'a Tensor, range: Range) -> Self {
        Self { tensor, range }
    }

    pub(crate) fn parts(self) -> (&'a Tensor, Range) {
        (self.tensor, self.range)
    }

    /// Values in [-1, 1].
    pub fn signed(tensor: &'a Tensor) -> Self {
        Self { tensor, range: Range::Signed }
    }

    /// Values in [0, 1].
    pub fn unit(tensor: &'a Tensor) -> Self {
        Self { tensor, range: Range::Unit }
    }

    /// Values in [0, 255].
    pub fn bytes(tensor: &'a Tensor) -> Self {
        Self { tensor, range: Range::Bytes }
    }

    /// Height and width in pixels, if this is a batch of RGB pictures.
    pub(crate) fn size(&self) -> Result<(usize, usize)> {
        match *self.tensor.dims() {
            [n, 3, height, width] if n > 0 => Ok((height, width)),
            [_, channels, _, _] if channels != 3 => Err(Error::Input(format!(
                "the pictures have {channels} channels: expected 3 (RGB), in a tensor of shape (N, 3, H, W)"
            ))),
            _ => Err(Error::Input(format!(
                "a tensor of shape {:?} is no batch of pictures: expected (N, 3, H, W)",
                self.tensor.dims()
            ))),
        }
    }

    /// Whether gradients flow back to the pictures.
    pub(crate) fn is_tracked(&self) -> bool {
        self.tensor.track_op()
    }

    /// Bytes of the tensor.
    pub(crate) fn bytes_held(&self) -> usize {
        self.tensor.elem_count() * self.tensor.dtype().size_in_bytes()
    }

    /// Some rows of each picture, as a tensor of the same type and range.
    pub(crate) fn rows(&self, from: usize, count: usize) -> Result<Tensor> {
        Ok(self.tensor.narrow(2, from, count)?)
    }

    /// Another tensor, with the same range.
    pub(crate) fn with<'b>(&self, tensor: &'b Tensor) -> Images<'b> {
        Images { tensor, range: self.range }
    }

    /// How many pictures.
    pub(crate) fn batch(&self) -> usize {
        self.tensor.dims().first().copied().unwrap_or_default()
    }

    /// The pictures' values as they are, as f32 on `device`.
    pub(crate) fn to_values(self, device: &Device) -> Result<Tensor> {
        self.size()?;
        let dtype = self.tensor.dtype();
        if !dtype.is_float() && self.range != Range::Bytes {
            return Err(Error::Input(format!(
                "a tensor of type {dtype:?} can't hold values in [-1, 1]: for 0..255 say Images::bytes, or convert to f32"
            )));
        }
        // Not a no-op's copy: `to_dtype` and `to_device` return the same tensor where nothing changes.
        Ok(self.tensor.to_dtype(DType::F32)?.to_device(device)?)
    }

    pub(crate) fn range(&self) -> Range {
        self.range
    }
}
