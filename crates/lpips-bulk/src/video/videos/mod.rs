//! Pairs of frames of two videos.

use std::ffi::OsStr;
use std::path::Path;

use crate::Result;
use crate::source::pair::Pair;
use crate::video::align::align;
use crate::video::frames::{Frames, Source};
use crate::video::options::Options;

/// Why a comparison of two videos ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoEnd {
    /// Both videos have the same number of frames.
    Together,
    /// The reference ended first, after this many frames.
    ReferenceFirst(u64),
    /// The candidate ended first, after this many frames.
    CandidateFirst(u64),
    /// The comparison ended at [`Options::to`]; later frames were not decoded.
    Limit,
    /// A frame was damaged or cut short, and no later frame can be decoded; the last pair holds the reason.
    Broken,
}

/// An iterator over the pairs of frames of two videos. `nth`, and with it `skip` and `step_by`, converts no skipped
/// frame to a picture.
///
/// ```
/// use lpips_bulk::video::{Options, VideoEnd, Videos};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("gray.y4m");
/// std::fs::write(&path, b"YUV4MPEG2 W1 H1 F25:1 Cmono\nFRAME\n\x00FRAME\n\xff")?;
/// let mut videos = Videos::open(&path, &path, Options::default())?;
/// assert_eq!(videos.by_ref().map(|pair| pair.index).collect::<Vec<_>>(), [0, 1]);
/// assert_eq!((videos.rate(), videos.ended()), (Some(25.0), Some(VideoEnd::Together)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Videos {
    reference: Frames,
    candidate: Frames,
    options: Options,
    /// Number of frames decoded of both.
    read: u64,
    /// Index of the next pair.
    index: u64,
    ended: Option<VideoEnd>,
    /// Warnings about the videos' frame numbers and rates.
    pub notes: Vec<String>,
}

impl Videos {
    /// Opens two videos, `-` being standard input, and reads the first frame of each.
    ///
    /// Frames of two folders are matched by their numbers, counted from each folder's first; a number that one folder
    /// lacks makes a pair with an error. Otherwise the n-th frame is compared with the n-th.
    ///
    /// # Errors
    /// A video that can't be read or has no frames; both standard input; `raw` without raw video; an empty range of
    /// frames.
    pub fn open(reference: &Path, candidate: &Path, options: Options) -> Result<Self> {
        Self::open_with(OsStr::new("ffmpeg"), reference, candidate, options)
    }

    fn open_with(ffmpeg: &OsStr, reference: &Path, candidate: &Path, options: Options) -> Result<Self> {
        options.check(reference, candidate)?;
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
                "{} has {one:.3} frames per second and {} {other:.3}: frames are compared by their numbers, not their times",
                reference.title().display(),
                candidate.title().display()
            ));
        }
        Ok(Self { reference, candidate, options, read: 0, index: 0, ended: None, notes })
    }

    /// The end of the comparison; `None` before it.
    pub fn ended(&self) -> Option<VideoEnd> {
        self.ended
    }

    /// A warning about videos of different lengths, once the shorter has ended.
    pub fn length_difference(&self) -> Option<String> {
        let (frames, shorter, longer) = match self.ended? {
            VideoEnd::ReferenceFirst(frames) => (frames, &self.reference, &self.candidate),
            VideoEnd::CandidateFirst(frames) => (frames, &self.candidate, &self.reference),
            _ => return None,
        };
        let (shorter, longer) = (shorter.title().display(), longer.title().display());
        Some(format!(
            "{shorter} ends after {frames} frames, and {longer} is longer: its later frames were not compared"
        ))
    }

    /// Frames per second: [`Options::rate`], or the rate stated in the reference, or in the candidate.
    pub fn rate(&self) -> Option<f64> {
        self.options.rate.or_else(|| self.reference.rate()).or_else(|| self.candidate.rate())
    }

    /// The number of the frame that the pair of this index compares.
    pub fn frame(&self, index: u64) -> u64 {
        self.options.frame(index)
    }

    /// Index of the next pair.
    pub(super) fn next_index(&self) -> u64 {
        self.index
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

    /// An upper limit of the pairs left, where a folder or [`Options::to`] gives one.
    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended.is_some() {
            return (0, Some(0));
        }
        let frames = [self.reference.len(), self.candidate.len(), self.options.to].into_iter().flatten().min();
        let left = |frames: u64| frames.saturating_sub(self.frame(self.index)).div_ceil(self.options.every);
        (0, frames.map(|frames| left(frames) as usize))
    }
}

#[cfg(test)]
mod tests;
