//! Flags that several commands take, and the parsers of their values.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use clap::Args;
use lpips_core::device::{self, DeviceChoice};
use lpips_core::image::Decoder;

use crate::failure::Result;

/// Environment variables that apply to every command that computes, for its long help.
pub const ENVIRONMENT: &str = "Environment: LPIPS_SIMD (avx512, avx2, neon or portable) makes the CPU compute with these vector \
    instructions in place of the widest that it has.";

/// The number of CPU threads: `--threads`.
#[derive(Debug, Clone, Default, Args)]
pub struct ThreadArgs {
    /// Threads on the CPU, for decoding and computing [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
}

impl ThreadArgs {
    /// Starts the thread pool that the CPU operators share. Returns its number of threads.
    ///
    /// # Errors
    /// `LPIPS_SIMD` names vector instructions that this machine lacks, or the pool runs already.
    pub fn start(&self) -> Result<usize> {
        Ok(device::start_threads(self.threads.map(usize::from))?)
    }
}

/// Device, CPU threads and memory limit: `--device`, `--threads`, `--memory`.
///
/// Use with `#[command(flatten)]`; `#[command(flatten, next_help_heading = "...")]` puts the flags under a heading.
#[derive(Debug, Clone, Default, Args)]
pub struct ComputeArgs {
    /// Device to compute on: auto, cpu, cuda, cuda:N or metal [default: auto].
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceChoice>,

    /// `--threads`.
    #[command(flatten)]
    pub threads: ThreadArgs,

    /// Memory to stay within, e.g. 600MB or 2GiB: larger pictures go through the network in bands, to the same numbers; cached
    /// features take at most a quarter of it [default: half of what is free].
    #[arg(long, value_name = "SIZE", value_parser = byte_size)]
    pub memory: Option<usize>,
}

impl ComputeArgs {
    /// Starts the thread pool that the CPU operators share. Returns its number of threads.
    ///
    /// # Errors
    /// See [`ThreadArgs::start`].
    pub fn start_threads(&self) -> Result<usize> {
        self.threads.start()
    }

    /// Opens the chosen device, by default the first GPU that this build can use, or the CPU.
    ///
    /// # Errors
    /// This build or this machine lacks the device.
    pub fn open_device(&self) -> Result<Device> {
        Ok(self.device.unwrap_or(DeviceChoice::Auto).open()?)
    }
}

/// Settings of the picture decoder: `--background`, `--max-pixels`.
#[derive(Debug, Clone, Args)]
pub struct DecodeArgs {
    /// Colour behind the transparent parts of a picture: white, black or #rrggbb.
    #[arg(long, value_name = "COLOUR", default_value = "white")]
    pub background: Background,

    /// Refuse pictures that claim more pixels than this.
    #[arg(long, value_name = "N", default_value_t = Decoder::default().max_pixels)]
    pub max_pixels: u64,
}

impl DecodeArgs {
    /// The decoder with these settings.
    pub fn decoder(&self) -> Decoder {
        Decoder::default().background(self.background.0).max_pixels(self.max_pixels)
    }
}

/// Colour behind transparent pixels, as red, green and blue of 8 bits each; parsed from `white`, `black` or `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Background(pub [u8; 3]);

impl FromStr for Background {
    type Err = String;

    fn from_str(given: &str) -> std::result::Result<Self, String> {
        let hex = |digits: &str| {
            let value =
                u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 6 && !digits.starts_with('+'))?;
            let [_, r, g, b] = value.to_be_bytes();
            Some([r, g, b])
        };
        match given {
            "white" => Some([255; 3]),
            "black" => Some([0; 3]),
            other => other.strip_prefix('#').and_then(hex),
        }
        .map(Self)
        .ok_or_else(|| "expected white, black or #rrggbb".to_string())
    }
}

/// Writes `#rrggbb`.
impl fmt::Display for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

/// Parses a finite number above 0.
///
/// # Errors
/// Any other text.
pub fn positive(given: &str) -> std::result::Result<f32, String> {
    given
        .parse()
        .ok()
        .filter(|value: &f32| value.is_finite() && *value > 0.0)
        .ok_or_else(|| "expected a number above 0".into())
}

/// Parses a number of bytes: `600MB`, `1.5GB`, `2GiB` or a plain number.
///
/// # Errors
/// Any other text, sizes below 1 byte, and sizes of 9e15 bytes or more.
pub fn byte_size(given: &str) -> std::result::Result<usize, String> {
    let text = given.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        _ => f64::NAN,
    };
    let bytes = number.parse::<f64>().map_or(f64::NAN, |number| number * factor);
    // A double counts single bytes up to 2^53 only, which no machine has.
    if (1.0..9e15).contains(&bytes) {
        Ok(bytes as usize)
    } else {
        Err("expected a size such as 600MB, 1.5GB, 2GiB or a number of bytes".into())
    }
}

#[cfg(test)]
mod tests {
    use super::{Background, byte_size};

    #[test]
    fn byte_size_decimal_and_binary_units_are_parsed() {
        for (text, size) in [
            ("629145600", 629_145_600),
            ("600MB", 600_000_000),
            ("600 mb", 600_000_000),
            ("1.5g", 1_500_000_000),
            ("2GiB", 2 << 30),
            ("512KiB", 512 << 10),
            ("1B", 1),
        ] {
            assert_eq!(byte_size(text), Ok(size), "{text}");
        }
    }

    #[test]
    fn byte_size_malformed_or_out_of_range_is_refused() {
        for text in ["", "MB", "0", "-1", "0.2", "1e9", "12 parsecs", "1.2.3GB", "99999TB", "nan", "2GIBS"] {
            assert!(byte_size(text).unwrap_err().contains("600MB"), "{text}");
        }
    }

    #[test]
    fn background_names_and_hex_roundtrip() {
        for (text, hex) in [("white", "#ffffff"), ("black", "#000000"), ("#0180ff", "#0180ff")] {
            assert_eq!(text.parse::<Background>().unwrap().to_string(), hex);
        }
        for text in ["", "red", "#fff", "#+12345", "0180ff", "#01_0ff"] {
            assert!(text.parse::<Background>().is_err(), "{text}");
        }
    }
}
