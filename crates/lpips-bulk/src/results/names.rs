//! Paths as the bytes and texts that result files hold.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The bytes of a path: on Unix as the system has them, elsewhere as UTF-8.
#[cfg(unix)]
pub(super) fn bytes(path: &Path) -> Cow<'_, [u8]> {
    Cow::Borrowed(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

/// The bytes of a path: on Unix as the system has them, elsewhere as UTF-8.
#[cfg(not(unix))]
pub(super) fn bytes(path: &Path) -> Cow<'_, [u8]> {
    Cow::Owned(path.to_string_lossy().into_owned().into_bytes())
}

/// The path of these bytes.
#[cfg(unix)]
pub(super) fn from_bytes(bytes: &[u8]) -> PathBuf {
    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).into()
}

/// The path of these bytes.
#[cfg(not(unix))]
pub(super) fn from_bytes(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// A path as text, and its bytes in base64 where the text lacks some of them.
pub(super) fn text(path: &Path) -> (Cow<'_, str>, Option<String>) {
    let text = path.to_string_lossy();
    let is_lossy = matches!(text, Cow::Owned(_)) && cfg!(unix);
    let base64 = is_lossy.then(|| STANDARD.encode(bytes(path)));
    (text, base64)
}

/// The path of a text and, where there are any, its bytes in base64.
///
/// # Errors
/// Text that is no base64.
pub(super) fn from_text(text: String, base64: Option<String>) -> Result<PathBuf, String> {
    match base64 {
        Some(base64) if cfg!(unix) => {
            let bytes = STANDARD.decode(base64).map_err(|error| format!("has a name that is no base64: {error}"))?;
            Ok(from_bytes(&bytes))
        }
        _ => Ok(text.into()),
    }
}
