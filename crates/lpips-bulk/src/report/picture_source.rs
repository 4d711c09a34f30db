//! Pictures of results, reopened and preprocessed as they were measured.

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use lpips_core::{Images, Lpips, Picture};
use serde_json::Value;

use crate::pipeline;
use crate::results::run_file::RunFile;
use crate::results::schema::Row;
use crate::source::pair::Input;
use crate::video::{self, FrameSeeker};
use crate::{Error, Result};

/// Reopens the pictures of rows: files, or frames of the videos that were compared.
pub struct PictureSource {
    /// Decoding and preprocessing of pictures.
    pub options: pipeline::Options,
    /// The videos whose frames the rows name, if any.
    pub video: Option<FrameSeeker>,
    /// The folder that relative paths start from; `None` is the current one.
    pub root: Option<PathBuf>,
}

impl PictureSource {
    /// The source of a file of results, as the run file beside it states; without one, the files that rows name.
    ///
    /// # Errors
    /// A run file that can't be read, or whose options are damaged.
    pub fn of_results(results: &Path, root: Option<PathBuf>) -> Result<Self> {
        if !RunFile::path(results).exists() {
            return Ok(Self { options: pipeline::Options::default(), video: None, root });
        }
        let run = RunFile::read(results)?;
        let work = Work { run: &run, path: RunFile::path(results) };
        let video = (run.command == "video").then(|| work.frames(root.as_deref())).transpose()?;
        Ok(Self { options: work.options()?, video, root })
    }

    /// Reference and candidate of a row, before they are cut into tiles.
    ///
    /// # Errors
    /// Pictures that can't be opened any more or don't fit together, in one sentence.
    pub fn pictures(&mut self, row: &Row) -> Result<[Picture; 2], String> {
        let rooted = |name: &PathBuf| self.root.as_ref().map_or_else(|| name.clone(), |root| root.join(name));
        let names = [&row.reference, &row.candidate].map(rooted);
        let mut inputs = names.clone().map(|name| Input::File(name.into()));
        if let Some(video) = &mut self.video
            && names.iter().any(|name| !name.is_file())
        {
            let pair = video.pair(row.index)?;
            for ((input, name), frame) in inputs.iter_mut().zip(&names).zip([pair.reference, pair.candidate]) {
                if name.is_file() {
                    continue;
                }
                if frame.name() != name {
                    return Err(format!("{}: is not in the video any more", name.display()));
                }
                *input = frame;
            }
        }
        let [reference, candidate] = inputs;
        self.options.pictures(&reference, &candidate)
    }
}

/// The heat map of two pictures by a metric, of shape (1, 1, H, W).
///
/// # Errors
/// Pictures that the metric can't compare.
pub fn heat_map(lpips: &Lpips, reference: &Picture, candidate: &Picture) -> lpips_core::Result<Tensor> {
    let (a, a_range) = reference.to_values(lpips.device())?;
    let (b, b_range) = candidate.to_values(lpips.device())?;
    lpips.compare(Images::new(&a, a_range), Images::new(&b, b_range))?.map()
}

/// The options of a run, as its run file holds them.
struct Work<'a> {
    run: &'a RunFile,
    path: PathBuf,
}

impl Work<'_> {
    fn damaged(&self, name: &str) -> Error {
        Error::file(&self.path, format!("has a {name} that can't be read"))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.run.work.get(name).filter(|value| !value.is_null())
    }

    fn number(&self, name: &str) -> Result<Option<u64>> {
        self.get(name).map(|value| value.as_u64().ok_or_else(|| self.damaged(name))).transpose()
    }

    fn text(&self, name: &str) -> Result<Option<&str>> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| self.damaged(name))).transpose()
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.text(name)?.map(|text| text.parse().map_err(|_| self.damaged(name))).transpose()
    }

    /// The decoding and preprocessing of the run.
    fn options(&self) -> Result<pipeline::Options> {
        let mut options = pipeline::Options::default();
        options.preprocess.resize = self.parsed("--resize")?;
        options.preprocess.crop = self.parsed("--crop")?;
        if let Some(colour) = self.text("--background")? {
            options.decoder.background = rgb(colour).ok_or_else(|| self.damaged("--background"))?;
        }
        Ok(options)
    }

    /// The videos that were compared.
    fn frames(&self, root: Option<&Path>) -> Result<FrameSeeker> {
        let named = |name: &str| -> Result<PathBuf> {
            let name = self.text(name)?.ok_or_else(|| self.damaged(name))?;
            // Standard input has no folder.
            Ok(root.filter(|_| name != "-").map_or_else(|| PathBuf::from(name), |root| root.join(name)))
        };
        let own = video::Options::default();
        let options = video::Options {
            from: self.number("--from")?.unwrap_or(own.from),
            to: self.number("--to")?,
            every: self.number("--every")?.unwrap_or(own.every),
            raw: self.parsed("--raw")?,
            matrix: self.parsed("--matrix")?,
            range: self.parsed("--range")?,
            ..own
        };
        Ok(FrameSeeker::new(&named("REFERENCE")?, &named("CANDIDATE")?, options))
    }
}

/// Parses a colour as run files have it: #rrggbb.
fn rgb(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let mut rgb = [0; 3];
    for (at, value) in rgb.iter_mut().enumerate() {
        *value = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(rgb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::format::Format;
    use crate::results::format::tests::{columns, run};

    fn source(work: Value) -> Result<PictureSource> {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("rows.jsonl");
        let run = run(&columns(1, false, false), Format::Jsonl);
        let Value::Object(work) = work else { panic!() };
        RunFile { command: "video".to_string(), work, ..run }.write(&results).unwrap();
        PictureSource::of_results(&results, None)
    }

    #[test]
    fn picture_source_takes_its_options_from_the_run_file() {
        let videos = serde_json::json!({
            "REFERENCE": "a.y4m", "CANDIDATE": "-", "--from": 1, "--to": null, "--every": 2, "--raw": "4x4:rgb24",
            "--background": "#ff8000", "--crop": "64x48",
        });
        let source = source(videos).unwrap();
        assert!(source.video.is_some());
        assert_eq!(source.options.decoder.background, [255, 128, 0]);
        assert!(source.options.preprocess.crop.is_some());
        let none = PictureSource::of_results(Path::new("no/such/results.csv"), None).unwrap();
        assert!(none.video.is_none());
    }

    #[test]
    fn picture_source_of_a_damaged_run_file_names_the_option() {
        for (key, value) in
            [("--from", serde_json::json!("x")), ("--background", "#ff".into()), ("--crop", "big".into())]
        {
            let mut work = serde_json::json!({"REFERENCE": "a", "CANDIDATE": "b"});
            work[key] = value;
            let error = source(work).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(&format!("has a {key} that can't be read")), "{error}");
        }
        assert_eq!((rgb("#0a0B0c"), rgb("white"), rgb("#äbc")), (Some([10, 11, 12]), None, None));
    }
}
