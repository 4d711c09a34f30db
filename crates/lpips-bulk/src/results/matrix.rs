//! Symmetric matrices of the distances of all pairs, as CSV or `NumPy` files.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};
use lpips_data::files;
use lpips_data::npy;

use lpips_data::discover::bytes;

/// The format of a matrix file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatrixFormat {
    /// CSV with the pictures' names in the first row and the first column; the cell of a failed pair is empty.
    Csv,
    /// `NumPy`'s `.npy`, f32 of shape (N, N); NaN for a failed pair.
    Npy,
}

impl MatrixFormat {
    /// The format of a file by its extension.
    ///
    /// # Errors
    /// Another extension than `.csv` and `.npy`.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("npy") => Ok(Self::Npy),
            _ => Err(Error::file(path, "is no name for a matrix: expected one that ends in .csv or .npy")),
        }
    }
}

/// Collects the distances of all pairs and writes them as a matrix with a diagonal of 0. Until then its upper half is
/// in an unnamed file in the same folder: memory does not grow with the number of pairs, and nothing is left behind.
///
/// ```
/// use lpips_bulk::results::matrix::DistanceMatrix;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("matrix.csv");
/// let mut matrix = DistanceMatrix::create(&path, 2)?;
/// matrix.add(0, 0.25)?;
/// matrix.finish(&["a.png", "b.png"].map(|name| std::path::Path::new(name).into()))?;
/// assert_eq!(std::fs::read_to_string(&path)?, ",a.png,b.png\na.png,0,0.25\nb.png,0.25,0\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DistanceMatrix {
    path: PathBuf,
    format: MatrixFormat,
    pictures: u64,
    half: BufWriter<File>,
    /// Number of distances of the upper half that are written.
    written: u64,
}

/// Bytes of the rows that are assembled at a time; at least one row is.
const BLOCK: u64 = 64 << 20;

impl DistanceMatrix {
    /// Begins a matrix of `pictures` rows and columns.
    ///
    /// # Errors
    /// An extension of no matrix format; a folder that can't be written to.
    pub fn create(path: &Path, pictures: usize) -> Result<Self> {
        let format = MatrixFormat::of(path)?;
        let half = tempfile::tempfile_in(files::folder_of(path)).map_err(|error| Error::io(path, "written", &error))?;
        Ok(Self { path: path.to_path_buf(), format, pictures: pictures as u64, half: BufWriter::new(half), written: 0 })
    }

    /// Adds the distance of a pair by its index among all pairs (i, j), i < j, in order. Indices must grow; an index
    /// that is skipped is a failed pair.
    ///
    /// # Errors
    /// A full disk; an index that does not grow.
    pub fn add(&mut self, index: u64, distance: f64) -> Result<()> {
        if index < self.written {
            return Err(Error::file(
                &self.path,
                format!("pair {index} is out of order: expected {} or a later one", self.written),
            ));
        }
        self.fill(index)?;
        self.put(distance as f32)
    }

    /// Writes the file, whole or not at all. `names` are the pictures' names, which CSV has.
    ///
    /// # Errors
    /// A full disk.
    pub fn finish(mut self, names: &[Box<Path>]) -> Result<()> {
        let n = self.pictures;
        self.fill(n * n.saturating_sub(1) / 2)?;
        let fail = |error: io::Error| Error::io(&self.path, "written", &error);
        let mut half = self.half.into_inner().map_err(|error| fail(error.into_error()))?;
        files::write_with(&self.path, |file| {
            let mut out = BufWriter::new(file);
            match self.format {
                MatrixFormat::Npy => {
                    out.write_all(&npy::header(&format!("({n}, {n})")))?;
                    rows(&mut half, n, BLOCK, |_, row| {
                        out.write_all(&row.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
                    })?;
                }
                MatrixFormat::Csv => {
                    let mut csv = csv::Writer::from_writer(&mut out);
                    csv.write_field("")?;
                    names.iter().try_for_each(|name| csv.write_field(bytes(name)))?;
                    csv.write_record(None::<&[u8]>)?;
                    rows(&mut half, n, BLOCK, |i, row| {
                        csv.write_field(names.get(i).map_or(&[][..], |name| bytes(name)))?;
                        for v in row {
                            csv.write_field(if v.is_nan() { String::new() } else { v.to_string() })?;
                        }
                        Ok(csv.write_record(None::<&[u8]>)?)
                    })?;
                    csv.flush()?;
                }
            }
            out.flush()
        })?;
        Ok(())
    }

    /// Writes NaN for the failed pairs before a pair.
    fn fill(&mut self, index: u64) -> Result<()> {
        while self.written < index {
            self.put(f32::NAN)?;
        }
        Ok(())
    }

    fn put(&mut self, distance: f32) -> Result<()> {
        self.written += 1;
        let wrote = self.half.write_all(&distance.to_le_bytes());
        wrote.map_err(|error| Error::io(&self.path, "written", &error))
    }
}

/// Calls `each` for all rows of the matrix of this upper half. `block` bytes of rows are assembled at a time.
fn rows(half: &mut File, n: u64, block: u64, mut each: impl FnMut(usize, &[f32]) -> io::Result<()>) -> io::Result<()> {
    let height = (block / 4 / n.max(1)).clamp(1, n.max(1));
    let mut half = BufReader::new(half);
    let mut read = |from: (u64, u64), into: &mut [f32]| -> io::Result<()> {
        let (i, j) = from;
        let at = i * (2 * n - i - 1) / 2 + (j - i - 1);
        half.seek(SeekFrom::Start(4 * at))?;
        let mut bytes = vec![0; 4 * into.len()];
        half.read_exact(&mut bytes)?;
        for (value, bytes) in into.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        Ok(())
    };
    let width = n as usize;
    for top in (0..n).step_by(height as usize) {
        let bottom = (top + height).min(n);
        let mut rows = vec![0f32; (bottom - top) as usize * width];
        // The values left of the diagonal are above it in earlier rows.
        let mut column = vec![0f32; (bottom - top) as usize];
        for i in 0..bottom - 1 {
            let first = top.max(i + 1);
            let part = &mut column[..(bottom - first) as usize];
            read((i, first), part)?;
            for (j, value) in (first..).zip(&*part) {
                rows[(j - top) as usize * width + i as usize] = *value;
            }
        }
        for i in top..bottom.min(n - 1) {
            let start = (i - top) as usize * width;
            read((i, i + 1), &mut rows[start + i as usize + 1..start + width])?;
        }
        for (i, row) in (top as usize..).zip(rows.chunks_exact(width)) {
            each(i, row)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(n: u64) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for i in 0..n {
            (i + 1..n).for_each(|j| file.write_all(&((100 * i + j) as f32).to_le_bytes()).unwrap());
        }
        file
    }

    #[test]
    fn matrix_rows_are_the_same_for_any_block_size() {
        for n in [1, 2, 3, 7, 20] {
            for block in [1, 4 * n * 2, 4 * n * 3, 1 << 20] {
                let mut seen = 0;
                rows(&mut half(n), n, block, |i, row| {
                    assert_eq!((i, row.len()), (seen, n as usize));
                    for (j, value) in row.iter().enumerate() {
                        let expected = if i == j { 0 } else { 100 * i.min(j) + i.max(j) };
                        assert_eq!(*value as usize, expected, "{i}, {j} of {n}");
                    }
                    seen += 1;
                    Ok(())
                })
                .unwrap();
                assert_eq!(seen, n as usize);
            }
        }
    }

    /// The matrix of three pictures whose pair (0, 2) has failed.
    fn matrix(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        let mut matrix = DistanceMatrix::create(&path, 3).unwrap();
        matrix.add(0, 0.5).unwrap();
        matrix.add(2, 0.25).unwrap();
        assert!(matrix.add(1, 0.1).is_err());
        let names: Vec<Box<Path>> = ["a,1.png", "b.png", "c.png"].map(|name| Path::new(name).into()).to_vec();
        matrix.finish(&names).unwrap();
        path
    }

    #[test]
    fn matrix_csv_has_names_and_empty_cells_for_failed_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(matrix(folder.path(), "m.csv")).unwrap();
        assert_eq!(text, ",\"a,1.png\",b.png,c.png\n\"a,1.png\",0,0.5,\nb.png,0.5,0,0.25\nc.png,,0.25,0\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn matrix_npy_is_read_by_candle_with_nan_for_failed_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let path = matrix(folder.path(), "m.npy");
        let tensor = candle_core::Tensor::read_npy(&path).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(
            (&tensor[1], &tensor[0][..2], tensor[2][1..].to_vec()),
            (&vec![0.5, 0.0, 0.25], &[0.0, 0.5][..], vec![0.25, 0.0])
        );
        assert!(tensor[0][2].is_nan() && tensor[2][0].is_nan());
        assert_eq!(std::fs::read(&path).unwrap().len(), 128 + 36);
    }

    #[test]
    fn matrix_of_another_extension_or_in_a_missing_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = |name: &str| DistanceMatrix::create(&folder.path().join(name), 3).unwrap_err().to_string();
        assert!(error("m.txt").contains("ends in .csv or .npy"), "{}", error("m.txt"));
        assert!(error("none/m.csv").contains("there is no such file or folder"), "{}", error("none/m.csv"));
    }
}
