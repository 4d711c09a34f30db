//! Emit stage: turns measurements into rows, and puts rows into the order of their pairs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::decode::{Decoded, candidates};
use super::heat_maps::{HeatMaps, MapFailures};
use super::measure::Measurement;
use crate::results::schema::{MetricResult, Row};
use crate::source::pair::{Input, Pair};

/// Settings of the stage, and the failures of heat maps.
#[derive(Debug)]
pub(super) struct RowStage {
    /// Whether the measurements of a pair are those of its tiles.
    pub(super) is_tiled: bool,
    pub(super) heat_maps: Option<HeatMaps>,
    pub(super) map_failures: Mutex<MapFailures>,
}

impl RowStage {
    /// The row of a pair, by its measurements or the reason there are none; draws its heat maps.
    pub(super) fn row(&self, decoded: &Decoded, measured: Result<&[Measurement], &str>) -> Row {
        let name = |input: &Input| input.name().to_path_buf();
        let Pair { index, reference, candidate, second } = &decoded.pair;
        if let (Some(maps), Ok(measured)) = (&self.heat_maps, measured) {
            self.draw(maps, decoded, measured);
        }
        let sides = 1 + usize::from(second.is_some());
        Row {
            index: *index,
            reference: name(reference),
            candidate: name(candidate),
            second: second.as_ref().map(name),
            outcome: measured.map(|measured| self.results(measured, sides)).map_err(String::from),
        }
    }

    /// By metric its distances, from the measurements of one side after the other.
    fn results(&self, measured: &[Measurement], sides: usize) -> Vec<MetricResult> {
        let tiles = measured.len() / sides;
        let metrics = measured.first().map_or(0, |first| first.values.len());
        let of = |metric: usize| {
            let distances = |side: usize| -> Vec<f64> {
                measured[side * tiles..(side + 1) * tiles].iter().map(|own| own.values[metric].distance).collect()
            };
            let own = distances(0);
            let layers = (0..measured[0].values[metric].layers.len())
                .map(|layer| {
                    mean(&measured[..tiles].iter().map(|own| own.values[metric].layers[layer]).collect::<Vec<_>>())
                })
                .collect();
            MetricResult {
                distance: mean(&own),
                second: (sides > 1).then(|| mean(&distances(1))),
                layers,
                tiles: if self.is_tiled { own } else { Vec::new() },
            }
        };
        (0..metrics).map(of).collect()
    }

    fn draw(&self, maps: &HeatMaps, decoded: &Decoded, measured: &[Measurement]) {
        let images = decoded.images.iter().flatten();
        for ((input, measurement), images) in candidates(&decoded.pair).zip(measured).zip(images) {
            let Some(map) = &measurement.map else { continue };
            let reference = images.reference.picture().filter(|_| maps.over_reference);
            if let Err(reason) = maps.draw(decoded.pair.index, input.name(), map, reference.as_deref()) {
                self.map_failures.lock().unwrap_or_else(PoisonError::into_inner).add(reason);
            }
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    match values {
        [one] => *one,
        _ => values.iter().sum::<f64>() / values.len() as f64,
    }
}

/// Holds finished rows until all earlier ones are emitted.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    rows: BTreeMap<u64, Row>,
    next: u64,
}

impl InOrder {
    /// Adds the row of a sequence number.
    pub(super) fn push(&mut self, sequence: u64, row: Row) {
        self.rows.insert(sequence, row);
    }

    /// The next row to be emitted, if it is finished.
    pub(super) fn pop(&mut self) -> Option<Row> {
        let row = self.rows.remove(&self.next)?;
        self.next += 1;
        Some(row)
    }

    /// The sequence number of the next row to be emitted.
    pub(super) fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_finished_out_of_order_are_emitted_in_order() {
        let row = |index| Row {
            index,
            reference: "a".into(),
            candidate: "b".into(),
            second: None,
            outcome: Err("none".to_string()),
        };
        let mut rows = InOrder::default();
        for sequence in [2, 0] {
            rows.push(sequence, row(sequence));
        }
        let mut emitted = Vec::new();
        emitted.extend(std::iter::from_fn(|| rows.pop()).map(|row| row.index));
        assert_eq!((&emitted[..], rows.next()), (&[0][..], 1));
        rows.push(1, row(1));
        emitted.extend(std::iter::from_fn(|| rows.pop()).map(|row| row.index));
        assert_eq!(emitted, [0, 1, 2]);
    }
}
