//! Adam and `AdamW`, with state that can be saved and restored.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor, Var, bail};
use candle_nn::Optimizer;
use rayon::prelude::*;

/// The key of the step count in a state.
const STEP: &str = "step";

/// Adam's constants (Kingma and Ba, 2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// The learning rate.
    pub lr: f64,
    /// The decay of the running mean of gradients, in [0, 1).
    pub beta1: f64,
    /// The decay of the running mean of squared gradients, in [0, 1).
    pub beta2: f64,
    /// The constant that is added to the root of the mean of squared gradients.
    pub eps: f64,
    /// The weight decay: in one step weights shrink by this part times the learning rate.
    pub weight_decay: f64,
    /// Whether the decay is subtracted from the weights (`AdamW`: Loshchilov and Hutter, 2019) rather than added to the
    /// gradients (L2).
    pub decoupled: bool,
}

impl Default for AdamConfig {
    /// The constants of the published LPIPS trainer: rate 1e-4, beta1 0.5, beta2 0.999, eps 1e-8, no decay.
    fn default() -> Self {
        Self { lr: 1e-4, beta1: 0.5, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

/// Adam over named variables: `w -= lr * mean / (sqrt(square) + eps)` with the bias-corrected running means of
/// gradients and of their squares.
///
/// The same steps as `torch.optim.Adam` and `AdamW`, where every variable has a gradient in every step: all variables
/// share one step count. As a [`candle_nn::Optimizer`] it takes the place of candle's own optimisers.
///
/// ```
/// use candle_core::{Device, Var};
/// use lpips_train::{Adam, AdamConfig, Optimizer};
///
/// let x = Var::new(&[3f32, -2.0], &Device::Cpu)?;
/// let mut adam = Adam::new(vec![x.clone()], AdamConfig { lr: 0.1, ..AdamConfig::default() })?;
/// for _ in 0..100 {
///     adam.backward_step(&x.sqr()?.sum_all()?)?;
/// }
/// assert!(x.sqr()?.sum_all()?.to_scalar::<f32>()? < 0.01);
///
/// // The state belongs to the variables' names, which are their places here.
/// let state = adam.state()?;
/// let mut resumed = Adam::new(vec![x.copy().and_then(|x| Var::from_tensor(&x))?], AdamConfig::default())?;
/// resumed.set_state(&state)?;
/// assert_eq!(resumed.steps(), 100);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    parameters: Vec<Parameter>,
    steps: u32,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    var: Var,
    /// The factor on the learning rate.
    factor: f64,
    mean: Tensor,
    square: Tensor,
}

impl Adam {
    /// Starts with all moments at zero, over variables by name.
    ///
    /// # Errors
    /// Two variables of one name, a variable in 16 bits, or a device without memory for the moments.
    pub fn with_names(vars: impl IntoIterator<Item = (String, Var)>, config: AdamConfig) -> Result<Self> {
        Self::with_factors(vars.into_iter().map(|(name, var)| (name, var, 1.0)), config)
    }

    /// As [`Self::with_names`], with a factor on the learning rate for each variable.
    ///
    /// # Errors
    /// See [`Self::with_names`].
    pub fn with_factors(vars: impl IntoIterator<Item = (String, Var, f64)>, config: AdamConfig) -> Result<Self> {
        let mut parameters = vars
            .into_iter()
            .map(|(name, var, factor)| {
                Ok(Parameter { name, factor, mean: var.zeros_like()?, square: var.zeros_like()?, var })
            })
            .collect::<Result<Vec<_>>>()?;
        parameters.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(odd) = parameters.iter().find(|p| !matches!(p.var.dtype(), DType::F32 | DType::F64)) {
            bail!("variable {} is {:?}: Adam's constants need f32 or f64", odd.name, odd.var.dtype())
        }
        if let Some(pair) = parameters.windows(2).find(|pair| pair[0].name == pair[1].name) {
            bail!("two variables are named {}: every variable needs a name of its own", pair[0].name)
        }
        Ok(Self { config, parameters, steps: 0 })
    }

    /// Takes a step with the gradients that `gradient` returns by a variable's name, each multiplied by `scale`.
    /// Variables without a gradient stay as they are.
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn step_with(&mut self, gradient: impl Fn(&str, &Var) -> Option<Tensor>, scale: f64) -> Result<()> {
        self.steps += 1;
        let AdamConfig { lr, beta1, beta2, eps, weight_decay, decoupled } = self.config;
        let rate = 1.0 / (1.0 - beta1.powi(self.steps as i32));
        let root = (1.0 - beta2.powi(self.steps as i32)).sqrt();
        for Parameter { name, var, factor, mean, square } in &mut self.parameters {
            let Some(grad) = gradient(name, var) else { continue };
            let mut grad = grad.detach();
            if weight_decay != 0.0 && !decoupled {
                grad = ((grad * scale)? + (var.as_detached_tensor() * weight_decay)?)?;
            }
            let scale = if weight_decay != 0.0 && !decoupled { 1.0 } else { scale };
            let lr = lr * *factor;
            let shrink = if decoupled { 1.0 - lr * weight_decay } else { 1.0 };
            if var.device().is_cpu() && var.dtype() == DType::F32 {
                let grad = grad.contiguous()?;
                mean.inplace_op2(&grad, &Average::new(beta1, scale, false))?;
                square.inplace_op2(&grad, &Average::new(beta2, scale, true))?;
                let update =
                    Update { rate: (lr * rate) as f32, root: root as f32, eps: eps as f32, shrink: shrink as f32 };
                var.as_tensor().inplace_op3(mean, square, &update)?;
                continue;
            }
            let grad = (grad * scale)?;
            *mean = ((&*mean * beta1)? + (&grad * (1.0 - beta1))?)?;
            *square = ((&*square * beta2)? + (grad.sqr()? * (1.0 - beta2))?)?;
            let spread = ((square.sqrt()? / root)? + eps)?;
            let moved = ((var.as_detached_tensor() * shrink)? - ((&*mean / spread)? * (lr * rate))?)?;
            var.set(&moved)?;
        }
        Ok(())
    }

    /// The number of steps so far.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The moments of every variable, `NAME.mean` and `NAME.square`, and the step count, `step`: another [`Adam`] over
    /// variables of the same names and values takes the same steps from there, bit for bit.
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::from([(STEP.to_string(), Tensor::new(self.steps, &Device::Cpu)?)]);
        for Parameter { name, mean, square, .. } in &self.parameters {
            // Copies: the moments themselves are changed in place.
            state.insert(format!("{name}.mean"), mean.copy()?);
            state.insert(format!("{name}.square"), square.copy()?);
        }
        Ok(state)
    }

    /// Restores a [`Self::state`].
    ///
    /// # Errors
    /// A moment that is missing or has another shape than its variable. Nothing is changed then.
    pub fn set_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let find = |name: &str, like: &Tensor| -> Result<Tensor> {
            match state.get(name) {
                Some(tensor) if tensor.dims() == like.dims() => {
                    tensor.to_dtype(like.dtype())?.to_device(like.device())?.copy()
                }
                Some(tensor) => bail!("{name} has shape {:?}, expected {:?}", tensor.dims(), like.dims()),
                None => bail!("the optimiser's state has no {name}: it belongs to other variables"),
            }
        };
        let steps = find(STEP, &Tensor::new(0u32, &Device::Cpu)?)?.to_dtype(DType::U32)?.to_scalar()?;
        let moments = self
            .parameters
            .iter()
            .map(|p| Ok((find(&format!("{}.mean", p.name), &p.mean)?, find(&format!("{}.square", p.name), &p.square)?)))
            .collect::<Result<Vec<_>>>()?;
        for (parameter, (mean, square)) in self.parameters.iter_mut().zip(moments) {
            (parameter.mean, parameter.square) = (mean, square);
        }
        self.steps = steps;
        Ok(())
    }
}

impl Optimizer for Adam {
    type Config = AdamConfig;

    /// Starts with all moments at zero. The names of the variables are their places, from 0: see [`Adam::with_names`].
    fn new(vars: Vec<Var>, config: AdamConfig) -> Result<Self> {
        Self::with_names(vars.into_iter().enumerate().map(|(i, var)| (i.to_string(), var)), config)
    }

    /// Takes a step. Variables without a gradient stay as they are.
    fn step(&mut self, grads: &GradStore) -> Result<()> {
        self.step_with(|_, var| grads.get(var).cloned(), 1.0)
    }

    fn learning_rate(&self) -> f64 {
        self.config.lr
    }

    fn set_learning_rate(&mut self, lr: f64) {
        self.config.lr = lr;
    }
}

/// The sum of a gradient's squares, in f64, so that it does not overflow. It does not depend on the number of threads.
///
/// # Errors
/// Errors of candle's operators.
pub(crate) fn square_sum(gradient: &Tensor) -> Result<f64> {
    let gradient = gradient.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
    let (storage, layout) = gradient.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("a tensor on the CPU is not there") };
    let sum = |block: &[f32]| block.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    Ok(values(storage, layout)?.par_chunks(BLOCK).map(sum).collect::<Vec<_>>().iter().sum())
}

/// Values in one task.
const BLOCK: usize = 1 << 14;

/// `average = decay * average + (1 - decay) * value`, where the value is a scaled gradient or its square.
struct Average {
    decay: f32,
    rest: f32,
    scale: f32,
    squared: bool,
}

impl Average {
    fn new(decay: f64, scale: f64, squared: bool) -> Self {
        // In f32 the difference to 1 would be off by a ten-thousandth.
        Self { decay: decay as f32, rest: (1.0 - decay) as f32, scale: scale as f32, squared }
    }
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "adam-average"
    }

    fn cpu_fwd(&self, average: &mut CpuStorage, la: &Layout, grad: &CpuStorage, lg: &Layout) -> Result<()> {
        let (average, grad) = (values_mut(average, la)?, values(grad, lg)?);
        let Self { decay, rest, scale, squared } = *self;
        average.par_chunks_mut(BLOCK).zip(grad.par_chunks(BLOCK)).for_each(|(average, grad)| {
            for (average, grad) in average.iter_mut().zip(grad) {
                let grad = grad * scale;
                *average = decay * *average + rest * if squared { grad * grad } else { grad };
            }
        });
        Ok(())
    }
}

/// `weight = shrink * weight - rate * mean / (sqrt(square) / root + eps)`.
struct Update {
    rate: f32,
    root: f32,
    eps: f32,
    shrink: f32,
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adam-update"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        lw: &Layout,
        mean: &CpuStorage,
        lm: &Layout,
        square: &CpuStorage,
        ls: &Layout,
    ) -> Result<()> {
        let (weight, mean, square) = (values_mut(weight, lw)?, values(mean, lm)?, values(square, ls)?);
        let Self { rate, root, eps, shrink } = *self;
        let moments = mean.par_chunks(BLOCK).zip(square.par_chunks(BLOCK));
        weight.par_chunks_mut(BLOCK).zip(moments).for_each(|(weight, (mean, square))| {
            for ((weight, mean), square) in weight.iter_mut().zip(mean).zip(square) {
                *weight = shrink * *weight - rate * (mean / (square.sqrt() / root + eps));
            }
        });
        Ok(())
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(data), Some((start, end))) => Ok(&mut data[start..end]),
        _ => bail!("Adam on the CPU takes contiguous f32 tensors"),
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(data), Some((start, end))) => Ok(&data[start..end]),
        _ => bail!("Adam on the CPU takes contiguous f32 tensors"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(values: &[f32]) -> Var {
        Var::new(values, &Device::Cpu).unwrap()
    }

    fn values(var: &Var) -> Vec<f32> {
        var.to_vec1().unwrap()
    }

    fn adam(vars: &[(&str, &Var)]) -> Adam {
        let vars = vars.iter().map(|(name, var)| (name.to_string(), (*var).clone()));
        Adam::with_names(vars, AdamConfig { lr: 0.1, ..AdamConfig::default() }).unwrap()
    }

    /// The variables after five steps of `torch.optim.Adam([x, y], lr=0.1, betas=(0.5, 0.999))`.
    const TORCH_X: [f32; 2] = [0.5395044, -1.6485602];
    const TORCH_Y: [f32; 2] = [0.031086855, 3.487861];

    /// (x^2 + x y) summed, so that the gradients differ from step to step.
    fn grads(x: &Var, y: &Var) -> GradStore {
        (x.sqr().unwrap() + (x.as_tensor() * y.as_tensor()).unwrap()).unwrap().sum_all().unwrap().backward().unwrap()
    }

    #[test]
    fn adam_five_steps_match_pytorch() {
        let (x, y) = (var(&[1.0, -2.0]), var(&[0.5, 3.0]));
        let mut adam = adam(&[("x", &x), ("y", &y)]);
        for _ in 0..5 {
            adam.step(&grads(&x, &y)).unwrap();
        }
        let close = |a: &[f32], b: [f32; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(&values(&x), TORCH_X), "{:?}", values(&x));
        assert!(close(&values(&y), TORCH_Y), "{:?}", values(&y));
    }

    #[test]
    fn adam_restored_state_takes_equal_steps() {
        let (x, y) = (var(&[1.0, -2.0]), var(&[0.5, 3.0]));
        let mut first = adam(&[("x", &x), ("y", &y)]);
        for _ in 0..3 {
            first.step(&grads(&x, &y)).unwrap();
        }
        let state = first.state().unwrap();
        let (x2, y2) = (var(&values(&x)), var(&values(&y)));
        // In another order: the state goes by name.
        let mut second = adam(&[("y", &y2), ("x", &x2)]);
        second.set_state(&state).unwrap();
        assert_eq!(second.steps(), 3);
        for _ in 0..3 {
            first.step(&grads(&x, &y)).unwrap();
            second.step(&grads(&x2, &y2)).unwrap();
        }
        assert_eq!((values(&x), values(&y)), (values(&x2), values(&y2)));
    }

    #[test]
    fn adam_state_of_other_variables_is_refused() {
        let (x, y) = (var(&[1.0, -2.0]), var(&[1.0]));
        let state = adam(&[("x", &x)]).state().unwrap();
        assert!(adam(&[("y", &x)]).set_state(&state).unwrap_err().to_string().contains("y.mean"));
        assert!(adam(&[("x", &y)]).set_state(&state).unwrap_err().to_string().contains("x.mean has shape [2]"));
        let twice = [("x".to_string(), x.clone()), ("x".to_string(), x)];
        assert!(Adam::with_names(twice, AdamConfig::default()).is_err());
    }

    #[test]
    fn adam_variable_without_gradient_stays() {
        let (x, y, z) = (var(&[1.0]), var(&[2.0]), var(&[3.0]));
        let mut adam = adam(&[("x", &x), ("y", &y), ("z", &z)]);
        adam.step(&grads(&x, &y)).unwrap();
        assert_ne!(values(&x), [1.0]);
        assert_eq!(values(&z), [3.0]);
    }
}
