#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod amp;
pub mod bulk;
mod cache;
pub mod checkpoint;
pub mod config;
mod curves;
pub mod data;
mod error;
pub mod eval;
pub mod files;
pub mod folder;
pub mod model;
mod optim;
mod plot;
mod rng;
mod schedule;
mod tensorboard;
mod trainer;

pub use amp::Scaler;
pub use config::Config;
pub use error::{Error, Result};
pub use folder::{Folder, SkipRecord, Skipped, StepRecord, Validation};
pub use model::Model;
pub use optim::{Adam, AdamConfig};
pub use schedule::{Schedule, ScheduleKind};
pub use trainer::{Ended, Event, Judgments, Trainer};
