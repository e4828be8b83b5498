//! Entry points of fuzz targets, which tests call too.
//!
//! Whole requests run in a simulated network: a client's fields go in by an exchange in memory, and
//! an upstream answers with bytes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use weir_engine::sim::{self, Faults, Listening};
use weir_engine::spawn;
use weir_upstream::Registry;
use weir_wire::field_block::FieldBlock;
use weir_wire::request::Version;

pub use crate::cache::file::fuzz_file as cache_file;
pub use crate::cache::fuzz::{damaged_file as cache_damage, fields as cache_fields};
pub use crate::cache::index_codec::fuzz_index as cache_index;
pub use crate::cache::rfc9111::fuzz::fuzz_rules as cache_rules;
use crate::client::memory::Answer;
use crate::client::memory::pair;
use crate::fixture::{LISTENER, configuration, connection};
pub use crate::modules::fuzz_user_file as user_file;
pub use crate::modules::{fuzz_content_range as content_range, fuzz_ranges as ranges};
use crate::serve::{Ask, Service};
use crate::snapshot::{Configuration, Snapshot};

/// What reads fields of requests and of responses, all of it in force.
const CONF: &str = r#"
    charset_map koi8-r utf-8 { C0 D18E; E0 D0AE; }
    server {
        listen 80;
        server_name a.test *.b.test ~^(?<sub>[a-z]+)\.c\.test$;
        root CONF_FOLDER;
        set_real_ip_from 127.0.0.0/8;
        real_ip_header X-Forwarded-For;
        real_ip_recursive on;
        userid on;
        userid_name uid;
        valid_referers none blocked server_names *.example.com example.* www.example.org/a ~\.b\.;
        secure_link $arg_md5,$arg_expires;
        secure_link_md5 "$secure_link_expires$uri$remote_addr secret";
        modern_browser msie 6.0;
        modern_browser gecko 1.0.0;
        ancient_browser Links netscape4;
        charset utf-8;
        source_charset koi8-r;
        override_charset on;
        charset_types *;
        add_header X-Seen "$secure_link $invalid_referer $modern_browser $ancient_browser $msie
            $remote_user $remote_addr $arg_a $cookie_a $http_a $uid_got $sub $args $host" always;
        gzip on;
        gzip_types *;
        gzip_min_length 1;
        gunzip on;
        location / {
            autoindex on;
            if ($arg_a ~* "^([a-z]+)=(.*)$") { rewrite ^/(.*)$ /files/$1?$2 last; }
        }
        location /files/ { flv; alias CONF_FOLDER/; }
        location /up/ {
            proxy_pass http://10.0.0.1:80/;
            proxy_force_ranges on;
            proxy_redirect default;
            proxy_redirect ~^http://([^/]+)/(.*)$ /$1/$2;
            proxy_cookie_domain ~\.(?<d>[a-z]+)$ .$d;
            proxy_cookie_path / /up/;
            proxy_cookie_flags ~a secure httponly samesite=lax;
            proxy_cookie_flags b nosecure nohttponly nosamesite;
            proxy_pass_trailers on;
            proxy_read_timeout 1s;
            ssi on;
            ssi_types *;
            sub_filter a b;
            sub_filter <x> "$arg_a";
            sub_filter_once off;
            sub_filter_types *;
            addition_types *;
            add_after_body /files/mime.types;
        }
    }
"#;

/// Of the simulated network, which makes no faults.
const SEED: u64 = 1;

/// More than any response here.
const ALL: u64 = 1 << 30;

/// Built once, since that takes longer than a request. Its upstream keeps no connections, so
/// nothing of an input is left for the next one.
static CONFIGURATION: LazyLock<Arc<Configuration>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf");
    configuration(&CONF.replace("CONF_FOLDER", folder), &Registry::default())
});

/// A request as lines of `name=value`, then an empty line, then all that an upstream answers.
///
/// # Panics
/// If anything does on the request's way.
pub fn exchange(data: &[u8]) {
    answer(data);
}

fn answer(data: &[u8]) -> Answer {
    let at = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, answer) = (&data[..at], data.get(at + 2..).unwrap_or_default().to_vec());
    sim::run(SEED, Faults::none(), async move {
        upstream(answer);
        let service = Service::new(Snapshot::new(Arc::clone(&CONFIGURATION), Arc::new(())));
        let mut fields = FieldBlock::default();
        for line in head.split(|&byte| byte == b'\n') {
            let at = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
            fields.push(&line[..at], line.get(at + 1..).unwrap_or_default());
        }
        let ask = Ask { version: Version::HTTP_2, fields: &mut fields, ended: true };
        let (exchange, peer) = pair(ALL);
        assert!(service.serve(LISTENER, &connection(), ask, exchange).await);
        peer.answer().await
    })
}

/// The body of every call of the API.
pub fn api_body(data: &[u8]) {
    crate::modules::fuzz_api(data);
}

/// The file of a key-value zone. What is read is written and read again.
///
/// # Panics
/// If it is not the same.
pub fn keyval_state(data: &[u8]) {
    let Ok(pairs) = crate::keyval::state::read(data, 1) else { return };
    let again = crate::keyval::state::write(&pairs);
    assert_eq!(crate::keyval::state::read(again.as_bytes(), 1), Ok(pairs));
}

/// Answers each connection with these bytes, once something has come, and closes it.
fn upstream(answer: Vec<u8>) {
    let listening = Listening::at(SocketAddr::from(([10, 0, 0, 1], 80)));
    let answer: Rc<[u8]> = answer.into();
    spawn(async move {
        loop {
            let peer = listening.accept().await;
            let answer = Rc::clone(&answer);
            spawn(async move {
                let mut asked = Vec::new();
                if peer.read(&mut asked, 4096).await.is_ok() {
                    let _ = peer.write_all(&answer).await;
                    peer.finish();
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inputs that every run of a target starts with.
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let seeds = std::fs::read_dir(folder).unwrap();
        seeds.map(|seed| std::fs::read(seed.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn seeds_are_served_alike_each_time() {
        let seeds = seeds("exchange");
        assert!(seeds.len() > 3);
        // Fields hold numbers that count the users of a process.
        let bodies = || seeds.iter().map(|seed| answer(seed).body).collect::<Vec<_>>();
        assert!(bodies() == bodies());
    }

    #[test]
    fn seeds_are_passwords_and_their_hashes() {
        let seeds = seeds("user_file");
        assert!(seeds.len() > 8);
        for seed in seeds {
            assert!(user_file(&seed), "{}", String::from_utf8_lossy(&seed));
        }
    }
}
