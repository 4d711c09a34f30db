//! The report page of an evaluation: one HTML file with scores, charts and disagreements, without scripts or network
//! access.

use lpips_core::Picture;
use lpips_data::Task;
use lpips_data::float_image::FloatImage;

use super::calibration::{share, slope};
use super::charts::Chart;
use super::compare::ScoreDifference;
use super::html::{data_url, escape, fill};
use super::results::{Record, Results};
use super::score::best_threshold;
use super::statistics::Bootstrap;
use super::table::{ALL, HUMAN, ScoreRow, curve};
use crate::Result;

const PAGE: &str = include_str!("page.html");
/// The number of disagreements shown for each metric.
const SHOWN: usize = 8;

/// Content of a report page besides results, scores and charts.
#[derive(Debug, Clone, Copy, Default)]
pub struct PageContext<'a> {
    /// The bootstrap behind the intervals.
    pub bootstrap: Bootstrap,
    /// Differences of metrics, if they were tested.
    pub differences: &'a [ScoreDifference],
    /// The significance level of differences.
    pub alpha: f64,
    /// A note on how the scores were obtained.
    pub note: &'a str,
}

/// Renders the page: the settings, scores, charts, and the samples on which metrics and people disagree most, with
/// their pictures. A picture that can't be read any more is shown by its name.
///
/// # Errors
/// A picture that can't be encoded.
pub fn page(results: &Results, rows: &[ScoreRow], charts: &[Chart], context: PageContext<'_>) -> Result<String> {
    let title = match results.header.kind {
        Task::TwoAfc => "How metrics agree with people: 2AFC",
        Task::Jnd => "How metrics agree with people: just noticeable differences",
    };
    let mut body = vec![about(results, rows, context), scores(results, rows)];
    if results.header.kind == Task::Jnd {
        body.push(thresholds(results));
    }
    if !context.differences.is_empty() {
        body.push(compared(context.differences, context.alpha));
    }
    let figure =
        |chart: &Chart| format!("<figure>{}<figcaption>{}</figcaption></figure>", chart.svg, escape(&chart.caption));
    body.push(format!("<h2>Charts</h2>{}", charts.iter().map(figure).collect::<String>()));
    body.push(disagreements(results)?);
    let (title, body) = (escape(title), body.join("\n"));
    Ok(fill(PAGE, &|name| match name {
        "title" => title.clone(),
        "body" => body.clone(),
        _ => String::new(),
    }))
}

fn about(results: &Results, rows: &[ScoreRow], context: PageContext<'_>) -> String {
    let header = &results.header;
    let what = match header.kind {
        Task::TwoAfc => {
            "The 2AFC score is the mean fraction of people who chose the picture that the metric finds more similar to the reference; \
             equal distances score one half."
        }
        Task::Jnd => {
            "The score is the mAP: the area under the precision-recall curve of the pairs that the metric calls the same."
        }
    };
    let of = |name: &str, text: &str| {
        let is_there = rows.iter().any(|row| row.dataset == name || row.metric == name);
        if is_there { format!(" The scores of <em>{name}</em> are {text}.") } else { String::new() }
    };
    format!(
        "<p>{what}</p><p class=\"quiet\">{} {}{} of {} pixels a side, with {} % bootstrap intervals of {} resamples.{}{} {}</p>",
        header.items,
        header.kind.noun(),
        if header.items == 1 { "" } else { "s" },
        header.size,
        100.0 * context.bootstrap.level,
        context.bootstrap.resamples,
        of(ALL, "the means over datasets"),
        of(HUMAN, "how often one person's vote agrees with another's"),
        escape(context.note),
    )
}

fn table(head: &[String], rows: impl Iterator<Item = (bool, Vec<String>)>) -> String {
    let cells =
        |tag: &str, cells: &[String]| -> String { cells.iter().map(|c| format!("<{tag}>{c}</{tag}>")).collect() };
    let row = |(all, row): (bool, Vec<String>)| {
        format!("<tr{}>{}</tr>", if all { " class=\"all\"" } else { "" }, cells("td", &row))
    };
    format!(
        "<div class=\"scroll\"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
        cells("th", head),
        rows.map(row).collect::<String>()
    )
}

fn scores(results: &Results, rows: &[ScoreRow]) -> String {
    let has_human = rows.iter().any(|row| row.metric == HUMAN);
    let metrics: Vec<String> =
        results.header.metrics.iter().cloned().chain(has_human.then(|| HUMAN.to_string())).collect();
    let head = ["dataset".to_string(), "n".to_string()].into_iter().chain(metrics.iter().map(|m| escape(m)));
    let lines = rows.chunk_by(|a, b| a.dataset == b.dataset).map(|rows| {
        let own = || rows.iter().filter(|row| row.metric != HUMAN);
        let best = own().map(|row| row.score).fold(f64::NEG_INFINITY, f64::max);
        let cell = |metric: &String| {
            let Some(row) = rows.iter().find(|row| row.metric == *metric) else { return String::new() };
            let class =
                if row.metric != HUMAN && row.score >= best && own().count() > 1 { " class=\"best\"" } else { "" };
            let (low, high) = (row.low, row.high);
            format!("<span{class}>{:.4}</span> <span class=\"interval\">{low:.3}&ndash;{high:.3}</span>", row.score)
        };
        let front = [escape(&rows[0].dataset), rows[0].n.to_string()];
        (rows[0].dataset == ALL, front.into_iter().chain(metrics.iter().map(cell)).collect())
    });
    format!("<h2>Scores</h2>{}", table(&head.collect::<Vec<_>>(), lines))
}

fn thresholds(results: &Results) -> String {
    let head = ["metric", "threshold", "pairs called the same", "agreement"].map(String::from);
    let rows = results.header.metrics.iter().enumerate().filter_map(|(metric, name)| {
        let best = best_threshold(&curve(results, metric))?;
        let percent = |part: f64| format!("{:.1} %", 100.0 * part);
        let threshold = if best.threshold.is_finite() { format!("{:.4}", best.threshold) } else { "-".to_string() };
        Some((false, vec![escape(name), threshold, percent(best.share), percent(best.accuracy)]))
    });
    format!(
        "<h2>Best thresholds</h2><p class=\"quiet\">Pairs up to this distance are best called the same; a dash means none.</p>{}",
        table(&head, rows)
    )
}

fn compared(differences: &[ScoreDifference], alpha: f64) -> String {
    let head = ["dataset", "metrics", "n", "difference", "interval", "effect", "p (t)", "p (Wilcoxon)", "better"];
    let head = head.map(String::from);
    let rows = differences.iter().map(|d| {
        let cells = vec![
            escape(&d.dataset),
            format!("{} &minus; {}", escape(&d.b), escape(&d.a)),
            d.n.to_string(),
            format!("{:+.4}", d.difference),
            format!("{:+.4} to {:+.4}", d.low, d.high),
            effect_size(d.effect),
            p_value(Some(d.t_p_holm).filter(|_| d.t.is_finite())),
            p_value(d.wilcoxon_p_holm),
            d.better(alpha).map_or_else(|| "not shown".to_string(), escape),
        ];
        (d.dataset == ALL, cells)
    });
    format!(
        "<h2>Differences</h2><p class=\"quiet\">Paired tests on the scores of the same triplets; p with Holm's correction for all rows. \
         Called better where p of the t test is below {alpha}.</p>{}",
        table(&head, rows)
    )
}

/// Formats a p-value, or a dash for none.
pub fn p_value(p: Option<f64>) -> String {
    match p {
        None => "-".to_string(),
        Some(p) if p < 1e-4 => "< 0.0001".to_string(),
        Some(p) => format!("{p:.4}"),
    }
}

/// Formats an effect size, or a dash for NaN.
pub fn effect_size(effect: f64) -> String {
    if effect.is_finite() { format!("{effect:+.2}") } else { "-".to_string() }
}

/// The disagreement of metric and people on each sample, in [0, 1].
fn disagreement(results: &Results, metric: usize) -> Vec<f64> {
    let records = &results.records;
    match results.header.kind {
        Task::TwoAfc => {
            let difference = |record: &Record| record.distances[metric][0] - record.distances[metric][1];
            let k = slope(&records.iter().map(|record| (difference(record), record.judge)).collect::<Vec<_>>());
            records.iter().map(|record| (share(k * difference(record)) - record.judge).abs()).collect()
        }
        Task::Jnd => {
            // A pair's rank by distance predicts the share of people who call it the same.
            let mut order: Vec<usize> = (0..records.len()).collect();
            order.sort_by(|a, b| records[*a].distances[metric][0].total_cmp(&records[*b].distances[metric][0]));
            let mut apart = vec![0.0; records.len()];
            for (rank, at) in order.into_iter().enumerate() {
                apart[at] = (1.0 - (rank as f64 + 0.5) / records.len() as f64 - records[at].judge).abs();
            }
            apart
        }
    }
}

fn disagreements(results: &Results) -> Result<String> {
    let mut parts = vec!["<h2>Where metric and people disagree most</h2>".to_string()];
    for (metric, name) in results.header.metrics.iter().enumerate() {
        let apart = disagreement(results, metric);
        // On the other samples they agree.
        let disagree = |at: &usize| match results.header.kind {
            Task::TwoAfc => results.records[*at].two_afc_score(metric) < 0.5,
            Task::Jnd => apart[*at] > 0.5,
        };
        let mut order: Vec<usize> = (0..apart.len()).filter(disagree).collect();
        order.sort_by(|a, b| apart[*b].total_cmp(&apart[*a]));
        let items = order.iter().take(SHOWN).map(|at| item(results, &results.records[*at], metric));
        let items = items.collect::<Result<Vec<_>>>()?.concat();
        let items = if items.is_empty() { "<p class=\"quiet\">Nowhere.</p>".to_string() } else { items };
        parts.push(format!("<h3>{}</h3><div class=\"items\">{items}</div>", escape(name)));
    }
    Ok(parts.join("\n"))
}

fn item(results: &Results, record: &Record, metric: usize) -> Result<String> {
    let distances = &record.distances[metric];
    // The reference stands in the middle.
    let (order, said): (&[(usize, &str)], String) = match results.header.kind {
        Task::TwoAfc => (
            &[(1, "p0"), (0, "reference"), (2, "p1")],
            format!(
                "{:.0} % prefer p1; the distances are {:.4} of p0, {:.4} of p1.",
                100.0 * record.judge,
                distances[0],
                distances[1]
            ),
        ),
        Task::Jnd => (
            &[(0, "p0"), (1, "p1")],
            format!("{:.0} % take them for the same; the distance is {:.4}.", 100.0 * record.judge, distances[0]),
        ),
    };
    let mut pictures = String::new();
    for (at, name) in order {
        let path = &record.files[*at];
        let shown = match FloatImage::open(path, results.header.size) {
            Ok(image) => {
                let png = Picture::from_rgb8(image.size, image.size, image.to_rgb8())?.to_png()?;
                format!("<img alt=\"{name}\" src=\"{}\">", data_url("image/png", &png))
            }
            Err(_) => format!("<img alt=\"{name} is not there\">"),
        };
        pictures.push_str(&shown);
    }
    let names: String = order.iter().map(|(_, name)| format!("<span>{name}</span>")).collect();
    let first = record.files[0].display().to_string();
    Ok(format!(
        "<div class=\"item\"><div class=\"pictures\">{pictures}</div><div class=\"names\">{names}</div><p>{}</p>\
         <p class=\"quiet\">{}: {}</p></div>",
        escape(&said),
        escape(&results.datasets[record.dataset]),
        escape(&first)
    ))
}
