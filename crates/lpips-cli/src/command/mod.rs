//! One file per command.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod weights;

/// What the environment decides, for the long help of the commands that compute.
const ENVIRONMENT: &str = "Environment: LPIPS_SIMD (avx512, avx2, neon or portable) makes the CPU compute with these vector \
    instructions in place of the widest that it has.";

/// A number of the command line that must be above 0.
fn positive(given: &str) -> Result<f32, String> {
    given
        .parse()
        .ok()
        .filter(|value: &f32| value.is_finite() && *value > 0.0)
        .ok_or_else(|| "expected a number above 0".into())
}
