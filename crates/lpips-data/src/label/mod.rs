//! Labelling: questions for people, their votes, and the local web page that collects them.

#[cfg(feature = "label")]
mod http;
mod questions;
#[cfg(feature = "label")]
#[cfg_attr(docsrs, doc(cfg(feature = "label")))]
pub mod server;
pub mod votes;

#[cfg(feature = "label")]
#[doc(hidden)]
pub use http::head_length;
pub use questions::{Answer, Choice, Place, Question, Questions};
