//! The JSON data of a report page: columns instead of rows, with names coded and numbers shortened.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::ser::Serializer;

use crate::report::breakdown::{Folder, Timeline, folders};
use crate::report::name_coding::{Column, Names};
use crate::report::options::Options;
use crate::report::pictures::{HeatScale, PagePictures, PairPictures};
use crate::report::statistics::SeriesSummary;
use crate::report::table::Table;

/// All data of a page.
#[derive(Debug, Serialize)]
pub(super) struct PageData<'a> {
    about: &'a str,
    /// Number of rows, listed or not.
    count: usize,
    failed: usize,
    /// The series that ranks pairs.
    by: usize,
    series: Vec<SeriesSummary>,
    folder_count: usize,
    folders: Vec<Folder>,
    /// By series, if rows follow each other in time.
    timeline: Option<Vec<Option<Timeline>>>,
    rows: ListedRows<'a>,
    shown: Vec<ShownPair<'a>>,
    /// Whether the page has pictures.
    pictures: bool,
    heat: Option<&'a HeatScale>,
}

/// The rows of the page's table.
#[derive(Debug, Serialize)]
struct ListedRows<'a> {
    /// Row numbers, unless they are 0, 1, 2 and so on.
    index: Option<Vec<u64>>,
    reference: Column,
    candidate: Column,
    second: Option<Column>,
    distances: Vec<Vec<SevenDigits>>,
    errors: BTreeMap<usize, &'a str>,
}

/// A number rounded to seven significant digits, more than the page shows.
#[derive(Debug, Clone, Copy)]
struct SevenDigits(f64);

impl Serialize for SevenDigits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let short: f64 = format!("{:.6e}", self.0).parse().unwrap_or(self.0);
        if short == 0.0 { to.serialize_u8(0) } else { short.serialize(to) }
    }
}

/// A pair shown with its pictures.
#[derive(Debug, Serialize)]
struct ShownPair<'a> {
    /// Place among the rows of the table.
    row: usize,
    worst: bool,
    #[serde(flatten)]
    pictures: Option<&'a PairPictures>,
}

impl<'a> PageData<'a> {
    /// The data of a page that lists the rows `listed` and shows the worst pairs and a sample of the others.
    pub(super) fn new(
        table: &'a Table,
        options: &'a Options,
        listed: &[usize],
        (worst, sample): (&[usize], &[usize]),
        pictures: Option<&'a PagePictures>,
    ) -> Self {
        let by = table.series_of(options.by);
        let series = table.series();
        let place = |at: &usize| listed.binary_search(at).unwrap_or_default();
        let shown = worst.iter().map(|at| (at, true)).chain(sample.iter().map(|at| (at, false)));
        let (folder_count, folders) = folders(table, by);
        let timeline = || (0..series.len()).map(|series| Timeline::of(table, series)).collect();
        Self {
            about: &options.about,
            count: table.rows.len(),
            failed: table.errors.len(),
            by,
            folder_count,
            folders,
            timeline: options.timeline.then(timeline),
            rows: listed_rows(table, listed, series.len()),
            shown: shown
                .enumerate()
                .map(|(i, (at, worst))| ShownPair {
                    row: place(at),
                    worst,
                    pictures: pictures.map(|pictures| &pictures.pairs[i]),
                })
                .collect(),
            pictures: pictures.is_some(),
            heat: pictures.and_then(|pictures| pictures.heat.as_ref()),
            series: series.into_iter().zip(0..).map(|(name, at)| SeriesSummary::of(name, table.values(at))).collect(),
        }
    }
}

fn listed_rows<'a>(table: &'a Table, listed: &[usize], series: usize) -> ListedRows<'a> {
    let of = |at: &usize| &table.rows[*at];
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let indices: Vec<u64> = listed.iter().map(|at| of(at).index).collect();
    let references = Names::of(listed.iter().map(|at| text(&of(at).reference)).collect());
    let candidates = Names::of(listed.iter().map(|at| text(&of(at).candidate)).collect());
    let seconds =
        || Names::of(listed.iter().map(|at| of(at).second.as_deref().map(text).unwrap_or_default()).collect());
    let distances = |series| listed.iter().map(|at| SevenDigits(table.distance(*at, series))).collect::<Vec<_>>();
    let errors = listed.iter().enumerate().filter_map(|(row, at)| Some((row, table.errors.get(at)?.as_str())));
    ListedRows {
        index: (!indices.iter().copied().eq(0..indices.len() as u64)).then_some(indices),
        candidate: candidates.coded(Some(&references)),
        second: table.has_triplets().then(|| seconds().coded(Some(&references))),
        reference: references.coded(None),
        distances: (0..series).map(distances).collect(),
        errors: errors.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_in_page_data_has_seven_significant_digits() {
        let numbers = [0.123_456_789_012, 1e-12, -0.0, 0.1, f64::NAN, -31.25].map(SevenDigits);
        assert_eq!(serde_json::to_string(&numbers).unwrap(), "[0.1234568,1e-12,0,0.1,null,-31.25]");
    }
}
