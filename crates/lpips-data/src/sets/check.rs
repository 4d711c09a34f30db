//! Checks of picture files: whether each decodes, and whether an item's pictures share one size.

use std::path::{Path, PathBuf};

use lpips_core::Size;
use lpips_core::image::Decoder;
use rayon::prelude::*;

use super::item::Source;
use super::judgment_set::JudgmentSet;
use crate::problem::Problem;

/// Depth of a picture check: header alone, or all pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDepth {
    /// Reads the header: the file exists and states its size.
    Headers,
    /// Decodes the file to its last pixel.
    Pixels,
}

impl<const N: usize> JudgmentSet<N> {
    /// Checks every picture in parallel and returns the problems, sorted, and the number of items that can't be used.
    ///
    /// `progress` is called once for each item.
    pub fn check_pictures(&self, depth: CheckDepth, progress: impl Fn() + Sync) -> (Vec<Problem>, usize) {
        let problems: Vec<Vec<Problem>> = self
            .items
            .par_iter()
            .map(|item| {
                progress();
                let Source::Files(files) = &item.source else { return Vec::new() };
                check_together(files.as_slice(), depth)
            })
            .collect();
        let broken = problems.iter().filter(|problems| !problems.is_empty()).count();
        let mut problems: Vec<Problem> = problems.into_iter().flatten().collect();
        problems.sort();
        problems.dedup();
        (problems, broken)
    }
}

/// Size of a picture that can be used.
///
/// # Errors
/// A picture that can't be read, or at [`CheckDepth::Pixels`] can't be decoded.
pub fn check_picture(path: &Path, depth: CheckDepth) -> lpips_core::Result<Size> {
    match depth {
        CheckDepth::Headers => Decoder::default().size(path),
        CheckDepth::Pixels => Decoder::default().open(path).map(|picture| picture.size()),
    }
}

/// Problems of the pictures of one item: unreadable files, and sizes that differ.
pub(crate) fn check_together(files: &[PathBuf], depth: CheckDepth) -> Vec<Problem> {
    let (mut problems, mut sizes) = (Vec::new(), Vec::new());
    for path in files {
        match check_picture(path, depth) {
            Ok(size) => sizes.push((path, size)),
            Err(error) => problems.push(Problem::of(path, &error.into())),
        }
    }
    if let Some((path, size)) = sizes.iter().find(|(_, size)| *size != sizes[0].1) {
        let (first, expected) = sizes[0];
        let all = if files.len() == 3 { "all three of a triplet" } else { "both of a pair" };
        let reason = format!("is {size} pixels, and {} {expected}: expected one size for {all}", first.display());
        problems.push(Problem { path: (*path).clone(), reason });
    }
    problems
}
