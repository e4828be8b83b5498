//! `secure_link` (<https://nginx.org/en/docs/http/ngx_http_secure_link_module.html>).

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use md5::{Digest, Md5};
use weir_conf::value::parse_number;
use weir_conf::{Cx, Fault, Local, Slot, directives};
use weir_engine::clock;
use weir_script::Template;

use crate::module::Module;
use crate::request::{Request, State};
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "secure_link",
    tables: &[&SecureLink::table(&SECURE_LINK)],
    variables: &[
        VariableRow::new(
            "secure_link",
            "`1` if the link is valid, `0` if it has expired, otherwise empty; with \
             `secure_link_secret`, the link.",
            link,
        )
        .cached(),
        VariableRow::new(
            "secure_link_expires",
            "The end of a link's validity, from the link.",
            expires,
        )
        .cached(),
    ],
    ..Module::NONE
};

static SECURE_LINK: Slot<SecureLink> = Slot::new();

/// The expiry time in the link, set when the link is evaluated.
static EXPIRES: State<Option<Vec<u8>>> = State::new(|| None);

directives! {
    /// Links that require knowledge of a secret.
    pub struct SecureLink in [http, server, location] {
        /// The link's hash, optionally with a comma and its expiry time.
        "secure_link" => link: Local<Option<Template>>,
        /// The text to hash with MD5.
        "secure_link_md5" => md5: Local<Option<Template>>,
        /// The secret for hashes within the path.
        "secure_link_secret" as "word" => secret: Local<Option<String>>,
    }
    finish = SecureLink::finish;
}

impl SecureLink {
    /// A link of either kind overrides inherited settings of the other kind.
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        // Settings of `http {}` are checked in combination with those of each server.
        if cx.context() == weir_conf::Contexts::HTTP {
            return Ok(());
        }
        if self.secret.is_some() {
            if self.link.is_some() || self.md5.is_some() {
                let text = "\"secure_link_secret\" cannot be mixed with \"secure_link\" and \
                            \"secure_link_md5\"";
                return Err(Fault::new(text));
            }
            return Ok(());
        }
        let Some(parent) = parent else { return Ok(()) };
        self.link = self.link.take().or_else(|| parent.link.clone());
        self.md5 = self.md5.take().or_else(|| parent.md5.clone());
        if self.link.is_none() && self.md5.is_none() {
            self.secret.clone_from(&parent.secret);
        }
        Ok(())
    }
}

/// URL-safe base64 with the leniency of `ngx_decode_base64url`.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The longest encoded hash: 16 bytes with padding.
const LONGEST: usize = 24;

/// `$secure_link`: `1` for a valid link, `0` for an expired one, else empty. With
/// `secure_link_secret`, the protected part of the path.
fn link(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let location = request.location.clone();
    let settings = location.settings.get(&SECURE_LINK);
    if let Some(secret) = &settings.secret {
        let target = request.head.unparsed_uri();
        return match guarded(&target, secret.as_bytes()) {
            Some(path) => {
                out.extend_from_slice(path);
                true
            }
            None => false,
        };
    }
    let (Some(link), Some(text)) = (&settings.link, &settings.md5) else { return false };
    let value = request.eval(link);
    let (hash, until) = match memchr::memchr(b',', &value) {
        Some(comma) => (&value[..comma], Some(&value[comma + 1..])),
        None => (&value[..], None),
    };
    let mut time = 0;
    if let Some(until) = until {
        match parse_number(until) {
            None | Some(0) => return false,
            Some(number) => time = number,
        }
        *request.state(&EXPIRES) = Some(until.to_vec());
    }
    let Some(hash) = decode(hash) else { return false };
    let text = request.eval(text);
    if !same(&hash, &Md5::digest(text)) {
        return false;
    }
    let expired = time != 0 && (time as i64) < clock::wall_secs();
    out.push(if expired { b'0' } else { b'1' });
    true
}

fn decode(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() > LONGEST {
        return None;
    }
    let text = text.split(|&b| b == b'=').next().unwrap_or_default();
    BASE64.decode(text).ok()?.try_into().ok()
}

/// The path after `/prefix/HASH/`, if the hash is that of the path and the secret.
fn guarded<'a>(target: &'a [u8], secret: &[u8]) -> Option<&'a [u8]> {
    let rest = target.get(1..)?;
    let hash_start = memchr::memchr(b'/', rest)? + 1;
    let rest = &rest[hash_start..];
    let hash_end = memchr::memchr(b'/', rest)?;
    let (hash, path) = (&rest[..hash_end], &rest[hash_end + 1..]);
    if hash.len() != 32 || path.is_empty() {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, digits) in bytes.iter_mut().zip(hash.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    let expected = Md5::new().chain_update(path).chain_update(secret).finalize();
    same(&bytes, &expected).then_some(path)
}

/// Compares in constant time.
fn same(one: &[u8; 16], other: &[u8]) -> bool {
    one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// `$secure_link_expires`.
fn expires(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Some(Some(text)) = request.state_if(&EXPIRES) else { return false };
    out.extend_from_slice(text);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_its_hash_guards() {
        let hash: String =
            Md5::digest("a/b.htmlsecret").iter().map(|byte| format!("{byte:02x}")).collect();
        let target = format!("/p/{hash}/a/b.html");
        assert_eq!(guarded(target.as_bytes(), b"secret"), Some(&b"a/b.html"[..]));
        assert_eq!(guarded(target.as_bytes(), b"other"), None);
        assert_eq!(guarded(b"/p/+f/x", b"secret"), None);
        assert_eq!(guarded(b"", b"secret"), None);
    }

    #[test]
    fn hashes_with_and_without_padding() {
        assert!(decode(b"Xr4ilOzQ4PCOq3aQ0qbuaQ==").is_some());
        assert!(decode(b"Xr4ilOzQ4PCOq3aQ0qbuaQ").is_some());
        assert!(decode(b"Xr4ilOzQ4PCOq3aQ0qbua").is_none());
        assert!(decode(b"Xr4ilOzQ4PCOq3aQ0qbuaQ===").is_none());
    }
}
