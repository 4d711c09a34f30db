//! Decoder of any other video through the program `ffmpeg`, where it is installed.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use lpips_core::Picture;

use super::ppm::Ppm;
use super::stream::{ColourDefaults, FrameStream};
use super::y4m::Y4m;
use crate::{Error, Result};

/// Frames that a running `ffmpeg` decodes; dropping the decoder stops the process.
pub(in crate::video) struct FfmpegDecoder {
    name: PathBuf,
    frames: Box<dyn FrameStream>,
    process: Process,
}

impl FfmpegDecoder {
    /// Starts decoding the first video stream of a file.
    ///
    /// The output format is y4m, with luma and chroma as stored, so that a file and its y4m give the same pictures. A
    /// video in RGB has no y4m form and is decoded as PPM, without conversion.
    ///
    /// # Errors
    /// `program` is missing, or can't decode the file.
    pub(in crate::video) fn open(program: &OsStr, file: &Path, colours: ColourDefaults) -> Result<Self> {
        let (process, output) = Process::start(program, file, &["-strict", "-1", "-f", "yuv4mpegpipe"])?;
        if let Ok(y4m) = Y4m::open(output, file, colours) {
            return Ok(Self { name: file.to_path_buf(), frames: Box::new(y4m), process });
        }
        drop(process);
        let (process, output) = Process::start(program, file, &["-f", "image2pipe", "-c:v", "ppm"])?;
        Ok(Self { name: file.to_path_buf(), frames: Box::new(Ppm::new(output)), process })
    }
}

impl FrameStream for FfmpegDecoder {
    fn advance(&mut self) -> Result<bool, String> {
        let read = self.frames.advance();
        if read == Ok(true) {
            return read;
        }
        if read.is_err() {
            // Its remaining output is of no use.
            self.process.kill();
        }
        let (succeeded, said) = self.process.end();
        match (read, said) {
            (_, Some(said)) if !succeeded => {
                let old = if said.contains("Option not found") { " (is it older than 5.1?)" } else { "" };
                Err(format!("can't be decoded: ffmpeg reports: {said}{old}"))
            }
            (Err(reason), _) => Err(reason),
            (Ok(_), None) if !succeeded => Err("can't be decoded: ffmpeg failed without a message".to_string()),
            (Ok(_), said) => {
                if let Some(said) = said {
                    tracing::warn!("{}: ffmpeg reports: {said}", self.name.display());
                }
                Ok(false)
            }
        }
    }

    fn picture(&self) -> Result<Picture, String> {
        self.frames.picture()
    }

    fn rate(&self) -> Option<f64> {
        self.frames.rate()
    }
}

/// A child process, killed when it is dropped.
struct Process {
    child: Child,
    /// Reads its standard error to the end, so that it never blocks on it; the result is the last line.
    said: Option<JoinHandle<Option<String>>>,
}

impl Process {
    fn start(program: &OsStr, file: &Path, format: &[&str]) -> Result<(Self, BufReader<ChildStdout>)> {
        // The prefix makes it a file name, even where it looks like a protocol or an option.
        let mut input = OsString::from("file:");
        input.push(file);
        let mut command = Command::new(program);
        command.args(["-v", "error", "-nostdin", "-i"]).arg(input);
        // Frames as stored: none repeated or dropped for a constant rate.
        command.args(["-map", "0:v:0", "-fps_mode", "passthrough"]).args(format).arg("-");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::file(
                file,
                "is neither y4m nor a folder of frames; other videos need `ffmpeg`, which is not installed: install it, or give y4m",
            ),
            _ => Error::file(file, format!("can't be decoded: ffmpeg does not start: {error}")),
        })?;
        let said = child.stderr.take().map(|said| std::thread::spawn(move || last_line(BufReader::new(said))));
        let output = child.stdout.take();
        let process = Self { child, said };
        let output = output.ok_or_else(|| Error::file(file, "can't be decoded: ffmpeg has no output"))?;
        Ok((process, BufReader::with_capacity(1 << 18, output)))
    }

    fn kill(&mut self) {
        // A process that has ended needs no kill.
        drop(self.child.kill());
    }

    /// Waits for its end: whether it succeeded, and the last line of its standard error.
    fn end(&mut self) -> (bool, Option<String>) {
        let succeeded = self.child.wait().is_ok_and(|status| status.success());
        (succeeded, self.said.take().and_then(|said| said.join().ok()).flatten())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        drop(self.child.wait());
    }
}

fn last_line(said: impl BufRead) -> Option<String> {
    let mut last = None;
    for line in said.split(b'\n').map_while(io::Result::ok) {
        let line = String::from_utf8_lossy(&line).trim().to_string();
        if !line.is_empty() {
            last = Some(line);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script in place of ffmpeg: for PPM output it runs `ppm`, otherwise `y4m`.
    #[cfg(unix)]
    fn fake(folder: &Path, y4m: &str, ppm: &str) -> PathBuf {
        let path = folder.join("ffmpeg");
        // Written by another process: a child started elsewhere in this one might still hold the file open for writing.
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> '{}'\ncase \"$*\" in *ppm*) {ppm};; *) {y4m};; esac\n",
            folder.join("log").display()
        );
        let write = "printf %s \"$0\" > \"$1\" && chmod +x \"$1\"";
        assert!(Command::new("sh").arg("-c").arg(write).arg(script).arg(&path).status().unwrap().success());
        path
    }

    #[cfg(unix)]
    fn decode(folder: &Path, y4m: &str, ppm: &str) -> FfmpegDecoder {
        let program = fake(folder, y4m, ppm);
        FfmpegDecoder::open(program.as_os_str(), Path::new("v.mp4"), ColourDefaults::default()).unwrap()
    }

    #[test]
    #[cfg(unix)]
    fn ffmpeg_output_is_y4m_or_ppm_for_rgb_video() {
        let folder = tempfile::tempdir().unwrap();
        let y4m = r"printf 'YUV4MPEG2 W1 H1 F50:2 Cmono\nFRAME\n\100FRAME\n\200'";
        let mut video = decode(folder.path(), y4m, "exit 1");
        assert_eq!((video.rate(), video.advance()), (Some(25.0), Ok(true)));
        assert_eq!(*video.picture().unwrap().to_rgb8(), [64; 3]);
        assert_eq!((video.advance(), video.advance()), (Ok(true), Ok(false)));
        let arguments = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(
            arguments.contains("-i file:v.mp4 ") && arguments.contains("passthrough") && arguments.lines().count() == 1,
            "{arguments}"
        );
        let mut video =
            decode(folder.path(), "echo 'can only handle yuv' >&2; exit 1", r"printf 'P6\n1 1\n255\n\1\2\3'");
        assert_eq!(video.advance(), Ok(true));
        assert_eq!(*video.picture().unwrap().to_rgb8(), [1, 2, 3]);
        assert_eq!(video.advance(), Ok(false));
    }

    #[test]
    #[cfg(unix)]
    fn ffmpeg_failure_gives_its_last_line_as_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let fails = "echo first >&2; echo 'Invalid data' >&2; echo >&2; exit 1";
        let mut video = decode(folder.path(), fails, fails);
        assert_eq!(video.advance().unwrap_err(), "can't be decoded: ffmpeg reports: Invalid data");
        let halfway = r"printf 'YUV4MPEG2 W2 H1 Cmono\nFRAME\n\100\100FRAME\n\200'; echo broken >&2; exit 1";
        let mut video = decode(folder.path(), halfway, "exit 1");
        assert_eq!(video.advance(), Ok(true));
        assert_eq!(video.advance().unwrap_err(), "can't be decoded: ffmpeg reports: broken");
        let mut silent = decode(folder.path(), "exit 1", "exit 1");
        assert!(silent.advance().unwrap_err().contains("without a message"));
        let mut cut = decode(folder.path(), r"printf 'YUV4MPEG2 W2 H1 Cmono\nFRAME\n\100'", "exit 1");
        assert!(cut.advance().unwrap_err().contains("is cut short"));
        let mut old = decode(folder.path(), "exit 1", "echo 'Error splitting: Option not found' >&2; exit 1");
        assert!(old.advance().unwrap_err().ends_with("(is it older than 5.1?)"));
    }

    #[test]
    #[cfg(unix)]
    fn ffmpeg_process_is_killed_on_drop_and_on_damaged_output() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let forever =
            r"printf 'YUV4MPEG2 W1 H1 Cmono\n'; echo $$ > '$PID'; while :; do printf 'FRAME\n\100' || exit; done";
        let mut video = decode(folder.path(), &forever.replace("$PID", &pid.display().to_string()), "exit 1");
        assert_eq!(video.advance(), Ok(true));
        let pid = std::fs::read_to_string(pid).unwrap();
        drop(video);
        let alive = Command::new("sh").args(["-c", "kill -0 \"$0\" 2>/dev/null"]).arg(pid.trim()).status().unwrap();
        assert!(!alive.success());
        let garbage = r"printf 'YUV4MPEG2 W1 H1 Cmono\n'; while :; do printf 'garbage\n' || exit; done";
        assert!(decode(folder.path(), garbage, "exit 1").advance().unwrap_err().contains("is damaged"));
    }

    #[test]
    fn ffmpeg_that_is_not_installed_gives_advice() {
        let program = OsStr::new("no-such-program-as-this");
        let error = FfmpegDecoder::open(program, Path::new("v.mp4"), ColourDefaults::default())
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("v.mp4: ") && error.contains("not installed: install it, or give y4m"), "{error}");
    }

    #[test]
    fn ffmpeg_installed_decodes_every_frame() {
        if !Command::new("ffmpeg").arg("-version").output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: there is no ffmpeg");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        // Names that look like a protocol and an option. Lossless, in luma and chroma and in RGB.
        for (name, format) in [("a:b.mkv", "yuv420p"), ("-c.mkv", "gbrp")] {
            let path = folder.path().join(name);
            let made = Command::new("ffmpeg")
                .args([
                    "-v",
                    "error",
                    "-f",
                    "lavfi",
                    "-i",
                    "testsrc2=s=64x48:r=10:d=1",
                    "-pix_fmt",
                    format,
                    "-c:v",
                    "ffv1",
                ])
                .arg(format!("file:{}", path.display()))
                .status();
            assert!(made.unwrap().success());
            let mut video = FfmpegDecoder::open(OsStr::new("ffmpeg"), &path, ColourDefaults::default()).unwrap();
            let mut frames = Vec::new();
            while video.advance().unwrap() {
                frames.push(video.picture().unwrap());
            }
            assert_eq!((frames.len(), frames[0].width(), frames[0].height()), (10, 64, 48));
            assert!(frames[0] != frames[9]);
        }
    }
}
