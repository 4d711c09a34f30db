//! Batches of pictures as inputs: tensors with a stated range of values, or decoded pictures.

use candle_core::{DType, Device, Tensor};
use lpips_models::ops::input::{self, Affine, Limits};

use crate::error::{Error, Result};
#[cfg(feature = "image")]
use crate::image::Picture;
use crate::pairs::{self, Pairs};
use crate::range::Range;
use crate::size::Size;
use crate::version::Version;

/// Batch of RGB pictures: a tensor (N, 3, H, W) with the range of its values, or a decoded picture.
///
/// A plain `&Tensor` is taken as [`Range::Signed`]. The range is never guessed from the values. A value outside of it,
/// by more than half a level of 8 bits, is an error, unless gradients flow to the pictures: an optimiser may leave the
/// range.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use lpips_core::{Error, Images, Lpips, Network, Picture};
///
/// let lpips = Lpips::new(Network::AlexNet)?;
/// let bytes = Tensor::full(200u8, (1, 3, 64, 64), &Device::Cpu)?;
/// let unit = (bytes.to_dtype(DType::F32)? / 255.0)?;
/// let picture = Picture::from_rgb8(64, 64, vec![200; 64 * 64 * 3])?;
///
/// assert!(lpips.compare(Images::bytes(&bytes), Images::unit(&unit))?.values()?[0] < 1e-6);
/// assert_eq!(lpips.compare(Images::bytes(&bytes), &picture)?.values()?, [0.0]);
/// // A plain tensor is taken to be in [-1, 1].
/// let floats = bytes.to_dtype(DType::F32)?;
/// assert!(matches!(lpips.forward(&floats, &floats), Err(Error::OutOfRange { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    source: Source<'a>,
}

/// Holder of the pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    Tensor(&'a Tensor, Range),
    #[cfg(feature = "image")]
    Picture(&'a Picture),
}

impl<'a> From<&'a Tensor> for Images<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self::signed(tensor)
    }
}

#[cfg(feature = "image")]
impl<'a> From<&'a Picture> for Images<'a> {
    /// A batch of one picture, which goes to the network without a tensor in between.
    fn from(picture: &'a Picture) -> Self {
        Self { source: Source::Picture(picture) }
    }
}

impl<'a> Images<'a> {
    /// Batch with values in this range.
    pub fn new(tensor: &'a Tensor, range: Range) -> Self {
        Self { source: Source::Tensor(tensor, range) }
    }

    /// Batch with values in [-1, 1].
    pub fn signed(tensor: &'a Tensor) -> Self {
        Self::new(tensor, Range::Signed)
    }

    /// Batch with values in [0, 1]: the published package's `normalize=True`.
    #[doc(alias = "normalize")]
    pub fn unit(tensor: &'a Tensor) -> Self {
        Self::new(tensor, Range::Unit)
    }

    /// Batch with values in [0, 255], as u8 or as floats.
    pub fn bytes(tensor: &'a Tensor) -> Self {
        Self::new(tensor, Range::Bytes)
    }

    pub(crate) fn source(&self) -> Source<'a> {
        self.source
    }

    /// Size of the pictures.
    ///
    /// # Errors
    /// A tensor that is not a batch of RGB pictures.
    pub(crate) fn size(&self) -> Result<Size> {
        match self.source {
            Source::Tensor(tensor, _) => tensor_size(tensor),
            #[cfg(feature = "image")]
            Source::Picture(picture) => Ok(picture.size()),
        }
    }

    /// Number of pictures.
    pub(crate) fn batch(&self) -> usize {
        match self.source {
            Source::Tensor(tensor, _) => tensor.dims().first().copied().unwrap_or_default(),
            #[cfg(feature = "image")]
            Source::Picture(_) => 1,
        }
    }

    /// Whether gradients flow back to the pictures.
    pub(crate) fn is_tracked(&self) -> bool {
        match self.source {
            Source::Tensor(tensor, _) => tensor.track_op(),
            #[cfg(feature = "image")]
            Source::Picture(_) => false,
        }
    }

    /// Bytes of memory that the pixels take.
    pub(crate) fn size_in_bytes(&self) -> usize {
        match self.source {
            Source::Tensor(tensor, _) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            #[cfg(feature = "image")]
            Source::Picture(picture) => picture.size_in_bytes(),
        }
    }

    /// Values of some rows as they are, (N, 3, rows, W) in f32 on `device`, with their range.
    fn values(&self, (from, rows): (usize, usize), device: &Device) -> Result<(Tensor, Range)> {
        let (tensor, range) = match self.source {
            Source::Tensor(tensor, range) => (tensor, range),
            #[cfg(feature = "image")]
            Source::Picture(picture) => {
                let (tensor, range) = picture.crop(0, from, picture.width(), rows)?.to_values(device)?;
                return Ok((tensor.to_dtype(DType::F32)?, range));
            }
        };
        let size = self.size()?;
        let dtype = tensor.dtype();
        if !dtype.is_float() && range != Range::Bytes {
            return Err(Error::IntegerValues { dtype, range });
        }
        let tensor = if rows == size.height { tensor.clone() } else { tensor.narrow(2, from, rows)? };
        // Not a no-op's copy: `to_dtype` and `to_device` return the same tensor where nothing changes.
        Ok((tensor.to_dtype(DType::F32)?.to_device(device)?, range))
    }

    /// Red, green and blue bytes of some rows side by side, of a decoded picture of 8 bits.
    #[cfg(feature = "image")]
    fn interleaved(&self, (from, rows): (usize, usize)) -> Option<&'a [u8]> {
        let Source::Picture(picture) = self.source else { return None };
        let width = picture.width();
        Some(&picture.bytes_of_eight()?[3 * width * from..3 * width * (from + rows)])
    }
}

/// Size of a batch of pictures.
fn tensor_size(tensor: &Tensor) -> Result<Size> {
    match *tensor.dims() {
        [n, 3, height, width] if n > 0 => Ok(Size { width, height }),
        [_, channels, _, _] if channels != 3 => Err(Error::Channels { given: channels }),
        _ => {
            Err(Error::Shape { given: tensor.dims().to_vec(), what: "no batch of pictures", expected: "(N, 3, H, W)" })
        }
    }
}

/// Size of two batches, and the pairs of both stacked.
pub(crate) fn broadcast(a: Images<'_>, b: Images<'_>) -> Result<(Size, Pairs)> {
    let size = a.size()?;
    pairs::same_size(size, b.size()?)?;
    let na = a.batch();
    Ok((size, pairs::broadcast(na, b.batch())?.into_iter().map(|(i, j)| (i, na + j)).collect()))
}

/// Some rows, (from, count), of batches of pictures of one size, scaled and stacked for the network: (N, rows, W, 3).
pub(crate) fn channels_last(
    batches: &[Images<'_>],
    rows: (usize, usize),
    version: Version,
    device: &Device,
) -> Result<Tensor> {
    #[cfg(feature = "image")]
    if batches.iter().any(|images| matches!(images.source, Source::Picture(_))) {
        return with_pictures(batches, rows, version, device);
    }
    from_tensors(batches, rows, version, device)
}

/// [`channels_last`] of batches with decoded pictures among them.
#[cfg(feature = "image")]
fn with_pictures(batches: &[Images<'_>], rows: (usize, usize), version: Version, device: &Device) -> Result<Tensor> {
    let width = batches.first().ok_or(Error::NoPictures)?.size()?.width;
    let affine = affine(Range::Bytes, version);
    if let Some(bytes) = batches.iter().map(|images| images.interleaved(rows)).collect::<Option<Vec<_>>>() {
        return Ok(input::from_bytes(&bytes, (rows.1, width), affine, device)?);
    }
    let parts = batches.iter().map(|images| match images.interleaved(rows) {
        Some(bytes) => Ok(input::from_bytes(&[bytes], (rows.1, width), affine, device)?),
        None => from_tensors(&[*images], rows, version, device),
    });
    Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
}

/// [`channels_last`] of one to three batches.
fn from_tensors(batches: &[Images<'_>], rows: (usize, usize), version: Version, device: &Device) -> Result<Tensor> {
    let values = batches.iter().map(|images| images.values(rows, device)).collect::<Result<Vec<_>>>()?;
    let inputs = values.iter().map(|(tensor, range)| {
        // An optimiser of the pictures may leave the range for a while.
        let limits = if tensor.track_op() { Limits::NONE } else { limits(*range) };
        (tensor, affine(*range, version), limits)
    });
    let inputs: Vec<_> = inputs.collect();
    let (stacked, outside) = input::channels_last_within(&inputs)?;
    let Some((tensor, _, limits)) = outside.and_then(|at| inputs.get(at)) else { return Ok(stacked) };
    let value = tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().find(|value| !limits.contain(*value));
    let range = outside.map_or(Range::Signed, |at| values[at].1);
    Err(Error::OutOfRange { value: value.unwrap_or(f32::NAN), range })
}

/// Limits of the values of a range, with half a level of 8 bits to spare for rounding.
fn limits(range: Range) -> Limits {
    let (black, white) = range.limits();
    Limits { middle: f32::midpoint(black, white), reach: (white - black) * (0.5 + 0.5 / 255.0) }
}

/// Conversion from a range to the network's input, in one step.
fn affine(range: Range, version: Version) -> Affine {
    let (factor, summand) = range.to_signed();
    let (shift, scale) = (version.shift(), version.scale());
    Affine {
        scale: scale.map(|scale| (factor / scale) as f32),
        shift: std::array::from_fn(|c| ((summand - shift[c]) / scale[c]) as f32),
    }
}
