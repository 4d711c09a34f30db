//! Where to compute.

use std::str::FromStr;

use candle_core::utils::{cuda_is_available, metal_is_available};
use candle_core::{Device, DeviceLocation};
use lpips_models::ops::Level;

use crate::error::{Error, Result};

/// `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that this build can use, or the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this number.
    Cuda(usize),
    /// The Metal device.
    Metal,
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        match given.split_once(':') {
            None if given == "auto" => Ok(Self::Auto),
            None if given == "cpu" => Ok(Self::Cpu),
            None if given == "cuda" => Ok(Self::Cuda(0)),
            None if given == "metal" => Ok(Self::Metal),
            Some(("cuda", index)) if let Ok(index) = index.parse() => Ok(Self::Cuda(index)),
            _ => Err(Error::Choice("choose auto, cpu, cuda, cuda:N or metal".to_string())),
        }
    }
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// A device that this build or this machine does not have.
    pub fn open(self) -> Result<Device> {
        let open = |name: &str, device: candle_core::Result<Device>| {
            device.map_err(|error| Error::Device(format!("{name} can't be used: {}", lpips_models::Error::from(error))))
        };
        match self {
            Self::Cpu => Ok(Device::Cpu),
            // A build with CUDA may run on a machine without it.
            Self::Auto => {
                let found = if cuda_is_available() {
                    open("the CUDA device", Device::new_cuda(0))
                } else if metal_is_available() {
                    open("the Metal device", Device::new_metal(0))
                } else {
                    Ok(Device::Cpu)
                };
                Ok(found.unwrap_or_else(|error| {
                    tracing::warn!("{error}; computing on the CPU");
                    Device::Cpu
                }))
            }
            Self::Cuda(_) if !cuda_is_available() => Err(missing("CUDA", "cuda")),
            Self::Cuda(index) => open(&format!("CUDA device {index}"), Device::new_cuda(index)),
            Self::Metal if !metal_is_available() => Err(missing("Metal", "metal")),
            Self::Metal => open("the Metal device", Device::new_metal(0)),
        }
    }
}

fn missing(name: &str, feature: &str) -> Error {
    Error::Choice(format!("this build has no {name}: build it with --features {feature}, or choose the CPU"))
}

/// A device's name, as [`DeviceChoice`] takes it.
pub fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".to_string(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { .. } => "metal".to_string(),
    }
}

/// Bytes of memory that are free, for this process too if it may not use all, or `None` where the system does not say.
pub fn free_memory() -> Option<usize> {
    crate::tile::available()
}

/// Starts the threads that the CPU's operators share, all cores' where no number is given; says how many there are.
///
/// Refuses what `LPIPS_SIMD` asks for in vain here, before any work is done.
///
/// # Errors
/// `LPIPS_SIMD` names vector instructions that are not there; or threads run already.
pub fn start_threads(threads: Option<usize>) -> Result<usize> {
    Level::current().map_err(|error| Error::Choice(lpips_models::Error::from(error).to_string()))?;
    if let Some(threads) = threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|error| Error::Device(format!("can't start {threads} threads: {error}")))?;
    }
    Ok(rayon::current_num_threads())
}
