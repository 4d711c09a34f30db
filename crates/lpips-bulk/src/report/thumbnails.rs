//! Pictures and heat maps in the size of a report page, encoded as data URLs.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use lpips_core::Picture;
use lpips_eval::html;

/// Maximum of the longer side, in pixels.
const SIDE: usize = 512;

/// The size in which a picture of this width and height is shown.
pub(super) fn fitting((width, height): (usize, usize)) -> (usize, usize) {
    let longer = width.max(height);
    let side = |side: usize| if longer > SIDE { (side * SIDE + longer / 2) / longer } else { side };
    (side(width).max(1), side(height).max(1))
}

/// Resizes a map to a smaller or the same size: the means of the values that fall on each pixel.
pub(super) fn shrunk(
    values: &[f32],
    (width, height): (usize, usize),
    (to_width, to_height): (usize, usize),
) -> Vec<f32> {
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

/// Encodes pictures as data URLs, all in one format so that compression makes no difference between them: PNG if they
/// fit into `room` bytes together, otherwise JPEG of the best quality that fits, and in a smaller size if none does.
pub(super) fn encoded(pictures: &[&Picture], room: usize) -> Result<Vec<String>, String> {
    let fits = |files: &[Vec<u8>]| files.iter().map(Vec::len).sum::<usize>() <= room;
    let urls = |files: &[Vec<u8>], kind: &str| {
        files.iter().map(|file| html::data_url(&format!("image/{kind}"), file)).collect()
    };
    let text = |error: lpips_core::Error| error.to_string();
    let files = pictures.iter().map(|picture| picture.to_png().map_err(text)).collect::<Result<Vec<_>, _>>()?;
    if fits(&files) {
        return Ok(urls(&files, "png"));
    }
    let smallest = pictures.iter().all(|picture| picture.width() == 1 && picture.height() == 1);
    for quality in [95, 88, 80, 65] {
        let files = pictures.iter().map(|picture| jpeg(picture, quality)).collect::<Result<Vec<_>, _>>()?;
        if fits(&files) || smallest {
            return Ok(urls(&files, "jpeg"));
        }
    }
    let half =
        |picture: &&Picture| picture.resize(picture.width().div_ceil(2), picture.height().div_ceil(2)).map_err(text);
    let halves = pictures.iter().map(half).collect::<Result<Vec<_>, _>>()?;
    encoded(&halves.iter().collect::<Vec<_>>(), room)
}

fn jpeg(picture: &Picture, quality: u8) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(&picture.to_rgb8(), width, height, ExtendedColorType::Rgb8)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_size_is_reduced_in_proportion() {
        assert_eq!(fitting((64, 48)), (64, 48));
        assert_eq!(fitting((512, 512)), (512, 512));
        assert_eq!(fitting((3840, 2160)), (512, 288));
        assert_eq!(fitting((10, 100_000)), (1, 512));
    }

    #[test]
    fn map_reduced_in_size_holds_means() {
        let map: Vec<f32> = (0..16u8).map(f32::from).collect();
        assert_eq!(shrunk(&map, (4, 4), (4, 4)), map);
        assert_eq!(shrunk(&map, (4, 4), (2, 2)), [2.5, 4.5, 10.5, 12.5]);
        assert_eq!(shrunk(&map, (4, 4), (1, 1)), [7.5]);
        assert_eq!(shrunk(&[1.0, 2.0, 6.0], (3, 1), (2, 1)), [1.5, 4.0], "the middle pixel counts for both");
    }

    #[test]
    fn encoded_pictures_fit_into_their_room_in_one_format() {
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
        assert_eq!(encoded(&[&a], 1).unwrap().len(), 1, "it ends where nothing fits");
    }
}
