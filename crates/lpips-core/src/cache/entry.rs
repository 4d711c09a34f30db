//! File format of an entry: safetensors with the entry's key and the CRC-32 of its numbers as metadata.
//!
//! Everything but the checksum is known before the file is read, so the header is compared, not parsed. Numbers go
//! through a small buffer, as the allocation of whole entries would take longer than the work on them.

use std::fs::File;
use std::io::{self, Read, Write};

use candle_core::{DType, Device, Storage, Tensor, bail};
use crc32fast::Hasher;
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde_json::{Map, Value, json};

use super::key::Key;
use super::precision::Precision;
use crate::error::Result;
use crate::features::Features;

/// Name of a tapped layer and shape of its output for one picture, (1, H', W', C).
pub(super) type Shape = (&'static str, [usize; 4]);

/// Numbers read or written at once.
const CHUNK: usize = 1 << 12;

/// Entry to be written.
pub(super) struct Entry {
    header: Vec<u8>,
    /// Taps in f32 on the CPU.
    taps: Vec<Tensor>,
    halved: bool,
}

impl Entry {
    /// Entry of one picture's features; `None` where these hold NaN or infinity.
    pub(super) fn new(key: &Key, features: &Features, precision: Precision) -> Result<Option<Self>> {
        let plain = |tap: &Tensor| tap.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous();
        let taps = features.taps.iter().map(plain).collect::<candle_core::Result<Vec<_>>>()?;
        let largest = taps.iter().map(|tap| numbers(tap, largest)).collect::<candle_core::Result<Vec<_>>>()?;
        if largest.iter().any(|value| !value.is_finite()) {
            return Ok(None);
        }
        let halved = precision == Precision::F16 && largest.iter().all(|value| *value <= f16::MAX.to_f32());
        let mut checksum = Checksum(Hasher::new());
        for tap in &taps {
            numbers(tap, |values| write(&mut checksum, values, halved))?.map_err(candle_core::Error::from)?;
        }
        let shapes = features.spec.taps.iter().zip(&taps).map(|(name, tap)| Ok((*name, tap.dims4()?.into())));
        let shapes = shapes.collect::<candle_core::Result<Vec<_>>>()?;
        let header = header(key, &shapes, halved, checksum.0.finalize());
        Ok(Some(Self { header, taps, halved }))
    }

    /// Length of the file in bytes.
    pub(super) fn length(&self) -> u64 {
        let numbers: usize = self.taps.iter().map(Tensor::elem_count).sum();
        (self.header.len() + numbers * size(self.halved)) as u64
    }

    pub(super) fn write_to(&self, mut file: impl Write) -> io::Result<()> {
        file.write_all(&self.header)?;
        for tap in &self.taps {
            numbers(tap, |values| write(&mut file, values, self.halved)).map_err(io::Error::other)??;
        }
        Ok(())
    }

    /// Taps as stored, in f32 on the CPU, where rounding to f16 changed them.
    pub(super) fn rounded(&self) -> Result<Option<Vec<Tensor>>> {
        let round = |tap| Tensor::from_vec(numbers(tap, rounded)?, tap.shape(), &Device::Cpu);
        let taps = self.halved.then(|| self.taps.iter().map(round).collect::<candle_core::Result<_>>());
        Ok(taps.transpose()?)
    }
}

/// Writer that only computes a CRC-32.
struct Checksum(Hasher);

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Error of reading an entry.
pub(super) enum ReadError {
    /// A file that can't be read.
    Unreadable(io::Error),
    /// A file that is not the complete, undamaged entry of the key.
    Damaged,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Damaged } else { Self::Unreadable(error) }
    }
}

/// Reads the numbers of each tap of an entry.
pub(super) fn read(
    mut file: File,
    key: &Key,
    shapes: &[Shape],
    precision: Precision,
) -> std::result::Result<Vec<Vec<f32>>, ReadError> {
    let counts: Vec<usize> = shapes.iter().map(|(_, shape)| shape.iter().product()).collect();
    let length = file.metadata()?.len();
    let is_whole = |halved: &bool| {
        let header = header(key, shapes, *halved, 0).len();
        (header + counts.iter().sum::<usize>() * size(*halved)) as u64 == length
    };
    let kinds: &[bool] = if precision == Precision::F16 { &[true, false] } else { &[false] };
    let halved = kinds.iter().copied().find(is_whole).ok_or(ReadError::Damaged)?;
    let mut given = header(key, shapes, halved, 0);
    file.read_exact(&mut given)?;
    let mut checksum = Hasher::new();
    let mut taps = Vec::with_capacity(counts.len());
    for count in counts {
        let mut values = vec![0.0; count];
        let mut bytes = [0; CHUNK * size_of::<f32>()];
        for values in values.chunks_mut(CHUNK) {
            let bytes = &mut bytes[..values.len() * size(halved)];
            file.read_exact(bytes)?;
            checksum.update(bytes);
            from_bytes(bytes, values, halved);
            if !largest(values).is_finite() {
                return Err(ReadError::Damaged);
            }
        }
        taps.push(values);
    }
    if given == header(key, shapes, halved, checksum.finalize()) { Ok(taps) } else { Err(ReadError::Damaged) }
}

/// Length of the header, and the header, padded with spaces to a multiple of 8 bytes.
fn header(key: &Key, shapes: &[Shape], halved: bool, checksum: u32) -> Vec<u8> {
    let about = json!({ "key": key.to_string(), "crc32": format!("{checksum:08x}") });
    let mut header = Map::from_iter([("__metadata__".to_string(), about)]);
    let mut start = 0;
    for (name, shape) in shapes {
        let end = start + shape.iter().product::<usize>() * size(halved);
        let dtype = if halved { "F16" } else { "F32" };
        header.insert((*name).to_string(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] }));
        start = end;
    }
    let mut header = Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

/// Size of a number in bytes.
fn size(halved: bool) -> usize {
    if halved { size_of::<f16>() } else { size_of::<f32>() }
}

/// Largest absolute value; NaN where any is NaN.
fn largest(values: &[f32]) -> f32 {
    // Without a sign, floats are ordered as their bits are, infinity and NaN above all others.
    f32::from_bits(values.iter().map(|value| value.abs().to_bits()).fold(0, u32::max))
}

/// Calls `f` with the numbers of a contiguous CPU tensor, without a copy.
fn numbers<T>(tap: &Tensor, f: impl FnOnce(&[f32]) -> T) -> candle_core::Result<T> {
    let (storage, layout) = tap.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((from, to))) => Ok(f(&storage.as_slice()?[from..to])),
        _ => bail!("the tap is not on the CPU in one piece"),
    }
}

/// Writes numbers in chunks.
fn write(file: &mut impl Write, values: &[f32], halved: bool) -> io::Result<()> {
    let mut bytes = [0; CHUNK * size_of::<f32>()];
    values.chunks(CHUNK).try_for_each(|values| {
        let bytes = &mut bytes[..values.len() * size(halved)];
        to_bytes(values, bytes, halved);
        file.write_all(bytes)
    })
}

/// Rounds to f16.
fn rounded(values: &[f32]) -> Vec<f32> {
    let mut values = values.to_vec();
    for values in values.chunks_mut(CHUNK) {
        let mut halves = [f16::ZERO; CHUNK];
        let halves = &mut halves[..values.len()];
        halves.convert_from_f32_slice(values);
        halves.convert_to_f32_slice(values);
    }
    values
}

/// Writes numbers as little-endian bytes.
fn to_bytes(values: &[f32], bytes: &mut [u8], halved: bool) {
    if halved {
        let mut halves = [f16::ZERO; CHUNK];
        let halves = &mut halves[..values.len()];
        halves.convert_from_f32_slice(values);
        bytes.as_chunks_mut().0.iter_mut().zip(halves).for_each(|(bytes, half)| *bytes = half.to_le_bytes());
    } else {
        bytes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
    }
}

/// Reads numbers from little-endian bytes.
fn from_bytes(bytes: &[u8], values: &mut [f32], halved: bool) {
    if halved {
        let mut halves = [f16::ZERO; CHUNK];
        let halves = &mut halves[..values.len()];
        halves.iter_mut().zip(bytes.as_chunks().0).for_each(|(half, bytes)| *half = f16::from_le_bytes(*bytes));
        halves.convert_to_f32_slice(values);
    } else {
        values.iter_mut().zip(bytes.as_chunks().0).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
    }
}
