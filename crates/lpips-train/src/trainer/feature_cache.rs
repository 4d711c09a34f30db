//! What a frozen network sees in triplets, kept on disk from the first epoch on.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

/// Taps of triplets in a file of records of one size, by the triplet's number.
#[derive(Debug)]
pub(crate) struct Cache {
    path: PathBuf,
    file: File,
    /// How many triplets have room; the rest are computed anew each time.
    room: usize,
    /// Which of them are there.
    held: Vec<bool>,
    /// The taps' shapes for one picture, (H, W, C).
    shapes: Vec<[usize; 3]>,
}

impl Cache {
    /// In the file at `path`, for `triplets` triplets with taps of these shapes, (H, W, C), and at most `limit` bytes. What an
    /// earlier run has left there is kept for the triplets `held`.
    ///
    /// # Errors
    /// A file that can't be opened.
    pub(crate) fn open(
        path: PathBuf,
        triplets: usize,
        shapes: Vec<[usize; 3]>,
        limit: u64,
        held: &[u32],
    ) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| Error::io(&path, "opened", &error))?;
        let mut cache = Self { path, file, room: triplets, held: vec![false; triplets], shapes };
        let record = cache.record() as u64;
        let fit = usize::try_from(limit / record.max(1)).unwrap_or(usize::MAX);
        if fit < triplets {
            tracing::warn!(
                "features of {triplets} triplets take {:.1} GB, of which {:.1} are allowed: those of {fit} are kept",
                record as f64 * triplets as f64 / 1e9,
                limit as f64 / 1e9
            );
            cache.room = fit;
        }
        // The file may be another than the run had: it is removed at a run's end.
        let length = cache.file.metadata().map_err(|error| Error::io(&cache.path, "read", &error))?.len();
        for &number in held {
            let is_there = (u64::from(number) + 1) * record <= length;
            if let Some(held) = cache.held.get_mut(number as usize).filter(|_| is_there) {
                *held = true;
            }
        }
        Ok(cache)
    }

    /// The triplets that are there.
    pub(crate) fn held(&self) -> Vec<u32> {
        self.held.iter().zip(0..).filter(|(held, _)| **held).map(|(_, number)| number).collect()
    }

    /// Brings what was put in to the disk, so that a checkpoint may rely on it.
    ///
    /// # Errors
    /// A full disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| self.fail(&error))
    }

    /// The places of those of these triplets that are not there.
    pub(crate) fn missing(&self, numbers: &[u32]) -> Vec<u32> {
        numbers.iter().zip(0..).filter(|(number, _)| !self.held[**number as usize]).map(|(_, place)| place).collect()
    }

    /// The taps of these triplets, (3 N, H, W, C), references first: those at the places `fresh` are given, the others are read.
    ///
    /// # Errors
    /// A file that can't be read.
    pub(crate) fn get(
        &mut self,
        numbers: &[u32],
        fresh: &[u32],
        given: &[Tensor],
        device: &Device,
    ) -> Result<Vec<Tensor>> {
        let (n, floats) = (numbers.len(), self.floats());
        let given = given.iter().map(|tap| tap.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>());
        let given = given.collect::<candle_core::Result<Vec<_>>>()?;
        let mut taps: Vec<Vec<f32>> = floats.iter().map(|floats| vec![0.0; 3 * n * floats]).collect();
        let mut record = vec![0; self.record()];
        for (i, &number) in numbers.iter().enumerate() {
            if let Some(place) = fresh.iter().position(|place| *place as usize == i) {
                for ((tap, given), &floats) in taps.iter_mut().zip(&given).zip(&floats) {
                    for part in 0..3 {
                        let from = &given[(part * fresh.len() + place) * floats..][..floats];
                        tap[(part * n + i) * floats..][..floats].copy_from_slice(from);
                    }
                }
                continue;
            }
            self.seek(number)?;
            self.file.read_exact(&mut record).map_err(|error| self.fail(&error))?;
            let mut values = record.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            for (tap, &floats) in taps.iter_mut().zip(&floats) {
                for part in 0..3 {
                    for to in &mut tap[(part * n + i) * floats..][..floats] {
                        *to = values.next().unwrap_or_default();
                    }
                }
            }
        }
        let tensors = taps
            .into_iter()
            .zip(&self.shapes)
            .map(|(tap, shape)| Tensor::from_vec(tap, (3 * n, shape[0], shape[1], shape[2]), device));
        Ok(tensors.collect::<candle_core::Result<_>>()?)
    }

    /// Keeps the taps of these triplets, as far as there is room.
    ///
    /// # Errors
    /// A full disk.
    pub(crate) fn put(&mut self, numbers: &[u32], taps: &[Tensor]) -> Result<()> {
        if numbers.iter().all(|number| self.held[*number as usize] || *number as usize >= self.room) {
            return Ok(());
        }
        let n = numbers.len();
        let values = taps.iter().map(|tap| tap.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>());
        let (values, floats) = (values.collect::<candle_core::Result<Vec<_>>>()?, self.floats());
        let mut record = Vec::with_capacity(self.record());
        for (i, &number) in numbers.iter().enumerate() {
            if number as usize >= self.room {
                continue;
            }
            record.clear();
            for (tap, &floats) in values.iter().zip(&floats) {
                for part in 0..3 {
                    record.extend(tap[(part * n + i) * floats..][..floats].iter().flat_map(|v| v.to_le_bytes()));
                }
            }
            self.seek(number)?;
            self.file.write_all(&record).map_err(|error| self.fail(&error))?;
            self.held[number as usize] = true;
        }
        Ok(())
    }

    fn floats(&self) -> Vec<usize> {
        self.shapes.iter().map(|shape| shape.iter().product()).collect()
    }

    /// Bytes of a triplet's taps.
    fn record(&self) -> usize {
        3 * size_of::<f32>() * self.floats().iter().sum::<usize>()
    }

    fn seek(&mut self, number: u32) -> Result<()> {
        let at = u64::from(number) * self.record() as u64;
        self.file.seek(SeekFrom::Start(at)).map(drop).map_err(|error| Error::io(&self.path, "read", &error))
    }

    fn fail(&self, error: &std::io::Error) -> Error {
        Error::io(&self.path, "read or written", error)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [[usize; 3]; 2] = [[2, 2, 3], [1, 1, 4]];

    fn taps(n: usize, first: f32) -> Vec<Tensor> {
        SHAPES
            .map(|[h, w, c]| {
                let values: Vec<f32> = (0..3 * n * h * w * c).map(|i| first + i as f32).collect();
                Tensor::from_vec(values, (3 * n, h, w, c), &Device::Cpu).unwrap()
            })
            .to_vec()
    }

    fn values(taps: &[Tensor]) -> Vec<Vec<f32>> {
        taps.iter().map(|tap| tap.flatten_all().unwrap().to_vec1().unwrap()).collect()
    }

    #[test]
    fn gives_back_what_it_was_given_in_another_order_and_after_a_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features");
        let mut cache = Cache::open(path.clone(), 5, SHAPES.to_vec(), 1 << 20, &[]).unwrap();
        let three = taps(3, 0.0);
        cache.put(&[4, 0, 2], &three).unwrap();
        assert_eq!(cache.missing(&[0, 1, 4, 3]), [1, 3]);
        assert_eq!(values(&cache.get(&[4, 0, 2], &[], &[], &Device::Cpu).unwrap()), values(&three));
        // The second of the three as if it were not there.
        let second: Vec<Tensor> = three
            .iter()
            .map(|tap| tap.index_select(&Tensor::new(&[1u32, 4, 7], &Device::Cpu).unwrap(), 0).unwrap())
            .collect();
        assert_eq!(values(&cache.get(&[4, 3, 2], &[1], &second, &Device::Cpu).unwrap()), values(&three));
        // Picture 1 of the three batches of three is picture 0 of two.
        let turned = cache.get(&[0, 4], &[], &[], &Device::Cpu).unwrap();
        for (turned, three) in turned.iter().zip(&three) {
            let expected = three.index_select(&Tensor::new(&[1u32, 0, 4, 3, 7, 6], &Device::Cpu).unwrap(), 0).unwrap();
            assert_eq!(values(std::slice::from_ref(turned)), values(&[expected]));
        }
        let held = cache.held();
        assert_eq!(held, [0, 2, 4]);
        let mut later = Cache::open(path, 5, SHAPES.to_vec(), 1 << 20, &held).unwrap();
        drop(std::fs::remove_file(later.path()));
        let anew = Cache::open(later.path().to_path_buf(), 5, SHAPES.to_vec(), 1 << 20, &held).unwrap();
        assert!(anew.held().is_empty());
        assert_eq!(values(&later.get(&[4, 0, 2], &[], &[], &Device::Cpu).unwrap()), values(&three));
    }

    #[test]
    fn keeps_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        // A triplet takes 3 * 16 floats.
        let mut cache = Cache::open(folder.path().join("features"), 5, SHAPES.to_vec(), 2 * 192, &[]).unwrap();
        cache.put(&[0, 1, 2], &taps(3, 0.0)).unwrap();
        assert_eq!(cache.held(), [0, 1]);
        assert_eq!(cache.missing(&[0, 2]), [1]);
        assert_eq!(std::fs::metadata(cache.path()).unwrap().len(), 2 * 192);
    }
}
