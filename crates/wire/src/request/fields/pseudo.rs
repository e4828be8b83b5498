//! Pseudo-fields of requests.

use crate::header::{Entry, Span};
use crate::request::error::{Pseudo, PseudoFault, RequestError, RequestFault};
use crate::uri::Scan;

/// The pseudo-fields of a request (RFC 9113 section 8.3.1).
#[derive(Clone, Debug, Default)]
pub(super) struct Pseudos {
    /// In the order of [`Pseudo`].
    fields: [Option<Entry>; 5],
    /// The scan of `:path`.
    scan: Scan,
}

/// What the pseudo-fields ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) method: Span,
    /// Empty if there is none.
    pub(super) scheme: Span,
    /// None in a plain CONNECT.
    pub(super) path: Option<(Span, Scan)>,
    /// The target in the request line.
    pub(super) shown: Span,
    /// Empty if there is none.
    pub(super) protocol: Span,
}

impl Pseudos {
    /// Takes the next pseudo-field.
    pub(super) fn take(
        &mut self,
        entry: &Entry,
        text: &[u8],
        extended_connect: bool,
    ) -> Result<(), RequestError> {
        let name = entry.name.of(text).get(1..).unwrap_or_default();
        let field = Pseudo::from_name(name)
            .filter(|&field| field != Pseudo::Protocol || extended_connect)
            .ok_or_else(|| {
                let span = Span { start: entry.name.start + 1, end: entry.name.end };
                RequestError { fault: RequestFault::PseudoUnknown, span }
            })?;
        let value = entry.value.of(text);
        let wrong = match field {
            _ if self.get(field).is_some() => Some(PseudoFault::Duplicate),
            Pseudo::Authority => None,
            _ if value.is_empty() => Some(PseudoFault::Empty),
            Pseudo::Method if !is_method(value) => Some(PseudoFault::Invalid),
            Pseudo::Scheme if !is_scheme(value) => Some(PseudoFault::Invalid),
            Pseudo::Path if !self.is_path(entry.value, text) => Some(PseudoFault::Invalid),
            Pseudo::Protocol if !is_token(value) => Some(PseudoFault::Invalid),
            _ => None,
        };
        if let Some(wrong) = wrong {
            if field == Pseudo::Method && wrong == PseudoFault::Invalid {
                // Variables show it.
                self.fields[field as usize] = Some(*entry);
            }
            let fault = RequestFault::Pseudo { field, wrong };
            return Err(RequestError { fault, span: entry.value });
        }
        self.fields[field as usize] = Some(*entry);
        Ok(())
    }

    /// `:authority`.
    pub(super) fn authority(&self) -> Option<Entry> {
        self.get(Pseudo::Authority)
    }

    /// Whether the field just taken is `:authority`.
    pub(super) fn last_is_authority(&self, entry: &Entry) -> bool {
        self.authority().as_ref() == Some(entry)
    }

    /// What a complete set asks for.
    pub(super) fn complete(&self, text: &[u8]) -> Result<Asked, RequestError> {
        let fail = |field, wrong| Err(RequestError::new(RequestFault::Pseudo { field, wrong }));
        let value = |field| self.get(field).map(|entry| entry.value);
        let scheme = value(Pseudo::Scheme);
        let Some(method) = value(Pseudo::Method) else {
            return fail(Pseudo::Method, PseudoFault::Missing);
        };
        let connect = method.of(text) == b"CONNECT";
        let protocol = match value(Pseudo::Protocol) {
            Some(_) if !connect => return fail(Pseudo::Protocol, PseudoFault::Invalid),
            protocol => protocol.unwrap_or_default(),
        };
        if connect && protocol.is_empty() {
            return match (scheme, value(Pseudo::Path), value(Pseudo::Authority)) {
                (None, None, Some(authority)) => Ok(Asked {
                    method,
                    scheme: Span::default(),
                    path: None,
                    shown: authority,
                    protocol,
                }),
                (None, None, None) => fail(Pseudo::Authority, PseudoFault::Missing),
                // Refused behind its fields, which an error page gets.
                (Some(scheme), Some(path), _) => Ok(Asked {
                    method,
                    scheme,
                    path: Some((path, self.scan)),
                    shown: path,
                    protocol,
                }),
                _ => Err(RequestError::new(RequestFault::Connect)),
            };
        }
        let Some(scheme) = scheme else { return fail(Pseudo::Scheme, PseudoFault::Missing) };
        let Some(path) = value(Pseudo::Path) else {
            return fail(Pseudo::Path, PseudoFault::Missing);
        };
        Ok(Asked { method, scheme, path: Some((path, self.scan)), shown: path, protocol })
    }

    /// Whether there is a path, which a CONNECT without `:protocol` must not have.
    pub(super) fn has_path(&self) -> bool {
        self.get(Pseudo::Path).is_some()
    }

    /// What a refused request asks for, if its method and path are known.
    pub(super) fn partial(&self) -> Option<Asked> {
        let value = |field| self.get(field).map(|entry| entry.value);
        let (method, path) = (value(Pseudo::Method)?, value(Pseudo::Path)?);
        let scheme = value(Pseudo::Scheme).unwrap_or_default();
        let (shown, path) = (path, Some((path, self.scan)));
        Some(Asked { method, scheme, path, shown, protocol: Span::default() })
    }

    /// The method; empty if it is not known.
    pub(super) fn method(&self) -> Span {
        self.get(Pseudo::Method).map(|entry| entry.value).unwrap_or_default()
    }

    fn get(&self, field: Pseudo) -> Option<Entry> {
        self.fields[field as usize]
    }

    /// Scans a path where it is.
    fn is_path(&mut self, path: Span, text: &[u8]) -> bool {
        let (start, end) = (path.start as usize, path.end as usize);
        let Some(head) = text.get(..end) else { return false };
        self.scan = Scan::default();
        head.get(start) == Some(&b'/') && self.scan.feed(head, start + 1) == end
    }
}

fn is_method(word: &[u8]) -> bool {
    word.iter().all(|&byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
}

fn is_scheme(word: &[u8]) -> bool {
    word.iter().enumerate().all(|(at, &byte)| match byte {
        b'0'..=b'9' | b'+' | b'-' | b'.' => at > 0,
        _ => byte.is_ascii_alphabetic(),
    })
}

fn is_token(word: &[u8]) -> bool {
    word.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
