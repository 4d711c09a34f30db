//! The forward pass: rows of the pictures in at the top, rows of the taps out as soon as they are decided.

use candle_core::{DType, Tensor};

use super::{Backbone, Block};
use crate::error::{Error, Result};
use crate::ops;
use crate::ops::conv::ConvRelu;
use crate::ops::pool::max_pool_rows;
use crate::ops::rows::{Rows, WindowParams};

/// A forward pass through a [`Backbone`], from the pictures' first row to their last; see [`Backbone::stream`].
///
/// Nothing is computed twice: each layer keeps the few rows that it will see again.
#[derive(Debug)]
pub struct Stream<'a> {
    steps: Vec<Step<'a>>,
    dtype: DType,
    height: usize,
    given: usize,
}

/// How much a [`Stream`] takes up and passes on at a time; see [`Backbone::bands`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bands {
    /// Rows of the pictures that are best given at a time.
    pub rows: usize,
    /// Bytes that the layers' inputs and outputs take meanwhile, about, with what the operators need beside them.
    pub bytes: usize,
    /// For each step the fewest rows of its output that are computed at a time.
    min_rows: Vec<usize>,
}

/// One operator on the way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operator<'a> {
    Conv(&'a ConvRelu),
    Pool { kernel: usize, stride: usize, ceil_mode: bool },
    SideBySide([&'a ConvRelu; 2]),
}

impl Block {
    /// What it is made of.
    pub(super) fn operators(&self) -> Vec<Operator<'_>> {
        match self {
            Self::Conv(conv) => vec![Operator::Conv(conv)],
            &Self::Pool { kernel, stride, ceil_mode } => vec![Operator::Pool { kernel, stride, ceil_mode }],
            Self::Fire { squeeze, expand1x1, expand3x3 } => {
                vec![Operator::Conv(squeeze), Operator::SideBySide([expand1x1, expand3x3])]
            }
        }
    }

    /// Alone, on a whole picture.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = Window { rows: x.clone(), own: false };
        for operator in self.operators() {
            let y = operator.forward_whole(&x.rows)?;
            if x.own {
                ops::recycle(&x.rows, &y)?;
            }
            x = Window { rows: y, own: true };
        }
        Ok(x.rows)
    }
}

impl<'a> Operator<'a> {
    /// On whole pictures.
    pub(super) fn forward_whole(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let height = x.dims4()?.1;
        // Each operator checks its minimum height itself.
        let rows = Rows::whole(height, self.window().outputs(height).unwrap_or(0));
        self.forward(x, &rows, None)
    }

    fn window(&self) -> WindowParams {
        match *self {
            Self::Conv(conv) => conv.window(),
            Self::Pool { kernel, stride, ceil_mode } => WindowParams { kernel, stride, padding: 0, ceil_mode },
            // The other sees one pixel only.
            Self::SideBySide([_, wider]) => wider.window(),
        }
    }

    /// Output channels for `input` channels.
    fn channels(&self, input: usize) -> usize {
        match self {
            Self::Conv(conv) => conv.channels(),
            Self::Pool { .. } => input,
            Self::SideBySide(pair) => pair.iter().map(|conv| conv.channels()).sum(),
        }
    }

    /// Rows of its output that are computed together: a convolution's tiles lie the same wherever the pictures are cut, so
    /// that the same bits come out.
    fn row_multiple(&self) -> usize {
        match self {
            Self::Pool { .. } => 1,
            Self::Conv(_) | Self::SideBySide(_) => TILE,
        }
    }

    pub(super) fn convolutions(&self) -> &[&'a ConvRelu] {
        match self {
            Self::Conv(conv) => std::slice::from_ref(conv),
            Self::Pool { .. } => &[],
            Self::SideBySide(pair) => pair,
        }
    }

    fn forward(&self, x: &Tensor, rows: &Rows, above: Option<&Tensor>) -> candle_core::Result<Tensor> {
        match *self {
            Self::Conv(conv) => conv.forward_rows(x, rows, above),
            Self::Pool { kernel, stride, ceil_mode } => max_pool_rows(x, (kernel, stride, ceil_mode), rows, above),
            Self::SideBySide(pair) => ConvRelu::side_by_side_rows(pair, x, rows, above),
        }
    }
}

/// An operator on the way, with the rows, columns and channels of what goes in and what comes out.
struct Shapes<'a> {
    operator: Operator<'a>,
    input: [usize; 3],
    output: [usize; 3],
}

#[derive(Debug)]
struct Step<'a> {
    operator: Operator<'a>,
    window: WindowParams,
    /// The tap that its output is.
    tap: Option<usize>,
    /// Rows of the whole input and of the whole output.
    height: usize,
    outputs: usize,
    /// The fewest rows of the output that are computed at a time, unless they are the last.
    min_rows: usize,
    /// The next row of the output.
    next: usize,
    /// The rows of the input from `first` on that came already and are still needed.
    kept: Option<Window>,
    first: usize,
}

/// Some rows of an activation, (N, rows, W, C).
#[derive(Debug)]
struct Window {
    rows: Tensor,
    /// Whether its memory goes back to the operators when it is no longer of use.
    own: bool,
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
    /// The next rows of the pictures, (N, rows, W, 3), from the top down, in the network's values. `visit` is called with
    /// the number of a tap and its next rows, (N, rows, W', C), which need not be contiguous.
    ///
    /// `visit` says whether the memory of these rows may be used for others from then on; what is kept must not be, nor what
    /// gradients will flow back to. The order of the calls is that of the rows for each tap, but any among the taps.
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
        let mut x = Window { rows: rows.to_dtype(self.dtype)?, own: false };
        if let Some(kept) = self.steps[0].kept.take() {
            x = Window { rows: Tensor::cat(&[&kept.rows, &x.rows], 1)?, own: false };
        }
        for at in 0..self.steps.len() {
            let (before, rest) = self.steps.split_at_mut(at + 1);
            let step = &mut before[at];
            let here = x.rows.dim(1)?;
            let given = step.first + here;
            let count = step.ready(given);
            if count == 0 {
                step.kept = Some(x);
                return Ok(());
            }
            let above = rest.first_mut().and_then(|next| next.kept.take());
            let rows = Rows { height: step.height, first: step.first, from: step.next, count };
            let y = step.operator.forward(&x.rows, &rows, above.as_ref().map(|above| &above.rows))?;
            step.next += count;
            // Where all is put out, what is left of the input is in no window.
            let done = step.next == step.outputs;
            let first = if done { given } else { step.window.first(step.next).clamp(step.first, given) };
            if first < given {
                let rows = x.rows.narrow(1, first - step.first, given - first)?.force_contiguous()?;
                // Not from the operators' own memory, so it must not go there either: nothing would take it again.
                step.kept = Some(Window { rows, own: false });
            }
            step.first = first;
            if x.own {
                ops::recycle(&x.rows, &y)?;
            }
            let lead = match above {
                None => 0,
                Some(above) => {
                    let lead = above.rows.dim(1)?;
                    if above.own {
                        ops::recycle(&above.rows, &y)?;
                    }
                    lead
                }
            };
            let own = match step.tap {
                None => true,
                Some(tap) => visit(tap, &y.narrow(1, lead, count)?)?,
            };
            x = Window { rows: y, own };
            if done && in_bands {
                // The last bands have heights of their own: buffers of the usual ones would lie about unused.
                ops::release_memory();
            }
        }
        if x.own {
            ops::recycle(&x.rows, &x.rows)?;
        }
        Ok(())
    }
}

impl Backbone {
    /// A forward pass over pictures of `height` rows that takes its input in bands; [`Bands::whole`] for all at once.
    ///
    /// The last row given completes all taps. The taps are those of [`Self::features_channels_last`], on the CPU bit for bit,
    /// wherever the pictures are cut.
    ///
    /// # Errors
    /// Pictures that are too low for the network.
    pub fn stream(&self, height: usize, bands: &Bands) -> Result<Stream<'_>> {
        self.check_size(height, self.minimum_size())?;
        let mut steps = Vec::new();
        let mut rows = height;
        for (position, block) in self.blocks.iter().enumerate() {
            let operators = block.operators();
            let last = operators.len() - 1;
            for (i, operator) in operators.into_iter().enumerate() {
                let window = operator.window();
                // Never the fallback: the size was checked.
                let outputs = window.outputs(rows).unwrap_or(0);
                let tap = self.taps.iter().position(|tap| *tap == position).filter(|_| i == last);
                let min_rows = bands.min_rows.get(steps.len()).copied().unwrap_or(0);
                let (next, first, kept) = (0, 0, None);
                steps.push(Step { operator, window, tap, height: rows, outputs, min_rows, next, kept, first });
                rows = outputs;
            }
        }
        Ok(Stream { steps, dtype: self.dtype, height, given: 0 })
    }

    /// Bands for `pictures` pictures of `height` by `width` pixels of which a pass takes at most `limit` bytes, or as few
    /// as can be: [`Bands::bytes`] says how many. Large ones are hardly faster, so they may take far less.
    ///
    /// # Errors
    /// Pictures smaller than [`Self::minimum_size`].
    pub fn bands(&self, pictures: usize, height: usize, width: usize, limit: usize) -> Result<Bands> {
        self.check_size(height, width)?;
        let mut bands = self.bands_of(pictures, height, width, MOST);
        let mut each = MOST;
        while bands.bytes > limit && each > LEAST {
            each -= each / 4;
            bands = self.bands_of(pictures, height, width, each);
        }
        Ok(bands)
    }

    /// Bands whose rows take about `each` bytes of each layer's output.
    fn bands_of(&self, pictures: usize, height: usize, width: usize, each: usize) -> Bands {
        let size = self.dtype.size_in_bytes();
        let (mut min_rows, mut bytes, mut widest) = (Vec::new(), SCRATCH, 0);
        let mut first = None;
        for Shapes { operator, output: [rows, columns, channels], .. } in self.operators(height, width) {
            let window = operator.window();
            let row = pictures * columns * channels * size;
            let band = (each / row.max(1)).max(TILE) / TILE * TILE;
            first.get_or_insert(band * window.stride);
            // More than half, as the first band is lower by what the layers before have kept. Pooling never waits.
            min_rows.push(if matches!(operator, Operator::Pool { .. }) { 0 } else { band / 2 + 1 });
            let held = (band + band / 4 + window.kernel + TILE - 1).min(rows) * row;
            bytes += held;
            widest = widest.max(held);
        }
        let rows = first.unwrap_or(1).min(height);
        // The strip of the pictures itself, and the copy that some operators make of their input with its border.
        bytes += 3 * pictures * rows * width * 3 * size_of::<f32>() + widest;
        Bands { rows, bytes, min_rows }
    }

    /// Bytes that a whole pass over `pictures` pictures of `height` by `width` pixels takes at most, beside the pictures.
    ///
    /// # Errors
    /// Pictures smaller than [`Self::minimum_size`].
    pub fn whole_bytes(&self, pictures: usize, height: usize, width: usize) -> Result<usize> {
        self.check_size(height, width)?;
        let values: usize = self.operators(height, width).map(|at| at.output.iter().product::<usize>()).sum();
        Ok(SCRATCH + pictures * (height * width * 3 * size_of::<f32>() + values * self.dtype.size_in_bytes()))
    }

    /// Bytes of the weights, as they are stored and in the order that the kernels take them for such pictures.
    ///
    /// # Errors
    /// Pictures smaller than [`Self::minimum_size`].
    pub fn weight_bytes(&self, pictures: usize, height: usize, width: usize) -> Result<usize> {
        self.check_size(height, width)?;
        let mut bytes = 0;
        for Shapes { operator, input: [rows, columns, channels], .. } in self.operators(height, width) {
            for conv in operator.convolutions() {
                bytes += conv.weight_bytes((pictures, rows, columns, channels))?;
            }
        }
        Ok(bytes)
    }

    /// The operators in their order, with the shapes of what goes in and comes out for pictures of this size, which leave
    /// something everywhere.
    fn operators(&self, height: usize, width: usize) -> impl Iterator<Item = Shapes<'_>> {
        self.blocks.iter().flat_map(Block::operators).scan([height, width, 3], |shape, operator| {
            let input = *shape;
            let window = operator.window();
            let size = |side| window.outputs(side).unwrap_or(0);
            *shape = [size(input[0]), size(input[1]), operator.channels(input[2])];
            Some(Shapes { operator, input, output: *shape })
        })
    }

    /// Whether any of the weights is a variable, so that gradients flow to it.
    pub fn has_variables(&self) -> bool {
        self.blocks
            .iter()
            .flat_map(Block::operators)
            .any(|operator| operator.convolutions().iter().any(|conv| conv.has_variables()))
    }
}

impl Bands {
    /// All at once.
    pub fn whole() -> Self {
        Self { rows: usize::MAX, bytes: usize::MAX, min_rows: Vec::new() }
    }
}

/// Rows of a convolution's output that are computed together: those of its tiles.
const TILE: usize = 4;
/// Bytes of a layer's output in a band: from here on more of them make nothing faster.
const MOST: usize = 48 << 20;
/// Below this the bands have one tile's rows, and can't be lower.
const LEAST: usize = 1 << 14;
/// Bytes that the operators need for themselves, whatever they are given.
const SCRATCH: usize = 96 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;
    use crate::ops::testing::{Noise, at_every_level, composing, is_composing, values};
    use crate::weights::Weights;
    use candle_core::{Device, Var};
    use candle_nn::{VarBuilder, VarMap};
    use proptest::prelude::*;

    fn backbone(network: Network, dtype: DType) -> Backbone {
        let vb = Weights::random(network, 1).var_builder(dtype, &Device::Cpu).unwrap();
        Backbone::new(network, network.architecture().taps, &vb).unwrap()
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
            // The rows' memory is used again, so what is kept of them is a copy.
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

    /// To the bit, unless candle's operators made them.
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
        fn bands_make_the_same_taps(
            n in 1usize..3, more in 0usize..70, wider in 0usize..20,
            cuts in proptest::collection::vec(1usize..40, 1..5), min_rows in 0usize..9, composed: bool, seed: u64,
        ) {
            for network in Network::ALL {
                let backbone = backbone(network, DType::F32);
                let (height, width) = (backbone.minimum_size() + more, backbone.minimum_size() + wider);
                let x = Noise::new(seed).tensor((n, height, width, 3));
                let bands = Bands { min_rows: vec![min_rows; 40], ..Bands::whole() };
                let run = || {
                    let expected = backbone.features_channels_last(&x).unwrap();
                    assert_same(network, &in_bands(&backbone, &x, &bands, &cuts), &expected);
                };
                if composed { composing(run) } else { at_every_level(|_| run()) }
            }
        }

        #[test]
        fn gradients_flow_through_bands(
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

    /// Rows that no window reaches any more come alone.
    #[test]
    fn single_rows_at_the_end_change_nothing() {
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
    fn bands_of_any_limit_make_the_same_taps() {
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
    fn the_number_of_threads_changes_no_bit() {
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
    fn sixteen_bits_come_in_bands_too() {
        let backbone = backbone(Network::AlexNet, DType::F16);
        let x = Noise::new(5).tensor((1, 100, 64, 3));
        let expected = backbone.features_channels_last(&x).unwrap();
        let given = in_bands(&backbone, &x, &Bands::whole(), &[31]);
        assert!(given.iter().all(|tap| tap.dtype() == DType::F16));
        assert_same(Network::AlexNet, &given, &expected);
    }

    #[test]
    fn memory_is_counted_by_what_a_pass_holds() {
        let backbone = backbone(Network::Vgg16, DType::F32);
        // conv1_1 and conv1_2 alone.
        assert!(backbone.whole_bytes(2, 1000, 1000).unwrap() > 2 * 2 * 64 * 4 * 1_000_000);
        // As stored, and in Winograd's order, four times as many.
        let weights = backbone.weight_bytes(2, 1000, 1000).unwrap();
        assert!((4 * 58_000_000..6 * 59_000_000).contains(&weights), "{weights}");
        assert!(backbone.bands(2, 15, 1000, 0).is_err());
    }
}
