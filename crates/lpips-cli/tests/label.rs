//! `lpips data label` through the real binary: over plain sockets, and in a real browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.
#![cfg(all(feature = "label", unix))]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::browser::{Browser, ENTER, LEFT, RIGHT};
use support::{Sandbox, stderr};

/// A running `lpips data label`.
struct Labelling {
    child: Child,
    address: String,
    port: u16,
    token: String,
}

impl Labelling {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut command = sandbox.lpips(&[&["data", "label"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let Some((port, token)) =
            address.trim().strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix('/')?.split_once('/'))
        else {
            panic!("{address}: {}", stderr(&child.wait_with_output().unwrap()));
        };
        assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{address}");
        Self { port: port.parse().unwrap(), token: token.to_string(), address: address.trim().to_string(), child }
    }

    /// Sends bytes and returns the status and the whole response.
    fn send(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port).as_bytes())
    }

    fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let (token, body) = (&self.token, body.to_string());
        let head = format!("POST /{token}/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}", body.len());
        let (status, answer) = self.send(format!("{head}\r\n\r\n{body}").as_bytes());
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_string())
    }

    /// Posts a request that must succeed.
    fn ask(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    fn vote(&self, voter: &str, question: u64, answer: &str, id: &str) -> Value {
        self.ask("vote", &json!({"voter": voter, "question": question, "answer": answer, "id": id, "ms": 400}))
    }

    fn next(&self, voter: &str) -> Value {
        self.ask("next", &json!({"voter": voter, "holding": []}))
    }

    /// Ends it by Ctrl-C and returns its standard error.
    fn end(mut self) -> String {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0));
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Labelling {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a set with identifiable pictures: green is 20 times the question's number, p1 is red, the reference blue.
fn set(sandbox: &Sandbox, folder: &str, parts: &[&str], count: u8) {
    for part in parts {
        let folder = sandbox.path(folder).join(part);
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..count {
            // Of several sizes.
            let side = 64 >> (number % 2);
            let (red, blue) = (u8::from(*part == "p1") * 255, u8::from(*part == "ref") * 255);
            let picture = image::RgbImage::from_pixel(side, side, image::Rgb([red, number * 20, blue]));
            picture.save(folder.join(format!("{number}.png"))).unwrap();
        }
    }
}

const TRIPLET: [&str; 3] = ["ref", "p0", "p1"];

fn triplets(count: u8) -> Sandbox {
    let sandbox = Sandbox::new();
    set(&sandbox, "set/one", &TRIPLET, count);
    sandbox
}

/// The lines of the log.
fn log(sandbox: &Sandbox) -> Vec<Value> {
    let text = std::fs::read_to_string(sandbox.path("set/votes.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The number of a judgment.
fn judge(sandbox: &Sandbox, path: &str) -> Option<f32> {
    let bytes = std::fs::read(sandbox.path("set").join(path)).ok()?;
    assert!(bytes.len() == 132 && String::from_utf8_lossy(&bytes[..128]).contains("'<f4'"), "{path}");
    Some(f32::from_le_bytes(*bytes.last_chunk().unwrap()))
}

fn refused(sandbox: &Sandbox, arguments: &[&str]) -> (Option<i32>, String) {
    let output = sandbox.lpips(&[&["data", "label"], arguments].concat()).output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn label_server_requires_token_host_and_method() {
    let sandbox = triplets(1);
    let page = Labelling::start(&sandbox, &["set"]);
    let (port, token) = (page.port, &page.token);
    for path in ["/", "/favicon.ico", "/00000000000000000000000000000000/", "/../set/votes.jsonl", "/vote"] {
        let (status, answer) = page.get(path);
        assert!(status == 403 && answer.contains("lacks the token"), "{path}: {answer}");
        assert!(!answer.contains(token));
    }
    let with_host = |host: &str| page.send(format!("GET /{token}/ HTTP/1.1\r\n{host}\r\n").as_bytes());
    for host in
        ["", "Host: example.org\r\n", "Host: localhost.example.org\r\n", "Host: localhost\r\nHost: localhost\r\n"]
    {
        let (status, answer) = with_host(host);
        assert!(status == 403 && answer.contains("127.0.0.1 and localhost"), "{host}: {answer}");
    }
    // At the other end of a tunnel the port is another one.
    assert_eq!(with_host("Host: localhost:9000\r\n").0, 200);
    let (status, answer) = page.get(&format!("/{token}/"));
    assert_eq!(status, 200);
    let head = answer.split("\r\n\r\n").next().unwrap();
    for part in
        ["Content-Security-Policy: default-src 'none'; script-src 'nonce-", "no-store", "nosniff", "no-referrer"]
    {
        assert!(head.contains(part), "{part}: {head}");
    }
    assert!(!answer.contains("{{nonce}}"));
    for path in ["../../set/votes.jsonl", "%2e%2e/set/votes.jsonl", "set/votes.jsonl", "picture/0"] {
        assert_eq!(page.get(&format!("/{token}/{path}")).0, 404, "{path}");
    }
    assert_eq!(page.get(&format!("/{token}/vote")).0, 405);
    assert_eq!(page.send(b"nonsense\r\n\r\n").0, 400);
    // Not from another interface either.
    let listening = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let at_port: Vec<&str> =
        listening.lines().filter(|line| line.contains(&format!(":{port:04X} 00000000:0000"))).collect();
    assert!(at_port.iter().all(|line| line.contains("0100007F:")), "{at_port:?}");
}

#[test]
fn label_server_refuses_oversized_and_invalid_requests() {
    let sandbox = triplets(1);
    let page = Labelling::start(&sandbox, &["set"]);
    let (status, answer) = page.post("vote", &json!("x".repeat(1 << 20)));
    assert!(status == 413 && answer.contains("65536 bytes"), "{answer}");
    // Claims, without a token and with one; nothing is put aside for them.
    for (token, status) in [("", 403), (page.token.as_str(), 413)] {
        for length in ["100000000000", "99999999999999999999999999"] {
            let request = format!("POST /{token}/vote HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(page.send(request.as_bytes()).0, status, "{length}");
        }
    }
    assert_eq!(page.send(format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000)).as_bytes()).0, 431);
    let vote = |voter: &str, question: i64, answer: &str, id: &str| {
        page.post("vote", &json!({"voter": voter, "question": question, "answer": answer, "id": id, "ms": 1}))
    };
    for (voter, question, answer, id) in [
        ("", 0, "first", "1"),
        ("a\u{7}b", 0, "first", "1"),
        (&*"x".repeat(65), 0, "first", "1"),
        ("anna", 1, "first", "1"),
        ("anna", -1, "first", "1"),
        ("anna", 0, "same", "1"),
        ("anna", 0, "p1", "1"),
        ("anna", 0, "first", ""),
        ("anna", 0, "first", &*"x".repeat(65)),
    ] {
        let (status, text) = vote(voter, question, answer, id);
        assert!(status == 400 && text.ends_with('\n'), "{voter} {question} {answer} {id}: {text}");
    }
    assert_eq!(page.post("picture", &json!({"voter": "anna", "question": 0, "place": "../p0"})).0, 400);
    assert_eq!(page.post("picture", &json!({"voter": "anna", "question": 7, "place": "ref"})).0, 400);
    assert!(!sandbox.path("set/votes.jsonl").exists());
    assert_eq!(vote("anna", 0, "first", "1").0, 200);
    assert_eq!(log(&sandbox).len(), 1);
}

#[test]
fn label_vote_counts_once_and_restart_resumes() {
    let sandbox = triplets(3);
    let page = Labelling::start(&sandbox, &["set"]);
    let first = page.next("anna")["question"].as_u64().unwrap();
    for _ in 0..2 {
        let state = page.vote("anna", first, "first", "one");
        assert_eq!(state["progress"], json!({"judged": 1, "total": 3, "last": "one"}));
    }
    assert_eq!(log(&sandbox).len(), 1);
    let notes = page.end();
    assert!(notes.contains("3 triplets in 1 folder; no votes yet"), "{notes}");
    assert!(notes.contains("note: 1 vote by 1 person, on 1 of 3 triplets, in set/votes.jsonl\n"), "{notes}");

    let page = Labelling::start(&sandbox, &["set"]);
    let second = page.next("anna")["question"].as_u64().unwrap();
    assert_ne!(second, first);
    page.vote("anna", first, "first", "one");
    assert_eq!(log(&sandbox).len(), 1, "its id is known after a restart");
    page.vote("anna", second, "second", "two");
    let state = page.ask("undo", &json!({"voter": "anna", "id": "two"}));
    assert_eq!(state, json!({"question": second, "progress": {"judged": 1, "total": 3, "last": "one"}}));
    let state = page.ask("undo", &json!({"voter": "anna", "id": "two"}));
    assert_eq!(state["question"], Value::Null);
    assert_eq!(judge(&sandbox, &format!("one/judge/{second}.npy")), None);
    assert!(judge(&sandbox, &format!("one/judge/{first}.npy")).is_some());
    assert_eq!(page.next("bo")["progress"], json!({"judged": 0, "total": 3, "last": null}));

    // Killed.
    drop(page);
    let page = Labelling::start(&sandbox, &["set"]);
    assert_eq!(page.next("anna")["progress"], json!({"judged": 1, "total": 3, "last": "one"}));
}

#[test]
fn label_counts_concurrent_voters() {
    let sandbox = triplets(6);
    let page = Labelling::start(&sandbox, &["set", "--per-triplet", "2"]);
    std::thread::scope(|scope| {
        for voter in ["anna", "bo"] {
            let page = &page;
            scope.spawn(move || {
                while let Some(question) = page.next(voter)["question"].as_u64() {
                    page.vote(voter, question, "first", &format!("{voter} {question}"));
                }
            });
        }
    });
    assert_eq!(page.next("cy"), json!({"question": null, "progress": {"judged": 0, "total": 0, "last": null}}));
    let lines = log(&sandbox);
    assert_eq!(lines.len(), 12);
    for number in 0..6 {
        let name = number.to_string();
        let of: Vec<&Value> = lines.iter().filter(|line| line["name"] == name.as_str()).collect();
        let p1 = of.iter().filter(|line| line["choice"] == "p1").count();
        assert_eq!((of.len(), judge(&sandbox, &format!("one/judge/{number}.npy"))), (2, Some(p1 as f32 / 2.0)));
    }
    assert!(page.end().contains("12 votes by 2 people, on 6 of 6 triplets"));
}

#[test]
fn label_refuses_second_process_and_unusable_folders() {
    let sandbox = triplets(2);
    let page = Labelling::start(&sandbox, &["set"]);
    let (code, text) = refused(&sandbox, &["set"]);
    assert!(code == Some(1) && text.contains("set: is being labelled by another"), "{text}");
    page.end();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (code, text) = refused(&sandbox, &["set", "--port", &port]);
    assert!(code == Some(1) && text.contains(&format!("port {port} is in use")), "{text}");
    let (code, text) = refused(&sandbox, &["set", "--voter", " "]);
    assert!(code == Some(2) && text.contains("1 to 64 characters"), "{text}");
    for arguments in [["--kind", "x"], ["--per-triplet", "0"], ["--display-ms", "0"]] {
        assert_eq!(refused(&sandbox, &["set", arguments[0], arguments[1]]).0, Some(2), "{arguments:?}");
    }
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    let (code, text) = refused(&sandbox, &["empty"]);
    assert!(code == Some(1) && text.contains("empty: holds no pictures to judge"), "{text}");
    let (code, text) = refused(&sandbox, &["nowhere"]);
    assert!(code == Some(1) && text.contains("nowhere: there is no such file or folder"), "{text}");
    sandbox.write("set/one/p0/1.png", "no picture");
    let (code, text) = refused(&sandbox, &["set"]);
    assert!(code == Some(1) && text.contains("set/one/p0/1.png: ") && text.contains("fix them"), "{text}");
    set(&sandbox, "set/one", &TRIPLET, 2);
    sandbox.write("set/one/judge/1.npy", "from elsewhere");
    let (code, text) = refused(&sandbox, &["set"]);
    assert!(code == Some(1) && text.contains("one/judge/1.npy: is a judgment that is not from votes.jsonl"), "{text}");
    assert_eq!(std::fs::read(sandbox.path("set/one/judge/1.npy")).unwrap(), b"from elsewhere");
    assert!(!sandbox.path("set/votes.jsonl").exists());
}

/// Number of the triplet that a picture of the page belongs to, and whether the picture is p1.
fn seen(browser: &Browser, place: &str) -> (u64, bool) {
    let pixel = browser.run(&format!(
        "const canvas = document.createElement('canvas'), context = canvas.getContext('2d'); \
         context.drawImage(document.querySelector('{place} img'), 0, 0); \
         return [...context.getImageData(0, 0, 1, 1).data]"
    ));
    (pixel[1].as_u64().unwrap() / 20, pixel[0] == 255)
}

fn wait_for_triplet(browser: &Browser) -> u64 {
    // The page takes no key for 200 ms: it would be meant for the triplet before.
    browser.wait("document.body.dataset.state === 'ready' && performance.now() - since > 220");
    let (left, right) = (seen(browser, "#first"), seen(browser, "#second"));
    assert!(left.0 == right.0 && left.1 != right.1 && seen(browser, "#ref") == (left.0, false));
    left.0
}

#[test]
fn label_page_shows_triplets_and_records_votes() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = triplets(5);
    let page = Labelling::start(&sandbox, &["set"]);
    browser.open(&page.address);
    browser.wait("document.body.dataset.state === 'name'");
    browser.screenshot("label-name");
    browser.write("#voter", "  Anna <b>Lena</b> ");
    browser.press(ENTER);
    let (mut wanted, mut places) = (Vec::new(), Vec::new());
    for turn in 0..4 {
        let number = wait_for_triplet(&browser);
        assert_eq!(browser.text("#count"), format!("{turn} of 5"));
        assert_eq!(browser.text("#who"), "Anna <b>Lena</b>");
        places.push(browser.run("return JSON.stringify(document.querySelector('#second').getBoundingClientRect())"));
        // By every way there is, p1 in every other triplet.
        let (is_p1_left, want_p1) = (seen(&browser, "#first").1, number % 2 == 1);
        let left = is_p1_left == want_p1;
        match turn {
            0 => browser.press(if left { LEFT } else { RIGHT }),
            1 => browser.press(if left { "1" } else { "2" }),
            2 => browser.click(if left { "#first" } else { "#second" }),
            _ => browser.click(if left { "#first + figcaption button" } else { "#second + figcaption button" }),
        }
        wanted.push((number, want_p1));
    }
    assert!(places.windows(2).all(|pair| pair[0] == pair[1]), "nothing moves from one triplet to the next: {places:?}");

    // The last one again, and now the other way round.
    let fifth = wait_for_triplet(&browser);
    browser.press("u");
    browser.wait("document.querySelector('#count').textContent === '3 of 5'");
    let again = wait_for_triplet(&browser);
    assert_eq!(again, wanted[3].0);
    wanted[3].1 = !wanted[3].1;
    browser.press(if seen(&browser, "#first").1 == wanted[3].1 { LEFT } else { RIGHT });
    browser.wait("document.querySelector('#count').textContent === '4 of 5'");
    assert_eq!(wait_for_triplet(&browser), fifth);
    let sides = seen(&browser, "#first");
    browser.run("location.reload()");
    assert_eq!(wait_for_triplet(&browser), fifth, "the name is known after a reload");
    assert_eq!(seen(&browser, "#first"), sides, "and the sides are the same");
    assert_eq!(browser.console(), Vec::<String>::new());
    page.end();

    // The server is gone: the page reports it and keeps the unsent vote.
    browser.press(LEFT);
    browser.wait("document.querySelector('#problem').innerText.includes('There is no answer')");
    browser.screenshot("label-no-answer");
    assert!(browser.console().iter().all(|line| line.contains("ERR_CONNECTION_REFUSED")));

    let page = Labelling::start(&sandbox, &["set", "--voter", "Anna <b>Lena</b>"]);
    browser.open(&page.address);
    browser.wait("document.body.dataset.state === 'name'");
    assert_eq!(browser.run("return document.querySelector('#voter').value"), "Anna <b>Lena</b>");
    browser.click("#form button");
    assert_eq!(wait_for_triplet(&browser), fifth, "only what is not judged yet");
    wanted.push((fifth, true));
    browser.press(if seen(&browser, "#first").1 { LEFT } else { RIGHT });
    browser.wait("document.body.dataset.state === 'done'");
    assert!(browser.text("#done").contains("Thank you, Anna <b>Lena</b>."));
    assert_eq!(browser.text("#count"), "5 of 5");
    browser.screenshot("label-done");
    assert_eq!(browser.console(), Vec::<String>::new());

    let lines = log(&sandbox);
    assert_eq!(lines.len(), 7, "six votes, and one taken back");
    for (number, want_p1) in wanted {
        let name = number.to_string();
        let last = lines.iter().rfind(|line| line["name"] == name.as_str()).unwrap();
        assert_eq!(
            (&last["voter"], &last["choice"]),
            (&json!("Anna <b>Lena</b>"), &json!(if want_p1 { "p1" } else { "p0" }))
        );
        assert_eq!(judge(&sandbox, &format!("one/judge/{number}.npy")), Some(f32::from(u8::from(want_p1))));
    }
}

#[test]
fn label_page_shows_pairs_for_display_time_and_records_votes() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    set(&sandbox, "set/jnd/val/one", &TRIPLET[1..], 3);
    let page = Labelling::start(&sandbox, &["set", "--display-ms", "50", "--voter", "bo"]);
    browser.open(&page.address);
    browser.wait("document.body.dataset.state === 'name'");
    // Which pictures are seen, in their order, and whether there is an answer to give by then.
    browser.run(
        "window.shown = []; let before = ''; const look = () => { \
           const images = [...document.querySelectorAll('#pair img')]; \
           const now = images.filter((i) => getComputedStyle(i).visibility === 'visible').map((i) => i.alt).join(); \
           if (now !== before) { \
             const answers = getComputedStyle(document.querySelector('#answers')).visibility; \
             window.shown.push(`${now}, answers ${answers}`); before = now; \
           } \
           requestAnimationFrame(look); }; look();",
    );
    browser.click("#form button");
    let ready = "document.body.dataset.state === 'ready'";
    browser.wait(&format!("{ready} && window.shown.length >= 4"));
    let nothing = ", answers hidden";
    let shown = json!([
        "The first picture, answers hidden",
        nothing,
        "The second picture, answers hidden",
        ", answers visible"
    ]);
    assert_eq!(browser.run("return window.shown"), shown);
    let first = seen(&browser, "#pair").0;
    browser.press("s");
    browser.wait(&format!("document.querySelector('#count').textContent === '1 of 3' && {ready}"));
    let second = seen(&browser, "#pair").0;
    browser.screenshot("label-pair");
    browser.click("#answers button:last-child");
    browser.wait(&format!("document.querySelector('#count').textContent === '2 of 3' && {ready}"));
    browser.click("#undo");
    browser.wait(&format!("document.querySelector('#count').textContent === '1 of 3' && {ready}"));
    assert_eq!(seen(&browser, "#pair").0, second);
    browser.press("d");
    browser.wait(&format!("document.querySelector('#count').textContent === '2 of 3' && {ready}"));
    browser.press("s");
    browser.wait("document.body.dataset.state === 'done'");
    assert_eq!(browser.console(), Vec::<String>::new());
    let third = 3 - first - second;
    for (number, same) in [(first, 1.0), (second, 0.0), (third, 1.0)] {
        assert_eq!(judge(&sandbox, &format!("jnd/val/one/same/{number}.npy")), Some(same));
    }
    assert!(log(&sandbox).iter().all(|line| line["voter"] == "bo"));
    assert!(page.end().contains("3 votes by 1 person, on 3 of 3 pairs"));
}

#[test]
fn label_page_names_and_skips_a_picture_that_breaks() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = triplets(2);
    let page = Labelling::start(&sandbox, &["set", "--voter", "cy"]);
    let whole = std::fs::read(sandbox.path("set/one/p0/1.png")).unwrap();
    std::fs::write(sandbox.path("set/one/p0/1.png"), &whole[..60]).unwrap();
    browser.open(&page.address);
    browser.wait("document.body.dataset.state === 'name'");
    browser.click("#form button");
    browser.wait("document.querySelector('#problem').innerText.includes('set/one/p0/1.png')");
    browser.click("#problem button");
    assert_eq!(wait_for_triplet(&browser), 0);
    browser.press(LEFT);
    browser.wait("document.body.dataset.state === 'done'");
    assert_eq!(browser.text("#count"), "1 of 2");
}
