//! 2AFC losses: cross entropy between two distances and the fraction of people who preferred either picture.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;

use crate::error::{Error, Result};

/// Channels of the ranking networks' two hidden layers.
const HIDDEN: usize = 32;

/// Summand of the denominators of the ratios of distances, as in the published package.
const OFFSET: f64 = 0.1;

/// Kind of 2AFC loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LossKind {
    /// The published `BCERankingLoss`: a network from (d0, d1, d0 - d1, d0 / (d1 + 0.1), d1 / (d0 + 0.1)) over 32 and
    /// 32 channels with leaky rectifiers (slope 0.2) to the logit of preferring p1.
    #[default]
    Ranking,
    /// A network from (d0, d1) over 32 and 32 channels with rectifiers to the logit of preferring p1.
    Mlp,
    /// d0 - d1 is the logit of preferring p1: no weights of its own.
    Logistic,
}

impl LossKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Ranking, Self::Mlp, Self::Logistic];

    /// Name: `ranking`, `mlp` or `logistic`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ranking => "ranking",
            Self::Mlp => "mlp",
            Self::Logistic => "logistic",
        }
    }

    /// Names and shapes of the network's tensors, in the published package's names (`rank.model.0.weight`); none for
    /// [`Self::Logistic`].
    pub fn tensors(self) -> Vec<(String, Vec<usize>)> {
        let Some(inputs) = self.inputs() else { return Vec::new() };
        [(0, inputs, HIDDEN), (2, HIDDEN, HIDDEN), (4, HIDDEN, 1)]
            .into_iter()
            .flat_map(|(index, input, out)| {
                [
                    (format!("rank.model.{index}.weight"), vec![out, input, 1, 1]),
                    (format!("rank.model.{index}.bias"), vec![out]),
                ]
            })
            .collect()
    }

    fn inputs(self) -> Option<usize> {
        match self {
            Self::Ranking => Some(5),
            Self::Mlp => Some(2),
            Self::Logistic => None,
        }
    }
}

impl fmt::Display for LossKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LossKind {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == given)
            .ok_or_else(|| Error::UnknownLoss { given: given.to_string() })
    }
}

/// 2AFC loss with its weights: cross entropy between the distances of p0 and p1 to a reference and the fraction of
/// people who preferred p1.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_nn::VarBuilder;
/// use lpips_core::{Loss, LossKind};
///
/// let loss = Loss::new(LossKind::Logistic, &VarBuilder::zeros(candle_core::DType::F32, &Device::Cpu))?;
/// let (d0, d1) = (Tensor::new(&[0.9f32], &Device::Cpu)?, Tensor::new(&[0.1f32], &Device::Cpu)?);
/// let all_for_p1 = Tensor::new(&[1f32], &Device::Cpu)?;
/// assert!(loss.forward(&d0, &d1, &all_for_p1)?.to_scalar::<f32>()? < 0.4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Loss {
    kind: LossKind,
    /// Weight (in, out) and bias (out) of each layer.
    layers: Vec<(Tensor, Tensor)>,
}

impl Loss {
    /// Loss with the weights of `vb` under the names of [`LossKind::tensors`].
    ///
    /// # Errors
    /// A weight that `vb` does not have or has in another shape.
    pub fn new(kind: LossKind, vb: &VarBuilder<'_>) -> Result<Self> {
        let layer = |pair: &[(String, Vec<usize>)]| -> Result<(Tensor, Tensor)> {
            let weight = vb.get(pair[0].1.as_slice(), &pair[0].0)?.flatten_from(1)?.t()?;
            Ok((weight, vb.get(pair[1].1.as_slice(), &pair[1].0)?))
        };
        let layers = kind.tensors().chunks_exact(2).map(layer).collect::<Result<_>>()?;
        Ok(Self { kind, layers })
    }

    /// Kind of the loss.
    pub fn kind(&self) -> LossKind {
        self.kind
    }

    /// Logit of preferring p1, (N), for distances `d0` of p0 and `d1` of p1, N elements each in any shape.
    ///
    /// # Errors
    /// Tensors that do not fit each other.
    pub fn logits(&self, d0: &Tensor, d1: &Tensor) -> Result<Tensor> {
        let (d0, d1) = (d0.flatten_all()?.to_dtype(DType::F32)?, d1.flatten_all()?.to_dtype(DType::F32)?);
        let difference = (&d0 - &d1)?;
        let (inputs, slope) = match self.kind {
            LossKind::Logistic => return Ok(difference),
            LossKind::Mlp => (vec![d0, d1], 0.0),
            LossKind::Ranking => {
                let ratios = [(&d0 / (&d1 + OFFSET)?)?, (&d1 / (&d0 + OFFSET)?)?];
                ([d0, d1, difference].into_iter().chain(ratios).collect(), 0.2)
            }
        };
        let mut x = Tensor::stack(&inputs, 1)?;
        for (i, (weight, bias)) in self.layers.iter().enumerate() {
            if i > 0 {
                x = leaky_relu(&x, slope)?;
            }
            x = x.matmul(weight)?.broadcast_add(bias)?;
        }
        Ok(x.flatten_all()?)
    }

    /// Probability of preferring p1, (N), in [0, 1].
    ///
    /// # Errors
    /// Those of [`Self::logits`].
    pub fn probabilities(&self, d0: &Tensor, d1: &Tensor) -> Result<Tensor> {
        Ok(candle_nn::ops::sigmoid(&self.logits(d0, d1)?)?)
    }

    /// Mean binary cross entropy between the probabilities and `judge`, a scalar of at least 0: finite for all finite
    /// distances, with finite gradients.
    ///
    /// `judge` holds, for each triplet, the fraction of people who preferred p1, in [0, 1].
    ///
    /// # Errors
    /// Those of [`Self::logits`].
    pub fn forward(&self, d0: &Tensor, d1: &Tensor, judge: &Tensor) -> Result<Tensor> {
        let logits = self.logits(d0, d1)?;
        let judge = judge.flatten_all()?.to_dtype(DType::F32)?.to_device(logits.device())?;
        // log(1 + e^z) with e^m taken out, m = max(z, 0): the value does not depend on m, so that m takes no gradient.
        let m = logits.detach().maximum(0f64)?;
        let softplus = (&m + (m.neg()?.exp()? + (&logits - &m)?.exp()?)?.log()?)?;
        Ok((softplus - (logits * judge)?)?.mean_all()?)
    }
}

/// x where above 0, and otherwise `slope` times x.
fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    // candle's own gradients at and below 0 are not PyTorch's.
    let factor = x.detach().gt(0f64)?.to_dtype(x.dtype())?.affine(1.0 - slope, slope)?;
    Ok((x * factor)?)
}

/// Fraction of judgments that agree with the nearer picture, the published trainer's accuracy, in [0, 1]: at equal
/// distances p0 counts as nearer.
///
/// # Errors
/// Tensors that do not fit each other.
pub fn accuracy(d0: &Tensor, d1: &Tensor, judge: &Tensor) -> Result<f64> {
    let values = |x: &Tensor| -> Result<Vec<f32>> { Ok(x.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?) };
    let (d0, d1, judge) = (values(d0)?, values(d1)?, values(judge)?);
    let agree = d0.iter().zip(&d1).zip(&judge);
    let sum: f64 = agree.map(|((d0, d1), judge)| f64::from(if d1 < d0 { *judge } else { 1.0 - judge })).sum();
    Ok(sum / judge.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use candle_nn::VarMap;

    fn loss(kind: LossKind) -> (Loss, VarMap) {
        let vars = VarMap::new();
        let mut seed = 1u32;
        for (name, shape) in kind.tensors() {
            let count = shape.iter().product();
            let mut next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
            };
            let data: Vec<f32> = (0..count).map(|_: usize| next()).collect();
            vars.data().lock().unwrap().insert(name, Var::from_vec(data, shape, &Device::Cpu).unwrap());
        }
        let loss = Loss::new(kind, &VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu)).unwrap();
        (loss, vars)
    }

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn loss_gradient_equals_finite_difference() {
        for kind in LossKind::ALL {
            let (loss, vars) = loss(kind);
            let judge = tensor(&[0.0, 0.3, 1.0]);
            let (d0, d1) = (Var::new(&[0.2f32, 0.9, 0.4], &Device::Cpu).unwrap(), tensor(&[0.5, 0.1, 0.4]));
            let of = |d0: &Tensor| loss.forward(d0, &d1, &judge).unwrap();
            let grads = of(&d0).backward().unwrap();
            let got: Vec<f32> = grads.get(&d0).unwrap().to_vec1().unwrap();
            let mut checked = 0;
            for i in 0..3 {
                let at = |by: f32| {
                    let mut moved: Vec<f32> = d0.to_vec1().unwrap();
                    moved[i] += by;
                    of(&tensor(&moved)).to_scalar::<f32>().unwrap()
                };
                let slope = |step: f32| (at(step) - at(-step)) / (2.0 * step);
                // The two differ where a kink lies between.
                let (near, far) = (slope(5e-3), slope(1e-2));
                if (near - far).abs() < 5e-4 {
                    assert!((near - got[i]).abs() < 2e-3, "{kind}: {near} and {}", got[i]);
                    checked += 1;
                }
            }
            assert!(checked > 0, "{kind}");
            assert!(vars.all_vars().iter().all(|var| grads.get(var).is_some()));
        }
    }

    #[test]
    fn logistic_loss_is_finite_at_extreme_distances() {
        let (loss, _) = loss(LossKind::Logistic);
        for (d0, d1) in [(1e4f32, 0.0), (0.0, 1e4), (88.8, 0.0), (3e38, 0.0)] {
            for judge in [0f32, 0.5, 1.0] {
                let x = Var::new(&[d0], &Device::Cpu).unwrap();
                let value = loss.forward(&x, &tensor(&[d1]), &tensor(&[judge])).unwrap();
                let expected = f64::from(d0 - d1).max(0.0) - f64::from(d0 - d1) * f64::from(judge);
                let got = f64::from(value.to_scalar::<f32>().unwrap());
                assert!((got - expected).abs() <= 1e-6 * expected.max(1.0), "{d0} {d1} {judge}: {got}, not {expected}");
                let grad = value.backward().unwrap().get(&x).unwrap().to_vec1::<f32>().unwrap()[0];
                let expected = if d0 > d1 { 1.0 - judge } else { -judge };
                assert!((grad - expected).abs() < 1e-6, "{d0} {d1} {judge}: {grad}");
            }
        }
    }

    #[test]
    fn logistic_gradient_at_equal_distances_is_half_minus_judge() {
        let (loss, _) = loss(LossKind::Logistic);
        let x = Var::new(&[0.5f32], &Device::Cpu).unwrap();
        let value = loss.forward(&x, &tensor(&[0.5]), &tensor(&[0.2])).unwrap();
        let grad = value.backward().unwrap().get(&x).unwrap().to_vec1::<f32>().unwrap()[0];
        assert!((grad - 0.3).abs() < 1e-7, "{grad}");
    }

    #[test]
    fn accuracy_counts_ties_for_p0() {
        let got = accuracy(&tensor(&[0.1, 0.9, 0.5]), &tensor(&[0.9, 0.1, 0.5]), &tensor(&[0.2, 0.7, 1.0])).unwrap();
        assert!((got - (0.8 + 0.7 + 0.0) / 3.0).abs() < 1e-6, "{got}");
    }
}
