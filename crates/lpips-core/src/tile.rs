//! Large pictures, exactly, in little memory: the pictures go through the network band by band, top to bottom, and each
//! layer keeps the rows that it will see again, so that nothing is computed twice and nothing is cut off.

use std::sync::Once;

use candle_core::Tensor;
use lpips_models::{Backbone, Bands, ops};

use crate::error::Result;
use crate::head::Head;

/// How much memory a comparison may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Memory {
    /// Half of what is free on the machine when it is asked for; on a GPU, what there is.
    #[default]
    Automatic,
    /// So many bytes.
    Bytes(usize),
}

/// So little is not worth asking for.
const ALWAYS: usize = 256 << 20;
/// Bytes of the program itself.
const PROGRAM: usize = 32 << 20;
/// Where the system does not say how much memory is free.
const UNKNOWN: usize = 4 << 30;

impl Memory {
    /// Whether so many bytes may be taken.
    pub(crate) fn allows(self, bytes: usize, backbone: &Backbone) -> bool {
        bytes <= self.limit(bytes, backbone)
    }

    /// How many bytes may be taken, when `wanted` would be best.
    fn limit(self, wanted: usize, backbone: &Backbone) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Automatic if wanted <= ALWAYS || !backbone.device().is_cpu() => wanted,
            Self::Automatic => available().map_or(UNKNOWN, |bytes| bytes / 2),
        }
    }
}

/// What a comparison of some pictures takes, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// Whatever is done: the program, its weights, the pictures and the layers' maps.
    pub(crate) fixed: usize,
    /// The activations of all pictures at once.
    pub(crate) whole: usize,
}

impl Need {
    /// Of `pictures` pictures of this height and width in `pairs` pairs, held by tensors of `held` bytes.
    pub(crate) fn of(
        backbone: &Backbone,
        pictures: usize,
        pairs: usize,
        (height, width): (usize, usize),
        held: usize,
    ) -> Result<Self> {
        let layers = backbone.layers(pictures, height, width)?;
        let pixels: usize =
            layers.iter().filter(|layer| layer.tapped).map(|layer| layer.output[1] * layer.output[2]).sum();
        let maps = pairs * pixels * size_of::<f32>();
        Ok(Self {
            fixed: PROGRAM + held + maps + backbone.weight_bytes(pictures, height, width)?,
            whole: backbone.whole_bytes(pictures, height, width)?,
        })
    }

    pub(crate) fn all(self) -> usize {
        self.fixed + self.whole
    }

    /// What is left for activations.
    pub(crate) fn room(self, memory: Memory, backbone: &Backbone) -> usize {
        memory.limit(self.all(), backbone).saturating_sub(self.fixed)
    }

    /// How pictures go through the network where activations may take `room` bytes.
    pub(crate) fn bands(
        self,
        backbone: &Backbone,
        pictures: usize,
        (height, width): (usize, usize),
        room: usize,
    ) -> Result<Bands> {
        static ONCE: Once = Once::new();
        if self.whole <= room {
            return Ok(Bands::whole());
        }
        let bands = backbone.bands(pictures, height, width, room)?;
        if bands.bytes > room {
            ONCE.call_once(|| {
                tracing::warn!(
                    "{pictures} pictures of {width}x{height} pixels need about {} MB, more than memory allows: going on with \
                     the least that can be done",
                    (self.fixed + bands.bytes) / 1_000_000
                );
            });
        }
        Ok(bands)
    }
}

/// Below this, less room makes no lower bands.
const LEAST: usize = 64 << 20;

/// Calls `attempt` with `room` bytes, and with half as many each time that the device has run out of memory.
pub(crate) fn with_less<T>(room: usize, mut attempt: impl FnMut(usize) -> Result<T>) -> Result<T> {
    let mut room = room;
    loop {
        match attempt(room) {
            Err(error) if room > LEAST && error.is_out_of_memory() => {
                ops::release_memory();
                room /= 2;
                tracing::warn!(
                    "the device is out of memory ({error}): trying again with {} MB for activations",
                    room / 1_000_000
                );
            }
            result => return result,
        }
    }
}

/// Nothing where the device has run out of memory, with a line in the log.
pub(crate) fn unless_out_of_memory<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if error.is_out_of_memory() => {
            ops::release_memory();
            tracing::warn!("the device is out of memory ({error}): going on in bands");
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// The distances at each pixel of each tapped layer, (P, h, w), of pairs of pictures that come in bands: `rows` gives so
/// many rows of all pictures from a row on, (N, rows, W, 3).
pub(crate) fn maps(
    (backbone, head): (&Backbone, &Head),
    pairs: &[(usize, usize)],
    (height, width): (usize, usize),
    bands: &Bands,
    rows: impl Fn(usize, usize) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let layers = backbone.layers(1, height, width)?;
    let heights: Vec<_> = layers.iter().filter(|layer| layer.tapped).map(|layer| layer.output[1]).collect();
    let mut stream = backbone.stream(height, bands)?;
    let mut maps: Vec<Option<(Tensor, usize)>> = vec![None; backbone.taps().len()];
    let mut from = 0;
    while from < height {
        let count = bands.rows.min(height - from);
        let x = rows(from, count)?;
        let mut last = None;
        stream.push(&x, |tap, rows| {
            let map = distance(head, tap, rows, pairs)?;
            let is_free = !map.track_op();
            last = Some(map.clone());
            if bands.rows >= height {
                maps[tap] = Some((map, 0));
                return Ok(is_free);
            }
            // Where it belongs at once: put together at the end, the bands would take their memory twice.
            let (pairs, count, width) = map.dims3()?;
            let (whole, filled) = match maps[tap].take() {
                Some(begun) => begun,
                None => (Tensor::zeros((pairs, heights[tap], width), map.dtype(), map.device())?, 0),
            };
            whole.slice_set(&map.contiguous()?, 1, filled)?;
            maps[tap] = Some((whole, filled + count));
            Ok(is_free)
        })?;
        // What the network did not keep of its input.
        if bands.rows >= height
            && let Some(map) = last
        {
            ops::recycle(x, Some(&map))?;
        }
        from += count;
    }
    Ok(maps.into_iter().flatten().map(|(map, _)| map).collect())
}

/// The head on some rows of a tap, (N, rows, W, C), that lie apart from picture to picture where they are a band's.
fn distance(head: &Head, tap: usize, rows: &Tensor, pairs: &[(usize, usize)]) -> candle_core::Result<Tensor> {
    if rows.is_contiguous() || !rows.device().is_cpu() {
        return head.distance(tap, rows, rows, pairs, None);
    }
    // Without the copy that would bring them together.
    let maps = pairs.iter().map(|&(i, j)| {
        let (a, b) = (rows.narrow(0, i, 1)?, rows.narrow(0, j, 1)?);
        head.distance(tap, &a, &b, &[(0, 0)], None)
    });
    Tensor::cat(&maps.collect::<candle_core::Result<Vec<_>>>()?, 0)
}

/// Bytes of memory that are free, for this process too if it may not use all, or `None` where the system does not say.
pub(crate) fn available() -> Option<usize> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = field(&text, "MemAvailable:")? * 1024;
    Some(group_available().map_or(machine, |group| group.min(machine)))
}

/// The number after a name, in a text of such lines.
fn field(text: &str, name: &str) -> Option<usize> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// What the control groups that this process is in leave it: the least of them.
fn group_available() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let number = |path: std::path::PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let mut least = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, names) = match controllers {
            "" => ("/sys/fs/cgroup", ["memory.max", "memory.current"]),
            "memory" => ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.usage_in_bytes"]),
            _ => continue,
        };
        for group in std::path::Path::new(path).ancestors() {
            let folder = std::path::Path::new(root).join(group.strip_prefix("/").unwrap_or(group));
            let [limit, used] = names.map(|name| number(folder.join(name)));
            let (Some(limit), Some(used)) = (limit, used) else { continue };
            // Cached files make way.
            let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let cached = field(&stat, "inactive_file ").unwrap_or(0);
            let free = limit.saturating_sub(used.saturating_sub(cached));
            least = Some(least.map_or(free, |least: usize| least.min(free)));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_device_without_memory_is_given_less_to_do() {
        let mut tried = Vec::new();
        let done = with_less(1 << 30, |room| {
            tried.push(room);
            if room > 200 << 20 {
                return Err(candle_core::Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY)".to_string()).into());
            }
            Ok(room)
        });
        assert_eq!(done.unwrap(), 128 << 20);
        assert_eq!(tried, [1 << 30, 512 << 20, 256 << 20, 128 << 20]);
        // It does not go on for ever, and other errors are no reason.
        let mut count = 0;
        let never = with_less(usize::MAX, |_| -> Result<()> {
            count += 1;
            Err(candle_core::Error::Msg("out of memory".to_string()).into())
        });
        assert!(never.is_err() && count < 64);
        assert!(
            with_less(1 << 40, |room| if room == 1 << 40 { Err(Error::Input("no".into())) } else { Ok(()) }).is_err()
        );
    }

    #[test]
    fn only_a_lack_of_memory_is_made_nothing() {
        let lack = candle_core::Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY)".to_string());
        assert_eq!(unless_out_of_memory(Err::<(), _>(lack.into())).unwrap(), None);
        assert_eq!(unless_out_of_memory(Ok(1)).unwrap(), Some(1));
        assert!(unless_out_of_memory(Err::<(), _>(Error::Input("no".into()))).is_err());
    }

    #[test]
    fn free_memory_is_known_on_linux() {
        if cfg!(target_os = "linux") {
            assert!(available().is_some_and(|bytes| bytes > 1 << 20));
        }
        assert_eq!(field("MemTotal:  12 kB\nMemAvailable:    34 kB\n", "MemAvailable:"), Some(34));
        assert_eq!(field("MemTotal:  12 kB\n", "MemAvailable:"), None);
    }
}
