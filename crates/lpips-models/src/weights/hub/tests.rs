//! Downloads from a misbehaving hub on the loopback interface.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::transfer::bad_server::{Act, COMMIT, server};

const FILE: HubFile = HubFile { repo: "owner/name", revision: "main", file: "folder/weights.bin" };

fn hub(endpoint: &str, cache: &Path) -> Hub {
    Hub {
        endpoint: Some(endpoint.to_string()),
        cache: cache.to_path_buf(),
        token: Some("secret".to_string()),
        offline: false,
        stall: Duration::from_millis(300),
        pause: Duration::from_millis(10),
        progress: None,
    }
}

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect()
}

/// Accepts nothing but `content()`.
fn accept(path: &Path) -> Result<()> {
    if fs::read(path).unwrap() == content() { Ok(()) } else { Err(Error::file(path, "is not what was wanted")) }
}

fn leftovers(cache: &Path) -> Vec<String> {
    let blobs = cache.join("models--owner--name").join("blobs");
    let entries = fs::read_dir(blobs).map(|dir| dir.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let mut names: Vec<_> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.len() != 64);
    names
}

#[test]
fn hub_download_is_whole_for_any_server_behaviour() {
    const CASES: &[&[Act]] = &[
        &[Act::Serve],
        &[Act::Cut(100_000), Act::Cut(500_000), Act::Serve],
        &[Act::Stall(100_000), Act::Serve],
        &[Act::Cut(100_000), Act::IgnoreRange],
        &[Act::Cut(100_000), Act::WrongRange, Act::Serve],
        &[Act::Status(503), Act::Cut(0), Act::Serve],
        &[Act::Cut(700), Act::Status(429), Act::Status(500), Act::Serve],
        &[Act::Redirect, Act::Serve],
        &[Act::Redirect, Act::Cut(9), Act::Redirect, Act::Serve],
    ];
    for &acts in CASES {
        let folder = tempfile::tempdir().unwrap();
        let (endpoint, _) = server(content(), acts);
        let hub = hub(&endpoint, folder.path());
        let (path, ()) = hub.download(&FILE, accept).unwrap_or_else(|error| panic!("{acts:?}: {error}"));
        let snapshot = folder.path().join("models--owner--name/snapshots").join(COMMIT).join(FILE.file);
        assert_eq!(path, snapshot, "{acts:?}");
        accept(&path).unwrap();
        assert_eq!(hub.cached(&FILE), Some(path), "{acts:?}");
        assert!(leftovers(folder.path()).is_empty(), "{acts:?}: {:?}", leftovers(folder.path()));
    }
}

#[test]
fn hub_download_resumes_after_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, requests) = server(content(), &[Act::Cut(100_000), Act::Serve]);
    hub(&endpoint, folder.path()).download(&FILE, accept).unwrap();
    let requests = requests.lock().unwrap();
    assert_eq!(requests[0].0, "/owner/name/resolve/main/folder/weights.bin");
    assert!(!requests[0].1.contains("range:"));
    assert!(requests[1].1.contains("range: bytes=100000-"), "{}", requests[1].1);
}

#[test]
fn hub_download_resumes_a_part_and_detects_foreign_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, _) = server(content(), &[Act::Cut(100_000), Act::Cut(0)]);
    let error = hub(&endpoint, folder.path()).download(&FILE, accept).unwrap_err().to_string();
    assert!(error.contains("tried 4 times"), "{error}");
    let [part] = leftovers(folder.path()).try_into().unwrap();
    let part = folder.path().join("models--owner--name/blobs").join(part);
    assert_eq!(fs::metadata(&part).unwrap().len(), 100_000);

    let (endpoint, requests) = server(content(), &[Act::Serve]);
    hub(&endpoint, folder.path()).download(&FILE, accept).unwrap();
    assert!(requests.lock().unwrap()[0].1.contains("range: bytes=100000-"));

    // The beginning of some other version, and one longer than the whole file.
    for length in [1000, 2_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("models--owner--name/blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join("main-folder-weights.bin.incomplete"), vec![7; length]).unwrap();
        let (endpoint, _) = server(content(), &[Act::Serve]);
        let (path, ()) = hub(&endpoint, folder.path()).download(&FILE, accept).unwrap();
        accept(&path).unwrap();
    }
}

#[test]
fn download_progress_reports_name_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, _) = server(content(), &[Act::Serve]);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = reports.clone();
    let progress: Progress = Arc::new(move |name: &str, done, total| {
        sink.lock().unwrap().push((name.to_string(), done, total));
    });
    Hub { progress: Some(progress), ..hub(&endpoint, folder.path()) }.download(&FILE, accept).unwrap();
    let reports = reports.lock().unwrap();
    assert!(reports.iter().all(|(name, _, total)| name == FILE.file && *total == Some(1_200_000)));
    assert!(reports.windows(2).all(|pair| pair[0].1 < pair[1].1));
    assert_eq!(reports.last().unwrap().1, 1_200_000);
}

#[test]
fn hub_download_deletes_wrong_content() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, _) = server(vec![1; 5000], &[Act::Serve]);
    let hub = hub(&endpoint, folder.path());
    let error = hub.download(&FILE, accept).unwrap_err().to_string();
    assert!(error.contains("is not what was wanted") && error.contains("not kept"), "{error}");
    assert!(leftovers(folder.path()).is_empty());
    assert_eq!(hub.cached(&FILE), None);
}

#[test]
fn hub_download_failure_is_one_sentence() {
    for (acts, expected) in [
        (&[Act::Status(404)][..], "404"),
        (&[Act::Status(401)], "HF_TOKEN"),
        (&[Act::Status(418)], "418"),
        (&[Act::Status(503)], "tried 4 times"),
        (&[Act::Redirect], "in a circle"),
        (
            &[Act::Cut(700), Act::Status(416), Act::Cut(700), Act::Status(416), Act::Cut(700), Act::Status(416)],
            "tried 4 times",
        ),
        (&[Act::Endless], "over 2 GB"),
        (&[Act::Stall(0)], "tried 4 times"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (endpoint, _) = server(content(), acts);
        let error = hub(&endpoint, folder.path()).download(&FILE, accept).unwrap_err().to_string();
        assert!(error.contains(expected), "{acts:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    // A port that nothing listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let error = hub(&format!("http://127.0.0.1:{port}"), folder.path()).download(&FILE, accept).unwrap_err();
    assert!(error.to_string().contains("no connection"), "{error}");
}

#[test]
fn hub_token_is_not_sent_to_redirects() {
    let (cdn, elsewhere) = server(content(), &[Act::Serve]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let first = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            lines.read_line(&mut head).unwrap();
        }
        write!(stream, "HTTP/1.1 302 Found\r\nLocation: {cdn}/file\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
        head.to_lowercase()
    });
    let folder = tempfile::tempdir().unwrap();
    let (path, ()) = hub(&endpoint, folder.path()).download(&FILE, accept).unwrap();
    assert!(path.ends_with("snapshots/main/folder/weights.bin"), "without a commit the revision stands in: {path:?}");
    assert!(first.join().unwrap().contains("authorization: bearer secret"));
    assert!(!elsewhere.lock().unwrap()[0].1.contains("authorization"));
}

#[test]
fn hub_download_names_an_unwritable_cache() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let (endpoint, _) = server(content(), &[Act::Serve]);
    let error = hub(&endpoint, &file.join("cache")).download(&FILE, accept).unwrap_err().to_string();
    assert!(error.contains("HF_HUB_CACHE") && error.contains("cache"), "{error}");
}

#[test]
fn hub_downloads_at_once_fetch_once() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, requests) = server(content(), &[Act::Serve]);
    let hub = hub(&endpoint, folder.path());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| hub.download(&FILE, accept).unwrap());
        }
    });
    assert_eq!(requests.lock().unwrap().len(), 1);
}
