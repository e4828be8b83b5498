//! The parser: from words to a tree of directives. Faults never stop it.

use crate::diagnostic::{Diagnostic, Severity};
use crate::lexer::{LexFault, Lexer, Step};
use crate::node::{Node, Word};
use crate::source::{FileId, Span};
use std::collections::VecDeque;

/// The limit of nesting, over all files; deeper blocks are read and dropped. The tree is walked and
/// dropped recursively.
pub const MAX_DEPTH: usize = 128;

/// The tree of one text, and its faults.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The directives outside all blocks.
    pub nodes: Vec<Node>,
    /// The faults with their time, by which they are ordered among the faults of the directives
    /// around them.
    pub(crate) faults: VecDeque<(u32, Diagnostic)>,
}

impl Parsed {
    /// The faults in nginx's order.
    pub fn faults(&self) -> impl Iterator<Item = &Diagnostic> {
        self.faults.iter().map(|(_, fault)| fault)
    }
}

/// Parses a file's text.
pub fn parse(text: &[u8], file: FileId) -> Parsed {
    Parser::new(text, file, false).run()
}

/// Parses the argument of `-g`, where blocks are refused.
pub(crate) fn parse_parameter(text: &[u8], file: FileId) -> Parsed {
    Parser::new(text, file, true).run()
}

/// Entry point of the fuzz target: parses the bytes as a file and checks the spans.
pub fn fuzz(data: &[u8]) {
    for parsed in [parse(data, FileId(0)), parse_parameter(data, FileId(0))] {
        let mut left: Vec<&Node> = parsed.nodes.iter().collect();
        while let Some(node) = left.pop() {
            assert!(node.span.start <= node.span.end && node.span.end as usize <= data.len());
            assert!(node.args.iter().all(|word| word.span.end <= node.span.end));
            left.extend(node.block.iter().flatten());
        }
    }
}

/// A block being read, with its directives so far.
struct OpenBlock {
    /// The directive that opened it; `None` if its content is dropped.
    head: Option<Node>,
    nodes: Vec<Node>,
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    parameter: bool,
    /// Counts heads, closing braces and faults, so that faults are reported in their order.
    clock: u32,
    parsed: Parsed,
    open: Vec<OpenBlock>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8], file: FileId, parameter: bool) -> Self {
        let lexer = Lexer::new(text, file, parameter);
        Self { lexer, parameter, clock: 0, parsed: Parsed::default(), open: Vec::new() }
    }

    fn run(mut self) -> Parsed {
        let mut words = Vec::new();
        let mut faults = Vec::new();
        loop {
            let step = self.lexer.next(&mut words, &mut faults);
            let told = !faults.is_empty();
            for fault in faults.drain(..) {
                self.fault(fault);
            }
            match step {
                Step::End => self.directive(&mut words),
                Step::Open => self.block_start(&mut words),
                Step::Close => {
                    self.directive(&mut words);
                    self.block_end();
                }
                Step::Done => {
                    self.end(told);
                    return self.parsed;
                }
            }
        }
    }

    fn tick(&mut self) -> u32 {
        self.clock += 1;
        self.clock
    }

    fn fault(&mut self, fault: LexFault) {
        let now = self.tick();
        let LexFault { message, span, word, hint } = fault;
        let fault = Diagnostic::new(Severity::Emerg, message, Some(span));
        self.parsed.faults.push_back((now, Diagnostic { word, hint, ..fault }));
    }

    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.parsed.nodes.push(node),
        }
    }

    /// Makes a node of the words, which end here.
    fn node(&mut self, words: &mut Vec<Word>) -> Option<Node> {
        let mut words = words.drain(..);
        let name = words.next()?;
        let args: Vec<Word> = words.collect();
        let last = self.lexer.here();
        let span = Span { end: last.end, ..name.span };
        self.clock += 1;
        let order = self.clock;
        Some(Node { name, args, span, close: last, order, close_order: order, block: None })
    }

    fn directive(&mut self, words: &mut Vec<Word>) {
        if let Some(node) = self.node(words) {
            self.add(node);
        }
    }

    fn block_start(&mut self, words: &mut Vec<Word>) {
        let mut head = self.node(words);
        if self.parameter {
            let message = "block directives are not supported in -g option";
            self.fault(LexFault::new(message, self.lexer.here()));
            head = None;
        } else if self.open.len() == MAX_DEPTH {
            self.fault(LexFault::new("too many nested blocks", self.lexer.here()));
        }
        if self.open.len() >= MAX_DEPTH {
            head = None;
        }
        self.open.push(OpenBlock { head, nodes: Vec::new() });
    }

    fn block_end(&mut self) {
        match self.open.pop() {
            Some(open) => self.close(open),
            None => self.fault(LexFault::new("unexpected \"}\"", self.lexer.here())),
        }
    }

    fn close(&mut self, open: OpenBlock) {
        let close_order = self.tick();
        let close = self.lexer.here();
        if let Some(head) = open.head {
            self.add(Node { block: Some(open.nodes), close, close_order, ..head });
        }
    }

    fn end(&mut self, told: bool) {
        if let (Some(open), false, false) = (self.open.last(), told, self.parameter) {
            let fault = LexFault::new("unexpected end of file, expecting \"}\"", self.lexer.end());
            let head = open.head.as_ref();
            self.fault(match head {
                Some(head) => LexFault { word: Some(head.span), ..fault }
                    .hint(format!("the block \"{}\" is never closed", head.text())),
                None => fault,
            });
        }
        while let Some(open) = self.open.pop() {
            self.close(open);
        }
    }
}
