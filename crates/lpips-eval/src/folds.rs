//! Cross-validation folds, seeded and stratified by dataset, that keep triplets of one reference together.

use std::collections::HashMap;

use lpips_data::Dataset;
use lpips_data::rng::{Rng, Stream};

use crate::{Error, Result};

/// Divides a set into `k` folds of similar size, as the numbers of their triplets. Each dataset is spread over all
/// folds, and triplets of the same reference are in one fold, so that no picture that is scored was trained on.
/// References are the same where their files have the same bytes.
///
/// # Errors
/// A reference that can't be read, or fewer references than folds.
pub fn folds(set: &Dataset, k: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
    if k < 2 {
        return Err(Error::TooFewFolds { folds: k });
    }
    let mut groups: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (at, item) in set.items.iter().enumerate() {
        let group = *groups.entry(item.source.first_digest()?).or_insert(members.len());
        if group == members.len() {
            members.push(Vec::new());
        }
        members[group].push(at);
    }
    if members.len() < k {
        return Err(Error::TooManyFolds { folds: k, references: members.len() });
    }
    let mut rng = Rng::new(seed, Stream::Folds, (0, 0));
    rng.shuffle(&mut members);
    // The largest groups first, each into the fold that has the fewest of its dataset so far, and then the fewest in
    // all.
    members.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let dataset = |group: &[usize]| set.items[group[0]].folder;
    let mut folds: Vec<Vec<usize>> = vec![Vec::new(); k];
    let mut counts = vec![vec![0; set.folders.len()]; k];
    for group in members {
        let folder = dataset(&group);
        let place = (0..k).min_by_key(|fold| (counts[*fold][folder], folds[*fold].len())).unwrap_or_default();
        counts[place][folder] += group.len();
        folds[place].extend(group);
    }
    for fold in &mut folds {
        fold.sort_unstable();
    }
    Ok(folds)
}

/// Splits a set into the triplets of a fold and the rest.
pub fn split(set: &Dataset, fold: &[usize]) -> (Dataset, Dataset) {
    let mut held = vec![false; set.items.len()];
    for at in fold {
        held[*at] = true;
    }
    let of = |wanted: bool| Dataset {
        folders: set.folders.clone(),
        labelled_here: set.labelled_here,
        items: set.items.iter().zip(&held).filter(|(_, held)| **held == wanted).map(|(item, _)| item.clone()).collect(),
    };
    (of(true), of(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lpips_data::{Item, Source};

    /// Two datasets, of which the second has three triplets to each reference.
    fn set(folder: &std::path::Path) -> Dataset {
        let mut set =
            Dataset { folders: vec!["one".to_string(), "two".to_string()], items: Vec::new(), labelled_here: false };
        for i in 0..40 {
            let reference = folder.join(format!("{i}.png"));
            let (dataset, content) = if i < 22 { (0, i) } else { (1, 100 + i / 3) };
            std::fs::write(&reference, content.to_string()).unwrap();
            let source = Source::Files(Box::new([reference.clone(), reference.clone(), reference]));
            set.items.push(Item { source, judge: 0.5, folder: dataset });
        }
        set
    }

    #[test]
    fn folds_are_seeded_stratified_and_keep_references_together() {
        let folder = tempfile::tempdir().unwrap();
        let set = set(folder.path());
        let folds = super::folds(&set, 4, 7).unwrap();
        assert_eq!(folds, super::folds(&set, 4, 7).unwrap());
        assert_ne!(folds, super::folds(&set, 4, 8).unwrap());
        let mut all: Vec<usize> = folds.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
        for fold in &folds {
            let first = fold.iter().filter(|at| **at < 22).count();
            assert!((5..=6).contains(&first) && (3..=6).contains(&(fold.len() - first)), "{fold:?}");
        }
        let fold_of = |at: usize| folds.iter().position(|fold| fold.contains(&at));
        assert!(
            (22..40).all(|at| (22..40).filter(|other| other / 3 == at / 3).all(|other| fold_of(other) == fold_of(at)))
        );
        let (held, rest) = split(&set, &folds[0]);
        assert_eq!((held.items.len(), rest.items.len()), (folds[0].len(), 40 - folds[0].len()));
        assert!(held.items.iter().all(|item| !rest.items.contains(item)));
    }

    #[test]
    fn folds_more_than_references_or_fewer_than_two_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = super::folds(&set(folder.path()), 41, 0).unwrap_err().to_string();
        assert!(error.contains("41 folds") && error.contains("29 references"), "{error}");
        assert!(super::folds(&set(folder.path()), 1, 0).is_err());
    }
}
