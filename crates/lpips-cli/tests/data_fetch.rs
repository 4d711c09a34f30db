//! `lpips data fetch` through the real binary; the archives come from a server on the loopback interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.
#![cfg(feature = "hub")]

mod support;

use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::ImageFormat;
use lpips_data::npy;
use support::{Sandbox, picture, stderr, stdout};

/// Serves one archive as `/jnd.tar.gz`, and 404 for all else; sends no more than `most` bytes of the first answer.
/// Returns the address and the heads of the requests.
fn serve(body: Vec<u8>, most: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for (turn, stream) in listener.incoming().take(20).enumerate() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> =
                lines.map(|line| line.unwrap().to_lowercase()).take_while(|l| !l.is_empty()).collect();
            let from = head.iter().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
            let found = head[0].starts_with("get /jnd.tar.gz ");
            seen.lock().unwrap().push(head.join("\n"));
            let rest = if found { &body[from.unwrap_or(0)..] } else { &[][..] };
            let status = match from {
                _ if !found => "404 Not Found".to_string(),
                None => "200 OK".to_string(),
                Some(from) => {
                    format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{}", body.len() - 1, body.len())
                }
            };
            let head = format!("HTTP/1.1 {status}\r\nETag: \"one\"\r\nContent-Length: {}\r\n\r\n", rest.len());
            let sent = if turn == 0 { &rest[..most.min(rest.len())] } else { rest };
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
        }
    });
    (address, asked)
}

/// An archive of three pairs in each of two folders, as the published one is laid out.
fn pairs() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for folder in ["traditional", "cnn"] {
        for n in 0..3 {
            for (column, ending) in [("p0", "png"), ("p1", "png"), ("same", "npy")] {
                let mut data = npy::of_number(1.0);
                if ending == "png" {
                    data.clear();
                    picture(64, 64, n).write_to(&mut Cursor::new(&mut data), ImageFormat::Png).unwrap();
                }
                append(&mut tar, &format!("jnd/val/{folder}/{column}/{n:06}.{ending}"), &data);
            }
        }
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, data: &[u8]) {
    let mut header = tar::Header::new_gnu();
    // Not by `set_path`, which takes no name that leads out.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, data).unwrap();
}

/// Fetches the smallest part, which needs about half a gigabyte of free space.
fn fetch(sandbox: &Sandbox, from: &str, more: &[&str]) -> Output {
    let arguments = ["data", "fetch", "bapps", "--out", "bapps", "--only", "jnd", "--from", from];
    sandbox.lpips(&[&arguments[..], more].concat()).output().unwrap()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] }).collect()
}

#[test]
fn fetch_downloads_unpacks_and_counts_a_part_once() {
    let sandbox = Sandbox::new();
    let (from, asked) = serve(pairs(), usize::MAX);
    let output = fetch(&sandbox, &from, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let folder = |name: &str| PathBuf::from("bapps/jnd/val").join(name).display().to_string();
    let expected = format!("       3 pairs     {}\n       3 pairs     {}\n", folder("cnn"), folder("traditional"));
    assert_eq!(stdout(&output), expected);
    assert!(stderr(&output).contains("next: `lpips eval jnd --data bapps`\n"), "{}", stderr(&output));
    let scored = sandbox.lpips(&["eval", "jnd", "--data", "bapps", "--metric", "l2"]).output().unwrap();
    assert!(scored.status.success(), "{}", stderr(&scored));
    let files = walk(&sandbox.path("bapps"));
    assert_eq!(files.len(), 2 * 3 * 3 + 1, "nothing but the pairs and the lock is left: {files:?}");

    let again = fetch(&sandbox, &from, &[]);
    assert_eq!(stdout(&again), expected);
    assert!(stderr(&again).contains("jnd is in") && stderr(&again).contains("already"), "{}", stderr(&again));
    assert!(stderr(&fetch(&sandbox, &from, &["--quiet"])).is_empty());
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn fetch_resumes_cut_connection_and_keeps_archive() {
    let sandbox = Sandbox::new();
    let archive = pairs();
    let (from, asked) = serve(archive.clone(), 5000);
    let output = fetch(&sandbox, &from, &["--keep-archives"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let asked = asked.lock().unwrap();
    assert!(asked[1].contains("range: bytes=5000-") && asked[1].contains("if-range: \"one\""), "{}", asked[1]);
    assert!(std::fs::read(sandbox.path("bapps/jnd.tar.gz")).unwrap() == archive);
    assert!(!sandbox.path("bapps/jnd.tar.gz.fetched").exists());
}

#[test]
fn fetch_unpacks_present_archive_without_server() {
    let sandbox = Sandbox::new();
    sandbox.write("bapps/jnd.tar.gz", b"cut short");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let from = format!("http://127.0.0.1:{port}");
    let refused = fetch(&sandbox, &from, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let text = stderr(&refused);
    assert!(
        text.contains("jnd.tar.gz") && text.contains("is damaged") && text.contains("nothing of it was used"),
        "{text}"
    );
    assert_eq!(std::fs::read(sandbox.path("bapps/jnd.tar.gz")).unwrap(), b"cut short");

    let archive = pairs();
    sandbox.write("bapps/jnd.tar.gz", &archive);
    let output = fetch(&sandbox, &from, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(std::fs::read(sandbox.path("bapps/jnd.tar.gz")).unwrap() == archive);
}

#[test]
fn fetch_refuses_escaping_archive() {
    let sandbox = Sandbox::new();
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    append(&mut tar, "jnd/val/cnn/p0/000000.png", b"a picture");
    append(&mut tar, "../../escaped", b"out");
    let (from, _) = serve(tar.into_inner().unwrap().finish().unwrap(), usize::MAX);
    let output = fetch(&sandbox, &from, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("'../../escaped'") && text.contains("'..'") && text.contains("it was deleted"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(walk(&sandbox.path("")), [sandbox.path("bapps/.fetching")]);
}

#[test]
fn fetch_invalid_arguments_give_one_sentence() {
    let sandbox = Sandbox::new();
    let (from, _) = serve(Vec::new(), usize::MAX);
    let missing = fetch(&sandbox, &format!("{from}/elsewhere"), &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("/elsewhere/jnd.tar.gz: there is no such file (404)"), "{}", stderr(&missing));
    for (arguments, expected) in [
        (&["data", "fetch", "bapps", "--out", "x", "--from", "http://example.org/set"][..], "expected https://"),
        (&["data", "fetch", "bapps", "--out", "x", "--only", "2afc"], "2afc-train"),
        (&["data", "fetch", "imagenet", "--out", "x"], "bapps"),
        (&["data", "fetch", "bapps"], "--out <ROOT>"),
    ] {
        let output = sandbox.lpips(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
    assert!(!sandbox.path("x").exists());
    sandbox.write("file", "");
    let output = sandbox.lpips(&["data", "fetch", "bapps", "--out", "file", "--from", &from]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("file: can't be written"), "{}", stderr(&output));
}

#[test]
fn fetch_help_lists_sizes_and_next_commands() {
    let sandbox = Sandbox::new();
    let text = stdout(&sandbox.lpips(&["data", "fetch", "--help"]).output().unwrap());
    for part in ["6.1 GB", "1.3 GB", "2afc-val", "lpips eval 2afc --data", "lpips-train --data", "2-clause BSD"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[cfg(unix)]
#[test]
fn fetch_full_disk_is_named_and_same_command_resumes() {
    let sandbox = Sandbox::new();
    let (from, asked) = serve(pairs(), usize::MAX);
    // No file may grow beyond 4 KiB in this shell: writing fails as it does on a full disk.
    let mut command = std::process::Command::new("sh");
    sandbox.isolate(&mut command);
    let binary = env!("CARGO_BIN_EXE_lpips");
    let script =
        format!("trap '' XFSZ; ulimit -f 8; exec {binary} data fetch bapps --out bapps --only jnd --from {from}");
    let output = command.args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("jnd.tar.gz.part: can't be written"), "{}", stderr(&output));
    assert!(!sandbox.path("bapps/jnd").exists());
    let output = fetch(&sandbox, &from, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(asked.lock().unwrap()[1].contains("range: bytes=4096-"), "{asked:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn fetch_signal_stops_and_same_command_resumes() {
    let sandbox = Sandbox::new();
    // A server that sends the beginning and then nothing, until the signal has come.
    let archive = pairs();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let from = format!("http://{}", listener.local_addr().unwrap());
    let arguments = ["data", "fetch", "bapps", "--out", "bapps", "--only", "jnd", "--from", &from];
    let child = sandbox.lpips(&arguments).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count() > 1);
    write!(stream, "HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: {}\r\n\r\n", archive.len()).unwrap();
    stream.write_all(&archive[..5000]).unwrap();
    let part = sandbox.path("bapps/jnd.tar.gz.part");
    while std::fs::metadata(&part).map_or(0, |metadata| metadata.len()) < 5000 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    // The next byte lets it look up.
    std::thread::sleep(std::time::Duration::from_millis(100));
    stream.write_all(&archive[5000..6000]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(stderr(&output).contains("the same command resumes"), "{}", stderr(&output));
    assert!(!sandbox.path("bapps/jnd").exists());

    let (from, asked) = serve(archive, usize::MAX);
    let output = fetch(&sandbox, &from, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(asked.lock().unwrap()[0].contains("range: bytes="), "{asked:?}");
}
