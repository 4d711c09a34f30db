//! The forward pass, of whole pictures or of bands of rows from the top down.

use candle_core::{DType, Module, Tensor};

use super::bands::Bands;
use super::model::Backbone;
use super::operator::Operator;
use crate::error::{Error, Result};
use crate::ops;
use crate::ops::layout;
use crate::ops::rows::{Rows, WindowParams};

/// A forward pass through a [`Backbone`], from the pictures' first row to their last; see [`Backbone::stream`].
///
/// Nothing is computed twice: each layer keeps the few rows of its input that its next windows overlap.
#[derive(Debug)]
pub struct Stream<'a> {
    steps: Vec<Step<'a>>,
    dtype: DType,
    height: usize,
    given: usize,
}

#[derive(Debug)]
struct Step<'a> {
    operator: &'a Operator,
    window: WindowParams,
    /// The number of the tap, if the output is one.
    tap: Option<usize>,
    /// Rows of the whole input and of the whole output.
    height: usize,
    outputs: usize,
    /// The fewest rows of the output that are computed at a time, unless they are the last.
    min_rows: usize,
    /// The next row of the output.
    next: usize,
    /// The rows of the input from `first` on that the next rows of the output need.
    pending: Option<Activation>,
    first: usize,
}

/// Some rows of an activation, (N, rows, W, C).
#[derive(Debug)]
struct Activation {
    rows: Tensor,
    /// Whether this is the only handle to its memory, which goes back to the operators after its last use.
    is_own: bool,
}

impl Activation {
    /// Gives the memory back, if it is its own. `result` is what was computed from it last.
    fn recycle(self, result: Option<&Tensor>) -> Result<()> {
        if self.is_own {
            ops::recycle(self.rows, result)?;
        }
        Ok(())
    }
}

impl Step<'_> {
    /// The rows of the output that `given` rows of the input decide, or 0 where they are fewer than `min_rows`.
    fn ready(&self, given: usize) -> usize {
        let decided = self.window.decided(given, self.height, self.outputs);
        if given == self.height {
            return decided - self.next;
        }
        let row_multiple = self.operator.row_multiple();
        let ready = (decided / row_multiple * row_multiple).saturating_sub(self.next);
        if ready >= self.min_rows { ready } else { 0 }
    }
}

impl Stream<'_> {
    /// Passes the next rows of the pictures, (N, rows, W, 3), from the top down, in the network's values. `visit` is
    /// called with the number of a tap and its next rows, (N, rows, W', C), which need not be contiguous.
    ///
    /// `visit` returns whether the memory of these rows may be recycled: false if it stores them, or if gradients will
    /// flow back to them. Calls come in the order of the rows for each tap, and in any order among the taps.
    ///
    /// # Errors
    /// More rows than the pictures have, those of candle's operators, and those of `visit`.
    pub fn push(&mut self, rows: &Tensor, mut visit: impl FnMut(usize, &Tensor) -> Result<bool>) -> Result<()> {
        let (count, left) = (rows.dims4()?.1, self.height - self.given);
        if count == 0 || count > left {
            return Err(Error::Shape {
                what: "the next rows".to_string(),
                given: rows.dims().to_vec(),
                expected: format!("(N, rows, W, 3) with 1 to {left} rows"),
            });
        }
        let in_bands = count < self.height;
        self.given += count;
        let mut x = Activation { rows: rows.to_dtype(self.dtype)?, is_own: false };
        if let Some(pending) = self.steps[0].pending.take() {
            x.rows = Tensor::cat(&[&pending.rows, &x.rows], 1)?;
        }
        for at in 0..self.steps.len() {
            let (before, rest) = self.steps.split_at_mut(at + 1);
            let step = &mut before[at];
            let given = step.first + x.rows.dim(1)?;
            let count = step.ready(given);
            if count == 0 {
                step.pending = Some(x);
                return Ok(());
            }
            let above = rest.first_mut().and_then(|next| next.pending.take());
            let rows = Rows { height: step.height, first: step.first, from: step.next, count };
            let y = step.operator.forward(&x.rows, &rows, above.as_ref().map(|above| &above.rows))?;
            step.next += count;
            // After the last row of the output no window is left, whatever is left of the input.
            let done = step.next == step.outputs;
            let first = if done { given } else { step.window.first(step.next).clamp(step.first, given) };
            if first < given {
                let rows = x.rows.narrow(1, first - step.first, given - first)?.force_contiguous()?;
                // Not from the operators' own memory, so it must not go there either: it would never be taken again.
                step.pending = Some(Activation { rows, is_own: false });
            }
            step.first = first;
            x.recycle(Some(&y))?;
            let mut lead = 0;
            if let Some(above) = above {
                lead = above.rows.dim(1)?;
                above.recycle(Some(&y))?;
            }
            let is_own = match step.tap {
                None => true,
                Some(tap) => visit(tap, &y.narrow(1, lead, count)?)?,
            };
            x = Activation { rows: y, is_own };
            if done && in_bands {
                // The last bands have heights of their own: buffers of the usual ones would lie about unused.
                ops::release_memory();
            }
        }
        x.recycle(None)
    }
}

impl Backbone {
    /// The tapped layers' outputs, after their ReLU, for pictures `x` of shape (N, 3, H, W), in the network's order;
    /// each (N, C, H', W').
    ///
    /// Values are as the network was trained on: for ImageNet weights, RGB normalised by mean and standard deviation.
    ///
    /// # Errors
    /// A tensor that is no batch of three-channel pictures, or pictures smaller than [`Self::minimum_size`].
    pub fn features(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.features_channels_last(&layout::to_channels_last(self.checked(x)?)?)?
            .iter()
            .map(|tap| Ok(layout::to_channels_first(tap)?))
            .collect()
    }

    /// [`Self::features`] in the operators' own shape: (N, H, W, 3) in, (N, H', W', C) out.
    ///
    /// # Errors
    /// Errors of candle's operators. The caller checks sizes (see [`Self::check_size`]).
    pub fn features_channels_last(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let height = x.dims4()?.1;
        let mut taps = vec![None; self.taps.len()];
        self.stream(height, &Bands::whole())?.push(x, |tap, rows| {
            taps[tap] = Some(rows.clone());
            Ok(false)
        })?;
        Ok(taps.into_iter().flatten().collect())
    }

    fn checked<'a>(&self, x: &'a Tensor) -> Result<&'a Tensor> {
        match *x.dims() {
            [n, 3, height, width] if n > 0 => {
                self.check_size(height, width)?;
                Ok(x)
            }
            _ => Err(Error::Shape {
                what: "the input".to_string(),
                given: x.dims().to_vec(),
                expected: "(N, 3, H, W) with N at least 1".to_string(),
            }),
        }
    }

    /// A forward pass over pictures of `height` rows that takes its input in bands; [`Bands::whole`] for all at once.
    ///
    /// The last row given completes all taps. The taps are those of [`Self::features_channels_last`], on the CPU bit
    /// for bit, wherever the pictures are cut.
    ///
    /// # Errors
    /// Pictures that are too low for the network.
    pub fn stream(&self, height: usize, bands: &Bands) -> Result<Stream<'_>> {
        self.check_size(height, self.minimum_size())?;
        let mut steps = Vec::new();
        let mut rows = height;
        for (position, block) in self.blocks.iter().enumerate() {
            let last = block.operators().len() - 1;
            for (i, operator) in block.operators().iter().enumerate() {
                let window = operator.window();
                // Never the fallback: the size was checked.
                let outputs = window.outputs(rows).unwrap_or(0);
                let tap = self.taps.iter().position(|tap| *tap == position).filter(|_| i == last);
                let min_rows = bands.min_rows(steps.len());
                let (next, first, pending) = (0, 0, None);
                steps.push(Step { operator, window, tap, height: rows, outputs, min_rows, next, pending, first });
                rows = outputs;
            }
        }
        Ok(Stream { steps, dtype: self.dtype, height, given: 0 })
    }
}

impl Module for Backbone {
    /// The last tap (N, C, H', W') of pictures (N, 3, H, W): the last of [`Backbone::features`].
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let mut taps = self.features(x).map_err(candle_core::Error::wrap)?;
        // A backbone has at least one tap.
        taps.pop().ok_or_else(|| candle_core::Error::Msg("the backbone has no tap".to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::bands::SCRATCH;
    use super::*;
    use crate::Network;
    use crate::ops::testing::{Noise, at_every_level, composing, is_composing, values};
    use crate::weights::Weights;
    use candle_core::{Device, Var};
    use candle_nn::{VarBuilder, VarMap};
    use proptest::prelude::*;

    fn zeros(network: Network, taps: &[&str]) -> Backbone {
        let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
        Backbone::new(network, taps, &vb).unwrap()
    }

    fn backbone(network: Network, dtype: DType) -> Backbone {
        let vb = Weights::random(network, 1).var_builder(dtype, &Device::Cpu).unwrap();
        Backbone::new(network, network.architecture().taps, &vb).unwrap()
    }

    #[test]
    fn features_have_the_shapes_of_the_table() {
        for network in Network::ALL {
            let arch = network.architecture();
            let names: Vec<_> = arch.layer_names().collect();
            let backbone = zeros(network, &names);
            let (height, width) = (backbone.minimum_size(), backbone.minimum_size() + 5);
            let x = Tensor::zeros((2, 3, height, width), DType::F32, &Device::Cpu).unwrap();
            let taps = backbone.features(&x).unwrap();
            assert_eq!(taps.len(), names.len());
            for (position, (tap, channels)) in taps.iter().zip(backbone.tap_channels()).enumerate() {
                let size = |side| arch.size_at(position, side).unwrap();
                assert_eq!(tap.dims(), [2, channels, size(height), size(width)], "{network}");
            }
            let small = x.narrow(2, 0, height - 1).unwrap();
            let error = backbone.features(&small).unwrap_err().to_string();
            assert!(error.contains(&format!("{height}x{height}")), "{error}");
        }
    }

    /// Every kind of layer in a row, as on a device without kernels of ours: values, and gradients to picture and
    /// weights.
    #[test]
    fn composed_operators_equal_kernels_for_whole_networks() {
        for (network, size) in [(Network::AlexNet, 63), (Network::SqueezeNet1_1, 40), (Network::Vgg11, 34)] {
            let arch = network.architecture();
            let mut noise = Noise::new(4);
            let vars = VarMap::new();
            for (name, shape) in arch.tensors(arch.features.len() - 1) {
                let fan_in: usize = shape[1..].iter().product();
                let scale = if shape.len() > 1 { (6.0 / fan_in as f64).sqrt() } else { 0.05 };
                let var = candle_core::Var::from_tensor(&(noise.tensor(shape) * scale).unwrap()).unwrap();
                vars.data().lock().unwrap().insert(name, var);
            }
            let x = candle_core::Var::from_tensor(&noise.tensor((2, 3, size, size + 7))).unwrap();
            let run = |vb: &VarBuilder<'_>| {
                let taps = Backbone::new(network, arch.taps, vb).unwrap().features(&x).unwrap();
                let loss =
                    taps.iter().map(|tap| tap.sqr().unwrap().mean_all().unwrap()).reduce(|a, b| (a + b).unwrap());
                let grads = loss.unwrap().backward().unwrap();
                let mut all: Vec<Vec<f32>> = taps.iter().map(values).collect();
                all.push(values(grads.get(&x).unwrap()));
                for (name, _) in arch.tensors(arch.features.len() - 1) {
                    let data = vars.data().lock().unwrap();
                    all.extend(grads.get(&data[&name]).map(values));
                }
                all
            };
            let variable = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
            let constants =
                vars.data().lock().unwrap().iter().map(|(k, v)| (k.clone(), v.as_detached_tensor())).collect();
            let constant = VarBuilder::from_tensors(constants, DType::F32, &Device::Cpu);
            for vb in [&variable, &constant] {
                let (ours, theirs) = (run(vb), composing(|| run(vb)));
                assert_eq!(ours.len(), theirs.len());
                for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| a - b));
                    let size = norm(&mut b.iter().copied());
                    assert!(size > 0.0 && difference <= 1e-3 * size, "{network}, tensor {i}: {difference} of {size}");
                }
            }
        }
    }

    #[test]
    fn features_refuse_shapes_that_are_no_pictures() {
        let backbone = zeros(Network::AlexNet, &["conv1"]);
        for shape in [vec![1, 1, 64, 64], vec![3, 64, 64], vec![1, 4, 64, 64], vec![0, 3, 64, 64]] {
            let x = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            assert!(matches!(backbone.features(&x), Err(Error::Shape { .. })));
        }
    }

    /// All taps, given the rows of `x` so many at a time, in turn.
    fn in_bands(backbone: &Backbone, x: &Tensor, bands: &Bands, cuts: &[usize]) -> Vec<Tensor> {
        let height = x.dim(1).unwrap();
        let mut stream = backbone.stream(height, bands).unwrap();
        let mut taps = vec![Vec::new(); backbone.taps().len()];
        let mut cuts = cuts.iter().cycle();
        let mut from = 0;
        while from < height {
            let count = (*cuts.next().unwrap()).min(height - from);
            let rows = x.narrow(1, from, count).unwrap().contiguous().unwrap();
            // The rows' memory is recycled, so they are copied.
            stream
                .push(&rows, |tap, rows| {
                    taps[tap].push(rows.force_contiguous()?);
                    Ok(true)
                })
                .unwrap();
            from += count;
        }
        assert!(stream.push(&x.narrow(1, 0, 1).unwrap(), |_, _| Ok(true)).is_err());
        taps.iter().map(|rows| Tensor::cat(rows, 1).unwrap()).collect()
    }

    /// Compares to the bit, unless candle's operators computed them.
    fn assert_same(network: Network, given: &[Tensor], expected: &[Tensor]) {
        assert_eq!(given.len(), expected.len());
        for (tap, (given, expected)) in given.iter().zip(expected).enumerate() {
            assert_eq!(given.dims(), expected.dims(), "{network} tap {tap}");
            let (given, expected) = (values(given), values(expected));
            let largest = expected.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
            let tolerance = if is_composing() { 1e-5 * largest } else { 0.0 };
            for (a, b) in given.iter().zip(&expected) {
                assert!((a - b).abs() <= tolerance, "{network} tap {tap}: {a} and {b} of {largest}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn stream_in_any_bands_equals_whole(
            n in 1usize..3, more in 0usize..70, wider in 0usize..20,
            cuts in proptest::collection::vec(1usize..40, 1..5), min_rows in 0usize..9, composed: bool, seed: u64,
        ) {
            for network in Network::ALL {
                let backbone = backbone(network, DType::F32);
                let (height, width) = (backbone.minimum_size() + more, backbone.minimum_size() + wider);
                let x = Noise::new(seed).tensor((n, height, width, 3));
                let bands = Bands::with_min_rows(min_rows);
                let run = || {
                    let expected = backbone.features_channels_last(&x).unwrap();
                    assert_same(network, &in_bands(&backbone, &x, &bands, &cuts), &expected);
                };
                if composed { composing(run) } else { at_every_level(|_| run()) }
            }
        }

        #[test]
        fn stream_gradients_equal_whole(
            more in 0usize..40, cuts in proptest::collection::vec(1usize..40, 1..5), composed: bool, seed: u64,
        ) {
            for network in [Network::AlexNet, Network::SqueezeNet1_1, Network::Vgg11] {
                let arch = network.architecture();
                let vars = VarMap::new();
                let random = Weights::random(network, seed).var_builder(DType::F32, &Device::Cpu).unwrap();
                for (name, shape) in arch.tensors(arch.features.len() - 1) {
                    let var = Var::from_tensor(&random.get(shape, &name).unwrap()).unwrap();
                    vars.data().lock().unwrap().insert(name, var);
                }
                let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
                let backbone = Backbone::new(network, arch.taps, &vb).unwrap();
                let least = backbone.minimum_size();
                let x = Var::from_tensor(&Noise::new(seed).tensor((1, least + more, least + 3, 3))).unwrap();
                let run = || {
                    let gradients = |taps: &[Tensor]| {
                        let weighted = |(i, tap): (usize, &Tensor)| {
                            let weights = Noise::new(i as u64).tensor(tap.shape());
                            (tap * weights).unwrap().sum_all().unwrap()
                        };
                        let loss = taps.iter().enumerate().map(weighted).reduce(|a, b| (a + b).unwrap()).unwrap();
                        let grads = loss.backward().unwrap();
                        let data = vars.data().lock().unwrap();
                        let mut names: Vec<_> = data.keys().collect();
                        names.sort();
                        let of = |var: &Var| values(grads.get(var).unwrap());
                        std::iter::once(of(&x)).chain(names.iter().map(|name| of(&data[*name]))).collect::<Vec<_>>()
                    };
                    let expected = gradients(&backbone.features_channels_last(&x).unwrap());
                    let given = gradients(&in_bands(&backbone, &x, &Bands::whole(), &cuts));
                    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
                    for (given, expected) in given.iter().zip(&expected) {
                        let difference = norm(&mut given.iter().zip(expected).map(|(a, b)| a - b));
                        assert!(difference <= 1e-3 * norm(&mut expected.iter().copied()), "{network}: {difference}");
                    }
                };
                if composed { composing(run) } else { run() }
            }
        }
    }

    /// Bands of single rows that no window covers any more.
    #[test]
    fn stream_with_single_last_rows_equals_whole() {
        for network in Network::PUBLISHED {
            let backbone = backbone(network, DType::F32);
            let least = backbone.minimum_size();
            for height in least..least + 18 {
                let x = Noise::new(height as u64).tensor((1, height, least, 3));
                let expected = backbone.features_channels_last(&x).unwrap();
                for cuts in [vec![height - 3, 1], vec![1]] {
                    assert_same(network, &in_bands(&backbone, &x, &Bands::whole(), &cuts), &expected);
                }
            }
        }
    }

    #[test]
    fn stream_within_any_memory_limit_equals_whole() {
        for network in Network::PUBLISHED {
            let backbone = backbone(network, DType::F32);
            let x = Noise::new(3).tensor((2, 301, 140, 3));
            let expected = backbone.features_channels_last(&x).unwrap();
            let mut last = usize::MAX;
            for limit in [usize::MAX, SCRATCH + (16 << 20), 0] {
                let bands = backbone.bands(2, 301, 140, limit).unwrap();
                assert!(bands.bytes <= limit || limit == 0);
                assert!(bands.rows <= 301 && bands.bytes <= last);
                last = bands.bytes;
                assert_same(network, &in_bands(&backbone, &x, &bands, &[bands.rows]), &expected);
            }
        }
    }

    #[test]
    fn stream_bits_do_not_depend_on_threads() {
        let backbone = backbone(Network::SqueezeNet1_1, DType::F32);
        let x = Noise::new(4).tensor((2, 120, 90, 3));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let taps = in_bands(&backbone, &x, &Bands::whole(), &[33, 16]);
                taps.iter().map(values).collect::<Vec<_>>()
            })
        };
        assert!(run(1) == run(3));
    }

    #[test]
    fn stream_of_16_bit_weights_equals_whole() {
        let backbone = backbone(Network::AlexNet, DType::F16);
        let x = Noise::new(5).tensor((1, 100, 64, 3));
        let expected = backbone.features_channels_last(&x).unwrap();
        let given = in_bands(&backbone, &x, &Bands::whole(), &[31]);
        assert!(given.iter().all(|tap| tap.dtype() == DType::F16));
        assert_same(Network::AlexNet, &given, &expected);
    }
}
