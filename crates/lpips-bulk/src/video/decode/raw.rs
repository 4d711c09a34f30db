//! Decoder of raw video: frames without any header.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use lpips_core::Picture;

use super::stream::{ColourDefaults, FrameStream, fill, size};
use crate::video::colour::{Chroma, ColourRange, Planes};
use crate::{Error, Result};

/// Size and pixel format of raw video; as text `WIDTHxHEIGHT:FORMAT`, the pixel format named as in ffmpeg: `rgb24`,
/// `bgr24`, `rgb48le`, `gray`, `yuv420p`, `yuv422p`, `yuv444p`, `yuvj420p` and so on (full range), and with more bits
/// `gray10le`, `yuv420p10le` and so on, up to 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFormat {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    layout: Layout,
}

/// Order of a frame's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Plane after plane, luma first.
    Planes { bits: u32, chroma: Option<Chroma>, range: Option<ColourRange> },
    /// Red, green and blue of each pixel, or the reverse, in a byte each or two, the lower first.
    Rgb { wide: bool, reversed: bool },
}

/// Whether a video states no format of its own, unless it is y4m on standard input: `-`, and files that end in `.yuv`,
/// `.rgb` or `.raw`.
pub(in crate::video) fn is_raw(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    path == Path::new("-") || ["yuv", "rgb", "raw"].iter().any(|raw| extension.eq_ignore_ascii_case(raw))
}

impl FromStr for RawFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = "expected WIDTHxHEIGHT:FORMAT, such as 1920x1080:yuv420p";
        let fail = |reason: String| Error::choice(format!("raw video '{text}' {reason}"));
        let parts = text.split_once(':').and_then(|(size, format)| Some((size.split_once('x')?, format)));
        let ((width, height), format) = parts.ok_or_else(|| fail(format!("can't be read: {expected}")))?;
        let sides = size(width.parse().ok(), height.parse().ok());
        let (width, height) = sides.map_err(|reason| fail(format!("{reason}: {expected}")))?;
        let layout = layout(format).ok_or_else(|| {
            fail("has an unknown pixel format: expected rgb24, bgr24, rgb48le, gray, yuv420p, yuv422p, yuv444p, or with more bits \
                  gray10le, yuv420p10le and so on"
                .to_string())
        })?;
        Ok(Self { width, height, layout })
    }
}

fn layout(format: &str) -> Option<Layout> {
    match format {
        "rgb24" => return Some(Layout::Rgb { wide: false, reversed: false }),
        "bgr24" => return Some(Layout::Rgb { wide: false, reversed: true }),
        "rgb48le" => return Some(Layout::Rgb { wide: true, reversed: false }),
        _ => {}
    }
    let (space, bits) = match format.strip_suffix("le") {
        Some(deep) => {
            let space = deep.trim_end_matches(|c: char| c.is_ascii_digit());
            (space, deep[space.len()..].parse().ok().filter(|bits| (9..=16).contains(bits))?)
        }
        None => (format, 8),
    };
    let (_, chroma, range) = SPACES.into_iter().find(|(name, ..)| *name == space)?;
    Some(Layout::Planes { bits, chroma, range })
}

/// Planar formats by name. Chroma is placed as in MPEG-2; the JPEG formats place it at the centre of the pixels and
/// have the full range.
const SPACES: [(&str, Option<Chroma>, Option<ColourRange>); 7] = [
    ("gray", None, None),
    ("yuv420p", Some(chroma(2, 2, true, false)), None),
    ("yuv422p", Some(chroma(2, 1, true, true)), None),
    ("yuv444p", Some(chroma(1, 1, true, true)), None),
    ("yuvj420p", Some(chroma(2, 2, false, false)), Some(ColourRange::Full)),
    ("yuvj422p", Some(chroma(2, 1, false, true)), Some(ColourRange::Full)),
    ("yuvj444p", Some(chroma(1, 1, true, true)), Some(ColourRange::Full)),
];

const fn chroma(across: usize, down: usize, left: bool, top: bool) -> Chroma {
    Chroma { across, down, left, top }
}

impl fmt::Display for RawFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}:", self.width, self.height)?;
        match self.layout {
            Layout::Rgb { wide: true, .. } => f.write_str("rgb48le"),
            Layout::Rgb { wide: false, reversed } => f.write_str(if reversed { "bgr24" } else { "rgb24" }),
            Layout::Planes { bits, chroma, range } => {
                let space = SPACES.iter().find(|(_, own, full)| (*own, *full) == (chroma, range));
                f.write_str(space.map_or("", |(name, ..)| name))?;
                if bits > 8 { write!(f, "{bits}le") } else { Ok(()) }
            }
        }
    }
}

/// Frames of a raw stream.
pub(in crate::video) struct RawFrames<R> {
    input: R,
    raw: RawFormat,
    planes: Option<Planes>,
    frame: Vec<u8>,
}

impl<R: Read + Send> RawFrames<R> {
    pub(in crate::video) fn new(input: R, raw: RawFormat, colours: ColourDefaults) -> Self {
        let size = (raw.width, raw.height);
        let (planes, bytes) = match raw.layout {
            Layout::Planes { bits, chroma, range } => {
                let planes = colours.planes(size, bits, chroma, range);
                (Some(planes), planes.bytes())
            }
            Layout::Rgb { wide, .. } => (None, raw.width * raw.height * if wide { 6 } else { 3 }),
        };
        Self { input, raw, planes, frame: vec![0; bytes] }
    }
}

impl<R: Read + Send> FrameStream for RawFrames<R> {
    fn advance(&mut self) -> Result<bool, String> {
        fill(&mut self.input, &mut self.frame)
            .map_err(|reason| format!("{reason}; check the size and the format given by --raw"))
    }

    fn picture(&self) -> Result<Picture, String> {
        let (width, height) = (self.raw.width, self.raw.height);
        let picture = match (self.planes, self.raw.layout) {
            (Some(planes), _) => return planes.picture(&self.frame),
            (None, Layout::Rgb { wide: true, .. }) => {
                let values = self.frame.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
                Picture::from_rgb16(width, height, values.collect())
            }
            (None, layout) => {
                let mut rgb = self.frame.clone();
                if layout == (Layout::Rgb { wide: false, reversed: true }) {
                    rgb.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.reverse());
                }
                Picture::from_rgb8(width, height, rgb)
            }
        };
        picture.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_format_text_roundtrip() {
        let raw: RawFormat = "640x480:yuv420p10le".parse().unwrap();
        assert_eq!((raw.width, raw.height), (640, 480));
        let Layout::Planes { bits, chroma: Some(chroma), range: None } = raw.layout else { panic!("{raw:?}") };
        assert_eq!((bits, chroma.across, chroma.down, chroma.left, chroma.top), (10, 2, 2, true, false));
        for format in ["rgb24", "bgr24", "rgb48le", "gray", "gray16le", "yuv422p12le", "yuv444p", "yuvj420p"] {
            let text = format!("2x2:{format}");
            assert_eq!(text.parse::<RawFormat>().unwrap().to_string(), text);
        }
        for (space, ..) in SPACES {
            for bits in ["", "9le", "16le"] {
                let text = format!("64x2:{space}{bits}");
                assert_eq!(text.parse::<RawFormat>().unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn raw_format_that_is_unknown_is_refused_with_the_expected_form() {
        for (text, expected) in [
            ("640x480", "expected WIDTHxHEIGHT:FORMAT, such as 1920x1080:yuv420p"),
            ("640:rgb24", "expected WIDTHxHEIGHT:FORMAT"),
            ("640x0:rgb24", "states no width and height: expected WIDTHxHEIGHT:FORMAT"),
            ("99999999999x9999999999:rgb24", "at most 268435456 pixels"),
            ("2x2:nv12", "expected rgb24, bgr24"),
            ("2x2:yuv420p17le", "expected rgb24, bgr24"),
            ("2x2:yuv420ple", "expected rgb24, bgr24"),
        ] {
            let error = text.parse::<RawFormat>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(expected), "{error}");
        }
    }

    fn raw_pictures(raw: &str, bytes: &[u8]) -> Vec<Result<Picture, String>> {
        let mut frames = RawFrames::new(bytes, raw.parse().unwrap(), ColourDefaults::default());
        let mut pictures = Vec::new();
        loop {
            match frames.advance() {
                Ok(true) => pictures.push(frames.picture()),
                Ok(false) => return pictures,
                Err(reason) => {
                    pictures.push(Err(reason));
                    return pictures;
                }
            }
        }
    }

    #[test]
    fn raw_video_is_cut_into_frames_of_every_layout() {
        let rgb = Picture::from_rgb8(1, 1, vec![1, 2, 3]).unwrap();
        assert_eq!(raw_pictures("1x1:rgb24", &[1, 2, 3, 1, 2, 3]), [Ok(rgb.clone()), Ok(rgb.clone())]);
        assert_eq!(raw_pictures("1x1:bgr24", &[3, 2, 1]), [Ok(rgb)]);
        let wide = Picture::from_rgb16(1, 1, vec![0x0201, 0x0403, 0x0605]).unwrap();
        assert_eq!(raw_pictures("1x1:rgb48le", &[1, 2, 3, 4, 5, 6]), [Ok(wide)]);
        assert_eq!(*raw_pictures("2x1:gray", &[0, 255])[0].as_ref().unwrap().to_rgb8(), [0, 0, 0, 255, 255, 255]);
        assert_eq!(*raw_pictures("1x1:yuv420p", &[235, 128, 128])[0].as_ref().unwrap().to_rgb8(), [255; 3]);
        assert_eq!(*raw_pictures("1x1:yuvj420p", &[255, 128, 128])[0].as_ref().unwrap().to_rgb8(), [255; 3]);
        let cut = raw_pictures("1x1:rgb24", &[1, 2, 3, 4]).pop().unwrap().unwrap_err();
        assert!(cut.contains("ends after 1 of the frame's 3 bytes") && cut.contains("--raw"), "{cut}");
    }
}
