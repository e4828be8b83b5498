//! Arity: the numbers of arguments that a directive takes.

/// A set of argument counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// Bit N: N arguments are allowed.
    exact: u16,
    /// The lower end of an open range of allowed counts.
    least: Option<usize>,
}

impl Arity {
    /// nginx's limit of arguments, except for directives that take any number.
    pub const MAX: usize = 7;
    /// Any number, including none.
    pub const ANY: Self = Self { exact: 0, least: Some(0) };
    /// None.
    pub const NONE: Self = Self::exactly(0);
    /// One.
    pub const ONE: Self = Self::exactly(1);

    /// Exactly `number`, at most [`Arity::MAX`].
    pub const fn exactly(number: usize) -> Self {
        assert!(number <= Self::MAX);
        Self { exact: 1 << number, least: None }
    }

    /// `number` or more.
    pub const fn at_least(number: usize) -> Self {
        Self { exact: 0, least: Some(number) }
    }

    /// The union of both sets.
    pub const fn or(self, other: Self) -> Self {
        let least = match (self.least, other.least) {
            (Some(a), Some(b)) => Some(if a < b { a } else { b }),
            (Some(a), None) | (None, Some(a)) => Some(a),
            (None, None) => None,
        };
        Self { exact: self.exact | other.exact, least }
    }

    /// Whether `number` arguments are allowed.
    pub const fn allows(self, number: usize) -> bool {
        let few = number <= Self::MAX && self.exact & (1 << number) != 0;
        few || matches!(self.least, Some(least) if number >= least)
    }
}

/// `arity!(1, 2)`, `arity!(1+)`, `arity!(any)`.
#[macro_export]
macro_rules! arity {
    (any) => { $crate::Arity::ANY };
    ($least:literal +) => { $crate::Arity::at_least($least) };
    ($first:literal $(, $more:literal)* $(,)?) => {
        $crate::Arity::exactly($first)$(.or($crate::Arity::exactly($more)))*
    };
}
