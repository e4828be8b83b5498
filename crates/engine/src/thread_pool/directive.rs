//! The directive `thread_pool`, and the pools that a configuration names.
//! <https://nginx.org/en/docs/ngx_core_module.html#thread_pool>

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use weir_conf::value::parse_number;
use weir_conf::{Cx, Fault, Node, Span, TypeMap, Word};

use super::{Owner, Size, ThreadPool};

/// The pool used if a directive names none.
pub const DEFAULT: &str = "default";

/// The pools in use, for later configurations to reuse. A pool lives as long as a configuration
/// that names it.
static LIVE: Mutex<Vec<Weak<Owner>>> = Mutex::new(Vec::new());

/// A pool named by the configuration. It may be used before the directive that defines it.
#[derive(Debug)]
pub struct Named {
    name: String,
    size: OnceLock<Size>,
    pool: OnceLock<ThreadPool>,
}

impl Named {
    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pool, once the whole configuration has been read.
    pub fn pool(&self) -> Option<&ThreadPool> {
        self.pool.get()
    }
}

/// The pools of one configuration, each with its first mention.
#[derive(Default)]
pub struct ThreadPools(Vec<(Arc<Named>, Span)>);

impl ThreadPools {
    /// The pool of this name, for a directive that uses it.
    pub fn refer(cx: &mut Cx<'_>, name: &str) -> Arc<Named> {
        let place = cx.span();
        let Self(pools) = cx.registry();
        if let Some((known, _)) = pools.iter().find(|(known, _)| known.name == name) {
            return Arc::clone(known);
        }
        let (size, pool) = (OnceLock::new(), OnceLock::new());
        let named = Arc::new(Named { name: name.to_owned(), size, pool });
        pools.push((Arc::clone(&named), place));
        named
    }

    /// Parses `NAME threads=NUMBER [max_queue=NUMBER]`.
    ///
    /// # Errors
    /// nginx's messages for invalid or missing parameters.
    pub fn define(node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let named = Self::refer(cx, &node.args[0].text());
        if named.size.get().is_some() {
            return Err(Fault::new(format!("duplicate thread pool \"{}\"", named.name)));
        }
        let (mut threads, mut max_queue) = (None, Size::DEFAULT.max_queue);
        for word in &node.args[1..] {
            if let Some(digits) = word.after("threads=") {
                let number = number(digits).filter(|&number| number > 0);
                threads = Some(number.ok_or_else(|| invalid("threads", word))?);
            } else if let Some(digits) = word.after("max_queue=") {
                max_queue = number(digits).ok_or_else(|| invalid("max_queue", word))?;
            }
        }
        let Some(threads) = threads else {
            let text = format!("\"{}\" must have \"threads\" parameter", node.text());
            return Err(Fault::new(text));
        };
        let _ = named.size.set(Size { threads, max_queue });
        Ok(())
    }

    /// Completes the configuration: binds every name to a pool, reusing the current one if the size
    /// is equal. Returns the pools, for names that are known only at run time.
    ///
    /// # Errors
    /// nginx's message for an undefined name.
    pub fn bind(registries: &mut TypeMap) -> Result<Arc<[Arc<Named>]>, Fault> {
        let Self(pools) = registries.take();
        for (named, place) in &pools {
            let default = (named.name == DEFAULT).then_some(Size::DEFAULT);
            let Some(size) = named.size.get().copied().or(default) else {
                let text = format!("unknown thread pool \"{}\"", named.name);
                return Err(Fault::new(text).in_place(*place));
            };
            let _ = named.pool.set(live(&named.name, size));
        }
        Ok(pools.into_iter().map(|(named, _)| named).collect())
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    parse_number(digits).and_then(|number| usize::try_from(number).ok())
}

fn invalid(what: &str, word: &Word) -> Fault {
    Fault::new(format!("invalid {what} value \"{}\"", word.text())).at(word)
}

/// The pool in use with this name and size, or a new one.
fn live(name: &str, size: Size) -> ThreadPool {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.retain(|pool| pool.strong_count() > 0);
    let known = live.iter().filter_map(Weak::upgrade);
    let found = known.into_iter().find(|pool| pool.0.name == name && pool.0.size == size);
    if let Some(found) = found {
        return ThreadPool(found);
    }
    let pool = ThreadPool::new(name, size);
    live.push(Arc::downgrade(&pool.0));
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_in_use_is_reused_at_the_same_size() {
        let size = Size { threads: 2, max_queue: 3 };
        let one = live("found-again", size);
        assert!(Arc::ptr_eq(&one.0, &live("found-again", size).0));
        let larger = Size { threads: 3, ..size };
        assert!(!Arc::ptr_eq(&one.0, &live("found-again", larger).0));
        let gone = Arc::downgrade(&one.0);
        drop(one);
        assert!(gone.upgrade().is_none());
    }
}
