//! Pairs of pictures by their indices, and checks of what is paired.

use crate::error::{Error, Result};
use crate::size::Size;

/// Indices of the compared pictures, from 0, on either side.
pub(crate) type Pairs = Vec<(usize, usize)>;

/// Pairs of batches of `a` and `b` pictures: as many with as many, or one with all of the other batch.
pub(crate) fn broadcast(a: usize, b: usize) -> Result<Pairs> {
    if a != b && a != 1 && b != 1 {
        return Err(Error::BatchMismatch { a, b });
    }
    let at = |count, i| if count == 1 { 0 } else { i };
    Ok((0..a.max(b)).map(|i| (at(a, i), at(b, i))).collect())
}

/// Checks that there are pairs, and that each is within batches of `a` and `b` pictures.
pub(crate) fn check(pairs: &[(usize, usize)], (a, b): (usize, usize)) -> Result<()> {
    match pairs.iter().find(|pair| pair.0 >= a || pair.1 >= b) {
        Some(pair) => Err(Error::PairOutOfRange { pair: *pair, batches: (a, b) }),
        None if pairs.is_empty() => Err(Error::NoPairs),
        None => Ok(()),
    }
}

/// Checks that two sizes are the same.
pub(crate) fn same_size(a: Size, b: Size) -> Result<()> {
    if a == b { Ok(()) } else { Err(Error::SizeMismatch { a, b }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_pairs_one_with_all_or_equally_many() {
        assert_eq!(broadcast(1, 3).unwrap(), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(broadcast(2, 2).unwrap(), [(0, 0), (1, 1)]);
        assert!(broadcast(2, 3).is_err());
    }

    #[test]
    fn pair_check_refuses_indices_outside_and_no_pairs() {
        assert!(check(&[(0, 1)], (1, 2)).is_ok());
        assert!(matches!(check(&[(0, 2)], (1, 2)), Err(Error::PairOutOfRange { pair: (0, 2), .. })));
        assert!(matches!(check(&[], (1, 2)), Err(Error::NoPairs)));
    }
}
