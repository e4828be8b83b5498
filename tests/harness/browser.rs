//! Chromium without a window, driven by the DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>) over a pipe: messages are JSON, each with
//! a zero byte behind it.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use super::{Directory, skipped};

/// The deadline of all waits. A browser takes seconds to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks at a page.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A browser with its own profile, and a page that is talked to. It ends on drop with all of its processes.
pub(crate) struct Browser {
    process: Child,
    directory: Directory,
    commands: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    number: Cell<u64>,
    session: RefCell<Option<String>>,
    events: RefCell<Vec<Value>>,
}

/// A page of a browser.
pub(crate) struct Tab {
    session: String,
}

impl Browser {
    /// None, and a skipped test, if there is no browser.
    pub(crate) fn open() -> Option<Self> {
        if !Command::new("sh")
            .args(["-c", "command -v chromium >&2"])
            .output()
            .is_ok_and(|out| out.status.success())
        {
            skipped("no chromium");
            return None;
        }
        let directory = Directory::new();
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"]);
        // It refuses to isolate its processes if it is root.
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--ignore-certificate-errors", "--no-proxy-server", "--no-first-run"]);
        command.args(["--disable-background-networking", "--remote-debugging-pipe"]);
        command.arg("--host-resolver-rules=MAP *.test 127.0.0.1");
        command.arg(format!("--user-data-dir={}", directory.join("profile").display()));
        command.arg("about:blank").env("HOME", directory.path()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let _ = sender.send(serde_json::from_slice(&message).unwrap());
                message.clear();
            }
        });
        let commands = RefCell::new(process.stdin.take().unwrap());
        let browser = Self {
            process,
            directory,
            commands,
            messages,
            number: Cell::new(0),
            session: RefCell::new(None),
            events: RefCell::new(Vec::new()),
        };
        browser.another();
        Some(browser)
    }

    /// Opens another page in front, and turns to it.
    pub(crate) fn another(&self) -> Tab {
        *self.session.borrow_mut() = None;
        let page = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = page["targetId"].as_str().unwrap().to_owned();
        let wanted = json!({ "targetId": target, "flatten": true });
        let session = self.call("Target.attachToTarget", wanted);
        let tab = Tab { session: session["sessionId"].as_str().unwrap().to_owned() };
        self.turn_to(&tab);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        tab
    }

    /// Talks to a page from now on, which stays behind another one if it is.
    pub(crate) fn turn_to(&self, tab: &Tab) {
        *self.session.borrow_mut() = Some(tab.session.clone());
    }

    /// The page that is talked to.
    pub(crate) fn tab(&self) -> Tab {
        Tab { session: self.session.borrow().clone().unwrap() }
    }

    /// Calls a method of the page, or of the browser before there is a page.
    pub(crate) fn call(&self, method: &str, parameters: Value) -> Value {
        self.number.set(self.number.get() + 1);
        let id = self.number.get();
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &*self.session.borrow() {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.borrow_mut().write_all(&bytes).unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).expect("the browser answers");
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.borrow_mut().push(message);
        }
    }

    /// Opens an address in the page.
    pub(crate) fn visit(&self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
    }

    /// The value of an expression in the page, whose promises are awaited.
    #[track_caller]
    pub(crate) fn value(&self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true. It may fail while the page is being loaded.
    #[track_caller]
    pub(crate) fn wait(&self, expression: &str) {
        let started = Instant::now();
        loop {
            let answer = self.call(
                "Runtime.evaluate",
                json!({ "expression": expression, "returnByValue": true }),
            );
            if answer["result"]["value"] == true {
                return;
            }
            if started.elapsed() > PATIENCE {
                let text = self
                    .call("Runtime.evaluate", json!({ "expression": "document.body.innerText" }));
                panic!(
                    "waited in vain for {expression}\n{answer:#}\n{}",
                    text["result"]["value"].as_str().unwrap_or_default()
                );
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Presses a key: a character, or a name such as `Enter`.
    pub(crate) fn press(&self, key: &str) {
        let (text, code) = match key {
            "Enter" => ("\r", 13),
            "Tab" => ("", 9),
            "Escape" => ("", 27),
            "ArrowDown" => ("", 40),
            "ArrowUp" => ("", 38),
            other => (other, 0),
        };
        let of = |kind: &str| json!({ "type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code });
        self.call(
            "Input.dispatchKeyEvent",
            of(if text.is_empty() { "rawKeyDown" } else { "keyDown" }),
        );
        self.call(
            "Input.dispatchKeyEvent",
            json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code }),
        );
    }

    /// Takes the events that the browser has told of this kind since the last time.
    pub(crate) fn events(&self, method: &str) -> Vec<Value> {
        let mut events = self.events.borrow_mut();
        let (found, others) = events.drain(..).partition(|event| event["method"] == method);
        *events = others;
        found
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- the browser's log ---\n{}", self.directory.read("log"));
        }
        let group = Pid::from_raw(self.process.id() as i32).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.process.wait();
    }
}
