//! Adam, learning-rate schedules and loss scaling.

mod adam;
mod loss_scale;
mod schedule;

pub(crate) use adam::square_sum;
pub use adam::{Adam, AdamConfig};
pub use loss_scale::LossScaler;
pub use schedule::{Schedule, ScheduleKind};
