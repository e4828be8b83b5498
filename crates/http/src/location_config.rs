//! What a request takes over from a location when it enters it (nginx:
//! `ngx_http_update_location_config`).

use crate::client::Rate;
use crate::core::connection::KeepaliveDisable;
use crate::core::{CONNECTION, FILES, LIMITS};
use crate::request::Request;
use weir_wire::h1::Method;
use weir_wire::header::Known;

impl Request {
    /// Takes over what the request's location says about its connection and its body.
    pub fn enter_location(&mut self) {
        let location = std::rc::Rc::clone(&self.location);
        let limits = location.settings.get(&LIMITS);
        let connection = location.settings.get(&CONNECTION);
        self.body.max_size = limits.client_max_body_size.0;
        self.body.timeout = limits.client_body_timeout.0;
        self.client.sendfile = location.settings.get(&FILES).sendfile;
        self.client.send_timeout = limits.send_timeout.0;
        self.client.nopush = connection.tcp_nopush;
        if self.keepalive {
            self.keepalive = !connection.keepalive_timeout.idle.is_zero()
                && self.number < u64::from(connection.keepalive_requests)
                && self.info.start.elapsed() <= connection.keepalive_time.0
                && !self.is_disabled(connection.keepalive_disable);
        }
    }

    /// Whether the client is one of the browsers whose connections are not kept.
    fn is_disabled(&self, disabled: KeepaliveDisable) -> bool {
        let posts_as_msie6 = disabled.has(KeepaliveDisable::MSIE6) && self.method == Method::Post;
        if !posts_as_msie6 && !disabled.has(KeepaliveDisable::SAFARI) {
            return false;
        }
        let Some(agent) = self.head.get(Known::UserAgent) else { return false };
        posts_as_msie6 && is_msie6(agent)
            || disabled.has(KeepaliveDisable::SAFARI) && is_safari(agent)
    }

    /// Settles `limit_rate` when the response begins, unless something else has before.
    pub(crate) fn settle_rate(&mut self) {
        let location = std::rc::Rc::clone(&self.location);
        let limits = location.settings.get(&LIMITS);
        if !self.client.rate_set {
            self.client.rate_set = true;
            let Some(limit) = &limits.limit_rate else { return };
            let bytes = limit.eval(self);
            self.client.rate = (bytes > 0).then(|| Rate::new(bytes, 0));
        }
        if self.client.rate.is_some()
            && let Some(after) = &limits.limit_rate_after
        {
            let after = after.eval(self);
            if let Some(rate) = &mut self.client.rate {
                rate.after = after;
            }
        }
    }
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Internet Explorer 4 to 6, but not 6 with its second service pack.
fn is_msie6(agent: &[u8]) -> bool {
    const NAME: &[u8] = b"MSIE ";
    let Some(at) = agent.windows(NAME.len()).position(|window| window == NAME) else {
        return false;
    };
    let version = &agent[at + NAME.len()..];
    match version {
        [b'4' | b'5', b'.', _, ..] => !has(agent, b"Opera"),
        [b'6', b'.', _, rest @ ..] => !has(agent, b"Opera") && !has(rest, b"SV1"),
        _ => false,
    }
}

/// Safari on a Mac.
fn is_safari(agent: &[u8]) -> bool {
    let others: [&[u8]; 4] = [b"MSIE ", b"Opera", b"Gecko/", b"Chrome/"];
    !others.into_iter().any(|other| has(agent, other))
        && has(agent, b"Safari/")
        && has(agent, b"Mac OS X")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_whose_connections_are_not_kept() {
        assert!(is_msie6(b"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)"));
        assert!(is_msie6(b"Mozilla/4.0 (compatible; MSIE 5.5; Windows 98)"));
        assert!(!is_msie6(b"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)"));
        assert!(!is_msie6(b"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 5.1)"));
        assert!(!is_msie6(b"Mozilla/4.0 (compatible; MSIE 6.0; X) Opera 8"));
        assert!(is_safari(b"Mozilla/5.0 (Macintosh; Mac OS X) AppleWebKit/4 Safari/4"));
        assert!(!is_safari(b"Mozilla/5.0 (Mac OS X) Chrome/1 Safari/4"));
    }
}
