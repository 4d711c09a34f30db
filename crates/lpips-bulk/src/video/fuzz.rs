//! Entry points for fuzzing: the decoders of untrusted streams.

use std::path::Path;

use super::decode::{ColourDefaults, FrameStream, Ppm, Y4m};

/// Decodes the frames of a y4m stream, and returns how many there are, or an error's message.
pub fn y4m(bytes: &[u8]) -> Result<usize, String> {
    let stream = Y4m::open(bytes, Path::new("fuzz"), ColourDefaults::default());
    frames(stream.map_err(|error| error.to_string())?)
}

/// Decodes PPM pictures one after the other, and returns how many there are, or an error's message.
pub fn ppm(bytes: &[u8]) -> Result<usize, String> {
    frames(Ppm::new(bytes))
}

fn frames(mut stream: impl FrameStream) -> Result<usize, String> {
    let mut count = 0;
    while stream.advance()? {
        stream.picture()?;
        count += 1;
    }
    Ok(count)
}
