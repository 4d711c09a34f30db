//! Frames that come one after the other.

use std::io::{self, Read};

use lpips_core::Picture;
use lpips_core::image::Decoder;

use super::colour::{Chroma, ColourMatrix, ColourRange, Planes};

/// Frames of a stream.
pub(super) trait FrameStream: Send {
    /// Reads the next frame: whether there is one.
    ///
    /// # Errors
    /// A stream that ends within a frame or is damaged.
    fn advance(&mut self) -> Result<bool, String>;

    /// The frame that was read last.
    ///
    /// # Errors
    /// One that is no picture.
    fn picture(&self) -> Result<Picture, String>;

    /// Frames a second, if that is known.
    fn rate(&self) -> Option<f64> {
        None
    }
}

/// What is taken for granted of luma and chroma where it is not stated.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ColourDefaults {
    pub(super) matrix: Option<ColourMatrix>,
    pub(super) range: Option<ColourRange>,
}

impl ColourDefaults {
    /// Gray is of the full range unless it is stated otherwise, as ffmpeg has it.
    pub(super) fn planes(
        self,
        (width, height): (usize, usize),
        bits: u32,
        chroma: Option<Chroma>,
        stated: Option<ColourRange>,
    ) -> Planes {
        let usual = if chroma.is_some() { ColourRange::Limited } else { ColourRange::Full };
        Planes {
            width,
            height,
            bits,
            chroma,
            matrix: self.matrix.unwrap_or(ColourMatrix::of_size(width, height)),
            range: self.range.or(stated).unwrap_or(usual),
        }
    }
}

/// Bytes of the longest line of a header.
pub(super) const LONGEST: u64 = 4096;

/// A size that can be a frame's.
pub(super) fn size(width: Option<usize>, height: Option<usize>) -> Result<(usize, usize), String> {
    let (Some(width @ 1..), Some(height @ 1..)) = (width, height) else {
        return Err("states no width and height".to_string());
    };
    let most = Decoder::default().max_pixels;
    if width.checked_mul(height).is_none_or(|pixels| pixels as u64 > most) {
        return Err(format!("claims frames of {width}x{height} pixels: expected at most {most} pixels"));
    }
    Ok((width, height))
}

/// Fills the frame: whether there is one.
pub(super) fn fill(input: &mut impl Read, frame: &mut [u8]) -> Result<bool, String> {
    let mut length = 0;
    while length < frame.len() {
        match input.read(&mut frame[length..]) {
            Ok(0) if length == 0 => return Ok(false),
            Ok(0) => return Err(cut_short(length, frame.len())),
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("can't be read: {error}")),
        }
    }
    Ok(true)
}

pub(super) fn cut_short(length: usize, expected: usize) -> String {
    format!("is cut short: the video ends after {length} of the frame's {expected} bytes")
}
