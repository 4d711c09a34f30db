//! Weights: search, download, reading of files, and verification.
//!
//! [`Weights::find`] tries, in this order: an explicit path; the folder named by `LPIPS_WEIGHTS_DIR`; the weights
//! bundled into the binary (AlexNet, feature `bundled`); PyTorch's hub cache; the Hugging Face cache; and a download
//! from the Hugging Face hub (feature `hub`). Everything but an explicit path is taken only if its numbers are the
//! official ones.

mod archive;
mod finder;
#[cfg(feature = "hub")]
mod hub;
mod origin;
mod pickle;
mod progress;
mod random;
mod scalar;
mod tensors;
mod verify;

pub use archive::Archive;
pub use finder::Finder;
pub use origin::Origin;
pub use progress::Progress;
pub use tensors::Weights;
