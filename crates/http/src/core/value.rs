//! Value types shared by several tables.

use weir_conf::value::{parse_number, parse_size};
use weir_conf::{Arity, Cx, Fault, Node, Value, keywords};
use weir_engine::error_log::Level;
use weir_script::variables::variables;
use weir_script::{Host, Template, Variables};

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

/// Conditions, one of which must hold. A value holds if it is neither empty nor `0`.
#[derive(Clone, Debug, Default)]
pub struct Predicates(pub Vec<Template>);

impl Predicates {
    /// Whether a condition holds.
    pub fn any<H: Host + ?Sized>(&self, host: &mut H) -> bool {
        let mut text = Vec::new();
        self.0.iter().any(|template| {
            text.clear();
            template.eval(host, &mut text);
            !text.is_empty() && text != b"0"
        })
    }
}

impl Value for Predicates {
    const SYNTAX: &'static str = "string ...";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut predicates = Self::default();
        predicates.again(node, cx)?;
        Ok(predicates)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        for word in &node.args {
            self.0.push(Template::compile(&word.value, cx.registry::<Variables>())?);
        }
        Ok(())
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

/// A status from 400 to 599, for refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorStatus(pub u16);

impl Value for ErrorStatus {
    const SYNTAX: &'static str = "code";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let number =
            parse_number(&word.value).ok_or_else(|| Fault::directive("invalid number").at(word))?;
        match u16::try_from(number) {
            Ok(status @ 400..=599) => Ok(Self(status)),
            _ => Err(Fault::new("value must be between 400 and 599").at(word)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The permissions of a file, as for `chmod` (`proxy_store_access`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(pub u32);

impl Rights {
    /// Read and write for the owner only.
    pub const OURS: Self = Self(0o600);
}

impl Value for Rights {
    const SYNTAX: &'static str = "users:permissions ...";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2)).or(Arity::exactly(3));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        const USERS: [(&str, u32); 3] = [("user:", 6), ("group:", 3), ("all:", 0)];
        let mut mode = 0;
        let mut own = Self::OURS.0;
        for word in &node.args {
            let found = USERS.iter().find_map(|&(user, shift)| Some((word.after(user)?, shift)));
            let Some((permissions, shift)) = found else { return Err(Fault::invalid(word)) };
            let bits = match permissions {
                b"rw" => 6,
                b"r" => 4,
                _ => return Err(Fault::invalid(word)),
            };
            if shift == 6 {
                own = 0;
            }
            mode |= bits << shift;
        }
        Ok(Self(mode | own))
    }

    fn show(&self) -> Option<String> {
        (*self == Self::OURS).then(|| "user:rw".to_owned())
    }
}
