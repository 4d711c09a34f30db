//! The frames of one video, whatever it is.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lpips_core::Picture;

use super::folder::NumberedFrames;
use super::raw::RawFrames;
use super::stream::{ColourDefaults, FrameStream};
use super::y4m::{Y4M, Y4m};
use super::{Options, RawFormat, ffmpeg, is_raw};
use crate::source::pair::Input;
use crate::{Error, Result};

/// A video's frames, one of which is the present one.
pub(super) struct Frames {
    name: PathBuf,
    pub(super) source: Source,
    /// Whether the first frame of a stream is read already.
    ahead: bool,
    /// Why the present frame, and all that follow, can't be had.
    pub(super) broken: Option<String>,
}

pub(super) enum Source {
    Folder(FrameSlots),
    Stream(Box<dyn FrameStream>),
}

/// A folder's frames, and where frames are missing that another folder has.
pub(super) struct FrameSlots {
    slots: Vec<(u64, Option<Arc<Path>>)>,
    /// How many were read.
    read: usize,
}

impl Frames {
    pub(super) fn open(ffmpeg: &OsStr, path: &Path, options: &Options, notes: &mut Vec<String>) -> Result<Self> {
        let colours = ColourDefaults { matrix: options.matrix, range: options.range };
        let raw = options.raw.filter(|_| is_raw(path));
        let io = |error: io::Error| Error::io(path, "read", &error);
        let source = if path == Path::new("-") {
            let input = BufReader::new(io::stdin());
            Source::Stream(from_stdin(input, raw, colours)?)
        } else if std::fs::metadata(path).map_err(io)?.is_dir() {
            let (numbered, more) = NumberedFrames::open(path, &options.walk)?;
            notes.extend(more);
            let slots = numbered.files.into_iter().map(|(number, file)| (number, Some(file))).collect();
            Source::Folder(FrameSlots { slots, read: 0 })
        } else {
            let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(io)?);
            let is_y4m = file.fill_buf().map_err(io)?.starts_with(Y4M);
            match raw {
                Some(raw) => Source::Stream(Box::new(RawFrames::new(file, raw, colours))),
                None if is_y4m => Source::Stream(Box::new(Y4m::open(file, path, colours)?)),
                None if is_raw(path) => {
                    let reason = "is raw video, which does not say what it is: add --raw WIDTHxHEIGHT:FORMAT";
                    return Err(Error::file(path, reason));
                }
                None => Source::Stream(Box::new(ffmpeg::FfmpegDecoder::open(ffmpeg, path, colours)?)),
            }
        };
        let mut frames = Self { name: path.to_path_buf(), source, ahead: false, broken: None };
        // A video that is none should fail at once, not in its first row.
        if let Source::Stream(stream) = &mut frames.source {
            let first = stream.advance().map_err(|reason| Error::file(titled(path), format!("frame 0 {reason}")))?;
            if !first {
                return Err(Error::file(titled(path), "holds no frames"));
            }
            frames.ahead = true;
        }
        Ok(frames)
    }

    /// What messages call the video.
    pub(super) fn title(&self) -> &Path {
        titled(&self.name)
    }

    /// Goes to the next frame: whether there is one, which may be broken.
    pub(super) fn advance(&mut self) -> bool {
        match &mut self.source {
            Source::Folder(folder) => {
                folder.read += 1;
                folder.read <= folder.slots.len()
            }
            Source::Stream(_) if self.ahead => {
                self.ahead = false;
                true
            }
            Source::Stream(stream) => stream.advance().unwrap_or_else(|reason| {
                self.broken = Some(reason);
                true
            }),
        }
    }

    /// The present frame, which has this number.
    pub(super) fn input(&self, at: u64) -> Input {
        let frame = |number: u64, picture: Result<Picture, String>| {
            let mut name = self.name.clone().into_os_string();
            name.push(format!("#{number}"));
            Input::Frame(Arc::from(PathBuf::from(name)), picture.map(Arc::new))
        };
        match &self.source {
            Source::Folder(folder) => match folder.slots.get(folder.read.saturating_sub(1)) {
                Some((_, Some(file))) => Input::File(Arc::clone(file)),
                Some((number, None)) => {
                    let reason =
                        format!("frame {number} is missing in {}: the other folder has it", self.name.display());
                    frame(*number, Err(reason))
                }
                None => frame(at, Err(format!("frame {at} is not there"))),
            },
            Source::Stream(stream) => {
                let picture = self.broken.clone().map_or_else(|| stream.picture(), Err);
                frame(at, picture.map_err(|reason| format!("frame {at} {reason}")))
            }
        }
    }

    pub(super) fn rate(&self) -> Option<f64> {
        if let Source::Stream(stream) = &self.source { stream.rate() } else { None }
    }

    /// How many frames, if that is known.
    pub(super) fn len(&self) -> Option<u64> {
        if let Source::Folder(folder) = &self.source { Some(folder.slots.len() as u64) } else { None }
    }
}

impl FrameSlots {
    /// The number of the first frame.
    pub(super) fn first(&self) -> u64 {
        self.slots.first().map_or(0, |slot| slot.0)
    }
}

fn titled(name: &Path) -> &Path {
    if name == Path::new("-") { Path::new("standard input") } else { name }
}

pub(super) fn from_stdin(
    mut input: impl BufRead + Send + 'static,
    raw: Option<RawFormat>,
    colours: ColourDefaults,
) -> Result<Box<dyn FrameStream>> {
    let name = titled(Path::new("-"));
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
            "is no y4m: pipe `ffmpeg -i FILE -f yuv4mpegpipe -` into it, or say what raw video it is with --raw";
        return Err(Error::file(name, reason));
    }
    Ok(Box::new(Y4m::open(io::Cursor::new(begin).chain(input), name, colours)?))
}

/// Puts the frames of two folders side by side, by their numbers from the first on; where one has none there is nothing. What
/// lies behind the end of the shorter is left as it is.
pub(super) fn align(one: &mut FrameSlots, other: &mut FrameSlots) {
    let ends = |slots: &FrameSlots| Some((slots.slots.first()?.0, slots.slots.last()?.0));
    let (Some((first, last)), Some((other_first, other_last))) = (ends(one), ends(other)) else { return };
    let end = (last - first).min(other_last - other_first);
    let numbers = |slots: &FrameSlots, first: u64| {
        slots.slots.iter().map(|(number, _)| number - first).take_while(|number| *number <= end).collect::<Vec<_>>()
    };
    let mut all = [numbers(one, first), numbers(other, other_first)].concat();
    all.sort_unstable();
    all.dedup();
    for (slots, first) in [(one, first), (other, other_first)] {
        let mut rest = std::mem::take(&mut slots.slots).into_iter().peekable();
        slots.slots = (all.iter())
            .map(|number| rest.next_if(|slot| slot.0 == first + number).unwrap_or((first + number, None)))
            .collect();
        slots.slots.extend(rest);
    }
}
