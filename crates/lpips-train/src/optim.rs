//! Adam with state that can be saved.

use std::collections::HashMap;
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};

/// The step count among the moments in a state.
const STEP: &str = "step";

/// Adam's constants (Kingma and Ba, 2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// The learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub eps: f64,
}

impl Default for AdamConfig {
    /// The published LPIPS trainer's: rate 1e-4, beta1 0.5, beta2 0.999, eps 1e-8.
    fn default() -> Self {
        Self { lr: 1e-4, beta1: 0.5, beta2: 0.999, eps: 1e-8 }
    }
}

/// Adam over named variables, step for step as `torch.optim.Adam` without weight decay, where every variable has a gradient
/// in every step: the count of steps is shared by all.
///
/// ```
/// use candle_core::{Device, Var};
/// use lpips_train::{Adam, AdamConfig};
///
/// let x = Var::new(&[3f32, -2.0], &Device::Cpu)?;
/// let mut adam = Adam::new([("x".to_string(), x.clone())], AdamConfig { lr: 0.1, ..AdamConfig::default() })?;
/// for _ in 0..100 {
///     let loss = x.sqr()?.sum_all()?;
///     adam.step(&loss.backward()?)?;
/// }
/// assert!(x.sqr()?.sum_all()?.to_scalar::<f32>()? < 0.01);
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
    mean: Tensor,
    square: Tensor,
}

impl Adam {
    /// Starts with all moments at zero.
    ///
    /// # Errors
    /// Two variables of one name, a variable in 16 bits, or a device without memory for the moments.
    pub fn new(vars: impl IntoIterator<Item = (String, Var)>, config: AdamConfig) -> Result<Self> {
        let mut parameters = vars
            .into_iter()
            .map(|(name, var)| Ok(Parameter { name, mean: var.zeros_like()?, square: var.zeros_like()?, var }))
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

    /// Moves every variable that `grads` has a gradient for.
    ///
    /// # Errors
    /// Those of candle's operators.
    pub fn step(&mut self, grads: &GradStore) -> Result<()> {
        self.steps += 1;
        let AdamConfig { lr, beta1, beta2, eps } = self.config;
        let rate = lr / (1.0 - beta1.powi(self.steps as i32));
        let root = (1.0 - beta2.powi(self.steps as i32)).sqrt();
        for Parameter { var, mean, square, .. } in &mut self.parameters {
            let Some(grad) = grads.get(var) else { continue };
            let grad = grad.detach();
            *mean = ((&*mean * beta1)? + (&grad * (1.0 - beta1))?)?;
            *square = ((&*square * beta2)? + (grad.sqr()? * (1.0 - beta2))?)?;
            let scale = ((square.sqrt()? / root)? + eps)?;
            var.set(&(var.as_detached_tensor() - ((&*mean / scale)? * rate)?)?)?;
        }
        Ok(())
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The learning rate.
    pub fn learning_rate(&self) -> f64 {
        self.config.lr
    }

    /// Sets the learning rate of the steps to come.
    pub fn set_learning_rate(&mut self, lr: f64) {
        self.config.lr = lr;
    }

    /// The moments of every variable, `NAME.mean` and `NAME.square`, and the step count: all that another [`Adam`] over
    /// variables of the same names and values needs to go on as this one would, bit for bit.
    ///
    /// # Errors
    /// Those of candle.
    pub fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::from([(STEP.to_string(), Tensor::new(self.steps, &Device::Cpu)?)]);
        for Parameter { name, mean, square, .. } in &self.parameters {
            state.insert(format!("{name}.mean"), mean.clone());
            state.insert(format!("{name}.square"), square.clone());
        }
        Ok(state)
    }

    /// Takes over a [`Self::state`].
    ///
    /// # Errors
    /// A moment that is missing or has another shape than its variable; nothing is taken over then.
    pub fn set_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let find = |name: &str, like: &Tensor| -> Result<Tensor> {
            match state.get(name) {
                Some(tensor) if tensor.dims() == like.dims() => tensor.to_dtype(like.dtype())?.to_device(like.device()),
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

    /// Writes [`Self::state`] as safetensors, whole or not at all.
    ///
    /// # Errors
    /// A folder that does not exist or can't be written to.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder)?;
        candle_core::safetensors::save(&self.state()?, file.path())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// A file that can't be read, and those of [`Self::set_state`].
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.set_state(&candle_core::safetensors::load(path, &Device::Cpu)?)
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
        Adam::new(vars, AdamConfig { lr: 0.1, ..AdamConfig::default() }).unwrap()
    }

    /// Where `torch.optim.Adam([x, y], lr=0.1, betas=(0.5, 0.999))` is after five steps.
    const TORCH_X: [f32; 2] = [0.5395044, -1.6485602];
    const TORCH_Y: [f32; 2] = [0.031086855, 3.487861];

    /// (x^2 + x y) summed, so that the gradients differ from step to step.
    fn grads(x: &Var, y: &Var) -> GradStore {
        (x.sqr().unwrap() + (x.as_tensor() * y.as_tensor()).unwrap()).unwrap().sum_all().unwrap().backward().unwrap()
    }

    #[test]
    fn the_same_path_as_pytorch() {
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
    fn a_restored_state_goes_on_bit_for_bit() {
        let (x, y) = (var(&[1.0, -2.0]), var(&[0.5, 3.0]));
        let mut first = adam(&[("x", &x), ("y", &y)]);
        for _ in 0..3 {
            first.step(&grads(&x, &y)).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adam.safetensors");
        first.save(&path).unwrap();
        let (x2, y2) = (var(&values(&x)), var(&values(&y)));
        // Given in another order, to go by name.
        let mut second = adam(&[("y", &y2), ("x", &x2)]);
        second.load(&path).unwrap();
        assert_eq!(second.steps(), 3);
        for _ in 0..3 {
            first.step(&grads(&x, &y)).unwrap();
            second.step(&grads(&x2, &y2)).unwrap();
        }
        assert_eq!((values(&x), values(&y)), (values(&x2), values(&y2)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_foreign_state_is_refused() {
        let (x, y) = (var(&[1.0, -2.0]), var(&[1.0]));
        let state = adam(&[("x", &x)]).state().unwrap();
        assert!(adam(&[("y", &x)]).set_state(&state).unwrap_err().to_string().contains("y.mean"));
        assert!(adam(&[("x", &y)]).set_state(&state).unwrap_err().to_string().contains("x.mean has shape [2]"));
        let twice = [("x".to_string(), x.clone()), ("x".to_string(), x)];
        assert!(Adam::new(twice, AdamConfig::default()).is_err());
    }

    #[test]
    fn a_variable_without_a_gradient_stays() {
        let (x, y, z) = (var(&[1.0]), var(&[2.0]), var(&[3.0]));
        let mut adam = adam(&[("x", &x), ("y", &y), ("z", &z)]);
        adam.step(&grads(&x, &y)).unwrap();
        assert_ne!(values(&x), [1.0]);
        assert_eq!(values(&z), [3.0]);
    }
}
