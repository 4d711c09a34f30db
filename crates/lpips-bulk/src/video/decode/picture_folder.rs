//! Folders of numbered pictures as video frames.

use std::path::Path;
use std::sync::Arc;

use crate::{Error, Result};
use lpips_data::discover::{Walk, bytes};

/// The frames of a folder, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::video) struct NumberedFrames {
    /// Frame numbers and files.
    pub(in crate::video) files: Vec<(u64, Arc<Path>)>,
}

impl NumberedFrames {
    /// Lists the pictures of a folder, without its subfolders, and the warnings about them.
    ///
    /// # Errors
    /// Those of [`Walk::files`]; no pictures; one without a number; two with the same number.
    pub(in crate::video) fn open(folder: &Path, walk: &Walk) -> Result<(Self, Vec<String>)> {
        let found = Walk { depth: Some(1), ..walk.clone() }.files(folder)?;
        if found.names.is_empty() {
            return Err(walk.nothing_in(folder).into());
        }
        let mut files = Vec::with_capacity(found.names.len());
        for name in &found.names {
            let Some(number) = number(name) else {
                let reason = format!("{} has no frame number in its name: leave it out with --exclude", name.display());
                return Err(Error::file(folder, reason));
            };
            files.push((number, Arc::<Path>::from(folder.join(name))));
        }
        files.sort_by_key(|(number, _)| *number);
        if let Some([one, other]) = files.array_windows::<2>().find(|[one, other]| one.0 == other.0) {
            let name = |path: &Arc<Path>| path.file_name().unwrap_or_default().display().to_string();
            return Err(Error::file(
                folder,
                format!(
                    "{} and {} are both frame {}: leave one sequence out with --include or --exclude",
                    name(&one.1),
                    name(&other.1),
                    one.0
                ),
            ));
        }
        let notes = found.notes.iter().map(ToString::to_string).chain(gaps(folder, &files)).collect();
        Ok((Self { files }, notes))
    }
}

/// The last number in a name without its extension.
fn number(name: &Path) -> Option<u64> {
    let stem = bytes(Path::new(name.file_stem()?));
    let end = stem.iter().rposition(u8::is_ascii_digit)? + 1;
    let start = stem[..end].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    std::str::from_utf8(&stem[start..end]).ok()?.parse().ok()
}

/// A warning about gaps in the frame numbers, where they differ by more than the smallest step.
fn gaps(folder: &Path, files: &[(u64, Arc<Path>)]) -> Option<String> {
    let steps = || files.array_windows::<2>().map(|[one, other]| other.0 - one.0);
    let step = steps().min()?;
    let gaps = steps().filter(|other| *other != step).count();
    let [before, after] = files.array_windows::<2>().find(|[one, other]| other.0 - one.0 != step)?;
    let more = if gaps == 1 { String::new() } else { format!(", the first of {gaps} gaps") };
    Some(format!("{}: after frame {} comes frame {}{more}", folder.display(), before.0, after.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(files: &[&str], exclude: &[&str]) -> Result<(Vec<u64>, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let walk = Walk { exclude: exclude.iter().map(ToString::to_string).collect(), ..Walk::default() };
        let (numbered, notes) = NumberedFrames::open(folder.path(), &walk)?;
        Ok((numbered.files.iter().map(|(number, _)| *number).collect(), notes))
    }

    #[test]
    fn picture_folder_is_ordered_by_the_last_number_of_names() {
        let (numbers, notes) = open(&["frame_10.png", "frame_9.png", "frame_011.PNG", "notes.txt"], &[]).unwrap();
        assert_eq!((numbers, notes.len()), (vec![9, 10, 11], 0));
        assert_eq!(open(&["v2_1.png", "v2_2.png"], &[]).unwrap().0, [1, 2], "the last number counts");
        assert_eq!(open(&["0.png", "10.png", "20.png"], &[]).unwrap().1.len(), 0, "an even step is no gap");
    }

    #[test]
    fn picture_folder_with_gaps_gives_a_warning() {
        let notes = open(&["1.png", "2.png", "5.png", "6.png"], &[]).unwrap().1;
        assert!(notes.len() == 1 && notes[0].ends_with(": after frame 2 comes frame 5"), "{notes:?}");
        let notes = open(&["1.png", "2.png", "5.png", "9.png"], &[]).unwrap().1;
        assert!(notes[0].ends_with("after frame 2 comes frame 5, the first of 2 gaps"), "{notes:?}");
    }

    #[test]
    fn picture_folder_without_a_clear_order_names_the_files() {
        let error = |files: &[&str]| open(files, &[]).unwrap_err().to_string();
        assert!(error(&["1.png", "cover.png"]).contains("cover.png has no frame number in its name"));
        assert!(error(&["a1.png", "b01.png"]).contains("a1.png and b01.png are both frame 1"));
        assert!(error(&["99999999999999999999999.png"]).contains("has no frame number"), "a number that is too large");
        assert!(error(&["notes.txt"]).contains("holds no pictures"));
        assert_eq!(open(&["1.png", "cover.png"], &["cover*"]).unwrap().0, [1]);
    }
}
