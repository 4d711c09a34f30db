//! One file per command.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod weights;

/// A number of the command line that must be above 0.
fn positive(given: &str) -> Result<f32, String> {
    given
        .parse()
        .ok()
        .filter(|value: &f32| value.is_finite() && *value > 0.0)
        .ok_or_else(|| "expected a number above 0".into())
}
