//! Flags, enumerations and sets of keywords.

use super::Value;
use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::Node;
use crate::table::arity::Arity;

impl Value for bool {
    const SYNTAX: &'static str = "on | off";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        if word.value.eq_ignore_ascii_case(b"on") {
            return Ok(true);
        }
        if word.value.eq_ignore_ascii_case(b"off") {
            return Ok(false);
        }
        let (value, name) = (word.text(), node.text());
        Err(Fault::new(format!(
            "invalid value \"{value}\" in \"{name}\" directive, it must be \"on\" or \"off\""
        ))
        .at(word))
    }

    fn show(&self) -> Option<String> {
        Some(if *self { "on" } else { "off" }.to_owned())
    }
}

/// An enumeration of keywords, case-insensitive:
/// `keywords! { pub enum Mode { "on" => On, "off" => Off, "try" => Try } }`
#[macro_export]
macro_rules! keywords {
    (
        $(#[$meta:meta])*
        $vis:vis enum $T:ident {
            $(#[$fmeta:meta])* $ftext:literal => $first:ident
            $(, $(#[$vmeta:meta])* $text:literal => $variant:ident)* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        $vis enum $T { $(#[$fmeta])* $first, $($(#[$vmeta])* $variant,)* }

        impl $T {
            /// The variant of a keyword, case-insensitive.
            #[allow(dead_code, unreachable_pub)]
            pub fn from_keyword(text: &[u8]) -> ::std::option::Option<Self> {
                [($ftext, Self::$first) $(, ($text, Self::$variant))*]
                    .into_iter()
                    .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(text))
                    .map(|(_, variant)| variant)
            }

            /// Its keyword.
            #[allow(dead_code, unreachable_pub)]
            pub const fn keyword(self) -> &'static str {
                match self { Self::$first => $ftext, $(Self::$variant => $text,)* }
            }
        }

        impl $crate::Value for $T {
            const SYNTAX: &'static str = concat!($ftext $(, " | ", $text)*);
            const ARITY: $crate::Arity = $crate::Arity::ONE;

            fn parse(
                node: &$crate::Node,
                _: &mut $crate::Cx<'_>,
            ) -> ::std::result::Result<Self, $crate::Fault> {
                let word = &node.args[0];
                Self::from_keyword(&word.value).ok_or_else(|| $crate::Fault::invalid(word))
            }

            fn show(&self) -> ::std::option::Option<String> {
                Some(self.keyword().to_owned())
            }
        }
    };
}

/// A set of keywords, which several directives may add to:
/// `bitmask! { pub struct Methods { "GET" => GET = 1, "POST" => POST = 2 } }`
#[macro_export]
macro_rules! bitmask {
    (
        $(#[$meta:meta])*
        $vis:vis struct $T:ident {
            $(#[$fmeta:meta])* $ftext:literal => $first:ident = $fbits:expr
            $(, $(#[$vmeta:meta])* $text:literal => $flag:ident = $bits:expr)* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        $vis struct $T(u32);

        #[allow(dead_code, missing_docs, unreachable_pub)]
        impl $T {
            $(#[$fmeta])* pub const $first: Self = Self($fbits);
            $($(#[$vmeta])* pub const $flag: Self = Self($bits);)*
            const KEYWORDS: &'static [(&'static str, u32)] =
                &[($ftext, $fbits) $(, ($text, $bits))*];

            /// The union of both sets.
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether the set contains all of these.
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The bits.
            pub const fn bits(self) -> u32 {
                self.0
            }
        }

        impl $crate::Value for $T {
            const SYNTAX: &'static str = concat!($ftext $(, " | ", $text)*, " ...");
            const ARITY: $crate::Arity = $crate::Arity::at_least(1);

            fn parse(
                node: &$crate::Node,
                cx: &mut $crate::Cx<'_>,
            ) -> ::std::result::Result<Self, $crate::Fault> {
                let mut set = Self(0);
                $crate::Value::again(&mut set, node, cx)?;
                Ok(set)
            }

            fn again(
                &mut self,
                node: &$crate::Node,
                cx: &mut $crate::Cx<'_>,
            ) -> ::std::result::Result<(), $crate::Fault> {
                for word in &node.args {
                    let known = Self::KEYWORDS.iter().find(|(text, _)| {
                        text.as_bytes().eq_ignore_ascii_case(&word.value)
                    });
                    let Some(&(_, bits)) = known else {
                        return Err($crate::Fault::invalid(word));
                    };
                    if self.0 & bits != 0 {
                        cx.warn(format!("duplicate value \"{}\"", word.text()));
                    }
                    self.0 |= bits;
                }
                Ok(())
            }

            fn show(&self) -> ::std::option::Option<String> {
                let set = Self::KEYWORDS.iter().filter(|(_, bits)| self.0 & bits == *bits);
                Some(set.map(|&(text, _)| text).collect::<Vec<_>>().join(" "))
            }
        }
    };
}
