//! What the page's script reads, compactly: columns in place of rows, and of each name only what the name before does not have.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::Serializer;

use super::Report;
use super::numbers::{Folder, SeriesSummary, Timeline, folders};
use super::pictures::{Seen, Shown};

/// Code of the character that says that nothing is shared with the name before.
const NOTHING: u8 = b']';
/// From [`NOTHING`] on so many characters are written as they are in JSON.
const MOST_SHARED: usize = (b'~' - NOTHING) as usize;

#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    about: &'a str,
    /// Of all rows, listed or not.
    count: usize,
    failed: usize,
    /// Which series says what is worst.
    by: usize,
    series: Vec<SeriesSummary>,
    folder_count: usize,
    folders: Vec<Folder>,
    /// By series, if rows follow each other in time.
    timeline: Option<Vec<Option<Timeline>>>,
    rows: Rows<'a>,
    shown: Vec<ShownAt<'a>>,
    /// Whether there are pictures at all.
    pictures: bool,
    heat: Option<&'a super::pictures::Heat>,
}

/// The rows of the table.
#[derive(Debug, Serialize)]
struct Rows<'a> {
    /// Their numbers, if these are not 0, 1, 2 and so on.
    index: Option<Vec<u64>>,
    /// The folder that all references are in, and the rest of their names.
    reference: Column,
    candidate: Column,
    second: Option<Column>,
    distances: Vec<Vec<Short>>,
    errors: BTreeMap<usize, &'a str>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Column {
    folder: String,
    names: Vec<Coded>,
}

/// A name, as what it shares with the name before in the same column.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Coded {
    /// The same as the reference's: 0.
    AsReference(u8),
    /// The code of the first character less [`NOTHING`] is the number of UTF-16 units shared; the rest follows.
    Name(String),
}

/// A number with seven digits, which is more than is shown.
#[derive(Debug, Clone, Copy)]
struct Short(f64);

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let short: f64 = format!("{:.6e}", self.0).parse().unwrap_or(self.0);
        if short == 0.0 { to.serialize_u8(0) } else { short.serialize(to) }
    }
}

/// A pair to look at.
#[derive(Debug, Serialize)]
struct ShownAt<'a> {
    /// Its place among the rows of the table.
    row: usize,
    worst: bool,
    #[serde(flatten)]
    shown: Option<&'a Shown>,
}

/// All of it: the rows `listed`, with the pictures of the worst and of a sample, if there are any.
pub(super) fn of<'a>(
    report: &'a Report,
    listed: &[usize],
    (worst, sample): (&[usize], &[usize]),
    seen: Option<&'a Seen>,
) -> Data<'a> {
    let series = report.series();
    let place = |at: &usize| listed.binary_search(at).unwrap_or_default();
    let shown = worst.iter().map(|at| (at, true)).chain(sample.iter().map(|at| (at, false)));
    let (folder_count, folders) = folders(report);
    let timeline = || (0..series.len()).map(|series| Timeline::of(report, series)).collect();
    Data {
        about: &report.options.about,
        count: report.rows.len(),
        failed: report.errors.len(),
        by: report.by(),
        folder_count,
        folders,
        timeline: report.options.timeline.then(timeline),
        rows: rows(report, listed, series.len()),
        shown: shown
            .enumerate()
            .map(|(i, (at, worst))| ShownAt { row: place(at), worst, shown: seen.map(|seen| &seen.shown[i]) })
            .collect(),
        pictures: seen.is_some(),
        heat: seen.and_then(|seen| seen.heat.as_ref()),
        series: series
            .into_iter()
            .zip(0..)
            .map(|(name, at)| SeriesSummary::of(name, report.series_values(at)))
            .collect(),
    }
}

fn rows<'a>(report: &'a Report, listed: &[usize], series: usize) -> Rows<'a> {
    let of = |at: &usize| &report.rows[*at];
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let indices: Vec<u64> = listed.iter().map(|at| of(at).index).collect();
    let references = Names::of(listed.iter().map(|at| text(&of(at).reference)).collect());
    let candidates = Names::of(listed.iter().map(|at| text(&of(at).candidate)).collect());
    let seconds = report
        .columns
        .triplets
        .then(|| Names::of(listed.iter().map(|at| of(at).second.as_deref().map(text).unwrap_or_default()).collect()));
    let distances =
        |series_at: usize| listed.iter().map(|at| Short(report.distances[at * series + series_at])).collect::<Vec<_>>();
    let errors = listed.iter().enumerate().filter_map(|(row, at)| Some((row, report.errors.get(at)?.as_str())));
    Rows {
        index: (!indices.iter().copied().eq(0..indices.len() as u64)).then_some(indices),
        candidate: candidates.coded(Some(&references)),
        second: seconds.map(|seconds| seconds.coded(Some(&references))),
        reference: references.coded(None),
        distances: (0..series).map(distances).collect(),
        errors: errors.collect(),
    }
}

/// A column of names, whole.
struct Names {
    names: Vec<String>,
    /// How many bytes the folder takes that all are in.
    folder: usize,
}

impl Names {
    fn of(names: Vec<String>) -> Self {
        let mut common = names.first().map_or("", String::as_str);
        for name in &names {
            common = &common[..alike(common, name).map(char::len_utf8).sum()];
        }
        let folder = common.rfind(['/', std::path::MAIN_SEPARATOR]).map_or(0, |at| at + 1);
        Self { names, folder }
    }

    fn rest(&self, at: usize) -> &str {
        &self.names[at][self.folder..]
    }

    fn coded(&self, references: Option<&Self>) -> Column {
        let mut before = "";
        let code = |at: usize| {
            let name = self.rest(at);
            let shared = shared(before, name);
            before = name;
            if references.is_some_and(|references| references.rest(at) == name) {
                return Coded::AsReference(0);
            }
            let units = shared.encode_utf16().count() as u8;
            Coded::Name(format!("{}{}", char::from(NOTHING + units), &name[shared.len()..]))
        };
        let names = (0..self.names.len()).map(code).collect();
        Column { folder: self.names.first().map_or("", |name| &name[..self.folder]).to_string(), names }
    }
}

/// The characters that two texts begin with alike.
fn alike(a: &str, b: &str) -> impl Iterator<Item = char> {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a)
}

/// What a name has of the one before, as far as that can be told.
fn shared<'a>(before: &str, name: &'a str) -> &'a str {
    let mut units = 0;
    let counted = alike(before, name).take_while(|c| {
        units += c.len_utf16();
        units <= MOST_SHARED
    });
    &name[..counted.map(char::len_utf8).sum()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the page's script does it.
    fn decoded(column: &Column, references: &[String]) -> Vec<String> {
        let mut before: Vec<u16> = Vec::new();
        let name = |(at, coded): (usize, &Coded)| {
            match coded {
                Coded::AsReference(_) => before = references[at].encode_utf16().collect(),
                Coded::Name(text) => {
                    let units: Vec<u16> = text.encode_utf16().collect();
                    before.truncate(usize::from(units[0] - u16::from(NOTHING)));
                    before.extend(&units[1..]);
                }
            }
            String::from_utf16(&before).unwrap()
        };
        column.names.iter().enumerate().map(name).collect()
    }

    #[test]
    fn names_come_back_as_they_were() {
        let long = "x".repeat(100);
        let names = ["out/a/001.png", "out/a/002.png", "out/a/é😀.png", "out/a/é😁.png", "out/", "out/\n\"</script>"];
        let names: Vec<String> =
            names.map(String::from).into_iter().chain([format!("out/{long}1"), format!("out/{long}2")]).collect();
        let column = Names::of(names.clone()).coded(None);
        assert_eq!(column.folder, "out/");
        let back = decoded(&column, &[]);
        assert_eq!(back.iter().map(|name| format!("out/{name}")).collect::<Vec<_>>(), names);
        assert_eq!(column.names[1], Coded::Name("a2.png".into()), "a/00 is shared");
    }

    #[test]
    fn a_candidate_of_the_reference_s_name_takes_one_digit() {
        let names = |names: &[&str]| Names::of(names.iter().map(ToString::to_string).collect());
        let references = names(&["gt/a.png", "gt/b.png", "gt/c.png"]);
        let column = names(&["/tmp/out/a.png", "/tmp/out/b.png", "/tmp/out/d.png"]).coded(Some(&references));
        assert_eq!(column.names[..2], [Coded::AsReference(0), Coded::AsReference(0)]);
        let own = ["a.png", "b.png", "c.png"].map(String::from);
        assert_eq!(decoded(&column, &own), ["a.png", "b.png", "d.png"]);
        assert_eq!(column.folder, "/tmp/out/");
    }

    #[test]
    fn numbers_have_no_digits_that_nobody_sees() {
        let numbers = [0.123_456_789_012, 1e-12, -0.0, 0.1, f64::NAN, -31.25].map(Short);
        assert_eq!(serde_json::to_string(&numbers).unwrap(), "[0.1234568,1e-12,0,0.1,null,-31.25]");
    }
}
