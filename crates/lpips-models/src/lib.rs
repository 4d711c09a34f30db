#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod arch;
mod backbone;
mod error;
mod hash;
pub mod ops;
mod rng;
#[cfg(feature = "hub")]
#[doc(hidden)]
pub mod transfer;
pub mod weights;

pub use arch::Network;
pub use backbone::Backbone;
// For this workspace's crates: unstable.
#[doc(hidden)]
pub use backbone::{Activations, Bands, Gradients, LayerProfile, Segment, Stream};
pub use error::{Error, Result};

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Backbone>();
    assert_send_sync::<weights::Weights>();
    assert_send_sync::<weights::Finder>();
    assert_send_sync::<Error>();
};
