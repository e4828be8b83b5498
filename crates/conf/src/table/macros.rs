//! `directives!` and `pending!`.

/// Declares a struct of settings with the target of its setters, its rows and its merge.
/// The documentation of the module `table` shows the grammar row by row.
#[macro_export]
macro_rules! directives {
    (
        $(#[doc = $tdoc:literal])*
        $vis:vis struct $T:ident $(as $W:ident)? in [$($ctx:ident),* $(,)?] {
            $(
                $(#[doc = $doc:literal])*
                $name:literal $(in [$($rctx:ident),* $(,)?])? $(opens $opens:ident)?
                    $(as $shown:literal)?
                    $(block [$($barity:tt)+] : $bsyntax:literal)?
                    $([$($arity:tt)+] : $syntax:literal)?
                    $(then $then:ident)? $(after $after:ident)?
                    $(=> $target:ident $(: $ty:ty $(= $def:expr)?)?)?
            ),*
            $(, $(field $f:ident : $fty:ty $(= $fdef:expr)?),+)? $(,)?
        }
        $(finish = $finish:path;)?
    ) => {
        $(
            /// The target of the setters.
            $vis type $W = $crate::Written<$T>;
        )?
        $crate::__structs! {
            [$vis] $T [$($tdoc),*]
            [$($($($target, ($ty), ($($def)?);)?)?)* $($($f, ($fty), ($($fdef)?);)+)?]
            ($($finish)?)
        }
        impl $crate::table::Rows for $T {
            const CONTEXTS: $crate::Contexts = $crate::contexts!($($ctx),*);
            const ROWS: &'static [$crate::Row] = &[$($crate::__row! {
                $T [$($doc),*] $name ($([$($rctx)*])?) ($($opens)?)
                ($([$($barity)+] $bsyntax)?) ($([$($arity)+] $syntax)?) ($($then)?) ($($after)?)
                ($($target $(: ($ty) ($($def)?))?)?) ($($shown)?)
            }),*];
        }
    };
}

/// The structs of `directives!` and their merge.
#[doc(hidden)]
#[macro_export]
macro_rules! __structs {
    (
        [$vis:vis] $T:ident [$($tdoc:literal),*]
        [$($field:ident, ($ty:ty), ($($def:expr)?);)*]
        ($($finish:path)?)
    ) => {
        $(#[doc = $tdoc])*
        #[allow(missing_docs, unreachable_pub, private_interfaces)]
        $vis struct $T {
            $(pub $field: <$ty as $crate::Field>::Plain,)*
        }

        const _: () = {
            /// The target of the setters: values written so far, and their places.
            #[allow(missing_docs, unreachable_pub, private_interfaces)]
            #[derive(Default)]
            pub struct Written {
                $(pub $field: ::std::option::Option<<$ty as $crate::Field>::Plain>,)*
                pub origins: $crate::Origins,
            }

            impl $crate::Group for $T {
                type Written = Written;
                const NAME: &'static str = stringify!($T);
                const DOC: &'static [&'static str] = &[$($tdoc),*];
                const LOCAL: bool = false $(|| <$ty as $crate::Field>::LOCAL)*;
                const FINISH: ::std::option::Option<$crate::table::Finish<Self>> =
                    $crate::__optional!($($finish)?);

                #[allow(unused_variables)]
                fn merge(written: Written, parent: ::std::option::Option<&Self>) -> Self {
                    Self {
                        $($field: <$ty as $crate::Field>::merge(
                            written.$field,
                            parent.map(|parent| &parent.$field),
                            || $crate::__default!($($def)?),
                        ),)*
                    }
                }

                fn origins(written: &mut Written) -> &mut $crate::Origins {
                    &mut written.origins
                }
            }
        };

        impl ::std::default::Default for $T {
            fn default() -> Self {
                <Self as $crate::Group>::merge(::std::default::Default::default(), None)
            }
        }

        impl $T {
            /// The table of these directives under a slot.
            #[allow(unreachable_pub)]
            pub const fn table(slot: &'static $crate::Slot<Self>) -> $crate::Table {
                $crate::Table::new(slot)
            }
        }
    };
}

/// One row of `directives!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __row {
    // A field: its type decides everything.
    (
        $T:ident $doc:tt $name:literal $rctx:tt () () () () ()
        ($field:ident : ($ty:ty) ($($def:expr)?)) ($($shown:literal)?)
    ) => {
        $crate::Row {
            arity: <$ty as $crate::RowField>::ARITY,
            syntax: $crate::__first!($($shown,)? <$ty as $crate::RowField>::SYNTAX),
            body: if <$ty as $crate::RowField>::BLOCK {
                $crate::Body::Raw
            } else {
                $crate::Body::None
            },
            default: || <$ty as $crate::RowField>::show(&$crate::__default!($($def)?)),
            set: Some(|written, node, cx| {
                let written = $crate::table::known::<$crate::Written<$T>>(written);
                <$ty as $crate::RowField>::set(&mut written.$field, node, cx)?;
                written.origins.set(stringify!($field), cx.span());
                Ok(())
            }),
            ..$crate::__bare!($T $doc $name $rctx)
        }
    };
    // A setter of its own.
    (
        $T:ident $doc:tt $name:literal $rctx:tt () () ([$($arity:tt)+] $syntax:literal) () ()
        ($setter:ident) ()
    ) => {
        $crate::Row {
            arity: $crate::arity!($($arity)+),
            syntax: $syntax,
            set: Some($crate::__setter!($T $name $setter)),
            ..$crate::__bare!($T $doc $name $rctx)
        }
    };
    // A setter of its own for a raw block.
    (
        $T:ident $doc:tt $name:literal $rctx:tt () ([$($arity:tt)+] $syntax:literal) () () ()
        ($setter:ident) ()
    ) => {
        $crate::Row {
            arity: $crate::arity!($($arity)+),
            syntax: $syntax,
            body: $crate::Body::Raw,
            set: Some($crate::__setter!($T $name $setter)),
            ..$crate::__bare!($T $doc $name $rctx)
        }
    };
    // A block of directives.
    (
        $T:ident $doc:tt $name:literal $rctx:tt ($opens:ident) ()
        ([$($arity:tt)+] $syntax:literal)
        ($($then:ident)?) ($($after:ident)?) ($($setter:ident)?) ()
    ) => {
        $crate::Row {
            arity: $crate::arity!($($arity)+),
            syntax: $syntax,
            body: $crate::Body::Opens($crate::context::names::$opens),
            set: $crate::__optional!($($crate::__setter!($T $name $setter))?),
            then: $crate::__optional!($($crate::__setter!($T $name $then))?),
            after: $crate::__optional!($($after)?),
            ..$crate::__bare!($T $doc $name $rctx)
        }
    };
}

/// The parts of every row.
#[doc(hidden)]
#[macro_export]
macro_rules! __bare {
    ($T:ident [$($doc:literal),*] $name:literal ()) => {
        $crate::Row {
            name: $name,
            doc: &[$($doc),*],
            contexts: <$T as $crate::table::Rows>::CONTEXTS,
            ..$crate::Row::BARE
        }
    };
    ($T:ident [$($doc:literal),*] $name:literal ([$($rctx:ident)*])) => {
        $crate::Row {
            name: $name,
            doc: &[$($doc),*],
            contexts: $crate::contexts!($($rctx),*),
            ..$crate::Row::BARE
        }
    };
}

/// A setter with the type erased, which records the place of the directive.
#[doc(hidden)]
#[macro_export]
macro_rules! __setter {
    ($T:ident $name:literal $setter:ident) => {
        |written, node, cx| {
            let written = $crate::table::known::<$crate::Written<$T>>(written);
            $setter(written, node, cx)?;
            written.origins.set($name, cx.span());
            Ok(())
        }
    };
}

/// The first expression.
#[doc(hidden)]
#[macro_export]
macro_rules! __first {
    ($first:expr $(, $rest:expr)*) => {
        $first
    };
}

/// The default of a field.
#[doc(hidden)]
#[macro_export]
macro_rules! __default {
    () => {
        ::std::default::Default::default()
    };
    ($def:expr) => {
        $def
    };
}

/// `Some` of an expression, or `None` without one.
#[doc(hidden)]
#[macro_export]
macro_rules! __optional {
    () => {
        None
    };
    ($some:expr) => {
        Some($some)
    };
}

/// Declares a table of directives that are accepted with one warning and have no effect:
/// `pending! { pub static PENDING = { "gunzip" in [http] [1]; "match" in [http] [1] block; } }`
/// A setter after `=>` may still report faults; its target is a placeholder.
#[macro_export]
macro_rules! pending {
    (
        $(#[doc = $tdoc:literal])*
        $vis:vis static $T:ident = {
            $($name:literal in [$($ctx:ident),*] [$($arity:tt)+] $($block:ident)?
                $(=> $check:ident)?;)*
        }
    ) => {
        $(#[doc = $tdoc])*
        $vis static $T: $crate::Table = $crate::Table::pending(stringify!($T), &[$($crate::Row {
            name: $name,
            contexts: $crate::contexts!($($ctx),*),
            arity: $crate::arity!($($arity)+),
            body: $crate::__pending_body!($($block)?),
            set: $crate::__optional!($($check)?),
            pending: true,
            ..$crate::Row::BARE
        }),*]);
    };
}

/// The part of a pending directive after its arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! __pending_body {
    () => {
        $crate::Body::None
    };
    (block) => {
        $crate::Body::Ignored
    };
}
