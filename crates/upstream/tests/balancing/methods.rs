//! The methods, and what each promises about its choices.

/// A promise about the spread of requests over servers that are as their weights say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spread {
    /// No server is ever further from its share than one request for each server of the group.
    Exact,
    /// No server has more than this many times its share, but for chance: six standard deviations.
    Within(f64),
    /// Time decides, and with unequal weights an idle group uses its heaviest server. With equal
    /// weights, as `Within`.
    EqualWithin(f64),
}

/// A promise about each choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choosing {
    /// The server has the fewest requests relative to its weight.
    Least,
    /// A client stays with its server while that one can take its requests.
    Sticks,
    /// As `Sticks`, but no server has more requests than this percentage of its share.
    Bounded(u64),
    /// Nothing.
    Free,
}

#[derive(Debug)]
pub(crate) struct Method {
    /// Its name in tables.
    pub(crate) name: &'static str,
    pub(crate) directive: &'static str,
    pub(crate) spread: Spread,
    pub(crate) choosing: Choosing,
    /// Whether `backup` and `slow_start` are supported.
    pub(crate) knows_backup: bool,
}

impl Method {
    const fn new(name: &'static str, directive: &'static str, spread: Spread) -> Self {
        Self { name, directive, spread, choosing: Choosing::Free, knows_backup: true }
    }

    const fn by_key(name: &'static str, directive: &'static str, spread: Spread) -> Self {
        let choosing = Choosing::Sticks;
        Self { name, directive, spread, choosing, knows_backup: false }
    }
}

pub(crate) const METHODS: &[Method] = &[
    Method::new("round robin", "", Spread::Exact),
    Method {
        choosing: Choosing::Least,
        ..Method::new("least_conn", "least_conn;", Spread::Within(1.5))
    },
    Method::new("least_time header", "least_time header;", Spread::EqualWithin(2.5)),
    Method::new(
        "least_time last_byte inflight",
        "least_time last_byte inflight;",
        Spread::EqualWithin(2.5),
    ),
    Method::new("ewma", "ewma;", Spread::Within(2.0)),
    Method { knows_backup: false, ..Method::new("random", "random;", Spread::Within(1.0)) },
    Method {
        knows_backup: false,
        ..Method::new("random two least_conn", "random two;", Spread::Within(1.5))
    },
    Method {
        knows_backup: false,
        ..Method::new("random two least_time", "random two least_time=header;", Spread::Within(2.0))
    },
    Method::by_key("ip_hash", "ip_hash;", Spread::Within(1.5)),
    Method::by_key("hash", "hash $uri;", Spread::Within(1.5)),
    Method::by_key("hash consistent", "hash $uri consistent;", Spread::Within(2.0)),
    Method {
        choosing: Choosing::Bounded(125),
        ..Method::by_key(
            "hash consistent balance=125%",
            "hash $uri consistent balance=125%;",
            Spread::Within(2.0),
        )
    },
];

/// A method by its name.
pub(crate) fn named(name: &str) -> &'static Method {
    METHODS.iter().find(|method| method.name == name).expect("a method of the table")
}
