//! Whole requests for fuzzing, in a simulated network: a client's fields go in by an exchange in
//! memory, and an upstream answers with bytes. Tests call it too.

use std::net::SocketAddr;
use std::rc::Rc;

use weir_engine::sim::{self, Faults, Listening};
use weir_engine::spawn;
use weir_upstream::Registry;
use weir_wire::request::Version;

use crate::client::memory::pair;
use crate::fixture::{LISTENER, connection, snapshot};
use crate::serve::{Ask, Service};

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

/// A request as lines of `name=value`, then an empty line, then all that an upstream answers.
///
/// # Panics
/// If anything does on the request's way.
pub fn exchange(data: &[u8]) {
    let at = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, answer) = (&data[..at], data.get(at + 2..).unwrap_or_default().to_vec());
    sim::run(SEED, Faults::none(), async move {
        upstream(answer);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf");
        let conf = CONF.replace("CONF_FOLDER", folder);
        let service = Service::new(snapshot(&conf, &Registry::default()));
        let fields: Vec<_> = head
            .split(|&byte| byte == b'\n')
            .map(|line| {
                let at = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
                (&line[..at], line.get(at + 1..).unwrap_or_default())
            })
            .collect();
        let ask = Ask { version: Version::HTTP_2, fields: &fields, ended: true };
        let (exchange, peer) = pair(ALL);
        assert!(service.serve(LISTENER, &connection(), ask, exchange).await);
        let _ = peer.answer().await;
    });
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

    #[test]
    fn seeds_are_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/exchange");
        let seeds = std::fs::read_dir(folder).unwrap();
        assert!(
            seeds.map(|seed| exchange(&std::fs::read(seed.unwrap().path()).unwrap())).count() > 3
        );
    }
}
