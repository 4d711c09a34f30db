//! Short hexadecimal digests.

use sha2::{Digest, Sha256};

/// First 128 bits of a SHA-256 hash, as 32 hexadecimal digits. Identifies data; no protection against forgery.
pub fn short_hex(hash: Sha256) -> String {
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
