#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod amp;
mod cache;
pub mod checkpoint;
pub mod config;
pub mod cross_validation;
mod curves;
pub mod folder;
pub mod model;
mod optim;
mod schedule;
mod tensorboard;
mod trainer;

pub use amp::Scaler;
pub use config::Config;
pub use folder::{Folder, SkipRecord, Skipped, StepRecord, Validation};
pub use lpips_data::{Error, Outcome, Result};
pub use model::Model;
pub use optim::{Adam, AdamConfig};
pub use schedule::{Schedule, ScheduleKind};
pub use trainer::{Event, Judgments, Trainer};
