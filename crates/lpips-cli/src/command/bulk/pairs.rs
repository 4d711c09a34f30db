//! `lpips pairs`: compares the pictures of one folder with one another.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use lpips_bulk::results::matrix::{DistanceMatrix, MatrixFormat};
use lpips_bulk::results::nearest::{Groups, Nearest};
use lpips_bulk::results::schema::Row;
use lpips_bulk::run::Emit;
use lpips_bulk::source::all_pairs::{OneFolder, Which};
use serde_json::json;

use super::files::{Files, notes};
use super::options::{EXIT, METRICS, Options, PairPattern};
use super::run::Task;
use crate::output::{self, Result};

const EXAMPLES: &str = "Examples:
  lpips pairs samples                      (diversity: the mean of all pairs and its standard error)
  lpips pairs frames --consecutive
  lpips pairs samples --matrix distances.npy --quiet --out results.csv
  lpips pairs photos --nearest 3
  lpips pairs photos --below 0.05          (near-duplicates)";

/// Compare the pictures of one folder with one another: a generator's diversity, near-duplicates.
///
/// The mean and its standard error are those of the published `lpips_1dir_allpairs.py`, with files in the order of
/// their names. Features are cached as far as memory allows, so that each picture goes through a network once.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{METRICS}\n\n{}\n\n{EXIT}", crate::command::ENVIRONMENT)
)]
pub(crate) struct Pairs {
    /// The folder.
    folder: PathBuf,

    /// Compare each picture with the next one only.
    #[arg(long)]
    consecutive: bool,

    /// Write all distances by the first metric as a symmetric matrix: .csv with names, or .npy.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["consecutive", "shard", "resume"])]
    matrix: Option<PathBuf>,

    /// Print the K nearest others of each picture by the first metric, in place of rows.
    #[arg(long, value_name = "K", conflicts_with_all = ["consecutive", "shard", "out", "below", "format"],
        value_parser = clap::value_parser!(u16).range(1..))]
    nearest: Option<u16>,

    /// Print only rows below this distance by the first metric, and the groups that they make: near-duplicates.
    #[arg(long, value_name = "D", conflicts_with_all = ["consecutive", "shard", "out"], value_parser = super::super::positive)]
    below: Option<f32>,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    options: Options,
}

impl Pairs {
    pub(crate) fn run(&self) -> Result {
        self.options.check()?;
        if let Some(path) = &self.matrix {
            MatrixFormat::of(path)?;
            output::check_file("--matrix", path)?;
        }
        let mut walk = self.files.walk(&self.options);
        walk.written.extend(self.matrix.clone());
        let which = if self.consecutive { Which::Consecutive } else { Which::All };
        let folder = Arc::new(OneFolder::open(&self.folder, which, &walk)?);
        notes(&folder.notes);
        let count = folder.names().len();
        let mut matrix = self.matrix.as_ref().map(|path| DistanceMatrix::create(path, count)).transpose()?;
        let mut nearest = self.nearest.map(|k| Nearest::new(count, k.into()));
        let mut groups = self.below.map(|_| Groups::new(count));

        let mut each = |row: &Row| -> Result<Emit> {
            let Some(distance) = row.outcome.as_ref().ok().and_then(|measured| Some(measured.first()?.distance)) else {
                return Ok(if nearest.is_some() { Emit::Skip } else { Emit::Write });
            };
            if let Some(matrix) = &mut matrix {
                matrix.add(row.index, distance)?;
            }
            let Some((i, j)) = folder.places(row.index) else { return Ok(Emit::Write) };
            if let Some(nearest) = &mut nearest {
                nearest.add(i, j, distance);
                return Ok(Emit::Skip);
            }
            let Some(limit) = self.below else { return Ok(Emit::Write) };
            let is_below = distance < f64::from(limit);
            if let Some(groups) = groups.as_mut().filter(|_| is_below) {
                groups.join(i, j);
            }
            Ok(if is_below { Emit::Write } else { Emit::Skip })
        };
        let mut settings = self.files.settings();
        settings.insert("DIR".to_string(), json!(output::text(&self.folder)));
        settings.insert("--consecutive".to_string(), json!(self.consecutive));
        let task = Task {
            command: "pairs",
            settings,
            total: Some(folder.len()),
            triplets: false,
            pattern: if self.consecutive { PairPattern::Sparse } else { PairPattern::AllPairs },
            map_prefix: None,
            video: None,
            each: Some(&mut each),
        };
        let own = folder.clone();
        let pairs = (0..folder.len()).filter_map(move |index| own.get(index)).map(Ok);
        let ending = self.options.run(task, pairs)?;
        if let Some(matrix) = matrix {
            matrix.finish(folder.names())?;
        }
        let name = |at: usize| output::text(&self.folder.join(&folder.names()[at]));
        if let Some(nearest) = nearest {
            print_nearest(nearest, &name)?;
        }
        if let Some(groups) = groups {
            self.print_groups(groups.into_groups(), &name)?;
        }
        ending.result()
    }

    fn print_groups(&self, groups: Vec<Vec<usize>>, name: &dyn Fn(usize) -> String) -> Result {
        // Standard output is for rows alone.
        if self.options.is_for_programs() {
            return Ok(());
        }
        output::line("")?;
        if groups.is_empty() {
            return output::line("no two pictures are so near");
        }
        for group in groups {
            output::line(&group.into_iter().map(name).collect::<Vec<_>>().join("  "))?;
        }
        Ok(())
    }
}

fn print_nearest(nearest: Nearest, name: &dyn Fn(usize) -> String) -> Result {
    output::line("")?;
    for (picture, neighbours) in nearest.into_neighbours().enumerate() {
        output::line(&name(picture))?;
        for neighbour in neighbours {
            output::line(&format!("  {:.5}  {}", neighbour.distance, name(neighbour.picture)))?;
        }
    }
    Ok(())
}
