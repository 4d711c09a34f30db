//! Convolution with bias and ReLU, fused.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use super::Level;
use super::cpu::buffers::{self, Scratch};
use super::cpu::conv::{self, Geometry, Output, Weight};
use super::cpu::relu_backward::relu_backward;
use super::plan::{Algorithm, Plan};
use super::rows::{AppendRows, Rows, WindowParams, append_rows};
use super::storage;
use crate::arch::conv_size;

/// A square convolution followed by a ReLU: its weights and its geometry.
#[derive(Debug, Clone)]
pub struct ConvRelu {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: usize,
    chosen_for: Option<usize>,
    packed: Packed,
}

impl ConvRelu {
    /// A convolution with `weight` (out, in, k, k) and `bias` (out), both of one float type and on one device.
    ///
    /// `stride` and `padding` are in pixels, the same both ways; the padding is zeros.
    ///
    /// # Errors
    /// Shapes that do not fit one another, or a stride of zero.
    pub fn new(weight: &Tensor, bias: &Tensor, stride: usize, padding: usize) -> Result<Self> {
        let (out, channels, kh, kw) = weight.dims4()?;
        if bias.dims() != [out] || kh != kw || padding >= kh || out * channels * stride == 0 {
            bail!(
                "a convolution needs a weight (out, in, k, k), a bias (out), a padding below k and a stride of at least 1; \
                 got weight {:?}, bias {:?}, padding {padding}, stride {stride}",
                weight.shape(),
                bias.shape()
            )
        }
        let packed = Packed((!weight.track_op()).then(Arc::default));
        let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);
        Ok(Self { weight, bias, stride, padding, chosen_for: None, packed })
    }

    /// The same convolution, whose algorithm is chosen as if there were always so many pictures: then what comes out for one does
    /// not depend, on the CPU, on how many are beside it.
    #[must_use]
    pub fn chosen_for(mut self, pictures: usize) -> Self {
        self.chosen_for = Some(pictures);
        self
    }

    /// max(0, x * weight + bias) for `x` of shape (N, H, W, in); gives (N, H', W', out) with
    /// H' = (H + 2 padding - k) / stride + 1, rounded down.
    ///
    /// Differentiable with respect to `x`, the weight and the bias. The ReLU's gradient at 0 is 0, as in PyTorch.
    ///
    /// # Errors
    /// An input with other channels than the weight's, smaller than the kernel, or of another type or device.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let geometry = self.geometry(x.dims4()?)?;
        if super::has_kernels(x) {
            let op = ConvReluOp { geometry, packed: self.packed.clone() };
            x.contiguous()?.apply_op3(&self.weight, &self.bias, op)
        } else {
            self.composed(x, &geometry)
        }
    }

    /// Rows of what [`Self::forward`] makes of the whole picture, from some of its rows `x`, below the rows `above`.
    pub(crate) fn forward_rows(&self, x: &Tensor, rows: &Rows, above: Option<&Tensor>) -> Result<Tensor> {
        let (n, h, w, c) = x.dims4()?;
        let whole = self.geometry((n, rows.height, w, c))?;
        if above.is_none() && rows.is_whole(h, whole.oh) {
            return self.forward(x);
        }
        if self.is_tracked(x) || !super::has_kernels(x) {
            let (top, skip) = rows.top_and_skip(&self.window());
            let x = x.narrow(1, skip, h - skip)?;
            let g = Geometry { h: h - skip, oh: rows.count, top, ..whole };
            let y = if super::has_kernels(&x) {
                let op = ConvReluOp { geometry: g, packed: self.packed.clone() };
                x.contiguous()?.apply_op3(&self.weight, &self.bias, op)?
            } else {
                self.composed(&x, &g)?
            };
            return append_rows(above, y);
        }
        let compute = |x: &[f32], y: &mut [f32]| self.compute_rows(x, rows, &whole, (y, whole.oc, 0));
        let size = (rows.count, whole.ow, whole.oc);
        x.contiguous()?.apply_op1_no_bwd(&AppendRows { name: "conv-bias-relu-rows", above, size, compute })
    }

    /// Rows of one picture's result, into pixels of `width` channels from channel `offset` on.
    fn compute_rows(
        &self,
        x: &[f32],
        rows: &Rows,
        whole: &Geometry,
        (y, width, offset): (&mut [f32], usize, usize),
    ) -> Result<()> {
        let ((weight, lw), (bias, lb)) = (self.weight.storage_and_layout(), self.bias.storage_and_layout());
        let (Storage::Cpu(weight), Storage::Cpu(bias)) = (&*weight, &*bias) else {
            bail!("the weights are not on the CPU, where the input is")
        };
        let (top, skip) = rows.top_and_skip(&self.window());
        let x = &x[skip * whole.w * whole.c..];
        let g = Geometry { n: 1, h: x.len() / (whole.w * whole.c), oh: rows.count, top, ..*whole };
        // As for the whole picture: the weights are packed once, and the results are the same to the last bits.
        let algorithm = Algorithm::choose(whole);
        compute(x, algorithm, (weight, lw), (bias, lb), (&self.packed, &g), (y, width, offset))
    }

    /// How far its windows reach.
    pub(crate) fn window(&self) -> WindowParams {
        WindowParams { kernel: self.weight.dims()[2], stride: self.stride, padding: self.padding, ceil_mode: false }
    }

    /// Whether gradients flow through the result for `x`.
    fn is_tracked(&self, x: &Tensor) -> bool {
        x.track_op() || self.has_variables()
    }

    /// Whether its weights are variables.
    pub(crate) fn has_variables(&self) -> bool {
        self.weight.track_op() || self.bias.track_op()
    }

    /// The weight and the bias.
    pub(crate) fn weights(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    /// The same convolution by the same numbers, through which no gradients flow. Numbers that change are seen.
    pub(crate) fn detached(&self) -> Self {
        let (weight, bias) = (self.weight.detach(), self.bias.detach());
        Self { weight, bias, packed: self.packed.clone(), ..*self }
    }

    /// The gradients of input, weight and bias from the input, the output and the output's gradient; the last two may be wider,
    /// with this convolution's channels from `offset` on. For the CPU.
    pub(crate) fn backward(
        &self,
        x: &Tensor,
        (y, grad, offset): (&Tensor, &Tensor, usize),
        wants_input: bool,
    ) -> Result<[Option<Tensor>; 3]> {
        let op = ConvReluOp { geometry: self.geometry(x.dims4()?)?, packed: self.packed.clone() };
        op.gradients([x, &self.weight, &self.bias], (y, grad, offset), [wants_input, true, true])
    }

    /// Bytes of its weights, as they are stored and in the order of the kernels for an input of this shape.
    pub(crate) fn weight_bytes(&self, shape: (usize, usize, usize, usize)) -> Result<usize> {
        let g = self.geometry(shape)?;
        let packed = match super::has_kernels(&self.weight).then(|| Algorithm::choose(&g)) {
            None => 0,
            Some(algorithm) => algorithm.packed(&g) * size_of::<f32>(),
        };
        Ok(self.weight.elem_count() * self.weight.dtype().size_in_bytes() + packed)
    }

    /// Two convolutions of the same input, their channels side by side: (N, H', W', out + out).
    ///
    /// # Errors
    /// Those of [`Self::forward`], and results of different size.
    pub fn side_by_side(pair: [&Self; 2], x: &Tensor) -> Result<Tensor> {
        let dims = x.dims4()?;
        let rows = Rows::whole(dims.1, pair[0].geometry(dims)?.oh);
        Self::side_by_side_rows(pair, x, &rows, None)
    }

    /// Rows of what [`Self::side_by_side`] makes of the whole picture, from some of its rows `x`, below the rows `above`.
    pub(crate) fn side_by_side_rows(
        pair: [&Self; 2],
        x: &Tensor,
        rows: &Rows,
        above: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (n, h, w, c) = x.dims4()?;
        let dims = (n, rows.height, w, c);
        let geometries = [pair[0].geometry(dims)?, pair[1].geometry(dims)?];
        let [first, second] = &geometries;
        if (first.oh, first.ow) != (second.oh, second.ow) {
            bail!("two convolutions side by side must put out pictures of one size")
        }
        if pair.iter().any(|conv| conv.is_tracked(x)) || !super::has_kernels(x) {
            let parts = [pair[0].forward_rows(x, rows, None)?, pair[1].forward_rows(x, rows, None)?];
            return append_rows(above, Tensor::cat(&parts, 3)?);
        }
        let x = x.contiguous()?;
        if above.is_none() && rows.is_whole(h, first.oh) {
            return x.apply_op1_no_bwd(&SideBySide { pair: pair.map(Clone::clone), geometries });
        }
        let width = first.oc + second.oc;
        let compute = |x: &[f32], y: &mut [f32]| {
            pair[0].compute_rows(x, rows, first, (&mut *y, width, 0))?;
            pair[1].compute_rows(x, rows, second, (y, width, first.oc))
        };
        x.apply_op1_no_bwd(&AppendRows {
            name: "conv-side-by-side-rows",
            above,
            size: (rows.count, first.ow, width),
            compute,
        })
    }

    /// How [`Self::forward`] is going to compute an input of this shape, (N, H, W, in), and what that costs.
    ///
    /// # Errors
    /// A shape with other channels than the weight's, or smaller than the kernel.
    pub fn plan(&self, shape: (usize, usize, usize, usize)) -> Result<Plan> {
        let g = self.geometry(shape)?;
        let algorithm = super::has_kernels(&self.weight).then(|| Algorithm::choose(&g));
        let flops = |products: usize| 2.0 * products as f64;
        let executed = algorithm.map_or(g.products(), |algorithm| algorithm.products(&g));
        Ok(Plan { algorithm, flops: flops(g.products()), executed_flops: flops(executed) })
    }

    /// Output channels.
    pub(crate) fn channels(&self) -> usize {
        self.weight.dims()[0]
    }

    fn geometry(&self, (n, h, w, c): (usize, usize, usize, usize)) -> Result<Geometry> {
        let (oc, ic, k, _) = self.weight.dims4()?;
        let size = |input| conv_size(input, k, self.stride, self.padding);
        match (size(h), size(w)) {
            (Some(oh), Some(ow)) if c == ic && n > 0 => {
                let (top, left) = (self.padding, self.padding);
                let (stride, chosen_for) = (self.stride, self.chosen_for);
                Ok(Geometry { n, h, w, c, oh, ow, oc, k, stride, top, left, chosen_for })
            }
            _ => bail!(
                "a convolution of {ic} channels with a {k}x{k} kernel and padding {} can't take {n} pictures of \
                 {h}x{w} pixels with {c} channels",
                self.padding
            ),
        }
    }

    /// The same of candle's operators, for devices that our kernels do not reach.
    fn composed(&self, x: &Tensor, g: &Geometry) -> Result<Tensor> {
        // candle's convolution has a backward that fails for strides above 1 on some sizes, and on Metal is wrong for the
        // weights: there a product of matrices takes its place.
        let unfold = self.weight.track_op() || (x.track_op() && g.stride > 1);
        let y = if unfold {
            self.unfolded(x, g)?
        } else {
            let (x, padding) = if g.top == self.padding && self.geometry((g.n, g.h, g.w, g.c))?.oh == g.oh {
                (x.clone(), self.padding)
            } else {
                (Self::padded(x, g)?, 0)
            };
            let x = x.permute((0, 3, 1, 2))?.contiguous()?;
            x.conv2d(&self.weight, padding, g.stride, 1, 1)?.permute((0, 2, 3, 1))?
        };
        let y = y.broadcast_add(&self.bias)?;
        // candle's relu passes a gradient at exactly 0; a choice by a constant mask does not.
        if y.track_op() { y.detach().gt(0f64)?.where_cond(&y, &y.zeros_like()?) } else { y.relu() }
    }

    /// The rows and columns that the patches see, zeros where they reach past the picture.
    fn padded(x: &Tensor, g: &Geometry) -> Result<Tensor> {
        let pad = |x: Tensor, dim: usize, before: usize, outputs: usize| {
            let reach = (outputs - 1) * g.stride + g.k;
            let size = x.dim(dim)?.min(reach - before);
            x.narrow(dim, 0, size)?.pad_with_zeros(dim, before, reach - before - size)
        };
        pad(pad(x.contiguous()?, 1, g.top, g.oh)?, 2, g.left, g.ow)
    }

    /// The convolution as one product: all patches (N H' W', k k in) times the weight (k k in, out).
    fn unfolded(&self, x: &Tensor, g: &Geometry) -> Result<Tensor> {
        let x = Self::padded(x, g)?.contiguous()?;
        let at = |offset: usize, outputs: usize| {
            Tensor::from_iter((0..outputs).map(|o| (o * g.stride + offset) as u32), x.device())
        };
        let mut patches = Vec::with_capacity(g.k * g.k);
        for ky in 0..g.k {
            let rows = x.index_select(&at(ky, g.oh)?, 1)?;
            for kx in 0..g.k {
                patches.push(rows.index_select(&at(kx, g.ow)?, 2)?);
            }
        }
        let patches = Tensor::cat(&patches, 3)?.reshape((g.n * g.oh * g.ow, g.k * g.k * g.c))?;
        let weight = self.weight.permute((2, 3, 1, 0))?.reshape((g.k * g.k * g.c, g.oc))?;
        patches.matmul(&weight)?.reshape((g.n, g.oh, g.ow, g.oc))
    }
}

/// The weights in the kernels' order, kept where they are constants: a variable's value may change under its id.
#[derive(Debug, Clone)]
struct Packed(Option<Arc<Mutex<Kept>>>);

type Kept = Vec<(Order, Arc<Scratch>)>;

/// The order of packed weights: for which kernels, and whether for the gradient of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    level: Level,
    algorithm: Algorithm,
    flipped: bool,
}

impl Packed {
    fn get(&self, weight: &CpuStorage, layout: &Layout, g: &Geometry, order: Order) -> Result<Arc<Scratch>> {
        let kept = || self.0.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(kept) = kept()
            && let Some((_, packed)) = kept.iter().find(|(known, _)| *known == order)
        {
            return Ok(packed.clone());
        }
        // Not under the lock: a thread that waits for its share of the packing may take up another forward pass, which
        // would wait for the lock.
        let data = storage::read(weight, layout)?;
        let weight = if order.flipped { Weight::flipped(&data, g) } else { Weight::forward(&data, g) };
        let packed = Arc::new(weight.pack(order.level, order.algorithm));
        if let Some(mut kept) = kept()
            && kept.iter().all(|(known, _)| *known != order)
        {
            kept.push((order, packed.clone()));
        }
        Ok(packed)
    }
}

/// max(0, x * weight + bias) into `out`, pixels of `width` channels, from channel `offset` on.
fn compute(
    x: &[f32],
    algorithm: Algorithm,
    (weight, lw): (&CpuStorage, &Layout),
    (bias, lb): (&CpuStorage, &Layout),
    (packed, g): (&Packed, &Geometry),
    (out, width, offset): (&mut [f32], usize, usize),
) -> Result<()> {
    let bias = storage::read(bias, lb)?;
    let order = Order { level: Level::current()?, algorithm, flipped: false };
    let packed = packed.get(weight, lw, g, order)?;
    let mut out = Output::new(out, g, width, offset, true);
    conv::forward(order.level, order.algorithm, x, &packed, Some(&bias), g, &mut out);
    Ok(())
}

struct ConvReluOp {
    geometry: Geometry,
    packed: Packed,
}

impl CustomOp3 for ConvReluOp {
    fn name(&self) -> &'static str {
        "conv-bias-relu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = &self.geometry;
        let mut y = buffers::take(g.n * g.oh * g.ow * g.oc);
        let data = storage::read(x, lx)?;
        compute(&data, Algorithm::choose(g), (weight, lw), (bias, lb), (&self.packed, g), (&mut y, g.oc, 0))?;
        Ok((storage::write(y, x.dtype())?, Shape::from((g.n, g.oh, g.ow, g.oc))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let wants = [x, weight, bias].map(Tensor::track_op);
        let [dx, dw, db] = self.gradients([x, weight, bias], (y, grad, 0), wants)?;
        Ok((dx, dw, db))
    }
}

impl ConvReluOp {
    /// The gradients of input, weight and bias that are wanted, from the output and its gradient, whose channels from `offset` on
    /// are this convolution's.
    fn gradients(
        &self,
        [x, weight, bias]: [&Tensor; 3],
        (y, grad, offset): (&Tensor, &Tensor, usize),
        wants: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let (g, level) = (&self.geometry, Level::current()?);
        let grad = grad.contiguous()?;
        let (grad, db) = {
            let width = y.dim(3)?;
            let ((y, ly), (grad, lg)) = (y.storage_and_layout(), grad.storage_and_layout());
            relu_backward(level, (&storage::of(&y, ly)?, &storage::of(&grad, lg)?), width, (offset, g.oc))
        };
        let tensor =
            |data: Vec<f32>, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device())?.to_dtype(like.dtype());
        let dx = if wants[0] {
            let order = Order { level, algorithm: Algorithm::choose(&g.flipped()), flipped: true };
            let (weight, lw) = weight.storage_and_layout();
            let Storage::Cpu(weight) = &*weight else { bail!("the weights are not on the CPU, where the input is") };
            let packed = self.packed.get(weight, lw, g, order)?;
            Some(tensor(conv::input_gradient(level, order.algorithm, &grad, &packed, g), x)?)
        } else {
            None
        };
        let dw = if wants[1] {
            let (x, lx) = x.storage_and_layout();
            Some(tensor(conv::weight_gradient(level, &storage::of(&x, lx)?, &grad, g), weight)?)
        } else {
            None
        };
        buffers::give(grad);
        let db = if wants[2] { Some(tensor(db, bias)?) } else { None };
        Ok([dx, dw, db])
    }
}

/// x -> both convolutions, of constants.
struct SideBySide {
    pair: [ConvRelu; 2],
    geometries: [Geometry; 2],
}

impl CustomOp1 for SideBySide {
    fn name(&self) -> &'static str {
        "conv-side-by-side"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let [first, second] = &self.geometries;
        let width = first.oc + second.oc;
        let mut y = buffers::take(first.n * first.oh * first.ow * width);
        let data = storage::read(x, lx)?;
        for (conv, g, offset) in [(&self.pair[0], first, 0), (&self.pair[1], second, first.oc)] {
            let ((weight, lw), (bias, lb)) = (conv.weight.storage_and_layout(), conv.bias.storage_and_layout());
            let (Storage::Cpu(weight), Storage::Cpu(bias)) = (&*weight, &*bias) else {
                bail!("the weights are not on the CPU, where the input is")
            };
            let algorithm = Algorithm::choose(g);
            compute(&data, algorithm, (weight, lw), (bias, lb), (&conv.packed, g), (&mut y, width, offset))?;
        }
        Ok((storage::write(y, x.dtype())?, Shape::from((first.n, first.oh, first.ow, width))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Noise, at_every_level, by_algorithm, check_gradient, close, device, gradients, values};
    use candle_core::{DType, Var};
    use proptest::prelude::*;

    /// Straight from the definition: (N, H, W, C) and (O, C, K, K) to (N, H', W', O).
    fn naive(x: &[f32], weight: &[f32], bias: &[f32], g: &Geometry) -> Vec<f32> {
        let mut out = Vec::new();
        for n in 0..g.n {
            for oy in 0..g.oh {
                for ox in 0..g.ow {
                    for (o, b) in bias.iter().enumerate() {
                        let mut sum = f64::from(*b);
                        for ky in 0..g.k {
                            for kx in 0..g.k {
                                let iy = (oy * g.stride + ky) as isize - g.top as isize;
                                let ix = (ox * g.stride + kx) as isize - g.left as isize;
                                if iy < 0 || ix < 0 || iy >= g.h as isize || ix >= g.w as isize {
                                    continue;
                                }
                                for c in 0..g.c {
                                    let x = x[((n * g.h + iy as usize) * g.w + ix as usize) * g.c + c];
                                    let w = weight[((o * g.c + c) * g.k + ky) * g.k + kx];
                                    sum += f64::from(x) * f64::from(w);
                                }
                            }
                        }
                        out.push(sum.max(0.0) as f32);
                    }
                }
            }
        }
        out
    }

    /// Runs `f` at every SIMD level and by every algorithm.
    fn everywhere(mut f: impl FnMut(Level, Algorithm)) {
        at_every_level(|level| {
            for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
                by_algorithm(algorithm, || f(level, algorithm));
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn equals_the_definition_on_every_path(
            n in 1usize..6, h in 1usize..15, w in 1usize..15, c in 1usize..19, oc in 1usize..83,
            k in 1usize..6, stride in 1usize..5, padding in 0usize..4, seed: u64,
        ) {
            prop_assume!(padding < k && h + 2 * padding >= k && w + 2 * padding >= k);
            let mut noise = Noise::new(seed);
            let (data, bias) = (noise.take(n * h * w * c), noise.take(oc));
            // As a network's: a sum stays near one, however many it is of.
            let scale = ((c * k * k) as f32).sqrt().recip();
            let weight: Vec<f32> = noise.take(oc * c * k * k).iter().map(|w| w * scale).collect();
            let x = Var::from_vec(data.clone(), (n, h, w, c), &device()).unwrap();
            let wv = Var::from_vec(weight.clone(), (oc, c, k, k), &device()).unwrap();
            let bv = Var::from_vec(bias.clone(), oc, &device()).unwrap();
            let op = ConvRelu::new(&wv, &bv, stride, padding).unwrap();
            let g = op.geometry((n, h, w, c)).unwrap();
            let expected = naive(&data, &weight, &bias, &g);
            let other = op.composed(&x, &g).unwrap();
            close(&values(&other), &expected, 2e-5);
            // An output within rounding of 0 may pass its gradient on one path only.
            let sure = expected.iter().all(|v| *v == 0.0 || *v > 1e-4);
            let weights = noise.tensor(other.shape());
            let theirs = gradients(&other, &weights, [&x, &wv, &bv]);
            everywhere(|_, _| {
                let y = op.forward(&x).unwrap();
                close(&values(&y), &expected, 2e-5);
                let (weight, bias) = (wv.as_detached_tensor(), bv.as_detached_tensor());
                let constant = ConvRelu::new(&weight, &bias, stride, padding).unwrap();
                assert_eq!(values(&constant.forward(&x.detach()).unwrap()), values(&y));

                let ours = gradients(&y, &weights, [&x, &wv, &bv]);
                let [dx] = gradients(&constant.forward(&x).unwrap(), &weights, [&x]);
                assert_eq!(dx, ours[0]);
                if sure {
                    for (ours, theirs) in ours.iter().zip(&theirs) {
                        let largest = theirs.iter().fold(1f32, |m, v| m.max(v.abs()));
                        close(ours, theirs, 1e-4 * largest);
                    }
                }
            });
        }

        #[test]
        fn two_side_by_side_are_two(
            n in 1usize..3, h in 1usize..9, w in 1usize..9, c in 1usize..20, out in 1usize..40, seed: u64,
        ) {
            let mut noise = Noise::new(seed);
            let x = noise.tensor((n, h, w, c));
            let pair = [1, 3].map(|k| ConvRelu::new(&noise.tensor((out, c, k, k)), &noise.tensor(out), 1, k / 2).unwrap());
            everywhere(|_, _| {
                let y = ConvRelu::side_by_side([&pair[0], &pair[1]], &x).unwrap();
                let parts = pair.each_ref().map(|conv| conv.forward(&x).unwrap());
                assert_eq!(values(&y), values(&Tensor::cat(&parts, 3).unwrap()));
            });
        }

        #[test]
        fn gradients_are_slopes(
            n in 1usize..3, h in 3usize..8, w in 3usize..8, c in 1usize..4, oc in 1usize..5,
            k in 1usize..4, stride in 1usize..4, padding in 0usize..3, seed: u64,
        ) {
            prop_assume!(padding < k);
            let mut noise = Noise::new(seed);
            let x = Var::from_tensor(&noise.tensor((n, h, w, c))).unwrap();
            let weight = Var::from_tensor(&noise.tensor((oc, c, k, k))).unwrap();
            let bias = Var::from_tensor(&noise.tensor(oc)).unwrap();
            let f = |x: &Tensor, w: &Tensor, b: &Tensor| {
                ConvRelu::new(w, b, stride, padding).unwrap().forward(x).unwrap()
            };
            let y = f(&x, &weight, &bias);
            let weights = noise.tensor(y.shape());
            let [dx, dw, db] = gradients(&y, &weights, [&x, &weight, &bias]);
            check_gradient(&x, &weights, |x| f(x, &weight, &bias), &dx, seed);
            check_gradient(&weight, &weights, |w| f(&x, w, &bias), &dw, seed);
            check_gradient(&bias, &weights, |b| f(&x, &weight, b), &db, seed);
        }
    }

    /// Sizes at which the work is split in every way there is: many tiles, few tiles of many channels, tasks by pixels and by
    /// panels of channels, rows of the kernel.
    #[test]
    fn large_ones_are_right_too() {
        for (n, h, w, c, oc, k, stride) in [
            (2, 40, 41, 20, 70, 3, 1),
            (1, 9, 7, 300, 130, 3, 1),
            (2, 21, 19, 24, 40, 5, 1),
            (1, 61, 50, 3, 64, 11, 4),
            (3, 30, 30, 64, 16, 1, 1),
            (1, 70, 90, 8, 8, 3, 1),
            (1, 5, 5, 500, 20, 3, 1),
        ] {
            let mut noise = Noise::new(7);
            let padding = k / 2;
            let (x, bias) = (noise.tensor((n, h, w, c)), noise.tensor(oc));
            let weight = (noise.tensor((oc, c, k, k)) * (1.0 / (c as f64 * (k * k) as f64).sqrt())).unwrap();
            let op = ConvRelu::new(&weight, &bias, stride, padding).unwrap();
            let g = op.geometry((n, h, w, c)).unwrap();
            let expected = naive(&values(&x), &values(&weight), &values(&bias), &g);
            everywhere(|_, algorithm| {
                let tolerance = if algorithm == Algorithm::Direct { 1e-5 } else { 3e-5 };
                close(&values(&op.forward(&x).unwrap()), &expected, tolerance);
            });
        }
    }

    /// More tiles of many channels than are in work at a time.
    #[test]
    fn large_groups_follow_one_another() {
        let mut noise = Noise::new(8);
        let x = noise.tensor((1, 95, 94, 140));
        let weight = (noise.tensor((480, 140, 3, 3)) * (1.0 / 1260f64.sqrt())).unwrap();
        let op = ConvRelu::new(&weight, &noise.tensor(480), 1, 1).unwrap();
        at_every_level(|_| {
            let run = |algorithm| by_algorithm(algorithm, || values(&op.forward(&x).unwrap()));
            close(&run(Algorithm::Winograd), &run(Algorithm::Direct), 3e-5);
        });
    }

    #[test]
    fn a_variable_that_changed_is_seen() {
        let mut noise = Noise::new(5);
        let weight = Var::from_tensor(&noise.tensor((4, 3, 3, 3))).unwrap();
        let op = ConvRelu::new(&weight, &noise.tensor(4), 1, 1).unwrap();
        let x = noise.tensor((1, 5, 5, 3));
        let before = values(&op.forward(&x).unwrap());
        weight.set(&noise.tensor((4, 3, 3, 3))).unwrap();
        assert_ne!(before, values(&op.forward(&x).unwrap()));
    }

    #[test]
    fn the_same_bits_with_any_number_of_threads() {
        let mut noise = Noise::new(9);
        // So many tiles that one thread takes them whole, and five go by frequencies.
        let x = Var::from_tensor(&noise.tensor((3, 29, 31, 16))).unwrap();
        let weight = Var::from_tensor(&noise.tensor((40, 16, 3, 3))).unwrap();
        let bias = Var::from_tensor(&noise.tensor(40)).unwrap();
        let weights = noise.tensor((3, 29, 31, 40));
        for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    by_algorithm(algorithm, || {
                        let op = ConvRelu::new(&weight, &bias, 1, 1).unwrap();
                        let y = op.forward(&x).unwrap();
                        (values(&y), gradients(&y, &weights, [&x, &weight, &bias]))
                    })
                })
            };
            let one = run(1);
            assert_eq!(one, run(2));
            assert_eq!(one, run(5));
        }
    }

    #[test]
    fn sixteen_bits_are_kept_and_close() {
        let mut noise = Noise::new(2);
        let (x, w, b) = (noise.tensor((1, 6, 6, 3)), noise.tensor((4, 3, 3, 3)), noise.tensor(4));
        let exact = ConvRelu::new(&w, &b, 1, 1).unwrap().forward(&x).unwrap();
        for (dtype, tolerance) in [(DType::F16, 1e-2), (DType::BF16, 1e-1)] {
            let to = |t: &Tensor| t.to_dtype(dtype).unwrap();
            let y = ConvRelu::new(&to(&w), &to(&b), 1, 1).unwrap().forward(&to(&x)).unwrap();
            assert_eq!(y.dtype(), dtype);
            close(&values(&y), &values(&exact), tolerance);
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut noise = Noise::new(3);
        let op = ConvRelu::new(&noise.tensor((4, 3, 3, 3)), &noise.tensor(4), 1, 0).unwrap();
        assert!(op.forward(&noise.tensor((1, 2, 9, 3))).is_err());
        assert!(op.forward(&noise.tensor((1, 9, 9, 4))).is_err());
        assert!(ConvRelu::new(&noise.tensor((4, 3, 3, 3)), &noise.tensor(5), 1, 0).is_err());
        assert!(ConvRelu::new(&noise.tensor((4, 3, 3, 3)), &noise.tensor(4), 0, 0).is_err());
    }
}
