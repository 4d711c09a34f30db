//! Output of results: a table, JSON, CSV, an HTML page, charts.

use std::path::PathBuf;

use clap::Args;
use lpips_data::files;
use lpips_eval::charts::charts;
use lpips_eval::page::{self, PageContext};
use lpips_eval::results::Results;
use lpips_eval::score::best_threshold;
use lpips_eval::table::{self, HUMAN, ScoreRow};
use serde::Serialize;

use crate::output::{self, Failure, Result};

#[derive(Debug, Args)]
pub(super) struct Report {
    /// Print one JSON object a line for each dataset and metric.
    #[arg(long, conflicts_with = "csv")]
    pub(super) json: bool,

    /// Print CSV.
    #[arg(long)]
    pub(super) csv: bool,

    /// Write a page with the scores, charts and the pictures on which metrics and people disagree most.
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,

    /// Write the charts as SVG files to this folder, and their curves as CSV.
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
}

impl Report {
    /// Checks the output paths before hours of work.
    pub(super) fn check(&self) -> Result {
        if let Some(html) = &self.html {
            output::check_file("--html", html)?;
        }
        match &self.plots {
            Some(folder) if folder.exists() && !folder.is_dir() => {
                Err(Failure::usage(format!("--plots {}: expected a folder, and it is a file", folder.display())))
            }
            _ => Ok(()),
        }
    }

    /// Prints scores in the chosen format, and writes the page and the charts.
    pub(super) fn write(&self, results: &Results, rows: &[ScoreRow], context: PageContext<'_>) -> Result {
        match (self.json, self.csv) {
            (true, _) => output::json(rows)?,
            (_, true) => csv(rows)?,
            _ => print(results, rows)?,
        }
        self.files(results, rows, context)
    }

    /// Writes the page and the charts.
    pub(super) fn files(&self, results: &Results, rows: &[ScoreRow], context: PageContext<'_>) -> Result {
        if self.html.is_none() && self.plots.is_none() {
            return Ok(());
        }
        let charts = charts(results, rows)?;
        if let Some(folder) = &self.plots {
            std::fs::create_dir_all(folder).map_err(|error| {
                Failure::Work(Some(format!("the folder {} can't be made: {error}", folder.display())))
            })?;
            for chart in &charts {
                files::write(&folder.join(format!("{}.svg", chart.name)), chart.svg.as_bytes())?;
            }
            let curves = table::curves_csv(results)?;
            files::write(&folder.join("curves.csv"), curves.as_bytes())?;
        }
        if let Some(html) = &self.html {
            files::write(html, page::page(results, rows, &charts, context)?.as_bytes())?;
        }
        Ok(())
    }
}

pub(super) fn csv(rows: &[impl Serialize]) -> Result {
    let failed = |error: &dyn std::fmt::Display| Failure::Work(Some(format!("the table can't be written: {error}")));
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(|error| failed(&error))?;
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8_lossy(&bytes).lines().try_for_each(output::line)
}

/// Prints a table with a row for each dataset and a column for each metric.
fn print(results: &Results, rows: &[ScoreRow]) -> Result {
    let mut metrics = results.header.metrics.clone();
    if rows.iter().any(|row| row.metric == HUMAN) {
        metrics.push(HUMAN.to_string());
    }
    let mut lines = vec![[vec!["dataset".to_string(), "n".to_string()], metrics.clone(), vec![String::new()]].concat()];
    for rows in rows.chunk_by(|a, b| a.dataset == b.dataset) {
        let cell = |metric: &String| {
            let row = rows.iter().find(|row| row.metric == *metric);
            row.map_or_else(|| "-".to_string(), |row| format!("{:.4} ({:.3}-{:.3})", row.score, row.low, row.high))
        };
        let front = vec![rows[0].dataset.clone(), rows[0].n.to_string()];
        lines.push([front, metrics.iter().map(cell).collect(), vec![String::new()]].concat());
    }
    table_lines(lines)?;
    if results.header.kind == lpips_data::Task::Jnd {
        for (metric, name) in results.header.metrics.iter().enumerate() {
            if let Some(best) = best_threshold(&table::curve(results, metric)) {
                let which = if best.threshold.is_finite() {
                    format!("pairs up to {:.4} are", best.threshold)
                } else {
                    "no pair is".to_string()
                };
                let agreed = 100.0 * best.accuracy;
                output::line(&format!("{name}: {which} best called the same, in agreement on {agreed:.1} % of pairs"))?;
            }
        }
    }
    Ok(())
}

/// Prints a table whose first column is aligned to the left.
pub(super) fn table_lines(mut lines: Vec<Vec<String>>) -> Result {
    let width = lines.iter().map(|line| line[0].chars().count()).max().unwrap_or(0);
    for line in &mut lines {
        line[0] = format!("{:<width$}", line[0]);
    }
    output::table(&lines).iter().try_for_each(|line| output::line(line.trim_end()))
}
