#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod config;
pub mod cross_validation;
mod error;
pub mod model;
pub mod optimiser;
pub mod run_folder;
pub mod trainer;

pub use config::Config;
pub use error::{Error, Result};
pub use lpips_data::Outcome;
pub use model::Model;
pub use optimiser::{Adam, AdamConfig, LossScaler, Schedule, ScheduleKind};
pub use run_folder::checkpoint::Checkpoint;
pub use run_folder::{RunFolder, SkipReason, SkipRecord, StepRecord, Validation};
pub use trainer::{Event, Splits, Trainer};
