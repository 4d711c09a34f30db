//! Reading and writing of picture files in all formats.
#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

use std::path::PathBuf;

use candle_core::Device;
use image::{DynamicImage, ExtendedColorType, ImageFormat, Rgb, Rgba, RgbaImage};
use lpips_core::Picture;
use lpips_core::image::Decoder;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn save(&self, name: &str, image: &DynamicImage) -> PathBuf {
        let path = self.path(name);
        image.save(&path).unwrap();
        path
    }
}

/// 5 wide, 3 high, every pixel another colour.
fn colours() -> DynamicImage {
    let pixel = |x: u32, y: u32| Rgb([(x * 50) as u8, (y * 100) as u8, (255 - x * 20 - y * 30) as u8]);
    DynamicImage::ImageRgb8(image::RgbImage::from_fn(5, 3, pixel))
}

fn rgb(picture: &Picture) -> Vec<u8> {
    picture.to_rgb8().into_owned()
}

#[test]
fn lossless_formats_roundtrip_every_pixel() {
    let folder = Folder::new();
    for name in ["a.png", "a.bmp", "a.tiff", "a.webp", "a.gif"] {
        let picture = Picture::open(folder.save(name, &colours())).unwrap();
        assert_eq!((picture.width(), picture.height()), (5, 3), "{name}");
        assert_eq!(rgb(&picture), colours().into_rgb8().into_raw(), "{name}");
    }
}

#[test]
fn format_is_recognised_by_content_not_by_name() {
    let folder = Folder::new();
    let path = folder.path("really-a-png.jpg");
    colours().save_with_format(&path, ImageFormat::Png).unwrap();
    assert_eq!(rgb(&Picture::open(path).unwrap()), colours().into_rgb8().into_raw());
}

#[test]
fn jpeg_pixels_are_close() {
    let folder = Folder::new();
    let gray = DynamicImage::ImageRgb8(image::RgbImage::from_pixel(16, 16, Rgb([120, 130, 140])));
    let picture = Picture::open(folder.save("a.jpg", &gray)).unwrap();
    assert!(
        rgb(&picture).as_chunks::<3>().0.iter().all(|p| p.iter().zip([120, 130, 140]).all(|(a, b)| a.abs_diff(b) < 4))
    );
}

#[test]
fn gray_decodes_to_three_equal_channels() {
    let folder = Folder::new();
    let gray = DynamicImage::ImageLuma8(image::GrayImage::from_fn(3, 1, |x, _| image::Luma([x as u8 * 100])));
    assert_eq!(rgb(&Picture::open(folder.save("gray.png", &gray)).unwrap()), [0, 0, 0, 100, 100, 100, 200, 200, 200]);
}

#[test]
fn palette_png_decodes_to_rgb() {
    let folder = Folder::new();
    let path = folder.path("palette.png");
    let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 4, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![10, 20, 30, 40, 50, 60, 70, 80, 90]);
    encoder.write_header().unwrap().write_image_data(&[0b00_01_10_00]).unwrap();
    assert_eq!(rgb(&Picture::open(path).unwrap()), [10, 20, 30, 40, 50, 60, 70, 80, 90, 10, 20, 30]);
}

#[test]
fn transparent_pixels_show_the_background() {
    let folder = Folder::new();
    let mut image = RgbaImage::new(3, 1);
    image.put_pixel(0, 0, Rgba([10, 20, 30, 255]));
    image.put_pixel(1, 0, Rgba([10, 20, 30, 0]));
    image.put_pixel(2, 0, Rgba([100, 100, 100, 128]));
    let eight = folder.save("alpha.png", &DynamicImage::ImageRgba8(image.clone()));
    let sixteen = folder.save("alpha16.png", &DynamicImage::ImageRgba16(DynamicImage::ImageRgba8(image).into_rgba16()));
    for path in [&eight, &sixteen] {
        assert_eq!(rgb(&Picture::open(path).unwrap()), [10, 20, 30, 255, 255, 255, 177, 177, 177]);
        let black = Decoder::default().background([0, 0, 0]);
        assert_eq!(rgb(&black.open(path).unwrap()), [10, 20, 30, 0, 0, 0, 50, 50, 50]);
    }
}

#[test]
fn sixteen_bit_pictures_keep_their_precision() {
    let folder = Folder::new();
    for name in ["deep.png", "deep.tiff"] {
        let image = image::ImageBuffer::from_fn(3, 1, |x, _| Rgb([x as u16 * 32767, 1, 65535]));
        let picture = Picture::open(folder.save(name, &DynamicImage::ImageRgb16(image))).unwrap();
        let values = picture.to_tensor(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let low = 1.0 / 32767.5 - 1.0;
        let expected = [-1.0, 32767.0 / 32767.5 - 1.0, 65534.0 / 32767.5 - 1.0, low, low, low, 1.0, 1.0, 1.0];
        for (a, b) in values.iter().zip(expected) {
            assert!((a - b).abs() < 1e-7, "{values:?}");
        }
    }
}

#[test]
fn eight_bit_tensor_equals_published_package() {
    let picture = Picture::from_rgb8(2, 1, vec![0, 1, 2, 253, 254, 255]).unwrap();
    let values = picture.to_tensor(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let expected: Vec<f32> = [0, 253, 1, 254, 2, 255].map(|v| v as f32 / 127.5 - 1.0).to_vec();
    assert_eq!(values, expected);
}

#[test]
fn animation_decodes_to_first_frame() {
    let folder = Folder::new();
    let path = folder.path("two.gif");
    let frame = |colour| image::Frame::new(RgbaImage::from_pixel(4, 4, Rgba(colour)));
    let mut encoder = image::codecs::gif::GifEncoder::new(std::fs::File::create(&path).unwrap());
    encoder.encode_frames([frame([255, 0, 0, 255]), frame([0, 255, 0, 255])]).unwrap();
    drop(encoder);
    assert_eq!(rgb(&Picture::open(path).unwrap())[..3], [255, 0, 0]);
}

#[test]
fn exif_orientation_is_applied() {
    let folder = Folder::new();
    let mut upright = Vec::new();
    let wide = DynamicImage::ImageRgb8(image::RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 250 } else { 5 }; 3])));
    wide.write_to(&mut std::io::Cursor::new(&mut upright), ImageFormat::Jpeg).unwrap();
    for (orientation, size, top_left) in [(1u8, (32, 16), 250), (3, (32, 16), 5), (6, (16, 32), 250), (8, (16, 32), 5)]
    {
        // An APP1 segment with one entry: tag 0x0112, type SHORT, count 1, value.
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let length = (exif.len() as u16 + 2).to_be_bytes();
        let turned = [&upright[..2], &[0xff, 0xe1], &length[..], &exif, &upright[2..]].concat();
        let path = folder.path("turned.jpg");
        std::fs::write(&path, turned).unwrap();
        let picture = Picture::open(path).unwrap();
        assert_eq!((picture.width(), picture.height()), size, "orientation {orientation}");
        assert!(rgb(&picture)[0].abs_diff(top_left) < 20, "orientation {orientation}");
    }
}

#[test]
fn too_many_pixels_are_refused_before_decoding() {
    let folder = Folder::new();
    let path = folder.save("a.png", &colours());
    let small = Decoder::default().max_pixels(14);
    let error = small.open(&path).unwrap_err().to_string();
    assert!(error.contains("5x3") && error.contains("limit of 14"), "{error}");
    assert!(Decoder::default().max_pixels(15).open(&path).is_ok());

    // A header that claims four billion pixels, and nothing behind it.
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::write_image(encoder, &[0; 3], 1, 1, ExtendedColorType::Rgb8).unwrap();
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let crc = crc32fast::hash(&bytes[12..29]).to_be_bytes();
    bytes[29..33].copy_from_slice(&crc);
    let path = folder.path("bomb.png");
    std::fs::write(&path, bytes).unwrap();
    let error = Picture::open(&path).unwrap_err().to_string();
    assert!(error.contains("65536x65536"), "{error}");
}

#[test]
fn damaged_files_give_one_sentence() {
    let folder = Folder::new();
    for name in ["a.png", "a.bmp", "a.tiff", "a.webp", "a.gif", "a.jpg"] {
        let complete = Picture::open(folder.save(name, &colours())).unwrap();
        let whole = std::fs::read(folder.path(name)).unwrap();
        for cut in (0..whole.len()).step_by(whole.len().div_ceil(25)) {
            let path = folder.path(name);
            std::fs::write(&path, &whole[..cut]).unwrap();
            match Picture::open(&path) {
                // Where only what follows the last pixel is missing.
                Ok(picture) => assert_eq!(picture, complete, "{name} cut at {cut} of {}", whole.len()),
                Err(error) => {
                    let error = error.to_string();
                    assert!(error.contains(name) && error.lines().count() == 1, "{error}");
                }
            }
        }
    }
}

#[test]
fn truncated_jpeg_is_refused_and_trailing_bytes_are_not() {
    let folder = Folder::new();
    let waves = image::RgbImage::from_fn(90, 70, |x, y| Rgb([(x * y % 251) as u8, (x * 3) as u8, (y * 3) as u8]));
    let path = folder.save("waves.jpg", &DynamicImage::ImageRgb8(waves));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"a camera's own notes"].concat()).unwrap();
    assert!(Picture::open(&path).is_ok());
    for cut in [whole.len() / 2, whole.len() - 100, whole.len() - 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(Picture::open(&path).unwrap_err().to_string().contains("cut short"), "{cut} of {}", whole.len());
    }
}

#[test]
fn resize_equals_pillow_bilinear() {
    // Pillow 12: Image.fromarray(uint8).resize((w, h), Image.BILINEAR).
    let ramp = |width: usize, height: usize| -> Vec<u8> {
        (0..height * width).flat_map(|i| [(i * 37 % 256) as u8, (i * 91 % 256) as u8, (i * 151 % 256) as u8]).collect()
    };
    let picture = Picture::from_rgb8(7, 5, ramp(7, 5)).unwrap();
    for (size, expected) in include!("fixtures/pillow_bilinear.in") {
        let resized = picture.resize(size.0, size.1).unwrap();
        assert_eq!((resized.width(), resized.height()), size);
        let ours = rgb(&resized);
        assert_eq!(ours.len(), expected.len());
        assert!(ours.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 1), "{size:?}: {ours:?}");
    }
    assert!(picture.resize(0, 4).is_err());
}

#[test]
fn save_png_is_atomic_and_constructors_check_lengths() {
    let folder = Folder::new();
    let picture = Picture::from_rgb8(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
    let path = folder.path("out.png");
    picture.save_png(&path).unwrap();
    assert_eq!(Picture::open(&path).unwrap(), picture);
    assert!(picture.save_png(folder.path("absent/out.png")).is_err());
    assert!(picture.save_png(folder.0.path()).is_err());
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1, "nothing else is left behind");
    assert!(Picture::from_rgb8(2, 1, vec![0; 5]).is_err());
    assert!(Picture::from_rgb8(0, 1, vec![]).is_err());
    let deep = Picture::from_rgb16(2, 1, vec![0, 257, 514, 65535, 32768, 1]).unwrap();
    assert_eq!(*deep.to_rgb8(), [0, 1, 2, 255, 128, 0]);
    let error = Picture::from_rgb16(2, 1, vec![0; 5]).unwrap_err().to_string();
    assert!(error.contains("5 values make no RGB picture of 2x1 pixels"), "{error}");
}

#[test]
fn picture_tensor_roundtrip() {
    let rgb = (0..=255u8).chain([7, 8]).collect();
    let picture = Picture::from_rgb8(43, 2, rgb).unwrap();
    assert_eq!(Picture::from_tensor(&picture.to_tensor(&Device::Cpu).unwrap()).unwrap(), picture);
}
