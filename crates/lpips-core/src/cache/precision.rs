//! Precision of cached numbers.

/// Precision of an entry's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Precision {
    /// f32, as computed.
    #[default]
    F32,
    /// f16, in half the space: distances change, by less than 4e-5 on the pictures tried. An entry with a number above
    /// 65,504, the largest of f16, is stored as f32.
    F16,
}
