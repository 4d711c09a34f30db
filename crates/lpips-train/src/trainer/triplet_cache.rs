//! On-disk cache of a frozen backbone's features of triplets, filled during the first epoch.
//!
//! One file of fixed-size records, addressed by the triplet's number: no hashing, no lookup, one read for a triplet.
//! This is not `lpips_core::cache::FeatureCache`, which names entries by a hash of the pixels, one file for each
//! picture, and evicts the least recently used. That one serves folders that many runs share. Here it would cost three
//! files, three hashes and three checksums for each triplet (BAPPS has 151,400 triplets to train on) in steps of a few
//! milliseconds, and its eviction would break the promise that a resumed run repeats the same bits: which triplets are
//! computed together decides the last bits of their features, so that the set of cached triplets has to be a part of
//! the checkpoint.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

/// Taps of triplets, in a file of records of one size.
#[derive(Debug)]
pub(super) struct TripletCache {
    path: PathBuf,
    file: File,
    /// The number of triplets that fit; the backbone computes the rest in every epoch.
    capacity: usize,
    /// Whether each triplet is cached, by number.
    held: Vec<bool>,
    /// The taps' shapes for one picture, (H, W, C).
    shapes: Vec<[usize; 3]>,
}

impl TripletCache {
    /// Opens the file at `path`, for `triplets` triplets with taps of these shapes, (H, W, C), and at most `limit`
    /// bytes. The records of an earlier run stay valid for the triplets `held`.
    ///
    /// # Errors
    /// A file that can't be opened.
    pub(super) fn open(
        path: PathBuf,
        triplets: usize,
        shapes: Vec<[usize; 3]>,
        limit: u64,
        held: &[u32],
    ) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| Error::io(&path, "opened", &error))?;
        let mut cache = Self { path, file, capacity: triplets, held: vec![false; triplets], shapes };
        let record = cache.record() as u64;
        let fit = usize::try_from(limit / record.max(1)).unwrap_or(usize::MAX);
        if fit < triplets {
            tracing::warn!(
                "features of {triplets} triplets take {:.1} GB, of which {:.1} are allowed: those of {fit} are cached",
                record as f64 * triplets as f64 / 1e9,
                limit as f64 / 1e9
            );
            cache.capacity = fit;
        }
        // A run removes the file at its end, so that it may be shorter than the checkpoint says.
        let length = cache.file.metadata().map_err(|error| Error::io(&cache.path, "read", &error))?.len();
        for &number in held {
            let is_there = (u64::from(number) + 1) * record <= length;
            if let Some(held) = cache.held.get_mut(number as usize).filter(|_| is_there) {
                *held = true;
            }
        }
        Ok(cache)
    }

    /// The numbers of the cached triplets.
    pub(super) fn held(&self) -> Vec<u32> {
        self.held.iter().zip(0..).filter(|(held, _)| **held).map(|(_, number)| number).collect()
    }

    /// Syncs the file, so that a checkpoint may rely on it.
    ///
    /// # Errors
    /// A full disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| self.fail(&error))
    }

    /// The places in `numbers` of the triplets that are not cached.
    pub(super) fn missing(&self, numbers: &[u32]) -> Vec<u32> {
        numbers.iter().zip(0..).filter(|(number, _)| !self.held[**number as usize]).map(|(_, place)| place).collect()
    }

    /// The taps of these triplets, (3 N, H, W, C), references first. Those at the places `missing` are taken from
    /// `computed`, the others are read.
    ///
    /// # Errors
    /// A file that can't be read.
    pub(super) fn get(
        &mut self,
        numbers: &[u32],
        missing: &[u32],
        computed: &[Tensor],
        device: &Device,
    ) -> Result<Vec<Tensor>> {
        let (n, floats) = (numbers.len(), self.floats());
        let computed = computed.iter().map(|tap| tap.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>());
        let computed = computed.collect::<candle_core::Result<Vec<_>>>()?;
        let mut taps: Vec<Vec<f32>> = floats.iter().map(|floats| vec![0.0; 3 * n * floats]).collect();
        let mut record = vec![0; self.record()];
        for (i, &number) in numbers.iter().enumerate() {
            if let Some(place) = missing.iter().position(|place| *place as usize == i) {
                for ((tap, computed), &floats) in taps.iter_mut().zip(&computed).zip(&floats) {
                    for part in 0..3 {
                        let from = &computed[(part * missing.len() + place) * floats..][..floats];
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

    /// Stores the taps of these triplets, up to the capacity.
    ///
    /// # Errors
    /// A full disk.
    pub(super) fn put(&mut self, numbers: &[u32], taps: &[Tensor]) -> Result<()> {
        if numbers.iter().all(|number| self.held[*number as usize] || *number as usize >= self.capacity) {
            return Ok(());
        }
        let n = numbers.len();
        let values = taps.iter().map(|tap| tap.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>());
        let (values, floats) = (values.collect::<candle_core::Result<Vec<_>>>()?, self.floats());
        let mut record = Vec::with_capacity(self.record());
        for (i, &number) in numbers.iter().enumerate() {
            if number as usize >= self.capacity {
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

    /// The bytes of one record: the taps of a triplet.
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
    pub(super) fn path(&self) -> &Path {
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
    fn triplet_cache_get_returns_stored_taps_in_any_order_and_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features");
        let mut cache = TripletCache::open(path.clone(), 5, SHAPES.to_vec(), 1 << 20, &[]).unwrap();
        let three = taps(3, 0.0);
        cache.put(&[4, 0, 2], &three).unwrap();
        assert_eq!(cache.missing(&[0, 1, 4, 3]), [1, 3]);
        assert_eq!(values(&cache.get(&[4, 0, 2], &[], &[], &Device::Cpu).unwrap()), values(&three));
        // The second of the three as if it were missing.
        let second: Vec<Tensor> = three
            .iter()
            .map(|tap| tap.index_select(&Tensor::new(&[1u32, 4, 7], &Device::Cpu).unwrap(), 0).unwrap())
            .collect();
        assert_eq!(values(&cache.get(&[4, 3, 2], &[1], &second, &Device::Cpu).unwrap()), values(&three));
        // Picture 1 of the three batches of three is picture 0 of two.
        let swapped = cache.get(&[0, 4], &[], &[], &Device::Cpu).unwrap();
        for (swapped, three) in swapped.iter().zip(&three) {
            let expected = three.index_select(&Tensor::new(&[1u32, 0, 4, 3, 7, 6], &Device::Cpu).unwrap(), 0).unwrap();
            assert_eq!(values(std::slice::from_ref(swapped)), values(&[expected]));
        }
        let held = cache.held();
        assert_eq!(held, [0, 2, 4]);
        let mut later = TripletCache::open(path, 5, SHAPES.to_vec(), 1 << 20, &held).unwrap();
        drop(std::fs::remove_file(later.path()));
        let reopened = TripletCache::open(later.path().to_path_buf(), 5, SHAPES.to_vec(), 1 << 20, &held).unwrap();
        assert!(reopened.held().is_empty());
        assert_eq!(values(&later.get(&[4, 0, 2], &[], &[], &Device::Cpu).unwrap()), values(&three));
    }

    #[test]
    fn triplet_cache_put_stops_at_its_size_limit() {
        let folder = tempfile::tempdir().unwrap();
        // A triplet takes 3 * 16 floats.
        let mut cache = TripletCache::open(folder.path().join("features"), 5, SHAPES.to_vec(), 2 * 192, &[]).unwrap();
        cache.put(&[0, 1, 2], &taps(3, 0.0)).unwrap();
        assert_eq!(cache.held(), [0, 1]);
        assert_eq!(cache.missing(&[0, 2]), [1]);
        assert_eq!(std::fs::metadata(cache.path()).unwrap().len(), 2 * 192);
    }
}
