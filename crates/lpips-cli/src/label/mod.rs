//! The page on which people judge pictures, and what stands behind it.

mod http;
pub(crate) mod server;
