//! Plain numbers.

use super::Value;
use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::Node;
use crate::table::arity::Arity;

/// Parses decimal digits as `ngx_atoi` does: no sign, at most `i64::MAX`.
pub fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, &digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        let number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        (number <= i64::MAX as u64).then_some(number)
    })
}

macro_rules! numbers {
    ($($T:ty),*) => {$(
        impl Value for $T {
            const SYNTAX: &'static str = "number";
            const ARITY: Arity = Arity::ONE;

            fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
                let word = &node.args[0];
                parse_number(&word.value)
                    .map(|number| number.try_into().unwrap_or(<$T>::MAX))
                    .ok_or_else(|| Fault::directive("invalid number").at(word))
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

numbers!(u16, u32, u64, usize, i64);
