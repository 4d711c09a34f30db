//! Random initial weights.

use super::origin::Origin;
use super::tensors::Weights;
use super::verify::Named;
use crate::Network;
use crate::arch::Initialiser;
use crate::rng::SplitMix64;

impl Weights {
    /// Random weights, distributed as torchvision initialises this network; the same for the same `seed`.
    pub fn random(network: Network, seed: u64) -> Self {
        let arch = network.architecture();
        let mut noise = SplitMix64::new(seed);
        let mut fans = (0.0, 0.0);
        let tensor = |(name, shape): (String, Vec<usize>)| -> Named {
            let is_weight = shape.len() > 1;
            if let [out, input, height, width] = *shape {
                fans = ((input * height * width) as f64, (out * height * width) as f64);
            }
            let (fan_in, fan_out): (f64, f64) = fans;
            let mut next = || match arch.initialiser {
                Initialiser::Default => noise.signed() / fan_in.sqrt(),
                _ if !is_weight => 0.0,
                Initialiser::KaimingUniform => noise.signed() * (6.0 / fan_in).sqrt(),
                Initialiser::KaimingNormal => noise.normal() * (2.0 / fan_out).sqrt(),
            };
            let data = (0..shape.iter().product()).map(|_: usize| next() as f32).collect();
            (name, shape, data)
        };
        let tensors = arch.tensors(arch.features.len() - 1).into_iter().map(tensor).collect();
        Self { network, tensors, origin: Origin::Random(seed), sha256: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_weights_are_reproducible_and_not_official() {
        let [a, b, c] = [1, 1, 2].map(|seed| Weights::random(Network::SqueezeNet1_1, seed));
        assert_eq!(a.sha256(), b.sha256());
        assert_ne!(a.sha256(), c.sha256());
        assert_eq!(a.is_official(), Some(false));
    }

    #[test]
    fn random_weights_are_distributed_as_in_torchvision() {
        // The third tensor is a weight with many elements in each of them.
        for (network, variance, largest, bias) in [
            (Network::AlexNet, 1.0 / (3.0 * 1600.0), 1.0 / 40.0, 1.0 / 40.0),
            (Network::Vgg16, 2.0 / (9.0 * 64.0), f64::INFINITY, 0.0),
            (Network::SqueezeNet1_1, 2.0 / 64.0, (6f64 / 64.0).sqrt(), 0.0),
        ] {
            let weights = Weights::random(network, 1);
            let (name, _, data) = &weights.tensors[2];
            let found = data.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / data.len() as f64;
            // A thousand numbers, of which the variance is known within a twentieth.
            assert!((found / variance - 1.0).abs() < 0.15, "{name} of {network}: {found}, not {variance}");
            let mean = data.iter().map(|v| f64::from(*v)).sum::<f64>() / data.len() as f64;
            assert!(mean.abs() < 4.0 * (variance / data.len() as f64).sqrt(), "{name} of {network}: mean {mean}");
            assert!(data.iter().all(|v| f64::from(v.abs()) <= largest));
            let top = weights.tensors[3].2.iter().fold(0f32, |m, v| m.max(v.abs()));
            assert!(f64::from(top) <= bias && (top > 0.0) == (bias > 0.0), "{name} of {network}: bias {top}");
        }
    }
}
