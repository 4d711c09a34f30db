//! What is done with pictures before they are measured: brought to a size, cut out, cut into tiles.

use std::fmt;
use std::str::FromStr;

use lpips_core::{ParseSizeError, Picture, Size};
use serde::{Deserialize, Serialize};

/// The size that pictures are brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// The candidate to the reference's size.
    Reference,
    /// Both to this size.
    To(Size),
}

/// The part that is cut out of both pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    size: Size,
    /// Column and row of its corner; the middle of the picture if that is not said.
    corner: Option<(usize, usize)>,
}

/// What is done with both pictures of a pair, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Prepare {
    /// Brought to a size, bilinear as Pillow does it.
    pub resize: Option<Resize>,
    /// A part cut out.
    pub crop: Option<Crop>,
    /// Cut into tiles that are measured each by itself.
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

impl Prepare {
    /// Both pictures of a pair as they are measured, before they are cut into tiles.
    ///
    /// # Errors
    /// Pictures of different sizes, or too small for the part that is cut out; in a sentence.
    pub fn pair(&self, reference: Picture, candidate: Picture) -> Result<[Picture; 2], String> {
        let own = Size { width: reference.width(), height: reference.height() };
        let to = match self.resize {
            None => None,
            Some(Resize::Reference) => Some(own),
            Some(Resize::To(size)) => Some(size),
        };
        let [reference, candidate] = [self.one(reference, to)?, self.one(candidate, to)?];
        same_size(&reference, &candidate)?;
        Ok([reference, candidate])
    }

    /// A picture as it is measured, if that does not depend on the other of its pair.
    ///
    /// # Errors
    /// Those of [`Self::pair`].
    pub fn alone(&self, picture: Picture) -> Result<Picture, String> {
        let to = match self.resize {
            Some(Resize::To(size)) => Some(size),
            _ => None,
        };
        self.one(picture, to)
    }

    /// A picture brought to this height and width.
    pub(crate) fn brought(&self, picture: Picture, (height, width): (usize, usize)) -> Result<Picture, String> {
        self.one(picture, Some(Size { width, height }))
    }

    /// Whether how a picture is measured depends on the other of its pair.
    pub fn depends_on_reference(&self) -> bool {
        self.resize == Some(Resize::Reference)
    }

    fn one(&self, picture: Picture, to: Option<Size>) -> Result<Picture, String> {
        let text = |error: lpips_core::Error| error.to_string();
        let picture = match to {
            Some(to) if (picture.width(), picture.height()) != (to.width, to.height) => {
                picture.resize(to.width, to.height).map_err(text)?
            }
            _ => picture,
        };
        let Some(Crop { size, corner }) = self.crop else { return Ok(picture) };
        let room = [(picture.width(), size.width), (picture.height(), size.height)];
        let middle = room.map(|(all, part)| all.saturating_sub(part) / 2);
        let (left, top) = corner.unwrap_or((middle[0], middle[1]));
        picture.crop(left, top, size.width, size.height).map_err(text)
    }

    /// The tiles of a picture, row by row from the top left. The last of a row and the lowest are moved in, so that all are whole.
    ///
    /// # Errors
    /// A picture smaller than a tile.
    pub fn tiles(&self, picture: &Picture) -> Result<Vec<Picture>, String> {
        let Some(tile) = self.tile else { return Ok(Vec::new()) };
        if picture.width() < tile.width || picture.height() < tile.height {
            return Err(format!(
                "is {}x{} pixels, smaller than a tile of {tile}: choose smaller tiles",
                picture.width(),
                picture.height()
            ));
        }
        let starts = |all: usize, tile: usize| (0..all.div_ceil(tile)).map(move |i| (i * tile).min(all - tile));
        starts(picture.height(), tile.height)
            .flat_map(|top| starts(picture.width(), tile.width).map(move |left| (left, top)))
            .map(|(left, top)| picture.crop(left, top, tile.width, tile.height).map_err(|error| error.to_string()))
            .collect()
    }
}

/// Fine if both have as many pixels each way.
pub(crate) fn same_size(reference: &Picture, candidate: &Picture) -> Result<(), String> {
    let of = |picture: &Picture| (picture.width(), picture.height());
    let ((w, h), (rw, rh)) = (of(candidate), of(reference));
    if (w, h) == (rw, rh) {
        return Ok(());
    }
    Err(format!("is {w}x{h} pixels, but the reference is {rw}x{rh}: give pictures of one size, or --resize reference"))
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
    fn sizes_and_parts_are_read_as_people_write_them() {
        assert_eq!("64".parse(), Ok(Size { width: 64, height: 64 }));
        assert_eq!("640x480".parse(), Ok(Resize::To(Size { width: 640, height: 480 })));
        assert_eq!("reference".parse(), Ok(Resize::Reference));
        let size = Size { width: 3, height: 4 };
        assert_eq!("3x4".parse(), Ok(Crop { size, corner: None }));
        assert_eq!("3x4+5+6".parse(), Ok(Crop { size, corner: Some((5, 6)) }));
        for text in ["", "0x5", "5x", "x", "-3x4", "99999999x1", "a"] {
            assert!(text.parse::<Size>().unwrap_err().to_string().contains("256x256"), "{text}");
        }
        for text in ["3x4+5", "3x4+5+6+7", "3x4+a+6", "+1+2"] {
            assert!(text.parse::<Crop>().unwrap_err().contains("256x256+10+20"), "{text}");
        }
    }

    #[test]
    fn the_part_is_that_of_the_resized_picture() {
        let prepare = Prepare { crop: "4x2".parse().ok(), ..Prepare::default() };
        let [a, b] = prepare.pair(picture(10, 8), picture(10, 8)).unwrap();
        assert_eq!((a.width(), a.height(), corner(&a)), (4, 2, (3, 3)));
        assert_eq!(a, b);
        let prepare = Prepare { crop: "4x2+6+1".parse().ok(), ..prepare };
        assert_eq!(corner(&prepare.alone(picture(10, 8)).unwrap()), (6, 1));
        let error = Prepare { crop: "4x2+7+1".parse().ok(), ..prepare }.alone(picture(10, 8)).unwrap_err();
        assert!(error.contains("10x8"), "{error}");
        let prepare = Prepare { resize: "8x4".parse().ok(), crop: "8x4+0+0".parse().ok(), tile: None };
        assert_eq!(prepare.alone(picture(16, 8)).unwrap().width(), 8);
    }

    #[test]
    fn only_a_resize_makes_sizes_agree() {
        let error = Prepare::default().pair(picture(10, 8), picture(9, 8)).unwrap_err();
        assert!(error.contains("9x8") && error.contains("10x8") && error.contains("--resize"), "{error}");
        let prepare = Prepare { resize: Some(Resize::Reference), ..Prepare::default() };
        let [a, b] = prepare.pair(picture(10, 8), picture(9, 8)).unwrap();
        assert_eq!((b.width(), b.height()), (a.width(), a.height()));
    }

    #[test]
    fn tiles_cover_the_picture_and_are_all_whole() {
        let prepare = Prepare { tile: "4x3".parse().ok(), ..Prepare::default() };
        let tiles = prepare.tiles(&picture(10, 6)).unwrap();
        let corners: Vec<_> = tiles.iter().map(corner).collect();
        assert_eq!(corners, [(0, 0), (4, 0), (6, 0), (0, 3), (4, 3), (6, 3)]);
        assert!(tiles.iter().all(|tile| (tile.width(), tile.height()) == (4, 3)));
        assert!(prepare.tiles(&picture(3, 3)).unwrap_err().contains("4x3"));
    }
}
