//! Number types of stored tensors.

/// The number type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    F64,
    F32,
    F16,
    Bf16,
    /// Integers and the like, which are not read: no network here has any.
    Other,
}

impl Scalar {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other => 0,
        }
    }
}
