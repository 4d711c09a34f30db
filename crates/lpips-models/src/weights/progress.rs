//! Progress of downloads.

use std::sync::Arc;

/// A callback for the progress of a download: the file's name, the bytes that have arrived, and how many there will be
/// where the server says so.
pub type Progress = Arc<dyn Fn(&str, u64, Option<u64>) + Send + Sync>;
