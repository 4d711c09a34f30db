//! `NumPy`'s `.npy` format: files of one number, which hold judgments, and headers of f32 arrays.
//!
//! ```
//! use lpips_data::npy;
//!
//! let bytes = npy::of_number(0.4);
//! assert_eq!(bytes.len(), 132);
//! assert_eq!(npy::one_number(&bytes), Some(f64::from(0.4f32)));
//! assert_eq!(npy::one_number(b"no such file"), None);
//! ```

use half::f16;

/// Reads the number of a `.npy` file of any real type; `None` where it holds more or fewer, or is no such file.
pub fn one_number(bytes: &[u8]) -> Option<f64> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (major, rest) = (*rest.first()?, rest.get(2..)?);
    let (length, rest) = match major {
        1 => (usize::from(u16::from_le_bytes(*rest.first_chunk()?)), &rest[2..]),
        2 | 3 => (usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?, &rest[4..]),
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length)?;
    let header = std::str::from_utf8(header).ok()?;
    let (_, kind) = header.split_once("'descr':")?;
    let kind = kind.trim_start().strip_prefix('\'')?.split('\'').next()?;
    macro_rules! read {
        ($type:ty, $from:ident) => {
            f64::from(<$type>::$from(data.try_into().ok()?))
        };
    }
    Some(match kind {
        "<f2" => read!(f16, from_le_bytes),
        ">f2" => read!(f16, from_be_bytes),
        "<f4" => read!(f32, from_le_bytes),
        ">f4" => read!(f32, from_be_bytes),
        "<f8" => read!(f64, from_le_bytes),
        ">f8" => read!(f64, from_be_bytes),
        "|u1" | "|b1" => read!(u8, from_le_bytes),
        "|i1" => read!(i8, from_le_bytes),
        "<u2" => read!(u16, from_le_bytes),
        ">u2" => read!(u16, from_be_bytes),
        "<i2" => read!(i16, from_le_bytes),
        ">i2" => read!(i16, from_be_bytes),
        "<u4" => read!(u32, from_le_bytes),
        ">u4" => read!(u32, from_be_bytes),
        "<i4" => read!(i32, from_le_bytes),
        ">i4" => read!(i32, from_be_bytes),
        "<i8" | "<u8" => i64::from_le_bytes(data.try_into().ok()?) as f64,
        ">i8" | ">u8" => i64::from_be_bytes(data.try_into().ok()?) as f64,
        _ => return None,
    })
}

/// Writes a `.npy` file of one f32, of shape (1,), as the judgments of BAPPS are.
pub fn of_number(value: f32) -> Vec<u8> {
    let mut bytes = header("(1,)");
    bytes.extend(value.to_le_bytes());
    bytes
}

/// Header of a `.npy` file of little-endian f32 values; `shape` is a tuple as Python writes it, such as `(2, 3)`.
pub fn header(shape: &str) -> Vec<u8> {
    // NumPy pads the header so that the data begins at a multiple of 64.
    let header = format!("{:<117}\n", format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn npy_number_reads_from_any_real_type() {
        assert_eq!(one_number(&npy("<f4", "(1,)", &0.4f32.to_le_bytes())), Some(f64::from(0.4f32)));
        assert_eq!(one_number(&npy("<f8", "()", &0.4f64.to_le_bytes())), Some(0.4));
        assert_eq!(one_number(&npy(">f4", "(1,)", &0.25f32.to_be_bytes())), Some(0.25));
        assert_eq!(one_number(&npy("<i8", "(1,)", &1i64.to_le_bytes())), Some(1.0));
        assert_eq!(one_number(&npy("|u1", "(1,)", &[1])), Some(1.0));
        assert_eq!(one_number(&npy("<f2", "(1,)", &f16::from_f32(0.5).to_le_bytes())), Some(0.5));
        assert_eq!(one_number(&npy(">u4", "(1,)", &1u32.to_be_bytes())), Some(1.0));
    }

    #[test]
    fn npy_number_roundtrips_and_is_aligned() {
        for value in [0.0, 0.4, 1.0] {
            let bytes = of_number(value);
            assert_eq!(one_number(&bytes), Some(f64::from(value)));
            assert!(bytes.len() == 132 && bytes[127] == b'\n');
        }
    }

    #[test]
    fn npy_number_refuses_arrays_and_truncated_files() {
        assert_eq!(one_number(&npy("<f4", "(2,)", &[0; 8])), None);
        assert_eq!(one_number(&npy("<f4", "(1000000000000,)", &[0; 4])), Some(0.0), "the shape is not trusted");
        assert_eq!(one_number(&npy("<f4", "(0,)", &[])), None);
        assert_eq!(one_number(&npy("<U3", "(1,)", &[0; 12])), None);
        let whole = npy("<f4", "(1,)", &0.4f32.to_le_bytes());
        for length in 0..whole.len() {
            assert_eq!(one_number(&whole[..length]), None);
        }
    }
}
