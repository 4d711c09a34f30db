//! Safe extraction of untrusted `.tar` archives, plain or compressed with gzip.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::bufread::MultiGzDecoder;
use rayon::prelude::*;
use tar::EntryType;

use crate::error::{Error, Result};

/// Largest size of an entry, or of its name, which an archive may spread over many blocks, in bytes.
const LARGEST_ENTRY: u64 = 64 << 20;

/// Longest name of an entry in bytes; below any system's limit for paths.
const LONGEST_NAME: usize = 200;

/// Reason that an archive was not unpacked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The archive is damaged, or holds something not permitted: a retry would not help.
    Refused(String),
    /// The archive can't be read, or its contents can't be written.
    Disk(Error),
    /// Stopped on request.
    Stopped,
}

/// Unpacks an archive into the folder `into`, which must not exist.
///
/// Only files and folders inside `into` are written; the first entry that is something else, or leads out of it, ends
/// the extraction. `largest` limits the extracted bytes, headers included. `progress` receives the bytes of the archive
/// read so far.
pub(super) fn unpack(
    archive: &Path,
    into: &Path,
    largest: u64,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    let unreadable = |error: io::Error| Failure::Disk(Error::io(archive, "read", &error));
    let (packed, bounds) = (Cell::new(0), Bounds { entry: Cell::new(LARGEST_ENTRY), all: Cell::new(largest) });
    let file = Counted { inner: File::open(archive).map_err(unreadable)?, count: &packed };
    let mut file = BufReader::with_capacity(1 << 18, file);
    let is_gzip = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    let stream: Box<dyn Read + '_> = if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut tar = tar::Archive::new(Bounded { inner: stream, bounds: &bounds });
    // An error of the operating system is no damage of the archive.
    let damaged = |error: io::Error| match error.raw_os_error() {
        Some(_) => unreadable(error),
        None if bounds.all.get() == 0 => {
            Failure::Refused(format!("unpacks to more than the {largest} bytes that were expected at most"))
        }
        None => Failure::Refused(format!("is damaged ({})", error.to_string().escape_debug())),
    };
    let create = |folder: &Path| fs::create_dir_all(folder).map_err(|error| Failure::Disk(unwritable(folder, &error)));
    fs::create_dir(into).map_err(|error| Failure::Disk(unwritable(into, &error)))?;
    let (mut buffer, mut fresh) = (vec![0; 1 << 16], Vec::new());
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        bounds.entry.set(2 * LARGEST_ENTRY);
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Stopped);
        }
        progress(packed.get());
        let (kind, bytes) = (entry.header().entry_type(), entry.path_bytes().into_owned());
        // Attributes of the archive as a whole; no file.
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        if bytes.len() > LONGEST_NAME {
            return Err(Failure::Refused(format!("holds an entry whose name is {} bytes long", bytes.len())));
        }
        let name = String::from_utf8_lossy(&bytes).escape_debug().to_string();
        let refused = |what: &str| Failure::Refused(format!("holds '{name}', which {what}"));
        let place = into.join(inside(kind, &bytes).map_err(refused)?);
        if kind == EntryType::Directory || bytes.ends_with(b"/") {
            create(&place)?;
            continue;
        }
        if place == into {
            return Err(refused("is a file without a name"));
        }
        if entry.size() > LARGEST_ENTRY {
            return Err(refused(&format!("has {} bytes: no picture or judgment is so large", entry.size())));
        }
        create(place.parent().unwrap_or(into))?;
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => refused("is in it twice"),
            _ => Failure::Disk(unwritable(&place, &error)),
        };
        let mut target = File::create_new(&place).map_err(fail)?;
        let mut written = 0;
        loop {
            let count = entry.read(&mut buffer).map_err(damaged)?;
            if count == 0 {
                break;
            }
            target.write_all(&buffer[..count]).map_err(fail)?;
            written += count as u64;
        }
        if written != entry.size() {
            return Err(Failure::Refused(format!("is damaged (it ends in the middle of '{name}')")));
        }
        fresh.push(place);
        if fresh.len() == 1000 {
            sync(&mut fresh)?;
        }
    }
    sync(&mut fresh)?;
    // The checksum of a gzip stream is at its end.
    bounds.entry.set(LARGEST_ENTRY);
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(damaged)?;
    progress(packed.get());
    Ok(())
}

/// Syncs files to the disk in parallel: one at a time takes hours on a slow disk.
fn sync(files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let sync = |path: PathBuf| {
        let synced = OpenOptions::new().write(true).open(&path).and_then(|file| file.sync_all());
        synced.map_err(|error| Failure::Disk(unwritable(&path, &error)))
    };
    files.par_drain(..).try_for_each(sync)
}

/// Path of an entry within the archive's folder, or why it is refused. A permitted name means the same on every system.
fn inside(kind: EntryType, name: &[u8]) -> Result<PathBuf, &'static str> {
    match kind {
        EntryType::Regular | EntryType::Directory => {}
        EntryType::Symlink => return Err("is a symbolic link"),
        EntryType::Link => return Err("is a hard link"),
        EntryType::Char | EntryType::Block | EntryType::Fifo => return Err("is a device"),
        _ => return Err("is neither a file nor a folder"),
    }
    let name = std::str::from_utf8(name).map_err(|_| "has a name that is not UTF-8")?;
    if name.starts_with('/') {
        return Err("is an absolute path");
    }
    if name.contains(['\\', ':']) || name.chars().any(char::is_control) {
        return Err("has a backslash, a colon or a control character in its name");
    }
    let parts = name.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts: Vec<&str> = parts.collect();
    if parts.contains(&"..") {
        return Err("leads out of the folder by '..'");
    }
    Ok(parts.iter().collect())
}

/// Error of writing downloaded data; the same command resumes the work.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull => {
            Error::file(path, "can't be written: the disk is full; make room, and the same command resumes the work")
        }
        _ => Error::io(path, "written", error),
    }
}

/// Reader that counts its bytes.
struct Counted<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// Bytes that may still be extracted: before the next entry, whose headers are read into memory as a whole, and in all.
struct Bounds {
    entry: Cell<u64>,
    all: Cell<u64>,
}

/// Reader that fails beyond its bounds.
struct Bounded<'a, R> {
    inner: R,
    bounds: &'a Bounds,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Bounds { entry, all } = self.bounds;
        let left = entry.get().min(all.get()).min(buffer.len() as u64);
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("more comes out than any picture and its name take"));
        }
        let count = self.inner.read(&mut buffer[..left as usize])?;
        entry.set(entry.get() - count as u64);
        all.set(all.get() - count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
