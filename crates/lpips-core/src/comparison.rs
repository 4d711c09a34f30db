//! Results of a comparison: distances, parts by layer, and maps.

use candle_core::{DType, Tensor};
use lpips_models::ops::upsample;

use crate::error::{Error, Result};
use crate::size::Size;

/// Result of comparing pairs of pictures: distances, their parts by layer and their maps, each computed when called
/// for.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_core::{Lpips, Network};
///
/// let lpips = Lpips::new(Network::AlexNet)?;
/// let a = Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu)?;
/// let b = Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu)?;
/// let comparison = lpips.compare(&a, &b)?;
///
/// let distances: Vec<f32> = comparison.values()?;
/// assert_eq!(distances.len(), 2);
/// let layers: Vec<(&str, Vec<f32>)> = comparison.layer_values()?;
/// assert_eq!(layers[0].0, "conv1");
/// assert_eq!(comparison.map()?.dims(), [2, 1, 64, 64]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Name of each tapped layer and the distance at each of its pixels, (P, h, w).
    layers: Vec<(&'static str, Tensor)>,
    size: Size,
}

/// Part of a distance that comes from one tapped layer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Layer {
    /// Name of the layer, e.g. `conv1`.
    pub name: &'static str,
    /// Part of each pair's distance, (N, 1, 1, 1). The parts of all layers add up to the distance.
    pub distance: Tensor,
}

impl Comparison {
    pub(crate) fn new(layers: Vec<(&'static str, Tensor)>, size: Size) -> Self {
        Self { layers, size }
    }

    /// Distance of each pair as a tensor, (N, 1, 1, 1): the sum over layers of the mean over space. Differentiable.
    ///
    /// # Errors
    /// A device that runs out of memory.
    pub fn distance(&self) -> Result<Tensor> {
        let mut parts = self.layers()?.into_iter().map(|layer| layer.distance);
        let first = parts.next().ok_or_else(no_layer)?;
        Ok(parts.try_fold(first, |sum, part| sum + part)?)
    }

    /// Distance of each pair as a number, on the host.
    ///
    /// # Errors
    /// [`Error::NotFiniteDistance`] where one is NaN or infinite; a device that runs out of memory.
    #[doc(alias = "item")]
    pub fn values(&self) -> Result<Vec<f32>> {
        finite(&self.distance()?)
    }

    /// Parts of the distances by layer as tensors, in the order of the network.
    ///
    /// # Errors
    /// A device that runs out of memory.
    #[doc(alias = "retPerLayer")]
    pub fn layers(&self) -> Result<Vec<Layer>> {
        self.layers
            .iter()
            .map(|(name, map)| {
                let distance = map.flatten_from(1)?.mean(1)?.reshape(((), 1, 1, 1))?;
                Ok(Layer { name, distance })
            })
            .collect()
    }

    /// Parts of the distances by layer as numbers, in the order of the network: the layer's name and its part of each
    /// pair's distance.
    ///
    /// # Errors
    /// Those of [`Self::values`].
    #[doc(alias = "retPerLayer")]
    pub fn layer_values(&self) -> Result<Vec<(&'static str, Vec<f32>)>> {
        self.layers()?.into_iter().map(|layer| Ok((layer.name, finite(&layer.distance)?))).collect()
    }

    /// Map of each pair's distance, (N, 1, H, W): each layer upsampled bilinearly to the pictures' size, added up. The
    /// published package's `spatial=True`.
    ///
    /// # Errors
    /// A device that runs out of memory.
    #[doc(alias = "spatial")]
    pub fn map(&self) -> Result<Tensor> {
        let first = self.layers.first().ok_or_else(no_layer)?;
        // One after the other, as each is as large as the pictures.
        self.layers[1..].iter().try_fold(self.upsampled(&first.1)?, |sum, (_, map)| Ok((sum + self.upsampled(map)?)?))
    }

    /// Maps by layer, in the order of the network: the layer's name and its part of the map, (N, 1, H, W).
    ///
    /// # Errors
    /// A device that runs out of memory.
    #[doc(alias = "spatial")]
    pub fn layer_maps(&self) -> Result<Vec<(&'static str, Tensor)>> {
        self.layers.iter().map(|(name, map)| Ok((*name, self.upsampled(map)?))).collect()
    }

    fn upsampled(&self, map: &Tensor) -> candle_core::Result<Tensor> {
        upsample::bilinear(&map.unsqueeze(1)?, self.size.height, self.size.width)
    }
}

/// Numbers of a tensor, all of them finite.
fn finite(distances: &Tensor) -> Result<Vec<f32>> {
    let values = distances.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::NotFiniteDistance { value: *value }),
        None => Ok(values),
    }
}

fn no_layer() -> candle_core::Error {
    candle_core::Error::Msg("no layer is tapped".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn comparison(values: [f32; 4]) -> Comparison {
        let map = Tensor::new(&values, &Device::Cpu).unwrap().reshape((2, 1, 2)).unwrap();
        Comparison::new(vec![("a", map.clone()), ("b", map)], Size { width: 4, height: 2 })
    }

    #[test]
    fn values_are_sums_of_layer_means() {
        let comparison = comparison([1.0, 3.0, 0.5, 0.5]);
        assert_eq!(comparison.values().unwrap(), [4.0, 1.0]);
        assert_eq!(comparison.layer_values().unwrap(), [("a", vec![2.0, 0.5]), ("b", vec![2.0, 0.5])]);
        assert_eq!(comparison.map().unwrap().dims(), [2, 1, 2, 4]);
    }

    #[test]
    fn values_refuse_nan_and_infinity() {
        for bad in [f32::NAN, f32::INFINITY] {
            let comparison = comparison([1.0, 3.0, bad, 0.5]);
            assert!(matches!(comparison.values(), Err(Error::NotFiniteDistance { .. })));
            assert!(comparison.layer_values().unwrap_err().to_string().contains("came out as"));
        }
    }
}
