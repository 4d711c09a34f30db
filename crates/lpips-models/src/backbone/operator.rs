//! The operators that a layer is computed by.

use candle_core::Tensor;

use crate::error::Result;
use crate::ops;
use crate::ops::conv::ConvRelu;
use crate::ops::pool::{PoolParams, max_pool_rows};
use crate::ops::rows::{Rows, WindowParams};

/// Rows of a convolution's output that are computed together: those of its tiles.
pub(super) const TILE: usize = 4;

/// One layer of a network's table with its weights: one operator or more, in order.
#[derive(Debug, Clone)]
pub(super) struct Block {
    operators: Vec<Operator>,
}

/// One operator with its weights.
#[derive(Debug, Clone)]
pub(super) enum Operator {
    Conv(ConvRelu),
    Pool(PoolParams),
    /// Two convolutions of one input, their channels side by side; the second has the larger kernel.
    SideBySide([ConvRelu; 2]),
}

impl Block {
    pub(super) fn new(operators: Vec<Operator>) -> Self {
        Self { operators }
    }

    pub(super) fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// The layer with each of its convolutions changed by `f`.
    pub(super) fn map_convolutions(&self, f: impl Fn(&ConvRelu) -> ConvRelu) -> Self {
        let map = |operator: &Operator| match operator {
            Operator::Conv(conv) => Operator::Conv(f(conv)),
            Operator::SideBySide(pair) => Operator::SideBySide(pair.each_ref().map(&f)),
            Operator::Pool(params) => Operator::Pool(*params),
        };
        Self { operators: self.operators.iter().map(map).collect() }
    }

    /// The layer's output (N, H', W', C') for whole pictures (N, H, W, C).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut input: Option<Tensor> = None;
        for operator in &self.operators {
            let y = operator.forward_whole(input.as_ref().unwrap_or(x))?;
            if let Some(input) = input.replace(y.clone()) {
                ops::recycle(input, Some(&y))?;
            }
        }
        Ok(input.unwrap_or_else(|| x.clone()))
    }
}

impl Operator {
    /// The output (N, H', W', C') for whole pictures (N, H, W, C).
    pub(super) fn forward_whole(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let height = x.dims4()?.1;
        // Each operator checks its minimum height itself.
        let rows = Rows::whole(height, self.window().outputs(height).unwrap_or(0));
        self.forward(x, &rows, None)
    }

    /// Some rows of the output, appended to the rows `above`.
    pub(super) fn forward(&self, x: &Tensor, rows: &Rows, above: Option<&Tensor>) -> candle_core::Result<Tensor> {
        match self {
            Self::Conv(conv) => conv.forward_rows(x, rows, above),
            Self::Pool(params) => max_pool_rows(x, *params, rows, above),
            Self::SideBySide(pair) => ConvRelu::side_by_side_rows(pair.each_ref(), x, rows, above),
        }
    }

    pub(super) fn window(&self) -> WindowParams {
        match self {
            Self::Conv(conv) => conv.window(),
            Self::Pool(params) => params.window(),
            // The first one's window is one pixel.
            Self::SideBySide([_, wider]) => wider.window(),
        }
    }

    /// Output channels for `input` channels.
    pub(super) fn channels(&self, input: usize) -> usize {
        match self {
            Self::Conv(conv) => conv.channels(),
            Self::Pool(_) => input,
            Self::SideBySide(pair) => pair.iter().map(ConvRelu::channels).sum(),
        }
    }

    /// Rows of the output that are computed together: a convolution's tiles lie the same wherever the pictures are cut,
    /// so that the same bits come out.
    pub(super) fn row_multiple(&self) -> usize {
        match self {
            Self::Pool(_) => 1,
            Self::Conv(_) | Self::SideBySide(_) => TILE,
        }
    }

    pub(super) fn convolutions(&self) -> &[ConvRelu] {
        match self {
            Self::Conv(conv) => std::slice::from_ref(conv),
            Self::Pool(_) => &[],
            Self::SideBySide(pair) => pair,
        }
    }
}
