//! Streams of frames: the trait of all decoders, and their shared checks.

use std::io::{self, Read};

use lpips_core::Picture;
use lpips_core::image::Decoder;

use crate::video::colour::{Chroma, ColourMatrix, ColourRange, Planes};

/// A decoder that reads frames in order.
pub(in crate::video) trait FrameStream: Send {
    /// Reads the next frame; false at the end of the stream.
    ///
    /// # Errors
    /// A stream that ends within a frame or is damaged.
    fn advance(&mut self) -> Result<bool, String>;

    /// Converts the frame that was read last.
    ///
    /// # Errors
    /// A frame that can't be converted.
    fn picture(&self) -> Result<Picture, String>;

    /// Frames per second, where the stream states them.
    fn rate(&self) -> Option<f64> {
        None
    }
}

/// Colour matrix and range chosen by the user; `None` leaves the choice to the stream and its size.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::video) struct ColourDefaults {
    pub(in crate::video) matrix: Option<ColourMatrix>,
    pub(in crate::video) range: Option<ColourRange>,
}

impl ColourDefaults {
    /// The layout of a stream's frames. Gray has the full range unless stated otherwise, as in ffmpeg.
    pub(in crate::video) fn planes(
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

/// Longest line of a header, in bytes.
pub(in crate::video) const LONGEST: u64 = 4096;

/// Checks the size of a frame: both sides above 0, and no more pixels than a picture may have.
pub(in crate::video) fn size(width: Option<usize>, height: Option<usize>) -> Result<(usize, usize), String> {
    let (Some(width @ 1..), Some(height @ 1..)) = (width, height) else {
        return Err("states no width and height".to_string());
    };
    let most = Decoder::default().max_pixels;
    if width.checked_mul(height).is_none_or(|pixels| pixels as u64 > most) {
        return Err(format!("claims frames of {width}x{height} pixels: expected at most {most} pixels"));
    }
    Ok((width, height))
}

/// Reads a whole frame; false at the end of the stream.
pub(in crate::video) fn fill(input: &mut impl Read, frame: &mut [u8]) -> Result<bool, String> {
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

/// The message about a stream that ends within a frame.
pub(in crate::video) fn cut_short(length: usize, expected: usize) -> String {
    format!("is cut short: the video ends after {length} of the frame's {expected} bytes")
}
