//! Synthetic judgment sets in BAPPS layout, made from pictures by known distortions.
//!
//! Labels of such a set follow from how it was made, not from people:
//! - Triplet: one side is distorted less and the other more, by the same distortion with the same random draw. The
//!   label
//!   says that the reference is nearer to the side that is distorted less. Where the stronger distortion does not show, or
//!   the sides hardly differ, another triplet is drawn (a patch without colour has no hue to turn). No error measure
//!   decides which side is nearer, so no metric is right by construction. This orders two strengths of one distortion and
//!   does not say how two distortions compare, which is a question for people.
//! - Pair (JND): both pictures are equal to the last byte, or one is distorted far above the visible. Just noticeable
//!   differences are not among them.
//!
//! Without labels, the sides of a triplet get different distortions, one or two in sequence (as the paper composes its
//! own), at any strength, and the distortion of a pair is anything from invisible to plain: such a set is for people to
//! judge, with `lpips data label`.

mod manifest;
mod options;
mod part;
mod recipe;
mod settings;
mod sources;
mod write;

#[cfg(test)]
mod tests;

pub use options::{Event, Made, Synth};
pub use settings::is_labelled;
