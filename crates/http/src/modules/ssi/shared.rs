//! The state shared by the pages of a main request: variables, blocks and captures.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use weir_script::Captures;

use super::{Failed, complain};
use crate::request::{Request, State};

/// The shared state, handed down to subrequests.
pub(super) static SHARED: State<Rc<RefCell<Shared>>> = State::handed_down(Rc::default);

/// The maximum length of all variables and blocks of a main request, in bytes.
const TEXT_LIMIT: usize = 16 * 1024 * 1024;

/// The state shared by pages.
#[derive(Default)]
pub(super) struct Shared {
    /// Variables by name, in lower case.
    variables: HashMap<Vec<u8>, Vec<u8>>,
    pub(super) captures: Captures,
    /// The content of blocks by name, for `stub`.
    blocks: Vec<(Vec<u8>, Vec<u8>)>,
    text: usize,
}

impl Shared {
    /// A variable, or a capture if the name is a digit.
    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        if let [digit @ b'0'..=b'9'] = name {
            let found = self.captures.get(usize::from(digit - b'0'));
            if found.is_some() {
                return found;
            }
        }
        self.variables.get(&name.to_ascii_lowercase()).map(Vec::as_slice)
    }

    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        if self.takes(name.len() + value.len()) {
            self.variables.insert(name.to_ascii_lowercase(), value.to_vec());
        }
    }

    /// Sets a variable to an empty value unless it has one.
    pub(super) fn declare(&mut self, name: &[u8]) {
        if self.get(name).is_none() {
            self.set(name, b"");
        }
    }

    pub(super) fn begin_block(&mut self, name: &[u8]) {
        self.blocks.push((name.to_vec(), Vec::new()));
    }

    pub(super) fn add_to_block(&mut self, text: &[u8]) {
        if self.takes(text.len())
            && let Some((_, block)) = self.blocks.last_mut()
        {
            block.extend_from_slice(text);
        }
    }

    pub(super) fn block(&self, name: &[u8]) -> Option<&[u8]> {
        self.blocks.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_slice())
    }

    fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.text + bytes <= TEXT_LIMIT;
        if fits {
            self.text += bytes;
        }
        fits
    }
}

/// Appends the value of an SSI variable or a variable of the request; false if there is none.
pub(super) fn variable(request: &mut Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    if let Some(value) = request.state(&SHARED).borrow().get(name) {
        out.extend_from_slice(value);
        return true;
    }
    request.variable_named(name, out)
}

/// Evaluates a text with variables and backslash escapes.
pub(super) fn evaluate(request: &mut Request, text: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, tail) {
            (b'$', _) => {
                let (name, behind) = name(request, text, tail)?;
                variable(request, name, &mut out);
                rest = behind;
            }
            (b'\\', [escaped @ (b'\\' | b'\'' | b'"' | b'$'), behind @ ..]) => {
                out.push(*escaped);
                rest = behind;
            }
            // A backslash before any other byte stays; as the last byte it is dropped.
            (b'\\', []) => rest = tail,
            (b'\\', [next, behind @ ..]) => {
                out.extend_from_slice(&[byte, *next]);
                rest = behind;
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    Ok(out)
}

/// Splits a variable's name off `rest`, which follows a dollar.
fn name<'t>(
    request: &Request,
    whole: &[u8],
    rest: &'t [u8],
) -> Result<(&'t [u8], &'t [u8]), Failed> {
    let (rest, bracket) = match rest {
        [b'{', inside @ ..] => (inside, true),
        _ => (rest, false),
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = rest.iter().position(|byte| !is_name(byte)).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(length);
    let shown = String::from_utf8_lossy;
    let behind = match (bracket, behind) {
        (false, _) => behind,
        (true, [b'}', behind @ ..]) => behind,
        (true, _) => {
            let name = shown(name);
            let message = format!("the closing bracket in \"{name}\" variable is missing");
            complain(request, &message);
            return Err(Failed);
        }
    };
    if name.is_empty() {
        let message = format!("invalid variable name in \"{}\"", shown(whole));
        complain(request, &message);
        return Err(Failed);
    }
    Ok((name, behind))
}
