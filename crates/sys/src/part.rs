//! Counted references into a part of a value, as C++'s aliasing constructor of `shared_ptr`.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;

/// A `T` inside a counted `O`. Access costs one load; a clone counts the `O` without an atomic
/// operation, even if its contents are shared between threads. As with [`Rc`], functions are not
/// methods, so that they do not shadow those of `T`.
pub struct Part<O: 'static, T: ?Sized + 'static> {
    whole: Rc<O>,
    /// Points to the result of a borrow of `whole`, so it is valid as long as `whole` lives.
    part: NonNull<T>,
}

impl<O: 'static, T: ?Sized + 'static> Part<O, T> {
    /// The part of `whole` that `find` returns.
    pub fn of(whole: Rc<O>, find: impl for<'a> FnOnce(&'a O) -> &'a T) -> Self {
        let part = NonNull::from(find(&whole));
        Self { whole, part }
    }

    /// The part of `whole` that `find` returns, if any.
    pub fn within(whole: Rc<O>, find: impl for<'a> FnOnce(&'a O) -> Option<&'a T>) -> Option<Self> {
        let part = NonNull::from(find(&whole)?);
        Some(Self { whole, part })
    }

    /// A part of this part, with another value found along with it.
    #[inline]
    pub fn find<U: ?Sized, R>(
        this: Self,
        find: impl for<'a> FnOnce(&'a T) -> (&'a U, R),
    ) -> (Part<O, U>, R) {
        let (part, rest) = find(&this);
        let part = NonNull::from(part);
        (Part { whole: this.whole, part }, rest)
    }

    /// A part of this part.
    pub fn map<U: ?Sized>(this: &Self, find: impl for<'a> FnOnce(&'a T) -> &'a U) -> Part<O, U> {
        Part { whole: Rc::clone(&this.whole), part: NonNull::from(find(this)) }
    }

    /// A part of this part, if any.
    pub fn try_map<U: ?Sized>(
        this: &Self,
        find: impl for<'a> FnOnce(&'a T) -> Option<&'a U>,
    ) -> Option<Part<O, U>> {
        let part = NonNull::from(find(this)?);
        Some(Part { whole: Rc::clone(&this.whole), part })
    }
}

impl<O: 'static, T: ?Sized + 'static> Deref for Part<O, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `part` came from a borrow that may last as long as the `O` is borrowed, since
        // `find` had to accept any lifetime. `whole` keeps the `O` in place and shared: no code can
        // move it out or borrow it mutably.
        unsafe { self.part.as_ref() }
    }
}

impl<O: 'static, T: ?Sized + 'static> Clone for Part<O, T> {
    fn clone(&self) -> Self {
        Self { whole: Rc::clone(&self.whole), part: self.part }
    }
}

impl<O: 'static, T: ?Sized + fmt::Debug + 'static> fmt::Debug for Part<O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct Whole {
        shared: Arc<Vec<String>>,
    }

    fn whole() -> Rc<Whole> {
        Rc::new(Whole { shared: Arc::new(vec!["first".into(), "second".into()]) })
    }

    #[test]
    fn a_part_keeps_the_whole() {
        let whole = whole();
        let shared = Arc::downgrade(&whole.shared);
        let part = Part::of(Rc::clone(&whole), |whole| &whole.shared[1]);
        let tail = Part::map(&part, |text| &text[3..]);
        assert_eq!(Rc::strong_count(&whole), 3);
        drop((whole, part));
        assert_eq!(&*tail, "ond");
        assert!(shared.upgrade().is_some());
        drop(tail);
        assert!(shared.upgrade().is_none());
    }

    #[test]
    fn what_is_not_found_holds_nothing() {
        let whole = whole();
        assert!(Part::within(Rc::clone(&whole), |whole| whole.shared.get(2)).is_none());
        let part = Part::of(Rc::clone(&whole), |whole| &whole.shared[0]);
        assert!(Part::try_map(&part, |text| text.get(9..)).is_none());
        let (end, length) = Part::find(part.clone(), |text| (&text[1..], text.len()));
        assert_eq!((&*end, length), ("irst", 5));
        drop((part, end));
        assert_eq!(Rc::strong_count(&whole), 1);
    }
}
