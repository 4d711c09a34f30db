//! Access to pairs of frames of two videos by their index.

use std::path::{Path, PathBuf};

use crate::source::pair::Pair;
use crate::video::options::Options;
use crate::video::videos::Videos;

/// Pairs of frames of two videos by index. Growing indices decode onwards; a smaller one reopens both videos.
pub struct FrameSeeker {
    reference: PathBuf,
    candidate: PathBuf,
    options: Options,
    videos: Option<Videos>,
    /// The reason that the videos can't be opened.
    failed: Option<String>,
}

impl FrameSeeker {
    /// Takes the videos' paths; nothing is opened before the first pair is requested.
    pub fn new(reference: &Path, candidate: &Path, options: Options) -> Self {
        Self {
            reference: reference.to_path_buf(),
            candidate: candidate.to_path_buf(),
            options,
            videos: None,
            failed: None,
        }
    }

    /// Decodes the pair with this [`Pair::index`].
    ///
    /// # Errors
    /// Standard input or another pipe, which can be read only once; a video that can't be opened any more, or ends
    /// earlier; in a sentence.
    pub fn pair(&mut self, index: u64) -> Result<Pair, String> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let videos = match self.videos.take().filter(|videos| videos.next_index() <= index) {
            Some(videos) => videos,
            None => self.open().inspect_err(|error| self.failed = Some(error.clone()))?,
        };
        let videos = self.videos.insert(videos);
        let skipped = usize::try_from(index - videos.next_index()).map_err(|error| error.to_string())?;
        videos.nth(skipped).ok_or_else(|| {
            let (reference, candidate) = (self.reference.display(), self.candidate.display());
            format!("{reference} and {candidate} have no frame {} any more", self.options.frame(index))
        })
    }

    fn open(&self) -> Result<Videos, String> {
        let is_pipe = |path: &Path| {
            path == Path::new("-") || std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
        };
        if let Some(pipe) = [&*self.reference, &*self.candidate].into_iter().find(|path| is_pipe(path)) {
            let name = if pipe == Path::new("-") { "standard input".into() } else { pipe.to_string_lossy() };
            return Err(format!("{name} can't be read a second time: name a file to see its frames"));
        }
        Videos::open(&self.reference, &self.candidate, self.options.clone()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::pair::Input;

    #[test]
    fn frame_seeker_decodes_frames_in_any_order_of_indices() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rgb");
        std::fs::write(&path, (0..30).collect::<Vec<u8>>()).unwrap();
        let raw = "1x1:rgb24".parse().ok();
        let mut seeker = FrameSeeker::new(&path, &path, Options { from: 1, every: 2, raw, ..Options::default() });
        let mut first = |index| {
            let Input::Frame(_, picture) = seeker.pair(index)?.candidate else { panic!() };
            picture.map(|picture| picture.to_rgb8()[0])
        };
        // The frames 1, 3, 5, 7 and 9.
        assert_eq!([first(1), first(3), first(3), first(0), first(4)], [Ok(9), Ok(21), Ok(21), Ok(3), Ok(27)]);
        assert!(first(5).unwrap_err().contains("no frame 11 any more"));
        assert_eq!(first(0), Ok(3));
    }

    #[test]
    fn frame_seeker_of_a_pipe_or_a_missing_file_gives_the_reason_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rgb");
        std::fs::write(&path, [0; 3]).unwrap();
        let error = FrameSeeker::new(Path::new("-"), &path, Options::default()).pair(0).unwrap_err();
        assert!(error.contains("standard input"), "{error}");
        let error = FrameSeeker::new(Path::new("/dev/null"), &path, Options::default()).pair(0).unwrap_err();
        assert!(error.starts_with("/dev/null can't be read a second time"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let raw = "1x1:rgb24".parse().ok();
        let mut gone = FrameSeeker::new(&path, &path, Options { raw, ..Options::default() });
        assert_eq!(gone.pair(0).unwrap_err(), gone.pair(1).unwrap_err());
    }
}
