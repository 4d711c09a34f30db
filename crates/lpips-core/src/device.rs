//! Device selection and CPU threads.

use std::fmt;
use std::str::FromStr;

use candle_core::utils::{cuda_is_available, metal_is_available};
use candle_core::{Device, DeviceLocation};
use lpips_models::ops::Level;

use crate::error::{Error, Result};

/// Choice of a device, written `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
///
/// ```
/// use lpips_core::{DeviceChoice, Lpips, Network};
///
/// let choice: DeviceChoice = "cpu".parse()?;
/// let lpips = Lpips::builder(Network::AlexNet).device(choice.open()?).build()?;
/// assert!(lpips.device().is_cpu());
/// assert_eq!("cuda".parse::<DeviceChoice>()?, DeviceChoice::Cuda(0));
/// # Ok::<(), lpips_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
            _ => Err(Error::UnknownDevice { given: given.to_string() }),
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
            device
                .map_err(|error| Error::DeviceUnavailable { device: name.to_string(), source: Box::new(error.into()) })
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
            Self::Cuda(_) if !cuda_is_available() => Err(Error::DeviceNotSupported { name: "CUDA", feature: "cuda" }),
            Self::Cuda(index) => open(&format!("CUDA device {index}"), Device::new_cuda(index)),
            Self::Metal if !metal_is_available() => Err(Error::DeviceNotSupported { name: "Metal", feature: "metal" }),
            Self::Metal => open("the Metal device", Device::new_metal(0)),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

/// Name of a device, as [`DeviceChoice`] reads it.
pub fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".to_string(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { .. } => "metal".to_string(),
    }
}

/// Free memory in bytes, within the limits of the process's control groups; `None` where the system does not report it.
pub fn free_memory() -> Option<usize> {
    crate::memory::available()
}

/// Starts the threads shared by the CPU operators, one a core by default, and returns their number.
///
/// Also checks `LPIPS_SIMD`, before any work is done.
///
/// # Errors
/// Vector instructions in `LPIPS_SIMD` that the machine does not have; threads that run already.
pub fn start_threads(threads: Option<usize>) -> Result<usize> {
    Level::current().map_err(|error| Error::Simd(Box::new(error.into())))?;
    if let Some(threads) = threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|error| Error::Threads { threads, source: error.into() })?;
    }
    Ok(rayon::current_num_threads())
}
