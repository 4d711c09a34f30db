//! Options of a comparison of two videos.

use std::path::Path;

use crate::video::colour::{ColourMatrix, ColourRange};
use crate::video::decode::{RawFormat, is_raw};
use crate::{Error, Result};
use lpips_data::discover::Walk;

/// Decoding of videos, and the choice of frames that are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The first frame that is compared, counted from 0.
    pub from: u64,
    /// The frame before which the comparison ends. Default: the end of the shorter video.
    pub to: Option<u64>,
    /// The step from one compared frame to the next; 1 compares all.
    pub every: u64,
    /// Default: [`ColourMatrix::of_size`] of each video.
    pub matrix: Option<ColourMatrix>,
    /// Default: the range stated in the video, otherwise limited, and full for gray.
    pub range: Option<ColourRange>,
    /// The format of standard input, and of files that end in `.yuv`, `.rgb` or `.raw`. Without it standard input is
    /// y4m.
    pub raw: Option<RawFormat>,
    /// Frames per second. Default: the rate stated in the videos.
    pub rate: Option<f64>,
    /// The choice of files of a folder as frames; subfolders are never read.
    pub walk: Walk,
}

impl Options {
    /// The number of the frame that the pair of this index compares.
    pub(super) fn frame(&self, index: u64) -> u64 {
        self.from.saturating_add(index.saturating_mul(self.every))
    }

    /// Rejects options that contradict each other or the two videos.
    pub(super) fn check(&self, reference: &Path, candidate: &Path) -> Result<()> {
        let fail = |reason: &str| Err(Error::choice(reason));
        if [reference, candidate] == [Path::new("-"); 2] {
            return fail(
                "both videos are standard input, which can be one of them only: name a file or a folder for the other",
            );
        }
        if self.every == 0 {
            return fail("a step of 0 frames compares nothing: expected 1 or more");
        }
        if self.to.is_some_and(|to| to <= self.from) {
            return fail(
                "no frame lies between the first frame and the end of the comparison: expected an end after its beginning",
            );
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return fail("the number of frames per second must be a number above 0");
        }
        if self.raw.is_some() && !is_raw(reference) && !is_raw(candidate) {
            return fail(
                "--raw is for standard input and files that end in .yuv, .rgb or .raw, and neither video is one",
            );
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { from: 0, to: None, every: 1, matrix: None, range: None, raw: None, rate: None, walk: Walk::default() }
    }
}
