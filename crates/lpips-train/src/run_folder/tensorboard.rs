//! `TensorBoard` event files: protocol buffers in `TFRecord` framing, encoded by hand as three kinds of message
//! suffice.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest time that events stay in the buffer.
const FLUSH: Duration = Duration::from_secs(2);

/// An event file.
#[derive(Debug)]
pub(crate) struct Events {
    file: io::BufWriter<File>,
    path: PathBuf,
    flushed: Instant,
}

impl Events {
    /// Creates an event file in `folder`.
    ///
    /// # Errors
    /// A folder that can't be written to.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let now = seconds();
        let path = folder.join(format!("events.out.tfevents.{}.{}.lpips", now as u64, std::process::id()));
        let file = io::BufWriter::new(File::create(&path)?);
        let mut events = Self { file, path, flushed: Instant::now() };
        let mut event = Message::default();
        event.double(1, now);
        event.bytes(3, b"brain.Event:2");
        events.record(&event.0)?;
        events.file.flush()?;
        Ok(events)
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes values of a step, by name.
    ///
    /// # Errors
    /// A full disk.
    pub(crate) fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> io::Result<()> {
        let mut summary = Message::default();
        for (name, value) in scalars {
            let mut one = Message::default();
            one.bytes(1, name.as_bytes());
            one.float(2, *value as f32);
            summary.bytes(1, &one.0);
        }
        let mut event = Message::default();
        event.double(1, seconds());
        event.integer(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0)?;
        if self.flushed.elapsed() > FLUSH {
            self.flush()?;
        }
        Ok(())
    }

    /// Flushes the buffer.
    ///
    /// # Errors
    /// A full disk.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        self.file.flush()
    }

    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        self.file.write_all(&length)?;
        self.file.write_all(&masked(&length).to_le_bytes())?;
        self.file.write_all(data)?;
        self.file.write_all(&masked(data).to_le_bytes())
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Encoder of one protocol buffer.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }
}

/// The checksum of a record: a CRC-32C, rotated and shifted as `TFRecord` prescribes.
fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit, as records are short.
fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes the fields of a message: the number of each, and its bytes (little-endian for numbers).
    fn fields(mut data: &[u8]) -> Vec<(u64, Vec<u8>)> {
        fn varint(data: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = data[0];
                *data = &data[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        let mut fields = Vec::new();
        while !data.is_empty() {
            let key = varint(&mut data);
            let value = match key & 7 {
                0 => varint(&mut data).to_le_bytes().to_vec(),
                kind => {
                    let length = match kind {
                        1 => 8,
                        5 => 4,
                        _ => varint(&mut data) as usize,
                    };
                    let (value, rest) = data.split_at(length);
                    data = rest;
                    value.to_vec()
                }
            };
            fields.push((key >> 3, value));
        }
        fields
    }

    #[test]
    fn crc32c_check_value_matches_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn tensorboard_event_file_roundtrip() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = Events::create(folder.path()).unwrap();
        events.scalars(300, &[("loss", 0.25), ("accuracy", 0.75)]).unwrap();
        events.flush().unwrap();
        let mut data = &std::fs::read(events.path()).unwrap()[..];
        let mut records = Vec::new();
        while !data.is_empty() {
            let length = u64::from_le_bytes(data[..8].try_into().unwrap()) as usize;
            assert_eq!(data[8..12], masked(&data[..8]).to_le_bytes());
            let record = &data[12..12 + length];
            assert_eq!(data[12 + length..16 + length], masked(record).to_le_bytes());
            records.push(fields(record));
            data = &data[16 + length..];
        }
        assert_eq!(records.len(), 2);
        assert_eq!(records[0][1], (3, b"brain.Event:2".to_vec()));
        assert_eq!(records[1][1], (2, 300u64.to_le_bytes().to_vec()));
        let scalars: Vec<_> = fields(&records[1][2].1).iter().map(|(_, scalar)| fields(scalar)).collect();
        assert_eq!(scalars[0], [(1, b"loss".to_vec()), (2, 0.25f32.to_le_bytes().to_vec())]);
        assert_eq!(scalars[1], [(1, b"accuracy".to_vec()), (2, 0.75f32.to_le_bytes().to_vec())]);
    }
}
