//! Sets laid out as BAPPS is, made from pictures by known distortions.
//!
//! What labels such a set has follow from how it was made, not from people:
//! - of a triplet, one side is distorted less and the other more, by the same distortion with the same draw of whatever is
//!   random about it; the label is the rule's, that the reference is nearer to what is distorted less. Where the
//!   stronger distortion does not show, or the sides hardly differ, another triplet is drawn (a patch without colour
//!   has no hue to turn); no error decides which side is nearer, so no metric is right by construction. This orders
//!   two strengths of one distortion and says nothing of how two distortions compare, which is what people have to be
//!   asked.
//! - of a pair (JND), both pictures are the same to the last byte, or one is distorted so strongly that nobody can miss it.
//!   What people can only just notice is not among them.
//!
//! Without labels the sides of a triplet get different distortions, one or two after the other (the paper composes its own in
//! sequence too), at any strength, and a pair's distortion is anything from unnoticeable to plain: for people to judge.

mod manifest;
mod recipe;
mod set;
mod sources;

pub use set::{Event, Made, Synth, is_labelled};
