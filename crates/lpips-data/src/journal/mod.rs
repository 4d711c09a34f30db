//! Append-only journals: files of whole lines that outlive a killed process and can be resumed.
//!
//! A line is added by one write. Where that fails, or a power cut leaves half of one, the journal ends with its last
//! whole line again as soon as it is written to. A journal may begin with a header, one line of JSON with the settings
//! of its run, which a run that resumes it is checked against.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::diff::{differences, sentence};
use crate::error::{Error, Result};
use crate::files;
use crate::lock::{lock_open_file, unlock};

/// An append-only file of lines, open for writing.
///
/// ```
/// use lpips_data::journal::{Journal, read_records};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("log.jsonl");
/// let mut journal = Journal::open(&path)?;
/// journal.append_record(&1)?;
/// journal.append_record(&2)?;
/// journal.sync()?;
/// assert_eq!(read_records::<u32>(&path)?, [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of the lines that are whole.
    len: u64,
    /// Whether there are bytes after those.
    is_torn: bool,
    /// Bytes known to be on the disk, and the time of that.
    synced: u64,
    synced_at: Instant,
}

impl Drop for Journal {
    fn drop(&mut self) {
        unlock(&self.file);
    }
}

/// Settings of a run, which a journal begins with. Two runs may share a journal where [`Self::settings`] are equal.
pub trait Header: Serialize + DeserializeOwned {
    /// The content's name in messages: "results".
    const HOLDS: &'static str;

    /// The settings that must be equal, under the names that messages call them by.
    fn settings(&self) -> Value;
}

impl Journal {
    /// Opens a journal whose folder or lock file keeps other writers out, and creates it where it is missing. A torn
    /// last line stays until the first change.
    ///
    /// # Errors
    /// A file that can't be read or written.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |error: io::Error| Error::io(path, "written", &error);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(fail)?;
        let (len, total) = whole_len(&mut file).map_err(fail)?;
        let (path, is_torn) = (path.to_path_buf(), len < total);
        Ok(Self { path, file, len, is_torn, synced: len, synced_at: Instant::now() })
    }

    /// [`Self::open`], and locks the file itself for this process; an error with the reason `in_use` where another
    /// holds it.
    ///
    /// # Errors
    /// Those of [`Self::open`], or a lock that is held.
    pub fn open_exclusive(path: &Path, in_use: &str) -> Result<Self> {
        let mut journal = Self::open(path)?;
        lock_open_file(&journal.file, path, in_use)?;
        // Lines that another process has added before it released the lock.
        let (len, total) = whole_len(&mut journal.file).map_err(|error| Error::io(path, "read", &error))?;
        (journal.len, journal.synced, journal.is_torn) = (len, len, len < total);
        Ok(journal)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the whole lines, in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no whole line.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the file ends in the middle of a line.
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Reads the whole lines.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn read(&mut self) -> Result<Vec<u8>> {
        let len = self.len;
        self.read_to(len)
    }

    fn read_to(&mut self, end: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| (&self.file).take(end).read_to_end(&mut bytes));
        read.map_err(|error| Error::io(&self.path, "read", &error))?;
        Ok(bytes)
    }

    /// Begins the journal with a header, or checks the header that it begins with: the whole lines after it.
    ///
    /// # Errors
    /// A file that begins with something else or with the header of other settings; the message says in what they
    /// differ. Or one that can't be read or written.
    pub fn resume<H: Header>(&mut self, header: &H) -> Result<Vec<u8>> {
        let total = if self.is_torn && self.is_empty() { u64::MAX } else { self.len };
        let mut bytes = self.read_to(total)?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        if !bytes.is_empty() {
            check_header(&self.path, &bytes[..end.unwrap_or(bytes.len())], header)?;
        }
        if let Some(end) = end {
            bytes.drain(..=end);
            return Ok(bytes);
        }
        self.append_record(header)?;
        Ok(Vec::new())
    }

    /// Cuts the journal off after its first `len` bytes, which end with a whole line, and brings that to the disk.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn truncate(&mut self, len: u64) -> Result<()> {
        let cut = self.file.set_len(len).and_then(|()| self.file.sync_all());
        cut.map_err(|error| write_error(&self.path, &error))?;
        (self.len, self.synced, self.is_torn) = (len, len, false);
        Ok(())
    }

    /// Ends a torn last line with a line break rather than cutting it off, for journals in which it may be whole but
    /// for that.
    ///
    /// # Errors
    /// A full disk.
    pub fn end_torn_line(&mut self) -> Result<()> {
        if !self.is_torn {
            return Ok(());
        }
        let ended = self.file.seek(SeekFrom::End(0)).and_then(|end| self.file.write_all(b"\n").map(|()| end + 1));
        self.len = ended.map_err(|error| write_error(&self.path, &error))?;
        // The line was there before: a failing sync must not cut it off.
        self.synced = self.len;
        self.is_torn = false;
        Ok(())
    }

    /// Adds whole lines by one write.
    ///
    /// # Errors
    /// A full disk, or another reason that they can't be written: the journal then ends with its last whole line.
    pub fn append(&mut self, lines: &[u8]) -> Result<()> {
        if self.is_torn {
            self.file.set_len(self.len).map_err(|error| write_error(&self.path, &error))?;
        }
        self.is_torn = true;
        let written = self.file.seek(SeekFrom::Start(self.len)).and_then(|_| self.file.write_all(lines));
        if let Err(error) = written {
            self.is_torn = self.file.set_len(self.len).is_err();
            return Err(write_error(&self.path, &error));
        }
        self.is_torn = false;
        self.len += lines.len() as u64;
        Ok(())
    }

    /// Adds a record as a line of JSON.
    ///
    /// # Errors
    /// Those of [`Self::append`].
    pub fn append_record(&mut self, record: &impl Serialize) -> Result<()> {
        self.append(&line(&self.path, record)?)
    }

    /// Brings the journal to the disk.
    ///
    /// # Errors
    /// A full disk: the journal then ends with the last line that is known to be there.
    pub fn sync(&mut self) -> Result<()> {
        if self.synced < self.len {
            self.file.sync_data().map_err(|error| {
                if self.file.set_len(self.synced).is_ok() {
                    self.len = self.synced;
                }
                write_error(&self.path, &error)
            })?;
        }
        (self.synced, self.synced_at) = (self.len, Instant::now());
        Ok(())
    }

    /// [`Self::sync`] where that was last done `interval` ago or longer.
    ///
    /// # Errors
    /// Those of [`Self::sync`].
    pub fn sync_every(&mut self, interval: Duration) -> Result<()> {
        if self.synced_at.elapsed() < interval { Ok(()) } else { self.sync() }
    }
}

/// Checks that a file which is to become a journal of this header is missing or is one already; nothing is written.
///
/// # Errors
/// A file that begins with something else or with the header of other settings, or one that can't be read.
pub fn check_file(path: &Path, header: &impl Header) -> Result<()> {
    match std::fs::read(path) {
        Ok(bytes) => check_header(path, bytes.split(|byte| *byte == b'\n').next().unwrap_or_default(), header),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(path, "read", &error)),
    }
}

fn check_header<H: Header>(path: &Path, first: &[u8], header: &H) -> Result<()> {
    let holds = H::HOLDS;
    let held: H = serde_json::from_slice(first).map_err(|_| {
        Error::file(path, format!("holds something else than {holds}: name another file, it would be overwritten"))
    })?;
    let found = differences(&held.settings(), &header.settings());
    if found.is_empty() {
        return Ok(());
    }
    let found = sentence(&found);
    Err(Error::file(path, format!("holds {holds} of other settings ({found}): name another file, or remove it")))
}

/// Reads the records of a journal without a header, each a line of JSON, up to the first line that is none: a torn last
/// line is left out.
///
/// # Errors
/// A file that can't be read.
pub fn read_records<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", &error))?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map_while(|line| serde_json::from_slice(line).ok()).collect())
}

/// Replaces a journal by one of these records, whole or not at all.
///
/// # Errors
/// A folder that can't be written to, or a full disk.
pub fn replace<T: Serialize>(path: &Path, records: impl IntoIterator<Item = T>) -> Result<()> {
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend(line(path, &record)?);
    }
    files::write(path, &bytes)
}

/// A record as a line of JSON.
fn line(path: &Path, record: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record).map_err(|error| Error::io(path, "written", &error.into()))?;
    line.push(b'\n');
    Ok(line)
}

/// The sizes of a file: up to the end of its last whole line, and as a whole.
fn whole_len(file: &mut File) -> io::Result<(u64, u64)> {
    let total = file.seek(SeekFrom::End(0))?;
    let (mut end, mut block) = (total, vec![0; 1 << 12]);
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let piece = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok((start + at as u64 + 1, total));
        }
        end = start;
    }
    Ok((0, total))
}

/// The reason that a journal can't be written, and what to do.
fn write_error(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let what = match error.kind() {
        StorageFull => "the disk is full",
        QuotaExceeded => "the quota is used up",
        FileTooLarge => "it is as large as the system lets it be",
        _ => return Error::io(path, "written", error),
    };
    Error::file(path, format!("can't be written: {what}; what it holds is whole: make room and resume (--resume)"))
}

#[cfg(test)]
mod tests;
