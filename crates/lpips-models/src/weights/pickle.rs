//! A reader of pickled `state_dict`s, as PyTorch saves them.
//!
//! A pickle is a program that Python runs. This reader runs nothing: it interprets the opcodes that a `state_dict` is
//! made of, accepts three constructors by name, and refuses everything else with an error. Every read is within bounds.
//! A hostile file may name one large value many times; so texts stay where they are in the file, and calls, tensors and
//! names have limits far above any network's, so that work and memory grow with the file's length only.

use std::ops::Range;

use super::scalar::Scalar;

/// The size limit of a pickle in bytes; those of the networks here have a few thousand.
const LARGEST: usize = 16 << 20;
/// The limit of tensors in a `state_dict`.
const MOST_TENSORS: usize = 10_000;
/// The limit of a tensor's or a storage's name in bytes.
const LONGEST_NAME: usize = 512;
/// The limit of a call's arguments, and of a tensor's dimensions.
const MOST_ARGUMENTS: usize = 16;

/// A tensor as the pickle describes it; its numbers are in a file of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorRecord {
    /// The name of the storage's file.
    pub(super) storage: String,
    pub(super) scalar: Scalar,
    /// The first element, counted in elements.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    strides: Vec<usize>,
}

impl TensorRecord {
    /// Whether elements follow one another in the shape's order.
    pub(super) fn is_contiguous(&self) -> bool {
        let mut expected = 1usize;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected = expected.saturating_mul(size);
            fits
        })
    }
}

/// Reads the tensors of a pickled `state_dict`, in its order. In a checkpoint the `state_dict` is found under the key
/// `state_dict` or `model`.
pub(super) fn state_dict(pickle: &[u8]) -> Result<Vec<(String, TensorRecord)>, String> {
    if pickle.len() > LARGEST {
        return Err("holds no state_dict: its data.pkl is over 16 MB".to_string());
    }
    let mut machine = Machine { bytes: pickle, ..Machine::default() };
    let root = machine
        .run()
        .map_err(|reason| format!("is not a state_dict that can be read without running it ({reason})"))?;
    let mut tensors = machine.tensors_of(root)?;
    if tensors.is_empty()
        && let Value::Dict(items) = &machine.values[root]
    {
        let named = |&&(key, _): &&(Id, Id)| matches!(machine.text_of(key), Some("state_dict" | "model"));
        if let Some(&(_, inner)) = items.iter().find(named) {
            tensors = machine.tensors_of(inner)?;
        }
    }
    if tensors.is_empty() {
        return Err("holds no state_dict: save one with torch.save(model.state_dict(), ...)".to_string());
    }
    Ok(tensors)
}

/// A value's position among all that the pickle made. Containers hold these, so that nothing is ever nested in memory,
/// however deeply a hostile file nests it.
type Id = usize;

/// A value that a pickle makes.
#[derive(Debug)]
enum Value {
    Int(i64),
    /// UTF-8, at this place in the file.
    Text(Range<usize>),
    Tuple(Vec<Id>),
    List,
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Range<usize>, Scalar),
    Tensor(TensorRecord),
    /// A value that no tensor needs: none, a float, a flag, a counter.
    Other,
}

/// The names that a `state_dict` imports.
#[derive(Debug, Clone, Copy)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Option<Scalar>),
}

impl Global {
    fn find(module: &str, name: &str) -> Result<Self, String> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "DoubleStorage") => Self::Storage(Some(Scalar::F64)),
            ("torch", "FloatStorage") => Self::Storage(Some(Scalar::F32)),
            ("torch", "HalfStorage") => Self::Storage(Some(Scalar::F16)),
            ("torch", "BFloat16Storage") => Self::Storage(Some(Scalar::Bf16)),
            ("torch", name) if name.ends_with("Storage") => Self::Storage(None),
            _ => return Err(format!("it imports {module}.{name}")),
        })
    }
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
}

impl Machine<'_> {
    #[allow(clippy::too_many_lines)] // One arm an opcode: splitting the list would only hide it.
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let opcode = self.take(1)?[0];
            match opcode {
                // PROTO, FRAME: skipped.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                // STOP
                b'.' => return self.pop(),
                // MARK
                b'(' => self.marks.push(self.stack.len()),
                // NONE, NEWTRUE, NEWFALSE, BINFLOAT
                b'N' | 0x88 | 0x89 => self.push(Value::Other),
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Other);
                }
                // BININT1, BININT2, BININT, LONG1
                b'K' => self.int(1)?,
                b'M' => self.int(2)?,
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()));
                }
                0x8a => {
                    let length = self.take(1)?[0] as usize;
                    self.long(length)?;
                }
                // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
                b'X' => self.text(4)?,
                0x8c => self.text(1)?,
                0x8d => self.text(8)?,
                // EMPTY_TUPLE, TUPLE1 to TUPLE3, TUPLE
                b')' => self.push(Value::Tuple(Vec::new())),
                0x85..=0x87 => {
                    let count = usize::from(opcode - 0x84);
                    let items = self.above(self.stack.len().checked_sub(count))?;
                    self.push(Value::Tuple(items));
                }
                b't' => {
                    let items = self.above_mark()?;
                    self.push(Value::Tuple(items));
                }
                // EMPTY_LIST, APPEND, APPENDS: no tensor is inside a list.
                b']' => self.push(Value::List),
                b'a' => drop(self.pop()?),
                b'e' => drop(self.above_mark()?),
                // EMPTY_DICT, SETITEM, SETITEMS
                b'}' => self.push(Value::Dict(Vec::new())),
                b's' => {
                    let items = self.above(self.stack.len().checked_sub(2))?;
                    self.set_items(&items)?;
                }
                b'u' => {
                    let items = self.above_mark()?;
                    self.set_items(&items)?;
                }
                // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
                b'q' => {
                    let index = self.take(1)?[0].into();
                    self.put(index)?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.array()?) as usize;
                    self.put(index)?;
                }
                0x94 => self.put(self.memo.len())?,
                b'h' => {
                    let index = self.take(1)?[0].into();
                    self.get(index)?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.array()?) as usize;
                    self.get(index)?;
                }
                // GLOBAL, STACK_GLOBAL
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Value::Global(Global::find(&module, &name)?));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Some(module), Some(name)) = (self.text_of(module), self.text_of(name)) else {
                        return Err("an import without a name".to_string());
                    };
                    let global = Global::find(module, name)?;
                    self.push(Value::Global(global));
                }
                // BINPERSID, REDUCE, BUILD
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.push(storage);
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.reduce(function, arguments)?;
                }
                // A state_dict's attributes hold versions of its modules, which no tensor needs.
                b'b' => drop(self.pop()?),
                other => return Err(format!("opcode 0x{other:02x} at byte {}", self.at - 1)),
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len()).ok_or("it is cut short")?;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "it is cut short".to_string())
    }

    /// An unsigned number of up to eight bytes.
    fn unsigned(&mut self, count: usize) -> Result<u64, String> {
        Ok(self.take(count)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn int(&mut self, count: usize) -> Result<(), String> {
        let value = self.unsigned(count)? as i64;
        self.push(Value::Int(value));
        Ok(())
    }

    /// Pushes a signed number of `length` bytes, as [`Value::Other`] where it is too large for a tensor's size.
    fn long(&mut self, length: usize) -> Result<(), String> {
        let bytes = self.take(length)?;
        let value = if length > 8 {
            Value::Other
        } else {
            let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
            let mut whole = [fill; 8];
            whole[..length].copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(whole))
        };
        self.push(value);
        Ok(())
    }

    fn text(&mut self, length_bytes: usize) -> Result<(), String> {
        let length = usize::try_from(self.unsigned(length_bytes)?).unwrap_or(usize::MAX);
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text that is not UTF-8")?;
        self.push(Value::Text(self.at - length..self.at));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or("it is cut short")?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "its stack runs empty".to_string())
    }

    /// Pops the values of the stack from a height on.
    fn above(&mut self, height: Option<usize>) -> Result<Vec<Id>, String> {
        match height {
            Some(height) if height <= self.stack.len() => Ok(self.stack.split_off(height)),
            _ => Err("its stack runs empty".to_string()),
        }
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop();
        self.above(mark)
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), String> {
        let Some(Value::Dict(dict)) = self.stack.last().map(|&top| &mut self.values[top]) else {
            return Err("an item without a dict".to_string());
        };
        dict.extend(items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn put(&mut self, index: usize) -> Result<(), String> {
        // Python numbers memo entries one by one, so an index past the file's length is none of its.
        if index > self.bytes.len() {
            return Err("a memo index out of bounds".to_string());
        }
        let top = *self.stack.last().ok_or("its stack runs empty")?;
        if self.memo.len() <= index {
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(top);
        Ok(())
    }

    fn get(&mut self, index: usize) -> Result<(), String> {
        let id = self.memo.get(index).copied().flatten().ok_or("a memo entry that was never made")?;
        self.stack.push(id);
        Ok(())
    }

    fn text_of(&self, id: Id) -> Option<&str> {
        match &self.values[id] {
            Value::Text(range) => std::str::from_utf8(&self.bytes[range.clone()]).ok(),
            _ => None,
        }
    }

    /// A name of reasonable length.
    fn name(&self, range: &Range<usize>) -> Result<String, String> {
        if range.len() > LONGEST_NAME {
            return Err("a name of more than 512 bytes".to_string());
        }
        Ok(String::from_utf8_lossy(&self.bytes[range.clone()]).into_owned())
    }

    /// The items of a tuple that is no longer than a call's arguments or a tensor's sizes are.
    fn items_of(&self, id: Id) -> Option<Vec<&Value>> {
        match &self.values[id] {
            Value::Tuple(items) if items.len() <= MOST_ARGUMENTS => {
                Some(items.iter().map(|&item| &self.values[item]).collect())
            }
            _ => None,
        }
    }

    fn tensors_of(&self, id: Id) -> Result<Vec<(String, TensorRecord)>, String> {
        let Value::Dict(items) = &self.values[id] else { return Ok(Vec::new()) };
        let mut tensors = Vec::new();
        for &(key, value) in items {
            if let (Value::Text(key), Value::Tensor(tensor)) = (&self.values[key], &self.values[value]) {
                if tensors.len() == MOST_TENSORS {
                    return Err(format!("holds more than {MOST_TENSORS} tensors: it is no file of these networks"));
                }
                tensors.push((self.name(key)?, tensor.clone()));
            }
        }
        Ok(tensors)
    }

    /// `('storage', torch.FloatStorage, '0', 'cpu', 64)`
    fn storage(&self, id: Id) -> Result<Value, String> {
        match self.items_of(id).as_deref() {
            Some([Value::Text(kind), Value::Global(Global::Storage(scalar)), Value::Text(key), ..])
                if &self.bytes[kind.clone()] == b"storage" =>
            {
                // Integers (a counter, a mask) are passed over: no network here has any.
                Ok(scalar.map_or(Value::Other, |scalar| Value::Storage(key.clone(), scalar)))
            }
            _ => Err("a storage without a name".to_string()),
        }
    }

    fn reduce(&mut self, function: Id, arguments: Id) -> Result<(), String> {
        let ids = match &self.values[arguments] {
            Value::Tuple(ids) if ids.len() <= MOST_ARGUMENTS => ids,
            _ => return Err("a call without arguments, or with too many".to_string()),
        };
        let Value::Global(function) = self.values[function] else {
            return Err("a call of what is no function".to_string());
        };
        let values: Vec<&Value> = ids.iter().map(|&id| &self.values[id]).collect();
        let value = match (function, values.as_slice()) {
            (Global::OrderedDict, []) => Value::Dict(Vec::new()),
            (Global::RebuildTensor, [Value::Other, ..]) => Value::Other,
            (Global::RebuildTensor, [Value::Storage(storage, scalar), Value::Int(offset), ..]) if ids.len() >= 4 => {
                let offset = usize::try_from(*offset).map_err(|_| "a tensor with a negative offset")?;
                let (shape, strides) = (self.sizes(ids[2])?, self.sizes(ids[3])?);
                if shape.len() != strides.len() {
                    return Err("a tensor with more or fewer strides than sizes".to_string());
                }
                let storage = self.name(storage)?;
                Value::Tensor(TensorRecord { storage, scalar: *scalar, offset, shape, strides })
            }
            (Global::RebuildParameter, [Value::Tensor(_) | Value::Other, ..]) => {
                let parameter = ids[0];
                self.stack.push(parameter);
                return Ok(());
            }
            _ => return Err("a call with arguments that do not fit".to_string()),
        };
        self.push(value);
        Ok(())
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>, String> {
        let items = self.items_of(id).ok_or("a tensor without sizes, or with too many")?;
        let size = |item: &Value| match item {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        items
            .into_iter()
            .map(|item| size(item).ok_or_else(|| "a tensor with a size that is no number from 0 on".to_string()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `torch.save({'features.0.weight': a 2x3 f32 tensor})`, written out by hand in protocol 2.
    fn sample() -> Vec<u8> {
        let mut p: Vec<u8> = b"\x80\x02}q\x00".to_vec();
        let text = |p: &mut Vec<u8>, text: &str| {
            p.push(b'X');
            p.extend((text.len() as u32).to_le_bytes());
            p.extend(text.as_bytes());
        };
        text(&mut p, "features.0.weight");
        p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut p, "storage");
        p.extend(b"ctorch\nFloatStorage\n");
        text(&mut p, "0");
        text(&mut p, "cpu");
        p.extend(b"K\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtRs.");
        p
    }

    #[test]
    fn pickle_reads_a_state_dict() {
        let tensors = state_dict(&sample()).unwrap();
        assert_eq!(tensors.len(), 1);
        let (name, tensor) = &tensors[0];
        assert_eq!((name.as_str(), tensor.storage.as_str()), ("features.0.weight", "0"));
        assert_eq!((tensor.shape.as_slice(), tensor.scalar, tensor.offset), (&[2, 3][..], Scalar::F32, 0));
        assert!(tensor.is_contiguous());
    }

    #[test]
    fn pickle_refuses_foreign_imports() {
        let error = state_dict(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.").unwrap_err();
        assert!(error.contains("os.system"), "{error}");
        let error = state_dict(b"\x80\x02K\x01.").unwrap_err();
        assert!(error.contains("no state_dict"), "{error}");
    }

    #[test]
    fn pickle_cut_or_changed_anywhere_never_panics() {
        let whole = sample();
        for cut in 0..whole.len() {
            assert!(state_dict(&whole[..cut]).is_err());
        }
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = state_dict(&bytes);
            }
        }
    }

    #[test]
    fn pickle_with_deep_nesting_is_refused() {
        let mut bytes = b"\x80\x02)".to_vec();
        bytes.resize(2_000_000, 0x85);
        bytes.push(b'.');
        assert!(state_dict(&bytes).is_err());
    }

    #[test]
    fn pickle_with_a_large_value_used_often_is_refused() {
        let long_text = |p: &mut Vec<u8>| {
            p.push(b'X');
            p.extend(1_000_000u32.to_le_bytes());
            p.resize(p.len() + 1_000_000, b'x');
            p.extend(b"q\x01");
        };
        let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\nq\x02";
        // A long name for 50,000 tensors; a long storage; a tuple of a million items for a million calls.
        let mut names = b"\x80\x02".to_vec();
        long_text(&mut names);
        let tensor = &sample()[sample().iter().position(|&b| b == b'c').unwrap()..];
        names.extend(&tensor[..tensor.len() - 2]);
        names.extend(b"q\x03}");
        names.extend(b"h\x01h\x03s".repeat(50_000));
        names.push(b'.');
        assert!(state_dict(&names).unwrap_err().contains("512 bytes"));

        let mut storages = b"\x80\x02".to_vec();
        long_text(&mut storages);
        storages.extend(b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nh\x01tq\x05".iter());
        storages.extend(b"h\x05Q".repeat(50_000));
        storages.push(b'.');
        assert!(state_dict(&storages).is_err());

        let mut calls = [b"\x80\x02", &rebuild[..], b"("].concat();
        calls.extend(b"N".repeat(1_000_000));
        calls.extend(b"tq\x04");
        calls.extend(b"h\x02h\x04R".repeat(1_000_000));
        calls.push(b'.');
        assert!(state_dict(&calls).unwrap_err().contains("too many"));
    }

    proptest! {
        #[test]
        fn pickle_of_noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = state_dict(&bytes);
        }
    }
}
