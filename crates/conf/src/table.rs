//! Tables of directives: rows, slots, and the meaning of field types.
//!
//! ```
//! use weir_conf::{Cx, Fault, Local, Many, Node, Slot, contexts, directives, value::Msec};
//!
//! static SUB: Slot<Sub> = Slot::new();
//!
//! directives! {
//!     /// Replacement of strings in the responses of a location.
//!     struct Sub as SubWritten in [http, server, location] {
//!         /// Once per block, inherited, with a default.
//!         "sub_filter_once" => once: bool = true,
//!         /// Its own contexts instead of the table's; without a default: `Default::default()`.
//!         "sub_filter_tag" in [http, location] => tag: Option<String>,
//!         /// A syntax other than its type's.
//!         "sub_filter_root" as "path" => root: Option<String>,
//!         /// Repeatable; a child block with its own replaces the whole list.
//!         "sub_filter_types" => types: Many<String>,
//!         /// Never inherited.
//!         "sub_filter_wait" => wait: Local<Msec> = Msec::seconds(5),
//!         /// A custom setter: contexts, numbers of arguments, syntax.
//!         "set" in [server, location, server_if, location_if] [2]: "$variable value" => set_set,
//!         /// A custom setter with a raw block, which it finds in `node.block`.
//!         "pairs" in [http] block [0]: "{ … }" => set_pairs,
//!         /// A block of directives, with a setter (before) and `then` (after).
//!         "location" in [server, location] opens location [1, 2]: "[ = | ~ ] uri" => open_location,
//!         "if" in [location] opens location_if [1+]: "(condition)" then close_if => open_if,
//!         "limit_except" in [location] opens limit_except [1+]: "method ...",
//!         // Fields without a row, which setters write.
//!         field code: Local<Vec<String>>,
//!     }
//!     finish = Sub::finish;
//! }
//!
//! fn set_set(sub: &mut SubWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
//!     sub.code.get_or_insert_default().push(node.args[0].text().into_owned());
//!     Ok(())
//! }
//! fn set_pairs(_: &mut SubWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
//!     for row in node.block.iter().flatten() {
//!         cx.row(row); // from here on messages have this row's line
//!     }
//!     cx.rows_done(node);
//!     Ok(())
//! }
//! fn open_location(_: &mut SubWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> { Ok(()) }
//! fn open_if(_: &mut SubWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> { Ok(()) }
//! // Runs after the content, in the closing block. A block in main may also have
//! // `after check_http`, which runs after the merge: `fn(&Node, &mut Cx)`.
//! fn close_if(_: &mut SubWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> { Ok(()) }
//!
//! impl Sub {
//!     fn finish(&mut self, _parent: Option<&Sub>, _cx: &mut Cx<'_>) -> Result<(), Fault> {
//!         Ok(())
//!     }
//! }
//! const TABLES: &[&weir_conf::Table] = &[&Sub::table(&SUB)];
//! # let _ = TABLES;
//! ```
//!
//! The macro makes `Sub` (fields of plain types, `Default`), `SubWritten` (an `Option` per field,
//! and `origins`; also known as `Written<Sub>`), the rows and the merge. `Sub::table(&SLOT)` gives
//! the table; `.prefix("proxy_")` puts a prefix before every name and `.except(&["x"])` leaves rows
//! out, so that one struct serves several protocols under several slots; `.moved(…)` moves the rows
//! into the contexts of stream.

pub(crate) mod arity;
pub(crate) mod field;
mod macros;
mod slot;

pub use arity::Arity;
pub use slot::{AnySlot, Slot};

use crate::context::Contexts;
use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::Node;
use crate::settings::{Settled, SharedValues};
use crate::source::Span;
use std::any::Any;
use std::sync::Arc;

/// A setter with the type of its target erased.
pub(crate) type Setter = fn(&mut dyn Any, &Node, &mut Cx<'_>) -> Result<(), Fault>;

/// A check of a merged block, which is the last of `cx.blocks()`.
pub type After = fn(&Node, &mut Cx<'_>) -> Result<(), Fault>;

/// The part of a directive after its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// `;`
    None,
    /// A block that the setter reads itself.
    Raw,
    /// A block of directives, in this context.
    Opens(Contexts),
    /// A block that is accepted unread (pending directives only).
    Ignored,
}

/// One directive.
#[derive(Debug)]
pub struct Row {
    /// Its name, without the table's prefix.
    pub name: &'static str,
    /// Its description, by lines.
    pub doc: &'static [&'static str],
    /// The contexts in which it is allowed.
    pub contexts: Contexts,
    /// The syntax of its arguments.
    pub syntax: &'static str,
    /// The number of its arguments.
    pub arity: Arity,
    /// The part after its arguments.
    pub body: Body,
    /// The default as written in a configuration; `None` if there is none to show.
    pub default: fn() -> Option<String>,
    /// Its setter.
    pub set: Option<Setter>,
    /// Runs after the content of the block.
    pub then: Option<Setter>,
    /// Runs after the merge of the block, which must be in main.
    pub after: Option<After>,
    /// Accepted with a warning, without effect.
    pub pending: bool,
}

impl Row {
    /// A row with empty parts, to be overridden.
    pub const BARE: Self = Self {
        name: "",
        doc: &[],
        contexts: Contexts::NONE,
        syntax: "",
        arity: Arity::NONE,
        body: Body::None,
        default: || None,
        set: None,
        then: None,
        after: None,
        pending: false,
    };
}

/// The places where the fields of one struct were written. Few are, so a list suffices.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<(&'static str, Span)>);

impl Origins {
    /// Records the place of a field or a directive; the last one counts.
    pub fn set(&mut self, field: &'static str, span: Span) {
        match self.0.iter_mut().find(|(name, _)| *name == field) {
            Some(known) => known.1 = span,
            None => self.0.push((field, span)),
        }
    }

    /// The place of a field or a directive, if it was written.
    pub fn get(&self, field: &str) -> Option<Span> {
        self.0.iter().find(|(name, _)| *name == field).map(|&(_, span)| span)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the parent's places of fields that have none here.
    pub(crate) fn inherit(&mut self, parent: &Self) {
        for &(field, span) in &parent.0 {
            if self.get(field).is_none() {
                self.0.push((field, span));
            }
        }
    }
}

/// `finish` of a struct: checks across fields, after the merge.
pub type Finish<T> = fn(&mut T, Option<&T>, &mut Cx<'_>) -> Result<(), Fault>;

/// The target of a struct's setters: an `Option` per field, and `origins`.
pub type Written<T> = <T as Group>::Written;

/// The rows of a struct made by `directives!`.
pub trait Rows {
    /// The contexts of rows that name none.
    const CONTEXTS: Contexts;
    /// The rows in the order of the text.
    const ROWS: &'static [Row];
}

/// Restores the type of a setter's target.
///
/// # Panics
/// If a row's setter is called with another table's fields, which would be a bug in this crate.
pub fn known<W: 'static>(written: &mut dyn Any) -> &mut W {
    written.downcast_mut().expect("a row writes to its own table")
}

/// A struct made by `directives!`.
pub trait Group: Rows + Default + Send + Sync + 'static {
    /// The target of the setters.
    type Written: Default + Send + 'static;
    /// The struct's name.
    const NAME: &'static str;
    /// Its doc comment, by lines.
    const DOC: &'static [&'static str];
    /// Whether any field is not inherited.
    const LOCAL: bool;
    /// Its `finish`.
    const FINISH: Option<Finish<Self>>;
    /// The values of a level: written, else the parent's, else the default.
    fn merge(written: Self::Written, parent: Option<&Self>) -> Self;
    /// The places of the written fields.
    fn origins(written: &mut Self::Written) -> &mut Origins;
}

/// A struct's rows under a slot, with the types erased.
#[derive(Clone, Copy)]
pub struct Table {
    /// The struct's name.
    pub name: &'static str,
    /// Its doc comment, by lines.
    pub doc: &'static [&'static str],
    /// The prefix of all names.
    pub prefix: &'static str,
    /// Its directives are read and checked but have no effect yet; each use is warned about.
    pub unsupported: bool,
    pub(crate) except: &'static [&'static str],
    moved: &'static [(Contexts, Contexts)],
    all: &'static [Row],
    pub(crate) slot: Option<&'static dyn AnySlot>,
    pub(crate) create: fn() -> Box<dyn Any + Send>,
    pub(crate) settle: Settle,
}

/// Merges and finishes. Arguments: written values, parent, whether to run `finish`.
pub(crate) type Settle =
    fn(Option<Box<dyn Any + Send>>, Option<&SharedValues>, bool, &mut Cx<'_>) -> SharedValues;

impl Table {
    /// The table of a struct under a slot.
    pub const fn new<T: Group>(slot: &'static Slot<T>) -> Self {
        Self {
            name: T::NAME,
            doc: T::DOC,
            prefix: "",
            unsupported: false,
            except: &[],
            moved: &[],
            all: T::ROWS,
            slot: Some(slot),
            create: || Box::<T::Written>::default(),
            settle: settle::<T, AsWritten>,
        }
    }

    /// A table of rows that are accepted without effect, made by `pending!`.
    pub const fn pending(name: &'static str, rows: &'static [Row]) -> Self {
        Self {
            name,
            doc: &[],
            prefix: "",
            unsupported: false,
            except: &[],
            moved: &[],
            all: rows,
            slot: None,
            create: || Box::new(()),
            settle: |_, _, _, _| Arc::new(()),
        }
    }

    /// Puts a prefix before every name.
    #[must_use]
    pub const fn prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    /// Has `F` fix fields of the struct `T`, which must be this table's, on every level: fields
    /// without a directive under this prefix, or with another default.
    #[must_use]
    pub const fn fixed<T: Group, F: Fixed<T>>(mut self) -> Self {
        self.settle = settle::<T, F>;
        self
    }

    /// Marks the directives as without effect yet: they are read and checked in full, with a
    /// warning about each.
    #[must_use]
    pub const fn unsupported(mut self) -> Self {
        self.unsupported = true;
        self
    }

    /// Whether a row of this table has no effect yet.
    pub fn is_pending(&self, row: &Row) -> bool {
        self.unsupported || row.pending
    }

    /// Leaves out the rows of these names (without the prefix).
    #[must_use]
    pub const fn except(mut self, names: &'static [&'static str]) -> Self {
        self.except = names;
        self
    }

    /// Replaces each context of the rows by its pair, so that a table of http serves stream. Rows
    /// without any of these contexts are left out.
    #[must_use]
    pub const fn moved(mut self, to: &'static [(Contexts, Contexts)]) -> Self {
        self.moved = to;
        self
    }

    /// The contexts of a row in this table.
    pub fn contexts_of(&self, row: &Row) -> Contexts {
        if self.moved.is_empty() {
            return row.contexts;
        }
        let into = self.moved.iter().filter(|(from, _)| row.contexts.intersects(*from));
        into.fold(Contexts::NONE, |all, (_, to)| all.union(*to))
    }

    /// The rows with their full names.
    pub fn rows(&self) -> impl Iterator<Item = (String, &'static Row)> + '_ {
        let kept = self.all.iter().filter(|row| !self.except.contains(&row.name));
        let kept = kept.filter(|row| !self.contexts_of(row).is_empty());
        kept.map(|row| (format!("{}{}", self.prefix, row.name), row))
    }

    /// The contexts of all rows together.
    pub fn contexts(&self) -> Contexts {
        self.union(self.all.iter())
    }

    /// The levels that are merged together. A row in main that only opens a block, such as `http`,
    /// does not make main a level of the values in that block.
    pub(crate) fn levels(&self) -> Contexts {
        let in_main = |row: &&Row| self.contexts_of(row).intersects(Contexts::MAIN);
        let opens = |row: &&Row| matches!(row.body, Body::Opens(_));
        let others = self.union(self.all.iter().filter(|row| !(in_main(row) && opens(row))));
        if others.is_empty() { self.contexts() } else { others }
    }

    fn union<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Contexts {
        rows.fold(Contexts::NONE, |all, row| all.union(self.contexts_of(row)))
    }
}

/// Fixes fields of a table's struct: see [`Table::fixed`].
pub trait Fixed<T> {
    /// Runs after the merge and before the `finish` of the struct.
    fn fix(values: &mut T);
}

/// Nothing is fixed.
struct AsWritten;

impl<T> Fixed<T> for AsWritten {
    fn fix(_: &mut T) {}
}

fn settle<T: Group, F: Fixed<T>>(
    written: Option<Box<dyn Any + Send>>,
    parent: Option<&SharedValues>,
    finish: bool,
    cx: &mut Cx<'_>,
) -> SharedValues {
    if let (None, Some(parent), false, None) = (&written, parent, T::LOCAL, T::FINISH) {
        return parent.clone();
    }
    let written = written.and_then(|written| written.downcast::<T::Written>().ok());
    let mut written = written.map(|written| *written).unwrap_or_default();
    let mut origins = std::mem::take(T::origins(&mut written));
    let above = parent.and_then(|parent| parent.downcast_ref::<Settled<T>>());
    let mut value = T::merge(written, above.map(|above| &above.value));
    F::fix(&mut value);
    let origins = match above {
        Some(above) if origins.is_empty() => Arc::clone(&above.origins),
        Some(above) => {
            origins.inherit(&above.origins);
            Arc::new(origins)
        }
        None => Arc::new(origins),
    };
    if let (true, Some(finish)) = (finish, T::FINISH) {
        cx.state.set_origins(&origins);
        if let Err(fault) = finish(&mut value, above.map(|above| &above.value), cx) {
            cx.error(fault);
        }
    }
    Arc::new(Settled { value, origins })
}
