//! Video decoders: y4m, raw video, PPM, `ffmpeg`, and folders of numbered pictures.

mod ffmpeg;
mod picture_folder;
mod ppm;
mod raw;
mod stream;
mod y4m;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::{Error, Result};
use ffmpeg::FfmpegDecoder;
use raw::RawFrames;
use y4m::Y4M;

pub(super) use picture_folder::NumberedFrames;
pub(super) use ppm::Ppm;
pub use raw::RawFormat;
pub(super) use raw::is_raw;
pub(super) use stream::{ColourDefaults, FrameStream};
pub(super) use y4m::Y4m;

/// Opens a video stream by its first bytes or its name: standard input for `-`, raw video of the format `raw`, y4m, or
/// else `ffmpeg`.
///
/// # Errors
/// A file that can't be read or decoded, or raw video without its format.
pub(super) fn open(
    ffmpeg: &OsStr,
    path: &Path,
    raw: Option<RawFormat>,
    colours: ColourDefaults,
) -> Result<Box<dyn FrameStream>> {
    let raw = raw.filter(|_| is_raw(path));
    if path == Path::new("-") {
        return from_stdin(BufReader::new(io::stdin()), raw, colours);
    }
    let failed = |error: io::Error| Error::io(path, "read", &error);
    let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(failed)?);
    let is_y4m = file.fill_buf().map_err(failed)?.starts_with(Y4M);
    match raw {
        Some(raw) => Ok(Box::new(RawFrames::new(file, raw, colours))),
        None if is_y4m => Ok(Box::new(Y4m::open(file, path, colours)?)),
        None if is_raw(path) => {
            Err(Error::file(path, "is raw video, whose format the file does not state: add --raw WIDTHxHEIGHT:FORMAT"))
        }
        None => Ok(Box::new(FfmpegDecoder::open(ffmpeg, path, colours)?)),
    }
}

/// A video's name in messages.
pub(super) fn title(name: &Path) -> &Path {
    if name == Path::new("-") { Path::new("standard input") } else { name }
}

fn from_stdin(
    mut input: impl BufRead + Send + 'static,
    raw: Option<RawFormat>,
    colours: ColourDefaults,
) -> Result<Box<dyn FrameStream>> {
    let name = title(Path::new("-"));
    if let Some(raw) = raw {
        return Ok(Box::new(RawFrames::new(input, raw, colours)));
    }
    let mut begin = [0; Y4M.len()];
    let mut length = 0;
    while length < begin.len() {
        match input.read(&mut begin[length..]).map_err(|error| Error::io(name, "read", &error))? {
            0 => break,
            read => length += read,
        }
    }
    if begin != Y4M {
        let reason =
            "is no y4m: pipe `ffmpeg -i FILE -f yuv4mpegpipe -` into it, or give the format of raw video with --raw";
        return Err(Error::file(name, reason));
    }
    Ok(Box::new(Y4m::open(io::Cursor::new(begin).chain(input), name, colours)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_from_stdin_is_y4m_unless_a_raw_format_is_given() {
        let open = |text: &'static [u8], raw: Option<&str>| {
            from_stdin(text, raw.map(|raw| raw.parse().unwrap()), ColourDefaults::default())
        };
        let mut y4m = open(b"YUV4MPEG2 W1 H1 Cmono\nFRAME\n\x05", None).unwrap();
        assert_eq!((y4m.advance(), y4m.picture().unwrap().to_rgb8()[0]), (Ok(true), 5));
        let mut raw = open(b"\x05", Some("1x1:gray")).unwrap();
        assert_eq!((raw.advance(), raw.picture().unwrap().to_rgb8()[0]), (Ok(true), 5));
        for text in [&b""[..], b"YUV4", b"RIFF....AVI ...."] {
            let error = open(text, None).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("standard input: is no y4m: pipe `ffmpeg") && error.contains("--raw"), "{error}");
        }
    }
}
