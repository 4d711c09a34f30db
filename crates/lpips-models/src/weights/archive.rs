//! Files of tensors: safetensors, and the zip files that PyTorch writes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::pickle;
use super::scalar::Scalar;
use crate::error::{Error, Result};

/// The size limit of a weights file: the largest of these networks, VGG-19 with its classifier, has 0.6 GB.
pub(super) const LARGEST_FILE: u64 = 2 << 30;

/// The first bytes of files that PyTorch wrote before version 1.6: a pickle, protocol 2, of a 10-byte magic number.
const BARE_PICKLE: [u8; 4] = [0x80, 0x02, 0x8a, 0x0a];

/// A tensor's place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) scalar: Scalar,
    pub(super) shape: Vec<usize>,
    /// The first element, in bytes from the file's start. The rest follow in the shape's order.
    pub(super) start: usize,
}

impl Entry {
    fn same_numbers(&self, other: &Self, bytes: &[u8]) -> bool {
        let data = |entry: &Self| entry.range().and_then(|range| bytes.get(range));
        (self.scalar, &self.shape, data(self)) == (other.scalar, &other.shape, data(other))
    }

    /// The bytes that hold the tensor, or `None` where the shape overflows.
    fn range(&self) -> Option<std::ops::Range<usize>> {
        let count = self.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
        let end = count.checked_mul(self.scalar.bytes())?.checked_add(self.start)?;
        Some(self.start..end)
    }
}

/// A file of tensors, read into memory, with names converted to torchvision's.
///
/// Names are understood as torchvision writes them (`features.0.weight`), as the published package does
/// (`net.slice1.0.weight`, `lin0.model.1.weight`, `lins.0.model.1.weight`), and as this project does (`lin0.weight`).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_models::weights::Archive;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("lin.safetensors");
/// Tensor::new(&[0.5f32, 0.25], &Device::Cpu)?.save_safetensors("lin0.model.1.weight", &path)?;
/// let archive = Archive::open(&path)?;
/// assert_eq!(archive.names().collect::<Vec<_>>(), ["lin0.weight"]);
/// assert_eq!(archive.tensor("lin0.weight", &[2])?, [0.5, 0.25]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    bytes: Cow<'static, [u8]>,
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// Reads a safetensors file or a zip file of PyTorch's (`.pth`, `.pt`, `.bin`), distinguished by their first bytes.
    ///
    /// # Errors
    /// A file that can't be read, is neither of the two, is cut short, or is damaged. Nothing in it is ever executed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read(path).map_err(|source| Error::UnreadableFile { path: path.to_path_buf(), source })?;
        Self::parse(path.to_path_buf(), bytes.into())
    }

    /// Reads a file that is in memory already, with `name` as the path in errors.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        Self::parse(PathBuf::from(name), bytes.into())
    }

    /// Reads safetensors that are part of the program.
    ///
    /// # Errors
    /// Those of [`Self::open`], with `name` as the path.
    pub fn from_static(name: &str, bytes: &'static [u8]) -> Result<Self> {
        Self::parse(PathBuf::from(name), bytes.into())
    }

    fn parse(path: PathBuf, bytes: Cow<'static, [u8]>) -> Result<Self> {
        let entries = if bytes.is_empty() {
            Err("is empty: expected weights as safetensors or a PyTorch .pth".to_string())
        } else if bytes.starts_with(b"PK\x03\x04") {
            read_zip(&bytes)
        } else if bytes.starts_with(&BARE_PICKLE) {
            Err(format!(
                "is in the format that PyTorch wrote before version 1.6, which can't be read without running it; convert \
                 it once with: python -c \"import torch; torch.save(torch.load('{}', map_location='cpu'), 'converted.pth')\"",
                path.display()
            ))
        } else {
            read_safetensors(&bytes)
        };
        let entries = entries.map_err(|reason| Error::file(&path, reason))?;
        let mut named = BTreeMap::new();
        for (name, entry) in entries {
            let inside = entry.range().is_some_and(|range| range.end <= bytes.len());
            if !inside {
                return Err(Error::file(&path, format!("is cut short: tensor {name} reaches past its end")));
            }
            let name = canonical(&name);
            // The published package's files name each lin head twice, with the same numbers.
            match named.get(&name) {
                None => drop(named.insert(name, entry)),
                Some(twin) if twin.same_numbers(&entry, &bytes) => {}
                Some(_) => return Err(Error::file(&path, format!("holds {name} twice, with different numbers"))),
            }
        }
        Ok(Self { path, bytes, entries: named })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The shape of a tensor, if the file has it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// A tensor's elements as f32, which must have exactly this shape and be finite.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape, or holds NaN or infinity.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let fail = |reason: String| Err(Error::file(&self.path, reason));
        let Some(entry) = self.entries.get(name) else {
            return fail(format!("has no tensor {name}"));
        };
        if entry.shape != shape {
            return fail(format!("tensor {name} has shape {:?}, expected {shape:?}", entry.shape));
        }
        if entry.scalar == Scalar::Other {
            return fail(format!("tensor {name} does not hold f64, f32, f16 or bf16 numbers"));
        }
        let data = entry.range().and_then(|range| self.bytes.get(range)).unwrap_or_default();
        let data = match entry.scalar {
            Scalar::F64 => convert(data, |b| f64::from_le_bytes(b) as f32),
            Scalar::F32 => convert(data, f32::from_le_bytes),
            Scalar::F16 => convert(data, |b| f16::from_le_bytes(b).to_f32()),
            Scalar::Bf16 => convert(data, |b| bf16::from_le_bytes(b).to_f32()),
            Scalar::Other => Vec::new(),
        };
        match data.iter().find(|value| !value.is_finite()) {
            Some(value) => fail(format!("tensor {name} holds {value}: weights must be finite numbers")),
            None => Ok(data),
        }
    }
}

fn convert<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::with_capacity(metadata.len().min(LARGEST_FILE) as usize);
    if file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)? as u64 > LARGEST_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn read_safetensors(bytes: &[u8]) -> Result<Vec<(String, Entry)>, String> {
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
        use safetensors::SafeTensorError as E;
        match error {
            E::MetadataIncompleteBuffer => "is cut short or has bytes added: fetch or copy it again".to_string(),
            E::InvalidHeaderLength if bytes.first() == Some(&0) => "is not a weights file".to_string(),
            _ => format!("is not a weights file: expected safetensors or a PyTorch .pth ({error})"),
        }
    })?;
    let data = header + size_of::<u64>();
    let mut entries = Vec::new();
    for (name, info) in metadata.tensors() {
        let scalar = match info.dtype {
            Dtype::F64 => Scalar::F64,
            Dtype::F32 => Scalar::F32,
            Dtype::F16 => Scalar::F16,
            Dtype::BF16 => Scalar::Bf16,
            _ => Scalar::Other,
        };
        let start = data + info.data_offsets.0;
        entries.push((name, Entry { scalar, shape: info.shape.clone(), start }));
    }
    Ok(entries)
}

/// A zip file of PyTorch's: a pickle that describes the tensors, and one stored (never compressed) file for each
/// storage.
fn read_zip(bytes: &[u8]) -> Result<Vec<(String, Entry)>, String> {
    let damaged = |error: zip::result::ZipError| format!("is a damaged zip file or cut short ({error})");
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let names: Vec<String> = zip.file_names().flatten().map(String::from).collect();
    let Some(pickle_name) = names.iter().find(|name| name.ends_with("data.pkl")) else {
        return Err("is a zip file without a data.pkl inside: not a file that PyTorch saved".to_string());
    };
    let folder = pickle_name.trim_end_matches("data.pkl").to_string();
    let mut stored = |name: &str| -> Result<std::ops::Range<usize>, String> {
        let index = zip.index_for_name(name).ok_or_else(|| format!("is incomplete: it lacks {name}"))?;
        let file = zip.by_index_raw(index).map_err(damaged)?;
        if file.compression() != zip::CompressionMethod::Stored {
            return Err(format!("is compressed ({name}), which PyTorch never does: save it again with torch.save"));
        }
        let start = usize::try_from(file.data_start().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(file.size()).unwrap_or(usize::MAX));
        if end > bytes.len() {
            return Err(format!("is cut short: {name} reaches past its end"));
        }
        Ok(start..end)
    };
    let byteorder = format!("{folder}byteorder");
    if names.contains(&byteorder) && &bytes[stored(&byteorder)?] == b"big" {
        return Err("was written on a big-endian machine: save it again on a little-endian one".to_string());
    }
    let pickle = stored(pickle_name)?;
    let tensors = pickle::state_dict(&bytes[pickle])?;
    let mut entries = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let storage = stored(&format!("{folder}data/{}", tensor.storage))?;
        if !tensor.is_contiguous() {
            return Err(format!("tensor {name} is not contiguous: call .contiguous() before torch.save"));
        }
        let start = tensor.offset.checked_mul(tensor.scalar.bytes()).and_then(|at| at.checked_add(storage.start));
        let entry = start.map(|start| Entry { scalar: tensor.scalar, shape: tensor.shape, start });
        let inside = |entry: &Entry| entry.range().is_some_and(|range| range.end <= storage.end);
        let Some(entry) = entry.filter(inside) else {
            return Err(format!("tensor {name} reaches past its storage: the file is damaged"));
        };
        entries.push((name, entry));
    }
    Ok(entries)
}

/// Converts a name to the form of torchvision and this project.
fn canonical(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    let backbone = name.strip_prefix("net.").unwrap_or(name);
    if let Some((slice, rest)) = backbone.strip_prefix("slice").and_then(|rest| rest.split_once('.'))
        && slice.bytes().all(|b| b.is_ascii_digit())
    {
        return format!("features.{rest}");
    }
    if let Some(rest) = name.strip_prefix("lins.").or_else(|| name.strip_prefix("lin"))
        && let Some((index, rest)) = rest.split_once('.')
        && index.bytes().all(|b| b.is_ascii_digit())
        && matches!(rest, "weight" | "model.0.weight" | "model.1.weight")
    {
        return format!("lin{index}.weight");
    }
    backbone.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensor_names_are_converted_to_torchvision() {
        for (given, expected) in [
            ("features.0.weight", "features.0.weight"),
            ("net.slice2.3.bias", "features.3.bias"),
            ("slice5.10.expand1x1.weight", "features.10.expand1x1.weight"),
            ("module.net.slice1.0.weight", "features.0.weight"),
            ("lin0.model.1.weight", "lin0.weight"),
            ("lin3.model.0.weight", "lin3.weight"),
            ("lins.6.model.1.weight", "lin6.weight"),
            ("lin2.weight", "lin2.weight"),
            ("classifier.6.weight", "classifier.6.weight"),
            ("scaling_layer.shift", "scaling_layer.shift"),
            ("linear.weight", "linear.weight"),
        ] {
            assert_eq!(canonical(given), expected);
        }
    }

    #[test]
    fn damaged_safetensors_never_panic() {
        let data = vec![0u8; 64];
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![4, 4], &data).unwrap();
        let bytes = safetensors::serialize([("features.0.weight", view)], None).unwrap();
        let parse = |bytes: Vec<u8>| Archive::parse("x".into(), bytes.into());
        assert!(parse(bytes.clone()).unwrap().tensor("features.0.weight", &[4, 4]).is_ok());
        for cut in 0..bytes.len() {
            assert!(parse(bytes[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() - data.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                if let Ok(archive) = parse(bytes) {
                    let names: Vec<String> = archive.names().map(String::from).collect();
                    for name in names {
                        let _ = archive.tensor(&name, &[4, 4]);
                    }
                }
            }
        }
        let mut huge = bytes;
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(parse(huge).is_err());
    }

    #[test]
    fn archive_refuses_two_names_with_different_numbers() {
        let (a, b) = ([1u8; 8], [2u8; 8]);
        let view = |data| safetensors::tensor::TensorView::new(Dtype::F32, vec![2], data).unwrap();
        let parse = |first, second| {
            let bytes = safetensors::serialize(
                [("lin0.model.1.weight", view(first)), ("lins.0.model.1.weight", view(second))],
                None,
            );
            Archive::parse("x".into(), bytes.unwrap().into())
        };
        assert!(parse(&a, &a).is_ok());
        let error = parse(&a, &b).unwrap_err().to_string();
        assert!(error.contains("lin0.weight twice"), "{error}");
    }

    #[test]
    fn archive_refuses_integer_tensors() {
        let data = [0u8; 4];
        let view = safetensors::tensor::TensorView::new(Dtype::I8, vec![4], &data).unwrap();
        let bytes = safetensors::serialize([("a", view)], None).unwrap();
        let archive = Archive::parse("x".into(), bytes.into()).unwrap();
        assert!(archive.tensor("a", &[4]).unwrap_err().to_string().contains("does not hold"));
    }

    #[test]
    fn archive_widens_f16_and_refuses_infinity() {
        let data: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(Dtype::F16, vec![2], &data).unwrap();
        let bytes = safetensors::serialize([("a", view)], None).unwrap();
        let archive = Archive::parse("x".into(), bytes.into()).unwrap();
        assert_eq!(archive.tensor("a", &[2]).unwrap(), [1.5, -2.0]);

        let data: Vec<u8> = [1.0f32, f32::INFINITY].iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![2], &data).unwrap();
        let bytes = safetensors::serialize([("a", view)], None).unwrap();
        let archive = Archive::parse("x".into(), bytes.into()).unwrap();
        let error = archive.tensor("a", &[2]).unwrap_err().to_string();
        assert!(error.contains("tensor a holds inf"), "{error}");
    }
}
