//! Helpers of the operators' tests.

use candle_core::{Device, Shape, Tensor, Var};

use super::Level;
use super::plan::Algorithm;
use crate::rng::SplitMix64;

thread_local! {
    static ALGORITHM: std::cell::Cell<Option<Algorithm>> = const { std::cell::Cell::new(None) };
    static LEVEL: std::cell::Cell<Option<Level>> = const { std::cell::Cell::new(None) };
    static COMPOSING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `f` with the operators composed of candle's, as on a device without our kernels.
pub(crate) fn composing<R>(f: impl FnOnce() -> R) -> R {
    COMPOSING.set(true);
    let result = f();
    COMPOSING.set(false);
    result
}

pub(crate) fn is_composing() -> bool {
    COMPOSING.get()
}

/// Runs `f` once at each level that this machine has.
pub(crate) fn at_every_level(mut f: impl FnMut(Level)) {
    for level in Level::available() {
        LEVEL.set(Some(level));
        f(level);
        LEVEL.set(None);
    }
}

pub(crate) fn forced_level() -> Option<Level> {
    LEVEL.get()
}

/// Runs `f` with each convolution computed by this algorithm, where it applies.
pub(crate) fn by_algorithm<R>(algorithm: Algorithm, f: impl FnOnce() -> R) -> R {
    ALGORITHM.set(Some(algorithm));
    let result = f();
    ALGORITHM.set(None);
    result
}

pub(crate) fn forced_algorithm() -> Option<Algorithm> {
    ALGORITHM.get()
}

pub(crate) fn device() -> Device {
    Device::Cpu
}

/// Numbers in [-1, 1) from a seed.
pub(crate) struct Noise(SplitMix64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(crate) fn next(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }

    pub(crate) fn tensor(&mut self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        Tensor::from_vec(self.take(shape.elem_count()), shape, &device()).unwrap()
    }
}

/// The elements in the shape's order, as f32.
pub(crate) fn values(x: &Tensor) -> Vec<f32> {
    let x = x.to_dtype(candle_core::DType::F32).unwrap();
    x.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance, "element {i}: {a} and {b}");
    }
}

/// The gradients of sum(y * weights).
pub(crate) fn gradients<const N: usize>(y: &Tensor, weights: &Tensor, of: [&Var; N]) -> [Vec<f32>; N] {
    let grads = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
    of.map(|var| values(grads.get(var).unwrap()))
}

/// Compares `gradient` of sum(f(x) * weights) with a central difference in a random direction and at single elements.
pub(crate) fn check_gradient(x: &Tensor, weights: &Tensor, f: impl Fn(&Tensor) -> Tensor, gradient: &[f32], seed: u64) {
    let mut noise = Noise::new(seed ^ 0xD1FF);
    let data = values(x);
    let total = |data: Vec<f32>| -> f64 {
        let y = f(&Tensor::from_vec(data, x.shape(), &device()).unwrap());
        values(&y).iter().zip(values(weights)).map(|(a, b)| f64::from(*a) * f64::from(b)).sum()
    };
    for _ in 0..3 {
        let at = (noise.next().abs() * data.len() as f32) as usize % data.len();
        let step = 1e-3f32;
        let moved = |by: f32| {
            let mut data = data.clone();
            data[at] += by;
            total(data)
        };
        let (down, here, up) = (moved(-step), moved(0.0), moved(step));
        let (left, right) = ((here - down) / f64::from(step), (up - here) / f64::from(step));
        // Where the two sides disagree the function has a kink, and a difference proves nothing.
        if (left - right).abs() < 1e-2 {
            let (slope, got) = (f64::midpoint(left, right), f64::from(gradient[at]));
            assert!((slope - got).abs() < 1e-2 + 1e-2 * got.abs(), "element {at}: slope {slope}, gradient {got}");
        }
    }
}
