//! Configurations with many sites.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::scratch::Scratch;

/// The kinds of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sites {
    /// Servers with five locations each, two of them regular expressions.
    Plain(usize),
    /// Servers with a certificate each, and a map with [`MAP_ROWS`] rows.
    Certified(usize),
}

/// The number of rows of the map.
const MAP_ROWS: usize = 20_000;

/// Creates certificates and keys 1 to `$0` in the current folder, all different.
const CERTIFICATES: &str = r#"
for n in $(seq "$0"); do
    [ -e "$n.crt" ] || openssl req -x509 -nodes -days 30 -newkey ec \
        -pkeyopt ec_paramgen_curve:P-256 -subj "/CN=site$n.example.com" \
        -keyout "$n.key" -out "$n.crt" 2>/dev/null || exit 1
done"#;

impl Sites {
    /// The `server` blocks, which listen on `port` and proxy to `backend`.
    pub(super) fn text(self, port: u16, backend: u16, certificates: &Path) -> String {
        match self {
            Self::Plain(count) => (1..=count).map(|n| plain(n, port, backend)).collect(),
            Self::Certified(count) => {
                let servers = (1..=count).map(|n| certified(n, port, backend, certificates));
                std::iter::once(map()).chain(servers).collect()
            }
        }
    }

    /// Creates the sites' certificates once for all sides and returns their folder.
    pub(super) fn certificates(self, scratch: &Scratch) -> Result<PathBuf, Failure> {
        let folder = scratch.folder("certificates")?;
        if let Self::Certified(count) = self {
            let mut command = Command::new("sh");
            command.args(["-c", CERTIFICATES, &count.to_string()]).current_dir(&folder);
            let made = command.status().map_err(|error| format!("sh: {error}"))?;
            if !made.success() {
                return Err("openssl could not make the certificates".to_owned());
            }
        }
        Ok(folder)
    }
}

fn plain(n: usize, port: u16, backend: u16) -> String {
    format!(
        r"
server {{
    listen 127.0.0.1:{port};
    server_name site{n}.example.com www.site{n}.example.com;
    location / {{
        proxy_set_header Host $host;
        proxy_pass http://127.0.0.1:{backend};
    }}
    location /site/ {{
        proxy_set_header X-Site site{n};
        proxy_pass http://127.0.0.1:{backend};
    }}
    location /api/ {{
        proxy_set_header X-Real-IP $remote_addr;
        proxy_pass http://127.0.0.1:{backend};
    }}
    location ~ \.php$ {{
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_pass http://127.0.0.1:{backend};
    }}
    location ~* \.(png|jpe?g|gif|css|js)$ {{
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_pass http://127.0.0.1:{backend};
    }}
}}
"
    )
}

fn certified(n: usize, port: u16, backend: u16, certificates: &Path) -> String {
    let folder = certificates.display();
    format!(
        r"
server {{
    listen 127.0.0.1:{port};
    listen unix:{folder}/{port}.sock ssl;
    server_name site{n}.example.com www.site{n}.example.com;
    ssl_certificate {folder}/{n}.crt;
    ssl_certificate_key {folder}/{n}.key;
    location / {{
        proxy_set_header X-Site $site;
        proxy_pass http://127.0.0.1:{backend};
    }}
}}
"
    )
}

fn map() -> String {
    let mut text = "map $host $site {\n    default none;\n".to_owned();
    for n in 1..=MAP_ROWS {
        let _ = writeln!(text, "    host{n}.example.com value{n};");
    }
    text + "}\n"
}
