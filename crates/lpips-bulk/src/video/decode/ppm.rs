//! Decoder of PPM streams, the form in which `ffmpeg` writes RGB video.

use std::io::{BufRead, Read};

use lpips_core::Picture;

use super::stream::{FrameStream, LONGEST, cut_short, fill, size};

/// Frames of a stream of PPM pictures (P6, of 8 or 16 bits).
pub(in crate::video) struct Ppm<R> {
    input: R,
    size: (usize, usize),
    wide: bool,
    frame: Vec<u8>,
}

impl<R: BufRead + Send> Ppm<R> {
    pub(in crate::video) fn new(input: R) -> Self {
        Self { input, size: (0, 0), wide: false, frame: Vec::new() }
    }

    /// Reads the next word of a header and the whitespace after it.
    fn word(&mut self) -> Result<String, String> {
        let mut word = String::new();
        for byte in (&mut self.input).take(LONGEST).bytes() {
            match byte.map_err(|error| format!("can't be read: {error}"))? {
                b' ' | b'\n' | b'\r' | b'\t' if word.is_empty() => {}
                b' ' | b'\n' | b'\r' | b'\t' => break,
                byte => word.push(byte.into()),
            }
        }
        Ok(word)
    }
}

impl<R: BufRead + Send> FrameStream for Ppm<R> {
    fn advance(&mut self) -> Result<bool, String> {
        match self.word()?.as_str() {
            "" => return Ok(false),
            "P6" => {}
            _ => return Err("is no PPM".to_string()),
        }
        let mut number = || Ok::<_, String>(self.word()?.parse::<usize>().ok());
        let (width, height, most) = (number()?, number()?, number()?);
        self.size = size(width, height)?;
        self.wide = match most {
            Some(255) => false,
            Some(65535) => true,
            _ => return Err("is PPM of neither 8 nor 16 bits".to_string()),
        };
        self.frame.resize(self.size.0 * self.size.1 * if self.wide { 6 } else { 3 }, 0);
        if fill(&mut self.input, &mut self.frame)? { Ok(true) } else { Err(cut_short(0, self.frame.len())) }
    }

    fn picture(&self) -> Result<Picture, String> {
        let (width, height) = self.size;
        let picture = if self.wide {
            let values = self.frame.as_chunks::<2>().0.iter().map(|bytes| u16::from_be_bytes(*bytes));
            Picture::from_rgb16(width, height, values.collect())
        } else {
            Picture::from_rgb8(width, height, self.frame.clone())
        };
        picture.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ppm_stream_of_8_and_16_bits_is_decoded() {
        let mut ppm =
            Ppm::new(&b"P6\n2 1\n255\n\x01\x02\x03\n \xffP6 1 1 65535\n\x01\x02\x03\x04\x05\x06P6\n1 1\n255\n\x01"[..]);
        assert_eq!(ppm.advance(), Ok(true));
        assert_eq!(ppm.picture(), Ok(Picture::from_rgb8(2, 1, vec![1, 2, 3, 10, 32, 255]).unwrap()));
        assert_eq!(ppm.advance(), Ok(true));
        assert_eq!(ppm.picture(), Ok(Picture::from_rgb16(1, 1, vec![0x0102, 0x0304, 0x0506]).unwrap()));
        assert!(ppm.advance().unwrap_err().contains("ends after 1 of the frame's 3 bytes"));
        assert_eq!(Ppm::new(&b""[..]).advance(), Ok(false));
        for (text, expected) in [
            ("P5\n1 1\n255\n.", "is no PPM"),
            ("P6\n1 x\n255\n", "states no width and height"),
            ("P6\n1 1\n1023\n", "neither 8 nor 16 bits"),
            ("P6\n99999999 99999999\n255\n", "at most 268435456 pixels"),
        ] {
            assert!(Ppm::new(text.as_bytes()).advance().unwrap_err().contains(expected), "{text}");
        }
    }
}
