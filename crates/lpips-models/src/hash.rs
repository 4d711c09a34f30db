//! SHA-256 over weights.

use sha2::{Digest, Sha256};

/// SHA-256 over the numbers as little-endian f32, in hex.
pub(crate) fn content_hash(tensors: impl IntoIterator<Item = impl AsRef<[f32]>>) -> String {
    let mut hash = Sha256::new();
    let mut bytes = Vec::with_capacity(1 << 16);
    for data in tensors {
        for chunk in data.as_ref().chunks(1 << 14) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
            hash.update(&bytes);
        }
    }
    hex(&hash.finalize())
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
