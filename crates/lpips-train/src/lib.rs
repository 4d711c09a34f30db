#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod config;
pub mod cross_validation;
mod error;
pub mod model;
pub mod optimiser;
pub mod run_folder;
pub mod trainer;

pub use candle_nn::Optimizer;
pub use config::Config;
pub use error::{Error, Result};
pub use lpips_data::Outcome;
pub use model::{Model, ParamGroup};
pub use optimiser::{Adam, AdamConfig, LossScaler, Schedule, ScheduleKind};
pub use run_folder::checkpoint::Checkpoint;
pub use run_folder::{RunFolder, SkipReason, SkipRecord, StepRecord, Validation};
pub use trainer::{Event, Splits, Trainer};

/// Everything that a run consists of can move to another thread, and be shared between threads.
const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Adam>();
    assert_send_sync::<Checkpoint>();
    assert_send_sync::<Config>();
    assert_send_sync::<Error>();
    assert_send_sync::<Model>();
    assert_send_sync::<RunFolder>();
    assert_send_sync::<Splits>();
    assert_send_sync::<Trainer>();
};
