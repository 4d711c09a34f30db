//! Two videos, frame by frame.
//!
//! A video is a folder of numbered frames, y4m (a file or standard input), raw video, or any other file, which `ffmpeg` decodes. Frames
//! are read one after the other as they are asked for, and count from 0.

mod colour;
mod ffmpeg;
mod folder;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod plot;
mod ppm;
mod raw;
mod seek;
mod stream;
mod y4m;

use std::ffi::OsStr;
use std::path::Path;

use crate::source::discover::Walk;
use crate::source::pair::Pair;
use crate::{Error, Result};
use frames::{Frames, Source, align};

pub use colour::{ColourMatrix, ColourRange};
pub use plot::plot;
pub use raw::RawFormat;
pub use seek::FrameSeeker;

/// How videos are read, and which frames are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The first frame that is compared, from 0 on.
    pub from: u64,
    /// The frame before which the comparison ends. Default: the end of the shorter video.
    pub to: Option<u64>,
    /// Every how many frames one is compared; 1 is all.
    pub every: u64,
    /// Default: [`ColourMatrix::of_size`] of each video.
    pub matrix: Option<ColourMatrix>,
    /// Default: what the video says, otherwise limited, and full for gray.
    pub range: Option<ColourRange>,
    /// What standard input is, and files that end in `.yuv`, `.rgb` or `.raw`. Without it standard input is y4m.
    pub raw: Option<RawFormat>,
    /// Frames a second. Default: what the videos say.
    pub rate: Option<f64>,
    /// Which files of a folder are frames; subfolders never are.
    pub walk: Walk,
}

impl Options {
    /// The number of the frame that a pair compares.
    fn frame(&self, index: u64) -> u64 {
        self.from.saturating_add(index.saturating_mul(self.every))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { from: 0, to: None, every: 1, matrix: None, range: None, raw: None, rate: None, walk: Walk::default() }
    }
}

/// How a comparison of two videos came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoEnd {
    /// Both videos have as many frames.
    Together,
    /// The reference ended first, having so many frames.
    ReferenceFirst(u64),
    /// The candidate ended first, having so many frames.
    CandidateFirst(u64),
    /// At [`Options::to`]; what lies behind was not looked at.
    Limit,
    /// At a frame that can't be read, after which there is nothing to be had; its pair says so.
    Broken,
}

/// The pairs of frames of two videos. `nth`, and with it `skip` and `step_by`, makes no pictures of the frames that it leaves out.
pub struct Videos {
    reference: Frames,
    candidate: Frames,
    options: Options,
    /// Frames read of both.
    read: u64,
    /// The number of the next pair.
    index: u64,
    ended: Option<VideoEnd>,
    /// What the videos' numbering and rates give reason to say.
    pub notes: Vec<String>,
}

impl Videos {
    /// Opens two videos, `-` being standard input, and reads the first frame of each.
    ///
    /// Of two folders, frames with the same number belong together, counted from each folder's first; a number that only one has makes
    /// a pair that can't be measured. Otherwise the n-th frame belongs to the n-th.
    ///
    /// # Errors
    /// A video that can't be read or has no frames; both standard input; `raw` with no raw video; no frames asked for.
    pub fn open(reference: &Path, candidate: &Path, options: Options) -> Result<Self> {
        Self::open_with(OsStr::new("ffmpeg"), reference, candidate, options)
    }

    fn open_with(ffmpeg: &OsStr, reference: &Path, candidate: &Path, options: Options) -> Result<Self> {
        check(reference, candidate, &options)?;
        let mut notes = Vec::new();
        let mut open = |path| Frames::open(ffmpeg, path, &options, &mut notes);
        let (mut reference, mut candidate) = (open(reference)?, open(candidate)?);
        let folders = (&mut reference.source, &mut candidate.source);
        if let (Source::Folder(one), Source::Folder(other)) = folders {
            let (first, second) = (one.first(), other.first());
            align(one, other);
            if first != second {
                notes.push(format!(
                    "{} begins with frame {first} and {} with frame {second}: their first frames are compared, and so on",
                    reference.title().display(),
                    candidate.title().display()
                ));
            }
        }
        if let (Some(one), Some(other)) = (reference.rate(), candidate.rate())
            && (one - other).abs() > 1e-3 * one
        {
            notes.push(format!(
                "{} has {one:.3} frames a second and {} {other:.3}: frames are compared by their numbers, not their times",
                reference.title().display(),
                candidate.title().display()
            ));
        }
        Ok(Self { reference, candidate, options, read: 0, index: 0, ended: None, notes })
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<VideoEnd> {
        self.ended
    }

    /// What to say of videos that differ in length, once that is known.
    pub fn difference(&self) -> Option<String> {
        let (frames, shorter, longer) = match self.ended? {
            VideoEnd::ReferenceFirst(frames) => (frames, &self.reference, &self.candidate),
            VideoEnd::CandidateFirst(frames) => (frames, &self.candidate, &self.reference),
            _ => return None,
        };
        let (shorter, longer) = (shorter.title().display(), longer.title().display());
        Some(format!("{shorter} ends after {frames} frames and {longer} goes on: what follows was not compared"))
    }

    /// Frames a second, as they were given, or as the reference or else the candidate says.
    pub fn rate(&self) -> Option<f64> {
        self.options.rate.or_else(|| self.reference.rate()).or_else(|| self.candidate.rate())
    }

    /// The number of the frame that a pair compares.
    pub fn frame(&self, index: u64) -> u64 {
        self.options.frame(index)
    }

    fn end(&mut self, ended: VideoEnd) -> Option<Pair> {
        self.ended = Some(ended);
        None
    }
}

impl Iterator for Videos {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        self.nth(0)
    }

    fn nth(&mut self, n: usize) -> Option<Pair> {
        if self.ended.is_some() {
            return None;
        }
        self.index = self.index.saturating_add(n as u64);
        let frame = self.frame(self.index);
        let to = self.options.to.unwrap_or(u64::MAX);
        if frame >= to {
            return self.end(VideoEnd::Limit);
        }
        while self.read <= frame {
            match (self.reference.advance(), self.candidate.advance()) {
                (false, false) => return self.end(VideoEnd::Together),
                (false, true) => return self.end(VideoEnd::ReferenceFirst(self.read)),
                (true, false) => return self.end(VideoEnd::CandidateFirst(self.read)),
                (true, true) => self.read += 1,
            }
            if self.reference.broken.is_some() || self.candidate.broken.is_some() {
                self.ended = Some(VideoEnd::Broken);
                break;
            }
        }
        let at = self.read - 1;
        let pair = Pair {
            index: self.index,
            reference: self.reference.input(at),
            candidate: self.candidate.input(at),
            second: None,
        };
        self.index += 1;
        Some(pair)
    }

    /// How many pairs there are at most, if a folder or [`Options::to`] says so.
    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended.is_some() {
            return (0, Some(0));
        }
        let frames = [self.reference.len(), self.candidate.len(), self.options.to].into_iter().flatten().min();
        let left = |frames: u64| frames.saturating_sub(self.frame(self.index)).div_ceil(self.options.every);
        (0, frames.map(|frames| left(frames) as usize))
    }
}

fn check(reference: &Path, candidate: &Path, options: &Options) -> Result<()> {
    let fail = |reason: &str| Err(Error::choice(reason.to_string()));
    if [reference, candidate] == [Path::new("-"); 2] {
        return fail("both videos are standard input, which can be one alone: name a file or a folder for the other");
    }
    if options.every == 0 {
        return fail("every 0 frames there is none: expected 1 or more");
    }
    if options.to.is_some_and(|to| to <= options.from) {
        return fail(
            "no frame lies between where the comparison begins and where it ends: expected an end after its beginning",
        );
    }
    if options.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return fail("frames a second are a number above 0");
    }
    if options.raw.is_some() && !is_raw(reference) && !is_raw(candidate) {
        return fail("--raw is for standard input and files that end in .yuv, .rgb or .raw, and neither video is one");
    }
    Ok(())
}

/// Whether a video does not say itself what it is, if anything else does.
fn is_raw(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    path == Path::new("-") || ["yuv", "rgb", "raw"].iter().any(|raw| ending.eq_ignore_ascii_case(raw))
}

#[cfg(test)]
mod tests;
