//! Seeds of the fuzz corpora: small files of each kind, whole and damaged.

use std::io::{Cursor, Write};

use image::{DynamicImage, ImageFormat, RgbaImage};
use lpips_workspace::here;

/// Named files.
type Seeds = Vec<(String, Vec<u8>)>;

/// The seeds of a target.
pub fn of(target: &str) -> Seeds {
    let seeds = match target {
        "pickle" => pickles(),
        "safetensors" => tensors(),
        "zip" => fixtures(),
        "npy" => numbers(),
        "y4m" => y4m(),
        "ppm" => texts(&[
            ("8-bit", "P6\n2 1\n255\nabcdef"),
            ("16-bit", "P6 1 1 65535\nabcdef"),
            ("two", "P6\n1 1\n255\nabcP6\n1 1\n255\ndef"),
            ("large", "P6\n99999999 99999999\n255\n"),
        ]),
        "lists" => texts(&[
            ("pairs.csv", "reference,candidate,note\na.png,\"b, \"\"c\"\".png\",x\nd.png,e.png,\n"),
            ("plain.csv", "a.png,b.png\nc.png,d.png\n"),
            ("triplets.csv", "ref,p0,p1\na.png,b.png,c.png\n"),
            ("pairs.jsonl", "{\"reference\":\"a.png\",\"candidate\":\"b.png\"}\n\n{\"ref\":\"c\",\"p0\":\"d\"}\n"),
            ("bom.csv", "\u{feff}a,b\r\nx.png,y.png\r\n"),
        ]),
        "judgments" => texts(&[
            ("2afc.csv", "ref,p0,p1,judge\na.png,b.png,c.png,0.6\nd.png,e.png,f.png,1\n"),
            ("2afc.jsonl", "{\"ref\":\"a.png\",\"p0\":\"b.png\",\"p1\":\"c.png\",\"judge\":0.25}\n"),
            ("jnd.csv", "p0,p1,same\na.png,b.png,0.3333\n"),
            ("jnd.jsonl", "{\"p0\":\"a.png\",\"p1\":\"b.png\",\"same\":1}\n"),
        ]),
        "results" => texts(&[
            ("pair.csv", "3,a.png,b.png,0.25,0.125,30.5,\n"),
            ("error.csv", "4,\"a,b.png\",c.png,,,,\"a.png: is damaged\"\n"),
            (
                "pair.jsonl",
                "{\"index\":3,\"reference\":\"a.png\",\"candidate\":\"b.png\",\"distances\":{\"alex\":0.25,\"psnr\":30.5},\
                 \"layers\":{\"alex\":{\"conv1\":0.125}},\"tiles\":{\"alex\":[0.1,0.2]}}\n",
            ),
            (
                "triplet.jsonl",
                "{\"index\":0,\"reference\":\"a\",\"candidate\":\"b\",\"second\":\"c\",\"distances\":{\"alex\":0.5,\"psnr\":1},\
                 \"second_distances\":{\"alex\":0.75,\"psnr\":2}}\n",
            ),
            ("single.jsonl", "{\"index\":1,\"reference\":\"a\",\"candidate\":\"b\",\"distance\":0.5}\n"),
            (
                "error.jsonl",
                "{\"index\":2,\"reference\":\"a\",\"reference_base64\":\"YQ==\",\"candidate\":\"b\",\"error\":\"no\"}\n",
            ),
        ]),
        "http" => texts(&[
            ("get", "GET /x/ HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"),
            ("post", "POST /x/vote?y=1 HTTP/1.1\r\nhost: localhost:1\r\nContent-Length: 12\r\n\r\n{\"answer\":1}"),
            ("chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("two-lengths", "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        ]),
        "tar" => tars(),
        "pictures" => pictures(),
        _ => Vec::new(),
    };
    with_damage(seeds)
}

/// The seeds, and of the first a half and a copy with its middle inverted.
fn with_damage(mut seeds: Seeds) -> Seeds {
    if let Some((_, bytes)) = seeds.first().cloned() {
        seeds.push(("damaged-half".to_string(), bytes[..bytes.len() / 2].to_vec()));
        let mut inverted = bytes.clone();
        let middle = bytes.len() / 3..bytes.len() * 2 / 3;
        inverted[middle].iter_mut().for_each(|byte| *byte = !*byte);
        seeds.push(("damaged-middle".to_string(), inverted));
    }
    seeds.push(("empty".to_string(), Vec::new()));
    seeds
}

fn texts(texts: &[(&str, &str)]) -> Seeds {
    texts.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())).collect()
}

fn fixtures() -> Seeds {
    let folder = here("crates/lpips-models/tests/fixtures");
    let read = |name: &str| (name.to_string(), std::fs::read(folder.join(name)).unwrap());
    ["small.pth", "nested.pth", "protocol4.pth", "turned.pth", "list.pth"].map(read).into()
}

/// The pickles of the fixtures, without their zip files.
fn pickles() -> Seeds {
    let pickle = |(name, bytes): (String, Vec<u8>)| {
        let mut zip = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
        let inside =
            (0..zip.len()).find(|at| zip.by_index(*at).unwrap().name().unwrap().ends_with("data.pkl")).unwrap();
        let mut pickle = Vec::new();
        std::io::copy(&mut zip.by_index(inside).unwrap(), &mut pickle).unwrap();
        (name.replace("pth", "pkl"), pickle)
    };
    fixtures().into_iter().map(pickle).collect()
}

fn tensors() -> Seeds {
    let file = |header: &str, data: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend((0..data).map(|at| at as u8));
        bytes
    };
    let one = r#"{"lin0.weight":{"dtype":"F32","shape":[1,2,1,1],"data_offsets":[0,8]}}"#;
    let more = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[6,8]},"c":{"dtype":"I8","shape":[0],"data_offsets":[8,8]}}"#;
    let twice = r#"{"lin0.model.1.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"lins.0.model.1.weight":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let beyond = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#;
    [("one", one), ("types", more), ("twice", twice), ("beyond", beyond)]
        .map(|(name, header)| (format!("{name}.safetensors"), file(header, 8)))
        .into()
}

fn numbers() -> Seeds {
    let file = |kind: &str, data: &[u8]| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (1,), }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    };
    let mut version2 = b"\x93NUMPY\x02\x00".to_vec();
    version2.extend(file("<f4", &0.5f32.to_le_bytes())[8..10].iter().chain(&[0, 0]));
    version2.extend(&file("<f4", &0.5f32.to_le_bytes())[10..]);
    vec![
        ("f4.npy".to_string(), file("<f4", &0.6f32.to_le_bytes())),
        ("f8.npy".to_string(), file(">f8", &0.6f64.to_be_bytes())),
        ("f2.npy".to_string(), file("<f2", &[0, 0x3c])),
        ("u1.npy".to_string(), file("|u1", &[1])),
        ("i8.npy".to_string(), file("<i8", &1i64.to_le_bytes())),
        ("version2.npy".to_string(), version2),
    ]
}

fn y4m() -> Seeds {
    let video = |name: &str, header: &str, bytes: usize| {
        let mut video = format!("YUV4MPEG2 {header}\n").into_bytes();
        for frame in 0..2u8 {
            video.extend(b"FRAME\n");
            video.extend((0..bytes).map(|at| (at as u8).wrapping_mul(17).wrapping_add(frame)));
        }
        (format!("{name}.y4m"), video)
    };
    vec![
        video("420", "W4 H2 F25:1 Ip A1:1 C420jpeg", 12),
        video("mono", "W3 H3 F30000:1001 Cmono", 9),
        video("444p10", "W2 H2 F24:1 C444p10 XCOLORRANGE=FULL", 24),
        video("422", "W5 H1 F1:1 Ii C422", 11),
        video("411", "W8 H1 F1:1 C411", 12),
        video("huge", "W99999 H99999 F25:1 C444", 1),
    ]
}

fn tars() -> Seeds {
    let entry = |name: &str, kind: tar::EntryType, data: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let archive = |entries: &[Vec<u8>]| [entries.concat(), vec![0; 1024]].concat();
    let file = tar::EntryType::Regular;
    let plain = archive(&[entry("a/", tar::EntryType::Directory, b""), entry("a/b.txt", file, b"hello")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&plain).unwrap();
    vec![
        ("plain.tar".to_string(), plain),
        ("packed.tar.gz".to_string(), gzip.finish().unwrap()),
        ("upward.tar".to_string(), archive(&[entry("../out.txt", file, b"x")])),
        ("absolute.tar".to_string(), archive(&[entry("/tmp/out.txt", file, b"x")])),
        ("link.tar".to_string(), archive(&[entry("link", tar::EntryType::Symlink, b"")])),
        ("twice.tar".to_string(), archive(&[entry("a", file, b"1"), entry("a", file, b"2")])),
        (
            "long.tar".to_string(),
            archive(&[entry("././@LongLink", tar::EntryType::GNULongName, &[b'n'; 300]), entry("n", file, b"1")]),
        ),
    ]
}

/// A picture of 5x4 pixels in each format, with and without transparency.
fn pictures() -> Seeds {
    let pixel =
        |x: u32, y: u32| image::Rgba([(x * 50) as u8, (y * 60) as u8, (x * y * 20) as u8, 255 - (x * 40) as u8]);
    let rgba = DynamicImage::ImageRgba8(RgbaImage::from_fn(5, 4, pixel));
    let encode = |picture: &DynamicImage, format: ImageFormat, name: &str| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        (name.to_string(), bytes.into_inner())
    };
    let rgb = DynamicImage::ImageRgb8(rgba.to_rgb8());
    vec![
        encode(&rgba, ImageFormat::Png, "rgba.png"),
        encode(&DynamicImage::ImageLuma16(rgba.to_luma16()), ImageFormat::Png, "gray16.png"),
        encode(&rgb, ImageFormat::Jpeg, "rgb.jpg"),
        encode(&rgba, ImageFormat::WebP, "rgba.webp"),
        encode(&rgb, ImageFormat::Bmp, "rgb.bmp"),
        encode(&rgb, ImageFormat::Tiff, "rgb.tiff"),
        encode(&rgba, ImageFormat::Gif, "rgba.gif"),
    ]
}
