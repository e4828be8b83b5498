//! Request heads.

use super::workload::Fields;

/// Fields as sent by a browser; with `Host` and a cookie they are twelve.
const BROWSER: &[(&str, &str)] = &[
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.8,de-DE;q=0.5,de;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "http://www.example.com/catalogue/items?page=3&sort=name"),
    ("Cache-Control", "no-cache"),
    ("Pragma", "no-cache"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
];

/// The size of the twelve fields with names, colons and line ends.
const TWELVE: usize = 4096;

/// The fields besides `Host`.
pub(super) fn fields(which: Fields) -> Vec<(&'static str, String)> {
    match which {
        Fields::One => Vec::new(),
        Fields::Close => vec![("Connection", "close".to_owned())],
        Fields::Twelve => {
            let mut fields: Vec<_> =
                BROWSER.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let so_far: usize =
                fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
            let host = "Host: 127.0.0.1:65535\r\n".len();
            let cookie = "session=".to_owned();
            let rest = TWELVE - so_far - host - "Cookie: session=\r\n".len();
            fields.push(("Cookie", cookie + &"0123456789abcdef".repeat(TWELVE)[..rest]));
            fields
        }
    }
}

/// A complete request with `Host`.
pub(crate) fn request(path: &str, which: Fields) -> Vec<u8> {
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n");
    for (name, value) in fields(which) {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_fields_have_four_kibibytes() {
        let request = String::from_utf8(request("/", Fields::Twelve)).expect("ASCII");
        let head = request.strip_prefix("GET / HTTP/1.1\r\n").expect("a request line");
        let fields = head.strip_suffix("\r\n").expect("an empty line");
        assert_eq!(fields.lines().count(), 12);
        assert_eq!(fields.len(), TWELVE);
    }
}
