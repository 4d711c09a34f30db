//! Comparison of two videos, frame by frame.
//!
//! A video is a folder of numbered pictures, a y4m stream (a file or standard input), raw video, or any other file,
//! which `ffmpeg` decodes where it is installed. Frames are decoded one after the other as they are requested, and
//! count from 0.
//!
//! - [`decode`]: one decoder a format: y4m, raw video, PPM, ffmpeg, folders of pictures
//! - [`colour`]: conversion of luma and chroma to red, green and blue
//! - `frames`, `align`: the frames of one video; frames of two folders matched by their numbers
//! - [`videos`]: the pairs of frames of two videos
//! - [`seek`]: access to pairs of frames by number
//! - [`over_time`]: distances over time: worst frames and a chart

mod align;
pub mod colour;
pub mod decode;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod options;
pub mod over_time;
pub mod seek;
pub mod videos;

pub use colour::{ColourMatrix, ColourRange};
pub use decode::RawFormat;
pub use options::Options;
pub use over_time::DistancesOverTime;
pub use seek::FrameSeeker;
pub use videos::{VideoEnd, Videos};
