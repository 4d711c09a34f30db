#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod calibration;
pub mod charts;
pub mod compare;
mod error;
pub mod folds;
pub mod html;
pub mod measure;
pub mod metric;
pub mod page;
pub mod results;
pub mod score;
pub mod statistics;
pub mod svg_chart;
pub mod table;

pub use error::{Error, Result};

#[cfg(test)]
mod tests {
    #[test]
    fn main_types_are_send_and_sync() {
        fn check<T: Send + Sync>() {}
        check::<crate::metric::Metric>();
        check::<crate::metric::MetricGroup>();
        check::<crate::metric::Pixels>();
        check::<crate::results::Results>();
        check::<crate::results::ResultsLog>();
        check::<crate::statistics::Bootstrap>();
        check::<crate::Error>();
    }
}
