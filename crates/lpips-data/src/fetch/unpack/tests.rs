use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Header;

use super::*;

/// One entry as it stands in an archive, with any name.
fn entry(kind: EntryType, name: &str, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(data.len() as u64);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    entry(EntryType::Regular, name, data)
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend([0; 1024]);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Unpacks into the folder `into` of a fresh folder.
fn run(bytes: &[u8], largest: u64) -> (tempfile::TempDir, Result<(), Failure>) {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("archive.tar.gz");
    fs::write(&packed, bytes).unwrap();
    let mut read = 0;
    let result = unpack(&packed, &folder.path().join("into"), largest, &AtomicBool::new(false), &mut |now| {
        assert!(now >= read, "progress went back");
        read = now;
    });
    if result.is_ok() {
        assert_eq!(read, bytes.len() as u64, "all of the archive was read");
    }
    (folder, result)
}

fn refusal(result: Result<(), Failure>) -> String {
    match result {
        Err(Failure::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn unpack_restores_files_and_folders_plain_and_gzipped() {
    let long = format!("train/{}/file", "x".repeat(150));
    let bytes = archive(&[
        entry(EntryType::XGlobalHeader, "pax_global_header", b"16 comment=abc\n\n"),
        entry(EntryType::Directory, "./", b""),
        entry(EntryType::Directory, "./train/", b""),
        file("./train/a", &[1; 1000]),
        file("train/without/a/folder/b", &[]),
        entry(EntryType::GNULongName, "././@LongLink", long.as_bytes()),
        file("train/cut short", b"long"),
        entry(EntryType::Regular, "train/old/", b""),
    ]);
    for bytes in [bytes.clone(), gzip(&bytes)] {
        let (folder, result) = run(&bytes, 1 << 20);
        result.unwrap();
        let into = folder.path().join("into");
        assert_eq!(fs::read(into.join("train/a")).unwrap(), [1; 1000]);
        assert_eq!(fs::read(into.join("train/without/a/folder/b")).unwrap(), [0; 0]);
        assert_eq!(fs::read(into.join(&long)).unwrap(), b"long");
        assert!(into.join("train/old").is_dir());
        assert_eq!(names(&into), ["train"]);
    }
}

#[test]
fn unpack_refuses_escaping_paths_and_special_files_by_name() {
    use EntryType as Type;
    for (kind, name, expected) in [
        (Type::Regular, "../escaped", "'..'"),
        (Type::Regular, "train/../../escaped", "'..'"),
        (Type::Directory, "train/..", "'..'"),
        (Type::Regular, "/tmp/escaped", "absolute"),
        (Type::Directory, "/escaped", "absolute"),
        (Type::Regular, "C:escaped", "colon"),
        (Type::Regular, "..\\escaped", "backslash"),
        (Type::Regular, "\\\\server\\escaped", "backslash"),
        (Type::Regular, "train/\u{1b}[2Jescaped", "control character"),
        (Type::Symlink, "train/escaped", "symbolic link"),
        (Type::Link, "train/escaped", "hard link"),
        (Type::Char, "train/escaped", "device"),
        (Type::Block, "train/escaped", "device"),
        (Type::Fifo, "train/escaped", "device"),
        (Type::GNUSparse, "train/escaped", ""),
        (Type::Continuous, "train/escaped", "neither a file nor a folder"),
        (Type::Regular, "./", ""),
        (Type::Regular, "train/first", "twice"),
    ] {
        let bytes = archive(&[file("train/first", b"1"), entry(kind, name, b""), file("train/last", b"3")]);
        for bytes in [gzip(&bytes), bytes] {
            let (folder, result) = run(&bytes, 1 << 20);
            if (kind, name) == (Type::Regular, "./") {
                result.unwrap();
                continue;
            }
            let reason = refusal(result);
            assert!(reason.contains(expected), "{name}: {reason}");
            let printed = name.escape_debug().to_string();
            assert!(kind == Type::GNUSparse || reason.contains(&format!("'{printed}'")), "{name}: {reason}");
            assert_eq!(names(folder.path()), ["archive.tar.gz", "into"], "{name}");
            assert_eq!(names(&folder.path().join("into")), ["train"], "{name}");
            assert_eq!(names(&folder.path().join("into/train")), ["first"], "{name}");
        }
    }
    assert!(!Path::new("/tmp/escaped").exists() && !Path::new("/escaped").exists());
}

#[test]
fn unpack_refuses_empty_and_overlong_names() {
    let (_folder, result) = run(&archive(&[file(".", b"1")]), 1 << 20);
    assert!(refusal(result).contains("without a name"));
    let long = "x/".repeat(5000);
    let bytes = archive(&[entry(EntryType::GNULongName, "././@LongLink", long.as_bytes()), file("x", b"")]);
    let (_folder, result) = run(&bytes, 1 << 20);
    assert!(refusal(result).contains("10000 bytes long"));
    let (_folder, result) = run(
        &archive(&[{
            let mut bytes = file("name", b"");
            bytes[0] = 0xff;
            let sum = bytes[..512]
                .iter()
                .enumerate()
                .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u64::from(*b) });
            let sum = format!("{:06o}\0 ", sum.sum::<u64>());
            bytes[148..156].copy_from_slice(sum.as_bytes());
            bytes
        }]),
        1 << 20,
    );
    assert!(refusal(result).contains("UTF-8"));
}

#[test]
fn unpack_refuses_truncated_and_corrupt_archives() {
    let plain = archive(&[file("train/a", &[1; 5000]), file("train/b", &[2; 5000])]);
    let packed = gzip(&plain);
    // Without the last bytes of the checksum, of the contents, and of the header.
    for end in [packed.len() - 1, packed.len() / 2, 5] {
        let (_folder, result) = run(&packed[..end], 1 << 20);
        assert!(refusal(result).contains("is damaged"), "{end}");
    }
    let mut changed = packed.clone();
    let checksum = changed.len() - 8;
    changed[checksum] ^= 1;
    let (_folder, result) = run(&changed, 1 << 20);
    assert!(refusal(result).contains("is damaged"));
    let (_folder, result) = run(&plain[..3000], 1 << 20);
    let reason = refusal(result);
    assert!(reason.contains("ends in the middle of 'train/a'"), "{reason}");
    let (_folder, result) = run(&[b'<'; 2000], 1 << 20);
    assert!(refusal(result).contains("is damaged"));
}

#[test]
fn unpack_refuses_decompression_bombs() {
    // Many files, each of a fair size.
    let entries: Vec<_> = (0..100).map(|n| file(&format!("train/{n}"), &vec![0; 1 << 20])).collect();
    let packed = gzip(&archive(&entries));
    assert!(packed.len() < 1 << 20);
    let (folder, result) = run(&packed, 5 << 20);
    let reason = refusal(result);
    assert!(reason.contains("more than the 5242880 bytes"), "{reason}");
    assert!(names(&folder.path().join("into/train")).len() <= 5);

    // One large file: refused by what its header says, before anything is written.
    let mut large = file("train/large", b"");
    let mut header = Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&large[..512]);
    header.set_size(1 << 40);
    header.set_cksum();
    large[..512].copy_from_slice(header.as_bytes());
    let (folder, result) = run(&large, 1 << 50);
    let reason = refusal(result);
    assert!(reason.contains("'train/large'") && reason.contains("1099511627776 bytes"), "{reason}");
    assert!(names(&folder.path().join("into")).is_empty());

    // A name that would fill the memory.
    let name = entry(EntryType::GNULongName, "././@LongLink", &vec![b'x'; (2 * LARGEST_ENTRY) as usize]);
    let packed = gzip(&archive(&[file("train/first", b""), name, file("x", b"")]));
    let (_folder, result) = run(&packed, 1 << 30);
    let reason = refusal(result);
    assert!(reason.contains("more comes out"), "{reason}");
}

#[test]
fn unpack_stops_between_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("archive.tar.gz");
    fs::write(&packed, archive(&[file("a", b"1"), file("b", b"2")])).unwrap();
    let stop = AtomicBool::new(false);
    let result =
        unpack(&packed, &folder.path().join("into"), 1 << 20, &stop, &mut |_| stop.store(true, Ordering::Relaxed));
    assert!(matches!(result, Err(Failure::Stopped)), "{result:?}");
    assert_eq!(names(&folder.path().join("into")), ["a"]);
}
