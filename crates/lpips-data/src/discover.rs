//! Discovery of picture files in a folder: recursion, globs, links, one order on every system.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::{DirEntry, WalkDir};

pub use lpips_core::image::EXTENSIONS;

use crate::Problem;
use crate::error::{Error, Result};

/// Selects picture files of a folder. Hidden files and folders, whose names begin with a dot, are never selected.
///
/// A glob without `/` matches the name of a file or folder at any depth, one with `/` the path relative to the folder,
/// where `*` stays within a name and `**` does not.
///
/// ```
/// use lpips_data::discover::Walk;
///
/// let folder = tempfile::tempdir()?;
/// for name in ["b.PNG", "a.jpg", "notes.txt"] {
///     std::fs::write(folder.path().join(name), "")?;
/// }
/// let found = Walk { exclude: vec!["*.jpg".to_string()], ..Walk::default() }.files(folder.path())?;
/// assert_eq!(found.names.iter().map(|name| name.to_str().unwrap()).collect::<Vec<_>>(), ["b.PNG"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// Levels of folders: 1 is the folder alone, 2 its subfolders too. Default: all.
    pub depth: Option<usize>,
    /// Globs of which a file has to match one, if there are any. One whose last part has a dot (`*.dat`) selects files
    /// of any extension; under others (`val/**`) only those with one of [`EXTENSIONS`] are selected.
    pub include: Vec<String>,
    /// Globs of files and folders that are left out.
    pub exclude: Vec<String>,
    /// Files and folders that the run itself writes, existing or not: they are left out.
    pub written: Vec<PathBuf>,
    /// Whether links to folders are left out rather than followed.
    pub skip_linked_folders: bool,
}

/// The files that a [`Walk`] has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Paths relative to the folder, with `/`, in the order of their bytes.
    pub names: Vec<Box<Path>>,
    /// Files that were left out though they may have been meant, with the reason.
    pub notes: Vec<Problem>,
}

impl Walk {
    /// Lists the files of a folder.
    ///
    /// # Errors
    /// A folder that is not there or can't be read, or one inside it that can't; a glob that is none; a depth of 0; a
    /// folder that the run writes to.
    pub fn files(&self, folder: &Path) -> Result<Found> {
        let mut names: Vec<Box<Path>> = Vec::new();
        let notes = self.visit(folder, |name| names.push(name.into_boxed_path()))?;
        sort(&mut names);
        Ok(Found { names, notes })
    }

    /// Calls `each` with the files of a folder, in no order; returns the notes of [`Found`].
    ///
    /// # Errors
    /// Those of [`Self::files`].
    pub fn visit(&self, folder: &Path, mut each: impl FnMut(PathBuf)) -> Result<Vec<Problem>> {
        let metadata = std::fs::metadata(folder).map_err(|error| Error::io(folder, "read", &error))?;
        if !metadata.is_dir() {
            return Err(Error::file(folder, "is a file: expected a folder"));
        }
        let depth = self.depth.unwrap_or(usize::MAX);
        if depth == 0 {
            return Err(Error::argument("a depth of 0 takes no file: expected 1, the folder alone, or more"));
        }
        let rules = Rules::new(self, folder)?;
        let relative = |path: &Path| with_slashes(path.strip_prefix(folder).unwrap_or(path));
        let is_left_out = |entry: &DirEntry| {
            let is_linked = self.skip_linked_folders && entry.file_type().is_dir() && entry.path_is_symlink();
            is_linked || is_hidden(entry.file_name()) || rules.leave_out(&relative(entry.path()))
        };
        let mut notes = Vec::new();
        let mut note = |path: &Path, reason: String| notes.push(Problem { path: path.to_path_buf(), reason });
        let entries = WalkDir::new(folder).follow_links(true).min_depth(1).max_depth(depth).into_iter();
        for entry in entries.filter_entry(|entry| !is_left_out(entry)) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => {
                    let name = relative(entry.path());
                    if rules.take(&name) {
                        if entry.file_type().is_file() {
                            each(name);
                        } else {
                            note(entry.path(), "is neither a file nor a folder: left out".to_string());
                        }
                    }
                }
                Err(error) => {
                    let path = error.path().unwrap_or(folder);
                    let name = relative(path);
                    let hidden = path.file_name().is_some_and(is_hidden);
                    if hidden || rules.leave_out(&name) {
                        continue;
                    }
                    if let Some(above) = error.loop_ancestor() {
                        note(path, format!("is a link to {}, which it lies in: not followed", above.display()));
                    } else if path.is_symlink() && rules.take(&name) {
                        // Reading it will fail, and name the reason.
                        each(name);
                    } else if let Some(error) = error.io_error() {
                        if !path.is_symlink() {
                            return Err(Error::io(path, "read", error));
                        }
                        note(path, format!("is a link that leads nowhere: {error}"));
                    }
                }
            }
        }
        notes.sort();
        Ok(notes)
    }

    /// The error of a folder in which nothing was found.
    pub fn nothing_in(&self, folder: &Path) -> Error {
        let ruled = !(self.include.is_empty() && self.exclude.is_empty());
        let ruled = if ruled { " that the globs let through" } else { "" };
        Error::file(folder, format!("holds no pictures{ruled} ({})", EXTENSIONS.join(", ")))
    }
}

/// A [`Walk`]'s rules, compiled for one folder.
struct Rules {
    include: Globs,
    /// Those of `include` that select files of any extension.
    include_ending: Globs,
    exclude: Globs,
    /// Relative to the folder.
    written: Vec<PathBuf>,
}

impl Rules {
    fn new(walk: &Walk, folder: &Path) -> Result<Self> {
        let last = |glob: &str| glob.trim_end_matches('/').rsplit('/').next().unwrap_or_default().contains('.');
        let ending: Vec<_> = walk.include.iter().filter(|glob| last(glob)).cloned().collect();
        let real = real(folder);
        let mut written = Vec::new();
        for path in walk.written.iter().map(|path| self::real(path)) {
            if path == real {
                let reason = "is where this run writes to, and would read what it writes: name another folder for that";
                return Err(Error::file(folder, reason));
            }
            written.extend(path.strip_prefix(&real).ok().map(with_slashes));
        }
        Ok(Self {
            include: Globs::new("--include", &walk.include)?,
            include_ending: Globs::new("--include", &ending)?,
            exclude: Globs::new("--exclude", &walk.exclude)?,
            written,
        })
    }

    /// Whether a file or folder is left out.
    fn leave_out(&self, name: &Path) -> bool {
        self.exclude.matches(name) || self.written.iter().any(|written| written == name)
    }

    /// Whether a file is selected.
    fn take(&self, name: &Path) -> bool {
        self.include_ending.matches(name) || (is_picture(name) && (self.include.none || self.include.matches(name)))
    }
}

/// Globs, compiled.
struct Globs {
    none: bool,
    of_names: GlobSet,
    of_paths: GlobSet,
}

impl Globs {
    fn new(option: &str, globs: &[String]) -> Result<Self> {
        let (mut of_names, mut of_paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let fail = |glob: &str, reason: &dyn std::fmt::Display| {
            Error::argument(format!("{option} '{glob}' is no glob that can be read: {reason}"))
        };
        for given in globs {
            let glob = given.strip_prefix("./").unwrap_or(given);
            let glob = glob.strip_suffix('/').unwrap_or(glob);
            if glob.trim().is_empty() {
                return Err(fail(given, &"it is empty"));
            }
            let set = if glob.contains('/') { &mut of_paths } else { &mut of_names };
            // As in .gitignore, one that begins with / matches the folder's own files.
            let mut builder = GlobBuilder::new(glob.strip_prefix('/').unwrap_or(glob));
            set.add(builder.literal_separator(true).build().map_err(|error| fail(given, error.kind()))?);
        }
        let build = |set: GlobSetBuilder| set.build().map_err(|error| fail(&globs.join(" "), error.kind()));
        Ok(Self { none: globs.is_empty(), of_names: build(of_names)?, of_paths: build(of_paths)? })
    }

    fn matches(&self, name: &Path) -> bool {
        self.of_paths.is_match(name) || name.file_name().is_some_and(|name| self.of_names.is_match(name))
    }
}

/// Whether a name has one of [`EXTENSIONS`].
pub fn is_picture(name: &Path) -> bool {
    let ending = name.extension();
    ending.is_some_and(|ending| EXTENSIONS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// A relative path with `/` on every system, without `.`.
pub fn with_slashes(path: &Path) -> PathBuf {
    let mut joined = OsString::new();
    for part in path.components().filter(|part| *part != Component::CurDir) {
        if !joined.is_empty() {
            joined.push("/");
        }
        joined.push(part);
    }
    joined.into()
}

/// The canonical path of a file that need not exist yet.
pub fn real(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let of_parent = || Some(real(parent).join(path.file_name()?));
    std::fs::canonicalize(path)
        .ok()
        .or_else(|| if parent == path { None } else { of_parent() })
        .unwrap_or_else(|| path.to_path_buf())
}

/// The bytes of a name, by which names are ordered.
pub fn bytes(name: &Path) -> &[u8] {
    name.as_os_str().as_encoded_bytes()
}

/// Sorts names by their bytes.
pub fn sort(names: &mut [Box<Path>]) {
    names.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn names(walk: &Walk, folder: &Path) -> Vec<String> {
        walk.files(folder).unwrap().names.iter().map(|name| name.to_str().unwrap().to_string()).collect()
    }

    fn globs(globs: &[&str]) -> Vec<String> {
        globs.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn discover_finds_pictures_at_every_depth_in_byte_order() {
        let files =
            ["b.PNG", "a/z.jpg", "a/b/c.webp", "a.png", "a-1.tiff", "notes.txt", ".hidden.png", ".cache/x.png", "bare"];
        let folder = folder(&files);
        assert_eq!(names(&Walk::default(), folder.path()), ["a-1.tiff", "a.png", "a/b/c.webp", "a/z.jpg", "b.PNG"]);
        let shallow = Walk { depth: Some(1), ..Walk::default() };
        assert_eq!(names(&shallow, folder.path()), ["a-1.tiff", "a.png", "b.PNG"]);
        let error = Walk { depth: Some(0), ..Walk::default() }.files(folder.path()).unwrap_err();
        assert!(error.to_string().contains("expected 1"), "{error}");
    }

    #[test]
    fn discover_globs_include_and_exclude_files() {
        let folder = folder(&["a/x.png", "a/y.jpg", "a/n.txt", "a/b/x.png", "b/x.png", "b/raw.dat", "x.png"]);
        let walk = |include: &[&str], exclude: &[&str]| Walk {
            include: globs(include),
            exclude: globs(exclude),
            ..Walk::default()
        };
        let found = |include: &[&str], exclude: &[&str]| names(&walk(include, exclude), folder.path());
        assert_eq!(found(&["*.jpg", "*.dat"], &[]), ["a/y.jpg", "b/raw.dat"]);
        assert_eq!(found(&["a/*"], &[]), ["a/x.png", "a/y.jpg"], "* stays within a name, and only pictures are taken");
        assert_eq!(found(&["a/**"], &[]), ["a/b/x.png", "a/x.png", "a/y.jpg"]);
        assert_eq!(found(&["/x.png"], &[]), ["x.png"], "of the folder itself");
        assert_eq!(found(&[], &["b"]), ["a/x.png", "a/y.jpg", "x.png"], "a folder's name leaves out all that is in it");
        assert_eq!(found(&[], &["a/b/", "*.{jpg,dat}"]), ["a/x.png", "b/x.png", "x.png"]);
        let error = |glob: &str| walk(&[], &[glob]).files(folder.path()).unwrap_err().to_string();
        assert!(error("[a").starts_with("--exclude '[a' is no glob that can be read: "), "{}", error("[a"));
        assert!(error("").contains("it is empty"), "{}", error(""));
    }

    #[test]
    fn discover_leaves_out_what_the_run_writes_and_refuses_the_folder_itself() {
        let folder = folder(&["a.png", "maps/m.png", "maps2/m.png"]);
        let to = |path: &str| Walk { written: vec![folder.path().join(path)], ..Walk::default() };
        assert_eq!(names(&to("maps"), folder.path()), ["a.png", "maps2/m.png"]);
        assert_eq!(names(&to("not/yet/there.png"), folder.path()), ["a.png", "maps/m.png", "maps2/m.png"]);
        let error = to("maps/..").files(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is where this run writes to"), "{error}");
    }

    #[test]
    fn discover_refuses_a_file_and_a_missing_folder() {
        let folder = folder(&["a.png"]);
        let error = |name: &str| Walk::default().files(&folder.path().join(name)).unwrap_err().to_string();
        assert!(error("a.png").contains("is a file: expected a folder"), "{}", error("a.png"));
        assert!(error("none").contains("there is no such file or folder"), "{}", error("none"));
    }

    #[test]
    #[cfg(unix)]
    fn discover_follows_links_but_not_in_circles() {
        use std::os::unix::fs::symlink;
        let (folder, elsewhere) = (folder(&["a/x.png"]), folder(&["y.png"]));
        let at = |name: &str| folder.path().join(name);
        symlink(elsewhere.path(), at("linked")).unwrap();
        symlink(folder.path(), at("a/loop")).unwrap();
        symlink(at("gone"), at("gone.png")).unwrap();
        symlink(at("gone"), at("gone-folder")).unwrap();
        symlink(at("self.png"), at("self.png")).unwrap();
        let found = Walk::default().files(folder.path()).unwrap();
        let names: Vec<_> = found.names.iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["a/x.png", "gone.png", "linked/y.png", "self.png"], "a link that is broken fails as a row");
        let notes: Vec<_> = found.notes.iter().map(ToString::to_string).collect();
        assert!(notes.len() == 2 && notes[0].contains("a/loop: is a link to") && notes[0].contains("not followed"));
        assert!(notes[1].contains("gone-folder: is a link that leads nowhere"), "{notes:?}");
        let without = Walk { exclude: globs(&["loop", "gone*"]), ..Walk::default() };
        assert!(without.files(folder.path()).unwrap().notes.is_empty());
        let found = Walk { skip_linked_folders: true, ..Walk::default() }.files(folder.path()).unwrap();
        let names: Vec<_> = found.names.iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["a/x.png", "gone.png", "self.png"], "no link to a folder is followed");
    }

    #[test]
    #[cfg(unix)]
    fn discover_names_an_unreadable_subfolder() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder(&["a.png", "closed/b.png"]);
        let closed = folder.path().join("closed");
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
        let result = Walk::default().files(folder.path());
        let left_out = Walk { exclude: globs(&["closed"]), ..Walk::default() }.files(folder.path());
        let readable = std::fs::read_dir(&closed).is_ok();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
        if readable {
            eprintln!("skipped: this user may read every folder");
            return;
        }
        let error = result.unwrap_err().to_string();
        assert!(error.contains("closed: can't be read: permission denied"), "{error}");
        assert_eq!(left_out.unwrap().names.len(), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn discover_lists_names_of_any_bytes() {
        use std::os::unix::ffi::OsStrExt;
        let folder = folder(&["a,\"b\"\n.png"]);
        let name = OsStr::from_bytes(b"\xff\xfe.png");
        std::fs::write(folder.path().join(name), "").unwrap();
        let found = Walk { include: globs(&["*.png"]), ..Walk::default() }.files(folder.path()).unwrap();
        assert_eq!(found.names.last().unwrap().as_os_str(), name);
        assert_eq!(found.names.len(), 2);
    }
}
