//! The pictures of a page: small enough to go into it, and heat maps with one scale for all.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use lpips_core::{Picture, heatmap};
use serde::Serialize;

use super::Pictures;
use crate::results::schema::Row;

/// Pixels of the longer side at most.
const SIDE: usize = 512;
/// Bytes of all pictures at most, as text.
const BYTES: usize = 16 << 20;
/// The share of a map's pixels that the scale does not hold at its top, so that a few bright spots don't darken all maps.
const COVERED: f64 = 0.995;
/// Steps of the legend.
const STEPS: u8 = 20;

/// All pictures of a page.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) shown: Vec<Shown>,
    pub(super) heat: Option<Heat>,
}

/// The pictures of one pair, each as an address that holds it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Shown {
    /// Width and height in pixels, before it was made smaller.
    size: Option<(usize, usize)>,
    reference: Option<String>,
    candidate: Option<String>,
    map: Option<String>,
    /// Why pictures or map are not there.
    problem: Option<String>,
}

/// What the colours of heat maps mean.
#[derive(Debug, Serialize)]
pub(super) struct Heat {
    /// What draws them.
    of: String,
    /// The difference that has the brightest colour, in all maps.
    top: f32,
    /// From no difference to that.
    colours: Vec<[u8; 3]>,
}

/// A map as large as the picture that is shown: width, height, values.
type Small = (usize, usize, Vec<f32>);

/// Opens, maps and encodes the pictures of some pairs, one pair after the other in the order of their numbers, as a video has them; of the
/// large pictures only one pair is held.
pub(super) fn prepare(rows: &[Row], pictures: &mut Pictures<'_>) -> Seen {
    // Three of each pair, and four letters for three bytes.
    let room = BYTES / 4 * 3 / (3 * rows.len()).max(1);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| rows[*at].index);
    let (mut shown, mut maps): (Vec<Shown>, Vec<Option<Small>>) = rows.iter().map(|_| (Shown::default(), None)).unzip();
    for at in order {
        (shown[at], maps[at]) = prepare_pair(&rows[at], pictures, 2 * room)
            .unwrap_or_else(|problem| (Shown { problem: Some(problem), ..Shown::default() }, None));
    }
    let mut values: Vec<f32> = maps.iter().flatten().flat_map(|(_, _, values)| values).copied().collect();
    let heat = pictures.map.as_ref().filter(|_| !values.is_empty()).map(|map| {
        let last = ((values.len() - 1) as f64 * COVERED) as usize;
        let (_, top, _) = values.select_nth_unstable_by(last, f32::total_cmp);
        let colours = (0..=STEPS).map(|step| heatmap::colour(f32::from(step) / f32::from(STEPS))).collect();
        Heat { of: map.name.to_string(), top: top.max(f32::MIN_POSITIVE), colours }
    });
    for (shown, map) in shown.iter_mut().zip(maps) {
        let Some(((width, height, values), heat)) = map.zip(heat.as_ref()) else { continue };
        let pixels = values.iter().flat_map(|value| heatmap::colour(value / heat.top)).collect();
        match Picture::from_rgb8(width, height, pixels).and_then(|picture| encoded(&[&picture], room)) {
            Ok(mut addresses) => shown.map = addresses.pop(),
            Err(error) => shown.problem = Some(error.to_string()),
        }
    }
    Seen { shown, heat }
}

/// Reference and candidate of a pair, encoded, and their map.
fn prepare_pair(row: &Row, pictures: &mut Pictures<'_>, room: usize) -> Result<(Shown, Option<Small>), String> {
    let (reference, candidate) = (pictures.load)(row)?;
    let size = (reference.width(), reference.height());
    let (width, height) = fitting(size);
    let mut problem = None;
    let map = pictures.map.as_mut().and_then(|map| {
        let small = (map.of)(&reference, &candidate).and_then(|map| {
            let values = map.flatten_all().and_then(|map| map.to_vec1::<f32>()).map_err(|error| error.to_string())?;
            if values.len() != size.0 * size.1 {
                return Err(format!("a map of {} pixels came for a picture of {}x{}", values.len(), size.0, size.1));
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
    let mut addresses = encoded(&[&both[0], &both[1]], room).map_err(|error| error.to_string())?.into_iter();
    let shown =
        Shown { size: Some(size), reference: addresses.next(), candidate: addresses.next(), map: None, problem };
    Ok((shown, map))
}

/// The size in which a picture is shown.
fn fitting((width, height): (usize, usize)) -> (usize, usize) {
    let longer = width.max(height);
    let side = |side: usize| if longer > SIDE { (side * SIDE + longer / 2) / longer } else { side };
    (side(width).max(1), side(height).max(1))
}

/// A map in a smaller size or the same: the means of what falls on each pixel.
fn shrunk(values: &[f32], (width, height): (usize, usize), (to_width, to_height): (usize, usize)) -> Vec<f32> {
    let range = |at: usize, from: usize, to: usize| at * from / to..((at + 1) * from).div_ceil(to);
    let mut small = Vec::with_capacity(to_width * to_height);
    for y in 0..to_height {
        for x in 0..to_width {
            let (rows, columns) = (range(y, height, to_height), range(x, width, to_width));
            let count = rows.len() * columns.len();
            let sum: f32 = rows.map(|y| values[y * width..][columns.clone()].iter().sum::<f32>()).sum();
            small.push(sum / count as f32);
        }
    }
    small
}

/// Pictures as addresses that hold them, all in the same form so that nothing but they themselves differ: exact if they take no more than
/// `room` bytes together, otherwise as JPEG as good as that allows, and smaller where none is small enough.
fn encoded(pictures: &[&Picture], room: usize) -> lpips_core::Result<Vec<String>> {
    let fits = |files: &[Vec<u8>]| files.iter().map(Vec::len).sum::<usize>() <= room;
    let addresses = |files: &[Vec<u8>], kind: &str| {
        files.iter().map(|file| format!("data:image/{kind};base64,{}", BASE64_STANDARD.encode(file))).collect()
    };
    let files = pictures.iter().map(|picture| picture.to_png()).collect::<lpips_core::Result<Vec<_>>>()?;
    if fits(&files) {
        return Ok(addresses(&files, "png"));
    }
    let smallest = pictures.iter().all(|picture| picture.width() == 1 && picture.height() == 1);
    for quality in [95, 88, 80, 65] {
        let files = pictures.iter().map(|picture| jpeg(picture, quality)).collect::<lpips_core::Result<Vec<_>>>()?;
        if fits(&files) || smallest {
            return Ok(addresses(&files, "jpeg"));
        }
    }
    let half = |picture: &&Picture| picture.resize(picture.width().div_ceil(2), picture.height().div_ceil(2));
    let halves = pictures.iter().map(half).collect::<lpips_core::Result<Vec<_>>>()?;
    encoded(&halves.iter().collect::<Vec<_>>(), room)
}

fn jpeg(picture: &Picture, quality: u8) -> lpips_core::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(&picture.to_rgb8(), width, height, ExtendedColorType::Rgb8)
        .map_err(|error| lpips_core::Error::Encode { source: error.into() })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit_and_keep_their_shape() {
        assert_eq!(fitting((64, 48)), (64, 48));
        assert_eq!(fitting((512, 512)), (512, 512));
        assert_eq!(fitting((3840, 2160)), (512, 288));
        assert_eq!(fitting((10, 100_000)), (1, 512));
    }

    #[test]
    fn a_smaller_map_holds_means() {
        let map: Vec<f32> = (0..16u8).map(f32::from).collect();
        assert_eq!(shrunk(&map, (4, 4), (4, 4)), map);
        assert_eq!(shrunk(&map, (4, 4), (2, 2)), [2.5, 4.5, 10.5, 12.5]);
        assert_eq!(shrunk(&map, (4, 4), (1, 1)), [7.5]);
        assert_eq!(shrunk(&[1.0, 2.0, 6.0], (3, 1), (2, 1)), [1.5, 4.0], "the middle pixel falls on both");
    }

    #[test]
    fn pictures_take_no_more_than_their_room_and_one_form() {
        let noise = |seed: u32| {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            Picture::from_rgb8(200, 150, (0..200 * 150 * 3).map(|_| next()).collect()).unwrap()
        };
        let (a, b) = (noise(1), Picture::from_rgb8(200, 150, vec![7; 200 * 150 * 3]).unwrap());
        for (room, form) in [(1 << 20, "png"), (60_000, "jpeg"), (6000, "jpeg"), (2000, "jpeg")] {
            let addresses = encoded(&[&a, &b], room).unwrap();
            let start = format!("data:image/{form};base64,");
            assert!(addresses.iter().all(|address| address.starts_with(&start)), "{room}");
            let bytes: usize = addresses.iter().map(|address| (address.len() - start.len()) / 4 * 3).sum();
            assert!(bytes <= room + 4, "{bytes} bytes where {room} fit");
        }
        assert_eq!(encoded(&[&a], 1).unwrap().len(), 1, "no room at all still ends");
    }
}
