//! Sources of pairs: folders, lists, all pairs of one folder, and shards of them.

pub mod all_pairs;
mod csv_stream;
pub mod discover;
pub mod folders;
pub mod list;
pub mod pair;
pub mod shard;
