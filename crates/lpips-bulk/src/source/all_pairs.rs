//! All pairs of the pictures of one folder.

use std::path::Path;
use std::sync::Arc;

use crate::source::pair::{Input, Pair};
use crate::{Error, Result};
use lpips_data::Problem;
use lpips_data::discover::Walk;

/// The choice of pairs of a folder's pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Which {
    /// Each picture with all later ones: N(N - 1) / 2 pairs.
    #[default]
    All,
    /// Each picture with the next one: N - 1 pairs.
    Consecutive,
}

/// The pairs (i, j), i < j, of a folder's pictures, in order; pictures are ordered by the bytes of their paths within
/// the folder.
///
/// The published `lpips_1dir_allpairs.py` forms the same pairs, but of files in the order of the file system.
///
/// ```
/// use lpips_bulk::source::all_pairs::{OneFolder, Which};
/// use lpips_data::discover::Walk;
///
/// let folder = tempfile::tempdir()?;
/// for name in ["a.png", "b.png", "c.png"] {
///     std::fs::write(folder.path().join(name), "")?;
/// }
/// let pairs = OneFolder::open(folder.path(), Which::All, &Walk::default())?;
/// assert_eq!((pairs.len(), pairs.places(1)), (3, Some((0, 2))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OneFolder {
    files: Vec<Arc<Path>>,
    names: Vec<Box<Path>>,
    which: Which,
    /// Warnings about files that were left out.
    pub notes: Vec<Problem>,
}

impl OneFolder {
    /// Lists the pictures of a folder.
    ///
    /// # Errors
    /// Those of [`Walk::files`]; fewer than two pictures, or more than 2^32.
    pub fn open(folder: &Path, which: Which, walk: &Walk) -> Result<Self> {
        let found = walk.files(folder)?;
        match found.names.as_slice() {
            [] => return Err(walk.nothing_in(folder).into()),
            [one] => {
                let reason = format!("holds one picture, {}: expected at least two, to be compared", one.display());
                return Err(Error::file(folder, reason));
            }
            names if names.len() > u32::MAX as usize => {
                return Err(Error::file(folder, "holds more pictures than can be paired with one another"));
            }
            _ => {}
        }
        let files = found.names.iter().map(|name| Arc::from(folder.join(name))).collect();
        Ok(Self { files, names: found.names, which, notes: found.notes })
    }

    /// The pictures' paths within the folder, in order.
    pub fn names(&self) -> &[Box<Path>] {
        &self.names
    }

    /// Number of pairs.
    pub fn len(&self) -> u64 {
        match self.which {
            Which::All => count(self.files.len() as u64),
            Which::Consecutive => self.files.len().saturating_sub(1) as u64,
        }
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers i < j of the pictures of a pair; `None` after the last pair.
    pub fn places(&self, index: u64) -> Option<(usize, usize)> {
        if index >= self.len() {
            return None;
        }
        let (i, j) = match self.which {
            Which::All => places(index, self.files.len() as u64),
            Which::Consecutive => (index, index + 1),
        };
        Some((usize::try_from(i).ok()?, usize::try_from(j).ok()?))
    }

    /// The pair of this index; `None` after the last pair.
    pub fn get(&self, index: u64) -> Option<Pair> {
        let (i, j) = self.places(index)?;
        let file = |at: usize| Input::File(Arc::clone(&self.files[at]));
        Some(Pair { index, reference: file(i), candidate: file(j), second: None })
    }
}

/// Number of pairs of n pictures.
fn count(n: u64) -> u64 {
    if n.is_multiple_of(2) { n / 2 * n.saturating_sub(1) } else { n * ((n - 1) / 2) }
}

/// The pair (i, j), i < j < n, of this index in lexicographic order.
fn places(index: u64, n: u64) -> (u64, u64) {
    // Counted from the end, the indices of the pairs of pictures from i on are below (k + 1)(k + 2) / 2, where k = n -
    // 2 - i.
    let back = count(n) - 1 - index;
    let k = ((8 * u128::from(back) + 1).isqrt() as u64 - 1) / 2;
    (n - 2 - k, n - 1 - (back - count(k + 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The index of (i, j).
    fn index(i: u64, j: u64, n: u64) -> u64 {
        count(n) - count(n - i) + (j - i - 1)
    }

    #[test]
    fn pair_index_equals_two_nested_loops() {
        for n in 2..40 {
            let all: Vec<_> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
            assert_eq!(count(n), all.len() as u64);
            for (at, (i, j)) in all.into_iter().enumerate() {
                assert_eq!((places(at as u64, n), index(i, j, n)), ((i, j), at as u64), "of {n}");
            }
        }
    }

    proptest! {
        #[test]
        fn pair_index_is_exact_for_four_billion_pictures(n in 2..=u64::from(u32::MAX), part in any::<u64>(), edge in 0..4u64) {
            let within = part % count(n);
            let (row, _) = places(within, n);
            // Rounding errors would show at the first and last pair of a picture.
            let end = index(row, n - 1, n);
            for at in [within, end, (end + edge).min(count(n) - 1), edge.min(count(n) - 1), count(n) - 1] {
                let (i, j) = places(at, n);
                prop_assert!(i < j && j < n);
                prop_assert_eq!(index(i, j, n), at);
            }
        }
    }

    fn folder(count: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        (0..count).for_each(|i| std::fs::write(folder.path().join(format!("{i}.png")), "").unwrap());
        folder
    }

    #[test]
    fn one_folder_gives_all_or_consecutive_pairs() {
        let folder = folder(4);
        let pairs = |which, from| {
            let pairs = OneFolder::open(folder.path(), which, &Walk::default()).unwrap();
            let name = |input: &Input| input.name().file_stem().unwrap().to_str().unwrap().to_string();
            let text = |pair: Pair| format!("{}:{}{}", pair.index, name(&pair.reference), name(&pair.candidate));
            (pairs.len(), (from..pairs.len()).filter_map(|index| pairs.get(index)).map(text).collect::<Vec<_>>())
        };
        let all = ["0:01", "1:02", "2:03", "3:12", "4:13", "5:23"].map(String::from);
        assert_eq!(pairs(Which::All, 0), (6, all.to_vec()));
        assert_eq!(pairs(Which::All, 4).1, all[4..]);
        assert_eq!(pairs(Which::All, 7).1, Vec::<String>::new());
        assert_eq!(pairs(Which::Consecutive, 0), (3, ["0:01", "1:12", "2:23"].map(String::from).to_vec()));
    }

    #[test]
    fn one_folder_of_fewer_than_two_pictures_is_refused() {
        let error =
            |count: usize| OneFolder::open(folder(count).path(), Which::All, &Walk::default()).unwrap_err().to_string();
        assert!(error(0).contains("holds no pictures"), "{}", error(0));
        assert!(error(1).contains("holds one picture, 0.png: expected at least two"), "{}", error(1));
    }
}
