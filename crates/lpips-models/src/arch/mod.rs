//! Networks as tables of layers.
//!
//! A network is an [`Architecture`]: a list of named [`Layer`]s. Channel counts, output sizes, the smallest picture
//! that fits and the names and shapes of the weights are all derived from that list.

mod alexnet;
mod network;
mod squeezenet;
mod table;
mod vgg;

pub use network::Network;
pub use table::{Architecture, HubFile, Initialiser, Layer, Published};
pub(crate) use table::{conv_size, pool_size};
