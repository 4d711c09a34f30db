//! Backbones: a network's table with weights, run from pictures to taps.

mod bands;
mod model;
mod operator;
mod profile;
mod segment;
mod stream;

pub use bands::Bands;
pub use model::Backbone;
pub use profile::LayerProfile;
pub use segment::{Activations, Gradients, Segment};
pub use stream::Stream;
