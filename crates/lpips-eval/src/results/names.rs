//! Short names of datasets.

use std::collections::HashSet;
use std::path::{Component, Path};

/// Shortens folders to as many of their last parts as keep them distinct; equal folders are numbered.
pub(super) fn short(folders: &[String]) -> Vec<String> {
    let parts = |folder: &String| -> Vec<String> {
        let is_name = |part: &Component| matches!(part, Component::Normal(_));
        Path::new(folder)
            .components()
            .filter(is_name)
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    let all: Vec<Vec<String>> = folders.iter().map(parts).collect();
    let last = |parts: &Vec<String>, count: usize| parts[parts.len().saturating_sub(count)..].join("/");
    let longest = all.iter().map(Vec::len).max().unwrap_or_default();
    let unique = |count: &usize| {
        let names: HashSet<String> = all.iter().map(|parts| last(parts, *count)).collect();
        names.len() == all.len()
    };
    match (1..=longest).find(unique) {
        Some(count) => all.iter().map(|parts| last(parts, count)).collect(),
        None => folders.iter().zip(1..).map(|(folder, i)| format!("{folder} ({i})")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dataset_names_are_as_short_as_keeps_them_distinct() {
        let short = |folders: &[&str]| short(&folders.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(short(&["a/2afc/val/cnn", "a/2afc/val/color"]), ["cnn", "color"]);
        assert_eq!(short(&["/a/cnn", "/b/cnn"]), ["a/cnn", "b/cnn"]);
        assert_eq!(short(&["a/cnn", "a/cnn"]), ["a/cnn (1)", "a/cnn (2)"]);
    }
}
