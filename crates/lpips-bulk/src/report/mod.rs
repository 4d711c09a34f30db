//! Report of results: one self-contained HTML page with summary, charts, a table of all rows, and a viewer of the worst
//! pairs and of a sample of the others.
//!
//! - `table`: the rows in memory, their ranking and the choice of rows that are shown
//! - `statistics`, `breakdown`: numbers of the charts
//! - [`pictures`], `thumbnails`: the pictures of shown pairs
//! - `data`, `name_coding`, `page`: the data of the page and its HTML, style and scripts
//! - [`picture_source`]: pictures reopened as the run file beside results states

mod breakdown;
mod data;
mod name_coding;
mod options;
mod page;
pub mod picture_source;
pub mod pictures;
mod statistics;
mod table;
mod thumbnails;

use std::path::Path;

use lpips_data::files;

use crate::Result;
use crate::results::schema::{Columns, Row};
use data::PageData;
use pictures::PagePictures;
use table::Table;

pub use options::Options;
pub use picture_source::PictureSource;
pub use pictures::{HeatMaps, Pictures};

/// Collects rows and writes them as a page.
///
/// Names and distances of all rows stay in memory until the page is written: about 200 bytes per row with names of
/// usual lengths. In all other work on results memory does not grow with the number of rows.
///
/// ```
/// use lpips_bulk::report::{Options, Report};
/// use lpips_bulk::results::schema::{Columns, MetricResult, Row};
///
/// let options = Options { title: "Renders".to_string(), ..Options::default() };
/// let mut report = Report::new(Columns::new(["alex"]), options);
/// let result = MetricResult { distance: 0.25, ..MetricResult::default() };
/// let outcome = Ok(vec![result]);
/// report.add(&Row { index: 0, reference: "a.png".into(), candidate: "b.png".into(), second: None, outcome });
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("report.html");
/// report.write(&path, None)?;
/// assert!(std::fs::read_to_string(&path)?.contains("<title>Renders</title>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Report {
    table: Table,
    options: Options,
}

impl Report {
    /// A report without rows.
    pub fn new(columns: Columns, options: Options) -> Self {
        Self { table: Table::new(columns), options }
    }

    /// Adds a row.
    pub fn add(&mut self, row: &Row) {
        self.table.add(row);
    }

    /// Number of pairs that the page will show with pictures.
    pub fn shown(&self) -> usize {
        let by = self.table.series_of(self.options.by);
        let measured = self.table.values(by).filter(|distance| distance.is_finite()).count();
        measured.min(self.options.worst + self.options.sample)
    }

    /// Writes the page, whole or not at all. Without `pictures` it has names and numbers only.
    ///
    /// All pictures together take at most 16 MB of the page, and each is at most 512 pixels a side. A pair whose
    /// pictures can't be loaded is shown with the reason in their place.
    ///
    /// # Errors
    /// A folder that can't be written to, or a full disk.
    pub fn write(&self, path: &Path, pictures: Option<&mut Pictures<'_>>) -> Result<()> {
        Ok(files::write(path, self.html(pictures)?.as_bytes())?)
    }

    fn html(&self, pictures: Option<&mut Pictures<'_>>) -> Result<String> {
        let (worst, sample) = self.table.shown(&self.options);
        let shown = [&worst[..], &sample[..]].concat();
        let pictures = pictures.map(|pictures| {
            let rows: Vec<Row> = shown.iter().map(|at| self.table.row(*at)).collect();
            PagePictures::load(&rows, pictures)
        });
        let listed = self.table.listed(&shown, &self.options);
        let data = PageData::new(&self.table, &self.options, &listed, (&worst, &sample), pictures.as_ref());
        page::page(&self.options.title, &data)
    }
}

#[cfg(test)]
mod tests;
