//! A real browser for tests of pages: headless Chromium, driven by chromedriver over the loopback interface.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long something may take that a page does by itself.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const LEFT: &str = "\u{e012}";
pub(crate) const RIGHT: &str = "\u{e014}";
pub(crate) const DOWN: &str = "\u{e015}";
pub(crate) const END: &str = "\u{e010}";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const ESCAPE: &str = "\u{e00c}";

/// One browser window with a profile of its own; it ends with this.
pub(crate) struct Browser {
    driver: Child,
    /// Kept open, so that the driver can write to it.
    _output: BufReader<ChildStdout>,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A window of 1280x800 pixels. `None`, having said so, where there is no browser, and a failure there with
    /// `LPIPS_NEEDS_BROWSER=1`.
    #[allow(clippy::print_stdout)]
    pub(crate) fn start() -> Option<Self> {
        let programs = (found(&["chromium", "chromium-browser", "google-chrome"]), found(&["chromedriver"]));
        let (Some(chromium), Some(chromedriver)) = programs else {
            let needed = std::env::var("LPIPS_NEEDS_BROWSER").is_ok_and(|value| value == "1");
            assert!(!needed, "LPIPS_NEEDS_BROWSER is 1, and there is no chromium and chromedriver");
            println!("skipped: no chromium and chromedriver on this machine");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(chromedriver);
        command.arg("--port=0").env("HOME", profile.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap();
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "chromedriver has ended");
            let told = line.split_once("successfully on port ").map(|(_, rest)| rest.trim_end().trim_end_matches('.'));
            if let Some(port) = told {
                break port.parse().unwrap();
            }
        };
        let user_data = format!("--user-data-dir={}", profile.path().join("profile").display());
        let mut browser = Self { driver, _output: output, port, session: String::new(), _profile: profile };
        let created = browser.ask(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {"binary": chromium, "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
                    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--hide-scrollbars", "--force-device-scale-factor=1", "--window-size=1280,800", user_data,
                ]},
            }}}),
        );
        browser.session = created["sessionId"].as_str().unwrap().to_string();
        // Of the page, not of the window round it.
        browser.resize(1280, 800);
        Some(browser)
    }

    /// Makes the page so many pixels large.
    pub(crate) fn resize(&self, width: u64, height: u64) {
        for _ in 0..3 {
            let size = self.run("return [outerWidth - innerWidth, outerHeight - innerHeight]");
            let (width, height) = (width + size[0].as_u64().unwrap(), height + size[1].as_u64().unwrap());
            self.post("window/rect", &json!({"width": width, "height": height}));
        }
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("url", &json!({"url": url}));
    }

    /// Runs the body of a JavaScript function.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression of JavaScript is true.
    pub(crate) fn wait(&self, condition: &str) {
        let until = Instant::now() + PATIENCE;
        while self.run(&format!("return Boolean({condition})")) != true {
            assert!(Instant::now() < until, "never came true: {condition}; the page says: {}", self.text("body"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The text that an element shows.
    pub(crate) fn text(&self, selector: &str) -> String {
        let path = format!("/session/{}/element/{}/text", self.session, self.find(selector));
        self.ask("GET", &path, &Value::Null).as_str().unwrap().to_string()
    }

    pub(crate) fn click(&self, selector: &str) {
        self.post(&format!("element/{}/click", self.find(selector)), &json!({}));
    }

    /// Writes into a field.
    pub(crate) fn write(&self, selector: &str, text: &str) {
        self.post(&format!("element/{}/value", self.find(selector)), &json!({"text": text}));
    }

    /// Presses a key and lets it go, wherever the focus is.
    pub(crate) fn press(&self, key: &str) {
        let actions = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.post("actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    /// Drags from one place of an element to another, both from its middle on as parts of its width.
    pub(crate) fn drag(&self, selector: &str, from: f64, to: f64) {
        let element = json!({"element-6066-11e4-a52e-4f735466cecf": self.find(selector)});
        let width = self.run(&format!("return document.querySelector('{selector}').offsetWidth")).as_f64().unwrap();
        let go = |part: f64| json!({"type": "pointerMove", "origin": element, "x": (part * width).round(), "y": 0});
        let actions =
            json!([go(from), {"type": "pointerDown", "button": 0}, go(to), {"type": "pointerUp", "button": 0}]);
        self.post("actions", &json!({"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]}));
    }

    /// What has come to the console since this was asked before: warnings, errors and all.
    pub(crate) fn console(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({"type": "browser"}));
        log.as_array().unwrap().iter().map(|line| format!("{}: {}", line["level"], line["message"])).collect()
    }

    /// Saves the window as NAME.png in the folder that `LPIPS_SCREENSHOTS` names, if it does.
    pub(crate) fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("LPIPS_SCREENSHOTS").map(PathBuf::from) else { return };
        let path = format!("/session/{}/screenshot", self.session);
        let encoded = self.ask("GET", &path, &Value::Null);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), from_base64(encoded.as_str().unwrap())).unwrap();
    }

    fn find(&self, selector: &str) -> String {
        let element = self.post("element", &json!({"using": "css selector", "value": selector}));
        element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_string()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_ask(method, path, body).unwrap();
        assert_eq!(status, 200, "{method} {path} {body}: {answer}");
        answer["value"].clone()
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(2 * PATIENCE))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            match line.trim().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().unwrap();
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser, but only when it is asked to.
        let _ = self.try_ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Where the first of some programs is.
fn found(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
