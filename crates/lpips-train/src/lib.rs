#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod optim;

pub use optim::{Adam, AdamConfig};
