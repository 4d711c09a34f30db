//! Sources of pairs: two folders, all pairs of one folder, lists, and shards of them.
//!
//! - [`pair`]: pairs and triplets of pictures
//! - [`lpips_data::discover`]: the pictures of a folder
//! - [`folders`], [`all_pairs`], [`list`]: pairs of two folders, of one folder, and of a CSV or JSON list
//! - [`shard`]: parts of the work for several machines

pub mod all_pairs;
pub mod folders;
pub mod list;
pub mod pair;
pub mod shard;
