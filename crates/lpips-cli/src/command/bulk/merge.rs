//! The command `lpips merge`: joins the results of shards.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;
use lpips_bulk::results::format::Format;
use lpips_bulk::results::merge;
use lpips_bulk::results::run_file::RunFile;
use lpips_bulk::results::summary::Summary;
use lpips_bulk::results::writer::ResultsWriter;

use crate::command::bulk::summary;
use crate::command::stop_flag;
use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "\
Examples:
  lpips merge part-*.jsonl --out all.jsonl            (the results of one run)
  lpips merge all.jsonl --out all.csv                 (the same rows in another format)
  lpips merge --partial part-*.jsonl > so-far.jsonl   (the rows so far)";

const HOW: &str = "\
Each part needs its run file beside it (part-1.jsonl.run for part-1.jsonl), which holds the settings of the run. Parts are JSONL or CSV, \
in any order; memory does not grow with their number of rows. The output appears under its name when it is complete. CSV and Parquet hold no \
distances of tiles. The summary goes to standard output, or to standard error where the rows go to standard output. Failed rows are merged \
like others and do not change the exit code.";

/// Join the results of all shards into those of one run.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{HOW}\n\n{EXAMPLES}"))]
pub(crate) struct Merge {
    /// The files of all shards, or one file of all rows to convert.
    #[arg(required = true, value_name = "PART")]
    parts: Vec<PathBuf>,

    /// Write the rows to this file [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The output format: jsonl, csv, json or parquet [default: by the file's extension, otherwise jsonl].
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Merge the rows so far, where shards are missing or incomplete.
    #[arg(long)]
    partial: bool,

    /// Replace the file if it exists.
    #[arg(long, requires = "out")]
    overwrite: bool,
}

impl Merge {
    pub(crate) fn run(&self) -> Result {
        let merge = merge::Merge::open(&self.parts, self.partial)?;
        let format = self.format.or_else(|| Format::of_path(self.out.as_deref()?)).unwrap_or(Format::Jsonl);
        let run = RunFile { format, ..merge.run().clone() };
        let mut output = match &self.out {
            Some(out) => {
                self.check_output(out)?;
                ResultsWriter::whole(out, run.clone(), self.overwrite)?
            }
            None => ResultsWriter::stream(Box::new(io::stdout()), format, &run.columns)?,
        };
        // An unfinished output leaves no file.
        let stop = stop_flag("stopping (once more: at once)")?;
        let bar = output::bar("merging");
        bar.set_length(run.total.unwrap_or_default());
        let mut summary = Summary::new(&run.columns);
        for row in merge {
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Stopped);
            }
            let row = row?;
            output.add(&row)?;
            summary.add(&row);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let (rows, failures) = summary.counts();
        if run.complete.is_some() {
            output.finish(failures, rows)?;
        } else {
            output.finish_incomplete()?;
            let of = run.total.map(|total| format!(" of {total}")).unwrap_or_default();
            output::note(&format!("merged {rows}{of} rows"));
        }
        summary::print(&summary.totals(), self.out.is_none(), false)
    }

    fn check_output(&self, out: &Path) -> Result {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        if self.parts.iter().any(|part| real(part).is_some() && real(part) == real(out)) {
            return Err(Failure::usage(format!("--out {} is one of the parts: name another file", out.display())));
        }
        Ok(())
    }
}
