//! Distances of a report by folder and over time.

use std::collections::BTreeMap;
use std::path::Path;

use lpips_eval::statistics::mean;
use serde::Serialize;

use crate::report::table::Table;

/// Maximum number of points of a line.
const POINTS: u64 = 1000;
/// Maximum number of folders listed.
const FOLDERS: usize = 200;

/// The rows of one folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Folder {
    pub(super) name: String,
    pub(super) count: usize,
    pub(super) failed: usize,
    /// By series.
    pub(super) means: Vec<Option<f64>>,
}

/// The number of folders of the references, and those with the largest means in the series `by`; none if there is only
/// one folder.
pub(super) fn folders(table: &Table, by: usize) -> (usize, Vec<Folder>) {
    let mut rows: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    for (at, row) in table.rows.iter().enumerate() {
        rows.entry(row.reference.parent().unwrap_or(Path::new(""))).or_default().push(at);
    }
    if rows.len() < 2 {
        return (rows.len(), Vec::new());
    }
    let series = table.series().len();
    let folder = |(path, rows): (&&Path, &Vec<usize>)| {
        let values = |series: usize| rows.iter().map(move |at| table.distance(*at, series)).filter(|d| d.is_finite());
        let mean = |series: usize| values(series).next().map(|_| mean(values(series)));
        Folder {
            name: path.to_string_lossy().into_owned(),
            count: rows.len(),
            failed: rows.iter().filter(|at| table.errors.contains_key(at)).count(),
            means: (0..series).map(mean).collect(),
        }
    };
    let mut folders: Vec<Folder> = rows.iter().map(folder).collect();
    let key = |folder: &Folder| folder.means.get(by).copied().flatten().unwrap_or(f64::NEG_INFINITY);
    folders.sort_by(|a, b| key(b).total_cmp(&key(a)));
    folders.truncate(FOLDERS);
    (rows.len(), folders)
}

/// A line over row numbers: for each of equal steps from `first` on the smallest distance, the mean and the largest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Timeline {
    pub(super) first: u64,
    /// Row numbers of one step.
    pub(super) step: u64,
    pub(super) points: Vec<Option<[f64; 3]>>,
}

impl Timeline {
    /// Of one series; `None` without rows.
    pub(super) fn of(table: &Table, series: usize) -> Option<Self> {
        let indices = || table.rows.iter().map(|row| row.index);
        let (first, last) = indices().min().zip(indices().max())?;
        let step = (last - first) / POINTS + 1;
        let mut values = vec![Vec::new(); ((last - first) / step + 1) as usize];
        for (index, distance) in indices().zip(table.values(series)).filter(|(_, d)| d.is_finite()) {
            values[((index - first) / step) as usize].push(distance);
        }
        let point = |values: &Vec<f64>| {
            let low = values.iter().copied().reduce(f64::min)?;
            let high = values.iter().copied().reduce(f64::max)?;
            Some([low, mean(values.iter().copied()), high])
        };
        Some(Self { first, step, points: values.iter().map(point).collect() })
    }
}
