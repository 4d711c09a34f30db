//! f32 matrix products on one thread, by the `gemm` crate, behind bounds that are checked.

use gemm::Parallelism;

/// A matrix inside a slice: element (i, j) is `data[i * rs + j * cs]`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) data: &'a [f32],
    pub(super) rs: usize,
    pub(super) cs: usize,
}

/// dst += a * b, where dst is (m, n) in rows of exactly n, a is (m, k) and b is (k, n).
///
/// # Panics
/// Where a matrix reaches past its slice.
pub(super) fn add_product(dst: &mut [f32], a: View<'_>, b: View<'_>, (m, k, n): (usize, usize, usize)) {
    if m == 0 || k == 0 || n == 0 {
        return;
    }
    let end = |rows: usize, cols: usize, v: View<'_>| (rows - 1) * v.rs + (cols - 1) * v.cs;
    assert!(dst.len() >= m * n, "gemm: the result is too short");
    assert!(end(m, k, a) < a.data.len(), "gemm: a is too short");
    assert!(end(k, n, b) < b.data.len(), "gemm: b is too short");
    // SAFETY: the asserts above keep every element that gemm touches inside its slice: its largest index is that of the
    // last row and column, as strides are not negative. dst is borrowed mutably, so it can't overlap a or b.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            n as isize,
            true,
            a.data.as_ptr(),
            a.cs as isize,
            a.rs as isize,
            b.data.as_ptr(),
            b.cs as isize,
            b.rs as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::Noise;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_three_loops(m in 1usize..40, k in 0usize..60, n in 1usize..70, turned: bool, seed: u64) {
            let mut noise = Noise::new(seed);
            let (a, b, c) = (noise.take(m * k), noise.take(k * n), noise.take(m * n));
            let (rs, cs) = if turned { (1, m) } else { (k, 1) };
            let mut dst = c.clone();
            let av = View { data: &a, rs, cs };
            add_product(&mut dst, av, View { data: &b, rs: n, cs: 1 }, (m, k, n));
            for i in 0..m {
                for j in 0..n {
                    let sum: f64 = (0..k).map(|p| f64::from(a[i * rs + p * cs]) * f64::from(b[p * n + j])).sum();
                    let expected = f64::from(c[i * n + j]) + sum;
                    prop_assert!((f64::from(dst[i * n + j]) - expected).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn refuses_to_read_past_the_end() {
        let a = View { data: &[1.0; 5], rs: 3, cs: 1 };
        let b = View { data: &[1.0; 6], rs: 2, cs: 1 };
        add_product(&mut [0.0; 4], a, b, (2, 3, 2));
    }
}
