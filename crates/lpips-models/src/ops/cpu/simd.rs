//! Portable SIMD: a trait over the machines' vectors, and the choice between them at run time.
//!
//! A kernel is written once over [`Simd`] and given to [`Level::run`], which compiles it for each level. Everything
//! from `Kernel::run` down to the vector operations must be `#[inline(always)]`: what is not inlined is compiled
//! without the level's instructions.

use std::ffi::OsStr;
use std::sync::OnceLock;

use candle_core::{Result, bail};

/// Vectors of f32 and their operations. A value of the type proves that the machine has the instructions.
pub(super) trait Simd: Copy + Send + Sync {
    type V: Copy;
    /// Floats per vector.
    const LANES: usize;
    /// Vectors of output channels that a block of the product kernel holds in registers; see `gemm_microkernel.rs`.
    const VECTORS: usize;

    fn splat(self, x: f32) -> Self::V;
    /// # Safety
    /// `LANES` floats at `from` can be read.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// # Safety
    /// `LANES` floats at `to` can be written.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of the two, lane by lane; `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger of the two, lane by lane; NaN where either is.
    fn max_or_nan(self, a: Self::V, b: Self::V) -> Self::V;
    /// The sum of all lanes.
    fn sum(self, v: Self::V) -> f32;

    /// Prefetches the cache line of `at`, which may be any address.
    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}

    /// Loads the first `count` floats at `from`, followed by zeros.
    ///
    /// # Safety
    /// `count` floats at `from` can be read, and `count` is at most `LANES`.
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V {
        let mut lanes = [0f32; 16];
        // SAFETY: the caller's promise; the longest vector has 16 lanes, as has the array.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            self.load(lanes.as_ptr())
        }
    }

    /// Stores the first `count` lanes.
    ///
    /// # Safety
    /// `count` floats at `to` can be written, and `count` is at most `LANES`.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: Self::V, count: usize) {
        let mut lanes = [0f32; 16];
        // SAFETY: the caller's promise; the longest vector has 16 lanes, as has the array.
        unsafe {
            self.store(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
}

/// A kernel, written once over [`Simd`] and compiled for each level.
pub(super) trait Kernel {
    type Output;
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// A level of vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain Rust, on any machine: four floats at a time.
    Portable,
    /// ARM's 128 bits, on every 64-bit ARM machine.
    Neon,
    /// x86's 256 bits with fused multiply-add.
    Avx2,
    /// x86's 512 bits.
    Avx512,
}

impl Level {
    const NAMES: [(Self, &'static str); 4] =
        [(Self::Portable, "portable"), (Self::Neon, "neon"), (Self::Avx2, "avx2"), (Self::Avx512, "avx512")];

    /// The name that `LPIPS_SIMD` takes.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(level, _)| *level == self).map_or("", |(_, name)| name)
    }

    /// Whether this machine has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon => cfg!(all(target_arch = "aarch64", not(miri))),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && Self::Avx2.is_available(),
            #[cfg(not(all(target_arch = "x86_64", not(miri))))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The levels that this machine has, the widest last.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(level, _)| *level).filter(|level| level.is_available())
    }

    /// The level that the kernels run at: the one that the environment variable `LPIPS_SIMD` names, or the widest that
    /// this machine has.
    ///
    /// # Errors
    /// A name that is not a level's, or a level that this machine lacks.
    pub fn current() -> Result<Self> {
        static CHOSEN: OnceLock<std::result::Result<Level, String>> = OnceLock::new();
        #[cfg(test)]
        if let Some(level) = crate::ops::testing::forced_level() {
            return Ok(level);
        }
        let choose = || Self::choose(std::env::var_os("LPIPS_SIMD").as_deref().map(OsStr::to_string_lossy).as_deref());
        match CHOSEN.get_or_init(choose) {
            Ok(level) => Ok(*level),
            Err(message) => bail!("{message}"),
        }
    }

    fn choose(given: Option<&str>) -> std::result::Result<Self, String> {
        let Some(given) = given.filter(|given| !given.is_empty()) else {
            return Ok(Self::available().last().unwrap_or(Self::Portable));
        };
        let names = |levels: &mut dyn Iterator<Item = Self>| levels.map(Self::name).collect::<Vec<_>>().join(", ");
        let known = Self::NAMES.map(|(level, _)| level);
        match known.into_iter().find(|level| level.name() == given) {
            Some(level) if level.is_available() => Ok(level),
            Some(_) => {
                let available = names(&mut Self::available());
                Err(format!("LPIPS_SIMD is '{given}', which this machine does not have: it has {available}"))
            }
            None => Err(format!("LPIPS_SIMD is '{given}': choose from {}", names(&mut known.into_iter()))),
        }
    }

    /// Runs the kernel, compiled for this level.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        assert!(self.is_available(), "this machine has no {}", self.name());
        match self {
            // SAFETY: the assert above has found the instructions.
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx512 => unsafe { x86::avx512(kernel) },
            // SAFETY: the assert above has found the instructions.
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx2 => unsafe { x86::avx2(kernel) },
            #[cfg(all(target_arch = "aarch64", not(miri)))]
            Self::Neon => kernel.run(arm::Neon(())),
            _ => kernel.run(Portable),
        }
    }

    /// Output channels in one panel of packed weights.
    pub(super) fn panel(self) -> usize {
        struct Panel;
        impl Kernel for Panel {
            type Output = usize;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> usize {
                S::LANES * S::VECTORS
            }
        }
        self.run(Panel)
    }

    /// Floats per vector.
    pub(super) fn lanes(self) -> usize {
        struct Lanes;
        impl Kernel for Lanes {
            type Output = usize;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> usize {
                S::LANES
            }
        }
        self.run(Lanes)
    }
}

#[derive(Clone, Copy)]
struct Portable;

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const VECTORS: usize = 2;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: the caller's promise; an array of floats is aligned as a float is.
        unsafe { from.cast::<[f32; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Self::V) {
        // SAFETY: the caller's promise; an array of floats is aligned as a float is.
        unsafe { to.cast::<[f32; 4]>().write(v) }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]]
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        [a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]]
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        let max = |a: f32, b: f32| if a > b { a } else { b };
        [max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
    }
    #[inline(always)]
    fn max_or_nan(self, a: Self::V, b: Self::V) -> Self::V {
        let max = |a: f32, b: f32| if a > b || a.is_nan() { a } else { b };
        [max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
    }
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86 {
    use super::{Kernel, Simd};
    #[allow(clippy::wildcard_imports)] // Their names say enough.
    use std::arch::x86_64::*;

    /// # Safety
    /// The machine has AVX-512 F, AVX2 and FMA.
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(super) unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx512(()))
    }

    /// # Safety
    /// The machine has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx2(()))
    }

    #[derive(Clone, Copy)]
    pub(super) struct Avx512(());

    // SAFETY of all blocks below: an `Avx512` is made in `avx512` alone, whose caller has found the instructions; what
    // loads and stores touch is their caller's promise.
    impl Simd for Avx512 {
        type V = __m512;
        const LANES: usize = 16;
        const VECTORS: usize = 4;

        #[inline(always)]
        fn splat(self, x: f32) -> Self::V {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(self, from: *const f32) -> Self::V {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32, v: Self::V) {
            unsafe { _mm512_storeu_ps(to, v) }
        }
        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        fn mul(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn max(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        fn max_or_nan(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), a) }
        }
        #[inline(always)]
        fn sum(self, v: Self::V) -> f32 {
            unsafe { _mm512_reduce_add_ps(v) }
        }
        #[inline(always)]
        fn prefetch(self, at: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
        #[inline(always)]
        unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V {
            unsafe { _mm512_maskz_loadu_ps((1u32 << count).wrapping_sub(1) as u16, from) }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, v: Self::V, count: usize) {
            unsafe { _mm512_mask_storeu_ps(to, (1u32 << count).wrapping_sub(1) as u16, v) }
        }
    }

    #[derive(Clone, Copy)]
    pub(super) struct Avx2(());

    // SAFETY of all blocks below: as for `Avx512`.
    impl Simd for Avx2 {
        type V = __m256;
        const LANES: usize = 8;
        const VECTORS: usize = 2;

        #[inline(always)]
        fn splat(self, x: f32) -> Self::V {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(self, from: *const f32) -> Self::V {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32, v: Self::V) {
            unsafe { _mm256_storeu_ps(to, v) }
        }
        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        fn mul(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn max(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        fn max_or_nan(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)) }
        }
        #[inline(always)]
        fn sum(self, v: Self::V) -> f32 {
            unsafe {
                let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
                let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
                _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
            }
        }
        #[inline(always)]
        fn prefetch(self, at: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
    }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
mod arm {
    use super::Simd;
    #[allow(clippy::wildcard_imports)] // Their names say enough.
    use std::arch::aarch64::*;

    #[derive(Clone, Copy)]
    pub(super) struct Neon(pub(super) ());

    // SAFETY of all blocks below: every 64-bit ARM machine has NEON; what loads and stores touch is their caller's
    // promise.
    impl Simd for Neon {
        type V = float32x4_t;
        const LANES: usize = 4;
        const VECTORS: usize = 4;

        #[inline(always)]
        fn splat(self, x: f32) -> Self::V {
            unsafe { vdupq_n_f32(x) }
        }
        #[inline(always)]
        unsafe fn load(self, from: *const f32) -> Self::V {
            unsafe { vld1q_f32(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32, v: Self::V) {
            unsafe { vst1q_f32(to, v) }
        }
        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { vaddq_f32(a, b) }
        }
        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { vsubq_f32(a, b) }
        }
        #[inline(always)]
        fn mul(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { vmulq_f32(a, b) }
        }
        #[inline(always)]
        fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { vfmaq_f32(c, a, b) }
        }
        #[inline(always)]
        fn max(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
        }
        #[inline(always)]
        fn max_or_nan(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { vmaxq_f32(a, b) }
        }
        #[inline(always)]
        fn sum(self, v: Self::V) -> f32 {
            unsafe { vaddvq_f32(v) }
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // What is moved must not change.
mod tests {
    use super::*;
    use crate::ops::testing::Noise;

    struct Operations<'a>(&'a [f32], &'a [f32], &'a [f32]);

    impl Kernel for Operations<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self(a, b, c) = self;
            let lanes = S::LANES;
            // SAFETY: the slices hold 16 floats, and no vector is longer.
            let (va, vb, vc) = unsafe { (s.load(a.as_ptr()), s.load(b.as_ptr()), s.load(c.as_ptr())) };
            let values = |v: S::V| {
                let mut out = [0f32; 16];
                // SAFETY: as above.
                unsafe { s.store(out.as_mut_ptr(), v) };
                out
            };
            let same = |v: S::V, expected: fn(f32, f32, f32) -> f32| {
                let out = values(v);
                for i in 0..lanes {
                    assert!((out[i] - expected(a[i], b[i], c[i])).abs() < 1e-6, "lane {i} of {lanes}");
                }
            };
            same(s.splat(2.5), |_, _, _| 2.5);
            same(s.add(va, vb), |a, b, _| a + b);
            same(s.sub(va, vb), |a, b, _| a - b);
            same(s.mul(va, vb), |a, b, _| a * b);
            same(s.fma(va, vb, vc), |a, b, c| a * b + c);
            same(s.max(va, vb), |a, b, _| a.max(b));
            same(s.max_or_nan(va, vb), |a, b, _| a.max(b));
            for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
                assert!(values(s.max_or_nan(s.splat(a), s.splat(b)))[0].is_nan());
            }
            assert!((s.sum(va) - a[..lanes].iter().sum::<f32>()).abs() < 1e-5);
            let nan = s.splat(f32::NAN);
            assert!(values(s.max(s.splat(0.0), nan))[0].is_nan());
            assert_eq!(values(s.max(nan, s.splat(0.0)))[0], 0.0);
            for count in 0..=lanes {
                let mut out = [7f32; 16];
                // SAFETY: as above, and count is at most LANES.
                let loaded = values(unsafe { s.load_first(a.as_ptr(), count) });
                unsafe { s.store_first(out.as_mut_ptr(), va, count) };
                for i in 0..lanes {
                    assert_eq!(loaded[i], if i < count { a[i] } else { 0.0 });
                    assert_eq!(out[i], if i < count { a[i] } else { 7.0 });
                }
            }
        }
    }

    #[test]
    fn simd_operations_are_right_at_every_level() {
        let mut noise = Noise::new(1);
        let (a, b, c) = (noise.take(16), noise.take(16), noise.take(16));
        for level in Level::available() {
            level.run(Operations(&a, &b, &c));
        }
    }

    #[test]
    fn simd_level_is_chosen_by_name() {
        assert_eq!(Level::choose(Some("portable")), Ok(Level::Portable));
        assert_eq!(Level::choose(None), Level::choose(Some("")));
        let error = Level::choose(Some("mmx")).unwrap_err();
        assert_eq!(error, "LPIPS_SIMD is 'mmx': choose from portable, neon, avx2, avx512");
        let lacking = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
        let error = Level::choose(Some(lacking)).unwrap_err();
        assert!(error.contains("does not have") && error.contains("portable"), "{error}");
    }
}
