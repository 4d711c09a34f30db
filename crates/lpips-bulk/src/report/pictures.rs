//! The pictures of a report page, with heat maps on one common scale.

use candle_core::Tensor;
use lpips_core::{Picture, heatmap};
use serde::Serialize;

use crate::report::thumbnails::{encoded, fitting, shrunk};
use crate::results::schema::Row;

/// Maximum size of all pictures in bytes, as text.
const BYTES: usize = 16 << 20;
/// The fraction of all maps' pixels below the top of the scale: a few bright spots don't darken all maps.
const COVERED: f64 = 0.995;
/// Steps of the legend.
const STEPS: u8 = 20;

/// Loads reference and candidate of a row as they were measured, or gives the reason that they can't be loaded, in one
/// sentence.
pub type LoadPictures<'a> = dyn FnMut(&Row) -> Result<(Picture, Picture), String> + 'a;

/// Computes the heat map of two pictures, of shape (1, 1, H, W), or gives the reason that there is none, in one
/// sentence.
pub type ComputeMap<'a> = dyn FnMut(&Picture, &Picture) -> Result<Tensor, String> + 'a;

/// The source of a report's pictures. Both callbacks run for one shown pair after the other, in the order of the rows'
/// numbers.
pub struct Pictures<'a> {
    /// Loads a pair.
    pub load: &'a mut LoadPictures<'a>,
    /// Computes heat maps, if there are any.
    pub maps: Option<HeatMaps<'a>>,
}

/// The source of a report's heat maps.
pub struct HeatMaps<'a> {
    /// The metric's name on the page.
    pub metric: &'a str,
    /// Computes a map.
    pub compute: &'a mut ComputeMap<'a>,
}

/// All pictures of a page.
#[derive(Debug)]
pub(super) struct PagePictures {
    pub(super) pairs: Vec<PairPictures>,
    pub(super) heat: Option<HeatScale>,
}

/// The pictures of one pair, as data URLs.
#[derive(Debug, Default, Serialize)]
pub(super) struct PairPictures {
    /// Width and height in pixels before resizing.
    size: Option<(usize, usize)>,
    reference: Option<String>,
    candidate: Option<String>,
    map: Option<String>,
    /// The reason that pictures or the map are missing.
    problem: Option<String>,
}

/// The colour scale of the heat maps.
#[derive(Debug, Serialize)]
pub(super) struct HeatScale {
    /// The metric.
    of: String,
    /// The distance with the brightest colour, in all maps.
    top: f32,
    /// The colours from 0 to `top`.
    colours: Vec<[u8; 3]>,
}

/// A heat map in the size that is shown: width, height, values.
type SmallMap = (usize, usize, Vec<f32>);

impl PagePictures {
    /// Loads and encodes the pictures and heat maps of some rows, in the order of their numbers, as a video is decoded.
    /// At most one pair is in memory in full size.
    pub(super) fn load(rows: &[Row], pictures: &mut Pictures<'_>) -> Self {
        // Three pictures of each pair, and four characters of base64 for three bytes.
        let room = BYTES / 4 * 3 / (3 * rows.len()).max(1);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|at| rows[*at].index);
        let (mut pairs, mut maps): (Vec<PairPictures>, Vec<Option<SmallMap>>) =
            rows.iter().map(|_| (PairPictures::default(), None)).unzip();
        for at in order {
            (pairs[at], maps[at]) = load_pair(&rows[at], pictures, 2 * room)
                .unwrap_or_else(|problem| (PairPictures { problem: Some(problem), ..PairPictures::default() }, None));
        }
        let mut values: Vec<f32> = maps.iter().flatten().flat_map(|(_, _, values)| values).copied().collect();
        let heat = pictures.maps.as_ref().filter(|_| !values.is_empty()).map(|maps| {
            let last = ((values.len() - 1) as f64 * COVERED) as usize;
            let (_, top, _) = values.select_nth_unstable_by(last, f32::total_cmp);
            let colours = (0..=STEPS).map(|step| heatmap::colour(f32::from(step) / f32::from(STEPS))).collect();
            HeatScale { of: maps.metric.to_string(), top: top.max(f32::MIN_POSITIVE), colours }
        });
        for (pair, map) in pairs.iter_mut().zip(maps) {
            let Some(((width, height, values), heat)) = map.zip(heat.as_ref()) else { continue };
            let pixels = values.iter().flat_map(|value| heatmap::colour(value / heat.top)).collect();
            let picture = Picture::from_rgb8(width, height, pixels).map_err(|error| error.to_string());
            match picture.and_then(|picture| encoded(&[&picture], room)) {
                Ok(mut urls) => pair.map = urls.pop(),
                Err(error) => pair.problem = Some(error),
            }
        }
        Self { pairs, heat }
    }
}

/// Reference and candidate of a row, encoded, and their heat map.
fn load_pair(row: &Row, pictures: &mut Pictures<'_>, room: usize) -> Result<(PairPictures, Option<SmallMap>), String> {
    let (reference, candidate) = (pictures.load)(row)?;
    let size = (reference.width(), reference.height());
    let (width, height) = fitting(size);
    let mut problem = None;
    let map = pictures.maps.as_mut().and_then(|maps| {
        let small = (maps.compute)(&reference, &candidate).and_then(|map| {
            let values = map.flatten_all().and_then(|map| map.to_vec1::<f32>()).map_err(|error| error.to_string())?;
            if values.len() != size.0 * size.1 {
                let (width, height) = size;
                return Err(format!("the heat map of a picture of {width}x{height} has {} pixels", values.len()));
            }
            Ok((width, height, shrunk(&values, size, (width, height))))
        });
        small.map_err(|error| problem = Some(error)).ok()
    });
    let small = |picture: &Picture| {
        let (width, height) = fitting((picture.width(), picture.height()));
        picture.resize(width, height).map_err(|error| error.to_string())
    };
    let both = [small(&reference)?, small(&candidate)?];
    let mut urls = encoded(&[&both[0], &both[1]], room)?.into_iter();
    let pair = PairPictures { size: Some(size), reference: urls.next(), candidate: urls.next(), map: None, problem };
    Ok((pair, map))
}
