//! Values that several tables of http use.

use weir_conf::value::parse_size;
use weir_conf::{Arity, Cx, Fault, Node, Value};
use weir_script::{Host, Template, Variables};

/// A size that may be computed for each request, as in `limit_rate $rate`.
#[derive(Clone, Debug)]
pub enum SizeTemplate {
    /// Bytes.
    Fixed(u64),
    /// Text that gives a size; anything else counts as 0.
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
        let template = Template::compile(&word.value, cx.registry::<Variables>())?;
        match template.literal() {
            None => Ok(Self::Computed(template)),
            Some(text) => {
                parse_size(text).map(Self::Fixed).ok_or_else(|| Fault::bad_value().at(word))
            }
        }
    }
}

/// Conditions of which one has to hold: a value that is neither empty nor `0`.
#[derive(Clone, Debug, Default)]
pub struct Predicates(pub Vec<Template>);

impl Predicates {
    /// Whether one of them holds.
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
