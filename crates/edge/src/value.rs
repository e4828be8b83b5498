//! Value types shared by http and stream.

use weir_conf::value::parse_size;
use weir_conf::{Arity, Cx, Fault, Node, Value, keywords};
use weir_engine::error_log::Level;
use weir_script::variables::variables;
use weir_script::{Host, Template};

/// A size that may have variables, as in `limit_rate $rate`.
#[derive(Clone, Debug)]
pub enum SizeTemplate {
    /// Bytes.
    Fixed(u64),
    /// A text that evaluates to a size; an invalid one counts as 0.
    Computed(Template),
}

impl SizeTemplate {
    /// The bytes for a request.
    pub fn eval<H: Host + ?Sized>(&self, host: &mut H) -> u64 {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Computed(template) => {
                let mut text = Vec::new();
                template.eval(host, &mut text);
                parse_size(&text).unwrap_or(0)
            }
        }
    }
}

impl Value for SizeTemplate {
    const SYNTAX: &'static str = "rate";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let template = Template::compile(&word.value, variables(cx))?;
        match template.literal() {
            None => Ok(Self::Computed(template)),
            Some(text) => {
                parse_size(text).map(Self::Fixed).ok_or_else(|| Fault::bad_value().at(word))
            }
        }
    }
}

keywords! {
    /// The log level of refusals.
    pub enum LimitLevel {
        /// Informational.
        "info" => Info,
        /// Noteworthy.
        "notice" => Notice,
        /// Unusual.
        "warn" => Warn,
        /// An error.
        "error" => Error,
    }
}

impl LimitLevel {
    /// The error log's level.
    pub fn level(self) -> Level {
        match self {
            Self::Info => Level::Info,
            Self::Notice => Level::Notice,
            Self::Warn => Level::Warn,
            Self::Error => Level::Error,
        }
    }

    /// One level lower, for delayed requests.
    pub fn one_less(self) -> Level {
        match self {
            Self::Info | Self::Notice => Level::Info,
            Self::Warn => Level::Notice,
            Self::Error => Level::Warn,
        }
    }
}
