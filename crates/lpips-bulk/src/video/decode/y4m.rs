//! Decoder of y4m: uncompressed video with a header.

use std::io::{BufRead, Read};
use std::path::Path;

use lpips_core::Picture;

use super::stream::{ColourDefaults, FrameStream, LONGEST, cut_short, fill, size};
use crate::video::colour::{Chroma, ColourRange, Planes};
use crate::{Error, Result};

/// Frames of a y4m stream.
pub(in crate::video) struct Y4m<R> {
    input: R,
    planes: Planes,
    rate: Option<f64>,
    frame: Vec<u8>,
}

/// The first bytes of a y4m stream.
pub(in crate::video) const Y4M: &[u8] = b"YUV4MPEG2 ";

impl<R: BufRead + Send> Y4m<R> {
    /// Reads the header; `name` names the video in messages.
    ///
    /// # Errors
    /// A header that can't be parsed, or a colour space that is not supported.
    pub(in crate::video) fn open(mut input: R, name: &Path, colours: ColourDefaults) -> Result<Self> {
        let fail = |reason: String| Error::file(name, format!("is no readable y4m: {reason}"));
        let mut header = Vec::new();
        let read = (&mut input).take(LONGEST).read_until(b'\n', &mut header);
        read.map_err(|error| Error::io(name, "read", &error))?;
        let header = String::from_utf8_lossy(&header);
        let Some(fields) = header.strip_prefix("YUV4MPEG2").filter(|_| header.ends_with('\n')) else {
            return Err(fail("it does not begin with a line of YUV4MPEG2".to_string()));
        };
        let (mut width, mut height, mut rate, mut stated, mut space) = (None, None, None, None, "420");
        for field in fields.split_ascii_whitespace() {
            let (tag, value) = field.split_at_checked(1).unwrap_or((field, ""));
            match tag {
                "W" => width = value.parse().ok(),
                "H" => height = value.parse().ok(),
                "F" => rate = fraction(value),
                "C" => space = value,
                "I" if !matches!(value, "p" | "?") => {
                    tracing::warn!("{}: is interlaced: its frames are compared without deinterlacing", name.display());
                }
                "X" => match value {
                    "COLORRANGE=FULL" => stated = Some(ColourRange::Full),
                    "COLORRANGE=LIMITED" => stated = Some(ColourRange::Limited),
                    _ => {}
                },
                _ => {}
            }
        }
        let size = size(width, height).map_err(|reason| fail(format!("it {reason}")))?;
        let (chroma, bits) = colour_space(space).ok_or_else(|| {
            fail(format!("it is in the colour space {space}: expected 420, 422, 444, 411 or mono of 8 to 16 bits"))
        })?;
        let planes = colours.planes(size, bits, chroma, stated);
        Ok(Self { input, planes, rate, frame: vec![0; planes.bytes()] })
    }
}

impl<R: BufRead + Send> FrameStream for Y4m<R> {
    fn advance(&mut self) -> Result<bool, String> {
        let mut line = Vec::new();
        let read = (&mut self.input).take(LONGEST).read_until(b'\n', &mut line);
        if read.map_err(|error| format!("can't be read: {error}"))? == 0 {
            return Ok(false);
        }
        if !(line.starts_with(b"FRAME") && matches!(line.get(5), Some(b' ' | b'\n'))) {
            return Err("is damaged: there is no line of FRAME before it".to_string());
        }
        if fill(&mut self.input, &mut self.frame)? { Ok(true) } else { Err(cut_short(0, self.frame.len())) }
    }

    fn picture(&self) -> Result<Picture, String> {
        self.planes.picture(&self.frame)
    }

    fn rate(&self) -> Option<f64> {
        self.rate
    }
}

/// Parses a frame rate such as `30000:1001`.
fn fraction(text: &str) -> Option<f64> {
    let (above, below) = text.split_once(':')?;
    let rate = above.parse::<f64>().ok()? / below.parse::<f64>().ok()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// Chroma and bits of a y4m colour space. `420jpeg`, like plain `420`, places chroma at the centre of its pixels and
/// states no range; colour spaces of more than 8 bits place chroma as MPEG-2 does.
fn colour_space(name: &str) -> Option<(Option<Chroma>, u32)> {
    let chroma = |across, down, left, top| Some(Chroma { across, down, left, top });
    Some(match name {
        "420" | "420jpeg" => (chroma(2, 2, false, false), 8),
        "420mpeg2" => (chroma(2, 2, true, false), 8),
        "420paldv" => (chroma(2, 2, true, true), 8),
        "411" => (chroma(4, 1, true, true), 8),
        "422" => (chroma(2, 1, true, true), 8),
        "444" => (chroma(1, 1, true, true), 8),
        "mono" => (None, 8),
        _ => {
            let (space, bits) = if let Some(bits) = name.strip_prefix("mono") {
                (None, bits)
            } else {
                let (space, bits) = name.split_once('p')?;
                let space = match space {
                    "420" => chroma(2, 2, true, false),
                    "422" => chroma(2, 1, true, true),
                    "444" => chroma(1, 1, true, true),
                    _ => return None,
                };
                (space, bits)
            };
            (space, bits.parse().ok().filter(|bits| (9..=16).contains(bits))?)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::video::colour::ColourMatrix;
    use crate::video::colour::planes::tests::frame;

    fn y4m(bytes: &[u8]) -> Result<Y4m<&[u8]>> {
        Y4m::open(bytes, Path::new("v.y4m"), ColourDefaults::default())
    }

    fn planes(header: &str) -> Planes {
        y4m(format!("YUV4MPEG2 {header}\n").as_bytes()).unwrap().planes
    }

    #[test]
    fn y4m_header_states_planes_and_rate() {
        let plain = planes("W5 H4");
        assert_eq!((plain.width, plain.height, plain.bits, plain.bytes()), (5, 4, 8, 20 + 2 * 6));
        assert_eq!((plain.matrix, plain.range), (ColourMatrix::Bt601, ColourRange::Limited));
        assert_eq!(planes("W5 H4 C420jpeg").range, ColourRange::Limited, "the tag is about the siting alone");
        assert_eq!(planes("W1280 H720 C420jpeg XCOLORRANGE=FULL").range, ColourRange::Full);
        assert_eq!(planes("W1280 H720 Ip A1:1 C420p10 XYSCSS=420P10").matrix, ColourMatrix::Bt709);
        assert_eq!(
            (planes("W2 H2 Cmono").range, planes("W2 H2 Cmono XCOLORRANGE=LIMITED").range),
            (ColourRange::Full, ColourRange::Limited)
        );
        for (space, bytes) in [
            ("420mpeg2", 6),
            ("420paldv", 6),
            ("422", 8),
            ("411", 8),
            ("444", 12),
            ("mono", 4),
            ("mono12", 8),
            ("444p16", 24),
        ] {
            assert_eq!(planes(&format!("W2 H2 C{space}")).bytes(), bytes, "{space}");
        }
        let rate = |header: &str| y4m(format!("YUV4MPEG2 W2 H2 {header}\n").as_bytes()).unwrap().rate();
        assert_eq!((rate("F25:1"), rate("F0:0"), rate("")), (Some(25.0), None, None));
        assert!((rate("F30000:1001").unwrap() - 29.97).abs() < 1e-3);
    }

    #[test]
    fn y4m_header_that_is_malformed_gives_the_reason() {
        for (header, expected) in [
            ("", "does not begin with a line of YUV4MPEG2"),
            ("YUV4MPEG2 W2 H2", "does not begin with a line of YUV4MPEG2"),
            ("RIFF\n", "does not begin with a line of YUV4MPEG2"),
            ("YUV4MPEG2 W2\n", "states no width and height"),
            ("YUV4MPEG2 W0 H2\n", "states no width and height"),
            ("YUV4MPEG2 W4294967296 H4294967296\n", "at most 268435456 pixels"),
            ("YUV4MPEG2 W2 H2 C444alpha\n", "colour space 444alpha: expected 420"),
            ("YUV4MPEG2 W2 H2 C420p99\n", "colour space 420p99"),
        ] {
            let error = y4m(header.as_bytes()).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("v.y4m: is no readable y4m: ") && error.contains(expected), "{header}: {error}");
        }
    }

    #[test]
    fn y4m_frames_are_read_in_order_and_a_cut_one_is_an_error() {
        let text = b"YUV4MPEG2 W2 H1 Cmono\nFRAME\n\x00\xffFRAME Ip\n\x80\x80FRAME\n\x01";
        let mut video = y4m(text).unwrap();
        assert_eq!(video.advance(), Ok(true));
        assert_eq!(*video.picture().unwrap().to_rgb8(), [0, 0, 0, 255, 255, 255]);
        assert_eq!(video.advance(), Ok(true));
        assert_eq!(*video.picture().unwrap().to_rgb8(), [128; 6]);
        assert!(video.advance().unwrap_err().contains("the video ends after 1 of the frame's 2 bytes"));
        let mut damaged = y4m(b"YUV4MPEG2 W2 H1 Cmono\nFRAMES\n\x00\xff").unwrap();
        assert!(damaged.advance().unwrap_err().contains("no line of FRAME"));
        let mut ended = y4m(b"YUV4MPEG2 W2 H1 Cmono\nFRAME\n").unwrap();
        assert!(ended.advance().unwrap_err().contains("after 0 of the frame's 2 bytes"));
        assert_eq!(y4m(b"YUV4MPEG2 W2 H1 Cmono\n").unwrap().advance(), Ok(false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// A picture of one colour converts back in every colour space: of 8 bits within two levels, of more within
        /// one.
        #[test]
        fn y4m_colour_spaces_convert_one_colour_back(
            space in prop::sample::select(vec![
                "420jpeg", "420mpeg2", "420paldv", "420", "411", "422", "444", "mono",
                "420p10", "422p10", "444p10", "420p12", "422p14", "444p16", "mono10", "mono16",
            ]),
            full in any::<bool>(), (width, height) in (1..20usize, 1..20usize), colour in [0.0..1.0f64, 0.0..1.0, 0.0..1.0],
        ) {
            let header = format!("YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C{space} XCOLORRANGE={}\n", if full { "FULL" } else { "LIMITED" });
            let colour = if space.starts_with("mono") { [colour[0]; 3] } else { colour };
            let mut bytes = header.clone().into_bytes();
            let planes = y4m(&bytes).unwrap().planes;
            bytes.extend(b"FRAME\n");
            bytes.extend(frame(&planes, |_, _| colour));
            let mut video = y4m(&bytes).unwrap();
            prop_assert_eq!(video.advance(), Ok(true));
            let picture = video.picture().unwrap();
            prop_assert_eq!(video.advance(), Ok(false));
            prop_assert_eq!((picture.width(), picture.height()), (width, height));
            let most = if planes.bits > 8 { 1.0 } else { 2.0 };
            for pixel in picture.to_rgb8().as_chunks::<3>().0 {
                for (found, expected) in pixel.iter().zip(colour) {
                    prop_assert!((f64::from(*found) - expected * 255.0).abs() <= most, "{} {:?} {:?}", header, pixel, colour);
                }
            }
        }
    }
}
