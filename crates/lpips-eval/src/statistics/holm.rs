//! Holm's correction for several tests.

/// Holm's step-down correction (Holm, 1979): adjusted p-values in the order of `ps`, each to be compared with the level
/// of a single test.
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let mut corrected = vec![0.0; ps.len()];
    let mut highest = 0f64;
    for (place, at) in order.into_iter().enumerate() {
        highest = highest.max(((ps.len() - place) as f64 * ps[at]).min(1.0));
        corrected[at] = highest;
    }
    corrected
}
