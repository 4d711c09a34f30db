//! The LPIPS head: the distance of two pictures' taps at each pixel.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, Var, bail};

use super::cpu::head::{self, EPSILON, Side, Taps};
use super::dispatch::has_kernels;
use super::dropout::Dropout;
use super::storage;

/// The LPIPS distance at each pixel of each pair: `a` (Na, H, W, C) and `b` (Nb, H, W, C) to (P, H, W) in f32.
///
/// `a` and `b` are taps of the network, in f32, f16 or bf16. A pair (i, j) is picture i of `a` and picture j of `b`.
/// Its distance is, at each pixel, the sum over the channels of `lin` times the squared difference of a / (|a| + 1e-10)
/// and b / (|b| + 1e-10), |.| being the Euclidean norm over the channels: equation 1 of Zhang et al. (2018) before its
/// mean over space, with `normalize_tensor` of the published package. `lin` has C elements in any shape; `None` counts
/// every channel once. Equal pictures have distance 0 exactly; with `lin` of at least 0 no distance is lower.
///
/// With `dropout` squared differences are zeroed at random before they are weighted, as in the published trainer.
///
/// Differentiable with respect to `a`, `b` and `lin`. Where a norm is zero, and the derivative does not exist, the
/// gradient of that pixel is 0 (the published package's is NaN).
///
/// # Errors
/// Taps that are not (N, H, W, C) of at least one pixel and channel or differ in H, W or C, `lin` with another number
/// of elements than C, no pairs, or a pair of pictures that are not there.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_models::ops::head::distance;
///
/// // One pixel of two channels for each picture: orthogonal vectors.
/// let a = Tensor::new(&[3f32, 0.0], &Device::Cpu)?.reshape((1, 1, 1, 2))?;
/// let b = Tensor::new(&[0f32, 5.0], &Device::Cpu)?.reshape((1, 1, 1, 2))?;
/// let d = distance(&a, &b, None, &[(0, 0)], None)?;
/// assert_eq!(d.flatten_all()?.to_vec1::<f32>()?, [2.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn distance(
    a: &Tensor,
    b: &Tensor,
    lin: Option<&Tensor>,
    pairs: &[(usize, usize)],
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    let ((na, h, w, c), (nb, hb, wb, cb)) = (a.dims4()?, b.dims4()?);
    if (h, w, c) != (hb, wb, cb) || h * w * c == 0 {
        bail!("the head compares pictures (N, H, W, C) of one size, got {:?} and {:?}", a.shape(), b.shape())
    }
    if let Some(lin) = lin.filter(|lin| lin.elem_count() != c) {
        bail!("the head needs a weight for each of {c} channels, got {:?}", lin.shape())
    }
    if let Some((i, j)) = pairs.iter().find(|(i, j)| *i >= na || *j >= nb) {
        bail!("there are no pictures {i} and {j} to compare in batches of {na} and {nb}")
    }
    if pairs.is_empty() {
        bail!("the head was given no pairs to compare")
    }
    let lin = lin.map(Tensor::flatten_all).transpose()?;
    if !has_kernels(a) {
        return composed(a, b, lin.as_ref(), pairs, dropout);
    }
    let lin = match lin {
        Some(lin) => lin.contiguous()?,
        None => Tensor::ones(c, DType::F32, a.device())?,
    };
    // One tensor stays one, so that its gradient is computed once.
    let same = a.id() == b.id();
    let a = a.contiguous()?;
    let b = if same { a.clone() } else { b.contiguous()? };
    a.apply_op3(&b, &lin, Distance { pairs: pairs.into(), dropout })
}

/// [`distance`] composed of candle's operators.
fn composed(
    a: &Tensor,
    b: &Tensor,
    lin: Option<&Tensor>,
    pairs: &[(usize, usize)],
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    let unit_a = unit_channels(a)?;
    let unit_b = if a.id() == b.id() { unit_a.clone() } else { unit_channels(b)? };
    let a = select(&unit_a, pairs.iter().map(|(i, _)| *i))?;
    let b = select(&unit_b, pairs.iter().map(|(_, j)| *j))?;
    let mut squares = (a - b)?.sqr()?;
    if let Some(dropout) = dropout {
        let factors = dropout.factors(squares.elem_count() / squares.dim(3)?, squares.dim(3)?);
        squares = (&squares * Tensor::from_vec(factors, squares.shape(), squares.device())?)?;
    }
    match lin {
        Some(lin) => squares.broadcast_mul(&lin.to_dtype(DType::F32)?.reshape((1, 1, 1, ()))?)?.sum(3),
        None => squares.sum(3),
    }
}

/// Selects pictures of a batch; returns the batch itself if they are all of it, in order.
fn select(x: &Tensor, pictures: impl Iterator<Item = usize>) -> Result<Tensor> {
    let pictures: Vec<u32> = pictures.map(|picture| picture as u32).collect();
    if pictures.iter().copied().eq(0..x.dim(0)? as u32) {
        return Ok(x.clone());
    }
    // A selection takes contiguous tensors only.
    x.contiguous()?.index_select(&Tensor::new(pictures, x.device())?, 0)
}

/// x / (|x| + 1e-10) in f32, where 1e-10 is not lost.
fn unit_channels(x: &Tensor) -> Result<Tensor> {
    let x = x.to_dtype(DType::F32)?;
    let squares = x.sqr()?.sum_keepdim(3)?;
    // The square root's gradient at 0 is NaN: put 1 there first, and take the result's gradient away below.
    let zero = squares.detach().eq(0f64)?;
    let norm = zero.where_cond(&squares.ones_like()?, &squares)?.sqrt()?.affine(1.0, f64::from(EPSILON))?;
    let unit = x.broadcast_div(&norm)?;
    let still = (x.detach() / f64::from(EPSILON))?;
    zero.broadcast_as(unit.shape())?.where_cond(&still, &unit)
}

struct Distance {
    pairs: Arc<[(usize, usize)]>,
    dropout: Option<Dropout>,
}

impl CustomOp3 for Distance {
    fn name(&self) -> &'static str {
        "head-distance"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
        lin: &CpuStorage,
        ll: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, h, w, _) = la.shape().dims4()?;
        let (a, b, lin) = (storage::read(a, la)?, storage::read(b, lb)?, storage::read(lin, ll)?);
        let taps = Taps { a: &a, b: &b, lin: &lin, pairs: &self.pairs, pixels: h * w, dropout: self.dropout };
        let out = head::forward(&taps)?;
        Ok((CpuStorage::F32(out), Shape::from((self.pairs.len(), h, w))))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        lin: &Tensor,
        _distance: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let wants = [a, b, lin].map(Tensor::track_op);
        let [da, db, dlin] = self.gradients([a, b, lin], grad, wants)?;
        Ok((da, db, dlin))
    }
}

impl Distance {
    /// The gradients of either side and the weights that are wanted; where both sides are one tensor, that of both is
    /// the first's.
    fn gradients(&self, [a, b, lin]: [&Tensor; 3], grad: &Tensor, wants: [bool; 3]) -> Result<[Option<Tensor>; 3]> {
        let (_, h, w, _) = a.dims4()?;
        let grad = grad.contiguous()?;
        let ((storage_a, la), (storage_b, lb)) = (a.storage_and_layout(), b.storage_and_layout());
        let ((storage_lin, ll), (storage_grad, lg)) = (lin.storage_and_layout(), grad.storage_and_layout());
        let data_a = storage::of(&storage_a, la)?;
        let data_b = storage::of(&storage_b, lb)?;
        let data_lin = storage::of(&storage_lin, ll)?;
        let grad = storage::of(&storage_grad, lg)?;
        let (pairs, dropout) = (&*self.pairs, self.dropout);
        let taps = Taps { a: &data_a, b: &data_b, lin: &data_lin, pairs, pixels: h * w, dropout };
        let of = |x: &Tensor, wanted: bool, side| -> Result<Option<Tensor>> {
            if !wanted {
                return Ok(None);
            }
            let dx = head::taps_gradient(&taps, &grad, side)?;
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?.to_dtype(x.dtype())?))
        };
        let (da, db) = if a.id() == b.id() {
            (of(a, wants[0], Side::Both)?, None)
        } else {
            (of(a, wants[0], Side::A)?, of(b, wants[1], Side::B)?)
        };
        let dlin = if wants[2] {
            let dlin = head::lin_gradient(&taps, &grad)?;
            Some(Tensor::from_vec(dlin, lin.shape(), lin.device())?.to_dtype(lin.dtype())?)
        } else {
            None
        };
        Ok([da, db, dlin])
    }
}

/// The gradients of the taps `x`, where they are wanted, and of `lin` from that of [`distance`]`(x, x, lin, pairs,
/// dropout)`: of the pictures of one stack.
///
/// # Errors
/// Those of [`distance`].
pub fn gradients(
    x: &Tensor,
    lin: Option<&Tensor>,
    pairs: &[(usize, usize)],
    dropout: Option<Dropout>,
    grad: &Tensor,
    wants_taps: bool,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    if !has_kernels(x) {
        let x = if wants_taps { Var::from_tensor(x)?.into_inner() } else { x.detach() };
        let lin = lin.map(Var::from_tensor).transpose()?;
        let y = distance(&x, &x, lin.as_deref(), pairs, dropout)?;
        let grads = (y * grad)?.sum_all()?.backward()?;
        let of = |x: &Tensor| grads.get(x).map(Tensor::detach);
        return Ok((of(&x), lin.and_then(|lin| of(&lin))));
    }
    let weights = match lin {
        Some(lin) => lin.contiguous()?,
        None => Tensor::ones(x.dim(3)?, DType::F32, x.device())?,
    };
    let op = Distance { pairs: pairs.into(), dropout };
    let [dx, _, dlin] = op.gradients([x, x, &weights], grad, [wants_taps, false, lin.is_some()])?;
    Ok((dx, dlin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Noise, at_every_level, check_gradient, close, composing, device, gradients, values};
    use proptest::prelude::*;

    /// Straight from the definition, in f64: `a` and `b` are pictures of `pixels` times `lin.len()` floats; squared
    /// differences are multiplied by `factors`.
    fn naive(a: &[f32], b: &[f32], lin: &[f32], pairs: &[(usize, usize)], pixels: usize, factors: &[f32]) -> Vec<f32> {
        let c = lin.len();
        let unit = |x: &[f32]| -> Vec<f64> {
            let norm = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            x.iter().map(|v| f64::from(*v) / (norm + 1e-10)).collect()
        };
        let mut out = Vec::new();
        for (i, j) in pairs {
            for pixel in 0..pixels {
                let (a, b) = (unit(&a[(i * pixels + pixel) * c..][..c]), unit(&b[(j * pixels + pixel) * c..][..c]));
                let weights = lin.iter().zip(&factors[out.len() * c..]).map(|(lin, f)| f64::from(*lin) * f64::from(*f));
                out.push(a.iter().zip(&b).zip(weights).map(|((a, b), w)| w * (a - b).powi(2)).sum::<f64>() as f32);
            }
        }
        out
    }

    fn pick(noise: &mut Noise, below: usize) -> usize {
        (noise.next().abs() * below as f32) as usize % below
    }

    fn largest(x: &[f32]) -> f32 {
        x.iter().fold(1e-3, |m, v| m.max(v.abs()))
    }

    proptest! {
        #[test]
        fn head_equals_the_definition_on_both_paths(
            (na, nb, h, w) in (1usize..4, 1usize..4, 1usize..7, 1usize..7),
            c in 1usize..70, count in 1usize..6, weighted: bool, drops: bool, seed: u64,
        ) {
            let mut noise = Noise::new(seed);
            let (mut a, mut b) = (noise.take(na * h * w * c), noise.take(nb * h * w * c));
            // A column of zeros on each side.
            a[..c].fill(0.0);
            b[h * w * c - c..h * w * c].fill(0.0);
            let lin: Vec<f32> = noise.take(c).into_iter().map(f32::abs).collect();
            let pairs: Vec<_> = (0..count).map(|_| (pick(&mut noise, na), pick(&mut noise, nb))).collect();
            let ones = vec![1.0; c];
            let dropout = if drops { Dropout::new(0.4, seed).unwrap() } else { None };
            let factors = dropout.map_or_else(|| vec![1.0; count * h * w * c], |d| d.factors(count * h * w, c));
            let expected = naive(&a, &b, if weighted { &lin } else { &ones }, &pairs, h * w, &factors);
            let a = Var::from_vec(a, (na, h, w, c), &device()).unwrap();
            let b = Var::from_vec(b, (nb, h, w, c), &device()).unwrap();
            let lin = Var::from_vec(lin, (1, c, 1, 1), &device()).unwrap();
            let weights = noise.tensor((count, h, w));
            // A pixel's gradient grows, and its rounding with it, as its norm shrinks.
            let norms = [&a, &b].map(|x| values(&x.sqr().unwrap().sum(3).unwrap().sqrt().unwrap()));
            let steady = |grad: &[f32], norms: &[f32]| -> Vec<f32> {
                grad.chunks_exact(c).zip(norms).flat_map(|(grad, norm)| grad.iter().map(move |g| g * norm)).collect()
            };
            let run = || {
                let y = distance(&a, &b, weighted.then_some(lin.as_tensor()), &pairs, dropout).unwrap();
                assert_eq!(y.dims(), [count, h, w]);
                close(&values(&y), &expected, 3e-6 * largest(&expected));
                let grads = (&y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
                assert_eq!(grads.get(&lin).is_some(), weighted);
                ([&a, &b].map(|var| values(grads.get(var).unwrap())), grads.get(&lin).map_or_else(Vec::new, values))
            };
            let (theirs, their_lin) = composing(run);
            at_every_level(|level| {
                let (ours, our_lin) = run();
                for ((ours, theirs), norms) in ours.iter().zip(&theirs).zip(&norms) {
                    assert!(ours.iter().chain(theirs).all(|v| v.is_finite()), "{level:?}");
                    close(&steady(ours, norms), &steady(theirs, norms), 1e-5 * count as f32);
                }
                assert!(ours[0][..c].iter().all(|v| *v == 0.0));
                close(&our_lin, &their_lin, 1e-5 * largest(&their_lin).max(1.0));
            });
        }

        #[test]
        fn head_gradients_equal_finite_differences(c in 2usize..20, seed: u64) {
            let mut noise = Noise::new(seed);
            // Away from the origin, where the function bends faster than a difference can follow.
            let mut taps = || noise.take(12 * c).into_iter().map(|v| v + 2.0).collect();
            let a = Var::from_vec(taps(), (2, 2, 3, c), &device()).unwrap();
            let b = Var::from_vec(taps(), (2, 2, 3, c), &device()).unwrap();
            let lin = Var::from_vec(noise.take(c).into_iter().map(|v| v + 1.0).collect(), c, &device()).unwrap();
            let pairs = [(0, 1), (1, 1), (0, 1)];
            let weights = noise.tensor((3, 2, 3));
            at_every_level(|_| {
                let [da, db, dlin] =
                    gradients(&distance(&a, &b, Some(&lin), &pairs, None).unwrap(), &weights, [&a, &b, &lin]);
                check_gradient(&a, &weights, |a| distance(a, &b, Some(&lin), &pairs, None).unwrap(), &da, seed);
                check_gradient(&b, &weights, |b| distance(&a, b, Some(&lin), &pairs, None).unwrap(), &db, seed);
                check_gradient(&lin, &weights, |lin| distance(&a, &b, Some(lin), &pairs, None).unwrap(), &dlin, seed);
                let stacked = [(0, 1), (1, 0), (1, 1)];
                let [both] = gradients(&distance(&a, &a, Some(&lin), &stacked, None).unwrap(), &weights, [&a]);
                check_gradient(&a, &weights, |a| distance(a, a, Some(&lin), &stacked, None).unwrap(), &both, seed);
            });
        }

        #[test]
        fn head_of_one_stacked_tensor_equals_two_tensors(n in 1usize..3, c in 1usize..40, seed: u64) {
            let mut noise = Noise::new(seed);
            let both = Var::from_tensor(&noise.tensor((2 * n, 3, 4, c))).unwrap();
            let half = |from| Var::from_tensor(&both.narrow(0, from, n).unwrap().contiguous().unwrap()).unwrap();
            let (a, b) = (half(0), half(n));
            let pairs: Vec<_> = (0..n).map(|i| (i, i)).collect();
            let stacked: Vec<_> = (0..n).map(|i| (i, n + i)).collect();
            let weights = noise.tensor((n, 3, 4));
            for run in [|f: &dyn Fn()| f(), |f: &dyn Fn()| composing(f)] {
                run(&|| {
                    let two = distance(&a, &b, None, &pairs, None).unwrap();
                    let one = distance(&both, &both, None, &stacked, None).unwrap();
                    assert_eq!(values(&one), values(&two));
                    let [da, db] = gradients(&two, &weights, [&a, &b]);
                    let [dboth] = gradients(&one, &weights, [&both]);
                    assert_eq!(dboth, [da, db].concat());
                });
            }
        }
    }

    #[test]
    fn head_of_equal_pictures_has_zero_distance_and_gradient() {
        let a = Var::from_tensor(&Noise::new(3).tensor((2, 5, 5, 37))).unwrap();
        let b = Var::from_tensor(&a.copy().unwrap()).unwrap();
        at_every_level(|level| {
            let y = distance(&a, &b, None, &[(0, 0), (1, 1)], None).unwrap();
            assert!(values(&y).iter().all(|v| *v == 0.0), "{level:?}");
            for dx in gradients(&y, &y.ones_like().unwrap(), [&a, &b]) {
                assert!(dx.iter().all(|v| *v == 0.0), "{level:?}");
            }
        });
    }

    #[test]
    fn head_is_finite_for_tiny_and_huge_values() {
        for scale in [0f32, 1e-45, 1e-38, 1e-30, 1e-23, 1e-22, 1e-20, 1e-10, 1e18, 1e25, f32::MAX] {
            let a = Var::new(&[[[[scale, -scale, 0.5 * scale]]]], &device()).unwrap();
            let b = Var::new(&[[[[1f32, 2.0, 3.0]]]], &device()).unwrap();
            let run = || {
                let y = distance(&a, &b, None, &[(0, 0)], None).unwrap();
                let [da, db] = gradients(&y, &y.ones_like().unwrap(), [&a, &b]);
                assert!(values(&y).iter().chain(&da).chain(&db).all(|v| v.is_finite()), "{scale}: {y} {da:?} {db:?}");
                assert!(scale > 0.0 || da.iter().all(|v| *v == 0.0));
            };
            at_every_level(|_| run());
            if scale < 1e18 {
                composing(run);
            }
        }
    }

    #[test]
    fn head_bits_do_not_depend_on_threads_or_neighbours() {
        let mut noise = Noise::new(5);
        // Large enough for many tasks.
        let (n, h, w, c) = (3, 40, 41, 67);
        let a = Var::from_tensor(&noise.tensor((n, h, w, c))).unwrap();
        let b = Var::from_tensor(&noise.tensor((n, h, w, c))).unwrap();
        let lin = Var::from_tensor(&noise.tensor(c)).unwrap();
        let weights = noise.tensor((n + 1, h, w));
        let pairs = [(0, 0), (1, 1), (2, 2), (0, 2)];
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let y = distance(&a, &b, Some(&lin), &pairs, None).unwrap();
                let [da, db, dlin] = gradients(&y, &weights, [&a, &b, &lin]);
                [values(&y), da, db, dlin]
            })
        };
        let one = run(1);
        for threads in [2, 3, 5] {
            assert!(run(threads) == one, "{threads} threads");
        }
        for i in 0..n {
            let alone = |x: &Tensor| x.narrow(0, i, 1).unwrap();
            let y = distance(&alone(&a), &alone(&b), Some(&lin), &[(0, 0)], None).unwrap();
            assert_eq!(values(&y), one[0][i * h * w..][..h * w]);
        }
        // Picture 1 is in one pair alone.
        let own = Var::from_tensor(&a.narrow(0, 1, 1).unwrap().contiguous().unwrap()).unwrap();
        let y = distance(&own, &b, Some(&lin), &[(0, 1)], None).unwrap();
        let [da] = gradients(&y, &weights.narrow(0, 1, 1).unwrap(), [&own]);
        assert!(da == one[1][h * w * c..][..h * w * c]);
    }

    #[test]
    fn head_widens_16_bit_taps() {
        let mut noise = Noise::new(6);
        let (a, b) = (noise.tensor((2, 3, 3, 19)), noise.tensor((1, 3, 3, 19)));
        let pairs = [(0, 0), (1, 0)];
        for dtype in [DType::F16, DType::BF16] {
            let a = Var::from_tensor(&a.to_dtype(dtype).unwrap()).unwrap();
            let b = b.to_dtype(dtype).unwrap();
            let y = distance(&a, &b, None, &pairs, None).unwrap();
            let wide = distance(&a.to_dtype(DType::F32).unwrap(), &b.to_dtype(DType::F32).unwrap(), None, &pairs, None);
            assert_eq!(y.dtype(), DType::F32);
            assert_eq!(values(&y), values(&wide.unwrap()));
            let grads = y.sum_all().unwrap().backward().unwrap();
            assert_eq!(grads.get(&a).unwrap().dtype(), dtype);
        }
    }

    #[test]
    fn head_accepts_any_strides() {
        let mut noise = Noise::new(7);
        let (a, b) = (noise.tensor((1, 6, 4, 5)), noise.tensor((1, 6, 4, 5)));
        let view = |x: &Tensor| x.permute((0, 2, 3, 1)).unwrap();
        let flat = |x: &Tensor| view(x).contiguous().unwrap();
        let strided = distance(&view(&a), &view(&b), None, &[(0, 0)], None).unwrap();
        assert_eq!(values(&strided), values(&distance(&flat(&a), &flat(&b), None, &[(0, 0)], None).unwrap()));
    }

    #[test]
    fn head_refuses_shapes_that_do_not_fit() {
        let zeros = |shape: [usize; 4]| Tensor::zeros(&shape, DType::F32, &device()).unwrap();
        let x = zeros([2, 3, 4, 5]);
        assert!(distance(&x, &zeros([2, 4, 3, 5]), None, &[(0, 0)], None).is_err());
        assert!(distance(&x, &zeros([2, 3, 4, 6]), None, &[(0, 0)], None).is_err());
        assert!(distance(&x, &x.get(0).unwrap(), None, &[(0, 0)], None).is_err());
        assert!(distance(&x, &x, None, &[], None).is_err());
        assert!(distance(&x, &x, None, &[(0, 2)], None).is_err());
        assert!(distance(&x, &x, Some(&zeros([1, 4, 1, 1])), &[(0, 1)], None).is_err());
        for shape in [[1, 3, 4, 0], [1, 0, 4, 5]] {
            assert!(distance(&zeros(shape), &zeros(shape), None, &[(0, 0)], None).is_err());
        }
    }
}
