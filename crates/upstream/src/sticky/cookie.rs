//! The cookie with the peer's id.

/// The lifetime of the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expires {
    /// `expires=max`: the end of 2037.
    Max,
    /// `expires=TIME`, in seconds from now.
    After(i64),
}

/// The parameters of `sticky cookie` that do not depend on the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// `path=`.
    pub path: Option<String>,
    /// `expires=`.
    pub expires: Option<Expires>,
    /// `httponly`.
    pub httponly: bool,
    /// `secure`.
    pub secure: bool,
}

/// The parameters of the cookie that depend on the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct CookieMoment<'a> {
    /// `domain=`, evaluated; omitted if empty.
    pub domain: &'a [u8],
    /// `samesite=`, evaluated; omitted if empty. Unknown words become `strict`.
    pub samesite: &'a [u8],
    /// Seconds of the wall clock, the base of [`Expires::After`].
    pub now: i64,
}

impl Cookie {
    /// The value of `Set-Cookie` for a peer.
    pub fn value(&self, sid: &str, moment: CookieMoment<'_>) -> Vec<u8> {
        let mut value = format!("{}={sid}", self.name).into_bytes();
        match self.expires {
            None => {}
            Some(Expires::Max) => {
                value.extend_from_slice(b"; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000")
            }
            Some(Expires::After(seconds)) => {
                value.extend_from_slice(b"; expires=");
                weir_wire::date::cookie(moment.now.saturating_add(seconds), &mut value);
                value.extend_from_slice(format!("; max-age={seconds}").as_bytes());
            }
        }
        if !moment.domain.is_empty() {
            value.extend_from_slice(b"; domain=");
            value.extend_from_slice(moment.domain);
        }
        if self.httponly {
            value.extend_from_slice(b"; httponly");
        }
        if self.secure {
            value.extend_from_slice(b"; secure");
        }
        if !moment.samesite.is_empty() {
            value.extend_from_slice(b"; samesite=");
            let known = is_samesite(moment.samesite);
            value.extend_from_slice(if known { moment.samesite } else { b"strict" });
        }
        if let Some(path) = &self.path {
            value.extend_from_slice(b"; path=");
            value.extend_from_slice(path.as_bytes());
        }
        value
    }
}

/// Whether this is `strict`, `lax` or `none`, ignoring case.
pub(crate) fn is_samesite(value: &[u8]) -> bool {
    [&b"strict"[..], b"lax", b"none"].iter().any(|known| value.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_the_order_of_nginx() {
        let cookie = Cookie {
            name: "sticky".into(),
            path: Some("/".into()),
            expires: Some(Expires::After(3780)),
            httponly: true,
            secure: true,
        };
        let moment = CookieMoment { domain: b"example.com", samesite: b"Lax", now: 1_767_222_000 };
        assert_eq!(
            String::from_utf8(cookie.value("a", moment)).unwrap(),
            "sticky=a; expires=Thu, 01-Jan-26 00:03:00 GMT; max-age=3780; domain=example.com; \
             httponly; secure; samesite=Lax; path=/"
        );
    }

    #[test]
    fn empty_and_unknown_values() {
        let cookie = Cookie { name: "c".into(), ..Cookie::default() };
        assert_eq!(cookie.value("x", CookieMoment::default()), b"c=x");
        let moment = CookieMoment { samesite: b"nonsense", ..CookieMoment::default() };
        assert_eq!(cookie.value("x", moment), b"c=x; samesite=strict");
        let cookie = Cookie { expires: Some(Expires::Max), ..cookie };
        assert_eq!(
            cookie.value("x", CookieMoment::default()),
            b"c=x; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000"
        );
    }
}
