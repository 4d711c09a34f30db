//! Whole downloads from a server on the loopback interface.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::npy;
use crate::rng::{Rng, Stream};

/// Behaviour of the server on one request.
#[derive(Debug, Clone, Copy)]
enum Act {
    Serve,
    /// Sends this many bytes and hangs up.
    Cut(usize),
    /// Sends this many bytes and then nothing, holding the connection.
    Stall(usize),
    /// Sends everything whatever range was asked for.
    IgnoreRange,
    Status(u16),
}

/// Requests that a server received, in lower case.
type Requests = Arc<Mutex<Vec<String>>>;

/// Serves files under `/set/` with an entity tag; each request takes the next act, and later ones the last.
fn server(files: Vec<(&'static str, Vec<u8>)>, tag: &'static str, acts: &'static [Act]) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/set", listener.local_addr().unwrap());
    let requests = Requests::default();
    let seen = requests.clone();
    thread::spawn(move || {
        for (turn, stream) in listener.incoming().take(50).enumerate() {
            let _ = answer(stream.unwrap(), &files, tag, acts[turn.min(acts.len() - 1)], &seen);
        }
    });
    (address, requests)
}

fn answer(
    mut stream: TcpStream,
    files: &[(&str, Vec<u8>)],
    tag: &str,
    act: Act,
    seen: &Requests,
) -> std::io::Result<()> {
    let mut head = String::new();
    let mut lines = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let head = head.to_lowercase();
    let after = |name: &str| head.split(&format!("\r\n{name}: ")).nth(1)?.split("\r\n").next();
    let path = head.split(' ').nth(1).unwrap();
    let body = files.iter().find(|(name, _)| path == format!("/set/{name}")).map(|(_, body)| &body[..]);
    let body = body.filter(|_| !matches!(act, Act::Status(_)));
    let from = after("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let same = after("if-range").is_none_or(|wanted| wanted == tag);
    let from = from.filter(|_| same && !matches!(act, Act::IgnoreRange));
    seen.lock().unwrap().push(head.clone());
    let (status, rest) = match (body, from) {
        (None, _) => {
            let code = if let Act::Status(code) = act { code } else { 404 };
            (format!("{code} No"), &[][..])
        }
        (Some(body), None) => ("200 OK".to_string(), body),
        (Some(body), Some(from)) => {
            let (last, total) = (body.len() - 1, body.len());
            (format!("206 Partial Content\r\nContent-Range: bytes {from}-{last}/{total}"), &body[from..])
        }
    };
    let length = rest.len();
    write!(stream, "HTTP/1.1 {status}\r\nETag: {tag}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    match act {
        Act::Cut(count) => stream.write_all(&rest[..count.min(length)]),
        Act::Stall(count) => {
            stream.write_all(&rest[..count.min(length)])?;
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(20));
                drop(stream);
            });
            Ok(())
        }
        _ => stream.write_all(rest),
    }
}

/// An archive of some triplets (or, without `ref`, pairs) in each of two folders.
fn packed(parent: &str, columns: [&str; 4], count: u32) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut rng = Rng::new(0, Stream::Samples, (0, 0));
    for folder in ["traditional", "cnn"] {
        for column in columns.into_iter().filter(|column| !column.is_empty()) {
            for n in 0..count {
                let is_judgment = column == "judge" || column == "same";
                let (ending, data) = if is_judgment {
                    ("npy", npy::of_number(0.5))
                } else {
                    // No compression makes this small, as none does of pictures.
                    ("png", (0..250).flat_map(|_| rng.bits().to_le_bytes()).collect())
                };
                let mut header = tar::Header::new_gnu();
                header.set_size(data.len() as u64);
                header.set_mode(0o644);
                header.set_cksum();
                let name = format!("{parent}/{folder}/{column}/{n:06}.{ending}");
                tar.append_data(&mut header, name, &data[..]).unwrap();
            }
        }
    }
    tar.into_inner().unwrap().finish().unwrap()
}

const TRIPLETS: [&str; 4] = ["ref", "p0", "p1", "judge"];

/// The published parts with archives of a few kilobytes.
fn parts() -> [(Part, Vec<u8>); 3] {
    let archives =
        [packed("train", TRIPLETS, 9), packed("val", TRIPLETS, 4), packed("jnd/val", ["", "p0", "p1", "same"], 3)];
    let mut parts = PARTS.into_iter().zip(archives).map(|(mut part, bytes)| {
        (part.bytes, part.files) = (bytes.len() as u64, 0);
        (part, bytes)
    });
    std::array::from_fn(|_| parts.next().unwrap())
}

/// A fetch of the part 2afc-val alone.
fn fetch_val(root: &Path, base: &str) -> (Fetch, Vec<u8>) {
    let [_, (part, bytes), _] = parts();
    let mut fetch = Fetch::new(root);
    (fetch.base, fetch.parts) = (base.to_string(), vec![part]);
    (fetch.stall, fetch.pause) = (Duration::from_millis(300), Duration::from_millis(10));
    (fetch, bytes)
}

fn serve_val(bytes: Vec<u8>, acts: &'static [Act]) -> (String, Requests) {
    server(vec![("twoafc_val.tar.gz", bytes)], "\"one\"", acts)
}

fn run(fetch: &Fetch) -> Result<Outcome> {
    fetch.run(&AtomicBool::new(false), &mut |_, _| {})
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn fetch_downloads_all_parts_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new/bapps");
    let parts = parts();
    let served = parts.iter().map(|(part, bytes)| (part.archive, bytes.clone())).collect();
    let (base, requests) = server(served, "\"one\"", &[Act::Serve]);
    let mut fetch = Fetch::new(&root);
    // A slash at the end is no part of a name.
    (fetch.base, fetch.parts) = (format!("{base}/"), parts.iter().map(|(part, _)| *part).collect());
    let mut steps = Vec::new();
    fetch.run(&AtomicBool::new(false), &mut |part, step| steps.push((part.name, step))).unwrap();
    for (part, bytes) in &parts {
        let size = bytes.len() as u64;
        assert!(steps.contains(&(part.name, Step::Downloading(size, Some(size)))));
        assert!(steps.contains(&(part.name, Step::Unpacking(size, size))));
    }
    assert_eq!(names(&root), [".fetching", "2afc", "jnd"]);
    for ((part, _), count) in parts.iter().zip([9, 4, 3]) {
        let (counts, problems) = fetch.count(part).unwrap();
        let place = |name: &str| root.join(part.folder).join(name).display().to_string();
        assert_eq!(counts, [(place("cnn"), count), (place("traditional"), count)]);
        assert_eq!(problems, []);
    }

    steps.clear();
    assert_eq!(requests.lock().unwrap().len(), 3);
    let again = fetch.run_with(&|_| Ok(0), &AtomicBool::new(false), &mut |part, step| steps.push((part.name, step)));
    assert_eq!(again.unwrap(), Outcome::Complete, "what is there needs no space");
    assert_eq!(steps, PARTS.map(|part| (part.name, Step::Skipped)));
    assert_eq!(requests.lock().unwrap().len(), 3);
}

#[test]
fn fetch_survives_cuts_stalls_and_ignored_ranges() {
    for acts in [
        &[Act::Cut(5000), Act::Cut(3000), Act::Serve][..],
        &[Act::Stall(5000), Act::Serve],
        &[Act::Cut(5000), Act::IgnoreRange],
        &[Act::Status(503), Act::Serve],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (mut fetch, bytes) = fetch_val(folder.path(), "");
        fetch.keep_archives = true;
        let (base, requests) = serve_val(bytes.clone(), acts);
        fetch.base = base;
        run(&fetch).unwrap_or_else(|error| panic!("{acts:?}: {error}"));
        assert_eq!(names(folder.path()), [".fetching", "2afc", "twoafc_val.tar.gz"], "{acts:?}");
        assert!(fs::read(folder.path().join("twoafc_val.tar.gz")).unwrap() == bytes, "{acts:?}");
        if let Act::Cut(_) = acts[0] {
            let second = &requests.lock().unwrap()[1];
            assert!(second.contains("range: bytes=5000-") && second.contains("if-range: \"one\""), "{second}");
        }
    }
}

#[test]
fn fetch_resumes_a_download_unless_the_archive_changed() {
    for changed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut fetch, bytes) = fetch_val(folder.path(), "");
        (fetch.base, _) = serve_val(bytes.clone(), &[Act::Cut(5000), Act::Cut(0)]);
        let error = run(&fetch).unwrap_err().to_string();
        assert!(error.contains("tried 4 times") && error.contains("the same command resumes"), "{error}");
        assert!(!folder.path().join("2afc").exists());

        let body = if changed { packed("val", TRIPLETS, 5) } else { bytes };
        let tag = if changed { "\"two\"" } else { "\"one\"" };
        let (base, requests) = server(vec![("twoafc_val.tar.gz", body)], tag, &[Act::Serve]);
        fetch.base = base;
        run(&fetch).unwrap();
        assert!(requests.lock().unwrap()[0].contains("range: bytes=5000-"));
        let (counts, problems) = fetch.count(&fetch.parts[0]).unwrap();
        assert_eq!((counts[0].1, problems.len()), (if changed { 5 } else { 4 }, 0));
        assert_eq!(names(folder.path()), [".fetching", "2afc"]);
    }
}

#[test]
fn fetch_failure_gives_reason_and_leaves_no_final_name() {
    for (acts, expected) in [
        (&[Act::Status(404)][..], "404"),
        (&[Act::Status(403)], "access was refused (403"),
        (&[Act::Stall(0)], "tried 4 times"),
        (&[Act::Stall(5000), Act::Stall(0)], "the same command resumes"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (mut fetch, bytes) = fetch_val(folder.path(), "");
        (fetch.base, _) = serve_val(bytes, acts);
        let error = run(&fetch).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("/set/twoafc_val.tar.gz"), "{acts:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!folder.path().join("2afc").exists() && !folder.path().join("twoafc_val.tar.gz").exists());
    }
}

#[test]
fn fetch_deletes_a_refused_archive_unless_user_supplied() {
    let good = parts()[1].1.clone();
    let mut escaping = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..10].copy_from_slice(b"../escaped");
    header.set_size(0);
    header.set_cksum();
    escaping.append(&header, std::io::empty()).unwrap();
    for (bytes, expected) in [
        (escaping.into_inner().unwrap(), "'../escaped'"),
        (good[..good.len() / 2].to_vec(), "is damaged"),
        (packed("train", TRIPLETS, 4), "2afc/val"),
        (packed("val/more/folders", TRIPLETS, 4), "2afc/val"),
        (b"<html>".repeat(100), "is damaged"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let (mut fetch, _) = fetch_val(&root, "");
        (fetch.base, _) = serve_val(bytes.clone(), &[Act::Serve]);
        for keep_archives in [false, true] {
            fetch.keep_archives = keep_archives;
            let error = run(&fetch).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("it was deleted"), "{error}");
            assert_eq!(names(&root), [".fetching"], "{error}");
            assert_eq!(names(folder.path()), ["root"], "{error}");
        }

        // The same from the user is named and stays.
        let own = root.join("twoafc_val.tar.gz");
        fs::write(&own, &bytes).unwrap();
        let error = run(&fetch).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(&own.display().to_string()), "{error}");
        assert!(error.contains("nothing of it was used") && !error.contains("it was deleted"), "{error}");
        assert_eq!(names(&root), [".fetching", "twoafc_val.tar.gz"], "{error}");
        assert!(fs::read(&own).unwrap() == bytes);
    }

    // Far larger than the archive that is known.
    let folder = tempfile::tempdir().unwrap();
    let (mut fetch, bytes) = fetch_val(folder.path(), "");
    fetch.parts[0].bytes = bytes.len() as u64 / 4;
    (fetch.base, _) = serve_val(bytes, &[Act::Serve]);
    let error = run(&fetch).unwrap_err().to_string();
    assert!(error.contains("expected at most"), "{error}");
}

#[test]
fn fetch_keeps_user_supplied_archive() {
    for keep_archives in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut fetch, bytes) = fetch_val(folder.path(), "");
        let (base, requests) = serve_val(bytes.clone(), &[Act::Serve]);
        (fetch.base, fetch.keep_archives) = (base, keep_archives);
        let own = folder.path().join("twoafc_val.tar.gz");
        fs::write(&own, &bytes).unwrap();
        // An earlier download of the same is not needed any more.
        fs::write(folder.path().join("twoafc_val.tar.gz.fetched"), "older").unwrap();
        for _ in 0..2 {
            assert_eq!(run(&fetch).unwrap(), Outcome::Complete);
            assert_eq!(names(folder.path()), [".fetching", "2afc", "twoafc_val.tar.gz"]);
            assert!(fs::read(&own).unwrap() == bytes);
        }
        assert!(requests.lock().unwrap().is_empty());
    }
}

#[test]
fn fetch_finishes_after_a_kill_before_cleanup() {
    for (keep_archives, left) in
        [(false, &[".fetching", "2afc"][..]), (true, &[".fetching", "2afc", "twoafc_val.tar.gz"])]
    {
        let folder = tempfile::tempdir().unwrap();
        let (mut fetch, _) = fetch_val(folder.path(), "http://127.0.0.1:9/set");
        fetch.keep_archives = keep_archives;
        fs::create_dir_all(folder.path().join("2afc/val")).unwrap();
        fs::write(folder.path().join("twoafc_val.tar.gz.fetched"), "all of it").unwrap();
        run(&fetch).unwrap();
        assert_eq!(names(folder.path()), left);
    }
}

#[test]
fn fetch_checks_free_space_before_any_request() {
    let folder = tempfile::tempdir().unwrap();
    let (base, requests) = serve_val(Vec::new(), &[Act::Serve]);
    let mut fetch = Fetch::new(folder.path());
    fetch.base = base;
    let stop = AtomicBool::new(false);
    let fails = |fetch: &Fetch, free: u64| {
        let error = fetch.run_with(&|_| Ok(free), &stop, &mut |_, _| {}).unwrap_err().to_string();
        error.contains("are free").then_some(error)
    };
    let error = fails(&fetch, 3_200_000_000).unwrap();
    for part in ["3.2 GB are free", "2afc-train, 2afc-val, jnd need about 15.3 GB", "6.1 GB", "make room"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(requests.lock().unwrap().is_empty());
    // Half a gigabyte for the pictures and their archive, and what is here of the archive already needs no more.
    fetch.parts.retain(|part| part.name == "jnd");
    assert!(fails(&fetch, 500_000_000).is_some());
    assert!(fails(&fetch, 600_000_000).is_none(), "the space suffices, and the server does not have the archive");
    for name in ["jnd.tar.gz.part", "jnd.tar.gz.fetched", "jnd.tar.gz"] {
        let here = fs::File::create(folder.path().join(name)).unwrap();
        here.set_len(200_000_000).unwrap();
        assert!(fails(&fetch, 300_000_000).is_some(), "{name}");
        // It fails all the same, for what is here is no archive.
        assert!(fails(&fetch, 500_000_000).is_none(), "{name}");
    }
}

#[test]
fn fetch_restarts_an_interrupted_unpacking() {
    let folder = tempfile::tempdir().unwrap();
    let (mut fetch, bytes) = fetch_val(folder.path(), "");
    let (base, requests) = serve_val(bytes, &[Act::Serve]);
    fetch.base = base;
    let stop = AtomicBool::new(false);
    let ended = fetch.run(&stop, &mut |_, step| {
        stop.store(matches!(step, Step::Unpacking(..)), Ordering::Relaxed);
    });
    assert_eq!(ended.unwrap(), Outcome::Stopped);
    let unfinished = folder.path().join(".unpacking-2afc-val");
    assert!(!folder.path().join("2afc").exists() && unfinished.is_dir());
    assert!(names(folder.path()).contains(&"twoafc_val.tar.gz.fetched".to_string()));
    // Where the power went, a file may be cut short.
    fs::create_dir_all(unfinished.join("val/cnn/ref")).unwrap();
    fs::write(unfinished.join("val/cnn/ref/half.png"), b"half").unwrap();
    assert_eq!(run(&fetch).unwrap(), Outcome::Complete);
    assert_eq!(names(folder.path()), [".fetching", "2afc"]);
    assert_eq!(fetch.count(&fetch.parts[0]).unwrap().1, []);
    assert_eq!(requests.lock().unwrap().len(), 1, "the archive was here");
}

#[test]
fn fetch_resumes_a_stopped_download() {
    let folder = tempfile::tempdir().unwrap();
    let (mut fetch, bytes) = fetch_val(folder.path(), "");
    let (base, requests) = serve_val(bytes, &[Act::Serve]);
    fetch.base = base;
    let (stop, mut begun) = (AtomicBool::new(false), 0);
    let ended = fetch.run(&stop, &mut |_, step| {
        if let Step::Downloading(position @ 1.., _) = step {
            begun = position;
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(ended.unwrap(), Outcome::Stopped);
    assert!(begun > 0 && !folder.path().join("2afc").exists());
    assert_eq!(run(&fetch).unwrap(), Outcome::Complete);
    let requests = requests.lock().unwrap();
    assert!(requests[1].contains(&format!("range: bytes={begun}-")), "{}", requests[1]);
}

#[test]
fn fetch_refuses_plain_http_to_other_machines() {
    let folder = tempfile::tempdir().unwrap();
    for base in ["http://example.org/set", "ftp://example.org", "example.org", ""] {
        let (fetch, _) = fetch_val(&folder.path().join("root"), base);
        let error = run(&fetch).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("https://"), "{error}");
    }
    assert!(names(folder.path()).is_empty());
    assert!(is_secure(BASE));
}

#[test]
fn fetch_into_a_locked_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut fetch, bytes) = fetch_val(folder.path(), "");
    (fetch.base, _) = serve_val(bytes, &[Act::Serve]);
    let second = fetch.clone();
    let mut refused = None;
    fetch.run(&AtomicBool::new(false), &mut |_, _| refused = Some(run(&second).unwrap_err().to_string())).unwrap();
    let refused = refused.unwrap();
    assert!(refused.contains("fetched into already"), "{refused}");
}

#[test]
fn fetch_count_reports_pairs_without_twins() {
    let folder = tempfile::tempdir().unwrap();
    let mut fetch = Fetch::new(folder.path());
    fetch.parts.retain(|part| part.name == "jnd");
    let vote = npy::of_number(1.0);
    for (column, count, file, bytes) in [("p0", 3, "png", &[][..]), ("p1", 3, "png", &[]), ("same", 2, "npy", &vote)] {
        let column = folder.path().join("jnd/val/cnn").join(column);
        fs::create_dir_all(&column).unwrap();
        (0..count).for_each(|n| fs::write(column.join(format!("{n}.{file}")), bytes).unwrap());
    }
    let (counts, problems) = fetch.count(&fetch.parts[0]).unwrap();
    assert_eq!(counts[0].1, 2);
    assert!(problems.len() == 1 && problems[0].path.ends_with("cnn/p0/2.png"), "{problems:?}");
}
