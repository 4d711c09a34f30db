//! Converts batches of pictures (N, 3, H, W) to one batch (N, H, W, 3), with an affine change of values.

use std::sync::{Arc, OnceLock};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, Result as Candle, Shape, Tensor,
};

use super::cpu::input::{self, Batch};
use super::dispatch::has_kernels;
use super::storage;
use crate::error::{Error, Result};

/// An affine change of a picture's values: value * `scale` + `shift`, for red, green and blue.
///
/// ```
/// use candle_core::Device;
/// use lpips_models::ops::input::{Affine, from_bytes};
///
/// // Bytes to [-1, 1].
/// let affine = Affine { scale: [2.0 / 255.0; 3], shift: [-1.0; 3] };
/// let x = from_bytes(&[&[0, 255, 0]], (1, 1), affine, &Device::Cpu)?;
/// assert_eq!(x.flatten_all()?.to_vec1::<f32>()?, [-1.0, 1.0, -1.0]);
/// # Ok::<(), lpips_models::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The factors.
    pub scale: [f32; 3],
    /// The summands.
    pub shift: [f32; 3],
}

/// Limits on the values of a batch: at most `reach` away from `middle`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Middle of the values.
    pub middle: f32,
    /// Largest distance from the middle.
    pub reach: f32,
}

impl Limits {
    /// All finite values.
    pub const NONE: Self = Self { middle: 0.0, reach: f32::MAX };

    /// Whether a value is within the limits.
    pub fn contain(self, value: f32) -> bool {
        (value - self.middle).abs() <= self.reach
    }
}

/// Stacks one to three batches of pictures (N, 3, H, W) in f32, each changed by its affine: (sum of N, H, W, 3).
///
/// Differentiable with respect to the pictures.
///
/// # Errors
/// [`Error::NotFinite`] where a result is NaN or infinite. No batches or more than three, and batches that are not
/// (N, 3, H, W) of f32, are empty, differ in size or are on different devices.
pub fn channels_last(batches: &[(&Tensor, Affine)]) -> Result<Tensor> {
    let batches: Vec<_> = batches.iter().map(|(x, affine)| (*x, *affine, Limits::NONE)).collect();
    Ok(channels_last_within(&batches)?.0)
}

/// Stacks batches as [`channels_last`] does, and returns the index of the first batch with a value outside its limits, if
/// there is one. The check is part of the same pass over the pictures.
///
/// # Errors
/// Those of [`channels_last`].
pub fn channels_last_within(batches: &[(&Tensor, Affine, Limits)]) -> Result<(Tensor, Option<usize>)> {
    if batches.is_empty() || batches.len() > 3 {
        let reason = format!("one to three batches of pictures are taken at once, not {}", batches.len());
        return Err(candle_core::Error::Msg(reason).into());
    }
    let sizes = batches.iter().map(|(x, ..)| size(x)).collect::<Result<Vec<_>>>()?;
    if let Some(at) = sizes.iter().position(|size| *size != sizes[0]) {
        let expected = format!("that of the first batch, {:?}", batches[0].0.dims());
        return Err(Error::Shape { what: "a batch".to_string(), given: batches[at].0.dims().to_vec(), expected });
    }
    if !batches.iter().all(|(x, ..)| has_kernels(x)) {
        return composed(batches);
    }
    let deviations = Arc::new(OnceLock::new());
    let parts = batches.iter().map(|(_, affine, limits)| (*affine, limits.middle)).collect();
    let op = ChannelsLast { parts, deviations: deviations.clone() };
    let inputs = batches.iter().map(|(x, ..)| x.contiguous()).collect::<Candle<Vec<_>>>()?;
    let y = match inputs.as_slice() {
        [a, b, c] => a.apply_op3(b, c, op)?,
        [a, b] => a.apply_op2(b, op)?,
        _ => inputs[0].apply_op1(op)?,
    };
    let deviations: [f32; 3] = deviations.get().copied().unwrap_or([f32::NAN; 3]);
    let checked = batches.iter().zip(deviations);
    let is_finite = |(_, affine, limits): &(&Tensor, Affine, Limits), deviation: f32| {
        let value = deviation + limits.middle.abs();
        affine.scale.iter().zip(affine.shift).all(|(scale, shift)| (value * scale.abs() + shift.abs()).is_finite())
    };
    if !checked.clone().all(|(batch, deviation)| is_finite(batch, deviation)) {
        return Err(Error::NotFinite);
    }
    let outside = checked.map(|((.., limits), deviation)| deviation > limits.reach).position(|outside| outside);
    Ok((y, outside))
}

/// Stacks pictures of `height` by `width` pixels of red, green and blue bytes side by side, changed by an affine, on a
/// device: (N, H, W, 3). The numbers are those of [`channels_last`].
///
/// # Errors
/// No pictures, or another number of bytes than the size has.
pub fn from_bytes(
    pictures: &[&[u8]],
    (height, width): (usize, usize),
    affine: Affine,
    device: &Device,
) -> Result<Tensor> {
    let bytes = height * width * 3;
    if bytes == 0 || pictures.is_empty() || pictures.iter().any(|picture| picture.len() != bytes) {
        let given = pictures.iter().map(|picture| picture.len()).collect();
        let expected = format!("{bytes} bytes for each of at least one picture of {height}x{width} pixels");
        return Err(Error::Shape { what: "the pictures".to_string(), given, expected });
    }
    let shape = (pictures.len(), height, width, 3);
    if device.is_cpu() {
        return Ok(Tensor::from_vec(input::from_bytes(pictures, affine.scale, affine.shift)?, shape, device)?);
    }
    let x = Tensor::from_vec(pictures.concat(), shape, device)?.to_dtype(DType::F32)?;
    let constant = |values: [f32; 3]| Tensor::new(&values, device);
    Ok(x.broadcast_mul(&constant(affine.scale)?)?.broadcast_add(&constant(affine.shift)?)?)
}

/// Height and width of a batch of pictures.
fn size(x: &Tensor) -> Result<(usize, usize)> {
    match *x.dims() {
        [n, 3, height, width] if n * height * width > 0 && x.dtype() == DType::F32 => Ok((height, width)),
        _ => Err(Error::Shape {
            what: format!("a batch of pictures in {:?}", x.dtype()),
            given: x.dims().to_vec(),
            expected: "(N, 3, H, W) in F32, with at least one pixel".to_string(),
        }),
    }
}

/// [`channels_last`] composed of candle's operators.
fn composed(batches: &[(&Tensor, Affine, Limits)]) -> Result<(Tensor, Option<usize>)> {
    let changed = batches.iter().map(|(x, affine, _)| {
        let constant = |values: [f32; 3]| Tensor::new(&values, x.device())?.reshape((1, 3, 1, 1));
        x.broadcast_mul(&constant(affine.scale)?)?.broadcast_add(&constant(affine.shift)?)
    });
    let changed = changed.collect::<Candle<Vec<_>>>()?;
    let y = match changed.as_slice() {
        [one] => one.clone(),
        more => Tensor::cat(more, 0)?,
    };
    // Zero times anything finite is zero. All sums come from the device at once.
    let mut sums = vec![(y.detach() * 0.0)?.sum_all()?];
    for (x, _, limits) in batches.iter().filter(|(.., limits)| *limits != Limits::NONE) {
        let deviation = x.detach().affine(1.0, -f64::from(limits.middle))?.abs()?;
        sums.push(deviation.gt(f64::from(limits.reach))?.to_dtype(DType::F32)?.sum_all()?);
    }
    let sums = Tensor::stack(&sums, 0)?.to_vec1::<f32>()?;
    if sums[0].is_nan() {
        return Err(Error::NotFinite);
    }
    let limited = batches.iter().enumerate().filter(|(_, (.., limits))| *limits != Limits::NONE);
    let outside = limited.zip(&sums[1..]).find(|(_, count)| **count > 0.0).map(|((at, _), _)| at);
    Ok((y.permute((0, 2, 3, 1))?, outside))
}

/// [`channels_last`] of one to three inputs.
struct ChannelsLast {
    /// Affine and middle of the limits of each input.
    parts: Vec<(Affine, f32)>,
    /// Largest deviation from the middle of each input.
    deviations: Arc<OnceLock<[f32; 3]>>,
}

impl ChannelsLast {
    fn forward(&self, inputs: &[(&CpuStorage, &Layout)]) -> Candle<(CpuStorage, Shape)> {
        let data = inputs.iter().map(|(x, layout)| storage::read(x, layout)).collect::<Candle<Vec<_>>>()?;
        let (_, _, h, w) = inputs[0].1.shape().dims4()?;
        let batches: Vec<_> = data
            .iter()
            .zip(&self.parts)
            .map(|(planes, (affine, middle))| Batch {
                planes,
                scale: affine.scale,
                shift: affine.shift,
                middle: *middle,
            })
            .collect();
        let (y, deviations) = input::forward(&batches, h * w)?;
        self.deviations.get_or_init(|| deviations);
        let n = y.len() / (h * w * 3);
        Ok((CpuStorage::F32(y), Shape::from((n, h, w, 3))))
    }

    /// The gradient of input `index`, `x`, which begins at picture `from` of the result.
    fn gradient(&self, x: &Tensor, index: usize, from: usize, grad: &Tensor) -> Candle<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let (n, _, h, w) = x.dims4()?;
        let grad = grad.narrow(0, from, n)?.contiguous()?;
        let (storage, layout) = grad.storage_and_layout();
        let dx = input::gradient(&storage::of(&storage, layout)?, self.parts[index].0.scale, h * w);
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}

impl CustomOp1 for ChannelsLast {
    fn name(&self) -> &'static str {
        "channels-last"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Candle<(CpuStorage, Shape)> {
        self.forward(&[(x, layout)])
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Candle<Option<Tensor>> {
        self.gradient(x, 0, 0, grad)
    }
}

impl CustomOp2 for ChannelsLast {
    fn name(&self) -> &'static str {
        "channels-last"
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Candle<(CpuStorage, Shape)> {
        self.forward(&[(a, la), (b, lb)])
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _y: &Tensor, grad: &Tensor) -> Candle<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.gradient(a, 0, 0, grad)?, self.gradient(b, 1, a.dim(0)?, grad)?))
    }
}

impl CustomOp3 for ChannelsLast {
    fn name(&self) -> &'static str {
        "channels-last"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
        c: &CpuStorage,
        lc: &Layout,
    ) -> Candle<(CpuStorage, Shape)> {
        self.forward(&[(a, la), (b, lb), (c, lc)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Candle<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (na, nb) = (a.dim(0)?, b.dim(0)?);
        Ok((self.gradient(a, 0, 0, grad)?, self.gradient(b, 1, na, grad)?, self.gradient(c, 2, na + nb, grad)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Noise, at_every_level, close, composing, device, gradients, values};
    use candle_core::Var;
    use proptest::prelude::*;

    fn affine(noise: &mut Noise) -> Affine {
        let mut three = || [noise.next(), noise.next(), noise.next()];
        Affine { scale: three(), shift: three() }
    }

    /// Straight from the definition.
    fn naive(batches: &[(&Tensor, Affine)]) -> Vec<f32> {
        let mut out = Vec::new();
        for (x, affine) in batches {
            let ((n, _, h, w), x) = (x.dims4().unwrap(), values(x));
            for at in 0..n * h * w * 3 {
                let (picture, pixel, c) = (at / (h * w * 3), at / 3 % (h * w), at % 3);
                out.push(x[(picture * 3 + c) * h * w + pixel] * affine.scale[c] + affine.shift[c]);
            }
        }
        out
    }

    #[test]
    fn from_bytes_equals_channels_last() {
        let mut noise = Noise::new(7);
        at_every_level(|_| {
            for (n, h, w) in [(1, 1, 1), (3, 5, 7), (2, 40, 33), (1, 200, 131)] {
                let pictures: Vec<Vec<u8>> =
                    (0..n).map(|i| (0..h * w * 3).map(|at| ((at * 37 + i * 11) % 256) as u8).collect()).collect();
                let planes: Vec<f32> = pictures
                    .iter()
                    .flat_map(|picture| {
                        (0..3).flat_map(move |c| picture.iter().skip(c).step_by(3).map(|v| f32::from(*v)))
                    })
                    .collect();
                let planes = Tensor::from_vec(planes, (n, 3, h, w), &Device::Cpu).unwrap();
                let affine = affine(&mut noise);
                let pictures: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
                let found = from_bytes(&pictures, (h, w), affine, &Device::Cpu).unwrap();
                assert_eq!(found.dims(), [n, h, w, 3]);
                assert_eq!(values(&found), values(&channels_last(&[(&planes, affine)]).unwrap()));
                assert!(from_bytes(&pictures, (h + 1, w), affine, &Device::Cpu).is_err());
            }
        });
    }

    #[test]
    fn channels_last_within_finds_the_batch_outside_its_limits_on_both_paths() {
        let limits = Limits { middle: 0.5, reach: 0.5 };
        let affine = Affine { scale: [2.0; 3], shift: [-1.0; 3] };
        let good = Tensor::full(1f32, (2, 3, 5, 7), &Device::Cpu).unwrap();
        for value in [-0.1f32, 1.1] {
            let mut data = values(&good);
            data[100] = value;
            let bad = Tensor::from_vec(data, good.shape(), &Device::Cpu).unwrap();
            for composed in [false, true] {
                let check = |batches: &[&Tensor]| {
                    let batches: Vec<_> = batches.iter().map(|x| (*x, affine, limits)).collect();
                    let within = || channels_last_within(&batches).unwrap().1;
                    if composed { composing(within) } else { within() }
                };
                assert_eq!(check(&[&good, &good]), None);
                assert_eq!(check(&[&good, &good, &bad]), Some(2));
                assert_eq!(check(&[&bad, &good]), Some(0));
            }
            assert!(!limits.contain(value) && limits.contain(1.0));
        }
    }

    proptest! {
        #[test]
        fn channels_last_equals_the_definition_on_both_paths(
            counts in proptest::collection::vec(1usize..4, 1..4), h in 1usize..9, w in 1usize..9, strided: bool, seed: u64,
        ) {
            let mut noise = Noise::new(seed);
            let parts: Vec<(Var, Affine)> = counts
                .iter()
                .map(|n| (Var::from_tensor(&noise.tensor((*n, 3, h, w))).unwrap(), affine(&mut noise)))
                .collect();
            let total: usize = counts.iter().sum();
            let weights = noise.tensor((total, h, w, 3));
            let run = || {
                // The same picture with transposed strides.
                let view = |x: &Tensor| if strided { x.t().unwrap().contiguous().unwrap().t().unwrap() } else { x.clone() };
                let views: Vec<_> = parts.iter().map(|(x, affine)| (view(x), *affine)).collect();
                let batches: Vec<_> = views.iter().map(|(x, affine)| (x, *affine)).collect();
                let y = channels_last(&batches).unwrap();
                assert_eq!(y.dims(), [total, h, w, 3]);
                close(&values(&y), &naive(&batches), 1e-6);
                let mut from = 0;
                for (x, affine) in &parts {
                    let n = x.dim(0).unwrap();
                    let scale = Tensor::new(&affine.scale, &device()).unwrap();
                    let dx = weights.narrow(0, from, n).unwrap().broadcast_mul(&scale).unwrap();
                    let [got] = gradients(&y, &weights, [x]);
                    close(&got, &values(&dx.permute((0, 3, 1, 2)).unwrap()), 1e-6);
                    from += n;
                }
            };
            at_every_level(|_| run());
            composing(run);
        }
    }

    #[test]
    fn channels_last_bits_do_not_depend_on_threads() {
        let mut noise = Noise::new(1);
        let (of_a, of_b) = (affine(&mut noise), affine(&mut noise));
        let (a, b) = (noise.tensor((2, 3, 150, 151)), noise.tensor((1, 3, 150, 151)));
        let expected = naive(&[(&a, of_a), (&b, of_b)]);
        for threads in [1, 2, 3, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let y = pool.install(|| channels_last(&[(&a, of_a), (&b, of_b)]).unwrap());
            assert!(values(&y) == expected, "{threads} threads");
        }
    }

    #[test]
    fn channels_last_sums_gradients_of_a_repeated_input() {
        let x = Var::from_tensor(&Noise::new(2).tensor((1, 3, 2, 2))).unwrap();
        let of = |scale| Affine { scale: [scale; 3], shift: [0.0; 3] };
        let y = channels_last(&[(&x, of(2.0)), (&x, of(3.0))]).unwrap();
        let [dx] = gradients(&y, &y.ones_like().unwrap(), [&x]);
        assert_eq!(dx, [5.0; 12]);
    }

    #[test]
    fn channels_last_refuses_nan_and_infinity_anywhere() {
        let same = Affine { scale: [1.0; 3], shift: [0.0; 3] };
        for (h, w) in [(3, 4), (200, 201)] {
            let good = Noise::new(3).tensor((2, 3, h, w));
            assert!(channels_last(&[(&good, same), (&good, same)]).is_ok());
            for (bad, at) in [(f32::NAN, 0), (f32::INFINITY, 3 * h * w + 1), (f32::NEG_INFINITY, 6 * h * w - 1)] {
                let mut data = values(&good);
                data[at] = bad;
                let bad = Tensor::from_vec(data, good.shape(), &device()).unwrap();
                for batches in [&[(&bad, same)][..], &[(&good, same), (&bad, same)], &[(&bad, same), (&good, same)]] {
                    assert!(matches!(channels_last(batches), Err(Error::NotFinite)));
                    assert!(matches!(composing(|| channels_last(batches)), Err(Error::NotFinite)));
                }
            }
        }
    }

    #[test]
    fn channels_last_refuses_batches_that_do_not_fit() {
        let same = Affine { scale: [1.0; 3], shift: [0.0; 3] };
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &device()).unwrap();
        let x = zeros(&[1, 3, 4, 5]);
        assert!(channels_last(&[]).is_err());
        assert!(channels_last(&[(&x, same); 4]).is_err());
        assert!(channels_last(&[(&x.to_dtype(DType::F16).unwrap(), same)]).is_err());
        for shape in [&[1, 3, 5, 4][..], &[1, 1, 4, 5], &[3, 4, 5], &[0, 3, 4, 5], &[1, 3, 0, 5]] {
            assert!(channels_last(&[(&x, same), (&zeros(shape), same)]).is_err(), "{shape:?}");
        }
    }
}
