//! Outcome of long-running work.

/// How long-running work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is done.
    Complete,
    /// Stopped on request; the same call resumes it.
    Stopped,
}
