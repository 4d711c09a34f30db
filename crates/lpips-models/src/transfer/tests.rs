use std::path::PathBuf;

use super::bad_server::{Act, Requests, server, versioned};
use super::*;

fn content(seed: u32) -> Vec<u8> {
    (0..100_000u32).flat_map(|n| (n * seed).to_le_bytes()).collect()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn part(&self) -> PathBuf {
        self.0.path().join("part")
    }

    /// A transfer of a file that may change.
    fn run(&self, url: &str, stop: &AtomicBool) -> Result<(), Failure> {
        self.run_watched(url, stop, &mut |_, _| {})
    }

    fn run_watched(
        &self,
        url: &str,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), Failure> {
        let transfer = Transfer {
            url,
            part: &self.part(),
            version: Some(&self.0.path().join("version")),
            token: None,
            largest: 1_000_000,
            secure: true,
            stall: Duration::from_millis(300),
            pause: Duration::from_millis(10),
            stop,
        };
        transfer.run(progress)
    }

    fn get(&self, url: &str) -> Vec<u8> {
        self.run(url, &AtomicBool::new(false)).unwrap();
        fs::read(self.part()).unwrap()
    }

    /// Leaves 100,000 bytes of a version behind.
    fn begin(&self, body: Vec<u8>, version: &'static str) {
        let (url, _) = versioned(body, version, &[Act::Cut(100_000), Act::Status(404)]);
        self.run(&url, &AtomicBool::new(false)).unwrap_err();
        assert_eq!(fs::metadata(self.part()).unwrap().len(), 100_000);
    }
}

/// The headers of a request, in lower case.
fn headers(requests: &Requests, turn: usize) -> String {
    requests.lock().unwrap()[turn].1.clone()
}

#[test]
fn transfer_resumes_a_part_of_the_same_version() {
    for version in ["etag: \"one\"", "last-modified: sun, 22 nov 2026 14:52:26 gmt"] {
        let place = Place::new();
        place.begin(content(3), version);
        let (url, requests) = versioned(content(3), version, &[Act::Serve]);
        assert!(place.get(&url) == content(3), "{version}");
        let asked = headers(&requests, 0);
        let (_, value) = version.split_once(": ").unwrap();
        assert!(asked.contains("range: bytes=100000-") && asked.contains(&format!("if-range: {value}\r\n")), "{asked}");
    }
}

#[test]
fn transfer_never_joins_parts_of_different_versions() {
    for acts in [&[Act::Serve][..], &[Act::IgnoreVersion], &[Act::IgnoreVersion, Act::Cut(70_000), Act::Serve]] {
        let place = Place::new();
        place.begin(content(3), "etag: \"one\"");
        let (url, _) = versioned(content(5), "etag: \"two\"", acts);
        assert!(place.get(&url) == content(5), "{acts:?}");
    }
}

#[test]
fn transfer_restarts_a_part_of_unknown_version() {
    let place = Place::new();
    fs::write(place.part(), vec![7; 1000]).unwrap();
    let (url, requests) = versioned(content(3), "etag: \"one\"", &[Act::Serve]);
    assert!(place.get(&url) == content(3));
    assert!(!headers(&requests, 0).contains("range"));

    // A weak tag promises no equal bytes, and this server sends nothing else to know a version by.
    let place = Place::new();
    let (url, requests) = versioned(content(3), "etag: W/\"one\"", &[Act::Cut(100_000), Act::Serve]);
    assert!(place.get(&url) == content(3));
    assert!(!headers(&requests, 1).contains("range"));
}

#[test]
fn transfer_without_version_file_resumes_any_part() {
    let place = Place::new();
    fs::write(place.part(), &content(3)[..1000]).unwrap();
    let (url, requests) = server(content(3), &[Act::Serve]);
    let transfer = Transfer {
        url: &url,
        part: &place.part(),
        version: None,
        token: None,
        largest: 1_000_000,
        secure: true,
        stall: Duration::from_secs(2),
        pause: Duration::from_millis(10),
        stop: &AtomicBool::new(false),
    };
    transfer.run(&mut |_, _| {}).unwrap();
    assert!(fs::read(place.part()).unwrap() == content(3));
    assert!(headers(&requests, 0).contains("range: bytes=1000-"));
}

#[test]
fn transfer_stopped_leaves_a_part_to_resume() {
    let place = Place::new();
    let (url, requests) = versioned(content(3), "etag: \"one\"", &[Act::Serve]);
    let stop = AtomicBool::new(false);
    let mut last = 0;
    let ended = place.run_watched(&url, &stop, &mut |position, total| {
        assert_eq!(total, Some(400_000));
        last = position;
        stop.store(position > 100_000, Ordering::Relaxed);
    });
    assert!(matches!(ended, Err(Failure::Stopped)), "{ended:?}");
    assert_eq!(fs::metadata(place.part()).unwrap().len(), last);
    assert!(place.get(&url) == content(3));
    assert!(headers(&requests, 1).contains(&format!("range: bytes={last}-")));
    assert!(matches!(place.run(&url, &AtomicBool::new(true)), Err(Failure::Stopped)), "not one request");
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[test]
fn transfer_stopped_after_the_last_byte_fetches_nothing_again() {
    for changed in [false, true] {
        let place = Place::new();
        let (url, _) = versioned(content(3), "etag: \"one\"", &[Act::Serve]);
        let stop = AtomicBool::new(false);
        let ended =
            place.run_watched(&url, &stop, &mut |position, _| stop.store(position == 400_000, Ordering::Relaxed));
        assert!(matches!(ended, Err(Failure::Stopped)), "{ended:?}");
        let (version, seed) = if changed { ("etag: \"two\"", 5) } else { ("etag: \"one\"", 3) };
        let (url, requests) = versioned(content(seed), version, &[Act::IgnoreVersion, Act::Serve]);
        assert!(place.get(&url) == content(seed));
        assert_eq!(requests.lock().unwrap().len(), if changed { 2 } else { 1 });
    }
}

#[test]
fn transfer_refuses_more_than_the_limit() {
    let place = Place::new();
    let (url, _) = server(vec![0; 2_000_000], &[Act::Serve]);
    let ended = place.run(&url, &AtomicBool::new(false));
    assert!(matches!(ended, Err(Failure::TooLarge(1_000_000))), "{ended:?}");
    assert_eq!(fs::metadata(place.part()).unwrap().len(), 0);
}

#[test]
fn transfer_without_https_is_for_loopback_only() {
    for address in ["https://example.org/a", "http://127.0.0.1:80/a", "http://localhost/a", "http://[::1]:8080/a"] {
        assert!(is_secure(address), "{address}");
    }
    for address in [
        "http://example.org/a",
        "http://127.0.0.1.example.org/a",
        "http://127.0.0.1@example.org/a",
        "http://localhost.example.org",
        "ftp://127.0.0.1/a",
        "127.0.0.1",
        "a b",
    ] {
        assert!(!is_secure(address), "{address}");
    }
    let place = Place::new();
    let ended = place.run("http://example.invalid/a", &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(ended.contains("not HTTPS"), "{ended}");
}

#[test]
fn redirects_resolve_as_in_browsers() {
    for (location, expected) in [
        ("https://cdn.example/f?x=1", "https://cdn.example/f?x=1"),
        ("//cdn.example/f", "http://cdn.example/f"),
        ("/other/f", "http://hub.example:80/other/f"),
        ("f", "http://hub.example:80/a/b/f"),
    ] {
        assert_eq!(resolve("http://hub.example:80/a/b/c?d=/e", location), expected);
    }
}
