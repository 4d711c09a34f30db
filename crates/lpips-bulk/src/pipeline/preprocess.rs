//! Preprocessing of decoded pictures: resize, crop, tiles; and the check of a pair's sizes.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use lpips_core::{ParseSizeError, Picture, Size};
use serde::{Deserialize, Serialize};

/// The size that pictures are resized to: `reference`, or `WIDTHxHEIGHT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// The candidate to its reference's size.
    Reference,
    /// Both pictures to this size.
    To(Size),
}

/// The part that is cut out of both pictures: `WIDTHxHEIGHT` from the middle, or `WIDTHxHEIGHT+LEFT+TOP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    size: Size,
    /// Column and row of its corner; by default it is the middle of the picture.
    corner: Option<(usize, usize)>,
}

/// Steps that both pictures of a pair go through before they are measured, in this order.
///
/// ```
/// use lpips_bulk::pipeline::preprocess::Preprocess;
/// use lpips_core::{Picture, Size};
///
/// let preprocess = Preprocess { resize: Some("reference".parse()?), crop: Some("8x8".parse()?), tile: None };
/// let reference = Picture::from_rgb8(32, 16, vec![128; 32 * 16 * 3])?;
/// let candidate = Picture::from_rgb8(64, 32, vec![128; 64 * 32 * 3])?;
/// let [reference, candidate] = preprocess.pair(reference, candidate)?;
/// assert_eq!(reference.size(), Size { width: 8, height: 8 });
/// assert_eq!(reference, candidate);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Preprocess {
    /// Resized, bilinear as by Pillow.
    pub resize: Option<Resize>,
    /// A part cut out.
    pub crop: Option<Crop>,
    /// Cut into tiles of this size, each measured by itself.
    pub tile: Option<Size>,
}

/// The largest column or row of a corner, in pixels.
const FARTHEST: usize = 1 << 16;

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference => f.write_str("reference"),
            Self::To(size) => size.fmt(f),
        }
    }
}

impl FromStr for Resize {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        if given == "reference" {
            return Ok(Self::Reference);
        }
        given.parse().map(Self::To).map_err(|error: ParseSizeError| format!("{error}; or `reference`"))
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.size.fmt(f)?;
        self.corner.map_or(Ok(()), |(left, top)| write!(f, "+{left}+{top}"))
    }
}

impl FromStr for Crop {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let fail = || "expected width x height from the middle, such as 256x256, or with a corner, as in 256x256+10+20";
        let mut parts = given.split('+');
        let size = parts.next().unwrap_or_default().parse().map_err(|_| fail())?;
        let number = |part: &str| part.parse::<usize>().ok().filter(|at| *at <= FARTHEST);
        let corner = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(left), Some(top), None) => Some(number(left).zip(number(top)).ok_or_else(fail)?),
            _ => return Err(fail().to_string()),
        };
        Ok(Self { size, corner })
    }
}

impl Preprocess {
    /// Both pictures of a pair as they are measured, before they are cut into tiles.
    ///
    /// # Errors
    /// Pictures of different sizes, or smaller than the crop; in a sentence.
    pub fn pair(&self, reference: Picture, candidate: Picture) -> Result<[Picture; 2], String> {
        let original = reference.size();
        let candidate = self.candidate(candidate, original)?;
        let reference = self.reference(reference)?;
        check_sizes(candidate.size(), reference.size(), None)?;
        Ok([reference, candidate])
    }

    /// A reference as it is measured; also a candidate, unless [`Self::depends_on_reference`].
    ///
    /// # Errors
    /// A picture smaller than the crop.
    pub fn reference(&self, picture: Picture) -> Result<Picture, String> {
        let to = match self.resize {
            Some(Resize::To(size)) => Some(size),
            _ => None,
        };
        self.resized(picture, to)
    }

    /// A candidate as it is measured against a reference of this original size.
    ///
    /// # Errors
    /// A picture smaller than the crop.
    pub fn candidate(&self, picture: Picture, reference: Size) -> Result<Picture, String> {
        match self.resize {
            Some(Resize::Reference) => self.resized(picture, Some(reference)),
            _ => self.reference(picture),
        }
    }

    /// Whether a candidate is preprocessed differently for each reference.
    pub fn depends_on_reference(&self) -> bool {
        self.resize == Some(Resize::Reference)
    }

    fn resized(&self, picture: Picture, to: Option<Size>) -> Result<Picture, String> {
        let text = |error: lpips_core::Error| error.to_string();
        let picture = match to {
            Some(to) if picture.size() != to => picture.resize(to.width, to.height).map_err(text)?,
            _ => picture,
        };
        let Some(Crop { size, corner }) = self.crop else { return Ok(picture) };
        let middle = |all: usize, part: usize| all.saturating_sub(part) / 2;
        let (left, top) =
            corner.unwrap_or((middle(picture.width(), size.width), middle(picture.height(), size.height)));
        picture.crop(left, top, size.width, size.height).map_err(text)
    }

    /// The tiles of a picture, row by row from the top left; none without [`Self::tile`]. The last column and the last
    /// row are moved in, so that all tiles are whole.
    ///
    /// # Errors
    /// A picture smaller than a tile.
    pub fn tiles(&self, picture: &Picture) -> Result<Vec<Picture>, String> {
        let Some(tile) = self.tile else { return Ok(Vec::new()) };
        if picture.width() < tile.width || picture.height() < tile.height {
            let size = picture.size();
            return Err(format!("is {size} pixels, smaller than a tile of {tile}: choose smaller tiles"));
        }
        let starts = |all: usize, tile: usize| (0..all.div_ceil(tile)).map(move |i| (i * tile).min(all - tile));
        starts(picture.height(), tile.height)
            .flat_map(|top| starts(picture.width(), tile.width).map(move |left| (left, top)))
            .map(|(left, top)| picture.crop(left, top, tile.width, tile.height).map_err(|error| error.to_string()))
            .collect()
    }
}

/// Checks that a candidate has its reference's size; the error continues a sentence that begins with the candidate's
/// name.
pub(super) fn check_sizes(candidate: Size, reference: Size, name: Option<&Path>) -> Result<(), String> {
    if candidate == reference {
        return Ok(());
    }
    let name = name.map(|name| format!(" {}", name.display())).unwrap_or_default();
    Err(format!(
        "is {candidate} pixels, but the reference{name} is {reference}: give pictures of one size, or --resize=reference"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Picture {
        let rgb = (0..width * height).flat_map(|at| [(at % width) as u8, (at / width) as u8, 7]).collect();
        Picture::from_rgb8(width, height, rgb).unwrap()
    }

    fn corner(picture: &Picture) -> (u8, u8) {
        (picture.to_rgb8()[0], picture.to_rgb8()[1])
    }

    #[test]
    fn resize_and_crop_text_is_parsed_or_refused_with_an_example() {
        assert_eq!("640x480".parse(), Ok(Resize::To(Size { width: 640, height: 480 })));
        assert_eq!("reference".parse(), Ok(Resize::Reference));
        let size = Size { width: 3, height: 4 };
        assert_eq!("3x4".parse(), Ok(Crop { size, corner: None }));
        assert_eq!("3x4+5+6".parse(), Ok(Crop { size, corner: Some((5, 6)) }));
        for text in ["", "0x5", "5x", "a"] {
            assert!(text.parse::<Resize>().unwrap_err().contains("256x256"), "{text}");
        }
        for text in ["3x4+5", "3x4+5+6+7", "3x4+a+6", "+1+2"] {
            assert!(text.parse::<Crop>().unwrap_err().contains("256x256+10+20"), "{text}");
        }
    }

    #[test]
    fn crop_is_cut_out_of_the_resized_picture() {
        let preprocess = Preprocess { crop: "4x2".parse().ok(), ..Preprocess::default() };
        let [a, b] = preprocess.pair(picture(10, 8), picture(10, 8)).unwrap();
        assert_eq!((a.width(), a.height(), corner(&a)), (4, 2, (3, 3)));
        assert_eq!(a, b);
        let preprocess = Preprocess { crop: "4x2+6+1".parse().ok(), ..preprocess };
        assert_eq!(corner(&preprocess.reference(picture(10, 8)).unwrap()), (6, 1));
        let error = Preprocess { crop: "4x2+7+1".parse().ok(), ..preprocess }.reference(picture(10, 8)).unwrap_err();
        assert!(error.contains("10x8"), "{error}");
        let preprocess = Preprocess { resize: "8x4".parse().ok(), crop: "8x4+0+0".parse().ok(), tile: None };
        assert_eq!(preprocess.reference(picture(16, 8)).unwrap().width(), 8);
    }

    #[test]
    fn different_sizes_are_refused_unless_resized() {
        let error = Preprocess::default().pair(picture(10, 8), picture(9, 8)).unwrap_err();
        assert!(error.contains("9x8") && error.contains("10x8") && error.contains("--resize"), "{error}");
        let preprocess = Preprocess { resize: Some(Resize::Reference), ..Preprocess::default() };
        let [a, b] = preprocess.pair(picture(10, 8), picture(9, 8)).unwrap();
        assert_eq!(b.size(), a.size());
    }

    #[test]
    fn candidate_is_resized_to_the_original_size_of_a_cropped_reference() {
        let resize = Some(Resize::Reference);
        let preprocess = Preprocess { resize, crop: "4x2".parse().ok(), ..Preprocess::default() };
        let [a, b] = preprocess.pair(picture(10, 8), picture(10, 8)).unwrap();
        let original = Size { width: 10, height: 8 };
        assert_eq!((a, b.clone()), (b, preprocess.candidate(picture(10, 8), original).unwrap()));
    }

    #[test]
    fn tiles_cover_the_picture_and_are_all_whole() {
        let preprocess = Preprocess { tile: "4x3".parse().ok(), ..Preprocess::default() };
        let tiles = preprocess.tiles(&picture(10, 6)).unwrap();
        let corners: Vec<_> = tiles.iter().map(corner).collect();
        assert_eq!(corners, [(0, 0), (4, 0), (6, 0), (0, 3), (4, 3), (6, 3)]);
        assert!(tiles.iter().all(|tile| (tile.width(), tile.height()) == (4, 3)));
        assert!(preprocess.tiles(&picture(3, 3)).unwrap_err().contains("4x3"));
    }
}
