//! A Rust file as the rules see it: all paths that it names, in full.
//!
//! Imports are expanded (`use a::{b, c as d}`), `self`, `super` and `crate` are resolved, and a
//! path that begins with an imported name continues the import. Test code is left out.

use std::collections::HashMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A path named by a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// In full, such as `std::thread::spawn` or `crate::pass::attempt`.
    pub(crate) path: String,
    pub(crate) line: usize,
}

impl Named {
    /// Whether it is `prefix` or inside of it.
    pub(crate) fn is_in(&self, prefix: &str) -> bool {
        self.path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}

/// A parsed file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path from the root of the workspace.
    pub(crate) path: String,
    pub(crate) named: Vec<Named>,
    /// Lines with `unsafe`.
    pub(crate) unsafe_lines: Vec<usize>,
    /// Functions whose error is a bare text or number.
    pub(crate) bare_errors: Vec<usize>,
    /// The file starts with `forbid(unsafe_code)`.
    pub(crate) forbids_unsafe: bool,
    /// Files that it declares as modules for tests only.
    pub(crate) test_modules: Vec<String>,
}

impl Source {
    /// Parses a file.
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut visitor = Visitor {
            module: module_of(path),
            scopes: vec![HashMap::new()],
            named: Vec::new(),
            unsafe_lines: Vec::new(),
            bare_errors: Vec::new(),
        };
        let test_modules = visitor.test_modules(&file.items);
        let forbids_unsafe = file.attrs.iter().any(|attribute| {
            let mut forbids = false;
            if attribute.path().is_ident("forbid") {
                let _ = attribute.parse_nested_meta(|meta| {
                    forbids |= meta.path.is_ident("unsafe_code");
                    Ok(())
                });
            }
            forbids
        });
        if !is_test_file(path) {
            visitor.items(&file.items);
        }
        let Visitor { named, unsafe_lines, bare_errors, .. } = visitor;
        let path = path.to_owned();
        Self { path, named, unsafe_lines, bare_errors, forbids_unsafe, test_modules }
    }

    /// The folder of the crate.
    pub(crate) fn krate(&self) -> &str {
        self.path
            .strip_prefix("crates/")
            .and_then(|rest| rest.split('/').next())
            .unwrap_or_default()
    }

    /// The faults of this file, one for each path that `is_bad` selects.
    pub(crate) fn faults(&self, is_bad: impl Fn(&Named) -> bool) -> Vec<String> {
        let bad = self.named.iter().filter(|named| is_bad(named));
        bad.map(|named| format!("{}:{} names {}", self.path, named.line, named.path)).collect()
    }
}

/// Files that are compiled for tests only.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The module of a file: `crates/http/src/pass/relay.rs` is `crate::pass::relay`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let inside = path.split_once("/src/").map_or(path, |(_, inside)| inside);
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut module = vec!["crate".to_owned()];
    if !matches!(inside, "lib" | "main") {
        module.extend(inside.split('/').map(str::to_owned));
    }
    module
}

struct Visitor {
    module: Vec<String>,
    /// The names that imports and `mod` bring into scope, for each open inline module.
    scopes: Vec<HashMap<String, String>>,
    named: Vec<Named>,
    unsafe_lines: Vec<usize>,
    bare_errors: Vec<usize>,
}

impl Visitor {
    /// Visits the items of a module: imports first, since they apply before their line.
    fn items(&mut self, items: &[syn::Item]) {
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            match item {
                syn::Item::Use(item) => self.import(&mut Vec::new(), &item.tree),
                syn::Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let path = self.module.join("::") + "::" + &name;
                    self.scope().insert(name, path);
                }
                _ => {}
            }
        }
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            self.visit_item(item);
        }
    }

    /// Handles `mod name;` with `cfg(test)`.
    fn test_modules(&self, items: &[syn::Item]) -> Vec<String> {
        let declared = items.iter().filter_map(|item| match item {
            syn::Item::Mod(item) if item.content.is_none() && is_for_tests(&item.attrs) => {
                Some(format!("{}::{}", self.module.join("::"), item.ident))
            }
            _ => None,
        });
        declared.collect()
    }

    fn scope(&mut self) -> &mut HashMap<String, String> {
        self.scopes.last_mut().expect("the file's own")
    }

    fn import(&mut self, prefix: &mut Vec<String>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.import(prefix, &path.tree);
                prefix.pop();
            }
            syn::UseTree::Name(name) => self.imported(prefix, &name.ident, &name.ident),
            syn::UseTree::Rename(rename) => self.imported(prefix, &rename.ident, &rename.rename),
            syn::UseTree::Glob(glob) => {
                let path = self.resolve(prefix) + "::*";
                self.name(path, glob.span());
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(prefix, tree));
            }
        }
    }

    fn imported(&mut self, prefix: &[String], name: &syn::Ident, alias: &syn::Ident) {
        let mut path = prefix.to_vec();
        let mut alias = alias.to_string();
        if name == "self" {
            if alias == "self" {
                alias = path.last().cloned().unwrap_or_default();
            }
        } else {
            path.push(name.to_string());
        }
        let path = self.resolve(&path);
        self.scope().insert(alias, path.clone());
        self.name(path, name.span());
    }

    /// A path in full.
    fn resolve(&self, segments: &[String]) -> String {
        let mut module = self.module.clone();
        let mut rest = segments;
        let mut relative = false;
        while let [first, tail @ ..] = rest {
            match first.as_str() {
                "self" => relative = true,
                "super" => {
                    relative = true;
                    module.pop();
                }
                _ => break,
            }
            rest = tail;
        }
        if relative {
            return [&module, rest].concat().join("::");
        }
        let known = segments
            .first()
            .and_then(|first| self.scopes.iter().rev().find_map(|scope| scope.get(first)).cloned());
        match known {
            Some(known) => [&[known], &segments[1..]].concat().join("::"),
            None => segments.join("::"),
        }
    }

    fn name(&mut self, path: String, span: proc_macro2::Span) {
        self.named.push(Named { path, line: span.start().line });
    }

    /// Records the paths in a macro's arguments, which are not parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut segments: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut span = proc_macro2::Span::call_site();
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.flush(&mut segments, span);
                        span = ident.span();
                    }
                    if ident == "unsafe" {
                        self.unsafe_lines.push(ident.span().start().line);
                    }
                    segments.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.flush(&mut segments, span);
                    self.tokens(group.stream());
                    colons = 0;
                }
                _ => {
                    self.flush(&mut segments, span);
                    colons = 0;
                }
            }
        }
        self.flush(&mut segments, span);
    }

    fn flush(&mut self, segments: &mut Vec<String>, span: proc_macro2::Span) {
        if segments.len() > 1 {
            let path = self.resolve(segments);
            self.name(path, span);
        }
        segments.clear();
    }

    fn mark_unsafe(&mut self, token: Option<syn::token::Unsafe>) {
        self.unsafe_lines.extend(token.map(|token| token.span.start().line));
    }
}

/// Whether it is a `Result` whose error is a text or a number.
fn has_bare_error(returned: &syn::Type) -> bool {
    let syn::Type::Path(returned) = returned else { return false };
    let Some(last) = returned.path.segments.last().filter(|last| last.ident == "Result") else {
        return false;
    };
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
    let Some(syn::GenericArgument::Type(syn::Type::Path(error))) = arguments.args.iter().nth(1)
    else {
        return false;
    };
    ["String", "u8", "u16", "u32", "u64", "usize", "i32"].iter().any(|it| error.path.is_ident(it))
}

impl<'a> Visit<'a> for Visitor {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if let Some((_, items)) = &item.content {
            self.module.push(item.ident.to_string());
            self.scopes.push(HashMap::new());
            self.items(items);
            self.scopes.pop();
            self.module.pop();
        }
    }

    // Imports are read at the start of their module or block.
    fn visit_item_use(&mut self, _: &'a syn::ItemUse) {}

    fn visit_block(&mut self, block: &'a syn::Block) {
        self.scopes.push(HashMap::new());
        for statement in &block.stmts {
            if let syn::Stmt::Item(syn::Item::Use(item)) = statement {
                self.import(&mut Vec::new(), &item.tree);
            }
        }
        visit::visit_block(self, block);
        self.scopes.pop();
    }

    fn visit_impl_item(&mut self, item: &'a syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Fn(item) => &item.attrs[..],
            syn::ImplItem::Const(item) => &item.attrs[..],
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        // A name alone was named where it was imported, or it is a variable.
        if segments.len() > 1 {
            let full = self.resolve(&segments);
            self.name(full, path.span());
        }
        visit::visit_path(self, path);
    }

    // `pub(super)` is a visibility, not a dependency.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_macro(&mut self, mac: &'a syn::Macro) {
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone());
    }

    fn visit_expr_unsafe(&mut self, expr: &'a syn::ExprUnsafe) {
        self.mark_unsafe(Some(expr.unsafe_token));
        visit::visit_expr_unsafe(self, expr);
    }

    fn visit_signature(&mut self, signature: &'a syn::Signature) {
        if let syn::Safety::Unsafe(token) = signature.safety {
            self.mark_unsafe(Some(token));
        }
        if let syn::ReturnType::Type(_, returned) = &signature.output
            && has_bare_error(returned)
        {
            self.bare_errors.push(signature.ident.span().start().line);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        self.mark_unsafe(item.unsafety);
        visit::visit_item_impl(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'a syn::ItemForeignMod) {
        self.unsafe_lines.push(item.span().start().line);
        visit::visit_item_foreign_mod(self, item);
    }
}

/// Whether an item is compiled for tests only.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        attribute.path().is_ident("test") || is_cfg && says_test(attribute)
    })
}

fn says_test(attribute: &syn::Attribute) -> bool {
    let mut says = false;
    let _ = attribute.parse_nested_meta(|meta| {
        if !meta.path.is_ident("any") {
            says |= meta.path.is_ident("test");
            return Ok(());
        }
        // `any(test, fuzzing)`: fuzz targets are tests, too.
        let mut all = true;
        meta.parse_nested_meta(|meta| {
            all &= meta.path.is_ident("test") || meta.path.is_ident("fuzzing");
            Ok(())
        })?;
        says |= all;
        Ok(())
    });
    says
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The paths named by a piece of code at a given place.
pub(crate) fn paths(path: &str, code: &str) -> Vec<String> {
    Source::parse(path, code).named.into_iter().map(|named| named.path).collect()
}

#[test]
fn paths_are_named_in_full() {
    let code = "use std::{fs::{self, File as F}, thread}; use super::relay; mod own; mod alone;\n\
        pub(in crate::q) struct S { pub(super) x: u8 }\n\
        fn f() { thread::spawn(|| fs::read(\"\")); F::open(\"\"); relay::x(); own::y(); self::own::z();\n\
        matches!(a, crate::b::C); use std::process; process::exit(1); let alone = 1; alone }\n\
        #[cfg(test)] mod tests { use std::net::UdpSocket; }";
    let named = paths("crates/http/src/pass/attempt.rs", code);
    for wanted in [
        "std::fs",
        "std::fs::File",
        "std::thread::spawn",
        "std::fs::read",
        "std::fs::File::open",
        "crate::pass::relay",
        "crate::pass::relay::x",
        "crate::pass::attempt::own::y",
        "crate::pass::attempt::own::z",
        "crate::b::C",
        "std::process::exit",
    ] {
        assert!(named.iter().any(|path| path == wanted), "{wanted} is not among {named:?}");
    }
    let others = ["UdpSocket", "crate::q", "alone"];
    assert!(!named.iter().any(|path| others.iter().any(|other| path.contains(other))), "{named:?}");
}
