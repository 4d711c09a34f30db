//! Shards: equal parts of the work, one per machine.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Maximum number of shards.
const MOST: u64 = 1_000_000;

/// One of N equal parts of the work: every N-th row. Written as I/N, from 1/N to N/N.
///
/// ```
/// use lpips_bulk::source::shard::Shard;
///
/// let shard: Shard = "2/3".parse()?;
/// assert_eq!((0..8).filter(|row| shard.contains(*row)).collect::<Vec<_>>(), [1, 4, 7]);
/// assert_eq!(shard.rows_of(8), 3);
/// # Ok::<(), lpips_bulk::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Shard {
    number: u64,
    of: u64,
}

impl Shard {
    /// The shard's number, counted from 1.
    pub fn number(self) -> u64 {
        self.number
    }

    /// The number of shards.
    pub fn shards(self) -> u64 {
        self.of
    }

    /// Whether a row belongs to the shard.
    pub fn contains(self, index: u64) -> bool {
        index % self.of == self.number - 1
    }

    /// Number of the first `total` rows that belong to the shard.
    pub fn rows_of(self, total: u64) -> u64 {
        total / self.of + u64::from(total % self.of >= self.number)
    }
}

/// The only shard: all of the work.
impl Default for Shard {
    fn default() -> Self {
        Self { number: 1, of: 1 }
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        let parts = given.split_once('/');
        let shard = parts.and_then(|(number, of)| Some(Self { number: number.parse().ok()?, of: of.parse().ok()? }));
        shard.filter(|shard| (1..=shard.of).contains(&shard.number) && shard.of <= MOST).ok_or_else(|| {
            Error::choice(format!(
                "'{given}' is no shard: expected I/N with I from 1 to N, such as 2/8 for the second of eight (N is a million at most)"
            ))
        })
    }
}

impl TryFrom<String> for Shard {
    type Error = Error;

    fn try_from(given: String) -> Result<Self> {
        given.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shard_text_that_is_malformed_is_refused() {
        for given in ["5/4", "0/4", "1/0", "0/0", "a/b", "1", "", "1/2/3", "-1/4", "1.5/4", "1/ 4", "1/1000001"] {
            let message = given.parse::<Shard>().unwrap_err().to_string();
            assert!(message.contains(&format!("'{given}'")) && message.contains("I from 1 to N"), "{message}");
        }
        assert_eq!("3/8".parse::<Shard>().unwrap().to_string(), "3/8");
        assert_eq!(serde_json::from_str::<Shard>("\"3/8\"").unwrap(), "3/8".parse().unwrap());
        assert!(serde_json::from_str::<Shard>("\"9/8\"").is_err());
    }

    proptest! {
        #[test]
        fn shards_partition_the_rows(of in 1u64..50, total in 0u64..500) {
            let shards: Vec<Shard> = (1..=of).map(|number| format!("{number}/{of}").parse().unwrap()).collect();
            for index in 0..total {
                prop_assert_eq!(shards.iter().filter(|shard| shard.contains(index)).count(), 1);
            }
            for shard in shards {
                prop_assert_eq!(shard.rows_of(total), (0..total).filter(|index| shard.contains(*index)).count() as u64);
            }
        }
    }
}
