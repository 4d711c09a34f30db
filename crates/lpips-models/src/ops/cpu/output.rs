//! The output of a convolution kernel: some channels of each pixel, with bias and ReLU.

use super::buffers::Shared;
use super::geometry::Geometry;
use super::simd::Simd;

/// The destination of a convolution: pixels of `width` channels, of which it writes its own from `offset` on.
pub(crate) struct Output<'a> {
    pub(super) data: Shared<'a>,
    pixels: usize,
    channels: usize,
    pub(super) width: usize,
    pub(super) offset: usize,
    pub(super) relu: bool,
}

impl<'a> Output<'a> {
    /// Pixels of `width` channels, of which a convolution writes its own from `offset` on.
    ///
    /// # Panics
    /// If `data` is too short for the output.
    pub(crate) fn new(data: &'a mut [f32], g: &Geometry, width: usize, offset: usize, relu: bool) -> Self {
        let (pixels, channels) = (g.n * g.oh * g.ow, g.oc);
        assert!(offset + channels <= width && pixels * width <= data.len(), "the output's buffer is too short");
        Self { data: Shared::new(data), pixels, channels, width, offset, relu }
    }

    /// Whether it was made for the output of a convolution of these shapes.
    pub(super) fn fits(&self, g: &Geometry) -> bool {
        (self.pixels, self.channels) == (g.n * g.oh * g.ow, g.oc)
    }
}

impl Output<'_> {
    /// Writes a pixel's channels `channel..channel + channels`, after a ReLU if there is one.
    ///
    /// # Safety
    /// The result has this pixel and these channels, as many as `N` vectors hold or fewer, and no other task writes
    /// them.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd, const N: usize>(
        &self,
        s: S,
        pixel: usize,
        channel: usize,
        channels: usize,
        values: &[S::V; N],
    ) {
        let to = self.data.at(pixel * self.width + self.offset + channel, channels);
        for n in 0..N {
            let value = if self.relu { s.max(s.splat(0.0), values[n]) } else { values[n] };
            let left = channels - n * S::LANES;
            // SAFETY: `new` checked the size for all pixels and channels of the output; the rest is the caller's
            // promise.
            unsafe {
                if left >= S::LANES {
                    s.store(to.add(n * S::LANES), value);
                } else {
                    s.store_first(to.add(n * S::LANES), value, left);
                }
            }
        }
    }
}

/// The biases of a panel's channels, from channel `first` on: zeros where there are none, and past the last.
#[inline(always)]
pub(super) fn panel_bias(bias: Option<&[f32]>, first: usize, channels: usize) -> [f32; 64] {
    let mut panel = [0f32; 64];
    if let Some(bias) = bias {
        panel[..channels].copy_from_slice(&bias[first..][..channels]);
    }
    panel
}
