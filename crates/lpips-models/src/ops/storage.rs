//! Views of candle's CPU storage as f32 slices, and f32 results as storage of the input's type.

use std::borrow::Cow;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, WithDType, bail};
use half::{bf16, f16};

use super::cpu::buffers;

/// The elements of a contiguous float tensor, widened to f32 where they are stored in 16 bits.
pub(crate) fn read<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("an operator was given a tensor with strides {:?}", layout.stride())
    };
    Ok(match storage {
        CpuStorage::F32(data) => Cow::Borrowed(&data[start..end]),
        CpuStorage::F16(data) => data[start..end].iter().map(|v| v.to_f32()).collect(),
        CpuStorage::BF16(data) => data[start..end].iter().map(|v| v.to_f32()).collect(),
        other => bail!(
            "the operators take f32, f16 or bf16, not {:?}: convert with to_dtype first",
            candle_core::backend::BackendStorage::dtype(other)
        ),
    })
}

/// A tensor's storage on the CPU with its layout.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    storage: &'a CpuStorage,
    layout: &'a Layout,
}

impl<'a> View<'a> {
    pub(crate) fn new(storage: &'a CpuStorage, layout: &'a Layout) -> Self {
        Self { storage, layout }
    }

    /// [`read`] of this storage and layout.
    pub(crate) fn read(self) -> Result<Cow<'a, [f32]>> {
        read(self.storage, self.layout)
    }
}

/// [`read`] of a tensor's storage and layout, which must be on the CPU.
pub(crate) fn of<'a>(storage: &'a Storage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
    match storage {
        Storage::Cpu(storage) => read(storage, layout),
        _ => bail!("a kernel for the CPU was given a tensor that is elsewhere"),
    }
}

/// f32 results as storage of type `dtype`.
pub(crate) fn write(data: Vec<f32>, dtype: DType) -> Result<CpuStorage> {
    let storage = match dtype {
        DType::F32 => return Ok(CpuStorage::F32(data)),
        DType::F16 => f16::to_cpu_storage_owned(data.iter().copied().map(f16::from_f32).collect()),
        DType::BF16 => bf16::to_cpu_storage_owned(data.iter().copied().map(bf16::from_f32).collect()),
        other => bail!("the operators put out f32, f16 or bf16, not {other:?}"),
    };
    buffers::give(data);
    Ok(storage)
}
