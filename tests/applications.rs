//! Whole applications behind the server, as people run them: a site in PHP under php-fpm, and one of
//! Flask under uwsgi and gunicorn. Their configurations are those that people copy: nginx's example
//! for PHP, Debian's, Flask's, gunicorn's, and those of `docs/howto/php.md` and `python.md`.

use crate::harness::{Client, Response, Server, Setup};

mod php;
mod php_cache;
mod php_faults;
mod python;

/// A configuration of the page of a how-to: its blocks, with this test's addresses and paths.
fn how_to(page: &str, block: usize, places: &[(&str, &str)]) -> String {
    let mut blocks = page.split("```nginx\n").skip(1);
    let text = blocks.nth(block).and_then(|rest| rest.split("```").next()).expect("a block");
    let mut text = text.replace("listen 80;", "listen 127.0.0.1:%port%;");
    for (written, ours) in places {
        assert!(text.contains(written), "{written} is not in the configuration:\n{text}");
        text = text.replace(written, ours);
    }
    text
}

/// A server with this text inside of `http { }`, and the shipped files beside its configuration.
fn server(http: &str) -> Setup {
    ["fastcgi.conf", "fastcgi_params", "uwsgi_params"].iter().fold(
        Server::http(http),
        |setup, name| {
            let path = format!("{}/../conf/{name}", env!("CARGO_MANIFEST_DIR"));
            setup.file(name, std::fs::read(path).unwrap())
        },
    )
}

/// A form with a file, as browsers send it.
fn form(target: &str, file: &str, content: &[u8], title: &str) -> Vec<u8> {
    const END: &str = "--------------------------974767299852498929531610575";
    let mut body = format!(
        "--{END}\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n{title}\r\n--{END}\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"{file}\"\r\n\
         Content-Type: application/x-own\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(format!("\r\n--{END}--\r\n").as_bytes());
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary={END}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// A body that tells where its bytes are.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect()
}

/// The MD5 digest of bytes, by the program that everybody has.
fn md5(bytes: &[u8]) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new("md5sum");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout)[..32].to_owned()
}

/// A browser: it keeps cookies.
struct Browser<'s> {
    server: &'s Server,
    cookies: Vec<(String, String)>,
}

impl<'s> Browser<'s> {
    fn new(server: &'s Server) -> Self {
        Self { server, cookies: Vec::new() }
    }

    fn ask(&mut self, method: &str, target: &str, form: &str) -> Response {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let body = match form {
            "" => String::new(),
            _ => format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                form.len()
            ),
        };
        let mut client = self.server.client();
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Cookie: {}\r\n{body}\r\n{form}",
            cookies.join("; ")
        ));
        let response = client.response();
        for cookie in response.all("Set-Cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        response
    }
}

/// The chunks of a response until these bytes have come.
fn take_chunks(client: &mut Client, bytes: &str) {
    let mut all = Vec::new();
    while all.len() < bytes.len() {
        all.extend(client.take_chunk());
    }
    assert_eq!(String::from_utf8_lossy(&all), bytes);
}
