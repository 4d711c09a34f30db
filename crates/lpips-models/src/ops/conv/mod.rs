//! Convolution with bias and ReLU, fused.

mod composed;
mod packed;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use self::packed::{Order, Packed};
use super::Level;
use super::cpu::buffers;
use super::cpu::conv;
use super::cpu::geometry::Geometry;
use super::cpu::output::Output;
use super::cpu::relu_backward::{ChannelRange, relu_backward};
use super::dispatch::has_kernels;
use super::plan::{Algorithm, Plan};
use super::rows::{AppendRows, Rows, WindowParams, append_rows};
use super::storage::{self, View};
use crate::arch::conv_size;

/// Stride and padding of a square convolution, in pixels, the same both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvParams {
    /// The step between two windows.
    pub stride: usize,
    /// Zeros added on each of the four sides.
    pub padding: usize,
}

impl Default for ConvParams {
    /// A stride of 1, without padding.
    fn default() -> Self {
        Self { stride: 1, padding: 0 }
    }
}

/// A square convolution followed by a ReLU: its weights and its geometry.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use lpips_models::ops::conv::{ConvParams, ConvRelu};
///
/// // A mean over 3x3 pixels of one channel.
/// let weight = Tensor::full(1f32 / 9.0, (1, 1, 3, 3), &Device::Cpu)?;
/// let bias = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
/// let conv = ConvRelu::new(&weight, &bias, ConvParams { stride: 1, padding: 1 })?;
/// let y = conv.forward(&Tensor::full(9f32, (1, 4, 4, 1), &Device::Cpu)?)?;
/// assert_eq!(y.dims(), [1, 4, 4, 1]);
/// // In a corner five of the nine pixels are padding.
/// assert!((y.flatten_all()?.to_vec1::<f32>()?[0] - 4.0).abs() < 1e-5);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConvRelu {
    weight: Tensor,
    bias: Tensor,
    params: ConvParams,
    chosen_for: Option<usize>,
    packed: Packed,
}

impl ConvRelu {
    /// A convolution with `weight` (out, in, k, k) and `bias` (out), both of one float type and on one device.
    ///
    /// # Errors
    /// Shapes that do not fit one another, or a stride of zero.
    pub fn new(weight: &Tensor, bias: &Tensor, params: ConvParams) -> Result<Self> {
        let ConvParams { stride, padding } = params;
        let (out, channels, kh, kw) = weight.dims4()?;
        if bias.dims() != [out] || kh != kw || padding >= kh || out * channels * stride == 0 {
            bail!(
                "a convolution needs a weight (out, in, k, k), a bias (out), a padding below k and a stride of at least 1; \
                 got weight {:?}, bias {:?}, padding {padding}, stride {stride}",
                weight.shape(),
                bias.shape()
            )
        }
        let packed = Packed::new(weight);
        let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);
        Ok(Self { weight, bias, params, chosen_for: None, packed })
    }

    /// The convolution with its algorithm chosen as for a batch of `pictures`: on the CPU the output for one picture
    /// then does not depend on the size of the batch.
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
        if has_kernels(x) {
            let op = ConvReluOp { geometry, packed: self.packed.clone() };
            x.contiguous()?.apply_op3(&self.weight, &self.bias, op)
        } else {
            self.composed(x, &geometry)
        }
    }

    /// Computes some rows of [`Self::forward`]'s output from some rows `x` of the picture, and appends them to the rows
    /// `above`.
    pub(crate) fn forward_rows(&self, x: &Tensor, rows: &Rows, above: Option<&Tensor>) -> Result<Tensor> {
        let (n, h, w, c) = x.dims4()?;
        let whole = self.geometry((n, rows.height, w, c))?;
        if above.is_none() && rows.is_whole(h, whole.oh) {
            return self.forward(x);
        }
        if self.is_tracked(x) || !has_kernels(x) {
            let (top, skip) = rows.top_and_skip(&self.window());
            let x = x.narrow(1, skip, h - skip)?;
            let g = Geometry { h: h - skip, oh: rows.count, top, ..whole };
            let y = if has_kernels(&x) {
                let op = ConvReluOp { geometry: g, packed: self.packed.clone() };
                x.contiguous()?.apply_op3(&self.weight, &self.bias, op)?
            } else {
                self.composed(&x, &g)?
            };
            return append_rows(above, y);
        }
        let compute = |x: &[f32], y: &mut [f32]| {
            self.compute_rows(x, rows, &whole, Channels { data: y, width: whole.oc, offset: 0 })
        };
        let size = (rows.count, whole.ow, whole.oc);
        x.contiguous()?.apply_op1_no_bwd(&AppendRows { name: "conv-bias-relu-rows", above, size, compute })
    }

    /// Computes rows of one picture's output into `out`.
    fn compute_rows(&self, x: &[f32], rows: &Rows, whole: &Geometry, out: Channels<'_>) -> Result<()> {
        let (top, skip) = rows.top_and_skip(&self.window());
        let x = &x[skip * whole.w * whole.c..];
        let g = Geometry { n: 1, h: x.len() / (whole.w * whole.c), oh: rows.count, top, ..*whole };
        // As for the whole picture: the weights are packed once, and the results are the same to the last bits.
        self.compute(x, &g, Algorithm::choose(whole), out)
    }

    /// Computes max(0, x * weight + bias) for the shapes `g` into `out`, with weights on the CPU.
    fn compute(&self, x: &[f32], g: &Geometry, algorithm: Algorithm, out: Channels<'_>) -> Result<()> {
        let ((weight, lw), (bias, lb)) = (self.weight.storage_and_layout(), self.bias.storage_and_layout());
        let (Storage::Cpu(weight), Storage::Cpu(bias)) = (&*weight, &*bias) else {
            bail!("the weights are not on the CPU, where the input is")
        };
        compute(x, (View::new(weight, lw), View::new(bias, lb)), &self.packed, g, algorithm, out)
    }

    /// [`composed::forward`] with this convolution's weights.
    fn composed(&self, x: &Tensor, g: &Geometry) -> Result<Tensor> {
        composed::forward(x, self.weights(), self.params.padding, g)
    }

    /// The shape of its windows.
    pub(crate) fn window(&self) -> WindowParams {
        let ConvParams { stride, padding } = self.params;
        WindowParams { kernel: self.weight.dims()[2], stride, padding, ceil_mode: false }
    }

    /// Whether gradients flow through the output for `x`.
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

    /// The convolution on the same storage without a graph: no gradients flow, and later changes of a variable take
    /// effect.
    pub(crate) fn detached(&self) -> Self {
        let (weight, bias) = (self.weight.detach(), self.bias.detach());
        Self { weight, bias, packed: self.packed.clone(), ..*self }
    }

    /// The gradients of input, weight and bias. For the CPU.
    pub(crate) fn backward(
        &self,
        x: &Tensor,
        output: &OutputGrad<'_>,
        wants_input: bool,
    ) -> Result<[Option<Tensor>; 3]> {
        let op = ConvReluOp { geometry: self.geometry(x.dims4()?)?, packed: self.packed.clone() };
        op.gradients([x, &self.weight, &self.bias], output, [wants_input, true, true])
    }

    /// Bytes of its weights, as they are stored and in the order of the kernels for an input of this shape.
    pub(crate) fn weight_bytes(&self, shape: (usize, usize, usize, usize)) -> Result<usize> {
        let g = self.geometry(shape)?;
        let packed = match has_kernels(&self.weight).then(|| Algorithm::choose(&g)) {
            None => 0,
            Some(algorithm) => algorithm.packed(&g) * size_of::<f32>(),
        };
        Ok(self.weight.elem_count() * self.weight.dtype().size_in_bytes() + packed)
    }

    /// Two convolutions of one input, concatenated along the channels: (N, H', W', out + out).
    ///
    /// # Errors
    /// Those of [`Self::forward`], and results of different size.
    pub fn side_by_side(pair: [&Self; 2], x: &Tensor) -> Result<Tensor> {
        let dims = x.dims4()?;
        let rows = Rows::whole(dims.1, pair[0].geometry(dims)?.oh);
        Self::side_by_side_rows(pair, x, &rows, None)
    }

    /// Computes some rows of [`Self::side_by_side`]'s output from some rows `x` of the picture, and appends them to the
    /// rows `above`.
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
            bail!("two convolutions side by side must have outputs of one size")
        }
        if pair.iter().any(|conv| conv.is_tracked(x)) || !has_kernels(x) {
            let parts = [pair[0].forward_rows(x, rows, None)?, pair[1].forward_rows(x, rows, None)?];
            return append_rows(above, Tensor::cat(&parts, 3)?);
        }
        let x = x.contiguous()?;
        if above.is_none() && rows.is_whole(h, first.oh) {
            return x.apply_op1_no_bwd(&SideBySide { pair: pair.map(Clone::clone), geometries });
        }
        let width = first.oc + second.oc;
        let compute = |x: &[f32], y: &mut [f32]| {
            pair[0].compute_rows(x, rows, first, Channels { data: &mut *y, width, offset: 0 })?;
            pair[1].compute_rows(x, rows, second, Channels { data: y, width, offset: first.oc })
        };
        x.apply_op1_no_bwd(&AppendRows {
            name: "conv-side-by-side-rows",
            above,
            size: (rows.count, first.ow, width),
            compute,
        })
    }

    /// The algorithm of [`Self::forward`] for an input of this shape, (N, H, W, in), and its cost.
    ///
    /// # Errors
    /// A shape with other channels than the weight's, or smaller than the kernel.
    pub fn plan(&self, shape: (usize, usize, usize, usize)) -> Result<Plan> {
        let g = self.geometry(shape)?;
        let algorithm = has_kernels(&self.weight).then(|| Algorithm::choose(&g));
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
        let ConvParams { stride, padding } = self.params;
        let size = |input| conv_size(input, k, stride, padding);
        match (size(h), size(w)) {
            (Some(oh), Some(ow)) if c == ic && n > 0 => {
                let chosen_for = self.chosen_for;
                Ok(Geometry { n, h, w, c, oh, ow, oc, k, stride, top: padding, left: padding, chosen_for })
            }
            _ => bail!(
                "a convolution of {ic} channels with a {k}x{k} kernel and padding {padding} can't take {n} \
                 pictures of {h}x{w} pixels with {c} channels"
            ),
        }
    }
}

/// A convolution's output with its gradient, both of which may be wider: this convolution's channels are those from
/// `offset` on.
#[derive(Clone, Copy)]
pub(crate) struct OutputGrad<'a> {
    pub(crate) y: &'a Tensor,
    pub(crate) grad: &'a Tensor,
    pub(crate) offset: usize,
}

/// Pixels of `width` channels, of which a convolution writes its own from `offset` on.
struct Channels<'a> {
    data: &'a mut [f32],
    width: usize,
    offset: usize,
}

/// Computes max(0, x * weight + bias) for the shapes `g` into `out`.
fn compute(
    x: &[f32],
    (weight, bias): (View<'_>, View<'_>),
    packed: &Packed,
    g: &Geometry,
    algorithm: Algorithm,
    out: Channels<'_>,
) -> Result<()> {
    let bias = bias.read()?;
    let order = Order { level: Level::current()?, algorithm, flipped: false };
    let packed = packed.get(weight, g, order)?;
    let Channels { data, width, offset } = out;
    let mut out = Output::new(data, g, width, offset, true);
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
        let out = Channels { data: &mut y, width: g.oc, offset: 0 };
        let weights = (View::new(weight, lw), View::new(bias, lb));
        compute(&data, weights, &self.packed, g, Algorithm::choose(g), out)?;
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
        let [dx, dw, db] = self.gradients([x, weight, bias], &OutputGrad { y, grad, offset: 0 }, wants)?;
        Ok((dx, dw, db))
    }
}

impl ConvReluOp {
    /// The gradients of input, weight and bias that are wanted.
    fn gradients(
        &self,
        [x, weight, bias]: [&Tensor; 3],
        &OutputGrad { y, grad, offset }: &OutputGrad<'_>,
        wants: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let (g, level) = (&self.geometry, Level::current()?);
        let grad = grad.contiguous()?;
        let (grad, db) = {
            let channels = ChannelRange { width: y.dim(3)?, offset, count: g.oc };
            let ((y, ly), (grad, lg)) = (y.storage_and_layout(), grad.storage_and_layout());
            relu_backward(level, &storage::of(&y, ly)?, &storage::of(&grad, lg)?, channels)
        };
        let tensor =
            |data: Vec<f32>, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device())?.to_dtype(like.dtype());
        let dx = if wants[0] {
            let order = Order { level, algorithm: Algorithm::choose(&g.flipped()), flipped: true };
            let (weight, lw) = weight.storage_and_layout();
            let Storage::Cpu(weight) = &*weight else { bail!("the weights are not on the CPU, where the input is") };
            let packed = self.packed.get(View::new(weight, lw), g, order)?;
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

/// Both convolutions of x, with constant weights.
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
            conv.compute(&data, g, Algorithm::choose(g), Channels { data: &mut y, width, offset })?;
        }
        Ok((storage::write(y, x.dtype())?, Shape::from((first.n, first.oh, first.ow, width))))
    }
}

#[cfg(test)]
mod tests;
