//! Detection of old browsers that need special treatment by `User-Agent` (nginx:
//! `ngx_http_process_user_agent`).

use memchr::memmem;
use weir_wire::header::Known;

use crate::request::head::Head;

/// The detected browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserAgent {
    /// Internet Explorer.
    pub msie: bool,
    /// Internet Explorer up to version 6, except with the second service pack of Windows XP.
    pub msie6: bool,
    /// Chrome, or another browser that names it and not Gecko.
    pub chrome: bool,
    /// Safari on a Mac.
    pub safari: bool,
}

impl UserAgent {
    /// Parses the `User-Agent` of a request. Several add up, in their order.
    pub(crate) fn of(head: &Head) -> Self {
        let mut browser = Self::default();
        if head.get(Known::UserAgent).is_some() {
            let agents = head.iter().filter(|(_, _, known)| *known == Known::UserAgent);
            agents.for_each(|(_, agent, _)| browser.add(agent));
        }
        browser
    }

    fn add(&mut self, agent: &[u8]) {
        let find = |text: &str| memmem::find(agent, text.as_bytes());
        if let Some(at) = find("MSIE ")
            && at + 7 < agent.len()
        {
            self.msie = true;
            self.msie6 |= match agent.get(at + 5..at + 7) {
                Some(b"4." | b"5.") => true,
                Some(b"6.") => find("SV1").is_none_or(|patched| patched < at),
                _ => false,
            };
        }
        if find("Opera").is_some() {
            (self.msie, self.msie6) = (false, false);
        } else if !self.msie && find("Gecko/").is_none() {
            let chrome = find("Chrome/").is_some();
            self.chrome |= chrome;
            self.safari |= !chrome && find("Safari/").is_some() && find("Mac OS X").is_some();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents() {
        let parse = |text: &str| {
            let mut browser = UserAgent::default();
            text.split('\n').for_each(|agent| browser.add(agent.as_bytes()));
            browser
        };
        let old = parse("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)");
        assert!(old.msie && old.msie6);
        let patched = parse("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)");
        assert!(patched.msie && !patched.msie6);
        assert_eq!(parse("Mozilla/4.0 (compatible; MSIE 6.0) Opera 7.0"), UserAgent::default());
        assert_eq!(parse("MSIE 6."), UserAgent::default());
        assert!(parse("MSIE foo").msie);
        assert!(
            parse("Mozilla/5.0 (X11) AppleWebKit (KHTML, like Gecko) Chrome/1 Safari/1").chrome
        );
        assert!(parse("Mozilla/5.0 (Mac OS X) AppleWebKit (KHTML, like Gecko) Safari/1").safari);
        assert_eq!(parse("Gecko/1 Chrome/1"), UserAgent::default());
        assert!(parse("curl/8.0\nMozilla/4.0 (compatible; MSIE 6.0)").msie6);
        assert_eq!(parse("Mozilla/4.0 (compatible; MSIE 6.0)\nOpera"), UserAgent::default());
    }
}
