//! Decode stage: opens and preprocesses the pictures of a pair, and pairs them for measuring.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lpips_core::image::Decoder;
use lpips_core::{Picture, Size};
use rayon::prelude::*;

use super::feature_store::FeatureStore;
use super::image_cache::{CachedImage, ImagePair, Sizes};
use super::preprocess::{Preprocess, check_sizes};
use crate::source::pair::{Input, Pair};

/// Input of the stage: a pair and the images of its pictures.
pub(super) struct Undecoded {
    /// The pair's place in the order of emission.
    pub(super) sequence: u64,
    pub(super) pair: Pair,
    pub(super) reference: Arc<CachedImage>,
    /// By candidate.
    pub(super) candidates: Vec<Arc<CachedImage>>,
}

/// Output of the stage: a pair with its decoded images, or the reason there are none.
pub(super) struct Decoded {
    pub(super) sequence: u64,
    pub(super) pair: Pair,
    /// Of each candidate its tiles, or the whole picture.
    pub(super) images: Result<Vec<ImagePair>, String>,
    /// Bytes of the images.
    pub(super) bytes: usize,
}

impl Decoded {
    /// Number of image pairs to be measured.
    pub(super) fn count(&self) -> usize {
        self.images.as_ref().map_or(0, Vec::len)
    }

    /// The size of all its images.
    pub(super) fn size(&self) -> Option<Size> {
        self.images.as_ref().ok()?.first()?.reference.size()
    }
}

/// The candidates of a pair or triplet.
pub(super) fn candidates(pair: &Pair) -> impl Iterator<Item = &Input> {
    std::iter::once(&pair.candidate).chain(&pair.second)
}

/// Opens an input.
pub(super) fn open(decoder: &Decoder, input: &Input) -> Result<Picture, String> {
    match input {
        Input::File(path) => decoder.open(path).map_err(|error| error.to_string()),
        Input::Frame(_, frame) => frame.as_ref().map(|frame| (**frame).clone()).map_err(String::clone),
    }
}

/// Settings of the stage, and the number of decoded files.
#[derive(Debug)]
pub(super) struct DecodeStage {
    pub(super) decoder: Decoder,
    pub(super) preprocess: Preprocess,
    pub(super) wants_maps: bool,
    /// Features on disk that are loaded beside the pixels.
    pub(super) store: Option<Arc<FeatureStore>>,
    /// Files decoded so far.
    pub(super) decoded_files: AtomicU64,
}

impl DecodeStage {
    /// Decodes a pair on the current thread pool, its pictures in parallel.
    pub(super) fn decode(&self, undecoded: Undecoded) -> Decoded {
        let images = self.images(&undecoded);
        let Undecoded { sequence, pair, reference, candidates } = undecoded;
        // An image may be in several image pairs.
        let bytes = std::iter::once(&reference).chain(&candidates).map(|image| image.size_in_bytes()).sum();
        Decoded { sequence, pair, images, bytes }
    }

    fn images(&self, undecoded: &Undecoded) -> Result<Vec<ImagePair>, String> {
        let Undecoded { pair, reference, .. } = undecoded;
        let depends = self.preprocess.depends_on_reference();
        let candidates: Vec<_> = candidates(pair).zip(&undecoded.candidates).collect();
        // The reference's result is read below; of candidates that depend on it the pictures as they are in their
        // files.
        let ((), opened) = rayon::join(
            || drop(self.load(reference, &pair.reference)),
            || {
                candidates
                    .par_iter()
                    .map(|(input, image)| {
                        if depends {
                            return Some(self.open(input));
                        }
                        drop(self.load(image, input));
                        None
                    })
                    .collect::<Vec<_>>()
            },
        );
        let sizes = self.load(reference, &pair.reference)?;
        let mut images = Vec::with_capacity(candidates.len());
        for ((input, candidate), opened) in candidates.into_iter().zip(opened) {
            let own = match opened {
                Some(picture) => self.load_resized(candidate, input, picture?, sizes.original)?,
                None => self.load(candidate, input)?,
            };
            check_sizes(own.measured, sizes.measured, Some(pair.reference.name()))
                .map_err(|reason| named(input, &reason))?;
            self.pair_up((reference, &pair.reference), (candidate, input), &mut images)?;
        }
        Ok(images)
    }

    /// Decodes and preprocesses an image that does not depend on another, unless it is decoded already.
    fn load(&self, image: &CachedImage, input: &Input) -> Result<Sizes, String> {
        image.load(|| {
            let picture = self.open(input)?;
            let original = picture.size();
            let picture = self.preprocess.reference(picture).map_err(|reason| named(input, &reason))?;
            self.load_features(image, &picture);
            Ok((picture, original))
        })
    }

    /// Preprocesses a candidate that depends on the original size of its reference.
    fn load_resized(
        &self,
        image: &CachedImage,
        input: &Input,
        picture: Picture,
        reference: Size,
    ) -> Result<Sizes, String> {
        image.load(|| {
            let original = picture.size();
            let picture = self.preprocess.candidate(picture, reference).map_err(|reason| named(input, &reason))?;
            self.load_features(image, &picture);
            Ok((picture, original))
        })
    }

    fn open(&self, input: &Input) -> Result<Picture, String> {
        if matches!(input, Input::File(_)) {
            self.decoded_files.fetch_add(1, Ordering::Relaxed);
        }
        open(&self.decoder, input)
    }

    fn load_features(&self, image: &CachedImage, picture: &Picture) {
        if let Some(store) = &self.store {
            store.load(picture, image);
        }
    }

    /// Adds the image pair of a reference and a candidate, or those of their tiles.
    fn pair_up(
        &self,
        (reference, reference_input): (&Arc<CachedImage>, &Input),
        (candidate, candidate_input): (&Arc<CachedImage>, &Input),
        images: &mut Vec<ImagePair>,
    ) -> Result<(), String> {
        if self.preprocess.tile.is_none() {
            let (reference, candidate) = (reference.clone(), candidate.clone());
            images.push(ImagePair { reference, candidate, wants_map: self.wants_maps });
            return Ok(());
        }
        let tiles = |image: &CachedImage, input: &Input| {
            let picture = image.picture().ok_or("its pixels were dropped too early")?;
            self.preprocess.tiles(&picture).map_err(|reason| named(input, &reason))
        };
        let pairs = tiles(reference, reference_input)?.into_iter().zip(tiles(candidate, candidate_input)?);
        images.extend(pairs.map(|(a, b)| ImagePair {
            reference: CachedImage::of(a),
            candidate: CachedImage::of(b),
            wants_map: false,
        }));
        Ok(())
    }
}

fn named(input: &Input, reason: &str) -> String {
    format!("{}: {reason}", input.name().display())
}
