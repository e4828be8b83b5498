//! An authority that can be told to misbehave. It speaks plain HTTP, checks neither signatures nor
//! names, and has certificates signed by the openssl tool.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::{Backend, Certificate, Directory, Reply, Seen, run};

/// The authority.
pub(super) struct Authority {
    pub(super) backend: Backend,
    pub(super) state: Arc<State>,
}

/// How it behaves, and what it has done.
pub(super) struct State {
    directory: Directory,
    /// The status, the fields and the problem of the next answers to orders, one after the other.
    pub(super) refusals: Mutex<Vec<(u16, &'static str, &'static str)>>,
    /// Whether requests are not answered.
    pub(super) is_silent: AtomicBool,
    /// Whether orders stay in process once they are signed.
    pub(super) is_processing: AtomicBool,
    accounts: AtomicUsize,
    polls: AtomicUsize,
    /// What is added to the clock in `Date`, in seconds.
    pub(super) ahead: AtomicI64,
    /// The suggested period of renewals, relative to now, in seconds.
    pub(super) window: Mutex<Option<(i64, i64)>>,
    /// The token that names are to be proved with; none are without.
    pub(super) token: Mutex<Option<String>>,
    /// The payloads of orders.
    pub(super) orders: Mutex<Vec<Value>>,
    pub(super) issued: AtomicUsize,
    nonces: AtomicUsize,
    chain: Mutex<String>,
}

impl Authority {
    pub(super) fn start() -> Self {
        let directory = Directory::new();
        Certificate::self_signed(&directory, "ca", "authority.test");
        let state = Arc::new(State {
            directory,
            refusals: Mutex::default(),
            is_silent: AtomicBool::new(false),
            is_processing: AtomicBool::new(false),
            accounts: AtomicUsize::new(0),
            polls: AtomicUsize::new(0),
            ahead: AtomicI64::new(0),
            window: Mutex::default(),
            token: Mutex::default(),
            orders: Mutex::default(),
            issued: AtomicUsize::new(0),
            nonces: AtomicUsize::new(0),
            chain: Mutex::default(),
        });
        let own = Arc::clone(&state);
        let backend = Backend::new(move |seen| own.answer(seen));
        Self { backend, state }
    }

    /// The lines of a block `acme_issuer` that name it.
    pub(super) fn lines(&self) -> String {
        format!("uri http://{}/dir; accept_terms_of_service;", self.backend.address())
    }

    /// The requests for an account.
    pub(super) fn accounts(&self) -> usize {
        self.state.accounts.load(Ordering::SeqCst)
    }

    /// The questions about the state of an order.
    pub(super) fn polls(&self) -> usize {
        self.state.polls.load(Ordering::SeqCst)
    }

    pub(super) fn orders(&self) -> usize {
        self.state.orders.lock().unwrap().len()
    }

    pub(super) fn issued(&self) -> usize {
        self.state.issued.load(Ordering::SeqCst)
    }
}

/// The payload of a signed request.
fn payload(seen: &Seen) -> Value {
    let signed: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(signed["payload"].as_str().unwrap_or_default()).unwrap();
    serde_json::from_slice(&payload).unwrap_or_default()
}

impl State {
    fn answer(&self, seen: &Seen) -> Reply {
        if self.is_silent.load(Ordering::SeqCst) {
            return Reply::hold();
        }
        let base = format!("http://{}", seen.header("host").unwrap());
        let body = |value: Value| value.to_string();
        let order = |status: &str| {
            let token = self.token.lock().unwrap();
            let names = token.iter().map(|_| format!("{base}/authorization"));
            let names: Vec<_> = names.collect();
            json!({ "status": status, "authorizations": names, "finalize": format!("{base}/finalize"),
                "certificate": format!("{base}/certificate") })
            .to_string()
        };
        let signed = || match self.is_processing.load(Ordering::SeqCst) {
            true => "processing",
            false => "valid",
        };
        let at = format!("Location: {base}/1\r\n");
        match seen.target() {
            "/dir" => self.reply(
                "200 OK",
                "",
                body(json!({
                    "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"),
                    "newOrder": format!("{base}/order"), "renewalInfo": format!("{base}/renewal"),
                    "meta": { "profiles": { "short": "for a week" } },
                })),
            ),
            "/nonce" => self.reply("200 OK", "", String::new()),
            "/account" => {
                self.accounts.fetch_add(1, Ordering::SeqCst);
                self.reply("201 Created", &at, body(json!({ "status": "valid" })))
            }
            "/1" => {
                self.polls.fetch_add(1, Ordering::SeqCst);
                self.reply("200 OK", "", order(signed()))
            }
            "/order" => {
                self.orders.lock().unwrap().push(payload(seen));
                let mut refusals = self.refusals.lock().unwrap();
                if refusals.is_empty() {
                    return self.reply("201 Created", &at, order("ready"));
                }
                let (status, lines, kind) = refusals.remove(0);
                let problem = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"),
                    "detail": "not now" });
                self.reply(&format!("{status} No"), lines, problem.to_string())
            }
            "/finalize" => {
                self.sign(payload(seen)["csr"].as_str().unwrap());
                self.reply("200 OK", &at, order(signed()))
            }
            "/authorization" => self.reply("200 OK", "", body(self.authorization(&base))),
            "/certificate" => self.reply("200 OK", "", self.chain.lock().unwrap().clone()),
            path if path.starts_with("/renewal/") => self.renewal(),
            _ => self.reply("404 Not Found", "", String::new()),
        }
    }

    /// A name that is to be proved over HTTP.
    fn authorization(&self, base: &str) -> Value {
        let token = self.token.lock().unwrap().clone();
        let challenge = json!({ "type": "http-01", "url": base, "token": token });
        let name = json!({ "type": "dns", "value": "a.test" });
        json!({ "status": "pending", "identifier": name, "challenges": [challenge] })
    }

    /// Renewal information.
    fn renewal(&self) -> Reply {
        let Some((start, end)) = *self.window.lock().unwrap() else {
            return self.reply("404 Not Found", "", String::new());
        };
        let [start, end] = [start, end].map(|at| self.time(at));
        let window = json!({ "suggestedWindow": { "start": start, "end": end } });
        self.reply("200 OK", "Retry-After: 21600\r\n", window.to_string())
    }

    fn reply(&self, status: &str, lines: &str, body: String) -> Reply {
        let nonce = self.nonces.fetch_add(1, Ordering::SeqCst);
        let date = self.date(self.ahead.load(Ordering::SeqCst), "+%a, %d %b %Y %H:%M:%S GMT");
        Reply::with(status, &format!("{lines}Replay-Nonce: n{nonce}\r\nDate: {date}\r\n"), body)
    }

    fn time(&self, after: i64) -> String {
        self.date(after, "+%Y-%m-%dT%H:%M:%SZ")
    }

    /// The time after some seconds.
    pub(super) fn date(&self, after: i64, format: &str) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let at = format!("@{}", now.as_secs() as i64 + after);
        let output = std::process::Command::new("date")
            .env("LC_ALL", "C")
            .args(["-u", "-d", &at, format])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Has a request signed, for ninety days.
    fn sign(&self, csr: &str) {
        let number = self.issued.fetch_add(1, Ordering::SeqCst);
        self.directory.write("csr.der", URL_SAFE_NO_PAD.decode(csr).unwrap());
        let extensions = "authorityKeyIdentifier=keyid\n";
        self.directory.write("ext", extensions);
        let script = format!(
            "cd \"$0\" && openssl x509 -req -inform DER -in csr.der -CA ca.crt -CAkey ca.key \
             -days 90 -set_serial {} -copy_extensions copy -extfile ext -out own.crt",
            1000 + number
        );
        let output = run("sh", &["-c", &script, self.directory.path().to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let chain = self.directory.read("own.crt") + &self.directory.read("ca.crt");
        *self.chain.lock().unwrap() = chain;
    }
}
