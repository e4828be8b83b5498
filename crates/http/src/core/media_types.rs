//! Sets of media types: `gzip_types`, `sub_filter_types` and the like.

use std::sync::Arc;

use weir_conf::{Arity, Cx, Fault, Node, Value};

/// The media types that a filter acts on. A directive adds its types to `text/html`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MediaTypes {
    /// `*`.
    Any,
    /// These, in lower case.
    Of(Arc<[Vec<u8>]>),
}

impl MediaTypes {
    /// Whether the set has a media type. `content_type` may have parameters.
    pub(crate) fn contains(&self, content_type: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Of(types) => {
                let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
                let bare = content_type[..end].trim_ascii();
                !bare.is_empty() && types.iter().any(|t| t.eq_ignore_ascii_case(bare))
            }
        }
    }

    /// A set of these types.
    pub(crate) fn of(types: &[&str]) -> Self {
        Self::Of(types.iter().map(|t| t.as_bytes().to_ascii_lowercase()).collect())
    }

    fn add(&mut self, node: &Node, cx: &mut Cx<'_>) {
        let Self::Of(known) = self else { return };
        let mut types = known.to_vec();
        for word in &node.args {
            if word.is("*") {
                *self = Self::Any;
                return;
            }
            let media = word.value.to_ascii_lowercase();
            if types.contains(&media) {
                cx.warn(format!("duplicate MIME type \"{}\"", String::from_utf8_lossy(&media)));
                continue;
            }
            types.push(media);
        }
        *known = types.into();
    }
}

impl Default for MediaTypes {
    fn default() -> Self {
        Self::of(&["text/html"])
    }
}

impl Value for MediaTypes {
    const SYNTAX: &'static str = "mime-type ...";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut types = Self::default();
        types.add(node, cx);
        Ok(types)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        self.add(node, cx);
        Ok(())
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Self::Any => "*".to_owned(),
            Self::Of(types) => {
                let shown = types.iter().map(|t| String::from_utf8_lossy(t).into_owned());
                shown.collect::<Vec<_>>().join(" ")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        let types = MediaTypes::default();
        assert!(types.contains(b"text/html"));
        assert!(types.contains(b"Text/HTML; charset=utf-8"));
        assert!(!types.contains(b"text/plain"));
        assert!(!types.contains(b""));
        assert!(MediaTypes::Any.contains(b""));
    }
}
