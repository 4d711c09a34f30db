//! GEMM microkernels: the block of a matrix product that fits the registers, a few pixels times a panel of output
//! channels.

use super::simd::Simd;

/// Pixels of the largest block. Six pixels by four vectors take 24 of AVX-512's 32 registers and leave room for one row
/// of weights and a pixel's value.
pub(super) const PIXELS: usize = 6;

/// Output pixels that a weight gradient sums over at a time: their gradients for a panel of channels stay in the
/// first-level cache while all rows of a task are multiplied by them.
pub(super) const PIXEL_BLOCK: usize = 96;

/// Floats of a cache line.
pub(super) const LINE: usize = 16;

/// acc[m][n] += sum over j of x[m][j] * w[j][n], j from 0 to `run`, n counting vectors.
///
/// At each step the next `LINES` cache lines from `ahead` on are prefetched, whatever is there: weights that are needed
/// next are on their way from memory while this block is computed.
///
/// # Safety
/// Each of `x` can be read for `run` floats, and `w` for `run * N` vectors.
#[inline(always)]
pub(super) unsafe fn accumulate<S: Simd, const M: usize, const N: usize, const LINES: usize>(
    s: S,
    acc: &mut [[S::V; N]; M],
    x: &[*const f32; M],
    run: usize,
    w: *const f32,
    ahead: *const f32,
) {
    let mut sums = *acc;
    for j in 0..run {
        for line in 0..LINES {
            s.prefetch(ahead.wrapping_add((j * LINES + line) * LINE));
        }
        // SAFETY: j < run, and so all reads are within what the caller promises.
        unsafe {
            let row = w.add(j * N * S::LANES);
            let mut weights = [s.splat(0.0); N];
            for (n, weight) in weights.iter_mut().enumerate() {
                *weight = s.load(row.add(n * S::LANES));
            }
            for m in 0..M {
                let value = s.splat(*x[m].add(j));
                for n in 0..N {
                    sums[m][n] = s.fma(value, weights[n], sums[m][n]);
                }
            }
        }
    }
    *acc = sums;
}

/// acc[m][n] += sum over j of x[j * step + m] * w[j][n], j from 0 to `count`, n counting vectors: where what is summed
/// over, the pixels, lies outermost in both.
///
/// # Safety
/// `x` can be read for `M` floats at each step, and `w` for `count * N` vectors.
#[inline(always)]
pub(super) unsafe fn accumulate_outer<S: Simd, const M: usize, const N: usize>(
    s: S,
    acc: &mut [[S::V; N]; M],
    (x, step): (*const f32, usize),
    w: *const f32,
    count: usize,
) {
    let mut sums = *acc;
    for j in 0..count {
        let (x, w) = (x.wrapping_add(j * step), w.wrapping_add(j * N * S::LANES));
        // The rows after these lie in the next line of the cache, and the pixels far apart.
        s.prefetch(x.wrapping_add(LINE));
        // SAFETY: j < count, and so all reads are within what the caller promises.
        unsafe {
            let mut values = [s.splat(0.0); N];
            for (n, value) in values.iter_mut().enumerate() {
                *value = s.load(w.add(n * S::LANES));
            }
            for m in 0..M {
                let factor = s.splat(*x.add(m));
                for n in 0..N {
                    sums[m][n] = s.fma(factor, values[n], sums[m][n]);
                }
            }
        }
    }
    *acc = sums;
}

/// Writes a block's sums to rows of `width` floats, or adds them to what is there.
///
/// # Safety
/// `at(m)` is where row `m` begins, with space for `N` vectors that no other task uses.
#[inline(always)]
pub(super) unsafe fn put<S: Simd, const M: usize, const N: usize>(
    s: S,
    acc: &[[S::V; N]; M],
    at: impl Fn(usize) -> *mut f32,
    adds: bool,
) {
    for (m, sums) in acc.iter().enumerate() {
        for (n, sum) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let to = at(m).add(n * S::LANES);
                s.store(to, if adds { s.add(s.load(to), *sum) } else { *sum });
            }
        }
    }
}

/// Splits `count` into as few blocks of at most [`PIXELS`] as it takes, as even as can be: 16 is 6 + 5 + 5, which runs
/// faster than 6 + 6 + 4. Gives the start and the size of each.
#[inline(always)]
pub(super) fn blocks(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let blocks = count.div_ceil(PIXELS);
    let (size, longer) = (count / blocks.max(1), count % blocks.max(1));
    (0..blocks).map(move |i| (i * size + i.min(longer), size + usize::from(i < longer)))
}

/// Calls `$block::<S, .., M, N>` with M and N made constants of `$m` (1 to 6) and `$n` (1 to 4).
macro_rules! with_sizes {
    ($m:expr, $n:expr, $block:ident::<$S:ident $(, $more:tt)?>($($arg:expr),* $(,)?)) => {
        match $n {
            1 => with_sizes!(@m $m, 1, $block::<$S $(, $more)?>($($arg),*)),
            2 => with_sizes!(@m $m, 2, $block::<$S $(, $more)?>($($arg),*)),
            3 => with_sizes!(@m $m, 3, $block::<$S $(, $more)?>($($arg),*)),
            _ => with_sizes!(@m $m, 4, $block::<$S $(, $more)?>($($arg),*)),
        }
    };
    (@m $m:expr, $n:literal, $block:ident::<$S:ident $(, $more:tt)?>($($arg:expr),*)) => {
        match $m {
            1 => $block::<$S, $($more,)? 1, $n>($($arg),*),
            2 => $block::<$S, $($more,)? 2, $n>($($arg),*),
            3 => $block::<$S, $($more,)? 3, $n>($($arg),*),
            4 => $block::<$S, $($more,)? 4, $n>($($arg),*),
            5 => $block::<$S, $($more,)? 5, $n>($($arg),*),
            _ => $block::<$S, $($more,)? 6, $n>($($arg),*),
        }
    };
}
pub(super) use with_sizes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_row_once() {
        for count in 0..100 {
            let mut next = 0;
            for (start, size) in blocks(count) {
                assert_eq!(start, next);
                assert!((1..=PIXELS).contains(&size));
                next = start + size;
            }
            assert_eq!(next, count);
        }
        assert_eq!(blocks(16).map(|(_, size)| size).collect::<Vec<_>>(), [6, 5, 5]);
    }
}
