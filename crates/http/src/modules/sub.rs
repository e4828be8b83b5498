//! `sub_filter` (<https://nginx.org/en/docs/http/ngx_http_sub_module.html>).

use std::io;
use std::sync::Arc;

use weir_conf::{Cx, Fault, Inherit, Node, Settings, Slot, directives};
use weir_engine::buffer::{self, Buf};
use weir_script::{Template, variables};

use crate::core::MediaTypes;
use crate::filter::BodyFilter;
use crate::module::Module;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Location;
use crate::snapshot::Held;

mod matcher;

use matcher::{Found, MAX_PATTERNS, Matcher};

pub(crate) const MODULE: Module = Module {
    name: "sub",
    tables: &[&Sub::table(&SUB)],
    header_filter: Some((replaces, filter)),
    ..Module::NONE
};

static SUB: Slot<Sub> = Slot::new();

directives! {
    /// Replacement of strings in responses.
    pub struct Sub as SubWritten in [http, server, location] {
        /// Replaces a string with another, ignoring case. May repeat.
        "sub_filter" [2]: "string replacement" => add_pair,
        /// The media types that are searched, besides `text/html`.
        "sub_filter_types" => types: MediaTypes,
        /// Replaces only the first occurrence of each string.
        "sub_filter_once" => once: bool = true,
        /// Keeps `Last-Modified` and a weak `ETag` of the response.
        "sub_filter_last_modified" => last_modified: bool = false,
        field pairs: Inherit<Arc<Pairs>>,
    }
    finish = Sub::finish;
}

/// The replacements of a level, with a shared matcher if no pattern has variables.
#[derive(Clone, Default)]
pub(crate) struct Pairs {
    list: Vec<(Template, Template)>,
    matcher: Option<Arc<Matcher>>,
}

fn add_pair(own: &mut SubWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let [pattern, value] = &node.args[..] else { return Err(Fault::bad_count(&node.name)) };
    if pattern.value.is_empty() {
        return Err(Fault::new("empty search pattern").at(pattern));
    }
    let pairs = Arc::make_mut(own.pairs.get_or_insert_default());
    if pairs.list.len() == MAX_PATTERNS {
        return Err(Fault::new(format!("number of search patterns exceeds {MAX_PATTERNS}")));
    }
    let names = variables(cx);
    let pattern = Template::compile(&pattern.value.to_ascii_lowercase(), names)?;
    pairs.list.push((pattern, Template::compile(&value.value, names)?));
    Ok(())
}

impl Sub {
    fn finish(&mut self, _parent: Option<&Self>, _cx: &mut Cx<'_>) -> Result<(), Fault> {
        if self.pairs.matcher.is_some() || self.pairs.list.is_empty() {
            return Ok(());
        }
        let fixed: Option<Vec<Vec<u8>>> =
            self.pairs.list.iter().map(|(p, _)| p.literal().map(<[u8]>::to_vec)).collect();
        if let Some(fixed) = fixed {
            Arc::make_mut(&mut self.pairs).matcher = Some(Arc::new(Matcher::new(fixed)));
        }
        Ok(())
    }
}

fn replaces(settings: &Settings) -> bool {
    !settings.get(&SUB).pairs.list.is_empty()
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let location = request.location.clone();
    let sub = location.settings.get(&SUB);
    if request.response.content_length == Some(0)
        || !sub.types.contains(&request.response.content_type)
    {
        return Ok(());
    }
    let (matcher, values) = match &sub.pairs.matcher {
        Some(matcher) => (Arc::clone(matcher), (0..matcher.len()).collect()),
        None => match compute(request, &sub.pairs) {
            Some(computed) => computed,
            None => return Ok(()),
        },
    };
    if !request.is_subrequest() {
        request.response.expect_change(sub.last_modified);
    }
    let (once, count) = (sub.once, matcher.len());
    request.chain.add(Box::new(Replace {
        location,
        matcher,
        values,
        ready: vec![None; count],
        done: vec![false; count],
        left: count,
        once,
        carry: Vec::new(),
    }));
    Ok(())
}

/// The patterns for this request and the indices of their replacements; None if all patterns are
/// empty.
fn compute(request: &mut Request, pairs: &Pairs) -> Option<(Arc<Matcher>, Vec<usize>)> {
    let mut patterns = Vec::new();
    let mut values = Vec::new();
    for (at, (pattern, _)) in pairs.list.iter().enumerate() {
        let pattern = request.eval(pattern);
        if !pattern.is_empty() {
            patterns.push(pattern);
            values.push(at);
        }
    }
    (!patterns.is_empty()).then(|| (Arc::new(Matcher::new(patterns)), values))
}

/// The replacement in one body.
struct Replace {
    /// The location, whose settings hold the replacements.
    location: Held<Location>,
    matcher: Arc<Matcher>,
    /// The index of each pattern's replacement among the pairs.
    values: Vec<usize>,
    /// The replacement of each pattern, evaluated when first needed.
    ready: Vec<Option<Box<[u8]>>>,
    /// Whether each pattern has been replaced and is not searched for again.
    done: Vec<bool>,
    /// The number of patterns that are still searched for.
    left: usize,
    once: bool,
    /// The end of the input so far, if it may begin a pattern. Shorter than the longest pattern.
    carry: Vec<u8>,
}

impl BodyFilter for Replace {
    fn push(
        &mut self,
        request: &mut Request,
        input: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        if self.left == 0 {
            out.push(input);
            return Ok(());
        }
        let mut rest = Some(input);
        while let Some(piece) = rest.take() {
            let (piece, more) = piece.load()?;
            self.replace(request, piece, out);
            rest = more;
        }
        Ok(())
    }

    fn include(
        &mut self,
        request: &mut Request,
        child: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        self.finish(request, out)?;
        out.push(child);
        Ok(())
    }

    fn finish(&mut self, _: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        if !self.carry.is_empty() {
            out.push(Piece::copy(&std::mem::take(&mut self.carry)));
        }
        Ok(())
    }
}

impl Replace {
    /// Replaces in one piece. A piece without a match passes unchanged.
    fn replace(&mut self, request: &mut Request, mut piece: Piece, out: &mut Vec<Piece>) {
        let Some(text) = piece.bytes() else { return out.push(piece) };
        let mut built = Buf::default();
        let Some(mut copied) = self.replace_carry(request, text, &mut built) else {
            return push_built(built, out);
        };
        // `built` stands for `text[..copied]` and earlier bytes. Without a match in the rest, the
        // rest is passed on as a part of the piece, without a copy.
        let changed = !built.is_empty() || copied > 0;
        let mut at = copied;
        let mut replaced = false;
        let end = loop {
            if self.left == 0 {
                break text.len();
            }
            match self.matcher.find(text, at, &self.done) {
                Found::Match { start, pattern } => {
                    reserve(&mut built, text.len());
                    built.extend_from_slice(&text[copied..start]);
                    self.value(request, pattern, &mut built);
                    at = start + self.matcher.length(pattern);
                    copied = at;
                    replaced = true;
                }
                Found::Partial { start } => break start,
                Found::Nothing => break text.len(),
            }
        };
        self.carry.extend_from_slice(&text[end..]);
        if replaced {
            built.extend_from_slice(&text[copied..end]);
            return push_built(built, out);
        }
        if changed {
            push_built(built, out);
        }
        piece.truncate(end as u64);
        piece.advance(copied as u64);
        out.push(piece);
    }

    /// Decides about the bytes held back, now that `text` follows them. Returns the offset in
    /// `text` to continue from, or None if all of it is held back.
    fn replace_carry(
        &mut self,
        request: &mut Request,
        text: &[u8],
        built: &mut Buf,
    ) -> Option<usize> {
        if self.carry.is_empty() {
            return Some(0);
        }
        let held = self.carry.len();
        let mut joint = std::mem::take(&mut self.carry);
        // A match that begins in the held bytes ends within the longest pattern's length after
        // them.
        joint.extend_from_slice(&text[..text.len().min(self.matcher.longest())]);
        reserve(built, joint.len());
        let mut at = 0;
        while at < held {
            let found = match self.left {
                0 => Found::Nothing,
                _ => self.matcher.find(&joint, at, &self.done),
            };
            match found {
                Found::Match { start, pattern } if start < held => {
                    built.extend_from_slice(&joint[at..start]);
                    self.value(request, pattern, built);
                    at = start + self.matcher.length(pattern);
                }
                Found::Partial { start } if start < held => {
                    debug_assert_eq!(joint.len(), held + text.len());
                    built.extend_from_slice(&joint[at..start]);
                    joint.drain(..start);
                    self.carry = joint;
                    return None;
                }
                _ => {
                    built.extend_from_slice(&joint[at..held]);
                    at = held;
                }
            }
        }
        Some(at - held)
    }

    /// Appends a pattern's replacement.
    fn value(&mut self, request: &mut Request, pattern: usize, built: &mut Buf) {
        let value = self.ready[pattern].get_or_insert_with(|| {
            let pairs = &self.location.settings.get(&SUB).pairs;
            request.eval(&pairs.list[self.values[pattern]].1).into()
        });
        built.extend_from_slice(value);
        if self.once {
            self.done[pattern] = true;
            self.left -= 1;
        }
    }
}

/// Takes a pooled buffer before the first write.
fn reserve(built: &mut Buf, size: usize) {
    if built.capacity() == 0 {
        *built = buffer::take(size);
    }
}

fn push_built(built: Buf, out: &mut Vec<Piece>) {
    if !built.is_empty() {
        out.push(Piece::from(built));
    }
}
