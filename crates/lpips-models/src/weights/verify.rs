//! Completeness checks of a weights file.

use super::archive::Archive;
use crate::Network;
use crate::error::{Error, Result};

/// A tensor: its name, its shape and its elements.
pub(super) type Named = (String, Vec<usize>, Vec<f32>);

/// Reads every tensor of the network's table that the file has, in the table's order; none may be missing up to the
/// layer at `last`.
pub(super) fn complete(network: Network, archive: &Archive, last: usize) -> Result<Vec<Named>> {
    let arch = network.architecture();
    let (expected, needed) = (arch.tensors(arch.features.len() - 1), arch.tensors(last).len());
    let names = expected[..needed].iter().map(|(name, _)| name.as_str());
    let missing: Vec<&str> = names.filter(|name| archive.shape(name).is_none()).collect();
    if missing.len() == needed {
        let reason = format!("holds none of {}'s tensors: expected {} and so on", arch.id, expected[0].0);
        return Err(Error::file(archive.path(), reason));
    }
    if let Some(first) = missing.first() {
        let more = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
        return Err(Error::file(archive.path(), format!("lacks {first}{more}: {} needs it", arch.id)));
    }
    let foreign = archive
        .names()
        .filter(|name| name.starts_with("features."))
        .find(|name| !expected.iter().any(|(known, _)| known == name));
    if let Some(name) = foreign {
        let reason = format!("holds {name}, which {} does not have: is it another network's file?", arch.id);
        return Err(Error::file(archive.path(), reason));
    }
    expected
        .into_iter()
        .filter(|(name, _)| archive.shape(name).is_some())
        .map(|(name, shape)| {
            let data = archive.tensor(&name, &shape)?;
            Ok((name, shape, data))
        })
        .collect()
}
