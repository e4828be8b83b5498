//! Value types shared by several tables.

use weir_conf::value::parse_number;
use weir_conf::{Arity, Cx, Fault, Node, Value};
use weir_script::{Host, Template, Variables};

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

/// A status code between two bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusBetween<const LEAST: u16, const MOST: u16>(pub u16);

/// A status for refusals.
pub(crate) type ErrorStatus = StatusBetween<400, 599>;

impl<const LEAST: u16, const MOST: u16> Value for StatusBetween<LEAST, MOST> {
    const SYNTAX: &'static str = "code";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let number =
            parse_number(&word.value).ok_or_else(|| Fault::directive("invalid number").at(word))?;
        match u16::try_from(number) {
            Ok(status) if (LEAST..=MOST).contains(&status) => Ok(Self(status)),
            _ => {
                let message = format!("value must be between {LEAST} and {MOST}");
                Err(Fault::new(message).at(word))
            }
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
