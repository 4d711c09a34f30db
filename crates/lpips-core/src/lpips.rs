//! The distance between two pictures.

use candle_core::{Device, Tensor};
use lpips_models::ops::dropout::Dropout;
use lpips_models::ops::input::{self, Affine};
use lpips_models::ops::{self, upsample};
use lpips_models::{Backbone, Network};

use crate::builder::{Builder, Version};
use crate::error::{Error, Result};
use crate::head::Head;
use crate::image::Picture;
use crate::input::{Images, Range};
use crate::size::Size;
use crate::tile::{self, Memory, Need};

/// Subtracted from the input by version 0.1: the mean of ImageNet's pictures, for values in [-1, 1].
const SHIFT: [f64; 3] = [-0.030, -0.088, -0.188];
/// What version 0.1 then divides by: their standard deviation.
const SCALE: [f64; 3] = [0.458, 0.448, 0.450];

/// The learned perceptual image patch similarity: how far apart two pictures look to people, 0 for equal ones.
///
/// The same numbers as the published `lpips` package (0.1.4), to 1e-5.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_core::{Lpips, Network};
///
/// let lpips = Lpips::new(Network::AlexNet)?;
/// let a = Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu)?;
/// let b = Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu)?;
/// let distance = lpips.forward(&a, &b)?;
/// assert_eq!(distance.dims(), [2, 1, 1, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lpips {
    backbone: Backbone,
    head: Head,
    version: Version,
    memory: Memory,
}

/// What the network sees in a batch of pictures: each tapped layer, in the network's type.
///
/// Made once by [`Lpips::features`] and compared many times by [`Lpips::compare_features`].
#[derive(Debug, Clone)]
pub struct Features {
    pub(crate) taps: Vec<Tensor>,
    pub(crate) size: (usize, usize),
    pub(crate) maker: FeatureSpec,
}

/// Batches of pictures as the network takes them; see [`Lpips::stack`].
#[derive(Debug, Clone)]
pub struct StackedBatch {
    /// One batch after the other, (N, H, W, 3).
    pub pictures: Tensor,
    /// Which of them are compared.
    pub pairing: PairIndex,
}

/// Which pictures of a [`StackedBatch`] are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairIndex {
    pictures: usize,
    pairs: Pairs,
    size: (usize, usize),
}

impl PairIndex {
    /// The references of `n` triplets, then all p0, then all p1, of this size in pixels: each p0 is compared with its
    /// reference, then each p1.
    pub fn triplets(n: usize, size: Size) -> Self {
        let size = (size.height, size.width);
        Self { pictures: 3 * n, pairs: (0..2 * n).map(|pair| (pair % n, n + pair)).collect(), size }
    }
}

/// What two features must have in common to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeatureSpec {
    network: Network,
    version: Version,
    pub(crate) taps: Vec<&'static str>,
}

impl std::fmt::Display for FeatureSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} tapped at {}", self.network, self.version, self.taps.join(", "))
    }
}

impl Features {
    /// How many pictures.
    pub fn batch(&self) -> usize {
        self.taps.first().map_or(0, |tap| tap.dims()[0])
    }

    /// The pictures' size in pixels.
    pub fn size(&self) -> Size {
        Size { width: self.size.1, height: self.size.0 }
    }

    /// One of them by itself, in memory of its own.
    ///
    /// # Errors
    /// No picture of this number, counted from 0; or a device without memory for it.
    pub fn picture(&self, number: usize) -> Result<Self> {
        let taps = self.taps.iter().map(|tap| tap.narrow(0, number, 1)?.force_contiguous());
        Ok(Self { taps: taps.collect::<candle_core::Result<_>>()?, size: self.size, maker: self.maker.clone() })
    }

    /// Bytes that they take.
    pub fn size_in_bytes(&self) -> usize {
        self.taps.iter().map(|tap| tap.elem_count() * tap.dtype().size_in_bytes()).sum()
    }
}

/// One tapped layer's part of a distance.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The layer's name, e.g. `conv1`.
    pub name: &'static str,
    /// Its part of the distance, (N, 1, 1, 1). The parts add up to the whole.
    pub distance: Tensor,
}

/// Two batches of pictures, compared: the distance, its parts by layer and its map, each computed when asked for.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Name and distance at each of the layer's pixels, (N, h, w).
    layers: Vec<(&'static str, Tensor)>,
    size: (usize, usize),
}

impl Comparison {
    /// The distance of each pair, (N, 1, 1, 1): the layers' means over space, added up.
    ///
    /// # Errors
    /// Those of candle: a device that runs out of memory.
    pub fn distance(&self) -> Result<Tensor> {
        sum(self.layers()?.into_iter().map(|layer| layer.distance))
    }

    /// The distance's parts by layer, from the picture on.
    ///
    /// # Errors
    /// Those of candle: a device that runs out of memory.
    pub fn layers(&self) -> Result<Vec<Layer>> {
        self.layers
            .iter()
            .map(|(name, map)| {
                let distance = map.flatten_from(1)?.mean(1)?.reshape(((), 1, 1, 1))?;
                Ok(Layer { name, distance })
            })
            .collect()
    }

    /// Where the pictures differ, (N, 1, H, W): each layer upsampled bilinearly to the pictures' size, added up. The
    /// published package's `spatial=True`.
    ///
    /// # Errors
    /// Those of candle: a device that runs out of memory.
    pub fn map(&self) -> Result<Tensor> {
        let (height, width) = self.size;
        let first = self.layers.first().ok_or_else(no_layer)?;
        let whole = |map: &Tensor| upsample::bilinear(&map.unsqueeze(1)?, height, width);
        // One after the other, as each is as large as the pictures.
        self.layers[1..].iter().try_fold(whole(&first.1)?, |sum, (_, map)| Ok((sum + whole(map)?)?))
    }

    /// The map's parts by layer, from the picture on: the layer's name and its part, (N, 1, H, W).
    ///
    /// # Errors
    /// Those of candle: a device that runs out of memory.
    pub fn layer_maps(&self) -> Result<Vec<(&'static str, Tensor)>> {
        let (height, width) = self.size;
        self.layers
            .iter()
            .map(|(name, map)| Ok((*name, upsample::bilinear(&map.unsqueeze(1)?, height, width)?)))
            .collect()
    }
}

fn sum(parts: impl Iterator<Item = Tensor>) -> Result<Tensor> {
    let mut parts = parts;
    let first = parts.next().ok_or_else(no_layer)?;
    Ok(parts.try_fold(first, |sum, part| sum + part)?)
}

fn no_layer() -> Error {
    Error::Choice("no layer is tapped".to_string())
}

impl Lpips {
    /// Version 0.1 with the published lin heads, on the CPU in f32, with the first official weights that
    /// [`Weights::find`](crate::weights::Weights::find) comes upon.
    ///
    /// # Errors
    /// No weights are found (AlexNet's are bundled by default), or the network has no published lin heads.
    pub fn new(network: Network) -> Result<Self> {
        Self::builder(network).build()
    }

    /// All choices: version, heads, weights, taps, device, type.
    pub fn builder(network: Network) -> Builder {
        Builder::new(network)
    }

    pub(crate) fn from_parts(backbone: Backbone, head: Head, version: Version, memory: Memory) -> Self {
        Self { backbone, head, version, memory }
    }

    /// The distance of each pair, (N, 1, 1, 1), of pictures (N, 3, H, W); one picture on either side meets all on the other.
    ///
    /// Symmetric, at least 0, and 0 for equal pictures. Differentiable with respect to both pictures and, where they are
    /// variables, all weights; gradients are finite everywhere.
    ///
    /// # Errors
    /// Pictures that differ in size, are too small for the network, do not have three channels or hold NaN or infinity; a
    /// device that runs out of memory whatever is done.
    pub fn forward<'a>(&self, a: impl Into<Images<'a>>, b: impl Into<Images<'a>>) -> Result<Tensor> {
        self.compare(a, b)?.distance()
    }

    /// As [`Self::forward`], with the distance's parts by layer and its map at hand.
    ///
    /// Pictures that would take more memory than they may ([`Builder::memory`]) go through the network band by band, to the
    /// same results (bit for bit on the CPU), unless gradients are to flow through it.
    ///
    /// # Errors
    /// Those of [`Self::forward`].
    pub fn compare<'a>(&self, a: impl Into<Images<'a>>, b: impl Into<Images<'a>>) -> Result<Comparison> {
        let (a, b) = (a.into(), b.into());
        let (size, pairs) = meeting(a, b)?;
        let batches = [a, b];
        let tracked = a.is_tracked() || b.is_tracked() || self.backbone.has_variables() || self.head.has_variables();
        let rows = |from, count| {
            if count == size.0 {
                return self.scaled(&batches);
            }
            let rows = [a.rows(from, count)?, b.rows(from, count)?];
            self.scaled(&[a.with(&rows[0]), b.with(&rows[1])])
        };
        let held = a.bytes_held() + b.bytes_held();
        self.compare_rows((a.batch() + b.batch(), held, tracked), size, &pairs, rows)
    }

    /// As [`Self::compare`], of decoded pictures by their places among them: one that meets several others goes through the network
    /// once. The comparison's first axis is that of `pairs`.
    ///
    /// # Errors
    /// Those of [`Self::forward`], and a place that no picture has.
    pub fn compare_pictures(&self, pictures: &[&Picture], pairs: &[(usize, usize)]) -> Result<Comparison> {
        check_places(pairs, (pictures.len(), pictures.len()))?;
        let size = common_size(pictures)?;
        let held = pictures.iter().map(|picture| picture.size_in_bytes()).sum();
        let tracked = self.backbone.has_variables() || self.head.has_variables();
        let rows = |from, count| self.scaled_pictures(pictures, from, count);
        self.compare_rows((pictures.len(), held, tracked), size, pairs, rows)
    }

    /// Compares pictures, so many held by so many bytes, of which `scaled` gives some rows, (N, rows, W, 3).
    fn compare_rows(
        &self,
        (count, held, tracked): (usize, usize, bool),
        size: (usize, usize),
        pairs: &[(usize, usize)],
        scaled: impl Fn(usize, usize) -> Result<Tensor> + Sync,
    ) -> Result<Comparison> {
        self.backbone.check_size(size.0, size.1)?;
        let need = Need::of(&self.backbone, count, pairs.len(), size, held)?;
        let room = if tracked { need.whole } else { need.room(self.memory, &self.backbone).min(need.whole) };
        let attempt = |room| {
            let bands = need.bands(&self.backbone, count, size, room)?;
            let maps = tile::maps((&self.backbone, &self.head), pairs, size, &bands, &scaled)?;
            Ok(Comparison { layers: self.tap_names().into_iter().zip(maps).collect(), size })
        };
        // Bands would save nothing where gradients keep all of them.
        ops::in_pool(|| if tracked { attempt(room) } else { tile::with_less(room, attempt) })
    }

    /// Some rows of pictures of one size as the network takes them, (N, rows, W, 3).
    fn scaled_pictures(&self, pictures: &[&Picture], from: usize, count: usize) -> Result<Tensor> {
        let width = pictures.first().map_or(0, |picture| picture.width());
        let rows: Option<Vec<&[u8]>> = pictures
            .iter()
            .map(|picture| Some(&picture.bytes_of_eight()?[3 * width * from..3 * width * (from + count)]))
            .collect();
        if let Some(rows) = rows {
            let affine = self.affine(Range::Bytes);
            return Ok(input::from_bytes(&rows, (count, width), affine, self.device())?);
        }
        // With some of 16 bits.
        let scaled = pictures.iter().map(|picture| {
            let (tensor, range) = picture.crop(0, from, width, count)?.to_values(self.device())?;
            self.scaled(&[Images::new(&tensor, range)])
        });
        Ok(Tensor::cat(&scaled.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Whether the features of two pictures of this size, or a comparison of the two as a whole, have
    /// room in the memory that may be taken ([`Builder::memory`]). Where they have not, [`Self::compare`] works band by
    /// band, and [`Self::features`] takes more all the same.
    ///
    /// # Errors
    /// Pictures that are too small for the network.
    pub fn fits_in_memory(&self, size: Size) -> Result<bool> {
        self.has_room(2, size.height, size.width)
    }

    /// How many pairs of such pictures, up to `most`, have room as a whole in the memory that may be taken; at least 1, as
    /// [`Self::compare_pictures`] takes one pair band by band where it must.
    ///
    /// # Errors
    /// Pictures that are too small for the network.
    pub fn max_batch(&self, most: usize, size: Size) -> Result<usize> {
        let mut pairs = most.max(1);
        while pairs > 1 && !self.has_room(2 * pairs, size.height, size.width)? {
            pairs /= 2;
        }
        Ok(pairs)
    }

    /// [`Self::fits_in_memory`] of several pictures, one of which is compared with the others.
    pub(crate) fn has_room(&self, pictures: usize, height: usize, width: usize) -> Result<bool> {
        let held = pictures * 3 * height * width * size_of::<f32>();
        let need = Need::of(&self.backbone, pictures, pictures - 1, (height, width), held)?;
        Ok(self.memory.allows(need.all(), &self.backbone))
    }

    /// The first of the three steps of [`Self::compare`]: both batches checked, scaled and stacked, as the network takes
    /// them. The second is [`Backbone::features_channels_last`], the third [`Self::compare_taps`].
    ///
    /// # Errors
    /// Those of [`Self::forward`].
    pub fn stack<'a>(&self, a: impl Into<Images<'a>>, b: impl Into<Images<'a>>) -> Result<StackedBatch> {
        let (a, b) = (a.into(), b.into());
        let (size, pairs) = meeting(a, b)?;
        self.backbone.check_size(size.0, size.1)?;
        // Both through the network at once: one large product is faster than two small ones.
        let pictures = self.scaled(&[a, b])?;
        Ok(StackedBatch { pairing: PairIndex { pictures: pictures.dims()[0], pairs, size }, pictures })
    }

    /// [`Self::stack`] of triplets: references, p0 and p1, N of each. Their distances are those of each p0 and its reference,
    /// then those of each p1.
    ///
    /// # Errors
    /// Those of [`Self::forward`], and batches that are not equally large.
    pub fn stack_triplets<'a>(
        &self,
        reference: impl Into<Images<'a>>,
        p0: impl Into<Images<'a>>,
        p1: impl Into<Images<'a>>,
    ) -> Result<StackedBatch> {
        let batches = [reference.into(), p0.into(), p1.into()];
        let (size, n) = (batches[0].size()?, batches[0].batch());
        for other in &batches[1..] {
            same_size(size, other.size()?)?;
            if other.batch() != n {
                return Err(Error::Batches(n, other.batch()));
            }
        }
        self.backbone.check_size(size.0, size.1)?;
        Ok(StackedBatch {
            pictures: self.scaled(&batches)?,
            pairing: PairIndex::triplets(n, Size { width: size.1, height: size.0 }),
        })
    }

    /// The distances of triplets: of `p0` and `reference`, and of `p1` and `reference`, (N, 1, 1, 1) each. Every reference goes
    /// through the network once.
    ///
    /// # Errors
    /// Those of [`Self::stack_triplets`].
    pub fn triplets<'a>(
        &self,
        reference: impl Into<Images<'a>>,
        p0: impl Into<Images<'a>>,
        p1: impl Into<Images<'a>>,
    ) -> Result<(Tensor, Tensor)> {
        let (reference, p0, p1) = (reference.into(), p0.into(), p1.into());
        let n = reference.batch();
        ops::in_pool(|| {
            let stack = self.stack_triplets(reference, p0, p1)?;
            let taps = self.backbone.features_channels_last(&stack.pictures)?;
            ops::recycle(stack.pictures, Some(&taps[0]))?;
            let distances = self.compare_taps(&stack.pairing, &taps, None)?.distance()?;
            Ok((distances.narrow(0, 0, n)?, distances.narrow(0, n, n)?))
        })
    }

    /// The last step of [`Self::compare`], the head: from the taps (N, H', W', C) that the network made of a stack. With
    /// `dropout` the channels' squared differences are left out at random, as in the published training.
    ///
    /// # Errors
    /// Another number of taps than the network's, or taps of other pictures than the stack's.
    pub fn compare_taps(&self, stack: &PairIndex, taps: &[Tensor], dropout: Option<Dropout>) -> Result<Comparison> {
        self.check_taps(stack, taps)?;
        self.comparison((taps, taps), &stack.pairs, stack.size, dropout)
    }

    fn check_taps(&self, stack: &PairIndex, taps: &[Tensor]) -> Result<()> {
        let (expected, pictures) = (self.tap_names().len(), stack.pictures);
        if taps.len() != expected || taps.iter().any(|tap| tap.dims().first() != Some(&pictures)) {
            let given: Vec<_> = taps.iter().map(Tensor::dims).collect();
            return Err(Error::Input(format!(
                "taps of shapes {given:?} were given: expected {expected}, each of the stack's {pictures} pictures"
            )));
        }
        Ok(())
    }

    /// The way back through [`Self::compare_taps`], for each layer: from the gradient `grad` of the distances, (P), to that of
    /// the taps, where it is wanted, and that of the lin head, (1, C, 1, 1). Without candle's graph, which would hold a copy of
    /// the taps and zeros of their size.
    ///
    /// # Errors
    /// Those of [`Self::compare_taps`].
    pub fn tap_gradients(
        &self,
        stack: &PairIndex,
        taps: &[Tensor],
        dropout: Option<Dropout>,
        grad: &Tensor,
        wants_taps: bool,
    ) -> Result<Vec<(Option<Tensor>, Option<Tensor>)>> {
        self.check_taps(stack, taps)?;
        let layer = |(layer, taps): (usize, &Tensor)| {
            let (_, h, w, _) = taps.dims4()?;
            // The distance is a mean over the layer's pixels.
            let grad = (grad.detach() / (h * w) as f64)?.reshape(((), 1, 1))?;
            let grad = grad.broadcast_as((stack.pairs.len(), h, w))?.contiguous()?;
            Ok(self.head.gradients(layer, taps, &stack.pairs, dropout, &grad, wants_taps)?)
        };
        taps.iter().enumerate().map(layer).collect()
    }

    /// What the network sees in pictures (N, 3, H, W), to be compared with [`Self::compare_features`].
    ///
    /// They are whole taps, hundreds of bytes for each pixel, whatever memory may be taken: ask [`Self::fits_in_memory`] first where
    /// pictures may be large, and use [`Self::compare`] if they do not.
    ///
    /// The number of pictures may change the last bits of what comes out, as it decides how convolutions are computed:
    /// distances between features of batches of different size are those of [`Self::forward`] to about 1e-7.
    ///
    /// # Errors
    /// Pictures that are too small for the network, do not have three channels or hold NaN or infinity.
    pub fn features<'a>(&self, images: impl Into<Images<'a>>) -> Result<Features> {
        let images = images.into();
        self.seen(images.size()?, || self.scaled(&[images]))
    }

    /// [`Self::features`] of decoded pictures of one size.
    ///
    /// # Errors
    /// Those of [`Self::features`], and pictures of different sizes.
    pub fn features_of_pictures(&self, pictures: &[&Picture]) -> Result<Features> {
        let size = common_size(pictures)?;
        self.seen(size, || self.scaled_pictures(pictures, 0, size.0))
    }

    fn seen(&self, size: (usize, usize), scaled: impl FnOnce() -> Result<Tensor> + Send) -> Result<Features> {
        ops::in_pool(|| {
            self.backbone.check_size(size.0, size.1)?;
            let pictures = scaled()?;
            let taps = self.backbone.features_channels_last(&pictures)?;
            ops::recycle(pictures, Some(&taps[0]))?;
            Ok(Features { taps, size, maker: self.maker() })
        })
    }

    /// Compares features of this network: as many against as many, or one against many.
    ///
    /// # Errors
    /// Pictures that differ in size, or features made by another network, version or choice of taps.
    pub fn compare_features(&self, a: &Features, b: &Features) -> Result<Comparison> {
        self.compare_feature_pairs(a, b, &pairs(a.batch(), b.batch())?)
    }

    /// As [`Self::compare_features`], of pictures by their places in `a` and in `b`. The comparison's first axis is that of `pairs`.
    ///
    /// # Errors
    /// Those of [`Self::compare_features`], and a place that is not in its batch.
    pub fn compare_feature_pairs(&self, a: &Features, b: &Features, pairs: &[(usize, usize)]) -> Result<Comparison> {
        same_size(a.size, b.size)?;
        check_places(pairs, (a.batch(), b.batch()))?;
        let own = self.maker();
        if let Some(other) = [a, b].into_iter().find(|features| features.maker != own) {
            return Err(Error::Choice(format!(
                "the features were made by {}, and this is {own}: make both with the same one",
                other.maker
            )));
        }
        ops::in_pool(|| self.comparison((&a.taps, &b.taps), pairs, a.size, None))
    }

    /// Compares these pairs of pictures by their taps.
    fn comparison(
        &self,
        (a, b): (&[Tensor], &[Tensor]),
        pairs: &[(usize, usize)],
        size: (usize, usize),
        dropout: Option<Dropout>,
    ) -> Result<Comparison> {
        let layers = self
            .tap_names()
            .into_iter()
            .zip(a.iter().zip(b))
            .enumerate()
            .map(|(layer, (name, (a, b)))| Ok((name, self.head.distance(layer, a, b, pairs, dropout)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Comparison { layers, size })
    }

    pub(crate) fn maker(&self) -> FeatureSpec {
        FeatureSpec { network: self.backbone.network(), version: self.version, taps: self.tap_names() }
    }

    /// One batch of pictures, or two stacked, as the network takes them, (N, H, W, 3).
    fn scaled(&self, batches: &[Images<'_>]) -> Result<Tensor> {
        let values = batches.iter().map(|images| images.to_values(self.device())).collect::<Result<Vec<_>>>()?;
        let batches: Vec<_> = values.iter().zip(batches).map(|(x, images)| (x, self.affine(images.range()))).collect();
        input::channels_last(&batches).map_err(|error| match error {
            lpips_models::Error::NotFinite => Error::Input(error.to_string()),
            other => other.into(),
        })
    }

    /// From the pictures' range to the network's, in one step.
    fn affine(&self, range: Range) -> Affine {
        let (factor, summand) = range.to_signed();
        let (shift, scale) = match self.version {
            Version::V0_1 => (SHIFT, SCALE),
            Version::V0_0 => ([0.0; 3], [1.0; 3]),
        };
        Affine {
            scale: scale.map(|scale| (factor / scale) as f32),
            shift: std::array::from_fn(|c| ((summand - shift[c]) / scale[c]) as f32),
        }
    }

    /// The tapped layers' names, from the picture on.
    pub fn tap_names(&self) -> Vec<&'static str> {
        self.backbone.taps()
    }

    /// The network under the metric.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// The version of the input's scaling and of the published lin heads.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether channels are weighted by lin heads; `false` for the baseline.
    pub fn has_lins(&self) -> bool {
        self.head.has_lins()
    }

    /// Where the weights are, and where distances are computed.
    pub fn device(&self) -> &Device {
        self.backbone.device()
    }
}

/// The pictures that are compared, by their places on either side.
type Pairs = Vec<(usize, usize)>;

/// Height and width of two batches, and which picture of both stacked meets which.
fn meeting(a: Images<'_>, b: Images<'_>) -> Result<((usize, usize), Pairs)> {
    let size = a.size()?;
    same_size(size, b.size()?)?;
    let na = a.batch();
    Ok((size, pairs(na, b.batch())?.into_iter().map(|(i, j)| (i, na + j)).collect()))
}

/// Height and width of pictures.
fn common_size(pictures: &[&Picture]) -> Result<(usize, usize)> {
    let size = |picture: &Picture| (picture.height(), picture.width());
    let first = pictures.first().ok_or_else(|| Error::Input("no pictures were given: expected some".to_string()))?;
    pictures.iter().try_for_each(|picture| same_size(size(first), size(picture)))?;
    Ok(size(first))
}

/// Fine if there are pairs, and each is of pictures of batches of these sizes.
fn check_places(pairs: &[(usize, usize)], (a, b): (usize, usize)) -> Result<()> {
    match pairs.iter().find(|pair| pair.0 >= a || pair.1 >= b) {
        Some((i, j)) => Err(Error::Input(format!(
            "a pair is of pictures {i} and {j}, counted from 0, of batches of {a} and {b}: expected places in them"
        ))),
        None if pairs.is_empty() => Err(Error::Input("no pairs were given: expected at least one".to_string())),
        None => Ok(()),
    }
}

fn same_size(a: (usize, usize), b: (usize, usize)) -> Result<()> {
    let of = |(height, width)| Size { width, height };
    if a == b { Ok(()) } else { Err(Error::SizeMismatch { a: of(a), b: of(b) }) }
}

/// Which of `a` pictures meets which of `b`: as many as many, or one on either side all on the other.
fn pairs(a: usize, b: usize) -> Result<Pairs> {
    if a != b && a != 1 && b != 1 {
        return Err(Error::Batches(a, b));
    }
    let at = |count, i| if count == 1 { 0 } else { i };
    Ok((0..a.max(b)).map(|i| (at(a, i), at(b, i))).collect())
}
