//! Outcome of long-running work.

/// Outcome of long-running work: complete, or stopped and resumable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is done.
    Complete,
    /// Stopped on request; the same call resumes it.
    Stopped,
}
