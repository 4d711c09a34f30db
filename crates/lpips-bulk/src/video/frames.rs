//! The frames of one video, in order.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lpips_core::Picture;

use crate::source::pair::Input;
use crate::video::align::FrameSlots;
use crate::video::decode::{self, ColourDefaults, FrameStream, NumberedFrames};
use crate::video::options::Options;
use crate::{Error, Result};

/// The frames of a folder or a stream, one of which is the present one.
pub(super) struct Frames {
    name: PathBuf,
    pub(super) source: Source,
    /// Whether the first frame of a stream has been read already.
    is_ahead: bool,
    /// The reason that the present frame and all later ones can't be decoded.
    pub(super) broken: Option<String>,
}

pub(super) enum Source {
    Folder(FrameSlots),
    Stream(Box<dyn FrameStream>),
}

impl Frames {
    /// Opens a video, `-` being standard input, and reads the first frame of a stream: a file that is no video fails
    /// here, not in its first row.
    pub(super) fn open(ffmpeg: &OsStr, path: &Path, options: &Options, notes: &mut Vec<String>) -> Result<Self> {
        let is_folder = || std::fs::metadata(path).map(|found| found.is_dir());
        if path != Path::new("-") && is_folder().map_err(|error| Error::io(path, "read", &error))? {
            let (numbered, more) = NumberedFrames::open(path, &options.walk)?;
            notes.extend(more);
            let source = Source::Folder(FrameSlots::new(numbered.files));
            return Ok(Self { name: path.to_path_buf(), source, is_ahead: false, broken: None });
        }
        let colours = ColourDefaults { matrix: options.matrix, range: options.range };
        let mut stream = decode::open(ffmpeg, path, options.raw, colours)?;
        let title = decode::title(path);
        if !stream.advance().map_err(|reason| Error::file(title, format!("frame 0 {reason}")))? {
            return Err(Error::file(title, "holds no frames"));
        }
        Ok(Self { name: path.to_path_buf(), source: Source::Stream(stream), is_ahead: true, broken: None })
    }

    /// The video's name in messages.
    pub(super) fn title(&self) -> &Path {
        decode::title(&self.name)
    }

    /// Advances to the next frame, which may be broken; false after the last.
    pub(super) fn advance(&mut self) -> bool {
        match &mut self.source {
            Source::Folder(folder) => folder.advance(),
            Source::Stream(_) if self.is_ahead => {
                self.is_ahead = false;
                true
            }
            Source::Stream(stream) => stream.advance().unwrap_or_else(|reason| {
                self.broken = Some(reason);
                true
            }),
        }
    }

    /// The present frame, whose number is `at`.
    pub(super) fn input(&self, at: u64) -> Input {
        let frame = |number: u64, picture: Result<Picture, String>| {
            let mut name = self.name.clone().into_os_string();
            name.push(format!("#{number}"));
            Input::Frame(Arc::from(PathBuf::from(name)), picture.map(Arc::new))
        };
        match &self.source {
            Source::Folder(folder) => match folder.present() {
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

    /// Frames per second, where the video states them.
    pub(super) fn rate(&self) -> Option<f64> {
        if let Source::Stream(stream) = &self.source { stream.rate() } else { None }
    }

    /// Number of frames, where it is known.
    pub(super) fn len(&self) -> Option<u64> {
        if let Source::Folder(folder) = &self.source { Some(folder.len() as u64) } else { None }
    }
}
