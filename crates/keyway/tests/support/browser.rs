//! A Chromium without a window, driven as its own developer tools do it: JSON over two pipes.
//!
//! ```text
//!   call  {"id":1,"sessionId":..,"method":..,"params":..}\0 ─▶ descriptor 3 of the browser
//!         {"id":1,"result":..}\0, {"method":..,"params":..}\0 ◀─ descriptor 4
//! ```
//!
//! The protocol: <https://chromedevtools.github.io/devtools-protocol/>. No library: what a test needs are a dozen methods,
//! and pipes need neither a port nor a WebSocket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::SOON;
use super::http::wait_until;

/// What the browser is called, in the order of preference.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// The window, in pixels.
const WINDOW: (u32, u32) = (1280, 1000);

/// A browser with one page open.
pub struct Browser {
    process: Child,
    pipe: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    /// Answers that the test gives in place of the server: a part of the address, and the body.
    stood_in: Vec<(String, Value)>,
    /// Every address that the page asked for.
    pub requested: Vec<String>,
    /// Everything that the browser complained about: exceptions, refused scripts, failed requests.
    pub complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; nothing, said loudly, where there is none. On a judging machine (`CI` is set) there must be one.
    pub fn start() -> Option<Browser> {
        let Some(program) = installed() else {
            assert!(std::env::var_os("CI").is_none(), "no browser: install Debian's `chromium`");
            eprintln!("SKIPPED: there is no chromium on this machine");
            return None;
        };
        let profile = tempfile::tempdir().expect("a temporary directory");
        // The shell moves the pipes to where the browser expects them; the browser's own chatter goes to nobody.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(program)
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args(["--disable-dev-shm-usage", "--disable-background-networking", "--disable-extensions"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let pipe = process.stdin.take().expect("it is piped");
        let stdout = process.stdout.take().expect("it is piped");
        let (send, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Browser {
            process,
            pipe,
            messages,
            session: None,
            calls: 0,
            stood_in: Vec::new(),
            requested: Vec::new(),
            complaints: Vec::new(),
            _profile: profile,
        };
        browser.open_page();
        Some(browser)
    }

    fn open_page(&mut self) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", attach);
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        let (width, height) = WINDOW;
        let window = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", window);
        self.prefer("light");
    }

    /// Light or dark; without motion, so that what is drawn stands still at once.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// From now on requests whose address contains `part` are answered by this, and not by the server.
    pub fn stand_in(&mut self, part: &str, body: Value) {
        self.stood_in.push((part.to_owned(), body));
        let patterns: Vec<Value> =
            self.stood_in.iter().map(|(part, _)| json!({"urlPattern": format!("*{part}*")})).collect();
        self.call("Fetch.enable", json!({"patterns": patterns}));
    }

    /// From now on the server answers everything again.
    pub fn stood_in_no_more(&mut self) {
        self.stood_in.clear();
        self.call("Fetch.disable", json!({}));
    }

    /// Goes to an address. What was noted of the page before is forgotten.
    pub fn open(&mut self, url: &str) {
        self.requested.clear();
        self.complaints.clear();
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
    }

    /// What an expression gives in the page, as JSON.
    pub fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let given = self.call("Runtime.evaluate", asked);
        assert!(given["exceptionDetails"].is_null(), "{expression}: {given}");
        given["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub fn wait_for(&mut self, expression: &str) {
        let guarded =
            format!("(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()");
        wait_until(expression, SOON, || (self.eval(&guarded) == true).then_some(()));
    }

    /// The text of all elements that a selector finds.
    pub fn texts(&mut self, selector: &str) -> Vec<String> {
        let all = format!("Array.from(document.querySelectorAll({selector:?}), (e) => e.textContent)");
        let texts = self.eval(&all);
        texts.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }

    /// How many elements a selector finds.
    pub fn count(&mut self, selector: &str) -> usize {
        let count = self.eval(&format!("document.querySelectorAll({selector:?}).length"));
        usize::try_from(count.as_u64().expect("a number")).expect("it fits")
    }

    /// Types into the element that has the focus, and presses Enter.
    pub fn type_and_enter(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
        let enter = |kind: &str| json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"});
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", enter(kind));
        }
    }

    /// Clicks in the middle of the first element that a selector finds.
    pub fn click(&mut self, selector: &str) {
        let middle = self.eval(&format!(
            "(() => {{ const element = document.querySelector({selector:?});
                      element.scrollIntoView({{block: 'center'}});
                      const box = element.getBoundingClientRect();
                      return {{x: box.x + box.width / 2, y: box.y + box.height / 2}} }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let at =
                json!({"type": kind, "x": middle["x"], "y": middle["y"], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", at);
        }
    }

    /// Keeps a picture of the page in the folder that `KEYWAY_SCREENSHOTS` names, if it names one.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("KEYWAY_SCREENSHOTS") else { return };
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let bytes = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes)
            .expect("the picture is written");
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        loop {
            let message = self.messages.recv_timeout(SOON).unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.pipe.write_all(&bytes).expect("the browser listens");
        self.calls
    }

    /// Something that the browser says unasked.
    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                self.requested.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            "Runtime.exceptionThrown" => self.complaints.push(params["exceptionDetails"].to_string()),
            "Log.entryAdded" => self.complaints.push(params["entry"].to_string()),
            "Fetch.requestPaused" => self.answer(params),
            _ => {}
        }
    }

    fn answer(&mut self, paused: &Value) {
        let url = paused["request"]["url"].as_str().unwrap_or_default();
        let body = self.stood_in.iter().find(|(part, _)| url.contains(part.as_str())).map(|(_, body)| body);
        let body = STANDARD.encode(body.expect("only what is stood in for is paused").to_string());
        let headers = json!([{"name": "Content-Type", "value": "application/json"}]);
        let id = &paused["requestId"];
        let answer = json!({"requestId": id, "responseCode": 200, "responseHeaders": headers, "body": body});
        // Its result is of no interest and is dropped when it comes.
        self.send("Fetch.fulfillRequest", answer);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn installed() -> Option<PathBuf> {
    let dirs: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    NAMES.iter().find_map(|name| dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file()))
}
