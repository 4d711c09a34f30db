//! The published archives of BAPPS: names, folders and sizes.

/// Address of the archives: the one in the authors' `scripts/download_dataset.sh` since October 2023.
pub const BASE: &str = "https://perceptual-similarity.s3.us-west-2.amazonaws.com/dataset";

/// Space that a file takes on the disk beyond its length, in bytes: half a block.
const REST_OF_BLOCK: u64 = 2048;

/// Part of BAPPS with an archive of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// Name of the part, as `lpips data fetch --only` takes it.
    pub name: &'static str,
    /// File name of the archive.
    pub archive: &'static str,
    /// Folder of the part below the root.
    pub folder: &'static str,
    /// Contents, as the authors state them.
    pub holds: &'static str,
    /// Approximate size of the archive in bytes.
    pub bytes: u64,
    /// Approximate number of files in the archive.
    pub files: u64,
}

/// Parts of BAPPS. The sizes are those of copies of the archives; the authors state 5.3, 1.1 and 0.2 GB.
pub const PARTS: [Part; 3] = [
    Part {
        name: "2afc-train",
        archive: "twoafc_train.tar.gz",
        folder: "2afc/train",
        holds: "about 151,300 triplets, 2 judgments each",
        bytes: 6_100_000_000,
        files: 605_200,
    },
    Part {
        name: "2afc-val",
        archive: "twoafc_val.tar.gz",
        folder: "2afc/val",
        holds: "about 36,300 triplets, 5 judgments each",
        bytes: 1_280_000_000,
        files: 145_200,
    },
    Part {
        name: "jnd",
        archive: "jnd.tar.gz",
        folder: "jnd/val",
        holds: "about 9,600 pairs, 3 judgments each",
        bytes: 250_000_000,
        files: 28_800,
    },
];

impl Part {
    /// Approximate space of the unpacked part on the disk, in bytes; pictures hardly shrink in an archive.
    pub fn unpacked(&self) -> u64 {
        self.bytes + self.files * REST_OF_BLOCK
    }
}
